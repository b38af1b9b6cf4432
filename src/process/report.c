/* report.c -- what a process came to, and what it shows of itself. */
#include "base/fork.h"
#include "base/time.h"
#include "os/clock.h"
#include "os/resident.h"
#include "process/life.h"

static enum ptq_err check(const ptq_process *process)
{
    enum ptq_err err = pti_process_check(process);
    return err == PTQ_ENOTSTARTED ? PTQ_OK : err;
}

/* -- the end -------------------------------------------------------------------------------------------------- */

enum ptq_err ptq_process_result(ptq_process *process, int timeout_ms, const void **ret_data, size_t *ret_size)
{
    enum ptq_err err = ptq_process_wait(process, timeout_ms);
    if (err != PTQ_OK)
        return err;
    size_t size = 0;
    const void *data = pti_twin_read(process->record, &process->record->result, &process->places.result, &size);
    if (ret_data != NULL)
        *ret_data = data;
    if (ret_size != NULL)
        *ret_size = data != NULL ? size : 0;
    if (pti_load_acquire(&process->record->outcome) == PTI_OUTCOME_RESULT)
        return PTQ_OK;
    struct ptq_process_error error;
    ptq_process_error(process, &error);
    return error.code == PTQ_EDIED || error.code == PTQ_EABORTED ? error.code : PTQ_EFAILED;
}

void ptq_process_error(ptq_process *process, struct ptq_process_error *ret_error)
{
    *ret_error = (struct ptq_process_error){.code = PTQ_OK};
    if (check(process) == PTQ_OK)
        pti_failure_show(&process->record->failure, &process->record->second, ret_error);
}

/* -- now ------------------------------------------------------------------------------------------------------ */

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void show_end(const struct pti_exit *how, struct ptq_process_status *status)
{
    status->exited = how->known;
    status->exit_code = how->known && !how->signaled ? how->code : -1;
    status->signal = how->signaled ? how->code : 0;
    status->core = how->core;
    status->user_s = seconds(how->usage.ru_utime);
    status->system_s = seconds(how->usage.ru_stime);
    status->max_resident_bytes = (uint64_t)how->usage.ru_maxrss * 1024;
}

static void show_record(const struct pti_record *record, struct ptq_process_status *status)
{
    uint32_t section = pti_load_acquire(&record->section);
    int64_t since = pti_load_relaxed(&record->since_ns), now = pti_host_ns();
    status->section = section < PTQ_SECTIONS ? (enum ptq_section)section : PTQ_SECTION_NONE;
    status->section_ns = status->section != PTQ_SECTION_NONE && since != 0 && now > since ? (uint64_t)now - (uint64_t)since : 0;
    status->runs = pti_load_acquire(&record->runs_done);
    status->run = status->runs + 1;
    status->lives = pti_load_relaxed(&record->lives);
    status->restarts = pti_load_relaxed(&record->restarts);
    status->stopping = pti_load_relaxed(&record->stop) != 0;
}

/* Under the mutex. */
static void show_child(const ptq_process *process, struct ptq_process_status *status)
{
    if (process->supervisor == NULL)
        return;
    const struct pti_child *child = pti_supervisor_child(process->supervisor, 0);
    status->state = process->over ? PTQ_PROCESS_ENDED : child->state == PTI_CHILD_RUNNING ? PTQ_PROCESS_RUNNING : PTQ_PROCESS_PAUSED;
    status->alive = !process->over;
    if (status->state == PTQ_PROCESS_RUNNING)
        status->pid = child->pid;
    status->deaths = process->deaths;
    if (process->ended != 0)
        show_end(&process->how, status);
}

enum ptq_err ptq_process_status(ptq_process *process, struct ptq_process_status *ret_status)
{
    struct ptq_process_status status = {.state = PTQ_PROCESS_NEW, .exit_code = -1};
    enum ptq_err err = check(process);
    if (err != PTQ_OK)
        return err;
    if (process->supervisor != NULL)
        (void)pti_process_tend(process);
    (void)pthread_mutex_lock(&process->mutex);
    show_record(process->record, &status);
    show_child(process, &status);
    (void)pthread_mutex_unlock(&process->mutex);
    if (status.pid != 0)
        status.resident_bytes = pti_resident_bytes((pid_t)status.pid);
    *ret_status = status;
    return PTQ_OK;
}

enum ptq_err ptq_process_timer(ptq_process *process, enum ptq_section section, struct ptq_timer *ret_timer)
{
    enum ptq_err err = check(process);
    if (err != PTQ_OK)
        return err;
    if (section <= PTQ_SECTION_NONE || section >= PTQ_SECTIONS)
        return PTQ_EINVAL;
    pti_times_get(&process->record->times[section], ret_timer);
    return PTQ_OK;
}
