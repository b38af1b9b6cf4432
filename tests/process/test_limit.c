/* test_limit.c -- how long a job may take: the offender is ended, nobody else. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ptq/worker.h>

#include "pools.h"

static uint64_t submit_limited(struct pools *pools, const char *task, const char *text, const struct ptq_call_options *call)
{
    uint64_t ticket = 0;
    assert_ok(ptq_pool_submit_with(pools->pool, task, text, strlen(text), &(struct ptq_submit_options){.call = call}, PTT_LONG,
                                   &ticket));
    return ticket;
}

/* The same pool as a program has it that has spawned nobody: a worker that stands still for long is not ended as long as it waits. */
static struct pools beside(const struct pools *pools)
{
    struct pools other = *pools;
    assert_ok(ptq_pool_open(pools->scratch.bus, "pool", &(struct ptq_pool_options){.mode = PTQ_ATTACH}, &other.pool));
    return other;
}

static unsigned deaths(struct pools *pools)
{
    struct ptq_pool_stats stats;
    assert_ok(ptq_pool_stats(pools->pool, &stats));
    return stats.deaths;
}

static bool have_died(const struct ptq_pool_stats *stats, uint64_t count)
{
    return stats->deaths >= count;
}

static uint64_t runs(struct pools *pools)
{
    ptq_queue *at;
    struct ptq_queue_stats stats;
    assert_ok(ptq_queue_open(pools->scratch.bus, "at", NULL, &at));
    assert_ok(ptq_queue_stats(at, &stats));
    ptq_queue_close(at);
    return stats.put;
}

static void only_the_offender_is_killed_and_the_others_go_on(void **state)
{
    struct pools pools;
    int64_t pids[2] = {0};

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    assert_int_equal(ptq_pool_worker_pids(pools.pool, pids, 1), 1);
    uint64_t first = pools_submit(&pools, "gate", "gate");
    pools_wait_at_gates(&pools, 1);
    pools_spawn(&pools, 1);
    submit_limited(&pools, "hang", "", &(struct ptq_call_options){.timeout_ms = 150});
    pools_submit(&pools, "echo", "next");
    assert_true(pools_wait_stats(&pools, pools_have_finished, 2));
    assert_true(pools_wait_stats(&pools, have_died, 1));
    pools_open_gate(&pools, "gate");

    ptq_result *result = pools_get(&pools);
    assert_int_equal(ptq_result_ticket(result), first);
    assert_int_equal(ptq_result_pid(result), pids[0]);
    assert_int_equal(ptq_result_tries(result), 1);
    assert_ok(ptq_result_done(result));
    result = pools_get(&pools);
    assert_answer(PTQ_TIMEDOUT, ptq_result_code(result));
    ptt_assert_says(ptq_result_text(result), "its limit is 150 ms");
    ptt_assert_says(ptq_result_text(result), "worker was killed");
    assert_int_equal(ptq_result_tries(result), 1);
    assert_string_equal(ptq_result_worker(result), "worker-0");
    assert_true(ptq_result_run_ns(result) >= 150000000);
    assert_ok(ptq_result_done(result));
    pools_expect(&pools, first + 2, "next");
    pools_fini(&pools);
}

static void a_job_that_timed_out_is_not_run_again(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 2);
    uint64_t first = submit_limited(&pools, "hang", "", &(struct ptq_call_options){.timeout_ms = 100});
    pools_submit(&pools, "echo", "next");
    pools_expect_error(&pools, first, PTQ_TIMEDOUT);
    pools_expect(&pools, first + 1, "next");
    assert_ok(ptq_pool_stop(pools.pool));
    assert_ok(ptq_pool_join(pools.pool, PTT_LONG));
    assert_int_equal(runs(&pools), 1);
    pools_fini(&pools);
}

static void a_job_that_timed_out_is_run_again_if_it_asks_for_that(void **state)
{
    static const struct ptq_call_options calls[] = {{.timeout_ms = 30, .retries = 2},
                                                    {.timeout_ms = 30, .retries = 2, .delay_ms = 10},
                                                    {.timeout_ms = 30, .retries = 2, .retry_on = PTQ_RETRY_ON(PTQ_EFAILED)}};
    static const unsigned wanted[] = {3, 3, 1};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct pools pools;
        pools_init(&pools, &(struct ptq_pool_options){.lives = 1}, 0); /* what the limit ends costs no lives */
        pools_spawn(&pools, 1);
        uint64_t first = submit_limited(&pools, "hang", "", &calls[i]);
        pools_expect_error(&pools, first, PTQ_TIMEDOUT);
        assert_int_equal(runs(&pools), wanted[i]);
        pools_fini(&pools);
    }
}

