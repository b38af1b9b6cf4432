/* test_map.c -- maps and sets of a share: what they hold, and many processes on one. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ptq/share.h>

#include "support/ptt.h"

static ptq_share *open_share(const struct ptt_scratch *scratch, uint32_t cells)
{
    ptq_bus *bus = ptt_scratch_open(scratch);
    ptq_share *share;

    if (ptq_share_open(bus, "s", &(struct ptq_share_options){.cells = cells}, &share) != PTQ_OK)
        abort();
    ptq_bus_close(bus);
    return share;
}

static void keys_are_set_read_and_removed(void **state)
{
    ptq_share *share = open_share(*state, 0);
    char value[20];
    uint64_t version, later;
    size_t size;

    assert_answer(PTQ_ENOENT, ptq_map_get(share, "m", "k", 1, value, sizeof value, &size, NULL));
    assert_ok(ptq_map_set(share, "m", "k", 1, "one", 3));
    assert_ok(ptq_map_get(share, "m", "k", 1, value, sizeof value, &size, &version));
    assert_int_equal(size, 3);
    assert_memory_equal(value, "one", 3);
    assert_ok(ptq_map_set(share, "m", "k", 1, "three", 5));
    assert_ok(ptq_map_get(share, "m", "k", 1, value, sizeof value, &size, &later));
    assert_memory_equal(value, "three", 5);
    assert_int_equal(later, version + 1);
    assert_answer(PTQ_EMSGSIZE, ptq_map_get(share, "m", "k", 1, value, 4, &size, NULL));
    assert_ok(ptq_map_remove(share, "m", "k", 1));
    assert_answer(PTQ_ENOENT, ptq_map_remove(share, "m", "k", 1));
    assert_answer(PTQ_ENOENT, ptq_map_get(share, "m", "k", 1, value, sizeof value, &size, NULL));
    ptq_share_close(share);
}

/* Of maps, sets and cells, and of keys of any bytes. */
static void names_and_keys_do_not_meet(void **state)
{
    ptq_share *share = open_share(*state, 0);
    char value[20], key[PTQ_CELL_NAME_MAX] = "";
    ptq_cell *cell;
    size_t size;

    assert_ok(ptq_share_bytes(share, "m", "cell", 4, &cell));
    assert_ok(ptq_map_set(share, "m", "\0", 1, "zero", 4));
    assert_ok(ptq_map_set(share, "m", "\0\0", 2, "zeroes", 6));
    assert_ok(ptq_map_set(share, "mm", "\0", 1, "other", 5));
    assert_ok(ptq_map_get(share, "m", "\0", 1, value, sizeof value, &size, NULL));
    assert_int_equal(size, 4);
    assert_ok(ptq_map_get(share, "m", "\0\0", 2, value, sizeof value, &size, NULL));
    assert_int_equal(size, 6);
    assert_ok(ptq_cell_read(cell, value, sizeof value, &size, NULL));
    assert_memory_equal(value, "cell", 4);
    assert_ok(ptq_set_add(share, "x", key, PTQ_CELL_NAME_MAX - 2));
    assert_answer(PTQ_EINVAL, ptq_set_add(share, "x", key, PTQ_CELL_NAME_MAX - 1));
    assert_answer(PTQ_EINVAL, ptq_set_add(share, "x", key, 0));
    assert_answer(PTQ_EINVAL, ptq_set_add(share, "", key, 1));
    for (size_t length = PTQ_CELL_NAME_MAX - 3; length < PTQ_CELL_NAME_MAX + 10; length++) {
        char map[PTQ_CELL_NAME_MAX + 11];
        memset(map, 'm', length);
        map[length] = '\0';
        assert_answer(length + 2 <= PTQ_CELL_NAME_MAX ? PTQ_OK : PTQ_EINVAL, ptq_set_add(share, map, "k", 1));
        assert_answer(PTQ_EINVAL, ptq_map_get(share, map, key, 100, value, sizeof value, &size, NULL));
    }
    ptq_cell_free(cell);
    ptq_share_close(share);
}

static bool count_key(const struct ptq_cell_info *info, void *context)
{
    int *seen = context;

    assert_string_equal(info->name, "m");
    assert_non_null(info->key);
    seen[((const unsigned char *)info->key)[0] - '0']++;
    return true;
}

static bool count_all(const struct ptq_cell_info *info, void *context)
{
    (void)info;
    ++*(int *)context;
    return true;
}

static void the_keys_of_a_map_are_listed_and_cleared(void **state)
{
    ptq_share *share = open_share(*state, 0);
    int seen[10] = {0}, all = 0;
    ptq_cell *cell;

    assert_ok(ptq_share_i64(share, "m", 0, &cell));
    ptq_cell_free(cell);
    for (char key = '0'; key <= '9'; key++)
        assert_ok(ptq_map_set(share, "m", &key, 1, &key, 1));
    assert_ok(ptq_set_add(share, "another", "0", 1));
    assert_ok(ptq_map_each(share, "m", count_key, seen));
    for (int i = 0; i < 10; i++)
        assert_int_equal(seen[i], 1);
    assert_ok(ptq_share_each(share, count_all, &all));
    assert_int_equal(all, 12);
    assert_ok(ptq_share_clear(share));
    all = 0;
    assert_ok(ptq_share_each(share, count_all, &all));
    assert_int_equal(all, 0);
    ptq_share_close(share);
}

