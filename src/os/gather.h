/* gather.h -- one descriptor over several, and a timer: readable when one of them is, or when it is time. */
#ifndef PTQ_OS_GATHER_H
#define PTQ_OS_GATHER_H

#include <stdbool.h>
#include <stdint.h>

struct pti_gather {
    int fd;    /* epoll; -1: not yet made */
    int timer;
};
#define PTI_GATHER_NONE ((struct pti_gather){-1, -1})

/* 0 or an errno. */
int pti_gather_init(struct pti_gather *gather);
void pti_gather_fini(struct pti_gather *gather); /* also of PTI_GATHER_NONE */

/* Adds a descriptor, until it is closed.  -1 is fine: nothing is added.  0 or an errno. */
int pti_gather_add(const struct pti_gather *gather, int fd);

/* Readable at `when_ns` (monotonic), until set again; PTI_DEADLINE_NEVER takes the timer away. */
void pti_gather_timer(const struct pti_gather *gather, int64_t when_ns);

/* A timer alone, which may also be inherited: readable from `when_ns` on until it is read or set again.  0 or an errno; close-on-exec. */
int pti_timer_new(int *ret_fd);
void pti_timer_set(int fd, int64_t when_ns);
void pti_timer_read(int fd); /* quiet, if it was readable; a time to come stays set */

/* Sleeps until it is readable or the deadline: 0, ETIMEDOUT, EINTR.  *ret_by_timer (may be NULL): nothing but the timer. */
int pti_gather_sleep(const struct pti_gather *gather, int64_t deadline_ns, bool *ret_by_timer);

/* Is it readable?  One system call. */
bool pti_gather_has_news(const struct pti_gather *gather);

#endif
