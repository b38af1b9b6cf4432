/* spec.c -- declared layouts: fields, where they stand, and their text form. */
#include "queue/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/bus.h"
#include "queue/port.h"

struct field {
    char name[PTQ_SPEC_NAME_MAX + 1];
    enum ptq_type type;
    size_t ndim;
    uint64_t dims[PTQ_SPEC_DIMS_MAX];
    uint64_t count, offset, size;
};

struct ptq_spec {
    struct field fields[PTQ_SPEC_FIELDS_MAX];
    size_t count;
    uint64_t end;   /* behind the last field */
    uint64_t align; /* the largest element */
    char text[PTQ_SPEC_TEXT_MAX + 1];
};

static const struct {
    const char *name;
    size_t size;
} types[] = {[PTQ_U8] = {"u8", 1},  [PTQ_U16] = {"u16", 2}, [PTQ_U32] = {"u32", 4}, [PTQ_U64] = {"u64", 8},
             [PTQ_I8] = {"i8", 1},  [PTQ_I16] = {"i16", 2}, [PTQ_I32] = {"i32", 4}, [PTQ_I64] = {"i64", 8},
             [PTQ_F32] = {"f32", 4}, [PTQ_F64] = {"f64", 8}};
#define TYPES (sizeof types / sizeof *types)

#define NAME_FIRST "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
#define NAME_REST NAME_FIRST "0123456789.-"

const char *ptq_type_name(enum ptq_type type) { return type >= 1 && (size_t)type < TYPES ? types[type].name : "?"; }
size_t ptq_type_size(enum ptq_type type) { return type >= 1 && (size_t)type < TYPES ? types[type].size : 0; }

static uint64_t round_up(uint64_t value, uint64_t unit) { return unit ? (value + unit - 1) / unit * unit : value; }

/* ---- making */

enum ptq_err ptq_spec_new(ptq_spec **ret_spec)
{
    ptq_spec *spec = ret_spec ? calloc(1, sizeof *spec) : NULL;

    if (!spec)
        return ret_spec ? PTQ_ENOMEM : PTQ_EINVAL;
    *ret_spec = spec;
    return PTQ_OK;
}

void ptq_spec_free(ptq_spec *spec) { free(spec); }

static bool name_is_valid(const char *name)
{
    size_t length = strnlen(name, PTQ_SPEC_NAME_MAX + 1);

    return length >= 1 && length <= PTQ_SPEC_NAME_MAX && strchr(NAME_FIRST, name[0]) &&
           strspn(name, NAME_REST) == length;
}

static const struct field *find(const ptq_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->count; i++)
        if (strcmp(spec->fields[i].name, name) == 0)
            return &spec->fields[i];
    return NULL;
}

static enum ptq_err set_shape(struct field *field, size_t ndim, const uint64_t *dims)
{
    field->count = 1;
    field->ndim = ndim;
    for (size_t i = 0; i < ndim; i++) {
        if (dims[i] == 0)
            return PTQ_EINVAL;
        if (__builtin_mul_overflow(field->count, dims[i], &field->count) || field->count > PTQ_SPEC_SIZE_MAX)
            return PTQ_EMSGSIZE;
        field->dims[i] = dims[i];
    }
    field->size = field->count * ptq_type_size(field->type); /* at most 8 GiB: no overflow */
    return PTQ_OK;
}

/* Behind what stands at `text`; false: no room. */
static bool write_field(const struct field *field, char *text, size_t room)
{
    int at = snprintf(text, room, "%s:%s", field->name, ptq_type_name(field->type));

    for (size_t i = 0; i < field->ndim && at >= 0 && (size_t)at < room; i++)
        at += snprintf(text + at, room - (size_t)at, "%c%llu%s", i == 0 ? '[' : ',', (unsigned long long)field->dims[i],
                       i + 1 == field->ndim ? "]" : "");
    return at >= 0 && (size_t)at < room;
}

static bool append_text(ptq_spec *spec, const struct field *field)
{
    size_t at = strlen(spec->text), blank = at > 0;

    if (at + blank >= sizeof spec->text || !write_field(field, spec->text + at + blank, sizeof spec->text - at - blank)) {
        spec->text[at] = '\0';
        return false;
    }
    if (blank)
        spec->text[at] = ' ';
    return true;
}

static enum ptq_err place(ptq_spec *spec, struct field *field)
{
    uint64_t align = ptq_type_size(field->type);
    uint64_t widest = align > spec->align ? align : spec->align;

