/* pool.h -- ordered pools: work goes out to many workers, results come back in the order of submission.
 *
 * A pool is a name on a bus, like a queue.  Submitters, the getter and workers may be different processes on
 * different hosts.  A job gets a ticket when it is submitted; results, errors and markers are got in ticket order.
 *
 *   at-least-once work, exactly-once order: a job whose worker dies is given to another one, up to `lives` times,
 *   then an error stands in its place; whatever happens, each ticket comes out once, in its place.
 *
 * Common to every call here, beside what queue.h says of timeouts, ret_ pointers, fork and signals:
 *   A pool handle may be used by several threads at once; ptq_pool_get by one at a time.
 *   No call starts a thread.  The workers that a handle has spawned are watched inside its own calls: submit, get, join
 *   and supervise notice a death, give the dead one's job to another worker and start a successor.  A program that
 *   makes none of these calls for a while can poll ptq_pool_fd and call ptq_pool_supervise when it is readable.
 *   PTQ_EGONE: the pool was removed or aborted by somebody; PTQ_EABORTED: by this handle.
 */
#ifndef PTQ_POOL_H
#define PTQ_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/bus.h>
#include <ptq/err.h>
#include <ptq/process.h>
#include <ptq/queue.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define PTQ_TASK_NAME_MAX 63 /**< bytes in the name of a task: [A-Za-z0-9._-], not beginning with a dot */
#define PTQ_POOL_ITEM_MAX PTQ_ITEM_MAX /**< the largest item_size and result_size of a pool */

/** One process's attachment to a pool.  Opaque. */
typedef struct ptq_pool ptq_pool;

/** What stands at one ticket: a job's result, an error, or a marker.  Opaque. */
typedef struct ptq_result ptq_result;

/** A job while it runs.  Opaque; belongs to the task function that was called with it. */
typedef struct ptq_task ptq_task;

#define PTQ_RETRY_ON(code) (UINT64_C(1) << (code)) /**< for retry_on: a code of enum ptq_err */

/**
 * How a job is run.  Zero is the default of every field.  From without to within: the rate of submission, retries, the
 * time of one run, the call.
 */
struct ptq_call_options {
    uint32_t timeout_ms; /**< one run may take so long, to 2^31 - 1; 0: any time */
    uint32_t retries;    /**< run again so often, at most, after a run that answered an error; to 10,000; 0: not */
    uint32_t delay_ms;   /**< before the first of them, to 2^31 - 1 */
    double backoff;      /**< each further delay is so many times the one before, from 1 to 600; 0: 1 */
    uint64_t retry_on;   /**< after these errors only: PTQ_RETRY_ON(a) | PTQ_RETRY_ON(b) ...; 0: after any */
};

/** Zero is the default of every field.  A field that is not zero and contradicts an existing pool: PTQ_EMISMATCH. */
struct ptq_pool_options {
    enum ptq_open_mode mode;
    int wait_ms;             /**< PTQ_ATTACH: how long to wait for it to come into being */
    uint64_t capacity;       /**< jobs that wait to be run, at most; then submit blocks; 0: 1000 */
    uint32_t item_size;      /**< bytes in the largest job or marker, to PTQ_POOL_ITEM_MAX; 0: 4096 */
    uint32_t result_size;    /**< bytes in the largest result or marker, to PTQ_POOL_ITEM_MAX; 0: 4096; from 500, for
                              *   errors must fit */
    uint64_t window;         /**< how far work may run ahead of the oldest result that is not done; 0: 10 x processors */
    uint32_t lives;          /**< workers that a job submitted by this handle may cost before it is an error; 0: 3 */
    double per_second;       /**< jobs that this handle may submit a second, evenly; 0: any */
    struct ptq_call_options call; /**< of jobs submitted by this handle that say nothing of their own */
    uint32_t max_endpoints;  /**< handles that may be open at once, to 2047; 0: 256 */
    uint32_t file_mode;      /**< permission bits; 0: 0600 */
    bool ephemeral;          /**< gc may remove it with work inside */
    bool unordered;          /**< results come as they are finished, see below; an existing pool is what it was made as */
    struct ptq_error *error; /**< filled when the call fails; may be NULL */
};

