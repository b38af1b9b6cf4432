/* pipeline.c -- a pipeline is pools in a row: opened, started, closed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fork.h"
#include "bus/bus.h"
#include "pool/line.h"

#define DEFAULT_SIZE 4096u

enum ptq_err pti_line_check(const ptq_pipeline *line)
{
    if (line == NULL)
        return PTQ_EINVAL;
    return line->generation == pti_fork_generation() ? PTQ_OK : PTQ_EFORKED;
}

enum ptq_err pti_line_failure(ptq_pipeline *line)
{
    return (enum ptq_err)pti_load_acquire(&line->failed);
}

/* -- what was asked for --------------------------------------------------------------------------------------- */

static bool is_name(const char *name)
{
    return name != NULL && pti_name_is_valid(name) && strchr(name, '.') == NULL;
}

static bool has_twin(const struct ptq_stage *stages, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (strcmp(stages[i].name, stages[at].name) == 0)
            return true;
    return false;
}

static const char *task_of(const struct ptq_stage *stage)
{
    return stage->exec != NULL ? NULL : stage->task != NULL ? stage->task : stage->name;
}

static enum ptq_err check_stage(const struct ptq_stage *stages, size_t at, struct ptq_error *error)
{
    const struct ptq_stage *stage = &stages[at];
    if (!is_name(stage->name))
        return pti_error(error, PTQ_EINVAL, "stage %zu: '%.100s' is not a name for a stage: use letters, digits, '_' and '-'", at + 1,
                         stage->name != NULL ? stage->name : "");
    if (has_twin(stages, at))
        return pti_error(error, PTQ_EINVAL, "two stages are called '%s': choose another name for one", stage->name);
    if (at == 0 && stage->beside)
        return pti_error(error, PTQ_EINVAL, "stage '%s' is the first: there is none beside it", stage->name);
    if (stage->exec != NULL && (stage->task != NULL || stage->plugin != NULL || stage->threads))
        return pti_error(error, PTQ_EINVAL, "stage '%s' has a command: it cannot have a task, a plugin or threads besides", stage->name);
    if (stage->workers_max != 0 && (stage->threads || stage->workers_max < stage->workers || stage->workers_max > PTQ_WORKERS_MAX))
        return pti_error(error, PTQ_EINVAL, "stage '%s': workers_max is for processes, from workers to %d", stage->name, PTQ_WORKERS_MAX);
    if (stage->item_size > PTI_LINE_SIZE_MAX || stage->output_size > PTI_LINE_SIZE_MAX)
        return pti_error(error, PTQ_EINVAL, "stage '%s': item_size and output_size may be %u at most", stage->name,
                         (unsigned)PTI_LINE_SIZE_MAX);
    const char *task = task_of(stage);
    if (task != NULL && !pti_task_name_is_valid(task))
        return pti_error(error, PTQ_EINVAL, "stage '%s': '%.100s' is not a name for a task", stage->name, task);
    if (task != NULL && stage->plugin == NULL && pti_task_any() && pti_task_find(task, strlen(task)) == NULL)
        return pti_error(error, PTQ_ENOTASK, "stage '%s': no task '%s' is registered in this program", stage->name, task);
    return PTQ_OK;
}

static enum ptq_err check_stages(const char *name, const struct ptq_stage *stages, size_t count, struct ptq_error *error)
{
    unsigned beside = 0;
    if (!pti_name_is_valid(name))
        return pti_error(error, PTQ_EINVAL,
                         "'%.140s' is not a name for a pipeline: use letters, digits, '.', '_' and '-', the first not a dot; a pipeline is "
                         "on this host", name);
    if (count == 0 || count > PTQ_STAGES_MAX)
        return pti_error(error, PTQ_EINVAL, "pipeline '%s': it may have 1 to %d stages", name, PTQ_STAGES_MAX);
    for (size_t i = 0; i < count; i++) {
        enum ptq_err err = check_stage(stages, i, error);
        if (err != PTQ_OK)
            return err;
        beside = stages[i].beside ? beside + 1 : 1;
        if (beside > PTQ_BESIDE_MAX)
            return pti_error(error, PTQ_EINVAL, "pipeline '%s': more than %d stages are beside each other", name, PTQ_BESIDE_MAX);
    }
    return PTQ_OK;
}

