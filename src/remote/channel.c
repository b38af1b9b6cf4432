/* channel.c -- one open queue of a session: opened as any local process opens it, watched while somebody waits. */
#define HASH_NONFATAL_OOM 1
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "os/event.h"
#include "remote/server.h"
#include "remote/share.h"
#include "remote/step.h"

#define CLAIM_LOOK_MS 100 /* a claim is tried again so often, beside when the descriptor says so */

struct pti_channel *pti_channel_find(struct pti_session *session, uint32_t id)
{
    struct pti_channel *channel;

    HASH_FIND(hh, session->channels, &id, sizeof id, channel);
    return channel;
}

struct pti_lease *pti_channel_lease(struct pti_channel *channel, uint64_t position, uint32_t sub,
                                    uint32_t deliveries)
{
    struct pti_lease *lease, key = {.key = {position, sub | (uint64_t)deliveries << 32}};

    HASH_FIND(hh, channel->leases, &key.key, sizeof key.key, lease);
    return lease;
}

/* ---- opening ---- */

/* Room for puts that wait: less where many wait already. */
static uint64_t credit_now(const struct pti_session *session)
{
    const struct pti_caps *caps = &session->server->caps;
    bool ample = caps->used[PTI_CAP_BYTES] < caps->most[PTI_CAP_BYTES][PTI_ALL] / 2 &&
                 session->peer->used[PTI_CAP_BYTES] < caps->most[PTI_CAP_BYTES][PTI_PEER] / 2;

    return ample ? PTI_WIRE_CREDIT_BYTES : PTI_WIRE_PIECE_BYTES;
}

void pti_channel_grant(struct pti_channel *channel)
{
    uint64_t credit = credit_now(channel->session);
    uint8_t bytes[32];

    if (credit == channel->credit || channel->session->guest == NULL)
        return;
    channel->credit = credit;
    pti_guest_push(channel->session->guest, &channel->lane, PTI_FRAME_CREDIT, 0, 0, bytes,
                   pti_credit_pack(credit, bytes, sizeof bytes));
}

static void answer_opened(struct pti_channel *channel)
{
    const struct pti_port *port = channel->port;
    struct pti_server *server = channel->session->server;

    channel->credit = credit_now(channel->session);
    struct pti_opened opened = {.capacity = port->capacity, .window = port->window, .item_size = port->item_size,
                                .header_size = port->header_size, .max_deliveries = port->max_deliveries, .placed = port->placed,
                                .credit_bytes = channel->credit};
    uint8_t bytes[PTI_CONTROL_BYTES];

    snprintf(opened.run, sizeof opened.run, "%s", channel->run);
    snprintf(opened.node, sizeof opened.node, "%s", server->bus->node);
    snprintf(opened.spec, sizeof opened.spec, "%s", port->spec);
    memcpy(opened.id, port->id, sizeof opened.id);
    if (channel->stream != NULL) {
        opened.streams = true;
        opened.stream_known = channel->stream_known;
        opened.stream_floor = channel->received;
    }
    pti_guest_push(channel->session->guest, &channel->lane, PTI_FRAME_OPEN, PTI_FRAME_REPLY, 0, bytes,
                  pti_opened_pack(&opened, bytes, sizeof bytes));
}

static void to_open(const struct pti_open_message *asked, struct ptq_error *error, struct pti_open *open)
{
    *open = (struct pti_open){
        .placed = asked->placed, .letters = asked->letters, .window = asked->window, .start = asked->start};
    open->options = (struct ptq_queue_options){
        .mode = (enum ptq_open_mode)asked->mode, .capacity = asked->capacity, .item_size = asked->item_size,
        .max_deliveries = asked->max_deliveries, .max_endpoints = asked->max_endpoints, .file_mode = asked->file_mode,
        .prefault = asked->prefault, .ephemeral = asked->ephemeral, .bytes = asked->bytes, .header_size = asked->header_size,
        .full = (enum ptq_full)asked->full, .stamps = (enum ptq_stamps)asked->stamps, .ttl_ms = asked->ttl_ms,
        .expired_to_dead = asked->expired_to_dead, .lease_ms = asked->lease_ms, .max_dead = asked->max_dead,
        .last_producer_ends = asked->last_producer_ends, .flags = asked->roles & (PTQ_PRODUCER | PTQ_CONSUMER), .spec = asked->spec, .error = error};
}

