/* bytes.c -- cells of bytes: a value is written where nobody looks and swapped in; a reader copies and looks again. */
#include <string.h>

#include "share/away.h"

static enum ptq_err look(ptq_cell *cell, struct pti_entry_of_share **ret_entry, struct pti_pair_is *ret_is)
{
    if (cell->type != PTQ_CELL_BYTES)
        return PTQ_EMISMATCH;
    return pti_cell_look(cell, ret_entry, ret_is);
}

/* One look.  PTQ_EAGAIN: it was changed meanwhile. */
static enum ptq_err try_read(ptq_cell *cell, void *buffer, size_t size, size_t *ret_size, uint64_t *ret_version)
{
    struct pti_entry_of_share *entry;
    struct pti_pair_is is;
    enum ptq_err err = look(cell, &entry, &is);

    if (err != PTQ_OK)
        return err;
    size_t has = is.value >> 32;
    uint32_t block = (uint32_t)is.value;
    if (has > cell->share->geometry.value_size || (has > 0 && block >= cell->share->geometry.blocks[PTI_VALUES]))
        return PTQ_ECORRUPT;
    if (has <= size && has > 0) {
        pti_share_copy(buffer, pti_share_block(cell->share, PTI_VALUES, block), has);
        if (pti_load_acquire(&entry->pair.meta) != is.meta)
            return PTQ_EAGAIN;
    }
    *ret_size = has;
    if (ret_version != NULL)
        *ret_version = pti_pair_version(is);
    return has <= size ? PTQ_OK : PTQ_EMSGSIZE;
}

enum ptq_err ptq_cell_read(ptq_cell *cell, void *buffer, size_t size, size_t *ret_size, uint64_t *ret_version)
{
    enum ptq_err err = PTQ_EAGAIN;

    if (cell == NULL || ret_size == NULL || (buffer == NULL && size > 0))
        return PTQ_EINVAL;
    if (pti_cell_is_far(cell))
        return pti_far_read(cell, buffer, size, ret_size, ret_version);
    for (int tries = 0; err == PTQ_EAGAIN && tries < PTI_SHARE_TRIES; tries++)
        err = try_read(cell, buffer, size, ret_size, ret_version);
    return err;
}

enum ptq_err pti_cell_write(ptq_cell *cell, const uint64_t *version, const void *data, size_t size)
{
    struct pti_held held = {PTI_VALUES, PTI_NO_BLOCK, 0};
    struct pti_entry_of_share *entry;
    struct pti_pair_is is;
    bool done = false;
    enum ptq_err err = pti_share_check(cell->share);

    if (err != PTQ_OK)
        return err;
    if (pti_cell_is_far(cell))
        return pti_far_write(cell, version, data, size);
    if (size > cell->share->geometry.value_size)
        return PTQ_EMSGSIZE;
    if (size > 0) {
        err = pti_share_claim(cell->share, PTI_VALUES, &held);
        if (err != PTQ_OK)
            return err;
        pti_share_fill(pti_share_block(cell->share, PTI_VALUES, held.block), data, size);
    }
    for (int tries = 0; !done && tries < PTI_SHARE_TRIES; tries++) {
        err = look(cell, &entry, &is);
        if (err == PTQ_EAGAIN)
            continue;
        if (err == PTQ_OK && version != NULL && pti_pair_version(is) != *version)
            err = PTQ_EAGAIN;
        if (err != PTQ_OK)
            break;
        struct pti_pair_is then = {(uint64_t)size << 32 | held.block, pti_pair_next(is, PTQ_CELL_BYTES, false)};
        done = pti_pair_cas(&entry->pair, is, then);
        err = done ? PTQ_OK : PTQ_EAGAIN;
    }
    if (held.block != PTI_NO_BLOCK && done)
        pti_share_publish(cell->share, &held, (uint32_t)(entry - pti_share_entry(cell->share, 0)));
    else if (held.block != PTI_NO_BLOCK)
        pti_share_release(cell->share, &held);
    if (done)
        pti_share_tell(cell->share, entry);
    return err;
}

enum ptq_err ptq_cell_write(ptq_cell *cell, const void *data, size_t size)
{
    if (cell == NULL || (data == NULL && size > 0))
        return PTQ_EINVAL;
    return pti_cell_write(cell, NULL, data, size);
}

enum ptq_err ptq_cell_write_if(ptq_cell *cell, uint64_t version, const void *data, size_t size)
{
    if (cell == NULL || (data == NULL && size > 0))
        return PTQ_EINVAL;
    return pti_cell_write(cell, &version, data, size);
}
