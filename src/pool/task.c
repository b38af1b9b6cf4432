/* task.c -- the tasks of this process, and what a running one gives. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ptq/pipeline.h>

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

size_t pti_task_count(void)
{
    return table.count;
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

/* The task itself is run by whoever runs everything: what it changes is its worker's. */
static enum ptq_err bind(ptq_task *task, const void *data, size_t size)
{
    struct pti_worker *worker = task->worker;
    size_t name = size < PTI_BIND_HEAD ? PTI_BIND_HEAD : strnlen(data, PTI_BIND_HEAD);
    if (name >= PTI_BIND_HEAD || name == 0)
        return PTQ_EPROTO;
    void *copy = malloc(size - PTI_BIND_HEAD + 1);
    if (copy == NULL)
        return PTQ_ENOMEM;
    memcpy(copy, (const char *)data + PTI_BIND_HEAD, size - PTI_BIND_HEAD);
    free(worker->bound_data);
    worker->bound_data = copy;
    worker->bound_size = size - PTI_BIND_HEAD;
    (void)snprintf(worker->bound_name, sizeof worker->bound_name, "%s", (const char *)data);
    worker->bound = find(data, name);
    worker->has_bound = true;
    return PTQ_OK;
}

const struct pti_task *pti_task_find(const char *name, size_t size)
{
    static const struct pti_task binder = {.name = PTI_BIND_TASK, .fn = bind};
    const struct pti_task *task = find(name, size);
    if (size == sizeof PTI_BIND_TASK - 1 && memcmp(name, PTI_BIND_TASK, size) == 0)
        return &binder;
    if (task == NULL && size == 0 && table.count == 1)
        return table.tasks;
    return task;
}

enum ptq_err ptq_task_register(const char *name, ptq_task_fn fn, void *user)
{
    static const struct ptq_task_hooks none;
    return ptq_task_register_with(name, fn, &none, user);
}

enum ptq_err ptq_task_register_with(const char *name, ptq_task_fn fn, const struct ptq_task_hooks *hooks, void *user)
{
    if (hooks == NULL)
        return PTQ_EINVAL;
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
    task->hooks = *hooks;
    task->user = user;
    return PTQ_OK;
}

/* -- what tasks keep in a worker ------------------------------------------------------------------------------ */

struct pti_kept {
    const struct pti_task *of;
    void *state;
    struct pti_kept *next;
};

static const struct pti_kept *find_state(const ptq_task *task)
{
    const struct pti_kept *state = task->worker->states;
    while (state != NULL && state->of != task->entry)
        state = state->next;
    return state;
}

void *ptq_task_state(const ptq_task *task)
{
    const struct pti_kept *state = find_state(task);
    return state != NULL ? state->state : NULL;
}

enum ptq_err pti_task_set_up(ptq_task *task)
{
    if (task->entry->hooks.init == NULL || find_state(task) != NULL)
        return PTQ_OK;
    struct pti_kept *state = calloc(1, sizeof *state);
    if (state == NULL)
        return ptq_task_fail(task, PTQ_ENOMEM, "no memory for what task '%s' keeps", task->name);
    enum ptq_err err = task->entry->hooks.init(task, &state->state);
    if (err != PTQ_OK) {
        free(state);
        return err;
    }
    state->of = task->entry;
    state->next = task->worker->states;
    task->worker->states = state;
    return PTQ_OK;
}

void pti_task_clean_up(struct pti_worker *worker)
{
    while (worker->states != NULL) {
        struct pti_kept *state = worker->states;
        worker->states = state->next;
        if (state->of->hooks.cleanup != NULL)
            state->of->hooks.cleanup(state->state, state->of->user);
        free(state);
    }
}

/* -- a running task ------------------------------------------------------------------------------------------- */

enum ptq_err pti_task_make_room(ptq_task *task, size_t size)
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

/* -- outputs of a stage --------------------------------------------------------------------------------------- */

/* Where the next output would begin. */
static void open_at(ptq_task *task, size_t at)
{
    task->open = at;
    task->has_open = false;
    task->base = at + PTI_PIECE_HEAD;
    task->size = task->base;
    if (task->wanted <= task->most)
        task->wanted = task->base;
}

void pti_task_begin_outputs(ptq_task *task)
{
    task->wanted = 0;
    task->outputs = 0;
    open_at(task, 0);
}

/* The data is there already; the head and what it is padded with are to fit, too. */
static void close_output(ptq_task *task)
{
    struct pti_piece piece = {.size = task->size - task->base, .tries = task->tries};
    size_t end = task->open + pti_piece_size(piece.size);
    if (end > task->wanted)
        task->wanted = end;
    if (task->wanted > task->most || pti_task_make_room(task, end) != PTQ_OK)
        return;
    pti_piece_write_head(task->bytes + PTI_RESULT_ROOM + task->open, &piece);
    task->outputs++;
    open_at(task, end);
}

void pti_task_end_outputs(ptq_task *task)
{
    if (task->has_open)
        close_output(task);
    task->size = task->open;
    if (task->wanted <= task->most)
        task->wanted = task->open;
    task->base = 0;
}

