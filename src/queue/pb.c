/* pb.c -- <ptq/pb.h>: protobuf-c messages packed into blocks and unpacked into a bounded arena.
 *
 * Laws.  What unpacking takes is bounded before it begins, whatever the bytes say; so is how deep it goes, for
 * protobuf-c calls itself for a message inside a message and has no limit.  Bytes are looked at twice (protobuf-c
 * counts before it fills), and a block may be changed by a hostile process meanwhile: so what is unpacked is a copy.
 */
#include <ptq/pb.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "bus/bus.h"
#include "queue/header.h"
#include "queue/queue.h"

#define MEMORY_BASE (UINT64_C(64) << 10)
#define MEMORY_PER_BYTE 64u
#define DEPTH 100u
#define DEPTH_MAX 1000u
#define ALIGN 16u

/* ---- the arena: one bound for all that a message takes, one call to free it */

struct chunk {
    struct chunk *next;
    _Alignas(ALIGN) unsigned char bytes[];
};

struct arena {
    ProtobufCAllocator allocator;
    struct chunk *chunks;
    unsigned char *at, *end; /* in the newest */
    size_t left;             /* of the bound */
    size_t next_chunk;       /* doubles: few chunks, whatever the size */
    bool out_of_memory;
};

/* Each piece begins with the arena's address, so that the message alone is enough to free all. */
struct piece {
    struct arena *arena;
    _Alignas(ALIGN) unsigned char bytes[];
};

static bool add_chunk(struct arena *arena, size_t least)
{
    size_t size = arena->next_chunk < arena->left ? arena->next_chunk : arena->left;
    struct chunk *chunk;

    if (size < least)
        size = least;
    chunk = malloc(sizeof *chunk + size);

    if (!chunk) {
        arena->out_of_memory = true;
        return false;
    }
    arena->next_chunk = size < SIZE_MAX / 2 ? 2 * size : size;
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    arena->at = chunk->bytes;
    arena->end = chunk->bytes + size;
    return true;
}

