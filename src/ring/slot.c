/* slot.c -- the ring proper: one CAS of a slot publishes, one CAS of a block word leases.
 *
 * Guesses (lane->tail, lane->head) lag behind the truth and walk forward over what they find; they never run ahead.
 */

#include "ring/fast.h"
#include "ring/grow.h"
#include "ring/note.h"

#define NAME_EVERY 4096u /* puts, between two looks whether the file still has a name */
/* Walkers are faster than who they follow, and jump by the hints: one that goes on for so long reads nonsense. */
#define WALK_MAX (UINT64_C(1) << 20)

/* ---- in */

bool pti_ring_is_taken(struct pti_lane *lane, uint64_t position, bool *ret_corrupt)
{
    struct pti_ring *ring = lane->ring;
    uint64_t slot, word;
    uint32_t block;

    lane->settled = pti_load_acquire(&ring->hints->head) & ring->position_mask; /* [H] */
    if (pti_diff(ring, lane->settled, position) > 0)
        return true;
    slot = pti_load_acquire(pti_slot_at(ring, position)); /* [P] */
    if (pti_slot_lap(slot) != pti_lap(ring, position))
        return true; /* lapped, or before the first position: nothing waits there */
    block = pti_slot_block(slot);
    if (block >= ring->geometry.blocks || !pti_block_is_backed(ring, block)) {
        /* A fresh slot of the lap before the first names block 0, whatever that holds. */
        *ret_corrupt = block != 0;
        return block == 0;
    }
    word = pti_load_seq(&pti_block_at(ring, block)->word); /* [L, W] */
    if (pti_word_position(word) != position)
        return true;
    if (pti_word_state(word) == PTI_COMMITH)
        return pti_batch_settle(lane, block, word);
    return pti_word_state(word) != PTI_COMMIT;
}

static void adopt_tail(struct pti_lane *lane)
{
    uint64_t hint = pti_load_acquire(&lane->ring->hints->tail) & lane->ring->position_mask; /* [T] */

    if (pti_diff(lane->ring, hint, lane->tail) > 0)
        lane->tail = hint;
}

void pti_ring_hint_tail(struct pti_lane *lane)
{
    struct pti_ring *ring = lane->ring;

    pti_store_release(&ring->hints->tail, lane->tail); /* [T] */
    lane->settled = pti_load_acquire(&ring->hints->head) & ring->position_mask; /* [H] */
    lane->streams = pti_diff(ring, lane->tail, lane->settled) > PTI_STREAM + (int64_t)ring->hint_mask; /* the hint lags so far */
    if (__builtin_expect(lane->puts_since_hint % NAME_EVERY == PTI_HINT_SELDOM + 1, 0))
        pti_ring_note_unlinked(ring); /* this message is lost with the queue; the next call says so */
    if (__builtin_expect(!lane->has_put, 0)) {
        lane->has_put = true;
        pti_store_relaxed(&lane->entry->roles, pti_load_relaxed(&lane->entry->roles) | PTI_ROLE_PUT);
    }
}

/* Counted, hinted, told: what follows every publish at a drawn position. */
static inline __attribute__((always_inline)) void note_put(struct pti_lane *lane, uint64_t count, uint64_t bytes, uint64_t position)
{
    struct pti_ring *ring = lane->ring;
    struct pti_entry *entry = lane->entry;

    pti_store_relaxed(&entry->bytes_put, pti_load_relaxed(&entry->bytes_put) + bytes); /* before the count: it closes the line */
    pti_count(&entry->put, count);
    lane->tail = pti_step(ring, position, 1);
    if (lane->puts_since_hint++ % PTI_HINT_EVERY == 0) /* the first, too: many a process puts only one */
        pti_ring_hint_tail(lane);
    pti_wake(ring, &ring->hints->get_wait);
}

void pti_ring_note_put(struct pti_lane *lane, uint64_t count, uint64_t bytes, uint64_t position)
{
    note_put(lane, count, bytes, position);
}

