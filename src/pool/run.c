/* run.c -- a worker runs one job: its task, and again after an error where the job asks for that.
 *
 * Failures and deaths are counted apart.  A run that failed is noted in the job's own head, which belongs to who has it on lease,
 * before the job is given back for the pause; each handing out counts as a delivery.  So
 *
 *     deliveries = 1 + runs that were given back + workers that died
 *
 * and only the last of them costs lives.  A worker that its parent ended at the job's limit is a run that failed, and no death: where
 * there is no pause, so that nothing else accounts for its delivery, the job gets a life more.  A job of another host is a copy here: there the worker waits with it in hand, and so
 * does one whose job is too large to be written in place.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/time.h"
#include "pool/pool.h"
#include "ring/layout.h"

#define NOTE_LOOKS 10 /* and so long between them: for a parent that has not noticed yet */
#define NOTE_NAP_NS (5 * PTI_NS_PER_MS)
#define NAP_NS (20 * PTI_NS_PER_MS) /* of a pause in hand, before it looks whether the worker must leave */

static bool can_note(const ptq_pool *pool)
{
    return !pool->jobs->port->remote && pool->jobs->port->item_size <= PTI_INLINE_MAX;
}

/* -- one run -------------------------------------------------------------------------------------------------- */

static enum ptq_err call_task(const struct pti_worker *worker, ptq_task *task, const struct pti_job *job)
{
    if (task->entry == NULL)
        return pti_exec_run(worker->exec, task, job->data, job->size);
    enum ptq_err err = task->entry->hooks.init != NULL ? pti_task_set_up(task) : PTQ_OK;
    return err == PTQ_OK ? task->entry->fn(task, job->data, job->size) : err;
}

static void run_task(struct pti_worker *worker, ptq_task *task, const struct pti_job *job)
{
    bool timed = !worker->counts_together;
    int64_t start = timed ? pti_now_ns() : 0;
    errno = 0;
    if (timed)
        pti_limit_begin(worker, job);
    enum ptq_err err = call_task(worker, task, job);
    int error = errno;
    if (timed)
        pti_limit_end(worker, job);
    task->run_ns = timed ? (uint64_t)(pti_now_ns() - start) : 0;
    if (err != PTQ_OK && task->code == PTQ_OK) {
        (void)pti_task_blame(task, PTI_SECTION_RUN, err == PTQ_END ? PTQ_EFAILED : err, "task '%s' answered %s: %s", task->name,
                             ptq_err_name(err), ptq_strerror(err));
        task->error_number = (uint16_t)error;
    }
    if (task->in_stage) {
        task->has_open |= task->entry == NULL; /* a command has one output, also where it wrote nothing */
        pti_task_end_outputs(task);
    }
    if (err == PTQ_OK && task->code == PTQ_OK && task->wanted > task->most)
        (void)pti_task_blame(task, PTI_SECTION_RESULT, PTQ_EMSGSIZE,
                            "the result of %llu bytes does not fit: result_size is %u - create the pool with a larger one",
                            (unsigned long long)task->wanted, task->most);
}

/* The task that was set for it. */
static bool find_bound(const struct pti_worker *worker, ptq_task *task)
{
    task->entry = worker->bound;
    (void)snprintf(task->name, sizeof task->name, "%s", worker->bound_name);
    if (task->entry == NULL)
        (void)pti_task_blame(task, PTI_SECTION_FIND, PTQ_ENOTASK, "worker %s knows no task '%s' - register it in the worker's program",
                             worker->name, task->name);
    return task->entry != NULL;
}

/* Finds out who does the job; false: nobody, and the task has failed with the reason. */
static bool find_doer(const struct pti_worker *worker, ptq_task *task, const struct pti_job *job)
{
    if (job->task_size == 0 && worker->has_bound)
        return find_bound(worker, task);
    if (job->task_size == 0 && worker->exec != NULL)
        return true;
    task->entry = pti_task_find(job->task, job->task_size);
    if (task->entry != NULL)
        return true;
    if (job->task_size == 0)
        (void)pti_task_blame(task, PTI_SECTION_FIND, PTQ_ENOTASK, "worker %s has no default task", worker->name);
    else
        (void)pti_task_blame(task, PTI_SECTION_FIND, PTQ_ENOTASK, "worker %s knows no task '%s' - register it in the worker's program",
                            worker->name, task->name);
    return false;
}

