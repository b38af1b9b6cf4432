/* test_unordered.c -- unordered pools: results come as they are finished, each ticket once. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ptq/map.h>

#include "base/time.h"
#include "pool/pool.h"
#include "pools.h"

enum { ITEMS = 600 };

static const struct ptq_pool_options small = {.unordered = true, .window = 2, .capacity = 16};

static void init(struct pools *pools, const struct ptq_pool_options *options, unsigned workers)
{
    pools_init(pools, options, 0);
    if (workers != 0)
        pools_spawn(pools, workers);
}

/* Item 0 waits at the gate "slow"; whatever else: its number comes back. */
static enum ptq_err first_is_slow(ptq_task *task, const void *data, size_t size)
{
    uint32_t number;
    memcpy(&number, data, sizeof number);
    if (number == 0) {
        ptq_queue *gate;
        size_t none;
        enum ptq_err err = ptq_queue_open(task->worker->pool->bus, "slow", NULL, &gate);
        if (err == PTQ_OK)
            err = ptq_recv(gate, NULL, 0, PTT_LONG, &none);
        ptq_queue_close(gate);
        if (err != PTQ_OK)
            return err;
    }
    return ptq_task_result(task, data, size);
}

struct numbers {
    uint32_t next, count;
};

static enum ptq_err next_number(void *user, struct ptq_bytes *ret_item)
{
    static uint32_t given;
    struct numbers *numbers = user;
    if (numbers->next == numbers->count)
        return PTQ_END;
    given = numbers->next++;
    *ret_item = (struct ptq_bytes){&given, sizeof given};
    return PTQ_OK;
}

static void assert_number(const struct ptq_map_item *item, unsigned char *seen)
{
    uint32_t number;
    if (item->code != PTQ_OK)
        fail_msg("item %llu: %s", (unsigned long long)item->index, item->text);
    assert_int_equal(item->size, sizeof number);
    memcpy(&number, item->data, sizeof number);
    assert_int_equal(number, item->index);
    assert_int_equal(seen[number]++, 0);
}

/* Pools of the originals hold it up after as many as they keep; an ordered pool does after its window. */
static void one_slow_item_does_not_hold_up_the_others(void **state)
{
    static const uint32_t chunks[] = {1, 10};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pools pools;
        struct numbers numbers = {.count = ITEMS};
        struct ptq_map_item item = {0};
        unsigned char seen[ITEMS] = {0};
        ptq_imap *imap;
        init(&pools, &small, 2);

        assert_ok(ptq_imap_begin(pools.pool, "first-is-slow", next_number, &numbers,
                                 &(struct ptq_map_options){.chunk = chunks[i]}, &imap));
        for (unsigned got = 0; got < ITEMS - chunks[i]; got++) {
            assert_ok(ptq_imap_next(imap, PTT_LONG, &item));
            assert_number(&item, seen);
            assert_true(item.index >= chunks[i]);
        }
        assert_answer(PTQ_EMPTY, ptq_imap_next(imap, PTQ_NOWAIT, &item));
        pools_open_gate(&pools, "slow");
        for (unsigned got = 0; got < chunks[i]; got++) {
            assert_ok(ptq_imap_next(imap, PTT_LONG, &item));
            assert_number(&item, seen);
        }
        assert_answer(PTQ_END, ptq_imap_next(imap, PTT_LONG, &item));

        ptq_imap_end(imap);
        pools_fini(&pools);
    }
}

static void results_come_as_they_are_finished(void **state)
{
    struct pools pools;
    (void)state;
    init(&pools, &small, 3);
    uint64_t a = pools_submit(&pools, "gate", "a"), b = pools_submit(&pools, "gate", "b"), c = pools_submit(&pools, "gate", "c");
    pools_wait_at_gates(&pools, 3);

    pools_open_gate(&pools, "c");
    pools_expect(&pools, c, "c");
    pools_open_gate(&pools, "a");
    pools_expect(&pools, a, "a");
    pools_open_gate(&pools, "b");
    pools_expect(&pools, b, "b");
    pools_fini(&pools);
}

