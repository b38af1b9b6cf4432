/* caps.c -- what one peer, and all of them together, may cost a bridge. */
#define HASH_NONFATAL_OOM 1
#include "remote/caps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "base/atomic.h"
#include "base/time.h"
#include "remote/server.h"

#define PEERS_MOST 16384u
#define DIAL_BURST_NS (10 * PTI_NS_PER_S)  /* so much of the rate may come at once */
#define DIAL_DEBT_NS (10 * PTI_NS_PER_S)   /* the longest that an address waits */
#define VAIN_BURST_NS (5 * PTI_NS_PER_S)
#define OPEN_BURST_NS (20 * PTI_NS_PER_S) /* a program may open thousands when it begins */
#define FLOW_BURST_NS (PTI_NS_PER_S / 4)
#define STRIKES_MOST 6u                    /* 2^6 links are what one costs at most */
#define STRUCK_NS (60 * PTI_NS_PER_S)      /* after so long without one they are forgotten */
#define TELL_NS (60 * PTI_NS_PER_S)
#define REST_MS 100                        /* then as many as come in that time, at once: each rest costs nng up to a millisecond */
#define FORGET_NS (4 * PTI_NS_PER_S)
#define MANY_LINKS 64u
#define NO_LIMIT UINT64_MAX

/* ---- the table ---- */

#define FIELD(name) offsetof(struct ptq_bridge_limits, name)
static const struct {
    const char *what;                   /* "4096 links are open" */
    const char *option[PTI_SCOPES];     /* NULL: there is no such limit */
    size_t field[PTI_SCOPES];
    uint64_t usual[PTI_SCOPES];
} table[PTI_CAPS] = {
    [PTI_CAP_LINKS] = {"links are open", {"--max-links", "--max-peer-links"}, {FIELD(links), FIELD(peer_links)}, {4096, 2048}},
    [PTI_CAP_STRANGERS] = {"links have not said HELLO", {"--max-strangers", "--max-peer-strangers"},
                           {FIELD(strangers), FIELD(peer_strangers)}, {1024, 256}},
    [PTI_CAP_SESSIONS] = {"sessions are open", {"--max-sessions", "--max-peer-sessions"}, {FIELD(sessions), FIELD(peer_sessions)},
                          {8192, 4096}},
    [PTI_CAP_QUEUES] = {"queues are open", {"--max-queues", "--max-peer-queues"}, {FIELD(queues), FIELD(peer_queues)}, {16384, 8192}},
    [PTI_CAP_LEASES] = {"messages are leased", {"--max-leases", "--max-peer-leases"}, {FIELD(leases), FIELD(peer_leases)},
                        {UINT64_C(4) << 20, UINT64_C(2) << 20}},
    [PTI_CAP_BYTES] = {"bytes wait", {"--max-bytes", "--max-peer-bytes"}, {FIELD(bytes), FIELD(peer_bytes)},
                       {UINT64_C(256) << 20, UINT64_C(192) << 20}},
    [PTI_CAP_STREAMS] = {"handles of other hosts are known", {"--max-streams", "--max-peer-streams"},
                         {FIELD(streams), FIELD(peer_streams)}, {65536, 32768}},
    [PTI_CAP_REQUESTS] = {"requests are kept", {"--max-requests", "--max-peer-requests"}, {FIELD(requests), FIELD(peer_requests)},
                          {UINT64_C(2) << 20, UINT64_C(1) << 20}},
    [PTI_CAP_DIALS] = {"new links a second", {"--max-dials", "--max-peer-dials"}, {FIELD(dials), FIELD(peer_dials)}, {250, 100}},
    [PTI_CAP_VAIN] = {"thousandths of a core are spent in vain", {"--max-vain", "--max-peer-vain"}, {FIELD(vain), FIELD(peer_vain)},
                      {100, 60}},
    [PTI_CAP_OPENS] = {"queues are opened a second", {"--max-opens", "--max-peer-opens"}, {FIELD(opens), FIELD(peer_opens)}, {1000, 500}},
    [PTI_CAP_RATE] = {"bytes a second", {NULL, "--max-peer-rate"}, {0, FIELD(peer_rate)}, {NO_LIMIT, NO_LIMIT}},
    [PTI_CAP_REQUEST_RATE] = {"requests a second", {NULL, "--max-peer-request-rate"}, {0, FIELD(peer_request_rate)},
                              {NO_LIMIT, NO_LIMIT}},
};
#undef FIELD

