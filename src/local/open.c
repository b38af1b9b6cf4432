/* open.c -- a queue of this host is opened: what is asked for becomes a geometry, the segment a port with the table that suits it. */
#include "local/port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/attach.h"
#include "local/verbs.h"
#include "os/life.h"
#include "queue/spec.h"
#include "ring/side.h"

/* By agreement: who opens without the flag is not kept out. */
static enum ptq_err claim_producer(struct pti_local *local, const char *name, struct ptq_error *error)
{
    int number = pti_life_lock_write(local->ring.segment.fd, PTI_LIFE_PRODUCER);

    if (number == 0)
        return PTQ_OK;
    if (number != EAGAIN)
        return pti_error(error, PTQ_ESYS, "queue '%s': cannot lock the byte of its exclusive producer: error %d", name, number);
    return pti_error(error, PTQ_EBUSY, "queue '%s' has an exclusive producer, which lives; wait until it is closed, or open it "
                     "without PTQ_EXCLUSIVE", name);
}

/* Packs do not go with everything a queue can be: docs/decisions/packs.md. */
static enum ptq_err check_packs(const struct pti_open *open, const struct pti_geometry *g, const char *name,
                                struct ptq_error *error)
{
    if (!(open->options.flags & PTQ_PIPELINE))
        return PTQ_OK;
    if (pti_packed_suits(g))
        return PTQ_OK;
    if (g->lease_ms != 0)
        return pti_error(error, PTQ_EINVAL, "queue '%s' limits leases (lease_ms %u), and a pack has one lease for many "
                         "messages; open it without PTQ_PIPELINE", name, g->lease_ms);
    if (g->flags & PTI_GEO_EXPIRED_DEAD)
        return pti_error(error, PTQ_EINVAL, "queue '%s' makes dead letters of what expires, and a pack expires as a whole; "
                         "open it without PTQ_PIPELINE", name);
    return pti_error(error, PTQ_EINVAL, "queue '%s' is a pool's, whose every piece has a position of its own; open it "
                     "without PTQ_PIPELINE", name);
}

static enum ptq_err ask_for(const struct pti_open *open, struct ptq_error *error, struct pti_attach *ask)
{
    const struct ptq_queue_options *o = &open->options;

    memset(ask, 0, sizeof *ask);
    ask->geometry.capacity = o->capacity;
    ask->geometry.window = open->window;
    ask->geometry.start_laps = open->start;
    ask->geometry.item_size = o->item_size;
    ask->geometry.max_deliveries = o->max_deliveries;
    ask->geometry.endpoints = o->max_endpoints;
    ask->geometry.flags = (open->placed ? PTI_GEO_PLACED : 0) | (o->ephemeral ? PTI_GEO_EPHEMERAL : 0);
    if (o->expired_to_dead)
        ask->geometry.flags |= PTI_GEO_EXPIRED_DEAD;
    if (o->last_producer_ends)
        ask->geometry.flags |= PTI_GEO_LAST_ENDS;
    ask->geometry.bytes = o->bytes;
    ask->geometry.header_size = o->header_size;
    ask->geometry.full = (uint32_t)o->full;
    ask->geometry.stamps = (uint32_t)o->stamps;
    ask->geometry.ttl_ms = o->ttl_ms;
    ask->geometry.lease_ms = o->lease_ms;
    ask->geometry.max_dead = o->max_dead;
    ask->geometry.pack_size = o->pack_size;
    ask->geometry.packs = o->flags & PTQ_PIPELINE;
    ask->mode = o->mode;
    ask->wait_ms = o->wait_ms;
    ask->file_mode = o->file_mode;
    ask->group = o->group;
    ask->maker = open->maker;
    ask->prefault = o->prefault;
    return o->spec ? pti_spec_read(o->spec, error, ask->spec, &ask->spec_size) : PTQ_OK;
}

/* The port as its handle sees it. */
static void describe(struct pti_local *local, ptq_bus *bus, const char *name, const struct pti_open *open)
{
    const struct pti_geometry *g = &local->ring.geometry;
    struct pti_port *port = &local->port;
    char file[PTI_FILE_NAME_MAX];

    pti_segment_file(name, file, sizeof file);
    snprintf(port->where, sizeof port->where, "%.200s/%.50s", bus->path, file);
    port->ops = local->ops = pti_local_ops_of(local, open);
    port->spec = local->ring.spec;
    memcpy(port->id, local->ring.id, sizeof port->id);
    memcpy(port->run, bus->run, sizeof port->run);
    memcpy(port->node, bus->node, sizeof port->node);
    port->capacity = g->capacity;
    port->window = g->window;
    port->item_size = g->item_size;
    port->header_size = g->header_size;
    port->max_deliveries = g->max_deliveries;
    port->full = (uint8_t)g->full;
    port->bytes = g->bytes;
    port->placed = g->flags & PTI_GEO_PLACED;
}

static enum ptq_err guard(struct pti_local *local, const char *name, struct ptq_error *error)
{
    if (pti_guard_new(local->ring.base, local->ring.segment.size, &local->closing, PTI_LOCAL_DAMAGED, &local->guard) != 0)
        return pti_error(error, PTQ_ENOMEM, "queue '%s': cannot guard its memory (PTQ_GUARD)", name);
    local->port.ops = pti_local_guarded();
    pti_sides_guard(&local->ring, &local->closing, PTI_LOCAL_DAMAGED);
    return PTQ_OK;
}

/* What this handle is for, as its opener has said. */
static void take_role(struct pti_local *local, const struct pti_open *open)
{
    unsigned flags = open->options.flags;

    local->letters = local->port.letters = open->letters;
    if (local->letters)
        local->port.ops = pti_local_letters(local->guard != NULL);
    local->watches = flags & PTQ_WATCH_PEERS;
    if (flags & (PTQ_PRODUCER | PTQ_CONSUMER))
        pti_local_declare(pti_load_relaxed(&local->places[0]),
                          (flags & PTQ_PRODUCER ? PTI_ROLE_PUT : 0) | (flags & PTQ_CONSUMER ? PTI_ROLE_GET : 0));
}

enum ptq_err pti_local_open(ptq_bus *bus, const char *name, const struct pti_open *open, struct ptq_error *error,
                            struct pti_port **ret_port)
{
    struct pti_local *local = calloc(1, sizeof *local);
    struct pti_attach ask;
    struct pti_lane lane;
    enum ptq_err err;

    if (!local)
        return pti_error(error, PTQ_ENOMEM, "queue '%s': out of memory", name);
    err = ask_for(open, error, &ask);
    if (err == PTQ_OK)
        err = pti_attach(bus, name, &ask, error, &local->ring, &lane);
    if (err != PTQ_OK) {
        free(local);
        return err;
    }
    lane.ring = &local->ring;
    err = pti_local_init(local, &lane);
    if (err != PTQ_OK) {
        pti_lane_unregister(&lane);
        pti_ring_fini(&local->ring);
        free(local);
        return pti_error(error, err, "queue '%s': out of memory", name);
    }
    describe(local, bus, name, open);
    if (bus->guard)
        err = guard(local, name, error);
    if (err == PTQ_OK)
        err = check_packs(open, &local->ring.geometry, name, error);
    if (err == PTQ_OK && open->options.flags & PTQ_EXCLUSIVE)
        err = claim_producer(local, name, error);
    if (err != PTQ_OK) {
        pti_local_fini(local);
        free(local);
        return err;
    }
    take_role(local, open);
    pti_ring_sweep_told(&local->ring, false); /* who opens looks for the dead */
    *ret_port = &local->port;
    return PTQ_OK;
}
