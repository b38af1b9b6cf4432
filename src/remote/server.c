/* server.c -- the bridge as a whole: opened, run by one thread, drained, closed. */
#include "remote/server.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/time.h"
#include "bus/node.h"
#include "os/clock.h"
#include "os/event.h"
#include "remote/renew.h"
#include "remote/route.h"
#include "remote/via/via.h"

#define EVENTS_AT_ONCE 64
#define VIA_AGAIN_MS 1000

struct pti_server *pti_server_of(ptq_bridge *bridge)
{
    return &bridge->server;
}

void pti_server_log(struct pti_server *server, enum ptq_bridge_level level, const char *format, ...)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER; /* via/ has threads of its own */
    char line[600];
    va_list arguments;

    if (server->options.log == NULL)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&one_at_a_time);
    server->options.log(server->options.log_context, level, line);
    pthread_mutex_unlock(&one_at_a_time);
}

void pti_server_remind(struct pti_server *server, int64_t when)
{
    if (when < server->next_deadline)
        server->next_deadline = when;
}

/* ---- what else a round minds ---- */

/* Nobody is woken for it: a row that is kept for too long harms nobody. */
static void mind_streams(struct pti_server *server)
{
    for (struct pti_served_bus *served = server->buses; served != NULL; served = served->next) {
        if (pti_streams_count(served->streams) > 0)
            pti_streams_expire(served->streams, pti_host_ns());
    }
}

static void log_via(void *context, const char *line)
{
    pti_server_log(context, PTQ_BRIDGE_INFO, "%s", line);
}

/* Law: a bus without room for the programs of this host is served to others all the same. */
static void serve_programs(struct pti_server *server, int64_t now)
{
    struct pti_via_service *via;

    if (pti_load_relaxed(&server->via) != NULL || server->draining || now < server->via_at)
        return;
    enum ptq_err answer = pti_via_serve(server->buses->bus, log_via, server, &via);
    if (answer == PTQ_OK) {
        pti_store_release(&server->via, via);
        if (server->via_at != 0)
            pti_server_log(server, PTQ_BRIDGE_INFO, "component=via event=served");
        return;
    }
    if (server->via_at == 0)
        pti_server_log(server, PTQ_BRIDGE_WARNING,
                       "component=via event=not_served why=\"%s\" effect=\"programs of this host that have no links of their own "
                       "wait; it is tried again each second\"",
                       ptq_strerror(answer));
    server->via_at = now + VIA_AGAIN_MS * PTI_NS_PER_MS;
}

/* ---- draining ---- */

static void begin_to_drain(struct pti_server *server)
{
    struct pti_goaway goaway = {.reason = "the bridge is going down", .drain_ms = (uint32_t)server->options.drain_ms};
    uint8_t bytes[PTI_CONTROL_BYTES];
    size_t size = pti_goaway_pack(&goaway, bytes, sizeof bytes);
    struct pti_guest *guest;

    pti_server_log(server, PTQ_BRIDGE_INFO, "component=bridge event=draining sessions=%u",
                   HASH_COUNT(server->sessions));
    server->draining = true;
    server->drain_until = pti_now_ns() + server->options.drain_ms * PTI_NS_PER_MS;
    for (size_t i = 0; i < server->listeners.count; i++) {
        pti_listener_close(server->listeners.items[i]);
        server->listeners.items[i] = NULL;
    }
    TAILQ_FOREACH(guest, &server->guests, listed) {
        if (guest->session != NULL)
            pti_guest_push(guest, NULL, PTI_FRAME_GOAWAY, 0, 0, bytes, size);
    }
    for (struct pti_session *session = server->sessions; session != NULL; session = session->hh.next) {
        for (struct pti_channel *channel = session->channels; channel != NULL; channel = channel->hh.next)
            pti_channel_release(channel);
    }
}

/* Nothing is leased to a session that is up, and nothing waits to be said. */
static bool is_drained(struct pti_server *server)
{
    const struct pti_guest *guest;

    if (pti_now_ns() >= server->drain_until || pti_load_seq(&server->stops) > 1)
        return true;
    TAILQ_FOREACH(guest, &server->guests, listed) {
        if (!pti_link_is_drained(guest->link))
            return false;
        for (const struct pti_channel *channel = guest->session != NULL ? guest->session->channels : NULL;
             channel != NULL; channel = channel->hh.next) {
            if (channel->leases != NULL)
                return false;
        }
    }
    return true;
}

/* ---- the loop ---- */

static void end_round(struct pti_server *server)
{
    struct pti_guest *guest;

    while ((guest = TAILQ_FIRST(&server->touched)) != NULL) {
        TAILQ_REMOVE(&server->touched, guest, touched_listed);
        guest->touched = false;
        pti_link_kick(guest->link); /* its last words, where it is doomed */
        if (guest->doomed)
            pti_guest_free(guest);
    }
}

