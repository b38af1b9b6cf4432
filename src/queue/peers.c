/* peers.c -- the peers of a bus: those it was told of, or those that the bridge of this host has published in it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/resolve.h"

#define PEERS_FILE "~peers"
#define PEERS_MOST (1u << 20) /* bytes of it that are read */

static char *read_published(ptq_bus *bus)
{
    int fd = openat(bus->dirfd, PEERS_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char *text = fd >= 0 ? calloc(1, PEERS_MOST + 1) : NULL;
    size_t size = 0;
    ssize_t part = 1;

    while (text != NULL && part > 0 && size < PEERS_MOST) {
        part = read(fd, text + size, PEERS_MOST - size);
        size += part > 0 ? (size_t)part : 0;
    }
    if (fd >= 0)
        close(fd);
    return text;
}

/* Lines "peer <node> <url> ..."; what does not read so is passed over. */
static size_t count_published(const char *text, struct pti_peer *peers, size_t room)
{
    size_t count = 0;

    for (const char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
        struct pti_peer peer = {0};
        line += *line == '\n';
        if (sscanf(line, "peer %63s %255s", peer.node, peer.url) != 2 || !pti_name_is_valid(peer.node))
            continue;
        if (count < room)
            peers[count] = peer;
        count++;
    }
    return count;
}

static enum ptq_err published_peers(ptq_bus *bus, struct pti_peer **ret_peers, size_t *ret_count)
{
    char *text = read_published(bus);
    size_t count = text != NULL && strncmp(text, "ptq-peers 1\n", 12) == 0 ? count_published(text, NULL, 0) : 0;
    struct pti_peer *peers = calloc(count + 1, sizeof *peers);

    if (peers == NULL) {
        free(text);
        return PTQ_ENOMEM;
    }
    if (count > 0)
        count_published(text, peers, count);
    free(text);
    *ret_peers = peers;
    *ret_count = count;
    return PTQ_OK;
}

enum ptq_err pti_resolve_peers(ptq_bus *bus, struct pti_peer **ret_peers, size_t *ret_count)
{
    if (bus->peer_count == 0)
        return published_peers(bus, ret_peers, ret_count);
    struct pti_peer *peers = calloc(bus->peer_count, sizeof *peers);
    if (peers == NULL)
        return PTQ_ENOMEM;
    memcpy(peers, bus->peers, bus->peer_count * sizeof *peers);
    *ret_peers = peers;
    *ret_count = bus->peer_count;
    return PTQ_OK;
}
