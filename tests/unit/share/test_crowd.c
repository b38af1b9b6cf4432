/* test_crowd.c -- many processes on one share: killed, stopped, and still exact. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ptq/log.h>
#include <ptq/share.h>

#include "support/ptt.h"

#define WORKERS_MOST 64

/* What children record. */
struct book {
    const struct ptt_scratch *scratch;
    struct ptt_page *page;
    _Atomic uint64_t *begun, *done; /* each worker's own */
    _Atomic uint64_t *go, *stop, *bad;
    uint64_t adds;
};

static void new_book(struct book *book, const struct ptt_scratch *scratch)
{
    struct ptt_page *page = ptt_page_new();

    *book = (struct book){.scratch = scratch, .page = page, .begun = page->words, .done = page->words + WORKERS_MOST,
                          .go = page->words + 2 * WORKERS_MOST, .stop = page->words + 2 * WORKERS_MOST + 1,
                          .bad = page->words + 2 * WORKERS_MOST + 2};
}

struct worker {
    struct book *book;
    unsigned index;
};

static ptq_share *join(const struct ptt_scratch *scratch)
{
    ptq_share *share;
    ptq_bus *bus = ptt_scratch_open(scratch);

    if (ptq_share_open(bus, "s", NULL, &share) != PTQ_OK)
        exit(90);
    ptq_bus_close(bus);
    return share;
}

/* ---- numbers */

static int add(void *context)
{
    const struct worker *worker = context;
    struct book *book = worker->book;
    ptq_share *share = join(book->scratch);
    ptq_cell *cell;

    if (ptq_share_i64(share, "sum", 0, &cell) != PTQ_OK)
        return 91;
    if (!ptt_wait_word(book->go, 1, PTT_LONG))
        return 93;
    for (uint64_t i = 0; i < book->adds; i++) {
        atomic_fetch_add(&book->begun[worker->index], 1);
        if (ptq_i64_apply(cell, PTQ_ADD, 1, NULL) != PTQ_OK)
            return 92;
        atomic_fetch_add(&book->done[worker->index], 1);
    }
    ptq_cell_free(cell);
    ptq_share_close(share);
    return 0;
}

static void start(struct book *book, pid_t *pids, unsigned count, int (*work)(void *context))
{
    for (unsigned i = 0; i < count; i++)
        pids[i] = ptt_fork(work, &(struct worker){book, i});
}

/* What the first `count` workers have added for sure, and perhaps: the sum lies between. */
static void assert_sum(const struct book *book, unsigned count, int64_t sum)
{
    uint64_t begun = 0, done = 0;

    for (unsigned i = 0; i < count; i++) {
        begun += atomic_load(&book->begun[i]);
        done += atomic_load(&book->done[i]);
    }
    assert_in_range(sum, done, begun);
}

static int64_t sum_of(ptq_share *share)
{
    ptq_cell *cell;
    int64_t sum;

    assert_ok(ptq_share_i64(share, "sum", 0, &cell));
    assert_ok(ptq_i64_get(cell, &sum));
    ptq_cell_free(cell);
    return sum;
}

static void a_counter_over_10_workers_of_10_runs_is_exactly_100(void **state)
{
    struct book records, *book = &records;
    ptq_share *share = join(*state);
    pid_t pids[10];

    new_book(book, *state);
    book->adds = 10;
    start(book, pids, 10, add);
    atomic_store(book->go, 1);
    for (int i = 0; i < 10; i++)
        ptt_assert_exit(pids[i], 0, PTT_LONG);
    assert_int_equal(sum_of(share), 100);
    ptq_share_close(share);
    ptt_page_free(book->page);
}

#define THREADS 4
#define TURNS 400

struct thread {
    ptq_share *share;
    pthread_t id;
    unsigned index;
    unsigned wrong;
};

