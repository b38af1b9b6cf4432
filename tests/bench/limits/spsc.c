/* spsc.c -- a ring with one producer and one consumer, unprotected: the most that bytes between two cores can do.
 *
 * --batch N: the counters are published every N messages (and where the ring is full or empty).
 */
#include "../kit.h"

#define CELLS 4096

struct ring {
    _Alignas(BENCH_LINE) _Atomic uint64_t tail; /* written by the producer */
    _Alignas(BENCH_LINE) _Atomic uint64_t head; /* written by the consumer */
    _Alignas(BENCH_LINE) unsigned char bytes[];
};

static inline __attribute__((always_inline)) void produce_sized(struct bench *bench, unsigned index, size_t size)
{
    struct ring *ring = bench->shared;
    struct bench_message message = {0};
    unsigned batch = bench->options.batch;
    uint64_t head = 0;
    bench_barrier(bench);
    for (uint64_t number = 0;; number++) {
        bool last = number % 64 == 0 && bench_stopped(bench);
        while (number - head >= CELLS) {
            atomic_store_explicit(&ring->tail, number, memory_order_release);
            head = atomic_load_explicit(&ring->head, memory_order_acquire);
        }
        bench_fill(&message, size, last ? BENCH_LAST : number, index);
        memcpy(ring->bytes + number % CELLS * size, message.word, size);
        if (last || (number + 1) % batch == 0)
            atomic_store_explicit(&ring->tail, number + 1, memory_order_release);
        if (last)
            return;
    }
}

static inline __attribute__((always_inline)) void consume_sized(struct bench *bench, unsigned index, size_t size)
{
    struct ring *ring = bench->shared;
    struct bench_seen seen = {0};
    unsigned batch = bench->options.batch;
    uint64_t tail = 0;
    bench_barrier(bench);
    for (uint64_t count = 0;; count++) {
        if (count % 64 == 0)
            bench_tick(bench, index, count);
        while (count == tail) {
            atomic_store_explicit(&ring->head, count, memory_order_release);
            tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
        }
        if (bench_check(&seen, ring->bytes + count % CELLS * size, size, true) == BENCH_LAST) {
            bench_tick(bench, index, count);
            return;
        }
        if ((count + 1) % batch == 0)
            atomic_store_explicit(&ring->head, count + 1, memory_order_release);
    }
}

static void produce(struct bench *bench, unsigned index)
{
    BENCH_FOR_SIZE(bench->options.size, produce_sized, bench, index);
}

static void consume(struct bench *bench, unsigned index)
{
    BENCH_FOR_SIZE(bench->options.size, consume_sized, bench, index);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "Ring with one producer and one consumer",
                          .options = {.size = 64, .batch = 1, .producers = 1, .consumers = 1}};
    bench_init(&bench, argc, argv);
    if (bench.options.producers != 1 || bench.options.consumers != 1 || bench.options.one_core)
        bench_fail("this ring knows one producer and one consumer, on two cores");
    bench.shared = bench_shared(sizeof(struct ring) + CELLS * bench.options.size);
    bench_run_stream(&bench, produce, consume);
    bench_print(&bench, bench_rate(&bench, 1, 1) / 1e6, "M/s");
    return 0;
}
