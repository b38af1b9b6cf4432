/* job.c -- writing and reading the entries of a pool's queues. */
#include "pool/job.h"

#include <string.h>

#include "base/bytes.h"

static const unsigned char job_magic[4] = {'P', 'J', '1', 0};
static const unsigned char result_magic[4] = {'P', 'R', '1', 0};

static size_t pad(size_t size)
{
    return (size + 15u) & ~(size_t)15u;
}

/* -- jobs ----------------------------------------------------------------------------------------------------- */

static uint32_t at_most(uint64_t number, uint32_t most)
{
    return number < most ? (uint32_t)number : most;
}

bool pti_job_call_of(const struct ptq_call_options *options, uint32_t lives, struct pti_job_call *ret_call)
{
    double backoff = options->backoff != 0 ? options->backoff : 1;
    if (options->timeout_ms > PTI_JOB_MS_MAX || options->delay_ms > PTI_JOB_MS_MAX ||
        options->retries > PTI_JOB_RETRIES_MAX || !(backoff >= 1 && backoff <= PTI_JOB_BACKOFF_MAX / 100))
        return false;
    *ret_call = (struct pti_job_call){
        .lives = at_most(lives, UINT16_MAX),
        .timeout_ms = options->timeout_ms,
        .retries = options->retries,
        .delay_ms = options->delay_ms,
        .backoff = (uint32_t)(backoff * 100 + 0.5),
        .retry_on = options->retry_on != 0 ? options->retry_on : UINT64_MAX,
    };
    return true;
}

static size_t fixed_size(const struct pti_job_call *call)
{
    return PTI_JOB_HEAD + (call->retries != 0 ? PTI_JOB_RETRY_HEAD : 0);
}

size_t pti_job_head_size(const struct pti_job_call *call, size_t task_size)
{
    return fixed_size(call) + pad(task_size);
}

static void write_retries(unsigned char *to, const struct pti_job_call *call)
{
    pti_store64(to, call->retry_on);
    pti_store32(to + 8, call->delay_ms);
    pti_store16(to + 12, (uint16_t)call->retries);
    pti_store16(to + 14, (uint16_t)call->backoff);
}

void pti_job_write_head(void *buffer, const char *task, size_t task_size, const struct pti_job_call *call, unsigned form)
{
    unsigned char *to = buffer;
    memset(to, 0, pti_job_head_size(call, task_size));
    memcpy(to, job_magic, sizeof job_magic);
    pti_store16(to + 4, (uint16_t)call->lives);
    pti_store16(to + 6, (uint16_t)task_size);
    pti_store32(to + 8, call->timeout_ms);
    pti_store16(to + 14, (uint16_t)(form | (call->retries != 0 ? PTI_JOB_RETRIES : 0)));
    if (call->retries != 0)
        write_retries(to + PTI_JOB_HEAD, call);
    if (task_size != 0)
        memcpy(to + fixed_size(call), task, task_size);
}

static bool read_retries(const unsigned char *from, struct pti_job_call *call)
{
    call->retry_on = pti_fetch64(from);
    call->delay_ms = pti_fetch32(from + 8);
    call->retries = pti_fetch16(from + 12);
    call->backoff = pti_fetch16(from + 14);
    return call->retry_on != 0 && call->delay_ms <= PTI_JOB_MS_MAX && call->retries != 0 &&
           call->retries <= PTI_JOB_RETRIES_MAX && call->backoff >= 100 && call->backoff <= PTI_JOB_BACKOFF_MAX;
}

void pti_origin_write(unsigned char to[PTI_ORIGIN_SIZE], const struct pti_origin *origin)
{
    pti_store64(to, origin->input);
    pti_store64(to + 8, origin->from);
}

bool pti_job_read(const void *entry, size_t size, struct pti_job *ret_job)
{
    const unsigned char *from = entry;
    if (size < PTI_JOB_HEAD || memcmp(from, job_magic, sizeof job_magic) != 0)
        return false;
    struct pti_job_call call = {.lives = pti_fetch16(from + PTI_JOB_LIVES_AT), .timeout_ms = pti_fetch32(from + 8)};
    unsigned form = pti_fetch16(from + 14);
    size_t task_size = pti_fetch16(from + 6);
    if (task_size > PTQ_TASK_NAME_MAX || call.timeout_ms > PTI_JOB_MS_MAX || (form & ~PTI_JOB_FORMS) != 0)
        return false;
    if ((form & PTI_JOB_RETRIES) != 0 &&
        (size < PTI_JOB_HEAD + PTI_JOB_RETRY_HEAD || !read_retries(from + PTI_JOB_HEAD, &call)))
        return false;
    size_t head = pti_job_head_size(&call, task_size);
    struct pti_origin origin = {0, 0};
    if (head > size || ((form & PTI_JOB_STAGE) != 0 && size - head < PTI_ORIGIN_SIZE))
        return false;
    if ((form & PTI_JOB_STAGE) != 0) {
        origin = (struct pti_origin){pti_fetch64(from + head), pti_fetch64(from + head + 8)};
        head += PTI_ORIGIN_SIZE;
    }
    *ret_job = (struct pti_job){
        .task = (const char *)from + fixed_size(&call),
        .task_size = task_size,
        .data = from + head,
        .size = size - head,
        .call = call,
        .failures = pti_fetch16(from + PTI_JOB_FAILURES_AT),
        .form = form,
        .origin = origin,
    };
    return true;
}

