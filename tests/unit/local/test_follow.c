/* test_follow.c -- a tap sees each message that is there when it looks, once and whole, and counts what it did not see. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <ptq/metrics.h>
#include <ptq/ptq.h>

#include "support/ptt.h"

enum { KEPT = 256, MANY = 20000 };

struct tap {
    ptq_view *view;
    struct ptq_view_cursor cursor;
    uint64_t numbers[KEPT];
    uint32_t subs[KEPT];
    uint64_t count, stop_at;
    uint64_t last;  /* of numbers, which grow */
    bool wrong;     /* torn, out of order, or twice */
};

static bool keep(const struct ptq_view_msg *msg, void *context)
{
    struct tap *tap = context;
    uint64_t number = 0;
    const unsigned char *bytes = msg->data;

    if (msg->size >= sizeof number)
        memcpy(&number, msg->data, sizeof number);
    for (size_t i = sizeof number; i < msg->size; i++)
        tap->wrong = tap->wrong || bytes[i] != (unsigned char)number;
    tap->wrong = tap->wrong || msg->size < sizeof number || number <= tap->last || ptq_msg_size(msg->msg) != msg->size;
    tap->last = number;
    if (tap->count < KEPT) {
        tap->numbers[tap->count] = number;
        tap->subs[tap->count] = msg->sub;
    }
    return ++tap->count != tap->stop_at;
}

static enum ptq_err look(struct tap *tap) { return ptq_view_follow(tap->view, &tap->cursor, keep, tap); }

static ptq_queue *open_with(struct ptt_scratch *scratch, const struct ptq_queue_options *options)
{
    ptq_queue *queue = NULL;

    assert_ok(ptq_queue_open(scratch->bus, "tasks", options, &queue));
    return queue;
}

static ptq_queue *begin(struct ptt_scratch *scratch, struct tap *tap)
{
    struct ptq_queue_options options = {.capacity = 50, .item_size = 64};
    ptq_queue *queue = open_with(scratch, &options);

    memset(tap, 0, sizeof *tap);
    assert_ok(ptq_view_open(scratch->bus, "tasks", NULL, &tap->view));
    return queue;
}

static void end(ptq_queue *queue, struct tap *tap)
{
    assert_false(tap->wrong);
    ptq_view_close(tap->view);
    ptq_queue_close(queue);
}

static void put(ptq_queue *queue, uint64_t number)
{
    unsigned char bytes[40];

    memset(bytes, (int)number & 0xff, sizeof bytes);
    memcpy(bytes, &number, sizeof number);
    assert_ok(ptq_put(queue, bytes, sizeof bytes, PTQ_NOWAIT));
}

static ptq_msg *take(ptq_queue *queue)
{
    ptq_msg *msg = NULL;

    assert_ok(ptq_get(queue, PTQ_NOWAIT, &msg));
    return msg;
}

static void assert_seen(const struct tap *tap, uint64_t first, uint64_t count)
{
    assert_int_equal(tap->count, count);
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(tap->numbers[i], first + i);
}

static void it_begins_at_the_end_and_shows_each_once(void **state)
{
    struct tap tap;
    ptq_queue *queue = begin(*state, &tap);

    put(queue, 1);
    assert_ok(look(&tap));
    put(queue, 2);
    put(queue, 3);
    assert_ok(look(&tap));
    assert_ok(look(&tap));
    put(queue, 4);
    assert_ok(look(&tap));

    assert_seen(&tap, 2, 3);
    assert_int_equal(tap.cursor.missed, 0);
    end(queue, &tap);
}

static void asked_for_the_oldest_it_shows_what_is_there_whatever_its_state(void **state)
{
    struct tap tap;
    ptq_queue *queue = begin(*state, &tap);
    ptq_msg *held;

    for (uint64_t i = 1; i <= 5; i++)
        put(queue, i);
    assert_ok(ptq_ack(take(queue)));
    held = take(queue);
    assert_ok(ptq_nack(take(queue), 3600 * 1000));
    tap.cursor.oldest = true;
    assert_ok(look(&tap));

    assert_seen(&tap, 2, 4);
    assert_int_equal(tap.cursor.missed, 0);
    assert_ok(ptq_ack(held));
    end(queue, &tap);
}

