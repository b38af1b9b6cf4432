/* submit.c -- jobs and markers on their way in.
 *
 * The ticket is the position that the queue gives; there is nothing to draw and so nothing to lose.  Law: whoever has spawned
 * workers never sleeps without an eye on them, or the queue could stay full for ever.
 */
#include <poll.h>
#include <string.h>
#include <time.h>

#include "base/time.h"
#include "bus/bus.h"
#include "pool/pool.h"

#define EARLY_MOST 8
#define PAUSE_NS (20 * PTI_NS_PER_MS)
#define LATE_NS (10 * PTI_NS_PER_MS) /* who comes so late to his turn makes up for it: sleeps are no finer than milliseconds */

/* One thing that is to be put. */
struct entry {
    const char *task; /* NULL: a marker */
    size_t task_size;
    const void *data;
    size_t size;
    const struct ptq_submit_options *options; /* headers and trace; may be NULL */
    struct pti_job_call call;
    unsigned form;    /* enum pti_job_form */
    const void *prefix; /* PTI_ORIGIN_SIZE bytes before the data, counted in size; NULL: none */
    struct pti_claim *claim; /* whose ticket it becomes; NULL: nobody's */
    ptq_msg *loan;    /* written, not yet published */
    bool is_lent;     /* by the caller, whose it is until it is in */
    bool retry;       /* it is in doubt */
};

static int ms_left(int64_t deadline)
{
    return deadline == PTI_DEADLINE_NOW ? PTQ_NOWAIT : pti_ms_until(deadline);
}

static void write_job(struct entry *entry)
{
    unsigned char *to = ptq_msg_buffer(entry->loan);
    pti_job_write_head(to, entry->task, entry->task_size, &entry->call, entry->form);
    to += pti_job_head_size(&entry->call, entry->task_size);
    size_t prefix = entry->prefix != NULL ? PTI_ORIGIN_SIZE : 0;
    if (prefix != 0)
        memcpy(to, entry->prefix, prefix);
    if (entry->size != prefix)
        memcpy(to + prefix, entry->data, entry->size - prefix);
}

static enum ptq_err publish(struct entry *entry, size_t size, int timeout_ms, uint64_t *ret_ticket)
{
    struct ptq_put_options options = {.ret_position = ret_ticket, .flags = entry->retry ? PTQ_RETRY : 0};
    if (entry->options != NULL) {
        options.headers = entry->options->headers;
        options.header_count = entry->options->header_count;
        options.trace = entry->options->trace;
    }
    enum ptq_err err = ptq_publish_with(entry->loan, size, &options, timeout_ms);
    if (err == PTQ_OK)
        entry->loan = NULL;
    return err;
}

/* One attempt, as patient as the deadline; but what is claimed is never waited for with the claims locked. */
static enum ptq_err put(ptq_pool *pool, struct entry *entry, int64_t deadline, uint64_t *ret_ticket)
{
    if (entry->task == NULL) {
        struct pti_put marker = {.data = entry->data, .size = (uint32_t)entry->size, .kind = PTI_KIND_MARKER,
                                 .retry = entry->retry};
        return pti_queue_put(pool->jobs, &marker, deadline, ret_ticket);
    }
    size_t size = pti_job_head_size(&entry->call, entry->task_size) + entry->size;
    if (entry->loan == NULL) {
        enum ptq_err err = ptq_loan(pool->jobs, size, ms_left(deadline), &entry->loan);
        if (err != PTQ_OK)
            return err;
        write_job(entry);
    }
    if (entry->claim == NULL)
        return publish(entry, size, ms_left(deadline), ret_ticket);
    pti_claims_lock(pool);
    enum ptq_err err = publish(entry, size, PTQ_NOWAIT, ret_ticket);
    if (err == PTQ_OK)
        pti_claims_add(entry->claim, *ret_ticket);
    pti_claims_doubt(entry->claim, err == PTQ_EINDOUBT);
    pti_claims_unlock(pool);
    if (err == PTQ_OK && entry->retry)
        pti_route_kept(pool, *ret_ticket);
    return err;
}

