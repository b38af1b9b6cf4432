/* report.c -- what a bridge tells of itself as families of figures, beside those of its queues.  (As JSON: status.c.) */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ptq/version.h>

#include "base/time.h"
#include "metrics/families.h"
#include "metrics/scrape.h"
#include "remote/figures.h"
#include "remote/route.h"
#include "remote/server.h"

struct write_peers {
    struct pti_text *text;
    bool rtt;
};

static void write_peer(const struct pti_peer_figures *peer, void *context)
{
    const struct write_peers *write = context;
    struct pti_labels labels = {{{"peer", peer->node}}};

    if (!write->rtt)
        pti_text_count(write->text, "", &labels, peer->is_up);
    else if (peer->rtt_ns > 0)
        pti_text_sample(write->text, "", &labels, (double)peer->rtt_ns / 1e9);
}

static void write_peers(struct pti_server *server, struct pti_text *text)
{
    struct write_peers write = {text, false};

    pti_family_begin(text, PTI_FAMILY_PEER_UP);
    pthread_mutex_lock(&server->parts);
    pti_keeper_look(server->keeper, write_peer, &write);
    pthread_mutex_unlock(&server->parts);
    write.rtt = true;
    pti_family_begin(text, PTI_FAMILY_PEER_RTT);
    pthread_mutex_lock(&server->parts);
    pti_keeper_look(server->keeper, write_peer, &write);
    pthread_mutex_unlock(&server->parts);
}

/* Law: a counter that was told never goes back, also when SIGHUP puts another carrier in the place of this one. */
static uint64_t count_on(struct pti_figures_desk *desk, const char *url, uint64_t moved)
{
    struct pti_moved_told *row = pti_figures_moved(desk, url);

    if (row == NULL)
        return moved;
    row->told = row->before + moved > row->told ? row->before + moved : row->told;
    return row->told;
}

struct write_moved {
    struct pti_figures_desk *desk;
    struct pti_text *text;
};

static void write_moved(const char *url, uint64_t moved, void *context)
{
    const struct write_moved *write = context;
    char buffer[256];
    struct pti_labels labels = {{{"to", pti_figures_clean(url, buffer, sizeof buffer)}}};

    pti_text_count(write->text, "", &labels, count_on(write->desk, url, moved));
}

static void write_pair(struct pti_text *text, const char *name, const char *words[2], uint64_t first, uint64_t second)
{
    pti_text_count(text, "", &(struct pti_labels){{{name, words[0]}}}, first);
    pti_text_count(text, "", &(struct pti_labels){{{name, words[1]}}}, second);
}

static void write_refusals(struct pti_text *text, const struct pti_figures *sheet)
{
    pti_family_begin(text, PTI_FAMILY_REFUSALS);
    for (int code = PTQ_EENDED; code <= PTQ_ESYS; code++) {
        if (sheet->refused[code] > 0)
            pti_text_count(text, "", &(struct pti_labels){{{"code", ptq_err_name((enum ptq_err)code)}}}, sheet->refused[code]);
    }
}

static void write_sheet(struct pti_text *text, const struct pti_figures *sheet)
{
    const struct pti_traffic *traffic = &sheet->traffic;
    const char *ways[2] = {"in", "out"}, *states[2] = {"up", "down"};

    pti_family_count(text, PTI_FAMILY_BRIDGE_DRAINING, sheet->is_draining);
    pti_family_count(text, PTI_FAMILY_LINKS, sheet->links);
    pti_family_count(text, PTI_FAMILY_LINKS_OPENED, traffic->links);
    pti_family_begin(text, PTI_FAMILY_SESSIONS);
    write_pair(text, "state", states, sheet->sessions_up, sheet->sessions - sheet->sessions_up);
    pti_family_count(text, PTI_FAMILY_SESSION_CHANNELS, sheet->channels);
    pti_family_count(text, PTI_FAMILY_SESSION_LEASES, sheet->leases);
    pti_family_count(text, PTI_FAMILY_SESSION_REQUESTS, sheet->requests);
    pti_family_count(text, PTI_FAMILY_STREAMS, sheet->streams);
    pti_family_begin(text, PTI_FAMILY_LINK_BYTES);
    write_pair(text, "direction", ways, traffic->bytes_in, traffic->bytes_out);
    pti_family_begin(text, PTI_FAMILY_LINK_FRAMES);
    write_pair(text, "direction", ways, traffic->frames_in, traffic->frames_out);
    write_refusals(text, sheet);
    pti_family_count(text, PTI_FAMILY_DENIALS, sheet->denied);
    if (sheet->certs_until != 0)
        pti_family_count(text, PTI_FAMILY_CERTIFICATE_END, (uint64_t)sheet->certs_until);
}

