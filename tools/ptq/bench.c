/* bench.c -- ptq bench: how fast a queue is on this machine, between processes of its own.
 *
 * Each producer and consumer is this executable again (never a fork that inherits handles); they use the public calls
 * on a scratch queue of the user's bus, which is removed afterwards, also when it is interrupted.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "common/report.h"

#define SIDE_MAX 32
#define CHILD_MAX (2 * SIDE_MAX)

extern char **environ;

struct bench_options {
    uint64_t size, count, producers, consumers, batch, capacity, rate;
    double seconds;
    bool pin, latency, json;
};

static const struct tool_option options_table[] = {
    {'s', "size", TOOL_SIZE, offsetof(struct bench_options, size), "BYTES", "bytes in a message (default 64)"},
    {'n', "count", TOOL_COUNT, offsetof(struct bench_options, count), "N", "stop after this many messages (default: after --seconds)"},
    {'t', "seconds", TOOL_SECONDS, offsetof(struct bench_options, seconds), "SECS", "stop after this time (default 2)"},
    {'p', "producers", TOOL_COUNT, offsetof(struct bench_options, producers), "N", "processes that put (default 1)"},
    {'c', "consumers", TOOL_COUNT, offsetof(struct bench_options, consumers), "N", "processes that get (default 1)"},
    {'b', "batch", TOOL_COUNT, offsetof(struct bench_options, batch), "N",
     "messages a call: put_many and get_many (default 1)"},
    {0, "capacity", TOOL_COUNT, offsetof(struct bench_options, capacity), "N", "capacity of the queue (default 4096)"},
    {0, "rate", TOOL_COUNT, offsetof(struct bench_options, rate), "N",
     "messages a second of each producer (default: as fast as it goes)"},
    {0, "pin", TOOL_FLAG, offsetof(struct bench_options, pin), NULL, "tie each process to a processor of its own, in turn"},
    {'l', "latency", TOOL_FLAG, offsetof(struct bench_options, latency), NULL,
     "measure the time from put to get of each message"},
    {0, "json", TOOL_FLAG, offsetof(struct bench_options, json), NULL, "print one JSON object"},
    {0}};

const struct tool_usage bench_usages[] = {
    {.name = "bench",
     .operands = "",
     .summary = "measure how fast a queue is on this machine",
     .text = "Starts producers and consumers, processes of their own, on a scratch queue of this bus, and prints what "
             "they reached. The bytes are written and read, the order is checked, leases and crash safety are on. The "
             "queue is removed afterwards.\n\n"
             "At full speed --latency mostly shows how long a message waits in a full queue; with --rate it shows what "
             "one message takes, waking included. Reading the clock for each message costs throughput.",
     .examples = "ptq bench --pin\n"
                 "ptq bench --pin --batch 32 --size 1K --seconds 5\n"
                 "ptq bench --latency --rate 1000 --json",
     .options = options_table},
    {0}};

struct child {
    pid_t pid;
    int in, out; /* its standard input, its standard output; -1: closed */
    bool producer, done;
    struct bench_result result;
};

struct run {
    struct bench_options options;
    ptq_bus *bus;
    ptq_queue *queue;
    char name[PTQ_NAME_MAX + 1];
    unsigned count;
    struct child children[CHILD_MAX];
};

static volatile sig_atomic_t caught;

static void note_signal(int number)
{
    caught = number;
}

/* -- children --------------------------------------------------------------------------------------------------- */

