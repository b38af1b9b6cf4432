/* do.c -- at the home: what was asked from far away is done, by the calls that everybody uses here. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "share/away.h"

/* A cell on the stack, by the name that was asked for. */
struct here {
    ptq_cell cell;
    char name[PTI_NAME_ROOM];
};

static enum ptq_err find_here(ptq_share *share, const struct pti_share_ask *ask, struct here *here)
{
    if (share->kind != PTI_SHARE_CELLS || ask->name_size == 0 || ask->name_size > PTQ_CELL_NAME_MAX || ask->name[0] == '\0')
        return PTQ_EINVAL;
    memcpy(here->name, ask->name, ask->name_size);
    here->name[ask->name_size] = '\0';
    here->cell = (ptq_cell){.share = share, .type = (enum ptq_cell_type)ask->type, .name = here->name, .name_size = ask->name_size};
    return pti_share_check(share);
}

/* The same, of a map: where the key is in its name. */
static enum ptq_err find_key(ptq_share *share, const struct pti_share_ask *ask, struct here *here, const char **ret_key, size_t *ret_size)
{
    enum ptq_err err = find_here(share, ask, here);
    size_t own = err == PTQ_OK ? strlen(here->name) : 0;

    if (err == PTQ_OK && own + 1 >= ask->name_size)
        return PTQ_EINVAL;
    *ret_key = here->name + own + 1;
    *ret_size = ask->name_size - own - 1;
    return err;
}

/* -- looks -- */

static enum ptq_err look_for_type(ptq_share *share, const struct pti_share_ask *ask, struct pti_share_said *said)
{
    struct here here;
    struct pti_pair_is is;
    uint64_t where;
    enum ptq_err err = find_here(share, ask, &here);

    if (err == PTQ_OK)
        err = pti_share_seek(share, here.name, ask->name_size, &where, &is);
    if (err == PTQ_OK) {
        said->type = pti_pair_type(is);
        said->version = pti_pair_version(is);
    }
    return err;
}

/* Of any type: a number's bits, how many bytes. */
static enum ptq_err look_at_number(ptq_share *share, const struct pti_share_ask *ask, struct pti_share_said *said)
{
    struct here here;
    struct pti_entry_of_share *entry;
    struct pti_pair_is is;
    enum ptq_err err = find_here(share, ask, &here);

    for (int tries = 0; err == PTQ_OK && tries < 1000; tries++) {
        err = pti_cell_look(&here.cell, &entry, &is);
        if (err != PTQ_EAGAIN)
            break;
        err = tries < 999 ? PTQ_OK : PTQ_EAGAIN;
    }
    if (err == PTQ_OK) {
        said->type = ask->type;
        said->value = ask->type == PTQ_CELL_BYTES ? is.value >> 32 : is.value;
        said->version = pti_pair_version(is);
    }
    return err;
}

static enum ptq_err look_at_bytes(ptq_share *share, const struct pti_share_ask *ask, uint8_t *room, struct pti_share_said *said)
{
    struct here here;
    size_t most = ask->value < share->geometry.value_size ? (size_t)ask->value : share->geometry.value_size, size = 0;
    enum ptq_err err = find_here(share, ask, &here);

    if (err == PTQ_OK)
        err = ptq_cell_read(&here.cell, room, most, &size, &said->version);
    said->value = size;
    said->data = room;
    said->size = err == PTQ_OK ? size : 0;
    return err;
}

struct listing {
    uint8_t *room;
    size_t at;
    bool full;
};

static bool list_one(const struct ptq_cell_info *info, void *context)
{
    struct listing *listing = context;
    struct pti_share_listed listed = {.type = (uint8_t)info->type, .version = info->version, .name = info->name,
                                      .name_size = info->key != NULL
                                                       ? (size_t)((const char *)info->key - info->name) + info->key_size
                                                       : strlen(info->name)};

    if (info->type == PTQ_CELL_F64)
        memcpy(&listed.value, &info->f64, 8);
    else
        listed.value = info->type == PTQ_CELL_I64   ? (uint64_t)info->i64
                       : info->type == PTQ_CELL_U64 ? info->u64
                                                    : info->size;
    return pti_write_share_listed(listing->room, PTI_SHARE_LIST_BYTES, &listing->at, &listed);
}

static enum ptq_err list(ptq_share *share, const struct pti_share_ask *ask, uint8_t *room, struct pti_share_said *said)
{
    struct listing listing = {.room = room};
    uint64_t bucket = ask->value;
    size_t whole = 0;
    enum ptq_err err = share->kind == PTI_SHARE_CELLS ? pti_share_check(share) : PTQ_EINVAL;

