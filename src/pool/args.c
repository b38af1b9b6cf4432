/* args.c -- several typed arguments as one run of bytes.
 *
 *   list      0  magic:32 "PA1\0" | count:32
 *   argument  0  type:8, its letter | zero:24 | size:32
 *             8  bytes, padded with 0 to 8; numbers are 8 bytes, little-endian; a text has its final 0
 */
#include <ptq/map.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define HEAD 8u

static const unsigned char magic[4] = {'P', 'A', '1', 0};

static size_t pad(size_t size)
{
    return (size + 7u) & ~(size_t)7u;
}

/* -- writing -------------------------------------------------------------------------------------------------- */

static bool make_room(struct ptq_args *args, size_t more)
{
    size_t size = (args->size != 0 ? args->size : HEAD) + more, room = args->room != 0 ? args->room : 256;
    if (args->err != PTQ_OK)
        return false;
    while (room < size)
        room *= 2;
    if (room != args->room) {
        unsigned char *grown = realloc(args->bytes, room);
        if (grown == NULL) {
            args->err = PTQ_ENOMEM;
            return false;
        }
        args->bytes = grown;
        args->room = room;
    }
    if (args->size == 0) {
        memcpy(args->bytes, magic, sizeof magic);
        args->size = HEAD;
    }
    pti_store32(args->bytes + 4, args->count);
    return true;
}

static void add(struct ptq_args *args, char type, const void *data, size_t size)
{
    if (args->err == PTQ_OK && (args->count == PTQ_ARGS_MAX || size > PTQ_POOL_ITEM_MAX))
        args->err = PTQ_ETOOBIG;
    if (!make_room(args, HEAD + pad(size)))
        return;
    unsigned char *to = args->bytes + args->size;
    memset(to, 0, HEAD + pad(size));
    to[0] = (unsigned char)type;
    pti_store32(to + 4, (uint32_t)size);
    if (size != 0)
        memcpy(to + HEAD, data, size);
    args->size += HEAD + pad(size);
    pti_store32(args->bytes + 4, ++args->count);
}

static void add_number(struct ptq_args *args, char type, uint64_t bits)
{
    uint8_t bytes[8];
    pti_store64(bytes, bits);
    add(args, type, bytes, sizeof bytes);
}

void ptq_args_u64(struct ptq_args *args, uint64_t value)
{
    add_number(args, 'u', value);
}

void ptq_args_i64(struct ptq_args *args, int64_t value)
{
    add_number(args, 'i', (uint64_t)value);
}

void ptq_args_f64(struct ptq_args *args, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    add_number(args, 'f', bits);
}

void ptq_args_bytes(struct ptq_args *args, const void *data, size_t size)
{
    add(args, 'b', data, data != NULL ? size : 0);
}

void ptq_args_text(struct ptq_args *args, const char *text)
{
    add(args, 't', text != NULL ? text : "", text != NULL ? strlen(text) + 1 : 1);
}

enum ptq_err ptq_args_done(struct ptq_args *args, struct ptq_bytes *ret_bytes)
{
    if (args == NULL || ret_bytes == NULL)
        return PTQ_EINVAL;
    if (!make_room(args, 0))
        return args->err;
    *ret_bytes = (struct ptq_bytes){args->bytes, args->size};
    return PTQ_OK;
}

void ptq_args_fini(struct ptq_args *args)
{
    if (args == NULL)
        return;
    free(args->bytes);
    *args = (struct ptq_args){0};
}

/* -- reading -------------------------------------------------------------------------------------------------- */

struct argument {
    const unsigned char *data;
    size_t size;
    char type;
};

/* The one at *offset; false: there is none that is whole. */
static bool next_argument(const unsigned char *bytes, size_t size, size_t *offset, struct argument *ret_argument)
{
    static const unsigned char zeros[3] = {0};
    size_t left = size - *offset;
    const unsigned char *from = bytes + *offset;
    if (left < HEAD || memcmp(from + 1, zeros, sizeof zeros) != 0)
        return false;
    struct argument argument = {.data = from + HEAD, .size = pti_fetch32(from + 4), .type = (char)from[0]};
    bool is_number = argument.type == 'i' || argument.type == 'u' || argument.type == 'f';
    if (argument.size > left - HEAD || pad(argument.size) > left - HEAD)
        return false;
    if (is_number ? argument.size != 8 : argument.type == 't' ? argument.size == 0 : argument.type != 'b')
        return false;
    if (argument.type == 't' && memchr(argument.data, 0, argument.size) != argument.data + argument.size - 1)
        return false;
    *offset += HEAD + pad(argument.size);
    *ret_argument = argument;
    return true;
}

static enum ptq_err check(const unsigned char *bytes, size_t size, const char *types)
{
    struct argument argument;
    size_t offset = HEAD, wanted = strlen(types);
    bool fits = true;
    if (size < HEAD || memcmp(bytes, magic, sizeof magic) != 0 || pti_fetch32(bytes + 4) > PTQ_ARGS_MAX)
        return PTQ_EPROTO;
    uint32_t count = pti_fetch32(bytes + 4);
    for (uint32_t i = 0; i < count; i++) {
        if (!next_argument(bytes, size, &offset, &argument))
            return PTQ_EPROTO;
        fits = fits && i < wanted && (types[i] == argument.type || types[i] == '-');
    }
    if (offset != size)
        return PTQ_EPROTO;
    return fits && count == wanted ? PTQ_OK : PTQ_EINVAL;
}

static void give(const struct argument *argument, void *to)
{
    uint64_t bits = argument->size == 8 ? pti_fetch64(argument->data) : 0;
    int64_t number = (int64_t)bits;
    const char *text = (const char *)argument->data;
    struct ptq_bytes bytes = {argument->data, argument->size};
    switch (argument->type) {
    case 'b': memcpy(to, &bytes, sizeof bytes); break;
    case 't': memcpy(to, &text, sizeof text); break;
    case 'i': memcpy(to, &number, sizeof number); break;
    default: memcpy(to, &bits, sizeof bits); break; /* a double's bits are its number's */
    }
}

enum ptq_err ptq_args_read(const void *data, size_t size, const char *types, ...)
{
    if (types == NULL || (data == NULL && size != 0))
        return PTQ_EINVAL;
    enum ptq_err err = check(data, size, types);
    if (err != PTQ_OK)
        return err;
    struct argument argument;
    size_t offset = HEAD;
    va_list arguments;
    va_start(arguments, types);
    for (const char *type = types; *type != 0 && next_argument(data, size, &offset, &argument); type++)
        if (*type != '-')
            give(&argument, va_arg(arguments, void *));
    va_end(arguments);
    return PTQ_OK;
}
