/* pool_run.c -- ptq pool run: lines in, a command for each of them, results in the order of the lines.  What is asked, and the pool for it.
 *
 * Commands run in workers that know our own task (run_task.c).  Only with a name for the POOL and --exec are jobs bare lines and results bare
 * outputs: then workers of other programs and other hosts may join.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "names.h"
#include "pool_run.h"
#include "signals.h"

enum { WORKERS_MAX = 1000, POOL_JOIN_MS = 10000, FAILED_MOST = 100, OWN_ERROR = 255, CAPACITY_LEAST = 64, TRIES_MAX = 10001 };

#define FIELD(name) offsetof(struct run_options, name)
const struct tool_option pool_run_options[] = {
    {'x', "exec", TOOL_TEXT, FIELD(exec), "CMD", "a command that reads the line from its standard input: sh -c CMD, once a line"},
    {'j', "workers", TOOL_COUNT, FIELD(workers), "N", "so many at once (default: one a processor)"},
    {0, "jobs", TOOL_COUNT, FIELD(workers), "N", "the same as --workers"},
    {'a', "arg-file", TOOL_TEXTS, FIELD(files), "FILE", "read lines from FILE instead of standard input; several: one after the other"},
    {'0', "null", TOOL_FLAG, FIELD(null), NULL, "a zero byte ends a line, as find -print0 writes them"},
    {'n', "max-args", TOOL_COUNT, FIELD(max_args), "N", "so many lines a job (default 1)"},
    {'m', "xargs", TOOL_FLAG, FIELD(pack), NULL, "as many lines a job as the system takes; or --max-args, if that is less"},
    {'C', "colsep", TOOL_TEXT, FIELD(columns), "TEXT", "what parts a line into arguments: {1}, {2}; $'\\t' is a tab"},
    {'k', "keep-order", TOOL_FLAG, FIELD(keep_order), NULL, "changes nothing: the order is kept without it"},
    {0, "unordered", TOOL_FLAG, FIELD(unordered), NULL, "write what each job wrote as soon as it ends, whole, whatever its place"},
    {0, "tag", TOOL_FLAG, FIELD(tag), NULL, "begin each line of output with the job's arguments and a tab"},
    {0, "pipe", TOOL_FLAG, FIELD(pipe), NULL, "part the input into blocks of whole lines, and give each to a COMMAND as its standard input"},
    {0, "block", TOOL_SIZE, FIELD(block), "BYTES", "the largest block of --pipe, whose lines --max-args bounds (default: about 1M)"},
    {0, "results", TOOL_TEXT, FIELD(results), "DIR", "write what each job wrote to DIR/NUMBER/stdout and stderr, too, and its command beside"},
    {'r', "retries", TOOL_COUNT, FIELD(retries), "N", "try what fails so often in all; what counts and is shown is the last try (default 1)"},
    {'t', "timeout", TOOL_MS, FIELD(timeout), "MS",
     "end a try that takes longer: SIGTERM, a tenth of a second later SIGKILL (default: never)"},
    {'H', "halt", TOOL_TEXT, FIELD(halt), "WHEN", "give up: soon,fail=3 (begin no more after 3 failures), now,fail=1 (and end those that run), "
     "success= or done= instead of fail=, 10% of those done instead of a number, or never, which is so without it"},
    {'L', "joblog", TOOL_TEXT, FIELD(joblog), "FILE", "write a row for each job: number, begin, seconds, exit status, signal, command, as parallel does"},
    {0, "resume", TOOL_FLAG, FIELD(resume), NULL, "leave out what the --joblog says is done"},
    {0, "resume-failed", TOOL_FLAG, FIELD(resume_failed), NULL, "as --resume, but what failed is done again"},
    {0, "bar", TOOL_FLAG, FIELD(bar), NULL, "show on a terminal how far it is, and how long it will take"},
    {0, "eta", TOOL_FLAG, FIELD(eta), NULL, "as --bar, without a picture"},
    {0, "dry-run", TOOL_FLAG, FIELD(dry_run), NULL, "print the commands, and run none"},
    {'N', "no-workers", TOOL_FLAG, FIELD(none), NULL,
     "start none: ptq pool worker joins them from elsewhere; needs a name for the POOL"},
    {'W', "window", TOOL_COUNT, FIELD(window), "N",
     "how far results may run ahead of the oldest missing one (default: 10 a processor, at least 2 a worker)"},
    {'s', "line-size", TOOL_SIZE, FIELD(line_size), "BYTES", "the longest line, with its end (default 64K)"},
    {'S', "result-size", TOOL_SIZE, FIELD(result_size), "BYTES", "the largest output of one run (default: any, or 64K where the POOL has a name)"},
    {'l', "lives", TOOL_COUNT, FIELD(lives), "N", "workers that a job may cost before it fails (default 3)"},
    {0}};
#undef FIELD

/* For answers that change nothing: what follows does, or finds out for itself. */
static void let_be(enum ptq_err err)
{
    (void)err;
}

