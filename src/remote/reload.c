/* reload.c -- other options for a bridge that runs, by their difference.
 *
 * What can fail is done first: rules are checked, certificates loaded, listeners opened.  Then those who read the rules from threads of
 * their own, the keeper of peers and the carrier of moves, are stopped if their part changed, and the serving thread swaps all of it
 * between two of its rounds.
 *
 * Law: server->routes is changed by the serving thread, while there is no keeper and no carrier.
 */
#define HASH_NONFATAL_OOM 1
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "os/event.h"
#include "remote/access.h"
#include "remote/renew.h"
#include "remote/route.h"
#include "remote/server.h"

#define START_S 3

/* ---- what was told before ---- */

struct pti_told {
    char *peers, *moves; /* a line each */
};

static char *join_lines(const char *const *items, size_t count)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);

    if (file == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        fprintf(file, "%s\n", items[i]);
    if (fclose(file) == 0)
        return text;
    free(text);
    return NULL;
}

enum ptq_err pti_told_keep(const struct ptq_bridge_options *options, struct pti_told **ret_told)
{
    struct pti_told *told = calloc(1, sizeof *told);

    if (told == NULL)
        return PTQ_ENOMEM;
    told->peers = join_lines(options->peers, options->peer_count);
    told->moves = join_lines(options->moves, options->move_count);
    if (told->peers == NULL || told->moves == NULL) {
        pti_told_free(told);
        return PTQ_ENOMEM;
    }
    *ret_told = told;
    return PTQ_OK;
}

void pti_told_free(struct pti_told *told)
{
    if (told == NULL)
        return;
    free(told->peers);
    free(told->moves);
    free(told);
}

static bool same_routes(const struct pti_routes *one, const struct pti_routes *other)
{
    bool same = one->count == other->count;

    for (size_t i = 0; i < one->count && same; i++) {
        const struct pti_rule *a = &one->rules[i], *b = &other->rules[i];
        same = a->kind == b->kind && strcmp(a->here, b->here) == 0 && strcmp(a->there, b->there) == 0;
    }
    return same;
}

/* ---- errands: what somebody wants done by the serving thread ---- */

void pti_errand_init(struct pti_server *server)
{
    pthread_mutex_init(&server->errand.mutex, NULL);
    pthread_cond_init(&server->errand.done, NULL);
}

void pti_errand_fini(struct pti_server *server)
{
    pthread_cond_destroy(&server->errand.done);
    pthread_mutex_destroy(&server->errand.mutex);
}

void pti_errand_do(struct pti_server *server)
{
    if (!pti_load_relaxed(&server->errand.posted)) /* the mutex says the rest */
        return;
    pthread_mutex_lock(&server->errand.mutex);
    if (server->errand.work != NULL) {
        server->errand.work(server, server->errand.context);
        server->errand.work = NULL;
        pti_store_relaxed(&server->errand.posted, false);
        pthread_cond_broadcast(&server->errand.done);
    }
    pthread_mutex_unlock(&server->errand.mutex);
}

void pti_errand_open(struct pti_server *server, bool running)
{
    pthread_mutex_lock(&server->errand.mutex);
    server->errand.running = running;
    server->errand.ran = true;
    pthread_cond_broadcast(&server->errand.done);
    pthread_mutex_unlock(&server->errand.mutex);
}

/* False: nobody runs who could do it, and it was not done.  Who is about to run is waited for. */
static bool run_errand(struct pti_server *server, void (*work)(struct pti_server *server, void *context), void *context)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += START_S;
    pthread_mutex_lock(&server->errand.mutex);
    while (!server->errand.ran && pthread_cond_timedwait(&server->errand.done, &server->errand.mutex, &until) == 0)
        ;
    if (server->errand.running) {
        server->errand.work = work;
        server->errand.context = context;
        pti_store_relaxed(&server->errand.posted, true);
        pti_event_set(server->wake_fd);
    }
    while (server->errand.running && server->errand.work != NULL)
        pthread_cond_wait(&server->errand.done, &server->errand.mutex);
    bool done = server->errand.running && server->errand.work == NULL;
    server->errand.work = NULL;
    pthread_mutex_unlock(&server->errand.mutex);
    return done;
}

