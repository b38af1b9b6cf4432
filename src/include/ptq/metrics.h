/* metrics.h -- watching without disturbing: read-only views of a bus for tools.
 *
 * Nothing here takes a message, holds a lock, or stops a process: segments are mapped read-only, words are read
 * once and checked.  A watcher may look at a queue that it may read, of any user.
 */
#ifndef PTQ_METRICS_H
#define PTQ_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/bus.h>
#include <ptq/queue.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** A read-only view of one local queue.  Used by one thread at a time. */
typedef struct ptq_view ptq_view;

/** Opens a view.  Of "tasks!dead" peek shows the dead letters alone, also those on lease.  PTQ_ENOENT, PTQ_EPERM, PTQ_EVERSION, PTQ_ECORRUPT.  `error` may be NULL. */
PTQ_MUST_CHECK enum ptq_err ptq_view_open(ptq_bus *bus, const char *name, struct ptq_error *error, ptq_view **ret_view);
void ptq_view_close(ptq_view *view); /**< NULL is fine */

/** As ptq_queue_stats.  PTQ_EGONE when the queue was removed since. */
PTQ_MUST_CHECK enum ptq_err ptq_view_stats(ptq_view *view, struct ptq_queue_stats *ret_stats);

/** A first look, for those who watch thousands of queues: it costs some lines of memory and no system call. */
struct ptq_view_glance {
    uint64_t mark;  /**< another one when a message was put, taken, settled or dropped, or somebody came or left, since; but for what is done
                         within a pack.  Death is not seen by it */
    bool get_waits; /**< somebody sleeps in a get, or polls for it.  A hint: it may stand for a while after the last has left */
    bool put_waits; /**< the same of a put that waits for room */
};
/** As ptq_view_stats. */
PTQ_MUST_CHECK enum ptq_err ptq_view_glance(ptq_view *view, struct ptq_view_glance *ret_glance);

/**
 * How many leases of a queue with lease_ms have run out and are not settled by their holders: handed to somebody else meanwhile, or not yet.
 * 0 of other queues.  Looks at each block.
 */
PTQ_MUST_CHECK enum ptq_err ptq_view_overdue(ptq_view *view, uint64_t *ret_count);

#define PTQ_WAIT_BUCKETS 144

/**
 * How long messages waited in the queue, from their put to their first take, since it was made.  Measured are those that bear the time of
 * their put: every 64th of a producer, unless the queue was made with other stamps, and each that has a time to live.  Records that were
 * put as a pack count as one.
 */
struct ptq_view_waits {
    uint64_t count;                     /**< measured */
    uint64_t sum_us;                    /**< their waits together */
    uint64_t buckets[PTQ_WAIT_BUCKETS]; /**< how many of them took so long: see ptq_wait_bucket_us */
};
/** PTQ_EGONE, PTQ_ECORRUPT as ptq_view_stats. */
PTQ_MUST_CHECK enum ptq_err ptq_view_waits(ptq_view *view, struct ptq_view_waits *ret_waits);
/** The longest wait of a bucket, a fifth above the shortest at most; of the last, and beyond it, UINT64_MAX. */
uint64_t ptq_wait_bucket_us(unsigned bucket);
/** So long, or less, did this part (0 to 1) of them wait: to the end of a bucket.  0: none was measured. */
uint64_t ptq_waits_quantile_us(const struct ptq_view_waits *waits, double part);

