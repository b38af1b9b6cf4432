/* port.c -- the local carrier: the operations of queue/port.h on a segment of this host. */
#include "local/port.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "bus/attach.h"
#include "local/lane.h"
#include "local/stats.h"
#include "ring/wait.h"

static struct pti_local *local_of(struct pti_port *port) { return (struct pti_local *)(void *)port; }

static struct pti_meta meta_of(const struct pti_put *put)
{
    struct pti_meta meta = {put->size, put->type, put->kind};

    return meta;
}

/* ---- in */

static void copy_in(struct pti_place *place, uint32_t block, const struct pti_put *put, uint32_t sub)
{
    struct pti_meta meta = meta_of(put);

    pti_block_fill(&place->lane, block, &meta, sub, 0);
    if (put->size)
        memcpy(pti_block_at(place->lane.ring, block)->payload, put->data, put->size);
}

static void note_stream(struct pti_place *place, const struct pti_put *put)
{
    if (__builtin_expect(put->stream == 0, 1))
        return;
    pti_store_release(&place->lane.entry->stream, put->stream);
    pti_store_release(&place->lane.entry->number, put->number);
}

static enum ptq_err try_put(struct pti_place *place, const struct pti_put *put, uint64_t *ret_position)
{
    uint32_t block;
    uint64_t before;
    enum ptq_err err = pti_block_alloc(&place->lane, &block, &before);

    if (err != PTQ_OK)
        return err;
    copy_in(place, block, put, 0);
    note_stream(place, put);
    err = pti_ring_publish(&place->lane, block, before, ret_position);
    if (__builtin_expect(err != PTQ_OK, 0))
        pti_block_give_back(&place->lane, block, before);
    return err;
}

static enum ptq_err make_scratch(struct pti_lane *lane, size_t count)
{
    struct pti_scratch *s = &lane->scratch, new = {0};

    if (s->size >= count)
        return PTQ_OK;
    new.size = count;
    new.blocks = calloc(count, sizeof *new.blocks);
    new.befores = calloc(count, sizeof *new.befores);
    new.lists = calloc(count, sizeof *new.lists);
    new.list_befores = calloc(count, sizeof *new.list_befores);
    if (!new.blocks || !new.befores || !new.lists || !new.list_befores) {
        free(new.blocks);
        free(new.befores);
        free(new.lists);
        free(new.list_befores);
        return PTQ_ENOMEM;
    }
    free(s->blocks);
    free(s->befores);
    free(s->lists);
    free(s->list_befores);
    *s = new;
    return PTQ_OK;
}

/* No call waits for blocks while it owns blocks that it has not published: all go back. */
static void give_all_back(struct pti_lane *lane, size_t count)
{
    while (count-- > 0) {
        pti_block_keep(lane, lane->scratch.blocks[count], false);
        pti_block_give_back(lane, lane->scratch.blocks[count], lane->scratch.befores[count]);
    }
    pti_wake_putters(lane->ring);
}

static enum ptq_err try_put_many(struct pti_place *place, const struct pti_put *puts, size_t count,
                                 uint64_t *ret_position)
{
    struct pti_lane *lane = &place->lane;
    struct pti_scratch *s = &lane->scratch;
    enum ptq_err err = PTQ_OK;
    size_t have = 0;

    /* Looked at first, so that a full queue does not cost the copies. */
    if (!pti_ring_may_put(lane, count))
        return PTQ_FULL;
    for (; have < count; have++) {
        err = pti_block_alloc(lane, &s->blocks[have], &s->befores[have]);
        if (err != PTQ_OK)
            break;
        pti_block_keep(lane, s->blocks[have], true);
        copy_in(place, s->blocks[have], &puts[have], (uint32_t)have);
    }
    if (err == PTQ_OK) {
        note_stream(place, &puts[0]);
        err = pti_ring_publish_batch(lane, count, ret_position);
    }
    if (err != PTQ_OK) {
        give_all_back(lane, have);
        return err;
    }
    for (size_t i = 0; i < count; i++)
        pti_block_keep(lane, s->blocks[i], false);
    return PTQ_OK;
}

