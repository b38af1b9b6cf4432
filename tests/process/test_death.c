/* test_death.c -- whoever is killed, every ticket comes out once, in its place. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pools.h"

static int64_t the_worker(struct pools *pools)
{
    int64_t pid = 0;
    assert_true(ptq_pool_worker_pids(pools->pool, &pid, 1) >= 1);
    return pid;
}

static bool have_died(const struct ptq_pool_stats *stats, uint64_t count)
{
    return stats->deaths >= count;
}

static void a_killed_workers_job_is_done_by_another(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    uint64_t ticket = pools_submit(&pools, "gate", "gate");
    pools_wait_at_gates(&pools, 1);
    int64_t victim = the_worker(&pools);
    kill((pid_t)victim, SIGKILL);
    pools_open_gate(&pools, "gate");

    ptq_result *result = pools_get(&pools); /* its successor is started in here */
    assert_int_equal(ptq_result_ticket(result), ticket);
    assert_int_equal(ptq_result_kind(result), PTQ_RESULT_JOB);
    assert_int_equal(ptq_result_tries(result), 2);
    assert_int_not_equal(ptq_result_pid(result), victim);
    assert_ok(ptq_result_done(result));
    struct ptq_pool_stats stats;
    assert_ok(ptq_pool_stats(pools.pool, &stats));
    assert_int_equal(stats.deaths, 1);
    assert_int_equal(stats.retried, 1);
    pools_fini(&pools);
}

static void a_job_that_kills_its_workers_leaves_as_an_error_in_its_place(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.lives = 3}, 0);
    pools_spawn(&pools, 2);
    uint64_t first = pools_submit(&pools, "echo", "before");
    pools_submit(&pools, "die", "");
    pools_submit(&pools, "die-once", "second try");
    pools_submit(&pools, "echo", "after");

    pools_expect(&pools, first, "before");
    ptq_result *result = pools_get(&pools);
    assert_int_equal(ptq_result_ticket(result), first + 1);
    assert_answer(PTQ_EDIED, ptq_result_code(result));
    assert_int_equal(ptq_result_tries(result), 3);
    assert_non_null(strstr(ptq_result_text(result), "3 workers died"));
    assert_ok(ptq_result_done(result));
    pools_expect(&pools, first + 2, "second try");
    pools_expect(&pools, first + 3, "after");
    struct ptq_pool_stats stats;
    assert_true(pools_wait_stats(&pools, have_died, 4)); /* who has its job now may know of it before its parent */
    assert_ok(ptq_pool_stats(pools.pool, &stats));
    assert_int_equal(stats.deaths, 4);
    pools_fini(&pools);
}

static void many_deadly_jobs_do_not_use_up_the_workers(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.lives = 2}, 0);
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 1, .crash_limit = 3}));
    uint64_t first = pools_submit(&pools, "die", "");
    for (unsigned i = 1; i < 8; i++)
        pools_submit(&pools, "die", "");
    for (unsigned i = 0; i < 8; i++)
        pools_expect_error(&pools, first + i, PTQ_EDIED);
    pools_fini(&pools);
}

static void workers_that_only_crash_are_given_up_and_get_says_so(void **state)
{
    struct pools pools;
    ptq_result *result = NULL;
    char text[600];

    (void)state;
    setenv("POOLS_INIT_FAILS", "1", 1);
    pools_init(&pools, NULL, 0);
    pools_submit(&pools, "echo", "x");
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 2, .crash_limit = 3}));
    enum ptq_err err = ptq_pool_get(pools.pool, PTT_LONG, &result);
    unsetenv("POOLS_INIT_FAILS");

    assert_answer(PTQ_ENOWORKERS, err);
    assert_false(ptq_pool_alive(pools.pool));
    ptq_pool_explain(pools.pool, PTQ_ENOWORKERS, text, sizeof text);
    assert_non_null(strstr(text, "given up"));
    assert_non_null(strstr(text, "ptq_worker_init"));
    assert_answer(PTQ_ENOWORKERS, ptq_pool_supervise(pools.pool, PTQ_NOWAIT));
    pools_spawn(&pools, 1); /* the job is still there */
    assert_ok(ptq_result_done(pools_get(&pools)));
    pools_fini(&pools);
}