static void a_map_puts_each_result_where_its_item_stands(void **state)
{
    struct pools pools;
    struct ptq_map_item *items = NULL;
    struct ptq_bytes row[100];
    static char text[100][8];
    (void)state;
    init(&pools, &small, 3);
    for (size_t i = 0; i < 100; i++) {
        snprintf(text[i], sizeof text[i], "%zu", i);
        row[i] = (struct ptq_bytes){text[i], strlen(text[i])};
    }

    assert_ok(ptq_pool_map(pools.pool, "spin", row, 100, NULL, &items));
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(items[i].index, i);
        assert_int_equal(items[i].size, row[i].size);
        assert_memory_equal(items[i].data, row[i].data, row[i].size);
    }
    ptq_map_free(items);
    pools_fini(&pools);
}

static void the_first_failure_that_comes_ends_a_map_and_nothing_of_it_is_left(void **state)
{
    struct pools pools;
    struct ptq_error error = {0};
    struct ptq_map_item *items = NULL;
    struct ptq_bytes row[60];
    (void)state;
    init(&pools, &small, 2);
    for (size_t i = 0; i < 60; i++)
        row[i] = (struct ptq_bytes){i == 30 ? "f" : "g", 1};

    assert_answer(PTQ_EFAILED, ptq_pool_map(pools.pool, "plan", row, 60, &(struct ptq_map_options){.error = &error}, &items));
    ptt_assert_says(error.text, "item 30");
    uint64_t ticket = pools_submit(&pools, "echo", "fresh");
    pools_expect(&pools, ticket, "fresh");
    assert_ok(ptq_pool_map(pools.pool, "plan", row, 60, &(struct ptq_map_options){.flags = PTQ_MAP_COLLECT}, &items));
    for (size_t i = 0; i < 60; i++)
        assert_answer(i == 30 ? PTQ_EFAILED : PTQ_OK, items[i].code);
    ptq_map_free(items);
    pools_fini(&pools);
}

/* What a worker leaves that dies after it handed in and before it acked. */
static void a_job_that_is_done_twice_comes_out_once(void **state)
{
    struct pools pools;
    ptq_msg *msg = NULL;
    (void)state;
    init(&pools, &small, 0);
    uint64_t first = pools_submit(&pools, "echo", "twice");
    assert_ok(pti_pool_take_job(pools.pool, PTI_DEADLINE_NOW, &msg));
    struct pti_result result = {.ticket = msg->position, .tries = 1};
    unsigned char entry[PTI_RESULT_ROOM + 8];
    size_t head = pti_result_write_head(entry, &result);
    memcpy(entry + head, "twice", 5);
    assert_ok(pti_unordered_put(pools.pool, &(struct pti_put){.data = entry, .size = (uint32_t)head + 5}));
    assert_ok(ptq_nack(msg, 0));

    pools_spawn(&pools, 1);
    pools_expect(&pools, first, "twice");
    uint64_t second = pools_submit(&pools, "echo", "next");
    pools_expect(&pools, second, "next");
    assert_ok(ptq_pool_stop(pools.pool));
    pools_expect_end(&pools);
    pools_fini(&pools);
}

/* A worker of another host whose lease was given to another while its link was down. */
static void a_result_behind_the_end_is_late(void **state)
{
    struct pools pools;
    ptq_msg *msg = NULL;
    (void)state;
    init(&pools, &small, 0);
    uint64_t ticket = pools_submit(&pools, "echo", "once");
    assert_ok(pti_pool_take_job(pools.pool, PTI_DEADLINE_NOW, &msg));
    struct pti_result result = {.ticket = ticket, .tries = 1};
    unsigned char entry[PTI_RESULT_ROOM + 8];
    size_t head = pti_result_write_head(entry, &result);
    memcpy(entry + head, "once", 4);
    struct pti_put put = {.data = entry, .size = (uint32_t)head + 4};
    assert_ok(pti_unordered_put(pools.pool, &put));
    assert_ok(ptq_ack(msg));
    pools_expect(&pools, ticket, "once");
    assert_ok(ptq_pool_stop(pools.pool));
    pools_expect_end(&pools);

    assert_answer(PTQ_ELATE, pti_unordered_put(pools.pool, &put));
    pools_fini(&pools);

    init(&pools, &small, 0); /* but where somebody ends the results by hand, nothing is thrown away */
    pools_submit(&pools, "echo", "kept");
    assert_ok(pti_pool_take_job(pools.pool, PTI_DEADLINE_NOW, &msg));
    assert_ok(ptq_end(pools.pool->done));
    assert_answer(PTQ_EENDED, pti_unordered_put(pools.pool, &put));
    assert_ok(ptq_nack(msg, 0));
    pools_fini(&pools);
}

