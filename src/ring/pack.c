/* pack.c -- publishing a pack, and each way in which its records leave: done, dead, dropped. */
#include "ring/pack.h"

#include <string.h>

#include "ring/journal.h"
#include "ring/wait.h"

static struct pti_pack_ctl check(uint64_t word, uint32_t records)
{
    struct pti_pack_ctl ctl = pti_pack_unword(word);

    if (ctl.progress > records)
        ctl.progress = records;
    if (ctl.counted > ctl.progress)
        ctl.counted = ctl.progress;
    return ctl;
}

struct pti_pack_ctl pti_pack_get(struct pti_block *b, uint32_t records)
{
    return check(pti_load_acquire(&pti_pack_of(b)->ctl), records); /* [K] */
}

struct pti_pack_guess pti_pack_look(const struct pti_ring *ring, struct pti_block *b)
{
    uint64_t n = pti_load_guess(&pti_pack_of(b)->n) & PTI_PACK_MASK; /* [G] */
    uint32_t most = pti_pack_room(ring) / (uint32_t)sizeof(struct pti_record), records = n < most ? (uint32_t)n : most;
    struct pti_pack_ctl ctl = check(pti_load_guess(&pti_pack_of(b)->ctl), records); /* [G] */

    return (struct pti_pack_guess){records, ctl.progress, ctl.counted};
}

uint64_t pti_block_count(struct pti_ring *ring, uint32_t block)
{
    struct pti_block *b = pti_block_at(ring, block);
    struct pti_pack_guess pack;

    if (!pti_block_is_pack(b))
        return 1;
    pack = pti_pack_look(ring, b);
    return pack.records - pack.progress;
}

/* ---- in */

static enum ptq_err publish_once(struct pti_lane *lane, uint32_t block, uint64_t before, uint32_t n, uint64_t bytes,
                                 uint64_t *ret_position)
{
    struct pti_entry *entry = lane->entry;
    enum ptq_err err;

    lane->want_bytes = bytes;
    pti_store_release(&entry->journal_bytes, pti_load_relaxed(&entry->bytes_put) + bytes); /* [J] */
    pti_store_release(&entry->journal_count, n); /* [J] */
    pti_journal_open(entry, PTI_OP_PUT_MANY, block, before, pti_load_relaxed(&entry->put));
    err = pti_ring_publish_entry(lane, block, PTI_COMMIT, n, ret_position);
    if (err == PTQ_OK)
        return PTQ_OK;
    /* [A] */
    pti_store_release(&pti_block_at(lane->ring, block)->word, before); /* first: by it the open line is known to be undone */
    pti_journal_close(entry);
    return err;
}

void pti_pack_seal(struct pti_lane *lane, uint32_t block, uint32_t n, uint64_t bytes, uint32_t sub)
{
    struct pti_meta meta = {.size = (uint32_t)bytes, .kind = PTI_KIND_PACK};
    struct pti_pack *pack = pti_pack_of(pti_block_at(lane->ring, block));

    pti_block_fill(lane, block, &meta, sub, 0);
    pti_store_relaxed(&pack->ctl, 0);
    pti_store_relaxed(&pack->n, n | PTI_PACK_CLOSED);
}

enum ptq_err pti_pack_publish(struct pti_lane *lane, uint32_t block, uint64_t before, uint32_t n, uint64_t bytes,
                              uint64_t *ret_position)
{
    enum ptq_err err;

    pti_pack_seal(lane, block, n, bytes, 0);
    pti_batch_announce(lane->ring, n);
    do
        err = publish_once(lane, block, before, n, bytes, ret_position);
    while (err == PTQ_FULL && pti_ring_make_room(lane, n));
    if (err == PTQ_OK)
        pti_ring_note_put(lane, n, bytes, *ret_position);
    return err;
}

/* ---- out */

void pti_pack_finish(struct pti_lane *lane, uint32_t block, uint64_t lease)
{
    struct pti_ring *ring = lane->ring;
    struct pti_entry *entry = lane->entry;
    struct pti_block *b = pti_block_at(ring, block);
    uint64_t acked = pti_load_relaxed(&entry->acked);
    uint32_t n = pti_pack_count(ring, b), size = pti_load_relaxed(&b->length);
    uint64_t by = n - pti_pack_get(b, n).counted;

    pti_store_release(&entry->journal_count, by); /* [J] */
    pti_journal_open(entry, PTI_OP_ACK_MANY, block, lease, acked);
    pti_block_free(lane, block, pti_word_position(lease));
    pti_store_release(&entry->acked, acked + by); /* [J] */
    if (by == 0)
        pti_journal_close(entry);
    pti_store_relaxed(&entry->bytes_acked, pti_load_relaxed(&entry->bytes_acked) + size);
    pti_wake_after_store(ring);
}