    for (; err == PTQ_OK && bucket < share->geometry.buckets; bucket++, whole = listing.at) {
        err = pti_share_each_of(share, (uint32_t)bucket, list_one, &listing, &listing.full);
        if (listing.full)
            break; /* it is told as a whole, in the next answer */
    }
    said->value = err == PTQ_OK && bucket < share->geometry.buckets ? bucket : 0;
    said->data = room;
    said->size = err == PTQ_OK ? whole : 0;
    return err;
}

static enum ptq_err look_at_log(ptq_share *share, const struct pti_share_ask *ask, uint8_t *room, struct pti_share_said *said)
{
    struct ptq_log log = {share};
    struct ptq_log_record record = {0};
    size_t most = ask->other < share->geometry.value_size ? (size_t)ask->other : share->geometry.value_size;

    if (share->kind != PTI_SHARE_LOG)
        return PTQ_EINVAL;
    if (ask->verb == PTI_SHARE_BOUNDS)
        return ptq_log_bounds(&log, &said->value, &said->version);
    enum ptq_err err = ptq_log_read(&log, ask->value, room, most, &record);
    said->value = record.size;
    said->version = (uint64_t)record.unix_ms;
    said->other = (uint64_t)record.pid;
    said->data = room;
    said->size = err == PTQ_OK ? record.size : 0;
    return err;
}

size_t pti_share_room(const ptq_share *share, const struct pti_share_ask *ask)
{
    uint64_t asked = ask->verb == PTI_SHARE_READ ? ask->value : ask->verb == PTI_SHARE_RECORD ? ask->other : 0;

    if (ask->verb == PTI_SHARE_LIST)
        return PTI_SHARE_LIST_BYTES;
    return asked < share->geometry.value_size ? (size_t)asked : share->geometry.value_size;
}

void pti_share_do_look(ptq_share *share, const struct pti_share_ask *ask, uint8_t *room, struct pti_share_said *ret_said)
{
    enum ptq_err err = PTQ_EINVAL;

    *ret_said = (struct pti_share_said){0};
    switch (ask->verb) {
    case PTI_SHARE_FIND:
        err = look_for_type(share, ask, ret_said);
        break;
    case PTI_SHARE_GET:
        err = look_at_number(share, ask, ret_said);
        break;
    case PTI_SHARE_READ:
        err = look_at_bytes(share, ask, room, ret_said);
        break;
    case PTI_SHARE_LIST:
        err = list(share, ask, room, ret_said);
        break;
    case PTI_SHARE_BOUNDS:
    case PTI_SHARE_RECORD:
        err = look_at_log(share, ask, room, ret_said);
        break;
    }
    ret_said->code = err;
}

/* -- changes -- */

static enum ptq_err make(ptq_share *share, const struct pti_share_ask *ask, struct here *here, uint64_t *ret_value)
{
    struct pti_pair_is is;
    uint64_t where;
    bool made, is_bytes = ask->type == PTQ_CELL_BYTES;

    if (ask->type < PTQ_CELL_I64 || ask->type > PTQ_CELL_BYTES || strlen(here->name) != ask->name_size)
        return PTQ_EINVAL;
    if (is_bytes && ask->size > share->geometry.value_size)
        return PTQ_EMSGSIZE;
    enum ptq_err err = pti_share_make(share, here->name, ask->name_size, ask->type, is_bytes ? (const void *)ask->data : &ask->value,
                                      is_bytes ? ask->size : sizeof ask->value, &made, &where, &is);
    if (err == PTQ_OK && pti_pair_type(is) != ask->type)
        return PTQ_EMISMATCH;
    *ret_value = ask->type;
    return err;
}

/* The bits of three types through one call each. */
#define NUMBERS(verb, arguments)                                                                                       \
    switch (cell->type) {                                                                                              \
    case PTQ_CELL_I64:                                                                                                 \
        return ptq_i64_##verb(cell, arguments(i64));                                                                   \
    case PTQ_CELL_U64:                                                                                                 \
        return ptq_u64_##verb(cell, arguments(u64));                                                                   \
    case PTQ_CELL_F64:                                                                                                 \
        return ptq_f64_##verb(cell, arguments(f64));                                                                   \
    default:                                                                                                           \
        return PTQ_EINVAL;                                                                                             \
    }

union bits {
    int64_t i64;
    uint64_t u64;
    double f64;
};

