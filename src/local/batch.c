/* batch.c -- many messages by one call: all of them or none, some of them in packs (local/packed.c). */
#include <stdlib.h>

#include "base/time.h"
#include "local/fill.h"
#include "ring/pack.h"
#include "ring/wait.h"

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

/* Where all of them are one pack it needs no header. */
static enum ptq_err publish_filled(struct pti_place *place, size_t blocks, size_t messages, uint64_t *ret_position)
{
    const struct pti_scratch *s = &place->lane.scratch;

    if (blocks > 1 || messages == 1)
        return pti_ring_publish_batch(&place->lane, blocks, messages, ret_position);
    return pti_pack_publish(&place->lane, s->blocks[0], s->befores[0], (uint32_t)messages,
                            pti_load_relaxed(&pti_block_at(place->lane.ring, s->blocks[0])->length), ret_position);
}

static enum ptq_err err_after(struct pti_lane *lane, size_t blocks, enum ptq_err err)
{
    give_all_back(lane, blocks);
    return err;
}

/* The filled blocks of lane->scratch; on failure they go back. */
static enum ptq_err publish_noted(struct pti_place *place, const struct pti_put *like, size_t blocks, size_t messages,
                                  uint64_t *ret_position)
{
    enum ptq_err err;

    begin_note(place, like);
    err = publish_filled(place, blocks, messages, ret_position);
    end_note(place, like, err == PTQ_OK, *ret_position);
    if (err != PTQ_OK)
        return err_after(&place->lane, blocks, err);
    for (size_t i = 0; i < blocks; i++)
        pti_block_keep(&place->lane, place->lane.scratch.blocks[i], false);
    return PTQ_OK;
}

/* lane->want_bytes of them.  Looked at first, so that a full queue does not cost the copies; but who drops the oldest must have his
 * blocks first. */
static enum ptq_err look_for_room(struct pti_lane *lane, size_t messages)
{
    if (lane->ring->geometry.bytes != 0 && lane->want_bytes > lane->ring->geometry.bytes)
        return PTQ_ETOOBIG; /* here, for only the home knows the budget */
    while (lane->ring->geometry.full != PTQ_FULL_DROP_OLDEST && !pti_ring_may_put(lane, messages))
        if (!pti_ring_make_room(lane, messages))
            return PTQ_FULL;
    return PTQ_OK;
}

static enum ptq_err try_put_many(struct pti_local *local, struct pti_place *place, const struct pti_put *puts, size_t count, bool packs,
                                 uint64_t *ret_position)
{
    struct pti_lane *lane = &place->lane;
    struct pti_scratch *s = &lane->scratch;
    enum ptq_err err;
    size_t have = 0;

    lane->want_bytes = 0;
    for (size_t i = 0; lane->ring->geometry.bytes != 0 && i < count; i++)
        lane->want_bytes += puts[i].size;
    err = look_for_room(lane, count);
    if (err != PTQ_OK)
        return err;
    for (size_t at = 0, n; at < count; at += n) {
        n = packs ? pti_packed_run(local, puts + at, count - at) : 1;
        err = alloc_for(lane, n > 1 ? 0 : pti_message_bytes(puts[at].size, puts[at].headers), &s->blocks[have], &s->befores[have]);
        if (err != PTQ_OK)
            break;
        pti_block_keep(lane, s->blocks[have++], true);
        if (n > 1)
            pti_packed_fill(local, place, s->blocks[have - 1], puts + at, n, (uint32_t)at);
        else
            err = copy_in(place, s->blocks[have - 1], &puts[at], (uint32_t)at);
        if (err != PTQ_OK)
            break;
    }
    return err == PTQ_OK ? publish_noted(place, &puts[0], have, count, ret_position) : err_after(lane, have, err);
}

enum ptq_err pti_local_put_many(struct pti_port *port, const struct pti_put *puts, size_t count, int64_t deadline,
                                uint64_t *ret_position)
{
    return pti_local_put_batch(port, puts, count, puts[0].packs, deadline, ret_position);
}

enum ptq_err pti_local_put_batch(struct pti_port *port, const struct pti_put *puts, size_t count, bool packs, int64_t deadline,
                                 uint64_t *ret_position)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_sleep sleep = {0};
    struct pti_place *place;
    enum ptq_err err;

    if (count == 1)
        return pti_local_put(port, puts, deadline, ret_position);
    err = pti_local_enter(local, &place);
    if (err != PTQ_OK)
        return err;
    err = make_scratch(&place->lane, count);
    packs = packs && pti_packed_suits(&local->ring.geometry);
    while (err == PTQ_OK) {
        err = try_put_many(local, place, puts, count, packs, ret_position);
        if (err != PTQ_FULL)
            break;
        if (pti_local_is_refused(local, place, puts, count, ret_position)) {
            err = PTQ_OK;
            break;
        }
        err = pti_local_no_room(local, place, count, deadline, &sleep);
    }
    pti_local_leave(place);
    return err;
}
