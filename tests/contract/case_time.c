/* case_time.c -- by the clock: delay on put, time to live, stamps. */
#include "contract/contract.h"

#define HOUR_MS (INT64_C(3600) * 1000)

static void put_with(ptq_queue *queue, uint64_t number, int64_t delay_ms, int64_t ttl_ms)
{
    assert_ok(ptq_put_with(queue, &number, sizeof number,
                           &(struct ptq_put_options){.delay_ms = delay_ms, .ttl_ms = ttl_ms}, PTQ_NOWAIT));
}

/* So long that the clock must have moved on: the test waits for the clock itself. */
static bool is_past(void *end) { return contract_now_ms() > *(const int64_t *)end; }

static void let_pass(int ms)
{
    int64_t end = contract_now_ms() + ms;

    assert_true(ptt_wait_until(is_past, &end, PTT_LONG));
}

static void close_and_verify(struct contract *c, ptq_queue *queue)
{
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

/* ---- delay */

/* True: in the order of their times, each not before its own.  False: we were away for so long that two were due at once. */
static bool come_in_order_of_their_times(ptq_queue *queue)
{
    static const struct { uint64_t number; int64_t due; } expected[] = {{3, 0}, {2, 30}, {1, 60}};
    int64_t start = contract_now_ms();
    bool in_time = true;

    put_with(queue, 1, 60, 0);
    put_with(queue, 2, 30, 0);
    put_number(queue, 3);
    struct ptq_queue_stats stats = contract_stats(queue); /* one look: between two of them one may become due */
    assert_int_equal(stats.ready + stats.delayed, 3);
    for (int i = 0; i < 3; i++) {
        uint64_t number;
        ptq_msg *msg = NULL;

        assert_ok(ptq_get(queue, PTT_LONG, &msg));
        in_time = in_time && (i == 2 || contract_now_ms() - start < expected[i + 1].due);
        assert_int_equal(ptq_msg_size(msg), sizeof number);
        memcpy(&number, ptq_msg_data(msg), sizeof number);
        assert_true(number >= 1 && number <= 3);
        assert_true(contract_now_ms() - start >= expected[3 - number].due - 1);
        if (in_time)
            assert_int_equal(number, expected[i].number);
        assert_int_equal(ptq_msg_deliveries(msg), 1);
        assert_false(ptq_msg_redelivered(msg));
        assert_ok(ptq_ack(msg));
    }
    return in_time;
}

static void a_delayed_put_is_handed_out_when_it_is_due_and_not_before(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    unsigned tries = 1;

    for (; !come_in_order_of_their_times(queue); tries++)
        assert_true(tries < 100);
    assert_int_equal(contract_stats(queue).put, 3 * tries);
    assert_get(PTQ_EMPTY, queue);
    assert_int_equal(contract_stats(queue).redelivered, 0);
    close_and_verify(c, queue);
}

static void what_is_delayed_for_long_is_counted_delayed_and_not_given(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 4, 64);

    put_with(queue, 1, HOUR_MS, 0);
    assert_int_equal(contract_stats(queue).delayed, 1);
    assert_int_equal(contract_stats(queue).ready, 0);
    assert_get(PTQ_EMPTY, queue);
    assert_int_equal(contract_stats(queue).delayed, 1);
    put_number(queue, 2);
    assert_int_equal(recv_number(queue), 2);
    close_and_verify(c, queue);
}

static void delayed_messages_do_not_fill_the_queue(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 4, 64);

    for (uint64_t i = 0; i < 20; i++)
        put_with(queue, i, HOUR_MS, 0);
    assert_int_equal(contract_stats(queue).delayed, 20);
    put_range(queue, 0, 4);
    assert_answer(PTQ_FULL, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    recv_range(queue, 0, 4);
    assert_get(PTQ_EMPTY, queue);
    close_and_verify(c, queue);
}

static void a_batch_may_be_delayed(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    uint64_t numbers[3] = {1, 2, 3};
    struct ptq_bytes items[3] = {{&numbers[0], 8}, {&numbers[1], 8}, {&numbers[2], 8}};

    int64_t due = contract_now_ms() + 250;
    assert_ok(ptq_put_many_with(queue, items, 3, &(struct ptq_put_options){.delay_ms = 250}, PTQ_NOWAIT));
    for (uint64_t i = 1; i <= 3; i++) {
        ptq_msg *msg = get_when_due(queue, i, due);
        assert_int_equal(ptq_msg_sub(msg), i - 1);
        assert_false(ptq_msg_redelivered(msg));
        assert_ok(ptq_ack(msg));
    }
    assert_ok(ptq_put_many_with(queue, items, 3, &(struct ptq_put_options){.delay_ms = HOUR_MS}, PTQ_NOWAIT));
    put_number(queue, 4);
    assert_int_equal(recv_number(queue), 4); /* others pass */
    assert_get(PTQ_EMPTY, queue);
    assert_int_equal(contract_stats(queue).delayed, 3);
    close_and_verify(c, queue);
}

