/* stats.c -- what a person is told about a pool. */
#include <ptq/metrics.h>

#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "bus/bus.h"
#include "pool/pool.h"

#define ENDPOINTS_MAX 256
#define SHOWN_MAX 64

/* -- the head of the line ------------------------------------------------------------------------------------- */

/* Counts what nobody has got yet: next to each other from the head, and behind a gap. */
struct row {
    uint64_t next, ready, held;
};

static bool count_row(const struct ptq_view_msg *msg, void *context)
{
    struct row *row = context;
    struct pti_result body;
    if (msg->state == PTQ_VIEW_LEASED)
        return true;
    if (msg->kind == PTI_KIND_ERROR && pti_result_read(msg->data, msg->size, &body) && body.code == PTQ_END)
        return true; /* the word of the end is no result */
    if (pti_position_compare(msg->position, row->next) > 0) {
        row->held++;
        return true;
    }
    if (pti_position_is(msg->position, row->next))
        row->next++;
    row->ready++; /* before the head stands what a getter had and did not finish */
    return true;
}

static void count_results(ptq_pool *pool, const struct ptq_queue_stats *done, struct ptq_pool_stats *stats)
{
    struct row row = {.next = stats->head};
    ptq_view *view;
    if (pool->done->port->remote || ptq_view_open(pool->bus, pool->done->name, NULL, &view) != PTQ_OK) {
        uint64_t missing = stats->submitted - stats->got; /* the word of the end is no result */
        stats->held = done->ready < missing ? done->ready : missing; /* which of them are next cannot be seen from here */
        return;
    }
    enum ptq_err ignored = ptq_view_peek(view, count_row, &row);
    (void)ignored;
    ptq_view_close(view);
    stats->ready = row.ready;
    stats->held = row.held;
}

