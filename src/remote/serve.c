/* serve.c -- the frames of a channel: each request once, and its answer kept until it was received. */
#define HASH_NONFATAL_OOM 1
#include <stdlib.h>
#include <string.h>

#include "remote/server.h"
#include "remote/step.h"
#include "wire/bytes.h"

/* ---- what needs no number ---- */

static void serve_stats(struct pti_channel *channel, const struct pti_frame *frame)
{
    struct ptq_queue_stats stats = {0};
    struct pti_error_message error = {0};
    uint8_t bytes[PTI_CONTROL_BYTES];
    enum ptq_err answer = channel->port->ops->stats(channel->port, &stats);

    if (answer == PTQ_OK) {
        pti_guest_push(channel->session->guest, &channel->lane, PTI_FRAME_STATS, PTI_FRAME_REPLY, frame->number, bytes,
                      pti_stats_pack(&stats, bytes, sizeof bytes));
        return;
    }
    error.code = answer;
    pti_guest_push(channel->session->guest, &channel->lane, PTI_FRAME_ERROR, 0, frame->number, bytes,
                  pti_error_pack(&error, bytes, sizeof bytes));
}

static enum ptq_err serve_watch(struct pti_channel *channel, const uint8_t *payload, size_t size,
                                const char **ret_reason)
{
    uint32_t side;

    if (pti_read_side(payload, size, &side) != PTQ_OK)
        return pti_refuse(ret_reason, "a WATCH makes no sense");
    channel->watched[side] = true;
    pti_channel_arm(channel, (enum ptq_side)side);
    return PTQ_OK;
}

/* ---- numbers ---- */

static struct pti_request *find_request(struct pti_channel *channel, uint64_t number)
{
    struct pti_request *request;

    TAILQ_FOREACH(request, &channel->requests, listed) {
        if (request->number == number)
            return request;
    }
    return NULL;
}

bool pti_serve_knows(struct pti_channel *channel, uint64_t number)
{
    return number <= channel->highest && find_request(channel, number) != NULL;
}

/* The other side has the answers up to `ack`: they need not be kept. */
static void forget_received(struct pti_channel *channel, uint64_t ack)
{
    struct pti_request *request = TAILQ_FIRST(&channel->requests), *next;

    if (ack <= channel->received)
        return;
    pti_step(PTI_STEP_RECEIVED_READ);
    channel->received = ack;
    for (; request != NULL && request->number <= ack; request = next) {
        next = TAILQ_NEXT(request, listed);
        if (request->state == PTI_REQUEST_DONE)
            pti_request_free(request);
    }
}

/* Answers above `ack` that the other side has: it will not ask for them again. */
static enum ptq_err serve_received(struct pti_channel *channel, const uint8_t *payload, size_t size,
                                   const char **ret_reason)
{
    if (channel->session->guest->outbox.version < 2 || size == 0 || size % 8 != 0)
        return pti_refuse(ret_reason, "a RECEIVED makes no sense");
    pti_step(PTI_STEP_RECEIVED_READ);
    for (size_t at = 0; at < size; at += 8) {
        struct pti_request *request = find_request(channel, pti_fetch64(payload + at));
        if (request != NULL && request->state == PTI_REQUEST_DONE)
            pti_request_free(request);
    }
    return PTQ_OK;
}

static struct pti_request *new_request(struct pti_channel *channel, const struct pti_frame *frame)
{
    struct pti_request *request = channel->request_count < PTI_REQUESTS_KEPT ? calloc(1, sizeof *request) : NULL;

    if (request == NULL)
        return NULL;
    request->channel = channel;
    request->number = frame->number;
    request->type = frame->type;
    TAILQ_INSERT_TAIL(&channel->requests, request, listed);
    channel->request_count++;
    if (frame->number > channel->highest)
        channel->highest = frame->number;
    return request;
}

