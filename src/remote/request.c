/* request.c -- what is asked of a queue here, one request at a time: tried, made to wait, answered. */
#define HASH_NONFATAL_OOM 1
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "os/clock.h"
#include "queue/header.h"
#include "remote/server.h"
#include "wire/bytes.h"

#define MOST_AT_ONCE 4096u /* messages in one answer */
#define MOST_DELAY_US (UINT64_C(1) << 46) /* two years: what is due later is due then */

static enum ptq_err refuse(const char **ret_reason, const char *reason)
{
    *ret_reason = reason;
    return PTQ_EPROTO;
}

/* ---- answers ---- */

static struct pti_requests *list_of(struct pti_request *request)
{
    struct pti_channel *channel = request->channel;

    return request->type == PTI_FRAME_TAKE   ? &channel->takes
           : request->type == PTI_FRAME_CALL ? &channel->claims
                                             : &channel->puts;
}

static void stop_waiting(struct pti_request *request)
{
    struct pti_channel *channel = request->channel;

    if (request->state == PTI_REQUEST_WAITING)
        TAILQ_REMOVE(list_of(request), request, waiting);
    request->state = PTI_REQUEST_DONE;
    channel->buffered -= request->payload_size;
    channel->session->server->buffered -= request->payload_size;
    if (request->payload_size > 0)
        pti_channel_grant(channel);
    free(request->payload);
    request->payload = NULL;
    request->payload_size = 0;
}

static void say_messages(struct pti_request *request);

/* Says what is known; while the session is down it is kept, and asked for again. */
void pti_request_answer(struct pti_request *request)
{
    struct pti_channel *channel = request->channel;
    struct pti_guest *guest = channel->session->guest;

    if (guest == NULL)
        return;
    guest->dirty = true;
    if (request->lease_count > 0)
        say_messages(request);
    else if (!pti_outbox_push_result(&guest->outbox, &channel->lane, request->number, request->code, request->value))
        pti_guest_doom(guest, "no memory for an answer");
}

/* What was not done need not be remembered: it may be asked again under the same number. */
void pti_request_finish(struct pti_request *request, uint32_t code, uint64_t value)
{
    stop_waiting(request);
    request->code = code;
    request->value = value;
    pti_request_answer(request);
    if (code == PTI_RESULT_RETRY)
        pti_request_free(request);
}

void pti_request_free(struct pti_request *request)
{
    struct pti_channel *channel = request->channel;

    stop_waiting(request);
    if (channel->session->guest != NULL)
        pti_outbox_drop(&channel->session->guest->outbox, &channel->lane, &request->out);
    for (uint32_t i = 0; i < request->lease_count; i++) {
        if (request->leases[i] != NULL)
            request->leases[i]->request = NULL;
    }
    TAILQ_REMOVE(&channel->requests, request, listed);
    channel->request_count--;
    free(request->leases);
    free(request);
}

/* ---- waiting ---- */

static int64_t deadline_of(uint32_t timeout)
{
    if (timeout == 0)
        return PTI_DEADLINE_NOW;
    return timeout == PTI_TIMEOUT_NEVER ? PTI_DEADLINE_NEVER : pti_now_ns() + timeout * PTI_NS_PER_MS;
}

static void wait_for(struct pti_request *request, enum ptq_side side)
{
    struct pti_channel *channel = request->channel;
    struct pti_server *server = channel->session->server;

    if (server->draining) {
        pti_request_finish(request, PTI_RESULT_RETRY, 0);
        return;
    }
    request->state = PTI_REQUEST_WAITING;
    TAILQ_INSERT_TAIL(list_of(request), request, waiting);
    if (request->deadline != PTI_DEADLINE_NEVER)
        pti_server_remind(server, request->deadline);
    if (request->type == PTI_FRAME_CALL)
        pti_server_remind(server, pti_now_ns());
    pti_channel_arm(channel, side);
}

/* ---- puts ---- */

static bool make_room(void **array, size_t *room, size_t count, size_t size)
{
    if (count <= *room)
        return true;
    void *grown = realloc(*array, count * size);
    if (grown == NULL)
        return false;
    *array = grown;
    *room = count;
    return true;
}

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

/* The records as what a carrier takes; their bodies stay where they are. */
static enum ptq_err read_records(struct pti_request *request, struct pti_record_cursor *cursor)
{
    struct pti_channel *channel = request->channel;
    struct pti_server *server = channel->session->server;
    enum ptq_err more, fits = PTQ_OK;
    struct pti_record record;
    size_t count = 0;

