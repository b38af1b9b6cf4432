/* lend.c -- jobs that are written where they will be read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "pool/pool.h"

struct ptq_job {
    ptq_pool *pool;
    ptq_msg *loan;
    char task[PTQ_TASK_NAME_MAX + 1];
    struct pti_job_call call;
    const struct ptq_submit_options *options;
    size_t head, size;
};

/* With an eye on the workers: what they give back is what is waited for. */
static enum ptq_err lend(ptq_pool *pool, size_t size, int64_t deadline, ptq_msg **ret_loan)
{
    for (;;) {
        enum ptq_err err = pti_queue_loan(pool->jobs, size, PTI_DEADLINE_NOW, ret_loan);
        if (err != PTQ_FULL || deadline == PTI_DEADLINE_NOW)
            return err;
        pti_staff_tend(pool);
        if (pti_staff_has_failed(pool))
            return PTQ_ENOWORKERS;
        int64_t now = pti_now_ns(), slice = now + PTI_POOL_SLICE;
        if (now >= deadline)
            return PTQ_TIMEDOUT;
        err = pti_submit_nap(pool, true, slice < deadline ? slice : deadline);
        if (err == PTQ_EINTR)
            return err;
    }
}

enum ptq_err ptq_pool_loan(ptq_pool *pool, const char *task, size_t size, const struct ptq_submit_options *options, int timeout_ms,
                           ptq_job **ret_job)
{
    enum ptq_err err = pti_pool_check(pool);
    if (err != PTQ_OK || ret_job == NULL)
        return err != PTQ_OK ? err : PTQ_EINVAL;
    if (task != NULL && !pti_task_name_is_valid(task))
        return PTQ_EINVAL;
    if (size > pool->item_size)
        return PTQ_EMSGSIZE;
    if (!pti_submit_knows(pool, task != NULL ? task : ""))
        return PTQ_ENOTASK;
    ptq_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return PTQ_ENOMEM;
    *job = (struct ptq_job){.pool = pool, .call = pool->call, .options = options, .size = size};
    (void)snprintf(job->task, sizeof job->task, "%s", task != NULL ? task : "");
    if (options != NULL && options->call != NULL && !pti_job_call_of(options->call, pool->call.lives, &job->call))
        err = PTQ_EINVAL;
    job->head = pti_job_head_size(&job->call, strlen(job->task));
    if (err == PTQ_OK)
        err = lend(pool, job->head + size, pti_deadline(timeout_ms), &job->loan);
    if (err != PTQ_OK) {
        free(job);
        return pti_pool_answer(pool, err);
    }
    pti_job_write_head(ptq_msg_buffer(job->loan), job->task, strlen(job->task), &job->call, 0);
    *ret_job = job;
    return PTQ_OK;
}

void *ptq_job_buffer(ptq_job *job)
{
    return (char *)ptq_msg_buffer(job->loan) + job->head;
}

enum ptq_err ptq_pool_publish(ptq_job *job, size_t size, int timeout_ms, uint64_t *ret_ticket)
{
    if (job == NULL)
        return PTQ_EINVAL;
    if (size > job->size)
        return PTQ_EMSGSIZE;
    struct pti_submit submit = {.task = job->task[0] != 0 ? job->task : NULL, .loan = job->loan, .size = size, .options = job->options,
                                .call = &job->call};
    enum ptq_err err = pti_submit(job->pool, &submit, pti_deadline(timeout_ms), ret_ticket);
    if (err == PTQ_OK)
        free(job);
    return err;
}

void ptq_pool_abandon(ptq_job *job)
{
    if (job == NULL)
        return;
    ptq_abort(job->loan);
    free(job);
}
