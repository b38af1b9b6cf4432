/* futex.c -- sleeping on a word of shared memory, waking who sleeps, and membarrier. */
#include "os/futex.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <signal.h>
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

/* As in linux/futex.h since 5.16, which older headers lack. */
struct waitv {
    uint64_t val, uaddr;
    uint32_t flags, reserved;
};
#define WAITV_SIZE_U32 2u
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449 /* the same number on every architecture */
#endif

/* Is one of those that were held back for a handler? */
static bool handler_waits(const sigset_t *before)
{
    struct sigaction action;
    sigset_t pending;

    if (sigpending(&pending) != 0)
        return false;
    for (int signal = 1; signal < SIGRTMAX; signal++)
        if (sigismember(&pending, signal) == 1 && sigismember(before, signal) == 0 &&
            sigaction(signal, NULL, &action) == 0 && action.sa_handler != SIG_IGN && action.sa_handler != SIG_DFL)
            return true;
    return false;
}

/* A scar: after a handler with SA_RESTART, which is what signal() installs, the kernel starts this call again instead of
 * answering EINTR, and a program that waits for its handler's flag would sleep for ever.  So handlers wait until it returns. */
int pti_futex_wait_any(const struct pti_futex_word *words, unsigned count, int64_t deadline_ns, bool *ret_handled)
{
    static _Atomic bool is_missing;
    struct timespec until = {.tv_sec = deadline_ns / PTI_NS_PER_S, .tv_nsec = deadline_ns % PTI_NS_PER_S};
    struct waitv waiters[PTI_FUTEX_WORDS];
    sigset_t all, before;
    int error = 0;

    *ret_handled = false;
    if (pti_load_relaxed(&is_missing))
        return ENOSYS;
    for (unsigned i = 0; i < count; i++)
        waiters[i] = (struct waitv){.val = words[i].expected, .uaddr = (uintptr_t)words[i].word, .flags = WAITV_SIZE_U32};
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (syscall(SYS_futex_waitv, waiters, count, 0, &until, CLOCK_MONOTONIC) < 0)
        error = errno;
    *ret_handled = handler_waits(&before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0 || error == EAGAIN || error == ETIMEDOUT || error == EINTR)
        return error;
    pti_store_relaxed(&is_missing, true); /* ENOSYS, or a sandbox's EPERM */
    return ENOSYS;
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

void pti_membarrier_prepare(void)
{
    (void)ask_membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);
    (void)ask_membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
}