/* Signals are blocked in the parent but for its waits; a child must not inherit that. */
static int spawn(struct child *child, char *const argv[], const int in[2], const int out[2])
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, usual;

    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGINT);
    sigaddset(&usual, SIGTERM);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    int failed = posix_spawn(&child->pid, "/proc/self/exe", &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

static int start_child(struct run *run, struct child *child, const struct bench_task *task)
{
    char *argv[10], **next = argv;
    int in[2], out[2];

    *next++ = (char *)"ptq";
    if (globals.dir != NULL) {
        *next++ = (char *)"--dir";
        *next++ = (char *)globals.dir;
    }
    *next++ = (char *)"--run";
    *next++ = (char *)ptq_bus_run(run->bus);
    *next++ = (char *)"bench";
    *next++ = (char *)"--role";
    *next = NULL;
    if (pipe2(in, O_CLOEXEC) != 0)
        return tool_fail(PTQ_ENOMEM, "bench", "cannot make a pipe: %s", strerror(errno));
    if (pipe2(out, O_CLOEXEC) != 0) {
        close(in[0]), close(in[1]);
        return tool_fail(PTQ_ENOMEM, "bench", "cannot make a pipe: %s", strerror(errno));
    }
    int failed = spawn(child, argv, in, out);
    close(in[0]);
    close(out[1]);
    child->in = in[1];
    child->out = out[0];
    child->producer = task->producer;
    run->count++; /* from here on end_children closes its pipes */
    if (failed != 0)
        return child->pid = 0, tool_fail(PTQ_ESYS, "bench", "cannot start a process: %s", strerror(failed));
    if (!bench_write(child->in, task, sizeof *task))
        return tool_fail(PTQ_EDIED, "bench", "process %d ended before it began", (int)child->pid);
    return TOOL_OK;
}

/* The n-th processor that this process may use, counted round. */
static int core_of(unsigned n)
{
    cpu_set_t set;
    int usable = 0;

    if (sched_getaffinity(0, sizeof set, &set) != 0 || (usable = CPU_COUNT(&set)) == 0)
        return -1;
    n %= (unsigned)usable;
    for (int core = 0; core < CPU_SETSIZE; core++)
        if (CPU_ISSET(core, &set) && n-- == 0)
            return core;
    return -1;
}

static int start_children(struct run *run)
{
    const struct bench_options *options = &run->options;
    unsigned producers = (unsigned)options->producers, all = producers + (unsigned)options->consumers;

    for (unsigned i = 0; i < all; i++) {
        struct bench_task task = {.magic = BENCH_MAGIC,
                                  .producer = i < producers,
                                  .latency = options->latency,
                                  .index = i,
                                  .size = (uint32_t)options->size,
                                  .batch = (uint32_t)options->batch,
                                  .consumers = (uint32_t)options->consumers,
                                  .core = options->pin ? core_of(i) : -1,
                                  .count = options->count / producers + (i < options->count % producers),
                                  .time_ns = (int64_t)(options->seconds * 1e9),
                                  .rate = options->rate};
        memcpy(task.queue, run->name, sizeof task.queue);
        int code = start_child(run, &run->children[i], &task);
        if (code != TOOL_OK)
            return code;
    }
    return TOOL_OK;
}

static void end_children(struct run *run)
{
    for (unsigned i = 0; i < run->count; i++) {
        struct child *child = &run->children[i];
        close(child->in);
        close(child->out);
        if (child->pid > 0) {
            if (!child->done)
                kill(child->pid, SIGKILL);
            waitpid(child->pid, NULL, 0);
        }
    }
    run->count = 0;
}

/* Waits until a child has something to read.  A signal ends the wait, whenever it comes. */
static int await(struct child *child)
{
    struct pollfd look = {.fd = child->out, .events = POLLIN};
    sigset_t none;

    sigemptyset(&none);
    while (caught == 0) {
        if (ppoll(&look, 1, NULL, &none) > 0)
            return TOOL_OK;
    }
    return tool_fail(PTQ_EINTR, "bench", "interrupted by signal %d: nothing was measured - call again", (int)caught);
}

static int hear(struct child *child, void *bytes, size_t size)
{
    int code = await(child);

    if (code == TOOL_OK && !bench_read(child->out, bytes, size))
        return tool_fail(PTQ_EDIED, "bench", "a %s (process %d) ended before its work was done",
                         child->producer ? "producer" : "consumer", (int)child->pid);
    return code;
}

static int hear_results(struct run *run, bool producers)
{
    int code = TOOL_OK;

    for (unsigned i = 0; i < run->count && code == TOOL_OK; i++) {
        struct child *child = &run->children[i];
        if (child->producer != producers)
            continue;
        code = hear(child, &child->result, sizeof child->result);
        child->done = code == TOOL_OK;
    }
    return code;
}

static int conduct(struct run *run)
{
    char byte;
    int code = start_children(run);

    for (unsigned i = 0; i < run->count && code == TOOL_OK; i++)
        code = hear(&run->children[i], &byte, 1);
    byte = BENCH_GO;
    for (unsigned i = run->count; i-- > 0 && code == TOOL_OK;) /* consumers first */
        if (!bench_write(run->children[i].in, &byte, 1))
            code = tool_fail(PTQ_EDIED, "bench", "process %d ended before it began", (int)run->children[i].pid);
    if (code == TOOL_OK)
        code = hear_results(run, true);
    if (code == TOOL_OK) {
        enum ptq_err err = ptq_end(run->queue);
        if (err != PTQ_OK)
            code = fail_queue(run->queue, err, 0, "cannot end");
    }
    if (code == TOOL_OK)
        code = hear_results(run, false);
    end_children(run);
    return code;
}

/* -- what came out ---------------------------------------------------------------------------------------------- */

struct summary {
    uint64_t put;
    struct bench_result got;
    uint64_t timed; /* of the messages got, those between the first clock and the last */
    double seconds, per_second, mb_per_second;
};

static void sum_up(const struct run *run, const struct child *children, unsigned count, struct summary *sum)
{
    struct bench_result *got = &sum->got;

    for (unsigned i = 0; i < count; i++) {
        const struct bench_result *result = &children[i].result;
        if (children[i].producer) {
            sum->put += result->messages;
            continue;
        }
        if (result->messages == 0)
            continue;
        if (got->messages == 0 || result->first_ns < got->first_ns)
            got->first_ns = result->first_ns;
        if (result->last_ns > got->last_ns)
            got->last_ns = result->last_ns;
        if (result->most_ns > got->most_ns)
            got->most_ns = result->most_ns;
        got->messages += result->messages;
        sum->timed += result->timed;
        for (unsigned b = 0; b < BENCH_BUCKETS; b++)
            got->buckets[b] += result->buckets[b];
    }
    sum->seconds = (double)(got->last_ns - got->first_ns) / 1e9;
    sum->per_second = sum->seconds > 0 ? (double)sum->timed / sum->seconds : 0;
    sum->mb_per_second = sum->per_second * (double)run->options.size / 1e6;
}

static const struct {
    const char *name;
    double part;
} quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};

