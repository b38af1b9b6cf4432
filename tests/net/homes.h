/* homes.h -- two homes for a whole test program; and two who make one queue at once. */
#ifndef PTQ_TESTS_NET_HOMES_H
#define PTQ_TESTS_NET_HOMES_H

#include <pthread.h>

#include "net/kit.h"

extern struct net east, west; /* east.far is a third host */

/* For cmocka_run_group_tests. */
int homes_start(void **state);
int homes_end(void **state);

/* ---- two makers */

struct maker {
    ptq_bus *bus;
    const char *name;
    pthread_barrier_t *barrier;
    pthread_t thread;
    ptq_queue *queue; /* if it got one */
    enum ptq_err answer;
    struct ptq_error error;
};

struct makers {
    struct maker each[2];
    pthread_barrier_t barrier;
    char name[32];
};

/* Threads of both open it, or make it, as soon as this returns; join: they have. */
void makers_start(struct makers *makers, ptq_bus *one, ptq_bus *other, const char *name);
void makers_join(struct makers *makers);
/* Their handles are closed. */
void makers_close(struct makers *makers);

#endif
