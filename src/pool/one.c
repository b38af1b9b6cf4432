/* one.c -- one worker: a pool of one, whose life and whose order are its own; one_send.c, what goes in; one_recv.c, what comes out.
 *
 * A life is a pool: a worker that is started again gets another one, so nothing of an earlier life can come out of it.  A change of the
 * task is a job too, between the others; its result says what it is, and is passed over.
 */
#include "pool/one.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "bus/bus.h"

#define CAPACITY 1000u
#define POLITE_NS (250 * PTI_NS_PER_MS) /* between SIGTERM and SIGKILL, at most */

/* -- a life ----------------------------------------------------------------------------------------------------- */

static _Atomic uint64_t last_number;

uint32_t pti_one_capacity(const ptq_worker *worker)
{
    return worker->options.capacity != 0 ? worker->options.capacity : CAPACITY;
}

static enum ptq_err open_life(ptq_worker *worker)
{
    char name[64];
    const struct ptq_worker_options *options = &worker->options;
    uint32_t room = pti_one_capacity(worker) + 1 + PTI_ONE_BINDS; /* for all that can be on its way: who closes waits for nobody to receive */
    struct ptq_pool_options pool = {.mode = PTQ_CREATE, .capacity = room, .window = room, .lives = 1,
                                    .item_size = options->item_size, .result_size = options->result_size, .call = options->call,
                                    .ephemeral = true, .error = options->error};
    struct ptq_spawn_options spawn = options->spawn;
    spawn.count = 1;
    spawn.no_respawn = true;
    spawn.crash_limit = 1;
    spawn.exec = worker->exec;
    spawn.name = worker->name != NULL ? worker->name : "one";
    spawn.error = options->error;
    (void)snprintf(name, sizeof name, "one.%d.%llu", (int)getpid(), (unsigned long long)pti_fetch_add_seq(&last_number, 1));
    enum ptq_err err = ptq_pool_open(worker->bus, name, &pool, &worker->pool);
    if (err == PTQ_OK)
        pti_store_relaxed(&worker->pool->staff.exec, 1); /* who has the default task is seen there: it may have been set */
    return err == PTQ_OK ? ptq_pool_spawn(worker->pool, &spawn) : err;
}

/* Of our one worker. */
static struct pti_supervisor *team_of(const ptq_worker *worker)
{
    return worker->pool != NULL && worker->pool->staff.count == 1 ? worker->pool->staff.teams[0] : NULL;
}

static void note_end(ptq_worker *worker)
{
    struct pti_supervisor *team = team_of(worker);
    if (team == NULL)
        return;
    (void)pthread_mutex_lock(&worker->pool->mutex);
    const struct pti_child *child = pti_supervisor_child(team, 0);
    if (child->state == PTI_CHILD_ENDED)
        worker->how = child->how;
    (void)pthread_mutex_unlock(&worker->pool->mutex);
}

/* What it had is thrown away. */
static void close_life(ptq_worker *worker)
{
    if (worker->pool == NULL)
        return;
    enum ptq_err ignored = ptq_pool_abort(worker->pool);
    (void)ignored;
    note_end(worker);
    pti_results_free(&worker->kept);
    ptq_pool_close(worker->pool);
    worker->pool = NULL;
    worker->passed.count = 0;
    pti_store_relaxed(&worker->closed, 0);
    pti_store_relaxed(&worker->sent, 0);
    pti_store_relaxed(&worker->room[PTI_ONE_DATA], 0);
    pti_store_relaxed(&worker->room[PTI_ONE_BIND], 0);
    worker->received = 0;
}

enum ptq_err pti_one_answer(ptq_worker *worker, enum ptq_err err)
{
    if (err == PTQ_ENOWORKERS || err == PTQ_EABORTED || err == PTQ_EGONE) {
        note_end(worker);
        return pti_load_relaxed(&worker->closed) != 0 ? PTQ_EENDED : PTQ_EDIED;
    }
    return err;
}

enum ptq_err pti_one_check(const ptq_worker *worker)
{
    return worker == NULL ? PTQ_EINVAL : worker->pool == NULL ? PTQ_ENOTSTARTED : pti_pool_check(worker->pool);
}

/* -- what it shows ----------------------------------------------------------------------------------------------- */

bool ptq_worker_is_alive(ptq_worker *worker)
{
    return pti_one_check(worker) == PTQ_OK && ptq_pool_alive(worker->pool);
}

enum ptq_err ptq_worker_status(ptq_worker *worker, struct ptq_worker_status *ret_status)
{
    size_t count = 0;
    enum ptq_err err = pti_one_check(worker);
    if (err != PTQ_OK || ret_status == NULL)
        return err != PTQ_OK ? err : PTQ_EINVAL;
    if (!ptq_pool_alive(worker->pool))
        return pti_one_answer(worker, PTQ_ENOWORKERS);
    err = ptq_pool_workers(worker->pool, ret_status, 1, &count);
    return err != PTQ_OK ? err : count == 0 ? PTQ_EMPTY : PTQ_OK;
}

struct ptq_worker_end ptq_worker_end(ptq_worker *worker)
{
    struct ptq_worker_end end = {0};
    if (worker == NULL || ptq_worker_is_alive(worker))
        return end;
    note_end(worker);
    return (struct ptq_worker_end){worker->how.known, worker->how.signaled, worker->how.core, worker->how.code};
}