static void workers_are_killed_and_each_ticket_comes_once(void **state)
{
    enum { JOBS = 3000, KILLS = 12 };
    static unsigned char seen[JOBS];
    struct pools pools;
    uint64_t first = 0, put = 0;
    (void)state;
    init(&pools, &(struct ptq_pool_options){.unordered = true, .lives = 60}, 3);

    for (uint64_t got = 0; got < JOBS; got++) {
        for (; put < JOBS && put < got + 40; put++) {
            uint64_t ticket = pools_submit(&pools, "spin", "x");
            first = put == 0 ? ticket : first;
        }
        ptq_result *result = pools_get(&pools);
        if (ptq_result_code(result) != PTQ_OK)
            fail_msg("%s", ptq_result_text(result));
        assert_true(ptq_result_ticket(result) - first < JOBS);
        assert_int_equal(seen[ptq_result_ticket(result) - first]++, 0);
        assert_ok(ptq_result_done(result));
        int64_t pids[3];
        size_t alive = got % (JOBS / KILLS) == 7 ? ptq_pool_worker_pids(pools.pool, pids, 3) : 0;
        if (alive > 0)
            (void)kill((pid_t)pids[got % alive], SIGKILL);
    }
    assert_ok(ptq_pool_stop(pools.pool));
    pools_expect_end(&pools);
    assert_ok(ptq_pool_join(pools.pool, PTT_LONG));
    pools_fini(&pools);
}

static void a_getter_that_dies_loses_nothing(void **state)
{
    struct pools pools;
    ptq_pool *other;
    (void)state;
    init(&pools, &small, 1);
    uint64_t ticket = pools_submit(&pools, "echo", "kept");
    ptq_result *result = pools_get(&pools);
    assert_int_equal(ptq_result_ticket(result), ticket);

    assert_ok(ptq_pool_open(pools.scratch.bus, "pool", NULL, &other));
    ptq_pool_close(pools.pool); /* with the result in hand */
    pools.pool = other;
    result = pools_get(&pools);
    assert_int_equal(ptq_result_ticket(result), ticket);
    assert_memory_equal(ptq_result_data(result), "kept", 4);
    assert_true(ptq_result_redelivered(result));
    assert_ok(ptq_result_done(result));
    pools_fini(&pools);
}

static void markers_come_out_also_where_nobody_works(void **state)
{
    struct pools pools;
    (void)state;
    init(&pools, &small, 0);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t ticket;
        assert_ok(ptq_pool_submit_marker(pools.pool, "here", 4, PTT_LONG, &ticket));
        if (i == 1)
            pools_spawn(&pools, 1);
        ptq_result *result = pools_get(&pools);
        assert_int_equal(ptq_result_kind(result), PTQ_RESULT_MARKER);
        assert_int_equal(ptq_result_ticket(result), ticket);
        assert_int_equal(ptq_result_size(result), 4);
        assert_memory_equal(ptq_result_data(result), "here", 4);
        assert_ok(ptq_result_done(result));
    }
    assert_ok(ptq_pool_stop(pools.pool));
    pools_expect_end(&pools);
    pools_fini(&pools);
}

static void it_ends_when_all_is_out_though_results_are_in_hand(void **state)
{
    struct pools pools;
    ptq_result *results[5];
    (void)state;
    init(&pools, &small, 2);
    for (unsigned i = 0; i < 5; i++)
        pools_submit(&pools, "echo", "x");
    assert_ok(ptq_pool_stop(pools.pool));
    assert_answer(PTQ_EENDED, ptq_pool_submit(pools.pool, "echo", "x", 1, PTT_LONG, NULL));

    for (unsigned i = 0; i < 5; i++)
        results[i] = pools_get(&pools);
    pools_expect_end(&pools);
    for (unsigned i = 0; i < 5; i++)
        assert_ok(ptq_result_done(results[i]));
    pools_expect_end(&pools);
    assert_ok(ptq_pool_join(pools.pool, PTT_LONG));
    pools_fini(&pools);
}

