/* header.h -- headers as they stand in a block and on the wire.
 *
 *   a header    name length:8 (1 to 64) | value length:16, little-endian | name | value
 *   the trace   name length 255 | its 26 bytes
 *   padding     zeroes, to a multiple of 4
 *
 * Law: a reader believes no length before it has checked it, and reads each once: the bytes may be another process's,
 * who may change them at any moment.
 */
#ifndef PTQ_QUEUE_HEADER_H
#define PTQ_QUEUE_HEADER_H

#include "queue/port.h"

#define PTI_HEADER_TRACE 255u
#define PTI_TRACE_BYTES 26u

/* Packs what `options` says into `buffer` of PTQ_HEADERS_MAX bytes.  PTQ_EINVAL: a bad name; PTQ_EMSGSIZE: too much. */
enum ptq_err pti_headers_pack(const struct ptq_put_options *options, uint8_t *buffer, uint8_t *ret_units);

/* Appends a header behind `*units` of them, if there is room within `most` units.  False: there is none, nothing changed. */
bool pti_headers_append(const struct ptq_header *header, uint8_t *buffer, unsigned most, uint8_t *units);

/* How many units of headers fit a block beside a message of `size` bytes. */
static inline unsigned pti_headers_room(const struct pti_port *port, size_t size)
{
    size_t most = ((size_t)port->item_size + port->header_size + 3) & ~(size_t)3, used = (size + 3) & ~(size_t)3;
    size_t units = used < most ? (most - used) / 4 : 0;

    return (unsigned)(units < PTQ_HEADERS_MAX / 4 ? units : PTQ_HEADERS_MAX / 4);
}

/* Do headers and a message of `size` bytes fit a block of this queue together? */
static inline bool pti_headers_fit(const struct pti_port *port, size_t size, uint8_t units)
{
    return units <= pti_headers_room(port, size);
}

/* Where they stand. */
static inline const uint8_t *pti_headers_of(const struct ptq_msg *msg)
{
    return (const uint8_t *)msg->data + (((size_t)msg->size + 3) & ~(size_t)3);
}

/* What was found at a place; pointers into the bytes, name without a final 0. */
struct pti_header_found {
    const uint8_t *name, *value;
    size_t name_size, value_size;
    bool is_trace; /* then value is its 26 bytes */
};

/* The header at *at of `size` bytes; *at moves behind it.  False: there is none, or what is there makes no sense. */
bool pti_header_next(const uint8_t *bytes, size_t size, size_t *at, struct pti_header_found *ret_found);

#endif
