/* guest.c -- a link of somebody else's: its events, its greeting, its control frames, its end. */
#define HASH_NONFATAL_OOM 1
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ptq/version.h>

#include "base/time.h"
#include "os/event.h"
#include "remote/server.h"

#define FAREWELL_MS 500

/* ---- events, on nng's threads ---- */

/* Law: a guest is freed only by the server's thread, after its link: so an event may use it. */
static void post(struct pti_guest *guest, enum pti_word word)
{
    struct pti_server *server = guest->server;

    pthread_mutex_lock(&server->inbox_mutex);
    bool first = TAILQ_EMPTY(&server->inbox);
    if (guest->words == 0)
        TAILQ_INSERT_TAIL(&server->inbox, guest, posted);
    guest->words |= word;
    pthread_mutex_unlock(&server->inbox_mutex);
    if (first)
        pti_event_set(server->wake_fd);
}

static void on_up(void *context, struct pti_link *link)
{
    (void)context;
    (void)link;
}

static void on_readable(void *context, struct pti_link *link)
{
    (void)link;
    post(context, PTI_WORD_READABLE);
}

static size_t on_fill(void *context, uint8_t *buffer, size_t room)
{
    struct pti_guest *guest = context;

    return pti_outbox_fill(&guest->outbox, buffer, room);
}

static void on_down(void *context, struct pti_link *link)
{
    (void)link;
    post(context, PTI_WORD_DOWN);
}

static const struct pti_link_events link_events = {on_up, on_readable, on_fill, on_down};

/* ---- life ---- */

/* On a thread of nng's, while the listener accepts. */
struct pti_guest *pti_guest_new(struct pti_server *server, struct pti_link *link)
{
    struct pti_guest *guest = calloc(1, sizeof *guest);

    if (guest == NULL)
        return NULL;
    guest->server = server;
    guest->link = link;
    guest->accepted = guest->heard = guest->pinged = pti_now_ns();
    pti_outbox_init(&guest->outbox, 1, PTI_WIRE_PIECE_BYTES);
    pti_link_peer(link, guest->name, sizeof guest->name);
    post(guest, PTI_WORD_ACCEPTED);
    return guest;
}

void pti_guest_start(struct pti_guest *guest)
{
    TAILQ_INSERT_TAIL(&guest->server->guests, guest, listed);
    pti_link_start(guest->link, &link_events, guest);
}

void pti_guest_free(struct pti_guest *guest)
{
    struct pti_server *server = guest->server;

    pti_link_free(guest->link); /* after this nobody posts it */
    pthread_mutex_lock(&server->inbox_mutex);
    if (guest->words != 0)
        TAILQ_REMOVE(&server->inbox, guest, posted);
    pthread_mutex_unlock(&server->inbox_mutex);
    if (guest->session != NULL) {
        pti_server_log(server, PTQ_BRIDGE_INFO, "component=session event=down session=%llu peer=%s why=\"%s\"",
                       (unsigned long long)guest->session->number, guest->name, guest->why);
        pti_session_detach(guest->session);
    } else {
        pti_server_log(server, PTQ_BRIDGE_INFO, "component=link event=closed peer=%s why=\"%s\"", guest->name,
                       guest->why);
    }
    TAILQ_REMOVE(&server->guests, guest, listed);
    pti_outbox_fini(&guest->outbox);
    free(guest);
    pti_fetch_add_seq(&server->guest_count, -1u);
}

void pti_guest_doom(struct pti_guest *guest, const char *why)
{
    if (!guest->doomed && guest->why[0] == '\0')
        snprintf(guest->why, sizeof guest->why, "%s", why);
    guest->doomed = true;
}

/* ---- saying ---- */

void pti_guest_push(struct pti_guest *guest, struct pti_lane *lane, uint8_t type, uint16_t flags, uint64_t number,
                   const void *bytes, size_t size)
{
    guest->dirty = true;
    if (!pti_outbox_push_copy(&guest->outbox, lane != NULL ? lane : &guest->outbox.control, type, flags, number, bytes,
                              size))
        pti_guest_doom(guest, "no memory for an answer");
}

