/* book.h -- histories written by hand, with times of their own, for the tests of their checker. */
#ifndef PTQ_TESTS_STRESS_BOOK_H
#define PTQ_TESTS_STRESS_BOOK_H

#include <stdlib.h>
#include <string.h>

#include "stress/history.h"
#include "support/ptt.h"

/* Histories are written with times of their own: each line says from when to when. */
struct book {
    struct history *history;
    struct history_writer writers[8]; /* actors 1 to 8 */
    struct history_rules rules;
    struct history_report report;
};

static inline int open_book(void **state)
{
    struct book *book = calloc(1, sizeof *book);

    assert_non_null(book);
    book->history = history_new(4096);
    assert_non_null(book->history);
    for (int i = 0; i < 8; i++)
        history_live(&book->writers[i], book->history);
    book->rules = (struct history_rules){.capacity = 4, .has_ended = true};
    *state = book;
    return 0;
}

static inline int close_book(void **state)
{
    struct book *book = *state;

    history_free(book->history);
    free(book);
    return 0;
}

/* An event of actor `who`, from `begin` to `end` (0: it died in it). */
static inline struct history_event *note(struct book *book, int who, unsigned op, uint32_t value, uint64_t begin, uint64_t end,
                                  enum ptq_err answer)
{
    struct history_event *event = history_begin(&book->writers[who - 1], (enum history_op)(op & 15), op >> 4, value);

    event->begin = begin;
    if (end != 0)
        history_end(event, answer);
    event->end = end;
    return event;
}

static inline void put(struct book *book, int who, uint32_t value, uint64_t begin, uint64_t end)
{
    note(book, who, HISTORY_PUT, value, begin, end, PTQ_OK);
}

#define PLACE(position, sub) ((uint64_t)(position) << 16 | (sub))
#define FLAG(flags) ((unsigned)(flags) << 4)

static inline void get(struct book *book, int who, uint32_t value, uint64_t position, unsigned flags, uint64_t begin, uint64_t end)
{
    note(book, who, HISTORY_GET | FLAG(flags), value, begin, end, PTQ_OK)->place = PLACE(position, 0);
}

static inline void ack(struct book *book, int who, uint32_t value, uint64_t begin, uint64_t end)
{
    note(book, who, HISTORY_ACK, value, begin, end, PTQ_OK);
}

/* Put, got and acked, one after the other, between two times. */
static inline void pass(struct book *book, uint32_t value, uint64_t position, uint64_t from)
{
    put(book, 1, value, from, from + 1);
    get(book, 2, value, position, 0, from + 2, from + 3);
    ack(book, 2, value, from + 4, from + 5);
}

static inline void assert_good(struct book *book)
{
    if (!history_check(book->history, &book->rules, &book->report))
        fail_msg("a good history: %s", book->report.text);
}

static inline void assert_breach(struct book *book, enum history_law law)
{
    assert_false(history_check(book->history, &book->rules, &book->report));
    if (book->report.by_law[law] != book->report.violations || book->report.violations == 0)
        fail_msg("%s was not found, or more: %s", history_law_name(law), book->report.text);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_book, close_book)

#endif
