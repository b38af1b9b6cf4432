/* exec.c -- a shell command with a message on its standard input.
 *
 * The message is a memory file, not a pipe: a command that does not read it, or not all of it, blocks nobody.
 */
#include "exec.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "signals.h"

extern char **environ;

static int make_file(const char *data, size_t size)
{
    int fd = memfd_create("ptq-message", MFD_CLOEXEC);

    for (size_t done = 0; fd >= 0 && done < size;) {
        ssize_t wrote = write(fd, data + done, size - done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0) {
            close(fd);
            return -1;
        }
        done += (size_t)wrote;
    }
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET);
    return fd;
}

static void set_environment(const struct exec_about *about)
{
    char number[32], trace[PTQ_TRACE_TEXT_SIZE];

    setenv("PTQ_QUEUE", about->queue, 1);
    snprintf(number, sizeof number, "%" PRIu64, about->position);
    setenv("PTQ_POSITION", number, 1);
    snprintf(number, sizeof number, "%" PRIu32, about->deliveries);
    setenv("PTQ_DELIVERIES", number, 1);
    if (about->has_trace)
        setenv("TRACEPARENT", ptq_trace_text(&about->trace, trace), 1);
    else
        unsetenv("TRACEPARENT"); /* ours, or that of another message, is not its */
}

static int spawn_shell(const char *command, int input, pid_t *ret_child)
{
    char *const argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char *)(uintptr_t)command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawnattr_init(&attributes);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE); /* we ignore it; the command must not */
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    int failed = posix_spawn(ret_child, "/bin/sh", &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

static enum exec_answer wait_child(pid_t child, char how[128])
{
    int status = 0;

    share_signals(child);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    share_signals(0);
    if (WIFSIGNALED(status))
        snprintf(how, 128, "was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(how, 128, "exited %d", WEXITSTATUS(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? EXEC_OK : EXEC_FAILED;
}

enum exec_answer exec_command(const char *command, const void *data, size_t size, const struct exec_about *about,
                              char how[128])
{
    pid_t child = 0;
    int input = make_file(data, size);

    if (input < 0) {
        snprintf(how, 128, "could not be given the message: %s", strerror(errno));
        return EXEC_NOT_STARTED;
    }
    set_environment(about);
    int failed = spawn_shell(command, input, &child);
    close(input);
    if (failed == 0)
        return wait_child(child, how);
    snprintf(how, 128, "could not be started: %s", strerror(failed));
    return EXEC_NOT_STARTED;
}
