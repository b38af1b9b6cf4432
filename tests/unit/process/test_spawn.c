/* test_spawn.c -- processes are started as told, their ends are told as they were. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/spawn.h"
#include "support/ptt.h"

static char shell[] = "/bin/sh", flag[] = "-c";

/* Starts sh -c `line` with its output in a pipe, whose reading end is *ret_out. */
static int start(char *line, struct pti_spawn spawn, int *ret_out, pid_t *ret_pid, int *ret_pidfd)
{
    int ends[2];
    char *argv[] = {shell, flag, line, NULL};

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    spawn.path = shell;
    spawn.argv = argv;
    spawn.in = -1;
    spawn.out = ends[1];
    int error = pti_spawn(&spawn, ret_pid, ret_pidfd);
    close(ends[1]);
    *ret_out = ends[0];
    return error;
}

static void read_all(int fd, char *buffer, size_t size)
{
    size_t used = 0;
    ssize_t count;

    while (used < size - 1 && (count = read(fd, buffer + used, size - 1 - used)) > 0)
        used += (size_t)count;
    buffer[used] = 0;
    close(fd);
}

static struct pti_exit run(char *line, struct pti_spawn spawn, char *output, size_t size)
{
    int out, pidfd;
    pid_t pid;
    struct pti_exit how;

    assert_int_equal(start(line, spawn, &out, &pid, &pidfd), 0);
    read_all(out, output, size);
    pti_spawn_wait(pidfd, &how);
    close(pidfd);
    return how;
}

static void an_exit_status_is_told(void **state)
{
    char line[] = "echo hello; exit 7", output[64], text[80];

    (void)state;
    struct pti_exit how = run(line, (struct pti_spawn){0}, output, sizeof output);

    assert_string_equal(output, "hello\n");
    assert_true(how.known);
    assert_false(how.signaled);
    assert_int_equal(how.code, 7);
    pti_exit_text(&how, text, sizeof text);
    assert_string_equal(text, "exit status 7");
}

static void a_fatal_signal_is_told(void **state)
{
    char line[] = "kill -KILL $$", output[64], text[80];

    (void)state;
    struct pti_exit how = run(line, (struct pti_spawn){0}, output, sizeof output);

    assert_true(how.signaled);
    assert_int_equal(how.code, SIGKILL);
    pti_exit_text(&how, text, sizeof text);
    assert_string_equal(text, "signal 9 (Killed)");
}

static void a_program_that_is_not_there_is_an_error(void **state)
{
    char path[] = "/nonexistent/program";
    char *argv[] = {path, NULL};
    struct pti_spawn spawn = {.path = path, .argv = argv, .in = -1, .out = -1};
    struct ptt_traces before;
    pid_t pid = 17;
    int pidfd = 18;

    (void)state;
    ptt_traces_take(&before);

    assert_int_equal(pti_spawn(&spawn, &pid, &pidfd), ENOENT);

    assert_int_equal(pid, 17);
    assert_int_equal(pidfd, 18);
    ptt_traces_assert_none_left(&before);
}

static void only_named_descriptors_pass(void **state)
{
    int kept = open("/dev/null", O_RDONLY | O_CLOEXEC), other = open("/dev/null", O_RDONLY | O_CLOEXEC);
    char line[128], output[64];

    (void)state;
    snprintf(line, sizeof line, "test -e /proc/self/fd/%d && echo kept; test -e /proc/self/fd/%d || echo closed", kept, other);
    run(line, (struct pti_spawn){.keep = &kept, .keep_count = 1}, output, sizeof output);

    assert_string_equal(output, "kept\nclosed\n");
    close(kept);
    close(other);
}

static void signals_are_as_in_a_fresh_process(void **state)
{
    char line[] = "grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -f2 | tr '\\n' ' '", output[128];
    sigset_t all, before;

    (void)state;
    void (*old)(int) = signal(SIGPIPE, SIG_IGN);
    void (*hup)(int) = signal(SIGHUP, SIG_IGN);
    void (*interrupt)(int) = signal(SIGINT, SIG_DFL); /* a shell's background job ignores these two, and hands it on */
    void (*quit)(int) = signal(SIGQUIT, SIG_DFL);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    run(line, (struct pti_spawn){0}, output, sizeof output);
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGPIPE, old);
    signal(SIGHUP, hup);
    signal(SIGINT, interrupt);
    signal(SIGQUIT, quit);

    assert_string_equal(output, "0000000000000000 0000000000000001 "); /* nohup still works */
}

static void reaping_does_not_wait(void **state)
{
    char line[] = "read x < /dev/zero; sleep 1000";
    struct pti_exit how;
    pid_t pid;
    int out, pidfd;

    (void)state;
    assert_int_equal(start(line, (struct pti_spawn){0}, &out, &pid, &pidfd), 0);
    assert_false(pti_spawn_reap(pidfd, &how));
    assert_int_equal(pti_spawn_signal(pidfd, SIGTERM), 0);
    assert_true(ptt_wait_readable(pidfd, PTT_LONG));
    assert_true(pti_spawn_reap(pidfd, &how));

    assert_true(how.signaled);
    assert_int_equal(how.code, SIGTERM);
    close(pidfd);
    close(out);
}

static void a_child_that_somebody_else_reaped_ended_in_an_unknown_way(void **state)
{
    char line[] = "exit 3";
    struct pti_exit how;
    pid_t pid;
    int out, pidfd;

    (void)state;
    assert_int_equal(start(line, (struct pti_spawn){0}, &out, &pid, &pidfd), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(pti_spawn_reap(pidfd, &how));

    assert_false(how.known);
    close(pidfd);
    close(out);
}

/* A child that starts a grandchild which dies with it; its pid goes to the page. */
static int start_and_stay(void *context)
{
    struct ptt_page *page = context;
    char line[] = "echo up; exec sleep 1000";
    char *argv[] = {shell, flag, line, NULL};
    int ends[2], pidfd;
    pid_t pid;
    char byte;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return 1;
    struct pti_spawn spawn = {.path = shell, .argv = argv, .in = -1, .out = ends[1], .death_signal = SIGKILL};
    if (pti_spawn(&spawn, &pid, &pidfd) != 0 || read(ends[0], &byte, 1) != 1)
        return 1;
    atomic_store(&page->words[0], (uint64_t)pid);
    pause();
    return 0;
}

static void a_child_dies_with_its_parent(void **state)
{
    struct ptt_page *page = ptt_page_new();
    int status = 0;

    (void)state;
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* the orphan comes to us */
    pid_t parent = ptt_fork(start_and_stay, page);
    assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
    pid_t orphan = (pid_t)atomic_load(&page->words[0]);
    ptt_kill(parent);

    assert_int_equal(waitpid(orphan, &status, 0), orphan);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    ptt_page_free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exit_status_is_told),
        cmocka_unit_test(a_fatal_signal_is_told),
        cmocka_unit_test(a_program_that_is_not_there_is_an_error),
        cmocka_unit_test(only_named_descriptors_pass),
        cmocka_unit_test(signals_are_as_in_a_fresh_process),
        cmocka_unit_test(reaping_does_not_wait),
        cmocka_unit_test(a_child_that_somebody_else_reaped_ended_in_an_unknown_way),
        cmocka_unit_test(a_child_dies_with_its_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
