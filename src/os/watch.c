/* watch.c -- being woken by the kernel through a descriptor: file events, pokes and timers.
 *
 *     the process                          a waiter
 *     inotify instance ------------------> epoll <--- eventfd   pokes, and events that were passed on
 *         |                                  ^  `---- timerfd   the earliest of its times
 *         `-- table: wd -> interests         |
 *                                            `------- whoever sleeps
 *
 * Every waiter's epoll holds the one inotify instance: an event wakes all of them, and the first to come reads it and
 * passes it on.  Laws:
 *
 * 1. Reading and passing on are one step under the lock: who holds the lock finds no event that is neither in the kernel
 *    nor in the eventfd of each waiter that it concerns.
 * 2. A drain first passes on what the kernel has, then empties its own eventfd; its caller looks at the world after that.  So
 *    what it took away had happened before the look, and what happens later makes the waiter readable again.
 * 3. Poke takes no lock: it is one write.
 *
 * The lock is that of base/fork.h: no fork while the table changes.  In a child all descriptors are closed by fork.h's
 * list, and the generation tells the dead waiters from its own.
 */
#include "os/watch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/time.h"

#define BUCKETS 256
#define BLIND_PERIOD_NS (250 * PTI_NS_PER_MS)

/* One file in which one waiter is interested. */
struct interest {
    int wd;
    uint32_t mask;
    struct pti_waiter *waiter;
    struct interest *next_in_bucket;
    struct interest *next_of_waiter;
};

struct pti_waiter {
    uint32_t generation; /* of the process that made it */
    int epoll_fd, event_fd, timer_fd;
    bool is_subscribed; /* its epoll holds the inotify instance */
    bool is_blind;      /* no instance or no watch was left */
    int64_t user_when;  /* what pti_waiter_timer asked for */
    int64_t blind_when; /* the next look of a blind one */
    int64_t closed_at;  /* when it was last told of a close, and ... */
    int64_t echo_when;  /* ... when it looks once more */
    int64_t armed_when; /* what timer_fd is set to: the earliest */
    struct interest *interests;
    struct pti_waiter *next, *previous; /* all of this process */
};

/* What the process has, under the lock. */
static struct {
    uint32_t generation;
    int inotify_fd; /* valid if subscribers > 0 */
    unsigned subscribers;
    struct pti_waiter *waiters;
    struct interest *buckets[BUCKETS];
} process;

static const int64_t echo_ns[] = {PTI_NS_PER_MS, 10 * PTI_NS_PER_MS, 100 * PTI_NS_PER_MS, 1000 * PTI_NS_PER_MS};

/* ---- the lock ---- */

/* No thread is cancelled in here; and what a parent left in the table is forgotten. */
static int enter(void)
{
    int cancel_state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pti_fork_block();
    if (process.generation != pti_fork_generation()) {
        memset(&process, 0, sizeof process);
        process.generation = pti_fork_generation();
    }
    return cancel_state;
}

static void leave(int cancel_state)
{
    pti_fork_allow();
    pthread_setcancelstate(cancel_state, NULL);
}

static bool is_ours(const struct pti_waiter *waiter)
{
    return waiter->generation == pti_fork_generation();
}

/* ---- descriptors ---- */

static int list_descriptor(int fd)
{
    int error = fd < 0 ? errno : pti_fork_close_fd_add(fd);

    if (error != 0 && fd >= 0)
        close(fd);
    return error;
}

static int add_to_epoll(const struct pti_waiter *waiter, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};

    return epoll_ctl(waiter->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

/* Reads the counter of an eventfd away.  True if it was not zero. */
static bool empty_counter(int fd)
{
    uint64_t count;

    return read(fd, &count, sizeof count) == (ssize_t)sizeof count;
}

static void raise_counter(int fd)
{
    uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof one);

    (void)written; /* it is full: then it is readable */
}

/* ---- times ---- */

static int64_t earliest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Setting a timerfd also makes it unreadable until the new time. */
static void arm_timer(struct pti_waiter *waiter)
{
    int64_t when = earliest(waiter->user_when, earliest(waiter->blind_when, waiter->echo_when));
    struct itimerspec setting = {0};

    if (when == waiter->armed_when)
        return;
    waiter->armed_when = when;
    if (when != PTI_DEADLINE_NEVER) {
        int64_t positive = when > 0 ? when : 1; /* zero would disarm it */
        setting.it_value = (struct timespec){positive / PTI_NS_PER_S, positive % PTI_NS_PER_S};
    }
    timerfd_settime(waiter->timer_fd, TFD_TIMER_ABSTIME, &setting, NULL);
}

