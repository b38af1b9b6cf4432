/* both.c -- one home and one far host for a whole test program, and queues that are open at both ends. */
#include "net/both.h"

#include <string.h>

struct net net;

int hosts_start(void **state)
{
    (void)state;
    net_init(&net, NULL);
    return 0;
}

int hosts_end(void **state)
{
    (void)state;
    net_fini(&net);
    return 0;
}

struct both both_open(const char *name, const struct ptq_queue_options *options)
{
    struct both both = {.here = net_open(net.here, name, options)};

    both.there = net_open(net.there, name, &(struct ptq_queue_options){.mode = PTQ_ATTACH});
    return both;
}

void both_close(struct both *both)
{
    ptq_queue_close(both->there);
    ptq_queue_close(both->here);
}

void both_assert_message(ptq_msg *msg, const char *text)
{
    assert_int_equal(ptq_msg_size(msg), strlen(text));
    assert_memory_equal(ptq_msg_data(msg), text, strlen(text));
}

void both_assert_get(ptq_queue *queue, const char *text)
{
    ptq_msg *msg;

    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    both_assert_message(msg, text);
    assert_ok(ptq_ack(msg));
}

void *both_put_later(void *context)
{
    ptq_queue *queue = context;

    return ptq_put(queue, "later", 5, PTT_LONG) == PTQ_OK ? queue : NULL;
}
