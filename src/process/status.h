/* status.h -- what a supervised child shows of itself without being asked: a few lines of memory each, shared with its parent.
 *
 * The page is an unnamed file that the parent makes and its children inherit.  A slot is its living child's to write, but for `deaths`; what a
 * dead one left there its parent puts right.  What a child writes decides how long is waited for it, when it is killed and what ends with it,
 * and, where its exit status is not to be had, whether it has left: never what becomes of anybody else.
 */
#ifndef PTQ_PROCESS_STATUS_H
#define PTQ_PROCESS_STATUS_H

#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"

struct pti_status {
    _Atomic uint64_t progress; /* pieces of work finished, over all lives of this slot */
    _Atomic uint64_t busy_with; /* the piece in hand + 1; 0: none */
    _Atomic int64_t since_ns;  /* since when, monotonic */
    _Atomic uint64_t left;     /* 1: it goes of its own will; 2: and wants a successor at once; told where its exit status is not to be had */
    _Atomic int64_t kill_at_ns; /* by the host's clock (os/clock.h): from then on its parent kills it; 0: it has no limit now (watchdog.h) */
    _Atomic uint64_t deaths;   /* in this slot, so far; written by the parent */
    _Atomic uint64_t group;    /* a process group that is to end with the child; 0: none */
    char last_words[200];      /* why it could not go on, a sentence; read after its death */
};
_Static_assert(sizeof(struct pti_status) == 256, "whole lines, so that children do not disturb each other");

/* Makes a page of `count` slots: 0 or an errno; *ret_fd is close-on-exec. */
int pti_status_new(unsigned count, int *ret_fd, struct pti_status **ret_slots);
void pti_status_free(int fd, struct pti_status *slots, unsigned count);

/* The child's side: maps the inherited page and makes `fd` close-on-exec.  0 or an errno (EINVAL: too small for slot). */
int pti_status_join(int fd, unsigned slot, struct pti_status **ret_slot);

#endif
