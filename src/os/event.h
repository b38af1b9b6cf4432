/* event.h -- descriptors that a process makes: an event that is set or not, a set of descriptors to wait on. */
#ifndef PTQ_OS_EVENT_H
#define PTQ_OS_EVENT_H

#include <stdbool.h>
#include <stdint.h>

/* An event is readable while it is set.  0 or an errno. */
int pti_event_new(bool set, int *ret_fd);
void pti_event_set(int fd); /* async-signal-safe */
void pti_event_clear(int fd);
bool pti_event_is_set(int fd);

/* A set of descriptors, each with a tag of the caller's.  All but wait answer 0 or an errno.
 * wait: the tags of those that are readable, at most `room`, how many; 0: none within timeout_ms (-1: for ever); below
 * 0: -errno. */
int pti_poll_new(int *ret_poll);
int pti_poll_add(int poll, int fd, uint64_t tag, bool watch);
int pti_poll_watch(int poll, int fd, uint64_t tag, bool watch);
void pti_poll_remove(int poll, int fd);
int pti_poll_wait(int poll, uint64_t *tags, int room, int timeout_ms);

#endif
