/* sweep.h -- batches of plain messages in one sweep, where nothing stands in the way: as ring/fast.h is to single ones.
 *
 *      put     count + 1 own blocks behind each other, all come back: elements, then their header, whose list is one run
 *      take    the elements of such a header; with the last one the header is freed, which is batch.c's
 */
#ifndef PTQ_RING_SWEEP_H
#define PTQ_RING_SWEEP_H

#include "ring/fast.h"

/* Blocks of two lines, one behind the other, the processor fetches ahead by itself, and who asks for them is in its way. */
#define PTI_SWEEP_STREAMED (2 * PTI_LINE)

/* ---- in */

/* Are the next `count` elements and a header there?  Their words go to lane->scratch.  *ret_slot: what stands at lane->tail, where
 * there is room for them. */
PTI_FAST bool pti_sweep_may_put(struct pti_ring *ring, struct pti_lane *lane, size_t count, uint64_t *ret_slot)
{
    const struct pti_scratch *s = &lane->scratch;
    uint32_t i = lane->own_at;
    const char *at = (const char *)pti_block_at(ring, lane->own_first + i);

    if (lane->own_away != 0 || count > s->size || i + count + 1 > lane->own_count)
        return false;
    for (size_t n = 0; n <= count; n++, at += ring->stride) {
        uint64_t word;

        if (__builtin_expect(lane->own_state[i + n] != PTI_OWN_READY, 0))
            return false;
        word = pti_load_acquire(&((const struct pti_block *)(const void *)at)->word); /* [A] */
        if (__builtin_expect((uint16_t)word != (uint16_t)(lane->mark | PTI_OWNED), 0))
            return false;
        if (n < count)
            s->befores[n] = word;
        else
            s->list_befores[0] = word;
    }
    /* Now that all are ours: the first unpublished position is later than any that they have had. */
    *ret_slot = pti_load_seq(pti_slot_at(ring, lane->tail)); /* [P, W] */
    if (__builtin_expect((pti_slot_lap(*ret_slot) + 1 - pti_lap(ring, lane->tail)) << ring->lap_shift != 0, 0))
        return false;
    if (__builtin_expect((int64_t)((lane->settled - lane->tail + ring->geometry.capacity) << ring->position_shift) <= 0, 0))
        return false;
    pti_batch_announce(ring, count);
    return pti_ring_has_room(lane, lane->tail, count);
}

/* One element: filled, and COMMIT where the batch begins. */
PTI_FAST void pti_sweep_element(struct pti_ring *ring, struct pti_lane *lane, struct pti_block *b, const struct ptq_bytes *item,
                                uint32_t sub, uint32_t header)
{
    pti_fast_fill(b, (uint32_t)item->size, sub, header + 1, lane->index + 1, pti_fast_stamp(ring, lane));
    if (__builtin_expect(item->size > 0, 1)) /* nothing may come as NULL */
        memcpy(b->payload, item->data, item->size);
    pti_store_release(&b->word, lane->mark | PTI_COMMIT | lane->tail << 16); /* [E] */
}

/* The header, the journal, the slot.  False: all words are as before. */
PTI_FAST bool pti_sweep_publish(struct pti_ring *ring, struct pti_lane *lane, size_t count, uint64_t bytes, uint64_t slot,
                                uint64_t *ret_position)
{
    struct pti_entry *entry = lane->entry;
    const struct pti_scratch *s = &lane->scratch;
    uint32_t first = lane->own_first + lane->own_at, header = first + (uint32_t)count;
    struct pti_block *b = pti_block_at(ring, header);
    struct pti_batch *batch = (struct pti_batch *)(void *)b->payload;
    uint64_t at = lane->tail;

    pti_fast_fill(b, 0, 0, 0, lane->index + 1, 0);
    pti_store_relaxed(&batch->run[0].first, first);
    pti_store_relaxed(&batch->run[0].count, (uint32_t)count);
    pti_store_relaxed(&batch->t0, at);
    pti_store_relaxed(&batch->count, (uint32_t)count);
    pti_store_relaxed(&batch->runs, 1);
    pti_store_relaxed(&batch->next, 0);
    pti_store_release(&entry->journal_bytes, pti_load_relaxed(&entry->bytes_put) + bytes); /* [J] */
    pti_store_release(&entry->journal_count, count); /* [J] */
    pti_journal_open(entry, PTI_OP_PUT_MANY, header, s->list_befores[0], pti_load_relaxed(&entry->put));
    pti_store_relaxed(&b->word, lane->mark | PTI_COMMITH | at << 16);
    if (!pti_cas(pti_slot_at(ring, at), &slot, pti_slot(pti_lap(ring, at), header)) && /* [P, W] in the queue */
        pti_ring_publish_entry(lane, header, PTI_COMMITH, count, &at) != PTQ_OK) {
        for (size_t i = 0; i < count; i++)
            pti_store_release(&pti_block_at(ring, first + (uint32_t)i)->word, s->befores[i]); /* [A] */
        pti_store_release(&b->word, s->list_befores[0]); /* [A] */
        pti_journal_close(entry);
        return false;
    }
    lane->own_at = lane->own_at + (uint32_t)count + 1 < lane->own_count ? lane->own_at + (uint32_t)count + 1 : 0;
    pti_ring_note_put(lane, count, bytes, at);
    *ret_position = at;
    return true;
}