/* ---- many */

struct book {
    const struct ptt_scratch *scratch;
    struct ptt_page *page; /* how many each worker won; 100: go, 101: bad, 102: stop */
};
struct worker {
    struct book *book;
    unsigned index;
};
#define KEYS 300

static int win_keys(void *context)
{
    const struct worker *worker = context;
    ptq_share *share = open_share(worker->book->scratch, 0);

    if (!ptt_wait_word(&worker->book->page->words[100], 1, PTT_LONG))
        return 93;
    for (uint32_t i = 0; i < KEYS; i++) {
        uint32_t key = (i + 7 * worker->index) % KEYS;
        enum ptq_err err = ptq_set_add(share, "won", &key, sizeof key);
        if (err == PTQ_OK)
            atomic_fetch_add(&worker->book->page->words[worker->index], 1);
        else if (err != PTQ_EALREADY)
            return 90;
    }
    for (uint32_t key = 0; key < KEYS; key++)
        if (ptq_set_has(share, "won", &key, sizeof key) != PTQ_OK)
            return 91;
    ptq_share_close(share);
    return 0;
}

static void each_key_of_a_set_is_won_by_one(void **state)
{
    struct book book = {*state, ptt_page_new()};
    ptq_share *share = open_share(*state, KEYS + 20);
    pid_t pids[6];
    uint64_t won = 0;

    for (unsigned i = 0; i < 6; i++)
        pids[i] = ptt_fork(win_keys, &(struct worker){&book, i});
    atomic_store(&book.page->words[100], 1);
    for (unsigned i = 0; i < 6; i++) {
        ptt_assert_exit(pids[i], 0, PTT_LONG);
        won += atomic_load(&book.page->words[i]);
    }
    assert_int_equal(won, KEYS);
    ptt_page_free(book.page);
    ptq_share_close(share);
}

/* Sets, replaces and removes keys that others set and remove, too: a value is whole, and of its key. */
static int set_and_remove(void *context)
{
    const struct worker *worker = context;
    struct ptt_page *page = worker->book->page;
    ptq_share *share = open_share(worker->book->scratch, 0);
    uint64_t random = 5 + worker->index;

    while (atomic_load(&page->words[102]) == 0) {
        uint64_t key = ptt_random(&random) % 8, value[100], got[100];
        size_t size;
        for (int i = 0; i < 100; i++)
            value[i] = key;
        enum ptq_err err = ptq_map_set(share, "m", &key, sizeof key, value, 8 * (1 + ptt_random(&random) % 100));
        if (err != PTQ_OK)
            atomic_fetch_add(&page->words[101], 1);
        err = ptq_map_get(share, "m", &key, sizeof key, got, sizeof got, &size, NULL);
        if ((err != PTQ_OK && err != PTQ_ENOENT) || (err == PTQ_OK && (size == 0 || size % 8 != 0 || memcmp(got, value, size) != 0)))
            atomic_fetch_add(&page->words[101], 1);
        err = ptt_random(&random) % 2 ? ptq_map_remove(share, "m", &key, sizeof key) : PTQ_OK;
        if (err != PTQ_OK && err != PTQ_ENOENT)
            atomic_fetch_add(&page->words[101], 1);
        atomic_fetch_add(&page->words[worker->index], 1);
    }
    return 0;
}

static void keys_come_and_go_under_many_of_whom_some_are_killed(void **state)
{
    struct book book = {*state, ptt_page_new()};
    ptq_share *share = open_share(*state, 40);
    uint64_t seed = ptt_seed();
    pid_t pids[4];

    for (unsigned i = 0; i < 4; i++)
        pids[i] = ptt_fork(set_and_remove, &(struct worker){&book, i});
    for (int round = 0; round < 25; round++) {
        _Atomic uint64_t *done = &book.page->words[round % 4];
        assert_true(ptt_wait_word(done, atomic_load(done) + 1 + ptt_random(&seed) % 2000, PTT_LONG));
        ptt_kill(pids[round % 4]);
        pids[round % 4] = ptt_fork(set_and_remove, &(struct worker){&book, (unsigned)round % 4});
    }
    atomic_store(&book.page->words[102], 1);
    for (unsigned i = 0; i < 4; i++)
        ptt_assert_exit(pids[i], 0, PTT_LONG);
    assert_int_equal(atomic_load(&book.page->words[101]), 0);
    ptt_page_free(book.page);
    ptq_share_close(share);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, ptt_setup_scratch, ptt_teardown_scratch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(keys_are_set_read_and_removed),
        CASE(names_and_keys_do_not_meet),
        CASE(the_keys_of_a_map_are_listed_and_cleared),
        CASE(each_key_of_a_set_is_won_by_one),
        CASE(keys_come_and_go_under_many_of_whom_some_are_killed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
