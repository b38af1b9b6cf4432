/* route.c -- moves: each queue whose name fits a rule is carried to another home by a mover (mover.h), looked for twice a second.
 *
 * Laws.
 * 1. A message bears the nodes that it has left, and is never sent to one of them: no loop.  Where a rule's home is not known
 *    by its id yet, nothing is decided.
 * 2. Where several rules fit a queue, a message goes to the first of them, in the order of the options, that it has not been at; so it
 *    is the same one again after a bridge was killed, and that home knows what it has.
 * 3. What goes nowhere stays in its place, for whoever takes it here.
 */
#include "remote/route.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ptq/metrics.h>

#include "base/atomic.h"
#include "base/time.h"
#include "bus/node.h"
#include "os/event.h"
#include "queue/header.h"
#include "remote/access.h"
#include "remote/mover.h"
#include "remote/path.h"
#include "remote/remote.h"
#include "remote/server.h"
#include "remote/via/via.h"

#define LOOK_MS 500
#define ASK_AGAIN_NS (10 * PTI_NS_PER_S) /* for the id of a home that is known */
#define TRY_AGAIN_NS (5 * PTI_NS_PER_S)  /* to open a target that could not be */
#define FAREWELL_MS 500
#define MOVED_MOST 256 /* queues times homes: a thread each */

/* Where to.  Its id is written by the keeper's thread and read by the movers'. */
struct home {
    char url[256];
    bool known, told;
    uint8_t id[PTI_PATH_NODE];
    int64_t asked;
    _Atomic uint64_t moved; /* messages, ever */
};

struct rule {
    char glob[PTQ_NAME_MAX + 1], to[256]; /* to: as it was said */
    size_t home;
};

/* The headers of a message that is under way. */
struct headers {
    const struct ptq_msg *msg;
    UT_hash_handle hh;
    uint8_t bytes[PTQ_HEADERS_MAX];
};

/* One queue, to one home.  What its mover calls runs on the mover's thread alone. */
struct carried {
    struct carried *next;
    struct pti_route_keeper *keeper;
    char here[PTQ_NAME_MAX + 1], there[PTQ_NAME_MAX + 1];
    size_t rule;
    ino_t inode;
    struct pti_mover *mover; /* NULL: its target could not be opened */
    int64_t try_at;
    enum ptq_err failure;    /* as it was told last */
    struct pti_port room;    /* of the target: sizes alone */
    struct headers *headers;
    bool told_large, told_headers;
    _Atomic int refused;     /* what the home answers for good; its mover is to end */
    _Atomic uint64_t moved;
};

struct pti_route_keeper {
    struct pti_server *server;
    ptq_bus *bus;
    struct rule *rules;
    size_t rule_count;
    struct home *homes;
    size_t home_count;
    pthread_mutex_t mutex; /* of the homes' ids; of the list, and which mover carries, which the keeper's thread alone changes */
    struct carried *carried;
    size_t carried_count;
    bool told_many;
    pthread_t thread;
    bool running;
    int stop_fd;
};

/* ---- which home ---- */

static bool fits(const struct pti_route_keeper *keeper, size_t rule, const char *here)
{
    return fnmatch(keeper->rules[rule].glob, here, 0) == 0;
}

/* Of the rules for this queue the first whose home the message has not been at.  False: none, or it cannot be told yet. */
static bool choose(struct pti_route_keeper *keeper, const char *here, const struct ptq_msg *msg, size_t *ret_rule)
{
    const uint8_t *own = pti_node_own_id(keeper->server->node);
    bool found = false, unknown = false;

    pthread_mutex_lock(&keeper->mutex);
    for (size_t i = 0; i < keeper->rule_count && !found && !unknown; i++) {
        const struct home *home = &keeper->homes[keeper->rules[i].home];
        if (!fits(keeper, i, here))
            continue;
        unknown = !home->known;
        if (unknown || memcmp(home->id, own, PTI_PATH_NODE) == 0 || pti_path_holds(msg, home->id))
            continue;
        *ret_rule = i;
        found = true;
    }
    pthread_mutex_unlock(&keeper->mutex);
    return found;
}

/* ---- what a mover asks ---- */

static void tell(struct carried *carried, bool *told, const char *event, const char *why, size_t size)
{
    if (*told)
        return;
    *told = true;
    pti_server_log(carried->keeper->server, PTQ_BRIDGE_WARNING, "component=route event=%s queue=%s to=%s size=%zu why=\"%s\"", event,
                   carried->here, carried->keeper->rules[carried->rule].to, size, why);
}

static struct headers *new_headers(struct carried *carried, const struct ptq_msg *msg)
{
    struct headers *headers = malloc(sizeof *headers);

