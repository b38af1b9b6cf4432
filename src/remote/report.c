/* report.c -- what a bridge tells of itself: does it live, is it ready, its figures, its status. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <ptq/version.h>

#include "base/time.h"
#include "metrics/families.h"
#include "metrics/scrape.h"
#include "remote/figures.h"
#include "remote/route.h"
#include "remote/server.h"
#include "remote/via/via.h"

#define ANSWER_MS 1000
#define LOOK_MOST_NS (30 * PTI_NS_PER_S) /* a look at the peers has deadlines of its own, of seconds */

/* ---- health ---- */

__attribute__((format(printf, 3, 4))) static void say(char *why, size_t size, const char *format, ...)
{
    va_list arguments;

    if (why == NULL || size == 0)
        return;
    va_start(arguments, format);
    vsnprintf(why, size, format, arguments);
    va_end(arguments);
}

static enum ptq_err ask(struct pti_server *server, bool lists_sessions, struct pti_figures *ret_sheet)
{
    *ret_sheet = (struct pti_figures){.lists_sessions = lists_sessions};
    pthread_mutex_lock(&server->desk.asking);
    enum ptq_err answer = pti_figures_ask(server, ANSWER_MS, ret_sheet);
    pthread_mutex_unlock(&server->desk.asking);
    return answer;
}

static enum ptq_err look_alive(struct pti_server *server, struct pti_figures *ret_sheet, char *why, size_t size)
{
    pthread_mutex_lock(&server->parts);
    int64_t busy = pti_keeper_busy_ns(server->keeper);
    pthread_mutex_unlock(&server->parts);

    if (ask(server, false, ret_sheet) != PTQ_OK) {
        say(why, size, "the serving thread has not answered for %d ms", ANSWER_MS);
        return PTQ_TIMEDOUT;
    }
    if (busy > LOOK_MOST_NS) {
        say(why, size, "the look at the peers has lasted for %" PRId64 " s", busy / PTI_NS_PER_S);
        return PTQ_TIMEDOUT;
    }
    return PTQ_OK;
}

enum ptq_err ptq_bridge_alive(ptq_bridge *bridge, char *why, size_t size)
{
    struct pti_figures sheet;

    return bridge != NULL ? look_alive(pti_server_of(bridge), &sheet, why, size) : PTQ_EINVAL;
}

