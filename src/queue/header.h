/* header.h -- headers as they stand in a block and on the wire.
 *
 *   a header    name length:8 (1 to 64) | value length:16, little-endian | name | value
 *   the trace   name length 255 | its 26 bytes
 *   padding     zeroes, to a multiple of 4
 */
#ifndef PTQ_QUEUE_HEADER_H
#define PTQ_QUEUE_HEADER_H

#include "queue/port.h"

#define PTI_HEADER_TRACE 255u
#define PTI_TRACE_BYTES 26u
#define PTI_HEADER_NAME_MAX 64u

/* Packs what `options` says into `buffer` of PTQ_HEADERS_MAX bytes.  PTQ_EINVAL: a bad name; PTQ_EMSGSIZE: too much. */
enum ptq_err pti_headers_pack(const struct ptq_put_options *options, uint8_t *buffer, uint8_t *ret_units);

#endif
