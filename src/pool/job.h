/* job.h -- what is inside an entry of <pool>.jobs and of <pool>.done.
 *
 * Both ends may be of different hosts, so all numbers are little-endian and of fixed width, and every field is checked before
 * it is used.  A marker is bare bytes in both queues; its entry's kind says so.
 *
 *   job     0  magic:32 "PJ1\0" | lives:16 | name_size:16              16 bytes
 *           8  timeout_ms:32 | failures:16 | form:16
 *          16  only with PTI_JOB_RETRIES: retry_on:64 | delay_ms:32 | retries:16 | backoff:16, in hundredths
 *              name, no final 0, padded with 0 to 16
 *              with PTI_JOB_STAGE: input:64 | from:64
 *              data to the end
 *   result  0  magic:32 "PR1\0" | code:32 | pid:64                        48 bytes
 *          16  run_ns:64 | tries:32 | text_size:32
 *          32  host_size:16 | name_size:16 | signal:16 | errno:16 | section:16 | ticket:48
 *          48  host, name, text: each with a final 0, not counted in its size; together padded with 0 to 16
 *              data to the end; of an error the name of its task and a trace, each with a final 0
 *   pieces  the data of a job and of a result with PTI_JOB_CHUNK, one behind the other; fewer in the result: the rest did not fit
 *           0  size:32 | code:32 | tries:32 | zero:32                    16 bytes
 *          16  data, of an error its text; padded with 0 to 16
 *   outputs  the data of a result of a job with PTI_JOB_STAGE: pieces, any number; its ticket is the input that it is about
 *   ticket is read where results are not placed (unordered.c); there a marker, too, has the head of a result before its bytes.
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
#define PTI_JOB_RETRY_HEAD 16u
#define PTI_JOB_ROOM (PTI_JOB_HEAD + PTI_JOB_RETRY_HEAD + 64u) /* item_size of jobs is that of the pool and this */
#define PTI_JOB_LIVES_AT 4u
#define PTI_JOB_FAILURES_AT 12u /* failures and lives are written by who has the job on lease, before it gives the job back */
#define PTI_RESULT_HEAD 48u
#define PTI_RESULT_NAME_MAX 63u                       /* host and worker names are cut to this */
#define PTI_RESULT_TEXT_MAX 500u
#define PTI_RESULT_ROOM (PTI_RESULT_HEAD + 3 * 64u)   /* beside the data; text stands instead of data */
#define PTI_RESULT_LEAST PTI_RESULT_TEXT_MAX          /* room for data even where result_size is smaller: an error must fit */

/* form: what the head has, and what the data is. */
enum pti_job_form {
    PTI_JOB_RETRIES = 1u, /* options of retrying */
    PTI_JOB_CHUNK = 2u,   /* several jobs in one: pieces */
    PTI_JOB_STAGE = 4u    /* of a stage of a pipeline: where it comes from stands before the data, its result is outputs */
};
#define PTI_JOB_FORMS 7u /* all that are known */

/* Where a job of a stage comes from: the input of the pipeline that it is about, and the ticket in the stage before. */
struct pti_origin {
    uint64_t input, from;
};
#define PTI_ORIGIN_SIZE 16u
#define PTI_ORIGIN_SELF UINT64_MAX /* input: the ticket of this very job; the first stage */
void pti_origin_write(unsigned char to[PTI_ORIGIN_SIZE], const struct pti_origin *origin);

#define PTI_CHUNK_MAX 65536u /* items in one job */
#define PTI_JOB_RETRIES_MAX 10000u
#define PTI_JOB_BACKOFF_MAX 60000u /* hundredths */
#define PTI_JOB_MS_MAX ((uint32_t)INT32_MAX)

/* How a job is to be run: struct ptq_call_options as it travels. */
struct pti_job_call {
    uint32_t lives;      /* to 65535 */
    uint32_t timeout_ms; /* of one run; 0: none */
    uint32_t retries;    /* runs after one that answered an error; 0: the rest says nothing */
    uint32_t delay_ms;   /* before the first of them */
    uint32_t backoff;    /* hundredths, from 100: each further delay is so many times the one before */
    uint64_t retry_on;   /* PTQ_RETRY_ON of errors; all bits: any */
};

