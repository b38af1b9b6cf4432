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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_worker_answers),
        cmocka_unit_test(all_24_orders_of_completion_leave_in_order),
    };
    pools_register();
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
