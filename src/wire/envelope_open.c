/* envelope_open.c -- OPEN and its answer as plain structs. */
#include "wire/envelope.h"

#include <string.h>

#include "wire/arena.h"

/* Properties of a queue that have the same name and width on both sides. */
#define OPEN_PROPERTIES(each)                                                                                          \
    each(bytes) each(header_size) each(full) each(stamps) each(ttl_ms) each(expired_to_dead) each(lease_ms)            \
    each(max_dead) each(last_producer_ends) each(letters) each(roles)
#define PROPERTY_TO_MESSAGE(field) message.field = open->field;
#define PROPERTY_OF_MESSAGE(field) open->field = message->field;

static const uint8_t no_stream[PTI_STREAM_BYTES];

size_t pti_open_pack(const struct pti_open_message *open, uint8_t *buffer, size_t room)
{
    Ptq__V1__Open message = PTQ__V1__OPEN__INIT;

    message.run = pti_borrow(open->run);
    message.name = pti_borrow(open->name);
    message.mode = open->mode;
    message.capacity = open->capacity;
    message.item_size = open->item_size;
    message.max_deliveries = open->max_deliveries;
    message.max_endpoints = open->max_endpoints;
    message.file_mode = open->file_mode;
    message.prefault = open->prefault;
    message.ephemeral = open->ephemeral;
    message.placed = open->placed;
    message.window = open->window;
    message.start = open->start;
    message.spec = pti_borrow(open->spec);
    OPEN_PROPERTIES(PROPERTY_TO_MESSAGE)
    if (memcmp(open->stream, no_stream, sizeof no_stream) != 0) {
        message.stream.data = (uint8_t *)(uintptr_t)open->stream;
        message.stream.len = sizeof open->stream;
        message.first = open->first;
        message.resync = open->resync;
    }
    message.carrier = open->carrier;
    message.thing = open->thing;
    return pti_pack(&message, buffer, room);
}

static bool read_open(struct pti_open_message *open, const Ptq__V1__Open *message)
{
    open->mode = message->mode;
    open->capacity = message->capacity;
    open->item_size = message->item_size;
    open->max_deliveries = message->max_deliveries;
    open->max_endpoints = message->max_endpoints;
    open->file_mode = message->file_mode;
    open->prefault = message->prefault;
    open->ephemeral = message->ephemeral;
    open->placed = message->placed;
    open->window = message->window;
    open->start = message->start;
    OPEN_PROPERTIES(PROPERTY_OF_MESSAGE)
    open->first = message->first;
    open->resync = message->resync;
    open->carrier = message->carrier;
    open->thing = message->thing;
    if (message->stream.len != 0 && message->stream.len != sizeof open->stream)
        return false;
    if (message->stream.len != 0)
        memcpy(open->stream, message->stream.data, sizeof open->stream);
    return message->mode <= PTQ_CREATE && message->thing <= 2 && (message->file_mode & ~0777u) == 0 &&
           message->full <= PTQ_FULL_DROP_NEWEST && message->stamps <= PTQ_STAMPS_OFF &&
           COPY_NAME_OR_NONE(open->run, message->run) && COPY_NAME(open->name, message->name) &&
           COPY_TEXT(open->spec, message->spec);
}

enum ptq_err pti_open_unpack(const uint8_t *bytes, size_t size, struct pti_open_message *ret_open)
{
    UNPACK(Ptq__V1__Open, ptq__v1__open__descriptor, read_open, bytes, size, ret_open);
}

size_t pti_opened_pack(const struct pti_opened *opened, uint8_t *buffer, size_t room)
{
    Ptq__V1__Opened message = PTQ__V1__OPENED__INIT;

    message.capacity = opened->capacity;
    message.item_size = opened->item_size;
    message.max_deliveries = opened->max_deliveries;
    message.window = opened->window;
    message.placed = opened->placed;
    message.credit_bytes = opened->credit_bytes;
    message.header_size = opened->header_size;
    message.run = pti_borrow(opened->run);
    message.node = pti_borrow(opened->node);
    message.spec = pti_borrow(opened->spec);
    message.id.data = (uint8_t *)(uintptr_t)opened->id;
    message.id.len = sizeof opened->id;
    message.stream_known = opened->stream_known;
    message.stream_floor = opened->stream_floor;
    message.streams = opened->streams;
    return pti_pack(&message, buffer, room);
}

static bool read_opened(struct pti_opened *opened, const Ptq__V1__Opened *message)
{
    opened->capacity = message->capacity;
    opened->item_size = message->item_size;
    opened->max_deliveries = message->max_deliveries;
    opened->window = message->window;
    opened->placed = message->placed;
    opened->credit_bytes = message->credit_bytes;
    opened->header_size = message->header_size;
    opened->stream_known = message->stream_known;
    opened->stream_floor = message->stream_floor;
    opened->streams = message->streams;
    if (message->id.len != 0 && message->id.len != sizeof opened->id)
        return false;
    if (message->id.len != 0)
        memcpy(opened->id, message->id.data, sizeof opened->id);
    return message->capacity > 0 && message->item_size > 0 && message->item_size <= PTI_WIRE_ITEM_BYTES &&
           message->header_size <= PTQ_HEADERS_MAX && message->credit_bytes > 0 && COPY_NAME(opened->run, message->run) &&
           COPY_WORDS(opened->node, message->node) && COPY_TEXT(opened->spec, message->spec);
}

enum ptq_err pti_opened_unpack(const uint8_t *bytes, size_t size, struct pti_opened *ret_opened)
{
    UNPACK(Ptq__V1__Opened, ptq__v1__opened__descriptor, read_opened, bytes, size, ret_opened);
}