/* What a put does when it found no room.  PTQ_OK: try again. */
static enum ptq_err no_room(struct pti_local *local, struct pti_place *place, uint64_t need, int64_t deadline,
                            struct pti_sleep *sleep)
{
    enum ptq_err err = PTQ_FULL;

    if (deadline != PTI_DEADLINE_NOW)
        return pti_local_wait(local, place, PTQ_SIDE_PUT, need, deadline, sleep);
    if (pti_local_nothing(local, place, PTQ_SIDE_PUT))
        return PTQ_OK;
    if (pti_local_disarm(local, place, PTQ_SIDE_PUT) && pti_local_may_put(place, need)) {
        pti_local_rearm(local, PTQ_SIDE_PUT);
        err = PTQ_OK;
    }
    return err;
}

static enum ptq_err local_put(struct pti_port *port, const struct pti_put *put, int64_t deadline, uint64_t *ret_position)
{
    struct pti_local *local = local_of(port);
    struct pti_sleep sleep = {0};
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(local, &place);

    if (err != PTQ_OK)
        return err;
    do {
        err = try_put(place, put, ret_position);
        if (__builtin_expect(err != PTQ_FULL, 1))
            break;
        err = no_room(local, place, 1, deadline, &sleep);
    } while (err == PTQ_OK);
    pti_local_leave(place);
    return err;
}

static enum ptq_err local_put_many(struct pti_port *port, const struct pti_put *puts, size_t count, int64_t deadline,
                                   uint64_t *ret_position)
{
    struct pti_local *local = local_of(port);
    struct pti_sleep sleep = {0};
    struct pti_place *place;
    enum ptq_err err;

    if (count == 1)
        return local_put(port, puts, deadline, ret_position);
    err = pti_local_enter(local, &place);
    if (err != PTQ_OK)
        return err;
    err = make_scratch(&place->lane, count);
    while (err == PTQ_OK) {
        err = try_put_many(place, puts, count, ret_position);
        if (err != PTQ_FULL)
            break;
        err = no_room(local, place, count, deadline, &sleep);
    }
    pti_local_leave(place);
    return err;
}

static enum ptq_err local_loan(struct pti_port *port, uint32_t size, int64_t deadline, struct ptq_msg **ret_loan)
{
    struct pti_local *local = local_of(port);
    struct pti_sleep sleep = {0};
    struct pti_place *place;
    struct ptq_msg *msg;
    enum ptq_err err = pti_local_enter(local, &place);

    if (err != PTQ_OK)
        return err;
    msg = pti_local_msg_new(local, place);
    if (!msg) {
        pti_local_leave(place);
        return PTQ_ENOMEM;
    }
    do {
        err = pti_block_alloc(&place->lane, &msg->block, &msg->word);
        if (err != PTQ_FULL)
            break;
        err = no_room(local, place, 1, deadline, &sleep);
    } while (err == PTQ_OK);
    if (err == PTQ_OK) {
        pti_block_keep(&place->lane, msg->block, true);
        msg->port = port;
        msg->data = pti_block_at(&local->ring, msg->block)->payload;
        msg->size = size;
        msg->lane = place->number;
        msg->state = PTI_MSG_LOANED;
        msg->kind = PTI_KIND_DATA;
        msg->type = 0;
        *ret_loan = msg;
    } else {
        pti_local_msg_free(place, msg);
    }
    pti_local_leave(place);
    return err;
}

static enum ptq_err local_publish(struct pti_port *port, struct ptq_msg *loan, uint32_t size, int64_t deadline,
                                  uint64_t *ret_position)
{
    struct pti_local *local = local_of(port);
    struct pti_meta meta = {size, loan->type, loan->kind};
    struct pti_sleep sleep = {0};
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(local, &place);

    if (err != PTQ_OK)
        return err;
    /* Another thread's loan becomes ours before our journal names it. */
    loan->word = pti_word(PTI_OWNED, place->lane.index, pti_word_position(loan->word), 0);
    pti_store_release(&pti_block_at(&local->ring, loan->block)->word, loan->word);
    pti_block_fill(&place->lane, loan->block, &meta, 0, 0);
    do {
        err = pti_ring_publish(&place->lane, loan->block, loan->word, ret_position);
        if (err != PTQ_FULL)
            break;
        err = no_room(local, place, 0, deadline, &sleep); /* a place in the ring; it has its block */
    } while (err == PTQ_OK);
    if (err == PTQ_OK) {
        pti_block_keep(&pti_load_acquire(&local->places[loan->lane])->lane, loan->block, false);
        pti_local_msg_free(place, loan);
    }
    pti_local_leave(place);
    return err;
}

