/* case_policy.c -- a full queue: block, fail, drop the oldest, drop the newest; budgets of bytes; purge and pause. */
#include "contract/contract.h"

static ptq_queue *open_full(struct contract *c, enum ptq_full full, uint64_t capacity)
{
    return contract_open(c, "tasks", &(struct ptq_queue_options){.capacity = capacity, .item_size = 64, .full = full});
}

static enum ptq_err put_batch(ptq_queue *queue, uint64_t first, size_t count, uint64_t *ret_position)
{
    uint64_t numbers[64];
    struct ptq_bytes items[64];

    for (size_t i = 0; i < count; i++) {
        numbers[i] = first + i;
        items[i] = (struct ptq_bytes){&numbers[i], sizeof numbers[i]};
    }
    return ptq_put_many(queue, items, count, PTQ_NOWAIT, ret_position);
}

static void assert_dropped(ptq_queue *queue, enum ptq_drop reason, uint64_t count)
{
    struct ptq_queue_stats stats = contract_stats(queue);

    assert_int_equal(stats.dropped_by[reason], count);
    assert_int_equal(stats.dropped, count);
}

static void close_and_verify(struct contract *c, ptq_queue *queue)
{
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

/* ---- policies */

static void a_queue_that_fails_when_full_answers_at_once_whatever_the_timeout(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_full(c, PTQ_FULL_FAIL, 2);

    put_range(queue, 1, 3);

    int64_t start = contract_now_ms();
    assert_answer(PTQ_FULL, ptq_put(queue, "x", 1, PTT_LONG));
    assert_answer(PTQ_FULL, ptq_put(queue, "x", 1, PTQ_FOREVER));
    assert_true(contract_now_ms() - start < PTT_LONG / 2);
    assert_dropped(queue, PTQ_DROP_OLDEST, 0);
    assert_int_equal(recv_number(queue), 1);
    put_number(queue, 3);
    close_and_verify(c, queue);
}

static void drop_oldest_keeps_the_newest_and_counts_what_went(void **state)
{
    struct contract *c = *state;
    static const uint64_t capacities[] = {1, 2, 3, 64, 65};

    for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++) {
        uint64_t capacity = capacities[i], put = 3 * capacity + 7;
        ptq_queue *queue = open_full(c, PTQ_FULL_DROP_OLDEST, capacity);

        put_range(queue, 0, put);

        assert_dropped(queue, PTQ_DROP_OLDEST, put - capacity);
        assert_int_equal(contract_stats(queue).ready, capacity);
        for (uint64_t n = put - capacity; n < put; n++)
            assert_int_equal(recv_number(queue), n);
        assert_get(PTQ_EMPTY, queue);
        close_and_verify(c, queue);
        assert_ok(ptq_queue_unlink(c->home.bus, "tasks", false));
    }
}

static void drop_oldest_never_drops_what_is_leased_or_comes_again(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_full(c, PTQ_FULL_DROP_OLDEST, 2);

    put_range(queue, 1, 3);
    ptq_msg *leased = get_number(queue, 1);
    ptq_msg *given_back = get_number(queue, 2);
    assert_ok(ptq_nack(given_back, 0));
    put_range(queue, 3, 7);

    assert_dropped(queue, PTQ_DROP_OLDEST, 2);
    assert_ok(ptq_ack(leased));
    assert_int_equal(recv_number(queue), 2);
    assert_int_equal(recv_number(queue), 5);
    assert_int_equal(recv_number(queue), 6);
    close_and_verify(c, queue);
}

static void drop_oldest_drops_as_many_as_a_batch_needs_and_from_batches(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_full(c, PTQ_FULL_DROP_OLDEST, 8);

    assert_ok(put_batch(queue, 0, 5, NULL));
    put_range(queue, 5, 8);
    assert_ok(put_batch(queue, 8, 3, NULL)); /* 0, 1, 2 of the first batch go */
    assert_dropped(queue, PTQ_DROP_OLDEST, 3);
    put_range(queue, 11, 14); /* the rest of it, and 5 */
    assert_int_equal(contract_stats(queue).ready, 8);
    for (uint64_t n = 6; n < 14; n++)
        assert_int_equal(recv_number(queue), n);
    assert_ok(put_batch(queue, 20, 8, NULL));
    assert_ok(put_batch(queue, 30, 8, NULL));

    assert_dropped(queue, PTQ_DROP_OLDEST, 14);
    for (uint64_t n = 30; n < 38; n++)
        assert_int_equal(recv_number(queue), n);
    close_and_verify(c, queue);
}

