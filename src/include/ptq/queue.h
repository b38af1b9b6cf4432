/* queue.h -- queues and messages: put, get, ack, and what stands around them.
 *
 * A queue is a named, bounded line of messages; each message goes to one consumer.  It lives in shared
 * memory on its home host.  A queue of another host is opened by the same call and used by the same calls.
 *
 * Common to every call here:
 *   Timeouts are milliseconds on the monotonic clock; PTQ_NOWAIT asks once, PTQ_FOREVER waits.
 *   Results go through ret_ pointers, which stay untouched on failure.
 *   A handle may be used by several threads at once, and so may messages of it, each by one thread at a time.
 *   After fork every call on an inherited handle answers PTQ_EFORKED; the child opens its own.
 *   A call that sleeps answers PTQ_EINTR when a signal handler ran in its thread (as poll does, also with
 *   SA_RESTART) and when ptq_interrupt was called.
 *   PTQ_EGONE: the queue was removed.  PTQ_ECORRUPT: its memory holds what no correct process writes; the
 *   call changed nothing that it could not check.
 *   Nobody waits for a dead or a stopped process; see docs/failure.md.
 */
#ifndef PTQ_QUEUE_H
#define PTQ_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/bus.h>
#include <ptq/err.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define PTQ_NOWAIT 0     /**< ask once */
#define PTQ_FOREVER (-1) /**< no deadline */

#define PTQ_NAME_MAX 128        /**< bytes in a name: [A-Za-z0-9._-], not beginning with a dot */
#define PTQ_ITEM_MAX (1u << 30) /**< the largest item_size: 1 GiB */
#define PTQ_NEVER UINT32_MAX    /**< max_deliveries: no limit */

/** One process's attachment to a queue.  Opaque. */
typedef struct ptq_queue ptq_queue;

/** A leased message, or a loan that is being written.  Opaque. */
typedef struct ptq_msg ptq_msg;

#define PTQ_HEADERS_MAX 512 /**< bytes of headers that a message may bear, names and bookkeeping included */
#define PTQ_HEADER_NAME_MAX 64
#define PTQ_SPEC_TEXT_MAX 1023 /**< bytes in the text form of a spec */

/** What a put does when the queue is full. */
enum ptq_full {
    PTQ_FULL_BLOCK = 0,       /**< waits until its deadline */
    PTQ_FULL_FAIL = 1,        /**< answers PTQ_FULL at once, whatever its timeout */
    PTQ_FULL_DROP_OLDEST = 2, /**< makes room by dropping the oldest ready message, counted; leased and redelivered ones are
                                   never dropped; waits only if these hold all memory */
    PTQ_FULL_DROP_NEWEST = 3  /**< is itself dropped, counted as put and dropped; answers PTQ_OK, position 0 */
};

/** Why a message left the queue without being acked.  Each is counted (struct ptq_queue_stats). */
enum ptq_drop {
    PTQ_DROP_OLDEST = 0,       /**< PTQ_FULL_DROP_OLDEST */
    PTQ_DROP_NEWEST = 1,       /**< PTQ_FULL_DROP_NEWEST */
    PTQ_DROP_EXPIRED = 2,      /**< its time to live ran out */
    PTQ_DROP_PURGED = 3,       /**< ptq_queue_purge */
    PTQ_DROP_DEAD_OVERFLOW = 4 /**< the oldest dead letter, beyond max_dead */
};
#define PTQ_DROPS 5

/** Which messages bear the time of their put.  Delay, time to live and lease limit stamp what they need by themselves. */
enum ptq_stamps {
    PTQ_STAMPS_SAMPLED = 0, /**< every 64th: a clock call costs as much as a put */
    PTQ_STAMPS_ALL = 1,
    PTQ_STAMPS_OFF = 2
};

/*
 * Flags of a handle: struct ptq_queue_options.flags.
 *
 * A handle is a producer from its first put on, or from when a put of it first waited for room, or, with PTQ_PRODUCER,
 * from open on; likewise a consumer from its first get.  PTQ_WATCH_PEERS: a get that would wait without a living
 * producer, and a put that would wait without a living consumer, answers PTQ_ENOPEERS instead, also when it sleeps
 * already and the last of them closes or is killed (at once, or within 250 ms).  The handle itself, in all its threads,
 * is no peer of its own.  What was put before is got first; a delayed message, one that another living handle has on
 * lease, and a paused queue are waited for.  With PTQ_NOWAIT nobody is looked for: PTQ_EMPTY, PTQ_FULL.  Local queues
 * only.
 */