static void local_abort(struct pti_port *port, struct ptq_msg *loan)
{
    struct pti_local *local = local_of(port);
    struct pti_lane *lane = &pti_load_acquire(&local->places[loan->lane])->lane; /* where it was lent */
    struct pti_place *place;

    if (pti_local_enter(local, &place) != PTQ_OK)
        return; /* the queue is gone, or being closed: close frees it */
    pti_block_give_back(lane, loan->block, pti_word(PTI_OWNED, lane->index, pti_word_position(loan->word), 0));
    pti_wake_putters(&local->ring);
    pti_local_msg_free(place, loan);
    pti_local_leave(place);
}

static enum ptq_err local_place(struct pti_port *port, uint64_t position, const struct pti_put *put, int64_t deadline)
{
    struct pti_local *local = local_of(port);
    struct pti_sleep sleep = {0};
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(local, &place);

    if (err != PTQ_OK)
        return err;
    position &= local->ring.position_mask;
    do {
        uint32_t block;
        uint64_t before;

        err = pti_block_alloc(&place->lane, &block, &before);
        if (err == PTQ_OK) {
            copy_in(place, block, put, 0);
            err = pti_ring_place(&place->lane, position, block, before);
            if (err != PTQ_OK)
                pti_block_give_back(&place->lane, block, before);
            break; /* FULL here means beyond the window, and waiting is not ours */
        }
        if (err == PTQ_FULL)
            err = no_room(local, place, 1, deadline, &sleep);
        else
            break;
    } while (err == PTQ_OK);
    pti_local_leave(place);
    return err;
}

static enum ptq_err local_end(struct pti_port *port)
{
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(local_of(port), &place);

    if (err != PTQ_OK)
        return err;
    err = pti_ring_end(&place->lane);
    pti_local_leave(place);
    return err;
}

/* ---- out */

static void show(struct pti_local *local, struct pti_place *place, struct ptq_msg *msg, uint32_t block, uint64_t word)
{
    struct pti_block *b = pti_block_at(&local->ring, block);
    uint32_t size = pti_load_relaxed(&b->length);

    msg->port = &local->port;
    msg->data = b->payload;
    msg->size = size <= local->port.item_size ? size : local->port.item_size; /* never beyond its block */
    msg->sub = pti_load_relaxed(&b->sub);
    msg->position = pti_word_position(word);
    msg->deliveries = pti_load_relaxed(&b->deliveries);
    msg->type = pti_load_relaxed(&b->type);
    msg->kind = pti_load_relaxed(&b->kind);
    msg->redelivered = pti_word_redelivered(word);
    msg->state = PTI_MSG_LEASED;
    msg->block = block;
    msg->lane = place->number;
    msg->word = word;
}

/* A consumer that took one and sees more wakes the next sleeper: else a message may lie beside one. */
static void pass_baton(struct pti_local *local, struct pti_place *place)
{
    _Atomic uint32_t *word = &local->ring.hints->get_wait;

    if (__builtin_expect(pti_load_relaxed(word) & PTI_WAIT_BITS, 0) && pti_ring_may_take(&place->lane))
        pti_wake(&local->ring, word);
}

#define LOOK_EVERY 64          /* takes, */
#define LOOK_ALWAYS_NS 20000   /* but at each one where they take longer than this */

/* A consumer that never runs dry meets no obstacle, and what a dead one had leased would wait behind the backlog for ever:
 * so it looks for the dead as well, by the clock, which a fast one reads seldom. */
static void look_for_the_dead(struct pti_local *local, struct pti_place *place)
{
    int64_t now = pti_now_ns();
    bool is_slow = now - place->probed_ns > (int64_t)place->probe_every * LOOK_ALWAYS_NS;

    place->probed_ns = now;
    place->probe_in = place->probe_every = is_slow ? 1 : LOOK_EVERY;
    pti_ring_sweep_sometimes(&local->ring, false);
}