/* The first echo after `now` of a close that was told at closed_at. */
static int64_t next_echo(const struct pti_waiter *waiter, int64_t now)
{
    for (size_t i = 0; i < sizeof echo_ns / sizeof echo_ns[0]; i++) {
        if (waiter->closed_at + echo_ns[i] > now)
            return waiter->closed_at + echo_ns[i];
    }
    return PTI_DEADLINE_NEVER;
}

/* Takes away the times that have come.  True if there were any. */
static bool take_due_times(struct pti_waiter *waiter)
{
    if (waiter->armed_when == PTI_DEADLINE_NEVER)
        return false;
    int64_t now = pti_now_ns();
    if (waiter->armed_when > now)
        return false;
    if (waiter->user_when <= now)
        waiter->user_when = PTI_DEADLINE_NEVER;
    if (waiter->blind_when <= now)
        waiter->blind_when = now + BLIND_PERIOD_NS;
    if (waiter->echo_when <= now)
        waiter->echo_when = next_echo(waiter, now);
    arm_timer(waiter);
    return true;
}

/* ---- the table ---- */

static struct interest **find_bucket(int wd)
{
    return &process.buckets[(unsigned)wd % BUCKETS];
}

static struct interest *find_interest(const struct pti_waiter *waiter, int wd)
{
    struct interest *interest = *find_bucket(wd);

    while (interest != NULL && (interest->wd != wd || interest->waiter != waiter))
        interest = interest->next_in_bucket;
    return interest;
}

static bool is_watched(int wd)
{
    const struct interest *interest = *find_bucket(wd);

    while (interest != NULL && interest->wd != wd)
        interest = interest->next_in_bucket;
    return interest != NULL;
}

static void insert_interest(struct interest *interest)
{
    struct interest **bucket = find_bucket(interest->wd);

    interest->next_in_bucket = *bucket;
    *bucket = interest;
    interest->next_of_waiter = interest->waiter->interests;
    interest->waiter->interests = interest;
}

/* From its bucket only. */
static void unlink_interest(const struct interest *interest)
{
    struct interest **link = find_bucket(interest->wd);

    while (*link != NULL && *link != interest)
        link = &(*link)->next_in_bucket;
    if (*link != NULL)
        *link = interest->next_in_bucket;
}

static void remove_interests(struct pti_waiter *waiter)
{
    while (waiter->interests != NULL) {
        struct interest *interest = waiter->interests;
        waiter->interests = interest->next_of_waiter;
        if (is_ours(waiter)) {
            unlink_interest(interest);
            if (!is_watched(interest->wd))
                inotify_rm_watch(process.inotify_fd, interest->wd); /* fails if the file is gone: as well */
        }
        free(interest);
    }
}

/* ---- events ---- */

static uint32_t to_mask(int events)
{
    return ((events & PTI_WATCH_MODIFY) != 0 ? IN_MODIFY : 0u) |
           ((events & PTI_WATCH_CLOSE_WRITE) != 0 ? IN_CLOSE_WRITE : 0u) |
           ((events & PTI_WATCH_UNLINK) != 0 ? IN_ATTRIB : 0u);
}

static void tell_waiter(struct pti_waiter *waiter, bool was_closed)
{
    raise_counter(waiter->event_fd);
    if (!was_closed)
        return;
    waiter->closed_at = pti_now_ns();
    waiter->echo_when = next_echo(waiter, waiter->closed_at);
    arm_timer(waiter);
}

/* IN_IGNORED: the file is gone.  Its number is not given again, so its interests may stay until their waiters go; the waiters
 * are told, for they will hear nothing more. */
static void pass_on(const struct inotify_event *event)
{
    if ((event->mask & IN_Q_OVERFLOW) != 0) {
        for (struct pti_waiter *waiter = process.waiters; waiter != NULL; waiter = waiter->next)
            tell_waiter(waiter, waiter->interests != NULL);
        return;
    }
    for (struct interest *interest = *find_bucket(event->wd); interest != NULL; interest = interest->next_in_bucket) {
        if (interest->wd == event->wd && (event->mask & (interest->mask | IN_IGNORED)) != 0)
            tell_waiter(interest->waiter, (event->mask & interest->mask & IN_CLOSE_WRITE) != 0);
    }
}