static void results_that_nobody_gets_are_bounded_and_join_reads_them(void **state)
{
    struct pools pools;
    (void)state;
    init(&pools, &small, 2);
    for (unsigned i = 0; i < 40; i++)
        if (ptq_pool_submit(pools.pool, "echo", "x", 1, 200, NULL) != PTQ_OK)
            break;
    struct ptq_pool_stats stats;
    assert_ok(ptq_pool_stats(pools.pool, &stats));
    assert_true(stats.ready <= 16 && stats.held == 0 && stats.head_ms == -1);

    assert_ok(ptq_pool_stop(pools.pool));
    assert_ok(ptq_pool_join(pools.pool, PTT_LONG));
    for (uint64_t i = 0; i < stats.submitted; i++)
        assert_ok(ptq_result_done(pools_get(&pools)));
    pools_expect_end(&pools);
    pools_fini(&pools);
}

static void who_holds_all_results_that_there_may_be_is_told(void **state)
{
    enum { MOST = 16 + 8 + 64 };
    struct pools pools;
    ptq_result *results[MOST], *none = NULL;
    (void)state;
    init(&pools, &small, 2);
    for (unsigned i = 0; i < MOST; i++) {
        pools_submit(&pools, "echo", "x");
        results[i] = pools_get(&pools);
    }

    assert_answer(PTQ_EAGAIN, ptq_pool_get(pools.pool, PTT_LONG, &none));
    pools_submit(&pools, "echo", "x");
    for (unsigned i = 0; i < MOST; i++)
        assert_ok(ptq_result_done(results[i]));
    assert_ok(ptq_result_done(pools_get(&pools)));
    pools_fini(&pools);
}

static void futures_are_waited_for_and_cancelled(void **state)
{
    struct pools pools;
    ptq_future *future[2];
    const ptq_result *result;
    (void)state;
    init(&pools, &small, 1);
    assert_ok(ptq_pool_submit_future(pools.pool, "gate", "a", 1, NULL, PTT_LONG, &future[0]));
    assert_ok(ptq_pool_submit_future(pools.pool, "echo", "b", 1, NULL, PTT_LONG, &future[1]));
    pools_wait_at_gates(&pools, 1);
    assert_ok(ptq_future_cancel(future[0]));
    assert_answer(PTQ_EABORTED, ptq_future_wait(future[0], PTT_LONG, NULL));
    pools_open_gate(&pools, "a");

    assert_ok(ptq_future_wait(future[1], PTT_LONG, &result));
    assert_memory_equal(ptq_result_data(result), "b", 1);
    ptq_future_free(future[0]);
    ptq_future_free(future[1]);
    uint64_t ticket = pools_submit(&pools, "echo", "next");
    pools_expect(&pools, ticket, "next");
    pools_fini(&pools);
}

static void a_job_that_takes_too_long_comes_out_once(void **state)
{
    struct pools pools;
    struct ptq_call_options call = {.timeout_ms = 50};
    uint64_t late, next;
    (void)state;
    init(&pools, &small, 1);
    assert_ok(ptq_pool_submit_with(pools.pool, "hang", "x", 1, &(struct ptq_submit_options){.call = &call}, PTT_LONG, &late));
    next = pools_submit(&pools, "echo", "next");

    pools_expect_error(&pools, late, PTQ_TIMEDOUT);
    pools_expect(&pools, next, "next");
    assert_ok(ptq_pool_stop(pools.pool));
    pools_expect_end(&pools);
    pools_fini(&pools);
}

