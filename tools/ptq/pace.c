/* pace.c -- so many a second and no more. */
#include "pace.h"

#include "common/clock.h"
#include "signals.h"

enum { LATE_NS = 100000000, WAIT_MOST_MS = 1000000 };

bool pace_wait(struct pace *pace, uint64_t count)
{
    int64_t now = tool_now_ns();

    if (pace->per_second <= 0)
        return true;
    if (pace->due_ns < now - LATE_NS)
        pace->due_ns = now;
    for (; pace->due_ns - now >= 1000000; now = tool_now_ns()) { /* what is less than poll can wait for is made up for later */
        int64_t left_ms = (pace->due_ns - now) / 1000000;
        if (!wait_two_for(-1, -1, left_ms > WAIT_MOST_MS ? WAIT_MOST_MS : (int)left_ms))
            return false;
    }
    pace->due_ns += (int64_t)((double)count / pace->per_second * 1e9);
    return true;
}
