/* tally.c -- counting what a segment holds, block by block, and checking that it makes sense. */
#include "ring/tally.h"

#include <inttypes.h>
#include <string.h>

#include "ring/check.h"
#include "ring/journal.h"
#include "ring/side.h"
#include "ring/pack.h"

/* How many messages a block in the queue stands for.  What is done of a pack no ack has counted yet; a unit's records no put. */
static uint64_t count_messages(struct pti_ring *ring, struct pti_block *b, bool is_taken, struct pti_tally *t)
{
    struct pti_pack_guess pack;

    if (!pti_block_is_pack(b))
        return 1;
    pack = pti_pack_look(ring, b);
    t->acked += pack.progress - pack.counted;
    if (pti_load_relaxed(&b->kind) & PTI_KIND_UNIT) {
        t->put += pack.records;
        t->taken += is_taken ? pack.records : 0;
    }
    return pack.records - pack.progress;
}

static void count_block(struct pti_ring *ring, uint32_t block, uint64_t now, struct pti_tally *t)
{
    struct pti_block *b = pti_block_at(ring, block);
    uint64_t word = pti_load_seq(&b->word), stamp, position; /* [L, Q] */

    switch (pti_word_state(word)) {
    case PTI_FREE:
        t->free_shared += block < ring->geometry.shared_blocks;
        break;
    case PTI_OWNED:
        t->owned++;
        break;
    case PTI_COMMIT:
        if (!pti_block_stands(ring, block, word, &position)) {
            t->unpublished++;
            break;
        }
        t->ring_bytes += pti_load_relaxed(&b->length);
        if (pti_load_relaxed(&b->due_us) > now) {
            t->delayed += count_messages(ring, b, false, t);
            break;
        }
        t->ready += count_messages(ring, b, false, t);
        stamp = pti_stamp_put_us(pti_load_relaxed(&b->stamp));
        if (stamp != 0 && (t->oldest_us == 0 || stamp < t->oldest_us))
            t->oldest_us = stamp;
        break;
    case PTI_COMMITH:
        t->headers++;
        break;
    case PTI_LEASED:
        t->leased += count_messages(ring, b, true, t);
        break;
    case PTI_COPY: /* of a message that is counted where it is leased, until that is in quarantine */
        t->redeliverable += pti_lease_copy_counts(ring, block, word, &stamp);
        break;
    case PTI_REDELIV:
        t->redeliverable += count_messages(ring, b, true, t);
        break;
    case PTI_DELAYED:
        t->delayed += count_messages(ring, b, true, t);
        break;
    case PTI_DEAD:
        t->dead++;
        break;
    default:
        break;
    }
}

static void count_entry(struct pti_entry *entry, struct pti_tally *t)
{
    uint64_t line = pti_load_acquire(&entry->journal); /* [J] */
    _Atomic uint64_t *counter = pti_journal_counter(entry, pti_journal_operation(line));

    uint64_t admitted = pti_load_acquire(&entry->admitted); /* [J] */

    t->put += pti_load_acquire(&entry->put) + admitted; /* [J] */
    t->taken += pti_load_acquire(&entry->taken) + admitted; /* [J] */
    t->acked += pti_load_acquire(&entry->acked); /* [J] */
    t->nacked += pti_load_acquire(&entry->nacked); /* [J] */
    t->redelivered += pti_load_relaxed(&entry->redelivered);
    t->bytes_put += pti_load_relaxed(&entry->bytes_put);
    t->bytes_acked += pti_load_relaxed(&entry->bytes_acked);
    t->bytes_taken += pti_load_relaxed(&entry->bytes_taken);
    for (unsigned i = 0; i < PTQ_DROPS; i++) {
        uint64_t dropped = pti_load_acquire(&entry->dropped[i]); /* [J] */

        t->dropped_by[i] += dropped;
        t->dropped += dropped;
    }
    /* DONE with the count of before: a recoverer stands between its decision and the count. */
    t->open_lines += counter && (pti_journal_status(line) == PTI_LINE_OPEN || pti_journal_status(line) == PTI_LINE_DONE) &&
                     (uint32_t)pti_load_acquire(counter) == pti_journal_low(line); /* [J] */
}

