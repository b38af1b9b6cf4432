/* record.c -- what is inside data frames: packed records, written and read without a copy of the bodies. */
#include "wire/record.h"

#include <assert.h>

#include "base/bytes.h"

#define FLAG_REDELIVERED 1u
#define FLAG_MORE 2u

/* ---- records with bodies ---- */

static size_t record_head(const struct pti_record_cursor *cursor)
{
    return cursor->delivered ? PTI_MESSAGE_RECORD : PTI_PUT_RECORD;
}

/* Law: `count` is believed only if so many empty records would fit. */
static enum ptq_err begin_records(const uint8_t *at, const uint8_t *end, uint32_t count, bool delivered,
                                  struct pti_record_cursor *ret_cursor)
{
    struct pti_record_cursor cursor = {at, end, count, count, delivered};

    if (count > (size_t)(end - at) / record_head(&cursor))
        return PTQ_EPROTO;
    *ret_cursor = cursor;
    return PTQ_OK;
}

enum ptq_err pti_read_put(const uint8_t *payload, size_t size, uint32_t *ret_timeout,
                          struct pti_record_cursor *ret_cursor)
{
    if (size < PTI_PUT_HEAD || pti_fetch32(payload) == 0)
        return PTQ_EPROTO;
    *ret_timeout = pti_fetch32(payload + 4);
    return begin_records(payload + PTI_PUT_HEAD, payload + size, pti_fetch32(payload), false, ret_cursor);
}

enum ptq_err pti_read_place(const uint8_t *payload, size_t size, uint64_t *ret_position, uint32_t *ret_timeout,
                            struct pti_record_cursor *ret_cursor)
{
    if (size < PTI_PLACE_HEAD)
        return PTQ_EPROTO;
    *ret_position = pti_fetch64(payload);
    *ret_timeout = pti_fetch32(payload + 8);
    return begin_records(payload + PTI_PLACE_HEAD, payload + size, 1, false, ret_cursor);
}

enum ptq_err pti_read_messages(const uint8_t *payload, size_t size, struct pti_record_cursor *ret_cursor)
{
    if (size < PTI_MESSAGES_HEAD || pti_fetch32(payload) == 0)
        return PTQ_EPROTO;
    return begin_records(payload + PTI_MESSAGES_HEAD, payload + size, pti_fetch32(payload), true, ret_cursor);
}

/* What a record says beside the usual; `*head` grows by it and by the headers. */
static enum ptq_err read_more(const uint8_t *at, size_t have, size_t *head, struct pti_record *record)
{
    const uint8_t *more = at + *head;

    if (have - *head < PTI_RECORD_MORE)
        return PTQ_EPROTO;
    record->type = pti_fetch32(more);
    record->headers = more[4];
    record->ttl = pti_fetch16(more + 6);
    record->delay_us = pti_fetch64(more + 8);
    *head += PTI_RECORD_MORE;
    if (record->headers > PTI_RECORD_HEADERS_MAX || 4u * record->headers > have - *head)
        return PTQ_EPROTO;
    record->header_bytes = at + *head;
    *head += 4u * record->headers;
    return PTQ_OK;
}

/* All but the body; *ret_head is where that begins. */
static enum ptq_err read_head(const struct pti_record_cursor *cursor, struct pti_record *ret_record, size_t *ret_head)
{
    size_t head = record_head(cursor), have = (size_t)(cursor->end - cursor->at);
    const uint8_t *at = cursor->at;

    if (have < head)
        return PTQ_EPROTO;
    struct pti_record record = {.size = pti_fetch32(at), .kind = at[4], .type = pti_fetch16(at + 6)};
    if ((at[5] & FLAG_MORE) != 0 && read_more(at, have, &head, &record) != PTQ_OK)
        return PTQ_EPROTO;
    record.body = at + head;
    record.redelivered = (at[5] & FLAG_REDELIVERED) != 0;
    if (cursor->delivered) {
        record.position = pti_fetch64(at + 8);
        record.sub = pti_fetch32(at + 16);
        record.deliveries = pti_fetch32(at + 20);
    }
    *ret_record = record;
    *ret_head = head;
    return PTQ_OK;
}