/* ---- the swap, by the serving thread ---- */

struct change {
    struct pti_server *server;
    const struct ptq_bridge_options *options;
    struct pti_listeners listeners;
    struct pti_routes routes;
    struct pti_grants grants;
    struct pti_told *told;
    struct pti_renewal renewal;
    bool other_routes; /* they are others than before */
    bool done;
};

static bool is_lessened(struct pti_session *session, struct pti_channel *channel)
{
    const struct pti_server *server = session->server;
    char here[PTQ_NAME_MAX + 1];

    if (!server->options.all_runs && strcmp(channel->run, server->bus->run) != 0)
        return true;
    if (!pti_routes_serve(&server->routes, channel->name, here) || strcmp(here, channel->here) != 0)
        return true;
    unsigned rights = pti_session_rights(session, here);
    if ((channel->rights & ~rights) != 0)
        return true;
    channel->rights = rights;
    return false;
}

/* Whose queues are not what they were: he begins again, with what he may. */
static void end_those_concerned(struct pti_server *server)
{
    struct pti_session *session, *next;

    for (session = server->sessions; session != NULL; session = next) {
        bool lessened = false;
        next = session->hh.next;
        for (struct pti_channel *channel = session->channels; channel != NULL; channel = channel->hh.next)
            lessened = is_lessened(session, channel) || lessened;
        if (!lessened)
            continue;
        if (session->guest != NULL)
            pti_guest_doom(session->guest, "what it may use has changed");
        pti_session_free(session, "what it may use has changed");
    }
}

/* Sockets are everybody's only while rules name users. */
static void share_sockets(struct pti_server *server, const struct change *change, bool named)
{
    for (size_t i = 0; named && i < change->options->listen_count; i++) {
        const char *url = change->options->listen[i];
        if (strncmp(url, "ipc://", 6) == 0 && !pti_grants_name_users(&server->grants))
            (void)!chmod(url + 6, 0600);
    }
    pti_rights_share(server, change->options->listen, change->options->listen_count);
}

static void swap_all(struct pti_server *server, void *context)
{
    struct change *change = context;
    struct pti_told *told = server->told;

    if (server->draining)
        return;
    pti_listeners_take(&change->listeners, &server->listeners);
    const struct pti_grants grants = server->grants;
    const struct pti_listeners listeners = server->listeners;
    bool named = pti_grants_name_users(&server->grants);
    if (change->other_routes) { /* else the keeper of the directory, which goes on, reads those that are there */
        const struct pti_routes routes = server->routes;
        server->routes = change->routes;
        change->routes = routes;
    }
    server->grants = change->grants;
    server->listeners = change->listeners;
    server->told = change->told;
    change->grants = grants;
    change->listeners = listeners; /* those that went are still among them */
    change->told = told;
    pti_server_take(server, change->options);
    pthread_mutex_lock(&server->inbox_mutex); /* on_accepted looks at some */
    pti_caps_set(&server->caps, &change->options->limits);
    pthread_mutex_unlock(&server->inbox_mutex);
    pti_renewal_take(server, &change->renewal);
    share_sockets(server, change, named);
    end_those_concerned(server);
    pti_server_revoke(server);
    change->done = true;
}

static void swap(void *context)
{
    struct change *change = context;

    (void)run_errand(change->server, swap_all, change);
}

/* ---- all of it ---- */

static void drop_change(struct change *change)
{
    pti_routes_free(&change->routes);
    pti_grants_free(&change->grants);
    pti_listeners_close(&change->listeners);
    pti_told_free(change->told);
    pti_renewal_drop(&change->renewal);
}

/* The rules beside the keys: missing ones deny, as at the start; those that make no sense are a mistake, and the old stay. */
static enum ptq_err check_usual_rules(const struct pti_server *server, const struct ptq_bridge_options *options)
{
    char path[sizeof server->bus->keys + 8];
    struct pti_grants grants = {0};

    if (server->bus->keys[0] == '\0' || options->rules_file != NULL || options->rule_count > 0)
        return PTQ_OK;
    snprintf(path, sizeof path, "%s/rules", server->bus->keys);
    enum ptq_err answer = pti_grants_read(&grants, path, options->error);
    pti_grants_free(&grants);
    return answer == PTQ_ENOENT ? PTQ_OK : answer;
}

