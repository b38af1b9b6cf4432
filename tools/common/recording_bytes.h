/* recording_bytes.h -- what only the writer and the reader of recordings know. */
#ifndef TOOL_RECORDING_BYTES_H
#define TOOL_RECORDING_BYTES_H

#include "checksum.h"
#include "recording.h"

enum {
    RECORD_VERSION = 1,
    RECORD_FIXED = 48, /* of a message, before its trace */
    RECORD_TRACE = 26,
    RECORD_REDELIVERED = 1, /* flags of a message */
    RECORD_TRACED = 2,
    RECORD_INDEX_SPACING = 65536,
    RECORD_INDEX_MOST = 65536,
    RECORD_INDEX_ENTRY = 24,
    RECORD_SEEN = 4096 /* messages before a cut that a later writer knows */
};

extern const unsigned char record_magic[8], record_end_magic[8], record_mark[4];

struct record_seen {
    uint64_t position;
    uint32_t sub;
};

static inline uint16_t get16(const unsigned char *at) { return (uint16_t)(at[0] | at[1] << 8); }
static inline uint32_t get32(const unsigned char *at) { return (uint32_t)get16(at) | (uint32_t)get16(at + 2) << 16; }
static inline uint64_t get64(const unsigned char *at) { return (uint64_t)get32(at) | (uint64_t)get32(at + 4) << 32; }
static inline void set16(unsigned char *at, uint16_t value)
{
    at[0] = (unsigned char)value;
    at[1] = (unsigned char)(value >> 8);
}
static inline void set32(unsigned char *at, uint32_t value)
{
    set16(at, (uint16_t)value);
    set16(at + 2, (uint16_t)(value >> 16));
}
static inline void set64(unsigned char *at, uint64_t value)
{
    set32(at, (uint32_t)value);
    set32(at + 4, (uint32_t)(value >> 32));
}

uint32_t record_sum(uint64_t id, const void *bytes, size_t size);
bool record_index_add(struct record_index *index, uint64_t offset, uint64_t number, int64_t time_ns);

#endif
