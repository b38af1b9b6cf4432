/* test_pools.c -- a worker, or a getter, of an ordered pool dies at any instruction: each ticket still comes out once, in its
 * place.
 *
 * Three jobs are submitted and the pool is stopped.  The worker that has them is killed at instruction i, and another does
 * what is left; or all are done, and the getter is killed at instruction i, and another gets what is left.  Or the getter is stopped at
 * instruction i of a get that finds nothing yet, the jobs are done and end meanwhile, and it goes on: nothing of them is left behind.
 * And whoever makes or removes a pool is killed, or stopped, around each call of the kernel.
 *     crash_pools [all | N]: every instruction, or every so many; else some.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "crash/path.h"
#include "support/ptt.h"

#include <ptq/pool.h>

#define JOBS 3u
#define POOL "p"
#define LENT 4096u

struct work {
    struct ptt_scratch scratch;
    struct ptt_page *page; /* words[0]: results done by the getter that died; words[1]: tickets it was given */
    uint64_t first;        /* ticket */
    unsigned runs, wrong;
};

static struct path path;

/* One of them by loan. */
static enum ptq_err repeat(ptq_task *task, const void *data, size_t size)
{
    unsigned char first = *(const unsigned char *)data, *buffer;

    if (first == 1 && ptq_task_loan(task, LENT, (void **)&buffer) == PTQ_OK) {
        memcpy(buffer, data, size);
        buffer[size] = '!';
        return ptq_task_publish(task, size + 1);
    }
    enum ptq_err err = ptq_task_result(task, data, size);

    return err == PTQ_OK ? ptq_task_emit(task, "!", 1) : err;
}

static ptq_pool *open_pool(ptq_bus *bus)
{
    struct ptq_error error = {0};
    struct ptq_pool_options options = {
        .capacity = 8, .window = 8, .item_size = 64, .result_size = LENT, .max_endpoints = 8, .error = &error};
    ptq_pool *pool = NULL;

    if (ptq_pool_open(bus, POOL, &options, &pool) != PTQ_OK)
        print_error("%s\n", error.text);
    return pool;
}

/* ---- victims */

static int work_and_die(void *context)
{
    struct work *work = context;
    ptq_pool *pool = open_pool(ptt_scratch_open(&work->scratch));

    if (pool == NULL)
        return 1;
    victim_mark();
    return ptq_pool_work(pool, NULL) == PTQ_OK ? 0 : 2;
}

static int get_and_die(void *context)
{
    struct work *work = context;
    ptq_pool *pool = open_pool(ptt_scratch_open(&work->scratch));
    ptq_result *result = NULL;

    if (pool == NULL)
        return 1;
    victim_mark();
    while (ptq_pool_get(pool, 1000, &result) == PTQ_OK) {
        work->page->words[1]++;
        if (ptq_result_done(result) != PTQ_OK)
            return 3;
        work->page->words[0]++;
    }
    return 0;
}

/* Gets until the end of a pool that this handle has stopped. */
static int stop_and_get(void *context)
{
    struct work *work = context;
    ptq_pool *pool = open_pool(ptt_scratch_open(&work->scratch));
    ptq_result *result = NULL;
    enum ptq_err err;

    if (pool == NULL || ptq_pool_stop(pool) != PTQ_OK)
        return 1;
    victim_mark();
    while ((err = ptq_pool_get(pool, PTT_LONG, &result)) == PTQ_OK) {
        work->page->words[1]++;
        if (ptq_result_done(result) != PTQ_OK)
            return 3;
    }
    return err == PTQ_END ? 0 : 4;
}

/* ---- the others */

static void submit_some(struct work *work)
{
    ptt_scratch_init(&work->scratch);
    work->page->words[0] = work->page->words[1] = 0;
    ptq_pool *pool = open_pool(work->scratch.bus);
    assert_non_null(pool);
    for (uint64_t i = 0; i < JOBS; i++) {
        uint64_t ticket = 0;
        assert_ok(ptq_pool_submit(pool, NULL, &i, sizeof i, PTQ_NOWAIT, &ticket));
        if (i == 0)
            work->first = ticket;
        assert_int_equal(ticket, work->first + i);
    }
    ptq_pool_close(pool);
}