static enum ptq_err prepare(struct pti_server *server, const struct ptq_bridge_options *options, struct change *change)
{
    const char *keys = server->bus->keys[0] != '\0' ? server->bus->keys : NULL;
    enum ptq_err answer = pti_options_check(options, pti_access_far(server->bus));

    if (answer == PTQ_OK && options->listen_count == 0)
        answer = pti_error(options->error, PTQ_EINVAL, "a bridge needs an address to listen on, as tcp://127.0.0.1:7400");
    if (answer == PTQ_OK)
        answer = pti_options_check_rights(keys, options);
    if (answer == PTQ_OK)
        answer = check_usual_rules(server, options);
    if (answer == PTQ_OK)
        answer = pti_options_routes(options, &change->routes);
    if (answer == PTQ_OK)
        answer = pti_rights_read(server, options, &change->grants);
    if (answer == PTQ_OK && pti_told_keep(options, &change->told) != PTQ_OK)
        answer = pti_error(options->error, PTQ_ENOMEM, "no memory for other options");
    if (answer == PTQ_OK)
        answer = pti_renewal_prepare(server, options, &change->renewal);
    if (answer == PTQ_OK)
        answer = pti_listeners_open(server, options, &server->listeners, &change->listeners);
    return answer;
}

/* Another in its place, for those who look; answers the one that was there. */
static struct pti_directory_keeper *take_keeper(struct pti_server *server, struct pti_directory_keeper *keeper)
{
    pthread_mutex_lock(&server->parts);
    struct pti_directory_keeper *old = server->keeper;
    server->keeper = keeper;
    pthread_mutex_unlock(&server->parts);
    return old;
}

static struct pti_route_keeper *take_carrier(struct pti_server *server, struct pti_route_keeper *carrier)
{
    pthread_mutex_lock(&server->parts);
    struct pti_route_keeper *old = server->carrier;
    server->carrier = carrier;
    pthread_mutex_unlock(&server->parts);
    return old;
}

static enum ptq_err commit(struct pti_server *server, const struct ptq_bridge_options *options, struct change *change)
{
    bool peers = strcmp(server->told->peers, change->told->peers) != 0;
    bool moves = strcmp(server->told->moves, change->told->moves) != 0;
    enum ptq_err answer = PTQ_OK, carrying = PTQ_OK;

    change->other_routes = !same_routes(&server->routes, &change->routes);
    bool carrier = change->other_routes || moves || (peers && options->move_count > 0);
    if (carrier)
        pti_routes_stop(take_carrier(server, NULL));
    if (change->other_routes || peers) {
        struct pti_directory_keeper *keeper = NULL;
        answer = pti_keeper_replace(server, take_keeper(server, NULL), options, swap, change, &keeper);
        (void)take_keeper(server, keeper);
    } else {
        swap(change);
    }
    if (carrier && options->move_count > 0) {
        struct pti_route_keeper *started = NULL;
        carrying = pti_routes_start(server, options, &started);
        (void)take_carrier(server, started);
    }
    if (!change->done)
        return pti_error(options->error, PTQ_EAGAIN, "the bridge is going down");
    pti_listeners_close(&change->listeners); /* those that went: it is done when it is said */
    pti_server_log(server, PTQ_BRIDGE_INFO, "component=bridge event=reloaded routes=%s peers=%s moves=%s", change->other_routes ? "changed" : "same",
                   peers ? "changed" : "same", moves ? "changed" : "same");
    return answer != PTQ_OK ? answer : carrying;
}

enum ptq_err ptq_bridge_reload(ptq_bridge *bridge, const struct ptq_bridge_options *options)
{
    if (bridge == NULL || options == NULL)
        return PTQ_EINVAL;
    struct pti_server *server = &bridge->server;
    struct change change = {.server = server, .options = options};
    enum ptq_err answer = prepare(server, options, &change);

    if (answer == PTQ_OK)
        answer = commit(server, options, &change);
    drop_change(&change);
    return answer;
}
