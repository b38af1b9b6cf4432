/* log.c -- records in order, which everyone appends to and everyone reads: the oldest go when it is full.
 *
 * Record p stands in slot p % slots, whose version is then p / slots + 1: the slot's next record is written by one compare-and-swap from
 * the version before, which is also how who comes second learns that it is taken, and how a reader learns that it is gone.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "ring/wait.h"
#include "share/away.h"

/* Before the data of a record. */
struct head {
    int64_t unix_ms;
    int64_t pid;
};
_Static_assert(sizeof(struct head) == PTI_LOG_HEAD, "as the header of the log counts it");

static struct pti_pair *slot_of(const ptq_share *share, uint64_t position)
{
    return &share->buckets[position % share->geometry.buckets];
}

/* The version of the slot when it holds that record. */
static uint64_t version_of(const ptq_share *share, uint64_t position) { return position / share->geometry.buckets + 1; }

static enum ptq_err check(const ptq_log *log) { return log == NULL ? PTQ_EINVAL : pti_share_check(log->share); }

/* ---- life */

enum ptq_err ptq_log_open(ptq_bus *bus, const char *name, const struct ptq_log_options *options, ptq_log **ret_log)
{
    struct ptq_log_options ask = options != NULL ? *options : (struct ptq_log_options){0};
    struct ptq_share_options of_share = {.mode = ask.mode, .wait_ms = ask.wait_ms, .group = ask.group, .cells = ask.capacity,
                                         .value_size = ask.item_size != 0 ? ask.item_size + PTI_LOG_HEAD : 0,
                                         .max_endpoints = ask.max_endpoints, .file_mode = ask.file_mode, .error = ask.error};
    ptq_log *log;

    if (bus == NULL || name == NULL || ret_log == NULL || ask.item_size > PTQ_SHARE_VALUE_MAX - PTI_LOG_HEAD)
        return PTQ_EINVAL;
    log = malloc(sizeof *log);
    if (log == NULL)
        return PTQ_ENOMEM;
    enum ptq_err err = pti_share_open(bus, PTI_SHARE_LOG, name, &of_share, &log->share);
    if (err != PTQ_OK)
        free(log);
    else
        *ret_log = log;
    return err;
}

void ptq_log_close(ptq_log *log)
{
    if (log == NULL)
        return;
    ptq_share_close(log->share);
    free(log);
}

enum ptq_err ptq_log_unlink(ptq_bus *bus, const char *name, bool force) { return pti_share_unlink(bus, PTI_SHARE_LOG, name, force); }

enum ptq_err ptq_log_list(ptq_bus *bus, bool (*each)(const char *name, void *context), void *context)
{
    return pti_share_list(bus, PTI_SHARE_LOG, each, context);
}

/* ---- where it ends */

/* The first position that no record has: from the hint on, for it is a lower bound. */
static enum ptq_err find_next(const ptq_share *share, uint64_t *ret_next, struct pti_pair_is *ret_is)
{
    uint64_t next = pti_load_acquire(&share->header->next);

    for (uint64_t steps = 0; steps <= 2 * (uint64_t)share->geometry.buckets; steps++, next++) {
        if (!pti_pair_read(slot_of(share, next), ret_is))
            return PTQ_EAGAIN;
        if (pti_pair_version(*ret_is) >= version_of(share, next))
            continue;
        if (pti_pair_version(*ret_is) + 1 != version_of(share, next))
            return PTQ_ECORRUPT; /* the hint has run ahead of the records */
        *ret_next = next;
        return PTQ_OK;
    }
    return PTQ_EAGAIN;
}

/* ---- appending */

static enum ptq_err try_append(ptq_share *share, const struct pti_held *held, size_t size, uint64_t *ret_position)
{
    struct pti_pair_is is, then;
    enum ptq_err err = find_next(share, ret_position, &is);

    if (err != PTQ_OK)
        return err;
    then = (struct pti_pair_is){(uint64_t)size << 32 | held->block, pti_pair_next(is, PTQ_CELL_BYTES, false)};
    return pti_pair_cas(slot_of(share, *ret_position), is, then) ? PTQ_OK : PTQ_EAGAIN;
}

static enum ptq_err fill(ptq_share *share, int64_t pid, const void *data, size_t size, struct pti_held *held)
{
    struct head head = {pti_unix_ms(), pid};
    enum ptq_err err = pti_share_claim(share, PTI_VALUES, held);

    if (err != PTQ_OK)
        return err;
    _Atomic uint64_t *block = pti_share_block(share, PTI_VALUES, held->block);
    pti_share_fill(block, &head, sizeof head);
    pti_share_fill(block + sizeof head / 8, data, size);
    return PTQ_OK;
}

enum ptq_err pti_log_append_as(ptq_log *log, int64_t pid, const void *data, size_t size, uint64_t *ret_position)
{
    struct pti_held held;
    uint64_t position = 0;
    enum ptq_err err = check(log);

