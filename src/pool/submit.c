/* submit.c -- jobs and markers on their way in.
 *
 * The ticket is the position that the queue gives; there is nothing to draw and so nothing to lose.  Law: whoever has spawned
 * workers never sleeps without an eye on them, or the queue could stay full for ever.
 */
#include <poll.h>
#include <string.h>
#include <time.h>

#include "base/time.h"
#include "pool/pool.h"

#define EARLY_MOST 8
#define PAUSE_NS (20 * PTI_NS_PER_MS)

/* One thing that is to be put. */
struct entry {
    const char *task; /* NULL: a marker */
    size_t task_size;
    const void *data;
    size_t size;
    const struct ptq_put_options *options; /* headers and trace; may be NULL */
    ptq_msg *loan;    /* written, not yet published */
    bool retry;       /* it is in doubt */
};

static int ms_left(int64_t deadline)
{
    return deadline == PTI_DEADLINE_NOW ? PTQ_NOWAIT : pti_ms_until(deadline);
}

static void write_job(const ptq_pool *pool, struct entry *entry)
{
    unsigned char *to = ptq_msg_buffer(entry->loan);
    pti_job_write_head(to, entry->task, entry->task_size, pool->lives);
    if (entry->size != 0)
        memcpy(to + pti_job_head_size(entry->task_size), entry->data, entry->size);
}

/* One attempt, as patient as the deadline. */
static enum ptq_err put(ptq_pool *pool, struct entry *entry, int64_t deadline, uint64_t *ret_ticket)
{
    if (entry->task == NULL) {
        struct pti_put marker = {.data = entry->data, .size = (uint32_t)entry->size, .kind = PTI_KIND_MARKER,
                                 .retry = entry->retry};
        return pti_queue_put(pool->jobs, &marker, deadline, ret_ticket);
    }
    size_t size = pti_job_head_size(entry->task_size) + entry->size;
    if (entry->loan == NULL) {
        enum ptq_err err = ptq_loan(pool->jobs, size, ms_left(deadline), &entry->loan);
        if (err != PTQ_OK)
            return err;
        write_job(pool, entry);
    }
    struct ptq_put_options options = entry->options != NULL ? *entry->options : (struct ptq_put_options){0};
    options.ret_position = ret_ticket;
    options.flags = entry->retry ? PTQ_RETRY : 0;
    enum ptq_err err = ptq_publish_with(entry->loan, size, &options, ms_left(deadline));
    if (err == PTQ_OK)
        entry->loan = NULL;
    return err;
}

/* Sleeps until there may be room or a worker needs attention; as ordinary waiting, a slice on the ring's word first. */
static enum ptq_err wait_for_room(ptq_pool *pool, int64_t deadline)
{
    int room;
    if (ptq_queue_fd(pool->jobs, PTQ_SIDE_PUT, &room) != PTQ_OK)
        return PTQ_OK; /* no descriptors left: slices must do */
    (void)pthread_mutex_lock(&pool->mutex);
    struct pollfd look[2] = {{.fd = room, .events = POLLIN}, {.fd = pool->staff.gather.fd, .events = POLLIN}};
    (void)pthread_mutex_unlock(&pool->mutex);
    return poll(look, 2, pti_ms_until(deadline)) < 0 ? PTQ_EINTR : PTQ_OK;
}

static enum ptq_err put_watchfully(ptq_pool *pool, struct entry *entry, int64_t deadline, uint64_t *ret_ticket)
{
    for (;;) {
        enum ptq_err err = put(pool, entry, PTI_DEADLINE_NOW, ret_ticket);
        if (err != PTQ_FULL || deadline == PTI_DEADLINE_NOW)
            return err;
        pti_staff_tend(pool);
        if (pti_staff_has_failed(pool))
            return PTQ_ENOWORKERS;
        if (pti_now_ns() >= deadline)
            return PTQ_TIMEDOUT;
        int64_t slice = pti_now_ns() + PTI_POOL_SLICE;
        err = put(pool, entry, slice < deadline ? slice : deadline, ret_ticket);
        if (err != PTQ_TIMEDOUT)
            return err;
        err = wait_for_room(pool, deadline);
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
        int64_t slice = pti_now_ns() + PTI_POOL_SLICE, until = slice < deadline ? slice : deadline;
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

static enum ptq_err submit(ptq_pool *pool, struct entry *entry, int timeout_ms, uint64_t *ret_ticket)
{
    uint64_t ticket;
    int64_t deadline = pti_deadline(timeout_ms);
    bool watch = pti_staff_exists(pool);
    if (watch)
        pti_staff_tend(pool);
    enum ptq_err err = watch ? put_watchfully(pool, entry, deadline, &ticket) : put(pool, entry, deadline, &ticket);
    while (err == PTQ_EINDOUBT && pti_now_ns() < deadline) {
        err = clear_up(pool, entry, deadline, &ticket);
        if (err == PTQ_EINDOUBT)
            break;
        entry->retry = false;
        if (err == PTQ_FULL || err == PTQ_TIMEDOUT) /* it was not in, and is not in doubt any more */
            err = watch ? put_watchfully(pool, entry, deadline, &ticket) : put(pool, entry, deadline, &ticket);
    }
    ptq_abort(entry->loan);
    if (err == PTQ_OK && ret_ticket != NULL)
        *ret_ticket = ticket;
    return pti_pool_answer(pool, err);
}

/* Where this process has tasks, a name that is not among them is a slip of the pen. */
static bool is_known(ptq_pool *pool, const char *task)
{
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
                                  const struct ptq_put_options *options, int timeout_ms, uint64_t *ret_ticket)
{
    enum ptq_err err = pti_pool_check(pool);
    if (err != PTQ_OK)
        return err;
    if (options != NULL && (options->delay_ms != 0 || options->ttl_ms != 0 || (options->flags & ~PTQ_RETRY) != 0))
        return PTQ_EINVAL; /* the order is that of submission, and each ticket comes out */
    if ((data == NULL && size != 0) || (task != NULL && !pti_task_name_is_valid(task)))
        return PTQ_EINVAL;
    if (size > pool->item_size)
        return PTQ_EMSGSIZE;
    struct entry entry = {.task = task != NULL ? task : "", .data = data, .size = size, .options = options};
    entry.retry = options != NULL && (options->flags & PTQ_RETRY) != 0;
    entry.task_size = strlen(entry.task);
    if (!is_known(pool, entry.task))
        return PTQ_ENOTASK;
    return submit(pool, &entry, timeout_ms, ret_ticket);
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
    return submit(pool, &entry, timeout_ms, ret_ticket);
}
