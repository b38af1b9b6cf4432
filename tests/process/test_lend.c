/* test_lend.c -- jobs and results that are written in place: they are what was written, and what is not published nobody sees. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <ptq/map.h>

#include "pool/pool.h"
#include "pools.h"

enum { LARGEST = 2 << 20 };
static const struct ptq_pool_options large = {.item_size = LARGEST, .result_size = LARGEST, .capacity = 4, .window = 4};

static void fill(unsigned char *bytes, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(seed + i * 7 + i / 4096);
}

static bool is_filled(const unsigned char *bytes, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != (unsigned char)(seed + i * 7 + i / 4096))
            return false;
    return true;
}

/* Inverts, in place; the first letter says what comes of the loan: 's' half of it, 'r' another result, 'e' more behind it, 'f' an error,
 * 't' the first run fails, 'k' the first run is killed. */
static enum ptq_err invert(ptq_task *task, const void *data, size_t size)
{
    const unsigned char *from = data;
    unsigned char *to = NULL, how = size > 0 ? from[0] : 0;
    enum ptq_err err = ptq_task_loan(task, size, (void **)&to);
    if (err != PTQ_OK)
        return err;
    if ((uintptr_t)to % 16 != 0)
        return ptq_task_fail(task, PTQ_EFAILED, "not aligned");
    for (size_t i = 0; i < size; i++)
        to[i] = (unsigned char)~from[i];
    if (how == 's')
        return ptq_task_publish(task, size / 2);
    if (how == 'r')
        return ptq_task_result(task, "other", 5);
    if (how == 'e')
        return ptq_task_emit(task, "more", 4);
    if (how == 'k' && ptq_task_tries(task) == 1)
        raise(SIGKILL);
    if (how == 'f' || (how == 't' && ptq_task_tries(task) == 1))
        return ptq_task_fail(task, PTQ_EPERM, "as asked");
    return PTQ_OK;
}

static void init(struct pools *pools, const struct ptq_pool_options *options, unsigned workers)
{
    pools_init(pools, options, 0);
    if (workers != 0)
        pools_spawn(pools, workers);
}

static uint64_t submit(struct pools *pools, size_t lent, size_t size, unsigned char how)
{
    uint64_t ticket;
    ptq_job *job;
    assert_ok(ptq_pool_loan(pools->pool, "invert", lent, NULL, PTT_LONG, &job));
    unsigned char *bytes = ptq_job_buffer(job);
    assert_int_equal((uintptr_t)bytes % 16, 0);
    fill(bytes, size, 3);
    if (size > 0)
        bytes[0] = how;
    assert_answer(PTQ_EMSGSIZE, ptq_pool_publish(job, lent + 1, PTT_LONG, NULL));
    assert_ok(ptq_pool_publish(job, size, PTT_LONG, &ticket));
    return ticket;
}

static void expect_inverted(struct pools *pools, uint64_t ticket, size_t size)
{
    ptq_result *result = pools_get(pools);
    if (ptq_result_code(result) != PTQ_OK)
        fail_msg("%s", ptq_result_text(result));
    assert_int_equal(ptq_result_ticket(result), ticket);
    assert_int_equal(ptq_result_size(result), size);
    unsigned char *copy = malloc(size + 1);
    memcpy(copy, ptq_result_data(result), size);
    for (size_t i = 0; i < size; i++)
        copy[i] = (unsigned char)~copy[i];
    if (size > 0)
        copy[0] = 3;
    assert_true(is_filled(copy, size, 3));
    free(copy);
    assert_ok(ptq_result_done(result));
}

static void jobs_and_results_of_any_size_are_what_was_written(void **state)
{
    static const size_t sizes[] = {0, 1, 100, 4095, 4096, 70000, 1 << 20, LARGEST};
    (void)state;
    for (unsigned unordered = 0; unordered < 2; unordered++) {
        struct ptq_pool_options options = large;
        struct pools pools;
        options.unordered = unordered != 0;
        init(&pools, &options, 1);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            uint64_t ticket = submit(&pools, sizes[i], sizes[i], 'x');
            expect_inverted(&pools, ticket, sizes[i]);
            ticket = submit(&pools, LARGEST, sizes[i], 'x'); /* of more room than is needed */
            expect_inverted(&pools, ticket, sizes[i]);
        }
        pools_fini(&pools);
    }
}