#define PTQ_WATCH_PEERS 1u /**< instead of waiting for what nobody alive can bring: PTQ_ENOPEERS */
#define PTQ_PIPELINE 2u    /**< small puts are gathered into packs: see ptq_flush */
#define PTQ_EXCLUSIVE 4u   /**< the only one with this flag, while it is open or until it dies: else PTQ_EBUSY at open.  Local queues only.
                                Where the queue has pack_size, small messages share entries: see ptq_put */
#define PTQ_PRODUCER 8u    /**< counts as a producer before its first put */
#define PTQ_CONSUMER 16u   /**< counts as a consumer before its first get */
#define PTQ_ACK_LOCAL 32u  /**< a put is answered once it stands in an outbox of this host: see ptq_flush.  Of a queue of this host: nothing */
#define PTQ_VIA_BRIDGE 64u /**< a queue of another host: through the ptqbridge of this one, whatever ptq_bus_options.via says */
#define PTQ_DIRECT 128u    /**< ... by a link of this process */

/** One header of a message: a name and some bytes. */
struct ptq_header {
    const char *name; /**< 1 to PTQ_HEADER_NAME_MAX bytes of UTF-8 */
    const void *value;
    size_t size;
};

/** Where a message belongs in a distributed trace: the 26 bytes of W3C Trace Context.  Every hop of ptq keeps it. */
struct ptq_trace {
    uint8_t version;
    uint8_t trace_id[16];
    uint8_t parent_id[8];
    uint8_t flags;
};

/* Flags of one put: struct ptq_put_options.flags. */
#define PTQ_PARTIAL 1u /**< ptq_put_many_with: put as many as fit now, in *ret_count */
#define PTQ_RETRY 2u   /**< the same put again, which this thread was answered PTQ_EINDOUBT: see ptq_put_with */

/** What a put may say beside its bytes.  Zero is the default of every field. */
struct ptq_put_options {
    const struct ptq_header *headers; /**< copied */
    size_t header_count;
    const struct ptq_trace *trace; /**< copied; a header of 29 bytes */
    int64_t delay_ms;              /**< not to be handed out before so long from now; at most 4 years */
    int64_t ttl_ms;                /**< useless after so long from now: see enum ptq_drop; 0: the queue's; -1: for ever */
    unsigned flags;
    uint32_t type;          /**< as ptq_msg_type tells it, for those who hand messages on; <ptq/pb.h> sets its own; 0: none */
    uint64_t *ret_position; /**< may be NULL */
    size_t *ret_count;      /**< PTQ_PARTIAL */
};

/** Bytes of the caller's. */
struct ptq_bytes {
    const void *data;
    size_t size;
};

enum ptq_open_mode {
    PTQ_OPEN_OR_CREATE = 0, /**< attach to it, or create it where it is missing */
    PTQ_ATTACH = 1,         /**< it must exist: PTQ_ENOENT, after wait_ms */
    PTQ_CREATE = 2          /**< exclusive: it must not exist: PTQ_EEXIST */
};

