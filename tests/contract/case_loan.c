/* case_loan.c -- writing in place: loan, publish, abort. */
#include "contract/contract.h"

static ptq_msg *loan_number(ptq_queue *queue, uint64_t number)
{
    ptq_msg *loan = NULL;

    assert_ok(ptq_loan(queue, sizeof number, PTQ_NOWAIT, &loan));
    assert_non_null(ptq_msg_buffer(loan));
    memcpy(ptq_msg_buffer(loan), &number, sizeof number);
    return loan;
}

static void a_loan_is_seen_by_nobody_until_it_is_published(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    uint64_t position = 0;

    ptq_msg *loan = loan_number(queue, 5);
    assert_get(PTQ_EMPTY, queue);
    assert_int_equal(contract_stats(queue).ready, 0);
    put_number(queue, 4);
    assert_ok(ptq_publish(loan, sizeof(uint64_t), PTQ_NOWAIT, &position));

    assert_int_equal(recv_number(queue), 4);
    ptq_msg *msg = get_number(queue, 5);
    assert_int_equal(ptq_msg_position(msg), position);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void the_published_size_may_be_smaller_than_the_loan(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 4, 64);
    static const size_t sizes[] = {64, 63, 1, 0};

    for (size_t i = 0; i < 4; i++) {
        ptq_msg *loan = NULL, *msg = NULL;
        assert_ok(ptq_loan(queue, 64, PTQ_NOWAIT, &loan));
        contract_fill(ptq_msg_buffer(loan), 64, i);
        assert_ok(ptq_publish(loan, sizes[i], PTQ_NOWAIT, NULL));
        assert_ok(ptq_get(queue, PTT_LONG, &msg));
        assert_int_equal(ptq_msg_size(msg), sizes[i]);
        assert_true(contract_is_filled(ptq_msg_data(msg), sizes[i], i));
        assert_ok(ptq_ack(msg));
    }
    ptq_queue_close(queue);
}

static void a_loan_may_be_given_back(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 3, 64);

    for (int i = 0; i < 1000; i++)
        ptq_abort(loan_number(queue, 1));
    ptq_abort(NULL);

    assert_get(PTQ_EMPTY, queue);
    put_range(queue, 0, 3);
    assert_answer(PTQ_FULL, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void a_refused_publish_leaves_the_loan_with_the_caller(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 2, 64);

    ptq_msg *loan = loan_number(queue, 3);
    put_number(queue, 1);
    put_number(queue, 2);
    int64_t start = contract_now_ms();
    assert_answer(PTQ_FULL, ptq_publish(loan, 8, PTQ_NOWAIT, NULL));
    assert_answer(PTQ_TIMEDOUT, ptq_publish(loan, 8, 30, NULL));
    assert_true(contract_now_ms() - start >= 29);
    assert_int_equal(recv_number(queue), 1);
    assert_ok(ptq_publish(loan, 8, PTQ_NOWAIT, NULL));

    assert_int_equal(recv_number(queue), 2);
    assert_int_equal(recv_number(queue), 3);
    assert_get(PTQ_EMPTY, queue);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void a_loan_above_item_size_is_emsgsize(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 2, 64);
    ptq_msg *loan = NULL;

    assert_answer(PTQ_EMSGSIZE, ptq_loan(queue, 65, PTQ_FOREVER, &loan));
    assert_answer(PTQ_EMSGSIZE, ptq_loan(queue, SIZE_MAX, PTQ_FOREVER, &loan));
    assert_null(loan);
    assert_ok(ptq_loan(queue, 10, PTQ_NOWAIT, &loan));
    enum ptq_err err = ptq_publish(loan, 65, PTQ_NOWAIT, NULL); /* more than the loan, more than item_size */
    assert_true(err == PTQ_EMSGSIZE || err == PTQ_EINVAL);
    ptq_abort(loan);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void several_loans_may_be_out_and_published_in_any_order(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 8, 64);
    ptq_msg *loans[4];

    for (uint64_t i = 0; i < 4; i++)
        loans[i] = loan_number(queue, i);
    assert_ok(ptq_publish(loans[2], 8, PTQ_NOWAIT, NULL));
    ptq_abort(loans[1]);
    assert_ok(ptq_publish(loans[0], 8, PTQ_NOWAIT, NULL));
    assert_ok(ptq_publish(loans[3], 8, PTQ_NOWAIT, NULL));

    assert_int_equal(recv_number(queue), 2);
    assert_int_equal(recv_number(queue), 0);
    assert_int_equal(recv_number(queue), 3);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void loans_of_a_closed_handle_go_back(void **state)
{
    struct contract *c = *state;
    ptq_queue *keep = contract_open_sized(c, "tasks", 2, 64);

    for (int i = 0; i < 20; i++) {
        ptq_queue *queue = contract_open(c, "tasks", NULL);
        loan_number(queue, 1);
        ptq_queue_close(queue);
    }
    put_number(keep, 1);
    put_number(keep, 2);

    assert_answer(PTQ_FULL, ptq_put(keep, "x", 1, PTQ_NOWAIT));
    assert_int_equal(recv_number(keep), 1);
    assert_int_equal(recv_number(keep), 2);
    ptq_queue_close(keep);
    contract_verify(c, "tasks");
}

static const struct contract_case loan_cases[] = {
    CONTRACT_CASE(a_loan_is_seen_by_nobody_until_it_is_published),
    CONTRACT_CASE(the_published_size_may_be_smaller_than_the_loan),
    CONTRACT_CASE(a_loan_may_be_given_back),
    CONTRACT_CASE(a_refused_publish_leaves_the_loan_with_the_caller),
    CONTRACT_CASE(a_loan_above_item_size_is_emsgsize),
    CONTRACT_CASE(several_loans_may_be_out_and_published_in_any_order),
    CONTRACT_CASE(loans_of_a_closed_handle_go_back),
};
CONTRACT_GROUP(loan);
