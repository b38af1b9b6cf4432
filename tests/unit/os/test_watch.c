/* test_watch.c -- waiters one by one: events, pokes, times, fork, and no instance left. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/time.h"
#include "os/life.h"
#include "os/segment.h"
#include "os/watch.h"
#include "support/ptt.h"

static char dir[64];

/* Stands in for a user whose instances are spent (the linker wraps inotify_init1). */
static bool no_instance_left;
int __real_inotify_init1(int flags);
int __wrap_inotify_init1(int flags);
int __wrap_inotify_init1(int flags)
{
    if (!no_instance_left)
        return __real_inotify_init1(flags);
    errno = EMFILE;
    return -1;
}

static int setup(void **state)
{
    int result = ptt_setup_scratch(state);
    const struct ptt_scratch *scratch = *state;

    strcpy(dir, scratch->dir);
    return result;
}

static const char *path_of(const char *name)
{
    static char path[4][128];
    static unsigned turn;

    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}

static int open_file(const char *name)
{
    int fd = open(path_of(name), O_CREAT | O_RDWR | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    return fd;
}

static void touch(int fd)
{
    assert_int_equal(pwrite(fd, "x", 1, 0), 1);
}

static struct pti_waiter *new_waiter(void)
{
    struct pti_waiter *waiter = NULL;

    assert_int_equal(pti_waiter_new(&waiter), 0);
    return waiter;
}

static struct pti_waiter *new_watcher(const char *name, int events)
{
    struct pti_waiter *waiter = new_waiter();

    assert_int_equal(pti_waiter_watch(waiter, path_of(name), events), 0);
    assert_true(pti_waiter_has_events(waiter));
    return waiter;
}

static bool is_readable(const struct pti_waiter *waiter)
{
    return ptt_wait_readable(pti_waiter_fd(waiter), 0);
}

/* ---- pokes ---- */

static void a_new_waiter_is_not_readable(void **state)
{
    struct pti_waiter *waiter = new_waiter();

    (void)state;
    assert_false(is_readable(waiter));
    assert_false(pti_waiter_drain(waiter));
    assert_int_equal(pti_waiter_sleep(waiter, PTI_DEADLINE_NOW), ETIMEDOUT);
    pti_waiter_free(waiter);
    pti_waiter_free(NULL);
}

static void a_poke_makes_readable_until_a_drain(void **state)
{
    struct pti_waiter *waiter = new_waiter(), *other = new_waiter();

    (void)state;
    errno = E2BIG;
    pti_waiter_poke(waiter);
    pti_waiter_poke(waiter);
    assert_int_equal(errno, E2BIG);
    assert_true(is_readable(waiter));
    assert_true(is_readable(waiter));
    assert_false(is_readable(other));
    assert_int_equal(pti_waiter_sleep(waiter, PTI_DEADLINE_NEVER), 0);

    assert_true(pti_waiter_drain(waiter));
    assert_false(is_readable(waiter));
    assert_false(pti_waiter_drain(waiter));
    pti_waiter_poke(waiter);
    assert_true(is_readable(waiter));
    pti_waiter_free(waiter);
    pti_waiter_free(other);
}

static struct pti_waiter *poked_by_signal;

static void poke_from_signal(int number)
{
    (void)number;
    pti_waiter_poke(poked_by_signal);
}

static void a_signal_handler_may_poke(void **state)
{
    struct sigaction action = {.sa_handler = poke_from_signal}, before;

    (void)state;
    poked_by_signal = new_waiter();
    sigaction(SIGUSR1, &action, &before);
    raise(SIGUSR1);
    sigaction(SIGUSR1, &before, NULL);

    assert_true(pti_waiter_drain(poked_by_signal));
    pti_waiter_free(poked_by_signal);
}

/* ---- file events ---- */

static void a_write_wakes_who_watches_that_file_and_no_other(void **state)
{
    int one = open_file("one"), two = open_file("two");
    struct pti_waiter *waiter = new_watcher("one", PTI_WATCH_MODIFY);
    struct pti_waiter *other = new_watcher("two", PTI_WATCH_MODIFY);

    (void)state;
    touch(one);
    assert_true(is_readable(waiter));
    assert_true(pti_waiter_drain(waiter));
    assert_false(is_readable(waiter));
    assert_false(pti_waiter_drain(other));

    touch(two);
    assert_true(pti_waiter_drain(other));
    assert_false(pti_waiter_drain(waiter));
    pti_waiter_free(waiter);
    pti_waiter_free(other);
    close(one), close(two);
}

static void an_event_that_another_read_is_not_lost(void **state)
{
    int fd = open_file("file");
    struct pti_waiter *reader = new_watcher("file", PTI_WATCH_CLOSE_WRITE);
    struct pti_waiter *waiter = new_watcher("file", PTI_WATCH_MODIFY);

    (void)state;
    touch(fd);
    assert_false(pti_waiter_drain(reader)); /* it read the event, which was not its own */

    assert_false(is_readable(reader));
    assert_true(is_readable(waiter));
    assert_int_equal(pti_waiter_sleep(waiter, PTI_DEADLINE_NOW), 0);
    assert_true(pti_waiter_drain(waiter));
    pti_waiter_free(reader);
    pti_waiter_free(waiter);
    close(fd);
}

static void an_event_is_not_lost_when_its_reader_goes(void **state)
{
    int fd = open_file("file");
    struct pti_waiter *reader = new_watcher("file", PTI_WATCH_CLOSE_WRITE);
    struct pti_waiter *waiter = new_watcher("file", PTI_WATCH_MODIFY);

    (void)state;
    touch(fd);
    pti_waiter_free(reader);

    assert_true(is_readable(waiter));
    assert_true(pti_waiter_drain(waiter));
    touch(fd);
    assert_true(pti_waiter_drain(waiter));
    pti_waiter_free(waiter);
    close(fd);
}

static void several_watch_one_file_each_for_its_own_events(void **state)
{
    int fd = open_file("file");
    struct pti_waiter *modify = new_watcher("file", PTI_WATCH_MODIFY);
    struct pti_waiter *closed = new_watcher("file", PTI_WATCH_CLOSE_WRITE);
    struct pti_waiter *both = new_watcher("file", PTI_WATCH_MODIFY);

    (void)state;
    assert_int_equal(pti_waiter_watch(both, path_of("file"), PTI_WATCH_CLOSE_WRITE), 0);
    touch(fd);
    assert_true(pti_waiter_drain(both));
    assert_true(pti_waiter_drain(modify));
    assert_false(pti_waiter_drain(closed));

    close(fd);
    assert_true(pti_waiter_drain(both));
    assert_false(pti_waiter_drain(modify));
    assert_true(pti_waiter_drain(closed));
    pti_waiter_free(modify);
    pti_waiter_free(closed);
    pti_waiter_free(both);
}

static void a_foreign_event_does_not_end_a_sleep(void **state)
{
    int one = open_file("one"), two = open_file("two");
    struct pti_waiter *waiter = new_watcher("one", PTI_WATCH_MODIFY);
    struct pti_waiter *other = new_watcher("two", PTI_WATCH_MODIFY);

    (void)state;
    touch(two);
    assert_int_equal(pti_waiter_sleep(waiter, pti_now_ns() + 20 * PTI_NS_PER_MS), ETIMEDOUT);

    assert_true(pti_waiter_drain(other));
    pti_waiter_free(waiter);
    pti_waiter_free(other);
    close(one), close(two);
}

static void what_is_missing_cannot_be_watched(void **state)
{
    struct pti_waiter *waiter = new_waiter();

    (void)state;
    assert_int_equal(pti_waiter_watch(waiter, path_of("none"), PTI_WATCH_MODIFY), ENOENT);
    assert_true(pti_waiter_has_events(waiter));
    pti_waiter_free(waiter);
}

static void a_file_that_goes_is_told_once_and_its_successor_is_watched_anew(void **state)
{
    close(open_file("file"));
    struct pti_waiter *waiter = new_watcher("file", PTI_WATCH_MODIFY);

    (void)state;
    assert_int_equal(unlink(path_of("file")), 0);
    assert_true(pti_waiter_drain(waiter));
    assert_false(pti_waiter_drain(waiter));
    int fd = open_file("file");
    touch(fd);
    assert_false(pti_waiter_drain(waiter));
    assert_int_equal(pti_waiter_watch(waiter, path_of("file"), PTI_WATCH_MODIFY), 0);

    touch(fd);
    assert_true(pti_waiter_drain(waiter));
    pti_waiter_free(waiter);
    close(fd);
}

static void an_overflow_of_the_kernels_list_wakes_everybody(void **state)
{
    int one = open_file("one"), two = open_file("two");
    struct pti_waiter *waiter = new_watcher("one", PTI_WATCH_MODIFY);
    struct pti_waiter *other = new_watcher("two", PTI_WATCH_MODIFY);
    int third = open_file("third");
    struct pti_waiter *late = new_watcher("third", PTI_WATCH_MODIFY);

    (void)state;
    for (int i = 0; i < 20000; i++) /* in turn, or the kernel merges them */
        touch(one), touch(two);
    touch(third); /* no room for this one */

    assert_true(pti_waiter_drain(late));
    assert_true(pti_waiter_drain(waiter));
    assert_true(pti_waiter_drain(other));
    pti_waiter_free(waiter);
    pti_waiter_free(other);
    pti_waiter_free(late);
    close(one), close(two), close(third);
}

/* ---- death ---- */

static int map_and_stay(void *context)
{
    struct ptt_page *page = context;
    struct pti_segment segment;
    int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (pti_segment_open(dirfd, "segment", true, 1, &segment) != 0 || pti_life_lock_write(segment.fd, 3) != 0)
        return 1;
    pti_store_release(&page->words[0], 1);
    while (pause() != 0)
        ;
    return 1;
}

static void the_death_of_a_process_wakes_and_its_lock_is_free_by_the_last_echo(void **state)
{
    struct ptt_page *page = ptt_page_new();
    int probe = open_file("segment");
    unsigned looks = 0;

    (void)state;
    assert_int_equal(ftruncate(probe, 4096), 0);
    struct pti_waiter *waiter = new_watcher("segment", PTI_WATCH_CLOSE_WRITE);
    pid_t child = ptt_fork(map_and_stay, page);
    assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
    while (pti_waiter_drain(waiter))
        ; /* nothing, or what the kernel told of our own opens */
    assert_int_equal(pti_life_lock_write(probe, 3), EAGAIN);

    kill(child, SIGKILL);
    do {
        assert_int_equal(pti_waiter_sleep(waiter, pti_now_ns() + PTT_LONG * PTI_NS_PER_MS), 0);
        assert_true(pti_waiter_drain(waiter));
        looks++;
    } while (pti_life_lock_write(probe, 3) != 0);

    assert_true(looks <= 5);
    ptt_kill(child);
    pti_waiter_free(waiter);
    close(probe);
    ptt_page_free(page);
}

static void a_close_is_echoed_four_times_and_then_is_quiet(void **state)
{
    int fd = open_file("file");
    struct pti_waiter *waiter = new_watcher("file", PTI_WATCH_CLOSE_WRITE);
    int64_t begin = pti_now_ns(), first = 0;
    unsigned told = 0;

    (void)state;
    close(fd);
    while (pti_waiter_sleep(waiter, (first != 0 ? first : begin) + 1500 * PTI_NS_PER_MS) == 0) {
        assert_true(pti_waiter_drain(waiter));
        if (told++ == 0)
            first = pti_now_ns(); /* the echoes are counted from here */
    }

    assert_in_range(told, 2, 5); /* one, and the echoes; those that a busy machine made late fall together */
    assert_false(pti_waiter_drain(waiter));
    pti_waiter_free(waiter);
}

/* ---- times ---- */

static void a_time_makes_readable_once(void **state)
{
    struct pti_waiter *waiter = new_waiter();
    int64_t when = pti_now_ns() + 30 * PTI_NS_PER_MS;

    (void)state;
    pti_waiter_timer(waiter, when);
    assert_int_equal(pti_waiter_sleep(waiter, PTI_DEADLINE_NEVER), 0);
    assert_true(pti_now_ns() >= when);

    assert_true(pti_waiter_drain(waiter));
    assert_false(is_readable(waiter));
    assert_false(pti_waiter_drain(waiter));
    pti_waiter_free(waiter);
}

static void a_time_may_be_moved_or_taken_away(void **state)
{
    struct pti_waiter *waiter = new_waiter();
    int64_t now = pti_now_ns();

    (void)state;
    pti_waiter_timer(waiter, now);
    assert_true(ptt_wait_readable(pti_waiter_fd(waiter), PTT_LONG));
    pti_waiter_timer(waiter, PTI_DEADLINE_NEVER);
    assert_false(is_readable(waiter));
    pti_waiter_timer(waiter, now + 3600 * PTI_NS_PER_S);
    assert_false(is_readable(waiter));
    pti_waiter_timer(waiter, PTI_DEADLINE_NOW);
    assert_true(ptt_wait_readable(pti_waiter_fd(waiter), PTT_LONG));

    assert_true(pti_waiter_drain(waiter));
    assert_false(is_readable(waiter));
    pti_waiter_free(waiter);
}

static void a_deadline_ends_a_sleep(void **state)
{
    struct pti_waiter *waiter = new_waiter();
    int64_t deadline = pti_now_ns() + 25 * PTI_NS_PER_MS;

    (void)state;
    assert_int_equal(pti_waiter_sleep(waiter, deadline), ETIMEDOUT);
    assert_true(pti_now_ns() >= deadline);
    assert_int_equal(pti_waiter_sleep(waiter, deadline), ETIMEDOUT);
    pti_waiter_free(waiter);
}

static void ignore_signal(int number)
{
    (void)number;
}

struct sleeper {
    struct pti_waiter *waiter;
    _Atomic pid_t tid;
    int result;
};

static void *sleep_in_thread(void *context)
{
    struct sleeper *sleeper = context;

    pti_store_release(&sleeper->tid, gettid());
    sleeper->result = pti_waiter_sleep(sleeper->waiter, PTI_DEADLINE_NEVER);
    return NULL;
}

static pthread_t start_sleeper(struct sleeper *sleeper)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, sleep_in_thread, sleeper), 0);
    while (pti_load_acquire(&sleeper->tid) == 0)
        sched_yield();
    assert_true(ptt_wait_sleeping(getpid(), pti_load_acquire(&sleeper->tid), PTT_LONG));
    return thread;
}

