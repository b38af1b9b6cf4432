/* test_task.c -- what tasks and commands get and give, and how their failures come out. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/bus.h"
#include "pools.h"

static void several_tasks_share_a_pool(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 2);
    uint64_t first = pools_submit(&pools, "echo", "hello");
    pools_submit(&pools, "big", "3");
    pools_submit(&pools, "pid", "");
    pools_submit(&pools, "echo", "");

    pools_expect(&pools, first, "hello");
    pools_expect(&pools, first + 1, "bbb");
    ptq_result *result = pools_get(&pools);
    char pid[32];
    snprintf(pid, sizeof pid, "%lld", (long long)ptq_result_pid(result));
    assert_int_equal(ptq_result_size(result), strlen(pid));
    assert_memory_equal(ptq_result_data(result), pid, strlen(pid));
    assert_int_equal((uintptr_t)ptq_result_data(result) % 16, 0);
    assert_ok(ptq_result_done(result));
    pools_expect(&pools, first + 3, "");
    pools_fini(&pools);
}

static void a_failure_comes_out_in_its_place_with_its_story(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, NULL, 0);
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 1, .name = "indexer"}));
    uint64_t first = pools_submit(&pools, "fail", "cannot read page 7");
    pools_submit(&pools, "echo", "next");

    ptq_result *result = pools_get(&pools);
    assert_int_equal(ptq_result_ticket(result), first);
    assert_int_equal(ptq_result_kind(result), PTQ_RESULT_ERROR);
    assert_answer(PTQ_EFAILED, ptq_result_code(result));
    assert_string_equal(ptq_result_text(result), "cannot read page 7");
    assert_string_equal(ptq_result_worker(result), "indexer-0");
    assert_string_equal(ptq_result_host(result), pools.scratch.bus->node);
    int64_t pid;
    ptq_pool_worker_pids(pools.pool, &pid, 1);
    assert_int_equal(ptq_result_pid(result), pid);
    assert_int_equal(ptq_result_tries(result), 1);
    assert_ok(ptq_result_done(result));
    pools_expect(&pools, first + 1, "next");
    pools_fini(&pools);
}

static void a_result_that_is_too_large_is_an_error_and_no_loss(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.result_size = 2000}, 0);
    pools_spawn(&pools, 1);
    uint64_t first = pools_submit(&pools, "big", "2000");
    pools_submit(&pools, "big", "2001");
    pools_submit(&pools, "big", "5000000");

    ptq_result *result = pools_get(&pools);
    assert_int_equal(ptq_result_size(result), 2000);
    assert_ok(ptq_result_done(result));
    result = pools_get(&pools);
    assert_answer(PTQ_EMSGSIZE, ptq_result_code(result));
    assert_non_null(strstr(ptq_result_text(result), "2001 bytes"));
    assert_non_null(strstr(ptq_result_text(result), "2000"));
    assert_ok(ptq_result_done(result));
    pools_expect_error(&pools, first + 2, PTQ_EMSGSIZE);
    pools_fini(&pools);
}

static void jobs_and_results_in_side_files_pass(void **state)
{
    struct pools pools;
    size_t most = 3u << 20;
    char *data = calloc(1, most), number[16];

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.capacity = 2, .window = 2, .item_size = (uint32_t)most,
                                                  .result_size = (uint32_t)most}, 0);
    pools_spawn(&pools, 1);
    memset(data, 'b', most);
    snprintf(number, sizeof number, "%zu", most);
    uint64_t first;
    assert_ok(ptq_pool_submit(pools.pool, "echo", data, most, PTT_LONG, &first));
    assert_ok(ptq_pool_submit_marker(pools.pool, data, most, PTT_LONG, NULL));
    for (unsigned i = 0; i < 2; i++) {
        ptq_result *result = pools_get(&pools);
        assert_int_equal(ptq_result_ticket(result), first + i);
        assert_int_equal(ptq_result_size(result), most);
        assert_memory_equal(ptq_result_data(result), data, most);
        assert_ok(ptq_result_done(result));
    }
    pools_submit(&pools, "big", number);
    ptq_result *result = pools_get(&pools);
    assert_memory_equal(ptq_result_data(result), data, most);
    assert_ok(ptq_result_done(result));
    assert_answer(PTQ_EMSGSIZE, ptq_pool_submit(pools.pool, "echo", data, most + 1, PTQ_NOWAIT, NULL));
    free(data);
    pools_fini(&pools);
}

static void a_small_result_size_still_has_room_for_errors(void **state)
{
    struct pools pools;
    char text[401];

    (void)state;
    memset(text, 't', sizeof text - 1);
    text[sizeof text - 1] = 0;
    pools_init(&pools, &(struct ptq_pool_options){.result_size = 1}, 0);
    pools_spawn(&pools, 1);
    pools_submit(&pools, "fail", text);
    ptq_result *result = pools_get(&pools);
    assert_string_equal(ptq_result_text(result), text);
    assert_ok(ptq_result_done(result));
    pools_fini(&pools);
}

static void an_unknown_task_is_refused_before_it_is_queued(void **state)
{
    struct pools pools;
    struct ptq_pool_stats stats;

    (void)state;
    pools_init(&pools, NULL, 0);
    assert_answer(PTQ_ENOTASK, ptq_pool_submit(pools.pool, "ecoh", "x", 1, PTQ_NOWAIT, NULL));
    assert_answer(PTQ_ENOTASK, ptq_pool_submit(pools.pool, NULL, "x", 1, PTQ_NOWAIT, NULL));
    assert_answer(PTQ_EINVAL, ptq_pool_submit(pools.pool, "no/name", "x", 1, PTQ_NOWAIT, NULL));
    assert_answer(PTQ_EINVAL, ptq_pool_submit(pools.pool, "echo", NULL, 1, PTQ_NOWAIT, NULL));
    assert_ok(ptq_pool_stats(pools.pool, &stats));
    assert_int_equal(stats.submitted, 0);
    pools_fini(&pools);
}

static enum ptq_err never_called(ptq_task *task, const void *data, size_t size)
{
    (void)task;
    (void)data;
    (void)size;
    abort();
}

static void a_task_that_the_worker_does_not_know_is_an_error_in_its_place(void **state)
{
    struct pools pools;

    (void)state;
    assert_ok(ptq_task_register("only-here", never_called, NULL)); /* after ptq_worker_main: its workers do not know it */
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    uint64_t first = pools_submit(&pools, "only-here", "x");
    pools_submit(&pools, "echo", "next");

    pools_expect_error(&pools, first, PTQ_ENOTASK);
    pools_expect(&pools, first + 1, "next");
    pools_fini(&pools);
}

