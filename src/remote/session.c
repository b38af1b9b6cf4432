/* session.c -- conversations at the home: found again by id, kept for the grace, ended with all they hold. */
#define HASH_NONFATAL_OOM 1
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/time.h"
#include "remote/server.h"

struct pti_session *pti_session_find(struct pti_server *server, const uint8_t id[PTI_SESSION_BYTES])
{
    struct pti_session *session;

    HASH_FIND(hh, server->sessions, id, PTI_SESSION_BYTES, session);
    return session;
}

static struct pti_session *make_session(struct pti_server *server, const struct pti_hello *hello)
{
    unsigned before = HASH_COUNT(server->sessions);
    struct pti_session *session = calloc(1, sizeof *session);

    if (session == NULL)
        return NULL;
    if (getrandom(&session->generation, sizeof session->generation, 0) != sizeof session->generation) {
        free(session);
        return NULL;
    }
    session->generation |= 1; /* never 0 */
    session->server = server;
    memcpy(session->id, hello->session, sizeof session->id);
    snprintf(session->node, sizeof session->node, "%s", hello->node);
    session->number = ++server->session_count_ever;
    session->down_since = pti_now_ns();
    HASH_ADD(hh, server->sessions, id, sizeof session->id, session);
    if (HASH_COUNT(server->sessions) == before) {
        free(session);
        return NULL;
    }
    return session;
}

/* Its link broke, and it has nothing: the one that has been so for the longest makes room. */
static void end_an_empty_one(struct pti_server *server, const struct pti_party *peer)
{
    struct pti_session *session, *oldest = NULL;

    for (session = server->sessions; session != NULL; session = session->hh.next) {
        bool may_go = session->guest == NULL && session->channels == NULL && session->peer == peer;
        if (may_go && (oldest == NULL || session->down_since < oldest->down_since))
            oldest = session;
    }
    if (oldest != NULL)
        pti_session_free(oldest, "it was down and had no queue open, and its peer began another");
}

struct pti_session *pti_session_new(struct pti_guest *guest, const struct pti_hello *hello, char *why, size_t size)
{
    struct pti_server *server = guest->server;

    snprintf(why, size, "no memory for a session");
    if (pti_caps_left(server, guest->peer, PTI_CAP_SESSIONS) == 0)
        end_an_empty_one(server, guest->peer);
    if (!pti_caps_take(server, guest->peer, PTI_CAP_SESSIONS, 1, why, size))
        return NULL;
    struct pti_session *session = make_session(server, hello);
    if (session == NULL) {
        pti_caps_give(server, guest->peer, PTI_CAP_SESSIONS, 1);
        return NULL;
    }
    session->peer = guest->peer;
    session->peer->holders++;
    return session;
}

void pti_session_attach(struct pti_session *session, struct pti_guest *guest)
{
    session->guest = guest;
    guest->session = session;
    pti_guest_greeted(guest);
    pti_caps_move(session, guest->peer);
    pti_server_mind_guests(session->server, pti_guest_due(guest));
}

/* Answers that wait are not said: their requests come again over the next link, and are answered from what is kept. */
void pti_session_detach(struct pti_session *session)
{
    struct pti_channel *channel, *next;

    if (session->guest == NULL)
        return;
    for (channel = session->channels; channel != NULL; channel = next) {
        next = channel->hh.next;
        pti_outbox_clear(&session->guest->outbox, &channel->lane);
        pti_gather_clear(channel);
        channel->watched[0] = channel->watched[1] = false;
    }
    session->guest->session = NULL;
    session->guest = NULL;
    session->down_since = pti_now_ns();
    pti_server_mind_sessions(session->server, session->down_since + session->server->options.grace_ms * PTI_NS_PER_MS);
}

void pti_session_free(struct pti_session *session, const char *why)
{
    unsigned channels = HASH_COUNT(session->channels), leases = 0;

    for (const struct pti_channel *channel = session->channels; channel != NULL; channel = channel->hh.next)
        leases += HASH_COUNT(channel->leases);
    pti_server_log(session->server, leases > 0 ? PTQ_BRIDGE_WARNING : PTQ_BRIDGE_INFO,
                   "component=session event=end session=%llu why=\"%s\" channels=%u leases_returned=%u",
                   (unsigned long long)session->number, why, channels, leases);
    while (session->channels != NULL)
        pti_channel_free(session->channels);
    if (session->guest != NULL)
        session->guest->session = NULL;
    HASH_DELETE(hh, session->server->sessions, session);
    pti_caps_give(session->server, session->peer, PTI_CAP_SESSIONS, 1);
    pti_caps_drop(session->server, session->peer);
    free(session);
}
