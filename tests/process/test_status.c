/* test_status.c -- what workers show of themselves, while they work. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ptq/worker.h>

#include "bus/bus.h"
#include "pool/roster.h"
#include "pool/pool.h"
#include "pools.h"

#define MOST 8

static size_t read_workers(ptq_pool *pool, struct ptq_worker_status *workers)
{
    size_t count = 0;
    memset(workers, 0x5a, MOST * sizeof *workers);
    assert_ok(ptq_pool_workers(pool, workers, MOST, &count));
    return count;
}

/* Waits until worker `index` of those that are shown is in that state. */
struct wanted {
    ptq_pool *pool;
    size_t index;
    enum ptq_worker_state state;
    uint64_t done;
    size_t count;
    struct ptq_worker_status workers[MOST];
};

static bool is_as_wanted(void *context)
{
    struct wanted *wanted = context;
    wanted->count = read_workers(wanted->pool, wanted->workers);
    const struct ptq_worker_status *worker = &wanted->workers[wanted->index];
    return wanted->index < wanted->count && worker->state == wanted->state && worker->jobs_done >= wanted->done;
}

static const struct ptq_worker_status *wait_worker(struct wanted *wanted, ptq_pool *pool, enum ptq_worker_state state, uint64_t done)
{
    wanted->pool = pool;
    wanted->state = state;
    wanted->done = done;
    if (!ptt_wait_until(is_as_wanted, wanted, PTT_LONG))
        fail_msg("worker %zu of %zu never came to state %d with %llu jobs done", wanted->index, wanted->count, (int)state,
                 (unsigned long long)done);
    return &wanted->workers[wanted->index];
}

static bool has_count(void *context)
{
    struct wanted *wanted = context;
    return read_workers(wanted->pool, wanted->workers) == wanted->count;
}

/* Asked by a message, it would answer when it is done with what stands before. */
static void a_status_does_not_wait_behind_jobs_or_data(void **state)
{
    struct pools pools;
    struct wanted wanted = {0};

    (void)state;
    pools_init(&pools, NULL, 0);
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 1, .name = "slow"}));
    uint64_t first = pools_submit(&pools, "gate", "gate");
    for (int i = 0; i < 5; i++)
        pools_submit(&pools, "echo", "x");
    pools_wait_at_gates(&pools, 1);

    const struct ptq_worker_status *worker = wait_worker(&wanted, pools.pool, PTQ_WORKER_WORKS, 0);
    int64_t pid = 0;
    assert_int_equal(ptq_pool_worker_pids(pools.pool, &pid, 1), 1);
    assert_int_equal(worker->pid, pid);
    assert_string_equal(worker->name, "slow-0");
    assert_string_equal(worker->host, pools.scratch.bus->node);
    assert_string_equal(worker->task, "gate");
    assert_true(worker->has_job);
    assert_int_equal(worker->ticket, first);
    assert_int_equal(worker->tries, 1);
    assert_int_equal(worker->jobs_done, 0);
    assert_int_equal(worker->last_error, PTQ_OK);
    assert_int_equal(worker->deaths, 0);
    assert_true(worker->rss_bytes > 100000);
    assert_true(worker->uptime_ns >= worker->busy_ns && worker->busy_ns > 0);

    pools_open_gate(&pools, "gate");
    pools_expect(&pools, first, "gate");
    worker = wait_worker(&wanted, pools.pool, PTQ_WORKER_WAITS_FOR_JOB, 6);
    assert_false(worker->has_job);
    assert_int_equal(worker->jobs_done, 6);
    assert_int_equal(worker->jobs_failed, 0);
    for (unsigned i = 1; i < 6; i++)
        pools_expect(&pools, first + i, "x");
    pools_fini(&pools);
}

static void a_stopped_worker_is_shown_like_any_other(void **state)
{
    struct pools pools;
    struct wanted wanted = {0};

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    pools_submit(&pools, "gate", "gate");
    pools_wait_at_gates(&pools, 1);
    const struct ptq_worker_status *worker = wait_worker(&wanted, pools.pool, PTQ_WORKER_WORKS, 0);
    ptt_stop((pid_t)worker->pid);
    int64_t since = worker->since_ns;
    worker = wait_worker(&wanted, pools.pool, PTQ_WORKER_WORKS, 0);
    assert_true(worker->since_ns >= since);
    ptt_continue((pid_t)worker->pid);
    pools_open_gate(&pools, "gate");
    assert_ok(ptq_result_done(pools_get(&pools)));
    pools_fini(&pools);
}

