/* order.c -- results in ticket order: the getter.
 *
 * Taking from the head of <pool>.done is ticket order; what is here is the rest of it.
 *
 * Law of the window: jobs may be leased below limit = (oldest result not yet done, else the next ticket) + window, and only
 * the getter raises it: before it waits, and now and then when a result is done.  So at most `window` results exist, done has
 * a block for each, and no worker holds a result that it may not hand in.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/time.h"
#include "bus/bus.h"
#include "pool/pool.h"

/* In so many parts of a window the limit moves while the getter need not wait: each may cost a journey to the home. */
#define STEPS 4
#define NAP_NS (20 * PTI_NS_PER_MS) /* before a home that is away is asked again */

void pti_order_init(struct pti_order *order)
{
    order->gather = PTI_GATHER_NONE;
}

void pti_order_fini(ptq_pool *pool)
{
    struct pti_order *order = &pool->order;
    pti_results_free(&order->out);
    pti_results_free(&order->ahead);
    pti_waiter_free(order->watch);
    pti_gather_fini(&order->gather);
}

/* -- the window ----------------------------------------------------------------------------------------------- */

/* The oldest ticket whose result takes room.  Under the mutex. */
static uint64_t oldest(const struct pti_order *order)
{
    return order->out.first != NULL ? order->out.first->ticket : order->next;
}

