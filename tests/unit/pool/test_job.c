/* test_job.c -- jobs and results survive the way; foreign bytes are refused. */
#include <stdlib.h>
#include <string.h>

#include "pool/job.h"
#include "support/ptt.h"

static const struct pti_job_call plain = {.lives = 7};
static const struct pti_job_call with_all = {.lives = 65535, .timeout_ms = 1500, .retries = 10000, .delay_ms = 77, .backoff = 250,
                                             .retry_on = PTQ_RETRY_ON(PTQ_EFAILED) | PTQ_RETRY_ON(PTQ_TIMEDOUT)};

static void assert_call(const struct pti_job_call *expected, const struct pti_job_call *call)
{
    assert_int_equal(call->lives, expected->lives);
    assert_int_equal(call->timeout_ms, expected->timeout_ms);
    assert_int_equal(call->retries, expected->retries);
    if (expected->retries == 0)
        return;
    assert_int_equal(call->delay_ms, expected->delay_ms);
    assert_int_equal(call->backoff, expected->backoff);
    assert_int_equal(call->retry_on, expected->retry_on);
}

static void a_job_comes_out_as_it_went_in(void **state)
{
    _Alignas(16) unsigned char entry[256];
    struct pti_job job;

    (void)state;
    for (size_t i = 0; i < 2 * (PTQ_TASK_NAME_MAX + 1); i++) {
        const struct pti_job_call *call = i % 2 == 0 ? &plain : &with_all;
        size_t task_size = i / 2;
        char task[PTQ_TASK_NAME_MAX + 1];
        memset(task, 'a', sizeof task);
        size_t head = pti_job_head_size(call, task_size);
        assert_true(head <= PTI_JOB_ROOM && head % 16 == 0);
        pti_job_write_head(entry, task, task_size, call, 0);
        memcpy(entry + head, "data", 4);

        assert_true(pti_job_read(entry, head + 4, &job));
        assert_int_equal(job.task_size, task_size);
        assert_memory_equal(job.task, task, task_size);
        assert_int_equal(job.size, 4);
        assert_memory_equal(job.data, "data", 4);
        assert_call(call, &job.call);
        assert_int_equal(job.failures, 0);
        pti_job_note_failures(entry, 3);
        assert_true(pti_job_read(entry, head + 4, &job));
        assert_int_equal(job.failures, 3);
        assert_call(call, &job.call);
    }
}

static void a_result_comes_out_as_it_went_in(void **state)
{
    _Alignas(16) unsigned char entry[PTI_RESULT_ROOM + 64];
    struct pti_result result = {.code = PTQ_OK, .pid = 123456789012, .run_ns = 77, .tries = 3, .host = "alpha",
                                .worker = "worker-1", .text = ""}, out;

    (void)state;
    size_t head = pti_result_write_head(entry, &result);
    assert_int_equal(head, pti_result_head_size(&result));
    assert_true(head <= PTI_RESULT_ROOM && head % 16 == 0);
    memcpy(entry + head, "0123456789", 10);

    assert_true(pti_result_read(entry, head + 10, &out));
    assert_int_equal(out.code, PTQ_OK);
    assert_int_equal(out.pid, 123456789012);
    assert_int_equal(out.run_ns, 77);
    assert_int_equal(out.tries, 3);
    assert_string_equal(out.host, "alpha");
    assert_string_equal(out.worker, "worker-1");
    assert_string_equal(out.text, "");
    assert_int_equal(out.size, 10);
    assert_memory_equal(out.data, "0123456789", 10);
}

static void long_names_and_texts_are_cut_to_the_room_there_is(void **state)
{
    _Alignas(16) unsigned char entry[PTI_RESULT_ROOM + PTI_RESULT_LEAST];
    static char text[4 * PTI_RESULT_TEXT_MAX];
    struct pti_result result = {.code = PTQ_EFAILED, .host = text, .worker = text, .text = text}, out;

    (void)state;
    memset(text, 'x', sizeof text - 1);
    size_t head = pti_result_write_head(entry, &result);

    assert_true(head <= sizeof entry);
    assert_true(pti_result_read(entry, head, &out));
    assert_int_equal(strlen(out.host), PTI_RESULT_NAME_MAX);
    assert_int_equal(strlen(out.worker), PTI_RESULT_NAME_MAX);
    assert_int_equal(strlen(out.text), PTI_RESULT_TEXT_MAX);
    assert_int_equal(out.code, PTQ_EFAILED);
}

