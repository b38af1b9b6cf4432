/* route.c -- moves: each queue whose name fits a rule is carried to another home by a mover (mover.h), looked for twice a second.
 *
 * Laws.
 * 1. A message bears the nodes that it has left, and is never sent to one of them: no loop.  Where a rule's home is not known
 *    by its id yet, nothing is decided.
 * 2. Where several rules fit a queue, a message goes to the first of them, in the order of the options, that it has not been at; so it
 *    is the same one again after a bridge was killed, and that home knows what it has.
 * 3. What goes nowhere stays in its place, for whoever takes it here.
 */
#include "remote/route_own.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ptq/metrics.h>

#include "bus/node.h"
#include "os/event.h"
#include "remote/access.h"
#include "remote/remote.h"
#include "remote/via/via.h"

#define LOOK_MS 500
#define ASK_AGAIN_NS (10 * PTI_NS_PER_S) /* for the id of a home that is known */
#define MOVED_MOST 256 /* queues times homes: a thread each */

/* ---- looking ---- */

/* Nothing is carried there yet; said once. */
static void tell_silence(struct pti_route_keeper *keeper, struct pti_route_home *home, const char *why)
{
    if (!home->known && !home->told)
        pti_server_log(keeper->server, PTQ_BRIDGE_WARNING, "component=route event=waiting url=%s why=\"%s\"", home->url, why);
    home->told = true;
}

static void ask_for_id(struct pti_route_keeper *keeper, struct pti_route_home *home)
{
    static const uint8_t none[PTI_NODE_BYTES];
    struct pti_directory_ask ask = {.name = PTI_PATH_HEADER}; /* any name: what is wanted is who answers */
    struct pti_directory directory = {0};
    struct pti_asking *asking;
    struct ptq_error error = {0};

    if (home->known && pti_now_ns() - home->asked < ASK_AGAIN_NS)
        return;
    snprintf(ask.run, sizeof ask.run, "%s", keeper->bus->run);
    if (pti_remote_ask_begin(keeper->bus, home->url, &ask, &error, &directory, &asking) != PTQ_OK ||
        pti_remote_ask_end(asking, &error) != PTQ_OK) {
        tell_silence(keeper, home, error.text);
        return;
    }
    free(directory.names);
    if (memcmp(directory.node_id, none, sizeof none) == 0) {
        tell_silence(keeper, home, "it is an older ptqbridge, which does not say who it is: it could not be told whether a message was there");
        return;
    }
    pthread_mutex_lock(&keeper->mutex);
    bool is_new = !home->known;
    memcpy(home->id, directory.node_id, sizeof home->id);
    home->known = true;
    pthread_mutex_unlock(&keeper->mutex);
    if (is_new && memcmp(home->id, pti_node_own_id(keeper->server->node), sizeof home->id) == 0)
        pti_server_log(keeper->server, PTQ_BRIDGE_WARNING, "component=route event=cannot url=%s why=\"this bus is what is served there\"",
                       home->url);
    home->asked = pti_now_ns();
}

/* Law: one mover for a queue and a home, however many rules lead there. */
static bool leads_elsewhere(const struct pti_route_keeper *keeper, size_t rule, const char *here)
{
    const struct pti_route_home *home = &keeper->homes[keeper->rules[rule].home];

    if (!home->known || memcmp(home->id, pti_node_own_id(keeper->server->node), PTI_PATH_NODE) == 0)
        return false;
    for (size_t i = 0; i < rule; i++) {
        const struct pti_route_home *other = &keeper->homes[keeper->rules[i].home];
        if (pti_route_fits(keeper, i, here) && other->known && memcmp(other->id, home->id, PTI_PATH_NODE) == 0)
            return false;
    }
    return true;
}

static struct pti_carried *find_carried(const struct pti_route_keeper *keeper, size_t rule, const char *here)
{
    struct pti_carried *carried = keeper->carried;

    while (carried != NULL && (carried->rule != rule || strcmp(carried->here, here) != 0))
        carried = carried->next;
    return carried;
}