/* Tells the jobs queue, if the limit has grown by at least `step`: who is about to wait tells every step. */
static enum ptq_err raise_limit(ptq_pool *pool, uint64_t step)
{
    (void)pthread_mutex_lock(&pool->mutex);
    enum ptq_err err = PTQ_OK;
    uint64_t limit = oldest(&pool->order) + pool->window;
    if (pool->order.limit == 0 || pti_position_compare(limit, pool->order.limit + step) >= 0) {
        err = pti_queue_limit(pool->jobs, limit);
        if (err == PTQ_OK)
            pool->order.limit = limit;
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return err;
}

/* Holds this handle so many results that the next one cannot even be begun? */
static bool is_full_of_own(ptq_pool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    uint64_t limit = oldest(&pool->order) + pool->window;
    bool full = pti_position_compare(pool->order.next, limit) >= 0;
    (void)pthread_mutex_unlock(&pool->mutex);
    return full;
}

enum ptq_err pti_order_done(ptq_pool *pool, struct ptq_result *result)
{
    (void)pthread_mutex_lock(&pool->mutex);
    pti_results_drop(&pool->order.out, result);
    (void)pthread_mutex_unlock(&pool->mutex);
    enum ptq_err err = ptq_ack(result->msg);
    if (result->again != NULL)
        err = ptq_ack(result->again);
    enum ptq_err raised = raise_limit(pool, pool->window < STEPS ? 1 : pool->window / STEPS);
    return pti_pool_answer(pool, err != PTQ_OK ? err : raised);
}

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
static enum ptq_err make_descriptor(ptq_pool *pool)
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

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Law: no ticket is passed over while its result is there.  Over links an answer may go astray, and what it had leased comes back a
 * moment later than what stands behind it is handed out. */
static enum ptq_err is_early(ptq_pool *pool, const ptq_msg *msg, bool *ret_early)
{
    bool gone = false;
    *ret_early = pool->done->port->remote && pti_position_compare(msg->position, pool->order.next) > 0;
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
    (void)nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    return err != PTQ_OK ? err : PTQ_EMPTY;
}

/* PTQ_EMPTY: look again; PTQ_OK with a message; else the answer. */
static enum ptq_err sleep_briefly(ptq_pool *pool, int64_t until, ptq_msg **ret_msg)
{
    enum ptq_err err = take_in_turn(pool, until, ret_msg);
    return err == PTQ_TIMEDOUT ? PTQ_EMPTY : err;
}

static enum ptq_err sleep_long(ptq_pool *pool, int64_t until)
{
    struct pti_order *order = &pool->order;
    bool by_timer;
    pti_gather_timer(&order->gather, order->look_at_ns);
    int error = pti_gather_sleep(&order->gather, until, &by_timer);
    if (error == 0 && !by_timer)
        pti_look_again(order);
    return error == EINTR ? PTQ_EINTR : PTQ_EMPTY;
}

/* Sleeps on the ring's own word at first, for that is quickest, then on descriptors, through which the kernel tells of deaths. */
static enum ptq_err wait_a_while(ptq_pool *pool, int64_t deadline, ptq_msg **ret_msg)
{
    struct pti_order *order = &pool->order;
    int64_t until = earlier(deadline, order->look_at_ns);
    if (order->looks >= 1 && make_descriptor(pool) == PTQ_OK)
        return sleep_long(pool, until);
    return sleep_briefly(pool, earlier(until, pti_now_ns() + PTI_POOL_SLICE), ret_msg);
}

/* -- get ------------------------------------------------------------------------------------------------------ */

static enum ptq_err claim(ptq_pool *pool, int64_t deadline)
{
    struct pti_order *order = &pool->order;
    if (order->claimed)
        return PTQ_OK;
    enum ptq_err err = pti_queue_claim(pool->done, deadline);
    if (err == PTQ_TIMEDOUT || err == PTQ_EAGAIN)
        return PTQ_EBUSY;
    if (err != PTQ_OK)
        return err;
    uint64_t head;
    pti_queue_sweep(pool->done); /* what a dead getter had comes before all that is fresh */
    err = pti_queue_head(pool->done, &head);
    if (err != PTQ_OK)
        return err; /* the claim is kept; the next call asks again */
    (void)pthread_mutex_lock(&pool->mutex);
    if (!order->gives) /* else it was lost with a session: who had it meanwhile has left a gap, or nothing */
        order->next = head;
    order->claimed = true;
    (void)pthread_mutex_unlock(&pool->mutex);
    return PTQ_OK;
}

/* Somebody has left the jobs queue: if he died, what he had goes back now. */
static void notice_leavers(ptq_pool *pool)
{
    if (pool->order.watch == NULL || !pti_waiter_drain(pool->order.watch))
        return;
    pti_queue_sweep(pool->jobs);
    pti_look_again(&pool->order);
}

/* What can be said before waiting.  PTQ_EMPTY: nothing, so wait. */
static enum ptq_err consider(ptq_pool *pool)
{
    enum pti_seen seen;
    if (pool->order.ended)
        return PTQ_END;
    enum ptq_err err = raise_limit(pool, 1);
    if (err != PTQ_OK)
        return err;
    pti_staff_tend(pool);
    notice_leavers(pool);
    err = pti_look_if_due(pool, &seen);
    if (err != PTQ_OK)
        return err;
    if (seen == PTI_SEEN_PLACED)
        return PTQ_OK;
    if (seen == PTI_SEEN_END) {
        pool->order.ended = true;
        return PTQ_END;
    }
    if (is_full_of_own(pool))
        return PTQ_EAGAIN;
    return pti_staff_has_failed(pool) ? PTQ_ENOWORKERS : PTQ_EMPTY;
}

static enum ptq_err get_message(ptq_pool *pool, int64_t deadline, ptq_msg **ret_msg)
{
    for (;;) {
        enum ptq_err err = take_in_turn(pool, PTI_DEADLINE_NOW, ret_msg);
        if (err != PTQ_EMPTY)
            return err;
        err = consider(pool);
        if (err == PTQ_OK)
            continue;
        if (err != PTQ_EMPTY)
            return err;
        if (deadline == PTI_DEADLINE_NOW) {
            if (pool->order.gather.fd >= 0)
                pti_gather_timer(&pool->order.gather, pool->order.look_at_ns);
            return PTQ_EMPTY;
        }
        if (pti_now_ns() >= deadline)
            return PTQ_TIMEDOUT;
        err = wait_a_while(pool, deadline, ret_msg);
        if (err != PTQ_EMPTY)
            return err;
    }
}

/* A result that join has read ahead; it takes no room in the pool. */
static struct ptq_result *take_ahead(ptq_pool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    struct ptq_result *result = pool->order.ahead.first;
    if (result != NULL)
        pti_results_drop(&pool->order.ahead, result);
    (void)pthread_mutex_unlock(&pool->mutex);
    return result;
}

/* Takes note of where the head is now. */
static void pass(struct pti_order *order, uint64_t ticket)
{
    if (!order->gives || pti_position_compare(ticket, order->next) > 0)
        order->given = ticket;
    order->gives = true;
    if (pti_position_compare(ticket, order->next) >= 0)
        order->next = ticket + 1;
}

/* What this handle gave out already comes again when a session was lost before its ack arrived.  Nobody is to see it twice: who still
 * holds it settles this lease too; else it is settled here. */
static bool is_known(ptq_pool *pool, ptq_msg *msg)
{
    struct pti_order *order = &pool->order;
    bool known = msg->redelivered && pool->done->port->remote && order->gives &&
                 pti_position_compare(msg->position, order->given) >= 0 &&
                 pti_position_compare(msg->position, order->next) < 0;
    if (!known)
        return false;
    (void)pthread_mutex_lock(&pool->mutex);
    struct ptq_result *held = order->out.first;
    while (held != NULL && !pti_position_is(held->ticket, msg->position))
        held = held->next;
    ptq_msg *lost = held != NULL ? held->again : NULL;
    if (held != NULL)
        held->again = msg;
    (void)pthread_mutex_unlock(&pool->mutex);
    ptq_ack(held != NULL ? lost : msg);
    return true;
}

/* Makes a result of a leased entry.  PTQ_END: it is the note of the end; PTQ_ENOMEM gives it back. */
static enum ptq_err deliver(ptq_pool *pool, ptq_msg *msg, struct ptq_result **ret_result)
{
    struct pti_order *order = &pool->order;
    if (pti_result_is_end_note(msg)) {
        order->end_note = msg;
        order->ended = true;
        return PTQ_END;
    }
    struct ptq_result *result = pti_result_new(pool, msg);
    if (result == NULL) {
        (void)ptq_nack(msg, 0);
        return PTQ_ENOMEM;
    }
    (void)pthread_mutex_lock(&pool->mutex);
    pass(order, msg->position);
    pti_results_append(&order->out, result);
    (void)pthread_mutex_unlock(&pool->mutex);
    *ret_result = result;
    return PTQ_OK;
}

static enum ptq_err get_once(ptq_pool *pool, int64_t deadline, struct ptq_result **ret_result)
{
    enum ptq_err err = claim(pool, deadline);
    if (err != PTQ_OK)
        return err;
    ptq_msg *msg = NULL;
    do
        err = get_message(pool, deadline, &msg);
    while (err == PTQ_OK && is_known(pool, msg));
    if (err == PTQ_EBUSY)
        pool->order.claimed = false; /* it was lost with a session, and somebody has it */
    if (err != PTQ_OK)
        return err;
    return deliver(pool, msg, ret_result);
}

/* The home is away, or so was the answer to a question that may be asked twice; the claim is to be had again. */
static bool may_pass(enum ptq_err err)
{
    return err == PTQ_EUNREACHABLE || err == PTQ_EINDOUBT || err == PTQ_EBUSY;
}

static enum ptq_err get_result(ptq_pool *pool, int64_t deadline, struct ptq_result **ret_result)
{
    for (;;) {
        enum ptq_err err = get_once(pool, deadline, ret_result);
        int64_t now = pti_now_ns();
        if (!may_pass(err))
            return err;
        if (deadline == PTI_DEADLINE_NOW || now >= deadline)
            return err == PTQ_EINDOUBT ? PTQ_EUNREACHABLE : err;
        pti_staff_tend(pool);
        if (nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL) != 0)
            return PTQ_EINTR;
    }
}

