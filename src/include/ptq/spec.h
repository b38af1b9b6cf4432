/* spec.h -- declared layouts: messages of a fixed size, with named, typed, shaped fields, read and written in place.
 *
 *     ptq_spec *spec;
 *     ptq_spec_parse("images:u8[480,640,3] label:i32", NULL, &spec);
 *     ptq_queue_open(bus, "frames", &(struct ptq_queue_options){.spec = ptq_spec_text(spec)}, &queue);
 *
 *     ptq_loan(queue, ptq_spec_size(spec), PTQ_FOREVER, &loan);
 *     uint8_t *images = ptq_spec_field(spec, loan, "images", NULL);    -- straight into the block
 *
 * Layout: that of a C struct with the same members in the same order on x86-64 and arm64: each field begins at the next
 * multiple of its element's size, and the whole is a multiple of its largest element.  Numbers are in the byte order of
 * the home host (little-endian on all that are supported).  An array's last dimension runs fastest, as in C.
 *
 * Text form: fields with a blank between, each name:type or name:type[d1,d2,...].  Types: u8 u16 u32 u64 i8 i16 i32 i64
 * f32 f64.  Names: [A-Za-z_][A-Za-z0-9_.-]*, up to 64 bytes.
 *
 * A spec is plain memory of one process: read by several threads at once, changed by one.  No call here blocks.
 */
#ifndef PTQ_SPEC_H
#define PTQ_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/err.h>
#include <ptq/queue.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum ptq_type {
    PTQ_U8 = 1,
    PTQ_U16,
    PTQ_U32,
    PTQ_U64,
    PTQ_I8,
    PTQ_I16,
    PTQ_I32,
    PTQ_I64,
    PTQ_F32,
    PTQ_F64
};

#define PTQ_SPEC_FIELDS_MAX 64
#define PTQ_SPEC_DIMS_MAX 8
#define PTQ_SPEC_NAME_MAX 64
#define PTQ_SPEC_SIZE_MAX (UINT64_C(1) << 30) /**< bytes in one message */

/** A declared layout.  Opaque. */
typedef struct ptq_spec ptq_spec;

/** One field.  Pointers are borrowed until the spec is changed or freed. */
struct ptq_field {
    const char *name;
    enum ptq_type type;
    size_t ndim;          /**< 0: a single number */
    const uint64_t *dims; /**< ndim of them */
    uint64_t count;       /**< elements */
    uint64_t offset, size; /**< bytes, in the message */
};

/** A field of one message, in place. */
struct ptq_array {
    void *data; /**< into the block: writable in a loan, read-only in a leased message; borrowed as the message is */
    struct ptq_field field;
};

/** An empty spec.  Give it back with ptq_spec_free. */
PTQ_MUST_CHECK enum ptq_err ptq_spec_new(ptq_spec **ret_spec);
void ptq_spec_free(ptq_spec *spec); /**< NULL is fine */

/**
 * Adds a field behind the others: ndim dimensions, each from 1; 0 dimensions are a single number (`dims` may be NULL).
 * PTQ_EINVAL: a bad name, type or dimension; PTQ_EEXIST: it has one of that name; PTQ_EMSGSIZE: beyond a limit above,
 * or the text form beyond PTQ_SPEC_TEXT_MAX.  On failure nothing is added.
 */
PTQ_MUST_CHECK enum ptq_err ptq_spec_add(ptq_spec *spec, const char *name, enum ptq_type type, size_t ndim,
                                         const uint64_t *dims);

/** Adds all fields of another, or none. */
PTQ_MUST_CHECK enum ptq_err ptq_spec_append(ptq_spec *spec, const ptq_spec *other);

/** Reads the text form; `error` (may be NULL) says what is wrong where.  PTQ_EINVAL, PTQ_EEXIST, PTQ_EMSGSIZE, PTQ_ENOMEM. */
PTQ_MUST_CHECK enum ptq_err ptq_spec_parse(const char *text, struct ptq_error *error, ptq_spec **ret_spec);

/** Its text form, which parses back to an equal spec; "" if it is empty.  Borrowed until it is changed or freed. */
const char *ptq_spec_text(const ptq_spec *spec);

/** The same fields in the same order. */
bool ptq_spec_equal(const ptq_spec *a, const ptq_spec *b);

size_t ptq_spec_size(const ptq_spec *spec);                            /**< bytes of one message; 0: it is empty */
uint64_t ptq_spec_nbytes(const ptq_spec *spec, uint64_t capacity);     /**< of so many; UINT64_MAX where that is too much */
size_t ptq_spec_count(const ptq_spec *spec);                           /**< fields */
bool ptq_spec_field_at(const ptq_spec *spec, size_t index, struct ptq_field *ret_field); /**< in order; false: none */

/** The field of that name; its name and dims are borrowed until the spec is changed or freed.  false: there is none, and *ret_field stays as it was. */
bool ptq_spec_find(const ptq_spec *spec, const char *name, struct ptq_field *ret_field);

const char *ptq_type_name(enum ptq_type type); /**< "u8"; "?" */
size_t ptq_type_size(enum ptq_type type);      /**< bytes; 0: no type */

/**
 * A field of a leased message or a loan, in place: pointer, type, shape.  A loan's bytes are whatever was there before.
 * PTQ_ENOENT: no field of that name; PTQ_EMISMATCH: the message is not as long as the spec says (a loan: is shorter).
 */
PTQ_MUST_CHECK enum ptq_err ptq_spec_array(const ptq_spec *spec, ptq_msg *msg, const char *name,
                                           struct ptq_array *ret_array);

/** The short form: where it begins, and its bytes in *ret_size (may be NULL); NULL where ptq_spec_array would fail. */
void *ptq_spec_field(const ptq_spec *spec, ptq_msg *msg, const char *name, size_t *ret_size);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