static void print_text(const struct run *run, const struct summary *sum)
{
    const struct bench_options *options = &run->options;

    printf("%llu-byte messages, %llu producer%s, %llu consumer%s, %llu a call%s\n", (unsigned long long)options->size,
           (unsigned long long)options->producers, options->producers == 1 ? "" : "s",
           (unsigned long long)options->consumers, options->consumers == 1 ? "" : "s", (unsigned long long)options->batch,
           options->pin ? ", pinned" : "");
    printf("  messages            %llu in %.3f s\n", (unsigned long long)sum->got.messages, sum->seconds);
    printf("  messages a second   %.0f\n", sum->per_second);
    printf("  MB a second         %.1f\n", sum->mb_per_second);
    if (!options->latency)
        return;
    printf("  from put to get, us");
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++)
        printf("  %s %.2f", quantiles[i].name, bench_quantile(&sum->got, quantiles[i].part) / 1e3);
    printf("  most %.2f\n", (double)sum->got.most_ns / 1e3);
}

static int print_json(const struct run *run, const struct summary *sum)
{
    const struct bench_options *options = &run->options;
    json_t *object = json_object();

    tool_set_number(object, "v", 1);
    tool_set_number(object, "size", options->size);
    tool_set_number(object, "producers", options->producers);
    tool_set_number(object, "consumers", options->consumers);
    tool_set_number(object, "batch", options->batch);
    tool_set_number(object, "capacity", options->capacity);
    json_object_set_new(object, "pinned", json_boolean(options->pin));
    tool_set_number(object, "messages", sum->got.messages);
    json_object_set_new(object, "seconds", json_real(sum->seconds));
    json_object_set_new(object, "messages_per_second", json_real(sum->per_second));
    json_object_set_new(object, "mb_per_second", json_real(sum->mb_per_second));
    if (options->latency) {
        json_t *latency = json_object();
        for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++)
            json_object_set_new(latency, quantiles[i].name,
                                json_real(bench_quantile(&sum->got, quantiles[i].part) / 1e3));
        json_object_set_new(latency, "max", json_real((double)sum->got.most_ns / 1e3));
        json_object_set_new(object, "latency_us", latency);
    }
    return tool_print_json(object, stdout);
}

