/* tether.c -- a thread that reads the tether. */
#include "process/tether.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static struct {
    int fd;
    void (*leave)(void *context);
    void *context;
} tether;

static void *watch(void *unused)
{
    (void)unused;
    for (;;) {
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