void pti_tally_make(struct pti_ring *ring, struct pti_tally *ret_tally)
{
    struct pti_tally t;
    uint32_t used = pti_load_acquire(&ring->hints->entries_used); /* [S] */
    uint64_t now = pti_now_us();

    memset(&t, 0, sizeof t);
    if (used > ring->geometry.endpoints)
        used = ring->geometry.endpoints;
    for (uint32_t i = 0; i < used; i++)
        count_entry(&ring->entries[i], &t);
    for (uint32_t block = 0; block < ring->geometry.blocks;) {
        if (!pti_block_is_backed(ring, block)) {
            block = pti_block_beyond(ring, block);
            continue;
        }
        count_block(ring, block, now, &t);
        t.side_bytes += pti_side_memory(ring, block++);
    }
    for (unsigned i = 0; i < 4096 / 64; i++)
        t.backed_bytes += (uint64_t)__builtin_popcountll(pti_load_relaxed(&ring->stretches[i]))
                          << ring->geometry.stretch_shift;
    if (t.backed_bytes > ring->geometry.file_size)
        t.backed_bytes = ring->geometry.file_size;
    t.backed_bytes += t.side_bytes;
    *ret_tally = t;
}

/* ---- checking */

static bool holds_message(enum pti_state state)
{
    return state == PTI_COMMIT || state == PTI_LEASED || state == PTI_REDELIV || state == PTI_DELAYED || state == PTI_DEAD;
}

/* A message that is too long for its block stands in a file, which has memory for it. */
static void check_side(struct pti_ring *ring, struct pti_teller *teller, uint32_t block, enum pti_state state)
{
    const struct pti_block *b = pti_block_at(ring, block);
    uint64_t bytes = pti_message_bytes(pti_load_relaxed(&b->length), pti_load_relaxed(&b->headers));

    if (!holds_message(state) || pti_block_is_pack(b) || !pti_geometry_is_large(&ring->geometry) || bytes <= ring->inline_room)
        return;
    if (pti_load_relaxed(&pti_side_note(ring, block)->ino) == 0 || pti_side_memory(ring, block) < bytes)
        pti_tell(teller, "block %" PRIu32 " holds %" PRIu64 " bytes, its side file has %" PRIu64, block, bytes,
                pti_side_memory(ring, block));
}

static void check_pack(struct pti_ring *ring, struct pti_teller *teller, uint32_t block)
{
    struct pti_block *b = pti_block_at(ring, block);
    struct pti_pack_ctl ctl = pti_pack_unword(pti_load_acquire(&pti_pack_of(b)->ctl)); /* [K] */
    uint64_t n = pti_load_acquire(&pti_pack_of(b)->n) & PTI_PACK_MASK; /* [K] */

    if (n > pti_pack_room(ring) / sizeof(struct pti_record))
        pti_tell(teller, "block %" PRIu32 " is a pack of %" PRIu64 " records, which do not fit it", block, n);
    else if (ctl.progress > n || ctl.counted > ctl.progress || ctl.given > n)
        pti_tell(teller, "block %" PRIu32 " is a pack of %" PRIu64 " records: given %" PRIu32 ", progress %" PRIu32
                ", counted %" PRIu32, block, n, ctl.given, ctl.progress, ctl.counted);
}