/* -- commands ------------------------------------------------------------------------------------------------- */

static void spawn_command(struct pools *pools, unsigned count, const char *line)
{
    assert_ok(ptq_pool_spawn(pools->pool, &(struct ptq_spawn_options){.count = count, .exec = line}));
}

static void submit_to_command(struct pools *pools, const char *text)
{
    assert_ok(ptq_pool_submit(pools->pool, NULL, text, strlen(text), PTT_LONG, NULL));
}

static void a_command_is_a_task(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, NULL, 0);
    spawn_command(&pools, 2, "tr a-z A-Z");
    uint64_t first;
    assert_ok(ptq_pool_submit(pools.pool, NULL, "hello", 5, PTT_LONG, &first));
    submit_to_command(&pools, "");
    submit_to_command(&pools, "two\nlines\n");
    pools_expect(&pools, first, "HELLO");
    pools_expect(&pools, first + 1, "");
    pools_expect(&pools, first + 2, "TWO\nLINES\n");
    pools_fini(&pools);
}

static void a_command_knows_its_job(void **state)
{
    struct pools pools;
    uint64_t ticket;
    char expected[64];

    (void)state;
    setenv("PTQ_TRIES", "99", 1);
    pools_init(&pools, NULL, 0);
    spawn_command(&pools, 1, "echo $PTQ_POOL $PTQ_TICKET $PTQ_TRIES");
    assert_ok(ptq_pool_submit(pools.pool, NULL, NULL, 0, PTT_LONG, &ticket));
    snprintf(expected, sizeof expected, "pool %llu 1\n", (unsigned long long)ticket);
    pools_expect(&pools, ticket, expected);
    unsetenv("PTQ_TRIES");
    pools_fini(&pools);
}

