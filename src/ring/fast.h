/* fast.h -- put, get and ack of a plain message where nothing stands in the way: straight down, in a few instructions.
 *
 *      block.c, slot.c, take.c, judge.c, settle.c     all cases, walks, refusals: the one truth
 *      here                                   the case that is nearly always, by the same laws, in the same order of stores
 *
 * Plain: of this ring (no byte budget, no limit of leases, no time to live of the queue, no side files), with nothing beside its
 * bytes.  Each function does all of it, or nothing that others can see and answers false or NULL: then the general one is asked, which
 * also finds out why.  So whatever a new feature adds needs a refusal here, or pti_ring_is_plain, and nothing else.
 */
#ifndef PTQ_RING_FAST_H
#define PTQ_RING_FAST_H

#include "ring/journal.h"
#include "ring/wait.h"

#define PTI_HINT_EVERY 8u    /* puts and takes: each brings a line over, and those behind it wait meanwhile, */
#define PTI_HINT_SELDOM 64u  /* so in a deep queue it is seldom, */
#define PTI_HINT_SHARE 16u   /* but often enough for a queue of this many times it */
#define PTI_HINT_LINE 4u     /* so long before it the line is asked for */
#define PTI_STREAM 16 /* so many behind each other are a stream: then lines are asked for ahead, which costs a lone message time */

/* Are its messages put and taken here at all? */
static inline bool pti_ring_is_plain(const struct pti_ring *ring)
{
    return ring->takes_plainly && ring->ttl == 0 && ring->quick_deliveries != 0 && !ring->exchange_acks && !ring->sides &&
           !(ring->geometry.flags & PTI_GEO_PLACED);
}

/* Two or three neighbours of a block's meta as one word. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define PTI_SECOND_HALF 32
#define PTI_THIRD_QUARTER 32
#else
#define PTI_SECOND_HALF 0
#define PTI_THIRD_QUARTER 16
#endif
#define PTI_FIRST_HALF (32 - PTI_SECOND_HALF)
#define PTI_FAST static inline __attribute__((always_inline))
#define pti_wide(field) ((_Atomic uint64_t *)(void *)(field))
/* Of length and sub, which are read together and once: another process may write there between two looks. */
#define pti_length_of(both) ((uint32_t)((both) >> PTI_FIRST_HALF))
_Static_assert(offsetof(struct pti_block, length) == 8 && offsetof(struct pti_block, sub) == 12, "one word");
_Static_assert(offsetof(struct pti_block, link) == 16 && offsetof(struct pti_block, home) == 20, "one word");
_Static_assert(offsetof(struct pti_block, stamp) == 24 && offsetof(struct pti_block, due_us) == 32, "words");
_Static_assert(offsetof(struct pti_block, kind) == 40 && offsetof(struct pti_block, headers) == 41 && offsetof(struct pti_block, type) == 44, "one word");

/* Everything of meta is nil but length, home and stamp. */
static inline void pti_fast_fill(struct pti_block *b, uint32_t size, uint32_t sub, uint32_t link, uint32_t home, uint64_t stamp)
{
    pti_store_relaxed(pti_wide(&b->length), (uint64_t)size << PTI_FIRST_HALF | (uint64_t)sub << PTI_SECOND_HALF);
    pti_store_relaxed(pti_wide(&b->link), (uint64_t)link << PTI_FIRST_HALF | (uint64_t)home << PTI_THIRD_QUARTER);
    pti_store_relaxed(&b->stamp, stamp);
    pti_store_relaxed(&b->due_us, 0);
    pti_store_relaxed(pti_wide(&b->kind), 0);
}

/* ---- in */

/* The next of the own blocks, come back, and the word it bears; it stays the next one until pti_fast_publish has published it.
 * NULL: ask pti_block_alloc. */
PTI_FAST struct pti_block *pti_fast_own(const struct pti_ring *ring, const struct pti_lane *lane, uint64_t *ret_before)
{
    uint32_t i = lane->own_at;
    struct pti_block *b = pti_block_at(ring, lane->own_first + i);

    if (__builtin_expect(lane->own_away != 0 || lane->own_state[i] != PTI_OWN_READY, 0)) /* READY: there are such blocks */
        return NULL;
    *ret_before = pti_load_acquire(&b->word); /* [A] ack gives, we take */
    if (__builtin_expect((uint16_t)*ret_before != (uint16_t)(lane->mark | PTI_OWNED), 0))
        return NULL;
    return b;
}

/* Asks for the lines of a block that a message like this one, of `size` bytes, will soon be written to: publishing drains the stores
 * before it, and would wait for each line that a consumer still has.  Of long messages the first: the rest follow by themselves. */
#define PTI_AHEAD 4096u
#define PTI_SLOTS_AHEAD 24 /* three lines of slots */
#define PTI_PUTS_AHEAD 8
#define PTI_TAKES_AHEAD 6
static inline void pti_fast_ask_for(const void *block, uint32_t size)
{
    const char *b = block;

    pti_prefetch_to_write(b);
    pti_prefetch_to_write(b + PTI_LINE);
    for (uint32_t at = 2 * PTI_LINE; __builtin_expect(at < size + PTI_BLOCK_HEAD && at < PTI_AHEAD, 0); at += PTI_LINE)
        pti_prefetch_to_write(b + at);
}

