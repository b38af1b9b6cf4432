/* test_recorded.c -- what version 1 said is said and understood so for ever: a recorded conversation.
 *
 *      wire_recorded --write FILE     writes the conversation anew, as the library says it now
 */
#include <stdlib.h>
#include <string.h>

#include "support/ptt.h"
#include "unit/wire/conversation.h"
#include "wire/assembly.h"
#include "wire/envelope.h"
#include "wire/record.h"

static struct conversation recorded, made;

static int read_conversation(void **state)
{
    (void)state;
    conversation_read(&recorded, RECORDED);
    return 0;
}

/* ---- read, and written again ---- */

#define AGAIN(type, unpack, pack)                                                                                      \
    do {                                                                                                               \
        type read;                                                                                                     \
        assert_ok(unpack(payload, size, &read));                                                                       \
        return pack(&read, to, PTI_CONTROL_BYTES);                                                                     \
    } while (0)
#define AGAIN_NUMBER(unpack, pack)                                                                                     \
    do {                                                                                                               \
        uint64_t read;                                                                                                 \
        assert_ok(unpack(payload, size, &read));                                                                       \
        return pack(read, to, PTI_CONTROL_BYTES);                                                                      \
    } while (0)
#define AGAIN_FIXED(type, read_it, write_it)                                                                           \
    do {                                                                                                               \
        type read;                                                                                                     \
        assert_ok(read_it(payload, size, &read));                                                                      \
        write_it(to, &read);                                                                                           \
        return size;                                                                                                   \
    } while (0)

static size_t directory_again(uint8_t *to, const uint8_t *payload, size_t size)
{
    struct pti_directory directory;

    assert_ok(pti_directory_unpack(payload, size, &directory));
    size_t again = pti_directory_pack(&directory, to, PTI_CONTROL_BYTES);
    free(directory.names);
    return again;
}

static size_t control_again(uint8_t *to, const struct pti_frame *frame, const uint8_t *payload, size_t size)
{
    bool reply = (frame->flags & PTI_FRAME_REPLY) != 0;

    switch (frame->type) {
    case PTI_FRAME_HELLO:
        AGAIN(struct pti_hello, pti_hello_unpack, pti_hello_pack);
    case PTI_FRAME_OPEN:
        if (!reply)
            AGAIN(struct pti_open_message, pti_open_unpack, pti_open_pack);
        AGAIN(struct pti_opened, pti_opened_unpack, pti_opened_pack);
    case PTI_FRAME_CREDIT:
        AGAIN_NUMBER(pti_credit_unpack, pti_credit_pack);
    case PTI_FRAME_DIRECTORY:
        if (!reply)
            AGAIN(struct pti_directory_ask, pti_directory_ask_unpack, pti_directory_ask_pack);
        return directory_again(to, payload, size);
    case PTI_FRAME_STATS:
        if (!reply)
            return 0; /* the question is empty */
        AGAIN(struct ptq_queue_stats, pti_stats_unpack, pti_stats_pack);
    case PTI_FRAME_GOAWAY:
        AGAIN(struct pti_goaway, pti_goaway_unpack, pti_goaway_pack);
    case PTI_FRAME_PING:
        AGAIN_NUMBER(pti_ping_unpack, pti_ping_pack);
    case PTI_FRAME_ERROR:
        AGAIN(struct pti_error_message, pti_error_unpack, pti_error_pack);
    default:
        fail_msg("a control frame of type %u is not known here", frame->type);
        return 0;
    }
}

static size_t records_again(uint8_t *to, uint8_t *at, struct pti_record_cursor cursor)
{
    struct pti_record record;
    enum ptq_err more;

    while ((more = pti_read_record(&cursor, &record)) == PTQ_OK) {
        at += cursor.delivered ? pti_write_message_record(at, &record) : pti_write_put_record(at, &record);
        if (record.headers > 0)
            memcpy(at, record.header_bytes, 4u * record.headers);
        at += 4u * record.headers;
        memcpy(at, record.body, record.size);
        at += record.size;
    }
    assert_int_equal(more, PTQ_END);
    return (size_t)(at - to);
}

static size_t messages_again(uint8_t *to, uint8_t type, const uint8_t *payload, size_t size)
{
    struct pti_record_cursor cursor;
    uint64_t position;
    uint32_t timeout;

    if (type == PTI_FRAME_PUT) {
        assert_ok(pti_read_put(payload, size, &timeout, &cursor));
        pti_write_put_head(to, cursor.count, timeout);
        return records_again(to, to + PTI_PUT_HEAD, cursor);
    }
    if (type == PTI_FRAME_PLACE) {
        assert_ok(pti_read_place(payload, size, &position, &timeout, &cursor));
        pti_write_place_head(to, position, timeout);
        return records_again(to, to + PTI_PLACE_HEAD, cursor);
    }
    assert_ok(pti_read_messages(payload, size, &cursor));
    pti_write_messages_head(to, cursor.count);
    return records_again(to, to + PTI_MESSAGES_HEAD, cursor);
}

