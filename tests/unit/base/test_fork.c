/* test_fork.c -- listed descriptors are closed in a forked child, and only those. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/fork.h"
#include "base/time.h"
#include "support/ptt.h"

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

struct pair {
    int listed, other;
    uint32_t generation;
};

static int look_at_pair(void *context)
{
    const struct pair *pair = context;

    if (is_open(pair->listed))
        return 1;
    if (!is_open(pair->other))
        return 2;
    return pti_fork_generation() == pair->generation + 1 ? 0 : 3;
}

static void a_child_has_no_listed_descriptor(void **state)
{
    struct pair pair = {open("/dev/null", O_RDONLY | O_CLOEXEC), open("/dev/null", O_RDONLY | O_CLOEXEC),
                        pti_fork_generation()};

    (void)state;
    assert_int_equal(pti_fork_close_fd_add(pair.listed), 0);

    ptt_assert_exit(ptt_fork(look_at_pair, &pair), 0, PTT_LONG);

    assert_true(is_open(pair.listed));
    assert_int_equal(pti_fork_generation(), pair.generation);
    pti_fork_close(pair.listed);
    assert_false(is_open(pair.listed));
    close(pair.other);
}

static int look_at_removed(void *context)
{
    return is_open(*(int *)context) ? 0 : 1;
}

static void a_child_keeps_what_was_removed_from_the_list(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(pti_fork_close_fd_add(fd), 0);
    pti_fork_close_fd_remove(fd);
    pti_fork_close_fd_remove(fd);

    ptt_assert_exit(ptt_fork(look_at_removed, &fd), 0, PTT_LONG);

    close(fd);
}

static void a_child_keeps_another_file_that_got_the_number(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(pti_fork_close_fd_add(fd), 0);
    close(fd);
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    assert_int_equal(zero, fd);

    ptt_assert_exit(ptt_fork(look_at_removed, &zero), 0, PTT_LONG);

    pti_fork_close(zero);
}

static void what_is_not_open_cannot_be_listed(void **state)
{
    (void)state;
    assert_int_equal(pti_fork_close_fd_add(-1), EBADF);
    pti_fork_close(-1);
}

static int use_the_list_as_a_grandparent(void *context)
{
    struct pair pair = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC), pti_fork_generation()};
    int status = 0;

    (void)context;
    if (pti_fork_close_fd_add(pair.listed) != 0)
        return 10;
    pid_t pid = fork();
    if (pid == 0)
        _exit(look_at_pair(&pair));
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return 11;
    return WEXITSTATUS(status);
}

static void a_child_has_a_list_of_its_own(void **state)
{
    (void)state;
    ptt_assert_exit(ptt_fork(use_the_list_as_a_grandparent, NULL), 0, PTT_LONG);
}

static _Atomic bool is_over;

/* Opens, lists, closes: always within block and allow, so no child may ever see one. */
static void *churn_descriptors(void *context)
{
    _Atomic int *fd = context;

    while (!pti_load_acquire(&is_over)) {
        pti_fork_block();
        int opened = eventfd(0, EFD_CLOEXEC);
        if (opened >= 0 && pti_fork_close_fd_add(opened) == 0)
            pti_store_release(fd, opened);
        pti_fork_allow();
        pti_fork_close(opened);
    }
    return NULL;
}

static int count_descriptors(void *context)
{
    int open_count = 0;

    (void)context;
    for (int fd = 0; fd < 64; fd++)
        open_count += is_open(fd);
    return open_count;
}

static void no_descriptor_slips_into_a_child_while_threads_open_and_close(void **state)
{
    enum { THREADS = 4, FORKS = 300, MOST_MS = 1500 };
    pthread_t threads[THREADS];
    _Atomic int last[THREADS];
    int before = count_descriptors(NULL);
    int64_t end = pti_now_ns() + MOST_MS * PTI_NS_PER_MS;

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn_descriptors, &last[i]), 0);

    for (int i = 0; i < FORKS && pti_now_ns() < end; i++)
        ptt_assert_exit(ptt_fork(count_descriptors, NULL), before, PTT_LONG);

    pti_store_release(&is_over, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(a_child_has_no_listed_descriptor),
        cmocka_unit_test(a_child_keeps_what_was_removed_from_the_list),
        cmocka_unit_test(a_child_keeps_another_file_that_got_the_number),
        cmocka_unit_test(what_is_not_open_cannot_be_listed),
        cmocka_unit_test(a_child_has_a_list_of_its_own),
        cmocka_unit_test(no_descriptor_slips_into_a_child_while_threads_open_and_close),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
