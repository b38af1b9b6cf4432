/* pipeline.h -- pipelines: inputs go through stages of workers, and what the last stage gives comes out in the order of the inputs.
 *
 *     submit -> [ decode x 4 ] -> [ resize x 8 | tag x 1 ] -> [ store x 2 ] -> get
 *
 * Each stage is an ordered pool (<ptq/pool.h>) named <pipeline>.<stage>; its workers take what the stage before gave.  A task of a stage
 * gives any number of outputs for its input: none drops it, several are so many inputs of the next stage, done by different
 * workers at once.  Outputs come out in order: those of an input before those of the next one, and among them in the order in which the
 * task gave them, whatever the workers do, and whoever of them dies.
 *
 * Stages may stand beside each other (ptq_stage.beside): each of them gets every input (fan-out), and what they give is joined, input
 * by input, in the order in which they are listed (fan-in).
 *
 *   Each input goes through each stage once, or an error stands in its place: an input whose task fails, or costs too many workers
 *   their lives, comes out as an error that says in which stage.  Whoever is killed (workers, the program that started
 *   them, the getter), what was submitted is still there, and another program that opens and starts the pipeline goes on with it.
 *   Memory is bounded: each stage holds `capacity` inputs and `window` results at most; then what is before it waits.
 *
 * Common to every call here, beside what pool.h says:
 *   A pipeline is on this host; workers of its stages may come from others, by ptq_pool_work on the pool of the stage.
 *   A handle may be used by several threads at once, ptq_pipeline_get by one at a time.
 *   ptq_pipeline_start starts a thread of this program for each stage but the last, which hands on what the stages give and looks after
 *   workers, and one more where a stage has workers_max; they block all signals.  After a fork the child's handle answers PTQ_EFORKED.
 */
#ifndef PTQ_PIPELINE_H
#define PTQ_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <ptq/bus.h>
#include <ptq/err.h>
#include <ptq/pool.h>
#include <ptq/queue.h>
#include <ptq/spec.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define PTQ_STAGES_MAX 64 /**< stages of a pipeline */
#define PTQ_BESIDE_MAX 16 /**< of them, beside each other */

/** One program's attachment to a pipeline.  Opaque. */
typedef struct ptq_pipeline ptq_pipeline;

/** A stage.  Zero is the default of every field but the name. */
struct ptq_stage {
    const char *name;      /**< its pool is <pipeline>.<name>; letters, digits, '_' and '-' */
    const char *task;      /**< the task that its inputs are for, as registered; NULL: the one with the stage's name */
    const char *exec;      /**< a command instead, as ptq_spawn_options.exec: it gives one output, what it writes */
    const char *plugin;    /**< a shared object that has the task; NULL: this program */
    bool beside;           /**< not behind the stage before it in the list, but beside it: it gets the same inputs.  Not the first */
    unsigned workers;      /**< 0: 1 */
    unsigned workers_max;  /**< more are started, one by one, to so many in all, while it is behind, and asked to leave while there is little to do;
                            *   0: their number is fixed.  Processes only.  Costs a thread that looks each 100 ms */
    bool threads;          /**< of this program instead of processes, as ptq_spawn_options.threads */
    uint32_t item_size;    /**< bytes in its largest input; 0: 4096.  What is larger is an error in its place (PTQ_EMSGSIZE) */
    uint32_t output_size;  /**< bytes of all that it gives for one input: one output of this size, or several, each counted up to
                            *   a multiple of 16 and 16 more; 0: as item_size */
    struct ptq_call_options call; /**< time limit and retries of each of its runs */
    uint32_t lives;        /**< workers that one input may cost before it is an error; 0: 3 */
    const struct ptq_spawn_options *spawn; /**< more about its workers: cpus, nice, recycle_..., crash_limit; other fields are not
                            *   looked at.  NULL: nothing */
    /** What it gives for what it gets.  Called once by ptq_pipeline_open, in the order of the stages, in the program that opens: `in` is what each
     * of its inputs is, NULL where that is not known; `out`, empty, is to become what each of its outputs is, or stays empty where it does not
     * say.  Both are borrowed for the call.  Where item_size or output_size is 0 it is the size of these; a stage that gives
     * several outputs for an input says output_size itself.  An answer other than PTQ_OK is that of open.  NULL: it does not say */
    enum ptq_err (*describe)(const struct ptq_stage *stage, const ptq_spec *in, ptq_spec *out);
    void *user;            /**< for describe */
};