static inline void note_taken(struct pti_local *local, struct pti_place *place, uint32_t count)
{
    place->run += count;
    place->idle = 0;
    if (__builtin_expect(place->probe_in <= count, 0))
        look_for_the_dead(local, place);
    else
        place->probe_in -= count;
}

/* Leases up to max now. */
static enum ptq_err take_now(struct pti_local *local, struct pti_place *place, size_t max, struct ptq_msg **msgs,
                             size_t *ret_count)
{
    enum ptq_err err = PTQ_OK;
    size_t count = 0;

    while (count < max) {
        struct ptq_msg *msg = pti_local_msg_new(local, place);
        uint32_t block;
        uint64_t word;

        if (!msg) {
            err = PTQ_ENOMEM;
            break;
        }
        err = pti_ring_take(&place->lane, &block, &word);
        if (err != PTQ_OK) {
            pti_local_msg_free(place, msg);
            break;
        }
        show(local, place, msg, block, word);
        msgs[count++] = msg;
    }
    if (count == 0)
        return err;
    note_taken(local, place, (uint32_t)count);
    pass_baton(local, place);
    *ret_count = count;
    return PTQ_OK;
}

/* Nothing was there, or END.  PTQ_OK: try again. */
static __attribute__((noinline)) enum ptq_err nothing(struct pti_local *local, struct pti_place *place, enum ptq_err answer,
                                                      int64_t deadline, struct pti_sleep *sleep)
{
    if (answer == PTQ_END) {
        /* END stands at the head: it is the answer once everybody else's leases are settled. */
        pti_fetch_or_seq(&local->ring.hints->flags, PTI_FLAG_ENDED);
        if (pti_ring_is_settled(&local->ring, place->lane.index)) {
            pti_local_rearm(local, PTQ_SIDE_GET);
            return PTQ_END;
        }
        pti_ring_sweep_sometimes(&local->ring, false);
    } else if (answer != PTQ_EMPTY) {
        return answer;
    }
    if (deadline != PTI_DEADLINE_NOW)
        return pti_local_wait(local, place, PTQ_SIDE_GET, 1, deadline, sleep);
    if (pti_local_nothing(local, place, PTQ_SIDE_GET))
        return PTQ_OK;
    if (pti_local_disarm(local, place, PTQ_SIDE_GET) && pti_ring_may_take(&place->lane)) {
        pti_local_rearm(local, PTQ_SIDE_GET);
        return PTQ_OK;
    }
    return PTQ_EMPTY;
}

static enum ptq_err local_take(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs,
                               size_t *ret_count)
{
    struct pti_local *local = local_of(port);
    struct pti_sleep sleep = {0};
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(local, &place);

    if (__builtin_expect(err != PTQ_OK, 0))
        return err;
    do {
        err = take_now(local, place, max, msgs, ret_count);
        if (__builtin_expect(err == PTQ_OK, 1))
            break;
        err = nothing(local, place, err, deadline, &sleep);
    } while (err == PTQ_OK);
    pti_local_leave(place);
    return err;
}

static enum ptq_err local_recv(struct pti_port *port, void *buffer, size_t size, int64_t deadline, size_t *ret_size)
{
    struct pti_local *local = local_of(port);
    struct pti_sleep sleep = {0};
    struct pti_place *place;
    uint32_t block;
    uint64_t word;
    size_t has;
    enum ptq_err err = pti_local_enter(local, &place);

    if (__builtin_expect(err != PTQ_OK, 0))
        return err;
    for (;;) {
        err = pti_ring_take(&place->lane, &block, &word);
        if (__builtin_expect(err == PTQ_OK, 1))
            break;
        err = nothing(local, place, err, deadline, &sleep);
        if (err != PTQ_OK) {
            pti_local_leave(place);
            return err;
        }
    }
    note_taken(local, place, 1);
    has = pti_load_relaxed(&pti_block_at(&local->ring, block)->length);
    if (__builtin_expect(has > size || has > local->port.item_size, 0)) {
        pti_ring_nack(&place->lane, block, word, 0, false);
        err = PTQ_EMSGSIZE;
    } else {
        if (has > 0)
            memcpy(buffer, pti_block_at(&local->ring, block)->payload, has);
        pti_ring_ack(&place->lane, block, word);
        pass_baton(local, place);
    }
    *ret_size = has;
    pti_local_leave(place);
    return err;
}

