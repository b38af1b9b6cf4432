/* arena.h -- for the envelope alone: protobuf-c, held to what unpacking may take, and texts that may be printed. */
#ifndef PTQ_WIRE_ARENA_H
#define PTQ_WIRE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include <ptq/err.h>

#include "ptq/v1/control.pb-c.h"

struct pti_arena {
    ProtobufCAllocator allocator;
    size_t left;
};

/* NULL: the bytes are no such message, or take more than so few bytes may. */
void *pti_unpack(const ProtobufCMessageDescriptor *descriptor, struct pti_arena *arena, const uint8_t *bytes,
                 size_t size);
void pti_drop_unpacked(void *message, struct pti_arena *arena);
/* How much was written; 0: there is no room for it. */
size_t pti_pack(const void *message, uint8_t *buffer, size_t room);

bool pti_copy_text(char *to, size_t room, const char *from);
/* What somebody says in words, for people: it cannot end the quotes that a log writes around it. */
bool pti_copy_words(char *to, size_t room, const char *from);
bool pti_copy_name(char *to, size_t room, const char *from, bool may_be_empty);
char *pti_borrow(const char *text);
/* Ids of a fixed size; zeroes stand for none, and travel as nothing. */
ProtobufCBinaryData pti_borrow_id(const uint8_t *id, size_t size);
bool pti_copy_id(uint8_t *id, size_t size, const ProtobufCBinaryData *from);

#define COPY_TEXT(to, from) pti_copy_text((to), sizeof(to), (from))
#define COPY_WORDS(to, from) pti_copy_words((to), sizeof(to), (from))
#define COPY_NAME(to, from) pti_copy_name((to), sizeof(to), (from), false)
#define COPY_NAME_OR_NONE(to, from) pti_copy_name((to), sizeof(to), (from), true)

/* The same three steps for each message: unpack in an arena, read into a local with all checks, hand it over only if
 * they passed. */
#define UNPACK(type, descriptor, read, bytes, size, ret)                                                               \
    do {                                                                                                               \
        struct pti_arena arena;                                                                                        \
        type *message = pti_unpack(&descriptor, &arena, (bytes), (size));                                              \
        if (message == NULL)                                                                                           \
            return PTQ_EPROTO;                                                                                         \
        __typeof__(*(ret)) local = {0};                                                                                \
        bool good = read(&local, message);                                                                             \
        pti_drop_unpacked(message, &arena);                                                                            \
        if (!good)                                                                                                     \
            return PTQ_EPROTO;                                                                                         \
        *(ret) = local;                                                                                                \
        return PTQ_OK;                                                                                                 \
    } while (0)

#endif