static void failures_and_the_last_error_are_shown(void **state)
{
    struct pools pools;
    struct wanted wanted = {0};

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    uint64_t first = pools_submit(&pools, "fail", "page 7 is torn");
    pools_submit(&pools, "echo", "x");
    pools_expect_error(&pools, first, PTQ_EFAILED);
    pools_expect(&pools, first + 1, "x");
    const struct ptq_worker_status *worker = wait_worker(&wanted, pools.pool, PTQ_WORKER_WAITS_FOR_JOB, 2);
    assert_int_equal(worker->jobs_done, 2);
    assert_int_equal(worker->jobs_failed, 1);
    assert_int_equal(worker->last_error, PTQ_EFAILED);
    assert_string_equal(worker->last_error_text, "page 7 is torn");
    pools_fini(&pools);
}

/* A window of 1: the second job may not be begun before the first result was got. */
static void waiting_for_room_is_told_from_having_nothing_to_do(void **state)
{
    struct pools pools;
    struct wanted wanted = {0};

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 1}, 0);
    pools_spawn(&pools, 1);
    (void)wait_worker(&wanted, pools.pool, PTQ_WORKER_WAITS_FOR_JOB, 0);
    uint64_t first = pools_submit(&pools, "echo", "0");
    pools_submit(&pools, "echo", "1");
    const struct ptq_worker_status *worker = wait_worker(&wanted, pools.pool, PTQ_WORKER_WAITS_FOR_ROOM, 1);
    assert_int_equal(worker->jobs_done, 1);
    assert_false(worker->has_job);
    pools_expect(&pools, first, "0");
    pools_expect(&pools, first + 1, "1");
    worker = wait_worker(&wanted, pools.pool, PTQ_WORKER_WAITS_FOR_JOB, 2);
    assert_true(worker->wait_room_ns > 0);
    pools_fini(&pools);
}

static void deaths_are_counted_by_the_place_of_a_worker(void **state)
{
    struct pools pools;
    struct wanted wanted = {0};

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.lives = 2}, 0);
    pools_spawn(&pools, 1);
    pools_expect_error(&pools, pools_submit(&pools, "die", ""), PTQ_EDIED);
    const struct ptq_worker_status *worker = wait_worker(&wanted, pools.pool, PTQ_WORKER_WAITS_FOR_JOB, 1);
    assert_int_equal(wanted.count, 1);
    assert_int_equal(worker->deaths, 2);
    pools_fini(&pools);
}

/* -- other programs -------------------------------------------------------------------------------------------- */

struct other {
    struct ptt_scratch *scratch;
    const char *name;
};

static int work_elsewhere(void *context)
{
    struct other *other = context;
    ptq_pool *pool;
    if (ptq_pool_open(ptt_scratch_open(other->scratch), "pool", &(struct ptq_pool_options){.mode = PTQ_ATTACH}, &pool) != PTQ_OK)
        return 1;
    return ptq_pool_work(pool, &(struct ptq_work_options){.name = other->name}) != PTQ_OK;
}

static void workers_of_other_programs_are_seen_until_they_die(void **state)
{
    struct pools pools;
    struct wanted wanted = {.index = 1};

    (void)state;
    pools_init(&pools, NULL, 0);
    pid_t first = ptt_fork(work_elsewhere, &(struct other){&pools.scratch, "night-2"});
    pid_t second = ptt_fork(work_elsewhere, &(struct other){&pools.scratch, "night-10"});
    (void)wait_worker(&wanted, pools.pool, PTQ_WORKER_WAITS_FOR_JOB, 0);
    assert_string_equal(wanted.workers[0].name, "night-2"); /* as people count */
    assert_int_equal(wanted.workers[0].pid, first);
    assert_string_equal(wanted.workers[1].name, "night-10");
    assert_int_equal(wanted.workers[1].pid, second);

    ptt_kill(first);
    wanted.count = 1;
    assert_true(ptt_wait_until(has_count, &wanted, PTT_LONG));
    assert_int_equal(wanted.workers[0].pid, second);
    assert_ok(ptq_pool_stop(pools.pool));
    ptt_assert_exit(second, 0, PTT_LONG);
    assert_int_equal(read_workers(pools.pool, wanted.workers), 0);
    pools_fini(&pools);
}

