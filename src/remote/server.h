/* server.h -- the home's side: links of others (guests), their sessions, a channel for each queue they opened.
 *
 * One thread, that of ptq_bridge_run, owns everything here but the inbox.  The events of links come on nng's threads
 * and only leave word in the inbox; a link's bytes are read, and answers made, by the one thread.  So a queue is
 * entered by one thread, as one endpoint a channel, and nothing here needs a lock.  It never sleeps in a call on a
 * queue: each is asked with PTI_DEADLINE_NOW, and what has to wait waits in the channel until the queue's descriptor
 * says that it is worth a try.
 */
#ifndef PTQ_REMOTE_SERVER_H
#define PTQ_REMOTE_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <uthash.h>

#include <ptq/bridge.h>

#include "bus/bus.h"
#include "bus/routes.h"
#include "queue/port.h"
#include "remote/caps.h"
#include "remote/certs.h"
#include "remote/channel.h"
#include "remote/figures.h"
#include "remote/grants.h"
#include "remote/guest.h"
#include "remote/keys.h"
#include "remote/proof.h"
#include "remote/refusals.h"

#define PTI_REQUESTS_KEPT (4 * PTI_WIRE_REQUESTS) /* of one channel: unanswered, or not known to be received */
#define PTI_HELLO_MS 5000
#define PTI_GUEST_PING_MS 1500 /* after it was heard, or pinged, last: it pings us each second */
#define PTI_GUEST_MEASURE_MS 10000 /* ... but so often in any case, for its round trip */
#define PTI_FAREWELL_LOOK_MS 5 /* until they have gone */
#define PTI_SILENCE_MS 3000

/* What a directory held, for as long as nothing was made or removed in it. */
struct pti_listed {
    char (*names)[PTQ_NAME_MAX + 1];
    size_t count, room;
    bool is_good;
    struct timespec seen; /* bus/directory.h */
};

/* A conversation; it outlives its links for the grace. */
struct pti_session {
    struct pti_server *server;
    struct pti_party *peer; /* whose it is */
    uint8_t id[PTI_SESSION_BYTES];
    uint64_t attempt;      /* of the newest HELLO that it was found by; 0: the far side does not count */
    uint64_t generation;   /* drawn: this session, not another of its id */
    UT_hash_handle hh;
    struct pti_guest *guest; /* NULL: down since down_since */
    int64_t down_since;
    uint64_t number;       /* for the log, and the streams of its channels */
    uint64_t request_bytes; /* what it is ready to receive at once */
    char node[64];
    char identity[PTI_IDENTITY_BYTES]; /* whose it is, on every link; "": nobody's in particular */
    uint8_t key_mark[PTI_PROOF_BYTES]; /* of the key by which he proved that (proof.h) */
    uint64_t gathered;      /* bytes of what comes to it in pieces */
    struct pti_channel *channels;
};

struct pti_served_bus {
    ptq_bus *bus;
    struct pti_streams *streams; /* who put what here */
    bool owned;
    struct pti_served_bus *next;
};

struct pti_node;
struct pti_told;
struct pti_route_keeper;     /* carries queues to other homes */
struct pti_directory_keeper; /* learns and publishes the directories of peers */

struct pti_server {
    struct ptq_bridge_options options; /* of what pti_server_take takes, and the log */
    ptq_bus *bus;
    struct pti_served_bus *buses; /* the first is `bus` */
    uint64_t incarnation;
    struct pti_listeners {
        struct pti_listener **items;
        char **asked; /* as it was asked for: port 0 stays 0 */
        size_t count;
    } listeners;
    struct {
        struct pti_certs_mark mark;
        int64_t until; /* seconds of 1970; 0: there is none */
    } certs;           /* that are shown */
    pthread_mutex_t parts; /* of the next two, which others look at while they may be replaced; the innermost but those of their own */
    struct pti_directory_keeper *keeper;
    struct pti_route_keeper *carrier;
    struct pti_routes routes; /* changed only while keeper and carrier are not there */
    struct pti_told *told;    /* of peers and moves, for the next difference */
    struct {
        _Atomic bool posted;
        pthread_mutex_t mutex; /* of the rest */
        pthread_cond_t done;
        void (*work)(struct pti_server *server, void *context);
        void *context;
        bool ran, running; /* there was, there is somebody to do it */
    } errand;
    struct pti_grants grants;     /* who may do what */
    char key_name[PTI_KEY_NAME];  /* who we are to those who dial; "": we have no keys */
    struct pti_refusals refusals;
    struct pti_node *node; /* who the bus is to others, and the page that proves it */
    struct pti_via_service *_Atomic via; /* for the programs of this host; NULL: there was no room for it yet */
    int64_t via_at;                      /* when to try that again */

