/* keeper.c -- learns which queues the peers have, and publishes them in the bus: "~peers", replaced as a whole.
 *
 *      ptq-peers 1
 *      peer <node> <url> up|down
 *      queue <name> <node>
 *
 * Processes of this host that were told of no peers find them there.  One thread of its own, which may wait for an
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
#include "os/event.h"
#include "remote/access.h"
#include "remote/conn.h"
#include "remote/remote.h"
#include "remote/server.h"

#define LOOK_MS 2000
#define FAREWELL_MS 500
#define NAMES_MOST 100000 /* of one peer */

struct pti_directory_keeper {
    ptq_bus *bus;
    struct pti_peer_name {
        char node[64], url[256];
        struct pti_conn *conn; /* held, so that a look needs no new link */
    } *peers;
    size_t count;
    char *published; /* what the file says now */
    pthread_t thread;
    bool running;
    int stop_fd;
};

/* ---- one look ---- */

static bool list_queues(struct pti_directory_keeper *keeper, const struct pti_peer_name *peer, FILE *file)
{
    char after[PTQ_NAME_MAX + 1] = "";
    struct pti_directory directory;
    size_t names = 0;

    do {
        directory = (struct pti_directory){0};
        if (pti_remote_directory(keeper->bus->insecure, peer->url, keeper->bus->run, after, NULL, &directory) != PTQ_OK)
            return false;
        for (size_t i = 0; i < directory.count; i++)
            fprintf(file, "queue %s %s\n", directory.names[i], peer->node);
        if (directory.count > 0)
            snprintf(after, sizeof after, "%s", directory.names[directory.count - 1]);
        names += directory.count;
        free(directory.names);
    } while (directory.more && names < NAMES_MOST);
    return true;
}

/* Whoever reads sees the old or the new, never a part: a new file takes the name. */
static bool replace_file(struct pti_directory_keeper *keeper, const char *text, size_t size)
{
    char name[64];
    int dirfd = keeper->bus->dirfd;

    snprintf(name, sizeof name, "%s.%d", PTI_PEERS_FILE, (int)getpid());
    int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    bool whole = write(fd, text, size) == (ssize_t)size;
    close(fd);
    if (whole && renameat(dirfd, name, dirfd, PTI_PEERS_FILE) == 0)
        return true;
    unlinkat(dirfd, name, 0);
    return false;
}

/* Takes the text. */
static void publish(struct pti_directory_keeper *keeper, char *text, size_t size)
{
    bool new = keeper->published == NULL || strcmp(keeper->published, text) != 0;

    if (new && replace_file(keeper, text, size)) {
        free(keeper->published);
        keeper->published = text;
    } else {
        free(text);
    }
}

static void look_at_peers(struct pti_directory_keeper *keeper)
{
    char *text = NULL, *queues = NULL;
    size_t size = 0, queues_size = 0;
    FILE *file = open_memstream(&text, &size);
    FILE *list = file != NULL ? open_memstream(&queues, &queues_size) : NULL;

    if (list != NULL) {
        fprintf(file, "ptq-peers 1\n");
        for (size_t i = 0; i < keeper->count; i++)
            fprintf(file, "peer %s %s %s\n", keeper->peers[i].node, keeper->peers[i].url,
                    list_queues(keeper, &keeper->peers[i], list) ? "up" : "down");
        fclose(list);
        fwrite(queues, 1, queues_size, file);
    }
    if (file != NULL && fclose(file) == 0 && list != NULL)
        publish(keeper, text, size);
    else
        free(text);
    free(queues);
}

static void *keep(void *context)
{
    struct pti_directory_keeper *keeper = context;
    struct pollfd stop = {.fd = keeper->stop_fd, .events = POLLIN};

    for (size_t i = 0; i < keeper->count; i++)
        (void)!pti_conn_hold(keeper->peers[i].url, keeper->bus->insecure, NULL, &keeper->peers[i].conn);
    do
        look_at_peers(keeper);
    while (poll(&stop, 1, LOOK_MS) <= 0);
    for (size_t i = 0; i < keeper->count; i++) {
        if (keeper->peers[i].conn != NULL)
            pti_conn_drop(keeper->peers[i].conn, pti_deadline(FAREWELL_MS));
    }
    return NULL;
}

/* ---- life ---- */

static enum ptq_err read_peer(struct pti_directory_keeper *keeper, const char *text, struct ptq_error *error)
{
    struct pti_peer_name *peer = &keeper->peers[keeper->count];
    const char *equals = strchr(text, '=');
    size_t length = equals != NULL ? (size_t)(equals - text) : 0;

    if (length == 0 || length >= sizeof peer->node || strlen(equals + 1) >= sizeof peer->url)
        return pti_error(error, PTQ_EINVAL, "peer '%s' is not of the form name=url, as in 'east=tcp://127.0.0.1:7400'",
                         text);
    snprintf(peer->node, sizeof peer->node, "%.*s", (int)length, text);
    snprintf(peer->url, sizeof peer->url, "%s", equals + 1);
    if (!pti_name_is_valid(peer->node))
        return pti_error(error, PTQ_EINVAL, "peer name '%s' is not legal; use [A-Za-z0-9._-]", peer->node);
    keeper->count++;
    return pti_access_check("dial", peer->url, keeper->bus->insecure, error);
}

enum ptq_err pti_keeper_start(ptq_bus *bus, const char *const *peers, size_t count, struct ptq_error *error,
                              struct pti_directory_keeper **ret_keeper)
{
    struct pti_directory_keeper *keeper = calloc(1, sizeof *keeper);
    enum ptq_err answer = PTQ_OK;

    if (keeper == NULL)
        return pti_error(error, PTQ_ENOMEM, "no memory for peers");
    keeper->bus = bus;
    keeper->stop_fd = -1;
    (void)pti_event_new(false, &keeper->stop_fd);
    keeper->peers = calloc(count, sizeof *keeper->peers);
    if (keeper->stop_fd < 0 || keeper->peers == NULL)
        answer = pti_error(error, PTQ_ENOMEM, "no memory for peers");
    for (size_t i = 0; i < count && answer == PTQ_OK; i++)
        answer = read_peer(keeper, peers[i], error);
    if (answer == PTQ_OK && pthread_create(&keeper->thread, NULL, keep, keeper) != 0)
        answer = pti_error(error, PTQ_ENOMEM, "no thread for peers");
    keeper->running = answer == PTQ_OK;
    if (answer != PTQ_OK) {
        pti_keeper_stop(keeper);
        return answer;
    }
    *ret_keeper = keeper;
    return PTQ_OK;
}

void pti_keeper_stop(struct pti_directory_keeper *keeper)
{
    if (keeper == NULL)
        return;
    if (keeper->running) {
        pti_event_set(keeper->stop_fd);
        pthread_join(keeper->thread, NULL);
        unlinkat(keeper->bus->dirfd, PTI_PEERS_FILE, 0);
    }
    if (keeper->stop_fd >= 0)
        close(keeper->stop_fd);
    free(keeper->published);
    free(keeper->peers);
    free(keeper);
}
