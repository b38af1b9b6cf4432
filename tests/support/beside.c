/* beside.c -- the cases of one program beside each other: for those that wait most of the time. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/ptt.h"

#define MOST 8

/* One after the other, until none is left: whoever is free takes the next. */
static int run_some(const struct CMUnitTest *tests, size_t count, _Atomic uint64_t *next)
{
    int failed = 0;
    uint64_t i;

    while ((i = (*next)++) < count)
        failed += _cmocka_run_group_tests(tests[i].name, &tests[i], 1, NULL, NULL);
    return failed;
}

static pid_t start_runner(const struct CMUnitTest *tests, size_t count, _Atomic uint64_t *next)
{
    pid_t parent = getpid(), pid;

    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(125);
    setvbuf(stdout, NULL, _IOLBF, 0); /* the lines of several do not mix */
    exit(run_some(tests, count, next) == 0 ? 0 : 1); /* not _exit: a sanitizer looks for leaks */
}

int ptt_run_beside(const struct CMUnitTest *tests, size_t count, unsigned runners)
{
    struct ptt_page *page = ptt_page_new();
    pid_t pids[MOST];
    int failed = 0, status;

    assert_true(runners <= MOST);
    cmocka_set_test_filter(getenv("PTT_FILTER"));
    for (unsigned i = 0; i < runners; i++)
        pids[i] = start_runner(tests, count, &page->words[0]);
    for (unsigned i = 0; i < runners; i++)
        if (waitpid(pids[i], &status, 0) != pids[i] || status != 0) {
            fprintf(stderr, "beside: a runner %s %d\n", WIFSIGNALED(status) ? "was killed by signal" : "ended with",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
            failed++;
        }
    if (page->words[0] < count + runners) { /* each looks once too often */
        fprintf(stderr, "beside: %llu of %zu cases were begun\n", (unsigned long long)page->words[0], count);
        failed++;
    }
    ptt_page_free(page);
    return failed;
}
