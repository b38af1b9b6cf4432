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
static void list_bus(struct pti_server *server, ptq_bus *bus, struct names *names)
{
    struct pti_listed *listed = &server->listed;

    if (bus != server->bus) {
        (void)!ptq_bus_list(bus, note_name, names);
        return;
    }
    if (!pti_directory_is_same(bus->dirfd, SETTLED_MS, &listed->seen) || !listed->is_good) {
        listed->count = 0;
        listed->is_good = true;
        if (ptq_bus_list(bus, keep_name, listed) != PTQ_OK)
            listed->is_good = false;
    }
    for (size_t i = 0; i < listed->count && note_name(listed->names[i], names); i++)
        ;
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
static void list_all(const struct pti_session *session, ptq_bus *bus, const char *after, struct listing *listing)
{
    struct names names = {.session = session, .routes = &session->server->routes};

    list_bus(session->server, bus, &names);
    if (names.unsorted)
        qsort(names.items, names.count, sizeof *names.items, compare_names);
    for (size_t i = 0; i < names.count && !listing->directory.more; i++) {
        if (strcmp(names.items[i], after) > 0)
            list_name(listing, names.items[i]);
    }
    free(names.items);
}

static void fill_directory(struct pti_guest *guest, const struct pti_directory_ask *ask, struct listing *listing)
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
        list_all(guest->session, bus, ask->after, listing);
    else if (bus != NULL && pti_routes_serve(&server->routes, ask->name, here) &&
             pti_session_rights(guest->session, here) != 0 && is_there(bus, here))
        list_name(listing, ask->name);
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
        fill_directory(guest, &ask, listing);
        size_t size = pti_directory_pack(&listing->directory, bytes, PTI_WIRE_FRAME_BYTES);
        if (!pti_outbox_push_answer(&guest->outbox, frame->channel, PTI_FRAME_DIRECTORY, frame->number, bytes, size))
            pti_guest_doom(guest, "no memory for a directory");
        pti_guest_touch(guest);
    }
    free(listing);
    free(bytes);
}