static void drop_newest_answers_ok_and_counts_it_as_put_and_dropped(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_full(c, PTQ_FULL_DROP_NEWEST, 3);
    uint64_t number = 9, position = 77;

    put_range(queue, 1, 4);
    assert_ok(ptq_put_position(queue, &number, sizeof number, PTT_LONG, &position));
    assert_int_equal(position, 0);
    assert_ok(put_batch(queue, 10, 2, &position));

    struct ptq_queue_stats stats = contract_stats(queue);
    assert_int_equal(stats.put, 6);
    assert_dropped(queue, PTQ_DROP_NEWEST, 3);
    for (uint64_t n = 1; n <= 3; n++)
        assert_int_equal(recv_number(queue), n);
    assert_get(PTQ_EMPTY, queue);
    put_number(queue, 4);
    assert_int_equal(recv_number(queue), 4);
    close_and_verify(c, queue);
}

static void a_loan_is_published_by_the_queues_policy(void **state)
{
    struct contract *c = *state;
    static const enum ptq_full policies[] = {PTQ_FULL_DROP_OLDEST, PTQ_FULL_DROP_NEWEST};

    for (size_t i = 0; i < 2; i++) {
        ptq_queue *queue = open_full(c, policies[i], 1);

        for (uint64_t n = 1; n <= 4; n++) {
            ptq_msg *loan = NULL;
            assert_ok(ptq_loan(queue, sizeof n, PTQ_NOWAIT, &loan));
            memcpy(ptq_msg_buffer(loan), &n, sizeof n);
            assert_ok(ptq_publish(loan, sizeof n, PTQ_NOWAIT, NULL));
        }

        assert_dropped(queue, i == 0 ? PTQ_DROP_OLDEST : PTQ_DROP_NEWEST, 3);
        assert_int_equal(recv_number(queue), i == 0 ? 4 : 1);
        close_and_verify(c, queue);
        assert_ok(ptq_queue_unlink(c->home.bus, "tasks", false));
    }
}

static void what_contradicts_the_policy_of_a_queue_is_named(void **state)
{
    struct contract *c = *state;
    struct ptq_error error = {0};
    ptq_queue *queue = open_full(c, PTQ_FULL_DROP_OLDEST, 4), *other = NULL;
    struct ptq_queue_options asked = {.full = PTQ_FULL_FAIL, .error = &error};

    assert_answer(PTQ_EMISMATCH, ptq_queue_open(c->bus, contract_address(c, "tasks"), &asked, &other));
    assert_non_null(strstr(error.text, "drop-oldest"));
    assert_non_null(strstr(error.text, "fail"));
    asked = (struct ptq_queue_options){.bytes = 10, .item_size = 11, .error = &error};
    assert_answer(PTQ_EINVAL, ptq_queue_open(c->bus, contract_address(c, "other"), &asked, &other));
    assert_non_null(strstr(error.text, "bytes"));
    ptq_queue_close(queue);
}

/* ---- bytes */

static void a_byte_budget_is_exact(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.capacity = 50, .item_size = 100, .bytes = 250});
    char bytes[100] = "", text[500] = "";
    size_t size = 0;

    ptq_queue_explain(queue, PTQ_FULL, 1, text, sizeof text);
    ptt_assert_says(text, strcmp(c->carrier->name, "local") == 0 ? "it holds 50 messages and 250 bytes at most" : "it holds 50 messages");
    for (int lap = 0; lap < 40; lap++) {
        assert_ok(ptq_put(queue, bytes, 100, PTQ_NOWAIT));
        assert_ok(ptq_put(queue, bytes, 100, PTQ_NOWAIT));
        assert_answer(PTQ_FULL, ptq_put(queue, bytes, 51, PTQ_NOWAIT));
        assert_ok(ptq_put(queue, bytes, 50, PTQ_NOWAIT));
        assert_answer(PTQ_FULL, ptq_put(queue, bytes, 1, PTQ_NOWAIT));
        assert_ok(ptq_put(queue, bytes, 0, PTQ_NOWAIT));
        for (int i = 0; i < 4; i++)
            assert_ok(ptq_recv(queue, bytes, sizeof bytes, PTQ_NOWAIT, &size));
    }
    assert_get(PTQ_EMPTY, queue);
    close_and_verify(c, queue);
}

