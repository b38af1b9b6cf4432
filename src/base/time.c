/* time.c -- the monotonic clock in nanoseconds, and deadlines on it. */
#include "base/time.h"

#include <time.h>

static int64_t read_clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * PTI_NS_PER_S + now.tv_nsec;
}

int64_t pti_now_ns(void)
{
    return read_clock_ns(CLOCK_MONOTONIC);
}

int64_t pti_unix_ms(void)
{
    return read_clock_ns(CLOCK_REALTIME) / PTI_NS_PER_MS;
}
