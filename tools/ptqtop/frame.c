/* frame.c -- what is seen of a bus at one moment, and the rates since the moment before.
 *
 * Views stay open from frame to frame, so that a look costs a read of each queue's counters and no system call.  Nothing here
 * takes a message or holds a lock.
 */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "common/report.h"
#include "common/say.h"
#include "top.h"

/* A queue and what it was in the frame before. */
struct watched {
    char name[PTQ_NAME_MAX + 1];
    ptq_view *view; /* NULL: it could not be opened */
    struct ptq_view_info info;
    struct ptq_queue_stats stats, before;
    int64_t at, at_before; /* monotonic ns; 0: never */
    bool seen;             /* in this frame's list */
};

struct watcher {
    ptq_bus *bus;
    struct watched *queues; /* owned, by name */
    size_t count, room;
    size_t known;           /* while listing: the sorted ones from the frame before */
    struct ptq_view_endpoint *endpoints; /* owned: scratch */
    size_t endpoint_room;
    int32_t *pids;          /* owned: scratch; a dead one is negative */
    size_t pid_count, pid_room;
    struct frame frame;
    bool looked, failed;
};

static int64_t now_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* -- the list ------------------------------------------------------------------------------------------------- */

static int compare_watched(const void *a, const void *b)
{
    return strcmp(((const struct watched *)a)->name, ((const struct watched *)b)->name);
}

static struct watched *find_watched(const struct watcher *watcher, const char *name, size_t count)
{
    struct watched key;

    snprintf(key.name, sizeof key.name, "%s", name);
    return count == 0 ? NULL : bsearch(&key, watcher->queues, count, sizeof key, compare_watched);
}

static bool note_name(const char *name, void *context)
{
    struct watcher *watcher = context;

    struct watched *known = find_watched(watcher, name, watcher->known);
    if (known != NULL) {
        known->seen = true;
        return true;
    }
    if (watcher->count == watcher->room) {
        size_t room = watcher->room == 0 ? 64 : 2 * watcher->room;
        struct watched *queues = realloc(watcher->queues, room * sizeof *queues);
        if (queues == NULL)
            return !(watcher->failed = true);
        watcher->queues = queues;
        watcher->room = room;
    }
    struct watched *fresh = &watcher->queues[watcher->count++];
    *fresh = (struct watched){.seen = true};
    snprintf(fresh->name, sizeof fresh->name, "%s", name);
    return true;
}

static enum ptq_err list_queues(struct watcher *watcher)
{
    size_t kept = 0;

    for (size_t i = 0; i < watcher->count; i++)
        watcher->queues[i].seen = false;
    watcher->known = watcher->count;
    watcher->failed = false;
    enum ptq_err err = ptq_bus_list(watcher->bus, note_name, watcher);
    if (err != PTQ_OK || watcher->failed)
        return err != PTQ_OK ? err : PTQ_ENOMEM;
    for (size_t i = 0; i < watcher->count; i++) {
        if (watcher->queues[i].seen)
            watcher->queues[kept++] = watcher->queues[i];
        else
            ptq_view_close(watcher->queues[i].view);
    }
    watcher->count = kept;
    if (kept > 1)
        qsort(watcher->queues, kept, sizeof *watcher->queues, compare_watched);
    return PTQ_OK;
}

/* -- one queue ------------------------------------------------------------------------------------------------ */

static void forget_queue(struct watched *queue)
{
    ptq_view_close(queue->view);
    queue->view = NULL;
    queue->at = queue->at_before = 0;
}

static bool read_queue(struct watcher *watcher, struct watched *queue)
{
    struct ptq_queue_stats stats;

    if (queue->view == NULL && ptq_view_open(watcher->bus, queue->name, NULL, &queue->view) != PTQ_OK)
        return false;
    if (ptq_view_info(queue->view, &queue->info) != PTQ_OK || ptq_view_stats(queue->view, &stats) != PTQ_OK)
        return false;
    queue->before = queue->stats;
    queue->at_before = queue->at;
    queue->stats = stats;
    queue->at = now_ns(CLOCK_MONOTONIC);
    return true;
}

