/* look.c -- why does the next ticket not come?
 *
 * It may be a marker that no worker has met, the end, or a job that somebody took out of the queue: then the getter places what
 * is missing itself.  It looks at growing intervals; after the last look it sleeps without a timer until somebody places, leaves
 * or dies.
 */
#include "base/time.h"
#include "pool/pool.h"

static const int64_t looks_ms[] = {20, 250, 500, 1000, 2000}; /* before each look */
#define LOOKS (sizeof looks_ms / sizeof looks_ms[0])

/* Takes the first entry of the jobs, to see what it is.  Only a marker is ours to settle. */
static enum ptq_err look_at_first(ptq_pool *pool, enum pti_seen *ret_seen)
{
    ptq_msg *msg = NULL;
    enum ptq_err err = pti_pool_take_job(pool, PTI_DEADLINE_NOW, &msg);
    if (err == PTQ_END)
        *ret_seen = PTI_SEEN_END;
    if (err != PTQ_OK)
        return err == PTQ_END || err == PTQ_EMPTY || err == PTQ_EINTR ? PTQ_OK : err;

    if (pti_position_compare(msg->position, pool->order.next) < 0)
        return pti_pool_settled(ptq_ack(msg)); /* its result is out; its worker died before the ack */
    if (msg->kind != PTI_KIND_MARKER)
        return pti_pool_settled(pti_queue_untake(msg));
    struct pti_put put = {.data = msg->data, .size = msg->size, .kind = PTI_KIND_MARKER};
    err = pti_queue_place(pool->done, msg->position, &put, PTI_DEADLINE_NOW);
    if (err != PTQ_OK && err != PTQ_ELATE) {
        (void)pti_queue_untake(msg);
        return err == PTQ_FULL ? PTQ_OK : err; /* no block at this moment */
    }
    *ret_seen = PTI_SEEN_PLACED;
    return pti_pool_settled(ptq_ack(msg));
}

static enum ptq_err look_if_lost(ptq_pool *pool, enum pti_seen *ret_seen)
{
    bool lost = false;
    enum ptq_err err = pti_queue_census(pool->jobs, pool->order.next, &lost);
    if (err != PTQ_OK || !lost)
        return err;
    err = pti_pool_place_error(pool, pool->order.next, PTQ_ELOST,
                               "the job is not in the pool any more and has no result: somebody else took it out of the "
                               "queue of jobs");
    if (err == PTQ_OK)
        *ret_seen = PTI_SEEN_PLACED;
    return err == PTQ_FULL ? PTQ_OK : err;
}

/* Unordered: what waits may be a marker that no worker takes, or there is nothing more to come. */
static enum ptq_err look_around(ptq_pool *pool, enum pti_seen *ret_seen)
{
    ptq_msg *msg = NULL;
    enum ptq_err err = pti_pool_take_job(pool, PTI_DEADLINE_NOW, &msg);
    if (err == PTQ_END && pti_unordered_end(pool))
        *ret_seen = PTI_SEEN_END;
    if (err != PTQ_OK)
        return err == PTQ_END || err == PTQ_EMPTY || err == PTQ_EINTR ? PTQ_OK : err;
    if (msg->kind != PTI_KIND_MARKER)
        return pti_pool_settled(pti_queue_untake(msg));
    err = pti_unordered_put_marker(pool, msg, PTI_DEADLINE_NOW);
    if (err != PTQ_OK && err != PTQ_ELATE) {
        (void)pti_queue_untake(msg);
        return err == PTQ_FULL ? PTQ_OK : err;
    }
    *ret_seen = PTI_SEEN_PLACED;
    return pti_pool_settled(ptq_ack(msg));
}

static enum ptq_err look(ptq_pool *pool, bool first_time, enum pti_seen *ret_seen)
{
    uint64_t at;
    *ret_seen = PTI_SEEN_NOTHING;
    if (pool->unordered)
        return look_around(pool, ret_seen);
    enum ptq_err err = pti_queue_head(pool->jobs, &at);
    if (err != PTQ_OK)
        return err;
    if (pti_position_is(at, pool->order.next))
        return look_at_first(pool, ret_seen);
    if (first_time) /* some worker has leased it */
        return PTQ_OK;
    err = look_if_lost(pool, ret_seen);
    if (err != PTQ_OK || *ret_seen != PTI_SEEN_NOTHING)
        return err;
    return look_at_first(pool, ret_seen); /* it may be a marker whose worker died */
}

/* Looks if it is time; a pool that this handle has stopped is looked at without delay. */
enum ptq_err pti_look_if_due(ptq_pool *pool, enum pti_seen *ret_seen)
{
    struct pti_order *order = &pool->order;
    int64_t now = pti_now_ns();
    *ret_seen = PTI_SEEN_NOTHING;
    if (order->stuck_at != order->next || order->look_at_ns == 0) {
        order->stuck_at = order->next;
        order->looks = 0;
        bool at_once = pti_load_relaxed(&pool->stopped) != 0; /* a hint of our own */
        order->look_at_ns = at_once ? now : now + looks_ms[0] * PTI_NS_PER_MS;
    }
    if (now < order->look_at_ns)
        return PTQ_OK;
    enum ptq_err err = look(pool, order->looks == 0, ret_seen);
    order->looks++;
    order->look_at_ns = order->looks < LOOKS ? now + looks_ms[order->looks] * PTI_NS_PER_MS : PTI_DEADLINE_NEVER;
    return err;
}

/* Something has happened: begin to look again. */
void pti_look_again(struct pti_order *order)
{
    order->looks = 1;
    order->look_at_ns = pti_now_ns() + looks_ms[1] * PTI_NS_PER_MS;
}
