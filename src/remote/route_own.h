/* route_own.h -- between route.c (which queues, which rules) and route_carry.c (one queue to one home). */
#ifndef PTQ_REMOTE_ROUTE_OWN_H
#define PTQ_REMOTE_ROUTE_OWN_H

#include <pthread.h>
#include <sys/types.h>
#include <uthash.h>

#include "base/atomic.h"
#include "base/time.h"
#include "remote/mover.h"
#include "remote/path.h"
#include "remote/route.h"
#include "remote/server.h"

/* Where to.  Its id is written by the keeper's thread and read by the movers'. */
struct pti_route_home {
    char url[256];
    bool known, told;
    uint8_t id[PTI_PATH_NODE];
    int64_t asked;
    _Atomic uint64_t moved; /* messages, ever */
};

struct pti_route_rule {
    char glob[PTQ_NAME_MAX + 1], to[256]; /* to: as it was said */
    size_t home;
};

/* The headers of a message that is under way. */
struct pti_route_headers {
    const struct ptq_msg *msg;
    UT_hash_handle hh;
    uint8_t bytes[PTQ_HEADERS_MAX];
};

/* Of the movers of one queue to its several homes: who takes. */
struct pti_route_turn {
    pthread_mutex_t mutex;
    unsigned users; /* the keeper's thread alone */
};

/* One queue, to one home.  What its mover calls runs on the mover's thread alone. */
struct pti_carried {
    struct pti_carried *next;
    struct pti_route_keeper *keeper;
    char here[PTQ_NAME_MAX + 1], there[PTQ_NAME_MAX + 1];
    size_t rule;
    ino_t inode;
    struct pti_route_turn *turn;
    struct pti_mover *mover; /* NULL: its target could not be opened */
    int64_t try_at;
    enum ptq_err failure;    /* as it was told last */
    struct pti_port room;    /* of the target: sizes alone */
    struct pti_route_headers *headers;
    bool told_large, told_headers;
    _Atomic int refused;     /* what the home answers for good; its mover is to end */
    _Atomic uint64_t moved;
};

struct pti_route_keeper {
    struct pti_server *server;
    ptq_bus *bus;
    struct pti_route_rule *rules;
    size_t rule_count;
    struct pti_route_home *homes;
    size_t home_count;
    pthread_mutex_t mutex; /* of the homes' ids; of the list, and which mover carries, which the keeper's thread alone changes */
    struct pti_carried *carried;
    size_t carried_count;
    bool told_many;
    pthread_t thread;
    bool running;
    int stop_fd;
};

/* ---- route_carry.c */
bool pti_route_fits(const struct pti_route_keeper *keeper, size_t rule, const char *here);
/* Of the queue's file; 0: it is not there. */
ino_t pti_route_inode(ptq_bus *bus, const char *here);
/* NULL: no memory. */
struct pti_carried *pti_carried_new(struct pti_route_keeper *keeper, size_t rule, const char *here, const char *there);
/* Starts its mover, or tries again a little later. */
void pti_carried_try(struct pti_carried *carried);
void pti_carried_free(struct pti_carried *carried);
/* Those whose queue went, or that were refused, end. */
void pti_carried_end_gone(struct pti_route_keeper *keeper);

#endif