static void leased_bytes_do_not_count_against_the_budget(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.capacity = 50, .item_size = 100, .bytes = 100});
    ptq_msg *msg = NULL;

    assert_ok(ptq_put(queue, "0123456789", 10, PTQ_NOWAIT));
    assert_answer(PTQ_FULL, ptq_put(queue, (char[100]){0}, 91, PTQ_NOWAIT));
    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_ok(ptq_put(queue, (char[100]){0}, 100, PTQ_NOWAIT));
    assert_ok(ptq_nack(msg, 0));
    assert_answer(PTQ_FULL, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    close_and_verify(c, queue);
}

static void a_batch_counts_its_bytes_and_one_beyond_the_budget_is_etoobig(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.capacity = 50, .item_size = 8, .bytes = 80});

    assert_answer(PTQ_ETOOBIG, put_batch(queue, 0, 11, NULL));
    assert_ok(put_batch(queue, 0, 6, NULL));
    assert_answer(PTQ_FULL, put_batch(queue, 6, 5, NULL));
    assert_ok(put_batch(queue, 6, 4, NULL));
    assert_answer(PTQ_FULL, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    for (uint64_t n = 0; n < 10; n++)
        assert_int_equal(recv_number(queue), n);
    assert_ok(put_batch(queue, 0, 10, NULL));
    close_and_verify(c, queue);
}

static void a_put_that_waits_for_bytes_is_woken_by_the_take_that_frees_them(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.capacity = 50, .item_size = 16, .bytes = 16});
    struct caller caller = {.call = call_put, .queue = queue, .timeout_ms = PTT_LONG, .number = 5};
    char bytes[16];
    size_t size = 0;

    assert_ok(ptq_put(queue, "0123456789abcdef", 16, PTQ_NOWAIT));
    caller_start_sleeping(&caller);
    assert_ok(ptq_recv(queue, bytes, sizeof bytes, PTQ_NOWAIT, &size));

    assert_answer(PTQ_OK, caller_join(&caller));
    assert_int_equal(recv_number(queue), 5);
    close_and_verify(c, queue);
}

static void drop_oldest_makes_room_for_bytes(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.capacity = 50, .item_size = 80, .bytes = 80,
                                                                             .full = PTQ_FULL_DROP_OLDEST});
    char bytes[80] = "";
    size_t size = 0;

    put_range(queue, 0, 10);
    assert_ok(ptq_put(queue, bytes, 60, PTQ_NOWAIT));

    assert_dropped(queue, PTQ_DROP_OLDEST, 8);
    assert_int_equal(recv_number(queue), 8);
    assert_int_equal(recv_number(queue), 9);
    assert_ok(ptq_recv(queue, bytes, sizeof bytes, PTQ_NOWAIT, &size));
    assert_int_equal(size, 60);
    close_and_verify(c, queue);
}

/* ---- purge and pause */

static void purge_drops_what_is_ready_and_nothing_else(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 20, 64);
    uint64_t purged = 77;

    put_range(queue, 1, 7);
    ptq_msg *leased = get_number(queue, 1);
    ptq_msg *again = get_number(queue, 2);
    assert_ok(ptq_nack(again, 0));
    ptq_msg *later = get_number(queue, 2);
    assert_ok(ptq_nack(later, 3600000));
    again = get_number(queue, 3);
    assert_ok(ptq_nack(again, 0));
    assert_ok(put_batch(queue, 7, 3, NULL));

    assert_ok(ptq_queue_purge(queue, &purged));
    assert_int_equal(purged, 7); /* 3 again, 4, 5, 6, 7, 8, 9 */
    assert_get(PTQ_EMPTY, queue);
    assert_dropped(queue, PTQ_DROP_PURGED, 7);
    assert_int_equal(contract_stats(queue).delayed, 1);
    assert_ok(ptq_ack(leased));
    assert_ok(ptq_queue_purge(queue, &purged));
    assert_int_equal(purged, 0);
    put_number(queue, 10);
    assert_int_equal(recv_number(queue), 10);
    close_and_verify(c, queue);
}

