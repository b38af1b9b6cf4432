/* pool.h -- a pool handle as the files of this room see it.
 *
 *   open.c    names and the two queues            order.c   results in ticket order: the getter
 *   submit.c  jobs and markers, lend.c in place   worker.c  one job after another
 *   task.c    tasks and what they give            exec.c    a command as a task
 *   staff.c   spawned workers                     main.c    what a spawned worker does
 *   crew.c    workers that are threads            plugin.c  tasks of a shared object
 *   one.c     one worker by itself: one_send.c, one_recv.c
 *   life.c    stop, abort, join                   stats.c   what a person is told
 *   result.c  what stands at a ticket             look.c    why does the next one not come?
 *   run.c     one job: its task, and again after an error
 *   limit.c   how long it may take                crash.c   its last words
 *   unordered.c  results as they come              inner.c  a supervised process as a task
 *   roster.c  what workers show of themselves     status.c  and what follows from it
 *   route.c   to whom a result goes                future.c  one result that is waited for
 *   imap.c    a stream of items                    map.c     an array of them          args.c  several arguments as bytes
 */
#ifndef PTQ_POOL_POOL_H
#define PTQ_POOL_POOL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <ptq/pool.h>

#include "base/atomic.h"
#include "base/time.h"
#include "os/gather.h"
#include "os/trace.h"
#include "os/watch.h"
#include "pool/job.h"
#include "pool/roster.h"
#include "pool/route.h"
#include "pool/trail.h"
#include "process/supervisor.h"
#include "queue/queue.h"

#define PTI_POOL_DEFAULT_LIVES 3u
#define PTI_POOL_SLICE (250 * PTI_NS_PER_MS) /* how long a sleep may miss a death: promise 2 */

struct ptq_result {
    ptq_pool *pool;
    ptq_msg *msg; /* NULL: read ahead, its bytes are in `copy` */
    ptq_msg *again; /* the lease of `msg` was lost with a session, and this is the one that counts; usually NULL */
    void *copy;
    struct pti_result body;
    uint64_t ticket;
    enum ptq_result_kind kind;
    bool redelivered, has_trace;
    bool kept; /* nobody's yet: for the next plain get */
    struct ptq_trace trace;
    struct ptq_result *previous, *next;
};

struct pti_results {
    struct ptq_result *first, *last;
    uint64_t count;
};

/* Unordered pools: which tickets came out of this handle.  Stretches that are complete take no memory. */
struct pti_seen_stretch;
struct pti_tickets {
    struct pti_seen_stretch *first, *last; /* by ticket */
    uint64_t low, high;                    /* the stretches known of */
    bool begun;
};

/* The getter's side.  Lists and limit under the pool's mutex; the rest belongs to the thread that is `getting`. */
struct pti_order {
    _Atomic uint32_t getting;
    bool claimed, ended;
    uint64_t next;               /* the ticket that comes out next; known once claimed */
    uint64_t given;              /* from here to `next` all were given out by this handle; so once `gives` */
    bool gives;
    uint64_t limit;              /* told to the jobs queue last; 0: not yet */
    struct pti_results out;      /* got, not done: by ticket */
    struct pti_results ahead;    /* read ahead by join, nobody's: by ticket, all before `next` */
    unsigned kept;               /* nobody's, in `out` and `ahead` */
    ptq_msg *end_note;           /* kept leased: the next getter shall see it too */
    uint64_t stuck_at;           /* the ticket that is waited for, */
    unsigned looks;              /* how often it was looked into why, */
    int64_t look_at_ns;          /* and when it will be again */
    int64_t tended_ns;           /* when the workers were looked after last */
    int64_t flow_ns;             /* when it waited last, */
    uint64_t flow_from;          /* and what was next then */
    unsigned processors;         /* of this process; 0: not asked yet */
    bool dozed;                  /* nothing came while it slept on the word */
    bool roused;                 /* another thread has taken note of a worker's end: under the mutex */
    struct pti_gather gather;    /* everything that get waits for */
    struct pti_waiter *watch;    /* somebody leaves the jobs queue, perhaps by dying */
    struct pti_tickets came;     /* unordered pools */
};