static void a_loan_may_be_published_with_a_delay(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    uint64_t number = 8;
    ptq_msg *loan = NULL;

    assert_ok(ptq_loan(queue, 8, PTQ_NOWAIT, &loan));
    memcpy(ptq_msg_buffer(loan), &number, 8);
    int64_t start = contract_now_ms(); /* the delay begins at the home, a while before it is answered */
    assert_ok(ptq_publish_with(loan, 8, &(struct ptq_put_options){.delay_ms = 20}, PTQ_NOWAIT));
    assert_int_equal(recv_number(queue), 8);
    assert_true(contract_now_ms() - start >= 18);
    close_and_verify(c, queue);
}

static void the_end_waits_for_what_is_delayed(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    ptq_msg *msg = NULL;
    int64_t due = contract_now_ms() + 250;

    put_with(queue, 1, 250, 0);
    assert_ok(ptq_end(queue));
    assert_ok(ptq_ack(get_when_due(queue, 1, due)));
    assert_answer(PTQ_END, ptq_get(queue, PTT_LONG, &msg));
    close_and_verify(c, queue);
}

static void a_delay_that_makes_no_sense_is_einval(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);

    assert_answer(PTQ_EINVAL, ptq_put_with(queue, "x", 1, &(struct ptq_put_options){.delay_ms = -1}, PTQ_NOWAIT));
    assert_answer(PTQ_EINVAL, ptq_put_with(queue, "x", 1, &(struct ptq_put_options){.delay_ms = INT64_MAX}, PTQ_NOWAIT));
    assert_answer(PTQ_EINVAL, ptq_put_with(queue, "x", 1, &(struct ptq_put_options){.ttl_ms = -2}, PTQ_NOWAIT));
    put_with(queue, 1, 0, INT64_MAX);
    assert_int_equal(recv_number(queue), 1);
    close_and_verify(c, queue);
}

/* ---- time to live */

static void what_outlives_its_time_is_dropped_and_counted(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);

    put_with(queue, 1, 0, 20);
    put_with(queue, 2, 0, HOUR_MS);
    put_with(queue, 3, 0, 20);
    put_number(queue, 4);
    let_pass(25);

    assert_int_equal(recv_number(queue), 2);
    assert_int_equal(recv_number(queue), 4);
    assert_get(PTQ_EMPTY, queue);
    assert_int_equal(contract_stats(queue).dropped_by[PTQ_DROP_EXPIRED], 2);
    assert_int_equal(contract_stats(queue).dropped, 2);
    close_and_verify(c, queue);
}

static void a_queue_gives_its_time_to_messages_that_say_none(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.ttl_ms = 20});

    put_number(queue, 1);
    put_with(queue, 2, 0, -1);
    put_with(queue, 3, 0, HOUR_MS);
    let_pass(25);

    assert_int_equal(recv_number(queue), 2);
    assert_int_equal(recv_number(queue), 3);
    assert_get(PTQ_EMPTY, queue);
    assert_int_equal(contract_stats(queue).dropped_by[PTQ_DROP_EXPIRED], 1);
    close_and_verify(c, queue);
}

static void what_expires_may_become_a_dead_letter(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.ttl_ms = 10, .expired_to_dead = true});

    put_number(queue, 1);
    let_pass(15);

    assert_get(PTQ_EMPTY, queue);
    assert_int_equal(contract_stats(queue).dead, 1);
    assert_int_equal(contract_stats(queue).dropped, 0);
    close_and_verify(c, queue);
}

/* Puts two that live for 300 ms, and has them in hand.  False: we were away, and they expired before; what came is acked. */
static bool take_two_that_expire(ptq_queue *queue, ptq_msg *msgs[2])
{
    int64_t start = contract_now_ms();
    enum ptq_err err = PTQ_OK;
    unsigned count = 0;

    put_with(queue, 1, 0, 300);
    put_with(queue, 2, 0, 300);
    while (count < 2 && (err = ptq_get(queue, PTQ_NOWAIT, &msgs[count])) == PTQ_OK)
        count++;
    if (count == 2)
        return true;
    assert_answer(PTQ_EMPTY, err);
    assert_true(contract_now_ms() - start >= 299);
    while (count > 0)
        assert_ok(ptq_ack(msgs[--count]));
    return false;
}

static void what_is_given_back_expires_too(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    unsigned tries = 1;
    ptq_msg *msgs[2], *msg = NULL;

    for (; !take_two_that_expire(queue, msgs); tries++)
        assert_true(tries < 100);
    let_pass(305);
    assert_ok(ptq_nack(msgs[0], 0));
    assert_ok(ptq_nack(msgs[1], 5));

    assert_answer(PTQ_TIMEDOUT, ptq_get(queue, 40, &msg));
    struct ptq_queue_stats stats = contract_stats(queue);
    assert_int_equal(stats.put, 2 * tries);
    assert_int_equal(stats.dropped_by[PTQ_DROP_EXPIRED] + stats.acked, stats.put);
    assert_true(stats.dropped_by[PTQ_DROP_EXPIRED] >= 2);
    close_and_verify(c, queue);
}

