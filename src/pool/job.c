/* job.c -- writing and reading the entries of a pool's queues. */
#include "pool/job.h"

#include <endian.h>
#include <string.h>

static const unsigned char job_magic[4] = {'P', 'J', '1', 0};
static const unsigned char result_magic[4] = {'P', 'R', '1', 0};

static size_t pad(size_t size)
{
    return (size + 15u) & ~(size_t)15u;
}

static void write_16(unsigned char *to, uint16_t number)
{
    number = htole16(number);
    memcpy(to, &number, sizeof number);
}

static void write_32(unsigned char *to, uint32_t number)
{
    number = htole32(number);
    memcpy(to, &number, sizeof number);
}

static void write_64(unsigned char *to, uint64_t number)
{
    number = htole64(number);
    memcpy(to, &number, sizeof number);
}

static uint16_t read_16(const unsigned char *from)
{
    uint16_t number;
    memcpy(&number, from, sizeof number);
    return le16toh(number);
}

static uint32_t read_32(const unsigned char *from)
{
    uint32_t number;
    memcpy(&number, from, sizeof number);
    return le32toh(number);
}

static uint64_t read_64(const unsigned char *from)
{
    uint64_t number;
    memcpy(&number, from, sizeof number);
    return le64toh(number);
}

/* -- jobs ----------------------------------------------------------------------------------------------------- */

size_t pti_job_head_size(size_t task_size)
{
    return PTI_JOB_HEAD + pad(task_size);
}

void pti_job_write_head(void *buffer, const char *task, size_t task_size, uint32_t lives)
{
    unsigned char *to = buffer;
    memset(to, 0, pti_job_head_size(task_size));
    memcpy(to, job_magic, sizeof job_magic);
    write_16(to + 4, lives > UINT16_MAX ? UINT16_MAX : (uint16_t)lives);
    write_16(to + 6, (uint16_t)task_size);
    if (task_size != 0)
        memcpy(to + PTI_JOB_HEAD, task, task_size);
}

bool pti_job_read(const void *entry, size_t size, struct pti_job *ret_job)
{
    const unsigned char *from = entry;
    if (size < PTI_JOB_HEAD || memcmp(from, job_magic, sizeof job_magic) != 0)
        return false;
    size_t task_size = read_16(from + 6);
    size_t head = pti_job_head_size(task_size);
    if (task_size > PTQ_TASK_NAME_MAX || head > size)
        return false;
    *ret_job = (struct pti_job){
        .task = (const char *)from + PTI_JOB_HEAD,
        .task_size = task_size,
        .data = from + head,
        .size = size - head,
        .lives = read_16(from + 4),
    };
    return true;
}

/* -- results -------------------------------------------------------------------------------------------------- */

struct strings {
    size_t host, worker, text;
};

static size_t length(const char *string, size_t most)
{
    return string == NULL ? 0 : strnlen(string, most);
}

static struct strings measure(const struct pti_result *result)
{
    return (struct strings){
        .host = length(result->host, PTI_RESULT_NAME_MAX),
        .worker = length(result->worker, PTI_RESULT_NAME_MAX),
        .text = length(result->text, PTI_RESULT_TEXT_MAX),
    };
}

static size_t head_size(const struct strings *sizes)
{
    return PTI_RESULT_HEAD + pad(sizes->host + sizes->worker + sizes->text + 3);
}

size_t pti_result_head_size(const struct pti_result *result)
{
    struct strings sizes = measure(result);
    return head_size(&sizes);
}

/* Copies a string and its final 0; returns what is behind it. */
static unsigned char *add_string(unsigned char *to, const char *string, size_t size)
{
    if (size != 0)
        memcpy(to, string, size);
    to[size] = 0;
    return to + size + 1;
}

size_t pti_result_write_head(void *buffer, const struct pti_result *result)
{
    unsigned char *to = buffer;
    struct strings sizes = measure(result);
    size_t head = head_size(&sizes);

    memset(to, 0, head);
    memcpy(to, result_magic, sizeof result_magic);
    write_32(to + 4, (uint32_t)result->code);
    write_64(to + 8, (uint64_t)result->pid);
    write_64(to + 16, result->run_ns);
    write_32(to + 24, result->tries);
    write_32(to + 28, (uint32_t)sizes.text);
    write_16(to + 32, (uint16_t)sizes.host);
    write_16(to + 34, (uint16_t)sizes.worker);

    unsigned char *next = add_string(to + PTI_RESULT_HEAD, result->host, sizes.host);
    next = add_string(next, result->worker, sizes.worker);
    (void)add_string(next, result->text, sizes.text);
    return head;
}

bool pti_result_read(const void *entry, size_t size, struct pti_result *ret_result)
{
    const unsigned char *from = entry;
    if (size < PTI_RESULT_HEAD || memcmp(from, result_magic, sizeof result_magic) != 0)
        return false;
    struct strings sizes = {.host = read_16(from + 32), .worker = read_16(from + 34), .text = read_32(from + 28)};
    if (sizes.host > PTI_RESULT_NAME_MAX || sizes.worker > PTI_RESULT_NAME_MAX || sizes.text > PTI_RESULT_TEXT_MAX)
        return false;
    size_t head = head_size(&sizes);
    if (head > size)
        return false;

    const char *host = (const char *)from + PTI_RESULT_HEAD;
    const char *worker = host + sizes.host + 1;
    const char *text = worker + sizes.worker + 1;
    if (host[sizes.host] != 0 || worker[sizes.worker] != 0 || text[sizes.text] != 0)
        return false;
    *ret_result = (struct pti_result){
        .code = (enum ptq_err)read_32(from + 4),
        .pid = (int64_t)read_64(from + 8),
        .run_ns = read_64(from + 16),
        .tries = read_32(from + 24),
        .host = host,
        .worker = worker,
        .text = text,
        .data = from + head,
        .size = size - head,
    };
    return true;
}
