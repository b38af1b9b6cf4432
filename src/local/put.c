/* put.c -- the ways in: put, loan and publish, place, end; put_many is batch.c. */
#include <string.h>

#include "base/time.h"
#include "local/fill.h"
#include "ring/side.h"
#include "ring/wait.h"

#define REFUSALS_A_LOOK 256u /* puts dropped, until the dead are looked for */

static inline enum ptq_err publish(struct pti_lane *lane, uint32_t block, uint64_t before, uint64_t *ret_position)
{
    return __builtin_expect(lane->notes, 0) ? pti_ring_publish_noted(lane, block, before, ret_position)
                                            : pti_ring_publish(lane, block, before, ret_position);
}

/* Looked at first, so that a full queue does not cost the copy; but who drops the oldest must have his block first. */
static __attribute__((noinline)) bool has_room_for_large(struct pti_lane *lane, const struct pti_put *put)
{
    if (lane->ring->geometry.full == PTQ_FULL_DROP_OLDEST)
        return true;
    lane->want_bytes = put->size;
    while (!pti_ring_may_put(lane, 1))
        if (!pti_ring_make_room(lane, 1))
            return false;
    return true;
}

static enum ptq_err try_put(struct pti_place *place, const struct pti_put *put, uint64_t *ret_position)
{
    uint64_t bytes = pti_message_bytes(put->size, put->headers), before;
    uint32_t block;
    enum ptq_err err;

    if (__builtin_expect(bytes > place->lane.ring->inline_room, 0) && !has_room_for_large(&place->lane, put))
        return PTQ_FULL;
    err = alloc_for(&place->lane, bytes, &block, &before);
    if (err != PTQ_OK)
        return err;
    err = copy_in(place, block, put, 0);
    if (__builtin_expect(err == PTQ_OK, 1)) {
        begin_note(place, put);
        err = publish(&place->lane, block, before, ret_position);
        while (__builtin_expect(err == PTQ_FULL, 0) && pti_ring_make_room(&place->lane, 1))
            err = publish(&place->lane, block, before, ret_position);
        end_note(place, put, err == PTQ_OK, *ret_position);
    }
    if (__builtin_expect(err != PTQ_OK, 0))
        pti_block_give_back(&place->lane, block, before);
    return err;
}

/* What a put does when it found no room.  PTQ_OK: try again. */
enum ptq_err pti_local_no_room(struct pti_local *local, struct pti_place *place, uint64_t need, int64_t deadline,
                               struct pti_sleep *sleep)
{
    enum ptq_err err = PTQ_FULL;

    if (deadline != PTI_DEADLINE_NOW && local->ring.geometry.full != PTQ_FULL_FAIL)
        return pti_local_wait(local, place, PTQ_SIDE_PUT, need, deadline, sleep);
    if (pti_local_nothing(local, place, PTQ_SIDE_PUT))
        return PTQ_OK;
    if (pti_local_disarm(local, place, PTQ_SIDE_PUT) && pti_local_may_put(place, need)) {
        pti_local_rearm(local, PTQ_SIDE_PUT);
        err = pti_local_once_more(sleep) ? PTQ_OK : PTQ_FULL;
    }
    return err;
}

/* PTQ_FULL_DROP_NEWEST: no room is an answer; at every so many of them the dead are looked for first. */
bool pti_local_is_refused(struct pti_local *local, struct pti_place *place, const struct pti_put *put, uint64_t count,
                          uint64_t *ret_position)
{
    if (local->ring.geometry.full != PTQ_FULL_DROP_NEWEST || local->ring.geometry.window != 0)
        return false;
    if (++place->idle % REFUSALS_A_LOOK == 0 && pti_ring_sweep_sometimes(&local->ring, true) > 0)
        return false;
    begin_note(place, put);
    pti_ring_refuse(&place->lane, count);
    *ret_position = 0;
    end_note(place, put, true, 0);
    return true;
}

enum ptq_err pti_local_put(struct pti_port *port, const struct pti_put *put, int64_t deadline, uint64_t *ret_position)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_sleep sleep = {0};
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(local, &place);

    if (err != PTQ_OK)
        return err;
    do {
        err = try_put(place, put, ret_position);
        if (__builtin_expect(err != PTQ_FULL, 1))
            break;
        if (pti_local_is_refused(local, place, put, 1, ret_position)) {
            err = PTQ_OK;
            break;
        }
        err = pti_local_no_room(local, place, 1, deadline, &sleep);
    } while (err == PTQ_OK);
    pti_local_leave(place);
    return err;
}

/* Room for headers as well, which are known only when it is published. */
static uint64_t loan_bytes(const struct pti_local *local, uint32_t size)
{
    uint64_t most = (uint64_t)local->port.item_size + local->port.header_size;
    uint64_t bytes = (uint64_t)size + PTQ_HEADERS_MAX;

    if (size <= local->ring.inline_room && local->ring.sides == NULL)
        return size;
    return bytes < most ? bytes : most;
}