static void a_producer_who_finds_it_full_drops_what_expired(void **state)
{
    struct contract *c = *state;
    struct ptq_put_options lasting = {.ttl_ms = -1};
    uint64_t third = 3;
    ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.capacity = 2, .ttl_ms = 20});

    put_number(queue, 1);
    put_number(queue, 2);
    let_pass(25);

    assert_ok(ptq_put_with(queue, &third, sizeof third, &lasting, PTT_LONG));
    put_number(queue, 4);
    assert_int_equal(contract_stats(queue).dropped_by[PTQ_DROP_EXPIRED], 2);
    assert_int_equal(recv_number(queue), 3);
    close_and_verify(c, queue);
}

static void a_producer_who_waits_is_woken_by_the_end_of_the_oldest_ones_time(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.capacity = 1, .ttl_ms = 400});
    int64_t start = contract_now_ms();

    put_number(queue, 1);
    assert_ok(ptq_put(queue, "later", 5, PTT_LONG));

    assert_true(contract_now_ms() - start >= 399);
    assert_int_equal(contract_stats(queue).dropped_by[PTQ_DROP_EXPIRED], 1);
    close_and_verify(c, queue);
}

static void a_time_to_live_beats_a_longer_delay(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    ptq_msg *msg = NULL;

    put_with(queue, 1, 30, 10);
    assert_answer(PTQ_TIMEDOUT, ptq_get(queue, 60, &msg));
    assert_int_equal(contract_stats(queue).dropped_by[PTQ_DROP_EXPIRED], 1);
    close_and_verify(c, queue);
}

/* ---- stamps */

static unsigned count_stamped(struct contract *c, enum ptq_stamps stamps)
{
    ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.stamps = stamps});
    unsigned stamped = 0;

    for (uint64_t i = 0; i < 128; i++) {
        put_number(queue, i);
        ptq_msg *msg = get_number(queue, i);
        stamped += ptq_msg_age_ms(msg) >= 0;
        assert_true(ptq_msg_age_ms(msg) < PTT_LONG);
        assert_ok(ptq_ack(msg));
    }
    put_with(queue, 128, 0, HOUR_MS);
    ptq_msg *msg = get_number(queue, 128);
    assert_true(contract_differs(c, DIFFERENCE_age_stays_at_home) || ptq_msg_age_ms(msg) >= 0); /* a time to live needs its stamp */
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
    assert_ok(ptq_queue_unlink(c->home.bus, "tasks", false));
    return stamped;
}

static void stamps_are_sampled_or_on_all_or_off(void **state)
{
    struct contract *c = *state;

    contract_skip_if(c, DIFFERENCE_age_stays_at_home);
    assert_int_equal(count_stamped(c, PTQ_STAMPS_SAMPLED), 2);
    assert_int_equal(count_stamped(c, PTQ_STAMPS_ALL), 128);
    assert_int_equal(count_stamped(c, PTQ_STAMPS_OFF), 0);
}

static void the_age_of_a_message_is_the_time_since_its_put(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.stamps = PTQ_STAMPS_ALL});

    put_number(queue, 1);
    let_pass(20);
    ptq_msg *msg = get_number(queue, 1);

    assert_true(contract_differs(c, DIFFERENCE_age_stays_at_home) ? ptq_msg_age_ms(msg) == -1 : ptq_msg_age_ms(msg) >= 20);
    assert_true(contract_stats(queue).oldest_ms == 0);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
}

static const struct contract_case time_cases[] = {
    CONTRACT_CASE(a_delayed_put_is_handed_out_when_it_is_due_and_not_before),
    CONTRACT_CASE(what_is_delayed_for_long_is_counted_delayed_and_not_given),
    CONTRACT_CASE(delayed_messages_do_not_fill_the_queue),
    CONTRACT_CASE(a_batch_may_be_delayed),
    CONTRACT_CASE(a_loan_may_be_published_with_a_delay),
    CONTRACT_CASE(the_end_waits_for_what_is_delayed),
    CONTRACT_CASE(a_delay_that_makes_no_sense_is_einval),
    CONTRACT_CASE(what_outlives_its_time_is_dropped_and_counted),
    CONTRACT_CASE(a_queue_gives_its_time_to_messages_that_say_none),
    CONTRACT_CASE(what_expires_may_become_a_dead_letter),
    CONTRACT_CASE(what_is_given_back_expires_too),
    CONTRACT_CASE(a_producer_who_finds_it_full_drops_what_expired),
    CONTRACT_CASE(a_producer_who_waits_is_woken_by_the_end_of_the_oldest_ones_time),
    CONTRACT_CASE(a_time_to_live_beats_a_longer_delay),
    CONTRACT_CASE(stamps_are_sampled_or_on_all_or_off),
    CONTRACT_CASE(the_age_of_a_message_is_the_time_since_its_put),
};
CONTRACT_GROUP(time);
