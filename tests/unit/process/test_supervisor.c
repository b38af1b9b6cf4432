/* test_supervisor.c -- children are kept running, given up after a crash loop, and ended in the end.
 *
 * The children are this program again: main looks for "child" and behaves as the next word says.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "process/supervisor.h"
#include "process/tether.h"
#include "support/ptt.h"

/* -- the children --------------------------------------------------------------------------------------------- */

static int number_of(char **argv, const char *key)
{
    for (; *argv != NULL; argv++)
        if (strncmp(*argv, key, strlen(key)) == 0)
            return atoi(*argv + strlen(key));
    return -1;
}

static _Atomic int asked;

static void leave(void *context)
{
    (void)context;
    atomic_store(&asked, 1);
}

static int child_main(const char *role, char **argv)
{
    struct pti_status *status;

    if (pti_tether_hold(number_of(argv, "tether="), leave, NULL) != 0)
        return 100;
    if (pti_status_join(number_of(argv, "status="), (unsigned)number_of(argv, "slot="), &status) != 0)
        return 101;
    if (strcmp(role, "polite") == 0 || strcmp(role, "worker") == 0) {
        atomic_fetch_add(&status->progress, 1);
        while (!atomic_load(&asked))
            usleep(1000);
        return 0;
    }
    if (strcmp(role, "deaf") == 0) {
        signal(SIGTERM, SIG_IGN);
        atomic_fetch_add(&status->progress, 1); /* not before: from now on it may be asked */
        for (;;)
            pause();
    }
    if (strcmp(role, "busy") == 0) { /* works, but does not look whether it is asked */
        atomic_fetch_add(&status->progress, 1);
        for (;;)
            pause();
    }
    if (strcmp(role, "crash") == 0)
        return 9;
    if (strcmp(role, "left") == 0)
        return 0;
    return 102;
}

/* -- the tests ------------------------------------------------------------------------------------------------ */

static struct pti_supervisor *start(const char *role, unsigned count, unsigned crash_limit)
{
    static char program[] = "test_supervisor", child[] = "child";
    char word[16];
    snprintf(word, sizeof word, "%s", role);
    char *argv[] = {program, child, word, NULL};
    struct pti_supervisor_options options = {.path = "/proc/self/exe", .argv = argv, .count = count,
                                             .crash_limit = crash_limit, .pause_ms = 1, .pause_max_ms = 4};
    struct pti_supervisor *supervisor = NULL;

    assert_int_equal(pti_supervisor_new(&options, &supervisor), 0);
    return supervisor;
}

struct until {
    struct pti_supervisor *supervisor;
    uint64_t progress; /* of slot 0 */
    unsigned deaths;
    bool failed, gone;
};

static bool has_come(void *context)
{
    struct until *until = context;
    pti_supervisor_tend(until->supervisor);
    if (until->failed)
        return pti_supervisor_has_failed(until->supervisor);
    if (until->gone)
        return !pti_supervisor_is_alive(until->supervisor);
    return atomic_load(&pti_supervisor_status(until->supervisor, 0)->progress) >= until->progress &&
           pti_supervisor_deaths(until->supervisor) >= until->deaths;
}

static void children_work_and_leave_when_asked(void **state)
{
    struct ptt_traces before;

    (void)state;
    ptt_traces_take(&before);
    struct pti_supervisor *supervisor = start("polite", 3, 0);
    assert_int_equal(pti_supervisor_running(supervisor), 3);
    assert_true(ptt_wait_until(has_come, &(struct until){.supervisor = supervisor, .progress = 1}, PTT_LONG));
    pti_supervisor_end(supervisor, PTT_LONG);

    for (unsigned slot = 0; slot < 3; slot++) {
        const struct pti_child *child = pti_supervisor_child(supervisor, slot);
        assert_int_equal(child->state, PTI_CHILD_ENDED);
        assert_true(child->how.known && !child->how.signaled && child->how.code == 0);
    }
    assert_int_equal(pti_supervisor_deaths(supervisor), 0);
    pti_supervisor_free(supervisor);
    ptt_traces_assert_none_left(&before);
}

