/* events.c -- sleeping and being woken: futex, eventfd, timerfd, inotify, epoll, poll; and the clock, which goes on when nobody
 * runs, and a little each time it is read.
 */
#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sim/kernel.h"
#include "sim/wraps.h"

#define NS_PER_S INT64_C(1000000000)
#define READING_NS 20000 /* a look at the clock: so that who polls for a while is soon done */

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

static int fail(int error)
{
    errno = error;
    return -1;
}

/* ---- the clock */

int64_t sim_clock(void) { return sim.now; }

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_now)
{
    (void)clock;
    sim.now += READING_NS;
    *ret_now = (struct timespec){sim.now / NS_PER_S, sim.now % NS_PER_S};
    return 0;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *ret_left)
{
    (void)ret_left;
    sim_enter_kernel("nanosleep");
    sim_sleep(SIM_BLOCK_SLEEP, sim.now + time->tv_sec * NS_PER_S + time->tv_nsec);
    return 0;
}

static int64_t deadline_of(const struct timespec *until)
{
    return until == NULL ? SIM_NEVER : until->tv_sec * NS_PER_S + until->tv_nsec;
}

/* ---- futex, membarrier */

static uint64_t sleeps; /* who slept first is woken first */

static int futex_wait(const struct timespec *until)
{
    sim_me->futex_since = ++sleeps;
    if (!sim_sleep(SIM_BLOCK_FUTEX, deadline_of(until)))
        return fail(ETIMEDOUT);
    return 0;
}

static bool sleeps_on(const struct sim_proc *proc, const volatile uint32_t *word)
{
    if (proc->state != SIM_BLOCKED || proc->block != SIM_BLOCK_FUTEX)
        return false;
    for (unsigned i = 0; i < proc->futex_count; i++)
        if (proc->futex[i] == word)
            return true;
    return false;
}

static int futex_wake(const volatile uint32_t *word, int count)
{
    int woken = 0;

    while (woken < count) {
        struct sim_proc *first = NULL;
        for (unsigned i = 0; i < SIM_PROCS; i++)
            if (sleeps_on(&sim_procs[i], word) && (first == NULL || sim_procs[i].futex_since < first->futex_since))
                first = &sim_procs[i];
        if (first == NULL)
            break;
        first->state = SIM_RUNNABLE;
        sim_trace_note("    wakes %u", first->number);
        woken++;
    }
    return woken;
}

struct waitv {
    uint64_t val, uaddr;
    uint32_t flags, reserved;
};

static long futex_wait_any(const struct waitv *waiters, unsigned count, const struct timespec *until)
{
    if (count > sizeof sim_me->futex / sizeof sim_me->futex[0])
        return fail(ENOSYS);
    for (unsigned i = 0; i < count; i++) {
        sim_me->futex[i] = (const volatile uint32_t *)(uintptr_t)waiters[i].uaddr;
        if (*sim_me->futex[i] != (uint32_t)waiters[i].val)
            return fail(EAGAIN);
    }
    sim_me->futex_count = count;
    return futex_wait(until);
}

static long membarrier(int command)
{
    if (command != MEMBARRIER_CMD_GLOBAL_EXPEDITED && command != MEMBARRIER_CMD_PRIVATE_EXPEDITED)
        return 0;
    for (unsigned i = 0; i < SIM_PROCS; i++)
        sim_flush(&sim_procs[i]);
    return 0;
}

long __wrap_syscall(long number, ...)
{
    va_list arguments;
    long a, b, c, d;

    va_start(arguments, number);
    a = va_arg(arguments, long);
    b = va_arg(arguments, long);
    c = va_arg(arguments, long);
    d = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_membarrier) {
        sim_enter_kernel("membarrier");
        return membarrier((int)a);
    }
    if (number == SYS_futex_waitv) {
        sim_enter_kernel("futex_waitv");
        return futex_wait_any((const struct waitv *)(uintptr_t)a, (unsigned)b, (const struct timespec *)(uintptr_t)d);
    }
    if (number == SYS_futex && ((int)b & FUTEX_CMD_MASK) == FUTEX_WAKE) {
        sim_enter_kernel("futex wake");
        return futex_wake((const volatile uint32_t *)(uintptr_t)a, (int)c);
    }
    if (number == SYS_futex) {
        sim_enter_kernel("futex wait");
        if (*(const volatile uint32_t *)(uintptr_t)a != (uint32_t)c)
            return fail(EAGAIN);
        sim_me->futex[0] = (const volatile uint32_t *)(uintptr_t)a;
        sim_me->futex_count = 1;
        return futex_wait((const struct timespec *)(uintptr_t)d);
    }
    return fail(ENOSYS);
}

/* ---- readable or not */

