/* wait.c -- signalling and arming: the slow halves of waking. */
#include "ring/wait.h"

#include <limits.h>
#include <unistd.h>

#include "os/futex.h"

/* One byte written to the segment: inotify tells every armed descriptor of every process. */
static void signal_descriptors(struct pti_ring *ring)
{
    static const char zero;
    ssize_t ignored = pwrite(ring->segment.fd, &zero, 1, PTI_SIGNAL_OFFSET);

    (void)ignored; /* nothing better can be done; sleepers look again when anybody else signals or dies */
}

void pti_wait_signal(struct pti_ring *ring, _Atomic uint32_t *word, uint32_t seen, bool all)
{
    uint32_t clear = seen & PTI_WAIT_DESCRIPTOR, expected = seen;

    if (!ring->segment.writable)
        return;
    if (seen & PTI_WAIT_DESCRIPTOR)
        signal_descriptors(ring);
    if (seen & PTI_WAIT_SLEEPER) {
        /* The count moves first, the bit stays: who has armed and is not yet asleep finds another value and looks again.
         * Else it fell asleep between a wake that met nobody and the clearing of its bit, and nobody woke it. */
        bool moved = pti_cas(word, &expected, seen + PTI_WAIT_COUNT);

        if (pti_futex_wake(word, all ? INT_MAX : 1) == 0 || all)
            clear |= PTI_WAIT_SLEEPER;
        if (!moved)
            return; /* somebody armed or signals: the bits are theirs */
        expected = seen + PTI_WAIT_COUNT;
    }
    /* Lost against an arm or another waker: then the bits are theirs to clear. */
    if (clear)
        pti_cas(word, &expected, expected & ~clear);
}

uint32_t pti_wait_arm(_Atomic uint32_t *word, uint32_t bit)
{
    uint32_t seen = pti_load_relaxed(word);
    uint32_t armed;

    do {
        armed = (seen + PTI_WAIT_COUNT) | bit;
    } while (!pti_cas(word, &seen, armed));
    return armed;
}

bool pti_wait_barrier(struct pti_ring *ring)
{
    if (pti_membarrier())
        return true;
    /* From now on everybody's acks are exchanges. */
    pti_fetch_or_seq(&ring->hints->flags, PTI_FLAG_NOBARRIER);
    return false;
}
