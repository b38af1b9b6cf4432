/* gather.c -- what comes to the home in pieces, and what becomes of it where there is no memory.
 *
 * Whose put finds no memory has done nothing wrong, and his link carries the rest of his traffic: neither is the link
 * ended nor the reader stopped.  The pieces are thrown away as they come; the put waits, without its bytes, until there
 * is memory or its time is over; then it is asked to come again (PTI_RESULT_RETRY), under the same number.  A session
 * gathers no more than the largest request takes, so that one that leaves things half said starves itself alone.
 */
#include <stdlib.h>

#include "base/time.h"
#include "remote/server.h"
#include "base/bytes.h"

#define KEY_BYTES 16
#define LOOK_MS 50           /* how often those that starve are looked at */
#define STANDSTILL_MS 10000 /* pieces that do not go on for so long, while others starve */

static void count(struct pti_channel *channel)
{
    if (channel->assembly.room == channel->gathered)
        return;
    pti_server_count_bytes(channel->session, channel->assembly.room, channel->gathered);
    channel->session->gathered += channel->assembly.room - channel->gathered;
    channel->gathered = channel->assembly.room;
}

void pti_gather_clear(struct pti_channel *channel)
{
    struct pti_request *request;

    pti_assembly_clear(&channel->assembly);
    count(channel);
    channel->shed.number = 0;
    pti_large_clear(channel);
    while ((request = TAILQ_FIRST(&channel->starved)) != NULL)
        pti_request_free(request);
}

/* ---- no memory ---- */

/* A home of version 1 would not have come back to it, nor does a far side of version 1. */
static bool may_come_again(const struct pti_channel *channel)
{
    return channel->shed.timeout != 0 && channel->session->guest->outbox.version >= 2;
}

/* Whose code says too little: no right. */
static void say_why(struct pti_request *request, uint32_t code)
{
    struct pti_channel *channel = request->channel;
    struct ptq_error error = {0};

    if (code != PTQ_EPERM)
        return;
    (void)!pti_session_explain_denial(channel->session, channel->thing, channel->name, PTQ_RIGHT_PUT, &error);
    pti_request_because(request, error.text);
}

static enum ptq_err starve(struct pti_channel *channel, const struct pti_frame *frame, const char **ret_reason)
{
    struct pti_request *request;
    struct pti_stream_key key = {.number = frame->number};
    enum ptq_err answer = pti_serve_begin(channel, frame, &request, ret_reason);
    uint64_t position;

    channel->shed.number = 0;
    if (answer != PTQ_OK || request == NULL)
        return answer;
    if ((frame->flags & PTI_FRAME_KEYED) == 0 && pti_serve_is_done(channel, key, &position)) {
        pti_request_finish(request, PTQ_OK, position);
        return PTQ_OK;
    }
    if (channel->shed.code != 0 || !may_come_again(channel)) {
        say_why(request, channel->shed.code);
        pti_request_finish(request, channel->shed.code != 0 ? channel->shed.code : PTQ_ENOMEM, 0);
        return PTQ_OK;
    }
    request->starved = channel->shed.size;
    request->starved_loan = channel->shed.large;
    request->deadline = pti_request_deadline(channel->shed.timeout);
    pti_request_wait(request, PTQ_SIDE_PUT);
    pti_server_remind(channel->session->server, pti_now_ns() + LOOK_MS * PTI_NS_PER_MS);
    return PTQ_OK;
}

static enum ptq_err shed_piece(struct pti_channel *channel, const struct pti_frame *frame, const char **ret_reason)
{
    bool fits = frame->number == channel->shed.number && frame->length > 0 &&
                (frame->type == PTI_FRAME_PUT || frame->type == PTI_FRAME_PLACE) &&
                channel->shed.size + frame->length <= channel->shed.most;

