/* timer.c -- sums, the last times, and a histogram whose buckets grow with the time.
 *
 *   bucket   0..15            the time itself
 *            16 * e + m       times of 4 + e bits beyond the first, m: the four bits that follow the highest
 */
#include "process/timer.h"

#include <math.h>

#define STEPS 16u /* to each doubling */
#define STEP_BITS 4u

static unsigned bucket_of(uint64_t ns)
{
    if (ns < STEPS)
        return (unsigned)ns;
    unsigned high = 63u - (unsigned)__builtin_clzll(ns), shift = high - STEP_BITS;
    unsigned bucket = (shift + 1) * STEPS + (unsigned)(ns >> shift & (STEPS - 1));
    return bucket < PTQ_TIMER_BUCKETS ? bucket : PTQ_TIMER_BUCKETS - 1;
}

/* The middle of a bucket. */
static double middle_of(unsigned bucket)
{
    if (bucket < STEPS)
        return bucket;
    unsigned shift = bucket / STEPS - 1;
    double width = (double)(UINT64_C(1) << shift);
    return (STEPS + bucket % STEPS) * width + (width - 1) / 2;
}

static void add_to_sums(struct pti_sums *sums, uint64_t ns)
{
    double time = (double)ns, before = sums->mean_ns;
    sums->count++;
    sums->total_ns += ns;
    sums->last_ns = ns;
    if (sums->count == 1 || ns < sums->min_ns) {
        sums->min_ns = ns;
        sums->min_at = sums->count;
    }
    if (sums->count == 1 || ns > sums->max_ns) {
        sums->max_ns = ns;
        sums->max_at = sums->count;
    }
    sums->mean_ns = before + (time - before) / (double)sums->count;
    sums->squares += (time - before) * (time - sums->mean_ns);
}

static void show_sums(const struct pti_sums *sums, struct ptq_timer *timer)
{
    timer->count = sums->count;
    timer->total_ns = sums->total_ns;
    timer->last_ns = sums->last_ns;
    timer->min_ns = sums->min_ns;
    timer->max_ns = sums->max_ns;
    timer->min_at = sums->min_at;
    timer->max_at = sums->max_at;
    timer->mean_ns = sums->count != 0 ? sums->mean_ns : NAN;
    timer->variance = sums->count > 1 ? sums->squares / (double)(sums->count - 1) : NAN;
    timer->stdev_ns = sqrt(timer->variance);
    timer->recent = sums->count < PTQ_TIMER_RECENT ? (unsigned)sums->count : PTQ_TIMER_RECENT;
}

/* -- in shared memory ----------------------------------------------------------------------------------------- */

void pti_times_add(struct pti_times *times, uint64_t ns)
{
    uint64_t turn = pti_load_relaxed(&times->turn); /* ours alone to write, like all here */
    struct pti_sums sums = times->sums[turn % 2];
    _Atomic uint32_t *bucket = &times->bucket[bucket_of(ns)];

    pti_store_relaxed(&times->recent[sums.count % PTQ_TIMER_RECENT], ns);
    pti_store_relaxed(bucket, pti_load_relaxed(bucket) + 1);
    add_to_sums(&sums, ns);
    times->sums[(turn + 1) % 2] = sums;
    pti_store_release(&times->turn, turn + 1);
}

/* A reader that is slower than two additions looks again, and takes what it has after a while: numbers for people. */
static struct pti_sums read_sums(const struct pti_times *times)
{
    struct pti_sums sums;
    for (unsigned tries = 0; tries < 1000; tries++) {
        uint64_t turn = pti_load_acquire(&times->turn);
        pti_copy_guess(&sums, &times->sums[turn % 2], sizeof sums);
        if (pti_load_seq(&times->turn) == turn)
            break;
    }
    return sums;
}

void pti_times_get(const struct pti_times *times, struct ptq_timer *ret_timer)
{
    struct pti_sums sums = read_sums(times);
    show_sums(&sums, ret_timer);
    for (unsigned i = 0; i < ret_timer->recent; i++)
        ret_timer->recent_ns[i] = pti_load_relaxed(&times->recent[(sums.count - 1 - i) % PTQ_TIMER_RECENT]);
    for (unsigned i = ret_timer->recent; i < PTQ_TIMER_RECENT; i++)
        ret_timer->recent_ns[i] = 0;
    for (unsigned i = 0; i < PTQ_TIMER_BUCKETS; i++)
        ret_timer->bucket[i] = pti_load_relaxed(&times->bucket[i]);
}

/* -- the program's own ---------------------------------------------------------------------------------------- */

void ptq_timer_add(struct ptq_timer *timer, uint64_t ns)
{
    struct pti_sums sums = {.count = timer->count, .total_ns = timer->total_ns, .min_ns = timer->min_ns, .max_ns = timer->max_ns,
                            .min_at = timer->min_at, .max_at = timer->max_at,
                            .mean_ns = timer->count != 0 ? timer->mean_ns : 0,
                            .squares = timer->count > 1 ? timer->variance * (double)(timer->count - 1) : 0};
    add_to_sums(&sums, ns);
    show_sums(&sums, timer);
    for (unsigned i = PTQ_TIMER_RECENT - 1; i > 0; i--)
        timer->recent_ns[i] = timer->recent_ns[i - 1];
    timer->recent_ns[0] = ns;
    timer->bucket[bucket_of(ns)]++;
}

/* The middle of a bucket may lie beyond what was ever seen. */
static double within(const struct ptq_timer *timer, double ns)
{
    if (ns < (double)timer->min_ns)
        return (double)timer->min_ns;
    return ns > (double)timer->max_ns ? (double)timer->max_ns : ns;
}

double ptq_timer_percentile(const struct ptq_timer *timer, double percent)
{
    uint64_t all = 0, seen = 0;
    if (timer == NULL || timer->count == 0 || !(percent >= 0 && percent <= 100))
        return NAN;
    if (percent <= 0 || percent >= 100)
        return (double)(percent <= 0 ? timer->min_ns : timer->max_ns);
    for (unsigned i = 0; i < PTQ_TIMER_BUCKETS; i++)
        all += timer->bucket[i];
    for (unsigned i = 0; i < PTQ_TIMER_BUCKETS; i++) {
        seen += timer->bucket[i];
        if ((double)seen >= (double)all * percent / 100 && seen != 0)
            return within(timer, middle_of(i));
    }
    return (double)timer->max_ns;
}
