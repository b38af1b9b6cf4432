/* check.c -- is there a way to every message?  Hints, entries, the redelivery word and the next due time. */
#include "ring/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define TELL_MOST 20 /* more would not be read */

void pti_tell(struct pti_teller *teller, const char *format, ...)
{
    char text[200];
    va_list arguments;

    if (teller->findings++ >= TELL_MOST || !teller->tell)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    teller->tell(text, teller->context);
}

void pti_check_hints(struct pti_ring *ring, struct pti_teller *teller)
{
    uint64_t head = pti_load_acquire(&ring->hints->head) & ring->position_mask; /* [H] */
    /* [T] */
    uint64_t tail = pti_load_acquire(&ring->hints->tail) & ring->position_mask, before = pti_step(ring, tail, ring->position_mask);
    uint64_t slot = pti_load_acquire(pti_slot_at(ring, before)); /* [P] */

    for (uint32_t block = 0; block < ring->geometry.blocks; block++) {
        uint64_t word, position;

        if (!pti_block_is_backed(ring, block))
            continue;
        word = pti_load_acquire(&pti_block_at(ring, block)->word); /* [L] */
        position = pti_word_position(word);
        if ((pti_word_state(word) == PTI_COMMIT || pti_word_state(word) == PTI_COMMITH) && position <= ring->position_mask &&
            pti_diff(ring, head, position) > 0 && pti_slot_names(ring, position, block))
            pti_tell(teller, "the head hint %" PRIu64 " is beyond the message at %" PRIu64, head, position);
    }
    if (!(ring->geometry.flags & PTI_GEO_PLACED) && pti_diff(ring, tail, ring->geometry.start) > 0 &&
        pti_lap_diff(ring, pti_slot_lap(slot), pti_lap(ring, before)) < 0)
        pti_tell(teller, "the tail hint %" PRIu64 " is beyond the last entry", tail);
}

void pti_check_entries(struct pti_ring *ring, struct pti_teller *teller)
{
    uint32_t used = pti_load_acquire(&ring->hints->entries_used), endpoints = ring->geometry.endpoints; /* [S] */

    if (used > endpoints)
        pti_tell(teller, "%" PRIu32 " entries are said to be in use, of %" PRIu32, used, endpoints);
    for (uint32_t x = used; x < endpoints; x++)
        if (pti_load_acquire(&ring->entries[x].state) != 0) /* [S] */
            pti_tell(teller, "endpoint %" PRIu32 " is attached where nobody looks, beyond %" PRIu32, x, used);
    for (uint32_t i = 0; i < ring->geometry.extents; i++)
        if (pti_load_acquire(&ring->extents[i]) > endpoints) /* [U] */
            pti_tell(teller, "extent %" PRIu32 " was granted to endpoint %" PRIu32 ", of %" PRIu32, i,
                     pti_load_acquire(&ring->extents[i]) - 1, endpoints); /* [U] */
}

/* A lease of nobody never ends: who is not attached is not recovered. */
static void check_holder(struct pti_ring *ring, struct pti_teller *teller, uint32_t block, uint64_t word)
{
    uint32_t owner = pti_word_owner(word);

    if (owner < ring->geometry.endpoints && pti_load_acquire(&ring->entries[owner].state) == 0 && /* [S] */
        pti_load_acquire(&pti_block_at(ring, block)->word) == word) /* [L] */
        pti_tell(teller, "block %" PRIu32 " is leased by endpoint %" PRIu32 ", which nobody is", block, owner);
}

/* Then what looks wrong may only be unfinished: he may be stopped, or dead and not recovered yet, between a word and what
 * tells of it. */
static bool is_anybody_attached(struct pti_ring *ring)
{
    for (uint32_t x = 0; x < ring->geometry.endpoints; x++)
        if (pti_load_acquire(&ring->entries[x].state) != 0) /* [S] */
            return true;
    return false;
}

void pti_check_ways(struct pti_ring *ring, struct pti_teller *teller)
{
    /* [R] */
    uint64_t next_due = pti_delay_next(ring), redelivery = pti_load_seq(&ring->hints->redelivery), first_due = 0;
    bool redeliverable = false;

    for (uint32_t block = 0; block < ring->geometry.blocks; block++) {
        struct pti_block *b = pti_block_at(ring, block);
        uint64_t word, due;

        if (!pti_block_is_backed(ring, block))
            continue;
        word = pti_load_acquire(&b->word); /* [L] */
        due = pti_load_acquire(&b->due_us); /* [D] */
        redeliverable |= pti_word_state(word) == PTI_REDELIV;
        if (pti_word_state(word) == PTI_LEASED)
            check_holder(ring, teller, block, word);
        else if (pti_word_state(word) == PTI_DELAYED && (first_due == 0 || due < first_due))
            first_due = due;
    }
    if (is_anybody_attached(ring))
        return;
    if (redeliverable && !(redelivery & 1) && pti_load_seq(&ring->hints->redelivery) == redelivery) /* [R] */
        pti_tell(teller, "a message waits for redelivery, and the redelivery word does not say so");
    if (first_due != 0 && (next_due == 0 || next_due > first_due) && pti_delay_next(ring) == next_due)
        pti_tell(teller, "a delayed message is due before anybody looks");
}
