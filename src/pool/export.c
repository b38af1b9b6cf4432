/* export.c -- trails read together, and written as CSV and for Chrome's trace viewer. */
#include "metrics/text.h"
#include "pool/export.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "bus/bus.h"

/* -- gathering ------------------------------------------------------------------------------------------------ */

static void fini(struct pti_lanes *lanes)
{
    for (unsigned i = 0; lanes->trails != NULL && i < lanes->stages; i++)
        pti_trail_free(lanes->trails[i], lanes->trail_counts[i]);
    free(lanes->trails);
    free(lanes->trail_counts);
    free(lanes->lanes);
}

static void note_edges(struct pti_lanes *lanes, const struct pti_trail_copy *trail)
{
    for (uint64_t i = 0; i < trail->count; i++) {
        int64_t on = pti_load_relaxed(&trail->spans[i].on_ns), off = pti_load_relaxed(&trail->spans[i].off_ns); /* a copy, here and below */
        if (lanes->began_ns == 0 || on < lanes->began_ns)
            lanes->began_ns = on;
        if (off > lanes->ended_ns)
            lanes->ended_ns = off;
    }
    lanes->spans += trail->count;
    lanes->dropped += trail->dropped;
}

static enum ptq_err add_pool(struct pti_lanes *lanes, ptq_pool *pool, const char *name, unsigned stage, unsigned level)
{
    if (pool->jobs->port->remote)
        return PTQ_ENOENT;
    int error = pti_trail_read(pool->bus, pool->jobs->name, pool->jobs->port->id, &lanes->trails[stage], &lanes->trail_counts[stage]);
    if (error != 0)
        return pti_err_from_errno(error);
    size_t more = lanes->trail_counts[stage];
    struct pti_lane *grown = realloc(lanes->lanes, (lanes->count + more + 1) * sizeof *grown);
    if (grown == NULL)
        return PTQ_ENOMEM;
    lanes->lanes = grown;
    for (size_t i = 0; i < more; i++) {
        lanes->lanes[lanes->count++] = (struct pti_lane){.stage = name, .stage_index = stage, .level = level, .trail = &lanes->trails[stage][i]};
        note_edges(lanes, &lanes->trails[stage][i]);
    }
    return PTQ_OK;
}

static int by_ticket(const void *a, const void *b)
{
    const struct pti_lane_job *left = a, *right = b;
    if (left->level != right->level)
        return left->level < right->level ? -1 : 1;
    return left->ticket < right->ticket ? -1 : left->ticket > right->ticket;
}

enum ptq_err pti_lanes_sort(const struct pti_lanes *lanes, struct pti_lane_job **ret_jobs, size_t *ret_count)
{
    struct pti_lane_job *jobs = malloc((lanes->spans + 1) * sizeof *jobs);
    size_t count = 0;
    if (jobs == NULL)
        return PTQ_ENOMEM;
    for (unsigned lane = 0; lane < lanes->count; lane++)
        for (uint64_t i = 0; i < lanes->lanes[lane].trail->count; i++) {
            const struct pti_span *span = &lanes->lanes[lane].trail->spans[i];
            uint64_t word = pti_load_relaxed(&span->ticket);
            if (PTI_SPAN_KIND(word) == PTI_SPAN_JOB)
                jobs[count++] = (struct pti_lane_job){lanes->lanes[lane].level, PTI_SPAN_TICKET(word), lane, span};
        }
    qsort(jobs, count, sizeof *jobs, by_ticket);
    *ret_jobs = jobs;
    *ret_count = count;
    return PTQ_OK;
}

