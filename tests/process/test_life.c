/* test_life.c -- a pool is opened, stopped, joined, aborted, closed. */
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "pools.h"

/* -- opening -------------------------------------------------------------------------------------------------- */

static void what_a_pool_was_made_with_wins(void **state)
{
    struct pools pools;
    struct ptq_error error = {0};
    ptq_pool *again;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.capacity = 7, .window = 9, .item_size = 100, .result_size = 3000}, 0);
    assert_ok(ptq_pool_open(pools.scratch.bus, "pool", NULL, &again));
    assert_int_equal(ptq_pool_window(again), 9);
    assert_string_equal(ptq_pool_name(again), "pool");
    assert_answer(PTQ_EMSGSIZE, ptq_pool_submit(again, "echo", error.text, 101, PTQ_NOWAIT, NULL));
    ptq_pool_close(again);

    struct ptq_pool_options other = {.window = 10, .error = &error};
    assert_answer(PTQ_EMISMATCH, ptq_pool_open(pools.scratch.bus, "pool", &other, &again));
    assert_non_null(strstr(error.text, "window"));
    other = (struct ptq_pool_options){.result_size = 4000, .error = &error};
    assert_answer(PTQ_EMISMATCH, ptq_pool_open(pools.scratch.bus, "pool", &other, &again));
    other = (struct ptq_pool_options){.mode = PTQ_CREATE, .error = &error};
    assert_answer(PTQ_EEXIST, ptq_pool_open(pools.scratch.bus, "pool", &other, &again));
    assert_non_null(strstr(error.text, "pool"));
    pools_fini(&pools);
}

static void what_is_not_a_pool_is_refused(void **state)
{
    struct ptt_scratch scratch;
    struct ptq_error error = {0};
    ptq_queue *queue;
    ptq_pool *pool;

    (void)state;
    ptt_scratch_init(&scratch);
    struct ptq_pool_options options = {.mode = PTQ_ATTACH, .error = &error};
    assert_answer(PTQ_ENOENT, ptq_pool_open(scratch.bus, "none", &options, &pool));
    options.mode = PTQ_OPEN_OR_CREATE;
    assert_answer(PTQ_EINVAL, ptq_pool_open(scratch.bus, "no/name", &options, &pool));
    assert_non_null(strstr(error.text, "no/name"));
    assert_answer(PTQ_EINVAL, ptq_pool_open(scratch.bus, "", &options, &pool));
    options.item_size = PTQ_POOL_ITEM_MAX + 1;
    assert_answer(PTQ_EINVAL, ptq_pool_open(scratch.bus, "large", &options, &pool));
    options.item_size = 0;
    assert_ok(ptq_queue_open(scratch.bus, "plain.jobs", NULL, &queue));
    assert_answer(PTQ_EMISMATCH, ptq_pool_open(scratch.bus, "plain", &options, &pool));
    assert_non_null(strstr(error.text, "plain.jobs"));
    ptq_queue_close(queue);
    assert_int_equal(ptt_scratch_files(&scratch, "done~v2"), 0);
    ptt_scratch_fini(&scratch);
}

struct opener {
    struct ptt_scratch *scratch;
    _Atomic uint64_t *start;
};

static int open_at_once(void *context)
{
    struct opener *opener = context;
    ptq_bus *bus = ptt_scratch_open(opener->scratch);
    ptq_pool *pool;

    atomic_fetch_add(&opener->start[1], 1);
    while (atomic_load(&opener->start[0]) == 0)
        ;
    enum ptq_err err = ptq_pool_open(bus, "pool", NULL, &pool);
    if (err != PTQ_OK)
        return (int)err;
    ptq_pool_close(pool);
    ptq_bus_close(bus);
    return 0;
}

static void many_may_open_it_first(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 5; round++) {
        struct ptt_scratch scratch;
        struct ptt_page *page = ptt_page_new();
        struct opener opener = {&scratch, page->words};
        pid_t children[6];

        ptt_scratch_init(&scratch);
        for (unsigned i = 0; i < 6; i++)
            children[i] = ptt_fork(open_at_once, &opener);
        assert_true(ptt_wait_word(&page->words[1], 6, PTT_LONG));
        atomic_store(&page->words[0], 1);
        for (unsigned i = 0; i < 6; i++)
            ptt_assert_exit(children[i], 0, PTT_LONG);
        ptt_page_free(page);
        ptt_scratch_fini(&scratch);
    }
}

