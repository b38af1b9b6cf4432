/* pool_run.c -- ptq pool run: lines in, a command for each of them, results in the order of the lines.
 *
 * One thread, which takes turns: what is finished is written, then as much is read and submitted as the pool takes, then it
 * sleeps until a result or a line comes.  So an input without end needs no more memory than the pool has.
 */
#include "pool.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "input.h"
#include "output.h"
#include "signals.h"

enum { WORKERS_MAX = 1000, POOL_JOIN_MS = 10000 };

struct run_options {
    const char *exec;
    uint64_t workers, window, line_size, result_size, lives;
    bool none; /* --no-workers */
};

#define FIELD(name) offsetof(struct run_options, name)
const struct tool_option pool_run_options[] = {
    {'x', "exec", TOOL_TEXT, FIELD(exec), "CMD", "the command: sh -c CMD, once a line"},
    {'j', "workers", TOOL_COUNT, FIELD(workers), "N", "so many at once; else one a processor"},
    {'N', "no-workers", TOOL_FLAG, FIELD(none), NULL,
     "start none: ptq pool worker joins them from elsewhere; needs a name for the POOL"},
    {'W', "window", TOOL_COUNT, FIELD(window), "N",
     "how far results may run ahead of the oldest missing one; else 10 a processor"},
    {'s', "line-size", TOOL_SIZE, FIELD(line_size), "BYTES", "the longest line, with its newline; else 64K"},
    {'S', "result-size", TOOL_SIZE, FIELD(result_size), "BYTES", "the largest output of one run; else 64K"},
    {'l', "lives", TOOL_COUNT, FIELD(lives), "N", "workers that a line may cost before it fails; else 3"},
    {0}};
#undef FIELD

/* A line that was submitted and whose result did not come yet. */
struct waiting {
    uint64_t ticket, line;
};

struct run {
    const struct run_options *options;
    ptq_pool *pool;
    struct input input;
    struct output output;
    char *line;              /* the next to be submitted, with its newline */
    size_t line_size;
    uint64_t line_number;
    bool has_line, no_more;  /* one is waiting; none will come */
    struct waiting *waiting; /* a ring, in order of tickets */
    size_t first, count, room;
    bool failed;             /* some line did */
};

/* For answers that change nothing: what follows does, or finds out for itself. */
static void let_be(enum ptq_err err)
{
    (void)err;
}

/* -- which line was it? --------------------------------------------------------------------------------------- */

static bool remember(struct run *run, uint64_t ticket, uint64_t line)
{
    if (run->count == run->room) {
        size_t room = run->room == 0 ? 256 : 2 * run->room;
        struct waiting *ring = malloc(room * sizeof *ring);
        if (ring == NULL)
            return false;
        for (size_t i = 0; i < run->count; i++)
            ring[i] = run->waiting[(run->first + i) % run->room];
        free(run->waiting);
        run->waiting = ring;
        run->first = 0;
        run->room = room;
    }
    run->waiting[(run->first + run->count++) % run->room] = (struct waiting){ticket, line};
    return true;
}

/* 0: somebody else submitted it. */
static uint64_t recall(struct run *run, uint64_t ticket)
{
    const struct waiting *oldest = run->waiting + run->first;

    if (run->count == 0 || oldest->ticket != ticket)
        return 0;
    run->first = (run->first + 1) % run->room;
    run->count--;
    return oldest->line;
}

/* -- out ------------------------------------------------------------------------------------------------------ */

static int write_output(struct run *run, const ptq_result *result)
{
    const char *data = ptq_result_data(result);
    size_t size = ptq_result_size(result);
    bool whole = output_message(&run->output, FORMAT_RAW, &(struct shown){.data = data, .size = size});

    if (whole && size > 0 && data[size - 1] != '\n')
        whole = output_message(&run->output, FORMAT_RAW, &(struct shown){.data = "\n", .size = 1});
    if (whole)
        return TOOL_OK;
    tool_error(NULL, "out of memory");
    return TOOL_ERROR;
}