/* Our own workers say what they have in hand. */
static bool is_with_staff(ptq_pool *pool, uint64_t ticket, int64_t *ret_pid, int64_t *ret_since_ns)
{
    bool found = false;
    (void)pthread_mutex_lock(&pool->mutex);
    for (unsigned i = 0; i < pool->staff.count && !found; i++) {
        struct pti_supervisor *team = pool->staff.teams[i];
        for (unsigned slot = 0; slot < pti_supervisor_count(team) && !found; slot++) {
            const struct pti_child *child = pti_supervisor_child(team, slot);
            const struct pti_status *status = pti_supervisor_status(team, slot);
            found = child->state == PTI_CHILD_RUNNING && pti_load_acquire(&status->busy_with) == ticket + 1;
            if (found) {
                *ret_pid = child->pid;
                *ret_since_ns = pti_load_relaxed(&status->since_ns); /* for display */
            }
        }
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return found;
}

/* Workers of other programs of this host say so in the roster. */
static bool is_on_roster(ptq_pool *pool, uint64_t ticket, int64_t *ret_pid, int64_t *ret_since_ns)
{
    struct ptq_worker_status workers[SHOWN_MAX];
    size_t count = 0;
    if (ptq_pool_workers(pool, workers, SHOWN_MAX, &count) != PTQ_OK)
        return false;
    for (size_t i = 0; i < count && i < SHOWN_MAX; i++) {
        if (!workers[i].has_job || !pti_position_is(workers[i].ticket, ticket))
            continue;
        *ret_pid = workers[i].pid;
        *ret_since_ns = pti_now_ns() - (int64_t)workers[i].since_ns;
        return true;
    }
    return false;
}

/* The rest is known by the lowest position that they hold. */
static bool is_with_others(ptq_pool *pool, uint64_t ticket, int64_t *ret_pid)
{
    struct ptq_view_endpoint endpoints[ENDPOINTS_MAX];
    ptq_view *view;
    size_t count = 0;
    bool found = false;
    if (pool->jobs->port->remote || ptq_view_open(pool->bus, pool->jobs->name, NULL, &view) != PTQ_OK)
        return false;
    if (ptq_view_endpoints(view, endpoints, ENDPOINTS_MAX, &count) == PTQ_OK)
        for (size_t i = 0; i < count && i < ENDPOINTS_MAX && !found; i++) {
            found = endpoints[i].leased > 0 && endpoints[i].oldest_position == ticket;
            if (found)
                *ret_pid = endpoints[i].pid;
        }
    ptq_view_close(view);
    return found;
}

static void find_head(ptq_pool *pool, struct ptq_pool_stats *stats)
{
    int64_t now = pti_now_ns(), since;
    (void)pthread_mutex_lock(&pool->mutex);
    if (pool->head_since_ns == 0 || pool->head_seen != stats->head) {
        pool->head_seen = stats->head;
        pool->head_since_ns = now;
    }
    since = pool->head_since_ns;
    (void)pthread_mutex_unlock(&pool->mutex);
    stats->head_ms = -1;
    if (stats->ready != 0)
        return;
    if (is_with_staff(pool, stats->head, &stats->head_pid, &since) ||
        is_on_roster(pool, stats->head, &stats->head_pid, &since) || is_with_others(pool, stats->head, &stats->head_pid))
        stats->head_ms = (now - since) / PTI_NS_PER_MS;
}

enum ptq_err ptq_pool_stats(ptq_pool *pool, struct ptq_pool_stats *ret_stats)
{
    struct ptq_queue_stats jobs, done;
    struct ptq_pool_stats stats = {0};
    enum ptq_err err = pti_pool_check(pool);
    if (err != PTQ_OK || ret_stats == NULL)
        return err != PTQ_OK ? err : PTQ_EINVAL;
    pti_staff_tend(pool);
    err = ptq_queue_stats(pool->jobs, &jobs);
    if (err == PTQ_OK)
        err = ptq_queue_stats(pool->done, &done);
    if (err == PTQ_OK)
        err = pti_queue_head(pool->done, &stats.head);
    if (err != PTQ_OK)
        return pti_pool_answer(pool, err);

    stats.submitted = jobs.put;
    stats.queued = jobs.ready + jobs.delayed;
    stats.running = jobs.leased;
    if (jobs.ended && pti_position_compare(stats.head, jobs.end_position) > 0)
        stats.head = jobs.end_position;
    if (pool->unordered) {
        stats.head = 0;
        stats.ready = done.ready;
    } else {
        count_results(pool, &done, &stats);
    }
    stats.got = done.acked;
    stats.window = pool->window;
    stats.retried = jobs.redelivered;
    stats.stopped = jobs.ended;
    stats.workers = pti_staff_running(pool);
    (void)pthread_mutex_lock(&pool->mutex);
    for (unsigned i = 0; i < pool->staff.count; i++)
        stats.deaths += pti_supervisor_deaths(pool->staff.teams[i]);
    (void)pthread_mutex_unlock(&pool->mutex);
    stats.head_ms = -1;
    if (!pool->unordered)
        find_head(pool, &stats);
    *ret_stats = stats;
    return PTQ_OK;
}

/* -- sentences ------------------------------------------------------------------------------------------------ */

/* How the last of our workers ended, for PTQ_ENOWORKERS. */
static void explain_deaths(ptq_pool *pool, char *buffer, size_t size)
{
    (void)snprintf(buffer, size, "pool '%s': nobody is left to do the work", pool->name);
    (void)pthread_mutex_lock(&pool->mutex);
    enum ptq_err why = pti_crew_failure(&pool->staff);
    if (why != PTQ_OK)
        (void)snprintf(buffer, size, "pool '%s': nobody is left to do the work, for threads of this program could not go on: %s", pool->name,
                       ptq_strerror(why));
    for (unsigned i = 0; i < pool->staff.count; i++) {
        const struct pti_supervisor *team = pool->staff.teams[i];
        const struct pti_child *child = pti_supervisor_child(team, 0);
        const struct pti_status *status = pti_supervisor_status(team, 0);
        if (!pti_supervisor_has_failed(team) || child->state != PTI_CHILD_ENDED)
            continue;
        char how[120];
        pti_exit_text(&child->how, how, sizeof how);
        (void)snprintf(buffer, size,
                       "pool '%s': all workers of this program were given up after %u deaths, the last by %s%s%.*s - mend "
                       "the task and spawn again; the jobs are still there",
                       pool->name, pti_supervisor_deaths(team), how, status->last_words[0] != 0 ? ": " : "",
                       (int)sizeof status->last_words - 1, status->last_words);
    }
    (void)pthread_mutex_unlock(&pool->mutex);
}

const char *ptq_pool_explain(ptq_pool *pool, enum ptq_err err, char *buffer, size_t size)
{
    if (pool == NULL || size == 0)
        return buffer;
    if (err == PTQ_ENOWORKERS)
        explain_deaths(pool, buffer, size);
    else if (err == PTQ_EAGAIN)
        (void)snprintf(buffer, size,
                       "pool '%s': this program holds %llu results, all that the window allows - call ptq_result_done on some, or "
                       "make the pool with a larger window",
                       pool->name, (unsigned long long)pool->window);
    else if (err == PTQ_EBUSY)
        (void)snprintf(buffer, size,
                       "pool '%s' has a getter already: results are got by one handle at a time - wait for it, or end it",
                       pool->name);
    else if (err == PTQ_EMSGSIZE)
        (void)snprintf(buffer, size, "pool '%s': a job may have %u bytes, a result %u - make the pool with larger sizes",
                       pool->name, pool->item_size, pool->result_size);
    else if (err == PTQ_EENDED)
        (void)snprintf(buffer, size, "pool '%s' was stopped: nothing more can be submitted - make a new one", pool->name);
    else if (err == PTQ_EGONE || err == PTQ_EABORTED || err == PTQ_ENOTASK)
        (void)snprintf(buffer, size, "pool '%s': %s", pool->name,
                       err == PTQ_ENOTASK ? "no task of that name is registered in this program" :
                       err == PTQ_EGONE   ? "it was removed" : "it was aborted");
    else
        (void)ptq_queue_explain(pool->jobs, err, 0, buffer, size);
    return buffer;
}
