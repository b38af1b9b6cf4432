/* take.c -- what comes out through the bridge: taken, and settled. */
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "remote/via/verbs.h"

static struct pti_via_message *read_message(struct pti_via *via, const uint8_t *at, size_t size, uint64_t epoch,
                                            size_t *ret_whole)
{
    struct pti_answer_record record;

    if (size < sizeof record)
        return NULL;
    memcpy(&record, at, sizeof record);
    *ret_whole = pti_answer_record_bytes(record.size, record.headers);
    if (*ret_whole > size)
        return NULL;
    struct pti_via_message *message = pti_via_message_new(via, *ret_whole - sizeof record);
    if (message == NULL)
        return NULL;
    memcpy(message->bytes, at + sizeof record, *ret_whole - sizeof record);
    message->lease = record.lease;
    message->epoch = epoch;
    message->msg.size = record.size;
    message->msg.position = record.position;
    message->msg.sub = record.sub;
    message->msg.deliveries = record.deliveries;
    message->msg.type = record.type;
    message->msg.kind = record.kind;
    message->msg.headers = record.headers;
    message->msg.redelivered = record.redelivered;
    message->msg.state = PTI_MSG_LEASED;
    return message;
}

/* All of them, or none: then those go back. */
static enum ptq_err read_messages(struct pti_via *via, const struct pti_via_call *call, uint64_t epoch, struct ptq_msg **msgs,
                                  size_t *ret_count)
{
    const uint8_t *at = call->bytes;
    size_t left = call->size, count = 0;

    while (count < call->count) {
        size_t whole;
        struct pti_via_message *message = read_message(via, at, left, epoch, &whole);
        if (message == NULL)
            break;
        msgs[count++] = &message->msg;
        at += whole;
        left -= whole;
    }
    if (count == call->count) {
        *ret_count = count;
        return PTQ_OK;
    }
    while (count-- > 0)
        (void)!via->port.ops->untake(&via->port, msgs[count]);
    return PTQ_ENOMEM;
}

static bool has_lost_claim(struct pti_via *via)
{
    pthread_mutex_lock(&via->mutex);
    bool lost = via->claim_lost;
    pthread_mutex_unlock(&via->mutex);
    return lost;
}

static uint64_t epoch_now(struct pti_via *via)
{
    pthread_mutex_lock(&via->mutex);
    uint64_t epoch = via->epoch;
    pthread_mutex_unlock(&via->mutex);
    return epoch;
}

static enum ptq_err take_inside(struct pti_port *port, uint16_t flags, size_t max, int64_t deadline, struct ptq_msg **msgs,
                                size_t *ret_count)
{
    struct pti_via *via = pti_via_of(port);
    struct pti_via_call call = {
        .ask = {.verb = PTI_ASK_TAKE, .flags = flags, .value = max < PTI_VIA_TAKE_MOST ? max : PTI_VIA_TAKE_MOST}};
    enum ptq_err err;

    if (has_lost_claim(via) && (err = pti_via_claim(port, PTI_DEADLINE_NOW)) != PTQ_OK)
        return err;
    if (!pti_via_pipe_is_empty(via))
        (void)!pti_via_pipe_flush(via, PTI_DEADLINE_NOW); /* else who talks to himself would wait for ever */
    pti_via_hush(via, PTQ_SIDE_GET);
    err = pti_via_call(via, &call, deadline, PTI_VIA_ASK_AGAIN);
    if (err == PTQ_OK)
        err = read_messages(via, &call, epoch_now(via), msgs, ret_count);
    pti_via_hear(via, PTQ_SIDE_GET, err);
    free(call.bytes);
    return err;
}

static enum ptq_err take(struct pti_port *port, uint16_t flags, size_t max, int64_t deadline, struct ptq_msg **msgs,
                         size_t *ret_count)
{
    struct pti_via *via = pti_via_of(port);
    enum ptq_err err = PTQ_EINTR;

    if (pti_via_enter(via))
        err = take_inside(port, flags, max, deadline, msgs, ret_count);
    pti_via_leave(via);
    return err;
}

enum ptq_err pti_via_take(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs, size_t *ret_count)
{
    return take(port, 0, max, deadline, msgs, ret_count);
}

enum ptq_err pti_via_take_more(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs, size_t *ret_count)
{
    return take(port, PTI_ASK_MORE, max, deadline, msgs, ret_count);
}

/* The bridge that leased it is gone: so is the lease, or it goes soon. */
static bool is_lost(struct pti_via *via, const struct pti_via_message *message)
{
    pthread_mutex_lock(&via->mutex);
    bool lost = message->epoch != via->epoch || !via->connected;
    pthread_mutex_unlock(&via->mutex);
    return lost;
}

static enum ptq_err settle(struct pti_port *port, struct ptq_msg *msg, enum pti_ask_verb verb, int delay_ms)
{
    struct pti_via *via = pti_via_of(port);
    struct pti_via_message *message = (struct pti_via_message *)(void *)msg;
    uint64_t lease = message->lease;
    struct pti_via_call call = {.ask = {.verb = (uint8_t)verb, .value = lease, .delay_ms = delay_ms, .count = 1},
                                .body = &lease,
                                .body_size = sizeof lease};
    bool lost = is_lost(via, message);

    pti_via_message_free(via, message);
    if (lost)
        return PTQ_ELEASELOST;
    enum ptq_err err = pti_via_call(via, &call, PTI_DEADLINE_NOW, PTI_VIA_LEASE_LOST);
    free(call.bytes);
    return err == PTQ_EUNREACHABLE ? PTQ_EINDOUBT : err;
}

enum ptq_err pti_via_ack(struct pti_port *port, struct ptq_msg *msg)
{
    return settle(port, msg, PTI_ASK_ACK, 0);
}

enum ptq_err pti_via_nack(struct pti_port *port, struct ptq_msg *msg, int delay_ms)
{
    return settle(port, msg, PTI_ASK_NACK, delay_ms);
}

enum ptq_err pti_via_untake(struct pti_port *port, struct ptq_msg *msg)
{
    return settle(port, msg, PTI_ASK_UNTAKE, 0);
}

#define ACKS_AT_ONCE 512

enum ptq_err pti_via_ack_many(struct pti_port *port, struct ptq_msg *const *msgs, size_t count, size_t *ret_count)
{
    struct pti_via *via = pti_via_of(port);
    uint64_t leases[ACKS_AT_ONCE];
    struct pti_via_call call = {.ask = {.verb = PTI_ASK_ACK}, .body = leases};
    size_t taken = 0;

    if (is_lost(via, (const struct pti_via_message *)(const void *)msgs[0])) {
        *ret_count = 1;
        return settle(port, msgs[0], PTI_ASK_ACK, 0);
    }
    while (taken < count && taken < ACKS_AT_ONCE && msgs[taken] != NULL && msgs[taken]->port == port &&
           msgs[taken]->state == PTI_MSG_LEASED) {
        struct pti_via_message *message = (struct pti_via_message *)(void *)msgs[taken];
        if (is_lost(via, message))
            break;
        leases[taken++] = message->lease;
        pti_via_message_free(via, message);
    }
    *ret_count = taken;
    call.ask.count = (uint32_t)taken;
    call.body_size = taken * sizeof leases[0];
    enum ptq_err err = pti_via_call(via, &call, PTI_DEADLINE_NOW, PTI_VIA_LEASE_LOST);
    free(call.bytes);
    return err == PTQ_EUNREACHABLE ? PTQ_EINDOUBT : err;
}
