/* test_future.c -- each future gets its own job's result, whoever asks when, and what was cancelled never runs. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <ptq/map.h>

#include "base/time.h"
#include "pool/pool.h"
#include "doubtful.h"

static ptq_future *submit(struct pools *pools, const char *task, const char *text)
{
    ptq_future *future = NULL;
    assert_ok(ptq_pool_submit_future(pools->pool, task, text, strlen(text), NULL, PTT_LONG, &future));
    return future;
}

static void expect(ptq_future *future, const char *text)
{
    const ptq_result *result = NULL;
    assert_ok(ptq_future_wait(future, PTT_LONG, &result));
    assert_answer(PTQ_OK, ptq_result_code(result));
    assert_int_equal(ptq_result_ticket(result), ptq_future_ticket(future));
    assert_int_equal(ptq_result_size(result), strlen(text));
    assert_memory_equal(ptq_result_data(result), text, strlen(text));
}

static void futures_are_waited_for_in_any_order(void **state)
{
    struct pools pools;
    ptq_future *futures[6];
    char text[6][8];
    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 2);

    for (unsigned i = 0; i < 6; i++) {
        snprintf(text[i], sizeof text[i], "job %u", i);
        futures[i] = submit(&pools, "echo", text[i]);
    }
    for (unsigned i = 6; i-- > 0;)
        expect(futures[i], text[i]);
    expect(futures[3], text[3]); /* and again */
    for (unsigned i = 0; i < 6; i++)
        ptq_future_free(futures[i]);
    pools_fini(&pools);
}

static void futures_and_plain_gets_each_get_their_own(void **state)
{
    struct pools pools;
    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 2);

    uint64_t first = pools_submit(&pools, "echo", "plain 1");
    ptq_future *future = submit(&pools, "echo", "future");
    uint64_t second = pools_submit(&pools, "echo", "plain 2");
    ptq_future *late = submit(&pools, "echo", "late");

    expect(future, "future"); /* passes the first plain one */
    pools_expect(&pools, first, "plain 1");
    pools_expect(&pools, second, "plain 2");
    expect(late, "late");
    ptq_future_free(future);
    ptq_future_free(late);
    struct ptq_pool_stats stats;
    assert_ok(ptq_pool_stats(pools.pool, &stats));
    assert_int_equal(stats.got, 4);
    pools_fini(&pools);
}

static void a_future_whose_job_failed_has_the_error(void **state)
{
    struct pools pools;
    const ptq_result *result = NULL;
    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);

    ptq_future *future = submit(&pools, "fail", "of no use");
    assert_ok(ptq_future_wait(future, PTT_LONG, &result));
    assert_answer(PTQ_EFAILED, ptq_result_code(result));
    assert_string_equal(ptq_result_text(result), "of no use");
    ptq_future_free(future);
    pools_fini(&pools);
}

static void a_wait_that_is_too_short_says_so_and_another_goes_on(void **state)
{
    struct pools pools;
    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);

    ptq_future *future = submit(&pools, "gate", "g");
    pools_wait_at_gates(&pools, 1);
    assert_answer(PTQ_EMPTY, ptq_future_wait(future, PTQ_NOWAIT, NULL));
    assert_false(ptq_future_poll(future));
    assert_answer(PTQ_TIMEDOUT, ptq_future_wait(future, 20, NULL));
    pools_open_gate(&pools, "g");
    expect(future, "g");
    assert_true(ptq_future_poll(future));
    ptq_future_free(future);
    pools_fini(&pools);
}

/* What runs leaves its trace in a queue. */
static enum ptq_err leave_trace(ptq_task *task, const void *data, size_t size)
{
    ptq_queue *traces;
    enum ptq_err err = ptq_queue_open(task->worker->pool->bus, "traces", NULL, &traces);
    if (err == PTQ_OK)
        err = ptq_put(traces, data, size, PTT_LONG);
    ptq_queue_close(traces);
    return err;
}