/* -- copies --------------------------------------------------------------------------------------------------- */

/* Of a text; NULL is NULL.  False: no memory. */
static bool copy_text(const char *text, const char **ret_copy)
{
    *ret_copy = text != NULL ? strdup(text) : NULL;
    return text == NULL || *ret_copy != NULL;
}

static char *pool_name(const char *line, const char *stage)
{
    char *name;
    return asprintf(&name, "%s.%s", line, stage) < 0 ? NULL : name;
}

static enum ptq_err copy_stage(const ptq_pipeline *line, const struct ptq_stage *from, struct pti_line_stage *to)
{
    to->notes = PTI_ROSTER_NONE;
    to->is = *from;
    to->is.item_size = from->item_size != 0 ? from->item_size : DEFAULT_SIZE;
    to->is.output_size = from->output_size != 0 ? from->output_size : to->is.item_size;
    to->is.workers = from->workers != 0 ? from->workers : 1;
    if (from->spawn != NULL)
        to->spawn = *from->spawn;
    to->is.spawn = &to->spawn;
    bool whole = copy_text(from->name, &to->is.name);
    whole &= copy_text(task_of(from), &to->is.task);
    whole &= copy_text(from->exec, &to->is.exec);
    whole &= copy_text(from->plugin, &to->is.plugin);
    whole &= copy_text(to->spawn.cpu_list, &to->spawn.cpu_list);
    to->pool_name = pool_name(line->name, from->name);
    return whole && to->pool_name != NULL ? PTQ_OK : PTQ_ENOMEM;
}

static enum ptq_err copy_stages(ptq_pipeline *line, const struct ptq_stage *stages, size_t count)
{
    line->stages = calloc(count, sizeof *line->stages);
    line->levels = calloc(count, sizeof *line->levels);
    line->relays = calloc(count, sizeof *line->relays);
    if (line->stages == NULL || line->levels == NULL || line->relays == NULL)
        return PTQ_ENOMEM;
    enum ptq_err err = PTQ_OK;
    for (unsigned i = 0; i < count; i++) {
        struct pti_line_stage *stage = &line->stages[i];
        line->stage_count++;
        if (copy_stage(line, &stages[i], stage) != PTQ_OK)
            err = PTQ_ENOMEM;
        if (!stages[i].beside)
            line->levels[line->level_count++].first = i;
        stage->level = line->level_count - 1;
        line->levels[stage->level].count++;
    }
    return err;
}

static void free_stage(struct pti_line_stage *stage)
{
    pti_roster_leave(&stage->notes);
    ptq_pool_close(stage->pool);
    free((char *)stage->is.name);
    free((char *)stage->is.task);
    free((char *)stage->is.exec);
    free((char *)stage->is.plugin);
    free((char *)stage->spawn.cpu_list);
    free(stage->pool_name);
}

/* -- open ----------------------------------------------------------------------------------------------------- */

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static enum ptq_err open_stage(ptq_pipeline *line, struct pti_line_stage *stage, const struct ptq_pipeline_options *options)
{
    bool first = stage == line->stages;
    struct ptq_pool_options pool = {
        .mode = options->mode, .capacity = options->capacity, .window = options->window, .max_endpoints = options->max_endpoints,
        .item_size = larger(stage->is.item_size, PTI_LINE_MARKER_LEAST) + PTI_LINE_SIZE_ROOM,
        .result_size = larger(stage->is.output_size, PTI_LINE_MARKER_LEAST) + PTI_LINE_SIZE_ROOM,
        .lives = stage->is.lives, .call = stage->is.call, .per_second = first ? options->per_second : 0,
        .file_mode = options->file_mode, .ephemeral = options->ephemeral, .error = options->error,
    };
    struct pti_open more = {.options = {.last_producer_ends = first && options->last_producer_ends,
                                        .flags = first && options->producer ? PTQ_PRODUCER : 0}};
    enum ptq_err err = pti_pool_open(line->bus, stage->pool_name, &pool, &more, &stage->pool);
    if (err != PTQ_OK)
        return err;
    if (stage->is.exec != NULL || stage->is.plugin != NULL) /* its task is not of this program */
        pti_store_relaxed(stage->is.exec != NULL ? &stage->pool->staff.exec : &stage->pool->staff.plugin, 1); /* a hint of our own */
    line->marker_size = line->marker_size == 0 || pool.item_size < line->marker_size ? pool.item_size : line->marker_size;
    line->marker_size = pool.result_size < line->marker_size ? pool.result_size : line->marker_size;
    return PTQ_OK;
}

