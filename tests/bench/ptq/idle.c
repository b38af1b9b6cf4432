/* idle.c -- what a consumer costs that waits at an empty queue, beside a producer that is attached and silent.
 *
 * The producer's process looks at the consumer's processor clock, --ms apart, beginning half a second after the consumer
 * has begun to wait.  Prints microseconds of processor time for each second; --mode wakeups: how often it woke in all.
 * --mode fd: the consumer waits in poll() on the queue's descriptor.  --mode any, any-wakeups: in ptq_wait_any, for eight queues.
 */
#include "use.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#define SETTLE_MS 500
#define MARGIN_MS 300

struct watched {
    _Atomic int pid;
    _Atomic uint32_t seen; /* to the end: it may go */
};

/* -- who waits -------------------------------------------------------------------------------------------------- */

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

#define QUEUES 8

static void wait_in_any(struct bench *bench, ptq_bus *bus, int ms)
{
    struct ptq_wait waits[QUEUES];
    for (int i = 0; i < QUEUES; i++) {
        char name[16];
        snprintf(name, sizeof name, "idle%d", i);
        waits[i] = (struct ptq_wait){.queue = bench_open_queue(bench, bus, name)};
    }
    enum ptq_err err = ptq_wait_any(waits, QUEUES, ms, NULL);
    if (err != PTQ_TIMEDOUT)
        bench_fail("ptq_wait_any on empty queues: %s", ptq_strerror(err));
    for (int i = 0; i < QUEUES; i++)
        ptq_queue_close(waits[i].queue);
}

static void consume(struct bench *bench)
{
    struct watched *watched = bench->shared;
    ptq_bus *bus = bench_open_bus(bench->dir, NULL);
    ptq_queue *queue = bench_open_queue(bench, bus, "idle");
    int ms = SETTLE_MS + (int)bench->options.ms + MARGIN_MS;
    bench_barrier(bench);
    atomic_store(&watched->pid, getpid());
    if (strcmp(bench->options.mode, "fd") == 0)
        wait_in_poll(queue, ms);
    else if (strncmp(bench->options.mode, "any", 3) == 0)
        wait_in_any(bench, bus, ms);
    else
        wait_in_get(queue, ms);
    (void)bench_wait_word(&watched->seen, true, "the watcher has looked"); /* he may have been away for longer than MARGIN_MS */
    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

/* -- who watches ------------------------------------------------------------------------------------------------ */

static double cpu_us_of(pid_t pid)
{
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0)
        bench_fail("no processor clock of process %d", (int)pid);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static double wakeups_of(pid_t pid)
{
    char path[64], line[256];
    double count = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    while (file != NULL && count < 0 && fgets(line, sizeof line, file) != NULL)
        sscanf(line, "voluntary_ctxt_switches: %lf", &count);
    if (file != NULL)
        fclose(file);
    if (count < 0)
        bench_fail("%s does not tell", path);
    return count;
}

static void watch(struct bench *bench, unsigned index)
{
    struct watched *watched = bench->shared;
    double *extra = bench->page->role[index].meter.extra;
    ptq_bus *bus = bench_open_bus(bench->dir, NULL);
    ptq_queue *queue = bench_open_queue(bench, bus, "idle");
    pid_t pid;
    bench_barrier(bench);
    while ((pid = atomic_load(&watched->pid)) == 0)
        sched_yield();
    poll(NULL, 0, SETTLE_MS);
    double cpu = cpu_us_of(pid), wakeups = wakeups_of(pid);
    int64_t began = bench_now_ns();
    poll(NULL, 0, (int)bench->options.ms);
    extra[0] = (cpu_us_of(pid) - cpu) * 1e9 / (double)(bench_now_ns() - began);
    extra[1] = wakeups_of(pid) - wakeups;
    atomic_store(&watched->seen, 1);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

static void play(struct bench *bench, unsigned index)
{
    if (index == 0)
        consume(bench);
    else
        watch(bench, index);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "Cost of waiting at an empty queue", .options = {.ms = 3000, .mode = "get"}};
    bench_init(&bench, argc, argv);
    bench.shared = bench_shared(sizeof(struct watched));
    bench_scratch(&bench);
    bench_run(&bench, play, 2);
    const double *extra = bench.page->role[1].meter.extra;
    if (strstr(bench.options.mode, "wakeups") != NULL)
        bench_print(&bench, extra[1], "wakeups");
    else
        bench_print(&bench, extra[0], "us/s");
    return 0;
}