/* -- what is asked -------------------------------------------------------------------------------------------- */

static const char command_name[] = "pool run";

static void check_options(const struct run_options *options, const char *name, bool has_command, struct run_halt *ret_halt)
{
    if (options->exec != NULL && has_command)
        exit(tool_misuse(command_name, "give the command either with --exec or behind --"));
    if (options->exec == NULL && !has_command && !options->none)
        exit(tool_misuse(command_name, "give the command: --exec CMD reads the line, -- COMMAND [ARG]... has it as an argument"));
    if (options->none && has_command)
        exit(tool_misuse(command_name, "--no-workers leaves the lines to the commands of others: leave out yours"));
    if (options->none && name == NULL)
        exit(tool_misuse(command_name, "--no-workers needs a name for the POOL, so that workers can join it"));
    if (name != NULL && strpbrk(name, "@:") != NULL)
        exit(tool_misuse(command_name, "the POOL is made on this host, and others join it with ptq pool worker: give a bare name"));
    if (options->workers > WORKERS_MAX)
        exit(tool_misuse(command_name, "--workers is at most %d", WORKERS_MAX));
    if (options->line_size > PTQ_POOL_ITEM_MAX / 2 || options->result_size > PTQ_POOL_ITEM_MAX)
        exit(tool_misuse(command_name, "--line-size is at most %d, --result-size %d", (int)PTQ_POOL_ITEM_MAX / 2, (int)PTQ_POOL_ITEM_MAX));
    if (options->lives > UINT16_MAX || options->retries >= TRIES_MAX)
        exit(tool_misuse(command_name, "--lives is at most %d, --retries %d", UINT16_MAX, TRIES_MAX - 1));
    if ((options->pack || options->columns != NULL) && !has_command)
        exit(tool_misuse(command_name, "--xargs and --colsep make arguments of lines: give the command behind --"));
    if (options->columns != NULL && options->columns[0] == '\0')
        exit(tool_misuse(command_name, "--colsep cannot be empty"));
    if (options->pipe && (!has_command || options->pack || options->columns != NULL || options->tag))
        exit(tool_misuse(command_name, "--pipe gives blocks of lines to the COMMAND behind --, which has no arguments: leave out --exec, --xargs, --colsep "
                         "and --tag"));
    if (options->block > 0 && !options->pipe)
        exit(tool_misuse(command_name, "--block is the size of what --pipe gives to a command: give --pipe, too"));
    if (options->block > PTQ_POOL_ITEM_MAX / 2)
        exit(tool_misuse(command_name, "--block is at most %d", (int)PTQ_POOL_ITEM_MAX / 2));
    if (options->tag && !has_command)
        exit(tool_misuse(command_name, "--tag shows the arguments of a command: give it behind --"));
    if (options->unordered && options->keep_order)
        exit(tool_misuse(command_name, "--unordered and --keep-order exclude each other"));
    if ((options->resume || options->resume_failed) && options->joblog == NULL)
        exit(tool_misuse(command_name, "what is done stands in the job log: give it with --joblog"));
    if (options->halt != NULL && !run_halt_read(options->halt, ret_halt))
        exit(tool_misuse(command_name, "--halt is 'never' or WHEN,WHY=HOW: soon or now; fail, success or done; a number from 1 or a percentage, such "
                         "as now,fail=1 or soon,fail=10%%; not '%s'", options->halt));
}

/* The words behind "--": getopt leaves them last, so their number is enough.  0: there is no such word. */
static size_t count_behind_dashes(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--") == 0)
            return (size_t)(argc - i - 1);
    return 0;
}

