/* fast.c -- the operations of queue/port.h for the plain case: true, it is done; false, nothing was, and the general one is asked.
 *
 *      enter      this thread's place is known, nobody closes, and no flag that matters is up
 *      ring/fast.h   the block, the slot, the lease, the ack; ring/sweep.h the same of batches
 *      leave
 *
 * Handles whose queue or options make anything more of a call do not have these (local/port.c).
 */
#include <string.h>

#include "local/verbs.h"
#include "ring/fast.h"
#include "ring/pack.h"
#include "ring/sweep.h"

/* As pti_local_enter.  False: ask that. */
PTI_FAST bool enter(struct pti_local *local, uint32_t flags, struct pti_place **ret_place)
{
    const struct pti_lane_cache *known = &pti_lane_cache[local->serial % PTI_LANE_CACHE];
    struct pti_place *place = known->place;

    if (__builtin_expect(known->serial != local->serial, 0))
        return false;
    pti_store_relaxed(&place->inside, 1); /* closing sets its flag, passes a barrier, and then looks here */
    atomic_signal_fence(memory_order_seq_cst);
    if (__builtin_expect(pti_load_relaxed(&local->closing) != 0 || (pti_load_relaxed(&local->ring.hints->flags) & flags) != 0, 0)) {
        pti_local_leave(place);
        return false;
    }
    *ret_place = place;
    return true;
}

bool pti_fast_put(struct pti_port *port, const void *data, uint32_t size, uint64_t *ret_position)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_ring *ring = &local->ring;
    struct pti_place *place;
    struct pti_lane *lane;
    struct pti_block *b;
    uint64_t before;
    bool done;

    if (__builtin_expect(!enter(local, PTI_FLAG_REMOVED | PTI_FLAG_BATCHED, &place), 0))
        return false;
    lane = &place->lane;
    b = pti_fast_own(ring, lane, &before);
    if (!b) {
        pti_local_leave(place);
        return false;
    }
    if (lane->streams && lane->own_at + PTI_PUTS_AHEAD < lane->own_count)
        pti_fast_ask_for((const char *)b + (size_t)PTI_PUTS_AHEAD * ring->stride, size);
    pti_fast_fill(b, size, 0, 0, lane->index + 1, pti_fast_stamp(ring, lane));
    memcpy(b->payload, data, size);
    done = pti_fast_publish(ring, lane, b, size, before, ret_position);
    if (__builtin_expect(done && !lane->streams, 0)) /* while it travels: a lone message does not wait for them */
        pti_fast_ask_for(pti_block_at(ring, lane->own_first + lane->own_at), size);
    pti_local_leave(place);
    return done;
}

/* May this place take now as if nothing were the matter?  It took before, and need not look for the dead yet. */
static inline bool may_take(const struct pti_place *place)
{
    return __builtin_expect(place->probe_in > 1 && !pti_load_relaxed(&place->unit), 1);
}

static inline void note_taken(struct pti_local *local, struct pti_place *place)
{
    place->probe_in--;
    place->run++;
    place->idle = 0;
    if (__builtin_expect(pti_load_relaxed(&local->ring.hints->get_wait) & PTI_WAIT_BITS, 0))
        pti_local_pass_baton(local, place);
}

_Static_assert(offsetof(struct ptq_msg, sub) == offsetof(struct ptq_msg, size) + 4, "as in a block");

#define NOT_ACKING (PTI_FLAG_REMOVED | PTI_FLAG_NOBARRIER)
#define NOT_TAKING (PTI_FLAG_REMOVED | PTI_FLAG_PAUSED | PTI_FLAG_LIMITED)

/* What is plain, of which this is the first delivery; `both`: its length and sub, as they were checked. */
PTI_FAST void show(struct ptq_msg *msg, struct pti_port *port, uint32_t lane, struct pti_block *b, uint32_t block, uint64_t lease,
                   uint64_t both)
{
    msg->port = port;
    msg->data = b->payload;
    memcpy(&msg->size, &both, sizeof both); /* and sub */
    msg->position = pti_word_position(lease);
    msg->deliveries = 1;
    msg->type = pti_load_relaxed(&b->type);
    msg->kind = 0;
    msg->headers = 0;
    msg->redelivered = false;
    msg->state = PTI_MSG_LEASED;
    msg->block = block;
    msg->lane = lane;
    msg->word = lease;
    msg->unit = NULL;
}

