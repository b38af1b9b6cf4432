/* test_life.c -- OFD locks as the word on who is alive. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic.h"
#include "os/life.h"
#include "support/ptt.h"

static char path[128];

static int open_file(int flags)
{
    int fd = open(path, flags | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static int setup(void **state)
{
    int result = ptt_setup_scratch(state);
    const struct ptt_scratch *scratch = *state;

    snprintf(path, sizeof path, "%s/lock", scratch->dir);
    close(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    return result;
}

static void a_byte_has_one_writer(void **state)
{
    int first = open_file(O_RDWR), second = open_file(O_RDWR);

    (void)state;
    assert_int_equal(pti_life_lock_write(first, 7), 0);
    assert_int_equal(pti_life_lock_write(second, 7), EAGAIN);
    assert_int_equal(pti_life_lock_read(second, 7), EAGAIN);
    assert_int_equal(pti_life_lock_write(second, 8), 0);
    assert_int_equal(pti_life_unlock(first, 7), 0);
    assert_int_equal(pti_life_lock_write(second, 7), 0);

    close(first), close(second);
}

static void recoverers_share_a_byte_and_keep_registrants_out(void **state)
{
    int first = open_file(O_RDWR), second = open_file(O_RDONLY), third = open_file(O_RDWR);

    (void)state;
    assert_int_equal(pti_life_lock_read(first, 3), 0);
    assert_int_equal(pti_life_lock_read(second, 3), 0);
    assert_int_equal(pti_life_lock_write(third, 3), EAGAIN);
    close(first);
    assert_int_equal(pti_life_lock_write(third, 3), EAGAIN);
    close(second);
    assert_int_equal(pti_life_lock_write(third, 3), 0);

    close(third);
}

static void the_whole_range_is_free_only_when_nobody_lives(void **state)
{
    static const uint32_t bytes[] = {0, 2047, PTI_LIFE_GETTER, PTI_LIFE_CREATOR};
    int gc = open_file(O_RDWR);

    (void)state;
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        int living = open_file(O_RDWR);
        assert_int_equal(pti_life_lock_write(living, bytes[i]), 0);
        assert_int_equal(pti_life_lock_all(gc), EAGAIN);
        close(living);
    }
    assert_int_equal(pti_life_lock_all(gc), 0);
    int living = open_file(O_RDWR);
    assert_int_equal(pti_life_lock_write(living, 5), EAGAIN);
    assert_int_equal(pti_life_unlock_all(gc), 0);
    assert_int_equal(pti_life_lock_write(living, 5), 0);

    close(gc), close(living);
}

static void a_watcher_sees_locks_without_taking_any(void **state)
{
    int living = open_file(O_RDWR), watcher = open_file(O_RDONLY);

    (void)state;
    assert_int_equal(pti_life_is_locked(watcher, 9), 0);
    assert_int_equal(pti_life_lock_write(living, 9), 0);
    assert_int_equal(pti_life_is_locked(watcher, 9), 1);
    assert_int_equal(pti_life_is_locked(watcher, 10), 0);
    assert_int_equal(pti_life_is_locked(-1, 9), -1);

    close(living), close(watcher);
}

static void what_cannot_be_locked_is_an_error(void **state)
{
    int reader = open_file(O_RDONLY);

    (void)state;
    assert_int_equal(pti_life_lock_write(reader, 1), EBADF);
    assert_int_equal(pti_life_lock_read(-1, 1), EBADF);

    close(reader);
}

static int lock_and_stay(void *context)
{
    struct ptt_page *page = context;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    pti_store_release(&page->words[0], pti_life_lock_write(fd, 4) == 0 ? 1 : 2);
    while (pause() != 0)
        ;
    return 1;
}

static void a_stopped_process_keeps_its_lock_and_a_zombie_does_not(void **state)
{
    struct ptt_page *page = ptt_page_new();
    int probe = open_file(O_RDWR);
    siginfo_t info;

    (void)state;
    pid_t child = ptt_fork(lock_and_stay, page);
    assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
    assert_int_equal(pti_load_acquire(&page->words[0]), 1);
    ptt_stop(child);
    assert_int_equal(pti_life_lock_write(probe, 4), EAGAIN);

    kill(child, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0); /* dead, not reaped */
    assert_int_equal(pti_life_lock_write(probe, 4), 0);

    ptt_kill(child);
    close(probe);
    ptt_page_free(page);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, ptt_teardown_scratch)

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(a_byte_has_one_writer),
        CASE(recoverers_share_a_byte_and_keep_registrants_out),
        CASE(the_whole_range_is_free_only_when_nobody_lives),
        CASE(a_watcher_sees_locks_without_taking_any),
        CASE(what_cannot_be_locked_is_an_error),
        CASE(a_stopped_process_keeps_its_lock_and_a_zombie_does_not),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