/* Everything at once through one handle: a value of its own, the sum, and a name that comes and goes. */
static void *use_all(void *context)
{
    struct thread *thread = context;
    char own[8], passing[16], bytes[200], back[200];
    ptq_cell *cell, *sum, *other;
    size_t size;

    snprintf(own, sizeof own, "t%u", thread->index);
    thread->wrong += ptq_share_bytes(thread->share, own, NULL, 0, &cell) != PTQ_OK || ptq_share_i64(thread->share, "sum", 0, &sum) != PTQ_OK;
    for (unsigned n = 0; n < TURNS && thread->wrong == 0; n++) {
        memset(bytes, (int)(n % 250), sizeof bytes);
        thread->wrong += ptq_cell_write(cell, bytes, sizeof bytes) != PTQ_OK;
        thread->wrong += ptq_i64_apply(sum, PTQ_ADD, 1, NULL) != PTQ_OK;
        snprintf(passing, sizeof passing, "p%u", n % 3);
        enum ptq_err err = ptq_share_bytes(thread->share, passing, bytes, 10, &other);
        if (err == PTQ_OK)
            ptq_cell_free(other);
        thread->wrong += err != PTQ_OK && err != PTQ_ENOENT; /* deleted again already */
        (void)ptq_share_delete(thread->share, passing);
        thread->wrong += ptq_cell_read(cell, back, sizeof back, &size, NULL) != PTQ_OK || size != sizeof bytes ||
                         memcmp(back, bytes, size) != 0;
    }
    ptq_cell_free(cell);
    ptq_cell_free(sum);
    return NULL;
}

static void threads_use_one_handle(void **state)
{
    ptq_share *share = join(*state);
    struct thread threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = (struct thread){.share = share, .index = i};
        assert_int_equal(pthread_create(&threads[i].id, NULL, use_all, &threads[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i].id, NULL);
        assert_int_equal(threads[i].wrong, 0);
    }
    assert_int_equal(sum_of(share), THREADS * TURNS);
    ptq_share_close(share);
}

/* Each kill costs at most the add that it hit. */
static void adds_of_64_workers_are_exact_though_some_are_killed(void **state)
{
    struct book records, *book = &records;
    ptq_share *share = join(*state);
    pid_t pids[WORKERS_MOST];
    uint64_t seed = ptt_seed();

    new_book(book, *state);
    book->adds = 100000;
    start(book, pids, WORKERS_MOST, add);
    atomic_store(book->go, 1);
    for (int i = 0; i < 16; i++) {
        assert_true(ptt_wait_word(&book->done[i], ptt_random(&seed) % 50000, PTT_LONG));
        ptt_kill(pids[i]);
    }
    for (int i = 16; i < WORKERS_MOST; i++)
        ptt_assert_exit(pids[i], 0, 2 * PTT_LONG);
    for (int i = 0; i < WORKERS_MOST; i++) {
        assert_in_range(atomic_load(&book->begun[i]) - atomic_load(&book->done[i]), 0, 1);
        assert_true(i < 16 || atomic_load(&book->done[i]) == book->adds);
    }
    assert_sum(book, WORKERS_MOST, sum_of(share));
    ptq_share_close(share);
    ptt_page_free(book->page);
}

/* ---- bytes */

#define VALUE 20000

/* Values of one byte each, and of a size that the byte tells. */
static size_t size_of(unsigned byte) { return 8000 + 40 * (size_t)byte; }

static bool is_whole(const unsigned char *value, size_t size)
{
    if (size == 0)
        return true;
    for (size_t i = 1; i < size; i++)
        if (value[i] != value[0])
            return false;
    return size == size_of(value[0]);
}

static int write_values(void *context)
{
    const struct worker *worker = context;
    struct book *book = worker->book;
    ptq_share *share = join(book->scratch);
    unsigned char value[VALUE];
    ptq_cell *cells[3];

    for (int i = 0; i < 3; i++) {
        char name[2] = {(char)('a' + i), 0};
        if (ptq_share_bytes(share, name, NULL, 0, &cells[i]) != PTQ_OK)
            return 91;
    }
    for (unsigned n = worker->index; atomic_load(book->stop) == 0; n += 7) {
        unsigned byte = n % 256;
        memset(value, (int)byte, sizeof value);
        if (ptq_cell_write(cells[n % 3], value, size_of(byte)) != PTQ_OK)
            atomic_fetch_add(book->bad, 1);
        atomic_fetch_add(&book->done[worker->index], 1);
    }
    return 0;
}

