/* share.h -- what is asked of a share, or of a log, of another host, and what is answered.
 *
 *      change    verb:8 op:8 type:8 flags:8  name size:16 0:16  value:64 other:64  name  data      the body of a PUT
 *      LOOK      timeout:32 0:32, then the same                                                    AWAIT likewise
 *      answer    code:32 type:32 value:64 version:64 other:64  data                                LOOK with the reply flag
 *      entry     type:8 0:8 name size:16 0:32 value:64 version:64  name                            n times, as the data of a LIST
 *
 * A change is answered by a RESULT, whose value is what the number then is, or was; the position of a record; the type of a cell.
 * An AWAIT by a RESULT, whose value is the version.  Flags: 1 the value is wanted.
 */
#ifndef PTQ_WIRE_SHARE_H
#define PTQ_WIRE_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <ptq/err.h>

#include "base/bytes.h"

enum pti_share_verb {
    /* looks */
    PTI_SHARE_FIND = 1,   /* type */
    PTI_SHARE_GET,        /* of `type`, a number: value, version */
    PTI_SHARE_READ,       /* bytes, up to `value` of them: size as value, version, data */
    PTI_SHARE_LIST,       /* entries, from place `value` on: value is where to go on, 0: that is all */
    PTI_SHARE_BOUNDS,     /* of a log: the oldest as value, the next as version */
    PTI_SHARE_RECORD,     /* of a log, `value`, up to `other` bytes: size as value, unix_ms as version, pid as other, data */
    /* changes */
    PTI_SHARE_MAKE = 32,  /* of `type`, first value `value` or data */
    PTI_SHARE_APPLY,      /* op, value: the operand */
    PTI_SHARE_SWAP,       /* value */
    PTI_SHARE_CAS,        /* value, if it is `other` */
    PTI_SHARE_WRITE,      /* data */
    PTI_SHARE_WRITE_IF,   /* data, if it is at version `other` */
    PTI_SHARE_DELETE,
    PTI_SHARE_CLEAR,
    PTI_SHARE_MAP_SET,    /* data; the name is that of the map, a 0, and the key */
    PTI_SHARE_SET_ADD,
    PTI_SHARE_APPEND,     /* of a log: data, by the process `value` */
    /* waits */
    PTI_SHARE_CHANGED = 64, /* the cell, of `type`, is at another version than `value` */
    PTI_SHARE_APPENDED      /* the log has the record `value`, or had it */
};

#define PTI_SHARE_WAIT_HEAD 8u
#define PTI_SHARE_ASK_HEAD 24u
#define PTI_SHARE_NAME_BYTES 191u
#define PTI_SHARE_ASK_BYTES (PTI_SHARE_ASK_HEAD + PTI_SHARE_NAME_BYTES) /* without data: the most */
#define PTI_SHARE_SAID_HEAD 32u
#define PTI_SHARE_ENTRY_HEAD 24u
#define PTI_SHARE_LIST_BYTES (60u << 10) /* in one answer */

struct pti_share_ask {
    uint8_t verb, op, type;
    bool wants; /* the value that a change leads to, or replaces */
    uint64_t value, other;
    const char *name; /* borrowed; no final 0, and of a key one inside */
    size_t name_size;
    const uint8_t *data; /* borrowed */
    size_t size;
};

struct pti_share_said {
    uint32_t code; /* enum ptq_err */
    uint32_t type;
    uint64_t value, version, other;
    const uint8_t *data; /* borrowed */
    size_t size;
};

struct pti_share_listed {
    uint8_t type;
    uint64_t value; /* of bytes: how many */
    uint64_t version;
    const char *name;
    size_t name_size;
};

static inline size_t pti_share_ask_size(const struct pti_share_ask *ask) { return PTI_SHARE_ASK_HEAD + ask->name_size + ask->size; }
/* Writes pti_share_ask_size bytes. */
void pti_write_share_ask(uint8_t *at, const struct pti_share_ask *ask);
/* PTQ_EPROTO: no correct peer says that.  Everything is borrowed from the bytes. */
enum ptq_err pti_read_share_ask(const uint8_t *bytes, size_t size, struct pti_share_ask *ret_ask);
static inline bool pti_share_is_look(uint8_t verb) { return verb >= PTI_SHARE_FIND && verb <= PTI_SHARE_RECORD; }
static inline bool pti_share_is_change(uint8_t verb) { return verb >= PTI_SHARE_MAKE && verb <= PTI_SHARE_APPEND; }
static inline bool pti_share_is_wait(uint8_t verb) { return verb == PTI_SHARE_CHANGED || verb == PTI_SHARE_APPENDED; }

/* The head alone: PTI_SHARE_SAID_HEAD bytes, before the data. */
void pti_write_share_said(uint8_t *at, const struct pti_share_said *said);
enum ptq_err pti_read_share_said(const uint8_t *bytes, size_t size, struct pti_share_said *ret_said);

/* Here, for src/share is also built without this room. */

/* An entry of a LIST; false: there is no room for it. */
static inline bool pti_write_share_listed(uint8_t *bytes, size_t room, size_t *at, const struct pti_share_listed *listed)
{
    uint8_t *to = bytes + *at;

    if (room - *at < PTI_SHARE_ENTRY_HEAD + listed->name_size)
        return false;
    to[0] = listed->type;
    to[1] = 0;
    pti_store16(to + 2, (uint16_t)listed->name_size);
    pti_store32(to + 4, 0);
    pti_store64(to + 8, listed->value);
    pti_store64(to + 16, listed->version);
    memcpy(to + PTI_SHARE_ENTRY_HEAD, listed->name, listed->name_size);
    *at += PTI_SHARE_ENTRY_HEAD + listed->name_size;
    return true;
}

/* The next one.  PTQ_END, PTQ_EPROTO. */
static inline enum ptq_err pti_read_share_listed(const uint8_t *bytes, size_t size, size_t *at, struct pti_share_listed *ret_listed)
{
    const uint8_t *from = bytes + *at;

    if (*at == size)
        return PTQ_END;
    if (size - *at < PTI_SHARE_ENTRY_HEAD)
        return PTQ_EPROTO;
    struct pti_share_listed listed = {.type = from[0], .value = pti_fetch64(from + 8), .version = pti_fetch64(from + 16),
                                      .name = (const char *)from + PTI_SHARE_ENTRY_HEAD, .name_size = pti_fetch16(from + 2)};
    if (listed.name_size == 0 || listed.name_size > PTI_SHARE_NAME_BYTES || listed.name_size > size - *at - PTI_SHARE_ENTRY_HEAD)
        return PTQ_EPROTO;
    *at += PTI_SHARE_ENTRY_HEAD + listed.name_size;
    *ret_listed = listed;
    return PTQ_OK;
}

#endif
