/* large.c -- large messages at the home: written into their place in the queue as they come, piece by piece.
 *
 * The first piece says how large it is; a loan of that size is taken, and each piece is copied to where it will be
 * read: no memory of the bridge is used, and no piece is copied twice.  Pieces of other channels come between, so
 * nobody is held up.
 * Where there is no loan to be had the pieces are thrown away (gather.c) and the put waits, to come again; up to 1 MiB, they
 * are put together in memory.
 */
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "queue/header.h"
#include "remote/server.h"
#include "remote/step.h"
#include "base/bytes.h"

bool pti_large_is(const struct pti_channel *channel, const struct pti_frame *frame)
{
    struct pti_record record;
    size_t body_at;

    return channel->thing == 0 && frame->type == PTI_FRAME_PUT && (frame->flags & (PTI_FRAME_MORE | PTI_FRAME_KEYED)) == PTI_FRAME_MORE &&
           channel->session->guest->outbox.version >= 2 &&
           pti_read_beginning(frame->payload, frame->length, false, &record, &body_at) &&
           record.size > PTI_WIRE_LOAN_BYTES;
}

static bool fits(const struct pti_port *port, const struct pti_record *record)
{
    return record->size <= port->item_size && pti_headers_fit(port, record->size, record->headers);
}

/* What stands behind the record may lie in a frame that is soon overwritten. */
static bool keep_headers(struct pti_record *record)
{
    uint8_t *copy = malloc(record->headers > 0 ? 4u * record->headers : 1);

    if (copy != NULL && record->headers > 0)
        memcpy(copy, record->header_bytes, 4u * record->headers);
    record->header_bytes = copy;
    return copy != NULL;
}

static enum ptq_err append(struct pti_channel *channel, const uint8_t *bytes, size_t size)
{
    struct pti_large *large = &channel->large;

    if (size > large->record.size - large->at)
        return PTQ_EPROTO;
    memcpy((uint8_t *)large->loan->data + large->at, bytes, size);
    large->at += size;
    pti_step(PTI_STEP_PIECE_READ);
    return PTQ_EMPTY;
}

/* 0: there will be room later. */
static uint32_t answer_now(const struct pti_channel *channel, enum ptq_err err, uint32_t timeout)
{
    return err == PTQ_FULL && timeout != 0 && channel->port->full != PTQ_FULL_FAIL ? 0 : (uint32_t)err;
}

enum ptq_err pti_large_begin(struct pti_channel *channel, const struct pti_frame *frame, const char **ret_reason)
{
    struct pti_large *large = &channel->large;
    struct pti_port *port = channel->port;
    struct pti_stream_key key = {.number = frame->number};
    enum ptq_err answer = PTQ_OK;
    struct pti_record record;
    uint64_t position;
    size_t body_at;

    if (!pti_read_beginning(frame->payload, frame->length, false, &record, &body_at))
        return pti_refuse(ret_reason, "a put makes no sense");
    if (channel->lost_stream || (channel->stream != NULL && pti_stream_is_keyed(channel->stream)))
        return pti_refuse(ret_reason, "a put comes over a channel that has no numbers for it");
    uint32_t timeout = pti_fetch32(frame->payload + 4);
    bool known = pti_serve_knows(channel, frame->number) || pti_serve_is_done(channel, key, &position);
    bool must = record.size > PTI_WIRE_LARGE_BYTES;
    if (!must && (known || channel->session->server->draining))
        return PTQ_ENOENT;
    if (known || channel->session->server->draining)
        return pti_gather_shed(channel, frame, PTI_RESULT_RETRY, record.size, ret_reason);
    if (!fits(port, &record))
        answer = PTQ_EMSGSIZE;
    if (answer == PTQ_OK)
        answer = port->ops->loan(port, record.size, PTI_DEADLINE_NOW, &large->loan);
    if (answer == PTQ_OK && !keep_headers(&record)) {
        port->ops->abort(port, large->loan);
        large->loan = NULL;
        answer = PTQ_ENOMEM;
    }
    if (answer != PTQ_OK && !must)
        return PTQ_ENOENT;
    if (answer != PTQ_OK)
        return pti_gather_shed(channel, frame, answer_now(channel, answer, timeout), record.size, ret_reason);
    large->number = frame->number;
    large->at = 0;
    large->record = record;
    large->timeout = timeout;
    return append(channel, frame->payload + body_at, frame->length - body_at);
}

void pti_large_clear(struct pti_channel *channel)
{
    struct pti_large *large = &channel->large;

    if (large->loan == NULL)
        return;
    channel->port->ops->abort(channel->port, large->loan);
    free((void *)(uintptr_t)large->record.header_bytes);
    large->loan = NULL;
}

/* ---- all of it is there ---- */

static void serve_loan(struct pti_request *request, uint32_t timeout)
{
    uint64_t position = 0;

    pti_step(PTI_STEP_PUT_READ);
    request->deadline = pti_request_deadline(timeout);
    enum ptq_err answer = pti_large_try(request, &position);
    if (answer == PTQ_FULL && answer_now(request->channel, answer, timeout) == 0)
        pti_request_wait(request, PTQ_SIDE_PUT);
    else
        pti_request_finish(request, answer, position);
}

enum ptq_err pti_large_add(struct pti_channel *channel, const struct pti_frame *frame, const char **ret_reason)
{
    struct pti_large *large = &channel->large;
    struct pti_request *request;
    bool more = (frame->flags & PTI_FRAME_MORE) != 0;

    if (frame->number != large->number || frame->type != PTI_FRAME_PUT || frame->length == 0 ||
        append(channel, frame->payload, frame->length) != PTQ_EMPTY || (!more && large->at != large->record.size))
        return pti_refuse(ret_reason, "pieces do not fit together");
    if (more)
        return PTQ_EMPTY;
    enum ptq_err answer = pti_serve_begin(channel, frame, &request, ret_reason);
    if (answer != PTQ_OK || request == NULL) {
        pti_large_clear(channel);
        return answer != PTQ_OK ? answer : PTQ_EMPTY;
    }
    request->key = (struct pti_stream_key){.number = frame->number};
    request->loan = large->loan;
    request->loan_record = large->record;
    large->loan = NULL;
    serve_loan(request, large->timeout);
    return PTQ_EMPTY;
}

enum ptq_err pti_large_try(struct pti_request *request, uint64_t *ret_position)
{
    enum ptq_err answer = pti_enter_loaned(request, request->loan, &request->loan_record, ret_position);

    if (answer != PTQ_OK)
        return answer;
    request->loan = NULL;
    free((void *)(uintptr_t)request->loan_record.header_bytes);
    return PTQ_OK;
}

void pti_large_drop(struct pti_request *request)
{
    struct pti_port *port = request->channel->port;

    if (request->loan == NULL)
        return;
    port->ops->abort(port, request->loan);
    request->loan = NULL;
    free((void *)(uintptr_t)request->loan_record.header_bytes);
}

enum ptq_err pti_large_probe(struct pti_channel *channel, uint32_t size)
{
    struct ptq_msg *loan;
    enum ptq_err answer = channel->port->ops->loan(channel->port, size, PTI_DEADLINE_NOW, &loan);

    if (answer == PTQ_OK)
        channel->port->ops->abort(channel->port, loan);
    return answer;
}