/* Its directory is still where it was: else others of this host use another, or none. */
static bool is_there(const ptq_bus *bus)
{
    struct stat held, named;

    return fstat(bus->dirfd, &held) == 0 && stat(bus->path, &named) == 0 && held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

enum ptq_err ptq_bridge_ready(ptq_bridge *bridge, char *why, size_t size)
{
    struct pti_figures sheet;

    if (bridge == NULL)
        return PTQ_EINVAL;
    struct pti_server *server = pti_server_of(bridge);
    enum ptq_err answer = look_alive(server, &sheet, why, size);
    if (answer != PTQ_OK)
        return answer;
    if (sheet.is_draining) {
        say(why, size, "it is going down: leases are settled, nothing new is begun");
        return PTQ_EAGAIN;
    }
    if (sheet.listeners == 0) {
        say(why, size, "it does not listen");
        return PTQ_EAGAIN;
    }
    if (!is_there(server->bus)) {
        say(why, size, "the directory of the bus, %s, was removed or replaced: start the bridge again", server->bus->path);
        return PTQ_EGONE;
    }
    return PTQ_OK;
}

/* ---- addresses ---- */

/* Without what stands between :// and @ in it: somebody may have written a password there. */
static const char *clean(const char *text, char *buffer, size_t size)
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

/* ---- figures ---- */

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
    struct pti_labels labels = {{{"to", clean(url, buffer, sizeof buffer)}}};

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

/* "max-peer-links" */
static const char *cap_name(enum pti_cap cap, enum pti_scope scope)
{
    const char *option = pti_caps_option(cap, scope);

    return option + strspn(option, "-");
}

static bool is_capped(const struct pti_server *server, enum pti_cap cap, enum pti_scope scope)
{
    return server->caps.most[cap][scope] != UINT64_MAX;
}

/* What is used of each cap by all peers together, and how often anybody met one. */
static void write_caps(struct pti_server *server, struct pti_text *text, const struct pti_figures *sheet)
{
    pti_family_begin(text, PTI_FAMILY_CAP_USED);
    for (enum pti_cap cap = 0; cap < PTI_CAP_THINGS; cap++) {
        if (is_capped(server, cap, PTI_ALL))
            pti_text_count(text, "", &(struct pti_labels){{{"cap", cap_name(cap, PTI_ALL)}}}, sheet->used[cap]);
    }
    pti_family_begin(text, PTI_FAMILY_CAP_LIMIT);
    for (enum pti_cap cap = 0; cap < PTI_CAP_THINGS; cap++) {
        if (is_capped(server, cap, PTI_ALL))
            pti_text_count(text, "", &(struct pti_labels){{{"cap", cap_name(cap, PTI_ALL)}}}, server->caps.most[cap][PTI_ALL]);
    }
    pti_family_begin(text, PTI_FAMILY_CAPS_MET);
    for (enum pti_cap cap = 0; cap < PTI_CAPS; cap++) {
        for (enum pti_scope scope = 0; scope < PTI_SCOPES; scope++) {
            if (is_capped(server, cap, scope))
                pti_text_count(text, "", &(struct pti_labels){{{"cap", cap_name(cap, scope)}}}, pti_load_relaxed(&server->caps.met[cap][scope]));
        }
    }
}

static void write_bridge(struct pti_server *server, struct pti_text *text)
{
    struct pti_labels about = {{{"version", ptq_version()}, {"node", server->bus->node}, {"run", server->bus->run}}};
    struct pti_figures sheet = {0};
    bool answers = pti_figures_ask(server, ANSWER_MS, &sheet) == PTQ_OK;

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

/* ---- status ---- */

/* An array of objects, one after the other. */
struct list {
    FILE *file;
    ptq_bus *bus;
    bool begun;
};

static void next_object(struct list *list)
{
    fputs(list->begun ? ",{" : "{", list->file);
    list->begun = true;
}

static void write_text(FILE *file, const char *name, const char *value)
{
    fprintf(file, "\"%s\":", name);
    pti_json_text(file, value);
}

static void write_clean(FILE *file, const char *name, const char *value)
{
    char buffer[600];

    write_text(file, name, clean(value, buffer, sizeof buffer));
}

static void write_traffic(FILE *file, const struct pti_traffic *traffic)
{
    fprintf(file, "\"frames_in\":%" PRIu64 ",\"frames_out\":%" PRIu64 ",\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64, traffic->frames_in,
            traffic->frames_out, traffic->bytes_in, traffic->bytes_out);
}

static void write_session(FILE *file, const struct pti_session_figures *session)
{
    fprintf(file, "\"session\":%" PRIu64 ",", session->number);
    write_text(file, "node", session->node);
    fputc(',', file);
    write_text(file, "identity", session->identity);
    fprintf(file, ",\"up\":%s", session->is_up ? "true," : "false,");
    if (session->is_up) {
        write_text(file, "peer", session->peer);
        fprintf(file, ",\"rtt_us\":%" PRIu64 ",", session->rtt_ns / 1000);
        write_traffic(file, &session->traffic);
    } else {
        fprintf(file, "\"down_ms\":%" PRId64, session->down_ms);
    }
    fprintf(file, ",\"queues\":%" PRIu64 ",\"leases\":%" PRIu64 ",\"requests\":%" PRIu64 "}", session->channels, session->leases,
            session->requests);
}

static void list_sessions(FILE *file, const struct pti_figures *sheet)
{
    struct list list = {.file = file};

    fputs(",\"sessions\":[", file);
    for (size_t i = 0; i < sheet->count; i++) {
        next_object(&list);
        write_session(file, &sheet->list[i]);
    }
    fputs("]", file);
}

static void list_peer(const struct pti_peer_figures *peer, void *context)
{
    struct list *list = context;

    next_object(list);
    write_text(list->file, "peer", peer->node);
    fputc(',', list->file);
    write_clean(list->file, "url", peer->url);
    fprintf(list->file, ",\"up\":%s,\"rtt_us\":%" PRIu64 ",\"queues\":%" PRIu64, peer->is_up ? "true" : "false", peer->rtt_ns / 1000,
            peer->queues);
    fputs(",", list->file);
    write_clean(list->file, "why", peer->why);
    fputc('}', list->file);
}

static void list_move(const struct pti_carried_figures *carried, void *context)
{
    struct list *list = context;

    next_object(list);
    write_text(list->file, "queue", carried->queue);
    fputc(',', list->file);
    write_text(list->file, "as", carried->as);
    fputc(',', list->file);
    write_clean(list->file, "url", carried->url);
    fprintf(list->file, ",\"up\":%s,\"moved\":%" PRIu64 ",\"in_flight\":%u}", carried->is_up ? "true" : "false", carried->moved,
            carried->in_flight);
}

static uint64_t count_waiting(ptq_bus *bus, const char *name)
{
    struct ptq_queue_stats stats = {0};
    ptq_view *view;

    if (ptq_view_open(bus, name, NULL, &view) != PTQ_OK)
        return 0;
    if (ptq_view_stats(view, &stats) != PTQ_OK)
        stats = (struct ptq_queue_stats){0};
    ptq_view_close(view);
    return stats.ready + stats.leased + stats.delayed;
}

static bool list_outbox(const struct ptq_outbox *outbox, void *context)
{
    struct list *list = context;

    next_object(list);
    write_clean(list->file, "target", outbox->target);
    fprintf(list->file, ",\"up\":%s,\"waiting\":%" PRIu64 ",\"moved\":%" PRIu64 ",\"refused\":%" PRIu64 ",", outbox->carried ? "true" : "false",
            count_waiting(list->bus, outbox->name), outbox->moved, outbox->refused);
    write_clean(list->file, "why", outbox->why);
    fputc('}', list->file);
    return true;
}

static bool list_queue(const char *name, void *context)
{
    struct list *list = context;
    struct ptq_queue_stats stats;
    ptq_view *view;

    if (ptq_view_open(list->bus, name, NULL, &view) != PTQ_OK)
        return true;
    if (ptq_view_stats(view, &stats) == PTQ_OK) {
        next_object(list);
        write_text(list->file, "queue", name);
        fprintf(list->file, ",\"ready\":%" PRIu64 ",\"leased\":%" PRIu64 ",\"delayed\":%" PRIu64 ",\"dead\":%" PRIu64 ",\"put\":%" PRIu64
                ",\"acked\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"redelivered\":%" PRIu64 ",\"handles\":%u}",
                stats.ready, stats.leased, stats.delayed, stats.dead, stats.put, stats.acked, stats.dropped, stats.redelivered, stats.endpoints);
    }
    ptq_view_close(view);
    return true;
}

static void list_refusals(FILE *file, const struct pti_figures *sheet)
{
    const char *before = "";

    fputs(",\"refused\":{", file);
    for (int code = PTQ_EENDED; code <= PTQ_ESYS; code++) {
        if (sheet->refused[code] == 0)
            continue;
        fprintf(file, "%s\"%s\":%" PRIu64, before, ptq_err_name((enum ptq_err)code), sheet->refused[code]);
        before = ",";
    }
    fputs("}", file);
}

/* Each cap that holds: what all peers have of it, what they may have, how often it was met. */
static void list_caps(FILE *file, struct pti_server *server, const struct pti_figures *sheet)
{
    struct list list = {.file = file};

    fputs(",\"caps\":[", file);
    for (enum pti_cap cap = 0; cap < PTI_CAPS; cap++) {
        for (enum pti_scope scope = 0; scope < PTI_SCOPES; scope++) {
            if (!is_capped(server, cap, scope))
                continue;
            next_object(&list);
            write_text(file, "cap", cap_name(cap, scope));
            fprintf(file, ",\"most\":%" PRIu64 ",\"met\":%" PRIu64, server->caps.most[cap][scope], pti_load_relaxed(&server->caps.met[cap][scope]));
            if (scope == PTI_ALL && cap < PTI_CAP_THINGS)
                fprintf(file, ",\"used\":%" PRIu64, sheet->used[cap]);
            fputc('}', file);
        }
    }
    fputs("]", file);
}

static void write_serving(FILE *file, struct pti_server *server, const struct pti_figures *sheet)
{
    fprintf(file, ",\"draining\":%s,\"links\":{\"now\":%" PRIu64 ",\"ever\":%" PRIu64 ",", sheet->is_draining ? "true" : "false",
            sheet->links, sheet->traffic.links);
    write_traffic(file, &sheet->traffic);
    list_refusals(file, sheet);
    fputs("}", file);
    fprintf(file, ",\"denied\":%" PRIu64, sheet->denied);
    fprintf(file, ",\"sessions_up\":%" PRIu64 ",\"sessions_down\":%" PRIu64, sheet->sessions_up, sheet->sessions - sheet->sessions_up);
    fprintf(file, ",\"open_queues\":%" PRIu64 ",\"leases\":%" PRIu64 ",\"requests\":%" PRIu64 ",\"streams\":%" PRIu64 ",\"buses\":%" PRIu64, sheet->channels, sheet->leases,
            sheet->requests, sheet->streams, sheet->buses);
    fprintf(file, ",\"grace_ms\":%d,\"drain_ms\":%d", server->options.grace_ms, server->options.drain_ms);
    if (sheet->certs_until != 0)
        fprintf(file, ",\"certificate_end_s\":%" PRId64, sheet->certs_until);
    list_caps(file, server, sheet);
    list_sessions(file, sheet);
}

static void write_programs(FILE *file, struct pti_server *server)
{
    struct pti_via_service *via = pti_load_acquire(&server->via);
    unsigned handles = 0, workers = 0;

    if (via != NULL)
        pti_via_count(via, &handles, &workers);
    fprintf(file, ",\"programs\":{\"served\":%s,\"handles\":%u,\"workers\":%u}", pti_via_is_serving(via) ? "true" : "false", handles, workers);
}

static void write_status(struct pti_server *server, FILE *file)
{
    struct pti_figures sheet;
    struct list list = {file, server->bus, false};
    bool answers = ask(server, true, &sheet) == PTQ_OK;

    fputs("{\"v\":1,", file);
    write_text(file, "version", ptq_version());
    fprintf(file, ",\"wire\":%d,", PTQ_WIRE_VERSION);
    write_text(file, "node", server->bus->node);
    fputc(',', file);
    write_text(file, "run", server->bus->run);
    fprintf(file, ",\"uptime_ms\":%" PRId64 ",\"answers\":%s", (pti_now_ns() - server->desk.opened) / PTI_NS_PER_MS, answers ? "true" : "false");
    if (answers)
        write_serving(file, server, &sheet);
    free(sheet.list);
    write_programs(file, server);
    fputs(",\"peers\":[", file);
    pthread_mutex_lock(&server->parts);
    pti_keeper_look(server->keeper, list_peer, &list);
    pthread_mutex_unlock(&server->parts);
    fputs("],\"moves\":[", file);
    list.begun = false;
    pthread_mutex_lock(&server->parts);
    pti_routes_look(server->carrier, list_move, &list);
    pthread_mutex_unlock(&server->parts);
    fputs("],\"outboxes\":[", file);
    list.begun = false;
    (void)!ptq_bus_list_outboxes(server->bus, list_outbox, &list);
    fputs("],\"queues\":[", file);
    list.begun = false;
    (void)!ptq_bus_list(server->bus, list_queue, &list);
    fputs("]}\n", file);
}

enum ptq_err ptq_bridge_status(ptq_bridge *bridge, char **ret_json, size_t *ret_size)
{
    char *text = NULL;
    size_t size = 0;

    if (bridge == NULL || ret_json == NULL || ret_size == NULL)
        return PTQ_EINVAL;
    FILE *file = open_memstream(&text, &size);
    if (file == NULL)
        return PTQ_ENOMEM;
    write_status(pti_server_of(bridge), file);
    bool whole = !ferror(file);
    if (fclose(file) != 0 || !whole) {
        free(text);
        return PTQ_ENOMEM;
    }
    *ret_json = text;
    *ret_size = size;
    return PTQ_OK;
}
