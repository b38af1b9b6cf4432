/* vyukov.c -- the reference ring: Vyukov's bounded queue between processes, unprotected.
 *
 * What a ring costs when nothing has to survive a kill: a producer claims a cell, then fills it, so one that dies in
 * between stops the world.  Every figure of ptq is compared with this file, so it stays as it is: 4,096 cells of 128
 * bytes, messages copied in and out, order checked, many to many.  It polls either hard (no pause at all) or by the
 * adaptive rule that ptq itself uses before it sleeps.
 *
 * --mode trip: there and back through two such rings, polling hard.
 */
#include "../kit.h"

#include <sched.h>

#define CELLS 4096
#define CELL_BYTES 128

struct cell {
    _Alignas(CELL_BYTES) _Atomic uint64_t sequence; /* position: free for it; position + 1: filled */
    unsigned char bytes[CELL_BYTES - 8];
};

struct ring {
    _Alignas(BENCH_LINE) _Atomic uint64_t tail; /* next to be claimed by a producer */
    _Alignas(BENCH_LINE) _Atomic uint64_t head; /* next to be claimed by a consumer */
    _Alignas(BENCH_LINE) _Atomic uint32_t producing;
    struct cell cells[CELLS];
};

static bool put(struct ring *ring, const void *bytes, size_t size)
{
    uint64_t position = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    struct cell *cell;
    for (;;) {
        cell = &ring->cells[position % CELLS];
        uint64_t sequence = atomic_load_explicit(&cell->sequence, memory_order_acquire);
        int64_t distance = (int64_t)(sequence - position);
        if (distance < 0)
            return false;
        if (distance > 0)
            position = atomic_load_explicit(&ring->tail, memory_order_relaxed);
        else if (atomic_compare_exchange_weak_explicit(&ring->tail, &position, position + 1, memory_order_relaxed,
                                                       memory_order_relaxed))
            break;
    }
    memcpy(cell->bytes, bytes, size);
    atomic_store_explicit(&cell->sequence, position + 1, memory_order_release);
    return true;
}

static bool get(struct ring *ring, void *bytes, size_t size)
{
    uint64_t position = atomic_load_explicit(&ring->head, memory_order_relaxed);
    struct cell *cell;
    for (;;) {
        cell = &ring->cells[position % CELLS];
        uint64_t sequence = atomic_load_explicit(&cell->sequence, memory_order_acquire);
        int64_t distance = (int64_t)(sequence - (position + 1));
        if (distance < 0)
            return false;
        if (distance > 0)
            position = atomic_load_explicit(&ring->head, memory_order_relaxed);
        else if (atomic_compare_exchange_weak_explicit(&ring->head, &position, position + 1, memory_order_relaxed,
                                                       memory_order_relaxed))
            break;
    }
    memcpy(bytes, cell->bytes, size);
    atomic_store_explicit(&cell->sequence, position + CELLS, memory_order_release);
    return true;
}

/* -- polling ---------------------------------------------------------------------------------------------------- */

#define PAUSES 20      /* of one wait */
#define TRY_EVERY 32   /* empties after progress, until a wait is tried */
#define WORTH_WAITING 4 /* messages in the run after it */

/* A consumer that waits a little where it found nothing lets the producer run ahead, and takes the next ones in a run;
 * one that polls hard pulls each line from under the producer's hands.  Which is better depends on placement, so it is
 * tried now and then, and kept while it pays. */
struct poll {
    bool hard;
    bool waiting;
    unsigned run, empties;
};

static void poll_took(struct poll *poll)
{
    poll->run++;
}

static void poll_empty(struct poll *poll)
{
    if (poll->hard)
        return;
    if (poll->run > 0) {
        if (poll->waiting)
            poll->waiting = poll->run >= WORTH_WAITING;
        else if (++poll->empties % TRY_EVERY == 0)
            poll->waiting = true;
        poll->run = 0;
    }
    for (unsigned i = 0; poll->waiting && i < PAUSES; i++)
        bench_pause();
}

static void poll_full(const struct poll *poll)
{
    for (unsigned i = 0; !poll->hard && i < PAUSES; i++)
        bench_pause();
}

/* On cores that are shared by more than one role, whoever cannot go on must let the others run. */
static void let_run(const struct bench *bench, unsigned *spins)
{
    bool crowded = bench->options.one_core || bench->options.producers + bench->options.consumers > 2;
    if (crowded && ++*spins % 64 == 0)
        sched_yield();
}

