/* test_envelope.c -- control messages: what was packed is unpacked; what no correct peer sends is refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/ptt.h"
#include "wire/envelope.h"

static struct pti_hello some_hello(void)
{
    struct pti_hello hello = {.version_min = 1, .version_max = 3, .version = 2, .session = {1, 2, 3}, .node = "east",
                              .software = "ptq 0.1", .run = "demo", .limits = {4096, 65536, 10, 20}, .resume = true,
                              .grace_ms = 10000, .incarnation = UINT64_MAX,
                              .attempt = UINT64_MAX - 1, .generation = UINT64_MAX - 2};
    return hello;
}

/* Unpacks bytes as every kind of message. */
static void unpack_as_everything(const uint8_t *bytes, size_t size)
{
    struct pti_hello hello;
    struct pti_open_message open;
    struct pti_opened opened;
    struct pti_directory_ask ask;
    struct pti_directory directory;
    struct pti_goaway goaway;
    struct pti_error_message error;
    struct ptq_queue_stats stats;
    uint64_t number;

    if (pti_hello_unpack(bytes, size, &hello) == PTQ_OK)
        assert_true(hello.version_min <= hello.version_max && strlen(hello.node) < sizeof hello.node);
    if (pti_open_unpack(bytes, size, &open) == PTQ_OK)
        assert_true(strlen(open.name) > 0 && strlen(open.name) <= PTQ_NAME_MAX);
    if (pti_opened_unpack(bytes, size, &opened) == PTQ_OK)
        assert_true(opened.item_size <= PTI_WIRE_ITEM_BYTES);
    if (pti_directory_ask_unpack(bytes, size, &ask) == PTQ_OK)
        assert_true(strchr(ask.name, '/') == NULL);
    if (pti_directory_unpack(bytes, size, &directory) == PTQ_OK)
        free(directory.names);
    (void)!pti_goaway_unpack(bytes, size, &goaway);
    if (pti_error_unpack(bytes, size, &error) == PTQ_OK)
        assert_true(error.code != PTQ_OK);
    (void)!pti_stats_unpack(bytes, size, &stats);
    (void)!pti_credit_unpack(bytes, size, &number);
    (void)!pti_ping_unpack(bytes, size, &number);
    struct pti_challenge challenge;
    uint8_t proof[32];
    if (pti_challenge_unpack(bytes, size, &challenge) == PTQ_OK)
        assert_true(challenge.identity[0] != '\0' && strlen(challenge.identity) < sizeof challenge.identity);
    (void)!pti_proof_unpack(bytes, size, proof);
}

static void hello_comes_back_as_it_was(void **state)
{
    struct pti_hello given = some_hello(), got;
    uint8_t buffer[PTI_CONTROL_BYTES];
    (void)state;

    size_t size = pti_hello_pack(&given, buffer, sizeof buffer);

    assert_true(size > 0);
    assert_ok(pti_hello_unpack(buffer, size, &got));
    assert_memory_equal(got.session, given.session, sizeof got.session);
    assert_string_equal(got.node, "east");
    assert_string_equal(got.run, "demo");
    assert_true(got.version_min == 1 && got.version_max == 3 && got.version == 2 && got.resume && !got.known &&
                got.grace_ms == 10000 && got.incarnation == UINT64_MAX && got.attempt == UINT64_MAX - 1 &&
                got.generation == UINT64_MAX - 2 && got.limits.request_bytes == 65536);
}

static void a_challenge_and_its_proof_come_back_as_they_were(void **state)
{
    struct pti_challenge given = {.identity = "east", .nonce = {1, 2}, .proof = {3}, .version = 2}, bad, got;
    struct pti_hello hello = some_hello(), heard;
    uint8_t buffer[PTI_CONTROL_BYTES], proof[32] = {9}, back[32];
    (void)state;

    assert_ok(pti_challenge_unpack(buffer, pti_challenge_pack(&given, buffer, sizeof buffer), &got));
    assert_memory_equal(&got, &given, sizeof got);
    assert_ok(pti_proof_unpack(buffer, pti_proof_pack(proof, buffer, sizeof buffer), back));
    assert_memory_equal(back, proof, sizeof back);
    bad = given;
    bad.identity[0] = '\0';
    assert_answer(PTQ_EPROTO, pti_challenge_unpack(buffer, pti_challenge_pack(&bad, buffer, sizeof buffer), &got));
    strcpy(bad.identity, "../east");
    assert_answer(PTQ_EPROTO, pti_challenge_unpack(buffer, pti_challenge_pack(&bad, buffer, sizeof buffer), &got));
    bad = given;
    memset(bad.nonce, 0, sizeof bad.nonce); /* one that was not drawn does not travel */
    assert_answer(PTQ_EPROTO, pti_challenge_unpack(buffer, pti_challenge_pack(&bad, buffer, sizeof buffer), &got));
    assert_answer(PTQ_EPROTO, pti_proof_unpack(buffer, 0, back));
    strcpy(hello.identity, "west"); /* who names himself draws a nonce */
    assert_answer(PTQ_EPROTO, pti_hello_unpack(buffer, pti_hello_pack(&hello, buffer, sizeof buffer), &heard));
    hello.nonce[31] = 1;
    assert_ok(pti_hello_unpack(buffer, pti_hello_pack(&hello, buffer, sizeof buffer), &heard));
    assert_string_equal(heard.identity, "west");
    assert_memory_equal(heard.nonce, hello.nonce, sizeof heard.nonce);
}

