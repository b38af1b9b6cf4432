/* judge.c -- what becomes of a message that was just leased: handed out, or something else. */
#include "ring/journal.h"
#include "ring/wait.h"
#include "ring/waits.h"

static void count_delivery(struct pti_block *b)
{
    uint16_t deliveries = pti_load_relaxed(&b->deliveries);

    if (deliveries < UINT16_MAX)
        pti_store_relaxed(&b->deliveries, (uint16_t)(deliveries + 1));
}

/* Beyond max_deliveries it is a dead letter. */
static bool is_dead_letter(struct pti_lane *lane, uint32_t block, uint64_t lease)
{
    if (pti_load_relaxed(&pti_block_at(lane->ring, block)->deliveries) <= lane->ring->geometry.max_deliveries)
        return false;
    if (pti_load_relaxed(&pti_block_at(lane->ring, block)->kind) & PTI_KIND_PACK)
        return !pti_pack_judge(lane, block, lease);
    /* This delivery does not come about.  Killed from here on, whoever leases it next counts it once more, and is here again. */
    pti_store_relaxed(&pti_block_at(lane->ring, block)->deliveries, (uint16_t)lane->ring->geometry.max_deliveries);
    pti_dead_bury(lane, block, lease);
    return true;
}

/* ---- by the clock */

enum pti_verdict pti_ring_verdict(struct pti_ring *ring, uint32_t block)
{
    const struct pti_block *b = pti_block_at(ring, block);
    uint64_t now, stamp = pti_load_relaxed(&b->stamp), age;

    if (!pti_block_is_timed(b))
        return PTI_HAND_OUT;
    now = pti_now_us();
    age = (now - pti_stamp_put_us(stamp)) & PTI_TIME_MASK;
    if (stamp >> 48 != 0 && age >> 47 == 0 && age > 1000 * pti_stamp_ttl_ms(stamp))
        return PTI_EXPIRE;
    return pti_load_relaxed(&b->due_us) > now ? PTI_PARK : PTI_HAND_OUT;
}

/* As a nack with a delay, but neither a delivery nor a nack: due, mark and next_due stand before the word changes. */
static void park(struct pti_lane *lane, uint32_t block, uint64_t lease)
{
    struct pti_ring *ring = lane->ring;
    struct pti_block *b = pti_block_at(ring, block);

    pti_special_set(ring, block);
    pti_delay_lower(ring, pti_load_relaxed(&b->due_us));
    pti_lease_end(lane, block, lease, pti_word(PTI_DELAYED, 0, pti_word_position(lease), pti_word_redelivered(lease)));
    pti_wake_all(ring, &ring->hints->get_wait); /* sleepers must sleep less long */
    pti_wake_putters(ring);
}

void pti_ring_carry_out(struct pti_lane *lane, uint32_t block, uint64_t lease, enum pti_verdict verdict)
{
    if (verdict == PTI_PARK)
        park(lane, block, lease);
    else if (lane->ring->geometry.flags & PTI_GEO_EXPIRED_DEAD)
        pti_dead_bury(lane, block, lease);
    else
        pti_ring_drop(lane, block, lease, PTQ_DROP_EXPIRED);
}

static __attribute__((noinline)) bool is_for_now(struct pti_lane *lane, uint32_t block, uint64_t lease)
{
    enum pti_verdict verdict = pti_ring_verdict(lane->ring, block);

    if (verdict != PTI_HAND_OUT) {
        pti_ring_carry_out(lane, block, lease, verdict);
        return false;
    }
    pti_store_relaxed(&pti_block_at(lane->ring, block)->due_us, 0); /* from now on a due time is a nacker's */
    return true;
}

bool pti_ring_judge_slow(struct pti_lane *lane, uint32_t block, uint64_t *lease)
{
    struct pti_block *b = pti_block_at(lane->ring, block);

    if (pti_block_is_timed(b) && !is_for_now(lane, block, *lease))
        return false;
    if (pti_load_relaxed(&b->deliveries) == 0 && !pti_word_redelivered(*lease) && /* a kick sets the former back */
        lane->given_back != block + 1)
        pti_waits_note(lane->ring, pti_load_relaxed(&b->stamp));
    lane->given_back = 0;
    count_delivery(b);
    return !is_dead_letter(lane, block, *lease);
}

void pti_ring_drop(struct pti_lane *lane, uint32_t block, uint64_t lease, enum ptq_drop reason)
{
    struct pti_entry *entry = lane->entry;
    uint64_t dropped = pti_load_relaxed(&entry->dropped[reason]);

    if (__builtin_expect((pti_load_relaxed(&pti_block_at(lane->ring, block)->kind) & PTI_KIND_PACK) != 0, 0)) {
        pti_pack_drop(lane, block, lease, reason);
        return;
    }
    pti_journal_open(entry, (enum pti_operation)(PTI_OP_DROP + reason), block, lease, dropped);
    if (!pti_lease_free(lane, block, lease))
        return; /* another has it by now */
    pti_store_release(&entry->dropped[reason], dropped + 1); /* [J] */
    pti_wake_after_store(lane->ring);
}
