/* pipeline.c -- PTQ_PIPELINE over a link: small puts are written as they go over the wire, in batches. */
#include "remote/pipeline_own.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "os/futex.h"

#define LINK_DEADLINE (PTI_LINK_DEADLINE_MS * PTI_NS_PER_MS)
#define LOOK_AGAIN (PTI_NS_PER_S / 4)

/* ---- batches, locked */

static bool is_empty(struct pti_pipeline *pipeline)
{
    const struct batch *batch = filling(pipeline);

    return pipeline->used == 0 && batch->count == 0;
}

static void empty(struct batch *batch)
{
    batch->count = batch->size = 0;
    batch->in = false;
}

static void pop_first(struct pti_pipeline *pipeline)
{
    struct batch *batch = batch_at(pipeline, 0);

    pipeline->under_way -= batch->count;
    pipeline->launched--;
    pipeline->used--;
    empty(batch);
    pipeline->first = (pipeline->first + 1) % PTI_PIPELINE_BATCHES;
}

static void drop_all(struct pti_pipeline *pipeline)
{
    for (unsigned i = 0; i < PTI_PIPELINE_BATCHES; i++)
        empty(&pipeline->batches[i]);
    pipeline->launched = pipeline->used = 0;
    pipeline->under_way = 0;
    pipeline->full = false;
}

/* What is full waits for its turn, and the next is filled. */
static void hold(struct pti_pipeline *pipeline)
{
    const struct batch *batch = filling(pipeline);

    if (!pipeline->full || batch == NULL || batch->count == 0 || pipeline->used == PTI_PIPELINE_BATCHES - 1)
        return;
    pipeline->used++;
    pipeline->full = false;
}

/* ---- under way, under conn->mutex and locked */

static enum ptq_err tell_failure(struct pti_pipeline *pipeline)
{
    enum ptq_err failure = pipeline->failure;

    pipeline->failure = PTQ_OK;
    return failure;
}

/* Of calls that were stopped and lie behind a link that broke no answer will come. */
static void end_stopped(struct pti_pipeline *pipeline)
{
    for (unsigned i = 0; i < pipeline->launched; i++) {
        struct batch *batch = batch_at(pipeline, i);
        struct pti_call *call = batch->call;
        if (call == NULL || !call->stopped || call->pushed)
            continue;
        batch->call = NULL;
        call->answered = NULL;
        call->abandoned = true; /* freed by this: */
        pti_call_finish(call, PTQ_EINTR, 0);
    }
}

static bool any_under_way(struct pti_pipeline *pipeline)
{
    for (unsigned i = 0; i < pipeline->launched; i++) {
        if (batch_at(pipeline, i)->call != NULL)
            return true;
    }
    return false;
}

/* All have been answered since one was not done: they go again, or are dropped. */
static void settle(struct pti_pipeline *pipeline)
{
    if (!pipeline->broken || any_under_way(pipeline))
        return;
    while (pipeline->launched > 0 && batch_at(pipeline, 0)->in)
        pop_first(pipeline);
    if (pipeline->dropped)
        drop_all(pipeline);
    pipeline->launched = 0;
    pipeline->under_way = 0;
    pipeline->broken = pipeline->dropped = false;
    pipeline->anew = true;
}

static void on_answer(struct pti_call *call, void *context);

/* A home that does not know chains gets one at a time; so does a queue that is small. */
static bool may_overlap(const struct pti_remote *remote, const struct batch *next)
{
    const struct pti_pipeline *pipeline = remote->pipeline;

    return remote->streamed && remote->conn->outbox.version >= 2 &&
           pipeline->under_way + next->count <= remote->port.capacity;
}

static struct pti_call *call_for(struct pti_remote *remote, struct batch *batch)
{
    struct pti_call *call = pti_call_for_put(remote, NULL, 0, PTI_DEADLINE_NEVER);

    if (call == NULL)
        return NULL;
    pti_write_put_head(call->head, batch->count, 0);
    pti_call_set_packed(call, batch->bytes, batch->size, remote->pipeline->anew);
    call->answered = on_answer;
    call->context = remote;
    return call;
}

static enum ptq_err launch_one(struct pti_remote *remote, struct batch *batch)
{
    struct pti_pipeline *pipeline = remote->pipeline;
    struct pti_call *call = call_for(remote, batch);
    enum ptq_err may = call != NULL ? pti_call_may_begin(call) : PTQ_ENOMEM;

