/* port.h -- a handle on a queue of another host, as open.c makes it. */
#ifndef PTQ_REMOTE_PORT_H
#define PTQ_REMOTE_PORT_H

#include "remote/call.h"

extern const struct pti_port_ops pti_remote_ops;

/* Interrupts callers and waits for them, tells the home up to `deadline`, lets go of the session, frees. */
void pti_remote_close(struct pti_remote *remote, int64_t deadline);

/* settle.c */
enum ptq_err pti_remote_ack(struct pti_port *port, struct ptq_msg *msg);
enum ptq_err pti_remote_nack(struct pti_port *port, struct ptq_msg *msg, int delay_ms);
enum ptq_err pti_remote_untake(struct pti_port *port, struct ptq_msg *msg);

/* watch.c; the last makes who polls look again */
enum ptq_err pti_remote_fd(struct pti_port *port, enum ptq_side side, int *ret_fd);
enum ptq_err pti_remote_watch_begin(struct pti_port *port, struct pti_watcher *watcher);
void pti_remote_watch_arm_word(struct pti_port *port, struct pti_watcher *watcher);
void pti_remote_watch_arm_fd(struct pti_port *port, struct pti_watcher *watcher);
enum ptq_err pti_remote_watch_look(struct pti_port *port, struct pti_watcher *watcher);
enum ptq_err pti_remote_watch_interrupted(struct pti_port *port, struct pti_watcher *watcher);
void pti_remote_watch_pass(struct pti_port *port, struct pti_watcher *watcher);
void pti_remote_watch_end(struct pti_port *port, struct pti_watcher *watcher);
void pti_remote_interrupt(struct pti_port *port);
void pti_remote_set_events(struct pti_remote *remote);

#endif
