/* test_deaths.c -- supervised processes that are killed and stopped at random, many at once, and where the system gives nothing.
 *
 *   process_deaths [SECONDS]     how long the random deaths take; 1
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <ptq/ptq.h>

#include "base/time.h"
#include "process/life.h"
#include "support/ptt.h"

#define OPTIONS(...) (&(struct ptq_process_options){__VA_ARGS__})

static int seconds = 1;
static volatile unsigned seen;

/* -- the child: counts, keeps what it has counted, and tells each number ---------------------------------------- */

struct state {
    uint64_t run; /* done */
    unsigned char pattern[3000];
};
static struct state own;

static enum ptq_err restore(ptq_self *self, void *user)
{
    size_t size;
    const struct state *before = ptq_self_restored(self, &size);
    (void)user;
    if (before == NULL)
        return PTQ_OK;
    own = *before;
    for (unsigned i = 0; i < sizeof own.pattern; i++)
        if (size != sizeof own || own.pattern[i] != (unsigned char)own.run)
            return ptq_self_fail(self, PTQ_ECORRUPT, "the checkpoint of run %llu is torn", (unsigned long long)own.run);
    return PTQ_OK;
}

static enum ptq_err count(ptq_self *self, void *user)
{
    (void)user;
    if (own.run > ptq_self_run(self)) /* the checkpoint may be one run ahead: it was made in a run that does not count */
        return ptq_self_fail(self, PTQ_ECORRUPT, "run %llu after %llu", (unsigned long long)ptq_self_run(self),
                             (unsigned long long)own.run);
    own.run = ptq_self_run(self);
    memset(own.pattern, (int)(unsigned char)own.run, sizeof own.pattern);
    return ptq_self_tell(self, &own.run, sizeof own.run, PTQ_FOREVER);
}

static enum ptq_err keep(ptq_self *self, void *user)
{
    (void)user;
    return ptq_self_checkpoint(self, &own, sizeof own);
}

static enum ptq_err give(ptq_self *self, void *user)
{
    (void)user;
    return ptq_self_give(self, &own.run, sizeof own.run);
}

/* Writes random words all over what it shares with its parent, until something comes of it. */
static enum ptq_err scribble(ptq_self *self, void *user)
{
    uint64_t seed = (uint64_t)getpid() * UINT64_C(0x9e3779b97f4a7c15), *words = (uint64_t *)(void *)self->record;
    size_t count_of_words = self->record->places.size / sizeof *words;
    (void)user;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t value = ptt_random(&seed);
        words[ptt_random(&seed) % (i % 2 ? count_of_words : 2000)] = value >> (value % 64);
    }
    return PTQ_OK;
}

static void hang_for_ever(void)
{
    for (;;)
        pause();
}

static enum ptq_err hang_at_exit(ptq_self *self, void *user)
{
    (void)user;
    return atexit(hang_for_ever) == 0 ? ptq_self_give(self, "done", 4) : PTQ_ESYS;
}

/* -- the tests ------------------------------------------------------------------------------------------------ */

/* Hears numbers: none is left out, and after a death the last may come again. */
static void hear(ptq_process *process, uint64_t *last)
{
    uint64_t number;
    size_t size;
    while (ptq_process_listen(process, &number, sizeof number, PTQ_NOWAIT, &size) == PTQ_OK) {
        if (number != *last + 1 && number != *last)
            fail_msg("%llu after %llu", (unsigned long long)number, (unsigned long long)*last);
        *last = number;
    }
}

static void hit(ptq_process *process, uint64_t *seed)
{
    struct ptq_process_status status;
    assert_ok(ptq_process_status(process, &status));
    if (status.pid == 0)
        return;
    unsigned way = (unsigned)(ptt_random(seed) % 4);
    if (way == 0) {
        kill((pid_t)status.pid, SIGSTOP);
        usleep((useconds_t)(ptt_random(seed) % 3000));
        kill((pid_t)status.pid, SIGCONT);
    } else {
        kill((pid_t)status.pid, way == 1 ? SIGABRT : SIGKILL);
    }
}

