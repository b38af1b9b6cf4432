/* test_bridge_ends.c -- the home's bridge is killed, or ended: nothing is lost, or doubled in silence. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "net/ledger.h"

static void a_killed_bridge_returns_its_leases_at_once(void **state)
{
    struct net net;
    ptq_msg *msg, *again;
    (void)state;

    net_init(&net, NULL);
    ptq_queue *here = net_open(net.here, "returns", NULL), *far = net_open(net.there, "returns", NULL);
    assert_ok(ptq_put(here, "held", 4, PTQ_NOWAIT));
    assert_ok(ptq_get(far, PTT_LONG, &msg));
    net_bridge_kill(&net);
    assert_ok(ptq_get(here, PTT_LONG, &again));
    assert_true(ptq_msg_redelivered(again));
    assert_ok(ptq_ack(again));
    net_bridge_start(&net, NULL);
    assert_ok(ptq_put(far, "after", 5, PTT_LONG));
    assert_answer(PTQ_ELEASELOST, ptq_ack(msg));
    ptq_queue_close(far);
    ptq_queue_close(here);
    net_fini(&net);
}

/* W21 */
static void a_bridge_killed_in_mid_flow_loses_nothing(void **state)
{
    struct net net;
    enum { COUNT = 6000, KILLS = 8 };
    pthread_t producer, consumer;
    (void)state;

    net_init(&net, NULL);
    ptq_queue *in = net_open(net.there, "flow@home", NULL), *out = net_open(net.there, "flow@home", NULL);
    struct ledger *put = ledger_new(in, COUNT), *got = ledger_new(out, COUNT);
    atomic_store(&put->open_to, 0);
    pthread_create(&consumer, NULL, ledger_consume, got);
    pthread_create(&producer, NULL, ledger_produce, put);
    for (unsigned i = 0; i < KILLS; i++) {
        ledger_go_on(put, COUNT / KILLS);
        net_bridge_kill(&net);
        net_bridge_start(&net, NULL);
    }
    pthread_join(producer, NULL);
    net_end(in);
    pthread_join(consumer, NULL);

    assert_int_equal(put->refused, 0);
    assert_int_equal(got->refused, 0);
    assert_true(put->in_doubt <= KILLS); /* one put at a time: one in doubt a kill, at most */
    ledger_assert(put, got);
    ptq_queue *here = net_open(net.here, "flow", NULL);
    struct ptq_queue_stats stats;
    assert_ok(ptq_queue_stats(here, &stats));
    assert_true(stats.put == stats.acked && stats.ready == 0 && stats.leased == 0);
    ptq_queue_close(here);
    free(put);
    free(got);
    ptq_queue_close(in);
    ptq_queue_close(out);
    net_fini(&net);
}

static void results_placed_over_a_killed_bridge_are_there_once(void **state)
{
    struct net net;
    (void)state;

    net_init(&net, NULL);
    ptq_queue *done = net_open_pool(net.here, "p.done", true, 32), *far = net_open_pool(net.there, "p.done", true, 32);
    struct pti_put put = {.data = "result", .size = 6};
    uint64_t first;
    ptq_msg *msg;
    assert_ok(pti_queue_head(done, &first));
    for (uint64_t i = 0; i < 30; i++) {
        if (i % 5 == 2)
            net_bridge_kill(&net);
        if (i % 5 == 2)
            net_bridge_start(&net, NULL);
        enum ptq_err answer = pti_queue_place(far, first + i, &put, pti_deadline(PTT_LONG));
        assert_true(answer == PTQ_OK || answer == PTQ_ELATE);
    }
    for (uint64_t i = 0; i < 30; i++) {
        assert_ok(ptq_get(done, PTQ_NOWAIT, &msg));
        assert_int_equal(ptq_msg_position(msg), first + i);
        assert_ok(ptq_ack(msg));
    }
    ptq_queue_close(far);
    ptq_queue_close(done);
    net_fini(&net);
}

/* The link to a bridge that has just begun may not be back yet. */
static enum ptq_err get_over_the_next_link(ptq_queue *queue, int timeout_ms)
{
    int64_t end = pti_deadline(PTT_LONG);
    enum ptq_err answer;
    ptq_msg *msg;

    do
        answer = ptq_get(queue, timeout_ms, &msg);
    while (answer == PTQ_EUNREACHABLE && pti_now_ns() < end);
    return answer;
}

