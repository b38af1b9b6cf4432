/* layout.h -- the bytes of a segment: one segment is one queue, one failure domain.
 *
 *   0            header     geometry, immutable, with a checksum; one page, whose last lines are a word for those above and the signal byte
 *   off_hints    hints      flags, head, tail, wait words, ...: a cache line each; behind them how long messages waited
 *   off_stretch  stretches  a bit a stretch of the file: it has memory (set after it was reserved)
 *   off_used     marks      a bit a shared block: 0 "may be FREE"
 *   off_special  marks      a bit a block: 1 "may be REDELIV, DELAYED or DEAD"
 *   off_extents  extents    a word an extent: the producer it was granted to, a hint
 *   off_slots    slots      N words: lap:41 | block:23, never cleaned
 *   off_entries  entries    one an endpoint: journal, counters, identity
 *   off_blocks   blocks     {word, meta, payload}, `stride` bytes each: first the shared ones, then the extents
 *
 *   slot   lap:41 | block:23                             position = lap << slot_bits | index
 *   block  position:48 | redelivered:1 | owner:11 | state:4
 *
 * A position is compared exactly, modulo 2^position_bits; the order of positions is serial.  Positions start at lap 1,
 * so that a file of zeroes is an empty ring.  Everything here is offsets and numbers, never pointers.
 */
#ifndef PTQ_RING_LAYOUT_H
#define PTQ_RING_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/err.h>
#include <ptq/queue.h>

#include "base/atomic.h"
#include "base/buckets.h"

#define PTI_MAGIC UINT64_C(0x3167655371747001)
#define PTI_BYTE_ORDER 0x01020304u
#define PTI_LINE 64
#define PTI_HEADER_SIZE 4096
#define PTI_BLOCK_BITS 23
#define PTI_LAP_BITS 41
#define PTI_POSITION_BITS 48
#define PTI_ENDPOINT_MAX 2047u                              /* endpoints 0..2046 */
#define PTI_END_BLOCK ((UINT32_C(1) << PTI_BLOCK_BITS) - 1) /* a slot with this block is END */
#define PTI_BLOCK_MAX (PTI_END_BLOCK - 1)                   /* blocks of a queue, at most */
#define PTI_NO_BLOCK UINT32_MAX
#define PTI_ENDPOINT_WORDS ((PTI_ENDPOINT_MAX + 64) / 64)     /* of a set of endpoints, a bit each */
#define PTI_TIME_MASK ((UINT64_C(1) << 48) - 1)               /* microseconds of the host clock, as they stand in words */

/* Whose is this block?  A state without an owner has owner 0.  LEASEDH, ACKED and NACKED have their numbers, and no code. */
enum pti_state {
    PTI_FREE = 0,    /* nobody's; position of its last use */
    PTI_OWNED = 1,   /* a producer's, unpublished; position of its last use */
    PTI_COMMIT = 2,  /* handed in by owner at position: in the queue iff the slot names it */
    PTI_LEASED = 3,  /* taken by owner, not yet done */
    PTI_REDELIV = 4, /* to be handed out again, before everything else */
    PTI_COMMITH = 5, /* as COMMIT: the header of a batch */
    PTI_LEASEDH = 6,
    PTI_QUAR = 7,    /* its lease ran out under owner, who lives and may read it; for position: number:25 | its copy's block:23 */
    PTI_DELAYED = 8, /* REDELIV from due_us on */
    PTI_DEAD = 9,    /* a dead letter: see ring/dead.c */
    PTI_COPY = 10,   /* owner's copy of an overdue message: REDELIV once its source (link) is QUAR and names it; for position:
                      * the copy's number */
    PTI_ACKED = 11,
    PTI_NACKED = 12
};

#define PTI_GEO_PLACED 1u    /* positions are given by place */
#define PTI_GEO_EPHEMERAL 2u /* gc may remove it with messages inside */
#define PTI_GEO_EXPIRED_DEAD 4u /* what outlives its time becomes a dead letter instead of being dropped */
#define PTI_GEO_LAST_ENDS 8u    /* the last producer that closes ends the queue */

