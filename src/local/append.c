/* append.c -- PTQ_EXCLUSIVE on a queue for packs: small puts are added to an open unit, each in the queue when its put returns. */
#include <string.h>

#include "local/verbs.h"
#include "ring/grow.h"

bool pti_append_suits(const struct pti_geometry *g)
{
    /* What is the message's own must not become its unit's: time to live, exact put time, lease, byte budget, position. */
    return g->pack_size != 0 && g->capacity >= 4 && g->ttl_ms == 0 && g->stamps != PTQ_STAMPS_ALL && g->lease_ms == 0 &&
           g->bytes == 0 && g->window == 0 && !(g->flags & PTI_GEO_PLACED);
}

static bool is_small(const struct pti_local *local, const struct pti_put *put)
{
    return put->kind == PTI_KIND_DATA && !put->headers && !put->ttl && !put->due_us && !put->stream &&
           pti_record_size(put->size) <= pti_pack_room(&local->ring);
}

static inline void fill(struct pti_record *record, const struct pti_put *put)
{
    pti_store_relaxed(&record->length, put->size);
    pti_store_relaxed(&record->type, put->type);
    if (put->size > 0)
        memcpy(record->bytes, put->data, put->size);
}

static inline bool append(struct pti_place *place, const struct pti_put *put, uint64_t *ret_position)
{
    struct pti_growing *unit = &place->growing;
    struct pti_record *record = pti_grow_room(&place->lane, unit, put->size);

    if (!record)
        return false;
    *ret_position = unit->position;
    fill(record, put);
    return pti_grow_commit(&place->lane, unit, put->size);
}

/* At least two of a unit fit the capacity, as of packs.  PTQ_FULL: not as a unit, at least. */
static enum ptq_err begin(struct pti_place *place, const struct pti_put *put, uint64_t *ret_position)
{
    struct pti_lane *lane = &place->lane;
    uint64_t half = lane->ring->geometry.capacity / 2, before;
    uint32_t block;
    enum ptq_err err;

    if (!pti_block_alloc_own(lane, &block, &before))
        return PTQ_FULL;
    place->growing.most = half < PTI_PACK_MASK ? (uint32_t)half : (uint32_t)PTI_PACK_MASK;
    fill((struct pti_record *)(void *)pti_pack_of(pti_block_at(lane->ring, block))->records, put);
    err = pti_grow_begin(lane, &place->growing, block, before, put->size, ret_position);
    if (err != PTQ_OK)
        pti_block_give_back(lane, block, before);
    return err;
}

enum ptq_err pti_append_put(struct pti_port *port, const struct pti_put *put, int64_t deadline, uint64_t *ret_position)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_place *place;
    enum ptq_err err;

    if (!is_small(local, put))
        return pti_local_put(port, put, deadline, ret_position); /* an entry behind the unit, which is not added to any more */
    err = pti_local_enter(local, &place);
    if (__builtin_expect(err != PTQ_OK, 0))
        return err;
    if (!append(place, put, ret_position))
        err = begin(place, put, ret_position);
    pti_local_leave(place);
    return err == PTQ_FULL ? pti_local_put(port, put, deadline, ret_position) : err; /* waits, drops, or says so */
}