/* Enters to settle a lease; a lease of another thread becomes ours first. */
static enum ptq_err enter_with(struct pti_local *local, struct ptq_msg *msg, struct pti_place **ret_place)
{
    enum ptq_err err = pti_local_enter(local, ret_place);

    if (__builtin_expect(err != PTQ_OK, 0))
        return err;
    if (__builtin_expect(msg->lane == (*ret_place)->number, 1))
        return PTQ_OK;
    err = pti_ring_adopt(&(*ret_place)->lane, msg->block, &msg->word);
    if (err == PTQ_OK)
        return PTQ_OK;
    pti_local_msg_free(*ret_place, msg);
    pti_local_leave(*ret_place);
    return err;
}

static enum ptq_err local_ack(struct pti_port *port, struct ptq_msg *msg)
{
    struct pti_local *local = local_of(port);
    struct pti_place *place;
    enum ptq_err err = enter_with(local, msg, &place);

    if (__builtin_expect(err != PTQ_OK, 0))
        return err;
    pti_ring_ack(&place->lane, msg->block, msg->word);
    pti_local_msg_free(place, msg);
    pti_local_leave(place);
    return PTQ_OK;
}

static int backoff(uint32_t deliveries)
{
    static const int delays[] = {0, 10, 100, 1000};

    return delays[deliveries == 0 ? 0 : deliveries < 4 ? deliveries - 1 : 3];
}

static enum ptq_err settle_back(struct pti_port *port, struct ptq_msg *msg, int delay_ms, bool counted)
{
    struct pti_local *local = local_of(port);
    struct pti_place *place;
    enum ptq_err err = enter_with(local, msg, &place);

    if (err != PTQ_OK)
        return err;
    if (delay_ms == PTQ_BACKOFF)
        delay_ms = backoff(msg->deliveries);
    pti_ring_nack(&place->lane, msg->block, msg->word, delay_ms > 0 ? pti_now_us() + (uint64_t)delay_ms * 1000 : 0,
                  counted);
    pti_local_msg_free(place, msg);
    pti_local_leave(place);
    return PTQ_OK;
}

static enum ptq_err local_nack(struct pti_port *port, struct ptq_msg *msg, int delay_ms)
{
    return settle_back(port, msg, delay_ms, true);
}

static enum ptq_err local_untake(struct pti_port *port, struct ptq_msg *msg) { return settle_back(port, msg, 0, false); }

/* ---- ordered work */

static enum ptq_err local_limit(struct pti_port *port, uint64_t limit)
{
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(local_of(port), &place);

    if (err != PTQ_OK)
        return err;
    pti_ring_raise_limit(place->lane.ring, limit);
    pti_local_leave(place);
    return PTQ_OK;
}

static enum ptq_err local_head(struct pti_port *port, uint64_t *ret_position)
{
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(local_of(port), &place);

    if (err != PTQ_OK)
        return err;
    *ret_position = pti_ring_head(&place->lane);
    pti_local_leave(place);
    return PTQ_OK;
}

static enum ptq_err local_census(struct pti_port *port, uint64_t position, bool *ret_lost)
{
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(local_of(port), &place);

    if (err != PTQ_OK)
        return err;
    *ret_lost = pti_ring_is_lost(place->lane.ring, position & place->lane.ring->position_mask);
    pti_local_leave(place);
    return PTQ_OK;
}

static enum ptq_err local_claim(struct pti_port *port, int64_t deadline)
{
    return pti_local_claim(local_of(port), deadline);
}

/* ---- around */

static enum ptq_err local_stats(struct pti_port *port, struct ptq_queue_stats *ret_stats)
{
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(local_of(port), &place);

    if (err != PTQ_OK)
        return err;
    pti_stats_make(place->lane.ring, ret_stats);
    pti_local_leave(place);
    return PTQ_OK;
}

static enum ptq_err local_fd(struct pti_port *port, enum ptq_side side, int *ret_fd)
{
    return pti_local_fd(local_of(port), side, ret_fd);
}

