/* conversation.c -- a conversation of two hosts in frames of each kind, as it was recorded for a wire version. */
#include "unit/wire/conversation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/ptt.h"
#include "base/bytes.h"
#include "wire/envelope.h"
#include "wire/record.h"

#define A_DAY_US (UINT64_C(86400) * 1000000)

/* ---- saying ---- */

static void say(struct conversation *all, char side, const char *name, const struct pti_frame *header,
                const void *payload, size_t size)
{
    struct said *said = &all->said[all->count++];
    struct pti_frame frame = *header;

    assert_true(all->count <= CONVERSATION_MOST && PTI_FRAME_HEADER + size <= sizeof said->bytes);
    frame.version = 1;
    frame.length = (uint32_t)size;
    said->side = side;
    snprintf(said->name, sizeof said->name, "%s", name);
    if (size > 0)
        memcpy(said->bytes + PTI_FRAME_HEADER, payload, size);
    pti_frame_seal(said->bytes, &frame);
    said->size = PTI_FRAME_HEADER + size;
}

#define FRAME(...) (&(struct pti_frame){__VA_ARGS__})
#define SAY_PACKED(side, name, header, pack, given)                                                                    \
    do {                                                                                                               \
        uint8_t packed[PTI_CONTROL_BYTES];                                                                             \
        say(all, side, name, header, packed, pack(given, packed, sizeof packed));                                      \
    } while (0)

static void say_greetings(struct conversation *all)
{
    struct pti_hello asks = {.version_min = 1, .version_max = 1, .session = "a session of 16", .software = "ptq 0.2.0",
                             .limits = {262144, 67108864, 1024, 1023}};
    struct pti_hello answers = {.version_min = 1, .version_max = 1, .version = 1, .session = "a session of 16",
                                .node = "home", .software = "ptq 0.2.0", .run = "test", .known = true,
                                .limits = {262144, 67108864, 1024, 1023}, .grace_ms = 10000,
                                .incarnation = UINT64_C(0x1122334455667788)};

    SAY_PACKED('>', "hello", FRAME(.type = PTI_FRAME_HELLO), pti_hello_pack, &asks);
    SAY_PACKED('<', "hello", FRAME(.type = PTI_FRAME_HELLO, .flags = PTI_FRAME_REPLY), pti_hello_pack, &answers);
}

static void say_openings(struct conversation *all)
{
    struct pti_open_message one = {.name = "recorded", .capacity = 16, .item_size = 4096, .header_size = 64};
    struct pti_open_message full = {.run = "test", .name = "recorded.full", .mode = PTQ_CREATE, .capacity = 7,
                                    .window = 3, .start = 11, .item_size = 100, .max_deliveries = 5,
                                    .max_endpoints = 9, .file_mode = 0640, .prefault = true, .ephemeral = true,
                                    .placed = true, .spec = "pb:a.B", .bytes = 4096, .header_size = 32,
                                    .full = PTQ_FULL_DROP_NEWEST, .stamps = PTQ_STAMPS_OFF, .ttl_ms = 1001,
                                    .lease_ms = 2002, .max_dead = 6, .expired_to_dead = true,
                                    .last_producer_ends = true, .letters = true, .roles = PTQ_PRODUCER};
    struct pti_opened opened = {.capacity = 16, .window = 8, .credit_bytes = 4194304, .item_size = 4096,
                                .max_deliveries = 4, .header_size = 64, .placed = true, .run = "test",
                                .node = "home", .spec = "pb:a.B", .id = "a queue, 16 byt"};
    struct pti_error_message refused = {PTQ_EMISMATCH, "queue 'recorded.full' exists with another item_size"};

    SAY_PACKED('>', "open", FRAME(.type = PTI_FRAME_OPEN, .channel = 1), pti_open_pack, &one);
    SAY_PACKED('<', "opened", FRAME(.type = PTI_FRAME_OPEN, .flags = PTI_FRAME_REPLY, .channel = 1), pti_opened_pack,
               &opened);
    SAY_PACKED('>', "open.full", FRAME(.type = PTI_FRAME_OPEN, .channel = 2), pti_open_pack, &full);
    SAY_PACKED('<', "open.refused", FRAME(.type = PTI_FRAME_ERROR, .channel = 2), pti_error_pack, &refused);
}

