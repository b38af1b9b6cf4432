/* share.h -- values that everyone sees: named cells of numbers and bytes in shared memory.
 *
 *   ptq_share *share;  ptq_share_open(bus, "progress", NULL, &share);
 *   ptq_cell *done;    ptq_share_i64(share, "done", 0, &done);
 *   ptq_i64_apply(done, PTQ_ADD, 1, NULL);
 *
 * No manager process and no lock: a change is one compare-and-swap of {value, version}, so it is in whole or not at all,
 * whoever is killed, and a process that is stopped in the middle of one holds up nobody.  Bytes are written into memory
 * that nobody reads yet and then swapped in: they are never torn.
 * Every change of a cell makes its version another one; ptq_cell_wait sleeps until it is.
 *
 * It stays, with what is in it, until ptq_share_unlink; a share that nobody has open is removed by a forced gc.
 *
 * A share belongs to one host; from others the same calls reach it as "progress@home" or by an address (ptq_queue_open), where a ptqbridge
 * serves.  A call is a round trip then: what it reads was there, at its home, at some moment of the call, and nothing is kept here that
 * could be taken for it (ptq_cell_freshness).  A change is made once, over broken links and killed bridges: asked again by its number; one
 * whose fate nobody knows is PTQ_EINDOUBT (ptq_share_retry).  A call over a link that is down waits up to 3 s for it, a wait up to its
 * deadline: PTQ_EUNREACHABLE.  PTQ_EPERM: the rules there do not let us read (get or peek), change (put), clear or make (admin).
 *
 * Handles may be used by several threads at once, but close and free only by one, when no other is inside.
 * After fork the child gets PTQ_EFORKED and opens its own.  A call that is not said to wait does not block.
 * Common answers: PTQ_EGONE, the share was removed; PTQ_ENOENT, the cell was deleted; PTQ_EMISMATCH, it has another type now;
 * PTQ_ECORRUPT; PTQ_EFORKED; PTQ_EINVAL, an argument makes no sense.
 */
#ifndef PTQ_SHARE_H
#define PTQ_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/bus.h>
#include <ptq/err.h>
#include <ptq/queue.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define PTQ_CELL_NAME_MAX 191          /**< bytes in the name of a cell, at least one; of a map or set, the name, one more, and the key */
#define PTQ_SHARE_CELLS_MAX 1048576u   /**< the most cells of a share */
#define PTQ_SHARE_VALUE_MAX 1048576u   /**< the largest value_size */

/** One process's attachment to a share.  Opaque. */
typedef struct ptq_share ptq_share;

/** A cell, by its name: also if it is deleted and made again with the same type.  Opaque. */
typedef struct ptq_cell ptq_cell;

/** Zero is the default of every field.  A field that is not zero and contradicts an existing share: PTQ_EMISMATCH. */
struct ptq_share_options {
    enum ptq_open_mode mode;
    int wait_ms;             /**< PTQ_ATTACH: how long to wait for it to come into being */
    uint32_t cells;          /**< names that it holds at once, at least; 0: 256 */
    uint32_t value_size;     /**< bytes in the largest value of a cell of bytes, to PTQ_SHARE_VALUE_MAX; 0: 1024 */
    uint32_t max_endpoints;  /**< handles that may be open at once, to 2047; 0: 256 */
    uint32_t file_mode;      /**< permission bits, whatever the umask; 0: 0600, with a group 0660 */
    const char *group;       /**< group of its file, a name or a number; NULL: this process's, or its setgid directory's; not from other hosts */
    struct ptq_error *error; /**< filled when the call fails; may be NULL */
};

/**
 * Opens a share by name, and makes it where it is missing (mode).  Names are those of queues; a bare one is of this host; a queue of the same
 * name is another thing.  All its memory, about (cells + max_endpoints) x (value_size + 350) + max_endpoints x value_size bytes, is taken when it
 * is made: PTQ_ENOSPC.
 * Otherwise as ptq_queue_open: PTQ_ENOENT, PTQ_EEXIST, PTQ_EAGAIN (max_endpoints are attached), PTQ_EPERM, PTQ_EVERSION, PTQ_ESYS:
 * a processor without 16-byte compare-and-swap.  May wait a moment for whoever removes one of that name.
 */
