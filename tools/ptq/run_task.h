/* run_task.h -- what a worker of ptq pool run does with a line, and how its output comes back.
 *
 * A job is a command, or a command and its standard input.  What it writes comes back in the result while it is small; what is
 * more stands in the spill, a file without a name that the run and its workers share.
 */
#ifndef PTQ_TOOL_RUN_TASK_H
#define PTQ_TOOL_RUN_TASK_H

#include <ptq/pool.h>

#include "run_halt.h"

#define RUN_TASK "ptq.line"
/* RUN_COMMAND_MAX: what the kernel takes as one word of a command line. */
enum { RUN_INLINE = 16384, RUN_RESULT_SIZE = 65536, RUN_COMMAND_MAX = 131071 };

/* The beginning of the spill: what the run and its workers share. */
struct run_board {
    struct run_figures figures;
    atomic_uint_fast64_t next; /* where the next piece of the spill begins */
};

struct run_spill {
    int fd;
    int stop[2];             /* a pipe: a byte in it ends all commands; nobody reads it */
    struct run_board *board; /* in the spill */
};

/* The run's side.  TOOL_OK, or it has said why. */
int run_spill_open(struct run_spill *spill);
void run_spill_close(struct run_spill *spill);

/* How a job is to be run. */
struct run_job {
    const char *command; /* for the shell */
    size_t command_size;
    const char *input; /* its standard input; NULL: nothing */
    size_t input_size;
    uint32_t tries, timeout_ms;
    bool counts_lines;
};

/* How it went. */
struct run_end {
    int32_t code; /* exit status; -1: its time was over, or it was ended by a halt */
    int32_t signal;
    uint8_t timed_out, halted /* and its output is not all */, skipped /* by a halt: it never ran */, padding[5];
    int64_t start_us; /* since 1970 */
    int64_t run_ns;
    uint64_t size[2];   /* of standard output and standard error */
    uint64_t pieces[2]; /* of the spill; 0: it stands in the result */
    uint64_t lines[2];  /* begun in them, where that was asked for */
};

/* The largest job of a run whose commands and inputs have `size` bytes. */
size_t run_job_room(size_t size);
enum ptq_err run_job_submit(ptq_pool *pool, const struct run_spill *spill, const struct run_job *job, uint64_t *ret_ticket);

/* false: these bytes are no such result. */
bool run_end_read(const void *data, size_t size, struct run_end *ret_end);

/* Calls `write` with what the job wrote, in order, and gives the room in the spill back.  what: 0: standard output, 1: standard error.
 * TOOL_OK, or what `write` answered. */
int run_end_output(const struct run_spill *spill, const void *data, const struct run_end *end, int what,
                   int (*write)(void *context, const char *data, size_t size), void *context);
int run_end_last_byte(const struct run_spill *spill, const void *data, const struct run_end *end); /* of standard output; -1: it is empty */
void run_end_drop(const struct run_spill *spill, const void *data, const struct run_end *end, int what);

/* In main, before ptq_worker_main: a worker of ours knows the task. */
void run_task_register(void);

#endif
