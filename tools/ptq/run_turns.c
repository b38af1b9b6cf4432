/* run_turns.c -- one thread, which takes turns: what is finished is written, then as much is read and submitted as the pool takes, then it
 * sleeps until a result or a line comes.  So an input without end needs no more memory than the pool has.
 */
#include <string.h>
#include <unistd.h>

#include "pool_run.h"
#include "signals.h"

/* -- out ------------------------------------------------------------------------------------------------------ */

static void draw(struct run *run, bool now)
{
    struct run_figures *figures = run_figures_of(run);

    run_bar_draw(&run->bar, atomic_load(&figures->done), atomic_load(&figures->failed), run->total, now);
}

static int flush_output(struct run *run)
{
    if (run->output.used > 0 && run->bar.on_screen && isatty(STDOUT_FILENO))
        run_bar_hide(&run->bar);
    return output_flush(&run->output);
}

static int take_result(struct run *run, ptq_result *result)
{
    struct waiting job;
    int code = TOOL_OK;

    if (run_recall(run, ptq_result_ticket(result), &job)) {
        code = run_settle(run, &job, result);
        run_forget(&job);
    } else {
        tool_error(ptq_pool_name(run->pool), "somebody else submits to this pool: ticket %llu is left out - give the POOL another name",
                   (unsigned long long)ptq_result_ticket(result));
        run->failed++;
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
            code = flush_output(run);
    }
    return code == TOOL_OK ? flush_output(run) : code;
}

/* -- in ------------------------------------------------------------------------------------------------------- */

static enum ptq_err submit_job(struct run *run, uint64_t *ret_ticket)
{
    struct run_job job = {.command = run->command.bytes, .command_size = run->command_size, .tries = (uint32_t)run->options->retries,
                          .timeout_ms = (uint32_t)run->options->timeout, .counts_lines = run->options->tag};

    if (run->plain)
        return ptq_pool_submit(run->pool, NULL, run->input.bytes, run->input.used, PTQ_NOWAIT, ret_ticket);
    if (run->template == NULL) {
        job.command = run->options->exec;
        job.command_size = strlen(job.command);
    }
    if (run->template == NULL || run->options->pipe) {
        job.input = run->input.bytes;
        job.input_size = run_input_size(run);
    }
    return run_job_submit(run->pool, &run->spill, &job, ret_ticket);
}

static int say_too_long(struct run *run)
{
    char name[48];

    tool_error(NULL, "%s: its %llu lines do not fit one job of --line-size %llu - give a larger one, or a smaller --max-args",
               run_name_job(run, run->seq, run->line, name), (unsigned long long)run->pieces, (unsigned long long)run->options->line_size);
    return TOOL_ERROR;
}

/* Submits jobs as long as there are lines and room. */
static int submit_jobs(struct run *run, bool *ret_any)
{
    for (;;) {
        uint64_t ticket;
        int code = run_gather(run);
        if (code != TOOL_OK || was_signalled() || !run->has_job)
            return code;
        enum ptq_err err = submit_job(run, &ticket);
        if (err == PTQ_FULL)
            return TOOL_OK;
        if (err == PTQ_EINTR)
            continue;
        if (err == PTQ_EMSGSIZE)
            return say_too_long(run);
        if (err != PTQ_OK)
            return fail_pool(run->pool, err, "cannot submit a line");
        if (!run_remember(run, ticket)) {
            return tool_no_memory();
        }
        run_job_submitted(run);
        *ret_any = true;
    }
}

/* -- turns ---------------------------------------------------------------------------------------------------- */

/* A worker, or what came out, has decided that it is enough. */
static void see_halt(struct run *run)
{
    if (atomic_load(&run_figures_of(run)->halted) == RUN_HALT_NEVER || run->halt_told)
        return;
    run_bar_hide(&run->bar);
    tool_error(NULL, "no more jobs are begun: --halt %s - with --joblog, --resume goes on where it ended", run->options->halt);
    run->halt_told = run->no_more = true;
    run_job_submitted(run);
}

int run_turns(struct run *run, int fd)
{
    bool end = false, stopped = false;

    while (!end && !was_signalled()) {
        bool any = false;
        int code = take_results(run, &any, &end);
        see_halt(run);
        if (code == TOOL_OK && !end && !run->halt_told)
            code = submit_jobs(run, &any);
        if (code != TOOL_OK)
            return code;
        if (run->no_more && !run->has_job && !stopped) {
            enum ptq_err err = ptq_pool_stop(run->pool);
            if (err != PTQ_OK)
                return fail_pool(run->pool, err, "cannot stop the pool");
            stopped = any = true;
            if (run->total == 0)
                run->total = run->seq;
        }
        draw(run, false);
        if (!any && !end)
            (void)wait_two_for(fd, run->has_job || run->no_more ? -1 : run_source_fd(&run->source), run->bar.shown ? RUN_BAR_MS : -1);
    }
    draw(run, true);
    run_bar_hide(&run->bar);
    return TOOL_OK;
}

int run_print(struct run *run)
{
    int code = TOOL_OK;

    while (code == TOOL_OK && !was_signalled()) {
        code = run_gather(run);
        if (code != TOOL_OK || (!run->has_job && run->no_more))
            break;
        if (!run->has_job) {
            (void)wait_fd(run_source_fd(&run->source), false);
            continue;
        }
        bool good = output_bytes(&run->output, run->command.bytes, run->command.used) && output_bytes(&run->output, "\n", 1);
        if (!good)
            (void)tool_no_memory();
        code = good ? output_flush(&run->output) : TOOL_ERROR;
        run_job_submitted(run);
    }
    return code;
}
