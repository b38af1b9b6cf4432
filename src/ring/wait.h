/* wait.h -- the two wait words: who sleeps is found by whoever makes it worth waking.
 *
 * A wait word is {count, DESCRIPTOR, SLEEPER}.  Sleep: arm (set the bit, count + 1), look again, then FUTEX_WAIT or poll.
 * Wake: only if bits are set; signal FIRST, then clear the bit by CAS of the value seen, so that a waker that is stopped or
 * killed in between delays nobody else: the next one signals again.  SLEEPER is cleared only by who woke nobody.
 */
#ifndef PTQ_RING_WAIT_H
#define PTQ_RING_WAIT_H

#include "ring/ring.h"

/* The slow halves, in wait.c.  signal: of a queue.  tell: of any segment, by a descriptor that may write to it. */
void pti_wait_tell(int fd, _Atomic uint32_t *word, uint32_t seen, bool all);
void pti_wait_signal(struct pti_ring *ring, _Atomic uint32_t *word, uint32_t seen, bool all);

/* After a CAS that made something worth waking for (seq_cst, then this load). */
static inline void pti_wake(struct pti_ring *ring, _Atomic uint32_t *word)
{
    uint32_t seen = pti_load_seq(word); /* [W] */

    if (__builtin_expect((seen & PTI_WAIT_BITS) != 0, 0))
        pti_wait_signal(ring, word, seen, false);
}
static inline void pti_wake_all(struct pti_ring *ring, _Atomic uint32_t *word)
{
    pti_wait_signal(ring, word, pti_load_seq(word), true); /* [W] */
}

/* There is room.  Where batches or a byte budget are used, those who wait need more or less of it: all of them look. */
static inline void pti_wake_putters(struct pti_ring *ring)
{
    uint32_t seen = pti_load_seq(&ring->hints->put_wait); /* [W] */

    if (__builtin_expect((seen & PTI_WAIT_BITS) != 0, 0))
        pti_wait_signal(ring, &ring->hints->put_wait, seen, pti_load_relaxed(&ring->hints->flags) & PTI_FLAG_BATCHED);
}

/* After a plain release store (an ack): the sleeper's membarrier stands in for our fence.  [M] */
static inline void pti_wake_after_store(struct pti_ring *ring)
{
    atomic_signal_fence(memory_order_seq_cst);
    if (__builtin_expect((pti_load_relaxed(&ring->hints->put_wait) & PTI_WAIT_BITS) != 0, 0)) /* [M] */
        pti_wake_putters(ring);
    if (__builtin_expect(pti_load_relaxed(&ring->hints->flags) & PTI_FLAG_ENDED, 0)) { /* [M] */
        pti_wake_all(ring, &ring->hints->get_wait); /* whoever waits for the end looks whether this was the last lease */
        pti_wake_all(ring, &ring->hints->dead_wait);
    }
}

/* Announces a sleeper or a descriptor; the value to sleep on. */
uint32_t pti_wait_arm(_Atomic uint32_t *word, uint32_t bit);

/* [M] The sleeper's side; false: no barrier here, so nobody may sleep long. */
bool pti_wait_barrier(struct pti_ring *ring);

#endif
