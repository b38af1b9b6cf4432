/* case_put.c -- putting: exact capacity, sizes, positions, order. */
#include <stdlib.h>
#include <string.h>

#include "contract/contract.h"

/* All of them where the queue is counted: here, by a bridge in this process, over tcp.  Other streams carry the same answers. */
static const uint64_t capacities[] = {1, 2, 3, 4, 5, 63, 64, 65, 127, 128, 129, 1000, 1023, 1024, 1025}, few_capacities[] = {1, 2, 5, 64};

static void fill_exactly(ptq_queue *queue, uint64_t capacity, uint64_t first)
{
    char text[500] = "";

    for (uint64_t i = 0; i < capacity; i++) {
        uint64_t number = first + i;
        enum ptq_err err = ptq_put(queue, &number, sizeof number, PTQ_NOWAIT);
        if (err != PTQ_OK)
            fail_msg("capacity %llu: message %llu was answered %s", (unsigned long long)capacity, (unsigned long long)i,
                     ptq_err_name(err));
    }
    assert_answer(PTQ_FULL, ptq_put(queue, "more", 4, PTQ_NOWAIT));
    assert_ptr_equal(ptq_queue_explain(queue, PTQ_FULL, 4, text, sizeof text), text);
    ptt_assert_says(text, "messages at most");
}

static void capacity_is_exact_from_1_up(void **state)
{
    struct contract *c = *state;
    bool is_other_stream = strcmp(c->carrier->name, "ipc") == 0 || strcmp(c->carrier->name, "ws") == 0 || strcmp(c->carrier->name, "tls") == 0;
    const uint64_t *list = is_other_stream ? few_capacities : capacities;
    size_t count = is_other_stream ? sizeof few_capacities / sizeof *few_capacities : sizeof capacities / sizeof *capacities;

    for (size_t i = 0; i < count; i++) {
        uint64_t capacity = list[i], next = 0, put = 0;
        ptq_queue *queue = contract_open_sized(c, "tasks", capacity, 64);

        for (int lap = 0; lap < 3; lap++) {
            fill_exactly(queue, capacity, put);
            put += capacity;
            assert_int_equal(contract_stats(queue).ready, capacity);
            assert_int_equal(recv_number(queue), next++); /* one out, exactly one in */
            put_number(queue, put++);
            assert_answer(PTQ_FULL, ptq_put(queue, "more", 4, PTQ_NOWAIT));
            while (next < put)
                assert_int_equal(recv_number(queue), next++);
            assert_get(PTQ_EMPTY, queue);
        }
        ptq_queue_close(queue);
        contract_verify(c, "tasks");
        assert_ok(ptq_queue_unlink(c->home.bus, "tasks", false));
    }
}

