/* tally.h -- counting what a segment holds, block by block, and checking that it makes sense.  Reads only. */
#ifndef PTQ_RING_TALLY_H
#define PTQ_RING_TALLY_H

#include "ring/ring.h"

struct pti_tally {
    /* sums of the entries' counters */
    uint64_t put, taken, acked, nacked, redelivered, dropped, bytes_put, bytes_taken, bytes_acked;
    uint64_t dropped_by[PTQ_DROPS];
    /* blocks, by their words */
    uint64_t ready, leased, redeliverable, delayed, dead; /* delayed: those in the ring that are not due among them */
    uint64_t ring_bytes; /* of what stands in the ring, due or not: what a byte budget is about */
    uint64_t owned, headers, unpublished; /* unpublished: COMMIT, but no slot names it (yet) */
    uint64_t free_shared;
    uint64_t backed_bytes; /* memory of the segment and of its side files */
    uint64_t side_bytes;   /* of it, the side files' */
    uint64_t oldest_us; /* put time of the oldest ready message that bears a stamp; 0 */
    uint32_t open_lines; /* journal lines that are open: somebody is inside a call, or died in one */
};
void pti_tally_make(struct pti_ring *ring, struct pti_tally *ret_tally);

/* Looks for what no correct process writes; each finding as a sentence.  Returns how many. */
typedef void pti_finding(const char *text, void *context);
uint32_t pti_tally_check(struct pti_ring *ring, pti_finding *tell, void *context);

#endif
