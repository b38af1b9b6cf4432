/* drill.h -- killing on purpose: a process is killed at a moment when it certainly holds jobs.
 *
 * It is stopped first (SIGSTOP), then the queue is looked at: a stopped process can neither take nor ack, so what it
 * holds then it holds when SIGKILL comes.  If it holds nothing it goes on (SIGCONT), and is tried again a little later.
 */
#ifndef DRILL_H
#define DRILL_H

#include <stdbool.h>
#include <stdint.h>

#include <ptq/metrics.h>
#include <ptq/pool.h>

#define DRILL_HELD_MAX 64

/* One killing. */
struct blow {
    int64_t pid;       /* 0: not yet */
    unsigned tries;
    uint64_t before;   /* redeliveries of the jobs queue until then */
    uint64_t held;     /* how many jobs it held */
    uint64_t position; /* the lowest of them */
    bool seen;         /* that one came out, handed out again */
};

struct drill {
    ptq_view *jobs; /* <pool>.jobs, watched without disturbing it */
    struct blow worker, bridge;
};

void drill_init(struct drill *drill, ptq_bus *bus, const char *pool);
void drill_fini(struct drill *drill);

/* Tries to kill a worker that this process spawned, or the process `pid`; does nothing once it has been done. */
void drill_kill_worker(struct drill *drill, ptq_pool *pool, size_t got, size_t count);
void drill_kill_process(struct drill *drill, int pid, size_t got, size_t count);

/* The job at this ticket came out, and had been handed out more than once. */
void drill_saw(struct drill *drill, uint64_t ticket);

/* Whether each killing that was asked for took place and mattered; says so. */
bool drill_verdict(struct drill *drill, bool worker, bool bridge);

#endif