/* Walks to the first unpublished position: PTQ_OK, PTQ_EENDED, PTQ_ECORRUPT.  *ret_slot is what stands there. */
static enum ptq_err walk_to_tail(struct pti_lane *lane, uint64_t *ret_slot)
{
    struct pti_ring *ring = lane->ring;

    for (uint64_t steps = 0;; steps++) {
        uint64_t slot = pti_load_seq(pti_slot_at(ring, lane->tail)); /* [P, W] */
        int64_t ahead = pti_lap_diff(ring, pti_slot_lap(slot), pti_lap(ring, lane->tail));

        if (__builtin_expect(ahead == -1, 1)) {
            *ret_slot = slot;
            return PTQ_OK;
        }
        if (pti_slot_block(slot) == PTI_END_BLOCK)
            return PTQ_EENDED;
        if (ahead < -1)
            return PTQ_ECORRUPT;
        if (steps > WALK_MAX + 4 * ring->geometry.slots)
            return PTQ_ECORRUPT;
        /* What stands here was published: the tail is behind it, however many laps the guess is late. */
        lane->tail = pti_step(ring, lane->tail, (uint64_t)ahead * ring->geometry.slots + 1);
        if (steps % 8 == 7 || ahead > 0)
            adopt_tail(lane);
    }
}

static inline enum ptq_err find_tail(struct pti_lane *lane, uint64_t *ret_slot)
{
    struct pti_ring *ring = lane->ring;
    uint64_t slot = pti_load_seq(pti_slot_at(ring, lane->tail)); /* [P, W] */

    if (__builtin_expect(pti_lap_diff(ring, pti_slot_lap(slot), pti_lap(ring, lane->tail)) == -1, 1)) {
        *ret_slot = slot;
        return PTQ_OK;
    }
    return walk_to_tail(lane, ret_slot);
}

enum ptq_err pti_ring_find_tail(struct pti_lane *lane, uint64_t *ret_slot) { return find_tail(lane, ret_slot); }

/* May an entry stand at lane->tail?  Exact for single messages: what lies `capacity` before it must be taken. */
static inline enum ptq_err check_room(struct pti_lane *lane, uint64_t count)
{
    struct pti_ring *ring = lane->ring;
    uint64_t lapped = pti_step(ring, lane->tail, 0 - ring->geometry.capacity);
    bool corrupt = false;

    if (__builtin_expect(pti_diff(ring, lane->settled, lapped) <= 0, 0) && !pti_ring_is_taken(lane, lapped, &corrupt))
        return corrupt ? PTQ_ECORRUPT : PTQ_FULL;
    if (__builtin_expect(pti_load_relaxed(&ring->hints->flags) & PTI_FLAG_BATCHED, 0) &&
        (!pti_batch_has_room(lane, lane->tail, count) || !pti_batch_has_bytes(lane, lane->tail, lane->want_bytes)))
        return PTQ_FULL;
    return PTQ_OK;
}

/* The loop of every ordinary publish: word, then slot. */
static inline __attribute__((always_inline)) enum ptq_err publish_entry(struct pti_lane *lane, uint32_t block,
                                                                       enum pti_state state, uint64_t count, bool noted,
                                                                       uint64_t *ret_position)
{
    struct pti_ring *ring = lane->ring;
    _Atomic uint64_t *word = &pti_block_at(ring, block)->word;

    for (;;) {
        uint64_t slot, at;
        enum ptq_err err = find_tail(lane, &slot);

        if (__builtin_expect(err == PTQ_OK, 1))
            err = check_room(lane, count);
        if (err != PTQ_OK)
            return err;
        at = lane->tail;
        if (noted)
            pti_note_at(lane->entry, at);
        pti_store_relaxed(word, pti_word(state, lane->index, at, 0)); /* [P] carries it */
        if (pti_cas(pti_slot_at(ring, at), &slot, pti_slot(pti_lap(ring, at), block))) { /* [P, W] in the queue */
            *ret_position = at;
            return PTQ_OK;
        }
    }
}