    if (may != PTQ_OK) {
        pti_call_free(call);
        return may;
    }
    pti_call_free(batch->ended);
    batch->ended = NULL;
    batch->call = call;
    batch->in = false;
    pipeline->anew = false;
    pipeline->launched++;
    pipeline->under_way += batch->count;
    pti_call_enlist(call);
    return PTQ_OK;
}

/* The next that goes; NULL: there is none, or it is to wait. */
static struct batch *next_to_go(struct pti_remote *remote, bool all)
{
    struct pti_pipeline *pipeline = remote->pipeline;
    struct batch *batch = pipeline->launched < PTI_PIPELINE_BATCHES ? batch_at(pipeline, pipeline->launched) : NULL;
    bool held = pipeline->launched < pipeline->used;

    if (batch == NULL || batch->count == 0)
        return NULL;
    if (pipeline->launched == 0)
        return batch;
    return (held || all || pipeline->full) && may_overlap(remote, batch) ? batch : NULL;
}

/* What may go goes; `all`: also what is not full yet. */
static void launch(struct pti_remote *remote, bool all)
{
    struct pti_pipeline *pipeline = remote->pipeline;
    struct batch *batch;

    end_stopped(pipeline);
    settle(pipeline);
    while (!pipeline->broken && (batch = next_to_go(remote, all)) != NULL) {
        bool held = pipeline->launched < pipeline->used;
        enum ptq_err may = launch_one(remote, batch);
        if (may == PTQ_ENOMEM || may == PTQ_EAGAIN || may == PTQ_EINTR)
            return; /* tried again by the next put or flush */
        if (may != PTQ_OK) { /* it never may */
            pipeline->failure = may;
            if (pipeline->launched == 0)
                drop_all(pipeline);
            return;
        }
        if (!held) {
            pipeline->used++;
            pipeline->full = false;
        }
    }
}

static bool may_pass(enum ptq_err code)
{
    return code == PTQ_FULL || code == PTQ_TIMEDOUT || code == PTQ_ENOSPC || code == PTQ_ENOMEM || code == PTQ_EAGAIN;
}

/* Law: what may pass stays, and goes again when it is asked for; else what stands behind it is refused with it. */
static void note_undone(struct pti_pipeline *pipeline, const struct pti_call *call)
{
    if (!pipeline->broken && !call->behind) {
        pipeline->failure = call->code;
        pipeline->dropped = !may_pass(call->code);
    }
    pipeline->broken = true;
    for (unsigned i = 0; i < pipeline->launched; i++) {
        struct pti_call *other = batch_at(pipeline, i)->call;
        if (other != NULL && other->number > call->number)
            other->stopped = true;
    }
}

static struct batch *batch_of(struct pti_pipeline *pipeline, const struct pti_call *call)
{
    unsigned i = 0;

    while (batch_at(pipeline, i)->call != call)
        i++;
    return batch_at(pipeline, i);
}

static void on_answer(struct pti_call *call, void *context)
{
    struct pti_remote *remote = context;
    struct pti_pipeline *pipeline = remote->pipeline;

    lock(pipeline);
    struct batch *batch = batch_of(pipeline, call);
    bool failed = call->code != PTQ_OK && !call->behind;
    batch->ended = call;
    batch->call = NULL;
    batch->in = call->code == PTQ_OK;
    pipeline->landed++;
    if (!batch->in)
        note_undone(pipeline, call);
    while (pipeline->launched > 0 && batch_at(pipeline, 0)->in)
        pop_first(pipeline);
    if (!failed && pipeline->failure == PTQ_OK)
        launch(remote, false);
    unlock(pipeline);
    pti_remote_wake_first(remote);
}

/* ---- waiting */

static bool has_moved(struct pti_pipeline *pipeline, uint64_t landed)
{
    lock(pipeline);
    bool moved = pipeline->landed != landed || pipeline->failure != PTQ_OK;
    unlock(pipeline);
    return moved;
}

/* Until a batch has landed since `landed`, up to `until`, or a moment: then it is worth another look.  PTQ_EINTR. */
static enum ptq_err wait_for_landing(struct pti_remote *remote, uint64_t landed, int64_t until)
{
    struct pti_slot *slot = &remote->slots[0];
    uint32_t interrupts = pti_load_seq(&remote->interrupts_seen);
    enum ptq_err answer = PTQ_OK;
    int64_t most = pti_now_ns() + LOOK_AGAIN;

