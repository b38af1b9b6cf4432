/* test_slow.c -- slow links, shared by the parts of a pool or by a giant and small ones: what is large holds up nothing else. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ptq/pool.h>

#include "net/netns.h"

enum { LARGE = 4 << 20, SMALL = 4, WORKERS = 2 };

/* A megabyte a second. */
static const char slow[] = "tc qdisc add dev cable root tbf rate 8mbit burst 32kb latency 100ms";

static enum ptq_err give(ptq_task *task, const void *data, size_t size)
{
    uint32_t wanted = 0;

    memcpy(&wanted, data, size < sizeof wanted ? 0 : sizeof wanted);
    char *bytes = calloc(1, wanted + 1);
    enum ptq_err err = ptq_task_result(task, bytes, wanted);
    free(bytes);
    return err;
}

struct far {
    ptq_pool *pool, *here; /* the pool from afar, and as the home sees it */
    ptq_result *got;
    _Atomic uint64_t done;
};

static void *work(void *context)
{
    enum ptq_err err = ptq_pool_work(context, NULL);

    return (void *)(uintptr_t)err;
}

static void *get(void *context)
{
    struct far *far = context;
    enum ptq_err err = ptq_pool_get(far->pool, PTQ_FOREVER, &far->got);

    atomic_store(&far->done, 1);
    return (void *)(uintptr_t)err;
}

static void submit(struct far *far, uint32_t wanted)
{
    assert_ok(ptq_pool_submit(far->pool, NULL, &wanted, sizeof wanted, PTT_LONG, NULL));
}

static struct ptq_pool_stats look(struct far *far)
{
    struct ptq_pool_stats stats;

    assert_ok(ptq_pool_stats(far->here, &stats));
    return stats;
}

static bool small_ones_went_by(void *context)
{
    return look(context).held == SMALL;
}

static bool large_one_is_there(void *context)
{
    return look(context).ready > 0;
}

/* One worker hands in what is large; the other goes on taking jobs and handing in what is small, and jobs still go in. */
static void results_go_up(struct far *far)
{
    submit(far, LARGE);
    for (int i = 0; i < SMALL; i++)
        submit(far, 8);

    assert_true(ptt_wait_until(small_ones_went_by, far, PTT_LONG));
    assert_int_equal(look(far).ready, 0); /* it was still on its way */
    assert_true(ptt_wait_until(large_one_is_there, far, PTT_LONG));
}

/* A result comes down, and beside it what the workers take and hand in. */
static void results_come_down(struct far *far)
{
    pthread_t getter;
    uint64_t before = look(far).submitted, beside = 0;
    void *answer;

    assert_int_equal(pthread_create(&getter, NULL, get, far), 0);
    while (atomic_load(&far->done) == 0 && beside < SMALL) {
        submit(far, 8);
        beside++;
    }
    uint64_t went_by = look(far).ready + look(far).held;
    bool was_quicker = atomic_load(&far->done) != 0;
    pthread_join(getter, &answer);

    assert_int_equal((uintptr_t)answer, PTQ_OK);
    assert_int_equal(ptq_result_size(far->got), LARGE);
    assert_ok(ptq_result_done(far->got));
    print_message("%llu jobs went in and %llu results stood while one came down\n", (unsigned long long)beside,
                  (unsigned long long)went_by);
    assert_false(was_quicker);
    assert_int_equal(look(far).submitted, before + SMALL);
}

static void get_the_rest(struct far *far)
{
    ptq_result *result;

    for (int i = 0; i < 2 * SMALL; i++) {
        assert_ok(ptq_pool_get(far->pool, PTT_LONG, &result));
        assert_int_equal(ptq_result_size(result), 8);
        assert_ok(ptq_result_done(result));
    }
    assert_answer(PTQ_END, ptq_pool_get(far->pool, PTT_LONG, &result));
}

/* A handle each, all over one link. */
static ptq_pool *attach(struct netns *ns)
{
    ptq_pool *pool;

    assert_ok(ptq_pool_open(ns->net.there, "pool@home", &(struct ptq_pool_options){.mode = PTQ_ATTACH}, &pool));
    return pool;
}