/* Its creator died between making the results and making the jobs. */
static void half_a_pool_is_made_anew(void **state)
{
    struct ptt_scratch scratch;
    ptq_queue *queue;
    ptq_pool *pool;

    (void)state;
    ptt_scratch_init(&scratch);
    assert_ok(ptq_queue_open(scratch.bus, "half.done", NULL, &queue));
    ptq_queue_close(queue);
    assert_ok(ptq_pool_open(scratch.bus, "half", &(struct ptq_pool_options){.window = 77}, &pool));
    assert_int_equal(ptq_pool_window(pool), 77);
    ptq_pool_close(pool);
    assert_ok(ptq_pool_unlink(scratch.bus, "half", false));
    assert_ok(ptq_pool_unlink(scratch.bus, "half", false));
    assert_int_equal(ptt_scratch_files(&scratch, "~v2"), 0);
    ptt_scratch_fini(&scratch);
}

/* -- stopping ------------------------------------------------------------------------------------------------- */

static void stop_lets_everything_submitted_come_out(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 2);
    uint64_t first = pools_submit(&pools, "gate", "gate");
    pools_submit(&pools, "echo", "x");
    assert_ok(ptq_pool_stop(pools.pool));
    assert_ok(ptq_pool_stop(pools.pool));
    assert_answer(PTQ_EENDED, ptq_pool_submit(pools.pool, "echo", "late", 4, PTT_LONG, NULL));
    assert_answer(PTQ_EENDED, ptq_pool_submit_marker(pools.pool, "late", 4, PTQ_NOWAIT, NULL));
    assert_true(ptq_pool_alive(pools.pool));
    pools_open_gate(&pools, "gate");

    pools_expect(&pools, first, "gate");
    pools_expect(&pools, first + 1, "x");
    pools_expect_end(&pools);
    pools_expect_end(&pools);
    assert_ok(ptq_pool_join(pools.pool, PTT_LONG));
    assert_false(ptq_pool_alive(pools.pool));
    assert_ok(ptq_pool_supervise(pools.pool, PTQ_NOWAIT));
    struct ptq_pool_stats stats;
    assert_ok(ptq_pool_stats(pools.pool, &stats));
    assert_true(stats.stopped);
    assert_int_equal(stats.got, 2);
    assert_int_equal(stats.deaths, 0);
    pools_fini(&pools);
}

static void a_pool_that_nothing_was_submitted_to_ends_too(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, NULL, 0);
    assert_ok(ptq_pool_stop(pools.pool));
    pools_expect_end(&pools);
    assert_ok(ptq_pool_join(pools.pool, PTQ_NOWAIT));
    pools_fini(&pools);
}

struct watcher {
    struct ptt_scratch *scratch;
    struct ptt_page *page;
};

/* Gets to the end: how many results, and then PTQ_END. */
static int get_to_the_end(void *context)
{
    struct watcher *watcher = context;
    ptq_bus *bus = ptt_scratch_open(watcher->scratch);
    ptq_pool *pool;
    ptq_result *result;
    enum ptq_err err;

    if (ptq_pool_open(bus, "pool", NULL, &pool) != PTQ_OK)
        return 1;
    atomic_store(&watcher->page->words[0], 1);
    while ((err = ptq_pool_get(pool, PTQ_FOREVER, &result)) == PTQ_OK) {
        if (ptq_result_done(result) != PTQ_OK)
            return 2;
        atomic_fetch_add(&watcher->page->words[1], 1);
    }
    ptq_pool_close(pool);
    ptq_bus_close(bus);
    return err == PTQ_END ? 0 : 3;
}

static long switches_of(pid_t pid)
{
    char path[64], line[200];
    long count = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        (void)sscanf(line, "voluntary_ctxt_switches: %ld", &count);
    if (file != NULL)
        fclose(file);
    return count;
}

/* It has not waked for a second. */
static bool has_slept(void *context)
{
    pid_t pid = *(pid_t *)context;
    long before = switches_of(pid);
    usleep(1000000);
    return before >= 0 && switches_of(pid) == before;
}

/* Promise 9: who is blocked sleeps, and does not wake by itself.  Where it stood still for a while it may have a last look to come. */
static void assert_does_not_wake(pid_t pid)
{
    assert_true(ptt_wait_until(has_slept, &pid, PTT_LONG));
}

