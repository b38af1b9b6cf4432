/* map.c -- maps and sets: a key is a cell whose name is that of the map, a 0, and the key. */
#include <string.h>

#include "share/away.h"

/* A cell on the stack. */
struct entry {
    ptq_cell cell;
    char name[PTI_NAME_ROOM];
};

/* PTQ_OK, or what is wrong with what was given. */
static enum ptq_err name_entry(ptq_share *share, const char *map, const void *key, size_t key_size, struct entry *entry)
{
    size_t length = map != NULL ? strnlen(map, PTQ_CELL_NAME_MAX) : 0;
    enum ptq_err err = pti_share_check(share);

    if (err != PTQ_OK)
        return err;
    if (length == 0 || key == NULL || key_size == 0 || key_size >= PTQ_CELL_NAME_MAX - length)
        return PTQ_EINVAL;
    memcpy(entry->name, map, length);
    entry->name[length] = '\0';
    memcpy(entry->name + length + 1, key, key_size);
    entry->cell = (ptq_cell){.share = share, .type = PTQ_CELL_BYTES, .name = entry->name, .name_size = length + 1 + key_size};
    return PTQ_OK;
}

static enum ptq_err seek(struct entry *entry)
{
    struct pti_pair_is is;
    uint64_t where;
    enum ptq_err err = pti_share_seek(entry->cell.share, entry->cell.name, entry->cell.name_size, &where, &is);

    if (err == PTQ_OK)
        pti_store_relaxed(&entry->cell.where, where);
    return err;
}

static enum ptq_err make(struct entry *entry, const void *data, size_t size, bool *ret_made)
{
    struct pti_pair_is is;
    uint64_t where;
    enum ptq_err err = pti_share_make(entry->cell.share, entry->cell.name, entry->cell.name_size, PTQ_CELL_BYTES, data, size, ret_made,
                                      &where, &is);

    if (err == PTQ_OK)
        pti_store_relaxed(&entry->cell.where, where);
    return err;
}

enum ptq_err ptq_map_set(ptq_share *share, const char *map, const void *key, size_t key_size, const void *data, size_t size)
{
    struct entry entry;
    enum ptq_err err = name_entry(share, map, key, key_size, &entry);

    if (err != PTQ_OK)
        return err;
    if (data == NULL && size > 0)
        return PTQ_EINVAL;
    if (size > share->geometry.value_size)
        return PTQ_EMSGSIZE;
    if (share->far != NULL)
        return pti_far_map_set(share, entry.name, entry.cell.name_size, data, size);
    for (int tries = 0; tries < PTI_SHARE_TRIES; tries++) {
        bool made = false;
        err = make(&entry, data, size, &made);
        if (err == PTQ_OK && !made)
            err = pti_cell_write(&entry.cell, NULL, data, size);
        if (err != PTQ_ENOENT)
            return err;
    } /* it was removed between the two */
    return PTQ_EAGAIN;
}

enum ptq_err ptq_map_get(ptq_share *share, const char *map, const void *key, size_t key_size, void *buffer, size_t size,
                         size_t *ret_size, uint64_t *ret_version)
{
    struct entry entry;
    enum ptq_err err = name_entry(share, map, key, key_size, &entry);

    if (err == PTQ_OK && share->far == NULL)
        err = seek(&entry);
    return err == PTQ_OK ? ptq_cell_read(&entry.cell, buffer, size, ret_size, ret_version) : err;
}

enum ptq_err ptq_map_remove(ptq_share *share, const char *map, const void *key, size_t key_size)
{
    struct entry entry;
    enum ptq_err err = name_entry(share, map, key, key_size, &entry);

    return err == PTQ_OK ? pti_cell_delete(share, entry.cell.name, entry.cell.name_size) : err;
}

enum ptq_err ptq_set_add(ptq_share *share, const char *set, const void *key, size_t key_size)
{
    struct entry entry;
    bool made = false;
    enum ptq_err err = name_entry(share, set, key, key_size, &entry);

    if (err == PTQ_OK && share->far != NULL)
        return pti_far_set_add(share, entry.name, entry.cell.name_size);
    if (err == PTQ_OK)
        err = make(&entry, NULL, 0, &made);
    if (made) /* perhaps removed again already */
        return PTQ_OK;
    return err == PTQ_OK ? PTQ_EALREADY : err;
}

enum ptq_err ptq_set_has(ptq_share *share, const char *set, const void *key, size_t key_size)
{
    struct entry entry;
    enum ptq_err err = name_entry(share, set, key, key_size, &entry);

    if (err == PTQ_OK && share->far != NULL)
        return pti_far_has(share, entry.name, entry.cell.name_size);
    return err == PTQ_OK ? seek(&entry) : err;
}

enum ptq_err ptq_set_remove(ptq_share *share, const char *set, const void *key, size_t key_size)
{
    return ptq_map_remove(share, set, key, key_size);
}

struct each {
    const char *map;
    bool (*each)(const struct ptq_cell_info *info, void *context);
    void *context;
};

static bool pass_on(const struct ptq_cell_info *info, void *context)
{
    const struct each *each = context;

    return info->key == NULL || strcmp(info->name, each->map) != 0 || each->each(info, each->context);
}

enum ptq_err ptq_map_each(ptq_share *share, const char *map, bool (*each)(const struct ptq_cell_info *info, void *context), void *context)
{
    if (map == NULL || each == NULL)
        return PTQ_EINVAL;
    return ptq_share_each(share, pass_on, &(struct each){map, each, context});
}
