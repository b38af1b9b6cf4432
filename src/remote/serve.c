/* serve.c -- the frames of a channel: each request once, and its answer kept until it was received. */
#define HASH_NONFATAL_OOM 1
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "remote/received.h"
#include "remote/server.h"
#include "remote/share.h"
#include "remote/step.h"
#include "base/bytes.h"

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
    if (!pti_channel_may(channel, side == PTQ_SIDE_GET ? PTQ_RIGHT_GET : PTQ_RIGHT_PUT, NULL)) {
        pti_channel_mark(channel, (enum ptq_side)side); /* whoever tries is told */
        channel->watched[side] = true;
        return PTQ_OK;
    }
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
    if (channel->stream != NULL && !pti_stream_is_keyed(channel->stream))
        pti_stream_received(channel->stream, ack);
    for (; request != NULL && request->number <= ack; request = next) {
        next = TAILQ_NEXT(request, listed);
        if (request->state == PTI_REQUEST_DONE)
            pti_request_free(request);
    }
}

/* Answers that need not be kept: how many of these there were. */
static size_t forget_each(struct pti_channel *channel, const uint8_t *payload, size_t size)
{
    size_t found = 0;

    for (size_t at = 0; at < size; at += 8) {
        struct pti_stream_key key = {.number = pti_fetch64(payload + at)};
        bool known = key.number > channel->received && key.number <= channel->highest;
        struct pti_request *request = known ? find_request(channel, key.number) : NULL;
        if (channel->stream != NULL && !pti_stream_is_keyed(channel->stream))
            pti_stream_forget(channel->stream, key);
        found += request != NULL;
        if (request != NULL && request->state == PTI_REQUEST_DONE)
            pti_request_free(request);
    }
    return found;
}

/* Answers above `ack` that the other side has: it will not ask for them again.  To look for what is not there is work in vain. */
static enum ptq_err serve_received(struct pti_channel *channel, const struct pti_frame *frame, const uint8_t *payload, size_t size,
                                   const char **ret_reason)
{
    bool keyed = (frame->flags & PTI_FRAME_KEYED) != 0;
    struct pti_guest *guest = channel->session->guest;

    if (guest->outbox.version < 2 || size == 0 || size % 8 != 0 || size > 8 * PTI_RECEIVED_MOST ||
        (keyed && (size != 8 || channel->stream == NULL || !pti_stream_is_keyed(channel->stream))))
        return pti_refuse(ret_reason, "a RECEIVED makes no sense");
    pti_step(PTI_STEP_RECEIVED_READ);
    if (keyed) { /* they are settled at their source, up to this position */
        pti_stream_received(channel->stream, pti_fetch64(payload));
        return PTQ_OK;
    }
    int64_t since = pti_now_ns();
    if (forget_each(channel, payload, size) == 0) {
        int64_t now = pti_now_ns();
        pti_caps_vain(guest, now - since, now);
    }
    return PTQ_OK;
}

#define FIRST_REQUESTS 64u

/* In blocks that double, so that nothing is counted for a single one. */
static bool has_room(struct pti_channel *channel)
{
    struct pti_session *session = channel->session;
    unsigned more = channel->request_room > 0 ? channel->request_room : FIRST_REQUESTS;

    if (channel->request_count < channel->request_room)
        return true;
    if (channel->request_room + more > PTI_REQUESTS_KEPT ||
        !pti_caps_take(session->server, session->peer, PTI_CAP_REQUESTS, more, NULL, 0))
        return false;
    channel->request_room += more;
    return true;
}

static struct pti_request *new_request(struct pti_channel *channel, const struct pti_frame *frame)
{
    struct pti_request *request = has_room(channel) ? calloc(1, sizeof *request) : NULL;

    if (request == NULL)
        return NULL;
    request->channel = channel;
    request->number = frame->number;
    request->type = frame->type;
    request->packs = frame->type == PTI_FRAME_PUT && (frame->flags & (PTI_FRAME_CHAINED | PTI_FRAME_PACKS)) != 0;
    request->chained = frame->type == PTI_FRAME_PUT && (frame->flags & PTI_FRAME_CHAINED) != 0;
    if (request->chained && (frame->flags & PTI_FRAME_ANEW) != 0 && channel->undone < frame->number)
        channel->undone = 0;
    TAILQ_INSERT_TAIL(&channel->requests, request, listed);
    channel->request_count++;
    if (frame->number > channel->highest)
        channel->highest = frame->number;
    return request;
}

