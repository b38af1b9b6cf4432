/* test_watchdog.c -- a section over its limit: the flag, the signal, the end; and nobody else is hit.
 *
 * The children are this program again: main looks for "child" and behaves as the next word says.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"
#include "process/supervisor.h"
#include "process/tether.h"
#include "process/watchdog.h"
#include "support/ptt.h"

#define MS PTI_NS_PER_MS
#define RACING_GRACE (20 * MS)

/* -- the children --------------------------------------------------------------------------------------------- */

static int number_of(char **argv, const char *key)
{
    for (; *argv != NULL; argv++)
        if (strncmp(*argv, key, strlen(key)) == 0)
            return atoi(*argv + strlen(key));
    return -1;
}

static void leave(void *context)
{
    (void)context;
}

static struct pti_status *status;
static _Atomic uint64_t signals;

static void count_signal(int number)
{
    (void)number;
    atomic_fetch_add(&signals, 1);
}

static void say_last_word(void *context)
{
    snprintf(status->last_words, sizeof status->last_words, "%s", (const char *)context);
}

static void never_finish(void *context)
{
    say_last_word(context);
    for (;;)
        pause();
}

/* Polls the flag, and answers 0 if all went in order: not before the limit, and before any signal. */
static int heed_the_flag(void)
{
    int64_t limit = pti_now_ns() + 20 * MS;
    pti_watchdog_begin(limit);
    while (!pti_watchdog_is_cancelled())
        ;
    bool early = pti_now_ns() < limit;
    return early ? 1 : pti_watchdog_end() ? 2 : pti_watchdog_is_cancelled() ? 3 : 0;
}

static int sleep_in_the_kernel(void)
{
    struct timespec day = {.tv_sec = 86400};
    pti_watchdog_begin(pti_now_ns() + 10 * MS);
    int slept = nanosleep(&day, NULL) == 0 ? 0 : errno;
    return slept != EINTR ? 1 : pti_watchdog_end() ? 2 : 0;
}

_Noreturn static void work_for_ever(int64_t limit_ns)
{
    pti_watchdog_begin(limit_ns == PTI_DEADLINE_NEVER ? limit_ns : pti_now_ns() + limit_ns);
    atomic_store(&status->progress, 1);
    for (;;)
        ;
}

/* Ten thousand sections that end in time: longer and shorter limits take turns. */
static int end_in_time(void)
{
    for (int i = 0; i < 10000; i++) {
        pti_watchdog_begin(i % 3 == 0 ? PTI_DEADLINE_NEVER : pti_now_ns() + (i % 2 ? 10000 : 20000) * MS);
        if (pti_watchdog_is_cancelled() || !pti_watchdog_end())
            return 1;
    }
    return atomic_load(&signals) == 0 ? 0 : 2;
}

/* Sections that end about when the flag or the first signal comes: what comes after one is never hit. */
static int end_at_the_limit(void)
{
    uint64_t random = 7;
    int64_t end = pti_now_ns() + 300 * MS;
    unsigned late = 0;
    for (unsigned i = 0; i < 16 || pti_now_ns() < end; i++) {
        int64_t limit = pti_now_ns() + MS / 10, near = i % 8 == 7 ? limit + RACING_GRACE : limit;
        int64_t until = near + (int64_t)(ptt_random(&random) % (MS / 5)) - MS / 10;
        pti_watchdog_begin(limit);
        while (pti_now_ns() < until || (i == 15 && atomic_load(&signals) == 0)) /* one waits for its signal */
            ;
        late += !pti_watchdog_end();
        uint64_t before = atomic_load(&signals);
        for (int64_t rest = pti_now_ns() + MS / 20; pti_now_ns() < rest;)
            if (pti_watchdog_is_cancelled() || atomic_load(&signals) != before)
                return 1;
    }
    return late != 0 && atomic_load(&signals) != 0 ? 0 : 2;
}

#define DELAYED 42 /* the machine was too busy for it */

static void say_delayed(void *context)
{
    (void)context;
    _exit(DELAYED);
}

