/* order_wait.c -- the getter looks for the next result and waits for it: on the ring's word, on descriptors, calmly; and looks after the
 * workers meanwhile. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/time.h"
#include "bus/bus.h"
#include "pool/order_own.h"

#define DOZE_NS (2 * PTI_NS_PER_MS) /* on the word alone, where workers must be watched too */
#define TEND_NS (1 * PTI_NS_PER_MS) /* results that come flow past so long before the workers are looked after */
#define CALM_NS (PTI_NS_PER_MS / 4) /* so late at most are results looked for that come faster than it pays to be woken for each, */
#define CALM_FROM_NS 30000          /* and more slowly than it pays to poll for them */

/* -- waiting -------------------------------------------------------------------------------------------------- */

/* A dead one may have held a job only: its going shows on the file of the jobs. */
static void watch_jobs(ptq_pool *pool)
{
    char file[PTI_FILE_NAME_MAX], path[sizeof pool->bus->path + PTI_FILE_NAME_MAX + 1];
    if (pool->jobs->port->remote || pti_waiter_new(&pool->order.watch) != 0)
        return;
    pti_segment_file(pool->jobs->name, file, sizeof file);
    (void)snprintf(path, sizeof path, "%s/%s", pool->bus->path, file);
    if (pti_waiter_watch(pool->order.watch, path, PTI_WATCH_CLOSE_WRITE) != 0) {
        pti_waiter_free(pool->order.watch);
        pool->order.watch = NULL;
    }
}

/* The descriptor of the whole pool: a result, a look that is due, a leaver, a worker to be tended. */
enum ptq_err pti_order_descriptor(ptq_pool *pool)
{
    struct pti_order *order = &pool->order;
    struct pti_gather gather;
    int done;
    if (order->gather.fd >= 0)
        return PTQ_OK;
    enum ptq_err err = ptq_queue_fd(pool->done, PTQ_SIDE_GET, &done);
    if (err != PTQ_OK)
        return err;
    if (pti_gather_init(&gather) != 0)
        return PTQ_ENOMEM;
    if (order->watch == NULL)
        watch_jobs(pool);
    int watch = order->watch != NULL ? pti_waiter_fd(order->watch) : -1;
    (void)pthread_mutex_lock(&pool->mutex);
    bool whole = pti_gather_add(&gather, done) == 0 && pti_gather_add(&gather, watch) == 0 &&
                 pti_gather_add(&gather, pool->staff.gather.fd) == 0;
    if (whole)
        order->gather = gather;
    (void)pthread_mutex_unlock(&pool->mutex);
    if (whole)
        return PTQ_OK;
    pti_gather_fini(&gather);
    return PTQ_ENOMEM;
}

/* Law: no ticket is passed over while its result is there.  Over links an answer may go astray, and what it had leased comes back a
 * moment later than what stands behind it is handed out. */
static enum ptq_err is_early(ptq_pool *pool, const ptq_msg *msg, bool *ret_early)
{
    bool gone = false;
    *ret_early = pool->done->port->remote && !pool->unordered && pti_position_compare(msg->position, pool->order.next) > 0;
    if (!*ret_early)
        return PTQ_OK;
    enum ptq_err err = pti_queue_census(pool->done, pool->order.next, &gone);
    *ret_early = !gone;
    return err;
}

/* As pti_queue_take; PTQ_EMPTY: what there is has to wait for another. */
static enum ptq_err take_in_turn(ptq_pool *pool, int64_t deadline, ptq_msg **ret_msg)
{
    size_t count;
    bool early;
    enum ptq_err err = pti_queue_take(pool->done, 1, deadline, ret_msg, &count);
    if (err != PTQ_OK)
        return err;
    err = is_early(pool, *ret_msg, &early);
    if (!early)
        return PTQ_OK;
    (void)pti_queue_untake(*ret_msg);
    (void)nanosleep(&(struct timespec){.tv_nsec = PTI_ORDER_NAP_NS}, NULL);
    return err != PTQ_OK ? err : PTQ_EMPTY;
}

/* PTQ_EMPTY: look again; PTQ_OK with a message; else the answer. */
static enum ptq_err sleep_briefly(ptq_pool *pool, int64_t until, ptq_msg **ret_msg)
{
    enum ptq_err err = take_in_turn(pool, until, ret_msg);
    return err == PTQ_TIMEDOUT ? PTQ_EMPTY : err;
}

void pti_order_rouse(struct pti_order *order)
{
    order->roused = true;
    if (order->gather.fd >= 0)
        pti_gather_timer(&order->gather, 0);
}

