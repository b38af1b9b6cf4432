/* test_history.c -- the checker of histories: a good history passes, and each law finds the breach that is planted for it. */
#include "stress/book.h"

/* So many in one pack, flushed at 6. */
static void put_packed(struct book *book, uint32_t count)
{
    for (uint32_t v = 0; v < count; v++)
        note(book, 1, HISTORY_PUT | FLAG(HISTORY_PACKED), v, 1 + v, 2 + v, PTQ_OK);
    note(book, 1, HISTORY_FLUSH, HISTORY_NOBODY, 5, 6, PTQ_OK);
}

static void get_packed(struct book *book, int who, uint32_t value, unsigned flags, uint64_t begin)
{
    note(book, who, HISTORY_GET | FLAG(flags), value, begin, begin + 1, PTQ_OK)->place = PLACE(64, value);
}

/* So many are put, one more is refused, and all are taken and acked. */
static void fill_and_drain(struct book *book, uint32_t count)
{
    for (uint32_t v = 0; v < count; v++)
        put(book, 1, v, 1 + v * 2, 2 + v * 2);
    note(book, 2, HISTORY_PUT, 4, 10, 11, PTQ_FULL);
    for (uint32_t v = 0; v < count; v++) {
        get(book, 3, v, 64 + v, 0, 20 + v * 4, 21 + v * 4);
        ack(book, 3, v, 22 + v * 4, 23 + v * 4);
    }
}

/* Message 1, of the higher place, was handed out before the get of message 0 began. */
static void take_the_second_first(struct book *book)
{
    get(book, 3, 1, 65, 0, 5, 10);
    get(book, 4, 0, 64, 0, 11, 12);
    ack(book, 3, 1, 12, 13);
    ack(book, 4, 0, 13, 14);
}

/* ---- good ones, with all that looks odd and is allowed */

static void an_ordinary_history_is_good(void **state)
{
    struct book *book = *state;

    pass(book, 0, 64, 10);
    pass(book, 1, 65, 20);
    note(book, 3, HISTORY_GET, HISTORY_NOBODY, 1, 9, PTQ_EMPTY);
    note(book, 3, HISTORY_GET, HISTORY_NOBODY, 26, 40, PTQ_TIMEDOUT);
    note(book, 1, HISTORY_CLOSE, HISTORY_NOBODY, 30, 31, PTQ_OK);
    note(book, 2, HISTORY_GET, HISTORY_NOBODY, 32, 33, PTQ_END);
    note(book, 1, HISTORY_PUT, 2, 34, 35, PTQ_EENDED);
    assert_good(book);
    assert_int_equal(book->report.empties, 2);
    assert_int_equal(book->report.ends, 2);
}

static void who_dies_leaves_things_open(void **state)
{
    struct book *book = *state;

    note(book, 1, HISTORY_PUT, 0, 1, 0, PTQ_OK); /* it is in */
    get(book, 2, 0, 64, 0, 5, 6);
    note(book, 2, HISTORY_ACK, 0, 7, 0, PTQ_OK); /* not acked */
    get(book, 3, 0, 64, HISTORY_REDELIVERED, 20, 21);
    note(book, 3, HISTORY_ACK, 0, 22, 0, PTQ_OK); /* acked */
    note(book, 4, HISTORY_PUT, 1, 23, 0, PTQ_OK); /* it is not in */
    put(book, 4, 2, 30, 31);
    note(book, 5, HISTORY_RECV, HISTORY_NOBODY, 32, 0, PTQ_OK); /* took 2 with it */
    assert_good(book);
}

static void overlapping_calls_may_have_any_order(void **state)
{
    struct book *book = *state;

    put(book, 1, 0, 10, 20);
    put(book, 2, 1, 12, 14); /* the later place, though it returned first */
    get(book, 3, 1, 65, 0, 30, 33);
    get(book, 4, 0, 64, 0, 31, 34);
    note(book, 5, HISTORY_GET, HISTORY_NOBODY, 15, 32, PTQ_EMPTY);
    ack(book, 3, 1, 40, 41);
    ack(book, 4, 0, 40, 41);
    assert_good(book);
}

