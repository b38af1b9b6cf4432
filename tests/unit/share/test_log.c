/* test_log.c -- a log: one order for all, nothing torn, who is slow is told so. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ptq/log.h>

#include "support/ptt.h"

static ptq_log *open_log(const struct ptt_scratch *scratch, uint32_t capacity)
{
    ptq_bus *bus = ptt_scratch_open(scratch);
    ptq_log *log;

    if (ptq_log_open(bus, "l", &(struct ptq_log_options){.capacity = capacity}, &log) != PTQ_OK)
        abort();
    ptq_bus_close(bus);
    return log;
}

static void records_are_read_in_the_order_in_which_they_came(void **state)
{
    ptq_log *log = open_log(*state, 0);
    struct ptq_log_record record;
    char text[20];
    uint64_t oldest, next, position;

    assert_ok(ptq_log_bounds(log, &oldest, &next));
    assert_int_equal(oldest, 0);
    assert_int_equal(next, 0);
    assert_answer(PTQ_EMPTY, ptq_log_read(log, 0, text, sizeof text, &record));
    for (int i = 1; i <= 100; i++) {
        int size = snprintf(text, sizeof text, "%d", i);
        assert_ok(ptq_log_append(log, text, (size_t)size, &position));
        assert_int_equal(position, i - 1);
    }
    for (int i = 1; i <= 100; i++) {
        memset(text, 0, sizeof text);
        assert_ok(ptq_log_read(log, (uint64_t)i - 1, text, sizeof text, &record));
        assert_int_equal(atoi(text), i);
        assert_int_equal(record.pid, getpid());
        assert_true(record.unix_ms > 1700000000000);
    }
    assert_ok(ptq_log_append(log, NULL, 0, NULL));
    assert_ok(ptq_log_read(log, 100, NULL, 0, &record));
    assert_int_equal(record.size, 0);
    ptq_log_close(log);
}

static void a_full_log_lets_the_oldest_go_and_says_so(void **state)
{
    ptq_log *log = open_log(*state, 7);
    struct ptq_log_record record;
    uint64_t oldest, next, value;

    for (uint64_t i = 0; i < 1000; i++) {
        assert_ok(ptq_log_append(log, &i, sizeof i, NULL));
        assert_ok(ptq_log_bounds(log, &oldest, &next));
        assert_int_equal(next, i + 1);
        assert_int_equal(oldest, i < 7 ? 0 : i - 6);
        if (oldest > 0)
            assert_answer(PTQ_ELATE, ptq_log_read(log, oldest - 1, &value, sizeof value, &record));
        assert_ok(ptq_log_read(log, oldest, &value, sizeof value, &record));
        assert_int_equal(value, oldest);
        assert_answer(PTQ_EMSGSIZE, ptq_log_read(log, i, &value, 7, &record));
        assert_int_equal(record.size, 8);
    }
    ptq_log_close(log);
}

static void limits_and_mismatches_are_refused(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ptq_error error;
    ptq_log *log, *other;
    char large[300] = "";

    assert_answer(PTQ_ENOENT, ptq_log_open(scratch->bus, "l", &(struct ptq_log_options){.mode = PTQ_ATTACH, .error = &error}, &log));
    ptt_assert_found(error.text, "log 'l' does not exist", __FILE__, __LINE__);
    assert_ok(ptq_log_open(scratch->bus, "l", &(struct ptq_log_options){.mode = PTQ_CREATE, .capacity = 5, .item_size = 50}, &log));
    assert_answer(PTQ_EEXIST, ptq_log_open(scratch->bus, "l", &(struct ptq_log_options){.mode = PTQ_CREATE}, &other));
    assert_answer(PTQ_EMISMATCH, ptq_log_open(scratch->bus, "l", &(struct ptq_log_options){.capacity = 6, .error = &error}, &other));
    ptt_assert_found(error.text, "capacity 5, 6 was asked", __FILE__, __LINE__);
    assert_answer(PTQ_EMISMATCH, ptq_log_open(scratch->bus, "l", &(struct ptq_log_options){.item_size = 51, .error = &error}, &other));
    ptt_assert_found(error.text, "item_size 50, 51 was asked", __FILE__, __LINE__);
    assert_ok(ptq_log_open(scratch->bus, "l", NULL, &other));
    ptq_log_close(other);
    assert_answer(PTQ_EMSGSIZE, ptq_log_append(log, large, 51, NULL));
    assert_ok(ptq_log_append(log, large, 50, NULL));
    assert_answer(PTQ_EINVAL, ptq_log_append(log, NULL, 1, NULL));
    assert_answer(PTQ_EINVAL, ptq_log_open(scratch->bus, "l", &(struct ptq_log_options){.item_size = UINT32_MAX}, &other));
    assert_answer(PTQ_EBUSY, ptq_log_unlink(scratch->bus, "l", false));
    assert_ok(ptq_log_unlink(scratch->bus, "l", true));
    assert_answer(PTQ_EGONE, ptq_log_append(log, large, 1, NULL));
    ptq_log_close(log);
    ptq_log_close(NULL);
}

struct opening {
    const struct ptt_scratch *scratch;
    struct ptt_page *page;
};

static int open_at_once(void *context)
{
    const struct opening *opening = context;
    ptq_bus *bus = ptt_scratch_open(opening->scratch);
    ptq_log *log;

    atomic_fetch_add(&opening->page->words[0], 1);
    if (!ptt_wait_word(&opening->page->words[1], 1, PTT_LONG))
        return 1;
    enum ptq_err err = ptq_log_open(bus, "l", &(struct ptq_log_options){.wait_ms = PTT_LONG}, &log);
    return err == PTQ_OK && ptq_log_append(log, "1", 1, NULL) == PTQ_OK ? 0 : 2;
}

/* wait_ms is for who attaches: who may make it waits for nobody; and who comes second opens the first one's. */
static void a_log_opened_by_many_at_once_is_one(void **state)
{
    for (int round = 0; round < 10; round++) {
        struct ptt_scratch *scratch = *state;
        struct opening opening = {scratch, ptt_page_new()};
        uint64_t oldest, next;
        pid_t pids[4];
        ptq_log *log;
        for (int i = 0; i < 4; i++)
            pids[i] = ptt_fork(open_at_once, &opening);
        assert_true(ptt_wait_word(&opening.page->words[0], 4, PTT_LONG));
        atomic_store(&opening.page->words[1], 1);
        for (int i = 0; i < 4; i++)
            ptt_assert_exit(pids[i], 0, PTT_LONG / 2);
        assert_ok(ptq_log_open(scratch->bus, "l", &(struct ptq_log_options){.mode = PTQ_ATTACH, .capacity = 1000, .item_size = 240}, &log));
        assert_ok(ptq_log_bounds(log, &oldest, &next));
        assert_int_equal(next, 4);
        ptq_log_close(log);
        assert_ok(ptq_log_unlink(scratch->bus, "l", false));
        ptt_page_free(opening.page);
    }
}