    field->offset = round_up(spec->end, align);
    if (spec->count == PTQ_SPEC_FIELDS_MAX || round_up(field->offset + field->size, widest) > PTQ_SPEC_SIZE_MAX ||
        !append_text(spec, field))
        return PTQ_EMSGSIZE;
    spec->end = field->offset + field->size;
    spec->align = widest;
    spec->fields[spec->count++] = *field;
    return PTQ_OK;
}

enum ptq_err ptq_spec_add(ptq_spec *spec, const char *name, enum ptq_type type, size_t ndim, const uint64_t *dims)
{
    struct field field = {.type = type};
    enum ptq_err err;

    if (!spec || !name || !name_is_valid(name) || ptq_type_size(type) == 0 || (ndim > 0 && !dims))
        return PTQ_EINVAL;
    if (find(spec, name))
        return PTQ_EEXIST;
    if (ndim > PTQ_SPEC_DIMS_MAX)
        return PTQ_EMSGSIZE;
    strcpy(field.name, name);
    err = set_shape(&field, ndim, dims);
    return err == PTQ_OK ? place(spec, &field) : err;
}

enum ptq_err ptq_spec_append(ptq_spec *spec, const ptq_spec *other)
{
    ptq_spec *sum;
    enum ptq_err err = spec && other ? ptq_spec_new(&sum) : PTQ_EINVAL;

    if (err != PTQ_OK)
        return err;
    *sum = *spec;
    for (size_t i = 0; i < other->count && err == PTQ_OK; i++) {
        const struct field *field = &other->fields[i];
        err = ptq_spec_add(sum, field->name, field->type, field->ndim, field->dims);
    }
    if (err == PTQ_OK)
        *spec = *sum;
    ptq_spec_free(sum);
    return err;
}

/* ---- the text form */

/* What is read, and where. */
struct reader {
    const char *text, *at;
    struct ptq_error *error;
};

static enum ptq_err complain(const struct reader *reader, enum ptq_err err, const char *what)
{
    return pti_error(reader->error, err, "spec '%.200s': %s, at character %zu", reader->text, what,
                     (size_t)(reader->at - reader->text) + 1);
}

static bool take_word(struct reader *reader, const char *letters, char *word, size_t room)
{
    size_t length = strspn(reader->at, letters);

    if (length == 0 || length >= room)
        return false;
    memcpy(word, reader->at, length);
    word[length] = '\0';
    reader->at += length;
    return true;
}

static bool take_type(struct reader *reader, enum ptq_type *ret_type)
{
    char word[8];

    if (!take_word(reader, NAME_REST, word, sizeof word))
        return false;
    for (size_t i = 1; i < TYPES; i++) {
        if (strcmp(types[i].name, word) != 0)
            continue;
        *ret_type = (enum ptq_type)i;
        return true;
    }
    return false;
}

static bool take_number(struct reader *reader, uint64_t *ret_number)
{
    char word[20]; /* below 10^19: it fits 64 bits */

    if (!take_word(reader, "0123456789", word, sizeof word))
        return false;
    *ret_number = strtoull(word, NULL, 10);
    return *ret_number > 0;
}

static const char *take_shape(struct reader *reader, uint64_t dims[PTQ_SPEC_DIMS_MAX], size_t *ret_ndim)
{
    *ret_ndim = 0;
    if (*reader->at != '[')
        return NULL;
    do {
        reader->at++;
        if (*ret_ndim == PTQ_SPEC_DIMS_MAX)
            return "a field has at most 8 dimensions";
        if (!take_number(reader, &dims[(*ret_ndim)++]))
            return "a dimension is a number from 1";
    } while (*reader->at == ',');
    if (*reader->at != ']')
        return "a ] is missing";
    reader->at++;
    return NULL;
}

static enum ptq_err take_field(struct reader *reader, ptq_spec *spec)
{
    const char *start = reader->at, *bad;
    char name[PTQ_SPEC_NAME_MAX + 1];
    uint64_t dims[PTQ_SPEC_DIMS_MAX];
    enum ptq_type type;
    enum ptq_err err;
    size_t ndim;