const char *pti_caps_option(enum pti_cap cap, enum pti_scope scope)
{
    return table[cap].option[scope];
}

const char *pti_caps_name(enum pti_cap cap, enum pti_scope scope)
{
    const char *option = pti_caps_option(cap, scope);

    return option + strspn(option, "-");
}

bool pti_caps_limits(const struct pti_caps *caps, enum pti_cap cap, enum pti_scope scope)
{
    return caps->most[cap][scope] != NO_LIMIT;
}

void pti_caps_set(struct pti_caps *caps, const struct ptq_bridge_limits *limits)
{
    for (int cap = 0; cap < PTI_CAPS; cap++) {
        for (int scope = 0; scope < PTI_SCOPES; scope++) {
            uint64_t asked = 0;
            if (table[cap].option[scope] != NULL)
                memcpy(&asked, (const char *)limits + table[cap].field[scope], sizeof asked);
            caps->most[cap][scope] = asked != 0 ? asked : table[cap].usual[scope];
        }
    }
    caps->meters = caps->most[PTI_CAP_RATE][PTI_PEER] != NO_LIMIT || caps->most[PTI_CAP_REQUEST_RATE][PTI_PEER] != NO_LIMIT;
}

void pti_caps_init(struct pti_caps *caps, const struct ptq_bridge_limits *limits)
{
    pti_caps_set(caps, limits);
    caps->forget_at = PTI_DEADLINE_NEVER;
}

/* ---- peers ---- */

struct pti_party *pti_caps_hold(struct pti_server *server, const char *name)
{
    struct pti_caps *caps = &server->caps;
    unsigned before = HASH_COUNT(caps->peers);
    struct pti_party *peer;

    HASH_FIND_STR(caps->peers, name, peer);
    if (peer == NULL && before < PEERS_MOST && (peer = calloc(1, sizeof *peer)) != NULL) {
        snprintf(peer->name, sizeof peer->name, "%s", name);
        peer->server = server;
        HASH_ADD_STR(caps->peers, name, peer);
        if (HASH_COUNT(caps->peers) == before) {
            free(peer);
            peer = NULL;
        }
    }
    if (peer != NULL)
        peer->holders++;
    return peer;
}

/* Does he owe nothing?  A bucket that is full is as good as a new one. */
static bool is_even(const struct pti_party *peer, int64_t now)
{
    return peer->paid[PTI_CAP_DIALS] <= now - DIAL_BURST_NS && peer->paid[PTI_CAP_VAIN] <= now - VAIN_BURST_NS &&
           peer->paid[PTI_CAP_OPENS] <= now - OPEN_BURST_NS &&
           (peer->strikes == 0 || now - peer->struck >= STRUCK_NS);
}

static bool are_many_gone(const struct pti_caps *caps)
{
    return caps->links_gone >= MANY_LINKS;
}

static void free_peer(struct pti_caps *caps, struct pti_party *peer)
{
    HASH_DELETE(hh, caps->peers, peer);
    free(peer);
}

void pti_caps_drop(struct pti_server *server, struct pti_party *peer)
{
    if (peer == NULL || --peer->holders > 0)
        return;
    int64_t now = pti_now_ns();
    if (is_even(peer, now))
        free_peer(&server->caps, peer);
    else if (server->caps.forget_at == PTI_DEADLINE_NEVER)
        server->caps.forget_at = now + FORGET_NS;
}