const struct pti_lane_job *pti_lanes_find(const struct pti_lane_job *jobs, size_t count, unsigned level, uint64_t ticket)
{
    struct pti_lane_job key = {.level = level, .ticket = ticket};
    size_t from = 0, to = count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (by_ticket(&jobs[middle], &key) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from < count && by_ticket(&jobs[from], &key) == 0 ? &jobs[from] : NULL;
}

/* -- CSV ------------------------------------------------------------------------------------------------------ */

static void write_csv(const struct pti_lanes *lanes, FILE *file)
{
    (void)fprintf(file, "stage,worker,pid,what,ticket,from,on_ns,off_ns,tries,outputs,failed\n");
    for (size_t lane = 0; lane < lanes->count; lane++) {
        const struct pti_lane *in = &lanes->lanes[lane];
        for (uint64_t i = 0; i < in->trail->count; i++) {
            const struct pti_span *span = &in->trail->spans[i];
            uint64_t ticket = pti_load_relaxed(&span->ticket), from = pti_load_relaxed(&span->from);
            long long on = (long long)(pti_load_relaxed(&span->on_ns) - lanes->began_ns), off = (long long)(pti_load_relaxed(&span->off_ns) - lanes->began_ns);
            (void)fprintf(file, "%s,%s,%lld,", in->stage, in->trail->name, (long long)in->trail->pid);
            if (PTI_SPAN_KIND(ticket) == PTI_SPAN_ROOM)
                (void)fprintf(file, "blocked,,,%lld,%lld,,,\n", on, off);
            else
                (void)fprintf(file, "job,%llu,%.0llu,%lld,%lld,%u,%u,%d\n", (unsigned long long)PTI_SPAN_TICKET(ticket),
                              in->level == 0 ? 0 : (unsigned long long)PTI_SPAN_TICKET(from), on, off, PTI_SPAN_TRIES(ticket),
                              PTI_SPAN_OUTPUTS(from), PTI_SPAN_FAILED(ticket));
        }
    }
}

/* -- Chrome's trace viewer, Perfetto -------------------------------------------------------------------------- */

static void write_names(const struct pti_lanes *lanes, FILE *file)
{
    unsigned last = UINT32_MAX;
    for (unsigned lane = 0; lane < lanes->count; lane++) {
        const struct pti_lane *in = &lanes->lanes[lane];
        if (in->stage_index != last) {
            (void)fprintf(file, "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%u,\"args\":{\"name\":", in->stage_index + 1);
            pti_json_text(file, in->stage);
            (void)fprintf(file, "}},\n{\"ph\":\"M\",\"name\":\"process_sort_index\",\"pid\":%u,\"args\":{\"sort_index\":%u}},\n", in->stage_index + 1,
                          in->stage_index);
        }
        last = in->stage_index;
        (void)fprintf(file, "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":%u,\"tid\":%u,\"args\":{\"name\":", in->stage_index + 1, lane + 1);
        pti_json_text(file, in->trail->name);
        (void)fprintf(file, "}},\n");
    }
}

static double micros(const struct pti_lanes *lanes, int64_t at_ns)
{
    return (double)(at_ns - lanes->began_ns) / 1e3;
}

static void write_slice(const struct pti_lanes *lanes, unsigned lane, const struct pti_span *span, FILE *file)
{
    const struct pti_lane *in = &lanes->lanes[lane];
    uint64_t ticket = pti_load_relaxed(&span->ticket), from = pti_load_relaxed(&span->from);
    int64_t on = pti_load_relaxed(&span->on_ns), off = pti_load_relaxed(&span->off_ns);
    (void)fprintf(file, "{\"ph\":\"X\",\"pid\":%u,\"tid\":%u,\"ts\":%.3f,\"dur\":%.3f,", in->stage_index + 1, lane + 1, micros(lanes, on),
                  (double)(off - on) / 1e3);
    if (PTI_SPAN_KIND(ticket) == PTI_SPAN_ROOM)
        (void)fprintf(file, "\"cat\":\"wait\",\"name\":\"no room\"},\n");
    else
        (void)fprintf(file, "\"cat\":\"job\",\"name\":\"%llu\",\"args\":{\"tries\":%u,\"outputs\":%u,\"failed\":%s}},\n",
                      (unsigned long long)PTI_SPAN_TICKET(ticket), PTI_SPAN_TRIES(ticket), PTI_SPAN_OUTPUTS(from),
                      PTI_SPAN_FAILED(ticket) ? "true" : "false");
}

/* From the job that gave it to the job that got it. */
static void write_flow(const struct pti_lanes *lanes, const struct pti_lane_job *giver, const struct pti_lane_job *taker, uint64_t id, FILE *file)
{
    int64_t off = pti_load_relaxed(&giver->span->off_ns), on = pti_load_relaxed(&taker->span->on_ns);
    (void)fprintf(file,
                  "{\"ph\":\"s\",\"cat\":\"edge\",\"name\":\"edge\",\"id\":%llu,\"pid\":%u,\"tid\":%u,\"ts\":%.3f},\n"
                  "{\"ph\":\"f\",\"bp\":\"e\",\"cat\":\"edge\",\"name\":\"edge\",\"id\":%llu,\"pid\":%u,\"tid\":%u,\"ts\":%.3f},\n",
                  (unsigned long long)id, lanes->lanes[giver->lane].stage_index + 1, giver->lane + 1, micros(lanes, off) - 0.001,
                  (unsigned long long)id, lanes->lanes[taker->lane].stage_index + 1, taker->lane + 1, micros(lanes, on));
}

static void write_chrome(const struct pti_lanes *lanes, const struct pti_lane_job *jobs, size_t count, FILE *file)
{
    uint64_t flows = 0;
    (void)fprintf(file, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
    write_names(lanes, file);
    for (unsigned lane = 0; lane < lanes->count; lane++)
        for (uint64_t i = 0; i < lanes->lanes[lane].trail->count; i++)
            write_slice(lanes, lane, &lanes->lanes[lane].trail->spans[i], file);
    for (size_t i = 0; i < count; i++) {
        uint64_t from = PTI_SPAN_TICKET(pti_load_relaxed(&jobs[i].span->from));
        const struct pti_lane_job *giver = jobs[i].level != 0 ? pti_lanes_find(jobs, count, jobs[i].level - 1, from) : NULL;
        for (; giver != NULL && giver < jobs + count && giver->level == jobs[i].level - 1 && giver->ticket == from; giver++)
            if (PTI_SPAN_OUTPUTS(pti_load_relaxed(&giver->span->from)) != 0)
                write_flow(lanes, giver, &jobs[i], ++flows, file);
    }
    (void)fprintf(file, "{\"ph\":\"M\",\"name\":\"dropped\",\"pid\":0,\"args\":{\"jobs\":%llu}}\n]}\n", (unsigned long long)lanes->dropped);
}

/* -- calls ---------------------------------------------------------------------------------------------------- */

static enum ptq_err write_out(const struct pti_lanes *lanes, enum ptq_record_form form, FILE *file)
{
    struct pti_lane_job *jobs;
    size_t count;
    enum ptq_err err = pti_lanes_sort(lanes, &jobs, &count);
    if (err != PTQ_OK)
        return err;
    if (form == PTQ_RECORD_CSV)
        write_csv(lanes, file);
    else if (form == PTQ_RECORD_CHROME)
        write_chrome(lanes, jobs, count, file);
    else
        pti_lanes_write_svg(lanes, jobs, count, file);
    free(jobs);
    return fflush(file) == 0 && !ferror(file) ? PTQ_OK : PTQ_ESYS;
}

static bool init(struct pti_lanes *lanes, const char *title, unsigned stages)
{
    *lanes = (struct pti_lanes){.title = title, .stages = stages};
    lanes->trails = calloc(stages, sizeof *lanes->trails);
    lanes->trail_counts = calloc(stages, sizeof *lanes->trail_counts);
    return lanes->trails != NULL && lanes->trail_counts != NULL;
}

static bool is_form(enum ptq_record_form form)
{
    return form == PTQ_RECORD_CSV || form == PTQ_RECORD_SVG || form == PTQ_RECORD_CHROME;
}

enum ptq_err ptq_pipeline_record(ptq_pipeline *line, enum ptq_record_form form, FILE *file)
{
    struct pti_lanes lanes;
    enum ptq_err err = pti_line_check(line);
    if (err != PTQ_OK || file == NULL || !is_form(form))
        return err != PTQ_OK ? err : PTQ_EINVAL;
    if (!init(&lanes, line->name, line->stage_count))
        err = PTQ_ENOMEM;
    for (unsigned i = 0; err == PTQ_OK && i < line->stage_count; i++)
        err = add_pool(&lanes, line->stages[i].pool, line->stages[i].is.name, i, line->stages[i].level);
    if (err == PTQ_OK)
        err = write_out(&lanes, form, file);
    fini(&lanes);
    return err;
}

enum ptq_err ptq_pool_record(ptq_pool *pool, enum ptq_record_form form, FILE *file)
{
    struct pti_lanes lanes;
    enum ptq_err err = pti_pool_check(pool);
    if (err != PTQ_OK || file == NULL || !is_form(form))
        return err != PTQ_OK ? err : PTQ_EINVAL;
    err = init(&lanes, pool->name, 1) ? add_pool(&lanes, pool, pool->name, 0, 0) : PTQ_ENOMEM;
    if (err == PTQ_OK)
        err = write_out(&lanes, form, file);
    fini(&lanes);
    return err;
}