/* Spawned workers.  Under the pool's mutex. */
struct pti_staff {
    struct pti_supervisor **teams; /* first those that stay, then those that were dismissed and still are there */
    unsigned count, staying;
    struct pti_crew *crew;       /* threads of this process: crew.c */
    _Atomic uint32_t exec;       /* some of them run a command */
    _Atomic uint32_t plugin;     /* some of them know tasks that this process does not */
    struct pti_gather gather;    /* readable when a team must be tended */
    _Atomic int64_t tended_ns;   /* by who submits: when last */
};

struct ptq_pool {
    ptq_bus *bus;
    ptq_queue *jobs, *done;
    char name[PTQ_NAME_MAX + 1];
    char *address;               /* as it was opened: for workers */
    uint64_t window;
    bool unordered;              /* done is an ordinary queue */
    uint32_t item_size, result_size;
    struct pti_job_call call;    /* of jobs that say nothing of their own */
    uint32_t generation;         /* fork.h */
    int64_t interval_ns, turn_ns; /* between two jobs that it submits, 0: none; when the next may go: under the mutex */
    pthread_mutex_t mutex;
    _Atomic uint32_t leaving, stopped, aborted, took_jobs, working; /* working: threads in ptq_pool_work */
    _Atomic uint64_t submitted;  /* behind the last job of this handle; 0: none yet.  A hint */
    _Atomic uint32_t halted;     /* whoever would wait in it answers PTQ_EINTR: a pipeline that closes or cannot go on */
    int halt_event;              /* readable then; 0: never asked for */
    struct pti_order order;
    struct pti_claims claims;
    struct pti_staff staff;
    uint64_t head_seen;          /* stats: the head of line, */
    int64_t head_since_ns;       /* and since when this handle has seen it there */
};

/* Positions wrap, at a width that depends on the queue: compare them with pti_position_compare only, also for equality; what
 * is added here may stand one lap above what the queue calls it. */
static inline bool pti_position_is(uint64_t a, uint64_t b)
{
    return pti_position_compare(a, b) == 0;
}

/* ptq_pool_open; a test may ask for a first position, a pipeline for flags and last_producer_ends of the jobs.  `more` may be NULL. */
enum ptq_err pti_pool_open(ptq_bus *bus, const char *name, const struct ptq_pool_options *options,
                           const struct pti_open *more, ptq_pool **ret_pool);

/* A lease that was lost with its session is given back already: what it was comes again. */
static inline enum ptq_err pti_pool_settled(enum ptq_err answer)
{
    return answer == PTQ_ELEASELOST || answer == PTQ_EINDOUBT ? PTQ_OK : answer;
}

/* For poll: rounded up; -1 for PTI_DEADLINE_NEVER. */
int pti_ms_until(int64_t deadline);
/* For public calls: the same, PTQ_NOWAIT for what is over. */
static inline int pti_timeout_left(int64_t deadline)
{
    return deadline == PTI_DEADLINE_NOW ? PTQ_NOWAIT : deadline == PTI_DEADLINE_NEVER ? PTQ_FOREVER : pti_ms_until(deadline);
}
/* Processors that this process may use, at least 1. */
unsigned pti_processors(void);

/* PTQ_EINVAL, PTQ_EFORKED, or PTQ_OK: first in every call. */
enum ptq_err pti_pool_check(const ptq_pool *pool);
/* EGONE on a pool that this handle aborted is EABORTED; everything else is itself. */
enum ptq_err pti_pool_answer(ptq_pool *pool, enum ptq_err err);

/* From now on calls that would wait can be halted, by another thread; some may have to be told more than once. */
enum ptq_err pti_pool_let_halt(ptq_pool *pool);
void pti_pool_halt(ptq_pool *pool);

