/* memory_unit.c -- open units: small puts of a PTQ_EXCLUSIVE producer on a queue for packs, each in the queue at once. */
#include <pthread.h>

#include "contract/contract.h"

static ptq_queue *open_with(struct contract *c, struct ptq_queue_options options)
{
    options.flags |= PTQ_EXCLUSIVE;
    options.item_size = 64;
    options.pack_size = 1024;
    options.max_deliveries = 3;
    return contract_open(c, "tasks", &options);
}

static ptq_queue *open_exclusive(struct contract *c, uint64_t capacity)
{
    return open_with(c, (struct ptq_queue_options){.capacity = capacity});
}

static uint64_t put_at(ptq_queue *queue, uint64_t number)
{
    uint64_t position = 0;

    assert_ok(ptq_put_position(queue, &number, 8, PTQ_NOWAIT, &position));
    return position;
}

/* Entries of the ring: what is added to a unit takes none. */
static uint64_t entries(ptq_queue *queue)
{
    struct ptq_queue_stats stats = contract_stats(queue);

    return stats.tail - stats.head;
}

static void each_put_is_in_the_queue_when_it_returns(void **state)
{
    struct contract *c = *state;
    ptq_queue *producer = open_exclusive(c, 1000), *queue = contract_open(c, "tasks", NULL);

    for (uint64_t i = 0; i < 200; i++) {
        put_number(producer, i);
        assert_int_equal(contract_stats(queue).ready, i + 1);
        assert_int_equal(contract_stats(queue).put, i + 1);
    }
    assert_true(entries(queue) < 10); /* 64 of 16 bytes each fit a unit */
    contract_verify(c, "tasks");

    recv_range(queue, 0, 200);
    assert_get(PTQ_EMPTY, queue);
    assert_int_equal(contract_stats(queue).acked, 200);
    assert_int_equal(contract_stats(queue).put, 200);
    assert_int_equal(contract_stats(queue).taken, 200);
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
    ptq_queue_close(producer);
    contract_verify(c, "tasks");
}

static void a_lease_closes_the_unit_and_the_next_put_begins_another(void **state)
{
    struct contract *c = *state;
    ptq_queue *producer = open_exclusive(c, 1000), *queue = contract_open(c, "tasks", NULL);
    uint64_t first = put_at(producer, 0), second;
    ptq_msg *msg;

    assert_int_equal(put_at(producer, 1), first);
    msg = get_number(queue, 0);
    second = put_at(producer, 2);
    assert_int_equal(second, first + 1);
    assert_int_equal(put_at(producer, 3), second);
    contract_verify(c, "tasks");

    assert_ok(ptq_ack(msg));
    recv_range(queue, 1, 4);
    assert_int_equal(put_at(producer, 4), second + 1); /* the block of the last is home by now */
    assert_int_equal(recv_number(queue), 4);
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
    ptq_queue_close(producer);
}

static void puts_keep_their_order_with_those_of_others(void **state)
{
    struct contract *c = *state;
    ptq_queue *producer = open_exclusive(c, 1000), *other = contract_open(c, "tasks", NULL);
    uint64_t two[2] = {20, 21};
    struct ptq_bytes items[2] = {{&two[0], 8}, {&two[1], 8}};
    struct ptq_put_options options = {.ttl_ms = 100000};
    ptq_msg *loan;

    for (uint64_t i = 0; i < 18; i++)
        put_number(i % 3 == 2 ? other : producer, i);
    assert_ok(ptq_put_with(producer, &(uint64_t){18}, 8, &options, PTT_LONG));
    put_number(producer, 19);
    assert_ok(ptq_put_many(producer, items, 2, PTT_LONG, NULL));
    put_number(producer, 22);
    assert_ok(ptq_loan(producer, 8, PTT_LONG, &loan));
    memcpy(ptq_msg_buffer(loan), &(uint64_t){24}, 8);
    put_number(producer, 23);
    assert_ok(ptq_publish(loan, 8, PTT_LONG, NULL));
    put_number(producer, 25);

    recv_range(other, 0, 26);
    assert_get(PTQ_EMPTY, other);
    contract_verify(c, "tasks");
    ptq_queue_close(other);
    ptq_queue_close(producer);
}

struct thread {
    ptq_queue *queue;
    uint64_t number;
    enum ptq_err answer;
};

