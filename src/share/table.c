/* table.c -- names: each bucket points to a list of its entries, which is written anew for every change.
 *
 *   make     an entry is claimed and written, then a list with it; ONE CAS of the bucket puts both in
 *   delete   ONE CAS of the entry's pair: dead (cell.c); whoever meets it writes a list without it, and whoever finds no room looks for
 *            those that were left by somebody killed between the two
 *
 * Law: a cell that is made again goes on above every version that a cell of its name ever had.  The header has a mark: no cell that was
 * deleted had a later version.  Raised before the CAS that kills; looked at after the name was found to be nobody's.
 */
#include <string.h>

#include "base/hash.h"
#include "share/share.h"

uint32_t pti_share_bucket(const ptq_share *share, const char *name, size_t size)
{
    uint64_t hash = pti_hash(name, size);

    return (uint32_t)(hash ^ hash >> 29 ^ hash >> 45) & (share->geometry.buckets - 1);
}

/* ---- lists */

static bool is_still(const struct pti_pair *pair, struct pti_pair_is is)
{
    return pti_load_acquire(&pair->meta) == is.meta;
}

/* PTQ_EAGAIN: it changed meanwhile. */
static enum ptq_err try_read_list(const ptq_share *share, uint32_t bucket, struct pti_list *list)
{
    const struct pti_pair *pair = &share->buckets[bucket];

    if (!pti_pair_read(pair, &list->is))
        return PTQ_EAGAIN;
    list->count = (uint32_t)(list->is.value >> 32);
    if (list->count == 0)
        return PTQ_OK;
    uint32_t block = (uint32_t)list->is.value;
    if (list->count > PTI_LIST_MOST || block >= share->geometry.blocks[PTI_LISTS])
        return PTQ_ECORRUPT;
    pti_share_copy(list->entries, pti_share_block(share, PTI_LISTS, block), list->count * sizeof list->entries[0]);
    if (!is_still(pair, list->is))
        return PTQ_EAGAIN;
    for (uint32_t i = 0; i < list->count; i++)
        if (list->entries[i] >= share->geometry.blocks[PTI_ENTRIES])
            return PTQ_ECORRUPT;
    return PTQ_OK;
}

enum ptq_err pti_share_read_list(const ptq_share *share, uint32_t bucket, struct pti_list *ret_list)
{
    enum ptq_err err = PTQ_EAGAIN;

    for (int tries = 0; err == PTQ_EAGAIN && tries < PTI_SHARE_TRIES; tries++)
        err = try_read_list(share, bucket, ret_list);
    return err;
}

/* Points the bucket to `list`, whose pair is what was seen.  PTQ_EAGAIN: it is another one now; PTQ_EBUSY: no block for it. */
static enum ptq_err write_list(ptq_share *share, uint32_t bucket, const struct pti_list *list)
{
    struct pti_pair_is then = {0, pti_pair_next(list->is, 0, false)};
    struct pti_held held;

    if (list->count == 0)
        return pti_pair_cas(&share->buckets[bucket], list->is, then) ? PTQ_OK : PTQ_EAGAIN;
    if (pti_share_claim(share, PTI_LISTS, &held) != PTQ_OK)
        return PTQ_EBUSY;
    pti_share_fill(pti_share_block(share, PTI_LISTS, held.block), list->entries, list->count * sizeof list->entries[0]);
    then.value = (uint64_t)list->count << 32 | held.block;
    if (!pti_pair_cas(&share->buckets[bucket], list->is, then)) {
        pti_share_release(share, &held);
        return PTQ_EAGAIN;
    }
    pti_share_publish(share, &held, bucket);
    return PTQ_OK;
}

/* Takes a dead entry out.  It does not matter who does it, nor that it fails: the next one comes. */
static enum ptq_err take_out(ptq_share *share, uint32_t bucket, struct pti_list *list, uint32_t at)
{
    list->entries[at] = list->entries[--list->count];
    return write_list(share, bucket, list);
}

/* The same for all that are dead, whatever they are called.  PTQ_ENOENT: none is. */
static enum ptq_err take_out_dead(ptq_share *share, uint32_t bucket, struct pti_list *list)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < list->count; i++) {
        struct pti_pair_is is;

        if (!pti_pair_read(&pti_share_entry(share, list->entries[i])->pair, &is) || !pti_pair_is_dead(is))
            list->entries[count++] = list->entries[i];
    }
    if (count == list->count)
        return PTQ_ENOENT;
    list->count = count;
    return write_list(share, bucket, list);
}

/* In every bucket: when there is no entry left. */
static void sweep(ptq_share *share)
{
    for (uint32_t bucket = 0; bucket < share->geometry.buckets; bucket++) {
        struct pti_list list;

        for (int tries = 0; tries < 3 && pti_share_read_list(share, bucket, &list) == PTQ_OK; tries++)
            if (take_out_dead(share, bucket, &list) != PTQ_EAGAIN)
                break;
    }
}

