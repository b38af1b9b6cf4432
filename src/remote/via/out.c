/* out.c -- the program's side of an outbox: what is put stands in a queue of this host, and everything else is asked as ever.
 *
 * Laws.
 * 1. A put is a put into the outbox, with all that holds for queues of this host; it needs no bridge, and no home.
 * 2. What is put goes home in its order, and the end of the queue with it, as a message of its own kind.
 */
#include "remote/via/out.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "os/futex.h"
#include "queue/queue.h"
#include "remote/via/verbs.h"

#define LOOK_NS (PTI_NS_PER_S / 4)
#define TRIES 8
#define ENDPOINTS 2047

static const char *run_of(const struct pti_via *via)
{
    return via->asked.has_run ? via->asked.run : NULL;
}

static void key_of(const struct pti_via *via, char key[PTI_OUT_KEY + 1])
{
    pti_out_key(via->asked.url, run_of(via), via->asked.name, key);
}

/* ---- made and found ---- */

static void to_page(const struct pti_via *via, struct pti_out_page *page)
{
    const struct pti_ask_opened *opened = &via->opened;

    memset(page, 0, sizeof *page);
    page->has_run = via->asked.has_run;
    page->target = (struct pti_out_target){.capacity = opened->capacity,
                                           .bytes = opened->bytes,
                                           .item_size = opened->item_size,
                                           .header_size = opened->header_size,
                                           .max_deliveries = opened->max_deliveries,
                                           .full = opened->full};
    memcpy(page->target.id, opened->id, sizeof page->target.id);
    snprintf(page->url, sizeof page->url, "%s", via->asked.url);
    snprintf(page->run, sizeof page->run, "%s", via->asked.run);
    snprintf(page->name, sizeof page->name, "%s", via->asked.name);
    snprintf(page->home_run, sizeof page->home_run, "%s", opened->run);
    snprintf(page->node, sizeof page->node, "%s", opened->node);
    snprintf(page->where, sizeof page->where, "%s", opened->where);
    snprintf(page->spec, sizeof page->spec, "%s", opened->spec);
}

static void from_page(const struct pti_out_page *page, struct pti_ask_opened *opened)
{
    memset(opened, 0, sizeof *opened);
    opened->capacity = page->target.capacity;
    opened->bytes = page->target.bytes;
    opened->item_size = page->target.item_size;
    opened->header_size = page->target.header_size;
    opened->max_deliveries = page->target.max_deliveries;
    opened->full = (uint8_t)page->target.full;
    memcpy(opened->id, page->target.id, sizeof opened->id);
    snprintf(opened->run, sizeof opened->run, "%.*s", (int)sizeof opened->run - 1, page->home_run);
    snprintf(opened->node, sizeof opened->node, "%s", page->node);
    snprintf(opened->where, sizeof opened->where, "%s", page->where);
    snprintf(opened->url, sizeof opened->url, "%s", page->url);
    snprintf(opened->spec, sizeof opened->spec, "%.*s", (int)sizeof opened->spec - 1, page->spec);
}

/* A queue of the home's geometry, but for what its keeping here asks: nothing in it dies of deliveries, and what outlives its time is
 * kept for its sender to see. */
static struct pti_open describe(const struct pti_via *via, const struct pti_out_page *page)
{
    uint32_t header_size = page->target.header_size;

    return (struct pti_open){.options = {.capacity = via->bus->outbox,
                                         .item_size = page->target.item_size,
                                         .header_size = header_size != 0 ? header_size : PTQ_NEVER,
                                         .max_deliveries = PTQ_NEVER,
                                         .max_endpoints = ENDPOINTS,
                                         .expired_to_dead = true,
                                         .max_dead = via->bus->outbox,
                                         .stamps = PTQ_STAMPS_OFF,
                                         .flags = PTQ_PRODUCER}};
}

static bool is_target(const struct pti_via *via, const struct pti_out_page *page)
{
    return strcmp(page->url, via->asked.url) == 0 && page->has_run == via->asked.has_run &&
           strcmp(page->run, via->asked.run) == 0 && strcmp(page->name, via->asked.name) == 0;
}

/* The page is there; the queue is, or is made.  PTQ_EAGAIN: the page is not the one any more. */
static enum ptq_err open_queue(struct pti_via *via, const char *key, struct ptq_error *error)
{
    struct pti_open open = describe(via, via->out.page), attach = {.options = {.mode = PTQ_ATTACH, .flags = PTQ_PRODUCER}};
    char name[PTI_OUT_NAME];

    if (!is_target(via, via->out.page))
        return pti_error(error, PTQ_EEXIST, "queue '%s' has no outbox: another's has its key, %s", via->asked.name, key);
    pti_out_queue(key, name);
    enum ptq_err err = pti_carriers.open_local(via->bus, name, &attach, error, &via->outbox);
    if (err == PTQ_ENOENT) {
        open.options.mode = PTQ_CREATE;
        err = pti_carriers.open_local(via->bus, name, &open, error, &via->outbox);
        err = err == PTQ_EEXIST ? PTQ_EAGAIN : err;
    }
    if (err == PTQ_OK && !pti_out_is_named(via->bus, key, &via->out))
        err = PTQ_EAGAIN;
    if (err == PTQ_EAGAIN || err == PTQ_EGONE || err == PTQ_EBUSY) {
        pti_via_out_close(via);
        return PTQ_EAGAIN;
    }
    return err;
}