static void a_refused_put_may_be_tried_again(void **state)
{
    struct book *book = *state;

    fill_and_drain(book, 4);
    pass(book, 4, 68, 50);
    assert_good(book);
    assert_int_equal(book->report.fulls, 1);
}

/* Two of the pack are acked in the wrong order, and their holder dies before the first is: both come again. */
static void acks_ahead_in_a_pack_count_when_all_before_them_do(void **state)
{
    struct book *book = *state;

    put_packed(book, 3);
    for (uint32_t v = 0; v < 3; v++)
        get_packed(book, 2, v, 0, 10 + v);
    ack(book, 2, 0, 20, 21);
    ack(book, 2, 2, 22, 23);
    for (uint32_t v = 1; v < 3; v++)
        get_packed(book, 3, v, HISTORY_REDELIVERED, 30 + v);
    ack(book, 3, 2, 40, 41);
    ack(book, 3, 1, 42, 43);
    assert_good(book);
    assert_int_equal(book->report.acks, 3);
}

/* One is given back, received, and the holder goes on behind it. */
static void a_lease_ends_with_what_is_given_back(void **state)
{
    struct book *book = *state;

    put_packed(book, 3);
    get_packed(book, 2, 0, 0, 10);
    note(book, 2, HISTORY_NACK, 0, 12, 13, PTQ_OK);
    note(book, 2, HISTORY_RECV, 0, 14, 15, PTQ_OK);
    for (uint32_t v = 1; v < 3; v++) {
        get_packed(book, 2, v, 0, 20 + v);
        ack(book, 2, v, 30 + v, 31 + v);
    }
    assert_good(book);
    assert_int_equal(book->report.acks, 3);
}

static void a_paused_queue_may_seem_empty(void **state)
{
    struct book *book = *state;

    put(book, 1, 0, 1, 2);
    note(book, 4, HISTORY_PAUSE, HISTORY_NOBODY, 3, 0, PTQ_OK); /* and died */
    note(book, 3, HISTORY_GET, HISTORY_NOBODY, 6, 7, PTQ_EMPTY);
    note(book, 5, HISTORY_RESUME, HISTORY_NOBODY, 8, 9, PTQ_OK);
    get(book, 2, 0, 64, 0, 12, 13);
    ack(book, 2, 0, 14, 15);
    assert_good(book);
}

/* ---- planted breaches */

static void what_nobody_put_is_found(void **state)
{
    struct book *book = *state;

    pass(book, 0, 64, 10);
    get(book, 2, 1, 65, 0, 20, 21);
    ack(book, 2, 1, 22, 23);
    assert_breach(book, HISTORY_NOWHERE);
}

static void what_was_refused_and_comes_is_found(void **state)
{
    struct book *book = *state;

    for (uint32_t v = 0; v < 4; v++)
        pass(book, v, 64 + v, 10);
    note(book, 2, HISTORY_PUT, 4, 11, 14, PTQ_TIMEDOUT);
    get(book, 2, 4, 68, 0, 20, 21);
    ack(book, 2, 4, 22, 23);
    assert_breach(book, HISTORY_NOWHERE);
}

static void what_comes_before_it_is_put_is_found(void **state)
{
    struct book *book = *state;

    get(book, 2, 0, 64, 0, 5, 6);
    put(book, 1, 0, 10, 11);
    ack(book, 2, 0, 12, 13);
    assert_breach(book, HISTORY_NOWHERE);
}

static void twice_in_silence_is_found(void **state)
{
    struct book *book = *state;

    put(book, 1, 0, 1, 2);
    get(book, 2, 0, 64, 0, 5, 6); /* and died */
    get(book, 3, 0, 64, 0, 10, 11);
    ack(book, 3, 0, 12, 13);
    assert_breach(book, HISTORY_TWICE);
    assert_int_equal(book->report.doubled, 1);
}