static void processes_killed_and_stopped_at_random_lose_nothing_that_they_kept(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_process *process;
    struct ptq_process_status status;
    uint64_t seed = ptt_seed(), last = 0, result;
    const void *data;
    size_t size;
    struct rlimit none = {0, 0};
    struct ptq_process_error error;

    setrlimit(RLIMIT_CORE, &none);
    assert_ok(ptq_process_new(scratch->bus, "count",
                              OPTIONS(.lives = PTQ_LIVES_MANY, .crash_limit = 1000000, .pause_ms = 1, .pause_max_ms = 1, .mail_count = 20,
                                      .recycle_runs = 1000, .timeout_ms = {[PTQ_SECTION_POSTRUN] = PTT_LONG}),
                              &process));
    assert_ok(ptq_process_start(process));
    assert_ok(ptq_process_status(process, &status));
    for (int64_t end = pti_now_ns() + seconds * PTI_NS_PER_S; pti_now_ns() < end || status.deaths == 0;) {
        if (ptq_process_wait(process, (int)(ptt_random(&seed) % 20)) != PTQ_TIMEDOUT)
            fail_msg("it has ended by itself");
        hear(process, &last);
        hit(process, &seed);
        assert_ok(ptq_process_status(process, &status));
    }
    do
        hear(process, &last); /* on a busy machine each may have died before its first run */
    while (ptq_process_status(process, &status) == PTQ_OK && status.runs == 0);
    assert_ok(ptq_process_stop(process));
    while (ptq_process_wait(process, 20) == PTQ_TIMEDOUT)
        hear(process, &last);
    hear(process, &last);
    enum ptq_err answer = ptq_process_result(process, PTQ_NOWAIT, &data, &size);
    ptq_process_error(process, &error);
    if (answer != PTQ_OK)
        fail_msg("%s: %s", ptq_err_name(answer), error.text);
    assert_int_equal(error.code, PTQ_EDIED); /* and nothing else was ever wrong */
    memcpy(&result, data, sizeof result);
    assert_ok(ptq_process_status(process, &status));
    print_message("%u deaths, %llu runs, the result is %llu, the last heard %llu\n", status.deaths, (unsigned long long)status.runs,
                  (unsigned long long)result, (unsigned long long)last);
    assert_true(status.deaths > 0 && result > 0);
    assert_true(last >= status.runs && result >= status.runs && result <= status.runs + 1);
    ptq_process_free(process);
    assert_int_equal(ptt_scratch_files(scratch, ""), 0);
}

static void fifty_at_once_live_and_die_each_for_itself(void **state)
{
    enum { MANY = 50 };
    struct ptt_scratch *scratch = *state;
    ptq_process *all[MANY];
    struct ptt_traces before;

    ptt_traces_take(&before);
    for (unsigned i = 0; i < MANY; i++) {
        assert_ok(ptq_process_new(scratch->bus, "count", OPTIONS(.runs = 5, .lives = 2, .slot = i, .pause_ms = 1), &all[i]));
        assert_ok(ptq_process_start(all[i]));
    }
    for (unsigned i = 0; i < MANY; i += 2) {
        struct ptq_process_status status;
        assert_ok(ptq_process_status(all[i], &status));
        if (status.pid != 0)
            kill((pid_t)status.pid, SIGKILL);
    }
    for (unsigned i = 0; i < MANY; i++) {
        assert_ok(ptq_process_result(all[i], PTT_LONG, NULL, NULL));
        ptq_process_free(all[i]);
    }
    ptt_traces_assert_none_left(&before);
}

