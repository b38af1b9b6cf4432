/* pack.c -- packed messages a second through one ptq queue, from one producer to one consumer.
 *
 * The producer's handle is opened with PTQ_PIPELINE and the queue's pack_size holds --batch messages of --size bytes.
 * --mode put: ptq_put, one message a call.  --mode many: ptq_put_many by --batch.
 * Both are read by ptq_get_many by --batch, in place, and acked by ptq_ack_many; with --mode each: put by ptq_put and
 * every message acked by itself.
 * --mode exclusive: ptq_put with PTQ_EXCLUSIVE instead, each in the queue when it returns (open units).  --mode plain: without
 * either flag, each an entry of its own.
 */
#include "use.h"

#include <stdlib.h>

#define BATCH_MAX 4096

static ptq_queue *open_packed(const struct bench *bench, ptq_bus *bus, unsigned flags)
{
    const struct bench_options *asked = &bench->options;
    uint32_t pack_size = asked->batch * (uint32_t)(8 + (asked->size + 7) / 8 * 8);
    return bench_open_with(bus, "packs", (struct ptq_queue_options){.capacity = asked->capacity,
                                                                    .item_size = (uint32_t)asked->size,
                                                                    .pack_size = pack_size,
                                                                    .flags = flags});
}

/* -- in: inlined for each size, as a program's own loop would be -------------------------------------------------- */

static inline __attribute__((always_inline)) void produce_single(struct bench *bench, ptq_queue *queue, size_t size)
{
    struct bench_message message = {0};
    for (uint64_t number = 0; number % 64 != 0 || !bench_stopped(bench); number++) {
        bench_fill(&message, size, number, 0);
        bench_must(ptq_put(queue, message.word, size, PTQ_FOREVER), "ptq_put");
    }
}

static inline __attribute__((always_inline)) void produce_many(struct bench *bench, ptq_queue *queue, size_t size)
{
    static struct ptq_bytes items[BATCH_MAX];
    size_t batch = bench->options.batch;
    uint64_t *words = calloc(batch, size);
    for (size_t i = 0; i < batch; i++)
        items[i] = (struct ptq_bytes){words + i * size / 8, size};
    for (uint64_t number = 0; !bench_stopped(bench);) {
        for (size_t i = 0; i < batch; i++)
            bench_write(words + i * size / 8, size, number++, 0);
        bench_must(ptq_put_many(queue, items, batch, PTQ_FOREVER, NULL), "ptq_put_many");
    }
    free(words);
}

static void produce(struct bench *bench, unsigned index)
{
    ptq_bus *bus = bench_open_bus(bench->dir, NULL);
    bool by_many = strcmp(bench->options.mode, "many") == 0;
    unsigned flags = strcmp(bench->options.mode, "exclusive") == 0 ? PTQ_EXCLUSIVE : strcmp(bench->options.mode, "plain") == 0 ? 0 : PTQ_PIPELINE;
    ptq_queue *queue = open_packed(bench, bus, flags);
    (void)index;
    bench_barrier(bench);
    if (by_many)
        BENCH_FOR_SIZE(bench->options.size, produce_many, bench, queue);
    else
        BENCH_FOR_SIZE(bench->options.size, produce_single, bench, queue);
    bench_must(ptq_flush(queue, 3000), "ptq_flush");
    bench_must(ptq_end(queue), "ptq_end");
    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

/* -- out -------------------------------------------------------------------------------------------------------- */

struct consumer {
    ptq_queue *queue;
    uint64_t count;
    unsigned index, batch;
    bool each;
};

static inline __attribute__((always_inline)) void consume_all(struct bench *bench, struct consumer *consumer, size_t size)
{
    static ptq_msg *msgs[BATCH_MAX];
    static struct ptq_bytes items[BATCH_MAX];
    struct bench_seen seen = {0};
    for (;;) {
        size_t count;
        enum ptq_err err = ptq_get_many(consumer->queue, msgs, 1, consumer->batch, PTQ_FOREVER, &count);
        if (err == PTQ_END)
            break;
        bench_must(err, "ptq_get_many");
        ptq_msg_bytes_many(msgs, count, items);
        for (size_t i = 0; i < count; i++) {
            if (items[i].size != size)
                bench_fail("a message of %zu bytes where %zu were put", items[i].size, size);
            bench_check(&seen, items[i].data, size, true);
        }
        if (!consumer->each)
            bench_must(ptq_ack_many(msgs, count), "ptq_ack_many");
        else
            for (size_t i = 0; i < count; i++)
                bench_must(ptq_ack(msgs[i]), "ptq_ack");
        consumer->count += count;
        bench_tick(bench, consumer->index, consumer->count);
    }
    bench_tick(bench, consumer->index, consumer->count);
}

static void consume(struct bench *bench, unsigned index)
{
    ptq_bus *bus = bench_open_bus(bench->dir, NULL);
    struct consumer consumer = {.queue = open_packed(bench, bus, 0),
                                .index = index,
                                .batch = bench->options.batch,
                                .each = strcmp(bench->options.mode, "each") == 0};
    bench_barrier(bench);
    BENCH_FOR_SIZE(bench->options.size, consume_all, bench, &consumer);
    ptq_queue_close(consumer.queue);
    ptq_bus_close(bus);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "Packed messages a second through one ptq queue",
                          .options = {.size = 64, .batch = 32, .capacity = 4096, .producers = 1, .consumers = 1, .mode = "put"}};
    bench_init(&bench, argc, argv);
    if (bench.options.batch == 0 || bench.options.batch > BATCH_MAX || bench.options.producers != 1 || bench.options.consumers != 1)
        bench_fail("one producer, one consumer, --batch from 1 to %d", BATCH_MAX);
    bench_scratch(&bench);
    bench_run_stream(&bench, produce, consume);
    bench_print(&bench, bench_rate(&bench, 1, 1) / 1e6, "M/s");
    return 0;
}