/* A queue that was removed and made again under its name is a new one. */
static bool look_at_queue(struct watcher *watcher, struct watched *queue)
{
    bool good = read_queue(watcher, queue);

    if (good && !queue->stats.removed)
        return true;
    forget_queue(queue);
    good = read_queue(watcher, queue);
    if (!good)
        forget_queue(queue);
    return good;
}

static size_t read_endpoints(struct watcher *watcher, struct watched *queue)
{
    size_t need = queue->info.max_endpoints;
    size_t count = 0;

    if (need > watcher->endpoint_room) {
        struct ptq_view_endpoint *endpoints = realloc(watcher->endpoints, need * sizeof *endpoints);
        if (endpoints == NULL)
            return 0;
        watcher->endpoints = endpoints;
        watcher->endpoint_room = need;
    }
    if (queue->view == NULL || ptq_view_endpoints(queue->view, watcher->endpoints, need, &count) != PTQ_OK)
        return 0;
    return count < need ? count : need;
}

static void note_pids(struct watcher *watcher, size_t count)
{
    if (watcher->pid_count + count > watcher->pid_room) {
        size_t room = 2 * watcher->pid_room + count;
        int32_t *pids = realloc(watcher->pids, room * sizeof *pids);
        if (pids == NULL)
            return;
        watcher->pids = pids;
        watcher->pid_room = room;
    }
    for (size_t i = 0; i < count; i++) {
        const struct ptq_view_endpoint *one = &watcher->endpoints[i];
        watcher->pids[watcher->pid_count++] = one->alive ? one->pid : -one->pid;
    }
}

