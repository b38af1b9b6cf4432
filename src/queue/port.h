/* port.h -- the joint: what a carrier offers to a queue.
 *
 * Two carriers stand behind it and cannot see each other: local/ (shared memory) and remote/ (nng).  Argument checks,
 * names, limits and deadlines are done once, above, in queue.c; a carrier may rely on them.
 *
 * Deadlines are absolute nanoseconds on the monotonic clock: PTI_DEADLINE_NOW (0) asks once and never sleeps,
 * PTI_DEADLINE_NEVER sleeps until it is true.  With PTI_DEADLINE_NOW a carrier answers PTQ_EMPTY or PTQ_FULL, after a
 * real deadline PTQ_TIMEDOUT.  Every operation may be called from several threads at once, except on one message, and
 * close, which comes last.  Results stay untouched on failure.
 */
#ifndef PTQ_QUEUE_PORT_H
#define PTQ_QUEUE_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/queue.h>

struct pti_port; /* a carrier's state for one handle; it begins with a struct pti_port */

/* What a message is.  Users put DATA; pools use the others. */
enum pti_kind {
    PTI_KIND_DATA = 0,
    PTI_KIND_MARKER = 1, /* keeps its place, no task runs */
    PTI_KIND_ERROR = 2,  /* stands for a result that did not come: pool/job.h says what is inside */
    PTI_KIND_END = 3,    /* in an outbox: here its queue is to be ended */
    PTI_KIND_AGAIN = 8   /* beside one of these, on the way in: it may be a second copy, and is handed out flagged */
};

/* A message on its way in. */
struct pti_put {
    const void *data; /* borrowed during the call; NULL if size is 0 */
    uint32_t size;    /* at most item_size: checked above */
    uint8_t kind;     /* enum pti_kind */
    uint32_t type;    /* hash of the name of what is inside; 0 */
    uint16_t ttl;     /* pti_ttl_pack'ed; 0: the queue's */
    uint8_t headers;  /* size of the encoded headers, in units of 4 bytes; they stand behind the data, see queue/header.h */
    const void *header_bytes; /* borrowed during the call */
    uint64_t due_us;  /* microseconds of the host clock (os/clock.h); 0: at once */
    uint32_t stream;  /* remote/enter: whose intent it is, for the note (ring/note.h); 0: nobody asks about it */
    uint64_t number;  /* the intent's serial */
    bool packs;       /* of a batch: its first says it.  Small messages behind each other may share a lease, as with PTQ_PIPELINE */
    bool retry;       /* the same again, after PTQ_EINDOUBT; of a batch: its first says it.  Carriers that never doubt put it */
};

enum pti_msg_state { PTI_MSG_FREE = 0, PTI_MSG_LEASED = 1, PTI_MSG_LOANED = 2 };

/* A leased message or a loan.  The carrier allocates it, in take or loan, and takes it back in ack, nack, publish (when
 * it succeeds) or abort. */
struct ptq_msg {
    struct ptq_queue *queue; /* the port's, named by the carrier: who closes may free it as soon as take or loan has ended */
    struct pti_port *port;
    void *data;              /* read-only for a lease, by contract */
    uint32_t size;           /* for a loan: room */
    uint32_t sub;
    uint64_t position;
    uint32_t deliveries;
    uint32_t type;
    uint8_t kind;
    uint8_t headers;         /* in units of 4 bytes, behind the data at the next multiple of 4 */
    bool redelivered;
    uint8_t state;           /* enum pti_msg_state */
    /* the carrier's own */
    uint32_t block;
    uint32_t lane;
    uint64_t word;
    struct pti_unit *unit; /* a record of a pack: which it came from; else NULL */
    struct ptq_msg *next;
};

/* One side of one queue in a wait on many (queue/select.c), by one thread.  Made by watch_begin, gone with watch_end. */
struct pti_watcher {
    enum ptq_side side;
    _Atomic uint32_t *word; /* of shared memory: where the wait may sleep in the futex; NULL: nowhere */
    uint32_t expected;      /* what it held before the last look */
    int fd;                 /* readable when to look again; -1: none was asked for, or none is left */
    int64_t until;          /* when to look again in any case */
    bool armed;             /* the descriptor needs no arming before the next sleep */
    /* the carrier's own */
    void *place;
    uint32_t interrupts_seen;
    uint8_t bell; /* remote/via: `side` is then of what stands for the queue */
};