/** What a queue was made with, and by whom. */
struct ptq_view_info {
    char name[PTQ_NAME_MAX + 1];
    char path[512]; /**< its file */
    uint64_t capacity, item_size, slots, blocks, block_stride, file_bytes;
    uint32_t max_deliveries, max_endpoints, layout, mode, uid, gid;
    uint64_t window; /**< pool queues: how far results may run ahead; else 0 */
    uint64_t limit;  /**< pool queues: first position that may not be leased yet; else 0 */
    bool placed;     /**< results of ordered work: positions are given, not drawn */
    /* as struct ptq_queue_options */
    uint64_t bytes;
    uint32_t header_size, ttl_ms, lease_ms, max_dead;
    enum ptq_full full;
    enum ptq_stamps stamps;
    bool expired_to_dead, last_producer_ends, ephemeral;
    int32_t creator_pid;
    int64_t created_unix_ms;
    uint8_t id[16]; /**< this queue, not another of its name */
};
PTQ_MUST_CHECK enum ptq_err ptq_view_info(ptq_view *view, struct ptq_view_info *ret_info);

/** The spec that it was made with, as text; "" if with none.  Borrowed until close. */
const char *ptq_view_spec(const ptq_view *view);

/** One attachment. */
struct ptq_view_endpoint {
    uint32_t index;
    bool alive;              /**< by the kernel's word */
    int32_t pid;             /**< as it saw itself; for display */
    char command[16];
    int64_t since_unix_ms;
    uint64_t put, taken, acked, nacked;
    uint64_t leased;         /**< messages it holds now */
    uint64_t oldest_position; /**< the lowest position it holds; meaningful if leased > 0 */
};
/** Fills up to `max` endpoints; *ret_count is how many there are. */
PTQ_MUST_CHECK enum ptq_err ptq_view_endpoints(ptq_view *view, struct ptq_view_endpoint *endpoints, size_t max,
                                               size_t *ret_count);

enum ptq_view_state { PTQ_VIEW_READY, PTQ_VIEW_LEASED, PTQ_VIEW_REDELIVERABLE, PTQ_VIEW_DELAYED, PTQ_VIEW_DEAD };

/** A message as it is seen by peek. */
struct ptq_view_msg {
    const void *data; /**< borrowed until the callback returns */
    size_t size;
    uint64_t position;
    uint32_t sub, deliveries, kind;
    bool redelivered;
    enum ptq_view_state state;
    uint32_t holder; /**< endpoint index, if leased */
    const ptq_msg *msg; /**< the same, to be asked for headers, trace and type: borrowed likewise, and leased by nobody here */
};
/**
 * Shows messages in order of position without taking them, whatever their state; `each` returns false to stop.
 * A message that changes while it is copied is left out.
 */
PTQ_MUST_CHECK enum ptq_err ptq_view_peek(ptq_view *view, bool (*each)(const struct ptq_view_msg *msg, void *context),
                                          void *context);

/** Where a follower stands.  Zero: at the end of the queue, as it is when ptq_view_follow is called first. */
struct ptq_view_cursor {
    uint64_t position; /**< the next to be looked at */
    uint64_t begun;    /**< where it was when it was called first */
    uint64_t missed;   /**< written: how much went by unseen so far; right before each call of `each`, too */
    uint32_t seen;     /**< of the messages at `position` */
    bool oldest;       /**< set it before the first call: those that are in the queue already are shown first */
    bool started, open;
};

/**
 * Shows what was put since the last call, in the order of positions and each message once, as it stands in the queue now, whatever its
 * state; takes nothing, and is noticed by nobody.  `each` returns false to stop: the next call goes on behind that message.
 * What was put and settled between two calls can not be seen any more: it is counted in cursor->missed, messages that were put
 * together (ptq_put_many, packs) as one.  A message that changes hands just while it is copied is looked at again, some times.
 *
 * PTQ_OK: all is shown that is there, or `each` stopped; PTQ_END: the queue was ended, and that was all; PTQ_EGONE, PTQ_ECORRUPT, PTQ_ENOMEM.
 * PTQ_EINVAL: a view of dead letters, which come in no order.  Costs some nanoseconds where nothing was put.
 */
PTQ_MUST_CHECK enum ptq_err ptq_view_follow(ptq_view *view, struct ptq_view_cursor *cursor,
                                            bool (*each)(const struct ptq_view_msg *msg, void *context), void *context);