static void assert_sleeping_getter_learns_of_the_end(unsigned jobs, unsigned sleep_ms)
{
    struct pools pools;
    struct ptt_page *page = ptt_page_new();
    struct watcher watcher = {&pools.scratch, page};

    pools_init(&pools, NULL, 0);
    if (jobs != 0)
        pools_spawn(&pools, 1);
    pid_t getter = ptt_fork(get_to_the_end, &watcher);
    assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
    for (unsigned i = 0; i < jobs; i++)
        pools_submit(&pools, "echo", "x");
    assert_true(ptt_wait_word(&page->words[1], jobs, PTT_LONG));
    if (sleep_ms != 0)
        usleep(sleep_ms * 1000); /* not to make it true, but to have it asleep without a timer */
    assert_true(ptt_wait_sleeping(getter, getter, PTT_LONG));
    if (sleep_ms != 0)
        assert_does_not_wake(getter);
    assert_ok(ptq_pool_stop(pools.pool));

    ptt_assert_exit(getter, 0, PTT_LONG);
    pools_fini(&pools);
    ptt_page_free(page);
}

static void a_getter_that_sleeps_learns_of_the_end(void **state)
{
    (void)state;
    assert_sleeping_getter_learns_of_the_end(0, 0);
    assert_sleeping_getter_learns_of_the_end(3, 0);
}

static void a_getter_that_sleeps_for_long_learns_of_the_end(void **state)
{
    (void)state;
    assert_sleeping_getter_learns_of_the_end(0, 4500);
}

/* A program that ignores SIGCHLD does not learn how its children ended. */
static void workers_leave_where_nobody_learns_their_status(void **state)
{
    struct pools pools;
    struct ptq_pool_stats stats;

    (void)state;
    void (*before)(int) = signal(SIGCHLD, SIG_IGN);
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 2);
    uint64_t first = pools_submit(&pools, "echo", "x");
    pools_submit(&pools, "die-once", "y");
    pools_expect(&pools, first, "x");
    pools_expect(&pools, first + 1, "y");
    assert_ok(ptq_pool_stop(pools.pool));
    assert_ok(ptq_pool_join(pools.pool, PTT_LONG));
    assert_ok(ptq_pool_stats(pools.pool, &stats));
    signal(SIGCHLD, before);

    assert_int_equal(stats.deaths, 1);
    pools_fini(&pools);
}

static void the_end_is_there_for_the_next_getter_too(void **state)
{
    struct pools pools;
    struct ptt_page *page = ptt_page_new();
    struct watcher watcher = {&pools.scratch, page};

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    pools_submit(&pools, "echo", "x");
    assert_ok(ptq_pool_stop(pools.pool));
    for (unsigned i = 0; i < 3; i++)
        ptt_assert_exit(ptt_fork(get_to_the_end, &watcher), 0, PTT_LONG);

    assert_int_equal(atomic_load(&page->words[1]), 1);
    pools_expect_end(&pools);
    pools_fini(&pools);
    ptt_page_free(page);
}

/* -- joining -------------------------------------------------------------------------------------------------- */

static void join_has_one_deadline_for_everything(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 3);
    for (unsigned i = 0; i < 3; i++)
        pools_submit(&pools, "gate", "gate");
    pools_wait_at_gates(&pools, 3);
    assert_ok(ptq_pool_stop(pools.pool));
    int64_t start = pti_now_ns();
    assert_answer(PTQ_TIMEDOUT, ptq_pool_join(pools.pool, 200));
    int64_t took_ms = (pti_now_ns() - start) / PTI_NS_PER_MS;
    assert_true(took_ms >= 200 && took_ms < PTT_LONG); /* not one deadline a worker, which would need a quiet machine to tell */
    assert_true(ptq_pool_alive(pools.pool));
    assert_answer(PTQ_TIMEDOUT, ptq_pool_join(pools.pool, PTQ_NOWAIT));

    for (unsigned i = 0; i < 3; i++)
        pools_open_gate(&pools, "gate");
    assert_ok(ptq_pool_join(pools.pool, PTT_LONG));
    assert_false(ptq_pool_alive(pools.pool));
    for (unsigned i = 0; i < 3; i++)
        assert_ok(ptq_result_done(pools_get(&pools)));
    pools_expect_end(&pools);
    pools_fini(&pools);
}

static void join_finishes_though_nobody_reads_the_results(void **state)
{
    struct pools pools;
    struct ptq_pool_stats stats;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 4, .capacity = 60}, 0);
    pools_spawn(&pools, 2);
    uint64_t first = pools_submit(&pools, "echo", "0");
    for (unsigned i = 1; i < 50; i++)
        pools_submit(&pools, i % 5 == 0 ? "fail" : "echo", "x");
    assert_ok(ptq_pool_submit_marker(pools.pool, "last", 4, PTT_LONG, NULL));
    assert_ok(ptq_pool_stop(pools.pool));
    assert_ok(ptq_pool_join(pools.pool, PTT_LONG));

    assert_false(ptq_pool_alive(pools.pool));
    assert_ok(ptq_pool_stats(pools.pool, &stats));
    assert_int_equal(stats.queued + stats.running, 0);
    for (unsigned i = 0; i < 51; i++) {
        ptq_result *result = pools_get(&pools);
        assert_int_equal(ptq_result_ticket(result), first + i);
        assert_int_equal(ptq_result_kind(result), i == 50             ? PTQ_RESULT_MARKER
                                                  : i % 5 == 0 && i > 0 ? PTQ_RESULT_ERROR
                                                                        : PTQ_RESULT_JOB);
        assert_ok(ptq_result_done(result));
    }
    pools_expect_end(&pools);
    pools_fini(&pools);
}

