/* arena.c -- for the envelope alone: protobuf-c, held to what unpacking may take, and texts that may be printed. */
#include "wire/arena.h"

#include <stdlib.h>
#include <string.h>

#include <ptq/queue.h>

#include "wire/limits.h"

/* ---- an arena: what unpacking may take, whatever the bytes say ---- */

#define ARENA_BASE (16u << 10)
#define ARENA_PER_BYTE 24u /* an empty text of two bytes takes a pointer and a byte, doubled while the list grows */

/* Each piece is a malloc of its own, so that a sanitizer sees its ends; `left` is only ever spent. */
static void *arena_alloc(void *data, size_t size)
{
    struct pti_arena *arena = data;

    if (size > arena->left)
        return NULL;
    arena->left -= size;
    return malloc(size > 0 ? size : 1);
}

static void arena_free(void *data, void *piece)
{
    (void)data;
    free(piece);
}

static void arena_init(struct pti_arena *arena, size_t bytes)
{
    arena->allocator = (ProtobufCAllocator){arena_alloc, arena_free, arena};
    arena->left = ARENA_BASE + bytes * ARENA_PER_BYTE;
}

void *pti_unpack(const ProtobufCMessageDescriptor *descriptor, struct pti_arena *arena, const uint8_t *bytes,
                    size_t size)
{
    arena_init(arena, size);
    return size <= PTI_WIRE_FRAME_BYTES ? protobuf_c_message_unpack(descriptor, &arena->allocator, size, bytes) : NULL;
}

void pti_drop_unpacked(void *message, struct pti_arena *arena)
{
    protobuf_c_message_free_unpacked(message, &arena->allocator);
}

size_t pti_pack(const void *message, uint8_t *buffer, size_t room)
{
    return protobuf_c_message_get_packed_size(message) <= room ? protobuf_c_message_pack(message, buffer) : 0;
}

/* ---- texts ---- */

/* Law: a text of a peer is printed somewhere some day: control characters do not come in. */
bool pti_copy_text(char *to, size_t room, const char *from)
{
    size_t length = from == NULL ? 0 : strlen(from);

    if (length >= room)
        return false;
    for (size_t i = 0; i < length; i++)
        to[i] = (unsigned char)from[i] < 0x20 || from[i] == 0x7f ? '?' : from[i];
    to[length] = '\0';
    return true;
}

bool pti_copy_words(char *to, size_t room, const char *from)
{
    if (!pti_copy_text(to, room, from))
        return false;
    for (char *at = strchr(to, '"'); at != NULL; at = strchr(at, '"'))
        *at = '\'';
    return true;
}

static bool is_name(const char *text)
{
    size_t length = strlen(text);

    return length > 0 && length <= PTQ_NAME_MAX && text[0] != '.' &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == length;
}

bool pti_copy_name(char *to, size_t room, const char *from, bool may_be_empty)
{
    if (from == NULL || from[0] == '\0') {
        to[0] = '\0';
        return may_be_empty;
    }
    return is_name(from) && pti_copy_text(to, room, from);
}

/* pack never changes what it is given, but protobuf-c has no const. */
char *pti_borrow(const char *text)
{
    return (char *)(uintptr_t)text;
}

ProtobufCBinaryData pti_borrow_id(const uint8_t *id, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (id[i] != 0)
            return (ProtobufCBinaryData){.len = size, .data = (uint8_t *)(uintptr_t)id};
    }
    return (ProtobufCBinaryData){0};
}

bool pti_copy_id(uint8_t *id, size_t size, const ProtobufCBinaryData *from)
{
    if (from->len != 0 && from->len != size)
        return false;
    if (from->len == size)
        memcpy(id, from->data, size);
    return true;
}
