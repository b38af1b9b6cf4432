/* reader.c -- what a home says: its frames, checked and handed to the calls that wait for them. */
#define HASH_NONFATAL_OOM 1
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "bus/bus.h"
#include "queue/header.h"
#include "remote/call.h"
#include "wire/share.h"

/* A complete answer: a frame, or one put together from its pieces. */
struct answer {
    const struct pti_frame *frame;
    const uint8_t *payload;
    size_t size;
};

static void fail_calls(struct pti_remote *remote)
{
    struct pti_call *call;

    while ((call = TAILQ_FIRST(&remote->calls)) != NULL) {
        bool in_doubt = call->type == PTI_FRAME_PUT && call->sent;
        pti_call_finish(call, in_doubt ? PTQ_EINDOUBT : remote->failure == PTQ_ENOENT ? PTQ_EGONE : remote->failure, 0);
    }
}

static enum ptq_err read_opened(struct pti_remote *remote, const struct answer *answer, const char **ret_reason)
{
    struct pti_opened opened;
    struct pti_port *port = &remote->port;

    if (remote->state != PTI_REMOTE_OPENING || (answer->frame->flags & PTI_FRAME_REPLY) == 0 ||
        pti_opened_unpack(answer->payload, answer->size, &opened) != PTQ_OK)
        return pti_refuse(ret_reason, "an answer to OPEN makes no sense");
    if (port->capacity != 0 && (port->item_size != opened.item_size || port->placed != opened.placed ||
                                memcmp(port->id, opened.id, sizeof port->id) != 0)) {
        remote->state = PTI_REMOTE_FAILED; /* removed, and made anew while we were away */
        remote->failure = PTQ_EGONE;
        fail_calls(remote);
        pti_remote_wake(remote);
        return PTQ_OK;
    }
    if (port->capacity == 0) { /* facts are read without a lock: written once, before anybody has the handle */
        port->capacity = opened.capacity;
        port->window = opened.window;
        port->item_size = opened.item_size;
        port->header_size = opened.header_size;
        port->max_deliveries = opened.max_deliveries;
        port->placed = opened.placed;
        snprintf(remote->where_run, sizeof remote->where_run, "%s", opened.run);
        memcpy(remote->spec, opened.spec, sizeof remote->spec);
        port->spec = remote->spec;
        port->url = remote->conn->url;
        memcpy(port->id, opened.id, sizeof port->id);
        memcpy(port->run, opened.run, sizeof port->run);
        memcpy(port->node, opened.node, sizeof port->node);
    }
    pti_remote_note_stream(remote, &opened);
    remote->state = PTI_REMOTE_OPEN;
    remote->opened_epoch = remote->conn->epoch;
    pti_outbox_set_credit(&remote->conn->outbox, &remote->lane, opened.credit_bytes);
    pti_remote_resume(remote);
    return PTQ_OK;
}

/* For ptq_queue_explain. */
static void note_said(struct pti_remote *remote, const struct pti_error_message *error)
{
    remote->said = error->text[0] != '\0' ? error->code : PTQ_OK;
    snprintf(remote->said_text, sizeof remote->said_text, "%s", error->text);
}

static enum ptq_err read_channel_error(struct pti_remote *remote, const struct answer *answer, const char **ret_reason)
{
    struct pti_error_message error;

    if (pti_error_unpack(answer->payload, answer->size, &error) != PTQ_OK)
        return pti_refuse(ret_reason, "an ERROR makes no sense");
    if (remote->state == PTI_REMOTE_OPENING) {
        bool may_pass = error.code == PTQ_EBUSY || error.code == PTQ_EAGAIN || error.code == PTQ_ENOMEM;
        if (remote->port.capacity != 0 && may_pass) {
            remote->state = PTI_REMOTE_SHUT; /* the ticker asks again */
            return PTQ_OK;
        }
        remote->state = PTI_REMOTE_FAILED;
        remote->failure = error.code;
        note_said(remote, &error);
        fail_calls(remote);
        pti_remote_wake(remote);
        return PTQ_OK;
    }
    struct pti_call *call = pti_call_find(remote, answer->frame->number);
    if (call == NULL)
        return PTQ_OK;
    note_said(remote, &error);
    pti_call_answer(call, error.code, 0);
    return PTQ_OK;
}

/* The descriptors follow what the calls find. */
static void note_answer(struct pti_remote *remote, const struct pti_call *call, enum ptq_err code)
{
    if (call->type == PTI_FRAME_TAKE && (code == PTQ_EMPTY || code == PTQ_TIMEDOUT))
        pti_remote_dry(remote, PTQ_SIDE_GET);
    if (call->type == PTI_FRAME_PUT && (code == PTQ_FULL || code == PTQ_TIMEDOUT))
        pti_remote_dry(remote, PTQ_SIDE_PUT);
}

/* An answer to what nobody asks any more is no crime: it was asked. */
static enum ptq_err read_results(struct pti_remote *remote, const struct answer *answer, const char **ret_reason)
{
    size_t count;
    bool again = false;