/* Returns where the next record stands. */
static uint8_t *add_record(uint8_t *at, const struct pti_record *record, bool delivered)
{
    at += delivered ? pti_write_message_record(at, record) : pti_write_put_record(at, record);
    if (record->headers > 0)
        memcpy(at, record->header_bytes, 4u * record->headers);
    at += 4u * record->headers;
    memcpy(at, record->body, record->size);
    return at + record->size;
}

static const uint8_t some_headers[8] = {3, 'k', 'e', 'y', 1, 'v', 0, 0};

static struct pti_record plain_record(void)
{
    return (struct pti_record){.body = (const uint8_t *)"plain", .size = 5};
}

static struct pti_record rich_record(void)
{
    return (struct pti_record){.body = (const uint8_t *)"later", .size = 5, .kind = 3, .type = 70000, .ttl = 0x1234,
                               .headers = 2, .header_bytes = some_headers, .delay_us = A_DAY_US};
}

static void say_puts(struct conversation *all)
{
    struct pti_record plain = plain_record(), rich = rich_record();
    struct pti_frame header = {.type = PTI_FRAME_PUT, .channel = 1, .number = 1};
    uint8_t bytes[256], *end;

    pti_write_put_head(bytes, 1, 0);
    end = add_record(bytes + PTI_PUT_HEAD, &plain, false);
    say(all, '>', "put", &header, bytes, (size_t)(end - bytes));

    pti_write_put_head(bytes, 2, 250);
    end = add_record(add_record(bytes + PTI_PUT_HEAD, &plain, false), &rich, false);
    header.number = 2;
    say(all, '>', "put.batch", &header, bytes, (size_t)(end - bytes));

    pti_write_put_head(bytes, 1, PTI_TIMEOUT_NEVER);
    end = add_record(bytes + PTI_PUT_HEAD, &plain, false);
    header.number = 3;
    header.flags = PTI_FRAME_MORE;
    say(all, '>', "put.piece", &header, bytes, 10);
    header.flags = 0;
    say(all, '>', "put.last-piece", &header, bytes + 10, (size_t)(end - bytes) - 10);

    pti_write_place_head(bytes, 77, 250);
    end = add_record(bytes + PTI_PLACE_HEAD, &rich, false);
    header.number = 4;
    header.type = PTI_FRAME_PLACE;
    say(all, '>', "place", &header, bytes, (size_t)(end - bytes));
}

static void say_results(struct conversation *all)
{
    static const struct pti_result results[] = {
        {1, PTQ_OK, 0}, {2, PTQ_FULL, 0}, {3, PTQ_OK, UINT64_C(1) << 40}, {4, PTI_RESULT_RETRY, 0}};
    uint8_t bytes[sizeof results / sizeof results[0] * PTI_RESULT_RECORD];

    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
        pti_write_result(bytes + i * PTI_RESULT_RECORD, &results[i]);
    say(all, '<', "result", FRAME(.type = PTI_FRAME_RESULT, .channel = 1), bytes, sizeof bytes);
}

static void say_messages(struct conversation *all)
{
    struct pti_record plain = plain_record(), rich = rich_record();
    uint8_t bytes[256], *end;

    plain.position = 5;
    plain.deliveries = 1;
    rich.position = 6;
    rich.sub = 1;
    rich.deliveries = 2;
    rich.redelivered = true;
    pti_write_messages_head(bytes, 2);
    end = add_record(add_record(bytes + PTI_MESSAGES_HEAD, &plain, true), &rich, true);
    say(all, '<', "messages", FRAME(.type = PTI_FRAME_MESSAGES, .channel = 1, .number = 5), bytes,
        (size_t)(end - bytes));
}

static void say_take(struct conversation *all, const char *name, uint64_t number, uint32_t max, uint32_t timeout)
{
    uint8_t bytes[PTI_TAKE_BYTES];

    pti_write_take(bytes, &(struct pti_take){.max = max, .timeout = timeout});
    say(all, '>', name, FRAME(.type = PTI_FRAME_TAKE, .channel = 1, .number = number), bytes, sizeof bytes);
}

static void say_settlements(struct conversation *all)
{
    static const struct pti_settle given[] = {
        {PTI_SETTLE_ACK, 0, 5, 0, 1}, {PTI_SETTLE_NACK, 1500, 6, 1, 2}, {PTI_SETTLE_UNTAKE, 0, 7, 0, 3}};
    static const char *const names[] = {"settle.ack", "settle.nack", "settle.untake"};
    uint8_t bytes[PTI_SETTLE_BYTES];

    for (size_t i = 0; i < 3; i++) {
        pti_write_settle(bytes, &given[i]);
        say(all, '>', names[i], FRAME(.type = PTI_FRAME_SETTLE, .channel = 1, .number = 6 + i, .ack = 5), bytes,
            sizeof bytes);
    }
}

