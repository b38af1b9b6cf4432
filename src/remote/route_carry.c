/* route_carry.c -- one queue carried to one home: what goes, with which headers, into which queue there.  Laws: route.c. */
#include "remote/route_own.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <ptq/metrics.h>

#include "bus/node.h"
#include "queue/header.h"
#include "remote/remote.h"

#define TRY_AGAIN_NS (5 * PTI_NS_PER_S)  /* to open a target that could not be */
#define FAREWELL_MS 500

/* ---- which home ---- */

bool pti_route_fits(const struct pti_route_keeper *keeper, size_t rule, const char *here)
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
        const struct pti_route_home *home = &keeper->homes[keeper->rules[i].home];
        if (!pti_route_fits(keeper, i, here))
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

static void tell(struct pti_carried *carried, bool *told, const char *event, const char *why, size_t size)
{
    if (*told)
        return;
    *told = true;
    pti_server_log(carried->keeper->server, PTQ_BRIDGE_WARNING, "component=route event=%s queue=%s to=%s size=%zu why=\"%s\"", event,
                   carried->here, carried->keeper->rules[carried->rule].to, size, why);
}

static struct pti_route_headers *new_headers(struct pti_carried *carried, const struct ptq_msg *msg)
{
    struct pti_route_headers *headers = malloc(sizeof *headers);

    if (headers == NULL)
        return NULL;
    headers->msg = msg;
    HASH_ADD_PTR(carried->headers, msg, headers);
    return headers;
}

static void free_headers(struct pti_carried *carried, const struct ptq_msg *msg)
{
    struct pti_route_headers *headers;

    HASH_FIND_PTR(carried->headers, &msg, headers);
    if (headers == NULL)
        return;
    HASH_DEL(carried->headers, headers);
    free(headers);
}

static enum pti_move_verdict look(void *context, const struct ptq_msg *msg, struct pti_put *put)
{
    struct pti_carried *carried = context;
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
    struct pti_route_headers *headers = new_headers(carried, msg);
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
    struct pti_carried *carried = context;
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
    const struct pti_carried *carried = context;

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
static enum ptq_err prepare_target(struct pti_carried *carried, struct ptq_error *error)
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

ino_t pti_route_inode(ptq_bus *bus, const char *here)
{
    char file[PTI_FILE_NAME_MAX];
    struct stat status;

    pti_segment_file(here, file, sizeof file);
    return fstatat(bus->dirfd, file, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_ino : 0;
}

/* That of the same queue to another home, or a new one. */
static struct pti_route_turn *take_part_in_turn(const struct pti_route_keeper *keeper, const char *here, ino_t inode)
{
    const struct pti_carried *other = keeper->carried;

    while (other != NULL && (other->inode != inode || strcmp(other->here, here) != 0))
        other = other->next;
    struct pti_route_turn *turn = other != NULL ? other->turn : calloc(1, sizeof *turn);
    if (turn != NULL && turn->users++ == 0)
        pthread_mutex_init(&turn->mutex, NULL);
    return turn;
}

static void leave_turn(struct pti_route_turn *turn)
{
    if (--turn->users > 0)
        return;
    pthread_mutex_destroy(&turn->mutex);
    free(turn);
}

struct pti_carried *pti_carried_new(struct pti_route_keeper *keeper, size_t rule, const char *here, const char *there)
{
    struct pti_carried *carried = calloc(1, sizeof *carried);

    if (carried == NULL)
        return NULL;
    carried->keeper = keeper;
    carried->rule = rule;
    carried->inode = pti_route_inode(keeper->bus, here);
    strcpy(carried->here, here);
    strcpy(carried->there, there);
    carried->turn = take_part_in_turn(keeper, here, carried->inode);
    if (carried->turn == NULL) {
        free(carried);
        return NULL;
    }
    return carried;
}

static enum ptq_err start_mover(struct pti_carried *carried, struct ptq_error *error)
{
    struct pti_route_keeper *keeper = carried->keeper;
    struct pti_move move = {.bus = keeper->bus,
                            .source = carried->here,
                            .url = keeper->homes[keeper->rules[carried->rule].home].url,
                            .run = keeper->bus->run,
                            .name = carried->there,
                            .open = {.options.mode = PTQ_ATTACH, .carrier = 3},
                            .turn = &carried->turn->mutex,
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
void pti_carried_try(struct pti_carried *carried)
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

static void stop_mover(struct pti_carried *carried)
{
    struct pti_mover *mover = carried->mover;
    struct pti_route_headers *headers, *next;

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

void pti_carried_free(struct pti_carried *carried)
{
    stop_mover(carried);
    leave_turn(carried->turn);
    free(carried);
}

/* What was refused for good goes back into its place, until that home's queue can be put into again. */
static void end_refused(struct pti_carried *carried)
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
void pti_carried_end_gone(struct pti_route_keeper *keeper)
{
    struct pti_carried **at = &keeper->carried;

    while (*at != NULL) {
        struct pti_carried *carried = *at;
        if (pti_route_inode(keeper->bus, carried->here) == carried->inode) {
            end_refused(carried);
            at = &carried->next;
            continue;
        }
        pthread_mutex_lock(&keeper->mutex);
        *at = carried->next;
        keeper->carried_count--;
        pthread_mutex_unlock(&keeper->mutex);
        pti_carried_free(carried);
    }
}