static bool start_getting(ptq_pool *pool)
{
    uint32_t nobody = 0;
    return pti_cas(&pool->order.getting, &nobody, 1);
}

static void stop_getting(ptq_pool *pool)
{
    pti_store_release(&pool->order.getting, 0);
}

enum ptq_err ptq_pool_get(ptq_pool *pool, int timeout_ms, struct ptq_result **ret_result)
{
    enum ptq_err err = pti_pool_check(pool);
    if (err != PTQ_OK || ret_result == NULL)
        return err != PTQ_OK ? err : PTQ_EINVAL;
    if (!start_getting(pool))
        return PTQ_EBUSY;
    struct ptq_result *ahead = take_ahead(pool);
    if (ahead != NULL)
        *ret_result = ahead;
    else
        err = get_result(pool, pti_deadline(timeout_ms), ret_result);
    stop_getting(pool);
    return pti_pool_answer(pool, err);
}

enum ptq_err ptq_pool_fd(ptq_pool *pool, int *ret_fd)
{
    enum ptq_err err = pti_pool_check(pool);
    if (err != PTQ_OK || ret_fd == NULL)
        return err != PTQ_OK ? err : PTQ_EINVAL;
    if (!start_getting(pool))
        return PTQ_EBUSY;
    err = make_descriptor(pool);
    stop_getting(pool);
    if (err == PTQ_OK)
        *ret_fd = pool->order.gather.fd;
    return err;
}

/* Moves a result out of the pool into this process's memory. */
static enum ptq_err keep(ptq_pool *pool, struct ptq_result *result)
{
    ptq_msg *msg = pti_result_detach(result);
    if (msg == NULL) {
        (void)pthread_mutex_lock(&pool->mutex);
        pti_results_drop(&pool->order.out, result);
        pool->order.gives = false;
        (void)pthread_mutex_unlock(&pool->mutex);
        (void)ptq_nack(result->msg, 0);
        free(result);
        return PTQ_ENOMEM;
    }
    (void)pthread_mutex_lock(&pool->mutex);
    pti_results_drop(&pool->order.out, result);
    pti_results_append(&pool->order.ahead, result);
    (void)pthread_mutex_unlock(&pool->mutex);
    enum ptq_err err = pti_pool_settled(ptq_ack(msg));
    return err != PTQ_OK ? err : raise_limit(pool, 1);
}

enum ptq_err pti_order_read_ahead(ptq_pool *pool, int64_t deadline)
{
    if (!start_getting(pool))
        return PTQ_EBUSY;
    struct ptq_result *result = NULL;
    enum ptq_err err = get_result(pool, deadline, &result);
    if (err == PTQ_OK)
        err = keep(pool, result);
    stop_getting(pool);
    return err;
}
