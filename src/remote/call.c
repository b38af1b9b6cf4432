/* call.c -- one handle's side of a channel, and the calls that are under way on it. */
#define HASH_NONFATAL_OOM 1
#include "remote/call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "os/clock.h"
#include "os/futex.h"

#define LINK_DEADLINE (PTI_LINK_DEADLINE_MS * PTI_NS_PER_MS)
#define ANSWER_DEADLINE (30 * PTI_NS_PER_S) /* a home that lives and does not answer is broken */
#define FAR (365 * INT64_C(86400) * PTI_NS_PER_S) /* not for ever: a wait without an end is restarted after a signal */

uint32_t pti_wire_timeout(int64_t deadline)
{
    if (deadline == PTI_DEADLINE_NOW)
        return 0;
    if (deadline == PTI_DEADLINE_NEVER)
        return PTI_TIMEOUT_NEVER;
    int64_t left = (deadline - pti_now_ns() + PTI_NS_PER_MS - 1) / PTI_NS_PER_MS;
    return left < 1 ? 1 : left >= PTI_TIMEOUT_NEVER ? PTI_TIMEOUT_NEVER - 1 : (uint32_t)left;
}

/* ---- waking ---- */

/* Law: the word changes first, then the sleepers are looked at; who goes to sleep counts itself first. */
static void wake_slot(struct pti_slot *slot)
{
    pti_fetch_add_seq(&slot->word, 1);
    if (pti_load_seq(&slot->sleepers) > 0)
        pti_futex_wake(&slot->word, INT32_MAX);
}

void pti_remote_wake(struct pti_remote *remote)
{
    for (size_t i = 0; i < PTI_SLOTS; i++)
        wake_slot(&remote->slots[i]);
}

/* ---- a call's bytes ---- */

struct pti_call *pti_call_new(struct pti_remote *remote, uint8_t type)
{
    struct pti_call *call = calloc(1, sizeof *call);

    if (call == NULL)
        return NULL;
    call->remote = remote;
    call->type = type;
    call->out.type = type;
    call->out.bytes = call->head;
    call->slot = &remote->slots[pti_fetch_add_seq(&remote->next_slot, 1) % PTI_SLOTS];
    return call;
}

void pti_call_free(struct pti_call *call)
{
    free(call);
}

void pti_call_set_head(struct pti_call *call, size_t size, size_t timeout_at)
{
    call->head_size = (uint8_t)size;
    call->timeout_at = (uint8_t)timeout_at;
    call->out.size = size;
}

/* Delay travels as what is left of it. */
static struct pti_record record_of(const struct pti_put *put)
{
    uint64_t now_us = put->due_us != 0 ? (uint64_t)pti_host_ns() / 1000 : 0;

    return (struct pti_record){.size = put->size,
                               .kind = put->kind,
                               .type = put->type,
                               .ttl = put->ttl,
                               .headers = put->headers,
                               .delay_us = put->due_us == 0 ? 0 : put->due_us > now_us ? put->due_us - now_us : 1};
}

/* head, then for each put its record, its headers and its body */
static const void *part_of_put(struct pti_out *out, size_t index, size_t *ret_size)
{
    struct pti_call *call = (struct pti_call *)(void *)out;

    if (index == 0) {
        *ret_size = call->head_size;
        return call->head;
    }
    const struct pti_put *put = &call->puts[(index - 1) / 3];
    if (index % 3 == 0) {
        *ret_size = put->size;
        return put->data;
    }
    if (index % 3 == 2) {
        *ret_size = 4u * put->headers;
        return put->header_bytes;
    }
    struct pti_record record = record_of(put);
    *ret_size = pti_write_put_record(call->record, &record);
    return call->record;
}

void pti_call_set_puts(struct pti_call *call, const struct pti_put *puts, size_t count)
{
    call->puts = puts;
    call->put_count = count;
    call->out.part = part_of_put;
    for (size_t i = 0; i < count; i++) {
        struct pti_record record = record_of(&puts[i]);
        call->out.size += pti_put_record_size(&record);
    }
    call->out.cost = call->out.size < UINT32_MAX ? (uint32_t)call->out.size : UINT32_MAX;
}

/* ---- into the outbox, and out of the list ---- */

static void push_call(struct pti_call *call)
{
    struct pti_conn *conn = call->remote->conn;

    if (call->timeout_at > 0) {
        uint32_t timeout = pti_wire_timeout(call->deadline);
        for (int i = 0; i < 4; i++)
            call->head[call->timeout_at + i] = (uint8_t)(timeout >> 8 * i);
    }
    call->out.number = call->number;
    call->pushed = true;
    pti_outbox_push(&conn->outbox, &call->remote->lane, &call->out);
    if (call->cancelled)
        (void)!pti_outbox_push_copy(&conn->outbox, &call->remote->lane, PTI_FRAME_CANCEL, 0, call->number, NULL, 0);
}

