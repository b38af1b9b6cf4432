/* flow.c -- into a pipeline, out of it, and both by turns. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "pool/line.h"

/* -- in ------------------------------------------------------------------------------------------------------- */

/* A relay that cannot go on has woken whoever waits. */
static enum ptq_err answer(ptq_pipeline *line, enum ptq_err err)
{
    if (err == PTQ_EINTR && pti_line_failure(line) != PTQ_OK)
        err = pti_line_failure(line);
    return err == PTQ_EGONE && pti_load_acquire(&line->aborted) != 0 ? PTQ_EABORTED : err;
}

enum ptq_err ptq_pipeline_submit(ptq_pipeline *line, const void *data, size_t size, int timeout_ms, uint64_t *ret_input)
{
    return ptq_pipeline_submit_with(line, data, size, NULL, timeout_ms, ret_input);
}

enum ptq_err ptq_pipeline_submit_with(ptq_pipeline *line, const void *data, size_t size, const struct ptq_submit_options *options,
                                      int timeout_ms, uint64_t *ret_input)
{
    unsigned char prefix[PTI_ORIGIN_SIZE];
    enum ptq_err err = pti_line_check(line);
    if (err != PTQ_OK)
        return err;
    const struct pti_line_stage *first = &line->stages[0];
    struct pti_submit job = {.task = first->is.task, .data = data, .size = size, .options = options, .form = PTI_JOB_STAGE,
                             .prefix = prefix};
    if (size > first->is.item_size)
        return PTQ_EMSGSIZE;
    pti_origin_write(prefix, &(struct pti_origin){.input = PTI_ORIGIN_SELF});
    return answer(line, pti_submit(first->pool, &job, pti_deadline(timeout_ms), ret_input));
}

enum ptq_err ptq_pipeline_submit_marker(ptq_pipeline *line, const void *data, size_t size, int timeout_ms, uint64_t *ret_input)
{
    enum ptq_err err = pti_line_check(line);
    if (err != PTQ_OK || (data == NULL && size != 0))
        return err != PTQ_OK ? err : PTQ_EINVAL;
    if (size > line->marker_size - PTI_LINE_MARKER_HEAD)
        return PTQ_EMSGSIZE;
    unsigned char *marker = malloc(PTI_LINE_MARKER_HEAD + size);
    if (marker == NULL)
        return PTQ_ENOMEM;
    struct pti_entry entry = {.kind = PTQ_RESULT_MARKER, .data = data, .size = size};
    size_t whole = pti_entry_write_marker(marker, PTI_LINE_MARKER_HEAD + size, &entry);
    err = ptq_pool_submit_marker(line->stages[0].pool, marker, whole, timeout_ms, ret_input);
    free(marker);
    return answer(line, err);
}

/* -- out ------------------------------------------------------------------------------------------------------ */

/* The n-th text behind an error. */
static const char *detail(const struct pti_result *error, unsigned n)
{
    const char *text = error->data;
    for (size_t left = error->size; left != 0; n--) {
        size_t length = strnlen(text, left);
        if (length == left || n == 0)
            return length == left ? "" : text;
        text += length + 1;
        left -= length + 1;
    }
    return "";
}

static void show_error(const struct pti_result *error, struct ptq_output *output)
{
    output->code = error->code;
    output->text = error->text;
    output->section = pti_section_name(error->section);
    output->backtrace = detail(error, 1);
    output->error_number = error->error_number;
    output->signal = error->signal;
}

static void show_run(const struct pti_result *run, struct ptq_output *output)
{
    output->host = run->host;
    output->worker = run->worker;
    output->pid = run->pid;
    output->tries = run->tries;
    output->run_ns = run->run_ns;
}

static void show(const ptq_pipeline *line, const struct pti_entry *entry, const ptq_result *result, struct ptq_output *ret_output)
{
    struct ptq_output output = {.kind = entry->kind, .input = entry->input, .data = "", .redelivered = result->redelivered,
                                .stage = "", .text = "", .section = "", .backtrace = "", .host = "", .worker = ""};
    if (entry->kind != PTQ_RESULT_MARKER && entry->stage < line->stage_count)
        output.stage = line->stages[entry->stage].is.name;
    if (entry->kind != PTQ_RESULT_ERROR) {
        output.data = entry->data;
        output.size = entry->size;
    }
    if (entry->kind == PTQ_RESULT_ERROR) {
        show_error(&entry->error, &output);
        show_run(&entry->error, &output);
    } else if (entry->kind == PTQ_RESULT_JOB) {
        show_run(&result->body, &output);
    }
    *ret_output = output;
}

/* What was read of a group is done with its last entry; a group without any is done at once. */
static enum ptq_err next(ptq_pipeline *line, int64_t deadline, struct ptq_output *ret_output)
{
    unsigned last = line->level_count - 1;
    struct pti_entry entry;
    for (;;) {
        if (line->has_output && pti_group_read(line, last, &line->group, &line->reader, &entry)) {
            show(line, &entry, line->group.results[line->reader.result], ret_output);
            return PTQ_OK;
        }
        enum ptq_err err = ptq_pipeline_done(line);
        if (err == PTQ_OK)
            err = pti_group_take(line, last, &line->group, deadline);
        if (err != PTQ_OK)
            return err;
        line->has_output = true;
        line->reader = (struct pti_reader){0};
    }
}