static void an_existing_pool_is_what_it_was_made_as(void **state)
{
    struct pools pools;
    ptq_pool *other;
    struct ptq_error error = {0};
    (void)state;
    init(&pools, NULL, 0);
    assert_answer(PTQ_EMISMATCH,
                  ptq_pool_open(pools.scratch.bus, "pool", &(struct ptq_pool_options){.unordered = true, .error = &error}, &other));
    ptt_assert_says(error.text, "in order");
    assert_ok(ptq_pool_open(pools.scratch.bus, "other", &(struct ptq_pool_options){.unordered = true}, &other));
    ptq_pool_close(other);
    assert_ok(ptq_pool_open(pools.scratch.bus, "other", &(struct ptq_pool_options){.mode = PTQ_ATTACH}, &other));
    assert_true(other->unordered);
    ptq_pool_close(other);
    assert_ok(ptq_pool_unlink(pools.scratch.bus, "other", false));
    pools_fini(&pools);
}

/* Against a plain array of what came, about the wrap of positions, too. */
static void tickets_that_came_are_known_and_complete_stretches_forgotten(void **state)
{
    enum { COUNT = 30000, LATE = 777 };
    static unsigned char came[COUNT];
    static const uint64_t starts[] = {1024, (UINT64_C(1) << 47) - COUNT / 2};
    (void)state;
    for (size_t s = 0; s < 2; s++) {
        struct pti_tickets tickets = {0};
        memset(came, 0, sizeof came);
        for (uint64_t i = 0; i < COUNT; i++) {
            uint64_t at = i % 64 * 7 % 64 + i / 64 * 64; /* not in order */
            if (at >= COUNT || at == LATE)
                continue;
            uint64_t ticket = (starts[s] + at) & ((UINT64_C(1) << 47) - 1);
            assert_false(pti_tickets_have(&tickets, ticket));
            pti_tickets_add(&tickets, ticket);
            assert_true(pti_tickets_have(&tickets, ticket));
            came[at] = 1;
        }
        for (uint64_t i = 0; i < COUNT; i++)
            assert_int_equal(pti_tickets_have(&tickets, (starts[s] + i) & ((UINT64_C(1) << 47) - 1)), came[i]);
        unsigned kept = 0;
        for (const void *const *at = (const void *const *)tickets.first; at != NULL; at = (const void *const *)at[1])
            kept++;
        assert_true(kept <= 3); /* the first, the last, and that of the late one */
        uint64_t again = (starts[s] + COUNT / 2) & ((UINT64_C(1) << 47) - 1);
        pti_tickets_remove(&tickets, again);
        assert_false(pti_tickets_have(&tickets, again));
        assert_true(pti_tickets_have(&tickets, (again + 1) & ((UINT64_C(1) << 47) - 1)));
        pti_tickets_add(&tickets, again);
        assert_true(pti_tickets_have(&tickets, again));
        pti_tickets_fini(&tickets);
    }
}

int main(int argc, char **argv)
{
    static const struct pools_task own[] = {{"first-is-slow", first_is_slow}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_slow_item_does_not_hold_up_the_others),
        cmocka_unit_test(results_come_as_they_are_finished),
        cmocka_unit_test(a_map_puts_each_result_where_its_item_stands),
        cmocka_unit_test(the_first_failure_that_comes_ends_a_map_and_nothing_of_it_is_left),
        cmocka_unit_test(a_job_that_is_done_twice_comes_out_once),
        cmocka_unit_test(a_result_behind_the_end_is_late),
        cmocka_unit_test(workers_are_killed_and_each_ticket_comes_once),
        cmocka_unit_test(a_getter_that_dies_loses_nothing),
        cmocka_unit_test(markers_come_out_also_where_nobody_works),
        cmocka_unit_test(it_ends_when_all_is_out_though_results_are_in_hand),
        cmocka_unit_test(results_that_nobody_gets_are_bounded_and_join_reads_them),
        cmocka_unit_test(who_holds_all_results_that_there_may_be_is_told),
        cmocka_unit_test(futures_are_waited_for_and_cancelled),
        cmocka_unit_test(a_job_that_takes_too_long_comes_out_once),
        cmocka_unit_test(an_existing_pool_is_what_it_was_made_as),
        cmocka_unit_test(tickets_that_came_are_known_and_complete_stretches_forgotten),
    };
    pools_register();
    pools_register_tasks(own, 1);
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
