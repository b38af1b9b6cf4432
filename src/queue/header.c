/* header.c -- packing headers, and reading them again. */
#include "queue/header.h"

#include <string.h>

#include "base/atomic.h"

/* ---- packing */

static bool name_is_valid(const char *name, size_t *ret_length)
{
    if (!name)
        return false;
    *ret_length = strnlen(name, PTQ_HEADER_NAME_MAX + 1);
    return *ret_length >= 1 && *ret_length <= PTQ_HEADER_NAME_MAX;
}

static enum ptq_err pack_one(const struct ptq_header *header, uint8_t *buffer, size_t most, size_t *at)
{
    size_t length;

    if (!name_is_valid(header->name, &length) || (!header->value && header->size > 0))
        return PTQ_EINVAL;
    if (header->size > PTQ_HEADERS_MAX || *at + 3 + length + header->size > most)
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

static uint8_t pad(uint8_t *buffer, size_t at)
{
    while (at % 4 != 0)
        buffer[at++] = 0;
    return (uint8_t)(at / 4);
}

enum ptq_err pti_headers_pack(const struct ptq_put_options *options, uint8_t *buffer, uint8_t *ret_units)
{
    size_t at = 0;

    if (!options->headers && options->header_count > 0)
        return PTQ_EINVAL;
    if (options->trace)
        pack_trace(options->trace, buffer, &at);
    for (size_t i = 0; i < options->header_count; i++) {
        enum ptq_err err = pack_one(&options->headers[i], buffer, PTQ_HEADERS_MAX, &at);

        if (err != PTQ_OK)
            return err;
    }
    *ret_units = pad(buffer, at);
    return PTQ_OK;
}

bool pti_headers_append(const struct ptq_header *header, uint8_t *buffer, unsigned most, uint8_t *units)
{
    size_t at = 0, end = 4u * (most < PTQ_HEADERS_MAX / 4 ? most : PTQ_HEADERS_MAX / 4);
    struct pti_header_found found;

    while (pti_header_next(buffer, 4u * *units, &at, &found))
        ;
    if (pack_one(header, buffer, end, &at) != PTQ_OK)
        return false;
    *units = pad(buffer, at);
    return true;
}

/* ---- reading */

static uint8_t read_byte(const uint8_t *from)
{
    return pti_load_relaxed((const _Atomic uint8_t *)(const void *)from); /* once: what is checked is what is used */
}

bool pti_header_next(const uint8_t *bytes, size_t size, size_t *at, struct pti_header_found *ret_found)
{
    size_t left = size - *at, name, value;
    const uint8_t *from = bytes + *at;

    if (left < 3)
        return false;
    name = read_byte(from);
    if (name == PTI_HEADER_TRACE) {
        if (left < 1 + PTI_TRACE_BYTES)
            return false;
        *ret_found = (struct pti_header_found){.value = from + 1, .value_size = PTI_TRACE_BYTES, .is_trace = true};
        *at += 1 + PTI_TRACE_BYTES;
        return true;
    }
    value = read_byte(from + 1) | (size_t)read_byte(from + 2) << 8;
    if (name == 0 || name > PTQ_HEADER_NAME_MAX || name + value > left - 3)
        return false;
    *ret_found = (struct pti_header_found){
        .name = from + 3, .name_size = name, .value = from + 3 + name, .value_size = value};
    *at += 3 + name + value;
    return true;
}

static void unpack_trace(const uint8_t bytes[PTI_TRACE_BYTES], struct ptq_trace *ret_trace)
{
    ret_trace->version = bytes[0];
    memcpy(ret_trace->trace_id, bytes + 1, 16);
    memcpy(ret_trace->parent_id, bytes + 17, 8);
    ret_trace->flags = bytes[25];
}

/* ---- of a message */

bool ptq_msg_header_at(const ptq_msg *msg, size_t index, char name[PTQ_HEADER_NAME_MAX + 1], const void **ret_value,
                       size_t *ret_size)
{
    struct pti_header_found found;
    size_t at = 0;

    while (pti_header_next(pti_headers_of(msg), 4u * msg->headers, &at, &found)) {
        if (found.is_trace || index-- > 0)
            continue;
        memcpy(name, found.name, found.name_size);
        name[found.name_size] = '\0';
        *ret_value = found.value;
        *ret_size = found.value_size;
        return true;
    }
    return false;
}

const void *ptq_msg_header(const ptq_msg *msg, const char *name, size_t *ret_size)
{
    struct pti_header_found found;
    size_t at = 0, length;

    if (!name_is_valid(name, &length))
        return NULL;
    while (pti_header_next(pti_headers_of(msg), 4u * msg->headers, &at, &found)) {
        if (found.is_trace || found.name_size != length || memcmp(found.name, name, length) != 0)
            continue;
        *ret_size = found.value_size;
        return found.value;
    }
    return NULL;
}

size_t ptq_msg_header_count(const ptq_msg *msg)
{
    struct pti_header_found found;
    size_t at = 0, count = 0;

    while (pti_header_next(pti_headers_of(msg), 4u * msg->headers, &at, &found))
        count += !found.is_trace;
    return count;
}

bool ptq_msg_trace(const ptq_msg *msg, struct ptq_trace *ret_trace)
{
    struct pti_header_found found;
    size_t at = 0;

    while (pti_header_next(pti_headers_of(msg), 4u * msg->headers, &at, &found)) {
        if (!found.is_trace)
            continue;
        unpack_trace(found.value, ret_trace);
        return true;
    }
    return false;
}

uint32_t ptq_msg_type(const ptq_msg *msg) { return msg->type; }