struct pti_port_ops {
    /* ---- the plain case, in a few instructions.  True: done; false: nothing was, ask put, take, recv, ack.  They never wait.  NULL:
     * never.  put: nothing beside its bytes, which are not NULL.  take: one message. */
    bool (*fast_put)(struct pti_port *port, const void *data, uint32_t size, uint64_t *ret_position);
    bool (*fast_take)(struct pti_port *port, struct ptq_msg **ret_msg);
    bool (*fast_put_many)(struct pti_port *port, const struct ptq_bytes *items, size_t count, uint64_t *ret_position);
    bool (*fast_take_many)(struct pti_port *port, size_t max, struct ptq_msg **msgs, size_t *ret_count);
    bool (*fast_recv)(struct pti_port *port, void *buffer, size_t size, size_t *ret_size);
    bool (*fast_ack)(struct pti_port *port, struct ptq_msg *msg);
    /* How many of the first, which are acked; the next is none of this port's, or not plain. */
    size_t (*fast_ack_many)(struct pti_port *port, struct ptq_msg *const *msgs, size_t count);

    /* Who makes several of these calls and looks at messages between them is inside for all of it: close waits for go.  False: it is being
     * closed, do not go.  NULL: there is nothing to wait for. */
    bool (*stay)(struct pti_port *port);
    void (*go)(struct pti_port *port);

    /* ---- in: PTQ_FULL, PTQ_TIMEDOUT, PTQ_EENDED, PTQ_ENOSPC, PTQ_EGONE, PTQ_EINTR, ... */

    /* Puts one message.  Blocks for room. */
    enum ptq_err (*put)(struct pti_port *port, const struct pti_put *put, int64_t deadline, uint64_t *ret_position);

    /* All or nothing; 1 <= count <= capacity, each within item_size.  All share one position. */
    enum ptq_err (*put_many)(struct pti_port *port, const struct pti_put *puts, size_t count, int64_t deadline,
                             uint64_t *ret_position);

    /* As put_many, of messages that are nothing but bytes, checked here; 1 <= count <= capacity.  False: nothing was done, ask
     * put_many; else *ret_err is the answer.  NULL: never. */
    bool (*put_items)(struct pti_port *port, const struct ptq_bytes *items, size_t count, int64_t deadline,
                      uint64_t *ret_position, enum ptq_err *ret_err);

    /* Room for `size` bytes that only the caller sees.  publish: the first `size` bytes of it, with the rest of `put` (whose
     * data is not looked at); the loan is taken only on success.  abort always takes it. */
    enum ptq_err (*loan)(struct pti_port *port, uint32_t size, int64_t deadline, struct ptq_msg **ret_loan);
    enum ptq_err (*publish)(struct pti_port *port, struct ptq_msg *loan, const struct pti_put *put, int64_t deadline,
                            uint64_t *ret_position);
    void (*abort)(struct pti_port *port, struct ptq_msg *loan);

    /* Placed queues only: puts at exactly `position`.  PTQ_ELATE: it has its entry already.  Never waits for room in the
     * ring (the limit of the jobs queue keeps it free), may wait for a block. */
    enum ptq_err (*place)(struct pti_port *port, uint64_t position, const struct pti_put *put, int64_t deadline);

    /* As place, of a loan, whose data is not looked at: it is taken with PTQ_OK and PTQ_ELATE.  NULL: there is no such way. */
    enum ptq_err (*place_loan)(struct pti_port *port, struct ptq_msg *loan, uint64_t position, const struct pti_put *put);

    /* What this handle gathered is in the queue when it answers PTQ_OK.  NULL: it gathers nothing. */
    enum ptq_err (*flush)(struct pti_port *port, int64_t deadline);

    /* END behind everything that is in.  PTQ_EALREADY. */
    enum ptq_err (*end)(struct pti_port *port);

    /* ---- out */

    /* Leases 1 to max messages: blocks for the first only.  PTQ_END. */
    enum ptq_err (*take)(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs, size_t *ret_count);