static void join_says_that_results_in_hand_hold_it_up(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 2}, 0);
    pools_spawn(&pools, 1);
    for (unsigned i = 0; i < 6; i++)
        pools_submit(&pools, "echo", "x");
    ptq_result *result = pools_get(&pools);
    assert_ok(ptq_pool_stop(pools.pool));
    assert_answer(PTQ_EAGAIN, ptq_pool_join(pools.pool, PTT_LONG));
    assert_ok(ptq_result_done(result));
    assert_ok(ptq_pool_join(pools.pool, PTT_LONG));
    pools_fini(&pools);
}

/* -- ending --------------------------------------------------------------------------------------------------- */

static void abort_ends_it_for_everybody(void **state)
{
    struct pools pools;
    ptq_result *result = NULL;
    ptq_pool *other;

    (void)state;
    pools_init(&pools, NULL, 0);
    assert_ok(ptq_pool_open(pools.scratch.bus, "pool", NULL, &other));
    pools_spawn(&pools, 2);
    for (unsigned i = 0; i < 10; i++)
        pools_submit(&pools, "gate", "gate");
    pools_wait_at_gates(&pools, 2);
    assert_ok(ptq_pool_abort(pools.pool));

    assert_false(ptq_pool_alive(pools.pool));
    assert_answer(PTQ_EABORTED, ptq_pool_get(pools.pool, PTT_LONG, &result));
    assert_answer(PTQ_EABORTED, ptq_pool_submit(pools.pool, "echo", "x", 1, PTT_LONG, NULL));
    assert_answer(PTQ_EGONE, ptq_pool_get(other, PTT_LONG, &result));
    assert_answer(PTQ_EGONE, ptq_pool_submit(other, "echo", "x", 1, PTT_LONG, NULL));
    ptq_pool_close(other);
    ptq_pool_close(pools.pool);
    assert_ok(ptq_pool_open(pools.scratch.bus, "pool", &(struct ptq_pool_options){.mode = PTQ_CREATE}, &pools.pool));
    pools_fini(&pools);
}

static void close_leaves_what_was_not_done_to_others(void **state)
{
    struct pools pools;
    struct ptt_traces before;
    ptq_pool *mine;

    (void)state;
    pools_init(&pools, NULL, 0);
    ptt_traces_take(&before);
    assert_ok(ptq_pool_open(pools.scratch.bus, "pool", NULL, &mine));
    assert_ok(ptq_pool_spawn(mine, &(struct ptq_spawn_options){.count = 1}));
    uint64_t first = pools_submit(&pools, "gate", "gate");
    pools_submit(&pools, "echo", "x");
    pools_wait_at_gates(&pools, 1);
    ptq_pool_close(mine); /* its worker stands at the gate: it gets a second, then SIGTERM */
    ptt_traces_assert_none_left(&before);

    pools_spawn(&pools, 1);
    pools_open_gate(&pools, "gate");
    pools_expect(&pools, first, "gate");
    pools_expect(&pools, first + 1, "x");
    pools_fini(&pools);
}

static int use_inherited(void *context)
{
    struct pools *pools = context;
    ptq_result *result;
    struct ptq_pool_stats stats;
    int fd;

    if (ptq_pool_get(pools->pool, PTQ_NOWAIT, &result) != PTQ_EFORKED || ptq_pool_fd(pools->pool, &fd) != PTQ_EFORKED)
        return 1;
    if (ptq_pool_submit(pools->pool, "echo", "x", 1, PTQ_NOWAIT, NULL) != PTQ_EFORKED)
        return 2;
    if (ptq_pool_stop(pools->pool) != PTQ_EFORKED || ptq_pool_stats(pools->pool, &stats) != PTQ_EFORKED)
        return 3;
    if (ptq_pool_alive(pools->pool) || ptq_pool_join(pools->pool, 0) != PTQ_EFORKED)
        return 4;
    ptq_pool_close(pools->pool); /* ends nobody's worker */
    return 0;
}

