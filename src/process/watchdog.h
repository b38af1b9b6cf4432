/* watchdog.h -- time limits in a supervised child: a flag, then a signal, then the end.
 *
 *     begin ---- limit ---- flag ---- grace ---- signals ---- grace ---- last word, SIGKILL of itself
 *
 * The one thread that a supervised child has anyway (tether.h) looks at the clock.  One section at a time in a process.
 * A section that ends is left alone: after `end` neither flag nor signal nor death can hit what comes next.
 *
 * begin and end are a few stores each and make no system call, but for the begin that finds the watchdog asleep until
 * later than its deadline: that one wakes it.  Limits of the same length cost one wake a limit, however many sections
 * there are.
 *
 * The signal is PTI_WATCHDOG_SIGNAL, to the thread that began, with a handler that does nothing, without SA_RESTART: a
 * system call that sleeps answers EINTR.  It comes up to four times, for one that comes just before the call does
 * nothing.  A program that has its own handler for it, or blocks it, goes without that step.
 *
 * A child that is stopped cannot end itself.  Its deadline stands in its status (kill_at_ns), and the supervisor, woken
 * by `alarm`, kills it: supervisor.h.
 */
#ifndef PTQ_PROCESS_WATCHDOG_H
#define PTQ_PROCESS_WATCHDOG_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "process/status.h"

#define PTI_WATCHDOG_SIGNAL SIGURG /* whose default action is none: a stray one hurts nobody */
#define PTI_WATCHDOG_GRACE_NS (INT64_C(100) * 1000 * 1000)

struct pti_watchdog_options {
    int64_t grace_ns;                 /* 0: PTI_WATCHDOG_GRACE_NS */
    void (*last_word)(void *context); /* on the watchdog's thread, when nothing has helped; it has one grace, then the process ends, also if
                                       * this never returns.  The section cannot end meanwhile.  NULL: nothing is said */
    void *context;
    struct pti_status *status;        /* NULL: nobody looks */
    int alarm;                        /* the timer that the supervisor gave; -1: none */
};

/* Before pti_tether_hold, once: 0 or an errno.  Without it begin and end do nothing. */
int pti_watchdog_start(const struct pti_watchdog_options *options);

/* A section begins, of the calling thread; `deadline_ns`: monotonic, of base/time.h; PTI_DEADLINE_NEVER: it has no
 * limit. */
void pti_watchdog_begin(int64_t deadline_ns);

/* It has ended: true in time, false after its deadline (the flag was set).  A begin must stand before. */
bool pti_watchdog_end(void);

/* Is the running section over its deadline?  Any thread; async-signal-safe. */
bool pti_watchdog_is_cancelled(void);

/* For the thread: does what is due, and tells when to call again; readable when to call before that; -1: not started. */
int64_t pti_watchdog_look(void);
int pti_watchdog_fd(void);

#endif