static void a_trace_goes_from_the_job_through_its_command_to_the_result(void **state)
{
    static const char text[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const struct ptq_pool_options small = {.item_size = 16, .result_size = 64}; /* there is room for it beside the smallest */
    struct ptq_trace trace, found;
    struct ptq_submit_options options = {.trace = &trace};
    struct pools pools;
    uint64_t ticket;
    (void)state;
    pools_init(&pools, &small, 0);
    spawn_command(&pools, 1, "echo \"${TRACEPARENT-none}\"; [ \"$(cat)\" = good ]");
    assert_ok(ptq_trace_parse(text, &trace));

    assert_ok(ptq_pool_submit_with(pools.pool, NULL, "good", 4, &options, PTT_LONG, &ticket));
    assert_ok(ptq_pool_submit_with(pools.pool, NULL, "bad", 3, &options, PTT_LONG, NULL));
    submit_to_command(&pools, "good");
    options.flags = PTQ_PARTIAL;
    assert_answer(PTQ_EINVAL, ptq_pool_submit_with(pools.pool, NULL, "good", 4, &options, PTT_LONG, NULL));

    ptq_result *result = pools_get(&pools);
    assert_int_equal(ptq_result_ticket(result), ticket);
    assert_int_equal(ptq_result_size(result), strlen(text) + 1);
    assert_memory_equal(ptq_result_data(result), text, strlen(text));
    assert_true(ptq_result_trace(result, &found));
    assert_memory_equal(&found, &trace, sizeof trace);
    assert_ok(ptq_result_done(result));
    result = pools_get(&pools); /* an error bears it too */
    assert_int_equal(ptq_result_kind(result), PTQ_RESULT_ERROR);
    assert_true(ptq_result_trace(result, &found));
    assert_ok(ptq_result_done(result));
    result = pools_get(&pools);
    assert_memory_equal(ptq_result_data(result), "none", 4);
    assert_false(ptq_result_trace(result, &found));
    assert_ok(ptq_result_done(result));
    pools_fini(&pools);
}

static void a_command_that_fails_is_an_error_with_its_status(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, NULL, 0);
    spawn_command(&pools, 1, "read what; case $what in ok) echo fine;; kill) kill -KILL $$;; *) exit 3;; esac");
    submit_to_command(&pools, "bad\n");
    submit_to_command(&pools, "kill\n");
    submit_to_command(&pools, "ok\n");

    ptq_result *result = pools_get(&pools);
    assert_answer(PTQ_EFAILED, ptq_result_code(result));
    assert_non_null(strstr(ptq_result_text(result), "exit status 3"));
    assert_ok(ptq_result_done(result));
    result = pools_get(&pools);
    assert_non_null(strstr(ptq_result_text(result), "signal 9"));
    assert_ok(ptq_result_done(result));
    result = pools_get(&pools);
    assert_memory_equal(ptq_result_data(result), "fine\n", 5);
    assert_ok(ptq_result_done(result));
    struct ptq_pool_stats stats;
    assert_ok(ptq_pool_stats(pools.pool, &stats));
    assert_int_equal(stats.deaths, 0);
    pools_fini(&pools);
}

