/* test_start.c -- calls whose asker does not wait: answered once, whatever happens to the link, or stopped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "net/kit.h"
#include "net/proxy.h"
#include "remote/call.h"
#include "remote/remote.h"

#define MOST 64

static struct net net;
static struct proxy proxy;

static int start_hosts(void **state)
{
    char peers[96];
    (void)state;

    net_init(&net, NULL);
    proxy_start(&proxy, net.url);
    ptq_bus_close(net.there);
    snprintf(peers, sizeof peers, "home=%s", proxy.url);
    net.there = net_open_far(&net, peers);
    return 0;
}

static int end_hosts(void **state)
{
    (void)state;
    proxy_stop(&proxy);
    net_fini(&net);
    return 0;
}

static struct pti_remote *remote_of(ptq_queue *queue)
{
    return pti_remote_of(queue->port);
}

static void count_answer(struct pti_call *call, void *context)
{
    (void)call;
    atomic_fetch_add((_Atomic uint64_t *)context, 1);
}

static void puts_that_are_started_are_answered_once_over_links_that_are_cut(void **state)
{
    _Atomic uint64_t answered = 0;
    struct pti_call *calls[MOST];
    struct pti_put puts[MOST];
    uint32_t numbers[MOST];
    ptq_msg *msg;
    (void)state;

    ptq_queue *here = net_open(net.here, "started", NULL), *far = net_open(net.there, "started", NULL);
    for (uint32_t i = 0; i < MOST; i++) {
        numbers[i] = i;
        puts[i] = (struct pti_put){.data = &numbers[i], .size = sizeof numbers[i]};
        calls[i] = pti_call_for_put(remote_of(far), &puts[i], 1, PTI_DEADLINE_NOW);
        assert_ok(pti_call_start(calls[i], count_answer, &answered));
        if (i % 16 == 7)
            proxy_cut_all(&proxy);
    }
    for (uint64_t now; (now = answered) < MOST;)
        assert_true(ptt_wait_word(&answered, now + 1, PTT_LONG));
    for (uint32_t i = 0; i < MOST; i++) {
        assert_ok(calls[i]->code);
        pti_call_free(calls[i]);
        assert_ok(ptq_get(here, PTQ_NOWAIT, &msg));
        assert_memory_equal(ptq_msg_data(msg), &i, sizeof i);
        assert_ok(ptq_ack(msg));
    }
    assert_answer(PTQ_EMPTY, ptq_get(here, PTQ_NOWAIT, &msg));
    assert_int_equal(answered, MOST);
    ptq_queue_close(far);
    ptq_queue_close(here);
}

static void a_take_that_is_started_gets_what_comes_later(void **state)
{
    _Atomic uint64_t answered = 0;
    struct ptq_msg *msgs[2];
    (void)state;

    ptq_queue *here = net_open(net.here, "later", NULL), *far = net_open(net.there, "later", NULL);
    struct pti_call *call = pti_call_for_take(remote_of(far), 2, msgs, PTI_DEADLINE_NEVER);
    assert_ok(pti_call_start(call, count_answer, &answered));
    assert_ok(ptq_put(here, "x", 1, PTQ_NOWAIT));
    assert_true(ptt_wait_word(&answered, 1, PTT_LONG));
    assert_ok(call->code);
    assert_int_equal(call->got, 1);
    pti_call_free(call);
    msgs[0]->queue = far;
    assert_ok(ptq_ack(msgs[0]));
    ptq_queue_close(far);
    ptq_queue_close(here);
}

/* What a stopped take gets all the same goes back to its place. */
static void a_take_that_is_stopped_keeps_nothing(void **state)
{
    _Atomic uint64_t answered = 0;
    struct ptq_queue_stats stats;
    struct ptq_msg *msgs[1];
    ptq_msg *msg;
    (void)state;

    ptq_queue *here = net_open(net.here, "stopped", NULL), *far = net_open(net.there, "stopped", NULL);
    struct pti_call *call = pti_call_for_take(remote_of(far), 1, msgs, PTI_DEADLINE_NEVER);
    assert_ok(pti_call_start(call, count_answer, &answered));
    assert_ok(ptq_queue_stats(far, &stats)); /* behind it: the home has it */
    assert_answer(PTQ_EINTR, pti_call_stop(&call));
    pti_call_free(call);
    assert_ok(ptq_put(here, "x", 1, PTQ_NOWAIT));
    assert_ok(ptq_get(here, PTT_LONG, &msg));
    assert_false(ptq_msg_redelivered(msg));
    assert_ok(ptq_ack(msg));
    assert_int_equal(answered, 0);
    ptq_queue_close(far);
    ptq_queue_close(here);
}

