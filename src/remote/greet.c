/* greet.c -- HELLO at the home: who is it, is he let in, and which session does he go on with?
 *
 *      HELLO {who, nonce} -> CHALLENGE {home, nonce, proof} -> PROOF -> HELLO
 *
 * Where there are no keys, and over ipc, the second and third are left out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <ptq/version.h>

#include "remote/proof.h"
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
    pti_link_settle(guest->link);
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

/* ---- a session ---- */

static uint32_t agree(const struct pti_hello *hello)
{
    return hello->version_max < PTQ_WIRE_VERSION ? hello->version_max : PTQ_WIRE_VERSION;
}

/* Law: a session is whose it was made by, whoever knows its id. */
static struct pti_session *find_session(struct pti_guest *guest, const struct pti_hello *hello, bool *ret_known)
{
    struct pti_server *server = guest->server;
    struct pti_session *session = pti_session_find(server, hello->session);
    char why[200];

    *ret_known = false;
    if (session != NULL && strcmp(session->identity, guest->identity) != 0) {
        pti_guest_turn_away(guest, guest->identity, "the session that is to be gone on with is somebody else's");
        return NULL;
    }
    if (session != NULL && is_stale(session, hello)) {
        pti_guest_refuse(guest, PTQ_EUNREACHABLE, "this greeting is older than another of its session");
        return NULL;
    }
    *ret_known = session != NULL && is_known(session, hello);
    if (session != NULL && !*ret_known) {
        take_over(session);
        pti_session_free(session, "it began again");
    }
    if (!*ret_known)
        session = pti_session_new(guest, hello, why, sizeof why);
    if (session == NULL)
        pti_guest_send_off(guest, why);
    else
        memcpy(session->identity, guest->identity, sizeof session->identity);
    return session;
}

/* Whoever it is may come in.  mark: of his key, or NULL. */
static void welcome(struct pti_guest *guest, const struct pti_hello *hello, const uint8_t *mark)
{
    struct pti_server *server = guest->server;
    bool known;

    if (guest->identity[0] != '\0' && !pti_caps_identify(guest, guest->identity))
        return;
    struct pti_session *session = find_session(guest, hello, &known);

    if (session == NULL)
        return;
    pti_step(PTI_STEP_SESSION_MADE);
    take_over(session);
    session->attempt = hello->attempt;
    if (mark != NULL)
        memcpy(session->key_mark, mark, sizeof session->key_mark);
    pti_session_attach(session, guest);
    session->request_bytes = hello->limits.request_bytes < PTI_WIRE_REQUEST_BYTES ? hello->limits.request_bytes
                                                                                  : PTI_WIRE_REQUEST_BYTES;
    answer_hello(guest, hello, agree(hello), known);
    pti_server_log(server, PTQ_BRIDGE_INFO,
                   "component=session event=up session=%llu peer=%s identity=\"%s\" node=\"%s\" known=%s software=\"%s\"",
                   (unsigned long long)session->number, guest->name, session->identity, session->node, known ? "yes" : "no",
                   hello->software);
}

/* ---- who is it? ---- */

/* HELLO was said, and challenged. */
struct pti_proving {
    struct pti_hello hello;
    uint8_t expected[PTI_PROOF_BYTES]; /* what only who has the key can say; of no use to anybody else, nor later */
    uint8_t mark[PTI_PROOF_BYTES];
};

const char *pti_guest_claim(const struct pti_guest *guest, const uint8_t **ret_mark)
{
    if (guest->proving == NULL)
        return NULL;
    *ret_mark = guest->proving->mark;
    return guest->proving->hello.identity;
}

bool pti_guest_may_come(struct pti_guest *guest)
{
    if (guest->server->bus->insecure || pti_link_is_tls(guest->link) || guest->server->key_name[0] != '\0' || pti_link_is_near(guest->link))
        return true;
    pti_guest_turn_away(guest, "", "a plain link from beyond the loopback is not allowed here");
    return false;
}

/* The home's own proof, and what the other side's has to be. */
static bool make_proofs(const struct pti_server *server, const struct pti_frame *frame, const struct pti_hello *hello, const struct pti_key *key,
                        struct pti_challenge *challenge, uint8_t far[PTI_PROOF_BYTES])
{
    struct pti_scene scene = {.home = server->key_name, .far = hello->identity, .home_nonce = challenge->nonce, .far_nonce = hello->nonce,
                              .version = challenge->version, .hello = frame->payload, .hello_size = frame->length};

    return pti_proof_make(key->secret, PTI_PROVER_HOME, &scene, challenge->proof) &&
           pti_proof_make(key->secret, PTI_PROVER_FAR, &scene, far);
}

static void say_challenge(struct pti_guest *guest, const struct pti_challenge *challenge)
{
    uint8_t bytes[PTI_CONTROL_BYTES];

    pti_guest_push(guest, NULL, PTI_FRAME_CHALLENGE, 0, 0, bytes, pti_challenge_pack(challenge, bytes, sizeof bytes));
}