static void a_flag_that_is_lost_later_is_found(void **state)
{
    struct book *book = *state;

    put(book, 1, 0, 1, 2);
    note(book, 4, HISTORY_GET, HISTORY_NOBODY, 3, 0, PTQ_OK); /* had it, and died */
    get(book, 2, 0, 64, HISTORY_REDELIVERED, 5, 6);
    get(book, 3, 0, 64, 0, 10, 11);
    ack(book, 3, 0, 12, 13);
    assert_breach(book, HISTORY_TWICE);
}

static void what_comes_after_its_ack_is_found(void **state)
{
    struct book *book = *state;

    pass(book, 0, 64, 10);
    get(book, 3, 0, 64, HISTORY_REDELIVERED, 20, 21);
    assert_breach(book, HISTORY_SETTLED);
}

static void two_acks_are_found(void **state)
{
    struct book *book = *state;

    put(book, 1, 0, 1, 2);
    get(book, 2, 0, 64, 0, 5, 6);
    get(book, 3, 0, 64, HISTORY_REDELIVERED, 10, 11);
    ack(book, 2, 0, 12, 13);
    ack(book, 3, 0, 12, 13);
    assert_breach(book, HISTORY_SETTLED);
}

static void a_packed_one_that_comes_after_its_ack_is_found(void **state)
{
    struct book *book = *state;

    put_packed(book, 2);
    for (uint32_t v = 0; v < 2; v++) {
        get_packed(book, 2, v, 0, 10 + v);
        ack(book, 2, v, 20 + v, 21 + v);
    }
    get_packed(book, 3, 1, HISTORY_REDELIVERED, 30);
    assert_breach(book, HISTORY_SETTLED);
}

static void a_lost_message_is_found(void **state)
{
    struct book *book = *state;

    pass(book, 0, 64, 10);
    put(book, 1, 1, 20, 21);
    assert_breach(book, HISTORY_LOST);
    assert_int_equal(book->report.lost, 1);
}

static void more_lost_than_were_dropped_is_found(void **state)
{
    struct book *book = *state;

    for (uint32_t v = 0; v < 3; v++)
        put(book, 1, v, 10 + v, 11 + v);
    book->rules.dropped = 1;
    note(book, 5, HISTORY_RECV, HISTORY_NOBODY, 32, 0, PTQ_OK);
    assert_breach(book, HISTORY_LOST);
    book->rules.dropped = 2;
    assert_good(book);
}

static void a_flushed_message_that_is_lost_is_found_and_an_unflushed_one_may_be(void **state)
{
    struct book *book = *state;

    note(book, 1, HISTORY_PUT | FLAG(HISTORY_PACKED), 0, 1, 2, PTQ_OK);
    assert_good(book);
    note(book, 1, HISTORY_FLUSH, HISTORY_NOBODY, 5, 6, PTQ_OK);
    assert_breach(book, HISTORY_LOST);
}

/* Acked ahead, and never again: it was behind one that was not acked. */
static void an_ack_ahead_that_counted_too_soon_is_found(void **state)
{
    struct book *book = *state;

    put_packed(book, 3);
    for (uint32_t v = 0; v < 3; v++)
        get_packed(book, 2, v, 0, 10 + v);
    ack(book, 2, 0, 20, 21);
    ack(book, 2, 2, 22, 23);
    get_packed(book, 3, 1, HISTORY_REDELIVERED, 30);
    ack(book, 3, 1, 40, 41);
    assert_breach(book, HISTORY_LOST);
}

static void a_changed_place_is_found(void **state)
{
    struct book *book = *state;

    put(book, 1, 0, 1, 2);
    get(book, 2, 0, 64, 0, 5, 6);
    get(book, 3, 0, 65, HISTORY_REDELIVERED, 10, 11);
    ack(book, 3, 0, 12, 13);
    assert_breach(book, HISTORY_PLACE);
}