enum ptq_err pti_read_record(struct pti_record_cursor *cursor, struct pti_record *ret_record)
{
    size_t head, have = (size_t)(cursor->end - cursor->at);
    struct pti_record record;

    if (cursor->left == 0)
        return have == 0 ? PTQ_END : PTQ_EPROTO;
    if (read_head(cursor, &record, &head) != PTQ_OK || record.size > have - head)
        return PTQ_EPROTO;
    cursor->at += head + record.size;
    cursor->left--;
    *ret_record = record;
    return PTQ_OK;
}

bool pti_read_beginning(const uint8_t *payload, size_t size, bool delivered, struct pti_record *ret_record,
                        size_t *ret_body_at)
{
    struct pti_record_cursor cursor = {.at = payload + PTI_PUT_HEAD, .end = payload + size, .delivered = delivered};
    size_t head;

    static_assert(PTI_PUT_HEAD == PTI_MESSAGES_HEAD, "one place of the first record");
    if (size < PTI_PUT_HEAD || pti_fetch32(payload) != 1 || read_head(&cursor, ret_record, &head) != PTQ_OK)
        return false;
    *ret_body_at = PTI_PUT_HEAD + head;
    return true;
}

void pti_write_put_head(uint8_t *at, uint32_t count, uint32_t timeout)
{
    pti_store32(at, count);
    pti_store32(at + 4, timeout);
}

void pti_write_place_head(uint8_t *at, uint64_t position, uint32_t timeout)
{
    pti_store64(at, position);
    pti_store32(at + 8, timeout);
    pti_store32(at + 12, 0);
}

static bool says_more(const struct pti_record *record)
{
    return record->type > UINT16_MAX || record->headers != 0 || record->ttl != 0 || record->delay_us != 0;
}

static void write_common(uint8_t *at, const struct pti_record *record)
{
    pti_store32(at, record->size);
    at[4] = record->kind;
    at[5] = (uint8_t)((record->redelivered ? FLAG_REDELIVERED : 0) | (says_more(record) ? FLAG_MORE : 0));
    pti_store16(at + 6, (uint16_t)record->type);
}

static size_t write_more(uint8_t *at, const struct pti_record *record)
{
    if (!says_more(record))
        return 0;
    pti_store32(at, record->type);
    at[4] = record->headers;
    at[5] = 0;
    pti_store16(at + 6, record->ttl);
    pti_store64(at + 8, record->delay_us);
    return PTI_RECORD_MORE;
}

size_t pti_write_put_record(uint8_t *at, const struct pti_record *record)
{
    write_common(at, record);
    return PTI_PUT_RECORD + write_more(at + PTI_PUT_RECORD, record);
}

void pti_flag_put_records(uint8_t *at, size_t size)
{
    for (size_t done = 0; done + PTI_PUT_RECORD <= size;) {
        uint8_t *record = at + done;
        size_t more = (record[5] & FLAG_MORE) != 0 ? PTI_RECORD_MORE + 4u * record[PTI_PUT_RECORD + 4] : 0;
        record[5] |= FLAG_REDELIVERED;
        done += PTI_PUT_RECORD + more + pti_fetch32(record);
    }
}

static size_t behind_head(const struct pti_record *record)
{
    return (says_more(record) ? PTI_RECORD_MORE : 0) + 4u * record->headers + record->size;
}

size_t pti_put_record_size(const struct pti_record *record) { return PTI_PUT_RECORD + behind_head(record); }
size_t pti_message_record_size(const struct pti_record *record) { return PTI_MESSAGE_RECORD + behind_head(record); }

void pti_write_messages_head(uint8_t *at, uint32_t count)
{
    pti_store32(at, count);
    pti_store32(at + 4, 0);
}

size_t pti_write_message_record(uint8_t *at, const struct pti_record *record)
{
    write_common(at, record);
    pti_store64(at + 8, record->position);
    pti_store32(at + 16, record->sub);
    pti_store32(at + 20, record->deliveries);
    return PTI_MESSAGE_RECORD + write_more(at + PTI_MESSAGE_RECORD, record);
}

/* ---- fixed ones ---- */

#define TAKE_MORE (UINT32_C(1) << 31)