/* More than a pipe holds in both directions; a command that does not read; one that writes before it reads. */
static void pipes_never_wait_for_each_other(void **state)
{
    struct pools pools;
    size_t size = 700000;
    char *data = malloc(size);

    (void)state;
    memset(data, 'q', size);
    pools_init(&pools, &(struct ptq_pool_options){.capacity = 4, .window = 4, .item_size = (uint32_t)size,
                                                  .result_size = (uint32_t)size}, 0);
    spawn_command(&pools, 1, "head -c 1 > /dev/null; head -c 300000 /dev/zero; cat");
    assert_ok(ptq_pool_submit(pools.pool, NULL, data, 400001, PTT_LONG, NULL));
    ptq_result *result = pools_get(&pools);
    assert_int_equal(ptq_result_kind(result), PTQ_RESULT_JOB);
    assert_true(ptq_result_size(result) >= 300000); /* head may have taken more than its byte */
    assert_ok(ptq_result_done(result));
    pools_fini(&pools);

    pools_init(&pools, &(struct ptq_pool_options){.capacity = 4, .window = 4, .item_size = (uint32_t)size}, 0);
    spawn_command(&pools, 1, "echo unread");
    uint64_t first;
    assert_ok(ptq_pool_submit(pools.pool, NULL, data, size, PTT_LONG, &first));
    pools_expect(&pools, first, "unread\n");
    pools_fini(&pools);
    free(data);
}

static void a_commands_output_beyond_the_limit_is_an_error(void **state)
{
    struct pools pools;
    uint64_t first;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.result_size = 100}, 0);
    spawn_command(&pools, 1, "head -c 1000000 /dev/zero");
    assert_ok(ptq_pool_submit(pools.pool, NULL, "x", 1, PTT_LONG, &first));
    pools_expect_error(&pools, first, PTQ_EMSGSIZE);
    pools_fini(&pools);
}

/* -- a worker in this process --------------------------------------------------------------------------------- */

static void *work_here(void *context)
{
    struct pools *pools = context;
    static enum ptq_err err;
    err = ptq_pool_work(pools->pool, &(struct ptq_work_options){.name = "thread"});
    return &err;
}

static void a_thread_can_be_a_worker_until_it_is_told_to_leave(void **state)
{
    struct pools pools;
    pthread_t thread;
    void *answer;

    (void)state;
    pools_init(&pools, NULL, 0);
    assert_int_equal(pthread_create(&thread, NULL, work_here, &pools), 0);
    pools_submit(&pools, "echo", "here");
    ptq_result *result = pools_get(&pools);
    assert_int_equal(ptq_result_pid(result), getpid());
    assert_string_equal(ptq_result_worker(result), "thread");
    assert_ok(ptq_result_done(result));
    ptq_pool_leave(pools.pool);
    assert_int_equal(pthread_join(thread, &answer), 0);

    assert_answer(PTQ_EINTR, *(enum ptq_err *)answer);
    pools_fini(&pools);
}

static void a_worker_in_this_process_ends_with_the_pool(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, NULL, 0);
    uint64_t first = pools_submit(&pools, "echo", "1");
    pools_submit(&pools, "fail", "2");
    assert_ok(ptq_pool_stop(pools.pool));
    assert_ok(ptq_pool_work(pools.pool, NULL));
    pools_expect(&pools, first, "1");
    pools_expect_error(&pools, first + 1, PTQ_EFAILED);
    pools_expect_end(&pools);
    pools_fini(&pools);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_tasks_share_a_pool),
        cmocka_unit_test(a_failure_comes_out_in_its_place_with_its_story),
        cmocka_unit_test(a_result_that_is_too_large_is_an_error_and_no_loss),
        cmocka_unit_test(jobs_and_results_in_side_files_pass),
        cmocka_unit_test(a_small_result_size_still_has_room_for_errors),
        cmocka_unit_test(an_unknown_task_is_refused_before_it_is_queued),
        cmocka_unit_test(a_command_is_a_task),
        cmocka_unit_test(a_command_knows_its_job),
        cmocka_unit_test(a_trace_goes_from_the_job_through_its_command_to_the_result),
        cmocka_unit_test(a_command_that_fails_is_an_error_with_its_status),
        cmocka_unit_test(pipes_never_wait_for_each_other),
        cmocka_unit_test(a_commands_output_beyond_the_limit_is_an_error),
        cmocka_unit_test(a_thread_can_be_a_worker_until_it_is_told_to_leave),
        cmocka_unit_test(a_worker_in_this_process_ends_with_the_pool),
        cmocka_unit_test(a_task_that_the_worker_does_not_know_is_an_error_in_its_place), /* last: it adds a task */
    };
    pools_register();
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
