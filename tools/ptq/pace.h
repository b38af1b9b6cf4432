/* pace.h -- so many a second and no more. */
#ifndef PTQ_PACE_H
#define PTQ_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* Zero: without a bound. */
struct pace {
    double per_second;
    int64_t due_ns; /* of the next one; 0: at once */
};

/* Waits until the next one may go, and counts `count` as gone.  What was late is not made up for, but for a tenth of a second.  false: a signal
 * came first. */
bool pace_wait(struct pace *pace, uint64_t count);

#endif
