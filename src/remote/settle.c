/* settle.c -- ack and nack over a link. */
#include "base/time.h"
#include "remote/call.h"
#include "remote/port.h"

/* An ack of a message that came with others is handed over, and only the last of them waits for the home: their frames
 * go in order over one link, so that its answer speaks for all.  A batch of a hundred costs one round trip and not a
 * hundred. */
static bool hand_over(struct pti_remote *remote, struct pti_call *call)
{
    struct pti_conn *conn = remote->conn;

    pthread_mutex_lock(&conn->mutex);
    bool may = conn->state == PTI_CONN_UP && remote->state == PTI_REMOTE_OPEN && remote->count < PTI_WIRE_REQUESTS / 2;
    if (may)
        pti_call_leave(call);
    pthread_mutex_unlock(&conn->mutex);
    if (may)
        pti_conn_kick(conn);
    return may;
}

static enum ptq_err settle_inside(struct pti_remote *remote, struct ptq_msg *msg, enum pti_settle_verb verb, int delay_ms)
{
    struct pti_settle settlement = {verb, delay_ms, msg->position, msg->sub, msg->deliveries};

    pthread_mutex_lock(&remote->conn->mutex);
    bool lost = pti_message_of(msg)->epoch != remote->conn->epoch;
    bool others = pti_message_free(remote, pti_message_of(msg));
    pthread_mutex_unlock(&remote->conn->mutex);
    if (lost)
        return PTQ_ELEASELOST;
    struct pti_call *call = pti_call_new(remote, PTI_FRAME_SETTLE);
    if (call == NULL)
        return PTQ_ENOMEM;
    pti_write_settle(call->head, &settlement);
    pti_call_set_head(call, PTI_SETTLE_BYTES, 0);
    if (others && verb == PTI_SETTLE_ACK && hand_over(remote, call))
        return PTQ_OK;
    enum ptq_err answer = pti_call_run(&call, PTI_DEADLINE_NOW, false);
    pti_call_free(call);
    return answer; /* PTQ_EINDOUBT: it is kept, and goes over the next link */
}

static enum ptq_err settle(struct pti_port *port, struct ptq_msg *msg, enum pti_settle_verb verb, int delay_ms)
{
    struct pti_remote *remote = pti_remote_of(port);

    pti_remote_enter(remote);
    enum ptq_err answer = settle_inside(remote, msg, verb, delay_ms);
    pti_remote_leave(remote);
    return answer;
}

enum ptq_err pti_remote_ack(struct pti_port *port, struct ptq_msg *msg)
{
    return settle(port, msg, PTI_SETTLE_ACK, 0);
}

enum ptq_err pti_remote_nack(struct pti_port *port, struct ptq_msg *msg, int delay_ms)
{
    return settle(port, msg, PTI_SETTLE_NACK, delay_ms);
}

enum ptq_err pti_remote_untake(struct pti_port *port, struct ptq_msg *msg)
{
    return settle(port, msg, PTI_SETTLE_UNTAKE, 0);
}
