/* case_null.c -- P1: a null queue, for stages that need no source or no sink: always something to get, always room. */
#include "contract/contract.h"

static ptq_queue *open_null(struct contract *c)
{
    ptq_queue *queue = NULL;

    assert_ok(ptq_queue_open(c->bus, "!null", NULL, &queue));
    return queue;
}

static void a_null_source_always_has_an_empty_message_and_a_null_sink_always_room(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_null(c);
    char bytes[5000] = "";
    ptq_msg *msgs[10], *msg = NULL;
    size_t size = 9, count = 0;

    for (int i = 0; i < 10000; i++)
        assert_ok(ptq_put(queue, bytes, sizeof bytes, PTQ_NOWAIT));
    for (int i = 0; i < 10000; i++) {
        assert_ok(ptq_get(queue, PTQ_NOWAIT, &msg));
        assert_int_equal(ptq_msg_size(msg), 0);
        assert_int_equal(ptq_msg_deliveries(msg), 1);
        assert_int_equal(ptq_msg_header_count(msg), 0);
        assert_ok(i % 2 == 0 ? ptq_ack(msg) : ptq_nack(msg, 0));
    }
    assert_ok(ptq_recv(queue, bytes, 0, PTQ_NOWAIT, &size));
    assert_int_equal(size, 0);
    assert_ok(ptq_get_many(queue, msgs, 1, 10, PTQ_NOWAIT, &count));
    assert_int_equal(count, 10);
    assert_int_equal(contract_stats(queue).put, 10000);
    assert_int_equal(contract_stats(queue).ready, 0);
    ptq_queue_close(queue); /* leases go with it */
}

static void loans_and_batches_vanish_likewise(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_null(c);
    const struct ptq_bytes items[] = {{"a", 1}, {"b", 1}};
    uint64_t first = 0, second = 0;
    ptq_msg *loan = NULL, *kept = NULL;

    assert_ok(ptq_loan(queue, 100, PTQ_NOWAIT, &loan));
    memset(ptq_msg_buffer(loan), 1, 100);
    assert_ok(ptq_publish(loan, 100, PTQ_NOWAIT, &first));
    assert_ok(ptq_loan(queue, 100, PTQ_NOWAIT, &loan));
    ptq_abort(loan);
    assert_ok(ptq_loan(queue, 100, PTQ_NOWAIT, &kept));
    assert_ok(ptq_put_many(queue, items, 2, PTQ_NOWAIT, &second));

    assert_int_equal(second, first + 1);
    assert_int_equal(contract_stats(queue).put, 3);
    ptq_queue_close(queue);
}

static void it_is_of_one_handle_and_ends_there(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_null(c), *other = open_null(c), *again = NULL;
    char text[PTQ_REF_SIZE];
    uint64_t kicked = 9;
    int fd = -1;

    assert_ok(ptq_queue_fd(queue, PTQ_SIDE_GET, &fd));
    assert_true(ptt_wait_readable(fd, PTT_LONG));
    assert_ok(ptq_end(queue));
    assert_answer(PTQ_EALREADY, ptq_end(queue));
    assert_answer(PTQ_EENDED, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    assert_get(PTQ_END, queue);

    assert_ok(ptq_put(other, "x", 1, PTQ_NOWAIT));
    assert_ok(ptq_queue_kick(other, 0, &kicked));
    assert_int_equal(kicked, 0);
    assert_ok(ptq_queue_ref(other, text, sizeof text));
    assert_string_equal(text, "!null");
    assert_ok(ptq_queue_from_ref(c->bus, text, NULL, &again));
    assert_int_equal(ptt_scratch_files(&c->home, NULL), 0);
    ptq_queue_close(again);
    ptq_queue_close(other);
    ptq_queue_close(queue);
}

static void a_queue_called_null_is_a_queue(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "null", NULL);

    assert_get(PTQ_EMPTY, queue);
    put_number(queue, 5);
    assert_int_equal(recv_number(queue), 5);
    ptq_queue_close(queue);
}

static const struct contract_case null_cases[] = {
    CONTRACT_CASE(a_null_source_always_has_an_empty_message_and_a_null_sink_always_room),
    CONTRACT_CASE(loans_and_batches_vanish_likewise),
    CONTRACT_CASE(it_is_of_one_handle_and_ends_there),
    CONTRACT_CASE(a_queue_called_null_is_a_queue),
};
CONTRACT_GROUP(null);