bool sim_file_ready(const struct sim_file *file)
{
    switch (file->kind) {
    case SIM_FILE_EVENT:
        return file->count > 0;
    case SIM_FILE_TIMER:
        return file->when <= sim.now;
    case SIM_FILE_INOTIFY:
        return file->queued > 0;
    case SIM_FILE_EPOLL:
        for (unsigned i = 0; i < file->member_count; i++)
            if ((file->members[i].events & EPOLLIN) != 0 && sim_file_ready(file->members[i].file))
                return true;
        return false;
    default:
        return false;
    }
}

static int count_ready(struct sim_proc *proc, struct pollfd *fds, unsigned count)
{
    int ready = 0;

    for (unsigned i = 0; i < count; i++) {
        const struct sim_file *file = fds[i].fd < 0 ? NULL : proc->files[fds[i].fd];
        fds[i].revents = file != NULL && sim_file_ready(file) ? POLLIN : 0;
        ready += fds[i].revents != 0;
    }
    return ready;
}

bool sim_poll_ready(struct sim_proc *proc) { return count_ready(proc, proc->poll, proc->poll_count) > 0; }

void sim_kick(void)
{
    for (unsigned i = 0; i < SIM_PROCS; i++) {
        struct sim_proc *proc = &sim_procs[i];
        if (proc->state == SIM_BLOCKED && proc->block == SIM_BLOCK_POLL && sim_poll_ready(proc))
            proc->state = SIM_RUNNABLE;
    }
}

static int poll_until(struct pollfd *fds, unsigned count, int64_t deadline)
{
    int ready;

    while ((ready = count_ready(sim_me, fds, count)) == 0 && deadline > sim.now) {
        sim_me->poll = fds;
        sim_me->poll_count = count;
        if (!sim_sleep(SIM_BLOCK_POLL, deadline))
            break;
    }
    return ready;
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    sim_enter_kernel("poll");
    return poll_until(fds, (unsigned)count, timeout_ms < 0 ? SIM_NEVER : sim.now + timeout_ms * INT64_C(1000000));
}

int __wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    (void)mask;
    sim_enter_kernel("ppoll");
    return poll_until(fds, (unsigned)count, timeout == NULL ? SIM_NEVER : sim.now + deadline_of(timeout));
}

/* ---- epoll */

int __wrap_epoll_create1(int flags)
{
    int fd;

    (void)flags;
    return sim_file_new(SIM_FILE_EPOLL, &fd) != NULL ? fd : -1;
}

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    struct sim_file *set = sim_file_of(epoll), *file = sim_file_of(fd);
    unsigned i = 0;

    sim_enter_kernel("epoll_ctl");
    if (set == NULL || file == NULL)
        return -1;
    while (i < set->member_count && set->members[i].file != file)
        i++;
    if (operation == EPOLL_CTL_DEL) {
        if (i == set->member_count)
            return fail(ENOENT);
        set->members[i] = set->members[--set->member_count];
        return 0;
    }
    if (i == sizeof set->members / sizeof set->members[0])
        return fail(ENOSPC);
    if (i == set->member_count)
        set->member_count++;
    set->members[i].file = file;
    set->members[i].fd = fd;
    set->members[i].events = event->events;
    set->members[i].data = event->data.u64;
    sim_kick();
    return 0;
}

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int room, int timeout_ms)
{
    struct pollfd own = {.fd = epoll, .events = POLLIN};
    struct sim_file *set;
    int count = 0;

    sim_enter_kernel("epoll_wait");
    if (poll_until(&own, 1, timeout_ms < 0 ? SIM_NEVER : sim.now + timeout_ms * INT64_C(1000000)) == 0)
        return 0;
    set = sim_file_of(epoll);
    for (unsigned i = 0; i < set->member_count && count < room; i++)
        if (sim_file_ready(set->members[i].file))
            events[count++] = (struct epoll_event){.events = EPOLLIN, .data.u64 = set->members[i].data};
    return count;
}

void sim_events_forget(struct sim_file *file)
{
    for (unsigned i = 0; i < SIM_FILES; i++) {
        struct sim_file *set = &sim_files[i];
        if (set->kind != SIM_FILE_EPOLL)
            continue;
        for (unsigned j = 0; j < set->member_count;)
            if (set->members[j].file == file)
                set->members[j] = set->members[--set->member_count];
            else
                j++;
    }
}

/* ---- eventfd, timerfd */

int __wrap_eventfd(unsigned count, int flags)
{
    int fd;
    struct sim_file *file = sim_file_new(SIM_FILE_EVENT, &fd);

    (void)flags;
    if (file == NULL)
        return -1;
    file->count = count;
    return fd;
}

