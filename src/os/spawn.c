/* spawn.c -- clone, exec, pidfd and waitid.
 *
 * The child shares this process's memory until exec and the caller is held meanwhile (CLONE_VM | CLONE_VFORK), so it costs
 * no copy of the page tables and runs no atfork handler.  Laws: the child makes system calls only, on a stack of its own,
 * and every signal is blocked while its actions are still ours: a handler must never run in the borrowed memory.
 */
#include "os/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

#define STACK_BYTES (64 * 1024)

extern char **environ;

#if defined(__SANITIZE_THREAD__)
/* Its stand-in for clone believes that the child has memory of its own, and puts books for one thread into ours. */
int __clone(int (*fn)(void *argument), void *stack, int flags, void *argument, ...);
#define clone __clone
#endif

struct birth {
    const struct pti_spawn *spawn;
    char *const *environment;
    pid_t parent;
    volatile int error; /* written by the child in our memory */
};

/* In the child: bare system calls, for the library's wrappers may keep books in the memory that is not ours (a sanitizer's do:
 * of signal actions, of who did what after whom), and no code that a sanitizer has put there. */
#define IN_CHILD __attribute__((no_sanitize("thread", "address", "undefined")))

/* What is ignored stays ignored (nohup), but for SIGPIPE: libraries ignore it for themselves, programs rely on it.  The
 * kernel's struct begins with the handler; all of it zero is the default action. */
IN_CHILD static void default_signals(void)
{
    for (long number = 1; number < NSIG; number++) {
        unsigned long action[8] = {0}, none[8] = {0};
        if (syscall(SYS_rt_sigaction, number, NULL, action, 8) != 0)
            continue;
        if (action[0] != (unsigned long)SIG_DFL && (action[0] != (unsigned long)SIG_IGN || number == SIGPIPE))
            (void)syscall(SYS_rt_sigaction, number, none, NULL, 8);
    }
}

/* Moves a descriptor to `target`, without close-on-exec. */
IN_CHILD static bool move_to(int fd, int target)
{
    if (fd < 0)
        return true;
    if (fd == target)
        return syscall(SYS_fcntl, fd, F_SETFD, 0) == 0;
    return syscall(SYS_dup3, fd, target, 0) >= 0;
}

IN_CHILD static bool prepare(const struct birth *birth)
{
    const struct pti_spawn *spawn = birth->spawn;
    unsigned long none = 0;

    default_signals();
    if (spawn->death_signal != 0) {
        (void)syscall(SYS_prctl, PR_SET_PDEATHSIG, spawn->death_signal, 0, 0, 0);
        if (syscall(SYS_getppid) != birth->parent) /* it may have ended before */
            syscall(SYS_exit_group, 127);
    }
    if (spawn->own_group && syscall(SYS_setpgid, 0, 0) != 0)
        return false;
    if (!move_to(spawn->in, 0) || !move_to(spawn->out, 1) || (spawn->err > 0 && !move_to(spawn->err, 2)))
        return false;
    for (unsigned i = 0; i < spawn->keep_count; i++)
        if (syscall(SYS_fcntl, spawn->keep[i], F_SETFD, 0) != 0)
            return false;
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, 8);
    return true;
}

IN_CHILD static int be_born(void *argument)
{
    struct birth *birth = argument;
    if (prepare(birth))
        syscall(SYS_execve, birth->spawn->path, birth->spawn->argv, birth->environment);
    birth->error = errno;
    syscall(SYS_exit_group, 127);
    return 127;
}

int pti_spawn(const struct pti_spawn *spawn, pid_t *ret_pid, int *ret_pidfd)
{
    char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return errno;

    struct birth birth = {.spawn = spawn, .environment = spawn->envp != NULL ? spawn->envp : environ, .parent = getpid()};
    sigset_t all, before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    int pidfd = -1;
    pid_t pid = clone(be_born, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &birth, &pidfd);
    int error = pid < 0 ? errno : birth.error;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)munmap(stack, STACK_BYTES);

    if (pid < 0)
        return error;
    if (error != 0) {
        struct pti_exit how;
        pti_spawn_wait(pidfd, &how);
        (void)close(pidfd);
        return error;
    }
    *ret_pid = pid;
    *ret_pidfd = pidfd;
    return 0;
}

/* The rusage that waitid(2) gives is the fifth argument of the system call, which the library function hides. */
static int wait_for(int pidfd, int options, siginfo_t *info, struct rusage *usage)
{
    int answer;
    do {
        *info = (siginfo_t){0};
        answer = (int)syscall(SYS_waitid, P_PIDFD, pidfd, info, options, usage);
    } while (answer != 0 && errno == EINTR);
    return answer == 0 ? 0 : errno;
}

static struct pti_exit how_of(const siginfo_t *info, const struct rusage *usage)
{
    struct pti_exit how = {.known = true, .usage = *usage, .code = info->si_status};
    how.signaled = info->si_code == CLD_KILLED || info->si_code == CLD_DUMPED;
    how.core = info->si_code == CLD_DUMPED;
    return how;
}

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd look = {.fd = fd, .events = POLLIN};
    return poll(&look, 1, timeout_ms) == 1;
}

bool pti_spawn_reap(int pidfd, struct pti_exit *ret_exit)
{
    siginfo_t info;
    struct rusage usage = {0};
    int error = wait_for(pidfd, WEXITED | WNOHANG, &info, &usage);
    if (error == 0 && info.si_pid == 0)
        return false;
    if (error == 0) {
        *ret_exit = how_of(&info, &usage);
        return true;
    }
    /* ECHILD: with SIGCHLD ignored the kernel reaps by itself, at the end of the process and not before. */
    if (!is_readable(pidfd, 0))
        return false;
    *ret_exit = (struct pti_exit){0};
    return true;
}

void pti_spawn_wait(int pidfd, struct pti_exit *ret_exit)
{
    siginfo_t info;
    struct rusage usage = {0};
    *ret_exit = (struct pti_exit){0};
    if (wait_for(pidfd, WEXITED, &info, &usage) == 0)
        *ret_exit = how_of(&info, &usage);
    else
        while (!is_readable(pidfd, -1) && errno == EINTR)
            ;
}

int pti_spawn_signal(int pidfd, int signal)
{
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) == 0 ? 0 : errno;
}

bool pti_is_main_thread(void)
{
    return (pid_t)syscall(SYS_gettid) == getpid();
}

void pti_name_process(const char *name)
{
    const char *slash = strrchr(name, '/');
    (void)prctl(PR_SET_NAME, slash != NULL ? slash + 1 : name, 0, 0, 0);
}

void pti_exit_text(const struct pti_exit *how, char *buffer, size_t size)
{
    if (!how->known)
        (void)snprintf(buffer, size, "an unknown status (somebody else waited for it)");
    else if (how->signaled)
        (void)snprintf(buffer, size, "signal %d (%s)%s", how->code, strsignal(how->code), how->core ? ", core dumped" : "");
    else
        (void)snprintf(buffer, size, "exit status %d", how->code);
}