static enum ptq_err open_line(ptq_pipeline *line, const struct ptq_stage *stages, size_t count,
                              const struct ptq_pipeline_options *options)
{
    enum ptq_err err = copy_stages(line, stages, count);
    for (unsigned i = 0; err == PTQ_OK && i < line->stage_count; i++)
        err = open_stage(line, &line->stages[i], options);
    for (unsigned i = 0; i < line->stage_count; i++) {
        line->relays[i].line = line;
        line->relays[i].level = i;
    }
    return err;
}

/* The sizes that stages leave open are as they describe them. */
static enum ptq_err open_described(ptq_pipeline *line, const struct ptq_stage *stages, size_t count,
                                   const struct ptq_pipeline_options *options)
{
    struct ptq_stage described[PTQ_STAGES_MAX];
    memcpy(described, stages, count * sizeof *stages);
    enum ptq_err err = pti_line_describe(described, count, options->input, options->error);
    return err == PTQ_OK ? open_line(line, described, count, options) : err;
}

enum ptq_err ptq_pipeline_open(ptq_bus *bus, const char *name, const struct ptq_stage *stages, size_t count,
                               const struct ptq_pipeline_options *options, ptq_pipeline **ret_pipeline)
{
    static const struct ptq_pipeline_options none;
    struct ptq_error error = {0};
    if (bus == NULL || name == NULL || stages == NULL || ret_pipeline == NULL)
        return PTQ_EINVAL;
    struct ptq_pipeline_options own = options != NULL ? *options : none;
    struct ptq_error *told = own.error;
    own.error = &error;
    enum ptq_err err = check_stages(name, stages, count, &error);
    ptq_pipeline *line = err == PTQ_OK ? calloc(1, sizeof *line) : NULL;
    if (err == PTQ_OK && line == NULL)
        err = PTQ_ENOMEM;
    if (err == PTQ_OK) {
        line->bus = bus;
        line->generation = pti_fork_generation();
        line->record = own.record;
        line->total = own.total;
        (void)snprintf(line->name, sizeof line->name, "%s", name);
        err = open_described(line, stages, count, &own);
    }
    if (err == PTQ_OK) {
        *ret_pipeline = line;
        return PTQ_OK;
    }
    ptq_pipeline_close(line);
    if (told != NULL) {
        if (error.code != err)
            (void)pti_error(&error, err, "cannot open pipeline '%.140s': %s", name, ptq_strerror(err));
        *told = error;
    }
    return err;
}

/* -- start, close --------------------------------------------------------------------------------------------- */

struct ptq_spawn_options pti_line_spawn_options(const ptq_pipeline *line, const struct pti_line_stage *stage)
{
    struct ptq_spawn_options options = stage->spawn;
    options.count = stage->is.workers;
    options.exec = stage->is.exec;
    options.plugin = stage->is.plugin;
    options.threads = stage->is.threads;
    options.name = stage->is.name;
    options.record = line->record;
    options.error = NULL;
    return options;
}

static enum ptq_err spawn(const ptq_pipeline *line, const struct pti_line_stage *stage)
{
    struct ptq_spawn_options options = pti_line_spawn_options(line, stage);
    return ptq_pool_spawn(stage->pool, &options);
}

/* Where relays note what they hand on: made now, so that a full file system is told at once. */
static enum ptq_err open_notes(ptq_pipeline *line)
{
    for (unsigned i = line->levels[0].count; i < line->stage_count; i++) {
        struct pti_line_stage *stage = &line->stages[i];
        const ptq_queue *jobs = stage->pool->jobs;
        int error = pti_roster_open(&stage->notes, line->bus, jobs->name, jobs->port->id);
        if (error != 0)
            return pti_err_from_errno(error);
    }
    return PTQ_OK;
}