/* The queue is dry now, but for what is put off: the take waits until it is called off. */
static void say_waiting(struct conversation *all)
{
    uint8_t bytes[PTI_WATCH_BYTES];

    say_take(all, "take.all", 9, 100, 0);
    say_take(all, "take.waits", 10, 1, PTI_TIMEOUT_NEVER);
    say(all, '>', "cancel", FRAME(.type = PTI_FRAME_CANCEL, .channel = 1, .number = 10), NULL, 0);
    pti_write_side(bytes, PTQ_SIDE_PUT);
    say(all, '>', "watch", FRAME(.type = PTI_FRAME_WATCH, .channel = 1), bytes, sizeof bytes);
    say(all, '<', "notify", FRAME(.type = PTI_FRAME_NOTIFY, .channel = 1), bytes, sizeof bytes);
}

static void say_calls(struct conversation *all)
{
    static const char *const names[] = {"call.end",   "call.limit", "call.head",  "call.census",
                                        "call.claim", "call.purge", "call.pause", "call.kick"};
    static const enum pti_call_verb order[] = {PTI_CALL_HEAD,  PTI_CALL_CENSUS, PTI_CALL_LIMIT, PTI_CALL_CLAIM,
                                               PTI_CALL_PAUSE, PTI_CALL_KICK,   PTI_CALL_PURGE, PTI_CALL_END};
    uint8_t bytes[PTI_CALL_BYTES];

    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        pti_write_call(bytes, &(struct pti_call_message){order[i], order[i] == PTI_CALL_CLAIM ? 5 : 0, 100 + i});
        say(all, '>', names[order[i] - 1], FRAME(.type = PTI_FRAME_CALL, .channel = 1, .number = 11 + i), bytes,
            sizeof bytes);
    }
}

static struct ptq_queue_stats some_stats(void)
{
    struct ptq_queue_stats stats = {
        .capacity = 1, .item_size = 2, .bytes = 3, .ready = 4, .leased = 5, .delayed = 6, .dead = 7, .put = 8,
        .acked = 9, .nacked = 10, .taken = 11, .redelivered = 12, .dropped = 13, .bytes_put = 14, .bytes_acked = 15,
        .recovered = 16, .head = 17, .tail = 18, .end_position = 19, .oldest_ms = 20, .producers = 21,
        .consumers = 22, .endpoints = 23, .dead_endpoints = 24, .ended = true, .removed = true, .paused = true};

    for (uint64_t i = 0; i < PTQ_DROPS; i++)
        stats.dropped_by[i] = 30 + i;
    return stats;
}

static void say_questions(struct conversation *all)
{
    struct pti_directory_ask one = {.run = "test", .name = "recorded"}, rest = {.after = "recorded"};
    char names[2][PTQ_NAME_MAX + 1] = {"recorded", "recorded.full"};
    struct pti_directory directory = {.node = "home", .run = "test", .served = true, .more = true, .count = 2,
                                      .names = names};
    struct ptq_queue_stats stats = some_stats();

    say(all, '>', "stats", FRAME(.type = PTI_FRAME_STATS, .channel = 1, .number = 19), NULL, 0);
    SAY_PACKED('<', "stats", FRAME(.type = PTI_FRAME_STATS, .flags = PTI_FRAME_REPLY, .channel = 1, .number = 19),
               pti_stats_pack, &stats);
    SAY_PACKED('>', "directory.one", FRAME(.type = PTI_FRAME_DIRECTORY, .channel = 3, .number = 1),
               pti_directory_ask_pack, &one);
    SAY_PACKED('>', "directory.rest", FRAME(.type = PTI_FRAME_DIRECTORY, .channel = 3, .number = 2),
               pti_directory_ask_pack, &rest);
    SAY_PACKED('<', "directory", FRAME(.type = PTI_FRAME_DIRECTORY, .flags = PTI_FRAME_REPLY, .channel = 3,
                                       .number = 2), pti_directory_pack, &directory);
}

