/* beside.c -- the cases of one program beside each other: for those that wait most of the time. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/ptt.h"

#define MOST 8

struct cases {
    const struct CMUnitTest *tests;
    size_t count;
    CMFixtureFunction setup, teardown; /* may be NULL */
    _Atomic uint64_t *next;
};

/* One after the other, until none is left: whoever is free takes the next. */
static int run_some(const struct cases *cases)
{
    void *state = NULL;
    int failed = 0;
    uint64_t i;

    if (cases->setup != NULL && cases->setup(&state) != 0)
        return 1;
    while ((i = (*cases->next)++) < cases->count)
        failed += _cmocka_run_group_tests(cases->tests[i].name, &cases->tests[i], 1, NULL, NULL);
    if (cases->teardown != NULL)
        failed += cases->teardown(&state) != 0;
    return failed;
}

static pid_t start_runner(const struct cases *cases)
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
    exit(run_some(cases) == 0 ? 0 : 1); /* not _exit: a sanitizer looks for leaks */
}

int ptt_run_beside(const struct CMUnitTest *tests, size_t count, unsigned runners)
{
    return ptt_run_beside_with(tests, count, runners, NULL, NULL);
}

int ptt_run_beside_with(const struct CMUnitTest *tests, size_t count, unsigned runners, CMFixtureFunction setup,
                        CMFixtureFunction teardown)
{
    struct ptt_page *page = ptt_page_new();
    struct cases cases = {tests, count, setup, teardown, &page->words[0]};
    pid_t pids[MOST];
    int failed = 0, status;

    assert_true(runners <= MOST);
    cmocka_set_test_filter(getenv("PTT_FILTER"));
    for (unsigned i = 0; i < runners; i++)
        pids[i] = start_runner(&cases);
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
