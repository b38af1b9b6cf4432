/* case_batch.c -- put_many: all or nothing, next to each other, limits at once. */
#include <stdlib.h>

#include "contract/contract.h"

#define MAX 2000

struct batch {
    uint64_t numbers[MAX];
    struct ptq_bytes items[MAX];
};

static struct batch *batch_of(uint64_t first, size_t count)
{
    static struct batch batch;

    for (size_t i = 0; i < count; i++) {
        batch.numbers[i] = first + i;
        batch.items[i] = (struct ptq_bytes){&batch.numbers[i], sizeof batch.numbers[i]};
    }
    return &batch;
}

static enum ptq_err put_numbers(ptq_queue *queue, uint64_t first, size_t count, uint64_t *ret_position)
{
    return ptq_put_many(queue, batch_of(first, count)->items, count, PTQ_NOWAIT, ret_position);
}

static void a_batch_has_one_position_and_is_told_apart_by_sub(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    uint64_t position = 0, after = 0;

    assert_ok(put_numbers(queue, 10, 5, &position));
    assert_ok(ptq_put_position(queue, "x", 1, PTQ_NOWAIT, &after));
    assert_true(after > position);

    for (uint32_t i = 0; i < 5; i++) {
        ptq_msg *msg = get_number(queue, 10 + i);
        assert_int_equal(ptq_msg_position(msg), position);
        assert_int_equal(ptq_msg_sub(msg), i);
        assert_false(ptq_msg_redelivered(msg));
        assert_ok(ptq_ack(msg));
    }
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void batches_of_every_size_to_capacity_go_in_whole(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 100, 32);

    for (size_t count = 1; count <= 100; count++) {
        assert_ok(put_numbers(queue, count, count, NULL));
        assert_int_equal(contract_stats(queue).ready, count);
        recv_range(queue, count, 2 * count);
        assert_get(PTQ_EMPTY, queue);
    }
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void a_large_batch_goes_in_by_one_commit(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", MAX, 8);
    ptq_msg *msgs[64];
    size_t count = 0;

    for (int lap = 0; lap < 3; lap++) {
        assert_ok(put_numbers(queue, 1, MAX, NULL));
        for (uint64_t next = 1; next <= MAX; next += count) {
            assert_ok(ptq_get_many(queue, msgs, 1, 64, PTT_LONG, &count));
            for (size_t i = 0; i < count; i++) {
                assert_int_equal(number_of(msgs[i]), next + i);
                assert_int_equal(ptq_msg_sub(msgs[i]), next + i - 1);
                assert_ok(ptq_ack(msgs[i]));
            }
        }
    }
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void a_batch_that_does_not_fit_now_changes_nothing(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 8, 32);

    put_range(queue, 0, 5);
    for (int i = 0; i < 50; i++)
        assert_answer(PTQ_FULL, put_numbers(queue, 100, 4, NULL));
    assert_int_equal(contract_stats(queue).ready, 5);
    assert_ok(put_numbers(queue, 5, 3, NULL));
    assert_answer(PTQ_FULL, put_numbers(queue, 100, 1, NULL));
    assert_answer(PTQ_FULL, ptq_put(queue, "x", 1, PTQ_NOWAIT));

    recv_range(queue, 0, 8);
    assert_get(PTQ_EMPTY, queue);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void capacity_stays_exact_after_the_first_batch(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 7, 32);
    uint64_t put = 0, got = 0;

    for (int round = 0; round < 300; round++) {
        size_t count = 1 + (size_t)round % 4;
        uint64_t inside = put - got;
        enum ptq_err expected = inside + count <= 7 ? PTQ_OK : PTQ_FULL;
        assert_answer(expected, put_numbers(queue, put, count, NULL));
        put += expected == PTQ_OK ? count : 0;
        if (put - got < 7 && round % 3 == 0)
            put_number(queue, put++);
        for (int i = 0; i < round % 5 && got < put; i++)
            assert_int_equal(recv_number(queue), got++);
    }
    while (put - got < 7)
        put_number(queue, put++);
    assert_answer(PTQ_FULL, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    while (got < put)
        assert_int_equal(recv_number(queue), got++);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void limits_are_answered_at_once_even_without_a_deadline(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 4, 32);
    char large[33] = "";
    struct ptq_bytes items[5] = {{large, 1}, {large, 32}, {large, 33}, {large, 1}, {large, 1}};

    assert_answer(PTQ_ETOOBIG, ptq_put_many(queue, batch_of(0, 5)->items, 5, PTQ_FOREVER, NULL));
    assert_answer(PTQ_ETOOBIG, ptq_put_many(queue, batch_of(0, 5)->items, SIZE_MAX / 64, PTQ_FOREVER, NULL));
    assert_answer(PTQ_EMSGSIZE, ptq_put_many(queue, items, 4, PTQ_FOREVER, NULL));
    assert_ok(ptq_put_many(queue, NULL, 0, PTQ_FOREVER, NULL));
    assert_ok(ptq_put_many(queue, items, 0, PTQ_FOREVER, NULL));

    assert_int_equal(contract_stats(queue).put, 0);
    assert_get(PTQ_EMPTY, queue);
    ptq_queue_close(queue);
}

static void elements_may_have_any_size_also_none(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 10, 100);
    char bytes[100];
    struct ptq_bytes items[] = {{NULL, 0}, {bytes, 100}, {bytes, 1}, {bytes, 0}, {bytes, 63}};

    contract_fill(bytes, sizeof bytes, 5);
    assert_ok(ptq_put_many(queue, items, 5, PTQ_NOWAIT, NULL));

    for (int i = 0; i < 5; i++) {
        ptq_msg *msg = NULL;
        assert_ok(ptq_get(queue, PTT_LONG, &msg));
        assert_int_equal(ptq_msg_size(msg), items[i].size);
        assert_memory_equal(ptq_msg_data(msg), bytes, items[i].size);
        assert_ok(ptq_ack(msg));
    }
    ptq_queue_close(queue);
}

static void elements_are_leased_nacked_and_redelivered_one_by_one(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    ptq_msg *msgs[4];

    assert_ok(put_numbers(queue, 0, 4, NULL));
    put_number(queue, 4);
    for (uint64_t i = 0; i < 4; i++)
        msgs[i] = get_number(queue, i);
    assert_ok(ptq_nack(msgs[2], 0));
    assert_ok(ptq_ack(msgs[0]));
    assert_ok(ptq_nack(msgs[1], 0));
    assert_ok(ptq_ack(msgs[3]));

    for (uint32_t i = 1; i <= 2; i++) {
        ptq_msg *msg = get_number(queue, i);
        assert_true(ptq_msg_redelivered(msg));
        assert_int_equal(ptq_msg_sub(msg), i);
        assert_int_equal(ptq_msg_deliveries(msg), 2);
        assert_ok(ptq_ack(msg));
    }
    assert_int_equal(recv_number(queue), 4);
    assert_get(PTQ_EMPTY, queue);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void several_consumers_share_a_batch_in_order(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open(c, "tasks", NULL), *b = contract_open(c, "tasks", NULL);

    assert_ok(put_numbers(a, 0, 60, NULL));
    assert_ok(put_numbers(b, 60, 60, NULL));

    for (uint64_t i = 0; i < 120; i++)
        assert_int_equal(recv_number(i % 3 == 0 ? a : b), i);
    assert_get(PTQ_EMPTY, a);
    assert_get(PTQ_EMPTY, b);
    ptq_queue_close(a);
    ptq_queue_close(b);
    contract_verify(c, "tasks");
}

static void a_batch_waits_for_room_and_goes_in_whole(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 4, 32);
    ptq_queue *other = contract_open(c, "tasks", NULL);
    struct caller caller = {.call = call_put_many, .queue = other, .timeout_ms = PTQ_FOREVER, .number = 4, .count = 3};

    put_range(queue, 0, 4);
    caller_start_sleeping(&caller);
    assert_int_equal(recv_number(queue), 0);
    assert_int_equal(recv_number(queue), 1);
    assert_int_equal(recv_number(queue), 2);
    assert_ok(caller_join(&caller));

    recv_range(queue, 3, 7);
    ptq_queue_close(queue);
    ptq_queue_close(other);
    contract_verify(c, "tasks");
}

static void a_batch_that_waits_in_vain_times_out_and_changes_nothing(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 4, 32);
    int64_t start = contract_now_ms();

    put_number(queue, 1);
    assert_answer(PTQ_TIMEDOUT, ptq_put_many(queue, batch_of(5, 4)->items, 4, 50, NULL));

    assert_true(contract_now_ms() - start >= 49);
    assert_int_equal(contract_stats(queue).put, 1);
    assert_int_equal(recv_number(queue), 1);
    assert_ok(put_numbers(queue, 5, 4, NULL));
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void a_partial_batch_puts_as_many_as_fit_and_waits_for_one(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 10, 64);
    uint64_t numbers[13];
    struct ptq_bytes items[13];
    size_t count = 77;
    struct ptq_put_options options = {.flags = PTQ_PARTIAL, .ret_count = &count};

    for (uint64_t i = 0; i < 13; i++) {
        numbers[i] = i;
        items[i] = (struct ptq_bytes){&numbers[i], sizeof numbers[i]};
    }
    put_number(queue, 100);
    assert_ok(ptq_put_many_with(queue, items, 13, &options, PTQ_NOWAIT));
    assert_int_equal(count, 9);
    assert_answer(PTQ_FULL, ptq_put_many_with(queue, items + 9, 4, &options, PTQ_NOWAIT));
    assert_answer(PTQ_TIMEDOUT, ptq_put_many_with(queue, items + 9, 4, &options, 10));
    assert_int_equal(count, 9);
    assert_int_equal(recv_number(queue), 100);
    assert_ok(ptq_put_many_with(queue, items + 9, 4, &options, PTT_LONG));
    assert_int_equal(count, 1);

    recv_range(queue, 0, 10);
    assert_get(PTQ_EMPTY, queue);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void an_ack_of_many_takes_messages_of_all_kinds_and_queues(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL), *other = contract_open(c, "others", NULL);
    struct ptq_bytes bytes[8];
    ptq_msg *msgs[8];
    size_t count;

    assert_ok(put_numbers(queue, 0, 4, NULL));
    put_number(queue, 4);
    assert_ok(put_numbers(other, 5, 3, NULL));
    assert_ok(ptq_get_many(queue, msgs, 5, 5, PTT_LONG, &count));
    assert_ok(ptq_get_many(other, msgs + 5, 3, 3, PTT_LONG, &count));
    ptq_msg_bytes_many(msgs, 8, bytes);
    for (uint64_t i = 0; i < 8; i++) {
        assert_int_equal(bytes[i].size, 8);
        assert_ptr_equal(bytes[i].data, ptq_msg_data(msgs[i]));
        assert_int_equal(number_of(msgs[i]), i);
    }
    assert_ok(ptq_ack_many(NULL, 0));
    assert_answer(PTQ_EINVAL, ptq_ack_many(NULL, 1));
    assert_ok(ptq_ack_many(msgs, 8));

    assert_int_equal(contract_stats(queue).acked, 5);
    assert_int_equal(contract_stats(other).acked, 3);
    assert_get(PTQ_EMPTY, queue);
    assert_get(PTQ_EMPTY, other);
    ptq_queue_close(queue);
    ptq_queue_close(other);
    contract_verify(c, "tasks");
    contract_verify(c, "others");
}