/* In a stream: the slots that come soon, and the head hint shortly before it is read or written. */
PTI_FAST void pti_fast_ask_for_slots(const struct pti_ring *ring, uint64_t at, uint32_t since_hint, bool takes)
{
    const void *slots = pti_slot_at(ring, at + PTI_SLOTS_AHEAD);

    if (takes)
        __builtin_prefetch(slots);
    else
        pti_prefetch_to_write(slots);
    if (__builtin_expect(((since_hint + PTI_HINT_LINE) & ring->hint_mask) == 0, 0)) {
        if (takes)
            pti_prefetch_to_write(&ring->hints->head);
        else
            __builtin_prefetch((const void *)&ring->hints->head);
    }
}

static inline uint64_t pti_fast_stamp(const struct pti_ring *ring, struct pti_lane *lane)
{
    return __builtin_expect((lane->stamp++ & ring->stamp_mask) == 0, 0) ? pti_ring_stamp(ring, 0) : 0;
}

/* Now and then (ring/slot.c). */
void pti_ring_hint_tail(struct pti_lane *lane);

/* Publishes what pti_fast_own gave, filled.  False: it is as it was. */
PTI_FAST bool pti_fast_publish(struct pti_ring *ring, struct pti_lane *lane, struct pti_block *b, uint32_t size, uint64_t before,
                               uint64_t *ret_position)
{
    struct pti_entry *entry = lane->entry;
    uint32_t i = lane->own_at, block = lane->own_first + i;
    uint64_t at = lane->tail, lap = pti_lap(ring, at), put = pti_load_relaxed(&entry->put);
    _Atomic uint64_t *here = pti_slot_at(ring, at);
    uint64_t slot = pti_load_seq(here); /* [P, W] */

    /* What stands there is of the lap before, and what lies `capacity` before is taken. */
    if (__builtin_expect((pti_slot_lap(slot) + 1 - lap) << ring->lap_shift != 0, 0))
        return false;
    if (__builtin_expect((int64_t)((lane->settled - at + ring->geometry.capacity) << ring->position_shift) <= 0, 0))
        return false;
    pti_journal_open(entry, PTI_OP_PUT, block, before, put);
    pti_store_relaxed(&b->word, lane->mark | PTI_COMMIT | at << 16);
    if (__builtin_expect(!pti_cas(here, &slot, pti_slot(lap, block)), 0)) { /* [P, W] in the queue */
        pti_store_release(&b->word, before); /* [A] the word first, by which the open line is known to be undone */
        pti_journal_close(entry);
        return false;
    }
    pti_store_relaxed(&entry->bytes_put, pti_load_relaxed(&entry->bytes_put) + size); /* before the count: it closes the line */
    pti_store_release(&entry->put, put + 1); /* [J] */
    lane->tail = pti_step(ring, at, 1);
    lane->own_at = i + 1 < lane->own_count ? i + 1 : 0;
    *ret_position = at;
    if ((lane->puts_since_hint++ & ring->hint_mask) == 0) /* the first, too: many a process puts only one */
        pti_ring_hint_tail(lane);
    else if (lane->streams)
        pti_fast_ask_for_slots(ring, at, lane->puts_since_hint, false);
    pti_wake(ring, &ring->hints->get_wait);
    return true;
}

/* ---- out */

/* Is the block of a slot one that has memory?  Most are where the last one was. */
PTI_FAST bool pti_fast_is_usable(const struct pti_ring *ring, struct pti_lane *lane, uint32_t block)
{
    uint64_t stretch = (ring->geometry.off_blocks + (uint64_t)block * ring->stride) >> ring->geometry.stretch_shift;

    if (__builtin_expect(block >= ring->geometry.blocks, 0))
        return false;
    if (__builtin_expect(stretch == lane->backed, 1))
        return true;
    if (!pti_block_is_backed(ring, block))
        return false;
    lane->backed = stretch; /* what has memory keeps it */
    return true;
}

/* Of a message that nobody has had: plain means no pack, no headers, and of times at most that of its put. */
static inline bool pti_fast_is_plain(const struct pti_block *b)
{
    return __builtin_expect((pti_load_relaxed((const _Atomic uint16_t *)(const void *)&b->kind) | pti_load_relaxed(&b->deliveries)) == 0, 1);
}

PTI_FAST bool pti_fast_cas_lease(struct pti_lane *lane, struct pti_block *b, uint32_t block, uint64_t word, uint64_t lease, uint64_t taken)
{
    struct pti_entry *entry = lane->entry;

    pti_journal_open(entry, PTI_OP_TAKE, block, lease, taken);
    if (__builtin_expect(!pti_cas(&b->word, &word, lease), 0)) { /* [L, W] leased */
        pti_journal_close(entry);
        return false;
    }
    pti_store_release(&entry->taken, taken + 1); /* [J] */
    pti_store_relaxed(&b->deliveries, 1);
    return true;
}