static unsigned count_traces(struct pools *pools)
{
    struct ptq_queue_stats stats;
    ptq_queue *traces;
    assert_ok(ptq_queue_open(pools->scratch.bus, "traces", NULL, &traces));
    assert_ok(ptq_queue_stats(traces, &stats));
    ptq_queue_close(traces);
    return (unsigned)stats.put;
}

static void a_queued_job_that_was_cancelled_never_runs_and_counts_as_got(void **state)
{
    struct pools pools;
    ptq_future *futures[40];
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 4, .capacity = 64}, 0); /* most are beyond the window */
    pools_spawn(&pools, 1);

    ptq_future *head = submit(&pools, "gate", "g");
    pools_wait_at_gates(&pools, 1);
    for (unsigned i = 0; i < 40; i++)
        futures[i] = submit(&pools, "leave-trace", "x");
    for (unsigned i = 0; i < 40; i++)
        if (i % 2 == 0)
            assert_ok(ptq_future_cancel(futures[i]));
    assert_ok(ptq_future_cancel(futures[0])); /* again is fine */
    assert_answer(PTQ_EABORTED, ptq_future_wait(futures[0], PTT_LONG, NULL)); /* at once, though the head blocks */
    pools_open_gate(&pools, "g");
    expect(head, "g");
    ptq_future_free(head);
    for (unsigned i = 0; i < 40; i++) {
        assert_answer(i % 2 == 0 ? PTQ_EABORTED : PTQ_OK, ptq_future_wait(futures[i], PTT_LONG, NULL));
        ptq_future_free(futures[i]);
    }

    assert_int_equal(count_traces(&pools), 20);
    assert_ok(ptq_pool_stop(pools.pool));
    pools_expect_end(&pools);
    struct ptq_pool_stats stats;
    assert_ok(ptq_pool_stats(pools.pool, &stats));
    assert_int_equal(stats.got, 41);
    pools_fini(&pools);
}

static void cancelling_what_is_done_or_runs(void **state)
{
    struct pools pools;
    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);

    ptq_future *done = submit(&pools, "echo", "x");
    expect(done, "x");
    assert_answer(PTQ_EALREADY, ptq_future_cancel(done));
    expect(done, "x");
    ptq_future *running = submit(&pools, "gate", "g"), *next = submit(&pools, "echo", "next");
    pools_wait_at_gates(&pools, 1);
    assert_ok(ptq_future_cancel(running));
    assert_answer(PTQ_EABORTED, ptq_future_wait(running, PTT_LONG, NULL));
    pools_open_gate(&pools, "g");
    expect(next, "next"); /* what the other gave is thrown away */
    ptq_future_free(done);
    ptq_future_free(running);
    ptq_future_free(next);
    pools_fini(&pools);
}

static void a_freed_future_leaves_nothing_behind(void **state)
{
    struct pools pools;
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 2, .capacity = 4}, 0);
    pools_spawn(&pools, 1);

    for (unsigned i = 0; i < 50; i++)
        ptq_future_free(submit(&pools, "echo", "unwanted"));
    uint64_t ticket = pools_submit(&pools, "echo", "wanted");
    pools_expect(&pools, ticket, "wanted");
    pools_fini(&pools);
}

static void futures_that_hold_all_of_the_window_are_told(void **state)
{
    struct pools pools;
    ptq_future *futures[8] = {0}, *more = NULL;
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 2, .capacity = 2}, 0);
    pools_spawn(&pools, 1);

    unsigned count = 0;
    enum ptq_err err = PTQ_OK;
    while (count < 8 && (err = ptq_pool_submit_future(pools.pool, "echo", "x", 1, NULL, PTT_LONG, &futures[count])) == PTQ_OK)
        count++;
    assert_answer(PTQ_EAGAIN, err);
    assert_true(count >= 2);
    ptq_future_free(futures[0]);
    assert_ok(ptq_pool_submit_future(pools.pool, "echo", "y", 1, NULL, PTT_LONG, &more));
    for (unsigned i = 1; i < count; i++)
        ptq_future_free(futures[i]);
    expect(more, "y");
    ptq_future_free(more);
    pools_fini(&pools);
}

