/* far.c -- the public calls, for a share or a log of another host: what they ask of its home, and what they make of the answer.
 *
 * Law: a look is answered by the home, or fails: nothing is kept here that could be taken for what is there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "share/away.h"

#define TRIES 10000 /* of a call that others overtake */
#define MAKES 3     /* of one whose answer was lost */

/* The next change that this thread asks of that share is one that was in doubt. */
static _Thread_local const ptq_share *retrying;

/* Nobody removes it here: the home says when it is gone. */
static struct pti_share_header no_header;

/* -- life -- */

bool pti_far_is_named(const char *name) { return strchr(name, '@') != NULL || strstr(name, "://") != NULL; }

static enum ptq_err wrap(ptq_bus *bus, enum pti_share_kind kind, const char *name, struct pti_far *far, ptq_share **ret_share)
{
    ptq_share *share = calloc(1, sizeof *share);

    if (share == NULL) {
        far->ops->close(far);
        return PTQ_ENOMEM;
    }
    share->bus = pti_bus_hold(bus);
    share->kind = kind;
    share->far = far;
    share->header = &no_header;
    share->geometry.value_size = far->value_size;
    share->generation = pti_fork_generation();
    snprintf(share->name, sizeof share->name, "%.*s", PTQ_NAME_MAX, name);
    pthread_mutex_init(&share->dead_mutex, NULL);
    *ret_share = share;
    return PTQ_OK;
}

enum ptq_err pti_far_open_share(ptq_bus *bus, enum pti_share_kind kind, const char *name, const struct ptq_share_options *options,
                                ptq_share **ret_share)
{
    char here[PTQ_NAME_MAX + 1];
    struct pti_far *far = NULL;

    if (pti_far_carrier.open == NULL)
        return pti_error(options->error, PTQ_EINVAL, "'%.300s': this ptq was built without links to other hosts; open it there, by its bare name",
                         name);
    enum ptq_err err = pti_far_carrier.open(bus, kind, name, options, here, &far);
    if (err != PTQ_OK)
        return err;
    return far != NULL ? wrap(bus, kind, name, far, ret_share) : pti_share_open(bus, kind, here, options, ret_share);
}

enum ptq_err ptq_share_retry(ptq_share *share)
{
    enum ptq_err err = pti_share_check(share);

    if (err == PTQ_OK && share->far != NULL)
        retrying = share;
    return err;
}

/* -- asking -- */

static enum ptq_err change(ptq_share *share, const struct pti_share_ask *ask, uint64_t *ret_value)
{
    bool retry = retrying == share;
    uint64_t value = 0;
    enum ptq_err err = pti_share_check(share);

    if (err != PTQ_OK)
        return err;
    if (retry)
        retrying = NULL;
    err = share->far->ops->change(share->far, ask, retry, &value);
    if (err == PTQ_OK && ret_value != NULL)
        *ret_value = value;
    return err;
}

/* `bytes` is the caller's to free, also after a failure. */
static enum ptq_err look(ptq_share *share, const struct pti_share_ask *ask, struct pti_share_said *said, uint8_t **bytes)
{
    enum ptq_err err = pti_share_check(share);

    *bytes = NULL;
    if (err == PTQ_OK)
        err = share->far->ops->look(share->far, ask, said, bytes);
    return err == PTQ_OK ? (enum ptq_err)said->code : err;
}

/* -- cells -- */

static struct pti_share_ask ask_of(const ptq_cell *cell, uint8_t verb)
{
    return (struct pti_share_ask){.verb = verb, .type = (uint8_t)cell->type, .name = cell->name, .name_size = cell->name_size};
}

/* The home had this version at some moment after `began`. */
static void note(ptq_cell *cell, uint64_t version, int64_t began)
{
    pti_store_relaxed(&cell->told_version, version);
    pti_store_release(&cell->told_ns, began);
}

enum ptq_err ptq_cell_freshness(ptq_cell *cell, struct ptq_freshness *ret_freshness)
{
    enum ptq_err err = cell == NULL || ret_freshness == NULL ? PTQ_EINVAL : pti_share_check(cell->share);

