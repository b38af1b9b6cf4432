/* event.c -- descriptors that a process makes: an event that is set or not, a set of descriptors to wait on. */
#include "os/event.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ROOM 64

int pti_event_new(bool set, int *ret_fd)
{
    int fd = eventfd(set, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0)
        return errno;
    *ret_fd = fd;
    return 0;
}

void pti_event_set(int fd)
{
    const uint64_t one = 1;
    int saved = errno;

    (void)!write(fd, &one, sizeof one);
    errno = saved;
}

void pti_event_clear(int fd)
{
    uint64_t count;

    (void)!read(fd, &count, sizeof count);
}

bool pti_event_is_set(int fd)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};

    return poll(&readable, 1, 0) > 0;
}

int pti_poll_new(int *ret_poll)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);

    if (fd < 0)
        return errno;
    *ret_poll = fd;
    return 0;
}

static int control(int poll, int operation, int fd, uint64_t tag, bool watch)
{
    struct epoll_event event = {.events = watch ? EPOLLIN : 0, .data.u64 = tag};

    return epoll_ctl(poll, operation, fd, &event) == 0 ? 0 : errno;
}

int pti_poll_add(int poll, int fd, uint64_t tag, bool watch)
{
    return control(poll, EPOLL_CTL_ADD, fd, tag, watch);
}

int pti_poll_watch(int poll, int fd, uint64_t tag, bool watch)
{
    return control(poll, EPOLL_CTL_MOD, fd, tag, watch);
}

void pti_poll_remove(int poll, int fd)
{
    control(poll, EPOLL_CTL_DEL, fd, 0, false);
}

int pti_poll_wait(int poll, uint64_t *tags, int room, int timeout_ms)
{
    struct epoll_event events[ROOM];
    int count = epoll_wait(poll, events, room < ROOM ? room : ROOM, timeout_ms);

    if (count < 0)
        return -errno;
    for (int i = 0; i < count; i++)
        tags[i] = events[i].data.u64;
    return count;
}
