/* judge.c -- what becomes of a message that was just leased: handed out, or something else. */
#include "ring/journal.h"
#include "ring/wait.h"

static void count_delivery(struct pti_block *b)
{
    uint16_t deliveries = pti_load_relaxed(&b->deliveries);

    if (deliveries < UINT16_MAX)
        pti_store_relaxed(&b->deliveries, (uint16_t)(deliveries + 1));
}

/* Beyond max_deliveries it becomes a dead letter: the lease ends here. */
static bool is_dead_letter(struct pti_lane *lane, uint32_t block, uint64_t lease)
{
    struct pti_ring *ring = lane->ring;
    struct pti_block *b = pti_block_at(ring, block);

    if (pti_load_relaxed(&b->deliveries) <= ring->geometry.max_deliveries)
        return false;
    pti_special_set(ring, block);
    pti_store_release(&b->word, pti_word(PTI_DEAD, 0, pti_word_position(lease), pti_word_redelivered(lease)));
    pti_wake_after_store(ring);
    return true;
}

bool pti_ring_judge(struct pti_lane *lane, uint32_t block, uint64_t *lease)
{
    count_delivery(pti_block_at(lane->ring, block));
    return !is_dead_letter(lane, block, *lease);
}

void pti_ring_drop(struct pti_lane *lane, uint32_t block, uint64_t lease, enum ptq_drop reason)
{
    struct pti_entry *entry = lane->entry;
    uint64_t dropped = pti_load_relaxed(&entry->dropped[reason]);

    pti_journal_open(entry, (enum pti_operation)(PTI_OP_DROP + reason), block, lease, dropped);
    pti_block_free(lane, block, pti_word_position(lease));
    pti_store_release(&entry->dropped[reason], dropped + 1);
    pti_wake_after_store(lane->ring);
}