/** Zero is the default of every field.  A field that is not zero and contradicts an existing queue: PTQ_EMISMATCH. */
struct ptq_queue_options {
    enum ptq_open_mode mode;
    int wait_ms;             /**< how long to wait for it to come into being (PTQ_ATTACH), or to be let in */
    uint64_t capacity;       /**< messages that are ready at once, exact, from 1; 0: 1000 */
    uint32_t item_size;      /**< bytes in the largest message, to PTQ_ITEM_MAX; 0: 4096.  Above 1 MiB, a message over 4000 bytes or so takes a
                                  file beside the queue's, which it keeps for later ones; not over links */
    uint32_t max_deliveries; /**< a message handed out more often becomes a dead letter; 0: 20; PTQ_NEVER */
    uint32_t max_endpoints;  /**< handles that may be open at once, to 2047; 0: 256 */
    uint32_t file_mode;      /**< permission bits, whatever the umask; 0: 0600, with a group 0660 */
    const char *group;       /**< group of its file, a name or a number; NULL: this process's, or its setgid directory's */
    bool prefault;           /**< take all memory at create instead of as it is needed */
    bool ephemeral;          /**< gc may remove it with messages inside */
    /* Properties of the queue, from its making on. */
    uint64_t bytes;       /**< budget of ready bytes beside capacity; 0: capacity alone */
    uint32_t header_size; /**< room for headers beside a message of item_size, to PTQ_HEADERS_MAX; 0: what fits well (512 from
                               item_size 4096 on); PTQ_NEVER: none.  A smaller message leaves room for more */
    enum ptq_full full;
    enum ptq_stamps stamps;
    uint32_t ttl_ms;        /**< time to live of messages that say none; 0: for ever */
    bool expired_to_dead;   /**< what outlives its time becomes a dead letter instead of being dropped */
    uint32_t lease_ms;      /**< a lease held longer is handed to another, flagged redelivered, and its ack answers
                                 PTQ_ELEASELOST; its bytes stay as they are until then.  It may run over by a 128th, at
                                 least 2 ms, or until a block is free.  0: as long as its holder lives */
    uint32_t max_dead;      /**< dead letters kept: beyond, the oldest is dropped; 0: min(capacity, 1000) */
    bool last_producer_ends; /**< a producer that closes, when no other lives, ends the queue.  One that dies does not, and does
                                  not hold the others back (to exit without ptq_queue_close is to die); who is to count before
                                  his first put opens with PTQ_PRODUCER */
    const char *spec; /**< what its messages are: the text form of a ptq_spec (<ptq/spec.h>); NULL or "": bytes.  Kept with the
                           queue, for whoever attaches; item_size 0 is then the spec's size.  Messages are not looked into */
    uint32_t pack_size;      /**< bytes of a block for a pack's records (8 more than its bytes each, rounded up to 8), to 1 MiB; 0: 4096
                                  where the queue is made with PTQ_PIPELINE, else what item_size leaves.  What is above 0 lets a
                                  producer with PTQ_EXCLUSIVE share entries */
    /* Of this handle alone. */
    unsigned flags;          /**< PTQ_WATCH_PEERS, PTQ_PIPELINE, PTQ_EXCLUSIVE, PTQ_PRODUCER, PTQ_CONSUMER, PTQ_ACK_LOCAL, PTQ_VIA_BRIDGE,
                                  PTQ_DIRECT */
    struct ptq_error *error; /**< filled when the call fails; may be NULL */
};

/**
 * Opens a queue by name: "tasks" (this host first, else a peer), "tasks@node", or "ptq://host:port/run/tasks"; or a
 * reference.  "!null" is no queue but an end for a stage that needs no source or no sink: a get gives an empty message
 * at once, always; a put takes the message away.  It belongs to this handle alone: nothing is shared, and ptq_end ends
 * it for this handle.  `options` may be NULL.  The existing queue's geometry wins; zero fields accept it.
 *
 * Release the handle with ptq_queue_close.  A local open does not block, but for wait_ms.
 * PTQ_ENOENT, PTQ_EEXIST by mode; PTQ_EMISMATCH (the text names both values); PTQ_EAGAIN: max_endpoints are
 * attached; PTQ_ENOSPC; PTQ_EPERM; PTQ_EVERSION; PTQ_EBUSY: gc has it in hand; PTQ_EUNREACHABLE: a peer that
 * had to be asked is silent.
 */
PTQ_MUST_CHECK enum ptq_err ptq_queue_open(ptq_bus *bus, const char *name, const struct ptq_queue_options *options,
                                           ptq_queue **ret_queue);

/**
 * Ends the attachment: refuses new calls, interrupts sleeping ones, waits for those inside, returns leases that
 * were not acked (they are redelivered) and detaches.  NULL is fine.  In a forked child it only drops the memory.
 * Messages of this handle must not be used after it.
 */
void ptq_queue_close(ptq_queue *queue);

/**
 * Removes a queue by name, with all that is in it; idempotent: PTQ_OK also when there is none.
 * With living users: PTQ_EBUSY, unless `force`; then every call of theirs answers PTQ_EGONE from now on.
 */
PTQ_MUST_CHECK enum ptq_err ptq_queue_unlink(ptq_bus *bus, const char *name, bool force);

#define PTQ_REF_SIZE 640 /**< with the final 0: room for any reference */

/**
 * Writes the text form of a handle, which may be sent inside a message, stored, or given as an argument:
 * "ptq:///run/name@node#id", or with the address over which it was opened.  It means this queue and never another one
 * of its name.  PTQ_EMSGSIZE: it does not fit (PTQ_REF_SIZE is always enough).
 */
PTQ_MUST_CHECK enum ptq_err ptq_queue_ref(ptq_queue *queue, char *buffer, size_t size);

/**
 * Opens what a reference means, by the shortest way: shared memory, if it is there in the directory of `bus`, whatever
 * that is called here and whichever run; else by its address, or by the peer of its node's name.  Also takes a name or
 * an address.  Never creates: options (may be NULL) as ptq_queue_open, without mode.
 * PTQ_EGONE: that queue was removed, and another one has its name; PTQ_ENOENT: it is nowhere; PTQ_EUNREACHABLE;
 * PTQ_EINVAL: no reference.  Else as ptq_queue_open, which also takes references, with mode PTQ_ATTACH or none.
 */