enum ptq_err pti_local_loan(struct pti_port *port, uint32_t size, int64_t deadline, struct ptq_msg **ret_loan)
{
    struct pti_local *local = pti_local_of(port);
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
        err = alloc_for(&place->lane, loan_bytes(local, size), &msg->block, &msg->word);
        if (err != PTQ_FULL)
            break;
        err = pti_local_no_room(local, place, 1, deadline, &sleep);
    } while (err == PTQ_OK);
    if (err == PTQ_OK) {
        err = pti_block_room(&place->lane, msg->block, loan_bytes(local, size), &msg->data);
        if (err != PTQ_OK) {
            pti_block_give_back(&place->lane, msg->block, msg->word);
            pti_wake_putters(&local->ring);
        }
    }
    if (err == PTQ_OK) {
        pti_block_keep(&place->lane, msg->block, true);
        msg->port = port;
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

/* A loan's block, to the lane that lent it. */
static void take_back(struct pti_local *local, const struct ptq_msg *loan)
{
    struct pti_lane *lane = &pti_load_acquire(&local->places[loan->lane])->lane; /* [Z] */

    pti_block_give_back(lane, loan->block, pti_word(PTI_OWNED, lane->index, pti_word_position(loan->word), 0));
    pti_wake_putters(&local->ring);
}

/* Where a message stands follows from its length: one that became short after all moves into its block. */
static void settle_room(struct pti_local *local, const struct ptq_msg *loan, uint64_t bytes)
{
    void *payload = pti_block_at(&local->ring, loan->block)->payload;

    if (bytes <= local->ring.inline_room && loan->data != payload)
        memcpy(payload, loan->data, bytes);
}

/* All but its way into the ring. */
static void finish_loan(struct pti_local *local, struct pti_place *place, struct ptq_msg *loan, const struct pti_put *put)
{
    struct pti_meta meta = meta_of(put);

    /* Another thread's loan becomes ours before our journal names it. */
    loan->word = pti_word(PTI_OWNED, place->lane.index, pti_word_position(loan->word), 0);
    pti_store_release(&pti_block_at(&local->ring, loan->block)->word, loan->word); /* [A] */
    pti_block_fill(&place->lane, loan->block, &meta, 0, 0);
    if (put->headers != 0)
        copy_headers(loan->data, put);
    settle_room(local, loan, pti_message_bytes(put->size, put->headers));
}

enum ptq_err pti_local_publish(struct pti_port *port, struct ptq_msg *loan, const struct pti_put *put, int64_t deadline,
                               uint64_t *ret_position)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_sleep sleep = {0};
    struct pti_place *place;
    bool refused = false;
    enum ptq_err err = pti_local_enter(local, &place);

    if (err != PTQ_OK)
        return err;
    finish_loan(local, place, loan, put);
    do {
        begin_note(place, put);
        do
            err = publish(&place->lane, loan->block, loan->word, ret_position);
        while (err == PTQ_FULL && pti_ring_make_room(&place->lane, 1));
        end_note(place, put, err == PTQ_OK, *ret_position);
        if (err != PTQ_FULL)
            break;
        refused = pti_local_is_refused(local, place, put, 1, ret_position);
        err = refused ? PTQ_OK : pti_local_no_room(local, place, 0, deadline, &sleep); /* a place in the ring; it has its block */
    } while (err == PTQ_OK && !refused);
    if (err == PTQ_OK) {
        if (refused)
            take_back(local, loan);
        else
            pti_block_keep(&pti_load_acquire(&local->places[loan->lane])->lane, loan->block, false); /* [Z] */
        pti_local_msg_free(place, loan);
    }
    pti_local_leave(place);
    return err;
}

void pti_local_abort(struct pti_port *port, struct ptq_msg *loan)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_place *place;

    if (pti_local_enter(local, &place) != PTQ_OK)
        return; /* the queue is gone, or being closed: close frees it */
    take_back(local, loan);
    pti_local_msg_free(place, loan);
    pti_local_leave(place);
}

enum ptq_err pti_local_place(struct pti_port *port, uint64_t position, const struct pti_put *put, int64_t deadline)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_sleep sleep = {0};
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(local, &place);

    if (err != PTQ_OK)
        return err;
    position &= local->ring.position_mask;
    do {
        uint32_t block;
        uint64_t before;

        err = alloc_for(&place->lane, pti_message_bytes(put->size, put->headers), &block, &before);
        if (err == PTQ_OK) {
            err = copy_in(place, block, put, 0);
            begin_note(place, put);
            if (err == PTQ_OK && put->stream != 0)
                pti_note_at(place->lane.entry, position);
            if (err == PTQ_OK)
                err = pti_ring_place(&place->lane, position, block, before);
            end_note(place, put, err == PTQ_OK, position);
            if (err != PTQ_OK)
                pti_block_give_back(&place->lane, block, before);
            break; /* FULL here means beyond the window, and waiting is not ours */
        }
        if (err == PTQ_FULL)
            err = pti_local_no_room(local, place, 1, deadline, &sleep);
        else
            break;
    } while (err == PTQ_OK);
    pti_local_leave(place);
    return err;
}

enum ptq_err pti_local_place_loan(struct pti_port *port, struct ptq_msg *loan, uint64_t position, const struct pti_put *put)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(local, &place);

    if (err != PTQ_OK)
        return err;
    finish_loan(local, place, loan, put);
    err = pti_ring_place(&place->lane, position & local->ring.position_mask, loan->block, loan->word);
    if (err == PTQ_OK)
        pti_block_keep(&pti_load_acquire(&local->places[loan->lane])->lane, loan->block, false); /* [Z] */
    else if (err == PTQ_ELATE)
        take_back(local, loan);
    if (err == PTQ_OK || err == PTQ_ELATE)
        pti_local_msg_free(place, loan);
    pti_local_leave(place);
    return err;
}

enum ptq_err pti_local_end(struct pti_port *port)
{
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(pti_local_of(port), &place);

    if (err != PTQ_OK)
        return err;
    err = pti_ring_end(&place->lane);
    pti_local_leave(place);
    return err;
}
