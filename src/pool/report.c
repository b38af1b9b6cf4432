/* report.c -- a pipeline in figures: what each stage costs, which one holds up the others, and how many workers it should have. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "bus/bus.h"
#include "metrics/text.h"
#include "pool/line.h"

/* -- one stage ------------------------------------------------------------------------------------------------ */

/* A stage with all its workers, the dead ones too. */
struct folk {
    struct pti_work *work; /* owned */
    size_t count;
    int64_t began_ns, until_ns;
    double work_ns;        /* of on time, for one input */
};

static enum ptq_err read_folk(const struct pti_line_stage *stage, struct folk *folk)
{
    const ptq_queue *jobs = stage->pool->jobs;
    size_t room = 0;
    enum ptq_err err;
    do { /* more may come while they are read */
        room = room == 0 ? 16 : folk->count + 16;
        struct pti_work *grown = realloc(folk->work, room * sizeof *grown);
        if (grown == NULL)
            return PTQ_ENOMEM;
        folk->work = grown;
        err = pti_err_from_errno(pti_roster_work(stage->pool->bus, jobs->name, jobs->port->id, folk->work, room, &folk->count));
    } while (err == PTQ_OK && folk->count > room);
    return err;
}

static uint64_t on_of(const struct pti_work *work)
{
    return work->spent_ns[PTQ_WORKER_WORKS] + work->spent_ns[PTQ_WORKER_HANDS_IN];
}

static double per_second(uint64_t jobs, uint64_t ns)
{
    return ns == 0 ? 0 : (double)jobs * 1e9 / (double)ns;
}

static double part(uint64_t of, uint64_t whole)
{
    return whole == 0 ? 0 : (double)of / (double)whole;
}

static void add_up(struct folk *folk, struct ptq_stage_stats *stats)
{
    for (size_t i = 0; i < folk->count; i++) {
        const struct pti_work *one = &folk->work[i];
        stats->workers += one->lives;
        stats->jobs += one->done;
        stats->failed += one->failed;
        stats->on_ns += on_of(one);
        stats->starved_ns += one->spent_ns[PTQ_WORKER_WAITS_FOR_JOB];
        stats->blocked_ns += one->spent_ns[PTQ_WORKER_WAITS_FOR_ROOM];
        if (folk->began_ns == 0 || one->began_ns < folk->began_ns)
            folk->began_ns = one->began_ns;
        if (one->until_ns > folk->until_ns)
            folk->until_ns = one->until_ns;
    }
    uint64_t off = stats->starved_ns + stats->blocked_ns;
    stats->rate_on = per_second(stats->jobs, stats->on_ns);
    stats->rate_off = per_second(stats->jobs, off);
    stats->busy = part(stats->on_ns, stats->on_ns + off);
}

static enum ptq_err read_stage(const struct pti_line_stage *stage, struct folk *folk, struct ptq_stage_stats *stats)
{
    struct ptq_pool_stats pool;
    *stats = (struct ptq_stage_stats){.name = stage->is.name};
    enum ptq_err err = read_folk(stage, folk);
    if (err == PTQ_OK)
        err = ptq_pool_stats(stage->pool, &pool);
    if (err != PTQ_OK)
        return err;
    add_up(folk, stats);
    stats->queued = pool.queued;
    stats->running = pool.running;
    stats->held = pool.held + pool.ready;
    return PTQ_OK;
}

/* -- advice --------------------------------------------------------------------------------------------------- */

unsigned pti_advice_slowest(const double *work_ns, unsigned count, const unsigned *workers)
{
    unsigned worst = 0;
    for (unsigned i = 1; i < count; i++)
        if (work_ns[i] / workers[i] > work_ns[worst] / workers[worst])
            worst = i;
    return worst;
}

/* One each, and every further one to the stage that is then the slowest: no other way of giving makes the slowest faster. */
void pti_advice_distribute(const double *work_ns, unsigned count, unsigned workers, unsigned *ret_workers)
{
    for (unsigned i = 0; i < count; i++)
        ret_workers[i] = 1;
    for (unsigned left = workers > count ? workers - count : 0; left > 0; left--)
        ret_workers[pti_advice_slowest(work_ns, count, ret_workers)]++;
}