PTQ_MUST_CHECK enum ptq_err ptq_share_open(ptq_bus *bus, const char *name, const struct ptq_share_options *options,
                                           ptq_share **ret_share);

/**
 * After PTQ_EINDOUBT, by the same thread: the next change that it asks of this share is that one again, and is done unless it was: a share
 * of another host then answers what became of it.  PTQ_EINVAL by that change: it is another one.  PTQ_EINDOUBT again: it is not answered
 * yet, or its home was killed in the very change and cannot tell.  A share of this host is never in doubt.
 */
enum ptq_err ptq_share_retry(ptq_share *share);

/** Ends the attachment; its cells' handles are freed first.  NULL is fine; in a forked child it only drops the memory. */
void ptq_share_close(ptq_share *share);

/**
 * Removes it; idempotent.  PTQ_EBUSY while somebody has it open, unless force: then everybody gets PTQ_EGONE.  PTQ_ECORRUPT: it is no
 * share, or damaged, and only force removes it.
 */
PTQ_MUST_CHECK enum ptq_err ptq_share_unlink(ptq_bus *bus, const char *name, bool force);

/** Calls `each` with the name of every share of the bus, in no order; it returns false to stop early.  PTQ_OK also when there is none. */
PTQ_MUST_CHECK enum ptq_err ptq_share_list(ptq_bus *bus, bool (*each)(const char *name, void *context), void *context);

/* -- cells ---------------------------------------------------------------------------------------------------- */

enum ptq_cell_type {
    PTQ_CELL_I64 = 1,
    PTQ_CELL_U64 = 2,
    PTQ_CELL_F64 = 3,
    PTQ_CELL_BYTES = 4 /**< bytes, text, a packed message: up to value_size */
};

/**
 * Finds the cell of that name, or makes it with this first value: what it was found with is kept.  Free it with ptq_cell_free.
 * PTQ_EMISMATCH: it exists with another type; PTQ_EAGAIN: the share has the cells that it was made for; PTQ_EMSGSIZE.
 */
PTQ_MUST_CHECK enum ptq_err ptq_share_i64(ptq_share *share, const char *name, int64_t first, ptq_cell **ret_cell);
PTQ_MUST_CHECK enum ptq_err ptq_share_u64(ptq_share *share, const char *name, uint64_t first, ptq_cell **ret_cell);
PTQ_MUST_CHECK enum ptq_err ptq_share_f64(ptq_share *share, const char *name, double first, ptq_cell **ret_cell);
PTQ_MUST_CHECK enum ptq_err ptq_share_bytes(ptq_share *share, const char *name, const void *first, size_t size, ptq_cell **ret_cell);

/** Finds a cell of any type.  PTQ_ENOENT: there is none of that name. */
PTQ_MUST_CHECK enum ptq_err ptq_share_find(ptq_share *share, const char *name, ptq_cell **ret_cell);

void ptq_cell_free(ptq_cell *cell); /**< NULL is fine; the cell itself stays */
const char *ptq_cell_name(const ptq_cell *cell);           /**< as it was opened by; borrowed until ptq_cell_free */
enum ptq_cell_type ptq_cell_type(const ptq_cell *cell);   /**< that this handle was opened with: what it can read and change */

/** Deletes it by name: PTQ_ENOENT if there is none. */
enum ptq_err ptq_share_delete(ptq_share *share, const char *name);

/** Deletes every cell, map and set that is there; those that others make meanwhile may stay.  Else the first error: the rest is deleted. */
enum ptq_err ptq_share_clear(ptq_share *share);

/** One cell as ptq_share_each found it. */
struct ptq_cell_info {
    const char *name; /**< of the cell, the map or the set; borrowed until the callback returns, as is key */
    const void *key;  /**< in the map or the set; NULL: it is a cell */
    size_t key_size;
    enum ptq_cell_type type;
    uint64_t version;
    int64_t i64;      /**< of its type, else 0 */
    uint64_t u64;
    double f64;
    size_t size;      /**< of bytes */
};