/* Sleeps until there may be room or a worker needs attention; as ordinary waiting, a slice on the ring's word first.  No longer than
 * a slice: what another thread has tended wakes nobody. */
enum ptq_err pti_submit_wait(ptq_pool *pool, int64_t deadline)
{
    int room;
    int64_t slice = pti_now_ns() + PTI_POOL_SLICE, until = pti_earlier(slice, deadline);
    if (ptq_queue_fd(pool->jobs, PTQ_SIDE_PUT, &room) != PTQ_OK)
        return PTQ_OK; /* no descriptors left: slices must do */
    (void)pthread_mutex_lock(&pool->mutex);
    struct pollfd look[2] = {{.fd = room, .events = POLLIN}, {.fd = pool->staff.gather.fd, .events = POLLIN}};
    (void)pthread_mutex_unlock(&pool->mutex);
    return poll(look, 2, pti_ms_until(until)) < 0 ? PTQ_EINTR : PTQ_OK;
}

enum ptq_err pti_submit_nap(ptq_pool *pool, bool for_room, int64_t until)
{
    if (for_room)
        return pti_submit_wait(pool, until);
    (void)pthread_mutex_lock(&pool->mutex);
    struct pollfd look = {.fd = pool->staff.gather.fd, .events = POLLIN};
    (void)pthread_mutex_unlock(&pool->mutex);
    int ready = poll(&look, 1, pti_ms_until(until));
    if (ready > 0)
        pti_staff_tend(pool);
    return ready < 0 ? PTQ_EINTR : pti_now_ns() >= until ? PTQ_TIMEDOUT : PTQ_OK;
}

int64_t pti_submit_turn_after(int64_t turn, int64_t now, int64_t interval_ns)
{
    int64_t slack = interval_ns > LATE_NS ? interval_ns : LATE_NS;
    return (now - turn < slack ? turn : now) + interval_ns;
}

int64_t pti_submit_turn(ptq_pool *pool)
{
    if (pool->interval_ns == 0)
        return 0;
    (void)pthread_mutex_lock(&pool->mutex);
    int64_t turn = pool->turn_ns;
    (void)pthread_mutex_unlock(&pool->mutex);
    return turn;
}

/* Law: the rate comes before all else.  Draws a moment for one job, and waits for it. */
static enum ptq_err wait_for_turn(ptq_pool *pool, int64_t deadline)
{
    if (pool->interval_ns == 0)
        return PTQ_OK;
    for (;;) {
        int64_t now = pti_now_ns();
        (void)pthread_mutex_lock(&pool->mutex);
        int64_t turn = pool->turn_ns;
        if (now >= turn)
            pool->turn_ns = pti_submit_turn_after(turn, now, pool->interval_ns);
        (void)pthread_mutex_unlock(&pool->mutex);
        if (now >= turn)
            return PTQ_OK;
        if (deadline == PTI_DEADLINE_NOW)
            return PTQ_FULL;
        if (now >= deadline)
            return PTQ_TIMEDOUT;
        if (pti_submit_nap(pool, false, turn < deadline ? turn : deadline) == PTQ_EINTR)
            return PTQ_EINTR;
    }
}

/* A turn that came to nothing is the next one's. */
static void give_turn_back(ptq_pool *pool)
{
    if (pool->interval_ns == 0)
        return;
    (void)pthread_mutex_lock(&pool->mutex);
    pool->turn_ns -= pool->interval_ns;
    (void)pthread_mutex_unlock(&pool->mutex);
}

/* What futures and maps of this handle hold may be all that stands in the way. */
static enum ptq_err make_way(ptq_pool *pool)
{
    if (!pti_order_start(pool))
        return PTQ_OK;
    enum ptq_err err;
    do
        err = pti_route_one(pool, PTI_DEADLINE_NOW);
    while (err == PTQ_OK);
    pti_order_stop(pool);
    return err == PTQ_EAGAIN || err == PTQ_ENOWORKERS ? err : PTQ_OK;
}

