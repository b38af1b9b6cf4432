/* resolve.h -- from a name to its home: this host, or another.
 *
 *      tasks                       here, if it is here; else the one peer that has it; else (where it may be made) here,
 *                                  once every peer has said that it has none
 *      tasks@node                  there, and nowhere else; tasks@self is here
 *      ptq://host:port/run/tasks   there, by address; ptq+ipc:///path/run/tasks and ptq+ws://... likewise
 */
#ifndef PTQ_QUEUE_RESOLVE_H
#define PTQ_QUEUE_RESOLVE_H

#include "bus/bus.h"
#include "queue/port.h"

/* Finds the home of `name` and opens it there. */
enum ptq_err pti_resolve_open(ptq_bus *bus, const char *name, const struct pti_open *open, struct ptq_error *error,
                              struct pti_port **ret_port);

/* The bare name inside a full one. */
void pti_resolve_bare(const char *name, char *buffer, size_t size);

/* The peers of a bus: those it was told of, else those that the bridge of this host has published in it.  free(). */
enum ptq_err pti_resolve_peers(ptq_bus *bus, struct pti_peer **ret_peers, size_t *ret_count);

#endif
