/* listing.c -- DIRECTORY at the home: which queues are there? */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/node.h"
#include "remote/server.h"

/* DIRECTORY is asked on a channel number, so that the answer finds its way, but needs no channel. */
static bool is_served(struct pti_guest *guest, const char *run, const char *name)
{
    ptq_bus *bus = pti_server_bus(guest->server, run, false);
    char file[PTI_FILE_NAME_MAX];

    if (bus == NULL)
        return false;
    pti_segment_file(name, file, sizeof file);
    return faccessat(bus->dirfd, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

struct listing {
    const char *after;
    struct pti_directory directory;
    char names[PTI_WIRE_NAMES][PTQ_NAME_MAX + 1];
};

static bool list_one(const char *name, void *context)
{
    struct listing *listing = context;

    if (strcmp(name, listing->after) <= 0)
        return true;
    listing->directory.more = listing->directory.count == PTI_WIRE_NAMES;
    if (!listing->directory.more)
        snprintf(listing->names[listing->directory.count++], PTQ_NAME_MAX + 1, "%s", name);
    return !listing->directory.more;
}

static void fill_directory(struct pti_guest *guest, const struct pti_directory_ask *ask, struct listing *listing)
{
    ptq_bus *bus = pti_server_bus(guest->server, ask->run, false);

    listing->after = ask->after;
    listing->directory.names = listing->names;
    listing->directory.served = bus != NULL;
    snprintf(listing->directory.node, sizeof listing->directory.node, "%s", guest->server->bus->node);
    if (guest->outbox.version >= 2) {
        memcpy(listing->directory.node_id, pti_node_own_id(guest->server->node), sizeof listing->directory.node_id);
        listing->directory.incarnation = guest->server->incarnation;
        listing->directory.ttl_ms = PTI_NAMES_MS;
    }
    snprintf(listing->directory.run, sizeof listing->directory.run, "%s", bus != NULL ? bus->run : "");
    if (ask->name[0] == '\0') {
        if (bus != NULL)
            (void)!ptq_bus_list(bus, list_one, listing);
    } else if (is_served(guest, ask->run, ask->name)) {
        list_one(ask->name, listing);
    }
}

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
        guest->dirty = true;
    }
    free(listing);
    free(bytes);
}