static struct pti_carried *add_carried(struct pti_route_keeper *keeper, size_t rule, const char *here, const char *there)
{
    if (keeper->carried_count == MOVED_MOST) {
        if (!keeper->told_many)
            pti_server_log(keeper->server, PTQ_BRIDGE_WARNING, "component=route event=cannot queue=%s to=%s why=\"%d are carried, which is the most\"",
                           here, keeper->rules[rule].to, MOVED_MOST);
        keeper->told_many = true;
        return NULL;
    }
    struct pti_carried *carried = pti_carried_new(keeper, rule, here, there);
    if (carried == NULL)
        return NULL;
    pthread_mutex_lock(&keeper->mutex);
    carried->next = keeper->carried;
    keeper->carried = carried;
    keeper->carried_count++;
    pthread_mutex_unlock(&keeper->mutex);
    return carried;
}

static bool is_stopping(const struct pti_route_keeper *keeper)
{
    struct pollfd stop = {.fd = keeper->stop_fd, .events = POLLIN};

    return poll(&stop, 1, 0) > 0;
}

static bool look_at_queue(const char *here, void *context)
{
    struct pti_route_keeper *keeper = context;
    char there[PTQ_NAME_MAX + 1];

    for (size_t i = 0; i < keeper->rule_count && !is_stopping(keeper); i++) {
        if (!pti_route_fits(keeper, i, here) || !pti_routes_carry(&keeper->server->routes, here, there) || !leads_elsewhere(keeper, i, here))
            continue;
        struct pti_carried *carried = find_carried(keeper, i, here);
        if (carried == NULL)
            carried = add_carried(keeper, i, here, there);
        if (carried != NULL && carried->mover == NULL && pti_now_ns() >= carried->try_at)
            pti_carried_try(carried);
    }
    return !is_stopping(keeper);
}

/* Only one of several bridges of a bus carries: the one that serves its programs, too. */
static void *keep(void *context)
{
    struct pti_route_keeper *keeper = context;
    struct pollfd stop = {.fd = keeper->stop_fd, .events = POLLIN};

    do {
        if (!pti_via_is_serving(pti_load_acquire(&keeper->server->via)))
            continue;
        for (size_t i = 0; i < keeper->home_count && !is_stopping(keeper); i++)
            ask_for_id(keeper, &keeper->homes[i]);
        pti_carried_end_gone(keeper);
        (void)!ptq_bus_list(keeper->bus, look_at_queue, keeper);
    } while (poll(&stop, 1, LOOK_MS) <= 0);
    return NULL;
}

/* ---- rules ---- */

/* A peer by its name, or an address. */
static enum ptq_err find_url(const struct ptq_bridge_options *options, const char *to, char url[256])
{
    size_t length = strlen(to);

    if (strstr(to, "://") != NULL)
        return snprintf(url, 256, "%s", to) < 256 ? PTQ_OK
                                                  : pti_error(options->error, PTQ_EINVAL, "address '%.200s...' is too long", to);
    for (size_t i = 0; i < options->peer_count; i++) {
        if (strncmp(options->peers[i], to, length) == 0 && options->peers[i][length] == '=')
            return snprintf(url, 256, "%s", options->peers[i] + length + 1) < 256
                       ? PTQ_OK
                       : pti_error(options->error, PTQ_EINVAL, "the address of peer '%s' is too long", to);
    }
    return pti_error(options->error, PTQ_EINVAL, "move to '%.200s': no peer is called that; name it with --peer NAME=URL, or write its address", to);
}

static enum ptq_err read_rule(const struct ptq_bridge_options *options, const char *text, bool far, struct pti_route_rule *rule, char url[256])
{
    const char *equals = strchr(text, '=');
    size_t length = equals != NULL ? (size_t)(equals - text) : 0;

    if (equals == NULL || length == 0 || length > PTQ_NAME_MAX || strlen(equals + 1) >= sizeof rule->to)
        return pti_error(options->error, PTQ_EINVAL, "move '%.200s' is not of the form GLOB=PEER or GLOB=URL, as in 'jobs-*=east'", text);
    snprintf(rule->glob, sizeof rule->glob, "%.*s", (int)length, text);
    snprintf(rule->to, sizeof rule->to, "%s", equals + 1);
    if (!pti_routes_is_glob(rule->glob))
        return pti_error(options->error, PTQ_EINVAL, "move '%.200s': '%s' is no glob of names of queues, as 'tasks' or 'jobs-*'", text, rule->glob);
    enum ptq_err answer = find_url(options, rule->to, url);
    return answer == PTQ_OK ? pti_access_check("dial", url, far, options->error) : answer;
}

enum ptq_err pti_moves_check(const struct ptq_bridge_options *options, bool far)
{
    enum ptq_err answer = PTQ_OK;
    struct pti_route_rule rule;
    char url[256];