static int take_result(struct run *run, ptq_result *result)
{
    uint64_t line = recall(run, ptq_result_ticket(result));
    int code = TOOL_OK;

    if (line == 0) {
        tool_error(ptq_pool_name(run->pool), "somebody else submits to this pool: ticket %llu is left out",
                   (unsigned long long)ptq_result_ticket(result));
        run->failed = true;
    } else if (ptq_result_kind(result) == PTQ_RESULT_ERROR) {
        code = output_flush(&run->output); /* words and data in the order in which they came */
        tool_error(NULL, "line %llu: %s", (unsigned long long)line, ptq_result_text(result));
        run->failed = true;
    } else {
        code = write_output(run, result);
    }
    enum ptq_err err = ptq_result_done(result);
    if (err != PTQ_OK && code == TOOL_OK)
        code = fail_pool(run->pool, err, "cannot go on");
    return code;
}

/* Writes what is finished.  *ret_end: there is no more. */
static int take_results(struct run *run, bool *ret_any, bool *ret_end)
{
    int code = TOOL_OK;

    while (code == TOOL_OK && !was_signalled()) {
        ptq_result *result;
        enum ptq_err err = ptq_pool_get(run->pool, PTQ_NOWAIT, &result);
        *ret_end = err == PTQ_END;
        if (err == PTQ_EMPTY || err == PTQ_END)
            break;
        if (err == PTQ_EINTR)
            continue;
        if (err != PTQ_OK)
            return fail_pool(run->pool, err, "cannot get results");
        *ret_any = true;
        code = take_result(run, result);
        if (run->output.used > 1u << 16 && code == TOOL_OK)
            code = output_flush(&run->output);
    }
    return code == TOOL_OK ? output_flush(&run->output) : code;
}

/* -- in ------------------------------------------------------------------------------------------------------- */

static void refuse_line(struct run *run, const struct piece *piece)
{
    tool_error(NULL, "line %llu: %s%zu bytes do not fit: the longest line is %llu - give a larger --line-size",
               (unsigned long long)run->input.count, piece->endless ? "more than " : "", piece->size,
               (unsigned long long)run->options->line_size);
    run->failed = true;
}

/* Reads the next line if there is one now. */
static int read_line(struct run *run)
{
    struct piece piece;

    if (run->has_line || run->no_more || input_waits(&run->input))
        return TOOL_OK;
    enum input_answer answer = input_next(&run->input, &piece);
    if (answer == INPUT_FAILED) {
        tool_error(NULL, "cannot read standard input");
        return TOOL_ERROR;
    }
    if (answer != INPUT_OK) {
        run->no_more = true;
        return TOOL_OK;
    }
    if (piece.long_one) {
        refuse_line(run, &piece);
        return TOOL_OK;
    }
    if (piece.size > 0)
        memcpy(run->line, piece.data, piece.size);
    run->line[piece.size] = '\n';
    run->line_size = piece.size + 1;
    run->line_number = run->input.count;
    run->has_line = true;
    return TOOL_OK;
}

/* Submits lines as long as there are lines and room. */
static int submit_lines(struct run *run, bool *ret_any)
{
    for (;;) {
        uint64_t ticket;
        uint64_t read_before = run->input.count;
        int code = read_line(run);
        if (code != TOOL_OK || was_signalled())
            return code;
        if (!run->has_line && run->input.count != read_before)
            continue; /* a line that was refused */
        if (!run->has_line)
            return TOOL_OK;
        enum ptq_err err = ptq_pool_submit(run->pool, NULL, run->line, run->line_size, PTQ_NOWAIT, &ticket);
        if (err == PTQ_FULL)
            return TOOL_OK;
        if (err == PTQ_EINTR)
            continue;
        if (err != PTQ_OK)
            return fail_pool(run->pool, err, "cannot submit a line");
        if (!remember(run, ticket, run->line_number)) {
            tool_error(NULL, "out of memory");
            return TOOL_ERROR;
        }
        run->has_line = false;
        *ret_any = true;
    }
}

/* -- turns ---------------------------------------------------------------------------------------------------- */

static int run_lines(struct run *run, int fd)
{
    bool end = false, stopped = false;

    while (!end && !was_signalled()) {
        bool any = false;
        int code = take_results(run, &any, &end);
        if (code == TOOL_OK && !end)
            code = submit_lines(run, &any);
        if (code != TOOL_OK)
            return code;
        if (run->no_more && !run->has_line && !stopped) {
            enum ptq_err err = ptq_pool_stop(run->pool);
            if (err != PTQ_OK)
                return fail_pool(run->pool, err, "cannot stop the pool");
            stopped = any = true;
        }
        if (!any && !end)
            (void)wait_two(fd, run->has_line || run->no_more ? -1 : run->input.fd);
    }
    return TOOL_OK;
}