static enum ptq_err open_it(struct pti_via *via, const struct pti_out_page *made, struct ptq_error *error)
{
    enum ptq_err err = PTQ_EAGAIN;
    char key[PTI_OUT_KEY + 1];

    key_of(via, key);
    for (int i = 0; i < TRIES && err == PTQ_EAGAIN; i++) {
        err = made != NULL ? pti_out_make(via->bus, key, made, &via->out) : pti_out_open(via->bus, key, &via->out);
        if (err != PTQ_OK)
            return err == PTQ_ENOENT ? err
                                     : pti_error(error, err, "queue '%s' has no outbox in '%s': %s", via->asked.name, via->bus->path,
                                                 ptq_strerror(err));
        err = open_queue(via, key, error);
    }
    if (err != PTQ_OK) {
        pti_via_out_close(via);
        return err == PTQ_EAGAIN ? pti_error(error, err, "queue '%s': its outbox comes and goes; try again", via->asked.name) : err;
    }
    via->refused_seen = pti_load_relaxed(&via->out.page->words.refused);
    return PTQ_OK;
}

/* What the caller asks for may be wrong: then its home is to say so. */
static bool is_asked(const struct ptq_queue_options *options, const struct pti_out_page *page)
{
    return options->mode != PTQ_CREATE && (options->item_size == 0 || options->item_size == page->target.item_size) &&
           (options->capacity == 0 || options->capacity == page->target.capacity) && options->spec == NULL;
}

enum ptq_err pti_via_out_find(struct pti_via *via, struct ptq_error *error)
{
    enum ptq_err err = open_it(via, NULL, error);

    if (err != PTQ_OK)
        return err;
    if (!is_asked(&via->asked.open.options, via->out.page)) {
        pti_via_out_close(via);
        return PTQ_ENOENT;
    }
    from_page(via->out.page, &via->opened);
    return PTQ_OK;
}

enum ptq_err pti_via_out_make(struct pti_via *via, struct ptq_error *error)
{
    struct pti_ask ask = {.verb = PTI_ASK_OUTBOX};
    struct pti_out_page *page = malloc(sizeof *page);

    if (page == NULL)
        return pti_error(error, PTQ_ENOMEM, "no memory for an outbox of '%s'", via->asked.name);
    to_page(via, page);
    enum ptq_err err = open_it(via, page, error);
    free(page);
    if (err == PTQ_OK)
        pti_via_tell(via, &ask, NULL, 0); /* it is looked for besides, now and then */
    return err;
}

void pti_via_out_close(struct pti_via *via)
{
    if (via->outbox != NULL)
        via->outbox->ops->close(via->outbox, PTI_DEADLINE_NOW);
    via->outbox = NULL;
    pti_out_close(&via->out);
}

/* ---- in ---- */

static struct pti_port *box_of(struct pti_port *port) { return pti_via_of(port)->outbox; }

static enum ptq_err out_put(struct pti_port *port, const struct pti_put *put, int64_t deadline, uint64_t *ret_position)
{
    if (pti_load_relaxed(&pti_via_of(port)->ended))
        return PTQ_EENDED;
    return box_of(port)->ops->put(box_of(port), put, deadline, ret_position);
}

/* One frame carries it, or nothing does. */
static bool fits_a_frame(const struct pti_put *puts, size_t count)
{
    size_t size = 0;

    for (size_t i = 0; i < count; i++)
        size += pti_ask_record_bytes(puts[i].size, puts[i].headers);
    return size <= PTI_VIA_BODY;
}

static enum ptq_err out_put_many(struct pti_port *port, const struct pti_put *puts, size_t count, int64_t deadline,
                                 uint64_t *ret_position)
{
    if (pti_load_relaxed(&pti_via_of(port)->ended))
        return PTQ_EENDED;
    if (!fits_a_frame(puts, count) || count > box_of(port)->capacity)
        return PTQ_ETOOBIG;
    return box_of(port)->ops->put_many(box_of(port), puts, count, deadline, ret_position);
}

static bool out_fast_put(struct pti_port *port, const void *data, uint32_t size, uint64_t *ret_position)
{
    struct pti_port *box = box_of(port);

    return !pti_load_relaxed(&pti_via_of(port)->ended) && box->ops->fast_put != NULL &&
           box->ops->fast_put(box, data, size, ret_position);
}

static enum ptq_err out_loan(struct pti_port *port, uint32_t size, int64_t deadline, struct ptq_msg **ret_loan)
{
    struct pti_via *via = pti_via_of(port);
    enum ptq_err err = PTQ_EINTR;

    if (pti_via_enter(via))
        err = via->outbox->ops->loan(via->outbox, size, deadline, ret_loan);
    if (err == PTQ_OK)
        (*ret_loan)->queue = port->queue; /* the outbox has none */
    pti_via_leave(via);
    return err;
}

