/* bench_role.c -- a producer or a consumer of `ptq bench`, in a process of its own. */
#include "bench.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "command.h"

/* How a message begins, as far as its size allows. */
struct stamp {
    int64_t put_ns; /* 0: latency was not asked for */
    uint64_t number;
    uint64_t producer;
};

#define PRODUCERS_MAX 64
#define CLOCK_EVERY 64 /* messages between two looks at the clock */

struct role {
    struct bench_task task;
    struct bench_result result;
    ptq_bus *bus;
    ptq_queue *queue;
    unsigned char *bytes; /* a batch of messages */
    uint64_t next[PRODUCERS_MAX]; /* by producer: the number that is due */
};

int64_t bench_clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

bool bench_read(int fd, void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = read(fd, (char *)bytes + done, size - done);
        if (got > 0)
            done += (size_t)got;
        else if (got == 0)
            return errno = 0, false;
        else if (errno != EINTR)
            return false;
    }
    return true;
}

bool bench_write(int fd, const void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t sent = write(fd, (const char *)bytes + done, size - done);
        if (sent > 0)
            done += (size_t)sent;
        else if (errno != EINTR)
            return false;
    }
    return true;
}

/* -- latencies -------------------------------------------------------------------------------------------------- */

/* Below 64 each nanosecond has its bucket, above it 32 buckets share a power of two. */
static unsigned bucket_of(int64_t ns)
{
    if (ns < 0)
        ns = 0;
    if (ns < 64)
        return (unsigned)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll((unsigned long long)ns) - 5;
    unsigned bucket = 32 * shift + (unsigned)((uint64_t)ns >> shift);
    return bucket < BENCH_BUCKETS ? bucket : BENCH_BUCKETS - 1;
}

static double middle_of(unsigned bucket)
{
    if (bucket < 64)
        return bucket;
    unsigned shift = bucket / 32 - 1;
    return (double)((uint64_t)(bucket - 32 * shift) << shift) + (double)(UINT64_C(1) << shift) / 2;
}

double bench_quantile(const struct bench_result *result, double part)
{
    uint64_t total = 0, passed = 0;

    for (unsigned i = 0; i < BENCH_BUCKETS; i++)
        total += result->buckets[i];
    for (unsigned i = 0; i < BENCH_BUCKETS; i++) {
        passed += result->buckets[i];
        if (total > 0 && (double)passed >= part * (double)total)
            return middle_of(i) < (double)result->most_ns ? middle_of(i) : (double)result->most_ns;
    }
    return 0;
}

/* -- in --------------------------------------------------------------------------------------------------------- */

static void fill(const struct role *role, unsigned slot, uint64_t number)
{
    const struct bench_task *task = &role->task;
    struct stamp stamp = {task->latency ? bench_clock_ns() : 0, number, task->index};

    memcpy(role->bytes + (size_t)slot * task->size, &stamp, task->size < sizeof stamp ? task->size : sizeof stamp);
}

static void wait_for_turn(const struct role *role, uint64_t number)
{
    int64_t due = role->result.first_ns + (int64_t)((double)number * 1e9 / (double)role->task.rate);
    struct timespec time = {due / 1000000000, due % 1000000000};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
        ;
}

static int put_batch(struct role *role, const struct ptq_bytes *items, unsigned count)
{
    enum ptq_err err = role->task.batch == 1 ? ptq_put(role->queue, items->data, items->size, PTQ_FOREVER)
                                             : ptq_put_many(role->queue, items, count, PTQ_FOREVER, NULL);
    if (err == PTQ_OK)
        return TOOL_OK;
    return fail_queue(role->queue, err, role->task.size, "cannot put");
}

/* How many messages the next call puts; 0: it is over. */
static unsigned next_batch(const struct role *role, uint64_t done)
{
    const struct bench_task *task = &role->task;

    if (task->count > 0)
        return task->count - done < task->batch ? (unsigned)(task->count - done) : task->batch;
    bool look = task->batch > 1 || task->rate > 0 || done % CLOCK_EVERY == 0;
    return look && bench_clock_ns() - role->result.first_ns >= task->time_ns ? 0 : task->batch;
}

static int produce(struct role *role)
{
    struct bench_task *task = &role->task;
    struct ptq_bytes *items = calloc(task->batch, sizeof *items);
    int code = TOOL_OK;

    if (items == NULL)
        return tool_fail(PTQ_ENOMEM, "bench", "no memory for a batch of %u", task->batch);
    for (unsigned i = 0; i < task->batch; i++)
        items[i] = (struct ptq_bytes){role->bytes + (size_t)i * task->size, task->size};
    role->result.first_ns = bench_clock_ns();
    for (unsigned count; code == TOOL_OK && (count = next_batch(role, role->result.messages)) > 0;) {
        if (task->rate > 0)
            wait_for_turn(role, role->result.messages);
        for (unsigned i = 0; i < count; i++)
            fill(role, i, role->result.messages++);
        code = put_batch(role, items, count);
    }
    role->result.last_ns = bench_clock_ns();
    free(items);
    return code;
}