/* Pointers into the entry. */
struct pti_job {
    const char *task; /* name_size bytes, without a final 0 */
    size_t task_size;
    const void *data;
    size_t size;
    struct pti_job_call call;
    uint32_t failures; /* runs that answered an error and were followed by a retry, so far */
    unsigned form;
    struct pti_origin origin; /* with PTI_JOB_STAGE; else 0 */
};

struct pti_result {
    enum ptq_err code;
    int64_t pid;
    uint64_t run_ns;
    uint32_t tries;
    const char *host, *worker, *text; /* with final 0; never NULL after read */
    uint16_t signal, error_number; /* of an error: what killed its worker; errno, as its task left it; 0 */
    uint16_t section;              /* enum pti_section */
    uint64_t ticket;               /* its lowest 48 bits; of a job with PTI_JOB_STAGE: origin.input */
    const void *data;
    size_t size;
};

/* Where an error comes from. */
enum pti_section {
    PTI_SECTION_NONE = 0,
    PTI_SECTION_RUN,     /* the task */
    PTI_SECTION_COMMAND, /* the command */
    PTI_SECTION_LIMIT,   /* its time was over */
    PTI_SECTION_RESULT,  /* what it gave does not fit */
    PTI_SECTION_FIND,    /* nobody knows the task */
    PTI_SECTION_DEATH,   /* its workers died */
    PTI_SECTION_BIND,    /* no error: the answer to PTI_BIND_TASK, which nobody is shown */
    PTI_SECTIONS
};
const char *pti_section_name(unsigned section);

/* The public options, checked; `lives` as it is.  False: an option makes no sense. */
bool pti_job_call_of(const struct ptq_call_options *options, uint32_t lives, struct pti_job_call *ret_call);

/* Bytes before the data of a job for a task whose name has task_size bytes. */
size_t pti_job_head_size(const struct pti_job_call *call, size_t task_size);
/* Writes them; `form` without PTI_JOB_RETRIES, which follows from call. */
void pti_job_write_head(void *buffer, const char *task, size_t task_size, const struct pti_job_call *call, unsigned form);
/* False: not a job of this version. */
bool pti_job_read(const void *entry, size_t size, struct pti_job *ret_job);
/* Is a run that answered `code` to be followed by another one, after `failures` of them before?  And how long after? */
bool pti_job_may_retry(const struct pti_job_call *call, enum ptq_err code, uint32_t failures);
int64_t pti_job_delay_ms(const struct pti_job_call *call, uint32_t failures);
/* Notes in the entry how many runs have failed. */
void pti_job_note_failures(void *entry, uint32_t failures);
/* So many workers may it cost from now on. */
void pti_job_set_lives(void *entry, uint32_t lives);

/* One of several jobs, or results, in one entry. */
struct pti_piece {
    const void *data; /* of an error its text, without a final 0 */
    size_t size;
    enum ptq_err code;
    uint32_t tries;
};
#define PTI_PIECE_HEAD 16u
/* Bytes that it takes.  Writes its head, and 0s behind the data that stands, or will stand, PTI_PIECE_HEAD further on. */
size_t pti_piece_size(size_t data_size);
void pti_piece_write_head(void *buffer, const struct pti_piece *piece);
/* Reads the one at *offset and steps over it.  False: there is none, or what is there is none. */
bool pti_piece_read(const void *bytes, size_t size, size_t *offset, struct pti_piece *ret_piece);

/* Bytes before the data; strings may be NULL and are cut to their limits. */
size_t pti_result_head_size(const struct pti_result *result);
/* Writes them; returns how many. */
size_t pti_result_write_head(void *buffer, const struct pti_result *result);
/* False: not a result of this version. */
bool pti_result_read(const void *entry, size_t size, struct pti_result *ret_result);

#endif
