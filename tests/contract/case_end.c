/* case_end.c -- the end of a stream: drained, then said; leases outstanding hold it back. */
#include "contract/contract.h"

static void consumers_drain_and_then_see_the_end(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open(c, "tasks", NULL), *b = contract_open(c, "tasks", NULL);
    char buffer[8];
    ptq_msg *msg = NULL;
    size_t size = 0;

    put_range(a, 0, 5);
    assert_ok(ptq_end(a));
    recv_range(b, 0, 5);

    for (int i = 0; i < 3; i++) {
        assert_answer(PTQ_END, ptq_get(b, PTQ_FOREVER, &msg));
        assert_answer(PTQ_END, ptq_get(a, PTQ_NOWAIT, &msg));
        assert_answer(PTQ_END, ptq_recv(a, buffer, 8, PTQ_FOREVER, &size));
        assert_answer(PTQ_END, ptq_get_many(b, &msg, 1, 1, PTQ_FOREVER, &size));
    }
    assert_true(contract_stats(a).ended);
    assert_int_not_equal(contract_stats(a).end_position, 0);
    ptq_queue_close(a);
    ptq_queue_close(b);
    contract_verify(c, "tasks");
}

static void every_put_after_the_end_is_eended(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open_sized(c, "tasks", 4, 64), *b = contract_open(c, "tasks", NULL);
    ptq_msg *loan = NULL;
    uint64_t number = 8;

    assert_ok(ptq_loan(b, 8, PTQ_NOWAIT, &loan));
    memcpy(ptq_msg_buffer(loan), &number, 8);
    put_number(b, 7);
    assert_false(contract_stats(a).ended);
    assert_ok(ptq_end(a));

    assert_answer(PTQ_EENDED, ptq_put(a, "x", 1, PTQ_FOREVER));
    assert_answer(PTQ_EENDED, ptq_put(b, "x", 1, PTQ_NOWAIT));
    assert_answer(PTQ_EENDED, ptq_put_many(b, &(struct ptq_bytes){"x", 1}, 1, PTQ_FOREVER, NULL));
    assert_answer(PTQ_EENDED, ptq_publish(loan, 8, PTQ_FOREVER, NULL));
    assert_answer(PTQ_EENDED, ptq_publish(loan, 8, PTQ_FOREVER, NULL)); /* still the caller's */
    ptq_abort(loan);
    assert_answer(PTQ_EALREADY, ptq_end(a));
    assert_answer(PTQ_EALREADY, ptq_end(b));
    assert_int_equal(contract_stats(a).put, 1);
    assert_int_equal(recv_number(a), 7);
    assert_get(PTQ_END, a);
    ptq_queue_close(a);
    ptq_queue_close(b);
    contract_verify(c, "tasks");
}

static void the_end_needs_no_room(void **state)
{
    struct contract *c = *state;
    static const uint64_t capacities[] = {1, 63, 64, 128};

    for (int i = 0; i < 4; i++) {
        ptq_queue *queue = contract_open_sized(c, "tasks", capacities[i], 64);
        for (uint64_t n = 0; n < capacities[i]; n++)
            put_number(queue, n);
        assert_ok(ptq_end(queue));
        assert_answer(PTQ_EENDED, ptq_put(queue, "x", 1, PTQ_NOWAIT));
        for (uint64_t n = 0; n < capacities[i]; n++)
            assert_int_equal(recv_number(queue), n);
        assert_get(PTQ_END, queue);
        ptq_queue_close(queue);
        assert_ok(ptq_queue_unlink(c->home.bus, "tasks", false));
    }
}

static void an_outstanding_lease_holds_the_end_back(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open(c, "tasks", NULL), *b = contract_open(c, "tasks", NULL);

    put_number(a, 1);
    assert_ok(ptq_end(a));
    ptq_msg *msg = get_number(a, 1);
    assert_get(PTQ_EMPTY, b);
    struct caller caller = {.call = call_get, .queue = b, .timeout_ms = PTQ_FOREVER};
    caller_start_sleeping(&caller);
    assert_ok(ptq_ack(msg));

    assert_answer(PTQ_END, caller_join(&caller));
    assert_get(PTQ_END, a);
    ptq_queue_close(a);
    ptq_queue_close(b);
    contract_verify(c, "tasks");
}

