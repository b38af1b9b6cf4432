/* pack.h -- packs: one block holds many small messages, published by one CAS of a slot, leased by one CAS of its word.
 *
 *      block   {word, meta; length: bytes of all messages; kind: PACK}  payload: struct pti_pack
 *      n       CLOSED | records: written by the producer; fixed before publishing, but for units (ring/grow.h)
 *      ctl     given | progress | counted: one word, written by the holder of the lease with plain stores
 *      sub     of its first message: several packs may share a position (batch.c)
 *
 * Laws:
 *   1. A record below progress is done.  One below given has been handed out: whoever gets it again sees it flagged.
 *   2. given is stored before a record is handed out, progress after it is done: so none is lost, and none doubled in silence.
 *   3. counted: records below progress that no ack will count, for they left otherwise (dead letters, dropped).
 *   4. put counts n at the publish, taken n at the first lease, acked n - counted when the block goes home.  Between, what is
 *      acked of a living pack is progress - counted: whoever sums up adds it, so the sums are exact whoever was killed.
 */
#ifndef PTQ_RING_PACK_H
#define PTQ_RING_PACK_H

#include "ring/ring.h"

#define PTI_PACK_BITS 21
#define PTI_PACK_MASK ((UINT64_C(1) << PTI_PACK_BITS) - 1)

struct pti_pack_ctl {
    uint32_t given, progress, counted;
};

static inline struct pti_pack *pti_pack_of(struct pti_block *b) { return (struct pti_pack *)(void *)b->payload; }

static inline bool pti_block_is_pack(const struct pti_block *b) { return pti_load_relaxed(&b->kind) & PTI_KIND_PACK; }

/* Bytes for records in a block of this ring. */
static inline uint32_t pti_pack_room(const struct pti_ring *ring)
{
    uint32_t used = PTI_BLOCK_HEAD + (uint32_t)sizeof(struct pti_pack);

    if (pti_geometry_is_large(&ring->geometry))
        used += (uint32_t)sizeof(struct pti_side_note); /* the block's last bytes */
    return ring->stride - used;
}

/* What a record of so many bytes takes. */
static inline uint32_t pti_record_size(uint32_t length)
{
    return (uint32_t)sizeof(struct pti_record) + ((length + 7u) & ~7u);
}

/* Records in it, never more than its block can hold, whatever stands there. */
static inline uint32_t pti_pack_count(const struct pti_ring *ring, struct pti_block *b)
{
    uint64_t n = pti_load_acquire(&pti_pack_of(b)->n) & PTI_PACK_MASK; /* [K] */
    uint32_t most = pti_pack_room(ring) / (uint32_t)sizeof(struct pti_record);

    return n < most ? (uint32_t)n : most;
}

static inline uint64_t pti_pack_word(struct pti_pack_ctl ctl)
{
    return (uint64_t)ctl.given << 2 * PTI_PACK_BITS | (uint64_t)ctl.progress << PTI_PACK_BITS | ctl.counted;
}
static inline struct pti_pack_ctl pti_pack_unword(uint64_t word)
{
    return (struct pti_pack_ctl){(uint32_t)(word >> 2 * PTI_PACK_BITS & PTI_PACK_MASK),
                                 (uint32_t)(word >> PTI_PACK_BITS & PTI_PACK_MASK), (uint32_t)(word & PTI_PACK_MASK)};
}
static inline void pti_pack_set(struct pti_block *b, struct pti_pack_ctl ctl)
{
    pti_store_release(&pti_pack_of(b)->ctl, pti_pack_word(ctl)); /* [K] */
}

/* Messages that it stands for, seen by one who does not hold it: counts only if its word is the same afterwards. */
struct pti_pack_guess {
    uint32_t records, progress, counted;
};
struct pti_pack_guess pti_pack_look(const struct pti_ring *ring, struct pti_block *b);

/* ctl as it stands, checked: counted <= progress <= records, progress <= given or given is less and of no use. */
struct pti_pack_ctl pti_pack_get(struct pti_block *b, uint32_t records);

/* The record that begins at *at, which moves behind it.  False: it reaches out of the block. */
static inline bool pti_pack_next(const struct pti_ring *ring, struct pti_block *b, uint32_t *at, uint32_t *ret_length,
                                 struct pti_record **ret_record)
{
    uint32_t room = pti_pack_room(ring), length;
    struct pti_record *record;

    if (room < sizeof *record || *at > room - (uint32_t)sizeof *record)
        return false;
    record = (struct pti_record *)(void *)(pti_pack_of(b)->records + *at);
    length = pti_load_relaxed(&record->length);
    if (length > ring->geometry.item_size || length > room - *at - (uint32_t)sizeof *record)
        return false;
    *at += pti_record_size(length);
    *ret_length = length;
    *ret_record = record;
    return true;
}

/* Messages in a block that is in the queue: 1, or those of a pack that are not done. */
uint64_t pti_block_count(struct pti_ring *ring, uint32_t block);

/* The `n` records of an owned block, of `bytes` together, are filled: it is made a pack, whose first message is number `sub` of its
 * position. */
void pti_pack_seal(struct pti_lane *lane, uint32_t block, uint32_t n, uint64_t bytes, uint32_t sub);

/* Publishes an owned block whose `n` records, of `bytes` together, are filled.  As pti_ring_publish. */
enum ptq_err pti_pack_publish(struct pti_lane *lane, uint32_t block, uint64_t before, uint32_t n, uint64_t bytes,
                              uint64_t *ret_position);

/* Right after each lease of a pack: if it is an open unit, it is closed and counted (ring/grow.c). */
void pti_unit_admit(struct pti_lane *lane, uint32_t block, uint64_t lease);

/* All records of a leased pack are done: it goes home, and is counted. */
void pti_pack_finish(struct pti_lane *lane, uint32_t block, uint64_t lease);

/* Its watermark was delivered too often: that record becomes a dead letter in a block of its own, and so on.  True: the
 * rest is handed out; false: nothing was left of it, and the lease is over. */
bool pti_pack_judge(struct pti_lane *lane, uint32_t block, uint64_t lease);

/* What is not done of it is dropped, counted by reason; then it goes home. */
void pti_pack_drop(struct pti_lane *lane, uint32_t block, uint64_t lease, enum ptq_drop reason);

/* Recovery: the copy of a record, left COPY by the dead, becomes a dead letter or free. */
void pti_pack_decide_part(struct pti_ring *ring, uint32_t block, uint64_t word);

#endif
