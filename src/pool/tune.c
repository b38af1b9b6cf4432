/* tune.c -- gives stages of a pipeline more workers while they are behind, and fewer while they have little to do, within their limits.
 *
 * A thread looks each 100 ms.  A stage whose workers were busy for four fifths of the time, and that has inputs waiting for each of them, twice in a
 * row, gets one more; one whose work one worker fewer could do in half of its time, five times in a row, has one asked to leave when it is
 * done with what it has in hand.  So it grows fast and shrinks slowly, and does not swing between two numbers.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/fork.h"
#include "base/time.h"
#include "pool/line.h"

#define LOOK_NS (100 * PTI_NS_PER_MS)
#define HOT_LOOKS 2
#define COLD_LOOKS 5
#define HOT 0.8
#define COLD 0.5

struct stage {
    uint64_t on_ns, off_ns; /* at the last look */
    unsigned hot, cold;     /* looks in a row */
    unsigned extra, most;   /* workers that were added; that may be */
    struct pti_supervisor **teams; /* of the added */
};

struct pti_tuner {
    ptq_pipeline *line;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool closing;           /* under the mutex */
    struct ptq_stage_stats stats[PTQ_STAGES_MAX];
    struct stage stages[PTQ_STAGES_MAX];
};

static void add(struct pti_tuner *tuner, unsigned index)
{
    const struct pti_line_stage *stage = &tuner->line->stages[index];
    struct stage *tuned = &tuner->stages[index];
    char name[64];
    (void)snprintf(name, sizeof name, "%.40s.%u", stage->is.name, tuned->extra + 1);
    struct ptq_spawn_options options = pti_line_spawn_options(tuner->line, stage);
    options.count = 1;
    options.name = name;
    if (pti_staff_spawn(stage->pool, &options, &tuned->teams[tuned->extra]) == PTQ_OK) /* else at another look */
        tuned->extra++;
}

static void drop(struct pti_tuner *tuner, unsigned index)
{
    struct stage *tuned = &tuner->stages[index];
    pti_staff_dismiss(tuner->line->stages[index].pool, tuned->teams[--tuned->extra]);
}

/* What became of it since the last look, as a part of the time; a sum may fall by what a dead worker had not finished. */
static double busy_since(struct stage *tuned, const struct ptq_stage_stats *stats)
{
    uint64_t off_ns = stats->starved_ns + stats->blocked_ns;
    double on = stats->on_ns > tuned->on_ns ? (double)(stats->on_ns - tuned->on_ns) : 0;
    double off = off_ns > tuned->off_ns ? (double)(off_ns - tuned->off_ns) : 0;
    tuned->on_ns = stats->on_ns;
    tuned->off_ns = off_ns;
    return on + off > 0 ? on / (on + off) : 0;
}

static void look_at(struct pti_tuner *tuner, unsigned index)
{
    struct stage *tuned = &tuner->stages[index];
    const struct ptq_stage_stats *stats = &tuner->stats[index];
    double busy = busy_since(tuned, stats);
    unsigned workers = tuner->line->stages[index].is.workers + tuned->extra;
    tuned->hot = busy >= HOT && stats->queued >= workers ? tuned->hot + 1 : 0;
    tuned->cold = busy * workers <= COLD * (workers - 1) ? tuned->cold + 1 : 0;
    if (tuned->hot >= HOT_LOOKS && tuned->extra < tuned->most) {
        tuned->hot = 0;
        add(tuner, index);
    } else if (tuned->cold >= COLD_LOOKS && tuned->extra > 0) {
        tuned->cold = 0;
        drop(tuner, index);
    }
}

static void look(struct pti_tuner *tuner)
{
    struct ptq_pipeline_stats whole;
    if (ptq_pipeline_stats(tuner->line, &whole, tuner->stats, PTQ_STAGES_MAX) != PTQ_OK)
        return; /* removed, or no memory at this moment */
    for (unsigned i = 0; i < tuner->line->stage_count; i++)
        if (tuner->stages[i].most != 0)
            look_at(tuner, i);
}

static void *work(void *context)
{
    struct pti_tuner *tuner = context;
    (void)pthread_mutex_lock(&tuner->mutex);
    while (!tuner->closing) {
        int64_t until = pti_now_ns() + LOOK_NS;
        struct timespec at = {until / PTI_NS_PER_S, until % PTI_NS_PER_S};
        (void)pthread_cond_timedwait(&tuner->changed, &tuner->mutex, &at);
        if (tuner->closing || pti_now_ns() < until)
            continue;
        (void)pthread_mutex_unlock(&tuner->mutex);
        look(tuner);
        (void)pthread_mutex_lock(&tuner->mutex);
    }
    (void)pthread_mutex_unlock(&tuner->mutex);
    return NULL;
}

static void free_tuner(struct pti_tuner *tuner)
{
    for (unsigned i = 0; i < PTQ_STAGES_MAX; i++)
        free(tuner->stages[i].teams);
    (void)pthread_cond_destroy(&tuner->changed);
    (void)pthread_mutex_destroy(&tuner->mutex);
    free(tuner);
}

static enum ptq_err init(struct pti_tuner *tuner, ptq_pipeline *line, bool *ret_needed)
{
    pthread_condattr_t attributes;
    tuner->line = line;
    (void)pthread_mutex_init(&tuner->mutex, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&tuner->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    for (unsigned i = 0; i < line->stage_count; i++) {
        const struct ptq_stage *stage = &line->stages[i].is;
        if (stage->workers_max <= stage->workers)
            continue;
        tuner->stages[i].most = stage->workers_max - stage->workers;
        tuner->stages[i].teams = calloc(tuner->stages[i].most, sizeof(struct pti_supervisor *));
        if (tuner->stages[i].teams == NULL)
            return PTQ_ENOMEM;
        *ret_needed = true;
    }
    return PTQ_OK;
}

enum ptq_err pti_tuner_start(ptq_pipeline *line)
{
    sigset_t all, before;
    bool needed = false;
    struct pti_tuner *tuner = calloc(1, sizeof *tuner);
    if (tuner == NULL)
        return PTQ_ENOMEM;
    enum ptq_err err = init(tuner, line, &needed);
    if (err == PTQ_OK && needed) {
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_BLOCK, &all, &before); /* those of the program are for its own threads */
        err = pthread_create(&tuner->thread, NULL, work, tuner) == 0 ? PTQ_OK : PTQ_EAGAIN;
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (err == PTQ_OK && needed)
        line->tuner = tuner;
    else
        free_tuner(tuner);
    return err;
}

void pti_tuner_stop(ptq_pipeline *line)
{
    struct pti_tuner *tuner = line->tuner;
    if (tuner == NULL || line->generation != pti_fork_generation()) /* a forked child has no such thread */
        return;
    (void)pthread_mutex_lock(&tuner->mutex);
    tuner->closing = true;
    (void)pthread_cond_signal(&tuner->changed);
    (void)pthread_mutex_unlock(&tuner->mutex);
    (void)pthread_join(tuner->thread, NULL);
    free_tuner(tuner);
    line->tuner = NULL;
}
