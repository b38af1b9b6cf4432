/* frame.c -- frames: a fixed header, then the payload; cut out of a stream of bytes with every length checked first. */
#include "wire/frame.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "wire/crc32c.h"
#include "wire/limits.h"

#define ROOM_FIRST (16u << 10)

enum offset {
    MAGIC = 0,
    VERSION = 4,
    TYPE = 5,
    FLAGS = 6,
    LENGTH = 8,
    CHANNEL = 12,
    NUMBER = 16,
    ACK = 24,
    CREDIT = 32,
    SUM = 36
};

_Static_assert(SUM + 4 == PTI_FRAME_HEADER, "the header ends with its checksum");

void pti_frame_seal(uint8_t *at, const struct pti_frame *frame)
{
    pti_store32(at + MAGIC, PTI_FRAME_MAGIC);
    at[VERSION] = frame->version;
    at[TYPE] = frame->type;
    pti_store16(at + FLAGS, frame->flags);
    pti_store32(at + LENGTH, frame->length);
    pti_store32(at + CHANNEL, frame->channel);
    pti_store64(at + NUMBER, frame->number);
    pti_store64(at + ACK, frame->ack);
    pti_store32(at + CREDIT, frame->credit);
    pti_store32(at + SUM, 0);
    pti_store32(at + SUM, pti_crc32c(0, at, PTI_FRAME_HEADER + (size_t)frame->length));
}

void pti_frame_reader_init(struct pti_frame_reader *reader, uint32_t cap)
{
    *reader = (struct pti_frame_reader){.cap = cap};
}

void pti_frame_reader_fini(struct pti_frame_reader *reader)
{
    free(reader->bytes);
    *reader = (struct pti_frame_reader){0};
}

void pti_frame_reader_set_cap(struct pti_frame_reader *reader, uint32_t cap)
{
    reader->cap = cap;
}

/* How much has to stand together for the frame that begins at `begin`: known once its header is there. */
static size_t need_of(const struct pti_frame_reader *reader)
{
    size_t have = reader->end - reader->begin;

    if (have < PTI_FRAME_HEADER)
        return PTI_FRAME_HEADER;
    uint32_t length = pti_fetch32(reader->bytes + reader->begin + LENGTH);
    return PTI_FRAME_HEADER + (size_t)(length < reader->cap ? length : reader->cap);
}

static void move_to_front(struct pti_frame_reader *reader)
{
    size_t have = reader->end - reader->begin;

    if (reader->begin > 0 && have > 0)
        memmove(reader->bytes, reader->bytes + reader->begin, have);
    reader->begin = 0;
    reader->end = have;
}

/* Grows by doubling while frames come that fill it, so that an idle link stays small. */
static size_t room_wanted(const struct pti_frame_reader *reader)
{
    size_t most = PTI_FRAME_HEADER + (size_t)(reader->cap > PTI_WIRE_FRAME_BYTES ? reader->cap : PTI_WIRE_FRAME_BYTES);
    size_t need = need_of(reader), wanted = reader->room == 0 ? ROOM_FIRST : reader->room;

    while (wanted < need)
        wanted *= 2;
    if (wanted < most && reader->end == reader->room && reader->room > 0)
        wanted *= 2;
    return wanted < most ? wanted : (most > need ? most : need);
}

uint8_t *pti_frame_reader_space(struct pti_frame_reader *reader, size_t *ret_size)
{
    size_t wanted = room_wanted(reader);

    move_to_front(reader);
    if (wanted > reader->room) {
        uint8_t *grown = realloc(reader->bytes, wanted);
        if (grown == NULL)
            return NULL;
        reader->bytes = grown;
        reader->room = wanted;
    }
    *ret_size = reader->room - reader->end;
    return reader->bytes + reader->end;
}

void pti_frame_reader_filled(struct pti_frame_reader *reader, size_t size)
{
    reader->end += size;
}

/* Law: the length is compared with the cap before a byte is allocated or waited for because of it. */
enum ptq_err pti_frame_reader_next(struct pti_frame_reader *reader, struct pti_frame *ret_frame,
                                   const char **ret_reason)
{
    uint8_t *at = reader->bytes + reader->begin;
    size_t have = reader->end - reader->begin;
    uint8_t first[4];

    pti_store32(first, PTI_FRAME_MAGIC);
    if (have > 0 && memcmp(at, first, have < 4 ? have : 4) != 0)
        return pti_refuse(ret_reason, "the bytes are not frames of ptq");
    if (have < PTI_FRAME_HEADER)
        return PTQ_EMPTY;
    uint32_t length = pti_fetch32(at + LENGTH);
    if (length > reader->cap)
        return pti_refuse(ret_reason, "a frame is longer than was agreed");
    if (have < PTI_FRAME_HEADER + (size_t)length)
        return PTQ_EMPTY;
    uint32_t sum = pti_fetch32(at + SUM);
    pti_store32(at + SUM, 0);
    if (pti_crc32c(0, at, PTI_FRAME_HEADER + (size_t)length) != sum)
        return pti_refuse(ret_reason, "the checksum of a frame is wrong");
    *ret_frame = (struct pti_frame){
        .version = at[VERSION],
        .type = at[TYPE],
        .flags = pti_fetch16(at + FLAGS),
        .length = length,
        .channel = pti_fetch32(at + CHANNEL),
        .number = pti_fetch64(at + NUMBER),
        .ack = pti_fetch64(at + ACK),
        .credit = pti_fetch32(at + CREDIT),
        .payload = at + PTI_FRAME_HEADER,
    };
    reader->begin += PTI_FRAME_HEADER + (size_t)length;
    return PTQ_OK;
}
