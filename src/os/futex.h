/* futex.h -- sleeping on a word of shared memory, waking who sleeps, and the barrier that makes cheap stores enough. */
#ifndef PTQ_OS_FUTEX_H
#define PTQ_OS_FUTEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"

/* Sleeps while *word == expected, until woken or until `deadline_ns` (monotonic; PTI_DEADLINE_NEVER).
 * 0: woken, perhaps for nothing; else EAGAIN (the word differs), ETIMEDOUT, EINTR.  Works between processes. */
int pti_futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns);

/* Wakes up to `count` sleepers; how many it woke. Async-signal-safe. */
int pti_futex_wake(_Atomic uint32_t *word, int count);

/* membarrier(GLOBAL_EXPEDITED).  register: this process will be reached by others' barriers; false where the kernel or
 * a sandbox refuses.  barrier: every registered process has passed a full barrier when it returns true. */
bool pti_membarrier_register(void);
bool pti_membarrier(void);

/* membarrier(PRIVATE_EXPEDITED) over the threads of this process; registers itself; false where refused. */
bool pti_membarrier_private(void);

#endif