/* ---- out */

/* What the elements of the batch at the head have in common. */
struct pti_sweep {
    const struct pti_block *header;
    uint64_t header_word;
    uint64_t there; /* an element's word, while it waits */
    uint64_t lease;
    uint32_t first; /* block of element 0 */
    uint32_t last;  /* the number of the last element */
};

/* Stands at the head a batch whose list is one run?  Then lane->cursor is in it. */
PTI_FAST bool pti_sweep_may_take(struct pti_ring *ring, struct pti_lane *lane, struct pti_sweep *ret_sweep)
{
    struct pti_cursor *c = &lane->cursor;
    uint64_t h = lane->head, slot = pti_load_seq(pti_slot_at(ring, h)), word; /* [P, W] */
    uint32_t header = pti_slot_block(slot);
    const struct pti_batch *batch;
    struct pti_block *b;

    if (pti_slot_lap(slot) != pti_lap(ring, h) || !pti_fast_is_usable(ring, lane, header))
        return false;
    b = pti_block_at(ring, header);
    word = pti_load_acquire(&b->word); /* [L] */
    if ((word & ~UINT64_C(0xfff0)) != (PTI_COMMITH | h << 16))
        return false;
    batch = (const struct pti_batch *)(const void *)b->payload;
    if (!c->active || c->header_word != word || c->header != header)
        pti_batch_begin(ring, c, header, word);
    ret_sweep->first = pti_load_guess(&batch->run[0].first); /* [G] */
    if (c->list != header || c->run != 0 || c->step != c->index || pti_load_guess(&batch->runs) != 1) /* [G] */
        return false;
    if (pti_load_guess(&batch->run[0].count) != c->count || c->count == 0) /* [G] */
        return false;
    ret_sweep->header = b;
    ret_sweep->header_word = word;
    ret_sweep->there = (word & 0x7ff0) | PTI_COMMIT | c->t0 << 16;
    ret_sweep->lease = lane->mark | PTI_LEASED | h << 16;
    ret_sweep->last = c->count - 1;
    return pti_load_acquire(&b->word) == word; /* [L] what was read of it is its own */
}

enum pti_swept { PTI_SWEEP_LEASED, PTI_SWEEP_SKIP, PTI_SWEEP_STOP };

/* Leases element `at`, if it is there and plain; *ret_both: as of pti_fast_lease.  SKIP: another has it.  STOP: not here. */
PTI_FAST enum pti_swept pti_sweep_lease(struct pti_ring *ring, struct pti_lane *lane, const struct pti_sweep *sweep, uint32_t at,
                                        uint32_t room, struct pti_block **ret_b, uint64_t *ret_both)
{
    struct pti_entry *entry = lane->entry;
    uint32_t block = sweep->first + at;
    uint64_t word, taken = pti_load_relaxed(&entry->taken);
    struct pti_block *b;

    if (__builtin_expect(!pti_fast_is_usable(ring, lane, block), 0))
        return PTI_SWEEP_STOP;
    b = pti_block_at(ring, block);
    if (ring->stride > PTI_SWEEP_STREAMED) {
        pti_prefetch_to_write((const char *)b + (size_t)3 * ring->stride); /* published too: they may travel meanwhile */
        __builtin_prefetch((const char *)b + (size_t)3 * ring->stride + PTI_LINE);
    }
    word = pti_load_acquire(&b->word); /* [E] */
    if (__builtin_expect(word != sweep->there, 0))
        return PTI_SWEEP_SKIP;
    if (__builtin_expect(pti_load_acquire(&sweep->header->word) != sweep->header_word, 0)) /* [L] */
        return PTI_SWEEP_STOP;
    *ret_both = pti_load_relaxed(pti_wide(&b->length));
    if (__builtin_expect(!pti_fast_is_plain(b) || pti_length_of(*ret_both) > room, 0))
        return PTI_SWEEP_STOP;
    if (__builtin_expect(pti_block_is_stamped(b), 0)) {
        if (pti_block_is_timed(b))
            return PTI_SWEEP_STOP;
        if (!pti_fast_cas_stamped(lane, b, block, word, sweep->lease))
            return PTI_SWEEP_SKIP;
    } else if (!pti_fast_cas_lease(lane, b, block, word, sweep->lease, taken)) {
        return PTI_SWEEP_SKIP;
    }
    *ret_b = b;
    return PTI_SWEEP_LEASED;
}

#endif
