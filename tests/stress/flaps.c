/* flaps.c -- flaps FLAPS MESSAGES [bridge]: links that break again and again under load, and what became of every message.
 *
 * Four producers and a consumer are far from the home, behind a proxy that cuts, corrupts, truncates, repeats and half closes;
 * another consumer is of the home.  Producers put single messages, batches, and through a handle that gathers, until all
 * flaps are over and so many messages were put; with "bridge" all of them go through the ptqbridge of their host.  What was promised must come; nothing may come twice without a flag.  The
 * totals are printed.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "net/world.h"

enum { PRODUCERS = 4, BATCH = 256, GATHER = 50, EACH_MOST = 8 << 20 };
enum { UNTRIED = 0, PROMISED = 1, IN_DOUBT = 2, REFUSED = 3 };

struct message {
    uint64_t producer, number;
};

struct producer {
    ptq_queue *queue;
    unsigned index;
    uint8_t *fate;                     /* by number */
    _Atomic uint8_t *seen, *unflagged; /* by number, counted by the consumers */
    uint64_t count;
    uint64_t seed;
};

static struct producer producers[PRODUCERS];
static _Atomic uint64_t put_total, strange, flagged, lost_leases;
static _Atomic bool stop;
static bool through_bridge;
static uint64_t flaps_wanted = 50, messages_wanted = 100000;

static uint8_t fate_of(enum ptq_err answer)
{
    return answer == PTQ_OK ? PROMISED : answer == PTQ_EINDOUBT ? IN_DOUBT : REFUSED;
}

static void note(struct producer *producer, uint64_t count, uint8_t fate)
{
    memset(producer->fate + producer->count, fate, count);
    producer->count += count;
    atomic_fetch_add(&put_total, count);
}

static void put_batch(struct producer *producer)
{
    struct message messages[BATCH];
    struct ptq_bytes items[BATCH];
    uint64_t count = 1 + ptt_random(&producer->seed) % BATCH;

    for (uint64_t i = 0; i < count; i++) {
        messages[i] = (struct message){producer->index, producer->count + i};
        items[i] = (struct ptq_bytes){&messages[i], sizeof messages[i]};
    }
    note(producer, count, fate_of(ptq_put_many(producer->queue, items, count, PTT_LONG, NULL)));
}

static void put_single(struct producer *producer)
{
    struct message message = {producer->index, producer->count};

    note(producer, 1, fate_of(ptq_put(producer->queue, &message, sizeof message, PTT_LONG)));
}

/* What was gathered is promised with the flush; a failure says nothing of which of them. */
static void put_gathered(struct producer *producer)
{
    bool whole = true;

    for (uint64_t i = 0; i < GATHER; i++) {
        struct message message = {producer->index, producer->count + i};
        whole = ptq_put(producer->queue, &message, sizeof message, PTT_LONG) == PTQ_OK && whole;
    }
    whole = ptq_flush(producer->queue, PTT_LONG) == PTQ_OK && whole;
    note(producer, GATHER, whole ? PROMISED : IN_DOUBT);
}

static void *produce(void *context)
{
    static void (*const ways[PRODUCERS])(struct producer *producer) = {put_batch, put_batch, put_single, put_gathered};
    struct producer *producer = context;

    while (!atomic_load(&stop) && producer->count + BATCH < EACH_MOST)
        ways[producer->index](producer);
    return NULL;
}

static void look_at(ptq_msg *msg)
{
    struct message message = {PRODUCERS, 0};

    if (ptq_msg_size(msg) == sizeof message)
        memcpy(&message, ptq_msg_data(msg), sizeof message);
    if (message.producer >= PRODUCERS || message.number >= EACH_MOST) {
        atomic_fetch_add(&strange, 1);
        return;
    }
    atomic_fetch_add(&producers[message.producer].seen[message.number], 1);
    if (ptq_msg_redelivered(msg))
        atomic_fetch_add(&flagged, 1);
    else
        atomic_fetch_add(&producers[message.producer].unflagged[message.number], 1);
}

static void *consume(void *context)
{
    ptq_queue *queue = context;
    ptq_msg *msgs[BATCH];
    enum ptq_err answer;
    size_t count;

    while ((answer = ptq_get_many(queue, msgs, 1, BATCH, PTT_LONG, &count)) != PTQ_END && answer != PTQ_TIMEDOUT) {
        for (size_t i = 0; answer == PTQ_OK && i < count; i++) {
            look_at(msgs[i]);
            enum ptq_err acked = ptq_ack(msgs[i]);
            if (acked == PTQ_ELEASELOST || acked == PTQ_EINDOUBT)
                atomic_fetch_add(&lost_leases, 1);
            else if (acked != PTQ_OK)
                atomic_fetch_add(&strange, 1);
        }
    }
    return NULL;
}

/* ---- flaps */

static bool all_is_quiet(const struct proxy *proxy)
{
    bool quiet = atomic_load(&proxy->cut_after) == 0 && atomic_load(&proxy->corrupt) == 0;

    for (int way = 0; way < 2; way++)
        quiet = quiet && atomic_load(&proxy->way[way].truncate) == 0 && atomic_load(&proxy->way[way].duplicate) == 0 &&
                atomic_load(&proxy->way[way].half_close) == 0;
    return quiet;
}

