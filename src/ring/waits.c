/* waits.c -- how long messages waited in the queue. */
#include "ring/waits.h"

#include "ring/fast.h"

void pti_waits_note(struct pti_ring *ring, uint64_t stamp)
{
    uint64_t put = pti_stamp_put_us(stamp), waited;

    if (put == 0)
        return;
    waited = (pti_now_us() - put) & PTI_TIME_MASK;
    if (waited >> 47 != 0)
        waited = 0; /* processors whose clocks do not quite agree */
    pti_fetch_add_relaxed(&ring->hints->waited_us, waited); /* for display: each of them is right, whatever the order */
    pti_fetch_add_relaxed(&ring->hints->waits[pti_bucket_of(waited)], 1);
}

bool pti_fast_cas_stamped(struct pti_lane *lane, struct pti_block *b, uint32_t block, uint64_t word, uint64_t lease)
{
    uint64_t stamp = pti_load_relaxed(&b->stamp);

    if (pti_block_is_timed(b) || !pti_fast_cas_lease(lane, b, block, word, lease, pti_load_relaxed(&lane->entry->taken)))
        return false;
    pti_waits_note(lane->ring, stamp);
    return true;
}

void pti_waits_read(const struct pti_ring *ring, struct pti_waits *ret_waits)
{
    for (unsigned i = 0; i < PTI_BUCKETS; i++)
        ret_waits->count[i] = pti_load_relaxed(&ring->hints->waits[i]);
    ret_waits->sum_us = pti_load_relaxed(&ring->hints->waited_us);
}
