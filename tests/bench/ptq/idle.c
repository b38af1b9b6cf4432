/* idle.c -- what a consumer costs that waits at an empty queue, beside a producer that is attached and silent.
 *
 * Prints microseconds of processor time for each second of waiting; --mode wakeups: how often it woke in all.
 * --mode fd waits in poll() on the queue's descriptor.
 */
#include "use.h"

#include <poll.h>
#include <sys/resource.h>

static double cpu_us(const struct rusage *usage)
{
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1e6 +
           (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
}

static void wait_in_get(ptq_queue *queue, int ms)
{
    ptq_msg *msg;
    enum ptq_err err = ptq_get(queue, ms, &msg);
    if (err != PTQ_TIMEDOUT)
        bench_fail("ptq_get on an empty queue: %s", ptq_strerror(err));
}

static void wait_in_poll(ptq_queue *queue, int ms)
{
    int fd;
    ptq_msg *msg;
    bench_must(ptq_queue_fd(queue, PTQ_SIDE_GET, &fd), "ptq_queue_fd");
    for (int64_t now, end = bench_now_ns() + (int64_t)ms * 1000000; (now = bench_now_ns()) < end;) {
        struct pollfd look = {.fd = fd, .events = POLLIN};
        if (poll(&look, 1, (int)((end - now + 999999) / 1000000)) > 0 && ptq_get(queue, PTQ_NOWAIT, &msg) != PTQ_EMPTY)
            bench_fail("a message in an empty queue");
    }
}

static void consume(struct bench *bench, unsigned index)
{
    ptq_bus *bus = bench_open_bus(bench->dir, NULL);
    ptq_queue *queue = bench_open_queue(bench, bus, "idle");
    struct rusage before, after;
    double *extra = bench->page->role[index].meter.extra;
    bench_barrier(bench);
    getrusage(RUSAGE_SELF, &before);
    if (strcmp(bench->options.mode, "fd") == 0)
        wait_in_poll(queue, (int)bench->options.ms);
    else
        wait_in_get(queue, (int)bench->options.ms);
    getrusage(RUSAGE_SELF, &after);
    extra[0] = cpu_us(&after) - cpu_us(&before);
    extra[1] = (double)(after.ru_nvcsw - before.ru_nvcsw);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

static void be_silent(struct bench *bench, unsigned index)
{
    (void)index;
    ptq_bus *bus = bench_open_bus(bench->dir, NULL);
    ptq_queue *queue = bench_open_queue(bench, bus, "idle");
    bench_barrier(bench);
    while (!bench_stopped(bench))
        poll(NULL, 0, 20);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

static void play(struct bench *bench, unsigned index)
{
    if (index == 0)
        consume(bench, index);
    else
        be_silent(bench, index);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "Cost of waiting at an empty queue", .options = {.ms = 3000, .mode = "get"}};
    bench_init(&bench, argc, argv);
    bench_scratch(&bench);
    bench_run(&bench, play, 2);
    const double *extra = bench.page->role[0].meter.extra;
    if (strcmp(bench.options.mode, "wakeups") == 0)
        bench_print(&bench, extra[1], "wakeups");
    else
        bench_print(&bench, extra[0] * 1000 / bench.options.ms, "us/s");
    return 0;
}
