/* among.c -- one hot pair, as in stream.c, while --queues other queues stand on its bus and --endpoints sleepy
 * consumers are attached to its own queue: does anybody's number slow it down?
 *
 * A third process makes them all before anything is measured, and sleeps.
 */
#include "use.h"

#include <stdlib.h>
#include <sys/resource.h>

static ptq_queue *open_hot(struct bench *bench, ptq_bus *bus, unsigned flags)
{
    return bench_open_with(bus, "hot", (struct ptq_queue_options){.capacity = bench->options.capacity,
                                                                  .item_size = bench->options.item_size,
                                                                  .max_endpoints = bench->options.endpoints + 16,
                                                                  .flags = flags});
}

static void produce(struct bench *bench, ptq_queue *queue, unsigned index)
{
    struct bench_message message = {0};
    size_t size = bench->options.size;
    for (uint64_t number = 0; number % 64 != 0 || !bench_stopped(bench); number++) {
        bench_fill(&message, size, number, index);
        bench_must(ptq_put(queue, message.word, size, PTQ_FOREVER), "ptq_put");
    }
    bench_must(ptq_end(queue), "ptq_end");
}

static void consume(struct bench *bench, ptq_queue *queue, unsigned index)
{
    struct bench_seen seen = {0};
    uint64_t count = 0;
    ptq_msg *msg;
    enum ptq_err err;
    for (; (err = ptq_get(queue, PTQ_FOREVER, &msg)) == PTQ_OK; count++) {
        if (count % 32 == 0)
            bench_tick(bench, index, count);
        bench_check(&seen, ptq_msg_data(msg), ptq_msg_size(msg), true);
        bench_must(ptq_ack(msg), "ptq_ack");
    }
    if (err != PTQ_END)
        bench_must(err, "ptq_get");
    bench_tick(bench, index, count);
}

/* Each handle is an endpoint, and takes a descriptor or two. */
static void crowd(struct bench *bench, ptq_bus *bus)
{
    struct rlimit files = {.rlim_cur = 65536, .rlim_max = 65536};
    struct ptq_queue_options small = {.capacity = 16, .item_size = 64};
    unsigned endpoints = bench->options.endpoints;
    ptq_queue **handles = calloc(endpoints + 1, sizeof *handles), *queue;
    char name[32];
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) {
        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    for (unsigned i = 0; i < bench->options.queues; i++) {
        snprintf(name, sizeof name, "cold%u", i);
        bench_must(ptq_queue_open(bus, name, &small, &queue), "ptq_queue_open of a queue beside");
        ptq_queue_close(queue);
    }
    for (unsigned i = 0; i < endpoints; i++)
        handles[i] = open_hot(bench, bus, PTQ_CONSUMER);
    struct ptq_queue_stats stats;
    handles[endpoints] = open_hot(bench, bus, 0);
    bench_must(ptq_queue_stats(handles[endpoints], &stats), "ptq_queue_stats");
    if (stats.endpoints < endpoints)
        bench_fail("%u endpoints are there, %u were made", stats.endpoints, endpoints);
    bench_barrier(bench);
    while (!bench_stopped(bench))
        bench_rest(20000);
    for (unsigned i = 0; i <= endpoints; i++)
        ptq_queue_close(handles[i]);
    free(handles);
}

static void play(struct bench *bench, unsigned index)
{
    ptq_bus *bus = bench_open_bus(bench->dir, NULL);
    if (index == 2) {
        crowd(bench, bus);
        ptq_bus_close(bus);
        return;
    }
    ptq_queue *queue = open_hot(bench, bus, 0);
    bench_barrier(bench);
    if (index == 0)
        produce(bench, queue, index);
    else
        consume(bench, queue, index);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "One hot pair among many queues and endpoints",
                          .options = {.size = 64, .capacity = 4096, .item_size = 64, .queues = 10000, .endpoints = 1000}};
    bench_init(&bench, argc, argv);
    bench_scratch(&bench);
    bench_run(&bench, play, 3);
    bench_print(&bench, bench_rate(&bench, 1, 1) / 1e6, "M/s");
    return 0;
}