PTQ_MUST_CHECK enum ptq_err ptq_queue_from_ref(ptq_bus *bus, const char *ref, const struct ptq_queue_options *options,
                                               ptq_queue **ret_queue);

/** Its bare name: borrowed until close. */
const char *ptq_queue_name(const ptq_queue *queue);

/** How a queue is reached. */
struct ptq_queue_path {
    bool remote;       /**< over a link, else on shared memory */
    const char *where; /**< its file, or its address: "ptq://host:port/run/name" */
    const char *url;   /**< where its home serves, as it was dialled; NULL: shared memory */
    const char *via;   /**< "memory"; "direct": over a link of this process; "bridge": through the ptqbridge of this host */
    const char *run, *node; /**< its home's */
    const char *why;   /**< a sentence for people: why so, and not otherwise */
};

/**
 * How this handle reaches its queue: one path, from open to close.  The texts are borrowed until close.
 * PTQ_EINVAL, PTQ_EFORKED.
 */
PTQ_MUST_CHECK enum ptq_err ptq_queue_path(const ptq_queue *queue, struct ptq_queue_path *ret_path);

/** The spec that it was made with, as text; "" if with none.  Borrowed until close. */
const char *ptq_queue_spec(const ptq_queue *queue);

/* -- in ------------------------------------------------------------------------------------------------------- */

/**
 * Puts a message of `size` bytes (0 is fine; then `data` may be NULL).  PTQ_OK: it is in the queue, whoever dies
 * next.  Anything else: it is not in the queue (PTQ_EINDOUBT, remote only: unknown).
 * Blocks while the queue is full, in messages or bytes, unless enum ptq_full says otherwise.  PTQ_FULL with PTQ_NOWAIT,
 * PTQ_TIMEDOUT after a deadline, PTQ_EMSGSIZE, PTQ_EENDED, PTQ_ENOSPC (nothing changed; ptq_queue_explain tells mount,
 * need and free space).
 * With PTQ_EXCLUSIVE, on a queue with pack_size, a small message is added to the entry of the one before, if that waits
 * in the queue still and is the last, and is promised at once.  Such messages share a position and a lease, and
 * are told apart by ptq_msg_sub: who takes one takes all that are there.  Order with the puts of others is kept.
 */
PTQ_MUST_CHECK enum ptq_err ptq_put(ptq_queue *queue, const void *data, size_t size, int timeout_ms);

/** As ptq_put, and tells the position that the message got. */
PTQ_MUST_CHECK enum ptq_err ptq_put_position(ptq_queue *queue, const void *data, size_t size, int timeout_ms,
                                             uint64_t *ret_position);

/**
 * As ptq_put, with headers, trace, delay, time to live.  `options` may be NULL.
 * PTQ_EMSGSIZE also where headers and message together exceed item_size + header_size.
 *
 * A put to a queue of another host whose answer was lost answers PTQ_EINDOUBT.  The same call of the same thread on the
 * same handle, with PTQ_RETRY, goes on with it: if it took effect PTQ_OK, else it is done now; never twice.  Anything else that the
 * thread puts there gives that up.  As long as the home is away it answers PTQ_EINDOUBT again, after its timeout.  A home that
 * has forgotten (10 minutes after a broken link) takes it as new, and the message comes out redelivered.  PTQ_EINVAL: it is not
 * the message that is in doubt.  PTQ_EVERSION: the home is too old to be asked.  Where nothing is in doubt it is an ordinary
 * put.  The same for ptq_put_many_with, but not with PTQ_PARTIAL (PTQ_EINVAL), and for ptq_publish_with.
 */
PTQ_MUST_CHECK enum ptq_err ptq_put_with(ptq_queue *queue, const void *data, size_t size,
                                         const struct ptq_put_options *options, int timeout_ms);

/**
 * Puts all `count` messages or none, next to each other in the order given, by one commit: consumers see all of
 * them or none, whoever is killed.  They share one position and are told apart by ptq_msg_sub.  0 messages: PTQ_OK.
 * PTQ_ETOOBIG at once if count > capacity; PTQ_EMSGSIZE if one is too large.  Else as ptq_put.
 * `ret_position` may be NULL.
 */
PTQ_MUST_CHECK enum ptq_err ptq_put_many(ptq_queue *queue, const struct ptq_bytes *items, size_t count, int timeout_ms,
                                         uint64_t *ret_position);

