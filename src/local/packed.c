/* packed.c -- the straight ways into packs.
 *
 *      put        behind what this thread gathers, where it fits and another of its size would: else local/pack.c
 *      put_many   a pack of its own, published at once: all of it or none, by one CAS of a slot
 *      a batch    some of its elements are packs (local/batch.c)
 */
#include <string.h>

#include "local/verbs.h"
#include "ring/pack.h"

static inline void copy(void *to, const void *from, uint32_t size)
{
    switch (size) { /* as a constant it is a load and a store or few */
    case 8: memcpy(to, from, 8); return;
    case 16: memcpy(to, from, 16); return;
    case 32: memcpy(to, from, 32); return;
    case 64: memcpy(to, from, 64); return;
    case 0: return;
    default: memcpy(to, from, size);
    }
}

static inline void write_record(unsigned char *at, const void *data, uint32_t size, uint32_t type)
{
    struct pti_record *record = (struct pti_record *)(void *)at;

    pti_store_relaxed(&record->length, size);
    pti_store_relaxed(&record->type, type);
    copy(record->bytes, data, size);
}

bool pti_pipe_fast_put(struct pti_port *port, const void *data, uint32_t size, uint64_t *ret_position)
{
    struct pti_local *local = pti_local_of(port);
    const struct pti_lane_cache *known = &pti_lane_cache[local->serial % PTI_LANE_CACHE];
    struct pti_place *place = known->place;
    struct pti_pipe *pipe;
    uint32_t count, takes = pti_record_size(size);

    if (__builtin_expect(known->serial != local->serial, 0))
        return false;
    pipe = &place->pipe;
    /* As pti_bias_enter, and instead of pti_local_enter: closing waits for `busy` too. */
    pti_store_relaxed(&place->bias.busy, 1);
    atomic_signal_fence(memory_order_seq_cst);
    count = pti_load_relaxed(&pipe->count);
    if (__builtin_expect(local->no_barrier || pti_load_seq(&place->bias.foreign), 0) || /* [Y] */
        __builtin_expect(pti_load_relaxed(&local->closing) || pti_load_relaxed(&local->ring.hints->flags) & PTI_FLAG_REMOVED, 0) ||
        count == 0 || (uint64_t)pipe->at + 2 * (uint64_t)takes > pipe->room || count + 2 > pipe->most) {
        pti_bias_leave(&place->bias);
        return false;
    }
    write_record(pipe->records + pipe->at, data, size, 0);
    pipe->at += takes;
    pipe->bytes += size;
    pti_store_relaxed(&pipe->count, count + 1);
    pti_bias_leave(&place->bias);
    *ret_position = 0; /* not known before it is in the queue */
    return true;
}

/* ---- among a batch */

bool pti_packed_suits(const struct pti_geometry *g)
{
    return g->lease_ms == 0 && g->window == 0 && !(g->flags & (PTI_GEO_EXPIRED_DEAD | PTI_GEO_PLACED));
}

static inline bool is_plain(const struct pti_put *put)
{
    return (put->kind | put->headers | put->ttl | put->due_us) == 0;
}

size_t pti_packed_run(const struct pti_local *local, const struct pti_put *puts, size_t count)
{
    uint32_t room = pti_pack_room(&local->ring), at = 0, most = pti_pipe_most(local);
    size_t n = 0;

    while (n < count && n < most && is_plain(&puts[n]) && pti_record_size(puts[n].size) <= room - at)
        at += pti_record_size(puts[n++].size);
    return n > 0 ? n : 1;
}

void pti_packed_fill(struct pti_local *local, struct pti_place *place, uint32_t block, const struct pti_put *puts, size_t count,
                     uint32_t sub)
{
    unsigned char *records = pti_pack_of(pti_block_at(&local->ring, block))->records;
    uint64_t bytes = 0;

    for (size_t i = 0; i < count; i++) {
        write_record(records, puts[i].data, puts[i].size, puts[i].type);
        records += pti_record_size(puts[i].size);
        bytes += puts[i].size;
    }
    pti_pack_seal(&place->lane, block, (uint32_t)count, bytes, sub);
}

/* ---- many */

struct packed {
    uint32_t block;
    uint64_t before, bytes;
};