static int start_workers(struct run *run)
{
    struct ptq_error error = {0};
    struct ptq_spawn_options how = {.count = (unsigned)run->options->workers, .exec = run->options->exec, .error = &error};

    if (run->options->none)
        return TOOL_OK;
    enum ptq_err err = ptq_pool_spawn(run->pool, &how);
    return err == PTQ_OK ? TOOL_OK : tool_fail(err, ptq_pool_name(run->pool), "cannot start workers: %s", error.text);
}

static int run_pool(struct run *run)
{
    int fd = -1;
    int code = input_open(&run->input, NULL, '\n', run->options->line_size - 1);

    if (code != TOOL_OK)
        return code;
    run->line = malloc(run->options->line_size);
    if (run->line == NULL) {
        tool_error(NULL, "out of memory");
        code = TOOL_ERROR;
    }
    if (code == TOOL_OK)
        code = start_workers(run);
    enum ptq_err err = code == TOOL_OK ? ptq_pool_fd(run->pool, &fd) : PTQ_OK;
    if (err != PTQ_OK)
        code = fail_pool(run->pool, err, "cannot wait for it");
    if (code == TOOL_OK)
        code = run_lines(run, fd);
    if (code == TOOL_OK && !was_signalled())
        let_be(ptq_pool_join(run->pool, POOL_JOIN_MS)); /* abort ends whoever has not left by then */
    input_close(&run->input);
    output_fini(&run->output);
    free(run->line);
    free(run->waiting);
    return code == TOOL_OK && run->failed ? TOOL_ERROR : code;
}

/* -- the pool ------------------------------------------------------------------------------------------------- */

static const char *check_options(const struct run_options *options, const char *name, char own[64])
{
    if (options->exec == NULL && !options->none)
        exit(tool_misuse("pool run", "give the command with --exec"));
    if (options->none && name == NULL)
        exit(tool_misuse("pool run", "--no-workers needs a name for the POOL, so that workers can join it"));
    if (name != NULL && strpbrk(name, "@:") != NULL)
        exit(tool_misuse("pool run", "the POOL is made on this host, and others join it with ptq pool worker: give a bare name"));
    if (options->workers > WORKERS_MAX)
        exit(tool_misuse("pool run", "--workers is at most %d", WORKERS_MAX));
    if (options->line_size > PTQ_POOL_ITEM_MAX || options->result_size > PTQ_POOL_ITEM_MAX)
        exit(tool_misuse("pool run", "--line-size and --result-size are at most %d", (int)PTQ_POOL_ITEM_MAX));
    if (options->lives > UINT16_MAX)
        exit(tool_misuse("pool run", "--lives is at most %d", UINT16_MAX));
    snprintf(own, 64, "run-%d", (int)getpid());
    return name != NULL ? name : own;
}

/* One of the same name that a killed run left has no living user: it goes.  One in use is somebody else's. */
static int make_pool(ptq_bus *bus, const char *name, const struct run_options *options, ptq_pool **ret_pool)
{
    struct ptq_pool_options how = {.mode = PTQ_CREATE, .window = options->window, .lives = (uint32_t)options->lives,
                                   .item_size = (uint32_t)options->line_size,
                                   .result_size = (uint32_t)options->result_size, .ephemeral = true};

    let_be(ptq_pool_unlink(bus, name, false)); /* open_pool says what is wrong */
    if (options->window > 1000)
        how.capacity = options->window; /* or workers would lack jobs while the head is slow */
    return open_pool(bus, name, &how, ret_pool);
}

int pool_run(int argc, char **argv)
{
    struct run_options options = {.line_size = 65536, .result_size = 65536};
    int first = tool_read_operands(pool_usages, argc, argv, &options, 0, 1);
    char own[64];
    const char *name = check_options(&options, first < argc ? argv[first] : NULL, own);
    struct run run = {.options = &options};
    ptq_bus *bus = NULL;

    int code = open_bus(&bus);
    if (code == TOOL_OK)
        code = make_pool(bus, name, &options, &run.pool);
    if (code == TOOL_OK) {
        catch_signals(NULL);
        code = run_pool(&run);
        let_be(ptq_pool_abort(run.pool)); /* whatever is left, and the workers with it */
    }
    ptq_pool_close(run.pool);
    ptq_bus_close(bus);
    return end_by_signal(code);
}
