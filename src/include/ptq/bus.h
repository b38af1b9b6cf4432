/* bus.h -- a bus: one run namespace of queues on one host. */
#ifndef PTQ_BUS_H
#define PTQ_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/err.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** A process's entry to one bus.  Any number of threads may use it at once. */
typedef struct ptq_bus ptq_bus;

/** Zero is the default of every field: `struct ptq_bus_options options = {0};` */
struct ptq_bus_options {
    const char *dir;         /**< where buses live; NULL: $PTQ_DIR, else /dev/shm/ptq-<euid> */
    const char *peers;       /**< other hosts, "name=url,name=url"; NULL: $PTQ_PEERS, else none */
    const char *node;        /**< this host's name for name@node; NULL: $PTQ_NODE, else the host name */
    bool insecure;           /**< allow plain links beyond loopback; also $PTQ_INSECURE=1 */
    bool guard;              /**< a segment that somebody truncates answers PTQ_ECORRUPT instead of raising SIGBUS, which this
                                  process's handler takes over; also $PTQ_GUARD=1 */
    struct ptq_error *error; /**< filled when the call fails; may be NULL */
    const char *via;         /**< how queues of other hosts are reached: "direct", by links and threads of this process; "bridge",
                                  through the ptqbridge that serves this run, with neither; "auto": direct, but through the bridge
                                  in a child of a process that has links; NULL: $PTQ_VIA, else "auto" */
    const char *keys;        /**< the folder that ptqbridge keygen made for this host (docs/security.md): who we are to other hosts, which have
                                  to prove who they are; NULL: $PTQ_KEYS, else none */
    uint32_t outbox;         /**< messages that an outbox (PTQ_ACK_LOCAL) holds, where this process makes it; 0: $PTQ_OUTBOX, else
                                  65536.  Memory is taken as it is needed */
};

/**
 * Opens the bus `run` (NULL: $PTQ_RUN, else "default"), making its directory, mode 0700, when it is missing.
 * The environment is ignored in a set-uid program.  With $PTQ_DEBUG=proto each job, result, marker and piece of mail that a pool or a
 * supervised process of this bus sends or receives is a line on standard error, with the process that says so.  Starts no thread and opens no socket.
 *
 * Close it with ptq_bus_close after every queue opened through it.  Does not block.
 * After fork the child opens its own.
 * PTQ_EINVAL: a bad name; PTQ_EPERM: the directory belongs to somebody else, or is a link, or is open to
 * others; PTQ_EINVAL also for a directory on NFS or FUSE, where the kernel's locks do not mean what ptq needs.
 */
PTQ_MUST_CHECK enum ptq_err ptq_bus_open(const char *run, const struct ptq_bus_options *options, ptq_bus **ret_bus);

/** Gives the bus back; NULL is fine.  Queues keep working until they are closed themselves. */
void ptq_bus_close(ptq_bus *bus);

/** The run's name, and the directory that holds its queues: borrowed until ptq_bus_close. */
const char *ptq_bus_run(const ptq_bus *bus);
const char *ptq_bus_path(const ptq_bus *bus);

/**
 * Calls `each` with the name of every local queue of the bus, in alphabetical order; `each` returns
 * false to stop early.  The names are a snapshot.  PTQ_OK also when there is none.
 */
PTQ_MUST_CHECK enum ptq_err ptq_bus_list(ptq_bus *bus, bool (*each)(const char *name, void *context), void *context);

/**
 * The same for queues whose memory has another layout, of an older or newer ptq: their names, in no order, and layouts.
 * This library cannot read them; opening one, or making one of the same name, answers PTQ_EVERSION.
 */
PTQ_MUST_CHECK enum ptq_err ptq_bus_list_other(ptq_bus *bus, bool (*each)(const char *name, int layout, void *context),
                                               void *context);

/**
 * Calls `each` with the name and the address of every other host that the bus knows: those that it was told of (peers), else
 * those that the ptqbridge of this host has published in it.  `each` returns false to stop early.  PTQ_ENOMEM.
 */