static void closing_answers_what_was_started(void **state)
{
    _Atomic uint64_t answered = 0;
    struct ptq_queue_stats stats;
    struct ptq_msg *msgs[1];
    (void)state;

    ptq_queue *here = net_open(net.here, "closing", &(struct ptq_queue_options){.capacity = 1});
    ptq_queue *far = net_open(net.there, "closing", NULL);
    struct pti_put put = {.data = "x", .size = 1};
    assert_ok(ptq_put(here, "full", 4, PTQ_NOWAIT));
    struct pti_call *in = pti_call_for_put(remote_of(far), &put, 1, PTI_DEADLINE_NEVER);
    assert_ok(pti_call_start(in, count_answer, &answered));
    assert_ok(ptq_queue_stats(far, &stats));
    atomic_store(&proxy.stall, true);
    struct pti_call *out = pti_call_for_take(remote_of(far), 1, msgs, PTI_DEADLINE_NEVER);
    assert_ok(pti_call_start(out, count_answer, &answered));
    ptq_queue_close(far);
    assert_int_equal(answered, 2);
    assert_answer(PTQ_EINDOUBT, in->code);
    assert_answer(PTQ_EINTR, out->code);
    pti_call_free(in);
    pti_call_free(out);
    atomic_store(&proxy.stall, false);
    ptq_queue_close(here);
}

/* One that is silent costs its 3 s once, however many are asked. */
static void several_homes_are_asked_at_once(void **state)
{
    struct pti_directory_ask ask = {.name = "asked"};
    struct pti_directory directories[4];
    struct pti_asking *askings[4];
    struct proxy silent[3];
    (void)state;

    ptq_queue *here = net_open(net.here, "asked", NULL);
    int64_t began = pti_now_ns();
    for (int i = 0; i < 3; i++) {
        proxy_start(&silent[i], net.url);
        atomic_store(&silent[i].stall, true);
        assert_ok(pti_remote_ask_begin(net.there, silent[i].url, &ask, NULL, &directories[i], &askings[i]));
    }
    assert_ok(pti_remote_ask_begin(net.there, net.url, &ask, NULL, &directories[3], &askings[3]));
    for (int i = 0; i < 3; i++)
        assert_answer(PTQ_EUNREACHABLE, pti_remote_ask_end(askings[i], NULL));
    assert_ok(pti_remote_ask_end(askings[3], NULL));
    assert_int_equal(directories[3].count, 1);
    assert_true(pti_now_ns() - began < 3 * 3 * PTI_NS_PER_S); /* less than one after the other */
    free(directories[3].names);
    for (int i = 0; i < 3; i++)
        proxy_stop(&silent[i]);
    ptq_queue_close(here);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_that_are_started_are_answered_once_over_links_that_are_cut),
        cmocka_unit_test(a_take_that_is_started_gets_what_comes_later),
        cmocka_unit_test(a_take_that_is_stopped_keeps_nothing),
        cmocka_unit_test(closing_answers_what_was_started),
        cmocka_unit_test(several_homes_are_asked_at_once),
    };

    return cmocka_run_group_tests(tests, start_hosts, end_hosts);
}
