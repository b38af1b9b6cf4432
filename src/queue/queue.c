/* queue.c -- the public calls on queues: checks, deadlines and limits, once, above both carriers: here a handle's life and all that is
 * neither put (put.c, with.c) nor got (get.c, many.c). */
#include "queue/queue.h"

#include <stdio.h>
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

/* ---- for pools and servers */

enum ptq_err pti_queue_limit(ptq_queue *queue, uint64_t limit)
{
    enum ptq_err err = pti_queue_check(queue);

    return err == PTQ_OK ? queue->port->ops->limit(queue->port, limit) : err;
}

enum ptq_err pti_queue_head(ptq_queue *queue, uint64_t *ret_position)
{
    enum ptq_err err = pti_queue_check(queue);

    return err == PTQ_OK ? queue->port->ops->head(queue->port, ret_position) : err;
}

enum ptq_err pti_queue_census(ptq_queue *queue, uint64_t position, bool *ret_lost)
{
    enum ptq_err err = pti_queue_check(queue);

    return err == PTQ_OK ? queue->port->ops->census(queue->port, position, ret_lost) : err;
}

bool pti_queue_is_placed(ptq_queue *queue, uint64_t position)
{
    return pti_queue_check(queue) == PTQ_OK && queue->port->ops->is_placed && queue->port->ops->is_placed(queue->port, position);
}

bool pti_queue_own_consumers(ptq_queue *queue, uint32_t *ret_count)
{
    if (pti_queue_check(queue) != PTQ_OK || !queue->port->ops->own_consumers)
        return false;
    *ret_count = queue->port->ops->own_consumers(queue->port);
    return true;
}

enum ptq_err pti_queue_claim(ptq_queue *queue, int64_t deadline)
{
    enum ptq_err err = pti_queue_check(queue);

    return err == PTQ_OK ? queue->port->ops->claim(queue->port, deadline) : err;
}

_Atomic uint64_t *pti_queue_word(ptq_queue *queue)
{
    return pti_queue_check(queue) == PTQ_OK && queue->port->ops->word ? queue->port->ops->word(queue->port) : NULL;
}

bool pti_queue_is_held(ptq_queue *queue, enum ptq_side side)
{
    return pti_queue_check(queue) != PTQ_OK || !queue->port->ops->is_held || queue->port->ops->is_held(queue->port, side);
}

void pti_queue_sweep(ptq_queue *queue)
{
    if (pti_queue_check(queue) == PTQ_OK && queue->port->ops->sweep)
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
    enum ptq_err err = pti_queue_check(queue);

    if (err == PTQ_OK)
        err = queue->port->ops->kick(queue->port, max, &count);
    if (err == PTQ_OK && ret_count)
        *ret_count = count;
    return err;
}

enum ptq_err ptq_queue_fd(ptq_queue *queue, enum ptq_side side, int *ret_fd)
{
    enum ptq_err err = pti_queue_check(queue);

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
    enum ptq_err err = pti_queue_check(queue);

    if (err != PTQ_OK)
        return err;
    return ret_stats ? queue->port->ops->stats(queue->port, ret_stats) : PTQ_EINVAL;
}

enum ptq_err ptq_queue_purge(ptq_queue *queue, uint64_t *ret_count)
{
    enum ptq_err err = pti_queue_check(queue);
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
    enum ptq_err err = pti_queue_check(queue);

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
    char budget[40] = "";

    if (!buffer || size == 0)
        return buffer;
    snprintf(why, sizeof why, "%s", ptq_strerror(err));
    if (port && port->bytes != 0)
        snprintf(budget, sizeof budget, " and %llu bytes", (unsigned long long)port->bytes);
    if (port && err == PTQ_FULL) /* a carrier may know more, and say it */
        snprintf(why, sizeof why,
                 "no room now: it holds %llu messages%s at most, or all its blocks are on lease - wait longer, or get and ack some",
                 (unsigned long long)port->capacity, budget);
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
