/* take.c -- the way out: one CAS of a block's word leases it: what is to be handed out again first, then what the head leads to. */
#include "ring/fast.h"
#include "ring/grow.h"

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

    for (;;) {
        uint32_t best;
        uint64_t best_word, lease;

        if (pti_special_find(ring, PTI_REDELIV, &best, &best_word) == 0) {
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
        if (steps > PTI_WALK_MAX + 8 * ring->geometry.slots)
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
        if (__builtin_expect(!pti_block_is_usable(ring, block), 0))
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

        if (__builtin_expect((pti_load_relaxed(&ring->hints->next_due) & PTI_TIME_MASK) != 0, 0))
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

uint64_t pti_ring_head(struct pti_lane *lane)
{
    adopt_head(lane);
    return pti_ring_head_from(lane->ring, lane->head);
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
