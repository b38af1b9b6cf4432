/* waits.h -- how long messages waited in the queue, from put to their first take: counted in the segment, for display.
 *
 * Those are counted that bear the time of their put: every 64th of a producer, unless the queue was made otherwise, so that the
 * clock is read as seldom for this; and each that has a time to live, its own or the queue's, for that needs the time of its put
 * anyhow.  A pack counts once, by its own stamp.  Nothing depends on the figures, and they have no journal: whoever is killed between
 * the two additions has counted a wait whose length is missing in the sum.
 */
#ifndef PTQ_RING_WAITS_H
#define PTQ_RING_WAITS_H

#include "ring/ring.h"

/* The message in `block` is leased by us, and handed out for the first time: its stamp says since when it waited. */
void pti_waits_note(struct pti_ring *ring, uint64_t stamp);

struct pti_waits {
    uint64_t sum_us;
    uint64_t count[PTI_BUCKETS];
};
void pti_waits_read(const struct pti_ring *ring, struct pti_waits *ret_waits);

#endif
