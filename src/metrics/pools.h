/* pools.h -- the pools of a bus as families of figures: their windows, and what the workers of this host do. */
#ifndef PTQ_METRICS_POOLS_H
#define PTQ_METRICS_POOLS_H

#include <ptq/metrics.h>
#include <ptq/worker.h>

#include "metrics/text.h"

struct pti_pool_told;

/* Zero is an empty one.  Kept between looks, so that counters never go back. */
struct pti_pools {
    struct pti_pool_told **list; /* by name, those that are gone among them */
    size_t count, room;
    uint64_t number;                /* of the look */
    struct ptq_worker_status *read; /* scratch */
};

/* Jobs that are a pool's: its name is *ret_stem bytes of theirs. */
bool pti_pool_is(const struct ptq_view_info *jobs, size_t *ret_stem);

void pti_pools_begin(struct pti_pools *pools);
/* `done`: of the queue of its results, which are `is_ordered`.  False: no memory. */
bool pti_pools_look(struct pti_pools *pools, ptq_bus *bus, const struct ptq_view_info *jobs, const struct ptq_queue_stats *done, bool is_ordered);
void pti_pools_write(const struct pti_pools *pools, struct pti_text *text);
void pti_pools_fini(struct pti_pools *pools);

#endif
