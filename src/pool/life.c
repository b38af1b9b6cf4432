/* life.c -- stop, abort, join. */
#include <poll.h>

#include "base/time.h"
#include "pool/pool.h"

enum ptq_err ptq_pool_stop(ptq_pool *pool)
{
    enum ptq_err err = pti_pool_check(pool);
    if (err != PTQ_OK)
        return err;
    err = ptq_end(pool->jobs);
    if (err != PTQ_OK && err != PTQ_EALREADY)
        return pti_pool_answer(pool, err);
    pti_store_release(&pool->stopped, 1);
    struct ptq_queue_stats stats;
    if (ptq_queue_stats(pool->jobs, &stats) == PTQ_OK && stats.ready + stats.leased + stats.delayed == 0)
        pti_pool_note_end(pool); /* else the last worker does */
    return PTQ_OK;
}

enum ptq_err ptq_pool_abort(ptq_pool *pool)
{
    enum ptq_err err = pti_pool_check(pool);
    if (err != PTQ_OK)
        return err;
    pti_store_release(&pool->aborted, 1);
    err = ptq_pool_unlink(pool->bus, pool->address, true);
    (void)pthread_mutex_lock(&pool->mutex);
    for (unsigned i = 0; i < pool->staff.count; i++)
        pti_supervisor_end(pool->staff.teams[i], 0);
    (void)pthread_mutex_unlock(&pool->mutex);
    return err;
}

#define NAP_NS (20 * PTI_NS_PER_MS)

/* -- join ----------------------------------------------------------------------------------------------------- */

static bool is_settled(const struct ptq_queue_stats *stats)
{
    return stats->ended && stats->ready + stats->leased + stats->delayed == 0;
}

/* Do jobs stand behind the window, which only reading results moves? */
static bool is_held_up(ptq_pool *pool, const struct ptq_queue_stats *stats)
{
    uint64_t head;
    struct ptq_queue_stats done;
    if (pool->unordered)
        return stats->ended && !is_settled(stats) && ptq_queue_stats(pool->done, &done) == PTQ_OK &&
               (done.ready >= done.capacity || done.leased >= pti_unordered_most(pool));
    if (!stats->ended || stats->ready == 0 || pti_queue_head(pool->done, &head) != PTQ_OK)
        return false;
    return pti_position_compare(stats->end_position, head + pool->window) > 0;
}

/* Is there nothing to take?  Only who has been told so is told of the next change by the descriptor: before, it is readable. */
static bool is_quiet(ptq_pool *pool)
{
    ptq_msg *msg;
    enum ptq_err err = pti_pool_take_job(pool, PTI_DEADLINE_NOW, &msg);
    if (err == PTQ_OK) /* a dead worker's, just now */
        (void)pti_queue_untake(msg);
    return err == PTQ_EMPTY;
}

/* Until something may have changed: a worker ended, or the last job is settled.  While jobs are being leased there is nothing to
 * sleep on, so it looks now and then. */
static enum ptq_err wait_for_change(ptq_pool *pool, const struct ptq_queue_stats *stats, int64_t deadline)
{
    int settled = -1;
    bool all_done = is_settled(stats); /* the ends of our workers are all that is missing */
    bool is_told = !all_done && !pool->unordered && stats->ended && stats->ready == 0 && !pool->jobs->port->remote &&
                   ptq_queue_fd(pool->jobs, PTQ_SIDE_GET, &settled) == PTQ_OK && is_quiet(pool);
    if (!is_told)
        settled = -1;
    int64_t slice = pti_now_ns() + (all_done || is_told ? PTI_POOL_SLICE : NAP_NS); /* what another thread has tended wakes nobody */
    int64_t until = pti_earlier(deadline, slice);
    (void)pthread_mutex_lock(&pool->mutex);
    struct pollfd look[2] = {{.fd = pool->staff.gather.fd, .events = POLLIN}, {.fd = settled, .events = POLLIN}};
    (void)pthread_mutex_unlock(&pool->mutex);
    return poll(look, 2, pti_ms_until(until)) < 0 ? PTQ_EINTR : PTQ_OK;
}

/* One step; PTQ_EMPTY: not yet. */
static enum ptq_err join_step(ptq_pool *pool, int64_t deadline)
{
    struct ptq_queue_stats stats;
    pti_staff_tend(pool);
    enum ptq_err err = ptq_queue_stats(pool->jobs, &stats);
    if (err != PTQ_OK)
        return err;
    if (is_settled(&stats) && !pti_staff_is_alive(pool))
        return PTQ_OK;
    if (!is_settled(&stats) && pti_staff_has_failed(pool))
        return PTQ_ENOWORKERS;
    if (is_held_up(pool, &stats)) {
        int64_t slice = pti_now_ns() + PTI_POOL_SLICE;
        err = pti_order_read_ahead(pool, pti_earlier(slice, deadline));
        if (err != PTQ_EBUSY) /* another process is the getter: waiting is all there is to do */
            return err == PTQ_OK || err == PTQ_TIMEDOUT || err == PTQ_EMPTY || err == PTQ_END ? PTQ_EMPTY : err;
    }
    if (deadline == PTI_DEADLINE_NOW || pti_now_ns() >= deadline)
        return PTQ_TIMEDOUT;
    err = wait_for_change(pool, &stats, deadline);
    return err == PTQ_OK ? PTQ_EMPTY : err;
}

enum ptq_err ptq_pool_join(ptq_pool *pool, int timeout_ms)
{
    enum ptq_err err = pti_pool_check(pool);
    if (err != PTQ_OK)
        return err;
    int64_t deadline = pti_deadline(timeout_ms);
    do {
        err = join_step(pool, deadline);
        if (err == PTQ_EMPTY && pti_now_ns() >= deadline)
            err = PTQ_TIMEDOUT;
    } while (err == PTQ_EMPTY);
    return pti_pool_answer(pool, err);
}
