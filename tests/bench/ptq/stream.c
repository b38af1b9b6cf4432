/* stream.c -- messages a second through one ptq queue, from producers to consumers.
 *
 * --mode get: ptq_put, then ptq_get, read in place, ptq_ack.  --mode recv: ptq_put, then ptq_recv.  --mode many:
 * ptq_put_many, ptq_get_many and ptq_ack_many by --batch, each message with a lease of its own.  --mode each: the same,
 * each acked by itself.
 * --poll adaptive: calls that wait, as a program makes them; ptq polls and sleeps by its own rule.
 * --poll hard: PTQ_NOWAIT again and again.
 */
#include "use.h"

#include <stdlib.h>

#define BATCH_MAX 4096

struct line {
    _Atomic uint32_t producing;
};

static int patience(const struct bench *bench)
{
    return bench->options.hard ? PTQ_NOWAIT : PTQ_FOREVER;
}

/* -- in --------------------------------------------------------------------------------------------------------- */

static void produce_single(struct bench *bench, unsigned index, ptq_queue *queue)
{
    struct bench_message message = {0};
    size_t size = bench->options.size;
    int timeout = patience(bench);
    unsigned spins = 0;
    for (uint64_t number = 0; number % 64 != 0 || !bench_stopped(bench); number++) {
        enum ptq_err err;
        bench_fill(&message, size, number, index);
        while ((err = ptq_put(queue, message.word, size, timeout)) == PTQ_FULL)
            bench_let_run(bench, &spins);
        bench_must(err, "ptq_put");
    }
}

static void produce_many(struct bench *bench, unsigned index, ptq_queue *queue)
{
    static struct ptq_bytes items[BATCH_MAX];
    size_t size = bench->options.size, batch = bench->options.batch;
    unsigned char *bytes = malloc(batch * size);
    struct bench_message message = {0};
    int timeout = patience(bench);
    unsigned spins = 0;
    for (size_t i = 0; i < batch; i++)
        items[i] = (struct ptq_bytes){bytes + i * size, size};
    for (uint64_t number = 0; !bench_stopped(bench);) {
        enum ptq_err err;
        for (size_t i = 0; i < batch; i++) {
            bench_fill(&message, size, number++, index);
            memcpy(bytes + i * size, message.word, size);
        }
        while ((err = ptq_put_many(queue, items, batch, timeout, NULL)) == PTQ_FULL)
            bench_let_run(bench, &spins);
        bench_must(err, "ptq_put_many");
    }
    free(bytes);
}

static void produce(struct bench *bench, unsigned index)
{
    struct line *line = bench->shared;
    ptq_bus *bus = bench_open_bus(bench->dir, NULL);
    ptq_queue *queue = bench_open_queue(bench, bus, "stream");
    bench_barrier(bench);
    if (strcmp(bench->options.mode, "many") == 0 || strcmp(bench->options.mode, "each") == 0)
        produce_many(bench, index, queue);
    else
        produce_single(bench, index, queue);
    if (atomic_fetch_sub(&line->producing, 1) == 1)
        bench_must(ptq_end(queue), "ptq_end");
    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

/* -- out -------------------------------------------------------------------------------------------------------- */

struct consumer {
    struct bench *bench;
    ptq_queue *queue;
    struct bench_seen seen;
    uint64_t count;
    bool strict;
};

static void check(struct consumer *consumer, const void *bytes, size_t size)
{
    if (size != consumer->bench->options.size)
        bench_fail("a message of %zu bytes where %zu were put", size, consumer->bench->options.size);
    bench_check(&consumer->seen, bytes, size, consumer->strict);
    consumer->count++;
}

static enum ptq_err take_leased(struct consumer *consumer, int timeout)
{
    ptq_msg *msg;
    enum ptq_err err = ptq_get(consumer->queue, timeout, &msg);
    if (err != PTQ_OK)
        return err;
    check(consumer, ptq_msg_data(msg), ptq_msg_size(msg));
    return ptq_ack(msg);
}

static enum ptq_err take_copied(struct consumer *consumer, int timeout)
{
    static struct bench_message message;
    size_t size;
    enum ptq_err err = ptq_recv(consumer->queue, message.word, sizeof message.word, timeout, &size);
    if (err == PTQ_OK)
        check(consumer, message.word, size);
    return err;
}

static enum ptq_err take_batch(struct consumer *consumer, int timeout, bool at_once)
{
    static ptq_msg *msgs[BATCH_MAX];
    size_t count;
    enum ptq_err err = ptq_get_many(consumer->queue, msgs, 1, consumer->bench->options.batch, timeout, &count);
    if (err != PTQ_OK)
        return err;
    for (size_t i = 0; i < count; i++) {
        check(consumer, ptq_msg_data(msgs[i]), ptq_msg_size(msgs[i]));
        if (!at_once)
            bench_must(ptq_ack(msgs[i]), "ptq_ack");
    }
    if (at_once)
        bench_must(ptq_ack_many(msgs, count), "ptq_ack_many");
    return PTQ_OK;
}

static enum ptq_err take_many(struct consumer *consumer, int timeout)
{
    return take_batch(consumer, timeout, true);
}

static enum ptq_err take_many_ack_each(struct consumer *consumer, int timeout)
{
    return take_batch(consumer, timeout, false);
}

typedef enum ptq_err take_some(struct consumer *consumer, int timeout);

/* Inlined for each way of taking, so that the loop calls ptq and nothing else. */
static inline __attribute__((always_inline)) void consume_all(struct consumer *consumer, unsigned index, take_some *take)
{
    int timeout = patience(consumer->bench);
    unsigned spins = 0;
    for (uint64_t turn = 0;; turn++) {
        if (turn % 32 == 0)
            bench_tick(consumer->bench, index, consumer->count);
        enum ptq_err err = take(consumer, timeout);
        if (err == PTQ_OK)
            continue;
        if (err == PTQ_END)
            break;
        if (err != PTQ_EMPTY)
            bench_must(err, "get");
        bench_let_run(consumer->bench, &spins);
    }
    bench_tick(consumer->bench, index, consumer->count);
}

static void consume(struct bench *bench, unsigned index)
{
    ptq_bus *bus = bench_open_bus(bench->dir, NULL);
    struct consumer consumer = {.bench = bench,
                                .queue = bench_open_queue(bench, bus, "stream"),
                                .strict = bench->options.consumers == 1};
    bench_barrier(bench);
    if (strcmp(bench->options.mode, "many") == 0)
        consume_all(&consumer, index, take_many);
    else if (strcmp(bench->options.mode, "each") == 0)
        consume_all(&consumer, index, take_many_ack_each);
    else if (strcmp(bench->options.mode, "recv") == 0)
        consume_all(&consumer, index, take_copied);
    else
        consume_all(&consumer, index, take_leased);
    ptq_queue_close(consumer.queue);
    ptq_bus_close(bus);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "Messages a second through one ptq queue",
                          .options = {.size = 64, .batch = 32, .producers = 1, .consumers = 1, .mode = "get"}};
    bench_init(&bench, argc, argv);
    if (bench.options.batch > BATCH_MAX)
        bench_fail("--batch: at most %d", BATCH_MAX);
    struct line *line = bench.shared = bench_shared(sizeof *line);
    atomic_init(&line->producing, bench.options.producers);
    bench_scratch(&bench);
    bench_run_stream(&bench, produce, consume);
    bench_print(&bench, bench_rate(&bench, bench.options.producers, bench.options.consumers) / 1e6, "M/s");
    return 0;
}