static void a_signal_handler_ends_a_sleep(void **state)
{
    struct sigaction action = {.sa_handler = ignore_signal, .sa_flags = SA_RESTART}, before;
    struct sleeper sleeper = {.waiter = new_waiter()};

    (void)state;
    sigaction(SIGUSR1, &action, &before);
    pthread_t thread = start_sleeper(&sleeper);
    pthread_kill(thread, SIGUSR1);
    pthread_join(thread, NULL);
    sigaction(SIGUSR1, &before, NULL);

    assert_int_equal(sleeper.result, EINTR);
    pti_waiter_free(sleeper.waiter);
}

static void a_poke_of_another_thread_ends_a_sleep(void **state)
{
    struct sleeper sleeper = {.waiter = new_waiter()};

    (void)state;
    pthread_t thread = start_sleeper(&sleeper);
    pti_waiter_poke(sleeper.waiter);
    pthread_join(thread, NULL);

    assert_int_equal(sleeper.result, 0);
    pti_waiter_free(sleeper.waiter);
}

/* ---- fork ---- */

struct inheritance {
    struct pti_waiter *waiter;
    int fd;
};

static int use_what_was_inherited(void *context)
{
    struct inheritance *given = context;
    struct pti_waiter *own = NULL;

    if (fcntl(pti_waiter_fd(given->waiter), F_GETFD) >= 0)
        return 1;
    pti_waiter_poke(given->waiter);
    pti_waiter_timer(given->waiter, PTI_DEADLINE_NOW);
    if (pti_waiter_drain(given->waiter) || pti_waiter_sleep(given->waiter, PTI_DEADLINE_NEVER) != EINTR)
        return 2;
    if (pti_waiter_new(&own) != 0 || pti_waiter_watch(own, path_of("file"), PTI_WATCH_MODIFY) != 0)
        return 3;
    pti_waiter_free(given->waiter);
    if (pwrite(given->fd, "y", 1, 0) != 1 || !pti_waiter_drain(own) || pti_waiter_drain(own))
        return 4;
    pti_waiter_free(own);
    return 0;
}

