/* pipe.h -- pipes: two private ends of this host, with messages in order each way.
 *
 *   ptq_pipe *mine, *theirs;
 *   char ref[PTQ_REF_SIZE];
 *   ptq_pipe_pair(bus, NULL, &mine, &theirs);
 *   ptq_pipe_give(theirs, ref, sizeof ref);                    give the text to a child: as an argument, its input, a message
 *   ptq_pipe_send(mine, "hello", 5, PTQ_FOREVER);
 *
 *   ptq_pipe_open(bus, ref, NULL, &mine);                      ... which takes that end by it
 *   ptq_pipe_recv(mine, buffer, sizeof buffer, PTQ_FOREVER, &size);
 *
 * The anchor is the end of the process that made the pipe, and never changes hands.  The point may be given on: whoever opens it
 * is its only owner until he closes it, gives it on, or dies.  While nobody has the point, what is sent to it waits.
 *
 * An end that was closed is closed for good, and an end whose owner died without closing it is dead for good: the other end gets
 * what was sent before, then PTQ_END or PTQ_EDIED.  To exit without ptq_pipe_close is to die.
 *
 * A pipe is one or two queues of its bus, "<name>.point" (what goes to the point) and "<name>.anchor"; messages are theirs in every
 * way: a send that answered PTQ_OK survives its sender.  They go when both ends are closed; what killed owners left, gc removes.
 * Timeouts, signals and fork are as in queue.h; an end may be used by several threads at once, but close and give only by one, when
 * no other is inside.  Common answers: PTQ_EINVAL, PTQ_EFORKED, PTQ_EINTR, PTQ_ECORRUPT; PTQ_EGONE: somebody removed it by force.
 */
#ifndef PTQ_PIPE_H
#define PTQ_PIPE_H

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

#define PTQ_PIPE_NAME_MAX 120 /**< bytes in a name: as those of queues */

/** One end of a pipe.  Opaque. */
typedef struct ptq_pipe ptq_pipe;

/** Zero is the default of every field. */
struct ptq_pipe_options {
    const char *name;        /**< under which the point can be opened; NULL: one that no other pipe has */
    bool one_way;            /**< the anchor only sends, the point only receives; the other way is PTQ_EPERM */
    uint64_t capacity;       /**< messages that wait in each direction; 0: 1000 */
    uint32_t item_size;      /**< bytes in the largest, to PTQ_ITEM_MAX; 0: 4096 */
    uint32_t max_endpoints;  /**< threads that may use it at once, of both ends together; 0: 64 */
    uint32_t file_mode;      /**< permission bits; 0: 0600, with a group 0660 */
    const char *group;       /**< as of a queue */
    struct ptq_error *error; /**< filled when the call fails; may be NULL */
};

/**
 * Makes a pipe, and gives both ends, each to be released with ptq_pipe_close or (the point) ptq_pipe_give.  With `ret_point` NULL the
 * point is nobody's yet: whoever knows the name opens it.  `options` may be NULL.
 * PTQ_EEXIST: there is a pipe of that name, and somebody has an end of it, or messages wait in it for who opens its point; one whose
 * owners are gone is replaced.  PTQ_ENOSPC, PTQ_ENOMEM, PTQ_EPERM as ptq_queue_open.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pipe_pair(ptq_bus *bus, const struct ptq_pipe_options *options, ptq_pipe **ret_anchor, ptq_pipe **ret_point);

/** Zero is the default of every field. */
struct ptq_pipe_open_options {
    int wait_ms;             /**< how long to wait for the pipe to be made, or for its point to be given */
    struct ptq_error *error; /**< filled when the call fails; may be NULL */
};

/**
 * Takes the point of a pipe of this host, by its name or by what ptq_pipe_give wrote, and with it what waits there.  `options` may be NULL.
 * PTQ_ENOENT: there is no such pipe; PTQ_EBUSY: somebody has its point; PTQ_EENDED: its point was closed; PTQ_EDIED: its point's last
 * owner died; PTQ_EGONE: that pipe was removed, and another one has its name.  A pipe whose anchor is closed or dead is opened as
 * long as its point was not: what is in it can be received.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pipe_open(ptq_bus *bus, const char *name, const struct ptq_pipe_open_options *options, ptq_pipe **ret_point);

/**
 * Gives the point on: writes a text by which one process can open it, and lets go of it.  PTQ_OK: `point` is taken, and what it had got
 * and not acked is got first by its next owner.  Until that one opens it the other end waits, whoever dies: a child that ends before it has
 * is found out by taking the point back, with ptq_pipe_open.  May be given again by its next owner.
 * PTQ_EPERM: it is locked, or it is the anchor; PTQ_EMSGSIZE: the text does not fit (PTQ_REF_SIZE is always enough).
 */
PTQ_MUST_CHECK enum ptq_err ptq_pipe_give(ptq_pipe *point, char *buffer, size_t size);

