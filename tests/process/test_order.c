/* test_order.c -- results leave in the order of submission, whatever order they were finished in. */
#include <stdio.h>
#include <string.h>

#include "pools.h"
#include "pool/pool.h"

static const char *const gates[] = {"gate-0", "gate-1", "gate-2", "gate-3"};

static void one_worker_answers(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    uint64_t first = pools_submit(&pools, "echo", "hello");
    uint64_t second = pools_submit(&pools, "echo", "world");

    assert_int_equal(second, first + 1);
    pools_expect(&pools, first, "hello");
    pools_expect(&pools, second, "world");
    pools_fini(&pools);
}

/* Finishes four jobs in the order that `permutation` says, and looks that none leaves before its turn. */
static void finish_in_order(struct pools *pools, const unsigned permutation[4])
{
    uint64_t tickets[4];
    for (unsigned i = 0; i < 4; i++)
        tickets[i] = pools_submit(pools, "gate", gates[i]);
    pools_wait_at_gates(pools, 4);
    for (unsigned i = 0; i < 4; i++) {
        pools_open_gate(pools, gates[permutation[i]]);
        assert_true(pools_wait_stats(pools, pools_have_finished, i + 1));
    }
    for (unsigned i = 0; i < 4; i++)
        pools_expect(pools, tickets[i], gates[i]);
}

static void all_24_orders_of_completion_leave_in_order(void **state)
{
    struct pools pools;
    unsigned orders = 0;

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 4);
    for (unsigned code = 0; code < 256; code++) {
        unsigned order[4] = {code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6};
        unsigned seen = 1u << order[0] | 1u << order[1] | 1u << order[2] | 1u << order[3];
        if (seen != 15)
            continue;
        finish_in_order(&pools, order);
        orders++;
    }

    assert_int_equal(orders, 24);
    pools_fini(&pools);
}

static void markers_keep_their_places(void **state)
{
    struct pools pools;
    uint64_t tickets[6];

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 2);
    assert_ok(ptq_pool_submit_marker(pools.pool, "begin", 5, PTT_LONG, &tickets[0]));
    tickets[1] = pools_submit(&pools, "gate", gates[0]);
    assert_ok(ptq_pool_submit_marker(pools.pool, NULL, 0, PTT_LONG, &tickets[2]));
    tickets[3] = pools_submit(&pools, "echo", "x");
    assert_ok(ptq_pool_submit_marker(pools.pool, "end", 3, PTT_LONG, &tickets[4]));
    pools_wait_at_gates(&pools, 1);
    assert_true(pools_wait_stats(&pools, pools_have_finished, 4)); /* all but the one at the gate */
    pools_open_gate(&pools, gates[0]);

    for (unsigned i = 0; i < 5; i++) {
        ptq_result *result = pools_get(&pools);
        assert_int_equal(ptq_result_ticket(result), tickets[i]);
        assert_int_equal(ptq_result_kind(result), i % 2 == 0 ? PTQ_RESULT_MARKER : PTQ_RESULT_JOB);
        assert_ok(ptq_result_done(result));
    }
    pools_fini(&pools);
}

static void a_marker_comes_out_where_nobody_works(void **state)
{
    struct pools pools;
    ptq_result *result;

    (void)state;
    pools_init(&pools, NULL, 0);
    for (unsigned i = 0; i < 3; i++)
        assert_ok(ptq_pool_submit_marker(pools.pool, &i, sizeof i, PTT_LONG, NULL));
    for (unsigned i = 0; i < 3; i++) {
        result = pools_get(&pools);
        assert_int_equal(ptq_result_kind(result), PTQ_RESULT_MARKER);
        assert_memory_equal(ptq_result_data(result), &i, sizeof i);
        assert_int_equal(ptq_result_tries(result), 0);
        assert_ok(ptq_result_done(result));
    }
    pools_fini(&pools);
}

/* A job that nobody runs is looked at by the getter, who puts it back as it was. */
static void looking_at_a_job_does_not_count_as_a_try(void **state)
{
    struct pools pools;
    ptq_result *result = NULL;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.lives = 1}, 0);
    uint64_t ticket = pools_submit(&pools, "echo", "untouched");
    for (unsigned i = 0; i < 3; i++)
        assert_answer(PTQ_TIMEDOUT, ptq_pool_get(pools.pool, 300, &result));
    pools_spawn(&pools, 1);

    result = pools_get(&pools);
    assert_int_equal(ptq_result_ticket(result), ticket);
    assert_int_equal(ptq_result_kind(result), PTQ_RESULT_JOB);
    assert_int_equal(ptq_result_tries(result), 1);
    assert_ok(ptq_result_done(result));
    pools_fini(&pools);
}

/* Rings far smaller than the number of jobs, at an ordinary start and where positions wrap to 0. */
static void send_200_through(const struct ptq_pool_options *options, uint64_t start)
{
    struct pools pools;
    uint64_t first = 0, next = 0;
    unsigned sent = 0, got = 0;

    pools_init(&pools, options, start);
    pools_spawn(&pools, 2);
    while (got < 200) {
        char text[16];
        uint64_t ticket;
        snprintf(text, sizeof text, "%u", sent);
        enum ptq_err err = sent < 200 ? ptq_pool_submit(pools.pool, "echo", text, strlen(text), PTQ_NOWAIT, &ticket) : PTQ_FULL;
        if (err == PTQ_OK) {
            if (sent++ == 0)
                first = ticket;
            continue;
        }
        assert_answer(PTQ_FULL, err);
        snprintf(text, sizeof text, "%u", got);
        ptq_result *result = pools_get(&pools);
        assert_int_equal(ptq_result_size(result), strlen(text));
        assert_memory_equal(ptq_result_data(result), text, strlen(text));
        assert_int_equal(pti_position_compare(ptq_result_ticket(result), first + got), 0);
        next = ptq_result_ticket(result);
        assert_ok(ptq_result_done(result));
        got++;
    }
    if (start > 1)
        assert_true(next < first); /* it did wrap */
    assert_ok(ptq_pool_stop(pools.pool));
    pools_expect_end(&pools);
    assert_ok(ptq_pool_join(pools.pool, PTT_LONG));
    pools_fini(&pools);
}

static void tickets_go_on_through_small_rings_and_the_wrap(void **state)
{
    uint64_t laps = UINT64_C(1) << 41;

    (void)state;
    send_200_through(&(struct ptq_pool_options){.capacity = 2, .window = 3}, 0);
    send_200_through(&(struct ptq_pool_options){.capacity = 1, .window = 1}, 0);
    send_200_through(&(struct ptq_pool_options){.capacity = 2, .window = 3}, laps - 1);
    send_200_through(&(struct ptq_pool_options){.capacity = 20, .window = 64}, laps - 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_worker_answers),
        cmocka_unit_test(all_24_orders_of_completion_leave_in_order),
        cmocka_unit_test(markers_keep_their_places),
        cmocka_unit_test(a_marker_comes_out_where_nobody_works),
        cmocka_unit_test(looking_at_a_job_does_not_count_as_a_try),
        cmocka_unit_test(tickets_go_on_through_small_rings_and_the_wrap),
    };
    pools_register();
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