static void a_forked_child_cannot_reach_the_parents_waiters(void **state)
{
    struct inheritance given = {.fd = open_file("file")};
    struct pti_waiter *untouched = new_waiter();

    (void)state;
    given.waiter = new_watcher("file", PTI_WATCH_MODIFY);
    ptt_assert_exit(ptt_fork(use_what_was_inherited, &given), 0, PTT_LONG);

    assert_true(pti_waiter_drain(given.waiter)); /* the child's write */
    assert_false(pti_waiter_drain(given.waiter));
    assert_false(is_readable(untouched));
    touch(given.fd);
    assert_true(pti_waiter_drain(given.waiter));
    pti_waiter_free(given.waiter);
    pti_waiter_free(untouched);
    close(given.fd);
}

static int become_a_parent(void *context)
{
    struct inheritance own = {.fd = open_file("file")};
    int status = 0;

    (void)context;
    own.waiter = new_watcher("file", PTI_WATCH_MODIFY);
    pid_t pid = fork();
    if (pid == 0)
        _exit(use_what_was_inherited(&own));
    if (waitpid(pid, &status, 0) != pid || status != 0)
        return 10 + WEXITSTATUS(status);
    return pti_waiter_drain(own.waiter) ? 0 : 9;
}

static void a_child_may_be_a_parent(void **state)
{
    struct pti_waiter *waiter = new_waiter();

    (void)state;
    ptt_assert_exit(ptt_fork(become_a_parent, NULL), 0, PTT_LONG);
    pti_waiter_free(waiter);
}

