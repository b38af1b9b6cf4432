/* room.c -- what is done about a full ring, and about a ring that is to be emptied or held.
 *
 * The head of the ring holds the oldest message that is ready.  A producer who finds no place looks at it: what has expired, or
 * is not due yet, leaves the ring as if a consumer had met it; with PTQ_FULL_DROP_OLDEST anything does.  It leases the message
 * like a consumer, exactly the one that it looked at, and ends the lease: so nobody can meet a message half dropped, and a
 * producer who dies in between leaves a lease to be redelivered.  Redelivered messages take no place in the ring, so dropping
 * one would gain nothing: they are never dropped for room, though they may be older.
 */
#include "ring/journal.h"
#include "ring/wait.h"

struct oldest {
    uint64_t position, word;
    uint32_t block;
};

/* Looks at the head.  False: nothing is ready. */
static bool find_oldest(struct pti_lane *lane, struct oldest *ret_oldest)
{
    struct pti_ring *ring = lane->ring;

    for (uint64_t tries = 0; tries < ring->geometry.slots; tries++) {
        uint64_t at = pti_ring_head(lane), slot = pti_load_seq(pti_slot_at(ring, at)), word; /* [P, W] */
        uint32_t block = pti_slot_block(slot);

        lane->head = at; /* nothing before it is untaken */
        if (pti_slot_lap(slot) != pti_lap(ring, at) || !pti_block_is_usable(ring, block))
            return false;
        word = pti_load_acquire(&pti_block_at(ring, block)->word); /* [L] */
        if (pti_word_position(word) != at)
            continue;
        *ret_oldest = (struct oldest){at, word, block};
        if (pti_word_state(word) == PTI_COMMIT)
            return true;
        if (pti_word_state(word) != PTI_COMMITH)
            continue;
        if (pti_batch_first(ring, block, word, &ret_oldest->block, &ret_oldest->word))
            return true;
        if (!pti_batch_settle(lane, block, word))
            return false;
    }
    return false;
}

bool pti_ring_make_room(struct pti_lane *lane, uint64_t count)
{
    struct pti_ring *ring = lane->ring;
    bool drops = ring->geometry.full == PTQ_FULL_DROP_OLDEST;
    enum pti_verdict verdict;
    struct oldest oldest;
    uint64_t lease;

    if (ring->geometry.window != 0)
        return false; /* of ordered work every piece is waited for */
    if (!find_oldest(lane, &oldest))
        return drops && pti_ring_may_put(lane, count); /* all taken meanwhile */
    verdict = pti_ring_verdict(ring, oldest.block);
    if (verdict == PTI_HAND_OUT && !drops)
        return false;
    lease = pti_word(PTI_LEASED, lane->index, oldest.position, 0);
    if (!pti_lease(lane, oldest.block, oldest.word, lease))
        return true;
    if (pti_word_position(oldest.word) == oldest.position && pti_load_relaxed(&pti_block_at(ring, oldest.block)->link) == 0)
        pti_ring_note_head(lane, pti_step(ring, oldest.position, 1));
    if (verdict == PTI_HAND_OUT)
        pti_ring_drop(lane, oldest.block, lease, PTQ_DROP_OLDEST);
    else
        pti_ring_carry_out(lane, oldest.block, lease, verdict);
    return true;
}

void pti_ring_refuse(struct pti_lane *lane, uint64_t count)
{
    struct pti_entry *entry = lane->entry;
    uint64_t put = pti_load_relaxed(&entry->put);
    uint64_t dropped = pti_load_relaxed(&entry->dropped[PTQ_DROP_NEWEST]) + count;

    pti_store_release(&entry->journal_count, count); /* [J] */
    pti_journal_open(entry, PTI_OP_REFUSE, 0, dropped, put);
    pti_store_release(&entry->dropped[PTQ_DROP_NEWEST], dropped); /* [J] */
    pti_store_release(&entry->put, put + count); /* [J] */
}

uint64_t pti_ring_next_expiry(struct pti_lane *lane)
{
    const struct pti_block *b;
    struct oldest oldest;
    uint64_t stamp, now = pti_now_us();

    if (lane->ring->geometry.window != 0 || !find_oldest(lane, &oldest))
        return 0;
    b = pti_block_at(lane->ring, oldest.block);
    stamp = pti_load_relaxed(&b->stamp);
    if (pti_load_relaxed(&b->due_us) > now)
        return now;
    return stamp >> 48 != 0 ? pti_stamp_put_us(stamp) + 1000 * pti_stamp_ttl_ms(stamp) + 1 : 0;
}

/* ---- emptying and holding */

uint64_t pti_ring_purge(struct pti_lane *lane)
{
    struct pti_ring *ring = lane->ring;
    uint64_t end = pti_ring_tail_from(ring, lane->tail), most = ring->geometry.blocks, count = 0;

    /* What is put, or given back, while this runs need not go too: else it might never end. */
    for (uint64_t n = 0; n < most; n++) {
        enum pti_verdict verdict;
        uint32_t block;
        uint64_t lease;

        if (!(pti_load_seq(&ring->hints->redelivery) & 1) && pti_diff(ring, pti_ring_head(lane), end) >= 0) /* [R] */
            break;
        if (pti_ring_lease_next(lane, &block, &lease) != PTQ_OK)
            break;
        verdict = pti_ring_verdict(ring, block);
        if (verdict == PTI_PARK) {
            pti_ring_carry_out(lane, block, lease, PTI_PARK);
            continue;
        }
        count += pti_block_count(ring, block);
        pti_ring_drop(lane, block, lease, PTQ_DROP_PURGED);
    }
    pti_wake_all(ring, &ring->hints->put_wait);
    return count;
}

void pti_ring_pause(struct pti_ring *ring, bool pause)
{
    if (pause) {
        pti_fetch_or_seq(&ring->hints->flags, PTI_FLAG_PAUSED); /* [F, W] */
        return;
    }
    pti_fetch_and_seq(&ring->hints->flags, ~PTI_FLAG_PAUSED); /* [F, W] */
    pti_wake_all(ring, &ring->hints->get_wait);
}
