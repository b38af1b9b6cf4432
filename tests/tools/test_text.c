/* test_text.c -- escapes, UTF-8, base64 and figures of the tools. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/text.h"

static void assert_escaped(const char *text, size_t size, const char *expected)
{
    char buffer[256];

    assert_string_equal(tool_escape(text, size, buffer, sizeof buffer), expected);
}

static void escape_leaves_text_alone(void **state)
{
    (void)state;
    assert_escaped("plain \\ text \"q\"", 16, "plain \\ text \"q\"");
    assert_escaped("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", 14, "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
}

static void escape_shows_what_a_terminal_may_obey(void **state)
{
    (void)state;
    assert_escaped("\033[31m\a\b\t\n\v\f\r\0\177", 14, "\\x1b[31m\\a\\b\\t\\n\\v\\f\\r\\x00\\x7f");
    assert_escaped("\xc2\x9b", 2, "\\xc2\\x9b"); /* C1: a control sequence in UTF-8 */
}

static void escape_shows_broken_utf8_byte_by_byte(void **state)
{
    (void)state;
    assert_escaped("\xff\xc3(\xe2\x82", 5, "\\xff\\xc3(\\xe2\\x82");
    assert_escaped("\xc0\xaf", 2, "\\xc0\\xaf");                 /* overlong */
    assert_escaped("\xed\xa0\x80", 3, "\\xed\\xa0\\x80");         /* a surrogate */
    assert_escaped("\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80"); /* beyond U+10FFFF */
}

static void escape_cuts_between_characters(void **state)
{
    char buffer[8];

    (void)state;
    for (size_t room = 1; room <= sizeof buffer; room++) {
        memset(buffer, '?', sizeof buffer);
        tool_escape("\n\xe2\x82\xac\x01", 5, buffer, room);
        assert_true(strlen(buffer) < room);
        assert_true(tool_is_utf8(buffer, strlen(buffer)));
    }
}

static void what_may_be_a_password_is_hidden(void **state)
{
    static const char *const texts[][2] = {
        {"tcp://me:hunter2@host:1/a@b", "tcp://host:1/a@b"},
        {"tcp://me:p@ss@host:1", "tcp://host:1"},
        {"cannot reach 'ws://u@h/x', nor \"tcp://v:w@i:2\"", "cannot reach 'ws://h/x', nor \"tcp://i:2\""},
        {"ipc:///run/a@b", "ipc:///run/a@b"},
        {"q@east", "q@east"},
        {"://", "://"},
        {"", ""},
    };
    char buffer[100], little[8];
    (void)state;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_string_equal(tool_hide_user(texts[i][0], buffer, sizeof buffer), texts[i][1]);
    assert_string_equal(tool_hide_user("tcp://me@host", little, sizeof little), "tcp://h");
}

static void utf8_is_told_from_other_bytes(void **state)
{
    (void)state;
    assert_true(tool_is_utf8("", 0));
    assert_true(tool_is_utf8("a\0b", 3));
    assert_true(tool_is_utf8("\xf4\x8f\xbf\xbf", 4));
    assert_false(tool_is_utf8("ok\x80", 3));
    assert_false(tool_is_utf8("\xe2\x82", 2));
}

static void base64_pads(void **state)
{
    static const char *const expected[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};

    (void)state;
    for (size_t size = 0; size < 7; size++) {
        char *text = tool_base64("foobar", size);
        assert_string_equal(text, expected[size]);
        free(text);
    }
    char *high = tool_base64("\xff\xef\xbe", 3);
    assert_string_equal(high, "/+++");
    free(high);
}

static void figures_are_short(void **state)
{
    char text[16];

    (void)state;
    assert_string_equal(tool_human(0, 1000, text), "0");
    assert_string_equal(tool_human(999, 1000, text), "999");
    assert_string_equal(tool_human(1000, 1000, text), "1.0K");
    assert_string_equal(tool_human(1023, 1024, text), "1023");
    assert_string_equal(tool_human(1536, 1024, text), "1.5K");
    assert_string_equal(tool_human(9950000, 1000, text), "10M");
    assert_string_equal(tool_human(999499, 1000, text), "999K");
    assert_string_equal(tool_human(999500, 1000, text), "1.0M");
    assert_string_equal(tool_human(1048575, 1024, text), "1.0M");
    assert_true(strlen(tool_human(UINT64_MAX, 1000, text)) < 7);
}

static void ages_have_units(void **state)
{
    char text[16];

    (void)state;
    assert_string_equal(tool_short_time(999, text), "999us");
    assert_string_equal(tool_short_time(1280, text), "1.3ms");
    assert_string_equal(tool_short_time(9999, text), "10ms");
    assert_string_equal(tool_short_time(999499, text), "999ms");
    assert_string_equal(tool_short_time(999500, text), "1.0s");
    assert_string_equal(tool_short_time(9960000, text), "10s");
    assert_string_equal(tool_short_time(1500000, text), "1.5s");
    assert_string_equal(tool_short_time(185000000, text), "3m05s");
    assert_string_equal(tool_age(850, text), "850ms");
    assert_string_equal(tool_age(59999, text), "59s");
    assert_string_equal(tool_age(185000, text), "3m05s");
    assert_string_equal(tool_age(7800000, text), "2h10m");
    assert_string_equal(tool_age(4 * 86400000ull + 3 * 3600000, text), "4d03h");
    assert_true(strlen(tool_age(UINT64_MAX, text)) < 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escape_leaves_text_alone),
        cmocka_unit_test(escape_shows_what_a_terminal_may_obey),
        cmocka_unit_test(escape_shows_broken_utf8_byte_by_byte),
        cmocka_unit_test(escape_cuts_between_characters),
        cmocka_unit_test(what_may_be_a_password_is_hidden),
        cmocka_unit_test(utf8_is_told_from_other_bytes),
        cmocka_unit_test(base64_pads),
        cmocka_unit_test(figures_are_short),
        cmocka_unit_test(ages_have_units),
    };

    return cmocka_run_group_tests_name("tools text", tests, NULL, NULL);
}
