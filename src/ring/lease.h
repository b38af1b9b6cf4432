/* lease.h -- queues whose leases have a limit (geometry.lease_ms): a lease that is held longer is handed to another.
 *
 * Memory that a living process may read is never used again, so an overdue message is copied, and its block is put in
 * quarantine until its holder settles, closes or dies:
 *
 *     copy's block    OWNED(e) -> COPY(e, number)                        e: whoever looked; number: never twice in a life of e
 *     message's block LEASED(v, position) -> QUAR(v, copy's block)       by CAS: here it changes hands
 *     copy's block    COPY(e, number) -> REDELIV(position), flagged      by whoever comes first: e, a looker, v, recovery
 *
 * So every lease of such a queue ends by a CAS, and who finds QUAR instead has lost it: PTQ_ELEASELOST.  Model: lease.pml.
 *
 * A taker says in its own entry which block it is about to lease, and sees to it that next_due is not later than its deadline;
 * then it leases; then it notes when, in the block.  What it says is what tells a lease whose time is not noted yet, which is
 * timed from when it was first seen.  Model: overdue.pml.
 */
#ifndef PTQ_RING_LEASE_H
#define PTQ_RING_LEASE_H

#include "ring/ring.h"

static inline bool pti_lease_is_limited(const struct pti_ring *ring)
{
    return __builtin_expect(ring->geometry.lease_ms != 0, 0);
}

/* Around the CAS that leases a block.  Limited queues only. */
void pti_lease_try(struct pti_lane *lane, uint32_t block);
void pti_lease_began(struct pti_lane *lane, uint32_t block);
void pti_lease_missed(struct pti_lane *lane);

/* Ends a lease of this lane by changing the word to `to`.  False: it had run out; then the lane's line is closed, and the block
 * is out of quarantine. */
bool pti_lease_end_limited(struct pti_lane *lane, uint32_t block, uint64_t lease, uint64_t to);
static inline bool pti_lease_end(struct pti_lane *lane, uint32_t block, uint64_t lease, uint64_t to)
{
    if (pti_lease_is_limited(lane->ring))
        return pti_lease_end_limited(lane, block, lease, to);
    pti_cas(&pti_block_at(lane->ring, block)->word, &lease, to); /* [L] */
    return true;
}

/* The same by freeing it. */
bool pti_lease_free_limited(struct pti_lane *lane, uint32_t block, uint64_t lease);
static inline bool pti_lease_free(struct pti_lane *lane, uint32_t block, uint64_t lease)
{
    if (pti_lease_is_limited(lane->ring))
        return pti_lease_free_limited(lane, block, lease);
    pti_block_free(lane, block, pti_word_position(lease));
    return true;
}

/* A lease of `owner`, of this process, ran out: its block is out of quarantine. */
void pti_lease_release(struct pti_ring *ring, uint32_t block, uint32_t owner);

/* Looks for overdue leases and ends them.  When to look again, in microseconds (0: nothing is leased); *tell: something may be
 * REDELIV now. */
uint64_t pti_lease_look(struct pti_lane *lane, bool *tell);

/* For display: is this a lease that has run out, found or not found yet?  One whose time is not noted yet is not.  Writes nothing. */
bool pti_lease_is_late(const struct pti_ring *ring, uint32_t block);

/* Recovery's part: x is dead.  True: something may be REDELIV now. */
bool pti_lease_recover_copy(struct pti_ring *ring, uint32_t block, uint64_t word);
bool pti_lease_recover_quarantine(struct pti_ring *ring, uint32_t block, uint64_t word);

/* Is COPY(e, number) in `block` a message: was its source put in quarantine for it?  Its position then. */
bool pti_lease_copy_counts(struct pti_ring *ring, uint32_t block, uint64_t word, uint64_t *ret_position);

/* A sum over all words in quarantine: 0 if there are none.  A census that sees the sum of its last pass has missed no message
 * that moved from block to block while it looked: such a move leaves a new word behind it. */
static inline uint64_t pti_lease_sum(uint64_t sum, uint32_t block, uint64_t word)
{
    uint64_t mixed = (word ^ ((uint64_t)block + 1) * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);

    return sum + (mixed ^ mixed >> 29);
}

#endif