static void pass_on_all(void)
{
    _Alignas(struct inotify_event) char buffer[4096];
    ssize_t length;

    if (process.subscribers == 0)
        return;
    while ((length = read(process.inotify_fd, buffer, sizeof buffer)) > 0) {
        const struct inotify_event *event;
        for (const char *at = buffer; at < buffer + length; at += sizeof *event + event->len) {
            event = (const struct inotify_event *)(const void *)at;
            pass_on(event);
        }
    }
}

/* ---- the instance ---- */

static int subscribe(struct pti_waiter *waiter)
{
    int error = 0;

    if (waiter->is_subscribed)
        return 0;
    if (process.subscribers == 0) {
        int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        error = list_descriptor(fd);
        if (error != 0)
            return error;
        process.inotify_fd = fd;
    }
    error = add_to_epoll(waiter, process.inotify_fd);
    if (error == 0) {
        waiter->is_subscribed = true;
        process.subscribers++;
    } else if (process.subscribers == 0) {
        pti_fork_close(process.inotify_fd);
    }
    return error;
}

static void unsubscribe(struct pti_waiter *waiter)
{
    if (!waiter->is_subscribed)
        return;
    waiter->is_subscribed = false;
    if (--process.subscribers == 0)
        pti_fork_close(process.inotify_fd);
}

static int watch_file(struct pti_waiter *waiter, const char *path, uint32_t mask)
{
    int error = subscribe(waiter);

    if (error != 0)
        return error;
    int wd = inotify_add_watch(process.inotify_fd, path, mask | IN_MASK_ADD);
    if (wd < 0)
        return errno;
    struct interest *interest = find_interest(waiter, wd);
    if (interest != NULL) {
        interest->mask |= mask;
        return 0;
    }
    interest = calloc(1, sizeof *interest);
    if (interest == NULL) {
        if (!is_watched(wd))
            inotify_rm_watch(process.inotify_fd, wd);
        return ENOMEM;
    }
    *interest = (struct interest){.wd = wd, .mask = mask, .waiter = waiter};
    insert_interest(interest);
    return 0;
}

/* EMFILE: the user's instances are spent; ENOSPC: the watches are. */
static bool is_spent(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOSPC || error == ENOSYS;
}

int pti_waiter_watch(struct pti_waiter *waiter, const char *path, int events)
{
    if (!is_ours(waiter))
        return 0;
    int cancel_state = enter();
    int error = watch_file(waiter, path, to_mask(events));
    if (is_spent(error)) {
        error = access(path, F_OK) == 0 ? 0 : errno;
        if (error == 0 && !waiter->is_blind) {
            waiter->is_blind = true;
            waiter->blind_when = pti_now_ns() + BLIND_PERIOD_NS;
            arm_timer(waiter);
        }
    }
    leave(cancel_state);
    return error;
}

bool pti_waiter_has_events(const struct pti_waiter *waiter)
{
    return !waiter->is_blind;
}

/* ---- life ---- */

static void close_descriptors(const struct pti_waiter *waiter)
{
    pti_fork_close(waiter->epoll_fd);
    pti_fork_close(waiter->event_fd);
    pti_fork_close(waiter->timer_fd);
}

/* Each is listed as soon as it is made; what fails stays -1. */
static int open_descriptors(struct pti_waiter *waiter)
{
    const int made[] = {epoll_create1(EPOLL_CLOEXEC), eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
                        timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)};
    int *const places[] = {&waiter->epoll_fd, &waiter->event_fd, &waiter->timer_fd};
    int error = 0;

    for (int i = 0; i < 3; i++) {
        int failed = made[i] < 0 ? EMFILE : list_descriptor(made[i]);
        *places[i] = failed == 0 ? made[i] : -1;
        error = failed != 0 ? failed : error;
    }
    if (error == 0)
        error = add_to_epoll(waiter, waiter->event_fd);
    if (error == 0)
        error = add_to_epoll(waiter, waiter->timer_fd);
    return error;
}

