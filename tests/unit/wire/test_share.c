/* test_share.c -- what is asked of a share of another host, as bytes: comes out as it went in, and foreign bytes are read with care. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "support/ptt.h"
#include "wire/share.h"

static void an_ask_comes_out_as_it_went_in(void **state)
{
    struct pti_share_ask ask = {.verb = PTI_SHARE_MAP_SET, .op = 3, .type = 4, .wants = true, .value = UINT64_MAX - 1, .other = 77,
                                .name = "map\0key", .name_size = 7, .data = (const uint8_t *)"data", .size = 4};
    struct pti_share_ask got;
    uint8_t bytes[100];
    (void)state;

    pti_write_share_ask(bytes, &ask);
    assert_ok(pti_read_share_ask(bytes, pti_share_ask_size(&ask), &got));
    assert_true(got.verb == ask.verb && got.op == 3 && got.type == 4 && got.wants && got.value == ask.value && got.other == 77);
    assert_int_equal(got.name_size, 7);
    assert_memory_equal(got.name, "map\0key", 7);
    assert_int_equal(got.size, 4);
    assert_memory_equal(got.data, "data", 4);
}

static void an_ask_that_makes_no_sense_is_refused(void **state)
{
    struct pti_share_ask got, ask = {.verb = PTI_SHARE_GET, .name = "n", .name_size = 1};
    uint8_t bytes[400] = {0};
    (void)state;

    for (unsigned verb = 0; verb < 256; verb++) {
        bool known = (verb >= PTI_SHARE_FIND && verb <= PTI_SHARE_RECORD) || (verb >= PTI_SHARE_MAKE && verb <= PTI_SHARE_APPEND) ||
                     verb == PTI_SHARE_CHANGED || verb == PTI_SHARE_APPENDED;
        ask.verb = (uint8_t)verb;
        pti_write_share_ask(bytes, &ask);
        assert_answer(known ? PTQ_OK : PTQ_EPROTO, pti_read_share_ask(bytes, 25, &got));
    }
    ask.verb = PTI_SHARE_GET;
    pti_write_share_ask(bytes, &ask);
    for (size_t size = 0; size < 25; size++)
        assert_answer(PTQ_EPROTO, pti_read_share_ask(bytes, size, &got));
    bytes[3] = 2; /* a flag that there is not */
    assert_answer(PTQ_EPROTO, pti_read_share_ask(bytes, 25, &got));
    bytes[3] = 0;
    bytes[6] = 1;
    assert_answer(PTQ_EPROTO, pti_read_share_ask(bytes, 25, &got));
    bytes[6] = 0;
    pti_store16(bytes + 4, PTI_SHARE_NAME_BYTES);
    assert_ok(pti_read_share_ask(bytes, sizeof bytes, &got));
    pti_store16(bytes + 4, PTI_SHARE_NAME_BYTES + 1);
    assert_answer(PTQ_EPROTO, pti_read_share_ask(bytes, sizeof bytes, &got));
}

static void a_list_ends_where_its_room_does(void **state)
{
    struct pti_share_listed got, listed = {.type = 2, .value = 5, .version = 9, .name = "name", .name_size = 4};
    uint8_t bytes[70];
    size_t at = 0, read = 0;
    (void)state;

    assert_true(pti_write_share_listed(bytes, sizeof bytes, &at, &listed));
    assert_true(pti_write_share_listed(bytes, sizeof bytes, &at, &listed));
    assert_false(pti_write_share_listed(bytes, sizeof bytes, &at, &listed));
    assert_int_equal(at, 56);
    assert_ok(pti_read_share_listed(bytes, at, &read, &got));
    assert_true(got.type == 2 && got.value == 5 && got.version == 9 && got.name_size == 4 && memcmp(got.name, "name", 4) == 0);
    assert_ok(pti_read_share_listed(bytes, at, &read, &got));
    assert_answer(PTQ_END, pti_read_share_listed(bytes, at, &read, &got));
    for (size_t size = 29; size < at; size++) {
        read = 28;
        assert_answer(PTQ_EPROTO, pti_read_share_listed(bytes, size, &read, &got));
    }
}

/* Exactly as long as they are, so that a sanitizer sees what is read behind them. */
static void random_bytes_are_read_within_their_bounds(void **state)
{
    uint64_t seed = ptt_seed();
    unsigned asks = 0, entries = 0;
    (void)state;

    for (int round = 0; round < 20000; round++) {
        size_t size = ptt_random(&seed) % 80, at = 0;
        uint8_t *bytes = malloc(size + 1);
        struct pti_share_listed listed;
        struct pti_share_said said;
        struct pti_share_ask ask;
        for (size_t i = 0; i < size; i++)
            bytes[i] = ptt_random(&seed) % 3 == 0 ? (uint8_t)ptt_random(&seed) : 0;
        if (size > 5 && round % 2 == 0)
            bytes[0] = (uint8_t)(1 + ptt_random(&seed) % 8);
        uint8_t *exact = realloc(bytes, size > 0 ? size : 1);
        if (pti_read_share_ask(exact, size, &ask) == PTQ_OK) {
            assert_true((const uint8_t *)ask.name + ask.name_size == ask.data && ask.data + ask.size == exact + size);
            asks++;
        }
        (void)pti_read_share_said(exact, size, &said);
        while (pti_read_share_listed(exact, size, &at, &listed) == PTQ_OK) {
            assert_true(at <= size);
            entries++;
        }
        free(exact);
    }
    assert_true(asks > 50 && entries > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ask_comes_out_as_it_went_in),
        cmocka_unit_test(an_ask_that_makes_no_sense_is_refused),
        cmocka_unit_test(a_list_ends_where_its_room_does),
        cmocka_unit_test(random_bytes_are_read_within_their_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