enum ptq_err ptq_task_output(ptq_task *task, const void *data, size_t size)
{
    if (task == NULL || (data == NULL && size != 0))
        return PTQ_EINVAL;
    if (task->in_stage && task->has_open)
        close_output(task);
    enum ptq_err err = ptq_task_emit(task, data, size);
    if (err == PTQ_OK && task->in_stage)
        close_output(task);
    return err == PTQ_OK && task->wanted > task->most ? PTQ_EMSGSIZE : err;
}

/* -- a result that is written in place ------------------------------------------------------------------------ */

#define LOAN_LEAST 4096u /* smaller ones are copied sooner than lent */

void pti_task_drop_loan(ptq_task *task)
{
    ptq_abort(task->loan);
    task->loan = NULL;
}

static bool lend(ptq_task *task, size_t size)
{
    const struct pti_worker *worker = task->worker;
    struct pti_result result = {.host = worker->pool->bus->node, .worker = worker->name};
    if (size < LOAN_LEAST || task->base != 0 || task->in_stage || !pti_queue_can_lend(worker->pool->done))
        return false;
    task->loan_head = pti_result_head_size(&result);
    return pti_queue_loan(worker->pool->done, task->loan_head + size, PTI_DEADLINE_NOW, &task->loan) == PTQ_OK;
}

enum ptq_err ptq_task_loan(ptq_task *task, size_t size, void **ret_buffer)
{
    if (task == NULL || ret_buffer == NULL)
        return PTQ_EINVAL;
    pti_task_drop_loan(task);
    if (task->in_stage)
        pti_task_begin_outputs(task);
    task->has_open = true;
    task->wanted = task->base + size;
    if (task->wanted > task->most)
        return PTQ_EMSGSIZE;
    bool lent = lend(task, size);
    if (!lent && pti_task_make_room(task, task->base + size) != PTQ_OK)
        return ptq_task_fail(task, PTQ_ENOMEM, "no memory for a result of %zu bytes", size);
    task->size = task->base + size;
    *ret_buffer = lent ? (unsigned char *)ptq_msg_buffer(task->loan) + task->loan_head : task->bytes + PTI_RESULT_ROOM + task->base;
    return PTQ_OK;
}

enum ptq_err ptq_task_publish(ptq_task *task, size_t size)
{
    if (task == NULL || task->base + size > task->size)
        return PTQ_EINVAL;
    task->size = task->base + size;
    task->wanted = task->size;
    return PTQ_OK;
}

/* More is added: into memory of our own, as any. */
static enum ptq_err take_over(ptq_task *task)
{
    enum ptq_err err = pti_task_make_room(task, task->size);
    if (err == PTQ_OK)
        memcpy(task->bytes + PTI_RESULT_ROOM, (unsigned char *)ptq_msg_buffer(task->loan) + task->loan_head, task->size);
    pti_task_drop_loan(task);
    return err;
}

enum ptq_err ptq_task_emit(ptq_task *task, const void *data, size_t size)
{
    if (task == NULL || (data == NULL && size != 0))
        return PTQ_EINVAL;
    task->wanted += size;
    task->has_open = true;
    if (task->wanted > task->most)
        return PTQ_EMSGSIZE;
    enum ptq_err err = task->loan != NULL ? take_over(task) : PTQ_OK;
    if (err == PTQ_OK)
        err = pti_task_make_room(task, task->size + size);
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
    if (task->in_stage)
        pti_task_begin_outputs(task);
    pti_task_drop_loan(task);
    task->size = task->base;
    task->wanted = task->base;
    return ptq_task_emit(task, data, size);
}

enum ptq_err ptq_task_fail(ptq_task *task, enum ptq_err code, const char *format, ...)
{
    int error = errno;
    if (code == PTQ_OK || code == PTQ_END)
        code = PTQ_EFAILED;
    if (task == NULL)
        return code;
    task->code = code;
    task->section = PTI_SECTION_RUN;
    task->error_number = (uint16_t)error;
    pti_frames_take(&task->frames, 1);
    va_list arguments;
    va_start(arguments, format);
    errno = error; /* for %m */
    (void)vsnprintf(task->text, sizeof task->text, format, arguments);
    va_end(arguments);
    return code;
}

enum ptq_err pti_task_blame(ptq_task *task, enum pti_section section, enum ptq_err code, const char *format, ...)
{
    va_list arguments;
    task->code = code;
    task->section = section;
    task->error_number = 0;
    task->frames.count = 0;
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

const void *ptq_task_static(const ptq_task *task, size_t *ret_size)
{
    const struct pti_worker *worker = task->worker;
    if (ret_size != NULL)
        *ret_size = worker->has_bound ? worker->bound_size : 0;
    return worker->has_bound ? worker->bound_data : NULL;
}

uint64_t ptq_task_ticket(const ptq_task *task)
{
    return task->ticket;
}

uint64_t ptq_task_input(const ptq_task *task)
{
    return pti_task_mark(task);
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