    if (!make_room((void **)&server->puts, &server->put_room, cursor->count, sizeof *server->puts))
        return PTQ_ENOMEM;
    while ((more = pti_read_record(cursor, &record)) == PTQ_OK) {
        if (!record_fits(channel->port, &record))
            fits = PTQ_EMSGSIZE;
        server->puts[count++] = (struct pti_put){.data = record.body,
                                                 .size = record.size,
                                                 .kind = record.kind,
                                                 .type = record.type,
                                                 .ttl = record.ttl,
                                                 .headers = record.headers,
                                                 .header_bytes = record.header_bytes,
                                                 .due_us = due_of(request, &record),
                                                 .stream = channel->session->number << 32 | channel->id,
                                                 .number = request->number};
    }
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
    return cursor.count == 1 ? port->ops->put(port, *puts, PTI_DEADLINE_NOW, ret_position)
                             : port->ops->put_many(port, *puts, cursor.count, PTI_DEADLINE_NOW, ret_position);
}

static enum ptq_err try_place(struct pti_request *request, const uint8_t *payload, size_t size)
{
    struct pti_channel *channel = request->channel;
    struct pti_record_cursor cursor;
    uint64_t position;
    uint32_t timeout;

    enum ptq_err answer = pti_read_place(payload, size, &position, &timeout, &cursor);
    if (answer == PTQ_OK)
        answer = read_records(request, &cursor);
    if (answer != PTQ_OK)
        return answer;
    if (!channel->port->placed)
        return PTQ_EINVAL;
    return channel->port->ops->place(channel->port, position, channel->session->server->puts, PTI_DEADLINE_NOW);
}

static enum ptq_err try_in(struct pti_request *request, const uint8_t *payload, size_t size, uint64_t *ret_position)
{
    return request->type == PTI_FRAME_PLACE ? try_place(request, payload, size)
                                            : try_put(request, payload, size, ret_position);
}

/* A put that has to wait is copied: its frame's buffer is needed for what comes next.  Law: credit bounds it. */
static enum ptq_err keep_payload(struct pti_request *request, const uint8_t *payload, size_t size,
                                 const char **ret_reason)
{
    struct pti_channel *channel = request->channel;
    struct pti_server *server = channel->session->server;

    if (channel->buffered > 0 && channel->buffered + size > PTI_WIRE_CREDIT_BYTES + PTI_WIRE_PIECE_BYTES)
        return refuse(ret_reason, "more puts wait than there was credit for");
    if (server->buffered + size > PTI_BUFFERED_MOST)
        return PTQ_ENOMEM;
    request->payload = malloc(size);
    if (request->payload == NULL)
        return PTQ_ENOMEM;
    memcpy(request->payload, payload, size);
    request->payload_size = size;
    channel->buffered += size;
    server->buffered += size;
    pti_channel_grant(channel);
    return PTQ_OK;
}

static enum ptq_err serve_in(struct pti_request *request, const uint8_t *payload, size_t size, const char **ret_reason)
{
    size_t timeout_at = request->type == PTI_FRAME_PLACE ? 8 : 4;
    uint64_t position = 0;
    enum ptq_err answer = try_in(request, payload, size, &position);

    if (answer == PTQ_EPROTO)
        return refuse(ret_reason, "a put makes no sense");
    request->deadline = deadline_of(pti_fetch32(payload + timeout_at));
    if (answer != PTQ_FULL || request->deadline == PTI_DEADLINE_NOW || request->channel->port->full == PTQ_FULL_FAIL) {
        pti_request_finish(request, answer, position);
        return PTQ_OK;
    }
    answer = keep_payload(request, payload, size, ret_reason);
    if (answer == PTQ_EPROTO)
        return answer;
    if (answer == PTQ_OK)
        wait_for(request, PTQ_SIDE_PUT);
    else
        pti_request_finish(request, answer, 0);
    return PTQ_OK;
}

/* ---- takes ---- */

static struct pti_lease *new_lease(struct pti_request *request, struct ptq_msg *msg, size_t index)
{
    struct pti_channel *channel = request->channel;
    struct pti_lease *lease = calloc(1, sizeof *lease);
    unsigned before = HASH_COUNT(channel->leases);

    if (lease == NULL)
        return NULL;
    lease->key.position = msg->position;
    lease->key.sub = msg->sub | (uint64_t)msg->deliveries << 32; /* a session may hold one that ran out, and its copy */
    lease->msg = msg;
    lease->request = request;
    lease->index = index;
    HASH_ADD(hh, channel->leases, key, sizeof lease->key, lease);
    if (HASH_COUNT(channel->leases) == before) {
        free(lease);
        return NULL;
    }
    return lease;
}

static void drop_lease(struct pti_channel *channel, struct pti_lease *lease)
{
    if (lease->request != NULL) {
        lease->request->leases[lease->index] = NULL;
        lease->request->settled++;
    }
    HASH_DELETE(hh, channel->leases, lease);
    free(lease);
}

