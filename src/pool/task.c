/* task.c -- the tasks of this process, and what a running one gives. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/bus.h"
#include "pool/pool.h"

#define FIRST_ROOM 4096u

/* Written before main works with pools, by one thread. */
static struct {
    struct pti_task *tasks;
    size_t count;
} table;

bool pti_task_name_is_valid(const char *name)
{
    return strlen(name) <= PTQ_TASK_NAME_MAX && pti_name_is_valid(name);
}

bool pti_task_any(void)
{
    return table.count != 0;
}

static struct pti_task *find(const char *name, size_t size)
{
    for (size_t i = 0; i < table.count; i++)
        if (strlen(table.tasks[i].name) == size && memcmp(table.tasks[i].name, name, size) == 0)
            return &table.tasks[i];
    return NULL;
}

const struct pti_task *pti_task_find(const char *name, size_t size)
{
    const struct pti_task *task = find(name, size);
    if (task == NULL && size == 0 && table.count == 1)
        return table.tasks;
    return task;
}

enum ptq_err ptq_task_register(const char *name, ptq_task_fn fn, void *user)
{
    if (fn == NULL || (name != NULL && !pti_task_name_is_valid(name)))
        return PTQ_EINVAL;
    const char *key = name != NULL ? name : "";
    struct pti_task *task = find(key, strlen(key));
    if (task == NULL) {
        struct pti_task *grown = realloc(table.tasks, (table.count + 1) * sizeof *grown);
        if (grown == NULL)
            return PTQ_ENOMEM;
        table.tasks = grown;
        task = &grown[table.count++];
    }
    (void)snprintf(task->name, sizeof task->name, "%s", key);
    task->fn = fn;
    task->user = user;
    return PTQ_OK;
}

/* -- a running task ------------------------------------------------------------------------------------------- */

static enum ptq_err make_room(ptq_task *task, size_t size)
{
    if (task->bytes != NULL && size <= task->room)
        return PTQ_OK;
    size_t room = task->room != 0 ? task->room : FIRST_ROOM;
    while (room < size)
        room *= 2;
    unsigned char *bytes = realloc(task->bytes, PTI_RESULT_ROOM + room);
    if (bytes == NULL)
        return PTQ_ENOMEM;
    task->bytes = bytes;
    task->room = room;
    return PTQ_OK;
}

enum ptq_err ptq_task_emit(ptq_task *task, const void *data, size_t size)
{
    if (task == NULL || (data == NULL && size != 0))
        return PTQ_EINVAL;
    task->wanted += size;
    if (task->wanted > task->most)
        return PTQ_EMSGSIZE;
    enum ptq_err err = make_room(task, task->size + size);
    if (err != PTQ_OK)
        return ptq_task_fail(task, err, "no memory for a result of %zu bytes", task->size + size);
    if (size != 0)
        memcpy(task->bytes + PTI_RESULT_ROOM + task->size, data, size);
    task->size += size;
    return PTQ_OK;
}

enum ptq_err ptq_task_result(ptq_task *task, const void *data, size_t size)
{
    if (task == NULL)
        return PTQ_EINVAL;
    task->size = 0;
    task->wanted = 0;
    return ptq_task_emit(task, data, size);
}

enum ptq_err ptq_task_fail(ptq_task *task, enum ptq_err code, const char *format, ...)
{
    if (code == PTQ_OK || code == PTQ_END)
        code = PTQ_EFAILED;
    if (task == NULL)
        return code;
    task->code = code;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(task->text, sizeof task->text, format, arguments);
    va_end(arguments);
    return code;
}

const char *ptq_task_name(const ptq_task *task)
{
    return task->name;
}

void *ptq_task_user(const ptq_task *task)
{
    return task->entry != NULL ? task->entry->user : NULL;
}

uint64_t ptq_task_ticket(const ptq_task *task)
{
    return task->ticket;
}

uint32_t ptq_task_tries(const ptq_task *task)
{
    return task->tries;
}

bool ptq_task_trace(const ptq_task *task, struct ptq_trace *ret_trace)
{
    if (task->has_trace)
        *ret_trace = task->trace;
    return task->has_trace;
}

unsigned ptq_task_worker(const ptq_task *task)
{
    return task->worker->slot;
}

unsigned ptq_task_workers(const ptq_task *task)
{
    return task->worker->count;
}
