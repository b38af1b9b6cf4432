/* test_frame.c -- frames and records: what was written is read; what is damaged is refused. */
#include <stdlib.h>
#include <string.h>

#include "support/ptt.h"
#include "base/bytes.h"
#include "wire/crc32c.h"
#include "wire/frame.h"
#include "wire/limits.h"
#include "wire/record.h"

/* ---- kit ---- */

static size_t write_frame(uint8_t *at, uint8_t type, uint64_t number, const void *payload, uint32_t size)
{
    struct pti_frame frame = {
        .version = 1, .type = type, .length = size, .channel = 7, .number = number, .ack = number - 1, .credit = 99};

    if (size > 0)
        memcpy(at + PTI_FRAME_HEADER, payload, size);
    pti_frame_seal(at, &frame);
    return PTI_FRAME_HEADER + size;
}

static void feed(struct pti_frame_reader *reader, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        size_t room;
        uint8_t *at = pti_frame_reader_space(reader, &room);
        assert_non_null(at);
        assert_true(room > 0);
        size_t part = size < room ? size : room;
        memcpy(at, bytes, part);
        pti_frame_reader_filled(reader, part);
        bytes += part;
        size -= part;
    }
}

/* Everything that a receiver does with a data frame's payload, whatever it holds. */
static void read_as_everything(const uint8_t *payload, size_t size)
{
    struct pti_record_cursor cursor;
    struct pti_record record;
    uint64_t sum = 0, position;
    uint32_t timeout, side;
    size_t count;

    for (int form = 0; form < 3; form++) {
        enum ptq_err answer = form == 0   ? pti_read_put(payload, size, &timeout, &cursor)
                              : form == 1 ? pti_read_place(payload, size, &position, &timeout, &cursor)
                                          : pti_read_messages(payload, size, &cursor);
        if (answer != PTQ_OK)
            continue;
        while (pti_read_record(&cursor, &record) == PTQ_OK) {
            for (uint32_t i = 0; i < record.size; i++)
                sum += record.body[i]; /* a sanitizer sees a body that is not there */
            for (uint32_t i = 0; i < 4u * record.headers; i++)
                sum += record.header_bytes[i];
        }
    }
    struct pti_take take;
    struct pti_settle settle;
    struct pti_call_message call;
    sum += pti_read_take(payload, size, &take) + pti_read_settle(payload, size, &settle) +
           pti_read_call(payload, size, &call) + pti_read_side(payload, size, &side);
    if (pti_read_results(size, &count) == PTQ_OK) {
        struct pti_result result;
        pti_read_result(payload, count - 1, &result);
        sum += result.value;
    }
    assert_true(sum + 1 != 0 || sum == UINT64_MAX);
}

/* ---- cases ---- */

static void the_checksum_is_crc32c(void **state)
{
    static uint8_t bytes[20000]; /* several runs of three streams */
    uint64_t seed = 1;
    (void)state;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)ptt_random(&seed);

    assert_int_equal(pti_crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(pti_crc32c_portable(0, "123456789", 9), 0xe3069283u);
    for (size_t size = 0; size < sizeof bytes; size += size < 1000 ? 13 : 499) {
        uint32_t whole = pti_crc32c(0, bytes, size);
        assert_int_equal(whole, pti_crc32c_portable(0, bytes, size));
        assert_int_equal(whole, pti_crc32c(pti_crc32c(0, bytes, size / 3), bytes + size / 3, size - size / 3));
    }
}

static void a_frame_is_read_as_it_was_written(void **state)
{
    uint8_t bytes[200];
    struct pti_frame_reader reader;
    struct pti_frame frame;
    const char *reason;
    (void)state;

    size_t size = write_frame(bytes, PTI_FRAME_PUT, 0x1122334455667788u, "hello", 5);
    pti_frame_reader_init(&reader, PTI_WIRE_FRAME_FIRST);
    feed(&reader, bytes, size);

    assert_memory_equal(bytes, "pTq1", 4);
    assert_ok(pti_frame_reader_next(&reader, &frame, &reason));
    assert_int_equal(frame.version, 1);
    assert_int_equal(frame.type, PTI_FRAME_PUT);
    assert_int_equal(frame.length, 5);
    assert_int_equal(frame.channel, 7);
    assert_true(frame.number == 0x1122334455667788u && frame.ack == frame.number - 1 && frame.credit == 99);
    assert_memory_equal(frame.payload, "hello", 5);
    assert_answer(PTQ_EMPTY, pti_frame_reader_next(&reader, &frame, &reason));
    pti_frame_reader_fini(&reader);
}