static void what_is_not_published_nobody_sees_and_its_room_comes_back(void **state)
{
    struct pools pools;
    ptq_job *job;
    void *buffer;
    (void)state;
    init(&pools, &large, 0);
    for (unsigned i = 0; i < 3000; i++) {
        assert_ok(ptq_pool_loan(pools.pool, "invert", 5000, NULL, PTQ_NOWAIT, &job));
        buffer = ptq_job_buffer(job);
        memset(buffer, 'n', 5000);
        ptq_pool_abandon(job);
    }
    ptq_pool_abandon(NULL);
    struct ptq_pool_stats stats;
    assert_ok(ptq_pool_stats(pools.pool, &stats));
    assert_int_equal(stats.submitted, 0);
    assert_answer(PTQ_EMSGSIZE, ptq_pool_loan(pools.pool, "invert", LARGEST + 1, NULL, PTQ_NOWAIT, &job));
    assert_answer(PTQ_ENOTASK, ptq_pool_loan(pools.pool, "unknown", 10, NULL, PTQ_NOWAIT, &job));
    assert_answer(PTQ_EINVAL, ptq_pool_loan(pools.pool, "no/name", 10, NULL, PTQ_NOWAIT, &job));

    assert_ok(ptq_pool_loan(pools.pool, "invert", 100, NULL, PTQ_NOWAIT, &job));
    assert_ok(ptq_pool_stop(pools.pool));
    assert_answer(PTQ_EENDED, ptq_pool_publish(job, 100, PTT_LONG, NULL));
    ptq_pool_abandon(job);
    pools_fini(&pools);
}

static void a_loan_may_become_less_more_another_result_or_an_error(void **state)
{
    enum { SIZE = 10000 };
    struct pools pools;
    ptq_result *result;
    (void)state;
    init(&pools, &large, 1);

    submit(&pools, SIZE, SIZE, 's');
    result = pools_get(&pools);
    assert_int_equal(ptq_result_size(result), SIZE / 2);
    assert_int_equal(((const unsigned char *)ptq_result_data(result))[0], (unsigned char)~'s');
    assert_ok(ptq_result_done(result));
    uint64_t ticket = submit(&pools, SIZE, SIZE, 'r');
    pools_expect(&pools, ticket, "other");
    submit(&pools, SIZE, SIZE, 'e');
    result = pools_get(&pools);
    assert_int_equal(ptq_result_size(result), SIZE + 4);
    assert_memory_equal((const char *)ptq_result_data(result) + SIZE, "more", 4);
    assert_int_equal(((const unsigned char *)ptq_result_data(result))[0], (unsigned char)~'e');
    assert_ok(ptq_result_done(result));
    ticket = submit(&pools, SIZE, SIZE, 'f');
    pools_expect_error(&pools, ticket, PTQ_EPERM);
    pools_fini(&pools);
}

static void a_run_that_fails_or_dies_leaves_nothing_of_its_loan(void **state)
{
    struct ptq_pool_options options = large;
    struct pools pools;
    (void)state;
    options.call.retries = 1;
    init(&pools, &options, 1);
    for (unsigned i = 0; i < 12; i++) { /* more than there are blocks beside the window */
        uint64_t ticket = submit(&pools, 9000, 9000, i % 3 == 0 ? 'k' : 't');
        expect_inverted(&pools, ticket, 9000);
    }
    pools_fini(&pools);
}

static void pieces_of_a_chunk_may_be_lent(void **state)
{
    struct pools pools;
    struct ptq_bytes row[10];
    static unsigned char bytes[10][6000];
    struct ptq_map_item *items = NULL;
    (void)state;
    init(&pools, &large, 2);
    for (unsigned i = 0; i < 10; i++) {
        fill(bytes[i], sizeof bytes[i], i);
        bytes[i][0] = 'x';
        row[i] = (struct ptq_bytes){bytes[i], sizeof bytes[i]};
    }

    assert_ok(ptq_pool_map(pools.pool, "invert", row, 10, &(struct ptq_map_options){.chunk = 4}, &items));
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(items[i].size, sizeof bytes[i]);
        for (size_t at = 0; at < items[i].size; at++)
            if (((const unsigned char *)items[i].data)[at] != (unsigned char)~bytes[i][at])
                fail_msg("item %u differs at %zu", i, at);
    }
    ptq_map_free(items);
    pools_fini(&pools);
}

int main(int argc, char **argv)
{
    static const struct pools_task own[] = {{"invert", invert}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_and_results_of_any_size_are_what_was_written),
        cmocka_unit_test(what_is_not_published_nobody_sees_and_its_room_comes_back),
        cmocka_unit_test(a_loan_may_become_less_more_another_result_or_an_error),
        cmocka_unit_test(a_run_that_fails_or_dies_leaves_nothing_of_its_loan),
        cmocka_unit_test(pieces_of_a_chunk_may_be_lent),
    };
    pools_register();
    pools_register_tasks(own, 1);
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