/* A home that goes away lets us settle what we hold; new work waits for the next link. */
static bool may_push(const struct pti_call *call)
{
    const struct pti_remote *remote = call->remote;

    return remote->conn->state == PTI_CONN_UP && remote->state == PTI_REMOTE_OPEN && !call->pushed &&
           (!remote->conn->leaving || (call->type != PTI_FRAME_TAKE && call->type != PTI_FRAME_PUT));
}

void pti_remote_push_calls(struct pti_remote *remote)
{
    struct pti_call *call;

    TAILQ_FOREACH(call, &remote->calls, listed) {
        if (may_push(call))
            push_call(call);
    }
}

static void set_ack(struct pti_remote *remote)
{
    const struct pti_call *first = TAILQ_FIRST(&remote->calls);

    pti_outbox_set_ack(&remote->conn->outbox, &remote->lane, first != NULL ? first->number - 1 : remote->last_number);
}

static void enlist(struct pti_call *call)
{
    struct pti_remote *remote = call->remote;

    call->number = ++remote->last_number;
    TAILQ_INSERT_TAIL(&remote->calls, call, listed);
    remote->count++;
    if (may_push(call))
        push_call(call);
}

/* Nothing of it will be written any more. */
static void delist(struct pti_call *call)
{
    struct pti_remote *remote = call->remote;

    TAILQ_REMOVE(&remote->calls, call, listed);
    remote->count--;
    pti_outbox_drop(&remote->conn->outbox, &remote->lane, &call->out);
    if (call->out.cost > 0 && call->out.begun)
        pti_outbox_credit_back(&remote->conn->outbox, &remote->lane, call->out.cost);
    set_ack(remote);
}

struct pti_call *pti_call_find(struct pti_remote *remote, uint64_t number)
{
    struct pti_call *call;

    TAILQ_FOREACH(call, &remote->calls, listed) {
        if (call->number >= number)
            return call->number == number ? call : NULL;
    }
    return NULL;
}

void pti_call_finish(struct pti_call *call, enum ptq_err code, uint64_t value)
{
    delist(call);
    if (call->verb == PTI_CALL_CLAIM && code == PTQ_OK) {
        call->remote->claimed = true;
        call->remote->claim_lost = false;
    }
    if (call->abandoned) {
        pti_call_free(call);
        return;
    }
    struct pti_slot *slot = call->slot; /* of the handle, which waits for its callers */
    call->code = code;
    call->value = value;
    pti_store_release(&call->done, true);
    wake_slot(slot);
}

void pti_call_retry(struct pti_call *call)
{
    pti_outbox_drop(&call->remote->conn->outbox, &call->remote->lane, &call->out);
    if (call->out.cost > 0 && call->out.begun)
        pti_outbox_credit_back(&call->remote->conn->outbox, &call->remote->lane, call->out.cost);
    call->pushed = call->sent = call->out.begun = false;
}

void pti_call_leave(struct pti_call *call)
{
    call->abandoned = true;
    enlist(call);
}

/* ---- the session's ups and downs ---- */

static bool was_asked(const struct pti_call *call)
{
    return call->sent || (call->pushed && pti_outbox_has_begun(&call->remote->conn->outbox, &call->out));
}

/* The link is gone: what was written of each call counts as sent, the rest was never said. */
void pti_remote_suspend(struct pti_remote *remote)
{
    struct pti_call *call;

    TAILQ_FOREACH(call, &remote->calls, listed) {
        call->sent = was_asked(call);
        call->pushed = false;
    }
    pti_outbox_clear(&remote->conn->outbox, &remote->lane);
    pti_assembly_clear(&remote->assembly);
    remote->watching[0] = remote->watching[1] = false;
    pti_remote_wake(remote);
}

static void ask_for_watches(struct pti_remote *remote)
{
    for (int side = 0; side < 2; side++) {
        if (remote->fds[side] >= 0)
            pti_remote_ready(remote, (enum ptq_side)side); /* spurious at worst */
    }
}

void pti_remote_call_off(struct pti_remote *remote)
{
    struct pti_conn *conn = remote->conn;

    if (conn->state != PTI_CONN_UP || remote->state != PTI_REMOTE_OPEN)
        return;
    for (size_t i = 0; i < remote->given_up_count; i++)
        (void)!pti_outbox_push_copy(&conn->outbox, &remote->lane, PTI_FRAME_CANCEL, 0, remote->given_up[i], NULL, 0);
    remote->given_up_count = 0;
}

/* Law: a put that its caller gave up, in doubt, must not wait at the home and take effect an hour later. */
static void note_given_up(struct pti_call *call)
{
    struct pti_remote *remote = call->remote;
    uint64_t *grown = realloc(remote->given_up, (remote->given_up_count + 1) * sizeof *grown);

    if (grown == NULL)
        return;
    remote->given_up = grown;
    remote->given_up[remote->given_up_count++] = call->number;
    pti_remote_call_off(remote);
}

void pti_remote_resume(struct pti_remote *remote)
{
    pti_remote_call_off(remote); /* first: it makes room */
    pti_remote_push_calls(remote);
    ask_for_watches(remote);
    pti_remote_wake(remote);
}