    if (err != PTQ_OK)
        return err;
    if (!pti_cell_is_far(cell)) {
        struct ptq_freshness now = {.remote = false};
        err = ptq_cell_version(cell, &now.version);
        if (err == PTQ_OK)
            *ret_freshness = now;
        return err;
    }
    int64_t told = pti_load_acquire(&cell->told_ns);
    if (told == 0)
        return PTQ_EMPTY;
    *ret_freshness = (struct ptq_freshness){.remote = true, .version = pti_load_relaxed(&cell->told_version), .age_ns = pti_now_ns() - told};
    return PTQ_OK;
}

/* Who may only write is not told what is there: it is made, which finds it, too. */
enum ptq_err pti_far_open_cell(ptq_share *share, const char *name, size_t size, unsigned type, const void *first, size_t first_size,
                               unsigned *ret_type)
{
    struct pti_share_ask ask = {.verb = PTI_SHARE_FIND, .name = name, .name_size = size};
    struct pti_share_said said;
    uint8_t *bytes;
    uint64_t made;
    enum ptq_err err = look(share, &ask, &said, &bytes);

    free(bytes);
    if (err == PTQ_OK)
        *ret_type = said.type;
    if (type == 0 || (err != PTQ_ENOENT && err != PTQ_EPERM))
        return err;
    ask.verb = PTI_SHARE_MAKE;
    ask.type = (uint8_t)type;
    if (type == PTQ_CELL_BYTES) {
        ask.data = first;
        ask.size = first_size;
    } else {
        memcpy(&ask.value, first, sizeof ask.value);
    }
    err = PTQ_EINDOUBT;
    for (int tries = 0; err == PTQ_EINDOUBT && tries < MAKES; tries++)
        err = change(share, &ask, &made); /* made twice it is what it was made the first time */
    *ret_type = type;
    return err;
}

static enum ptq_err check_type(const ptq_cell *cell, enum ptq_cell_type type) { return cell->type == type ? PTQ_OK : PTQ_EMISMATCH; }

/* The cell as it is: of a number the bits. */
static enum ptq_err get(ptq_cell *cell, uint64_t *ret_bits, uint64_t *ret_version)
{
    struct pti_share_ask ask = ask_of(cell, PTI_SHARE_GET);
    struct pti_share_said said;
    int64_t began = pti_now_ns();
    uint8_t *bytes;
    enum ptq_err err = look(cell->share, &ask, &said, &bytes);

    free(bytes);
    if (err != PTQ_OK)
        return err;
    note(cell, said.version, began);
    *ret_bits = said.value;
    *ret_version = said.version;
    return PTQ_OK;
}

enum ptq_err pti_far_get(ptq_cell *cell, enum ptq_cell_type type, uint64_t *ret_bits)
{
    uint64_t version;
    enum ptq_err err = check_type(cell, type);

    return err == PTQ_OK ? get(cell, ret_bits, &version) : err;
}

enum ptq_err pti_far_version(ptq_cell *cell, uint64_t *ret_version)
{
    uint64_t bits;

    return get(cell, &bits, ret_version);
}

enum ptq_err pti_far_apply(ptq_cell *cell, enum ptq_cell_type type, enum ptq_op op, uint64_t *bits, bool wants)
{
    struct pti_share_ask ask = ask_of(cell, PTI_SHARE_APPLY);
    enum ptq_err err = check_type(cell, type);

    if (err == PTQ_OK && (unsigned)op > PTQ_XOR)
        err = PTQ_EINVAL;
    ask.op = (uint8_t)op;
    ask.value = *bits;
    ask.wants = wants;
    return err == PTQ_OK ? change(cell->share, &ask, bits) : err;
}

enum ptq_err pti_far_swap(ptq_cell *cell, enum ptq_cell_type type, uint64_t *bits)
{
    struct pti_share_ask ask = ask_of(cell, PTI_SHARE_SWAP);
    enum ptq_err err = check_type(cell, type);

    ask.value = *bits;
    ask.wants = true;
    return err == PTQ_OK ? change(cell->share, &ask, bits) : err;
}

/* What it is instead is asked for: it may be what was expected by then, and so it is tried again. */
enum ptq_err pti_far_cas(ptq_cell *cell, enum ptq_cell_type type, uint64_t *expected, uint64_t bits)
{
    struct pti_share_ask ask = ask_of(cell, PTI_SHARE_CAS);
    enum ptq_err err = check_type(cell, type);
    uint64_t is, version;

