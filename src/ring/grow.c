/* grow.c -- open units: how one begins, grows, and is closed by who leases it. */
#include "ring/grow.h"

#include "ring/journal.h"
#include "ring/wait.h"

#define ONE(bytes) (1 + ((uint64_t)(bytes) << PTI_PACK_BITS))

/* ---- in */

/* The line names the block, so that recovery can tell where it was used last, and counts nothing. */
static enum ptq_err publish_once(struct pti_lane *lane, uint32_t block, uint64_t before, uint64_t *ret_position)
{
    struct pti_entry *entry = lane->entry;
    enum ptq_err err;

    pti_store_release(&entry->journal_count, 0); /* [J] */
    pti_journal_open(entry, PTI_OP_PUT_MANY, block, before, pti_load_relaxed(&entry->put));
    err = pti_ring_publish_entry(lane, block, PTI_COMMIT, 1, ret_position);
    if (err != PTQ_OK)
        pti_store_release(&pti_block_at(lane->ring, block)->word, before); /* [A] first: by it the open line is known to be undone */
    pti_journal_close(entry);
    return err;
}

static void announce(struct pti_ring *ring, uint32_t most)
{
    pti_batch_announce(ring, most);
    if (!(pti_load_relaxed(&ring->hints->flags) & PTI_FLAG_UNITS))
        pti_fetch_or_seq(&ring->hints->flags, PTI_FLAG_UNITS); /* [F] */
}

static void note_record(struct pti_lane *lane, uint32_t bytes)
{
    struct pti_entry *entry = lane->entry;

    pti_store_relaxed(&entry->appended, pti_load_relaxed(&entry->appended) + 1);
    pti_store_relaxed(&entry->bytes_put, pti_load_relaxed(&entry->bytes_put) + bytes);
}

enum ptq_err pti_grow_begin(struct pti_lane *lane, struct pti_growing *unit, uint32_t block, uint64_t before, uint32_t bytes,
                            uint64_t *ret_position)
{
    struct pti_meta meta = {.size = bytes, .kind = PTI_KIND_PACK | PTI_KIND_UNIT};
    struct pti_block *b = pti_block_at(lane->ring, block);
    enum ptq_err err;

    pti_block_fill(lane, block, &meta, 0, 0);
    pti_store_relaxed(&pti_pack_of(b)->ctl, 0);
    pti_store_relaxed(&pti_pack_of(b)->n, ONE(bytes));
    announce(lane->ring, unit->most);
    err = publish_once(lane, block, before, ret_position);
    if (err != PTQ_OK)
        return err;
    pti_block_keep(lane, block, true); /* the own ring passes it by: it is written to until it is found closed */
    unit->b = b;
    unit->block = block;
    unit->position = *ret_position;
    unit->n = ONE(bytes);
    unit->at = pti_record_size(bytes);
    unit->room = 0;
    note_record(lane, bytes);
    pti_ring_note_put(lane, 0, 0, *ret_position);
    return PTQ_OK;
}

/* Does something stand behind it, or does somebody sleep who would rather have an entry of his own? */
static bool is_passed(struct pti_lane *lane, const struct pti_growing *unit)
{
    struct pti_ring *ring = lane->ring;
    uint64_t next = pti_step(ring, unit->position, 1), slot = pti_load_acquire(pti_slot_at(ring, next)); /* [P] */

    return pti_lap_diff(ring, pti_slot_lap(slot), pti_lap(ring, next)) >= 0 ||
           pti_load_relaxed(&ring->hints->get_wait) & PTI_WAIT_BITS;
}

static bool has_room(struct pti_lane *lane, struct pti_growing *unit)
{
    uint64_t room;

    if (__builtin_expect(unit->room > 0, 1))
        return true;
    room = pti_ring_room(lane, pti_step(lane->ring, unit->position, 1));
    unit->room = room < unit->most ? (uint32_t)room : unit->most; /* others put as well: no more than a batch ahead */
    return room > 0;
}

struct pti_record *pti_grow_room(struct pti_lane *lane, struct pti_growing *unit, uint32_t bytes)
{
    if (!unit->b)
        return NULL;
    if (__builtin_expect((unit->n & PTI_PACK_MASK) >= unit->most ||
                             unit->at + pti_record_size(bytes) > pti_pack_room(lane->ring), 0) ||
        is_passed(lane, unit) || !has_room(lane, unit)) {
        pti_grow_stop(lane, unit);
        return NULL;
    }
    return (struct pti_record *)(void *)(pti_pack_of(unit->b)->records + unit->at);
}

bool pti_grow_commit(struct pti_lane *lane, struct pti_growing *unit, uint32_t bytes)
{
    uint64_t seen = unit->n, n = unit->n + ONE(bytes);

    if (!pti_cas(&pti_pack_of(unit->b)->n, &seen, n)) { /* [K] in the queue; else it is closed */
        pti_grow_stop(lane, unit);
        return false;
    }
    unit->n = n;
    unit->at += pti_record_size(bytes);
    unit->room--;
    note_record(lane, bytes);
    return true;
}

void pti_grow_stop(struct pti_lane *lane, struct pti_growing *unit)
{
    if (!unit->b)
        return;
    pti_block_keep(lane, unit->block, false);
    unit->b = NULL;
}

/* ---- out */

void pti_unit_admit(struct pti_lane *lane, uint32_t block, uint64_t lease)
{
    struct pti_entry *entry = lane->entry;
    struct pti_block *b = pti_block_at(lane->ring, block);
    uint8_t kind = pti_load_relaxed(&b->kind);
    uint64_t n, admitted;
    uint32_t records;

    if (!(kind & PTI_KIND_UNIT) || !(kind & PTI_KIND_PACK))
        return;
    n = pti_fetch_or_seq(&pti_pack_of(b)->n, PTI_PACK_CLOSED); /* [K] from here on n stays */
    records = pti_pack_count(lane->ring, b);
    admitted = pti_load_relaxed(&entry->admitted);
    pti_store_relaxed(&b->length, (uint32_t)(n >> PTI_PACK_BITS & PTI_PACK_MASK));
    pti_store_release(&entry->journal_count, records); /* [J] */
    pti_journal_open(entry, PTI_OP_ADMIT, block, lease, admitted);
    pti_store_release(&b->kind, (uint8_t)(kind & ~PTI_KIND_UNIT)); /* [J] */
    pti_store_release(&entry->admitted, admitted + records); /* [J] */
    if (records == 0)
        pti_journal_close(entry);
}
