/* look.c -- one queue: its figures, and its rates since the look before.
 *
 * A full look counts block by block and asks the kernel who lives.  A glance costs some lines of memory and says whether it is worth
 * while.  Nothing here takes a message or holds a lock.
 */
#include <stdlib.h>
#include <string.h>

#include "away.h"
#include "columns.h"
#include "common/report.h"
#include "watch.h"

void forget_queue(struct watcher *watcher, struct watched *queue)
{
    if (queue->view != NULL && !queue->passing)
        watcher->open--;
    ptq_view_close(queue->view);
    queue->view = NULL;
    queue->at = queue->at_before = 0;
    queue->good = false;
}

static bool open_view(struct watcher *watcher, struct watched *queue)
{
    if (queue->view != NULL)
        return true;
    queue->passing = watcher->open >= watcher->open_most;
    if (ptq_view_open(watcher->bus, queue->row.name, NULL, &queue->view) != PTQ_OK)
        return false;
    watcher->open += !queue->passing;
    return true;
}

/* -- figures --------------------------------------------------------------------------------------------------- */

static void read_waits(struct watched *queue)
{
    struct ptq_view_waits waits;
    struct row *row = &queue->row;

    row->wait_count = 0;
    if (ptq_view_waits(queue->view, &waits) != PTQ_OK)
        return;
    if (queue->base_waits != NULL) {
        waits.count -= queue->base_waits->count;
        waits.sum_us -= queue->base_waits->sum_us;
        for (unsigned i = 0; i < PTQ_WAIT_BUCKETS; i++)
            waits.buckets[i] -= queue->base_waits->buckets[i];
    }
    row->wait_count = waits.count;
    row->p50_us = ptq_waits_quantile_us(&waits, 0.5);
    row->p99_us = ptq_waits_quantile_us(&waits, 0.99);
}

