/* test_log.c -- what ptqbridge writes: forms, levels, repeats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../bridges/ptqbridge/log.h"
#include "common/option.h"

const struct tool_program tool_program = {.name = "test"};

static char said[200000];

/* What is written to standard error meanwhile. */
static int begin(int *ret_kept)
{
    int fd = fileno(tmpfile());

    *ret_kept = dup(STDERR_FILENO);
    dup2(fd, STDERR_FILENO);
    return fd;
}

static void end(int fd, int kept)
{
    dup2(kept, STDERR_FILENO);
    close(kept);
    ssize_t size = pread(fd, said, sizeof said - 1, 0);
    said[size > 0 ? size : 0] = '\0';
    close(fd);
}

static unsigned count(const char *words)
{
    unsigned found = 0;

    for (const char *at = strstr(said, words); at != NULL; at = strstr(at + 1, words))
        found++;
    return found;
}

static void what_is_repeated_is_said_twice(void **state)
{
    int kept, fd = begin(&kept);
    (void)state;

    log_set(PTQ_BRIDGE_INFO, LOG_TEXT);
    for (int i = 0; i < 121; i++) {
        log_say(PTQ_BRIDGE_WARNING, "component=a event=again peer=x");
        if (i % 40 == 0)
            log_say(PTQ_BRIDGE_INFO, "component=b event=other number=%d", i);
    }
    assert_true(log_flush(false) > 0);
    log_flush(true);
    assert_int_equal(log_flush(false), -1);
    end(fd, kept);
    assert_int_equal(count("event=again peer=x\n"), 1);
    assert_int_equal(count("event=again peer=x repeated=120\n"), 1);
    assert_int_equal(count("event=other"), 4);
}

static void a_flood_is_cut_and_counted(void **state)
{
    int kept, fd = begin(&kept);
    (void)state;

    log_set(PTQ_BRIDGE_INFO, LOG_TEXT);
    for (int i = 0; i < 10000; i++)
        log_say(PTQ_BRIDGE_WARNING, "component=flood number=%d", i);
    log_say(PTQ_BRIDGE_INFO, "component=bridge event=own");
    end(fd, kept);
    assert_true(count("component=flood") <= 3 * 50); /* it may be the third second by now */
    assert_int_equal(count("event=own"), 1);
}

/* Lines that come twice are no way around it; and of none it is said only that it came again. */
static void a_flood_of_repeats_is_cut_too(void **state)
{
    enum { LINES = 2000 };
    int kept, fd = begin(&kept);
    char words[64], again[80];
    (void)state;

    log_set(PTQ_BRIDGE_INFO, LOG_TEXT);
    for (int i = 0; i < 2 * LINES; i++)
        log_say(PTQ_BRIDGE_WARNING, "component=twice number=%d", i / 2);
    log_flush(true);
    end(fd, kept);
    assert_true(count("component=twice") <= 3 * 50);
    for (int i = 0; i < LINES; i++) {
        snprintf(words, sizeof words, "component=twice number=%d\n", i);
        snprintf(again, sizeof again, "component=twice number=%d repeated=", i);
        if (count(words) < count(again))
            fail_msg("%s was said of what was not said", again);
    }
}

/* However much longer its bytes become. */
static void a_long_line_is_whole(void **state)
{
    char line[1024] = "component=bridge why=\"";
    (void)state;

    memset(line + strlen(line), 1, sizeof line - 2 - strlen(line));
    line[sizeof line - 2] = '"';
    line[sizeof line - 1] = '\0';
    for (enum log_format format = LOG_TEXT; format <= LOG_JOURNAL; format++) {
        int kept, fd = begin(&kept);
        log_set(PTQ_BRIDGE_INFO, format);
        log_line(NULL, PTQ_BRIDGE_INFO, line);
        end(fd, kept);
        assert_int_equal(count("\n"), 1);
        assert_int_equal(said[strlen(said) - 1], '\n');
        assert_int_equal(count(format == LOG_JSON ? "\\u0001" : "\\x01"), sizeof line - 2 - strlen("component=bridge why=\""));
        json_t *object = format == LOG_JSON ? json_loads(said, 0, NULL) : NULL;
        assert_true((object != NULL) == (format == LOG_JSON));
        json_decref(object);
    }
}

static void levels_hold(void **state)
{
    int kept, fd = begin(&kept);
    (void)state;

    log_set(PTQ_BRIDGE_WARNING, LOG_JOURNAL);
    log_say(PTQ_BRIDGE_INFO, "component=bridge level=info");
    log_say(PTQ_BRIDGE_WARNING, "component=bridge words=warning");
    log_say(PTQ_BRIDGE_ERROR, "component=bridge words=error");
    end(fd, kept);
    assert_string_equal(said, "<4>component=bridge words=warning\n<3>component=bridge words=error\n");
}

/* Whatever a peer is called: an object a line, and its words as they were. */
static void json_is_json(void **state)
{
    static const char *const lines[] = {
        "component=bridge n=1 event=up node=\"east\" known=no",
        "component=bridge n=2 why=\"a \"quoted\" word, and \\ more\" size=18446744073709551615 zero=0 padded=007",
        "component=bridge n=3 node=\"line\nfeed\x1b[31m\" bad=\"\xff\xfe\"",
        "component=bridge n=4 alone = x=\"open",
        "component=bridge n=5 \xc3\xa4=\xe2\x82\xac",
    };
    int kept, fd = begin(&kept);
    size_t line_count = 0;
    (void)state;

    log_set(PTQ_BRIDGE_INFO, LOG_JSON);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        log_line(NULL, PTQ_BRIDGE_INFO, lines[i]);
    end(fd, kept);
    for (char *line = strtok(said, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        json_error_t error;
        json_t *object = json_loads(line, 0, &error);
        if (object == NULL)
            fail_msg("%s: %s", line, error.text);
        assert_int_equal(json_integer_value(json_object_get(object, "v")), 1);
        assert_int_equal(json_integer_value(json_object_get(object, "n")), ++line_count);
        assert_string_equal(json_string_value(json_object_get(object, "level")), "info");
        if (line_count == 2) {
            assert_string_equal(json_string_value(json_object_get(object, "why")), "a \"quoted\" word, and \\ more");
            assert_true(json_is_string(json_object_get(object, "size")));
            assert_true(json_is_integer(json_object_get(object, "zero")));
            assert_string_equal(json_string_value(json_object_get(object, "padded")), "007");
        }
        if (line_count == 3)
            assert_string_equal(json_string_value(json_object_get(object, "node")), "line\nfeed\x1b[31m");
        json_decref(object);
    }
    assert_int_equal(line_count, 5);
}

static void text_has_no_control_characters(void **state)
{
    int kept, fd = begin(&kept);
    (void)state;

    log_set(PTQ_BRIDGE_INFO, LOG_TEXT);
    log_line(NULL, PTQ_BRIDGE_INFO, "component=bridge node=\"line\nfeed\x1b[31m\"");
    end(fd, kept);
    assert_int_equal(count("\n"), 1);
    assert_null(strchr(said, '\x1b'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_repeated_is_said_twice), cmocka_unit_test(levels_hold),
        cmocka_unit_test(json_is_json),                   cmocka_unit_test(text_has_no_control_characters),
        cmocka_unit_test(a_flood_is_cut_and_counted),      cmocka_unit_test(a_flood_of_repeats_is_cut_too),
        cmocka_unit_test(a_long_line_is_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
