/* test_spoiled.c -- streams that lose or repeat bytes, end one way, or go silent in the middle of a frame. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "net/world.h"

static void after_some_bytes(_Atomic int64_t *counter, uint64_t most, uint64_t *seed)
{
    if (atomic_load(counter) == 0)
        atomic_store(counter, 1 + (int64_t)(ptt_random(seed) % most));
}

enum { FEW_PUTS = 60, MOST_BYTES = 9000 };

static void truncate_somewhere(struct world *world, uint64_t *seed)
{
    after_some_bytes(&world->proxy.way[ptt_random(seed) % 2].truncate, 40 * FEW_PUTS, seed); /* a put is more than that, both ways */
}

static void repeat_somewhere(struct world *world, uint64_t *seed)
{
    after_some_bytes(&world->proxy.way[ptt_random(seed) % 2].duplicate, MOST_BYTES, seed);
}

static void half_close_somewhere(struct world *world, uint64_t *seed)
{
    after_some_bytes(&world->proxy.way[ptt_random(seed) % 2].half_close, MOST_BYTES, seed);
}

/* What was lost is found out by the checksum of the next frame, or by nothing coming for 3 s: so there are few of them. */
static void puts_over_links_that_lose_bytes_arrive_once(void **state)
{
    struct world world;
    (void)state;

    world_init(&world, NULL);
    world_put_through(&world, FEW_PUTS, truncate_somewhere);
    world_fini(&world);
}

static void puts_over_links_that_repeat_bytes_arrive_once(void **state)
{
    struct world world;
    (void)state;

    world_init(&world, NULL);
    world_put_through(&world, 800, repeat_somewhere);
    world_fini(&world);
}

static void puts_over_links_that_end_one_way_arrive_once(void **state)
{
    struct world world;
    (void)state;

    world_init(&world, NULL);
    world_put_through(&world, 800, half_close_somewhere);
    world_fini(&world);
}

/* A frame whose rest never comes: both ways, each found out within seconds; the put is done once. */
static void a_link_that_goes_silent_behind_a_header_is_left(void **state)
{
    struct world world;
    ptq_msg *msg;
    (void)state;

    world_init(&world, NULL);
    ptq_queue *far = net_open(world.bus, "headers@home", NULL);
    for (int way = 0; way < 2; way++) {
        uint64_t links = atomic_load(&world.proxy.links);
        atomic_store(&world.proxy.way[way].stall_after_header, 1);
        int64_t before = pti_now_ns();
        assert_ok(ptq_put(far, "once", 4, PTT_LONG));
        assert_true(pti_now_ns() - before < 10 * PTI_NS_PER_S);
        assert_true(atomic_load(&world.proxy.links) > links);
    }
    for (int i = 0; i < 2; i++) {
        assert_ok(ptq_get(far, PTT_LONG, &msg));
        assert_false(ptq_msg_redelivered(msg));
        assert_ok(ptq_ack(msg));
    }
    assert_answer(PTQ_EMPTY, ptq_get(far, PTQ_NOWAIT, &msg));
    ptq_queue_close(far);
    world_fini(&world);
}

/* The home hears, but is not heard: what it did is told when it is. */
static void a_home_that_is_heard_no_more_does_each_put_once(void **state)
{
    struct world world;
    ptq_msg *msg;
    (void)state;

    world_init(&world, NULL);
    ptq_queue *here = net_open(world.net.here, "unheard", NULL), *far = net_open(world.bus, "unheard", NULL);
    struct ledger *put = ledger_new(far, 3);
    pthread_t producer;
    atomic_store(&world.proxy.way[PROXY_DOWN].stall, true);
    assert_int_equal(pthread_create(&producer, NULL, ledger_produce, put), 0);
    assert_ok(ptq_get(here, PTT_LONG, &msg)); /* it was done */
    assert_ok(ptq_ack(msg));
    assert_int_equal(atomic_load(&put->done), 0);
    atomic_store(&world.proxy.way[PROXY_DOWN].stall, false);
    pthread_join(producer, NULL);

    for (int i = 1; i < 3; i++) {
        assert_ok(ptq_get(here, PTT_LONG, &msg));
        assert_false(ptq_msg_redelivered(msg));
        assert_ok(ptq_ack(msg));
    }
    assert_answer(PTQ_EMPTY, ptq_get(here, PTQ_NOWAIT, &msg));
    assert_int_equal(put->in_doubt + put->refused, 0);
    free(put);
    ptq_queue_close(far);
    ptq_queue_close(here);
    world_fini(&world);
}

/* One link that takes nothing does not hold up another: neither in the proxy nor in the bridge. */
static void a_reader_that_stands_still_holds_up_nobody(void **state)
{
    struct world world;
    struct ptq_queue_stats stats;
    char body[4096];
    (void)state;

    world_init(&world, NULL);
    ptq_queue *here = net_open(world.net.here, "still", &(struct ptq_queue_options){.capacity = 4096});
    ptq_queue *other = net_open(world.net.there, "still", NULL); /* without the proxy */
    ptq_queue *far = net_open(world.bus, "still", NULL);
    memset(body, 's', sizeof body);
    atomic_store(&world.proxy.way[PROXY_DOWN].stall, true);
    for (int i = 0; i < 500; i++)
        assert_ok(ptq_put(other, body, sizeof body, PTT_LONG));
    assert_ok(ptq_queue_stats(here, &stats));
    assert_int_equal(stats.put, 500);
    atomic_store(&world.proxy.way[PROXY_DOWN].stall, false);
    ptq_queue_close(far);
    ptq_queue_close(other);
    ptq_queue_close(here);
    world_fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_over_links_that_lose_bytes_arrive_once),
        cmocka_unit_test(a_link_that_goes_silent_behind_a_header_is_left),
        cmocka_unit_test(puts_over_links_that_repeat_bytes_arrive_once),
        cmocka_unit_test(puts_over_links_that_end_one_way_arrive_once),
        cmocka_unit_test(a_home_that_is_heard_no_more_does_each_put_once),
        cmocka_unit_test(a_reader_that_stands_still_holds_up_nobody),
    };

    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 4);
}
