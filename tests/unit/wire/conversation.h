/* conversation.h -- a conversation of two hosts in frames of each kind, as it was recorded for a wire version. */
#ifndef PTQ_TESTS_WIRE_CONVERSATION_H
#define PTQ_TESTS_WIRE_CONVERSATION_H

#include "wire/frame.h"

#define CONVERSATION_MOST 96
#define CONVERSATION_BYTES 2048

struct said {
    char side; /* '>': who dialled, '<': the home */
    char name[40];
    uint8_t bytes[CONVERSATION_BYTES]; /* a frame, with its header */
    size_t size;
};

struct conversation {
    struct said said[CONVERSATION_MOST];
    size_t count;
};

/* The conversation as the library says it now: nothing in it depends on the time or on chance. */
void conversation_make(struct conversation *conversation);

/* Of a file: lines "SIDE NAME HEX"; what begins with # is passed over.  Fails the test that asks. */
void conversation_read(struct conversation *conversation, const char *path);
void conversation_write(const struct conversation *conversation, const char *path);

/* The only frame in it; the first of this side with this name, or the test fails. */
struct pti_frame conversation_frame(struct said *said);
struct pti_frame conversation_find(struct conversation *conversation, char side, const char *name);

#endif