/* Every number of descriptors that may be missing: a clear answer, and nothing left. */
static void without_descriptors_it_says_so_and_leaves_nothing(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct rlimit all, few;
    struct ptt_traces before;
    bool came = false;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    ptt_traces_take(&before);
    int lowest = dup(0);
    close(lowest);
    for (unsigned more = 0; more < 40 && !came; more++) {
        ptq_process *process = NULL;
        few = (struct rlimit){.rlim_cur = (rlim_t)lowest + more, .rlim_max = all.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        enum ptq_err made = ptq_process_new(scratch->bus, "count", OPTIONS(.runs = 1), &process);
        enum ptq_err started = made == PTQ_OK ? ptq_process_start(process) : PTQ_OK;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
        assert_true(made == PTQ_OK || made == PTQ_ENOMEM || made == PTQ_ESYS);
        assert_true(started == PTQ_OK || started == PTQ_ENOMEM);
        came = made == PTQ_OK && started == PTQ_OK;
        if (came)
            (void)!ptq_process_result(process, PTT_LONG, NULL, NULL); /* the child had as few: it may have failed for it, and says so */
        ptq_process_free(process);
        ptt_traces_assert_none_left(&before);
    }
    assert_true(came);
}

static void a_process_that_writes_nonsense_all_over_hurts_nobody_else(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        ptq_process *process;
        struct ptq_process_status status;
        struct ptq_process_error error;
        struct ptq_timer timer;
        const void *data;
        size_t size;

        assert_ok(ptq_process_new(NULL, "scribble", OPTIONS(.runs = 1, .crash_limit = 2, .pause_ms = 1), &process));
        assert_ok(ptq_process_start(process));
        for (int64_t end = pti_now_ns() + 30 * PTI_NS_PER_MS; pti_now_ns() < end && ptq_process_wait(process, 0) == PTQ_TIMEDOUT;) {
            assert_ok(ptq_process_status(process, &status));
            ptq_process_error(process, &error);
            for (int section = PTQ_SECTION_START; section < PTQ_SECTIONS; section++) {
                assert_ok(ptq_process_timer(process, (enum ptq_section)section, &timer));
                (void)ptq_timer_percentile(&timer, 50);
            }
        }
        if (ptq_process_result(process, PTQ_NOWAIT, &data, &size) != PTQ_TIMEDOUT && data != NULL)
            for (size_t at = 0; at < size; at++)
                seen += ((const unsigned char *)data)[at];
        ptq_process_free(process);
    }
}

static void an_exit_that_hangs_takes_no_result_away(void **state)
{
    ptq_process *process;
    struct ptq_process_status status;
    const void *data;
    size_t size;

    (void)state;
    if (seconds < 5) {
        print_message("skipped: it takes five seconds; process_deaths 5 does it\n");
        skip();
    }
    assert_ok(ptq_process_new(NULL, "hang", OPTIONS(.runs = 1), &process));
    assert_ok(ptq_process_run(process, &data, &size));
    assert_int_equal(size, 4);
    assert_ok(ptq_process_status(process, &status));
    assert_int_equal(status.signal, SIGKILL);
    assert_int_equal(status.deaths, 0);
    ptq_process_free(process);
}

#define DEATH_TEST(name) cmocka_unit_test_setup_teardown(name, ptt_setup_scratch, ptt_teardown_scratch)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        DEATH_TEST(processes_killed_and_stopped_at_random_lose_nothing_that_they_kept),
        DEATH_TEST(fifty_at_once_live_and_die_each_for_itself),
        DEATH_TEST(without_descriptors_it_says_so_and_leaves_nothing),
        cmocka_unit_test(a_process_that_writes_nonsense_all_over_hurts_nobody_else),
        cmocka_unit_test(an_exit_that_hangs_takes_no_result_away),
    };
    struct ptq_process_hooks hooks = {.start = restore, .run = count, .postrun = keep, .result = give};
    struct ptq_process_hooks hang = {.run = hang_at_exit}, wild = {.run = scribble};
    if (ptq_process_register("scribble", &wild, NULL) != PTQ_OK)
        return 1;
    if (ptq_process_register("count", &hooks, NULL) != PTQ_OK || ptq_process_register("hang", &hang, NULL) != PTQ_OK)
        return 1;
    ptq_worker_main(argc, argv);
    if (argc > 1)
        seconds = atoi(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
