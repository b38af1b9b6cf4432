/* pipe.c -- PTQ_PIPELINE through the bridge: small puts are copied and asked for in batches.
 *
 *      put -> filling ... going -> the bridge -> its home       one batch is asked for at a time
 *
 * A batch is as large as what was put while the one before it was under way.  No thread waits for answers: a put looks for one, if
 * nobody has for a moment, and asks for the next batch; what stands there when nobody calls any more goes with the next call: a flush, a get, the close.
 *
 * Laws.
 * 1. Nothing goes past a batch that is not in.
 * 2. A batch keeps its key from its first asking until it is decided, whatever bridge is asked: so it is done once.
 * 3. One thread at a time asks for batches (`busy`); puts that find room do not wait for it.
 * 4. Beside a put that has room nobody waits at home (the batch is asked for once, PTQ_NOWAIT); who has none, and who flushes, waits there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "os/futex.h"
#include "remote/via/verbs.h"

#define BATCH_BYTES (128u << 10)
#define BATCH_PUTS 2048u
#define SMALL 8192u /* larger ones go by themselves, after what was gathered */
#define LOOK_NS 10000 /* a look for the answer is dearer than a put */
#define PATIENCE_NS (10 * PTI_NS_PER_S) /* a bridge that lives has answered by then */

struct batch {
    size_t count, size;
    struct pti_put puts[BATCH_PUTS];
    uint8_t bytes[BATCH_BYTES];
};

struct pti_via_pipe {
    struct batch *filling, *going; /* under the mutex; `going` is read without it by who is busy */
    struct pti_via_call call;      /* of `going`: his who is busy */
    bool named;                    /* it has a key */
    bool under_way;                /* it is asked, and nobody took its answer */
    bool busy;                     /* under the mutex */
    bool under_way_seen;           /* under the mutex: of under_way, as he left it who was busy last */
    int64_t look_at;               /* under the mutex: before this nobody need look for the answer */
    enum ptq_err failure;          /* under the mutex: to be told once */
    struct batch batches[2];
};

/* ---- batches, with the mutex held ---- */

static size_t most_puts(const struct pti_via *via)
{
    uint64_t half = via->port.capacity / 2;

    return half < 1 ? 1 : half < BATCH_PUTS ? (size_t)half : BATCH_PUTS;
}

