/* record.h -- what is inside data frames: packed records, written and read without a copy of the bodies.
 *
 *      PUT       count:32 timeout:32, then count times      length:32 kind:8 flags:8 type:16 [more] [headers] body
 *      PLACE     position:64 timeout:32 0:32, then one      length:32 kind:8 flags:8 type:16 [more] [headers] body
 *      TAKE      max:32 timeout:32
 *      SETTLE    verb:8 0:24 delay:32 position:64 sub:32 deliveries:32
 *      CALL      verb:32 timeout:32 value:64
 *      WATCH     side:32 0:32                               NOTIFY has the same
 *      CANCEL    (nothing: the frame's number says which)   CLOSE (nothing)
 *      RESULT    n times  number:64 code:32 0:32 value:64
 *      MESSAGES  count:32 0:32, then count times
 *                length:32 kind:8 flags:8 type:16 position:64 sub:32 deliveries:32 [more] [headers] body
 *      more      type:32 headers:8 0:8 ttl:16 delay:64      with flag 2; type is all of it, headers their size in fours
 *
 * Flags: 1 redelivered (version 2: of a PUT, may be a second copy); 2 more.  ttl as pti_ttl_pack (ring/layout.h); delay: microseconds from its coming in.
 * Timeouts are milliseconds: 0 asks once, 0xffffffff waits for ever.
 */
#ifndef PTQ_WIRE_RECORD_H
#define PTQ_WIRE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/err.h>

#include "base/bytes.h"

#define PTI_WIRE_KEY 16u /* position:64 sub:32 0:32, before a put or place that has a key */
#define PTI_PUT_HEAD 8u
#define PTI_PUT_RECORD 8u
#define PTI_PLACE_HEAD 16u
#define PTI_TAKE_BYTES 8u
#define PTI_SETTLE_BYTES 24u
#define PTI_CALL_BYTES 16u
#define PTI_WATCH_BYTES 8u
#define PTI_RESULT_RECORD 24u
#define PTI_MESSAGES_HEAD 8u
#define PTI_MESSAGE_RECORD 24u
#define PTI_RECORD_MORE 16u
#define PTI_RECORD_HEADERS_MAX 128u /* in units of 4 bytes: PTQ_HEADERS_MAX */

#define PTI_TIMEOUT_NEVER UINT32_MAX

/* A message in either direction; the last three only on the way out of a queue. */
struct pti_record {
    const uint8_t *body; /* borrowed from the frame */
    const uint8_t *header_bytes; /* likewise: 4 * headers of them; what is inside is not looked at */
    uint64_t delay_us;
    uint32_t size;
    uint32_t type;
    uint16_t ttl;
    uint8_t kind;
    uint8_t headers;
    bool redelivered;
    uint32_t sub;
    uint32_t deliveries;
    uint64_t position;
};

/* Reading: a cursor over a payload.  The heads answer PTQ_EPROTO for what is too short or says more records than could
 * be in it; next answers PTQ_END after the last, PTQ_EPROTO when a record reaches beyond the payload or bytes are left.
 */
struct pti_record_cursor {
    const uint8_t *at, *end;
    uint32_t left;  /* records */
    uint32_t count; /* records in all */
    bool delivered; /* MESSAGES: the longer records */
};

enum ptq_err pti_read_put(const uint8_t *payload, size_t size, uint32_t *ret_timeout,
                          struct pti_record_cursor *ret_cursor);
enum ptq_err pti_read_place(const uint8_t *payload, size_t size, uint64_t *ret_position, uint32_t *ret_timeout,
                            struct pti_record_cursor *ret_cursor);
enum ptq_err pti_read_messages(const uint8_t *payload, size_t size, struct pti_record_cursor *ret_cursor);
/* One without `more`, of a PUT: its head, borrowed; NULL: it is another, or does not fit, and pti_read_record says what. */
static inline const uint8_t *pti_read_plain(struct pti_record_cursor *cursor, uint32_t *ret_size)
{
    const uint8_t *at = cursor->at;
    size_t have = (size_t)(cursor->end - at);

    if (cursor->left == 0 || have < PTI_PUT_RECORD || (at[5] & 2) != 0)
        return NULL;
    *ret_size = pti_fetch32(at);
    if (*ret_size > have - PTI_PUT_RECORD)
        return NULL;
    cursor->at = at + PTI_PUT_RECORD + *ret_size;
    cursor->left--;
    return at;
}
enum ptq_err pti_read_record(struct pti_record_cursor *cursor, struct pti_record *ret_record);

