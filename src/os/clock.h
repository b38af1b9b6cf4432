/* clock.h -- the clock that all processes of this host share.
 *
 * CLOCK_MONOTONIC is another clock in each time namespace.  Times that stand in shared memory are therefore those of the
 * first namespace: this process's clock less its offset, which the kernel tells in /proc/self/timens_offsets.
 */
#ifndef PTQ_OS_CLOCK_H
#define PTQ_OS_CLOCK_H

#include <stdint.h>

/* Nanoseconds of the host's monotonic clock, the same for everybody on it. */
int64_t pti_host_ns(void);

/* A host time as a deadline on this process's own clock (base/time.h). */
int64_t pti_host_to_own_ns(int64_t host_ns);

/* The other way round. */
int64_t pti_own_to_host_ns(int64_t own_ns);

/* Reads the offset anew: to be called wherever a segment is mapped, for a fork or setns may have changed it.  Where the
 * kernel does not tell (no /proc; unshare without a fork since) the last one known stays, at first 0. */
void pti_host_clock_refresh(void);

#endif
