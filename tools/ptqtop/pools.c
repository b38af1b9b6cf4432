/* pools.c -- a pool as a row: its jobs and its results together, and who holds the ticket that is to come out next. */
#include <stdlib.h>
#include <string.h>

#include "common/report.h"
#include "watch.h"

bool name_pool(const struct watched *jobs, char name[PTQ_NAME_MAX + 1])
{
    size_t stem = strlen(jobs->row.name);

    if (stem < 6 || jobs->row.info.window == 0 || jobs->row.info.placed || strcmp(jobs->row.name + stem - 5, ".jobs") != 0)
        return false;
    snprintf(name, PTQ_NAME_MAX + 1, "%.*s", (int)(stem - 5), jobs->row.name);
    return true;
}

/* For how long it has held it: since it was seen first, or as its worker says, who is asked only where the head does not move. */
static void find_age(struct watcher *watcher, const struct watched *jobs, int32_t pid_before, struct row *row)
{
    int64_t said;

    if (row->holder_pid == 0)
        return;
    bool same = row->holder_pid == pid_before && row->holder_sequence == row->sequence;
    bool ask = same ? !row->holder_asked : watcher->frame.number == 1;
    if (!same)
        row->holder_since = jobs->at;
    row->holder_sequence = row->sequence;
    row->holder_asked = same || ask;
    if (ask && workers_have(&watcher->frame.workers, watcher->bus, &jobs->row.info, row->sequence, &said) &&
        jobs->at - said < row->holder_since)
        row->holder_since = jobs->at - said;
    row->holder_ns = jobs->at - row->holder_since;
}

/* The one of jobs' endpoints that has leased it. */
static void find_holder(const struct watched *jobs, struct row *row)
{
    row->holder_pid = 0;
    for (size_t i = 0; i < jobs->people_count; i++) {
        const struct ptq_view_endpoint *one = &jobs->people[i];
        if (one->leased == 0 || one->oldest_position != row->sequence)
            continue;
        row->holder_pid = one->pid;
        row->holder_alive = one->alive;
        memcpy(row->holder_command, one->command, sizeof row->holder_command);
        row->holder_command[sizeof row->holder_command - 1] = '\0';
    }
}

static void add_up(struct row *row, const struct watched *jobs, const struct watched *done)
{
    const struct rates *in = &jobs->row.rates, *out = &done->row.rates;

    row->info = jobs->row.info;
    row->stats = jobs->row.stats;
    row->held = done->row.stats.ready;
    row->stats.bytes += done->row.stats.bytes;
    row->stats.dead += done->row.stats.dead;
    row->stats.redelivered += done->row.stats.redelivered;
    row->stats.recovered += done->row.stats.recovered;
    row->stats.dead_endpoints += done->row.stats.dead_endpoints;
    row->stats.acked = done->row.stats.acked;
    row->rates = (struct rates){.known = in->known && out->known,
                                .in = in->in,
                                .out = out->out,
                                .bytes = in->bytes,
                                .redelivered = in->redelivered + out->redelivered,
                                .dropped = in->dropped + out->dropped};
    row->wait_count = jobs->row.wait_count;
    row->p50_us = jobs->row.p50_us;
    row->p99_us = jobs->row.p99_us;
    row->overdue = jobs->row.overdue;
    row->get_waits = jobs->row.get_waits;
    row->put_waits = jobs->row.put_waits;
    row->unordered = !done->row.info.placed;
    row->sequence = row->unordered ? 0 : done->row.stats.head;
    row->stalled = done->at_before != 0 && tool_queue_depth(&jobs->row.stats) + tool_queue_depth(&done->row.stats) > 0 &&
                   done->row.stats.acked == done->before.acked;
}

static void lose_pool(struct watcher *watcher, struct watched *jobs)
{
    if (jobs->pool == NULL)
        return;
    free(jobs->pool->history);
    free(jobs->pool);
    jobs->pool = NULL;
    watcher->rows_changed = true;
}

void look_at_pool(struct watcher *watcher, struct watched *jobs)
{
    char name[PTQ_NAME_MAX + 1], results[PTQ_NAME_MAX + 6];

    if (!jobs->good || !name_pool(jobs, name)) {
        lose_pool(watcher, jobs);
        return;
    }
    snprintf(results, sizeof results, "%s.done", name);
    struct watched *done = watcher_find(watcher, results);
    if (done == NULL || !done->good) {
        lose_pool(watcher, jobs);
        return;
    }
    if (jobs->pool == NULL) {
        jobs->pool = calloc(1, sizeof *jobs->pool);
        if (jobs->pool == NULL)
            return;
        memcpy(jobs->pool->name, name, sizeof jobs->pool->name);
        jobs->pool->kind = "pool";
        jobs->pool->path = jobs->row.path;
        jobs->pool->is_pool = true;
        watcher->rows_changed = true;
    }
    add_up(jobs->pool, jobs, done);
    int32_t pid_before = jobs->pool->holder_pid;
    if (!jobs->pool->unordered)
        find_holder(jobs, jobs->pool);
    find_age(watcher, jobs, pid_before, jobs->pool);
    history_add(jobs->pool, watcher->frame.number);
}

void watcher_workers(struct watcher *watcher)
{
    char pool[PTQ_NAME_MAX + 1];

    workers_begin(&watcher->frame.workers);
    for (size_t i = 0; i < watcher->count; i++) {
        struct watched *jobs = watcher->queues[i];
        if (jobs->pool != NULL && name_pool(jobs, pool) && passes_filter(pool))
            workers_look(&watcher->frame.workers, watcher->bus, pool, &jobs->row.info, clock_ns(CLOCK_MONOTONIC));
    }
}