static void hello_with_impossible_values_is_refused(void **state)
{
    struct pti_hello good = some_hello(), bad, got;
    uint8_t buffer[PTI_CONTROL_BYTES];
    (void)state;

    bad = good;
    bad.version_min = 4;
    assert_answer(PTQ_EPROTO, pti_hello_unpack(buffer, pti_hello_pack(&bad, buffer, sizeof buffer), &got));
    bad = good;
    bad.limits.frame_bytes = 10;
    assert_answer(PTQ_EPROTO, pti_hello_unpack(buffer, pti_hello_pack(&bad, buffer, sizeof buffer), &got));
    bad = good;
    strcpy(bad.run, "../../etc");
    assert_answer(PTQ_EPROTO, pti_hello_unpack(buffer, pti_hello_pack(&bad, buffer, sizeof buffer), &got));
    assert_answer(PTQ_EPROTO, pti_hello_unpack(buffer, 0, &got));
}

static void open_and_its_answer_come_back_as_they_were(void **state)
{
    struct pti_open_message open = {.run = "demo",
                                    .name = "tasks.done",
                                    .mode = PTQ_CREATE,
                                    .capacity = UINT64_MAX,
                                    .window = 17,
                                    .start = 1,
                                    .item_size = 3,
                                    .max_deliveries = PTQ_NEVER,
                                    .max_endpoints = 5,
                                    .file_mode = 0640,
                                    .prefault = true,
                                    .letters = true,
                                    .roles = PTQ_PRODUCER,
                                    .placed = true},
                            got;
    struct pti_opened opened = {.capacity = 1000,
                                .window = 4,
                                .credit_bytes = 5,
                                .item_size = PTI_WIRE_ITEM_BYTES,
                                .max_deliveries = 20,
                                .placed = true,
                                .run = "demo",
                                .node = "west"},
                      answer;
    uint8_t buffer[PTI_CONTROL_BYTES];
    (void)state;

    assert_ok(pti_open_unpack(buffer, pti_open_pack(&open, buffer, sizeof buffer), &got));
    assert_memory_equal(&got, &open, sizeof got);
    assert_ok(pti_opened_unpack(buffer, pti_opened_pack(&opened, buffer, sizeof buffer), &answer));
    assert_memory_equal(&answer, &opened, sizeof answer);
}

static void names_that_could_lead_elsewhere_are_refused(void **state)
{
    static const char *const names[] = {"",       ".",        "..",  "a/b",  "/dev/shm/x",
                                        "~peers", "tasks~v2", "a b", "a\nb", "\xff"};
    uint8_t buffer[PTI_CONTROL_BYTES];
    (void)state;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct pti_open_message open = {0}, got;
        strcpy(open.name, names[i]);
        assert_answer(PTQ_EPROTO, pti_open_unpack(buffer, pti_open_pack(&open, buffer, sizeof buffer), &got));
    }
}

static void stats_come_back_field_by_field(void **state)
{
    struct ptq_queue_stats stats = {0}, got;
    uint8_t buffer[PTI_CONTROL_BYTES];
    (void)state;

    stats.capacity = 1, stats.item_size = 2, stats.bytes = 3, stats.ready = 4, stats.leased = 5, stats.delayed = 6;
    stats.dead = 7, stats.put = 8, stats.acked = 9, stats.nacked = 10, stats.taken = 11, stats.redelivered = 12;
    stats.dropped = 13, stats.bytes_put = 14, stats.bytes_acked = 15, stats.recovered = 16, stats.head = 17;
    stats.tail = 18, stats.end_position = 19, stats.oldest_ms = 20, stats.producers = 21, stats.consumers = 22;
    stats.endpoints = 23, stats.dead_endpoints = 24, stats.ended = true, stats.removed = true;
    assert_ok(pti_stats_unpack(buffer, pti_stats_pack(&stats, buffer, sizeof buffer), &got));

    stats.remote = true; /* what comes over a wire is that */
    assert_memory_equal(&got, &stats, sizeof got);
}

static void a_directory_comes_back_as_it_was(void **state)
{
    static char names[PTI_WIRE_NAMES][PTQ_NAME_MAX + 1];
    static uint8_t buffer[PTI_WIRE_FRAME_BYTES];
    struct pti_directory given = {.node = "east", .run = "demo", .served = true, .more = true, .count = PTI_WIRE_NAMES,
                                  .names = names},
                         got;
    (void)state;

    for (size_t i = 0; i < PTI_WIRE_NAMES; i++)
        snprintf(names[i], sizeof names[i], "queue-%zu-%0100d", i, 7);
    size_t size = pti_directory_pack(&given, buffer, sizeof buffer);

    assert_true(size > 0);
    assert_ok(pti_directory_unpack(buffer, size, &got));
    assert_int_equal(got.count, PTI_WIRE_NAMES);
    assert_true(got.served && got.more);
    assert_string_equal(got.names[1023], names[1023]);
    free(got.names);
}

