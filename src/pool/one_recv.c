/* one_recv.c -- one worker: what comes out, in order, but for what a call asked for itself. */
#include "pool/one.h"

#include <poll.h>
#include <stdlib.h>

#include "base/time.h"

/* -- tickets that are passed over ------------------------------------------------------------------------------- */

static bool add_ticket(struct pti_one_tickets *list, uint64_t ticket)
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
static bool is_passed(struct pti_one_tickets *list, uint64_t ticket)
{
    if (list->count == 0 || !pti_position_is(list->ticket[list->first], ticket))
        return false;
    list->first = (list->first + 1) % list->room;
    list->count--;
    return true;
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
    return pti_one_answer(worker, PTQ_ENOWORKERS);
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
            return pti_one_answer(worker, err);
        worker->received++;
        enum pti_one_kind kind = result->body.section == PTI_SECTION_BIND ? PTI_ONE_BIND : PTI_ONE_DATA;
        if (kind == PTI_ONE_DATA && !is_passed(&worker->passed, ptq_result_ticket(result))) {
            *ret_result = result;
            return PTQ_OK;
        }
        (void)ptq_result_done(result);
        pti_one_leave_room(worker, kind);
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
    enum ptq_err err = pti_one_check(worker);
    if (err != PTQ_OK || ret_result == NULL)
        return err != PTQ_OK ? err : PTQ_EINVAL;
    struct ptq_result *result = take_kept(worker);
    if (result == NULL)
        err = get(worker, pti_deadline(timeout_ms), &result);
    if (err != PTQ_OK)
        return err;
    pti_one_leave_room(worker, PTI_ONE_DATA);
    *ret_result = result;
    return PTQ_OK;
}

enum ptq_err ptq_worker_poll(ptq_worker *worker, int timeout_ms)
{
    ptq_result *result;
    enum ptq_err err = pti_one_check(worker);
    if (err != PTQ_OK || worker->kept.first != NULL)
        return err;
    err = get(worker, pti_deadline(timeout_ms), &result);
    return err == PTQ_OK ? keep(worker, result) : err;
}

/* For one call beside what was sent.  Nobody else receives, so calls that were given up are passed over here. */
static enum ptq_err make_room(ptq_worker *worker, int64_t deadline)
{
    while (!pti_one_take_room(worker, PTI_ONE_DATA, pti_one_capacity(worker) + 1)) {
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
    enum ptq_err err = pti_one_check(worker);
    if (err != PTQ_OK || ret_result == NULL)
        return err != PTQ_OK ? err : PTQ_EINVAL;
    err = make_room(worker, deadline);
    if (err == PTQ_OK)
        err = pti_one_submit(worker, PTI_ONE_DATA, data, size, deadline, &ticket);
    bool sent = err == PTQ_OK;
    while (err == PTQ_OK) {
        ptq_result *result;
        err = get(worker, deadline, &result);
        if (err != PTQ_OK)
            break;
        if (pti_position_is(ptq_result_ticket(result), ticket)) {
            pti_one_leave_room(worker, PTI_ONE_DATA);
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
    enum ptq_err err = pti_one_check(worker);
    return err == PTQ_OK ? ptq_pool_fd(worker->pool, ret_fd) : err;
}