/* Items into the records of a block.  PTQ_EINVAL, PTQ_EMSGSIZE as ptq_put; PTQ_ETOOBIG: not into one pack. */
static enum ptq_err write_records(const struct pti_local *local, unsigned char *records, const struct ptq_bytes *items, size_t count,
                                  uint64_t *ret_bytes)
{
    const unsigned char *end = records + pti_pack_room(&local->ring);
    size_t item_size = local->port.item_size;
    uint64_t bytes = 0;

    for (size_t i = 0; i < count; i++) {
        size_t size = items[i].size;

        if (__builtin_expect(size > item_size, 0))
            return PTQ_EMSGSIZE;
        if (__builtin_expect(!items[i].data && size > 0, 0))
            return PTQ_EINVAL;
        if (__builtin_expect(pti_record_size((uint32_t)size) > (size_t)(end - records), 0))
            return PTQ_ETOOBIG;
        write_record(records, items[i].data, (uint32_t)size, 0);
        records += pti_record_size((uint32_t)size);
        bytes += size;
    }
    *ret_bytes = bytes;
    return PTQ_OK;
}

static enum ptq_err find_block(struct pti_local *local, struct pti_place *place, int64_t deadline, struct packed *packed)
{
    struct pti_sleep sleep = {0};
    enum ptq_err err;

    while ((err = pti_block_alloc(&place->lane, &packed->block, &packed->before)) == PTQ_FULL) {
        err = pti_local_no_room(local, place, 1, deadline, &sleep);
        if (err != PTQ_OK)
            return err;
    }
    return err;
}

static enum ptq_err publish(struct pti_local *local, struct pti_place *place, const struct packed *packed, uint32_t count,
                            int64_t deadline, uint64_t *ret_position)
{
    const struct pti_put none = {0};
    struct pti_sleep sleep = {0};
    enum ptq_err err;

    for (;;) {
        err = pti_pack_publish(&place->lane, packed->block, packed->before, count, packed->bytes, ret_position);
        if (__builtin_expect(err == PTQ_OK, 1))
            return PTQ_OK;
        if (err == PTQ_FULL && pti_local_is_refused(local, place, &none, count, ret_position)) {
            err = PTQ_OK;
            break;
        }
        if (err == PTQ_FULL)
            err = pti_local_no_room(local, place, count | PTI_NEED_ROOM, deadline, &sleep);
        if (err != PTQ_OK)
            break;
    }
    pti_block_give_back(&place->lane, packed->block, packed->before);
    return err;
}

static enum ptq_err put_items(struct pti_local *local, struct pti_place *place, const struct ptq_bytes *items, size_t count,
                              int64_t deadline, uint64_t *ret_position)
{
    uint64_t budget = local->ring.geometry.bytes;
    struct packed packed;
    enum ptq_err err = pti_pipe_flush_own(local, place, deadline);

    if (err == PTQ_OK)
        err = find_block(local, place, deadline, &packed);
    if (err != PTQ_OK)
        return err;
    err = write_records(local, pti_pack_of(pti_block_at(&local->ring, packed.block))->records, items, count, &packed.bytes);
    if (err == PTQ_OK && budget != 0 && packed.bytes > budget)
        err = PTQ_ETOOBIG;
    if (err == PTQ_OK)
        return publish(local, place, &packed, (uint32_t)count, deadline, ret_position);
    pti_block_give_back(&place->lane, packed.block, packed.before);
    return err;
}

bool pti_pipe_put_items(struct pti_port *port, const struct ptq_bytes *items, size_t count, int64_t deadline,
                        uint64_t *ret_position, enum ptq_err *ret_err)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_place *place;
    enum ptq_err err;

    if (count > pti_pipe_most(local) || count * sizeof(struct pti_record) > pti_pack_room(&local->ring))
        return false;
    err = pti_local_enter(local, &place);
    if (err == PTQ_OK) {
        err = put_items(local, place, items, count, deadline, ret_position);
        pti_local_leave(place);
    }
    if (err == PTQ_ETOOBIG) /* for one pack: as a batch it may fit, or the same is the answer */
        return false;
    *ret_err = err;
    return true;
}
