/* process.h -- supervised processes: hooks that run again and again elsewhere, with lives, limits, timers and mail.
 *
 * A process is this program again (main begins with ptq_worker_main), and runs the hooks that were registered under its
 * name:
 *
 *     start                                        once in each new process
 *     prerun -> run -> postrun, prerun -> ...      until stopped, its runs made, or its time over: asked in this order
 *     onfinish -> result                           and it leaves;  or error, when its last life is gone
 *
 *   A hook that fails, passes its time limit, or dies (SIGSEGV, SIGKILL, the OOM killer) costs a life.  While there
 *   are lives, the failed run is begun again at prerun, with the same number: after a failure in the same process,
 *   with all it has in memory; after a death in a new one, with the last checkpoint (ptq_self_restored).  Where
 *   onfinish or result failed, onfinish is next again.
 *   A limit: first ptq_self_cancelled answers true; after a grace system calls of the hook are interrupted (EINTR, by
 *   SIGURG); after another one the process is killed.  A process that is stopped (SIGSTOP) is killed by its parent.
 *   The result, errors, timers and checkpoints stand in memory that both share: nobody waits for a reader, and death
 *   loses none.  When the parent ends, however, its processes end.
 *
 * Common to every call here, beside what queue.h says of timeouts, ret_ pointers, fork and signals:
 *   No call starts a thread.  A process is watched, and started again, inside the calls of its parent: wait, result,
 *   run, tell, listen, status.  A program that makes none of these for a while polls ptq_process_fd and calls
 *   ptq_process_wait with PTQ_NOWAIT when it is readable.  Several threads may use a handle at once, but
 *   ptq_process_free.
 */
#ifndef PTQ_PROCESS_H
#define PTQ_PROCESS_H

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

#define PTQ_PROCESS_NAME_MAX 63 /**< bytes in the name of hooks or of a resource: [A-Za-z0-9._-], not beginning with a dot */

/** What a process is doing. */
enum ptq_section {
    PTQ_SECTION_NONE = 0, /**< nothing of the program's: between two hooks, not started, or ended */
    PTQ_SECTION_START = 1,
    PTQ_SECTION_PRERUN = 2,
    PTQ_SECTION_RUN = 3,
    PTQ_SECTION_POSTRUN = 4,
    PTQ_SECTION_ONFINISH = 5,
    PTQ_SECTION_RESULT = 6,
    PTQ_SECTION_ERROR = 7,
    PTQ_SECTION_FULL_RUN = 8 /**< prerun, run and postrun together: for timers alone */
};
#define PTQ_SECTIONS 9

/** "prerun", ...; static; "none" for what is no section. */
const char *ptq_section_name(enum ptq_section section);

/* -- the child's side ----------------------------------------------------------------------------------------- */

/**
 * A process as its own hooks see it.  Opaque; belongs to the thread that the hooks run in, but where it says otherwise.
 */
typedef struct ptq_self ptq_self;

/** A section.  PTQ_OK, or why it failed: best by ptq_self_fail.  `user` is what was registered. */
typedef enum ptq_err (*ptq_hook)(ptq_self *self, void *user);

/** What a process does.  All but `run` may be NULL. */
struct ptq_process_hooks {
    ptq_hook start;    /**< in each new process, first: make its state, from the input and what is restored */
    ptq_hook prerun;
    ptq_hook run;
    ptq_hook postrun;
    ptq_hook onfinish; /**< once, when it will run no more */
    ptq_hook result;   /**< gives what it came to: ptq_self_give */
    ptq_hook error;    /**< no life is left: what it gives goes to the parent with the error (ptq_self_error).  If it
                            fails itself, both are told */
};

/**
 * Registers hooks under a name: before ptq_worker_main, in parent and child alike.  The same name again replaces them.
 * `hooks` is copied, `user` borrowed for ever.  One thread.  PTQ_EINVAL: no `run`, or not a name.
 */
PTQ_MUST_CHECK enum ptq_err ptq_process_register(const char *name, const struct ptq_process_hooks *hooks, void *user);

/**
 * First in main, after tasks and hooks were registered.  Returns at once in the program that the user started.  In a
 * process that ptq_process_start or ptq_pool_spawn started from the same executable it works, and exits.
 */
void ptq_worker_main(int argc, char **argv);

