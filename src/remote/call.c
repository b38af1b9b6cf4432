/* call.c -- one handle's side of a channel, and the calls that are under way on it. */
#define HASH_NONFATAL_OOM 1
#include "remote/call.h"

#include <stdlib.h>

#include "base/time.h"
#include "os/clock.h"
#include "os/futex.h"

/* Milliseconds. */
static uint32_t wire_timeout(int64_t deadline)
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
static bool change_word(struct pti_slot *slot)
{
    pti_fetch_add_seq(&slot->word, 1);
    return pti_load_seq(&slot->sleepers) > 0;
}

/* With conn->mutex held: perhaps when it is free again. */
static void wake_slot(struct pti_conn *conn, struct pti_slot *slot)
{
    if (!change_word(slot))
        return;
    if (conn->wakes.gather && conn->wakes.one && conn->wakes.count < PTI_WAKES_MOST) {
        conn->wakes.words[conn->wakes.count++] = &slot->word;
        return;
    }
    conn->wakes.one = conn->wakes.gather; /* who waits alone waits no longer for that */
    pti_futex_wake(&slot->word, INT32_MAX);
}

void pti_remote_wake(struct pti_remote *remote)
{
    for (size_t i = 0; i < PTI_SLOTS; i++) {
        if (change_word(&remote->slots[i]))
            pti_futex_wake(&remote->slots[i].word, INT32_MAX);
    }
}

void pti_remote_wake_first(struct pti_remote *remote)
{
    wake_slot(remote->conn, &remote->slots[0]);
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
    if (call != NULL)
        free(call->reply);
    free(call);
}

void pti_call_set_head(struct pti_call *call, size_t size, size_t timeout_at)
{
    call->head_size = (uint8_t)size;
    call->timeout_at = (uint8_t)timeout_at;
    call->out.size = size;
}

/* Delay travels as what is left of it. */
static struct pti_record record_of(const struct pti_put *put, bool flagged)
{
    uint64_t now_us = put->due_us != 0 ? (uint64_t)pti_host_ns() / 1000 : 0;