/* Takes one entry of jobs as pti_queue_take. */
enum ptq_err pti_pool_take_job(ptq_pool *pool, int64_t deadline, ptq_msg **ret_msg);
/* Places an error without a worker at `ticket`: PTQ_ELATE is PTQ_OK. */
enum ptq_err pti_pool_place_error(ptq_pool *pool, uint64_t ticket, enum ptq_err code, const char *text);
/* The same; PTQ_ELATE is told. */
enum ptq_err pti_pool_place_first(ptq_pool *pool, uint64_t ticket, enum ptq_err code, const char *text);
/* The jobs have ended and all of them are settled: lays the word of it where a getter that sleeps there will find it. */
void pti_pool_note_end(ptq_pool *pool);

/* unordered.c: pools whose results come as they are finished.  Nothing is placed, so jobs may be leased however far ahead. */
/* Called when it is opened. */
enum ptq_err pti_unordered_begin(ptq_pool *pool);
/* A result with this ticket has come: jobs far beyond it may be leased, too. */
void pti_unordered_go_on(ptq_pool *pool, uint64_t ticket);
/* Hands in what has the head of a result; PTQ_TIMEDOUT after a slice without room; PTQ_ELATE: all jobs are settled, another did this one. */
enum ptq_err pti_unordered_put(ptq_pool *pool, const struct pti_put *put);
/* Hands in a marker.  As pti_queue_put. */
enum ptq_err pti_unordered_put_marker(ptq_pool *pool, const ptq_msg *msg, int64_t deadline);
/* Who holds so many results must give some back before he waits for more. */
uint64_t pti_unordered_most(const ptq_pool *pool);
/* Where the jobs have ended and all of them are settled, the results end, too.  True: they have, and nothing is left of them but what
 * this handle holds. */
bool pti_unordered_end(ptq_pool *pool);
/* Of a leased entry of done.  False: what stands there is no result. */
bool pti_unordered_ticket(const ptq_msg *msg, uint64_t *ret_ticket);
/* Has it come before?  Of what came before the first one that was noted it is not known: no. */
bool pti_tickets_have(struct pti_tickets *tickets, uint64_t ticket);
void pti_tickets_add(struct pti_tickets *tickets, uint64_t ticket);
/* It is to come again. */
void pti_tickets_remove(struct pti_tickets *tickets, uint64_t ticket);
void pti_tickets_fini(struct pti_tickets *tickets);

/* result.c: lists by ticket, under the pool's mutex; and results. */
void pti_results_append(struct pti_results *list, struct ptq_result *result);
void pti_results_drop(struct pti_results *list, struct ptq_result *result);
void pti_results_free(struct pti_results *list);
bool pti_result_is_end_note(const ptq_msg *msg);
/* Of a leased entry of done; NULL: no memory. */
struct ptq_result *pti_result_new(ptq_pool *pool, ptq_msg *msg);
/* Copies the entry into the result; given to you is its message, to be acked.  NULL: no memory, nothing changed. */
ptq_msg *pti_result_detach(struct ptq_result *result);