/* -- the command ------------------------------------------------------------------------------------------------ */

static void read_options(int argc, char **argv, struct bench_options *options)
{
    *options = (struct bench_options){.size = 64, .producers = 1, .consumers = 1, .batch = 1, .capacity = 4096};
    tool_read_operands(bench_usages, argc, argv, options, 0, 0);
    if (options->count == 0 && options->seconds == 0)
        options->seconds = 2;
}

/* What cannot be measured is said before anything is started. */
static int judge(const struct bench_options *options)
{
    if (options->count > 0 && options->seconds > 0)
        return tool_misuse("bench", "--count and --seconds: choose one");
    if (options->seconds > 86400)
        return tool_misuse("bench", "--seconds %g: a day is the most", options->seconds);
    if (options->size > PTQ_ITEM_MAX)
        return tool_misuse("bench", "--size %llu: a message has at most %u bytes", (unsigned long long)options->size,
                           PTQ_ITEM_MAX);
    if (options->latency && options->size < 8)
        return tool_misuse("bench", "--latency: needs --size 8 or more, for the time that travels in the message");
    if (options->producers > SIDE_MAX || options->consumers > SIDE_MAX)
        return tool_misuse("bench", "at most %d producers and %d consumers", SIDE_MAX, SIDE_MAX);
    if (options->count > 0 && options->count < options->producers)
        return tool_misuse("bench", "--count %llu: fewer messages than producers", (unsigned long long)options->count);
    if (options->batch > BENCH_BATCH_MAX || options->batch > options->capacity)
        return tool_misuse("bench", "--batch %llu: at most %d, and not more than the capacity of %llu",
                           (unsigned long long)options->batch, BENCH_BATCH_MAX, (unsigned long long)options->capacity);
    return TOOL_OK;
}

/* SIGINT and SIGTERM are let in only while it waits, so that the scratch queue is always removed. */
static void hold_signals(void)
{
    struct sigaction action = {.sa_handler = note_signal};
    sigset_t held;

    sigemptyset(&held);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGTERM);
    sigprocmask(SIG_BLOCK, &held, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int measure(struct run *run)
{
    static struct summary sum;
    unsigned count = (unsigned)(run->options.producers + run->options.consumers);
    int code = conduct(run);

    if (code != TOOL_OK)
        return code;
    sum_up(run, run->children, count, &sum);
    if (sum.got.messages != sum.put)
        return tool_fail(PTQ_ECORRUPT, run->name, "%llu messages were put, %llu came out", (unsigned long long)sum.put,
                         (unsigned long long)sum.got.messages);
    if (run->options.json)
        return print_json(run, &sum);
    print_text(run, &sum);
    return TOOL_OK;
}

int cmd_bench(int argc, char **argv)
{
    static struct run run;

    if (argc == 2 && strcmp(argv[1], "--role") == 0)
        return bench_play();
    read_options(argc, argv, &run.options);
    int code = judge(&run.options);
    if (code != TOOL_OK || (code = open_bus(&run.bus)) != TOOL_OK)
        return code;
    hold_signals();
    snprintf(run.name, sizeof run.name, "bench-%d", (int)getpid());
    struct ptq_queue_options made = {.mode = PTQ_CREATE,
                                     .capacity = run.options.capacity,
                                     .item_size = (uint32_t)run.options.size,
                                     .ephemeral = true};
    code = open_queue(run.bus, run.name, &made, &run.queue);
    if (code == TOOL_OK) {
        code = measure(&run);
        ptq_queue_close(run.queue);
        enum ptq_err err = ptq_queue_unlink(run.bus, run.name, true);
        if (err != PTQ_OK && code == TOOL_OK)
            code = tool_fail(err, run.name, "cannot remove the scratch queue: %s", ptq_strerror(err));
    }
    ptq_bus_close(run.bus);
    if (caught != 0)
        return 128 + (int)caught;
    return code == TOOL_OK ? tool_finish() : code;
}