/* Bytes of exactly `size`, so that a sanitizer sees a read beyond them. */
static void assert_reads_are_inside(const unsigned char *bytes, size_t size)
{
    unsigned char *copy = malloc(size == 0 ? 1 : size);
    struct pti_job job;
    struct pti_result result;

    memcpy(copy, bytes, size);
    if (pti_job_read(copy, size, &job)) {
        assert_true(job.task_size <= PTQ_TASK_NAME_MAX);
        assert_true((const unsigned char *)job.data + job.size == copy + size);
        assert_true((const unsigned char *)job.task >= copy && (const unsigned char *)job.task + job.task_size <= copy + size);
        assert_true(pti_job_delay_ms(&job.call, job.failures) >= 0);
        assert_false(pti_job_may_retry(&job.call, PTQ_EFAILED, job.call.retries));
    }
    if (pti_result_read(copy, size, &result)) {
        assert_true((const unsigned char *)result.data + result.size == copy + size);
        assert_true((const unsigned char *)result.text + strlen(result.text) < copy + size);
        assert_true((const unsigned char *)result.host + strlen(result.host) < copy + size);
    }
    free(copy);
}

static void foreign_bytes_are_never_read_beyond_their_end(void **state)
{
    uint64_t random = ptt_seed();
    unsigned char good[3][PTI_RESULT_ROOM + 32];
    size_t sizes[3];
    struct pti_result result = {.host = "host", .worker = "worker", .text = "a text"};

    (void)state;
    memset(good, 'z', sizeof good);
    pti_job_write_head(good[0], "task", 4, &plain, 0);
    sizes[0] = pti_job_head_size(&plain, 4) + 8;
    sizes[1] = pti_result_write_head(good[1], &result) + 8;
    pti_job_write_head(good[2], "task", 4, &with_all, 0);
    sizes[2] = pti_job_head_size(&with_all, 4) + 8;
    for (unsigned round = 0; round < 200000; round++) {
        unsigned char bytes[PTI_RESULT_ROOM + 32];
        unsigned which = round % 3;
        memcpy(bytes, good[which], sizeof bytes);
        for (unsigned i = 0; i < 1 + round % 3; i++)
            bytes[ptt_random(&random) % sizes[which]] = (unsigned char)ptt_random(&random);
        assert_reads_are_inside(bytes, ptt_random(&random) % (sizes[which] + 1));
        assert_reads_are_inside(bytes, sizes[which]);
    }
}

static void another_version_is_refused(void **state)
{
    unsigned char entry[64] = {0};
    struct pti_job job;
    struct pti_result result;

    (void)state;
    pti_job_write_head(entry, "", 0, &plain, 0);
    entry[2] = '2';
    assert_false(pti_job_read(entry, sizeof entry, &job));
    pti_job_write_head(entry, "", 0, &plain, 0);
    assert_false(pti_result_read(entry, sizeof entry, &result));
    assert_false(pti_job_read("", 0, &job));
}

static void a_job_of_a_stage_says_where_it_comes_from(void **state)
{
    unsigned char entry[64] = {0};
    struct pti_origin origin = {.input = 0x123456789abc, .from = 77};
    struct pti_job job;

    (void)state;
    pti_job_write_head(entry, "", 0, &plain, PTI_JOB_STAGE);
    pti_origin_write(entry + 16, &origin);
    assert_true(pti_job_read(entry, 40, &job));
    assert_true(job.origin.input == origin.input && job.origin.from == 77);
    assert_ptr_equal(job.data, entry + 32);
    assert_int_equal(job.size, 8);
    assert_false(pti_job_read(entry, 31, &job));

    struct pti_result result = {.section = PTI_SECTION_RUN, .ticket = origin.input, .code = PTQ_EFAILED}, out;
    unsigned char place[PTI_RESULT_ROOM];
    assert_true(pti_result_read(place, pti_result_write_head(place, &result), &out));
    assert_true(out.ticket == origin.input && out.section == PTI_SECTION_RUN);
}

