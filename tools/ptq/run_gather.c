/* run_gather.c -- ptq pool run: from lines to jobs. */
#include <stdlib.h>
#include <string.h>

#include "pool_run.h"
#include "signals.h"

const char *run_name_job(const struct run *run, uint64_t seq, uint64_t line, char text[48])
{
    bool is_line = run->source.groups.count == 0 && run->options->max_args <= 1 && !run->options->pack && !run->options->pipe;

    snprintf(text, 48, "%s %llu", is_line ? "line" : "job", (unsigned long long)(is_line ? line : seq));
    return text;
}

/* A line that cannot be a job, or a part of one. */
static void refuse(struct run *run, const struct run_fault *fault)
{
    run_bar_hide(&run->bar);
    if (run->source.groups.count > 0)
        tool_error(NULL, "job %llu: %s - %s", (unsigned long long)run->source.next_word, fault->why, fault->advice);
    else
        tool_error(NULL, "line %llu: %s - %s", (unsigned long long)run->source.line, fault->why, fault->advice);
    run->failed++;
    (void)run_figures_count(run_figures_of(run), 255);
    if (run->options->max_args <= 1 && !run->options->pack && !run->options->pipe)
        run->seq++; /* it would have been one */
}

static void refuse_long(struct run *run, const struct piece *piece)
{
    char why[200];

    snprintf(why, sizeof why, "%s%zu bytes do not fit: the longest line is %llu", piece->endless ? "more than " : "", piece->size,
             (unsigned long long)run->options->line_size);
    refuse(run, &(struct run_fault){why, run->options->pipe ? "give a larger --block" : "give a larger --line-size"});
}

/* -- one more line -------------------------------------------------------------------------------------------- */

static void begin_job(struct run *run)
{
    if (run->pieces++ > 0)
        return;
    run->line = run->source.line;
}

/* Counts what the arguments of `piece` take in a command. */
static size_t quoted_size(const struct run *run, size_t from)
{
    struct run_text text = {0};
    size_t used = 0;

    for (size_t i = from; i < run->words.count; i++) {
        const char *word = run->words.bytes + run->words.starts[i];
        text.used = 0;
        run_text_quote(&text, word, strlen(word));
        used += text.used + 1;
    }
    run_text_fini(&text);
    return used;
}

static bool is_full(const struct run *run)
{
    if (run->options->pipe)
        return run->carry || run->input.used >= run->options->block || (run->options->max_args > 0 && run->pieces >= run->options->max_args);
    if (run->options->pack && (run->carry || (run->options->max_args > 0 && run->pieces >= run->options->max_args)))
        return true;
    return !run->options->pack && run->pieces >= (run->options->max_args > 0 ? run->options->max_args : 1);
}

/* How often the arguments stand in a command. */
static size_t count_places(const char *template)
{
    size_t count = 0;

    for (const char *at = template; (at = strchr(at, '{')) != NULL; at++)
        count++;
    return count;
}

/* With --xargs: does the last argument not fit any more? */
static void see_whether_it_fits(struct run *run, size_t before)
{
    size_t more = quoted_size(run, before);

    if (run->pieces > 1 && strlen(run->template) + count_places(run->template) * (run->quoted + more) > RUN_COMMAND_MAX - 1024)
        run->carry = true;
    else
        run->quoted += more;
}

/* With --pipe what comes out of all blocks is what came in: an end that has no separator gets none. */
static int add_input(struct run *run, const struct piece *piece)
{
    char separator = (char)run->source.separator;
    bool is_last = run->source.next_file >= run->source.file_count;
    size_t before = run->input.used;

    begin_job(run);
    run_text_add(&run->input, piece->data, piece->size);
    if (!run->options->pipe || !piece->open || !is_last)
        run_text_add(&run->input, &separator, 1);
    if (run->options->pipe && run->pieces > 1 && run->input.used > run->options->block) {
        run->carry = true;
        run->kept = run->input.used - before;
    }
    return run->input.failed ? tool_no_memory() : TOOL_OK;
}

static int add_line(struct run *run, const struct piece *piece)
{
    size_t before = run->words.count;

    if (run->template == NULL || run->options->pipe)
        return add_input(run, piece);
    const struct run_fault *wrong = run_source_words(&run->source, piece, &run->words);
    if (wrong != NULL) {
        refuse(run, wrong);
        return TOOL_OK;
    }
    begin_job(run);
    if (run->options->pack)
        see_whether_it_fits(run, before);
    return TOOL_OK;
}

/* -- a job ---------------------------------------------------------------------------------------------------- */

