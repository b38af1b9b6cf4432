/* one_send.c -- one worker: what goes in, as far as there is room for it. */
#include "pool/one.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "os/futex.h"

bool pti_one_take_room(ptq_worker *worker, enum pti_one_kind kind, uint32_t most)
{
    uint32_t used = pti_load_seq(&worker->room[kind]);
    while (used < most)
        if (pti_cas(&worker->room[kind], &used, used + 1))
            return true;
    return false;
}

void pti_one_leave_room(ptq_worker *worker, enum pti_one_kind kind)
{
    (void)pti_fetch_add_seq(&worker->room[kind], UINT32_MAX);
    (void)pti_fetch_add_seq(&worker->leaves, 1);
    if (pti_load_seq(&worker->waiting) != 0)
        (void)pti_futex_wake(&worker->leaves, INT_MAX);
}

/* False: nobody will ever make room. */
static bool may_make_room(ptq_worker *worker)
{
    pti_staff_tend(worker->pool);
    return pti_load_relaxed(&worker->closed) == 0 && pti_staff_is_alive(worker->pool);
}

/* Waits until another thread receives. */
static enum ptq_err wait_for_room(ptq_worker *worker, enum pti_one_kind kind, uint32_t most, int64_t deadline)
{
    for (;;) {
        uint32_t seen = pti_load_seq(&worker->leaves);
        if (pti_one_take_room(worker, kind, most))
            return PTQ_OK;
        if (!may_make_room(worker))
            return pti_one_answer(worker, PTQ_ENOWORKERS);
        int64_t now = pti_now_ns(), slice = now + PTI_POOL_SLICE;
        if (deadline == PTI_DEADLINE_NOW || now >= deadline)
            return deadline == PTI_DEADLINE_NOW ? PTQ_FULL : PTQ_TIMEDOUT;
        (void)pti_fetch_add_seq(&worker->waiting, 1);
        int error = pti_futex_wait(&worker->leaves, seen, pti_earlier(slice, deadline));
        (void)pti_fetch_add_seq(&worker->waiting, UINT32_MAX);
        if (error == EINTR)
            return PTQ_EINTR;
    }
}

enum ptq_err pti_one_submit(ptq_worker *worker, enum pti_one_kind kind, const void *data, size_t size, int64_t deadline,
                            uint64_t *ret_ticket)
{
    enum ptq_err err = PTQ_ENOWORKERS;
    pti_staff_tend(worker->pool);
    if (pti_load_relaxed(&worker->closed) != 0 || pti_staff_is_alive(worker->pool)) {
        (void)pti_fetch_add_seq(&worker->sent, 1);
        err = ptq_pool_submit(worker->pool, kind == PTI_ONE_BIND ? PTI_BIND_TASK : NULL, data, size, pti_timeout_left(deadline),
                              ret_ticket);
        if (err != PTQ_OK)
            (void)pti_fetch_add_seq(&worker->sent, UINT64_MAX);
    }
    if (err != PTQ_OK)
        pti_one_leave_room(worker, kind);
    return pti_one_answer(worker, err);
}

static enum ptq_err send(ptq_worker *worker, enum pti_one_kind kind, const void *data, size_t size, int64_t deadline,
                         uint64_t *ret_ticket)
{
    enum ptq_err err = wait_for_room(worker, kind, kind == PTI_ONE_BIND ? PTI_ONE_BINDS : pti_one_capacity(worker), deadline);
    return err == PTQ_OK ? pti_one_submit(worker, kind, data, size, deadline, ret_ticket) : err;
}

enum ptq_err ptq_worker_send(ptq_worker *worker, const void *data, size_t size, int timeout_ms, uint64_t *ret_ticket)
{
    uint64_t ticket;
    enum ptq_err err = pti_one_check(worker);
    if (err == PTQ_OK)
        err = send(worker, PTI_ONE_DATA, data, size, pti_deadline(timeout_ms), &ticket);
    if (err == PTQ_OK && ret_ticket != NULL)
        *ret_ticket = ticket;
    return err;
}

/* The name, its final 0, and the data. */
enum ptq_err pti_one_bind(ptq_worker *worker, int timeout_ms)
{
    uint64_t ticket;
    size_t name = strlen(worker->task) + 1, size = PTI_BIND_HEAD + worker->static_size;
    char *data = calloc(1, size);
    if (data == NULL)
        return PTQ_ENOMEM;
    memcpy(data, worker->task, name);
    if (worker->static_size != 0)
        memcpy(data + PTI_BIND_HEAD, worker->static_data, worker->static_size);
    enum ptq_err err = send(worker, PTI_ONE_BIND, data, size, pti_deadline(timeout_ms), &ticket);
    free(data);
    return err;
}

enum ptq_err ptq_worker_set_task(ptq_worker *worker, const char *task, const void *static_data, size_t size, int timeout_ms)
{
    enum ptq_err err = pti_one_check(worker);
    if (err != PTQ_OK)
        return err;
    if (task == NULL || !pti_task_name_is_valid(task) || (static_data == NULL && size != 0))
        return PTQ_EINVAL;
    if (pti_task_any() && pti_task_find(task, strlen(task)) == NULL)
        return PTQ_ENOTASK;
    void *copy = malloc(size + 1);
    if (copy == NULL)
        return PTQ_ENOMEM;
    if (size != 0)
        memcpy(copy, static_data, size);
    char task_before[sizeof worker->task];
    void *data_before = worker->static_data;
    size_t size_before = worker->static_size;
    memcpy(task_before, worker->task, sizeof task_before);
    (void)snprintf(worker->task, sizeof worker->task, "%s", task);
    worker->static_data = copy;
    worker->static_size = size;
    err = pti_one_bind(worker, timeout_ms);
    if (err != PTQ_OK) { /* as it was */
        memcpy(worker->task, task_before, sizeof task_before);
        worker->static_data = data_before;
        worker->static_size = size_before;
        free(copy);
        return err;
    }
    free(data_before);
    return PTQ_OK;
}

