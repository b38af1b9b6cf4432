/* guest.c -- a link of somebody else's: its events, its control frames, its end. */
#define HASH_NONFATAL_OOM 1
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "os/event.h"
#include "remote/server.h"
#include "remote/step.h"

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

    size_t size = pti_outbox_fill(&guest->outbox, buffer, room);
    if (size > 0)
        pti_step(PTI_STEP_ANSWER_BEGUN);
    return size;
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

static void count_traffic(struct pti_server *server, const struct pti_guest *guest)
{
    server->traffic.links++;
    server->traffic.frames_in += guest->frames;
    server->traffic.frames_out += guest->outbox.frames;
    server->traffic.bytes_in += guest->bytes;
    server->traffic.bytes_out += guest->outbox.bytes;
}

static void log_end(struct pti_server *server, const struct pti_guest *guest)
{
    char traffic[160], session[64] = "component=link event=closed";

    snprintf(traffic, sizeof traffic, "frames_in=%llu frames_out=%llu bytes_in=%llu bytes_out=%llu",
             (unsigned long long)guest->frames, (unsigned long long)guest->outbox.frames, (unsigned long long)guest->bytes,
             (unsigned long long)guest->outbox.bytes);
    if (guest->session != NULL)
        snprintf(session, sizeof session, "component=session event=down session=%llu",
                 (unsigned long long)guest->session->number);
    pti_server_log(server, guest->known_refusal ? PTQ_BRIDGE_DEBUG : PTQ_BRIDGE_INFO, "%s peer=%s %s why=\"%s\"", session, guest->name, traffic, guest->why);
}

void pti_guest_free(struct pti_guest *guest)
{
    struct pti_server *server = guest->server;

    pti_link_free(guest->link); /* after this nobody posts it */
    pthread_mutex_lock(&server->inbox_mutex);
    if (guest->words != 0)
        TAILQ_REMOVE(&server->inbox, guest, posted);
    pthread_mutex_unlock(&server->inbox_mutex);
    log_end(server, guest);
    if (guest->session != NULL)
        pti_session_detach(guest->session);
    TAILQ_REMOVE(&server->guests, guest, listed);
    count_traffic(server, guest);
    pti_outbox_fini(&guest->outbox);
    free(guest->proving);
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

static void say_farewell(struct pti_guest *guest, enum ptq_err code, const char *text)
{
    struct pti_error_message error = {.code = code};
    uint8_t bytes[PTI_CONTROL_BYTES];

    snprintf(error.text, sizeof error.text, "%.500s", text);
    snprintf(guest->why, sizeof guest->why, "%.199s", text);
    pti_guest_push(guest, NULL, PTI_FRAME_ERROR, 0, 0, bytes, pti_error_pack(&error, bytes, sizeof bytes));
    guest->farewell = true;
    guest->farewell_until = pti_now_ns() + FAREWELL_MS * PTI_NS_PER_MS;
}

void pti_guest_refuse(struct pti_guest *guest, enum ptq_err code, const char *format, ...)
{
    char text[PTI_WIRE_TEXT_BYTES];
    va_list arguments;

    if (guest->farewell)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pti_server_log(guest->server, PTQ_BRIDGE_WARNING, "component=link event=refused peer=%s code=%s why=\"%s\"",
                   guest->name, ptq_err_name(code), text);
    say_farewell(guest, code, text);
}

void pti_guest_note_refusal(struct pti_guest *guest, const char *who, const char *kind, const char *text)
{
    char host[sizeof guest->name];

    snprintf(host, sizeof host, "%s", guest->name);
    if (strrchr(host, ':') != NULL && strncmp(host, "tcp:", 4) == 0) /* each link has a port of its own */
        *strrchr(host, ':') = '\0';
    guest->known_refusal = !pti_refusals_note(guest->server, PTI_REFUSED_LINK, host, who, kind);
    if (!guest->known_refusal)
        pti_server_log(guest->server, PTQ_BRIDGE_WARNING,
                       "component=link event=refused peer=%s identity=\"%s\" code=PTQ_EPERM why=\"%s\" again=\"is counted, not said\"",
                       guest->name, who, text);
}

void pti_guest_turn_away(struct pti_guest *guest, const char *who, const char *format, ...)
{
    char text[PTI_WIRE_TEXT_BYTES];
    va_list arguments;

    if (guest->farewell)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pti_guest_note_refusal(guest, who, format, text);
    say_farewell(guest, PTQ_EPERM, text);
}

void pti_guest_ping(struct pti_guest *guest, int64_t now)
{
    uint8_t bytes[32];

    guest->pinged = now;
    pti_guest_push(guest, NULL, PTI_FRAME_PING, 0, 0, bytes, pti_ping_pack((uint64_t)now, bytes, sizeof bytes));
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

static void read_frame(struct pti_guest *guest, const struct pti_frame *frame)
{
    const char *reason = "";

    if (guest->session == NULL) {
        pti_guest_greet(guest, frame);
    } else if (frame->version != guest->outbox.version) {
        pti_guest_refuse(guest, PTQ_EPROTO, "a frame is of version %u, %u was agreed", frame->version,
                         guest->outbox.version);
    } else if (frame->channel == 0) {
        read_control(guest, frame);
    } else if (frame->type == PTI_FRAME_DIRECTORY) {
        pti_guest_list(guest, frame);
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

static void count_and_read(struct pti_guest *guest, const struct pti_frame *frame)
{
    guest->frames++;
    guest->bytes += PTI_FRAME_HEADER + frame->length;
    read_frame(guest, frame);
}

/* All that has come; then the link reads on, unless it is to end. */
void pti_guest_read(struct pti_guest *guest)
{
    struct pti_frame frame;
    const char *reason = "";
    enum ptq_err answer = PTQ_EMPTY;

    while (!guest->doomed && !guest->farewell && (answer = pti_link_next(guest->link, &frame, &reason)) == PTQ_OK)
        count_and_read(guest, &frame);
    if (pti_link_is_lively(guest->link))
        guest->heard = pti_now_ns();
    if (answer == PTQ_EPROTO)
        pti_guest_refuse(guest, PTQ_EPROTO, "%s", reason);
    if (!guest->doomed && !guest->farewell)
        pti_link_resume(guest->link);
}