/* PTQ_OK: it may be asked anew of a home that knows nothing of it. */
static enum ptq_err fate_of(const struct pti_call *call)
{
    if (call->type == PTI_FRAME_SETTLE)
        return PTQ_ELEASELOST; /* asked or not: the lease ended with its session */
    if (call->type == PTI_FRAME_PUT && was_asked(call))
        return PTQ_EINDOUBT;
    if (call->cancelled || call->type == PTI_FRAME_CLOSE)
        return PTQ_EINTR;
    if (call->type == PTI_FRAME_TAKE && call->remote->claimed)
        return PTQ_EAGAIN; /* only after a new claim: port.c */
    return PTQ_OK;
}

/* Placing again is answered PTQ_ELATE if it took effect, ending again PTQ_EALREADY; the rest changes nothing, or
 * nothing that the end of the session did not undo. */
void pti_remote_restart(struct pti_remote *remote)
{
    struct pti_call *call = TAILQ_FIRST(&remote->calls), *next;

    for (; call != NULL; call = next) {
        next = TAILQ_NEXT(call, listed);
        enum ptq_err fate = call->abandoned ? PTQ_EINTR : fate_of(call);
        if (fate != PTQ_OK)
            pti_call_finish(call, fate, 0);
    }
    remote->given_up_count = 0;
    remote->claim_lost |= remote->claimed;
    remote->claimed = false;
}

/* ---- waiting ---- */

enum wait_end { ANSWERED, INTERRUPTED, TOO_LATE };

static bool is_interrupted(const struct pti_call *call)
{
    return pti_load_seq(&call->remote->interrupts) != call->interrupts_seen || pti_load_seq(&call->remote->closing);
}

/* Until when the answer is worth waiting for: the home judges the deadline, and the link's own deadline is added for a
 * link that is down. */
static int64_t patience_of(const struct pti_call *call, int64_t began)
{
    const struct pti_conn *conn = call->remote->conn;
    int64_t deadline = call->cancelled ? PTI_DEADLINE_NOW : call->deadline;

    if (deadline == PTI_DEADLINE_NEVER)
        return pti_now_ns() + FAR;
    if (conn->state == PTI_CONN_UP && call->pushed)
        return (deadline == PTI_DEADLINE_NOW ? began : deadline) + ANSWER_DEADLINE;
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
        !was_asked(call)) {
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
static enum ptq_err give_up(struct pti_call *call, enum ptq_err code, bool *ret_break)
{
    if (pti_load_acquire(&call->done))
        return call->code;
    bool asked = was_asked(call);
    bool goes_on = call->type == PTI_FRAME_SETTLE || (call->type == PTI_FRAME_TAKE && asked);
    if (call->pushed && asked && pti_outbox_holds(&call->remote->conn->outbox, &call->out))
        *ret_break = true; /* half a frame is on the wire, and its bytes are the caller's */
    if (!goes_on || *ret_break) {
        delist(call);
        call->out.begun = false;
        if (asked)
            note_given_up(call);
    } else {
        call->abandoned = true; /* from here on it is the list's */
        call->puts = NULL;
    }
    if (call->type == PTI_FRAME_SETTLE)
        return PTQ_EINDOUBT;
    if (call->type == PTI_FRAME_TAKE || !asked)
        return code;
    return call->type == PTI_FRAME_STATS || call->type == PTI_FRAME_DIRECTORY ? PTQ_EUNREACHABLE : PTQ_EINDOUBT;
}

/* The home may have said why. */
static enum ptq_err why_unreachable(const struct pti_conn *conn)
{
    return conn->refusal != PTQ_OK ? conn->refusal : PTQ_EUNREACHABLE;
}

static enum ptq_err begin_call(struct pti_call *call)
{
    struct pti_remote *remote = call->remote;
    struct pti_conn *conn = remote->conn;

    if (pti_load_seq(&remote->closing))
        return PTQ_EINTR;
    if (remote->state == PTI_REMOTE_FAILED)
        return remote->failure == PTQ_ENOENT ? PTQ_EGONE : remote->failure;
    if (remote->count >= PTI_WIRE_REQUESTS - 8)
        return PTQ_EAGAIN;
    bool given_up = conn->state != PTI_CONN_UP && pti_now_ns() > conn->down_since + LINK_DEADLINE;
    if (given_up && call->deadline == PTI_DEADLINE_NOW && call->type != PTI_FRAME_SETTLE)
        return why_unreachable(conn);
    enlist(call);
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
    enum ptq_err code = give_up(call, first == INTERRUPTED ? PTQ_EINTR : why_unreachable(conn), ret_break);
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
    pti_fetch_add_seq(&remote->inside, 1);
    enum ptq_err code = begin_call(call);
    pthread_mutex_unlock(&conn->mutex);
    if (code == PTQ_OK) {
        pti_conn_kick(conn);
        code = wait_call(call_ptr, may_interrupt, &must_break);
        if (must_break)
            pti_conn_break(conn, "a caller gave up in the middle of a message");
    }
    pti_fetch_add_seq(&remote->inside, -1u);
    pti_futex_wake(&remote->inside, INT32_MAX);
    return code;
}
