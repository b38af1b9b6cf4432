/* order.c -- results in ticket order: the getter.
 *
 * Taking from the head of <pool>.done is ticket order; what is here is the rest of it.
 *
 * Law of the window: jobs may be leased below limit = (oldest result not yet done, else the next ticket) + window, and only
 * the getter raises it: before it waits, and now and then when a result is done.  So at most `window` results exist, done has
 * a block for each, and no worker holds a result that it may not hand in.
 */
#include <stdlib.h>
#include <time.h>

#include "base/time.h"
#include "bus/bus.h"
#include "pool/order_own.h"

/* In so many parts of a window the limit moves while the getter need not wait: each may cost a journey to the home. */
#define STEPS 4

void pti_order_init(struct pti_order *order)
{
    order->gather = PTI_GATHER_NONE;
}

void pti_order_fini(ptq_pool *pool)
{
    struct pti_order *order = &pool->order;
    pti_results_free(&order->out);
    pti_results_free(&order->ahead);
    pti_tickets_fini(&order->came);
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
enum ptq_err pti_order_raise_limit(ptq_pool *pool, uint64_t step)
{
    if (pool->unordered)
        return PTQ_OK;
    (void)pthread_mutex_lock(&pool->mutex);
    enum ptq_err err = PTQ_OK;
    uint64_t limit = oldest(&pool->order) + pool->window;
    if (pool->order.limit == 0 || pti_position_compare(limit, pool->order.limit + step) >= 0) {
        pti_claims_tell(pool, limit);
        err = pti_queue_limit(pool->jobs, limit);
        if (err == PTQ_OK)
            pool->order.limit = limit;
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return err;
}

/* Holds this handle so many results that the next one cannot even be begun? */
bool pti_order_is_full(ptq_pool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    uint64_t limit = oldest(&pool->order) + pool->window;
    bool full = pool->unordered ? pool->order.out.count >= pti_unordered_most(pool)
                                : pti_position_compare(pool->order.next, limit) >= 0;
    (void)pthread_mutex_unlock(&pool->mutex);
    return full;
}

enum ptq_err pti_order_done(ptq_pool *pool, struct ptq_result *result)
{
    (void)pthread_mutex_lock(&pool->mutex);
    pti_results_drop(&pool->order.out, result);
    (void)pthread_mutex_unlock(&pool->mutex);
    if (pool->bus->tells)
        pti_bus_tell("pool", pool->name, "done with ticket %llu", (unsigned long long)result->ticket);
    enum ptq_err err = ptq_ack(result->msg);
    if (result->again != NULL)
        err = ptq_ack(result->again);
    enum ptq_err raised = pti_order_raise_limit(pool, pool->window < STEPS ? 1 : pool->window / STEPS);
    return pti_pool_answer(pool, err != PTQ_OK ? err : raised);
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

/* What was got and is nobody's: on lease, or read ahead, which takes no room in the pool. */
void pti_order_keep(ptq_pool *pool, struct ptq_result *result)
{
    (void)pthread_mutex_lock(&pool->mutex);
    result->kept = true;
    pool->order.kept++;
    if (result->msg == NULL)
        pti_results_append(&pool->order.ahead, result);
    (void)pthread_mutex_unlock(&pool->mutex);
}

/* Under the mutex. */
static struct ptq_result *first_kept(const struct pti_order *order)
{
    struct ptq_result *leased = order->out.first, *ahead = order->ahead.first;
    while (leased != NULL && !leased->kept)
        leased = leased->next;
    if (leased == NULL || ahead == NULL)
        return leased != NULL ? leased : ahead;
    return pti_position_compare(leased->ticket, ahead->ticket) < 0 ? leased : ahead;
}

/* Under the mutex; NULL: nothing. */
static struct ptq_result *take_kept(struct pti_order *order, struct ptq_result *result)
{
    if (result == NULL)
        return NULL;
    order->kept--;
    result->kept = false;
    if (result->msg == NULL)
        pti_results_drop(&order->ahead, result);
    return result;
}

struct ptq_result *pti_order_kept(ptq_pool *pool)
{
    struct pti_order *order = &pool->order;
    (void)pthread_mutex_lock(&pool->mutex);
    struct ptq_result *result = take_kept(order, order->kept != 0 ? first_kept(order) : NULL);
    (void)pthread_mutex_unlock(&pool->mutex);
    return result;
}

static struct ptq_result *find_kept(struct ptq_result *result, uint64_t ticket)
{
    while (result != NULL && !(result->kept && pti_position_is(result->ticket, ticket)))
        result = result->next;
    return result;
}

struct ptq_result *pti_order_kept_at(ptq_pool *pool, uint64_t ticket)
{
    struct pti_order *order = &pool->order;
    (void)pthread_mutex_lock(&pool->mutex);
    struct ptq_result *result = find_kept(order->out.first, ticket);
    result = take_kept(order, result != NULL ? result : find_kept(order->ahead.first, ticket));
    (void)pthread_mutex_unlock(&pool->mutex);
    return result;
}

/* Takes note of where the head is now. */
static void pass(struct pti_order *order, uint64_t ticket)
{
    if (!order->gives || pti_position_compare(ticket, order->next) > 0)
        order->given = ticket;
    order->gives = true;
    order->dozed = false;
    if (pti_position_compare(ticket, order->next) >= 0)
        order->next = ticket + 1;
}

/* Unordered: the ticket says it, be it the same entry again or a job that was done again. */
static bool came_before(ptq_pool *pool, const ptq_msg *msg, uint64_t *ret_ticket)
{
    return pti_unordered_ticket(msg, ret_ticket) && pti_tickets_have(&pool->order.came, *ret_ticket);
}

static bool was_given(ptq_pool *pool, const ptq_msg *msg)
{
    const struct pti_order *order = &pool->order;
    return msg->redelivered && pool->done->port->remote && order->gives &&
           pti_position_compare(msg->position, order->given) >= 0 && pti_position_compare(msg->position, order->next) < 0;
}

/* What this handle gave out already comes again when a session was lost before its ack arrived.  Nobody is to see it twice: who still
 * holds it settles this lease too; else it is settled here. */
static bool is_known(ptq_pool *pool, ptq_msg *msg)
{
    struct pti_order *order = &pool->order;
    uint64_t ticket = msg->position;
    if (pool->unordered ? !came_before(pool, msg, &ticket) : !was_given(pool, msg))
        return false;
    (void)pthread_mutex_lock(&pool->mutex);
    struct ptq_result *held = order->out.first;
    while (held != NULL && !pti_position_is(held->ticket, ticket))
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
    if (!pool->unordered && pti_result_is_end_note(msg)) {
        order->end_note = msg;
        order->ended = true;
        return PTQ_END;
    }
    struct ptq_result *result = pti_result_new(pool, msg);
    if (result == NULL) {
        (void)ptq_nack(msg, 0);
        return PTQ_ENOMEM;
    }
    if (pool->unordered) {
        uint64_t ticket;
        if (pti_unordered_ticket(msg, &ticket)) {
            pti_tickets_add(&order->came, ticket);
            pti_unordered_go_on(pool, ticket);
        }
    }
    (void)pthread_mutex_lock(&pool->mutex);
    pass(order, pool->unordered ? order->next : msg->position); /* unordered, a count */
    pti_results_append(&order->out, result);
    (void)pthread_mutex_unlock(&pool->mutex);
    if (pool->bus->tells)
        pti_bus_tell("pool", pool->name, "get ticket %llu of %s (%lld): %s, %zu bytes%s", (unsigned long long)result->ticket,
                     result->body.worker[0] != 0 ? result->body.worker : "nobody", (long long)result->body.pid,
                     result->kind == PTQ_RESULT_MARKER ? "marker" : ptq_err_name(result->body.code), ptq_result_size(result),
                     result->redelivered ? ", again" : "");
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
        err = pti_order_message(pool, deadline, &msg);
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

enum ptq_err pti_order_get(ptq_pool *pool, int64_t deadline, struct ptq_result **ret_result)
{
    for (;;) {
        enum ptq_err err = get_once(pool, deadline, ret_result);
        int64_t now = pti_now_ns();
        if (!may_pass(err))
            return err;
        if (deadline == PTI_DEADLINE_NOW || now >= deadline)
            return err == PTQ_EINDOUBT ? PTQ_EUNREACHABLE : err;
        pti_staff_tend(pool);
        if (nanosleep(&(struct timespec){.tv_nsec = PTI_ORDER_NAP_NS}, NULL) != 0)
            return PTQ_EINTR;
    }
}

bool pti_order_start(ptq_pool *pool)
{
    uint32_t nobody = 0;
    return pti_cas(&pool->order.getting, &nobody, 1);
}

void pti_order_stop(ptq_pool *pool)
{
    pti_store_seq(&pool->order.getting, 0);
    if (pti_load_seq(&pool->claims.followers) == 0)
        return;
    pti_claims_lock(pool); /* one of them is the next */
    (void)pthread_cond_broadcast(&pool->claims.changed);
    pti_claims_unlock(pool);
}

enum ptq_err ptq_pool_get(ptq_pool *pool, int timeout_ms, struct ptq_result **ret_result)
{
    enum ptq_err err = pti_pool_check(pool);
    if (err != PTQ_OK || ret_result == NULL)
        return err != PTQ_OK ? err : PTQ_EINVAL;
    if (!pti_order_start(pool))
        return PTQ_EBUSY;
    err = pti_route_plain(pool, pti_deadline(timeout_ms), ret_result);
    pti_order_stop(pool);
    return pti_pool_answer(pool, err);
}

enum ptq_err ptq_pool_fd(ptq_pool *pool, int *ret_fd)
{
    enum ptq_err err = pti_pool_check(pool);
    if (err != PTQ_OK || ret_fd == NULL)
        return err != PTQ_OK ? err : PTQ_EINVAL;
    if (!pti_order_start(pool))
        return PTQ_EBUSY;
    err = pti_order_descriptor(pool);
    pti_order_stop(pool);
    if (err == PTQ_OK)
        *ret_fd = pool->order.gather.fd;
    return err;
}

enum ptq_err pti_order_detach(ptq_pool *pool, struct ptq_result *result)
{
    ptq_msg *msg = result->msg != NULL ? pti_result_detach(result) : NULL;
    if (msg == NULL)
        return result->msg != NULL ? PTQ_ENOMEM : PTQ_OK;
    (void)pthread_mutex_lock(&pool->mutex);
    pti_results_drop(&pool->order.out, result);
    (void)pthread_mutex_unlock(&pool->mutex);
    enum ptq_err err = pti_pool_settled(ptq_ack(msg));
    return err != PTQ_OK ? err : pti_order_raise_limit(pool, 1);
}

void pti_order_give_back(ptq_pool *pool, struct ptq_result *result)
{
    (void)pthread_mutex_lock(&pool->mutex);
    pti_results_drop(&pool->order.out, result);
    pool->order.gives = false;
    (void)pthread_mutex_unlock(&pool->mutex);
    if (pool->unordered)
        pti_tickets_remove(&pool->order.came, result->ticket);
    (void)ptq_nack(result->msg, 0);
    free(result);
}

enum ptq_err pti_order_read_ahead(ptq_pool *pool, int64_t deadline)
{
    if (!pti_order_start(pool))
        return PTQ_EBUSY;
    enum ptq_err err = pti_route_ahead(pool, deadline);
    pti_order_stop(pool);
    return err;
}
