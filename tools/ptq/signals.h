/* signals.h -- SIGINT, SIGTERM and SIGHUP as a word to stop: what sleeps wakes, leases go back, then the signal has its way. */
#ifndef PTQ_SIGNALS_H
#define PTQ_SIGNALS_H

#include <stdbool.h>
#include <sys/types.h>

#include <ptq/queue.h>

/* From now on a signal interrupts calls on `queue`, reads and writes of output.h and input.h, and is passed on to the child. */
void catch_signals(ptq_queue *queue);

/* To be called before the queue is closed: signals have their way again. */
void release_signals(void);

/* Did one come? */
bool was_signalled(void);

/* The child that gets signals too, a second one as SIGKILL; 0: none. */
void share_signals(pid_t child);

/* Waits until `fd` can be read (or written).  false: a signal came first. */
bool wait_fd(int fd, bool writing);

/* Waits until one of two descriptors can be read; -1 is none.  false: a signal came first. */
bool wait_two(int fd, int other);

/* The same, at most so long; true also when nothing came.  -1: for ever. */
bool wait_two_for(int fd, int other, int timeout_ms);

/* Ends the process by the signal that came, as its parent expects; returns `code` if none did. */
int end_by_signal(int code);

#endif
