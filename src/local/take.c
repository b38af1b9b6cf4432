/* take.c -- the ways out: take and recv, ack and nack. */
#include <string.h>

#include "base/time.h"
#include "local/verbs.h"
#include "ring/side.h"
#include "ring/pack.h"
#include "ring/wait.h"

/* Never beyond its block. */
static uint8_t headers_of(struct pti_local *local, struct pti_block *b, uint32_t size)
{
    uint8_t headers = pti_load_relaxed(&b->headers);

    return pti_message_bytes(size, headers) <= (uint64_t)local->port.item_size + local->port.header_size + 3u ? headers : 0;
}

static inline enum ptq_err show(struct pti_local *local, struct pti_place *place, struct ptq_msg *msg, uint32_t block, uint64_t word)
{
    struct pti_block *b = pti_block_at(&local->ring, block);
    uint32_t size = pti_load_relaxed(&b->length);

    msg->port = &local->port;
    msg->data = b->payload; /* unless it is a large one: then below */
    msg->size = size <= local->port.item_size ? size : local->port.item_size; /* never beyond its block */
    msg->sub = pti_load_relaxed(&b->sub);
    msg->position = pti_word_position(word);
    msg->deliveries = pti_load_relaxed(&b->deliveries);
    msg->type = pti_load_relaxed(&b->type);
    msg->kind = pti_load_relaxed(&b->kind) & PTI_KIND_MASK;
    msg->headers = headers_of(local, b, msg->size);
    msg->redelivered = pti_word_redelivered(word) || pti_load_relaxed(&b->kind) & PTI_KIND_TWICE;
    msg->state = PTI_MSG_LEASED;
    msg->block = block;
    msg->lane = place->number;
    msg->word = word;
    msg->unit = NULL;
    return pti_block_payload(&local->ring, block, pti_message_bytes(msg->size, msg->headers), &msg->data);
}

/* A large message whose bytes can not be had.  Not by this process now: it goes back as if it had not been taken.  By nobody any
 * more, for its side file is gone or damaged: it is a dead letter, and does not stand in the others' way. */
static __attribute__((noinline)) enum ptq_err refuse(struct pti_place *place, uint32_t block, uint64_t word, enum ptq_err err)
{
    if (err == PTQ_ECORRUPT)
        pti_dead_bury(&place->lane, block, word);
    else
        pti_ring_nack(&place->lane, block, word, 0, false);
    return err;
}

enum ptq_err pti_local_show(struct pti_local *local, struct pti_place *place, struct ptq_msg *msg, uint32_t block, uint64_t word)
{
    return show(local, place, msg, block, word);
}

/* A consumer that took one and sees more wakes the next sleeper: else a message may lie beside one. */
static inline __attribute__((always_inline)) void pass_baton(struct pti_local *local, struct pti_place *place)
{
    _Atomic uint32_t *word = &local->ring.hints->get_wait;

    if (__builtin_expect(pti_load_relaxed(word) & PTI_WAIT_BITS, 0) && pti_ring_may_take(&place->lane))
        pti_wake(&local->ring, word);
}

void pti_local_pass_baton(struct pti_local *local, struct pti_place *place) { pass_baton(local, place); }

#define LOOK_EVERY 64          /* takes, */
#define LOOK_ALWAYS_NS 20000   /* but at each one where they take longer than this */

/* A consumer that never runs dry meets no obstacle, and what a dead one had leased would wait behind the backlog for ever:
 * so it looks for the dead as well, by the clock, which a fast one reads seldom. */
static __attribute__((noinline)) void look_for_the_dead(struct pti_local *local, struct pti_place *place)
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
    if (__builtin_expect(place->probe_in <= 1, 0)) /* a take of many counts as one: what matters is how long it takes */
        look_for_the_dead(local, place);
    else
        place->probe_in--;
}

