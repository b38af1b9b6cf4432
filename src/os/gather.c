/* gather.c -- epoll and timerfd. */
#include "os/gather.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/time.h"

int pti_gather_init(struct pti_gather *gather)
{
    *gather = (struct pti_gather){.fd = epoll_create1(EPOLL_CLOEXEC),
                                  .timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
    int error = gather->fd < 0 || gather->timer < 0 ? errno : pti_gather_add(gather, gather->timer);
    if (error != 0)
        pti_gather_fini(gather);
    return error;
}

void pti_gather_fini(struct pti_gather *gather)
{
    if (gather->timer >= 0)
        (void)close(gather->timer);
    if (gather->fd >= 0)
        (void)close(gather->fd);
    *gather = PTI_GATHER_NONE;
}

int pti_gather_add(const struct pti_gather *gather, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (fd < 0)
        return 0;
    return epoll_ctl(gather->fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

int pti_timer_new(int *ret_fd)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fd < 0)
        return errno;
    *ret_fd = fd;
    return 0;
}

void pti_timer_set(int fd, int64_t when_ns)
{
    struct itimerspec at = {0};
    if (when_ns != PTI_DEADLINE_NEVER) {
        at.it_value.tv_sec = when_ns / PTI_NS_PER_S;
        at.it_value.tv_nsec = when_ns % PTI_NS_PER_S;
        if (when_ns <= 0)
            at.it_value.tv_nsec = 1; /* all zero would take it away */
    }
    (void)timerfd_settime(fd, TFD_TIMER_ABSTIME, &at, NULL);
}

void pti_timer_read(int fd)
{
    uint64_t times;
    (void)!read(fd, &times, sizeof times);
}

void pti_gather_timer(const struct pti_gather *gather, int64_t when_ns)
{
    pti_timer_set(gather->timer, when_ns);
}

static int ms_until(int64_t deadline_ns)
{
    if (deadline_ns == PTI_DEADLINE_NEVER)
        return -1;
    int64_t left_ns = deadline_ns - pti_now_ns();
    int64_t left_ms = left_ns <= 0 ? 0 : (left_ns + PTI_NS_PER_MS - 1) / PTI_NS_PER_MS;
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

int pti_gather_sleep(const struct pti_gather *gather, int64_t deadline_ns, bool *ret_by_timer)
{
    struct epoll_event events[2];
    struct pollfd readable = {.fd = gather->fd, .events = POLLIN};
    /* Scar: epoll_wait answers EINTR also for a child's end that nobody handles, where SIGCHLD was blocked for a moment. */
    int ready = poll(&readable, 1, ms_until(deadline_ns));
    int count = ready > 0 ? epoll_wait(gather->fd, events, 2, 0) : ready;
    if (count < 0)
        return errno;
    if (ret_by_timer != NULL)
        *ret_by_timer = count == 1 && events[0].data.fd == gather->timer;
    return ready == 0 ? ETIMEDOUT : 0;
}

bool pti_gather_has_news(const struct pti_gather *gather)
{
    struct epoll_event event;
    return gather->fd >= 0 && epoll_wait(gather->fd, &event, 1, 0) > 0;
}