static void clear_task(ptq_task *task)
{
    pti_task_drop_loan(task);
    task->size = task->base;
    task->wanted = task->base;
    if (task->in_stage)
        pti_task_begin_outputs(task);
    task->code = PTQ_OK;
    task->text[0] = 0;
    task->section = PTI_SECTION_NONE;
    task->signal = 0;
    task->error_number = 0;
    task->frames.count = 0;
    task->trace_text = NULL;
}

static void start_task(struct pti_worker *worker, const ptq_msg *msg)
{
    ptq_task *task = &worker->task;
    task->worker = worker;
    task->entry = NULL;
    task->name[0] = 0;
    task->ticket = msg->position;
    task->tries = msg->deliveries;
    task->base = 0;
    task->most = worker->pool->result_size;
    task->in_stage = false;
    task->has_origin = false;
    task->has_trace = msg->headers != 0 && ptq_msg_trace(msg, &task->trace);
    clear_task(task);
}

/* -- runs ----------------------------------------------------------------------------------------------------- */

/* Waits with the job in hand.  False: the worker must leave. */
static bool wait_in_hand(const struct pti_worker *worker, int64_t pause_ms)
{
    int64_t end = pti_now_ns() + pause_ms * PTI_NS_PER_MS;
    for (;;) {
        int64_t left = end - pti_now_ns();
        if (left <= 0)
            return true;
        if (pti_worker_is_leaving(worker))
            return false;
        (void)nanosleep(&(struct timespec){.tv_nsec = left < NAP_NS ? left : NAP_NS}, NULL);
    }
}

/* Runs until it is good or is given up.  note: of the job's head, where failures are noted; NULL: they are not, and pauses are
 * waited for in hand. */
static enum ptq_err run_until_good(struct pti_worker *worker, struct pti_job *job, void *note, int *ret_pause_ms)
{
    ptq_task *task = &worker->task;
    for (;;) {
        run_task(worker, task, job);
        if (task->code == PTQ_OK || !pti_job_may_retry(&job->call, task->code, job->failures))
            return PTQ_OK;
        int64_t pause_ms = pti_job_delay_ms(&job->call, job->failures++);
        if (note != NULL)
            pti_job_note_failures(note, job->failures);
        if (note != NULL && pause_ms > 0) {
            *ret_pause_ms = (int)pause_ms;
            return PTQ_EAGAIN;
        }
        if (!wait_in_hand(worker, pause_ms))
            return PTQ_EINTR;
        clear_task(task);
        task->tries++;
    }
}

/* -- chunks --------------------------------------------------------------------------------------------------- */

/* Closes the piece that begins at `start`: what the task gave, or its error.  False: it does not fit behind the others. */
static bool close_piece(ptq_task *task, size_t start)
{
    size_t text_size = task->code != PTQ_OK ? strlen(task->text) : 0;
    struct pti_piece piece = {.code = task->code, .tries = task->tries,
                              .size = task->code != PTQ_OK ? text_size : task->size - task->base};
    size_t end = start + pti_piece_size(piece.size);
    if (task->wanted > task->most || end > task->most || pti_task_make_room(task, end) != PTQ_OK)
        return false;
    unsigned char *at = task->bytes + PTI_RESULT_ROOM + start;
    if (task->code != PTQ_OK)
        memcpy(at + PTI_PIECE_HEAD, task->text, text_size);
    pti_piece_write_head(at, &piece);
    task->size = end;
    return true;
}

/* Three looks at the clock are more than a tiny task takes: where nothing depends on the time of an item, all of them have one. */
static void begin_together(struct pti_worker *worker, const struct pti_job *job)
{
    worker->counts_together = job->call.timeout_ms == 0 && job->call.retries == 0;
    worker->began_ns = pti_now_ns();
    worker->task.deadline_ns = PTI_DEADLINE_NEVER;
}

