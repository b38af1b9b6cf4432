/* cell.c -- numbers and bytes: each change is one compare-and-swap of the cell's pair. */
#include <stdlib.h>
#include <string.h>

#include "base/rest.h"
#include "share/away.h"

/* ---- finding what a handle names */

enum ptq_err pti_cell_look(ptq_cell *cell, struct pti_entry_of_share **ret_entry, struct pti_pair_is *ret_is)
{
    enum ptq_err err = pti_share_check(cell->share);
    uint64_t where;

    if (err != PTQ_OK)
        return err;
    where = pti_load_relaxed(&cell->where);
    *ret_entry = pti_share_entry(cell->share, pti_share_entry_of(where));
    if (!pti_pair_read(&(*ret_entry)->pair, ret_is))
        return PTQ_EAGAIN;
    if (__builtin_expect(!pti_share_is_at(cell->share, where) || pti_pair_is_dead(*ret_is), 0)) {
        err = pti_share_seek(cell->share, cell->name, cell->name_size, &where, ret_is);
        if (err != PTQ_OK)
            return err;
        pti_store_relaxed(&cell->where, where);
        *ret_entry = pti_share_entry(cell->share, pti_share_entry_of(where));
    }
    return pti_pair_type(*ret_is) == (unsigned)cell->type ? PTQ_OK : PTQ_EMISMATCH;
}

static enum ptq_err look_as(ptq_cell *cell, enum ptq_cell_type type, struct pti_entry_of_share **ret_entry, struct pti_pair_is *ret_is)
{
    if (cell == NULL)
        return PTQ_EINVAL;
    if (cell->type != type)
        return PTQ_EMISMATCH;
    return pti_cell_look(cell, ret_entry, ret_is);
}

static bool change(ptq_cell *cell, struct pti_entry_of_share *entry, struct pti_pair_is is, uint64_t value)
{
    struct pti_pair_is then = {value, pti_pair_next(is, pti_pair_type(is), false)};

    if (!pti_pair_cas(&entry->pair, is, then))
        return false;
    pti_share_tell(cell->share, entry);
    return true;
}

/* ---- handles */

static size_t length_of(const char *name)
{
    size_t length = name != NULL ? strnlen(name, PTQ_CELL_NAME_MAX + 1) : 0;

    return length <= PTQ_CELL_NAME_MAX ? length : 0;
}

static ptq_cell *new_cell(ptq_share *share, const char *name, size_t size)
{
    ptq_cell *cell = malloc(sizeof *cell + size + 1);

    if (cell == NULL)
        return NULL;
    cell->share = share;
    cell->name_size = size;
    pti_store_relaxed(&cell->told_version, 0);
    pti_store_relaxed(&cell->told_ns, 0);
    cell->name = (char *)(cell + 1);
    memcpy(cell->name, name, size);
    cell->name[size] = '\0';
    return cell;
}

static enum ptq_err find_or_make(ptq_share *share, const char *name, size_t size, unsigned type, const void *first, size_t first_size,
                                 unsigned *ret_type, uint64_t *ret_where)
{
    struct pti_pair_is is;
    bool made;

    *ret_where = 0;
    if (share->far != NULL)
        return pti_far_open_cell(share, name, size, type, first, first_size, ret_type);
    enum ptq_err err = type == 0 ? pti_share_seek(share, name, size, ret_where, &is)
                                 : pti_share_make(share, name, size, type, first, first_size, &made, ret_where, &is);
    if (err == PTQ_OK)
        *ret_type = pti_pair_type(is);
    return err;
}

/* first NULL: it is only looked for, of any type. */
static enum ptq_err open_cell(ptq_share *share, const char *name, unsigned type, const void *first, size_t first_size, ptq_cell **ret_cell)
{
    size_t size = length_of(name);
    unsigned found = 0;
    uint64_t where;
    ptq_cell *cell;
    enum ptq_err err = size == 0 || ret_cell == NULL ? PTQ_EINVAL : pti_share_check(share);

    if (err != PTQ_OK)
        return err;
    cell = new_cell(share, name, size);
    if (cell == NULL)
        return PTQ_ENOMEM;
    err = find_or_make(share, name, size, type, first, first_size, &found, &where);
    if (err == PTQ_OK && type != 0 && found != type)
        err = PTQ_EMISMATCH;
    if (err == PTQ_OK && (found < PTQ_CELL_I64 || found > PTQ_CELL_BYTES))
        err = PTQ_ECORRUPT;
    if (err != PTQ_OK) {
        free(cell);
        return err;
    }
    cell->type = (enum ptq_cell_type)found;
    pti_store_relaxed(&cell->where, where);
    *ret_cell = cell;
    return PTQ_OK;
}