    if (err != PTQ_OK)
        return err;
    if (data == NULL && size > 0)
        return PTQ_EINVAL;
    if (size > log->share->geometry.value_size - sizeof(struct head))
        return PTQ_EMSGSIZE;
    if (log->share->far != NULL)
        return pti_far_append(log->share, data, size, ret_position);
    err = fill(log->share, pid, data, size, &held);
    if (err != PTQ_OK)
        return err;
    err = PTQ_EAGAIN;
    for (int tries = 0; err == PTQ_EAGAIN && tries < PTI_SHARE_TRIES; tries++)
        err = try_append(log->share, &held, size, &position);
    if (err != PTQ_OK) {
        pti_share_release(log->share, &held);
        return err;
    }
    pti_share_publish(log->share, &held, (uint32_t)(position % log->share->geometry.buckets));
    pti_share_raise(log->share, position + 1);
    pti_share_tell(log->share, pti_share_entry(log->share, 0));
    if (ret_position != NULL)
        *ret_position = position;
    return PTQ_OK;
}

enum ptq_err ptq_log_append(ptq_log *log, const void *data, size_t size, uint64_t *ret_position)
{
    return pti_log_append_as(log, getpid(), data, size, ret_position);
}

/* ---- reading */

enum ptq_err ptq_log_bounds(ptq_log *log, uint64_t *ret_oldest, uint64_t *ret_next)
{
    struct pti_pair_is is;
    uint64_t next = 0;
    enum ptq_err err = check(log);

    if (err == PTQ_OK && (ret_oldest == NULL || ret_next == NULL))
        err = PTQ_EINVAL;
    if (err != PTQ_OK)
        return err;
    if (log->share->far != NULL)
        return pti_far_bounds(log->share, ret_oldest, ret_next);
    err = PTQ_EAGAIN;
    for (int tries = 0; err == PTQ_EAGAIN && tries < PTI_SHARE_TRIES; tries++)
        err = find_next(log->share, &next, &is);
    if (err != PTQ_OK)
        return err;
    *ret_next = next;
    *ret_oldest = next > log->share->geometry.buckets ? next - log->share->geometry.buckets : 0;
    return PTQ_OK;
}

/* PTQ_EAGAIN: it went while we copied. */
static enum ptq_err try_read(const ptq_share *share, uint64_t position, void *buffer, size_t room, struct ptq_log_record *record)
{
    const struct pti_pair *slot = slot_of(share, position);
    struct pti_pair_is is;
    struct head head;

    if (!pti_pair_read(slot, &is))
        return PTQ_EAGAIN;
    if (pti_pair_version(is) != version_of(share, position))
        return pti_pair_version(is) < version_of(share, position) ? PTQ_EMPTY : PTQ_ELATE;
    size_t size = is.value >> 32;
    uint32_t number = (uint32_t)is.value;
    if (size > share->geometry.value_size - sizeof head || number >= share->geometry.blocks[PTI_VALUES])
        return PTQ_ECORRUPT;
    const _Atomic uint64_t *block = pti_share_block(share, PTI_VALUES, number);
    pti_share_copy(&head, block, sizeof head);
    if (size <= room)
        pti_share_copy(buffer, block + sizeof head / 8, size);
    if (pti_load_acquire(&slot->meta) != is.meta)
        return PTQ_EAGAIN;
    *record = (struct ptq_log_record){position, size, head.unix_ms, head.pid};
    return size <= room ? PTQ_OK : PTQ_EMSGSIZE;
}

enum ptq_err ptq_log_read(ptq_log *log, uint64_t position, void *buffer, size_t size, struct ptq_log_record *ret_record)
{
    enum ptq_err err = check(log);

    if (err == PTQ_OK && (ret_record == NULL || (buffer == NULL && size > 0)))
        err = PTQ_EINVAL;
    if (err != PTQ_OK)
        return err;
    if (log->share->far != NULL)
        return pti_far_record(log->share, position, buffer, size, ret_record);
    err = PTQ_EAGAIN;
    for (int tries = 0; err == PTQ_EAGAIN && tries < PTI_SHARE_TRIES; tries++)
        err = try_read(log->share, position, buffer, size, ret_record);
    return err;
}

struct watched {
    ptq_log *log;
    uint64_t position;
};

static _Atomic uint32_t *word_of_log(void *context) { return &pti_share_entry(((struct watched *)context)->log->share, 0)->wait; }

static enum ptq_err look_at_log(void *context)
{
    const struct watched *it = context;
    struct pti_pair_is is;
    enum ptq_err err = check(it->log);

    if (err != PTQ_OK)
        return err;
    return pti_pair_read(slot_of(it->log->share, it->position), &is) && pti_pair_version(is) < version_of(it->log->share, it->position)
               ? PTQ_EMPTY
               : PTQ_OK;
}

enum ptq_err ptq_log_wait(ptq_log *log, uint64_t position, int timeout_ms)
{
    struct watched it = {log, position};
    enum ptq_err err = check(log);

    if (err == PTQ_OK && log->share->far != NULL)
        return pti_far_wait_log(log->share, position, timeout_ms);
    return err == PTQ_OK ? pti_share_wait(log->share, word_of_log, look_at_log, &it, timeout_ms) : err;
}

enum ptq_err pti_log_look_for(ptq_log *log, uint64_t position, bool arm)
{
    struct watched it = {log, position};
    enum ptq_err err = check(log);

    if (err == PTQ_OK)
        err = look_at_log(&it);
    if (err != PTQ_EMPTY || !arm)
        return err;
    (void)pti_wait_arm(word_of_log(&it), PTI_WAIT_DESCRIPTOR);
    return look_at_log(&it);
}
