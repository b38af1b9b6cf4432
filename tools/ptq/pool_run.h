/* pool_run.h -- a run of ptq pool run, as its parts share it: jobs are gathered (run_gather.c), submitted, and
 * settled (run_settle.c), by turns (run_turns.c). */
#ifndef PTQ_TOOL_POOL_RUN_H
#define PTQ_TOOL_POOL_RUN_H

#include "common/option.h"
#include "output.h"
#include "pool.h"
#include "run_bar.h"
#include "run_log.h"
#include "run_source.h"
#include "run_task.h"

struct run_options {
    const char *exec, *columns, *halt, *joblog, *results;
    uint64_t block, workers, window, line_size, result_size, lives, max_args, retries;
    struct tool_texts files;
    int timeout;
    bool none; /* --no-workers */
    bool null, pack, keep_order, unordered, tag, pipe, dry_run, bar, eta, resume, resume_failed;
};

/* A job that was submitted and whose result did not come yet. */
struct waiting {
    uint64_t ticket, seq, line;
    char *command; /* as the job log has it; owned, NULL: there is no log */
    size_t command_size;
    uint64_t sent;
    char *tag; /* what each line of its output begins with; owned, NULL: nothing */
    size_t tag_size;
};

struct run {
    const struct run_options *options;
    const char *template; /* of the command; NULL: --exec, and lines are its standard input, as they are with --pipe */
    bool plain;           /* jobs and results are bare lines: workers of anybody may do them */
    ptq_pool *pool;
    struct run_source source;
    struct run_spill spill;
    struct run_halt halt;
    struct run_figures figures; /* of a plain run; else they are on the board */
    struct run_log log;
    struct run_bar bar;
    struct output output;
    uint64_t total;             /* lines or jobs, as far as that is known */

    /* The next job, as far as it is gathered. */
    struct run_words words;
    struct run_text command, input;
    size_t command_size;     /* of `command`, what is run; the rest is for the job log */
    size_t kept;             /* bytes at the end of `input` that belong to the job after it */
    uint64_t pieces, quoted; /* lines in it; bytes of its arguments */
    uint64_t seq, line;      /* of the last job, and its first line */
    bool carry;              /* the last of `words`, or of the lines of a block, belongs to the job after it */
    bool has_job, no_more;   /* it is complete; none will come */

    struct waiting *waiting; /* a ring, in order of tickets */
    size_t first, count, room;
    uint64_t failed, logged, left_out; /* jobs; left_out: by a halt */
    bool halt_told;
};

struct run_figures *run_figures_of(struct run *run);

/* "line 7", or "job 7" where a job is not a line. */
const char *run_name_job(const struct run *run, uint64_t seq, uint64_t line, char text[48]);

static inline size_t run_input_size(const struct run *run) { return run->input.used - run->kept; }

/* run_keep.c: --results.  The folder, and in it one for a job: where its streams go, -1: nowhere.  TOOL_OK, or it has said why. */
int run_keep_folder(const char *folder);
int run_keep_open(const char *folder, uint64_t seq, const char *command, size_t size, int ret_fds[2]);
int run_keep_write(int fd, const char *folder, const char *data, size_t size);

/* run_gather.c: reads until a job is complete (has_job), or nothing can be read now, or no_more.  TOOL_OK, or it has said why. */
int run_gather(struct run *run);
void run_job_submitted(struct run *run); /* make place for the next one */

/* run_waiting.c: notes the job that was submitted (false: no memory); finds the one that came back (false: somebody else submitted it),
 * which is then forgotten by run_forget. */
bool run_remember(struct run *run, uint64_t ticket);
bool run_recall(struct run *run, uint64_t ticket, struct waiting *ret_job);
void run_forget(struct waiting *job);
void run_forget_all(struct run *run);

/* run_turns.c: until all is written.  fd: readable when a result may have come.  print: what would be run, instead.  TOOL_OK, or it has
 * said why. */
int run_turns(struct run *run, int fd);
int run_print(struct run *run);

/* run_settle.c: writes what the job came to, and counts it.  TOOL_OK, or it has said why. */
int run_settle(struct run *run, const struct waiting *job, const ptq_result *result);

#endif