/* ---- finding */

static bool is_named(const ptq_share *share, uint32_t entry, const char *name, size_t size)
{
    const struct pti_entry_of_share *it = pti_share_entry(share, entry);
    char copy[sizeof it->name];

    if (pti_load_acquire(&it->name_size) != size)
        return false;
    pti_share_copy(copy, it->name, size);
    return memcmp(copy, name, size) == 0;
}

/* Its maker may stand between the CAS of the bucket and the tag: said for him, so that the tag of what was found stays.
 * PTQ_EAGAIN: something moved. */
static enum ptq_err settle_tag(ptq_share *share, uint32_t bucket, const struct pti_list *list, uint32_t entry, uint64_t *ret_where)
{
    _Atomic uint64_t *word = &share->kinds[PTI_ENTRIES].tags[entry];
    uint64_t tag = pti_load_acquire(word);

    if (!is_still(&share->buckets[bucket], list->is))
        return PTQ_EAGAIN;
    if (pti_tag_state(tag) == PTI_TAG_HELD) {
        uint64_t then = pti_tag_next(tag, PTI_TAG_PUBLISHED, bucket);

        if (!pti_cas(word, &tag, then))
            return PTQ_EAGAIN;
        tag = then;
    }
    *ret_where = tag >> 24 << 24 | entry;
    return pti_tag_state(tag) == PTI_TAG_PUBLISHED ? PTQ_OK : PTQ_ECORRUPT; /* it was listed when its tag was read */
}

/* One look.  PTQ_EAGAIN: something moved, look again; PTQ_ENOENT: *list is what a new entry is added to. */
static enum ptq_err look(ptq_share *share, const char *name, size_t size, uint32_t bucket, struct pti_list *list,
                         uint64_t *ret_where, struct pti_pair_is *ret_is)
{
    enum ptq_err err = try_read_list(share, bucket, list);

    if (err != PTQ_OK)
        return err;
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t entry = list->entries[i];
        uint64_t where;

        if (!is_named(share, entry, name, size))
            continue;
        err = settle_tag(share, bucket, list, entry, &where);
        if (err == PTQ_OK && !pti_pair_read(&pti_share_entry(share, entry)->pair, ret_is))
            err = PTQ_EAGAIN;
        if (err != PTQ_OK)
            return err;
        if (pti_pair_is_dead(*ret_is)) {
            err = take_out(share, bucket, list, i);
            return err == PTQ_EBUSY ? PTQ_EBUSY : PTQ_EAGAIN;
        }
        if (!pti_share_is_at(share, where))
            return PTQ_EAGAIN;
        *ret_where = where;
        return PTQ_OK;
    }
    return is_still(&share->buckets[bucket], list->is) ? PTQ_ENOENT : PTQ_EAGAIN;
}

enum ptq_err pti_share_seek(ptq_share *share, const char *name, size_t size, uint64_t *ret_where, struct pti_pair_is *ret_is)
{
    uint32_t bucket = pti_share_bucket(share, name, size);
    struct pti_list list;
    enum ptq_err err = PTQ_EAGAIN;

    for (int tries = 0; err == PTQ_EAGAIN && tries < PTI_SHARE_TRIES; tries++)
        err = look(share, name, size, bucket, &list, ret_where, ret_is);
    return err == PTQ_EBUSY ? PTQ_ENOENT : err; /* it is dead, though it could not be taken out */
}

enum ptq_err pti_share_read_bucket(ptq_share *share, uint32_t bucket, uint64_t ret_wheres[static PTI_LIST_MOST], uint32_t *ret_count)
{
    struct pti_list list;
    enum ptq_err err = PTQ_EAGAIN;

    for (int tries = 0; err == PTQ_EAGAIN && tries < PTI_SHARE_TRIES; tries++) {
        err = try_read_list(share, bucket, &list);
        for (uint32_t i = 0; err == PTQ_OK && i < list.count; i++)
            err = settle_tag(share, bucket, &list, list.entries[i], &ret_wheres[i]);
    }
    *ret_count = err == PTQ_OK ? list.count : 0;
    return err;
}

/* ---- making */

/* A new cell in an entry that is ours: nobody else writes its pair, but who saw a cell that was there before may still try. */
static enum ptq_err write_first(ptq_share *share, const struct pti_held *held, unsigned type, const void *first, size_t first_size,
                                struct pti_held *value)
{
    struct pti_entry_of_share *entry = pti_share_entry(share, held->block);
    struct pti_pair_is is, then = {(uint64_t)first_size << 32 | PTI_NO_BLOCK, 0};