    /* As take, for one who has some and wants more: PTQ_END as soon as nothing but END is to be got, whoever may yet give back what
     * he has.  Two who wait like this for each other's would wait for ever.  NULL: take. */
    enum ptq_err (*take_more)(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs, size_t *ret_count);

    /* Takes, copies and acks in one; PTQ_EMSGSIZE leaves it in the queue, uncounted.  NULL: queue.c does it in steps. */
    enum ptq_err (*recv)(struct pti_port *port, void *buffer, size_t size, int64_t deadline, size_t *ret_size);

    /* Both take msg, whatever they answer. delay_ms as ptq_nack, PTQ_BACKOFF included. */
    enum ptq_err (*ack)(struct pti_port *port, struct ptq_msg *msg);
    enum ptq_err (*nack)(struct pti_port *port, struct ptq_msg *msg, int delay_ms);

    /* As ack, for as many of msgs from the first on as are leased and of this port: at least one, *ret_count says how many.
     * Whatever it answers, which is the first failure, these are taken.  NULL: queue.c acks one by one. */
    enum ptq_err (*ack_many)(struct pti_port *port, struct ptq_msg *const *msgs, size_t count, size_t *ret_count);

    /* Back into its place as if it had not been taken: not counted as a delivery.  Takes msg. */
    enum ptq_err (*untake)(struct pti_port *port, struct ptq_msg *msg);

    /* Up to `max` dead letters (0: all that are there), the oldest first, go back into their places. */
    enum ptq_err (*kick)(struct pti_port *port, uint64_t max, uint64_t *ret_count);

    /* ---- ordered work (pool/): see pool.md */

    /* Positions below `limit` may be leased: raises it (never lowers) and wakes who waits. */
    enum ptq_err (*limit)(struct pti_port *port, uint64_t limit);

    /* The position that the next fresh get would take: where the head is. */
    enum ptq_err (*head)(struct pti_port *port, uint64_t *ret_position);

    /* Can the entry at `position` still yield work?  *ret_lost is true only if position was published, is not END, and no
     * block is COMMIT, LEASED, REDELIV, DELAYED, DEAD, QUAR or COPY there. */
    enum ptq_err (*census)(struct pti_port *port, uint64_t position, bool *ret_lost);

    /* Placed queues only: has `position` its entry already, or had it?  NULL: not known without asking for it. */
    bool (*is_placed)(struct pti_port *port, uint64_t position);

    /* Of stats' consumers, how many are threads of this handle.  NULL: not known here. */
    uint32_t (*own_consumers)(struct pti_port *port);

    /* Claims the exclusive right to get (released by close or death).  PTQ_EBUSY with PTI_DEADLINE_NOW or after it. */
    enum ptq_err (*claim)(struct pti_port *port, int64_t deadline);

    /* Of a queue of this host: 64 bits of its memory, 0 at first, for whoever stands above the queue; good until close.  NULL: there are none. */
    _Atomic uint64_t *(*word)(struct pti_port *port);
    /* Has another handle, that lives, the exclusive right to put (PTQ_EXCLUSIVE), or to get (claim)?  Where that cannot be told: yes. */
    bool (*is_held)(struct pti_port *port, enum ptq_side side);

    /* ---- around */

    enum ptq_err (*stats)(struct pti_port *port, struct ptq_queue_stats *ret_stats);

    /* Drops what is ready now.  Not on queues of pools. */
    enum ptq_err (*purge)(struct pti_port *port, uint64_t *ret_count);
    /* From now on, until it is resumed, gets of everybody answer as on an empty queue. */
    enum ptq_err (*pause)(struct pti_port *port, bool pause);
    /* Milliseconds since a leased message was put; -1: it bears no stamp.  NULL: never known. */
    int64_t (*age)(struct pti_port *port, const struct ptq_msg *msg);
    /* What a leased message has left to live, as struct pti_put says it.  NULL: not known. */
    uint16_t (*left)(struct pti_port *port, const struct ptq_msg *msg);

    enum ptq_err (*fd)(struct pti_port *port, enum ptq_side side, int *ret_fd);

