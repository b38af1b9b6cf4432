/* envelope.c -- control messages as plain structs: the small ones. */
#include "wire/envelope.h"

#include <string.h>

#include "wire/arena.h"
#include "wire/record.h"

/* ---- CREDIT, PING ---- */

size_t pti_credit_pack(uint64_t credit_bytes, uint8_t *buffer, size_t room)
{
    Ptq__V1__Credit message = PTQ__V1__CREDIT__INIT;

    message.bytes = credit_bytes;
    return pti_pack(&message, buffer, room);
}

static bool read_credit(uint64_t *credit_bytes, const Ptq__V1__Credit *message)
{
    *credit_bytes = message->bytes;
    return message->bytes > 0;
}

enum ptq_err pti_credit_unpack(const uint8_t *bytes, size_t size, uint64_t *ret_credit_bytes)
{
    UNPACK(Ptq__V1__Credit, ptq__v1__credit__descriptor, read_credit, bytes, size, ret_credit_bytes);
}

size_t pti_ping_pack(uint64_t stamp, uint8_t *buffer, size_t room)
{
    Ptq__V1__Ping message = PTQ__V1__PING__INIT;

    message.stamp = stamp;
    return pti_pack(&message, buffer, room);
}

static bool read_ping(uint64_t *stamp, const Ptq__V1__Ping *message)
{
    *stamp = message->stamp;
    return true;
}

enum ptq_err pti_ping_unpack(const uint8_t *bytes, size_t size, uint64_t *ret_stamp)
{
    UNPACK(Ptq__V1__Ping, ptq__v1__ping__descriptor, read_ping, bytes, size, ret_stamp);
}

/* ---- STATS ---- */

/* Fields that have the same name and width on both sides. */
#define STATS_FIELDS(each)                                                                                             \
    each(capacity) each(item_size) each(bytes) each(ready) each(leased) each(delayed) each(dead) each(put) each(acked) \
    each(nacked) each(taken) each(redelivered) each(dropped) each(bytes_put) each(bytes_acked) each(recovered)         \
    each(head) each(tail) each(end_position) each(oldest_ms) each(producers) each(consumers) each(endpoints)           \
    each(dead_endpoints) each(ended) each(removed) each(paused)

size_t pti_stats_pack(const struct ptq_queue_stats *stats, uint8_t *buffer, size_t room)
{
    Ptq__V1__Stats message = PTQ__V1__STATS__INIT;
    uint64_t by[PTQ_DROPS];

#define GIVE(field) message.field = stats->field;
    STATS_FIELDS(GIVE)
#undef GIVE
    memcpy(by, stats->dropped_by, sizeof by);
    message.n_dropped_by = PTQ_DROPS;
    message.dropped_by = by;
    return pti_pack(&message, buffer, room);
}

static bool read_stats(struct ptq_queue_stats *stats, const Ptq__V1__Stats *message)
{
#define TAKE(field) stats->field = message->field;
    STATS_FIELDS(TAKE)
#undef TAKE
    for (size_t i = 0; i < message->n_dropped_by && i < PTQ_DROPS; i++)
        stats->dropped_by[i] = message->dropped_by[i];
    stats->remote = true;
    return true;
}

enum ptq_err pti_stats_unpack(const uint8_t *bytes, size_t size, struct ptq_queue_stats *ret_stats)
{
    UNPACK(Ptq__V1__Stats, ptq__v1__stats__descriptor, read_stats, bytes, size, ret_stats);
}

/* ---- GOAWAY, ERROR ---- */

size_t pti_goaway_pack(const struct pti_goaway *goaway, uint8_t *buffer, size_t room)
{
    Ptq__V1__Goaway message = PTQ__V1__GOAWAY__INIT;

    message.reason = pti_borrow(goaway->reason);
    message.drain_ms = goaway->drain_ms;
    return pti_pack(&message, buffer, room);
}

static bool read_goaway(struct pti_goaway *goaway, const Ptq__V1__Goaway *message)
{
    goaway->drain_ms = message->drain_ms;
    return COPY_WORDS(goaway->reason, message->reason);
}

enum ptq_err pti_goaway_unpack(const uint8_t *bytes, size_t size, struct pti_goaway *ret_goaway)
{
    UNPACK(Ptq__V1__Goaway, ptq__v1__goaway__descriptor, read_goaway, bytes, size, ret_goaway);
}

size_t pti_error_pack(const struct pti_error_message *error, uint8_t *buffer, size_t room)
{
    Ptq__V1__Error message = PTQ__V1__ERROR__INIT;

    message.code = (uint32_t)error->code;
    message.text = pti_borrow(error->text);
    return pti_pack(&message, buffer, room);
}

static bool read_error(struct pti_error_message *error, const Ptq__V1__Error *message)
{
    error->code = (enum ptq_err)message->code;
    return pti_is_answer(message->code) && message->code != PTQ_OK && COPY_WORDS(error->text, message->text);
}

enum ptq_err pti_error_unpack(const uint8_t *bytes, size_t size, struct pti_error_message *ret_error)
{
    UNPACK(Ptq__V1__Error, ptq__v1__error__descriptor, read_error, bytes, size, ret_error);
}