/**
 * Opens a pool by name: "index", "index@node", "ptq://host:port/run/index".  It consists of the queues
 * <pool>.jobs and <pool>.done; the name may have 123 bytes.  `options` may be NULL.
 *
 * The window bounds memory: a job is not begun before its result could be held, so one slow job holds up the others
 * only after `window` results, and workers never wait with a finished result in hand.
 *
 * An unordered pool gives results as they are finished, whatever their tickets: a slow job holds up nobody, however many others
 * are done meanwhile.  Memory is bounded by `capacity`, of jobs and of results: workers wait with a finished result while so many
 * are not got.  Each ticket comes out once for one getter.  What differs besides: a job that was cancelled may still run; a
 * successor of a getter that died may get the result of a job whose worker died, too, a second time; a job that somebody else took out of
 * <pool>.jobs never comes out.
 * Release it with ptq_pool_close.  Answers of ptq_queue_open; PTQ_EMISMATCH also where <pool>.jobs is an ordinary
 * queue.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pool_open(ptq_bus *bus, const char *name, const struct ptq_pool_options *options,
                                          ptq_pool **ret_pool);

/**
 * Ends the attachment.  Workers spawned by this handle are asked to finish the job in hand and leave; after one second
 * they get SIGTERM, after another SIGKILL; what they did not finish goes to other workers.  Results that are not done
 * go to the next getter.  What is queued stays.  NULL is fine; in a forked child it only drops the memory.
 */
void ptq_pool_close(ptq_pool *pool);

/** Removes a pool by name with all that is in it; idempotent.  As ptq_queue_unlink for both of its queues. */
PTQ_MUST_CHECK enum ptq_err ptq_pool_unlink(ptq_bus *bus, const char *name, bool force);

const char *ptq_pool_name(const ptq_pool *pool); /**< its bare name: borrowed until close */
uint64_t ptq_pool_window(const ptq_pool *pool);  /**< as the pool was made */

/* -- in ------------------------------------------------------------------------------------------------------- */

/**
 * Submits a job of `size` bytes for the task named `task`; NULL: the default task.  *ret_ticket (may be NULL) is its
 * place: tickets of one pool grow by one a job or marker, over all submitters; a submitter that dies leaves no gap.
 *
 * Blocks while `capacity` jobs wait.  A thread that submits everything before it gets anything waits here for ever once
 * window and capacity are used up: let it get in between.
 * PTQ_ENOTASK: this process has registered tasks, and not this one; PTQ_EENDED after ptq_pool_stop; PTQ_EMSGSIZE;
 * PTQ_FULL, PTQ_TIMEDOUT (also by ptq_pool_options.per_second), PTQ_ENOSPC as ptq_put; PTQ_ENOWORKERS as ptq_pool_get.  PTQ_EINDOUBT: the pool is on another
 * host, and its answer was lost; it was asked again until the timeout.  ptq_pool_submit_with and PTQ_RETRY goes on with it: to submit
 * anew could draw a second ticket.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pool_submit(ptq_pool *pool, const char *task, const void *data, size_t size, int timeout_ms,
                                            uint64_t *ret_ticket);

/** Zero is the default of every field. */
struct ptq_submit_options {
    const struct ptq_call_options *call; /**< how the job is run; NULL: as the handle's ptq_pool_options.call says */
    const struct ptq_header *headers;    /**< copied */
    size_t header_count;
    const struct ptq_trace *trace;       /**< copied; the task sees it by ptq_task_trace, a command in TRACEPARENT, and
                                          *   the result bears it, wherever the worker is */
    unsigned flags;                      /**< PTQ_RETRY (see ptq_put_with): the same submit again, after PTQ_EINDOUBT */
};

/** As ptq_pool_submit; `options` may be NULL.  PTQ_EINVAL: an option makes no sense. */
PTQ_MUST_CHECK enum ptq_err ptq_pool_submit_with(ptq_pool *pool, const char *task, const void *data, size_t size,
                                                 const struct ptq_submit_options *options, int timeout_ms,
                                                 uint64_t *ret_ticket);

/** A job that is written where its worker will read it.  Opaque.  One thread at a time. */
typedef struct ptq_job ptq_job;

