/* test_together.c -- several threads on one handle: what one of them sees and takes note of, the others are told too. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pool/pool.h"
#include "pools.h"
#include "scripted.h"

enum { THREADS = 6, ROUNDS = 4 };

/* -- threads that call something once ---------------------------------------------------------------------------- */

struct caller {
    pthread_t thread;
    enum ptq_err (*call)(void *handle);
    void *handle;
    enum ptq_err answer;
    _Atomic uint64_t tid, done;
};

static void *run_call(void *context)
{
    struct caller *caller = context;
    atomic_store(&caller->tid, (uint64_t)gettid());
    caller->answer = caller->call(caller->handle);
    atomic_store(&caller->done, 1);
    return NULL;
}

static void call_beside(struct caller *caller, enum ptq_err (*call)(void *handle), void *handle)
{
    *caller = (struct caller){.call = call, .handle = handle};
    assert_int_equal(pthread_create(&caller->thread, NULL, run_call, caller), 0);
}

/* And returns when it sleeps in it. */
static void begin_call(struct caller *caller, enum ptq_err (*call)(void *handle), void *handle)
{
    call_beside(caller, call, handle);
    assert_true(ptt_wait_word(&caller->tid, 1, PTT_LONG));
    assert_true(ptt_wait_sleeping(getpid(), (pid_t)caller->tid, PTT_LONG));
}

static void expect_answer(struct caller *caller, enum ptq_err wanted)
{
    if (!ptt_wait_word(&caller->done, 1, PTT_LONG))
        fail_msg("a thread sleeps for ever");
    assert_int_equal(pthread_join(caller->thread, NULL), 0);
    assert_answer(wanted, caller->answer);
}

/* -- a process --------------------------------------------------------------------------------------------------- */

static enum ptq_err wait_for_end(void *process)
{
    return ptq_process_wait(process, PTQ_FOREVER);
}

static enum ptq_err listen_for_end(void *process)
{
    char byte;
    size_t size;
    return ptq_process_listen(process, &byte, 1, PTQ_FOREVER, &size);
}

static void kill_child(ptq_process *process)
{
    struct ptq_process_status status;
    assert_ok(ptq_process_status(process, &status));
    assert_int_equal(kill((pid_t)status.pid, SIGKILL), 0);
}

static void the_end_of_a_process_is_told_to_all_who_wait(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct life life;
        struct caller callers[THREADS];
        scripted_start(&life, "unheard", NULL, "r1=hang");
        scripted_wait_for(&life, PTQ_SECTION_RUN);
        for (unsigned i = 0; i < THREADS; i++)
            begin_call(&callers[i], wait_for_end, life.process);
        kill_child(life.process);
        for (unsigned i = 0; i < THREADS; i++)
            expect_answer(&callers[i], PTQ_OK);
        scripted_fini(&life);
    }
}

static void a_kill_is_told_to_all_who_wait_and_listen_and_to_the_descriptor(void **state)
{
    struct ptt_scratch *scratch = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct ptq_process_options options = {.runs = 1, .input = "r1=hang", .input_size = 7};
        ptq_process *process;
        struct caller waits, listens;
        int fd;
        assert_ok(ptq_process_new(scratch->bus, "unheard", &options, &process));
        assert_ok(ptq_process_start(process));
        assert_ok(ptq_process_fd(process, &fd));
        begin_call(&waits, wait_for_end, process);
        begin_call(&listens, listen_for_end, process);
        assert_answer(PTQ_OK, ptq_process_kill(process, 0));
        assert_true(ptt_wait_readable(fd, PTT_LONG)); /* of a loop that had no part in it */
        expect_answer(&waits, PTQ_OK);
        expect_answer(&listens, PTQ_END);
        ptq_process_free(process);
    }
}

static enum ptq_err kill_patiently(void *process)
{
    return ptq_process_kill(process, 60000);
}

static enum ptq_err ask_status(void *process)
{
    struct ptq_process_status status;
    enum ptq_err err = ptq_process_status(process, &status);
    return err == PTQ_OK && !status.alive ? PTQ_EDIED : err;
}

