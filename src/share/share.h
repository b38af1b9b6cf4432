/* share.h -- a share's handle as the files of this room see it.
 *
 *   open.c   made, found, attached, removed      block.c   claiming and publishing of blocks
 *   table.c  names                               cell.c    numbers, handles, deletion
 *   bytes.c  values of bytes                     map.c     maps and sets: cells with a key
 *   each.c   all of them, one after the other    log.c     the same memory as a log: records in order
 *   wait.c   sleeping until a cell changes
 *   far.c    all of it on another host           do.c      ... and at that host: far.h is the joint, away.h for us
 */
#ifndef PTQ_SHARE_SHARE_H
#define PTQ_SHARE_SHARE_H

#include <pthread.h>

#include <ptq/log.h>
#include <ptq/share.h>

#include "base/fork.h"
#include "bus/bus.h"
#include "os/segment.h"
#include "share/layout.h"

enum pti_block_kind { PTI_LISTS = 0, PTI_ENTRIES = 1, PTI_VALUES = 2 };

struct ptq_share {
    ptq_bus *bus;
    struct pti_far *far; /* it is on another host: of the rest only kind, name, generation and value_size are used; NULL: here */
    enum pti_share_kind kind;
    char name[PTQ_NAME_MAX + 1];
    struct pti_segment segment;
    uint32_t generation; /* fork.h */
    uint32_t me;         /* our endpoint */
    struct pti_share_geometry geometry; /* as it was checked */
    struct pti_share_header *header;
    _Atomic uint32_t *users;
    struct pti_pair *buckets;
    struct {
        _Atomic uint64_t *tags;
        char *blocks;
        _Atomic uint32_t next; /* where the search for one begins; process-private */
    } kinds[3];
    pthread_mutex_t dead_mutex; /* locks of the dead do not exclude within a handle */
};

#define PTI_SHARE_TRIES 10000 /* of a call that others overtake; then it says so */
#define PTI_NAME_ROOM (PTQ_CELL_NAME_MAX + 1)

struct ptq_cell {
    ptq_share *share;
    enum ptq_cell_type type;
    _Atomic uint64_t where; /* count of the entry's tag:40 | entry:24, as it was found last */
    size_t name_size;
    _Atomic uint64_t told_version; /* of another host's: what the home said last, and when it was asked for that; 0: never */
    _Atomic int64_t told_ns;
    char *name; /* with a final 0; a key of a map has one inside, too */
};

struct ptq_log {
    ptq_share *share;
};

/* PTQ_OK, PTQ_EINVAL, PTQ_EFORKED or PTQ_EGONE: first in every call. */
static inline enum ptq_err pti_share_check(const ptq_share *share)
{
    if (share == NULL)
        return PTQ_EINVAL;
    if (share->generation != pti_fork_generation())
        return PTQ_EFORKED;
    return pti_load_acquire(&share->header->flags) & PTI_SHARE_REMOVED ? PTQ_EGONE : PTQ_OK;
}

static inline struct pti_entry_of_share *pti_share_entry(const ptq_share *share, uint32_t entry)
{
    return (struct pti_entry_of_share *)share->kinds[PTI_ENTRIES].blocks + entry;
}
static inline _Atomic uint64_t *pti_share_block(const ptq_share *share, enum pti_block_kind kind, uint32_t block)
{
    return (_Atomic uint64_t *)(share->kinds[kind].blocks + (size_t)block * share->geometry.strides[kind]);
}

/* Is the entry still that of the cell that was found there?  After a look at its pair: then the pair was the cell's. */
static inline uint32_t pti_share_entry_of(uint64_t where) { return (uint32_t)where & 0xffffffu; }
static inline bool pti_share_is_at(const ptq_share *share, uint64_t where)
{
    uint64_t tag = pti_load_acquire(&share->kinds[PTI_ENTRIES].tags[pti_share_entry_of(where)]);

    return tag >> 24 == where >> 24 && pti_tag_state(tag) == PTI_TAG_PUBLISHED;
}

