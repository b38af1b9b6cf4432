/* recording.c -- what the writer and the reader of recordings share: bytes, headers of messages, seals. */
#include "recording.h"

#include <stdlib.h>
#include <string.h>

#include "recording_bytes.h"

const unsigned char record_magic[8] = {0x89, 'p', 't', 'q', 'r', '\r', '\n', 0x1a};
const unsigned char record_end_magic[8] = {0x89, 'p', 't', 'q', 'e', '\r', '\n', 0x1a};
const unsigned char record_mark[4] = {0xf7, 'p', 't', 'q'};

bool record_reserve(struct record_bytes *bytes, size_t more)
{
    size_t room = bytes->room == 0 ? 4096 : bytes->room;

    while (room - bytes->used < more)
        if (__builtin_mul_overflow(room, 2, &room))
            return false;
    if (room == bytes->room)
        return true;
    unsigned char *at = realloc(bytes->at, room);
    if (at == NULL)
        return false;
    bytes->at = at;
    bytes->room = room;
    return true;
}

void record_bytes_fini(struct record_bytes *bytes)
{
    free(bytes->at);
    *bytes = (struct record_bytes){0};
}

bool record_header_next(const struct record_message *message, size_t *at, char name[PTQ_HEADER_NAME_MAX + 1], const void **ret_value,
                        size_t *ret_size)
{
    const unsigned char *h = message->headers + *at;
    size_t left = message->header_bytes - *at;

    if (left < 3 || h[0] == 0 || h[0] > PTQ_HEADER_NAME_MAX || left - 3 < (size_t)h[0] + get16(h + 1))
        return false;
    memcpy(name, h + 3, h[0]);
    name[h[0]] = '\0';
    *ret_value = h + 3 + h[0];
    *ret_size = get16(h + 1);
    *at += 3 + (size_t)h[0] + *ret_size;
    return true;
}

uint32_t record_sum(uint64_t id, const void *bytes, size_t size)
{
    unsigned char seed[8];

    set64(seed, id);
    return tool_crc32c(tool_crc32c(0, seed, sizeof seed), bytes, size);
}

void record_seal_head(unsigned char head[RECORD_HEAD], uint64_t id)
{
    memset(head, 0, RECORD_HEAD);
    memcpy(head, record_magic, 8);
    set32(head + 8, RECORD_VERSION);
    set64(head + 16, id);
    set32(head + 24, record_sum(id, head, 24));
}

size_t record_seal(unsigned char head[RECORD_FRAME_HEAD], uint64_t id, int kind, int flags, const void *body, size_t stored, size_t plain, uint64_t number,
                   int64_t time_ns, uint32_t count)
{
    memset(head, 0, RECORD_FRAME_HEAD);
    memcpy(head, record_mark, 4);
    head[4] = (unsigned char)kind;
    head[5] = (unsigned char)flags;
    set32(head + 8, (uint32_t)stored);
    set32(head + 12, (uint32_t)plain);
    set64(head + 16, number);
    set64(head + 24, (uint64_t)time_ns);
    set32(head + 32, count);
    set32(head + 36, record_sum(id, body, stored));
    set32(head + 40, record_sum(id, head, 40));
    return RECORD_FRAME_HEAD + stored;
}

bool record_index_add(struct record_index *index, uint64_t offset, uint64_t number, int64_t time_ns)
{
    if (index->spacing == 0)
        index->spacing = RECORD_INDEX_SPACING;
    if (index->count > 0 && offset - index->entries[index->count - 1].offset < index->spacing)
        return true;
    if (index->count == RECORD_INDEX_MOST) { /* every second goes, and later ones come half as often */
        for (size_t i = 0; i < index->count / 2; i++)
            index->entries[i] = index->entries[2 * i];
        index->count /= 2;
        index->spacing *= 2;
    }
    if (index->count == index->room) {
        size_t room = index->room == 0 ? 64 : 2 * index->room;
        struct record_index_entry *entries = realloc(index->entries, room * sizeof *entries);
        if (entries == NULL)
            return false;
        index->entries = entries;
        index->room = room;
    }
    index->entries[index->count++] = (struct record_index_entry){offset, number, time_ns};
    return true;
}