/* A full queue of jobs, and nobody to empty it but workers who must be started again by the one who waits. */
static void a_submitter_that_waits_for_room_revives_its_workers(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.capacity = 2, .window = 50}, 0);
    pools_spawn(&pools, 1);
    uint64_t first = pools_submit(&pools, "gate", "gate");
    pools_wait_at_gates(&pools, 1);
    pools_submit(&pools, "echo", "x");
    pools_submit(&pools, "echo", "x");
    kill((pid_t)the_worker(&pools), SIGKILL);
    pools_open_gate(&pools, "gate");
    pools_submit(&pools, "echo", "x");

    pools_expect(&pools, first, "gate");
    for (unsigned i = 1; i < 4; i++)
        pools_expect(&pools, first + i, "x");
    pools_fini(&pools);
}

/* A stopped worker holds up its own job and no other. */
static void a_stopped_worker_holds_up_only_its_own_job(void **state)
{
    struct pools pools;
    int64_t pids[2];

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    uint64_t first = pools_submit(&pools, "gate", "first");
    pools_wait_at_gates(&pools, 1);
    int64_t stopped = the_worker(&pools);
    ptt_stop((pid_t)stopped);
    pools_spawn(&pools, 1);
    for (unsigned i = 1; i <= 5; i++)
        pools_submit(&pools, "echo", "x");
    assert_true(pools_wait_stats(&pools, pools_have_finished, 5));

    ptt_continue((pid_t)stopped);
    pools_open_gate(&pools, "first");
    pools_expect(&pools, first, "first");
    for (unsigned i = 1; i <= 5; i++)
        pools_expect(&pools, first + i, "x");
    assert_int_equal(ptq_pool_worker_pids(pools.pool, pids, 2), 2);
    pools_fini(&pools);
}

/* -- getters -------------------------------------------------------------------------------------------------- */

struct getter {
    struct ptt_scratch *scratch;
    struct ptt_page *page;
};

/* Gets two results, says done to the first, and is killed with the second. */
static int get_and_stay(void *context)
{
    struct getter *getter = context;
    ptq_bus *bus = ptt_scratch_open(getter->scratch);
    ptq_pool *pool;
    ptq_result *result;

    if (ptq_pool_open(bus, "pool", &(struct ptq_pool_options){.mode = PTQ_ATTACH}, &pool) != PTQ_OK)
        return 1;
    if (ptq_pool_get(pool, PTT_LONG, &result) != PTQ_OK || ptq_result_done(result) != PTQ_OK)
        return 2;
    if (ptq_pool_get(pool, PTT_LONG, &result) != PTQ_OK)
        return 3;
    atomic_store(&getter->page->words[0], ptq_result_ticket(result));
    pause();
    return 0;
}

static void a_getters_successor_gets_what_it_had_and_goes_on(void **state)
{
    struct pools pools;
    struct ptt_page *page = ptt_page_new();
    struct getter getter = {&pools.scratch, page};
    ptq_result *result = NULL;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 4}, 0);
    pools_spawn(&pools, 1);
    uint64_t first = pools_submit(&pools, "echo", "0");
    for (unsigned i = 1; i < 12; i++) {
        char text[8];
        snprintf(text, sizeof text, "%u", i);
        pools_submit(&pools, "echo", text);
    }
    pid_t victim = ptt_fork(get_and_stay, &getter);
    assert_true(ptt_wait_word(&page->words[0], first + 1, PTT_LONG));
    assert_answer(PTQ_EBUSY, ptq_pool_get(pools.pool, PTQ_NOWAIT, &result));
    assert_answer(PTQ_EBUSY, ptq_pool_get(pools.pool, 20, &result));
    kill(victim, SIGKILL); /* the next get stands by until then */

    result = pools_get(&pools);
    assert_int_equal(ptq_result_ticket(result), first + 1);
    assert_true(ptq_result_redelivered(result));
    assert_memory_equal(ptq_result_data(result), "1", 1);
    assert_ok(ptq_result_done(result));
    for (unsigned i = 2; i < 12; i++) {
        result = pools_get(&pools);
        assert_int_equal(ptq_result_ticket(result), first + i);
        assert_false(ptq_result_redelivered(result));
        assert_ok(ptq_result_done(result));
    }
    ptt_reap(victim, PTT_LONG);
    pools_fini(&pools);
    ptt_page_free(page);
}