static void frames_come_whole_however_the_stream_is_cut(void **state)
{
    uint8_t *stream = malloc(4 << 20), body[70000];
    uint64_t seed = ptt_seed(), count = 0, got = 0;
    size_t size = 0, at = 0;
    struct pti_frame_reader reader;
    struct pti_frame frame;
    const char *reason;
    (void)state;

    assert_non_null(stream);
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (uint8_t)i;
    while (size < (3u << 20))
        size += write_frame(
            stream + size, PTI_FRAME_PUT, ++count, body,
            (uint32_t)(ptt_random(&seed) % 50 == 0 ? ptt_random(&seed) % sizeof body : ptt_random(&seed) % 100));
    pti_frame_reader_init(&reader, PTI_WIRE_FRAME_BYTES);
    while (at < size) {
        size_t part = 1 + ptt_random(&seed) % (ptt_random(&seed) % 8 == 0 ? 100000 : 60);
        part = part < size - at ? part : size - at;
        feed(&reader, stream + at, part);
        at += part;
        while (pti_frame_reader_next(&reader, &frame, &reason) == PTQ_OK) {
            assert_int_equal(frame.number, ++got);
            assert_memory_equal(frame.payload, body, frame.length);
        }
    }

    assert_int_equal(got, count);
    pti_frame_reader_fini(&reader);
    free(stream);
}

static void a_long_frame_is_refused_before_anything_is_allocated_for_it(void **state)
{
    uint8_t header[PTI_FRAME_HEADER];
    struct pti_frame frame = {.version = 1, .type = PTI_FRAME_PUT};
    struct pti_frame_reader reader;
    const char *reason = NULL;
    (void)state;

    pti_frame_seal(header, &frame);
    pti_store32(header + 8, 0xfffffff0u);
    pti_frame_reader_init(&reader, PTI_WIRE_FRAME_FIRST);
    feed(&reader, header, sizeof header);

    assert_answer(PTQ_EPROTO, pti_frame_reader_next(&reader, &frame, &reason));
    assert_non_null(strstr(reason, "longer"));
    assert_true(reader.room <= 64u << 10);
    pti_frame_reader_fini(&reader);
}

static void foreign_bytes_are_refused_with_the_first_of_them(void **state)
{
    struct pti_frame_reader reader;
    struct pti_frame frame;
    const char *reason = NULL;
    (void)state;

    pti_frame_reader_init(&reader, PTI_WIRE_FRAME_FIRST);
    feed(&reader, (const uint8_t *)"G", 1);

    assert_answer(PTQ_EPROTO, pti_frame_reader_next(&reader, &frame, &reason));
    assert_non_null(reason);
    pti_frame_reader_fini(&reader);
}

static void any_changed_bit_is_found(void **state)
{
    uint8_t bytes[PTI_FRAME_HEADER + 33], body[33] = "thirty-three bytes of a payload.";
    struct pti_frame_reader reader;
    struct pti_frame frame;
    const char *reason;
    (void)state;

    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        write_frame(bytes, PTI_FRAME_PUT, 5, body, sizeof body);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        pti_frame_reader_init(&reader, PTI_WIRE_FRAME_FIRST);
        feed(&reader, bytes, sizeof bytes);
        enum ptq_err answer = pti_frame_reader_next(&reader, &frame, &reason);
        bool in_length = bit / 64 == 1 && bit / 8 < 12;
        if (answer == PTQ_OK || (answer == PTQ_EMPTY && !in_length))
            fail_msg("bit %zu was changed and nobody saw it", bit);
        pti_frame_reader_fini(&reader);
    }
}