/* However they end: by their parent, or by themselves. */
static void no_end_by_the_limit_costs_a_life(void **state)
{
    static const struct ptq_call_options calls[] = {{.timeout_ms = 50, .retries = 2}, {.timeout_ms = 50, .retries = 2, .delay_ms = 10}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pools pools;
        pools_init(&pools, &(struct ptq_pool_options){.lives = 1}, 0);
        pools_spawn(&pools, 1);
        uint64_t first = submit_limited(&pools, "stop-then-hang", "", &calls[i]);
        pools_expect_error(&pools, first, PTQ_TIMEDOUT);
        assert_int_equal(runs(&pools), 2); /* and the one that was stopped */
        pools_fini(&pools);
    }
}

static void a_task_that_looks_ends_by_itself_and_its_worker_lives(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    uint64_t first = submit_limited(&pools, "look", "x", &(struct ptq_call_options){.timeout_ms = 50});
    pools_submit(&pools, "echo", "next");
    struct pools other = beside(&pools);
    ptq_result *result = pools_get(&other);
    assert_int_equal(ptq_result_ticket(result), first);
    assert_answer(PTQ_TIMEDOUT, ptq_result_code(result));
    ptt_assert_says(ptq_result_text(result), "its limit is 50");
    assert_ok(ptq_result_done(result));
    ptq_pool_close(other.pool);
    pools_expect(&pools, first + 1, "next");
    assert_int_equal(deaths(&pools), 0);
    pools_fini(&pools);
}

static void a_job_that_is_in_time_is_left_alone(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.call = {.timeout_ms = 20000}, .window = 50}, 0);
    pools_spawn(&pools, 2);
    uint64_t first = pools_submit(&pools, "spin", "x");
    for (unsigned i = 1; i < 40; i++)
        pools_submit(&pools, "spin", "x");
    for (unsigned i = 0; i < 40; i++)
        pools_expect(&pools, first + i, "x");
    assert_int_equal(deaths(&pools), 0);
    pools_fini(&pools);
}

/* It cannot end itself, and that costs no lives either. */
static void a_stopped_worker_is_killed_by_its_parent(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.lives = 1}, 0);
    pools_spawn(&pools, 2);
    uint64_t first = submit_limited(&pools, "stop-once", "x", &(struct ptq_call_options){.timeout_ms = 50});
    pools_submit(&pools, "echo", "next");
    pools_expect_error(&pools, first, PTQ_TIMEDOUT);
    pools_expect(&pools, first + 1, "next");
    assert_true(pools_wait_stats(&pools, have_died, 1));
    first = submit_limited(&pools, "stop-once", "x", &(struct ptq_call_options){.timeout_ms = 50, .retries = 1});
    pools_expect(&pools, first, "x");
    assert_true(pools_wait_stats(&pools, have_died, 2));
    pools_fini(&pools);
}

/* -- commands -------------------------------------------------------------------------------------------------- */

static bool is_gone(void *context)
{
    char path[64], line[400] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", *(int *)context);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return true;
    if (fgets(line, sizeof line, file) == NULL)
        line[0] = 0;
    fclose(file);
    const char *state = strrchr(line, ')');
    return state == NULL || state[2] == 'Z' || state[2] == 'X';
}

static int read_number(const char *path)
{
    int number = 0;
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fscanf(file, "%d\n", &number) != 1)
            number = 0;
        fclose(file);
    }
    return number;
}

static bool has_number(void *context)
{
    return read_number(context) > 0;
}

static void spawn_command(struct pools *pools, char *path, size_t size)
{
    char line[300];
    snprintf(path, size, "%s/pid", pools->scratch.dir);
    snprintf(line, sizeof line, "sleep 1000 | cat & sleep 1000 & echo $! >%s; wait", path);
    assert_ok(ptq_pool_spawn(pools->pool, &(struct ptq_spawn_options){.count = 1, .exec = line}));
}