    if (!take_word(reader, NAME_REST, name, sizeof name) || !name_is_valid(name))
        return complain(reader, PTQ_EINVAL, "a field begins with its name, as in label:i32");
    if (*reader->at != ':')
        return complain(reader, PTQ_EINVAL, "a : and a type follow a name");
    reader->at++;
    if (!take_type(reader, &type))
        return complain(reader, PTQ_EINVAL, "a type is one of u8 u16 u32 u64 i8 i16 i32 i64 f32 f64");
    bad = take_shape(reader, dims, &ndim);
    if (bad)
        return complain(reader, PTQ_EINVAL, bad);
    if (*reader->at != '\0' && *reader->at != ' ')
        return complain(reader, PTQ_EINVAL, "a blank stands between fields");
    err = ptq_spec_add(spec, name, type, ndim, dims);
    if (err == PTQ_OK)
        return PTQ_OK;
    reader->at = start;
    return complain(reader, err, err == PTQ_EEXIST ? "this name stands there twice" : "this is more than a spec can be");
}

enum ptq_err ptq_spec_parse(const char *text, struct ptq_error *error, ptq_spec **ret_spec)
{
    struct reader reader = {text, text, error};
    ptq_spec *spec;
    enum ptq_err err = text && ret_spec ? ptq_spec_new(&spec) : PTQ_EINVAL;

    if (err != PTQ_OK)
        return pti_error(error, err, "a spec needs a text and a place for its handle");
    while (err == PTQ_OK) {
        reader.at += strspn(reader.at, " ");
        if (*reader.at == '\0')
            break;
        err = take_field(&reader, spec);
    }
    if (err == PTQ_OK)
        *ret_spec = spec;
    else
        ptq_spec_free(spec);
    return err;
}

const char *ptq_spec_text(const ptq_spec *spec) { return spec->text; }

enum ptq_err pti_spec_read(const char *text, struct ptq_error *error, char canonical[PTQ_SPEC_TEXT_MAX + 1],
                           uint32_t *ret_size)
{
    ptq_spec *spec;
    enum ptq_err err = ptq_spec_parse(text, error, &spec);

    if (err != PTQ_OK)
        return err == PTQ_ENOMEM ? err : PTQ_EINVAL;
    strcpy(canonical, spec->text);
    *ret_size = (uint32_t)ptq_spec_size(spec);
    ptq_spec_free(spec);
    return PTQ_OK;
}

/* ---- asking */

bool ptq_spec_equal(const ptq_spec *a, const ptq_spec *b) { return strcmp(a->text, b->text) == 0; }
size_t ptq_spec_size(const ptq_spec *spec) { return (size_t)round_up(spec->end, spec->align); }
size_t ptq_spec_count(const ptq_spec *spec) { return spec->count; }

uint64_t ptq_spec_nbytes(const ptq_spec *spec, uint64_t capacity)
{
    uint64_t bytes;

    return __builtin_mul_overflow((uint64_t)ptq_spec_size(spec), capacity, &bytes) ? UINT64_MAX : bytes;
}

static void describe(const struct field *field, struct ptq_field *ret_field)
{
    *ret_field = (struct ptq_field){.name = field->name,
                                    .type = field->type,
                                    .ndim = field->ndim,
                                    .dims = field->dims,
                                    .count = field->count,
                                    .offset = field->offset,
                                    .size = field->size};
}

bool ptq_spec_field_at(const ptq_spec *spec, size_t index, struct ptq_field *ret_field)
{
    if (index >= spec->count)
        return false;
    describe(&spec->fields[index], ret_field);
    return true;
}

bool ptq_spec_find(const ptq_spec *spec, const char *name, struct ptq_field *ret_field)
{
    const struct field *field = name ? find(spec, name) : NULL;

    if (field)
        describe(field, ret_field);
    return field != NULL;
}

/* ---- in messages */

static bool is_long_enough(const ptq_spec *spec, const ptq_msg *msg)
{
    size_t size = ptq_spec_size(spec);

    return msg->state == PTI_MSG_LOANED ? msg->size >= size : msg->size == size;
}

enum ptq_err ptq_spec_array(const ptq_spec *spec, ptq_msg *msg, const char *name, struct ptq_array *ret_array)
{
    struct ptq_field field;

    if (!spec || !msg || !ret_array)
        return PTQ_EINVAL;
    if (!ptq_spec_find(spec, name, &field))
        return PTQ_ENOENT;
    if (!is_long_enough(spec, msg))
        return PTQ_EMISMATCH;
    ret_array->data = (char *)msg->data + field.offset;
    ret_array->field = field;
    return PTQ_OK;
}

void *ptq_spec_field(const ptq_spec *spec, ptq_msg *msg, const char *name, size_t *ret_size)
{
    struct ptq_array array;

    if (ptq_spec_array(spec, msg, name, &array) != PTQ_OK)
        return NULL;
    if (ret_size)
        *ret_size = (size_t)array.field.size;
    return array.data;
}