static void records_are_read_as_they_were_written(void **state)
{
    uint8_t bytes[400], *at = bytes;
    static const char *const bodies[] = {"a", "", "three"};
    struct pti_record_cursor cursor;
    struct pti_record record;
    (void)state;

    pti_write_messages_head(at, 3);
    at += PTI_MESSAGES_HEAD;
    for (uint32_t i = 0; i < 3; i++) {
        record = (struct pti_record){.size = (uint32_t)strlen(bodies[i]), .type = 500, .kind = 1, .redelivered = i == 1,
                                     .sub = i, .deliveries = 4, .position = (UINT64_C(1) << 48) - 1};
        pti_write_message_record(at, &record);
        memcpy(at + PTI_MESSAGE_RECORD, bodies[i], record.size);
        at += PTI_MESSAGE_RECORD + record.size;
    }

    assert_ok(pti_read_messages(bytes, (size_t)(at - bytes), &cursor));
    assert_int_equal(cursor.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_ok(pti_read_record(&cursor, &record));
        assert_int_equal(record.size, strlen(bodies[i]));
        assert_memory_equal(record.body, bodies[i], record.size);
        assert_true(record.redelivered == (i == 1) && record.sub == i && record.deliveries == 4 && record.type == 500 &&
                    record.kind == 1 && record.position == (UINT64_C(1) << 48) - 1);
    }
    assert_answer(PTQ_END, pti_read_record(&cursor, &record));
}

static void a_record_says_more_only_where_there_is_more(void **state)
{
    uint8_t bytes[400];
    struct pti_record in = {.size = 3, .type = 0xcafe1234u, .headers = 2, .ttl = 77, .delay_us = 123456789012345}, out;
    struct pti_record plain = {.size = 3, .type = 500};
    struct pti_record_cursor cursor;
    uint32_t timeout;
    (void)state;

    assert_int_equal(pti_write_put_record(bytes, &plain), PTI_PUT_RECORD);
    assert_int_equal(pti_put_record_size(&plain), PTI_PUT_RECORD + 3);
    pti_write_put_head(bytes, 1, 5);
    size_t head = PTI_PUT_HEAD + pti_write_put_record(bytes + PTI_PUT_HEAD, &in);
    memcpy(bytes + head, "HEADERS!abc", 11);
    assert_int_equal(head + 11, PTI_PUT_HEAD + pti_put_record_size(&in));

    assert_ok(pti_read_put(bytes, head + 11, &timeout, &cursor));
    assert_ok(pti_read_record(&cursor, &out));
    assert_true(out.type == in.type && out.headers == 2 && out.ttl == 77 && out.delay_us == in.delay_us && out.size == 3);
    assert_memory_equal(out.header_bytes, "HEADERS!", 8);
    assert_memory_equal(out.body, "abc", 3);
    assert_answer(PTQ_END, pti_read_record(&cursor, &out));
    for (size_t size = PTI_PUT_HEAD + PTI_PUT_RECORD; size < head + 11; size++) { /* cut anywhere */
        assert_ok(pti_read_put(bytes, size, &timeout, &cursor));
        assert_answer(PTQ_EPROTO, pti_read_record(&cursor, &out));
    }
}

static void a_count_that_cannot_fit_is_refused(void **state)
{
    uint8_t bytes[64];
    struct pti_record_cursor cursor;
    uint32_t timeout;
    (void)state;

    memset(bytes, 0, sizeof bytes);
    pti_write_put_head(bytes, 8, 0);

    assert_answer(PTQ_EPROTO, pti_read_put(bytes, sizeof bytes, &timeout, &cursor));
    pti_write_put_head(bytes, 7, 0);
    assert_ok(pti_read_put(bytes, sizeof bytes, &timeout, &cursor));
    pti_write_put_head(bytes, 0, 0);
    assert_answer(PTQ_EPROTO, pti_read_put(bytes, sizeof bytes, &timeout, &cursor));
}