static void a_claim_is_made_again_at_the_next_bridge(void **state)
{
    struct net net;
    (void)state;

    net_init(&net, NULL);
    ptq_queue *done = net_open_pool(net.here, "c.done", true, 4), *far = net_open_pool(net.there, "c.done", true, 4);
    assert_ok(pti_queue_claim(far, PTI_DEADLINE_NOW));
    net_bridge_kill(&net);
    net_bridge_start(&net, NULL);
    assert_answer(PTQ_TIMEDOUT, get_over_the_next_link(far, 3000));
    assert_answer(PTQ_EBUSY, pti_queue_claim(done, PTI_DEADLINE_NOW));
    net_bridge_kill(&net);
    assert_ok(pti_queue_claim(done, pti_deadline(PTT_LONG)));
    net_bridge_start(&net, NULL);
    assert_answer(PTQ_EBUSY, get_over_the_next_link(far, PTT_LONG));
    ptq_queue_close(far);
    ptq_queue_close(done);
    net_fini(&net);
}

struct getting {
    ptq_queue *queue;
    enum ptq_err answer;
    _Atomic uint64_t tid;
    ptq_msg *msg;
};

static void *get_one(void *context)
{
    struct getting *getting = context;

    atomic_store(&getting->tid, (uint64_t)gettid());
    getting->answer = ptq_get(getting->queue, PTQ_FOREVER, &getting->msg);
    return NULL;
}

static void a_bridge_that_is_ended_drains(void **state)
{
    struct net net;
    struct getting getting = {0};
    pthread_t thread;
    ptq_msg *msg;
    (void)state;

    net_init(&net, NULL);
    ptq_queue *here = net_open(net.here, "drains", NULL), *far = net_open(net.there, "drains", NULL);
    getting.queue = far;
    assert_ok(ptq_put(here, "held", 4, PTQ_NOWAIT));
    assert_ok(ptq_get(far, PTT_LONG, &msg));
    pthread_create(&thread, NULL, get_one, &getting);
    assert_true(ptt_wait_word(&getting.tid, 1, PTT_LONG));
    assert_true(ptt_wait_sleeping(getpid(), (pid_t)getting.tid, PTT_LONG));

    kill(net.bridge, SIGTERM);
    assert_ok(ptq_ack(msg)); /* what is held may be settled */
    assert_int_equal(ptt_reap(net.bridge, PTT_LONG), 0);
    net_bridge_start(&net, NULL);
    assert_ok(ptq_put(here, "next", 4, PTQ_NOWAIT));
    pthread_join(thread, NULL); /* who waited waits on, at the next bridge */

    assert_int_equal(getting.answer, PTQ_OK);
    assert_ok(ptq_ack(getting.msg));
    struct ptq_queue_stats stats;
    assert_ok(ptq_queue_stats(here, &stats));
    assert_true(stats.acked == 2 && stats.redelivered == 0);
    ptq_queue_close(far);
    ptq_queue_close(here);
    net_fini(&net);
}

static void a_second_signal_does_not_wait(void **state)
{
    struct net net;
    ptq_msg *msg;
    (void)state;

    net_init(&net, (const char *const[]){"--drain", "60s", NULL});
    ptq_queue *here = net_open(net.here, "second", NULL), *far = net_open(net.there, "second", NULL);
    assert_ok(ptq_put(here, "held", 4, PTQ_NOWAIT));
    assert_ok(ptq_get(far, PTT_LONG, &msg));
    kill(net.bridge, SIGTERM);
    kill(net.bridge, SIGTERM);
    kill(net.bridge, SIGINT);
    assert_int_equal(ptt_reap(net.bridge, PTT_LONG), 0);
    net.bridge = 0;
    assert_ok(ptq_get(here, PTT_LONG, &msg));
    assert_true(ptq_msg_redelivered(msg));
    assert_ok(ptq_ack(msg));
    ptq_queue_close(far);
    ptq_queue_close(here);
    net_fini(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_bridge_returns_its_leases_at_once),
        cmocka_unit_test(a_bridge_killed_in_mid_flow_loses_nothing),
        cmocka_unit_test(results_placed_over_a_killed_bridge_are_there_once),
        cmocka_unit_test(a_claim_is_made_again_at_the_next_bridge),
        cmocka_unit_test(a_bridge_that_is_ended_drains),
        cmocka_unit_test(a_second_signal_does_not_wait),
    };

    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 4);
}
