/* test_networks.c -- hosts whose network loses packets, resets connections, is cut one way, unplugged, or slow. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/ledger.h"
#include "net/netns.h"

struct opening {
    ptq_bus *bus;
    const char *name;
    ptq_queue *queue;
};

/* The first link of all may be one that is reset. */
static bool is_open(void *context)
{
    struct opening *opening = context;

    return ptq_queue_open(opening->bus, opening->name, NULL, &opening->queue) == PTQ_OK;
}

static ptq_queue *open_patiently(ptq_bus *bus, const char *name)
{
    struct opening opening = {bus, name, NULL};

    assert_true(ptt_wait_until(is_open, &opening, PTT_LONG));
    return opening.queue;
}

/* Puts numbers from afar while the network is as it is; each must arrive once.  `during` is told when a third is done. */
static void put_through(struct netns *ns, uint64_t count, void (*during)(struct netns *ns))
{
    ptq_queue *far = open_patiently(ns->net.there, "through@home"), *here = net_open(ns->net.here, "through", NULL);
    struct ledger *put = ledger_new(far, count), *got = ledger_new(here, count);
    pthread_t producer, consumer;

    pthread_create(&consumer, NULL, ledger_consume, got);
    pthread_create(&producer, NULL, ledger_produce, put);
    if (during != NULL) {
        assert_true(ptt_wait_word(&put->done, count / 3, PTT_LONG));
        during(ns);
    }
    pthread_join(producer, NULL);
    assert_ok(ptq_end(here));
    pthread_join(consumer, NULL);
    assert_int_equal(put->in_doubt + put->refused, 0);
    ledger_assert(put, got);
    for (uint64_t number = 1; number <= count; number++)
        assert_int_equal(got->seen[number], 1);
    free(put);
    free(got);
    ptq_queue_close(far);
    ptq_queue_close(here);
}

static void lose_packets(struct netns *ns)
{
    netns_need("nft");
    for (int side = 0; side < 2; side++)
        netns_filter(ns, side, "numgen random mod 100 < 4", "drop");
    put_through(ns, 100, NULL);
}

static void reset_connections(struct netns *ns)
{
    netns_need("nft");
    netns_filter(ns, NETNS_HOME, "tcp dport 7400 numgen random mod 100 < 2", "reject with tcp reset");
    put_through(ns, 600, NULL);
}

/* Longer than the silence that ends a link. */
static void deafen_far(struct netns *ns)
{
    netns_filter(ns, NETNS_FAR, "", "drop");
    usleep(4000 * 1000);
    netns_filter_nothing(ns, NETNS_FAR);
}

static void deafen_home(struct netns *ns)
{
    netns_filter(ns, NETNS_HOME, "", "drop");
    usleep(4000 * 1000);
    netns_filter_nothing(ns, NETNS_HOME);
}

static void cut_the_way_back(struct netns *ns)
{
    netns_need("nft");
    put_through(ns, 300, deafen_far);
}

static void cut_the_way_there(struct netns *ns)
{
    netns_need("nft");
    put_through(ns, 300, deafen_home);
}

static void pull_the_cable(struct netns *ns)
{
    netns_run(ns, NETNS_HOME, "ip link set cable down");
    usleep(4000 * 1000);
    netns_run(ns, NETNS_HOME, "ip link set cable up");
}

static void unplug(struct netns *ns)
{
    put_through(ns, 300, pull_the_cable);
}

/* Longer than silence and grace together: the session is over at home, and what it held is handed out again.  No end of file
 * ever comes: nobody hears of it but by what he does not hear. */
static void outlast_grace(struct netns *ns)
{
    ptq_queue *far = net_open(ns->net.there, "held@home", NULL), *here = net_open(ns->net.here, "held", NULL);
    ptq_msg *held, *again;

    assert_ok(ptq_put(far, "work", 4, PTT_LONG));
    assert_ok(ptq_get(far, PTT_LONG, &held));
    netns_run(ns, NETNS_HOME, "ip link set cable down");
    assert_ok(ptq_get(here, PTT_LONG, &again));
    assert_true(ptq_msg_redelivered(again));
    netns_run(ns, NETNS_HOME, "ip link set cable up");

    assert_ok(ptq_put(far, "next", 4, PTT_LONG)); /* an ack waits less for a link, and would be in doubt */
    assert_answer(PTQ_ELEASELOST, ptq_ack(held));
    assert_ok(ptq_ack(again));
    ptq_queue_close(far);
    ptq_queue_close(here);
}

static void pull_past_grace(struct netns *ns)
{
    netns_run(ns, NETNS_HOME, "ip link set cable down");
    usleep(5500 * 1000);
    netns_run(ns, NETNS_HOME, "ip link set cable up");
}

static void unplug_past_grace(struct netns *ns)
{
    put_through(ns, 300, pull_past_grace);
}

struct heap {
    ptq_queue *queue;
    char *body;
    _Atomic uint64_t done;
};

enum { HEAP = 6, HEAP_SIZE = 1 << 20 };

static void *put_heap(void *context)
{
    struct heap *heap = context;
    uint64_t wrong = 0;

    for (int i = 0; i < HEAP; i++) {
        wrong += ptq_put(heap->queue, heap->body, HEAP_SIZE, PTQ_FOREVER) != PTQ_OK;
        atomic_fetch_add(&heap->done, 1);
    }
    return (void *)(uintptr_t)wrong;
}