/* Leases up to max now. */
enum ptq_err pti_local_take_now(struct pti_local *local, struct pti_place *place, size_t max, struct ptq_msg **msgs,
                                size_t *ret_count)
{
    enum ptq_err err = PTQ_OK;
    size_t count = 0;

    while (count < max) {
        struct ptq_msg *msg;
        uint32_t block;
        uint64_t word;
        size_t got = 0;

        if (pti_load_relaxed(&place->unit) && !pti_ring_is_paused(&local->ring)) {
            err = pti_unit_show(local, place, max - count, msgs + count, &got);
            count += got;
            if (err != PTQ_OK)
                break;
            continue;
        }
        msg = pti_local_msg_new(local, place);
        if (!msg) {
            err = PTQ_ENOMEM;
            break;
        }
        err = count == 0 ? pti_ring_take(&place->lane, &block, &word) : pti_ring_take_next(&place->lane, &block, &word);
        if (err != PTQ_OK) {
            pti_local_msg_free(place, msg);
            break;
        }
        if (__builtin_expect(pti_block_is_pack(pti_block_at(&local->ring, block)), 0)) {
            pti_local_msg_free(place, msg);
            err = pti_unit_begin(local, place, block, word);
            if (err != PTQ_OK)
                break;
            continue;
        }
        err = show(local, place, msg, block, word);
        if (__builtin_expect(err != PTQ_OK, 0)) {
            refuse(place, block, word, err);
            pti_local_msg_free(place, msg);
            break;
        }
        msgs[count++] = msg;
    }
    if (count == 0)
        return err;
    if (count > 1)
        pti_wake_putters(&local->ring);
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
        pti_fetch_or_seq(&local->ring.hints->flags, PTI_FLAG_ENDED); /* [F, W] */
        if (pti_ring_is_settled(&local->ring, place->lane.index)) {
            pti_local_rearm(local, PTQ_SIDE_GET);
            return PTQ_END;
        }
        pti_ring_sweep_sometimes(&local->ring, false);
    } else if (answer != PTQ_EMPTY) {
        return answer;
    }
    if (pti_load_relaxed(&place->pipe.count) > 0 && pti_pipe_try(local, place))
        return PTQ_OK; /* what this thread gathered may be what it waits for */
    if (deadline != PTI_DEADLINE_NOW)
        return pti_local_wait(local, place, PTQ_SIDE_GET, 1, deadline, sleep);
    if (pti_local_nothing(local, place, PTQ_SIDE_GET))
        return PTQ_OK;
    if (pti_local_disarm(local, place, PTQ_SIDE_GET) && pti_ring_may_take(&place->lane)) {
        pti_local_rearm(local, PTQ_SIDE_GET);
        return pti_local_once_more(sleep) ? PTQ_OK : PTQ_EMPTY;
    }
    return PTQ_EMPTY;
}

static inline __attribute__((always_inline)) enum ptq_err take(struct pti_port *port, bool has_some, size_t max, int64_t deadline,
                                                               struct ptq_msg **msgs, size_t *ret_count)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_sleep sleep = {0};
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(local, &place);

    if (__builtin_expect(err != PTQ_OK, 0))
        return err;
    do {
        err = pti_local_take_now(local, place, max, msgs, ret_count);
        if (__builtin_expect(err == PTQ_OK, 1) || (has_some && err == PTQ_END))
            break;
        err = nothing(local, place, err, deadline, &sleep);
    } while (err == PTQ_OK);
    pti_local_leave(place);
    return err;
}

enum ptq_err pti_local_take(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs, size_t *ret_count)
{
    return take(port, false, max, deadline, msgs, ret_count);
}

enum ptq_err pti_local_take_more(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs, size_t *ret_count)
{
    return take(port, true, max, deadline, msgs, ret_count);
}

static inline enum ptq_err copy_out(struct pti_local *local, struct pti_place *place, uint32_t block, uint64_t word,
                                    void *buffer, size_t size)
{
    struct pti_block *b = pti_block_at(&local->ring, block);
    void *payload;
    enum ptq_err err = pti_block_payload(&local->ring, block,
                                         pti_message_bytes((uint32_t)size, headers_of(local, b, (uint32_t)size)), &payload);

    if (__builtin_expect(err != PTQ_OK, 0))
        return refuse(place, block, word, err);
    if (size > 0)
        memcpy(buffer, payload, size);
    err = pti_ring_ack(&place->lane, block, word);
    if (__builtin_expect(err == PTQ_OK, 1))
        pass_baton(local, place);
    return err;
}

enum ptq_err pti_local_recv(struct pti_port *port, void *buffer, size_t size, int64_t deadline, size_t *ret_size)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_sleep sleep = {0};
    struct pti_place *place;
    uint32_t block;
    uint64_t word;
    size_t has;
    enum ptq_err err = pti_local_enter(local, &place);

    if (__builtin_expect(err != PTQ_OK, 0))
        return err;
