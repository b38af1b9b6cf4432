/* pool.c -- ptq pool: run, worker, status, stop, rm. */
#include "pool.h"

#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "common/report.h"
#include "common/table.h"
#include "common/worker.h"
#include "signals.h"

enum { WORKERS_MAX = 1000 };

int open_pool(ptq_bus *bus, const char *name, const struct ptq_pool_options *options, ptq_pool **ret_pool)
{
    struct ptq_error error = {0};
    struct ptq_pool_options filled = {.mode = PTQ_ATTACH};

    if (options != NULL)
        filled = *options;
    filled.error = &error;
    enum ptq_err err = ptq_pool_open(bus, name, &filled, ret_pool);
    if (err == PTQ_ENOENT && strpbrk(name, "@:") == NULL) /* of another host the library says where it looked */
        return tool_fail(err, name, "no such pool on bus '%s' (%s) - %ssee which there are: ptq ls '*.jobs'", ptq_bus_run(bus), ptq_bus_path(bus),
                         options != NULL ? "wait for it with --wait, or " : "");
    if (err != PTQ_OK)
        return tool_fail(err, name, "cannot open the pool: %s", error.text[0] != '\0' ? error.text : ptq_strerror(err));
    return TOOL_OK;
}

int fail_pool(ptq_pool *pool, enum ptq_err err, const char *what)
{
    char why[700];

    return tool_fail(err, ptq_pool_name(pool), "%s: %s", what, ptq_pool_explain(pool, err, why, sizeof why));
}

/* -- words ---------------------------------------------------------------------------------------------------- */

struct worker_options {
    const char *exec, *plugin, *name;
    uint64_t workers;
    int wait;
};

#define FIELD(name) offsetof(struct worker_options, name)
static const struct tool_option worker_options[] = {
    {'x', "exec", TOOL_TEXT, FIELD(exec), "CMD", "the command that does a job: sh -c CMD, once a job"},
    {'p', "plugin", TOOL_TEXT, FIELD(plugin), "FILE", "a shared object with tasks (ptq_plugin_tasks in <ptq/pool.h>), instead of a command"},
    {'n', "name", TOOL_TEXT, FIELD(name), "NAME", "what the worker is called in results (default worker)"},
    {'j', "workers", TOOL_COUNT, FIELD(workers), "N", "so many at once, started again when they die (default 1)"},
    {'w', "wait", TOOL_MS, FIELD(wait), "MS", "wait so long for the pool to come into being"},
    {0}};
#undef FIELD

struct status_options {
    bool json;
};

static const struct tool_option status_options[] = {
    {0, "json", TOOL_FLAG, offsetof(struct status_options, json), NULL, "as one JSON object"}, {0}};

struct rm_options {
    bool force;
};

static const struct tool_option rm_options[] = {
    {'f', "force", TOOL_FLAG, offsetof(struct rm_options, force), NULL,
     "also where processes have it open: their calls fail from then on"},
    {0}};

enum { RUN, WORKER, STATUS, STOP, RM };