static void leased_messages_do_not_count_against_capacity(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 2, 64);

    put_number(queue, 1);
    put_number(queue, 2);
    ptq_msg *first = get_number(queue, 1);
    put_number(queue, 3);

    assert_answer(PTQ_FULL, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    assert_ok(ptq_ack(first));
    assert_answer(PTQ_FULL, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    assert_int_equal(recv_number(queue), 2);
    put_number(queue, 4);
    ptq_queue_close(queue);
}

static void check_size(ptq_queue *queue, size_t size, unsigned char *bytes)
{
    ptq_msg *msg = NULL;

    contract_fill(bytes, size, size);
    assert_ok(ptq_put(queue, size > 0 ? bytes : NULL, size, PTT_LONG));
    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_int_equal(ptq_msg_size(msg), size);
    assert_true(contract_is_filled(ptq_msg_data(msg), size, size));
    assert_int_equal((uintptr_t)ptq_msg_data(msg) % 16, 0);
    assert_null(ptq_msg_buffer(msg));
    assert_ok(ptq_ack(msg));
}

static void bytes_come_out_as_they_went_in_from_0_to_1_mib(void **state)
{
    struct contract *c = *state;
    static const size_t sizes[] = {0, 1, 15, 16, 17, 63, 64, 65, 4095, 4096, 4097, 65535, 65536, 65537, (1u << 20) - 1, 1u << 20};
    unsigned char *bytes = malloc(1u << 20);
    ptq_queue *queue = contract_open_sized(c, "tasks", 3, 1u << 20);

    for (int lap = 0; lap < 2; lap++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            check_size(queue, sizes[i], bytes);

    free(bytes);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void a_full_queue_of_1_mib_messages_keeps_each_byte(void **state)
{
    struct contract *c = *state;
    unsigned char *bytes = malloc(1u << 20);
    ptq_queue *queue = contract_open_sized(c, "tasks", 5, 1u << 20);
    size_t size = 0;

    for (uint64_t i = 0; i < 5; i++) {
        contract_fill(bytes, 1u << 20, i);
        assert_ok(ptq_put(queue, bytes, 1u << 20, PTT_LONG));
    }
    for (uint64_t i = 0; i < 5; i++) {
        assert_ok(ptq_recv(queue, bytes, 1u << 20, PTT_LONG, &size));
        assert_int_equal(size, 1u << 20);
        assert_true(contract_is_filled(bytes, size, i));
    }

    free(bytes);
    ptq_queue_close(queue);
}

static void a_message_above_item_size_is_emsgsize_and_changes_nothing(void **state)
{
    struct contract *c = *state;
    char bytes[101] = "", text[500] = "";
    ptq_queue *queue = contract_open_sized(c, "tasks", 4, 100);

    assert_answer(PTQ_EMSGSIZE, ptq_put(queue, bytes, 101, PTQ_NOWAIT));
    assert_answer(PTQ_EMSGSIZE, ptq_put(queue, bytes, SIZE_MAX, PTQ_FOREVER));
    assert_ok(ptq_put(queue, bytes, 100, PTQ_NOWAIT));

    ptq_queue_explain(queue, PTQ_EMSGSIZE, 101, text, sizeof text);
    assert_non_null(strstr(text, "101"));
    assert_non_null(strstr(text, "100"));
    assert_int_equal(contract_stats(queue).put, 1);
    ptq_queue_close(queue);
}

static void a_zero_length_message_is_a_message(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 4, 16);
    size_t size = 9;

    assert_ok(ptq_put(queue, NULL, 0, PTQ_NOWAIT));
    assert_ok(ptq_put(queue, "", 0, PTQ_NOWAIT));

    assert_int_equal(contract_stats(queue).ready, 2);
    assert_ok(ptq_recv(queue, NULL, 0, PTT_LONG, &size));
    assert_int_equal(size, 0);
    ptq_msg *msg = NULL;
    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_int_equal(ptq_msg_size(msg), 0);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
}

static void positions_grow_by_one_and_belong_to_the_message(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 3, 64);
    uint64_t last = 0;

    for (uint64_t i = 0; i < 500; i++) {
        uint64_t position = 0;
        ptq_msg *msg = NULL;
        assert_ok(ptq_put_position(queue, &i, sizeof i, PTT_LONG, &position));
        assert_true(i == 0 || position == last + 1);
        assert_ok(ptq_get(queue, PTT_LONG, &msg));
        assert_int_equal(ptq_msg_position(msg), position);
        assert_int_equal(ptq_msg_sub(msg), 0);
        assert_int_equal(ptq_msg_deliveries(msg), 1);
        assert_false(ptq_msg_redelivered(msg));
        assert_ok(ptq_ack(msg));
        last = position;
    }
    ptq_queue_close(queue);
}

static void first_in_first_out_over_several_producers_and_consumers(void **state)
{
    struct contract *c = *state;
    ptq_queue *queues[4];
    uint64_t put = 0, got = 0;

    for (int i = 0; i < 4; i++)
        queues[i] = contract_open_sized(c, "tasks", 100, 64);
    for (int round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 2 + (unsigned)round % 7; i++, put++)
            put_number(queues[(put * 7 + i) % 4], put);
        while (got + (unsigned)round % 3 < put) {
            assert_int_equal(recv_number(queues[(got * 5 + 1) % 4]), got);
            got++;
        }
    }
    while (got < put)
        assert_int_equal(recv_number(queues[0]), got++);
    assert_get(PTQ_EMPTY, queues[1]);
    for (int i = 0; i < 4; i++)
        ptq_queue_close(queues[i]);
    contract_verify(c, "tasks");
}

static void what_was_put_outlives_the_handle(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);

    put_number(queue, 11);
    put_number(queue, 12);
    ptq_queue_close(queue);
    queue = contract_open(c, "tasks", &(struct ptq_queue_options){.mode = PTQ_ATTACH});

    ptq_msg *msg = get_number(queue, 11);
    assert_false(ptq_msg_redelivered(msg));
    assert_ok(ptq_ack(msg));
    assert_int_equal(recv_number(queue), 12);
    ptq_queue_close(queue);
}

static const struct contract_case put_cases[] = {
    CONTRACT_CASE(capacity_is_exact_from_1_up),
    CONTRACT_CASE(leased_messages_do_not_count_against_capacity),
    CONTRACT_CASE(bytes_come_out_as_they_went_in_from_0_to_1_mib),
    CONTRACT_CASE(a_full_queue_of_1_mib_messages_keeps_each_byte),
    CONTRACT_CASE(a_message_above_item_size_is_emsgsize_and_changes_nothing),
    CONTRACT_CASE(a_zero_length_message_is_a_message),
    CONTRACT_CASE(positions_grow_by_one_and_belong_to_the_message),
    CONTRACT_CASE(first_in_first_out_over_several_producers_and_consumers),
    CONTRACT_CASE(what_was_put_outlives_the_handle),
};
CONTRACT_GROUP(put);