static int get_and_close(void *context)
{
    struct getter *getter = context;
    ptq_bus *bus = ptt_scratch_open(getter->scratch);
    ptq_pool *pool;
    ptq_result *result;

    if (ptq_pool_open(bus, "pool", NULL, &pool) != PTQ_OK || ptq_pool_get(pool, PTT_LONG, &result) != PTQ_OK)
        return 1;
    ptq_pool_close(pool); /* not done with it */
    ptq_bus_close(bus);
    return 0;
}

static void a_getter_that_closes_hands_over(void **state)
{
    struct pools pools;
    struct getter getter = {&pools.scratch, NULL};

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    uint64_t first = pools_submit(&pools, "echo", "x");
    pools_submit(&pools, "echo", "y");
    ptt_assert_exit(ptt_fork(get_and_close, &getter), 0, PTT_LONG);

    ptq_result *result = pools_get(&pools);
    assert_int_equal(ptq_result_ticket(result), first);
    assert_true(ptq_result_redelivered(result));
    assert_ok(ptq_result_done(result));
    pools_expect(&pools, first + 1, "y");
    pools_fini(&pools);
}

/* -- lost jobs ------------------------------------------------------------------------------------------------ */

/* Somebody who does not know what he does takes jobs out of the pool's queue. */
static void steal(struct pools *pools, unsigned count)
{
    ptq_queue *jobs;
    assert_ok(ptq_queue_open(pools->scratch.bus, "pool.jobs", &(struct ptq_queue_options){.mode = PTQ_ATTACH}, &jobs));
    for (unsigned i = 0; i < count; i++) {
        ptq_msg *msg;
        assert_ok(ptq_get(jobs, PTT_LONG, &msg));
        assert_ok(ptq_ack(msg));
    }
    ptq_queue_close(jobs);
}

static void a_job_that_somebody_took_away_leaves_as_lost(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, NULL, 0);
    uint64_t first = pools_submit(&pools, "echo", "0");
    for (unsigned i = 1; i < 4; i++)
        pools_submit(&pools, "echo", "x");
    steal(&pools, 3);
    pools_spawn(&pools, 1);

    for (unsigned i = 0; i < 3; i++)
        pools_expect_error(&pools, first + i, PTQ_ELOST);
    pools_expect(&pools, first + 3, "x");
    pools_fini(&pools);
}

static void a_job_lost_while_the_getter_sleeps_is_noticed(void **state)
{
    struct pools pools;
    struct ptt_page *page = ptt_page_new();
    struct getter getter = {&pools.scratch, page};

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_submit(&pools, "echo", "0");
    steal(&pools, 1);
    pid_t child = ptt_fork(get_and_stay, &getter); /* gets the first as lost, and sleeps for the second */
    assert_true(ptt_wait_sleeping(child, child, PTT_LONG));
    uint64_t ticket = pools_submit(&pools, "echo", "1");
    steal(&pools, 1);

    assert_true(ptt_wait_word(&page->words[0], ticket, PTT_LONG));
    ptt_kill(child);
    pools_fini(&pools);
    ptt_page_free(page);
}

static void a_lost_job_does_not_hide_a_later_result(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 2, .capacity = 2}, 0);
    uint64_t first = pools_submit(&pools, "echo", "0");
    steal(&pools, 1);
    pools_submit(&pools, "echo", "1");
    pools_submit(&pools, "echo", "2");
    pools_spawn(&pools, 2);

    pools_expect_error(&pools, first, PTQ_ELOST);
    pools_expect(&pools, first + 1, "1");
    pools_expect(&pools, first + 2, "2");
    pools_fini(&pools);
}

/* -- the parent ----------------------------------------------------------------------------------------------- */

static int spawn_and_stay(void *context)
{
    struct getter *getter = context;
    ptq_bus *bus = ptt_scratch_open(getter->scratch);
    ptq_pool *pool;
    int64_t pid;

    if (ptq_pool_open(bus, "pool", NULL, &pool) != PTQ_OK)
        return 1;
    if (ptq_pool_spawn(pool, &(struct ptq_spawn_options){.count = 1}) != PTQ_OK)
        return 2;
    ptq_pool_worker_pids(pool, &pid, 1);
    atomic_store(&getter->page->words[0], (uint64_t)pid);
    pause();
    return 0;
}