const struct tool_usage pool_usages[] = {
    [RUN] = {.name = "pool run",
         .operands = "[POOL] [-- COMMAND [ARG]... [::: WORD...]]",
         .summary = "run a command for each line, many at once, results in the order of the lines",
         .text = "Reads lines from standard input, and runs COMMAND for each of them in a shell, many at once.  What the commands write, to standard "
                 "output and to standard error, comes out in the order of the lines, however long each took, as if they had been run one "
                 "after the other.  Memory does not grow with the input; an output may have any size.\n\n"
                 "{} in COMMAND becomes the line, quoted as one word; without it the line is added at the end.  {.} is the line without its "
                 "extension, {/} the file's name, {//} its folder, {/.} its name without the extension, {#} the number of the job.  Where a job has "
                 "several arguments (--max-args, --xargs, --colsep, or several :::) {} is all of them, and {1}, {2}, {2/.} are single ones.  "
                 "Words behind ::: are taken instead of lines; with several ::: each combination is a job.\n\n"
                 "With --pipe the input is parted into blocks of whole lines, each the standard input of one COMMAND: no byte is added or lost, "
                 "{#} is the block's number, and nothing is an argument.\n\n"
                 "With --exec, CMD reads the line, with its newline, from its standard input instead, and is a filter: a missing newline at the "
                 "end of an output is added, no output gives no line, and what fails has none.\n\n"
                 "The exit code is the number of jobs that failed, 101 for more than 100, after a --halt by a failure that of the job that failed last, and 255 "
                 "when ptq itself cannot go on.  With --exec it is 1 when a line failed, and each is told with its number.  A worker that is "
                 "killed costs nothing: its job is given to another one, --lives times.\n\n"
                 "With --unordered what a job wrote comes out, whole, as soon as it ends.\n\n"
                 "With --joblog a run that was ended, even by SIGKILL, can be taken up with the same words and --resume: `ptq pool run --joblog log --resume "
                 "-- COMMAND < lines >> results` does what is not done yet.  If it was killed while it wrote an output, that job is done again; "
                 "where the results are a file that has them all, its end is put right first, so that none stands there twice.\n\n"
                 "With a name for the POOL ptq pool status shows it; with a name and --exec workers may join from elsewhere: see ptq pool worker.  "
                 "--no-workers leaves all work to them.  The pool is removed at the end.",
         .examples = "ptq pool run -- gzip -9 {} < files\n"
                     "find . -name '*.wav' -print0 | ptq pool run -0 --bar --joblog log -- flac -s {} -o {.}.flac\n"
                     "ptq pool run --retries 3 --timeout 10s --halt soon,fail=10% -- 'curl -sf {} | sha256sum' < urls\n"
                     "ptq pool run -- echo {1}-{2} ::: a b ::: 1 2\n"
                     "ptq pool run --pipe --unordered -- 'grep error || true' < huge.log\n"
                     "seq 1000 | ptq pool run squares --workers 4 --exec 'read n; echo $((n * n))'",
         .options = pool_run_options},
    [WORKER] = {.name = "pool worker",
         .operands = "POOL",
         .summary = "work for a pool, on this host or on another",
         .text = "Takes jobs from POOL until the pool ends.  A job is the command's standard input, what it writes to standard output "
                 "is the result; when it exits with anything but 0 the result is an error.  Its environment has PTQ_POOL, "
                 "PTQ_TICKET and PTQ_TRIES.  A worker that is killed loses nothing: its job goes to another.\n\n"
                 "SIGTERM or SIGINT lets a worker finish its job and leave; a second one ends it.",
         .examples = "ptq pool worker thumbs --exec 'convert - -resize 64x64 png:-'\n"
                     "ptq --peers home=tcp://10.0.0.1:7000 pool worker thumbs@home --workers 8 --exec ./thumb",
         .options = worker_options},
    [STATUS] = {.name = "pool status",
         .operands = "POOL",
         .summary = "show what a pool holds, and what its results wait for",
         .text = "Prints one figure a line.  queued: jobs that wait for a worker.  running: jobs that workers have.  held: finished, "
                 "behind one that is not.  ready: finished, and next in order.  got: taken by the getter, and done.  head: the "
                 "ticket that comes out next; head_pid: the process that works on it; head_ms: for how long, as far as is known "
                 "from here.  retried: handed out again because a worker died.\n\n"
                 "Then a line for each worker that lives on this host, whichever program started it: what it does and for how long, "
                 "the ticket and the task in hand, jobs done and failed, how much of its time it is busy, seconds a job, memory, "
                 "deaths of its predecessors, its last error.  Nobody is asked: a worker that is stopped or in the middle of a job is "
                 "shown like any other.",
         .examples = "ptq pool status thumbs\nptq pool status thumbs --json | jq .held",
         .options = status_options},
    [STOP] = {.name = "pool stop",
         .operands = "POOL",
         .summary = "let a pool end: nothing more is submitted, what was submitted is done",
         .text = "From now on every submit fails.  What was submitted is done and can be got; then workers leave, and the getter "
                 "learns that it was all.  Returns at once.",
         .examples = "ptq pool stop thumbs"},
    [RM] = {.name = "pool rm",
         .operands = "POOL",
         .summary = "remove a pool with all that is in it",
         .examples = "ptq pool rm thumbs --force",
         .options = rm_options},
    {0}};

/* -- ptq pool worker ------------------------------------------------------------------------------------------ */

static ptq_pool *working_for; /* for the handler */

static void leave(int number)
{
    (void)number;
    ptq_pool_leave(working_for);
}

