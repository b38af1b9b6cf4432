/* ring.h -- a segment as one process sees it, and a lane: one thread's way through it.
 *
 * Laws (docs/shared-memory.md has the reasons):
 *   1. A fact lives in one 64-bit word and changes by one compare-and-swap, or by a plain release store where only one
 *      process can write it at that moment.
 *   2. There is no claim state in the ring: a payload is filled in a block that only its producer knows.
 *   3. Hints are lower bounds, stored after the CAS that makes them true.  Guesses are private and never run ahead.
 *   4. Nothing is taken from the living; death is a lock that the kernel let go.
 *   5. Recovery is idempotent, all by CAS, and may itself be killed or stopped; several may run at once.
 *
 * A lane is an endpoint of its own: index, entry, journal line, counters and blocks have one writer at a time.  Nothing in
 * this room sleeps or starts a thread.  Mutexes are the handle's own, for recovery, registration and new side files; these, new memory and
 * waking somebody make system calls, nothing else does.
 */
#ifndef PTQ_RING_RING_H
#define PTQ_RING_RING_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/err.h>
#include <ptq/queue.h>

#include "os/segment.h"
#include "ring/layout.h"

struct pti_sides; /* ring/side.h */

struct pti_ring {
    char *base;
    char *blocks;
    _Atomic uint64_t *slots;
    struct pti_hints *hints;
    struct pti_entry *entries;
    _Atomic uint64_t *stretches;
    _Atomic uint64_t *used;    /* shared blocks: 0 "may be FREE" */
    _Atomic uint64_t *special; /* 1 "may be REDELIV, DELAYED or DEAD" */
    _Atomic uint32_t *extents; /* 1 + the endpoint it was granted to */
    struct pti_geometry geometry;
    uint64_t slot_mask, position_mask;
    unsigned position_shift; /* 64 - position_bits: for serial comparison */
    unsigned lap_shift;      /* 64 - lap bits */
    uint32_t stride;
    uint32_t stamp_mask;     /* puts & this == 0: stamped */
    uint32_t hint_mask;      /* plain puts and takes & this == 0: the hints are written */
    uint16_t quick_deliveries; /* below it a message without times is handed out without a closer look; 0: each is looked at */
    uint16_t ttl;            /* packed: of messages that say none */
    uint32_t inline_room;    /* what is longer stands in a side file */
    bool takes_plainly;      /* neither a byte budget nor a lease limit */
    uint32_t list_room;      /* of a block, for a batch's list */
    bool exchange_acks;      /* this process is not reached by others' barriers */
    struct pti_segment segment;
    struct pti_sides *sides; /* large queues only */
    uint8_t id[16];
    pthread_mutex_t dead_mutex;     /* OFD locks do not exclude within a handle */
    _Atomic uint64_t strays_ms;     /* when this handle looked for strays last */
    _Atomic uint64_t mine[PTI_ENDPOINT_WORDS]; /* endpoints of this handle: never probed */
    char spec[PTQ_SPEC_TEXT_MAX + 1];
};

/* Where a taker stands in a batch: private. */
struct pti_cursor {
    uint64_t position; /* of the header in the ring */
    uint64_t header_word;
    uint64_t t0;
    uint32_t header;
    uint32_t list;  /* the header block, or a later one of its chain */
    uint32_t run;   /* in list */
    uint32_t step;  /* in run */
    uint32_t index; /* elements passed */
    uint32_t count;
    bool active;
    bool cut; /* the chain is being freed: then every element is taken */
};