/* What is used of each cap by all peers together, and how often anybody met one. */
static void write_caps(struct pti_server *server, struct pti_text *text, const struct pti_figures *sheet)
{
    pti_family_begin(text, PTI_FAMILY_CAP_USED);
    for (enum pti_cap cap = 0; cap < PTI_CAP_THINGS; cap++) {
        if (pti_caps_limits(&server->caps, cap, PTI_ALL))
            pti_text_count(text, "", &(struct pti_labels){{{"cap", pti_caps_name(cap, PTI_ALL)}}}, sheet->used[cap]);
    }
    pti_family_begin(text, PTI_FAMILY_CAP_LIMIT);
    for (enum pti_cap cap = 0; cap < PTI_CAP_THINGS; cap++) {
        if (pti_caps_limits(&server->caps, cap, PTI_ALL))
            pti_text_count(text, "", &(struct pti_labels){{{"cap", pti_caps_name(cap, PTI_ALL)}}}, server->caps.most[cap][PTI_ALL]);
    }
    pti_family_begin(text, PTI_FAMILY_CAPS_MET);
    for (enum pti_cap cap = 0; cap < PTI_CAPS; cap++) {
        for (enum pti_scope scope = 0; scope < PTI_SCOPES; scope++) {
            if (pti_caps_limits(&server->caps, cap, scope))
                pti_text_count(text, "", &(struct pti_labels){{{"cap", pti_caps_name(cap, scope)}}}, pti_load_relaxed(&server->caps.met[cap][scope]));
        }
    }
}

static void write_bridge(struct pti_server *server, struct pti_text *text)
{
    struct pti_labels about = {{{"version", ptq_version()}, {"node", server->bus->node}, {"run", server->bus->run}}};
    struct pti_figures sheet = {0};
    bool answers = pti_figures_ask(server, PTI_FIGURES_MS, &sheet) == PTQ_OK;

    pti_family_begin(text, PTI_FAMILY_BRIDGE);
    pti_text_count(text, "", &about, 1);
    pti_family_begin(text, PTI_FAMILY_BRIDGE_UPTIME);
    pti_text_sample(text, "", NULL, (double)((pti_now_ns() - server->desk.opened) / PTI_NS_PER_MS) / 1000);
    pti_family_count(text, PTI_FAMILY_BRIDGE_ANSWERS, answers);
    if (answers) {
        write_sheet(text, &sheet);
        write_caps(server, text, &sheet);
    }
    write_peers(server, text);
    pti_family_begin(text, PTI_FAMILY_MOVED);
    pthread_mutex_lock(&server->parts);
    pti_routes_moved(server->carrier, write_moved, &(struct write_moved){&server->desk, text});
    pthread_mutex_unlock(&server->parts);
}

enum ptq_err ptq_bridge_metrics(ptq_bridge *bridge, enum ptq_metrics_format format, char **ret_text, size_t *ret_size)
{
    struct pti_text text;

    if (bridge == NULL || ret_text == NULL || ret_size == NULL || (unsigned)format > PTQ_METRICS_PROMETHEUS)
        return PTQ_EINVAL;
    struct pti_server *server = pti_server_of(bridge);
    pti_text_init(&text, format);
    pthread_mutex_lock(&server->desk.asking);
    enum ptq_err answer = server->desk.scrape == NULL ? ptq_scrape_open(server->bus, &server->desk.scrape) : PTQ_OK;
    if (answer == PTQ_OK)
        answer = pti_scrape_write(server->desk.scrape, &text);
    if (answer == PTQ_OK)
        write_bridge(server, &text);
    pthread_mutex_unlock(&server->desk.asking);
    if (answer != PTQ_OK) {
        pti_text_drop(&text);
        return answer;
    }
    return pti_text_end(&text, ret_text, ret_size);
}
