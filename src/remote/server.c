/* server.c -- the bridge as a whole: opened, run by one thread, stopped; the loop, the clock, the buses. */
#define HASH_NONFATAL_OOM 1
#include "remote/server.h"

#include <errno.h>
#include <fcntl.h>
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
#include "remote/access.h"
#include "remote/route.h"
#include "remote/via/via.h"

#define EVENTS_AT_ONCE 64
#define DESCRIPTORS_TELL_NS (60 * PTI_NS_PER_S)
#define GUESTS_SPARE 64 /* accepted beyond the cap, to be told so */
#define DRAIN_LOOK_MS 20
#define VIA_AGAIN_MS 1000
#define BUSES_MOST 64
#define LATE_MS 1000 /* a round that comes so much later than it was to: we did not run */

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

/* ---- buses ---- */

static struct pti_served_bus *find_bus(struct pti_server *server, const char *run)
{
    struct pti_served_bus *served = server->buses;

    while (served != NULL && strcmp(served->bus->run, run) != 0)
        served = served->next;
    return served;
}

static bool run_is_there(const struct pti_server *server, const char *run)
{
    char path[sizeof server->bus->path + PTQ_NAME_MAX];

    snprintf(path, sizeof path, "%.*s%s", (int)(strlen(server->bus->path) - strlen(server->bus->run)),
             server->bus->path, run);
    return access(path, F_OK) == 0;
}

/* Before anything is served: what a killed bridge left undecided is read back by this. */
static enum ptq_err open_streams(struct pti_server *server, struct pti_served_bus *served)
{
    enum ptq_err answer = pti_streams_open(served->bus, &served->streams);

    const char *why = answer == PTQ_OK ? pti_streams_why_new(served->streams) : NULL;
    if (why != NULL)
        pti_server_log(server, PTQ_BRIDGE_WARNING, "component=streams event=not_kept run=%s why=\"%s\"", served->bus->run, why);
    return answer;
}

struct pti_streams *pti_server_streams(struct pti_server *server, const ptq_bus *bus)
{
    const struct pti_served_bus *served = server->buses;

    while (served->bus != bus)
        served = served->next;
    return served->streams;
}

/* Another run lies beside ours, in the same directory. */
static ptq_bus *open_bus(struct pti_server *server, const char *run)
{
    char dir[sizeof server->bus->path];
    struct ptq_bus_options options = {
        .dir = dir, .node = server->bus->node, .peers = "", .insecure = server->bus->insecure, .keys = server->bus->keys};
    struct pti_served_bus *served = calloc(1, sizeof *served);
    size_t count = 0;

    for (struct pti_served_bus *at = server->buses; at != NULL; at = at->next)
        count++;
    snprintf(dir, sizeof dir, "%s", server->bus->path);
    *strrchr(dir, '/') = '\0';
    if (served == NULL || count >= BUSES_MOST || ptq_bus_open(run, &options, &served->bus) != PTQ_OK) {
        free(served);
        return NULL;
    }
    if (open_streams(server, served) != PTQ_OK) {
        ptq_bus_close(served->bus);
        free(served);
        return NULL;
    }
    served->owned = true;
    served->next = server->buses->next;
    server->buses->next = served;
    return served->bus;
}

ptq_bus *pti_server_bus(struct pti_server *server, const char *run, bool make)
{
    if (run[0] == '\0')
        return server->bus;
    struct pti_served_bus *served = find_bus(server, run);
    if (served != NULL)
        return served->bus;
    if (!server->options.all_runs || !(make || run_is_there(server, run)))
        return NULL;
    return open_bus(server, run);
}

/* ---- inbox ---- */

/* On a thread of nng's. */
static int on_accepted(void *context, struct pti_link *link)
{
    struct pti_server *server = context;

    pthread_mutex_lock(&server->inbox_mutex);
    int rest = link != NULL ? pti_caps_rest(&server->caps, pti_now_ns()) : 0;
    server->no_descriptors |= link == NULL;
    pthread_mutex_unlock(&server->inbox_mutex);
    if (link == NULL) {
        pti_event_set(server->wake_fd);
        return 0;
    }
    if (pti_fetch_add_seq(&server->guest_count, 1) < server->caps.most[PTI_CAP_LINKS][PTI_ALL] + GUESTS_SPARE &&
        pti_guest_new(server, link) != NULL)
        return rest;
    pti_fetch_add_seq(&server->guest_count, -1u);
    pti_fetch_add_seq(&server->turned_away, 1);
    pti_link_free(link);
    return rest;
}

