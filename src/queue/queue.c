/* queue.c -- the public calls on queues: checks, deadlines and limits, once, above both carriers. */
#include "queue/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/time.h"
#include "bus/attach.h"
#include "bus/bus.h"
#include "queue/resolve.h"
#include "queue/spec.h"

/* Handles live in pages that the kernel wipes in a forked child: there `port` is NULL, whoever forked and however. */
static ptq_queue *new_handle(void)
{
    ptq_queue *queue = mmap(NULL, sizeof *queue, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (queue == MAP_FAILED)
        return NULL;
    if (madvise(queue, sizeof *queue, MADV_WIPEONFORK) != 0) {
        munmap(queue, sizeof *queue);
        return NULL;
    }
    return queue;
}

enum ptq_err pti_queue_open(ptq_bus *bus, const char *name, const struct pti_open *open, ptq_queue **ret_queue)
{
    struct ptq_error *error = open->options.error;
    ptq_queue *queue = new_handle();
    enum ptq_err err;

    if (!queue)
        return pti_error(error, PTQ_ENOMEM, "queue '%s': out of memory", name);
    err = pti_resolve_open(bus, name, open, error, &queue->port);
    if (err != PTQ_OK) {
        munmap(queue, sizeof *queue);
        return err;
    }
    queue->port->queue = queue;
    queue->bus = bus;
    pti_resolve_bare(name, queue->name, sizeof queue->name);
    *ret_queue = queue;
    return PTQ_OK;
}

enum ptq_err ptq_queue_open(ptq_bus *bus, const char *name, const struct ptq_queue_options *options,
                            ptq_queue **ret_queue)
{
    char spec[PTQ_SPEC_TEXT_MAX + 1];
    struct pti_open open = {0};
    uint32_t spec_size;

    if (options)
        open.options = *options;
    if (!bus || !name || !ret_queue)
        return pti_error(open.options.error, PTQ_EINVAL, "a queue needs a bus, a name and a place for its handle");
    if (strchr(name, '#') && open.options.mode != PTQ_CREATE)
        return ptq_queue_from_ref(bus, name, options, ret_queue);
    if ((unsigned)open.options.mode > PTQ_CREATE)
        return pti_error(open.options.error, PTQ_EINVAL, "queue '%s': mode %d is none", name, (int)open.options.mode);
    if (open.options.item_size > PTQ_ITEM_MAX)
        return pti_error(open.options.error, PTQ_EINVAL, "queue '%s': item_size %u is too large: at most %u", name,
                         open.options.item_size, PTQ_ITEM_MAX);
    if (open.options.spec && pti_spec_read(open.options.spec, open.options.error, spec, &spec_size) != PTQ_OK)
        return PTQ_EINVAL;
    if (open.options.spec)
        open.options.spec = spec;
    if ((unsigned)open.options.full > PTQ_FULL_DROP_NEWEST || (unsigned)open.options.stamps > PTQ_STAMPS_OFF)
        return pti_error(open.options.error, PTQ_EINVAL, "queue '%s': full %d or stamps %d is none; see enum ptq_full, ptq_stamps",
                         name, (int)open.options.full, (int)open.options.stamps);
    return pti_queue_open(bus, name, &open, ret_queue);
}

void ptq_queue_close(ptq_queue *queue)
{
    struct pti_port *port;

    if (!queue)
        return;
    port = queue->port;
    if (port)
        port->ops->close(port, pti_deadline(3000));
    munmap(queue, sizeof *queue);
}

enum ptq_err ptq_queue_unlink(ptq_bus *bus, const char *name, bool force)
{
    if (!bus || !pti_name_is_valid(name))
        return PTQ_EINVAL;
    return pti_reap_unlink(bus, name, force);
}

const char *ptq_queue_name(const ptq_queue *queue) { return queue ? queue->name : ""; }

const char *ptq_queue_spec(const ptq_queue *queue)
{
    return queue && queue->port && queue->port->spec ? queue->port->spec : "";
}

/* ---- in */

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
    ptq_msg *loan;

    if (err != PTQ_OK)
        return err;
    if (__builtin_expect(queue->port->letters, 0))
        return PTQ_EINVAL;
    err = queue->port->ops->loan(queue->port, (uint32_t)size, deadline, &loan);
    if (err != PTQ_OK)
        return err;
    loan->queue = queue;
    *ret_loan = loan;
    return PTQ_OK;
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

/* ---- out */

static enum ptq_err check_handle(const ptq_queue *queue)
{
    if (!queue)
        return PTQ_EINVAL;
    return queue->port ? PTQ_OK : PTQ_EFORKED;
}

enum ptq_err ptq_flush(ptq_queue *queue, int timeout_ms)
{
    enum ptq_err err = check_handle(queue);

    if (err != PTQ_OK || !queue->port->ops->flush)
        return err;
    return queue->port->ops->flush(queue->port, pti_deadline(timeout_ms));
}

enum ptq_err ptq_end(ptq_queue *queue)
{
    enum ptq_err err = check_handle(queue);

    return err == PTQ_OK ? queue->port->ops->end(queue->port) : err;
}

enum ptq_err pti_queue_take(ptq_queue *queue, size_t max, int64_t deadline, ptq_msg **msgs, size_t *ret_count)
{
    enum ptq_err err = check_handle(queue);

    if (__builtin_expect(err != PTQ_OK, 0))
        return err;
    err = queue->port->ops->take(queue->port, max, deadline, msgs, ret_count);
    if (err == PTQ_OK && !queue->port->names_queue)
        for (size_t i = 0; i < *ret_count; i++)
            msgs[i]->queue = queue;
    return err;
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
    (*ret_msg)->queue = queue;
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
    if (!queue || !queue->port || !queue->port->ops->fast_take_many ||
        !queue->port->ops->fast_take_many(queue->port, max, msgs, ret_count))
        return pti_queue_take(queue, max, deadline, msgs, ret_count);
    for (size_t i = 0; i < *ret_count; i++)
        msgs[i]->queue = queue;
    return PTQ_OK;
}

static __attribute__((noinline)) enum ptq_err take_more(ptq_queue *queue, size_t max, int64_t deadline, ptq_msg **msgs,
                                                        size_t *ret_count)
{
    enum ptq_err err = check_handle(queue);

    if (err != PTQ_OK || !queue->port->ops->take_more)
        return err != PTQ_OK ? err : pti_queue_take(queue, max, deadline, msgs, ret_count);
    err = queue->port->ops->take_more(queue->port, max, deadline, msgs, ret_count);
    for (size_t i = 0; err == PTQ_OK && i < *ret_count; i++)
        msgs[i]->queue = queue;
    return err;
}

enum ptq_err ptq_get_many(ptq_queue *queue, ptq_msg **msgs, size_t min, size_t max, int timeout_ms, size_t *ret_count)
{
    int64_t deadline = pti_deadline(timeout_ms);
    size_t have = 0;
    enum ptq_err err;

    if (!msgs || max == 0 || min > max || !ret_count)
        return PTQ_EINVAL;
    do {
        size_t count = 0;

        err = have == 0 ? take_some(queue, max, deadline, msgs, &count)
                        : take_more(queue, max - have, deadline, msgs + have, &count);
        have += count;
    } while (err == PTQ_OK && have < min);
    if (err != PTQ_OK && (err != PTQ_END || have == 0)) {
        untake_all(msgs, have);
        return err;
    }
    *ret_count = have;
    return PTQ_OK;
}

static __attribute__((noinline)) enum ptq_err recv_one(ptq_queue *queue, void *buffer, size_t size, int timeout_ms, size_t *ret_size)
{
    ptq_msg *msg;
    enum ptq_err err, settled;
    size_t has;

    if (queue->port->ops->recv)
        return queue->port->ops->recv(queue->port, buffer, size, pti_deadline(timeout_ms), ret_size);
    err = ptq_get(queue, timeout_ms, &msg);
    if (err != PTQ_OK)
        return err;
    has = msg->size;
    if (__builtin_expect(has > size, 0)) {
        settled = pti_queue_untake(msg);
        *ret_size = has;
        return settled == PTQ_OK ? PTQ_EMSGSIZE : settled;
    }
    if (has > 0)
        memcpy(buffer, msg->data, has);
    err = msg->port->ops->ack(msg->port, msg);
    if (err == PTQ_OK)
        *ret_size = has;
    return err;
}

enum ptq_err ptq_recv(ptq_queue *queue, void *buffer, size_t size, int timeout_ms, size_t *ret_size)
{
    enum ptq_err err;

    if (__builtin_expect((!buffer && size > 0) || !ret_size, 0))
        return PTQ_EINVAL;
    err = check_handle(queue);
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

/* ---- for pools and servers */

enum ptq_err pti_queue_limit(ptq_queue *queue, uint64_t limit)
{
    enum ptq_err err = check_handle(queue);

    return err == PTQ_OK ? queue->port->ops->limit(queue->port, limit) : err;
}

enum ptq_err pti_queue_head(ptq_queue *queue, uint64_t *ret_position)
{
    enum ptq_err err = check_handle(queue);

    return err == PTQ_OK ? queue->port->ops->head(queue->port, ret_position) : err;
}

enum ptq_err pti_queue_census(ptq_queue *queue, uint64_t position, bool *ret_lost)
{
    enum ptq_err err = check_handle(queue);

    return err == PTQ_OK ? queue->port->ops->census(queue->port, position, ret_lost) : err;
}

enum ptq_err pti_queue_claim(ptq_queue *queue, int64_t deadline)
{
    enum ptq_err err = check_handle(queue);

    return err == PTQ_OK ? queue->port->ops->claim(queue->port, deadline) : err;
}

void pti_queue_sweep(ptq_queue *queue)
{
    if (check_handle(queue) == PTQ_OK && queue->port->ops->sweep)
        queue->port->ops->sweep(queue->port);
}

int64_t pti_position_compare(uint64_t a, uint64_t b)
{
    return (int64_t)((a - b) << 17) >> 17; /* 47 bits: the fewest that a queue's positions have */
}

/* ---- around */

enum ptq_err ptq_queue_kick(ptq_queue *queue, uint64_t max, uint64_t *ret_count)
{
    uint64_t count = 0;
    enum ptq_err err = check_handle(queue);

    if (err == PTQ_OK)
        err = queue->port->ops->kick(queue->port, max, &count);
    if (err == PTQ_OK && ret_count)
        *ret_count = count;
    return err;
}

enum ptq_err ptq_queue_fd(ptq_queue *queue, enum ptq_side side, int *ret_fd)
{
    enum ptq_err err = check_handle(queue);

    if (err != PTQ_OK)
        return err;
    if (!ret_fd || (side != PTQ_SIDE_GET && (side != PTQ_SIDE_PUT || queue->port->letters)))
        return PTQ_EINVAL;
    return queue->port->ops->fd(queue->port, side, ret_fd);
}

void ptq_interrupt(ptq_queue *queue)
{
    if (queue && queue->port)
        queue->port->ops->interrupt(queue->port);
}

enum ptq_err ptq_queue_stats(ptq_queue *queue, struct ptq_queue_stats *ret_stats)
{
    enum ptq_err err = check_handle(queue);

    if (err != PTQ_OK)
        return err;
    return ret_stats ? queue->port->ops->stats(queue->port, ret_stats) : PTQ_EINVAL;
}

enum ptq_err ptq_queue_purge(ptq_queue *queue, uint64_t *ret_count)
{
    enum ptq_err err = check_handle(queue);
    uint64_t count = 0;

    if (err != PTQ_OK)
        return err;
    if (queue->port->window != 0 || queue->port->placed)
        return PTQ_EINVAL;
    err = queue->port->ops->purge(queue->port, &count);
    if (err == PTQ_OK && ret_count)
        *ret_count = count;
    return err;
}

enum ptq_err ptq_queue_pause(ptq_queue *queue, bool pause)
{
    enum ptq_err err = check_handle(queue);

    return err == PTQ_OK ? queue->port->ops->pause(queue->port, pause) : err;
}

enum ptq_err ptq_queue_path(const ptq_queue *queue, struct ptq_queue_path *ret_path)
{
    const struct pti_port *port = queue ? queue->port : NULL;

    if (!port || !ret_path)
        return queue && ret_path ? PTQ_EFORKED : PTQ_EINVAL;
    *ret_path = (struct ptq_queue_path){.remote = port->remote, .where = port->where, .url = port->url,
                                        .via = port->bridged ? "bridge" : port->remote ? "direct" : "memory", .run = port->run,
                                        .node = port->node, .why = port->why};
    if (port->why[0] == '\0')
        ret_path->why = port->is_null ? "it is the queue that keeps nothing" : "it is in the directory of this bus";
    return PTQ_OK;
}

const char *ptq_queue_explain(ptq_queue *queue, enum ptq_err err, size_t message_size, char *buffer, size_t size)
{
    char why[400];
    const struct pti_port *port = queue ? queue->port : NULL;

    if (!buffer || size == 0)
        return buffer;
    snprintf(why, sizeof why, "%s", ptq_strerror(err));
    if (port && err == PTQ_EMSGSIZE && message_size <= port->item_size)
        snprintf(why, sizeof why,
                 "its headers do not fit beside %zu bytes: they may have %d bytes in all, item_size and header_size together are %llu "
                 "- send fewer, or create the queue with a larger header_size",
                 message_size, PTQ_HEADERS_MAX, (unsigned long long)port->item_size + port->header_size);
    else if (port && err == PTQ_EMSGSIZE)
        snprintf(why, sizeof why, "%zu bytes are too many: item_size is %u - create the queue with a larger one",
                 message_size, port->item_size);
    else if (port && err == PTQ_ETOOBIG && port->bytes != 0 && message_size <= port->capacity)
        snprintf(why, sizeof why, "a batch of %zu can never fit: its bytes exceed the budget of %llu - put fewer at once",
                 message_size, (unsigned long long)port->bytes);
    else if (port && err == PTQ_ETOOBIG)
        snprintf(why, sizeof why, "a batch of %zu can never fit: capacity is %llu - put fewer at once", message_size,
                 (unsigned long long)port->capacity);
    else if (port && port->letters && err == PTQ_EINVAL)
        snprintf(why, sizeof why, "only get, ack, nack, kick and purge work on the view of dead letters - put into the queue itself");
    else if (port && port->ops->explain)
        port->ops->explain(queue->port, err, why, sizeof why);
    snprintf(buffer, size, "queue '%s': %s", queue ? queue->name : "", why);
    return buffer;
}
