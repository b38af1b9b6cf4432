/* share.c -- asks of shares and their answers as bytes. */
#include "wire/share.h"

#include <string.h>

#include "base/bytes.h"

#define WANTED 1u

void pti_write_share_ask(uint8_t *at, const struct pti_share_ask *ask)
{
    at[0] = ask->verb;
    at[1] = ask->op;
    at[2] = ask->type;
    at[3] = ask->wants ? WANTED : 0;
    pti_store16(at + 4, (uint16_t)ask->name_size);
    pti_store16(at + 6, 0);
    pti_store64(at + 8, ask->value);
    pti_store64(at + 16, ask->other);
    if (ask->name_size > 0)
        memcpy(at + PTI_SHARE_ASK_HEAD, ask->name, ask->name_size);
    if (ask->size > 0)
        memcpy(at + PTI_SHARE_ASK_HEAD + ask->name_size, ask->data, ask->size);
}

enum ptq_err pti_read_share_ask(const uint8_t *bytes, size_t size, struct pti_share_ask *ret_ask)
{
    if (size < PTI_SHARE_ASK_HEAD)
        return PTQ_EPROTO;
    struct pti_share_ask ask = {.verb = bytes[0], .op = bytes[1], .type = bytes[2], .wants = (bytes[3] & WANTED) != 0,
                                .value = pti_fetch64(bytes + 8), .other = pti_fetch64(bytes + 16),
                                .name_size = pti_fetch16(bytes + 4)};

    if (ask.name_size > PTI_SHARE_NAME_BYTES || ask.name_size > size - PTI_SHARE_ASK_HEAD || (bytes[3] & ~WANTED) != 0 ||
        pti_fetch16(bytes + 6) != 0 || !(pti_share_is_look(ask.verb) || pti_share_is_change(ask.verb) || pti_share_is_wait(ask.verb)))
        return PTQ_EPROTO;
    ask.name = (const char *)bytes + PTI_SHARE_ASK_HEAD;
    ask.data = bytes + PTI_SHARE_ASK_HEAD + ask.name_size;
    ask.size = size - PTI_SHARE_ASK_HEAD - ask.name_size;
    *ret_ask = ask;
    return PTQ_OK;
}

void pti_write_share_said(uint8_t *at, const struct pti_share_said *said)
{
    pti_store32(at, said->code);
    pti_store32(at + 4, said->type);
    pti_store64(at + 8, said->value);
    pti_store64(at + 16, said->version);
    pti_store64(at + 24, said->other);
}

enum ptq_err pti_read_share_said(const uint8_t *bytes, size_t size, struct pti_share_said *ret_said)
{
    if (size < PTI_SHARE_SAID_HEAD)
        return PTQ_EPROTO;
    *ret_said = (struct pti_share_said){.code = pti_fetch32(bytes), .type = pti_fetch32(bytes + 4), .value = pti_fetch64(bytes + 8),
                                        .version = pti_fetch64(bytes + 16), .other = pti_fetch64(bytes + 24),
                                        .data = bytes + PTI_SHARE_SAID_HEAD, .size = size - PTI_SHARE_SAID_HEAD};
    return PTQ_OK;
}