static void a_message_nacked_at_the_end_still_comes(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open(c, "tasks", NULL), *b = contract_open(c, "tasks", NULL);

    put_number(a, 1);
    put_number(a, 2);
    assert_ok(ptq_end(a));
    ptq_msg *first = get_number(a, 1), *second = get_number(a, 2);
    struct caller caller = {.call = call_get, .queue = b, .timeout_ms = PTQ_FOREVER};
    caller_start_sleeping(&caller);
    assert_ok(ptq_nack(second, 0));
    assert_ok(caller_join(&caller));
    assert_int_equal(caller.number, 2);

    int64_t due = contract_now_ms() + 40;
    assert_ok(ptq_nack(first, 40)); /* delayed: not settled either */
    assert_ok(ptq_ack(get_when_due(b, 1, due)));
    assert_get(PTQ_END, a);
    ptq_queue_close(a);
    ptq_queue_close(b);
    contract_verify(c, "tasks");
}

static void leases_of_a_closed_handle_come_before_the_end(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open(c, "tasks", NULL), *b = contract_open(c, "tasks", NULL);
    struct caller caller = {.call = call_get, .queue = a, .timeout_ms = PTQ_FOREVER};

    put_number(a, 6);
    assert_ok(ptq_end(a));
    get_number(b, 6);
    caller_start_sleeping(&caller);
    ptq_queue_close(b);

    assert_ok(caller_join(&caller));
    assert_int_equal(caller.number, 6);
    assert_get(PTQ_END, a);
    ptq_queue_close(a);
}

static void dead_letters_do_not_hold_the_end_back(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.max_deliveries = 1});

    put_number(queue, 1);
    assert_ok(ptq_end(queue));
    assert_ok(ptq_nack(get_number(queue, 1), 0));

    assert_get(PTQ_END, queue);
    assert_int_equal(contract_stats(queue).dead, 1);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void the_end_wakes_all_who_wait_to_get(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open(c, "tasks", NULL), *b = contract_open(c, "tasks", NULL);
    struct caller callers[5];

    for (int i = 0; i < 5; i++) {
        callers[i] = (struct caller){.call = call_get, .queue = i < 2 ? a : b, .timeout_ms = PTQ_FOREVER};
        caller_start_sleeping(&callers[i]);
    }
    assert_ok(ptq_end(a));

    for (int i = 0; i < 5; i++)
        assert_answer(PTQ_END, caller_join(&callers[i]));
    ptq_queue_close(a);
    ptq_queue_close(b);
}

static void the_end_wakes_all_who_wait_to_put(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open_sized(c, "tasks", 1, 64), *b = contract_open(c, "tasks", NULL);
    struct caller callers[3];

    put_number(a, 1);
    for (int i = 0; i < 3; i++) {
        callers[i] = (struct caller){.call = call_put, .queue = b, .timeout_ms = PTQ_FOREVER};
        caller_start_sleeping(&callers[i]);
    }
    assert_ok(ptq_end(a));

    for (int i = 0; i < 3; i++)
        assert_answer(PTQ_EENDED, caller_join(&callers[i]));
    assert_int_equal(recv_number(a), 1);
    assert_get(PTQ_END, a);
    ptq_queue_close(a);
    ptq_queue_close(b);
}

static void who_comes_late_sees_the_end_too(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);

    put_number(queue, 1);
    assert_ok(ptq_end(queue));
    ptq_queue_close(queue);
    queue = contract_open(c, "tasks", NULL);

    assert_answer(PTQ_EENDED, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    assert_int_equal(recv_number(queue), 1);
    assert_get(PTQ_END, queue);
    assert_answer(PTQ_EALREADY, ptq_end(queue));
    ptq_queue_close(queue);
}

static void a_batch_before_the_end_comes_whole(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    struct caller batch = {.call = call_put_many, .queue = queue, .timeout_ms = PTQ_NOWAIT, .number = 0, .count = 9};

    assert_ok(call_put_many(&batch));
    assert_ok(ptq_end(queue));

    recv_range(queue, 0, 9);
    assert_get(PTQ_END, queue);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static const struct contract_case end_cases[] = {
    CONTRACT_CASE(consumers_drain_and_then_see_the_end),
    CONTRACT_CASE(every_put_after_the_end_is_eended),
    CONTRACT_CASE(the_end_needs_no_room),
    CONTRACT_CASE(an_outstanding_lease_holds_the_end_back),
    CONTRACT_CASE(a_message_nacked_at_the_end_still_comes),
    CONTRACT_CASE(leases_of_a_closed_handle_come_before_the_end),
    CONTRACT_CASE(dead_letters_do_not_hold_the_end_back),
    CONTRACT_CASE(the_end_wakes_all_who_wait_to_get),
    CONTRACT_CASE(the_end_wakes_all_who_wait_to_put),
    CONTRACT_CASE(who_comes_late_sees_the_end_too),
    CONTRACT_CASE(a_batch_before_the_end_comes_whole),
};
CONTRACT_GROUP(end);
