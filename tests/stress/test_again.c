/* test_again.c -- the checker of histories: the laws of what is handed out again, and the breaches that are planted for them. */
#include "stress/book.h"

static void nack(struct book *book, int who, uint32_t value, unsigned flags, uint64_t begin, uint64_t end)
{
    note(book, who, HISTORY_NACK | FLAG(flags), value, begin, end, PTQ_OK);
}

/* Message 0 is given back at 10 to 11, and taken again at 30; message 1 is taken at `from` to `to`. */
static void give_back(struct book *book, unsigned how, uint64_t from, uint64_t to)
{
    put(book, 1, 0, 1, 2);
    put(book, 1, 1, 3, 4);
    get(book, 2, 0, 64, 0, 5, 6);
    nack(book, 2, 0, how, 10, 11);
    get(book, 3, 1, 65, 0, from, to);
    get(book, 2, 0, 64, HISTORY_REDELIVERED, 30, 31);
    ack(book, 2, 0, 40, 41);
    ack(book, 3, 1, 40, 41);
}

/* ---- good ones */

static void what_was_given_back_may_come_beside_another(void **state)
{
    give_back(*state, 0, 9, 20); /* that get began before */
    assert_good(*state);
    assert_int_equal(((struct book *)*state)->report.stands, 1);
}

static void what_comes_back_later_may_be_overtaken(void **state)
{
    give_back(*state, HISTORY_DELAYED, 12, 20);
    assert_good(*state);
}

static void who_was_killed_may_have_had_what_was_given_back(void **state)
{
    struct book *book = *state;

    give_back(book, 0, 12, 20);
    note(book, 4, HISTORY_GET, HISTORY_NOBODY, 11, 0, PTQ_OK);
    note(book, 5, HISTORY_DEATH, 4, 25, 25, PTQ_OK);
    assert_good(book);
}

static void a_flag_may_come_of_a_killed_get(void **state)
{
    struct book *book = *state;

    put(book, 1, 0, 1, 2);
    note(book, 4, HISTORY_GET, HISTORY_NOBODY, 3, 0, PTQ_OK);
    get(book, 2, 0, 64, HISTORY_REDELIVERED, 5, 6);
    ack(book, 2, 0, 7, 8);
    assert_good(book);
}

static void a_flag_may_come_of_a_call_that_lasted_longer_than_a_lease(void **state)
{
    struct book *book = *state;

    book->rules.lease_ns = 5;
    put(book, 1, 0, 1, 2);
    note(book, 4, HISTORY_GET, HISTORY_NOBODY, 3, 20, PTQ_TIMEDOUT);
    get(book, 2, 0, 64, HISTORY_REDELIVERED, 9, 10);
    ack(book, 2, 0, 11, 12);
    assert_good(book);
    book->rules.lease_ns = 50;
    assert_breach(book, HISTORY_HELD);
}

/* ---- planted breaches */

static void a_flag_on_what_nobody_had_is_found(void **state)
{
    struct book *book = *state;

    put(book, 1, 0, 1, 2);
    get(book, 2, 0, 64, HISTORY_REDELIVERED, 5, 6);
    ack(book, 2, 0, 7, 8);
    assert_breach(book, HISTORY_HELD);
}

static void a_flag_of_a_death_before_the_put_is_found(void **state)
{
    struct book *book = *state;

    note(book, 4, HISTORY_GET, HISTORY_NOBODY, 1, 0, PTQ_OK);
    note(book, 5, HISTORY_DEATH, 4, 2, 2, PTQ_OK);
    put(book, 1, 0, 3, 4);
    get(book, 2, 0, 64, HISTORY_REDELIVERED, 5, 6);
    ack(book, 2, 0, 7, 8);
    assert_breach(book, HISTORY_HELD);
}

static void a_new_one_before_what_was_given_back_is_found(void **state)
{
    give_back(*state, 0, 12, 20);
    assert_breach(*state, HISTORY_AGAIN);
}

static void a_later_one_before_what_was_given_back_is_found(void **state)
{
    struct book *book = *state;

    put(book, 1, 0, 1, 2);
    put(book, 1, 1, 3, 4);
    get(book, 2, 0, 64, 0, 5, 6);
    get(book, 2, 1, 65, 0, 7, 8);
    nack(book, 2, 1, 0, 9, 10);
    nack(book, 2, 0, 0, 11, 12);
    get(book, 3, 1, 65, HISTORY_REDELIVERED, 13, 14);
    get(book, 3, 0, 64, HISTORY_REDELIVERED, 15, 16);
    ack(book, 3, 0, 20, 21);
    ack(book, 3, 1, 20, 21);
    assert_breach(book, HISTORY_AGAIN);
}

static void nothing_beside_what_was_given_back_is_found(void **state)
{
    struct book *book = *state;

    put(book, 1, 0, 1, 2);
    get(book, 2, 0, 64, 0, 5, 6);
    nack(book, 2, 0, 0, 10, 11);
    note(book, 3, HISTORY_GET, HISTORY_NOBODY, 12, 13, PTQ_EMPTY);
    get(book, 2, 0, 64, HISTORY_REDELIVERED, 30, 31);
    ack(book, 2, 0, 40, 41);
    assert_breach(book, HISTORY_EMPTY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_was_given_back_may_come_beside_another),
        CASE(what_comes_back_later_may_be_overtaken),
        CASE(who_was_killed_may_have_had_what_was_given_back),
        CASE(a_flag_may_come_of_a_killed_get),
        CASE(a_flag_may_come_of_a_call_that_lasted_longer_than_a_lease),
        CASE(a_flag_on_what_nobody_had_is_found),
        CASE(a_flag_of_a_death_before_the_put_is_found),
        CASE(a_new_one_before_what_was_given_back_is_found),
        CASE(a_later_one_before_what_was_given_back_is_found),
        CASE(nothing_beside_what_was_given_back_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