static void look_at_due(struct pti_server *server)
{
    struct pti_channel *channel;

    while ((channel = TAILQ_FIRST(&server->due)) != NULL) {
        TAILQ_REMOVE(&server->due, channel, due_listed);
        channel->due = false;
        pti_channel_look(channel);
    }
}

/* Law: descriptors are noted before anything is done that could free a channel. */
static void run_round(struct pti_server *server, const uint64_t *tags, int count)
{
    int64_t now;

    for (int i = 0; i < count; i++) {
        struct pti_channel *channel = (struct pti_channel *)(uintptr_t)(tags[i] & ~UINT64_C(1));
        if (channel != NULL)
            pti_channel_mark(channel, (enum ptq_side)(tags[i] & 1));
    }
    pti_inbox_empty(server);
    look_at_due(server);
    now = server->looked = pti_now_ns();
    pti_clock_forgive(server, now);
    pti_clock_guests(server, now);
    pti_clock_deadlines(server, now);
    pti_gather_feed(server, now);
    pti_errand_do(server);
    look_at_due(server);
    end_round(server);
    pti_clock_sessions(server, now);
    pti_caps_forget(server, now);
    mind_streams(server);
    serve_programs(server, now);
    pti_figures_answer(server);
    if (!server->draining && pti_load_seq(&server->stops) > 0) {
        begin_to_drain(server);
        end_round(server);
    }
}

enum ptq_err ptq_bridge_run(ptq_bridge *bridge)
{
    struct pti_server *server = &bridge->server;
    uint64_t tags[EVENTS_AT_ONCE];

    server->ran = true;
    server->looked = pti_now_ns();
    pti_errand_open(server, true);
    while (!server->draining || !is_drained(server)) {
        int wait = pti_clock_wait_ms(server);
        server->round_due = wait < 0 ? PTI_DEADLINE_NEVER : server->looked + wait * PTI_NS_PER_MS;
        int count = pti_poll_wait(server->poll_fd, tags, EVENTS_AT_ONCE, wait);
        if (count < 0 && count != -EINTR) {
            pti_errand_open(server, false);
            return PTQ_ESYS;
        }
        run_round(server, tags, count);
    }
    pti_errand_open(server, false);
    pti_server_log(server, PTQ_BRIDGE_INFO, "component=bridge event=stopped");
    return PTQ_OK;
}

void ptq_bridge_stop(ptq_bridge *bridge)
{
    pti_fetch_add_seq(&bridge->server.stops, 1);
    pti_event_set(bridge->server.wake_fd);
}

/* ---- open, close ---- */

static enum ptq_err make_loop(struct pti_server *server, struct ptq_error *error)
{
    int failed = pti_poll_new(&server->poll_fd);

    if (failed == 0)
        failed = pti_event_new(false, &server->wake_fd);
    if (failed == 0)
        failed = pti_poll_add(server->poll_fd, server->wake_fd, 0, true);
    if (failed != 0)
        return pti_error(error, PTQ_ENOMEM, "a bridge cannot get its descriptors: %s", strerror(failed));
    if (getrandom(&server->incarnation, sizeof server->incarnation, 0) != sizeof server->incarnation)
        return pti_error(error, PTQ_ESYS, "a bridge cannot get random numbers");
    server->incarnation |= 1; /* never 0 */
    return PTQ_OK;
}

void pti_server_take(struct pti_server *server, const struct ptq_bridge_options *options)
{
    server->options.all_runs = options->all_runs;
    server->options.grace_ms = options->grace_ms > 0 ? options->grace_ms : 10000;
    server->options.drain_ms = options->drain_ms > 0 ? options->drain_ms : 5000;
    server->options.limits = options->limits;
    server->guests_at = server->sessions_at = 0; /* they are looked at anew */
}

static void init_server(struct pti_server *server, ptq_bus *bus, const struct ptq_bridge_options *options)
{
    server->options = (struct ptq_bridge_options){.log = options->log, .log_context = options->log_context, .guarded = options->guarded};
    pti_server_take(server, options);
    server->bus = bus;
    server->poll_fd = server->wake_fd = -1;
    server->next_deadline = server->guests_at = server->sessions_at = PTI_DEADLINE_NEVER;
    pti_caps_init(&server->caps, &options->limits);
    pthread_mutex_init(&server->inbox_mutex, NULL);
    pti_figures_init(&server->desk);
    pthread_mutex_init(&server->parts, NULL);
    pti_errand_init(server);
    TAILQ_INIT(&server->inbox);
    TAILQ_INIT(&server->guests);
    TAILQ_INIT(&server->touched);
    TAILQ_INIT(&server->due);
}