/** As ptq_put_many, with options that hold for each message.  With PTQ_PARTIAL: as many as fit
 * now, in their order, in batches of one or more; only for the first is there a wait.  *ret_count says how many; what
 * failed after
 * them is the next call's to tell. */
PTQ_MUST_CHECK enum ptq_err ptq_put_many_with(ptq_queue *queue, const struct ptq_bytes *items, size_t count,
                                              const struct ptq_put_options *options, int timeout_ms);

/**
 * Lends room for a message of up to `size` bytes, to be written in place (ptq_msg_buffer) and then published or
 * aborted.  Until then nobody sees it, and a process that dies takes nothing else with it.
 */
PTQ_MUST_CHECK enum ptq_err ptq_loan(ptq_queue *queue, size_t size, int timeout_ms, ptq_msg **ret_loan);

/**
 * Hands a loan in, with its first `size` bytes.  PTQ_OK: `loan` is taken.  On failure the loan stays the caller's,
 * to be published again or aborted.  `ret_position` may be NULL.
 */
PTQ_MUST_CHECK enum ptq_err ptq_publish(ptq_msg *loan, size_t size, int timeout_ms, uint64_t *ret_position);

/** As ptq_publish, with options. */
PTQ_MUST_CHECK enum ptq_err ptq_publish_with(ptq_msg *loan, size_t size, const struct ptq_put_options *options,
                                             int timeout_ms);

/** Gives a loan back unpublished.  NULL is fine. */
void ptq_abort(ptq_msg *loan);

/**
 * Puts what this handle gathered into the queue, of all its threads.  PTQ_OK: it is there, whoever dies next.
 *
 * On a handle opened with PTQ_PIPELINE a ptq_put of a small message without options answers PTQ_OK when the message
 * stands in a pack that only this thread knows; it is promised, and seen by others, when the pack is full, at
 * ptq_flush, before anything else that this thread puts (put_many, loans, messages with options, large ones: order
 * stays), before ptq_end of this handle, when a get on this handle finds nothing, and at close, which waits up to three
 * seconds for room.  What a process had not flushed dies with it.  Its position is not known at the put (0).  A
 * ptq_put_many of small messages is a pack of its own, or several: in the queue, with its position, when it answers.
 *
 * Packed messages are got and acked like others, with these differences: a pack is leased as a whole, and a consumer
 * that has one of its messages holds them all; they share one position and are told apart by ptq_msg_sub; data is
 * aligned to 8; an ack that overtakes an earlier message's counts when that is acked; ptq_nack gives back the message
 * and all after it, once the caller has settled those it holds (their acks answer PTQ_ELEASELOST); only the first that
 * is not acked counts deliveries, and may become a dead letter; time to live ends for a pack as a whole, until it is
 * leased.
 *
 * Blocks while there is no room.  PTQ_FULL, PTQ_TIMEDOUT: nothing is lost, flush again.  PTQ_EENDED: the queue was
 * ended meanwhile, and what was gathered is dropped.  On other handles PTQ_OK at once.
 *
 * Where the queue is on another host, small puts are copied and handed over in batches, of all threads of the handle, one under way
 * while the next is filled; flush waits until all are in.  There a batch is packs, if the queue has room for them (pack_size).  Through the
 * ptqbridge of this host no thread is there to hand over the next batch when one has arrived: the handle's next put, get, flush or close
 * does: there, flush at the end of a burst.  A batch that fails is told by the next put or flush, and nothing goes past it: after
 * PTQ_FULL, PTQ_ENOSPC or PTQ_ENOMEM it is asked again by the one after, after anything else it and what was put behind it is dropped.
 * Queues with lease_ms or expired_to_dead refuse PTQ_PIPELINE: PTQ_EINVAL at open.
 *
 * On a handle opened with PTQ_ACK_LOCAL, of a queue of another host, PTQ_OK of a put, a loan's publish or an end means: it stands in
 * the outbox of that queue on this host, one for all its processes, and survives them and the ptqbridge, but not the host.  The
 * ptqbridge carries it home, in order, once, whatever is killed or cut meanwhile; no bridge and no home is needed to put, or to open
 * the queue once its outbox is there.  A full outbox is a full queue: puts wait, or answer PTQ_FULL, and its descriptor tells.  Positions
 * that puts tell are the outbox's.  Flush waits until all that stands there is home, but for what is delayed, which waits here for its
 * time.  What its home refuses for good (ended meanwhile, too large there) or what outlives its time on the way is put into the queue
 * "<name>.refused" of this host, with a header "ptq.refused" that says why; the next flush answers that code, PTQ_ELATE for the
 * latter, once.  Everything else, gets too, is asked of the home.
 */
