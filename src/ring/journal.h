/* journal.h -- one line an endpoint: what its owner is about to change, so that counts are exact whoever is killed.
 *
 * Before each commit, take, ack or nack the owner opens the line; after it, it bumps the counter, and that closes the line:
 * a line is open iff its status is OPEN and the low half of its counter still is the one noted.  Recovery decides an open
 * line by one CAS, before it touches any block word, and finishes by storing an absolute number.
 */
#ifndef PTQ_RING_JOURNAL_H
#define PTQ_RING_JOURNAL_H

#include <ptq/queue.h>

#include "ring/lease.h"
#include "ring/pack.h"

/* Release stores throughout: program order is what recovery reads. */
static inline void pti_journal_open(struct pti_entry *entry, enum pti_operation op, uint32_t block, uint64_t word,
                                    uint64_t counter)
{
    pti_store_release(&entry->journal_word, word); /* [J] */
    pti_store_release(&entry->journal, pti_journal(op, block, counter, PTI_LINE_OPEN)); /* [J] */
}

static inline void pti_journal_close(struct pti_entry *entry)
{
    pti_store_release(&entry->journal, 0); /* [J] */
}

static inline void pti_count(_Atomic uint64_t *counter, uint64_t by)
{
    pti_store_release(counter, pti_load_relaxed(counter) + by); /* [J] */
}

/* The same as pti_lease, where there is more to it: a budget of bytes, a lease limit, a pack (ring/take.c). */
bool pti_lease_more(struct pti_lane *lane, uint32_t block, uint64_t word, uint64_t lease);

/* Leases a message of the ring whose word is `word`, counted.  False: somebody was faster. */
static inline __attribute__((always_inline)) bool pti_lease(struct pti_lane *lane, uint32_t block, uint64_t word,
                                                            uint64_t lease)
{
    struct pti_block *b = pti_block_at(lane->ring, block);
    struct pti_entry *entry = lane->entry;
    uint64_t taken = pti_load_relaxed(&entry->taken);

    if (__builtin_expect(!lane->ring->takes_plainly || pti_load_relaxed(&b->kind) & PTI_KIND_PACK, 0))
        return pti_lease_more(lane, block, word, lease);
    pti_journal_open(entry, PTI_OP_TAKE, block, lease, taken);
    if (__builtin_expect(!pti_cas(&b->word, &word, lease), 0)) { /* [L, W] leased */
        pti_journal_close(entry);
        return false;
    }
    pti_store_release(&entry->taken, taken + 1); /* [J] */
    return true;
}

/* The counter that an operation moves. */
static inline _Atomic uint64_t *pti_journal_counter(struct pti_entry *entry, enum pti_operation op)
{
    if (op >= PTI_OP_DROP && op < PTI_OP_DROP + PTQ_DROPS)
        return &entry->dropped[op - PTI_OP_DROP];
    if (op >= PTI_OP_DROP_PART && op < PTI_OP_DROP_PART + PTQ_DROPS)
        return &entry->dropped[op - PTI_OP_DROP_PART];
    switch (op) {
    case PTI_OP_PUT:
    case PTI_OP_PUT_MANY:
    case PTI_OP_REFUSE:
        return &entry->put;
    case PTI_OP_TAKE:
    case PTI_OP_TAKE_MANY:
        return &entry->taken;
    case PTI_OP_ACK:
    case PTI_OP_ACK_MANY:
        return &entry->acked;
    case PTI_OP_NACK:
        return &entry->nacked;
    case PTI_OP_ADMIT:
        return &entry->admitted;
    case PTI_OP_NONE:
    case PTI_OP_DROP:
    case PTI_OP_DROP_PART:
        break;
    }
    return NULL;
}

#endif
