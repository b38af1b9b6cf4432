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

struct birth {
    const struct pti_spawn *spawn;
    pid_t parent;
    volatile int error; /* written by the child in our memory */
};

/* What is ignored stays ignored (nohup), but for SIGPIPE: libraries ignore it for themselves, programs rely on it. */
static void default_signals(void)
{
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) != 0 || (action.sa_handler == SIG_IGN && number != SIGPIPE))
            continue;
        action = (struct sigaction){.sa_handler = SIG_DFL};
        (void)sigaction(number, &action, NULL);
    }
}

/* Moves a descriptor to `target`, without close-on-exec. */
static int move_to(int fd, int target)
{
    if (fd < 0)
        return 0;
    if (fd == target)
        return fcntl(fd, F_SETFD, 0);
    return dup2(fd, target) < 0 ? -1 : 0;
}

static int be_born(void *argument)
{
    struct birth *birth = argument;
    const struct pti_spawn *spawn = birth->spawn;

    default_signals();
    if (spawn->death_signal != 0 && !pti_spawn_die_with(birth->parent, spawn->death_signal))
        _exit(127);
    if (move_to(spawn->in, 0) != 0 || move_to(spawn->out, 1) != 0)
        goto failed;
    for (unsigned i = 0; i < spawn->keep_count; i++)
        if (fcntl(spawn->keep[i], F_SETFD, 0) != 0)
            goto failed;
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    execve(spawn->path, spawn->argv, spawn->envp != NULL ? spawn->envp : environ);
failed:
    birth->error = errno;
    _exit(127);
}

int pti_spawn(const struct pti_spawn *spawn, pid_t *ret_pid, int *ret_pidfd)
{
    char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return errno;

    struct birth birth = {.spawn = spawn, .parent = getpid()};
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

bool pti_spawn_die_with(pid_t parent, int signal)
{
    (void)prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0);
    return getppid() == parent; /* it may have ended before the prctl */
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