/** From now on this handle is not given on: ptq_pipe_give answers PTQ_EPERM.  The anchor always is locked. */
enum ptq_err ptq_pipe_lock(ptq_pipe *pipe);
/** It may be given on again.  PTQ_EPERM: it is the anchor. */
enum ptq_err ptq_pipe_unlock(ptq_pipe *pipe);

/**
 * Closes this end for good: the other gets what was sent to it, then PTQ_END; what it sent and was not received is lost.  NULL is fine.
 * In a forked child it only drops the memory.  Messages and loans of this end must not be used after it.
 */
void ptq_pipe_close(ptq_pipe *pipe);

/** Nothing more will come from this end, which goes on receiving: the other gets PTQ_END behind what was sent.  PTQ_EALREADY; PTQ_EPERM. */
enum ptq_err ptq_pipe_end(ptq_pipe *pipe);

/** Its name, borrowed until it is released. */
const char *ptq_pipe_name(const ptq_pipe *pipe);

/* -- messages ------------------------------------------------------------------------------------------------- */

/**
 * Sends a message, in whole.  PTQ_OK: it is in the pipe, whoever dies next.  Blocks while there is no room.
 * PTQ_FULL with PTQ_NOWAIT, PTQ_TIMEDOUT; PTQ_EMSGSIZE: above item_size; PTQ_EENDED: the other end was closed, or this one said that
 * nothing more would come; PTQ_EDIED: the other end's owner died: noticed at once where it waits or receives, by any send that begins
 * 100 ms later, and by none in between.  PTQ_EPERM: this end only receives.  PTQ_ENOSPC.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pipe_send(ptq_pipe *pipe, const void *data, size_t size, int timeout_ms);

/**
 * Receives the next message.  Blocks while there is none.  PTQ_EMSGSIZE: it is larger than `size`: *ret_size says how large, and it is
 * the next one still.
 * PTQ_EMPTY with PTQ_NOWAIT, PTQ_TIMEDOUT; when all that was sent is received, PTQ_END: the other end was closed, or said that nothing more
 * would come; PTQ_EDIED: its owner died (where it is asked with PTQ_NOWAIT again and again, and without a descriptor: 10 ms later).
 * PTQ_EPERM: this end only sends.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pipe_recv(ptq_pipe *pipe, void *buffer, size_t size, int timeout_ms, size_t *ret_size);

/** The same without a copy: leased until ptq_ack (or ptq_nack: then it is the next one again). */
PTQ_MUST_CHECK enum ptq_err ptq_pipe_get(ptq_pipe *pipe, int timeout_ms, ptq_msg **ret_msg);

/**
 * Lends room for a message of up to `size` bytes, to be written in place (ptq_msg_buffer), and then sent by ptq_pipe_publish or given back
 * by ptq_abort.  Answers of ptq_pipe_send.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pipe_loan(ptq_pipe *pipe, size_t size, int timeout_ms, ptq_msg **ret_loan);

/** Sends a loan of this end, with its first `size` bytes, as ptq_pipe_send.  PTQ_OK: `loan` is taken; else it stays the caller's. */
PTQ_MUST_CHECK enum ptq_err ptq_pipe_publish(ptq_pipe *pipe, ptq_msg *loan, size_t size, int timeout_ms);

/**
 * A descriptor for poll: as ptq_queue_fd, of this end.  PTQ_SIDE_GET: readable when a receive would give a message, PTQ_END or an error,
 * the death of the other end too; PTQ_SIDE_PUT: when a send would.  Perhaps spuriously, until a call answers PTQ_EMPTY or PTQ_FULL.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pipe_fd(ptq_pipe *pipe, enum ptq_side side, int *ret_fd);

/** Makes every call that sleeps on this end, now or next, answer PTQ_EINTR once.  Async-signal-safe. */
void ptq_pipe_interrupt(ptq_pipe *pipe);

/* -- the other end -------------------------------------------------------------------------------------------- */

enum ptq_pipe_peer {
    PTQ_PIPE_NOBODY = 0, /**< nobody has it, and somebody may still open it */
    PTQ_PIPE_THERE = 1,  /**< somebody has it, and lives */
    PTQ_PIPE_CLOSED = 2,
    PTQ_PIPE_DIED = 3    /**< its owner ended without closing it */
};

/** How it is with the other end, now.  Does not block. */
PTQ_MUST_CHECK enum ptq_err ptq_pipe_peer(ptq_pipe *pipe, enum ptq_pipe_peer *ret_peer);

/** Removes a pipe by name; idempotent.  PTQ_EBUSY while somebody has an end of it, unless `force`: then everybody gets PTQ_EGONE. */
PTQ_MUST_CHECK enum ptq_err ptq_pipe_unlink(ptq_bus *bus, const char *name, bool force);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