static void a_forked_child_may_only_close(void **state)
{
    struct pools pools;
    ptq_result *result = NULL;

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    assert_answer(PTQ_TIMEDOUT, ptq_pool_get(pools.pool, 300, &result)); /* has every descriptor there is */
    ptt_assert_exit(ptt_fork(use_inherited, &pools), 0, PTT_LONG);

    assert_true(ptq_pool_alive(pools.pool));
    uint64_t ticket = pools_submit(&pools, "echo", "still here");
    pools_expect(&pools, ticket, "still here");
    pools_fini(&pools);
}

/* -- the descriptor ------------------------------------------------------------------------------------------- */

/* A program that only polls gets everything, in order, deaths and the end included. */
static void a_poller_gets_everything(void **state)
{
    struct pools pools;
    unsigned got = 0;
    bool killed = false;
    enum ptq_err err;
    int fd;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 4}, 0);
    pools_spawn(&pools, 2);
    assert_ok(ptq_pool_fd(pools.pool, &fd));
    for (unsigned i = 0; i < 20; i++)
        pools_submit(&pools, i == 10 ? "die-once" : "echo", "x");
    assert_ok(ptq_pool_submit_marker(pools.pool, "m", 1, PTT_LONG, NULL));
    assert_ok(ptq_pool_stop(pools.pool));
    do {
        ptq_result *result;
        assert_true(ptt_wait_readable(fd, PTT_LONG));
        while ((err = ptq_pool_get(pools.pool, PTQ_NOWAIT, &result)) == PTQ_OK) {
            assert_ok(ptq_result_done(result));
            got++;
        }
        killed = true;
    } while (err == PTQ_EMPTY);

    assert_true(killed);
    assert_answer(PTQ_END, err);
    assert_int_equal(got, 21);
    pools_fini(&pools);
}

static void the_descriptor_rests_while_nothing_happens(void **state)
{
    struct pools pools;
    ptq_result *result = NULL;
    int fd;

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    pools_expect(&pools, pools_submit(&pools, "echo", "x"), "x");
    assert_ok(ptq_pool_fd(pools.pool, &fd));
    unsigned wakes = 0; /* the looks of look.c, and then nothing */
    while (ptt_wait_readable(fd, 3000)) {
        assert_answer(PTQ_EMPTY, ptq_pool_get(pools.pool, PTQ_NOWAIT, &result));
        assert_true(++wakes < 20);
    }
    pools_fini(&pools);
}

static void a_pool_without_workers_starts_no_thread(void **state)
{
    struct pools pools;
    struct ptt_traces before, after;
    ptq_result *result = NULL;

    (void)state;
    ptt_traces_take(&before);
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    uint64_t ticket = pools_submit(&pools, "echo", "x");
    pools_expect(&pools, ticket, "x");
    assert_answer(PTQ_TIMEDOUT, ptq_pool_get(pools.pool, 300, &result));
    ptt_traces_take(&after);
    assert_int_equal(after.threads, before.threads);
    pools_fini(&pools);
    ptt_traces_assert_none_left(&before);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        /* the longest begin first */
        cmocka_unit_test(the_descriptor_rests_while_nothing_happens),
        cmocka_unit_test(a_getter_that_sleeps_for_long_learns_of_the_end),
        cmocka_unit_test(what_a_pool_was_made_with_wins),
        cmocka_unit_test(what_is_not_a_pool_is_refused),
        cmocka_unit_test(many_may_open_it_first),
        cmocka_unit_test(half_a_pool_is_made_anew),
        cmocka_unit_test(stop_lets_everything_submitted_come_out),
        cmocka_unit_test(a_pool_that_nothing_was_submitted_to_ends_too),
        cmocka_unit_test(a_getter_that_sleeps_learns_of_the_end),
        cmocka_unit_test(workers_leave_where_nobody_learns_their_status),
        cmocka_unit_test(the_end_is_there_for_the_next_getter_too),
        cmocka_unit_test(join_has_one_deadline_for_everything),
        cmocka_unit_test(join_finishes_though_nobody_reads_the_results),
        cmocka_unit_test(join_says_that_results_in_hand_hold_it_up),
        cmocka_unit_test(abort_ends_it_for_everybody),
        cmocka_unit_test(close_leaves_what_was_not_done_to_others),
        cmocka_unit_test(a_forked_child_may_only_close),
        cmocka_unit_test(a_poller_gets_everything),
        cmocka_unit_test(a_pool_without_workers_starts_no_thread),
    };
    pools_register();
    ptq_worker_main(argc, argv);
    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 3);
}