/**
 * Room for a job of up to `size` bytes, for large ones: written in place, it is not copied.  Nobody sees it before it is published.
 * `options` (may be NULL) is borrowed until then.  Release it with ptq_pool_publish or ptq_pool_abandon, before ptq_pool_close.
 * Blocks while there is no memory for it in the queue of jobs.  Answers of ptq_pool_submit_with.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pool_loan(ptq_pool *pool, const char *task, size_t size, const struct ptq_submit_options *options,
                                          int timeout_ms, ptq_job **ret_job);
void *ptq_job_buffer(ptq_job *job); /**< aligned to 16 */

/** Submits the first `size` bytes of it, as ptq_pool_submit_with.  Takes the job with PTQ_OK only.  PTQ_EMSGSIZE: more than was lent. */
PTQ_MUST_CHECK enum ptq_err ptq_pool_publish(ptq_job *job, size_t size, int timeout_ms, uint64_t *ret_ticket);

/** Gives the room back.  NULL is fine. */
void ptq_pool_abandon(ptq_job *job);

/** Submits bytes that no task sees: they come out unchanged in their place.  At most item_size and result_size. */
PTQ_MUST_CHECK enum ptq_err ptq_pool_submit_marker(ptq_pool *pool, const void *data, size_t size, int timeout_ms,
                                                   uint64_t *ret_ticket);

/* -- out ------------------------------------------------------------------------------------------------------ */

/**
 * Gets what stands at the next ticket: blocks until it is there, however many later ones are finished.  A failed job
 * is a result too, of kind PTQ_RESULT_ERROR: get answers PTQ_OK.
 *
 * *ret_result is leased: give it back with ptq_result_done.  If this process dies first, the next getter gets it again,
 * flagged, and goes on behind it.  A result that is not done counts against the window: PTQ_EAGAIN when this handle
 * itself holds so many that no further result can come (unordered: 64 more than one and a half times `capacity`).
 * The first get makes this handle the pool's only getter until it is closed or dies; another handle's get stands by
 * until then or its deadline, with PTQ_NOWAIT or after it PTQ_EBUSY.  PTQ_EBUSY also while another thread is in this
 * call.  PTQ_EMPTY, PTQ_TIMEDOUT; PTQ_END: the pool was stopped and the last ticket is out.
 * A home that is away is waited for; PTQ_EUNREACHABLE if it still is at the deadline.
 * Where jobs that this handle submitted wait for workers, these are its own and as many as it may use processors, and results come all
 * 30 to 125 us, it looks for the next ones after a quarter of a millisecond at most, instead of being woken for each.
 * A pool that nobody works for just waits; PTQ_ENOWORKERS only where this handle spawned workers, they crashed
 * so often that it gave up (crash_limit), or were threads that could not go on, and nobody else works for the pool.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pool_get(ptq_pool *pool, int timeout_ms, ptq_result **ret_result);

/**
 * Done with it: the result leaves the pool.  Takes `result`, even on error.  NULL is fine.
 * PTQ_ELEASELOST, PTQ_EINDOUBT: the pool is on another host, and the session was lost before its home heard of it.  This handle
 * settles it when it comes again, unseen; only if this process ends before that, the next getter gets it, flagged.
 */
enum ptq_err ptq_result_done(ptq_result *result);

enum ptq_result_kind {
    PTQ_RESULT_JOB = 0,    /**< what a task gave */
    PTQ_RESULT_MARKER = 1, /**< what ptq_pool_submit_marker was given */
    PTQ_RESULT_ERROR = 2   /**< the job has no result: code and text say why */
};

/** All pointers are borrowed until ptq_result_done. */
enum ptq_result_kind ptq_result_kind(const ptq_result *result);
uint64_t ptq_result_ticket(const ptq_result *result);
const void *ptq_result_data(const ptq_result *result);    /**< aligned to 16; empty for an error */
size_t ptq_result_size(const ptq_result *result);
/**
 * PTQ_OK but for an error.  What the task gave to ptq_task_fail or returned; PTQ_ENOTASK: its worker knows no such
 * task; PTQ_EMSGSIZE: its result is larger than result_size; PTQ_EDIED: every worker that had it died; PTQ_ELOST:
 * somebody took the job out of the pool; PTQ_EPROTO: the bytes are not of this library.
 */
