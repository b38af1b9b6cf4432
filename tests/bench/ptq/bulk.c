/* bulk.c -- messages of any size through a ptq queue by copy, as ptq_put and ptq_recv make it: bytes a second.
 *
 * Beside it stands limits/copy.c, size by size.  Calls that wait; one producer, one consumer.
 */
#include "use.h"

#include <stdlib.h>

static void produce(struct bench *bench, unsigned index)
{
    size_t size = bench->options.size;
    uint64_t *words = bench_buffer(size);
    ptq_bus *bus = bench_open_bus(bench->dir, NULL);
    ptq_queue *queue = bench_open_queue(bench, bus, "bulk");
    bench_barrier(bench);
    for (uint64_t number = 0; number % 4 != 0 || !bench_stopped(bench); number++) {
        bench_fill_large(words, size, number, index);
        bench_must(ptq_put(queue, words, size, PTQ_FOREVER), "ptq_put");
    }
    bench_must(ptq_end(queue), "ptq_end");
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    free(words);
}

static void consume(struct bench *bench, unsigned index)
{
    struct bench_seen seen = {0};
    size_t size = bench->options.size, got;
    uint64_t *words = bench_buffer(size), count = 0;
    ptq_bus *bus = bench_open_bus(bench->dir, NULL);
    ptq_queue *queue = bench_open_queue(bench, bus, "bulk");
    enum ptq_err err;
    bench_barrier(bench);
    for (; (err = ptq_recv(queue, words, size, PTQ_FOREVER, &got)) == PTQ_OK; count++) {
        bench_tick(bench, index, count);
        if (got != size)
            bench_fail("a message of %zu bytes where %zu were put", got, size);
        bench_look(&seen, words, size, true);
    }
    if (err != PTQ_END)
        bench_must(err, "ptq_recv");
    bench_tick(bench, index, count);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    free(words);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "Bytes a second through one ptq queue, copied in and out",
                          .size_max = 64u << 20,
                          .options = {.size = 65536, .producers = 1, .consumers = 1, .capacity = 64}};
    bench_init(&bench, argc, argv);
    if (bench.options.producers != 1 || bench.options.consumers != 1)
        bench_fail("one producer and one consumer");
    bench.options.item_size = (unsigned)bench.options.size;
    bench_scratch(&bench);
    bench_run_stream(&bench, produce, consume);
    bench_print(&bench, bench_rate(&bench, 1, 1) * (double)bench.options.size / 1e9, "GB/s");
    return 0;
}