/* What a queue was made with.  Immutable; copied once at open, checked, never read from shared memory again. */
struct pti_geometry {
    uint64_t capacity;
    uint64_t slots;  /* N = 1 << slot_bits, above capacity and window, at least 64 */
    uint64_t start;  /* first position: a multiple of N */
    uint64_t window; /* pool queues, else 0 */
    uint32_t slot_bits;
    uint32_t position_bits; /* min(48, 41 + slot_bits) */
    uint32_t item_size;
    uint32_t stride;
    uint32_t blocks; /* shared_blocks + extents * extent_blocks */
    uint32_t shared_blocks;
    uint32_t extents;
    uint32_t extent_blocks;
    uint32_t endpoints;
    uint32_t max_deliveries; /* UINT32_MAX: no limit */
    uint32_t flags;
    uint32_t stretch_shift; /* a stretch is 1 << stretch_shift bytes */
    uint64_t bytes;       /* budget of ready bytes; 0: capacity alone bounds it */
    uint32_t header_size; /* room for headers beside a message of item_size */
    uint32_t inline_size; /* bytes of message and headers in the block; what is larger stands in the block's side file */
    uint32_t full;        /* enum ptq_full */
    uint32_t stamps;      /* enum ptq_stamps */
    uint32_t ttl_ms;      /* of messages that have none of their own; 0: for ever */
    uint32_t lease_ms;    /* limit of a lease; 0: as long as the holder lives */
    uint32_t max_dead;
    uint32_t pack_size; /* room for the records of a pack; 0: what the stride leaves (ring/pack.h) */
    uint64_t off_hints, off_stretch, off_used, off_special, off_extents, off_slots, off_entries, off_blocks;
    uint64_t file_size;
};

struct pti_header {
    uint64_t magic;
    uint32_t layout;
    uint32_t byte_order;
    struct pti_geometry geometry;
    uint8_t id[16]; /* random: this queue, not another of the same name */
    int64_t created_unix_ms;
    int32_t creator_pid;
    uint32_t creator_uid;
    char name[136];
    char spec[PTQ_SPEC_TEXT_MAX + 1]; /* what its messages are: printable text; "" */
    uint64_t checksum; /* of all above */
};
_Static_assert(sizeof(struct pti_header) <= PTI_HEADER_SIZE - PTI_LINE, "the header fits its page");

/* A word for whoever stands above the queue, in the line before: of a pipe's first queue, how its ends are (process/pipe.h).  Else 0. */
#define PTI_WORD_OFFSET (PTI_HEADER_SIZE - 2 * PTI_LINE)
_Static_assert(sizeof(struct pti_header) <= PTI_WORD_OFFSET, "the header ends before it");

/* Wakers write a zero here with pwrite, so that inotify tells armed descriptors. */
#define PTI_SIGNAL_OFFSET (PTI_HEADER_SIZE - PTI_LINE)

#define PTI_FLAG_ENDED 1u      /* hint: END stands in a slot */
#define PTI_FLAG_REMOVED 2u    /* every call answers PTQ_EGONE */
#define PTI_FLAG_BATCHED 4u    /* put_many was used, or there is a byte budget: room is counted, not only positioned */
#define PTI_FLAG_LIMITED 8u    /* positions from `limit` on may not be leased */
#define PTI_FLAG_NOBARRIER 16u /* some process has no membarrier: acks must be exchanges */
#define PTI_FLAG_PAUSED 32u    /* gets answer as on an empty queue */
#define PTI_FLAG_UNITS 64u     /* there may be open units: what is ready is counted entry by entry */

/* Wait words: see ring/wait.h. */
#define PTI_WAIT_SLEEPER 1u    /* somebody may sleep in the futex */
#define PTI_WAIT_DESCRIPTOR 2u /* a descriptor is armed */
#define PTI_WAIT_BITS 3u
#define PTI_WAIT_COUNT 4u

#define PTI_OWN_LINE(type, name)                                                                                       \
    union {                                                                                                            \
        type name;                                                                                                     \
        char name##_line[PTI_LINE];                                                                                    \
    }

/* Written by everybody.  head and tail are lower bounds, stored after the CAS that makes them true; largest_batch and entries_used are
 * upper bounds, raised before.  Of PTQ_LAYOUT_VERSION 2, as all of this: nothing here may move or grow under that number. */
