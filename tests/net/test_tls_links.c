/* test_tls_links.c -- links of tls that are cut, spoilt, or stand still, wherever that strikes: in the handshake, the greeting, or later. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/keys.h"
#include "net/world.h"

static struct keys keys;

static int begin(void **state)
{
    (void)state;
    keys_make(&keys, (const char *const[]){"home", "far", NULL});
    return 0;
}

static int end(void **state)
{
    (void)state;
    keys_free(&keys);
    return 0;
}

/* As world_init, with tls from end to end and the faults below it. */
static void begin_world(struct world *world)
{
    char peers[160];

    memset(world, 0, sizeof *world);
    net_init_at(&world->net, "tls+tcp://127.0.0.1:0", (const char *const[]){"--keys", keys_path(&keys, "home", NULL), NULL});
    proxy_start(&world->proxy, world->net.url + strlen("tls+"));
    snprintf(peers, sizeof peers, "home=tls+%s", world->proxy.url);
    world->bus = keys_open_bus(&world->net, &keys, "far", peers);
}

static void cut_somewhere(struct world *world, uint64_t *seed)
{
    if (atomic_load(&world->proxy.cut_after) == 0)
        atomic_store(&world->proxy.cut_after, 1 + (int64_t)(ptt_random(seed) % 6000));
}

static void corrupt_somewhere(struct world *world, uint64_t *seed)
{
    if (atomic_load(&world->proxy.corrupt) == 0)
        atomic_store(&world->proxy.corrupt, 1 + (int64_t)(ptt_random(seed) % 6000));
}

static void half_close_somewhere(struct world *world, uint64_t *seed)
{
    struct proxy_way *way = &world->proxy.way[ptt_random(seed) % 2];

    if (atomic_load(&way->half_close) == 0)
        atomic_store(&way->half_close, 1 + (int64_t)(ptt_random(seed) % 6000));
}

static void puts_over_links_that_are_cut_arrive_once(void **state)
{
    struct world world;
    (void)state;

    begin_world(&world);
    world_put_through(&world, 150, cut_somewhere);
    world_fini(&world);
}

static void puts_over_links_that_change_bytes_arrive_once(void **state)
{
    struct world world;
    (void)state;

    begin_world(&world);
    world_put_through(&world, 150, corrupt_somewhere);
    world_fini(&world);
}

static void puts_over_links_that_end_one_way_arrive_once(void **state)
{
    struct world world;
    (void)state;

    begin_world(&world);
    world_put_through(&world, 250, half_close_somewhere);
    world_fini(&world);
}

/* One byte at a time: nothing depends on how records of tls are cut up. */
static void links_of_single_bytes_go_on(void **state)
{
    struct world world;
    ptq_msg *msg;
    (void)state;

    begin_world(&world);
    atomic_store(&world.proxy.piece, 1);
    ptq_queue *far = net_open(world.bus, "slow@home", NULL);
    assert_ok(ptq_put(far, "hello", 5, PTT_LONG));
    assert_ok(ptq_get(far, PTT_LONG, &msg));
    assert_memory_equal(ptq_msg_data(msg), "hello", 5);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(far);
    world_fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_over_links_that_are_cut_arrive_once),
        cmocka_unit_test(puts_over_links_that_change_bytes_arrive_once),
        cmocka_unit_test(puts_over_links_that_end_one_way_arrive_once),
        cmocka_unit_test(links_of_single_bytes_go_on),
    };
    return ptt_run_beside_with(tests, sizeof tests / sizeof *tests, 3, begin, end);
}
