/* waits.c -- how long messages waited: ends of buckets, quantiles, steps. */
#include "metrics/waits.h"

#include <string.h>

#include "base/buckets.h"

_Static_assert(PTQ_WAIT_BUCKETS == PTI_BUCKETS, "as in shared memory");

uint64_t ptq_wait_bucket_us(unsigned bucket)
{
    return bucket < PTI_BUCKETS - 1 ? pti_bucket_end(bucket) : UINT64_MAX;
}

uint64_t ptq_waits_quantile_us(const struct ptq_view_waits *waits, double part)
{
    uint64_t total = 0, below = 0;
    unsigned last = 0;

    for (unsigned i = 0; waits != NULL && i < PTI_BUCKETS; i++) /* not by count, which a caller may have left */
        total += waits->buckets[i];
    if (total == 0)
        return 0;
    for (unsigned i = 0; i < PTI_BUCKETS; i++) {
        below += waits->buckets[i];
        if (waits->buckets[i] == 0)
            continue;
        last = i;
        if ((double)below >= part * (double)total)
            break;
    }
    return pti_bucket_end(last);
}

void pti_wait_steps_of(const struct ptq_view_waits *waits, struct pti_wait_steps *ret_steps)
{
    unsigned step = 0;

    memset(ret_steps, 0, sizeof *ret_steps);
    for (unsigned i = 0; i < PTI_BUCKETS; i++) {
        while (step < PTI_WAIT_STEPS && ptq_wait_bucket_us(i) > pti_wait_step_us(step))
            step++;
        ret_steps->count[step] += waits->buckets[i];
    }
    ret_steps->sum_us = waits->sum_us;
}