enum ptq_err ptq_share_i64(ptq_share *share, const char *name, int64_t first, ptq_cell **ret_cell)
{
    return open_cell(share, name, PTQ_CELL_I64, &first, sizeof first, ret_cell);
}

enum ptq_err ptq_share_u64(ptq_share *share, const char *name, uint64_t first, ptq_cell **ret_cell)
{
    return open_cell(share, name, PTQ_CELL_U64, &first, sizeof first, ret_cell);
}

enum ptq_err ptq_share_f64(ptq_share *share, const char *name, double first, ptq_cell **ret_cell)
{
    return open_cell(share, name, PTQ_CELL_F64, &first, sizeof first, ret_cell);
}

enum ptq_err ptq_share_bytes(ptq_share *share, const char *name, const void *first, size_t size, ptq_cell **ret_cell)
{
    if (share == NULL || (first == NULL && size > 0))
        return PTQ_EINVAL;
    if (size > share->geometry.value_size)
        return PTQ_EMSGSIZE;
    return open_cell(share, name, PTQ_CELL_BYTES, first, size, ret_cell);
}

enum ptq_err ptq_share_find(ptq_share *share, const char *name, ptq_cell **ret_cell)
{
    return open_cell(share, name, 0, NULL, 0, ret_cell);
}

void ptq_cell_free(ptq_cell *cell) { free(cell); }
const char *ptq_cell_name(const ptq_cell *cell) { return cell->name; }
enum ptq_cell_type ptq_cell_type(const ptq_cell *cell) { return cell->type; }

/* ---- deleting */

/* Taken out by the next look for that name, which is ours. */
enum ptq_err pti_cell_delete(ptq_share *share, const char *name, size_t size)
{
    if (share->far != NULL)
        return pti_far_delete(share, name, size);
    for (int tries = 0; tries < PTI_SHARE_TRIES; tries++) {
        struct pti_entry_of_share *entry;
        struct pti_pair_is is, then = {0, 0};
        uint64_t where;
        enum ptq_err err = pti_share_seek(share, name, size, &where, &is);

        if (err != PTQ_OK)
            return err;
        entry = pti_share_entry(share, pti_share_entry_of(where));
        then.meta = pti_pair_next(is, pti_pair_type(is), true);
        pti_share_raise(share, pti_pair_version(is) + 1);
        if (!pti_pair_cas(&entry->pair, is, then))
            continue;
        pti_share_tell(share, entry);
        (void)pti_share_seek(share, name, size, &where, &is);
        return PTQ_OK;
    }
    return PTQ_EAGAIN;
}

enum ptq_err ptq_share_delete(ptq_share *share, const char *name)
{
    size_t size = length_of(name);
    enum ptq_err err = size == 0 ? PTQ_EINVAL : pti_share_check(share);

    return err == PTQ_OK ? pti_cell_delete(share, name, size) : err;
}

/* ---- numbers */

/* What one change makes of a value; false: it cannot be done. */
union number {
    int64_t i64;
    uint64_t u64;
    double f64;
};
struct operation {
    enum ptq_cell_type type;
    bool (*compute)(const struct operation *operation, union number value, union number *ret_new);
    enum ptq_op op;
    union number operand;
    int64_t (*update_i64)(int64_t value, void *context);
    uint64_t (*update_u64)(uint64_t value, void *context);
    double (*update_f64)(double value, void *context);
    void *context;
};

/* Somebody else was faster: he gets the line for 1.5 to 24 microseconds, and makes more of it; so do we then.  Two who add to one cell get six
 * times as far by that (bench_cells). */
static void stand_back(unsigned failures)
{
    for (unsigned i = 0; i < 1u << (failures < 4 ? failures : 4); i++)
        pti_rest();
}

static enum ptq_err operate(ptq_cell *cell, const struct operation *operation, union number *ret_old, union number *ret_new)
{
    for (unsigned tries = 0; tries < PTI_SHARE_TRIES; tries++) {
        struct pti_entry_of_share *entry;
        struct pti_pair_is is;
        union number value, then;
        enum ptq_err err = look_as(cell, operation->type, &entry, &is);

        if (err == PTQ_EAGAIN)
            continue;
        if (err != PTQ_OK)
            return err;
        value.u64 = is.value;
        if (!operation->compute(operation, value, &then))
            return PTQ_EINVAL;
        if (!change(cell, entry, is, then.u64)) {
            stand_back(tries);
            continue;
        }
        *ret_old = value;
        *ret_new = then;
        return PTQ_OK;
    }
    return PTQ_EAGAIN;
}