static void *put_one(void *context)
{
    struct thread *thread = context;

    thread->answer = ptq_put(thread->queue, &thread->number, 8, PTQ_NOWAIT);
    return NULL;
}

static void threads_of_the_handle_keep_the_order_of_their_puts(void **state)
{
    struct contract *c = *state;
    ptq_queue *producer = open_exclusive(c, 1000);
    struct thread thread = {.queue = producer};
    pthread_t id;

    for (uint64_t i = 0; i < 20; i += 2) {
        put_number(producer, i);
        thread.number = i + 1;
        assert_int_equal(pthread_create(&id, NULL, put_one, &thread), 0);
        pthread_join(id, NULL);
        assert_ok(thread.answer);
    }
    recv_range(producer, 0, 20);
    contract_verify(c, "tasks");
    ptq_queue_close(producer);
}

static void a_put_after_an_end_by_another_is_refused_and_nothing_before_it_lost(void **state)
{
    struct contract *c = *state;
    ptq_queue *producer = open_exclusive(c, 1000), *queue = contract_open(c, "tasks", NULL);
    uint64_t number = 9;

    put_range(producer, 0, 5);
    assert_ok(ptq_end(queue));
    assert_answer(PTQ_EENDED, ptq_put(producer, &number, 8, PTQ_NOWAIT));

    recv_range(queue, 0, 5);
    assert_get(PTQ_END, queue);
    assert_answer(PTQ_EENDED, ptq_put(producer, &number, 8, PTQ_NOWAIT));
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
    ptq_queue_close(producer);
}

static void capacity_is_exact(void **state)
{
    struct contract *c = *state;
    ptq_queue *producer = open_exclusive(c, 10), *queue = contract_open(c, "tasks", NULL);
    uint64_t number = 0, got = 0;

    for (unsigned round = 0; round < 20; round++) {
        enum ptq_err err;

        while ((err = ptq_put(producer, &number, 8, PTQ_NOWAIT)) == PTQ_OK)
            number++;
        assert_answer(PTQ_FULL, err);
        assert_int_equal(contract_stats(queue).ready, 10);
        assert_answer(PTQ_FULL, ptq_put(queue, &number, 8, PTQ_NOWAIT)); /* an ordinary producer counts them too */
        for (unsigned i = 0; i <= round % 7; i++)
            assert_int_equal(recv_number(queue), got++);
    }
    while (got < number)
        assert_int_equal(recv_number(queue), got++);
    assert_get(PTQ_EMPTY, queue);
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
    ptq_queue_close(producer);
}

static void a_full_queue_blocks_and_drops_as_it_says(void **state)
{
    struct contract *c = *state;
    ptq_queue *producer = open_with(c, (struct ptq_queue_options){.capacity = 8, .full = PTQ_FULL_DROP_OLDEST});
    struct ptq_queue_stats stats;
    uint64_t last = 0;

    for (uint64_t i = 1; i <= 100; i++) {
        put_number(producer, i);
        assert_true(contract_stats(producer).ready <= 8);
    }
    stats = contract_stats(producer);
    assert_int_equal(stats.put, 100);
    assert_int_equal(stats.dropped_by[PTQ_DROP_OLDEST], 100 - stats.ready);
    for (uint64_t i = 0; i < stats.ready; i++) {
        uint64_t number = recv_number(producer);

        assert_true(number > last);
        last = number;
    }
    assert_int_equal(last, 100);
    contract_verify(c, "tasks");
    ptq_queue_close(producer);
}

static void a_blocked_put_goes_on_when_there_is_room(void **state)
{
    struct contract *c = *state;
    ptq_queue *producer = open_exclusive(c, 4), *queue = contract_open(c, "tasks", NULL);
    struct caller caller = {.call = call_put, .queue = producer, .timeout_ms = PTT_LONG, .number = 4};

    put_range(producer, 0, 4);
    caller_start_sleeping(&caller);
    recv_range(queue, 0, 4);
    assert_ok(caller_join(&caller));
    assert_int_equal(recv_number(queue), 4);
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
    ptq_queue_close(producer);
}

