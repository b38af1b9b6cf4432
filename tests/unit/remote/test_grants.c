/* test_grants.c -- rules: what they allow, and that everything else is denied. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remote/grants.h"
#include "support/ptt.h"

static struct ptt_scratch scratch;
static char path[100];

static int begin(void **state)
{
    (void)state;
    ptt_scratch_init_dir(&scratch);
    snprintf(path, sizeof path, "%s/rules", scratch.dir);
    return 0;
}

static int end(void **state)
{
    (void)state;
    ptt_scratch_fini(&scratch);
    return 0;
}

static void write_file(const char *text, unsigned mode)
{
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void without_any_rule_asked_for_everybody_may_do_everything(void **state)
{
    struct pti_grants grants = {0};
    (void)state;

    assert_int_equal(pti_grants_of(&grants, "", "x"), PTI_RIGHTS_ALL);
}

static void what_no_rule_allows_is_denied(void **state)
{
    struct pti_grants grants = {.guarded = true};
    (void)state;

    assert_int_equal(pti_grants_of(&grants, "west", "jobs"), 0);
    write_file("west jobs-* put,get # a comment\n\n  # another\n\teast\t*\tpeek\nwest jobs-1 admin\nuid:7 own put\n*\tpublic peek\n", 0600);
    assert_ok(pti_grants_read(&grants, path, NULL));
    assert_int_equal(grants.count, 5);
    assert_int_equal(pti_grants_of(&grants, "west", "jobs-2"), PTQ_RIGHT_PUT | PTQ_RIGHT_GET);
    assert_int_equal(pti_grants_of(&grants, "west", "jobs-1"), PTQ_RIGHT_PUT | PTQ_RIGHT_GET | PTQ_RIGHT_ADMIN);
    assert_int_equal(pti_grants_of(&grants, "west", "jobs"), 0);
    assert_int_equal(pti_grants_of(&grants, "wes", "jobs-1"), 0);
    assert_int_equal(pti_grants_of(&grants, "west2", "jobs-1"), 0);
    assert_int_equal(pti_grants_of(&grants, "", "jobs-1"), 0);
    assert_int_equal(pti_grants_of(&grants, "east", "anything"), PTQ_RIGHT_PEEK);
    assert_int_equal(pti_grants_of(&grants, "uid:7", "own"), PTQ_RIGHT_PUT);
    assert_int_equal(pti_grants_of(&grants, "uid:70", "own"), 0);
    assert_int_equal(pti_grants_of(&grants, "", "public"), PTQ_RIGHT_PEEK);
    assert_true(pti_grants_name_users(&grants));
    pti_grants_free(&grants);
}

static void a_file_that_makes_no_sense_allows_nothing_and_its_line_is_named(void **state)
{
    static const char *const lines[] = {"west jobs", "west jobs put get", "west jobs fly", "west jobs put,", "west jobs put,,", "we$t jobs put",
                                        "west jo/bs put", "west", "\001", "uid: x$ put", "west jobs ,"};
    struct ptq_error error;
    char text[200];
    (void)state;

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct pti_grants grants = {.guarded = true};
        snprintf(text, sizeof text, "good * all\n%s\n", lines[i]);
        write_file(text, 0600);
        enum ptq_err answer = pti_grants_read(&grants, path, &error);
        if (answer == PTQ_OK && strncmp(lines[i], "west jobs put,", 14) == 0) { /* an empty right is none */
            pti_grants_free(&grants);
            continue;
        }
        if (answer != PTQ_EINVAL || strstr(error.text, ":2: ") == NULL)
            fail_msg("'%s': %s, %s", lines[i], ptq_err_name(answer), error.text);
        assert_int_equal(pti_grants_of(&grants, "good", "x"), 0);
        pti_grants_free(&grants);
    }
}

static void a_file_that_is_not_there_or_that_others_may_write_allows_nothing(void **state)
{
    struct pti_grants grants = {.guarded = true};
    struct ptq_error error;
    (void)state;

    unlink(path);
    assert_answer(PTQ_ENOENT, pti_grants_read(&grants, path, &error));
    assert_non_null(strstr(error.text, path));
    write_file("good * all\n", 0620);
    assert_answer(PTQ_EPERM, pti_grants_read(&grants, path, &error));
    assert_non_null(strstr(error.text, "chmod go-w"));
    write_file("good * all\n", 0602);
    assert_answer(PTQ_EPERM, pti_grants_read(&grants, path, &error));
    assert_answer(PTQ_EINVAL, pti_grants_read(&grants, scratch.dir, &error));
    assert_int_equal(pti_grants_of(&grants, "good", "x"), 0);
    write_file("", 0644);
    assert_ok(pti_grants_read(&grants, path, &error));
    assert_int_equal(pti_grants_of(&grants, "good", "x"), 0);
    pti_grants_free(&grants);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_any_rule_asked_for_everybody_may_do_everything),
        cmocka_unit_test(what_no_rule_allows_is_denied),
        cmocka_unit_test(a_file_that_makes_no_sense_allows_nothing_and_its_line_is_named),
        cmocka_unit_test(a_file_that_is_not_there_or_that_others_may_write_allows_nothing),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