/* Six megabytes at two a second: others are not behind them, and the link is not taken for a silent one. */
static void be_slow(struct netns *ns)
{
    struct heap heap = {.body = calloc(1, HEAP_SIZE)};
    uint64_t small = 0, one = 1;
    size_t size;
    pthread_t thread;
    void *wrong;

    netns_run(ns, NETNS_FAR, "tc qdisc add dev cable root tbf rate 16mbit burst 32kb latency 100ms");
    heap.queue = net_open(ns->net.there, "heap@home", &(struct ptq_queue_options){.item_size = HEAP_SIZE, .capacity = 16});
    ptq_queue *far = net_open(ns->net.there, "small@home", NULL), *here = net_open(ns->net.here, "small", NULL);
    assert_int_equal(pthread_create(&thread, NULL, put_heap, &heap), 0);
    while (atomic_load(&heap.done) < HEAP) {
        assert_ok(ptq_put(far, &one, sizeof one, PTT_LONG));
        assert_ok(ptq_recv(here, &one, sizeof one, PTQ_NOWAIT, &size)); /* else they fill their queue before the heap begins */
        small += atomic_load(&heap.done) > 0;
    }
    pthread_join(thread, &wrong);
    assert_null(wrong);
    print_message("%llu small ones went by\n", (unsigned long long)small);
    assert_true(small >= HEAP);
    struct ptq_queue_stats stats;
    assert_ok(ptq_queue_stats(heap.queue, &stats));
    assert_int_equal(stats.put, HEAP);
    ptq_queue_close(heap.queue);
    ptq_queue_close(far);
    ptq_queue_close(here);
    free(heap.body);
}

static void lost_packets_lose_and_double_nothing(void **state)
{
    (void)state;
    netns_case(lose_packets);
}

static void reset_connections_lose_and_double_nothing(void **state)
{
    (void)state;
    netns_case(reset_connections);
}

static void a_way_back_that_is_cut_for_a_while_loses_and_doubles_nothing(void **state)
{
    (void)state;
    netns_case(cut_the_way_back);
}

static void a_way_there_that_is_cut_for_a_while_loses_and_doubles_nothing(void **state)
{
    (void)state;
    netns_case(cut_the_way_there);
}

static void a_cable_that_is_pulled_and_put_back_loses_and_doubles_nothing(void **state)
{
    (void)state;
    netns_case(unplug);
}

static void a_slow_link_lets_small_ones_pass_by_large_ones(void **state)
{
    (void)state;
    netns_case(be_slow);
}

static void a_session_that_is_silent_for_longer_than_its_grace_gives_back_what_it_held(void **state)
{
    (void)state;
    netns_case(outlast_grace);
}

static void a_cable_that_is_pulled_for_longer_than_the_grace_loses_and_doubles_nothing(void **state)
{
    (void)state;
    netns_case(unplug_past_grace);
}

/* ---- the same, through the bridge of the far host */

#define THROUGH_BRIDGE(scene)                                                                                          \
    static void scene##_through_bridge(struct netns *ns)                                                               \
    {                                                                                                                  \
        netns_go_through_bridge(ns);                                                                                   \
        scene(ns);                                                                                                     \
    }
THROUGH_BRIDGE(lose_packets)
THROUGH_BRIDGE(reset_connections)
THROUGH_BRIDGE(cut_the_way_back)
THROUGH_BRIDGE(cut_the_way_there)
THROUGH_BRIDGE(outlast_grace)
THROUGH_BRIDGE(unplug_past_grace)
THROUGH_BRIDGE(be_slow)

static void through_the_bridge_lost_packets_lose_and_double_nothing(void **state)
{
    (void)state;
    netns_case(lose_packets_through_bridge);
}

static void through_the_bridge_reset_connections_lose_and_double_nothing(void **state)
{
    (void)state;
    netns_case(reset_connections_through_bridge);
}

static void through_the_bridge_a_way_that_is_cut_for_a_while_loses_and_doubles_nothing(void **state)
{
    (void)state;
    netns_case(cut_the_way_back_through_bridge);
    netns_case(cut_the_way_there_through_bridge);
}

static void through_the_bridge_a_session_that_is_silent_gives_back_what_it_held(void **state)
{
    (void)state;
    netns_case(outlast_grace_through_bridge);
}

static void through_the_bridge_a_cable_that_is_pulled_loses_and_doubles_nothing(void **state)
{
    (void)state;
    netns_case(unplug_past_grace_through_bridge);
}

static void through_the_bridge_a_slow_link_lets_small_ones_pass_by_large_ones(void **state)
{
    (void)state;
    netns_case(be_slow_through_bridge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_packets_lose_and_double_nothing),
        cmocka_unit_test(a_way_back_that_is_cut_for_a_while_loses_and_doubles_nothing),
        cmocka_unit_test(a_way_there_that_is_cut_for_a_while_loses_and_doubles_nothing),
        cmocka_unit_test(a_cable_that_is_pulled_and_put_back_loses_and_doubles_nothing),
        cmocka_unit_test(a_slow_link_lets_small_ones_pass_by_large_ones),
        cmocka_unit_test(a_session_that_is_silent_for_longer_than_its_grace_gives_back_what_it_held),
        cmocka_unit_test(a_cable_that_is_pulled_for_longer_than_the_grace_loses_and_doubles_nothing),
        cmocka_unit_test(through_the_bridge_a_way_that_is_cut_for_a_while_loses_and_doubles_nothing),
        cmocka_unit_test(through_the_bridge_a_cable_that_is_pulled_loses_and_doubles_nothing),
        cmocka_unit_test(through_the_bridge_a_slow_link_lets_small_ones_pass_by_large_ones),
        cmocka_unit_test(through_the_bridge_a_session_that_is_silent_gives_back_what_it_held),
        cmocka_unit_test(through_the_bridge_lost_packets_lose_and_double_nothing),
        cmocka_unit_test(through_the_bridge_reset_connections_lose_and_double_nothing),
        cmocka_unit_test(reset_connections_lose_and_double_nothing),
    };

    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 8);
}
