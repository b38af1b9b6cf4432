/* listing.c -- DIRECTORY at the home: which queues are there? */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/directory.h"
#include "bus/node.h"
#include "remote/server.h"

/* The names of a bus as others call them, in order. */
struct names {
    const struct pti_session *session; /* who asks: what he may nothing with he does not see */
    const struct pti_routes *routes;
    char (*items)[PTQ_NAME_MAX + 1];
    size_t count, room;
    bool failed;
    bool unsorted;
};

static bool note_name(const char *here, void *context)
{
    struct names *names = context;
    char there[PTQ_NAME_MAX + 1];

    if (!pti_routes_export(names->routes, here, there) || pti_session_rights(names->session, here) == 0)
        return true;
    names->failed = !pti_make_room((void **)&names->items, &names->room, names->count + 1, sizeof *names->items);
    if (names->failed)
        return false;
    names->unsorted |= names->count > 0 && strcmp(names->items[names->count - 1], there) > 0;
    memcpy(names->items[names->count++], there, sizeof there);
    return true;
}

/* ---- the directory, read when it has changed ---- */

#define SETTLED_MS 100

void pti_listed_forget(struct pti_listed *listed)
{
    free(listed->names);
    *listed = (struct pti_listed){0};
}

static bool keep_name(const char *name, void *context)
{
    struct pti_listed *listed = context;

    listed->is_good = pti_make_room((void **)&listed->names, &listed->room, listed->count + 1, sizeof *listed->names);
    if (listed->is_good)
        memcpy(listed->names[listed->count++], name, strlen(name) + 1);
    return listed->is_good;
}

/* Law: what is kept is what a look now would find. */
static enum ptq_err list_own(struct pti_server *server, struct names *names)
{
    struct pti_listed *listed = &server->listed;
    enum ptq_err err = PTQ_OK;

    if (!pti_directory_is_same(server->bus->dirfd, SETTLED_MS, &listed->seen) || !listed->is_good) {
        listed->count = 0;
        listed->is_good = true;
        err = ptq_bus_list(server->bus, keep_name, listed);
        if (err == PTQ_OK && !listed->is_good)
            err = PTQ_ENOMEM;
        listed->is_good = err == PTQ_OK;
    }
    for (size_t i = 0; err == PTQ_OK && i < listed->count && note_name(listed->names[i], names); i++)
        ;
    return err;
}

/* All of them or none: who misses one may take it for one that is not there, and make another. */
static enum ptq_err list_bus(struct pti_server *server, ptq_bus *bus, struct names *names)
{
    enum ptq_err err = bus == server->bus ? list_own(server, names) : ptq_bus_list(bus, note_name, names);

    return err == PTQ_OK && names->failed ? PTQ_ENOMEM : err;
}

static int compare_names(const void *one, const void *other)
{
    return strcmp(one, other);
}

static bool is_there(ptq_bus *bus, const char *here)
{
    char file[PTI_FILE_NAME_MAX];

    pti_segment_file(here, file, sizeof file);
    return faccessat(bus->dirfd, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

struct listing {
    struct pti_directory directory;
    char names[PTI_WIRE_NAMES][PTQ_NAME_MAX + 1];
};

static void list_name(struct listing *listing, const char *name)
{
    if (listing->directory.count == PTI_WIRE_NAMES)
        listing->directory.more = true;
    else
        memcpy(listing->names[listing->directory.count++], name, strlen(name) + 1);
}

/* Renamed, they stand in another order than in the bus. */
static enum ptq_err list_all(const struct pti_session *session, ptq_bus *bus, const char *after, struct listing *listing)
{
    struct names names = {.session = session, .routes = &session->server->routes};
    enum ptq_err err = list_bus(session->server, bus, &names);

    if (names.unsorted)
        qsort(names.items, names.count, sizeof *names.items, compare_names);
    for (size_t i = 0; err == PTQ_OK && i < names.count && !listing->directory.more; i++) {
        if (strcmp(names.items[i], after) > 0)
            list_name(listing, names.items[i]);
    }
    free(names.items);
    return err;
}

static enum ptq_err fill_directory(struct pti_guest *guest, const struct pti_directory_ask *ask, struct listing *listing)
{
    const struct pti_server *server = guest->server;
    struct pti_directory *directory = &listing->directory;
    ptq_bus *bus = pti_server_bus(guest->server, ask->run, false);
    char here[PTQ_NAME_MAX + 1];

    directory->names = listing->names;
    directory->served = bus != NULL;
    snprintf(directory->node, sizeof directory->node, "%s", server->bus->node);
    if (guest->outbox.version >= 2) {
        memcpy(directory->node_id, pti_node_own_id(server->node), sizeof directory->node_id);
        directory->incarnation = server->incarnation;
        directory->ttl_ms = PTI_NAMES_MS;
    }
    snprintf(directory->run, sizeof directory->run, "%s", bus != NULL ? bus->run : "");
    if (bus != NULL && ask->name[0] == '\0')
        return list_all(guest->session, bus, ask->after, listing);
    if (bus != NULL && pti_routes_serve(&server->routes, ask->name, here) &&
             pti_session_rights(guest->session, here) != 0 && is_there(bus, here))
        list_name(listing, ask->name);
    return PTQ_OK;
}

static void refuse_list(struct pti_guest *guest, const struct pti_frame *frame, enum ptq_err err)
{
    const struct pti_server *server = guest->server;
    char text[PTI_WIRE_TEXT_BYTES];

    snprintf(text, sizeof text, "'%s' cannot list its queues now: %s", server->bus->node, ptq_strerror(err));
    pti_server_log(guest->server, PTQ_BRIDGE_WARNING, "component=directory event=not_listed why=\"%s\"", text);
    pti_guest_answer_error(guest, frame->channel, frame->number, err, text);
}

/* DIRECTORY is asked on a channel number, so that the answer finds its way, but needs no channel. */
void pti_guest_list(struct pti_guest *guest, const struct pti_frame *frame)
{
    struct pti_directory_ask ask;

    if (pti_directory_ask_unpack(frame->payload, frame->length, &ask) != PTQ_OK) {
        pti_guest_refuse(guest, PTQ_EPROTO, "a DIRECTORY makes no sense");
        return;
    }
    struct listing *listing = calloc(1, sizeof *listing);
    uint8_t *bytes = malloc(PTI_WIRE_FRAME_BYTES);
    if (listing == NULL || bytes == NULL) {
        pti_guest_doom(guest, "no memory for a directory");
    } else {
        enum ptq_err err = fill_directory(guest, &ask, listing);
        size_t size = err == PTQ_OK ? pti_directory_pack(&listing->directory, bytes, PTI_WIRE_FRAME_BYTES) : 0;
        if (err != PTQ_OK)
            refuse_list(guest, frame, err);
        else if (!pti_outbox_push_answer(&guest->outbox, frame->channel, PTI_FRAME_DIRECTORY, frame->number, bytes, size))
            pti_guest_doom(guest, "no memory for a directory");
        pti_guest_touch(guest);
    }
    free(listing);
    free(bytes);
}
