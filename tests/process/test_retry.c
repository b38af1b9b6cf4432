/* test_retry.c -- jobs that fail are run again: as often, as late and after those errors that was asked. */
#include <string.h>

#include "base/time.h"
#include "pool/pool.h"
#include "pools.h"

static uint64_t submit_plan(struct pools *pools, const char *runs, const struct ptq_call_options *call)
{
    uint64_t ticket = 0;
    struct ptq_submit_options options = {.call = call};
    assert_ok(ptq_pool_submit_with(pools->pool, "plan", runs, strlen(runs), &options, PTT_LONG, &ticket));
    return ticket;
}

static void a_job_that_fails_is_run_again_as_often_as_was_asked(void **state)
{
    struct pools pools;
    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);

    uint64_t good = submit_plan(&pools, "ffg", &(struct ptq_call_options){.retries = 2});
    uint64_t bad = submit_plan(&pools, "ffg", &(struct ptq_call_options){.retries = 1});
    uint64_t none = submit_plan(&pools, "fg", NULL);

    ptq_result *result = pools_get(&pools);
    assert_int_equal(ptq_result_ticket(result), good);
    assert_int_equal(ptq_result_kind(result), PTQ_RESULT_JOB);
    assert_int_equal(ptq_result_tries(result), 3);
    assert_ok(ptq_result_done(result));
    result = pools_get(&pools);
    assert_int_equal(ptq_result_ticket(result), bad);
    assert_answer(PTQ_EFAILED, ptq_result_code(result));
    assert_string_equal(ptq_result_text(result), "run 2 failed");
    assert_ok(ptq_result_done(result));
    pools_expect_error(&pools, none, PTQ_EFAILED);
    pools_fini(&pools);
}

static void only_the_errors_that_were_named_are_tried_again(void **state)
{
    struct pools pools;
    struct ptq_call_options on_timeout = {.retries = 5, .retry_on = PTQ_RETRY_ON(PTQ_TIMEDOUT)};
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.call = on_timeout}, 0); /* of the handle */
    pools_spawn(&pools, 1);

    uint64_t first = pools_submit(&pools, "plan", "tg"), second = pools_submit(&pools, "plan", "tfg");

    pools_expect(&pools, first, "tg");
    pools_expect_error(&pools, second, PTQ_EFAILED);
    pools_fini(&pools);
}

static bool holds_one(const struct ptq_pool_stats *stats, uint64_t value)
{
    return stats->held == value && stats->queued == 1;
}

static void a_job_in_its_pause_holds_up_no_worker(void **state)
{
    struct pools pools;
    struct ptq_call_options late = {.retries = 1, .delay_ms = 600}, never = {.retries = 1, .delay_ms = 600000};
    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);

    uint64_t first = submit_plan(&pools, "fg", &late), second = pools_submit(&pools, "echo", "meanwhile");
    pools_expect(&pools, first, "fg");
    pools_expect(&pools, second, "meanwhile");
    (void)submit_plan(&pools, "fg", &never);
    pools_submit(&pools, "echo", "meanwhile");
    assert_true(pools_wait_stats(&pools, holds_one, 1)); /* the second is done, and the first waits */
    pools_fini(&pools);
}

static void pauses_grow_by_the_factor(void **state)
{
    struct pools pools;
    struct ptq_call_options growing = {.retries = 3, .delay_ms = 20, .backoff = 3};
    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 2);

    int64_t start = pti_now_ns();
    uint64_t ticket = submit_plan(&pools, "fffg", &growing);
    pools_expect(&pools, ticket, "fffg");

    assert_true(pti_now_ns() - start >= (20 + 60 + 180) * PTI_NS_PER_MS);
    pools_fini(&pools);
}

/* Failures cost no lives, and deaths no retries, whichever come first. */
static void failures_and_deaths_are_counted_apart(void **state)
{
    static const uint32_t delays[] = {0, 5};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pools pools;
        struct ptq_call_options call = {.retries = 3, .delay_ms = delays[i]};
        pools_init(&pools, &(struct ptq_pool_options){.lives = 2}, 0);
        assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 1, .crash_limit = 100}));

        uint64_t mixed = submit_plan(&pools, "ffdfg", &call);
        pools_expect(&pools, mixed, "ffdfg");
        uint64_t dead = submit_plan(&pools, "dffd-", &call);
        pools_expect_error(&pools, dead, PTQ_EDIED);
        uint64_t failed = submit_plan(&pools, "fdfff-", &call);
        pools_expect_error(&pools, failed, PTQ_EFAILED);
        pools_fini(&pools);
    }
}

/* A job that stands beside its queue cannot be given back with a note: its worker waits, and leaves when it is told to. */
static void a_pause_in_hand_ends_when_the_worker_is_to_leave(void **state)
{
    struct pools pools;
    struct ptq_call_options soon = {.retries = 2, .delay_ms = 5}, never = {.retries = 1, .delay_ms = 600000};
    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.item_size = 2 << 20, .capacity = 4, .window = 4}, 0);
    pools_spawn(&pools, 1);

    uint64_t ticket = submit_plan(&pools, "ffg", &soon);
    pools_expect(&pools, ticket, "ffg");
    (void)submit_plan(&pools, "fg", &never);
    ptq_result *result;
    assert_answer(PTQ_TIMEDOUT, ptq_pool_get(pools.pool, 50, &result));

    pti_supervisor_end(pools.pool->staff.teams[0], PTT_LONG); /* as a close does, and more patient */
    const struct pti_child *worker = pti_supervisor_child(pools.pool->staff.teams[0], 0);
    assert_true(worker->how.known && !worker->how.signaled);
    assert_int_equal(worker->how.code, 0);
    pools_fini(&pools);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_that_fails_is_run_again_as_often_as_was_asked),
        cmocka_unit_test(only_the_errors_that_were_named_are_tried_again),
        cmocka_unit_test(a_job_in_its_pause_holds_up_no_worker),
        cmocka_unit_test(pauses_grow_by_the_factor),
        cmocka_unit_test(failures_and_deaths_are_counted_apart),
        cmocka_unit_test(a_pause_in_hand_ends_when_the_worker_is_to_leave),
    };
    pools_register();
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