/* The command ends at ":::"; groups of words follow. */
static size_t split_groups(char **words, size_t count, struct run_groups *groups)
{
    size_t command = count;

    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], ":::") == 0) {
            if (groups->count == RUN_GROUPS_MAX)
                exit(tool_misuse(command_name, "::: at most %d times", RUN_GROUPS_MAX));
            command = i < command ? i : command;
            groups->first[groups->count++] = words + i + 1;
        } else if (groups->count > 0) {
            groups->size[groups->count - 1]++;
        }
    }
    return command;
}

/* -- the pool ------------------------------------------------------------------------------------------------- */

/* Pools without a name of their own of runs that were killed: nobody has them open, or unlink spares them. */
static void remove_left(ptq_bus *bus)
{
    struct names names;

    if (names_read(&names, bus) == TOOL_OK)
        for (size_t i = 0; i < names.count; i++) {
            char pool[64], end = 0;
            int pid;
            if (sscanf(names.items[i], "run-%d.job%c", &pid, &end) != 2 || end != 's' || pid <= 0 || kill(pid, 0) == 0 || errno != ESRCH)
                continue;
            snprintf(pool, sizeof pool, "run-%d", pid);
            let_be(ptq_pool_unlink(bus, pool, false));
        }
    names_fini(&names);
}

/* One of the same name that a killed run left has no living user: it goes.  One in use is somebody else's. */
static int make_pool(ptq_bus *bus, const char *name, struct run *run)
{
    const struct run_options *options = run->options;
    uint64_t processors = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
    struct ptq_pool_options how = {.mode = PTQ_CREATE, .window = options->window, .lives = (uint32_t)options->lives,
                                   .item_size = (uint32_t)options->line_size, .result_size = RUN_RESULT_SIZE, .ephemeral = true,
                                   .unordered = options->unordered,
                                   .call = {.retries = (uint32_t)options->retries - 1, .timeout_ms = (uint32_t)options->timeout}};

    if (how.window == 0 && options->pipe) /* blocks are large, and memory is taken for each that waits */
        how.window = 2 * (options->workers > 0 ? options->workers : processors);
    if (how.window == 0)
        how.window = 10 * processors > 2 * options->workers ? 10 * processors : 2 * options->workers;
    if (run->plain && options->result_size != 0)
        how.result_size = (uint32_t)options->result_size;
    if (!run->plain) {
        how.call = (struct ptq_call_options){0}; /* run_task.c does it */
        how.item_size = (uint32_t)run_job_room(options->pipe           ? options->line_size + run_template_most(run->template)
                                               : options->exec != NULL ? strlen(options->exec) + options->line_size : RUN_COMMAND_MAX);
        how.capacity = how.window > CAPACITY_LEAST || options->pipe ? how.window : CAPACITY_LEAST;
    } else if (how.window > 1000) {
        how.capacity = how.window; /* or workers would lack jobs while the head is slow */
    }
    remove_left(bus);
    let_be(ptq_pool_unlink(bus, name, false)); /* open_pool says what is wrong */
    return open_pool(bus, name, &how, &run->pool);
}

static int start_workers(struct run *run)
{
    struct ptq_error error = {0};
    struct ptq_spawn_options how = {.count = (unsigned)run->options->workers, .exec = run->plain ? run->options->exec : NULL, .error = &error};

    if (run->options->none)
        return TOOL_OK;
    enum ptq_err err = ptq_pool_spawn(run->pool, &how);
    return err == PTQ_OK ? TOOL_OK : tool_fail(err, ptq_pool_name(run->pool), "cannot start workers: %s", error.text);
}

static int run_pool(struct run *run)
{
    int fd = -1;
    int code = start_workers(run);

    enum ptq_err err = code == TOOL_OK ? ptq_pool_fd(run->pool, &fd) : PTQ_OK;
    if (err != PTQ_OK)
        code = fail_pool(run->pool, err, "cannot wait for it");
    if (code == TOOL_OK)
        code = run_turns(run, fd);
    run_bar_hide(&run->bar);
    if (code == TOOL_OK && !was_signalled())
        let_be(ptq_pool_join(run->pool, POOL_JOIN_MS)); /* abort ends whoever has not left by then */
    return code;
}