    if (pti_read_results(answer->size, &count) != PTQ_OK)
        return pti_refuse(ret_reason, "a RESULT makes no sense");
    for (size_t i = 0; i < count; i++) {
        struct pti_result result;
        pti_read_result(answer->payload, i, &result);
        struct pti_call *call = pti_call_find(remote, result.number);
        if (call == NULL)
            continue;
        if (result.code == PTI_RESULT_RETRY) {
            pti_call_retry(call);
            again = true;
            continue;
        }
        if (result.code == PTI_RESULT_BEHIND && call->chained) {
            call->behind = true;
            pti_call_answer(call, PTQ_EAGAIN, 0);
            continue;
        }
        if (!pti_is_answer(result.code) || (call->type == PTI_FRAME_TAKE && result.code == PTQ_OK))
            return pti_refuse(ret_reason, "a RESULT is not one");
        if (result.code == remote->said) /* this time it was said without a reason */
            remote->said = PTQ_OK;
        note_answer(remote, call, (enum ptq_err)result.code);
        pti_call_answer(call, (enum ptq_err)result.code, result.value);
    }
    if (again) /* of a home that goes, not before the next link */
        pti_remote_push_calls(remote);
    return PTQ_OK;
}

static struct ptq_msg *keep_message(struct pti_remote *remote, const struct pti_record *record, struct pti_batch *batch)
{
    size_t before_headers = ((size_t)record->size + 3) & ~(size_t)3;
    struct pti_message *message = pti_message_new(remote, before_headers + 4u * record->headers);

    if (message == NULL)
        return NULL;
    message->batch = batch;
    if (batch != NULL)
        batch->left++;
    if (record->size > 0)
        memcpy(message->bytes, record->body, record->size);
    if (record->headers > 0)
        memcpy(message->bytes + before_headers, record->header_bytes, 4u * record->headers);
    message->msg.size = record->size;
    message->msg.headers = record->headers;
    message->msg.state = PTI_MSG_LEASED;
    message->msg.position = record->position;
    message->msg.sub = record->sub;
    message->msg.deliveries = record->deliveries;
    message->msg.redelivered = record->redelivered;
    message->msg.kind = record->kind;
    message->msg.type = record->type;
    return &message->msg;
}

/* Reads all records before any is kept. */
static enum ptq_err check_messages(const struct pti_remote *remote, const struct pti_call *call,
                                   struct pti_record_cursor cursor)
{
    struct pti_record record;
    enum ptq_err more;

    if (cursor.count > call->max)
        return PTQ_EPROTO;
    while ((more = pti_read_record(&cursor, &record)) == PTQ_OK) {
        if (record.size > remote->port.item_size || !pti_headers_fit(&remote->port, record.size, record.headers))
            return PTQ_EPROTO;
    }
    return more == PTQ_END ? PTQ_OK : PTQ_EPROTO;
}

/* Nobody asks for them any more: they are not ours to hold until the session ends. */
static enum ptq_err return_messages(struct pti_remote *remote, const struct answer *answer, const char **ret_reason)
{
    struct pti_record_cursor cursor;
    struct pti_record record;
    enum ptq_err more;

    if (pti_read_messages(answer->payload, answer->size, &cursor) != PTQ_OK)
        return pti_refuse(ret_reason, "MESSAGES make no sense");
    while ((more = pti_read_record(&cursor, &record)) == PTQ_OK && remote->count < PTI_WIRE_REQUESTS / 2)
        pti_remote_return(remote, record.position, record.sub, record.deliveries);
    return more == PTQ_EPROTO ? pti_refuse(ret_reason, "MESSAGES make no sense") : PTQ_OK;
}

static enum ptq_err read_messages(struct pti_remote *remote, const struct answer *answer, const char **ret_reason)
{
    struct pti_call *call = pti_call_find(remote, answer->frame->number);
    struct pti_record_cursor cursor;
    struct pti_record record;

    if (call == NULL)
        return return_messages(remote, answer, ret_reason);
    if (call->type != PTI_FRAME_TAKE || pti_read_messages(answer->payload, answer->size, &cursor) != PTQ_OK ||
        check_messages(remote, call, cursor) != PTQ_OK)
        return pti_refuse(ret_reason, "MESSAGES make no sense");
    struct pti_batch *batch = cursor.count > 1 && !call->abandoned ? calloc(1, sizeof *batch) : NULL;
    while (pti_read_record(&cursor, &record) == PTQ_OK) {
        struct ptq_msg *msg = call->abandoned ? NULL : keep_message(remote, &record, batch);
        if (msg != NULL)
            call->msgs[call->got++] = msg;
        else /* nobody waits, or there is no memory for it */
            pti_remote_return(remote, record.position, record.sub, record.deliveries);
    }
    if (batch != NULL && batch->left == 0)
        free(batch);
    pti_call_answer(call, call->abandoned || call->got > 0 ? PTQ_OK : PTQ_ENOMEM, call->got);
    return PTQ_OK;
}