/* A truncated stream may be found out only by its silence, which takes seconds: so it is rare. */
static void flap(struct proxy *proxy, uint64_t *seed)
{
    int64_t after = 1 + (int64_t)(ptt_random(seed) % 30000);
    struct proxy_way *way = &proxy->way[ptt_random(seed) % 2];
    uint64_t kind = ptt_random(seed) % 200;

    if (kind < 80)
        atomic_store(&proxy->cut_after, after);
    else if (kind < 110)
        proxy_cut_all(proxy);
    else if (kind < 150)
        atomic_store(&way->half_close, after);
    else if (kind < 175)
        atomic_store(&proxy->corrupt, after);
    else if (kind < 199)
        atomic_store(&way->duplicate, after);
    else
        atomic_store(&way->truncate, after);
}

static void run_flaps(struct proxy *proxy)
{
    uint64_t seed = ptt_seed(), faults;
    int64_t until = pti_now_ns() + (60 + (int64_t)flaps_wanted) * PTI_NS_PER_S;

    while ((faults = atomic_load(&proxy->faults)) < flaps_wanted && pti_now_ns() < until) {
        ptt_wait_word(&put_total, faults * messages_wanted / flaps_wanted, 1000);
        if (all_is_quiet(proxy))
            flap(proxy, &seed);
        ptt_wait_word(&proxy->faults, faults + 1, 1000);
    }
    while (atomic_load(&put_total) < messages_wanted && pti_now_ns() < until)
        ptt_wait_word(&put_total, messages_wanted, 1000);
    atomic_store(&stop, true);
}

/* ---- the books */

struct totals {
    uint64_t promised, in_doubt, refused, lost, doubled, uncalled;
};

static struct totals add_up(void)
{
    struct totals totals = {0};

    for (struct producer *producer = producers; producer < producers + PRODUCERS; producer++) {
        for (uint64_t i = 0; i < producer->count; i++) {
            totals.promised += producer->fate[i] == PROMISED;
            totals.in_doubt += producer->fate[i] == IN_DOUBT;
            totals.refused += producer->fate[i] == REFUSED;
            totals.lost += producer->fate[i] == PROMISED && producer->seen[i] == 0;
            totals.doubled += producer->unflagged[i] > 1;
            totals.uncalled += producer->fate[i] == REFUSED && producer->seen[i] > 0;
        }
    }
    return totals;
}

/* The far host's own bridge, in place of links of this process. */
static void go_through_bridge(struct world *world, struct net *near)
{
    char peers[96];

    snprintf(peers, sizeof peers, "home=%s", world->proxy.url);
    net_near_start(near, &world->net, NULL);
    ptq_bus_close(world->bus);
    world->bus = net_open_way(&world->net, peers, "bridge");
}

static void links_that_flap_lose_and_double_nothing(void **state)
{
    struct net near = {.bridge = 0};
    struct world world;
    pthread_t threads[PRODUCERS + 2];
    struct ptq_queue_stats stats;
    (void)state;

    world_init(&world, NULL);
    if (through_bridge)
        go_through_bridge(&world, &near);
    ptq_queue *here = net_open(world.net.here, "flaps", &(struct ptq_queue_options){.capacity = 4096});
    ptq_queue *far = net_open(world.bus, "flaps", NULL);
    ptq_queue *gathers = net_open(world.bus, "flaps", &(struct ptq_queue_options){.flags = PTQ_PIPELINE});
    for (unsigned i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){.queue = i == 3 ? gathers : far, .index = i, .seed = ptt_seed() + i};
        producers[i].fate = calloc(EACH_MOST, 1);
        producers[i].seen = calloc(EACH_MOST, 1);
        producers[i].unflagged = calloc(EACH_MOST, 1);
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    assert_int_equal(pthread_create(&threads[PRODUCERS], NULL, consume, here), 0);
    assert_int_equal(pthread_create(&threads[PRODUCERS + 1], NULL, consume, far), 0);
    run_flaps(&world.proxy);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    assert_ok(ptq_end(here));
    pthread_join(threads[PRODUCERS], NULL);
    pthread_join(threads[PRODUCERS + 1], NULL);

    struct totals totals = add_up();
    assert_ok(ptq_queue_stats(here, &stats));
    print_message("flaps=%llu links=%llu messages=%llu promised=%llu lost=%llu doubled=%llu flagged=%llu in_doubt=%llu "
                  "refused=%llu refused_but_came=%llu leases_lost=%llu\n",
                  (unsigned long long)world.proxy.faults, (unsigned long long)world.proxy.links,
                  (unsigned long long)put_total, (unsigned long long)totals.promised, (unsigned long long)totals.lost,
                  (unsigned long long)totals.doubled, (unsigned long long)flagged, (unsigned long long)totals.in_doubt,
                  (unsigned long long)totals.refused, (unsigned long long)totals.uncalled,
                  (unsigned long long)lost_leases);
    assert_int_equal(totals.lost + totals.doubled + totals.uncalled + totals.refused + strange, 0);
    assert_int_equal(stats.ready + stats.leased, 0);
    assert_true(world.proxy.faults >= flaps_wanted && put_total >= messages_wanted);
    for (unsigned i = 0; i < PRODUCERS; i++) {
        free(producers[i].fate);
        free((void *)producers[i].seen);
        free((void *)producers[i].unflagged);
    }
    ptq_queue_close(gathers);
    ptq_queue_close(far);
    ptq_queue_close(here);
    net_bridge_kill(&near);
    world_fini(&world);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(links_that_flap_lose_and_double_nothing)};

    through_bridge = argc == 4 && strcmp(argv[3], "bridge") == 0;
    if (argc >= 3) {
        flaps_wanted = strtoull(argv[1], NULL, 10);
        messages_wanted = strtoull(argv[2], NULL, 10);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
