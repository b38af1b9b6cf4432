/* null.c -- the queue "!null": gives empty messages for ever and takes everything away.
 *
 * What /dev/zero and /dev/null are to files: an end for a stage that needs no source, or no sink.  It is memory of one
 * handle; nothing of it is shared, so nothing is held that another could miss, and END ends this handle alone.
 */
#include "queue/null.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/event.h"

struct null_msg {
    struct ptq_msg msg; /* first */
    struct null_msg *next, **at; /* at: what points here */
    _Alignas(16) uint8_t bytes[];
};

struct null_port {
    struct pti_port port; /* first */
    pthread_mutex_t mutex; /* of all below */
    struct null_msg *messages; /* leased or lent */
    struct ptq_queue_stats stats;
    int fd;
};

static struct null_port *null_of(struct pti_port *port) { return (struct null_port *)(void *)port; }

static struct null_msg *new_msg(struct null_port *null, uint32_t size, enum pti_msg_state state)
{
    struct null_msg *msg = malloc(sizeof *msg + size);

    if (!msg)
        return NULL;
    memset(msg, 0, sizeof *msg);
    msg->msg.port = &null->port;
    msg->msg.queue = null->port.queue;
    msg->msg.data = msg->bytes;
    msg->msg.size = size;
    msg->msg.state = (uint8_t)state;
    msg->next = null->messages;
    msg->at = &null->messages;
    if (msg->next)
        msg->next->at = &msg->next;
    null->messages = msg;
    return msg;
}

static void free_msg(struct ptq_msg *msg)
{
    struct null_msg *mine = (struct null_msg *)(void *)msg;

    *mine->at = mine->next;
    if (mine->next)
        mine->next->at = mine->at;
    free(mine);
}

/* ---- in */

static enum ptq_err null_put_many(struct pti_port *port, const struct pti_put *puts, size_t count, int64_t deadline,
                                  uint64_t *ret_position)
{
    struct null_port *null = null_of(port);
    enum ptq_err err = PTQ_EENDED;
    (void)deadline;

    pthread_mutex_lock(&null->mutex);
    if (!null->stats.ended) {
        *ret_position = null->stats.tail++;
        null->stats.put += count;
        null->stats.acked += count;
        for (size_t i = 0; i < count; i++)
            null->stats.bytes_put += puts[i].size;
        null->stats.bytes_acked = null->stats.bytes_put;
        err = PTQ_OK;
    }
    pthread_mutex_unlock(&null->mutex);
    return err;
}

static enum ptq_err null_put(struct pti_port *port, const struct pti_put *put, int64_t deadline, uint64_t *ret_position)
{
    return null_put_many(port, put, 1, deadline, ret_position);
}

static enum ptq_err null_loan(struct pti_port *port, uint32_t size, int64_t deadline, struct ptq_msg **ret_loan)
{
    struct null_port *null = null_of(port);
    struct null_msg *msg;
    (void)deadline;

    pthread_mutex_lock(&null->mutex);
    msg = new_msg(null, size, PTI_MSG_LOANED);
    pthread_mutex_unlock(&null->mutex);
    if (!msg)
        return PTQ_ENOMEM;
    *ret_loan = &msg->msg;
    return PTQ_OK;
}

static void null_abort(struct pti_port *port, struct ptq_msg *loan)
{
    pthread_mutex_lock(&null_of(port)->mutex);
    free_msg(loan);
    pthread_mutex_unlock(&null_of(port)->mutex);
}

static enum ptq_err null_publish(struct pti_port *port, struct ptq_msg *loan, const struct pti_put *put, int64_t deadline,
                                 uint64_t *ret_position)
{
    enum ptq_err err = null_put(port, put, deadline, ret_position);

    if (err == PTQ_OK)
        null_abort(port, loan);
    return err;
}

static enum ptq_err null_end(struct pti_port *port)
{
    struct null_port *null = null_of(port);
    enum ptq_err err;

    pthread_mutex_lock(&null->mutex);
    err = null->stats.ended ? PTQ_EALREADY : PTQ_OK;
    null->stats.ended = true;
    pthread_mutex_unlock(&null->mutex);
    return err;
}

/* ---- out */

static enum ptq_err null_take(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs, size_t *ret_count)
{
    struct null_port *null = null_of(port);
    enum ptq_err err = PTQ_OK;
    size_t count = 0;
    (void)deadline;

