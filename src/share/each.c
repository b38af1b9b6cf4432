/* each.c -- every cell of a share, bucket by bucket: as each was at some moment of the call. */
#include <string.h>

#include "share/away.h"

/* False: the cell that was found there is there no more. */
static bool describe(const ptq_share *share, uint64_t where, char name[static PTQ_CELL_NAME_MAX + 1], struct ptq_cell_info *info)
{
    const struct pti_entry_of_share *entry = pti_share_entry(share, pti_share_entry_of(where));
    struct pti_pair_is is;
    uint32_t size = pti_load_acquire(&entry->name_size);

    if (size == 0 || size > PTQ_CELL_NAME_MAX || !pti_pair_read(&entry->pair, &is))
        return false;
    pti_share_copy(name, entry->name, size);
    name[size] = '\0';
    if (pti_pair_is_dead(is) || !pti_share_is_at(share, where))
        return false;
    size_t own = strnlen(name, size); /* of a map its name, before the key */
    *info = (struct ptq_cell_info){.name = name, .key = own < size ? name + own + 1 : NULL, .key_size = own < size ? size - own - 1 : 0,
                                   .type = (enum ptq_cell_type)pti_pair_type(is), .version = pti_pair_version(is)};
    if (info->type == PTQ_CELL_I64)
        memcpy(&info->i64, &is.value, 8);
    else if (info->type == PTQ_CELL_U64)
        info->u64 = is.value;
    else if (info->type == PTQ_CELL_F64)
        memcpy(&info->f64, &is.value, 8);
    else
        info->size = is.value >> 32;
    return info->type >= PTQ_CELL_I64 && info->type <= PTQ_CELL_BYTES;
}

enum ptq_err pti_share_each_of(ptq_share *share, uint32_t bucket, bool (*each)(const struct ptq_cell_info *info, void *context), void *context,
                               bool *ret_stopped)
{
    uint64_t wheres[PTI_LIST_MOST];
    uint32_t count;
    enum ptq_err err = pti_share_read_bucket(share, bucket, wheres, &count);

    *ret_stopped = false;
    for (uint32_t i = 0; i < count && !*ret_stopped; i++) {
        char name[PTQ_CELL_NAME_MAX + 1];
        struct ptq_cell_info info;

        *ret_stopped = describe(share, wheres[i], name, &info) && !each(&info, context);
    }
    return err;
}

enum ptq_err ptq_share_each(ptq_share *share, bool (*each)(const struct ptq_cell_info *info, void *context), void *context)
{
    enum ptq_err err = each == NULL ? PTQ_EINVAL : pti_share_check(share);
    bool stopped = false;

    if (err == PTQ_OK && share->far != NULL)
        return pti_far_each(share, each, context);
    for (uint32_t bucket = 0; err == PTQ_OK && !stopped && bucket < share->geometry.buckets; bucket++)
        err = pti_share_each_of(share, bucket, each, context, &stopped);
    return stopped ? PTQ_OK : err;
}

struct clearing {
    ptq_share *share;
    enum ptq_err err; /* the first that was not PTQ_OK */
};

static bool delete_each(const struct ptq_cell_info *info, void *context)
{
    struct clearing *clearing = context;
    size_t size = info->key != NULL ? (size_t)((const char *)info->key - info->name) + info->key_size : strlen(info->name);
    enum ptq_err err = pti_cell_delete(clearing->share, info->name, size);

    if (err != PTQ_ENOENT && clearing->err == PTQ_OK)
        clearing->err = err;
    return true;
}

enum ptq_err ptq_share_clear(ptq_share *share)
{
    struct clearing clearing = {share, PTQ_OK};

    if (share != NULL && share->far != NULL)
        return pti_far_clear(share);
    enum ptq_err err = ptq_share_each(share, delete_each, &clearing);

    return err == PTQ_OK ? clearing.err : err;
}