static void look_at_values(ptq_cell *const *cells, int looks)
{
    unsigned char value[VALUE];

    for (int i = 0; i < looks; i++) {
        size_t size;
        assert_ok(ptq_cell_read(cells[i % 3], value, sizeof value, &size, NULL));
        assert_true(is_whole(value, size));
    }
}

static void open_cells(ptq_share *share, ptq_cell **cells)
{
    for (int i = 0; i < 3; i++) {
        char name[2] = {(char)('a' + i), 0};
        assert_ok(ptq_share_bytes(share, name, NULL, 0, &cells[i]));
    }
}

/* Two killed each round, so more of them than there is memory beside what is in use: what they held comes back. */
static void values_are_whole_though_writers_are_killed(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct book records, *book = &records;
    ptq_share *share;
    ptq_cell *cells[3];
    uint64_t seed = ptt_seed();

    new_book(book, *state);
    assert_ok(ptq_share_open(scratch->bus, "s", &(struct ptq_share_options){.cells = 4, .value_size = VALUE, .max_endpoints = 4}, &share));
    open_cells(share, cells);
    for (int round = 0; round < 30; round++) {
        pid_t pids[2];
        uint64_t before = atomic_load(&book->done[0]);
        start(book, pids, 2, write_values);
        assert_true(ptt_wait_word(&book->done[0], before + 1 + ptt_random(&seed) % 500, PTT_LONG));
        look_at_values(cells, 200);
        ptt_kill(pids[0]);
        look_at_values(cells, 20);
        ptt_kill(pids[1]);
    }
    look_at_values(cells, 3);
    assert_int_equal(atomic_load(book->bad), 0);
    for (int i = 0; i < 3; i++)
        ptq_cell_free(cells[i]);
    ptq_share_close(share);
    ptt_page_free(book->page);
}

static void a_stopped_writer_stops_nobody(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct book records, *book = &records;
    ptq_share *share;
    ptq_cell *cells[3];
    uint64_t seed = ptt_seed();
    unsigned char value[VALUE];
    pid_t pids[3];

    new_book(book, *state);
    assert_ok(ptq_share_open(scratch->bus, "s", &(struct ptq_share_options){.cells = 4, .value_size = VALUE, .max_endpoints = 4}, &share));
    open_cells(share, cells);
    start(book, pids, 3, write_values);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 3; i++) {
            assert_true(ptt_wait_word(&book->done[i], atomic_load(&book->done[i]) + 1 + ptt_random(&seed) % 100, PTT_LONG));
            ptt_stop(pids[i]);
        }
        look_at_values(cells, 30);
        memset(value, round, sizeof value);
        for (int i = 0; i < 9; i++)
            assert_ok(ptq_cell_write(cells[i % 3], value, size_of((unsigned)round)));
        look_at_values(cells, 3);
        for (int i = 0; i < 3; i++)
            ptt_continue(pids[i]);
    }
    atomic_store(book->stop, 1);
    for (int i = 0; i < 3; i++)
        ptt_assert_exit(pids[i], 0, PTT_LONG);
    look_at_values(cells, 3);
    assert_int_equal(atomic_load(book->bad), 0);
    for (int i = 0; i < 3; i++)
        ptq_cell_free(cells[i]);
    ptq_share_close(share);
    ptt_page_free(book->page);
}

/* ---- coming and going */

