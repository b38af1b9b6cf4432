/* imap.c -- a stream of items through a pool: submits and gets by turns, so it never blocks on itself. */
#include "pool/imap_own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "bus/bus.h"

#define ROOM_NS (50 * PTI_NS_PER_MS) /* between attempts where others fill the queue of jobs */

/* -- beginning ------------------------------------------------------------------------------------------------ */

static enum ptq_err complain(const struct ptq_map_options *options, enum ptq_err err, const char *what)
{
    return pti_error(options->error, err, "cannot begin a map: %s", what);
}

static enum ptq_err check(const ptq_pool *pool, const char *task, const struct ptq_map_options *options)
{
    struct pti_job_call call;
    enum ptq_err err = pti_pool_check(pool);
    if (err != PTQ_OK)
        return complain(options, err, ptq_strerror(err));
    if (task != NULL && !pti_task_name_is_valid(task))
        return complain(options, PTQ_EINVAL, "that is not a name for a task");
    if ((options->flags & ~(PTQ_MAP_COLLECT | PTQ_MAP_INLINE | PTQ_MAP_DROP_OTHERS)) != 0)
        return complain(options, PTQ_EINVAL, "an unknown flag");
    if (options->chunk == PTQ_CHUNK_EVEN)
        return complain(options, PTQ_EINVAL, "PTQ_CHUNK_EVEN is for ptq_pool_map: how long a stream is nobody knows");
    if (options->chunk > PTI_CHUNK_MAX || !(options->per_second >= 0 && options->per_second <= 1e9) ||
        options->total_ms > PTI_JOB_MS_MAX)
        return complain(options, PTQ_EINVAL, "chunk may be 65536 at most, per_second 1e9, total_ms 2^31 - 1");
    if (options->call != NULL && !pti_job_call_of(options->call, 1, &call))
        return complain(options, PTQ_EINVAL, "options->call makes no sense, see ptq_call_options");
    return PTQ_OK;
}

static void set_up(ptq_imap *imap, ptq_pool *pool, const char *task, const struct ptq_map_options *options)
{
    imap->pool = pool;
    imap->options = *options;
    imap->call = pool->call;
    if (options->call != NULL)
        (void)pti_job_call_of(options->call, pool->call.lives, &imap->call);
    (void)snprintf(imap->task, sizeof imap->task, "%s", task != NULL ? task : "");
    imap->most = options->window != 0 ? options->window : 2 * pool->window;
    imap->total = options->total_ms != 0 ? pti_deadline((int)options->total_ms) : PTI_DEADLINE_NEVER;
    imap->interval_ns = options->per_second > 0 ? (int64_t)(1e9 / options->per_second) : 0;
    imap->options.chunk = options->chunk != 0 ? options->chunk : 1; /* even: map.c has made a number of it */
    imap->answer = PTQ_END;
    imap->inline_worker = (struct pti_worker){.pool = pool, .name = "inline", .count = 1};
}

enum ptq_err ptq_imap_begin(ptq_pool *pool, const char *task, ptq_map_input_fn input, void *user,
                            const struct ptq_map_options *options, ptq_imap **ret_imap)
{
    static const struct ptq_map_options none;
    if (options == NULL)
        options = &none;
    if (input == NULL || ret_imap == NULL)
        return PTQ_EINVAL;
    enum ptq_err err = check(pool, task, options);
    if (err != PTQ_OK)
        return err;
    ptq_imap *imap = calloc(1, sizeof *imap);
    if (imap == NULL)
        return complain(options, PTQ_ENOMEM, "no memory");
    set_up(imap, pool, task, options);
    imap->input = input;
    imap->user = user;
    if ((options->flags & PTQ_MAP_DROP_OTHERS) != 0)
        (void)pti_fetch_add_seq(&pool->claims.drops_others, 1);
    *ret_imap = imap;
    return PTQ_OK;
}

/* -- ends ----------------------------------------------------------------------------------------------------- */

static void forget_again(ptq_imap *imap, const struct pti_imap_unit *unit)
{
    struct pti_imap_errand **link = &imap->again, *last = NULL;
    while (*link != NULL) {
        if ((*link)->unit == unit) {
            *link = (*link)->next;
        } else {
            last = *link;
            link = &last->next;
        }
    }
    imap->again_last = last;
    imap->apart -= unit->missing;
}

/* Puts in the unit's place that it has no result, and leaves it. */
static struct pti_imap_unit *give_up(ptq_imap *imap, struct pti_imap_unit *unit, enum ptq_err code, const char *text)
{
    struct pti_imap_unit *instead = pti_imap_unit_new(imap);
    pti_imap_unit_cancel(unit);
    forget_again(imap, unit);
    if (instead != NULL) {
        instead->index = unit->index;
        instead->count = unit->count;
        instead->shown = unit->shown;
        instead->next = unit->next;
        pti_imap_unit_fail(instead, code, text);
    }
    pti_imap_unit_release(unit);
    return instead;
}