struct pti_hints {
    PTI_OWN_LINE(_Atomic uint32_t, flags);
    PTI_OWN_LINE(_Atomic uint64_t, head); /* everything before it is taken */
    PTI_OWN_LINE(_Atomic uint64_t, tail); /* everything before it is published */
    PTI_OWN_LINE(_Atomic uint32_t, get_wait);
    PTI_OWN_LINE(_Atomic uint32_t, put_wait);
    PTI_OWN_LINE(_Atomic uint32_t, dead_wait); /* of those who wait for dead letters */
    PTI_OWN_LINE(_Atomic uint64_t, redelivery); /* counter:63 | bit: there may be a REDELIV block */
    PTI_OWN_LINE(_Atomic uint64_t, next_due);   /* counter:16 | microseconds:48, 0: nothing is due */
    PTI_OWN_LINE(_Atomic uint64_t, limit);      /* with LIMITED: the first position that may not be leased */
    PTI_OWN_LINE(_Atomic uint64_t, largest_batch);
    PTI_OWN_LINE(_Atomic uint64_t, probed_ms);    /* when somebody last looked for the dead */
    PTI_OWN_LINE(_Atomic uint64_t, recovered);    /* endpoints recovered so far */
    PTI_OWN_LINE(_Atomic uint32_t, entries_used); /* no entry from here on was ever used */
    PTI_OWN_LINE(_Atomic uint64_t, waited_us); /* these two for display, by takers (ring/waits.h): the sum of all waits, */
    _Atomic uint64_t waits[PTI_BUCKETS];       /* and how many were so long (base/buckets.h), in microseconds */
};
_Static_assert(offsetof(struct pti_hints, waits) == 14 * PTI_LINE && sizeof(struct pti_hints) == 32 * PTI_LINE, "a line each");

enum pti_operation {
    PTI_OP_NONE = 0,
    PTI_OP_PUT = 1,      /* put + 1 */
    PTI_OP_PUT_MANY = 2, /* put + journal_count; the block is the header */
    PTI_OP_TAKE = 3,     /* taken + 1 */
    PTI_OP_ACK = 4,      /* acked + 1 */
    PTI_OP_NACK = 5,     /* nacked + 1 */
    PTI_OP_DROP = 8,     /* DROP + reason: dropped[reason] + 1; reasons are enum ptq_drop, so 8 to 12 */
    PTI_OP_REFUSE = 13,  /* put + journal_count, once dropped[newest] has become journal_word: no block */
    PTI_OP_TAKE_MANY = 14, /* taken + journal_count: a pack */
    PTI_OP_ACK_MANY = 15,  /* acked + journal_count: a pack, the last of it */
    PTI_OP_DROP_PART = 16, /* DROP_PART + reason: dropped[reason] + journal_count, once the pack's ctl is not journal_word; 16 to 20 */
    PTI_OP_ADMIT = 21      /* admitted + journal_count, once the block's kind is not UNIT */
};
enum pti_journal_status { PTI_LINE_CLOSED = 0, PTI_LINE_OPEN = 1, PTI_LINE_DONE = 2, PTI_LINE_UNDONE = 3 };

/* An endpoint: one thread of one process, attached.  Written by its owner; by recoverers once the owner is dead.
 * Counters are never reset: the next owner of the entry counts on. */
struct pti_entry {
    /* line 0: the journal, and what it counts */
    _Atomic uint64_t journal;      /* low half of the counter before : 32 | block:23 | operation:5 | status:4 */
    _Atomic uint64_t journal_word; /* PUT: the block's word before; TAKE: the lease wanted; ACK, NACK: the lease held;
                                    * REFUSE: dropped[newest] after it */
    _Atomic uint64_t journal_count;
    _Atomic uint64_t put;
    _Atomic uint64_t taken;
    _Atomic uint64_t acked;
    _Atomic uint64_t nacked;
    _Atomic uint64_t bytes_put;
    /* line 1 */
    _Atomic uint64_t bytes_acked;
    _Atomic uint64_t redelivered;
    _Atomic uint64_t dropped[5]; /* enum ptq_drop */
    _Atomic uint64_t bytes_taken;
    /* line 2: the last noted put, of a bridge (ring/note.h) */
    _Atomic uint64_t stream; /* low half of `put` before it:32 | whose intent:32 */
    _Atomic uint64_t number; /* serial of that */
    _Atomic uint64_t journal_bytes; /* with a byte budget: bytes_put, or bytes_taken, after the operation */
    _Atomic uint64_t taking;        /* with a lease limit: attempts so far:40 | 1 + the block about to be leased:24, 0: none */
    _Atomic uint64_t suspect;       /* by lookers: attempt:16 | when its lease was first seen:48 */
    _Atomic uint64_t copies;        /* made of overdue messages: the last number */
    _Atomic uint64_t copy_position; /* of the message in the last */
    _Atomic uint64_t appended;      /* records that this producer has added to units; for display, `admitted` counts them */
    /* line 3: who it is */
    _Atomic uint32_t state; /* 0: nobody; 1: attached, dead or alive: the lock tells */
    _Atomic uint32_t used;  /* it was attached once: words may name it */
    _Atomic int32_t pid;    /* these for display */
    _Atomic int32_t tid;
    _Atomic int64_t since_unix_ms;
    _Atomic uint32_t roles;
    _Atomic uint32_t copying; /* with a lease limit: 1 + the block that it is about to copy and quarantine; 0: none */
    char command[16];
    _Atomic uint64_t admitted; /* records of units that this taker closed: put and taken both */
    _Atomic uint64_t noted;    /* position:48 | 0:12 | enum pti_note:4 */
};
_Static_assert(sizeof(struct pti_entry) == 4 * PTI_LINE, "an entry is four lines");
#define PTI_ROLE_PUT 1u
#define PTI_ROLE_GET 2u