/* Opens or makes, adds, closes, and removes what nobody has open, again and again. */
static int come_and_go(void *context)
{
    const struct worker *worker = context;
    struct book *book = worker->book;
    ptq_bus *bus = ptt_scratch_open(book->scratch);

    while (atomic_load(book->stop) == 0) {
        struct ptq_share_options small = {.cells = 4, .max_endpoints = 8};
        ptq_share *share;
        ptq_cell *cell;
        ptq_log *log;
        enum ptq_err err = ptq_share_open(bus, "s", &small, &share);
        if (err == PTQ_OK) {
            if (ptq_share_i64(share, "sum", 0, &cell) != PTQ_OK || ptq_i64_apply(cell, PTQ_ADD, 1, NULL) == PTQ_ECORRUPT)
                atomic_fetch_add(book->bad, 1);
            else
                ptq_cell_free(cell);
            ptq_share_close(share);
        }
        atomic_fetch_add(book->bad, err != PTQ_OK && err != PTQ_EBUSY);
        err = ptq_log_open(bus, "l", &(struct ptq_log_options){.capacity = 4, .max_endpoints = 8}, &log);
        if (err == PTQ_OK) {
            atomic_fetch_add(book->bad, ptq_log_append(log, "x", 1, NULL) == PTQ_ECORRUPT);
            ptq_log_close(log);
        }
        atomic_fetch_add(book->bad, err != PTQ_OK && err != PTQ_EBUSY);
        if (worker->index == 0) {
            err = ptq_share_unlink(bus, "s", false);
            atomic_fetch_add(book->bad, err != PTQ_OK && err != PTQ_EBUSY);
            err = ptq_log_unlink(bus, "l", false);
            atomic_fetch_add(book->bad, err != PTQ_OK && err != PTQ_EBUSY);
        }
        atomic_fetch_add(&book->done[worker->index], 1);
    }
    return 0;
}

static void openers_and_removers_are_killed_and_the_share_goes_on(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct book records, *book = &records;
    uint64_t seed = ptt_seed();
    struct ptq_gc_report report;
    pid_t pids[3];

    new_book(book, scratch);
    start(book, pids, 3, come_and_go);
    for (unsigned round = 0; round < 45; round++) {
        unsigned i = round % 3;
        assert_true(ptt_wait_word(&book->done[i], atomic_load(&book->done[i]) + 1 + ptt_random(&seed) % 20, PTT_LONG));
        ptt_kill(pids[i]);
        pids[i] = ptt_fork(come_and_go, &(struct worker){book, i});
    }
    atomic_store(book->stop, 1);
    for (unsigned i = 0; i < 3; i++)
        ptt_assert_exit(pids[i], 0, PTT_LONG);
    assert_int_equal(atomic_load(book->bad), 0);
    ptq_share_close(join(scratch));
    assert_ok(ptq_bus_gc(scratch->bus, true, &report));
    assert_int_equal(ptt_scratch_files(scratch, ""), 0);
    ptt_page_free(book->page);
}

/* ---- names */

#define NAMES 200

static int make_names(void *context)
{
    const struct worker *worker = context;
    ptq_share *share = join(worker->book->scratch);

    if (!ptt_wait_word(worker->book->go, 1, PTT_LONG))
        return 93;
    for (unsigned i = 0; i < NAMES; i++) {
        char name[20];
        ptq_cell *cell;
        snprintf(name, sizeof name, "name %u", (i + worker->index) % NAMES);
        if (ptq_share_u64(share, name, 0, &cell) != PTQ_OK || ptq_u64_apply(cell, PTQ_ADD, 1, NULL) != PTQ_OK)
            return 92;
        ptq_cell_free(cell);
    }
    ptq_share_close(share);
    return 0;
}

static void a_name_made_by_many_at_once_is_one_cell(void **state)
{
    struct book records, *book = &records;
    ptq_share *share = join(*state);
    pid_t pids[8];

    new_book(book, *state);
    start(book, pids, 8, make_names);
    atomic_store(book->go, 1);
    for (int i = 0; i < 8; i++)
        ptt_assert_exit(pids[i], 0, PTT_LONG);
    for (unsigned i = 0; i < NAMES; i++) {
        char name[20];
        uint64_t value;
        ptq_cell *cell;
        snprintf(name, sizeof name, "name %u", i);
        assert_ok(ptq_share_find(share, name, &cell));
        assert_ok(ptq_u64_get(cell, &value));
        assert_int_equal(value, 8);
        ptq_cell_free(cell);
    }
    ptq_share_close(share);
    ptt_page_free(book->page);
}