/** Zero is the default of every field.  What contradicts an existing pipeline is PTQ_EMISMATCH. */
struct ptq_pipeline_options {
    enum ptq_open_mode mode;
    uint64_t capacity;      /**< inputs that wait before each stage, at most; 0: 1000 */
    uint64_t window;        /**< of each stage, as ptq_pool_options.window; 0: 10 x processors */
    bool last_producer_ends; /**< when it is made: the last producer that closes ends it.  One that dies does not, and holds up nobody */
    bool producer;          /**< this handle counts as a producer before its first submit */
    uint64_t record;        /**< workers that this handle starts leave a record of their last so many jobs each, as
                             *   ptq_spawn_options.record; 0: none */
    uint64_t total;         /**< inputs that there will be, if that is known: for reports and how long it will take; 0: not known */
    double per_second;      /**< inputs that this handle may submit a second; 0: any */
    const char *input;      /**< what an input is, for ptq_stage.describe: the text form of a spec (<ptq/spec.h>), with the answers of
                             *   ptq_spec_parse; NULL: not known */
    uint32_t max_endpoints; /**< as ptq_pool_options */
    uint32_t file_mode;
    bool ephemeral;
    struct ptq_error *error; /**< filled when the call fails; may be NULL */
};

/**
 * Opens a pipeline by name, of `count` stages in their order; all is copied.  Whoever opens it gives the same stages.
 * `options` may be NULL.  Release it with ptq_pipeline_close.
 * PTQ_EINVAL: a name or an option makes no sense, or the name is of another host; PTQ_ENOTASK: this program has tasks, and not that of
 * a stage; answers of ptq_pool_open.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pipeline_open(ptq_bus *bus, const char *name, const struct ptq_stage *stages, size_t count,
                                              const struct ptq_pipeline_options *options, ptq_pipeline **ret_pipeline);

/**
 * Starts the workers of all stages, as ptq_pool_spawn does, and hands on between stages.  A program that only submits or gets
 * does not call it; where several do, their workers share the work, and one of them hands on until it closes or dies.
 * PTQ_EALREADY: this handle has; PTQ_ENOTSTARTED: main did not call ptq_worker_main; PTQ_ENOTASK, PTQ_EAGAIN, PTQ_ENOMEM, PTQ_ENOSPC.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pipeline_start(ptq_pipeline *pipeline);

/**
 * Ends the attachment: its workers finish what they have in hand, as ptq_pool_close.  What is in the pipeline stays there.  A producer
 * that closes, with last_producer_ends, may end it.  Outputs that were got and are not done go to the next getter.  NULL is fine.
 */
void ptq_pipeline_close(ptq_pipeline *pipeline);

/** Removes a pipeline with all that is in it; idempotent.  `stages` as for open: their names are what counts. */
PTQ_MUST_CHECK enum ptq_err ptq_pipeline_unlink(ptq_bus *bus, const char *name, const struct ptq_stage *stages, size_t count,
                                                bool force);

/* -- in ------------------------------------------------------------------------------------------------------- */

/**
 * Submits an input to the first stage.  *ret_input (may be NULL) is its number: they grow by one, over all who submit.
 * Blocks while `capacity` inputs wait: a thread that submits everything before it gets anything may wait for ever; let it get in
 * between, or use ptq_pipeline_run.
 * PTQ_EENDED: the pipeline has ended; answers of ptq_pool_submit, and, where this handle started it, of what went wrong in a stage:
 * PTQ_ENOWORKERS.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pipeline_submit(ptq_pipeline *pipeline, const void *data, size_t size, int timeout_ms,
                                                uint64_t *ret_input);

/** As ptq_pipeline_submit, with headers and trace for the first stage; the trace goes along with all that comes of it. */
PTQ_MUST_CHECK enum ptq_err ptq_pipeline_submit_with(ptq_pipeline *pipeline, const void *data, size_t size,
                                                     const struct ptq_submit_options *options, int timeout_ms,
                                                     uint64_t *ret_input);

/** Submits bytes that no task sees: they come out unchanged, behind all that comes of earlier inputs and before all that comes of later
 * ones.  PTQ_EMSGSIZE: more than the smallest item_size or output_size, or than 1 KiB where these are smaller. */
PTQ_MUST_CHECK enum ptq_err ptq_pipeline_submit_marker(ptq_pipeline *pipeline, const void *data, size_t size, int timeout_ms,
                                                       uint64_t *ret_input);

/** Nothing more will come: every later submit, of anybody, answers PTQ_EENDED; when all that comes of what was submitted is out, get
 * answers PTQ_END and workers leave.  Returns at once.  PTQ_OK also when it had ended. */
PTQ_MUST_CHECK enum ptq_err ptq_pipeline_end(ptq_pipeline *pipeline);

/** Gives it up: removes it with all that is in it, and kills the workers of this handle.  Everybody else gets PTQ_EGONE. */
PTQ_MUST_CHECK enum ptq_err ptq_pipeline_abort(ptq_pipeline *pipeline);

/* -- out ------------------------------------------------------------------------------------------------------ */