static bool same_people(const struct watched *queue, const struct ptq_view_endpoint *others, size_t count)
{
    if (queue->people_count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (queue->people[i].pid != others[i].pid || queue->people[i].alive != others[i].alive)
            return false;
    return true;
}

static void read_people(struct watcher *watcher, struct watched *queue)
{
    size_t most = queue->row.info.max_endpoints, count = 0;

    if (queue->row.stats.endpoints + queue->row.stats.dead_endpoints == 0) {
        watcher->people_changed |= queue->people_count != 0;
        queue->people_count = 0;
        return;
    }
    struct ptq_view_endpoint *people = calloc(most + 1, sizeof *people);
    if (people == NULL || ptq_view_endpoints(queue->view, people, most, &count) != PTQ_OK) {
        free(people);
        return;
    }
    count = count < most ? count : most;
    watcher->people_changed |= !same_people(queue, people, count);
    struct ptq_view_endpoint *fit = realloc(people, (count + 1) * sizeof *people);
    free(queue->people);
    queue->people = fit != NULL ? fit : people;
    queue->people_count = count;
}

static bool read_figures(struct watcher *watcher, struct watched *queue)
{
    struct ptq_queue_stats stats;
    struct row *row = &queue->row;

    if (queue->at == 0 && ptq_view_info(queue->view, &row->info) != PTQ_OK)
        return false;
    if (ptq_view_stats(queue->view, &stats) != PTQ_OK)
        return false;
    queue->before = row->stats;
    row->stats = stats;
    if (strcmp(row->kind, "outbox") != 0)
        row->kind = tool_queue_kind(&row->info);
    read_waits(queue);
    read_people(watcher, queue);
    row->overdue = 0;
    if (row->info.lease_ms != 0 && stats.endpoints > 0 && ptq_view_overdue(queue->view, &row->overdue) != PTQ_OK)
        row->overdue = 0;
    return true;
}

/* -- rates ----------------------------------------------------------------------------------------------------- */

static void make_rates(const struct watcher *watcher, struct watched *queue)
{
    bool based = watcher->base_at != 0;
    const struct ptq_queue_stats *now = &queue->row.stats, *before = based ? &queue->base : &queue->before;
    int64_t since = !based ? queue->at_before : queue->base_at != 0 ? queue->base_at : watcher->base_at;
    double seconds = (double)(queue->at - since) / 1e9;

    queue->row.rates = (struct rates){0};
    if (since == 0 || !(seconds > 0))
        return;
    queue->row.rates = (struct rates){.known = true,
                                      .in = rate_of(now->put, before->put, seconds),
                                      .out = rate_of(now->acked, before->acked, seconds),
                                      .bytes = rate_of(now->bytes_put, before->bytes_put, seconds),
                                      .redelivered = rate_of(now->redelivered, before->redelivered, seconds),
                                      .dropped = rate_of(now->dropped, before->dropped, seconds)};
}

static void count_totals(struct frame *frame, const struct ptq_queue_stats *before, const struct ptq_queue_stats *now)
{
    frame->dropped += now->dropped - before->dropped;
    frame->recovered += now->recovered - before->recovered;
    frame->memory_used += now->bytes - before->bytes;
}

/* After the figures were read. */
static void finish_look(struct watcher *watcher, struct watched *queue)
{
    struct row *row = &queue->row;
    const struct ptq_queue_stats *stats = &row->stats;

    queue->at_before = queue->at;
    queue->at = clock_ns(CLOCK_MONOTONIC);
    queue->looked = watcher->frame.number;
    make_rates(watcher, queue);
    row->stalled = queue->at_before != 0 && tool_queue_depth(&queue->before) > 0 && tool_queue_depth(stats) > 0 &&
                   stats->acked == queue->before.acked;
    queue->quiet = stats->delayed == 0 && stats->dead_endpoints == 0 && (row->info.lease_ms == 0 || stats->leased == 0) &&
                   (row->info.ttl_ms == 0 || stats->ready == 0);
    if (queue->at_before != 0)
        events_of_queue(watcher, queue);
    else if (watcher->frame.number > 1)
        event_add(watcher, EVENT_PLAIN, row->name, "is there: %llu of %llu messages", (unsigned long long)tool_queue_depth(stats),
                  (unsigned long long)stats->capacity);
    history_add(row, watcher->frame.number);
}

/* Nothing moved: what it was it is, only older; ages matter where somebody sorts by them, for those on the screen are looked at fully.  Of
 * thousands of rows none is touched that need not be. */
static void stand_still(struct watcher *watcher, struct watched *queue)
{
    struct row *row = &queue->row;
    int64_t before = queue->at;

    queue->at = watcher->frame.ns;
    if (queue->still && top_options.sort != COLUMN_AGE)
        return;
    queue->still = true;
    if (row->stats.oldest_ms > 0)
        row->stats.oldest_ms += (uint64_t)(watcher->frame.ns - before) / 1000000;
    row->rates = (struct rates){.known = true};
    row->stalled = tool_queue_depth(&row->stats) > 0;
}

static void note_who_waits(struct watched *queue, const struct ptq_view_glance *glance)
{
    if (queue->get_waits == glance->get_waits && queue->put_waits == glance->put_waits)
        return;
    queue->row.get_waits = queue->get_waits = glance->get_waits;
    queue->row.put_waits = queue->put_waits = glance->put_waits;
}

/* -- the look -------------------------------------------------------------------------------------------------- */

static bool read_queue(struct watcher *watcher, struct watched *queue, bool full)
{
    struct ptq_view_glance glance;

    if (!open_view(watcher, queue) || ptq_view_glance(queue->view, &glance) != PTQ_OK)
        return false;
    bool moved = glance.mark != queue->mark || !queue->quiet || queue->at == 0;
    queue->mark = glance.mark;
    note_who_waits(queue, &glance);
    if (!full && !moved) {
        stand_still(watcher, queue);
        return true;
    }
    struct ptq_queue_stats before = queue->row.stats;
    if (!read_figures(watcher, queue))
        return false;
    queue->still = false;
    queue->is_jobs = queue->row.info.window != 0 && !queue->row.info.placed;
    count_totals(&watcher->frame, &before, &queue->row.stats);
    finish_look(watcher, queue);
    return true;
}

/* It was removed, or cannot be read any more: its counts are in no total. */
static void forget_counts(struct watcher *watcher, struct watched *queue)
{
    const struct ptq_queue_stats nothing = {0};

    count_totals(&watcher->frame, &queue->row.stats, &nothing);
    queue->row.stats = nothing;
    free(queue->base_waits);
    queue->base_waits = NULL;
    queue->base = nothing;
    queue->base_at = watcher->frame.ns;
    forget_queue(watcher, queue);
}

static bool look_away(struct watcher *watcher, struct watched *queue)
{
    struct ptq_queue_stats stats, before = queue->row.stats;

    if (!away_stats(watcher->away, queue->row.name, &stats))
        return false;
    queue->before = before;
    queue->row.stats = stats;
    count_totals(&watcher->frame, &before, &stats);
    finish_look(watcher, queue);
    return true;
}

/* A queue that was removed and made again under its name is a new one. */
bool look_at_queue(struct watcher *watcher, struct watched *queue, bool full)
{
    bool was_good = queue->good;

    if (queue->skewed)
        return true;
    bool good = watcher->away != NULL ? look_away(watcher, queue) : read_queue(watcher, queue, full);
    if (good && queue->still && !queue->passing)
        return true;
    if (!good || queue->row.stats.removed) {
        forget_counts(watcher, queue);
        good = watcher->away == NULL && read_queue(watcher, queue, true);
    }
    if (!good)
        forget_counts(watcher, queue);
    if (queue->passing && queue->view != NULL) {
        ptq_view_close(queue->view);
        queue->view = NULL;
    }
    queue->good = good;
    watcher->rows_changed |= good != was_good;
    return good;
}
