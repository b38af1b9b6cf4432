/* pipeline.c -- PTQ_PIPELINE over a link: small puts are copied and go in batches. */
#include "remote/pipeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "os/futex.h"

#define LINK_DEADLINE (PTI_LINK_DEADLINE_MS * PTI_NS_PER_MS)
#define LOOK_AGAIN (PTI_NS_PER_S / 4)

struct batch {
    size_t count, size;
    struct pti_put puts[PTI_PIPELINE_PUTS];
    uint8_t bytes[PTI_PIPELINE_BYTES];
};

struct pti_pipeline {
    struct batch *filling, *going;
    struct pti_call *call;  /* of `going`; NULL: it is not under way */
    struct pti_call *ended; /* answered, and not freed yet: its answer was given on the link's thread */
    enum ptq_err failure;   /* to be told once */
    uint64_t landed;        /* batches */
    bool closing;
    struct batch batches[2];
};

/* ---- under conn->mutex */

static size_t most_puts(const struct pti_remote *remote)
{
    uint64_t half = remote->port.capacity / 2;

    return half < 1 ? 1 : half < PTI_PIPELINE_PUTS ? (size_t)half : PTI_PIPELINE_PUTS;
}

static void free_ended(struct pti_pipeline *pipeline)
{
    pti_call_free(pipeline->ended);
    pipeline->ended = NULL;
}

static void on_answer(struct pti_call *call, void *context);

/* What is filled goes, if nothing is under way; what came back goes first. */
static void launch(struct pti_remote *remote)
{
    struct pti_pipeline *pipeline = remote->pipeline;
    struct batch *empty = pipeline->going;

    if (pipeline->call != NULL || pipeline->closing || (pipeline->going->count == 0 && pipeline->filling->count == 0))
        return;
    if (pipeline->going->count == 0) {
        pipeline->going = pipeline->filling;
        pipeline->filling = empty;
    }
    struct pti_call *call = pti_call_for_put(remote, pipeline->going->puts, pipeline->going->count, PTI_DEADLINE_NEVER);
    enum ptq_err may = call != NULL ? pti_call_may_begin(call) : PTQ_ENOMEM;
    if (may != PTQ_OK) { /* tried again by the next put or flush; for good, if it never may */
        pti_call_free(call);
        if (may != PTQ_ENOMEM && may != PTQ_EAGAIN && may != PTQ_EINTR) {
            pipeline->failure = may;
            pipeline->going->count = pipeline->going->size = pipeline->filling->count = pipeline->filling->size = 0;
        }
        return;
    }
    call->answered = on_answer;
    call->context = remote;
    pipeline->call = call;
    pti_call_enlist(call);
}

static bool may_pass(enum ptq_err code)
{
    return code == PTQ_FULL || code == PTQ_TIMEDOUT || code == PTQ_ENOSPC || code == PTQ_ENOMEM || code == PTQ_EAGAIN;
}

/* Law: nothing goes past one that is not in.  What may pass stays, and goes again when it is asked for; else what stands behind it
 * is refused with it. */
static void on_answer(struct pti_call *call, void *context)
{
    struct pti_remote *remote = context;
    struct pti_pipeline *pipeline = remote->pipeline;

    free_ended(pipeline);
    pipeline->ended = call;
    pipeline->call = NULL;
    pipeline->landed++;
    if (call->code != PTQ_OK)
        pipeline->failure = call->code;
    if (call->code == PTQ_OK || !may_pass(call->code))
        pipeline->going->count = pipeline->going->size = 0;
    if (call->code != PTQ_OK && !may_pass(call->code))
        pipeline->filling->count = pipeline->filling->size = 0;
    if (call->code == PTQ_OK)
        launch(remote);
    pti_remote_wake(remote);
}

static enum ptq_err tell_failure(struct pti_pipeline *pipeline)
{
    enum ptq_err failure = pipeline->failure;

    pipeline->failure = PTQ_OK;
    return failure;
}

static bool has_room(const struct pti_remote *remote, const struct pti_put *put)
{
    const struct batch *filling = remote->pipeline->filling;

    return filling->count < most_puts(remote) && filling->size + put->size <= PTI_PIPELINE_BYTES;
}

static void add(struct batch *batch, const struct pti_put *put)
{
    uint8_t *at = batch->bytes + batch->size;

    if (put->size > 0)
        memcpy(at, put->data, put->size);
    batch->puts[batch->count] = *put;
    batch->puts[batch->count++].data = at;
    batch->size += put->size;
}

/* ---- waiting */

/* Until a batch has landed since `landed`, up to `until`.  PTQ_EINTR. */
static enum ptq_err wait_for_landing(struct pti_remote *remote, uint64_t landed, int64_t until)
{
    struct pti_conn *conn = remote->conn;
    struct pti_slot *slot = &remote->slots[0];
    uint32_t interrupts = pti_load_seq(&remote->interrupts_seen);
    enum ptq_err answer = PTQ_OK;

