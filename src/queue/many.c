/* many.c -- many leased messages by one call. */
#include "queue/queue.h"

/* Those of msgs that can be acked together with the first: at least that. */
static enum ptq_err ack_some(ptq_msg *const *msgs, size_t count, size_t *ret_count)
{
    ptq_msg *msg = msgs[0];

    *ret_count = 1;
    if (__builtin_expect(!msg || msg->state != PTI_MSG_LEASED, 0))
        return PTQ_EINVAL;
    if (__builtin_expect(!msg->queue->port, 0))
        return PTQ_EFORKED;
    if (msg->port->ops->fast_ack_many && (*ret_count = msg->port->ops->fast_ack_many(msg->port, msgs, count)) > 0)
        return PTQ_OK;
    *ret_count = 1;
    if (!msg->port->ops->ack_many)
        return msg->port->ops->ack(msg->port, msg);
    return msg->port->ops->ack_many(msg->port, msgs, count, ret_count);
}

enum ptq_err ptq_ack_many(ptq_msg *const *msgs, size_t count)
{
    enum ptq_err err = PTQ_OK;

    if (!msgs && count > 0)
        return PTQ_EINVAL;
    while (count > 0) {
        size_t some;
        enum ptq_err answer = ack_some(msgs, count, &some);

        err = err == PTQ_OK ? answer : err;
        msgs += some;
        count -= some;
    }
    return err;
}

void ptq_msg_bytes_many(ptq_msg *const *msgs, size_t count, struct ptq_bytes *ret_items)
{
    for (size_t i = 0; i < count; i++)
        ret_items[i] = (struct ptq_bytes){msgs[i]->data, msgs[i]->size};
}
