/* start.c -- calls whose asker does not wait: begun here, answered on the link's thread, or stopped. */
#include <string.h>

#include "remote/call.h"
#include "base/bytes.h"

#define KEY_BYTES 16u

struct pti_call *pti_call_for_put(struct pti_remote *remote, const struct pti_put *puts, size_t count, int64_t deadline)
{
    struct pti_call *call = pti_call_new(remote, PTI_FRAME_PUT);

    if (call == NULL)
        return NULL;
    call->deadline = deadline;
    pti_write_put_head(call->head, (uint32_t)count, 0);
    pti_call_set_head(call, PTI_PUT_HEAD, 4);
    pti_call_set_puts(call, puts, count);
    return call;
}

struct pti_call *pti_call_for_take(struct pti_remote *remote, size_t max, struct ptq_msg **msgs, int64_t deadline)
{
    struct pti_call *call = pti_call_new(remote, PTI_FRAME_TAKE);

    if (call == NULL)
        return NULL;
    call->deadline = deadline;
    call->max = max < INT32_MAX ? (uint32_t)max : INT32_MAX;
    call->msgs = msgs;
    pti_write_take(call->head, &(struct pti_take){.max = call->max});
    pti_call_set_head(call, PTI_TAKE_BYTES, 4);
    return call;
}

void pti_call_set_key(struct pti_call *call, uint64_t position, uint32_t sub)
{
    memmove(call->head + KEY_BYTES, call->head, call->head_size);
    pti_store64(call->head, position);
    pti_store32(call->head + 8, sub);
    pti_store32(call->head + 12, 0);
    call->head_size += KEY_BYTES;
    call->timeout_at += KEY_BYTES;
    call->out.size += KEY_BYTES;
    call->out.flags |= PTI_FRAME_KEYED;
    if (call->out.cost > 0)
        call->out.cost += KEY_BYTES;
    call->keyed = true;
}

enum ptq_err pti_call_start(struct pti_call *call, pti_call_answered *answered, void *context)
{
    struct pti_conn *conn = call->remote->conn;

    if (!pti_call_fits(call))
        return PTQ_ETOOBIG;
    pthread_mutex_lock(&conn->mutex);
    enum ptq_err answer = pti_call_may_begin(call);
    if (answer == PTQ_OK) {
        call->answered = answered;
        call->context = context;
        pti_call_enlist(call);
    }
    pthread_mutex_unlock(&conn->mutex);
    pti_conn_kick(conn);
    return answer;
}

/* A take that waits at the home need not go on waiting there. */
static void call_off(struct pti_call *call)
{
    struct pti_conn *conn = call->remote->conn;

    if (call->type != PTI_FRAME_TAKE || call->cancelled)
        return;
    call->cancelled = true;
    if (conn->state == PTI_CONN_UP && call->pushed)
        (void)!pti_outbox_push_copy(&conn->outbox, &call->remote->lane, PTI_FRAME_CANCEL, 0, call->number, NULL, 0);
}

enum ptq_err pti_call_stop(struct pti_call **call_ptr)
{
    struct pti_call *call = *call_ptr;
    struct pti_conn *conn = call->remote->conn;
    bool must_break = false;

    pthread_mutex_lock(&conn->mutex);
    enum ptq_err code = pti_call_give_up(call, PTQ_EINTR, &must_break);
    call->answered = NULL;
    if (call->abandoned) {
        *call_ptr = NULL;
        call_off(call);
    }
    pthread_mutex_unlock(&conn->mutex);
    if (must_break)
        pti_conn_break(conn, "a caller gave up in the middle of a message");
    pti_conn_kick(conn);
    return code;
}

bool pti_remote_stop_started(struct pti_remote *remote)
{
    struct pti_call *call = TAILQ_FIRST(&remote->calls), *next;
    bool must_break = false;

    for (; call != NULL; call = next) {
        next = TAILQ_NEXT(call, listed);
        if (call->answered == NULL)
            continue;
        bool asked = pti_call_was_asked(call);
        must_break |= call->pushed && asked && pti_outbox_holds(&remote->conn->outbox, &call->out);
        call->out.begun = false;
        pti_call_finish(call, asked && call->type == PTI_FRAME_PUT ? PTQ_EINDOUBT : PTQ_EINTR, 0);
    }
    return must_break;
}
