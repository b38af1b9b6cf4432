/* result.c -- what stands at a ticket: taken from its entry, read, given back. */
#include <stdlib.h>
#include <string.h>

#include "pool/pool.h"

/* -- lists of results ----------------------------------------------------------------------------------------- */

void pti_results_append(struct pti_results *list, struct ptq_result *result)
{
    list->count++;
    result->previous = list->last;
    result->next = NULL;
    if (list->last != NULL)
        list->last->next = result;
    else
        list->first = result;
    list->last = result;
}

void pti_results_drop(struct pti_results *list, struct ptq_result *result)
{
    list->count--;
    if (result->previous != NULL)
        result->previous->next = result->next;
    else
        list->first = result->next;
    if (result->next != NULL)
        result->next->previous = result->previous;
    else
        list->last = result->previous;
}

void pti_results_free(struct pti_results *list)
{
    while (list->first != NULL) {
        struct ptq_result *result = list->first;
        pti_results_drop(list, result);
        free(result->copy);
        free(result);
    }
}

/* -- one result ----------------------------------------------------------------------------------------------- */

/* Reads the entry `msg`, whose bytes are at `bytes`. */
static void read_body(struct ptq_result *result, const ptq_msg *msg, const void *bytes)
{
    static const struct pti_result nothing = {.host = "", .worker = "", .text = "", .data = ""};
    result->body = nothing;
    if (msg->kind == PTI_KIND_MARKER && !result->pool->unordered) {
        result->kind = PTQ_RESULT_MARKER;
        result->body.data = bytes;
        result->body.size = msg->size;
        return;
    }
    if (!pti_result_read(bytes, msg->size, &result->body)) {
        result->body = nothing;
        result->body.code = PTQ_EPROTO;
        result->body.text = "what stands at this ticket is not a result of this version of ptq";
    }
    result->kind = result->body.code != PTQ_OK          ? PTQ_RESULT_ERROR
                   : msg->kind == PTI_KIND_MARKER ? PTQ_RESULT_MARKER
                                                  : PTQ_RESULT_JOB;
}

bool pti_result_is_end_note(const ptq_msg *msg)
{
    struct pti_result body;
    return msg->kind == PTI_KIND_ERROR && pti_result_read(msg->data, msg->size, &body) && body.code == PTQ_END;
}

struct ptq_result *pti_result_new(ptq_pool *pool, ptq_msg *msg)
{
    struct ptq_result *result = calloc(1, sizeof *result);
    if (result == NULL)
        return NULL;
    result->pool = pool;
    result->msg = msg;
    result->ticket = msg->position;
    result->redelivered = msg->redelivered;
    result->has_trace = msg->headers != 0 && ptq_msg_trace(msg, &result->trace);
    read_body(result, msg, msg->data);
    if (pool->unordered)
        result->ticket = result->body.ticket;
    return result;
}

ptq_msg *pti_result_detach(struct ptq_result *result)
{
    ptq_msg *msg = result->msg;
    result->copy = malloc(msg->size + 1u);
    if (result->copy == NULL)
        return NULL;
    if (msg->size != 0)
        memcpy(result->copy, msg->data, msg->size);
    read_body(result, msg, result->copy);
    result->msg = NULL;
    return msg;
}

enum ptq_err ptq_result_done(struct ptq_result *result)
{
    if (result == NULL)
        return PTQ_OK;
    ptq_pool *pool = result->pool;
    enum ptq_err err = result->msg != NULL ? pti_order_done(pool, result) : PTQ_OK;
    free(result->copy);
    free(result);
    return err;
}

enum ptq_result_kind ptq_result_kind(const struct ptq_result *result)
{
    return result->kind;
}

uint64_t ptq_result_ticket(const struct ptq_result *result)
{
    return result->ticket;
}

const void *ptq_result_data(const struct ptq_result *result)
{
    return result->body.data;
}

size_t ptq_result_size(const struct ptq_result *result)
{
    return result->kind == PTQ_RESULT_ERROR ? 0 : result->body.size;
}

enum ptq_err ptq_result_code(const struct ptq_result *result)
{
    return result->body.code;
}

const char *ptq_result_text(const struct ptq_result *result)
{
    return result->body.text;
}

const char *ptq_result_host(const struct ptq_result *result)
{
    return result->body.host;
}

const char *ptq_result_worker(const struct ptq_result *result)
{
    return result->body.worker;
}

int64_t ptq_result_pid(const struct ptq_result *result)
{
    return result->body.pid;
}

uint32_t ptq_result_tries(const struct ptq_result *result)
{
    return result->body.tries;
}

uint64_t ptq_result_run_ns(const struct ptq_result *result)
{
    return result->body.run_ns;
}

/* The n-th text of an error's details. */
static const char *detail(const struct ptq_result *result, unsigned n)
{
    const char *text = result->body.data;
    size_t left = result->kind == PTQ_RESULT_ERROR ? result->body.size : 0;
    for (; left != 0; n--) {
        size_t length = strnlen(text, left);
        if (length == left)
            return "";
        if (n == 0)
            return text;
        text += length + 1;
        left -= length + 1;
    }
    return "";
}

const char *ptq_result_task(const struct ptq_result *result)
{
    return detail(result, 0);
}

const char *ptq_result_backtrace(const struct ptq_result *result)
{
    return detail(result, 1);
}

const char *ptq_result_section(const struct ptq_result *result)
{
    return pti_section_name(result->body.section);
}

int ptq_result_signal(const struct ptq_result *result)
{
    return result->body.signal;
}

int ptq_result_errno(const struct ptq_result *result)
{
    return result->body.error_number;
}

bool ptq_result_trace(const struct ptq_result *result, struct ptq_trace *ret_trace)
{
    if (result->has_trace)
        *ret_trace = result->trace;
    return result->has_trace;
}

bool ptq_result_redelivered(const struct ptq_result *result)
{
    return result->redelivered;
}