static void local_interrupt(struct pti_port *port) { pti_local_interrupt(local_of(port)); }

static void local_sweep(struct pti_port *port)
{
    struct pti_place *place;

    if (pti_local_enter(local_of(port), &place) != PTQ_OK)
        return;
    pti_ring_sweep(place->lane.ring, true);
    pti_local_leave(place);
}

static void local_explain(struct pti_port *port, enum ptq_err err, char *buffer, size_t size)
{
    struct pti_local *local = local_of(port);
    uint64_t space = 0;
    char mount[200] = "";

    if (err != PTQ_ENOSPC)
        return;
    pti_segment_space(&local->ring.segment, &space, mount, sizeof mount);
    snprintf(buffer, size, "needs %u more bytes, %" PRIu64 " are free on %s; free some, or enlarge it",
             1u << local->ring.geometry.stretch_shift, space, mount[0] ? mount : "its file system");
}

static void local_close(struct pti_port *port, int64_t deadline)
{
    (void)deadline; /* nothing local waits for an answer */
    pti_local_fini(local_of(port));
    free(port);
}

static const struct pti_port_ops local_ops = {
    .put = local_put,
    .put_many = local_put_many,
    .loan = local_loan,
    .publish = local_publish,
    .abort = local_abort,
    .place = local_place,
    .end = local_end,
    .take = local_take,
    .recv = local_recv,
    .ack = local_ack,
    .nack = local_nack,
    .untake = local_untake,
    .limit = local_limit,
    .head = local_head,
    .census = local_census,
    .claim = local_claim,
    .stats = local_stats,
    .fd = local_fd,
    .interrupt = local_interrupt,
    .sweep = local_sweep,
    .explain = local_explain,
    .close = local_close,
};

/* ---- opening */

static void ask_for(const struct pti_open *open, struct pti_attach *ask)
{
    const struct ptq_queue_options *o = &open->options;

    memset(ask, 0, sizeof *ask);
    ask->geometry.capacity = o->capacity;
    ask->geometry.window = open->window;
    ask->geometry.start_laps = open->start;
    ask->geometry.item_size = o->item_size;
    ask->geometry.max_deliveries = o->max_deliveries;
    ask->geometry.endpoints = o->max_endpoints;
    ask->geometry.flags = (open->placed ? PTI_GEO_PLACED : 0) | (o->ephemeral ? PTI_GEO_EPHEMERAL : 0);
    ask->mode = o->mode;
    ask->wait_ms = o->wait_ms;
    ask->file_mode = o->file_mode;
    ask->prefault = o->prefault;
}

enum ptq_err pti_local_open(ptq_bus *bus, const char *name, const struct pti_open *open, struct ptq_error *error,
                            struct pti_port **ret_port)
{
    struct pti_local *local = calloc(1, sizeof *local);
    struct pti_attach ask;
    struct pti_lane lane;
    char file[PTI_FILE_NAME_MAX];
    enum ptq_err err;

    if (!local)
        return pti_error(error, PTQ_ENOMEM, "queue '%s': out of memory", name);
    ask_for(open, &ask);
    err = pti_attach(bus, name, &ask, error, &local->ring, &lane);
    if (err != PTQ_OK) {
        free(local);
        return err;
    }
    lane.ring = &local->ring;
    err = pti_local_init(local, &lane);
    if (err != PTQ_OK) {
        pti_lane_unregister(&lane);
        pti_ring_fini(&local->ring);
        free(local);
        return pti_error(error, err, "queue '%s': out of memory", name);
    }
    pti_segment_file(name, file, sizeof file);
    snprintf(local->port.where, sizeof local->port.where, "%.200s/%.50s", bus->path, file);
    local->port.ops = &local_ops;
    local->port.capacity = local->ring.geometry.capacity;
    local->port.window = local->ring.geometry.window;
    local->port.item_size = local->ring.geometry.item_size;
    local->port.max_deliveries = local->ring.geometry.max_deliveries;
    local->port.placed = local->ring.geometry.flags & PTI_GEO_PLACED;
    pti_ring_sweep(&local->ring, false); /* who opens looks for the dead */
    *ret_port = &local->port;
    return PTQ_OK;
}
