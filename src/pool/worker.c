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
#include "os/clock.h"
#include "os/resident.h"
#include "pool/pool.h"
#include "queue/header.h"

#define SHORT_WAIT_NS PTI_NS_PER_MS /* a wait is not looked at before */
#define DETAILS_MAX 2048u
#define PAUSE_NS (50 * PTI_NS_PER_MS) /* between attempts where memory is short, or the home away */

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
}

bool pti_worker_is_leaving(const struct pti_worker *worker)
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

/* What could not be placed: PTQ_OK: try again; PTQ_EINTR: the worker must leave; else it can never be placed. */
static enum ptq_err think_again(const struct pti_worker *worker, enum ptq_err err)
{
    if (!may_pass(err))
        return err;
    if (pti_worker_is_leaving(worker) && err != PTQ_EINTR)
        return PTQ_EINTR;
    if (err != PTQ_EINTR && err != PTQ_TIMEDOUT)
        nap();
    return PTQ_OK;
}

/* Places until it is in.  PTQ_OK also if somebody was faster; PTQ_EINTR: it may not be in, and the worker must leave. */
static enum ptq_err place(const struct pti_worker *worker, uint64_t ticket, const struct pti_put *put)
{
    for (;;) {
        enum ptq_err err = worker->pool->unordered ? pti_unordered_put(worker->pool, put)
                                                   : pti_queue_place(worker->pool->done, ticket, put, PTI_DEADLINE_NEVER);
        if (err == PTQ_OK || err == PTQ_ELATE)
            return PTQ_OK;
        err = think_again(worker, err);
        if (err != PTQ_OK)
            return err;
    }
}

