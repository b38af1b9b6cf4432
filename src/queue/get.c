/* get.c -- the ways out: checked, then the short way where the port has one, then the general one; and what a message is asked for.
 *
 * Law: once the carrier's call has ended, nothing of the handle or the messages is touched, for a close in another thread may have freed
 * them: whoever needs them longer stays (queue/port.h).
 */
#include <string.h>

#include "base/time.h"
#include "queue/queue.h"

static bool stay(struct pti_port *port) { return !port->ops->stay || port->ops->stay(port); }

static void go(struct pti_port *port)
{
    if (port->ops->go)
        port->ops->go(port);
}

enum ptq_err pti_queue_take(ptq_queue *queue, size_t max, int64_t deadline, ptq_msg **msgs, size_t *ret_count)
{
    enum ptq_err err = pti_queue_check(queue);

    if (__builtin_expect(err != PTQ_OK, 0))
        return err;
    return queue->port->ops->take(queue->port, max, deadline, msgs, ret_count);
}

static __attribute__((noinline)) enum ptq_err get_one(ptq_queue *queue, int timeout_ms, ptq_msg **ret_msg)
{
    size_t count;
    ptq_msg *msg;
    enum ptq_err err = pti_queue_take(queue, 1, pti_deadline(timeout_ms), &msg, &count);

    if (err == PTQ_OK)
        *ret_msg = msg;
    return err;
}

enum ptq_err ptq_get(ptq_queue *queue, int timeout_ms, ptq_msg **ret_msg)
{
    if (__builtin_expect(!ret_msg || !queue, 0))
        return PTQ_EINVAL;
    if (__builtin_expect(!queue->port, 0))
        return PTQ_EFORKED;
    if (!queue->port->ops->fast_take || !queue->port->ops->fast_take(queue->port, ret_msg))
        return get_one(queue, timeout_ms, ret_msg);
    return PTQ_OK;
}

static enum ptq_err check_lease(const ptq_msg *msg)
{
    if (__builtin_expect(!msg || msg->state != PTI_MSG_LEASED, 0))
        return PTQ_EINVAL;
    return msg->queue->port ? PTQ_OK : PTQ_EFORKED;
}

enum ptq_err ptq_ack(ptq_msg *msg)
{
    enum ptq_err err = check_lease(msg);

    if (__builtin_expect(err != PTQ_OK, 0))
        return err;
    if (msg->port->ops->fast_ack && msg->port->ops->fast_ack(msg->port, msg))
        return PTQ_OK;
    return msg->port->ops->ack(msg->port, msg);
}

enum ptq_err ptq_nack(ptq_msg *msg, int delay_ms)
{
    enum ptq_err err = check_lease(msg);

    if (err == PTQ_OK && delay_ms < 0 && delay_ms != PTQ_BACKOFF)
        delay_ms = 0;
    return err == PTQ_OK ? msg->port->ops->nack(msg->port, msg, delay_ms) : err;
}

enum ptq_err pti_queue_untake(ptq_msg *msg)
{
    enum ptq_err err = check_lease(msg);

    return err == PTQ_OK ? msg->port->ops->untake(msg->port, msg) : err;
}

/* The last first, so that each stands before those that went back already. */
static void untake_all(ptq_msg **msgs, size_t count)
{
    while (count-- > 0)
        (void)pti_queue_untake(msgs[count]);
}

static enum ptq_err take_some(ptq_queue *queue, size_t max, int64_t deadline, ptq_msg **msgs, size_t *ret_count)
{
    if (queue && queue->port && queue->port->ops->fast_take_many &&
        queue->port->ops->fast_take_many(queue->port, max, msgs, ret_count))
        return PTQ_OK;
    return pti_queue_take(queue, max, deadline, msgs, ret_count);
}