static enum ptq_err put_watchfully(ptq_pool *pool, struct entry *entry, int64_t deadline, uint64_t *ret_ticket)
{
    for (;;) {
        enum ptq_err err = put(pool, entry, PTI_DEADLINE_NOW, ret_ticket);
        if (err != PTQ_FULL || deadline == PTI_DEADLINE_NOW)
            return err;
        if (pti_load_acquire(&pool->halted) != 0)
            return PTQ_EINTR;
        pti_staff_tend(pool);
        if (pti_staff_has_failed(pool))
            return PTQ_ENOWORKERS;
        if (pti_now_ns() >= deadline)
            return PTQ_TIMEDOUT;
        int64_t slice = pti_now_ns() + PTI_POOL_SLICE, until = pti_earlier(slice, deadline);
        bool routes = entry->claim != NULL || pti_claims_exist(pool); /* or what nobody waits for any more would stay */
        if (!routes) {
            err = put(pool, entry, until, ret_ticket);
            if (err != PTQ_TIMEDOUT)
                return err;
        }
        err = routes ? make_way(pool) : PTQ_OK;
        if (err == PTQ_OK)
            err = pti_submit_wait(pool, routes ? until : deadline);
        if (err != PTQ_OK)
            return err;
    }
}

static bool answered_early(int64_t deadline)
{
    return pti_now_ns() < deadline;
}

/* Law: a ticket that is in doubt is not drawn again.  A slice at a time, with an eye on the workers.  A home that is away is waited
 * for; but where the answer is there before its time, again and again, there is nobody left who could be asked. */
static enum ptq_err clear_up(ptq_pool *pool, struct entry *entry, int64_t deadline, uint64_t *ret_ticket)
{
    enum ptq_err err = PTQ_EINDOUBT;

    entry->retry = true;
    for (unsigned early = 0; err == PTQ_EINDOUBT && early < EARLY_MOST && pti_now_ns() < deadline;) {
        int64_t slice = pti_now_ns() + PTI_POOL_SLICE, until = pti_earlier(slice, deadline);
        err = put(pool, entry, until, ret_ticket);
        if (err == PTQ_EVERSION) /* a home that keeps no numbers */
            return PTQ_EINDOUBT;
        if (err == PTQ_EINDOUBT && answered_early(until)) {
            early++;
            (void)nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
        }
        if (pti_staff_exists(pool))
            pti_staff_tend(pool);
    }
    return err;
}

static void tell(ptq_pool *pool, const struct entry *entry, uint64_t ticket)
{
    if (entry->task == NULL)
        pti_bus_tell("pool", pool->name, "submit ticket %llu marker, %zu bytes", (unsigned long long)ticket, entry->size);
    else
        pti_bus_tell("pool", pool->name, "submit ticket %llu task '%s', %zu bytes", (unsigned long long)ticket, entry->task, entry->size);
}

static enum ptq_err submit(ptq_pool *pool, struct entry *entry, int64_t deadline, uint64_t *ret_ticket)
{
    uint64_t ticket;
    bool watch = entry->claim != NULL || pti_claims_exist(pool) || pti_staff_exists(pool);
    if (watch)
        pti_staff_tend_sometimes(pool);
    enum ptq_err err = watch ? put_watchfully(pool, entry, deadline, &ticket) : put(pool, entry, deadline, &ticket);
    while (err == PTQ_EINDOUBT && pti_now_ns() < deadline) {
        err = clear_up(pool, entry, deadline, &ticket);
        if (err == PTQ_EINDOUBT)
            break;
        entry->retry = false;
        if (err == PTQ_FULL || err == PTQ_TIMEDOUT) /* it was not in, and is not in doubt any more */
            err = watch ? put_watchfully(pool, entry, deadline, &ticket) : put(pool, entry, deadline, &ticket);
    }
    if (!entry->is_lent)
        ptq_abort(entry->loan);
    if (err == PTQ_OK && pool->bus->tells)
        tell(pool, entry, ticket);
    if (err == PTQ_OK)
        pti_store_relaxed(&pool->submitted, ticket + 1); /* a hint: nothing is carried by it */
    if (err == PTQ_OK && ret_ticket != NULL)
        *ret_ticket = ticket;
    return pti_pool_answer(pool, err);
}

