/* case_pack.c -- packs: what PTQ_PIPELINE gathers, and what consumers see of it. */
#include <pthread.h>

#include "contract/contract.h"

static ptq_queue *open_pipe(struct contract *c, const char *name, uint64_t capacity)
{
    struct ptq_queue_options options = {.capacity = capacity, .item_size = 64, .max_deliveries = 3, .flags = PTQ_PIPELINE};

    return contract_open(c, name, &options);
}

static void a_flush_puts_what_was_gathered(void **state)
{
    struct contract *c = *state;
    ptq_queue *pipe = open_pipe(c, "tasks", 1000), *queue = contract_open(c, "tasks", NULL);

    assert_ok(ptq_flush(pipe, PTQ_NOWAIT));
    put_range(pipe, 0, 700);
    assert_ok(ptq_flush(pipe, PTT_LONG));
    assert_ok(ptq_flush(queue, PTQ_NOWAIT)); /* gathers nothing */
    assert_int_equal(contract_stats(queue).ready, 700);
    assert_int_equal(contract_stats(queue).put, 700);

    recv_range(queue, 0, 700);
    assert_get(PTQ_EMPTY, queue);
    assert_int_equal(contract_stats(queue).acked, 700);
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
    ptq_queue_close(pipe);
}

static void what_is_gathered_stays_in_order_with_all_else(void **state)
{
    struct contract *c = *state;
    ptq_queue *pipe = open_pipe(c, "tasks", 1000);
    uint64_t two[2] = {3, 4}, seven = 7;
    struct ptq_bytes items[2] = {{&two[0], 8}, {&two[1], 8}};
    struct ptq_put_options options = {.ttl_ms = 100000};
    ptq_msg *loan;

    put_range(pipe, 0, 3);
    assert_ok(ptq_put_many(pipe, items, 2, PTT_LONG, NULL));
    put_number(pipe, 5);
    assert_ok(ptq_loan(pipe, 8, PTT_LONG, &loan));
    memcpy(ptq_msg_buffer(loan), &(uint64_t){6}, 8);
    assert_ok(ptq_publish(loan, 8, PTT_LONG, NULL));
    assert_ok(ptq_put_with(pipe, &seven, 8, &options, PTT_LONG));
    put_number(pipe, 8);
    assert_ok(ptq_end(pipe));

    recv_range(pipe, 0, 9);
    assert_get(PTQ_END, pipe);
    contract_verify(c, "tasks");
    ptq_queue_close(pipe);
}

static void close_and_a_get_of_ones_own_flush(void **state)
{
    struct contract *c = *state;
    ptq_queue *pipe = open_pipe(c, "tasks", 1000), *queue;

    put_number(pipe, 1);
    assert_int_equal(recv_number(pipe), 1); /* else who talks to himself would wait for ever */
    put_number(pipe, 2);
    ptq_queue_close(pipe);

    queue = contract_open(c, "tasks", NULL);
    assert_int_equal(recv_number(queue), 2);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void capacity_counts_the_messages_of_packs(void **state)
{
    struct contract *c = *state;
    contract_skip_if(c, DIFFERENCE_pipeline_does_not_gather);
    ptq_queue *pipe = open_pipe(c, "tasks", 10), *queue = contract_open(c, "tasks", NULL);
    uint64_t number = 0;
    enum ptq_err err;

    while ((err = ptq_put(pipe, &number, 8, PTQ_NOWAIT)) == PTQ_OK && number < 100)
        number++;
    assert_answer(PTQ_FULL, err);
    assert_int_equal(contract_stats(queue).ready, 10);
    assert_int_equal(number, 15); /* and half a capacity that is gathered */
    assert_answer(PTQ_FULL, ptq_flush(pipe, PTQ_NOWAIT));
    assert_answer(PTQ_FULL, ptq_end(pipe));

    for (uint64_t i = 0; i < number; i++) {
        assert_int_equal(recv_number(queue), i);
        (void)!ptq_flush(pipe, PTQ_NOWAIT);
    }
    assert_ok(ptq_flush(pipe, PTQ_NOWAIT));
    assert_get(PTQ_EMPTY, queue);
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
    ptq_queue_close(pipe);
}

static void records_have_one_position_and_a_sub_each(void **state)
{
    struct contract *c = *state;
    contract_skip_if(c, DIFFERENCE_pipeline_does_not_gather);
    ptq_queue *pipe = open_pipe(c, "tasks", 1000);
    ptq_msg *msgs[5];
    size_t count;

    put_range(pipe, 0, 5);
    assert_ok(ptq_flush(pipe, PTT_LONG));
    assert_ok(ptq_get_many(pipe, msgs, 5, 5, PTT_LONG, &count));

    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(number_of(msgs[i]), i);
        assert_int_equal(ptq_msg_position(msgs[i]), ptq_msg_position(msgs[0]));
        assert_int_equal(ptq_msg_sub(msgs[i]), i);
        assert_int_equal(ptq_msg_deliveries(msgs[i]), 1);
        assert_int_equal((uintptr_t)ptq_msg_data(msgs[i]) % 8, 0);
    }
    for (int i = 4; i >= 0; i--) { /* out of order: they wait for the first */
        assert_int_equal(contract_stats(pipe).acked, 0);
        assert_ok(ptq_ack(msgs[i]));
    }
    assert_int_equal(contract_stats(pipe).acked, 5);
    assert_int_equal(contract_stats(pipe).leased, 0);
    contract_verify(c, "tasks");
    ptq_queue_close(pipe);
}