static bool is_put(const struct pti_frame *frame)
{
    return frame->type == PTI_FRAME_PUT || frame->type == PTI_FRAME_PLACE;
}

/* Under which name is it known in its stream?  A key stands before what is put. */
static enum ptq_err read_key(struct pti_channel *channel, const struct pti_frame *frame, const uint8_t **payload, size_t *size,
                             struct pti_stream_key *ret_key, const char **ret_reason)
{
    *ret_key = (struct pti_stream_key){.number = frame->number};
    if (channel->lost_stream)
        return pti_refuse(ret_reason, "the numbers of this channel went on over another");
    bool keyed = (frame->flags & PTI_FRAME_KEYED) != 0, must = channel->stream != NULL && pti_stream_is_keyed(channel->stream);
    if (!keyed)
        return must ? pti_refuse(ret_reason, "a put without a key comes among such as have one") : PTQ_OK;
    if (channel->stream == NULL || *size < PTI_WIRE_KEY)
        return pti_refuse(ret_reason, "a put with a key makes no sense");
    *ret_key = (struct pti_stream_key){pti_fetch64(*payload), pti_fetch32(*payload + 8)};
    *payload += PTI_WIRE_KEY;
    *size -= PTI_WIRE_KEY;
    pti_stream_set_keyed(channel->stream);
    return PTQ_OK;
}

/* Called off, or late: it was not done, and is to be done now. */
static bool is_tried_again(const struct pti_request *request, const struct pti_frame *frame)
{
    return (frame->flags & PTI_FRAME_RETRY) != 0 && is_put(frame) && request->state == PTI_REQUEST_DONE &&
           (request->code == PTQ_EINTR || request->code == PTQ_TIMEDOUT || request->code == PTQ_FULL);
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
    if (request != NULL && !is_tried_again(request, frame))
        return answer_again(request, ret_reason);
    if (request != NULL)
        pti_request_free(request);
    *ret_request = new_request(channel, frame);
    return *ret_request != NULL ? PTQ_OK : pti_refuse(ret_reason, "too much is asked at once");
}

bool pti_serve_is_done(struct pti_channel *channel, struct pti_stream_key key, uint64_t *ret_position)
{
    return channel->stream != NULL && pti_stream_done(channel->stream, key, ret_position);
}

static enum ptq_err serve_request(struct pti_channel *channel, const struct pti_frame *frame, const uint8_t *payload,
                                  size_t size, const char **ret_reason)
{
    struct pti_stream_key key = {0};
    struct pti_request *request;
    uint64_t position;

    enum ptq_err answer = is_put(frame) ? read_key(channel, frame, &payload, &size, &key, ret_reason) : PTQ_OK;
    if (answer == PTQ_OK)
        answer = pti_serve_begin(channel, frame, &request, ret_reason);
    if (answer != PTQ_OK || request == NULL)
        return answer;
    request->key = key;
    if (is_put(frame) && pti_serve_is_done(channel, key, &position)) {
        pti_request_finish(request, PTQ_OK, position);
        return PTQ_OK;
    }
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
    channel->closed = true;
    pti_channel_free(channel);
    pti_write_result(bytes, &result);
    pti_guest_touch(guest);
    if (!pti_outbox_push_answer(&guest->outbox, id, PTI_FRAME_RESULT, 0, bytes, sizeof bytes))
        pti_guest_doom(guest, "no memory for an answer");
}

static enum ptq_err serve_whole(struct pti_channel *channel, const struct pti_frame *frame, const uint8_t *payload,
                                size_t size, const char **ret_reason)
{
    if (!pti_share_home_takes(channel, frame->type))
        return pti_refuse(ret_reason, "a frame is of a type that this version does not know, or not for what this channel is open for");
    switch (frame->type) {
    case PTI_FRAME_LOOK:
        return pti_share_home_look(channel, frame, payload, size, ret_reason);
    case PTI_FRAME_PUT:
    case PTI_FRAME_PLACE:
    case PTI_FRAME_TAKE:
    case PTI_FRAME_SETTLE:
    case PTI_FRAME_CALL:
    case PTI_FRAME_AWAIT:
        return serve_request(channel, frame, payload, size, ret_reason);
    case PTI_FRAME_CANCEL:
        serve_cancel(channel, frame->number);
        return PTQ_OK;
    case PTI_FRAME_RECEIVED:
        return serve_received(channel, frame, payload, size, ret_reason);
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
