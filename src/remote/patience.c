/* patience.c -- a caller's side of a call: how long it waits, and what becomes of a call that is given up. */
#include <errno.h>

#include "base/time.h"
#include "os/futex.h"
#include "remote/call.h"

#define LINK_DEADLINE (PTI_LINK_DEADLINE_MS * PTI_NS_PER_MS)
#define FAR (365 * INT64_C(86400) * PTI_NS_PER_S) /* not for ever: a wait without an end is restarted after a signal */

_Atomic int64_t pti_answer_patience_ns = 30 * PTI_NS_PER_S;

enum wait_end { ANSWERED, INTERRUPTED, TOO_LATE };

static bool is_interrupted(const struct pti_call *call)
{
    return pti_load_seq(&call->remote->interrupts) != call->interrupts_seen || pti_load_seq(&call->remote->closing);
}

/* It has left here, and no PING that was sent after it has come back: it is on its way, or was read a moment ago. */
static bool is_on_its_way(struct pti_call *call)
{
    struct pti_conn *conn = call->remote->conn;

    if (pti_outbox_holds(&conn->outbox, &call->out))
        return false;
    if (call->written_at == 0)
        call->written_at = pti_now_ns();
    return conn->echoed <= call->written_at;
}

/* Until when an answer over the link that is up is waited for.  What is large on a slow link takes its time, both ways: patience
 * begins when nothing moves any more. */
static int64_t patience_with_home(struct pti_call *call, int64_t deadline, int64_t began)
{
    struct pti_remote *remote = call->remote;
    uint64_t progress = pti_outbox_written(&remote->conn->outbox, &remote->lane) + remote->frames_read;
    int64_t now = pti_now_ns();

    if (call->moved == 0 || progress != call->progress)
        call->moved = call->moved == 0 ? began : now;
    call->progress = progress;
    if (is_on_its_way(call)) {
        call->moved = now;
        return now + PTI_PING_MS * PTI_NS_PER_MS;
    }
    return (deadline > call->moved ? deadline : call->moved) + pti_load_acquire(&pti_answer_patience_ns);
}

/* Until when the answer is worth waiting for: the home judges the deadline, and the link's own deadline is added for a
 * link that is down. */
static int64_t patience_of(struct pti_call *call, int64_t began)
{
    const struct pti_conn *conn = call->remote->conn;
    int64_t deadline = call->cancelled ? PTI_DEADLINE_NOW : call->deadline;

    if (deadline == PTI_DEADLINE_NEVER)
        return pti_now_ns() + FAR;
    if (conn->state == PTI_CONN_UP && call->pushed)
        return patience_with_home(call, deadline, began);
    int64_t link = conn->down_since + LINK_DEADLINE;
    if (conn->state == PTI_CONN_UP)
        link = began + LINK_DEADLINE;
    return deadline > link ? deadline : link;
}

static int64_t ask_patience(struct pti_call *call, int64_t began)
{
    struct pti_conn *conn = call->remote->conn;

    pthread_mutex_lock(&conn->mutex);
    int64_t until = patience_of(call, began);
    if (call->remote->close_by != 0 && call->remote->close_by < until)
        until = call->remote->close_by;
    pthread_mutex_unlock(&conn->mutex);
    return until;
}

static enum wait_end wait_for_answer(struct pti_call *call, bool may_interrupt)
{
    struct pti_slot *slot = call->slot;
    int64_t began = pti_now_ns();
    enum wait_end end = ANSWERED;

    pti_fetch_add_seq(&slot->sleepers, 1);
    for (;;) {
        uint32_t seen = pti_load_seq(&slot->word);
        if (pti_load_acquire(&call->done))
            break;
        if (may_interrupt && is_interrupted(call)) {
            end = INTERRUPTED;
            break;
        }
        int64_t until = ask_patience(call, began);
        if (pti_now_ns() >= until) {
            end = TOO_LATE;
            break;
        }
        if (pti_futex_wait(&slot->word, seen, until) == EINTR && may_interrupt) {
            end = pti_load_acquire(&call->done) ? ANSWERED : INTERRUPTED;
            break;
        }
    }
    pti_fetch_add_seq(&slot->sleepers, -1u);
    return end;
}

/* Asks the home to give it up.  True: there is an answer to wait for; false: there will be none (finished here). */
static bool cancel_call(struct pti_call *call)
{
    struct pti_conn *conn = call->remote->conn;

    if (pti_load_acquire(&call->done))
        return true;
    if (!call->sent && (!call->pushed || pti_outbox_cancel(&conn->outbox, &call->remote->lane, &call->out)) &&
        !pti_call_was_asked(call)) {
        pti_call_finish(call, PTQ_EINTR, 0); /* the home has not heard of it */
        return true;
    }
    call->cancelled = true;
    if (conn->state != PTI_CONN_UP)
        return false;
    (void)!pti_outbox_push_copy(&conn->outbox, &call->remote->lane, PTI_FRAME_CANCEL, 0, call->number, NULL, 0);
    return true;
}

