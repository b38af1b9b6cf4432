/* settle.c -- the end of a lease: done, given back, told to those who wait, or passed to another thread of the handle. */
#include "ring/journal.h"
#include "ring/wait.h"

enum ptq_err pti_ring_ack(struct pti_lane *lane, uint32_t block, uint64_t word)
{
    struct pti_ring *ring = lane->ring;
    struct pti_entry *entry = lane->entry;
    struct pti_block *b = pti_block_at(ring, block);
    uint64_t acked = pti_load_relaxed(&entry->acked);
    uint32_t size = pti_load_relaxed(&b->length);

    pti_journal_open(entry, PTI_OP_ACK, block, word, acked);
    if (!pti_lease_free(lane, block, word))
        return PTQ_ELEASELOST;
    pti_store_release(&entry->acked, acked + 1); /* [J] */
    pti_store_relaxed(&entry->bytes_acked, pti_load_relaxed(&entry->bytes_acked) + size);
    pti_wake_after_store(ring);
    return PTQ_OK;
}

/* As if it had not been handed out.  The sum over all entries is what counts. */
static void uncount(struct pti_lane *lane, struct pti_block *b, uint64_t lease)
{
    if (pti_load_relaxed(&b->deliveries) > 0)
        pti_store_relaxed(&b->deliveries, (uint16_t)(pti_load_relaxed(&b->deliveries) - 1));
    if (pti_word_redelivered(lease))
        pti_store_relaxed(&lane->entry->redelivered, pti_load_relaxed(&lane->entry->redelivered) - 1);
}

enum ptq_err pti_ring_nack(struct pti_lane *lane, uint32_t block, uint64_t word, uint64_t due_us, bool counted)
{
    struct pti_ring *ring = lane->ring;
    struct pti_entry *entry = lane->entry;
    struct pti_block *b = pti_block_at(ring, block);
    uint64_t nacked = pti_load_relaxed(&entry->nacked);
    unsigned flag = counted ? 1 : pti_word_redelivered(word);
    enum pti_state state = due_us ? PTI_DELAYED : PTI_REDELIV;

    if (!counted)
        uncount(lane, b, word);
    if (due_us) {
        pti_store_release(&b->due_us, due_us); /* [D] */
        pti_special_set(ring, block);
        pti_delay_lower(ring, due_us);
    } else {
        pti_special_set(ring, block);
    }
    if (counted)
        pti_journal_open(entry, PTI_OP_NACK, block, word, nacked);
    if (!pti_lease_end(lane, block, word, pti_word(state, 0, pti_word_position(word), flag))) {
        if (!counted && flag) /* that delivery stays one */
            pti_store_relaxed(&entry->redelivered, pti_load_relaxed(&entry->redelivered) + 1);
        return PTQ_ELEASELOST;
    }
    if (counted)
        pti_store_release(&entry->nacked, nacked + 1); /* [J] */
    if (due_us)
        pti_wake_all(ring, &ring->hints->get_wait); /* sleepers must sleep less long */
    else
        pti_ring_redeliver(ring);
    return PTQ_OK;
}

void pti_ring_redeliver(struct pti_ring *ring)
{
    uint64_t seen = pti_load_relaxed(&ring->hints->redelivery);

    while (!pti_cas(&ring->hints->redelivery, &seen, ((seen & ~UINT64_C(1)) + 2) | 1)) /* [R, W] */
        ;
    pti_wake_all(ring, &ring->hints->get_wait);
}

enum ptq_err pti_ring_adopt(struct pti_lane *lane, uint32_t block, uint64_t *word)
{
    uint64_t expected = *word;
    uint64_t mine = pti_word(PTI_LEASED, lane->index, pti_word_position(*word), pti_word_redelivered(*word));

    if (pti_word_owner(*word) == lane->index)
        return PTQ_OK;
    if (!pti_cas(&pti_block_at(lane->ring, block)->word, &expected, mine)) { /* [L] */
        pti_lease_release(lane->ring, block, pti_word_owner(*word));
        return PTQ_ELEASELOST;
    }
    *word = mine;
    return PTQ_OK;
}
