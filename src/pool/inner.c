/* inner.c -- a supervised process as a task: each job is the life of one, inside the worker that has the job.
 *
 * The process is a child of the worker, so it dies with it, and whatever ends a worker (its time limit, a kill, the end of the program)
 * ends what it began.  Lives, limits and checkpoints are the process's own; the job's come on top.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ptq/process.h>

#include "base/time.h"
#include "pool/pool.h"

#define LOOK_MS 50 /* for a limit of the job whose signal came at the wrong moment */

struct inner {
    char name[PTQ_PROCESS_NAME_MAX + 1];
    struct ptq_process_options options;
};

static enum ptq_err fail(ptq_task *task, ptq_process *process, enum ptq_err answer)
{
    struct ptq_process_error error;
    ptq_process_error(process, &error);
    enum ptq_err code = error.code == PTQ_EFAILED && error.cause != PTQ_OK ? error.cause : error.code != PTQ_OK ? error.code : answer;
    return ptq_task_fail(task, code, "%s", error.text[0] != '\0' ? error.text : ptq_strerror(answer));
}

/* A job that is over its time is told by its flag; then the worker has a tenth of a second. */
static enum ptq_err wait_for_result(ptq_task *task, ptq_process *process, const void **ret_data, size_t *ret_size)
{
    for (;;) {
        enum ptq_err err = ptq_process_result(process, LOOK_MS, ret_data, ret_size);
        if (err != PTQ_TIMEDOUT && err != PTQ_EINTR)
            return err;
        if (ptq_task_cancelled(task))
            (void)ptq_process_kill(process, 0);
    }
}

static enum ptq_err live(ptq_task *task, const void *data, size_t size)
{
    const struct inner *inner = ptq_task_user(task);
    struct ptq_process_options options = inner->options;
    struct ptq_error error = {0};
    ptq_process *process = NULL;
    const void *result = NULL;
    size_t result_size = 0;
    options.input = data;
    options.input_size = size;
    options.slot = ptq_task_worker(task);
    options.error = &error;
    if (options.result_size == 0)
        options.result_size = task->most;
    enum ptq_err err = ptq_process_new(NULL, inner->name, &options, &process);
    if (err == PTQ_OK)
        err = ptq_process_start(process);
    if (err != PTQ_OK) {
        ptq_process_free(process);
        return ptq_task_fail(task, err, "cannot start process '%s': %s", inner->name, error.text[0] != '\0' ? error.text : ptq_strerror(err));
    }
    err = wait_for_result(task, process, &result, &result_size);
    err = err == PTQ_OK ? ptq_task_result(task, result, result_size) : fail(task, process, err);
    ptq_process_free(process);
    return err;
}

static void free_inner(struct inner *inner)
{
    if (inner != NULL)
        free((char *)inner->options.cpu_list);
    free(inner);
}

enum ptq_err ptq_task_register_process(const char *task, const char *process, const struct ptq_process_options *options)
{
    if (process == NULL || strlen(process) > PTQ_PROCESS_NAME_MAX)
        return PTQ_EINVAL;
    struct inner *inner = calloc(1, sizeof *inner);
    if (inner == NULL)
        return PTQ_ENOMEM;
    (void)snprintf(inner->name, sizeof inner->name, "%s", process);
    if (options != NULL)
        inner->options = *options;
    else
        inner->options.runs = 1;
    if (inner->options.cpu_list != NULL)
        inner->options.cpu_list = strdup(inner->options.cpu_list);
    enum ptq_err err = options == NULL || options->cpu_list == NULL || inner->options.cpu_list != NULL ? PTQ_OK : PTQ_ENOMEM;
    if (err == PTQ_OK)
        err = ptq_task_register(task, live, inner);
    if (err != PTQ_OK)
        free_inner(inner);
    return err;
}
