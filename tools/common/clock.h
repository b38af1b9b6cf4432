/* clock.h -- how time goes on. */
#ifndef PTQ_TOOLS_CLOCK_H
#define PTQ_TOOLS_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Never goes back; since when is nobody's affair. */
static inline int64_t tool_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline int64_t tool_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif
