/* keeper.c -- learns which queues the peers have, and publishes them in the bus: "~peers", replaced as a whole.
 *
 *      ptq-peers 2
 *      until <ms> <ms>            by the host's clock: the queues hold; the peers hold
 *      import <glob>              and deny, rename <here>=<there>: bus/routes.h
 *      peer <node> <url> up|down
 *      since <node> <ms>          it has been so, Unix time
 *      queue <name> <node>        as it is called here
 *
 * Processes of this host that were told of no peers find them there (queue/peers.c).  One thread of its own, which may wait for an
 * answer: the server's may not.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "bus/node.h"
#include "os/clock.h"
#include "os/event.h"
#include "remote/access.h"
#include "remote/conn.h"
#include "remote/remote.h"
#include "remote/server.h"

#define LOOK_MS 2000
#define FAREWELL_MS 500
#define NAMES_MOST 100000 /* of one peer */
#define PAGES_MOST_MS 10000 /* so long a list is turned over: a home that does not come to its end is not followed */

struct pti_directory_keeper {
    struct pti_server *server;
    ptq_bus *bus;
    const struct pti_node *node;
    const struct pti_routes *routes;
    struct pti_peer_name {
        char node[64], url[256];
        struct pti_conn *conn; /* held, so that a look needs no new link */
        bool up, looked;
        char why[200]; /* it is not */
        int64_t heard;
        int64_t since_ms; /* it has been as it is, by the clock of the world */
        char *queues; /* its lines, as they were heard; NULL: none */
        struct {
            bool up;
            char why[200];
            uint64_t rtt_ns, queues;
        } shown; /* under the mutex */
    } *peers;
    size_t count;
    char *published; /* what the file says now, without its head */
    int64_t published_at;
    pthread_mutex_t mutex; /* of what is shown, held for a copy */
    _Atomic int64_t looking_since; /* 0: it is not */
    pthread_t thread;
    bool running;
    int stop_fd;
};

/* ---- one look ---- */

/* One page of names under way. */
struct page {
    struct pti_asking *asking;
    struct pti_directory directory;
};

static void begin_page(struct pti_directory_keeper *keeper, struct pti_peer_name *peer, const char *after, struct page *page)
{
    struct pti_directory_ask ask = {0};
    struct ptq_error error = {0};

    *page = (struct page){0};
    snprintf(ask.run, sizeof ask.run, "%s", keeper->bus->run);
    snprintf(ask.after, sizeof ask.after, "%s", after);
    if (pti_remote_ask_begin(keeper->bus, peer->url, &ask, &error, &page->directory, &page->asking) != PTQ_OK) {
        page->asking = NULL;
        snprintf(peer->why, sizeof peer->why, "%s", error.text);
    }
}

/* The last name of it goes to `after`. */
static bool end_page(const struct pti_directory_keeper *keeper, struct pti_peer_name *peer, struct page *page, FILE *file, char after[PTQ_NAME_MAX + 1],
                     size_t *names)
{
    char here[PTQ_NAME_MAX + 1];
    struct ptq_error error = {0};

    if (page->asking == NULL)
        return false;
    if (pti_remote_ask_end(page->asking, &error) != PTQ_OK) {
        snprintf(peer->why, sizeof peer->why, "%s", error.text);
        return false;
    }
    for (size_t i = 0; i < page->directory.count; i++) {
        if (pti_routes_import(keeper->routes, page->directory.names[i], here))
            fprintf(file, "queue %s %s\n", here, peer->node);
    }
    if (page->directory.count > 0)
        snprintf(after, PTQ_NAME_MAX + 1, "%s", page->directory.names[page->directory.count - 1]);
    *names += page->directory.count;
    free(page->directory.names);
    return true;
}

/* When it is another than before. */
static void tell_state(struct pti_directory_keeper *keeper, struct pti_peer_name *peer, bool was_up)
{
    struct timespec now;

    if (peer->looked && peer->up == was_up)
        return;
    peer->looked = true;
    clock_gettime(CLOCK_REALTIME, &now);
    peer->since_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / PTI_NS_PER_MS;
    if (peer->up)
        pti_server_log(keeper->server, PTQ_BRIDGE_INFO, "component=peer event=up peer=%s url=%s", peer->node, peer->url);
    else
        pti_server_log(keeper->server, PTQ_BRIDGE_WARNING, "component=peer event=down peer=%s url=%s why=\"%s\"", peer->node, peer->url,
                       peer->why);
}

/* For those who ask from other threads. */
static void show(struct pti_directory_keeper *keeper, struct pti_peer_name *peer, size_t queues)
{
    uint64_t rtt_ns = peer->up && peer->conn != NULL ? pti_conn_rtt(peer->conn) : 0;

    pthread_mutex_lock(&keeper->mutex);
    peer->shown.up = peer->up;
    snprintf(peer->shown.why, sizeof peer->shown.why, "%s", peer->up ? "" : peer->why);
    peer->shown.rtt_ns = rtt_ns;
    peer->shown.queues = peer->up ? queues : 0;
    pthread_mutex_unlock(&keeper->mutex);
}

/* Is there another page to ask for?  Law: whoever stops the keeper does not wait for a home that has always one more. */
static bool goes_on(const struct pti_directory_keeper *keeper, const struct page *page, const char *before, const char *after, int64_t began,
                    size_t names)
{
    struct pollfd stop = {.fd = keeper->stop_fd, .events = POLLIN};

    return page->directory.more && names < NAMES_MOST && strcmp(after, before) > 0 &&
           pti_now_ns() - began < PAGES_MOST_MS * PTI_NS_PER_MS && poll(&stop, 1, 0) == 0;
}

/* The first page was begun.  What a peer had stays believed for a while after it has gone silent. */
static void list_queues(struct pti_directory_keeper *keeper, struct pti_peer_name *peer, struct page *page)
{
    char after[PTQ_NAME_MAX + 1] = "", before[PTQ_NAME_MAX + 1] = "", *text = NULL;
    int64_t began = pti_now_ns();
    size_t size = 0, names = 0;
    FILE *file = open_memstream(&text, &size);
    bool was_up = peer->up;

    if (file == NULL)
        return;
    peer->up = end_page(keeper, peer, page, file, after, &names);
    while (peer->up && goes_on(keeper, page, before, after, began, names)) {
        memcpy(before, after, sizeof before);
        begin_page(keeper, peer, after, page);
        peer->up = end_page(keeper, peer, page, file, after, &names);
    }
    bool whole = fclose(file) == 0;
    tell_state(keeper, peer, was_up);
    show(keeper, peer, names);
    if (whole && peer->up) {
        free(peer->queues);
        peer->queues = text;
        peer->heard = pti_now_ns();
        return;
    }
    free(text);
    if (pti_now_ns() - peer->heard > PTI_NAMES_MS * PTI_NS_PER_MS) {
        free(peer->queues);
        peer->queues = NULL;
    }
}

/* Whoever reads sees the old or the new, never a part: a new file takes the name.  Until then it bears the number of our
 * slot: what a bridge that was killed left under it, the next one with that slot writes over. */
static bool replace_file(struct pti_directory_keeper *keeper, const char *text, size_t size)
{
    char name[64];
    int dirfd = keeper->bus->dirfd;

    snprintf(name, sizeof name, "%s.%u", PTI_PEERS_FILE, pti_node_slot(keeper->node));
    unlinkat(dirfd, name, 0);
    int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    bool whole = write(fd, text, size) == (ssize_t)size;
    close(fd);
    if (whole && renameat(dirfd, name, dirfd, PTI_PEERS_FILE) == 0)
        return true;
    unlinkat(dirfd, name, 0);
    return false;
}

/* Takes the lines.  Those that are as they were are said again before anybody doubts them. */
static void publish(struct pti_directory_keeper *keeper, char *lines)
{
    int64_t now = pti_now_ns();
    bool new = keeper->published == NULL || strcmp(keeper->published, lines) != 0;
    bool due = now - keeper->published_at > (PTI_NAMES_MS / 2 - LOOK_MS) * PTI_NS_PER_MS;
    long long host_ms = pti_host_ns() / PTI_NS_PER_MS;
    char *text = NULL;

    if ((new || due) && asprintf(&text, "ptq-peers 2\nuntil %lld %lld\n%s", host_ms + PTI_NAMES_MS, host_ms + PTI_PEERS_MS,
                                 lines) > 0 &&
        replace_file(keeper, text, strlen(text))) {
        free(keeper->published);
        keeper->published = lines;
        keeper->published_at = now;
    } else {
        free(lines);
    }
    free(text);
}

/* All are asked at once: one that is silent does not hold up the others. */
static void look_at_peers(struct pti_directory_keeper *keeper)
{
    struct page *pages = calloc(keeper->count, sizeof *pages);
    char *lines = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&lines, &size);

    for (size_t i = 0; i < keeper->count && pages != NULL; i++)
        begin_page(keeper, &keeper->peers[i], "", &pages[i]);
    for (size_t i = 0; i < keeper->count && pages != NULL; i++)
        list_queues(keeper, &keeper->peers[i], &pages[i]);
    if (file != NULL)
        pti_routes_write(keeper->routes, file);
    for (size_t i = 0; i < keeper->count && file != NULL; i++)
        fprintf(file, "peer %s %s %s\nsince %s %lld\n", keeper->peers[i].node, keeper->peers[i].url, keeper->peers[i].up ? "up" : "down",
                keeper->peers[i].node, (long long)keeper->peers[i].since_ms);
    for (size_t i = 0; i < keeper->count && file != NULL; i++)
        fputs(keeper->peers[i].queues != NULL ? keeper->peers[i].queues : "", file);
    if (file != NULL && fclose(file) == 0 && pages != NULL)
        publish(keeper, lines);
    else
        free(lines);
    free(pages);
}

static void *keep(void *context)
{
    struct pti_directory_keeper *keeper = context;
    struct pollfd stop = {.fd = keeper->stop_fd, .events = POLLIN};

    for (size_t i = 0; i < keeper->count; i++)
        (void)!pti_conn_hold(keeper->bus, keeper->peers[i].url, NULL, &keeper->peers[i].conn);
    do {
        pti_store_relaxed(&keeper->looking_since, pti_now_ns());
        look_at_peers(keeper);
        pti_store_relaxed(&keeper->looking_since, 0);
    } while (poll(&stop, 1, LOOK_MS) <= 0);
    for (size_t i = 0; i < keeper->count; i++) {
        if (keeper->peers[i].conn != NULL)
            pti_conn_drop(keeper->peers[i].conn, pti_deadline(FAREWELL_MS));
    }
    return NULL;
}

/* ---- life ---- */

static enum ptq_err split_peer(const char *text, struct pti_peer *peer, struct ptq_error *error)
{
    const char *equals = strchr(text, '=');
    size_t length = equals != NULL ? (size_t)(equals - text) : 0;

    if (length == 0 || length >= sizeof peer->node || strlen(equals + 1) >= sizeof peer->url)
        return pti_error(error, PTQ_EINVAL, "peer '%.200s' is not of the form name=url, as in 'east=tcp://127.0.0.1:7400'",
                         text);
    snprintf(peer->node, sizeof peer->node, "%.*s", (int)length, text);
    snprintf(peer->url, sizeof peer->url, "%s", equals + 1);
    if (!pti_name_is_valid(peer->node))
        return pti_error(error, PTQ_EINVAL, "peer name '%s' is not legal; use [A-Za-z0-9._-]", peer->node);
    return PTQ_OK;
}

enum ptq_err pti_peers_check(const char *const *peers, size_t count, bool far, struct ptq_error *error)
{
    enum ptq_err answer = PTQ_OK;
    struct pti_peer peer, other;

