/* exec.c -- a command as a task: the job on its standard input, the result from its standard output.
 *
 * The command leads a process group of its own, which is killed with it when its time is over, and with its worker.  All pipes are
 * served by one poll, so that neither side can wait for the other; a command that does not read its input is no error.
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
#include "base/time.h"
#include "os/spawn.h"
#include "pool/pool.h"

extern char **environ;

#define GRACE_NS (100 * PTI_NS_PER_MS) /* between SIGTERM and SIGKILL, and until its output is given up */

struct command {
    const struct ptq_command *what;
    ptq_task *task;
    int in, out, err; /* our ends; -1: closed */
    int stop;         /* what->stop_fd; -1: none, or it has spoken */
    int pidfd;
    pid_t pid;
    int64_t next_ns; /* when to do something about it; PTI_DEADLINE_NEVER */
    unsigned stage;  /* what was done: 0: nothing, 1: SIGTERM, 2: SIGKILL, 3: nothing more is waited for */
    const char *data;
    size_t size;
    enum ptq_err answer; /* of what->each */
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

/* A command that a shell would only take apart at its spaces, and whose first word is a path: then it needs no shell, which takes as
 * long to start as a small program.  Its words stand in `words`; false: ask the shell. */
enum { WORDS = 64, WORDS_BYTES = 1024 };
static bool split_plain(const char *line, char words[static WORDS_BYTES], char *argv[static WORDS + 1])
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:=,+@%^- ";
    size_t length = strlen(line), count = 0;
    char *rest = NULL;
    if (line[0] != '/' || length >= WORDS_BYTES || line[strspn(line, plain)] != '\0')
        return false;
    memcpy(words, line, length + 1);
    for (char *word = strtok_r(words, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        if (count == WORDS)
            return false;
        argv[count++] = word;
    }
    argv[count] = NULL;
    return true;
}

static int spawn_command(struct command *command, const char *line, struct pti_spawn *spawn)
{
    char words[WORDS_BYTES], *plain[WORDS + 1], shell[] = "sh", flag[] = "-c";
    char *argv[] = {shell, flag, (char *)(uintptr_t)line, NULL};
    if (split_plain(line, words, plain)) {
        spawn->path = plain[0];
        spawn->argv = plain;
        if (pti_spawn(spawn, &command->pid, &command->pidfd) == 0)
            return 0;
    } /* the shell says what is wrong with it, and runs a script without a first line */
    spawn->path = "/bin/sh";
    spawn->argv = argv;
    return pti_spawn(spawn, &command->pid, &command->pidfd);
}

/* What is to be piped; the descriptors of both sides are -1 where something is not. */
static int make_pipes(int input[2], int output[2], int errors[2], bool with_errors)
{
    int error = make_pipe(input);
    if (error == 0)
        error = make_pipe(output);
    if (error == 0 && with_errors)
        error = make_pipe(errors);
    return error;
}

static int start(struct command *command, char **environment, struct pti_status *status)
{
    int input[2] = {-1, -1}, output[2] = {-1, -1}, errors[2] = {-1, -1};
    int error = make_pipes(input, output, errors, command->what->each != NULL);
    struct pti_spawn spawn = {.envp = environment, .in = input[0], .out = output[1], .err = errors[1], .own_group = true,
                              .death_signal = pti_is_main_thread() ? SIGKILL : 0};
    if (error == 0)
        error = spawn_command(command, command->what->line, &spawn);
    if (error == 0 && status != NULL)
        pti_store_release(&status->group, (uint64_t)command->pid);
    shut(&input[0]);
    shut(&output[1]);
    shut(&errors[1]);
    command->in = input[1];
    command->out = output[0];
    command->err = errors[0];
    if (error != 0) {
        shut(&command->in);
        shut(&command->out);
        shut(&command->err);
        return error;
    }
    (void)fcntl(command->in, F_SETFL, O_NONBLOCK);
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

/* What does not fit a result is counted, and read all the same. */
static void give(struct command *command, int number, const void *data, size_t size)
{
    const struct ptq_command *what = command->what;
    if (what->each == NULL)
        (void)ptq_task_emit(command->task, data, size);
    else if (command->answer == PTQ_OK)
        command->answer = what->each(number, data, size, what->context);
}

/* Called when poll says so: it does not block. */
static void drain(struct command *command, int *fd, int number)
{
    char buffer[16384];
    ssize_t count = read(*fd, buffer, sizeof buffer);
    if (count > 0)
        give(command, number, buffer, (size_t)count);
    else if (count == 0 || (errno != EAGAIN && errno != EINTR))
        shut(fd);
}

/* Its time is over. */
static void press(struct command *command)
{
    if (command->next_ns > pti_now_ns())
        return;
    command->stage++;
    command->next_ns = pti_now_ns() + GRACE_NS;
    if (command->stage <= 2) {
        (void)kill(-command->pid, command->stage == 1 ? SIGTERM : SIGKILL); /* not yet reaped: the group is its own */
        return;
    }
    shut(&command->out); /* somebody who has left the group holds it open */
    shut(&command->err);
}

/* Somebody wants it to end: as if its time were over. */
static void heed(struct command *command, const struct pollfd *look)
{
    if (look->fd < 0 || look->revents == 0)
        return;
    command->stop = -1;
    if (command->stage == 0)
        command->next_ns = 0;
    press(command);
}

static void serve(struct command *command)
{
    feed(command);
    while (command->out >= 0 || command->err >= 0) {
        struct pollfd look[4] = {{.fd = command->out, .events = POLLIN}, {.fd = command->in, .events = POLLOUT},
                                 {.fd = command->err, .events = POLLIN}, {.fd = command->stop, .events = POLLIN}};
        int count = poll(look, 4, pti_ms_until(command->next_ns));
        press(command);
        if (count <= 0)
            continue;
        heed(command, &look[3]);
        if (command->out >= 0 && look[0].revents != 0)
            drain(command, &command->out, 1);
        if (command->err >= 0 && look[2].revents != 0)
            drain(command, &command->err, 2);
        if (command->in >= 0 && look[1].revents != 0)
            feed(command);
    }
    shut(&command->in);
}

/* Its output has ended, and it has perhaps not. */
static void wait_for_end(struct command *command, struct pti_exit *ret_how)
{
    while (command->stage < 2) {
        struct pollfd look[2] = {{.fd = command->pidfd, .events = POLLIN}, {.fd = command->stop, .events = POLLIN}};
        if (poll(look, 2, pti_ms_until(command->next_ns)) > 0 && look[0].revents != 0)
            break;
        heed(command, &look[1]);
        press(command);
    }
    if (command->stage > 0) /* whoever is left of its group, before its number can be anybody else's */
        (void)kill(-command->pid, SIGKILL);
    pti_spawn_wait(command->pidfd, ret_how);
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

/* Runs it to its end.  0, or the errno of its start. */
static int run(struct command *command, struct pti_exit *ret_how)
{
    struct pti_status *status = command->task->worker->status;
    char **environment = make_environment(command->task);
    int error = environment != NULL ? start(command, environment, status) : ENOMEM;
    free(environment);
    if (error != 0)
        return error;

    sigset_t before;
    block_sigpipe(&before);
    serve(command);
    unblock_sigpipe(&before);
    wait_for_end(command, ret_how);
    if (status != NULL)
        pti_store_release(&status->group, 0);
    (void)close(command->pidfd);
    return 0;
}

static struct command command_of(ptq_task *task, const struct ptq_command *what)
{
    return (struct command){.what = what, .task = task, .in = -1, .out = -1, .err = -1, .pidfd = -1, .data = what->input,
                            .size = what->input_size, .stop = what->stop_fd > 0 ? what->stop_fd : -1, .next_ns = task->deadline_ns};
}

enum ptq_err ptq_task_command(ptq_task *task, const struct ptq_command *what, struct ptq_command_end *ret_end)
{
    struct command command = command_of(task, what);
    struct pti_exit how;
    int64_t start = pti_now_ns();
    if (what->timeout_ms != 0 && start + what->timeout_ms * PTI_NS_PER_MS < command.next_ns)
        command.next_ns = start + what->timeout_ms * PTI_NS_PER_MS;
    int error = run(&command, &how);
    if (error != 0)
        return error == E2BIG ? PTQ_EMSGSIZE : pti_err_from_errno(error);
    *ret_end = (struct ptq_command_end){.known = how.known, .signaled = how.signaled, .core = how.core, .code = how.code,
                                        .stopped = command.stop != what->stop_fd && what->stop_fd > 0,
                                        .run_ns = pti_now_ns() - start};
    ret_end->timed_out = command.stage > 0 && !ret_end->stopped;
    return command.answer;
}

enum ptq_err pti_exec_run(const char *line, ptq_task *task, const void *data, size_t size)
{
    struct ptq_command what = {.line = line, .input = data, .input_size = size};
    struct command command = command_of(task, &what);
    struct pti_exit how;
    int error = run(&command, &how);
    if (error != 0)
        return pti_task_blame(task, PTI_SECTION_COMMAND, pti_err_from_errno(error), "cannot start the command '%s': %s", line, strerror(error));
    if (how.known && !how.signaled && how.code == 0)
        return task->code;
    char end[120];
    pti_exit_text(&how, end, sizeof end);
    (void)pti_task_blame(task, PTI_SECTION_COMMAND, PTQ_EFAILED, "the command '%s' ended with %s", line, end);
    task->signal = how.known && how.signaled ? (uint16_t)how.code : 0;
    return PTQ_EFAILED;
}
