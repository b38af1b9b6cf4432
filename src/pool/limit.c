/* limit.c -- how long a run of a job may take: a flag that the task can see, a signal, and in the end its worker's life.
 *
 * In a spawned worker the watchdog (process/watchdog.h) does all of it.  Its last word settles the job before the worker dies: an error
 * in its place, or back into the queue where it is to be tried again.  What it could not settle, and what a stopped worker had, costs
 * a life: the next worker finds in the roster why it was given back, and settles it (roster.h, run.c).
 * In a thread of somebody's program there is the flag, and nothing else.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/time.h"
#include "bus/bus.h"
#include "pool/pool.h"
#include "process/watchdog.h"

#define COMMAND_SLACK_NS PTI_NS_PER_S /* a command is ended by its worker, and that one only if it does not manage */

void pti_limit_begin(struct pti_worker *worker, const struct pti_job *job)
{
    ptq_task *task = &worker->task;
    task->deadline_ns = PTI_DEADLINE_NEVER;
    worker->began_ns = pti_now_ns();
    if (job->call.timeout_ms == 0)
        return;
    worker->limited = job;
    task->deadline_ns = worker->began_ns + job->call.timeout_ms * PTI_NS_PER_MS;
    if (worker->watched)
        pti_watchdog_begin(task->deadline_ns + (task->entry == NULL ? COMMAND_SLACK_NS : 0));
}

/* What is late is late, also when it is finished: else it would be a matter of luck. */
void pti_limit_end(struct pti_worker *worker, const struct pti_job *job)
{
    ptq_task *task = &worker->task;
    if (task->deadline_ns == PTI_DEADLINE_NEVER)
        return;
    if (worker->watched)
        (void)pti_watchdog_end();
    int64_t now = pti_now_ns();
    if (now >= task->deadline_ns)
        (void)pti_task_blame(task, PTI_SECTION_LIMIT, PTQ_TIMEDOUT, "not done in time: it took %lld ms, and its limit is %u",
                            (long long)((now - worker->began_ns) / PTI_NS_PER_MS), job->call.timeout_ms);
    task->deadline_ns = PTI_DEADLINE_NEVER;
    worker->limited = NULL;
}

bool ptq_task_cancelled(const ptq_task *task)
{
    return task->deadline_ns != PTI_DEADLINE_NEVER && pti_now_ns() >= task->deadline_ns;
}

void pti_limit_text(char *buffer, size_t size, uint32_t timeout_ms)
{
    (void)snprintf(buffer, size, "not done in time: its limit is %u ms, and its worker was killed for it", timeout_ms);
}

/* On the watchdog's thread, while the task hangs: of the worker only what does not change during a run is looked at. */
void pti_limit_last_word(void *context)
{
    struct pti_worker *worker = context;
    const struct pti_job *job = worker->limited;
    ptq_msg *msg = worker->msg;
    char text[PTI_RESULT_TEXT_MAX + 1];
    if (job == NULL || msg == NULL)
        return;
    bool alone = (job->form & PTI_JOB_CHUNK) == 0; /* who made a chunk finds out which of its items it was */
    if (alone && pti_job_may_retry(&job->call, PTQ_TIMEDOUT, job->failures)) {
        pti_run_give_back(worker, msg, job);
        return;
    }
    pti_limit_text(text, sizeof text, job->call.timeout_ms);
    if (pti_worker_place_error(worker, msg, PTQ_TIMEDOUT, text, (uint64_t)(pti_now_ns() - worker->began_ns)) == PTQ_OK)
        (void)ptq_ack(msg);
}
