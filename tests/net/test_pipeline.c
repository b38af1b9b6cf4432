/* test_pipeline.c -- PTQ_PIPELINE over a link, and through the bridge of one's own host: puts are handed over, in order, and a flush says
 * that all are in. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/log.h"
#include "net/world.h"

#define FLOW 20000u

/* The host from where it is put: by a link of its own, or through a bridge there. */
struct far {
    struct world world;
    ptq_bus *bus;
    struct net near; /* its bridge, if it has one */
};

static void far_init(struct far *far, bool bridged, const char *const *options)
{
    char peers[96];

    memset(far, 0, sizeof *far);
    world_init(&far->world, options);
    far->bus = far->world.bus;
    if (!bridged)
        return;
    snprintf(peers, sizeof peers, "home=%s", far->world.proxy.url);
    net_near_start(&far->near, &far->world.net, NULL);
    far->bus = net_open_way(&far->world.net, peers, "bridge");
}

static void far_fini(struct far *far)
{
    if (far->bus != far->world.bus)
        ptq_bus_close(far->bus);
    net_bridge_kill(&far->near);
    world_fini(&far->world);
}

/* One lease for many, as of what is gathered here. */
static void what_is_put_in_batches_shares_leases_where_the_queue_has_packs(void **state)
{
    struct ptq_queue_options options = {.capacity = FLOW, .item_size = 16, .pack_size = 1024};
    struct ptq_queue_stats stats;
    struct far host;
    ptq_msg *msg;
    (void)state;

    far_init(&host, false, NULL);
    ptq_queue *here = net_open(host.world.net.here, "packs", &options), *far = net_open_pipe(host.bus, "packs");
    for (uint64_t i = 0; i < 5000; i++)
        assert_ok(ptq_put(far, &i, sizeof i, PTT_LONG));
    assert_ok(ptq_flush(far, PTT_LONG));
    uint64_t position = 0, sub = 0, most = 0;
    for (uint64_t i = 0; i < 5000; i++) {
        assert_ok(ptq_get(here, PTT_LONG, &msg));
        if (i >= 2500 && i < 2600) { /* the first went alone, and any may be the last of its pack */
            assert_ok(ptq_queue_stats(here, &stats));
            most = stats.leased > most ? stats.leased : most;
            assert_int_equal(stats.leased + stats.ready, 5000 - i);
        }
        assert_int_equal(*(const uint64_t *)ptq_msg_data(msg), i);
        assert_true(i == 0 || ptq_msg_position(msg) > position || (ptq_msg_position(msg) == position && ptq_msg_sub(msg) > sub));
        position = ptq_msg_position(msg);
        sub = ptq_msg_sub(msg);
        assert_ok(ptq_ack(msg));
    }
    assert_true(most > 1);
    ptq_queue_close(far);
    ptq_queue_close(here);
    far_fini(&host);
}

#define CROWD 3u
#define EACH 20000u

struct putter {
    ptq_queue *queue;
    uint64_t index;
    pthread_t thread;
    enum ptq_err answer;
};

static void *put_each(void *context)
{
    struct putter *putter = context;

    for (uint64_t i = 0; i < EACH && putter->answer == PTQ_OK; i++) {
        uint64_t number = putter->index * EACH + i;
        putter->answer = ptq_put(putter->queue, &number, sizeof number, PTT_LONG);
        if (i % 5000 == 4999 && putter->answer == PTQ_OK)
            putter->answer = ptq_flush(putter->queue, PTT_LONG);
    }
    return NULL;
}

static void put_by_many_threads(bool bridged)
{
    struct ptq_queue_options options = {.capacity = 4096, .item_size = 16, .pack_size = 512};
    struct putter putters[CROWD];
    uint64_t next[CROWD] = {0}, number;
    struct far host;
    size_t size;

    far_init(&host, bridged, NULL);
    ptq_queue *here = net_open(host.world.net.here, "crowd", &options), *far = net_open_pipe(host.bus, "crowd");
    for (unsigned i = 0; i < CROWD; i++) {
        putters[i] = (struct putter){.queue = far, .index = i};
        assert_int_equal(pthread_create(&putters[i].thread, NULL, put_each, &putters[i]), 0);
    }
    for (unsigned i = 0; i < CROWD * EACH; i++) {
        assert_ok(ptq_recv(here, &number, sizeof number, PTT_LONG, &size));
        assert_int_equal(number % EACH, next[number / EACH]++);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        pthread_join(putters[i].thread, NULL);
        assert_ok(putters[i].answer);
    }
    assert_int_equal(ptq_recv(here, &number, sizeof number, PTQ_NOWAIT, &size), PTQ_EMPTY);
    ptq_queue_close(far);
    ptq_queue_close(here);
    far_fini(&host);
}

static void each_thread_of_a_handle_puts_in_order(void **state)
{
    (void)state;
    put_by_many_threads(false);
}

static void through_the_bridge_each_thread_of_a_handle_puts_in_order(void **state)
{
    (void)state;
    put_by_many_threads(true);
}

