/* drill.h -- killing on purpose: a process is killed at a moment when it certainly holds jobs.
 *
 * Small jobs are done in microseconds, so there is a gate: a file that each worker passes, by flock, before it begins a job.
 * While the submitter has it closed, workers stand before it with a job in hand.  The victim is then stopped (SIGSTOP) and
 * looked at: stopped it can neither take nor ack, so what it holds then it still holds when SIGKILL comes.
 */
#ifndef DRILL_H
#define DRILL_H

#include <stdbool.h>
#include <stdint.h>

#include <ptq/metrics.h>
#include <ptq/pool.h>

/* One killing. */
struct blow {
    int64_t pid;       /* 0: not yet */
    unsigned tries;
    uint64_t before;   /* redeliveries of the jobs queue until then */
    uint64_t held;     /* how many jobs it held that had no result */
    uint64_t position; /* the lowest of them */
    bool seen;         /* that one came out, handed out again */
};

struct drill {
    ptq_view *jobs, *done; /* the pool's two queues, watched without disturbing them */
    uint64_t next;         /* the ticket that comes out next; told by the submitter */
    int gate;
    struct blow worker, bridge;
};

/* `gate` is a file that both sides can open; NULL: there is no gate. */
void drill_init(struct drill *drill, ptq_bus *bus, const char *pool, const char *gate);
void drill_fini(struct drill *drill);

/* The submitter's side. */
void drill_close_gate(struct drill *drill);
void drill_open_gate(struct drill *drill);

/* The workers' side: passes the gate of $INDEX_DOCS_GATE, if there is one. */
#define DRILL_GATE "INDEX_DOCS_GATE"
void drill_pass_gate(void);

/* Kills a worker that this process spawned, or the process `pid`, if one is found with a job in hand. */
void drill_kill_worker(struct drill *drill, ptq_pool *pool, size_t got, size_t count);
void drill_kill_process(struct drill *drill, int pid, size_t got, size_t count);

/* The job at this ticket came out, and had been handed out more than once. */
void drill_saw(struct drill *drill, uint64_t ticket);

/* Whether each killing that was asked for took place and mattered; says so. */
bool drill_verdict(struct drill *drill, bool worker, bool bridge);

#endif
