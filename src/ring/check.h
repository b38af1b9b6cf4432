/* check.h -- telling what is wrong with a segment; and the checks of what leads to messages. */
#ifndef PTQ_RING_CHECK_H
#define PTQ_RING_CHECK_H

#include "ring/tally.h"

struct pti_teller {
    pti_finding *tell;
    void *context;
    uint32_t findings;
};

/* One finding, in a sentence.  After twenty they are counted only. */
void pti_tell(struct pti_teller *teller, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Hints are lower bounds: none may be ahead of what it hints at, or messages are passed over. */
void pti_check_hints(struct pti_ring *ring, struct pti_teller *teller);

/* Who is attached can be found; what names an endpoint names one that can be. */
void pti_check_entries(struct pti_ring *ring, struct pti_teller *teller);

/* For each message that waits outside the slots there is a way by which somebody will come to it. */
void pti_check_ways(struct pti_ring *ring, struct pti_teller *teller);

#endif
