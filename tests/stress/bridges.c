/* bridges.c -- bridges KILLS MESSAGES: the home's bridge is killed at random under load, and what became of every message.
 *
 * Three producers are processes of another host: one puts single messages, one batches, one through a handle that gathers.  Who is
 * answered PTQ_EINDOUBT asks again with PTQ_RETRY until he knows.  Two consumers are of the other host, one is of the home.  The bridge
 * is killed again and again, and now and then a consumer or a producer, whose successor goes on.  What was promised must come;
 * nothing may come twice without a flag; and none may be in the queue twice at all, for the home knows all streams.  The totals are
 * one line.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"
#include "net/kit.h"
#include "stress/totals.h"

enum { PRODUCERS = 3, CONSUMERS = 3, BATCH = 64, GATHER = 40, PATIENCE_MS = 200, AWAY_MS = 3300, EACH_MOST = 4 << 20 };
enum { UNTRIED = 0, PROMISED = 1, UNKNOWN = 2, REFUSED = 3 };

struct message {
    uint32_t producer, check;
    uint64_t number;
};

/* What all processes share. */
struct book {
    _Atomic uint64_t count[PRODUCERS]; /* numbers that were tried */
    _Atomic uint64_t put, in_doubt, settled_doubts, failed_flushes, flagged, strange, refusals, lost_leases;
    _Atomic bool stop;
    _Atomic uint8_t fate[PRODUCERS][EACH_MOST], seen[PRODUCERS][EACH_MOST], unflagged[PRODUCERS][EACH_MOST];
};
static struct book *book;
static struct net net;
static uint64_t kills_wanted = 40, messages_wanted = 60000;

static uint32_t check_of(uint32_t producer, uint64_t number) { return (uint32_t)(number * 2654435761u) ^ producer; }

/* ---- producers */

/* A dead producer's last ones are unknown: so they are before they are put. */
static void note(unsigned producer, uint64_t first, uint64_t count, uint8_t fate)
{
    for (uint64_t i = 0; i < count; i++)
        atomic_store(&book->fate[producer][first + i], fate);
    if (fate == UNKNOWN)
        atomic_store(&book->count[producer], first + count);
    else if (fate == PROMISED)
        atomic_fetch_add(&book->put, count);
    else
        atomic_fetch_add(&book->refusals, 1);
}

/* Asks until it is known whether they are in.  The first time it has little patience. */
static uint8_t put_surely(ptq_queue *queue, const struct ptq_bytes *items, size_t count)
{
    struct ptq_put_options again = {.flags = PTQ_RETRY};
    enum ptq_err answer = count == 1 ? ptq_put(queue, items->data, items->size, PATIENCE_MS)
                                     : ptq_put_many(queue, items, count, PATIENCE_MS, NULL);

    if (answer != PTQ_EINDOUBT)
        return answer == PTQ_OK ? PROMISED : REFUSED;
    atomic_fetch_add(&book->in_doubt, 1);
    for (int tries = 0; answer == PTQ_EINDOUBT && tries < 20; tries++)
        answer = count == 1 ? ptq_put_with(queue, items->data, items->size, &again, PTT_LONG)
                            : ptq_put_many_with(queue, items, count, &again, PTT_LONG);
    atomic_fetch_add(&book->settled_doubts, answer == PTQ_OK);
    if (answer != PTQ_OK) {
        fprintf(stderr, "a retry answered %s\n", ptq_err_name(answer));
        atomic_fetch_add(&book->strange, 1);
    }
    return answer == PTQ_OK ? PROMISED : UNKNOWN;
}

static void put_some(ptq_queue *queue, unsigned producer, uint64_t count)
{
    struct message messages[BATCH];
    struct ptq_bytes items[BATCH];
    uint64_t first = atomic_load(&book->count[producer]);

    for (uint64_t i = 0; i < count; i++) {
        messages[i] = (struct message){producer, check_of(producer, first + i), first + i};
        items[i] = (struct ptq_bytes){&messages[i], sizeof messages[i]};
    }
    note(producer, first, count, UNKNOWN);
    uint8_t fate = put_surely(queue, items, count);
    if (fate != UNKNOWN)
        note(producer, first, count, fate);
}

/* What was gathered is promised with the flush; a failure says nothing of which of them. */
static void put_gathered(ptq_queue *queue, unsigned producer)
{
    uint64_t first = atomic_load(&book->count[producer]);
    bool whole = true;

    note(producer, first, GATHER, UNKNOWN);
    for (uint64_t i = 0; i < GATHER; i++) {
        struct message message = {producer, check_of(producer, first + i), first + i};
        whole = ptq_put(queue, &message, sizeof message, PTT_LONG) == PTQ_OK && whole;
    }
    whole = ptq_flush(queue, PTT_LONG) == PTQ_OK && whole;
    atomic_fetch_add(&book->failed_flushes, !whole);
    if (whole)
        note(producer, first, GATHER, PROMISED);
}