    /* Waiting for many queues at once.  begin: close waits for end; fails with what any call on the handle would answer.
     * arm_word, arm_fd: announce a sleeper; arm_fd forgets news that the next look covers, and sets fd.
     * look: PTQ_OK: a call on that side would not wait (perhaps: as ptq_queue_fd promises, and no less); PTQ_EMPTY: it would.  What
     * happens after a look that was armed ends the sleep.
     * interrupted: PTQ_OK, or once PTQ_EINTR, or PTQ_EGONE; asked when no look found anything.
     * pass: a wake of the word was taken and perhaps nothing will be done here: the next sleeper looks. */
    enum ptq_err (*watch_begin)(struct pti_port *port, struct pti_watcher *watcher);
    void (*watch_arm_word)(struct pti_port *port, struct pti_watcher *watcher);
    void (*watch_arm_fd)(struct pti_port *port, struct pti_watcher *watcher);
    enum ptq_err (*watch_look)(struct pti_port *port, struct pti_watcher *watcher);
    enum ptq_err (*watch_interrupted)(struct pti_port *port, struct pti_watcher *watcher);
    void (*watch_pass)(struct pti_port *port, struct pti_watcher *watcher);
    void (*watch_end)(struct pti_port *port, struct pti_watcher *watcher);

    void (*interrupt)(struct pti_port *port); /* async-signal-safe */

    /* Somebody is known to have died: recover him now.  May be NULL. */
    void (*sweep)(struct pti_port *port);

    /* For ptq_queue_explain: the part of the sentence after "cannot ...: "; leaves buffer alone where it knows no more than
     * ptq_strerror.  May be NULL. */
    void (*explain)(struct pti_port *port, enum ptq_err err, char *buffer, size_t size);

    /* Returns leases and loans, interrupts sleepers, waits for calls inside (they end at once; remote: waits for
     * acknowledgement up to the deadline), frees port. */
    void (*close)(struct pti_port *port, int64_t deadline);
};

/* Facts that queue.c needs without asking. */
struct pti_port {
    const struct pti_port_ops *ops;
    uint64_t capacity;
    uint64_t window;     /* pool queues, else 0 */
    uint32_t item_size;
    uint32_t header_size;
    uint32_t max_deliveries;
    uint64_t bytes;      /* byte budget; 0: none, or not known here */
    uint8_t full;        /* enum ptq_full; 0 where it is not known here */
    bool placed;
    bool remote;
    bool bridged;        /* remote, through the ptqbridge of this host */
    bool letters;        /* the view of its dead letters: nothing goes in */
    bool is_null;        /* queue/null.h */
    struct ptq_queue *queue; /* the handle that it serves; set by queue.c at open */
    const char *spec;    /* its text form: the carrier's; "" */
    const char *url;     /* where its home serves, as it was dialled: the carrier's; NULL: it is on shared memory */
    uint8_t id[16];      /* this queue, not another of its name; zeroes where it is not known */
    char run[PTQ_NAME_MAX + 1], node[64]; /* its home's */
    char where[256];     /* its file, or ptq://host:port/run/name: for messages to people */
    char why[400];       /* why it is reached like that, for people; "": it is in the directory of the bus */
};

/* Geometry and kind that only other rooms ask for, beside the public options. */
struct pti_open {
    struct ptq_queue_options options; /* as the user gave them; all zero if none were given */
    bool letters;                     /* not the queue, but the view of its dead letters */
    bool placed;                      /* results: positions are given by place */
    uint64_t window;                  /* jobs and done of a pool: both rings get the same N; 0: an ordinary queue */
    uint64_t start;                   /* tests: first position, as a number of laps; 0: 1 */
    const uint8_t *stream;            /* remote: whose numbers its puts bear, 16 bytes; NULL: the handle's own */
    uint32_t carrier;                 /* remote: who opens: 0 a handle, 1 an outbox, 2 an inbox, 3 a route, 4 a program by its bridge */
    bool has_put;                     /* remote: by `stream`, over whatever link */
    uint32_t thing;                   /* remote: 0 a queue; a share or a log (enum pti_share_kind): then there is only `put` */
    const uint8_t *maker;             /* 16 bytes: an exclusive create that is asked again by the same finds its own; NULL: nobody's */
};

#endif
