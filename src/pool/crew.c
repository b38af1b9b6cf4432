/* crew.c -- workers that are threads of this process, for work that need not be isolated.
 *
 * A thread ends with the pool, when it is told to leave or the pool is closed, or because it cannot go on, and says so by an event that
 * whoever waits for the staff sees, and whoever tends it clears.  They cannot be ended before their job is done.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fork.h"
#include "base/time.h"
#include "bus/bus.h"
#include "os/event.h"
#include "pool/pool.h"

#define NAP_NS (20 * PTI_NS_PER_MS) /* before those who were about to sleep are told again */

struct hand {
    pthread_t thread;
    struct pti_worker worker;
    enum ptq_err why; /* it ended, once `ended` */
    _Atomic uint32_t ended;
    struct pti_crew *crew;
};

struct pti_crew {
    struct pti_crew *next;
    int event;
    unsigned count; /* threads that were started: under the mutex */
    struct hand hands[];
};

static void *work(void *context)
{
    struct hand *hand = context;
    hand->why = pti_worker_run(&hand->worker);
    pti_worker_fini(&hand->worker);
    pti_store_release(&hand->ended, 1);
    pti_event_set(hand->crew->event);
    return NULL;
}

/* Signals of the program are for its own threads. */
static int start_one(struct hand *hand)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = pthread_create(&hand->thread, NULL, work, hand);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static void join_all(ptq_pool *pool, struct pti_crew *crew)
{
    for (unsigned i = 0; i < crew->count; i++) {
        while (pti_load_acquire(&crew->hands[i].ended) == 0) {
            ptq_pool_leave(pool); /* again: an interrupt counts once */
            (void)nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
        }
        (void)pthread_join(crew->hands[i].thread, NULL);
    }
}

static enum ptq_err check(const ptq_pool *pool, const struct ptq_spawn_options *options)
{
    if (options->exec != NULL || options->plugin != NULL || options->recycle_jobs != 0 || options->recycle_bytes != 0 ||
        options->cpus != PTQ_CPUS_ANY || options->cpu_list != NULL || options->nice != 0)
        return pti_error(options->error, PTQ_EINVAL,
                         "pool '%s': exec, plugin, recycling, processors and nice are for workers that are processes, not threads",
                         pool->name);
    if (!pti_task_any())
        return pti_error(options->error, PTQ_ENOTASK, "pool '%s': this program has no task to work with - call ptq_task_register first",
                         pool->name);
    return PTQ_OK;
}

/* Everything but the threads, and it is among the pool's: what cannot be had is told before anybody works. */
static enum ptq_err set_up(ptq_pool *pool, struct pti_crew *crew)
{
    int error = pti_event_new(false, &crew->event);
    if (error != 0)
        return pti_err_from_errno(error);
    (void)pthread_mutex_lock(&pool->mutex);
    enum ptq_err err = pti_staff_begin(pool);
    if (err == PTQ_OK && pti_gather_add(&pool->staff.gather, crew->event) != 0)
        err = PTQ_ENOMEM;
    if (err == PTQ_OK) {
        crew->next = pool->staff.crew;
        pool->staff.crew = crew;
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return err;
}

static int start_all(ptq_pool *pool, struct pti_crew *crew, unsigned count, const struct ptq_spawn_options *options)
{
    unsigned started = 0;
    int error = 0;
    while (error == 0 && started < count) {
        struct hand *hand = &crew->hands[started];
        hand->crew = crew;
        hand->worker = (struct pti_worker){.pool = pool, .slot = started, .count = count, .unseen = options->no_status,
                                           .record = options->record};
        (void)snprintf(hand->worker.name, sizeof hand->worker.name, "%.50s-%u", options->name != NULL ? options->name : "thread", started);
        error = start_one(hand);
        started += error == 0;
    }
    (void)pthread_mutex_lock(&pool->mutex);
    crew->count = started; /* also where some are missing: they work, and end with the pool */
    (void)pthread_mutex_unlock(&pool->mutex);
    pti_event_set(crew->event); /* one may have ended before it was counted */
    return error;
}

enum ptq_err pti_crew_spawn(ptq_pool *pool, const struct ptq_spawn_options *options)
{
    enum ptq_err err = check(pool, options);
    if (err != PTQ_OK)
        return err;
    unsigned count = options->count != 0 ? options->count : pti_processors();
    struct pti_crew *crew = calloc(1, sizeof *crew + count * sizeof(struct hand));
    if (crew == NULL)
        return pti_error(options->error, PTQ_ENOMEM, "pool '%s': no memory for %u workers", pool->name, count);
    crew->event = -1;
    err = set_up(pool, crew);
    if (err != PTQ_OK) {
        if (crew->event >= 0)
            (void)close(crew->event);
        free(crew);
        return pti_error(options->error, err, "pool '%s': no thread was started: %s", pool->name, ptq_strerror(err));
    }
    err = pti_err_from_errno(start_all(pool, crew, count, options));
    if (err != PTQ_OK)
        return pti_error(options->error, err, "pool '%s': %u of %u threads could be started: %s", pool->name, crew->count, count,
                         ptq_strerror(err));
    return PTQ_OK;
}

void pti_crew_tend(struct pti_staff *staff)
{
    for (const struct pti_crew *crew = staff->crew; crew != NULL; crew = crew->next)
        pti_event_clear(crew->event);
}

unsigned pti_crew_running(const struct pti_staff *staff)
{
    unsigned running = 0;
    for (const struct pti_crew *crew = staff->crew; crew != NULL; crew = crew->next)
        for (unsigned i = 0; i < crew->count; i++)
            running += pti_load_acquire(&crew->hands[i].ended) == 0;
    return running;
}

enum ptq_err pti_crew_failure(const struct pti_staff *staff)
{
    for (const struct pti_crew *crew = staff->crew; crew != NULL; crew = crew->next)
        for (unsigned i = 0; i < crew->count; i++) {
            const struct hand *hand = &crew->hands[i];
            if (pti_load_acquire(&hand->ended) != 0 && hand->why != PTQ_OK && hand->why != PTQ_EINTR && hand->why != PTQ_EGONE)
                return hand->why;
        }
    return PTQ_OK;
}

void pti_crew_end(ptq_pool *pool)
{
    bool ours = pool->generation == pti_fork_generation(); /* a forked child has none of the threads */
    while (pool->staff.crew != NULL) {
        struct pti_crew *crew = pool->staff.crew;
        if (ours)
            join_all(pool, crew);
        pool->staff.crew = crew->next;
        if (crew->event >= 0)
            (void)close(crew->event);
        free(crew);
    }
}