/* Once a minute: as each is closed another finds room, and the next none. */
static void tell_descriptors(struct pti_server *server)
{
    int64_t now = pti_now_ns();

    if (server->descriptors_told != 0 && now - server->descriptors_told < DESCRIPTORS_TELL_NS)
        return;
    server->descriptors_told = now;
    pti_server_log(server, PTQ_BRIDGE_ERROR,
                   "component=listener event=no_descriptors links=%llu effect=\"new links wait until some are closed; those that are "
                   "here go on\" help=\"raise the limit of descriptors (LimitNOFILE=, ulimit -n), or lower --max-links\"",
                   (unsigned long long)server->caps.used[PTI_CAP_LINKS]);
}

/* He who has said nothing for the longest goes first: an honest one says HELLO at once. */
static void end_oldest_stranger(struct pti_server *server, const struct pti_party *peer, const char *why)
{
    struct pti_guest *guest;

    TAILQ_FOREACH(guest, &server->guests, listed) {
        if (!guest->stranger || guest->farewell || guest->doomed || (peer != NULL && guest->peer != peer))
            continue;
        pti_guest_greeted(guest);
        pti_guest_send_off(guest, why);
        return;
    }
}

static void count_stranger(struct pti_guest *guest)
{
    struct pti_server *server = guest->server;
    bool own = guest->peer->used[PTI_CAP_STRANGERS] >= server->caps.most[PTI_CAP_STRANGERS][PTI_PEER];
    char why[160];

    guest->stranger = pti_caps_take(server, guest->peer, PTI_CAP_STRANGERS, 1, why, sizeof why);
    if (guest->stranger)
        return;
    end_oldest_stranger(server, own ? guest->peer : NULL, why);
    server->caps.used[PTI_CAP_STRANGERS]++; /* one has gone for it, or will with the round */
    guest->peer->used[PTI_CAP_STRANGERS]++;
    guest->stranger = true;
}

static bool may_come_in(struct pti_guest *guest)
{
    struct pti_server *server = guest->server;
    char why[160];

    if (!pti_guest_may_come(guest))
        return false;
    guest->counted = pti_caps_take(server, guest->peer, PTI_CAP_LINKS, 1, why, sizeof why);
    if (!guest->counted) {
        pti_guest_send_off(guest, why);
        return false;
    }
    count_stranger(guest);
    return true;
}

/* Who comes too often is closed without a word: each word would cost more than his link cost him. */
static void receive_guest(struct pti_guest *guest)
{
    struct pti_server *server = guest->server;

    TAILQ_INSERT_TAIL(&server->guests, guest, listed);
    guest->peer = pti_caps_hold(server, guest->origin);
    if (guest->peer == NULL || !pti_caps_dial(server, guest->peer, guest->accepted)) {
        pti_guest_doom(guest, "it came too soon after others of its address");
        return;
    }
    pti_guest_start(guest);
    (void)!may_come_in(guest);
}

static void heed(struct pti_guest *guest, unsigned words)
{
    if ((words & PTI_WORD_ACCEPTED) != 0)
        receive_guest(guest);
    if ((words & PTI_WORD_READABLE) != 0)
        pti_guest_read(guest);
    if ((words & PTI_WORD_READ_BY_IT) != 0)
        pti_guest_read_on(guest, pti_now_ns());
    if ((words & PTI_WORD_DOWN) != 0) {
        char why[160];
        pti_link_reason(guest->link, why, sizeof why);
        if (guest->frames == 0 && pti_link_is_distrusted(guest->link))
            pti_guest_note_refusal(guest, "", "certificate", why);
        pti_guest_doom(guest, why);
    }
}

static void empty_inbox(struct pti_server *server)
{
    pti_event_clear(server->wake_fd);
    for (;;) {
        pthread_mutex_lock(&server->inbox_mutex);
        struct pti_guest *guest = TAILQ_FIRST(&server->inbox);
        unsigned words = guest != NULL ? guest->words : 0;
        bool no_descriptors = server->no_descriptors;
        server->no_descriptors = false;
        if (guest != NULL) {
            TAILQ_REMOVE(&server->inbox, guest, posted);
            guest->words = 0;
        }
        pthread_mutex_unlock(&server->inbox_mutex);
        if (no_descriptors)
            tell_descriptors(server);
        if (guest == NULL)
            return;
        heed(guest, words);
    }
}

/* ---- the clock ---- */

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
static void mind_guests(struct pti_server *server, int64_t now)
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

static void mind_sessions(struct pti_server *server, int64_t now)
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

