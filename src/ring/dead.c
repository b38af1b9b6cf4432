/* dead.c -- dead letters: DEAD until somebody takes them out of the view, kicks them, or they are too many.
 *
 *      judged       LEASED(me) -> DEAD             the letter's bit in kind is set before, so that recovery knows it by then
 *      view         DEAD -> LEASED(me)             a lease like another; no delivery, not counted as taken
 *      ack          LEASED(me) -> home             acked + 1
 *      nack, death  LEASED(me) -> DEAD             recovery: by the bit
 *      kick         DEAD -> LEASED(me) -> REDELIV  the bit goes last before the word: killed anywhere it is one or the other
 *      overflow     DEAD -> LEASED(me) -> home     dropped[dead_overflow] + 1
 */
#include <stdlib.h>

#include "ring/journal.h"
#include "ring/wait.h"

#define TRIM_MOST 64 /* dropped for one that dies: more are too many only after a reader died that held many */

static void set_letter(struct pti_block *b, bool is_letter)
{
    uint8_t kind = pti_load_relaxed(&b->kind);

    pti_store_release(&b->kind, (uint8_t)(is_letter ? kind | PTI_KIND_LETTER : kind & ~PTI_KIND_LETTER)); /* [V] */
}

static bool lease_letter(struct pti_lane *lane, uint32_t block, uint64_t word, uint64_t *ret_lease)
{
    uint64_t lease = pti_word(PTI_LEASED, lane->index, pti_word_position(word), pti_word_redelivered(word));

    if (pti_lease_is_limited(lane->ring))
        pti_lease_try(lane, block);
    if (!pti_cas(&pti_block_at(lane->ring, block)->word, &word, lease)) { /* [L, W] */
        if (pti_lease_is_limited(lane->ring))
            pti_lease_missed(lane);
        return false;
    }
    if (pti_lease_is_limited(lane->ring))
        pti_lease_began(lane, block);
    pti_special_clear(lane->ring, block);
    *ret_lease = lease;
    return true;
}

static void make_dead(struct pti_lane *lane, uint32_t block, uint64_t lease)
{
    struct pti_ring *ring = lane->ring;

    pti_special_set(ring, block); /* before the CAS: always a superset */
    pti_lease_end(lane, block, lease, pti_word(PTI_DEAD, 0, pti_word_position(lease), pti_word_redelivered(lease)));
    pti_wake_all(ring, &ring->hints->dead_wait);
}

/* Beyond max_dead the oldest goes.  Takers do this at once: whoever has counted one too many can lease only the letter that was
 * the oldest then, so they do not drop more than are too many together (a view that gives one back meanwhile may cost one). */
static void trim(struct pti_lane *lane)
{
    struct pti_ring *ring = lane->ring;
    uint64_t most = ring->geometry.max_dead, count, word = 0, lease;
    uint32_t block = 0;

    for (unsigned tries = 0; tries < TRIM_MOST; tries++) {
        count = pti_special_find(ring, PTI_DEAD, &block, &word);
        if (count <= most)
            return;
        if (!lease_letter(lane, block, word, &lease))
            continue;
        pti_ring_drop(lane, block, lease, PTQ_DROP_DEAD_OVERFLOW);
        if (count == most + 1)
            return;
    }
}

void pti_dead_bury(struct pti_lane *lane, uint32_t block, uint64_t lease)
{
    set_letter(pti_block_at(lane->ring, block), true);
    pti_dead_return(lane, block, lease);
}

void pti_dead_return(struct pti_lane *lane, uint32_t block, uint64_t lease)
{
    make_dead(lane, block, lease);
    trim(lane);
    pti_wake_after_store(lane->ring); /* END may have waited for this lease */
}

enum ptq_err pti_dead_take(struct pti_lane *lane, uint32_t *ret_block, uint64_t *ret_word)
{
    uint32_t block = 0;
    uint64_t word = 0;

    while (pti_special_find(lane->ring, PTI_DEAD, &block, &word) > 0)
        if (lease_letter(lane, block, word, ret_word)) {
            *ret_block = block;
            return PTQ_OK;
        }
    return PTQ_EMPTY;
}