/* The same of one that bears a time, seldom (ring/waits.c): how long it waited is counted.  False, too, if it is not plain. */
bool pti_fast_cas_stamped(struct pti_lane *lane, struct pti_block *b, uint32_t block, uint64_t word, uint64_t lease);

/* The block of a message that comes soon, if it is there. */
PTI_FAST void pti_fast_ask_for_takes(const struct pti_ring *ring, uint64_t at)
{
    uint64_t slot = pti_load_relaxed(pti_slot_at(ring, at + PTI_TAKES_AHEAD));
    uint32_t block = pti_slot_block(slot);
    const char *b;

    if (pti_slot_lap(slot) != pti_lap(ring, at + PTI_TAKES_AHEAD) || block >= ring->geometry.blocks)
        return; /* else it is a block that a producer is about to write */
    b = (const char *)pti_block_at(ring, block);
    pti_prefetch_to_write(b);
    __builtin_prefetch(b + PTI_LINE);
}

/* Leases the message at the head, if it is plain and of at most `room` bytes: its block; *ret_word is the lease, *ret_both length and sub
 * as they were checked. */
PTI_FAST struct pti_block *pti_fast_lease(struct pti_ring *ring, struct pti_lane *lane, uint32_t room, uint32_t *ret_block,
                                          uint64_t *ret_word, uint64_t *ret_both)
{
    struct pti_hints *hints = ring->hints;
    struct pti_entry *entry = lane->entry;
    uint64_t h = lane->head, slot, word, lease = lane->mark | PTI_LEASED | h << 16, taken = pti_load_relaxed(&entry->taken);
    struct pti_block *b;
    uint32_t block;

    if (__builtin_expect((pti_load_relaxed(&hints->next_due) << 16 | (pti_load_seq(&hints->redelivery) & 1)) != 0, 0)) /* [R] */
        return NULL;
    slot = pti_load_seq(pti_slot_at(ring, h)); /* [P, W] */
    block = pti_slot_block(slot);
    if (__builtin_expect(pti_slot_lap(slot) != pti_lap(ring, h) || !pti_fast_is_usable(ring, lane, block), 0))
        return NULL;
    b = pti_block_at(ring, block);
    if (lane->takes_in_a_row >= PTI_STREAM)
        pti_fast_ask_for_takes(ring, h); /* the leases and the acks will write them */
    __builtin_prefetch(&b->payload[PTI_LINE - PTI_BLOCK_HEAD]);
    word = pti_load_acquire(&b->word); /* [L] */
    if (__builtin_expect((word & ~UINT64_C(0xfff0)) != (PTI_COMMIT | h << 16), 0))
        return NULL;
    /* Once it is COMMIT its meta is its holder's alone: what is read here holds if the CAS succeeds. */
    *ret_both = pti_load_relaxed(pti_wide(&b->length));
    if (__builtin_expect(!pti_fast_is_plain(b) || pti_length_of(*ret_both) > room, 0))
        return NULL;
    if (__builtin_expect(pti_block_is_stamped(b), 0)) {
        if (!pti_fast_cas_stamped(lane, b, block, word, lease))
            return NULL;
    } else if (!pti_fast_cas_lease(lane, b, block, word, lease, taken)) {
        return NULL;
    }
    lane->head = pti_step(ring, h, 1);
    lane->takes_in_a_row++;
    if ((lane->takes_since_hint++ & ring->hint_mask) == 0)
        pti_store_release(&hints->head, lane->head); /* [H] */
    else if (lane->takes_in_a_row >= PTI_STREAM)
        pti_fast_ask_for_slots(ring, h, lane->takes_since_hint, true);
    pti_wake_putters(ring); /* space was made in the ring */
    *ret_block = block;
    *ret_word = lease;
    return b;
}

/* ---- done */

/* Acks a lease of this lane whose block has a home.  False: nothing was done.  After the last of several: pti_wake_after_store. */
PTI_FAST bool pti_fast_ack_quietly(struct pti_ring *ring, struct pti_lane *lane, struct pti_block *b, uint32_t block, uint64_t lease,
                                   uint32_t size)
{
    struct pti_entry *entry = lane->entry;
    uint64_t acked = pti_load_relaxed(&entry->acked);
    uint32_t home = pti_load_relaxed(&b->home);

    if (__builtin_expect(home == 0 || block < ring->geometry.shared_blocks, 0))
        return false;
    pti_journal_open(entry, PTI_OP_ACK, block, lease, acked);
    pti_store_release(&b->word, (lease & ~UINT64_C(0xffff)) | pti_word(PTI_OWNED, (home - 1) & 2047, 0, 0)); /* [A, M] */
    pti_store_release(&entry->acked, acked + 1); /* [J] */
    pti_store_relaxed(&entry->bytes_acked, pti_load_relaxed(&entry->bytes_acked) + size);
    return true;
}

PTI_FAST bool pti_fast_ack(struct pti_ring *ring, struct pti_lane *lane, struct pti_block *b, uint32_t block, uint64_t lease,
                           uint32_t size)
{
    if (__builtin_expect(!pti_fast_ack_quietly(ring, lane, b, block, lease, size), 0))
        return false;
    pti_wake_after_store(ring);
    return true;
}

#endif