/* Nobody takes from a queue what he could not be sent. */
static enum ptq_err too_large(const char *name, uint32_t item_size, uint32_t most, struct ptq_error *error)
{
    return pti_error(error, PTQ_EMSGSIZE,
                     "queue '%s' has item_size %u, and a link carries messages of at most %u: use it on its own host, or make it "
                     "with a smaller item_size",
                     name, item_size, most);
}

/* Placed messages are put together before they are placed. */
static uint32_t largest_item(const struct pti_channel *channel, bool placed)
{
    if (channel->session->guest->outbox.version < 2)
        return PTI_WIRE_ITEM_BYTES_1;
    return placed ? PTI_WIRE_PLACED_BYTES : PTI_WIRE_ITEM_BYTES;
}

/* Whether there is such a queue or not: what is not exported is not told of. */
static enum ptq_err not_exported(const struct pti_server *server, const struct pti_open_message *asked, struct ptq_error *error)
{
    return pti_error(error, asked->mode == PTQ_ATTACH ? PTQ_ENOENT : PTQ_EPERM,
                     "%s '%s' is not served by the ptqbridge of '%s': its --export, --deny and --rename leave it out",
                     pti_thing_word(asked->thing), asked->name, server->bus->node);
}

/* Law: decided before anything is looked for, so that who may nothing learns nothing.  Whoever may not make it may use it. */
static enum ptq_err check_rights(struct pti_session *session, const char *here, struct pti_open_message *asked, struct ptq_error *error,
                                 unsigned *ret_rights)
{
    unsigned rights = pti_session_rights(session, here);

    *ret_rights = rights;
    if (rights == 0)
        return pti_session_deny(session, asked->thing, asked->name, 0, error);
    if ((asked->roles & PTQ_PRODUCER) != 0 && (rights & PTQ_RIGHT_PUT) == 0)
        return pti_session_deny(session, asked->thing, asked->name, PTQ_RIGHT_PUT, error);
    if ((asked->roles & PTQ_CONSUMER) != 0 && (rights & PTQ_RIGHT_GET) == 0)
        return pti_session_deny(session, asked->thing, asked->name, PTQ_RIGHT_GET, error);
    if ((rights & PTQ_RIGHT_ADMIN) != 0 || asked->mode == PTQ_ATTACH)
        return PTQ_OK;
    if (asked->mode == PTQ_CREATE)
        return pti_session_deny(session, asked->thing, asked->name, PTQ_RIGHT_ADMIN, error);
    asked->mode = PTQ_ATTACH;
    return PTQ_OK;
}

/* Law: who asks again for what he made himself, of whichever bridge, is let in. */
static enum ptq_err open_port(struct pti_session *session, const struct pti_open_message *given, struct ptq_error *error,
                              struct pti_channel *channel)
{
    static const uint8_t nobody[PTI_STREAM_BYTES];
    struct pti_server *server = session->server;
    struct pti_open_message once = *given, *asked = &once;
    struct pti_open open;
    char here[PTQ_NAME_MAX + 1], row[PTQ_NAME_MAX + 8];
    bool served = pti_routes_serve(&server->routes, asked->name, here);
    enum ptq_err may = served ? check_rights(session, here, asked, error, &channel->rights) : PTQ_OK;