static __attribute__((noinline)) enum ptq_err get_at_least(ptq_queue *queue, ptq_msg **msgs, size_t min, size_t max, int64_t deadline,
                                                           size_t *ret_count)
{
    enum ptq_err err = pti_queue_check(queue);
    struct pti_port *port;
    size_t have = 0;

    if (err != PTQ_OK)
        return err;
    port = queue->port;
    if (!stay(port))
        return PTQ_EINTR;
    do {
        size_t count = 0;

        err = have == 0 || !port->ops->take_more ? take_some(queue, max - have, deadline, msgs + have, &count)
                                                 : port->ops->take_more(port, max - have, deadline, msgs + have, &count);
        have += count;
    } while (err == PTQ_OK && have < min);
    if (err == PTQ_END && have > 0)
        err = PTQ_OK;
    if (err == PTQ_OK)
        *ret_count = have;
    else
        untake_all(msgs, have);
    go(port);
    return err;
}

enum ptq_err ptq_get_many(ptq_queue *queue, ptq_msg **msgs, size_t min, size_t max, int timeout_ms, size_t *ret_count)
{
    int64_t deadline = pti_deadline(timeout_ms);
    size_t count = 0;
    enum ptq_err err;

    if (!msgs || max == 0 || min > max || !ret_count)
        return PTQ_EINVAL;
    if (min > 1)
        return get_at_least(queue, msgs, min, max, deadline, ret_count);
    err = take_some(queue, max, deadline, msgs, &count);
    if (err == PTQ_OK)
        *ret_count = count;
    return err;
}

/* Where the carrier has no such call: in steps. */
static enum ptq_err recv_inside(struct pti_port *port, void *buffer, size_t size, int64_t deadline, size_t *ret_size)
{
    size_t has, count;
    ptq_msg *msg;
    enum ptq_err err = port->ops->take(port, 1, deadline, &msg, &count);

    if (err != PTQ_OK)
        return err;
    has = msg->size;
    if (__builtin_expect(has > size, 0)) {
        err = port->ops->untake(port, msg);
        *ret_size = has;
        return err == PTQ_OK ? PTQ_EMSGSIZE : err;
    }
    if (has > 0)
        memcpy(buffer, msg->data, has);
    err = port->ops->ack(port, msg);
    if (err == PTQ_OK)
        *ret_size = has;
    return err;
}

static __attribute__((noinline)) enum ptq_err recv_one(ptq_queue *queue, void *buffer, size_t size, int timeout_ms, size_t *ret_size)
{
    struct pti_port *port = queue->port;
    enum ptq_err err;

    if (port->ops->recv)
        return port->ops->recv(port, buffer, size, pti_deadline(timeout_ms), ret_size);
    if (!stay(port))
        return PTQ_EINTR;
    err = recv_inside(port, buffer, size, pti_deadline(timeout_ms), ret_size);
    go(port);
    return err;
}

enum ptq_err ptq_recv(ptq_queue *queue, void *buffer, size_t size, int timeout_ms, size_t *ret_size)
{
    enum ptq_err err;

    if (__builtin_expect((!buffer && size > 0) || !ret_size, 0))
        return PTQ_EINVAL;
    err = pti_queue_check(queue);
    if (__builtin_expect(err != PTQ_OK, 0))
        return err;
    if (queue->port->ops->fast_recv && queue->port->ops->fast_recv(queue->port, buffer, size, ret_size))
        return PTQ_OK;
    return recv_one(queue, buffer, size, timeout_ms, ret_size);
}

/* ---- a message */

const void *ptq_msg_data(const ptq_msg *msg) { return msg->data; }
size_t ptq_msg_size(const ptq_msg *msg) { return msg->size; }
void *ptq_msg_buffer(ptq_msg *loan) { return loan->state == PTI_MSG_LOANED ? loan->data : NULL; }
uint64_t ptq_msg_position(const ptq_msg *msg) { return msg->position; }
uint32_t ptq_msg_sub(const ptq_msg *msg) { return msg->sub; }
uint32_t ptq_msg_deliveries(const ptq_msg *msg) { return msg->deliveries; }
bool ptq_msg_redelivered(const ptq_msg *msg) { return msg->redelivered; }

int64_t ptq_msg_age_ms(const ptq_msg *msg)
{
    return msg->state == PTI_MSG_LEASED && msg->queue->port && msg->port->ops->age ? msg->port->ops->age(msg->port, msg) : -1;
}