static void a_killed_child_is_started_again(void **state)
{
    struct pti_supervisor *supervisor = start("worker", 2, 0);
    struct until until = {.supervisor = supervisor, .progress = 1};

    (void)state;
    assert_true(ptt_wait_until(has_come, &until, PTT_LONG));
    for (unsigned i = 1; i <= 20; i++) { /* more often than the crash limit: each of them had worked */
        kill(pti_supervisor_child(supervisor, 0)->pid, SIGKILL);
        assert_true(ptt_wait_readable(pti_supervisor_fd(supervisor), PTT_LONG));
        until.deaths = i;
        until.progress = i + 1;
        assert_true(ptt_wait_until(has_come, &until, PTT_LONG));
        assert_int_equal(pti_supervisor_running(supervisor), 2);
    }
    assert_false(pti_supervisor_has_failed(supervisor));
    pti_supervisor_free(supervisor);
}

static void a_crash_loop_is_given_up(void **state)
{
    struct pti_supervisor *supervisor = start("crash", 2, 5);

    (void)state;
    assert_true(ptt_wait_until(has_come, &(struct until){.supervisor = supervisor, .failed = true}, PTT_LONG));

    assert_int_equal(pti_supervisor_deaths(supervisor), 10);
    assert_int_equal(pti_supervisor_running(supervisor), 0);
    assert_int_equal(pti_supervisor_child(supervisor, 1)->how.code, 9);
    pti_supervisor_free(supervisor);
}

static void a_child_that_leaves_is_not_started_again(void **state)
{
    struct pti_supervisor *supervisor = start("left", 2, 0);

    (void)state;
    assert_true(ptt_wait_until(has_come, &(struct until){.supervisor = supervisor, .gone = true}, PTT_LONG));

    assert_false(pti_supervisor_has_failed(supervisor));
    assert_int_equal(pti_supervisor_deaths(supervisor), 0);
    pti_supervisor_free(supervisor);
}

static void who_does_not_hear_gets_a_signal(void **state)
{
    struct pti_supervisor *supervisor = start("busy", 1, 0);

    (void)state;
    assert_true(ptt_wait_until(has_come, &(struct until){.supervisor = supervisor, .progress = 1}, PTT_LONG));
    pti_supervisor_end(supervisor, 50);

    assert_int_equal(pti_supervisor_child(supervisor, 0)->how.code, SIGTERM);
    pti_supervisor_free(supervisor);
}

static void who_does_not_heed_the_signal_is_killed(void **state)
{
    struct pti_supervisor *supervisor = start("deaf", 1, 0);

    (void)state;
    assert_true(ptt_wait_until(has_come, &(struct until){.supervisor = supervisor, .progress = 1}, PTT_LONG));
    pti_supervisor_end(supervisor, 20);

    assert_int_equal(pti_supervisor_child(supervisor, 0)->how.code, SIGKILL);
    pti_supervisor_free(supervisor);
}

static void the_descriptor_rests_while_nothing_happens(void **state)
{
    struct pti_supervisor *supervisor = start("polite", 1, 0);

    (void)state;
    assert_true(ptt_wait_until(has_come, &(struct until){.supervisor = supervisor, .progress = 1}, PTT_LONG));

    assert_false(ptt_wait_readable(pti_supervisor_fd(supervisor), 0));
    pti_supervisor_free(supervisor);
}

/* A supervisor of its own whose child's pid goes to the page; from a thread or not, it is then killed. */
static int supervise_and_stay(void *context)
{
    struct ptt_page *page = context;
    struct pti_supervisor *supervisor = start("worker", 1, 0);

    if (!ptt_wait_until(has_come, &(struct until){.supervisor = supervisor, .progress = 1}, PTT_LONG))
        return 1;
    atomic_store(&page->words[0], (uint64_t)pti_supervisor_child(supervisor, 0)->pid);
    pause();
    return 0;
}