    if (may != PTQ_OK)
        return may;
    ptq_bus *bus = pti_server_bus(server, asked->run, served && asked->mode != PTQ_ATTACH);
    if (bus == NULL)
        return pti_error(error, PTQ_ENOENT, "run '%s' is not served at '%s'", asked->run, server->bus->node);
    uint32_t most = largest_item(channel, asked->placed);
    if (asked->item_size > most)
        return too_large(asked->name, asked->item_size, most, error);
    to_open(asked, error, &open);
    open.maker = memcmp(asked->stream, nobody, sizeof nobody) != 0 ? asked->stream : NULL;
    snprintf(channel->name, sizeof channel->name, "%s", asked->name);
    snprintf(channel->run, sizeof channel->run, "%s", bus->run);
    snprintf(channel->here, sizeof channel->here, "%s", here);
    snprintf(error->text, sizeof error->text, "%s '%s'", pti_thing_word(asked->thing), asked->name);
    if (!served)
        return not_exported(server, given, error);
    enum ptq_err err = asked->thing != 0 ? pti_share_home_open(bus, here, asked, error, channel)
                                         : pti_carriers.open_local(bus, here, &open, error, &channel->port);
    if (err == PTQ_ENOENT && given->mode != asked->mode)
        return pti_session_deny(session, asked->thing, asked->name, PTQ_RIGHT_ADMIN, error);
    if (err == PTQ_ENOENT)
        (void)!pti_error(error, err, "%s '%s' does not exist at '%s' (run '%s'); create it, or look at the name and the run",
                         pti_thing_word(asked->thing), asked->name, server->bus->node, bus->run);
    if (err == PTQ_OK && channel->port->item_size > largest_item(channel, channel->port->placed)) {
        err = too_large(asked->name, channel->port->item_size, largest_item(channel, channel->port->placed), error);
        channel->port->ops->close(channel->port, PTI_DEADLINE_NOW);
        channel->port = NULL;
    }
    if (err != PTQ_OK)
        return err;
    snprintf(row, sizeof row, "%s", here);
    if (asked->thing != 0)
        pti_share_home_row(channel, here, row, sizeof row);
    return pti_channel_bind(channel, asked, row, pti_server_streams(server, bus), error);
}

static struct pti_channel *make_channel(struct pti_session *session, uint32_t id)
{
    unsigned before = HASH_COUNT(session->channels);
    struct pti_channel *channel = calloc(1, sizeof *channel);

    if (channel == NULL)
        return NULL;
    channel->session = session;
    channel->id = id;
    channel->fds[0] = channel->fds[1] = -1;
    TAILQ_INIT(&channel->requests);
    TAILQ_INIT(&channel->takes);
    TAILQ_INIT(&channel->puts);
    TAILQ_INIT(&channel->claims);
    TAILQ_INIT(&channel->starved);
    pti_lane_init(&channel->lane, id, UINT64_MAX); /* credit is for puts; answers need none */
    HASH_ADD(hh, session->channels, id, sizeof channel->id, channel);
    if (HASH_COUNT(session->channels) == before) {
        free(channel);
        return NULL;
    }
    return channel;
}

static struct pti_channel *new_channel(struct pti_session *session, uint32_t id, char *why, size_t size)
{
    if (HASH_COUNT(session->channels) >= PTI_WIRE_CHANNELS) {
        snprintf(why, size, "this session has as many queues open as a session may");
        return NULL;
    }
    if (!pti_caps_take(session->server, session->peer, PTI_CAP_QUEUES, 1, why, size))
        return NULL;
    struct pti_channel *channel = make_channel(session, id);
    if (channel == NULL) {
        pti_caps_give(session->server, session->peer, PTI_CAP_QUEUES, 1);
        snprintf(why, size, "no memory for another queue");
    }
    return channel;
}

static bool is_same_queue(const struct pti_channel *channel, const struct pti_open_message *asked)
{
    return strcmp(channel->name, asked->name) == 0 && (asked->run[0] == '\0' || strcmp(channel->run, asked->run) == 0) &&
           channel->port->letters == asked->letters && channel->thing == asked->thing;
}