/* The first signal lets it finish its job, a second one ends it. */
static void leave_on_signals(ptq_pool *pool)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = leave, .sa_flags = (int)SA_RESETHAND};

    working_for = pool;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction before;
        sigaction(numbers[i], NULL, &before);
        if (before.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
}

static int work_here(ptq_pool *pool, const struct worker_options *options)
{
    struct ptq_work_options how = {.exec = options->exec, .name = options->name};

    leave_on_signals(pool);
    enum ptq_err err = ptq_pool_work(pool, &how);
    if (err == PTQ_OK || err == PTQ_EINTR || err == PTQ_EGONE) /* it ended, we were told to leave, or it was removed */
        return TOOL_OK;
    return fail_pool(pool, err, "cannot go on working");
}

static int work_with_children(ptq_pool *pool, const struct worker_options *options)
{
    struct ptq_error error = {0};
    struct ptq_spawn_options how = {
        .exec = options->exec, .plugin = options->plugin, .name = options->name, .count = (unsigned)options->workers, .error = &error};

    catch_signals(NULL);
    enum ptq_err err = ptq_pool_spawn(pool, &how);
    if (err != PTQ_OK)
        return tool_fail(err, ptq_pool_name(pool), "cannot start workers: %s", error.text);
    do
        err = ptq_pool_supervise(pool, 1000); /* a signal between the look and the sleep is seen a second later */
    while ((err == PTQ_TIMEDOUT || err == PTQ_EINTR) && !was_signalled());
    if (err == PTQ_OK || was_signalled())
        return TOOL_OK;
    return fail_pool(pool, err, "cannot go on working");
}

static int load_plugin(const char *file)
{
    struct ptq_error error = {0};
    enum ptq_err err = ptq_task_load(file, &error);

    return err == PTQ_OK ? TOOL_OK : tool_fail(err, "pool worker", "%s - give a shared object with ptq_plugin_tasks: <ptq/pool.h>", error.text);
}

static int pool_worker(int argc, char **argv)
{
    struct worker_options options = {.workers = 1};
    int first = tool_read_operands(&pool_usages[WORKER], argc, argv, &options, 1, 1);
    ptq_bus *bus = NULL;
    ptq_pool *pool = NULL;

    if ((options.exec == NULL) == (options.plugin == NULL))
        return tool_misuse("pool worker", "give the command that does a job with --exec, or tasks with --plugin (those of a program run in "
                                          "that program)");
    if (options.workers > WORKERS_MAX)
        return tool_misuse("pool worker", "--workers is at most %d", WORKERS_MAX);
    int code = options.plugin != NULL ? load_plugin(options.plugin) : TOOL_OK;
    if (code == TOOL_OK)
        code = open_bus(&bus);
    if (code == TOOL_OK)
        code = open_pool(bus, argv[first], &(struct ptq_pool_options){.mode = PTQ_ATTACH, .wait_ms = options.wait}, &pool);
    if (code == TOOL_OK)
        code = options.workers > 1 ? work_with_children(pool, &options) : work_here(pool, &options);
    ptq_pool_close(pool);
    ptq_bus_close(bus);
    return code;
}

/* -- ptq pool status ------------------------------------------------------------------------------------------ */

static json_t *status_json(ptq_pool *pool, const struct ptq_pool_stats *stats)
{
    json_t *object = json_object();

    json_object_set_new(object, "v", json_integer(1));
    json_object_set_new(object, "pool", tool_text_json(ptq_pool_name(pool)));
    tool_set_number(object, "submitted", stats->submitted);
    tool_set_number(object, "queued", stats->queued);
    tool_set_number(object, "running", stats->running);
    tool_set_number(object, "held", stats->held);
    tool_set_number(object, "ready", stats->ready);
    tool_set_number(object, "got", stats->got);
    tool_set_number(object, "window", stats->window);
    tool_set_number(object, "head", stats->head);
    json_object_set_new(object, "head_pid", stats->head_pid > 0 ? json_integer(stats->head_pid) : json_null());
    json_object_set_new(object, "head_ms", stats->head_ms >= 0 ? json_integer(stats->head_ms) : json_null());
    tool_set_number(object, "retried", stats->retried);
    json_object_set_new(object, "stopped", json_boolean(stats->stopped));
    return object;
}