enum ptq_err pti_ring_publish_entry(struct pti_lane *lane, uint32_t block, enum pti_state state, uint64_t count,
                                    uint64_t *ret_position)
{
    return publish_entry(lane, block, state, count, lane->notes, ret_position);
}

/* Unpublished after all: the old word first, by which the open line is known to be undone. */
static void undo(struct pti_lane *lane, uint32_t block, uint64_t before)
{
    pti_store_release(&pti_block_at(lane->ring, block)->word, before); /* [A] */
    pti_journal_close(lane->entry);
}

static inline __attribute__((always_inline)) enum ptq_err publish(struct pti_lane *lane, uint32_t block, uint64_t before,
                                                                 bool noted, uint64_t *ret_position)
{
    uint32_t size = pti_load_relaxed(&pti_block_at(lane->ring, block)->length);
    uint64_t at;
    enum ptq_err err;

    if (__builtin_expect(lane->ring->geometry.bytes != 0, 0)) {
        lane->want_bytes = size;
        pti_store_release(&lane->entry->journal_bytes, pti_load_relaxed(&lane->entry->bytes_put) + size); /* [J] */
    }
    pti_journal_open(lane->entry, PTI_OP_PUT, block, before, pti_load_relaxed(&lane->entry->put));
    err = publish_entry(lane, block, PTI_COMMIT, 1, noted, &at);
    if (__builtin_expect(err != PTQ_OK, 0)) {
        undo(lane, block, before);
        return err;
    }
    note_put(lane, 1, size, at);
    if (!lane->streams && lane->own_count != 0) {
        /* While the message travels, the next block's lines come: a lone message does not wait for them. */
        const char *next = (const char *)pti_block_at(lane->ring, lane->own_first + lane->own_at);

        pti_prefetch_to_write(next);
        pti_prefetch_to_write(next + PTI_LINE);
    }
    *ret_position = at;
    return PTQ_OK;
}

enum ptq_err pti_ring_publish(struct pti_lane *lane, uint32_t block, uint64_t before, uint64_t *ret_position)
{
    return publish(lane, block, before, false, ret_position);
}

enum ptq_err pti_ring_publish_noted(struct pti_lane *lane, uint32_t block, uint64_t before, uint64_t *ret_position)
{
    return publish(lane, block, before, true, ret_position);
}

bool pti_ring_is_placed(const struct pti_ring *ring, uint64_t position)
{
    uint64_t slot = pti_load_acquire(pti_slot_at(ring, position)); /* [P] */
    return pti_lap_diff(ring, pti_slot_lap(slot), pti_lap(ring, position)) >= 0;
}

enum ptq_err pti_ring_place(struct pti_lane *lane, uint64_t position, uint32_t block, uint64_t before)
{
    struct pti_ring *ring = lane->ring;
    uint64_t slot = pti_load_acquire(pti_slot_at(ring, position)); /* [P] */
    int64_t ahead = pti_lap_diff(ring, pti_slot_lap(slot), pti_lap(ring, position));
    bool corrupt = false;

    if (ahead >= 0)
        return PTQ_ELATE;
    if (ahead < -1 || !pti_ring_is_taken(lane, pti_step(ring, position, 0 - ring->geometry.slots), &corrupt))
        return corrupt ? PTQ_ECORRUPT : PTQ_FULL;
    pti_journal_open(lane->entry, PTI_OP_PUT, block, before, pti_load_relaxed(&lane->entry->put));
    pti_store_relaxed(&pti_block_at(ring, block)->word, pti_word(PTI_COMMIT, lane->index, position, 0)); /* [P] */
    if (!pti_cas(pti_slot_at(ring, position), &slot, pti_slot(pti_lap(ring, position), block))) { /* [P, W] */
        undo(lane, block, before);
        return PTQ_ELATE; /* somebody else's result came first */
    }
    pti_count(&lane->entry->put, 1);
    pti_wake(ring, &ring->hints->get_wait);
    return PTQ_OK;
}

