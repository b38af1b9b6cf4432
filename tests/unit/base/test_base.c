/* test_base.c -- answers, versions, clocks. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <ptq/ptq.h>

#include "base/error.h"
#include "base/time.h"
#include "support/ptt.h"

static void every_answer_has_a_name_and_a_sentence(void **state)
{
    (void)state;
    for (int i = 0; i <= PTQ_ESYS; i++) {
        if (i > PTQ_END && i < PTQ_EENDED)
            continue;
        const char *name = ptq_err_name((enum ptq_err)i), *sentence = ptq_strerror((enum ptq_err)i);

        assert_int_equal(strncmp(name, "PTQ_", 4), 0);
        assert_null(strchr(name, '?'));
        assert_true(strlen(sentence) > 3);
        assert_true(sentence[strlen(sentence) - 1] != '.');
        for (int k = 0; k < i; k++)
            assert_true(ptq_err_name((enum ptq_err)k) == ptq_err_name((enum ptq_err)7) ||
                        strcmp(name, ptq_err_name((enum ptq_err)k)) != 0);
    }
}

static void unknown_numbers_have_a_name_too(void **state)
{
    static const int numbers[] = {-1, 5, 9, PTQ_ESYS + 1, 1 << 30};

    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        assert_string_equal(ptq_err_name((enum ptq_err)numbers[i]), "PTQ_?");
        assert_non_null(ptq_strerror((enum ptq_err)numbers[i]));
    }
}

static void numbers_of_answers_never_change(void **state)
{
    (void)state;
    assert_int_equal(PTQ_OK, 0);
    assert_int_equal(PTQ_END, 4);
    assert_int_equal(PTQ_EENDED, 10);
    assert_int_equal(PTQ_EINVAL, 20);
    assert_int_equal(PTQ_ELATE, 30);
    assert_int_equal(PTQ_EFAILED, 40);
    assert_string_equal(ptq_err_name(PTQ_EGONE), "PTQ_EGONE");
}

static void errno_becomes_an_answer(void **state)
{
    (void)state;
    assert_int_equal(pti_err_from_errno(0), PTQ_OK);
    assert_int_equal(pti_err_from_errno(ENOSPC), PTQ_ENOSPC);
    assert_int_equal(pti_err_from_errno(EMFILE), PTQ_ENOMEM);
    assert_int_equal(pti_err_from_errno(EACCES), PTQ_EPERM);
    assert_int_equal(pti_err_from_errno(EXDEV), PTQ_ESYS);
}

static void version_is_that_of_the_headers(void **state)
{
    char text[32];

    (void)state;
    snprintf(text, sizeof text, "%d.%d.%d", PTQ_VERSION_MAJOR, PTQ_VERSION_MINOR, PTQ_VERSION_PATCH);

    assert_string_equal(ptq_version(), text);
    assert_string_equal(PTQ_VERSION, text);
}

static void deadlines_are_absolute_and_monotonic(void **state)
{
    (void)state;
    int64_t before = pti_now_ns();

    int64_t deadline = pti_deadline(1500);

    assert_true(deadline >= before + 1500 * PTI_NS_PER_MS);
    assert_true(deadline <= pti_now_ns() + 1500 * PTI_NS_PER_MS);
    assert_int_equal(pti_deadline(PTQ_NOWAIT), PTI_DEADLINE_NOW);
    assert_true(pti_deadline(PTQ_FOREVER) == PTI_DEADLINE_NEVER);
    assert_true(pti_deadline(INT32_MAX) > before);
}

static void the_wall_clock_is_in_milliseconds(void **state)
{
    (void)state;
    assert_true(pti_unix_ms() > INT64_C(1600000000000));
    assert_true(pti_unix_ms() < INT64_C(10000000000000));
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(every_answer_has_a_name_and_a_sentence),
        cmocka_unit_test(unknown_numbers_have_a_name_too),
        cmocka_unit_test(numbers_of_answers_never_change),
        cmocka_unit_test(errno_becomes_an_answer),
        cmocka_unit_test(version_is_that_of_the_headers),
        cmocka_unit_test(deadlines_are_absolute_and_monotonic),
        cmocka_unit_test(the_wall_clock_is_in_milliseconds),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
