/* put.c -- the ways in: checked, then the short way where the port has one, then the general one. */
#include <stdlib.h>

#include "base/time.h"
#include "queue/queue.h"

static enum ptq_err check_put(const ptq_queue *queue, const void *data, size_t size)
{
    if (__builtin_expect(!queue || (!data && size > 0), 0))
        return PTQ_EINVAL;
    if (__builtin_expect(!queue->port, 0))
        return PTQ_EFORKED;
    return size <= queue->port->item_size ? PTQ_OK : PTQ_EMSGSIZE;
}

static __attribute__((noinline)) enum ptq_err put_bytes(ptq_queue *queue, const void *data, size_t size, int timeout_ms,
                                                       uint64_t *ret_position)
{
    struct pti_put put = {.data = data, .size = (uint32_t)size};
    uint64_t position;
    enum ptq_err err = queue->port->ops->put(queue->port, &put, pti_deadline(timeout_ms), &position);

    if (err == PTQ_OK && ret_position)
        *ret_position = position;
    return err;
}

enum ptq_err ptq_put_position(ptq_queue *queue, const void *data, size_t size, int timeout_ms, uint64_t *ret_position)
{
    enum ptq_err err = check_put(queue, data, size);
    uint64_t position;

    if (__builtin_expect(err != PTQ_OK, 0))
        return err;
    if (!data || !queue->port->ops->fast_put || !queue->port->ops->fast_put(queue->port, data, (uint32_t)size, &position))
        return put_bytes(queue, data, size, timeout_ms, ret_position);
    if (ret_position)
        *ret_position = position;
    return PTQ_OK;
}

enum ptq_err ptq_put(ptq_queue *queue, const void *data, size_t size, int timeout_ms)
{
    enum ptq_err err = check_put(queue, data, size);
    uint64_t position;

    if (__builtin_expect(err != PTQ_OK, 0))
        return err;
    if (data && queue->port->ops->fast_put && queue->port->ops->fast_put(queue->port, data, (uint32_t)size, &position))
        return PTQ_OK;
    return put_bytes(queue, data, size, timeout_ms, NULL);
}

enum ptq_err pti_queue_put(ptq_queue *queue, const struct pti_put *put, int64_t deadline, uint64_t *ret_position)
{
    uint64_t position;
    enum ptq_err err = check_put(queue, put->data, put->size);

    if (err != PTQ_OK)
        return err;
    err = queue->port->ops->put(queue->port, put, deadline, &position);
    if (err == PTQ_OK && ret_position)
        *ret_position = position;
    return err;
}

enum ptq_err pti_queue_put_many(ptq_queue *queue, const struct pti_put *puts, size_t count, int64_t deadline,
                                uint64_t *ret_position)
{
    uint64_t position;
    enum ptq_err err = check_put(queue, "", 0);

    if (err != PTQ_OK || count == 0)
        return err;
    if (count > queue->port->capacity)
        return PTQ_ETOOBIG;
    for (size_t i = 0; i < count; i++)
        if ((err = check_put(queue, puts[i].data, puts[i].size)) != PTQ_OK)
            return err;
    err = queue->port->ops->put_many(queue->port, puts, count, deadline, &position);
    if (err == PTQ_OK && ret_position)
        *ret_position = position;
    return err;
}

enum ptq_err ptq_put_many(ptq_queue *queue, const struct ptq_bytes *items, size_t count, int timeout_ms,
                          uint64_t *ret_position)
{
    struct pti_put few[64], *puts = few;
    uint64_t position;
    enum ptq_err err = check_put(queue, "", 0);

    if (err != PTQ_OK)
        return err;
    if (count > 0 && !items)
        return PTQ_EINVAL;
    if (count > queue->port->capacity)
        return PTQ_ETOOBIG;
    if (count > 0 && queue->port->ops->put_items &&
        queue->port->ops->put_items(queue->port, items, count, pti_deadline(timeout_ms), &position, &err)) {
        if (err == PTQ_OK && ret_position)
            *ret_position = position;
        return err;
    }
    for (size_t i = 0; i < count && err == PTQ_OK; i++)
        err = check_put(queue, items[i].data, items[i].size);
    if (err != PTQ_OK)
        return err;
    if (count == 0)
        return PTQ_OK;
    if (queue->port->ops->fast_put_many && queue->port->ops->fast_put_many(queue->port, items, count, &position)) {
        if (ret_position)
            *ret_position = position;
        return PTQ_OK;
    }
    if (count > sizeof few / sizeof few[0])
        puts = malloc(count * sizeof *puts);
    if (!puts)
        return PTQ_ENOMEM;
    for (size_t i = 0; i < count; i++)
        puts[i] = (struct pti_put){.data = items[i].data, .size = (uint32_t)items[i].size};
    err = pti_queue_put_many(queue, puts, count, pti_deadline(timeout_ms), ret_position);
    if (puts != few)
        free(puts);
    return err;
}

enum ptq_err pti_queue_loan(ptq_queue *queue, size_t size, int64_t deadline, ptq_msg **ret_loan)
{
    enum ptq_err err = ret_loan ? check_put(queue, "", size) : PTQ_EINVAL;

    if (err != PTQ_OK)
        return err;
    if (__builtin_expect(queue->port->letters, 0))
        return PTQ_EINVAL;
    return queue->port->ops->loan(queue->port, (uint32_t)size, deadline, ret_loan);
}

enum ptq_err ptq_loan(ptq_queue *queue, size_t size, int timeout_ms, ptq_msg **ret_loan)
{
    return pti_queue_loan(queue, size, pti_deadline(timeout_ms), ret_loan);
}

enum ptq_err ptq_publish(ptq_msg *loan, size_t size, int timeout_ms, uint64_t *ret_position)
{
    struct ptq_put_options options = {.ret_position = ret_position};

    return ptq_publish_with(loan, size, &options, timeout_ms);
}

void ptq_abort(ptq_msg *loan)
{
    if (loan && loan->state == PTI_MSG_LOANED && loan->queue->port)
        loan->port->ops->abort(loan->port, loan);
}

enum ptq_err pti_queue_place(ptq_queue *queue, uint64_t position, const struct pti_put *put, int64_t deadline)
{
    enum ptq_err err = check_put(queue, put->data, put->size);

    if (err != PTQ_OK)
        return err;
    if (!queue->port->placed)
        return PTQ_EINVAL;
    return queue->port->ops->place(queue->port, position, put, deadline);
}

bool pti_queue_can_lend(const ptq_queue *queue)
{
    return !queue->port->remote && (!queue->port->placed || queue->port->ops->place_loan != NULL);
}

enum ptq_err pti_queue_hand_in(ptq_msg *loan, uint64_t position, const struct pti_put *put, int64_t deadline)
{
    struct pti_port *port = loan->port;
    enum ptq_err err = pti_queue_check(loan->queue);

    if (err != PTQ_OK)
        return err;
    return port->placed ? port->ops->place_loan(port, loan, position, put) : port->ops->publish(port, loan, put, deadline, &position);
}

enum ptq_err ptq_flush(ptq_queue *queue, int timeout_ms)
{
    enum ptq_err err = pti_queue_check(queue);

    if (err != PTQ_OK || !queue->port->ops->flush)
        return err;
    return queue->port->ops->flush(queue->port, pti_deadline(timeout_ms));
}

enum ptq_err ptq_end(ptq_queue *queue)
{
    enum ptq_err err = pti_queue_check(queue);

    return err == PTQ_OK ? queue->port->ops->end(queue->port) : err;
}
