/* greeting.c -- the link itself, as who dialled it sees it: channel 0, HELLO to good-bye. */
#define HASH_NONFATAL_OOM 1
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/time.h"
#include "remote/access.h"
#include "remote/call.h"

/* Over ipc the kernel says who is who. */
static bool wants_proof(const struct pti_conn *conn)
{
    return conn->can_prove && strncmp(conn->url, "ipc:", 4) != 0;
}

/* A key that cannot be read any more: nothing is named, and no home that has not proven itself is gone on with. */
static void name_ourselves(struct pti_conn *conn, struct pti_hello *hello)
{
    conn->proven = 0;
    conn->parting = false;
    if (!wants_proof(conn) || getrandom(conn->nonce, sizeof conn->nonce, 0) != sizeof conn->nonce ||
        pti_keys_name(conn->keys, NULL, hello->identity) != PTQ_OK)
        return;
    memcpy(hello->nonce, conn->nonce, sizeof hello->nonce);
}

void pti_conn_greet(struct pti_conn *conn)
{
    struct pti_hello hello = {.version_min = 1, .version_max = PTQ_WIRE_VERSION, .limits = pti_limits_own(),
                              .software = "ptq " PTQ_VERSION, .resume = conn->home.incarnation != 0,
                              .attempt = ++conn->greetings, .generation = conn->home.generation};

    memcpy(hello.session, conn->session, sizeof hello.session);
    memcpy(hello.node, conn->node, sizeof hello.node);
    name_ourselves(conn, &hello);
    conn->said_size = pti_hello_pack(&hello, conn->said, sizeof conn->said);
    (void)!pti_outbox_push_copy(&conn->outbox, &conn->outbox.control, PTI_FRAME_HELLO, 0, 0, conn->said, conn->said_size);
}

static void note_reason(struct pti_conn *conn, enum ptq_err code, const char *text)
{
    snprintf(conn->reason, sizeof conn->reason, "%s", text);
    conn->refusal = code;
}

/* Says why, and leaves it to the home to close the link: so it is known on both sides. */
static enum ptq_err part(struct pti_conn *conn, const char *why)
{
    struct pti_goaway goaway = {.drain_ms = 0};
    uint8_t bytes[PTI_CONTROL_BYTES];

    snprintf(goaway.reason, sizeof goaway.reason, "%.400s", why);
    note_reason(conn, PTQ_EPERM, goaway.reason);
    (void)!pti_outbox_push_copy(&conn->outbox, &conn->outbox.control, PTI_FRAME_GOAWAY, 0, 0, bytes,
                                pti_goaway_pack(&goaway, bytes, sizeof bytes));
    conn->parting = true;
    return PTQ_OK;
}

static bool make_proofs(struct pti_conn *conn, const struct pti_key *own, const struct pti_challenge *challenge,
                        uint8_t home[PTI_PROOF_BYTES], uint8_t far[PTI_PROOF_BYTES])
{
    struct pti_scene scene = {.home = challenge->identity, .far = own->name, .home_nonce = challenge->nonce, .far_nonce = conn->nonce,
                              .version = challenge->version, .hello = conn->said, .hello_size = conn->said_size};
    uint8_t key[PTI_KEY_BYTES];
    bool good = pti_proof_derive(own->secret, challenge->identity, key) && pti_proof_make(key, PTI_PROVER_HOME, &scene, home) &&
                pti_proof_make(key, PTI_PROVER_FAR, &scene, far);

    pti_wipe(key, sizeof key);
    return good;
}

/* Law: the home proves itself first; to whom it has not, nothing is proven. */
static enum ptq_err answer_challenge(struct pti_conn *conn, const struct pti_challenge *challenge, const struct pti_key *own)
{
    uint8_t home[PTI_PROOF_BYTES] = {0}, far[PTI_PROOF_BYTES] = {0}, bytes[PTI_CONTROL_BYTES];
    char why[400];

    if (conn->expected[0] != '\0' && strcmp(conn->expected, challenge->identity) != 0) {
        snprintf(why, sizeof why, "it is '%s' that answers there, and '%s' is meant to: look at the name of the peer and at its address",
                 challenge->identity, conn->expected);
        return part(conn, why);
    }
    if (!make_proofs(conn, own, challenge, home, far))
        return part(conn, "no memory for a proof");
    if (!pti_proof_equal(home, challenge->proof)) {
        snprintf(why, sizeof why, "it calls itself '%s', and does not prove to have the key of '%s' for that: both need keys of one ptqbridge keygen",
                 challenge->identity, own->name);
        return part(conn, why);
    }
    conn->proven = challenge->version;
    (void)!pti_outbox_push_copy(&conn->outbox, &conn->outbox.control, PTI_FRAME_PROOF, 0, 0, bytes,
                                pti_proof_pack(far, bytes, sizeof bytes));
    return PTQ_OK;
}

static enum ptq_err read_challenge(struct pti_conn *conn, const struct pti_frame *frame, const char **ret_reason)
{
    struct pti_challenge challenge;
    struct ptq_error error = {0};
    struct pti_key own;

    if (conn->state != PTI_CONN_GREETING || conn->proven != 0 || !wants_proof(conn) || frame->version != PTI_HELLO_VERSION ||
        pti_challenge_unpack(frame->payload, frame->length, &challenge) != PTQ_OK || challenge.version < 1 ||
        challenge.version > PTQ_WIRE_VERSION)
        return pti_refuse(ret_reason, "the home's challenge makes no sense");
    if (conn->parting)
        return PTQ_OK;
    if (pti_keys_own(conn->keys, &error, &own) != PTQ_OK)
        return part(conn, error.text);
    enum ptq_err answer = answer_challenge(conn, &challenge, &own);
    pti_wipe(&own, sizeof own);
    return answer;
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
    if (conn->parting)
        return PTQ_OK;
    if (wants_proof(conn) && conn->proven != hello.version) {
        conn->outbox.version = (uint8_t)hello.version;
        return part(conn, "it proves no key, and PTQ_KEYS asks for one: give its ptqbridge --keys, or use another address for it");
    }
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
        if (!conn->parting)
            note_reason(conn, PTQ_OK, goaway.reason);
        return PTQ_OK;
    }
    if (pti_error_unpack(frame->payload, frame->length, &error) != PTQ_OK)
        return pti_refuse(ret_reason, "an ERROR makes no sense");
    if (!conn->parting)
        note_reason(conn, error.code, error.text);
    return PTQ_OK;
}

enum ptq_err pti_conn_read_control(struct pti_conn *conn, struct pti_link *link, const struct pti_frame *frame,
                                   const char **ret_reason)
{
    if ((frame->flags & PTI_FRAME_MORE) != 0)
        return pti_refuse(ret_reason, "a control frame came in pieces");
    if (pti_access_is_tls(conn->url) && !pti_link_is_verified(link))
        return pti_refuse(ret_reason, "the home's certificate was not verified");
    switch (frame->type) {
    case PTI_FRAME_HELLO:
        return read_hello(conn, link, frame, ret_reason);
    case PTI_FRAME_CHALLENGE:
        return read_challenge(conn, frame, ret_reason);
    case PTI_FRAME_PING:
        return read_ping(conn, frame, ret_reason);
    case PTI_FRAME_GOAWAY:
    case PTI_FRAME_ERROR:
        return read_farewell(conn, frame, ret_reason);
    default:
        return pti_refuse(ret_reason, "a control frame is of a type that this version does not know");
    }
}