const char *ptq_self_name(const ptq_self *self);      /**< as registered */
unsigned ptq_self_slot(const ptq_self *self);         /**< ptq_process_options.slot */
uint64_t ptq_self_run(const ptq_self *self);          /**< the run it is in, from 1; the same when it is tried again */
unsigned ptq_self_lives(const ptq_self *self);        /**< left, this one included */
unsigned ptq_self_restarts(const ptq_self *self);     /**< processes before this one */
bool ptq_self_cancelled(const ptq_self *self);        /**< is this section over its limit?  Any thread, async-signal-safe */
bool ptq_self_stopping(const ptq_self *self);         /**< was stop asked, by either side?  Any thread, async-signal-safe */
/** The bytes of ptq_process_options.input. */
const void *ptq_self_input(const ptq_self *self, size_t *ret_size);

/**
 * No run begins any more: onfinish and result are next, when this section has ended.  Any thread, async-signal-safe.
 */
void ptq_self_stop(ptq_self *self);

/**
 * Says why the section fails, as printf; cut after 400 bytes.  Returns `code` (PTQ_EFAILED for PTQ_OK):
 * `return ptq_self_fail(...)`.
 */
enum ptq_err ptq_self_fail(ptq_self *self, enum ptq_err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/**
 * Copies what the parent will get as the result (or with the error); again: instead.  PTQ_EMSGSIZE: more than
 * result_size.
 */
PTQ_MUST_CHECK enum ptq_err ptq_self_give(ptq_self *self, const void *data, size_t size);

/** In the error hook: what went wrong.  Borrowed until it returns. */
const struct ptq_process_error *ptq_self_error(const ptq_self *self);

/**
 * Copies what a successor shall have, if this process dies or is recycled; again: instead.  A process killed in the
 * middle of it leaves the one before, whole.  PTQ_EMSGSIZE: more than checkpoint_size.
 */
PTQ_MUST_CHECK enum ptq_err ptq_self_checkpoint(ptq_self *self, const void *data, size_t size);

/**
 * The last checkpoint, of this or an earlier process; NULL: there is none.  Borrowed until the next
 * ptq_self_checkpoint.
 */
const void *ptq_self_restored(const ptq_self *self, size_t *ret_size);

/** Sends a message to the parent, as ptq_put.  PTQ_ENOENT: it has no mailbox.  Any thread. */
PTQ_MUST_CHECK enum ptq_err ptq_self_tell(ptq_self *self, const void *data, size_t size, int timeout_ms);

/**
 * Takes a message of the parent's, as ptq_recv; an empty one is PTQ_OK with size 0.  PTQ_EINTR also when a stop is
 * asked while it waits: a section that answers PTQ_EINTR then has not failed, and its run does not count.
 */
PTQ_MUST_CHECK enum ptq_err ptq_self_listen(ptq_self *self, void *buffer, size_t size, int timeout_ms,
                                            size_t *ret_size);

/* -- the parent's side ---------------------------------------------------------------------------------------- */

/** A process that this one started, or will start.  Opaque. */
typedef struct ptq_process ptq_process;

#define PTQ_NO_RUNS UINT64_MAX /**< ptq_process_options.runs: none, onfinish is first */
#define PTQ_LIVES_MANY 4000000000u /**< ptq_process_options.lives: as many as it takes; crash_limit ends it */

/** Which processors a process may run on, among those that its parent may use. */
enum ptq_cpus {
    PTQ_CPUS_ANY = 0,
    PTQ_CPUS_SPREAD = 1, /**< one, by its slot: the first, the second, ..., and around */
    PTQ_CPUS_LIST = 2    /**< ptq_process_options.cpu_list */
};

/** Zero is the default of every field. */
struct ptq_process_options {
    uint64_t runs;        /**< how many; 0: until it is stopped; PTQ_NO_RUNS */
    int join_in_ms;       /**< no run begins later than so long after the start; 0: no such limit */
    unsigned lives;       /**< 0: 1; PTQ_LIVES_MANY */
    int timeout_ms[PTQ_SECTIONS]; /**< of each section, in this very unit: [PTQ_SECTION_RUN] = 100; 0: none */
    int grace_ms;         /**< between flag, signal and end of a section that is over its limit; 0: 100 */
    unsigned crash_limit; /**< deaths in a row without a run done, until it is given up whatever its lives; 0: 10 */
    int pause_ms, pause_max_ms; /**< before it is started again when it had done no run: the first, and the longest,
                                     of pauses that double; 0: 20, 2000 */
    uint64_t recycle_runs;  /**< a new process after so many runs; costs no life; 0: never */
    uint64_t recycle_bytes; /**< ... after a run that leaves more resident memory than this; 0: never */
    enum ptq_cpus cpus;
    const char *cpu_list; /**< "0,2-3" */
    unsigned slot;        /**< yours: which of several alike */
    const void *input;    /**< copied; for ptq_self_input */
    size_t input_size;
    size_t result_size, checkpoint_size; /**< the largest; 0: 64 KiB */
    uint64_t mail_count;  /**< messages that wait in each direction; 0: 100 */
    uint32_t mail_size;   /**< bytes in the largest; 0: 4096 */
    const char *mail_name; /**< its mailboxes are the queues NAME.in and NAME.out, so that others can tell it something, also from other hosts
                                ("NAME.in@node"); NULL: names of their own, which nobody else is meant to know */
    struct ptq_error *error; /**< filled when ptq_process_new fails; may be NULL */
};

/**
 * Makes a process of the hooks `name`; it is not started yet.  `bus` is for its mail, and held: NULL, it has none.  All
 * memory is taken now.  `options` may be NULL; it is copied.
 * PTQ_ENOTASK: no such hooks; PTQ_ENOTSTARTED: main did not
 * call ptq_worker_main; PTQ_EINVAL: an option makes no sense, or no processor of cpu_list may be used; PTQ_EEXIST: another living
 * process has a mailbox of that mail_name (what a killed one left is replaced); PTQ_ENOMEM, PTQ_ENOSPC, PTQ_EPERM.
 */
PTQ_MUST_CHECK enum ptq_err ptq_process_new(ptq_bus *bus, const char *name, const struct ptq_process_options *options,
                                            ptq_process **ret_process);

/** Kills it at once if it runs, waits for that, removes its mailboxes, and frees it.  NULL is fine. */
void ptq_process_free(ptq_process *process);

/** Starts it, once: PTQ_EALREADY.  PTQ_EAGAIN, PTQ_ENOMEM: the system has no room for it; try again. */
PTQ_MUST_CHECK enum ptq_err ptq_process_start(ptq_process *process);

/** Asks it to run no more: the section in hand ends, then onfinish and result.  Does not block.  PTQ_ENOTSTARTED. */
enum ptq_err ptq_process_stop(ptq_process *process);

/**
 * Ends it whatever its lives: SIGTERM, and after `grace_ms` SIGKILL; waits for its end.  Its result is PTQ_EABORTED,
 * unless it had given one.  PTQ_ENOTSTARTED.
 */
enum ptq_err ptq_process_kill(ptq_process *process, int grace_ms);

/**
 * Waits until it is over, lives and restarts included.  PTQ_TIMEDOUT, also with PTQ_NOWAIT: it is not.  PTQ_EINTR;
 * PTQ_ENOTSTARTED.
 */
PTQ_MUST_CHECK enum ptq_err ptq_process_wait(ptq_process *process, int timeout_ms);

/**
 * Waits as ptq_process_wait, and tells what it came to: PTQ_OK, or PTQ_EFAILED: a hook failed or passed its limit in
 * the last life; PTQ_EDIED: the last life ended in death; PTQ_EABORTED: ptq_process_kill.  ptq_process_error tells the
 * rest.  The bytes it gave (also the error hook) are borrowed until ptq_process_free; `ret_` may be NULL.  May be asked
 * again.
 */
PTQ_MUST_CHECK enum ptq_err ptq_process_result(ptq_process *process, int timeout_ms, const void **ret_data,
                                               size_t *ret_size);

/** ptq_process_start, wait for ever, ptq_process_result.  PTQ_EINTR: it goes on; ask ptq_process_result. */
PTQ_MUST_CHECK enum ptq_err ptq_process_run(ptq_process *process, const void **ret_data, size_t *ret_size);

/** What cost the last life, or the last that was lost. */
struct ptq_process_error {
    enum ptq_err code;        /**< PTQ_OK: nothing went wrong; PTQ_EFAILED: a hook answered so; PTQ_TIMEDOUT: its limit; PTQ_EDIED: it ended by
                                   a signal or an exit; PTQ_EABORTED: ptq_process_kill */
    enum ptq_section section; /**< where */
    uint64_t run;             /**< and in which run, from 1; 0: before the first */
    int timeout_ms;           /**< the limit that was passed; else 0 */
    enum ptq_err cause;       /**< what the hook answered; else PTQ_OK */
    char text[500];           /**< "error in run on run 3: no such table", "timeout in run after 100 ms on run 3" */
    enum ptq_err second;      /**< what the error hook itself answered; PTQ_TIMEDOUT, PTQ_EDIED */
    char second_text[500];
};

/** The last error so far: also of a process that goes on, or that came to a result in a later life. */
void ptq_process_error(ptq_process *process, struct ptq_process_error *ret_error);

/** Sends it a message, as ptq_put.  PTQ_ENOTSTARTED; PTQ_ENOENT: it has no mailbox; PTQ_EENDED: it is over. */
PTQ_MUST_CHECK enum ptq_err ptq_process_tell(ptq_process *process, const void *data, size_t size, int timeout_ms);

/**
 * Takes a message that it sent, as ptq_recv.  PTQ_END: it is over, and all its messages were taken.  Also
 * PTQ_ENOTSTARTED, PTQ_ENOENT.
 */
PTQ_MUST_CHECK enum ptq_err ptq_process_listen(ptq_process *process, void *buffer, size_t size, int timeout_ms,
                                               size_t *ret_size);

/**
 * A descriptor for poll: readable when it has ended, must be started again, or has sent a message: call
 * ptq_process_wait with PTQ_NOWAIT, and ptq_process_listen with PTQ_NOWAIT until it answers otherwise than PTQ_OK.
 * Level-triggered, so once it is over it stays readable; belongs to the handle.  PTQ_ENOTSTARTED, PTQ_ENOMEM.
 */
PTQ_MUST_CHECK enum ptq_err ptq_process_fd(ptq_process *process, int *ret_fd);

enum ptq_process_state {
    PTQ_PROCESS_NEW = 0,     /**< not started */
    PTQ_PROCESS_RUNNING = 1,
    PTQ_PROCESS_PAUSED = 2,  /**< dead, to be started again */
    PTQ_PROCESS_ENDED = 3
};

/** As it is now: read from shared memory, without asking it. */
struct ptq_process_status {
    enum ptq_process_state state;
    bool alive;               /**< running, or to be started again */
    int64_t pid;              /**< 0: none runs */
    enum ptq_section section; /**< what it is in, */
    uint64_t section_ns;      /**< for so long; 0: in none */
    uint64_t run;             /**< the run it is in, or would be in next, from 1 */
    uint64_t runs;            /**< runs done, over all its processes */
    unsigned lives;           /**< left */
    unsigned restarts;        /**< processes before this one */
    unsigned deaths;          /**< how many of them died */
    uint64_t resident_bytes;  /**< memory; 0: none runs */
    bool stopping;
    /* Of the last process that ended. */
    bool exited;              /**< there is one, and its status is known */
    int exit_code;            /**< -1: by a signal */
    int signal;               /**< 0: none */
    bool core;                /**< a core was dumped */
    double user_s, system_s;  /**< processor time */
    uint64_t max_resident_bytes;
};
PTQ_MUST_CHECK enum ptq_err ptq_process_status(ptq_process *process, struct ptq_process_status *ret_status);

/** A supervised process as it is seen by others than its parent. */
struct ptq_process_seen {
    int64_t pid, parent;
    char name[PTQ_PROCESS_NAME_MAX + 1]; /**< of its hooks */
    unsigned slot;
    enum ptq_section section; /**< as struct ptq_process_status: what it is in, for how long, runs done, lives left, processes before it */
    uint64_t section_ns;
    uint64_t runs;
    unsigned lives, restarts;
    bool stopping;
};
/**
 * Calls `each` with every supervised process of this host whose mail goes through this bus, whoever has started it, in no order, until it
 * answers false.  They are found in /proc, and what they do is read from the memory that they share with their parents: it costs them nothing.
 * Those that this user may not look into, and those in other namespaces of pids, are not seen.  PTQ_ENOMEM, PTQ_ESYS.
 */
PTQ_MUST_CHECK enum ptq_err ptq_bus_list_processes(ptq_bus *bus, bool (*each)(const struct ptq_process_seen *process, void *context),
                                                   void *context);

/* -- timers --------------------------------------------------------------------------------------------------- */

#define PTQ_TIMER_RECENT 64
#define PTQ_TIMER_BUCKETS 704

/** Times that something took, in ns.  All zero is an empty one; what has no value then is NaN (double) or 0. */
struct ptq_timer {
    uint64_t count;
    uint64_t total_ns, last_ns;
    uint64_t min_ns, max_ns;
    uint64_t min_at, max_at; /**< which of them was the shortest and the longest, first, from 1; 0: none */
    double mean_ns;
    double variance;         /**< of a sample, ns squared; needs two: else NaN */
    double stdev_ns;         /**< its root */
    unsigned recent;         /**< how many of: */
    uint64_t recent_ns[PTQ_TIMER_RECENT]; /**< the last ones, newest first */
    uint32_t bucket[PTQ_TIMER_BUCKETS];   /**< for ptq_timer_percentile: sixteen to each doubling */
};

/** Counts one time in.  Zero `*timer` first.  One thread. */
void ptq_timer_add(struct ptq_timer *timer, uint64_t ns);

/**
 * What `percent` of the times do not exceed, ns, to 1/32; 0 and 100 are exact.  NaN: it is empty, or `percent` is not
 * between 0 and 100.
 */
double ptq_timer_percentile(const struct ptq_timer *timer, double percent);

/**
 * A stopwatch for times of your own.  All zero is one that is not started; set it so again to discard a time.  One
 * thread.
 */
struct ptq_stopwatch {
    int64_t started_ns; /**< or when the lap began; 0: it is not started */
    int64_t paused_ns;  /**< since when it pauses; 0: it runs */
};

/** Starts it.  PTQ_EALREADY: it was started, and goes on. */
PTQ_MUST_CHECK enum ptq_err ptq_stopwatch_start(struct ptq_stopwatch *stopwatch);

/** Pauses are not counted.  PTQ_ENOTSTARTED; PTQ_EALREADY: it pauses, or runs, already. */
PTQ_MUST_CHECK enum ptq_err ptq_stopwatch_pause(struct ptq_stopwatch *stopwatch);
PTQ_MUST_CHECK enum ptq_err ptq_stopwatch_resume(struct ptq_stopwatch *stopwatch);

/**
 * The time since the start or the last lap, counted into `timer` (may be NULL) and told in *ret_ns (may be NULL); the
 * next lap begins, in a pause if it pauses.  PTQ_ENOTSTARTED.
 */
PTQ_MUST_CHECK enum ptq_err ptq_stopwatch_lap(struct ptq_stopwatch *stopwatch, struct ptq_timer *timer,
                                              uint64_t *ret_ns);

/** As a last lap: then it is not started. */
PTQ_MUST_CHECK enum ptq_err ptq_stopwatch_stop(struct ptq_stopwatch *stopwatch, struct ptq_timer *timer,
                                               uint64_t *ret_ns);

/**
 * The times of a section, over all processes of the handle, live; those that failed or passed their limit are not among
 * them.  PTQ_SECTION_FULL_RUN: of whole runs.  PTQ_EINVAL: no section.
 */
PTQ_MUST_CHECK enum ptq_err ptq_process_timer(ptq_process *process, enum ptq_section section,
                                              struct ptq_timer *ret_timer);

/* -- resources ------------------------------------------------------------------------------------------------ */

/** How a database handle, a model, a connection is made in whatever process needs it. */
struct ptq_resource_hooks {
    enum ptq_err (*open)(void **ret_resource, void *user, struct ptq_error *error); /**< `error`: may be filled, text and all */
    void (*close)(void *resource, void *user);  /**< may be NULL */
    bool (*check)(void *resource, void *user);  /**< is it still good?  NULL: it is, until ptq_resource_failed */
};

/** Registers a resource under a name, as ptq_process_register.  PTQ_EINVAL: no `open`, or not a name. */
PTQ_MUST_CHECK enum ptq_err ptq_resource_register(const char *name, const struct ptq_resource_hooks *hooks, void *user);

/**
 * The resource, opened the first time that this thread asks for it, and checked each time: one that is no longer good
 * is closed and opened again, in this same call.  After a section that failed or passed its limit those without a
 * `check` are opened anew, too.  Each thread has its own; a forked child opens its own, too.  Borrowed until the next
 * call with this name.  PTQ_ENOENT: not registered; else what `open` answered; `error` (may be NULL) says it.
 */
PTQ_MUST_CHECK enum ptq_err ptq_resource_get(const char *name, void **ret_resource, struct ptq_error *error);

/** It has failed: the next ptq_resource_get of this thread opens it anew. */
void ptq_resource_failed(const char *name);

/** Closes all resources of this thread.  A process does that for its own before it leaves. */
void ptq_resource_close_all(void);

/**
 * A secret by its name: the file of that name in the folder $PTQ_SECRETS, else in $CREDENTIALS_DIRECTORY (systemd),
 * else the environment's PTQ_SECRET_<NAME> (in capitals, "_" for all but letters and digits); without the line end at
 * its end, and with a final 0.  No secret ever goes through a message or a command line.  PTQ_ENOENT; PTQ_EMSGSIZE;
 * PTQ_EPERM: the file may not be read, or may be written by others; PTQ_EINVAL: not a name.
 */
PTQ_MUST_CHECK enum ptq_err ptq_secret(const char *name, char *buffer, size_t size);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