static void *arena_alloc(void *data, size_t size)
{
    struct arena *arena = data;
    struct piece *piece;

    if (size > SIZE_MAX / 2)
        return NULL;
    size = (sizeof *piece + size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (size > arena->left)
        return NULL;
    if (size > (size_t)(arena->end - arena->at) && !add_chunk(arena, size))
        return NULL;
    arena->left -= size;
    piece = (void *)arena->at;
    arena->at += size;
    piece->arena = arena;
    return piece->bytes;
}

static void arena_free(void *data, void *bytes) /* all goes at once */
{
    (void)data;
    (void)bytes;
}

static struct arena *arena_new(size_t memory, size_t first)
{
    struct arena *arena = calloc(1, sizeof *arena);

    if (!arena)
        return NULL;
    arena->allocator = (ProtobufCAllocator){arena_alloc, arena_free, arena};
    arena->left = memory;
    arena->next_chunk = first;
    return arena;
}

static void arena_drop(struct arena *arena)
{
    while (arena->chunks) {
        struct chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        free(chunk);
    }
    free(arena);
}

void ptq_pb_free(ProtobufCMessage *message)
{
    if (message)
        arena_drop(((struct piece *)(void *)((unsigned char *)message - offsetof(struct piece, bytes)))->arena);
}

/* ---- depth */

static bool read_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static bool skip(const uint8_t **at, const uint8_t *end, uint64_t size)
{
    if (size > (uint64_t)(end - *at))
        return false;
    *at += size;
    return true;
}

/* Does it keep within so many levels?  Each byte is looked at once; what is no protobuf is refused here already. */
static bool is_shallow(const ProtobufCMessageDescriptor *type, const uint8_t *at, const uint8_t *end, unsigned depth)
{
    uint64_t tag, value;

    while (at < end) {
        if (!read_varint(&at, end, &tag))
            return false;
        switch (tag & 7) {
        case 0:
            if (!read_varint(&at, end, &value))
                return false;
            break;
        case 1:
        case 5:
            if (!skip(&at, end, (tag & 7) == 1 ? 8 : 4))
                return false;
            break;
        case 2: {
            const ProtobufCFieldDescriptor *field = NULL;
            const uint8_t *inside;
            if (tag >> 3 <= UINT32_MAX)
                field = protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
            if (!read_varint(&at, end, &value))
                return false;
            inside = at;
            if (!skip(&at, end, value))
                return false;
            if (field && field->type == PROTOBUF_C_TYPE_MESSAGE &&
                (depth == 0 || !is_shallow(field->descriptor, inside, at, depth - 1)))
                return false;
            break;
        }
        default:
            return false; /* groups, which protobuf-c does not know */
        }
    }
    return true;
}

/* ---- types */

uint32_t ptq_pb_type(const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    return hash ? hash : 1;
}

bool ptq_pb_is(const ptq_msg *msg, const ProtobufCMessageDescriptor *type)
{
    size_t size = 0, length = strlen(type->name);
    const void *name = ptq_msg_header(msg, PTQ_PB_HEADER, &size);

    if (name)
        return size == length && memcmp(name, type->name, length) == 0;
    return msg->type == ptq_pb_type(type->name);
}

static bool says_a_type(const ptq_msg *msg)
{
    size_t size;

    return msg->type != 0 || ptq_msg_header(msg, PTQ_PB_HEADER, &size) != NULL;
}

/* ---- in */

static enum ptq_err publish(ptq_msg *loan, size_t size, const ProtobufCMessage *message,
                            const struct ptq_put_options *options, int64_t deadline)
{
    const char *name = message->descriptor->name;
    struct ptq_header type = {PTQ_PB_HEADER, name, strlen(name)};
    struct pti_typed typed = {.type = ptq_pb_type(name), .header = &type};

    return pti_publish_typed(loan, size, options, &typed, deadline);
}

enum ptq_err ptq_put_pb_with(ptq_queue *queue, const ProtobufCMessage *message, const struct ptq_put_options *options,
                             int timeout_ms)
{
    int64_t deadline = pti_deadline(timeout_ms);
    ptq_msg *loan = NULL;
    enum ptq_err err;
    size_t size;

    if (!queue || !message || !message->descriptor)
        return PTQ_EINVAL;
    size = protobuf_c_message_get_packed_size(message);
    err = pti_queue_loan(queue, size, deadline, &loan);
    if (err != PTQ_OK)
        return err;
    if (protobuf_c_message_pack(message, ptq_msg_buffer(loan)) != size)
        err = PTQ_EINVAL; /* it was changed meanwhile */
    else
        err = publish(loan, size, message, options, deadline);
    if (err != PTQ_OK)
        ptq_abort(loan);
    return err;
}

enum ptq_err ptq_put_pb(ptq_queue *queue, const ProtobufCMessage *message, int timeout_ms)
{
    return ptq_put_pb_with(queue, message, NULL, timeout_ms);
}

/* ---- out */

static enum ptq_err refuse_type(const ptq_msg *msg, const ProtobufCMessageDescriptor *type, struct ptq_error *error)
{
    size_t size = 0;
    const char *name = ptq_msg_header(msg, PTQ_PB_HEADER, &size);
    char of[160] = "says no type";

    if (name)
        snprintf(of, sizeof of, "is of type '%.*s'", (int)(size < 128 ? size : 128), name);
    else if (msg->type != 0)
        snprintf(of, sizeof of, "is of the type with hash %08x", (unsigned)msg->type);
    for (char *c = of; *c; c++)
        *c = (unsigned char)*c < ' ' || (unsigned char)*c > '~' ? '?' : *c; /* a foreign name */
    return pti_error(error, PTQ_EMISMATCH, "queue '%s': message %llu %s, '%s' was asked; ask for that type, or take it by ptq_get",
                     msg->queue ? msg->queue->name : "", (unsigned long long)msg->position, of, type->name);
}

static enum ptq_err unpack(const ProtobufCMessageDescriptor *type, const struct ptq_pb_options *options,
                           const uint8_t *bytes, size_t size, ProtobufCMessage **ret_message)
{
    uint64_t memory = options->memory ? options->memory : MEMORY_BASE + (uint64_t)MEMORY_PER_BYTE * size;
    unsigned depth = options->depth ? options->depth : DEPTH;
    ProtobufCMessage *message;
    struct arena *arena;

    if (!is_shallow(type, bytes, bytes + size, depth < DEPTH_MAX ? depth : DEPTH_MAX))
        return PTQ_EPROTO;
    arena = arena_new((size_t)memory, type->sizeof_message + 2 * size + 256);
    if (!arena)
        return PTQ_ENOMEM;
    message = protobuf_c_message_unpack(type, &arena->allocator, size, bytes);
    if (!message) {
        enum ptq_err err = arena->out_of_memory ? PTQ_ENOMEM : PTQ_EPROTO;
        arena_drop(arena);
        return err;
    }
    *ret_message = message;
    return PTQ_OK;
}

/* Unpacks a copy: depth was judged by bytes that must be the ones that are unpacked. */
static enum ptq_err unpack_copy(const ptq_msg *msg, const ProtobufCMessageDescriptor *type,
                                const struct ptq_pb_options *options, ProtobufCMessage **ret_message)
{
    uint8_t few[1024], *bytes = msg->size > sizeof few ? malloc(msg->size) : few;
    enum ptq_err err;

    if (!bytes)
        return PTQ_ENOMEM;
    if (msg->size > 0)
        memcpy(bytes, msg->data, msg->size);
    err = unpack(type, options, bytes, msg->size, ret_message);
    if (bytes != few)
        free(bytes);
    return err;
}

enum ptq_err ptq_pb_unpack(const ptq_msg *msg, const ProtobufCMessageDescriptor *type,
                           const struct ptq_pb_options *options, ProtobufCMessage **ret_message)
{
    static const struct ptq_pb_options none;
    enum ptq_err err;

    if (!options)
        options = &none;
    if (!msg || !type || !ret_message || msg->state != PTI_MSG_LEASED)
        return PTQ_EINVAL;
    if (!ptq_pb_is(msg, type) && (!options->untyped || says_a_type(msg)))
        return refuse_type(msg, type, options->error);
    err = unpack_copy(msg, type, options, ret_message);
    if (err == PTQ_OK)
        return PTQ_OK;
    return pti_error(options->error, err, "queue '%s': message %llu of %u bytes cannot be unpacked as '%s': %s",
                     msg->queue ? msg->queue->name : "", (unsigned long long)msg->position, msg->size, type->name,
                     err == PTQ_ENOMEM ? "out of memory" : "it is none, or beyond the limits of depth and memory");
}

enum ptq_err ptq_get_pb(ptq_queue *queue, const ProtobufCMessageDescriptor *type, int timeout_ms,
                        const struct ptq_pb_options *options, ptq_msg **ret_msg, ProtobufCMessage **ret_message)
{
    ptq_msg *msg = NULL;
    enum ptq_err err;

    if (!type || !ret_msg || !ret_message)
        return PTQ_EINVAL;
    err = ptq_get(queue, timeout_ms, &msg);
    if (err != PTQ_OK)
        return err;
    err = ptq_pb_unpack(msg, type, options, ret_message);
    if (err != PTQ_OK)
        (void)!ptq_nack(msg, PTQ_BACKOFF);
    else
        *ret_msg = msg;
    return err;
}
