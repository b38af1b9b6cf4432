/* wait.c -- signalling and arming: the slow halves of waking. */
#include "ring/wait.h"

#include <limits.h>
#include <unistd.h>

#include "os/futex.h"

/* One byte written to the segment: inotify tells every armed descriptor of every process. */
static void signal_descriptors(int fd)
{
    static const char zero;
    ssize_t ignored = pwrite(fd, &zero, 1, PTI_SIGNAL_OFFSET);

    (void)ignored; /* nothing better can be done; sleepers look again when anybody else signals or dies */
}

void pti_wait_signal(struct pti_ring *ring, _Atomic uint32_t *word, uint32_t seen, bool all)
{
    if (ring->segment.writable)
        pti_wait_tell(ring->segment.fd, word, seen, all);
}

void pti_wait_tell(int fd, _Atomic uint32_t *word, uint32_t seen, bool all)
{
    uint32_t moved = seen + PTI_WAIT_COUNT, expected = seen, clear = 0;
    bool ours;

    if (seen & PTI_WAIT_DESCRIPTOR) {
        signal_descriptors(fd);
        clear |= PTI_WAIT_DESCRIPTOR;
    }
    /* The count moves before the wake, so that who has armed and is not asleep yet does not fall asleep any more.  Without it:
     * a wake that finds nobody, the sleeper falling asleep, its bit cleared; that was a missed wake. */
    ours = pti_cas(word, &expected, moved); /* [W] */
    if (seen & PTI_WAIT_SLEEPER && (pti_futex_wake(word, all ? INT_MAX : 1) == 0 || all))
        clear |= PTI_WAIT_SLEEPER;
    /* Not ours: somebody armed, or another waker is at it; then the bits stay for the next one to see. */
    if (ours && clear)
        pti_cas(word, &moved, moved & ~clear); /* [W] */
}

uint32_t pti_wait_arm(_Atomic uint32_t *word, uint32_t bit)
{
    uint32_t seen = pti_load_relaxed(word);
    uint32_t armed;

    do {
        armed = (seen + PTI_WAIT_COUNT) | bit;
    } while (!pti_cas(word, &seen, armed)); /* [W] */
    return armed;
}

bool pti_wait_barrier(struct pti_ring *ring)
{
    if (pti_membarrier())
        return true;
    /* From now on everybody's acks are exchanges. */
    pti_fetch_or_seq(&ring->hints->flags, PTI_FLAG_NOBARRIER); /* [F] */
    return false;
}