/** Calls `each` with every cell, and every key of its maps and sets, in no order; it returns false to stop early.  Each is as it was at some moment of the call. */
PTQ_MUST_CHECK enum ptq_err ptq_share_each(ptq_share *share, bool (*each)(const struct ptq_cell_info *info, void *context), void *context);

/* -- numbers -------------------------------------------------------------------------------------------------- */

enum ptq_op {
    PTQ_SET = 0,
    PTQ_ADD = 1,
    PTQ_SUB = 2,
    PTQ_MUL = 3,
    PTQ_DIV = 4, /**< PTQ_EINVAL by integer zero */
    PTQ_MIN = 5,
    PTQ_MAX = 6,
    PTQ_AND = 7, /**< and the next two: integers only, else PTQ_EINVAL */
    PTQ_OR = 8,
    PTQ_XOR = 9
};

/**
 * The number in the cell as it is now, of this host without a lock and without waiting for anybody; ret_value stays as it was on any
 * error.  PTQ_EMISMATCH: the handle is of another type, or the cell is by now; PTQ_ENOENT: it was deleted; PTQ_EGONE: the share was;
 * PTQ_EAGAIN: it is changed again and again, faster than it can be read.
 */
PTQ_MUST_CHECK enum ptq_err ptq_i64_get(ptq_cell *cell, int64_t *ret_value);
PTQ_MUST_CHECK enum ptq_err ptq_u64_get(ptq_cell *cell, uint64_t *ret_value);
PTQ_MUST_CHECK enum ptq_err ptq_f64_get(ptq_cell *cell, double *ret_value);

/** value = value op operand, atomically; *ret_new (may be NULL) is what it then was.  Integers wrap round. */
enum ptq_err ptq_i64_apply(ptq_cell *cell, enum ptq_op op, int64_t operand, int64_t *ret_new);
enum ptq_err ptq_u64_apply(ptq_cell *cell, enum ptq_op op, uint64_t operand, uint64_t *ret_new);
enum ptq_err ptq_f64_apply(ptq_cell *cell, enum ptq_op op, double operand, double *ret_new);

/** Sets it and gives what it was. */
enum ptq_err ptq_i64_swap(ptq_cell *cell, int64_t value, int64_t *ret_old);
enum ptq_err ptq_u64_swap(ptq_cell *cell, uint64_t value, uint64_t *ret_old);
enum ptq_err ptq_f64_swap(ptq_cell *cell, double value, double *ret_old);

/** Sets it if it is *expected: PTQ_OK; else PTQ_EAGAIN, and *expected is what it is.  Doubles are compared bit by bit. */
PTQ_MUST_CHECK enum ptq_err ptq_i64_cas(ptq_cell *cell, int64_t *expected, int64_t value);
PTQ_MUST_CHECK enum ptq_err ptq_u64_cas(ptq_cell *cell, uint64_t *expected, uint64_t value);
PTQ_MUST_CHECK enum ptq_err ptq_f64_cas(ptq_cell *cell, double *expected, double value);

/** value = update(value), atomically: `update` may be called several times and must do nothing else. */
enum ptq_err ptq_i64_update(ptq_cell *cell, int64_t (*update)(int64_t value, void *context), void *context, int64_t *ret_new);
enum ptq_err ptq_u64_update(ptq_cell *cell, uint64_t (*update)(uint64_t value, void *context), void *context, uint64_t *ret_new);
enum ptq_err ptq_f64_update(ptq_cell *cell, double (*update)(double value, void *context), void *context, double *ret_new);

/* -- bytes ---------------------------------------------------------------------------------------------------- */

/**
 * Copies the value out: *ret_size its bytes, *ret_version (may be NULL) which one it is.  PTQ_EMSGSIZE: it has more than `size`; *ret_size
 * says how many, and the buffer is as it was.  PTQ_EAGAIN: it changes faster than it can be copied.
 */
PTQ_MUST_CHECK enum ptq_err ptq_cell_read(ptq_cell *cell, void *buffer, size_t size, size_t *ret_size, uint64_t *ret_version);