static int run_in_pool(struct run *run, const char *name)
{
    char own[64];
    ptq_bus *bus = NULL;
    int code = run->plain ? TOOL_OK : run_spill_open(&run->spill);

    snprintf(own, sizeof own, "run-%d", (int)getpid());
    if (code == TOOL_OK)
        code = open_bus(&bus);
    if (code == TOOL_OK)
        code = make_pool(bus, name != NULL ? name : own, run);
    if (code == TOOL_OK) {
        run_figures_of(run)->halt = run->halt;
        catch_signals(NULL);
        code = run_pool(run);
        let_be(ptq_pool_abort(run->pool)); /* whatever is left, and the workers with it */
    }
    ptq_pool_close(run->pool);
    ptq_bus_close(bus);
    return code;
}

/* Of commands the number of those that failed, as parallel has it; of --exec, as everywhere in ptq, 1. */
static int exit_code(struct run *run, int code)
{
    uint64_t failed = run->failed <= FAILED_MOST ? run->failed : FAILED_MOST + 1;

    if (run->template == NULL)
        return code != TOOL_OK ? code : run->failed > 0 ? TOOL_ERROR : TOOL_OK;
    if (code != TOOL_OK)
        return OWN_ERROR;
    if (run->halt_told && run->halt.why != RUN_HALT_DONE)
        return atomic_load(&run_figures_of(run)->halt_code) & 255;
    return (int)failed;
}

static int run_all(struct run *run, const char *name)
{
    const struct run_options *options = run->options;
    enum run_log_mode mode = options->resume_failed ? RUN_LOG_RESUME_FAILED : options->resume ? RUN_LOG_RESUME : RUN_LOG_NEW;
    int code = TOOL_OK;

    if (options->results != NULL && !options->dry_run)
        code = run_keep_folder(options->results);
    if (code == TOOL_OK && options->joblog != NULL && !options->dry_run)
        code = run_log_open(&run->log, options->joblog, mode);
    run_bar_open(&run->bar, options->bar, options->eta);
    if (run->bar.shown && options->max_args <= 1 && !options->pack && !options->pipe)
        run->total = run_source_total(&run->source);
    if (code == TOOL_OK)
        code = options->dry_run ? run_print(run) : run_in_pool(run, name);
    return exit_code(run, code);
}

/* A block, its command and what stands before them is one block of memory of the pool, unless more is asked for.  A line fits where a
 * block does. */
static void set_block(struct run_options *options, const char *template)
{
    size_t besides = template != NULL ? run_job_room(run_template_most(template)) : 0;

    if (options->block == 0)
        options->block = (1u << 20) - (besides < 1u << 19 ? besides : 1u << 19);
    options->line_size = options->line_size > options->block ? options->line_size : options->block;
}

int pool_run(int argc, char **argv)
{
    struct run_options options = {.line_size = 65536, .retries = 1};
    struct run run = {.options = &options, .log.fd = -1, .output.advice = "what has run is not undone; mend it, and call again, with --joblog and --resume to go on where it ended", .spill = {.fd = -1, .stop = {-1, -1}}};
    size_t behind = count_behind_dashes(argc, argv);
    int first = tool_read_operands(pool_usages, argc, argv, &options, (int)behind, (int)behind + 1);
    const char *name = (size_t)(argc - first) > behind ? argv[first] : NULL;
    size_t words = split_groups(argv + argc - behind, behind, &run.source.groups);

    if (options.timeout < 0)
        options.timeout = 0; /* forever */
    check_options(&options, name, words > 0, &run.halt);
    if (options.pipe && run.source.groups.count > 0)
        exit(tool_misuse(command_name, "--pipe gives lines to the command: leave out :::"));
    run.plain = name != NULL && words == 0;
    run.source.files = options.files.items;
    run.source.file_count = options.files.count;
    run.source.separator = options.null ? '\0' : '\n';
    run.source.columns = options.columns;
    char *template = words > 0 ? run_template_make(argv + argc - behind, words, !options.pipe) : NULL;
    run.template = template;
    if (options.pipe)
        set_block(&options, template);
    run.source.most = options.line_size - 1;
    if (!run.plain)
        run_task_register();

    int code = run_all(&run, name);
    run_source_close(&run.source);
    run_log_close(&run.log);
    run_spill_close(&run.spill);
    output_fini(&run.output);
    run_words_fini(&run.words);
    run_text_fini(&run.command);
    run_text_fini(&run.input);
    run_forget_all(&run);
    free(template);
    return end_by_signal(code);
}