static void share_a_link(struct netns *ns)
{
    struct ptq_pool_options options = {.window = 64, .result_size = LARGE};
    struct far far = {0};
    ptq_pool *pools[WORKERS];
    pthread_t workers[WORKERS];

    for (int side = 0; side < 2; side++)
        netns_run(ns, side, "%s", slow);
    assert_ok(ptq_pool_open(ns->net.here, "pool", &options, &far.here));
    far.pool = attach(ns);
    for (int i = 0; i < WORKERS; i++) {
        pools[i] = attach(ns);
        assert_int_equal(pthread_create(&workers[i], NULL, work, pools[i]), 0);
    }
    results_go_up(&far);
    results_come_down(&far);
    assert_ok(ptq_pool_stop(far.pool));
    get_the_rest(&far);
    for (int i = 0; i < WORKERS; i++) {
        void *answer;
        pthread_join(workers[i], &answer);
        assert_int_equal((uintptr_t)answer, PTQ_OK);
        ptq_pool_close(pools[i]);
    }
    ptq_pool_close(far.pool);
    ptq_pool_close(far.here);
}

/* ---- one large message, and others */

enum { GIANT = 48 << 20, BESIDE = 8, ANON_MOST_KB = 16 << 10 };

struct putting {
    ptq_queue *queue;
    char *body;
    _Atomic uint64_t done;
};

static void *put_giant(void *context)
{
    struct putting *putting = context;
    enum ptq_err err = ptq_put(putting->queue, putting->body, GIANT, PTQ_FOREVER);

    atomic_store(&putting->done, 1);
    return (void *)(uintptr_t)err;
}

/* Its pieces take seconds; others go there and back meanwhile, and the home holds no copy of it but where it belongs. */
static void put_a_giant(struct netns *ns)
{
    struct ptq_queue_options large = {.item_size = GIANT, .capacity = 2};
    struct putting putting = {.body = calloc(1, GIANT)};
    uint64_t beside = 0, one = 1;
    unsigned long most = 0;
    pthread_t thread;
    void *answer;
    size_t size;

    for (int side = 0; side < 2; side++)
        netns_run(ns, side, "tc qdisc add dev cable root tbf rate 160mbit burst 64kb latency 50ms");
    putting.queue = net_open(ns->net.there, "giant@home", &large);
    ptq_queue *small = net_open(ns->net.there, "small@home", NULL);
    assert_int_equal(pthread_create(&thread, NULL, put_giant, &putting), 0);
    while (atomic_load(&putting.done) == 0) {
        assert_ok(ptq_put(small, &one, sizeof one, PTT_LONG));
        assert_ok(ptq_recv(small, &one, sizeof one, PTT_LONG, &size));
        unsigned long now = ptt_anonymous_kib(ns->net.bridge);
        most = now > most ? now : most;
        beside++;
    }
    pthread_join(thread, &answer);

    assert_int_equal((uintptr_t)answer, PTQ_OK);
    print_message("%llu went there and back beside it, the bridge had %lu KiB of its own\n", (unsigned long long)beside, most);
    assert_true(beside >= BESIDE);
#ifndef __SANITIZE_ADDRESS__
#ifndef __SANITIZE_THREAD__ /* which needs several times as much for itself */
    assert_true(most > 0 && most < ANON_MOST_KB);
#endif
#endif
    ptq_queue_close(small);
    ptq_queue_close(putting.queue);
    free(putting.body);
}

static void a_large_message_on_a_slow_link_starves_nobody_and_is_not_held_twice(void **state)
{
    (void)state;
    netns_case(put_a_giant);
}

static void jobs_and_results_of_one_pool_pass_by_each_other_on_a_slow_link(void **state)
{
    (void)state;
    netns_case(share_a_link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_message_on_a_slow_link_starves_nobody_and_is_not_held_twice),
        cmocka_unit_test(jobs_and_results_of_one_pool_pass_by_each_other_on_a_slow_link),
    };

    if (ptq_task_register(NULL, give, NULL) != PTQ_OK)
        return 2;
    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 2);
}