static enum ptq_err apply(ptq_cell *cell, enum ptq_op op, union bits operand, union bits *then)
{
#define ARGUMENTS(type) op, operand.type, &then->type
    NUMBERS(apply, ARGUMENTS)
#undef ARGUMENTS
}

static enum ptq_err swap(ptq_cell *cell, union bits value, union bits *old)
{
#define ARGUMENTS(type) value.type, &old->type
    NUMBERS(swap, ARGUMENTS)
#undef ARGUMENTS
}

static enum ptq_err exchange(ptq_cell *cell, union bits expected, union bits value)
{
#define ARGUMENTS(type) &expected.type, value.type
    NUMBERS(cas, ARGUMENTS)
#undef ARGUMENTS
}

static enum ptq_err change_number(ptq_cell *cell, const struct pti_share_ask *ask, uint64_t *ret_value)
{
    union bits given = {.u64 = ask->value}, got = {0};
    enum ptq_err err = ask->verb == PTI_SHARE_APPLY  ? apply(cell, (enum ptq_op)ask->op, given, &got)
                       : ask->verb == PTI_SHARE_SWAP ? swap(cell, given, &got)
                                                     : exchange(cell, (union bits){.u64 = ask->other}, given);

    *ret_value = ask->wants ? got.u64 : 0;
    return err;
}

static enum ptq_err change_map(ptq_share *share, const struct pti_share_ask *ask, struct here *here)
{
    const char *key;
    size_t size;
    enum ptq_err err = find_key(share, ask, here, &key, &size);

    if (err != PTQ_OK)
        return err;
    return ask->verb == PTI_SHARE_SET_ADD ? ptq_set_add(share, here->name, key, size)
                                          : ptq_map_set(share, here->name, key, size, ask->data, ask->size);
}

static enum ptq_err change_cell(ptq_share *share, const struct pti_share_ask *ask, uint64_t *ret_value)
{
    struct here here;
    enum ptq_err err = find_here(share, ask, &here);

    if (err != PTQ_OK)
        return err;
    switch (ask->verb) {
    case PTI_SHARE_MAKE:
        return make(share, ask, &here, ret_value);
    case PTI_SHARE_APPLY:
    case PTI_SHARE_SWAP:
    case PTI_SHARE_CAS:
        return change_number(&here.cell, ask, ret_value);
    case PTI_SHARE_WRITE:
        return ptq_cell_write(&here.cell, ask->data, ask->size);
    case PTI_SHARE_WRITE_IF:
        return ptq_cell_write_if(&here.cell, ask->other, ask->data, ask->size);
    case PTI_SHARE_DELETE:
        return pti_cell_delete(share, here.name, ask->name_size);
    case PTI_SHARE_MAP_SET:
    case PTI_SHARE_SET_ADD:
        return change_map(share, ask, &here);
    default:
        return PTQ_EINVAL;
    }
}

enum ptq_err pti_share_do_change(ptq_share *share, const struct pti_share_ask *ask, uint64_t *ret_value)
{
    *ret_value = 0;
    if (ask->verb == PTI_SHARE_APPEND)
        return share->kind == PTI_SHARE_LOG
                   ? pti_log_append_as(&(struct ptq_log){share}, (int64_t)ask->value, ask->data, ask->size, ret_value)
                   : PTQ_EINVAL;
    if (ask->verb == PTI_SHARE_CLEAR)
        return share->kind == PTI_SHARE_CELLS ? ptq_share_clear(share) : PTQ_EINVAL;
    return change_cell(share, ask, ret_value);
}

/* -- waits -- */

enum ptq_err pti_share_do_wait(ptq_share *share, const struct pti_share_ask *ask, bool arm, uint64_t *ret_value)
{
    struct here here;

    if (ask->verb == PTI_SHARE_APPENDED)
        return share->kind == PTI_SHARE_LOG ? pti_log_look_for(&(struct ptq_log){share}, ask->value, arm) : PTQ_EINVAL;
    enum ptq_err err = find_here(share, ask, &here);
    return err == PTQ_OK ? pti_cell_look_for_change(&here.cell, ask->value, arm, ret_value) : err;
}

/* -- which one it is -- */

void pti_share_id(const ptq_share *share, uint8_t id[16])
{
    struct statx status = {0};

    (void)statx(share->segment.fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &status);
    pti_store64(id, status.stx_ino);
    pti_store64(id + 8, (uint64_t)status.stx_btime.tv_sec * UINT64_C(1000000000) + status.stx_btime.tv_nsec);
}

uint32_t pti_share_value_size(const ptq_share *share) { return share->geometry.value_size; }
uint32_t pti_share_cells(const ptq_share *share) { return share->geometry.cells; }