static struct pti_record record_of(const struct ptq_msg *msg)
{
    return (struct pti_record){.size = msg->size,
                               .type = msg->type,
                               .kind = msg->kind,
                               .headers = msg->headers,
                               .redelivered = msg->redelivered,
                               .sub = msg->sub,
                               .deliveries = msg->deliveries,
                               .position = msg->position};
}

/* head, then for each message its record, its headers and its body */
static const void *part_of_messages(struct pti_out *out, size_t index, size_t *ret_size)
{
    struct pti_request *request = (struct pti_request *)(void *)out;

    if (index == 0) {
        pti_write_messages_head(request->head, request->lease_count);
        *ret_size = PTI_MESSAGES_HEAD;
        return request->head;
    }
    const struct ptq_msg *msg = request->leases[(index - 1) / 3]->msg;
    if (index % 3 == 0) {
        *ret_size = msg->size;
        return msg->data;
    }
    if (index % 3 == 2) {
        *ret_size = 4u * msg->headers;
        return pti_headers_of(msg);
    }
    struct pti_record record = record_of(msg);
    *ret_size = pti_write_message_record(request->record, &record);
    return request->record;
}

static void say_messages(struct pti_request *request)
{
    struct pti_channel *channel = request->channel;

    request->out.type = PTI_FRAME_MESSAGES;
    request->out.number = request->number;
    request->out.part = part_of_messages;
    request->out.size = PTI_MESSAGES_HEAD;
    for (uint32_t i = 0; i < request->lease_count; i++) {
        struct pti_record record = record_of(request->leases[i]->msg);
        request->out.size += pti_message_record_size(&record);
    }
    pti_outbox_push(&channel->session->guest->outbox, &channel->lane, &request->out);
}

/* As many as the other side is ready to receive at once, were they all as large as they may be. */
static uint32_t most_messages(const struct pti_request *request)
{
    const struct pti_channel *channel = request->channel;
    uint64_t largest = PTI_MESSAGE_RECORD + PTI_RECORD_MORE + channel->port->item_size + channel->port->header_size + 3;
    uint64_t fit = (channel->session->request_bytes - PTI_MESSAGES_HEAD) / largest;
    uint64_t most = fit < 1 ? 1 : fit < MOST_AT_ONCE ? fit : MOST_AT_ONCE;

    return request->max < most ? request->max : (uint32_t)most;
}

static enum ptq_err keep_leases(struct pti_request *request, struct ptq_msg **msgs, size_t count)
{
    struct pti_channel *channel = request->channel;
    const struct pti_port_ops *ops = channel->port->ops;
    size_t kept = 0;

    request->leases = calloc(count, sizeof *request->leases);
    while (request->leases != NULL && kept < count) {
        request->leases[kept] = new_lease(request, msgs[kept], kept);
        if (request->leases[kept] == NULL)
            break;
        kept++;
    }
    request->lease_count = (uint32_t)kept;
    for (size_t i = kept; i < count; i++) /* no memory to remember them: as if they had not been taken */
        (void)!ops->untake(channel->port, msgs[i]);
    return kept > 0 ? PTQ_OK : PTQ_ENOMEM;
}

static enum ptq_err try_take(struct pti_request *request)
{
    struct pti_channel *channel = request->channel;
    struct pti_server *server = channel->session->server;
    uint32_t max = most_messages(request);
    size_t count;

    if (!make_room((void **)&server->msgs, &server->msg_room, max, sizeof *server->msgs))
        return PTQ_ENOMEM;
    const struct pti_port_ops *ops = channel->port->ops;
    enum ptq_err answer = (request->more && ops->take_more ? ops->take_more : ops->take)(channel->port, max, PTI_DEADLINE_NOW,
                                                                                         server->msgs, &count);
    return answer == PTQ_OK ? keep_leases(request, server->msgs, count) : answer;
}

static enum ptq_err serve_take(struct pti_request *request, const uint8_t *payload, size_t size,
                               const char **ret_reason)
{
    struct pti_take take;

    if (pti_read_take(payload, size, &take) != PTQ_OK)
        return refuse(ret_reason, "a TAKE makes no sense");
    request->max = take.max;
    request->more = take.more;
    request->deadline = deadline_of(take.timeout);
    enum ptq_err answer = try_take(request);
    if (answer == PTQ_EMPTY && request->deadline != PTI_DEADLINE_NOW)
        wait_for(request, PTQ_SIDE_GET);
    else
        pti_request_finish(request, answer, request->lease_count);
    return PTQ_OK;
}

/* ---- settlements ---- */

