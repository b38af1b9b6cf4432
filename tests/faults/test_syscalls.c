/* test_syscalls.c -- the n-th system call fails, for all n: nothing lost, nothing doubled, nobody stuck, no crash.
 *
 * The scenario runs in a traced child, linked with the shared library; at its n-th system call the number is taken away, so that
 * the kernel does nothing, and an error of the kind that call may give is put in its place.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults/scenario.h"
#include "support/ptt.h"

#if defined(__x86_64__)

#define CALLS_MAX 5000
#define BEGIN_MARK 0x70747131 /* getpriority(PRIO_PROCESS, this): the scenario begins here */

struct call {
    long number;
    int error;
};

/* What it answers when it fails; 0: it does not fail, or nothing of ours asks. */
static int error_of(const struct user_regs_struct *regs, bool second)
{
    switch ((long)regs->orig_rax) {
    case SYS_exit:
    case SYS_exit_group:
    case SYS_rt_sigreturn:
    case SYS_restart_syscall:
    case SYS_munmap:
    case SYS_close:
    case SYS_brk:
    case SYS_getpriority:
    case SYS_rt_sigprocmask:
        return 0;
    case SYS_openat:
        return second ? EACCES : EMFILE;
    case SYS_mmap:
    case SYS_madvise:
        return ENOMEM;
    case SYS_fallocate:
    case SYS_ftruncate:
        return second ? EFBIG : ENOSPC;
    case SYS_futex: /* to wake cannot fail, and libc ends the process if it does */
        return (regs->rsi & 127) == FUTEX_WAIT_BITSET || (regs->rsi & 127) == FUTEX_WAIT ? EINTR : 0;
    case SYS_poll:
    case SYS_epoll_wait:
    case SYS_clock_nanosleep:
        return EINTR;
    case SYS_inotify_init1:
    case SYS_eventfd2:
    case SYS_epoll_create1:
    case SYS_timerfd_create:
        return EMFILE;
    case SYS_inotify_add_watch:
        return ENOSPC;
    case SYS_membarrier:
        return second ? EPERM : ENOSYS;
    case SYS_fcntl:
        return second ? EMFILE : ENOLCK;
    default:
        return second ? EPERM : EIO;
    }
}

static void run_child(const char *dir, struct scenario *s)
{
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    syscall(SYS_getpriority, 0, BEGIN_MARK);
    alarm(60); /* nobody counts what follows a failure: what goes round for ever ends here */
    scenario_run(dir, s);
    _exit(s->done ? 0 : 1);
}

static bool go_on(pid_t pid, int signal, int *status)
{
    return ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(intptr_t)signal) == 0 && waitpid(pid, status, 0) == pid;
}

/* Lets the child run, with its n-th call of the scenario failing (0: none); behind that it runs free.  Returns how many calls there
 * were up to there; *ret_status is its wait status, *ret_failed what failed. */
static long run_failing(const char *dir, struct scenario *s, long n, bool second, int *ret_status, struct call *ret_failed)
{
    struct user_regs_struct regs;
    bool begun = false, entering = true;
    long calls = 0;
    int status = 0, error = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        run_child(dir, s);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    *ret_failed = (struct call){-1, 0};
    while (go_on(pid, 0, &status) && WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80)) {
        ptrace(PTRACE_GETREGS, pid, NULL, &regs);
        if (entering) {
            begun |= regs.orig_rax == SYS_getpriority && regs.rsi == BEGIN_MARK;
            error = begun ? error_of(&regs, second) : 0;
            if (error && ++calls == n) {
                *ret_failed = (struct call){(long)regs.orig_rax, error};
                regs.orig_rax = (unsigned long long)-1;
                ptrace(PTRACE_SETREGS, pid, NULL, &regs);
            } else {
                error = 0;
            }
        } else if (error) {
            regs.rax = (unsigned long long)-error;
            ptrace(PTRACE_SETREGS, pid, NULL, &regs);
            assert_int_equal(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
            assert_int_equal(waitpid(pid, &status, 0), pid);
            break;
        }
        entering = !entering;
        if (calls > CALLS_MAX)
            break;
    }
    if (!WIFEXITED(status) && !WIFSIGNALED(status)) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    *ret_status = status;
    return calls;
}

static void fail_each(bool second)
{
    struct scenario *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct call failing;
    long count = 0;
    int status, wrong = 0, none = 0;

    assert_true(s != MAP_FAILED);
    for (long n = 0; none < 3; n++) { /* with 0 all goes well; until there is no n-th call (thrice: sleeps may differ) */
        struct ptt_scratch scratch;
        const char *finding;
        long calls;

        memset(s, 0, sizeof *s);
        ptt_scratch_init_dir(&scratch);
        calls = run_failing(scratch.dir, s, n, second, &status, &failing);
        assert_true(calls <= CALLS_MAX);
        count += failing.error != 0;
        none = failing.error == 0 && n > 0 ? none + 1 : 0;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            finding = "it did not come to its end";
        else
            finding = scenario_audit(scratch.dir, s);
        if (n == 0)
            assert_int_equal(s->errors, 0);
        if (finding && wrong++ < 10)
            print_error("call %ld (number %ld, error %d): %s (%u errors, stuck %u, status 0x%x)\n", n, failing.number,
                        failing.error, finding, s->errors, s->stuck, status);
        ptt_scratch_fini(&scratch);
    }
    munmap(s, sizeof *s);
    print_message("%ld system calls failed, one at a time\n", count);
    assert_true(count > 50);
    assert_int_equal(wrong, 0);
}

static void any_system_call_may_fail(void **state)
{
    (void)state;
    fail_each(false);
}

static void any_system_call_may_fail_in_another_way(void **state)
{
    (void)state;
    fail_each(true);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(any_system_call_may_fail),
        cmocka_unit_test(any_system_call_may_fail_in_another_way),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}

#else
int main(void)
{
    printf("skipped: system calls are made to fail on x86-64 only\n");
    return 77;
}
#endif
