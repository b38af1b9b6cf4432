/* test_job.c -- jobs and results survive the way; foreign bytes are refused. */
#include <stdlib.h>
#include <string.h>

#include "pool/job.h"
#include "support/ptt.h"

static void a_job_comes_out_as_it_went_in(void **state)
{
    _Alignas(16) unsigned char entry[256];
    struct pti_job job;

    (void)state;
    for (size_t task_size = 0; task_size <= PTQ_TASK_NAME_MAX; task_size++) {
        char task[PTQ_TASK_NAME_MAX + 1];
        memset(task, 'a', sizeof task);
        size_t head = pti_job_head_size(task_size);
        assert_true(head <= PTI_JOB_ROOM && head % 16 == 0);
        pti_job_write_head(entry, task, task_size, 7);
        memcpy(entry + head, "data", 4);

        assert_true(pti_job_read(entry, head + 4, &job));
        assert_int_equal(job.task_size, task_size);
        assert_memory_equal(job.task, task, task_size);
        assert_int_equal(job.size, 4);
        assert_memory_equal(job.data, "data", 4);
        assert_int_equal(job.lives, 7);
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
    unsigned char good[2][PTI_RESULT_ROOM + 32];
    size_t sizes[2];
    struct pti_result result = {.host = "host", .worker = "worker", .text = "a text"};

    (void)state;
    memset(good, 'z', sizeof good);
    pti_job_write_head(good[0], "task", 4, 3);
    sizes[0] = pti_job_head_size(4) + 8;
    sizes[1] = pti_result_write_head(good[1], &result) + 8;
    for (unsigned round = 0; round < 200000; round++) {
        unsigned char bytes[PTI_RESULT_ROOM + 32];
        unsigned which = round & 1;
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
    pti_job_write_head(entry, "", 0, 3);
    entry[2] = '2';
    assert_false(pti_job_read(entry, sizeof entry, &job));
    pti_job_write_head(entry, "", 0, 3);
    assert_false(pti_result_read(entry, sizeof entry, &result));
    assert_false(pti_job_read("", 0, &job));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_comes_out_as_it_went_in),
        cmocka_unit_test(a_result_comes_out_as_it_went_in),
        cmocka_unit_test(long_names_and_texts_are_cut_to_the_room_there_is),
        cmocka_unit_test(foreign_bytes_are_never_read_beyond_their_end),
        cmocka_unit_test(another_version_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