/* Each field beyond its bounds, one at a time. */
static void a_head_that_says_what_nobody_may_ask_for_is_refused(void **state)
{
    static const struct {
        size_t at;
        unsigned char bytes[4];
        size_t count;
    } changes[] = {{6, {64, 0}, 2},           {8, {0, 0, 0, 0x80}, 4},  {14, {8, 0}, 2},          {14, {1, 1}, 2},
                   {24, {0, 0, 0, 0x80}, 4},  {28, {0, 0}, 2},          {28, {0x11, 0x27}, 2},    {30, {99, 0}, 2},
                   {30, {0x61, 0xea}, 2}};
    unsigned char entry[64];
    struct pti_job job;

    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        memset(entry, 0, sizeof entry);
        pti_job_write_head(entry, "task", 4, &with_all, 0);
        assert_true(pti_job_read(entry, sizeof entry, &job));
        memcpy(entry + changes[i].at, changes[i].bytes, changes[i].count);
        assert_false(pti_job_read(entry, sizeof entry, &job));
    }
    memset(entry, 0, sizeof entry);
    pti_job_write_head(entry, "task", 4, &with_all, 0);
    memset(entry + 16, 0, 8); /* after no error */
    assert_false(pti_job_read(entry, sizeof entry, &job));
}

static void options_become_what_travels(void **state)
{
    struct pti_job_call call;

    (void)state;
    assert_true(pti_job_call_of(&(struct ptq_call_options){.retries = 2, .backoff = 1.5, .delay_ms = 10}, 3, &call));
    assert_int_equal(call.backoff, 150);
    assert_int_equal(call.retry_on, UINT64_MAX);
    assert_int_equal(call.lives, 3);
    assert_true(pti_job_call_of(&(struct ptq_call_options){.backoff = 600}, 3, &call));
    assert_false(pti_job_call_of(&(struct ptq_call_options){.backoff = 0.5}, 3, &call));
    assert_false(pti_job_call_of(&(struct ptq_call_options){.backoff = 601}, 3, &call));
    assert_false(pti_job_call_of(&(struct ptq_call_options){.backoff = -1}, 3, &call));
    assert_false(pti_job_call_of(&(struct ptq_call_options){.retries = 10001}, 3, &call));
    assert_false(pti_job_call_of(&(struct ptq_call_options){.delay_ms = UINT32_C(1) << 31}, 3, &call));
    assert_false(pti_job_call_of(&(struct ptq_call_options){.timeout_ms = UINT32_MAX}, 3, &call));
}

static void retries_are_as_many_and_as_late_as_was_asked(void **state)
{
    struct pti_job_call call = {.retries = 3, .delay_ms = 100, .backoff = 200, .retry_on = PTQ_RETRY_ON(PTQ_EFAILED)};

    (void)state;
    assert_int_equal(pti_job_delay_ms(&call, 0), 100);
    assert_int_equal(pti_job_delay_ms(&call, 1), 200);
    assert_int_equal(pti_job_delay_ms(&call, 2), 400);
    assert_int_equal(pti_job_delay_ms(&call, 1000), INT32_MAX);
    assert_true(pti_job_may_retry(&call, PTQ_EFAILED, 2));
    assert_false(pti_job_may_retry(&call, PTQ_EFAILED, 3));
    assert_false(pti_job_may_retry(&call, PTQ_EINVAL, 0));
    assert_false(pti_job_may_retry(&call, (enum ptq_err)1000, 0));
    call.retry_on = UINT64_MAX;
    assert_true(pti_job_may_retry(&call, (enum ptq_err)1000, 0));
    call.backoff = 100;
    assert_int_equal(pti_job_delay_ms(&call, 9999), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_comes_out_as_it_went_in),
        cmocka_unit_test(a_result_comes_out_as_it_went_in),
        cmocka_unit_test(long_names_and_texts_are_cut_to_the_room_there_is),
        cmocka_unit_test(foreign_bytes_are_never_read_beyond_their_end),
        cmocka_unit_test(another_version_is_refused),
        cmocka_unit_test(a_job_of_a_stage_says_where_it_comes_from),
        cmocka_unit_test(a_head_that_says_what_nobody_may_ask_for_is_refused),
        cmocka_unit_test(options_become_what_travels),
        cmocka_unit_test(retries_are_as_many_and_as_late_as_was_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
