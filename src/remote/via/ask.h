/* ask.h -- what a program and the ptqbridge of its own host say to each other, through queues of their bus.
 *
 *      ~ask~v2              requests of all programs; the bridge that serves them has the exclusive right to get
 *      ~answer.<client>~v2  answers to one handle; the bridge is its producer, so that its death is seen at once
 *      ~bell.<client>.<n>   not empty: side n of the handle is worth a look; made when a descriptor is asked for
 *
 * The names are none that a user can write: they are not listed and not collected.  Both ends are of one host and of one
 * memory, so heads travel as structs; `layout` refuses another library's.  A request is leased until its answer was put:
 * its bytes are read where they lie.
 */
#ifndef PTQ_REMOTE_VIA_ASK_H
#define PTQ_REMOTE_VIA_ASK_H

#include "bus/bus.h"
#include "queue/port.h"

#define PTI_ASK_NAME "~ask"
#define PTI_ANSWER_PREFIX "~answer."
#define PTI_BELL_PREFIX "~bell."
#define PTI_VIA_ITEM (72u << 20)  /* a request or an answer: what a link carries at once, and heads */
#define PTI_VIA_BODY (64u << 20)  /* bodies and headers in it */
#define PTI_VIA_TAKE_MOST 65536u
#define PTI_VIA_NAME 64           /* room for each name above */
#define PTI_CLIENT_BYTES 16u
#define PTI_ASK_URL 256

enum pti_ask_verb {
    PTI_ASK_OPEN = 1, /* struct pti_ask_open behind; answers struct pti_ask_opened */
    PTI_ASK_CLOSE,
    PTI_ASK_CANCEL,   /* value: the number of the request that is not waited for any longer */
    PTI_ASK_BELL,     /* side: from now on it is rung */
    PTI_ASK_PUT,      /* count times struct pti_ask_record, headers, data; key, settled */
    PTI_ASK_PLACE,    /* value: the position; one record; key, settled */
    PTI_ASK_TAKE,     /* value: at most; flag MORE; answers leases */
    PTI_ASK_ACK,      /* count times lease:64 */
    PTI_ASK_NACK,     /* value: the lease; delay_ms */
    PTI_ASK_UNTAKE,   /* count times lease:64 */
    PTI_ASK_END,
    PTI_ASK_LIMIT,    /* value */
    PTI_ASK_HEAD,
    PTI_ASK_CENSUS,   /* value */
    PTI_ASK_CLAIM,
    PTI_ASK_STATS,    /* answers struct ptq_queue_stats */
    PTI_ASK_PURGE,
    PTI_ASK_PAUSE,    /* value */
    PTI_ASK_KICK,     /* value */
    PTI_ASK_LOOK,     /* struct pti_ask_look behind, and count times an address; answers as many struct pti_ask_seen */
    PTI_ASK_OUTBOX,   /* an outbox was made */
    PTI_ASK_SHARE_LOOK,  /* wire/share.h's ask behind; answers what was said, and its data */
    PTI_ASK_SHARE_AWAIT, /* likewise; answers a value */
    PTI_ASK_VERBS
};
#define PTI_ASK_MORE 1u     /* flag of TAKE: take_more */
#define PTI_ASK_NO_ANSWER 2u /* flag: nobody waits */
#define PTI_ASK_PACKS 8u    /* flag of PUT: the messages may share leases */
#define PTI_ASK_AGAIN 4u    /* flag of PUT, PLACE: it was asked, perhaps of another bridge: it is done unless it was */

struct pti_ask {
    uint32_t layout; /* PTI_ASK_LAYOUT */
    uint8_t verb, side;
    uint16_t flags;
    uint8_t client[PTI_CLIENT_BYTES];
    uint64_t number;
    uint64_t value;
    int64_t timeout_ns; /* 0: ask once; -1: for ever */
    int32_t delay_ms;
    uint32_t count;
    uint64_t key;     /* of PUT, PLACE: the program's own count of them, by which the home knows it */
    uint64_t settled; /* keys up to here will not be asked again */
};

struct pti_ask_open {
    struct pti_open open; /* pointers in it mean nothing */
    char url[PTI_ASK_URL], run[PTQ_NAME_MAX + 1], name[PTQ_NAME_MAX + 1], spec[PTQ_SPEC_TEXT_MAX + 1];
    bool has_run, bells[2];
    bool has_put; /* by this handle, through whatever bridge */
};

/* Have these homes such a queue?  No handle is needed for it. */
struct pti_ask_look {
    char run[PTQ_NAME_MAX + 1], name[PTQ_NAME_MAX + 1];
    bool has_run, making;
};
#define PTI_ASK_LOOK_MOST 1024

struct pti_ask_seen {
    uint32_t answer;
    bool has_id;
    uint8_t id[16];
    char text[256];
};

struct pti_ask_opened {
    uint64_t capacity, window, bytes;
    uint32_t item_size, header_size, max_deliveries;
    uint8_t full;
    bool placed, letters, is_here; /* is_here: in the memory of this bus */
    bool streams; /* the home keeps keys */
    uint8_t id[16];
    char run[PTQ_NAME_MAX + 1], node[64], where[256], url[256], spec[PTQ_SPEC_TEXT_MAX + 1];
};

#define PTI_ASK_LAYOUT (0x50540002u + (uint32_t)(sizeof(struct pti_ask_open) << 4))

/* A message on its way in: then 4 * headers bytes, and data, from the next multiple of 8 on. */
struct pti_ask_record {
    uint64_t due_us;
    uint32_t size, type;
    uint16_t ttl;
    uint8_t kind, headers;
    uint8_t reserved[4];
};

/* The answer PTI_ANSWER_UNKNOWN: this bridge does not know the handle, and nothing was done. */
#define PTI_ANSWER_UNKNOWN 0x10000u
/* ... LOST: another one was asked that, and nobody knows what became of it. */
#define PTI_ANSWER_LOST 0x10002u
/* ... AGAIN: the wait was cut short, for the bridge has enough of them; nothing was done. */
#define PTI_ANSWER_AGAIN 0x10001u

struct pti_answer {
    uint32_t layout;
    uint32_t code; /* enum ptq_err, or one of these */
    uint64_t number;
    uint64_t value;
    uint32_t count; /* of TAKE */
    uint32_t text;  /* bytes of a sentence behind: why, where it failed */
};

/* A message on its way out: then data, and headers at the next multiple of 4; the next one at the next multiple of 16. */
struct pti_answer_record {
    uint64_t lease, position;
    uint32_t sub, deliveries, type, size;
    uint8_t kind, headers;
    bool redelivered;
    uint8_t reserved[5];
};

static inline size_t pti_via_up(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

static inline size_t pti_ask_record_bytes(uint32_t size, uint8_t headers)
{
    return pti_via_up(sizeof(struct pti_ask_record) + 4 * (size_t)headers + size, 8);
}

static inline size_t pti_answer_record_bytes(uint32_t size, uint8_t headers)
{
    return pti_via_up(sizeof(struct pti_answer_record) + pti_via_up(size, 4) + 4 * (size_t)headers, 16);
}

void pti_via_name(char name[static PTI_VIA_NAME], const char *prefix, const uint8_t client[PTI_CLIENT_BYTES], int side);

/* Options of the queues above. */
struct pti_open pti_via_ask_open(void);
struct pti_open pti_via_answer_open(void);
struct pti_open pti_via_bell_open(void);

#endif
