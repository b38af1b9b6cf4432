/* signals.c -- SIGINT, SIGTERM and SIGHUP as a word to stop. */
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

static struct {
    _Atomic(ptq_queue *) queue;
    atomic_int number; /* the signal that came; 0: none */
    atomic_int child;
    int pipe[2]; /* a byte in it wakes poll: a signal between the check and the call is not lost */
} state = {.pipe = {-1, -1}};

static void handle(int number)
{
    int saved = errno;
    int child = atomic_load_explicit(&state.child, memory_order_relaxed);
    bool again = atomic_exchange_explicit(&state.number, number, memory_order_relaxed) != 0;
    ptq_queue *queue = atomic_load_explicit(&state.queue, memory_order_relaxed);

    if (queue != NULL)
        ptq_interrupt(queue);
    if (child > 0)
        kill(child, again ? SIGKILL : number);
    ssize_t ignored = write(state.pipe[1], "", 1); /* full: it is readable already */
    (void)ignored;
    errno = saved;
}

void catch_signals(ptq_queue *queue)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = handle};

    if (pipe2(state.pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        state.pipe[0] = state.pipe[1] = -1;
    atomic_store_explicit(&state.queue, queue, memory_order_relaxed);
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction before;
        sigaction(numbers[i], NULL, &before);
        if (before.sa_handler != SIG_IGN) /* nohup, and jobs in the background, mean it */
            sigaction(numbers[i], &action, NULL);
    }
}

void release_signals(void)
{
    atomic_store_explicit(&state.queue, NULL, memory_order_relaxed);
}

bool was_signalled(void)
{
    return atomic_load_explicit(&state.number, memory_order_relaxed) != 0;
}

void share_signals(pid_t child)
{
    atomic_store_explicit(&state.child, child, memory_order_relaxed);
    int number = atomic_load_explicit(&state.number, memory_order_relaxed);
    if (child > 0 && number != 0)
        kill(child, number); /* it came between the start and here */
}

bool wait_fd(int fd, bool writing)
{
    struct pollfd fds[] = {{.fd = fd, .events = writing ? POLLOUT : POLLIN}, {.fd = state.pipe[0], .events = POLLIN}};

    while (!was_signalled()) {
        int ready = poll(fds, 2, -1);
        if (ready < 0 && errno != EINTR)
            return true; /* let the call itself say what is wrong */
        if (ready > 0 && fds[0].revents != 0 && !was_signalled())
            return true;
    }
    return false;
}

bool wait_two_for(int fd, int other, int timeout_ms)
{
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = other, .events = POLLIN}, {.fd = state.pipe[0], .events = POLLIN}};

    while (!was_signalled()) {
        int ready = poll(fds, 3, timeout_ms);
        if (ready < 0 && errno != EINTR)
            return true;
        if (ready > 0 && (fds[0].revents | fds[1].revents) != 0)
            return true;
        if (ready == 0)
            return true;
    }
    return false;
}

bool wait_two(int fd, int other)
{
    return wait_two_for(fd, other, -1);
}

int end_by_signal(int code)
{
    int number = atomic_load_explicit(&state.number, memory_order_relaxed);

    if (number != 0) {
        signal(number, SIG_DFL);
        raise(number);
    }
    return code;
}