    if (err != PTQ_OK)
        return err;
    ask.value = bits;
    ask.other = *expected;
    for (int tries = 0; tries < TRIES; tries++) {
        err = change(cell->share, &ask, NULL);
        if (err != PTQ_EAGAIN)
            return err;
        err = get(cell, &is, &version);
        if (err != PTQ_OK)
            return err;
        if (is != *expected)
            break;
    }
    *expected = is;
    return PTQ_EAGAIN;
}

enum ptq_err pti_far_read(ptq_cell *cell, void *buffer, size_t size, size_t *ret_size, uint64_t *ret_version)
{
    struct pti_share_ask ask = ask_of(cell, PTI_SHARE_READ);
    struct pti_share_said said;
    int64_t began = pti_now_ns();
    uint8_t *bytes;
    enum ptq_err err = check_type(cell, PTQ_CELL_BYTES);

    if (err != PTQ_OK)
        return err;
    ask.value = size;
    err = look(cell->share, &ask, &said, &bytes);
    if (err == PTQ_OK && (said.size != said.value || said.size > size))
        err = PTQ_EPROTO;
    if (err == PTQ_OK && said.size > 0)
        memcpy(buffer, said.data, said.size);
    if (err == PTQ_OK || (err == PTQ_EMSGSIZE && bytes != NULL)) {
        note(cell, said.version, began);
        *ret_size = said.value;
        if (ret_version != NULL)
            *ret_version = said.version;
    }
    free(bytes);
    return err;
}

enum ptq_err pti_far_write(ptq_cell *cell, const uint64_t *version, const void *data, size_t size)
{
    struct pti_share_ask ask = ask_of(cell, version != NULL ? PTI_SHARE_WRITE_IF : PTI_SHARE_WRITE);
    enum ptq_err err = check_type(cell, PTQ_CELL_BYTES);

    if (err == PTQ_OK && size > cell->share->geometry.value_size)
        err = PTQ_EMSGSIZE;
    ask.other = version != NULL ? *version : 0;
    ask.data = data;
    ask.size = size;
    return err == PTQ_OK ? change(cell->share, &ask, NULL) : err;
}

enum ptq_err pti_far_wait(ptq_cell *cell, uint64_t version, int timeout_ms, uint64_t *ret_version)
{
    struct pti_share_ask ask = ask_of(cell, PTI_SHARE_CHANGED);
    enum ptq_err err = pti_share_check(cell->share);
    uint64_t is = 0;

    ask.value = version;
    if (err == PTQ_OK)
        err = cell->share->far->ops->await(cell->share->far, &ask, timeout_ms, &is);
    if (err == PTQ_OK && ret_version != NULL)
        *ret_version = is;
    return err;
}

/* -- names, maps and sets -- */

enum ptq_err pti_far_delete(ptq_share *share, const char *name, size_t size)
{
    return change(share, &(struct pti_share_ask){.verb = PTI_SHARE_DELETE, .name = name, .name_size = size}, NULL);
}

enum ptq_err pti_far_clear(ptq_share *share) { return change(share, &(struct pti_share_ask){.verb = PTI_SHARE_CLEAR}, NULL); }

enum ptq_err pti_far_map_set(ptq_share *share, const char *name, size_t size, const void *data, size_t data_size)
{
    return change(share,
                  &(struct pti_share_ask){
                      .verb = PTI_SHARE_MAP_SET, .type = PTQ_CELL_BYTES, .name = name, .name_size = size, .data = data, .size = data_size},
                  NULL);
}

enum ptq_err pti_far_set_add(ptq_share *share, const char *name, size_t size)
{
    return change(share,
                  &(struct pti_share_ask){.verb = PTI_SHARE_SET_ADD, .type = PTQ_CELL_BYTES, .name = name, .name_size = size}, NULL);
}

enum ptq_err pti_far_has(ptq_share *share, const char *name, size_t size)
{
    unsigned type;

    return pti_far_open_cell(share, name, size, 0, NULL, 0, &type);
}