static void what_is_settled_between_two_looks_is_counted(void **state)
{
    struct tap tap;
    ptq_queue *queue = begin(*state, &tap);

    assert_ok(look(&tap));
    for (uint64_t i = 1; i <= 7; i++)
        put(queue, i);
    for (int i = 0; i < 4; i++)
        assert_ok(ptq_ack(take(queue)));
    assert_ok(look(&tap));

    assert_seen(&tap, 5, 3);
    assert_int_equal(tap.cursor.missed, 4);
    end(queue, &tap);
}

static void laps_behind_it_counts_exactly_and_goes_on(void **state)
{
    struct tap tap;
    ptq_queue *queue = begin(*state, &tap);

    assert_ok(look(&tap));
    for (uint64_t i = 1; i <= 1000; i++) {
        put(queue, i);
        assert_ok(ptq_ack(take(queue)));
    }
    put(queue, 1001);
    assert_ok(look(&tap));

    assert_seen(&tap, 1001, 1);
    assert_int_equal(tap.cursor.missed, 1000);
    end(queue, &tap);
}

static void messages_of_one_call_are_shown_one_by_one(void **state)
{
    struct tap tap;
    ptq_queue *queue = begin(*state, &tap);
    uint64_t numbers[20];
    struct ptq_bytes items[20];
    ptq_msg *held[3];
    size_t count = 0;

    for (uint64_t i = 0; i < 20; i++) {
        numbers[i] = i + 1;
        items[i] = (struct ptq_bytes){&numbers[i], sizeof numbers[i]};
    }
    tap.cursor.oldest = true;
    tap.stop_at = 7;
    assert_ok(ptq_put_many(queue, items, 20, PTQ_NOWAIT, NULL));
    assert_ok(ptq_get_many(queue, held, 3, 3, PTQ_NOWAIT, &count));
    assert_ok(look(&tap)); /* stops after seven */
    assert_seen(&tap, 1, 7);
    tap.stop_at = 0;
    assert_ok(look(&tap));

    assert_seen(&tap, 1, 20);
    assert_int_equal(tap.subs[19], 19);
    assert_ok(ptq_ack_many(held, 3));
    end(queue, &tap);
}

static void a_pack_is_shown_record_by_record(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ptq_queue_options options = {.capacity = 500, .item_size = 64, .flags = PTQ_PIPELINE};
    struct tap tap = {.cursor = {.oldest = true}};
    ptq_queue *queue = open_with(scratch, &options);

    assert_ok(ptq_view_open(scratch->bus, "tasks", NULL, &tap.view));
    for (uint64_t i = 1; i <= 100; i++)
        put(queue, i);
    assert_ok(ptq_flush(queue, PTQ_NOWAIT));
    assert_ok(ptq_ack(take(queue)));
    assert_ok(look(&tap));
    assert_ok(look(&tap));

    assert_seen(&tap, 1, 100); /* the first, too: its pack is there still */
    end(queue, &tap);
}

static void what_is_added_to_an_open_pack_is_shown_when_it_is_added(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ptq_queue_options options = {.capacity = 500, .item_size = 64, .pack_size = 4096, .flags = PTQ_EXCLUSIVE};
    struct tap tap = {.cursor = {.oldest = true}};
    ptq_queue *queue = open_with(scratch, &options);

    assert_ok(ptq_view_open(scratch->bus, "tasks", NULL, &tap.view));
    for (uint64_t i = 1; i <= 150; i++) {
        put(queue, i);
        if (i % 3 == 0)
            assert_ok(look(&tap));
        assert_int_equal(tap.count, i / 3 * 3);
    }

    assert_seen(&tap, 1, 150);
    assert_int_equal(tap.cursor.missed, 0);
    end(queue, &tap);
}