static bool never(void *unused)
{
    (void)unused;
    return false;
}

/* Who was cancelled blocks nobody any more: what was finished behind him comes out now. */
static void take_what_is_finished(ptq_imap *imap)
{
    for (struct pti_imap_unit *unit = imap->first; unit != NULL; unit = unit->next)
        if (!unit->is_ready)
            pti_imap_unit_cancel(unit);
    while (pti_route_until(imap->pool, never, NULL, PTI_DEADLINE_NOW) == PTQ_OK)
        ;
    pti_imap_take_in(imap);
}

/* Whatever is not there by now has failed. */
static void run_out_of_time(ptq_imap *imap)
{
    pti_imap_take_in(imap);
    take_what_is_finished(imap);
    imap->total = PTI_DEADLINE_NEVER;
    if (!imap->has_ended)
        pti_imap_end_input(imap, PTQ_TIMEDOUT);
    imap->has_item = false;
    if (imap->unsent != NULL)
        pti_imap_unit_append(imap, imap->unsent);
    imap->unsent = NULL;
    imap->last = NULL;
    for (struct pti_imap_unit **link = &imap->first; *link != NULL;) {
        struct pti_imap_unit *unit = *link, *next = unit->next;
        if (!unit->is_ready)
            *link = give_up(imap, unit, PTQ_TIMEDOUT, "the time for the whole map was over");
        if (*link == NULL) { /* no memory even for that */
            *link = next;
            imap->units--;
            continue;
        }
        imap->last = *link;
        link = &(*link)->next;
    }
}

static void cancel_rest(ptq_imap *imap)
{
    for (struct pti_imap_unit *unit = imap->first; unit != NULL; unit = unit->next)
        pti_imap_unit_cancel(unit);
    for (struct pti_imap_unit *unit = imap->first; unit != NULL;) {
        struct pti_imap_unit *next = unit->next;
        pti_imap_unit_release(unit);
        unit = next;
    }
    if (imap->unsent != NULL)
        pti_imap_unit_release(imap->unsent);
    if (imap->over != NULL)
        pti_imap_unit_release(imap->over);
    imap->first = imap->last = imap->unsent = imap->over = NULL;
    imap->again = NULL;
}

/* One item, in this thread. */
static enum ptq_err next_inline(ptq_imap *imap, struct ptq_map_item *item)
{
    ptq_task *task = &imap->inline_worker.task;
    if (pti_now_ns() >= imap->total)
        pti_imap_end_input(imap, PTQ_TIMEDOUT);
    if (!pti_imap_pull(imap))
        return imap->answer;
    while (imap->interval_ns != 0 && pti_now_ns() < imap->next_ns)
        if (pti_submit_nap(imap->pool, false, imap->next_ns) == PTQ_EINTR)
            return PTQ_EINTR;
    pti_imap_pace(imap, 1);
    struct pti_job job = {.task = imap->task, .task_size = strlen(imap->task), .data = imap->item.data,
                          .size = imap->item.size, .call = imap->call};
    imap->has_item = false;
    task->ticket = imap->index;
    enum ptq_err err = pti_run_item(&imap->inline_worker, &job);
    if (err != PTQ_OK)
        return err;
    *item = (struct ptq_map_item){.index = imap->index++, .code = task->code, .tries = task->tries, .text = task->text,
                                  .data = "", .size = 0};
    if (task->code == PTQ_OK) {
        item->data = task->bytes + PTI_RESULT_ROOM;
        item->size = task->size;
    }
    return PTQ_OK;
}

/* -- the loop ------------------------------------------------------------------------------------------------- */

/* Until something arrives, more may be sent, or time is over: PTQ_OK. */
static enum ptq_err wait_for_more(ptq_imap *imap, int64_t deadline)
{
    int64_t until = pti_earlier(deadline, imap->total);
    if (!imap->stays_full && pti_imap_has_more(imap)) {
        int64_t turn = pti_imap_turn(imap);
        if (pti_now_ns() >= turn)
            return PTQ_OK; /* items to be done again have just come in, or it has just become their turn */
        until = pti_earlier(until, turn);
    }
    enum ptq_err err = PTQ_TIMEDOUT;
    if (imap->units != 0) {
        if (imap->stays_full)
            until = pti_earlier(until, pti_now_ns() + ROOM_NS);
        err = pti_route_until(imap->pool, pti_sink_has_some, &imap->sink, until);
    } else if (deadline != PTI_DEADLINE_NOW) {
        pti_staff_tend(imap->pool);
        if (imap->stays_full && pti_staff_has_failed(imap->pool))
            return PTQ_ENOWORKERS;
        if (imap->stays_full)
            until = pti_earlier(until, pti_now_ns() + ROOM_NS);
        err = pti_submit_nap(imap->pool, imap->stays_full && !imap->is_in_doubt, until);
    } else {
        return PTQ_EMPTY;
    }
    if (err == PTQ_TIMEDOUT && (until < deadline || pti_now_ns() < deadline))
        return PTQ_OK;
    return err;
}