    return (struct pti_record){.size = put->size,
                               .kind = put->kind,
                               .type = put->type,
                               .ttl = put->ttl,
                               .headers = put->headers,
                               .redelivered = flagged,
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
    if (out->part_done == 0) { /* once: a piece may end in the midst of it, and by the next one less of the delay is left */
        struct pti_record record = record_of(put, call->flagged);
        call->record_size = (uint8_t)pti_write_put_record(call->record, &record);
    }
    *ret_size = call->record_size;
    return call->record;
}

void pti_call_set_puts(struct pti_call *call, const struct pti_put *puts, size_t count)
{
    call->puts = puts;
    call->put_count = count;
    call->out.part = part_of_put;
    for (size_t i = 0; i < count; i++) {
        struct pti_record record = record_of(&puts[i], false);
        call->out.size += pti_put_record_size(&record);
    }
    call->out.cost = call->out.size < UINT32_MAX ? (uint32_t)call->out.size : UINT32_MAX;
}

static const void *part_of_packed(struct pti_out *out, size_t index, size_t *ret_size)
{
    struct pti_call *call = (struct pti_call *)(void *)out;

    *ret_size = index == 0 ? call->head_size : call->packed_size;
    return index == 0 ? call->head : call->packed;
}

void pti_call_set_body(struct pti_call *call, uint8_t *bytes, size_t size)
{
    call->packed = bytes;
    call->packed_size = size;
    call->out.part = part_of_packed;
    call->out.size += size;
}

void pti_call_set_packed(struct pti_call *call, uint8_t *packed, size_t size, bool anew)
{
    pti_call_set_body(call, packed, size);
    call->chained = true;
    call->out.cost = (uint32_t)call->out.size;
    call->out.flags |= PTI_FRAME_CHAINED | (anew ? PTI_FRAME_ANEW : 0);
}

/* ---- into the outbox, and out of the list ---- */

static bool is_put(const struct pti_call *call)
{
    return call->type == PTI_FRAME_PUT || call->type == PTI_FRAME_PLACE;
}

static void push_call(struct pti_call *call)
{
    struct pti_remote *remote = call->remote;
    struct pti_conn *conn = remote->conn;

    if (call->keyed && (conn->outbox.version < 2 || !remote->streamed)) {
        pti_call_finish(call, PTQ_EVERSION, 0);
        return;
    }
    if (call->timeout_at > 0) {
        uint32_t timeout = wire_timeout(call->deadline);
        for (int i = 0; i < 4; i++)
            call->head[call->timeout_at + i] = (uint8_t)(timeout >> 8 * i);
    }
    if (call->chained && call->flagged)
        pti_flag_put_records(call->packed, call->packed_size);
    if (call->type == PTI_FRAME_TAKE && conn->outbox.version < 2)
        pti_write_take_plain(call->head);
    call->out.number = call->number;
    call->pushed = true;
    call->written_at = 0;
    remote->puts_out += is_put(call);
    pti_outbox_push(&conn->outbox, &call->remote->lane, &call->out);
    if (call->cancelled)
        (void)!pti_outbox_push_copy(&conn->outbox, &call->remote->lane, PTI_FRAME_CANCEL, 0, call->number, NULL, 0);
}

/* A home that goes away lets us settle what we hold; new work waits for the next link. */
static bool may_push(const struct pti_call *call)
{
    const struct pti_remote *remote = call->remote;

    return remote->conn->state == PTI_CONN_UP && remote->state == PTI_REMOTE_OPEN && !call->pushed && !call->stopped &&
           (!is_put(call) || remote->puts_out < PTI_PUTS_OUT) &&
           (!remote->conn->leaving || (call->type != PTI_FRAME_TAKE && call->type != PTI_FRAME_PUT && call->type != PTI_FRAME_AWAIT));
}

void pti_remote_push_calls(struct pti_remote *remote)
{
    struct pti_call *call, *next;

    for (call = TAILQ_FIRST(&remote->calls); call != NULL; call = next) {
        next = TAILQ_NEXT(call, listed);
        if (may_push(call))
            push_call(call);
    }
}

static void set_ack(struct pti_remote *remote)
{
    pti_outbox_set_ack(&remote->conn->outbox, &remote->lane, pti_remote_received_to(remote));
}

static void say_received(struct pti_remote *remote, size_t least)
{
    struct pti_conn *conn = remote->conn;
    uint8_t bytes[8 * PTI_RECEIVED_MOST];
    size_t size;

    if (conn->outbox.version < 2 || conn->state != PTI_CONN_UP || remote->state != PTI_REMOTE_OPEN)
        return;
    while ((size = pti_received_say(&remote->received, pti_remote_received_to(remote), remote->last_number + 1, least, bytes)) > 0)
        (void)!pti_outbox_push_copy(&conn->outbox, &remote->lane, PTI_FRAME_RECEIVED, 0, 0, bytes, size);
}

/* Its number is one of before. */
static void insert_in_order(struct pti_call *call)
{
    struct pti_remote *remote = call->remote;
    struct pti_call *behind;

    TAILQ_FOREACH(behind, &remote->calls, listed) {
        if (behind->number > call->number)
            break;
    }
    if (behind != NULL)
        TAILQ_INSERT_BEFORE(behind, call, listed);
    else
        TAILQ_INSERT_TAIL(&remote->calls, call, listed);
}

void pti_call_enlist(struct pti_call *call)
{
    struct pti_remote *remote = call->remote;

    if (call->resumed) {
        insert_in_order(call);
    } else {
        call->number = ++remote->last_number;
        TAILQ_INSERT_TAIL(&remote->calls, call, listed);
    }
    remote->count++;
    if (may_push(call))
        push_call(call);
}

static void unpush(struct pti_call *call)
{
    if (call->pushed && is_put(call))
        call->remote->puts_out--;
    call->pushed = false;
}

/* Nothing of it will be written any more. */
void pti_call_delist(struct pti_call *call)
{
    struct pti_remote *remote = call->remote;

    TAILQ_REMOVE(&remote->calls, call, listed);
    remote->count--;
    unpush(call);
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
    pti_call_delist(call);
    if (call->verb == PTI_CALL_CLAIM && code == PTQ_OK) {
        call->remote->claimed = true;
        call->remote->claim_lost = false;
    }
    if (call->abandoned) {
        pti_call_free(call);
        return;
    }
    struct pti_conn *conn = call->remote->conn;
    struct pti_slot *slot = call->slot; /* of the handle, which waits for its callers */
    pti_call_answered *answered = call->answered;
    call->code = code;
    call->value = value;
    pti_store_release(&call->done, true);
    if (answered != NULL)
        answered(call, call->context);
    else
        wake_slot(conn, slot);
}

void pti_call_answer(struct pti_call *call, enum ptq_err code, uint64_t value)
{
    struct pti_remote *remote = call->remote;
    uint64_t number = call->number;

    if (call->keyed && code == PTQ_OK)
        remote->keyed_at = 1 + remote->forgotten;
    bool made_room = is_put(call) && remote->puts_out >= PTI_PUTS_OUT;
    bool is_kept = call->type != PTI_FRAME_LOOK && call->type != PTI_FRAME_STATS; /* at the home, until we say that we have it */
    pti_call_finish(call, code, value);
    if (made_room)
        pti_remote_push_calls(remote);
    pti_received_confirm(&remote->received, number);
    if (!is_kept || number <= pti_remote_received_to(remote) || remote->conn->outbox.version < 2) /* of which there is no end if nobody is told */
        return;
    pti_received_add(&remote->received, number);
    say_received(remote, PTI_RECEIVED_DUE);
}

void pti_call_retry(struct pti_call *call)
{
    pti_outbox_drop(&call->remote->conn->outbox, &call->remote->lane, &call->out);
    if (call->out.cost > 0 && call->out.begun)
        pti_outbox_credit_back(&call->remote->conn->outbox, &call->remote->lane, call->out.cost);
    unpush(call);
    call->sent = call->out.begun = false;
}

void pti_call_leave(struct pti_call *call)
{
    call->abandoned = true;
    pti_call_enlist(call);
}

/* ---- the session's ups and downs ---- */

bool pti_call_was_asked(const struct pti_call *call)
{
    return call->sent || (call->pushed && pti_outbox_has_begun(&call->remote->conn->outbox, &call->out));
}

/* The link is gone: what was written of each call counts as sent, the rest was never said. */
void pti_remote_suspend(struct pti_remote *remote)
{
    struct pti_call *call;

    TAILQ_FOREACH(call, &remote->calls, listed) {
        call->sent = pti_call_was_asked(call);
        call->pushed = false;
    }
    remote->puts_out = 0;
    pti_outbox_clear(&remote->conn->outbox, &remote->lane);
    pti_assembly_clear(&remote->assembly);
    pti_arrive_clear(remote);
    pti_received_unsay(&remote->received);
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

/* With conn->mutex held: asks the home to give up what nobody waits for any more. */
static void call_off(struct pti_remote *remote)
{
    struct pti_conn *conn = remote->conn;

    if (conn->state != PTI_CONN_UP || remote->state != PTI_REMOTE_OPEN)
        return;
    for (size_t i = 0; i < remote->given_up_count; i++)
        (void)!pti_outbox_push_copy(&conn->outbox, &remote->lane, PTI_FRAME_CANCEL, 0, remote->given_up[i], NULL, 0);
    remote->given_up_count = 0;
}

/* Law: a put that its caller gave up, in doubt, must not wait at the home and take effect an hour later. */
void pti_call_note_given_up(struct pti_call *call)
{
    struct pti_remote *remote = call->remote;
    uint64_t *grown = realloc(remote->given_up, (remote->given_up_count + 1) * sizeof *grown);

    if (grown == NULL)
        return;
    remote->given_up = grown;
    remote->given_up[remote->given_up_count++] = call->number;
    call_off(remote);
}

void pti_remote_resume(struct pti_remote *remote)
{
    call_off(remote); /* first: it makes room */
    say_received(remote, 1);
    pti_remote_push_calls(remote);
    ask_for_watches(remote);
    pti_remote_wake(remote);
}

/* PTQ_OK: it may be asked anew of a home that knows nothing of it. */
static enum ptq_err fate_of(const struct pti_call *call)
{
    if (call->type == PTI_FRAME_SETTLE)
        return PTQ_ELEASELOST; /* asked or not: the lease ended with its session */
    if (call->type == PTI_FRAME_PUT && pti_call_was_asked(call))
        return call->remote->streamed ? PTQ_OK : PTQ_EINDOUBT; /* its stream says, when the channel is open again: resync.c */
    if (call->type == PTI_FRAME_CALL && (call->verb == PTI_CALL_PURGE || call->verb == PTI_CALL_KICK) &&
        pti_call_was_asked(call))
        return PTQ_EINDOUBT; /* again, it would drop what was put since, or more than was asked */
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
