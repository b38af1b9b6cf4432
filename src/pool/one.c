/* one.c -- one worker: a pool of one, whose life and whose order are its own.
 *
 * A life is a pool: a worker that is started again gets another one, so nothing of an earlier life can come out of it.  A change of the
 * task is a job too, between the others; its result says what it is, and is passed over.
 */
#include <ptq/worker.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "bus/bus.h"
#include "os/futex.h"
#include "pool/pool.h"

#define CAPACITY 1000u
#define BINDS 64u /* changes of the task that may be on their way, beside it and one call */
#define POLITE_NS (250 * PTI_NS_PER_MS) /* between SIGTERM and SIGKILL, at most */

enum kind { DATA = 0, BIND = 1 };

struct tickets {
    uint64_t *ticket; /* a ring of `room` */
    size_t first, count, room;
};

struct ptq_worker {
    ptq_bus *bus;
    ptq_pool *pool;
    struct ptq_worker_options options; /* strings are the own */
    char *exec, *name;
    char task[PTQ_TASK_NAME_MAX + 1]; /* set last; "": none */
    void *static_data;
    size_t static_size;
    _Atomic uint32_t room[2];          /* in this life, of a kind: sent, and not with the caller yet (enum kind); */
    _Atomic uint32_t leaves, waiting;  /* grows when one of them is; threads that sleep on that */
    _Atomic uint64_t sent;             /* all kinds; */
    uint64_t received;                 /* and come out: of who receives, as are the next two */
    _Atomic uint32_t closed;
    struct tickets passed;             /* not for the caller: of calls that were given up */
    struct pti_results kept;           /* came while a call waited for its own */
    struct pti_exit how;               /* of the last life */
};

/* -- tickets that are passed over ------------------------------------------------------------------------------- */

static bool add_ticket(struct tickets *list, uint64_t ticket)
{
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 16 : 2 * list->room;
        uint64_t *ring = malloc(room * sizeof *ring);
        if (ring == NULL)
            return false;
        for (size_t i = 0; i < list->count; i++)
            ring[i] = list->ticket[(list->first + i) % list->room];
        free(list->ticket);
        list->ticket = ring;
        list->first = 0;
        list->room = room;
    }
    list->ticket[(list->first + list->count++) % list->room] = ticket;
    return true;
}

/* They come out in order. */
static bool is_passed(struct tickets *list, uint64_t ticket)
{
    if (list->count == 0 || !pti_position_is(list->ticket[list->first], ticket))
        return false;
    list->first = (list->first + 1) % list->room;
    list->count--;
    return true;
}

/* -- a life ----------------------------------------------------------------------------------------------------- */

static _Atomic uint64_t last_number;

static uint32_t capacity_of(const ptq_worker *worker)
{
    return worker->options.capacity != 0 ? worker->options.capacity : CAPACITY;
}

static enum ptq_err open_life(ptq_worker *worker)
{
    char name[64];
    const struct ptq_worker_options *options = &worker->options;
    uint32_t room = capacity_of(worker) + 1 + BINDS; /* for all that can be on its way: who closes waits for nobody to receive */
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
    pti_store_relaxed(&worker->room[DATA], 0);
    pti_store_relaxed(&worker->room[BIND], 0);
    worker->received = 0;
}

/* The answer of the pool in words of a worker. */
static enum ptq_err answer(ptq_worker *worker, enum ptq_err err)
{
    if (err == PTQ_ENOWORKERS || err == PTQ_EABORTED || err == PTQ_EGONE) {
        note_end(worker);
        return pti_load_relaxed(&worker->closed) != 0 ? PTQ_EENDED : PTQ_EDIED;
    }
    return err;
}

static enum ptq_err check(const ptq_worker *worker)
{
    return worker == NULL ? PTQ_EINVAL : worker->pool == NULL ? PTQ_ENOTSTARTED : pti_pool_check(worker->pool);
}

/* -- in --------------------------------------------------------------------------------------------------------- */

/* Room for one more of its kind, so that never more than `most` are on their way. */
static bool take_room(ptq_worker *worker, enum kind kind, uint32_t most)
{
    uint32_t used = pti_load_seq(&worker->room[kind]);
    while (used < most)
        if (pti_cas(&worker->room[kind], &used, used + 1))
            return true;
    return false;
}