int __wrap_timerfd_create(int clock, int flags)
{
    int fd;

    (void)clock, (void)flags;
    return sim_file_new(SIM_FILE_TIMER, &fd) != NULL ? fd : -1;
}

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *setting, struct itimerspec *ret_old)
{
    struct sim_file *file = sim_file_of(fd);

    (void)flags, (void)ret_old;
    sim_enter_kernel("timerfd_settime");
    if (file == NULL)
        return -1;
    file->when = setting->it_value.tv_sec == 0 && setting->it_value.tv_nsec == 0 ? SIM_NEVER : deadline_of(&setting->it_value);
    sim_kick();
    return 0;
}

/* Of those that somebody sleeps on: others would only make the clock run. */
int64_t sim_next_timer(void)
{
    int64_t next = SIM_NEVER;

    for (unsigned i = 0; i < SIM_FILES; i++) {
        const struct sim_file *file = &sim_files[i];
        if (file->kind == SIM_FILE_TIMER && file->when > sim.now && file->when < next && file->owner->state == SIM_BLOCKED &&
            file->owner->block == SIM_BLOCK_POLL)
            next = file->when;
    }
    return next;
}

/* ---- inotify */

int __wrap_inotify_init1(int flags)
{
    int fd;

    (void)flags;
    return sim_file_new(SIM_FILE_INOTIFY, &fd) != NULL ? fd : -1;
}

int __wrap_inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    struct sim_file *file = sim_file_of(fd);
    struct sim_node *node;
    int free_at = -1;

    sim_enter_kernel("inotify_add_watch");
    node = sim_node_of_path(path);
    if (file == NULL || node == NULL)
        return fail(ENOENT);
    for (int i = SIM_WATCHES - 1; i >= 0; i--) {
        if (file->watches[i].node == node) {
            file->watches[i].mask |= mask & IN_ALL_EVENTS;
            return file->watches[i].wd;
        }
        if (file->watches[i].node == NULL)
            free_at = i;
    }
    if (free_at < 0)
        return fail(ENOSPC);
    file->watches[free_at].node = node;
    file->watches[free_at].mask = mask & IN_ALL_EVENTS;
    return file->watches[free_at].wd = ++file->last_wd;
}

static void enqueue(struct sim_file *file, int wd, uint32_t mask)
{
    if (file->queued > 0 && file->queue[file->queued - 1].wd == wd && file->queue[file->queued - 1].mask == mask)
        return; /* the same again */
    if (file->queued == SIM_QUEUED) {
        file->queue[SIM_QUEUED - 1].wd = -1;
        file->queue[SIM_QUEUED - 1].mask = IN_Q_OVERFLOW;
        return;
    }
    file->queue[file->queued].wd = wd;
    file->queue[file->queued++].mask = mask;
}

int __wrap_inotify_rm_watch(int fd, int wd)
{
    struct sim_file *file = sim_file_of(fd);

    sim_enter_kernel("inotify_rm_watch");
    for (unsigned i = 0; file != NULL && i < SIM_WATCHES; i++)
        if (file->watches[i].node != NULL && file->watches[i].wd == wd) {
            file->watches[i].node = NULL;
            enqueue(file, wd, IN_IGNORED);
            return 0;
        }
    return fail(EINVAL);
}

void sim_notify(struct sim_node *node, uint32_t mask)
{
    for (unsigned i = 0; i < SIM_FILES; i++) {
        struct sim_file *file = &sim_files[i];
        if (file->kind != SIM_FILE_INOTIFY)
            continue;
        for (unsigned j = 0; j < SIM_WATCHES; j++)
            if (file->watches[j].node == node && (file->watches[j].mask & mask) != 0)
                enqueue(file, file->watches[j].wd, mask);
    }
    sim_kick();
}

/* ---- read, write */

static ssize_t read_events(struct sim_file *file, char *data, size_t size)
{
    size_t used = 0;

    if (file->queued == 0)
        return fail(EAGAIN);
    for (unsigned i = 0; i < file->queued && used + sizeof(struct inotify_event) <= size; i++) {
        struct inotify_event event = {.wd = file->queue[i].wd, .mask = file->queue[i].mask};
        memcpy(data + used, &event, sizeof event);
        used += sizeof event;
    }
    file->queued = 0;
    return (ssize_t)used;
}

ssize_t __wrap_read(int fd, void *data, size_t size)
{
    struct sim_file *file;

    sim_enter_kernel("read");
    file = sim_file_of(fd);
    if (file == NULL)
        return -1;
    if (file->kind == SIM_FILE_INOTIFY)
        return read_events(file, data, size);
    if (file->kind != SIM_FILE_EVENT || file->count == 0)
        return fail(EAGAIN);
    memcpy(data, &file->count, sizeof file->count);
    file->count = 0;
    return sizeof file->count;
}

ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    struct sim_file *file;

    sim_enter_kernel("write");
    file = sim_file_of(fd);
    if (file == NULL || file->kind != SIM_FILE_EVENT)
        return fail(EBADF);
    file->count += *(const uint64_t *)data;
    sim_kick();
    return (ssize_t)size;
}