    if (headers == NULL)
        return NULL;
    headers->msg = msg;
    HASH_ADD_PTR(carried->headers, msg, headers);
    return headers;
}

static void free_headers(struct carried *carried, const struct ptq_msg *msg)
{
    struct headers *headers;

    HASH_FIND_PTR(carried->headers, &msg, headers);
    if (headers == NULL)
        return;
    HASH_DEL(carried->headers, headers);
    free(headers);
}

static enum pti_move_verdict look(void *context, const struct ptq_msg *msg, struct pti_put *put)
{
    struct carried *carried = context;
    struct pti_route_keeper *keeper = carried->keeper;
    size_t rule;

    if (pti_load_relaxed(&carried->refused) != PTQ_OK || !choose(keeper, carried->here, msg, &rule) || rule != carried->rule)
        return PTI_MOVE_LEAVE;
    if (msg->size > carried->room.item_size) {
        tell(carried, &carried->told_large, "stays", "a message is larger than the queue there takes", msg->size);
        return PTI_MOVE_LEAVE;
    }
    if (msg->size > PTI_WIRE_PLACED_BYTES) { /* it has a key, by which its home gathers it before it is put */
        tell(carried, &carried->told_large, "stays", "a message is larger than 60 MiB, the most that is carried: open the queue from there",
             msg->size);
        return PTI_MOVE_LEAVE;
    }
    struct headers *headers = new_headers(carried, msg);
    if (headers == NULL)
        return PTI_MOVE_LEAVE;
    if (!pti_path_extend(msg, pti_node_own_id(keeper->server->node), pti_headers_room(&carried->room, msg->size), headers->bytes,
                         &put->headers)) {
        tell(carried, &carried->told_headers, "stays",
             "its headers and the nodes that it has been at do not fit a message there: make that queue with more header_size", msg->size);
        return PTI_MOVE_LEAVE;
    }
    put->header_bytes = headers->bytes;
    return PTI_MOVE_GO;
}

static void left(void *context, const struct ptq_msg *msg)
{
    free_headers(context, msg);
}

static enum pti_moved moved(void *context, const struct ptq_msg *msg, enum ptq_err code, uint64_t position)
{
    struct carried *carried = context;
    (void)position;

    if (code == PTQ_OK) {
        free_headers(carried, msg);
        pti_fetch_add_seq(&carried->moved, 1);
        pti_fetch_add_seq(&carried->keeper->homes[carried->keeper->rules[carried->rule].home].moved, 1);
    } else {
        pti_store_relaxed(&carried->refused, (int)code); /* only a word: the keeper's thread ends the mover */
    }
    return PTI_MOVED_AGAIN;
}

static void said(void *context, const char *line)
{
    const struct carried *carried = context;

    pti_server_log(carried->keeper->server, PTQ_BRIDGE_INFO, "component=route %s", line);
}

/* ---- the queue there ---- */

/* What is asked of it where it has to be made: as it is here, with room for a path. */
static enum ptq_err read_geometry(ptq_bus *bus, const char *here, struct ptq_queue_options *options, char *spec, size_t spec_size,
                                  struct ptq_error *error)
{
    struct ptq_view_info info;
    ptq_view *view;
    enum ptq_err answer = ptq_view_open(bus, here, error, &view);

    if (answer != PTQ_OK)
        return answer;
    answer = ptq_view_info(view, &info);
    snprintf(spec, spec_size, "%s", ptq_view_spec(view));
    ptq_view_close(view);
    if (answer != PTQ_OK)
        return answer;
    if (info.placed || info.window != 0)
        return pti_error(error, PTQ_EINVAL, "queue '%s' belongs to a pool, whose order would be lost", here);
    uint32_t header_size = info.header_size + PTI_PATH_ROOM;
    *options = (struct ptq_queue_options){.mode = PTQ_CREATE,
                                          .capacity = info.capacity,
                                          .item_size = (uint32_t)info.item_size,
                                          .max_deliveries = info.max_deliveries,
                                          .bytes = info.bytes,
                                          .header_size = header_size < PTQ_HEADERS_MAX ? header_size : PTQ_HEADERS_MAX,
                                          .full = info.full,
                                          .stamps = info.stamps,
                                          .ttl_ms = info.ttl_ms,
                                          .expired_to_dead = info.expired_to_dead,
                                          .lease_ms = info.lease_ms,
                                          .max_dead = info.max_dead,
                                          .spec = spec};
    return PTQ_OK;
}

