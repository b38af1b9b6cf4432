/* err.h -- every answer that a ptq call can give: one table, the same for local and remote queues. */
#ifndef PTQ_ERR_H
#define PTQ_ERR_H

#include <stddef.h>

#if defined(__GNUC__)
#define PTQ_MUST_CHECK __attribute__((warn_unused_result))
#else
#define PTQ_MUST_CHECK
#endif

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/**
 * What a call answers.  PTQ_OK is 0.  EMPTY, FULL, TIMEDOUT and END are ordinary answers of a queue
 * at work; the others, whose names begin with E, are errors.  Numbers never change between releases.
 */
enum ptq_err {
    PTQ_OK = 0,
    PTQ_EMPTY = 1,    /**< nothing to get now */
    PTQ_FULL = 2,     /**< no room now */
    PTQ_TIMEDOUT = 3, /**< the deadline passed first */
    PTQ_END = 4,      /**< the producers ended the queue and everything in it is settled */

    PTQ_EENDED = 10,       /**< put after end */
    PTQ_ETOOBIG = 11,      /**< a batch that can never fit this queue */
    PTQ_EMSGSIZE = 12,     /**< a message larger than item_size, or than the caller's buffer */
    PTQ_ENOSPC = 13,       /**< the file system that holds the queue is full */
    PTQ_ENOMEM = 14,       /**< the process has no memory, or no descriptors */
    PTQ_EEXIST = 15,       /**< it exists already */
    PTQ_ENOENT = 16,       /**< there is no such thing */
    PTQ_EBUSY = 17,        /**< somebody else has it */
    PTQ_EAGAIN = 18,       /**< a limit was reached; later it may work */
    PTQ_EPERM = 19,        /**< not allowed */
    PTQ_EINVAL = 20,       /**< an argument makes no sense */
    PTQ_EMISMATCH = 21,    /**< it exists with other properties than those asked for */
    PTQ_EVERSION = 22,     /**< made by a version that this one cannot speak to */
    PTQ_ECORRUPT = 23,     /**< shared memory holds what no correct process writes */
    PTQ_EPROTO = 24,       /**< a peer sent what no correct peer sends */
    PTQ_EFORKED = 25,      /**< a handle of the parent, used in a forked child */
    PTQ_EINTR = 26,        /**< a signal handler ran, or ptq_interrupt was called */
    PTQ_EGONE = 27,        /**< the queue was removed */
    PTQ_ENOPEERS = 28,     /**< nobody alive at the other end, and the caller asked to be told */
    PTQ_ELEASELOST = 29,   /**< the lease had ended before this ack or nack */
    PTQ_ELATE = 30,        /**< that position already has its result */
    PTQ_ELOST = 31,        /**< the job was lost; this stands in its place */
    PTQ_EINDOUBT = 32,     /**< the link broke before the answer came: it may have taken effect */
    PTQ_EUNREACHABLE = 33, /**< the other host does not answer */
    PTQ_ENOTASK = 34,      /**< no task of that name */
    PTQ_EDIED = 35,        /**< the process that had it died */
    PTQ_EALREADY = 36,     /**< it was done already */
    PTQ_ENOTSTARTED = 37,  /**< it was not started */
    PTQ_ENOWORKERS = 38,   /**< nobody is left to do the work */
    PTQ_EABORTED = 39,     /**< it was given up on request */
    PTQ_EFAILED = 40,      /**< the task itself answered with an error */
    PTQ_ESYS = 41          /**< the operating system refused something unforeseen; the text says what */
};

/** One sentence about `err`, lower case, without a full stop; static; never NULL, also for unknown numbers. */
const char *ptq_strerror(enum ptq_err err);

/** The name as it is written in C ("PTQ_EGONE"); static; never NULL. */
const char *ptq_err_name(enum ptq_err err);

/**
 * Room for the whole story of a failed open or a failed tool call: what failed, on what, why, what to do.
 * Give its address in an options struct; it is written only when the call fails.
 */
struct ptq_error {
    enum ptq_err code;
    char text[500];
};

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