static void who_blocks_the_head_is_known_also_of_other_programs(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, NULL, 0);
    uint64_t first = pools_submit(&pools, "gate", "head");
    pid_t pid = ptt_fork(work_elsewhere, &(struct other){&pools.scratch, "one"});
    pools_wait_at_gates(&pools, 1);
    struct ptq_pool_stats stats;
    assert_ok(ptq_pool_stats(pools.pool, &stats));
    assert_int_equal(stats.head, first);
    assert_int_equal(stats.head_pid, pid);
    assert_true(stats.head_ms >= 0);
    pools_open_gate(&pools, "head");
    pools_expect(&pools, first, "head");
    ptt_kill(pid);
    pools_fini(&pools);
}

static void without_status_a_worker_works_unseen(void **state)
{
    struct pools pools;
    struct ptq_worker_status workers[MOST];

    (void)state;
    pools_init(&pools, NULL, 0);
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 1, .no_status = true}));
    pools_expect(&pools, pools_submit(&pools, "echo", "x"), "x");
    assert_int_equal(read_workers(pools.pool, workers), 0);
    pools_fini(&pools);
}

/* -- the file -------------------------------------------------------------------------------------------------- */

static unsigned rosters(const struct pools *pools)
{
    return ptt_scratch_files(&pools->scratch, ".staff");
}

static void the_roster_goes_with_its_pool(void **state)
{
    struct pools pools;
    struct wanted wanted = {0};
    struct ptq_worker_status workers[MOST];

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    (void)wait_worker(&wanted, pools.pool, PTQ_WORKER_WAITS_FOR_JOB, 0);
    assert_int_equal(rosters(&pools), 1);
    assert_ok(ptq_pool_abort(pools.pool));
    assert_int_equal(ptt_scratch_files(&pools.scratch, ""), 0);
    ptq_pool_close(pools.pool);

    assert_ok(ptq_pool_open(pools.scratch.bus, "pool", NULL, &pools.pool)); /* another one of that name */
    assert_int_equal(read_workers(pools.pool, workers), 0);
    pools_fini(&pools);
}

/* What a killed remover, or a pool of that name before this one, has left behind. */
static void gc_collects_the_roster_of_a_pool_that_is_gone(void **state)
{
    struct pools pools;
    struct ptq_gc_report report;
    char name[300], path[500];
    uint8_t id[16] = {1, 2, 3};

    (void)state;
    pools_init(&pools, NULL, 0);
    pti_roster_file("pool.jobs", id, name);
    snprintf(path, sizeof path, "%s/test/%s", pools.scratch.dir, name);
    assert_true(close(open(path, O_CREAT | O_RDWR, 0600)) == 0);
    assert_int_equal(rosters(&pools), 1);
    assert_ok(ptq_bus_gc(pools.scratch.bus, false, &report));
    assert_int_equal(rosters(&pools), 0);
    pools_fini(&pools);
}

static void what_stands_in_a_roster_is_not_trusted(void **state)
{
    struct pools pools;
    struct ptq_worker_status workers[MOST];
    char name[300], path[500];

    (void)state;
    pools_init(&pools, NULL, 0);
    pti_roster_file("pool.jobs", pools.pool->jobs->port->id, name);
    snprintf(path, sizeof path, "%s/test/%s", pools.scratch.dir, name);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    size_t count;
    assert_answer(PTQ_EPERM, ptq_pool_workers(pools.pool, workers, MOST, &count));
    pools_spawn(&pools, 1); /* who makes it replaces what is no roster */
    pools_expect(&pools, pools_submit(&pools, "echo", "x"), "x");
    struct wanted wanted = {0};
    (void)wait_worker(&wanted, pools.pool, PTQ_WORKER_WAITS_FOR_JOB, 0);

    char junk[PTI_ROSTER_HEAD + 3 * sizeof(struct pti_row)];
    memset(junk, 0xff, sizeof junk);
    int fd = open(path, O_RDWR);
    uint64_t magic;
    assert_int_equal(read(fd, &magic, sizeof magic), sizeof magic);
    memcpy(junk, &magic, sizeof magic);
    assert_int_equal(pwrite(fd, junk, sizeof junk, 0), sizeof junk);
    assert_int_equal(read_workers(pools.pool, workers), 1); /* texts without an end, numbers without sense */
    assert_int_equal(strlen(workers[0].name), sizeof workers[0].name - 1);
    pools_expect(&pools, pools_submit(&pools, "echo", "x"), "x");
    close(fd);
    pools_fini(&pools);
}

