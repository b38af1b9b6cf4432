/* test_inner.c -- supervised processes as tasks of a pool: runs, lives and limits inside its workers. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pools.h"
#include "scripted.h"

static void init(struct pools *pools, unsigned workers)
{
    pools_init(pools, NULL, 0);
    pools_spawn(pools, workers);
}

static int64_t own_worker(struct pools *pools)
{
    int64_t pid = 0;
    assert_int_equal(ptq_pool_worker_pids(pools->pool, &pid, 1), 1);
    return pid;
}

static void each_job_is_a_life_and_its_result_is_the_jobs(void **state)
{
    struct pools pools;
    (void)state;
    init(&pools, 2);
    uint64_t one = pools_submit(&pools, "one-run", ""), three = pools_submit(&pools, "three-runs", ""), plain = pools_submit(&pools, "echo", "x");

    pools_expect(&pools, one, "s p1 r1 o1 f R");
    pools_expect(&pools, three, "s p1 r1 o1 p2 r2 o2 p3 r3 o3 f R");
    pools_expect(&pools, plain, "x");
    pools_fini(&pools);
}

static void lives_are_its_own_and_a_death_is_one_of_them(void **state)
{
    struct pools pools;
    (void)state;
    init(&pools, 1);
    int64_t worker = own_worker(&pools);
    uint64_t fails = pools_submit(&pools, "three-lives", "r1=fail o1=fail"), dies = pools_submit(&pools, "three-lives", "r1=kill*2");

    pools_expect(&pools, fails, "s p1 r1 p1 r1 o1 p1 r1 o1 f R");
    pools_expect(&pools, dies, "s p1 r1 s p1 r1 s p1 r1 o1 f R");
    assert_int_equal(own_worker(&pools), worker); /* whatever became of the process */
    pools_fini(&pools);
}

static void when_its_last_life_is_gone_its_error_stands_in_the_jobs_place(void **state)
{
    struct pools pools;
    (void)state;
    init(&pools, 1);
    int64_t worker = own_worker(&pools);
    static const char *const scripts[] = {"r1=fail", "p1=kill", "r1=hang"};
    static const enum ptq_err codes[] = {PTQ_EPERM, PTQ_EDIED, PTQ_TIMEDOUT};
    static const char *const words[] = {"error in run on run 1: as the script says", "signal 9", "timeout in run after 30 ms on run 1"};

    for (size_t i = 0; i < 3; i++) {
        uint64_t ticket = pools_submit(&pools, i == 2 ? "short-run" : "one-run", scripts[i]), next = pools_submit(&pools, "echo", "next");
        ptq_result *result = pools_get(&pools);
        assert_int_equal(ptq_result_ticket(result), ticket);
        assert_answer(codes[i], ptq_result_code(result));
        ptt_assert_says(ptq_result_text(result), words[i]);
        assert_ok(ptq_result_done(result));
        pools_expect(&pools, next, "next");
    }
    assert_int_equal(own_worker(&pools), worker);
    pools_fini(&pools);
}

static void a_limit_of_the_job_ends_all_of_its_life(void **state)
{
    struct pools pools;
    struct ptq_call_options call = {.timeout_ms = 60};
    uint64_t late;
    (void)state;
    init(&pools, 1);
    assert_ok(ptq_pool_submit_with(pools.pool, "many-lives", "r1=nap*1000", 11, &(struct ptq_submit_options){.call = &call}, PTT_LONG, &late));
    uint64_t next = pools_submit(&pools, "echo", "next");

    pools_expect_error(&pools, late, PTQ_TIMEDOUT);
    pools_expect(&pools, next, "next");
    pools_fini(&pools);
}

/* The first worker is killed while its process is at work; the second one begins anew. */
static bool is_dead(void *context)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)*(const pid_t *)context);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return true;
    char *line = fgets(text, sizeof text, file), *end = line != NULL ? strrchr(line, ')') : NULL;
    fclose(file);
    return end == NULL || end[2] == 'Z' || end[2] == 'X';
}