/* Each makes, changes and deletes cells of its own, in the places that others just left; one of them is killed now and then. */
static int make_and_delete(void *context)
{
    const struct worker *worker = context;
    struct book *book = worker->book;
    ptq_share *share = join(book->scratch);
    ptq_cell *shared;

    if (ptq_share_i64(share, "sum", 0, &shared) != PTQ_OK)
        return 91;
    for (uint64_t n = 0; atomic_load(book->stop) == 0; n++) {
        char name[40];
        int64_t value = 0;
        ptq_cell *cell;
        snprintf(name, sizeof name, "worker %u %u", worker->index, (unsigned)(n % 3));
        enum ptq_err err = ptq_share_i64(share, name, (int64_t)n, &cell);
        if (err != PTQ_OK) {
            atomic_fetch_add(book->bad, err == PTQ_EAGAIN ? 0 : 1);
            continue;
        }
        if (ptq_i64_apply(cell, PTQ_ADD, 1, &value) != PTQ_OK || value != (int64_t)n + 1 || ptq_share_delete(share, name) != PTQ_OK ||
            ptq_i64_get(cell, &value) != PTQ_ENOENT)
            atomic_fetch_add(book->bad, 1);
        ptq_cell_free(cell);
        atomic_fetch_add(&book->begun[worker->index], 1);
        if (ptq_i64_apply(shared, PTQ_ADD, 1, NULL) != PTQ_OK)
            atomic_fetch_add(book->bad, 1);
        atomic_fetch_add(&book->done[worker->index], 1);
    }
    return 0;
}

static void cells_that_come_and_go_do_not_meet(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct book records, *book = &records;
    ptq_share *share;
    uint64_t seed = ptt_seed(), value;
    pid_t pids[4];

    new_book(book, *state);
    assert_ok(ptq_share_open(scratch->bus, "s", &(struct ptq_share_options){.cells = 6, .max_endpoints = 6}, &share));
    start(book, pids, 4, make_and_delete);
    for (int round = 0; round < 25; round++) {
        unsigned victim = 3;
        assert_true(ptt_wait_word(&book->done[0], atomic_load(&book->done[0]) + 1 + ptt_random(&seed) % 1000, PTT_LONG));
        ptt_kill(pids[victim]);
        value = atomic_load(&book->done[victim]);
        char name[40]; /* what it was at may be left there */
        for (unsigned i = 0; i < 3; i++) {
            snprintf(name, sizeof name, "worker %u %u", victim, i);
            (void)ptq_share_delete(share, name);
        }
        pids[victim] = ptt_fork(make_and_delete, &(struct worker){book, victim});
        assert_true(ptt_wait_word(&book->done[victim], value + 1, PTT_LONG));
    }
    atomic_store(book->stop, 1);
    for (int i = 0; i < 4; i++)
        ptt_assert_exit(pids[i], 0, PTT_LONG);
    assert_int_equal(atomic_load(book->bad), 0);
    assert_sum(book, 4, sum_of(share));
    ptq_share_close(share);
    ptt_page_free(book->page);
}

/* ---- waiting */

static int wait_for_change(void *context)
{
    const struct worker *worker = context;
    struct book *book = worker->book;
    ptq_share *share = join(book->scratch);
    uint64_t version;
    ptq_cell *cell;

    if (ptq_share_i64(share, "sum", 0, &cell) != PTQ_OK || ptq_cell_version(cell, &version) != PTQ_OK)
        return 91;
    for (uint64_t n = 1;; n++) {
        int64_t value;
        atomic_store(&book->done[worker->index], n); /* it is about to wait for the nth time */
        enum ptq_err err = ptq_cell_wait(cell, version, PTQ_FOREVER, &version);
        if (err == PTQ_ENOENT || err == PTQ_EGONE)
            return err == PTQ_ENOENT ? 40 : 41;
        if (err != PTQ_OK || ptq_i64_get(cell, &value) != PTQ_OK)
            return 92;
        if (value == -1)
            return 0;
    }
}

