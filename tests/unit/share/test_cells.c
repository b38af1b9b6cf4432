/* test_cells.c -- a share's cells: what they are, what they refuse, who sees what. */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ptq/share.h>

#include "support/ptt.h"

static ptq_share *open_share(const struct ptt_scratch *scratch, const struct ptq_share_options *options)
{
    ptq_share *share;

    assert_ok(ptq_share_open(scratch->bus, "s", options, &share));
    return share;
}

/* ---- numbers */

static void an_integer_is_set_added_to_and_compared(void **state)
{
    ptq_share *share = open_share(*state, NULL);
    ptq_cell *cell;
    int64_t now, expected = 5;

    assert_ok(ptq_share_i64(share, "x", -7, &cell));
    assert_ok(ptq_i64_get(cell, &now));
    assert_int_equal(now, -7);
    assert_ok(ptq_i64_apply(cell, PTQ_ADD, 10, &now));
    assert_int_equal(now, 3);
    assert_ok(ptq_i64_apply(cell, PTQ_SUB, 1, NULL));
    assert_ok(ptq_i64_apply(cell, PTQ_MUL, -6, &now));
    assert_int_equal(now, -12);
    assert_ok(ptq_i64_apply(cell, PTQ_DIV, 5, &now));
    assert_int_equal(now, -2);
    assert_answer(PTQ_EINVAL, ptq_i64_apply(cell, PTQ_DIV, 0, &now));
    assert_ok(ptq_i64_apply(cell, PTQ_MIN, -3, &now));
    assert_int_equal(now, -3);
    assert_ok(ptq_i64_apply(cell, PTQ_MAX, 12, &now));
    assert_int_equal(now, 12);
    assert_ok(ptq_i64_apply(cell, PTQ_AND, 9, &now));
    assert_int_equal(now, 8);
    assert_ok(ptq_i64_apply(cell, PTQ_OR, 3, &now));
    assert_int_equal(now, 11);
    assert_ok(ptq_i64_apply(cell, PTQ_XOR, 1, &now));
    assert_int_equal(now, 10);
    assert_answer(PTQ_EAGAIN, ptq_i64_cas(cell, &expected, 1));
    assert_int_equal(expected, 10);
    assert_ok(ptq_i64_cas(cell, &expected, 1));
    assert_ok(ptq_i64_swap(cell, 99, &now));
    assert_int_equal(now, 1);
    ptq_cell_free(cell);
    ptq_share_close(share);
}

/* What each operation makes of 12 and 10, and of 10 and 12. */
static void each_operation_computes_for_each_type(void **state)
{
    static const struct {
        enum ptq_op op;
        int there, back;
        bool of_doubles;
    } table[] = {{PTQ_SET, 10, 12, true},  {PTQ_ADD, 22, 22, true}, {PTQ_SUB, 2, -2, true}, {PTQ_MUL, 120, 120, true}, {PTQ_MIN, 10, 10, true},
                 {PTQ_MAX, 12, 12, true},  {PTQ_AND, 8, 8, false},  {PTQ_OR, 14, 14, false}, {PTQ_XOR, 6, 6, false},   {PTQ_DIV, 1, 0, false}};
    ptq_share *share = open_share(*state, NULL);
    ptq_cell *i, *u, *f;

    assert_ok(ptq_share_i64(share, "i", 0, &i));
    assert_ok(ptq_share_u64(share, "u", 0, &u));
    assert_ok(ptq_share_f64(share, "f", 0, &f));
    for (size_t k = 0; k < 2 * sizeof table / sizeof *table; k++) {
        size_t row = k / 2;
        int first = k % 2 == 0 ? 12 : 10, second = 22 - first, wanted = k % 2 == 0 ? table[row].there : table[row].back;
        int64_t i64;
        uint64_t u64;
        double f64;
        assert_ok(ptq_i64_apply(i, PTQ_SET, first, NULL));
        assert_ok(ptq_i64_apply(i, table[row].op, second, &i64));
        assert_true(i64 == wanted);
        assert_ok(ptq_u64_apply(u, PTQ_SET, (uint64_t)first, NULL));
        assert_ok(ptq_u64_apply(u, table[row].op, (uint64_t)second, &u64));
        assert_true(u64 == (uint64_t)(int64_t)wanted);
        assert_ok(ptq_f64_apply(f, PTQ_SET, first, NULL));
        if (table[row].of_doubles) {
            assert_ok(ptq_f64_apply(f, table[row].op, second, &f64));
            assert_true(f64 == wanted);
        } else if (table[row].op != PTQ_DIV) {
            assert_answer(PTQ_EINVAL, ptq_f64_apply(f, table[row].op, second, &f64));
        }
    }
    ptq_cell_free(i);
    ptq_cell_free(u);
    ptq_cell_free(f);
    ptq_share_close(share);
}

