/* watch.c -- a bus that is watched: a frame is made of looks at its queues, filtered and sorted.
 *
 * Views stay open from frame to frame.  On a screen with thousands of queues, a frame looks fully at those that are shown, those that
 * moved, and some others by turns; so what costs is what happens, not what is there.
 */
#include "watch.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "ask.h"
#include "away.h"
#include "columns.h"
#include "common/say.h"

#define ALL_AT_ONCE 300 /* so many queues are looked at fully in each frame */
#define BY_TURNS 100    /* of more, so many that stand still */
#define FILES_LEFT 64   /* descriptors for everything but views */

int64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

double rate_of(uint64_t now, uint64_t before, double seconds)
{
    return now >= before ? (double)(now - before) / seconds : 0;
}

/* -- processes, counted ------------------------------------------------------------------------------------------ */

static bool note_pids(struct watcher *watcher, const struct watched *queue)
{
    if (watcher->pid_count + queue->people_count > watcher->pid_room) {
        size_t room = 2 * watcher->pid_room + queue->people_count;
        int32_t *pids = realloc(watcher->pids, room * sizeof *pids);
        if (pids == NULL)
            return false;
        watcher->pids = pids;
        watcher->pid_room = room;
    }
    for (size_t i = 0; i < queue->people_count; i++)
        watcher->pids[watcher->pid_count++] = queue->people[i].alive ? queue->people[i].pid : -queue->people[i].pid;
    return true;
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
    watcher->pid_count = 0;
    for (size_t i = 0; i < watcher->count && note_pids(watcher, watcher->queues[i]); i++)
        ;
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
    watcher->people_changed = false;
}

/* -- rows ------------------------------------------------------------------------------------------------------ */

bool passes_filter(const char *name)
{
    const char *filter = top_options.filter;

    return filter == NULL || filter[0] == '\0' || strstr(name, filter) != NULL || fnmatch(filter, name, 0) == 0;
}

static void append(struct row ***rows, size_t *count, size_t *room, struct row *row)
{
    if (*count == *room) {
        size_t more = *room == 0 ? 64 : 2 * *room;
        struct row **grown = realloc(*rows, more * sizeof(*grown));
        if (grown == NULL)
            return;
        *rows = grown;
        *room = more;
    }
    (*rows)[(*count)++] = row;
}

static void add_row(struct frame *frame, struct row *row)
{
    if (!passes_filter(row->name) && !(row->note[0] != '\0' && passes_filter(row->note)))
        return;
    append(&frame->rows, &frame->count, &frame->room, row);
    if (row->is_pool)
        append(&frame->pools, &frame->pool_count, &frame->pool_room, row);
}

void watcher_arrange(struct watcher *watcher)
{
    const char *filter = top_options.filter != NULL ? top_options.filter : "";

    bool anew = watcher->rows_changed || strcmp(filter, watcher->filter) != 0;

    if (anew) {
        watcher->frame.count = watcher->frame.pool_count = 0;
        for (size_t i = 0; i < watcher->count; i++) {
            struct watched *queue = watcher->queues[i];
            if (queue->good || queue->row.unread)
                add_row(&watcher->frame, &queue->row);
            if (queue->pool != NULL)
                add_row(&watcher->frame, queue->pool);
        }
        snprintf(watcher->filter, sizeof watcher->filter, "%s", filter);
        watcher->rows_changed = false;
    }
    bool by_name = top_options.sort == COLUMN_QUEUE && watcher->sorted_by == COLUMN_QUEUE && watcher->sorted_reverse == top_options.reverse;
    if (anew || !by_name) /* names stay as they are */
        top_sort(&watcher->frame, top_options.sort, top_options.reverse);
    watcher->sorted_by = top_options.sort;
    watcher->sorted_reverse = top_options.reverse;
}

/* -- the frame --------------------------------------------------------------------------------------------------- */

static void begin_frame(struct watcher *watcher)
{
    struct frame *frame = &watcher->frame;
    struct statvfs space;

    frame->number++;
    frame->unreadable = 0;
    frame->total = (struct rates){.known = frame->number > 1};
    frame->unix_ms = clock_ns(CLOCK_REALTIME) / 1000000;
    frame->ns = clock_ns(CLOCK_MONOTONIC);
    frame->memory_free = 0;
    if (statvfs(frame->dir, &space) == 0)
        frame->memory_free = (uint64_t)space.f_bavail * space.f_frsize;
    frame->events.first_of_frame = frame->events.count;
}