static bool tell_one(const struct pti_share_listed *listed, bool (*each)(const struct ptq_cell_info *info, void *context), void *context)
{
    char name[PTI_NAME_ROOM];
    struct ptq_cell_info info = {.name = name, .type = (enum ptq_cell_type)listed->type, .version = listed->version};

    memcpy(name, listed->name, listed->name_size);
    name[listed->name_size] = '\0';
    size_t own = strlen(name);
    if (own < listed->name_size) {
        info.key = name + own + 1;
        info.key_size = listed->name_size - own - 1;
    }
    if (info.type == PTQ_CELL_I64)
        info.i64 = (int64_t)listed->value;
    else if (info.type == PTQ_CELL_U64)
        info.u64 = listed->value;
    else if (info.type == PTQ_CELL_F64)
        memcpy(&info.f64, &listed->value, 8);
    else
        info.size = listed->value;
    return each(&info, context);
}

/* *ret_next: where to go on, 0: that was all, or it was stopped. */
static enum ptq_err tell_some(ptq_share *share, uint64_t from, bool (*each)(const struct ptq_cell_info *info, void *context),
                              void *context, uint64_t *ret_next)
{
    struct pti_share_ask ask = {.verb = PTI_SHARE_LIST, .value = from};
    struct pti_share_listed listed;
    struct pti_share_said said;
    uint8_t *bytes;
    size_t at = 0;
    enum ptq_err more, err = look(share, &ask, &said, &bytes);

    if (err == PTQ_OK && said.value != 0 && said.value <= from)
        err = PTQ_EPROTO;
    *ret_next = err == PTQ_OK ? said.value : 0;
    while (err == PTQ_OK && (more = pti_read_share_listed(said.data, said.size, &at, &listed)) != PTQ_END) {
        if (more != PTQ_OK || listed.type < PTQ_CELL_I64 || listed.type > PTQ_CELL_BYTES)
            err = PTQ_EPROTO;
        else if (!tell_one(&listed, each, context)) {
            *ret_next = 0;
            break;
        }
    }
    free(bytes);
    return err;
}

enum ptq_err pti_far_each(ptq_share *share, bool (*each)(const struct ptq_cell_info *info, void *context), void *context)
{
    enum ptq_err err;
    uint64_t at = 0;

    do
        err = tell_some(share, at, each, context, &at);
    while (err == PTQ_OK && at != 0);
    return err;
}

/* -- logs -- */

enum ptq_err pti_far_append(ptq_share *share, const void *data, size_t size, uint64_t *ret_position)
{
    return change(share, &(struct pti_share_ask){.verb = PTI_SHARE_APPEND, .value = (uint64_t)getpid(), .data = data, .size = size},
                  ret_position);
}

enum ptq_err pti_far_record(ptq_share *share, uint64_t position, void *buffer, size_t size, struct ptq_log_record *ret_record)
{
    struct pti_share_ask ask = {.verb = PTI_SHARE_RECORD, .value = position, .other = size};
    struct pti_share_said said;
    uint8_t *bytes;
    enum ptq_err err = look(share, &ask, &said, &bytes);

    if (err == PTQ_OK && (said.size != said.value || said.size > size))
        err = PTQ_EPROTO;
    if (err == PTQ_OK && said.size > 0)
        memcpy(buffer, said.data, said.size);
    if (err == PTQ_OK || (err == PTQ_EMSGSIZE && bytes != NULL))
        *ret_record = (struct ptq_log_record){position, said.value, (int64_t)said.version, (int64_t)said.other};
    free(bytes);
    return err;
}

enum ptq_err pti_far_bounds(ptq_share *share, uint64_t *ret_oldest, uint64_t *ret_next)
{
    struct pti_share_said said;
    uint8_t *bytes;
    enum ptq_err err = look(share, &(struct pti_share_ask){.verb = PTI_SHARE_BOUNDS}, &said, &bytes);

    free(bytes);
    if (err == PTQ_OK) {
        *ret_oldest = said.value;
        *ret_next = said.version;
    }
    return err;
}

enum ptq_err pti_far_wait_log(ptq_share *share, uint64_t position, int timeout_ms)
{
    enum ptq_err err = pti_share_check(share);
    uint64_t ignored;

    if (err != PTQ_OK)
        return err;
    return share->far->ops->await(share->far, &(struct pti_share_ask){.verb = PTI_SHARE_APPENDED, .value = position}, timeout_ms, &ignored);
}
