/* shape.h -- what each peer is measured by: a stream of messages, or one there and back.  Its file includes this
 * first, then says what the peer's five verbs are, and calls peer_main.
 *
 * A line is one queue of the peer's: line 0 goes there, line 1 (of a round trip) back.  The verbs are static functions
 * of the same file, so that what is called for each message is the peer and nothing else.
 * --mode stream: producers to consumers, messages a second; --mode bytes: the same, bytes a second; --mode trip: role
 * 0 asks, role 1 answers.
 */
#ifndef PTQ_BENCH_SHAPE_H
#define PTQ_BENCH_SHAPE_H

#include "../kit.h"

#include <sched.h>
#include <stdlib.h>

#define PEER_LINES 2

/* Makes a line, in the parent, before any role runs. */
static void peer_prepare(struct bench *bench, unsigned line);

/* Opens a side of a line, in its role. */
static void peer_open(struct bench *bench, unsigned line, bool producer);

/* One message.  False: it is full, or empty, and the peer knows no waiting, or was asked not to. */
static inline bool peer_put(unsigned line, const void *bytes, size_t size);
static inline bool peer_get(unsigned line, void *bytes, size_t size);

/* In its role, when it is done. */
static void peer_close(unsigned line, bool producer);

struct peer_count {
    _Atomic uint32_t producing;
};

static inline void peer_let_run(const struct bench *bench, unsigned *spins)
{
    bool crowded = bench->options.one_core || bench->options.producers + bench->options.consumers > 2;
    if (crowded && ++*spins % 64 == 0)
        sched_yield();
}

static inline void peer_say(const struct bench *bench, unsigned line, const uint64_t *words, size_t size)
{
    for (unsigned spins = 0; !peer_put(line, words, size);)
        peer_let_run(bench, &spins);
}

static inline void peer_hear(const struct bench *bench, unsigned line, uint64_t *words, size_t size)
{
    for (unsigned spins = 0; !peer_get(line, words, size);)
        peer_let_run(bench, &spins);
}

static uint64_t *peer_buffer(const struct bench *bench)
{
    uint64_t *words = aligned_alloc(64, (bench->options.size + 63) & ~(size_t)63);
    if (words == NULL)
        bench_fail("no memory");
    memset(words, 1, bench->options.size);
    return words;
}

/* -- stream ----------------------------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) void peer_produce_sized(struct bench *bench, unsigned index, size_t size)
{
    struct peer_count *count = bench->shared;
    uint64_t *words = peer_buffer(bench);
    peer_open(bench, 0, true);
    bench_barrier(bench);
    for (uint64_t number = 0; number % 16 != 0 || !bench_stopped(bench); number++) {
        bench_fill_large(words, size, number, index);
        peer_say(bench, 0, words, size);
    }
    words[0] = BENCH_LAST;
    bool last = atomic_fetch_sub(&count->producing, 1) == 1;
    for (unsigned i = 0; last && i < bench->options.consumers; i++)
        peer_say(bench, 0, words, size);
    peer_close(0, true);
    free(words);
}

static inline __attribute__((always_inline)) void peer_consume_sized(struct bench *bench, unsigned index, size_t size)
{
    uint64_t *words = peer_buffer(bench);
    struct bench_seen seen = {0};
    bool strict = bench->options.consumers == 1;
    peer_open(bench, 0, false);
    bench_barrier(bench);
    for (uint64_t count = 0;; count++) {
        if (count % 16 == 0)
            bench_tick(bench, index, count);
        peer_hear(bench, 0, words, size);
        if (bench_look(&seen, words, size, strict) == BENCH_LAST) {
            bench_tick(bench, index, count);
            break;
        }
    }
    peer_close(0, false);
    free(words);
}

static void peer_produce(struct bench *bench, unsigned index)
{
    BENCH_FOR_SIZE(bench->options.size, peer_produce_sized, bench, index);
}

static void peer_consume(struct bench *bench, unsigned index)
{
    BENCH_FOR_SIZE(bench->options.size, peer_consume_sized, bench, index);
}

/* -- there and back --------------------------------------------------------------------------------------------- */

static void peer_ask(struct bench *bench, unsigned index, uint64_t *words)
{
    struct bench_trips *trips = calloc(1, sizeof *trips);
    bool timed = bench->options.percentiles;
    size_t size = bench->options.size;
    uint64_t number = 0, asked = 0;
    for (; !bench_stopped(bench); number++) {
        bench_tick(bench, index, number);
        bench_fill_large(words, size, number, index);
        if (timed)
            asked = bench_ticks();
        peer_say(bench, 0, words, size);
        peer_hear(bench, 1, words, size);
        if (timed)
            bench_trips_note(trips, bench, bench_ticks() - asked);
        if (words[0] != number)
            bench_wrong(words[0], number, 1);
    }
    bench_tick(bench, index, number);
    bench_trips_leave(trips, bench, index);
    words[0] = BENCH_LAST;
    peer_say(bench, 0, words, size);
    free(trips);
}

static void peer_play(struct bench *bench, unsigned index)
{
    size_t size = bench->options.size;
    uint64_t *words = peer_buffer(bench);
    peer_open(bench, 0, index == 0);
    peer_open(bench, 1, index == 1);
    bench_barrier(bench);
    if (index == 0) {
        peer_ask(bench, index, words);
    } else {
        for (peer_hear(bench, 0, words, size); words[0] != BENCH_LAST; peer_hear(bench, 0, words, size))
            peer_say(bench, 1, words, size);
    }
    peer_close(0, index == 0);
    peer_close(1, index == 1);
    free(words);
}

/* What a peer's main does.  `many`: it knows several producers and consumers. */
static int peer_main(struct bench *bench, int argc, char **argv, bool many, size_t size_max)
{
    bench->size_max = size_max;
    bench->options.size = 64;
    bench->options.producers = bench->options.consumers = 1;
    bench->options.mode = "stream";
    bench_init(bench, argc, argv);
    struct bench_options *options = &bench->options;
    if (!many && (options->producers != 1 || options->consumers != 1))
        bench_fail("one producer and one consumer");
    struct peer_count *count = bench->shared = bench_shared(sizeof *count);
    atomic_init(&count->producing, options->producers);
    bool trip = strcmp(options->mode, "trip") == 0;
    bool bytes = strcmp(options->mode, "bytes") == 0;
    if (!trip && !bytes && strcmp(options->mode, "stream") != 0)
        bench_fail("--mode stream, bytes or trip");
    bench_scratch(bench);
    for (unsigned line = 0; line < (trip ? 2u : 1u); line++)
        peer_prepare(bench, line);
    if (trip) {
        bench_run(bench, peer_play, 2);
        bench_print_trips(bench, "us");
        return 0;
    }
    bench_run_stream(bench, peer_produce, peer_consume);
    double rate = bench_rate(bench, options->producers, options->consumers);
    if (bytes)
        bench_print(bench, rate * (double)options->size / 1e9, "GB/s");
    else
        bench_print(bench, rate / 1e6, "M/s");
    return 0;
}

#endif