/** What comes out.  Pointers are borrowed until the next ptq_pipeline_get or ptq_pipeline_done. */
struct ptq_output {
    enum ptq_result_kind kind;
    uint64_t input;       /**< the number of the input that it comes of; of an input that somebody took away by hand: 0 */
    const void *data;     /**< aligned to 16; empty for an error */
    size_t size;
    bool redelivered;     /**< an earlier getter had it, and perhaps what is before it of the same input, and did not say done */
    const char *stage;    /**< that gave it, or whose error it is; "" for a marker */
    /* Of an error. */
    enum ptq_err code;    /**< as ptq_result_code; PTQ_OK for all else */
    const char *text;     /**< a sentence; else "" */
    const char *section;  /**< as ptq_result_section */
    const char *backtrace;
    int error_number, signal;
    /* Of the last run. */
    const char *host, *worker;
    int64_t pid;
    uint32_t tries;
    uint64_t run_ns;
};

/**
 * Gets what comes next in order: an output of the last stage, an error of any stage in the place of what it would have given, or a
 * marker.  What was got before is done by that: it leaves the pipeline.  If this process dies before, the next getter gets it again,
 * with all that the last stage gave for the same of its inputs, flagged.
 * There is one getter at a time, as for ptq_pool_get: PTQ_EBUSY.  PTQ_EMPTY, PTQ_TIMEDOUT; PTQ_END: it has ended, and that was all.
 * PTQ_ENOWORKERS: of a stage that this handle started all workers were given up, and nobody else works there; ptq_pipeline_explain
 * says which and why.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pipeline_get(ptq_pipeline *pipeline, int timeout_ms, struct ptq_output *ret_output);

/** What was got is done: where a program does something else before its next get, or closes. */
enum ptq_err ptq_pipeline_done(ptq_pipeline *pipeline);

/** A descriptor for poll: readable when ptq_pipeline_get would not wait, perhaps spuriously; until it answers PTQ_EMPTY.  It may be another
 * one after each get.  It belongs to the pipeline. */
PTQ_MUST_CHECK enum ptq_err ptq_pipeline_fd(ptq_pipeline *pipeline, int *ret_fd);

/** Where inputs come from and outputs go to.  Both are called in the thread that called ptq_pipeline_run. */
struct ptq_flow {
    /** PTQ_OK and *ret_input, borrowed until the next call; PTQ_END: there are no more.  Any other answer ends the flow with it, behind
     * what comes of the inputs before.  Called only when there is room: there may be any number of inputs. */
    enum ptq_err (*source)(void *user, struct ptq_bytes *ret_input);
    /** Gets each output, in order.  Any answer but PTQ_OK ends the flow with it, at once. */
    enum ptq_err (*sink)(void *user, const struct ptq_output *output);
    void *user;
};

/**
 * Runs a flow through the pipeline to its end: starts it, if this handle has not, submits what the source gives and gives the sink what comes
 * out, by turns, and ends it.  PTQ_OK when all is out; what source or sink answered; answers of submit and get.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pipeline_run(ptq_pipeline *pipeline, const struct ptq_flow *flow);

/* -- around --------------------------------------------------------------------------------------------------- */

/** The pool of a stage, by its place in the list: for ptq_pool_stats, ptq_pool_workers, ptq_pool_spawn; not to submit, get or close.
 * NULL: there is no such stage. */
ptq_pool *ptq_pipeline_pool(ptq_pipeline *pipeline, size_t stage);
size_t ptq_pipeline_stages(const ptq_pipeline *pipeline);
const char *ptq_pipeline_stage_name(const ptq_pipeline *pipeline, size_t stage);

/** The sentence for a person about `err` on this pipeline: what, on what, why, what to do. */
const char *ptq_pipeline_explain(ptq_pipeline *pipeline, enum ptq_err err, char *buffer, size_t size);

/* -- what it does, and did ------------------------------------------------------------------------------------ */

/*
 * Definitions.  A worker's edge ON is the moment when it has a job in its hands; its edge OFF the moment when the result of it stands in its
 * place and the job is settled.  ON time is the time from edges ON to edges OFF; OFF time is all other time from when the worker was
 * ready for its first job until it left, died (until it was last seen at work), or now.  Off time is STARVED while there was nothing to do, and BLOCKED
 * while there was something, and no room for its result: what comes behind takes too little.  (The first millisecond of each wait
 * counts as starved.)  Rates: jobs a second of ON time: how fast this stage can be; jobs a second of OFF time; and jobs a second of
 * the runtime, which is from when its first worker was ready until the last left, or now.  Sums are of all workers that a stage ever had on this
 * host, dead ones included; of a worker that was killed, what it did since its last edge is not in them, and markers are no jobs.
 * Workers with no_status, and those of other hosts, are not counted.
 */

