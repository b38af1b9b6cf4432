/* with.c -- puts that say more than their bytes: headers, trace, delay, time to live. */
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "os/clock.h"
#include "queue/header.h"
#include "queue/queue.h"
#include "ring/layout.h"

#define DELAY_MOST_MS (INT64_C(1) << 37) /* 4 years: due times have 48 bits of microseconds */

/* Everything of `options` that is not the bytes. */
static enum ptq_err read_options(const struct ptq_put_options *options, uint8_t *header_bytes, struct pti_put *ret_put)
{
    enum ptq_err err;

    memset(ret_put, 0, sizeof *ret_put);
    if (!options)
        return PTQ_OK;
    if ((options->flags & PTQ_RETRY) != 0 && (options->flags & PTQ_PARTIAL) != 0)
        return PTQ_EINVAL; /* which of its pieces? */
    if (options->delay_ms < 0 || options->delay_ms > DELAY_MOST_MS || options->ttl_ms < -1)
        return PTQ_EINVAL;
    if (options->headers || options->header_count || options->trace) {
        err = pti_headers_pack(options, header_bytes, &ret_put->headers);
        if (err != PTQ_OK)
            return err;
        ret_put->header_bytes = header_bytes;
    }
    if (options->delay_ms > 0)
        ret_put->due_us = (uint64_t)(pti_host_ns() / 1000) + (uint64_t)options->delay_ms * 1000;
    ret_put->type = options->type;
    ret_put->retry = (options->flags & PTQ_RETRY) != 0;
    if (options->ttl_ms != 0)
        ret_put->ttl = options->ttl_ms < 0 || (uint64_t)options->ttl_ms > PTI_TTL_MOST_MS
                           ? PTI_TTL_NEVER
                           : (uint16_t)pti_ttl_pack((uint64_t)options->ttl_ms);
    return PTQ_OK;
}

static enum ptq_err check_room(const ptq_queue *queue, size_t size, uint8_t headers)
{
    return pti_headers_fit(queue->port, size, headers) ? PTQ_OK : PTQ_EMSGSIZE;
}

enum ptq_err ptq_put_with(ptq_queue *queue, const void *data, size_t size, const struct ptq_put_options *options,
                          int timeout_ms)
{
    uint8_t header_bytes[PTQ_HEADERS_MAX];
    struct pti_put put;
    enum ptq_err err;

    if (!queue || !queue->port)
        return queue ? PTQ_EFORKED : PTQ_EINVAL;
    if (size > queue->port->item_size)
        return PTQ_EMSGSIZE;
    err = read_options(options, header_bytes, &put);
    if (err == PTQ_OK && put.headers)
        err = check_room(queue, size, put.headers);
    if (err != PTQ_OK)
        return err;
    put.data = data;
    put.size = (uint32_t)size;
    return pti_queue_put(queue, &put, pti_deadline(timeout_ms), options ? options->ret_position : NULL);
}

/* The type's header beside the others, if the block has room for it. */
static void add_type(const ptq_queue *queue, size_t size, const struct pti_typed *typed, uint8_t *header_bytes,
                     struct pti_put *put)
{
    put->type = typed->type;
    if (pti_headers_append(typed->header, header_bytes, pti_headers_room(queue->port, size), &put->headers))
        put->header_bytes = header_bytes;
}

enum ptq_err ptq_publish_with(ptq_msg *loan, size_t size, const struct ptq_put_options *options, int timeout_ms)
{
    return pti_publish_typed(loan, size, options, NULL, pti_deadline(timeout_ms));
}

enum ptq_err pti_publish_typed(ptq_msg *loan, size_t size, const struct ptq_put_options *options,
                               const struct pti_typed *typed, int64_t deadline)
{
    uint8_t header_bytes[PTQ_HEADERS_MAX];
    struct pti_put put;
    uint64_t position;
    enum ptq_err err;

    if (!loan || loan->state != PTI_MSG_LOANED)
        return PTQ_EINVAL;
    if (!loan->queue->port)
        return PTQ_EFORKED;
    if (size > loan->size)
        return PTQ_EMSGSIZE;
    err = read_options(options, header_bytes, &put);
    if (err == PTQ_OK && put.headers)
        err = check_room(loan->queue, size, put.headers);
    if (err != PTQ_OK)
        return err;
    put.data = loan->data;
    put.size = (uint32_t)size;
    put.kind = loan->kind;
    if (put.type == 0)
        put.type = loan->type;
    if (typed)
        add_type(loan->queue, size, typed, header_bytes, &put);
    err = loan->port->ops->publish(loan->port, loan, &put, deadline, &position);
    if (err == PTQ_OK && options && options->ret_position)
        *options->ret_position = position;
    return err;
}

/* As many as fit now: all, else half of what is left, and so on; each piece is a batch.  Only the first message is waited for. */
static enum ptq_err put_pieces(ptq_queue *queue, const struct pti_put *puts, size_t count, int64_t deadline,
                               uint64_t *ret_position, size_t *ret_count)
{
    size_t done = 0, piece = count < queue->port->capacity ? count : (size_t)queue->port->capacity;
    enum ptq_err err = PTQ_OK;

    while (done < count) {
        bool waits = done == 0 && piece == 1;

        if (piece > count - done)
            piece = count - done;
        err = pti_queue_put_many(queue, puts + done, piece, waits ? deadline : PTI_DEADLINE_NOW, done == 0 ? ret_position : NULL);
        if (err == PTQ_OK)
            done += piece;
        else if ((err == PTQ_FULL || err == PTQ_ETOOBIG) && piece > 1)
            piece /= 2;
        else
            break;
    }
    if (done == 0)
        return err;
    if (ret_count)
        *ret_count = done;
    return PTQ_OK;
}

enum ptq_err ptq_put_many_with(ptq_queue *queue, const struct ptq_bytes *items, size_t count,
                               const struct ptq_put_options *options, int timeout_ms)
{
    uint8_t header_bytes[PTQ_HEADERS_MAX];
    struct pti_put put, *puts;
    bool is_partial = options && options->flags & PTQ_PARTIAL;
    enum ptq_err err;

    if (!queue || (!items && count > 0))
        return PTQ_EINVAL;
    if (!queue->port)
        return PTQ_EFORKED;
    if (count > queue->port->capacity && !is_partial)
        return PTQ_ETOOBIG;
    err = read_options(options, header_bytes, &put);
    if (err != PTQ_OK || count == 0)
        return err;
    puts = malloc(count * sizeof *puts);
    if (!puts)
        return PTQ_ENOMEM;
    for (size_t i = 0; i < count && err == PTQ_OK; i++) {
        puts[i] = put;
        puts[i].data = items[i].data;
        puts[i].size = (uint32_t)items[i].size;
        if (items[i].size > queue->port->item_size)
            err = PTQ_EMSGSIZE;
        else if (put.headers)
            err = check_room(queue, items[i].size, put.headers);
    }
    if (err == PTQ_OK && is_partial)
        err = put_pieces(queue, puts, count, pti_deadline(timeout_ms), options->ret_position, options->ret_count);
    else if (err == PTQ_OK)
        err = pti_queue_put_many(queue, puts, count, pti_deadline(timeout_ms), options ? options->ret_position : NULL);
    free(puts);
    return err;
}