static void nack_gives_back_a_record_and_all_after_it(void **state)
{
    struct contract *c = *state;
    contract_skip_if(c, DIFFERENCE_pipeline_does_not_gather);
    ptq_queue *pipe = open_pipe(c, "tasks", 1000);
    ptq_msg *msgs[6], *again;
    size_t count;

    put_range(pipe, 0, 8);
    assert_ok(ptq_flush(pipe, PTT_LONG));
    assert_ok(ptq_get_many(pipe, msgs, 6, 6, PTT_LONG, &count));
    assert_ok(ptq_ack(msgs[0]));
    assert_ok(ptq_nack(msgs[2], 0));
    assert_get(PTQ_EMPTY, pipe); /* while the caller holds others of it */
    assert_answer(PTQ_ELEASELOST, ptq_ack(msgs[4]));
    assert_ok(ptq_ack(msgs[1]));
    assert_answer(PTQ_ELEASELOST, ptq_ack(msgs[3]));
    assert_answer(PTQ_ELEASELOST, ptq_ack(msgs[5]));

    for (uint64_t i = 2; i < 8; i++) {
        again = get_number(pipe, i);
        assert_int_equal(ptq_msg_sub(again), i);
        assert_int_equal(ptq_msg_redelivered(again), i < 6);
        assert_int_equal(ptq_msg_deliveries(again), i < 6 ? 2 : 1);
        assert_ok(ptq_ack(again));
    }
    assert_get(PTQ_EMPTY, pipe);
    contract_verify(c, "tasks");
    ptq_queue_close(pipe);
}

static void what_is_short_of_a_minimum_goes_back_into_its_pack_uncounted(void **state)
{
    struct contract *c = *state;
    ptq_queue *pipe = open_pipe(c, "tasks", 1000);
    ptq_msg *msgs[8];
    size_t count;

    put_range(pipe, 0, 4);
    assert_ok(ptq_flush(pipe, PTT_LONG));
    for (int round = 0; round < 5; round++)
        assert_answer(PTQ_EMPTY, ptq_get_many(pipe, msgs, 5, 8, PTQ_NOWAIT, &count));
    assert_ok(ptq_get_many(pipe, msgs, 4, 8, PTT_LONG, &count));
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(number_of(msgs[i]), i);
        assert_int_equal(ptq_msg_deliveries(msgs[i]), 1);
        assert_false(ptq_msg_redelivered(msgs[i]));
        assert_ok(ptq_ack(msgs[i]));
    }
    contract_verify(c, "tasks");
    ptq_queue_close(pipe);
}

