/* block.c -- claiming and publishing blocks: the laws of layout.h. */
#include <string.h>

#include "os/life.h"
#include "share/share.h"

void pti_share_fill(_Atomic uint64_t *block, const void *data, size_t size)
{
    const char *from = data;

    for (; size >= 8; size -= 8, from += 8, block++) {
        uint64_t word;

        memcpy(&word, from, 8);
        pti_store_release(block, word);
    }
    if (size > 0) {
        uint64_t word = 0;

        memcpy(&word, from, size);
        pti_store_release(block, word);
    }
}

/* Acquire: whoever reads a word of the next writer here sees, in the pair, what that one saw before he took the block. */
void pti_share_copy(void *buffer, const _Atomic uint64_t *block, size_t size)
{
    char *to = buffer;

    for (; size >= 8; size -= 8, to += 8, block++) {
        uint64_t word = pti_load_acquire(block);

        memcpy(to, &word, 8);
    }
    if (size > 0) {
        uint64_t word = pti_load_acquire(block);

        memcpy(to, &word, size);
    }
}

/* ---- is it pointed to? */

/* It is, it is not; or it changes all the while, or is damaged, and nobody can tell. */
enum points { NO, YES, PERHAPS };

static enum points lists_entry(const ptq_share *share, uint32_t bucket, uint32_t entry)
{
    struct pti_list list;

    if (pti_share_read_list(share, bucket, &list) != PTQ_OK)
        return PERHAPS;
    for (uint32_t i = 0; i < list.count; i++)
        if (list.entries[i] == entry)
            return YES;
    return NO;
}

static enum points points_to_list(const ptq_share *share, uint32_t bucket, uint32_t list)
{
    struct pti_pair_is is;

    if (!pti_pair_read(&share->buckets[bucket], &is))
        return PERHAPS;
    return is.value >> 32 != 0 && (uint32_t)is.value == list ? YES : NO;
}

static enum points slot_points_to(const ptq_share *share, uint32_t slot, uint32_t value)
{
    struct pti_pair_is is;

    if (!pti_pair_read(&share->buckets[slot], &is))
        return PERHAPS;
    return pti_pair_version(is) != 0 && (uint32_t)is.value == value ? YES : NO;
}

static enum points points_to_value(const ptq_share *share, uint32_t entry, uint32_t value)
{
    struct pti_pair_is is;

    if (!pti_pair_read(&pti_share_entry(share, entry)->pair, &is))
        return PERHAPS;
    return !pti_pair_is_dead(is) && pti_pair_type(is) == PTQ_CELL_BYTES && (uint32_t)is.value == value ? YES : NO;
}

/* What another process wrote is no place in our memory before it was compared. */
static enum points is_pointed_to(const ptq_share *share, enum pti_block_kind kind, uint32_t place, uint32_t block)
{
    if (kind == PTI_VALUES && share->geometry.kind == PTI_SHARE_LOG)
        return place < share->geometry.buckets ? slot_points_to(share, place, block) : NO;
    if (kind == PTI_VALUES)
        return place < share->geometry.blocks[PTI_ENTRIES] ? points_to_value(share, place, block) : NO;
    if (place >= share->geometry.buckets)
        return NO;
    return kind == PTI_LISTS ? points_to_list(share, place, block) : lists_entry(share, place, block);
}

static enum points find_place(const ptq_share *share, enum pti_block_kind kind, uint32_t block, uint32_t *ret_place)
{
    bool in_entries = kind == PTI_VALUES && share->geometry.kind == PTI_SHARE_CELLS;
    uint32_t places = in_entries ? share->geometry.blocks[PTI_ENTRIES] : share->geometry.buckets;
    enum points found = NO;

    for (uint32_t place = 0; place < places; place++) {
        enum points points = is_pointed_to(share, kind, place, block);

        if (points == YES) {
            *ret_place = place;
            return YES;
        }
        found = points == PERHAPS ? PERHAPS : found;
    }
    return found;
}

/* ---- the dead */