static void its_descriptor_tells_when_to_look(void **state)
{
    struct pools pools;
    int fd;
    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);

    ptq_future *future = submit(&pools, "gate", "g");
    pools_wait_at_gates(&pools, 1);
    assert_ok(ptq_future_fd(future, &fd));
    assert_false(ptq_future_poll(future));
    pools_open_gate(&pools, "g");
    int64_t deadline = pti_now_ns() + PTT_LONG * PTI_NS_PER_MS;
    while (!ptq_future_poll(future) && pti_now_ns() < deadline)
        assert_true(ptt_wait_readable(fd, PTT_LONG));
    expect(future, "g");
    ptq_future_free(future);
    pools_fini(&pools);
}

struct waiter {
    ptq_future *future;
    enum ptq_err answer;
    int fd;
};

static void *wait_for(void *context)
{
    struct waiter *waiter = context;
    waiter->answer = ptq_future_wait(waiter->future, PTT_LONG, NULL);
    return NULL;
}

static void several_threads_wait_for_their_own(void **state)
{
    enum { THREADS = 4 };
    struct pools pools;
    struct waiter waiters[THREADS];
    pthread_t threads[THREADS];
    char gates[THREADS][8];
    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, THREADS);

    for (unsigned i = 0; i < THREADS; i++) {
        snprintf(gates[i], sizeof gates[i], "g%u", i);
        waiters[i].future = submit(&pools, "gate", gates[i]);
    }
    pools_wait_at_gates(&pools, THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for, &waiters[i]), 0);
    for (unsigned i = THREADS; i-- > 0;)
        pools_open_gate(&pools, gates[i]);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_answer(PTQ_OK, waiters[i].answer);
        expect(waiters[i].future, gates[i]);
        ptq_future_free(waiters[i].future);
    }
    pools_fini(&pools);
}

static void join_keeps_what_futures_will_ask_for(void **state)
{
    struct pools pools;
    ptq_future *futures[12];
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 2, .capacity = 16}, 0);
    pools_spawn(&pools, 1);

    for (unsigned i = 0; i < 12; i++)
        futures[i] = submit(&pools, "echo", "kept");
    assert_ok(ptq_pool_stop(pools.pool));
    assert_ok(ptq_pool_join(pools.pool, PTT_LONG));
    for (unsigned i = 0; i < 12; i++) {
        expect(futures[i], "kept");
        ptq_future_free(futures[i]);
    }
    pools_fini(&pools);
}

/* Against the rules, and yet no reason to crash: one waits, one has its result on lease, one in this process's memory. */
static void futures_that_outlive_their_pool_say_that_it_is_gone(void **state)
{
    struct pools pools;
    const ptq_result *result;
    ptq_future *futures[3];
    int fd;
    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    futures[0] = submit(&pools, "echo", "on lease");
    expect(futures[0], "on lease");
    assert_ok(ptq_future_fd(futures[0], &fd));
    futures[1] = submit(&pools, "echo", "read ahead");
    assert_ok(pti_order_read_ahead(pools.pool, pti_now_ns() + PTT_LONG * PTI_NS_PER_MS));
    futures[2] = submit(&pools, "gate", "never");
    pools_wait_at_gates(&pools, 1);
    ptq_pool_close(pools.pool);
    for (unsigned i = 0; i < 3; i++) {
        assert_answer(PTQ_EGONE, ptq_future_wait(futures[i], PTT_LONG, &result));
        assert_answer(PTQ_EGONE, ptq_future_cancel(futures[i]));
        assert_answer(PTQ_EGONE, ptq_future_fd(futures[i], &fd));
        assert_true(ptq_future_poll(futures[i]));
        ptq_future_free(futures[i]);
    }
    pools.pool = NULL;
    pools_fini(&pools);
}