/* submit.c */
struct pti_submit {
    ptq_msg *loan;    /* it is written there already; taken on success; NULL: `data` */
    const char *task; /* NULL: the default task */
    const void *data;
    size_t size;
    const struct ptq_submit_options *options; /* may be NULL */
    const struct pti_job_call *call;          /* as it travels already; NULL: as options say */
    unsigned form;                            /* enum pti_job_form */
    const void *prefix;                       /* before the data, PTI_ORIGIN_SIZE bytes; NULL: none */
    struct pti_claim *claim;                  /* gets the ticket in the breath in which it is drawn; may be NULL */
};
/* May a job for this task be submitted? */
bool pti_submit_knows(ptq_pool *pool, const char *task);
/* ptq_pool_submit_with. */
enum ptq_err pti_submit(ptq_pool *pool, const struct pti_submit *job, int64_t deadline, uint64_t *ret_ticket);
/* Sleeps until there may be room for a job or a worker needs attention. */
enum ptq_err pti_submit_wait(ptq_pool *pool, int64_t deadline);
/* When the handle's rate lets the next job go; 0: at once.  And the turn after the one at `turn`, taken at `now`. */
int64_t pti_submit_turn(ptq_pool *pool);
int64_t pti_submit_turn_after(int64_t turn, int64_t now, int64_t interval_ns);
/* Until that, or a moment, with an eye on the workers: PTQ_OK, PTQ_TIMEDOUT, PTQ_EINTR. */
enum ptq_err pti_submit_nap(ptq_pool *pool, bool for_room, int64_t until);

/* look.c */
enum pti_seen {
    PTI_SEEN_NOTHING, /* it is being worked on, waits for a worker, or was not submitted */
    PTI_SEEN_PLACED,  /* this look has placed something: take again */
    PTI_SEEN_END
};
/* Looks why the next ticket does not come, if it is time; a pool that this handle has stopped is looked at without delay. */
enum ptq_err pti_look_if_due(ptq_pool *pool, enum pti_seen *ret_seen);
/* Something has happened: begin to look again. */
void pti_look_again(struct pti_order *order);

/* order.c */
void pti_order_init(struct pti_order *order);
void pti_order_fini(ptq_pool *pool);
/* Acks a result that was got, and raises the limit. */
enum ptq_err pti_order_done(ptq_pool *pool, struct ptq_result *result);
/* join: reads one result ahead.  As ptq_pool_get. */
enum ptq_err pti_order_read_ahead(ptq_pool *pool, int64_t deadline);
/* One thread at a time gets: between start, which may be refused, and stop, which tells those who wait for it. */
bool pti_order_start(ptq_pool *pool);
void pti_order_stop(ptq_pool *pool);
/* What may have woken the getter was taken note of here: it looks again.  Under the mutex. */
void pti_order_rouse(struct pti_order *order);
/* The next result, whosoever it is.  As ptq_pool_get. */
enum ptq_err pti_order_get(ptq_pool *pool, int64_t deadline, struct ptq_result **ret_result);
/* Keeps what is nobody's for a plain get; the oldest of them, or NULL. */
void pti_order_keep(ptq_pool *pool, struct ptq_result *result);
struct ptq_result *pti_order_kept(ptq_pool *pool);
struct ptq_result *pti_order_kept_at(ptq_pool *pool, uint64_t ticket); /* that of this ticket */
/* Moves a result out of the pool into this process's memory.  PTQ_ENOMEM: nothing has changed. */
enum ptq_err pti_order_detach(ptq_pool *pool, struct ptq_result *result);
/* To the next getter, or this one again. */
void pti_order_give_back(ptq_pool *pool, struct ptq_result *result);

/* staff.c */
void pti_staff_init(struct pti_staff *staff);
void pti_staff_fini(ptq_pool *pool, int polite_ms);
/* Looks after spawned workers; whoever died is recovered at once. */
void pti_staff_tend(ptq_pool *pool);
/* The same, of who calls it all the time: now and then. */
void pti_staff_tend_sometimes(ptq_pool *pool);
/* Given up on, and nobody else works for the pool. */
bool pti_staff_has_failed(ptq_pool *pool);
bool pti_staff_exists(ptq_pool *pool);
unsigned pti_staff_running(ptq_pool *pool);
/* ptq_pool_spawn of processes; *ret_team may be dismissed.  dismiss: asks it to leave when it is done with what it has in hand; it is
 * freed by and by, and must not be used again. */
