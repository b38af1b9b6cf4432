/* test_pipeline.c -- PTQ_PIPELINE over a link: puts are handed over, in order, and a flush says that all are in. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/world.h"

static ptq_queue *open_pipe(struct world *world, const char *name)
{
    return net_open(world->bus, name, &(struct ptq_queue_options){.mode = PTQ_ATTACH, .flags = PTQ_PIPELINE});
}

static void assert_next(ptq_queue *here, uint64_t wanted)
{
    uint64_t number;
    size_t size;

    assert_ok(ptq_recv(here, &number, sizeof number, PTT_LONG, &size));
    assert_int_equal(number, wanted);
}

static void puts_over_links_that_are_cut_are_in_order_and_once(void **state)
{
    struct ptq_queue_options options = {.capacity = 20000, .item_size = 16};
    struct world world;
    ptq_msg *msg;
    (void)state;

    world_init(&world, NULL);
    ptq_queue *here = net_open(world.net.here, "flow", &options), *far = open_pipe(&world, "flow");
    for (uint64_t i = 0; i < 20000; i++) {
        assert_ok(ptq_put(far, &i, sizeof i, PTT_LONG));
        if (i % 2500 == 1200)
            proxy_cut_all(&world.proxy);
    }
    assert_ok(ptq_flush(far, PTT_LONG));
    for (uint64_t i = 0; i < 20000; i++)
        assert_next(here, i);
    assert_answer(PTQ_EMPTY, ptq_get(here, PTQ_NOWAIT, &msg));
    ptq_queue_close(far);
    ptq_queue_close(here);
    world_fini(&world);
}

static void what_finds_no_room_is_not_lost(void **state)
{
    struct ptq_queue_options options = {.capacity = 8, .item_size = 16};
    struct world world;
    uint64_t put = 0;
    enum ptq_err answer;
    (void)state;

    world_init(&world, NULL);
    ptq_queue *here = net_open(world.net.here, "full", &options), *far = open_pipe(&world, "full");
    while ((answer = ptq_put(far, &put, sizeof put, PTQ_NOWAIT)) == PTQ_OK && put < 100)
        put++;
    assert_answer(PTQ_FULL, answer);
    assert_true(put >= 8);
    assert_answer(PTQ_FULL, ptq_flush(far, PTQ_NOWAIT));
    assert_answer(PTQ_TIMEDOUT, ptq_flush(far, 20));
    assert_answer(PTQ_FULL, ptq_end(far));
    for (uint64_t i = 0; i < put; i++)
        assert_next(here, i);
    assert_ok(ptq_flush(far, PTT_LONG));
    assert_ok(ptq_end(far));
    ptq_queue_close(far);
    ptq_queue_close(here);
    world_fini(&world);
}

static void the_end_of_a_queue_is_told_by_the_next_call(void **state)
{
    struct world world;
    uint64_t number = 7;
    enum ptq_err answer;
    (void)state;

    world_init(&world, NULL);
    ptq_queue *here = net_open(world.net.here, "ended", NULL), *far = open_pipe(&world, "ended");
    assert_ok(ptq_end(here));
    answer = ptq_put(far, &number, sizeof number, PTT_LONG);
    if (answer == PTQ_OK)
        answer = ptq_flush(far, PTT_LONG);
    assert_answer(PTQ_EENDED, answer);
    assert_ok(ptq_flush(far, PTT_LONG)); /* it was told, and nothing is left */
    ptq_queue_close(far);
    ptq_queue_close(here);
    world_fini(&world);
}

static void other_puts_and_close_keep_the_order(void **state)
{
    struct ptq_put_options late = {.ttl_ms = -1};
    static uint64_t large[4096];
    struct world world;
    ptq_msg *msg;
    (void)state;

    world_init(&world, NULL);
    ptq_queue *here = net_open(world.net.here, "mixed", &(struct ptq_queue_options){.item_size = sizeof large});
    ptq_queue *far = open_pipe(&world, "mixed");
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
    world_fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_over_links_that_are_cut_are_in_order_and_once),
        cmocka_unit_test(what_finds_no_room_is_not_lost),
        cmocka_unit_test(the_end_of_a_queue_is_told_by_the_next_call),
        cmocka_unit_test(other_puts_and_close_keep_the_order),
    };

    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 4);
}
