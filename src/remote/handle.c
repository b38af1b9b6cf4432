/* handle.c -- what a handle holds beside its calls: messages, descriptors, its beginning and its end. */
#define HASH_NONFATAL_OOM 1
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/event.h"
#include "remote/pipeline.h"

/* ---- messages ---- */

struct pti_message *pti_message_new(struct pti_remote *remote, size_t size)
{
    struct pti_message *message = malloc(sizeof *message + size);

    if (message == NULL)
        return NULL;
    memset(message, 0, sizeof *message);
    message->epoch = remote->conn->epoch;
    message->msg.port = &remote->port;
    message->msg.queue = remote->port.queue;
    message->msg.data = message->bytes;
    message->msg.size = (uint32_t)size;
    TAILQ_INSERT_TAIL(&remote->messages, message, listed);
    return message;
}

bool pti_message_free(struct pti_remote *remote, struct pti_message *message)
{
    struct pti_batch *batch = message->batch;
    bool others = batch != NULL && --batch->left > 0;

    if (batch != NULL && !others)
        free(batch);
    TAILQ_REMOVE(&remote->messages, message, listed);
    free(message);
    return others;
}

void pti_remote_return(struct pti_remote *remote, uint64_t position, uint32_t sub, uint32_t deliveries)
{
    struct pti_settle settle = {.verb = PTI_SETTLE_UNTAKE, .position = position, .sub = sub, .deliveries = deliveries};
    struct pti_call *call = pti_call_new(remote, PTI_FRAME_SETTLE);

    if (call == NULL)
        return; /* it comes back when the session ends */
    pti_write_settle(call->head, &settle);
    pti_call_set_head(call, PTI_SETTLE_BYTES, 0);
    pti_call_leave(call);
}

/* ---- descriptors ---- */

void pti_remote_dry(struct pti_remote *remote, enum ptq_side side)
{
    uint8_t bytes[PTI_WATCH_BYTES];

    if (remote->fds[side] < 0)
        return;
    pti_event_clear(remote->fds[side]); /* also what an interrupt has set */
    if (remote->watching[side])
        return;
    pti_write_side(bytes, side);
    remote->watching[side] =
        pti_outbox_push_copy(&remote->conn->outbox, &remote->lane, PTI_FRAME_WATCH, 0, 0, bytes, sizeof bytes);
    if (!remote->watching[side])
        pti_remote_ready(remote, side);
}

void pti_remote_ready(struct pti_remote *remote, enum ptq_side side)
{
    remote->watching[side] = false;
    if (remote->fds[side] >= 0)
        pti_event_set(remote->fds[side]);
}

/* ---- life ---- */

void pti_remote_init(struct pti_remote *remote, struct pti_conn *conn)
{
    remote->conn = conn;
    remote->fds[0] = remote->fds[1] = -1;
    TAILQ_INIT(&remote->calls);
    TAILQ_INIT(&remote->messages);
    TAILQ_INIT(&remote->doubts);
    pti_lane_init(&remote->lane, 0, PTI_WIRE_CREDIT_BYTES);
}

void pti_remote_fini(struct pti_remote *remote)
{
    struct pti_call *call;
    struct pti_message *message;

    pti_lane_fini(&remote->conn->outbox, &remote->lane);
    while ((call = TAILQ_FIRST(&remote->calls)) != NULL) { /* abandoned ones: callers are gone */
        TAILQ_REMOVE(&remote->calls, call, listed);
        pti_call_free(call);
    }
    pti_arrive_clear(remote);
    while ((message = TAILQ_FIRST(&remote->messages)) != NULL)
        pti_message_free(remote, message);
    pti_assembly_clear(&remote->assembly);
    free(remote->given_up);
    pti_received_fini(&remote->received);
    pti_doubts_fini(remote);
    pti_pipeline_free(remote);
    for (int side = 0; side < 2; side++) {
        if (remote->fds[side] >= 0)
            close(remote->fds[side]);
    }
}