    for (size_t i = 0; i < options->move_count && answer == PTQ_OK; i++)
        answer = read_rule(options, options->moves[i], far, &rule, url);
    return answer;
}

static enum ptq_err add_rule(struct pti_route_keeper *keeper, const struct ptq_bridge_options *options, const char *text)
{
    struct pti_route_rule *rule = &keeper->rules[keeper->rule_count];
    char url[256];
    enum ptq_err answer = read_rule(options, text, pti_access_far(keeper->bus), rule, url);

    if (answer != PTQ_OK)
        return answer;
    for (rule->home = 0; rule->home < keeper->home_count && strcmp(keeper->homes[rule->home].url, url) != 0;)
        rule->home++;
    if (rule->home == keeper->home_count)
        memcpy(keeper->homes[keeper->home_count++].url, url, sizeof url);
    keeper->rule_count++;
    return PTQ_OK;
}

enum ptq_err pti_routes_start(struct pti_server *server, const struct ptq_bridge_options *options, struct pti_route_keeper **ret_keeper)
{
    struct pti_route_keeper *keeper = calloc(1, sizeof *keeper);
    enum ptq_err answer = PTQ_OK;

    if (keeper == NULL)
        return pti_error(options->error, PTQ_ENOMEM, "no memory for routes");
    keeper->server = server;
    keeper->bus = server->bus;
    keeper->stop_fd = -1;
    pthread_mutex_init(&keeper->mutex, NULL);
    (void)pti_event_new(false, &keeper->stop_fd);
    keeper->rules = calloc(options->move_count, sizeof *keeper->rules);
    keeper->homes = calloc(options->move_count, sizeof *keeper->homes);
    if (keeper->stop_fd < 0 || keeper->rules == NULL || keeper->homes == NULL)
        answer = pti_error(options->error, PTQ_ENOMEM, "no memory for routes");
    for (size_t i = 0; i < options->move_count && answer == PTQ_OK; i++)
        answer = add_rule(keeper, options, options->moves[i]);
    if (answer == PTQ_OK && pthread_create(&keeper->thread, NULL, keep, keeper) != 0)
        answer = pti_error(options->error, PTQ_ENOMEM, "no thread for routes");
    keeper->running = answer == PTQ_OK;
    if (answer != PTQ_OK) {
        pti_routes_stop(keeper);
        return answer;
    }
    *ret_keeper = keeper;
    return PTQ_OK;
}

void pti_routes_stop(struct pti_route_keeper *keeper)
{
    if (keeper == NULL)
        return;
    if (keeper->running) {
        pti_event_set(keeper->stop_fd);
        pthread_join(keeper->thread, NULL);
    }
    while (keeper->carried != NULL) {
        struct pti_carried *carried = keeper->carried;
        keeper->carried = carried->next;
        pti_carried_free(carried);
    }
    if (keeper->stop_fd >= 0)
        close(keeper->stop_fd);
    pthread_mutex_destroy(&keeper->mutex);
    for (size_t at = 0; keeper->homes != NULL && at < keeper->home_count; at++)
        pti_figures_carrier_ended(keeper->server, keeper->homes[at].url, pti_load_relaxed(&keeper->homes[at].moved));
    free(keeper->homes);
    free(keeper->rules);
    free(keeper);
}

/* ---- for those who ask ---- */

void pti_routes_look(struct pti_route_keeper *keeper, void (*each)(const struct pti_carried_figures *carried, void *context), void *context)
{
    if (keeper == NULL)
        return;
    pthread_mutex_lock(&keeper->mutex);
    for (const struct pti_carried *carried = keeper->carried; carried != NULL; carried = carried->next) {
        struct pti_mover_state state = {0};
        if (carried->mover != NULL)
            pti_mover_look(carried->mover, &state);
        struct pti_carried_figures figures = {carried->here, carried->there, keeper->homes[keeper->rules[carried->rule].home].url,
                                              state.connected, pti_load_seq(&carried->moved), state.in_flight};
        each(&figures, context);
    }
    pthread_mutex_unlock(&keeper->mutex);
}

void pti_routes_moved(struct pti_route_keeper *keeper, void (*each)(const char *url, uint64_t moved, void *context), void *context)
{
    for (size_t i = 0; keeper != NULL && i < keeper->home_count; i++)
        each(keeper->homes[i].url, pti_load_relaxed(&keeper->homes[i].moved), context);
}