static void only_the_record_at_the_watermark_becomes_a_dead_letter(void **state)
{
    struct contract *c = *state;
    ptq_queue *pipe = open_pipe(c, "tasks", 1000);
    ptq_msg *msg;

    put_range(pipe, 0, 4);
    assert_ok(ptq_flush(pipe, PTT_LONG));
    assert_int_equal(recv_number(pipe), 0);
    for (int round = 0; round < 3; round++) {
        msg = get_number(pipe, 1);
        assert_int_equal(ptq_msg_deliveries(msg), round + 1);
        assert_ok(ptq_nack(msg, 0));
    }

    msg = get_number(pipe, 2);
    assert_int_equal(ptq_msg_deliveries(msg), 1);
    assert_ok(ptq_ack(msg));
    assert_int_equal(recv_number(pipe), 3);
    assert_int_equal(contract_stats(pipe).dead, 1);
    assert_int_equal(contract_stats(pipe).acked, 3);
    contract_verify(c, "tasks");
    ptq_queue_close(pipe);
}

static void a_close_returns_what_was_not_handed_out_unflagged(void **state)
{
    struct contract *c = *state;
    ptq_queue *pipe = open_pipe(c, "tasks", 1000), *queue;
    ptq_msg *msg;

    put_range(pipe, 0, 6);
    assert_ok(ptq_flush(pipe, PTT_LONG));
    queue = contract_open(c, "tasks", NULL);
    assert_int_equal(recv_number(queue), 0);
    ptq_queue_close(queue);
    queue = contract_open(c, "tasks", NULL);
    msg = get_number(queue, 1);
    assert_false(ptq_msg_redelivered(msg));
    assert_int_equal(ptq_msg_deliveries(msg), 1);
    ptq_queue_close(queue); /* with a lease */

    for (uint64_t i = 1; i < 6; i++) {
        msg = get_number(pipe, i);
        assert_int_equal(ptq_msg_redelivered(msg), i == 1);
        assert_ok(ptq_ack(msg));
    }
    contract_verify(c, "tasks");
    ptq_queue_close(pipe);
}

static void purge_drops_what_is_not_done_of_a_pack(void **state)
{
    struct contract *c = *state;
    ptq_queue *pipe = open_pipe(c, "tasks", 1000), *queue = contract_open(c, "tasks", NULL);
    uint64_t count;

    put_range(pipe, 0, 6);
    assert_ok(ptq_flush(pipe, PTT_LONG));
    assert_int_equal(recv_number(queue), 0);
    assert_int_equal(recv_number(queue), 1);
    ptq_queue_close(queue);
    assert_ok(ptq_queue_purge(pipe, &count));

    assert_int_equal(count, 4);
    assert_int_equal(contract_stats(pipe).dropped, 4);
    assert_int_equal(contract_stats(pipe).acked, 2);
    assert_get(PTQ_EMPTY, pipe);
    contract_verify(c, "tasks");
    ptq_queue_close(pipe);
}

static void one_exclusive_producer_at_a_time(void **state)
{
    struct contract *c = *state;
    struct ptq_error error;
    struct ptq_queue_options options = {.flags = PTQ_EXCLUSIVE, .error = &error};
    ptq_queue *first, *second, *plain = contract_open(c, "tasks", NULL);

    if (contract_differs(c, DIFFERENCE_exclusive_is_of_its_host)) {
        assert_answer(PTQ_EINVAL, ptq_queue_open(c->bus, contract_address(c, "tasks"), &options, &first));
        ptq_queue_close(plain);
        return;
    }
    assert_ok(ptq_queue_open(c->bus, "tasks", &options, &first));
    assert_answer(PTQ_EBUSY, ptq_queue_open(c->bus, "tasks", &options, &second));
    assert_non_null(strstr(error.text, "exclusive producer"));
    put_number(first, 1);
    assert_int_equal(recv_number(plain), 1);
    ptq_queue_close(first);
    assert_ok(ptq_queue_open(c->bus, "tasks", &options, &second));
    ptq_queue_close(second);
    ptq_queue_close(plain);
    contract_verify(c, "tasks");
}

