/* enter.c -- puts and places at the home: their records are read where they lie, and put; or wait for room. */
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "os/clock.h"
#include "queue/header.h"
#include "queue/queue.h"
#include "remote/server.h"
#include "remote/step.h"
#include "base/bytes.h"

#define WIRE_KINDS 7u /* the other bits of a kind are the ring's own */
#define MOST_DELAY_US (UINT64_C(1) << 46) /* two years: what is due later is due then */

static bool record_fits(const struct pti_port *port, const struct pti_record *record)
{
    return record->size <= port->item_size && pti_headers_fit(port, record->size, record->headers);
}

/* A delay begins when its put came in, however often that is tried. */
static uint64_t due_of(struct pti_request *request, const struct pti_record *record)
{
    if (record->delay_us == 0)
        return 0;
    if (request->arrived == 0)
        request->arrived = pti_host_ns();
    return (uint64_t)request->arrived / 1000 + (record->delay_us < MOST_DELAY_US ? record->delay_us : MOST_DELAY_US);
}

static struct pti_put put_of(struct pti_request *request, const struct pti_record *record)
{
    return (struct pti_put){.data = record->body,
                            .size = record->size,
                            .kind = (uint8_t)((record->kind & WIRE_KINDS) | (record->redelivered ? PTI_KIND_AGAIN : 0)),
                            .type = record->type,
                            .ttl = record->ttl,
                            .headers = record->headers,
                            .header_bytes = record->header_bytes,
                            .due_us = due_of(request, record),
                            .stream = request->note,
                            .number = request->serial};
}

/* Most are plain: without headers, time to live, delay. */
static size_t read_plain(struct pti_request *request, struct pti_record_cursor *cursor, struct pti_put *puts, uint32_t *largest)
{
    const struct pti_put same = {.stream = request->note, .number = request->serial};
    const uint8_t *head;
    size_t count = 0;
    uint32_t size;

    while ((head = pti_read_plain(cursor, &size)) != NULL) {
        struct pti_put *put = &puts[count++];
        *put = same;
        put->data = head + PTI_PUT_RECORD;
        put->size = size;
        put->kind = (uint8_t)((head[4] & WIRE_KINDS) | ((head[5] & 1) != 0 ? PTI_KIND_AGAIN : 0));
        put->type = pti_fetch16(head + 6);
        *largest = size > *largest ? size : *largest;
    }
    return count;
}

/* The records as what a carrier takes; their bodies stay where they are. */
static enum ptq_err read_records(struct pti_request *request, struct pti_record_cursor *cursor)
{
    struct pti_channel *channel = request->channel;
    struct pti_server *server = channel->session->server;
    enum ptq_err more, fits = PTQ_OK;
    struct pti_record record;
    uint32_t largest = 0;
    size_t count = 0;

    if (!pti_make_room((void **)&server->puts, &server->put_room, cursor->count, sizeof *server->puts))
        return PTQ_ENOMEM;
    do {
        count += read_plain(request, cursor, server->puts + count, &largest);
        more = pti_read_record(cursor, &record);
        if (more != PTQ_OK)
            break;
        if (!record_fits(channel->port, &record))
            fits = PTQ_EMSGSIZE;
        server->puts[count++] = put_of(request, &record);
    } while (true);
    if (largest > channel->port->item_size)
        fits = PTQ_EMSGSIZE;
    return more == PTQ_END ? fits : PTQ_EPROTO;
}

static enum ptq_err try_put(struct pti_request *request, const uint8_t *payload, size_t size, uint64_t *ret_position)
{
    struct pti_channel *channel = request->channel;
    struct pti_port *port = channel->port;
    struct pti_put **puts = &channel->session->server->puts;
    struct pti_record_cursor cursor;
    uint32_t timeout;

    enum ptq_err answer = pti_read_put(payload, size, &timeout, &cursor);
    if (answer == PTQ_OK)
        answer = read_records(request, &cursor);
    if (answer != PTQ_OK)
        return answer;
    if (cursor.count > port->capacity)
        return PTQ_ETOOBIG;
    (*puts)->packs = request->packs;
    return cursor.count == 1 ? port->ops->put(port, *puts, PTI_DEADLINE_NOW, ret_position)
                             : port->ops->put_many(port, *puts, cursor.count, PTI_DEADLINE_NOW, ret_position);
}

static enum ptq_err try_place(struct pti_request *request, const uint8_t *payload, size_t size, uint64_t *ret_position)
{
    struct pti_channel *channel = request->channel;
    struct pti_record_cursor cursor;
    uint32_t timeout;

    enum ptq_err answer = pti_read_place(payload, size, ret_position, &timeout, &cursor);
    if (answer == PTQ_OK)
        answer = read_records(request, &cursor);
    if (answer != PTQ_OK)
        return answer;
    if (!channel->port->placed)
        return PTQ_EINVAL;
    return channel->port->ops->place(channel->port, *ret_position, channel->session->server->puts, PTI_DEADLINE_NOW);
}

/* Law: intent, put, fact (remote/streams.h). */
static void begin_entering(struct pti_request *request)
{
    struct pti_stream *stream = request->channel->stream;

    if (stream == NULL)
        return;
    pti_stream_intend(stream, request->key, &request->note, &request->serial);
    pti_step(PTI_STEP_INTENT);
}

static void end_entering(struct pti_request *request, enum ptq_err answer, uint64_t position)
{
    struct pti_stream *stream = request->channel->stream;

    if (answer == PTQ_OK)
        pti_step(PTI_STEP_PUBLISHED);
    if (stream == NULL)
        return;
    if (answer == PTQ_OK) {
        pti_stream_fact(stream, request->key, position);
        pti_step(PTI_STEP_FACT);
    } else {
        pti_stream_undone(stream);
    }
}