/* ---- many */

#define RECORDS 3000
#define BEFORE 8

struct book {
    const struct ptt_scratch *scratch;
    struct ptt_page *page; /* each writer's: begun, done; from BEFORE on how many its former lives had begun, whose numbers it does not use */
    uint64_t records;
};
struct worker {
    struct book *book;
    unsigned index;
};

/* Which of its own, by whom, again and again up to a size of its own. */
struct event {
    uint64_t number, writer, filled[26];
};

static int append(void *context)
{
    const struct worker *worker = context;
    struct book *book = worker->book;
    ptq_log *log = open_log(book->scratch, 0);

    for (uint64_t n = 1; n <= book->records; n++) {
        struct event event = {book->page->words[BEFORE + worker->index] + n, worker->index, {0}};
        for (int i = 0; i < 26; i++)
            event.filled[i] = event.number;
        atomic_store(&book->page->words[2 * worker->index], n);
        if (ptq_log_append(log, &event, 16 + 8 * (event.number % 27), NULL) != PTQ_OK)
            return 90;
        atomic_store(&book->page->words[2 * worker->index + 1], n);
    }
    ptq_log_close(log);
    return 0;
}

/* Follows from `at`: each writer's are seen in its order; gaps only where records were gone.  How many were seen. */
static uint64_t follow(ptq_log *log, uint64_t at, uint64_t until, uint64_t *last, uint64_t *ret_lost)
{
    uint64_t seen = 0;

    while (at < until) {
        struct event event;
        struct ptq_log_record record;
        uint64_t next;
        assert_ok(ptq_log_wait(log, at, PTT_LONG));
        enum ptq_err err = ptq_log_read(log, at, &event, sizeof event, &record);
        if (err == PTQ_ELATE) {
            uint64_t oldest;
            assert_ok(ptq_log_bounds(log, &oldest, &next));
            assert_true(oldest > at);
            *ret_lost += oldest - at;
            at = oldest;
            continue;
        }
        assert_ok(err);
        assert_int_equal(record.position, at);
        assert_int_equal(record.size, 16 + 8 * (event.number % 27));
        for (uint64_t i = 0; i < event.number % 27; i++)
            assert_int_equal(event.filled[i], event.number);
        assert_true(event.number > last[event.writer]);
        last[event.writer] = event.number;
        seen++;
        at++;
    }
    return seen;
}

static void many_append_in_one_order_and_nothing_is_missing(void **state)
{
    struct book book = {*state, ptt_page_new(), RECORDS};
    ptq_log *log = open_log(*state, 4 * RECORDS);
    uint64_t last[4] = {0}, lost = 0;
    pid_t pids[4];

    for (unsigned i = 0; i < 4; i++)
        pids[i] = ptt_fork(append, &(struct worker){&book, i});
    assert_int_equal(follow(log, 0, 4 * RECORDS, last, &lost), 4 * RECORDS);
    assert_int_equal(lost, 0);
    for (unsigned i = 0; i < 4; i++) {
        ptt_assert_exit(pids[i], 0, PTT_LONG);
        assert_int_equal(last[i], RECORDS);
    }
    ptt_page_free(book.page);
    ptq_log_close(log);
}

