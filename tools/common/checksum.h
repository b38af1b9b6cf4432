/* checksum.h -- CRC-32C (Castagnoli). */
#ifndef TOOL_CHECKSUM_H
#define TOOL_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Goes on with `sum`, which is 0 at the beginning. */
uint32_t tool_crc32c(uint32_t sum, const void *bytes, size_t size);

#endif
