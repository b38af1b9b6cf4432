/* crc32c.h -- the checksum of frames: CRC-32C (Castagnoli), by the processor where it can. */
#ifndef PTQ_WIRE_CRC32C_H
#define PTQ_WIRE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of `size` bytes that follow bytes whose checksum is `crc`; 0 at the beginning. */
uint32_t pti_crc32c(uint32_t crc, const void *bytes, size_t size);

/* The same by tables alone: what other machines use, and what tests compare with. */
uint32_t pti_crc32c_portable(uint32_t crc, const void *bytes, size_t size);

#endif
