/* bridge.h -- serving a bus to other hosts: what ptqbridge does, for a service that wants to do it in its own process.
 *
 * The home serves: whoever opens a queue of this bus from another host talks to a bridge here, over tcp://, ipc:// or ws://.
 * A plain link is neither encrypted nor checked, so beyond the loopback nothing listens or dials unless the bus has keys
 * (ptq_bus_options.keys), with which each side proves who it is, or `insecure` says so.
 */
#ifndef PTQ_BRIDGE_H
#define PTQ_BRIDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/bus.h>
#include <ptq/err.h>
#include <ptq/metrics.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** One bus that is served.  Opaque. */
typedef struct ptq_bridge ptq_bridge;

/** How much a line of the log matters. */
enum ptq_bridge_level { PTQ_BRIDGE_ERROR = 1, PTQ_BRIDGE_WARNING = 2, PTQ_BRIDGE_INFO = 3, PTQ_BRIDGE_DEBUG = 4 };

/** What somebody may do with a queue. */
enum ptq_right {
    PTQ_RIGHT_PUT = 1,
    PTQ_RIGHT_GET = 2,  /**< take messages, and settle them */
    PTQ_RIGHT_PEEK = 4, /**< see that it is there, and its counts; whoever may do anything else may that too */
    PTQ_RIGHT_ADMIN = 8 /**< make it, purge, pause, kick */
};

/** One rule: they add up, and what none allows is denied.  Both texts are globs. */
struct ptq_bridge_rule {
    const char *identity; /**< the name of a node, as its key says; "uid:1000": that user, over ipc; "*" fits also those who are nobody */
    const char *queues;   /**< as they are called in this bus */
    unsigned rights;      /**< of enum ptq_right */
};

/**
 * What strangers and greedy peers may cost a bridge.  Zero is the default of every field, and no honest user meets one; UINT64_MAX: no
 * limit.  A peer is a node that has proven who it is, else an address (of IPv6 its /64), or over ipc a user.  The fields with peer_ are
 * for each, the others for all together.  Who meets a limit is told which; where he can be made to wait he is, and nobody else.
 */
struct ptq_bridge_limits {
    uint64_t links, peer_links;         /**< connections; 4096 and 2048: another is told so, and closed */
    uint64_t strangers, peer_strangers; /**< of these, such as have not said HELLO; 1024 and 256: the oldest is closed for a new one */
    uint64_t sessions, peer_sessions;   /**< conversations, also those whose link broke; 8192 and 4096 */
    uint64_t queues, peer_queues;       /**< queues that they have open; 16384 and 8192: an open answers PTQ_EAGAIN */
    uint64_t leases, peer_leases;       /**< messages that they have leased; 4 Mi and 2 Mi: a get answers PTQ_EAGAIN */
    uint64_t bytes, peer_bytes;         /**< of puts that wait, or come in pieces; 256 and 192 MiB: more puts wait at their sender */
    uint64_t streams, peer_streams;     /**< handles whose numbers are known; 65536 and 32768: an open answers PTQ_EAGAIN */
    uint64_t requests, peer_requests;   /**< unanswered, or their answers not received; 2 Mi and 1 Mi: the link is ended */
    uint64_t dials, peer_dials;         /**< new connections a second, ten times as many at once; 250 and 100 */
    /** Thousandths of a core that are spent on what brings no message: listings, pings, queues that are not there; 100 and 60.
     * Beyond it whoever asks is read less often. */
    uint64_t vain, peer_vain;
    uint64_t peer_rate;                 /**< bytes a second from one peer; none.  Beyond it he is read less often */
    uint64_t peer_request_rate;         /**< requests a second, likewise; none */
    uint64_t opens, peer_opens;         /**< queues that are opened a second, twenty times as many at once; 1000 and 500.  Beyond it likewise */
};

/** Zero is the default of every field. */
struct ptq_bridge_options {
    const char *const *listen; /**< addresses: "tcp://127.0.0.1:7400" (port 0: any), "ipc:///run/ptq.sock" */
    size_t listen_count;
    const char *const *peers;  /**< other homes, "name=url": their directories are learned and published in this bus */
    size_t peer_count;
    /** Globs of names of queues, as they are called in this bus.  exports: which are served, none: all; imports: which queues of
     * the peers are seen under their bare names by processes of this host, none: all; denies: neither, whatever the others say.
     * renames: "HERE=THERE": what is called HERE in this bus is called THERE by other hosts; one * in both, or in none. */
    const char *const *exports, *const *imports, *const *denies, *const *renames;
    size_t export_count, import_count, deny_count, rename_count;
    /** "GLOB=PEER" or "GLOB=URL": messages of these queues are carried to the queues of their names there, which are made where they are
     * missing; each once, whoever is killed.  A message is never carried to a bus that it has been at.  Where several fit, it goes to
     * the first of them that it has not been at; where none is left, it stays. */
    const char *const *moves;
    size_t move_count;
    /** Who may do what.  With keys (ptq_bus_options.keys), rules, a file of them, or `guarded`, what no rule allows is denied; without any of
     * these everybody who gets in may do everything. */
    const struct ptq_bridge_rule *rules;
    size_t rule_count;
    const char *rules_file;    /**< lines "IDENTITY QUEUES RIGHT,RIGHT", beside `rules`; NULL: with keys and no `rules`, the file "rules" in the
                                    folder of keys.  One that is missing or makes no sense allows nothing */
    bool guarded;              /**< what no rule allows is denied, also where there is no rule */
    bool all_runs;             /**< serve every run of the directory, not only that of the bus */
    struct ptq_bridge_limits limits;
    int grace_ms;              /**< how long a silent session keeps its leases; 0: 10000 */
    int drain_ms;              /**< how long ptq_bridge_stop lets leases be settled; 0: 5000 */
    /** Called with each line of the log, without a newline: "component=session event=down ..."; one at a time, by several
     * threads; may be NULL. */
    void (*log)(void *context, enum ptq_bridge_level level, const char *line);
    void *log_context;
    struct ptq_error *error;   /**< filled when the call fails; may be NULL */
};