struct pti_lane {
    struct pti_ring *ring;
    struct pti_entry *entry;
    uint64_t tail;    /* guess: nothing before it is unpublished */
    uint64_t head;    /* guess: nothing before it is untaken */
    uint64_t settled; /* copy of the head hint: everything before it is taken */
    uint32_t index;
    uint64_t mark;    /* index, where a block's word has its owner */
    uint64_t backed;  /* a stretch that has memory: the last one looked for */
    uint32_t own_first, own_count, own_at; /* my extent */
    uint8_t *own_state;                    /* a byte a block of it: enum pti_own */
    uint32_t shared_at;                    /* where I last found a shared block: a word of `used` */
    uint32_t large;                        /* 1 + the block that bore my last large message; 0: none yet */
    uint32_t puts_since_hint, takes_since_hint;
    uint32_t stamp;     /* puts since the last stamp */
    uint64_t want_bytes; /* with a byte budget: what the put under way brings */
    bool granted;       /* an extent was asked for */
    bool streams;       /* consumers are well behind: lines are asked for ahead */
    uint32_t takes_in_a_row;
    bool paced;         /* resting for own blocks has paid lately */
    uint32_t own_away;  /* allocations to go without a look at them */
    bool has_put, has_taken;
    bool notes;         /* the put under way is noted in the entry (ring/note.h) */
    uint32_t given_back; /* 1 + the block of a stamped message that was just taken, and had been given back untaken; 0 */
    bool shared;        /* several threads use it, under mutex */
    struct pti_cursor cursor;
    struct pti_scratch {
        uint32_t *blocks; /* of a batch in the making, and their words before */
        uint64_t *befores;
        uint32_t *lists;
        uint64_t *list_befores;
        size_t size; /* room for so many of each */
    } scratch;
};
enum pti_own { PTI_OWN_UNKNOWN = 0, PTI_OWN_READY = 1, PTI_OWN_LOANED = 2 };

/* Maps what the header says.  `segment` is taken. */
enum ptq_err pti_ring_init(struct pti_ring *ring, const struct pti_segment *segment, const struct pti_header *header);
void pti_ring_fini(struct pti_ring *ring);

/* ---- serial positions */

static inline int64_t pti_diff(const struct pti_ring *ring, uint64_t a, uint64_t b)
{
    return (int64_t)((a - b) << ring->position_shift) >> ring->position_shift;
}
static inline uint64_t pti_step(const struct pti_ring *ring, uint64_t position, uint64_t by)
{
    return (position + by) & ring->position_mask;
}
static inline uint64_t pti_lap(const struct pti_ring *ring, uint64_t position)
{
    return position >> ring->geometry.slot_bits;
}
static inline int64_t pti_lap_diff(const struct pti_ring *ring, uint64_t a, uint64_t b)
{
    return (int64_t)((a - b) << ring->lap_shift) >> ring->lap_shift;
}
static inline _Atomic uint64_t *pti_slot_at(const struct pti_ring *ring, uint64_t position)
{
    return &ring->slots[position & ring->slot_mask];
}
static inline struct pti_block *pti_block_at(const struct pti_ring *ring, uint32_t block)
{
    return (struct pti_block *)(void *)(ring->blocks + (size_t)block * ring->stride);
}
/* Does the slot at `position` name this block? */
static inline bool pti_slot_names(const struct pti_ring *ring, uint64_t position, uint32_t block)
{
    return pti_load_acquire(pti_slot_at(ring, position)) == pti_slot(pti_lap(ring, position), block); /* [P] */
}
static inline bool pti_is_mine(struct pti_ring *ring, uint32_t endpoint)
{
    return pti_load_relaxed(&ring->mine[endpoint / 64]) >> (endpoint % 64) & 1;
}

/* Microseconds of the host clock (os/clock.h), 48 bits (ring/delay.c). */
uint64_t pti_now_us(void);

/* ---- memory (ring/block.c) */

/* Has the word of this block memory under it? */
static inline bool pti_block_is_backed(const struct pti_ring *ring, uint32_t block)
{
    uint64_t stretch = (ring->geometry.off_blocks + (uint64_t)block * ring->stride) >> ring->geometry.stretch_shift;

    return pti_load_acquire(&ring->stretches[stretch / 64]) >> (stretch % 64) & 1; /* [B] */
}

/* Is there a block of that number, which somebody else may have written, and has its word memory? */
static inline bool pti_block_is_usable(const struct pti_ring *ring, uint32_t block)
{
    return block < ring->geometry.blocks && pti_block_is_backed(ring, block);
}

/* Behind a block that is not backed: the first that begins in another stretch.  Who looks at all blocks skips what has no memory. */
static inline uint32_t pti_block_beyond(const struct pti_ring *ring, uint32_t block)
{
    uint64_t at = ring->geometry.off_blocks + (uint64_t)block * ring->stride;
    uint64_t next = ((at >> ring->geometry.stretch_shift) + 1) << ring->geometry.stretch_shift;

    return block + (uint32_t)((next - at + ring->stride - 1) / ring->stride);
}

