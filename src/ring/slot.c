/* slot.c -- the way in: one CAS of a slot publishes.  (The way out is take.c.)
 *
 * Guesses (lane->tail here, lane->head there) lag behind the truth and walk forward over what they find; they never run ahead.
 */
#include "ring/fast.h"
#include "ring/note.h"

#define NAME_EVERY 4096u /* puts, between two looks whether the file still has a name */

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
    if (!pti_block_is_usable(ring, block)) {
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
        if (steps > PTI_WALK_MAX + 4 * ring->geometry.slots)
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
        (!pti_ring_has_room(lane, lane->tail, count) || !pti_ring_has_bytes(lane, lane->tail, lane->want_bytes)))
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

bool pti_ring_may_put(struct pti_lane *lane, uint64_t count)
{
    uint64_t slot;
    enum ptq_err err = pti_ring_find_tail(lane, &slot);

    return err != PTQ_OK || check_room(lane, count) != PTQ_FULL; /* an error is an answer too */
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
