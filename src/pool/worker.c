/* worker.c -- one job after another: lease, run, place, ack.
 *
 * Law: a result is placed before its job is acked.  Dying in between costs a second run whose result comes too late
 * (PTQ_ELATE), never a ticket.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"
#include "bus/bus.h"
#include "pool/pool.h"
#include "queue/header.h"

#define PAUSE_NS (50 * PTI_NS_PER_MS) /* between attempts where memory is short, or the home away */

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
}

static bool is_leaving(const struct pti_worker *worker)
{
    return pti_load_acquire(&worker->pool->leaving) != 0;
}

/* -- placing -------------------------------------------------------------------------------------------------- */

/* What may pass by itself: a full file system, a lost link. */
static bool may_pass(enum ptq_err err)
{
    return err == PTQ_ENOSPC || err == PTQ_ENOMEM || err == PTQ_EAGAIN || err == PTQ_EINTR || err == PTQ_FULL ||
           err == PTQ_TIMEDOUT || err == PTQ_EUNREACHABLE || err == PTQ_EINDOUBT;
}

/* Places until it is in.  PTQ_OK also if somebody was faster; PTQ_EINTR: it may not be in, and the worker must leave. */
static enum ptq_err place(const struct pti_worker *worker, uint64_t ticket, const struct pti_put *put)
{
    for (;;) {
        enum ptq_err err = pti_queue_place(worker->pool->done, ticket, put, PTI_DEADLINE_NEVER);
        if (err == PTQ_OK || err == PTQ_ELATE)
            return PTQ_OK;
        if (!may_pass(err))
            return err;
        if (is_leaving(worker) && err != PTQ_EINTR)
            return PTQ_EINTR;
        if (err != PTQ_EINTR)
            nap();
    }
}

/* The job's trace goes on with its result. */
static void add_trace(const struct pti_worker *worker, const ptq_task *task, uint8_t *buffer, struct pti_put *put)
{
    struct ptq_put_options options = {.trace = &task->trace};
    uint8_t units = 0;
    if (!task->has_trace || pti_headers_pack(&options, buffer, &units) != PTQ_OK ||
        !pti_headers_fit(worker->pool->done->port, put->size, units))
        return;
    put->headers = units;
    put->header_bytes = buffer;
}

static enum ptq_err place_result(const struct pti_worker *worker, const ptq_task *task, uint64_t run_ns)
{
    struct pti_result result = {.code = task->code, .pid = getpid(), .run_ns = run_ns, .tries = task->tries,
                                .host = worker->pool->bus->node, .worker = worker->name, .text = task->text};
    uint8_t headers[PTQ_HEADERS_MAX];
    size_t head = pti_result_head_size(&result);
    size_t size = head + (task->code == PTQ_OK ? task->size : 0);
    if (task->code == PTQ_OK) { /* the head ends where the data begins */
        unsigned char *start = task->bytes + PTI_RESULT_ROOM - head;
        (void)pti_result_write_head(start, &result);
        struct pti_put put = {.data = start, .size = (uint32_t)size};
        add_trace(worker, task, headers, &put);
        return place(worker, task->ticket, &put);
    }
    unsigned char entry[PTI_RESULT_ROOM + PTI_RESULT_LEAST];
    (void)pti_result_write_head(entry, &result);
    struct pti_put put = {.data = entry, .size = (uint32_t)size, .kind = PTI_KIND_ERROR};
    add_trace(worker, task, headers, &put);
    return place(worker, task->ticket, &put);
}

/* -- running -------------------------------------------------------------------------------------------------- */

static void run_task(const struct pti_worker *worker, ptq_task *task, const struct pti_job *job)
{
    enum ptq_err err = task->entry != NULL ? task->entry->fn(task, job->data, job->size)
                                           : pti_exec_run(worker->exec, task, job->data, job->size);
    if (err != PTQ_OK && task->code == PTQ_OK)
        (void)ptq_task_fail(task, err, "task '%s' answered %s: %s", task->name, ptq_err_name(err), ptq_strerror(err));
    if (err == PTQ_OK && task->code == PTQ_OK && task->wanted > task->most)
        (void)ptq_task_fail(task, PTQ_EMSGSIZE,
                            "the result of %llu bytes does not fit: result_size is %u - create the pool with a larger one",
                            (unsigned long long)task->wanted, task->most);
}

/* Finds out who does the job; false: nobody, and the task has failed with the reason. */
static bool find_doer(const struct pti_worker *worker, ptq_task *task, const struct pti_job *job)
{
    if (job->task_size == 0 && worker->exec != NULL)
        return true;
    task->entry = pti_task_find(job->task, job->task_size);
    if (task->entry != NULL)
        return true;
    if (job->task_size == 0)
        (void)ptq_task_fail(task, PTQ_ENOTASK, "worker %s has no default task", worker->name);
    else
        (void)ptq_task_fail(task, PTQ_ENOTASK, "worker %s knows no task '%s' - register it in the worker's program",
                            worker->name, task->name);
    return false;
}

static void start_task(struct pti_worker *worker, const ptq_msg *msg)
{
    ptq_task *task = &worker->task;
    task->worker = worker;
    task->entry = NULL;
    task->name[0] = 0;
    task->ticket = msg->position;
    task->tries = msg->deliveries;
    task->most = worker->pool->result_size;
    task->size = 0;
    task->wanted = 0;
    task->code = PTQ_OK;
    task->text[0] = 0;
    task->has_trace = msg->headers != 0 && ptq_msg_trace(msg, &task->trace);
}