static uint64_t end_together(struct pti_worker *worker, uint64_t run_ns)
{
    bool together = worker->counts_together;
    worker->counts_together = false;
    return together ? (uint64_t)(pti_now_ns() - worker->began_ns) : run_ns;
}

/* Each item by itself, and its result or error behind those before it.  What does not fit any more is left to who made the chunk. */
static enum ptq_err run_chunk(struct pti_worker *worker, const struct pti_job *job)
{
    ptq_task *task = &worker->task;
    size_t offset = 0, start = 0;
    uint64_t run_ns = 0;
    struct pti_piece piece;
    uint32_t tries = task->tries;
    begin_together(worker, job);
    while (pti_piece_read(job->data, job->size, &offset, &piece)) {
        struct pti_job item = *job;
        item.data = piece.data;
        item.size = piece.size;
        item.failures = 0;
        task->tries = tries;
        task->base = start + PTI_PIECE_HEAD;
        clear_task(task);
        enum ptq_err err = run_until_good(worker, &item, NULL, NULL);
        if (err != PTQ_OK) {
            worker->counts_together = false;
            return err;
        }
        run_ns += task->run_ns;
        if (!close_piece(task, start))
            break;
        start = task->size;
    }
    task->base = 0;
    task->tries = tries;
    task->code = PTQ_OK;
    task->size = start;
    task->run_ns = end_together(worker, run_ns);
    return PTQ_OK;
}

enum ptq_err pti_run_item(struct pti_worker *worker, struct pti_job *job)
{
    ptq_task *task = &worker->task;
    (void)snprintf(task->name, sizeof task->name, "%.*s", (int)job->task_size, job->task);
    task->worker = worker;
    task->entry = NULL;
    task->tries = 1;
    task->base = 0;
    task->most = worker->pool->result_size;
    task->in_stage = false;
    task->has_origin = false;
    task->has_trace = false;
    clear_task(task);
    if (task->bytes == NULL && ptq_task_emit(task, NULL, 0) != PTQ_OK)
        return PTQ_ENOMEM;
    return find_doer(worker, task, job) ? run_until_good(worker, job, NULL, NULL) : PTQ_OK;
}

/* -- after a death -------------------------------------------------------------------------------------------- */

static void describe_death(const struct pti_obituary *note, char *buffer, size_t size)
{
    char how[160] = "";
    struct pti_exit exit = {.known = true, .signaled = note->death == PTI_DEATH_SIGNAL, .core = note->core != 0, .code = note->code};
    if (note->death != PTI_DEATH_SIGNAL && note->death != PTI_DEATH_EXIT)
        return;
    pti_exit_text(&exit, how, sizeof how);
    (void)snprintf(buffer, size, ", the last by %s after %llu ms", how, (unsigned long long)(note->ran_ns / (uint64_t)PTI_NS_PER_MS));
}

/* Its parent writes as soon as it knows; the dying worker wrote before. */
static bool find_note(struct pti_worker *worker, struct pti_obituary *ret_note)
{
    for (unsigned i = 0; i < NOTE_LOOKS; i++) {
        if (pti_roster_find(&worker->roster, worker->task.ticket, ret_note))
            return true;
        if (worker->roster.base == NULL)
            return false;
        (void)nanosleep(&(struct timespec){.tv_nsec = NOTE_NAP_NS}, NULL);
    }
    return false;
}

static void fail_dead(struct pti_worker *worker, uint32_t died)
{
    char how[200] = "";
    ptq_task *task = &worker->task;
    bool known = find_note(worker, &task->note);
    if (known)
        describe_death(&task->note, how, sizeof how);
    (void)pti_task_blame(task, PTI_SECTION_DEATH, PTQ_EDIED, "%u worker%s died while doing this job%s: it is not tried again", died,
                        died == 1 ? "" : "s", how);
    if (known && task->note.death == PTI_DEATH_SIGNAL)
        task->signal = (uint16_t)task->note.code;
    if (known)
        task->trace_text = task->note.trace;
}

enum overdue {
    NOT_OVERDUE,
    ONCE_MORE,
    ONCE_MORE_UNNOTED, /* must come to an end by its lives */
    TOO_LATE, /* the task has failed with the reason */
};