static enum ptq_err out_end(struct pti_port *port)
{
    struct pti_put put = {.data = "", .kind = PTI_KIND_END};
    uint64_t position;

    if (pti_load_relaxed(&pti_via_of(port)->ended))
        return PTQ_EALREADY;
    enum ptq_err err = box_of(port)->ops->put(box_of(port), &put, PTI_DEADLINE_NOW, &position);
    if (err == PTQ_OK)
        pti_store_relaxed(&pti_via_of(port)->ended, true);
    return err;
}

/* ---- flush ---- */

/* All that was put before `position` is home, or was refused; what is delayed waits for its time. */
static bool is_carried(struct pti_via *via, uint64_t position)
{
    struct ptq_queue_stats stats;
    uint64_t settled = pti_load_acquire(&via->out.page->words.settled);

    if (pti_position_compare(settled, position - 1) >= 0)
        return true;
    return via->outbox->ops->stats(via->outbox, &stats) == PTQ_OK && stats.ready + stats.leased == 0;
}

static enum ptq_err tell_refusals(struct pti_via *via)
{
    uint64_t refused = pti_load_acquire(&via->out.page->words.refused);
    uint64_t seen = atomic_exchange(&via->refused_seen, refused);
    uint32_t code = pti_load_relaxed(&via->out.page->words.refusal);

    if (refused == seen)
        return PTQ_OK;
    return code > 0 && code <= PTQ_ESYS ? (enum ptq_err)code : PTQ_EFAILED;
}

static enum ptq_err wait_for_news(struct pti_via *via, uint32_t seen, int64_t deadline, uint32_t interrupts)
{
    int64_t now = pti_now_ns(), until = now + LOOK_NS < deadline ? now + LOOK_NS : deadline;

    if (now >= deadline)
        return deadline == PTI_DEADLINE_NOW ? PTQ_FULL : PTQ_TIMEDOUT;
    if (pti_load_seq(&via->interrupts) != interrupts || pti_load_seq(&via->closing)) {
        pti_store_seq(&via->interrupts_seen, pti_load_seq(&via->interrupts));
        return PTQ_EINTR;
    }
    return pti_futex_wait(&via->out.page->words.news, seen, until) == EINTR ? PTQ_EINTR : PTQ_OK;
}

static enum ptq_err out_flush(struct pti_port *port, int64_t deadline)
{
    struct pti_via *via = pti_via_of(port);
    uint32_t interrupts = pti_load_seq(&via->interrupts_seen);
    struct ptq_queue_stats stats;

    pti_fetch_add_seq(&via->inside, 1);
    enum ptq_err err = via->outbox->ops->stats(via->outbox, &stats);
    while (err == PTQ_OK) {
        uint32_t seen = pti_load_seq(&via->out.page->words.news);
        if (is_carried(via, stats.tail)) {
            err = tell_refusals(via);
            break;
        }
        err = wait_for_news(via, seen, deadline, interrupts);
    }
    pti_fetch_add_seq(&via->inside, -1u);
    pti_futex_wake(&via->inside, INT32_MAX);
    return err;
}

void pti_via_out_explain(struct pti_via *via, enum ptq_err err, char *buffer, size_t size)
{
    struct ptq_queue_stats stats = {0};
    uint64_t refused = pti_load_relaxed(&via->out.page->words.refused);
    const char *why;

    (void)!via->outbox->ops->stats(via->outbox, &stats);
    if (stats.consumers == 0)
        why = "no ptqbridge serves this bus";
    else if (pti_load_relaxed(&via->out.page->words.state) == PTI_OUT_CARRIED)
        why = via->out.page->why;
    else
        why = "its home does not answer";
    if (err == PTQ_FULL || err == PTQ_TIMEDOUT)
        snprintf(buffer, size, "%s: its outbox on this host holds %" PRIu64 " of %" PRIu64 " messages that are not home yet%s%.250s",
                 ptq_strerror(err), stats.ready + stats.leased + stats.delayed, stats.capacity, why[0] != '\0' ? ": " : "", why);
    else if (refused > 0 && err == (enum ptq_err)pti_load_relaxed(&via->out.page->words.refusal))
        snprintf(buffer, size, "%s: of what was put with PTQ_ACK_LOCAL its home has refused %" PRIu64
                 " messages in all; they stand in the queue '%.100s.refused' of this host", ptq_strerror(err), refused,
                 via->asked.name);
    else if (via->outbox->ops->explain != NULL)
        via->outbox->ops->explain(via->outbox, err, buffer, size);
}

const struct pti_port_ops *pti_via_out_ops(void)
{
    static struct pti_port_ops ops;
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

    pthread_mutex_lock(&mutex);
    if (ops.close == NULL) {
        ops = pti_via_ops;
        ops.put = out_put;
        ops.put_many = out_put_many;
        ops.fast_put = out_fast_put;
        ops.loan = out_loan;
        ops.end = out_end;
        ops.flush = out_flush;
    }
    pthread_mutex_unlock(&mutex);
    return &ops;
}
