/* figures.c -- the sheet that is filled between two rounds of the server. */
#include "remote/figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "os/event.h"
#include "os/futex.h"
#include "remote/server.h"

enum { IDLE = 0, ASKED, FILLING, FILLED };

void pti_figures_init(struct pti_figures_desk *desk)
{
    pthread_mutex_init(&desk->asking, NULL);
    desk->opened = pti_now_ns();
}

void pti_figures_fini(struct pti_figures_desk *desk)
{
    ptq_scrape_close(desk->scrape);
    free(desk->moved);
    pthread_mutex_destroy(&desk->asking);
}

/* ---- what outlives its carriers ---- */

struct pti_moved_told *pti_figures_moved(struct pti_figures_desk *desk, const char *url)
{
    size_t at = 0;

    while (at < desk->moved_count && strcmp(desk->moved[at].url, url) != 0)
        at++;
    if (at < desk->moved_count)
        return &desk->moved[at];
    if (!pti_make_room((void **)&desk->moved, &desk->moved_room, at + 1, sizeof *desk->moved))
        return NULL;
    desk->moved[at] = (struct pti_moved_told){0};
    snprintf(desk->moved[at].url, sizeof desk->moved[at].url, "%s", url);
    desk->moved_count++;
    return &desk->moved[at];
}

void pti_figures_carrier_ended(struct pti_server *server, const char *url, uint64_t moved)
{
    pthread_mutex_lock(&server->parts);
    struct pti_moved_told *row = pti_figures_moved(&server->desk, url);
    if (row != NULL)
        row->before += moved;
    pthread_mutex_unlock(&server->parts);
}

/* ---- by whoever wants to know ---- */

/* Law: the sheet is the asker's again only when the state says so; one that is being filled is waited for, which ends. */
enum ptq_err pti_figures_ask(struct pti_server *server, int timeout_ms, struct pti_figures *sheet)
{
    struct pti_figures_desk *desk = &server->desk;
    int64_t deadline = pti_deadline(timeout_ms);
    uint32_t state;

    desk->sheet = sheet;
    pti_store_seq(&desk->state, ASKED);
    pti_event_set(server->wake_fd);
    while ((state = pti_load_seq(&desk->state)) != FILLED) {
        uint32_t asked = ASKED;
        if (state == ASKED && pti_now_ns() >= deadline && pti_cas(&desk->state, &asked, IDLE))
            return PTQ_TIMEDOUT;
        pti_futex_wait(&desk->state, state, state == ASKED ? deadline : PTI_DEADLINE_NEVER);
    }
    pti_store_seq(&desk->state, IDLE);
    return PTQ_OK;
}

enum ptq_err pti_figures_look(struct pti_server *server, bool lists_sessions, struct pti_figures *ret_sheet)
{
    *ret_sheet = (struct pti_figures){.lists_sessions = lists_sessions};
    pthread_mutex_lock(&server->desk.asking);
    enum ptq_err answer = pti_figures_ask(server, PTI_FIGURES_MS, ret_sheet);
    pthread_mutex_unlock(&server->desk.asking);
    return answer;
}

const char *pti_figures_clean(const char *text, char *buffer, size_t size)
{
    size_t used = 0;

    while (*text != '\0' && used + 1 < size) {
        if (strncmp(text, "://", 3) == 0) {
            size_t host = strcspn(text + 3, "/?'\" ");
            const char *at = memrchr(text + 3, '@', host);
            used += (size_t)snprintf(buffer + used, size - used, "://");
            used = used < size ? used : size - 1;
            text = at != NULL ? at + 1 : text + 3;
            continue;
        }
        buffer[used++] = *text++;
    }
    buffer[used] = '\0';
    return buffer;
}

/* ---- by the serving thread ---- */

static void add_traffic(struct pti_traffic *sum, const struct pti_traffic *more)
{
    sum->links += more->links;
    sum->frames_in += more->frames_in;
    sum->frames_out += more->frames_out;
    sum->bytes_in += more->bytes_in;
    sum->bytes_out += more->bytes_out;
}

static void read_link(struct pti_guest *guest, struct pti_traffic *ret_traffic)
{
    *ret_traffic = (struct pti_traffic){.links = 1, .frames_in = guest->frames, .bytes_in = guest->bytes};
    pti_outbox_traffic(&guest->outbox, &ret_traffic->frames_out, &ret_traffic->bytes_out);
}

static void count_session(const struct pti_session *session, struct pti_session_figures *row)
{
    for (const struct pti_channel *channel = session->channels; channel != NULL; channel = channel->hh.next) {
        row->channels++;
        row->leases += HASH_COUNT(channel->leases);
        row->requests += channel->request_count;
    }
}

static void describe_session(const struct pti_session *session, struct pti_session_figures *row)
{
    row->number = session->number;
    snprintf(row->node, sizeof row->node, "%s", session->node);
    snprintf(row->identity, sizeof row->identity, "%s", session->identity);
    row->is_up = session->guest != NULL;
    if (!row->is_up) {
        row->down_ms = (pti_now_ns() - session->down_since) / PTI_NS_PER_MS;
        return;
    }
    snprintf(row->peer, sizeof row->peer, "%s", session->guest->name);
    row->rtt_ns = session->guest->rtt_ns;
    read_link(session->guest, &row->traffic);
}

static void fill_sessions(const struct pti_server *server, struct pti_figures *sheet)
{
    size_t most = sheet->lists_sessions ? HASH_COUNT(server->sessions) : 0;

    sheet->list = most > 0 ? calloc(most, sizeof *sheet->list) : NULL;
    for (const struct pti_session *session = server->sessions; session != NULL; session = session->hh.next) {
        struct pti_session_figures row = {0};
        count_session(session, &row);
        sheet->sessions++;
        sheet->sessions_up += session->guest != NULL;
        sheet->channels += row.channels;
        sheet->leases += row.leases;
        sheet->requests += row.requests;
        if (sheet->list != NULL && sheet->count < most) {
            describe_session(session, &row);
            sheet->list[sheet->count++] = row;
        }
    }
}

static void fill(struct pti_server *server, struct pti_figures *sheet)
{
    struct pti_guest *guest;

    sheet->is_draining = server->draining;
    sheet->certs_until = server->certs.until;
    for (size_t i = 0; i < server->listeners.count; i++)
        sheet->listeners += server->listeners.items[i] != NULL;
    sheet->traffic = server->traffic;
    TAILQ_FOREACH(guest, &server->guests, listed) {
        struct pti_traffic traffic;
        read_link(guest, &traffic);
        add_traffic(&sheet->traffic, &traffic);
        sheet->links++;
    }
    fill_sessions(server, sheet);
    memcpy(sheet->used, server->caps.used, sizeof sheet->used);
    for (const struct pti_served_bus *served = server->buses; served != NULL; served = served->next) {
        sheet->streams += pti_streams_count(served->streams);
        sheet->buses++;
    }
    memcpy(sheet->refused, server->refused, sizeof sheet->refused);
    sheet->denied = pti_load_relaxed(&server->refusals.counts[PTI_REFUSED_RIGHT]);
    sheet->refused[PTQ_EAGAIN] += pti_load_relaxed(&server->turned_away);
}

void pti_figures_answer(struct pti_server *server)
{
    struct pti_figures_desk *desk = &server->desk;
    uint32_t asked = ASKED;

    if (pti_load_relaxed(&desk->state) != ASKED || !pti_cas(&desk->state, &asked, FILLING))
        return;
    fill(server, desk->sheet);
    pti_store_seq(&desk->state, FILLED);
    pti_futex_wake(&desk->state, 1);
}
