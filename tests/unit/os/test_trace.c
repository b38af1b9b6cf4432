/* test_trace.c -- where a thread is, told from a signal handler. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/trace.h"
#include "support/ptt.h"

static void tell_where_i_am(char *text, size_t size)
{
    struct pti_frames frames;

    pti_frames_take(&frames, 0);
    pti_frames_text_in_signal(&frames, text, size);
}

static void the_frames_of_a_thread_have_lines(void **state)
{
    char text[960];

    (void)state;
    assert_int_equal(pti_trace_prepare(), 0);
    tell_where_i_am(text, sizeof text);
    assert_non_null(strchr(text, '\n'));
    assert_non_null(strstr(text, "0x"));
}

/* As a daemon does, and then its own files have the numbers that were ours. */
static int trace_after_closefrom(void *context)
{
    const struct ptt_scratch *scratch = context;
    char path[128], text[960];
    struct stat status;

    if (pti_trace_prepare() != 0)
        return 1;
    closefrom(3);
    snprintf(path, sizeof path, "%s/precious", scratch->dir);
    for (int i = 0; i < 64; i++)
        if (open(path, O_RDWR | O_CREAT, 0600) < 0)
            return 2;
    if (write(3, "precious", 8) != 8)
        return 3;
    tell_where_i_am(text, sizeof text);
    if (stat(path, &status) != 0 || status.st_size != 8)
        return 4;
    return strstr(text, "0x") != NULL ? 0 : 5;
}

static void a_file_of_the_program_that_has_our_number_by_now_is_not_written(void **state)
{
    ptt_assert_exit(ptt_fork(trace_after_closefrom, *state), 0, PTT_LONG);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(the_frames_of_a_thread_have_lines),
        cmocka_unit_test_setup_teardown(a_file_of_the_program_that_has_our_number_by_now_is_not_written, ptt_setup_scratch, ptt_teardown_scratch),
    };

    return cmocka_run_group_tests_name("os_trace", cases, NULL, NULL);
}
