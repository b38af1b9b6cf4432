/* arrive.c -- large messages at the far side: memory for one is taken when it begins, and filled as its pieces come. */
#include <string.h>

#include "queue/header.h"
#include "remote/call.h"

static size_t before_headers(const struct pti_record *record)
{
    return ((size_t)record->size + 3) & ~(size_t)3;
}

static void fill_message(struct pti_message *message, const struct pti_record *record)
{
    struct ptq_msg *msg = &message->msg;

    msg->size = record->size;
    msg->headers = record->headers;
    msg->state = PTI_MSG_LEASED;
    msg->position = record->position;
    msg->sub = record->sub;
    msg->deliveries = record->deliveries;
    msg->redelivered = record->redelivered;
    msg->kind = record->kind;
    msg->type = record->type;
}

static bool is_waited_for(struct pti_remote *remote, uint64_t number)
{
    const struct pti_call *call = pti_call_find(remote, number);

    return call != NULL && !call->abandoned;
}

/* Law: nothing is allocated before the size was compared with the queue's. */
static enum ptq_err begin(struct pti_remote *remote, const struct pti_frame *frame, const struct pti_record *record,
                          const char **ret_reason)
{
    const struct pti_call *call = pti_call_find(remote, frame->number);

    if (record->size > remote->port.item_size || !pti_headers_fit(&remote->port, record->size, record->headers) ||
        (call != NULL && call->type != PTI_FRAME_TAKE))
        return pti_refuse(ret_reason, "MESSAGES make no sense");
    remote->arriving.on = true;
    remote->arriving.number = frame->number;
    remote->arriving.at = 0;
    remote->arriving.record = *record;
    remote->arriving.message = is_waited_for(remote, frame->number)
                                   ? pti_message_new(remote, before_headers(record) + 4u * record->headers)
                                   : NULL;
    if (remote->arriving.message != NULL && record->headers > 0)
        memcpy(remote->arriving.message->bytes + before_headers(record), record->header_bytes, 4u * record->headers);
    return PTQ_OK;
}

static enum ptq_err append(struct pti_remote *remote, const uint8_t *bytes, size_t size, const char **ret_reason)
{
    if (size > remote->arriving.record.size - remote->arriving.at)
        return pti_refuse(ret_reason, "pieces do not fit together");
    if (remote->arriving.message != NULL)
        memcpy(remote->arriving.message->bytes + remote->arriving.at, bytes, size);
    remote->arriving.at += size;
    return PTQ_OK;
}

static void finish(struct pti_remote *remote)
{
    const struct pti_record *record = &remote->arriving.record;
    struct pti_call *call = pti_call_find(remote, remote->arriving.number);
    struct pti_message *message = remote->arriving.message;
    bool waited = call != NULL && !call->abandoned;

    remote->arriving.on = false;
    remote->arriving.message = NULL;
    if (waited && message != NULL) {
        fill_message(message, record);
        call->msgs[call->got++] = &message->msg;
    } else {
        if (message != NULL)
            pti_message_free(remote, message);
        pti_remote_return(remote, record->position, record->sub, record->deliveries);
    }
    if (call != NULL)
        pti_call_answer(call, !waited || call->got > 0 ? PTQ_OK : PTQ_ENOMEM, call->got);
}

enum ptq_err pti_arrive(struct pti_remote *remote, const struct pti_frame *frame, const char **ret_reason)
{
    bool more = (frame->flags & PTI_FRAME_MORE) != 0;
    struct pti_record record;
    size_t body_at = 0;

    if (!remote->arriving.on) {
        if (frame->type != PTI_FRAME_MESSAGES || !more || remote->assembly.type != 0 ||
            !pti_read_beginning(frame->payload, frame->length, true, &record, &body_at) ||
            record.size <= PTI_WIRE_LARGE_BYTES)
            return PTQ_ENOENT;
        enum ptq_err begun = begin(remote, frame, &record, ret_reason);
        if (begun != PTQ_OK)
            return begun;
    } else if (frame->type != PTI_FRAME_MESSAGES || frame->number != remote->arriving.number || frame->length == 0) {
        return pti_refuse(ret_reason, "pieces do not fit together");
    }
    enum ptq_err answer = append(remote, frame->payload + body_at, frame->length - body_at, ret_reason);
    if (answer != PTQ_OK || more)
        return answer;
    if (remote->arriving.at != remote->arriving.record.size)
        return pti_refuse(ret_reason, "pieces do not fit together");
    finish(remote);
    return PTQ_OK;
}

void pti_arrive_clear(struct pti_remote *remote)
{
    if (remote->arriving.message != NULL)
        pti_message_free(remote, remote->arriving.message);
    remote->arriving.message = NULL;
    remote->arriving.on = false;
}