#define PTI_KIND_LETTER 0x80u /* in a block's kind: judged dead, and not kicked since; written by the holder of its lease */

/* A block: word, meta, payload.  Meta is written by the owner before publish; deliveries, due_us and leased_at by the
 * holder, link of a copy by whoever copies.  Headers stand behind the message, at the next multiple of 4. */
struct pti_block {
    _Atomic uint64_t word;
    _Atomic uint32_t length;
    _Atomic uint32_t sub;
    _Atomic uint32_t link;       /* COMMIT, COMMITH: 1 + its batch's header block, 0: alone; COPY: 1 + its source */
    _Atomic uint16_t home;       /* 1 + the producer that gets it back; 0: shared */
    _Atomic uint16_t deliveries; /* saturates */
    _Atomic uint64_t stamp;      /* ttl:16, 0: for ever | put:48, monotonic microseconds, 0: no stamp */
    _Atomic uint64_t due_us;     /* not to be handed out before; 0: at once */
    _Atomic uint8_t kind;
    _Atomic uint8_t headers;     /* their size in units of 4 bytes */
    _Atomic uint16_t leased_at;  /* with a lease limit: when, in units of limit / 256 */
    _Atomic uint32_t type;       /* hash of the name of what is inside; 0: not said */
    unsigned char payload[];
};
_Static_assert(offsetof(struct pti_block, payload) == 48, "payload is aligned to 16 and begins in the word's line");
#define PTI_BLOCK_HEAD 48u

/* Where item_size is above this, a block has little room of its own, and a larger message stands, with its headers, in the
 * block's side file (ring/side.h).  What is known of that file stands in the block's last bytes, written by the block's owner. */
#define PTI_INLINE_MAX ((1u << 20) + 4096u)
#define PTI_LARGE_STRIDE 4096u
struct pti_side_note {
    _Atomic uint64_t ino;   /* its inode, 0: there is none; a file with this name and another inode is not it */
    _Atomic uint64_t bytes; /* of it that have memory */
};
/* In a block's kind, beside enum pti_kind (queue/port.h). */
#define PTI_KIND_MASK 0x07u
#define PTI_KIND_TWICE 0x08u /* PTI_KIND_AGAIN: it may have been put before, by a sender who could not know */
#define PTI_KIND_PART 0x10u /* was copied out of a pack; while COPY, link is 1 + that pack */
#define PTI_KIND_UNIT 0x20u /* a pack that was published open, and is not counted yet */
#define PTI_KIND_PACK 0x40u /* holds records: struct pti_pack */

/* A pack's payload.  n has one writer, its producer, but for CLOSED of a unit, which is set by who leases it; ctl has one writer,
 * the holder of the lease. */
struct pti_pack {
    _Atomic uint64_t n;   /* CLOSED | of a unit, bytes of all messages:21 | records:21 */
    _Atomic uint64_t ctl; /* given:21 | progress:21 | counted:21 */
    unsigned char records[]; /* struct pti_record, one behind the other */
};
struct pti_record {
    _Atomic uint32_t length;
    _Atomic uint32_t type;
    unsigned char bytes[]; /* padded to 8 */
};
_Static_assert(sizeof(struct pti_pack) == 16 && sizeof(struct pti_record) == 8, "records are aligned to 8");
#define PTI_PACK_CLOSED (UINT64_C(1) << 63) /* no more will come */
#define PTI_PACK_SIZE 4096u                 /* room for records where a queue is made for packs and nothing else is said */
#define PTI_PACK_SIZE_MAX (UINT32_C(1) << 20)