static void every_change_wakes_who_waits_for_it(void **state)
{
    struct book records, *book = &records;
    ptq_share *share = join(*state);
    ptq_cell *cell;
    pid_t pids[2];
    uint64_t version;

    new_book(book, *state);
    assert_ok(ptq_share_i64(share, "sum", 0, &cell));
    start(book, pids, 2, wait_for_change);
    for (uint64_t n = 1; n <= 300; n++) {
        for (int i = 0; i < 2; i++)
            assert_true(ptt_wait_word(&book->done[i], n, PTT_LONG));
        if (n % 50 == 0)
            for (int i = 0; i < 2; i++)
                assert_true(ptt_wait_sleeping(pids[i], pids[i], PTT_LONG));
        assert_ok(ptq_i64_apply(cell, n == 300 ? PTQ_SET : PTQ_ADD, n == 300 ? -1 : 1, NULL));
    }
    for (int i = 0; i < 2; i++)
        ptt_assert_exit(pids[i], 0, PTT_LONG);
    assert_ok(ptq_cell_version(cell, &version));
    assert_answer(PTQ_TIMEDOUT, ptq_cell_wait(cell, version, 20, NULL));
    assert_answer(PTQ_TIMEDOUT, ptq_cell_wait(cell, version, 600, NULL)); /* longer than a slice */
    assert_ok(ptq_cell_wait(cell, version - 1, PTQ_NOWAIT, &version));
    ptq_cell_free(cell);
    ptq_share_close(share);
    ptt_page_free(book->page);
}

/* Has it an epoll instance?  Then it sleeps in its descriptor; an inotify instance is not to be had for everybody. */
static bool sleeps_long(void *context)
{
    char command[120];

    snprintf(command, sizeof command, "ls -l /proc/%d/fd | grep -q eventpoll", *(pid_t *)context);
    return system(command) == 0;
}

static void who_sleeps_long_is_woken_by_change_delete_and_removal(void **state)
{
    struct ptt_scratch *scratch = *state;

    for (int what = 0; what < 3; what++) {
        struct book records, *book = &records;
        ptq_share *share = join(scratch);
        ptq_cell *cell;
        pid_t pid;
        new_book(book, scratch);
        assert_ok(ptq_share_i64(share, "sum", 0, &cell));
        start(book, &pid, 1, wait_for_change);
        assert_true(ptt_wait_until(sleeps_long, &pid, PTT_LONG));
        assert_true(ptt_wait_sleeping(pid, pid, PTT_LONG));
        if (what == 0)
            assert_ok(ptq_i64_apply(cell, PTQ_SET, -1, NULL));
        else if (what == 1)
            assert_ok(ptq_share_delete(share, "sum"));
        else
            assert_ok(ptq_share_unlink(scratch->bus, "s", true));
        ptt_assert_exit(pid, what == 0 ? 0 : 39 + what, PTT_LONG);
        ptq_cell_free(cell);
        ptq_share_close(share);
        ptt_page_free(book->page);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, ptt_setup_scratch, ptt_teardown_scratch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_counter_over_10_workers_of_10_runs_is_exactly_100),
        CASE(threads_use_one_handle),
        CASE(adds_of_64_workers_are_exact_though_some_are_killed),
        CASE(values_are_whole_though_writers_are_killed),
        CASE(a_stopped_writer_stops_nobody),
        CASE(openers_and_removers_are_killed_and_the_share_goes_on),
        CASE(a_name_made_by_many_at_once_is_one_cell),
        CASE(cells_that_come_and_go_do_not_meet),
        CASE(every_change_wakes_who_waits_for_it),
        CASE(who_sleeps_long_is_woken_by_change_delete_and_removal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