PTQ_MUST_CHECK enum ptq_err ptq_flush(ptq_queue *queue, int timeout_ms);

/**
 * The producers' word that nothing more will come.  Every later put, of anybody, answers PTQ_EENDED; consumers
 * take what is there, then get PTQ_END.  Needs no room (but with PTQ_PIPELINE: PTQ_FULL, not ended, where what was
 * gathered does not fit: flush first).  PTQ_EALREADY when it was ended before.
 */
PTQ_MUST_CHECK enum ptq_err ptq_end(ptq_queue *queue);

/* -- out ------------------------------------------------------------------------------------------------------ */

/**
 * Leases the next message: redelivered ones first, else the oldest.  No copy is made; the bytes may be read until
 * ptq_ack or ptq_nack.  If this process dies first, the message is redelivered to another.
 * PTQ_EMPTY with PTQ_NOWAIT, PTQ_TIMEDOUT after a deadline, PTQ_END when the queue was ended and all is settled.
 */
PTQ_MUST_CHECK enum ptq_err ptq_get(ptq_queue *queue, int timeout_ms, ptq_msg **ret_msg);

/**
 * As ptq_get for `min` to `max` messages: waits until `min` are there (0 counts as 1), then takes what else is there.
 * Each has its own lease.  Short of `min` at the deadline (PTQ_EMPTY, PTQ_TIMEDOUT) or at an error, all go back to
 * their places as if they had not been taken.  At the end of the queue fewer than `min` are an answer too: what was
 * left.  Meanwhile it holds what it took: two that wait at once may each hold what the other lacks, until more is put
 * or a deadline comes.  PTQ_EINVAL: min > max.
 */
PTQ_MUST_CHECK enum ptq_err ptq_get_many(ptq_queue *queue, ptq_msg **msgs, size_t min, size_t max, int timeout_ms,
                                         size_t *ret_count);

/** Done: the message leaves the queue.  Takes `msg`, even on error.  PTQ_ELEASELOST: the lease had ended
 * before (lease_ms ran out; remote: or its session was lost; packs: one before it was given back), and the message is,
 * or was, another's: what was done with it may be
 * done again. */
enum ptq_err ptq_ack(ptq_msg *msg);

/**
 * As ptq_ack for each of `count` messages, in this order; they may be of several queues.  Takes all of them, whatever
 * it answers: a failure is the first one's, and those after it are acked all the same.  0 messages: PTQ_OK.  Cheaper
 * than a call for each, and of packed messages by far: those that stand next to each other are acked at once.
 */
enum ptq_err ptq_ack_many(ptq_msg *const *msgs, size_t count);

#define PTQ_BACKOFF (-2) /**< ptq_nack: 0, 10, 100, then 1000 ms, by how often it was delivered */

/**
 * Gives it back, to be redelivered in its old place after `delay_ms` (0: at once; PTQ_BACKOFF).  Takes `msg`, even on
 * error.  Never blocks for room.  PTQ_ELEASELOST as ptq_ack.
 */
enum ptq_err ptq_nack(ptq_msg *msg, int delay_ms);

/**
 * Gets a message, copies it to `buffer` and acks it: at most once, for those who need no more.
 * A message larger than `size`: PTQ_EMSGSIZE, with its size in *ret_size; it stays in the queue, uncounted.
 */
PTQ_MUST_CHECK enum ptq_err ptq_recv(ptq_queue *queue, void *buffer, size_t size, int timeout_ms, size_t *ret_size);

/* -- dead letters --------------------------------------------------------------------------------------------- */

#define PTQ_DEAD_SUFFIX "!dead"

/**
 * Dead letters are messages that came back when they had been handed out max_deliveries times, and, where the queue
 * says so, those that outlived their time.  They stay in the queue's memory, at most max_dead of them, and count
 * against nothing else.
 *
 * ptq_queue_open(bus, "tasks!dead", ...) opens a view of them; the queue must exist.  On it ptq_get, ptq_get_many and
 * ptq_recv lease the oldest letters (no delivery: ptq_msg_deliveries tells how often it was handed out before it died);
 * ptq_ack lets one go for good, counted as acked; ptq_nack, or the death of its holder, leaves it dead.  ptq_queue_fd
 * and waiting work as on the queue; ptq_queue_purge drops the letters and nothing else; PTQ_END when the queue was
 * ended, all is settled, and no letter is left.  What puts, loans, or ends answers PTQ_EINVAL.  ptq_queue_stats are
 * those of the queue.
 *
 * ptq_queue_kick: up to `max` letters (0: all that are there), the oldest first, go back into their places, to be
 * handed out before everything newer, as if for the first time: ptq_msg_deliveries is 1 again, a time to live is over
 * and done with, and ptq_msg_redelivered says what it would have said.  After PTQ_END, too, where somebody may have to
 * get them once more.  `queue` is the queue or the view; `ret_count` may be NULL.
 */
