/* map.h -- one call for many jobs, and results that are waited for one by one: maps and futures over ordered pools.
 *
 * A map gives each of many items to a task and gives the results back in the order of the items; of an unordered pool
 * (ptq_pool_options.unordered) as they come, each with its index.  A future is the promise of
 * one job's result.
 *
 * Common to all here:
 *   The handle that is called must be the pool's getter (see ptq_pool_get) or able to become it: else PTQ_EBUSY.
 *   Futures, maps and ptq_pool_get may be used together on one handle, by several threads: a result goes to who asked for it.
 *   What a future or map meets that was submitted by others, or by ptq_pool_submit, is kept for ptq_pool_get; it counts against the
 *   window until it is got and done, and PTQ_EAGAIN says that nothing else is left in the window.  While one thread waits in
 *   any of these calls, ptq_pool_get of another one answers PTQ_EBUSY.
 *   End maps and free futures before their pool is closed.
 */
#ifndef PTQ_MAP_H
#define PTQ_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/err.h>
#include <ptq/pool.h>
#include <ptq/queue.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* -- futures -------------------------------------------------------------------------------------------------- */

/** The result of one job, that may not be there yet.  Opaque.  One thread at a time. */
typedef struct ptq_future ptq_future;

/**
 * As ptq_pool_submit_with, and *ret_future stands for the result; release it with ptq_future_free.
 * A result that is there and whose future is not freed counts against the window.  PTQ_EAGAIN: there is no room, and there will be
 * none, for futures of this handle hold all of the window.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pool_submit_future(ptq_pool *pool, const char *task, const void *data, size_t size,
                                                   const struct ptq_submit_options *options, int timeout_ms,
                                                   ptq_future **ret_future);

/**
 * Waits until the result is there; *ret_result (may be NULL) is borrowed until ptq_future_free: do not give it to
 * ptq_result_done.  A job that failed has a result, too: PTQ_OK.  Any number of times.
 * PTQ_EMPTY, PTQ_TIMEDOUT: not yet.  PTQ_EABORTED: it was cancelled.  PTQ_END: the pool ended without it; PTQ_EBUSY, PTQ_EAGAIN,
 * PTQ_ENOWORKERS, PTQ_EGONE, ... as ptq_pool_get.
 */
PTQ_MUST_CHECK enum ptq_err ptq_future_wait(ptq_future *future, int timeout_ms, const ptq_result **ret_result);

/** Would ptq_future_wait not wait?  Looks for results and after workers, as a wait with PTQ_NOWAIT. */
bool ptq_future_poll(ptq_future *future);

/**
 * Gives the job up.  One that no worker has begun never runs (on another host, or of an unordered pool, it may); of one that runs the result is thrown away.
 * PTQ_EABORTED stands in its place, which counts as got.  PTQ_EALREADY: the result is there, or on its way.
 */
enum ptq_err ptq_future_cancel(ptq_future *future);

/**
 * A descriptor for poll or epoll: readable whenever ptq_future_wait would not wait, or perhaps has something to do: then call
 * ptq_future_poll.  It belongs to the future; do not read it.
 */
PTQ_MUST_CHECK enum ptq_err ptq_future_fd(ptq_future *future, int *ret_fd);

uint64_t ptq_future_ticket(const ptq_future *future); /**< of its job */

/** Done with it: its result leaves the pool, now or when it comes.  The job is not cancelled by that.  NULL is fine. */
void ptq_future_free(ptq_future *future);

/* -- maps ----------------------------------------------------------------------------------------------------- */

/* ptq_map_options.flags */
#define PTQ_MAP_COLLECT 1u     /**< an item that fails is one of the results; else the first failure ends the map */
#define PTQ_MAP_INLINE 2u      /**< for debugging: in the calling thread, by this program's tasks, without workers or queue */
#define PTQ_MAP_DROP_OTHERS 4u /**< results in the pool that are nobody's, a dead program's, say, are thrown away meanwhile */

#define PTQ_CHUNK_EVEN UINT32_MAX /**< ptq_map_options.chunk: one chunk a worker, of equal length but for the last */

/** Zero is the default of every field. */
struct ptq_map_options {
    const struct ptq_call_options *call; /**< of each item; NULL: as the handle's ptq_pool_options.call says */
    unsigned flags;                      /**< PTQ_MAP_... */
    uint32_t chunk;       /**< items a job, as far as item_size and result_size let them be: for tiny items; 0: 1.  PTQ_CHUNK_EVEN: of
                           *   ptq_pool_map, the items are dealt out to the workers that live (where none is known, one a processor) */
    uint64_t window;      /**< jobs under way at once; 0: as many as the pool's window lets begin */
    double per_second;    /**< items that may be submitted a second; 0: any */
    uint32_t total_ms;    /**< for all of the map, from its beginning; 0: any time */
    struct ptq_error *error; /**< filled when a map fails; may be NULL */
};

