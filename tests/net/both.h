/* both.h -- one home and one far host for a whole test program, and queues that are open at both ends. */
#ifndef PTQ_TESTS_NET_BOTH_H
#define PTQ_TESTS_NET_BOTH_H

#include "net/kit.h"

extern struct net net;

/* For cmocka_run_group_tests. */
int hosts_start(void **state);
int hosts_end(void **state);

/* A queue that is opened at both ends: the home's handle makes it. */
struct both {
    ptq_queue *here, *there;
};

struct both both_open(const char *name, const struct ptq_queue_options *options);
void both_close(struct both *both);

void both_assert_message(ptq_msg *msg, const char *text);
void both_assert_get(ptq_queue *queue, const char *text);

/* A thread that puts "later" into the queue that it is given; it returns the queue, NULL if that failed. */
void *both_put_later(void *context);

#endif