static int child_main(const char *role, char **argv)
{
    static char still[] = "still here", stuck[] = "it was stuck";
    struct sigaction action = {.sa_handler = count_signal};
    bool mute = strcmp(role, "mute") == 0, racing = strcmp(role, "racing") == 0;
    struct pti_watchdog_options options = {.grace_ns = RACING_GRACE, .alarm = number_of(argv, "alarm="),
                                           .last_word = mute ? never_finish : racing ? say_delayed : say_last_word,
                                           .context = mute ? still : stuck};

    if (pti_status_join(number_of(argv, "status="), (unsigned)number_of(argv, "slot="), &status) != 0)
        return 100;
    options.status = status;
    if (strcmp(role, "none") == 0) { /* without a watchdog nothing is limited */
        pti_watchdog_begin(1);
        return pti_watchdog_is_cancelled() || !pti_watchdog_end();
    }
    if (pti_watchdog_start(&options) != 0 || pti_tether_hold(number_of(argv, "tether="), leave, NULL) != 0)
        return 101;
    if (strcmp(role, "polite") == 0)
        return heed_the_flag();
    if (strcmp(role, "sleeper") == 0)
        return sleep_in_the_kernel();
    if (strcmp(role, "stuck") == 0 || mute)
        work_for_ever(10 * MS);
    if (strcmp(role, "stopped") == 0)
        work_for_ever(500 * MS);
    if (strcmp(role, "unlimited") == 0)
        work_for_ever(PTI_DEADLINE_NEVER);
    sigaction(PTI_WATCHDOG_SIGNAL, &action, NULL);
    return racing ? end_at_the_limit() : end_in_time();
}

/* -- the tests ------------------------------------------------------------------------------------------------ */

static struct pti_supervisor *start(const char *role)
{
    static char program[] = "test_watchdog", child[] = "child";
    char word[16];
    snprintf(word, sizeof word, "%s", role);
    char *argv[] = {program, child, word, NULL};
    struct pti_supervisor_options options = {.path = "/proc/self/exe", .argv = argv, .count = 1, .no_respawn = true, .limits = true};
    struct pti_supervisor *supervisor = NULL;

    assert_int_equal(pti_supervisor_new(&options, &supervisor), 0);
    return supervisor;
}

struct until {
    struct pti_supervisor *supervisor;
    bool worked;
    unsigned overdue;
};

static bool has_come(void *context)
{
    struct until *until = context;
    until->overdue += pti_supervisor_tend(until->supervisor).overdue;
    if (until->worked)
        return atomic_load(&pti_supervisor_status(until->supervisor, 0)->progress) != 0;
    return pti_supervisor_running(until->supervisor) == 0;
}

#define LIVES 20 /* of a child that a busy machine may hold up for longer than its graces */

/* Starts it, waits for its end, and tells it.  Its parent had to kill it: once more. */
static struct pti_exit end_of(const char *role, char *last_words)
{
    struct pti_exit how = {.code = DELAYED};
    unsigned overdue = 1;
    for (int life = 0; life < LIVES && overdue != 0; life++) {
        struct pti_supervisor *supervisor = start(role);
        struct until until = {.supervisor = supervisor};
        assert_true(ptt_wait_until(has_come, &until, PTT_LONG));
        how = pti_supervisor_child(supervisor, 0)->how;
        if (last_words != NULL)
            memcpy(last_words, pti_supervisor_status(supervisor, 0)->last_words, sizeof status->last_words);
        pti_supervisor_free(supervisor);
        overdue = until.overdue;
    }
    assert_int_equal(overdue, 0);
    return how;
}

/* Its watchdog had to kill it: once more. */
static void assert_ends_well(const char *role)
{
    struct pti_exit how = end_of(role, NULL);
    for (int life = 1; life < LIVES && how.signaled; life++)
        how = end_of(role, NULL);
    assert_false(how.signaled);
    assert_int_equal(how.code, 0);
}

static void the_flag_comes_first_and_at_the_limit(void **state)
{
    (void)state;
    assert_ends_well("polite");
}

