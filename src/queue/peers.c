/* peers.c -- the peers of a bus: those it was told of, or those that the bridge of this host has published in it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "bus/routes.h"
#include "os/clock.h"
#include "queue/resolve.h"

#define PEERS_MOST (8u << 20) /* bytes of it that are read */
#define HEAD "ptq-peers 2\n"

/* What was published, and until when by the host's clock it holds.  A bridge that was killed leaves it behind: first
 * nobody believes any more which queues its peers had, and much later not even who they were. */
struct published {
    char *text; /* the lines; NULL: none.  free() */
    bool names_hold;
};

/* O_NONBLOCK: a FIFO put in its place must not hold us up. */
static char *read_published(ptq_bus *bus)
{
    int fd = openat(bus->dirfd, PTI_PEERS_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
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

static struct published read_lines(ptq_bus *bus)
{
    struct published published = {.text = read_published(bus)};
    long long names, peers, now = pti_host_ns() / PTI_NS_PER_MS;
    const char *text = published.text;

    if (text == NULL || strncmp(text, HEAD, strlen(HEAD)) != 0 ||
        sscanf(text + strlen(HEAD), "until %lld %lld", &names, &peers) != 2 || now > peers) {
        free(published.text);
        published.text = NULL;
        return published;
    }
    published.names_hold = now <= names;
    return published;
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
    char *text = read_lines(bus).text;
    size_t count = count_published(text, NULL, 0);
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

enum ptq_err ptq_bus_list_peers(ptq_bus *bus, bool (*each)(const char *node, const char *url, void *context), void *context)
{
    struct pti_peer *peers;
    size_t count;

    if (bus == NULL || each == NULL)
        return PTQ_EINVAL;
    enum ptq_err answer = pti_resolve_peers(bus, &peers, &count);
    if (answer != PTQ_OK)
        return answer;
    for (size_t i = 0; i < count && each(peers[i].node, peers[i].url, context); i++)
        ;
    free(peers);
    return PTQ_OK;
}

/* ---- how they are ---- */

/* What the bridge of this host says of a peer: lines "peer <node> <url> up|down" and "since <node> <unix ms>". */
static void read_watched(const char *text, struct ptq_peer *peer)
{
    char node[64], url[256], state[8];
    long long since;

    for (const char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (sscanf(line, "peer %63s %255s %7s", node, url, state) == 3 && strcmp(node, peer->node) == 0 && strcmp(url, peer->url) == 0) {
            peer->watched = true;
            peer->watched_up = strcmp(state, "up") == 0;
        } else if (sscanf(line, "since %63s %lld", node, &since) == 2 && strcmp(node, peer->node) == 0) {
            peer->watched_since_ms = since;
        }
    }
}

static bool tell_looked(const struct pti_peer *known, const struct pti_looked *looked, const struct published *published,
                        bool (*each)(const struct ptq_peer *peer, void *context), void *context)
{
    const char **queues = calloc(looked->count + 1, sizeof *queues);
    struct ptq_peer peer = {.node = known->node,
                            .url = known->url,
                            .answer = queues != NULL ? looked->answer : PTQ_ENOMEM,
                            .why = looked->answer != PTQ_OK ? looked->error.text : "",
                            .rtt_ns = looked->rtt_ns,
                            .queues = queues,
                            .queue_count = queues != NULL ? looked->count : 0};

    for (size_t i = 0; i < peer.queue_count; i++)
        queues[i] = looked->names[i];
    if (published->names_hold) /* else it says what was long ago */
        read_watched(published->text, &peer);
    if (!peer.watched)
        peer.watched_since_ms = 0;
    bool more = each(&peer, context);
    free(queues);
    return more;
}

enum ptq_err ptq_bus_look_at_peers(ptq_bus *bus, bool (*each)(const struct ptq_peer *peer, void *context), void *context)
{
    struct pti_peer *peers;
    size_t count;

    if (bus == NULL || each == NULL || pti_carriers.look_remote == NULL)
        return PTQ_EINVAL;
    enum ptq_err answer = pti_resolve_peers(bus, &peers, &count);
    if (answer != PTQ_OK)
        return answer;
    struct pti_looked *looked = calloc(count + 1, sizeof *looked);
    for (size_t i = 0; i < count && looked != NULL; i++)
        looked[i].url = peers[i].url;
    if (looked != NULL && count > 0)
        pti_carriers.look_remote(bus, looked, count);
    struct published published = read_lines(bus);
    for (size_t i = 0; i < count && looked != NULL && tell_looked(&peers[i], &looked[i], &published, each, context); i++)
        ;
    for (size_t i = 0; i < count && looked != NULL; i++)
        free(looked[i].names);
    free(published.text);
    free(peers);
    answer = looked != NULL ? PTQ_OK : PTQ_ENOMEM;
    free(looked);
    return answer;
}

/* Lines "queue <name> <node>". */
static size_t count_queues(const char *text, const char *node)
{
    char name[PTQ_NAME_MAX + 1], there[64];
    size_t count = 0;

    for (const char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
        line += *line == '\n';
        count += sscanf(line, "queue %128s %63s", name, there) == 2 && strcmp(there, node) == 0;
    }
    return count;
}

enum ptq_err ptq_bus_watched_peers(ptq_bus *bus, bool (*each)(const struct ptq_peer *peer, void *context), void *context)
{
    struct pti_peer *peers;
    size_t count;
    bool more = true;

    if (bus == NULL || each == NULL)
        return PTQ_EINVAL;
    enum ptq_err answer = pti_resolve_peers(bus, &peers, &count);
    if (answer != PTQ_OK)
        return answer;
    struct published published = read_lines(bus);
    for (size_t i = 0; i < count && more; i++) {
        struct ptq_peer peer = {.node = peers[i].node, .url = peers[i].url, .answer = PTQ_EAGAIN, .why = ""};
        if (published.names_hold) {
            read_watched(published.text, &peer);
            peer.queue_count = count_queues(published.text, peer.node);
        }
        if (!peer.watched)
            peer.watched_since_ms = 0;
        more = each(&peer, context);
    }
    free(published.text);
    free(peers);
    return PTQ_OK;
}

/* ---- names ---- */

enum ptq_err pti_resolve_seek(ptq_bus *bus, const char *name, char ret_there[PTQ_NAME_MAX + 1], bool *ret_imported)
{
    struct pti_routes routes = {0};

    snprintf(ret_there, PTQ_NAME_MAX + 1, "%s", name);
    *ret_imported = true;
    if (bus->peer_count > 0)
        return PTQ_OK;
    char *text = read_lines(bus).text;
    enum ptq_err answer = pti_routes_read(&routes, text);
    if (answer == PTQ_OK)
        *ret_imported = pti_routes_seek(&routes, name, ret_there);
    pti_routes_free(&routes);
    free(text);
    return answer;
}

/* ---- hints ---- */

/* The one node with a line "queue <name> <node>"; false: none, or several. */
static bool find_node(const char *text, const char *name, char node[64])
{
    char line_start[PTQ_NAME_MAX + 16];
    size_t length = (size_t)snprintf(line_start, sizeof line_start, "\nqueue %s ", name);
    unsigned found = 0;

    for (const char *at = strstr(text, line_start); at != NULL; at = strstr(at + length, line_start))
        found += sscanf(at + length, "%63s", node) == 1;
    return found == 1;
}

bool pti_resolve_hint(ptq_bus *bus, const char *name, struct pti_peer *ret_peer)
{
    struct published published = read_lines(bus);
    char node[64];
    bool found = false;

    if (published.text != NULL && published.names_hold && find_node(published.text, name, node)) {
        size_t count = count_published(published.text, NULL, 0);
        struct pti_peer *peers = calloc(count + 1, sizeof *peers);
        if (peers != NULL)
            count_published(published.text, peers, count);
        for (size_t i = 0; peers != NULL && i < count && !found; i++) {
            found = strcmp(peers[i].node, node) == 0;
            if (found)
                *ret_peer = peers[i];
        }
        free(peers);
    }
    free(published.text);
    return found;
}