PTQ_MUST_CHECK enum ptq_err ptq_queue_kick(ptq_queue *queue, uint64_t max, uint64_t *ret_count);

/* -- a message ------------------------------------------------------------------------------------------------ */

const void *ptq_msg_data(const ptq_msg *msg);     /**< borrowed until ack or nack; aligned to 16 */
size_t ptq_msg_size(const ptq_msg *msg);          /**< bytes */
void *ptq_msg_buffer(ptq_msg *loan);              /**< where a loan is written; NULL for a leased message */
uint64_t ptq_msg_position(const ptq_msg *msg);    /**< its number in the queue, 48 bits, growing */
uint32_t ptq_msg_sub(const ptq_msg *msg);         /**< its index in a batch, else 0 */
uint32_t ptq_msg_deliveries(const ptq_msg *msg);  /**< how often it was handed out, this time included: from 1 */
bool ptq_msg_redelivered(const ptq_msg *msg);     /**< its holder died or nacked it before */
int64_t ptq_msg_age_ms(const ptq_msg *msg);       /**< since it was put; -1: it bears no stamp (enum ptq_stamps), or not here */
uint32_t ptq_msg_type(const ptq_msg *msg);        /**< hash of the name of what is inside (<ptq/pb.h>); 0: not said */

/** ptq_msg_data and ptq_msg_size of `count` messages, by one call: into ret_items[0] and on. */
void ptq_msg_bytes_many(ptq_msg *const *msgs, size_t count, struct ptq_bytes *ret_items);

/**
 * The value of the first header called `name`, its size in *ret_size; NULL: it bears none of that name.  Borrowed until
 * ack or nack, as the message.  Headers travel with their message: over links, into the dead letters, when it is
 * redelivered.
 */
const void *ptq_msg_header(const ptq_msg *msg, const char *name, size_t *ret_size);

size_t ptq_msg_header_count(const ptq_msg *msg); /**< without the trace */

/** The index-th header, from 0, in the order in which they were given; `name` gets a final 0.  False: there is none. */
bool ptq_msg_header_at(const ptq_msg *msg, size_t index, char name[PTQ_HEADER_NAME_MAX + 1], const void **ret_value,
                       size_t *ret_size);

/** Where it belongs in a distributed trace.  False: it does not say. */
bool ptq_msg_trace(const ptq_msg *msg, struct ptq_trace *ret_trace);

#define PTQ_TRACE_TEXT_SIZE 56 /**< with the final 0 */

/** The text form, W3C's traceparent: "00-<trace id>-<parent id>-<flags>", in lower-case hexadecimal.  Returns `buffer`. */
const char *ptq_trace_text(const struct ptq_trace *trace, char buffer[PTQ_TRACE_TEXT_SIZE]);

/** Reads the text form.  PTQ_EINVAL: it is none, or an id is zero. */
PTQ_MUST_CHECK enum ptq_err ptq_trace_parse(const char *text, struct ptq_trace *ret_trace);

/* -- around --------------------------------------------------------------------------------------------------- */

enum ptq_side {
    PTQ_SIDE_GET = 0, /**< a get would give a message, PTQ_END or an error */
    PTQ_SIDE_PUT = 1  /**< a put would find room, or an error */
};

/**
 * A descriptor for poll, epoll, libuv or asyncio: readable whenever a call on `side` would not wait; perhaps
 * spuriously.  Level-triggered: it stays readable until a call answers PTQ_EMPTY (or PTQ_FULL).  Do not read from
 * it.  It belongs to the handle and is closed with it; the same call gives the same descriptor.
 * A process that dies with leases, or is stopped, never leaves it unreadable while there is something to get.
 * PTQ_ENOMEM: no descriptors left.
 */
PTQ_MUST_CHECK enum ptq_err ptq_queue_fd(ptq_queue *queue, enum ptq_side side, int *ret_fd);

/**
 * Drops all messages that are ready now, redelivered ones too; *ret_count says how many (may be NULL).  They are
 * counted: dropped_by[PTQ_DROP_PURGED].  Leased, delayed and dead ones stay.  What is put meanwhile may stay or go.
 * Works on a paused queue too.  Does not block.  PTQ_EINVAL: the queue belongs to a pool, whose every position is
 * waited for.  PTQ_EINDOUBT, remote only: the home died with it; it was done or not, and is not done again.
 */