void pti_channel_open(struct pti_session *session, const struct pti_frame *frame)
{
    struct pti_open_message asked;
    struct ptq_error error = {0};

    if ((frame->flags & PTI_FRAME_MORE) != 0 || pti_open_unpack(frame->payload, frame->length, &asked) != PTQ_OK) {
        pti_guest_refuse(session->guest, PTQ_EPROTO, "an OPEN makes no sense");
        return;
    }
    struct pti_channel *channel = pti_channel_find(session, frame->channel);
    if (channel != NULL && !is_same_queue(channel, &asked)) {
        pti_guest_refuse(session->guest, PTQ_EPROTO, "channel %u is open for another queue", frame->channel);
        return;
    }
    if (channel != NULL) { /* the answer was lost with a link */
        answer_opened(channel);
        return;
    }
    channel = new_channel(session, frame->channel, error.text, sizeof error.text);
    if (channel == NULL) {
        pti_guest_answer_error(session->guest, frame->channel, 0, PTQ_EAGAIN, error.text);
        return;
    }
    enum ptq_err answer = open_port(session, &asked, &error, channel);
    if (answer != PTQ_OK) {
        pti_channel_free(channel);
        pti_guest_answer_error(session->guest, frame->channel, 0, answer, error.text);
        return;
    }
    pti_step(PTI_STEP_OPENED);
    pti_server_log(session->server, PTQ_BRIDGE_DEBUG, "component=channel event=open session=%llu channel=%u queue=%s",
                   (unsigned long long)session->number, channel->id, channel->name);
    answer_opened(channel);
}

/* ---- end ---- */

static void free_requests(struct pti_channel *channel)
{
    struct pti_request *request;

    while ((request = TAILQ_FIRST(&channel->requests)) != NULL)
        pti_request_free(request);
}

static void forget_leases(struct pti_channel *channel)
{
    struct pti_lease *lease, *next;

    pti_caps_give(channel->session->server, channel->session->peer, PTI_CAP_LEASES, HASH_COUNT(channel->leases));
    for (lease = channel->leases; lease != NULL; lease = next) {
        next = lease->hh.next;
        HASH_DELETE(hh, channel->leases, lease);
        free(lease);
    }
}

/* Law: what is being said is forgotten before the messages that it points to. */
void pti_channel_free(struct pti_channel *channel)
{
    struct pti_session *session = channel->session;
    struct pti_server *server = session->server;

    if (channel->due)
        TAILQ_REMOVE(&server->due, channel, due_listed);
    for (int side = 0; side < 2; side++) {
        if (channel->fds[side] >= 0)
            pti_poll_remove(server->poll_fd, channel->fds[side]);
    }
    free_requests(channel); /* each takes out what it has to say */
    pti_channel_unbind(channel, channel->closed);
    if (session->guest != NULL)
        pti_lane_fini(&session->guest->outbox, &channel->lane);
    else
        free(channel->lane.results);
    forget_leases(channel);
    pti_gather_clear(channel);
    if (channel->port != NULL)
        channel->port->ops->close(channel->port, PTI_DEADLINE_NOW); /* leases go back, flagged */
    HASH_DELETE(hh, session->channels, channel);
    pti_caps_give(server, session->peer, PTI_CAP_QUEUES, 1);
    pti_caps_give(server, session->peer, PTI_CAP_REQUESTS, channel->request_room);
    free(channel);
}

/* ---- waiting for the queue ---- */

/* Two words in one: a descriptor's tag is the channel, its lowest bit the side. */
static uint64_t tag_of(struct pti_channel *channel, enum ptq_side side)
{
    return (uint64_t)(uintptr_t)channel | side;
}

static void set_watch(struct pti_channel *channel, enum ptq_side side, bool on)
{
    int poll = channel->session->server->poll_fd;

    if (channel->armed[side] != on && pti_poll_watch(poll, channel->fds[side], tag_of(channel, side), on) == 0)
        channel->armed[side] = on;
}

static bool get_descriptor(struct pti_channel *channel, enum ptq_side side)
{
    int fd;

    if (channel->fds[side] >= 0)
        return true;
    if (channel->port->ops->fd(channel->port, side, &fd) != PTQ_OK ||
        pti_poll_add(channel->session->server->poll_fd, fd, tag_of(channel, side), false) != 0)
        return false;
    channel->fds[side] = fd;
    return true;
}

void pti_channel_arm(struct pti_channel *channel, enum ptq_side side)
{
    if (get_descriptor(channel, side))
        set_watch(channel, side, true);
    else /* no descriptors left: by the clock, then */
        pti_server_remind(channel->session->server, pti_now_ns() + CLAIM_LOOK_MS * PTI_NS_PER_MS);
}

