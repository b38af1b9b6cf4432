/* assembly.c -- puts the pieces of one channel together. */
#include "wire/assembly.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define KEEP (1u << 20) /* a larger buffer is given back after use */

void pti_assembly_clear(struct pti_assembly *assembly)
{
    free(assembly->bytes);
    *assembly = (struct pti_assembly){0};
}

static enum ptq_err append(struct pti_assembly *assembly, const struct pti_frame *frame, uint64_t cap)
{
    size_t need = assembly->size + frame->length;

    if (need > cap)
        return PTQ_EPROTO;
    if (need > assembly->room) {
        size_t wanted = assembly->room * 2 > need ? assembly->room * 2 : need;
        wanted = wanted < cap ? wanted : cap;
        uint8_t *grown = realloc(assembly->bytes, wanted);
        if (grown == NULL)
            return PTQ_ENOMEM;
        assembly->bytes = grown;
        assembly->room = wanted;
    }
    memcpy(assembly->bytes + assembly->size, frame->payload, frame->length);
    assembly->size = need;
    return PTQ_OK;
}

enum ptq_err pti_assembly_add(struct pti_assembly *assembly, const struct pti_frame *frame, uint64_t cap,
                              const uint8_t **ret_payload, size_t *ret_size)
{
    bool more = (frame->flags & PTI_FRAME_MORE) != 0;

    if (assembly->type == 0 && !more) {
        *ret_payload = frame->payload;
        *ret_size = frame->length;
        return PTQ_OK;
    }
    if (assembly->type == 0) {
        if (assembly->room > KEEP)
            pti_assembly_clear(assembly);
        assembly->size = 0;
        assembly->type = frame->type;
        assembly->number = frame->number;
    }
    if (frame->type != assembly->type || frame->number != assembly->number || frame->length == 0)
        return PTQ_EPROTO;
    enum ptq_err answer = append(assembly, frame, cap);
    if (answer != PTQ_OK)
        return answer;
    if (more)
        return PTQ_EMPTY;
    assembly->type = 0;
    *ret_payload = assembly->bytes;
    *ret_size = assembly->size;
    return PTQ_OK;
}