/* Gives the block memory: PTQ_ENOSPC.  A system call only for the first in a stretch. */
enum ptq_err pti_block_back(struct pti_ring *ring, uint32_t block);

/* A block that is ours alone: its word is OWNED(me, position of its last use), *ret_before what it was before.
 * PTQ_FULL: none can be had now; PTQ_ENOSPC. */
enum ptq_err pti_block_alloc_slow(struct pti_lane *lane, uint32_t *ret_block, uint64_t *ret_before);
/* The same for a message that needs `room` bytes in a side file: the block whose file fits best. */
enum ptq_err pti_block_alloc_large(struct pti_lane *lane, uint64_t room, uint32_t *ret_block, uint64_t *ret_before);
static inline enum ptq_err pti_block_alloc(struct pti_lane *lane, uint32_t *ret_block, uint64_t *ret_before)
{
    uint32_t i = lane->own_at;
    uint64_t word;

    /* The fast way: the next of our own, come back by the acker's plain store. */
    if (__builtin_expect(lane->own_away == 0 && lane->own_count != 0 && lane->own_state[i] == PTI_OWN_READY, 1)) {
        word = pti_load_acquire(&pti_block_at(lane->ring, lane->own_first + i)->word); /* [A] */
        if (__builtin_expect((word & 0x7fff) == pti_word(PTI_OWNED, lane->index, 0, 0), 1)) {
            lane->own_at = i + 1 < lane->own_count ? i + 1 : 0;
            if (lane->streams && i + 3 < lane->own_count) {
                const char *next = (const char *)pti_block_at(lane->ring, lane->own_first + i + 3);

                pti_prefetch_to_write(next);
                pti_prefetch_to_write(next + PTI_LINE);
            }
            *ret_block = lane->own_first + i;
            *ret_before = word;
            return PTQ_OK;
        }
    }
    return pti_block_alloc_slow(lane, ret_block, ret_before);
}

/* The same, but only of the own extent: what comes home to nobody else.  False: none is back. */
bool pti_block_alloc_own(struct pti_lane *lane, uint32_t *ret_block, uint64_t *ret_before);

/* Unpublished, back to where it came from: `before` as alloc gave it. */
void pti_block_give_back(struct pti_lane *lane, uint32_t block, uint64_t before);

/* For a loan: own blocks stay out of the own ring until published or given back. */
void pti_block_keep(struct pti_lane *lane, uint32_t block, bool loaned);

/* Late acks: blocks of an extent that came back to a home to which it is not granted any more become FREE.  Safe beside
 * everybody: only the grantee of an extent uses its blocks. */
void pti_block_free_strays(struct pti_ring *ring);
/* By the marks no shared block is free. */
bool pti_block_is_short(const struct pti_ring *ring);

/* Marks. */
void pti_special_set(struct pti_ring *ring, uint32_t block);
void pti_special_clear(struct pti_ring *ring, uint32_t block);
void pti_used_clear(struct pti_ring *ring, uint32_t block);
/* How many of the special blocks are in `state`, and the lowest (position, sub) of them with its word; 0: both are left alone. */
uint64_t pti_special_find(const struct pti_ring *ring, enum pti_state state, uint32_t *ret_block, uint64_t *ret_word);

/* Done with: to its home, or FREE.  The caller holds it.  One plain release store. */
static inline void pti_block_free(struct pti_lane *lane, uint32_t block, uint64_t position)
{
    struct pti_ring *ring = lane->ring;
    struct pti_block *b = pti_block_at(ring, block);
    uint32_t home = pti_load_relaxed(&b->home);
    bool has_home = home != 0 && block >= ring->geometry.shared_blocks;
    uint64_t word = has_home ? pti_word(PTI_OWNED, (home - 1) & 2047, position, 0) : pti_word(PTI_FREE, 0, position, 0);

    if (__builtin_expect(ring->exchange_acks || pti_load_relaxed(&ring->hints->flags) & PTI_FLAG_NOBARRIER, 0)) {
        pti_exchange_seq(&b->word, word); /* [A, W] */
        /* The relaxed looks that follow (pti_wake_after_store) give nothing older than these. */
        (void)pti_load_seq(&ring->hints->put_wait); /* [W] */
        (void)pti_load_seq(&ring->hints->flags); /* [W] */
    } else {
        pti_store_release(&b->word, word); /* [A, M] */
    }
    if (!has_home)
        pti_used_clear(ring, block);
}