    pthread_mutex_lock(&null->mutex);
    if (null->stats.ended)
        err = PTQ_END;
    while (err == PTQ_OK && count < max) {
        struct null_msg *msg = new_msg(null, 0, PTI_MSG_LEASED);
        if (!msg)
            break;
        msg->msg.position = null->stats.head++;
        msg->msg.deliveries = 1;
        msgs[count++] = &msg->msg;
    }
    null->stats.taken += count;
    pthread_mutex_unlock(&null->mutex);
    if (err != PTQ_OK || count == 0)
        return err != PTQ_OK ? err : PTQ_ENOMEM;
    *ret_count = count;
    return PTQ_OK;
}

static enum ptq_err null_ack(struct pti_port *port, struct ptq_msg *msg)
{
    null_abort(port, msg);
    return PTQ_OK;
}

static enum ptq_err null_nack(struct pti_port *port, struct ptq_msg *msg, int delay_ms)
{
    (void)delay_ms; /* there is always another */
    return null_ack(port, msg);
}

/* ---- around */

static enum ptq_err null_limit(struct pti_port *port, uint64_t limit)
{
    (void)port, (void)limit;
    return PTQ_EINVAL;
}

static enum ptq_err null_head(struct pti_port *port, uint64_t *ret_position)
{
    (void)port, (void)ret_position;
    return PTQ_EINVAL;
}

static enum ptq_err null_census(struct pti_port *port, uint64_t position, bool *ret_lost)
{
    (void)port, (void)position, (void)ret_lost;
    return PTQ_EINVAL;
}

static enum ptq_err null_claim(struct pti_port *port, int64_t deadline)
{
    (void)port, (void)deadline;
    return PTQ_OK; /* nobody else is there */
}

static enum ptq_err null_stats(struct pti_port *port, struct ptq_queue_stats *ret_stats)
{
    struct null_port *null = null_of(port);

    pthread_mutex_lock(&null->mutex);
    *ret_stats = null->stats;
    pthread_mutex_unlock(&null->mutex);
    return PTQ_OK;
}

static enum ptq_err null_purge(struct pti_port *port, uint64_t *ret_count)
{
    (void)port;
    *ret_count = 0;
    return PTQ_OK;
}

/* What is given back is gone: nothing dies here. */
static enum ptq_err null_kick(struct pti_port *port, uint64_t max, uint64_t *ret_count)
{
    (void)port, (void)max;
    *ret_count = 0;
    return PTQ_OK;
}

static enum ptq_err null_pause(struct pti_port *port, bool pause)
{
    (void)port, (void)pause;
    return PTQ_EINVAL;
}

/* Always ready, on both sides. */
static enum ptq_err null_fd(struct pti_port *port, enum ptq_side side, int *ret_fd)
{
    struct null_port *null = null_of(port);
    enum ptq_err err = PTQ_OK;
    (void)side;

    pthread_mutex_lock(&null->mutex);
    if (null->fd < 0 && pti_event_new(true, &null->fd) != 0)
        err = PTQ_ENOMEM;
    else
        *ret_fd = null->fd;
    pthread_mutex_unlock(&null->mutex);
    return err;
}

static void null_interrupt(struct pti_port *port) { (void)port; /* nobody sleeps */ }

static void null_close(struct pti_port *port, int64_t deadline)
{
    struct null_port *null = null_of(port);
    (void)deadline;

    while (null->messages)
        free_msg(&null->messages->msg);
    if (null->fd >= 0)
        close(null->fd);
    pthread_mutex_destroy(&null->mutex);
    free(null);
}

static const struct pti_port_ops null_ops = {
    .put = null_put,
    .put_many = null_put_many,
    .loan = null_loan,
    .publish = null_publish,
    .abort = null_abort,
    .end = null_end,
    .take = null_take,
    .ack = null_ack,
    .nack = null_nack,
    .untake = null_ack,
    .limit = null_limit,
    .head = null_head,
    .census = null_census,
    .claim = null_claim,
    .stats = null_stats,
    .purge = null_purge,
    .kick = null_kick,
    .pause = null_pause,
    .fd = null_fd,
    .interrupt = null_interrupt,
    .close = null_close,
};

enum ptq_err pti_null_open(struct pti_port **ret_port)
{
    struct null_port *null = calloc(1, sizeof *null);

    if (!null)
        return PTQ_ENOMEM;
    if (pthread_mutex_init(&null->mutex, NULL) != 0) {
        free(null);
        return PTQ_ENOMEM;
    }
    null->fd = -1;
    null->stats.capacity = null->port.capacity = UINT32_MAX;
    null->stats.item_size = null->port.item_size = PTQ_ITEM_MAX;
    null->stats.head = null->stats.tail = 1;
    null->port.header_size = PTQ_HEADERS_MAX;
    null->port.ops = &null_ops;
    null->port.is_null = true;
    strcpy(null->port.where, PTI_NULL_NAME);
    *ret_port = &null->port;
    return PTQ_OK;
}