/* ---- out */

/* How many records of a pack are taken by its lease: a unit's are not known before it is closed, which counts them.  The lease's
 * CAS tells whether it was so. */
static uint64_t weigh_pack(struct pti_ring *ring, struct pti_block *b)
{
    return pti_load_relaxed(&b->kind) & PTI_KIND_UNIT ? 0 : pti_pack_look(ring, b).records;
}

bool pti_lease_more(struct pti_lane *lane, uint32_t block, uint64_t word, uint64_t lease)
{
    struct pti_block *b = pti_block_at(lane->ring, block);
    struct pti_entry *entry = lane->entry;
    uint64_t taken = pti_load_relaxed(&entry->taken), bytes = 0;
    bool is_budgeted = lane->ring->geometry.bytes != 0;
    uint64_t by = 1;
    enum pti_operation op = PTI_OP_TAKE;

    if (__builtin_expect(is_budgeted, 0)) {
        bytes = pti_load_relaxed(&entry->bytes_taken) + pti_load_relaxed(&b->length);
        pti_store_release(&entry->journal_bytes, bytes); /* [J] */
    }
    if (pti_lease_is_limited(lane->ring))
        pti_lease_try(lane, block);
    if (__builtin_expect((pti_load_relaxed(&b->kind) & PTI_KIND_PACK) != 0, 0)) {
        by = weigh_pack(lane->ring, b);
        op = PTI_OP_TAKE_MANY;
        pti_store_release(&entry->journal_count, by); /* [J] */
    }
    pti_journal_open(entry, op, block, lease, taken);
    if (!pti_cas(&b->word, &word, lease)) { /* [L, W] leased */
        pti_journal_close(entry);
        if (pti_lease_is_limited(lane->ring))
            pti_lease_missed(lane);
        return false;
    }
    if (__builtin_expect(is_budgeted, 0))
        pti_store_release(&entry->bytes_taken, bytes); /* [J] */
    pti_store_release(&entry->taken, taken + by); /* [J] */
    if (pti_lease_is_limited(lane->ring))
        pti_lease_began(lane, block);
    if (__builtin_expect(by == 0, 0)) {
        pti_journal_close(entry);
        pti_unit_admit(lane, block, lease);
    }
    return true;
}

/* A looker who saw it due, and stood still, may have released it after it was taken and given back for later: its word was the
 * same again. */
static bool is_early(const struct pti_ring *ring, uint32_t block)
{
    uint64_t due = pti_load_relaxed(&pti_block_at(ring, block)->due_us);

    return due != 0 && due > pti_now_us();
}

/* What comes here without having been delivered was parked by its first taker, and bears a time that has come, or was given back as
 * if it had not been taken: then its wait is measured already. */
static void note_given_back(struct pti_lane *lane, uint32_t block)
{
    const struct pti_block *b = pti_block_at(lane->ring, block);

    lane->given_back = pti_load_relaxed(&b->stamp) != 0 && pti_load_relaxed(&b->due_us) == 0 ? block + 1 : 0;
}

/* The redelivery word says there may be some: the lowest (position, sub).  PTQ_EMPTY: none, and the bit is off. */
static enum ptq_err take_redelivered(struct pti_lane *lane, uint64_t seen, uint32_t *ret_block, uint64_t *ret_word)
{
    struct pti_ring *ring = lane->ring;
    uint32_t words = (ring->geometry.blocks + 63) / 64;

