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
#define UNREAD_MOST (UINT64_C(4) << 20) /* copies of answers that it does not read: no more is heard until it does */
#define UNREAD_MS 10000                 /* and for so long */

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
    if (pti_load_relaxed(&guest->stuffed) && pti_outbox_unread(&guest->outbox) < UNREAD_MOST / 2)
        post(guest, PTI_WORD_READ_BY_IT);
    return size;
}

static void on_down(void *context, struct pti_link *link)
{
    (void)link;
    post(context, PTI_WORD_DOWN);
}

static const struct pti_link_events link_events = {on_up, on_readable, on_fill, on_down};

/* ---- life ---- */

/* On a thread of nng's, while the listener accepts; its peer is found by the server's. */
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
    pti_link_origin(link, guest->origin, sizeof guest->origin); /* now: one that has been reset tells no address any more */
    post(guest, PTI_WORD_ACCEPTED);
    return guest;
}

void pti_guest_start(struct pti_guest *guest)
{
    pti_server_mind_guests(guest->server, guest->accepted + PTI_HELLO_MS * PTI_NS_PER_MS);
    pti_link_start(guest->link, &link_events, guest);
}

void pti_guest_touch(struct pti_guest *guest)
{
    if (!guest->touched)
        TAILQ_INSERT_TAIL(&guest->server->touched, guest, touched_listed);
    guest->touched = true;
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
    if (guest->counted)
        log_end(server, guest);
    if (guest->session != NULL)
        pti_session_detach(guest->session);
    TAILQ_REMOVE(&server->guests, guest, listed);
    if (guest->touched)
        TAILQ_REMOVE(&server->touched, guest, touched_listed);
    count_traffic(server, guest);
    pti_guest_greeted(guest);
    if (guest->counted)
        pti_caps_give(server, guest->peer, PTI_CAP_LINKS, 1);
    pti_caps_drop(server, guest->peer);
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
    pti_guest_touch(guest);
}

void pti_guest_answer_error(struct pti_guest *guest, uint32_t channel, uint64_t number, enum ptq_err code, const char *text)
{
    struct pti_error_message error = {.code = code};
    uint8_t bytes[PTI_CONTROL_BYTES];

    snprintf(error.text, sizeof error.text, "%.511s", text);
    size_t size = pti_error_pack(&error, bytes, sizeof bytes);
    if (!pti_outbox_push_answer(&guest->outbox, channel, PTI_FRAME_ERROR, number, bytes, size))
        pti_guest_doom(guest, "no memory for an answer");
    pti_guest_touch(guest);
}

void pti_guest_greeted(struct pti_guest *guest)
{
    if (guest->stranger)
        pti_caps_give(guest->server, guest->peer, PTI_CAP_STRANGERS, 1);
    guest->stranger = false;
}

/* ---- saying ---- */

void pti_guest_push(struct pti_guest *guest, struct pti_lane *lane, uint8_t type, uint16_t flags, uint64_t number,
                   const void *bytes, size_t size)
{
    pti_guest_touch(guest);
    if (!pti_outbox_push_copy(&guest->outbox, lane != NULL ? lane : &guest->outbox.control, type, flags, number, bytes,
                              size))
        pti_guest_doom(guest, "no memory for an answer");
}

static void count_refusal(struct pti_guest *guest, enum ptq_err code)
{
    guest->server->refused[(unsigned)code % PTI_CODES]++;
}

static void say_farewell(struct pti_guest *guest, enum ptq_err code, const char *text)
{
    struct pti_error_message error = {.code = code};
    uint8_t bytes[PTI_CONTROL_BYTES];
    int64_t now = pti_now_ns();

    snprintf(error.text, sizeof error.text, "%.500s", text);
    snprintf(guest->why, sizeof guest->why, "%.199s", text);
    pti_guest_push(guest, NULL, PTI_FRAME_ERROR, 0, 0, bytes, pti_error_pack(&error, bytes, sizeof bytes));
    guest->farewell = true;
    guest->farewell_until = now + FAREWELL_MS * PTI_NS_PER_MS;
    pti_server_mind_guests(guest->server, now + PTI_FAREWELL_LOOK_MS * PTI_NS_PER_MS);
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
    count_refusal(guest, code);
    say_farewell(guest, code, text);
    if (code == PTQ_EPROTO)
        pti_caps_strike(guest->server, guest->peer, pti_now_ns());
}