/* Its worker had been stopped, or was too ill to end itself, and was killed by its parent when the time of the job was over: a run
 * that failed, and either the last one or one more. */
static enum overdue was_overdue(struct pti_worker *worker, struct pti_job *job, const ptq_msg *msg)
{
    struct pti_obituary note;
    char text[PTI_RESULT_TEXT_MAX + 1];
    if (!msg->redelivered || !pti_roster_find(&worker->roster, msg->position, &note) || note.death != PTI_DEATH_OVERDUE ||
        !pti_roster_forget(&worker->roster, msg->position))
        return NOT_OVERDUE;
    if ((job->form & PTI_JOB_CHUNK) == 0 && pti_job_may_retry(&job->call, PTQ_TIMEDOUT, job->failures)) {
        job->failures++;
        if (!can_note(worker->pool))
            return ONCE_MORE_UNNOTED;
        pti_job_note_failures(msg->data, job->failures);
        if (job->call.delay_ms == 0) /* with a pause, failures account for this delivery */
            pti_job_set_lives(msg->data, ++job->call.lives);
        return ONCE_MORE;
    }
    pti_limit_text(text, sizeof text, job->call.timeout_ms);
    worker->task.tries--;
    (void)pti_task_blame(&worker->task, PTI_SECTION_LIMIT, PTQ_TIMEDOUT, "%s", text);
    return TOO_LATE;
}

/* Where failures cannot be noted it is left to the death of this worker, which costs a life. */
void pti_run_give_back(const struct pti_worker *worker, ptq_msg *msg, const struct pti_job *job)
{
    if (!can_note(worker->pool))
        return;
    int64_t pause_ms = pti_job_delay_ms(&job->call, job->failures);
    pti_job_note_failures(msg->data, job->failures + 1);
    if (pause_ms > 0)
        (void)ptq_nack(msg, (int)pause_ms);
    else
        (void)pti_queue_untake(msg); /* without a pause a failed run is no delivery: see above */
}

enum ptq_err pti_run_job(struct pti_worker *worker, const ptq_msg *msg, uint64_t *ret_run_ns, int *ret_pause_ms)
{
    ptq_task *task = &worker->task;
    struct pti_job job;
    *ret_run_ns = 0;
    start_task(worker, msg);
    if (task->bytes == NULL && ptq_task_emit(task, NULL, 0) != PTQ_OK)
        return PTQ_ENOMEM;
    if (msg->kind != PTI_KIND_DATA || !pti_job_read(msg->data, msg->size, &job)) {
        (void)pti_task_blame(task, PTI_SECTION_FIND, PTQ_EPROTO, "what stands at this ticket is not a job of this version of ptq");
        return PTQ_OK;
    }
    (void)snprintf(task->name, sizeof task->name, "%.*s", (int)job.task_size, job.task);
    task->origin = job.origin;
    task->has_origin = (job.form & PTI_JOB_STAGE) != 0;
    if (job.origin.input == PTI_ORIGIN_SELF)
        task->origin.input = msg->position;
    uint32_t given_back = job.call.delay_ms > 0 ? job.failures : 0; /* without a pause it was run again in hand */
    task->tries += job.failures - given_back;
    enum overdue overdue = was_overdue(worker, &job, msg); /* first: it is no death that the job has to answer for */
    if (overdue == TOO_LATE)
        return PTQ_OK;
    if (overdue == ONCE_MORE && job.call.delay_ms > 0)
        given_back = job.failures;
    if (msg->deliveries > (uint64_t)job.call.lives + given_back) {
        task->tries--;
        fail_dead(worker, msg->deliveries - 1 - given_back);
        return PTQ_OK;
    }
    if (!find_doer(worker, task, &job))
        return PTQ_OK;
    if ((job.form & PTI_JOB_STAGE) != 0) {
        task->in_stage = true;
        pti_task_begin_outputs(task);
    }
    pti_roster_task(worker->roster.row, task->name);
    enum ptq_err err = (job.form & PTI_JOB_CHUNK) != 0
                           ? run_chunk(worker, &job)
                           : run_until_good(worker, &job, can_note(worker->pool) ? msg->data : NULL, ret_pause_ms);
    *ret_run_ns = task->run_ns;
    return err;
}