static void put_over_cut_links(bool bridged)
{
    struct ptq_queue_options options = {.capacity = FLOW, .item_size = 16};
    struct far host;
    ptq_msg *msg;

    far_init(&host, bridged, NULL);
    ptq_queue *here = net_open(host.world.net.here, "flow", &options), *far = net_open_pipe(host.bus, "flow");
    for (uint64_t i = 0; i < FLOW; i++) {
        assert_ok(ptq_put(far, &i, sizeof i, PTT_LONG));
        if (i % 2500 == 1200)
            proxy_cut_all(&host.world.proxy);
    }
    assert_ok(ptq_flush(far, PTT_LONG));
    for (uint64_t i = 0; i < FLOW; i++)
        net_assert_number(here, i);
    assert_answer(PTQ_EMPTY, ptq_get(here, PTQ_NOWAIT, &msg));
    ptq_queue_close(far);
    ptq_queue_close(here);
    far_fini(&host);
}

static void find_no_room(bool bridged)
{
    struct ptq_queue_options options = {.capacity = 8, .item_size = 16};
    struct far host;
    uint64_t put = 0;
    enum ptq_err answer;

    far_init(&host, bridged, NULL);
    ptq_queue *here = net_open(host.world.net.here, "full", &options), *far = net_open_pipe(host.bus, "full");
    while ((answer = ptq_put(far, &put, sizeof put, PTQ_NOWAIT)) == PTQ_OK && put < 100)
        put++;
    assert_answer(PTQ_FULL, answer);
    assert_true(put >= 8);
    assert_answer(PTQ_FULL, ptq_flush(far, PTQ_NOWAIT));
    assert_answer(PTQ_TIMEDOUT, ptq_flush(far, 20));
    assert_answer(PTQ_FULL, ptq_end(far));
    for (uint64_t i = 0; i < put; i++) {
        net_assert_number(here, i);
        if (bridged) /* nothing goes by itself there */
            (void)!ptq_flush(far, PTQ_NOWAIT);
    }
    assert_ok(ptq_flush(far, PTT_LONG));
    assert_ok(ptq_end(far));
    ptq_queue_close(far);
    ptq_queue_close(here);
    far_fini(&host);
}

static void meet_the_end(bool bridged)
{
    struct far host;
    uint64_t number = 7;
    enum ptq_err answer;

    far_init(&host, bridged, NULL);
    ptq_queue *here = net_open(host.world.net.here, "ended", NULL), *far = net_open_pipe(host.bus, "ended");
    assert_ok(ptq_end(here));
    answer = ptq_put(far, &number, sizeof number, PTT_LONG);
    if (answer == PTQ_OK)
        answer = ptq_flush(far, PTT_LONG);
    assert_answer(PTQ_EENDED, answer);
    assert_ok(ptq_flush(far, PTT_LONG)); /* it was told, and nothing is left */
    ptq_queue_close(far);
    ptq_queue_close(here);
    far_fini(&host);
}

static void mix_puts(bool bridged)
{
    struct ptq_put_options late = {.ttl_ms = -1};
    static uint64_t large[4096];
    struct far host;
    ptq_msg *msg;

    far_init(&host, bridged, NULL);
    ptq_queue *here = net_open(host.world.net.here, "mixed", &(struct ptq_queue_options){.item_size = sizeof large});
    ptq_queue *far = net_open_pipe(host.bus, "mixed");
    for (uint64_t i = 0; i < 60; i += 3) {
        uint64_t second = i + 1;
        assert_ok(ptq_put(far, &i, sizeof i, PTT_LONG));
        assert_ok(ptq_put_with(far, &second, sizeof second, &late, PTT_LONG));
        large[0] = i + 2;
        assert_ok(ptq_put(far, large, sizeof large, PTT_LONG));
    }
    uint64_t last = 60;
    assert_ok(ptq_put(far, &last, sizeof last, PTT_LONG));
    ptq_queue_close(far);
    for (uint64_t i = 0; i <= 60; i++) {
        assert_ok(ptq_get(here, PTT_LONG, &msg));
        assert_memory_equal(ptq_msg_data(msg), &i, sizeof i);
        assert_ok(ptq_ack(msg));
    }
    ptq_queue_close(here);
    far_fini(&host);
}

/* ---- each way ---- */

static void puts_over_links_that_are_cut_are_in_order_and_once(void **state)
{
    (void)state;
    put_over_cut_links(false);
}

static void through_the_bridge_puts_over_links_that_are_cut_are_in_order_and_once(void **state)
{
    (void)state;
    put_over_cut_links(true);
}

static void what_finds_no_room_is_not_lost(void **state)
{
    (void)state;
    find_no_room(false);
}

static void through_the_bridge_what_finds_no_room_is_not_lost(void **state)
{
    (void)state;
    find_no_room(true);
}

static void the_end_of_a_queue_is_told_by_the_next_call(void **state)
{
    (void)state;
    meet_the_end(false);
}

static void through_the_bridge_the_end_of_a_queue_is_told_by_the_next_call(void **state)
{
    (void)state;
    meet_the_end(true);
}

