/* waits.h -- how long messages waited, as a family of figures: fewer buckets than a queue counts in, each of which ends where one of
 * those does. */
#ifndef PTQ_METRICS_WAITS_H
#define PTQ_METRICS_WAITS_H

#include <ptq/metrics.h>

#define PTI_WAIT_STEPS 18 /* 1 us, 4 us, 16 us, ... 4.8 h; what is longer is counted behind them */

struct pti_wait_steps {
    uint64_t count[PTI_WAIT_STEPS + 1]; /* of each step alone */
    uint64_t sum_us;
};
void pti_wait_steps_of(const struct ptq_view_waits *waits, struct pti_wait_steps *ret_steps);
static inline uint64_t pti_wait_step_us(unsigned step) { return UINT64_C(1) << (2 * step); }

#endif