/* Unsigned for what is the same in both and would otherwise overflow. */
static bool apply_bits(enum ptq_op op, uint64_t value, uint64_t operand, uint64_t *ret_new)
{
    switch (op) {
    case PTQ_SET:
        *ret_new = operand;
        return true;
    case PTQ_ADD:
        *ret_new = value + operand;
        return true;
    case PTQ_SUB:
        *ret_new = value - operand;
        return true;
    case PTQ_MUL:
        *ret_new = value * operand;
        return true;
    case PTQ_AND:
        *ret_new = value & operand;
        return true;
    case PTQ_OR:
        *ret_new = value | operand;
        return true;
    case PTQ_XOR:
        *ret_new = value ^ operand;
        return true;
    default:
        return false;
    }
}

static bool apply_i64(const struct operation *operation, union number value, union number *ret_new)
{
    int64_t x = value.i64, y = operation->operand.i64;

    switch (operation->op) {
    case PTQ_DIV:
        if (y == 0)
            return false;
        ret_new->u64 = y == -1 ? 0 - value.u64 : (uint64_t)(x / y); /* the least by -1 wraps, as the others do */
        return true;
    case PTQ_MIN:
        ret_new->i64 = x < y ? x : y;
        return true;
    case PTQ_MAX:
        ret_new->i64 = x > y ? x : y;
        return true;
    default:
        return apply_bits(operation->op, value.u64, operation->operand.u64, &ret_new->u64);
    }
}

static bool apply_u64(const struct operation *operation, union number value, union number *ret_new)
{
    uint64_t x = value.u64, y = operation->operand.u64;

    switch (operation->op) {
    case PTQ_DIV:
        if (y == 0)
            return false;
        ret_new->u64 = x / y;
        return true;
    case PTQ_MIN:
        ret_new->u64 = x < y ? x : y;
        return true;
    case PTQ_MAX:
        ret_new->u64 = x > y ? x : y;
        return true;
    default:
        return apply_bits(operation->op, x, y, &ret_new->u64);
    }
}

static bool apply_f64(const struct operation *operation, union number value, union number *ret_new)
{
    double x = value.f64, y = operation->operand.f64;

    switch (operation->op) {
    case PTQ_SET:
        ret_new->f64 = y;
        return true;
    case PTQ_ADD:
        ret_new->f64 = x + y;
        return true;
    case PTQ_SUB:
        ret_new->f64 = x - y;
        return true;
    case PTQ_MUL:
        ret_new->f64 = x * y;
        return true;
    case PTQ_DIV:
        ret_new->f64 = x / y;
        return true;
    case PTQ_MIN:
        ret_new->f64 = y < x || x != x ? y : x; /* as fmin: a number rather than none */
        return true;
    case PTQ_MAX:
        ret_new->f64 = y > x || x != x ? y : x;
        return true;
    default:
        return false;
    }
}

static bool update_number(const struct operation *operation, union number value, union number *ret_new)
{
    if (operation->type == PTQ_CELL_I64)
        ret_new->i64 = operation->update_i64(value.i64, operation->context);
    else if (operation->type == PTQ_CELL_U64)
        ret_new->u64 = operation->update_u64(value.u64, operation->context);
    else
        ret_new->f64 = operation->update_f64(value.f64, operation->context);
    return true;
}

static enum ptq_err read_number(ptq_cell *cell, enum ptq_cell_type type, union number *ret_value)
{
    struct pti_entry_of_share *entry;
    struct pti_pair_is is;
    enum ptq_err err = PTQ_EAGAIN;

    if (pti_cell_is_far(cell))
        return pti_far_get(cell, type, &ret_value->u64);
    for (int tries = 0; err == PTQ_EAGAIN && tries < PTI_SHARE_TRIES; tries++)
        err = look_as(cell, type, &entry, &is);
    if (err == PTQ_OK)
        ret_value->u64 = is.value;
    return err;
}

/* By the bits of a number: doubles that are equal and not the same, 0 and -0, are not. */
static enum ptq_err exchange_if(ptq_cell *cell, enum ptq_cell_type type, union number *expected, union number value)
{
    for (int tries = 0; tries < PTI_SHARE_TRIES; tries++) {
        struct pti_entry_of_share *entry;
        struct pti_pair_is is;
        enum ptq_err err = look_as(cell, type, &entry, &is);

        if (err == PTQ_EAGAIN)
            continue;
        if (err != PTQ_OK)
            return err;
        if (is.value != expected->u64) {
            expected->u64 = is.value;
            return PTQ_EAGAIN;
        }
        if (change(cell, entry, is, value.u64))
            return PTQ_OK;
    }
    return PTQ_EAGAIN;
}