static void mind_deadlines(struct pti_server *server, int64_t now)
{
    if (now < server->next_deadline)
        return;
    server->next_deadline = PTI_DEADLINE_NEVER;
    for (struct pti_session *session = server->sessions; session != NULL; session = session->hh.next) {
        for (struct pti_channel *channel = session->channels; channel != NULL; channel = channel->hh.next)
            pti_channel_expire(channel, now);
    }
}

/* When something is due that no descriptor tells: farewells soon, pings and silence within the second, grace. */
static int wait_ms(const struct pti_server *server)
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

/* Law: silence is judged by the time in which we listened.  Whoever was stopped, or suspended with his machine, has
 * heard nobody, and what was said meanwhile may still wait in the kernel. */
static void forgive_our_absence(struct pti_server *server, int64_t now)
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
    empty_inbox(server);
    look_at_due(server);
    now = server->looked = pti_now_ns();
    forgive_our_absence(server, now);
    mind_guests(server, now);
    mind_deadlines(server, now);
    pti_gather_feed(server, now);
    pti_errand_do(server);
    look_at_due(server);
    end_round(server);
    mind_sessions(server, now);
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
        int wait = wait_ms(server);
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

static size_t count_asked(char *const *asked, size_t count, const char *url)
{
    size_t found = 0;

    for (size_t i = 0; i < count; i++)
        found += strcmp(asked[i], url) == 0;
    return found;
}

static enum ptq_err open_listener(struct pti_server *server, const char *asked, bool stays, struct ptq_error *error,
                                  struct pti_listeners *listeners)
{
    char *copy = strdup(asked);

    if (copy == NULL)
        return pti_error(error, PTQ_ENOMEM, "no memory for a bridge");
    listeners->asked[listeners->count++] = copy;
    enum ptq_err answer = stays ? PTQ_OK : pti_access_check("listen on", asked, pti_access_far(server->bus), error);
    if (answer == PTQ_OK && !stays && pti_access_is_tls(asked))
        answer = pti_keys_check_tls(server->bus->keys, asked, error);
    if (answer == PTQ_OK && !stays)
        answer = pti_listener_open(asked, server->bus->keys, on_accepted, server, error, &listeners->items[listeners->count - 1]);
    return answer;
}

enum ptq_err pti_listeners_open(struct pti_server *server, const struct ptq_bridge_options *options, const struct pti_listeners *had,
                                struct pti_listeners *ret_listeners)
{
    struct pti_listeners listeners = {.items = calloc(options->listen_count, sizeof *listeners.items),
                                      .asked = calloc(options->listen_count, sizeof *listeners.asked)};
    enum ptq_err answer = PTQ_OK;

    if (listeners.items == NULL || listeners.asked == NULL)
        answer = pti_error(options->error, PTQ_ENOMEM, "no memory for a bridge");
    for (size_t i = 0; i < options->listen_count && answer == PTQ_OK; i++) {
        const char *url = options->listen[i];
        bool stays = count_asked(listeners.asked, listeners.count, url) < count_asked(had->asked, had->count, url);
        answer = open_listener(server, url, stays, options->error, &listeners);
    }
    if (answer != PTQ_OK)
        pti_listeners_close(&listeners);
    else
        *ret_listeners = listeners;
    return answer;
}

void pti_listeners_take(struct pti_listeners *listeners, struct pti_listeners *had)
{
    for (size_t i = 0; i < listeners->count; i++) {
        for (size_t j = 0; j < had->count && listeners->items[i] == NULL; j++) {
            if (strcmp(had->asked[j], listeners->asked[i]) != 0)
                continue;
            listeners->items[i] = had->items[j];
            had->items[j] = NULL;
        }
    }
}

void pti_listeners_close(struct pti_listeners *listeners)
{
    for (size_t i = 0; i < listeners->count; i++) {
        pti_listener_close(listeners->items[i]);
        free(listeners->asked[i]);
    }
    free(listeners->items);
    free(listeners->asked);
    *listeners = (struct pti_listeners){0};
}

static enum ptq_err listen_all(struct pti_server *server, const struct ptq_bridge_options *options)
{
    if (options->listen_count == 0)
        return pti_error(options->error, PTQ_EINVAL, "a bridge needs an address to listen on, as tcp://127.0.0.1:7400");
    return pti_listeners_open(server, options, &(struct pti_listeners){0}, &server->listeners);
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
    if (answer == PTQ_OK && open_streams(&bridge->server, served) != PTQ_OK)
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
        answer = listen_all(&bridge->server, options);
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

    empty_inbox(server); /* those that were accepted and never looked at */
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