/* ---- the ring proper (ring/slot.c, ring/take.c) */

/* Walkers are faster than who they follow, and jump by the hints: one that goes on for so many slots more than there are reads nonsense. */
#define PTI_WALK_MAX (UINT64_C(1) << 20)
#define PTI_STAMP_EVERY 64u /* a clock call costs as much as a put */

/* Meta of a message. */
struct pti_meta {
    uint32_t size;
    uint32_t type;
    uint64_t due_us; /* 0: at once */
    uint16_t ttl;    /* packed; 0: the queue's */
    uint8_t kind;
    uint8_t headers; /* in units of 4 bytes: they stand behind the message */
};
/* The put time, and the time to live that holds in the end: `ttl` is what the put says (ring/delay.c). */
uint64_t pti_ring_stamp(const struct pti_ring *ring, uint16_t ttl);

static inline __attribute__((always_inline)) void pti_block_fill(struct pti_lane *lane, uint32_t block,
                                                                 const struct pti_meta *meta, uint32_t sub,
                                                                 uint32_t batch)
{
    struct pti_block *b = pti_block_at(lane->ring, block);
    const struct pti_geometry *g = &lane->ring->geometry;
    uint32_t home = 0; /* 1 + the grantee of its extent, who need not be this thread */
    uint64_t stamp = 0;

    if (__builtin_expect(block - lane->own_first < lane->own_count, 1))
        home = lane->index + 1;
    else if (block >= g->shared_blocks)
        home = pti_load_relaxed(&lane->ring->extents[(block - g->shared_blocks) / g->extent_blocks]);
    if (__builtin_expect((lane->stamp++ & lane->ring->stamp_mask) == 0 || (meta->ttl | lane->ring->ttl) != 0, 0))
        stamp = pti_ring_stamp(lane->ring, meta->ttl);
    pti_store_relaxed(&b->length, meta->size);
    pti_store_relaxed(&b->sub, sub);
    pti_store_relaxed(&b->link, batch);
    pti_store_relaxed(&b->home, (uint16_t)home);
    pti_store_relaxed(&b->deliveries, 0);
    pti_store_relaxed(&b->stamp, stamp);
    pti_store_relaxed(&b->due_us, meta->due_us);
    pti_store_relaxed(&b->kind, meta->kind);
    pti_store_relaxed(&b->headers, meta->headers);
    pti_store_relaxed(&b->leased_at, 0);
    pti_store_relaxed(&b->type, meta->type);
}

/* Publishes an owned block that is filled.  PTQ_FULL, PTQ_EENDED, PTQ_ECORRUPT: it is still OWNED(me), as `before`. */
enum ptq_err pti_ring_publish(struct pti_lane *lane, uint32_t block, uint64_t before, uint64_t *ret_position);
/* The same, of a put that is noted in the entry (ring/note.h): where it is tried is noted, too. */
enum ptq_err pti_ring_publish_noted(struct pti_lane *lane, uint32_t block, uint64_t before, uint64_t *ret_position);

/* Publishes the `count` filled blocks of lane->scratch by one header, all or none.  They hold so many messages: more than blocks
 * where some are packs.  On failure they are as before. */
enum ptq_err pti_ring_publish_batch(struct pti_lane *lane, size_t count, uint64_t messages, uint64_t *ret_position);

/* What the two publishers share (ring/slot.c): walks to the first unpublished position; then publishes there. */
enum ptq_err pti_ring_find_tail(struct pti_lane *lane, uint64_t *ret_slot);
enum ptq_err pti_ring_publish_entry(struct pti_lane *lane, uint32_t block, enum pti_state state, uint64_t count,
                                    uint64_t *ret_position);
void pti_ring_note_put(struct pti_lane *lane, uint64_t count, uint64_t bytes, uint64_t position);
void pti_ring_note_head(struct pti_lane *lane, uint64_t next);