static void *start_in_thread(void *context)
{
    supervise_and_stay(context);
    return NULL;
}

static int supervise_in_thread(void *context)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, start_in_thread, context) != 0)
        return 1;
    pthread_join(thread, NULL);
    return 0;
}

static void assert_child_dies_with(int (*parent_main)(void *context))
{
    struct ptt_page *page = ptt_page_new();
    int status = 0;

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t parent = ptt_fork(parent_main, page);
    assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
    pid_t orphan = (pid_t)atomic_load(&page->words[0]);
    ptt_kill(parent);

    assert_int_equal(waitpid(orphan, &status, 0), orphan);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    ptt_page_free(page);
}

static void children_die_with_their_parent(void **state)
{
    (void)state;
    assert_child_dies_with(supervise_and_stay);
}

/* PDEATHSIG does not work there: the tether must. */
static void children_started_by_a_thread_die_with_its_process(void **state)
{
    (void)state;
#if defined(__SANITIZE_THREAD__)
    print_message("skipped: ThreadSanitizer does not know threads of a forked child\n");
    skip();
#endif
    assert_child_dies_with(supervise_in_thread);
}

static void *start_two(void *context)
{
    *(struct pti_supervisor **)context = start("polite", 2, 0);
    return NULL;
}

static void children_outlive_the_thread_that_started_them(void **state)
{
    struct pti_supervisor *supervisor = NULL;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, start_two, &supervisor), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(ptt_wait_until(has_come, &(struct until){.supervisor = supervisor, .progress = 1}, PTT_LONG));

    assert_false(ptt_wait_readable(pti_supervisor_fd(supervisor), 100));
    assert_int_equal(pti_supervisor_running(supervisor), 2);
    assert_int_equal(pti_supervisor_deaths(supervisor), 0);
    pti_supervisor_free(supervisor);
}

static int use_inherited(void *context)
{
    struct pti_supervisor *supervisor = context;
    struct pti_supervisor_news news = pti_supervisor_tend(supervisor);
    if (pti_supervisor_is_ours(supervisor) || news.died != 0 || news.started != 0)
        return 1;
    pti_supervisor_free(supervisor); /* ends nobody */
    return 0;
}

static void a_forked_copy_leaves_the_children_alone(void **state)
{
    struct pti_supervisor *supervisor = start("polite", 1, 0);

    (void)state;
    assert_true(ptt_wait_until(has_come, &(struct until){.supervisor = supervisor, .progress = 1}, PTT_LONG));
    ptt_assert_exit(ptt_fork(use_inherited, supervisor), 0, PTT_LONG);

    pti_supervisor_tend(supervisor);
    assert_int_equal(pti_supervisor_running(supervisor), 1);
    assert_int_equal(pti_supervisor_deaths(supervisor), 0);
    pti_supervisor_free(supervisor);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_work_and_leave_when_asked),
        cmocka_unit_test(a_killed_child_is_started_again),
        cmocka_unit_test(a_crash_loop_is_given_up),
        cmocka_unit_test(a_child_that_leaves_is_not_started_again),
        cmocka_unit_test(who_does_not_hear_gets_a_signal),
        cmocka_unit_test(who_does_not_heed_the_signal_is_killed),
        cmocka_unit_test(the_descriptor_rests_while_nothing_happens),
        cmocka_unit_test(children_die_with_their_parent),
        cmocka_unit_test(children_started_by_a_thread_die_with_its_process),
        cmocka_unit_test(children_outlive_the_thread_that_started_them),
        cmocka_unit_test(a_forked_copy_leaves_the_children_alone),
    };
    if (argc > 2 && strcmp(argv[1], "child") == 0)
        return child_main(argv[2], argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