enum ptq_err ptq_bridge_open(ptq_bus *bus, const struct ptq_bridge_options *options, ptq_bridge **ret_bridge)
{
    if (bus == NULL || options == NULL || ret_bridge == NULL)
        return PTQ_EINVAL;
    ptq_bridge *bridge = calloc(1, sizeof *bridge);
    struct pti_served_bus *served = calloc(1, sizeof *served);
    if (bridge == NULL || served == NULL) {
        free(bridge);
        free(served);
        return pti_error(options->error, PTQ_ENOMEM, "no memory for a bridge");
    }
    init_server(&bridge->server, bus, options);
    served->bus = bus;
    bridge->server.buses = served;
    enum ptq_err answer = make_loop(&bridge->server, options->error);
    if (answer == PTQ_OK && pti_server_open_streams(&bridge->server, served) != PTQ_OK)
        answer = pti_error(options->error, PTQ_ENOMEM, "no memory for a bridge");
    if (answer == PTQ_OK)
        answer = pti_options_routes(options, &bridge->server.routes);
    if (answer == PTQ_OK)
        answer = pti_rights_open(&bridge->server, options);
    if (answer == PTQ_OK)
        answer = pti_node_open(bus, options->error, &bridge->server.node);
    if (answer == PTQ_OK)
        pti_keeper_tidy(bus, bridge->server.node, options->peer_count == 0);
    if (answer == PTQ_OK && options->peer_count > 0)
        answer = pti_keeper_start(&bridge->server, options->peers, options->peer_count, options->error, &bridge->server.keeper);
    if (answer == PTQ_OK)
        pti_renewal_begin(&bridge->server);
    if (answer == PTQ_OK)
        answer = pti_listeners_open_first(&bridge->server, options);
    if (answer == PTQ_OK)
        pti_rights_share(&bridge->server, options->listen, options->listen_count);
    if (answer == PTQ_OK)
        serve_programs(&bridge->server, pti_now_ns());
    if (answer == PTQ_OK && options->move_count > 0)
        answer = pti_routes_start(&bridge->server, options, &bridge->server.carrier);
    if (answer == PTQ_OK && pti_told_keep(options, &bridge->server.told) != PTQ_OK)
        answer = pti_error(options->error, PTQ_ENOMEM, "no memory for a bridge");
    if (answer != PTQ_OK) {
        ptq_bridge_close(bridge);
        return answer;
    }
    *ret_bridge = bridge;
    return PTQ_OK;
}

const char *ptq_bridge_url(const ptq_bridge *bridge, size_t index)
{
    const struct pti_listeners *listeners = &bridge->server.listeners;

    return index < listeners->count && listeners->items[index] != NULL ? pti_listener_url(listeners->items[index]) : NULL;
}

static void free_guests(struct pti_server *server)
{
    struct pti_guest *guest;

    pti_inbox_empty(server); /* those that were accepted and never looked at */
    while ((guest = TAILQ_FIRST(&server->guests)) != NULL) {
        pti_guest_doom(guest, "the bridge ended");
        pti_guest_free(guest);
    }
    while (server->sessions != NULL)
        pti_session_free(server->sessions, "the bridge ended");
}

static void log_traffic(struct pti_server *server)
{
    if (!server->ran)
        return;
    pti_server_log(server, PTQ_BRIDGE_INFO,
                   "component=bridge event=closed links=%llu frames_in=%llu frames_out=%llu bytes_in=%llu bytes_out=%llu refused_links=%llu "
                   "refused_rights=%llu",
                   (unsigned long long)server->traffic.links, (unsigned long long)server->traffic.frames_in,
                   (unsigned long long)server->traffic.frames_out, (unsigned long long)server->traffic.bytes_in,
                   (unsigned long long)server->traffic.bytes_out,
                   (unsigned long long)pti_load_relaxed(&server->refusals.counts[PTI_REFUSED_LINK]),
                   (unsigned long long)pti_load_relaxed(&server->refusals.counts[PTI_REFUSED_RIGHT]));
}

void ptq_bridge_close(ptq_bridge *bridge)
{
    if (bridge == NULL)
        return;
    struct pti_server *server = &bridge->server;
    pti_listeners_close(&server->listeners);
    pti_routes_stop(server->carrier);
    pti_via_stop(pti_load_relaxed(&server->via));
    pti_keeper_stop(server->keeper);
    free_guests(server);
    log_traffic(server);
    pti_node_close(server->node);
    pti_routes_free(&server->routes);
    pti_grants_free(&server->grants);
    while (server->buses != NULL) {
        struct pti_served_bus *next = server->buses->next;
        pti_streams_close(server->buses->streams);
        if (server->buses->owned)
            ptq_bus_close(server->buses->bus);
        free(server->buses);
        server->buses = next;
    }
    if (server->poll_fd >= 0)
        close(server->poll_fd);
    if (server->wake_fd >= 0)
        close(server->wake_fd);
    pti_caps_fini(&server->caps);
    pthread_mutex_destroy(&server->inbox_mutex);
    pti_figures_fini(&server->desk);
    pti_told_free(server->told);
    pti_errand_fini(server);
    pthread_mutex_destroy(&server->parts);
    pti_listed_forget(&server->listed);
    free(server->puts);
    free(server->msgs);
    free(bridge);
}