    until = until < most ? until : most;
    pti_fetch_add_seq(&slot->sleepers, 1);
    for (;;) {
        uint32_t seen = pti_load_seq(&slot->word);
        if (has_moved(remote->pipeline, landed) || pti_now_ns() >= until)
            break;
        if (pti_load_seq(&remote->interrupts) != interrupts || pti_load_seq(&remote->closing)) {
            pti_store_seq(&remote->interrupts_seen, pti_load_seq(&remote->interrupts));
            answer = PTQ_EINTR;
            break;
        }
        if (pti_futex_wait(&slot->word, seen, until) == EINTR) {
            answer = PTQ_EINTR;
            break;
        }
    }
    pti_fetch_add_seq(&slot->sleepers, -1u);
    return answer;
}

static enum ptq_err why_late(struct pti_remote *remote, int64_t deadline)
{
    struct pti_conn *conn = remote->conn;

    pthread_mutex_lock(&conn->mutex);
    bool away = conn->state != PTI_CONN_UP && pti_now_ns() >= conn->down_since + LINK_DEADLINE;
    enum ptq_err refusal = pti_conn_refusal(conn);
    pthread_mutex_unlock(&conn->mutex);
    if (away)
        return refusal;
    return deadline == PTI_DEADLINE_NOW ? PTQ_FULL : PTQ_TIMEDOUT;
}

static void lock_both(struct pti_remote *remote)
{
    pthread_mutex_lock(&remote->conn->mutex);
    lock(remote->pipeline);
}

static void unlock_both(struct pti_remote *remote)
{
    unlock(remote->pipeline);
    pthread_mutex_unlock(&remote->conn->mutex);
}

static bool is_written(struct pti_remote *remote)
{
    struct pti_conn *conn = remote->conn;
    bool written = true;

    lock_both(remote);
    for (unsigned i = 0; i < remote->pipeline->launched && written; i++) {
        const struct pti_call *call = batch_at(remote->pipeline, i)->call;
        written = call == NULL || (call->pushed && !pti_outbox_holds(&conn->outbox, &call->out));
    }
    unlock_both(remote);
    return written;
}

/* With PTQ_NOWAIT: what is under way has met the queue once this question, which goes behind it, is answered. */
static void ask_behind(struct pti_remote *remote, uint64_t landed)
{
    int64_t until = pti_now_ns() + LINK_DEADLINE;
    uint64_t position;

    while (!is_written(remote) && pti_now_ns() < until) {
        if (wait_for_landing(remote, landed, pti_now_ns() + PTI_NS_PER_MS) != PTQ_OK)
            return;
    }
    (void)!remote->port.ops->head(&remote->port, &position);
}

/* ---- the verbs */

static enum ptq_err leave(struct pti_remote *remote, enum ptq_err answer)
{
    pti_remote_leave(remote);
    return answer;
}

bool pti_pipeline_takes(const struct pti_remote *remote, const struct pti_put *put)
{
    return remote->pipeline != NULL && put->size <= PTI_PIPELINE_SMALL && put->headers == 0 && put->ttl == 0 &&
           put->due_us == 0 && !put->retry && put->kind == PTI_KIND_DATA;
}

/* Meets nobody but the answers.  *ret_go: something may be worth sending.  PTQ_EMPTY: there is no room. */
static enum ptq_err fill(struct pti_remote *remote, const struct pti_put *put, bool *ret_go)
{
    struct pti_pipeline *pipeline = remote->pipeline;

    lock(pipeline);
    enum ptq_err answer = tell_failure(pipeline);
    if (answer == PTQ_OK && pti_load_seq(&remote->closing))
        answer = PTQ_EINTR;
    *ret_go = pipeline->launched == 0 || pipeline->broken;
    if (answer == PTQ_OK && !add(pipeline, put)) {
        pipeline->full = true;
        *ret_go = true;
        answer = PTQ_EMPTY;
    }
    unlock(pipeline);
    return answer;
}

static enum ptq_err try_put(struct pti_remote *remote, const struct pti_put *put, uint64_t *ret_landed)
{
    struct pti_pipeline *pipeline = remote->pipeline;
    bool go;
    enum ptq_err answer = fill(remote, put, &go);