static void a_sleeper_is_woken_by_each_put(void **state)
{
    struct contract *c = *state;
    ptq_queue *producer = open_exclusive(c, 100), *queue = contract_open(c, "tasks", NULL);

    for (uint64_t i = 0; i < 20; i++) {
        struct caller caller = {.call = call_get, .queue = queue, .timeout_ms = PTT_LONG};

        caller_start_sleeping(&caller);
        put_number(producer, i);
        assert_ok(caller_join(&caller));
        assert_int_equal(caller.number, i);
    }
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
    ptq_queue_close(producer);
}

static void while_somebody_sleeps_each_put_is_an_entry_of_its_own(void **state)
{
    struct contract *c = *state;
    ptq_queue *producer = open_exclusive(c, 100), *queue = contract_open(c, "tasks", NULL);
    struct caller callers[3];

    for (unsigned i = 0; i < 3; i++) {
        callers[i] = (struct caller){.call = call_get, .queue = queue, .timeout_ms = PTT_LONG};
        caller_start_sleeping(&callers[i]);
    }
    put_range(producer, 0, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_ok(caller_join(&callers[i])); /* one does not take it all, and works on the first of it */
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
    ptq_queue_close(producer);
}

static void a_descriptor_tells_of_units(void **state)
{
    struct contract *c = *state;
    ptq_queue *producer = open_exclusive(c, 100), *queue = contract_open(c, "tasks", NULL);
    int fd;

    assert_ok(ptq_queue_fd(queue, PTQ_SIDE_GET, &fd));
    assert_get(PTQ_EMPTY, queue);
    assert_true(contract_becomes_quiet(queue, fd));
    for (uint64_t i = 0; i < 30; i += 3) {
        put_range(producer, i, i + 3);
        assert_true(ptt_wait_readable(fd, PTT_LONG));
        recv_range(queue, i, i + 3);
        assert_get(PTQ_EMPTY, queue);
    }
    ptq_queue_close(queue);
    ptq_queue_close(producer);
}

static void nacks_and_closes_redeliver_as_of_a_pack(void **state)
{
    struct contract *c = *state;
    ptq_queue *producer = open_exclusive(c, 100), *queue = contract_open(c, "tasks", NULL);
    ptq_msg *msgs[6], *msg;
    size_t count;

    put_range(producer, 0, 6);
    assert_ok(ptq_get_many(queue, msgs, 4, 4, PTQ_NOWAIT, &count));
    assert_ok(ptq_ack(msgs[0]));
    assert_ok(ptq_nack(msgs[2], 0));
    assert_ok(ptq_ack(msgs[1]));
    assert_answer(PTQ_ELEASELOST, ptq_ack(msgs[3]));
    put_number(producer, 6);
    msg = get_number(queue, 2);
    assert_true(ptq_msg_redelivered(msg));
    ptq_queue_close(queue);

    queue = contract_open(c, "tasks", NULL);
    recv_range(queue, 2, 7);
    assert_get(PTQ_EMPTY, queue);
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
    ptq_queue_close(producer);
}

static void a_record_that_is_given_back_too_often_becomes_a_dead_letter(void **state)
{
    struct contract *c = *state;
    ptq_queue *producer = open_exclusive(c, 100);
    ptq_msg *msg;

    put_number(producer, 0);
    put_number(producer, 1);
    for (unsigned i = 0; i < 3; i++) {
        msg = get_number(producer, 0);
        assert_ok(ptq_nack(msg, 0));
    }
    assert_int_equal(recv_number(producer), 1);
    assert_int_equal(contract_stats(producer).dead, 1);
    contract_verify(c, "tasks");
    ptq_queue_close(producer);
}

static void purge_drops_an_open_unit(void **state)
{
    struct contract *c = *state;
    ptq_queue *producer = open_exclusive(c, 100), *queue = contract_open(c, "tasks", NULL);
    uint64_t count;

    put_range(producer, 0, 5);
    assert_ok(ptq_queue_purge(queue, &count));
    assert_int_equal(count, 5);
    put_number(producer, 5);
    assert_int_equal(contract_stats(queue).ready, 1);
    assert_int_equal(contract_stats(queue).dropped_by[PTQ_DROP_PURGED], 5);
    assert_int_equal(recv_number(queue), 5);
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
    ptq_queue_close(producer);
}

static bool look_at(const struct ptq_view_msg *msg, void *context)
{
    uint64_t *next = context, number;

    memcpy(&number, msg->data, 8);
    if (number == *next && msg->size == 8 && msg->state == PTQ_VIEW_READY)
        ++*next;
    return true;
}

static void a_view_shows_each_record_and_its_producer(void **state)
{
    struct contract *c = *state;
    ptq_queue *producer = open_exclusive(c, 100);
    struct ptq_view_endpoint endpoint;
    uint64_t next = 0;
    size_t count;
    ptq_view *view;

    put_range(producer, 0, 5);
    assert_ok(ptq_view_open(c->home.bus, "tasks", NULL, &view));
    assert_ok(ptq_view_peek(view, look_at, &next));
    assert_int_equal(next, 5);
    assert_ok(ptq_view_endpoints(view, &endpoint, 1, &count));
    assert_int_equal(endpoint.put, 5);
    ptq_view_close(view);
    ptq_queue_close(producer);
}

static void a_unit_outlives_its_producer_and_the_next_begins_its_own(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.item_size = 64, .pack_size = 1024, .max_deliveries = 3});

    for (uint64_t i = 0; i < 30; i += 3) {
        ptq_queue *producer = open_exclusive(c, 0);

        put_range(producer, i, i + 3);
        ptq_queue_close(producer);
    }
    recv_range(queue, 0, 30);
    assert_get(PTQ_EMPTY, queue);
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
}

