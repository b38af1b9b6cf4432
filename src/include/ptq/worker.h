/* worker.h -- workers: what each of a pool shows of itself while it works, and one by itself.
 *
 * Every worker of a pool on this host, whichever program started it, keeps a few lines of shared memory beside the pool's
 * queues up to date.  To read them asks nobody and waits for nobody: a worker that is in the middle of a job, stopped, or has
 * a thousand jobs waiting is shown like any other.
 *
 * And one worker by itself: a process to send things to and to receive results from, in order.
 */
#ifndef PTQ_WORKER_H
#define PTQ_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/err.h>
#include <ptq/metrics.h>
#include <ptq/pool.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define PTQ_WORKERS_MAX 1024 /**< of one pool on one host that can be seen; others work unseen */

/** What a worker does at this moment. */
enum ptq_worker_state {
    PTQ_WORKER_WAITS_FOR_JOB = 0,  /**< there is nothing to do */
    PTQ_WORKER_WAITS_FOR_ROOM = 1, /**< there are jobs, but the window is full: results must be got first */
    PTQ_WORKER_WORKS = 2,          /**< has a job in hand */
    PTQ_WORKER_HANDS_IN = 3        /**< puts a result into its place, and acknowledges the job */
};

/** One worker as it was when it was read.  Times run on while it does what it does: those of the present state are in them. */
struct ptq_worker_status {
    char name[64];             /**< "worker-0", as results bear it */
    char host[64];
    int64_t pid;               /**< as the worker sees itself */
    enum ptq_worker_state state;
    int64_t since_ns;          /**< for how long it has been in that state */
    int64_t started_unix_ms;   /**< when it was ready for its first job, milliseconds since 1970 */
    uint64_t uptime_ns;        /**< since then */
    uint64_t jobs_done;        /**< results handed in, errors included; markers are not counted */
    uint64_t jobs_failed;      /**< of them, those that are errors */
    uint64_t busy_ns;          /**< with jobs in hand */
    uint64_t wait_job_ns;      /**< nothing was there to do */
    uint64_t wait_room_ns;     /**< the window was full */
    uint64_t hand_in_ns;       /**< with results */
    bool has_job;
    uint64_t ticket;           /**< of the job in hand */
    uint32_t tries;            /**< of that job: 1, or more when workers that had it died */
    char task[64];             /**< the task of the job in hand, or of the last one; "" is the default task */
    enum ptq_err last_error;   /**< of the last job that failed; PTQ_OK: none did */
    char last_error_text[128]; /**< its sentence, cut */
    uint32_t deaths;           /**< workers before this one in the same place that died */
    uint64_t rss_bytes;        /**< its memory, from /proc at this moment; 0: cannot be seen from here */
};

/**
 * The workers of this pool that live on this host, of every program: fills up to `max` entries of `array`, sorted by name, and
 * says in *ret_count how many there are.  Asks nobody and waits for nobody.  Where the pool's home is another host: none, look
 * there.  Workers with no_status, and those beyond PTQ_WORKERS_MAX or for which the file system had no room, are not seen.
 * PTQ_ENOMEM, PTQ_EPERM, PTQ_ESYS.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pool_workers(ptq_pool *pool, struct ptq_worker_status *array, size_t max, size_t *ret_count);

/** The same for who has no handle of the pool, and wants none: `jobs` is what ptq_view_info says of <pool>.jobs.  Opens nothing but what it reads. */
PTQ_MUST_CHECK enum ptq_err ptq_view_workers(ptq_bus *bus, const struct ptq_view_info *jobs, struct ptq_worker_status *array,
                                             size_t max, size_t *ret_count);

/* Of one status, or of many by ptq_worker_average.  Pure functions; a worker that has not done anything yet has the values in
 * brackets, never a division by zero. */
double ptq_worker_efficiency(const struct ptq_worker_status *status);       /**< busy / (busy + waiting), 0 to 1 [0] */
double ptq_worker_total_efficiency(const struct ptq_worker_status *status); /**< busy / uptime, 0 to 1 [0] */
double ptq_worker_seconds_per_job(const struct ptq_worker_status *status);  /**< busy seconds a job done [0] */

/** Averages over workers: each the mean of the figures of those that have one. */
struct ptq_worker_averages {
    size_t workers;
    size_t working;          /**< of them, with a job in hand */
    double efficiency;       /**< of those that have worked or waited [0] */
    double total_efficiency; /**< of all [0] */
    double seconds_per_job;  /**< all their busy seconds / all their jobs [0] */
    uint64_t jobs_done, jobs_failed, rss_bytes; /**< sums */
};
struct ptq_worker_averages ptq_worker_average(const struct ptq_worker_status *array, size_t count);

/* -- one worker ------------------------------------------------------------------------------------------------ */

/**
 * One process that does one thing after another for this program: a pool of one, with a name of its own.  What is sent comes
 * back in the order in which it was sent, whatever happens in between: results, errors, and the change of the task take their turns.
 * An error of the task costs nothing but that result; a crash ends the worker, and every call says so.
 *
 * A handle may be used by several threads, recv and call by one at a time.  As for pools, the worker dies with this process; it exits
 * with 0 when it is closed and with 1 when this process is gone.
 */
typedef struct ptq_worker ptq_worker;

