/* test_window.c -- how far work runs ahead of the oldest result, and that nothing waits for ever because of it. */
#include <stdio.h>
#include <string.h>

#include "pools.h"

static bool nothing_runs(const struct ptq_pool_stats *stats, uint64_t held)
{
    return stats->running == 0 && stats->held + stats->ready == held;
}

static bool only_the_first_runs(const struct ptq_pool_stats *stats, uint64_t held)
{
    return stats->running == 1 && stats->held == held;
}

static bool stands_full(const struct ptq_pool_stats *stats, uint64_t finished)
{
    return stats->running == 0 && stats->ready == finished && stats->queued == 3;
}

static bool all_at_work(const struct ptq_pool_stats *stats, uint64_t count)
{
    return stats->running == count;
}

static void results_that_nobody_gets_are_bounded(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 5}, 0);
    pools_spawn(&pools, 2);
    uint64_t first = pools_submit(&pools, "echo", "x");
    for (unsigned i = 1; i < 50; i++)
        pools_submit(&pools, "echo", "x");
    assert_true(pools_wait_stats(&pools, nothing_runs, 5));

    struct ptq_pool_stats stats;
    assert_ok(ptq_pool_stats(pools.pool, &stats));
    assert_int_equal(stats.queued, 45);
    assert_int_equal(stats.ready, 5);
    assert_int_equal(stats.submitted, 50);
    assert_int_equal(stats.window, 5);
    for (unsigned i = 0; i < 50; i++)
        pools_expect(&pools, first + i, "x");
    pools_fini(&pools);
}

/* The fault of the system that this replaces: failures went past the window, and the reader waited for ever. */
static void a_slow_head_with_more_failures_than_the_window_goes_on(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 4}, 0);
    pools_spawn(&pools, 3);
    uint64_t first = pools_submit(&pools, "gate", "slow");
    for (unsigned i = 0; i < 20; i++)
        pools_submit(&pools, "fail", "on purpose");
    pools_wait_at_gates(&pools, 1);
    assert_true(pools_wait_stats(&pools, only_the_first_runs, 3));
    pools_open_gate(&pools, "slow");

    pools_expect(&pools, first, "slow");
    for (unsigned i = 0; i < 20; i++)
        pools_expect_error(&pools, first + 1 + i, PTQ_EFAILED);
    pools_fini(&pools);
}

static void a_result_in_hand_counts_and_too_many_are_an_answer(void **state)
{
    struct pools pools;
    ptq_result *held[3], *more = NULL;
    char text[400];

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 3}, 0);
    pools_spawn(&pools, 1);
    for (unsigned i = 0; i < 6; i++)
        pools_submit(&pools, "echo", "x");
    for (unsigned i = 0; i < 3; i++)
        held[i] = pools_get(&pools);

    assert_answer(PTQ_EAGAIN, ptq_pool_get(pools.pool, PTQ_FOREVER, &more));
    assert_null(more);
    ptq_pool_explain(pools.pool, PTQ_EAGAIN, text, sizeof text);
    assert_non_null(strstr(text, "3 results"));
    assert_ok(ptq_result_done(held[1])); /* not the oldest: still no room */
    assert_answer(PTQ_EAGAIN, ptq_pool_get(pools.pool, PTQ_NOWAIT, &more));
    assert_ok(ptq_result_done(held[0]));
    more = pools_get(&pools);
    assert_int_equal(ptq_result_ticket(more), ptq_result_ticket(held[2]) + 1);
    assert_ok(ptq_result_done(more));
    assert_ok(ptq_result_done(held[2]));
    pools_fini(&pools);
}

static void submit_blocks_when_jobs_are_full_and_goes_on(void **state)
{
    struct pools pools;
    uint64_t ticket;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.capacity = 3, .window = 2}, 0);
    pools_spawn(&pools, 1);
    for (unsigned i = 0; i < 5; i++)
        pools_submit(&pools, "echo", "x");
    assert_true(pools_wait_stats(&pools, stands_full, 2)); /* the window is finished, the queue is full */
    assert_answer(PTQ_FULL, ptq_pool_submit(pools.pool, "echo", "x", 1, PTQ_NOWAIT, &ticket));
    assert_answer(PTQ_TIMEDOUT, ptq_pool_submit(pools.pool, "echo", "x", 1, 10, &ticket));

    assert_ok(ptq_result_done(pools_get(&pools)));
    assert_ok(ptq_pool_submit(pools.pool, "echo", "x", 1, PTT_LONG, &ticket));
    pools_fini(&pools);
}

/* Q9: no worker sits on a finished result.  With a window as small as the workers all of them are at work at once. */
static void the_window_lets_every_worker_work(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 3}, 0);
    pools_spawn(&pools, 3);
    for (unsigned i = 0; i < 6; i++)
        pools_submit(&pools, "gate", "gate");
    pools_wait_at_gates(&pools, 3);
    assert_true(pools_wait_stats(&pools, all_at_work, 3));
    for (unsigned i = 0; i < 6; i++)
        pools_open_gate(&pools, "gate");
    for (unsigned i = 0; i < 6; i++)
        assert_ok(ptq_result_done(pools_get(&pools)));
    pools_fini(&pools);
}

static void the_head_of_the_line_is_named(void **state)
{
    struct pools pools;
    struct ptq_pool_stats stats;
    int64_t pid;

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    uint64_t ticket = pools_submit(&pools, "gate", "slow");
    pools_wait_at_gates(&pools, 1);
    assert_ok(ptq_pool_stats(pools.pool, &stats));

    assert_int_equal(stats.head, ticket);
    assert_int_equal(ptq_pool_worker_pids(pools.pool, &pid, 1), 1);
    assert_int_equal(stats.head_pid, pid);
    assert_true(stats.head_ms >= 0);
    assert_int_equal(stats.workers, 1);
    pools_open_gate(&pools, "slow");
    pools_expect(&pools, ticket, "slow");
    pools_fini(&pools);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_that_nobody_gets_are_bounded),
        cmocka_unit_test(a_slow_head_with_more_failures_than_the_window_goes_on),
        cmocka_unit_test(a_result_in_hand_counts_and_too_many_are_an_answer),
        cmocka_unit_test(submit_blocks_when_jobs_are_full_and_goes_on),
        cmocka_unit_test(the_window_lets_every_worker_work),
        cmocka_unit_test(the_head_of_the_line_is_named),
    };
    pools_register();
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
