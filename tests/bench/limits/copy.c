/* copy.c -- the raw copying ring: one producer, one consumer, messages of any size copied in and copied out,
 * unprotected.
 *
 * What bulk.c of ptq is put beside, size by size: the same number of places, the same checks.
 */
#include "../kit.h"

#include <stdlib.h>

struct ring {
    _Alignas(BENCH_LINE) _Atomic uint64_t tail; /* written by the producer */
    _Alignas(BENCH_LINE) _Atomic uint64_t head; /* written by the consumer */
    _Alignas(BENCH_LINE) unsigned char bytes[];
};

static void produce(struct bench *bench, unsigned index)
{
    struct ring *ring = bench->shared;
    size_t size = bench->options.size;
    unsigned cells = bench->options.capacity;
    uint64_t *words = bench_buffer(size), head = 0;
    bench_barrier(bench);
    for (uint64_t number = 0, cell = 0;; number++) {
        bool last = number % 4 == 0 && bench_stopped(bench);
        while (number - head >= cells)
            head = atomic_load_explicit(&ring->head, memory_order_acquire);
        bench_fill_large(words, size, last ? BENCH_LAST : number, index);
        memcpy(ring->bytes + cell * size, words, size);
        atomic_store_explicit(&ring->tail, number + 1, memory_order_release);
        cell = cell + 1 == cells ? 0 : cell + 1;
        if (last)
            break;
    }
    free(words);
}

static void consume(struct bench *bench, unsigned index)
{
    struct ring *ring = bench->shared;
    struct bench_seen seen = {0};
    size_t size = bench->options.size;
    unsigned cells = bench->options.capacity;
    uint64_t *words = bench_buffer(size), tail = 0;
    bench_barrier(bench);
    for (uint64_t count = 0, cell = 0;; count++) {
        bench_tick(bench, index, count);
        while (count == tail)
            tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
        memcpy(words, ring->bytes + cell * size, size);
        __asm__ volatile("" : : "r"(words) : "memory");
        atomic_store_explicit(&ring->head, count + 1, memory_order_release);
        cell = cell + 1 == cells ? 0 : cell + 1;
        if (bench_look(&seen, words, size, true) == BENCH_LAST) {
            bench_tick(bench, index, count);
            break;
        }
    }
    free(words);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "Raw copying ring with one producer and one consumer",
                          .size_max = 8u << 20,
                          .options = {.size = 65536, .producers = 1, .consumers = 1, .capacity = 64}};
    bench_init(&bench, argc, argv);
    if (bench.options.producers != 1 || bench.options.consumers != 1 || bench.options.one_core)
        bench_fail("this ring knows one producer and one consumer, on two cores");
    bench.shared = bench_shared(sizeof(struct ring) + bench.options.capacity * bench.options.size);
    bench_run_stream(&bench, produce, consume);
    bench_print(&bench, bench_rate(&bench, 1, 1) * (double)bench.options.size / 1e9, "GB/s");
    return 0;
}