/** Zero is the default of every field. */
struct ptq_worker_options {
    const char *task;            /**< its first task, as ptq_worker_set_task; NULL: the default task of the program, or `exec` */
    const void *static_data;     /**< with it: copied */
    size_t static_size;
    struct ptq_call_options call; /**< of everything that is sent: time limit, retries */
    uint32_t capacity;           /**< sent and not received, finished or not, at most; then send blocks; one call has room beside it; 0: 1000 */
    uint32_t item_size, result_size; /**< as ptq_pool_options; item_size also bounds static data and a name; 0: 4096 */
    struct ptq_spawn_options spawn; /**< exec, name, ...; count, no_respawn, crash_limit are its own */
    struct ptq_error *error;
};

/** Starts a worker, from this executable again: its main must begin with ptq_worker_main.  Answers of ptq_pool_open and
 * ptq_pool_spawn.  Release it with ptq_worker_free. */
PTQ_MUST_CHECK enum ptq_err ptq_worker_spawn(ptq_bus *bus, const struct ptq_worker_options *options, ptq_worker **ret_worker);

/** Starts it again after it has died or was closed, with the task that was set last.  What was not received until now is gone: nothing of an
 * earlier life ever comes out of a later one.  Its descriptor is another one.  PTQ_EALREADY: it lives. */
PTQ_MUST_CHECK enum ptq_err ptq_worker_start(ptq_worker *worker);

/**
 * Sends data; results come in order by recv.  Blocks while `capacity` results are not received.  *ret_ticket (may be NULL) is that of its
 * result.
 * PTQ_FULL with PTQ_NOWAIT, PTQ_TIMEDOUT; PTQ_EMSGSIZE; PTQ_EDIED: it has died, by ptq_worker_end; PTQ_EENDED: it was closed.
 */
PTQ_MUST_CHECK enum ptq_err ptq_worker_send(ptq_worker *worker, const void *data, size_t size, int timeout_ms, uint64_t *ret_ticket);

/** Is a result there?  PTQ_OK, PTQ_EMPTY, PTQ_TIMEDOUT; PTQ_EDIED, PTQ_END, PTQ_EENDED as recv. */
PTQ_MUST_CHECK enum ptq_err ptq_worker_poll(ptq_worker *worker, int timeout_ms);

/**
 * The next result, in the order of sending; ptq_result_code says whether it is an error.  Give it back with ptq_result_done.
 * PTQ_EMPTY also where nothing was sent; PTQ_TIMEDOUT; PTQ_EDIED: it has died, and nothing of what was sent will come any more;
 * PTQ_END: it was closed, and all is received; PTQ_EENDED: it was closed, and ended before all was done: the rest will not come.
 */
PTQ_MUST_CHECK enum ptq_err ptq_worker_recv(ptq_worker *worker, int timeout_ms, ptq_result **ret_result);

/** Sends, and waits for the result of exactly that: what was sent before and not received stays for recv.  At a deadline (PTQ_TIMEDOUT) the
 * result that comes later is thrown away; until then it takes room: PTQ_FULL with PTQ_NOWAIT.  PTQ_EDIED, PTQ_EENDED as send. */
PTQ_MUST_CHECK enum ptq_err ptq_worker_call(ptq_worker *worker, const void *data, size_t size, int timeout_ms, ptq_result **ret_result);

/**
 * From here on data is for this task, with `size` bytes that the task finds by ptq_task_static: they go to the worker once.  What was
 * sent before is still done by the task before.  PTQ_ENOTASK: this program has tasks, and not this one; a worker that does not
 * know it answers data with that error, and lives.  It does not count against `capacity`; but 64 of them may be on their way, those that no recv has
 * come by yet: then it blocks, as send.
 */
PTQ_MUST_CHECK enum ptq_err ptq_worker_set_task(ptq_worker *worker, const char *task, const void *static_data, size_t size,
                                                int timeout_ms);

/** The data that was bound to the task of this worker: borrowed while the task runs; aligned to 16.  NULL: none. */
const void *ptq_task_static(const ptq_task *task, size_t *ret_size);

/** A descriptor for poll: readable when recv has something to say.  It belongs to the worker, and changes with ptq_worker_start. */
PTQ_MUST_CHECK enum ptq_err ptq_worker_fd(ptq_worker *worker, int *ret_fd);

/** As it shows itself, without asking it.  PTQ_EMPTY: it is not ready yet; PTQ_EDIED, PTQ_EENDED. */
PTQ_MUST_CHECK enum ptq_err ptq_worker_status(ptq_worker *worker, struct ptq_worker_status *ret_status);

/**
 * Does it live, or is it about to be started again?  Asks nobody and waits for nobody.  false also for NULL, for one that was never started,
 * and in a child after fork; ptq_worker_end tells how it ended.
 */
bool ptq_worker_is_alive(ptq_worker *worker);

/** How it ended. */
struct ptq_worker_end {
    bool known;    /**< false: it lives, or somebody else has waited for it */
    bool signaled;
    bool core;
    int code;      /**< exit status, or the signal */
};
struct ptq_worker_end ptq_worker_end(ptq_worker *worker);

/**
 * Lets it finish what was sent and leave.  A quarter of a second before the deadline (sooner where that is short) it gets SIGTERM, at the
 * deadline SIGKILL; PTQ_NOWAIT: SIGKILL.  PTQ_OK: it is gone, of its own will or not; ptq_worker_end tells.  What was finished can be received.
 */
enum ptq_err ptq_worker_close(ptq_worker *worker, int timeout_ms);

/** Ends it at once if it was not closed, and frees all.  Results that are not done must be done before.  NULL is fine. */
void ptq_worker_free(ptq_worker *worker);

/** The sentence for a person about `err`: what, on what, why. */
const char *ptq_worker_explain(ptq_worker *worker, enum ptq_err err, char *buffer, size_t size);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