/* Law 4.  Its holder publishes nothing any more, so what no pair points to now none will. */
static void settle_block(ptq_share *share, enum pti_block_kind kind, uint32_t block, uint64_t tag)
{
    uint32_t place = 0;
    enum points points = find_place(share, kind, block, &place);

    if (points != PERHAPS) /* then it stays as it is, for the next who asks */
        pti_cas(&share->kinds[kind].tags[block], &tag, pti_tag_next(tag, points == YES ? PTI_TAG_PUBLISHED : PTI_TAG_FREE, place));
}

void pti_share_settle(ptq_share *share, uint32_t endpoint)
{
    for (unsigned kind = PTI_LISTS; kind <= PTI_VALUES; kind++)
        for (uint32_t block = 0; block < share->geometry.blocks[kind]; block++) {
            uint64_t tag = pti_load_acquire(&share->kinds[kind].tags[block]);

            if (pti_tag_state(tag) == PTI_TAG_HELD && pti_tag_who(tag) == endpoint)
                settle_block(share, (enum pti_block_kind)kind, block, tag);
        }
}

/* A number that no endpoint has, in a damaged tag, belongs to nobody alive. */
static void settle_if_dead(ptq_share *share, enum pti_block_kind kind, uint32_t block, uint64_t tag)
{
    uint32_t who = pti_tag_who(tag);
    bool is_endpoint = who < share->geometry.endpoints;

    if (who == share->me)
        return; /* another thread of this handle; and the lock of our own byte would look free */
    pthread_mutex_lock(&share->dead_mutex);
    if (!is_endpoint || pti_life_lock_read(share->segment.fd, who) == 0) {
        settle_block(share, kind, block, tag);
        if (is_endpoint)
            pti_life_unlock(share->segment.fd, who);
    }
    pthread_mutex_unlock(&share->dead_mutex);
}

/* ---- claiming */

static bool try_claim(ptq_share *share, enum pti_block_kind kind, uint32_t block, bool ask_the_dead, uint64_t *ret_tag)
{
    _Atomic uint64_t *word = &share->kinds[kind].tags[block];
    uint64_t tag = pti_load_acquire(word);

    if (pti_tag_state(tag) == PTI_TAG_HELD && ask_the_dead) {
        settle_if_dead(share, kind, block, tag);
        tag = pti_load_acquire(word);
    }
    if (pti_tag_state(tag) == PTI_TAG_HELD || (pti_tag_state(tag) == PTI_TAG_PUBLISHED &&
                                               is_pointed_to(share, kind, pti_tag_who(tag), block) != NO))
        return false;
    *ret_tag = pti_tag_next(tag, PTI_TAG_HELD, share->me);
    return pti_cas(word, &tag, *ret_tag);
}

/* The search goes round, so what was let go last is taken last: readers have the more time for it. */
enum ptq_err pti_share_claim(ptq_share *share, enum pti_block_kind kind, struct pti_held *ret_held)
{
    uint32_t count = share->geometry.blocks[kind];
    uint32_t first = pti_load_relaxed(&share->kinds[kind].next);

    for (int ask_the_dead = 0; ask_the_dead < 2; ask_the_dead++)
        for (uint32_t i = 0; i < count; i++) {
            uint32_t block = (uint32_t)(((uint64_t)first + i) % count);
            uint64_t tag;

            if (!try_claim(share, kind, block, ask_the_dead, &tag))
                continue;
            pti_store_relaxed(&share->kinds[kind].next, (block + 1) % count);
            *ret_held = (struct pti_held){kind, block, tag};
            return PTQ_OK;
        }
    return PTQ_EAGAIN;
}

/* Whoever found an entry in its list may have said so for us (table.c); then the tag is another one. */
static void let_go(ptq_share *share, const struct pti_held *held, enum pti_tag_state state, uint32_t place)
{
    uint64_t tag = held->tag;

    pti_cas(&share->kinds[held->kind].tags[held->block], &tag, pti_tag_next(tag, state, place));
}

void pti_share_publish(ptq_share *share, const struct pti_held *held, uint32_t place)
{
    let_go(share, held, PTI_TAG_PUBLISHED, place);
}

void pti_share_release(ptq_share *share, const struct pti_held *held)
{
    let_go(share, held, PTI_TAG_FREE, 0);
}