static enum ptq_err serve_settle(struct pti_request *request, const uint8_t *payload, size_t size,
                                 const char **ret_reason)
{
    struct pti_channel *channel = request->channel;
    struct pti_port *port = channel->port;
    struct pti_settle settle;

    if (pti_read_settle(payload, size, &settle) != PTQ_OK)
        return refuse(ret_reason, "a SETTLE makes no sense");
    struct pti_lease *lease = pti_channel_lease(channel, settle.position, settle.sub, settle.deliveries);
    if (lease == NULL || lease->msg->deliveries != settle.deliveries) {
        pti_request_finish(request, PTQ_ELEASELOST, 0);
        return PTQ_OK;
    }
    if (lease->request != NULL && pti_outbox_holds(&channel->session->guest->outbox, &lease->request->out))
        return refuse(ret_reason, "a message is settled before it was sent");
    struct ptq_msg *msg = lease->msg;
    drop_lease(channel, lease);
    enum ptq_err answer = settle.verb == PTI_SETTLE_ACK    ? port->ops->ack(port, msg)
                          : settle.verb == PTI_SETTLE_NACK ? port->ops->nack(port, msg, settle.delay_ms)
                                                           : port->ops->untake(port, msg);
    pti_request_finish(request, answer, 0);
    return PTQ_OK;
}

/* ---- the rest ---- */

static enum ptq_err serve_call(struct pti_request *request, const uint8_t *payload, size_t size,
                               const char **ret_reason)
{
    struct pti_port *port = request->channel->port;
    struct pti_call_message call;
    uint64_t value = 0;
    bool lost = false;
    enum ptq_err answer = PTQ_EINVAL;

    if (pti_read_call(payload, size, &call) != PTQ_OK)
        return refuse(ret_reason, "a CALL makes no sense");
    switch (call.verb) {
    case PTI_CALL_END:
        answer = port->ops->end(port);
        break;
    case PTI_CALL_LIMIT:
        answer = port->ops->limit(port, call.value);
        break;
    case PTI_CALL_HEAD:
        answer = port->ops->head(port, &value);
        break;
    case PTI_CALL_CENSUS:
        answer = port->ops->census(port, call.value, &lost);
        value = lost;
        break;
    case PTI_CALL_CLAIM:
        answer = port->ops->claim(port, PTI_DEADLINE_NOW);
        break;
    case PTI_CALL_PURGE:
        if (port->window == 0 && !port->placed)
            answer = port->ops->purge(port, &value);
        break;
    case PTI_CALL_PAUSE:
        answer = port->ops->pause(port, call.value != 0);
        break;
    case PTI_CALL_KICK:
        answer = port->ops->kick(port, call.value, &value);
        break;
    }
    request->deadline = deadline_of(call.timeout);
    if (call.verb == PTI_CALL_CLAIM && answer == PTQ_EBUSY && request->deadline != PTI_DEADLINE_NOW)
        wait_for(request, PTQ_SIDE_GET);
    else
        pti_request_finish(request, answer, value);
    return PTQ_OK;
}

static bool is_batch(const struct pti_request *request)
{
    return request->type == PTI_FRAME_PUT && pti_fetch32(request->payload) > 1;
}

/* PTQ_EMPTY: there is nothing more for others that wait likewise. */
enum ptq_err pti_request_try(struct pti_request *request)
{
    struct pti_port *port = request->channel->port;
    uint64_t value = 0;
    enum ptq_err answer;

    if (request->type == PTI_FRAME_TAKE) {
        answer = try_take(request);
        value = request->lease_count;
    } else if (request->type == PTI_FRAME_CALL) {
        answer = port->ops->claim(port, PTI_DEADLINE_NOW);
    } else {
        answer = try_in(request, request->payload, request->payload_size, &value);
    }
    if (answer == PTQ_FULL)
        return is_batch(request) ? PTQ_FULL : PTQ_EMPTY;
    if (answer == PTQ_EMPTY || (answer == PTQ_EBUSY && request->type == PTI_FRAME_CALL))
        return PTQ_EMPTY;
    pti_request_finish(request, answer, value);
    return PTQ_OK;
}

/* ---- all of them ---- */

enum ptq_err pti_request_serve(struct pti_request *request, const uint8_t *payload, size_t size,
                               const char **ret_reason)
{
    bool new_work = request->type == PTI_FRAME_PUT || request->type == PTI_FRAME_TAKE;

    if (new_work && request->channel->session->server->draining) {
        pti_request_finish(request, PTI_RESULT_RETRY, 0);
        return PTQ_OK;
    }
    switch (request->type) {
    case PTI_FRAME_PUT:
    case PTI_FRAME_PLACE:
        return serve_in(request, payload, size, ret_reason);
    case PTI_FRAME_TAKE:
        return serve_take(request, payload, size, ret_reason);
    case PTI_FRAME_SETTLE:
        return serve_settle(request, payload, size, ret_reason);
    default:
        return serve_call(request, payload, size, ret_reason);
    }
}
