/* greet.c -- HELLO at the home: is the link let in, and which session does it go on with? */
#include <stdio.h>
#include <string.h>

#include <ptq/version.h>

#include "base/time.h"
#include "remote/server.h"
#include "remote/step.h"
#include "remote/token.h"

static void answer_hello(struct pti_guest *guest, const struct pti_hello *asked, uint32_t version, bool known)
{
    struct pti_server *server = guest->server;
    uint64_t generation = version >= 2 ? guest->session->generation : 0;
    struct pti_hello hello = {.version_min = 1, .version_max = PTQ_WIRE_VERSION, .version = version, .known = known,
                              .limits = pti_limits_own(), .software = "ptq " PTQ_VERSION,
                              .grace_ms = (uint32_t)server->options.grace_ms, .incarnation = server->incarnation,
                              .generation = generation};
    uint8_t bytes[PTI_CONTROL_BYTES];

    memcpy(hello.session, asked->session, sizeof hello.session);
    snprintf(hello.node, sizeof hello.node, "%s", server->bus->node);
    snprintf(hello.run, sizeof hello.run, "%s", server->bus->run);
    if (version >= 2)
        pti_token_tell(server, &hello);
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

/* Held up on the way, while the far side has dialled again: its link is dead, the session is not. */
static bool is_stale(const struct pti_session *session, const struct pti_hello *hello)
{
    return hello->attempt != 0 && hello->attempt <= session->attempt;
}

/* Law: a session is gone on with only by who knows this very one; a late greeting may have made another of the same id. */
static bool is_known(const struct pti_session *session, const struct pti_hello *hello)
{
    return hello->attempt != 0 ? hello->generation == session->generation : hello->resume;
}

void pti_guest_greet(struct pti_guest *guest, const struct pti_frame *frame)
{
    struct pti_server *server = guest->server;
    struct pti_hello hello;

    if (frame->type != PTI_FRAME_HELLO || frame->version != PTI_HELLO_VERSION || frame->channel != 0 || frame->flags != 0 ||
        pti_hello_unpack(frame->payload, frame->length, &hello) != PTQ_OK) {
        pti_guest_refuse(guest, PTQ_EPROTO, "the first frame is no HELLO that makes sense");
        return;
    }
    pti_step(PTI_STEP_HELLO_READ);
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
    if (session != NULL && is_stale(session, &hello)) {
        pti_guest_refuse(guest, PTQ_EUNREACHABLE, "this greeting is older than another of its session");
        return;
    }
    bool known = session != NULL && is_known(session, &hello);
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
    pti_step(PTI_STEP_SESSION_MADE);
    take_over(session);
    session->attempt = hello.attempt;
    pti_session_attach(session, guest);
    session->request_bytes = hello.limits.request_bytes < PTI_WIRE_REQUEST_BYTES ? hello.limits.request_bytes
                                                                                 : PTI_WIRE_REQUEST_BYTES;
    answer_hello(guest, &hello, hello.version_max < PTQ_WIRE_VERSION ? hello.version_max : PTQ_WIRE_VERSION, known);
    pti_server_log(server, PTQ_BRIDGE_INFO, "component=session event=up session=%llu peer=%s node=\"%s\" known=%s software=\"%s\"",
                   (unsigned long long)session->number, guest->name, session->node, known ? "yes" : "no", hello.software);
}