static void two_from_one_place_are_found(void **state)
{
    struct book *book = *state;

    pass(book, 0, 64, 10);
    pass(book, 1, 64, 20);
    assert_breach(book, HISTORY_PLACE);
}

static void a_put_that_overtook_is_found(void **state)
{
    struct book *book = *state;

    put(book, 1, 0, 1, 2);
    put(book, 2, 1, 3, 4);
    get(book, 3, 1, 64, 0, 5, 10);
    get(book, 4, 0, 65, 0, 6, 11);
    ack(book, 3, 1, 12, 13);
    ack(book, 4, 0, 12, 13);
    assert_breach(book, HISTORY_PUT_ORDER);
}

static void a_get_that_overtook_is_found(void **state)
{
    struct book *book = *state;

    put(book, 1, 0, 1, 9);
    put(book, 2, 1, 2, 8);
    take_the_second_first(book);
    assert_breach(book, HISTORY_GET_ORDER);
}

static void a_delayed_one_may_be_overtaken(void **state)
{
    struct book *book = *state;

    note(book, 1, HISTORY_PUT | FLAG(HISTORY_DELAYED), 0, 1, 9, PTQ_OK);
    put(book, 2, 1, 2, 8);
    take_the_second_first(book);
    assert_good(book);
}

static void empty_beside_a_message_is_found(void **state)
{
    struct book *book = *state;

    put(book, 1, 0, 1, 2);
    note(book, 3, HISTORY_GET, HISTORY_NOBODY, 3, 4, PTQ_EMPTY);
    get(book, 2, 0, 64, 0, 5, 6);
    ack(book, 2, 0, 7, 8);
    assert_breach(book, HISTORY_EMPTY);
}

static void a_timeout_beside_a_message_is_found(void **state)
{
    struct book *book = *state;

    pass(book, 1, 64, 1);
    put(book, 1, 0, 10, 12);
    note(book, 3, HISTORY_RECV, HISTORY_NOBODY, 13, 14, PTQ_TIMEDOUT);
    get(book, 2, 0, 65, 0, 15, 16);
    ack(book, 2, 0, 17, 18);
    assert_breach(book, HISTORY_EMPTY);
}

static void empty_after_a_pause_is_found(void **state)
{
    struct book *book = *state;

    put(book, 1, 0, 1, 2);
    note(book, 4, HISTORY_PAUSE, HISTORY_NOBODY, 3, 4, PTQ_OK);
    note(book, 5, HISTORY_RESUME, HISTORY_NOBODY, 5, 6, PTQ_OK);
    note(book, 3, HISTORY_GET, HISTORY_NOBODY, 8, 9, PTQ_EMPTY);
    get(book, 2, 0, 64, 0, 12, 13);
    ack(book, 2, 0, 14, 15);
    assert_breach(book, HISTORY_EMPTY);
}

static void full_with_room_left_is_found(void **state)
{
    struct book *book = *state;

    fill_and_drain(book, 3);
    assert_breach(book, HISTORY_FULL);
}

static void a_batch_refused_by_an_empty_queue_is_found(void **state)
{
    struct book *book = *state;
    struct history_event *first;

    pass(book, 0, 64, 1);
    first = note(book, 2, HISTORY_PUT | FLAG(HISTORY_BATCH), 1, 10, 11, PTQ_TIMEDOUT);
    for (uint32_t v = 2; v < 5; v++) {
        struct history_event *other = history_begin_more(&book->writers[1], first, v);
        history_end(other, PTQ_TIMEDOUT);
        other->end = 11;
    }
    assert_breach(book, HISTORY_FULL);
}