int pti_waiter_new(struct pti_waiter **ret_waiter)
{
    struct pti_waiter *waiter = calloc(1, sizeof *waiter);

    if (waiter == NULL)
        return ENOMEM;
    *waiter = (struct pti_waiter){.user_when = PTI_DEADLINE_NEVER,
                                  .blind_when = PTI_DEADLINE_NEVER,
                                  .echo_when = PTI_DEADLINE_NEVER,
                                  .armed_when = PTI_DEADLINE_NEVER};
    int cancel_state = enter();
    int error = open_descriptors(waiter);
    if (error == 0) {
        waiter->generation = process.generation;
        waiter->next = process.waiters;
        if (process.waiters != NULL)
            process.waiters->previous = waiter;
        process.waiters = waiter;
        *ret_waiter = waiter;
    } else {
        close_descriptors(waiter);
        free(waiter);
    }
    leave(cancel_state);
    return error;
}

/* What the kernel holds is passed on first: this thread may have been the one that was woken for the others. */
static void remove_waiter(struct pti_waiter *waiter)
{
    pass_on_all();
    remove_interests(waiter);
    unsubscribe(waiter);
    if (waiter->previous != NULL)
        waiter->previous->next = waiter->next;
    else
        process.waiters = waiter->next;
    if (waiter->next != NULL)
        waiter->next->previous = waiter->previous;
    close_descriptors(waiter);
}

void pti_waiter_free(struct pti_waiter *waiter)
{
    if (waiter == NULL)
        return;
    int cancel_state = enter();
    if (is_ours(waiter))
        remove_waiter(waiter);
    else
        remove_interests(waiter);
    free(waiter);
    leave(cancel_state);
}

int pti_waiter_fd(const struct pti_waiter *waiter)
{
    return waiter->epoll_fd;
}

/* ---- waiting ---- */

void pti_waiter_poke(struct pti_waiter *waiter)
{
    int saved = errno;

    if (is_ours(waiter))
        raise_counter(waiter->event_fd);
    errno = saved;
}

bool pti_waiter_drain(struct pti_waiter *waiter)
{
    if (!is_ours(waiter))
        return false;
    int cancel_state = enter();
    pass_on_all();
    bool was_told = empty_counter(waiter->event_fd);
    bool was_due = take_due_times(waiter);
    leave(cancel_state);
    return was_told || was_due;
}

void pti_waiter_timer(struct pti_waiter *waiter, int64_t when_ns)
{
    if (!is_ours(waiter))
        return;
    int cancel_state = enter();
    waiter->user_when = when_ns;
    arm_timer(waiter);
    leave(cancel_state);
}

/* Is there something for this one, now that all events are passed on? */
static bool is_told(const struct pti_waiter *waiter)
{
    struct pollfd own[] = {{.fd = waiter->event_fd, .events = POLLIN}, {.fd = waiter->timer_fd, .events = POLLIN}};

    int cancel_state = enter();
    pass_on_all();
    leave(cancel_state);
    return poll(own, 2, 0) > 0;
}

static int sleep_once(const struct pti_waiter *waiter, int64_t deadline_ns)
{
    struct pollfd readable = {.fd = waiter->epoll_fd, .events = POLLIN};
    struct timespec left = {0};

    if (deadline_ns == PTI_DEADLINE_NEVER)
        return ppoll(&readable, 1, NULL, NULL) < 0 ? errno : 0;
    int64_t now = deadline_ns == PTI_DEADLINE_NOW ? 0 : pti_now_ns();
    if (deadline_ns > now)
        left = (struct timespec){(deadline_ns - now) / PTI_NS_PER_S, (deadline_ns - now) % PTI_NS_PER_S};
    int count = ppoll(&readable, 1, &left, NULL);
    if (count < 0)
        return errno;
    return count == 0 ? ETIMEDOUT : 0;
}

/* Events of others wake it too: it passes them on and sleeps again. */
int pti_waiter_sleep(struct pti_waiter *waiter, int64_t deadline_ns)
{
    if (!is_ours(waiter))
        return EINTR;
    for (;;) {
        int error = sleep_once(waiter, deadline_ns);
        if (error != 0)
            return error;
        if (is_told(waiter))
            return 0;
        if (deadline_ns != PTI_DEADLINE_NEVER && deadline_ns <= pti_now_ns())
            return ETIMEDOUT;
    }
}
