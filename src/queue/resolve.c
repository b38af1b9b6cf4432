/* resolve.c -- from a name to its home: this host, or another; a bare name is in bare.c. */
#include "queue/resolve.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "queue/address.h"
#include "queue/null.h"

#define LOOK_FOR_PEERS_MS 250 /* so often who waits for a queue of this host looks whether a ptqbridge knows others by now */

/* How the name led there, before what the carrier found out. */
void pti_resolve_tell_way(struct pti_port *port, const char *format, ...)
{
    char way[sizeof port->why], told[sizeof port->why];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(way, sizeof way, format, arguments);
    va_end(arguments);
    snprintf(told, sizeof told, "%s", port->why);
    snprintf(port->why, sizeof port->why, "%.*s%s%.*s", (int)sizeof port->why / 2, way, told[0] != '\0' ? "; " : "",
             (int)sizeof port->why / 2 - 4, told);
}

const char *pti_resolve_source(const ptq_bus *bus)
{
    return bus->peer_count > 0 ? "PTQ_PEERS" : "the ptqbridge of this host";
}

enum ptq_err pti_resolve_there(ptq_bus *bus, const char *url, const char *run, const char *name,
                               const struct pti_open *open, struct ptq_error *error, struct pti_port **ret_port)
{
    if (pti_carriers.open_remote == NULL)
        return pti_error(error, PTQ_EINVAL,
                         "queue '%s' is at '%s', but this ptq was built without links to other hosts", name, url);
    return pti_carriers.open_remote(bus, url, run, name, open, error, ret_port);
}

static enum ptq_err open_at_node(ptq_bus *bus, const struct pti_address *address, const struct pti_open *open,
                                 struct ptq_error *error, struct pti_port **ret_port)
{
    struct pti_peer *peers;
    size_t count, i = 0;

    if (strcmp(address->node, "self") == 0)
        return pti_carriers.open_local(bus, address->name, open, error, ret_port);
    enum ptq_err answer = pti_resolve_peers(bus, &peers, &count);
    if (answer != PTQ_OK)
        return pti_error(error, answer, "queue '%s': out of memory", address->name);
    while (i < count && strcmp(peers[i].node, address->node) != 0)
        i++;
    if (i < count) {
        answer = pti_resolve_there(bus, peers[i].url, bus->run, address->name, open, error, ret_port);
        if (answer == PTQ_OK)
            pti_resolve_tell_way(*ret_port, "it was asked for at node '%s', known from %s", address->node, pti_resolve_source(bus));
    } else if (strcmp(address->node, bus->node) == 0) { /* a peer may bear our name: two buses of one host */
        answer = pti_carriers.open_local(bus, address->name, open, error, ret_port);
    } else {
        answer = pti_error(
            error, PTQ_ENOENT,
            "queue '%s@%s': no peer is called '%s'; name it in PTQ_PEERS (name=url) or start ptqbridge with --peer",
            address->name, address->node, address->node);
    }
    free(peers);
    return answer;
}

/* What is left until then; at most `most`, where that is not 0. */
static int left_ms(int64_t until, int most)
{
    int64_t left = (until - pti_now_ns() + PTI_NS_PER_MS - 1) / PTI_NS_PER_MS;

    if (until == PTI_DEADLINE_NEVER)
        return most != 0 ? most : PTQ_FOREVER;
    return left <= 0 ? 0 : most != 0 && left > most ? most : (int)left;
}

/* By the peers that are known now.  Where there are none, waits for a queue of this host, but no longer than slice_ms (0: than `until`). */
static enum ptq_err open_bare_once(ptq_bus *bus, const char *name, const struct pti_open *open, int64_t until, int slice_ms,
                                   struct ptq_error *error, struct pti_port **ret_port)
{
    struct pti_bare bare = {.bus = bus, .name = name};
    struct pti_open patient = *open;
    bool imported = false;
    enum ptq_err answer = PTQ_OK;

    if (pti_carriers.ask_remote != NULL)
        answer = pti_resolve_peers(bus, &bare.peers, &bare.count);
    if (answer == PTQ_OK && bare.count > 0)
        answer = pti_resolve_seek(bus, name, bare.there, &imported);
    if (answer != PTQ_OK)
        answer = pti_error(error, answer, "queue '%s': out of memory", name);
    else if (open->options.wait_ms != 0)
        patient.options.wait_ms = left_ms(until, imported ? 0 : slice_ms);
    if (answer == PTQ_OK && imported)
        answer = pti_resolve_open_bare(&bare, &patient, error, ret_port);
    else if (answer == PTQ_OK)
        answer = pti_carriers.open_local(bus, name, &patient, error, ret_port);
    free(bare.peers);
    return answer;
}

/* Who waits hears of peers that become known meanwhile: a program may begin before the ptqbridge of its host. */
static enum ptq_err open_bare(ptq_bus *bus, const char *name, const struct pti_open *open, struct ptq_error *error,
                              struct pti_port **ret_port)
{
    int64_t until = open->options.wait_ms != 0 ? pti_deadline(open->options.wait_ms) : PTI_DEADLINE_NOW;
    int slice_ms = LOOK_FOR_PEERS_MS;

    for (;;) {
        enum ptq_err answer = open_bare_once(bus, name, open, until, slice_ms, error, ret_port);
        bool waits = open->options.wait_ms != 0 && pti_now_ns() < until;

        if (answer == PTQ_EBUSY && waits && slice_ms != 0)
            slice_ms = 0; /* it is here, and gc or a remover has it in hand: no peer matters */
        else if (answer != PTQ_ENOENT || open->options.mode != PTQ_ATTACH || !waits)
            return answer;
    }
}

enum ptq_err pti_resolve_open(ptq_bus *bus, const char *name, const struct pti_open *open, struct ptq_error *error,
                              struct pti_port **ret_port)
{
    struct pti_address address;
    struct pti_open view;
    if (strcmp(name, PTI_NULL_NAME) == 0)
        return pti_null_open(ret_port) == PTQ_OK ? PTQ_OK : pti_error(error, PTQ_ENOMEM, "queue '%s': out of memory", name);
    enum ptq_err answer = pti_address_read(name, error, &address);

    if (answer != PTQ_OK)
        return answer;
    if (address.letters) {
        if (open->options.mode == PTQ_CREATE)
            return pti_error(error, PTQ_EINVAL, "'%.300s' is a view, which is not created: create queue '%s'", name, address.name);
        if (open->options.flags & PTQ_PRODUCER)
            return pti_error(error, PTQ_EINVAL, "'%.300s' is a view: there are no producers of it", name);
        view = *open;
        view.letters = true;
        view.options.mode = PTQ_ATTACH;
        open = &view;
        name = address.name;
    }
    if (address.url[0] != '\0')
        answer = pti_resolve_there(bus, address.url, address.run, address.name, open, error, ret_port);
    if (address.url[0] != '\0' && answer == PTQ_OK)
        pti_resolve_tell_way(*ret_port, "it was asked for by its address");
    if (address.url[0] != '\0')
        return answer;
    if (address.node[0] != '\0')
        return open_at_node(bus, &address, open, error, ret_port);
    return open_bare(bus, name, open, error, ret_port);
}