/* As fmin and fmax: a number rather than none, from either side. */
static void least_and_most_know_large_numbers_and_what_is_none(void **state)
{
    ptq_share *share = open_share(*state, NULL);
    const uint64_t large = UINT64_MAX - 1; /* of a signed one, -2 */
    double now = 0, none = strtod("nan", NULL);
    uint64_t most = 0;
    ptq_cell *u, *f;

    assert_ok(ptq_share_u64(share, "u", large, &u));
    assert_ok(ptq_u64_apply(u, PTQ_MAX, 1, &most));
    assert_true(most == large);
    assert_ok(ptq_u64_apply(u, PTQ_MIN, 1, &most));
    assert_true(most == 1);
    assert_ok(ptq_share_f64(share, "f", none, &f));
    assert_ok(ptq_f64_apply(f, PTQ_MIN, 3, &now));
    assert_true(now == 3);
    assert_ok(ptq_f64_apply(f, PTQ_MAX, none, &now));
    assert_true(now == 3);
    assert_ok(ptq_f64_apply(f, PTQ_SET, none, NULL));
    assert_ok(ptq_f64_apply(f, PTQ_MAX, -3, &now));
    assert_true(now == -3);
    ptq_cell_free(u);
    ptq_cell_free(f);
    ptq_share_close(share);
}

static void integers_wrap_round(void **state)
{
    ptq_share *share = open_share(*state, NULL);
    ptq_cell *i, *u;
    int64_t now;
    uint64_t large;

    assert_ok(ptq_share_i64(share, "i", INT64_MAX, &i));
    assert_ok(ptq_share_u64(share, "u", 0, &u));
    assert_ok(ptq_i64_apply(i, PTQ_ADD, 1, &now));
    assert_true(now == INT64_MIN);
    assert_ok(ptq_i64_apply(i, PTQ_DIV, -1, &now));
    assert_true(now == INT64_MIN);
    assert_ok(ptq_u64_apply(u, PTQ_SUB, 1, &large));
    assert_true(large == UINT64_MAX);
    assert_ok(ptq_u64_apply(u, PTQ_DIV, 2, &large));
    assert_true(large == INT64_MAX);
    ptq_cell_free(i);
    ptq_cell_free(u);
    ptq_share_close(share);
}

static double halve(double value, void *context)
{
    (void)context;
    return value / 2;
}

static void a_double_is_computed_with(void **state)
{
    ptq_share *share = open_share(*state, NULL);
    ptq_cell *cell;
    double now, expected = 3.5;

    assert_ok(ptq_share_f64(share, "f", 1.5, &cell));
    assert_ok(ptq_f64_apply(cell, PTQ_ADD, 2, &now));
    assert_true(now == 3.5);
    assert_ok(ptq_f64_cas(cell, &expected, -1));
    assert_ok(ptq_f64_apply(cell, PTQ_MAX, NAN, &now));
    assert_true(now == -1);
    assert_ok(ptq_f64_apply(cell, PTQ_DIV, 0, &now));
    assert_true(isinf(now));
    assert_ok(ptq_f64_apply(cell, PTQ_SET, 8, NULL));
    assert_ok(ptq_f64_update(cell, halve, NULL, &now));
    assert_true(now == 4);
    assert_answer(PTQ_EINVAL, ptq_f64_apply(cell, PTQ_XOR, 1, &now));
    ptq_cell_free(cell);
    ptq_share_close(share);
}

