/* test_args.c -- typed arguments come out as they went in; foreign bytes are refused. */
#include <stdlib.h>
#include <string.h>

#include <ptq/map.h>

#include "support/ptt.h"

static void arguments_come_out_as_they_went_in(void **state)
{
    struct ptq_args args = {0};
    struct ptq_bytes list, blob;
    int64_t number;
    uint64_t big;
    double real;
    const char *text;

    (void)state;
    ptq_args_i64(&args, INT64_MIN);
    ptq_args_u64(&args, UINT64_MAX);
    ptq_args_f64(&args, -1.5);
    ptq_args_bytes(&args, "a\0b", 3);
    ptq_args_text(&args, "grüße");
    ptq_args_bytes(&args, NULL, 0);
    assert_ok(ptq_args_done(&args, &list));

    assert_ok(ptq_args_read(list.data, list.size, "iufbt-", &number, &big, &real, &blob, &text));
    assert_int_equal(number, INT64_MIN);
    assert_true(big == UINT64_MAX);
    assert_true(real == -1.5);
    assert_int_equal(blob.size, 3);
    assert_memory_equal(blob.data, "a\0b", 3);
    assert_true((uintptr_t)blob.data % 8 == (uintptr_t)list.data % 8);
    assert_string_equal(text, "grüße");
    ptq_args_fini(&args);
}

static void an_empty_list_is_a_list(void **state)
{
    struct ptq_args args = {0};
    struct ptq_bytes list;

    (void)state;
    assert_ok(ptq_args_done(&args, &list));
    assert_ok(ptq_args_read(list.data, list.size, ""));
    assert_answer(PTQ_EPROTO, ptq_args_read(NULL, 0, ""));
    ptq_args_fini(&args);
}

static void other_types_or_another_number_are_refused_and_nothing_is_written(void **state)
{
    struct ptq_args args = {0};
    struct ptq_bytes list;
    int64_t number = 7;
    uint64_t other = 7;
    const char *text = NULL;

    (void)state;
    ptq_args_i64(&args, 1);
    ptq_args_text(&args, "x");
    assert_ok(ptq_args_done(&args, &list));
    assert_answer(PTQ_EINVAL, ptq_args_read(list.data, list.size, "it-", &number, &text));
    assert_answer(PTQ_EINVAL, ptq_args_read(list.data, list.size, "i", &number));
    assert_answer(PTQ_EINVAL, ptq_args_read(list.data, list.size, "ut", &other, &text));
    assert_answer(PTQ_EINVAL, ptq_args_read(list.data, list.size, "it?", &number, &text));
    assert_int_equal(number, 7);
    assert_int_equal(other, 7);
    assert_null(text);
    ptq_args_fini(&args);
}

static void a_list_may_have_255_arguments(void **state)
{
    struct ptq_args args = {0};
    struct ptq_bytes list;

    (void)state;
    for (int i = 0; i < PTQ_ARGS_MAX; i++)
        ptq_args_i64(&args, i);
    assert_ok(ptq_args_done(&args, &list));
    ptq_args_i64(&args, 0);
    assert_answer(PTQ_ETOOBIG, ptq_args_done(&args, &list));
    ptq_args_fini(&args);
}

/* Bytes of exactly their size, so that a sanitizer sees a read beyond them. */
static void foreign_bytes_are_never_read_beyond_their_end(void **state)
{
    uint64_t random = ptt_seed();
    struct ptq_args args = {0};
    struct ptq_bytes list;
    unsigned read = 0;

    (void)state;
    ptq_args_text(&args, "some text");
    ptq_args_bytes(&args, "bytes", 5);
    ptq_args_i64(&args, 1);
    assert_ok(ptq_args_done(&args, &list));
    for (unsigned round = 0; round < 100000; round++) {
        size_t size = round % 4 != 0 ? list.size : ptt_random(&random) % list.size;
        unsigned char *copy = malloc(size + (size == 0));
        const char *text = NULL;
        struct ptq_bytes blob;
        int64_t number;
        memcpy(copy, list.data, size);
        for (unsigned i = 0; size != 0 && i < round % 3; i++)
            copy[ptt_random(&random) % size] = (unsigned char)ptt_random(&random);
        if (ptq_args_read(copy, size, "tbi", &text, &blob, &number) == PTQ_OK) {
            assert_true((const unsigned char *)text + strlen(text) < copy + size);
            assert_true((const unsigned char *)blob.data + blob.size <= copy + size);
            read++;
        }
        free(copy);
    }
    assert_true(read > 1000);
    ptq_args_fini(&args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_come_out_as_they_went_in),
        cmocka_unit_test(an_empty_list_is_a_list),
        cmocka_unit_test(other_types_or_another_number_are_refused_and_nothing_is_written),
        cmocka_unit_test(a_list_may_have_255_arguments),
        cmocka_unit_test(foreign_bytes_are_never_read_beyond_their_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
