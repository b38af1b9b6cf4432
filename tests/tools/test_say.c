/* test_say.c -- an error line says what to do, whatever the error, and whether the line or the library knows it or nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/option.h"
#include "common/say.h"

const struct tool_program tool_program = {.name = "ptq", .commands = true};

static char line[4096];

/* What tool_fail writes to standard error. */
static const char *told(enum ptq_err err, const char *text)
{
    int file = memfd_create("stderr", 0), kept = dup(STDERR_FILENO);

    fflush(stderr);
    dup2(file, STDERR_FILENO);
    tool_fail(err, "tasks", "%s", text);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    ssize_t size = pread(file, line, sizeof line - 1, 0);
    line[size < 0 ? 0 : size] = '\0';
    close(file);
    close(kept);
    return line;
}

static void every_error_has_advice(void **state)
{
    (void)state;
    for (int err = PTQ_EMPTY; err <= PTQ_ESYS; err++) {
        const char *advice = strstr(told((enum ptq_err)err, "cannot do it"), "ptq: tasks: cannot do it - ");
        assert_ptr_equal(advice, line);
        assert_true(strlen(advice) > strlen("ptq: tasks: cannot do it - ") + 8);
    }
}

static void what_the_line_knows_goes_before(void **state)
{
    (void)state;
    assert_string_equal(told(PTQ_FULL, "it is full - get some"), "ptq: tasks: it is full - get some\n");
}

static void a_sentence_of_the_library_says_it_behind_a_semicolon(void **state)
{
    (void)state;
    assert_string_equal(told(PTQ_EPERM, "its mode is 0600; yours is not; chmod it"), "ptq: tasks: its mode is 0600; yours is not - chmod it\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_advice),
        cmocka_unit_test(what_the_line_knows_goes_before),
        cmocka_unit_test(a_sentence_of_the_library_says_it_behind_a_semicolon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