PTQ_MUST_CHECK enum ptq_err ptq_queue_purge(ptq_queue *queue, uint64_t *ret_count);

/**
 * Pauses the queue, for everybody: from now on gets answer as on an empty queue; puts, acks and nacks go on.  `pause`
 * false resumes it, and wakes whoever sleeps.  It stays paused when its pauser closes or dies; ptq_queue_stats tells.
 */
PTQ_MUST_CHECK enum ptq_err ptq_queue_pause(ptq_queue *queue, bool pause);

/** One side of one queue among those that a thread waits for. */
struct ptq_wait {
    ptq_queue *queue;   /**< NULL: this entry is passed over */
    enum ptq_side side;
    bool ready;         /**< written: a call on that side would not wait */
};

/**
 * Waits until a call on at least one of `count` queues would not wait: there is a message (PTQ_SIDE_GET) or room
 * (PTQ_SIDE_PUT), or its answer would be PTQ_END or an error.  Local and remote ones may be mixed; the same queue may
 * be there twice.  It takes nothing: another may be faster, so ask with PTQ_NOWAIT and wait again where that answers
 * PTQ_EMPTY or PTQ_FULL.
 *
 * PTQ_OK: `ready` is set in each entry that is ready and cleared in the others; *ret_first (may be NULL) is one of
 * them, by turns: the first behind the one that this thread was told last, so that taking from it alone starves none.
 * PTQ_EMPTY with PTQ_NOWAIT, PTQ_TIMEDOUT after a deadline; PTQ_EINTR after a signal handler, ptq_interrupt on any of
 * the queues, or when another thread closes one of them; PTQ_EGONE: somebody took away the file of *ret_first, which is
 * marked.  PTQ_EINVAL: no queue at all.  PTQ_ENOMEM also where a remote queue needs a descriptor and none is left.
 *
 * Asleep it costs nothing, for any number of queues; it needs three descriptors for each local queue on which it slept
 * (kept by the handle for the next time), and where they are missing looks each 250 ms besides.  Signals may be held
 * back for the first 10 ms of a sleep.
 */
PTQ_MUST_CHECK enum ptq_err ptq_wait_any(struct ptq_wait *waits, size_t count, int timeout_ms, size_t *ret_first);

/** Makes every call that sleeps on this handle, now or next, answer PTQ_EINTR once.  Async-signal-safe. */
void ptq_interrupt(ptq_queue *queue);

/** What a queue holds and has seen.  A snapshot; exact when the queue is quiet. */
struct ptq_queue_stats {
    uint64_t capacity, item_size, bytes; /**< geometry; bytes: shared memory in use by it now */
    uint64_t ready, leased, delayed, dead;
    uint64_t put, acked, nacked, taken, redelivered; /**< since it was created */
    uint64_t dropped;                                /**< oldest, newest, expired, purged, dead_overflow together */
    uint64_t dropped_by[PTQ_DROPS];                  /**< the same by reason: enum ptq_drop */
    uint64_t bytes_put, bytes_acked;
    uint64_t recovered;      /**< endpoints recovered after a death */
    uint64_t head, tail;     /**< positions: the next to be taken, the next to be given (hints) */
    uint64_t end_position;   /**< where END stands; 0: not ended */
    uint64_t oldest_ms;      /**< age of the oldest ready message, where it bears a stamp; else 0 */
    uint32_t producers, consumers, endpoints; /**< handles that have put; that have got; all that are alive */
    uint32_t dead_endpoints;                  /**< not yet recovered */
    bool ended, removed, remote;
    bool paused; /**< ptq_queue_pause */
};

/**
 * Figures of the queue as it is now.  Of a queue of this host they are read without a lock and without waiting for anybody, while others go
 * on: each is right at some moment of the call, and they may be of different moments.  Of one elsewhere its home is asked: a round trip, and
 * PTQ_EUNREACHABLE where it does not answer.  It takes nothing, and may be called by any thread; after fork PTQ_EFORKED.
 * *ret_stats stays as it was on any error.
 */
PTQ_MUST_CHECK enum ptq_err ptq_queue_stats(ptq_queue *queue, struct ptq_queue_stats *ret_stats);

/**
 * The sentence for a person about `err` on this queue, as things are now: what, on what, why, what to do (for
 * PTQ_ENOSPC the mount, the need and the free space).  Writes at most `size` bytes with the final 0; returns `buffer`.
 */
const char *ptq_queue_explain(ptq_queue *queue, enum ptq_err err, size_t message_size, char *buffer, size_t size);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