enum ptq_err ptq_pipeline_start(ptq_pipeline *line)
{
    enum ptq_err err = pti_line_check(line);
    if (err != PTQ_OK)
        return err;
    if (line->started)
        return PTQ_EALREADY;
    line->started = true;
    err = open_notes(line);
    for (unsigned i = 0; err == PTQ_OK && i < line->stage_count; i++) {
        err = pti_pool_let_halt(line->stages[i].pool);
        if (err == PTQ_OK)
            err = spawn(line, &line->stages[i]);
    }
    for (unsigned i = 0; err == PTQ_OK && i + 1 < line->level_count; i++)
        err = pti_relay_start(&line->relays[i]);
    if (err == PTQ_OK)
        err = pti_tuner_start(line);
    return err;
}

void ptq_pipeline_close(ptq_pipeline *line)
{
    if (line == NULL)
        return;
    pti_store_seq(&line->closing, 1);
    pti_tuner_stop(line);
    for (unsigned i = 0; line->relays != NULL && i < line->stage_count; i++)
        pti_relay_stop(&line->relays[i]);
    for (unsigned i = 0; i < line->stage_count; i++)
        if (line->stages[i].pool != NULL && line->generation == pti_fork_generation())
            pti_staff_ask(line->stages[i].pool);
    for (unsigned i = 0; i < line->stage_count; i++)
        free_stage(&line->stages[i]);
    free(line->stages);
    free(line->levels);
    free(line->relays);
    free(line);
}

enum ptq_err ptq_pipeline_unlink(ptq_bus *bus, const char *name, const struct ptq_stage *stages, size_t count, bool force)
{
    if (bus == NULL || name == NULL || stages == NULL)
        return PTQ_EINVAL;
    enum ptq_err first = PTQ_OK;
    for (size_t i = 0; i < count; i++) {
        if (!is_name(stages[i].name))
            return PTQ_EINVAL;
        char *pool = pool_name(name, stages[i].name);
        enum ptq_err err = pool != NULL ? ptq_pool_unlink(bus, pool, force) : PTQ_ENOMEM;
        if (first == PTQ_OK)
            first = err;
        free(pool);
    }
    return first;
}

enum ptq_err ptq_pipeline_end(ptq_pipeline *line)
{
    enum ptq_err err = pti_line_check(line);
    return err == PTQ_OK ? ptq_pool_stop(line->stages[0].pool) : err;
}

enum ptq_err ptq_pipeline_abort(ptq_pipeline *line)
{
    enum ptq_err err = pti_line_check(line);
    if (err != PTQ_OK)
        return err;
    pti_store_release(&line->aborted, 1);
    for (unsigned i = 0; i < line->stage_count; i++) {
        enum ptq_err one = ptq_pool_abort(line->stages[i].pool);
        err = err == PTQ_OK ? one : err;
    }
    return err;
}

/* -- around --------------------------------------------------------------------------------------------------- */

ptq_pool *ptq_pipeline_pool(ptq_pipeline *line, size_t stage)
{
    return stage < line->stage_count ? line->stages[stage].pool : NULL;
}

size_t ptq_pipeline_stages(const ptq_pipeline *line)
{
    return line->stage_count;
}

const char *ptq_pipeline_stage_name(const ptq_pipeline *line, size_t stage)
{
    return stage < line->stage_count ? line->stages[stage].is.name : NULL;
}

const char *ptq_pipeline_explain(ptq_pipeline *line, enum ptq_err err, char *buffer, size_t size)
{
    if (line == NULL || size == 0)
        return buffer;
    unsigned stage = pti_load_acquire(&line->failed_stage);
    if (pti_line_failure(line) != err)
        stage = 0;
    if (err == PTQ_EBUSY)
        (void)snprintf(buffer, size, "pipeline '%s' has a getter already: outputs are got by one handle at a time - wait for it, or end it",
                       line->name);
    else
        (void)ptq_pool_explain(line->stages[stage].pool, err, buffer, size);
    return buffer;
}