/* Read by its caller. */
static enum ptq_err keep_reply(struct pti_call *call, const struct answer *answer)
{
    free(call->reply);
    call->reply = answer->size >= PTI_SHARE_SAID_HEAD ? malloc(answer->size) : NULL;
    if (call->reply != NULL)
        memcpy(call->reply, answer->payload, answer->size);
    call->reply_size = answer->size;
    pti_call_answer(call, call->reply != NULL ? PTQ_OK : answer->size < PTI_SHARE_SAID_HEAD ? PTQ_EPROTO : PTQ_ENOMEM, 0);
    return PTQ_OK;
}

static enum ptq_err read_reply(struct pti_remote *remote, const struct answer *answer, const char **ret_reason)
{
    struct pti_call *call = pti_call_find(remote, answer->frame->number);
    enum ptq_err read = PTQ_EPROTO;

    if (call == NULL || call->abandoned)
        return PTQ_OK;
    if (call->type == PTI_FRAME_STATS && call->type == answer->frame->type)
        read = pti_stats_unpack(answer->payload, answer->size, call->stats);
    else if (call->type == PTI_FRAME_DIRECTORY && call->type == answer->frame->type)
        read = pti_directory_unpack(answer->payload, answer->size, call->directory);
    else if (call->type == PTI_FRAME_LOOK && call->type == answer->frame->type)
        return keep_reply(call, answer);
    if (read != PTQ_OK)
        return pti_refuse(ret_reason, "a reply makes no sense");
    pti_call_answer(call, PTQ_OK, 0);
    return PTQ_OK;
}

static enum ptq_err read_notice(struct pti_remote *remote, const struct answer *answer, const char **ret_reason)
{
    uint32_t side;
    uint64_t credit;

    if (answer->frame->type == PTI_FRAME_CREDIT) {
        if (pti_credit_unpack(answer->payload, answer->size, &credit) != PTQ_OK)
            return pti_refuse(ret_reason, "a CREDIT makes no sense");
        pti_outbox_set_credit(&remote->conn->outbox, &remote->lane, credit);
        return PTQ_OK;
    }
    if (pti_read_side(answer->payload, answer->size, &side) != PTQ_OK)
        return pti_refuse(ret_reason, "a NOTIFY makes no sense");
    if (remote->watching[side])
        pti_remote_ready(remote, (enum ptq_side)side);
    return PTQ_OK;
}

static enum ptq_err read_answer(struct pti_remote *remote, const struct answer *answer, const char **ret_reason)
{
    switch (answer->frame->type) {
    case PTI_FRAME_RESULT:
        return read_results(remote, answer, ret_reason);
    case PTI_FRAME_MESSAGES:
        return read_messages(remote, answer, ret_reason);
    case PTI_FRAME_OPEN:
        return read_opened(remote, answer, ret_reason);
    case PTI_FRAME_ERROR:
        return read_channel_error(remote, answer, ret_reason);
    case PTI_FRAME_STATS:
    case PTI_FRAME_DIRECTORY:
    case PTI_FRAME_LOOK:
        return read_reply(remote, answer, ret_reason);
    case PTI_FRAME_NOTIFY:
    case PTI_FRAME_CREDIT:
        return read_notice(remote, answer, ret_reason);
    default:
        return pti_refuse(ret_reason, "a frame is of a type that this version does not know");
    }
}

static enum ptq_err read_piece(struct pti_remote *remote, const struct pti_frame *frame, const char **ret_reason)
{
    struct answer answer = {.frame = frame};
    remote->frames_read++;
    enum ptq_err large = pti_arrive(remote, frame, ret_reason);
    if (large != PTQ_ENOENT)
        return large;
    enum ptq_err whole =
        pti_assembly_add(&remote->assembly, frame, PTI_WIRE_REQUEST_BYTES, &answer.payload, &answer.size);

    if (whole == PTQ_EMPTY)
        return PTQ_OK;
    if (whole != PTQ_OK)
        return pti_refuse(ret_reason, whole == PTQ_ENOMEM ? "no memory" : "pieces do not fit together");
    return read_answer(remote, &answer, ret_reason);
}

enum ptq_err pti_conn_read(struct pti_conn *conn, struct pti_link *link, const struct pti_frame *frame,
                           const char **ret_reason)
{
    struct pti_remote *remote;

    if (frame->channel == 0)
        return pti_conn_read_control(conn, link, frame, ret_reason);
    if (conn->state != PTI_CONN_UP || frame->version != conn->outbox.version)
        return pti_refuse(ret_reason, "a frame came before the greeting, or is of another version");
    HASH_FIND(hh, conn->remotes, &frame->channel, sizeof frame->channel, remote);
    return remote != NULL ? read_piece(remote, frame, ret_reason) : PTQ_OK; /* closed a moment ago */
}