/* -- roles ------------------------------------------------------------------------------------------------------ */

static void put_waiting(struct bench *bench, struct ring *ring, const void *bytes, struct poll *poll)
{
    unsigned spins = 0;
    while (!put(ring, bytes, bench->options.size)) {
        poll_full(poll);
        let_run(bench, &spins);
    }
}

static void produce(struct bench *bench, unsigned index)
{
    struct ring *ring = bench->shared;
    struct poll poll = {.hard = bench->options.hard};
    struct bench_message message = {0};
    size_t size = bench->options.size;
    bench_barrier(bench);
    for (uint64_t number = 0; number % 64 != 0 || !bench_stopped(bench); number++) {
        bench_fill(&message, size, number, index);
        put_waiting(bench, ring, message.word, &poll);
    }
    if (atomic_fetch_sub(&ring->producing, 1) != 1)
        return;
    message.word[0] = BENCH_LAST;
    for (unsigned i = 0; i < bench->options.consumers; i++)
        put_waiting(bench, ring, message.word, &poll);
}

static void consume(struct bench *bench, unsigned index)
{
    struct ring *ring = bench->shared;
    struct poll poll = {.hard = bench->options.hard};
    struct bench_seen seen = {0};
    struct bench_message message;
    size_t size = bench->options.size;
    bool strict = bench->options.consumers == 1;
    unsigned spins = 0;
    bench_barrier(bench);
    for (uint64_t count = 0;; count++) {
        if (count % 64 == 0)
            bench_tick(bench, index, count);
        while (!get(ring, message.word, size)) {
            poll_empty(&poll);
            let_run(bench, &spins);
        }
        poll_took(&poll);
        if (bench_check(&seen, message.word, size, strict) == BENCH_LAST) {
            bench_tick(bench, index, count);
            return;
        }
    }
}

/* -- there and back --------------------------------------------------------------------------------------------- */

static void say(struct bench *bench, struct ring *ring, const struct bench_message *message)
{
    while (!put(ring, message->word, bench->options.size))
        ;
}

static void hear(struct bench *bench, struct ring *ring, struct bench_message *message)
{
    while (!get(ring, message->word, bench->options.size))
        ;
}

static void ask(struct bench *bench, unsigned index)
{
    struct ring *ring = bench->shared;
    static struct bench_message message;
    static struct bench_trips trips;
    uint64_t number = 0, asked = 0;
    for (; !bench_stopped(bench); number++) {
        bench_tick(bench, index, number);
        bench_fill(&message, bench->options.size, number, index);
        if (bench->options.percentiles)
            asked = bench_ticks();
        say(bench, &ring[0], &message);
        hear(bench, &ring[1], &message);
        if (bench->options.percentiles)
            bench_trips_note(&trips, bench, bench_ticks() - asked);
        if (message.word[0] != number)
            bench_wrong(message.word[0], number, 1);
    }
    bench_tick(bench, index, number);
    bench_trips_leave(&trips, bench, index);
    message.word[0] = BENCH_LAST;
    say(bench, &ring[0], &message);
}

static void play(struct bench *bench, unsigned index)
{
    struct ring *ring = bench->shared;
    static struct bench_message message;
    bench_barrier(bench);
    if (index == 0) {
        ask(bench, index);
        return;
    }
    for (hear(bench, &ring[0], &message); message.word[0] != BENCH_LAST; hear(bench, &ring[0], &message))
        say(bench, &ring[1], &message);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "Unprotected many-to-many ring between processes",
                          .options = {.size = 64, .producers = 1, .consumers = 1, .mode = "stream"}};
    bench_init(&bench, argc, argv);
    if (bench.options.size > CELL_BYTES - 8)
        bench_fail("--size: at most %d", CELL_BYTES - 8);
    bool trip = strcmp(bench.options.mode, "trip") == 0;
    struct ring *ring = bench.shared = bench_shared((trip ? 2 : 1) * sizeof *ring);
    for (uint64_t i = 0; i < CELLS; i++) {
        atomic_init(&ring[0].cells[i].sequence, i);
        if (trip)
            atomic_init(&ring[1].cells[i].sequence, i);
    }
    atomic_init(&ring->producing, bench.options.producers);
    if (trip) {
        bench_run(&bench, play, 2);
        bench_print_trips(&bench, "ns");
        return 0;
    }
    bench_run_stream(&bench, produce, consume);
    bench_print(&bench, bench_rate(&bench, bench.options.producers, bench.options.consumers) / 1e6, "M/s");
    return 0;
}