/* Publishes at exactly `position`: PTQ_ELATE, PTQ_FULL (too far ahead), PTQ_ECORRUPT. */
enum ptq_err pti_ring_place(struct pti_lane *lane, uint64_t position, uint32_t block, uint64_t before);
/* Would that be PTQ_ELATE? */
bool pti_ring_is_placed(const struct pti_ring *ring, uint64_t position);

/* Leases the next message: PTQ_EMPTY; PTQ_END when END is at the head and all is settled; PTQ_ECORRUPT.
 * *ret_word is the lease: LEASED(me, position, redelivered). */
enum ptq_err pti_ring_take(struct pti_lane *lane, uint32_t *ret_block, uint64_t *ret_word);

/* The same right after a take that succeeded: goes on in the batch that it found, and leaves waking producers to the
 * caller (pti_wake_putters). */
enum ptq_err pti_ring_take_next(struct pti_lane *lane, uint32_t *ret_block, uint64_t *ret_word);

/* Could a take, a put, succeed now?  Cheap, may be wrong in favour of yes. */
bool pti_ring_may_take(struct pti_lane *lane);
bool pti_ring_may_put(struct pti_lane *lane, uint64_t count);
/* The position that the next fresh take would lease. */
uint64_t pti_ring_head(struct pti_lane *lane);
/* For those without a lane: the head and the tail, walking from a position that is not beyond them, such as the hints. */
uint64_t pti_ring_head_from(struct pti_ring *ring, uint64_t at);
uint64_t pti_ring_tail_from(struct pti_ring *ring, uint64_t at);

/* Is the entry at `position`, which is about to be lapped by capacity or slots, no longer waiting to be taken? */
bool pti_ring_is_taken(struct pti_lane *lane, uint64_t position, bool *ret_corrupt);

/* As take, but also where the queue is paused, and nothing is judged: *ret_word is a lease that nobody knows of. */
enum ptq_err pti_ring_lease_next(struct pti_lane *lane, uint32_t *ret_block, uint64_t *ret_word);

/* Every take asks (ring/judge.c) what becomes of the message it leased: true: handed out, and counted as a delivery; false: it
 * became something else (a dead letter, ...), the lease is over, and the taker goes on.  *lease may be rewritten. */
bool pti_ring_judge_slow(struct pti_lane *lane, uint32_t block, uint64_t *lease);

/* Does the message bear a time: of its put, a due time, a time to live?  They stand in the line that its word is in. */
static inline bool pti_block_is_stamped(const struct pti_block *b)
{
    return (pti_load_relaxed(&b->stamp) | pti_load_relaxed(&b->due_us)) != 0;
}

/* Of these, a due time or a time to live? */
static inline bool pti_block_is_timed(const struct pti_block *b)
{
    return (pti_load_relaxed(&b->stamp) >> 48 | pti_load_relaxed(&b->due_us)) != 0;
}

static inline bool pti_ring_judge(struct pti_lane *lane, uint32_t block, uint64_t *lease)
{
    struct pti_block *b = pti_block_at(lane->ring, block);
    uint16_t deliveries = pti_load_relaxed(&b->deliveries);

    if (__builtin_expect(deliveries >= lane->ring->quick_deliveries || pti_block_is_stamped(b), 0))
        return pti_ring_judge_slow(lane, block, lease);
    pti_store_relaxed(&b->deliveries, (uint16_t)(deliveries + 1));
    return true;
}

/* What the clock says of a message: it is read only where the message bears a due time or a time to live. */
enum pti_verdict { PTI_HAND_OUT, PTI_PARK, PTI_EXPIRE };
enum pti_verdict pti_ring_verdict(struct pti_ring *ring, uint32_t block);
/* Ends a lease of this lane by PTI_PARK or PTI_EXPIRE. */
void pti_ring_carry_out(struct pti_lane *lane, uint32_t block, uint64_t lease, enum pti_verdict verdict);
/* Ends a lease of this lane by dropping the message, counted. */
void pti_ring_drop(struct pti_lane *lane, uint32_t block, uint64_t lease, enum ptq_drop reason);