    if (!fits)
        return pti_refuse(ret_reason, "pieces do not fit together");
    channel->shed.size += frame->length;
    if ((frame->flags & PTI_FRAME_MORE) != 0)
        return PTQ_EMPTY;
    enum ptq_err answer = starve(channel, frame, ret_reason);
    return answer == PTQ_OK ? PTQ_EMPTY : answer;
}

/* Law: the first piece is there, in the assembly or as this frame, and with it the head of the put. */
enum ptq_err pti_gather_shed(struct pti_channel *channel, const struct pti_frame *frame, uint32_t code, uint32_t large,
                             const char **ret_reason)
{
    size_t before = channel->assembly.type != 0 ? channel->assembly.size : 0;
    const uint8_t *head = before > 0 ? channel->assembly.bytes : frame->payload;
    size_t have = before > 0 ? before : frame->length;
    size_t key = (frame->flags & PTI_FRAME_KEYED) != 0 ? KEY_BYTES : 0;
    size_t timeout_at = key + (frame->type == PTI_FRAME_PLACE ? 8 : 4);

    if (have < timeout_at + 4 || (frame->type != PTI_FRAME_PUT && frame->type != PTI_FRAME_PLACE))
        return pti_refuse(ret_reason, "pieces do not fit together");
    channel->shed.number = frame->number;
    channel->shed.timeout = pti_fetch32(head + timeout_at);
    channel->shed.size = before;
    channel->shed.most = large > 0 ? (uint64_t)large + PTI_WIRE_HEADS_BYTES : PTI_WIRE_REQUEST_BYTES;
    channel->shed.code = code;
    channel->shed.large = large;
    pti_assembly_clear(&channel->assembly);
    count(channel);
    return shed_piece(channel, frame, ret_reason);
}

/* ---- memory ---- */

static uint64_t left_of(uint64_t most, uint64_t used)
{
    return used < most ? most - used : 0;
}

/* How large an assembly of this channel may become now. */
static uint64_t room_for(const struct pti_channel *channel)
{
    uint64_t left = pti_caps_left(channel->session->server, channel->session->peer, PTI_CAP_BYTES);
    uint64_t own = left_of(PTI_WIRE_REQUEST_BYTES + PTI_WIRE_PIECE_BYTES, channel->session->gathered);

    return channel->assembly.room + (left < own ? left : own);
}

/* Buffers that are kept for the next message in pieces. */
static void free_idle(struct pti_server *server)
{
    for (struct pti_session *session = server->sessions; session != NULL; session = session->hh.next) {
        for (struct pti_channel *channel = session->channels; channel != NULL; channel = channel->hh.next) {
            if (channel->assembly.type != 0)
                continue;
            pti_assembly_clear(&channel->assembly);
            count(channel);
        }
    }
}

/* Not where a session has gathered all that one may: that is its own affair. */
static void meet_bytes(struct pti_channel *channel, uint64_t need)
{
    struct pti_session *session = channel->session;

    if (need > channel->assembly.room + pti_caps_left(session->server, session->peer, PTI_CAP_BYTES))
        (void)!pti_caps_take(session->server, session->peer, PTI_CAP_BYTES, need - channel->assembly.room, NULL, 0);
}

static bool has_room(struct pti_channel *channel, uint64_t need)
{
    if (need <= room_for(channel))
        return true;
    free_idle(channel->session->server);
    return need <= room_for(channel);
}

/* In pieces. */
static bool begins_put(const struct pti_frame *frame)
{
    return (frame->flags & PTI_FRAME_MORE) != 0 && (frame->type == PTI_FRAME_PUT || frame->type == PTI_FRAME_PLACE);
}