/* Sets the descriptor to the next look; true: something has happened since the last, so look again at once. */
static bool was_roused(ptq_pool *pool)
{
    struct pti_order *order = &pool->order;
    (void)pthread_mutex_lock(&pool->mutex);
    bool roused = order->roused;
    order->roused = false;
    if (order->gather.fd >= 0)
        pti_gather_timer(&order->gather, order->look_at_ns);
    (void)pthread_mutex_unlock(&pool->mutex);
    return roused;
}

static enum ptq_err sleep_long(ptq_pool *pool, int64_t until)
{
    struct pti_order *order = &pool->order;
    bool by_timer;
    if (was_roused(pool)) {
        pti_look_again(order);
        return PTQ_EMPTY;
    }
    int error = pti_gather_sleep(&order->gather, until, &by_timer);
    if (error == 0 && !by_timer)
        pti_look_again(order);
    return error == EINTR ? PTQ_EINTR : PTQ_EMPTY;
}

/* The death of a worker does not show on the word: where there are some it is slept on for a moment only. */
static bool is_long(const struct pti_order *order, bool watches)
{
    bool looked = order->stuck_at == order->next && order->look_at_ns != 0 && order->looks >= 1;
    return looked || (watches && order->dozed);
}

/* Sleeps on the ring's own word at first, for that is quickest, then on descriptors, through which the kernel tells of deaths. */
static enum ptq_err wait_a_while(ptq_pool *pool, int64_t deadline, ptq_msg **ret_msg)
{
    struct pti_order *order = &pool->order;
    int64_t until = pti_earlier(deadline, order->look_at_ns);
    bool watches = pti_staff_exists(pool);
    if (is_long(order, watches) && pti_order_descriptor(pool) == PTQ_OK)
        return sleep_long(pool, until);
    enum ptq_err err = sleep_briefly(pool, pti_earlier(until, pti_now_ns() + (watches ? DOZE_NS : PTI_POOL_SLICE)), ret_msg);
    order->dozed = err == PTQ_EMPTY;
    return err;
}

/* -- looking --------------------------------------------------------------------------------------------------- */

/* Somebody has left the jobs queue: if he died, what he had goes back now. */
static void notice_leavers(ptq_pool *pool)
{
    if (pool->order.watch == NULL || !pti_waiter_drain(pool->order.watch))
        return;
    pti_queue_sweep(pool->jobs);
    pti_look_again(&pool->order);
}

/* Looks after the workers.  Who gets one result after the other does so now and then, for it takes system calls. */
static void tend(ptq_pool *pool, bool at_once)
{
    struct pti_order *order = &pool->order;
    int64_t now = pti_now_ns();
    if (!at_once && now - order->tended_ns < TEND_NS)
        return;
    order->tended_ns = now;
    pti_staff_tend(pool);
    notice_leavers(pool);
}

/* What can be said before waiting.  PTQ_EMPTY: nothing, so wait. */
static enum ptq_err consider(ptq_pool *pool, int64_t deadline)
{
    enum pti_seen seen;
    if (pool->order.ended)
        return PTQ_END;
    if (pti_load_acquire(&pool->halted) != 0)
        return PTQ_EINTR;
    enum ptq_err err = pti_order_raise_limit(pool, 1);
    if (err != PTQ_OK)
        return err;
    tend(pool, deadline == PTI_DEADLINE_NOW || is_long(&pool->order, true));
    err = pti_look_if_due(pool, &seen);
    if (err != PTQ_OK)
        return err;
    if (seen == PTI_SEEN_PLACED)
        return PTQ_OK;
    if (seen == PTI_SEEN_END)
        return PTQ_END;
    if (pti_order_is_full(pool))
        return PTQ_EAGAIN;
    return pti_staff_has_failed(pool) ? PTQ_ENOWORKERS : PTQ_EMPTY;
}

/* All jobs are done.  What the last of them gave may have been handed in since the look at the results; over links it may have been
 * leased by an answer that went astray.  PTQ_END: nothing is left; PTQ_EMPTY: something will come back. */
static enum ptq_err take_last(ptq_pool *pool, ptq_msg **ret_msg)
{
    bool gone = true;
    if (pool->order.ended)
        return PTQ_END;
    enum ptq_err err = take_in_turn(pool, PTI_DEADLINE_NOW, ret_msg);
    if (err != PTQ_EMPTY)
        return err;
    if (pool->done->port->remote && !pool->unordered)
        err = pti_queue_census(pool->done, pool->order.next, &gone);
    if (err != PTQ_EMPTY && err != PTQ_OK)
        return err;
    pool->order.ended = gone;
    if (gone)
        return PTQ_END;
    pool->order.look_at_ns = pti_now_ns() + PTI_ORDER_NAP_NS;
    return PTQ_EMPTY;
}