/** One stage in figures. */
struct ptq_stage_stats {
    const char *name;        /**< borrowed from the pipeline */
    uint32_t workers;        /**< that live; where advice is given and none does any more, those that there were count */
    uint64_t jobs, failed;   /**< done, errors included; those that are errors */
    uint64_t on_ns, starved_ns, blocked_ns; /**< of all its workers together; off is starved and blocked */
    double rate_on, rate_off, rate; /**< jobs a second of on time, of off time, of the runtime; 0: there was no such time */
    double busy;             /**< on / (on + off), 0 to 1 */
    double work_ns;          /**< on time for one input of the pipeline: on / inputs */
    uint64_t queued, running, held; /**< as ptq_pool_stats */
    bool bottleneck;         /**< of all stages it needs most time for an input, by the workers that it has: more workers here, or nowhere */
    uint32_t advised;        /**< workers, of as many as all stages have now, that would make the slowest stage as fast as can be */
};

/** The whole in figures. */
struct ptq_pipeline_stats {
    size_t stages;
    uint64_t inputs;         /**< done by the first stage, markers not counted */
    uint64_t total;          /**< ptq_pipeline_options.total */
    uint64_t runtime_ns;
    double rate;             /**< inputs a second */
    int64_t left_ms;         /**< until `total` inputs are through the first stage, at that rate; -1: not known */
    uint32_t workers;        /**< that live */
};

/** Reads them, and asks nobody: fills up to `max` entries of `array` (may be NULL with 0), in the order of the stages.  PTQ_ENOMEM, PTQ_EPERM. */
PTQ_MUST_CHECK enum ptq_err ptq_pipeline_stats(ptq_pipeline *pipeline, struct ptq_pipeline_stats *ret_stats,
                                               struct ptq_stage_stats *array, size_t max);

/**
 * How many workers to give each stage, of `workers` in all (0: as many as live now, at least one a stage): what would make the slowest stage as fast as
 * can be, by what each input has cost each stage so far.  ret_workers has room for all stages.  *ret_bottleneck (may be NULL) is the stage that
 * is the slowest now; *ret_rate (may be NULL) inputs a second with what is advised, as far as there are processors.
 * PTQ_EMPTY: no stage has done anything yet; PTQ_EINVAL: fewer workers than stages.
 */
PTQ_MUST_CHECK enum ptq_err ptq_pipeline_advise(ptq_pipeline *pipeline, unsigned workers, unsigned *ret_workers, size_t *ret_bottleneck,
                                                double *ret_rate);

enum ptq_report_form { PTQ_REPORT_TEXT = 0, PTQ_REPORT_JSON = 1 };
/** Writes a table of stages and workers, with what is advised.  PTQ_ESYS: it could not be written (errno). */
PTQ_MUST_CHECK enum ptq_err ptq_pipeline_report(ptq_pipeline *pipeline, enum ptq_report_form form, FILE *file);

enum ptq_record_form {
    PTQ_RECORD_CSV = 0,    /**< a line a job: stage, worker, pid, what (job, blocked), ticket, from (its ticket in the stage before), on_ns and off_ns
                            *   since the first edge of all, tries, outputs, failed */
    PTQ_RECORD_SVG = 1,    /**< a picture: a lane a worker, a box a job, lines from the job that gave something to the job that got it */
    PTQ_RECORD_CHROME = 2  /**< JSON for chrome://tracing and Perfetto */
};
/** Writes what workers have recorded, where they were started with `record`; of each the last so many jobs.  While they work, too.
 * PTQ_ESYS: it could not be written (errno). */
PTQ_MUST_CHECK enum ptq_err ptq_pipeline_record(ptq_pipeline *pipeline, enum ptq_record_form form, FILE *file);
/** The same of one pool, whose ptq_spawn_options.record was set.  PTQ_ENOENT: it is on another host. */
PTQ_MUST_CHECK enum ptq_err ptq_pool_record(ptq_pool *pool, enum ptq_record_form form, FILE *file);

/* -- in a task of a stage ------------------------------------------------------------------------------------- */

/* ptq_task_result gives one output, instead of all that was given; ptq_task_emit adds to the one that is open, or opens one.  A task that
 * gives nothing has no output, and what it was given goes no further. */

/** Gives one whole output: any number of them.  In a pool that is no stage it is as ptq_task_emit.  PTQ_ENOMEM; PTQ_EMSGSIZE beyond
 * output_size, and then that error is the result. */
enum ptq_err ptq_task_output(ptq_task *task, const void *data, size_t size);

/** The number of the input of the pipeline that this job comes of; in a pool that is no stage its ticket. */
uint64_t ptq_task_input(const ptq_task *task);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