    if (!go || (answer != PTQ_OK && answer != PTQ_EMPTY))
        return answer;
    lock_both(remote);
    launch(remote, false);
    hold(pipeline);
    if (answer == PTQ_EMPTY)
        answer = pipeline->failure != PTQ_OK ? tell_failure(pipeline) : add(pipeline, put) ? PTQ_OK : PTQ_EMPTY;
    *ret_landed = pipeline->landed;
    unlock_both(remote);
    pti_conn_kick(remote->conn);
    return answer;
}

enum ptq_err pti_pipeline_put(struct pti_remote *remote, const struct pti_put *put, int64_t deadline)
{
    uint64_t landed = 0;
    enum ptq_err answer;
    bool asked = false;

    pti_remote_enter(remote);
    while ((answer = try_put(remote, put, &landed)) == PTQ_EMPTY) {
        if (deadline == PTI_DEADLINE_NOW ? asked : pti_now_ns() >= deadline)
            return leave(remote, why_late(remote, deadline));
        if (deadline == PTI_DEADLINE_NOW)
            ask_behind(remote, landed);
        else
            answer = wait_for_landing(remote, landed, deadline);
        asked = true;
        if (answer == PTQ_EINTR)
            break;
    }
    return leave(remote, answer);
}

/* PTQ_EMPTY: something is not in yet. */
static enum ptq_err look(struct pti_remote *remote, uint64_t *ret_landed)
{
    struct pti_pipeline *pipeline = remote->pipeline;

    lock_both(remote);
    enum ptq_err answer = tell_failure(pipeline);
    if (answer == PTQ_OK) {
        launch(remote, true);
        answer = tell_failure(pipeline);
    }
    if (answer == PTQ_OK && !is_empty(pipeline))
        answer = PTQ_EMPTY;
    *ret_landed = pipeline->landed;
    unlock_both(remote);
    pti_conn_kick(remote->conn);
    return answer;
}

enum ptq_err pti_pipeline_flush(struct pti_remote *remote, int64_t deadline)
{
    uint64_t landed, before = UINT64_MAX;
    enum ptq_err answer;

    if (remote->pipeline == NULL)
        return PTQ_OK;
    pti_remote_enter(remote);
    while ((answer = look(remote, &landed)) == PTQ_EMPTY) {
        bool late = deadline == PTI_DEADLINE_NOW ? landed == before : pti_now_ns() >= deadline;
        if (late) {
            answer = why_late(remote, deadline);
            break;
        }
        before = landed;
        if (deadline == PTI_DEADLINE_NOW)
            ask_behind(remote, landed);
        else
            answer = wait_for_landing(remote, landed, deadline);
        if (answer == PTQ_EINTR)
            break;
    }
    return leave(remote, answer);
}

void pti_pipeline_shut(struct pti_remote *remote)
{
    struct pti_pipeline *pipeline = remote->pipeline;

    if (pipeline == NULL)
        return;
    lock(pipeline);
    pipeline->shut = true;
    unlock(pipeline);
}

bool pti_pipeline_is_empty(struct pti_remote *remote)
{
    struct pti_pipeline *pipeline = remote->pipeline;

    if (pipeline == NULL)
        return true;
    lock(pipeline);
    bool nothing = is_empty(pipeline);
    unlock(pipeline);
    return nothing;
}

/* ---- life */

/* A quarter of a small queue, so that two batches of it are under way. */
static uint32_t most_puts(const struct pti_remote *remote)
{
    uint64_t quarter = remote->port.capacity / 4;

    return quarter < 1 ? 1 : quarter < UINT32_MAX ? (uint32_t)quarter : UINT32_MAX;
}

enum ptq_err pti_pipeline_new(struct pti_remote *remote)
{
    struct pti_pipeline *pipeline = calloc(1, sizeof *pipeline);

    if (pipeline == NULL)
        return PTQ_ENOMEM;
    pipeline->most = most_puts(remote);
    remote->pipeline = pipeline;
    return PTQ_OK;
}

/* Its calls, if some are left, were answered as the handle closed. */
void pti_pipeline_free(struct pti_remote *remote)
{
    struct pti_pipeline *pipeline = remote->pipeline;

    if (pipeline == NULL)
        return;
    for (unsigned i = 0; i < PTI_PIPELINE_BATCHES; i++)
        pti_call_free(pipeline->batches[i].ended);
    free(pipeline);
    remote->pipeline = NULL;
}