static void packs_are_refused_where_they_cannot_be_honest(void **state)
{
    struct contract *c = *state;
    struct ptq_error error;
    struct ptq_queue_options options = {.lease_ms = 1000, .flags = PTQ_PIPELINE, .error = &error};
    ptq_queue *queue;

    contract_skip_if(c, DIFFERENCE_pipeline_does_not_gather);
    assert_answer(PTQ_EINVAL, ptq_queue_open(c->bus, "limited", &options, &queue));
    assert_non_null(strstr(error.text, "lease_ms 1000"));
    options = (struct ptq_queue_options){.ttl_ms = 10, .expired_to_dead = true, .flags = PTQ_PIPELINE, .error = &error};
    assert_answer(PTQ_EINVAL, ptq_queue_open(c->bus, "expiring", &options, &queue));
}

struct other_thread {
    ptq_queue *queue;
    ptq_msg *msgs[8];
    enum ptq_err answers[8];
};

static void *put_and_leave(void *context)
{
    struct other_thread *other = context;
    uint64_t number = 1;

    other->answers[0] = ptq_put(other->queue, &number, 8, PTQ_NOWAIT);
    return NULL;
}

static void *ack_all(void *context)
{
    struct other_thread *other = context;

    for (int i = 0; i < 8; i++)
        other->answers[i] = ptq_ack(other->msgs[i]);
    return NULL;
}

static void records_are_acked_and_flushed_by_other_threads_too(void **state)
{
    struct contract *c = *state;
    ptq_queue *pipe = open_pipe(c, "tasks", 1000);
    struct other_thread other = {.queue = pipe};
    pthread_t thread;
    size_t count;

    assert_int_equal(pthread_create(&thread, NULL, put_and_leave, &other), 0);
    pthread_join(thread, NULL);
    assert_ok(other.answers[0]);
    assert_ok(ptq_flush(pipe, PTT_LONG));
    assert_int_equal(recv_number(pipe), 1);

    put_range(pipe, 0, 10);
    assert_ok(ptq_flush(pipe, PTT_LONG));
    assert_ok(ptq_get_many(pipe, other.msgs, 8, 8, PTT_LONG, &count));
    assert_int_equal(pthread_create(&thread, NULL, ack_all, &other), 0);
    pthread_join(thread, NULL);
    for (int i = 0; i < 8; i++)
        assert_ok(other.answers[i]);
    assert_int_equal(recv_number(pipe), 8);
    assert_int_equal(recv_number(pipe), 9);
    assert_get(PTQ_EMPTY, pipe);
    contract_verify(c, "tasks");
    ptq_queue_close(pipe);
}

static void an_ack_of_many_settles_records_in_any_order(void **state)
{
    struct contract *c = *state;
    ptq_queue *pipe = open_pipe(c, "tasks", 1000);
    ptq_msg *msgs[10], *order[10];
    size_t count;

    put_range(pipe, 0, 10);
    assert_ok(ptq_flush(pipe, PTT_LONG));
    assert_ok(ptq_get_many(pipe, msgs, 10, 10, PTT_LONG, &count));
    assert_ok(ptq_ack_many(msgs, 3));
    assert_int_equal(contract_stats(pipe).acked, 3);
    for (int i = 0; i < 4; i++)
        order[i] = msgs[6 - i]; /* 6 5 4 3 */
    assert_ok(ptq_ack_many(order, 4));
    assert_int_equal(contract_stats(pipe).acked, 7);
    assert_ok(ptq_ack_many(msgs + 7, 3));

    assert_int_equal(contract_stats(pipe).acked, 10);
    assert_int_equal(contract_stats(pipe).leased, 0);
    assert_get(PTQ_EMPTY, pipe);
    contract_verify(c, "tasks");
    ptq_queue_close(pipe);
}