/* -- the whole ------------------------------------------------------------------------------------------------ */

struct figures {
    struct ptq_pipeline_stats whole;
    struct ptq_stage_stats stages[PTQ_STAGES_MAX];
    struct folk folk[PTQ_STAGES_MAX];
    double work_ns[PTQ_STAGES_MAX];
    unsigned workers[PTQ_STAGES_MAX]; /* that live; where none does any more, those that there were; at least 1 */
    unsigned bottleneck, crew;        /* crew: all of them */
};

static void free_figures(struct figures *figures)
{
    for (unsigned i = 0; figures != NULL && i < PTQ_STAGES_MAX; i++)
        free(figures->folk[i].work);
    free(figures);
}

static void advise(const ptq_pipeline *line, struct figures *figures)
{
    unsigned advised[PTQ_STAGES_MAX];
    figures->bottleneck = pti_advice_slowest(figures->work_ns, line->stage_count, figures->workers);
    figures->stages[figures->bottleneck].bottleneck = true;
    pti_advice_distribute(figures->work_ns, line->stage_count, figures->crew, advised);
    for (unsigned i = 0; i < line->stage_count; i++)
        figures->stages[i].advised = advised[i];
}

static void sum_up(const ptq_pipeline *line, struct figures *figures)
{
    struct ptq_pipeline_stats *whole = &figures->whole;
    int64_t began = 0, until = 0;
    whole->stages = line->stage_count;
    whole->inputs = figures->stages[0].jobs;
    whole->total = line->total;
    for (unsigned i = 0; i < line->stage_count; i++) {
        const struct folk *folk = &figures->folk[i];
        struct ptq_stage_stats *stage = &figures->stages[i];
        whole->workers += stage->workers;
        if (folk->count != 0 && (began == 0 || folk->began_ns < began))
            began = folk->began_ns;
        until = folk->until_ns > until ? folk->until_ns : until;
        stage->work_ns = figures->work_ns[i] = part(stage->on_ns, whole->inputs);
        figures->workers[i] = stage->workers != 0 ? stage->workers : folk->count != 0 ? (unsigned)folk->count : 1;
        figures->crew += figures->workers[i];
    }
    whole->runtime_ns = until > began ? (uint64_t)(until - began) : 0;
    whole->rate = per_second(whole->inputs, whole->runtime_ns);
    for (unsigned i = 0; i < line->stage_count; i++)
        figures->stages[i].rate = per_second(figures->stages[i].jobs, whole->runtime_ns);
    whole->left_ms = -1;
    if (whole->total != 0 && whole->inputs >= whole->total)
        whole->left_ms = 0;
    else if (whole->total != 0 && whole->rate > 0)
        whole->left_ms = (int64_t)((double)(whole->total - whole->inputs) / whole->rate * 1e3);
    if (whole->inputs != 0)
        advise(line, figures);
}

static enum ptq_err read_figures(ptq_pipeline *line, struct figures **ret_figures)
{
    enum ptq_err err = pti_line_check(line);
    if (err != PTQ_OK)
        return err;
    struct figures *figures = calloc(1, sizeof *figures);
    if (figures == NULL)
        return PTQ_ENOMEM;
    for (unsigned i = 0; err == PTQ_OK && i < line->stage_count; i++)
        err = read_stage(&line->stages[i], &figures->folk[i], &figures->stages[i]);
    if (err != PTQ_OK) {
        free_figures(figures);
        return err;
    }
    sum_up(line, figures);
    *ret_figures = figures;
    return PTQ_OK;
}

enum ptq_err ptq_pipeline_stats(ptq_pipeline *line, struct ptq_pipeline_stats *ret_stats, struct ptq_stage_stats *array, size_t max)
{
    struct figures *figures;
    if (ret_stats == NULL || (array == NULL && max != 0))
        return PTQ_EINVAL;
    enum ptq_err err = read_figures(line, &figures);
    if (err != PTQ_OK)
        return err;
    *ret_stats = figures->whole;
    for (size_t i = 0; i < max && i < figures->whole.stages; i++)
        array[i] = figures->stages[i];
    free_figures(figures);
    return PTQ_OK;
}