enum ptq_err ptq_result_code(const ptq_result *result);
const char *ptq_result_text(const ptq_result *result);    /**< of an error, a sentence; else "" */
/**
 * More of an error: the name of its task; where it comes from: "run" (the task), "command", "limit" (its time was over), "result" (too
 * large), "find" (nobody knows the task), "death" (its workers died), ""; the signal that killed its last worker or its command, 0;
 * errno as the task left it when it called ptq_task_fail or returned, 0; where the task stood when it failed or crashed, a line a frame,
 * as far as it fits result_size: "program(function+0x12) [address]", with names where the program exports them (-rdynamic), else for
 * addr2line.
 */
const char *ptq_result_task(const ptq_result *result);
const char *ptq_result_section(const ptq_result *result);
int ptq_result_signal(const ptq_result *result);
int ptq_result_errno(const ptq_result *result);
const char *ptq_result_backtrace(const ptq_result *result);
const char *ptq_result_host(const ptq_result *result);    /**< of the worker; "" for a marker or a lost job */
const char *ptq_result_worker(const ptq_result *result);  /**< its name */
int64_t ptq_result_pid(const ptq_result *result);         /**< as the worker saw itself; 0: none */
uint32_t ptq_result_tries(const ptq_result *result);      /**< how often the job was begun, from 1; 0: not */
uint64_t ptq_result_run_ns(const ptq_result *result);     /**< how long the task ran, the last time */
bool ptq_result_trace(const ptq_result *result, struct ptq_trace *ret_trace); /**< its job's; false: it had none */
bool ptq_result_redelivered(const ptq_result *result);    /**< an earlier getter had it and did not say done */

/**
 * A descriptor for poll or epoll: readable whenever a ptq_pool_get would not wait, or ptq_pool_supervise has something
 * to do; perhaps spuriously.  Stays readable until ptq_pool_get answers PTQ_EMPTY.  It belongs to the pool; do not read
 * it.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pool_fd(ptq_pool *pool, int *ret_fd);

/* -- the life of a pool --------------------------------------------------------------------------------------- */

/**
 * Nothing more will come: every later submit, of anybody, answers PTQ_EENDED.  What was submitted is done and can be
 * got; then get answers PTQ_END and workers leave.  Returns at once.  PTQ_OK also when it was stopped before.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pool_stop(ptq_pool *pool);

/**
 * Gives the pool up: removes it with everything queued and every result not got; kills the workers that this handle
 * spawned.  Whoever else has it open gets PTQ_EGONE, workers after the job in hand.  On the pool's home host.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pool_abort(ptq_pool *pool);

/**
 * Waits, after a stop by anybody, until every job is done and every worker spawned by this handle has left: one
 * deadline for all of it.  Finishes even if nobody gets the results: those that fit the window stay in the pool, older
 * ones are read ahead into this process (unless another process is the getter) and come out of ptq_pool_get as if they
 * were in the pool.  PTQ_TIMEDOUT (the pool goes on); PTQ_ENOWORKERS; PTQ_EAGAIN: results that this handle has got and
 * not done hold it up.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pool_join(ptq_pool *pool, int timeout_ms);

/** Is a worker alive, or about to be started again, that was spawned by this handle? */
bool ptq_pool_alive(ptq_pool *pool);

/** A snapshot.  Of an unordered pool, `ready` is all that is finished, `held` is 0, and there is no head. */
struct ptq_pool_stats {
    uint64_t submitted; /**< jobs and markers since the pool was made */
    uint64_t queued;    /**< wait for a worker */
    uint64_t running;   /**< handed to workers */
    uint64_t held;      /**< finished, behind one that is not; from another host: all that are finished */
    uint64_t ready;     /**< finished, and next in order: can be got at once */
    uint64_t got;       /**< got and done */
    uint64_t window;
    uint64_t head;      /**< the ticket that get gives next */
    int64_t head_pid;   /**< the worker that has it in hand; 0: nobody, or not known from here */
    int64_t head_ms;    /**< how long it has been in hand, as far as this handle has seen; -1: nobody has it */
    uint64_t retried;   /**< handed out again because a worker died */
    uint32_t workers;   /**< spawned by this handle and alive */
    uint32_t deaths;    /**< workers of this handle that ended otherwise than by leaving */
    bool stopped;
};
PTQ_MUST_CHECK enum ptq_err ptq_pool_stats(ptq_pool *pool, struct ptq_pool_stats *ret_stats);