static void check_word(struct pti_ring *ring, struct pti_teller *teller, uint32_t block)
{
    struct pti_block *b = pti_block_at(ring, block);
    uint64_t word = pti_load_acquire(&b->word); /* [L] */
    enum pti_state state = pti_word_state(word);
    bool is_of_lease = state == PTI_QUAR || state == PTI_COPY; /* these bear no position */
    bool owned = state == PTI_OWNED || state == PTI_COMMIT || state == PTI_LEASED || state == PTI_COMMITH || is_of_lease;

    if (state == PTI_COPY && pti_load_relaxed(&b->kind) & PTI_KIND_PART)
        return; /* its holder died between two stores, and is not recovered yet */
    if (state == PTI_LEASEDH || state > PTI_COPY || (is_of_lease && ring->geometry.lease_ms == 0))
        pti_tell(teller, "block %" PRIu32 " is in state %u, which nobody writes", block, state);
    if (state == PTI_QUAR && (pti_slot_block(pti_word_position(word)) >= ring->geometry.blocks ||
                              pti_slot_block(pti_word_position(word)) == block))
        pti_tell(teller, "block %" PRIu32 " is in quarantine for block %" PRIu32 ", of %" PRIu32, block,
                pti_slot_block(pti_word_position(word)), ring->geometry.blocks);
    if (state == PTI_COPY && (pti_load_relaxed(&b->link) == 0 || pti_load_relaxed(&b->link) > ring->geometry.blocks) &&
        pti_load_acquire(&b->word) == word) /* [L] */
        pti_tell(teller, "block %" PRIu32 " is a copy of block %" PRIu32 ", of %" PRIu32, block,
                pti_load_relaxed(&b->link) - 1, ring->geometry.blocks);
    if (!is_of_lease && pti_word_position(word) > ring->position_mask)
        pti_tell(teller, "block %" PRIu32 " bears position %" PRIu64 ", beyond the last", block, pti_word_position(word));
    if (owned && pti_word_owner(word) >= ring->geometry.endpoints)
        pti_tell(teller, "block %" PRIu32 " belongs to endpoint %" PRIu32 ", of %" PRIu32, block, pti_word_owner(word),
                ring->geometry.endpoints);
    if (holds_message(state) && pti_block_is_pack(b))
        check_pack(ring, teller, block);
    else if (holds_message(state) && pti_load_relaxed(&b->length) > ring->geometry.item_size)
        pti_tell(teller, "block %" PRIu32 " is %" PRIu32 " bytes long, item_size is %" PRIu32, block,
                pti_load_relaxed(&b->length), ring->geometry.item_size);
    else if (holds_message(state) && !pti_geometry_is_large(&ring->geometry) &&
             pti_message_bytes(pti_load_relaxed(&b->length), pti_load_relaxed(&b->headers)) > ring->inline_room)
        pti_tell(teller, "block %" PRIu32 " has %" PRIu32 " bytes of headers, for which it has no room", block,
                 4u * pti_load_relaxed(&b->headers));
    check_side(ring, teller, block, state);
    if ((state == PTI_REDELIV || state == PTI_DELAYED || state == PTI_DEAD) &&
        /* [L, X] */
        !(pti_load_seq(&ring->special[block / 64]) >> (block % 64) & 1) && pti_load_acquire(&b->word) == word)
        pti_tell(teller, "block %" PRIu32 " is in state %u without its mark", block, state);
}

/* Slots follow each other: lap(t) up to the tail, lap - 1 from there on; each names a block that exists. */
static void check_slots(struct pti_ring *ring, struct pti_teller *teller)
{
    uint64_t head = pti_load_acquire(&ring->hints->head), tail = pti_load_acquire(&ring->hints->tail), at; /* [H, T] */
    bool older = false;

    if (head > ring->position_mask || tail > ring->position_mask) {
        pti_tell(teller, "a hint is beyond the last position");
        return;
    }
    at = head;
    for (uint64_t i = 0; i < ring->geometry.slots; i++, at = pti_step(ring, at, 1)) {
        uint64_t slot = pti_load_acquire(pti_slot_at(ring, at)); /* [P] */
        int64_t ahead = pti_lap_diff(ring, pti_slot_lap(slot), pti_lap(ring, at));
        uint32_t block = pti_slot_block(slot);

        if (ahead > 0)
            continue; /* it was lapped while we looked */
        if (ahead < -1)
            pti_tell(teller, "slot %" PRIu64 " is %" PRId64 " laps behind", at & ring->slot_mask, -ahead);
        if (block >= ring->geometry.blocks && block != PTI_END_BLOCK)
            pti_tell(teller, "slot %" PRIu64 " names block %" PRIu32 ", of %" PRIu32, at & ring->slot_mask, block,
                    ring->geometry.blocks);
        if (ahead == 0 && older && !(ring->geometry.flags & PTI_GEO_PLACED) &&
            pti_diff(ring, pti_load_acquire(&ring->hints->head), head) == 0) /* [H] */
            pti_tell(teller, "slot %" PRIu64 " is filled behind an empty one", at & ring->slot_mask);
        older |= ahead < 0;
    }
}

uint32_t pti_tally_check(struct pti_ring *ring, pti_finding *tell, void *context)
{
    struct pti_teller teller = {tell, context, 0};

    check_slots(ring, &teller);
    pti_check_hints(ring, &teller);
    pti_check_entries(ring, &teller);
    for (uint32_t block = 0; block < ring->geometry.blocks;) {
        if (!pti_block_is_backed(ring, block))
            block = pti_block_beyond(ring, block);
        else
            check_word(ring, &teller, block++);
    }
    pti_check_ways(ring, &teller);
    return teller.findings;
}