static void challenge_guest(struct pti_guest *guest, const struct pti_frame *frame, const struct pti_hello *hello)
{
    struct pti_server *server = guest->server;
    struct pti_challenge challenge = {.version = agree(hello)};
    struct pti_proving *proving = calloc(1, sizeof *proving);
    struct ptq_error error = {0};
    struct pti_key key;

    if (proving == NULL || getrandom(challenge.nonce, sizeof challenge.nonce, 0) != sizeof challenge.nonce) {
        free(proving);
        pti_guest_doom(guest, "no memory for a challenge");
        return;
    }
    enum ptq_err answer = pti_keys_peer(server->bus->keys, hello->identity, server->key_name, &error, &key);
    if (answer != PTQ_OK) {
        free(proving);
        pti_server_log(server, PTQ_BRIDGE_DEBUG, "component=access event=no_key identity=%s why=\"%s\"", hello->identity, error.text);
        pti_guest_turn_away(guest, hello->identity, "'%s' is not known to '%s'%s", hello->identity, server->key_name,
                            answer == PTQ_ENOENT ? ": its key is not among the peers there (ptqbridge keygen adds it)"
                                                 : ": its key there cannot be used, see the log of its ptqbridge with --verbose");
        return;
    }
    bool good = make_proofs(server, frame, hello, &key, &challenge, proving->expected) && pti_proof_mark(key.secret, proving->mark);
    pti_wipe(&key, sizeof key);
    if (!good) {
        free(proving);
        pti_guest_doom(guest, "no memory for a challenge");
        return;
    }
    snprintf(challenge.identity, sizeof challenge.identity, "%s", server->key_name);
    proving->hello = *hello;
    guest->proving = proving;
    say_challenge(guest, &challenge);
}

/* Law: who somebody is is never taken from what he says, but from what he proves or what the kernel says of him. */
static void find_out(struct pti_guest *guest, const struct pti_frame *frame, const struct pti_hello *hello)
{
    struct pti_server *server = guest->server;
    uint64_t uid;

    if (pti_link_is_tls(guest->link) && !pti_link_is_verified(guest->link)) {
        pti_guest_turn_away(guest, "", "the certificate of the other side was not verified");
    } else if (pti_link_uid(guest->link, &uid)) {
        snprintf(guest->identity, sizeof guest->identity, "uid:%llu", (unsigned long long)uid);
        welcome(guest, hello, NULL);
    } else if (server->key_name[0] != '\0' && hello->identity[0] == '\0') {
        pti_guest_turn_away(guest, "", "'%s' lets nobody in without a key: use one that ptqbridge keygen made (PTQ_KEYS)", server->key_name);
    } else if (server->key_name[0] != '\0') {
        challenge_guest(guest, frame, hello);
    } else if (hello->identity[0] != '\0') {
        pti_guest_turn_away(guest, hello->identity,
                            "'%s' asks for a proof, and the ptqbridge of '%s' has no keys: give it --keys, or use no PTQ_KEYS for it", hello->identity,
                            server->bus->node);
    } else {
        welcome(guest, hello, NULL);
    }
}

/* Who has somebody's key and not his certificate has stolen one of them. */
static bool fits_certificate(struct pti_guest *guest, const char *identity)
{
    char name[PTI_IDENTITY_BYTES];

    if (!pti_link_certificate_name(guest->link, name, sizeof name) || strcmp(name, identity) == 0)
        return true;
    pti_guest_turn_away(guest, identity, "it proves to be '%s', and has the certificate of '%s'", identity, name);
    return false;
}

/* Or a good-bye of who does not believe us. */
static void read_proof(struct pti_guest *guest, const struct pti_frame *frame)
{
    struct pti_proving *proving = guest->proving;
    struct pti_goaway goaway;
    uint8_t proof[PTI_PROOF_BYTES];

    if (frame->type == PTI_FRAME_GOAWAY && frame->channel == 0 && pti_goaway_unpack(frame->payload, frame->length, &goaway) == PTQ_OK) {
        char text[PTI_WIRE_TEXT_BYTES + 40];
        snprintf(text, sizeof text, "the other side does not go on: %s", goaway.reason);
        pti_guest_note_refusal(guest, proving->hello.identity, "it does not go on", text);
        pti_guest_doom(guest, goaway.reason);
        return;
    }
    if (frame->type != PTI_FRAME_PROOF || frame->version != PTI_HELLO_VERSION || frame->channel != 0 || frame->flags != 0 ||
        pti_proof_unpack(frame->payload, frame->length, proof) != PTQ_OK) {
        pti_guest_refuse(guest, PTQ_EPROTO, "a proof was to come");
        return;
    }
    if (!pti_proof_equal(proof, proving->expected)) {
        pti_guest_turn_away(guest, proving->hello.identity, "it calls itself '%s' and does not prove it", proving->hello.identity);
        return;
    }
    if (!fits_certificate(guest, proving->hello.identity))
        return;
    guest->proving = NULL;
    snprintf(guest->identity, sizeof guest->identity, "%s", proving->hello.identity);
    if (guest->server->draining)
        pti_guest_refuse(guest, PTQ_EUNREACHABLE, "the bridge is going down");
    else
        welcome(guest, &proving->hello, proving->mark);
    free(proving);
}

/* ---- the first frames ---- */

static void read_hello(struct pti_guest *guest, const struct pti_frame *frame)
{
    struct pti_hello hello;

    if (frame->type != PTI_FRAME_HELLO || frame->version != PTI_HELLO_VERSION || frame->channel != 0 || frame->flags != 0 ||
        pti_hello_unpack(frame->payload, frame->length, &hello) != PTQ_OK) {
        pti_guest_refuse(guest, PTQ_EPROTO, "the first frame is no HELLO that makes sense");
        return;
    }
    pti_step(PTI_STEP_HELLO_READ);
    if (hello.version_min > PTQ_WIRE_VERSION || hello.version_max < 1)
        pti_guest_refuse(guest, PTQ_EVERSION, "wire versions %u to %u are spoken there, 1 to %u here; update the older side",
                         hello.version_min, hello.version_max, PTQ_WIRE_VERSION);
    else if (guest->server->draining)
        pti_guest_refuse(guest, PTQ_EUNREACHABLE, "the bridge is going down");
    else
        find_out(guest, frame, &hello);
}

void pti_guest_greet(struct pti_guest *guest, const struct pti_frame *frame)
{
    if (guest->proving != NULL)
        read_proof(guest, frame);
    else
        read_hello(guest, frame);
}