static void do_all(ptq_bus *bus)
{
    ptq_pool *pool = open_pool(bus);
    assert_non_null(pool);
    assert_ok(ptq_pool_work(pool, NULL)); /* until the end of the jobs */
    ptq_pool_close(pool);
}

static void submit_all(struct work *work, bool do_them)
{
    submit_some(work);
    ptq_pool *pool = open_pool(work->scratch.bus);
    assert_non_null(pool);
    assert_ok(ptq_pool_stop(pool));
    ptq_pool_close(pool);
    if (do_them)
        do_all(work->scratch.bus);
}

static bool is_right(struct work *work, ptq_result *result, uint64_t i)
{
    uint64_t number = UINT64_MAX;

    if (ptq_result_size(result) == sizeof number + 1)
        memcpy(&number, ptq_result_data(result), sizeof number);
    return ptq_result_kind(result) == PTQ_RESULT_JOB && ptq_result_ticket(result) == work->first + i && number == i;
}

static void complain(struct work *work, const char *who, uint64_t at, const char *what)
{
    if (work->wrong++ < 10)
        print_error("%s, killed or stopped at instruction %llu: %s\n", who, (unsigned long long)at, what);
}

/* What is left comes in order; the one that the dead getter had in hand may come again, flagged. */
static void get_the_rest(struct work *work, ptq_pool *pool, const char *who, uint64_t at)
{
    uint64_t done = work->page->words[0], next = done;
    ptq_result *result = NULL;
    enum ptq_err err;
    bool is_first = true;

    while ((err = ptq_pool_get(pool, PTT_LONG, &result)) == PTQ_OK) {
        bool in_doubt = is_first && work->page->words[1] >= done; /* done was under way */
        if (in_doubt && ptq_result_ticket(result) == work->first + next + 1)
            next++;
        if (!is_right(work, result, next))
            complain(work, who, at, "a result is not the next one");
        if (is_first && work->page->words[1] > done && next == done && !ptq_result_redelivered(result))
            complain(work, who, at, "a result came twice without a flag");
        assert_ok(ptq_result_done(result));
        is_first = false;
        next++;
    }
    if (err != PTQ_END)
        complain(work, who, at, ptq_err_name(err));
    if (next != JOBS && !(is_first && next + 1 == JOBS))
        complain(work, who, at, "there is a hole");
}

static void go_on(struct work *work, const char *who, uint64_t at, bool by_working)
{
    ptq_pool *pool = open_pool(work->scratch.bus);

    assert_non_null(pool);
    if (by_working) {
        enum ptq_err err = ptq_pool_work(pool, NULL);
        if (err != PTQ_OK)
            complain(work, who, at, ptq_err_name(err));
    }
    get_the_rest(work, pool, who, at);
    ptq_pool_close(pool);
    assert_ok(ptq_pool_unlink(work->scratch.bus, POOL, false));
    ptt_scratch_fini(&work->scratch);
}

/* ---- deaths */

/* Up to a sleep of `ms`. */
static void follow_on(struct work *work, int (*life)(void *), int ms)
{
    path_follow(&path, life, work, ms);
    assert_true(path.count > 100);
    ptt_scratch_fini(&work->scratch);
}

static void follow(struct work *work, int (*life)(void *), bool done_before)
{
    submit_all(work, done_before);
    follow_on(work, life, 1000);
}