static void the_end_and_a_removal_are_told(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct tap tap;
    ptq_queue *queue = begin(scratch, &tap);
    struct ptq_view_cursor late = {0};

    assert_ok(look(&tap));
    put(queue, 1);
    assert_ok(ptq_end(queue));
    assert_answer(PTQ_END, look(&tap));
    assert_answer(PTQ_END, look(&tap));
    assert_answer(PTQ_END, ptq_view_follow(tap.view, &late, keep, &tap)); /* one that comes when all is over */
    assert_seen(&tap, 1, 1);
    assert_ok(ptq_queue_unlink(scratch->bus, "tasks", true));
    assert_answer(PTQ_EGONE, look(&tap));
    end(queue, &tap);
}

static void dead_letters_have_no_order_to_follow(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct tap tap;
    ptq_queue *queue = begin(scratch, &tap);
    struct ptq_view_cursor cursor = {0};
    ptq_view *letters = NULL;

    assert_ok(ptq_view_open(scratch->bus, "tasks!dead", NULL, &letters));
    assert_answer(PTQ_EINVAL, ptq_view_follow(letters, &cursor, keep, &tap));
    assert_answer(PTQ_EINVAL, ptq_view_follow(tap.view, NULL, keep, &tap));
    assert_answer(PTQ_EINVAL, ptq_view_follow(tap.view, &cursor, NULL, &tap));
    ptq_view_close(letters);
    end(queue, &tap);
}

/* Puts and takes as fast as it can; the asserts are the main thread's. */
static void *churn(void *context)
{
    ptq_queue *queue = context;
    unsigned char bytes[60];
    uintptr_t failures = 0;

    for (uint64_t i = 1; i <= MANY; i++) {
        ptq_msg *msg = NULL;
        size_t size = sizeof i + i % 50;

        memset(bytes, (int)i & 0xff, sizeof bytes);
        memcpy(bytes, &i, sizeof i);
        failures += ptq_put(queue, bytes, size, PTT_LONG) != PTQ_OK;
        if (i % 16 >= 8)
            continue;
        for (int n = 0; n < 2; n++)
            failures += ptq_get(queue, PTT_LONG, &msg) != PTQ_OK || ptq_ack(msg) != PTQ_OK;
        if (i % 16 == 7 && i > 16)
            failures += ptq_queue_purge(queue, NULL) != PTQ_OK;
        while (i % 16 == 7 && i <= 16 && ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_OK)
            failures += ptq_ack(msg) != PTQ_OK;
    }
    failures += ptq_end(queue) != PTQ_OK;
    return (void *)failures;
}

static void beside_traffic_nothing_is_torn_and_all_is_seen_or_counted(void **state)
{
    struct tap tap;
    ptq_queue *queue = begin(*state, &tap);
    enum ptq_err err;
    pthread_t thread;
    void *failures;

    for (uint64_t i = 1; i <= 20; i++) { /* two are taken for one that is put, half of the time */
        uint64_t number = 0;
        assert_ok(ptq_put(queue, &number, sizeof number, PTQ_NOWAIT));
    }
    assert_ok(look(&tap));
    assert_int_equal(pthread_create(&thread, NULL, churn, queue), 0);
    do
        err = look(&tap);
    while (err == PTQ_OK);
    pthread_join(thread, &failures);

    assert_answer(PTQ_END, err);
    assert_null(failures);
    assert_int_equal(tap.count + tap.cursor.missed, MANY);
    end(queue, &tap);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, ptt_setup_scratch, ptt_teardown_scratch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(it_begins_at_the_end_and_shows_each_once),
        CASE(asked_for_the_oldest_it_shows_what_is_there_whatever_its_state),
        CASE(what_is_settled_between_two_looks_is_counted),
        CASE(laps_behind_it_counts_exactly_and_goes_on),
        CASE(messages_of_one_call_are_shown_one_by_one),
        CASE(a_pack_is_shown_record_by_record),
        CASE(what_is_added_to_an_open_pack_is_shown_when_it_is_added),
        CASE(the_end_and_a_removal_are_told),
        CASE(dead_letters_have_no_order_to_follow),
        CASE(beside_traffic_nothing_is_torn_and_all_is_seen_or_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
