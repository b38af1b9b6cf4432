/* header.c -- packing headers. */
#include "queue/header.h"

#include <string.h>

static bool name_is_valid(const char *name, size_t *ret_length)
{
    if (!name)
        return false;
    *ret_length = strnlen(name, PTI_HEADER_NAME_MAX + 1);
    return *ret_length >= 1 && *ret_length <= PTI_HEADER_NAME_MAX;
}

static enum ptq_err pack_one(const struct ptq_header *header, uint8_t *buffer, size_t *at)
{
    size_t length;

    if (!name_is_valid(header->name, &length) || (!header->value && header->size > 0))
        return PTQ_EINVAL;
    if (header->size > PTQ_HEADERS_MAX || *at + 3 + length + header->size > PTQ_HEADERS_MAX)
        return PTQ_EMSGSIZE;
    buffer[(*at)++] = (uint8_t)length;
    buffer[(*at)++] = (uint8_t)(header->size & 255);
    buffer[(*at)++] = (uint8_t)(header->size >> 8);
    memcpy(buffer + *at, header->name, length);
    *at += length;
    if (header->size > 0)
        memcpy(buffer + *at, header->value, header->size);
    *at += header->size;
    return PTQ_OK;
}

static void pack_trace(const struct ptq_trace *trace, uint8_t *buffer, size_t *at)
{
    buffer[(*at)++] = PTI_HEADER_TRACE;
    buffer[(*at)++] = trace->version;
    memcpy(buffer + *at, trace->trace_id, sizeof trace->trace_id);
    *at += sizeof trace->trace_id;
    memcpy(buffer + *at, trace->parent_id, sizeof trace->parent_id);
    *at += sizeof trace->parent_id;
    buffer[(*at)++] = trace->flags;
}

enum ptq_err pti_headers_pack(const struct ptq_put_options *options, uint8_t *buffer, uint8_t *ret_units)
{
    size_t at = 0;

    if (!options->headers && options->header_count > 0)
        return PTQ_EINVAL;
    if (options->trace)
        pack_trace(options->trace, buffer, &at);
    for (size_t i = 0; i < options->header_count; i++) {
        enum ptq_err err = pack_one(&options->headers[i], buffer, &at);

        if (err != PTQ_OK)
            return err;
    }
    while (at % 4 != 0)
        buffer[at++] = 0;
    *ret_units = (uint8_t)(at / 4);
    return PTQ_OK;
}