enum ptq_err ptq_pipeline_get(ptq_pipeline *line, int timeout_ms, struct ptq_output *ret_output)
{
    uint32_t nobody = 0;
    enum ptq_err err = pti_line_check(line);
    if (err != PTQ_OK || ret_output == NULL)
        return err != PTQ_OK ? err : PTQ_EINVAL;
    if (!pti_cas(&line->getting, &nobody, 1))
        return PTQ_EBUSY;
    err = next(line, pti_deadline(timeout_ms), ret_output);
    pti_store_seq(&line->getting, 0);
    return answer(line, err);
}

/* Where entries of the group are still to be read, it is done with the last of them. */
enum ptq_err ptq_pipeline_done(ptq_pipeline *line)
{
    enum ptq_err err = pti_line_check(line);
    if (err != PTQ_OK || !line->has_output)
        return err;
    struct pti_reader ahead = line->reader;
    struct pti_entry entry;
    if (pti_group_read(line, line->level_count - 1, &line->group, &ahead, &entry))
        return PTQ_OK;
    line->has_output = false;
    return pti_group_done(&line->group);
}

enum ptq_err ptq_pipeline_fd(ptq_pipeline *line, int *ret_fd)
{
    enum ptq_err err = pti_line_check(line);
    if (err != PTQ_OK || ret_fd == NULL)
        return err != PTQ_OK ? err : PTQ_EINVAL;
    const struct pti_level *last = &line->levels[line->level_count - 1];
    unsigned waits_for = line->has_output || line->group.count >= last->count ? 0 : line->group.count;
    return ptq_pool_fd(line->stages[last->first + waits_for].pool, ret_fd);
}

/* -- both ----------------------------------------------------------------------------------------------------- */

struct turn {
    const struct ptq_flow *flow;
    struct ptq_bytes input;
    bool has_input, has_ended;
    enum ptq_err answer; /* of the source, once it has ended */
};

/* Submits until there is no room: PTQ_OK, *ret_full; or why not. */
static enum ptq_err submit_some(ptq_pipeline *line, struct turn *turn, bool *ret_full)
{
    *ret_full = false;
    while (!turn->has_ended) {
        enum ptq_err err = turn->has_input ? PTQ_OK : turn->flow->source(turn->flow->user, &turn->input);
        if (err != PTQ_OK) {
            turn->has_ended = true;
            turn->answer = err == PTQ_END ? PTQ_OK : err;
            return ptq_pipeline_end(line);
        }
        turn->has_input = true;
        err = ptq_pipeline_submit(line, turn->input.data, turn->input.size, PTQ_NOWAIT, NULL);
        if (err == PTQ_FULL) {
            *ret_full = true;
            return PTQ_OK;
        }
        if (err != PTQ_OK)
            return err;
        turn->has_input = false;
    }
    return PTQ_OK;
}

/* Gives the sink what is there.  PTQ_EMPTY: nothing more at this moment. */
static enum ptq_err get_some(ptq_pipeline *line, const struct turn *turn, int timeout_ms)
{
    struct ptq_output output;
    enum ptq_err err;
    while ((err = ptq_pipeline_get(line, timeout_ms, &output)) == PTQ_OK) {
        err = turn->flow->sink(turn->flow->user, &output);
        if (err != PTQ_OK)
            return err == PTQ_EMPTY || err == PTQ_END ? PTQ_EFAILED : err;
        if (timeout_ms != PTQ_NOWAIT && !turn->has_ended)
            return PTQ_EMPTY;
    }
    return err;
}

/* Until there is room or an output. */
static enum ptq_err wait(ptq_pipeline *line)
{
    struct pollfd look[2] = {{.events = POLLIN}, {.events = POLLIN}};
    enum ptq_err err = ptq_queue_fd(line->stages[0].pool->jobs, PTQ_SIDE_PUT, &look[0].fd);
    if (err == PTQ_OK)
        err = ptq_pipeline_fd(line, &look[1].fd);
    if (err != PTQ_OK)
        return err;
    return poll(look, 2, -1) < 0 && errno == EINTR ? PTQ_EINTR : PTQ_OK;
}

enum ptq_err ptq_pipeline_run(ptq_pipeline *line, const struct ptq_flow *flow)
{
    enum ptq_err err = pti_line_check(line);
    if (err != PTQ_OK || flow == NULL || flow->source == NULL || flow->sink == NULL)
        return err != PTQ_OK ? err : PTQ_EINVAL;
    struct turn turn = {.flow = flow};
    bool full = false;
    if (!line->started)
        err = ptq_pipeline_start(line);
    while (err == PTQ_OK) {
        err = submit_some(line, &turn, &full);
        if (err == PTQ_OK)
            err = get_some(line, &turn, full ? PTQ_NOWAIT : turn.has_ended ? PTQ_FOREVER : PTQ_NOWAIT);
        if (err == PTQ_EMPTY)
            err = full ? wait(line) : PTQ_OK;
    }
    return err == PTQ_END ? turn.answer : err;
}