static void bytes_behind_the_last_record_are_refused(void **state)
{
    uint8_t bytes[PTI_PUT_HEAD + PTI_PUT_RECORD + 4];
    struct pti_record_cursor cursor;
    struct pti_record record = {.size = 3};
    uint32_t timeout;
    (void)state;

    pti_write_put_head(bytes, 1, 0);
    pti_write_put_record(bytes + PTI_PUT_HEAD, &record);

    assert_ok(pti_read_put(bytes, sizeof bytes, &timeout, &cursor));
    assert_ok(pti_read_record(&cursor, &record));
    assert_answer(PTQ_EPROTO, pti_read_record(&cursor, &record));
    record.size = 5;
    pti_write_put_record(bytes + PTI_PUT_HEAD, &record);
    assert_ok(pti_read_put(bytes, sizeof bytes, &timeout, &cursor));
    assert_answer(PTQ_EPROTO, pti_read_record(&cursor, &record));
}

static void random_payloads_never_lead_outside(void **state)
{
    uint64_t seed = ptt_seed();
    (void)state;

    for (int round = 0; round < 200000; round++) {
        size_t size = ptt_random(&seed) % 96;
        uint8_t *bytes = malloc(size > 0 ? size : 1); /* exactly so long: a sanitizer sees one byte more */
        for (size_t i = 0; i < size; i++)
            bytes[i] = ptt_random(&seed) % 3 == 0 ? (uint8_t)ptt_random(&seed) : (uint8_t)(ptt_random(&seed) % 4);
        read_as_everything(bytes, size);
        free(bytes);
    }
}

static void damaged_streams_end_with_an_error_and_never_with_a_wrong_frame(void **state)
{
    uint8_t stream[4096], whole[4096];
    uint64_t seed = ptt_seed();
    (void)state;

    for (int round = 0; round < 20000; round++) {
        size_t size = 0;
        uint64_t number = 0;
        while (size < sizeof stream - 300)
            size += write_frame(stream + size, PTI_FRAME_PUT, ++number, "0123456789abcdef",
                                (uint32_t)(ptt_random(&seed) % 16));
        memcpy(whole, stream, size);
        for (uint64_t damage = 1 + ptt_random(&seed) % 4; damage > 0; damage--)
            stream[ptt_random(&seed) % size] ^= (uint8_t)(1 + ptt_random(&seed) % 255);
        struct pti_frame_reader reader;
        struct pti_frame frame;
        const char *reason;
        pti_frame_reader_init(&reader, PTI_WIRE_FRAME_FIRST);
        feed(&reader, stream, size);
        uint64_t got = 0;
        enum ptq_err answer;
        while ((answer = pti_frame_reader_next(&reader, &frame, &reason)) == PTQ_OK) {
            assert_int_equal(frame.number, ++got);
            assert_memory_equal(frame.payload, "0123456789abcdef", frame.length);
        }
        assert_true(got < number || memcmp(whole, stream, size) == 0); /* the damage hit one of them */
        assert_true(answer == PTQ_EPROTO || answer == PTQ_EMPTY);
        pti_frame_reader_fini(&reader);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checksum_is_crc32c),
        cmocka_unit_test(a_frame_is_read_as_it_was_written),
        cmocka_unit_test(frames_come_whole_however_the_stream_is_cut),
        cmocka_unit_test(a_long_frame_is_refused_before_anything_is_allocated_for_it),
        cmocka_unit_test(foreign_bytes_are_refused_with_the_first_of_them),
        cmocka_unit_test(any_changed_bit_is_found),
        cmocka_unit_test(records_are_read_as_they_were_written),
        cmocka_unit_test(a_record_says_more_only_where_there_is_more),
        cmocka_unit_test(a_count_that_cannot_fit_is_refused),
        cmocka_unit_test(bytes_behind_the_last_record_are_refused),
        cmocka_unit_test(random_payloads_never_lead_outside),
        cmocka_unit_test(damaged_streams_end_with_an_error_and_never_with_a_wrong_frame),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