enum ptq_err ptq_pipeline_advise(ptq_pipeline *line, unsigned workers, unsigned *ret_workers, size_t *ret_bottleneck, double *ret_rate)
{
    struct figures *figures;
    if (ret_workers == NULL)
        return PTQ_EINVAL;
    enum ptq_err err = read_figures(line, &figures);
    if (err != PTQ_OK)
        return err;
    unsigned count = line->stage_count, wanted = workers != 0 ? workers : figures->crew;
    if (wanted < count || figures->whole.inputs == 0) {
        free_figures(figures);
        return wanted < count ? PTQ_EINVAL : PTQ_EMPTY;
    }
    pti_advice_distribute(figures->work_ns, count, wanted, ret_workers);
    unsigned then = pti_advice_slowest(figures->work_ns, count, ret_workers);
    double work_ns = figures->work_ns[then] / ret_workers[then];
    if (ret_rate != NULL)
        *ret_rate = work_ns > 0 ? 1e9 / work_ns : 0;
    if (ret_bottleneck != NULL)
        *ret_bottleneck = figures->bottleneck;
    free_figures(figures);
    return PTQ_OK;
}

/* -- the table ------------------------------------------------------------------------------------------------ */

static void write_row(FILE *file, const char *name, const char *worker, uint64_t jobs, uint64_t failed, uint64_t on, uint64_t starved,
                      uint64_t blocked, uint64_t runtime)
{
    (void)fprintf(file, "%-14s %-16s %9llu %7llu %9.3f %9.3f %9.3f %10.1f %10.1f %10.1f %4.0f%%\n", name, worker, (unsigned long long)jobs,
                  (unsigned long long)failed, (double)on / 1e9, (double)starved / 1e9, (double)blocked / 1e9, per_second(jobs, on),
                  per_second(jobs, starved + blocked), per_second(jobs, runtime), 100 * part(on, on + starved + blocked));
}

static void write_stage(FILE *file, const struct figures *figures, unsigned index)
{
    const struct ptq_stage_stats *stage = &figures->stages[index];
    const struct folk *folk = &figures->folk[index];
    uint64_t runtime = figures->whole.runtime_ns;
    char workers[32];
    (void)snprintf(workers, sizeof workers, "%u alive", stage->workers);
    write_row(file, stage->name, workers, stage->jobs, stage->failed, stage->on_ns, stage->starved_ns, stage->blocked_ns, runtime);
    for (size_t i = 0; i < folk->count; i++) {
        const struct pti_work *one = &folk->work[i];
        write_row(file, "", one->name, one->done, one->failed, on_of(one), one->spent_ns[PTQ_WORKER_WAITS_FOR_JOB],
                  one->spent_ns[PTQ_WORKER_WAITS_FOR_ROOM], runtime);
    }
}

static void write_advice(FILE *file, const struct figures *figures)
{
    const struct ptq_stage_stats *stages = figures->stages;
    unsigned at = figures->bottleneck, workers = figures->workers[at];
    (void)fprintf(file, "\nbottleneck: %s, %.3f ms of work an input by %u worker%s\nof %u workers best:", stages[at].name, stages[at].work_ns / 1e6,
                  workers, workers == 1 ? "" : "s", figures->crew);
    for (unsigned i = 0; i < figures->whole.stages; i++)
        (void)fprintf(file, "%s %s %u", i == 0 ? "" : ",", stages[i].name, stages[i].advised);
    (void)fputc('\n', file);
}

static void write_table(const ptq_pipeline *line, const struct figures *figures, FILE *file)
{
    const struct ptq_pipeline_stats *whole = &figures->whole;
    (void)fprintf(file, "pipeline %s: %.3f s, %llu input%s, %.1f a second", line->name, (double)whole->runtime_ns / 1e9,
                  (unsigned long long)whole->inputs, whole->inputs == 1 ? "" : "s", whole->rate);
    if (whole->total != 0)
        (void)fprintf(file, " of %llu", (unsigned long long)whole->total);
    if (whole->left_ms > 0)
        (void)fprintf(file, ", %.1f s to go", (double)whole->left_ms / 1e3);
    (void)fprintf(file, "\n\n%-14s %-16s %9s %7s %9s %9s %9s %10s %10s %10s %5s\n", "stage", "worker", "jobs", "failed", "on s", "starved s",
                  "blocked s", "on j/s", "off j/s", "j/s", "busy");
    for (unsigned i = 0; i < whole->stages; i++)
        write_stage(file, figures, i);
    if (whole->inputs != 0)
        write_advice(file, figures);
}