    for (;;) {
        uint32_t best = PTI_NO_BLOCK, best_sub = 0;
        uint64_t best_word = 0, lease;

        for (uint32_t i = 0; i < words; i++) {
            uint64_t marks = pti_load_seq(&ring->special[i]); /* [X] */

            for (; marks; marks &= marks - 1) {
                uint32_t block = i * 64 + (uint32_t)__builtin_ctzll(marks);
                uint64_t word;
                uint32_t sub;
                int64_t before;

                if (block >= ring->geometry.blocks || !pti_block_is_backed(ring, block))
                    continue;
                word = pti_load_acquire(&pti_block_at(ring, block)->word); /* [L] */
                if (pti_word_state(word) != PTI_REDELIV)
                    continue;
                sub = pti_load_relaxed(&pti_block_at(ring, block)->sub);
                before = best == PTI_NO_BLOCK
                             ? -1
                             : pti_diff(ring, pti_word_position(word), pti_word_position(best_word));
                if (before < 0 || (before == 0 && sub < best_sub)) {
                    best = block;
                    best_word = word;
                    best_sub = sub;
                }
            }
        }
        if (best == PTI_NO_BLOCK) {
            pti_cas(&ring->hints->redelivery, &seen, seen & ~UINT64_C(1)); /* [R] */
            return PTQ_EMPTY;
        }
        lease = pti_word(PTI_LEASED, lane->index, pti_word_position(best_word), pti_word_redelivered(best_word));
        if (pti_lease_is_limited(ring))
            pti_lease_try(lane, best);
        if (!pti_cas(&pti_block_at(ring, best)->word, &best_word, lease)) { /* [L] */
            if (pti_lease_is_limited(ring))
                pti_lease_missed(lane);
            continue;
        }
        if (pti_lease_is_limited(ring))
            pti_lease_began(lane, best);
        pti_special_clear(ring, best);
        if (__builtin_expect(is_early(ring, best), 0)) {
            pti_ring_carry_out(lane, best, lease, PTI_PARK);
            continue;
        }
        note_given_back(lane, best);
        pti_store_relaxed(&pti_block_at(ring, best)->due_us, 0);
        pti_unit_admit(lane, best, lease);
        if (pti_word_redelivered(lease)) /* else it was parked, or taken and put back */
            pti_store_relaxed(&lane->entry->redelivered, pti_load_relaxed(&lane->entry->redelivered) + 1);
        *ret_block = best;
        *ret_word = lease;
        return PTQ_OK;
    }
}

/* The head guess moves, and now and then the hint. */
static inline void note_head(struct pti_lane *lane, uint64_t next)
{
    lane->head = next;
    if (lane->takes_since_hint++ % PTI_HINT_EVERY == 0) {
        pti_store_release(&lane->ring->hints->head, next); /* [H] */
    }
}

void pti_ring_note_head(struct pti_lane *lane, uint64_t next) { note_head(lane, next); }

static void adopt_head(struct pti_lane *lane)
{
    uint64_t hint = pti_load_acquire(&lane->ring->hints->head) & lane->ring->position_mask; /* [H] */

    if (pti_diff(lane->ring, hint, lane->head) > 0) {
        lane->head = hint;
        lane->cursor.active = false;
    }
}