static void leave_room(ptq_worker *worker, enum kind kind)
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
static enum ptq_err wait_for_room(ptq_worker *worker, enum kind kind, uint32_t most, int64_t deadline)
{
    for (;;) {
        uint32_t seen = pti_load_seq(&worker->leaves);
        if (take_room(worker, kind, most))
            return PTQ_OK;
        if (!may_make_room(worker))
            return answer(worker, PTQ_ENOWORKERS);
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

/* What there is room for; if it cannot be sent the room is free again. */
static enum ptq_err submit(ptq_worker *worker, enum kind kind, const void *data, size_t size, int64_t deadline, uint64_t *ret_ticket)
{
    enum ptq_err err = PTQ_ENOWORKERS;
    pti_staff_tend(worker->pool);
    if (pti_load_relaxed(&worker->closed) != 0 || pti_staff_is_alive(worker->pool)) {
        (void)pti_fetch_add_seq(&worker->sent, 1);
        err = ptq_pool_submit(worker->pool, kind == BIND ? PTI_BIND_TASK : NULL, data, size, pti_timeout_left(deadline), ret_ticket);
        if (err != PTQ_OK)
            (void)pti_fetch_add_seq(&worker->sent, UINT64_MAX);
    }
    if (err != PTQ_OK)
        leave_room(worker, kind);
    return answer(worker, err);
}

static enum ptq_err send(ptq_worker *worker, enum kind kind, const void *data, size_t size, int64_t deadline, uint64_t *ret_ticket)
{
    enum ptq_err err = wait_for_room(worker, kind, kind == BIND ? BINDS : capacity_of(worker), deadline);
    return err == PTQ_OK ? submit(worker, kind, data, size, deadline, ret_ticket) : err;
}

enum ptq_err ptq_worker_send(ptq_worker *worker, const void *data, size_t size, int timeout_ms, uint64_t *ret_ticket)
{
    uint64_t ticket;
    enum ptq_err err = check(worker);
    if (err == PTQ_OK)
        err = send(worker, DATA, data, size, pti_deadline(timeout_ms), &ticket);
    if (err == PTQ_OK && ret_ticket != NULL)
        *ret_ticket = ticket;
    return err;
}

/* The name, its final 0, and the data. */
static enum ptq_err bind_task(ptq_worker *worker, int timeout_ms)
{
    uint64_t ticket;
    size_t name = strlen(worker->task) + 1, size = PTI_BIND_HEAD + worker->static_size;
    char *data = calloc(1, size);
    if (data == NULL)
        return PTQ_ENOMEM;
    memcpy(data, worker->task, name);
    if (worker->static_size != 0)
        memcpy(data + PTI_BIND_HEAD, worker->static_data, worker->static_size);
    enum ptq_err err = send(worker, BIND, data, size, pti_deadline(timeout_ms), &ticket);
    free(data);
    return err;
}

enum ptq_err ptq_worker_set_task(ptq_worker *worker, const char *task, const void *static_data, size_t size, int timeout_ms)
{
    enum ptq_err err = check(worker);
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
    err = bind_task(worker, timeout_ms);
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

/* -- out -------------------------------------------------------------------------------------------------------- */

static bool owes_nothing(ptq_worker *worker)
{
    return pti_load_seq(&worker->sent) == worker->received;
}

/* Of a worker that lives, or has left something behind.  PTQ_EMPTY: wait. */
static enum ptq_err look(ptq_worker *worker)
{
    pti_staff_tend(worker->pool);
    if (pti_load_relaxed(&worker->closed) || pti_staff_is_alive(worker->pool))
        return PTQ_EMPTY;
    return answer(worker, PTQ_ENOWORKERS);
}

/* On the ring's own word for a moment, for that is quickest; then on descriptors, which also tell of a worker that leaves. */
static enum ptq_err get_one(ptq_worker *worker, int64_t deadline, ptq_result **ret_result)
{
    int64_t slice = pti_now_ns() + PTI_POOL_SLICE;
    int fd;
    enum ptq_err err = ptq_pool_get(worker->pool, pti_timeout_left(pti_earlier(slice, deadline)), ret_result);
    while (err == PTQ_TIMEDOUT || err == PTQ_EMPTY) {
        bool over = deadline == PTI_DEADLINE_NOW || pti_now_ns() >= deadline;
        enum ptq_err seen = look(worker);
        if (seen != PTQ_EMPTY || over || ptq_pool_fd(worker->pool, &fd) != PTQ_OK) {
            err = ptq_pool_get(worker->pool, PTQ_NOWAIT, ret_result); /* what it had handed in before it died */
            return err != PTQ_EMPTY ? err : seen != PTQ_EMPTY ? seen : deadline == PTI_DEADLINE_NOW ? PTQ_EMPTY : PTQ_TIMEDOUT;
        }
        err = ptq_pool_get(worker->pool, PTQ_NOWAIT, ret_result);
        if (err == PTQ_EMPTY && poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, pti_ms_until(deadline)) < 0)
            return PTQ_EINTR;
    }
    return err;
}

/* The next that is the caller's, from the pool. */
static enum ptq_err get(ptq_worker *worker, int64_t deadline, ptq_result **ret_result)
{
    for (;;) {
        ptq_result *result;
        if (!pti_load_relaxed(&worker->closed) && owes_nothing(worker))
            return look(worker);
        enum ptq_err err = get_one(worker, deadline, &result);
        if (err != PTQ_OK)
            return answer(worker, err);
        worker->received++;
        enum kind kind = result->body.section == PTI_SECTION_BIND ? BIND : DATA;
        if (kind == DATA && !is_passed(&worker->passed, ptq_result_ticket(result))) {
            *ret_result = result;
            return PTQ_OK;
        }
        (void)ptq_result_done(result);
        leave_room(worker, kind);
    }
}

static struct ptq_result *take_kept(ptq_worker *worker)
{
    struct ptq_result *result = worker->kept.first;
    if (result != NULL)
        pti_results_drop(&worker->kept, result);
    return result;
}

/* Out of the pool, into this process's memory: it waits for a recv. */
static enum ptq_err keep(ptq_worker *worker, struct ptq_result *result)
{
    enum ptq_err err = pti_order_detach(worker->pool, result);
    if (result->msg == NULL) {
        pti_results_append(&worker->kept, result);
        return err;
    }
    pti_order_give_back(worker->pool, result); /* no memory: it comes again */
    worker->received--;
    return err;
}

enum ptq_err ptq_worker_recv(ptq_worker *worker, int timeout_ms, ptq_result **ret_result)
{
    enum ptq_err err = check(worker);
    if (err != PTQ_OK || ret_result == NULL)
        return err != PTQ_OK ? err : PTQ_EINVAL;
    struct ptq_result *result = take_kept(worker);
    if (result == NULL)
        err = get(worker, pti_deadline(timeout_ms), &result);
    if (err != PTQ_OK)
        return err;
    leave_room(worker, DATA);
    *ret_result = result;
    return PTQ_OK;
}

enum ptq_err ptq_worker_poll(ptq_worker *worker, int timeout_ms)
{
    ptq_result *result;
    enum ptq_err err = check(worker);
    if (err != PTQ_OK || worker->kept.first != NULL)
        return err;
    err = get(worker, pti_deadline(timeout_ms), &result);
    return err == PTQ_OK ? keep(worker, result) : err;
}

/* For one call beside what was sent.  Nobody else receives, so calls that were given up are passed over here. */
static enum ptq_err make_room(ptq_worker *worker, int64_t deadline)
{
    while (!take_room(worker, DATA, capacity_of(worker) + 1)) {
        ptq_result *result;
        enum ptq_err err = get(worker, deadline, &result);
        if (err == PTQ_OK)
            err = keep(worker, result);
        else if (err == PTQ_EMPTY)
            err = owes_nothing(worker) ? PTQ_OK : PTQ_FULL; /* in the first case there is room now */
        if (err != PTQ_OK)
            return err;
    }
    return PTQ_OK;
}

enum ptq_err ptq_worker_call(ptq_worker *worker, const void *data, size_t size, int timeout_ms, ptq_result **ret_result)
{
    uint64_t ticket;
    int64_t deadline = pti_deadline(timeout_ms);
    enum ptq_err err = check(worker);
    if (err != PTQ_OK || ret_result == NULL)
        return err != PTQ_OK ? err : PTQ_EINVAL;
    err = make_room(worker, deadline);
    if (err == PTQ_OK)
        err = submit(worker, DATA, data, size, deadline, &ticket);
    bool sent = err == PTQ_OK;
    while (err == PTQ_OK) {
        ptq_result *result;
        err = get(worker, deadline, &result);
        if (err != PTQ_OK)
            break;
        if (pti_position_is(ptq_result_ticket(result), ticket)) {
            leave_room(worker, DATA);
            *ret_result = result;
            return PTQ_OK;
        }
        err = keep(worker, result);
    }
    if (sent)
        (void)add_ticket(&worker->passed, ticket); /* no memory: then a recv gets it */
    return err;
}

enum ptq_err ptq_worker_fd(ptq_worker *worker, int *ret_fd)
{
    enum ptq_err err = check(worker);
    return err == PTQ_OK ? ptq_pool_fd(worker->pool, ret_fd) : err;
}

/* -- what it shows ----------------------------------------------------------------------------------------------- */

bool ptq_worker_is_alive(ptq_worker *worker)
{
    return check(worker) == PTQ_OK && ptq_pool_alive(worker->pool);
}

enum ptq_err ptq_worker_status(ptq_worker *worker, struct ptq_worker_status *ret_status)
{
    size_t count = 0;
    enum ptq_err err = check(worker);
    if (err != PTQ_OK || ret_status == NULL)
        return err != PTQ_OK ? err : PTQ_EINVAL;
    if (!ptq_pool_alive(worker->pool))
        return answer(worker, PTQ_ENOWORKERS);
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
        err = bind_task(worker, PTQ_FOREVER);
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
    enum ptq_err err = check(worker);
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
