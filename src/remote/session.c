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

struct pti_session *pti_session_new(struct pti_server *server, const struct pti_hello *hello)
{
    unsigned before = HASH_COUNT(server->sessions);
    struct pti_session *session = before < PTI_SESSIONS_MOST ? calloc(1, sizeof *session) : NULL;

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

void pti_session_attach(struct pti_session *session, struct pti_guest *guest)
{
    session->guest = guest;
    guest->session = session;
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
    free(session);
}