/** What became of one item.  Pointers are borrowed: of a map until ptq_map_free, of an imap until the next call on it. */
struct ptq_map_item {
    uint64_t index;    /**< of the item, from 0 */
    enum ptq_err code; /**< PTQ_OK, or as ptq_result_code */
    uint32_t tries;    /**< how often it was begun; 0: not */
    const void *data;  /**< aligned to 16; empty for an error */
    size_t size;
    const char *text;  /**< of an error, a sentence; else "" */
};

/**
 * Runs `task` (NULL: the default task) on each of `count` items and gives the results in their order: *ret_items is an array
 * of `count`, release it with ptq_map_free (NULL where count is 0).  Submits and gets by turns, so it never blocks on itself.
 *
 * The first item in order that fails (of an unordered pool, the first that comes) ends it: what is queued is cancelled, what runs is thrown away, and the answer is that item's
 * code (options->error says which, and why).  With PTQ_MAP_COLLECT the answer is PTQ_OK and each item has its own code;
 * PTQ_TIMEDOUT for what total_ms cut off.  A chunk whose worker dies is tried again item by item, so only that item fails which
 * killed it; retries of an item in a chunk wait with the whole chunk.
 * PTQ_TIMEDOUT after total_ms; PTQ_ENOTASK, PTQ_EENDED, PTQ_EINVAL, ... as ptq_pool_submit and ptq_pool_get.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pool_map(ptq_pool *pool, const char *task, const struct ptq_bytes *items, size_t count,
                                         const struct ptq_map_options *options, struct ptq_map_item **ret_items);

/** NULL is fine. */
void ptq_map_free(struct ptq_map_item *items);

/** A map whose input and output are streams.  Opaque.  One thread at a time. */
typedef struct ptq_imap ptq_imap;

/**
 * Gives the next item: PTQ_OK and *ret_item, whose bytes are borrowed until the next call; PTQ_END: there are no more.  Any other
 * answer ends the map with it, behind the results of what came before.  Called inside ptq_imap_next, only when the window has
 * room for one more: input may be endless.
 */
typedef enum ptq_err (*ptq_map_input_fn)(void *user, struct ptq_bytes *ret_item);

/** Begins a map over what `input` gives; end it with ptq_imap_end.  `task` and `options` are copied, options->call too. */
PTQ_MUST_CHECK enum ptq_err ptq_imap_begin(ptq_pool *pool, const char *task, ptq_map_input_fn input, void *user,
                                           const struct ptq_map_options *options, ptq_imap **ret_imap);

/**
 * The next result, in the order of the items; of an unordered pool, whichever is there.  PTQ_END: that was all.  PTQ_EMPTY, PTQ_TIMEDOUT: not yet; ask again.
 * An item whose submission is in doubt (PTQ_EINDOUBT of ptq_pool_submit) is asked about again inside these calls, by the same thread: what that
 * puts into the pool in between gives the question up, and the item may then be run twice; it comes out once.
 * Where an item failed, or total_ms are over, and PTQ_MAP_COLLECT is not set, the map has ended: the answer is the
 * code, ptq_imap_failure tells more, and further calls answer PTQ_END.
 */
PTQ_MUST_CHECK enum ptq_err ptq_imap_next(ptq_imap *imap, int timeout_ms, struct ptq_map_item *ret_item);

/** What ended it; NULL: nothing yet.  Borrowed until ptq_imap_end. */
const struct ptq_map_item *ptq_imap_failure(const ptq_imap *imap);

/** Ends it: what is queued is cancelled, what runs is thrown away when it comes.  NULL is fine. */
void ptq_imap_end(ptq_imap *imap);

/* -- several arguments ---------------------------------------------------------------------------------------- */

#define PTQ_ARGS_MAX 255 /**< arguments in one list */

/** A list of typed arguments, to be the bytes of a job or of anything else.  Begin with {0}; release with ptq_args_fini. */
struct ptq_args {
    unsigned char *bytes;
    size_t size, room;
    unsigned count;
    enum ptq_err err; /**< the first addition that failed: PTQ_ENOMEM, PTQ_ETOOBIG */
};

/* Each adds one; after a failure they do nothing, and ptq_args_done tells. */
void ptq_args_i64(struct ptq_args *args, int64_t value);
void ptq_args_u64(struct ptq_args *args, uint64_t value);
void ptq_args_f64(struct ptq_args *args, double value);
void ptq_args_bytes(struct ptq_args *args, const void *data, size_t size);
void ptq_args_text(struct ptq_args *args, const char *text);

/** What was added, as bytes: borrowed until the next addition.  Answers what the first failure was, or PTQ_OK. */
PTQ_MUST_CHECK enum ptq_err ptq_args_done(struct ptq_args *args, struct ptq_bytes *ret_bytes);
void ptq_args_fini(struct ptq_args *args);

/**
 * Reads such a list: one letter of `types` an argument: i (int64_t *), u (uint64_t *), f (double *), b (struct ptq_bytes *, aligned
 * to 8), t (const char **, with a final 0), - (any: passed over).  Nothing is copied.
 * PTQ_EPROTO: the bytes are no such list; PTQ_EINVAL: it has other types, or another number.  Nothing is written then.
 */
PTQ_MUST_CHECK enum ptq_err ptq_args_read(const void *data, size_t size, const char *types, ...);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
