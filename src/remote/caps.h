/* caps.h -- what one peer, and all of them together, may cost a bridge: how much of each thing, how fast, how much in vain.
 *
 * A peer is whoever a link comes from: an address (of IPv6 its /64), over ipc a user; pti_caps_identify makes it somebody by name.
 * He is known while he has a link or a session, and for as long as what he owes (a pause, a row) is remembered.
 *
 *     things   links, links without HELLO, sessions, queues, leases, bytes, streams, requests: used <= most, for him and for all
 *     rates    new links, bytes, requests, queues opened, time in vain: a bucket; whoever is in debt waits until it is paid
 *
 * Who meets a cap is told which, and which option moves it, and is not cut off where he can be made to wait: a link that came too
 * fast is closed, one that asked too much or too fast is not read for a while, and nobody else's is.  All of it is the server's thread's,
 * but pti_caps_rest.
 */
#ifndef PTQ_REMOTE_CAPS_H
#define PTQ_REMOTE_CAPS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uthash.h>

#include <ptq/bridge.h>

struct pti_server;
struct pti_guest;
struct pti_session;
struct pti_stream;

enum pti_cap {
    PTI_CAP_LINKS = 0,
    PTI_CAP_STRANGERS, /* links on which no HELLO has come */
    PTI_CAP_SESSIONS,
    PTI_CAP_QUEUES,
    PTI_CAP_LEASES,
    PTI_CAP_BYTES,
    PTI_CAP_STREAMS,
    PTI_CAP_REQUESTS, /* kept, by blocks */
    PTI_CAP_THINGS,
    PTI_CAP_DIALS = PTI_CAP_THINGS, /* rates */
    PTI_CAP_VAIN,
    PTI_CAP_OPENS,
    PTI_CAP_RATE,
    PTI_CAP_REQUEST_RATE,
    PTI_CAPS
};
enum pti_scope { PTI_ALL = 0, PTI_PEER = 1, PTI_SCOPES };

/* When all that was used is paid; before now minus the burst: nothing is owed. */
typedef int64_t pti_bucket;

struct pti_party {
    struct pti_server *server;
    char name[80];
    UT_hash_handle hh;
    unsigned holders; /* guests, sessions, streams */
    uint64_t used[PTI_CAP_THINGS];
    pti_bucket paid[PTI_CAPS];
    unsigned strikes; /* links in a row that ended for what no correct peer sends */
    int64_t struck;   /* the last of them */
    uint64_t met[PTI_CAPS], told_met[PTI_CAPS];
    int64_t told[PTI_CAPS];
};

struct pti_caps {
    uint64_t most[PTI_CAPS][PTI_SCOPES]; /* UINT64_MAX: no limit */
    uint64_t used[PTI_CAP_THINGS];
    pti_bucket paid[PTI_CAPS]; /* of all; that of dials under the inbox's mutex */
    bool meters;               /* bytes or requests have a rate */
    struct pti_party *peers;    /* uthash by name */
    uint64_t links_gone;       /* since memory was given back last */
    int64_t forget_at;         /* when to look for peers that owe nothing any more, and for memory to give back */
    _Atomic uint64_t met[PTI_CAPS][PTI_SCOPES]; /* how often, ever; any thread may read it */
    int64_t told[PTI_CAPS];
    uint64_t told_met[PTI_CAPS];
};

void pti_caps_init(struct pti_caps *caps, const struct ptq_bridge_limits *limits);
/* Other limits; what is used already stays so, and nobody is cut off. */
void pti_caps_set(struct pti_caps *caps, const struct ptq_bridge_limits *limits);
void pti_caps_fini(struct pti_caps *caps); /* no guest and no session is left */

/* "--max-peer-links": what moves it. */
const char *pti_caps_option(enum pti_cap cap, enum pti_scope scope);
/* "max-peer-links": what status and figures call it. */
const char *pti_caps_name(enum pti_cap cap, enum pti_scope scope);
/* There is a limit. */
bool pti_caps_limits(const struct pti_caps *caps, enum pti_cap cap, enum pti_scope scope);

/* ---- peers */

/* He who is called so; NULL: no memory, or too many are known. */
struct pti_party *pti_caps_hold(struct pti_server *server, const char *name);
void pti_caps_drop(struct pti_server *server, struct pti_party *peer);

/* Law: after a proof of who it is, before a session is found.  From now on the guest is his, not his address's.
 * False: he has as many links as one may have; the guest is refused. */
bool pti_caps_identify(struct pti_guest *guest, const char *identity);
/* The session came over a link of another peer: what it has is his. */
void pti_caps_move(struct pti_session *session, struct pti_party *peer);

/* Forgets peers that are gone and owe nothing; gives memory back after many links have ended. */
void pti_caps_forget(struct pti_server *server, int64_t now);

/* ---- things */

/* One more, or so many.  False: nothing is taken; which cap it is stands in `why`, is counted, and is logged once a minute. */
bool pti_caps_take(struct pti_server *server, struct pti_party *peer, enum pti_cap cap, uint64_t amount, char *why, size_t size);
void pti_caps_give(struct pti_server *server, struct pti_party *peer, enum pti_cap cap, uint64_t amount);
/* How many more there may be. */
uint64_t pti_caps_left(const struct pti_server *server, const struct pti_party *peer, enum pti_cap cap);

/* The row is counted to him for as long as it is kept, unless it is somebody's already. */
void pti_caps_pay_stream(struct pti_party *peer, struct pti_stream *stream);

/* ---- rates */

/* On a thread of nng's, with the inbox's mutex: a link was accepted; for how many milliseconds shall no other be? */
int pti_caps_rest(struct pti_caps *caps, int64_t now);
/* A link of his has come.  False: too soon. */
bool pti_caps_dial(struct pti_server *server, struct pti_party *peer, int64_t now);
/* One of his links ended for what no correct peer sends: the next may come later, each time twice as much. */
void pti_caps_strike(struct pti_server *server, struct pti_party *peer, int64_t now);
/* So many nanoseconds of work came to nothing.  Holds the guest's reader while more is owed than one may owe. */
void pti_caps_vain(struct pti_guest *guest, int64_t spent_ns, int64_t now);
/* He has opened a queue.  Likewise. */
void pti_caps_opened(struct pti_guest *guest, int64_t now);
/* So much came.  Likewise, of one that has a session. */
void pti_caps_flow(struct pti_guest *guest, uint64_t bytes, uint64_t frames, int64_t now);

#endif