const char *ptq_worker_explain(ptq_worker *worker, enum ptq_err err, char *buffer, size_t size)
{
    char how[120];
    if (worker == NULL || size == 0)
        return buffer;
    const char *name = worker->name != NULL ? worker->name : "one";
    if (err == PTQ_EDIED) {
        note_end(worker);
        pti_exit_text(&worker->how, how, sizeof how);
        (void)snprintf(buffer, size, "worker '%s' has died: %s - what it had is lost; ptq_worker_start starts it again", name, how);
    } else if (err == PTQ_EENDED || err == PTQ_ENOTSTARTED) {
        (void)snprintf(buffer, size, "worker '%s' was closed: ptq_worker_start starts it again", name);
    } else if (err == PTQ_EALREADY) {
        (void)snprintf(buffer, size, "worker '%s' lives: close it before it is started again", name);
    } else if (worker->pool != NULL) {
        (void)ptq_pool_explain(worker->pool, err, buffer, size);
    } else {
        (void)snprintf(buffer, size, "worker '%s': %s", name, ptq_strerror(err));
    }
    return buffer;
}

/* -- beginning and end -------------------------------------------------------------------------------------------- */

enum ptq_err ptq_worker_start(ptq_worker *worker)
{
    if (worker == NULL)
        return PTQ_EINVAL;
    if (ptq_worker_is_alive(worker))
        return PTQ_EALREADY;
    close_life(worker);
    enum ptq_err err = open_life(worker);
    if (err == PTQ_OK && worker->task[0] != 0)
        err = pti_one_bind(worker, PTQ_FOREVER);
    if (err != PTQ_OK)
        close_life(worker);
    return err;
}

static enum ptq_err copy_options(ptq_worker *worker, const struct ptq_worker_options *options)
{
    worker->options = *options;
    worker->exec = options->spawn.exec != NULL ? strdup(options->spawn.exec) : NULL;
    worker->name = options->spawn.name != NULL ? strdup(options->spawn.name) : NULL;
    if ((options->spawn.exec != NULL && worker->exec == NULL) || (options->spawn.name != NULL && worker->name == NULL))
        return PTQ_ENOMEM;
    if (options->task == NULL)
        return PTQ_OK;
    if (!pti_task_name_is_valid(options->task) || (options->static_data == NULL && options->static_size != 0))
        return pti_error(options->error, PTQ_EINVAL, "'%.100s' is no name of a task", options->task);
    if (pti_task_any() && pti_task_find(options->task, strlen(options->task)) == NULL)
        return pti_error(options->error, PTQ_ENOTASK, "no task '%s' is registered in this program", options->task);
    (void)snprintf(worker->task, sizeof worker->task, "%s", options->task);
    worker->static_data = malloc(options->static_size + 1);
    worker->static_size = options->static_size;
    if (worker->static_data == NULL)
        return PTQ_ENOMEM;
    if (options->static_size != 0)
        memcpy(worker->static_data, options->static_data, options->static_size);
    return PTQ_OK;
}

enum ptq_err ptq_worker_spawn(ptq_bus *bus, const struct ptq_worker_options *options, ptq_worker **ret_worker)
{
    static const struct ptq_worker_options none;
    if (bus == NULL || ret_worker == NULL)
        return PTQ_EINVAL;
    ptq_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL)
        return PTQ_ENOMEM;
    worker->bus = pti_bus_hold(bus);
    enum ptq_err err = copy_options(worker, options != NULL ? options : &none);
    if (err == PTQ_OK)
        err = ptq_worker_start(worker);
    worker->options.error = NULL; /* the caller's, for this call */
    if (err != PTQ_OK) {
        ptq_worker_free(worker);
        return err;
    }
    *ret_worker = worker;
    return PTQ_OK;
}

/* Until it is gone or the deadline; true: it is. */
static bool wait_for_end(ptq_worker *worker, int64_t deadline)
{
    for (;;) {
        enum ptq_err err = ptq_pool_supervise(worker->pool, deadline == PTI_DEADLINE_NOW ? PTQ_NOWAIT : pti_timeout_left(deadline));
        if (err != PTQ_EINTR)
            return err == PTQ_OK || err == PTQ_ENOWORKERS;
    }
}

static void signal_it(ptq_worker *worker, int number)
{
    struct pti_supervisor *team = team_of(worker);
    (void)pthread_mutex_lock(&worker->pool->mutex);
    if (team != NULL)
        pti_supervisor_signal(team, 0, number);
    (void)pthread_mutex_unlock(&worker->pool->mutex);
}

enum ptq_err ptq_worker_close(ptq_worker *worker, int timeout_ms)
{
    enum ptq_err err = pti_one_check(worker);
    if (err != PTQ_OK)
        return err == PTQ_ENOTSTARTED ? PTQ_OK : err;
    int64_t now = pti_now_ns(), deadline = timeout_ms < 0 ? PTI_DEADLINE_NEVER : now + timeout_ms * PTI_NS_PER_MS;
    int64_t polite = deadline == PTI_DEADLINE_NEVER ? 0 : (deadline - now) / 4;
    pti_store_relaxed(&worker->closed, 1);
    err = ptq_pool_stop(worker->pool);
    if (timeout_ms == 0 || err != PTQ_OK || !wait_for_end(worker, deadline - (polite < POLITE_NS ? polite : POLITE_NS))) {
        signal_it(worker, timeout_ms == 0 ? SIGKILL : SIGTERM);
        if (timeout_ms == 0 || !wait_for_end(worker, deadline)) {
            signal_it(worker, SIGKILL);
            (void)wait_for_end(worker, PTI_DEADLINE_NEVER);
        }
    }
    note_end(worker);
    return PTQ_OK;
}

void ptq_worker_free(ptq_worker *worker)
{
    if (worker == NULL)
        return;
    close_life(worker);
    pti_bus_drop(worker->bus);
    free(worker->passed.ticket);
    free(worker->static_data);
    free(worker->exec);
    free(worker->name);
    free(worker);
}
