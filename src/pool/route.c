/* route.c -- results find those who have claimed them. */
#include "pool/route.h"

#include <stdlib.h>
#include <time.h>

#include "base/time.h"
#include "os/event.h"
#include "pool/pool.h"

#define FOLLOW_NS (50 * PTI_NS_PER_MS) /* a follower looks for himself now and then */

void pti_claims_init(struct pti_claims *claims)
{
    pthread_condattr_t attributes;
    (void)pthread_mutex_init(&claims->mutex, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&claims->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

/* A future that is still held is its holder's, and knows nothing any more.  Under the lock. */
static void orphan(struct pti_claim *claim)
{
    struct ptq_result *result = claim->result;
    claim->pool = NULL;
    claim->result = NULL;
    if (result != NULL && result->msg == NULL) { /* read ahead; on lease it is the pool's */
        free(result->copy);
        free(result);
    }
}

/* What was dropped is the pool's. */
void pti_claims_fini(ptq_pool *pool)
{
    struct pti_claims *claims = &pool->claims;
    pti_claims_lock(pool);
    while (claims->first != NULL) {
        struct pti_claim *claim = claims->first;
        claims->first = claim->next;
        orphan(claim);
        if (claim->dropped)
            free(claim);
    }
    while (claims->done != NULL) {
        struct pti_claim *claim = claims->done;
        claims->done = claim->next;
        orphan(claim);
    }
    pti_claims_unlock(pool);
    (void)pthread_cond_destroy(&claims->changed);
    (void)pthread_mutex_destroy(&claims->mutex);
}

void pti_claims_lock(ptq_pool *pool)
{
    (void)pthread_mutex_lock(&pool->claims.mutex);
}

bool pti_claims_exist(ptq_pool *pool)
{
    pti_claims_lock(pool);
    bool exist = pool->claims.first != NULL;
    pti_claims_unlock(pool);
    return exist;
}

void pti_claims_unlock(ptq_pool *pool)
{
    (void)pthread_mutex_unlock(&pool->claims.mutex);
}

/* Tickets grow, so it is the last; but for one that was long in doubt. */
void pti_claims_add(struct pti_claim *claim, uint64_t ticket)
{
    struct pti_claims *claims = &claim->pool->claims;
    struct pti_claim *after = claims->last;
    claim->ticket = ticket;
    while (after != NULL && pti_position_compare(after->ticket, ticket) > 0)
        after = after->previous;
    claim->previous = after;
    claim->next = after != NULL ? after->next : claims->first;
    *(claim->next != NULL ? &claim->next->previous : &claims->last) = claim;
    *(after != NULL ? &after->next : &claims->first) = claim;
}

void pti_claims_doubt(struct pti_claim *claim, bool in_doubt)
{
    if (claim->in_doubt != in_doubt)
        claim->pool->claims.doubts += in_doubt ? 1u : -1u;
    claim->in_doubt = in_doubt;
}

static void unlink_claim(struct pti_claims *claims, struct pti_claim *claim)
{
    *(claim->next != NULL ? &claim->next->previous : &claims->last) = claim->previous;
    *(claim->previous != NULL ? &claim->previous->next : &claims->first) = claim->next;
}

static void link_done(struct pti_claims *claims, struct pti_claim *claim)
{
    claim->previous = NULL;
    claim->next = claims->done;
    if (claims->done != NULL)
        claims->done->previous = claim;
    claims->done = claim;
}

static void unlink_done(struct pti_claims *claims, struct pti_claim *claim)
{
    *(claim->previous != NULL ? &claim->previous->next : &claims->done) = claim->next;
    if (claim->next != NULL)
        claim->next->previous = claim->previous;
}

bool pti_claim_is_done(const struct pti_claim *claim)
{
    return pti_load_acquire(&claim->done) != 0;
}

/* -- sinks ---------------------------------------------------------------------------------------------------- */

static void pour(struct pti_sink *sink, struct pti_claim *claim)
{
    claim->next_in_sink = NULL;
    if (sink->last != NULL)
        sink->last->next_in_sink = claim;
    else
        sink->first = claim;
    sink->last = claim;
    claim->in_sink = true;
    pti_store_release(&sink->count, pti_load_relaxed(&sink->count) + 1); /* under the lock */
}

static void pour_out(struct pti_sink *sink, const struct pti_claim *claim)
{
    struct pti_claim **link = &sink->first, *last = NULL;
    while (*link != NULL && *link != claim) {
        last = *link;
        link = &last->next_in_sink;
    }
    *link = claim->next_in_sink;
    if (sink->last == claim)
        sink->last = last;
    pti_store_relaxed(&sink->count, pti_load_relaxed(&sink->count) - 1); /* under the lock */
}

struct pti_claim *pti_sink_take(ptq_pool *pool, struct pti_sink *sink)
{
    pti_claims_lock(pool);
    struct pti_claim *claim = sink->first;
    if (claim != NULL) {
        sink->first = claim->next_in_sink;
        claim->in_sink = false;
        pti_store_relaxed(&sink->count, pti_load_relaxed(&sink->count) - 1); /* under the lock */
    }
    if (sink->first == NULL)
        sink->last = NULL;
    pti_claims_unlock(pool);
    return claim;
}

bool pti_sink_has_some(void *sink)
{
    return pti_load_acquire(&((struct pti_sink *)sink)->count) != 0;
}

/* -- routing -------------------------------------------------------------------------------------------------- */

/* Under the lock: whose is this ticket?  Results come in the order of tickets, so it is one of the first. */
static struct pti_claim *find_claim(struct pti_claims *claims, uint64_t ticket)
{
    struct pti_claim *claim = claims->first;
    while (claim != NULL && pti_position_compare(claim->ticket, ticket) < 0)
        claim = claim->next;
    return claim != NULL && pti_position_is(claim->ticket, ticket) ? claim : NULL;
}

/* Under the lock: hands it over.  What is not wanted any more is left to the caller: true. */
static bool settle(struct pti_claims *claims, struct pti_claim *claim, struct ptq_result *result)
{
    unlink_claim(claims, claim);
    if (claim->untold)
        claims->untold--;
    if (claim->dropped) {
        free(claim);
        return true;
    }
    bool wanted = !claim->cancelled;
    link_done(claims, claim);
    claim->untold = false;
    claim->result = wanted ? result : NULL;
    if (claim->sink != NULL)
        pour(claim->sink, claim);
    pti_store_release(&claim->done, 1);
    if (claim->event >= 0)
        pti_event_set(claim->event);
    (void)pthread_cond_broadcast(&claims->changed);
    return !wanted;
}

/* Gives the result to who has claimed it; false: it is nobody's. */
static bool give(ptq_pool *pool, struct ptq_result *result)
{
    bool unwanted = false;
    pti_claims_lock(pool);
    struct pti_claim *claim = find_claim(&pool->claims, result->ticket);
    if (claim != NULL)
        unwanted = settle(&pool->claims, claim, result);
    else
        unwanted = pti_load_relaxed(&pool->claims.drops_others) != 0 && pool->claims.doubts == 0;
    pti_claims_unlock(pool);
    if (unwanted)
        (void)ptq_result_done(result);
    return claim != NULL || unwanted;
}

/* What a map that runs alone would have thrown away but for a doubt. */
static void drop_kept(ptq_pool *pool)
{
    struct ptq_result *result = NULL;
    while (pti_load_relaxed(&pool->claims.drops_others) != 0 && (result = pti_order_kept(pool)) != NULL)
        if (!give(pool, result)) {
            pti_order_keep(pool, result);
            return;
        }
}

void pti_route_kept(ptq_pool *pool, uint64_t ticket)
{
    struct ptq_result *result = pti_order_kept_at(pool, ticket);
    if (result != NULL && !give(pool, result))
        pti_order_keep(pool, result);
    drop_kept(pool);
}

void pti_claim_forget(struct pti_claim *claim)
{
    if (claim->pool == NULL || !claim->in_doubt)
        return;
    pti_claims_lock(claim->pool);
    pti_claims_doubt(claim, false);
    pti_claims_unlock(claim->pool);
    drop_kept(claim->pool);
}

/* Nobody's, as it seemed.  Law: whoever claims looks among what is kept, and whoever keeps looks for the claim, each after his own
 * deed: one of them finds the other. */
static void keep(ptq_pool *pool, struct ptq_result *result)
{
    uint64_t ticket = result->ticket; /* from then on it may be anybody's */
    pti_order_keep(pool, result);
    pti_claims_lock(pool);
    bool claimed = find_claim(&pool->claims, ticket) != NULL;
    pti_claims_unlock(pool);
    if (claimed)
        pti_route_kept(pool, ticket);
}

enum ptq_err pti_route_one(ptq_pool *pool, int64_t deadline)
{
    struct ptq_result *result = NULL;
    enum ptq_err err = pti_order_get(pool, deadline, &result);
    if (err == PTQ_OK && !give(pool, result))
        keep(pool, result);
    return err;
}

enum ptq_err pti_route_plain(ptq_pool *pool, int64_t deadline, struct ptq_result **ret_result)
{
    for (;;) {
        struct ptq_result *result = pti_order_kept(pool);
        enum ptq_err err = result == NULL ? pti_order_get(pool, deadline, &result) : PTQ_OK;
        if (err != PTQ_OK)
            return err;
        if (give(pool, result))
            continue;
        *ret_result = result;
        return PTQ_OK;
    }
}

enum ptq_err pti_route_ahead(ptq_pool *pool, int64_t deadline)
{
    struct ptq_result *result = NULL;
    enum ptq_err err = pti_order_get(pool, deadline, &result);
    if (err != PTQ_OK)
        return err;
    err = pti_order_detach(pool, result);
    if (err == PTQ_ENOMEM) {
        pti_order_give_back(pool, result);
        return err;
    }
    if (!give(pool, result))
        keep(pool, result);
    return err;
}

/* -- waiting -------------------------------------------------------------------------------------------------- */

/* Another thread gets: waits until it tells something, or leaves off. */
static void follow(ptq_pool *pool, bool (*is_there)(void *context), void *context, int64_t deadline)
{
    struct pti_claims *claims = &pool->claims;
    int64_t until = pti_now_ns() + FOLLOW_NS;
    until = until < deadline ? until : deadline;
    struct timespec time = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
    (void)pti_fetch_add_seq(&claims->followers, 1);
    pti_claims_lock(pool);
    if (!is_there(context) && pti_load_seq(&pool->order.getting) != 0)
        (void)pthread_cond_timedwait(&claims->changed, &claims->mutex, &time);
    pti_claims_unlock(pool);
    (void)pti_fetch_add_seq(&claims->followers, UINT32_MAX);
}

enum ptq_err pti_route_until(ptq_pool *pool, bool (*is_there)(void *context), void *context, int64_t deadline)
{
    enum ptq_err err = PTQ_OK;
    while (!is_there(context)) {
        if (err != PTQ_OK)
            return err;
        if (pti_order_start(pool)) {
            if (!is_there(context))
                err = pti_route_one(pool, deadline);
            pti_order_stop(pool);
            continue;
        }
        if (deadline == PTI_DEADLINE_NOW)
            return PTQ_EMPTY;
        if (pti_now_ns() >= deadline)
            return PTQ_TIMEDOUT;
        follow(pool, is_there, context, deadline);
    }
    return PTQ_OK;
}

/* -- giving up ------------------------------------------------------------------------------------------------ */

/* PTQ_FULL: it cannot be said yet; what stands beyond the limit cannot begin yet either. */
static enum ptq_err tell(struct pti_claim *claim)
{
    return pti_pool_place_first(claim->pool, claim->ticket, PTQ_EABORTED, "the job was cancelled by who had submitted it");
}

void pti_claims_tell(ptq_pool *pool, uint64_t limit)
{
    struct pti_claims *claims = &pool->claims;
    pti_claims_lock(pool);
    for (struct pti_claim *claim = claims->first; claims->untold != 0 && claim != NULL; claim = claim->next) {
        if (pti_position_compare(claim->ticket, limit) >= 0)
            break;
        if (!claim->untold || tell(claim) == PTQ_FULL)
            continue;
        claim->untold = false;
        claims->untold--;
    }
    pti_claims_unlock(pool);
}

/* Under the lock. */
static enum ptq_err give_up(struct pti_claim *claim)
{
    if (pti_claim_is_done(claim))
        return PTQ_EALREADY;
    if (claim->cancelled)
        return PTQ_OK;
    enum ptq_err err = claim->pool->unordered ? PTQ_OK : tell(claim); /* unordered there is no place to say it */
    if (err == PTQ_ELATE)
        return PTQ_EALREADY;
    if (err != PTQ_OK && err != PTQ_FULL)
        return err;
    claim->cancelled = true;
    claim->untold = err == PTQ_FULL;
    claim->pool->claims.untold += claim->untold;
    if (claim->event >= 0)
        pti_event_set(claim->event);
    return PTQ_OK;
}

enum ptq_err pti_claim_cancel(struct pti_claim *claim)
{
    ptq_pool *pool = claim->pool;
    if (pool == NULL) /* closed before */
        return PTQ_EGONE;
    (void)pthread_mutex_lock(&pool->mutex); /* the limit stays where it is */
    pti_claims_lock(pool);
    enum ptq_err err = give_up(claim);
    pti_claims_unlock(pool);
    (void)pthread_mutex_unlock(&pool->mutex);
    return err;
}

void pti_claim_drop(struct pti_claim *claim)
{
    ptq_pool *pool = claim->pool;
    if (pool == NULL) { /* closed before */
        free(claim);
        return;
    }
    pti_claims_lock(pool);
    bool is_done = pti_claim_is_done(claim);
    claim->dropped = true;
    if (is_done)
        unlink_done(&pool->claims, claim);
    if (claim->in_sink)
        pour_out(claim->sink, claim);
    claim->sink = NULL;
    claim->event = -1;
    pti_claims_unlock(pool);
    if (!is_done)
        return;
    (void)ptq_result_done(claim->result);
    free(claim);
}