/* The same key may have been asked twice, by who was cut off from the first. */
static bool is_in(const struct pti_request *request, uint64_t *ret_position)
{
    struct pti_stream *stream = request->channel->stream;

    return stream != NULL && pti_stream_is_keyed(stream) && pti_stream_done(stream, request->key, ret_position);
}

static bool is_behind_held(const struct pti_request *request)
{
    const struct pti_channel *channel = request->channel;

    return channel->held.code != PTQ_OK && pti_channel_is_ordered(channel) &&
           pti_position_compare(request->key.number, channel->held.number) > 0;
}

/* Law: what is carried in order does not go past what there was no memory for.  Its carrier asks again for that, and then for all that
 * was answered likewise behind it. */
static void note_held(const struct pti_request *request, enum ptq_err answer)
{
    struct pti_channel *channel = request->channel;
    bool lacks = answer == PTQ_ENOSPC || answer == PTQ_ENOMEM || answer == PTQ_EAGAIN;

    if (!pti_channel_is_ordered(channel) || is_behind_held(request) || answer == PTQ_FULL)
        return;
    if (lacks) {
        channel->held.code = answer;
        channel->held.number = request->key.number;
    } else if (channel->held.number == request->key.number) {
        channel->held.code = PTQ_OK;
    }
}

enum ptq_err pti_enter_try(struct pti_request *request, const uint8_t *payload, size_t size, uint64_t *ret_position)
{
    if (is_in(request, ret_position)) {
        note_held(request, PTQ_OK);
        return PTQ_OK;
    }
    if (is_behind_held(request))
        return request->channel->held.code;
    begin_entering(request);
    enum ptq_err answer = request->type == PTI_FRAME_PLACE ? try_place(request, payload, size, ret_position)
                                                           : try_put(request, payload, size, ret_position);

    end_entering(request, answer, *ret_position);
    note_held(request, answer);
    return answer;
}

enum ptq_err pti_enter_loaned(struct pti_request *request, struct ptq_msg *loan, const struct pti_record *record,
                              uint64_t *ret_position)
{
    struct pti_port *port = request->channel->port;

    begin_entering(request);
    struct pti_put put = put_of(request, record);
    enum ptq_err answer = port->ops->publish(port, loan, &put, PTI_DEADLINE_NOW, ret_position);

    end_entering(request, answer, *ret_position);
    note_held(request, answer);
    return answer;
}

/* A put that has to wait is copied: its frame's buffer is needed for what comes next.  Law: credit bounds it. */
static enum ptq_err keep_payload(struct pti_request *request, const uint8_t *payload, size_t size,
                                 const char **ret_reason)
{
    struct pti_channel *channel = request->channel;
    struct pti_session *session = channel->session;
    char why[200];

    if (channel->buffered > 0 && channel->buffered + size > PTI_WIRE_CREDIT_BYTES + PTI_WIRE_PIECE_BYTES)
        return pti_refuse(ret_reason, "more puts wait than there was credit for");
    if (!pti_caps_take(session->server, session->peer, PTI_CAP_BYTES, size, why, sizeof why)) {
        pti_request_because(request, why);
        return PTQ_ENOMEM;
    }
    request->payload = malloc(size);
    if (request->payload == NULL) {
        pti_caps_give(session->server, session->peer, PTI_CAP_BYTES, size);
        return PTQ_ENOMEM;
    }
    memcpy(request->payload, payload, size);
    request->payload_size = size;
    channel->buffered += size;
    pti_channel_grant(channel);
    return PTQ_OK;
}

/* What a mover carries is carried in order: it does not go past what waits. */
bool pti_channel_is_ordered(const struct pti_channel *channel)
{
    return channel->stream != NULL && pti_stream_is_keyed(channel->stream) && !channel->unordered;
}

static bool must_queue(const struct pti_request *request)
{
    return (request->chained || pti_channel_is_ordered(request->channel)) && !TAILQ_EMPTY(&request->channel->puts);
}

enum ptq_err pti_enter_serve(struct pti_request *request, const uint8_t *payload, size_t size, const char **ret_reason)
{
    size_t timeout_at = request->type == PTI_FRAME_PLACE ? 8 : 4;
    uint64_t position = 0;

    pti_step(PTI_STEP_PUT_READ);
    if (size < timeout_at + 4) /* what has to wait is not read before its turn */
        return pti_refuse(ret_reason, "a put makes no sense");
    if (pti_request_is_behind(request))
        return PTQ_OK;
    enum ptq_err answer = must_queue(request) ? PTQ_FULL : pti_enter_try(request, payload, size, &position);

    if (answer == PTQ_EPROTO)
        return pti_refuse(ret_reason, "a put makes no sense");
    request->deadline = pti_request_deadline(pti_fetch32(payload + timeout_at));
    if (answer != PTQ_FULL || request->deadline == PTI_DEADLINE_NOW || request->channel->port->full == PTQ_FULL_FAIL) {
        pti_request_finish(request, answer, position);
        return PTQ_OK;
    }
    answer = keep_payload(request, payload, size, ret_reason);
    if (answer == PTQ_EPROTO)
        return answer;
    note_held(request, answer == PTQ_OK ? PTQ_FULL : answer);
    if (answer == PTQ_OK)
        pti_request_wait(request, PTQ_SIDE_PUT);
    else
        pti_request_finish(request, answer, 0);
    return PTQ_OK;
}
