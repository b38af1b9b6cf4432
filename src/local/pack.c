/* pack.c -- PTQ_PIPELINE: small puts are gathered in a block that only this thread knows, and published as one pack.
 *
 * A pack goes into the queue when the next message does not fit it, when it is full, at a flush, before anything that is put
 * otherwise (so the order of a thread's puts stays), before END and at close.  Until then a put promises nothing.
 */
#include <string.h>

#include "base/time.h"
#include "local/verbs.h"
#include "ring/pack.h"
#include "ring/wait.h"

uint32_t pti_pipe_most(const struct pti_local *local)
{
    uint64_t most = local->ring.geometry.capacity > 1 ? local->ring.geometry.capacity / 2 : 1;

    return most < PTI_PACK_MASK ? (uint32_t)most : (uint32_t)PTI_PACK_MASK;
}

/* Is it a plain small message? */
static bool is_packed(const struct pti_local *local, const struct pti_put *put)
{
    uint64_t budget = local->ring.geometry.bytes;

    if (put->kind != PTI_KIND_DATA || put->headers || put->ttl || put->due_us || put->stream)
        return false;
    return pti_record_size(put->size) <= pti_pack_room(&local->ring) && (budget == 0 || put->size <= budget);
}

static bool fits(const struct pti_local *local, const struct pti_pipe *pipe, uint32_t size)
{
    uint64_t budget = local->ring.geometry.bytes;

    return pti_load_relaxed(&pipe->count) < pti_pipe_most(local) &&
           pipe->at + pti_record_size(size) <= pti_pack_room(&local->ring) && (budget == 0 || pipe->bytes + size <= budget);
}

static void append(const struct pti_local *local, struct pti_pipe *pipe, const struct pti_put *put)
{
    struct pti_pack *pack = pti_pack_of(pti_block_at(&local->ring, pipe->block));
    struct pti_record *record = (struct pti_record *)(void *)(pack->records + pipe->at);

    pti_store_relaxed(&record->length, put->size);
    pti_store_relaxed(&record->type, put->type);
    if (put->size > 0)
        memcpy(record->bytes, put->data, put->size);
    pipe->at += pti_record_size(put->size);
    pipe->bytes += put->size;
    pti_store_relaxed(&pipe->count, pti_load_relaxed(&pipe->count) + 1);
}

static enum ptq_err begin(const struct pti_local *local, struct pti_place *place)
{
    struct pti_pipe *pipe = &place->pipe;
    enum ptq_err err;

    if (pipe->kept)
        pti_block_keep(&place->lane, pipe->kept - 1, false);
    pipe->kept = 0;
    err = pti_block_alloc(&place->lane, &pipe->block, &pipe->before);
    if (err != PTQ_OK)
        return err;
    pti_block_keep(&place->lane, pipe->block, true); /* as a loan: the own ring passes it by */
    pipe->at = 0;
    pipe->bytes = 0;
    pipe->records = pti_pack_of(pti_block_at(&local->ring, pipe->block))->records;
    pipe->room = local->ring.geometry.bytes == 0 ? pti_pack_room(&local->ring) : 0;
    pipe->most = pti_pipe_most(local);
    return PTQ_OK;
}

/* ---- publishing, under the bias of `place` */

/* What `place` knows of its own blocks is its thread's alone: another leaves a note.  (Of shared blocks nothing is known.) */
static void forget(struct pti_place *me, struct pti_place *place, bool is_published)
{
    struct pti_pipe *pipe = &place->pipe;
    bool is_shared = pipe->block < me->lane.ring->geometry.shared_blocks;

    if (!is_published && (me == place || is_shared))
        pti_block_give_back(&me->lane, pipe->block, pipe->before);
    else if (me == place)
        pti_block_keep(&me->lane, pipe->block, false);
    else if (!is_shared)
        pipe->kept = pipe->block + 1;
    pti_store_relaxed(&pipe->count, 0);
}

/* `me` publishes what `place` gathered.  PTQ_OK also if that was nothing. */
static enum ptq_err publish(struct pti_place *me, struct pti_place *place)
{
    struct pti_pipe *pipe = &place->pipe;
    struct pti_lane *lane = &me->lane;
    uint64_t before = pipe->before, position;
    enum ptq_err err;

    if (pti_load_relaxed(&pipe->count) == 0)
        return PTQ_OK;
    if (me != place) { /* another thread's block becomes ours before our journal names it */
        before = pti_word(PTI_OWNED, lane->index, pti_word_position(before), 0);
        pti_store_release(&pti_block_at(lane->ring, pipe->block)->word, before); /* [A] */
    }
    err = pti_pack_publish(lane, pipe->block, before, pti_load_relaxed(&pipe->count), pipe->bytes, &position);
    if (err == PTQ_OK) {
        forget(me, place, true);
        return PTQ_OK;
    }
    if (me != place)
        pti_store_release(&pti_block_at(lane->ring, pipe->block)->word, pipe->before); /* [A] */
    if (err != PTQ_FULL)
        forget(me, place, false); /* it can never be put */
    return err;
}

/* The same until the deadline.  Nobody sleeps under a bias. */
static enum ptq_err publish_by(struct pti_local *local, struct pti_place *me, struct pti_place *place, int64_t deadline)
{
    struct pti_sleep sleep = {0};
    enum ptq_err err;