/** The sentence for a person about `err` on this pool, as things are now: what, on what, why, what to do. */
const char *ptq_pool_explain(ptq_pool *pool, enum ptq_err err, char *buffer, size_t size);

/* -- tasks ---------------------------------------------------------------------------------------------------- */

/**
 * Does one job: reads `data`, which is valid during the call and aligned to 16, gives a result by ptq_task_result or
 * ptq_task_emit (none is an empty result), and returns PTQ_OK; or returns what ptq_task_fail returned, or any other
 * answer, which then is the error in this job's place.  It may run twice for one job, when a worker dies.
 */
typedef enum ptq_err (*ptq_task_fn)(ptq_task *task, const void *data, size_t size);

/**
 * Names a task in this process; `name` NULL makes it the default task; a known name is replaced.  `user` is borrowed
 * for ever.  Before ptq_worker_main and before any other call on pools, from one thread.
 * PTQ_EINVAL: a bad name; PTQ_ENOMEM.
 */
enum ptq_err ptq_task_register(const char *name, ptq_task_fn fn, void *user);

/**
 * Names a task each of whose jobs is the life of a supervised process (<ptq/process.h>), a child of the worker that has the job: the hooks
 * registered as `process`, with runs, lives, limits and checkpoints of their own.  The job's bytes are its input (ptq_self_input), what it
 * gives is the job's result; when its last life is gone, its error, with the sentence of ptq_process_error, is the job's.  `options` is
 * copied (input, slot and error are not used: the slot is the worker's index); NULL: one run.  The process ends with its
 * worker, so a time limit of the job (ptq_call_options) is one for all of its life.  In workers that are processes of this
 * program, not in threads of another.  A known name is replaced.  When and where: as ptq_task_register, and its answers.
 */
PTQ_MUST_CHECK enum ptq_err ptq_task_register_process(const char *task, const char *process, const struct ptq_process_options *options);

/** What a task keeps in each worker, from job to job: a handle, a table, a buffer. */
struct ptq_task_hooks {
    /** Before the first job of this task in a worker: makes *ret_state (NULL is fine).  What it answers but PTQ_OK is the error of that job, best by
     * ptq_task_fail; with the next job it is tried again.  ptq_task_worker and _workers tell which of how many workers this is. */
    enum ptq_err (*init)(ptq_task *task, void **ret_state);
    /** When the worker leaves; not when it is killed.  NULL: nothing is to be done. */
    void (*cleanup)(void *state, void *user);
};

/** As ptq_task_register, with hooks, which are copied. */
enum ptq_err ptq_task_register_with(const char *name, ptq_task_fn fn, const struct ptq_task_hooks *hooks, void *user);

/** A plugin is a shared object with a table `const struct ptq_plugin_task ptq_plugin_tasks[]`, which ends with an entry without a function, or
 * with PTQ_TASK()s.  It is linked with libptq as a program is. */
struct ptq_plugin_task {
    const char *name; /**< NULL, "": the default task */
    ptq_task_fn fn;
    void *user;
};

/** Loads a shared object, for good, and registers its tasks as ptq_task_register.  A name without a slash is of this folder.
 * PTQ_EINVAL: it cannot be loaded; PTQ_ENOTASK: it has none. */
enum ptq_err ptq_task_load(const char *file, struct ptq_error *error);

