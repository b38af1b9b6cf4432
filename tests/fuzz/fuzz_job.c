/* fuzz_job.c -- foreign bytes as a job and as a result: what is accepted lies inside them, and means what may be asked for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "pool/job.h"

static void check(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "fuzz_job: %s\n", what);
        abort();
    }
}

static int is_inside(const void *part, size_t part_size, const unsigned char *bytes, size_t size)
{
    const unsigned char *start = part;
    return start >= bytes && start + part_size <= bytes + size;
}

static void check_job(unsigned char *bytes, size_t size)
{
    struct pti_job job, again;
    if (!pti_job_read(bytes, size, &job))
        return;
    check(is_inside(job.task, job.task_size, bytes, size) && is_inside(job.data, job.size, bytes, size), "a job beyond its bytes");
    check(job.task_size <= PTQ_TASK_NAME_MAX && (job.form & ~PTI_JOB_FORMS) == 0, "a job beyond its bounds");
    check(job.call.retries == 0 || job.call.backoff >= 100, "a pause that shrinks");
    check(pti_job_delay_ms(&job.call, job.failures) <= PTI_JOB_MS_MAX, "a pause without end");
    pti_job_note_failures(bytes, job.failures + 1);
    check(pti_job_read(bytes, size, &again) && again.data == job.data && again.call.retries == job.call.retries, "a note spoils a job");
}

static void check_result(const unsigned char *bytes, size_t size)
{
    struct pti_result result;
    if (!pti_result_read(bytes, size, &result))
        return;
    check(is_inside(result.data, result.size, bytes, size), "a result beyond its bytes");
    check(is_inside(result.host, strlen(result.host) + 1, bytes, size) &&
              is_inside(result.worker, strlen(result.worker) + 1, bytes, size) &&
              is_inside(result.text, strlen(result.text) + 1, bytes, size),
          "a word beyond its bytes");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *copy = malloc(size > 0 ? size : 1); /* of its own size, so that a read beyond it is seen */
    check(copy != NULL, "no memory");
    memcpy(copy, data, size);
    check_result(copy, size);
    check_job(copy, size);
    free(copy);
    return 0;
}