void pti_pack_drop(struct pti_lane *lane, uint32_t block, uint64_t lease, enum ptq_drop reason)
{
    struct pti_entry *entry = lane->entry;
    struct pti_block *b = pti_block_at(lane->ring, block);
    uint64_t dropped = pti_load_relaxed(&entry->dropped[reason]);
    uint32_t n = pti_pack_count(lane->ring, b);
    struct pti_pack_ctl ctl = pti_pack_get(b, n);
    uint32_t by = n - ctl.progress;

    if (by > 0) {
        pti_store_release(&entry->journal_count, by); /* [J] */
        pti_journal_open(entry, (enum pti_operation)(PTI_OP_DROP_PART + reason), block,
                         pti_load_relaxed(&pti_pack_of(b)->ctl), dropped);
        pti_pack_set(b, (struct pti_pack_ctl){n, n, ctl.counted + by});
        pti_store_release(&entry->dropped[reason], dropped + by); /* [J] */
    }
    pti_pack_finish(lane, block, lease);
}

/* ---- dead letters */

/* The record at the watermark, found by walking.  False: nonsense stands there. */
static bool find_record(struct pti_ring *ring, struct pti_block *b, uint32_t index, uint32_t *ret_length,
                        struct pti_record **ret_record)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i <= index; i++)
        if (!pti_pack_next(ring, b, &at, ret_length, ret_record))
            return false;
    return true;
}

/* One record into a block of its own.  In this order: the copy is COPY and names its pack; ctl goes past the record (it has left
 * the pack); the copy is DEAD.  Killed between, recovery asks ctl.  False: no block is free, or the record is nonsense. */
static bool bury_record(struct pti_lane *lane, uint32_t block, uint64_t lease, struct pti_pack_ctl *ctl)
{
    struct pti_ring *ring = lane->ring;
    struct pti_block *b = pti_block_at(ring, block), *copy;
    struct pti_meta meta = {.kind = PTI_KIND_PART};
    struct pti_record *record;
    uint64_t before, stamp = pti_load_relaxed(&b->stamp);
    uint32_t to;

    if (!find_record(ring, b, ctl->progress, &meta.size, &record) ||
        meta.size > ring->stride - PTI_BLOCK_HEAD || pti_block_alloc(lane, &to, &before) != PTQ_OK)
        return false;
    copy = pti_block_at(ring, to);
    meta.type = pti_load_relaxed(&record->type);
    meta.kind |= PTI_KIND_LETTER;
    pti_block_fill(lane, to, &meta, pti_load_relaxed(&b->sub) + ctl->progress, block + 1);
    pti_store_relaxed(&copy->stamp, stamp);
    pti_store_relaxed(&copy->deliveries, (uint16_t)(pti_load_relaxed(&b->deliveries) - 1)); /* this one does not come about */
    memcpy(copy->payload, record->bytes, meta.size);
    pti_special_set(ring, to);
    pti_store_release(&copy->word, pti_word(PTI_COPY, lane->index, pti_word_position(lease), 1)); /* [K] */
    ctl->progress++;
    ctl->counted++;
    if (ctl->given < ctl->progress)
        ctl->given = ctl->progress;
    pti_pack_set(b, *ctl);
    pti_dead_return(lane, to, pti_word(PTI_COPY, lane->index, pti_word_position(lease), 1));
    return true;
}

bool pti_pack_judge(struct pti_lane *lane, uint32_t block, uint64_t lease)
{
    struct pti_ring *ring = lane->ring;
    struct pti_block *b = pti_block_at(ring, block);
    uint32_t n = pti_pack_count(ring, b);
    struct pti_pack_ctl ctl = pti_pack_get(b, n);

    /* Only a record that was handed out can have killed anybody: one, then the next is at the watermark for the first time. */
    if (ctl.given > ctl.progress && ctl.progress < n && !bury_record(lane, block, lease, &ctl))
        return true; /* it comes once more, for want of a block */
    pti_store_relaxed(&b->deliveries, 1);
    if (ctl.progress < n || !(pti_load_acquire(&pti_pack_of(b)->n) & PTI_PACK_CLOSED)) /* [K] */
        return true;
    pti_pack_finish(lane, block, lease);
    return false;
}

void pti_pack_decide_part(struct pti_ring *ring, uint32_t block, uint64_t word)
{
    struct pti_block *copy = pti_block_at(ring, block);
    uint32_t pack = pti_load_acquire(&copy->link) - 1, sub = pti_load_relaxed(&copy->sub); /* [L] */
    uint64_t position = pti_word_position(word);
    bool has_left = true;

    /* The pack is its dead holder's still, or nobody's who did not decide this copy first. */
    if (pti_block_is_usable(ring, pack)) {
        struct pti_block *b = pti_block_at(ring, pack);
        uint64_t at = pti_load_acquire(&b->word); /* [L] */

        if (pti_word_state(at) == PTI_LEASED && pti_word_owner(at) == pti_word_owner(word) &&
            pti_word_position(at) == position)
            has_left = pti_pack_unword(pti_load_acquire(&pti_pack_of(b)->ctl)).progress > sub - pti_load_relaxed(&b->sub); /* [K] */
    }
    if (has_left) {
        pti_special_set(ring, block); /* before the CAS: always a superset */
        pti_cas(&copy->word, &word, pti_word(PTI_DEAD, 0, position, 1)); /* [L] dead_wait is told in any case */
    } else if (pti_cas(&copy->word, &word, pti_word(PTI_FREE, 0, position, 0))) { /* [A] */
        pti_special_clear(ring, block);
        pti_used_clear(ring, block);
    }
}