/* Of another host: by what it is, and a swap for what it was. */
static enum ptq_err update_far(ptq_cell *cell, const struct operation *operation, union number *ret_new)
{
    enum ptq_err err = PTQ_EAGAIN;
    union number is;

    for (int tries = 0; err == PTQ_EAGAIN && tries < PTI_SHARE_TRIES; tries++) {
        if (tries == 0 && (err = pti_far_get(cell, operation->type, &is.u64)) != PTQ_OK)
            return err;
        (void)operation->compute(operation, is, ret_new);
        err = pti_far_cas(cell, operation->type, &is.u64, ret_new->u64);
    }
    return err;
}

/* The same five calls for each type. */
#define NUMBER_CALLS(name, type_of, TYPE)                                                                              \
    enum ptq_err ptq_##name##_get(ptq_cell *cell, type_of *ret_value)                                                  \
    {                                                                                                                  \
        union number value;                                                                                            \
        enum ptq_err err = ret_value == NULL ? PTQ_EINVAL : read_number(cell, TYPE, &value);                           \
                                                                                                                       \
        if (err == PTQ_OK)                                                                                             \
            *ret_value = value.name;                                                                                   \
        return err;                                                                                                    \
    }                                                                                                                  \
                                                                                                                       \
    enum ptq_err ptq_##name##_apply(ptq_cell *cell, enum ptq_op op, type_of operand, type_of *ret_new)                 \
    {                                                                                                                  \
        struct operation operation = {.type = TYPE, .compute = apply_##name, .op = op, .operand = {.name = operand}};  \
        union number old, then = {.name = operand};                                                                    \
        enum ptq_err err = pti_cell_is_far(cell) ? pti_far_apply(cell, TYPE, op, &then.u64, ret_new != NULL)           \
                                                 : operate(cell, &operation, &old, &then);                             \
                                                                                                                       \
        if (err == PTQ_OK && ret_new != NULL)                                                                          \
            *ret_new = then.name;                                                                                      \
        return err;                                                                                                    \
    }                                                                                                                  \
                                                                                                                       \
    enum ptq_err ptq_##name##_swap(ptq_cell *cell, type_of value, type_of *ret_old)                                    \
    {                                                                                                                  \
        struct operation operation = {.type = TYPE, .compute = apply_##name, .operand = {.name = value}};              \
        union number old = {.name = value}, then;                                                                      \
                                                                                                                       \
        if (ret_old == NULL)                                                                                           \
            return PTQ_EINVAL;                                                                                         \
        enum ptq_err err = pti_cell_is_far(cell) ? pti_far_swap(cell, TYPE, &old.u64)                                  \
                                                 : operate(cell, &operation, &old, &then);                             \
        if (err == PTQ_OK)                                                                                             \
            *ret_old = old.name;                                                                                       \
        return err;                                                                                                    \
    }                                                                                                                  \
                                                                                                                       \
    enum ptq_err ptq_##name##_cas(ptq_cell *cell, type_of *expected, type_of value)                                    \
    {                                                                                                                  \
        union number was, then = {.name = value};                                                                      \
                                                                                                                       \
        if (expected == NULL)                                                                                          \
            return PTQ_EINVAL;                                                                                         \
        was.name = *expected;                                                                                          \
        enum ptq_err err = pti_cell_is_far(cell) ? pti_far_cas(cell, TYPE, &was.u64, then.u64)                         \
                                                 : exchange_if(cell, TYPE, &was, then);                                \
        *expected = was.name;                                                                                          \
        return err;                                                                                                    \
    }                                                                                                                  \
                                                                                                                       \
    enum ptq_err ptq_##name##_update(ptq_cell *cell, type_of (*update)(type_of value, void *context), void *context,   \
                                     type_of *ret_new)                                                                 \
    {                                                                                                                  \
        struct operation operation = {.type = TYPE, .compute = update_number, .update_##name = update,                 \
                                      .context = context};                                                             \
        union number old, then;                                                                                        \
                                                                                                                       \
        if (update == NULL)                                                                                            \
            return PTQ_EINVAL;                                                                                         \
        enum ptq_err err = pti_cell_is_far(cell) ? update_far(cell, &operation, &then)                                 \
                                                 : operate(cell, &operation, &old, &then);                             \
        if (err == PTQ_OK && ret_new != NULL)                                                                          \
            *ret_new = then.name;                                                                                      \
        return err;                                                                                                    \
    }

NUMBER_CALLS(i64, int64_t, PTQ_CELL_I64)
NUMBER_CALLS(u64, uint64_t, PTQ_CELL_U64)
NUMBER_CALLS(f64, double, PTQ_CELL_F64)
