/* test_side.c -- the side files of a pool, made while its queue is being removed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <ptq/ptq.h>

#include "pool/side.h"
#include "pool/trail.h"
#include "support/ptt.h"

/* Stands in for somebody who removes the queue between two looks at it (the linker wraps lstat): this many are answered. */
static int looks;
int __real_lstat(const char *path, struct stat *status);
int __wrap_lstat(const char *path, struct stat *status);
int __wrap_lstat(const char *path, struct stat *status)
{
    if (looks-- > 0)
        return __real_lstat(path, status);
    errno = ENOENT;
    return -1;
}

static void one_that_came_too_late_is_no_descriptor(void **state)
{
    static const uint8_t id[16] = {1};
    struct ptt_scratch *scratch = *state;
    struct pti_trail trail;
    struct ptt_traces traces;
    ptq_queue *queue;
    int fd = -1;

    assert_ok(ptq_queue_open(scratch->bus, "p.jobs", NULL, &queue));
    ptt_traces_take(&traces);
    looks = 1;
    assert_int_equal(pti_pool_side_join(scratch->bus, "p.jobs", id, "staff", &fd), ENOENT);
    assert_int_equal(fd, -1);

    looks = 1;
    assert_int_equal(pti_trail_join(&trail, scratch->bus, "p.jobs", id, "w", 8), ENOENT);
    assert_int_equal(trail.fd, -1);
    looks = 100;
    ptt_traces_assert_none_left(&traces);
    assert_int_equal(ptt_scratch_files(scratch, "staff") + ptt_scratch_files(scratch, "trail"), 0);
    ptq_queue_close(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_that_came_too_late_is_no_descriptor, ptt_setup_scratch, ptt_teardown_scratch),
    };

    return cmocka_run_group_tests_name("pool side", tests, NULL, NULL);
}