/**
 * Whether ptq_bridge_open would understand these, for a bus that is opened with `bus` (NULL: all defaults): opens nothing, makes
 * nothing, and asks nobody but the resolver of names.  Addresses may still be in use.
 *
 * PTQ_EINVAL, PTQ_EPERM: no, and options->error says why.  PTQ_ENOMEM.
 */
PTQ_MUST_CHECK enum ptq_err ptq_bridge_check(const struct ptq_bus_options *bus, const struct ptq_bridge_options *options);

/**
 * Listens.  The bus stays the caller's and must outlive the bridge.  Starts nng, with its threads, in this process.
 *
 * PTQ_EINVAL: no address, or not one; PTQ_EPERM: beyond the loopback without ptq_bus_options.insecure; PTQ_EBUSY: the
 * address is in use; PTQ_EFORKED: a child of a process that used nng.
 */
PTQ_MUST_CHECK enum ptq_err ptq_bridge_open(ptq_bus *bus, const struct ptq_bridge_options *options,
                                            ptq_bridge **ret_bridge);

/** Where it listens, the real port in place of 0: borrowed until close; NULL beyond the last. */
const char *ptq_bridge_url(const ptq_bridge *bridge, size_t index);

/**
 * Serves, in the calling thread, until ptq_bridge_stop has been obeyed.  PTQ_OK: drained, nothing was leased any more
 * or the time for that had passed.  PTQ_ESYS, PTQ_ENOMEM: it could not go on.
 */
PTQ_MUST_CHECK enum ptq_err ptq_bridge_run(ptq_bridge *bridge);

/**
 * Asks ptq_bridge_run to end: no new links, no new work; what waits is told to ask again later; leases may be settled
 * for drain_ms.  A second call ends it at once.  Async-signal-safe, from any thread.
 */
void ptq_bridge_stop(ptq_bridge *bridge);

/*
 * What is told of a bridge while it is open: by any thread, also while ptq_bridge_run runs in another.  The serving thread is asked
 * to count, and does so between two of its rounds; it waits for nobody.  One caller at a time, the others wait for it.
 */

/** Does it live: does the serving thread answer within a second, and does whoever looks at the peers get on?  If not: PTQ_TIMEDOUT,
 * with a sentence in `why` (may be NULL). */
PTQ_MUST_CHECK enum ptq_err ptq_bridge_alive(ptq_bridge *bridge, char *why, size_t size);

/** May it be asked for anything: it lives, listens, does not drain, and its bus is there.  PTQ_TIMEDOUT, PTQ_EAGAIN (drains),
 * PTQ_EGONE (the bus), with a sentence. */
PTQ_MUST_CHECK enum ptq_err ptq_bridge_ready(ptq_bridge *bridge, char *why, size_t size);

/** The figures of the bus, as ptq_scrape_text, and of the bridge.  Given to you, free(). */
PTQ_MUST_CHECK enum ptq_err ptq_bridge_metrics(ptq_bridge *bridge, enum ptq_metrics_format format, char **ret_text, size_t *ret_size);

/** What it does, as one JSON object with "v":1: links, sessions, peers, moves, outboxes, queues, limits, version, uptime.  No message,
 * key or password is in it.  Given to you, free(). */
PTQ_MUST_CHECK enum ptq_err ptq_bridge_status(ptq_bridge *bridge, char **ret_json, size_t *ret_size);

/**
 * Takes over other options while it runs, by their difference: what is as it was goes on undisturbed.  Called by another thread than that of
 * ptq_bridge_run, one at a time; waits until it is done, for seconds at most.  Either all of it holds afterwards, or, with an
 * error, all is as before; but see PTQ_ENOMEM.
 *
 * Listeners: those that are new are opened, those that are gone are closed, and the links that came over them stay.  Peers, moves, exports,
 * imports, denies, renames, rules (their file is read again), all_runs, grace_ms, drain_ms.  A session with an open queue that is not
 * served any more, is another by its name, or may be used less than before, ends: its leases return, and it begins again with what it may.
 * log, log_context and guarded stay as they were given to ptq_bridge_open.
 *
 * PTQ_EINVAL, PTQ_EPERM, PTQ_EBUSY, PTQ_ENOENT: as ptq_bridge_open; PTQ_EAGAIN: it drains, or does not run; PTQ_ENOMEM: for want
 * of memory or a thread peers are not asked, or moves rest, until a later call does it; what is served is all as before or all new.
 */
PTQ_MUST_CHECK enum ptq_err ptq_bridge_reload(ptq_bridge *bridge, const struct ptq_bridge_options *options);

/** Closes links and listeners; leases that are left are redelivered.  NULL is fine.  Not while it runs. */
void ptq_bridge_close(ptq_bridge *bridge);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
