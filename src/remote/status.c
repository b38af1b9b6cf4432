/* status.c -- what a bridge tells of itself as JSON: whom it serves, whom it watches, what it carries. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ptq/version.h>

#include "base/time.h"
#include "metrics/text.h"
#include "remote/figures.h"
#include "remote/route.h"
#include "remote/server.h"
#include "remote/via/via.h"

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

    write_text(file, name, pti_figures_clean(value, buffer, sizeof buffer));
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
            if (!pti_caps_limits(&server->caps, cap, scope))
                continue;
            next_object(&list);
            write_text(file, "cap", pti_caps_name(cap, scope));
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
    bool answers = pti_figures_look(server, true, &sheet) == PTQ_OK;

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