static void an_ack_of_many_tells_of_records_that_were_given_back(void **state)
{
    struct contract *c = *state;
    contract_skip_if(c, DIFFERENCE_pipeline_does_not_gather);
    ptq_queue *pipe = open_pipe(c, "tasks", 1000);
    ptq_msg *msgs[6], *held[5];
    size_t count;

    put_range(pipe, 0, 6);
    assert_ok(ptq_flush(pipe, PTT_LONG));
    assert_ok(ptq_get_many(pipe, msgs, 6, 6, PTT_LONG, &count));
    assert_ok(ptq_nack(msgs[2], 0));
    for (int i = 0; i < 5; i++)
        held[i] = msgs[i < 2 ? i : i + 1];
    assert_answer(PTQ_ELEASELOST, ptq_ack_many(held, 5));

    recv_range(pipe, 2, 6);
    assert_get(PTQ_EMPTY, pipe);
    assert_int_equal(contract_stats(pipe).acked, 6);
    contract_verify(c, "tasks");
    ptq_queue_close(pipe);
}

static enum ptq_err put_numbers(ptq_queue *queue, uint64_t first, size_t count, int timeout_ms, uint64_t *ret_position)
{
    static uint64_t numbers[600];
    static struct ptq_bytes items[600];

    for (size_t i = 0; i < count; i++) {
        numbers[i] = first + i;
        items[i] = (struct ptq_bytes){&numbers[i], 8};
    }
    return ptq_put_many(queue, items, count, timeout_ms, ret_position);
}

static void a_batch_of_small_ones_is_in_at_once_with_its_position(void **state)
{
    struct contract *c = *state;
    ptq_queue *pipe = open_pipe(c, "tasks", 2000);
    ptq_msg *msgs[5];
    uint64_t position = 0;
    size_t count;

    put_number(pipe, 0);
    assert_ok(put_numbers(pipe, 1, 5, PTQ_NOWAIT, &position));
    assert_int_equal(contract_stats(pipe).ready, 6); /* nobody flushed */
    assert_int_equal(recv_number(pipe), 0);
    assert_ok(ptq_get_many(pipe, msgs, 5, 5, PTT_LONG, &count));
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(number_of(msgs[i]), 1 + i);
        assert_int_equal(ptq_msg_position(msgs[i]), position);
        assert_int_equal(ptq_msg_sub(msgs[i]), i);
    }
    assert_ok(ptq_ack_many(msgs, 5));
    for (size_t n = 1; n <= 600; n += 37) { /* and those that are too many for a pack */
        assert_ok(put_numbers(pipe, n, n, PTT_LONG, &position));
        recv_range(pipe, n, 2 * n);
    }
    assert_get(PTQ_EMPTY, pipe);
    contract_verify(c, "tasks");
    ptq_queue_close(pipe);
}

/* More than a pack holds: several, all or none, under one position. */
static void a_batch_of_many_small_ones_is_told_apart_by_sub(void **state)
{
    struct contract *c = *state;
    ptq_queue *pipe = open_pipe(c, "tasks", 2000), *queue = contract_open(c, "tasks", NULL);
    static ptq_msg *msgs[600];
    uint64_t position = 0;
    size_t count, more;

    assert_ok(put_numbers(pipe, 0, 600, PTT_LONG, &position));
    assert_ok(put_numbers(pipe, 600, 3, PTT_LONG, NULL));
    assert_int_equal(contract_stats(queue).ready, 603);
    assert_ok(ptq_get_many(queue, msgs, 1, 290, PTT_LONG, &count));
    assert_int_equal(count, 290);
    assert_ok(ptq_get_many(queue, msgs + 290, 310, 310, PTT_LONG, &more));
    for (uint32_t i = 0; i < 600; i++) {
        assert_int_equal(number_of(msgs[i]), i);
        assert_int_equal(ptq_msg_position(msgs[i]), position);
        assert_int_equal(ptq_msg_sub(msgs[i]), i);
    }
    for (size_t i = 600; i-- > 400;) /* from the end: each waits for those before it */
        assert_ok(ptq_ack(msgs[i]));
    assert_ok(ptq_ack_many(msgs, 400));
    recv_range(queue, 600, 603);
    assert_get(PTQ_EMPTY, queue);
    assert_int_equal(contract_stats(queue).acked, 603);
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
    ptq_queue_close(pipe);
}