struct member {
    pid_t pid;
    unsigned index;
    bool far;
    int (*work)(void *context);
};

static ptq_queue *open_queue(const struct member *member, unsigned flags)
{
    struct ptq_queue_options options = {.flags = flags, .wait_ms = PTT_LONG};
    ptq_bus *bus = member->far ? net_open_far(&net, net.peers) : ptt_scratch_open(&net.home);

    return net_open(bus, member->far ? "killed@home" : "killed", &options);
}

static int produce(void *context)
{
    const struct member *member = context;
    unsigned me = member->index;
    ptq_queue *queue = open_queue(member, me == 2 ? PTQ_PIPELINE : 0);
    uint64_t seed = ptt_seed() + (uint64_t)getpid();

    while (!atomic_load(&book->stop) && atomic_load(&book->count[me]) + BATCH < EACH_MOST) {
        if (me == 0)
            put_some(queue, me, 1);
        else if (me == 1)
            put_some(queue, me, 2 + ptt_random(&seed) % (BATCH - 1));
        else
            put_gathered(queue, me);
    }
    ptq_queue_close(queue);
    return 0;
}

/* ---- consumers */

static void look_at(ptq_msg *msg)
{
    struct message message = {PRODUCERS, 0, 0};

    if (ptq_msg_size(msg) == sizeof message)
        memcpy(&message, ptq_msg_data(msg), sizeof message);
    if (message.producer >= PRODUCERS || message.number >= EACH_MOST || message.check != check_of(message.producer, message.number)) {
        atomic_fetch_add(&book->strange, 1);
        return;
    }
    atomic_fetch_add(&book->seen[message.producer][message.number], 1);
    if (ptq_msg_redelivered(msg))
        atomic_fetch_add(&book->flagged, 1);
    else
        atomic_fetch_add(&book->unflagged[message.producer][message.number], 1);
}

static int consume(void *context)
{
    ptq_queue *queue = open_queue(context, 0);
    ptq_msg *msgs[BATCH];
    enum ptq_err answer;
    size_t count;

    while ((answer = ptq_get_many(queue, msgs, 1, BATCH, PTT_LONG, &count)) != PTQ_END && answer != PTQ_TIMEDOUT) {
        for (size_t i = 0; answer == PTQ_OK && i < count; i++) {
            look_at(msgs[i]);
            enum ptq_err acked = ptq_ack(msgs[i]);
            if (acked == PTQ_ELEASELOST || acked == PTQ_EINDOUBT)
                atomic_fetch_add(&book->lost_leases, 1);
            else if (acked != PTQ_OK)
                atomic_fetch_add(&book->strange, 1);
        }
    }
    ptq_queue_close(queue);
    return answer == PTQ_END ? 0 : 1;
}

/* ---- kills */

static struct member members[PRODUCERS + CONSUMERS];

static void start(struct member *member) { member->pid = ptt_fork(member->work, member); }

static struct {
    unsigned bridges, producers, consumers;
} kills;

static void kill_one(uint64_t *seed)
{
    uint64_t which = ptt_random(seed) % 20;
    struct member *member = &members[ptt_random(seed) % (PRODUCERS + CONSUMERS)];

    if (which > 2) {
        net_bridge_kill(&net);
        if (kills.bridges % 20 == 10) /* a link that is down for 3 s leaves in doubt what was asked over it */
            nanosleep(&(struct timespec){AWAY_MS / 1000, AWAY_MS % 1000 * 1000000}, NULL);
        net_bridge_start(&net, (const char *const[]){"--grace", "1000", NULL});
        kills.bridges++;
        return;
    }
    ptt_kill(member->pid);
    kills.producers += member->work == produce;
    kills.consumers += member->work == consume;
    start(member);
}

/* Between two kills messages have gone by, more or fewer: at times none. */
static void run_kills(void)
{
    uint64_t seed = ptt_seed(), each = messages_wanted / (kills_wanted + 1) + 1;
    int64_t until = pti_now_ns() + (60 + (int64_t)kills_wanted) * PTI_NS_PER_S;

    while (kills.bridges < kills_wanted && pti_now_ns() < until) {
        uint64_t now = atomic_load(&book->put);
        ptt_wait_word(&book->put, now + ptt_random(&seed) % (2 * each), 3000);
        kill_one(&seed);
    }
    while (atomic_load(&book->put) < messages_wanted && pti_now_ns() < until)
        ptt_wait_word(&book->put, messages_wanted, 1000);
    atomic_store(&book->stop, true);
}