#if defined(__GNUC__)
/** PTQ_TASK(fn): registers the function under its own name before main begins. */
#define PTQ_TASK(fn)                                                                                                   \
    __attribute__((constructor)) static void ptq_register_##fn(void)                                                   \
    {                                                                                                                  \
        (void)ptq_task_register(#fn, fn, NULL);                                                                        \
    }
#endif

/** Called once in every worker process of this program before its first job; anything but PTQ_OK ends the worker as a crash. */
void ptq_worker_init(enum ptq_err (*init)(void *user), void *user);

/** Sets the result: a copy of `size` bytes, instead of whatever was given before. */
enum ptq_err ptq_task_result(ptq_task *task, const void *data, size_t size);
/** Adds `size` bytes to the result.  Both: PTQ_ENOMEM; PTQ_EMSGSIZE beyond result_size, and then that error is the result. */
enum ptq_err ptq_task_emit(ptq_task *task, const void *data, size_t size);

/**
 * Room for a result of `size` bytes, instead of whatever was given before: large ones are written in place and not copied
 * (PTQ_EMSGSIZE, PTQ_ENOMEM as above).  They are the result, or the first of them that ptq_task_publish names (PTQ_EINVAL: more than were
 * lent).  Aligned to 16, not cleared; borrowed until the task returns, gives a result otherwise, or asks for another.
 */
PTQ_MUST_CHECK enum ptq_err ptq_task_loan(ptq_task *task, size_t size, void **ret_buffer);
enum ptq_err ptq_task_publish(ptq_task *task, size_t size);

/** Makes an error of it: printf for a sentence of up to 500 bytes.  Returns `code` (PTQ_EFAILED for PTQ_OK). */
enum ptq_err ptq_task_fail(ptq_task *task, enum ptq_err code, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;

const char *ptq_task_name(const ptq_task *task);    /**< as submitted; "" for the default task */
void *ptq_task_user(const ptq_task *task);          /**< as registered */
void *ptq_task_state(const ptq_task *task);         /**< what the init hook made in this worker; NULL: there is none */
uint64_t ptq_task_ticket(const ptq_task *task);     /**< the place of the job in the pool, as ptq_pool_submit gave it */
/** Is the time limit of this run over (ptq_call_options.timeout_ms)?  A task that looks now and then can stop by itself; what it
 * answers after that counts no more.  One that does not look has a tenth of a second, in a spawned worker, until that is killed. */
bool ptq_task_cancelled(const ptq_task *task);
uint32_t ptq_task_tries(const ptq_task *task);      /**< 1: first time; more: it failed before, or its workers died */
bool ptq_task_trace(const ptq_task *task, struct ptq_trace *ret_trace); /**< of the job; false: it has none */
unsigned ptq_task_worker(const ptq_task *task);     /**< index of this worker among those spawned with it, from 0 */
unsigned ptq_task_workers(const ptq_task *task);    /**< how many were spawned together */

/** A command as a part of a task: what a worker with `exec` does with each job.  Zero is the default of every field but `line`. */
struct ptq_command {
    const char *line;    /**< for /bin/sh -c (without a shell where it is a path and plain words only) */
    const void *input;   /**< its standard input */
    size_t input_size;
    /** Called with what it writes to descriptor 1 (standard output) and 2 (standard error) as it comes; anything but PTQ_OK is
     *  answered in the end, and the rest is read and thrown away.  NULL: the one is emitted as the task's result, the other is the worker's. */
    enum ptq_err (*each)(int fd, const void *data, size_t size, void *context);
    void *context;
    uint32_t timeout_ms; /**< it may take so long; 0: as long as the job (ptq_call_options.timeout_ms) */
    int stop_fd;         /**< when this becomes readable, or its other end is closed, the command is ended as at its limit; 0: none */
};

/** How it ended. */
struct ptq_command_end {
    bool known;     /**< false: somebody else has waited for it */
    bool signaled;
    bool core;
    bool timed_out; /**< it was ended because its time, or that of the job, was over */
    bool stopped;   /**< ... because of stop_fd */
    int code;       /**< exit status, or the signal */
    int64_t run_ns; /**< from its start to its end */
};

/**
 * Runs a command inside a task and waits for its end, and for the end of its output.  It leads a process group of its own, which is ended
 * with the worker, and at its limit: SIGTERM, a tenth of a second later SIGKILL.  Its environment has PTQ_POOL, PTQ_TICKET and PTQ_TRIES.
 * PTQ_OK also where it failed: *ret_end tells.  PTQ_ENOMEM, PTQ_EAGAIN, PTQ_EMSGSIZE (a line too long), PTQ_ESYS: it could not be started; what
 * `each` answered.  In the thread that runs the task.
 */
PTQ_MUST_CHECK enum ptq_err ptq_task_command(ptq_task *task, const struct ptq_command *command, struct ptq_command_end *ret_end);

/* -- workers -------------------------------------------------------------------------------------------------- */

/** Zero is the default of every field. */
struct ptq_spawn_options {
    unsigned count;       /**< workers; 0: one a processor */
    const char *exec;     /**< a command for /bin/sh -c (without a shell where it is a path and plain words only), run once a
                           *   job: the job on standard input, the result from
                           *   standard output; exit status 0, else PTQ_EFAILED.  Its environment has PTQ_POOL, PTQ_TICKET
                           *   and PTQ_TRIES.  It is the default task.  NULL: registered tasks */
    const char *name;     /**< of the workers, "<name>-<index>"; NULL: "worker" */
    bool no_respawn;      /**< leave the dead dead */
    const char *plugin;   /**< a shared object whose tasks they load (ptq_task_load); this program need not know them.  NULL: none */
    bool threads;         /**< threads of this process instead of processes: nothing is isolated, a task that crashes ends the program, and one
                           *   that overstays its time has the flag only; ptq_pool_close waits for the jobs in hand.  No exec, plugin,
                           *   recycling, cpus, nice */
    uint64_t recycle_jobs;  /**< a new process after so many jobs each; between two jobs, the others go on; 0: never */
    uint64_t recycle_bytes; /**< ... after a job that leaves more resident memory than this; 0: never */
    enum ptq_cpus cpus;   /**< PTQ_CPUS_SPREAD: each its own, in turn; of those that this process may use */
    const char *cpu_list; /**< "0,2-3": of these alone; NULL: any */
    int nice;             /**< added to their niceness */
    uint64_t record;      /**< each leaves a record of its last so many jobs, 32 bytes a job, to 2^20: ptq_pool_record
                           *   (<ptq/pipeline.h>).  0: none.  Whoever records first on a pool decides for all */
    bool no_status;       /**< they keep no account of themselves: ptq_pool_workers (<ptq/worker.h>) does not show them */
    unsigned crash_limit; /**< deaths of one worker in a row without a job done in between, until it is given up; 0: 10 */
    struct ptq_error *error;
};

/**
 * Starts worker processes: this executable again, whose main must begin with ptq_worker_main.  One that dies is started
 * again, after a growing pause if it got nothing done.  When this process dies, they die with it.
 * PTQ_ENOTSTARTED: main did not call ptq_worker_main; PTQ_ENOTASK: there is neither a registered task nor `exec`;
 * PTQ_EAGAIN, PTQ_ENOMEM: the system has no room for processes.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pool_spawn(ptq_pool *pool, const struct ptq_spawn_options *options);

/**
 * Looks after the spawned workers until the deadline or until all have left: PTQ_OK then (also when there are none),
 * PTQ_TIMEDOUT, PTQ_ENOWORKERS when all have been given up.  PTQ_NOWAIT: what is due now; PTQ_EMPTY when some live.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pool_supervise(ptq_pool *pool, int timeout_ms);

/** Process ids of the workers that live: fills up to `max`, returns how many live. */
size_t ptq_pool_worker_pids(ptq_pool *pool, int64_t *pids, size_t max);

/** Zero is the default of every field. */
struct ptq_work_options {
    const char *exec;    /**< as in ptq_spawn_options */
    const char *name;    /**< of this worker; NULL: "worker" */
    uint64_t record;     /**< as in ptq_spawn_options */
    bool no_status;      /**< as in ptq_spawn_options */
    struct ptq_error *error;
};

/**
 * Makes the calling thread a worker of the pool, on this host or another, until the pool ends (PTQ_OK), ptq_pool_leave
 * is called (PTQ_EINTR), or it cannot go on (PTQ_EGONE, ...).  A home that is away is waited for.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pool_work(ptq_pool *pool, const struct ptq_work_options *options);

/** Every ptq_pool_work on this handle returns, and its workers that are threads (ptq_spawn_options.threads) end, after the job in hand; so do
 * those that begin later.  Async-signal-safe. */
void ptq_pool_leave(ptq_pool *pool);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
