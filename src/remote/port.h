/* port.h -- a handle on a queue of another host, as open.c makes it. */
#ifndef PTQ_REMOTE_PORT_H
#define PTQ_REMOTE_PORT_H

#include "remote/call.h"

extern const struct pti_port_ops pti_remote_ops;

/* Interrupts callers and waits for them, tells the home up to `deadline`, lets go of the session, frees. */
void pti_remote_close(struct pti_remote *remote, int64_t deadline);

#endif