void pti_channel_mark(struct pti_channel *channel, enum ptq_side side)
{
    channel->ready[side] = true;
    if (!channel->due)
        TAILQ_INSERT_TAIL(&channel->session->server->due, channel, due_listed);
    channel->due = true;
}

/* In the order in which they asked, until the queue has nothing more.  Of puts, a batch that finds no room lets the
 * single ones behind it try, unless they are carried in order. */
static void try_all(struct pti_channel *channel, struct pti_requests *waiting)
{
    struct pti_request *request = TAILQ_FIRST(waiting), *next;
    bool ordered = pti_channel_is_ordered(channel);

    for (; request != NULL; request = next) {
        next = TAILQ_NEXT(request, waiting);
        bool chained = request->chained;
        enum ptq_err answer = pti_request_try(request); /* may free it */
        if (answer == PTQ_EMPTY || (answer == PTQ_FULL && (ordered || chained)))
            return;
    }
}

static void notify(struct pti_channel *channel, enum ptq_side side)
{
    uint8_t bytes[PTI_WATCH_BYTES];

    if (!channel->watched[side] || channel->session->guest == NULL)
        return;
    channel->watched[side] = false;
    pti_write_side(bytes, side);
    pti_guest_push(channel->session->guest, &channel->lane, PTI_FRAME_NOTIFY, 0, 0, bytes, sizeof bytes);
}

static bool somebody_waits(const struct pti_channel *channel, enum ptq_side side)
{
    if (side == PTQ_SIDE_PUT)
        return !TAILQ_EMPTY(&channel->puts);
    return !TAILQ_EMPTY(&channel->takes) || !TAILQ_EMPTY(&channel->claims);
}

static void look_at_side(struct pti_channel *channel, enum ptq_side side)
{
    if (!channel->ready[side])
        return;
    channel->ready[side] = false;
    if (side == PTQ_SIDE_GET) {
        pti_share_home_drain(channel);
        try_all(channel, &channel->claims);
        try_all(channel, &channel->takes);
    } else {
        try_all(channel, &channel->puts);
    }
    notify(channel, side);
    if (channel->fds[side] >= 0)
        set_watch(channel, side, somebody_waits(channel, side));
}

void pti_channel_look(struct pti_channel *channel)
{
    look_at_side(channel, PTQ_SIDE_GET);
    look_at_side(channel, PTQ_SIDE_PUT);
}

/* ---- deadlines ---- */

static void expire_list(struct pti_channel *channel, struct pti_requests *waiting, int64_t now)
{
    struct pti_request *request = TAILQ_FIRST(waiting), *next;

    for (; request != NULL; request = next) {
        next = TAILQ_NEXT(request, waiting);
        if (request->deadline <= now)
            pti_request_finish(request, PTQ_TIMEDOUT, 0);
        else if (request->deadline != PTI_DEADLINE_NEVER)
            pti_server_remind(channel->session->server, request->deadline);
    }
}

void pti_channel_expire(struct pti_channel *channel, int64_t now)
{
    expire_list(channel, &channel->takes, now);
    expire_list(channel, &channel->puts, now);
    expire_list(channel, &channel->claims, now);
    expire_list(channel, &channel->starved, now);
    for (int side = 0; side < 2; side++) {
        bool by_clock = !channel->armed[side] || (side == PTQ_SIDE_GET && !TAILQ_EMPTY(&channel->claims));
        if (!by_clock || !somebody_waits(channel, (enum ptq_side)side))
            continue;
        pti_channel_mark(channel, (enum ptq_side)side);
        pti_server_remind(channel->session->server, now + CLAIM_LOOK_MS * PTI_NS_PER_MS);
    }
}

void pti_channel_release(struct pti_channel *channel)
{
    struct pti_requests *const lists[] = {&channel->takes, &channel->puts, &channel->claims, &channel->starved};
    struct pti_request *request;

    for (size_t i = 0; i < 4; i++) {
        while ((request = TAILQ_FIRST(lists[i])) != NULL)
            pti_request_finish(request, PTI_RESULT_RETRY, 0);
    }
}