static size_t results_again(uint8_t *to, const uint8_t *payload, size_t size)
{
    struct pti_result result;
    size_t count;

    assert_ok(pti_read_results(size, &count));
    for (size_t i = 0; i < count; i++) {
        pti_read_result(payload, i, &result);
        pti_write_result(to + i * PTI_RESULT_RECORD, &result);
    }
    return size;
}

static size_t data_again(uint8_t *to, uint8_t type, const uint8_t *payload, size_t size)
{
    uint32_t side;

    switch (type) {
    case PTI_FRAME_PUT:
    case PTI_FRAME_PLACE:
    case PTI_FRAME_MESSAGES:
        return messages_again(to, type, payload, size);
    case PTI_FRAME_TAKE:
        AGAIN_FIXED(struct pti_take, pti_read_take, pti_write_take);
    case PTI_FRAME_SETTLE:
        AGAIN_FIXED(struct pti_settle, pti_read_settle, pti_write_settle);
    case PTI_FRAME_CALL:
        AGAIN_FIXED(struct pti_call_message, pti_read_call, pti_write_call);
    case PTI_FRAME_WATCH:
    case PTI_FRAME_NOTIFY:
        assert_ok(pti_read_side(payload, size, &side));
        pti_write_side(to, side);
        return size;
    case PTI_FRAME_RESULT:
        return results_again(to, payload, size);
    case PTI_FRAME_CANCEL:
    case PTI_FRAME_CLOSE:
        return 0;
    default:
        fail_msg("a data frame of type %u is not known here", type);
        return 0;
    }
}

/* ---- cases ---- */

/* What was recorded is still said so, byte by byte: nothing was renumbered, nothing old says more than it said. */
static void version_1_is_said_as_it_was_recorded(void **state)
{
    (void)state;

    conversation_make(&made);

    assert_int_equal(made.count, recorded.count);
    for (size_t i = 0; i < made.count; i++) {
        assert_int_equal(made.said[i].side, recorded.said[i].side);
        assert_string_equal(made.said[i].name, recorded.said[i].name);
        if (made.said[i].size != recorded.said[i].size ||
            memcmp(made.said[i].bytes, recorded.said[i].bytes, made.said[i].size) != 0)
            fail_msg("%c %s is said with other bytes than version 1 did", made.said[i].side, made.said[i].name);
    }
}

/* With the case above: every field is read to what it was when it was said, for else it would be said otherwise. */
static void what_version_1_said_is_understood(void **state)
{
    struct pti_assembly assembly = {0};
    uint8_t again[PTI_CONTROL_BYTES];
    const uint8_t *payload;
    size_t size;
    (void)state;

    for (size_t i = 0; i < recorded.count; i++) {
        struct pti_frame frame = conversation_frame(&recorded.said[i]);
        assert_int_equal(frame.version, 1);
        enum ptq_err whole = pti_assembly_add(&assembly, &frame, PTI_WIRE_REQUEST_BYTES, &payload, &size);
        assert_true(whole == PTQ_OK || (whole == PTQ_EMPTY && (frame.flags & PTI_FRAME_MORE) != 0));
        if (whole == PTQ_EMPTY)
            continue;
        size_t length = frame.type < PTI_FRAME_PUT ? control_again(again, &frame, payload, size)
                                                   : data_again(again, frame.type, payload, size);
        if (length != size || memcmp(again, payload, size) != 0)
            fail_msg("%c %s is not understood as it was meant", recorded.said[i].side, recorded.said[i].name);
    }
    pti_assembly_clear(&assembly);
}

static void every_type_of_version_1_was_recorded(void **state)
{
    static const uint8_t types[] = {1, 2, 3, 4, 5, 6, 7, 8, 16, 17, 18, 19, 20, 21, 22, 23, 32, 33, 34};
    bool seen[256] = {false};
    (void)state;

    for (size_t i = 0; i < recorded.count; i++)
        seen[conversation_frame(&recorded.said[i]).type] = true;

    for (size_t i = 0; i < sizeof types; i++)
        assert_true(seen[types[i]]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1_is_said_as_it_was_recorded),
        cmocka_unit_test(what_version_1_said_is_understood),
        cmocka_unit_test(every_type_of_version_1_was_recorded),
    };

    if (argc == 3 && strcmp(argv[1], "--write") == 0) {
        conversation_make(&made);
        conversation_write(&made, argv[2]);
        return 0;
    }
    return cmocka_run_group_tests(tests, read_conversation, NULL);
}