/* Jobs that wait for a worker and may be begun, as far as this handle knows: those that it has submitted itself. */
static int64_t count_backlog(ptq_pool *pool)
{
    uint64_t head, end = pti_load_relaxed(&pool->submitted); /* a hint */
    if (end == 0 || pti_queue_head(pool->jobs, &head) != PTQ_OK)
        return 0;
    if (pti_position_compare(end, pool->order.limit) > 0)
        end = pool->order.limit;
    return pti_position_compare(end, head);
}

/* Do its own workers take all the processors there are, so that each time it is woken one of them stands still? */
static bool is_crowded(ptq_pool *pool)
{
    if (pool->order.processors == 0)
        pool->order.processors = pti_processors();
    return pti_staff_running(pool) >= pool->order.processors;
}

/* How long nobody is the worse for not being looked after: while results flow, no longer than half of what the jobs that wait now will
 * wait, and CALM_NS; 0 where none waits.  So a lone result is not kept waiting, and no worker is. */
static int64_t calm_ns(ptq_pool *pool)
{
    struct pti_order *order = &pool->order;
    int64_t now = pti_now_ns(), elapsed = now - order->flow_ns, came = pti_position_compare(order->next, order->flow_from);
    int64_t gap = came > 0 ? elapsed / came : 0; /* from one result to the next */
    order->flow_ns = now;
    order->flow_from = order->next;
    if (gap < CALM_FROM_NS || gap > CALM_NS / 2 || pool->unordered || pool->jobs->port->remote || !is_crowded(pool))
        return 0;
    int64_t calm = count_backlog(pool) * gap / 2;
    return calm < 2 * gap ? 0 : pti_earlier(calm, CALM_NS);
}

/* Being woken for each result costs the workers a tenth of the processors where jobs take 100 us.  PTQ_EMPTY: look again. */
static enum ptq_err keep_calm(int64_t ns)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = ns}, NULL); /* a signal ends it; what it may have been for is looked at next */
    return PTQ_EMPTY;
}

/* PTQ_EMPTY: look again. */
static enum ptq_err wait_until_due(ptq_pool *pool, int64_t deadline, ptq_msg **ret_msg)
{
    if (deadline == PTI_DEADLINE_NOW)
        return was_roused(pool) ? PTQ_EMPTY : PTQ_TIMEDOUT;
    int64_t calm = calm_ns(pool), now = pti_now_ns();
    if (now >= deadline)
        return PTQ_TIMEDOUT;
    return calm > 0 && calm < deadline - now ? keep_calm(calm) : wait_a_while(pool, deadline, ret_msg);
}

/* Once there is a descriptor, a look that finds nothing arms it: whoever hands in next then writes to a file, and the getter reads what
 * came of that, six system calls a result.  So where the word will be slept on anyway, a glance at the slot is enough. */
static bool may_glance(ptq_pool *pool, int64_t deadline)
{
    const struct pti_order *order = &pool->order;
    return deadline != PTI_DEADLINE_NOW && order->gather.fd >= 0 && order->gives && !pool->unordered && !pool->done->port->remote &&
           !is_long(order, true);
}

static enum ptq_err glance(ptq_pool *pool, ptq_msg **ret_msg)
{
    return pti_queue_is_placed(pool->done, pool->order.next) ? take_in_turn(pool, PTI_DEADLINE_NOW, ret_msg) : PTQ_EMPTY;
}

enum ptq_err pti_order_message(ptq_pool *pool, int64_t deadline, ptq_msg **ret_msg)
{
    bool closely = false;
    for (;;) {
        bool glanced = !closely && may_glance(pool, deadline);
        enum ptq_err err = glanced ? glance(pool, ret_msg) : take_in_turn(pool, PTI_DEADLINE_NOW, ret_msg);
        if (err != PTQ_EMPTY)
            return err;
        err = consider(pool, deadline);
        if (err == PTQ_OK)
            continue;
        closely = glanced && (err == PTQ_EAGAIN || (err == PTQ_EMPTY && is_long(&pool->order, true)));
        if (closely)
            continue;
        if (err == PTQ_END)
            err = take_last(pool, ret_msg);
        if (err == PTQ_ENOWORKERS) { /* the last may have handed in just before it died */
            enum ptq_err last = take_in_turn(pool, PTI_DEADLINE_NOW, ret_msg);
            return last == PTQ_EMPTY ? err : last;
        }
        if (err != PTQ_EMPTY)
            return err;
        err = wait_until_due(pool, deadline, ret_msg);
        if (err == PTQ_TIMEDOUT && deadline == PTI_DEADLINE_NOW)
            return PTQ_EMPTY;
        if (err != PTQ_EMPTY)
            return err;
    }
}