/* It was asked before, over a link that broke: the answer, if there is one, is said again. */
static enum ptq_err answer_again(struct pti_request *request, const char **ret_reason)
{
    if (request->state == PTI_REQUEST_WAITING)
        return PTQ_OK;
    if (request->settled > 0)
        return pti_refuse(ret_reason, "messages are asked for again that were settled");
    if (!pti_outbox_holds(&request->channel->session->guest->outbox, &request->out))
        pti_request_answer(request);
    return PTQ_OK;
}

enum ptq_err pti_serve_begin(struct pti_channel *channel, const struct pti_frame *frame, struct pti_request **ret_request,
                             const char **ret_reason)
{
    *ret_request = NULL;
    if (frame->number <= channel->received)
        return pti_refuse(ret_reason, "something is asked again whose answer was received");
    struct pti_request *request = frame->number <= channel->highest ? find_request(channel, frame->number) : NULL;
    if (request != NULL)
        return answer_again(request, ret_reason);
    *ret_request = new_request(channel, frame);
    return *ret_request != NULL ? PTQ_OK : pti_refuse(ret_reason, "too much is asked at once");
}

static enum ptq_err serve_request(struct pti_channel *channel, const struct pti_frame *frame, const uint8_t *payload,
                                  size_t size, const char **ret_reason)
{
    struct pti_request *request;
    enum ptq_err answer = pti_serve_begin(channel, frame, &request, ret_reason);

    if (answer != PTQ_OK || request == NULL)
        return answer;
    answer = pti_request_serve(request, payload, size, ret_reason);
    if (answer != PTQ_OK)
        pti_request_free(request);
    return answer;
}

static void serve_cancel(struct pti_channel *channel, uint64_t number)
{
    struct pti_request *request = find_request(channel, number);

    if (request != NULL && request->state == PTI_REQUEST_WAITING)
        pti_request_finish(request, PTQ_EINTR, 0);
}

/* The answer goes without the lane, which is gone by then. */
static void serve_close(struct pti_channel *channel, uint64_t number)
{
    struct pti_guest *guest = channel->session->guest;
    struct pti_result result = {.number = number};
    uint8_t bytes[PTI_RESULT_RECORD];
    uint32_t id = channel->id;

    pti_step(PTI_STEP_CLOSE_READ);
    pti_channel_free(channel);
    pti_write_result(bytes, &result);
    guest->dirty = true;
    if (!pti_outbox_push_answer(&guest->outbox, id, PTI_FRAME_RESULT, 0, bytes, sizeof bytes))
        pti_guest_doom(guest, "no memory for an answer");
}

static enum ptq_err serve_whole(struct pti_channel *channel, const struct pti_frame *frame, const uint8_t *payload,
                                size_t size, const char **ret_reason)
{
    switch (frame->type) {
    case PTI_FRAME_PUT:
    case PTI_FRAME_PLACE:
    case PTI_FRAME_TAKE:
    case PTI_FRAME_SETTLE:
    case PTI_FRAME_CALL:
        return serve_request(channel, frame, payload, size, ret_reason);
    case PTI_FRAME_CANCEL:
        serve_cancel(channel, frame->number);
        return PTQ_OK;
    case PTI_FRAME_RECEIVED:
        return serve_received(channel, payload, size, ret_reason);
    case PTI_FRAME_WATCH:
        return serve_watch(channel, payload, size, ret_reason);
    case PTI_FRAME_STATS:
        serve_stats(channel, frame);
        return PTQ_OK;
    case PTI_FRAME_CLOSE:
        serve_close(channel, frame->number);
        return PTQ_OK;
    default:
        return pti_refuse(ret_reason, "a frame is of a type that this version does not know");
    }
}

enum ptq_err pti_serve(struct pti_channel *channel, const struct pti_frame *frame, const char **ret_reason)
{
    const uint8_t *payload;
    size_t size;

    forget_received(channel, frame->ack);
    enum ptq_err whole = pti_gather(channel, frame, &payload, &size, ret_reason);
    if (whole != PTQ_OK)
        return whole == PTQ_EMPTY ? PTQ_OK : whole;
    return serve_whole(channel, frame, payload, size, ret_reason);
}