static void a_system_call_is_interrupted_by_the_signal(void **state)
{
    (void)state;
    assert_ends_well("sleeper");
}

static void who_heeds_neither_says_a_last_word_and_ends(void **state)
{
    char last_words[sizeof status->last_words];
    struct pti_exit how = end_of("stuck", last_words);

    (void)state;
    assert_true(how.signaled);
    assert_int_equal(how.code, SIGKILL);
    assert_string_equal(last_words, "it was stuck");
}

static void a_last_word_that_never_ends_does_not_hold_up_the_end(void **state)
{
    char last_words[sizeof status->last_words];
    struct pti_exit how = end_of("mute", last_words);

    (void)state;
    assert_true(how.signaled);
    assert_int_equal(how.code, SIGKILL);
    assert_string_equal(last_words, "still here");
}

static void sections_that_end_in_time_are_left_alone(void **state)
{
    (void)state;
    assert_ends_well("quick");
}

static void neither_flag_nor_signal_hits_what_comes_after_a_late_section(void **state)
{
    struct pti_exit how = {.code = DELAYED};

    (void)state;
    for (unsigned i = 0; i < 20 && how.code == DELAYED; i++)
        how = end_of("racing", NULL);
    assert_false(how.signaled);
    assert_int_equal(how.code, 0);
}

static void without_a_watchdog_nothing_is_limited(void **state)
{
    (void)state;
    assert_ends_well("none");
}

/* The parent sleeps on its descriptor alone: it is woken though the child cannot speak.  False: its own watchdog had ended the child
 * before it was stopped; one that is stopped has nobody but its parent. */
static bool is_killed_by_its_parent(void)
{
    struct pti_supervisor *supervisor = start("stopped");
    struct until until = {.supervisor = supervisor, .worked = true};

    assert_true(ptt_wait_until(has_come, &until, PTT_LONG));
    kill(pti_supervisor_child(supervisor, 0)->pid, SIGSTOP);
    until.worked = false;
    while (!has_come(&until))
        assert_true(ptt_wait_readable(pti_supervisor_fd(supervisor), PTT_LONG));

    assert_true(until.overdue <= 1);
    assert_int_equal(pti_supervisor_was_overdue(supervisor, 0), until.overdue);
    assert_int_equal(pti_supervisor_child(supervisor, 0)->how.code, SIGKILL);
    pti_supervisor_free(supervisor);
    return until.overdue == 1;
}

static void a_stopped_child_is_killed_by_its_parent_when_its_time_is_over(void **state)
{
    int life = 1;

    (void)state;
    while (!is_killed_by_its_parent())
        assert_true(++life <= LIVES);
}

static void a_section_without_limit_disturbs_nobody(void **state)
{
    struct pti_supervisor *supervisor = start("unlimited");
    struct until until = {.supervisor = supervisor, .worked = true};

    (void)state;
    assert_true(ptt_wait_until(has_come, &until, PTT_LONG));
    assert_false(ptt_wait_readable(pti_supervisor_fd(supervisor), 100));
    assert_int_equal(pti_supervisor_running(supervisor), 1);
    pti_supervisor_free(supervisor);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_flag_comes_first_and_at_the_limit),
        cmocka_unit_test(a_system_call_is_interrupted_by_the_signal),
        cmocka_unit_test(who_heeds_neither_says_a_last_word_and_ends),
        cmocka_unit_test(a_last_word_that_never_ends_does_not_hold_up_the_end),
        cmocka_unit_test(sections_that_end_in_time_are_left_alone),
        cmocka_unit_test(neither_flag_nor_signal_hits_what_comes_after_a_late_section),
        cmocka_unit_test(without_a_watchdog_nothing_is_limited),
        cmocka_unit_test(a_stopped_child_is_killed_by_its_parent_when_its_time_is_over),
        cmocka_unit_test(a_section_without_limit_disturbs_nobody),
    };
    if (argc > 2 && strcmp(argv[1], "child") == 0)
        return child_main(argv[2], argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