static void kill_everywhere(const char *who, int (*life)(void *), bool is_getter)
{
    struct work work = {.page = ptt_page_new()};

    if (!victim_is_possible()) {
        print_message("skipped: no single steps here\n");
        skip();
    }
    ptq_task_register(NULL, repeat, NULL);
    follow(&work, life, is_getter);
    uint64_t stride = path_stride(&path, 150);
    for (uint64_t seed = ptt_seed(), at = ptt_random(&seed) % stride; at < path.count; at += stride) {
        struct victim victim;
        submit_all(&work, is_getter);
        victim_start(&victim, life, &work);
        victim_run_to(&victim, path.places[at], path.times[at], 2000);
        victim_kill(&victim);
        go_on(&work, who, at, !is_getter);
        work.runs++;
    }
    print_message("  %s: %llu instructions, %u deaths, %u wrong\n", who, (unsigned long long)path.count, work.runs,
                  work.wrong);
    ptt_page_free(work.page);
    assert_int_equal(work.wrong, 0);
    assert_true(work.runs > 100);
}

/* W22 */
static void a_worker_may_die_at_any_instruction(void **state)
{
    (void)state;
    kill_everywhere("worker", work_and_die, false);
}

static void a_getter_may_die_at_any_instruction(void **state)
{
    (void)state;
    kill_everywhere("getter", get_and_die, true);
}

/* ---- stops */

static int do_all_and_exit(void *context)
{
    struct work *work = context;

    do_all(ptt_scratch_open(&work->scratch));
    return 0;
}