static void what_is_too_long_for_a_pack_stands_between_packs(void **state)
{
    struct contract *c = *state;
    ptq_queue *pipe = contract_open(c, "tasks", &(struct ptq_queue_options){.capacity = 1000, .item_size = 240, .pack_size = 250,
                                                                            .flags = PTQ_PIPELINE});
    static uint64_t values[200][30];
    struct ptq_bytes items[200];
    uint64_t got[30];
    size_t size;

    for (uint64_t round = 0; round < 20; round++) {
        for (uint64_t i = 0; i < 200; i++) { /* long ones alone, and at the end, and behind each other */
            values[i][0] = i;
            items[i] = (struct ptq_bytes){values[i], i % 7 > 4 || i == 199 ? 240 : 8 + 8 * (i % 3)};
        }
        assert_ok(ptq_put_many(pipe, items, 200, PTT_LONG, NULL));
        for (uint64_t i = 0; i < 200; i++) {
            assert_ok(ptq_recv(pipe, got, sizeof got, PTT_LONG, &size));
            assert_int_equal(got[0], i);
            assert_int_equal(size, items[i].size);
        }
    }
    assert_get(PTQ_EMPTY, pipe);
    contract_verify(c, "tasks");
    ptq_queue_close(pipe);
}

static void what_is_given_back_of_a_batch_of_packs_comes_again_in_order(void **state)
{
    struct contract *c = *state;
    ptq_queue *pipe = open_pipe(c, "tasks", 2000), *queue = contract_open(c, "tasks", NULL);
    static ptq_msg *msgs[600];
    size_t count;

    assert_ok(put_numbers(pipe, 0, 600, PTT_LONG, NULL));
    assert_ok(ptq_get_many(queue, msgs, 600, 600, PTT_LONG, &count));
    for (size_t i = 600; i-- > 300;)
        assert_ok(ptq_nack(msgs[i], 0));
    for (size_t i = 0; i < 300; i++)
        (void)!ptq_ack(msgs[i]); /* of a pack that goes back what is behind the nack goes along */
    uint64_t first = 600 - contract_stats(queue).ready;
    assert_true(first <= 300);
    recv_range(queue, first, 600);
    assert_get(PTQ_EMPTY, queue);
    assert_int_equal(contract_stats(queue).acked, 600);
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
    ptq_queue_close(pipe);
}

static void a_batch_of_small_ones_that_cannot_go_in_changes_nothing(void **state)
{
    struct contract *c = *state;
    ptq_queue *pipe = open_pipe(c, "tasks", 20), *queue = contract_open(c, "tasks", NULL);
    struct ptq_bytes wrong[3] = {{"a", 1}, {NULL, 4}, {"c", 1}};
    char large[100] = {0};

    assert_answer(PTQ_EINVAL, ptq_put_many(pipe, wrong, 3, PTQ_NOWAIT, NULL));
    wrong[1] = (struct ptq_bytes){large, sizeof large};
    assert_answer(PTQ_EMSGSIZE, ptq_put_many(pipe, wrong, 3, PTQ_NOWAIT, NULL));
    assert_ok(put_numbers(pipe, 0, 8, PTQ_NOWAIT, NULL));
    assert_ok(put_numbers(pipe, 8, 8, PTQ_NOWAIT, NULL));
    for (int round = 0; round < 40; round++) /* no block is lost by it */
        assert_answer(PTQ_FULL, put_numbers(pipe, 16, 8, PTQ_NOWAIT, NULL));
    assert_answer(PTQ_TIMEDOUT, put_numbers(pipe, 16, 8, 10, NULL));
    assert_int_equal(contract_stats(queue).ready, 16);
    assert_ok(put_numbers(pipe, 16, 4, PTQ_NOWAIT, NULL));

    recv_range(queue, 0, 20);
    assert_get(PTQ_EMPTY, queue);
    assert_ok(ptq_end(queue));
    assert_answer(PTQ_EENDED, put_numbers(pipe, 0, 8, PTQ_NOWAIT, NULL));
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
    ptq_queue_close(pipe);
}