static void purge_makes_room_for_who_waits(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 1, 64);
    struct caller caller = {.call = call_put, .queue = queue, .timeout_ms = PTT_LONG, .number = 5};

    put_number(queue, 1);
    caller_start_sleeping(&caller);
    assert_ok(ptq_queue_purge(queue, NULL));

    assert_answer(PTQ_OK, caller_join(&caller));
    assert_int_equal(recv_number(queue), 5);
    close_and_verify(c, queue);
}

static void a_paused_queue_gives_nothing_takes_everything_and_resumes(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 20, 64);

    put_range(queue, 1, 3);
    ptq_msg *leased = get_number(queue, 1);
    assert_ok(ptq_queue_pause(queue, true));
    assert_true(contract_stats(queue).paused);
    assert_get(PTQ_EMPTY, queue);
    ptq_msg *msg = NULL;
    assert_answer(PTQ_TIMEDOUT, ptq_get(queue, 20, &msg));
    put_number(queue, 3);
    assert_ok(ptq_nack(leased, 0));
    assert_get(PTQ_EMPTY, queue);

    assert_ok(ptq_queue_pause(queue, false));
    assert_false(contract_stats(queue).paused);
    for (uint64_t n = 1; n <= 3; n++)
        assert_int_equal(recv_number(queue), n);
    close_and_verify(c, queue);
}

static void resuming_wakes_everybody_who_sleeps(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 20, 64);
    struct caller callers[3];

    assert_ok(ptq_queue_pause(queue, true));
    put_range(queue, 1, 4);
    for (int i = 0; i < 3; i++) {
        callers[i] = (struct caller){.call = call_get, .queue = queue, .timeout_ms = PTT_LONG};
        caller_start_sleeping(&callers[i]);
    }
    assert_ok(ptq_queue_pause(queue, false));

    uint64_t sum = 0;
    for (int i = 0; i < 3; i++) {
        assert_answer(PTQ_OK, caller_join(&callers[i]));
        sum += callers[i].number;
    }
    assert_int_equal(sum, 6);
    close_and_verify(c, queue);
}

static const struct contract_case policy_cases[] = {
    CONTRACT_CASE(a_queue_that_fails_when_full_answers_at_once_whatever_the_timeout),
    CONTRACT_CASE(drop_oldest_keeps_the_newest_and_counts_what_went),
    CONTRACT_CASE(drop_oldest_never_drops_what_is_leased_or_comes_again),
    CONTRACT_CASE(drop_oldest_drops_as_many_as_a_batch_needs_and_from_batches),
    CONTRACT_CASE(drop_newest_answers_ok_and_counts_it_as_put_and_dropped),
    CONTRACT_CASE(a_loan_is_published_by_the_queues_policy),
    CONTRACT_CASE(what_contradicts_the_policy_of_a_queue_is_named),
    CONTRACT_CASE(a_byte_budget_is_exact),
    CONTRACT_CASE(leased_bytes_do_not_count_against_the_budget),
    CONTRACT_CASE(a_batch_counts_its_bytes_and_one_beyond_the_budget_is_etoobig),
    CONTRACT_CASE(a_put_that_waits_for_bytes_is_woken_by_the_take_that_frees_them),
    CONTRACT_CASE(drop_oldest_makes_room_for_bytes),
    CONTRACT_CASE(purge_drops_what_is_ready_and_nothing_else),
    CONTRACT_CASE(purge_makes_room_for_who_waits),
    CONTRACT_CASE(a_paused_queue_gives_nothing_takes_everything_and_resumes),
    CONTRACT_CASE(resuming_wakes_everybody_who_sleeps),
};
CONTRACT_GROUP(policy);
