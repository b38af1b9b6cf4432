/* resolve.h -- from a name to the carrier that reaches it. */
#ifndef PTQ_QUEUE_RESOLVE_H
#define PTQ_QUEUE_RESOLVE_H

#include "bus/bus.h"
#include "queue/port.h"

/* Finds the home of `name` ("tasks", "tasks@node", "ptq://host:port/run/tasks") and opens it there. */
enum ptq_err pti_resolve_open(ptq_bus *bus, const char *name, const struct pti_open *open, struct ptq_error *error,
                              struct pti_port **ret_port);

/* The bare name inside a full one. */
void pti_resolve_bare(const char *name, char *buffer, size_t size);

#endif