static void the_small_ones_come_back_as_they_were(void **state)
{
    struct pti_goaway goaway = {.reason = "going", .drain_ms = 5000}, away;
    struct pti_error_message error = {.code = PTQ_EMISMATCH, .text = "8192 was asked,\nit has \"4096\""}, told;
    uint64_t number;
    uint8_t buffer[PTI_CONTROL_BYTES];
    (void)state;

    assert_ok(pti_goaway_unpack(buffer, pti_goaway_pack(&goaway, buffer, sizeof buffer), &away));
    assert_true(away.drain_ms == 5000 && strcmp(away.reason, "going") == 0);
    assert_ok(pti_error_unpack(buffer, pti_error_pack(&error, buffer, sizeof buffer), &told));
    assert_int_equal(told.code, PTQ_EMISMATCH);
    assert_string_equal(told.text, "8192 was asked,?it has '4096'"); /* no control character comes in, and no quote of a log is ended */
    assert_ok(pti_credit_unpack(buffer, pti_credit_pack(77, buffer, sizeof buffer), &number));
    assert_int_equal(number, 77);
    assert_ok(pti_ping_unpack(buffer, pti_ping_pack(UINT64_MAX, buffer, sizeof buffer), &number));
    assert_true(number == UINT64_MAX);
    error.code = (enum ptq_err)4711;
    assert_answer(PTQ_EPROTO, pti_error_unpack(buffer, pti_error_pack(&error, buffer, sizeof buffer), &told));
}

static void a_message_that_does_not_fit_is_not_packed(void **state)
{
    struct pti_hello hello = some_hello();
    uint8_t buffer[PTI_CONTROL_BYTES];
    (void)state;

    size_t size = pti_hello_pack(&hello, buffer, sizeof buffer);

    assert_int_equal(pti_hello_pack(&hello, buffer, size), size);
    assert_int_equal(pti_hello_pack(&hello, buffer, size - 1), 0);
}

/* A list of a hundred thousand empty names costs two bytes each on the wire. */
static void a_list_without_end_is_refused(void **state)
{
    static uint8_t bytes[200000];
    struct pti_directory directory;
    (void)state;

    for (size_t i = 0; i < sizeof bytes; i += 2) {
        bytes[i] = 4 << 3 | 2; /* field 4, a text */
        bytes[i + 1] = 0;
    }

    assert_answer(PTQ_EPROTO, pti_directory_unpack(bytes, sizeof bytes, &directory));
}

static void random_and_mutated_messages_are_refused_or_sound(void **state)
{
    uint64_t seed = ptt_seed();
    struct pti_hello hello = some_hello();
    struct pti_open_message open = {.run = "demo", .name = "tasks", .capacity = 1000};
    static char names[3][PTQ_NAME_MAX + 1] = {"a", "b", "c"};
    struct pti_directory directory = {.node = "east", .run = "demo", .count = 3, .names = names};
    uint8_t good[PTI_CONTROL_BYTES];
    (void)state;

    for (int round = 0; round < 60000; round++) {
        size_t size = round % 4 == 0   ? pti_hello_pack(&hello, good, sizeof good)
                      : round % 4 == 1 ? pti_open_pack(&open, good, sizeof good)
                      : round % 4 == 2 ? pti_directory_pack(&directory, good, sizeof good)
                                       : ptt_random(&seed) % 64;
        if (round % 4 == 3) {
            for (size_t i = 0; i < size; i++)
                good[i] = (uint8_t)ptt_random(&seed);
        }
        for (uint64_t damage = ptt_random(&seed) % 4; damage > 0 && size > 0; damage--)
            good[ptt_random(&seed) % size] = (uint8_t)ptt_random(&seed);
        if (ptt_random(&seed) % 4 == 0 && size > 0)
            size = ptt_random(&seed) % size;
        uint8_t *bytes = malloc(size > 0 ? size : 1);
        memcpy(bytes, good, size);
        unpack_as_everything(bytes, size);
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_comes_back_as_it_was),
        cmocka_unit_test(a_challenge_and_its_proof_come_back_as_they_were),
        cmocka_unit_test(hello_with_impossible_values_is_refused),
        cmocka_unit_test(open_and_its_answer_come_back_as_they_were),
        cmocka_unit_test(names_that_could_lead_elsewhere_are_refused),
        cmocka_unit_test(stats_come_back_field_by_field),
        cmocka_unit_test(a_directory_comes_back_as_it_was),
        cmocka_unit_test(the_small_ones_come_back_as_they_were),
        cmocka_unit_test(a_message_that_does_not_fit_is_not_packed),
        cmocka_unit_test(a_list_without_end_is_refused),
        cmocka_unit_test(random_and_mutated_messages_are_refused_or_sound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