static void the_first_value_is_the_first_ones(void **state)
{
    ptq_share *share = open_share(*state, NULL);
    ptq_cell *one, *two;
    int64_t value;

    assert_ok(ptq_share_i64(share, "x", 1, &one));
    assert_ok(ptq_share_i64(share, "x", 2, &two));
    assert_ok(ptq_i64_get(two, &value));
    assert_int_equal(value, 1);
    ptq_cell_free(one);
    ptq_cell_free(two);
    ptq_share_close(share);
}

static void another_type_is_a_mismatch(void **state)
{
    ptq_share *share = open_share(*state, NULL);
    ptq_cell *cell, *other;
    double value;
    size_t size;

    assert_ok(ptq_share_i64(share, "x", 1, &cell));
    assert_answer(PTQ_EMISMATCH, ptq_share_f64(share, "x", 1, &other));
    assert_answer(PTQ_EMISMATCH, ptq_f64_get(cell, &value));
    assert_answer(PTQ_EMISMATCH, ptq_cell_read(cell, NULL, 0, &size, NULL));
    assert_answer(PTQ_EMISMATCH, ptq_cell_write(cell, "x", 1));
    assert_ok(ptq_share_find(share, "x", &other));
    assert_int_equal(ptq_cell_type(other), PTQ_CELL_I64);
    assert_string_equal(ptq_cell_name(other), "x");
    ptq_cell_free(cell);
    ptq_cell_free(other);
    ptq_share_close(share);
}

/* ---- bytes */

static void bytes_are_written_and_read(void **state)
{
    ptq_share *share = open_share(*state, &(struct ptq_share_options){.value_size = 100});
    ptq_cell *cell;
    char text[101] = "";
    uint64_t version, later;
    size_t size;

    assert_ok(ptq_share_bytes(share, "t", "hello", 5, &cell));
    assert_ok(ptq_cell_read(cell, text, sizeof text, &size, &version));
    assert_int_equal(size, 5);
    assert_memory_equal(text, "hello", 5);
    assert_answer(PTQ_EMSGSIZE, ptq_cell_read(cell, text, 4, &size, NULL));
    assert_int_equal(size, 5);
    memset(text, 'x', sizeof text);
    assert_answer(PTQ_EMSGSIZE, ptq_cell_write(cell, text, 101));
    assert_ok(ptq_cell_write(cell, text, 100));
    assert_answer(PTQ_EAGAIN, ptq_cell_write_if(cell, version, "no", 2));
    assert_ok(ptq_cell_version(cell, &later));
    assert_int_equal(later, version + 1);
    assert_ok(ptq_cell_write_if(cell, later, "", 0));
    assert_ok(ptq_cell_read(cell, NULL, 0, &size, NULL));
    assert_int_equal(size, 0);
    assert_answer(PTQ_EMSGSIZE, ptq_share_bytes(share, "u", text, 101, &cell));
    ptq_cell_free(cell);
    ptq_share_close(share);
}

/* The same memory is written again and again: what it was is free, though nobody gives it back. */
static void a_value_is_written_more_often_than_there_is_memory(void **state)
{
    ptq_share *share = open_share(*state, &(struct ptq_share_options){.cells = 3, .max_endpoints = 2});
    ptq_cell *cells[3];

    for (int i = 0; i < 3; i++) {
        char name[2] = {(char)('a' + i), 0};
        assert_ok(ptq_share_bytes(share, name, NULL, 0, &cells[i]));
    }
    for (uint64_t n = 0; n < 3000; n++)
        assert_ok(ptq_cell_write(cells[n % 3], &n, sizeof n));
    for (uint64_t n = 2997; n < 3000; n++) {
        uint64_t value;
        size_t size;
        assert_ok(ptq_cell_read(cells[n % 3], &value, sizeof value, &size, NULL));
        assert_int_equal(value, n);
        ptq_cell_free(cells[n % 3]);
    }
    ptq_share_close(share);
}

/* ---- names */