static void a_worker_that_is_killed_takes_its_process_along(void **state)
{
    struct pools pools;
    (void)state;
    pools_init(&pools, NULL, 0);
    setenv("INNER_DIR", pools.scratch.dir, 1);
    pools_spawn(&pools, 1);
    uint64_t ticket = pools_submit(&pools, "told", "");
    pid_t process = 0;
    ptq_queue *queue;
    size_t size;
    assert_ok(ptq_queue_open(pools.scratch.bus, "told", NULL, &queue));
    assert_ok(ptq_recv(queue, &process, sizeof process, PTT_LONG, &size));

    assert_int_equal(kill((pid_t)own_worker(&pools), SIGKILL), 0);
    pid_t second = 0;
    ptq_result *result = NULL;
    for (enum ptq_err err = PTQ_EMPTY; err != PTQ_OK;) { /* looks after the worker, too */
        assert_answer(PTQ_TIMEDOUT, ptq_pool_get(pools.pool, 10, &result));
        err = ptq_recv(queue, &second, sizeof second, PTQ_NOWAIT, &size);
    }
    assert_true(ptt_wait_until(is_dead, &process, PTT_LONG));
    assert_int_not_equal(process, second);
    ptq_queue_close(queue);
    pools_open_gate(&pools, "go");
    pools_expect(&pools, ticket, "went");
    pools_fini(&pools);
}

/* Tells queue "told" its pid, and waits at "go". */
static enum ptq_err tell_and_wait(ptq_self *self, void *user)
{
    pid_t pid = getpid();
    ptq_bus *bus;
    ptq_queue *told = NULL, *go = NULL;
    size_t size;
    (void)user;
    enum ptq_err err = ptq_bus_open("test", &(struct ptq_bus_options){.dir = getenv("INNER_DIR")}, &bus);
    if (err != PTQ_OK)
        return err;
    err = ptq_queue_open(bus, "told", NULL, &told);
    if (err == PTQ_OK)
        err = ptq_queue_open(bus, "go", NULL, &go);
    if (err == PTQ_OK)
        err = ptq_put(told, &pid, sizeof pid, PTT_LONG);
    if (err == PTQ_OK)
        err = ptq_recv(go, NULL, 0, PTT_LONG, &size);
    if (err == PTQ_OK)
        err = ptq_self_give(self, "went", 4);
    ptq_queue_close(told);
    ptq_queue_close(go);
    ptq_bus_close(bus);
    return err;
}

int main(int argc, char **argv)
{
    static const struct ptq_process_hooks told = {.run = tell_and_wait};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_job_is_a_life_and_its_result_is_the_jobs),
        cmocka_unit_test(lives_are_its_own_and_a_death_is_one_of_them),
        cmocka_unit_test(when_its_last_life_is_gone_its_error_stands_in_the_jobs_place),
        cmocka_unit_test(a_limit_of_the_job_ends_all_of_its_life),
        cmocka_unit_test(a_worker_that_is_killed_takes_its_process_along),
    };
    struct ptq_process_options one = {.runs = 1}, brief = {.runs = 1, .grace_ms = 20, .timeout_ms[PTQ_SECTION_RUN] = 30}, three = {.runs = 3},
                               lives = {.runs = 1, .lives = 3, .pause_ms = 1}, many = {.runs = 1000, .lives = PTQ_LIVES_MANY};
    pools_register();
    scripted_register();
    if (ptq_process_register("told", &told, NULL) != PTQ_OK || ptq_task_register_process("one-run", "all", &one) != PTQ_OK ||
        ptq_task_register_process("short-run", "all", &brief) != PTQ_OK ||
        ptq_task_register_process("three-runs", "all", &three) != PTQ_OK || ptq_task_register_process("three-lives", "all", &lives) != PTQ_OK ||
        ptq_task_register_process("many-lives", "all", &many) != PTQ_OK || ptq_task_register_process("told", "told", NULL) != PTQ_OK)
        return 1;
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
