/* journal.h -- one line an endpoint: what its owner is about to change, so that counts are exact whoever is killed.
 *
 * Before each commit, take, ack or nack the owner opens the line; after it, it bumps the counter, and that closes the line:
 * a line is open iff its status is OPEN and the low half of its counter still is the one noted.  Recovery decides an open
 * line by one CAS, before it touches any block word, and finishes by storing an absolute number.
 */
#ifndef PTQ_RING_JOURNAL_H
#define PTQ_RING_JOURNAL_H

#include <ptq/queue.h>

#include "ring/ring.h"

/* Release stores throughout: program order is what recovery reads. */
static inline void pti_journal_open(struct pti_entry *entry, enum pti_operation op, uint32_t block, uint64_t word,
                                    uint64_t counter)
{
    pti_store_release(&entry->journal_word, word);
    pti_store_release(&entry->journal, pti_journal(op, block, counter, PTI_LINE_OPEN));
}

static inline void pti_journal_close(struct pti_entry *entry)
{
    pti_store_release(&entry->journal, 0);
}

static inline void pti_count(_Atomic uint64_t *counter, uint64_t by)
{
    pti_store_release(counter, pti_load_relaxed(counter) + by);
}

/* The counter that an operation moves. */
static inline _Atomic uint64_t *pti_journal_counter(struct pti_entry *entry, enum pti_operation op)
{
    if (op >= PTI_OP_DROP && op < PTI_OP_DROP + PTQ_DROPS)
        return &entry->dropped[op - PTI_OP_DROP];
    switch (op) {
    case PTI_OP_PUT:
    case PTI_OP_PUT_MANY:
        return &entry->put;
    case PTI_OP_TAKE:
        return &entry->taken;
    case PTI_OP_ACK:
        return &entry->acked;
    case PTI_OP_NACK:
        return &entry->nacked;
    case PTI_OP_NONE:
    case PTI_OP_DROP:
        break;
    }
    return NULL;
}

#endif