static void say_signs_of_life(struct conversation *all)
{
    SAY_PACKED('>', "ping", FRAME(.type = PTI_FRAME_PING), pti_ping_pack, UINT64_C(987654321012));
    SAY_PACKED('<', "ping", FRAME(.type = PTI_FRAME_PING, .flags = PTI_FRAME_REPLY), pti_ping_pack,
               UINT64_C(987654321012));
    SAY_PACKED('<', "credit", FRAME(.type = PTI_FRAME_CREDIT, .channel = 1), pti_credit_pack, UINT64_C(65536));
}

static void say_farewells(struct conversation *all)
{
    struct pti_goaway leaving = {"the bridge is going down", 5000}, closed = {.reason = "closed"};
    struct pti_error_message error = {PTQ_EPROTO, "a PING makes no sense"};

    say(all, '>', "close", FRAME(.type = PTI_FRAME_CLOSE, .channel = 1, .number = 20), NULL, 0);
    SAY_PACKED('<', "goaway", FRAME(.type = PTI_FRAME_GOAWAY), pti_goaway_pack, &leaving);
    SAY_PACKED('<', "error", FRAME(.type = PTI_FRAME_ERROR), pti_error_pack, &error);
    SAY_PACKED('>', "goaway", FRAME(.type = PTI_FRAME_GOAWAY), pti_goaway_pack, &closed);
}

void conversation_make(struct conversation *all)
{
    all->count = 0;
    say_greetings(all);
    say_openings(all);
    say_puts(all);
    say_results(all);
    say_take(all, "take", 5, 2, 250);
    say_messages(all);
    say_settlements(all);
    say_waiting(all);
    say_calls(all);
    say_questions(all);
    say_signs_of_life(all);
    say_farewells(all);
}

/* ---- the file ---- */

void conversation_write(const struct conversation *all, const char *path)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fprintf(file, "# A conversation of wire version 1: '>' who dialled, '<' the home; the name, the frame's bytes.\n"
                  "# Written by \"wire_recorded --write FILE\".  It is written anew only for a reason, said here:\n"
                  "# - the first: recorded before version 2 was begun, of what versions before it said.\n");
    for (size_t i = 0; i < all->count; i++) {
        fprintf(file, "%c %s ", all->said[i].side, all->said[i].name);
        for (size_t at = 0; at < all->said[i].size; at++)
            fprintf(file, "%02x", all->said[i].bytes[at]);
        fputc('\n', file);
    }
    assert_int_equal(fclose(file), 0);
}

static void read_hex(struct said *said, const char *hex)
{
    unsigned byte;

    for (said->size = 0; sscanf(hex + 2 * said->size, "%2x", &byte) == 1; said->size++) {
        assert_true(said->size < sizeof said->bytes);
        said->bytes[said->size] = (uint8_t)byte;
    }
}

void conversation_read(struct conversation *all, const char *path)
{
    static char line[2 * CONVERSATION_BYTES + 100], hex[sizeof line];
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    all->count = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        struct said *said = &all->said[all->count];
        if (line[0] == '#')
            continue;
        assert_true(all->count < CONVERSATION_MOST);
        assert_int_equal(sscanf(line, "%c %39s %s", &said->side, said->name, hex), 3);
        read_hex(said, hex);
        all->count++;
    }
    fclose(file);
}

struct pti_frame conversation_frame(struct said *said)
{
    struct pti_frame_reader reader;
    struct pti_frame frame;
    const char *reason = "";
    size_t room;

    pti_frame_reader_init(&reader, CONVERSATION_BYTES);
    uint8_t *at = pti_frame_reader_space(&reader, &room);
    assert_true(said->size <= room);
    memcpy(at, said->bytes, said->size);
    pti_frame_reader_filled(&reader, said->size);
    if (pti_frame_reader_next(&reader, &frame, &reason) != PTQ_OK)
        fail_msg("%c %s is no frame: %s", said->side, said->name, reason);
    assert_int_equal(PTI_FRAME_HEADER + frame.length, said->size);
    pti_frame_reader_fini(&reader);
    frame.payload = said->bytes + PTI_FRAME_HEADER;
    return frame;
}

struct pti_frame conversation_find(struct conversation *conversation, char side, const char *name)
{
    for (size_t i = 0; i < conversation->count; i++) {
        struct said *said = &conversation->said[i];
        if (said->side == side && strcmp(said->name, name) == 0)
            return conversation_frame(said);
    }
    fail_msg("no %c %s was recorded", side, name);
    return (struct pti_frame){0};
}
