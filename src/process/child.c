/* child.c -- one child process. */
#include "process/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/time.h"

#define ARGUMENTS_MAX 32
#define KEEP_MAX 8

/* PDEATHSIG fires when the thread that spawned ends, so it is of use only where that is the main thread; for the others
 * the tether alone must do. */
static int death_signal(void)
{
    return pti_is_main_thread() ? SIGKILL : 0;
}

/* A forked copy of this process must not hold our end, or the child would outlive us: it is listed. */
static int make_tether(int pair[2])
{
    pti_fork_block();
    bool made = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0;
    int error = made ? pti_fork_close_fd_add(pair[0]) : errno;
    if (made && error != 0) {
        (void)close(pair[0]);
        (void)close(pair[1]);
    }
    pti_fork_allow();
    return error;
}

int pti_child_start(struct pti_child *child, const char *path, char *const *argv, const int *keep, unsigned keep_count)
{
    char *arguments[ARGUMENTS_MAX + 2] = {NULL};
    int kept[KEEP_MAX];
    unsigned count = 0;
    for (; argv[count] != NULL && count < ARGUMENTS_MAX; count++)
        arguments[count] = argv[count];
    if (count == ARGUMENTS_MAX || keep_count >= KEEP_MAX)
        return E2BIG;

    int pair[2];
    int error = make_tether(pair);
    if (error != 0)
        return error;
    char tether[32];
    (void)snprintf(tether, sizeof tether, "tether=%d", pair[1]);
    arguments[count] = tether;
    if (keep_count != 0)
        memcpy(kept, keep, keep_count * sizeof *kept);
    kept[keep_count] = pair[1];

    struct pti_spawn spawn = {.path = path, .argv = arguments, .in = -1, .out = -1, .keep = kept,
                              .keep_count = keep_count + 1, .death_signal = death_signal()};
    pid_t pid = 0;
    int pidfd = -1;
    error = pti_spawn(&spawn, &pid, &pidfd);
    (void)close(pair[1]);
    if (error != 0) {
        pti_fork_close(pair[0]);
        return error;
    }
    *child = (struct pti_child){.state = PTI_CHILD_RUNNING, .pid = pid, .pidfd = pidfd, .tether = pair[0],
                                .started_ns = pti_now_ns()};
    return 0;
}

void pti_child_ask(struct pti_child *child)
{
    if (child->state != PTI_CHILD_RUNNING || child->asked)
        return;
    child->asked = true;
    (void)send(child->tether, "q", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void pti_child_signal(struct pti_child *child, int signal)
{
    if (child->state == PTI_CHILD_RUNNING)
        (void)pti_spawn_signal(child->pidfd, signal);
}

bool pti_child_look(struct pti_child *child)
{
    if (child->state != PTI_CHILD_RUNNING || !pti_spawn_reap(child->pidfd, &child->how))
        return false;
    (void)close(child->pidfd);
    pti_fork_close(child->tether);
    child->state = PTI_CHILD_ENDED;
    return true;
}