PTQ_MUST_CHECK enum ptq_err ptq_bus_list_peers(ptq_bus *bus, bool (*each)(const char *node, const char *url, void *context),
                                               void *context);

/** One of them, as it was found.  All is borrowed until the callback returns. */
struct ptq_peer {
    const char *node, *url;
    enum ptq_err answer;       /**< PTQ_OK: it is up, and said so itself; else why it could not be asked: PTQ_EUNREACHABLE, PTQ_EVERSION, ... */
    const char *why;           /**< ... in a sentence; "" while it is up */
    uint64_t rtt_ns;           /**< one question and its answer over a link that stood; 0: it is not up */
    bool watched;              /**< the ptqbridge of this host keeps a link to it, and says: */
    bool watched_up;           /**< it was up when that looked last, a few seconds ago at most */
    int64_t watched_since_ms;  /**< ... and has been as it is since then, Unix time; 0: not told */
    const char *const *queues; /**< what it serves to us in this run, as it is called there */
    size_t queue_count;
};

/**
 * Asks all of them at once, by links of this process, each for 3 s at most, and calls `each` with what they said, in the order of
 * ptq_bus_list_peers; `each` returns false to stop early.  PTQ_ENOMEM; PTQ_EINVAL: this library is without other hosts.
 */
PTQ_MUST_CHECK enum ptq_err ptq_bus_look_at_peers(ptq_bus *bus, bool (*each)(const struct ptq_peer *peer, void *context), void *context);

/**
 * The same without asking anybody: what the ptqbridge of this host has published of them, and how many queues each serves to us by it.
 * `answer` is PTQ_EAGAIN, `why` "", rtt_ns 0, and `queues` NULL.  Reads one file of the bus.  PTQ_ENOMEM.
 */
PTQ_MUST_CHECK enum ptq_err ptq_bus_watched_peers(ptq_bus *bus, bool (*each)(const struct ptq_peer *peer, void *context), void *context);

/** An outbox: what this host's processes put with PTQ_ACK_LOCAL and the ptqbridge has not carried home yet. */
struct ptq_outbox {
    const char *name;   /**< as ptq_view_open takes it: what waits there */
    const char *target; /**< the queue: "ptq://host:port/run/name" */
    const char *url;    /**< where its home serves */
    uint64_t moved, refused; /**< messages, since it was made; what was refused stands in the queue "<name of the target>.refused" here */
    bool carried;       /**< its link was up, when that was looked at last */
    const char *why;    /**< what the bridge waits for; "" */
};

/**
 * Calls `each` with every outbox of the bus, in no order; `each` returns false to stop early.  What it is given is borrowed until it
 * returns.  Outboxes are made by opening a queue with PTQ_ACK_LOCAL, and removed by the ptqbridge when they are empty and nobody has
 * had them open for a while.
 */
PTQ_MUST_CHECK enum ptq_err ptq_bus_list_outboxes(ptq_bus *bus, bool (*each)(const struct ptq_outbox *outbox, void *context),
                                                  void *context);

/** What ptq_bus_gc did. */
struct ptq_gc_report {
    unsigned queues;    /**< looked at; and shares and logs */
    unsigned recovered; /**< endpoints of dead processes whose leases and blocks went back */
    unsigned removed;   /**< queues and half-made files without a living user, empty or ephemeral: unlinked */
    unsigned kept;      /**< without a living user, but holding messages or values, or of another layout: kept */
    unsigned live;      /**< in use */
};

/**
 * Collects what the dead left: recovers dead endpoints, and removes queues that nobody has open and that
 * hold no message.  Safe at any time beside living users; may itself be killed.  `force` also removes
 * queues that hold messages, and shares and logs, where nobody has them open.
 */
PTQ_MUST_CHECK enum ptq_err ptq_bus_gc(ptq_bus *bus, bool force, struct ptq_gc_report *ret_report);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