static enum ptq_err wait_no_longer(void *process)
{
    return ptq_process_wait(process, PTQ_NOWAIT);
}

static void a_kill_that_is_patient_holds_up_nobody_else(void **state)
{
    struct life life;
    struct caller kills, asks, waits, kills_too;

    (void)state;
    scripted_start(&life, "unheard", NULL, "r1=freeze"); /* SIGTERM waits until it is continued */
    scripted_wait_frozen(&life);
    begin_call(&kills, kill_patiently, life.process);
    call_beside(&asks, ask_status, life.process);
    expect_answer(&asks, PTQ_OK);
    call_beside(&waits, wait_no_longer, life.process);
    expect_answer(&waits, PTQ_TIMEDOUT);
    begin_call(&kills_too, kill_patiently, life.process);
    kill_child(life.process);
    expect_answer(&kills, PTQ_OK);
    expect_answer(&kills_too, PTQ_OK);
    scripted_end(&life);
    assert_answer(PTQ_EABORTED, life.answer);
    scripted_fini(&life);
}

/* -- a pool ------------------------------------------------------------------------------------------------------ */

static enum ptq_err supervise(void *pool)
{
    return ptq_pool_supervise(pool, PTQ_FOREVER);
}

static enum ptq_err get(void *pool)
{
    ptq_result *result;
    return ptq_pool_get(pool, PTQ_FOREVER, &result);
}

static enum ptq_err submit(void *pool)
{
    return ptq_pool_submit(pool, "echo", "x", 1, PTQ_FOREVER, NULL);
}

static enum ptq_err join(void *pool)
{
    return ptq_pool_join(pool, PTQ_FOREVER);
}

static bool is_dead(void *pool)
{
    return !ptq_pool_alive(pool);
}

/* One job in hand, the queue behind it full. */
static void begin_hanging(struct pools *pools)
{
    pools_init(pools, &(struct ptq_pool_options){.capacity = 4, .window = 1}, 0);
    assert_ok(ptq_pool_spawn(pools->pool, &(struct ptq_spawn_options){.count = 1, .no_respawn = true}));
    pools_submit(pools, "hang", "");
    pools_wait_at_gates(pools, 1);
}

static void kill_worker(struct pools *pools)
{
    int64_t pid;
    assert_int_equal(ptq_pool_worker_pids(pools->pool, &pid, 1), 1);
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
    assert_true(ptt_wait_until(is_dead, pools->pool, PTT_LONG)); /* this thread takes note of it */
}

/* A getter who has looked for the next ticket as often as he will. */
static void look_no_more(struct pools *pools)
{
    ptq_result *result;
    assert_answer(PTQ_EMPTY, ptq_pool_get(pools->pool, PTQ_NOWAIT, &result));
    pools->pool->order.looks = 100;
    pools->pool->order.look_at_ns = PTI_DEADLINE_NEVER;
}

static void that_nobody_works_any_more_is_told_to_all(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct pools pools;
        struct caller supervisors[THREADS], submits, gets;
        int fd;
        begin_hanging(&pools);
        while (ptq_pool_submit(pools.pool, "echo", "x", 1, PTQ_NOWAIT, NULL) == PTQ_OK)
            ;
        look_no_more(&pools);
        for (unsigned i = 0; i < THREADS; i++)
            begin_call(&supervisors[i], supervise, pools.pool);
        begin_call(&submits, submit, pools.pool);
        begin_call(&gets, get, pools.pool);
        kill_worker(&pools);
        for (unsigned i = 0; i < THREADS; i++)
            expect_answer(&supervisors[i], PTQ_ENOWORKERS);
        expect_answer(&gets, PTQ_ENOWORKERS);
        expect_answer(&submits, PTQ_ENOWORKERS);
        assert_ok(ptq_pool_fd(pools.pool, &fd));
        pools_fini(&pools);
    }
}

