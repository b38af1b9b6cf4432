/* mover_ask.c -- loads on their way to the target, the answers to them, and what leaves the source after that.  Laws: mover.c. */
#include <string.h>

#include "os/event.h"
#include "remote/mover_own.h"
#include "remote/step.h"

#define ALONE_BYTES (48u << 10)         /* what is larger goes in pieces, and may be told to come again */

/* ---- to the target ---- */

static uint64_t count_forgets(struct pti_mover *mover)
{
    struct pti_remote *remote = pti_remote_of(mover->target);

    pthread_mutex_lock(&remote->conn->mutex);
    uint64_t forgets = mover->forgets + remote->forgotten;
    pthread_mutex_unlock(&remote->conn->mutex);
    return forgets;
}

/* With the connection's mutex held, on any thread. */
static void on_answer(struct pti_call *call, void *context)
{
    struct pti_load *load = context;
    struct pti_mover *mover = load->mover;

    if (call->code == PTQ_OK && call->keyed)
        mover->keyed_at = 1 + mover->forgets + call->remote->forgotten;
    pti_store_release(&load->answered, true);
    pti_event_set(mover->event);
}

static bool is_end(const struct pti_load *load)
{
    return load->msgs[0]->kind == PTI_KIND_END;
}

static bool goes_alone(const struct pti_load *load)
{
    return load->bytes > ALONE_BYTES || is_end(load);
}

static struct pti_call *make_end(struct pti_mover *mover)
{
    struct pti_call *call = pti_call_new(pti_remote_of(mover->target), PTI_FRAME_CALL);

    if (call == NULL)
        return NULL;
    call->verb = PTI_CALL_END;
    pti_write_call(call->head, &(struct pti_call_message){PTI_CALL_END, 0, 0});
    pti_call_set_head(call, PTI_CALL_BYTES, 4);
    return call;
}

static struct pti_call *make_put(struct pti_mover *mover, struct pti_load *load)
{
    struct pti_call *call = pti_call_for_put(pti_remote_of(mover->target), load->puts, load->count, PTI_DEADLINE_NEVER);
    uint64_t forgets = count_forgets(mover);

    if (call == NULL)
        return NULL;
    pti_call_set_key(call, load->position, 0);
    for (size_t i = 0; i < load->count; i++)
        load->puts[i].ttl = pti_mover_ttl_left(mover, load->msgs[i]);
    call->flagged = load->asked_at != PTI_NEVER_ASKED && forgets > load->asked_at;
    for (size_t i = 0; mover->move.keeps_flag && i < load->count; i++)
        call->flagged |= load->msgs[i]->redelivered;
    if (load->asked_at == PTI_NEVER_ASKED)
        load->asked_at = forgets;
    return call;
}

static bool may_pass(enum ptq_err code)
{
    return code == PTQ_EAGAIN || code == PTQ_ENOMEM || code == PTQ_ENOSPC || code == PTQ_FULL || code == PTQ_TIMEDOUT ||
           code == PTQ_EINTR || code == PTQ_EINDOUBT || code == PTQ_EUNREACHABLE || code == PTQ_EVERSION ||
           code == PTQ_EPROTO || code == PTQ_ESYS || code == PTQ_EBUSY || code == PTQ_EFORKED || code == PTQ_EGONE ||
           code == PTQ_ENOENT;
}

void pti_mover_take_answer(struct pti_mover *mover, struct pti_load *load, enum ptq_err code, uint64_t value)
{
    load->code = code == PTQ_EALREADY && is_end(load) ? PTQ_OK : code;
    load->value = value;
    mover->stalled |= load->code != PTQ_OK;
}

static void start(struct pti_mover *mover, struct pti_load *load)
{
    load->call = is_end(load) ? make_end(mover) : make_put(mover, load);
    enum ptq_err err = load->call != NULL ? pti_call_start(load->call, on_answer, load) : PTQ_ENOMEM;
    if (err == PTQ_OK) {
        load->asked = true;
        mover->under_way++;
        pti_step(PTI_STEP_MOVE_ASKED);
        return;
    }
    pti_call_free(load->call);
    load->call = NULL;
    pti_mover_take_answer(mover, load, err, 0);
    pti_store_release(&load->answered, true);
}

void pti_mover_start_some(struct pti_mover *mover)
{
    struct pti_load *load;
    bool alone = false;

    TAILQ_FOREACH(load, &mover->flying, listed) {
        if (mover->stalled || alone || load == mover->open || pti_now_ns() < mover->start_at)
            return;
        if (pti_load_acquire(&load->answered))
            continue;
        if (load->call == NULL) {
            if (goes_alone(load) && mover->under_way > 0)
                return;
            start(mover, load);
        }
        alone = goes_alone(load);
    }
}

