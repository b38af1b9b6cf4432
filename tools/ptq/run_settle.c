/* run_settle.c -- ptq pool run: from results to output, job log and figures. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pool_run.h"
#include "signals.h"

/* What a job came to, whichever way it was run. */
struct outcome {
    struct run_end end;
    const void *data;  /* the result */
    bool bare;         /* its bytes are the output */
    const char *words; /* what to say of it; NULL: nothing */
    const char *advice; /* what to do about it, where `words` do not say; NULL: they do */
    bool silent;       /* its output is left out */
};

struct run_figures *run_figures_of(struct run *run)
{
    return run->spill.board != NULL ? &run->spill.board->figures : &run->figures;
}

/* -- output --------------------------------------------------------------------------------------------------- */

/* Where a stream of a job goes. */
struct sink {
    struct run *run;
    const struct waiting *job;
    int (*write)(struct run *run, const char *data, size_t size);
    int file;      /* of --results; -1: none */
    bool in_line;  /* it stands behind the beginning of a line */
};

static int write_out(struct run *run, const char *data, size_t size)
{
    if (!output_bytes(&run->output, data, size)) {
        return tool_no_memory();
    }
    return run->output.used > 1u << 16 ? output_flush(&run->output) : TOOL_OK;
}

static int write_err(struct run *run, const char *data, size_t size)
{
    (void)run;
    while (size > 0 && wait_fd(STDERR_FILENO, true)) {
        ssize_t wrote = write(STDERR_FILENO, data, size);
        if (wrote < 0 && errno != EINTR && errno != EAGAIN)
            return TOOL_OK; /* nobody reads it, and where should we complain? */
        data += wrote > 0 ? wrote : 0;
        size -= wrote > 0 ? (size_t)wrote : 0;
    }
    return TOOL_OK;
}

/* A tag before each line. */
static int write_tagged(struct sink *sink, const char *data, size_t size)
{
    const char *end = data + size;
    int code = TOOL_OK;

    while (data < end && code == TOOL_OK) {
        const char *newline = memchr(data, '\n', (size_t)(end - data));
        size_t part = newline != NULL ? (size_t)(newline - data) + 1 : (size_t)(end - data);
        if (!sink->in_line)
            code = sink->write(sink->run, sink->job->tag, sink->job->tag_size);
        if (code == TOOL_OK)
            code = sink->write(sink->run, data, part);
        sink->in_line = newline == NULL;
        data += part;
    }
    return code;
}

static int write_sink(void *context, const char *data, size_t size)
{
    struct sink *sink = context;
    int code = sink->file >= 0 ? run_keep_write(sink->file, sink->run->options->results, data, size) : TOOL_OK;

    if (code != TOOL_OK)
        return code;
    return sink->job->tag != NULL ? write_tagged(sink, data, size) : sink->write(sink->run, data, size);
}

/* --exec gives lines: a last one without its end gets it. */
static bool lacks_newline(const struct run *run, const struct outcome *outcome)
{
    int last = -1;

    if (run->template != NULL || outcome->silent || outcome->end.size[0] == 0)
        return false;
    if (outcome->bare)
        last = ((const unsigned char *)outcome->data)[outcome->end.size[0] - 1];
    else
        last = run_end_last_byte(&run->spill, outcome->data, &outcome->end);
    return last != '\n';
}

static int write_streams(struct run *run, const struct waiting *job, const struct outcome *outcome, bool newline, const int files[2])
{
    struct sink out = {run, job, write_out, files[0], false}, err = {run, job, write_err, files[1], false};
    int code = TOOL_OK;

    if (outcome->silent && !outcome->bare)
        run_end_drop(&run->spill, outcome->data, &outcome->end, 0);
    else if (outcome->bare && !outcome->silent)
        code = write_sink(&out, outcome->data, outcome->end.size[0]);
    else if (!outcome->silent)
        code = run_end_output(&run->spill, outcome->data, &outcome->end, 0, write_sink, &out);
    if (code == TOOL_OK && newline)
        code = write_sink(&out, "\n", 1);
    if (code == TOOL_OK && outcome->end.size[1] > 0) {
        run_bar_hide(&run->bar);
        code = output_flush(&run->output); /* words and data in the order in which they came */
        if (code == TOOL_OK)
            code = run_end_output(&run->spill, outcome->data, &outcome->end, 1, write_sink, &err);
    }
    return code;
}

static int write_all(struct run *run, const struct waiting *job, const struct outcome *outcome, bool newline)
{
    int files[2] = {-1, -1};
    int code = TOOL_OK;

    if (run->options->results != NULL)
        code = run_keep_open(run->options->results, job->seq, job->command, job->command_size, files);
    if (code == TOOL_OK)
        code = write_streams(run, job, outcome, newline, files);
    for (int i = 0; i < 2; i++)
        if (files[i] >= 0 && close(files[i]) != 0 && code == TOOL_OK) {
            tool_error(run->options->results, "cannot write: %s - make room, or give another folder with --results", strerror(errno));
            code = TOOL_ERROR;
        }
    return code;
}

/* -- the log -------------------------------------------------------------------------------------------------- */

static int begin_row(struct run *run, const struct waiting *job, const struct outcome *outcome, bool newline)
{
    const struct run_end *end = &outcome->end;
    struct run_log_row row = {.seq = job->seq, .start_us = end->start_us, .run_ns = end->run_ns, .sent = job->sent,
                              .received = outcome->silent ? 0 : end->size[0] + newline + end->lines[0] * job->tag_size, .code = end->code, .signal = end->signal,
                              .command = job->command, .command_size = job->command_size};

    return run_log_begin(&run->log, &row);
}