void pti_guest_refuse(struct pti_guest *guest, enum ptq_err code, const char *format, ...)
{
    struct pti_error_message error = {.code = code};
    uint8_t bytes[PTI_CONTROL_BYTES];
    va_list arguments;

    if (guest->farewell)
        return;
    va_start(arguments, format);
    vsnprintf(error.text, sizeof error.text, format, arguments);
    va_end(arguments);
    snprintf(guest->why, sizeof guest->why, "%.199s", error.text);
    pti_server_log(guest->server, PTQ_BRIDGE_WARNING, "component=link event=refused peer=%s code=%s why=\"%s\"",
                   guest->name, ptq_err_name(code), error.text);
    pti_guest_push(guest, NULL, PTI_FRAME_ERROR, 0, 0, bytes, pti_error_pack(&error, bytes, sizeof bytes));
    guest->farewell = true;
    guest->farewell_until = pti_now_ns() + FAREWELL_MS * PTI_NS_PER_MS;
}

void pti_guest_ping(struct pti_guest *guest, int64_t now)
{
    uint8_t bytes[32];

    guest->pinged = now;
    pti_guest_push(guest, NULL, PTI_FRAME_PING, 0, 0, bytes, pti_ping_pack((uint64_t)now, bytes, sizeof bytes));
}

/* ---- HELLO ---- */

static void answer_hello(struct pti_guest *guest, const struct pti_hello *asked, uint32_t version, bool known)
{
    struct pti_server *server = guest->server;
    struct pti_hello hello = {.version_min = 1, .version_max = PTQ_WIRE_VERSION, .version = version, .known = known,
                              .limits = pti_limits_own(), .software = "ptq " PTQ_VERSION,
                              .grace_ms = (uint32_t)server->options.grace_ms, .incarnation = server->incarnation};
    uint8_t bytes[PTI_CONTROL_BYTES];

    memcpy(hello.session, asked->session, sizeof hello.session);
    snprintf(hello.node, sizeof hello.node, "%s", server->bus->node);
    snprintf(hello.run, sizeof hello.run, "%s", server->bus->run);
    guest->outbox.version = (uint8_t)version;
    if (asked->limits.frame_bytes < PTI_WIRE_PIECE_BYTES)
        guest->outbox.piece_bytes = asked->limits.frame_bytes;
    pti_link_set_cap(guest->link, PTI_WIRE_FRAME_BYTES);
    pti_guest_push(guest, NULL, PTI_FRAME_HELLO, PTI_FRAME_REPLY, 0, bytes,
                   pti_hello_pack(&hello, bytes, sizeof bytes));
}

/* A session has one link: the newest, for the older one may be dead without having said so. */
static void take_over(struct pti_session *session)
{
    struct pti_guest *old = session->guest;

    if (old == NULL)
        return;
    pti_session_detach(session);
    pti_guest_doom(old, "the session came over a newer link");
}

static void read_hello(struct pti_guest *guest, const struct pti_frame *frame)
{
    struct pti_server *server = guest->server;
    struct pti_hello hello;

    if (frame->type != PTI_FRAME_HELLO || frame->channel != 0 || frame->flags != 0 ||
        pti_hello_unpack(frame->payload, frame->length, &hello) != PTQ_OK) {
        pti_guest_refuse(guest, PTQ_EPROTO, "the first frame is no HELLO that makes sense");
        return;
    }
    if (hello.version_min > PTQ_WIRE_VERSION || hello.version_max < 1) {
        pti_guest_refuse(guest, PTQ_EVERSION,
                         "wire versions %u to %u are spoken there, 1 to %u here; update the older side",
                         hello.version_min, hello.version_max, PTQ_WIRE_VERSION);
        return;
    }
    if (server->draining) {
        pti_guest_refuse(guest, PTQ_EUNREACHABLE, "the bridge is going down");
        return;
    }
    struct pti_session *session = pti_session_find(server, hello.session);
    bool known = session != NULL && hello.resume;
    if (session != NULL && !known) {
        take_over(session);
        pti_session_free(session, "it began again");
    }
    if (!known)
        session = pti_session_new(server, &hello);
    if (session == NULL) {
        pti_guest_refuse(guest, PTQ_EAGAIN, "%d sessions are open here, which is the most", PTI_SESSIONS_MOST);
        return;
    }
    take_over(session);
    pti_session_attach(session, guest);
    session->request_bytes = hello.limits.request_bytes < PTI_WIRE_REQUEST_BYTES ? hello.limits.request_bytes
                                                                                 : PTI_WIRE_REQUEST_BYTES;
    answer_hello(guest, &hello, hello.version_max < PTQ_WIRE_VERSION ? hello.version_max : PTQ_WIRE_VERSION, known);
    pti_server_log(server, PTQ_BRIDGE_INFO, "component=session event=up session=%llu peer=%s known=%s software=\"%s\"",
                   (unsigned long long)session->number, guest->name, known ? "yes" : "no", hello.software);
}