/* Makes it where it is missing, and notes its sizes. */
static enum ptq_err prepare_target(struct carried *carried, struct ptq_error *error)
{
    struct pti_route_keeper *keeper = carried->keeper;
    const char *url = keeper->homes[keeper->rules[carried->rule].home].url;
    char spec[PTQ_SPEC_TEXT_MAX + 1];
    struct pti_open open = {.carrier = 3};
    struct ptq_queue_options make;
    struct pti_port *port = NULL;

    enum ptq_err answer = read_geometry(keeper->bus, carried->here, &make, spec, sizeof spec, error);
    if (answer != PTQ_OK)
        return answer;
    open.options.mode = PTQ_ATTACH;
    answer = pti_remote_open(keeper->bus, url, keeper->bus->run, carried->there, &open, error, &port);
    if (answer == PTQ_ENOENT) {
        open.options = make;
        answer = pti_remote_open(keeper->bus, url, keeper->bus->run, carried->there, &open, error, &port);
    }
    if (answer != PTQ_OK)
        return answer;
    carried->room = (struct pti_port){.item_size = port->item_size, .header_size = port->header_size};
    bool placed = port->placed || port->window != 0, remote = port->remote;
    struct ptq_queue_stats stats = {0};
    answer = port->ops->stats(port, &stats);
    port->ops->close(port, pti_deadline(FAREWELL_MS));
    if (answer != PTQ_OK)
        return pti_error(error, answer, "queue '%s' there: %s", carried->there, ptq_strerror(answer));
    if (stats.ended)
        return pti_error(error, PTQ_EENDED, "queue '%s' there was ended", carried->there);
    if (placed)
        return pti_error(error, PTQ_EINVAL, "queue '%s' there belongs to a pool", carried->there);
    return remote ? PTQ_OK : pti_error(error, PTQ_EINVAL, "'%s' is this host", url);
}

/* ---- beginning and ending one ---- */

static ino_t inode_of(ptq_bus *bus, const char *here)
{
    char file[PTI_FILE_NAME_MAX];
    struct stat status;

    pti_segment_file(here, file, sizeof file);
    return fstatat(bus->dirfd, file, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_ino : 0;
}

static enum ptq_err start_mover(struct carried *carried, struct ptq_error *error)
{
    struct pti_route_keeper *keeper = carried->keeper;
    struct pti_move move = {.bus = keeper->bus,
                            .source = carried->here,
                            .url = keeper->homes[keeper->rules[carried->rule].home].url,
                            .run = keeper->bus->run,
                            .name = carried->there,
                            .open = {.options.mode = PTQ_ATTACH, .carrier = 3},
                            .keeps_flag = true,
                            .look = look,
                            .left = left,
                            .moved = moved,
                            .said = said,
                            .context = carried};

    struct pti_mover *mover = NULL;
    enum ptq_err answer = prepare_target(carried, error);
    if (answer == PTQ_OK)
        answer = pti_mover_start(&move, error, &mover);
    pthread_mutex_lock(&keeper->mutex);
    carried->mover = mover;
    pthread_mutex_unlock(&keeper->mutex);
    return answer;
}

/* A failure is told when it is another than before. */
static void try_to_start(struct carried *carried)
{
    struct pti_route_keeper *keeper = carried->keeper;
    const char *to = keeper->rules[carried->rule].to;
    struct ptq_error error = {0};

    carried->try_at = pti_now_ns() + TRY_AGAIN_NS;
    enum ptq_err answer = start_mover(carried, &error);
    if (answer == PTQ_OK)
        pti_server_log(keeper->server, PTQ_BRIDGE_INFO, "component=route event=begin queue=%s to=%s as=%s", carried->here, to, carried->there);
    else if (answer != carried->failure)
        pti_server_log(keeper->server, PTQ_BRIDGE_WARNING, "component=route event=cannot queue=%s to=%s why=\"%s\"", carried->here, to,
                       error.text);
    carried->failure = answer;
}

static void stop_mover(struct carried *carried)
{
    struct pti_mover *mover = carried->mover;
    struct headers *headers, *next;

    if (mover == NULL)
        return;
    pthread_mutex_lock(&carried->keeper->mutex);
    carried->mover = NULL;
    pthread_mutex_unlock(&carried->keeper->mutex);
    pti_mover_stop(mover);
    pti_server_log(carried->keeper->server, PTQ_BRIDGE_INFO, "component=route event=end queue=%s to=%s moved=%llu", carried->here,
                   carried->keeper->rules[carried->rule].to, (unsigned long long)pti_load_seq(&carried->moved));
    HASH_ITER (hh, carried->headers, headers, next) {
        HASH_DEL(carried->headers, headers);
        free(headers);
    }
}

static void end_carried(struct carried *carried)
{
    stop_mover(carried);
    free(carried);
}

/* What was refused for good goes back into its place, until that home's queue can be put into again. */
static void end_refused(struct carried *carried)
{
    enum ptq_err code = (enum ptq_err)pti_load_relaxed(&carried->refused);

    if (carried->mover == NULL || code == PTQ_OK)
        return;
    pti_server_log(carried->keeper->server, PTQ_BRIDGE_WARNING, "component=route event=refused queue=%s to=%s why=\"%s\"", carried->here,
                   carried->keeper->rules[carried->rule].to, ptq_strerror(code));
    stop_mover(carried);
    pti_store_relaxed(&carried->refused, PTQ_OK);
    carried->failure = code;
    carried->try_at = pti_now_ns() + TRY_AGAIN_NS;
}

/* Queues that are gone, or are others of their name by now. */
static void end_those_gone(struct pti_route_keeper *keeper)
{
    struct carried **at = &keeper->carried;

    while (*at != NULL) {
        struct carried *carried = *at;
        if (inode_of(keeper->bus, carried->here) == carried->inode) {
            end_refused(carried);
            at = &carried->next;
            continue;
        }
        pthread_mutex_lock(&keeper->mutex);
        *at = carried->next;
        keeper->carried_count--;
        pthread_mutex_unlock(&keeper->mutex);
        end_carried(carried);
    }
}

/* ---- looking ---- */

/* Nothing is carried there yet; said once. */
static void tell_silence(struct pti_route_keeper *keeper, struct home *home, const char *why)
{
    if (!home->known && !home->told)
        pti_server_log(keeper->server, PTQ_BRIDGE_WARNING, "component=route event=waiting url=%s why=\"%s\"", home->url, why);
    home->told = true;
}

static void ask_for_id(struct pti_route_keeper *keeper, struct home *home)
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
    const struct home *home = &keeper->homes[keeper->rules[rule].home];

    if (!home->known || memcmp(home->id, pti_node_own_id(keeper->server->node), PTI_PATH_NODE) == 0)
        return false;
    for (size_t i = 0; i < rule; i++) {
        const struct home *other = &keeper->homes[keeper->rules[i].home];
        if (fits(keeper, i, here) && other->known && memcmp(other->id, home->id, PTI_PATH_NODE) == 0)
            return false;
    }
    return true;
}