again:
    for (;;) {
        if (pti_load_relaxed(&place->unit) && !pti_ring_is_paused(&local->ring)) {
            err = pti_unit_recv(local, place, buffer, size, ret_size);
            if (err == PTQ_EMPTY)
                continue;
            note_taken(local, place, err == PTQ_OK);
            pti_local_leave(place);
            return err;
        }
        err = pti_ring_take(&place->lane, &block, &word);
        if (__builtin_expect(err == PTQ_OK, 1)) {
            if (__builtin_expect(!pti_block_is_pack(pti_block_at(&local->ring, block)), 1))
                break;
            pass_baton(local, place);
            err = pti_unit_begin(local, place, block, word);
            if (err == PTQ_OK)
                continue;
            pti_local_leave(place);
            return err;
        }
        err = nothing(local, place, err, deadline, &sleep);
        if (err != PTQ_OK) {
            pti_local_leave(place);
            return err;
        }
    }
    note_taken(local, place, 1);
    has = pti_load_relaxed(&pti_block_at(&local->ring, block)->length);
    if (__builtin_expect(has > size || has > local->port.item_size, 0)) {
        (void)pti_ring_nack(&place->lane, block, word, 0, false); /* lost: it is in the queue as well */
        err = PTQ_EMSGSIZE;
    } else {
        err = copy_out(local, place, block, word, buffer, has);
        if (__builtin_expect(err == PTQ_ELEASELOST, 0))
            goto again; /* this thread stood still for longer than a lease may last: what was copied is another's by now */
    }
    if (err == PTQ_OK || err == PTQ_EMSGSIZE)
        *ret_size = has;
    pti_local_leave(place);
    return err;
}

/* Enters to settle a lease; a lease of another thread becomes ours first. */
static enum ptq_err enter_with(struct pti_local *local, struct ptq_msg *msg, struct pti_place **ret_place)
{
    enum ptq_err err = pti_local_enter(local, ret_place);

    if (__builtin_expect(err != PTQ_OK, 0) || __builtin_expect(msg->unit != NULL, 0))
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

enum ptq_err pti_local_enter_with(struct pti_local *local, struct ptq_msg *msg, struct pti_place **ret_place)
{
    return enter_with(local, msg, ret_place);
}

enum ptq_err pti_local_ack(struct pti_port *port, struct ptq_msg *msg)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_place *place;
    enum ptq_err err = enter_with(local, msg, &place);

    if (__builtin_expect(err != PTQ_OK, 0))
        return err;
    if (__builtin_expect(msg->unit != NULL, 0)) {
        err = pti_unit_ack(local, place, msg);
        pti_local_leave(place);
        return err;
    }
    err = pti_ring_ack(&place->lane, msg->block, msg->word);
    pti_local_msg_free(place, msg);
    pti_local_leave(place);
    return err;
}

static int backoff(uint32_t deliveries)
{
    static const int delays[] = {0, 10, 100, 1000};

    return delays[deliveries == 0 ? 0 : deliveries < 4 ? deliveries - 1 : 3];
}

static enum ptq_err settle_back(struct pti_port *port, struct ptq_msg *msg, int delay_ms, bool counted)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_place *place;
    enum ptq_err err = enter_with(local, msg, &place);

    if (err != PTQ_OK)
        return err;
    if (delay_ms == PTQ_BACKOFF)
        delay_ms = backoff(msg->deliveries);
    if (msg->unit) {
        err = pti_unit_nack(local, place, msg, delay_ms > 0 ? pti_now_us() + (uint64_t)delay_ms * 1000 : 0, counted);
        pti_local_leave(place);
        return err;
    }
    err = pti_ring_nack(&place->lane, msg->block, msg->word, delay_ms > 0 ? pti_now_us() + (uint64_t)delay_ms * 1000 : 0,
                        counted);
    pti_local_msg_free(place, msg);
    pti_local_leave(place);
    return err;
}

enum ptq_err pti_local_nack(struct pti_port *port, struct ptq_msg *msg, int delay_ms)
{
    return settle_back(port, msg, delay_ms, true);
}

enum ptq_err pti_local_untake(struct pti_port *port, struct ptq_msg *msg) { return settle_back(port, msg, 0, false); }