/* Walks from the guess to the first entry that can be leased.  PTQ_OK, PTQ_EMPTY, PTQ_END (END is at the head). */
static inline __attribute__((always_inline)) enum ptq_err take_fresh(struct pti_lane *lane, bool limited,
                                                                    uint32_t *ret_block, uint64_t *ret_word)
{
    struct pti_ring *ring = lane->ring;

    for (uint64_t steps = 0;; steps++) {
        uint64_t h = lane->head, slot = pti_load_seq(pti_slot_at(ring, h)), word; /* [P, W] */
        int64_t ahead = pti_lap_diff(ring, pti_slot_lap(slot), pti_lap(ring, h));
        uint32_t block = pti_slot_block(slot);

        if (ahead < 0) {
            lane->takes_in_a_row = 0;
            return PTQ_EMPTY;
        }
        if (steps > WALK_MAX + 8 * ring->geometry.slots)
            return PTQ_ECORRUPT;
        if (block == PTI_END_BLOCK && ahead == 0)
            return PTQ_END;
        if (ahead > 0) { /* the guess is more than a lap behind: what was lapped last here is taken, and all before it */
            lane->head = pti_step(ring, h, (uint64_t)(ahead - 1) * ring->geometry.slots + 1);
            adopt_head(lane);
            continue;
        }
        if (limited && pti_diff(ring, h, pti_load_seq(&ring->hints->limit)) >= 0) /* [F, W] */
            return PTQ_EMPTY;
        if (__builtin_expect(block >= ring->geometry.blocks || !pti_block_is_backed(ring, block), 0))
            return PTQ_ECORRUPT;
        if (lane->takes_in_a_row >= PTI_STREAM)
            pti_prefetch_to_write(pti_block_at(ring, block)); /* the lease and the ack will write it */
        __builtin_prefetch(&pti_block_at(ring, block)->payload[PTI_LINE - PTI_BLOCK_HEAD]);
        word = pti_load_acquire(&pti_block_at(ring, block)->word); /* [L] */
        if (pti_word_state(word) == PTI_COMMIT && pti_word_position(word) == h) {
            uint64_t lease = pti_word(PTI_LEASED, lane->index, h, 0);

            if (pti_lease(lane, block, word, lease)) {
                note_head(lane, pti_step(ring, h, 1));
                lane->takes_in_a_row++;
                *ret_block = block;
                *ret_word = lease;
                return PTQ_OK;
            }
            continue; /* look at it again: taken now */
        }
        if (pti_word_state(word) == PTI_COMMITH && pti_word_position(word) == h) {
            enum ptq_err err = pti_batch_take(lane, h, block, word, ret_block, ret_word);

            if (err != PTQ_EMPTY)
                return err;
        }
        lane->head = pti_step(ring, h, 1);
        if (steps % 16 == 15)
            adopt_head(lane);
    }
}

static inline __attribute__((always_inline)) enum ptq_err lease_next(struct pti_lane *lane, bool limited,
                                                                    uint32_t *ret_block, uint64_t *ret_word)
{
    struct pti_ring *ring = lane->ring;

    for (;;) {
        uint64_t seen;
        enum ptq_err err;

        if (__builtin_expect((pti_load_relaxed(&ring->hints->next_due) & ((UINT64_C(1) << 48) - 1)) != 0, 0))
            pti_delay_look(lane);
        seen = pti_load_seq(&ring->hints->redelivery); /* [R] */
        if (__builtin_expect(seen & 1, 0)) {
            err = take_redelivered(lane, seen, ret_block, ret_word);
            if (err == PTQ_EMPTY)
                continue; /* the bit is off, or the word moved on: look again */
        } else {
            err = take_fresh(lane, limited, ret_block, ret_word);
            if ((err == PTQ_EMPTY || err == PTQ_END) && pti_load_seq(&ring->hints->redelivery) != seen) /* [R] */
                continue;
        }
        return err;
    }
}

enum ptq_err pti_ring_lease_next(struct pti_lane *lane, uint32_t *ret_block, uint64_t *ret_word)
{
    return lease_next(lane, pti_load_relaxed(&lane->ring->hints->flags) & PTI_FLAG_LIMITED, ret_block, ret_word);
}

enum ptq_err pti_ring_take(struct pti_lane *lane, uint32_t *ret_block, uint64_t *ret_word)
{
    struct pti_ring *ring = lane->ring;
    uint32_t flags = pti_load_relaxed(&ring->hints->flags);

    if (__builtin_expect(!lane->has_taken, 0)) {
        lane->has_taken = true;
        pti_store_relaxed(&lane->entry->roles, pti_load_relaxed(&lane->entry->roles) | PTI_ROLE_GET);
    }
    if (__builtin_expect(flags & PTI_FLAG_PAUSED, 0))
        return PTQ_EMPTY;
    for (;;) {
        enum ptq_err err = lease_next(lane, flags & PTI_FLAG_LIMITED, ret_block, ret_word);

        if (err != PTQ_OK)
            return err;
        if (__builtin_expect(!pti_ring_judge(lane, *ret_block, ret_word), 0))
            continue;
        /* Space was made in the ring: the taker wakes producers. */
        pti_wake_putters(ring);
        return PTQ_OK;
    }
}

