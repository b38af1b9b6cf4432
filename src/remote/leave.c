/* leave.c -- takes at the home: what a session holds, how it is sent, and how it is settled. */
#define HASH_NONFATAL_OOM 1
#include <stdio.h>
#include <stdlib.h>

#include "base/time.h"
#include "queue/header.h"
#include "remote/server.h"
#include "remote/step.h"

#define MOST_AT_ONCE 4096u /* messages in one answer */

/* ---- leases ---- */

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
    pti_caps_give(channel->session->server, channel->session->peer, PTI_CAP_LEASES, 1);
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

void pti_request_say_messages(struct pti_request *request)
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
    channel->session->server->caps.used[PTI_CAP_LEASES] += kept;
    channel->session->peer->used[PTI_CAP_LEASES] += kept;
    for (size_t i = kept; i < count; i++) /* no memory to remember them: as if they had not been taken */
        (void)!ops->untake(channel->port, msgs[i]);
    return kept > 0 ? PTQ_OK : PTQ_ENOMEM;
}

/* He is to settle some first. */
static enum ptq_err refuse_lease(struct pti_request *request)
{
    struct pti_session *session = request->channel->session;
    char cap[200] = "", why[240];

    if (pti_caps_take(session->server, session->peer, PTI_CAP_LEASES, 1, cap, sizeof cap)) /* never: there was none left */
        pti_caps_give(session->server, session->peer, PTI_CAP_LEASES, 1);
    snprintf(why, sizeof why, "%s; ack or nack some first", cap);
    pti_request_because(request, why);
    return PTQ_EAGAIN;
}

enum ptq_err pti_leave_try(struct pti_request *request)
{
    struct pti_channel *channel = request->channel;
    struct pti_server *server = channel->session->server;
    struct pti_party *peer = channel->session->peer;
    uint64_t left = pti_caps_left(server, peer, PTI_CAP_LEASES);
    uint32_t max = most_messages(request);
    size_t count;

    if (left == 0)
        return refuse_lease(request);
    max = left < max ? (uint32_t)left : max;
    if (!pti_make_room((void **)&server->msgs, &server->msg_room, max, sizeof *server->msgs))
        return PTQ_ENOMEM;
    const struct pti_port_ops *ops = channel->port->ops;
    enum ptq_err answer = (request->more && ops->take_more ? ops->take_more : ops->take)(channel->port, max, PTI_DEADLINE_NOW,
                                                                                         server->msgs, &count);
    if (answer != PTQ_OK)
        return answer;
    pti_step(PTI_STEP_TAKEN);
    return keep_leases(request, server->msgs, count);
}

enum ptq_err pti_leave_serve(struct pti_request *request, const uint8_t *payload, size_t size,
                               const char **ret_reason)
{
    struct pti_take take;

    if (pti_read_take(payload, size, &take) != PTQ_OK)
        return pti_refuse(ret_reason, "a TAKE makes no sense");
    request->max = take.max;
    request->more = take.more && request->channel->session->guest->outbox.version >= 2;
    request->deadline = pti_request_deadline(take.timeout);
    enum ptq_err answer = pti_leave_try(request);
    if (answer == PTQ_EMPTY && request->deadline != PTI_DEADLINE_NOW)
        pti_request_wait(request, PTQ_SIDE_GET);
    else
        pti_request_finish(request, answer, request->lease_count);
    return PTQ_OK;
}

/* ---- settlements ---- */

enum ptq_err pti_leave_settle(struct pti_request *request, const uint8_t *payload, size_t size,
                                 const char **ret_reason)
{
    struct pti_channel *channel = request->channel;
    struct pti_port *port = channel->port;
    struct pti_settle settle;

    if (pti_read_settle(payload, size, &settle) != PTQ_OK)
        return pti_refuse(ret_reason, "a SETTLE makes no sense");
    struct pti_lease *lease = pti_channel_lease(channel, settle.position, settle.sub, settle.deliveries);
    if (lease == NULL || lease->msg->deliveries != settle.deliveries) {
        pti_request_finish(request, PTQ_ELEASELOST, 0);
        return PTQ_OK;
    }
    if (lease->request != NULL && pti_outbox_holds(&channel->session->guest->outbox, &lease->request->out))
        return pti_refuse(ret_reason, "a message is settled before it was sent");
    pti_step(PTI_STEP_SETTLE_READ);
    struct ptq_msg *msg = lease->msg;
    drop_lease(channel, lease);
    enum ptq_err answer = settle.verb == PTI_SETTLE_ACK    ? port->ops->ack(port, msg)
                          : settle.verb == PTI_SETTLE_NACK ? port->ops->nack(port, msg, settle.delay_ms)
                                                           : port->ops->untake(port, msg);
    pti_step(PTI_STEP_SETTLED);
    pti_request_finish(request, answer, 0);
    return PTQ_OK;
}