/* Runs the job, or finds out why not: what it gave, or its error, is in worker->task. */
static uint64_t run_job(struct pti_worker *worker, const ptq_msg *msg)
{
    ptq_task *task = &worker->task;
    struct pti_job job;
    if (msg->kind != PTI_KIND_DATA || !pti_job_read(msg->data, msg->size, &job)) {
        (void)ptq_task_fail(task, PTQ_EPROTO, "what stands at this ticket is not a job of this version of ptq");
        return 0;
    }
    (void)snprintf(task->name, sizeof task->name, "%.*s", (int)job.task_size, job.task);
    if (msg->deliveries > job.lives) {
        task->tries = msg->deliveries - 1;
        (void)ptq_task_fail(task, PTQ_EDIED, "%u worker%s died while doing this job: it is not tried again", task->tries,
                            task->tries == 1 ? "" : "s");
        return 0;
    }
    if (!find_doer(worker, task, &job))
        return 0;
    int64_t start = pti_now_ns();
    run_task(worker, task, &job);
    return (uint64_t)(pti_now_ns() - start);
}

/* -- the loop ------------------------------------------------------------------------------------------------- */

static void show(const struct pti_worker *worker, const ptq_msg *msg)
{
    if (worker->status == NULL)
        return;
    if (msg != NULL) {
        pti_store_relaxed(&worker->status->since_ns, pti_now_ns());
        pti_store_release(&worker->status->busy_with, msg->position + 1);
        return;
    }
    pti_store_release(&worker->status->busy_with, 0);
    pti_store_relaxed(&worker->status->progress, pti_load_relaxed(&worker->status->progress) + 1); /* one writer */
}

/* A redelivered job whose result was taken already: its worker died between placing and acking. */
static bool is_out(ptq_pool *pool, const ptq_msg *msg)
{
    uint64_t head;
    return msg->redelivered && pti_queue_head(pool->done, &head) == PTQ_OK &&
           pti_position_compare(msg->position, head) < 0;
}

static enum ptq_err do_entry(struct pti_worker *worker, const ptq_msg *msg)
{
    if (is_out(worker->pool, msg))
        return PTQ_OK;
    if (msg->kind == PTI_KIND_MARKER)
        return place(worker, msg->position,
                     &(struct pti_put){.data = msg->data, .size = msg->size, .kind = PTI_KIND_MARKER});
    start_task(worker, msg);
    if (worker->task.bytes == NULL && ptq_task_emit(&worker->task, NULL, 0) != PTQ_OK)
        return PTQ_ENOMEM;
    uint64_t run_ns = run_job(worker, msg);
    return place_result(worker, &worker->task, run_ns);
}

/* A home that is away is waited for, whichever way leads there. */
static bool is_to_be_asked_again(enum ptq_err err)
{
    if (err == PTQ_EUNREACHABLE || err == PTQ_EINDOUBT)
        nap();
    return err == PTQ_EINTR || err == PTQ_EUNREACHABLE || err == PTQ_EINDOUBT;
}

enum ptq_err pti_worker_run(struct pti_worker *worker)
{
    for (;;) {
        ptq_msg *msg = NULL;
        if (is_leaving(worker))
            return PTQ_EINTR;
        enum ptq_err err = pti_pool_take_job(worker->pool, PTI_DEADLINE_NEVER, &msg);
        if (is_to_be_asked_again(err))
            continue;
        if (err == PTQ_END) {
            pti_pool_note_end(worker->pool);
            return PTQ_OK;
        }
        if (err != PTQ_OK)
            return err;
        show(worker, msg);
        err = do_entry(worker, msg);
        if (err != PTQ_OK) {
            (void)ptq_nack(msg, 0);
            return err;
        }
        (void)ptq_ack(msg); /* PTQ_ELEASELOST: another one has it, whose result will be late */
        show(worker, NULL);
    }
}

void pti_worker_fini(struct pti_worker *worker)
{
    free(worker->task.bytes);
    worker->task.bytes = NULL;
}

/* -- in the calling thread ------------------------------------------------------------------------------------ */

enum ptq_err ptq_pool_work(ptq_pool *pool, const struct ptq_work_options *options)
{
    static const struct ptq_work_options none;
    enum ptq_err err = pti_pool_check(pool);
    if (err != PTQ_OK)
        return err;
    if (options == NULL)
        options = &none;
    if (options->exec == NULL && !pti_task_any())
        return pti_error(options->error, PTQ_ENOTASK,
                         "pool '%s': this program has no task to work with - call ptq_task_register first, or give exec",
                         pool->name);

    struct pti_worker worker = {.pool = pool, .exec = options->exec, .count = 1};
    (void)snprintf(worker.name, sizeof worker.name, "%s", options->name != NULL ? options->name : "worker");
    err = pti_worker_run(&worker);
    pti_worker_fini(&worker);
    if (err != PTQ_OK && err != PTQ_EINTR) {
        char text[400];
        return pti_error(options->error, pti_pool_answer(pool, err), "%s",
                         ptq_pool_explain(pool, err, text, sizeof text));
    }
    return err;
}

void ptq_pool_leave(ptq_pool *pool)
{
    pti_store_seq(&pool->leaving, 1);
    ptq_interrupt(pool->jobs);
}