/* ---- frames ---- */

static void read_ping(struct pti_guest *guest, const struct pti_frame *frame)
{
    uint64_t stamp;

    if (pti_ping_unpack(frame->payload, frame->length, &stamp) != PTQ_OK)
        pti_guest_refuse(guest, PTQ_EPROTO, "a PING makes no sense");
    else if ((frame->flags & PTI_FRAME_REPLY) == 0)
        pti_guest_push(guest, NULL, PTI_FRAME_PING, PTI_FRAME_REPLY, 0, frame->payload, frame->length);
}

static void read_control(struct pti_guest *guest, const struct pti_frame *frame)
{
    struct pti_session *session = guest->session;
    struct pti_goaway goaway;

    if (frame->type == PTI_FRAME_PING) {
        read_ping(guest, frame);
    } else if (frame->type == PTI_FRAME_GOAWAY && pti_goaway_unpack(frame->payload, frame->length, &goaway) == PTQ_OK) {
        pti_guest_doom(guest, "the other side said good-bye");
        pti_session_detach(session);
        pti_session_free(session, "closed");
    } else {
        pti_guest_refuse(guest, PTQ_EPROTO, "a control frame of type %u makes no sense", frame->type);
    }
}

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
    snprintf(listing->directory.run, sizeof listing->directory.run, "%s", bus != NULL ? bus->run : "");
    if (ask->name[0] == '\0') {
        if (bus != NULL)
            (void)!ptq_bus_list(bus, list_one, listing);
    } else if (is_served(guest, ask->run, ask->name)) {
        list_one(ask->name, listing);
    }
}

static void answer_directory(struct pti_guest *guest, const struct pti_frame *frame)
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

static void read_frame(struct pti_guest *guest, const struct pti_frame *frame)
{
    const char *reason = "";

    if (guest->session == NULL) {
        read_hello(guest, frame);
    } else if (frame->version != guest->outbox.version) {
        pti_guest_refuse(guest, PTQ_EPROTO, "a frame is of version %u, %u was agreed", frame->version,
                         guest->outbox.version);
    } else if (frame->channel == 0) {
        read_control(guest, frame);
    } else if (frame->type == PTI_FRAME_DIRECTORY) {
        answer_directory(guest, frame);
    } else if (frame->type == PTI_FRAME_OPEN) {
        pti_channel_open(guest->session, frame);
    } else {
        struct pti_channel *channel = pti_channel_find(guest->session, frame->channel);
        if (channel != NULL && pti_serve(channel, frame, &reason) != PTQ_OK)
            pti_guest_refuse(guest, PTQ_EPROTO, "%s", reason);
        else if (channel == NULL && frame->type != PTI_FRAME_CLOSE)
            pti_guest_refuse(guest, PTQ_EPROTO, "channel %u is not open", frame->channel);
    }
}

/* All that has come; then the link reads on, unless it is to end. */
void pti_guest_read(struct pti_guest *guest)
{
    struct pti_frame frame;
    const char *reason = "";
    enum ptq_err answer = PTQ_EMPTY;

    while (!guest->doomed && !guest->farewell && (answer = pti_link_next(guest->link, &frame, &reason)) == PTQ_OK)
        read_frame(guest, &frame);
    if (pti_link_is_lively(guest->link))
        guest->heard = pti_now_ns();
    if (answer == PTQ_EPROTO)
        pti_guest_refuse(guest, PTQ_EPROTO, "%s", reason);
    if (!guest->doomed && !guest->farewell)
        pti_link_resume(guest->link);
}