    pthread_mutex_t inbox_mutex;
    TAILQ_HEAD(, pti_guest) inbox;
    _Atomic unsigned guest_count;
    int wake_fd, poll_fd;
    _Atomic unsigned stops; /* how often it was asked to stop */

    TAILQ_HEAD(, pti_guest) guests, touched;
    int64_t guests_at, sessions_at; /* before that nothing is due of a guest; of a session that is down */
    struct pti_caps caps;
    bool no_descriptors;  /* under the inbox's mutex: links could not be accepted */
    int64_t descriptors_told; /* 0: never */
    struct pti_session *sessions;
    TAILQ_HEAD(, pti_channel) due;
    uint64_t session_count_ever;
    unsigned starving; /* puts that wait for memory */
    int64_t looked, round_due; /* the last round; when the next is to come at the latest */
    int64_t next_deadline; /* of requests that wait; may be too early */
    struct pti_traffic traffic; /* of links that have ended */
    uint64_t refused[PTI_CODES]; /* links, by what they were told, or would have been */
    _Atomic uint64_t turned_away; /* ... before they were a guest: there were too many */
    struct pti_figures_desk desk;
    struct pti_listed listed; /* the names of `bus`, as they were listed last */
    bool ran; /* ptq_bridge_run was called */
    bool draining;
    int64_t drain_until;
    struct pti_put *puts; /* scratch */
    size_t put_room;
    struct ptq_msg **msgs;
    size_t msg_room;
};

struct ptq_bridge {
    struct pti_server server;
};