/** Writes a new value.  PTQ_EMSGSIZE: above value_size; PTQ_EAGAIN: others are in the middle of as many writes as there is memory for. */
PTQ_MUST_CHECK enum ptq_err ptq_cell_write(ptq_cell *cell, const void *data, size_t size);

/** Writes it only if the cell still is at `version`: PTQ_EAGAIN if not, read it again. */
PTQ_MUST_CHECK enum ptq_err ptq_cell_write_if(ptq_cell *cell, uint64_t version, const void *data, size_t size);

/* -- maps and sets ---------------------------------------------------------------------------------------------- */

/**
 * A map is a name and keys of any bytes, with values of bytes; a set is the same without values.  Keys are cells of the share: they count
 * among its `cells`, and name and key have PTQ_CELL_NAME_MAX - 1 bytes together, else PTQ_EINVAL.  A map exists while it has a key.
 *
 * set: puts or replaces it.  PTQ_EMSGSIZE; PTQ_EAGAIN: the share has all the cells that it was made for.
 * get: as ptq_cell_read.  PTQ_ENOENT: there is no such key.
 * remove: PTQ_ENOENT.
 */
PTQ_MUST_CHECK enum ptq_err ptq_map_set(ptq_share *share, const char *map, const void *key, size_t key_size, const void *data, size_t size);
PTQ_MUST_CHECK enum ptq_err ptq_map_get(ptq_share *share, const char *map, const void *key, size_t key_size, void *buffer, size_t size,
                                        size_t *ret_size, uint64_t *ret_version);
enum ptq_err ptq_map_remove(ptq_share *share, const char *map, const void *key, size_t key_size);

/** Adds it to a set: of all who do at once, one is told PTQ_OK, the others PTQ_EALREADY.  Otherwise as ptq_map_set. */
PTQ_MUST_CHECK enum ptq_err ptq_set_add(ptq_share *share, const char *set, const void *key, size_t key_size);
/** PTQ_OK: it is in the set; PTQ_ENOENT: it is not. */
PTQ_MUST_CHECK enum ptq_err ptq_set_has(ptq_share *share, const char *set, const void *key, size_t key_size);
/** Of all who do at once, one is told PTQ_OK, the others PTQ_ENOENT. */
enum ptq_err ptq_set_remove(ptq_share *share, const char *set, const void *key, size_t key_size);

/** Calls `each` with every key of a map or a set, in no order; it returns false to stop early.  Each is as it was at some moment of the call. */
PTQ_MUST_CHECK enum ptq_err ptq_map_each(ptq_share *share, const char *map, bool (*each)(const struct ptq_cell_info *info, void *context),
                                         void *context);

/* -- versions ------------------------------------------------------------------------------------------------- */

/** Grows with each change, also when the cell is deleted and made again: no version of a name comes twice. */
PTQ_MUST_CHECK enum ptq_err ptq_cell_version(ptq_cell *cell, uint64_t *ret_version);

/** How old may be what this handle was told? */
struct ptq_freshness {
    bool remote;      /**< its share is on another host */
    uint64_t version; /**< that it was told last, by a read or by ptq_cell_version */
    int64_t age_ns;   /**< so long ago, at most, that was what the cell was; 0 where it is not remote: then version is of now */
};
/** PTQ_EMPTY: of another host, and nothing was read yet.  Of threads that read by one handle, the last one counts. */
PTQ_MUST_CHECK enum ptq_err ptq_cell_freshness(ptq_cell *cell, struct ptq_freshness *ret_freshness);

/**
 * Waits until the cell is at another version than `version`: *ret_version (may be NULL).  PTQ_TIMEDOUT; PTQ_EINTR after a signal
 * handler without SA_RESTART; PTQ_ENOENT when it is deleted, PTQ_EGONE when the share is removed meanwhile.  Who is killed after his
 * change is noticed; the change of one who stands still (SIGSTOP) is noticed when he goes on, or with the next one.
 */
PTQ_MUST_CHECK enum ptq_err ptq_cell_wait(ptq_cell *cell, uint64_t version, int timeout_ms, uint64_t *ret_version);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