    pti_fetch_add_seq(&slot->sleepers, 1);
    for (;;) {
        uint32_t seen = pti_load_seq(&slot->word);
        pthread_mutex_lock(&conn->mutex);
        bool moved = remote->pipeline->landed != landed || remote->pipeline->failure != PTQ_OK;
        pthread_mutex_unlock(&conn->mutex);
        int64_t now = pti_now_ns();
        if (moved || now >= until)
            break;
        if (pti_load_seq(&remote->interrupts) != interrupts || pti_load_seq(&remote->closing)) {
            pti_store_seq(&remote->interrupts_seen, pti_load_seq(&remote->interrupts));
            answer = PTQ_EINTR;
            break;
        }
        if (pti_futex_wait(&slot->word, seen, until < now + LOOK_AGAIN ? until : now + LOOK_AGAIN) == EINTR) {
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

static bool is_written(struct pti_remote *remote)
{
    struct pti_conn *conn = remote->conn;

    pthread_mutex_lock(&conn->mutex);
    const struct pti_call *call = remote->pipeline->call;
    bool written = call == NULL || (call->pushed && !pti_outbox_holds(&conn->outbox, &call->out));
    pthread_mutex_unlock(&conn->mutex);
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

static void enter(struct pti_remote *remote)
{
    pthread_mutex_lock(&remote->conn->mutex);
    pti_fetch_add_seq(&remote->inside, 1);
    pthread_mutex_unlock(&remote->conn->mutex);
}

static enum ptq_err leave(struct pti_remote *remote, enum ptq_err answer)
{
    pti_fetch_add_seq(&remote->inside, -1u);
    pti_futex_wake(&remote->inside, INT32_MAX);
    return answer;
}

bool pti_pipeline_takes(const struct pti_remote *remote, const struct pti_put *put)
{
    return remote->pipeline != NULL && put->size <= PTI_PIPELINE_SMALL && put->headers == 0 && put->ttl == 0 &&
           put->due_us == 0 && !put->retry && put->kind == PTI_KIND_DATA;
}

static enum ptq_err try_put(struct pti_remote *remote, const struct pti_put *put, uint64_t *ret_landed)
{
    struct pti_pipeline *pipeline = remote->pipeline;

    pthread_mutex_lock(&remote->conn->mutex);
    enum ptq_err answer = tell_failure(pipeline);
    if (answer == PTQ_OK && pti_load_seq(&remote->closing))
        answer = PTQ_EINTR;
    if (answer == PTQ_OK) {
        launch(remote);
        answer = tell_failure(pipeline);
    }
    if (answer == PTQ_OK && !has_room(remote, put)) {
        *ret_landed = pipeline->landed;
        answer = PTQ_EMPTY;
    }
    if (answer == PTQ_OK) {
        add(pipeline->filling, put);
        launch(remote);
    }
    pthread_mutex_unlock(&remote->conn->mutex);
    pti_conn_kick(remote->conn);
    return answer;
}

enum ptq_err pti_pipeline_put(struct pti_remote *remote, const struct pti_put *put, int64_t deadline)
{
    uint64_t landed = 0;
    enum ptq_err answer;
    bool asked = false;

    enter(remote);
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

    pthread_mutex_lock(&remote->conn->mutex);
    enum ptq_err answer = tell_failure(pipeline);
    if (answer == PTQ_OK) {
        launch(remote);
        answer = tell_failure(pipeline);
    }
    if (answer == PTQ_OK && pipeline->going->count + pipeline->filling->count > 0)
        answer = PTQ_EMPTY;
    *ret_landed = pipeline->landed;
    pthread_mutex_unlock(&remote->conn->mutex);
    pti_conn_kick(remote->conn);
    return answer;
}

enum ptq_err pti_pipeline_flush(struct pti_remote *remote, int64_t deadline)
{
    uint64_t landed, before = UINT64_MAX;
    enum ptq_err answer;

    if (remote->pipeline == NULL)
        return PTQ_OK;
    enter(remote);
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

bool pti_pipeline_is_empty(struct pti_remote *remote)
{
    struct pti_pipeline *pipeline = remote->pipeline;

    if (pipeline == NULL)
        return true;
    pthread_mutex_lock(&remote->conn->mutex);
    bool empty = pipeline->going->count + pipeline->filling->count == 0;
    pthread_mutex_unlock(&remote->conn->mutex);
    return empty;
}

/* ---- life */

enum ptq_err pti_pipeline_new(struct pti_remote *remote)
{
    struct pti_pipeline *pipeline = calloc(1, sizeof *pipeline);

    if (pipeline == NULL)
        return PTQ_ENOMEM;
    pipeline->filling = &pipeline->batches[0];
    pipeline->going = &pipeline->batches[1];
    remote->pipeline = pipeline;
    return PTQ_OK;
}

/* Its call, if one is left, was answered as the handle closed. */
void pti_pipeline_free(struct pti_remote *remote)
{
    if (remote->pipeline == NULL)
        return;
    free_ended(remote->pipeline);
    free(remote->pipeline);
    remote->pipeline = NULL;
}