static void many_packs_through_a_small_queue_stay_in_order(void **state)
{
    struct contract *c = *state;
    ptq_queue *pipe = open_pipe(c, "tasks", 600), *queue = contract_open(c, "tasks", NULL);
    uint64_t put = 0, got = 0;

    while (got < 20000) { /* more unacked at once than a unit has objects of its own; lengths that fit no pack twice */
        ptq_msg *msgs[500];
        size_t count;

        put_number(pipe, put++);
        assert_ok(put_numbers(pipe, put, 250, PTT_LONG, NULL));
        assert_ok(put_numbers(pipe, put + 250, 249, PTT_LONG, NULL));
        put += 499;
        assert_ok(ptq_get_many(queue, msgs, 500, 500, PTT_LONG, &count));
        for (size_t i = 0; i < count; i++)
            assert_int_equal(number_of(msgs[i]), got + i);
        assert_ok(ptq_ack_many(msgs + 100, 300)); /* those before are not done yet */
        assert_ok(ptq_ack_many(msgs, 100));
        assert_ok(ptq_ack_many(msgs + 400, 100));
        got += count;
    }
    assert_int_equal(contract_stats(queue).acked, put);
    assert_int_equal(contract_stats(queue).leased, 0);
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
    ptq_queue_close(pipe);
}

/* Its ack overtook; the one before it was given back and took it along. */
static void what_was_received_behind_one_that_is_given_back_comes_again_flagged(void **state)
{
    struct contract *c = *state;
    ptq_msg *msg;

    contract_skip_if(c, DIFFERENCE_pipeline_does_not_gather);
    ptq_queue *pipe = open_pipe(c, "tasks", 1000);
    put_range(pipe, 0, 3);
    assert_ok(ptq_flush(pipe, PTT_LONG));
    msg = get_number(pipe, 0);
    assert_int_equal(recv_number(pipe), 1);
    assert_ok(ptq_nack(msg, 0));

    for (uint64_t i = 0; i < 3; i++) {
        assert_ok(ptq_get(pipe, PTT_LONG, &msg));
        assert_int_equal(number_of(msg), i);
        if (i < 2)
            assert_true(ptq_msg_redelivered(msg));
        assert_ok(ptq_ack(msg));
    }
    contract_verify(c, "tasks");
    ptq_queue_close(pipe);
}

static const struct contract_case pack_cases[] = {
    CONTRACT_CASE(a_flush_puts_what_was_gathered),
    CONTRACT_CASE(what_is_gathered_stays_in_order_with_all_else),
    CONTRACT_CASE(close_and_a_get_of_ones_own_flush),
    CONTRACT_CASE(capacity_counts_the_messages_of_packs),
    CONTRACT_CASE(records_have_one_position_and_a_sub_each),
    CONTRACT_CASE(nack_gives_back_a_record_and_all_after_it),
    CONTRACT_CASE(what_is_short_of_a_minimum_goes_back_into_its_pack_uncounted),
    CONTRACT_CASE(only_the_record_at_the_watermark_becomes_a_dead_letter),
    CONTRACT_CASE(a_close_returns_what_was_not_handed_out_unflagged),
    CONTRACT_CASE(purge_drops_what_is_not_done_of_a_pack),
    CONTRACT_CASE(one_exclusive_producer_at_a_time),
    CONTRACT_CASE(packs_are_refused_where_they_cannot_be_honest),
    CONTRACT_CASE(records_are_acked_and_flushed_by_other_threads_too),
    CONTRACT_CASE(an_ack_of_many_settles_records_in_any_order),
    CONTRACT_CASE(a_batch_of_small_ones_is_in_at_once_with_its_position),
    CONTRACT_CASE(a_batch_of_many_small_ones_is_told_apart_by_sub),
    CONTRACT_CASE(what_is_too_long_for_a_pack_stands_between_packs),
    CONTRACT_CASE(what_is_given_back_of_a_batch_of_packs_comes_again_in_order),
    CONTRACT_CASE(a_batch_of_small_ones_that_cannot_go_in_changes_nothing),
    CONTRACT_CASE(many_packs_through_a_small_queue_stay_in_order),
    CONTRACT_CASE(an_ack_of_many_tells_of_records_that_were_given_back),
    CONTRACT_CASE(what_was_received_behind_one_that_is_given_back_comes_again_flagged),
};
CONTRACT_GROUP(pack);
