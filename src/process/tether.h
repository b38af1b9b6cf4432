/* tether.h -- the child's side of child.h: leaves when it is asked, and ends when its parent is gone. */
#ifndef PTQ_PROCESS_TETHER_H
#define PTQ_PROCESS_TETHER_H

/* Starts the one thread of a supervised child, which is also the watchdog (watchdog.h).  It calls `leave` once when the parent asks, and ends the process with
 * status 1 when the parent is gone, whatever the process is doing.  `fd` is the inherited descriptor: it becomes
 * close-on-exec and stays open.  0 or an errno. */
int pti_tether_hold(int fd, void (*leave)(void *context), void *context);

#endif