/* The only record of a PUT (of MESSAGES, `delivered`) of whose body the payload may hold only the beginning, which is at
 * *ret_body_at.  False: there are several, or it makes no sense. */
bool pti_read_beginning(const uint8_t *payload, size_t size, bool delivered, struct pti_record *ret_record,
                        size_t *ret_body_at);

/* Writing. */
void pti_write_put_head(uint8_t *at, uint32_t count, uint32_t timeout);
void pti_write_place_head(uint8_t *at, uint64_t position, uint32_t timeout);
/* Both return how much they wrote; headers and body come behind it. */
size_t pti_write_put_record(uint8_t *at, const struct pti_record *record);
/* Marks all of these, which we wrote: they may be there already. */
void pti_flag_put_records(uint8_t *at, size_t size);
void pti_write_messages_head(uint8_t *at, uint32_t count);
size_t pti_write_message_record(uint8_t *at, const struct pti_record *record);
/* All that a record takes, headers and body included. */
size_t pti_put_record_size(const struct pti_record *record);
size_t pti_message_record_size(const struct pti_record *record);

struct pti_take {
    uint32_t max; /* below 1 << 31 */
    bool more;    /* for one who has some: END is the answer as soon as nothing else is to be got */
    uint32_t timeout;
};
void pti_write_take(uint8_t *at, const struct pti_take *take);
/* Without `more`, of what was written: a home of version 1 takes the bit for a part of the number. */
void pti_write_take_plain(uint8_t *at);
enum ptq_err pti_read_take(const uint8_t *payload, size_t size, struct pti_take *ret_take);

enum pti_settle_verb { PTI_SETTLE_ACK = 1, PTI_SETTLE_NACK = 2, PTI_SETTLE_UNTAKE = 3 };
struct pti_settle {
    enum pti_settle_verb verb;
    int32_t delay_ms;
    uint64_t position;
    uint32_t sub;
    uint32_t deliveries;
};
void pti_write_settle(uint8_t *at, const struct pti_settle *settle);
enum ptq_err pti_read_settle(const uint8_t *payload, size_t size, struct pti_settle *ret_settle);

enum pti_call_verb {
    PTI_CALL_END = 1,
    PTI_CALL_LIMIT = 2,  /* value: the limit */
    PTI_CALL_HEAD = 3,   /* answers the position */
    PTI_CALL_CENSUS = 4, /* value: the position; answers 1 if it is lost */
    PTI_CALL_CLAIM = 5,
    PTI_CALL_PURGE = 6, /* answers how many */
    PTI_CALL_PAUSE = 7, /* value: 1 pause, 0 resume */
    PTI_CALL_KICK = 8   /* value: how many at most, 0: all; answers how many */
};
struct pti_call_message {
    enum pti_call_verb verb;
    uint32_t timeout;
    uint64_t value;
};
void pti_write_call(uint8_t *at, const struct pti_call_message *call);
enum ptq_err pti_read_call(const uint8_t *payload, size_t size, struct pti_call_message *ret_call);

void pti_write_side(uint8_t *at, uint32_t side);
enum ptq_err pti_read_side(const uint8_t *payload, size_t size, uint32_t *ret_side);

/* The code is an enum ptq_err, or PTI_RESULT_RETRY: it was not done, and may be asked again of who serves next; or
 * PTI_RESULT_BEHIND: not done, because a chained put before it was not. */
#define PTI_RESULT_RETRY 0x10000u
#define PTI_RESULT_BEHIND 0x10001u
struct pti_result {
    uint64_t number;
    uint32_t code;
    uint64_t value;
};
void pti_write_result(uint8_t *at, const struct pti_result *result);
/* The records of a RESULT frame: how many; PTQ_EPROTO if the size is not a multiple. */
enum ptq_err pti_read_results(size_t size, size_t *ret_count);
void pti_read_result(const uint8_t *payload, size_t index, struct pti_result *ret_result);

/* Is `code` one of enum ptq_err? */
bool pti_is_answer(uint32_t code);

#endif