/* A batch header's payload: which blocks are its elements, as runs. */
struct pti_run {
    _Atomic uint32_t first, count;
};
struct pti_batch {
    _Atomic uint64_t t0;    /* the position in the elements' words */
    _Atomic uint32_t count; /* elements in the whole batch */
    _Atomic uint32_t next;  /* 1 + the next header block of the chain; 0: none */
    _Atomic uint32_t runs;
    uint32_t reserved;
    struct pti_run run[];
};

/* ---- words */

static inline uint64_t pti_word(enum pti_state state, uint32_t owner, uint64_t position, unsigned redelivered)
{
    return position << 16 | (uint64_t)redelivered << 15 | (uint64_t)owner << 4 | (uint64_t)state;
}
static inline enum pti_state pti_word_state(uint64_t word) { return (enum pti_state)(word & 15); }
static inline uint32_t pti_word_owner(uint64_t word) { return (uint32_t)(word >> 4) & 2047; }
static inline unsigned pti_word_redelivered(uint64_t word) { return (unsigned)(word >> 15) & 1; }
static inline uint64_t pti_word_position(uint64_t word) { return word >> 16; }

static inline uint64_t pti_slot(uint64_t lap, uint32_t block) { return lap << PTI_BLOCK_BITS | block; }
static inline uint64_t pti_slot_lap(uint64_t slot) { return slot >> PTI_BLOCK_BITS; }
static inline uint32_t pti_slot_block(uint64_t slot) { return (uint32_t)slot & PTI_END_BLOCK; }

static inline uint64_t pti_journal(enum pti_operation op, uint32_t block, uint64_t count, enum pti_journal_status status)
{
    return (count & UINT32_MAX) << 32 | (uint64_t)block << 9 | (uint64_t)op << 4 | (uint64_t)status;
}
static inline enum pti_journal_status pti_journal_status(uint64_t line) { return (enum pti_journal_status)(line & 15); }
static inline enum pti_operation pti_journal_operation(uint64_t line) { return (enum pti_operation)(line >> 4 & 31); }
static inline uint32_t pti_journal_block(uint64_t line) { return (uint32_t)(line >> 9) & PTI_END_BLOCK; }
static inline uint32_t pti_journal_low(uint64_t line) { return (uint32_t)(line >> 32); }

/* A time to live fits 16 bits, rounded up by at most 0.1 %: exponent:5 | mantissa:11, milliseconds.  On its way in 0 is the
 * queue's and all ones for ever; a block bears what holds in the end, and 0 for ever. */
#define PTI_TTL_NEVER UINT16_MAX
#define PTI_TTL_MOST_MS (UINT64_C(2047) << 30) /* what is longer is for ever */
static inline uint64_t pti_ttl_pack(uint64_t ms)
{
    unsigned exponent = 0;

    while (ms > 2047) {
        ms = (ms + 1) >> 1;
        exponent++;
    }
    return (uint64_t)exponent << 11 | ms;
}
static inline uint64_t pti_stamp(uint64_t put_us, uint64_t ttl_packed)
{
    return ttl_packed << 48 | (put_us & PTI_TIME_MASK);
}
static inline uint64_t pti_stamp_put_us(uint64_t stamp) { return stamp & PTI_TIME_MASK; }
static inline uint64_t pti_stamp_ttl_ms(uint64_t stamp) { return (stamp >> 48 & 2047) << (stamp >> 59); }

/* ---- geometry */

static inline bool pti_geometry_is_large(const struct pti_geometry *g) { return g->item_size > PTI_INLINE_MAX; }

/* What is asked for; 0 for the default. */
struct pti_geometry_request {
    uint64_t capacity, window, start_laps, bytes;
    uint32_t item_size, max_deliveries, endpoints, flags;
    uint32_t header_size; /* 0: what fits well; UINT32_MAX: none */
    uint32_t full, stamps, ttl_ms, lease_ms, max_dead;
    uint32_t pack_size;
    bool packs; /* room for packs where pack_size is 0 */
};

/* Computes a geometry.  PTQ_EINVAL where a figure is out of bounds. */
enum ptq_err pti_geometry_make(const struct pti_geometry_request *request, struct pti_geometry *ret_geometry);

/* Writes header and first hints of a fresh segment (all zeroes).  `spec` may be NULL. */
void pti_header_write(void *base, const struct pti_geometry *geometry, const char *name, const char *spec,
                      const uint8_t id[16]);

/* Copies and checks the header of a segment of `size` bytes: PTQ_EVERSION, PTQ_ECORRUPT. */
enum ptq_err pti_header_read(const void *base, size_t size, struct pti_header *ret_header);

#endif