/* ---- the books */

struct totals {
    uint64_t promised, unknown, unknown_that_came, refused_that_came, lost, doubled;
};

static struct totals add_up(void)
{
    struct totals totals = {0};

    for (unsigned p = 0; p < PRODUCERS; p++) {
        for (uint64_t i = 0; i < atomic_load(&book->count[p]); i++) {
            uint8_t fate = atomic_load(&book->fate[p][i]), seen = atomic_load(&book->seen[p][i]);
            totals.promised += fate == PROMISED;
            totals.unknown += fate == UNKNOWN;
            totals.unknown_that_came += fate == UNKNOWN && seen > 0;
            totals.refused_that_came += fate == REFUSED && seen > 0;
            totals.lost += fate == PROMISED && seen == 0;
            totals.doubled += atomic_load(&book->unflagged[p][i]) > 1;
        }
    }
    return totals;
}

static void tell(const struct totals *totals, uint64_t copies)
{
    print_message("bridges_killed=%u producers_killed=%u consumers_killed=%u promised=%llu lost=%llu doubled=%llu copies=%llu flagged=%llu "
                  "in_doubt=%llu settled_by_retry=%llu unknown=%llu of_them_came=%llu refused=%llu refused_that_came=%llu leases_lost=%llu\n",
                  kills.bridges, kills.producers, kills.consumers, (unsigned long long)totals->promised,
                  (unsigned long long)totals->lost, (unsigned long long)totals->doubled, (unsigned long long)copies, (unsigned long long)book->flagged,
                  (unsigned long long)book->in_doubt, (unsigned long long)book->settled_doubts,
                  (unsigned long long)totals->unknown, (unsigned long long)totals->unknown_that_came,
                  (unsigned long long)book->refusals, (unsigned long long)totals->refused_that_came, (unsigned long long)book->lost_leases);
}

static void bridges_that_are_killed_under_load_lose_and_double_nothing(void **state)
{
    struct ptq_queue_stats stats;
    (void)state;

    book = mmap(NULL, sizeof *book, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(book != MAP_FAILED);
    net_init(&net, (const char *const[]){"--grace", "1000", NULL});
    ptq_queue *here = net_open(net.here, "killed", &(struct ptq_queue_options){.capacity = 4096, .item_size = 64, .pack_size = 1024});
    for (unsigned i = 0; i < PRODUCERS + CONSUMERS; i++) {
        bool producer = i < PRODUCERS;
        members[i] = (struct member){.index = i, .far = i != PRODUCERS, .work = producer ? produce : consume};
        start(&members[i]);
    }
    run_kills();
    for (unsigned i = 0; i < PRODUCERS; i++)
        ptt_assert_exit(members[i].pid, 0, 3 * PTT_LONG);
    assert_ok(ptq_end(here));
    for (unsigned i = PRODUCERS; i < PRODUCERS + CONSUMERS; i++)
        ptt_assert_exit(members[i].pid, 0, 3 * PTT_LONG);

    struct totals totals = add_up();
    assert_ok(ptq_queue_stats(here, &stats));
    uint64_t copies = stats.put - (totals.promised + totals.unknown_that_came);
    tell(&totals, copies);
    totals_add(TOTAL_PUT, totals.promised);
    totals_add(TOTAL_TAKEN, stats.taken);
    totals_add(TOTAL_FLAGGED, book->flagged);
    totals_add(TOTAL_ACKED, stats.acked);
    totals_add(TOTAL_LOST, totals.lost);
    totals_add(TOTAL_DOUBLED, totals.doubled);
    totals_add(TOTAL_KILLS, kills.bridges + kills.producers + kills.consumers);
    totals_add(TOTAL_ROUNDS, 1);
    assert_int_equal(copies, 0);
    assert_int_equal(totals.lost + totals.doubled + totals.refused_that_came + book->strange, 0);
    assert_true(book->settled_doubts + kills.producers >= book->in_doubt); /* who is killed cannot ask again */
    assert_int_equal(book->failed_flushes, 0);
    assert_int_equal(stats.ready + stats.leased, 0);
    assert_true(stats.put == stats.acked);
    assert_true(kills.bridges >= kills_wanted && book->put >= messages_wanted);
    ptq_queue_close(here);
    net_fini(&net);
    munmap(book, sizeof *book);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bridges_that_are_killed_under_load_lose_and_double_nothing)};

    if (argc == 3) {
        kills_wanted = strtoull(argv[1], NULL, 10);
        messages_wanted = strtoull(argv[2], NULL, 10);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