/* Each kill costs at most the record that it hit, and leaves no gap; a small log wraps under the reader. */
static void writers_are_killed_and_stopped_and_the_log_goes_on(void **state)
{
    struct book book = {*state, ptt_page_new(), UINT64_MAX};
    ptq_log *log = open_log(*state, 64);
    uint64_t seed = ptt_seed(), last[4] = {0}, lost = 0, oldest, next, begun = 0, done = 0;
    pid_t pids[4];

    for (unsigned i = 0; i < 4; i++)
        pids[i] = ptt_fork(append, &(struct worker){&book, i});
    for (unsigned round = 0; round < 40; round++) {
        unsigned i = round % 4;
        _Atomic uint64_t *mine = &book.page->words[2 * i];
        assert_true(ptt_wait_word(&mine[1], 1 + ptt_random(&seed) % 300, PTT_LONG));
        ptt_stop(pids[i]);
        assert_ok(ptq_log_bounds(log, &oldest, &next));
        (void)follow(log, oldest, next, (uint64_t[4]){0}, &lost);
        ptt_kill(pids[i]);
        begun += atomic_load(&mine[0]);
        done += atomic_load(&mine[1]);
        atomic_fetch_add(&book.page->words[BEFORE + i], atomic_load(&mine[0]));
        atomic_store(&mine[0], 0);
        atomic_store(&mine[1], 0);
        pids[i] = ptt_fork(append, &(struct worker){&book, i});
    }
    for (unsigned i = 0; i < 4; i++) {
        ptt_kill(pids[i]);
        begun += atomic_load(&book.page->words[2 * i]);
        done += atomic_load(&book.page->words[2 * i + 1]);
    }
    assert_ok(ptq_log_bounds(log, &oldest, &next));
    assert_in_range(next, done, begun);
    assert_int_equal(next - oldest, 64);
    lost = 0;
    (void)last;
    for (uint64_t at = oldest; at < next; at++) {
        struct event event;
        struct ptq_log_record record;
        assert_ok(ptq_log_read(log, at, &event, sizeof event, &record));
    }
    for (uint64_t i = 0; i < 1000; i++) /* what the dead held is there again */
        assert_ok(ptq_log_append(log, &i, sizeof i, NULL));
    ptt_page_free(book.page);
    ptq_log_close(log);
}

static int wait_for_record(void *context)
{
    const struct worker *worker = context;
    ptq_log *log = open_log(worker->book->scratch, 0);

    for (uint64_t at = 0; at < 100; at++) {
        atomic_store(&worker->book->page->words[worker->index], at + 1); /* is about to wait for it */
        if (ptq_log_wait(log, at, PTQ_FOREVER) != PTQ_OK)
            return 91;
    }
    ptq_log_close(log);
    return 0;
}

static void every_record_wakes_who_waits_for_it(void **state)
{
    struct book book = {*state, ptt_page_new(), 0};
    ptq_log *log = open_log(*state, 10);
    pid_t pids[2];

    for (unsigned i = 0; i < 2; i++)
        pids[i] = ptt_fork(wait_for_record, &(struct worker){&book, i});
    for (uint64_t n = 0; n < 100; n++) {
        for (unsigned i = 0; i < 2; i++)
            assert_true(ptt_wait_word(&book.page->words[i], n + 1, PTT_LONG));
        if (n % 20 == 0)
            assert_true(ptt_wait_sleeping(pids[0], pids[0], PTT_LONG));
        assert_ok(ptq_log_append(log, &n, sizeof n, NULL));
    }
    for (unsigned i = 0; i < 2; i++)
        ptt_assert_exit(pids[i], 0, PTT_LONG);
    assert_answer(PTQ_TIMEDOUT, ptq_log_wait(log, 100, 10));
    assert_answer(PTQ_TIMEDOUT, ptq_log_wait(log, 100, PTQ_NOWAIT));
    assert_ok(ptq_log_wait(log, 0, PTQ_NOWAIT)); /* it has been */
    ptt_page_free(book.page);
    ptq_log_close(log);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, ptt_setup_scratch, ptt_teardown_scratch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(records_are_read_in_the_order_in_which_they_came),
        CASE(a_full_log_lets_the_oldest_go_and_says_so),
        CASE(limits_and_mismatches_are_refused),
        CASE(a_log_opened_by_many_at_once_is_one),
        CASE(many_append_in_one_order_and_nothing_is_missing),
        CASE(writers_are_killed_and_stopped_and_the_log_goes_on),
        CASE(every_record_wakes_who_waits_for_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