bool pti_job_may_retry(const struct pti_job_call *call, enum ptq_err code, uint32_t failures)
{
    uint64_t bit = (unsigned)code < 64 ? PTQ_RETRY_ON(code) : 0;
    return failures < call->retries && (call->retry_on == UINT64_MAX || (call->retry_on & bit) != 0);
}

int64_t pti_job_delay_ms(const struct pti_job_call *call, uint32_t failures)
{
    double delay = call->delay_ms;
    for (uint32_t i = 0; i < failures && delay > 0 && delay < PTI_JOB_MS_MAX; i++)
        delay = delay * call->backoff / 100;
    return delay < PTI_JOB_MS_MAX ? (int64_t)delay : (int64_t)PTI_JOB_MS_MAX;
}

void pti_job_note_failures(void *entry, uint32_t failures)
{
    pti_store16((unsigned char *)entry + PTI_JOB_FAILURES_AT, (uint16_t)at_most(failures, UINT16_MAX));
}

void pti_job_set_lives(void *entry, uint32_t lives)
{
    pti_store16((unsigned char *)entry + PTI_JOB_LIVES_AT, (uint16_t)at_most(lives, UINT16_MAX));
}

/* -- pieces --------------------------------------------------------------------------------------------------- */

size_t pti_piece_size(size_t data_size)
{
    return PTI_PIECE_HEAD + pad(data_size);
}

void pti_piece_write_head(void *buffer, const struct pti_piece *piece)
{
    unsigned char *to = buffer;
    pti_store32(to, (uint32_t)piece->size);
    pti_store32(to + 4, (uint32_t)piece->code);
    pti_store32(to + 8, piece->tries);
    pti_store32(to + 12, 0);
    memset(to + PTI_PIECE_HEAD + piece->size, 0, pad(piece->size) - piece->size);
}

bool pti_piece_read(const void *bytes, size_t size, size_t *offset, struct pti_piece *ret_piece)
{
    size_t left = size - *offset;
    const unsigned char *from = (const unsigned char *)bytes + *offset;
    if (left < PTI_PIECE_HEAD || pti_fetch32(from + 12) != 0)
        return false;
    size_t data_size = pti_fetch32(from);
    if (data_size > left - PTI_PIECE_HEAD || pad(data_size) > left - PTI_PIECE_HEAD)
        return false;
    *ret_piece = (struct pti_piece){.data = from + PTI_PIECE_HEAD, .size = data_size, .tries = pti_fetch32(from + 8),
                                    .code = (enum ptq_err)(int32_t)pti_fetch32(from + 4)};
    *offset += pti_piece_size(data_size);
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
    pti_store32(to + 4, (uint32_t)result->code);
    pti_store64(to + 8, (uint64_t)result->pid);
    pti_store64(to + 16, result->run_ns);
    pti_store32(to + 24, result->tries);
    pti_store32(to + 28, (uint32_t)sizes.text);
    pti_store16(to + 32, (uint16_t)sizes.host);
    pti_store16(to + 34, (uint16_t)sizes.worker);
    pti_store16(to + 36, result->signal);
    pti_store16(to + 38, result->error_number);
    pti_store16(to + 40, result->section);
    pti_store16(to + 42, (uint16_t)result->ticket);
    pti_store32(to + 44, (uint32_t)(result->ticket >> 16));

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
    struct strings sizes = {.host = pti_fetch16(from + 32), .worker = pti_fetch16(from + 34), .text = pti_fetch32(from + 28)};
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
        .code = (enum ptq_err)pti_fetch32(from + 4),
        .pid = (int64_t)pti_fetch64(from + 8),
        .run_ns = pti_fetch64(from + 16),
        .tries = pti_fetch32(from + 24),
        .host = host,
        .worker = worker,
        .text = text,
        .signal = pti_fetch16(from + 36),
        .error_number = pti_fetch16(from + 38),
        .section = pti_fetch16(from + 40),
        .ticket = pti_fetch16(from + 42) | (uint64_t)pti_fetch32(from + 44) << 16,
        .data = from + head,
        .size = size - head,
    };
    return true;
}

const char *pti_section_name(unsigned section)
{
    static const char *const names[PTI_SECTIONS] = {
        [PTI_SECTION_NONE] = "",          [PTI_SECTION_RUN] = "run",   [PTI_SECTION_COMMAND] = "command",
        [PTI_SECTION_LIMIT] = "limit",    [PTI_SECTION_RESULT] = "result", [PTI_SECTION_FIND] = "find",
        [PTI_SECTION_DEATH] = "death",    [PTI_SECTION_BIND] = ""};
    return section < PTI_SECTIONS ? names[section] : "";
}
