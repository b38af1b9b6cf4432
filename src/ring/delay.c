/* delay.c -- messages that wait for a time: DELAYED until due_us, then REDELIV.
 *
 * next_due {counter:16, microseconds:48} is the least due time of all delayed ones, or earlier.  A nacker sets due and
 * mark, lowers and counts next_due, and only then changes the word; so a looker takes the minimum over all marked blocks,
 * also over those that are still LEASED, and raises next_due only by CAS of the value it read before.  Where leases have a
 * limit it is the deadline of every lease, too.
 */
#include "os/clock.h"
#include "ring/lease.h"
#include "ring/wait.h"

#define SOON_US 1000 /* when to look again for a nacker that is on its way */

uint64_t pti_now_us(void) { return (uint64_t)(pti_host_ns() / 1000) & PTI_TIME_MASK; }

uint64_t pti_ring_stamp(const struct pti_ring *ring, uint16_t ttl)
{
    if (ttl == 0)
        ttl = ring->ttl;
    if (ttl == PTI_TTL_NEVER)
        ttl = 0;
    return ttl != 0 || ring->geometry.stamps != PTQ_STAMPS_OFF ? pti_stamp(pti_now_us(), ttl) : 0;
}

/* [D, W] */
uint64_t pti_delay_next(const struct pti_ring *ring) { return pti_load_seq(&ring->hints->next_due) & PTI_TIME_MASK; }

void pti_delay_lower(struct pti_ring *ring, uint64_t due_us)
{
    uint64_t seen = pti_load_relaxed(&ring->hints->next_due), lowered;

    due_us &= PTI_TIME_MASK;
    if (due_us == 0)
        due_us = 1;
    do {
        uint64_t now_due = seen & PTI_TIME_MASK;
        uint64_t least = now_due == 0 || due_us < now_due ? due_us : now_due;

        lowered = (((seen >> 48) + 1) << 48) | least;
    } while (!pti_cas(&ring->hints->next_due, &seen, lowered)); /* [D, W] */
}

/* Makes one due block REDELIV.  The mark stays: it is marked for that state too. */
static void release_due(struct pti_ring *ring, uint32_t block, uint64_t word)
{
    pti_cas(&pti_block_at(ring, block)->word, &word, /* [L] */
            pti_word(PTI_REDELIV, 0, pti_word_position(word), pti_word_redelivered(word)));
}

void pti_delay_look(struct pti_lane *lane)
{
    struct pti_ring *ring = lane->ring;
    uint64_t seen = pti_load_seq(&ring->hints->next_due), now = pti_now_us(), least = 0; /* [D, O] */
    uint32_t words = (ring->geometry.blocks + 63) / 64;
    bool released = false;

    if ((seen & PTI_TIME_MASK) == 0 || (seen & PTI_TIME_MASK) > now)
        return;
    for (uint32_t i = 0; i < words; i++) {
        uint64_t marks = pti_load_seq(&ring->special[i]); /* [X] */

        for (; marks; marks &= marks - 1) {
            uint32_t block = i * 64 + (uint32_t)__builtin_ctzll(marks);
            uint64_t word, due;

            if (!pti_block_is_usable(ring, block))
                continue;
            word = pti_load_acquire(&pti_block_at(ring, block)->word); /* [L] */
            due = pti_load_acquire(&pti_block_at(ring, block)->due_us); /* [D] */
            if (pti_word_state(word) == PTI_DELAYED) {
                if (due <= now) {
                    release_due(ring, block, word);
                    released = true;
                    continue;
                }
            } else if (pti_word_state(word) == PTI_REDELIV) {
                released = true; /* perhaps by a looker who was stopped before he told */
                continue;
            } else if (pti_word_state(word) != PTI_LEASED || due == 0) {
                continue;
            } else if (due < now + SOON_US) {
                due = now + SOON_US;
            }
            if (least == 0 || due < least)
                least = due;
        }
    }
    if (pti_lease_is_limited(ring)) {
        uint64_t due = pti_lease_look(lane, &released);

        if (least == 0 || (due != 0 && due < least))
            least = due;
    }
    /* Told first: once next_due is raised nobody else looks. */
    if (released)
        pti_ring_redeliver(ring);
    if (least > PTI_TIME_MASK)
        least = PTI_TIME_MASK; /* what says so is nonsense: it must not seem to be due */
    pti_cas(&ring->hints->next_due, &seen, (((seen >> 48) + 1) << 48) | (least & PTI_TIME_MASK)); /* [D, O] */
}