void pti_guest_note_refusal(struct pti_guest *guest, const char *who, const char *kind, const char *text)
{
    char host[sizeof guest->name];

    snprintf(host, sizeof host, "%s", guest->name);
    if (strrchr(host, ':') != NULL && strstr(host, "tcp://") != NULL) /* each link has a port of its own */
        *strrchr(host, ':') = '\0';
    count_refusal(guest, PTQ_EPERM);
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

void pti_guest_send_off(struct pti_guest *guest, const char *why)
{
    if (guest->farewell)
        return;
    count_refusal(guest, PTQ_EAGAIN);
    say_farewell(guest, PTQ_EAGAIN, why);
}

void pti_guest_ping(struct pti_guest *guest, int64_t now)
{
    uint8_t bytes[32];

    guest->pinged = now;
    pti_guest_push(guest, NULL, PTI_FRAME_PING, 0, 0, bytes, pti_ping_pack((uint64_t)now, bytes, sizeof bytes));
}

/* One that pings us is heard each second, and hears our answers: it is pinged when it is silent, and now and then for the time it
 * takes. */
int64_t pti_guest_ping_due(const struct pti_guest *guest)
{
    int64_t measure = guest->pinged + (guest->rtt_ns > 0 ? PTI_GUEST_MEASURE_MS : PTI_GUEST_PING_MS) * PTI_NS_PER_MS;
    int64_t quiet = (guest->heard > guest->pinged ? guest->heard : guest->pinged) + PTI_GUEST_PING_MS * PTI_NS_PER_MS;

    return quiet < measure ? quiet : measure;
}

/* ---- waiting ---- */

void pti_guest_hold(struct pti_guest *guest, int64_t until)
{
    guest->held = true;
    guest->held_until = until > guest->held_until ? until : guest->held_until;
    pti_server_mind_guests(guest->server, guest->held_until);
}

/* Law: what is kept to be said to it is bounded by what it reads. */
static void hold_if_stuffed(struct pti_guest *guest, int64_t now)
{
    if (pti_outbox_unread(&guest->outbox) < UNREAD_MOST)
        return;
    guest->held = true;
    guest->stuffed_until = now + UNREAD_MS * PTI_NS_PER_MS;
    guest->unread = pti_outbox_unread(&guest->outbox);
    pti_store_seq(&guest->stuffed, true); /* from now on who writes leaves word */
    pti_server_mind_guests(guest->server, now);
}

/* Whoever reads, however slowly, is waited for. */
static void look_at_stuffed(struct pti_guest *guest, int64_t now)
{
    uint64_t unread = pti_outbox_unread(&guest->outbox);

    if (unread < UNREAD_MOST / 2)
        pti_store_relaxed(&guest->stuffed, false);
    if (unread < UNREAD_MOST / 2 || now < guest->stuffed_until)
        return;
    if (unread >= guest->unread)
        pti_guest_doom(guest, "it does not read what it is answered");
    guest->unread = unread;
    guest->stuffed_until = now + UNREAD_MS * PTI_NS_PER_MS;
}

void pti_guest_read_on(struct pti_guest *guest, int64_t now)
{
    if (pti_load_relaxed(&guest->stuffed))
        look_at_stuffed(guest, now);
    if (pti_load_relaxed(&guest->stuffed) || !guest->held || guest->doomed || now < guest->held_until)
        return;
    guest->held = false;
    guest->held_until = 0;
    guest->heard = now;
    pti_guest_read(guest);
}

int64_t pti_guest_due(const struct pti_guest *guest)
{
    int64_t ping = pti_guest_ping_due(guest);

    if (guest->session == NULL)
        return guest->accepted + PTI_HELLO_MS * PTI_NS_PER_MS;
    if (pti_load_relaxed(&guest->stuffed))
        return guest->stuffed_until;
    return guest->held && guest->held_until < ping ? guest->held_until : ping;
}

/* ---- frames ---- */

static void read_ping(struct pti_guest *guest, const struct pti_frame *frame)
{
    uint64_t stamp;

    if (pti_ping_unpack(frame->payload, frame->length, &stamp) != PTQ_OK)
        pti_guest_refuse(guest, PTQ_EPROTO, "a PING makes no sense");
    else if ((frame->flags & PTI_FRAME_REPLY) == 0)
        pti_guest_push(guest, NULL, PTI_FRAME_PING, PTI_FRAME_REPLY, 0, frame->payload, frame->length);
    else if (stamp == (uint64_t)guest->pinged)
        guest->rtt_ns = (uint64_t)(pti_now_ns() - guest->pinged);
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

/* A queue that is open by it was not asked for in vain; opening and closing it without end is bounded by number. */
static bool opens(struct pti_guest *guest, const struct pti_frame *frame)
{
    return frame->type == PTI_FRAME_OPEN && frame->channel != 0 && pti_channel_find(guest->session, frame->channel) == NULL;
}

/* What asks for no message is measured: whoever asks it without end waits. */
static void read_aside(struct pti_guest *guest, const struct pti_frame *frame)
{
    int64_t since = pti_now_ns();
    bool was_shut = opens(guest, frame);

    if (frame->channel == 0)
        read_control(guest, frame);
    else if (frame->type == PTI_FRAME_DIRECTORY)
        pti_guest_list(guest, frame);
    else
        pti_channel_open(guest->session, frame);
    int64_t now = pti_now_ns();
    if (guest->farewell || guest->doomed)
        return;
    if (was_shut && !opens(guest, frame))
        pti_caps_opened(guest, now);
    else
        pti_caps_vain(guest, now - since, now);
    hold_if_stuffed(guest, now);
}

static void read_of_channel(struct pti_guest *guest, const struct pti_frame *frame)
{
    struct pti_channel *channel = pti_channel_find(guest->session, frame->channel);
    const char *reason = "";

    if (channel != NULL && pti_serve(channel, frame, &reason) != PTQ_OK)
        pti_guest_refuse(guest, PTQ_EPROTO, "%s", reason);
    else if (channel == NULL && frame->type != PTI_FRAME_CLOSE)
        pti_guest_refuse(guest, PTQ_EPROTO, "channel %u is not open", frame->channel);
}

static void read_frame(struct pti_guest *guest, const struct pti_frame *frame)
{
    if (guest->session == NULL)
        pti_guest_greet(guest, frame);
    else if (frame->version != guest->outbox.version)
        pti_guest_refuse(guest, PTQ_EPROTO, "a frame is of version %u, %u was agreed", frame->version, guest->outbox.version);
    else if (frame->channel == 0 || frame->type == PTI_FRAME_DIRECTORY || frame->type == PTI_FRAME_OPEN)
        read_aside(guest, frame);
    else
        read_of_channel(guest, frame);
}

static void count_and_read(struct pti_guest *guest, const struct pti_frame *frame)
{
    guest->frames++;
    guest->bytes += PTI_FRAME_HEADER + frame->length;
    read_frame(guest, frame);
}

/* All that has come; then the link reads on, unless it is to end, or to wait. */
void pti_guest_read(struct pti_guest *guest)
{
    struct pti_frame frame;
    const char *reason = "";
    enum ptq_err answer = PTQ_EMPTY;
    uint64_t frames = guest->frames, bytes = guest->bytes;

    while (!guest->doomed && !guest->farewell && !guest->held && (answer = pti_link_next(guest->link, &frame, &reason)) == PTQ_OK)
        count_and_read(guest, &frame);
    if (pti_link_is_lively(guest->link))
        guest->heard = pti_now_ns();
    if (answer == PTQ_EPROTO)
        pti_guest_refuse(guest, PTQ_EPROTO, "%s", reason);
    if (guest->server->caps.meters)
        pti_caps_flow(guest, guest->bytes - bytes, guest->frames - frames, pti_now_ns());
    if (!guest->doomed && !guest->farewell && !guest->held)
        pti_link_resume(guest->link);
}
