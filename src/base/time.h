/* time.h -- the monotonic clock in nanoseconds, and deadlines on it. */
#ifndef PTQ_BASE_TIME_H
#define PTQ_BASE_TIME_H

#include <stdint.h>

#define PTI_NS_PER_MS INT64_C(1000000)
#define PTI_NS_PER_S INT64_C(1000000000)

/* Deadlines: absolute, CLOCK_MONOTONIC, nanoseconds. */
#define PTI_DEADLINE_NOW INT64_C(0)       /* ask once, never sleep */
#define PTI_DEADLINE_NEVER INT64_MAX      /* sleep until it is true */

/* CLOCK_MONOTONIC now, in nanoseconds. */
int64_t pti_now_ns(void);

/* Milliseconds since 1970, for display. */
int64_t pti_unix_ms(void);

static inline int64_t pti_earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* From a public timeout: PTQ_NOWAIT -> PTI_DEADLINE_NOW, negative -> PTI_DEADLINE_NEVER. */
static inline int64_t pti_deadline(int timeout_ms)
{
    if (timeout_ms == 0)
        return PTI_DEADLINE_NOW;
    if (timeout_ms < 0)
        return PTI_DEADLINE_NEVER;
    return pti_now_ns() + timeout_ms * PTI_NS_PER_MS;
}

#endif