static int compare_pids(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a;
    int32_t y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

static void count_processes(struct watcher *watcher)
{
    struct frame *frame = &watcher->frame;

    frame->processes_alive = frame->processes_dead = 0;
    if (watcher->pid_count > 1)
        qsort(watcher->pids, watcher->pid_count, sizeof *watcher->pids, compare_pids);
    for (size_t i = 0; i < watcher->pid_count; i++) {
        if (i > 0 && watcher->pids[i] == watcher->pids[i - 1])
            continue;
        if (watcher->pids[i] < 0)
            frame->processes_dead++;
        else
            frame->processes_alive++;
    }
}

/* -- rows ----------------------------------------------------------------------------------------------------- */

static double rate(uint64_t now, uint64_t before, double seconds)
{
    return now >= before ? (double)(now - before) / seconds : 0;
}

static struct rates make_rates(const struct watched *queue)
{
    double seconds = (double)(queue->at - queue->at_before) / 1e9;

    if (queue->at_before == 0 || !(seconds > 0))
        return (struct rates){0};
    return (struct rates){.known = true,
                          .in = rate(queue->stats.put, queue->before.put, seconds),
                          .out = rate(queue->stats.acked, queue->before.acked, seconds),
                          .bytes = rate(queue->stats.bytes_put, queue->before.bytes_put, seconds),
                          .redelivered = rate(queue->stats.redelivered, queue->before.redelivered, seconds)};
}

static bool passes_filter(const char *name)
{
    const char *filter = top_options.filter;

    return filter == NULL || filter[0] == '\0' || strstr(name, filter) != NULL || fnmatch(filter, name, 0) == 0;
}

static struct row *add_row(struct frame *frame)
{
    if (frame->count == frame->room) {
        size_t room = frame->room == 0 ? 64 : 2 * frame->room;
        struct row *rows = realloc(frame->rows, room * sizeof *rows);
        if (rows == NULL)
            return NULL;
        frame->rows = rows;
        frame->room = room;
    }
    struct row *row = &frame->rows[frame->count++];
    *row = (struct row){0};
    return row;
}

static void add_queue_row(struct frame *frame, const struct watched *queue)
{
    struct row *row = add_row(frame);

    if (row == NULL)
        return;
    snprintf(row->name, sizeof row->name, "%s", queue->name);
    row->kind = tool_queue_kind(&queue->info);
    row->info = queue->info;
    row->stats = queue->stats;
    row->rates = make_rates(queue);
    row->stalled = queue->at_before != 0 && tool_queue_depth(&queue->before) > 0 && tool_queue_depth(&queue->stats) > 0 &&
                   queue->stats.acked == queue->before.acked;
}

/* The whole bus, whatever the filter. */
static void add_total(struct frame *frame, const struct watched *queue)
{
    struct rates rates = make_rates(queue);

    frame->dropped += queue->stats.dropped;
    frame->recovered += queue->stats.recovered;
    frame->memory_used += queue->stats.bytes;
    frame->total.known |= rates.known;
    frame->total.in += rates.in;
    frame->total.out += rates.out;
    frame->total.bytes += rates.bytes;
}

/* The one of jobs' endpoints that has leased the ticket which is to come out next. */
static void find_holder(struct watcher *watcher, struct watched *jobs, struct row *row)
{
    size_t count = read_endpoints(watcher, jobs);

    for (size_t i = 0; i < count; i++) {
        const struct ptq_view_endpoint *one = &watcher->endpoints[i];
        if (one->leased == 0 || one->oldest_position != row->sequence)
            continue;
        row->holder_pid = one->pid;
        row->holder_alive = one->alive;
        memcpy(row->holder_command, one->command, sizeof row->holder_command);
        row->holder_command[sizeof row->holder_command - 1] = '\0';
    }
}

/* NAME of NAME.jobs, whose results are in NAME.done; false: it is something else. */
static bool name_pool(const struct watched *jobs, char name[PTQ_NAME_MAX + 1])
{
    size_t stem = strlen(jobs->name);

    if (stem < 6 || strcmp(jobs->name + stem - 5, ".jobs") != 0 || jobs->info.window == 0 || jobs->info.placed)
        return false;
    snprintf(name, PTQ_NAME_MAX + 1, "%.*s", (int)(stem - 5), jobs->name);
    return true;
}

static void add_pool_row(struct watcher *watcher, struct watched *jobs)
{
    char name[PTQ_NAME_MAX + 1], results[PTQ_NAME_MAX + 6];
    struct row *row;

    if (!name_pool(jobs, name))
        return;
    snprintf(results, sizeof results, "%s.done", name);
    struct watched *done = find_watched(watcher, results, watcher->count);
    if (done == NULL || done->view == NULL || !passes_filter(name))
        return;
    row = add_row(&watcher->frame);
    if (row == NULL)
        return;
    memcpy(row->name, name, sizeof row->name);
    row->kind = "pool";
    row->is_pool = true;
    row->unordered = !done->info.placed;
    row->info = jobs->info;
    row->stats = jobs->stats;
    row->held = done->stats.ready;
    row->stats.bytes += done->stats.bytes;
    row->stats.dead += done->stats.dead;
    row->stats.redelivered += done->stats.redelivered;
    row->stats.recovered += done->stats.recovered;
    row->stats.dead_endpoints += done->stats.dead_endpoints;
    row->stats.acked = done->stats.acked;
    row->sequence = row->unordered ? 0 : done->stats.head;
    struct rates in = make_rates(jobs);
    struct rates out = make_rates(done);
    row->rates = (struct rates){.known = in.known && out.known,
                                .in = in.in,
                                .out = out.out,
                                .bytes = in.bytes,
                                .redelivered = in.redelivered + out.redelivered};
    row->stalled = done->at_before != 0 && tool_queue_depth(&jobs->stats) + tool_queue_depth(&done->stats) > 0 &&
                   done->stats.acked == done->before.acked;
    if (!row->unordered)
        find_holder(watcher, jobs, row);
}

/* -- the frame ------------------------------------------------------------------------------------------------ */

static void begin_frame(struct watcher *watcher)
{
    struct frame *frame = &watcher->frame;
    struct statvfs space;

    frame->unreadable = 0;
    frame->first = !watcher->looked;
    frame->total = (struct rates){0};
    frame->dropped = frame->recovered = frame->memory_used = frame->memory_free = 0;
    frame->unix_ms = now_ns(CLOCK_REALTIME) / 1000000;
    frame->queues = (unsigned)watcher->count;
    if (statvfs(frame->dir, &space) == 0)
        frame->memory_free = (uint64_t)space.f_bavail * space.f_frsize;
    watcher->pid_count = 0;
    watcher->looked = true;
}

static void look_at_workers(struct watcher *watcher, const struct watched *queue)
{
    char pool[PTQ_NAME_MAX + 1];

    if (top_options.workers && name_pool(queue, pool) && passes_filter(pool))
        workers_look(&watcher->frame.workers, watcher->bus, pool, &queue->info, queue->at);
}

enum ptq_err watcher_look(struct watcher *watcher, const struct frame **ret_frame)
{
    enum ptq_err err = list_queues(watcher);

    if (err != PTQ_OK)
        return err;
    begin_frame(watcher);
    workers_begin(&watcher->frame.workers);
    for (size_t i = 0; i < watcher->count; i++) {
        struct watched *queue = &watcher->queues[i];
        if (!look_at_queue(watcher, queue)) {
            watcher->frame.unreadable++;
            continue;
        }
        note_pids(watcher, read_endpoints(watcher, queue));
        look_at_workers(watcher, queue);
        add_total(&watcher->frame, queue);
    }
    count_processes(watcher);
    watcher_arrange(watcher);
    *ret_frame = &watcher->frame;
    return PTQ_OK;
}

void watcher_arrange(struct watcher *watcher)
{
    watcher->frame.count = 0;
    for (size_t i = 0; i < watcher->count; i++) {
        struct watched *queue = &watcher->queues[i];
        if (queue->view != NULL && passes_filter(queue->name))
            add_queue_row(&watcher->frame, queue);
        if (queue->view != NULL)
            add_pool_row(watcher, queue);
    }
    top_sort(&watcher->frame, top_options.sort, top_options.reverse);
}

size_t watcher_endpoints(struct watcher *watcher, const char *name, struct ptq_view_endpoint *endpoints, size_t most)
{
    struct watched *queue = find_watched(watcher, name, watcher->count);
    size_t count = queue == NULL ? 0 : read_endpoints(watcher, queue);

    count = count < most ? count : most;
    if (count > 0)
        memcpy(endpoints, watcher->endpoints, count * sizeof *endpoints);
    return count;
}

int watcher_open(struct watcher **ret_watcher)
{
    struct watcher *watcher = calloc(1, sizeof *watcher);
    struct ptq_error error = {0};
    struct ptq_bus_options options = {.dir = top_options.dir, .error = &error};

    if (watcher == NULL)
        return tool_fail(PTQ_ENOMEM, NULL, "out of memory");
    enum ptq_err err = ptq_bus_open(top_options.run, &options, &watcher->bus);
    if (err != PTQ_OK) {
        free(watcher);
        return tool_fail(err, NULL, "cannot open the bus: %s", error.text[0] != '\0' ? error.text : ptq_strerror(err));
    }
    gethostname(watcher->frame.host, sizeof watcher->frame.host - 1);
    snprintf(watcher->frame.dir, sizeof watcher->frame.dir, "%s", ptq_bus_path(watcher->bus));
    snprintf(watcher->frame.run, sizeof watcher->frame.run, "%s", ptq_bus_run(watcher->bus));
    *ret_watcher = watcher;
    return TOOL_OK;
}

void watcher_close(struct watcher *watcher)
{
    if (watcher == NULL)
        return;
    for (size_t i = 0; i < watcher->count; i++)
        ptq_view_close(watcher->queues[i].view);
    free(watcher->queues);
    free(watcher->endpoints);
    free(watcher->pids);
    free(watcher->frame.rows);
    workers_fini(&watcher->frame.workers);
    ptq_bus_close(watcher->bus);
    free(watcher);
}