/* -- out -------------------------------------------------------------------------------------------------------- */

/* Reads a message and checks it: its size, its producer's order, and how long it took. */
static bool check(struct role *role, const unsigned char *bytes, size_t size)
{
    struct stamp stamp = {0};
    struct bench_result *result = &role->result;

    if (size != role->task.size)
        return false;
    memcpy(role->bytes, bytes, size); /* it is read: the whole of it */
    memcpy(&stamp, role->bytes, size < sizeof stamp ? size : sizeof stamp);
    result->messages++;
    if (role->task.latency) {
        int64_t ns = bench_clock_ns() - stamp.put_ns;
        result->buckets[bucket_of(ns)]++;
        if (ns > result->most_ns)
            result->most_ns = ns;
    }
    if (size < sizeof stamp)
        return true;
    if (stamp.producer >= PRODUCERS_MAX)
        return false;
    uint64_t due = role->next[stamp.producer];
    role->next[stamp.producer] = stamp.number + 1;
    return role->task.consumers == 1 ? stamp.number == due : stamp.number >= due;
}

static enum ptq_err take(struct role *role, ptq_msg **msgs, size_t *ret_count)
{
    if (role->task.batch > 1)
        return ptq_get_many(role->queue, msgs, 1, role->task.batch, PTQ_FOREVER, ret_count);
    *ret_count = 1;
    return ptq_get(role->queue, PTQ_FOREVER, msgs);
}

static int settle(struct role *role, ptq_msg **msgs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool fine = check(role, ptq_msg_data(msgs[i]), ptq_msg_size(msgs[i]));
        enum ptq_err err = ptq_ack(msgs[i]);
        if (!fine)
            return tool_fail(PTQ_ECORRUPT, ptq_queue_name(role->queue), "a message came out of order or damaged");
        if (err != PTQ_OK)
            return fail_queue(role->queue, err, 0, "cannot ack");
    }
    return TOOL_OK;
}

/* A clock call costs as much as a put, so it is made now and then. */
static void look_at_clock(struct role *role)
{
    struct bench_result *result = &role->result;
    static uint64_t begun;

    if (result->first_ns == 0) {
        result->first_ns = result->last_ns = bench_clock_ns();
        begun = result->messages;
    } else if (result->messages - begun - result->timed >= CLOCK_EVERY) {
        result->last_ns = bench_clock_ns();
        result->timed = result->messages - begun;
    }
}

static int consume(struct role *role)
{
    static ptq_msg *msgs[BENCH_BATCH_MAX];
    enum ptq_err err;
    size_t count;
    int code = TOOL_OK;

    while (code == TOOL_OK && (err = take(role, msgs, &count)) != PTQ_END) {
        if (err != PTQ_OK)
            return fail_queue(role->queue, err, 0, "cannot get");
        code = settle(role, msgs, count);
        look_at_clock(role);
    }
    if (role->result.timed == 0 && role->result.messages > 0) { /* too few for that: better than nothing */
        role->result.last_ns = bench_clock_ns();
        role->result.timed = role->result.messages;
    }
    return code;
}

/* -- a child's life --------------------------------------------------------------------------------------------- */

static void pin(int core)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(core, &set);
    if (core >= 0 && sched_setaffinity(0, sizeof set, &set) != 0)
        tool_error("bench", "cannot run on core %d: %s - leave --pin away", core, strerror(errno));
}

static int work(struct role *role)
{
    char byte = BENCH_READY;

    if (!bench_write(STDOUT_FILENO, &byte, 1) || !bench_read(STDIN_FILENO, &byte, 1))
        return TOOL_ERROR; /* the parent has gone, or has given up: it has said why */
    int code = role->task.producer ? produce(role) : consume(role);
    if (code == TOOL_OK && !bench_write(STDOUT_FILENO, &role->result, sizeof role->result))
        return TOOL_ERROR;
    return code;
}

static int open_and_work(struct role *role)
{
    role->bytes = calloc(role->task.batch, role->task.size);
    if (role->bytes == NULL)
        return tool_fail(PTQ_ENOMEM, "bench", "no memory for %u messages of %u bytes", role->task.batch, role->task.size);
    int code = open_bus(&role->bus);
    if (code == TOOL_OK)
        code = open_queue(role->bus, role->task.queue, NULL, &role->queue);
    if (code == TOOL_OK)
        code = work(role);
    ptq_queue_close(role->queue);
    ptq_bus_close(role->bus);
    free(role->bytes);
    return code;
}

int bench_play(void)
{
    static struct role role;

    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing is left when the parent is killed */
    if (!bench_read(STDIN_FILENO, &role.task, sizeof role.task) || role.task.magic != BENCH_MAGIC || role.task.size == 0 ||
        role.task.size > PTQ_ITEM_MAX || role.task.batch == 0 || role.task.batch > BENCH_BATCH_MAX)
        return tool_misuse("bench", "--role is for ptq itself");
    role.task.queue[PTQ_NAME_MAX] = '\0';
    pin(role.task.core);
    return open_and_work(&role);
}