static void a_share_that_is_full_says_so_and_takes_others_for_those_deleted(void **state)
{
    ptq_share *share = open_share(*state, &(struct ptq_share_options){.cells = 20, .max_endpoints = 2});
    ptq_cell *cell;
    enum ptq_err err = PTQ_OK;
    int made = 0;

    for (; err == PTQ_OK && made < 100; made++) {
        char name[20];
        snprintf(name, sizeof name, "cell %d", made);
        err = ptq_share_i64(share, name, made, &cell);
        if (err == PTQ_OK)
            ptq_cell_free(cell);
    }
    assert_answer(PTQ_EAGAIN, err);
    assert_in_range(made - 1, 20, 22);
    for (int round = 0; round < 500; round++) {
        char old[20], new[20];
        int64_t value;
        snprintf(old, sizeof old, round < made - 1 ? "cell %d" : "new %d", round < made - 1 ? round : round - (made - 1));
        snprintf(new, sizeof new, "new %d", round);
        assert_ok(ptq_share_delete(share, old));
        assert_answer(PTQ_ENOENT, ptq_share_delete(share, old));
        assert_answer(PTQ_ENOENT, ptq_share_find(share, old, &cell));
        assert_ok(ptq_share_i64(share, new, round, &cell));
        assert_ok(ptq_i64_get(cell, &value));
        assert_int_equal(value, round);
        ptq_cell_free(cell);
    }
    ptq_share_close(share);
}

static void a_handle_names_a_cell_and_follows_it(void **state)
{
    ptq_share *share = open_share(*state, NULL);
    ptq_cell *cell, *other;
    int64_t value;

    assert_ok(ptq_share_i64(share, "x", 1, &cell));
    assert_ok(ptq_share_delete(share, "x"));
    assert_answer(PTQ_ENOENT, ptq_i64_get(cell, &value));
    assert_answer(PTQ_ENOENT, ptq_i64_apply(cell, PTQ_ADD, 1, NULL));
    assert_ok(ptq_share_i64(share, "y", 7, &other)); /* perhaps in the same place */
    assert_answer(PTQ_ENOENT, ptq_i64_apply(cell, PTQ_ADD, 1, NULL));
    ptq_cell_free(other);
    assert_ok(ptq_share_i64(share, "x", 2, &other));
    assert_ok(ptq_i64_apply(cell, PTQ_ADD, 1, &value));
    assert_int_equal(value, 3);
    ptq_cell_free(other);
    ptq_cell_free(cell);
    assert_ok(ptq_share_find(share, "y", &cell));
    assert_ok(ptq_i64_get(cell, &value));
    assert_int_equal(value, 7);
    ptq_cell_free(cell);
    ptq_share_close(share);
}

static bool count_cell(const struct ptq_cell_info *info, void *context)
{
    int *seen = context;

    if (strcmp(info->name, "i") == 0 && info->type == PTQ_CELL_I64 && info->i64 == -1)
        seen[0]++;
    if (strcmp(info->name, "f") == 0 && info->type == PTQ_CELL_F64 && info->f64 == 0.5)
        seen[1]++;
    if (strcmp(info->name, "b") == 0 && info->type == PTQ_CELL_BYTES && info->size == 3)
        seen[2]++;
    seen[3]++;
    return true;
}

static bool note_name(const char *name, void *context)
{
    strcat(strcat(context, name), " ");
    return true;
}

static void a_cell_made_again_goes_on_above_all_its_versions(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_share *share;
    ptq_cell *cell, *other;
    uint64_t version, again, last = 0;

    assert_ok(ptq_share_open(scratch->bus, "s", &(struct ptq_share_options){.cells = 8, .max_endpoints = 2}, &share));
    for (int round = 0; round < 30; round++) {
        char name[8];
        assert_ok(ptq_share_bytes(share, "v", "a", 1, &cell));
        for (int i = 0; i < 5 * (round % 3); i++)
            assert_ok(ptq_cell_write(cell, "b", 1));
        assert_ok(ptq_cell_version(cell, &version));
        assert_true(version > last);
        assert_ok(ptq_share_delete(share, "v"));
        snprintf(name, sizeof name, "o%d", round % 5);
        (void)ptq_share_delete(share, name); /* so that "v" stands elsewhere each time */
        assert_ok(ptq_share_i64(share, name, 0, &other));
        ptq_cell_free(other);
        ptq_cell_free(cell);
        assert_ok(ptq_share_bytes(share, "v", "c", 1, &cell));
        assert_ok(ptq_cell_version(cell, &again));
        assert_true(again > version);
        assert_answer(PTQ_EAGAIN, ptq_cell_write_if(cell, version, "d", 1));
        assert_ok(ptq_cell_wait(cell, version, PTQ_NOWAIT, NULL));
        last = again;
        assert_ok(ptq_share_delete(share, "v"));
        ptq_cell_free(cell);
    }
    ptq_share_close(share);
}