    for (size_t i = 0; i < count && answer == PTQ_OK; i++) {
        answer = split_peer(peers[i], &peer, error);
        for (size_t j = 0; j < i && answer == PTQ_OK; j++) {
            if (split_peer(peers[j], &other, NULL) == PTQ_OK && strcmp(peer.node, other.node) == 0)
                answer = pti_error(error, PTQ_EINVAL, "peer '%s' is named twice", peer.node);
        }
        if (answer == PTQ_OK)
            answer = pti_access_check("dial", peer.url, far, error);
    }
    return answer;
}

static enum ptq_err add_peer(struct pti_directory_keeper *keeper, const char *text, struct ptq_error *error)
{
    struct pti_peer_name *peer = &keeper->peers[keeper->count];
    struct pti_peer said;
    enum ptq_err answer = split_peer(text, &said, error);

    if (answer != PTQ_OK)
        return answer;
    memcpy(peer->node, said.node, sizeof peer->node);
    memcpy(peer->url, said.url, sizeof peer->url);
    keeper->count++;
    return pti_bus_note_home(keeper->bus, peer->node, peer->url) == PTQ_OK ? PTQ_OK : pti_error(error, PTQ_ENOMEM, "no memory for peers");
}

void pti_keeper_tidy(ptq_bus *bus, const struct pti_node *node, bool without_peers)
{
    char name[64];

    for (unsigned slot = 0; slot < PTI_NODE_SLOTS; slot++) {
        snprintf(name, sizeof name, "%s.%u", PTI_PEERS_FILE, slot);
        if (slot == pti_node_slot(node) || !pti_node_slot_is_held(node, slot))
            unlinkat(bus->dirfd, name, 0);
    }
    if (without_peers)
        unlinkat(bus->dirfd, PTI_PEERS_FILE, 0);
}

static enum ptq_err new_keeper(struct pti_server *server, const char *const *peers, size_t count, struct ptq_error *error,
                               struct pti_directory_keeper **ret_keeper)
{
    struct pti_directory_keeper *keeper = calloc(1, sizeof *keeper);
    enum ptq_err answer = PTQ_OK;

    if (keeper == NULL)
        return pti_error(error, PTQ_ENOMEM, "no memory for peers");
    keeper->server = server;
    keeper->bus = server->bus;
    keeper->node = server->node;
    keeper->routes = &server->routes;
    keeper->stop_fd = -1;
    pthread_mutex_init(&keeper->mutex, NULL);
    (void)pti_event_new(false, &keeper->stop_fd);
    keeper->peers = calloc(count, sizeof *keeper->peers);
    if (keeper->stop_fd < 0 || keeper->peers == NULL)
        answer = pti_error(error, PTQ_ENOMEM, "no memory for peers");
    if (answer == PTQ_OK)
        answer = pti_peers_check(peers, count, pti_access_far(keeper->bus), error);
    for (size_t i = 0; i < count && answer == PTQ_OK; i++)
        answer = add_peer(keeper, peers[i], error);
    if (answer != PTQ_OK) {
        pti_keeper_stop(keeper);
        return answer;
    }
    *ret_keeper = keeper;
    return PTQ_OK;
}

static enum ptq_err start_thread(struct pti_directory_keeper *keeper, struct ptq_error *error)
{
    if (pthread_create(&keeper->thread, NULL, keep, keeper) != 0)
        return pti_error(error, PTQ_ENOMEM, "no thread for peers");
    keeper->running = true;
    return PTQ_OK;
}

enum ptq_err pti_keeper_start(struct pti_server *server, const char *const *peers, size_t count, struct ptq_error *error,
                              struct pti_directory_keeper **ret_keeper)
{
    struct pti_directory_keeper *keeper = NULL;
    enum ptq_err answer = new_keeper(server, peers, count, error, &keeper);

    if (answer == PTQ_OK)
        answer = start_thread(keeper, error);
    if (answer != PTQ_OK) {
        pti_keeper_stop(keeper);
        return answer;
    }
    *ret_keeper = keeper;
    return PTQ_OK;
}

/* What it published stays. */
static void end_thread(struct pti_directory_keeper *keeper)
{
    if (!keeper->running)
        return;
    pti_event_set(keeper->stop_fd);
    pthread_join(keeper->thread, NULL);
    keeper->running = false;
}

