/* test_pools.c -- a worker, or a getter, of an ordered pool dies at any instruction: each ticket still comes out once, in its
 * place.
 *
 * Three jobs are submitted and the pool is stopped.  The worker that has them is killed at instruction i, and another does
 * what is left; or all are done, and the getter is killed at instruction i, and another gets what is left.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash/scene.h"

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

#define TRACK_MOST 40000
struct path {
    uint64_t count, places[TRACK_MOST];
    uint32_t times[TRACK_MOST];
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

    return ptq_pool_open(bus, POOL, &options, &pool) == PTQ_OK ? pool : NULL;
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

/* ---- the others */

static void submit_all(struct work *work, bool do_them)
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
    assert_ok(ptq_pool_stop(pool));
    if (do_them)
        assert_ok(ptq_pool_work(pool, NULL)); /* until the end of the jobs */
    ptq_pool_close(pool);
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
        print_error("%s killed at instruction %llu: %s\n", who, (unsigned long long)at, what);
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

static void follow(struct work *work, int (*life)(void *), bool done_before)
{
    struct victim victim;

    path.count = 0;
    submit_all(work, done_before);
    victim_start(&victim, life, work);
    while (path.count < TRACK_MOST && victim_step_within(&victim, 1000)) {
        uint64_t place = victim_place(&victim);
        uint32_t times = 1;
        for (uint64_t i = path.count; i-- > 0 && times == 1;)
            if (path.places[i] == place)
                times = path.times[i] + 1;
        if (times > 4)
            continue; /* a turn of a loop like those before */
        path.times[path.count] = times;
        path.places[path.count++] = place;
    }
    victim_kill(&victim);
    assert_true(path.count > 100);
    ptt_scratch_fini(&work->scratch);
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
    uint64_t stride = getenv("PTQ_CRASH_ALL") != NULL ? 1 : path.count / 400 + 1;
    for (uint64_t at = 0; at < path.count; at += stride) {
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_worker_may_die_at_any_instruction),
                                       cmocka_unit_test(a_getter_may_die_at_any_instruction)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