/* Settling a lease (ring/settle.c).  `word` is the lease as take gave it; it must be this lane's (pti_ring_adopt).  PTQ_ELEASELOST, only with a
 * lease limit: it had run out. */
enum ptq_err pti_ring_ack(struct pti_lane *lane, uint32_t block, uint64_t word);
enum ptq_err pti_ring_nack(struct pti_lane *lane, uint32_t block, uint64_t word, uint64_t due_us, bool counted);

/* A lease of another lane of this process becomes this lane's: *word is rewritten.  PTQ_ELEASELOST. */
enum ptq_err pti_ring_adopt(struct pti_lane *lane, uint32_t block, uint64_t *word);

/* Raises the redelivery word: to be called after a block became REDELIV. */
void pti_ring_redeliver(struct pti_ring *ring);

/* ---- batches (ring/batch.c) */

/* The next element of the batch whose header `header` (word COMMITH(*, position)) stands at `position`.  PTQ_OK: leased;
 * PTQ_EMPTY: all of it is taken, and the header has been freed. */
enum ptq_err pti_batch_take(struct pti_lane *lane, uint64_t position, uint32_t header, uint64_t header_word,
                            uint32_t *ret_block, uint64_t *ret_word);
/* A cursor before its first element. */
void pti_batch_begin(struct pti_ring *ring, struct pti_cursor *cursor, uint32_t header, uint64_t header_word);
/* The block of its next element, whatever has become of it; PTI_NO_BLOCK: that was the last, or the list makes no sense (any more). */
uint32_t pti_batch_next(struct pti_ring *ring, struct pti_cursor *cursor);
/* Is every element taken?  Then the header is freed (by whoever comes first). */
bool pti_batch_settle(struct pti_lane *lane, uint32_t header, uint64_t header_word);
/* Does that header, in its slot, list `block` (an element, or a list block of its chain) with t0? */
bool pti_batch_lists(struct pti_ring *ring, uint32_t header, uint32_t block, uint64_t t0);
/* Is a block that is COMMIT or COMMITH in the queue: does its slot name it, or a batch that stands in its own slot list it?  Where it stands:
 * an element where its batch does. */
bool pti_block_stands(struct pti_ring *ring, uint32_t block, uint64_t word, uint64_t *ret_position);
/* Before a batch, or a pack, of `count` can be seen: capacity is counted from now on. */
void pti_batch_announce(struct pti_ring *ring, uint64_t count);
/* What of it is not taken; nothing, if it was freed meanwhile. */
struct pti_load {
    uint64_t messages, bytes;
};
struct pti_load pti_batch_load(struct pti_ring *ring, uint32_t header, uint64_t header_word);
/* The first element that is not taken, and its word. */
bool pti_batch_first(struct pti_ring *ring, uint32_t header, uint64_t header_word, uint32_t *ret_block, uint64_t *ret_word);

/* ---- capacity, where it is not told by positions alone (ring/capacity.c) */

/* Would `count` more messages fit at `position`, the first unpublished one? */
bool pti_ring_has_room(struct pti_lane *lane, uint64_t position, uint64_t count);
/* How many more would fit, at least, where `position` is the next; 0: surely none. */
uint64_t pti_ring_room(struct pti_lane *lane, uint64_t position);
/* Room for `bytes` more in the byte budget. */
bool pti_ring_has_bytes(struct pti_lane *lane, uint64_t position, uint64_t bytes);

/* ---- a full ring (ring/room.c) */

/* For a producer who owns its blocks and found no room: what has expired or is not due leaves the head of the ring, and with
 * PTQ_FULL_DROP_OLDEST the oldest ready message is dropped, one a call.  True: look again. */
bool pti_ring_make_room(struct pti_lane *lane, uint64_t count);
/* PTQ_FULL_DROP_NEWEST: counts `count` messages as put and dropped. */
void pti_ring_refuse(struct pti_lane *lane, uint64_t count);
/* When the oldest ready message expires or is to be parked, in microseconds; 0: never. */
uint64_t pti_ring_next_expiry(struct pti_lane *lane);
/* Drops what is ready now; how many. */
uint64_t pti_ring_purge(struct pti_lane *lane);
/* Gets answer as on an empty queue, until it is resumed; whoever sleeps looks again. */
void pti_ring_pause(struct pti_ring *ring, bool pause);
static inline bool pti_ring_is_paused(const struct pti_ring *ring)
{
    return pti_load_seq(&ring->hints->flags) & PTI_FLAG_PAUSED; /* [F, W] */
}