static void an_ack_of_many_passes_over_what_is_not_leased(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    ptq_msg *msgs[4] = {0}, *loan;
    size_t count;

    assert_ok(put_numbers(queue, 0, 2, NULL));
    assert_ok(ptq_loan(queue, 8, PTT_LONG, &loan));
    assert_ok(ptq_get_many(queue, msgs, 2, 2, PTT_LONG, &count));
    msgs[3] = msgs[1];
    msgs[1] = NULL;
    msgs[2] = loan;
    assert_answer(PTQ_EINVAL, ptq_ack_many(msgs, 4));

    assert_int_equal(contract_stats(queue).acked, 2);
    ptq_abort(loan);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static const struct contract_case batch_cases[] = {
    CONTRACT_CASE(a_batch_has_one_position_and_is_told_apart_by_sub),
    CONTRACT_CASE(batches_of_every_size_to_capacity_go_in_whole),
    CONTRACT_CASE(a_large_batch_goes_in_by_one_commit),
    CONTRACT_CASE(a_batch_that_does_not_fit_now_changes_nothing),
    CONTRACT_CASE(capacity_stays_exact_after_the_first_batch),
    CONTRACT_CASE(limits_are_answered_at_once_even_without_a_deadline),
    CONTRACT_CASE(elements_may_have_any_size_also_none),
    CONTRACT_CASE(elements_are_leased_nacked_and_redelivered_one_by_one),
    CONTRACT_CASE(several_consumers_share_a_batch_in_order),
    CONTRACT_CASE(a_batch_waits_for_room_and_goes_in_whole),
    CONTRACT_CASE(a_batch_that_waits_in_vain_times_out_and_changes_nothing),
    CONTRACT_CASE(a_partial_batch_puts_as_many_as_fit_and_waits_for_one),
    CONTRACT_CASE(an_ack_of_many_takes_messages_of_all_kinds_and_queues),
    CONTRACT_CASE(an_ack_of_many_passes_over_what_is_not_leased),
};
CONTRACT_GROUP(batch);
