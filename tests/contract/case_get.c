/* case_get.c -- getting: leases, ack, nack, delays, recv, dead letters, get_many. */
#include "contract/contract.h"

#include <stdio.h>

static void a_lease_is_one_consumers_alone(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open(c, "tasks", NULL);
    ptq_queue *b = contract_open(c, "tasks", NULL);

    put_number(a, 1);
    put_number(a, 2);
    ptq_msg *first = get_number(a, 1);
    ptq_msg *second = get_number(b, 2);

    assert_get(PTQ_EMPTY, a);
    assert_get(PTQ_EMPTY, b);
    assert_int_equal(contract_stats(a).leased, 2);
    assert_ok(ptq_ack(second));
    assert_ok(ptq_ack(first));
    assert_int_equal(contract_stats(a).leased, 0);
    assert_int_equal(contract_stats(a).acked, 2);
    ptq_queue_close(a);
    ptq_queue_close(b);
    contract_verify(c, "tasks");
}

static void a_nacked_message_comes_again_first_flagged_and_counted(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);

    put_number(queue, 1);
    put_number(queue, 2);
    ptq_msg *msg = get_number(queue, 1);
    uint64_t position = ptq_msg_position(msg);
    assert_ok(ptq_nack(msg, 0));
    msg = get_number(queue, 1);

    assert_true(ptq_msg_redelivered(msg));
    assert_int_equal(ptq_msg_deliveries(msg), 2);
    assert_int_equal(ptq_msg_position(msg), position);
    assert_ok(ptq_ack(msg));
    msg = get_number(queue, 2);
    assert_false(ptq_msg_redelivered(msg));
    assert_int_equal(ptq_msg_deliveries(msg), 1);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void redeliveries_come_by_position_whatever_the_order_of_nacks(void **state)
{
    struct contract *c = *state;
    static const int order[] = {5, 2, 7, 0, 3, 6, 1, 4};
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    ptq_msg *msgs[8];

    put_range(queue, 0, 10);
    for (uint64_t i = 0; i < 8; i++)
        msgs[i] = get_number(queue, i);
    for (int i = 0; i < 8; i++)
        assert_ok(ptq_nack(msgs[order[i]], 0));

    for (uint64_t i = 0; i < 10; i++) {
        ptq_msg *msg = get_number(queue, i);
        assert_int_equal(ptq_msg_redelivered(msg), i < 8);
        assert_ok(ptq_ack(msg));
    }
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void a_nack_needs_no_room(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 2, 64);

    put_number(queue, 1);
    ptq_msg *msg = get_number(queue, 1);
    put_number(queue, 2);
    put_number(queue, 3);
    assert_ok(ptq_nack(msg, 0));

    assert_int_equal(contract_stats(queue).ready, 3);
    for (uint64_t i = 1; i <= 3; i++)
        assert_int_equal(recv_number(queue), i);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void a_delayed_nack_waits_while_others_pass(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);

    put_range(queue, 1, 4);
    ptq_msg *msg = get_number(queue, 1);
    assert_ok(ptq_nack(get_number(queue, 2), 3600 * 1000));
    assert_ok(ptq_ack(get_number(queue, 3)));
    int64_t start = contract_now_ms();
    assert_ok(ptq_nack(msg, 150));
    msg = get_when_due(queue, 1, start + 150); /* sleeps until it is due, far before the call's deadline */

    assert_true(contract_now_ms() - start < PTT_LONG / 2);
    assert_true(ptq_msg_redelivered(msg));
    assert_int_equal(ptq_msg_deliveries(msg), 2);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void delayed_messages_come_when_they_are_due(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    static const int delays[] = {120, 30, 75};
    static const uint64_t order[] = {1, 2, 0};
    ptq_msg *msgs[3];

    put_range(queue, 0, 3);
    for (uint64_t i = 0; i < 3; i++)
        msgs[i] = get_number(queue, i);
    int64_t start = contract_now_ms();
    for (int i = 0; i < 3; i++)
        assert_ok(ptq_nack(msgs[i], delays[i]));
    assert_int_equal(contract_stats(queue).delayed, 3);
    assert_int_equal(contract_stats(queue).ready, 0);

    for (int i = 0; i < 3; i++) {
        ptq_msg *msg = NULL;
        assert_ok(ptq_get(queue, PTT_LONG, &msg));
        uint64_t number = number_of(msg);
        assert_true(number < 3);
        assert_true(contract_now_ms() - start >= delays[number] - 1);
        if (contract_now_ms() - start < 70) /* on a slow machine several are due at once: then by position */
            assert_int_equal(number, order[i]);
        assert_ok(ptq_ack(msg));
    }
    assert_int_equal(contract_stats(queue).delayed, 0);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void the_default_back_off_grows_with_the_deliveries(void **state)
{
    struct contract *c = *state;
    static const int at_least[] = {0, 10, 100, 1000};
    ptq_queue *queue = contract_open(c, "tasks", NULL);

    put_number(queue, 1);
    ptq_msg *msg = get_number(queue, 1);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(ptq_msg_deliveries(msg), i + 1);
        int64_t start = contract_now_ms();
        assert_ok(ptq_nack(msg, PTQ_BACKOFF));
        msg = get_when_due(queue, 1, start + at_least[i]);
    }
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void recv_copies_and_acks(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    char buffer[16] = "untouched";
    size_t size = 0;

    assert_ok(ptq_put(queue, "hello", 5, PTQ_NOWAIT));
    assert_ok(ptq_recv(queue, buffer, sizeof buffer, PTQ_NOWAIT, &size));

    assert_int_equal(size, 5);
    assert_memory_equal(buffer, "hello", 5);
    assert_answer(PTQ_EMPTY, ptq_recv(queue, buffer, sizeof buffer, PTQ_NOWAIT, &size));
    assert_int_equal(size, 5);
    assert_int_equal(contract_stats(queue).acked, 1);
    ptq_queue_close(queue);
}

static void recv_into_too_small_a_buffer_keeps_the_message_uncounted(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    char buffer[8];
    size_t size = 0;

    assert_ok(ptq_put(queue, "long enough", 11, PTQ_NOWAIT));
    assert_ok(ptq_put(queue, "next", 4, PTQ_NOWAIT));
    for (int i = 0; i < 30; i++) { /* more often than max_deliveries */
        size = 0;
        assert_answer(PTQ_EMSGSIZE, ptq_recv(queue, buffer, sizeof buffer, PTQ_NOWAIT, &size));
        assert_int_equal(size, 11);
    }

    ptq_msg *msg = NULL;
    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_int_equal(ptq_msg_size(msg), 11);
    assert_int_equal(ptq_msg_deliveries(msg), 1);
    assert_ok(ptq_ack(msg));
    assert_ok(ptq_recv(queue, buffer, sizeof buffer, PTT_LONG, &size));
    assert_memory_equal(buffer, "next", 4);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void a_message_delivered_too_often_becomes_a_dead_letter(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.max_deliveries = 3});

    put_number(queue, 1);
    put_number(queue, 2);
    for (uint32_t i = 1; i <= 3; i++) {
        ptq_msg *msg = get_number(queue, 1);
        assert_int_equal(ptq_msg_deliveries(msg), i);
        assert_ok(ptq_nack(msg, 0));
    }

    assert_int_equal(recv_number(queue), 2);
    assert_get(PTQ_EMPTY, queue);
    struct ptq_queue_stats stats = contract_stats(queue);
    assert_int_equal(stats.dead, 1);
    assert_int_equal(stats.ready, 0);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void a_letter_tells_how_often_it_was_handed_out(void **state)
{
    static const unsigned ways[] = {0, PTQ_PIPELINE}; /* a message of its own, and a record of a pack */
    struct contract *c = *state;

    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        const char *name = i == 0 ? "single" : "packed";
        char dead[32];
        snprintf(dead, sizeof dead, "%s" PTQ_DEAD_SUFFIX, name);
        ptq_queue *queue = contract_open(c, name, &(struct ptq_queue_options){.max_deliveries = 3, .flags = ways[i]});
        put_number(queue, 1);
        assert_ok(ptq_flush(queue, PTT_LONG));
        for (uint32_t times = 1; times <= 3; times++) {
            ptq_msg *msg = get_number(queue, 1);
            assert_int_equal(ptq_msg_deliveries(msg), times);
            assert_ok(ptq_nack(msg, 0));
        }
        assert_get(PTQ_EMPTY, queue);

        ptq_queue *letters = contract_open(c, dead, &(struct ptq_queue_options){.mode = PTQ_ATTACH});
        ptq_msg *letter = get_number(letters, 1);
        assert_int_equal(ptq_msg_deliveries(letter), 3);
        assert_ok(ptq_ack(letter));
        ptq_queue_close(letters);
        ptq_queue_close(queue);
        contract_verify(c, name);
    }
}

static void a_queue_without_limit_never_buries(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.max_deliveries = PTQ_NEVER});

    put_number(queue, 1);
    for (uint32_t i = 1; i <= 100; i++) {
        ptq_msg *msg = get_number(queue, 1);
        assert_int_equal(ptq_msg_deliveries(msg), i);
        assert_ok(ptq_nack(msg, 0));
    }

    assert_int_equal(recv_number(queue), 1);
    assert_int_equal(contract_stats(queue).dead, 0);
    ptq_queue_close(queue);
}