/* Those who were known before are not told anew, and those who are as they were have been so since then. */
static void inherit(struct pti_directory_keeper *keeper, const struct pti_directory_keeper *old)
{
    for (size_t i = 0; i < keeper->count; i++) {
        for (size_t j = 0; old != NULL && j < old->count; j++) {
            const struct pti_peer_name *before = &old->peers[j];
            if (strcmp(before->node, keeper->peers[i].node) != 0 || strcmp(before->url, keeper->peers[i].url) != 0)
                continue;
            keeper->peers[i].up = before->up;
            keeper->peers[i].looked = before->looked;
            keeper->peers[i].since_ms = before->since_ms;
            keeper->peers[i].shown = before->shown;
        }
    }
}

enum ptq_err pti_keeper_replace(struct pti_server *server, struct pti_directory_keeper *old, const struct ptq_bridge_options *options,
                                void (*swap)(void *context), void *context, struct pti_directory_keeper **ret_keeper)
{
    struct pti_conn **held = calloc(options->peer_count + 1, sizeof *held);
    struct pti_peer peer;
    enum ptq_err answer = PTQ_OK;

    for (size_t i = 0; i < options->peer_count && held != NULL; i++) {
        if (split_peer(options->peers[i], &peer, NULL) == PTQ_OK)
            (void)!pti_conn_hold(server->bus, peer.url, NULL, &held[i]);
    }
    if (old != NULL)
        end_thread(old);
    swap(context);
    *ret_keeper = NULL;
    if (options->peer_count > 0)
        answer = new_keeper(server, options->peers, options->peer_count, options->error, ret_keeper);
    if (answer == PTQ_OK && options->peer_count > 0) {
        inherit(*ret_keeper, old);
        answer = start_thread(*ret_keeper, options->error);
    } else if (old != NULL) {
        unlinkat(old->bus->dirfd, PTI_PEERS_FILE, 0);
    }
    if (answer != PTQ_OK) {
        pti_keeper_stop(*ret_keeper);
        *ret_keeper = NULL;
    }
    pti_keeper_stop(old);
    for (size_t i = 0; i < options->peer_count && held != NULL; i++) {
        if (held[i] != NULL)
            pti_conn_drop(held[i], pti_deadline(FAREWELL_MS));
    }
    free(held);
    return answer;
}

void pti_keeper_stop(struct pti_directory_keeper *keeper)
{
    if (keeper == NULL)
        return;
    if (keeper->running) {
        end_thread(keeper);
        unlinkat(keeper->bus->dirfd, PTI_PEERS_FILE, 0);
    }
    if (keeper->stop_fd >= 0)
        close(keeper->stop_fd);
    for (size_t i = 0; keeper->peers != NULL && i < keeper->count; i++)
        free(keeper->peers[i].queues);
    free(keeper->published);
    free(keeper->peers);
    pthread_mutex_destroy(&keeper->mutex);
    free(keeper);
}

/* ---- for those who ask ---- */

void pti_keeper_look(struct pti_directory_keeper *keeper, void (*each)(const struct pti_peer_figures *peer, void *context), void *context)
{
    for (size_t i = 0; keeper != NULL && i < keeper->count; i++) {
        const struct pti_peer_name *peer = &keeper->peers[i];
        char why[sizeof peer->shown.why];
        pthread_mutex_lock(&keeper->mutex);
        struct pti_peer_figures figures = {peer->node, peer->url, why, peer->shown.up, peer->shown.rtt_ns, peer->shown.queues};
        memcpy(why, peer->shown.why, sizeof why);
        pthread_mutex_unlock(&keeper->mutex);
        each(&figures, context);
    }
}

int64_t pti_keeper_busy_ns(struct pti_directory_keeper *keeper)
{
    int64_t since = keeper != NULL ? pti_load_relaxed(&keeper->looking_since) : 0;

    return since != 0 ? pti_now_ns() - since : 0;
}
