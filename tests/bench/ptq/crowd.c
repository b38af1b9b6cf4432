/* crowd.c -- many more processes than cores on one queue: what they move together, and whether anybody starves.
 *
 * Prints messages a second; then "fair": the fastest consumer by the slowest (one that got nothing: by half a
 * message); and "gap": the longest time for which any one of them, producer or consumer, did not come to the end of a
 * call.
 */
#include "use.h"

struct crowd {
    _Atomic uint32_t producing;
};

/* The longest silence of one role, from the common start to the stop. */
struct gap {
    uint64_t begin, last, longest; /* ticks */
    int64_t begin_ns;
};

static void begin_gap(struct gap *gap)
{
    gap->begin = gap->last = bench_ticks();
    gap->begin_ns = bench_now_ns();
}

static inline void breathe(struct gap *gap)
{
    uint64_t now = bench_ticks();
    if (now - gap->last > gap->longest)
        gap->longest = now - gap->last;
    gap->last = now;
}

/* In ms. */
static void leave_gap(struct gap *gap, struct bench *bench, unsigned index)
{
    breathe(gap); /* silent until the stop */
    double ns = (double)(bench_now_ns() - gap->begin_ns) / (double)(gap->last - gap->begin);
    bench->page->role[index].meter.extra[0] = (double)gap->longest * ns / 1e6;
}

static void produce(struct bench *bench, unsigned index)
{
    struct crowd *crowd = bench->shared;
    ptq_bus *bus = bench_open_bus(bench->dir, NULL);
    ptq_queue *queue = bench_open_queue(bench, bus, "crowd");
    struct bench_message message = {0};
    struct gap gap = {0};
    bench_barrier(bench);
    begin_gap(&gap);
    for (uint64_t number = 0; !bench_stopped(bench); number++) {
        bench_fill(&message, bench->options.size, number, index);
        bench_must(ptq_put(queue, message.word, bench->options.size, PTQ_FOREVER), "ptq_put");
        breathe(&gap);
    }
    leave_gap(&gap, bench, index);
    if (atomic_fetch_sub(&crowd->producing, 1) == 1)
        bench_must(ptq_end(queue), "ptq_end");
    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

static void consume(struct bench *bench, unsigned index)
{
    ptq_bus *bus = bench_open_bus(bench->dir, NULL);
    ptq_queue *queue = bench_open_queue(bench, bus, "crowd");
    struct bench_seen seen = {0};
    struct gap gap = {0};
    uint64_t count = 0;
    ptq_msg *msg;
    enum ptq_err err;
    bench_barrier(bench);
    begin_gap(&gap);
    for (; (err = ptq_get(queue, PTQ_FOREVER, &msg)) == PTQ_OK; count++) {
        bench_tick(bench, index, count);
        bench_check(&seen, ptq_msg_data(msg), ptq_msg_size(msg), bench->options.consumers == 1);
        bench_must(ptq_ack(msg), "ptq_ack");
        breathe(&gap);
    }
    if (err != PTQ_END)
        bench_must(err, "ptq_get");
    bench_tick(bench, index, count);
    leave_gap(&gap, bench, index);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "Many producers and consumers on one queue",
                          .options = {.size = 64, .producers = 50, .consumers = 50, .capacity = 4096, .item_size = 64,
                                      .unpinned = true}};
    bench_init(&bench, argc, argv);
    struct crowd *crowd = bench.shared = bench_shared(sizeof *crowd);
    unsigned producers = bench.options.producers, consumers = bench.options.consumers;
    atomic_init(&crowd->producing, producers);
    bench_scratch(&bench);
    bench_run_stream(&bench, produce, consume);

    double least = 1e18, most = 0, gap = 0, sum = 0;
    for (unsigned i = 0; i < producers + consumers; i++) {
        const struct bench_meter *meter = &bench.page->role[i].meter;
        if (meter->extra[0] > gap)
            gap = meter->extra[0];
        if (i < producers)
            continue;
        double count = (double)(meter->count_end - meter->count_begin);
        least = count < least ? count : least;
        most = count > most ? count : most;
        sum += count;
    }
    bench_print(&bench, sum * 1e3 / bench.options.ms / 1e6, "M/s");
    bench_print_more(&bench, most / (least > 0 ? least : 0.5), "x", "fair");
    bench_print_more(&bench, gap, "ms", "gap");
    return 0;
}