static void a_loop_that_polls_a_pool_is_told_of_what_another_thread_saw(void **state)
{
    struct pools pools;
    ptq_result *result;
    int fd;

    (void)state;
    begin_hanging(&pools);
    assert_ok(ptq_pool_fd(pools.pool, &fd));
    look_no_more(&pools);
    assert_answer(PTQ_EMPTY, ptq_pool_get(pools.pool, PTQ_NOWAIT, &result));
    assert_false(ptt_wait_readable(fd, 20));
    kill_worker(&pools);
    assert_true(ptt_wait_readable(fd, PTT_LONG));
    assert_answer(PTQ_ENOWORKERS, ptq_pool_get(pools.pool, PTQ_NOWAIT, &result));
    pools_fini(&pools);
}

static void whoever_joins_is_told_that_nobody_works_any_more(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct pools pools;
        struct caller joins;
        begin_hanging(&pools);
        assert_ok(ptq_pool_stop(pools.pool));
        begin_call(&joins, join, pools.pool);
        kill_worker(&pools);
        expect_answer(&joins, PTQ_ENOWORKERS);
        pools_fini(&pools);
    }
}

static void a_getter_and_whoever_joins_beside_it_are_told_that_nobody_works_any_more(void **state)
{
    struct pools pools;
    struct caller joins, gets;

    (void)state;
    begin_hanging(&pools);
    assert_ok(ptq_pool_stop(pools.pool));
    begin_call(&gets, get, pools.pool);
    begin_call(&joins, join, pools.pool);
    kill_worker(&pools);
    expect_answer(&gets, PTQ_ENOWORKERS);
    expect_answer(&joins, PTQ_ENOWORKERS);
    pools_fini(&pools);
}

static enum ptq_err work(void *pool)
{
    return ptq_pool_work(pool, NULL);
}

static void a_thread_that_works_is_somebody_where_the_spawned_are_given_up(void **state)
{
    struct pools pools;
    struct caller works;
    ptq_result *result;

    (void)state;
    pools_init(&pools, NULL, 0);
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 1, .no_respawn = true}));
    uint64_t ticket = pools_submit(&pools, "gate", "g");
    pools_wait_at_gates(&pools, 1);
    begin_call(&works, work, pools.pool);
    kill_worker(&pools);
    pools_wait_at_gates(&pools, 1); /* the thread has the job now */
    assert_answer(PTQ_TIMEDOUT, ptq_pool_get(pools.pool, 100, &result));
    pools_open_gate(&pools, "g");
    pools_expect(&pools, ticket, "g");
    ptq_pool_leave(pools.pool);
    expect_answer(&works, PTQ_EINTR);
    pools_fini(&pools);
}

static int64_t own_cpu_ms(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

static void joining_costs_nothing_while_the_last_job_runs(void **state)
{
    struct pools pools;

    (void)state;
    begin_hanging(&pools);
    assert_ok(ptq_pool_stop(pools.pool));
    int64_t before = own_cpu_ms();
    assert_answer(PTQ_TIMEDOUT, ptq_pool_join(pools.pool, 300));
    assert_in_range(own_cpu_ms() - before, 0, 40);
    pools_fini(&pools);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_of_a_process_is_told_to_all_who_wait),
        cmocka_unit_test_setup_teardown(a_kill_is_told_to_all_who_wait_and_listen_and_to_the_descriptor, ptt_setup_scratch,
                                        ptt_teardown_scratch),
        cmocka_unit_test(a_kill_that_is_patient_holds_up_nobody_else),
        cmocka_unit_test(that_nobody_works_any_more_is_told_to_all),
        cmocka_unit_test(a_loop_that_polls_a_pool_is_told_of_what_another_thread_saw),
        cmocka_unit_test(whoever_joins_is_told_that_nobody_works_any_more),
        cmocka_unit_test(a_getter_and_whoever_joins_beside_it_are_told_that_nobody_works_any_more),
        cmocka_unit_test(a_thread_that_works_is_somebody_where_the_spawned_are_given_up),
        cmocka_unit_test(joining_costs_nothing_while_the_last_job_runs),
    };
    pools_register();
    scripted_register();
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
