/* timer.h -- how long something took, in shared memory: one writer, who may be killed at any instruction, and readers beside it.
 *
 * The sums stand twice, and a word says which counts (record.h).  Buckets and the last times are single words: a reader
 * may see one time more in them than in the sums.
 */
#ifndef PTQ_PROCESS_TIMER_H
#define PTQ_PROCESS_TIMER_H

#include <stdint.h>

#include <ptq/process.h>

#include "base/atomic.h"

struct pti_sums {
    uint64_t count, total_ns, last_ns, min_ns, max_ns, min_at, max_at;
    double mean_ns, squares; /* Welford's: of the distances from the mean */
};

struct pti_times {
    _Atomic uint64_t turn;
    struct pti_sums sums[2];
    _Atomic uint64_t recent[PTQ_TIMER_RECENT]; /* by count */
    _Atomic uint32_t bucket[PTQ_TIMER_BUCKETS];
};

void pti_times_add(struct pti_times *times, uint64_t ns);
void pti_times_get(const struct pti_times *times, struct ptq_timer *ret_timer);

#endif
