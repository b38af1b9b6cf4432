/* buckets.h -- numbers sorted into buckets that widen with them: four for each power of two.
 *
 *      bucket        0      1      2      3      4      5      6        7        8        ...
 *      numbers to    1      2      3      4      5      6      7        8        10       ...   (0 is in the first)
 *
 * So a bucket's upper end is at most a fifth above the least in it.  The last bucket has what is longer, too.
 */
#ifndef PTQ_BASE_BUCKETS_H
#define PTQ_BASE_BUCKETS_H

#include <stdint.h>

#define PTI_BUCKETS 144u /* to 2^37: as microseconds, 38 hours */

static inline unsigned pti_bucket_of(uint64_t number)
{
    uint64_t at = number > 0 ? number - 1 : 0; /* ends belong to their buckets */
    unsigned exponent, bucket;

    if (at < 4)
        return (unsigned)at;
    exponent = 63u - (unsigned)__builtin_clzll(at);
    bucket = (exponent - 1) * 4 + (unsigned)(at >> (exponent - 2) & 3);
    return bucket < PTI_BUCKETS ? bucket : PTI_BUCKETS - 1;
}

/* The largest number of a bucket. */
static inline uint64_t pti_bucket_end(unsigned bucket)
{
    unsigned exponent = bucket / 4 + 1;

    return bucket < 4 ? bucket + 1u : (UINT64_C(5) + bucket % 4) << (exponent - 2);
}

#endif