static bool has_room(const struct pti_via *via, size_t size)
{
    const struct batch *filling = via->pipe->filling;

    return filling->count < most_puts(via) && filling->size + size <= BATCH_BYTES;
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

static void empty(struct batch *batch)
{
    batch->count = batch->size = 0;
}

static enum ptq_err tell_failure(struct pti_via_pipe *pipe)
{
    enum ptq_err failure = pipe->failure;

    pipe->failure = PTQ_OK;
    return failure;
}

/* ---- one batch, by who is busy ---- */

/* What is filled goes, if nothing else does.  True: there is a batch to be asked for, or under way. */
static bool take_next(struct pti_via *via)
{
    struct pti_via_pipe *pipe = via->pipe;
    struct batch *done = pipe->going;

    pthread_mutex_lock(&via->mutex);
    if (done->count == 0 && pipe->filling->count > 0) {
        pipe->going = pipe->filling;
        pipe->filling = done;
    }
    bool any = pipe->going->count > 0;
    pthread_mutex_unlock(&via->mutex);
    if (any && !pipe->named) {
        pipe->call = (struct pti_via_call){.ask = {.verb = PTI_ASK_PUT, .flags = PTI_ASK_PACKS,
                                                   .count = (uint32_t)pipe->going->count},
                                           .puts = pipe->going->puts};
        pti_via_doubt_name(via, &pipe->call);
        pipe->named = true;
    }
    return any;
}

/* Law 1: with a batch that is refused goes what stands behind it. */
static void end_batch(struct pti_via *via, bool refused)
{
    struct pti_via_pipe *pipe = via->pipe;

    pti_via_doubt_end(via, &pipe->call);
    pipe->named = false;
    pthread_mutex_lock(&via->mutex);
    empty(pipe->going);
    if (refused)
        empty(pipe->filling);
    pthread_mutex_unlock(&via->mutex);
}

static bool may_pass(enum ptq_err answer)
{
    return answer == PTQ_FULL || answer == PTQ_TIMEDOUT || answer == PTQ_ENOSPC || answer == PTQ_ENOMEM || answer == PTQ_EAGAIN ||
           answer == PTQ_EINTR || answer == PTQ_EUNREACHABLE;
}

/* What an answer makes of the batch.  Other than PTQ_OK: what there is to be told, of one that stays, or was refused. */
static enum ptq_err judge(struct pti_via *via, enum ptq_err answer)
{
    struct pti_via_pipe *pipe = via->pipe;
    bool again = (pipe->call.ask.flags & PTI_ASK_AGAIN) != 0;

    if (answer == PTQ_EINDOUBT && pti_via_has_streams(via)) { /* it is asked again, by its key */
        pipe->call.ask.flags |= PTI_ASK_AGAIN;
        return PTQ_EUNREACHABLE;
    }
    if (answer == PTQ_EVERSION && again)
        answer = PTQ_EINDOUBT; /* of a home that knows no keys any more */
    if (answer == PTQ_OK || !may_pass(answer))
        end_batch(via, answer != PTQ_OK);
    return answer;
}

static bool is_answered(struct pti_via *via)
{
    pthread_mutex_lock(&via->mutex);
    bool done = via->pipe->call.done;
    pthread_mutex_unlock(&via->mutex);
    return done;
}

/* It is not waited for any longer, answered or not. */
static enum ptq_err take_answer(struct pti_via *via)
{
    struct pti_via_pipe *pipe = via->pipe;
    struct pti_via_call *call = &pipe->call;

    pti_via_end(via, call);
    pipe->under_way = false;
    free(call->bytes);
    call->bytes = NULL;
    if (!call->done || (call->lost && !call->unknown))
        return PTQ_EINDOUBT;
    if (call->unknown || call->code >= PTI_ANSWER_UNKNOWN)
        return PTQ_EAGAIN; /* nothing was done */
    return (enum ptq_err)call->code;
}

/* If it was answered meanwhile: what is refused is told by the next put or flush, what stays is asked again. */
static void collect(struct pti_via *via)
{
    struct pti_via_pipe *pipe = via->pipe;

    if (!pipe->under_way)
        return;
    pti_via_poll(via);
    if (!is_answered(via))
        return;
    enum ptq_err answer = take_answer(via);
    pti_via_hear(via, PTQ_SIDE_PUT, answer);
    enum ptq_err told = judge(via, answer);
    if (told == PTQ_OK || may_pass(told))
        return;
    pthread_mutex_lock(&via->mutex);
    pipe->failure = told;
    pthread_mutex_unlock(&via->mutex);
}

static bool is_connected(struct pti_via *via)
{
    pthread_mutex_lock(&via->mutex);
    bool connected = via->connected;
    pthread_mutex_unlock(&via->mutex);
    return connected;
}

/* Law 4.  Without a bridge it stays, until somebody can wait for one. */
static void launch(struct pti_via *via)
{
    struct pti_via_pipe *pipe = via->pipe;

    if (pipe->under_way || !is_connected(via) || !take_next(via))
        return;
    pti_via_hush(via, PTQ_SIDE_PUT);
    pipe->under_way = pti_via_begin(via, &pipe->call, PTI_DEADLINE_NOW) == PTQ_OK;
}

/* It is waited for at its home. */
static enum ptq_err ask_patiently(struct pti_via *via, int64_t deadline)
{
    struct pti_via_pipe *pipe = via->pipe;
    uint32_t interrupts = pti_load_seq(&via->interrupts);

    pti_via_hush(via, PTQ_SIDE_PUT);
    enum ptq_err answer = pti_via_call(via, &pipe->call, deadline, PTI_VIA_BY_KEY);
    free(pipe->call.bytes);
    pipe->call.bytes = NULL;
    pti_via_hear(via, PTQ_SIDE_PUT, answer);
    enum ptq_err told = judge(via, answer);
    return told == PTQ_EUNREACHABLE && pti_load_seq(&via->interrupts) != interrupts ? PTQ_EINTR : told;
}

/* What was launched is answered soon, or its bridge is away. */
static enum ptq_err await_launched(struct pti_via *via, int64_t deadline)
{
    int64_t patient = pti_now_ns() + PATIENCE_NS;
    bool waits = deadline != PTI_DEADLINE_NOW && deadline < patient;
    enum ptq_err answer = pti_via_wait(via, &via->pipe->call, waits ? deadline : patient);

    if (answer != PTQ_TIMEDOUT || waits)
        return answer;
    return judge(via, take_answer(via));
}

/* ---- who is busy ---- */

static bool try_busy(struct pti_via *via)
{
    pthread_mutex_lock(&via->mutex);
    bool mine = !via->pipe->busy;
    via->pipe->busy = true;
    pthread_mutex_unlock(&via->mutex);
    return mine;
}

static void end_busy(struct pti_via *via)
{
    int64_t now = pti_now_ns();

    pthread_mutex_lock(&via->mutex);
    via->pipe->busy = false;
    via->pipe->under_way_seen = via->pipe->under_way;
    via->pipe->look_at = now + LOOK_NS;
    pthread_mutex_unlock(&via->mutex);
    if (pti_load_seq(&via->inside) > 1)
        pti_via_wake(via);
}

static enum ptq_err become_busy(struct pti_via *via, int64_t deadline)
{
    uint32_t interrupts = pti_load_seq(&via->interrupts_seen);

    for (;;) {
        uint32_t seen = pti_load_seq(&via->word);
        if (try_busy(via))
            return PTQ_OK;
        if (deadline == PTI_DEADLINE_NOW)
            return PTQ_FULL;
        if (pti_now_ns() >= deadline)
            return PTQ_TIMEDOUT;
        if (pti_load_seq(&via->interrupts) != interrupts || pti_load_seq(&via->closing)) {
            pti_store_seq(&via->interrupts_seen, pti_load_seq(&via->interrupts));
            return PTQ_EINTR;
        }
        if (pti_futex_wait(&via->word, seen, deadline) == EINTR)
            return PTQ_EINTR;
    }
}

/* PTQ_OK: a put of so many bytes has room; all: everything is in. */
static bool is_reached(struct pti_via *via, size_t size, bool all)
{
    pthread_mutex_lock(&via->mutex);
    bool reached = all ? via->pipe->filling->count + via->pipe->going->count == 0 : has_room(via, size);
    pthread_mutex_unlock(&via->mutex);
    return reached;
}

static enum ptq_err told(struct pti_via *via)
{
    pthread_mutex_lock(&via->mutex);
    enum ptq_err failure = tell_failure(via->pipe);
    pthread_mutex_unlock(&via->mutex);
    return failure;
}

static enum ptq_err drive(struct pti_via *via, size_t size, bool all, int64_t deadline)
{
    enum ptq_err answer = become_busy(via, deadline);

    if (answer != PTQ_OK)
        return answer;
    while (answer == PTQ_OK) {
        collect(via);
        answer = told(via);
        if (answer != PTQ_OK || (!take_next(via) && all) || is_reached(via, size, all))
            break;
        answer = via->pipe->under_way ? await_launched(via, deadline) : ask_patiently(via, deadline);
    }
    end_busy(via);
    return answer;
}

/* ---- the verbs ---- */

bool pti_via_pipe_takes(const struct pti_via *via, const struct pti_put *put)
{
    return via->pipe != NULL && put->size <= SMALL && put->headers == 0 && put->ttl == 0 && put->due_us == 0 && !put->retry &&
           put->kind == PTI_KIND_DATA;
}

/* Behind what is under way, and was looked after a moment ago. */
static bool put_behind(struct pti_via *via, const struct pti_put *put)
{
    struct pti_via_pipe *pipe = via->pipe;
    int64_t now = pti_now_ns();

    pthread_mutex_lock(&via->mutex);
    bool may = pipe->under_way_seen && now < pipe->look_at && pipe->failure == PTQ_OK && has_room(via, put->size);
    if (may)
        add(pipe->filling, put);
    pthread_mutex_unlock(&via->mutex);
    return may;
}

/* PTQ_EMPTY: there is no room for it. */
static enum ptq_err try_put(struct pti_via *via, const struct pti_put *put)
{
    if (put_behind(via, put))
        return PTQ_OK;
    bool mine = try_busy(via);

    if (mine)
        collect(via);
    pthread_mutex_lock(&via->mutex);
    enum ptq_err answer = tell_failure(via->pipe);
    if (answer == PTQ_OK && !has_room(via, put->size))
        answer = PTQ_EMPTY;
    if (answer == PTQ_OK)
        add(via->pipe->filling, put);
    pthread_mutex_unlock(&via->mutex);
    if (mine) {
        launch(via);
        end_busy(via);
    }
    return answer;
}

enum ptq_err pti_via_pipe_put(struct pti_via *via, const struct pti_put *put, int64_t deadline)
{
    enum ptq_err answer = PTQ_EINTR;

    if (pti_via_enter(via)) {
        while ((answer = try_put(via, put)) == PTQ_EMPTY) {
            answer = drive(via, put->size, false, deadline);
            if (answer != PTQ_OK)
                break;
        }
    }
    pti_via_leave(via);
    return answer;
}

enum ptq_err pti_via_pipe_flush(struct pti_via *via, int64_t deadline)
{
    enum ptq_err answer = PTQ_EINTR;

    if (via->pipe == NULL)
        return PTQ_OK;
    if (pti_via_enter(via))
        answer = drive(via, 0, true, deadline);
    pti_via_leave(via);
    return answer;
}

bool pti_via_pipe_is_empty(struct pti_via *via)
{
    return via->pipe == NULL || is_reached(via, 0, true);
}

/* ---- life ---- */

enum ptq_err pti_via_pipe_new(struct pti_via *via)
{
    struct pti_via_pipe *pipe = calloc(1, sizeof *pipe);

    if (pipe == NULL)
        return PTQ_ENOMEM;
    pipe->filling = &pipe->batches[0];
    pipe->going = &pipe->batches[1];
    via->pipe = pipe;
    return PTQ_OK;
}

void pti_via_pipe_free(struct pti_via *via)
{
    struct pti_via_pipe *pipe = via->pipe;

    if (pipe == NULL)
        return;
    if (pipe->under_way)
        (void)!take_answer(via);
    if (pipe->named)
        pti_via_doubt_end(via, &pipe->call);
    free(pipe);
    via->pipe = NULL;
}