static struct carried *find_carried(const struct pti_route_keeper *keeper, size_t rule, const char *here)
{
    struct carried *carried = keeper->carried;

    while (carried != NULL && (carried->rule != rule || strcmp(carried->here, here) != 0))
        carried = carried->next;
    return carried;
}

static struct carried *new_carried(struct pti_route_keeper *keeper, size_t rule, const char *here, const char *there)
{
    struct carried *carried = keeper->carried_count < MOVED_MOST ? calloc(1, sizeof *carried) : NULL;

    if (carried == NULL) {
        if (!keeper->told_many)
            pti_server_log(keeper->server, PTQ_BRIDGE_WARNING, "component=route event=cannot queue=%s to=%s why=\"%d are carried, which is the most\"",
                           here, keeper->rules[rule].to, MOVED_MOST);
        keeper->told_many = true;
        return NULL;
    }
    carried->keeper = keeper;
    carried->rule = rule;
    carried->inode = inode_of(keeper->bus, here);
    strcpy(carried->here, here);
    strcpy(carried->there, there);
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
        if (!fits(keeper, i, here) || !pti_routes_carry(&keeper->server->routes, here, there) || !leads_elsewhere(keeper, i, here))
            continue;
        struct carried *carried = find_carried(keeper, i, here);
        if (carried == NULL)
            carried = new_carried(keeper, i, here, there);
        if (carried != NULL && carried->mover == NULL && pti_now_ns() >= carried->try_at)
            try_to_start(carried);
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
        end_those_gone(keeper);
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

static enum ptq_err read_rule(const struct ptq_bridge_options *options, const char *text, bool far, struct rule *rule, char url[256])
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
    struct rule rule;
    char url[256];

    for (size_t i = 0; i < options->move_count && answer == PTQ_OK; i++)
        answer = read_rule(options, options->moves[i], far, &rule, url);
    return answer;
}

static enum ptq_err add_rule(struct pti_route_keeper *keeper, const struct ptq_bridge_options *options, const char *text)
{
    struct rule *rule = &keeper->rules[keeper->rule_count];
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
        struct carried *carried = keeper->carried;
        keeper->carried = carried->next;
        end_carried(carried);
    }
    if (keeper->stop_fd >= 0)
        close(keeper->stop_fd);
    pthread_mutex_destroy(&keeper->mutex);
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
    for (const struct carried *carried = keeper->carried; carried != NULL; carried = carried->next) {
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