/* Unordered, the first that is ready comes first.  NULL: none is. */
static struct pti_imap_unit *next_ready(ptq_imap *imap)
{
    struct pti_imap_unit *unit = imap->first, *before = NULL;
    while (imap->pool->unordered && unit != NULL && !unit->is_ready) {
        before = unit;
        unit = unit->next;
    }
    if (unit == NULL || !unit->is_ready)
        return NULL;
    if (before != NULL) {
        before->next = unit->next;
        if (imap->last == unit)
            imap->last = before;
        unit->next = imap->first;
        imap->first = unit;
    }
    return unit;
}

/* Time first: an endless stream of results must not hide it. */
static enum ptq_err step(ptq_imap *imap, int64_t deadline, struct ptq_map_item *ret_item)
{
    for (;;) {
        if (imap->total != PTI_DEADLINE_NEVER && pti_now_ns() >= imap->total)
            run_out_of_time(imap);
        if (next_ready(imap) == NULL || imap->units < imap->most - imap->most / 4)
            pti_imap_fill(imap);
        pti_imap_take_in(imap);
        if (next_ready(imap) != NULL) {
            pti_imap_show(imap, ret_item);
            return PTQ_OK;
        }
        if (imap->first == NULL && imap->unsent == NULL && imap->has_ended && !imap->has_item)
            return imap->answer;
        enum ptq_err err = wait_for_more(imap, deadline);
        if (err != PTQ_OK)
            return err == PTQ_END ? PTQ_EENDED : err;
    }
}

static bool is_passing(enum ptq_err err)
{
    return err == PTQ_EMPTY || err == PTQ_TIMEDOUT || err == PTQ_EINTR || err == PTQ_EAGAIN || err == PTQ_EBUSY;
}

static enum ptq_err end_with(ptq_imap *imap, const struct ptq_map_item *item)
{
    if (item->text != imap->text)
        (void)snprintf(imap->text, sizeof imap->text, "%s", item->text);
    imap->failure = *item;
    imap->failure.text = imap->text;
    imap->failure.data = "";
    imap->is_over = true;
    cancel_rest(imap);
    return pti_error(imap->options.error, item->code, "item %llu: %s", (unsigned long long)item->index, imap->text);
}

enum ptq_err ptq_imap_next(ptq_imap *imap, int timeout_ms, struct ptq_map_item *ret_item)
{
    struct ptq_map_item item = {0};
    if (imap == NULL || ret_item == NULL)
        return PTQ_EINVAL;
    enum ptq_err err = pti_pool_check(imap->pool);
    if (err != PTQ_OK)
        return err;
    if (imap->is_over)
        return PTQ_END;
    if (imap->over != NULL)
        pti_imap_unit_release(imap->over);
    imap->over = NULL;
    bool is_inline = (imap->options.flags & PTQ_MAP_INLINE) != 0;
    err = is_inline ? next_inline(imap, &item) : step(imap, pti_deadline(timeout_ms), &item);
    if (err == PTQ_OK && item.code != PTQ_OK && (imap->options.flags & PTQ_MAP_COLLECT) == 0)
        return end_with(imap, &item);
    if (err == PTQ_OK)
        *ret_item = item;
    else if (!is_passing(err) || (imap->first == NULL && imap->has_ended && err == imap->answer))
        imap->is_over = true;
    err = pti_pool_answer(imap->pool, err);
    if (imap->is_over && err != PTQ_END && imap->options.error != NULL)
        (void)ptq_pool_explain(imap->pool, imap->options.error->code = err, imap->options.error->text,
                               sizeof imap->options.error->text);
    return err;
}

const struct ptq_map_item *ptq_imap_failure(const ptq_imap *imap)
{
    return imap != NULL && imap->failure.code != PTQ_OK ? &imap->failure : NULL;
}

void ptq_imap_end(ptq_imap *imap)
{
    if (imap == NULL)
        return;
    cancel_rest(imap);
    if ((imap->options.flags & PTQ_MAP_DROP_OTHERS) != 0)
        (void)pti_fetch_add_seq(&imap->pool->claims.drops_others, UINT32_MAX);
    pti_worker_fini(&imap->inline_worker);
    free(imap);
}