/* ---- end (ring/end.c) */

enum ptq_err pti_ring_end(struct pti_lane *lane);                          /* PTQ_EALREADY */
bool pti_ring_end_position(struct pti_ring *ring, uint64_t *ret_position); /* where END stands */
bool pti_ring_is_settled(struct pti_ring *ring, uint32_t but);             /* END's census; own leases do not count */
bool pti_ring_may_die(struct pti_ring *ring, uint32_t but);                /* could another letter come, or come back? */
/* Pools: was `position` published, is it not END, and is no block at it any more? */
bool pti_ring_is_lost(struct pti_ring *ring, uint64_t position);
void pti_ring_raise_limit(struct pti_ring *ring, uint64_t limit);

/* ---- delay (ring/delay.c) */

/* If something is due, or a lease overdue, makes it REDELIV. */
void pti_delay_look(struct pti_lane *lane);
/* Nacker's part before its CAS: due and mark are set. */
void pti_delay_lower(struct pti_ring *ring, uint64_t due_us);
/* Microseconds of the next due message; 0: none. */
uint64_t pti_delay_next(const struct pti_ring *ring);

/* ---- dead letters (ring/dead.c) */

/* A message leased by this lane becomes a dead letter; beyond max_dead the oldest is dropped. */
void pti_dead_bury(struct pti_lane *lane, uint32_t block, uint64_t lease);
/* Leases the oldest letter: PTQ_EMPTY.  Settled by pti_ring_ack, or by pti_dead_return: it stays dead. */
enum ptq_err pti_dead_take(struct pti_lane *lane, uint32_t *ret_block, uint64_t *ret_word);
void pti_dead_return(struct pti_lane *lane, uint32_t block, uint64_t lease);
/* Up to `max` letters (0: all that are there), the oldest first, go back into their places, as if never handed out: PTQ_ENOMEM. */
enum ptq_err pti_dead_kick(struct pti_lane *lane, uint64_t max, uint64_t *ret_count);
/* All that are there are dropped, counted as purged: PTQ_ENOMEM. */
enum ptq_err pti_dead_purge(struct pti_lane *lane, uint64_t *ret_count);
uint64_t pti_dead_count(struct pti_ring *ring);
/* The queue has ended, all is settled, and no letter is left.  This lane's own leases do not count. */
bool pti_dead_is_over(struct pti_lane *lane);

static inline bool pti_block_is_letter(const struct pti_ring *ring, uint32_t block)
{
    return pti_load_acquire(&pti_block_at(ring, block)->kind) & PTI_KIND_LETTER; /* [V] */
}

/* ---- endpoints and recovery (ring/endpoint.c, ring/recover.c) */

/* Takes an index: PTQ_EAGAIN when all are taken, or gc has the whole range for a moment; PTQ_ENOMEM, PTQ_ESYS. */
enum ptq_err pti_lane_register(struct pti_lane *lane, struct pti_ring *ring);
/* Lets it go: what it leased is redelivered, what it owned is free. */
void pti_lane_unregister(struct pti_lane *lane);

/* Has the file lost its name?  Then all are told that the queue is gone. */
bool pti_ring_note_unlinked(struct pti_ring *ring);

/* Looks for the dead among the attached and recovers them; how many.  `thorough`: also blocks that came back to a dead
 * home.  Skips what is being looked at by this handle already. */
unsigned pti_ring_sweep(struct pti_ring *ring, bool thorough);
/* The same, but at most once in 100 ms over all processes. */
unsigned pti_ring_sweep_sometimes(struct pti_ring *ring, bool thorough);
/* For whoever was told of a close, as all are: in a crowd one of them looks, at most each 100 ms, for the others look again
 * after 100 ms anyway (os/watch.h, the echo). */
unsigned pti_ring_sweep_told(struct pti_ring *ring, bool thorough);
/* Recovers the endpoints whose bits are set: the caller holds their locks. */
void pti_ring_recover(struct pti_ring *ring, const uint64_t *dead);

#endif