/* ---- no instance left ---- */

static void assert_readable_by_and_by(struct pti_waiter *waiter)
{
    int64_t begin = pti_now_ns();

    for (int i = 0; i < 2; i++) {
        assert_int_equal(pti_waiter_sleep(waiter, pti_now_ns() + PTT_LONG * PTI_NS_PER_MS), 0);
        assert_true(pti_waiter_drain(waiter));
        assert_false(is_readable(waiter));
    }
    assert_true(pti_now_ns() - begin >= 300 * PTI_NS_PER_MS); /* it is no busy loop */
}

static void without_an_instance_a_timer_stands_in(void **state)
{
    int fd = open_file("file");
    struct pti_waiter *waiter = new_waiter();

    (void)state;
    no_instance_left = true;
    int error = pti_waiter_watch(waiter, path_of("file"), PTI_WATCH_MODIFY);
    int missing = pti_waiter_watch(waiter, path_of("none"), PTI_WATCH_MODIFY);
    no_instance_left = false;

    assert_int_equal(error, 0);
    assert_int_equal(missing, ENOENT);
    assert_false(pti_waiter_has_events(waiter));
    assert_readable_by_and_by(waiter);
    pti_waiter_timer(waiter, PTI_DEADLINE_NOW);
    assert_int_equal(pti_waiter_sleep(waiter, PTI_DEADLINE_NEVER), 0);
    assert_true(pti_waiter_drain(waiter));
    assert_int_equal(pti_waiter_sleep(waiter, pti_now_ns() + PTT_LONG * PTI_NS_PER_MS), 0);
    pti_waiter_free(waiter);
    close(fd);
}