/* What malloc keeps for later of many links, at once or one after the other, is given back: an attack that is over costs nothing any
 * more. */
static void give_memory_back(struct pti_caps *caps)
{
    if (!are_many_gone(caps))
        return;
    caps->links_gone = 0;
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

void pti_caps_forget(struct pti_server *server, int64_t now)
{
    struct pti_caps *caps = &server->caps;
    struct pti_party *peer, *next;
    bool more = false;

    if (now < caps->forget_at)
        return;
    give_memory_back(caps);
    for (peer = caps->peers; peer != NULL; peer = next) {
        next = peer->hh.next;
        if (peer->holders == 0 && is_even(peer, now))
            free_peer(caps, peer);
        else
            more |= peer->holders == 0;
    }
    caps->forget_at = more ? now + FORGET_NS : PTI_DEADLINE_NEVER;
}

void pti_caps_fini(struct pti_caps *caps)
{
    while (caps->peers != NULL)
        free_peer(caps, caps->peers);
}

/* A user is called so by his address already; a node must not be taken for one. */
bool pti_caps_identify(struct pti_guest *guest, const char *identity)
{
    struct pti_server *server = guest->server;
    char name[sizeof guest->peer->name], why[sizeof name + 160];

    snprintf(name, sizeof name, "%s%s", strncmp(identity, "uid:", 4) == 0 ? "" : "node ", identity);
    struct pti_party *before = guest->peer, *peer = pti_caps_hold(server, name);

    if (peer == before) {
        pti_caps_drop(server, peer);
        return true;
    }
    pti_caps_give(server, before, PTI_CAP_LINKS, 1); /* he is one link in any case */
    if (peer == NULL || !pti_caps_take(server, peer, PTI_CAP_LINKS, 1, why, sizeof why)) {
        pti_guest_send_off(guest, peer != NULL ? why : "too many peers are known here");
        server->caps.used[PTI_CAP_LINKS]++;
        before->used[PTI_CAP_LINKS]++;
        pti_caps_drop(server, peer);
        return false;
    }
    pti_guest_greeted(guest);
    pti_caps_drop(server, before);
    guest->peer = peer;
    return true;
}

void pti_caps_move(struct pti_session *session, struct pti_party *peer)
{
    struct pti_server *server = session->server;
    struct pti_party *before = session->peer;
    uint64_t used[PTI_CAP_THINGS] = {[PTI_CAP_SESSIONS] = 1};

    if (before == peer)
        return;
    for (const struct pti_channel *channel = session->channels; channel != NULL; channel = channel->hh.next) {
        used[PTI_CAP_QUEUES]++;
        used[PTI_CAP_LEASES] += HASH_COUNT(channel->leases);
        used[PTI_CAP_BYTES] += channel->buffered + channel->gathered;
        used[PTI_CAP_REQUESTS] += channel->request_room;
    }
    for (int cap = 0; cap < PTI_CAP_THINGS; cap++) {
        before->used[cap] -= used[cap];
        peer->used[cap] += used[cap];
    }
    peer->holders++;
    session->peer = peer;
    pti_caps_drop(server, before);
}

/* ---- things ---- */

static uint64_t left_of(uint64_t most, uint64_t used)
{
    return used < most ? most - used : 0;
}

uint64_t pti_caps_left(const struct pti_server *server, const struct pti_party *peer, enum pti_cap cap)
{
    const struct pti_caps *caps = &server->caps;
    uint64_t all = left_of(caps->most[cap][PTI_ALL], caps->used[cap]), own = left_of(caps->most[cap][PTI_PEER], peer->used[cap]);

    return all < own ? all : own;
}

/* One thread writes each of them. */
static void bump(_Atomic uint64_t *count)
{
    pti_store_relaxed(count, pti_load_relaxed(count) + 1);
}

/* Once a minute for each, with how often it was since: a peer that is held up provokes no log. */
static void log_met(struct pti_server *server, struct pti_party *peer, enum pti_cap cap, enum pti_scope scope, int64_t now)
{
    struct pti_caps *caps = &server->caps;
    int64_t *told = scope == PTI_PEER ? &peer->told[cap] : &caps->told[cap];
    uint64_t met = scope == PTI_PEER ? peer->met[cap] : pti_load_relaxed(&caps->met[cap][PTI_ALL]);
    uint64_t *told_met = scope == PTI_PEER ? &peer->told_met[cap] : &caps->told_met[cap];

    if (*told != 0 && now - *told < TELL_NS)
        return;
    *told = now;
    pti_server_log(server, PTQ_BRIDGE_WARNING, "component=caps event=met peer=\"%s\" option=%s most=%llu times=%llu why=\"%s\"",
                   peer->name, table[cap].option[scope], (unsigned long long)caps->most[cap][scope],
                   (unsigned long long)(met - *told_met), table[cap].what);
    *told_met = met;
}

/* Somebody wanted one more than there may be: counts, logs and says so. */
static void meet(struct pti_server *server, struct pti_party *peer, enum pti_cap cap, enum pti_scope scope, char *why, size_t size)
{
    bump(&server->caps.met[cap][scope]);
    peer->met[cap] += scope == PTI_PEER;
    log_met(server, peer, cap, scope, pti_now_ns());
    if (why != NULL)
        snprintf(why, size, "%llu %s %s%s, which is the most (%s of the ptqbridge there)",
                 (unsigned long long)server->caps.most[cap][scope], table[cap].what, scope == PTI_PEER ? "from " : "in all",
                 scope == PTI_PEER ? peer->name : "", table[cap].option[scope]);
}

bool pti_caps_take(struct pti_server *server, struct pti_party *peer, enum pti_cap cap, uint64_t amount, char *why, size_t size)
{
    struct pti_caps *caps = &server->caps;

    if (amount > left_of(caps->most[cap][PTI_PEER], peer->used[cap]))
        meet(server, peer, cap, PTI_PEER, why, size);
    else if (amount > left_of(caps->most[cap][PTI_ALL], caps->used[cap]))
        meet(server, peer, cap, PTI_ALL, why, size);
    else {
        caps->used[cap] += amount;
        peer->used[cap] += amount;
        return true;
    }
    return false;
}

void pti_caps_give(struct pti_server *server, struct pti_party *peer, enum pti_cap cap, uint64_t amount)
{
    struct pti_caps *caps = &server->caps;

    caps->used[cap] -= amount;
    peer->used[cap] -= amount;
    if (cap == PTI_CAP_LINKS)
        caps->links_gone += amount;
    if (cap == PTI_CAP_LINKS && caps->forget_at == PTI_DEADLINE_NEVER && are_many_gone(caps))
        caps->forget_at = pti_now_ns() + FORGET_NS;
}

/* ---- streams: what is kept when everybody has gone ---- */

static void stream_ended(void *context)
{
    struct pti_party *peer = context;
    struct pti_server *server = peer->server;

    pti_caps_give(server, peer, PTI_CAP_STREAMS, 1);
    pti_caps_drop(server, peer);
}

void pti_caps_pay_stream(struct pti_party *peer, struct pti_stream *stream)
{
    if (pti_stream_is_paid(stream) || !pti_caps_take(peer->server, peer, PTI_CAP_STREAMS, 1, NULL, 0))
        return;
    peer->holders++;
    pti_stream_set_payer(stream, stream_ended, peer);
}

/* ---- rates ---- */

/* What `units` cost, where there may be `most` a second. */
static int64_t cost_of(uint64_t units, uint64_t most)
{
    double cost = most == NO_LIMIT ? 0 : (double)units / (double)most * (double)PTI_NS_PER_S;

    return cost < 1e15 ? (int64_t)cost : INT64_C(1000000000000000);
}

static void charge(pti_bucket *paid, int64_t now, int64_t cost, int64_t burst)
{
    *paid = (*paid > now - burst ? *paid : now - burst) + cost;
}

/* Meanwhile those of others wait in the kernel. */
int pti_caps_rest(struct pti_caps *caps, int64_t now)
{
    pti_bucket *paid = &caps->paid[PTI_CAP_DIALS];

    charge(paid, now, cost_of(1, caps->most[PTI_CAP_DIALS][PTI_ALL]), DIAL_BURST_NS);
    if (*paid <= now)
        return 0;
    bump(&caps->met[PTI_CAP_DIALS][PTI_ALL]);
    return (int)((*paid - now) / PTI_NS_PER_MS) + REST_MS;
}

bool pti_caps_dial(struct pti_server *server, struct pti_party *peer, int64_t now)
{
    if (peer->paid[PTI_CAP_DIALS] > now) {
        meet(server, peer, PTI_CAP_DIALS, PTI_PEER, NULL, 0);
        return false;
    }
    charge(&peer->paid[PTI_CAP_DIALS], now, cost_of(1, server->caps.most[PTI_CAP_DIALS][PTI_PEER]), DIAL_BURST_NS);
    return true;
}

void pti_caps_strike(struct pti_server *server, struct pti_party *peer, int64_t now)
{
    if (now - peer->struck >= STRUCK_NS)
        peer->strikes = 0;
    peer->struck = now;
    charge(&peer->paid[PTI_CAP_DIALS], now, cost_of(UINT64_C(1) << peer->strikes, server->caps.most[PTI_CAP_DIALS][PTI_PEER]), DIAL_BURST_NS);
    if (peer->paid[PTI_CAP_DIALS] > now + DIAL_DEBT_NS)
        peer->paid[PTI_CAP_DIALS] = now + DIAL_DEBT_NS;
    peer->strikes += peer->strikes < STRIKES_MOST;
}

static uint64_t scaled(uint64_t most, uint64_t scale)
{
    return most < NO_LIMIT / scale ? most * scale : NO_LIMIT;
}

/* Both buckets pay; whoever is in debt waits for both.  scale: units in one of those in which the limit is said. */
static void charge_and_hold(struct pti_guest *guest, enum pti_cap cap, uint64_t units, uint64_t scale, int64_t now, int64_t burst)
{
    struct pti_server *server = guest->server;
    pti_bucket *const buckets[PTI_SCOPES] = {&server->caps.paid[cap], &guest->peer->paid[cap]};

    for (int scope = 0; scope < PTI_SCOPES; scope++) {
        int64_t cost = cost_of(units, scaled(server->caps.most[cap][scope], scale));
        if (cost == 0)
            continue;
        charge(buckets[scope], now, cost, burst);
        if (*buckets[scope] <= now)
            continue;
        meet(server, guest->peer, cap, (enum pti_scope)scope, NULL, 0);
        if (guest->session != NULL) /* who is on his way in says little, and has little time for it */
            pti_guest_hold(guest, *buckets[scope]);
    }
}

/* A thousandth of a core is a million nanoseconds a second. */
void pti_caps_vain(struct pti_guest *guest, int64_t spent_ns, int64_t now)
{
    charge_and_hold(guest, PTI_CAP_VAIN, spent_ns > 0 ? (uint64_t)spent_ns : 1, 1000000, now, VAIN_BURST_NS);
}

void pti_caps_opened(struct pti_guest *guest, int64_t now)
{
    charge_and_hold(guest, PTI_CAP_OPENS, 1, 1, now, OPEN_BURST_NS);
}

void pti_caps_flow(struct pti_guest *guest, uint64_t bytes, uint64_t frames, int64_t now)
{
    charge_and_hold(guest, PTI_CAP_RATE, bytes, 1, now, FLOW_BURST_NS);
    charge_and_hold(guest, PTI_CAP_REQUEST_RATE, frames, 1, now, FLOW_BURST_NS);
}