/* -- what it came to ------------------------------------------------------------------------------------------ */

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Of an error that is of a command, the exit status: the library's sentence ends with it. */
static int code_of_text(const char *text)
{
    const char *at = strstr(text, "exit status ");
    const char *next;

    while (at != NULL && (next = strstr(at + 1, "exit status ")) != NULL)
        at = next;
    return at != NULL ? atoi(at + 12) : -1;
}

/* By where it failed, as ptq_result_section names it. */
static const char *advise(const ptq_result *result)
{
    static const struct {
        const char *section, *advice;
    } known[] = {{"command", "mend it, or try it again with --retries"},
                 {"limit", "give it more with --timeout, or try it again with --retries"},
                 {"result", "give a larger --result-size"},
                 {"death", "see in the system's log what ended them, or allow more deaths with --lives"}};

    if (strstr(ptq_result_text(result), " - ") != NULL)
        return NULL;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].section, ptq_result_section(result)) == 0)
            return known[i].advice;
    return "see its workers with ptq pool status";
}

static struct outcome read_error(struct run *run, const ptq_result *result)
{
    struct outcome outcome = {.words = ptq_result_text(result), .advice = advise(result), .silent = true, .bare = true};

    outcome.end.run_ns = (int64_t)ptq_result_run_ns(result);
    outcome.end.start_us = now_us() - outcome.end.run_ns / 1000;
    outcome.end.signal = ptq_result_signal(result);
    outcome.end.code = strcmp(ptq_result_section(result), "command") == 0 && outcome.end.signal == 0 ? code_of_text(outcome.words) : -1;
    (void)run_figures_count(run_figures_of(run), outcome.end.code == 0 ? 255 : outcome.end.code);
    return outcome;
}

static struct outcome read_bare(struct run *run, const ptq_result *result)
{
    struct outcome outcome = {.data = ptq_result_data(result), .bare = true};

    outcome.end.size[0] = ptq_result_size(result);
    outcome.end.run_ns = (int64_t)ptq_result_run_ns(result);
    outcome.end.start_us = now_us() - outcome.end.run_ns / 1000;
    (void)run_figures_count(run_figures_of(run), 0);
    return outcome;
}

/* What there is to say about a command that ended otherwise than well. */
static const char *describe(const struct run *run, const struct run_end *end, char *text, size_t size)
{
    char how[80];

    if (end->timed_out) {
        snprintf(text, size, "not done in time: it was ended after %d ms, as --timeout says - give it more, or try it again with --retries", run->options->timeout);
        return text;
    }
    if (end->signal != 0)
        snprintf(how, sizeof how, "signal %d (%s)", end->signal, strsignal(end->signal));
    else
        snprintf(how, sizeof how, "exit status %d", end->code);
    if (run->template == NULL)
        snprintf(text, size, "the command '%.200s' ended with %s - mend it, or try it again with --retries", run->options->exec, how);
    else if (end->signal != 0)
        snprintf(text, size, "its command ended with %s - see in the system's log who sent it, or try it again with --retries", how);
    else
        return NULL; /* it will have said why itself */
    return text;
}

/* Of --exec, what failed has no output; of a command, what it wrote until then. */
static struct outcome read_end(struct run *run, const ptq_result *result, char *text, size_t size)
{
    struct outcome outcome = {.data = ptq_result_data(result)};
    struct run_end *end = &outcome.end;
    uint64_t most = run->options->result_size;

    if (!run_end_read(outcome.data, ptq_result_size(result), end))
        return (struct outcome){.words = "its result cannot be read: somebody else works for this pool - give the POOL another name", .silent = true, .bare = true,
                                .end.code = -1};
    if (end->code != 0 || end->signal != 0) {
        outcome.words = describe(run, end, text, size);
        outcome.silent = run->template == NULL;
    } else if (most != 0 && end->size[0] > most) {
        snprintf(text, size, "the result of %llu bytes does not fit: --result-size is %llu - give a larger one", (unsigned long long)end->size[0],
                 (unsigned long long)most);
        outcome.words = text;
        outcome.silent = true;
        end->code = -1;
    }
    return outcome;
}

int run_settle(struct run *run, const struct waiting *job, const ptq_result *result)
{
    char text[400], name[48];
    struct outcome outcome = ptq_result_kind(result) == PTQ_RESULT_ERROR ? read_error(run, result)
                             : run->plain                                ? read_bare(run, result)
                                                                         : read_end(run, result, text, sizeof text);
    struct run_end *end = &outcome.end;

    if (end->skipped || end->halted) {
        run->left_out++;
        if (!outcome.bare)
            run_end_drop(&run->spill, outcome.data, end, 0), run_end_drop(&run->spill, outcome.data, end, 1);
        return TOOL_OK;
    }
    bool newline = lacks_newline(run, &outcome);
    run->failed += end->code != 0 || end->signal != 0;
    if (run->log.fd >= 0 && output_flush(&run->output) != TOOL_OK)
        return TOOL_ERROR;
    int code = begin_row(run, job, &outcome, newline);
    if (code == TOOL_OK)
        code = write_all(run, job, &outcome, newline);
    if (code == TOOL_OK && (outcome.words != NULL || run->log.fd >= 0))
        code = output_flush(&run->output);
    if (code == TOOL_OK && outcome.words != NULL) {
        run_bar_hide(&run->bar);
        tool_error(NULL, "%s: %s%s%s", run_name_job(run, job->seq, job->line, name), outcome.words, outcome.advice != NULL ? " - " : "",
                   outcome.advice != NULL ? outcome.advice : "");
    }
    return code == TOOL_OK ? run_log_end(&run->log) : code;
}