/* As a user of its own, or in a user namespace of its own, spends all instances in earnest. 78: not possible here. */
static int spend_all_instances(void *context)
{
    struct pti_waiter *waiter = NULL;
    int opened = 0;

    (void)context;
    if (geteuid() == 0 ? setgid(61234) != 0 || setuid(61234) != 0 : unshare(CLONE_NEWUSER) != 0)
        return 78;
    while (opened < 5000 && __real_inotify_init1(IN_CLOEXEC) >= 0)
        opened++;
    if (opened == 5000)
        return 78;
    if (pti_waiter_new(&waiter) != 0)
        return errno == EMFILE ? 78 : 1;
    if (pti_waiter_watch(waiter, "/", PTI_WATCH_MODIFY) != 0 || pti_waiter_has_events(waiter))
        return 2;
    if (pti_waiter_sleep(waiter, pti_now_ns() + PTT_LONG * PTI_NS_PER_MS) != 0 || !pti_waiter_drain(waiter))
        return 3;
    pti_waiter_free(waiter);
    return 0;
}

static void a_user_whose_instances_are_spent_is_still_woken(void **state)
{
    (void)state;
    int status = ptt_reap(ptt_fork(spend_all_instances, NULL), PTT_LONG);

    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 78) {
        print_message("the instances of a user cannot be spent here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- nothing left ---- */

static void nothing_stays_open(void **state)
{
    struct ptt_traces before;
    struct pti_waiter *waiters[20];

    (void)state;
    close(open_file("file"));
    ptt_traces_take(&before);
    for (int i = 0; i < 20; i++)
        waiters[i] = new_watcher("file", PTI_WATCH_MODIFY);
    for (int i = 0; i < 20; i++)
        pti_waiter_free(waiters[(i * 7) % 20]);

    ptt_traces_assert_none_left(&before);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, ptt_teardown_scratch)

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(a_new_waiter_is_not_readable),
        CASE(a_poke_makes_readable_until_a_drain),
        CASE(a_signal_handler_may_poke),
        CASE(a_write_wakes_who_watches_that_file_and_no_other),
        CASE(an_event_that_another_read_is_not_lost),
        CASE(an_event_is_not_lost_when_its_reader_goes),
        CASE(several_watch_one_file_each_for_its_own_events),
        CASE(a_foreign_event_does_not_end_a_sleep),
        CASE(what_is_missing_cannot_be_watched),
        CASE(a_file_that_goes_is_told_once_and_its_successor_is_watched_anew),
        CASE(an_overflow_of_the_kernels_list_wakes_everybody),
        CASE(the_death_of_a_process_wakes_and_its_lock_is_free_by_the_last_echo),
        CASE(a_close_is_echoed_four_times_and_then_is_quiet),
        CASE(a_time_makes_readable_once),
        CASE(a_time_may_be_moved_or_taken_away),
        CASE(a_deadline_ends_a_sleep),
        CASE(a_signal_handler_ends_a_sleep),
        CASE(a_poke_of_another_thread_ends_a_sleep),
        CASE(a_forked_child_cannot_reach_the_parents_waiters),
        CASE(a_child_may_be_a_parent),
        CASE(without_an_instance_a_timer_stands_in),
        CASE(a_user_whose_instances_are_spent_is_still_woken),
        CASE(nothing_stays_open),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
