/* child.c -- processes that a test starts, and the page on which they record. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/ptt.h"

struct ptt_page *ptt_page_new(void)
{
    void *page = mmap(NULL, sizeof(struct ptt_page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(page != MAP_FAILED);
    return page;
}

void ptt_page_free(struct ptt_page *page)
{
    if (page != NULL)
        munmap(page, sizeof *page);
}

pid_t ptt_fork(int (*work)(void *context), void *context)
{
    pid_t parent = getpid();

    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv("CMOCKA_TEST_ABORT", "1", 1); /* a failed assert in a child must not go on with the parent's cases */
    if (getppid() != parent)
        _exit(125);
    _exit(work(context));
}

struct reaping {
    pid_t pid;
    int status;
};

static bool has_ended(void *context)
{
    struct reaping *reaping = context;
    pid_t got = waitpid(reaping->pid, &reaping->status, WNOHANG);

    return got == reaping->pid || (got < 0 && errno == ECHILD);
}

int ptt_reap(pid_t pid, int timeout_ms)
{
    struct reaping reaping = {.pid = pid, .status = -1};

    if (!ptt_wait_until(has_ended, &reaping, timeout_ms)) {
        ptt_kill(pid);
        return -1;
    }
    return reaping.status;
}

void ptt_assert_exit(pid_t pid, int code, int timeout_ms)
{
    int status = ptt_reap(pid, timeout_ms);

    if (status == -1)
        fail_msg("child %d went on for more than %d ms", (int)pid, timeout_ms);
    if (WIFSIGNALED(status))
        fail_msg("child %d died of signal %d", (int)pid, WTERMSIG(status));
    if (WEXITSTATUS(status) != code)
        fail_msg("child %d exited with %d, not %d", (int)pid, WEXITSTATUS(status), code);
}

void ptt_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

void ptt_stop(pid_t pid)
{
    int status = 0;

    assert_int_equal(kill(pid, SIGSTOP), 0);
    while (waitpid(pid, &status, WUNTRACED) < 0 && errno == EINTR)
        ;
    assert_true(WIFSTOPPED(status));
}

void ptt_continue(pid_t pid)
{
    assert_int_equal(kill(pid, SIGCONT), 0);
}
