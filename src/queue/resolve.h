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

/* That queue was seen at exactly one peer that the bridge of this host has listened to lately: a hint, and no more. */
bool pti_resolve_hint(ptq_bus *bus, const char *name, struct pti_peer *ret_peer);

/* What the queue `name` is called at the peers; not imported: it is nobody's but ours, by that name. */
enum ptq_err pti_resolve_seek(ptq_bus *bus, const char *name, char ret_there[PTQ_NAME_MAX + 1], bool *ret_imported);

/* ---- between resolve.c and bare.c */

/* A bare name, what it is called at the peers, and these: at least one. */
struct pti_bare {
    ptq_bus *bus;
    const char *name;
    char there[PTQ_NAME_MAX + 1];
    struct pti_peer *peers;
    size_t count;
};

enum ptq_err pti_resolve_open_bare(const struct pti_bare *bare, const struct pti_open *open, struct ptq_error *error,
                                   struct pti_port **ret_port);
enum ptq_err pti_resolve_there(ptq_bus *bus, const char *url, const char *run, const char *name,
                               const struct pti_open *open, struct ptq_error *error, struct pti_port **ret_port);
/* How the name led there, before what the carrier found out; where peers are known from. */
void pti_resolve_tell_way(struct pti_port *port, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *pti_resolve_source(const ptq_bus *bus);

#endif