static void want_shown(struct watcher *watcher)
{
    const struct frame *frame = &watcher->frame;
    char jobs[PTQ_NAME_MAX + 6];

    for (size_t i = watcher->shown_from; i < frame->count && i < watcher->shown_from + watcher->shown_count; i++) {
        snprintf(jobs, sizeof jobs, "%s%s", frame->rows[i]->name, frame->rows[i]->is_pool ? ".jobs" : "");
        struct watched *queue = watcher_find(watcher, jobs);
        if (queue != NULL)
            queue->wanted = true;
    }
}

static bool has_its_turn(const struct watcher *watcher, size_t i)
{
    return (i + watcher->count - watcher->turn) % watcher->count < BY_TURNS;
}

static void add_total(struct rates *total, const struct rates *rates)
{
    total->in += rates->in;
    total->out += rates->out;
    total->bytes += rates->bytes;
    total->redelivered += rates->redelivered;
    total->dropped += rates->dropped;
}

static void look_at_all(struct watcher *watcher)
{
    struct frame *frame = &watcher->frame;
    bool all = !watcher->thrifty || watcher->count <= ALL_AT_ONCE || watcher->base_at != 0;

    for (size_t i = 0; i < watcher->count; i++) {
        struct watched *queue = watcher->queues[i];
        bool full = all || queue->wanted || has_its_turn(watcher, i);
        queue->wanted = false;
        if (!look_at_queue(watcher, queue, full))
            frame->unreadable++;
        else if (queue->looked == frame->number)
            add_total(&frame->total, &queue->row.rates);
    }
    watcher->turn = watcher->count > 0 ? (watcher->turn + BY_TURNS) % watcher->count : 0;
    for (size_t i = 0; i < watcher->count; i++)
        if (watcher->queues[i]->pool != NULL || watcher->queues[i]->is_jobs)
            look_at_pool(watcher, watcher->queues[i]);
}

static void note_directory(struct watcher *watcher, const struct stat *now)
{
    watcher->device = (uint64_t)now->st_dev;
    watcher->inode = (uint64_t)now->st_ino;
}

/* Where the directory was removed and made again, the bus is the new one.  While there is none, none is made. */
static enum ptq_err follow(struct watcher *watcher)
{
    struct frame *frame = &watcher->frame;
    struct ptq_bus_options options = {.dir = top_options.dir};
    struct stat now;
    ptq_bus *bus;

    bool gone = stat(frame->dir, &now) != 0;
    if (gone && !frame->gone && watcher->away == NULL)
        event_add(watcher, EVENT_ALARM, frame->run, "the bus was removed");
    frame->gone = gone && watcher->away == NULL;
    if (gone || watcher->away != NULL || ((uint64_t)now.st_dev == watcher->device && (uint64_t)now.st_ino == watcher->inode))
        return PTQ_OK;
    enum ptq_err err = ptq_bus_open(top_options.run, &options, &bus);
    if (err != PTQ_OK)
        return err;
    event_add(watcher, EVENT_PLAIN, frame->run, "the bus was made anew");
    list_forget(watcher);
    asker_free(watcher->asker);
    watcher->asker = NULL;
    ptq_bus_close(watcher->bus);
    watcher->bus = bus;
    note_directory(watcher, &now);
    return PTQ_OK;
}

enum ptq_err watcher_look(struct watcher *watcher, const struct frame **ret_frame)
{
    begin_frame(watcher);
    want_shown(watcher); /* before the list: rows of what it drops are gone */
    enum ptq_err err = follow(watcher);
    if (err == PTQ_OK)
        err = list_queues(watcher);
    if (err != PTQ_OK) {
        links_look(watcher);
        return err;
    }
    watcher->frame.queues = (unsigned)watcher->count;
    look_at_all(watcher);
    if (watcher->people_changed)
        count_processes(watcher);
    links_look(watcher);
    if (top_options.view == VIEW_POOLS || top_options.view == VIEW_PROCESSES)
        watcher_workers(watcher);
    if (top_options.view == VIEW_PROCESSES)
        processes_look(watcher);
    watcher_arrange(watcher);
    *ret_frame = &watcher->frame;
    return PTQ_OK;
}