static void a_command_is_ended_with_its_process_group(void **state)
{
    struct pools pools;
    char path[100];
    int64_t before = 0, after = 0;

    (void)state;
    pools_init(&pools, NULL, 0);
    spawn_command(&pools, path, sizeof path);
    ptq_pool_worker_pids(pools.pool, &before, 1);
    uint64_t ticket = 0;
    struct ptq_call_options call = {.timeout_ms = 2500}; /* by then the command has told its pid */
    assert_ok(ptq_pool_submit_with(pools.pool, NULL, "", 0, &(struct ptq_submit_options){.call = &call}, PTT_LONG, &ticket));
    struct pools other = beside(&pools);
    pools_expect_error(&other, ticket, PTQ_TIMEDOUT);
    ptq_pool_close(other.pool);
    int pid = read_number(path);
    assert_true(pid > 1);
    assert_true(ptt_wait_until(is_gone, &pid, PTT_LONG));
    ptq_pool_worker_pids(pools.pool, &after, 1);
    assert_int_equal(before, after); /* the command was at fault, not its worker */
    pools_fini(&pools);
}

struct leftover {
    ptq_pool *pool;
    int pid;
};

/* The parent of the worker notices while it waits. */
static bool is_gone_while_waiting(void *context)
{
    struct leftover *leftover = context;
    ptq_result *result;
    assert_answer(PTQ_TIMEDOUT, ptq_pool_get(leftover->pool, 20, &result));
    return is_gone(&leftover->pid);
}

static void a_killed_worker_takes_its_commands_group_along(void **state)
{
    struct pools pools;
    char path[100];
    int64_t worker = 0;

    (void)state;
    pools_init(&pools, NULL, 0);
    spawn_command(&pools, path, sizeof path);
    assert_ok(ptq_pool_submit(pools.pool, NULL, "", 0, PTT_LONG, NULL));
    assert_true(ptt_wait_until(has_number, path, PTT_LONG));
    int pid = read_number(path);
    ptq_pool_worker_pids(pools.pool, &worker, 1);
    kill((pid_t)worker, SIGKILL);
    assert_true(ptt_wait_until(is_gone_while_waiting, &(struct leftover){pools.pool, pid}, PTT_LONG));
    pools_fini(&pools);
}

/* -- threads --------------------------------------------------------------------------------------------------- */

static void *work(void *pool)
{
    return ptq_pool_work(pool, NULL) == PTQ_EINTR ? pool : NULL;
}

static void a_thread_of_a_program_has_the_flag(void **state)
{
    struct pools pools;
    pthread_t thread;
    void *answer;

    (void)state;
    pools_init(&pools, NULL, 0);
    assert_int_equal(pthread_create(&thread, NULL, work, pools.pool), 0);
    uint64_t first = submit_limited(&pools, "look", "x", &(struct ptq_call_options){.timeout_ms = 30});
    pools_expect_error(&pools, first, PTQ_TIMEDOUT);
    ptq_pool_leave(pools.pool);
    assert_int_equal(pthread_join(thread, &answer), 0);
    assert_ptr_equal(answer, pools.pool);
    pools_fini(&pools);
}

/* -- prefetch -------------------------------------------------------------------------------------------------- */

/* One in hand and none in store: what stands behind a slow job is done by whoever is free. */
static void a_slow_job_never_holds_others_behind_it(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 300}, 0);
    pools_spawn(&pools, 2);
    pools_pass_by(&pools, "slow", 200);
    pools_fini(&pools);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_offender_is_killed_and_the_others_go_on),
        cmocka_unit_test(a_job_that_timed_out_is_not_run_again),
        cmocka_unit_test(a_job_that_timed_out_is_run_again_if_it_asks_for_that),
        cmocka_unit_test(no_end_by_the_limit_costs_a_life),
        cmocka_unit_test(a_task_that_looks_ends_by_itself_and_its_worker_lives),
        cmocka_unit_test(a_job_that_is_in_time_is_left_alone),
        cmocka_unit_test(a_stopped_worker_is_killed_by_its_parent),
        cmocka_unit_test(a_command_is_ended_with_its_process_group),
        cmocka_unit_test(a_killed_worker_takes_its_commands_group_along),
        cmocka_unit_test(a_thread_of_a_program_has_the_flag),
        cmocka_unit_test(a_slow_job_never_holds_others_behind_it),
    };
    pools_register();
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
