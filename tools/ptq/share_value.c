/* share_value.c -- ptq share: what a cell holds, printed, and numbers, read. */
#include "share_own.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const share_kind_names[] = {"any", "i64", "u64", "f64", "bytes"};

/* The value, and which one it is; owned, with a final 0.  NULL: *ret_err. */
static char *read_bytes(ptq_cell *cell, size_t *ret_size, enum ptq_err *ret_err)
{
    char *buffer = NULL;
    size_t room = 0;

    while ((*ret_err = ptq_cell_read(cell, buffer, room, ret_size, NULL)) == PTQ_EMSGSIZE || buffer == NULL) {
        if (*ret_err != PTQ_OK && *ret_err != PTQ_EMSGSIZE)
            break;
        room = *ret_size;
        char *more = realloc(buffer, room + 1);
        if (more == NULL) {
            *ret_err = PTQ_ENOMEM;
            break;
        }
        buffer = more;
    }
    if (*ret_err == PTQ_OK) {
        buffer[*ret_size] = '\0';
        return buffer;
    }
    free(buffer);
    return NULL;
}

enum ptq_err share_print_value(ptq_cell *cell, bool newline)
{
    int64_t i64;
    uint64_t u64;
    double f64;
    size_t size;
    enum ptq_err err = PTQ_OK;

    switch (ptq_cell_type(cell)) {
    case PTQ_CELL_I64:
        err = ptq_i64_get(cell, &i64);
        if (err == PTQ_OK)
            printf("%" PRId64 "\n", i64);
        break;
    case PTQ_CELL_U64:
        err = ptq_u64_get(cell, &u64);
        if (err == PTQ_OK)
            printf("%" PRIu64 "\n", u64);
        break;
    case PTQ_CELL_F64:
        err = ptq_f64_get(cell, &f64);
        if (err == PTQ_OK)
            printf("%.17g\n", f64);
        break;
    case PTQ_CELL_BYTES: {
        char *bytes = read_bytes(cell, &size, &err);
        if (bytes != NULL)
            fwrite(bytes, 1, size, stdout);
        if (bytes != NULL && newline)
            putchar('\n');
        free(bytes);
        break;
    }
    }
    return err;
}

struct share_number share_read_number(const char *text)
{
    struct share_number number = {0};
    char *end;

    errno = 0;
    number.i64 = strtoll(text, &end, 10);
    number.is_i64 = errno == 0 && end != text && *end == '\0';
    errno = 0;
    number.u64 = strtoull(text, &end, 10);
    number.is_u64 = errno == 0 && end != text && *end == '\0' && strchr(text, '-') == NULL;
    errno = 0;
    number.f64 = strtod(text, &end);
    number.is_f64 = errno == 0 && end != text && *end == '\0';
    return number;
}