static void workers_die_with_the_program_that_spawned_them(void **state)
{
    struct pools pools;
    struct ptt_page *page = ptt_page_new();
    struct getter getter = {&pools.scratch, page};
    int status;

    (void)state;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pools_init(&pools, NULL, 0);
    uint64_t ticket = pools_submit(&pools, "gate", "gate");
    pid_t parent = ptt_fork(spawn_and_stay, &getter);
    assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
    pools_wait_at_gates(&pools, 1);
    ptt_kill(parent);
    pid_t orphan = (pid_t)atomic_load(&page->words[0]);
    assert_int_equal(waitpid(orphan, &status, 0), orphan);
    prctl(PR_SET_CHILD_SUBREAPER, 0);

    pools_spawn(&pools, 1); /* and what they had is done by others */
    pools_open_gate(&pools, "gate");
    pools_expect(&pools, ticket, "gate");
    pools_fini(&pools);
    ptt_page_free(page);
}

/* Of this process; with a job's answer, who it is. */
static unsigned inits;

struct init_seen {
    uint32_t inits, pid;
};

static enum ptq_err tell_inits(ptq_task *task, const void *data, size_t size)
{
    struct init_seen seen = {inits, (uint32_t)getpid()};

    (void)data;
    (void)size;
    return ptq_task_emit(task, &seen, sizeof seen);
}

static void each_worker_has_called_its_init_once_before_its_first_job(void **state)
{
    enum { JOBS = 12, A_WORKER = 3 };
    uint32_t pids[JOBS];
    size_t workers = 0;
    struct pools pools;
    (void)state;

    pools_init(&pools, NULL, 0);
    for (int i = 0; i < JOBS; i++)
        pools_submit(&pools, "inits", "");
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 2, .recycle_jobs = A_WORKER}));
    for (int i = 0; i < JOBS; i++) {
        ptq_result *result = pools_get(&pools);
        struct init_seen seen;
        size_t known = 0;
        assert_int_equal(ptq_result_size(result), sizeof seen);
        memcpy(&seen, ptq_result_data(result), sizeof seen);
        assert_int_equal(seen.inits, 1);
        while (known < workers && pids[known] != seen.pid)
            known++;
        pids[known] = seen.pid;
        workers += known == workers;
        assert_ok(ptq_result_done(result));
    }
    assert_true(workers >= JOBS / A_WORKER); /* so successors call it, too */
    assert_int_equal(inits, 0);
    pools_fini(&pools);
}

static enum ptq_err init_worker(void *user)
{
    (void)user;
    inits++;
    return getenv("POOLS_INIT_FAILS") != NULL ? PTQ_EFAILED : PTQ_OK;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_workers_job_is_done_by_another),
        cmocka_unit_test(a_job_that_kills_its_workers_leaves_as_an_error_in_its_place),
        cmocka_unit_test(many_deadly_jobs_do_not_use_up_the_workers),
        cmocka_unit_test(workers_that_only_crash_are_given_up_and_get_says_so),
        cmocka_unit_test(a_submitter_that_waits_for_room_revives_its_workers),
        cmocka_unit_test(a_stopped_worker_holds_up_only_its_own_job),
        cmocka_unit_test(a_getters_successor_gets_what_it_had_and_goes_on),
        cmocka_unit_test(a_getter_that_closes_hands_over),
        cmocka_unit_test(a_job_that_somebody_took_away_leaves_as_lost),
        cmocka_unit_test(a_job_lost_while_the_getter_sleeps_is_noticed),
        cmocka_unit_test(a_lost_job_does_not_hide_a_later_result),
        cmocka_unit_test(workers_die_with_the_program_that_spawned_them),
        cmocka_unit_test(each_worker_has_called_its_init_once_before_its_first_job),
    };
    pools_register();
    if (ptq_task_register("inits", tell_inits, NULL) != PTQ_OK)
        return 1;
    ptq_worker_init(init_worker, NULL);
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