static void print_figures(const json_t *object)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)object, key, value) {
        char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
        if (strcmp(key, "v") != 0)
            printf("%s %s\n", key, text == NULL ? json_string_value(value) : json_is_null(value) ? "-" : text);
        free(text);
    }
}

static json_t *averages_json(const struct ptq_worker_averages *all)
{
    json_t *object = json_object();

    tool_set_number(object, "workers", all->workers);
    tool_set_number(object, "working", all->working);
    tool_set_number(object, "done", all->jobs_done);
    tool_set_number(object, "failed", all->jobs_failed);
    json_object_set_new(object, "efficiency", json_real(all->efficiency));
    json_object_set_new(object, "total_efficiency", json_real(all->total_efficiency));
    json_object_set_new(object, "seconds_per_job", json_real(all->seconds_per_job));
    tool_set_number(object, "rss_bytes", all->rss_bytes);
    return object;
}

static void print_workers(const struct ptq_worker_status *workers, size_t count)
{
    static const struct tool_column columns[] = {{"WORKER", true}, {"PID", false}, {"STATE", true}, {"FOR ms", false},
        {"TICKET", false}, {"TASK", true}, {"DONE", false}, {"FAILED", false}, {"BUSY%", false}, {"s/JOB", false},
        {"UP s", false}, {"RSS MiB", false}, {"DEATHS", false}, {"LAST ERROR", true}};
    struct ptq_worker_averages all = ptq_worker_average(workers, count);
    struct tool_table table;

    tool_table_init(&table, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < count; i++) {
        const struct ptq_worker_status *worker = &workers[i];
        tool_table_cell(&table, "%s", worker->name);
        tool_table_cell(&table, "%lld", (long long)worker->pid);
        tool_table_cell(&table, "%s", tool_worker_states[worker->state]);
        tool_table_cell(&table, "%lld", (long long)(worker->since_ns / 1000000));
        if (worker->has_job)
            tool_table_cell(&table, "%llu", (unsigned long long)worker->ticket);
        else
            tool_table_cell(&table, "-");
        tool_table_cell(&table, "%s", worker->task[0] != '\0' ? worker->task : "-");
        tool_table_cell(&table, "%llu", (unsigned long long)worker->jobs_done);
        tool_table_cell(&table, "%llu", (unsigned long long)worker->jobs_failed);
        tool_table_cell(&table, "%.0f", 100 * ptq_worker_efficiency(worker));
        tool_table_cell(&table, "%.3g", ptq_worker_seconds_per_job(worker));
        tool_table_cell(&table, "%.1f", (double)worker->uptime_ns / 1e9);
        tool_table_cell(&table, "%.1f", (double)worker->rss_bytes / 1048576);
        tool_table_cell(&table, "%u", (unsigned)worker->deaths);
        tool_table_cell(&table, "%s", worker->last_error == PTQ_OK ? "-" : worker->last_error_text);
    }
    printf("\n%zu worker%s on this host, %zu with a job; busy %.0f%% of their time, %.3g s a job\n", count, count == 1 ? "" : "s",
           all.working, 100 * all.total_efficiency, all.seconds_per_job);
    if (count != 0)
        tool_table_print(&table, stdout);
    tool_table_fini(&table);
}

/* All of them; free() what is given. */
static enum ptq_err read_workers(ptq_pool *pool, struct ptq_worker_status **ret_workers, size_t *ret_count)
{
    struct ptq_worker_status *workers = malloc(PTQ_WORKERS_MAX * sizeof *workers);
    size_t count = 0;
    enum ptq_err err = workers != NULL ? ptq_pool_workers(pool, workers, PTQ_WORKERS_MAX, &count) : PTQ_ENOMEM;

    *ret_workers = workers;
    *ret_count = count;
    return err;
}

static int print_status(ptq_pool *pool, const struct ptq_pool_stats *stats, bool json)
{
    struct ptq_worker_status *workers;
    size_t count;
    enum ptq_err err = read_workers(pool, &workers, &count);
    json_t *object = status_json(pool, stats);
    int code = TOOL_OK;

    if (err != PTQ_OK) {
        code = fail_pool(pool, err, "cannot look at its workers");
    } else if (json) {
        struct ptq_worker_averages all = ptq_worker_average(workers, count);
        json_t *list = json_array();
        for (size_t i = 0; i < count; i++)
            json_array_append_new(list, tool_worker_json(&workers[i]));
        json_object_set_new(object, "workers", list);
        json_object_set_new(object, "averages", averages_json(&all));
        code = tool_print_json(json_incref(object), stdout);
    } else {
        print_figures(object);
        print_workers(workers, count);
    }
    json_decref(object);
    free(workers);
    return code;
}