bool pti_fast_take(struct pti_port *port, struct ptq_msg **ret_msg)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_place *place;
    struct pti_block *b = NULL;
    struct ptq_msg *msg;
    uint32_t block;
    uint64_t lease, both;

    if (__builtin_expect(!enter(local, NOT_TAKING, &place), 0))
        return false;
    msg = place->free_msgs;
    if (__builtin_expect(msg && may_take(place), 1))
        b = pti_fast_lease(&local->ring, &place->lane, local->port.item_size, &block, &lease, &both);
    if (__builtin_expect(!b, 0)) {
        pti_local_leave(place);
        return false;
    }
    place->free_msgs = msg->next;
    show(msg, port, place->number, b, block, lease, both);
    note_taken(local, place);
    pti_local_leave(place);
    *ret_msg = msg;
    return true;
}

bool pti_fast_recv(struct pti_port *port, void *buffer, size_t room, size_t *ret_size)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_ring *ring = &local->ring;
    struct pti_place *place;
    struct pti_block *b = NULL;
    uint32_t block, size;
    uint64_t lease, both;

    if (__builtin_expect(!enter(local, NOT_TAKING | NOT_ACKING, &place), 0))
        return false;
    if (__builtin_expect(may_take(place), 1))
        b = pti_fast_lease(ring, &place->lane, room < local->port.item_size ? (uint32_t)room : local->port.item_size, &block, &lease,
                           &both);
    if (__builtin_expect(!b, 0)) {
        pti_local_leave(place);
        return false;
    }
    size = pti_length_of(both);
    if (__builtin_expect(size > 0, 1))
        memcpy(buffer, b->payload, size);
    if (__builtin_expect(!pti_fast_ack(ring, &place->lane, b, block, lease, size), 0))
        (void)pti_ring_ack(&place->lane, block, lease); /* a shared one */
    note_taken(local, place);
    pti_local_leave(place);
    *ret_size = size;
    return true;
}

bool pti_fast_settle(struct pti_port *port, struct ptq_msg *msg)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_ring *ring = &local->ring;
    struct pti_place *place;
    bool done = false;

    if (__builtin_expect(!enter(local, NOT_ACKING, &place), 0))
        return false;
    if (__builtin_expect(msg->lane == place->number && !msg->unit, 1)) {
        struct pti_block *b = pti_block_at(ring, msg->block);

        done = pti_fast_ack(ring, &place->lane, b, msg->block, msg->word, pti_load_relaxed(&b->length));
    }
    if (__builtin_expect(done, 1))
        pti_local_msg_free(place, msg);
    pti_local_leave(place);
    return done;
}

/* ---- many */

size_t pti_fast_settle_many(struct pti_port *port, struct ptq_msg *const *msgs, size_t count)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_ring *ring = &local->ring;
    struct pti_place *place;
    size_t n;

    if (__builtin_expect(!enter(local, NOT_ACKING, &place), 0))
        return 0;
    for (n = 0; n < count; n++) {
        struct ptq_msg *msg = msgs[n];
        struct pti_block *b;

        /* Still one of those that the caller handed in: who is named twice is settled by then. */
        if (__builtin_expect(!msg || msg->port != port || msg->state != PTI_MSG_LEASED, 0))
            break;
        if (__builtin_expect(msg->lane != place->number || msg->unit, 0))
            break;
        b = pti_block_at(ring, msg->block);
        if (__builtin_expect(!pti_fast_ack_quietly(ring, &place->lane, b, msg->block, msg->word, pti_load_relaxed(&b->length)), 0))
            break;
        pti_local_msg_free(place, msg);
    }
    if (n > 0)
        pti_wake_after_store(ring);
    pti_local_leave(place);
    return n;
}

bool pti_fast_put_many(struct pti_port *port, const struct ptq_bytes *items, size_t count, uint64_t *ret_position)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_ring *ring = &local->ring;
    struct pti_place *place;
    struct pti_lane *lane;
    uint64_t slot, bytes = 0;
    uint32_t first;
    bool done = false;

    if (count == 1 || !enter(local, PTI_FLAG_REMOVED, &place))
        return false;
    lane = &place->lane;
    if (pti_sweep_may_put(ring, lane, count, &slot)) {
        first = lane->own_first + lane->own_at;
        for (size_t i = 0; i < count; i++) {
            pti_sweep_element(ring, lane, pti_block_at(ring, first + (uint32_t)i), &items[i], (uint32_t)i, first + (uint32_t)count);
            bytes += items[i].size;
        }
        done = pti_sweep_publish(ring, lane, count, bytes, slot, ret_position);
    }
    pti_local_leave(place);
    return done;
}