/* The same command with another block is another job: what a log or --dry-run shows tells them apart. */
static void name_block(struct run *run)
{
    uint64_t hash = 14695981039346656037u;
    char text[64];

    for (size_t i = 0; i < run_input_size(run); i++)
        hash = (hash ^ (unsigned char)run->input.bytes[i]) * 1099511628211u;
    run_text_add(&run->command, text,
                 (size_t)snprintf(text, sizeof text, " # %zu bytes, %016llx", run_input_size(run), (unsigned long long)hash));
}

/* The command that the job log has: of --exec, one that a shell would understand. */
static void write_command(struct run *run)
{
    run->command.used = 0;
    if (run->template != NULL) {
        struct run_words words = run->words;
        words.count -= run->carry && !run->options->pipe;
        run_template_fill(run->template, &words, run->seq, &run->command);
        run->command_size = run->command.used;
        if (run->options->pipe)
            name_block(run);
    } else {
        const char *exec = run->options->exec != NULL ? run->options->exec : "worker"; /* somebody else's command */
        run_text_add(&run->command, exec, strlen(exec));
        if (run->log.fd >= 0) {
            run_text_add(&run->command, " <<< ", 5);
            run_text_quote(&run->command, run->input.bytes, run->input.used);
        }
    }
}

/* Makes the command; is it to be run?  *ret_code: TOOL_OK, or it has said why. */
static bool finish_job(struct run *run, int *ret_code)
{
    char name[48];

    run->seq++;
    write_command(run);
    *ret_code = run->command.failed ? tool_no_memory() : TOOL_OK;
    if (*ret_code != TOOL_OK)
        return false;
    if (run->template != NULL && run->command_size > RUN_COMMAND_MAX) {
        run_bar_hide(&run->bar);
        tool_error(NULL, "%s: a command of %zu bytes is too long: the system takes %d - give a smaller --max-args, or the lines to --exec",
                   run_name_job(run, run->seq, run->line, name), run->command.used, RUN_COMMAND_MAX);
        run->failed++;
        (void)run_figures_count(run_figures_of(run), 255);
        return false;
    }
    enum run_log_answer logged = run_log_find(&run->log, run->seq, run->command.bytes, run->command.used);
    run->logged += logged == RUN_LOG_DONE;
    run->bar.skipped = run->logged;
    if (logged == RUN_LOG_OTHER) {
        tool_error(run->log.path, "job %llu was another command there: '%.200s' is not what was done - resume with the same input and command",
                   (unsigned long long)run->seq, run->command.bytes);
        *ret_code = TOOL_ERROR;
    }
    return logged == RUN_LOG_NOT_DONE;
}

void run_job_submitted(struct run *run)
{
    run->has_job = false;
    run->pieces = 0;
    run->quoted = 0;
    if (run->kept > 0)
        memmove(run->input.bytes, run->input.bytes + run->input.used - run->kept, run->kept);
    run->input.used = run->kept;
    run->kept = 0;
    if (run->options->pipe && run->carry) {
        run->pieces = 1;
        run->line = run->source.line;
        run->carry = false;
        return;
    }
    if (!run->carry) {
        run_words_clear(&run->words);
        return;
    }
    const char *last = run->words.bytes + run->words.starts[run->words.count - 1];
    size_t size = strlen(last);
    memmove(run->words.bytes, last, size + 1);
    run->words.used = size + 1;
    run->words.count = 1;
    run->pieces = 1;
    run->line = run->source.line;
    run->quoted = quoted_size(run, 0);
    run->carry = false;
}

static int read_piece(struct run *run, bool *ret_later)
{
    struct piece piece = {0};

    *ret_later = false;
    switch (run_source_next(&run->source, &piece)) {
    case RUN_SOURCE_LINE:
        if (!piece.long_one)
            return add_line(run, &piece);
        refuse_long(run, &piece);
        return TOOL_OK;
    case RUN_SOURCE_END:
        run->no_more = true;
        return TOOL_OK;
    case RUN_SOURCE_FAILED:
        return TOOL_ERROR;
    default:
        *ret_later = true;
        return TOOL_OK;
    }
}

int run_gather(struct run *run)
{
    int code = TOOL_OK;
    bool later = false;

    while (!run->has_job && !later && code == TOOL_OK && !was_signalled()) {
        if (!run->no_more && !is_full(run)) {
            code = read_piece(run, &later);
            continue;
        }
        if (run->pieces == 0)
            return TOOL_OK;
        run->has_job = finish_job(run, &code);
        if (!run->has_job)
            run_job_submitted(run);
    }
    return code;
}
