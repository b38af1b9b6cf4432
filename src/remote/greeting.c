/* greeting.c -- the link itself, as who dialled it sees it: channel 0, HELLO to good-bye. */
#define HASH_NONFATAL_OOM 1
#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "remote/call.h"

void pti_conn_greet(struct pti_conn *conn)
{
    struct pti_hello hello = {.version_min = 1, .version_max = PTQ_WIRE_VERSION, .limits = pti_limits_own(),
                              .software = "ptq " PTQ_VERSION, .resume = conn->home.incarnation != 0,
                              .attempt = ++conn->greetings, .generation = conn->home.generation};
    uint8_t bytes[PTI_CONTROL_BYTES];

    memcpy(hello.session, conn->session, sizeof hello.session);
    memcpy(hello.node, conn->node, sizeof hello.node);
    size_t size = pti_hello_pack(&hello, bytes, sizeof bytes);
    (void)!pti_outbox_push_copy(&conn->outbox, &conn->outbox.control, PTI_FRAME_HELLO, 0, 0, bytes, size);
}

static void note_reason(struct pti_conn *conn, enum ptq_err code, const char *text)
{
    snprintf(conn->reason, sizeof conn->reason, "%s", text);
    conn->refusal = code;
}

static void start_over(struct pti_conn *conn)
{
    struct pti_remote *remote, *next;

    conn->epoch++;
    for (remote = conn->remotes; remote != NULL; remote = next) {
        next = remote->hh.next;
        pti_remote_restart(remote);
    }
}

static void close_orphans(struct pti_conn *conn)
{
    for (size_t i = 0; i < conn->orphan_count; i++)
        (void)!pti_outbox_push_empty(&conn->outbox, conn->orphans[i], PTI_FRAME_CLOSE);
    conn->orphan_count = 0;
}

static void go_up(struct pti_conn *conn)
{
    struct pti_remote *remote, *next;

    conn->state = PTI_CONN_UP;
    conn->refusal = PTQ_OK;
    conn->up_since = pti_now_ns();
    close_orphans(conn);
    for (remote = conn->remotes; remote != NULL; remote = next) {
        next = remote->hh.next;
        if (remote->bare || (remote->opened_epoch == conn->epoch && remote->state == PTI_REMOTE_OPEN)) {
            remote->state = PTI_REMOTE_OPEN;
            pti_remote_resume(remote);
        } else if (remote->state != PTI_REMOTE_FAILED) {
            pti_conn_open_channel(conn, remote);
        }
    }
}

/* We offered no such version: a home that is newer, and does not know how to say so. */
static enum ptq_err refuse_version(struct pti_conn *conn, const struct pti_hello *hello, const char **ret_reason)
{
    snprintf(conn->misfit, sizeof conn->misfit, "wire version %u is spoken there, 1 to %u here; update the older side",
             hello->version, PTQ_WIRE_VERSION);
    *ret_reason = conn->misfit;
    return PTQ_EVERSION;
}

static enum ptq_err read_hello(struct pti_conn *conn, struct pti_link *link, const struct pti_frame *frame,
                               const char **ret_reason)
{
    struct pti_hello hello;

    if (conn->state != PTI_CONN_GREETING || pti_hello_unpack(frame->payload, frame->length, &hello) != PTQ_OK)
        return pti_refuse(ret_reason, "the home's greeting makes no sense");
    if (hello.version > PTQ_WIRE_VERSION)
        return refuse_version(conn, &hello, ret_reason);
    if (hello.version < 1 || frame->version != PTI_HELLO_VERSION ||
        memcmp(hello.session, conn->session, sizeof conn->session) != 0)
        return pti_refuse(ret_reason, "the home's greeting is not for us");
    bool again = conn->home.incarnation != 0;
    conn->home = hello;
    conn->outbox.version = (uint8_t)hello.version;
    if (hello.limits.frame_bytes < PTI_WIRE_PIECE_BYTES)
        conn->outbox.piece_bytes = hello.limits.frame_bytes;
    pti_link_set_cap(link, PTI_WIRE_FRAME_BYTES);
    if (!again || !hello.known)
        start_over(conn);
    go_up(conn);
    return PTQ_OK;
}

static enum ptq_err read_ping(struct pti_conn *conn, const struct pti_frame *frame, const char **ret_reason)
{
    uint64_t stamp;

    if (pti_ping_unpack(frame->payload, frame->length, &stamp) != PTQ_OK)
        return pti_refuse(ret_reason, "a PING makes no sense");
    if ((frame->flags & PTI_FRAME_REPLY) != 0) {
        conn->rtt_ns = (uint64_t)pti_now_ns() - stamp;
        conn->echoed = (int64_t)stamp;
    } else {
        (void)!pti_outbox_push_copy(&conn->outbox, &conn->outbox.control, PTI_FRAME_PING, PTI_FRAME_REPLY, 0,
                                    frame->payload, frame->length);
    }
    return PTQ_OK;
}

static enum ptq_err read_farewell(struct pti_conn *conn, const struct pti_frame *frame, const char **ret_reason)
{
    struct pti_error_message error;
    struct pti_goaway goaway;

    if (frame->type == PTI_FRAME_GOAWAY) {
        if (pti_goaway_unpack(frame->payload, frame->length, &goaway) != PTQ_OK)
            return pti_refuse(ret_reason, "a GOAWAY makes no sense");
        conn->leaving = true;
        note_reason(conn, PTQ_OK, goaway.reason);
        return PTQ_OK;
    }
    if (pti_error_unpack(frame->payload, frame->length, &error) != PTQ_OK)
        return pti_refuse(ret_reason, "an ERROR makes no sense");
    note_reason(conn, error.code, error.text);
    return PTQ_OK;
}

enum ptq_err pti_conn_read_control(struct pti_conn *conn, struct pti_link *link, const struct pti_frame *frame,
                                   const char **ret_reason)
{
    if ((frame->flags & PTI_FRAME_MORE) != 0)
        return pti_refuse(ret_reason, "a control frame came in pieces");
    switch (frame->type) {
    case PTI_FRAME_HELLO:
        return read_hello(conn, link, frame, ret_reason);
    case PTI_FRAME_PING:
        return read_ping(conn, frame, ret_reason);
    case PTI_FRAME_GOAWAY:
    case PTI_FRAME_ERROR:
        return read_farewell(conn, frame, ret_reason);
    default:
        return pti_refuse(ret_reason, "a control frame is of a type that this version does not know");
    }
}