/* ---- answers ---- */

/* Calls that came back; which need not be in order. */
static void collect(struct pti_mover *mover)
{
    struct pti_load *load;

    TAILQ_FOREACH(load, &mover->flying, listed) {
        if (load->call == NULL || !pti_load_acquire(&load->answered))
            continue;
        pti_mover_take_answer(mover, load, load->call->code, load->call->value);
        pti_call_free(load->call);
        load->call = NULL;
        mover->under_way--;
        pti_step(PTI_STEP_MOVE_ANSWERED);
    }
}

void pti_mover_ack(struct pti_mover *mover, struct pti_load *load)
{
    const struct pti_port_ops *ops = mover->source->ops;
    size_t done = 0, count;

    while (done < load->count) {
        count = 1;
        enum ptq_err err = ops->ack_many != NULL ? ops->ack_many(mover->source, load->msgs + done, load->count - done, &count)
                                                 : ops->ack(mover->source, load->msgs[done]);
        if (err != PTQ_OK)
            pti_mover_say(mover, "event=ack_failed queue=%s position=%llu why=%s", mover->source_name, (unsigned long long)load->position,
                ptq_err_name(err));
        done += count;
    }
    load->count = 0;
    mover->settled = load->position;
    mover->untold++;
    pti_step(PTI_STEP_MOVE_ACKED);
}

/* Refused for good: what was saved elsewhere leaves the source.  False: the rest is asked again. */
static bool let_go(struct pti_mover *mover, struct pti_load *load)
{
    size_t saved = 0, count;

    pti_mover_say(mover, "event=refused queue=%s target=%s why=%s", mover->source_name, mover->name, ptq_err_name(load->code));
    if (!is_end(load)) {
        while (saved < load->count && (mover->move.moved == NULL ||
                                       mover->move.moved(mover->move.context, load->msgs[saved], load->code, 0) == PTI_MOVED_ACK))
            saved++;
    } else {
        saved = load->count;
    }
    pti_fetch_add_seq(&mover->refused, saved);
    pti_step(PTI_STEP_MOVE_SETTLED);
    if (saved == load->count) {
        pti_mover_ack(mover, load);
        return true;
    }
    for (size_t i = 0; i < saved; i++)
        (void)!mover->source->ops->ack(mover->source, load->msgs[i]);
    count = load->count - saved;
    memmove(load->msgs, load->msgs + saved, count * sizeof load->msgs[0]);
    memmove(load->puts, load->puts + saved, count * sizeof load->puts[0]);
    load->count = count;
    return false;
}

void pti_mover_tell_moved(struct pti_mover *mover, struct pti_load *load)
{
    for (size_t i = 0; mover->move.moved != NULL && !is_end(load) && i < load->count; i++)
        (void)mover->move.moved(mover->move.context, load->msgs[i], PTQ_OK, load->value);
    if (!is_end(load))
        pti_fetch_add_seq(&mover->moved, load->count);
    pti_step(PTI_STEP_MOVE_SETTLED);
}

/* Law 2.  True: something left. */
bool pti_mover_settle_some(struct pti_mover *mover)
{
    struct pti_load *load;
    bool any = false;

    collect(mover);
    while ((load = TAILQ_FIRST(&mover->flying)) != NULL && load->call == NULL && pti_load_acquire(&load->answered)) {
        if (load->code != PTQ_OK && (may_pass(load->code) || !let_go(mover, load)))
            break;
        if (load->code == PTQ_OK) {
            pti_mover_tell_moved(mover, load);
            pti_mover_ack(mover, load);
        }
        pti_mover_drop(mover, load);
        any = true;
    }
    return any;
}

/* All are answered: what came back is asked again, in its order, after a rest. */
void pti_mover_begin_again(struct pti_mover *mover)
{
    struct pti_load *load;
    bool again = false;

    if (!mover->stalled || mover->under_way > 0)
        return;
    mover->stalled = false;
    TAILQ_FOREACH(load, &mover->flying, listed) {
        if (!pti_load_acquire(&load->answered) || load->code == PTQ_OK)
            continue;
        if (may_pass(load->code) && !again)
            pti_mover_say(mover, "event=waiting queue=%s target=%s why=%s", mover->source_name, mover->name, ptq_err_name(load->code));
        again = true;
        pti_store_release(&load->answered, false);
    }
    if (again)
        mover->start_at = pti_now_ns() + PTI_MOVER_AGAIN_NS;
}