/* Where this process has tasks, a name that is not among them is a slip of the pen. */
bool pti_submit_knows(ptq_pool *pool, const char *task)
{
    if (pti_load_relaxed(&pool->staff.plugin) != 0) /* and this */
        return true;
    if (task[0] == 0 && pti_load_relaxed(&pool->staff.exec) != 0) /* a hint of our own */
        return true;
    return !pti_task_any() || pti_task_find(task, strlen(task)) != NULL;
}

enum ptq_err ptq_pool_submit(ptq_pool *pool, const char *task, const void *data, size_t size, int timeout_ms,
                             uint64_t *ret_ticket)
{
    return ptq_pool_submit_with(pool, task, data, size, NULL, timeout_ms, ret_ticket);
}

enum ptq_err ptq_pool_submit_with(ptq_pool *pool, const char *task, const void *data, size_t size,
                                  const struct ptq_submit_options *options, int timeout_ms, uint64_t *ret_ticket)
{
    struct pti_submit job = {.task = task, .data = data, .size = size, .options = options};
    return pti_submit(pool, &job, pti_deadline(timeout_ms), ret_ticket);
}

enum ptq_err pti_submit(ptq_pool *pool, const struct pti_submit *job, int64_t deadline, uint64_t *ret_ticket)
{
    const struct ptq_submit_options *options = job->options;
    const char *task = job->task;
    enum ptq_err err = pti_pool_check(pool);
    if (err != PTQ_OK)
        return err;
    if (options != NULL && (options->flags & ~PTQ_RETRY) != 0)
        return PTQ_EINVAL;
    if ((job->data == NULL && job->size != 0 && job->loan == NULL) || (task != NULL && !pti_task_name_is_valid(task)))
        return PTQ_EINVAL;
    size_t prefix = job->prefix != NULL ? PTI_ORIGIN_SIZE : 0;
    if (job->size > pool->item_size - prefix)
        return PTQ_EMSGSIZE;
    struct entry entry = {.task = task != NULL ? task : "", .data = job->data, .size = job->size + prefix, .options = options,
                          .call = job->call != NULL ? *job->call : pool->call, .form = job->form, .prefix = job->prefix,
                          .claim = job->claim, .loan = job->loan, .is_lent = job->loan != NULL};
    if (options != NULL && options->call != NULL && !pti_job_call_of(options->call, pool->call.lives, &entry.call))
        return PTQ_EINVAL;
    entry.retry = options != NULL && (options->flags & PTQ_RETRY) != 0;
    entry.task_size = strlen(entry.task);
    if (!pti_submit_knows(pool, entry.task))
        return PTQ_ENOTASK;
    err = wait_for_turn(pool, deadline);
    if (err != PTQ_OK)
        return err;
    err = submit(pool, &entry, deadline, ret_ticket);
    if (err != PTQ_OK && err != PTQ_EINDOUBT)
        give_turn_back(pool);
    return err;
}

enum ptq_err ptq_pool_submit_marker(ptq_pool *pool, const void *data, size_t size, int timeout_ms, uint64_t *ret_ticket)
{
    enum ptq_err err = pti_pool_check(pool);
    if (err != PTQ_OK)
        return err;
    if (data == NULL && size != 0)
        return PTQ_EINVAL;
    if (size > pool->item_size || size > pool->result_size)
        return PTQ_EMSGSIZE;
    struct entry entry = {.data = data, .size = size};
    return submit(pool, &entry, pti_deadline(timeout_ms), ret_ticket);
}