/* The last element of a batch: with it the header is freed. */
static __attribute__((noinline)) bool take_last(struct pti_local *local, struct pti_place *place, struct ptq_msg *msg)
{
    struct pti_lane *lane = &place->lane;
    const struct pti_cursor *c = &lane->cursor;
    uint32_t block;
    uint64_t word;

    if (pti_batch_take(lane, c->position, c->header, c->header_word, &block, &word) != PTQ_OK || !pti_ring_judge(lane, block, &word))
        return false;
    if (pti_block_is_pack(pti_block_at(&local->ring, block))) {
        (void)pti_unit_begin(local, place, block, word); /* whoever takes next has it; or it went back */
        return false;
    }
    return pti_local_show(local, place, msg, block, word) == PTQ_OK; /* which is so: no side files here */
}

/* Of the batch at the head. */
static inline size_t take_elements(struct pti_local *local, struct pti_place *place, const struct pti_sweep *sweep, size_t max,
                                   struct ptq_msg **msgs)
{
    struct pti_ring *ring = &local->ring;
    struct pti_lane *lane = &place->lane;
    uint32_t at = lane->cursor.index, room = local->port.item_size;
    enum pti_swept swept = PTI_SWEEP_SKIP;
    struct ptq_msg *msg = place->free_msgs;
    size_t n = 0;

    for (; n < max && at < sweep->last && msg; at++) {
        struct ptq_msg *next = msg->next;
        struct pti_block *b;
        uint64_t both;

        if (__builtin_expect(pti_load_seq(&ring->hints->redelivery) & 1, 0)) /* [R] they come first, here too */
            break;
        swept = pti_sweep_lease(ring, lane, sweep, at, room, &b, &both);
        if (swept == PTI_SWEEP_STOP)
            break;
        if (swept == PTI_SWEEP_SKIP)
            continue;
        show(msg, &local->port, place->number, b, sweep->first + at, sweep->lease, both);
        msgs[n++] = msg;
        msg = next;
    }
    lane->cursor.index = lane->cursor.step = at;
    place->free_msgs = msg;
    if (n < max && at == sweep->last && msg && !(pti_load_seq(&ring->hints->redelivery) & 1)) { /* [R] */
        place->free_msgs = msg->next;
        if (take_last(local, place, msg))
            msgs[n++] = msg;
        else
            pti_local_msg_free(place, msg);
    }
    if (n > 0)
        pti_wake_putters(ring);
    return n;
}

/* Single ones. */
static inline size_t take_singles(struct pti_local *local, struct pti_place *place, size_t max, struct ptq_msg **msgs)
{
    struct ptq_msg *msg;
    uint64_t lease, both;
    uint32_t block;
    size_t n;

    for (n = 0; n < max && (msg = place->free_msgs) != NULL; n++) {
        struct pti_block *b = pti_fast_lease(&local->ring, &place->lane, local->port.item_size, &block, &lease, &both);

        if (!b)
            break;
        place->free_msgs = msg->next;
        show(msg, &local->port, place->number, b, block, lease, both);
        msgs[n] = msg;
    }
    return n;
}

static size_t take_some(struct pti_local *local, struct pti_place *place, size_t max, struct ptq_msg **msgs)
{
    struct pti_sweep sweep;

    if (pti_load_relaxed(&local->ring.hints->next_due) << 16 == 0 && pti_sweep_may_take(&local->ring, &place->lane, &sweep))
        return take_elements(local, place, &sweep, max, msgs);
    return take_singles(local, place, max, msgs);
}

bool pti_fast_take_many(struct pti_port *port, size_t max, struct ptq_msg **msgs, size_t *ret_count)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_place *place;
    size_t count = 0, some;

    if (__builtin_expect(!enter(local, NOT_TAKING, &place), 0))
        return false;
    if (__builtin_expect(may_take(place), 1))
        do {
            some = take_some(local, place, max - count, msgs + count);
            count += some;
        } while (some > 0 && count < max && !pti_load_relaxed(&place->unit)); /* of a pack: its records come first */
    if (count > 0) {
        place->run += (uint32_t)count;
        place->idle = 0;
        place->probe_in--;
        if (count < max && pti_local_take_now(local, place, max - count, msgs + count, &some) == PTQ_OK)
            count += some; /* what is not plain, if that is what comes next */
        if (__builtin_expect(pti_load_relaxed(&local->ring.hints->get_wait) & PTI_WAIT_BITS, 0))
            pti_local_pass_baton(local, place);
    }
    pti_local_leave(place);
    *ret_count = count;
    return count > 0;
}
