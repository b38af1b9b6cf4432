/* futex.h -- sleeping on a word of shared memory, waking who sleeps, and the barrier that makes cheap stores enough. */
#ifndef PTQ_OS_FUTEX_H
#define PTQ_OS_FUTEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"

/* Sleeps while *word == expected, until woken or until `deadline_ns` (monotonic; PTI_DEADLINE_NEVER).
 * 0: woken, perhaps for nothing; else EAGAIN (the word differs), ETIMEDOUT, EINTR.  Works between processes. */
int pti_futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns);

/* Sleeps while each words[i] == expected[i], at most PTI_FUTEX_WORDS of them (futex_waitv, Linux 5.16).  0: woken, perhaps for nothing,
 * and perhaps by several wakes of which it tells one; else EAGAIN, ETIMEDOUT, EINTR, or ENOSYS where the kernel or a sandbox
 * has no such call.  Signals are held back until it returns, so: short sleeps only; *ret_handled, also with 0: a handler ran. */
#define PTI_FUTEX_WORDS 128
struct pti_futex_word {
    _Atomic uint32_t *word;
    uint32_t expected;
};
int pti_futex_wait_any(const struct pti_futex_word *words, unsigned count, int64_t deadline_ns, bool *ret_handled);

/* Wakes up to `count` sleepers; how many it woke. Async-signal-safe. */
int pti_futex_wake(_Atomic uint32_t *word, int count);

/* membarrier(GLOBAL_EXPEDITED).  register: this process will be reached by others' barriers; false where the kernel or
 * a sandbox refuses.  barrier: every registered process has passed a full barrier when it returns true. */
bool pti_membarrier_register(void);
bool pti_membarrier(void);

/* membarrier(PRIVATE_EXPEDITED) over the threads of this process; registers itself; false where refused. */
bool pti_membarrier_private(void);

/* Registers for both while this process has one thread, which takes no time; with more, the kernel waits until every processor has
 * noticed: 10 to 15 ms each.  For who is about to start a thread, and will open queues. */
void pti_membarrier_prepare(void);

#endif