/* ---- server.c */
struct pti_server *pti_server_of(ptq_bridge *bridge);
void pti_server_log(struct pti_server *server, enum ptq_bridge_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Something is due of a guest by then. */
static inline void pti_server_mind_guests(struct pti_server *server, int64_t when)
{
    server->guests_at = when < server->guests_at ? when : server->guests_at;
}
static inline void pti_server_mind_sessions(struct pti_server *server, int64_t when)
{
    server->sessions_at = when < server->sessions_at ? when : server->sessions_at;
}
/* Bytes that wait, of this session's puts. */
static inline void pti_server_count_bytes(struct pti_session *session, uint64_t more, uint64_t less)
{
    session->server->caps.used[PTI_CAP_BYTES] += more - less;
    session->peer->used[PTI_CAP_BYTES] += more - less;
}
/* Somebody waits until then. */
void pti_server_remind(struct pti_server *server, int64_t when);

/* The simple ones. */
void pti_server_take(struct pti_server *server, const struct ptq_bridge_options *options);

/* ---- buses.c */
/* The bus of a run ("": the usual one), opened where it is missing and `make`; NULL: not served, or not there. */
ptq_bus *pti_server_bus(struct pti_server *server, const char *run, bool make);
/* The streams of a bus that is served; never NULL. */
struct pti_streams *pti_server_streams(struct pti_server *server, const ptq_bus *bus);
/* Before anything is served: what a killed bridge left undecided is read back by this. */
enum ptq_err pti_server_open_streams(struct pti_server *server, struct pti_served_bus *served);

/* ---- inbox.c */
/* On a thread of nng's: as `accepted` of pti_listener_open. */
int pti_inbox_accepted(void *context, struct pti_link *link);
void pti_inbox_empty(struct pti_server *server);

/* ---- clock.c: in each round */
void pti_clock_guests(struct pti_server *server, int64_t now);
void pti_clock_sessions(struct pti_server *server, int64_t now);
void pti_clock_deadlines(struct pti_server *server, int64_t now);
/* Law: silence is judged by the time in which we listened.  Whoever was stopped, or suspended with his machine, has
 * heard nobody, and what was said meanwhile may still wait in the kernel. */
void pti_clock_forgive(struct pti_server *server, int64_t now);
/* When something is due that no descriptor tells: farewells soon, pings and silence within the second, grace. */
int pti_clock_wait_ms(const struct pti_server *server);

/* ---- listeners.c */
/* All that `options` asks for; PTQ_EINVAL: none. */
enum ptq_err pti_listeners_open_first(struct pti_server *server, const struct ptq_bridge_options *options);
/* Opens what of `options` is not among those that are had; the others are NULL until they are taken.  take: from there. */
enum ptq_err pti_listeners_open(struct pti_server *server, const struct ptq_bridge_options *options, const struct pti_listeners *had,
                                struct pti_listeners *ret_listeners);
void pti_listeners_take(struct pti_listeners *listeners, struct pti_listeners *had);
void pti_listeners_close(struct pti_listeners *listeners);

/* ---- reload.c */
/* Keeps what the next options will be compared with.  PTQ_ENOMEM. */
enum ptq_err pti_told_keep(const struct ptq_bridge_options *options, struct pti_told **ret_told);
void pti_told_free(struct pti_told *told);
void pti_errand_init(struct pti_server *server);
void pti_errand_fini(struct pti_server *server);
/* By the serving thread: between two rounds; when it begins and when it ends. */
void pti_errand_do(struct pti_server *server);
void pti_errand_open(struct pti_server *server, bool running);

/* ---- check.c: PTQ_EINVAL, PTQ_EPERM with a sentence; PTQ_ENOMEM */
enum ptq_err pti_options_routes(const struct ptq_bridge_options *options, struct pti_routes *ret_routes);
enum ptq_err pti_options_check(const struct ptq_bridge_options *options, bool far);
/* keys: their folder, or NULL. */
enum ptq_err pti_options_check_rights(const char *keys, const struct ptq_bridge_options *options);

/* ---- session.c */
struct pti_session *pti_session_find(struct pti_server *server, const uint8_t id[PTI_SESSION_BYTES]);
/* NULL: which cap was met stands in `why`. */
struct pti_session *pti_session_new(struct pti_guest *guest, const struct pti_hello *hello, char *why, size_t size);
void pti_session_attach(struct pti_session *session, struct pti_guest *guest);
void pti_session_detach(struct pti_session *session); /* the link is gone */
void pti_session_free(struct pti_session *session, const char *why);

/* ---- rights.c */
/* What keys and rules the bridge has, by its options.  PTQ_EINVAL, PTQ_EPERM, PTQ_ENOENT: keys that are no good, or a rule that makes no sense. */
enum ptq_err pti_rights_open(struct pti_server *server, const struct ptq_bridge_options *options);
/* Opens the sockets among these addresses, which listen already, to all users, if there are rules for users. */
void pti_rights_share(const struct pti_server *server, const char *const *urls, size_t count);
/* Reads them again; what cannot be read allows nothing. */
enum ptq_err pti_rights_read(struct pti_server *server, const struct ptq_bridge_options *options, struct pti_grants *ret_grants);
/* What this session may do with the queue that is called so here. */
unsigned pti_session_rights(const struct pti_session *session, const char *here);
/* May this channel be used for it?  Else it is counted, and logged once; `error` (or NULL) gets the sentence. */
bool pti_channel_may(struct pti_channel *channel, unsigned right, struct ptq_error *error);
/* The sentence alone. */
enum ptq_err pti_session_explain_denial(struct pti_session *session, uint32_t thing, const char *name, unsigned right,
                                        struct ptq_error *error);
/* Whoever asked may not: PTQ_EPERM with a sentence; counted, and logged once. */
enum ptq_err pti_session_deny(struct pti_session *session, uint32_t thing, const char *name, unsigned right, struct ptq_error *error);

/* ---- revoke.c: ends what came in by a key that is not there any more, or is another */
void pti_server_revoke(struct pti_server *server);

/* ---- listing.c */
void pti_listed_forget(struct pti_listed *listed);

/* ---- keeper.c */
enum ptq_err pti_keeper_start(struct pti_server *server, const char *const *peers, size_t count, struct ptq_error *error,
                              struct pti_directory_keeper **ret_keeper);
/* Are these "name=url", each name once, and may they be dialled?  PTQ_EINVAL, PTQ_EPERM with a sentence. */
enum ptq_err pti_peers_check(const char *const *peers, size_t count, bool far, struct ptq_error *error);
/* Takes away what bridges that were killed left half written, and, if we know no peers, what they published. */
void pti_keeper_tidy(ptq_bus *bus, const struct pti_node *node, bool without_peers);
void pti_keeper_stop(struct pti_directory_keeper *keeper);
/* Others in place of these: what is published stays until they have something to say, and links to those who stay are kept.  `old` or
 * all of the new may be none; `swap` is called while neither is there.  PTQ_ENOMEM: there is none now. */
enum ptq_err pti_keeper_replace(struct pti_server *server, struct pti_directory_keeper *old, const struct ptq_bridge_options *options,
                                void (*swap)(void *context), void *context, struct pti_directory_keeper **ret_keeper);
/* How a peer was when it was looked at last: every two seconds.  Borrowed until `each` returns. */
struct pti_peer_figures {
    const char *node, *url, *why; /* why: it is down; "" */
    bool is_up;
    uint64_t rtt_ns; /* 0: not known */
    uint64_t queues;
};
void pti_keeper_look(struct pti_directory_keeper *keeper, void (*each)(const struct pti_peer_figures *peer, void *context),
                     void *context); /* from any thread */
/* The last look was begun so long ago; 0: it waits for the next. */
int64_t pti_keeper_busy_ns(struct pti_directory_keeper *keeper);

#endif