/* -- JSON ----------------------------------------------------------------------------------------------------- */

static void write_figures(FILE *file, const char *name, uint64_t jobs, uint64_t failed, uint64_t on, uint64_t starved, uint64_t blocked,
                          uint64_t runtime)
{
    (void)fprintf(file, "{\"name\":");
    pti_json_text(file, name);
    (void)fprintf(file,
                  ",\"jobs\":%llu,\"failed\":%llu,\"on_ns\":%llu,\"starved_ns\":%llu,\"blocked_ns\":%llu,\"rate_on\":%.3f,\"rate_off\":%.3f,"
                  "\"rate\":%.3f,\"busy\":%.4f",
                  (unsigned long long)jobs, (unsigned long long)failed, (unsigned long long)on, (unsigned long long)starved,
                  (unsigned long long)blocked, per_second(jobs, on), per_second(jobs, starved + blocked), per_second(jobs, runtime),
                  part(on, on + starved + blocked));
}

static void write_json_stage(FILE *file, const struct figures *figures, unsigned index)
{
    const struct ptq_stage_stats *stage = &figures->stages[index];
    const struct folk *folk = &figures->folk[index];
    uint64_t runtime = figures->whole.runtime_ns;
    write_figures(file, stage->name, stage->jobs, stage->failed, stage->on_ns, stage->starved_ns, stage->blocked_ns, runtime);
    (void)fprintf(file,
                  ",\"alive\":%u,\"work_ns\":%.1f,\"queued\":%llu,\"running\":%llu,\"held\":%llu,\"bottleneck\":%s,\"advised\":%u,\"workers\":[",
                  stage->workers, stage->work_ns, (unsigned long long)stage->queued, (unsigned long long)stage->running,
                  (unsigned long long)stage->held, stage->bottleneck ? "true" : "false", stage->advised);
    for (size_t i = 0; i < folk->count; i++) {
        const struct pti_work *one = &folk->work[i];
        (void)fputs(i == 0 ? "\n" : ",\n", file);
        write_figures(file, one->name, one->done, one->failed, on_of(one), one->spent_ns[PTQ_WORKER_WAITS_FOR_JOB],
                      one->spent_ns[PTQ_WORKER_WAITS_FOR_ROOM], runtime);
        (void)fprintf(file, ",\"pid\":%lld,\"alive\":%s}", (long long)one->pid, one->lives ? "true" : "false");
    }
    (void)fprintf(file, "]}");
}

static void write_json(const ptq_pipeline *line, const struct figures *figures, FILE *file)
{
    const struct ptq_pipeline_stats *whole = &figures->whole;
    (void)fprintf(file, "{\"pipeline\":");
    pti_json_text(file, line->name);
    (void)fprintf(file, ",\"inputs\":%llu,\"total\":%llu,\"runtime_ns\":%llu,\"rate\":%.3f,\"left_ms\":%lld,\"workers\":%u,\"stages\":[\n",
                  (unsigned long long)whole->inputs, (unsigned long long)whole->total, (unsigned long long)whole->runtime_ns, whole->rate,
                  (long long)whole->left_ms, whole->workers);
    for (unsigned i = 0; i < whole->stages; i++) {
        if (i != 0)
            (void)fprintf(file, ",\n");
        write_json_stage(file, figures, i);
    }
    (void)fprintf(file, "]}\n");
}

enum ptq_err ptq_pipeline_report(ptq_pipeline *line, enum ptq_report_form form, FILE *file)
{
    struct figures *figures;
    if (file == NULL || (form != PTQ_REPORT_TEXT && form != PTQ_REPORT_JSON))
        return PTQ_EINVAL;
    enum ptq_err err = read_figures(line, &figures);
    if (err != PTQ_OK)
        return err;
    if (form == PTQ_REPORT_JSON)
        write_json(line, figures, file);
    else
        write_table(line, figures, file);
    free_figures(figures);
    return fflush(file) == 0 && !ferror(file) ? PTQ_OK : PTQ_ESYS;
}