enum ptq_err pti_ring_take_next(struct pti_lane *lane, uint32_t *ret_block, uint64_t *ret_word)
{
    const struct pti_cursor *c = &lane->cursor;

    /* Redeliveries come first, here too; all else about this position was looked at by the take before. */
    if (!c->active || pti_load_seq(&lane->ring->hints->redelivery) & 1) /* [R] */
        return pti_ring_take(lane, ret_block, ret_word);
    if (pti_batch_take(lane, c->position, c->header, c->header_word, ret_block, ret_word) != PTQ_OK)
        return pti_ring_take(lane, ret_block, ret_word);
    if (__builtin_expect(!pti_ring_judge(lane, *ret_block, ret_word), 0))
        return pti_ring_take(lane, ret_block, ret_word);
    return PTQ_OK;
}

bool pti_ring_may_take(struct pti_lane *lane)
{
    struct pti_ring *ring = lane->ring;
    uint64_t slot, due = pti_delay_next(ring);

    if (pti_ring_is_paused(ring))
        return false;
    if (pti_load_seq(&ring->hints->redelivery) & 1) /* [R, W] */
        return true;
    if (due != 0 && due <= pti_now_us())
        return true;
    adopt_head(lane);
    slot = pti_load_seq(pti_slot_at(ring, lane->head)); /* [P, W] */
    if (pti_lap_diff(ring, pti_slot_lap(slot), pti_lap(ring, lane->head)) < 0)
        return false;
    if (pti_slot_block(slot) == PTI_END_BLOCK)
        return pti_ring_is_settled(ring, lane->index);
    if (!(pti_load_relaxed(&ring->hints->flags) & PTI_FLAG_LIMITED))
        return true;
    return pti_diff(ring, lane->head, pti_load_seq(&ring->hints->limit)) < 0; /* [F, W] */
}

bool pti_ring_may_put(struct pti_lane *lane, uint64_t count)
{
    uint64_t slot;
    enum ptq_err err = pti_ring_find_tail(lane, &slot);

    return err != PTQ_OK || check_room(lane, count) != PTQ_FULL; /* an error is an answer too */
}

uint64_t pti_ring_head(struct pti_lane *lane)
{
    adopt_head(lane);
    return pti_ring_head_from(lane->ring, lane->head);
}

uint64_t pti_ring_tail_from(struct pti_ring *ring, uint64_t at)
{
    for (uint64_t steps = 0; steps < 2 * ring->geometry.slots; steps++) {
        uint64_t slot = pti_load_acquire(pti_slot_at(ring, at)); /* [P] */
        int64_t ahead = pti_lap_diff(ring, pti_slot_lap(slot), pti_lap(ring, at));

        if (ahead < 0)
            break;
        at = pti_step(ring, at, (uint64_t)ahead * ring->geometry.slots + 1);
    }
    return at;
}

uint64_t pti_ring_head_from(struct pti_ring *ring, uint64_t at)
{
    for (uint64_t steps = 0; steps < 2 * ring->geometry.slots; steps++) {
        uint64_t slot = pti_load_seq(pti_slot_at(ring, at)), word; /* [P, W] */
        int64_t ahead = pti_lap_diff(ring, pti_slot_lap(slot), pti_lap(ring, at));
        uint32_t block = pti_slot_block(slot);

        if (ahead < 0 || (ahead == 0 && block == PTI_END_BLOCK))
            break;
        if (ahead == 0 && block < ring->geometry.blocks && pti_block_is_backed(ring, block)) {
            word = pti_load_acquire(&pti_block_at(ring, block)->word); /* [L] */
            if (pti_word_position(word) == at &&
                (pti_word_state(word) == PTI_COMMIT || pti_word_state(word) == PTI_COMMITH))
                break;
        }
        at = pti_step(ring, at, ahead > 0 ? (uint64_t)(ahead - 1) * ring->geometry.slots + 1 : 1);
    }
    return at;
}