enum ptq_err pti_staff_spawn(ptq_pool *pool, const struct ptq_spawn_options *options, struct pti_supervisor **ret_team);
void pti_staff_dismiss(ptq_pool *pool, struct pti_supervisor *team);
/* Asks them to leave; nothing is waited for. */
void pti_staff_ask(ptq_pool *pool);
bool pti_staff_is_alive(ptq_pool *pool);

/* Makes what is waited on.  Under the mutex. */
enum ptq_err pti_staff_begin(ptq_pool *pool);

/* crew.c: workers that are threads of this process.  tend, running, failure: under the mutex.  tend before the look, or a thread that ends
 * is told of no more; failure: why one could not go on, PTQ_OK: none had to stop. */
enum ptq_err pti_crew_spawn(ptq_pool *pool, const struct ptq_spawn_options *options);
void pti_crew_tend(struct pti_staff *staff);
unsigned pti_crew_running(const struct pti_staff *staff);
enum ptq_err pti_crew_failure(const struct pti_staff *staff);
void pti_crew_end(ptq_pool *pool);

/* task.c: the table of this process. */
struct pti_task {
    char name[PTQ_TASK_NAME_MAX + 1];
    ptq_task_fn fn;
    struct ptq_task_hooks hooks;
    void *user;
};
bool pti_task_name_is_valid(const char *name);
/* size 0: the default task.  NULL: there is no such task. */
const struct pti_task *pti_task_find(const char *name, size_t size);
bool pti_task_any(void);
size_t pti_task_count(void);
/* Known to every worker: from now on the task named first is the default, with the data behind PTI_BIND_HEAD bytes as its own (one_send.c). */
#define PTI_BIND_TASK "ptq.bind"
#define PTI_BIND_HEAD 64u
/* An error of a task that it did not make itself. */
enum ptq_err pti_task_blame(ptq_task *task, enum pti_section section, enum ptq_err code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A job while it runs: what it gives grows behind room for the head of its entry. */
struct ptq_task {
    struct pti_worker *worker;
    const struct pti_task *entry;    /* NULL: a command */
    char name[PTQ_TASK_NAME_MAX + 1];
    uint64_t ticket;
    uint32_t tries;
    uint32_t most;                   /* result_size */
    unsigned char *bytes;            /* PTI_RESULT_ROOM, then the data */
    size_t size, room;               /* of the data */
    size_t base;                     /* of the data, what earlier pieces of a chunk gave */
    uint64_t wanted;                 /* bytes that it tried to give, from the first on */
    ptq_msg *loan;                   /* the result is written where it will stand, behind loan_head bytes; NULL: in `bytes` */
    size_t loan_head;
    bool in_stage;                   /* it gives outputs: */
    bool has_open;                   /* the one at `open`, which emit adds to, is begun */
    uint32_t outputs;                /* so far */
    size_t open;                     /* where its piece begins; base: its data */
    bool has_origin;                 /* its job is of a stage: */
    struct pti_origin origin;
    uint64_t run_ns;                 /* the last time */
    enum ptq_err code;
    char text[PTI_RESULT_TEXT_MAX + 1];
    struct ptq_trace trace;          /* its job's */
    bool has_trace;
    uint16_t section, signal, error_number; /* of its error */
    struct pti_frames frames;        /* where it failed */
    const char *trace_text;          /* instead of them: of a dead worker */
    struct pti_obituary note;        /* that it is in */
    int64_t deadline_ns;             /* of this run; PTI_DEADLINE_NEVER */
};

/* Makes what the task keeps in this worker, if that is not done yet: PTQ_OK, or it has failed.  And all of it goes. */
enum ptq_err pti_task_set_up(ptq_task *task);
void pti_task_clean_up(struct pti_worker *worker);
/* What its result is marked with. */
static inline uint64_t pti_task_mark(const ptq_task *task)
{
    return task->has_origin ? task->origin.input : task->ticket;
}
/* Of a stage: forgets the outputs; closes the one that is open.  pti_task_end_outputs: what was given is all. */
void pti_task_begin_outputs(ptq_task *task);
void pti_task_end_outputs(ptq_task *task);

/* Gives the loan back, if there is one. */
void pti_task_drop_loan(ptq_task *task);
/* Room for so much data. */
enum ptq_err pti_task_make_room(ptq_task *task, size_t size);

/* worker.c */
struct pti_worker {
    ptq_pool *pool;
    ptq_msg *msg;                    /* the job in hand */
    const struct pti_job *limited;   /* the same, while its run has a limit; */
    int64_t began_ns;                /* and since when */
    bool counts_together;            /* it runs items of a chunk, whose times nobody asks for one by one */
    bool watched;                    /* by the watchdog of this process */
    const char *exec;                /* NULL: tasks of the table */
    char name[PTI_RESULT_NAME_MAX + 1];
    int64_t pid;                     /* while it works */
    unsigned slot, count;
    struct pti_status *status;       /* NULL: nobody looks */
    bool has_asked;                  /* this thread has its place in the queue of jobs */
    bool unseen;                     /* no row in the roster */
    uint64_t jobs, most_jobs, most_bytes; /* done by this process; after so many, or with so much memory, it leaves to a successor; 0 */
    bool used_up;
    bool has_bound;                  /* the default task was set: */
    const struct pti_task *bound;    /* to this one; NULL: it is not known here */
    char bound_name[PTQ_TASK_NAME_MAX + 1];
    void *bound_data;
    size_t bound_size;
    struct pti_kept *states;        /* of tasks with hooks, as they came; task.c */
    struct pti_roster roster;
    uint64_t record;                 /* spans of its trail; 0: it leaves none */
    struct pti_trail trail;
    uint64_t edge_ticket;            /* with a trail: the job in hand, and when it began, on the host's clock */
    int64_t edge_ns;
    struct ptq_task task;            /* its buffer is kept from job to job */
};
enum ptq_err pti_worker_run(struct pti_worker *worker);
void pti_worker_fini(struct pti_worker *worker);
bool pti_worker_is_leaving(const struct pti_worker *worker);
/* Places an error at the ticket of the job in hand, whatever its task is doing meanwhile. */
enum ptq_err pti_worker_place_error(const struct pti_worker *worker, const ptq_msg *msg, enum ptq_err code, const char *text,
                                    uint64_t run_ns);

/* crash.c: from now on a crash of this process, whose one worker this is, leaves last words. */
void pti_crash_watch(struct pti_worker *worker);

/* limit.c: around each run; end makes an error of what took too long. */
void pti_limit_begin(struct pti_worker *worker, const struct pti_job *job);
void pti_limit_end(struct pti_worker *worker, const struct pti_job *job);
/* Of the watchdog; its context is the worker. */
void pti_limit_last_word(void *context);
void pti_limit_text(char *buffer, size_t size, uint32_t timeout_ms);

/* run.c: one item by itself, in the calling thread, as a worker would: what it gave is in worker->task. */
enum ptq_err pti_run_item(struct pti_worker *worker, struct pti_job *job);
/* Runs the job, or finds out why not: what it gave, or its error, is in worker->task, and PTQ_OK.  PTQ_EAGAIN: it is to be
 * given back, and run again *ret_pause_ms from now; else the worker cannot go on, and nobody has done the job. */
/* Back into the queue after one more failed run, by a thread that is not the worker's: it is about to die. */
void pti_run_give_back(const struct pti_worker *worker, ptq_msg *msg, const struct pti_job *job);
enum ptq_err pti_run_job(struct pti_worker *worker, const ptq_msg *msg, uint64_t *ret_run_ns, int *ret_pause_ms);

/* exec.c: runs `command` with `data` on its standard input; its output becomes the result. */
enum ptq_err pti_exec_run(const char *command, ptq_task *task, const void *data, size_t size);

/* main.c */
bool pti_worker_main_was_called(void);
#define PTI_WORKER_FLAG "--ptq-worker"

#endif
