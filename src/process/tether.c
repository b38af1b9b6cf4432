/* tether.c -- a thread that reads the tether, and is the watchdog. */
#include "process/tether.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/time.h"
#include "os/futex.h"
#include "process/watchdog.h"

static struct {
    int fd;
    void (*leave)(void *context);
    void *context;
} tether;

/* Waits until the tether says something, or the watchdog has something to do: is it the tether? */
static bool wait_for_word(int64_t until_ns)
{
    struct pollfd fds[2] = {{.fd = tether.fd, .events = POLLIN}, {.fd = pti_watchdog_fd(), .events = POLLIN}};
    int64_t left = until_ns == PTI_DEADLINE_NEVER ? 0 : until_ns - pti_now_ns();
    struct timespec timeout = {0};
    if (left > 0)
        timeout = (struct timespec){.tv_sec = left / PTI_NS_PER_S, .tv_nsec = left % PTI_NS_PER_S};
    (void)ppoll(fds, 2, until_ns == PTI_DEADLINE_NEVER ? NULL : &timeout, NULL);
    return fds[0].revents != 0;
}

static void *watch(void *unused)
{
    (void)unused;
    for (;;) {
        if (!wait_for_word(pti_watchdog_look()))
            continue;
        char byte;
        ssize_t count = read(tether.fd, &byte, 1);
        if (count == 1)
            tether.leave(tether.context);
        else if (count == 0 || errno != EINTR)
            _exit(1); /* the parent is gone: whatever we hold is redelivered by the kernel's word */
    }
    return NULL;
}

int pti_tether_hold(int fd, void (*leave)(void *context), void *context)
{
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return errno;
    tether.fd = fd;
    tether.leave = leave;
    tether.context = context;

    pti_membarrier_prepare(); /* its queues would wait for that */
    /* Signals of the program are for its own threads. */
    sigset_t all, before;
    pthread_t thread;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = pthread_create(&thread, NULL, watch, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        (void)pthread_detach(thread);
    return error;
}