static void a_share_that_is_full_of_bytes_can_still_be_written(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_share *share;
    ptq_cell *cells[40];
    unsigned count = 0;
    char name[8];

    assert_ok(ptq_share_open(scratch->bus, "s", &(struct ptq_share_options){.cells = 16, .max_endpoints = 4}, &share));
    for (enum ptq_err err = PTQ_OK; count < 40; count++) {
        snprintf(name, sizeof name, "c%u", count);
        err = ptq_share_bytes(share, name, "a", 1, &cells[count]);
        if (err != PTQ_OK) {
            assert_answer(PTQ_EAGAIN, err);
            break;
        }
    }
    assert_in_range(count, 16, 20);
    for (int round = 0; round < 5; round++)
        for (unsigned i = 0; i < count; i++)
            assert_ok(ptq_cell_write(cells[i], name, sizeof name));
    while (count > 0)
        ptq_cell_free(cells[--count]);
    ptq_share_close(share);
}

static void cells_and_shares_are_listed_and_cleared(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_share *share = open_share(scratch, NULL);
    ptq_cell *cell;
    int seen[4] = {0};
    char names[100] = "";

    assert_ok(ptq_share_i64(share, "i", -1, &cell));
    ptq_cell_free(cell);
    assert_ok(ptq_share_f64(share, "f", 0.5, &cell));
    ptq_cell_free(cell);
    assert_ok(ptq_share_bytes(share, "b", "abc", 3, &cell));
    ptq_cell_free(cell);
    assert_ok(ptq_share_each(share, count_cell, seen));
    for (int i = 0; i < 3; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(seen[3], 3);
    assert_ok(ptq_map_set(share, "m", "k\0y", 3, "v", 1));
    assert_ok(ptq_set_add(share, "t", "x", 1));
    assert_ok(ptq_share_clear(share));
    assert_answer(PTQ_ENOENT, ptq_set_has(share, "m", "k\0y", 3));
    assert_answer(PTQ_ENOENT, ptq_set_has(share, "t", "x", 1));
    assert_ok(ptq_share_each(share, count_cell, seen));
    assert_int_equal(seen[3], 3);
    assert_ok(ptq_share_list(scratch->bus, note_name, names));
    assert_string_equal(names, "s ");
    names[0] = '\0';
    assert_ok(ptq_bus_list(scratch->bus, note_name, names)); /* a share is no queue */
    assert_string_equal(names, "");
    ptq_share_close(share);
}

static void bad_names_and_arguments_are_refused(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_share *share = open_share(scratch, NULL), *other;
    struct ptq_error error;
    char name[PTQ_CELL_NAME_MAX + 2];
    ptq_cell *cell;

    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_answer(PTQ_EINVAL, ptq_share_i64(share, name, 0, &cell));
    name[PTQ_CELL_NAME_MAX] = '\0';
    assert_ok(ptq_share_i64(share, name, 0, &cell));
    assert_string_equal(ptq_cell_name(cell), name);
    ptq_cell_free(cell);
    assert_answer(PTQ_EINVAL, ptq_share_i64(share, "", 0, &cell));
    assert_answer(PTQ_EINVAL, ptq_share_i64(NULL, "x", 0, &cell));
    assert_answer(PTQ_ENOENT, ptq_share_find(share, "nobody", &cell));
    assert_answer(PTQ_ENOENT, ptq_share_open(scratch->bus, "s@there", &(struct ptq_share_options){.error = &error}, &other));
    ptt_assert_says(error.text, "no peer is called 'there'");
    assert_answer(PTQ_EINVAL, ptq_share_open(scratch->bus, "a/b", &(struct ptq_share_options){.error = &error}, &other));
    assert_answer(PTQ_EINVAL,
                  ptq_share_open(scratch->bus, "x", &(struct ptq_share_options){.cells = UINT32_MAX, .error = &error}, &other));
    ptt_assert_found(error.text, "1048576", __FILE__, __LINE__);
    ptq_share_close(share);
    ptq_share_close(NULL);
    ptq_cell_free(NULL);
}

/* ---- shares */

static void what_it_was_made_with_is_kept_and_compared(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ptq_error error;
    ptq_share *share, *other;

    assert_answer(PTQ_ENOENT, ptq_share_open(scratch->bus, "s", &(struct ptq_share_options){.mode = PTQ_ATTACH, .error = &error}, &share));
    ptt_assert_found(error.text, "share 's' does not exist", __FILE__, __LINE__);
    share = open_share(scratch, &(struct ptq_share_options){.mode = PTQ_CREATE, .cells = 10});
    assert_answer(PTQ_EEXIST, ptq_share_open(scratch->bus, "s", &(struct ptq_share_options){.mode = PTQ_CREATE, .error = &error}, &other));
    assert_answer(PTQ_EMISMATCH, ptq_share_open(scratch->bus, "s", &(struct ptq_share_options){.cells = 11, .error = &error}, &other));
    ptt_assert_found(error.text, "cells 10, 11 was asked", __FILE__, __LINE__);
    ptq_share_close(share);
}

static void values_stay_until_it_is_removed(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ptq_gc_report report;
    ptq_share *share = open_share(scratch, NULL);
    ptq_cell *cell;
    int64_t value;

    assert_ok(ptq_share_i64(share, "x", 5, &cell));
    assert_answer(PTQ_EBUSY, ptq_share_unlink(scratch->bus, "s", false));
    ptq_cell_free(cell);
    ptq_share_close(share);
    assert_ok(ptq_bus_gc(scratch->bus, false, &report));
    assert_int_equal(report.kept, 1);
    share = open_share(scratch, NULL);
    assert_ok(ptq_share_i64(share, "x", 0, &cell));
    assert_ok(ptq_i64_get(cell, &value));
    assert_int_equal(value, 5);
    assert_ok(ptq_bus_gc(scratch->bus, true, &report));
    assert_int_equal(report.live, 1);
    assert_ok(ptq_share_unlink(scratch->bus, "s", true));
    assert_answer(PTQ_EGONE, ptq_i64_get(cell, &value));
    ptq_cell_free(cell);
    ptq_share_close(share);
    assert_ok(ptq_share_unlink(scratch->bus, "s", false));
    ptq_share_close(open_share(scratch, NULL));
    assert_ok(ptq_bus_gc(scratch->bus, true, &report));
    assert_int_equal(report.removed, 1);
    assert_int_equal(ptt_scratch_files(scratch, ""), 0);
}

static void all_endpoints_taken_is_said(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ptq_error error;
    ptq_share *share = open_share(scratch, &(struct ptq_share_options){.max_endpoints = 2});
    ptq_share *second = open_share(scratch, NULL), *third;

    assert_answer(PTQ_EAGAIN, ptq_share_open(scratch->bus, "s", &(struct ptq_share_options){.error = &error}, &third));
    ptt_assert_found(error.text, "2 endpoints", __FILE__, __LINE__);
    ptq_share_close(second);
    third = open_share(scratch, NULL);
    ptq_share_close(third);
    ptq_share_close(share);
}

static int use_inherited(void *context)
{
    ptq_cell *cell = context;
    int64_t value;

    return ptq_i64_get(cell, &value) == PTQ_EFORKED && ptq_i64_apply(cell, PTQ_ADD, 1, NULL) == PTQ_EFORKED ? 0 : 1;
}

static void a_forked_child_is_told_so(void **state)
{
    ptq_share *share = open_share(*state, NULL);
    ptq_cell *cell;

    assert_ok(ptq_share_i64(share, "x", 0, &cell));
    ptt_assert_exit(ptt_fork(use_inherited, cell), 0, PTT_LONG);
    ptq_cell_free(cell);
    ptq_share_close(share);
}

/* ---- foreign bytes */

static void try_everything(ptq_share *share, ptq_cell **cells, uint64_t *seed)
{
    char buffer[300], name[20];
    int seen[4] = {0};
    size_t size;
    ptq_cell *cell;

    unsigned answers = 0; /* any will do */

    memset(buffer, 'g', sizeof buffer);
    answers += ptq_i64_apply(cells[0], PTQ_ADD, 1, NULL);
    answers += ptq_cell_write(cells[1], buffer, ptt_random(seed) % 256);
    answers += ptq_cell_read(cells[1], buffer, sizeof buffer, &size, NULL);
    answers += ptq_cell_wait(cells[0], 1, PTQ_NOWAIT, NULL);
    snprintf(name, sizeof name, "n%d", (int)(ptt_random(seed) % 30));
    if (ptq_share_bytes(share, name, buffer, 10, &cell) == PTQ_OK)
        ptq_cell_free(cell);
    (void)ptq_share_delete(share, name);
    answers += ptq_share_each(share, count_cell, seen);
    assert_true(answers < 100000);
}

static void garbage_in_its_memory_hurts_nobody(void **state)
{
    struct ptt_scratch *scratch = *state;
    uint64_t seed = ptt_seed();
    char path[500];
    struct stat status;
    memset(path, 0, sizeof path);

    for (int round = 0; round < 60; round++) {
        ptq_share *share = open_share(scratch, &(struct ptq_share_options){.cells = 20, .value_size = 256, .max_endpoints = 4});
        ptq_cell *cells[2];
        assert_ok(ptq_share_i64(share, "i", 0, &cells[0]));
        assert_ok(ptq_share_bytes(share, "b", "abc", 3, &cells[1]));
        snprintf(path, sizeof path, "%s/s~s1", ptq_bus_path(scratch->bus));
        int fd = open(path, O_RDWR);
        assert_true(fd >= 0 && fstat(fd, &status) == 0);
        uint64_t *words = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_true(words != MAP_FAILED);
        for (int n = 0; n < 200; n++) {
            size_t first = 4096 / 8, count = (size_t)status.st_size / 8 - first;
            uint64_t value = ptt_random(&seed);
            words[first + ptt_random(&seed) % (n % 2 ? count : 400)] = n % 3 ? value : value % 64;
            if (n % 5 == 0)
                try_everything(share, cells, &seed);
        }
        munmap(words, (size_t)status.st_size);
        close(fd);
        ptq_cell_free(cells[0]);
        ptq_cell_free(cells[1]);
        ptq_share_close(share);
        assert_ok(ptq_share_unlink(scratch->bus, "s", true));
    }
}

static void a_file_that_is_no_share_is_refused(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ptq_error error;
    char path[500], page[8192];
    ptq_share *share;

    snprintf(path, sizeof path, "%s/s~s1", ptq_bus_path(scratch->bus));
    for (size_t size = 0; size <= sizeof page; size += 4096) {
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        assert_true(fd >= 0);
        memset(page, 'x', sizeof page);
        assert_int_equal(write(fd, page, size), (ssize_t)size);
        close(fd);
        assert_answer(PTQ_ECORRUPT, ptq_share_open(scratch->bus, "s", &(struct ptq_share_options){.error = &error}, &share));
        assert_ok(ptq_share_unlink(scratch->bus, "s", true));
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, ptt_setup_scratch, ptt_teardown_scratch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_integer_is_set_added_to_and_compared),
        CASE(each_operation_computes_for_each_type),
        CASE(least_and_most_know_large_numbers_and_what_is_none),
        CASE(integers_wrap_round),
        CASE(a_double_is_computed_with),
        CASE(the_first_value_is_the_first_ones),
        CASE(another_type_is_a_mismatch),
        CASE(bytes_are_written_and_read),
        CASE(a_value_is_written_more_often_than_there_is_memory),
        CASE(a_share_that_is_full_says_so_and_takes_others_for_those_deleted),
        CASE(a_handle_names_a_cell_and_follows_it),
        CASE(a_cell_made_again_goes_on_above_all_its_versions),
        CASE(a_share_that_is_full_of_bytes_can_still_be_written),
        CASE(cells_and_shares_are_listed_and_cleared),
        CASE(bad_names_and_arguments_are_refused),
        CASE(what_it_was_made_with_is_kept_and_compared),
        CASE(values_stay_until_it_is_removed),
        CASE(all_endpoints_taken_is_said),
        CASE(a_forked_child_is_told_so),
        CASE(garbage_in_its_memory_hurts_nobody),
        CASE(a_file_that_is_no_share_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