enum ptq_err pti_gather(struct pti_channel *channel, const struct pti_frame *frame, const uint8_t **ret_payload,
                        size_t *ret_size, const char **ret_reason)
{
    bool goes_on = channel->assembly.type != 0;
    uint64_t need = (goes_on ? channel->assembly.size : 0) + frame->length;

    if (channel->shed.number != 0)
        return shed_piece(channel, frame, ret_reason);
    channel->gathered_at = pti_now_ns();
    if (channel->large.loan != NULL)
        return pti_large_add(channel, frame, ret_reason);
    if (!goes_on && begins_put(frame) && !pti_channel_may(channel, PTQ_RIGHT_PUT, NULL))
        return pti_gather_shed(channel, frame, PTQ_EPERM, PTI_WIRE_ITEM_BYTES, ret_reason);
    enum ptq_err large = !goes_on && pti_large_is(channel, frame) ? pti_large_begin(channel, frame, ret_reason) : PTQ_ENOENT;
    if (large != PTQ_ENOENT)
        return large;
    if (goes_on && (frame->number != channel->assembly.number || frame->type != channel->assembly.type))
        return pti_refuse(ret_reason, "pieces do not fit together");
    bool piece = goes_on || (frame->flags & PTI_FRAME_MORE) != 0;
    if (piece && need <= PTI_WIRE_REQUEST_BYTES && !has_room(channel, need)) {
        meet_bytes(channel, need);
        return pti_gather_shed(channel, frame, 0, 0, ret_reason);
    }
    enum ptq_err whole = pti_assembly_add(&channel->assembly, frame, PTI_WIRE_REQUEST_BYTES, ret_payload, ret_size);
    count(channel);
    if (whole == PTQ_ENOMEM)
        return pti_gather_shed(channel, frame, 0, 0, ret_reason);
    return whole == PTQ_EPROTO ? pti_refuse(ret_reason, "pieces do not fit together") : whole;
}

/* ---- memory again ---- */

static void end_standstills(struct pti_session *session, int64_t now)
{
    const struct pti_channel *channel;

    for (channel = session->channels; channel != NULL && session->guest != NULL; channel = channel->hh.next) {
        bool begun = channel->assembly.type != 0 || channel->large.loan != NULL;
        if (begun && now - channel->gathered_at >= STANDSTILL_MS * PTI_NS_PER_MS)
            pti_guest_refuse(session->guest, PTQ_EAGAIN, "a message in pieces stands still, and others need the memory");
    }
}

static void feed_large(struct pti_request *request)
{
    enum ptq_err answer = pti_large_probe(request->channel, request->starved_loan);

    if (answer != PTQ_FULL)
        pti_request_finish(request, answer == PTQ_OK ? PTI_RESULT_RETRY : (uint32_t)answer, 0);
}

static void feed(struct pti_session *session, uint64_t *left)
{
    uint64_t his = pti_caps_left(session->server, session->peer, PTI_CAP_BYTES);
    uint64_t own = left_of(PTI_WIRE_REQUEST_BYTES + PTI_WIRE_PIECE_BYTES, session->gathered);

    for (struct pti_channel *channel = session->channels; channel != NULL; channel = channel->hh.next) {
        struct pti_request *request = TAILQ_FIRST(&channel->starved);
        if (request == NULL)
            continue;
        if (request->starved_loan > 0) {
            feed_large(request);
            continue;
        }
        if (request->starved > own || request->starved > his || request->starved > *left)
            continue;
        own -= request->starved;
        his -= request->starved;
        *left -= request->starved;
        pti_request_finish(request, PTI_RESULT_RETRY, 0);
    }
}

void pti_gather_feed(struct pti_server *server, int64_t now)
{
    if (server->starving == 0)
        return;
    free_idle(server);
    uint64_t left = left_of(server->caps.most[PTI_CAP_BYTES][PTI_ALL], server->caps.used[PTI_CAP_BYTES]);
    for (struct pti_session *session = server->sessions; session != NULL; session = session->hh.next) {
        feed(session, &left);
        end_standstills(session, now);
    }
    if (server->starving > 0)
        pti_server_remind(server, now + LOOK_MS * PTI_NS_PER_MS);
}