    if (type == PTQ_CELL_BYTES && first_size > 0) {
        enum ptq_err err = pti_share_claim(share, PTI_VALUES, value);

        if (err != PTQ_OK)
            return err;
        pti_share_fill(pti_share_block(share, PTI_VALUES, value->block), first, first_size);
        then.value = (uint64_t)first_size << 32 | value->block;
    } else if (type != PTQ_CELL_BYTES) {
        memcpy(&then.value, first, sizeof then.value);
    }
    do {
        if (!pti_pair_read(&entry->pair, &is))
            return PTQ_EAGAIN;
        then.meta = pti_pair_next(is, type, false);
    } while (!pti_pair_cas(&entry->pair, is, then));
    return PTQ_OK;
}

struct making {
    struct pti_held entry, value;
    bool has_entry;
};

static enum ptq_err prepare(ptq_share *share, const char *name, size_t size, unsigned type, const void *first, size_t first_size,
                            struct making *making)
{
    struct pti_entry_of_share *entry;
    enum ptq_err err = pti_share_claim(share, PTI_ENTRIES, &making->entry);

    if (err == PTQ_EAGAIN) {
        sweep(share);
        err = pti_share_claim(share, PTI_ENTRIES, &making->entry);
    }
    if (err != PTQ_OK)
        return err;
    making->has_entry = true;
    entry = pti_share_entry(share, making->entry.block);
    pti_share_fill(entry->name, name, size);
    pti_store_release(&entry->name_size, (uint32_t)size);
    making->value.block = PTI_NO_BLOCK;
    return write_first(share, &making->entry, type, first, first_size, &making->value);
}

/* Nobody but us writes the pair of an entry that is ours.  False: try again. */
static bool goes_on_above(ptq_share *share, const struct pti_held *held)
{
    struct pti_pair *pair = &pti_share_entry(share, held->block)->pair;
    uint64_t mark = pti_load_seq(&share->header->next);
    struct pti_pair_is is, then;

    if (!pti_pair_read(pair, &is))
        return false;
    then = (struct pti_pair_is){is.value, pti_pair_meta(mark + 1, pti_pair_type(is), false)};
    return pti_pair_version(is) > mark || pti_pair_cas(pair, is, then);
}

/* Law: an entry that is let go points nowhere.  Its value is the next one's then, and whoever is killed with that in hand must be found to
 * have it in one place: his own. */
static void point_nowhere(ptq_share *share, const struct pti_held *held)
{
    struct pti_pair *pair = &pti_share_entry(share, held->block)->pair;
    struct pti_pair_is is;

    while (pti_pair_read(pair, &is) && !pti_pair_cas(pair, is, (struct pti_pair_is){0, pti_pair_next(is, pti_pair_type(is), true)}))
        ;
}

static void finish(ptq_share *share, const struct making *making, bool is_in, uint32_t bucket)
{
    if (!making->has_entry)
        return;
    if (is_in) {
        pti_share_publish(share, &making->entry, bucket);
    } else {
        point_nowhere(share, &making->entry);
        pti_share_release(share, &making->entry);
    }
    if (making->value.block == PTI_NO_BLOCK)
        return;
    if (is_in)
        pti_share_publish(share, &making->value, making->entry.block);
    else
        pti_share_release(share, &making->value);
}

enum ptq_err pti_share_make(ptq_share *share, const char *name, size_t size, unsigned type, const void *first, size_t first_size,
                            bool *ret_made, uint64_t *ret_where, struct pti_pair_is *ret_is)
{
    uint32_t bucket = pti_share_bucket(share, name, size);
    struct making making = {.value.block = PTI_NO_BLOCK};
    bool is_in = false;
    struct pti_list list;
    enum ptq_err err = PTQ_EAGAIN;

    for (int tries = 0; err == PTQ_EAGAIN && tries < PTI_SHARE_TRIES; tries++) {
        err = look(share, name, size, bucket, &list, ret_where, ret_is);
        if (err != PTQ_ENOENT)
            continue; /* found; or look again, also for what we have put in */
        if (!making.has_entry && (err = prepare(share, name, size, type, first, first_size, &making)) != PTQ_OK)
            break;
        if (is_in)
            break; /* deleted again already */
        if (list.count == PTI_LIST_MOST) {
            err = take_out_dead(share, bucket, &list) == PTQ_ENOENT ? PTQ_EBUSY : PTQ_EAGAIN; /* no room for it; or now there is */
            continue;
        }
        if (!goes_on_above(share, &making.entry)) {
            err = PTQ_EAGAIN;
            continue;
        }
        list.entries[list.count++] = making.entry.block;
        err = write_list(share, bucket, &list);
        is_in = err == PTQ_OK;
        if (is_in)
            err = PTQ_EAGAIN;
    }
    finish(share, &making, is_in, bucket);
    *ret_made = is_in;
    return err == PTQ_EBUSY ? PTQ_EAGAIN : err;
}
