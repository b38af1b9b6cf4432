/* pools.h -- what tests of pools share: a scratch bus with a pool on it, gates, and the tasks that go through them.
 *
 * A gate is a queue of the scratch bus: a task that waits at it goes on when the test puts a token there.  So the order in which
 * jobs finish is the test's to choose, and nothing sleeps.
 */
#ifndef PTQ_TESTS_PROCESS_POOLS_H
#define PTQ_TESTS_PROCESS_POOLS_H

#include <ptq/pool.h>

#include "support/ptt.h"

struct pools {
    struct ptt_scratch scratch;
    ptq_pool *pool;
};

/* Opens the pool "pool" on a new scratch bus.  `start`: first position, in laps; 0: the ordinary one. */
void pools_init(struct pools *pools, const struct ptq_pool_options *options, uint64_t start);
void pools_fini(struct pools *pools);

/* Registers what follows; first in main, before ptq_worker_main. */
struct pools_task {
    const char *name;
    ptq_task_fn fn;
};
void pools_register(void);
/* And those of a test's own. */
void pools_register_tasks(const struct pools_task *tasks, size_t count);
/* Tasks: "echo" gives its data back; "gate" <name> tells queue "at" its ticket, waits for a token at queue <name>, and gives the
 * name back; "die" kills its worker; "die-once" at the first try only; "fail" fails with its data as text; "big" gives as
 * many bytes as its data says; "pid" gives the worker's pid; "spin" echoes after up to
 * 0.7 ms of work; "plan" does at its n-th run what the n-th letter of its data says: 'f' fails, 't' fails with PTQ_TIMEDOUT, 'd'
 * kills its worker, any other gives the data back; "hang" tells queue "at" its ticket and hangs; "look" echoes when its time is over; "stop-once"
 * stops its worker at the first try, then echoes, "stop-then-hang" hangs then. */

/* Lets one job through gate <name>. */
void pools_open_gate(struct pools *pools, const char *name);
/* Waits until `count` jobs stand at gates. */
void pools_wait_at_gates(struct pools *pools, unsigned count);
/* A job waits at its gate while `count` echos behind it are done by others; then it is let through, and all come out in order. */
void pools_pass_by(struct pools *pools, const char *gate, unsigned count);

void pools_spawn(struct pools *pools, unsigned count);
uint64_t pools_submit(struct pools *pools, const char *task, const char *text);
/* Gets the next result, and fails unless it comes. */
ptq_result *pools_get(struct pools *pools);
/* Gets the next result, compares and gives it back. */
void pools_expect(struct pools *pools, uint64_t ticket, const char *text);
void pools_expect_error(struct pools *pools, uint64_t ticket, enum ptq_err code);
void pools_expect_end(struct pools *pools);

/* Waits until the pool's statistics say so. */
bool pools_wait_stats(struct pools *pools, bool (*is_true)(const struct ptq_pool_stats *stats, uint64_t value),
                      uint64_t value);
/* Finished results that were not yet got, in order or not. */
bool pools_have_finished(const struct ptq_pool_stats *stats, uint64_t count);

#endif
