/* clock.c -- what a bridge does because time has passed: pings, silence, grace, deadlines; and how long it may sleep. */
#include "base/time.h"
#include "remote/server.h"

#define DRAIN_LOOK_MS 20
#define LATE_MS 1000 /* a round that comes so much later than it was to: we did not run */

static void mind_guest(struct pti_guest *guest, int64_t now)
{
    if (guest->doomed)
        return;
    if (guest->farewell) {
        if (pti_link_is_drained(guest->link) || now >= guest->farewell_until)
            pti_guest_doom(guest, guest->why);
    } else if (guest->held) {
        if (!pti_load_relaxed(&guest->stuffed) && now >= pti_guest_ping_due(guest))
            pti_guest_ping(guest, now);
        pti_guest_read_on(guest, now);
    } else if (guest->session == NULL) {
        if (now - guest->accepted >= PTI_HELLO_MS * PTI_NS_PER_MS)
            pti_guest_refuse(guest, PTQ_EPROTO, "no HELLO came for %d s", PTI_HELLO_MS / 1000);
    } else if (now - guest->heard >= PTI_SILENCE_MS * PTI_NS_PER_MS) {
        pti_guest_doom(guest, "it was silent for 3 s");
    } else if (now >= pti_guest_ping_due(guest)) {
        pti_guest_ping(guest, now);
    }
}

/* Not in each round: a thousand that are idle cost the one that is not nothing. */
void pti_clock_guests(struct pti_server *server, int64_t now)
{
    struct pti_guest *guest;

    if (now < server->guests_at)
        return;
    server->guests_at = PTI_DEADLINE_NEVER;
    TAILQ_FOREACH(guest, &server->guests, listed) {
        mind_guest(guest, now);
        if (!guest->doomed)
            pti_server_mind_guests(server, guest->farewell ? now + PTI_FAREWELL_LOOK_MS * PTI_NS_PER_MS : pti_guest_due(guest));
    }
}

void pti_clock_sessions(struct pti_server *server, int64_t now)
{
    struct pti_session *session, *next;
    int64_t grace = server->options.grace_ms * PTI_NS_PER_MS;

    if (now < server->sessions_at)
        return;
    server->sessions_at = PTI_DEADLINE_NEVER;
    for (session = server->sessions; session != NULL; session = next) {
        next = session->hh.next;
        if (session->guest == NULL && now - session->down_since >= grace)
            pti_session_free(session, "it was silent for longer than its grace");
        else if (session->guest == NULL)
            pti_server_mind_sessions(server, session->down_since + grace);
    }
}

void pti_clock_deadlines(struct pti_server *server, int64_t now)
{
    if (now < server->next_deadline)
        return;
    server->next_deadline = PTI_DEADLINE_NEVER;
    for (struct pti_session *session = server->sessions; session != NULL; session = session->hh.next) {
        for (struct pti_channel *channel = session->channels; channel != NULL; channel = channel->hh.next)
            pti_channel_expire(channel, now);
    }
}

int pti_clock_wait_ms(const struct pti_server *server)
{
    int64_t now = pti_now_ns(), until = server->next_deadline;

    until = server->guests_at < until ? server->guests_at : until;
    until = server->sessions_at < until ? server->sessions_at : until;
    until = server->caps.forget_at < until ? server->caps.forget_at : until;
    if (pti_load_relaxed(&server->via) == NULL && server->via_at < until)
        until = server->via_at;
    if (server->draining && now + DRAIN_LOOK_MS * PTI_NS_PER_MS < until)
        until = now + DRAIN_LOOK_MS * PTI_NS_PER_MS;
    if (until == PTI_DEADLINE_NEVER)
        return -1;
    return until <= now ? 0 : (int)((until - now) / PTI_NS_PER_MS) + 1;
}

void pti_clock_forgive(struct pti_server *server, int64_t now)
{
    struct pti_guest *guest;
    int64_t due = server->round_due;

    if (due == PTI_DEADLINE_NEVER || now - due < LATE_MS * PTI_NS_PER_MS)
        return;
    pti_server_log(server, PTQ_BRIDGE_WARNING, "component=bridge event=stood_still ms=%lld",
                   (long long)((now - due) / PTI_NS_PER_MS));
    TAILQ_FOREACH(guest, &server->guests, listed) {
        guest->heard += now - due;
        guest->accepted += now - due;
    }
    for (struct pti_session *session = server->sessions; session != NULL; session = session->hh.next)
        session->down_since += now - due;
    server->guests_at = server->sessions_at = now;
}