/* Its result came while nobody knew whose it is. */
static void a_future_that_was_in_doubt_finds_the_result_that_came_before_it(void **state)
{
    static const struct ptq_submit_options again = {.flags = PTQ_RETRY};
    struct pools pools;
    ptq_future *future;
    ptq_result *result;
    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    for (unsigned i = 0; i < 2; i++) {
        doubtful_begin(&pools, DOUBTFUL_DONE, 1, 0);
        assert_answer(PTQ_EINDOUBT, ptq_pool_submit_future(pools.pool, "echo", "x", 1, NULL, PTQ_NOWAIT, &future));
        if (i == 0) {
            assert_true(pti_order_start(pools.pool));
            assert_ok(pti_route_one(pools.pool, pti_now_ns() + PTT_LONG * PTI_NS_PER_MS));
            pti_order_stop(pools.pool);
        } else {
            assert_ok(pti_order_read_ahead(pools.pool, pti_now_ns() + PTT_LONG * PTI_NS_PER_MS)); /* as a join does */
        }
        assert_ok(ptq_pool_submit_future(pools.pool, "echo", "x", 1, &again, PTQ_NOWAIT, &future));
        assert_int_equal(doubtful_end(&pools), 1);
        expect(future, "x");
        ptq_future_free(future);
        assert_answer(PTQ_EMPTY, ptq_pool_get(pools.pool, PTQ_NOWAIT, &result));
        assert_int_equal(pools.pool->claims.doubts, 0);
    }
    pools_fini(&pools);
}

static void jobs_go_no_faster_than_the_rate(void **state)
{
    struct pools pools;
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.per_second = 100}, 0);
    pools_spawn(&pools, 1);

    int64_t start = pti_now_ns();
    for (unsigned i = 0; i < 6; i++)
        (void)pools_submit(&pools, "echo", "x");
    assert_true(pti_now_ns() - start >= 50 * PTI_NS_PER_MS);
    pools_fini(&pools);
}

/* The next turn is far away, however long this process stands still between two calls. */
static void a_submit_before_its_turn_is_full_or_times_out(void **state)
{
    struct pools pools;
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.per_second = 0.001}, 0);
    pools_spawn(&pools, 1);

    (void)pools_submit(&pools, "echo", "x");
    assert_answer(PTQ_FULL, ptq_pool_submit(pools.pool, "echo", "x", 1, PTQ_NOWAIT, NULL));
    assert_answer(PTQ_TIMEDOUT, ptq_pool_submit(pools.pool, "echo", "x", 1, 1, NULL));
    pools_fini(&pools);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(futures_are_waited_for_in_any_order),
        cmocka_unit_test(futures_and_plain_gets_each_get_their_own),
        cmocka_unit_test(a_future_whose_job_failed_has_the_error),
        cmocka_unit_test(a_wait_that_is_too_short_says_so_and_another_goes_on),
        cmocka_unit_test(a_queued_job_that_was_cancelled_never_runs_and_counts_as_got),
        cmocka_unit_test(cancelling_what_is_done_or_runs),
        cmocka_unit_test(a_freed_future_leaves_nothing_behind),
        cmocka_unit_test(futures_that_hold_all_of_the_window_are_told),
        cmocka_unit_test(its_descriptor_tells_when_to_look),
        cmocka_unit_test(several_threads_wait_for_their_own),
        cmocka_unit_test(join_keeps_what_futures_will_ask_for),
        cmocka_unit_test(futures_that_outlive_their_pool_say_that_it_is_gone),
        cmocka_unit_test(a_future_that_was_in_doubt_finds_the_result_that_came_before_it),
        cmocka_unit_test(jobs_go_no_faster_than_the_rate),
        cmocka_unit_test(a_submit_before_its_turn_is_full_or_times_out),
    };
    pools_register();
    if (ptq_task_register("leave-trace", leave_trace, NULL) != PTQ_OK)
        return 1;
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
