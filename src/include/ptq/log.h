/* log.h -- a log that everyone appends to and everyone reads, in one order: a ring of records in shared memory.
 *
 *   ptq_log *log;  ptq_log_open(bus, "events", NULL, &log);
 *   ptq_log_append(log, "started", 7, NULL);
 *
 *   for (uint64_t at = 0; ptq_log_wait(log, at, PTQ_FOREVER) == PTQ_OK; at++)
 *       if (ptq_log_read(log, at, buffer, sizeof buffer, &record) == PTQ_OK)
 *           ...
 *
 * A record has a position, from 0, one more than the record before it, over all who append.  When the log is full the oldest goes: who reads
 * too slowly is told so (PTQ_ELATE), and never holds up who appends.  No manager and no lock: a record is in the log by one
 * compare-and-swap, in whole, whoever is killed; one that was not whole by then is not in it, and leaves no gap.
 *
 * A log belongs to one host; others reach it as "events@home" or by an address, as a share (<ptq/share.h>).  It stays until ptq_log_unlink; one that nobody has open is removed by a forced gc.  Handles may be used by
 * several threads at once, but close only by one, when no other is inside.  After fork the child gets PTQ_EFORKED and opens its own.
 * Common answers: PTQ_EGONE, the log was removed; PTQ_ECORRUPT; PTQ_EFORKED; PTQ_EINVAL, an argument makes no sense; PTQ_EAGAIN, others were
 * faster each time.
 */
#ifndef PTQ_LOG_H
#define PTQ_LOG_H

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

/** One process's attachment to a log.  Opaque. */
typedef struct ptq_log ptq_log;

/** Zero is the default of every field.  A field that is not zero and contradicts an existing log: PTQ_EMISMATCH. */
struct ptq_log_options {
    enum ptq_open_mode mode;
    int wait_ms;             /**< PTQ_ATTACH: how long to wait for it to come into being */
    uint32_t capacity;       /**< records that it holds, to 1048576; 0: 1000 */
    uint32_t item_size;      /**< bytes in the largest record, to 1048560; 0: 240 */
    uint32_t max_endpoints;  /**< handles that may be open at once, to 2047; 0: 256 */
    uint32_t file_mode;      /**< permission bits, whatever the umask; 0: 0600, with a group 0660 */
    const char *group;       /**< group of its file, a name or a number; NULL: this process's, or its setgid directory's; not from other hosts */
    struct ptq_error *error; /**< filled when the call fails; may be NULL */
};

/**
 * Opens a log by name, and makes it where it is missing (mode).  Answers of ptq_share_open.  All its memory, about
 * (capacity + max_endpoints) x (item_size + 50) bytes, is taken when it is made.
 */
PTQ_MUST_CHECK enum ptq_err ptq_log_open(ptq_bus *bus, const char *name, const struct ptq_log_options *options, ptq_log **ret_log);

/** Ends the attachment.  NULL is fine; in a forked child it only drops the memory. */
void ptq_log_close(ptq_log *log);

/** Removes it; as ptq_share_unlink. */
PTQ_MUST_CHECK enum ptq_err ptq_log_unlink(ptq_bus *bus, const char *name, bool force);

/** Calls `each` with the name of every log of the bus, in no order; it returns false to stop early.  PTQ_OK also when there is none. */
PTQ_MUST_CHECK enum ptq_err ptq_log_list(ptq_bus *bus, bool (*each)(const char *name, void *context), void *context);

/** Appends a record; *ret_position (may be NULL) is its place.  Does not block.  PTQ_EMSGSIZE: above item_size. */
PTQ_MUST_CHECK enum ptq_err ptq_log_append(ptq_log *log, const void *data, size_t size, uint64_t *ret_position);

/** What is known of a record. */
struct ptq_log_record {
    uint64_t position;
    size_t size;
    int64_t unix_ms; /**< when it was appended, by the clock of the day */
    int64_t pid;     /**< by whom, as that process saw itself */
};

/**
 * Copies the record at `position` out.  Does not block.  PTQ_EMPTY: it is not there yet; PTQ_ELATE: it has gone; PTQ_EMSGSIZE: it has more than
 * `size` bytes; *ret_record says how many, and the buffer is as it was.
 */
PTQ_MUST_CHECK enum ptq_err ptq_log_read(ptq_log *log, uint64_t position, void *buffer, size_t size, struct ptq_log_record *ret_record);

/** The oldest record that is there, and the position that the next one will have: the same if there is none. */
PTQ_MUST_CHECK enum ptq_err ptq_log_bounds(ptq_log *log, uint64_t *ret_oldest, uint64_t *ret_next);

/** Waits until the record at `position` is there, or has been.  PTQ_TIMEDOUT; PTQ_EINTR after a signal handler without SA_RESTART. */
PTQ_MUST_CHECK enum ptq_err ptq_log_wait(ptq_log *log, uint64_t position, int timeout_ms);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
