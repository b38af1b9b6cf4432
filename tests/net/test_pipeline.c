/* test_pipeline.c -- PTQ_PIPELINE over a link, and through the bridge of one's own host: puts are handed over, in order, and a flush says
 * that all are in. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/world.h"

#define FLOW 20000u

/* The host from where it is put: by a link of its own, or through a bridge there. */
struct far {
    struct world world;
    ptq_bus *bus;
    pid_t near; /* 0: by a link */
};

static void start_near(struct far *far)
{
    const char *const words[] = {"--dir", far->world.net.far.dir, "--run", "test", "--quiet", "--listen", "tcp://127.0.0.1:0",
                                 "--ready-fd", "1", NULL};
    char line[200];
    int out;

    far->near = net_spawn(PTQBRIDGE, words, &out);
    net_read_line(out, line, sizeof line);
    close(out);
}

static void far_init(struct far *far, bool bridged, const char *const *options)
{
    struct ptq_bus_options way = {.dir = NULL, .node = "far", .via = "bridge"};
    char peers[96];

    *far = (struct far){.near = 0};
    world_init(&far->world, options);
    far->bus = far->world.bus;
    if (!bridged)
        return;
    snprintf(peers, sizeof peers, "home=%s", far->world.proxy.url);
    way.dir = far->world.net.far.dir;
    way.peers = peers;
    start_near(far);
    assert_ok(ptq_bus_open("test", &way, &far->bus));
}

static void far_fini(struct far *far)
{
    if (far->near != 0) {
        ptq_bus_close(far->bus);
        ptt_kill(far->near);
    }
    world_fini(&far->world);
}

static ptq_queue *open_pipe(struct far *far, const char *name)
{
    return net_open(far->bus, name, &(struct ptq_queue_options){.mode = PTQ_ATTACH, .flags = PTQ_PIPELINE});
}

static void assert_next(ptq_queue *here, uint64_t wanted)
{
    uint64_t number;
    size_t size;

    assert_ok(ptq_recv(here, &number, sizeof number, PTT_LONG, &size));
    assert_int_equal(number, wanted);
}

static void put_over_cut_links(bool bridged)
{
    struct ptq_queue_options options = {.capacity = FLOW, .item_size = 16};
    struct far host;
    ptq_msg *msg;

    far_init(&host, bridged, NULL);
    ptq_queue *here = net_open(host.world.net.here, "flow", &options), *far = open_pipe(&host, "flow");
    for (uint64_t i = 0; i < FLOW; i++) {
        assert_ok(ptq_put(far, &i, sizeof i, PTT_LONG));
        if (i % 2500 == 1200)
            proxy_cut_all(&host.world.proxy);
    }
    assert_ok(ptq_flush(far, PTT_LONG));
    for (uint64_t i = 0; i < FLOW; i++)
        assert_next(here, i);
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
    ptq_queue *here = net_open(host.world.net.here, "full", &options), *far = open_pipe(&host, "full");
    while ((answer = ptq_put(far, &put, sizeof put, PTQ_NOWAIT)) == PTQ_OK && put < 100)
        put++;
    assert_answer(PTQ_FULL, answer);
    assert_true(put >= 8);
    assert_answer(PTQ_FULL, ptq_flush(far, PTQ_NOWAIT));
    assert_answer(PTQ_TIMEDOUT, ptq_flush(far, 20));
    assert_answer(PTQ_FULL, ptq_end(far));
    for (uint64_t i = 0; i < put; i++) {
        assert_next(here, i);
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
    ptq_queue *here = net_open(host.world.net.here, "ended", NULL), *far = open_pipe(&host, "ended");
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
    ptq_queue *far = open_pipe(&host, "mixed");
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
    ptq_queue *here = net_open(host.world.net.here, "flow", &options), *far = open_pipe(&host, "flow");
    for (uint64_t i = 0; i < FLOW; i++) {
        assert_ok(ptq_put(far, &i, sizeof i, PTT_LONG));
        if (i % 5000 == 1700) {
            ptt_kill(host.near);
            start_near(&host);
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
    ptq_queue *here = net_open(host.world.net.here, "kept", NULL), *far = open_pipe(&host, "kept");
    uint64_t number = 0;
    assert_ok(ptq_put(far, &number, sizeof number, PTT_LONG));
    assert_ok(ptq_flush(far, PTT_LONG));
    ptt_kill(host.near);
    for (number = 1; number < 40; number++)
        assert_ok(ptq_put(far, &number, sizeof number, PTQ_NOWAIT));
    enum ptq_err answer = ptq_flush(far, 100);
    assert_true(answer == PTQ_EUNREACHABLE || answer == PTQ_TIMEDOUT); /* as it is noticed that the bridge died */
    start_near(&host);
    assert_ok(ptq_flush(far, PTT_LONG));
    for (number = 0; number < 40; number++)
        assert_next(here, number);
    ptq_queue_close(far);
    ptq_queue_close(here);
    far_fini(&host);
}

/* Many go in one frame. */
static void puts_are_not_asked_one_by_one(void **state)
{
    struct ptq_queue_options options = {.capacity = FLOW, .item_size = 16};
    char path[200], line[700];
    unsigned long long frames = FLOW;
    struct far host;
    (void)state;

    far_init(&host, true, (const char *const[]){"--verbose", NULL});
    ptq_queue *here = net_open(host.world.net.here, "flow", &options), *far = open_pipe(&host, "flow");
    for (uint64_t i = 0; i < FLOW; i++)
        assert_ok(ptq_put(far, &i, sizeof i, PTT_LONG));
    assert_ok(ptq_flush(far, PTT_LONG));
    ptq_queue_close(far);
    ptq_queue_close(here);
    snprintf(path, sizeof path, "%s/bridge.log", host.world.net.home.dir);
    assert_int_equal(net_bridge_end(&host.world.net), 0);
    FILE *file = fopen(path, "r");
    while (fgets(line, sizeof line, file) != NULL) {
        const char *closed = strstr(line, "component=bridge event=closed"), *in = strstr(line, " frames_in=");
        if (closed != NULL && in != NULL)
            frames = strtoull(in + strlen(" frames_in="), NULL, 10);
    }
    fclose(file);
    assert_true(frames < FLOW / 10);
    far_fini(&host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_over_links_that_are_cut_are_in_order_and_once),
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
