/* layout.h -- the bytes of a share, "<name>~s1", and of a log, "<name>~g1": one segment each.
 *
 *    header    geometry (immutable, checksum), flags; one page
 *    users     E x u32              who lives by the lock of its byte; not 0: to be looked after before the byte is used again
 *    buckets   pairs                {count:32, list:32}: the list of the entries whose names hash to it
 *    tags      a u64 for each list, entry and value
 *    lists     64 bytes             up to 16 numbers of entries; written anew for each change
 *    entries   256 bytes            a cell: its pair, its wait word, its name
 *    values    value_size           what a pair of bytes points to: {size:32, value:32}
 *
 * A log is the same with a slot for each bucket, which points to a value itself: no lists, and one entry, for its wait word.
 * Slot i holds the records i, i + slots, ...; its version is how many it has held.
 *
 * Blocks (lists, entries, values) are claimed, written while nobody reads them, and published by the CAS of the one pair that then
 * points to them: a bucket to its list, the list to its entries, an entry to its value.  A reader copies a block and looks at the pair
 * again: the same, so the copy is whole.  What no pair points to any more is free by that alone: there is no list of
 * free blocks that a killed process could break, and nothing to be put back.
 *
 *   tag   count:40 | who:22 | state:2     FREE, HELD by endpoint `who`, PUBLISHED at place `who` (list, entry: a bucket; value: an entry, of a log a slot)
 *
 * Laws.
 * 1. Only the holder writes a block or points a pair to it, and only while it is HELD.
 * 2. PUBLISHED and not pointed to from its place any more: anybody may make it HELD, by CAS of the tag that he saw before he
 *    looked at the place (the count makes it that one).
 * 3. HELD by a living endpoint is left alone, however long it stands still: one block each at most of a kind, if no threads share a
 *    handle, and there are as many beside those in use.
 * 4. HELD by a dead one, and its lock held for reading: PUBLISHED where a pair points to it, else FREE.
 * 5. Every version only grows, of an entry, also when it is used for another cell, and of a name, also when it is made again in another
 *    entry (table.c): a CAS from what was seen earlier fails.
 * 6. An entry that is FREE points to no value, but that of one who was killed with it in hand: PUBLISHED there until it is used again.
 */
#ifndef PTQ_SHARE_LAYOUT_H
#define PTQ_SHARE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include <ptq/share.h>

#include "ring/layout.h"
#include "share/far.h"
#include "share/pair.h"

#define PTI_SHARE_MAGIC UINT64_C(0x0145524148535150) /* "PQSHARE" and 1 */
#define PTI_SHARE_LAYOUT 1u
#define PTI_SHARE_REMOVED 1u
#define PTI_LOG_HEAD 16u /* bytes before the data of a record: when, and by whom */

#define PTI_LIST_MOST 16u
#define PTI_NO_BLOCK UINT32_MAX

struct pti_share_geometry {
    uint32_t kind;
    uint32_t cells, value_size, endpoints; /* cells: of a log, slots */
    uint32_t buckets; /* a power of two; of a log, slots */
    uint32_t blocks[3]; /* lists, entries, values */
    uint32_t strides[3];
    uint32_t zero;
    uint64_t off_users, off_buckets, off_tags[3], off_blocks[3];
    uint64_t file_size;
};

struct pti_share_header {
    uint64_t magic;
    uint32_t layout;
    uint32_t byte_order; /* 1 */
    struct pti_share_geometry geometry;
    uint64_t checksum; /* of all above */
    _Alignas(PTI_LINE) _Atomic uint32_t flags;
    _Alignas(PTI_LINE) _Atomic uint64_t next; /* of a log, a hint: all records before it are there; of a
                                                 share: no cell that was deleted had a later version */
};
_Static_assert(sizeof(struct pti_share_header) <= PTI_SIGNAL_OFFSET, "the header fits its page beside the byte of wakers");

struct pti_entry_of_share {
    struct pti_pair pair;
    _Atomic uint32_t wait; /* ring/wait.h */
    _Atomic uint32_t name_size;
    _Atomic uint64_t unused[5];
    _Atomic uint64_t name[24]; /* with a final 0 */
};
_Static_assert(sizeof(struct pti_entry_of_share) == 256, "whole lines: cells do not disturb each other");
_Static_assert(PTQ_CELL_NAME_MAX == sizeof(((struct pti_entry_of_share *)0)->name) - 1, "names fit");

enum pti_tag_state { PTI_TAG_FREE = 0, PTI_TAG_HELD = 1, PTI_TAG_PUBLISHED = 2 };

static inline uint64_t pti_tag_next(uint64_t tag, enum pti_tag_state state, uint32_t who)
{
    return ((tag >> 24) + 1) << 24 | (uint64_t)(who & 0x3fffffu) << 2 | state;
}
static inline enum pti_tag_state pti_tag_state(uint64_t tag) { return (enum pti_tag_state)(tag & 3); }
static inline uint32_t pti_tag_who(uint64_t tag) { return (uint32_t)(tag >> 2) & 0x3fffffu; }

#endif