/** What ptq_view_verify found. */
struct ptq_verify_report {
    uint64_t put, acked, dropped;                    /**< from the journals and counters */
    uint64_t ready, leased, delayed, dead;           /**< counted, block by block */
    uint64_t in_transit;                             /**< owned by a producer, not in the queue */
    int64_t imbalance;                               /**< put - (ready + leased + delayed + dead + acked + dropped) */
    uint32_t findings;                               /**< how many things are wrong; 0: sound */
    bool quiet;                                      /**< nothing moved while it counted: the figures are exact */
};
/**
 * Checks structure and conservation: put = ready + leased + delayed + dead + acked + dropped, by counting and not by
 * subtracting.  Each finding is told to `each` in one sentence (may be NULL).  While the queue is busy it tries
 * a few times for a quiet moment, and else reports with quiet = false, where imbalance is not a finding.
 * PTQ_OK: sound.  PTQ_ECORRUPT: there are findings.
 */
PTQ_MUST_CHECK enum ptq_err ptq_view_verify(ptq_view *view, void (*each)(const char *finding, void *context), void *context,
                                            struct ptq_verify_report *ret_report);

/* ---- a bus as text, for those who gather figures: Prometheus and its kin ---- */

enum ptq_metrics_format {
    PTQ_METRICS_OPENMETRICS = 0, /**< OpenMetrics 1.0, with its "# EOF": "application/openmetrics-text; version=1.0.0; charset=utf-8" */
    PTQ_METRICS_PROMETHEUS = 1   /**< the older form: "text/plain; version=0.0.4; charset=utf-8" */
};

/**
 * What a bus has told so far.  It is kept between texts, so that counters never go back: a queue that is removed and made again
 * counts on, and one that is removed is silent until then.  65,536 removed queues are remembered, the latest.  A new ptq_scrape begins with
 * what the queues themselves have counted: lower figures than another told of queues that were made again, which is what Prometheus takes for a
 * reset.  Used by one thread at a time.
 */
typedef struct ptq_scrape ptq_scrape;

/** The bus stays the caller's, and must outlive it.  PTQ_ENOMEM. */
PTQ_MUST_CHECK enum ptq_err ptq_scrape_open(ptq_bus *bus, ptq_scrape **ret_scrape);
void ptq_scrape_close(ptq_scrape *scrape); /**< NULL is fine */

#define PTQ_SCRAPE_QUEUES 10000u /**< queues that are told of, unless something else is said */

/**
 * Of which queues it tells from now on: at most `most` (0: PTQ_SCRAPE_QUEUES), and of these such whose name `wants` is true of (NULL: of
 * all).  Each queue is some fifty figures to whoever gathers them.  Those that were told of the last time have their places first; how
 * many have none is told in ptq_untold_queues.  `context` is borrowed until it is closed, or told otherwise.
 */
void ptq_scrape_choose(ptq_scrape *scrape, size_t most, bool (*wants)(const char *name, void *context), void *context);

/**
 * The figures of all local queues of the bus now.  *ret_text is given to you, release it with free().  No queue is held open
 * afterwards; it costs some microseconds a queue, and nothing to the queues' users.
 * A queue that may not be read is left out, and counted in ptq_unreadable_queues.
 */
PTQ_MUST_CHECK enum ptq_err ptq_scrape_text(ptq_scrape *scrape, enum ptq_metrics_format format, char **ret_text, size_t *ret_size);

/**
 * What a check of one queue, of this host or another, found: ptq_queue_messages, ptq_queue_oldest_seconds, and ptq_check_state, which is `state`:
 * 0 ok, 1 warning, 2 critical, 3 not known, as monitors have it.  `stats` may be NULL: then that alone.  *ret_text is given to you, release
 * it with free().  PTQ_ENOMEM.
 */
PTQ_MUST_CHECK enum ptq_err ptq_check_text(const char *name, const struct ptq_queue_stats *stats, unsigned state,
                                           enum ptq_metrics_format format, char **ret_text, size_t *ret_size);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