static void other_puts_and_close_keep_the_order(void **state)
{
    (void)state;
    mix_puts(false);
}

static void through_the_bridge_other_puts_and_close_keep_the_order(void **state)
{
    (void)state;
    mix_puts(true);
}

/* ---- through the bridge ---- */

/* Both are killed in the middle of it, again and again. */
static void whichever_bridge_is_killed_all_arrive_in_order_and_once(void **state)
{
    struct ptq_queue_options options = {.capacity = FLOW, .item_size = 16};
    struct far host;
    ptq_msg *msg;
    (void)state;

    far_init(&host, true, NULL);
    ptq_queue *here = net_open(host.world.net.here, "flow", &options), *far = net_open_pipe(host.bus, "flow");
    for (uint64_t i = 0; i < FLOW; i++) {
        assert_ok(ptq_put(far, &i, sizeof i, PTT_LONG));
        if (i % 5000 == 1700) {
            net_bridge_kill(&host.near);
            net_near_start(&host.near, &host.world.net, NULL);
        } else if (i % 5000 == 4200) {
            net_bridge_kill(&host.world.net);
            net_bridge_start(&host.world.net, NULL);
        }
    }
    assert_ok(ptq_flush(far, PTT_LONG));
    for (uint64_t i = 0; i < FLOW; i++) {
        assert_ok(ptq_get(here, PTT_LONG, &msg));
        assert_memory_equal(ptq_msg_data(msg), &i, sizeof i);
        assert_false(ptq_msg_redelivered(msg)); /* nothing was doubled, and nothing had to be flagged */
        assert_ok(ptq_ack(msg));
    }
    assert_answer(PTQ_EMPTY, ptq_get(here, PTQ_NOWAIT, &msg));
    ptq_queue_close(far);
    ptq_queue_close(here);
    far_fini(&host);
}

/* Without a bridge it is not lost: it goes when there is one. */
static void what_is_gathered_waits_for_a_bridge(void **state)
{
    struct far host;
    (void)state;

    far_init(&host, true, NULL);
    ptq_queue *here = net_open(host.world.net.here, "kept", NULL), *far = net_open_pipe(host.bus, "kept");
    uint64_t number = 0;
    assert_ok(ptq_put(far, &number, sizeof number, PTT_LONG));
    assert_ok(ptq_flush(far, PTT_LONG));
    net_bridge_kill(&host.near);
    for (number = 1; number < 40; number++)
        assert_ok(ptq_put(far, &number, sizeof number, PTQ_NOWAIT));
    enum ptq_err answer = ptq_flush(far, 100);
    assert_true(answer == PTQ_EUNREACHABLE || answer == PTQ_TIMEDOUT); /* as it is noticed that the bridge died */
    net_near_start(&host.near, &host.world.net, NULL);
    assert_ok(ptq_flush(far, PTT_LONG));
    for (number = 0; number < 40; number++)
        net_assert_number(here, number);
    ptq_queue_close(far);
    ptq_queue_close(here);
    far_fini(&host);
}

/* Many go in one frame. */
static void puts_are_not_asked_one_by_one(void **state)
{
    struct ptq_queue_options options = {.capacity = FLOW, .item_size = 16};
    struct far host;
    (void)state;

    far_init(&host, true, (const char *const[]){"--verbose", NULL});
    ptq_queue *here = net_open(host.world.net.here, "flow", &options), *far = net_open_pipe(host.bus, "flow");
    for (uint64_t i = 0; i < FLOW; i++)
        assert_ok(ptq_put(far, &i, sizeof i, PTT_LONG));
    assert_ok(ptq_flush(far, PTT_LONG));
    ptq_queue_close(far);
    ptq_queue_close(here);
    assert_int_equal(net_bridge_end(&host.world.net), 0);
    assert_true(net_log_total(&host.world.net, "frames_in") < FLOW / 10);
    far_fini(&host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_over_links_that_are_cut_are_in_order_and_once),
        cmocka_unit_test(each_thread_of_a_handle_puts_in_order),
        cmocka_unit_test(through_the_bridge_each_thread_of_a_handle_puts_in_order),
        cmocka_unit_test(what_is_put_in_batches_shares_leases_where_the_queue_has_packs),
        cmocka_unit_test(what_finds_no_room_is_not_lost),
        cmocka_unit_test(the_end_of_a_queue_is_told_by_the_next_call),
        cmocka_unit_test(other_puts_and_close_keep_the_order),
        cmocka_unit_test(through_the_bridge_puts_over_links_that_are_cut_are_in_order_and_once),
        cmocka_unit_test(through_the_bridge_what_finds_no_room_is_not_lost),
        cmocka_unit_test(through_the_bridge_the_end_of_a_queue_is_told_by_the_next_call),
        cmocka_unit_test(through_the_bridge_other_puts_and_close_keep_the_order),
        cmocka_unit_test(whichever_bridge_is_killed_all_arrive_in_order_and_once),
        cmocka_unit_test(what_is_gathered_waits_for_a_bridge),
        cmocka_unit_test(puts_are_not_asked_one_by_one),
    };

    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 4);
}
