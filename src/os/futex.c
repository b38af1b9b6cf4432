/* futex.c -- sleeping on a word of shared memory, waking who sleeps, and membarrier. */
#include "os/futex.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"

/* Not FUTEX_PRIVATE: the word is shared between processes.  WAIT_BITSET, because its time is absolute and monotonic. */
int pti_futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns)
{
    struct timespec until = {.tv_sec = deadline_ns / PTI_NS_PER_S, .tv_nsec = deadline_ns % PTI_NS_PER_S};
    const struct timespec *limit = deadline_ns == PTI_DEADLINE_NEVER ? NULL : &until;

    if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, limit, NULL, FUTEX_BITSET_MATCH_ANY) == 0)
        return 0;
    return errno;
}

int pti_futex_wake(_Atomic uint32_t *word, int count)
{
    int saved = errno;
    long woken = syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);

    errno = saved;
    return woken < 0 ? 0 : (int)woken;
}

static bool ask_membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0) == 0;
}

bool pti_membarrier_register(void)
{
    return ask_membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);
}

bool pti_membarrier(void)
{
    return ask_membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED);
}

/* Asking first: a process that has registered pays one call, and nothing has to be remembered across fork. */
bool pti_membarrier_private(void)
{
    if (ask_membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED))
        return true;
    return errno == EPERM && ask_membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) &&
           ask_membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}
