/* exec.c -- a command as a task: the job on its standard input, the result from its standard output.
 *
 * The command is a child of the worker and is killed with it.  Both pipes are served by one poll, so that neither side can
 * wait for the other; a command that does not read its input is no error.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "os/spawn.h"
#include "pool/pool.h"

extern char **environ;

struct command {
    int in, out;  /* our ends; -1: closed */
    int pidfd;
    const char *data;
    size_t size;
};

static void shut(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* A pipe none of whose ends is a standard descriptor, should those be closed. */
static int make_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    for (int i = 0; i < 2; i++) {
        if (ends[i] > 2)
            continue;
        int moved = fcntl(ends[i], F_DUPFD_CLOEXEC, 3);
        int error = errno;
        (void)close(ends[i]);
        ends[i] = moved;
        if (moved < 0) {
            (void)close(ends[1 - i]);
            return error;
        }
    }
    return 0;
}

/* The environment, and what the command may want to know of its job.  NULL: no memory; else to be freed, in one piece. */
static char **make_environment(const ptq_task *task)
{
    enum { OURS = 4, WORD = PTQ_NAME_MAX + 32 };
    size_t count = 0, kept = 0;
    while (environ[count] != NULL)
        count++;
    char **all = malloc((count + OURS + 1) * sizeof *all + OURS * WORD);
    if (all == NULL)
        return NULL;
    char *word = (char *)(all + count + OURS + 1);
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], "PTQ_POOL=", 9) != 0 && strncmp(environ[i], "PTQ_TICKET=", 11) != 0 &&
            strncmp(environ[i], "PTQ_TRIES=", 10) != 0 && strncmp(environ[i], "TRACEPARENT=", 12) != 0)
            all[kept++] = environ[i];
    (void)snprintf(word, WORD, "PTQ_POOL=%s", task->worker->pool->name);
    all[kept++] = word;
    (void)snprintf(word + WORD, WORD, "PTQ_TICKET=%llu", (unsigned long long)task->ticket);
    all[kept++] = word + WORD;
    (void)snprintf(word + 2 * WORD, WORD, "PTQ_TRIES=%u", task->tries);
    all[kept++] = word + 2 * WORD;
    if (task->has_trace) { /* and no other's */
        char text[PTQ_TRACE_TEXT_SIZE];
        (void)snprintf(word + 3 * WORD, WORD, "TRACEPARENT=%s", ptq_trace_text(&task->trace, text));
        all[kept++] = word + 3 * WORD;
    }
    all[kept] = NULL;
    return all;
}

static int start(struct command *command, const char *line, char **environment)
{
    int input[2], output[2];
    int error = make_pipe(input);
    if (error != 0)
        return error;
    error = make_pipe(output);
    if (error != 0) {
        (void)close(input[0]);
        (void)close(input[1]);
        return error;
    }
    char shell[] = "sh", flag[] = "-c";
    char *argv[] = {shell, flag, (char *)(uintptr_t)line, NULL};
    struct pti_spawn spawn = {.path = "/bin/sh", .argv = argv, .envp = environment, .in = input[0], .out = output[1],
                              .death_signal = pti_is_main_thread() ? SIGKILL : 0};
    pid_t pid;
    error = pti_spawn(&spawn, &pid, &command->pidfd);
    (void)close(input[0]);
    (void)close(output[1]);
    command->in = input[1];
    command->out = output[0];
    if (error != 0) {
        shut(&command->in);
        shut(&command->out);
        return error;
    }
    (void)fcntl(command->in, F_SETFL, O_NONBLOCK);
    (void)fcntl(command->out, F_SETFL, O_NONBLOCK);
    return 0;
}

static void feed(struct command *command)
{
    ssize_t count = command->size == 0 ? 0 : write(command->in, command->data, command->size);
    if (count > 0) {
        command->data += count;
        command->size -= (size_t)count;
    }
    if (command->size == 0 || (count < 0 && errno != EAGAIN && errno != EINTR))
        shut(&command->in);
}

static void drain(struct command *command, ptq_task *task)
{
    char buffer[16384];
    ssize_t count = read(command->out, buffer, sizeof buffer);
    if (count > 0)
        (void)ptq_task_emit(task, buffer, (size_t)count); /* what does not fit is counted, and read all the same */
    else if (count == 0 || (errno != EAGAIN && errno != EINTR))
        shut(&command->out);
}

static void serve(struct command *command, ptq_task *task)
{
    feed(command);
    while (command->out >= 0) {
        struct pollfd look[2] = {{.fd = command->out, .events = POLLIN}, {.fd = command->in, .events = POLLOUT}};
        if (poll(look, 2, -1) < 0)
            continue;
        if (look[0].revents != 0)
            drain(command, task);
        if (command->in >= 0 && look[1].revents != 0)
            feed(command);
    }
    shut(&command->in);
}

/* SIGPIPE belongs to the thread that wrote: it is held back, and taken away before it is let in again. */
static void block_sigpipe(sigset_t *before)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &set, before);
}

static void unblock_sigpipe(const sigset_t *before)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGPIPE);
    if (sigismember(before, SIGPIPE) != 1)
        while (sigtimedwait(&set, NULL, &(struct timespec){0}) == SIGPIPE)
            ;
    (void)pthread_sigmask(SIG_SETMASK, before, NULL);
}

enum ptq_err pti_exec_run(const char *line, ptq_task *task, const void *data, size_t size)
{
    struct command command = {.in = -1, .out = -1, .pidfd = -1, .data = data, .size = size};
    char **environment = make_environment(task);
    int error = environment != NULL ? start(&command, line, environment) : ENOMEM;
    free(environment);
    if (error != 0)
        return ptq_task_fail(task, pti_err_from_errno(error), "cannot start the command '%s': error %d", line, error);

    sigset_t before;
    struct pti_exit how;
    block_sigpipe(&before);
    serve(&command, task);
    unblock_sigpipe(&before);
    pti_spawn_wait(command.pidfd, &how);
    (void)close(command.pidfd);
    if (how.known && !how.signaled && how.code == 0)
        return task->code;
    char end[120];
    pti_exit_text(&how, end, sizeof end);
    return ptq_task_fail(task, PTQ_EFAILED, "the command '%s' ended with %s", line, end);
}