static int pool_status(int argc, char **argv)
{
    struct status_options options = {0};
    int first = tool_read_operands(&pool_usages[STATUS], argc, argv, &options, 1, 1);
    struct ptq_pool_stats stats;
    ptq_bus *bus = NULL;
    ptq_pool *pool = NULL;

    int code = open_bus(&bus);
    if (code == TOOL_OK)
        code = open_pool(bus, argv[first], NULL, &pool);
    enum ptq_err err = code == TOOL_OK ? ptq_pool_stats(pool, &stats) : PTQ_OK;
    if (err != PTQ_OK)
        code = fail_pool(pool, err, "cannot look at it");
    if (code == TOOL_OK)
        code = print_status(pool, &stats, options.json);
    ptq_pool_close(pool);
    ptq_bus_close(bus);
    int finished = tool_finish();
    return code != TOOL_OK ? code : finished;
}

/* -- ptq pool stop, rm ---------------------------------------------------------------------------------------- */

static int pool_stop(int argc, char **argv)
{
    int first = tool_read_operands(&pool_usages[STOP], argc, argv, NULL, 1, 1);
    ptq_bus *bus = NULL;
    ptq_pool *pool = NULL;

    int code = open_bus(&bus);
    if (code == TOOL_OK)
        code = open_pool(bus, argv[first], NULL, &pool);
    enum ptq_err err = code == TOOL_OK ? ptq_pool_stop(pool) : PTQ_OK;
    if (err != PTQ_OK)
        code = fail_pool(pool, err, "cannot stop it");
    ptq_pool_close(pool);
    ptq_bus_close(bus);
    return code;
}

/* Either of its queues: a removal that was killed may have left one. */
static bool is_there(ptq_bus *bus, const char *pool)
{
    static const char *const suffixes[] = {"jobs", "done"};
    bool found = false;

    for (size_t i = 0; i < 2 && !found; i++) {
        char name[PTQ_NAME_MAX + 8];
        ptq_view *view = NULL;
        snprintf(name, sizeof name, "%.*s.%s", PTQ_NAME_MAX, pool, suffixes[i]);
        found = ptq_view_open(bus, name, NULL, &view) != PTQ_ENOENT;
        ptq_view_close(view);
    }
    return found;
}

static int pool_rm(int argc, char **argv)
{
    struct rm_options options = {0};
    int first = tool_read_operands(&pool_usages[RM], argc, argv, &options, 1, 1);
    ptq_bus *bus = NULL;

    int code = open_bus(&bus);
    bool missing = code == TOOL_OK && strpbrk(argv[first], "@:") == NULL && !is_there(bus, argv[first]);
    enum ptq_err err = code == TOOL_OK ? ptq_pool_unlink(bus, argv[first], options.force) : PTQ_OK;
    if (err == PTQ_OK && missing && !options.force)
        code = tool_fail(PTQ_ENOENT, argv[first], "no such pool on bus '%s' (%s) - see which there are: ptq ls '*.jobs'", ptq_bus_run(bus), ptq_bus_path(bus));
    else if (err == PTQ_EBUSY)
        code = tool_fail(err, argv[first], "cannot remove it: processes have it open - end them, or give --force");
    else if (err == PTQ_EINVAL && strpbrk(argv[first], "@:") != NULL)
        code = tool_fail(err, argv[first], "cannot remove it: that is done on the host where it lives");
    else if (err != PTQ_OK)
        code = tool_fail(err, argv[first], "cannot remove it: %s", ptq_strerror(err));
    ptq_bus_close(bus);
    return code;
}

/* -- ptq pool ------------------------------------------------------------------------------------------------- */

int cmd_pool(int argc, char **argv)
{
    static int (*const subcommands[])(int argc, char **argv) = {
        [RUN] = pool_run, [WORKER] = pool_worker, [STATUS] = pool_status, [STOP] = pool_stop, [RM] = pool_rm};

    return run_subcommand("pool", pool_usages, subcommands, argc, argv);
}
