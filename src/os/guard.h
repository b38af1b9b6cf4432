/* guard.h -- a mapped file that somebody truncates raises SIGBUS; guarded, it reads as zeroes and is marked as damaged.
 *
 * The first guard of a process takes SIGBUS over; faults elsewhere go to whoever had it before.  A handler that the program
 * installs later takes it from us, until the next guard is made.
 */
#ifndef PTQ_OS_GUARD_H
#define PTQ_OS_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/atomic.h"

struct pti_guard;

/* Guards [base, base + size).  At a fault in it, pages of zeroes of this process's own take the place of what is lost, and
 * `mark` is stored in *state (both may be read at any time).  0 or an errno. */
int pti_guard_new(void *base, size_t size, _Atomic uint32_t *state, uint32_t mark, struct pti_guard **ret_guard);

/* After the memory was unmapped.  NULL is fine. */
void pti_guard_free(struct pti_guard *guard);

#endif