/* Nobody waits any longer.  A put that was asked is in doubt; a take gives back what comes; a settlement goes on. */
enum ptq_err pti_call_give_up(struct pti_call *call, enum ptq_err code, bool *ret_break)
{
    if (pti_load_acquire(&call->done))
        return call->code;
    bool asked = pti_call_was_asked(call);
    bool goes_on = call->type == PTI_FRAME_SETTLE || (call->type == PTI_FRAME_TAKE && asked);
    if (call->pushed && asked && pti_outbox_holds(&call->remote->conn->outbox, &call->out))
        *ret_break = true; /* half a frame is on the wire, and its bytes are the caller's */
    if (!goes_on || *ret_break) {
        if (asked && call->type == PTI_FRAME_PUT && call->answered == NULL && !call->keyed)
            pti_doubt_keep(call);
        pti_call_delist(call);
        call->out.begun = false;
        if (asked)
            pti_call_note_given_up(call);
    } else {
        call->abandoned = true; /* from here on it is the list's */
        call->puts = NULL;
    }
    if (call->type == PTI_FRAME_SETTLE)
        return PTQ_EINDOUBT;
    if (call->type == PTI_FRAME_TAKE || call->type == PTI_FRAME_LOOK || call->type == PTI_FRAME_AWAIT || !asked)
        return code;
    return call->type == PTI_FRAME_STATS || call->type == PTI_FRAME_DIRECTORY ? PTQ_EUNREACHABLE : PTQ_EINDOUBT;
}

enum ptq_err pti_call_may_begin(const struct pti_call *call)
{
    struct pti_remote *remote = call->remote;

    if (pti_load_seq(&remote->closing))
        return PTQ_EINTR;
    if (remote->state == PTI_REMOTE_FAILED)
        return remote->failure == PTQ_ENOENT ? PTQ_EGONE : remote->failure;
    if (remote->count >= PTI_WIRE_REQUESTS - 8)
        return PTQ_EAGAIN;
    return PTQ_OK;
}

static enum ptq_err begin_call(struct pti_call *call)
{
    struct pti_conn *conn = call->remote->conn;
    enum ptq_err answer = pti_call_may_begin(call);

    if (answer != PTQ_OK)
        return answer;
    bool given_up = conn->state != PTI_CONN_UP && pti_now_ns() > conn->down_since + LINK_DEADLINE;
    if (given_up && call->deadline == PTI_DEADLINE_NOW && call->type != PTI_FRAME_SETTLE)
        return pti_conn_refusal(conn);
    pti_call_enlist(call);
    return PTQ_OK;
}

/* The caller was interrupted: asks the home to give it up, and waits for its last word. */
static enum wait_end end_early(struct pti_call *call)
{
    struct pti_remote *remote = call->remote;
    uint32_t interrupts = pti_load_seq(&remote->interrupts);

    pthread_mutex_lock(&remote->conn->mutex);
    bool answer_comes = cancel_call(call);
    pthread_mutex_unlock(&remote->conn->mutex);
    pti_conn_kick(remote->conn);
    enum wait_end end = answer_comes ? wait_for_answer(call, false) : TOO_LATE;
    if (end != ANSWERED || call->code == PTQ_EINTR)
        pti_store_seq(&remote->interrupts_seen, interrupts);
    return end;
}

static enum ptq_err wait_call(struct pti_call **call_ptr, bool may_interrupt, bool *ret_break)
{
    struct pti_call *call = *call_ptr;
    struct pti_conn *conn = call->remote->conn;
    enum wait_end first = wait_for_answer(call, may_interrupt);

    if (first == ANSWERED || (first == INTERRUPTED && end_early(call) == ANSWERED))
        return call->code;
    pthread_mutex_lock(&conn->mutex);
    enum ptq_err code = pti_call_give_up(call, first == INTERRUPTED ? PTQ_EINTR : pti_conn_refusal(conn), ret_break);
    if (call->abandoned)
        *call_ptr = NULL;
    pthread_mutex_unlock(&conn->mutex);
    return code;
}

enum ptq_err pti_call_run(struct pti_call **call_ptr, int64_t deadline, bool may_interrupt)
{
    struct pti_call *call = *call_ptr;
    struct pti_remote *remote = call->remote;
    struct pti_conn *conn = remote->conn;
    bool must_break = false;

    call->deadline = deadline;
    call->interrupts_seen = pti_load_seq(&remote->interrupts_seen);
    pthread_mutex_lock(&conn->mutex);
    pti_remote_enter(remote);
    enum ptq_err code = begin_call(call);
    pthread_mutex_unlock(&conn->mutex);
    if (code == PTQ_OK) {
        pti_conn_kick(conn);
        code = wait_call(call_ptr, may_interrupt, &must_break);
        if (must_break)
            pti_conn_break(conn, "a caller gave up in the middle of a message");
    }
    pti_remote_leave(remote);
    return code;
}
