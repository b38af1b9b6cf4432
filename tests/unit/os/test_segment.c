/* test_segment.c -- making, naming, opening and reserving a shared file. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/bus.h"
#include "os/life.h"
#include "os/segment.h"
#include "support/ptt.h"

enum { SIZE = 256 * 1024, MUCH = 12 << 20, IN_A_PERIOD = 4 << 20, INTERRUPTS_MOST = 1000 };

/* Stands in for a file system without O_TMPFILE (the linker wraps openat). */
static bool without_tmpfile;
int __real_openat(int dirfd, const char *name, int flags, ...);
int __wrap_openat(int dirfd, const char *name, int flags, ...);
int __wrap_openat(int dirfd, const char *name, int flags, ...)
{
    va_list arguments;

    va_start(arguments, flags);
    unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, unsigned) : 0;
    va_end(arguments);
    if (without_tmpfile && (flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return __real_openat(dirfd, name, flags, mode);
}

/* Stands in for a kernel before 6.17, and a timer: so many times more what would take longer than its period is interrupted. */
static int interrupts;
int __real_fallocate(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length)
{
    if (interrupts > 0 && (length > IN_A_PERIOD || interrupts == INTERRUPTS_MOST)) { /* the first of all whatever its length */
        interrupts--;
        errno = EINTR;
        return -1;
    }
    return __real_fallocate(fd, mode, offset, length);
}

static int setup(void **state)
{
    without_tmpfile = false;
    return ptt_setup_scratch(state);
}

static int setup_without_tmpfile(void **state)
{
    int result = ptt_setup_scratch(state);

    without_tmpfile = true;
    return result;
}

static int teardown(void **state)
{
    without_tmpfile = false;
    return ptt_teardown_scratch(state);
}

static int dir_of(void **state)
{
    const struct ptt_scratch *scratch = *state;

    return scratch->bus->dirfd;
}

static void make_segment(int dirfd, const char *name, mode_t mode, struct pti_segment *segment)
{
    struct pti_segment_temp temp;

    assert_int_equal(pti_segment_create(dirfd, name, SIZE, mode, segment, &temp), 0);
    assert_int_equal(pti_segment_link(segment, &temp, dirfd, name), 0);
    assert_string_equal(temp.temp_name, "");
}

static void what_was_made_is_found_and_shared(void **state)
{
    struct pti_segment made, opened;
    struct stat status;

    make_segment(dir_of(state), "q~v2", 0640, &made);
    assert_int_equal(pti_segment_open(dir_of(state), "q~v2", true, SIZE, &opened), 0);
    memcpy((char *)opened.base + 1000, "across", 7);

    assert_string_equal((char *)made.base + 1000, "across");
    assert_int_equal(opened.size, SIZE);
    assert_int_equal(opened.ino, made.ino);
    assert_int_equal(fstat(made.fd, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    assert_int_equal(status.st_nlink, 1);
    assert_int_equal(ptt_scratch_files(*state, NULL), 1);
    pti_segment_close(&opened);
    pti_segment_close(&made);
}

static void the_umask_does_not_matter(void **state)
{
    struct pti_segment made;
    struct stat status;
    mode_t before = umask(0277);

    make_segment(dir_of(state), "q~v2", 0660, &made);
    umask(before);

    assert_int_equal(fstat(made.fd, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0660);
    pti_segment_close(&made);
}

static void a_name_that_is_taken_stays_with_the_first(void **state)
{
    struct pti_segment first, second, opened;
    struct pti_segment_temp temp;

    make_segment(dir_of(state), "q~v2", 0600, &first);
    assert_int_equal(pti_segment_create(dir_of(state), "q~v2", SIZE, 0600, &second, &temp), 0);
    assert_int_equal(pti_segment_link(&second, &temp, dir_of(state), "q~v2"), EEXIST);
    pti_segment_discard(&second, &temp, dir_of(state));

    assert_int_equal(second.fd, -1);
    assert_int_equal(pti_segment_open(dir_of(state), "q~v2", true, SIZE, &opened), 0);
    assert_int_equal(opened.ino, first.ino);
    assert_int_equal(ptt_scratch_files(*state, NULL), 1);
    pti_segment_close(&opened);
    pti_segment_close(&first);
}

static void a_discarded_one_leaves_nothing(void **state)
{
    struct pti_segment segment;
    struct pti_segment_temp temp;
    struct ptt_traces before;

    ptt_traces_take(&before);
    assert_int_equal(pti_segment_create(dir_of(state), "q~v2", SIZE, 0600, &segment, &temp), 0);
    pti_segment_discard(&segment, &temp, dir_of(state));

    assert_int_equal(ptt_scratch_files(*state, NULL), 0);
    ptt_traces_assert_none_left(&before);
}

static void an_unfinished_one_under_a_temporary_name_is_locked(void **state)
{
    struct pti_segment segment, found;
    struct pti_segment_temp temp;

    assert_int_equal(pti_segment_create(dir_of(state), "q~v2", SIZE, 0600, &segment, &temp), 0);
    assert_non_null(strstr(temp.temp_name, "q~v2~new."));
    assert_int_equal(pti_segment_open(dir_of(state), temp.temp_name, true, SIZE, &found), 0);
    assert_int_equal(pti_life_lock_all(found.fd), EAGAIN);

    assert_int_equal(pti_segment_link(&segment, &temp, dir_of(state), "q~v2"), 0);
    assert_int_equal(pti_life_lock_all(found.fd), 0);
    pti_segment_close(&found);
    pti_segment_close(&segment);
}

static void what_cannot_be_trusted_is_not_opened(void **state)
{
    int dirfd = dir_of(state);
    struct pti_segment made, opened = {.fd = -1};

    make_segment(dirfd, "q~v2", 0600, &made);
    assert_int_equal(symlinkat("q~v2", dirfd, "link"), 0);
    assert_int_equal(mkfifoat(dirfd, "fifo", 0600), 0);
    assert_int_equal(mkdirat(dirfd, "dir", 0700), 0);
    assert_int_equal(linkat(dirfd, "q~v2", dirfd, "two", 0), 0);
    assert_int_equal(linkat(dirfd, "q~v2", dirfd, "three", 0), 0);

    assert_int_equal(pti_segment_open(dirfd, "link", true, 1, &opened), EPERM);
    assert_int_equal(pti_segment_open(dirfd, "fifo", true, 1, &opened), EPERM);
    assert_int_equal(pti_segment_open(dirfd, "fifo", false, 1, &opened), EPERM);
    assert_int_equal(pti_segment_open(dirfd, "dir", true, 1, &opened), EPERM);
    assert_int_equal(pti_segment_open(dirfd, "dir", false, 1, &opened), EPERM);
    assert_int_equal(pti_segment_open(dirfd, "q~v2", true, 1, &opened), EPERM);
    assert_int_equal(pti_segment_open(dirfd, "none", true, 1, &opened), ENOENT);
    assert_int_equal(opened.fd, -1);
    pti_segment_close(&made);
}

static void one_that_is_too_short_is_not_opened(void **state)
{
    struct pti_segment opened;
    int fd = openat(dir_of(state), "short", O_CREAT | O_RDWR | O_CLOEXEC, 0600);

    assert_int_equal(pti_segment_open(dir_of(state), "short", true, 0, &opened), EIO);
    assert_int_equal(ftruncate(fd, 100), 0);
    assert_int_equal(pti_segment_open(dir_of(state), "short", true, 101, &opened), EIO);
    assert_int_equal(pti_segment_open(dir_of(state), "short", true, 100, &opened), 0);

    pti_segment_close(&opened);
    close(fd);
}

/* The kernel answers EFAULT where a store of our own would be a signal. */
static bool can_be_written(void *byte)
{
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    bool result = read(zero, byte, 1) == 1;

    close(zero);
    return result;
}

static void a_read_only_one_cannot_be_written(void **state)
{
    struct pti_segment made, opened;

    make_segment(dir_of(state), "q~v2", 0600, &made);
    assert_int_equal(pti_segment_open(dir_of(state), "q~v2", false, SIZE, &opened), 0);

    assert_false(opened.writable);
    assert_true(can_be_written(made.base));
    assert_false(can_be_written(opened.base));
    assert_int_equal(fcntl(opened.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    pti_segment_close(&opened);
    pti_segment_close(&made);
}

static int touch_mapping(void *context)
{
    return can_be_written(((struct pti_segment *)context)->base) ? 1 : 0;
}

static void a_forked_child_has_no_mapping(void **state)
{
    struct pti_segment made;

    make_segment(dir_of(state), "q~v2", 0600, &made);

    ptt_assert_exit(ptt_fork(touch_mapping, &made), 0, PTT_LONG);

    assert_int_equal(*(char *)made.base, 0);
    pti_segment_close(&made);
}

static void a_name_that_leads_elsewhere_is_noticed(void **state)
{
    int dirfd = dir_of(state);
    struct pti_segment first, second;

    make_segment(dirfd, "q~v2", 0600, &first);
    assert_int_equal(pti_segment_is_named(&first, dirfd, "q~v2"), 0);
    assert_int_equal(unlinkat(dirfd, "q~v2", 0), 0);
    assert_int_equal(pti_segment_is_named(&first, dirfd, "q~v2"), ENOENT);
    make_segment(dirfd, "q~v2", 0600, &second);

    assert_int_equal(pti_segment_is_named(&first, dirfd, "q~v2"), ENOENT);
    assert_int_equal(pti_segment_is_named(&second, dirfd, "q~v2"), 0);
    pti_segment_close(&first);
    pti_segment_close(&second);
}

static void a_descriptor_that_was_given_away_is_noticed_and_not_closed(void **state)
{
    struct pti_segment made;

    make_segment(dir_of(state), "q~v2", 0600, &made);
    assert_true(pti_segment_is_open(&made));
    int number = made.fd;
    close(number);
    assert_false(pti_segment_is_open(&made));
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC), other = fcntl(null, F_DUPFD_CLOEXEC, number);
    assert_int_equal(other, number);
    close(null);

    assert_false(pti_segment_is_open(&made));
    pti_segment_close(&made);
    assert_true(fcntl(other, F_GETFD) >= 0);
    close(other);
}

static void closing_twice_is_fine(void **state)
{
    struct pti_segment made;

    make_segment(dir_of(state), "q~v2", 0600, &made);
    pti_segment_close(&made);
    pti_segment_close(&made);
    pti_segment_close(NULL);
    assert_null(made.base);
}

static void reserving_gives_memory_and_keeps_what_is_there(void **state)
{
    struct pti_segment made;
    struct stat before, after;

    make_segment(dir_of(state), "q~v2", 0600, &made);
    ((char *)made.base)[70000] = 'k';
    assert_int_equal(fstat(made.fd, &before), 0);
    assert_int_equal(pti_segment_reserve(&made, 65536, 65536), 0);
    assert_int_equal(fstat(made.fd, &after), 0);

    assert_int_equal(((char *)made.base)[70000], 'k');
    assert_true(after.st_blocks * 512 >= 65536);
    assert_true(after.st_blocks > before.st_blocks);
    assert_int_equal(after.st_size, SIZE);
    assert_int_equal(pti_segment_reserve(&made, 0, 0), 0);
    assert_int_equal(pti_segment_reserve(&made, SIZE, 1), EINVAL);
    assert_int_equal(pti_segment_reserve(&made, 1, SIZE), EINVAL);
    assert_int_equal(pti_segment_reserve(&made, SIZE_MAX, 2), EINVAL);
    pti_segment_close(&made);
}

/* The kernel gives back what it had reserved when it is interrupted, so what takes longer than a timer's period is never done in one. */
static void a_timer_does_not_keep_memory_from_being_reserved(void **state)
{
    struct pti_segment much = {.fd = memfd_create("much", MFD_CLOEXEC), .size = MUCH};
    struct stat status;

    (void)state;
    assert_int_equal(ftruncate(much.fd, MUCH), 0);
    interrupts = INTERRUPTS_MOST;
    assert_int_equal(pti_segment_reserve(&much, 0, MUCH), 0);
    assert_true(interrupts > 0);
    interrupts = 0;

    assert_int_equal(fstat(much.fd, &status), 0);
    assert_int_equal(status.st_blocks * 512, MUCH);
    close(much.fd);
}

/* A child with a tmpfs of 1 MiB of its own.  78: this machine does not let us mount. */
static int fill_small_tmpfs(void *context)
{
    struct pti_segment made;
    struct pti_segment_temp temp;
    const char *dir = context;
    char mount_point[300] = "";
    uint64_t space = 0;

    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("small", dir, "tmpfs", 0, "size=1m") != 0)
        return 78;
    int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (pti_segment_create(dirfd, "q~v2", 4 << 20, 0600, &made, &temp) != 0)
        return 1;
    if (pti_segment_link(&made, &temp, dirfd, "q~v2") != 0)
        return 2;
    if (pti_segment_reserve(&made, 0, 512 << 10) != 0)
        return 3;
    if (pti_segment_reserve(&made, 512 << 10, 1 << 20) != ENOSPC)
        return 4;
    if (pti_segment_space(&made, &space, mount_point, sizeof mount_point) != 0)
        return 5;
    if (space == 0 || space > 512 << 10)
        return 6;
    return strcmp(mount_point, dir) == 0 ? 0 : 7;
}

static void a_full_file_system_is_an_answer_with_mount_and_free_space(void **state)
{
    struct ptt_scratch *scratch = *state;
    char dir[96];

    snprintf(dir, sizeof dir, "%s/a b", scratch->dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    int status = ptt_reap(ptt_fork(fill_small_tmpfs, dir), PTT_LONG);

    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 78) {
        print_message("this machine does not let us mount a tmpfs\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define CASE_NAMED(name) cmocka_unit_test_setup_teardown(name, setup_without_tmpfile, teardown)

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(what_was_made_is_found_and_shared),
        CASE(the_umask_does_not_matter),
        CASE(a_name_that_is_taken_stays_with_the_first),
        CASE(a_discarded_one_leaves_nothing),
        CASE_NAMED(what_was_made_is_found_and_shared),
        CASE_NAMED(a_name_that_is_taken_stays_with_the_first),
        CASE_NAMED(a_discarded_one_leaves_nothing),
        CASE_NAMED(an_unfinished_one_under_a_temporary_name_is_locked),
        CASE(what_cannot_be_trusted_is_not_opened),
        CASE(one_that_is_too_short_is_not_opened),
        CASE(a_read_only_one_cannot_be_written),
        CASE(a_forked_child_has_no_mapping),
        CASE(a_name_that_leads_elsewhere_is_noticed),
        CASE(a_descriptor_that_was_given_away_is_noticed_and_not_closed),
        CASE(closing_twice_is_fine),
        CASE(reserving_gives_memory_and_keeps_what_is_there),
        CASE(a_timer_does_not_keep_memory_from_being_reserved),
        CASE(a_full_file_system_is_an_answer_with_mount_and_free_space),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