uint64_t pti_dead_count(struct pti_ring *ring)
{
    uint32_t block;
    uint64_t word;

    return pti_special_find(ring, PTI_DEAD, &block, &word);
}

/* ---- all of them at once */

struct letter {
    int64_t at; /* its position, from one of them */
    uint32_t sub, block;
    uint64_t word;
};

static int compare_letters(const void *a, const void *b)
{
    const struct letter *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->sub < y->sub ? -1 : x->sub > y->sub;
}

/* Those that are there now, the oldest first: not those that die meanwhile. */
static enum ptq_err gather(struct pti_ring *ring, struct letter **ret_letters, size_t *ret_count)
{
    uint64_t oldest = 0, room;
    uint32_t block = 0;
    struct letter *letters;
    size_t count = 0;

    room = pti_special_find(ring, PTI_DEAD, &block, &oldest);
    letters = calloc(room + 1, sizeof *letters);
    if (!letters)
        return PTQ_ENOMEM;
    for (block = 0; block < ring->geometry.blocks && count < room; block++) {
        struct letter *letter = &letters[count];

        if (!pti_block_is_backed(ring, block))
            continue;
        letter->word = pti_load_seq(&pti_block_at(ring, block)->word); /* [L] */
        if (pti_word_state(letter->word) != PTI_DEAD)
            continue;
        letter->at = pti_diff(ring, pti_word_position(letter->word), pti_word_position(oldest));
        letter->sub = pti_load_relaxed(&pti_block_at(ring, block)->sub);
        letter->block = block;
        count++;
    }
    qsort(letters, count, sizeof *letters, compare_letters);
    *ret_letters = letters;
    *ret_count = count;
    return PTQ_OK;
}

static void kick_one(struct pti_lane *lane, uint32_t block, uint64_t lease)
{
    struct pti_ring *ring = lane->ring;
    struct pti_block *b = pti_block_at(ring, block);

    pti_store_release(&b->deliveries, 0); /* [L] */
    /* [L] */
    pti_store_release(&b->stamp, pti_stamp(pti_stamp_put_us(pti_load_relaxed(&b->stamp)), 0)); /* it would expire again */
    pti_store_release(&b->due_us, 0); /* [L] */
    set_letter(b, false);
    pti_special_set(ring, block);
    pti_lease_end(lane, block, lease, pti_word(PTI_REDELIV, 0, pti_word_position(lease), pti_word_redelivered(lease)));
    pti_ring_redeliver(ring);
}

enum ptq_err pti_dead_kick(struct pti_lane *lane, uint64_t max, uint64_t *ret_count)
{
    struct letter *letters;
    size_t count, done = 0;
    uint64_t lease;
    enum ptq_err err = gather(lane->ring, &letters, &count);

    if (err != PTQ_OK)
        return err;
    for (size_t i = 0; i < count && (max == 0 || done < max); i++) {
        if (!lease_letter(lane, letters[i].block, letters[i].word, &lease))
            continue; /* somebody has it */
        kick_one(lane, letters[i].block, lease);
        done++;
    }
    free(letters);
    *ret_count = done;
    return PTQ_OK;
}

enum ptq_err pti_dead_purge(struct pti_lane *lane, uint64_t *ret_count)
{
    struct letter *letters;
    size_t count, done = 0;
    uint64_t lease;
    enum ptq_err err = gather(lane->ring, &letters, &count);

    if (err != PTQ_OK)
        return err;
    for (size_t i = 0; i < count; i++) {
        if (!lease_letter(lane, letters[i].block, letters[i].word, &lease))
            continue;
        pti_ring_drop(lane, letters[i].block, lease, PTQ_DROP_PURGED);
        done++;
    }
    free(letters);
    *ret_count = done;
    return PTQ_OK;
}

/* ---- the end */

bool pti_dead_is_over(struct pti_lane *lane)
{
    struct pti_ring *ring = lane->ring;
    uint64_t head = pti_ring_head(lane), slot = pti_load_seq(pti_slot_at(ring, head)); /* [P, W] */

    if (pti_slot_block(slot) != PTI_END_BLOCK || pti_slot_lap(slot) != pti_lap(ring, head))
        return false;
    return !pti_ring_may_die(ring, lane->index) && pti_dead_count(ring) == 0; /* in this order: what dies now is seen by the second */
}