/* The getter stands still meanwhile.  Where it stands with the end of the jobs in its hands, the worker waits for it. */
static void do_beside(struct work *work, struct victim *victim)
{
    pid_t worker = ptt_fork(do_all_and_exit, work);
    int status = -1;

    for (int i = 0; i < 300 && waitpid(worker, &status, WNOHANG) == 0; i++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    victim_let_go(victim);
    assert_true(victim_wait(victim, PTT_LONG));
    if (status == -1)
        assert_int_equal(ptt_reap(worker, PTT_LONG), 0);
    else
        assert_int_equal(status, 0);
}

static void a_getter_that_is_stopped_while_the_last_jobs_end_gets_all_of_them(void **state)
{
    struct work work = {.page = ptt_page_new()};

    (void)state;
    if (!victim_is_possible()) {
        print_message("skipped: no single steps here\n");
        skip();
    }
    ptq_task_register(NULL, repeat, NULL);
    submit_some(&work);
    follow_on(&work, stop_and_get, 100);
    uint64_t stride = path_stride(&path, 60);
    for (uint64_t seed = ptt_seed(), at = ptt_random(&seed) % stride; at < path.count; at += stride) {
        struct victim victim;
        submit_some(&work);
        victim_start(&victim, stop_and_get, &work);
        if (!victim_run_to(&victim, path.places[at], path.times[at], 500)) { /* a way that time has changed */
            victim_kill(&victim);
            ptt_scratch_fini(&work.scratch);
            continue;
        }
        do_beside(&work, &victim);
        if (victim.status != 0)
            complain(&work, "getter", at, "it did not see the end");
        if (work.page->words[1] != JOBS)
            complain(&work, "getter", at, "it saw the end before the last results");
        ptt_scratch_fini(&work.scratch);
        work.runs++;
    }
    print_message("  getter: %llu instructions until it waits, %u stops, %u wrong\n", (unsigned long long)path.count, work.runs, work.wrong);
    ptt_page_free(work.page);
    assert_int_equal(work.wrong, 0);
    assert_true(work.runs > 20);
}

/* ---- making and removing one: around each call of the kernel */

enum errand { MAKE, REMOVE, REMOVE_BY_FORCE, ERRANDS };

struct trip {
    struct ptt_scratch scratch;
    enum errand errand;
};

static int go(void *context)
{
    struct trip *trip = context;
    ptq_bus *bus = ptt_scratch_open(&trip->scratch);

    victim_mark();
    if (trip->errand == MAKE)
        return open_pool(bus) != NULL ? 0 : 1;
    return ptq_pool_unlink(bus, POOL, trip->errand == REMOVE_BY_FORCE) == PTQ_OK ? 0 : 2;
}

/* A pool that is whole: whoever opens it now has one that works. */
static void assert_works(ptq_bus *bus)
{
    ptq_pool *pool = open_pool(bus);
    ptq_result *result = NULL;
    uint64_t ticket = 0;

    assert_non_null(pool);
    assert_ok(ptq_pool_submit(pool, NULL, "x", 1, PTQ_NOWAIT, &ticket));
    assert_ok(ptq_pool_stop(pool));
    assert_ok(ptq_pool_work(pool, NULL));
    assert_ok(ptq_pool_get(pool, PTT_LONG, &result));
    assert_int_equal(ptq_result_ticket(result), ticket);
    assert_ok(ptq_result_done(result));
    assert_answer(PTQ_END, ptq_pool_get(pool, PTT_LONG, &result));
    ptq_pool_close(pool);
}

static void arrange(struct trip *trip)
{
    ptt_scratch_init(&trip->scratch);
    if (trip->errand != MAKE)
        ptq_pool_close(open_pool(trip->scratch.bus));
}

/* Stands before its n-th call, or behind it; false: it makes fewer. */
static bool stand(struct trip *trip, struct victim *victim, uint64_t n, bool behind)
{
    arrange(trip);
    victim_start(victim, go, trip);
    if (victim_run_to_call(victim, n, behind))
        return true;
    assert_int_equal(victim->status, 0);
    victim_finish(victim);
    return false;
}

/* W19 W20 */
static void whoever_makes_or_removes_a_pool_may_die_at_any_call_of_the_kernel(void **state)
{
    (void)state;
    if (!victim_is_possible()) {
        print_message("skipped: no single steps here\n");
        skip();
    }
    ptq_task_register(NULL, repeat, NULL);
    for (struct trip trip = {.errand = MAKE}; trip.errand < ERRANDS; trip.errand++) {
        uint64_t n = 0;
        for (bool stood = true; stood; n++) {
            struct victim victim;
            stood = stand(&trip, &victim, n / 2, n % 2 != 0);
            victim_kill(&victim);
            if (trip.errand == MAKE || n % 4 < 2)
                assert_works(trip.scratch.bus);
            assert_ok(ptq_pool_unlink(trip.scratch.bus, POOL, false));
            assert_int_equal(ptt_scratch_files(&trip.scratch, NULL), 0);
            ptt_scratch_fini(&trip.scratch);
        }
        print_message("  %s a pool: killed at %llu calls of the kernel\n", trip.errand == MAKE ? "makes" : "removes", (unsigned long long)n / 2);
        assert_true(n > 10);
    }
}

static void whoever_is_stopped_while_he_makes_a_pool_keeps_nobody_from_it(void **state)
{
    struct trip trip = {.errand = MAKE};
    bool stood = true;

    (void)state;
    if (!victim_is_possible()) {
        print_message("skipped: no single steps here\n");
        skip();
    }
    ptq_task_register(NULL, repeat, NULL);
    for (uint64_t n = 0; stood; n++) {
        struct victim victim;
        stood = stand(&trip, &victim, n, true);
        assert_works(trip.scratch.bus);
        victim_finish(&victim);
        if (victim.status != 0)
            fail_msg("stopped behind its call %llu it could not open what somebody else had made meanwhile", (unsigned long long)n);
        ptq_pool *pool = open_pool(trip.scratch.bus);
        assert_non_null(pool);
        assert_answer(PTQ_EENDED, ptq_pool_submit(pool, NULL, "x", 1, PTQ_NOWAIT, NULL)); /* the same one still */
        ptq_pool_close(pool);
        ptt_scratch_fini(&trip.scratch);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whoever_makes_or_removes_a_pool_may_die_at_any_call_of_the_kernel),
                                       cmocka_unit_test(whoever_is_stopped_while_he_makes_a_pool_keeps_nobody_from_it),
                                       cmocka_unit_test(a_getter_that_is_stopped_while_the_last_jobs_end_gets_all_of_them),
                                       cmocka_unit_test(a_worker_may_die_at_any_instruction),
                                       cmocka_unit_test(a_getter_may_die_at_any_instruction)};

    (void)path_arguments(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