    for (;;) {
        uint32_t count;
        uint64_t position;

        pti_bias_enter_any(local, me, place);
        err = publish(me, place);
        count = pti_load_relaxed(&place->pipe.count);
        if (err == PTQ_FULL && local->ring.geometry.full == PTQ_FULL_DROP_NEWEST) {
            struct pti_put none = {0};

            if (pti_local_is_refused(local, me, &none, count, &position)) {
                forget(me, place, false);
                err = PTQ_OK;
            }
        }
        pti_bias_leave_any(me, place);
        if (err != PTQ_FULL)
            return err;
        err = pti_local_no_room(local, me, count | PTI_NEED_ROOM, deadline, &sleep);
        if (err != PTQ_OK)
            return err;
    }
}

enum ptq_err pti_pipe_flush_own(struct pti_local *local, struct pti_place *place, int64_t deadline)
{
    return pti_load_relaxed(&place->pipe.count) == 0 ? PTQ_OK : publish_by(local, place, place, deadline);
}

bool pti_pipe_try(struct pti_local *local, struct pti_place *place)
{
    enum ptq_err err;
    uint32_t count;

    pti_bias_enter(local, &place->bias);
    count = pti_load_relaxed(&place->pipe.count);
    err = publish(place, place);
    pti_bias_leave(&place->bias);
    return count > 0 && err == PTQ_OK;
}

/* What this thread gathered goes first. */
static enum ptq_err flush_own(struct pti_local *local, int64_t deadline)
{
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(local, &place);

    if (err != PTQ_OK)
        return err;
    err = publish_by(local, place, place, deadline);
    pti_local_leave(place);
    return err;
}

enum ptq_err pti_pipe_flush(struct pti_port *port, int64_t deadline)
{
    struct pti_local *local = pti_local_of(port);
    uint32_t used = pti_load_acquire(&local->places_used); /* [Z] */
    struct pti_place *me;
    enum ptq_err err = pti_local_enter(local, &me), answer;

    if (err != PTQ_OK)
        return err;
    err = publish_by(local, me, me, deadline);
    for (uint32_t i = 0; i < used && (err == PTQ_OK || err == PTQ_EENDED); i++) {
        struct pti_place *place = pti_load_acquire(&local->places[i]); /* [Z] */

        if (place == me)
            continue;
        answer = publish_by(local, me, place, deadline);
        err = err == PTQ_OK ? answer : err;
    }
    pti_local_leave(me);
    return err;
}

/* ---- the ways in */

static enum ptq_err put_packed(struct pti_local *local, struct pti_place *place, const struct pti_put *put, int64_t deadline)
{
    struct pti_pipe *pipe = &place->pipe;
    struct pti_sleep sleep = {0};
    enum ptq_err err = PTQ_OK;
    bool has_some;

    for (;;) {
        pti_bias_enter(local, &place->bias);
        has_some = pti_load_relaxed(&pipe->count) > 0;
        if (has_some && __builtin_expect(!fits(local, pipe, put->size), 0))
            err = PTQ_FULL;
        else if (!has_some)
            err = begin(local, place);
        if (err == PTQ_OK)
            append(local, pipe, put);
        pti_bias_leave(&place->bias);
        if (__builtin_expect(err == PTQ_OK, 1))
            return PTQ_OK;
        if (has_some) /* by now perhaps not: another thread flushes */
            err = publish_by(local, place, place, deadline);
        else if (err == PTQ_FULL)
            err = pti_local_no_room(local, place, 1, deadline, &sleep);
        if (err != PTQ_OK)
            return err;
    }
}

enum ptq_err pti_pipe_put(struct pti_port *port, const struct pti_put *put, int64_t deadline, uint64_t *ret_position)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_place *place;
    enum ptq_err err;

    if (!is_packed(local, put)) {
        err = flush_own(local, deadline);
        return err == PTQ_OK ? pti_local_put(port, put, deadline, ret_position) : err;
    }
    err = pti_local_enter(local, &place);
    if (__builtin_expect(err != PTQ_OK, 0))
        return err;
    err = put_packed(local, place, put, deadline);
    if (err == PTQ_OK) {
        *ret_position = 0; /* not known before it is in the queue */
        if (__builtin_expect(!fits(local, &place->pipe, put->size), 0))
            pti_pipe_try(local, place); /* full: in the queue, if it fits; else the next call sees to it */
    }
    pti_local_leave(place);
    return err;
}

enum ptq_err pti_pipe_put_many(struct pti_port *port, const struct pti_put *puts, size_t count, int64_t deadline,
                               uint64_t *ret_position)
{
    enum ptq_err err = flush_own(pti_local_of(port), deadline);

    return err == PTQ_OK ? pti_local_put_batch(port, puts, count, true, deadline, ret_position) : err;
}

enum ptq_err pti_pipe_publish(struct pti_port *port, struct ptq_msg *loan, const struct pti_put *put, int64_t deadline,
                              uint64_t *ret_position)
{
    enum ptq_err err = flush_own(pti_local_of(port), deadline);

    return err == PTQ_OK ? pti_local_publish(port, loan, put, deadline, ret_position) : err;
}

enum ptq_err pti_pipe_end(struct pti_port *port)
{
    enum ptq_err err = pti_pipe_flush(port, PTI_DEADLINE_NOW);

    return err == PTQ_OK ? pti_local_end(port) : err == PTQ_EENDED ? PTQ_EALREADY : err;
}