/* What belongs to one message, and would become its unit's, goes by itself: each has an entry. */
static void queues_that_time_each_message_take_them_one_by_one(void **state)
{
    struct contract *c = *state;
    struct ptq_queue_options plain[] = {{.ttl_ms = 100000}, {.stamps = PTQ_STAMPS_ALL}, {.lease_ms = 60000}, {.bytes = 1000}};

    for (unsigned i = 0; i < sizeof plain / sizeof *plain; i++) {
        ptq_queue *producer = open_with(c, plain[i]);

        put_range(producer, 0, 3);
        assert_int_equal(entries(producer), 3);
        ptq_queue_close(producer);
        assert_ok(ptq_queue_unlink(c->home.bus, "tasks", true));
    }
}

static void more_than_its_own_blocks_hold_is_put_all_the_same(void **state)
{
    struct contract *c = *state;
    ptq_queue *producer = open_exclusive(c, 100000), *queue = contract_open(c, "tasks", NULL);
    uint64_t most = 20000, got = 0;

    put_range(producer, 0, most);
    assert_int_equal(contract_stats(queue).ready, most);
    contract_verify(c, "tasks");
    while (got < most)
        assert_int_equal(recv_number(queue), got++);
    assert_get(PTQ_EMPTY, queue);
    contract_verify(c, "tasks");
    ptq_queue_close(queue);
    ptq_queue_close(producer);
}

static const struct contract_case unit_cases[] = {
    CONTRACT_CASE(each_put_is_in_the_queue_when_it_returns),
    CONTRACT_CASE(a_lease_closes_the_unit_and_the_next_put_begins_another),
    CONTRACT_CASE(puts_keep_their_order_with_those_of_others),
    CONTRACT_CASE(threads_of_the_handle_keep_the_order_of_their_puts),
    CONTRACT_CASE(a_put_after_an_end_by_another_is_refused_and_nothing_before_it_lost),
    CONTRACT_CASE(capacity_is_exact),
    CONTRACT_CASE(a_full_queue_blocks_and_drops_as_it_says),
    CONTRACT_CASE(a_blocked_put_goes_on_when_there_is_room),
    CONTRACT_CASE(a_sleeper_is_woken_by_each_put),
    CONTRACT_CASE(while_somebody_sleeps_each_put_is_an_entry_of_its_own),
    CONTRACT_CASE(a_descriptor_tells_of_units),
    CONTRACT_CASE(nacks_and_closes_redeliver_as_of_a_pack),
    CONTRACT_CASE(a_record_that_is_given_back_too_often_becomes_a_dead_letter),
    CONTRACT_CASE(purge_drops_an_open_unit),
    CONTRACT_CASE(a_view_shows_each_record_and_its_producer),
    CONTRACT_CASE(a_unit_outlives_its_producer_and_the_next_begins_its_own),
    CONTRACT_CASE(queues_that_time_each_message_take_them_one_by_one),
    CONTRACT_CASE(more_than_its_own_blocks_hold_is_put_all_the_same),
};
CONTRACT_GROUP(unit);