static void get_many_takes_what_is_there_each_by_its_own_lease(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    ptq_msg *msgs[8] = {0};
    size_t count = 77;

    assert_answer(PTQ_EMPTY, ptq_get_many(queue, msgs, 1, 8, PTQ_NOWAIT, &count));
    assert_int_equal(count, 77);
    put_range(queue, 0, 5);
    assert_ok(ptq_get_many(queue, msgs, 1, 3, PTT_LONG, &count));
    assert_int_equal(count, 3);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(number_of(msgs[i]), i);

    assert_ok(ptq_ack(msgs[0]));
    assert_ok(ptq_nack(msgs[1], 0));
    assert_ok(ptq_get_many(queue, msgs + 3, 1, 5, PTT_LONG, &count));
    assert_int_equal(count, 3);
    assert_int_equal(number_of(msgs[3]), 1);
    assert_true(ptq_msg_redelivered(msgs[3]));
    assert_int_equal(number_of(msgs[4]), 3);
    assert_int_equal(number_of(msgs[5]), 4);
    for (int i = 2; i < 6; i++)
        assert_ok(ptq_ack(msgs[i]));
    assert_get(PTQ_EMPTY, queue);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void get_many_waits_for_its_minimum_or_puts_all_back_uncounted(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    ptq_msg *msgs[8] = {0};
    size_t count = 77;

    assert_answer(PTQ_EINVAL, ptq_get_many(queue, msgs, 5, 4, PTQ_NOWAIT, &count));
    put_range(queue, 0, 3);

    assert_answer(PTQ_EMPTY, ptq_get_many(queue, msgs, 4, 8, PTQ_NOWAIT, &count));
    assert_answer(PTQ_TIMEDOUT, ptq_get_many(queue, msgs, 4, 8, 20, &count));
    assert_int_equal(count, 77);
    assert_int_equal(contract_stats(queue).ready, 3);
    put_number(queue, 3);
    assert_ok(ptq_get_many(queue, msgs, 4, 8, PTT_LONG, &count));

    assert_int_equal(count, 4);
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(number_of(msgs[i]), i);
        assert_int_equal(ptq_msg_deliveries(msgs[i]), 1);
        assert_false(ptq_msg_redelivered(msgs[i]));
        assert_ok(ptq_ack(msgs[i]));
    }
    put_number(queue, 4);
    assert_ok(ptq_end(queue));
    assert_ok(ptq_get_many(queue, msgs, 2, 8, PTT_LONG, &count)); /* no more will come: what is left */
    assert_int_equal(count, 1);
    assert_ok(ptq_ack(msgs[0]));
    assert_answer(PTQ_END, ptq_get_many(queue, msgs, 2, 8, PTT_LONG, &count));
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

/* Who has the other one may be waiting for several himself: then neither would ever have enough. */
static void at_the_end_get_many_waits_for_nobody_elses_lease(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open(c, "tasks", NULL), *b = contract_open(c, "tasks", NULL);
    ptq_msg *msgs[4], *other;
    size_t count = 0;

    put_range(a, 0, 2);
    other = get_number(a, 0);
    assert_ok(ptq_end(a));

    assert_ok(ptq_get_many(b, msgs, 2, 4, PTT_LONG, &count));

    assert_int_equal(count, 1);
    assert_int_equal(number_of(msgs[0]), 1);
    assert_ok(ptq_ack(msgs[0]));
    assert_ok(ptq_ack(other));
    assert_answer(PTQ_END, ptq_get_many(b, msgs, 2, 4, PTT_LONG, &count));
    ptq_queue_close(a);
    ptq_queue_close(b);
    contract_verify(c, "tasks");
}

static void acks_may_come_in_any_order(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 40, 64);
    ptq_msg *msgs[32];

    for (uint64_t round = 0; round < 5; round++) {
        put_range(queue, 0, 32);
        for (uint64_t i = 0; i < 32; i++)
            msgs[i] = get_number(queue, i);
        for (int i = 0; i < 32; i++)
            assert_ok(ptq_ack(msgs[(i * 13 + 5) % 32]));
    }

    struct ptq_queue_stats stats = contract_stats(queue);
    assert_int_equal(stats.acked, 160);
    assert_int_equal(stats.leased + stats.ready, 0);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static const struct contract_case get_cases[] = {
    CONTRACT_CASE(a_lease_is_one_consumers_alone),
    CONTRACT_CASE(a_nacked_message_comes_again_first_flagged_and_counted),
    CONTRACT_CASE(redeliveries_come_by_position_whatever_the_order_of_nacks),
    CONTRACT_CASE(a_nack_needs_no_room),
    CONTRACT_CASE(a_delayed_nack_waits_while_others_pass),
    CONTRACT_CASE(delayed_messages_come_when_they_are_due),
    CONTRACT_CASE(the_default_back_off_grows_with_the_deliveries),
    CONTRACT_CASE(recv_copies_and_acks),
    CONTRACT_CASE(recv_into_too_small_a_buffer_keeps_the_message_uncounted),
    CONTRACT_CASE(a_message_delivered_too_often_becomes_a_dead_letter),
    CONTRACT_CASE(a_letter_tells_how_often_it_was_handed_out),
    CONTRACT_CASE(a_queue_without_limit_never_buries),
    CONTRACT_CASE(get_many_takes_what_is_there_each_by_its_own_lease),
    CONTRACT_CASE(get_many_waits_for_its_minimum_or_puts_all_back_uncounted),
    CONTRACT_CASE(at_the_end_get_many_waits_for_nobody_elses_lease),
    CONTRACT_CASE(acks_may_come_in_any_order),
};
CONTRACT_GROUP(get);