void pti_write_take(uint8_t *at, const struct pti_take *take)
{
    pti_store32(at, (take->max < TAKE_MORE ? take->max : TAKE_MORE - 1) | (take->more ? TAKE_MORE : 0));
    pti_store32(at + 4, take->timeout);
}

void pti_write_take_plain(uint8_t *at)
{
    pti_store32(at, pti_fetch32(at) & ~TAKE_MORE);
}

enum ptq_err pti_read_take(const uint8_t *payload, size_t size, struct pti_take *ret_take)
{
    if (size != PTI_TAKE_BYTES || (pti_fetch32(payload) & ~TAKE_MORE) == 0)
        return PTQ_EPROTO;
    *ret_take = (struct pti_take){.max = pti_fetch32(payload) & ~TAKE_MORE,
                                  .more = (pti_fetch32(payload) & TAKE_MORE) != 0,
                                  .timeout = pti_fetch32(payload + 4)};
    return PTQ_OK;
}

void pti_write_settle(uint8_t *at, const struct pti_settle *settle)
{
    pti_store32(at, (uint32_t)settle->verb);
    pti_store32(at + 4, (uint32_t)settle->delay_ms);
    pti_store64(at + 8, settle->position);
    pti_store32(at + 16, settle->sub);
    pti_store32(at + 20, settle->deliveries);
}

enum ptq_err pti_read_settle(const uint8_t *payload, size_t size, struct pti_settle *ret_settle)
{
    if (size != PTI_SETTLE_BYTES)
        return PTQ_EPROTO;
    uint32_t verb = pti_fetch32(payload);
    int32_t delay_ms = (int32_t)pti_fetch32(payload + 4);
    if (verb < PTI_SETTLE_ACK || verb > PTI_SETTLE_UNTAKE || delay_ms < -2)
        return PTQ_EPROTO;
    *ret_settle = (struct pti_settle){(enum pti_settle_verb)verb, delay_ms, pti_fetch64(payload + 8),
                                      pti_fetch32(payload + 16), pti_fetch32(payload + 20)};
    return PTQ_OK;
}

void pti_write_call(uint8_t *at, const struct pti_call_message *call)
{
    pti_store32(at, (uint32_t)call->verb);
    pti_store32(at + 4, call->timeout);
    pti_store64(at + 8, call->value);
}

enum ptq_err pti_read_call(const uint8_t *payload, size_t size, struct pti_call_message *ret_call)
{
    if (size != PTI_CALL_BYTES)
        return PTQ_EPROTO;
    uint32_t verb = pti_fetch32(payload);
    if (verb < PTI_CALL_END || verb > PTI_CALL_KICK)
        return PTQ_EPROTO;
    *ret_call = (struct pti_call_message){(enum pti_call_verb)verb, pti_fetch32(payload + 4), pti_fetch64(payload + 8)};
    return PTQ_OK;
}

void pti_write_side(uint8_t *at, uint32_t side)
{
    pti_store32(at, side);
    pti_store32(at + 4, 0);
}

enum ptq_err pti_read_side(const uint8_t *payload, size_t size, uint32_t *ret_side)
{
    if (size != PTI_WATCH_BYTES || pti_fetch32(payload) > 1)
        return PTQ_EPROTO;
    *ret_side = pti_fetch32(payload);
    return PTQ_OK;
}

/* ---- results ---- */

void pti_write_result(uint8_t *at, const struct pti_result *result)
{
    pti_store64(at, result->number);
    pti_store32(at + 8, result->code);
    pti_store32(at + 12, 0);
    pti_store64(at + 16, result->value);
}

enum ptq_err pti_read_results(size_t size, size_t *ret_count)
{
    if (size == 0 || size % PTI_RESULT_RECORD != 0)
        return PTQ_EPROTO;
    *ret_count = size / PTI_RESULT_RECORD;
    return PTQ_OK;
}

void pti_read_result(const uint8_t *payload, size_t index, struct pti_result *ret_result)
{
    const uint8_t *at = payload + index * PTI_RESULT_RECORD;

    *ret_result = (struct pti_result){pti_fetch64(at), pti_fetch32(at + 8), pti_fetch64(at + 16)};
}

bool pti_is_answer(uint32_t code)
{
    return code <= PTQ_END || (code >= PTQ_EENDED && code <= PTQ_ESYS);
}