static void an_end_before_the_end_is_found(void **state)
{
    struct book *book = *state;

    pass(book, 0, 64, 1);
    note(book, 2, HISTORY_GET, HISTORY_NOBODY, 10, 11, PTQ_END);
    assert_breach(book, HISTORY_END);
}

static void a_put_that_is_told_of_an_end_too_soon_is_found(void **state)
{
    struct book *book = *state;

    note(book, 1, HISTORY_PUT, 0, 1, 2, PTQ_EENDED);
    note(book, 2, HISTORY_CLOSE, HISTORY_NOBODY, 10, 11, PTQ_OK);
    assert_breach(book, HISTORY_END);
}

static void a_put_behind_the_end_is_found(void **state)
{
    struct book *book = *state;

    note(book, 2, HISTORY_CLOSE, HISTORY_NOBODY, 1, 2, PTQ_OK);
    pass(book, 0, 64, 10);
    assert_breach(book, HISTORY_END);
}

static void a_message_behind_the_end_is_found(void **state)
{
    struct book *book = *state;

    put(book, 1, 0, 1, 2);
    note(book, 1, HISTORY_CLOSE, HISTORY_NOBODY, 3, 4, PTQ_OK);
    note(book, 3, HISTORY_GET, HISTORY_NOBODY, 5, 6, PTQ_END);
    get(book, 2, 0, 64, 0, 7, 8);
    ack(book, 2, 0, 9, 10);
    assert_breach(book, HISTORY_END);
}

static void a_history_without_room_is_no_history(void **state)
{
    struct book *book = *state;

    for (uint32_t v = 0; v < 4097; v++)
        note(book, 1, HISTORY_PUT, v, 1, 2, PTQ_FULL);
    book->rules.capacity = 0;
    assert_breach(book, HISTORY_WHOLE);
}

static void a_value_that_its_test_puts_twice_is_found(void **state)
{
    struct book *book = *state;

    pass(book, 0, 64, 1);
    put(book, 3, 0, 1, 2);
    assert_breach(book, HISTORY_WHOLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_ordinary_history_is_good),
        CASE(who_dies_leaves_things_open),
        CASE(overlapping_calls_may_have_any_order),
        CASE(a_refused_put_may_be_tried_again),
        CASE(acks_ahead_in_a_pack_count_when_all_before_them_do),
        CASE(a_lease_ends_with_what_is_given_back),
        CASE(a_paused_queue_may_seem_empty),
        CASE(a_delayed_one_may_be_overtaken),
        CASE(what_nobody_put_is_found),
        CASE(what_was_refused_and_comes_is_found),
        CASE(what_comes_before_it_is_put_is_found),
        CASE(twice_in_silence_is_found),
        CASE(a_flag_that_is_lost_later_is_found),
        CASE(what_comes_after_its_ack_is_found),
        CASE(two_acks_are_found),
        CASE(a_packed_one_that_comes_after_its_ack_is_found),
        CASE(a_lost_message_is_found),
        CASE(more_lost_than_were_dropped_is_found),
        CASE(a_flushed_message_that_is_lost_is_found_and_an_unflushed_one_may_be),
        CASE(an_ack_ahead_that_counted_too_soon_is_found),
        CASE(a_changed_place_is_found),
        CASE(two_from_one_place_are_found),
        CASE(a_put_that_overtook_is_found),
        CASE(a_get_that_overtook_is_found),
        CASE(empty_beside_a_message_is_found),
        CASE(a_timeout_beside_a_message_is_found),
        CASE(empty_after_a_pause_is_found),
        CASE(full_with_room_left_is_found),
        CASE(a_batch_refused_by_an_empty_queue_is_found),
        CASE(an_end_before_the_end_is_found),
        CASE(a_put_that_is_told_of_an_end_too_soon_is_found),
        CASE(a_put_behind_the_end_is_found),
        CASE(a_message_behind_the_end_is_found),
        CASE(a_history_without_room_is_no_history),
        CASE(a_value_that_its_test_puts_twice_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
