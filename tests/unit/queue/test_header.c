/* test_header.c -- headers in a block whose bytes another process may write as it likes; the text form of a trace. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "queue/header.h"
#include "support/ptt.h"

/* A message whose headers are the last bytes that it may touch. */
static ptq_msg message_over(uint8_t *bytes, uint8_t units)
{
    return (ptq_msg){.data = bytes, .size = 0, .headers = units, .state = PTI_MSG_LEASED};
}

static uint64_t read_all(const ptq_msg *msg)
{
    char name[PTQ_HEADER_NAME_MAX + 1];
    struct ptq_trace trace;
    const void *value;
    size_t size;
    uint64_t sum = ptq_msg_header_count(msg);

    for (size_t i = 0; ptq_msg_header_at(msg, i, name, &value, &size); i++) {
        assert_true(strlen(name) <= PTQ_HEADER_NAME_MAX);
        for (size_t k = 0; k < size; k++)
            sum += ((const uint8_t *)value)[k]; /* a sanitizer sees one byte too many */
    }
    if (ptq_msg_header(msg, "a", &size) != NULL)
        sum += size;
    return sum + ptq_msg_trace(msg, &trace);
}

static void random_header_bytes_never_lead_outside(void **state)
{
    uint64_t seed = ptt_seed(), sum = 0;
    (void)state;

    for (int round = 0; round < 100000; round++) {
        uint8_t units = (uint8_t)(ptt_random(&seed) % 20);
        uint8_t *bytes = malloc(4u * units + (units == 0)); /* exactly so long */
        for (size_t i = 0; i < 4u * units; i++)
            bytes[i] = ptt_random(&seed) % 4 == 0 ? (uint8_t)ptt_random(&seed) : (uint8_t)(ptt_random(&seed) % 5);
        if (units > 0 && ptt_random(&seed) % 5 == 0)
            bytes[0] = PTI_HEADER_TRACE;
        ptq_msg msg = message_over(bytes, units);
        sum += read_all(&msg);
        free(bytes);
    }
    assert_true(sum > 0);
}

struct scribbler {
    uint8_t *bytes;
    size_t size;
    _Atomic bool stop;
};

static void *scribble(void *context)
{
    struct scribbler *scribbler = context;
    uint64_t seed = 7;

    while (!scribbler->stop)
        __atomic_store_n(&scribbler->bytes[ptt_random(&seed) % scribbler->size], (uint8_t)(ptt_random(&seed) % 70),
                         __ATOMIC_RELAXED);
    return NULL;
}

static void bytes_that_change_while_they_are_read_never_lead_outside(void **state)
{
    struct scribbler scribbler = {.bytes = calloc(1, 64), .size = 64};
    ptq_msg msg = message_over(scribbler.bytes, 16);
    pthread_t thread;
    (void)state;
#if defined(__SANITIZE_THREAD__)
    skip(); /* values are read as the bytes that they are: a hostile writer is a race by its nature */
#endif

    assert_int_equal(pthread_create(&thread, NULL, scribble, &scribbler), 0);
    for (int round = 0; round < 100000; round++) {
        char name[PTQ_HEADER_NAME_MAX + 1];
        const void *value;
        size_t size;
        for (size_t i = 0; ptq_msg_header_at(&msg, i, name, &value, &size); i++) {
            assert_true((const uint8_t *)value >= scribbler.bytes);
            assert_true((const uint8_t *)value + size <= scribbler.bytes + scribbler.size);
        }
    }
    scribbler.stop = true;
    pthread_join(thread, NULL);
    free(scribbler.bytes);
}

static void what_was_packed_is_found_again_and_grows_only_within_its_room(void **state)
{
    uint8_t buffer[PTQ_HEADERS_MAX], units = 0;
    struct ptq_header one = {"one", "1", 1}, more = {"more", "22", 2};
    struct ptq_put_options options = {.headers = &one, .header_count = 1};
    size_t size = 0;
    (void)state;

    assert_ok(pti_headers_pack(&options, buffer, &units));
    assert_int_equal(units, 2);
    assert_false(pti_headers_append(&more, buffer, 3, &units));
    assert_int_equal(units, 2);
    assert_true(pti_headers_append(&more, buffer, 4, &units));
    assert_int_equal(units, 4);

    ptq_msg msg = message_over(buffer, units);
    assert_memory_equal(ptq_msg_header(&msg, "one", &size), "1", 1);
    assert_memory_equal(ptq_msg_header(&msg, "more", &size), "22", 2);
    assert_int_equal(size, 2);
    assert_null(ptq_msg_header(&msg, "mor", &size));
    assert_null(ptq_msg_header(&msg, NULL, &size));
}

static void a_trace_reads_back_from_its_text(void **state)
{
    static const char text[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    char buffer[PTQ_TRACE_TEXT_SIZE];
    struct ptq_trace trace;
    (void)state;

    assert_int_equal(sizeof(struct ptq_trace), PTI_TRACE_BYTES);
    assert_ok(ptq_trace_parse(text, &trace));
    assert_int_equal(trace.version, 0);
    assert_int_equal(trace.trace_id[0], 0x4b);
    assert_int_equal(trace.parent_id[7], 0xb7);
    assert_int_equal(trace.flags, 1);
    assert_string_equal(ptq_trace_text(&trace, buffer), text);
    assert_ok(ptq_trace_parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", &trace));
}

static void what_is_no_trace_is_einval(void **state)
{
    static const char *const bad[] = {"",
                                      "00",
                                      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
                                      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
                                      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later",
                                      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ",
                                      "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                                      "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                                      "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                                      "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                                      "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"};
    struct ptq_trace trace = {.flags = 77};
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *exact = strdup(bad[i]); /* a sanitizer sees a look behind its end */
        assert_answer(PTQ_EINVAL, ptq_trace_parse(exact, &trace));
        free(exact);
    }
    assert_answer(PTQ_EINVAL, ptq_trace_parse(NULL, &trace));
    assert_int_equal(trace.flags, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_header_bytes_never_lead_outside),
        cmocka_unit_test(bytes_that_change_while_they_are_read_never_lead_outside),
        cmocka_unit_test(what_was_packed_is_found_again_and_grows_only_within_its_room),
        cmocka_unit_test(a_trace_reads_back_from_its_text),
        cmocka_unit_test(what_is_no_trace_is_einval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
