/* pool.h -- a pool handle as the files of this room see it.
 *
 *   open.c    names and the two queues            order.c   results in ticket order: the getter
 *   submit.c  jobs and markers                    worker.c  one job after another
 *   task.c    tasks and what they give            exec.c    a command as a task
 *   staff.c   spawned workers                     main.c    what a spawned worker does
 *   life.c    stop, abort, join                   stats.c   what a person is told
 *   result.c  what stands at a ticket             look.c    why does the next one not come?
 */
#ifndef PTQ_POOL_POOL_H
#define PTQ_POOL_POOL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <ptq/pool.h>

#include "base/atomic.h"
#include "os/gather.h"
#include "os/watch.h"
#include "pool/job.h"
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
    struct ptq_trace trace;
    struct ptq_result *previous, *next;
};

struct pti_results {
    struct ptq_result *first, *last;
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
    struct pti_results ahead;    /* read ahead by join: by ticket, all before `next` */
    ptq_msg *end_note;           /* kept leased: the next getter shall see it too */
    uint64_t stuck_at;           /* the ticket that is waited for, */
    unsigned looks;              /* how often it was looked into why, */
    int64_t look_at_ns;          /* and when it will be again */
    struct pti_gather gather;    /* everything that get waits for */
    struct pti_waiter *watch;    /* somebody leaves the jobs queue, perhaps by dying */
};

/* Spawned workers.  Under the pool's mutex. */
struct pti_staff {
    struct pti_supervisor **teams;
    unsigned count;
    _Atomic uint32_t exec;       /* some of them run a command */
    struct pti_gather gather;    /* readable when a team must be tended */
};

struct ptq_pool {
    ptq_bus *bus;
    ptq_queue *jobs, *done;
    char name[PTQ_NAME_MAX + 1];
    char *address;               /* as it was opened: for workers */
    uint64_t window;
    uint32_t item_size, result_size, lives;
    uint32_t generation;         /* fork.h */
    pthread_mutex_t mutex;
    _Atomic uint32_t leaving, stopped, aborted, took_jobs;
    struct pti_order order;
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

/* ptq_pool_open; a test may ask for a first position. */
enum ptq_err pti_pool_open(ptq_bus *bus, const char *name, const struct ptq_pool_options *options,
                           const struct pti_open *test, ptq_pool **ret_pool);

/* A lease that was lost with its session is given back already: what it was comes again. */
static inline enum ptq_err pti_pool_settled(enum ptq_err answer)
{
    return answer == PTQ_ELEASELOST || answer == PTQ_EINDOUBT ? PTQ_OK : answer;
}

/* For poll: rounded up; -1 for PTI_DEADLINE_NEVER. */
int pti_ms_until(int64_t deadline);
/* Processors that this process may use, at least 1. */
unsigned pti_processors(void);

/* PTQ_EINVAL, PTQ_EFORKED, or PTQ_OK: first in every call. */
enum ptq_err pti_pool_check(const ptq_pool *pool);
/* EGONE on a pool that this handle aborted is EABORTED; everything else is itself. */
enum ptq_err pti_pool_answer(ptq_pool *pool, enum ptq_err err);

/* Takes one entry of jobs as pti_queue_take. */
enum ptq_err pti_pool_take_job(ptq_pool *pool, int64_t deadline, ptq_msg **ret_msg);
/* Places an error without a worker at `ticket`: PTQ_ELATE is PTQ_OK. */
enum ptq_err pti_pool_place_error(ptq_pool *pool, uint64_t ticket, enum ptq_err code, const char *text);
/* The jobs have ended and all of them are settled: lays the word of it where a getter that sleeps there will find it. */
void pti_pool_note_end(ptq_pool *pool);

/* result.c: lists by ticket, under the pool's mutex; and results. */
void pti_results_append(struct pti_results *list, struct ptq_result *result);
void pti_results_drop(struct pti_results *list, struct ptq_result *result);
void pti_results_free(struct pti_results *list);
bool pti_result_is_end_note(const ptq_msg *msg);
/* Of a leased entry of done; NULL: no memory. */
struct ptq_result *pti_result_new(ptq_pool *pool, ptq_msg *msg);
/* Copies the entry into the result; given to you is its message, to be acked.  NULL: no memory, nothing changed. */
ptq_msg *pti_result_detach(struct ptq_result *result);

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

/* staff.c */
void pti_staff_init(struct pti_staff *staff);
void pti_staff_fini(ptq_pool *pool, int polite_ms);
/* Looks after spawned workers; whoever died is recovered at once. */
void pti_staff_tend(ptq_pool *pool);
/* Given up on, and nobody else works for the pool. */
bool pti_staff_has_failed(ptq_pool *pool);
bool pti_staff_exists(ptq_pool *pool);
unsigned pti_staff_running(ptq_pool *pool);
bool pti_staff_is_alive(ptq_pool *pool);

/* task.c: the table of this process. */
struct pti_task {
    char name[PTQ_TASK_NAME_MAX + 1];
    ptq_task_fn fn;
    void *user;
};
bool pti_task_name_is_valid(const char *name);
/* size 0: the default task.  NULL: there is no such task. */
const struct pti_task *pti_task_find(const char *name, size_t size);
bool pti_task_any(void);

/* A job while it runs: what it gives grows behind room for the head of its entry. */
struct ptq_task {
    const struct pti_worker *worker;
    const struct pti_task *entry;    /* NULL: a command */
    char name[PTQ_TASK_NAME_MAX + 1];
    uint64_t ticket;
    uint32_t tries;
    uint32_t most;                   /* result_size */
    unsigned char *bytes;            /* PTI_RESULT_ROOM, then the data */
    size_t size, room;               /* of the data */
    uint64_t wanted;                 /* bytes that it tried to give */
    enum ptq_err code;
    char text[PTI_RESULT_TEXT_MAX + 1];
    struct ptq_trace trace;          /* its job's */
    bool has_trace;
};

/* worker.c */
struct pti_worker {
    ptq_pool *pool;
    const char *exec;                /* NULL: tasks of the table */
    char name[PTI_RESULT_NAME_MAX + 1];
    unsigned slot, count;
    struct pti_status *status;       /* NULL: nobody looks */
    struct ptq_task task;            /* its buffer is kept from job to job */
};
enum ptq_err pti_worker_run(struct pti_worker *worker);
void pti_worker_fini(struct pti_worker *worker);

/* exec.c: runs `command` with `data` on its standard input; its output becomes the result. */
enum ptq_err pti_exec_run(const char *command, ptq_task *task, const void *data, size_t size);

/* main.c */
bool pti_worker_main_was_called(void);
#define PTI_WORKER_FLAG "--ptq-worker"

#endif
