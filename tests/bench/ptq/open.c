/* open.c -- what it costs to come and go.
 *
 * --mode create: create a queue, put and take one message, close and unlink it.  --mode attach: open and close a queue
 * that exists, on a bus that is open.  --mode bus: the bus as well.
 */
#include "use.h"

static void create_once(struct bench *bench, ptq_bus *bus)
{
    char byte = 1;
    size_t size;
    ptq_queue *queue = bench_open_queue(bench, bus, "fresh");
    bench_must(ptq_put(queue, &byte, 1, PTQ_NOWAIT), "ptq_put");
    bench_must(ptq_recv(queue, &byte, 1, PTQ_NOWAIT, &size), "ptq_recv");
    ptq_queue_close(queue);
    bench_must(ptq_queue_unlink(bus, "fresh", false), "ptq_queue_unlink");
}

static void attach_once(struct bench *bench, ptq_bus *bus)
{
    ptq_queue_close(bench_open_queue(bench, bus, "kept"));
}

static void come_and_go(struct bench *bench, unsigned index)
{
    const char *mode = bench->options.mode;
    ptq_bus *bus = bench_open_bus(bench->dir, NULL);
    ptq_queue *kept = bench_open_queue(bench, bus, "kept");
    bench_barrier(bench);
    uint64_t count = 0;
    for (; !bench_stopped(bench); count++) {
        bench_tick(bench, index, count);
        if (strcmp(mode, "create") == 0) {
            create_once(bench, bus);
        } else if (strcmp(mode, "bus") == 0) {
            ptq_bus *other = bench_open_bus(bench->dir, NULL);
            attach_once(bench, other);
            ptq_bus_close(other);
        } else {
            attach_once(bench, bus);
        }
    }
    bench_tick(bench, index, count);
    ptq_queue_close(kept);
    ptq_bus_close(bus);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "What it costs to open and close a queue", .options = {.mode = "attach"}};
    bench_init(&bench, argc, argv);
    bench_scratch(&bench);
    bench_run(&bench, come_and_go, 1);
    bench_print(&bench, 1e6 / bench_rate(&bench, 0, 1), "us");
    return 0;
}