/* As place. */
static enum ptq_err place_marker(const struct pti_worker *worker, const ptq_msg *msg)
{
    struct pti_put put = {.data = msg->data, .size = msg->size, .kind = PTI_KIND_MARKER};
    enum ptq_err err;
    if (!worker->pool->unordered)
        return place(worker, msg->position, &put);
    do
        err = pti_unordered_put_marker(worker->pool, msg, pti_now_ns() + PTI_POOL_SLICE);
    while (err != PTQ_OK && may_pass(err) && !pti_worker_is_leaving(worker));
    return err == PTQ_ELATE ? PTQ_OK : may_pass(err) ? PTQ_EINTR : err;
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

/* The name of the task and the trace, as much of them as fits behind the head.  Returns how many bytes. */
static size_t write_details(const struct pti_worker *worker, const ptq_task *task, size_t head, char *to, size_t most)
{
    size_t room = worker->pool->done->port->item_size - head, name = strlen(task->name) + 1;
    if (room < most)
        most = room;
    if (most < name + 1)
        return 0;
    memcpy(to, task->name, name);
    to[name] = 0;
    if (task->trace_text != NULL)
        (void)snprintf(to + name, most - name, "%s", task->trace_text);
    else if (task->frames.count != 0)
        pti_frames_text(&task->frames, to + name, most - name);
    return name + strlen(to + name) + 1;
}

static enum ptq_err place_error(const struct pti_worker *worker, const ptq_task *task, struct pti_result *result)
{
    unsigned char entry[PTI_RESULT_ROOM + PTI_RESULT_LEAST + DETAILS_MAX];
    uint8_t headers[PTQ_HEADERS_MAX];
    result->signal = task->signal;
    result->error_number = task->error_number;
    result->section = result->section == PTI_SECTION_BIND ? result->section : task->section;
    size_t head = pti_result_write_head(entry, result);
    size_t details = write_details(worker, task, head, (char *)entry + head, DETAILS_MAX);
    struct pti_put put = {.data = entry, .size = (uint32_t)(head + details), .kind = PTI_KIND_ERROR};
    add_trace(worker, task, headers, &put);
    return place(worker, task->ticket, &put);
}

/* A result that stands where it will stay; its head goes before it. */
static enum ptq_err place_loan(const struct pti_worker *worker, ptq_task *task, const struct pti_result *result)
{
    uint8_t headers[PTQ_HEADERS_MAX];
    struct pti_put put = {.size = (uint32_t)(task->loan_head + task->size)};
    (void)pti_result_write_head(ptq_msg_buffer(task->loan), result);
    add_trace(worker, task, headers, &put);
    for (;;) {
        enum ptq_err err = pti_queue_hand_in(task->loan, task->ticket, &put, pti_now_ns() + PTI_POOL_SLICE);
        if (err == PTQ_OK || err == PTQ_ELATE)
            task->loan = NULL;
        if (err == PTQ_OK || err == PTQ_ELATE)
            return PTQ_OK;
        err = think_again(worker, err);
        if (err != PTQ_OK)
            return err;
    }
}

static enum ptq_err place_result(const struct pti_worker *worker, ptq_task *task, uint64_t run_ns)
{
    struct pti_result result = {.code = task->code, .pid = worker->pid, .run_ns = run_ns, .tries = task->tries,
                                .ticket = pti_task_mark(task), .host = worker->pool->bus->node, .worker = worker->name, .text = task->text};
    uint8_t headers[PTQ_HEADERS_MAX];
    size_t head = pti_result_head_size(&result);
    size_t size = head + (task->code == PTQ_OK ? task->size : 0);
    if (task->entry != NULL && strcmp(task->entry->name, PTI_BIND_TASK) == 0)
        result.section = PTI_SECTION_BIND;
    if (task->code == PTQ_OK && task->loan != NULL)
        return place_loan(worker, task, &result);
    if (task->code == PTQ_OK) { /* the head ends where the data begins */
        unsigned char *start = task->bytes + PTI_RESULT_ROOM - head;
        (void)pti_result_write_head(start, &result);
        struct pti_put put = {.data = start, .size = (uint32_t)size};
        add_trace(worker, task, headers, &put);
        return place(worker, task->ticket, &put);
    }
    return place_error(worker, task, &result);
}

enum ptq_err pti_worker_place_error(const struct pti_worker *worker, const ptq_msg *msg, enum ptq_err code, const char *text,
                                    uint64_t run_ns)
{
    struct pti_result result = {.code = code, .pid = worker->pid, .run_ns = run_ns, .tries = msg->deliveries,
                                .ticket = pti_task_mark(&worker->task), .host = worker->pool->bus->node, .worker = worker->name,
                                .section = PTI_SECTION_LIMIT, .text = text};
    unsigned char entry[PTI_RESULT_ROOM + PTI_RESULT_LEAST];
    struct pti_put put = {.data = entry, .size = (uint32_t)pti_result_write_head(entry, &result), .kind = PTI_KIND_ERROR};
    return place(worker, msg->position, &put);
}

/* -- the loop ------------------------------------------------------------------------------------------------- */

/* Whether this worker leaves a trail was settled before its first job.  Law: where it does not, a job pays for a branch at each of its
 * edges and for nothing else; what records stays out of the loop.  PTI_WITHOUT_TRAILS: for tests/bench, which counts what that is. */
#ifdef PTI_WITHOUT_TRAILS
#define LEAVES_TRAIL(worker) ((void)(worker), false)
#else
#define LEAVES_TRAIL(worker) __builtin_expect((worker)->trail.base != NULL, 0)
#endif
#define OUT_OF_THE_LOOP __attribute__((cold, noinline))

#define LOW48(position) ((position) & ((UINT64_C(1) << 48) - 1))

/* Edge on, and the end of a wait for room, if it was one. */
OUT_OF_THE_LOOP static void record_begin(struct pti_worker *worker, uint64_t ticket, int64_t now)
{
    struct pti_row *row = worker->roster.row;
    if (row != NULL && (pti_load_relaxed(&row->phase) & 3) == PTQ_WORKER_WAITS_FOR_ROOM) /* our own words */
        pti_trail_add(&worker->trail, pti_load_relaxed(&row->since_ns), now, (uint64_t)PTI_SPAN_ROOM << 48, 0);
    worker->edge_ticket = ticket;
    worker->edge_ns = now;
    worker->task.run_ns = UINT64_MAX; /* not begun */
}

/* Edge off: the moment that the row has just noted, if there is one. */
OUT_OF_THE_LOOP static void record_end(struct pti_worker *worker)
{
    const struct pti_row *row = worker->roster.row;
    const ptq_task *task = &worker->task;
    int64_t now = row != NULL ? pti_load_relaxed(&row->since_ns) : pti_host_ns();
    uint64_t tries = task->tries < 0x1fff ? task->tries : 0x1fff, outputs = task->outputs < UINT16_MAX ? task->outputs : UINT16_MAX;
    if (task->run_ns == UINT64_MAX) /* a marker, or a job that is out already */
        return;
    uint64_t failed = task->code != PTQ_OK;
    uint64_t from = task->has_origin ? LOW48(task->origin.from) : 0;
    pti_trail_add(&worker->trail, worker->edge_ns, now, LOW48(worker->edge_ticket) | failed << 50 | tries << 51,
                  from | (task->in_stage ? outputs : 1 - failed) << 48);
}

/* A job begins: for its supervisor, and for whoever wants to know. */
static void show_begin(struct pti_worker *worker, const ptq_msg *msg)
{
    int64_t now = pti_host_ns();
    if (LEAVES_TRAIL(worker))
        record_begin(worker, msg->position, now);
    pti_roster_turn(worker->roster.row, PTQ_WORKER_WORKS, msg->position, msg->deliveries, now);
    if (worker->status == NULL)
        return;
    pti_store_relaxed(&worker->status->since_ns, pti_host_to_own_ns(now));
    pti_store_release(&worker->status->busy_with, msg->position + 1);
}

static void show_end(struct pti_worker *worker)
{
    struct pti_row *row = worker->roster.row;
    if (row != NULL)
        pti_roster_turn(row, PTQ_WORKER_WAITS_FOR_JOB, 0, 0, pti_host_ns());
    if (LEAVES_TRAIL(worker))
        record_end(worker);
    if (worker->status == NULL)
        return;
    pti_store_release(&worker->status->busy_with, 0);
    pti_store_relaxed(&worker->status->progress, pti_load_relaxed(&worker->status->progress) + 1); /* one writer */
}

/* A job's result is known, and is about to be handed in. */
static void show_result(const struct pti_worker *worker, int64_t now)
{
    struct pti_row *row = worker->roster.row;
    const ptq_task *task = &worker->task;
    if (row == NULL)
        return;
    pti_roster_turn(row, PTQ_WORKER_HANDS_IN, task->ticket, task->tries, now);
    if (task->code == PTQ_OK)
        return;
    pti_roster_error(row, task->code, task->text);
    pti_store_relaxed(&row->failed, pti_load_relaxed(&row->failed) + 1); /* one writer, as of all of the row */
}

/* Nothing is there to be done, or the window is full: looked at when it has been so for a moment, once a wait. */
static void show_wait(const struct pti_worker *worker)
{
    struct pti_row *row = worker->roster.row;
    struct ptq_queue_stats stats;
    if (row == NULL || ptq_queue_stats(worker->pool->jobs, &stats) != PTQ_OK || stats.ready == 0)
        return;
    pti_roster_turn(row, PTQ_WORKER_WAITS_FOR_ROOM, 0, 0, pti_load_relaxed(&row->since_ns)); /* since it began */
}

/* A job that has its result: it was cancelled, or it comes again because its worker died between placing and acking. */
static bool is_out(ptq_pool *pool, const ptq_msg *msg)
{
    uint64_t head;
    if (pool->unordered)
        return false; /* the getter will know */
    if (pti_queue_is_placed(pool->done, msg->position))
        return true;
    return msg->redelivered && pti_queue_head(pool->done, &head) == PTQ_OK &&
           pti_position_compare(msg->position, head) < 0;
}

/* PTQ_EAGAIN: it is to be run again, *ret_pause_ms from now. */
static enum ptq_err do_entry(struct pti_worker *worker, const ptq_msg *msg, int *ret_pause_ms)
{
    struct pti_row *row = worker->roster.row;
    enum ptq_err err;
    if (is_out(worker->pool, msg))
        return PTQ_OK;
    if (msg->kind == PTI_KIND_MARKER)
        return place_marker(worker, msg);
    uint64_t run_ns;
    if (worker->pool->bus->tells)
        pti_bus_tell("pool", worker->pool->name, "%s takes ticket %llu, %u bytes, try %u", worker->name,
                     (unsigned long long)msg->position, msg->size, msg->deliveries);
    err = pti_run_job(worker, msg, &run_ns, ret_pause_ms);
    if (err != PTQ_OK)
        return err;
    show_result(worker, pti_host_ns());
    if (worker->pool->bus->tells)
        pti_bus_tell("pool", worker->pool->name, "%s hands in ticket %llu of task '%s': %s, %zu bytes, after %.3f ms", worker->name,
                     (unsigned long long)msg->position, worker->task.name, ptq_err_name(worker->task.code),
                     worker->task.code == PTQ_OK ? worker->task.size : 0, (double)run_ns / 1e6);
    err = place_result(worker, &worker->task, run_ns);
    if (row != NULL && err == PTQ_OK)
        pti_store_relaxed(&row->done, pti_load_relaxed(&row->done) + 1); /* one writer */
    return err;
}

/* A home that is away is waited for, whichever way leads there. */
static bool is_to_be_asked_again(enum ptq_err err)
{
    if (err == PTQ_EUNREACHABLE || err == PTQ_EINDOUBT)
        nap();
    return err == PTQ_EINTR || err == PTQ_EUNREACHABLE || err == PTQ_EINDOUBT;
}

/* Law: a queue remembers an interrupt for threads that have a place in it, and the first call makes one.  So who may sleep has asked
 * before, and looked after that whether he is to leave: else he would sleep through what sent him away. */
static enum ptq_err ask_first(struct pti_worker *worker, ptq_msg **ret_msg)
{
    worker->has_asked = true;
    enum ptq_err err = pti_pool_take_job(worker->pool, PTI_DEADLINE_NOW, ret_msg);
    return err == PTQ_EMPTY ? PTQ_EINTR : err;
}

static enum ptq_err take(struct pti_worker *worker, ptq_msg **ret_msg)
{
    if (!worker->has_asked)
        return ask_first(worker, ret_msg);
    if (worker->roster.row == NULL)
        return pti_pool_take_job(worker->pool, PTI_DEADLINE_NEVER, ret_msg);
    enum ptq_err err = pti_pool_take_job(worker->pool, PTI_DEADLINE_NOW, ret_msg);
    if (err == PTQ_EMPTY)
        err = pti_pool_take_job(worker->pool, pti_now_ns() + SHORT_WAIT_NS, ret_msg);
    if (err != PTQ_TIMEDOUT)
        return err;
    show_wait(worker);
    return pti_pool_take_job(worker->pool, PTI_DEADLINE_NEVER, ret_msg);
}

/* Seen by others from now on; a worker that cannot be works unseen. */
static void show_up(struct pti_worker *worker)
{
    ptq_pool *pool = worker->pool;
    worker->roster = PTI_ROSTER_NONE;
    if (pool->jobs->port->remote)
        return;
    if (worker->unseen) {
        (void)pti_roster_open(&worker->roster, pool->bus, pool->jobs->name, pool->jobs->port->id);
        return;
    }
    uint64_t deaths = worker->status != NULL ? pti_load_relaxed(&worker->status->deaths) : 0; /* written before we began */
    (void)pti_roster_join(&worker->roster, pool->bus, pool->jobs->name, pool->jobs->port->id, worker->name,
                          (uint32_t)deaths);
}

/* A worker that cannot leave a trail works without. */
static void leave_trail(struct pti_worker *worker)
{
    const ptq_queue *jobs = worker->pool->jobs;
    worker->trail = PTI_TRAIL_NONE;
    if (worker->record != 0 && !jobs->port->remote)
        (void)pti_trail_join(&worker->trail, worker->pool->bus, jobs->name, jobs->port->id, worker->name, worker->record);
}

/* Has it done all that one process is to do? */
static bool is_used_up(struct pti_worker *worker)
{
    if (worker->most_jobs != 0 && ++worker->jobs >= worker->most_jobs)
        return true;
    return worker->most_bytes != 0 && pti_resident_bytes(0) > worker->most_bytes;
}

static enum ptq_err work(struct pti_worker *worker)
{
    for (;;) {
        ptq_msg *msg = NULL;
        if (pti_worker_is_leaving(worker))
            return PTQ_EINTR;
        enum ptq_err err = take(worker, &msg);
        if (is_to_be_asked_again(err))
            continue;
        if (err == PTQ_END) {
            pti_pool_note_end(worker->pool);
            return PTQ_OK;
        }
        if (err != PTQ_OK)
            return err;
        int pause_ms = 0;
        show_begin(worker, msg);
        worker->msg = msg;
        err = do_entry(worker, msg, &pause_ms);
        worker->msg = NULL;
        if (err == PTQ_EAGAIN) {
            (void)ptq_nack(msg, pause_ms);
            show_end(worker);
            continue;
        }
        if (err != PTQ_OK) {
            (void)pti_queue_untake(msg); /* it is not the job that this worker stumbles over */
            return err;
        }
        (void)ptq_ack(msg); /* PTQ_ELEASELOST: another one has it, whose result will be late */
        show_end(worker);
        if (is_used_up(worker)) {
            worker->used_up = true;
            return PTQ_OK;
        }
    }
}

enum ptq_err pti_worker_run(struct pti_worker *worker)
{
    worker->pid = getpid(); /* a system call, if each job made it */
    show_up(worker);
    leave_trail(worker);
    enum ptq_err err = work(worker);
    pti_trail_leave(&worker->trail);
    pti_roster_leave(&worker->roster);
    return err;
}

void pti_worker_fini(struct pti_worker *worker)
{
    pti_task_drop_loan(&worker->task);
    pti_task_clean_up(worker);
    free(worker->bound_data);
    worker->bound_data = NULL;
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

    struct pti_worker worker = {.pool = pool, .exec = options->exec, .count = 1, .unseen = options->no_status, .record = options->record};
    (void)snprintf(worker.name, sizeof worker.name, "%s", options->name != NULL ? options->name : "worker");
    (void)pti_fetch_add_seq(&pool->working, 1);
    err = pti_worker_run(&worker);
    (void)pti_fetch_add_seq(&pool->working, UINT32_MAX);
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
