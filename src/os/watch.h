/* watch.h -- being woken by the kernel through a descriptor: file events, pokes and timers.
 *
 * A waiter is one sleeper, or one ptq_queue_fd.  All waiters of a process share one inotify instance (the kernel allows
 * 128 a user).  Whoever drains it passes each event on to every waiter that watches that file, through that waiter's
 * own eventfd, so that no thread eats another's wake-up.  Where no instance is left, a waiter that watches files is
 * readable every 250 ms instead (a timerfd): correct, but it costs.
 *
 * The kernel tells of a close a moment BEFORE it lets go the locks of what was closed.  So a waiter that was told of one
 * becomes readable again 1, 10, 100 and 1000 ms later, for who then looks whether a lock is free.
 *
 * In a forked child every waiter of the parent is dead: calls on it do nothing.
 */
#ifndef PTQ_OS_WATCH_H
#define PTQ_OS_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct pti_waiter; /* opaque */

enum pti_watch_event {
    PTI_WATCH_MODIFY = 1,     /* somebody wrote to the file */
    PTI_WATCH_CLOSE_WRITE = 2, /* somebody who could write closed it: also by dying */
    PTI_WATCH_UNLINK = 4 /* its last name was taken away, or its mode or times changed */
};

/* 0 or an errno (EMFILE, ENFILE, ENOMEM).  A new waiter is not readable. */
int pti_waiter_new(struct pti_waiter **ret_waiter);
void pti_waiter_free(struct pti_waiter *waiter); /* NULL is fine */

/* Watches a file (an absolute path; "/proc/self/fd/<n>" is exact) for `events` (a mask).  0 or an errno (ENOENT, ...). */
int pti_waiter_watch(struct pti_waiter *waiter, const char *path, int events);

/* The epoll descriptor: readable when something happened, until pti_waiter_drain. */
int pti_waiter_fd(const struct pti_waiter *waiter);

/* Makes it readable.  Async-signal-safe, from any thread of this process. */
void pti_waiter_poke(struct pti_waiter *waiter);

/* Reads the process's events, passes them on to the other waiters, and makes this one unreadable.  True if anything
 * had happened for this waiter.  Events that come later make it readable again. */
bool pti_waiter_drain(struct pti_waiter *waiter);

/* Readable at `when_ns` (monotonic), once; PTI_DEADLINE_NEVER takes the timer away. */
void pti_waiter_timer(struct pti_waiter *waiter, int64_t when_ns);

/* Sleeps until it is readable or the deadline.  0, ETIMEDOUT, EINTR. */
int pti_waiter_sleep(struct pti_waiter *waiter, int64_t deadline_ns);

/* True where file events work; false where the 250 ms timer stands in. */
bool pti_waiter_has_events(const struct pti_waiter *waiter);

#endif