static void set_base(struct watched *queue, int64_t at)
{
    queue->base = queue->row.stats;
    queue->base_at = at;
    free(queue->base_waits);
    queue->base_waits = queue->view != NULL ? calloc(1, sizeof *queue->base_waits) : NULL;
    if (queue->base_waits != NULL && ptq_view_waits(queue->view, queue->base_waits) != PTQ_OK)
        memset(queue->base_waits, 0, sizeof *queue->base_waits);
}

void watcher_baseline(struct watcher *watcher, bool set)
{
    watcher->base_at = set ? clock_ns(CLOCK_MONOTONIC) : 0;
    watcher->frame.baseline_ms = set ? clock_ns(CLOCK_REALTIME) / 1000000 : 0;
    for (size_t i = 0; i < watcher->count; i++) {
        struct watched *queue = watcher->queues[i];
        if (set) {
            set_base(queue, queue->at != 0 ? queue->at : watcher->base_at);
            continue;
        }
        free(queue->base_waits);
        queue->base_waits = NULL;
        queue->base_at = 0;
        queue->mark = 0; /* its figures are of another time now */
    }
}

const char *watcher_why(struct watcher *watcher, enum ptq_err err)
{
    if (watcher->away != NULL && watcher->frame.links.count > 0 && watcher->frame.links.rows[0].why[0] != '\0')
        return watcher->frame.links.rows[0].why;
    return ptq_strerror(err);
}

/* -- life -------------------------------------------------------------------------------------------------------- */

/* A view keeps a descriptor.  Where there are not enough, some queues are opened in each look anew. */
static size_t most_views(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return 512;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0 && getrlimit(RLIMIT_NOFILE, &files) != 0)
        return 512;
    return files.rlim_cur > FILES_LEFT ? (size_t)(files.rlim_cur - FILES_LEFT) : 0;
}

int watcher_open(struct watcher **ret_watcher)
{
    struct watcher *watcher = calloc(1, sizeof *watcher);
    struct ptq_error error = {0};
    char peers[600];
    struct ptq_bus_options options = {.dir = top_options.dir, .error = &error};

    if (watcher == NULL)
        return tool_fail(PTQ_ENOMEM, NULL, "out of memory");
    if (top_options.peer != NULL) {
        snprintf(peers, sizeof peers, "%s=%s", AWAY_NODE, top_options.peer);
        options.peers = peers;
    }
    enum ptq_err err = ptq_bus_open(top_options.run, &options, &watcher->bus);
    if (err != PTQ_OK) {
        free(watcher);
        return tool_fail(err, NULL, "cannot open the bus: %s", error.text[0] != '\0' ? error.text : ptq_strerror(err));
    }
    if (top_options.peer != NULL && (watcher->away = away_new(watcher->bus)) == NULL) {
        watcher_close(watcher);
        return tool_fail(PTQ_ENOMEM, NULL, "out of memory");
    }
    gethostname(watcher->frame.host, sizeof watcher->frame.host - 1);
    snprintf(watcher->frame.dir, sizeof watcher->frame.dir, "%s", ptq_bus_path(watcher->bus));
    snprintf(watcher->frame.run, sizeof watcher->frame.run, "%s", ptq_bus_run(watcher->bus));
    struct stat made;
    if (stat(watcher->frame.dir, &made) == 0)
        note_directory(watcher, &made);
    watcher->open_most = most_views();
    *ret_watcher = watcher;
    return TOOL_OK;
}

bool watcher_is_busy(const struct watcher *watcher)
{
    return asker_is_busy(watcher->asker) || away_is_busy(watcher->away);
}

void watcher_close(struct watcher *watcher)
{
    if (watcher == NULL)
        return;
    asker_free(watcher->asker);
    away_free(watcher->away);
    for (size_t i = 0; i < watcher->count; i++)
        watched_free(watcher, watcher->queues[i]);
    free(watcher->queues);
    free(watcher->pids);
    free(watcher->frame.rows);
    free(watcher->frame.pools);
    workers_fini(&watcher->frame.workers);
    processes_fini(&watcher->frame.processes);
    links_fini(&watcher->frame.links);
    ptq_bus_close(watcher->bus);
    free(watcher);
}