/* -- derived --------------------------------------------------------------------------------------------------- */

static void who_has_done_nothing_yet_divides_nothing_by_zero(void **state)
{
    struct ptq_worker_status idle = {0};

    (void)state;
    assert_true(ptq_worker_efficiency(&idle) == 0);
    assert_true(ptq_worker_total_efficiency(&idle) == 0);
    assert_true(ptq_worker_seconds_per_job(&idle) == 0);
    struct ptq_worker_averages all = ptq_worker_average(&idle, 1);
    assert_true(all.efficiency == 0 && all.total_efficiency == 0 && all.seconds_per_job == 0);
    all = ptq_worker_average(NULL, 0);
    assert_true(all.workers == 0 && all.efficiency == 0 && all.total_efficiency == 0 && all.seconds_per_job == 0);
}

static bool is_near(double got, double wanted)
{
    return got > wanted - 1e-9 && got < wanted + 1e-9;
}

static void averages_are_over_those_that_have_the_figure(void **state)
{
    struct ptq_worker_status workers[3] = {
        {.busy_ns = 3000000000, .wait_job_ns = 500000000, .wait_room_ns = 500000000, .uptime_ns = 6000000000, .jobs_done = 6,
         .has_job = true, .rss_bytes = 10},
        {.busy_ns = 1000000000, .wait_job_ns = 3000000000, .uptime_ns = 4000000000, .jobs_done = 2, .jobs_failed = 1, .rss_bytes = 5},
        {.jobs_done = 0}};

    (void)state;
    assert_true(is_near(ptq_worker_efficiency(&workers[0]), 0.75));
    assert_true(is_near(ptq_worker_total_efficiency(&workers[0]), 0.5));
    assert_true(is_near(ptq_worker_seconds_per_job(&workers[0]), 0.5));
    struct ptq_worker_averages all = ptq_worker_average(workers, 3);
    assert_int_equal(all.workers, 3);
    assert_int_equal(all.working, 1);
    assert_true(is_near(all.efficiency, 0.5));
    assert_true(is_near(all.total_efficiency, 0.25));
    assert_true(is_near(all.seconds_per_job, 0.5));
    assert_int_equal(all.jobs_done, 8);
    assert_int_equal(all.jobs_failed, 1);
    assert_int_equal(all.rss_bytes, 15);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status_does_not_wait_behind_jobs_or_data),
        cmocka_unit_test(a_stopped_worker_is_shown_like_any_other),
        cmocka_unit_test(failures_and_the_last_error_are_shown),
        cmocka_unit_test(waiting_for_room_is_told_from_having_nothing_to_do),
        cmocka_unit_test(deaths_are_counted_by_the_place_of_a_worker),
        cmocka_unit_test(workers_of_other_programs_are_seen_until_they_die),
        cmocka_unit_test(who_blocks_the_head_is_known_also_of_other_programs),
        cmocka_unit_test(without_status_a_worker_works_unseen),
        cmocka_unit_test(the_roster_goes_with_its_pool),
        cmocka_unit_test(gc_collects_the_roster_of_a_pool_that_is_gone),
        cmocka_unit_test(what_stands_in_a_roster_is_not_trusted),
        cmocka_unit_test(who_has_done_nothing_yet_divides_nothing_by_zero),
        cmocka_unit_test(averages_are_over_those_that_have_the_figure),
    };
    pools_register();
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
