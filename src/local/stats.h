/* stats.h -- a segment in figures. */
#ifndef PTQ_LOCAL_STATS_H
#define PTQ_LOCAL_STATS_H

#include <ptq/queue.h>

#include "ring/ring.h"

/* Reads only: watchers use it on read-only maps. */
void pti_stats_make(struct pti_ring *ring, struct ptq_queue_stats *ret_stats);

/* Is the owner of endpoint x alive?  For display. */
bool pti_stats_is_alive(struct pti_ring *ring, uint32_t x);

#endif