/* -- open.c: what ptq_share_open (far.h) and its likes do, also for logs -- */
enum ptq_err pti_share_unlink(ptq_bus *bus, enum pti_share_kind kind, const char *name, bool force);
enum ptq_err pti_share_list(ptq_bus *bus, enum pti_share_kind kind, bool (*each)(const char *name, void *context), void *context);

/* -- block.c -- */

/* Bytes in and out of a block, by whole words: a reader may look at what a writer is about to write anew. */
void pti_share_fill(_Atomic uint64_t *block, const void *data, size_t size);
void pti_share_copy(void *buffer, const _Atomic uint64_t *block, size_t size);

/* A block that this call holds: by its tag, for other threads of this handle hold others as the same endpoint. */
struct pti_held {
    enum pti_block_kind kind;
    uint32_t block;
    uint64_t tag;
};
/* Makes a block ours.  PTQ_EAGAIN: there is none. */
enum ptq_err pti_share_claim(ptq_share *share, enum pti_block_kind kind, struct pti_held *ret_held);
/* It is pointed to from `place`; or not from anywhere. */
void pti_share_publish(ptq_share *share, const struct pti_held *held, uint32_t place);
void pti_share_release(ptq_share *share, const struct pti_held *held);
/* Whatever a past life of this endpoint held is settled.  Its lock is held. */
void pti_share_settle(ptq_share *share, uint32_t endpoint);

/* -- table.c -- */

/* The entries that a bucket lists, together with the pair that pointed to the list. */
struct pti_list {
    struct pti_pair_is is;
    uint32_t count;
    uint32_t entries[PTI_LIST_MOST];
};
enum ptq_err pti_share_read_list(const ptq_share *share, uint32_t bucket, struct pti_list *ret_list);

uint32_t pti_share_bucket(const ptq_share *share, const char *name, size_t size);
/* Every cell in a bucket, as struct ptq_cell has it in `where`.  PTQ_ECORRUPT, PTQ_EAGAIN. */
enum ptq_err pti_share_read_bucket(ptq_share *share, uint32_t bucket, uint64_t ret_wheres[static PTI_LIST_MOST], uint32_t *ret_count);
/* *ret_where as in struct ptq_cell; *ret_is what was in it.  PTQ_ENOENT, PTQ_ECORRUPT, PTQ_EAGAIN. */
enum ptq_err pti_share_seek(ptq_share *share, const char *name, size_t size, uint64_t *ret_where, struct pti_pair_is *ret_is);
/* The same; where there is none it is made, with the first value that `first` gives it (type in its meta). */
enum ptq_err pti_share_make(ptq_share *share, const char *name, size_t size, unsigned type, const void *first, size_t first_size,
                            bool *ret_made, uint64_t *ret_where, struct pti_pair_is *ret_is);

/* -- wait.c -- */
/* Sleeps on an entry's wait word until look(context) answers otherwise than PTQ_EMPTY, which it then is; PTQ_TIMEDOUT, PTQ_EINTR. */
enum ptq_err pti_share_wait(ptq_share *share, _Atomic uint32_t *(*word)(void *context), enum ptq_err (*look)(void *context), void *context,
                            int timeout_ms);
void pti_share_tell(ptq_share *share, struct pti_entry_of_share *entry);

/* header->next, which only grows: of a share, a version; of a log, a position. */
static inline void pti_share_raise(ptq_share *share, uint64_t next)
{
    uint64_t seen = pti_load_seq(&share->header->next);

    while (seen < next && !pti_cas(&share->header->next, &seen, next))
        ;
}

/* -- cell.c -- */

/* Dead by one CAS; then taken out of its list. */
enum ptq_err pti_cell_delete(ptq_share *share, const char *name, size_t size);

/* -- bytes.c -- */
/* version NULL: whatever it is. */
enum ptq_err pti_cell_write(ptq_cell *cell, const uint64_t *version, const void *data, size_t size);

/* Finds the cell's entry and what is in it; the entry is the cell's as long as its pair does not change. */
enum ptq_err pti_cell_look(ptq_cell *cell, struct pti_entry_of_share **ret_entry, struct pti_pair_is *ret_is);

#endif
