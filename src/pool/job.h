/* job.h -- what is inside an entry of <pool>.jobs and of <pool>.done.
 *
 * Both ends may be of different hosts, so all numbers are little-endian and of fixed width, and every field is checked before
 * it is used.  A marker is bare bytes in both queues; its entry's kind says so.
 *
 *   job     0  magic:32 "PJ1\0" | lives:16 | name_size:16 | zero:64       16 bytes
 *          16  name, no final 0, padded with 0 to 16
 *              data to the end
 *   result  0  magic:32 "PR1\0" | code:32 | pid:64                        48 bytes
 *          16  run_ns:64 | tries:32 | text_size:32
 *          32  host_size:16 | name_size:16 | zero:96
 *          48  host, name, text: each with a final 0, not counted in its size; together padded with 0 to 16
 *              data to the end
 *   An error is a result with a code and a text.  code PTQ_END: no result at all, but the word that the pool has ended; it
 *   stands where END stands in the jobs, to wake the getter.
 */
#ifndef PTQ_POOL_JOB_H
#define PTQ_POOL_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/pool.h>

#define PTI_JOB_HEAD 16u
#define PTI_JOB_ROOM (PTI_JOB_HEAD + 64u)             /* item_size of jobs is that of the pool and this */
#define PTI_RESULT_HEAD 48u
#define PTI_RESULT_NAME_MAX 63u                       /* host and worker names are cut to this */
#define PTI_RESULT_TEXT_MAX 500u
#define PTI_RESULT_ROOM (PTI_RESULT_HEAD + 3 * 64u)   /* beside the data; text stands instead of data */
#define PTI_RESULT_LEAST PTI_RESULT_TEXT_MAX          /* room for data even where result_size is smaller: an error must fit */

/* Pointers into the entry. */
struct pti_job {
    const char *task; /* name_size bytes, without a final 0 */
    size_t task_size;
    const void *data;
    size_t size;
    uint32_t lives;
};

struct pti_result {
    enum ptq_err code;
    int64_t pid;
    uint64_t run_ns;
    uint32_t tries;
    const char *host, *worker, *text; /* with final 0; never NULL after read */
    const void *data;
    size_t size;
};

/* Bytes before the data of a job for a task whose name has task_size bytes. */
size_t pti_job_head_size(size_t task_size);
/* Writes them. */
void pti_job_write_head(void *buffer, const char *task, size_t task_size, uint32_t lives);
/* False: not a job of this version. */
bool pti_job_read(const void *entry, size_t size, struct pti_job *ret_job);

/* Bytes before the data; strings may be NULL and are cut to their limits. */
size_t pti_result_head_size(const struct pti_result *result);
/* Writes them; returns how many. */
size_t pti_result_write_head(void *buffer, const struct pti_result *result);
/* False: not a result of this version. */
bool pti_result_read(const void *entry, size_t size, struct pti_result *ret_result);

#endif
