/* list.c -- which queues there are: those of the directory, and what is kept of those that were there before.
 *
 * The directory is read only if it has changed.  Outboxes are queues too, and so are, without figures, those of another layout.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "away.h"
#include "watch.h"

#define SETTLED_NS 100000000 /* the clock of files stands still for some milliseconds at a time */

void watched_free(struct watcher *watcher, struct watched *queue)
{
    if (queue == NULL)
        return;
    forget_queue(watcher, queue);
    free(queue->row.history);
    if (queue->pool != NULL)
        free(queue->pool->history);
    free(queue->pool);
    free(queue->base_waits);
    free(queue->people);
    free(queue);
}

static int compare_name(const void *key, const void *one)
{
    return strcmp(key, (*(struct watched *const *)one)->row.name);
}

static int compare_watched(const void *a, const void *b)
{
    return strcmp((*(struct watched *const *)a)->row.name, (*(struct watched *const *)b)->row.name);
}

struct watched *watcher_find(const struct watcher *watcher, const char *name)
{
    struct watched **found = watcher->known == 0 ? NULL : bsearch(name, watcher->queues, watcher->known, sizeof *watcher->queues, compare_name);

    return found != NULL ? *found : NULL;
}

static bool make_room(struct watcher *watcher)
{
    if (watcher->count < watcher->room)
        return true;
    size_t room = watcher->room == 0 ? 64 : 2 * watcher->room;
    struct watched **queues = realloc(watcher->queues, room * sizeof(*queues));
    if (queues == NULL)
        return false;
    watcher->queues = queues;
    watcher->room = room;
    return true;
}

/* The one of that name, new or not; NULL: no memory. */
static struct watched *note(struct watcher *watcher, const char *name)
{
    struct watched *queue = watcher_find(watcher, name);

    if (queue == NULL) {
        queue = make_room(watcher) ? calloc(1, sizeof *queue) : NULL;
        if (queue == NULL) {
            watcher->failed = true;
            return NULL;
        }
        snprintf(queue->row.name, sizeof queue->row.name, "%s", name);
        queue->row.kind = "queue";
        queue->row.path = watcher->away != NULL ? "link" : "shm";
        watcher->queues[watcher->count++] = queue;
        watcher->rows_changed = true;
    }
    queue->seen = true;
    return queue;
}

static bool note_name(const char *name, void *context)
{
    return note(context, name) != NULL;
}

static bool note_other(const char *name, int layout, void *context)
{
    char unique[PTQ_NAME_MAX + 1];

    snprintf(unique, sizeof unique, "%.100s (layout %d)", name, layout); /* one of the same name may be of ours */
    struct watched *queue = note(context, unique);
    if (queue == NULL)
        return false;
    queue->row.kind = "other";
    queue->skewed = queue->row.skewed = queue->row.unread = true;
    snprintf(queue->row.note, sizeof queue->row.note, "its memory has layout %d, ours is %d", layout, PTQ_LAYOUT_VERSION);
    return true;
}

static bool note_outbox(const struct ptq_outbox *outbox, void *context)
{
    struct watcher *watcher = context;
    struct watched *queue = note(watcher, outbox->name);

    watcher->has_outboxes = true;
    if (queue == NULL)
        return false;
    queue->row.kind = "outbox";
    queue->row.path = "link";
    queue->row.down = !outbox->carried;
    snprintf(queue->row.note, sizeof queue->row.note, "%.299s", outbox->target);
    return true;
}

static enum ptq_err list_all(struct watcher *watcher)
{
    if (watcher->away != NULL)
        return away_list(watcher->away, note_name, watcher);
    enum ptq_err err = ptq_bus_list(watcher->bus, note_name, watcher);
    if (err == PTQ_OK)
        err = ptq_bus_list_other(watcher->bus, note_other, watcher);
    watcher->has_outboxes = false;
    if (err == PTQ_OK)
        err = ptq_bus_list_outboxes(watcher->bus, note_outbox, watcher);
    return err != PTQ_OK ? err : watcher->failed ? PTQ_ENOMEM : PTQ_OK;
}

static void drop_unseen(struct watcher *watcher)
{
    size_t kept = 0;

    for (size_t i = 0; i < watcher->count; i++) {
        struct watched *queue = watcher->queues[i];
        if (queue->seen) {
            watcher->queues[kept++] = queue;
            continue;
        }
        if (queue->good)
            event_add(watcher, EVENT_PLAIN, queue->row.name, "removed");
        watcher->frame.dropped -= queue->row.stats.dropped;
        watcher->frame.recovered -= queue->row.stats.recovered;
        watcher->frame.memory_used -= queue->row.stats.bytes;
        watched_free(watcher, queue);
        watcher->rows_changed = watcher->people_changed = true;
    }
    watcher->count = kept;
    if (kept > 1)
        qsort(watcher->queues, kept, sizeof *watcher->queues, compare_watched);
    watcher->known = kept;
}

void list_forget(struct watcher *watcher)
{
    for (size_t i = 0; i < watcher->count; i++)
        watcher->queues[i]->seen = false;
    drop_unseen(watcher);
    watcher->listed_mtime_ns = 0;
}

/* Is the directory as it was when it was listed? */
static bool is_same(struct watcher *watcher)
{
    struct stat status;

    if (watcher->away != NULL || stat(watcher->frame.dir, &status) != 0)
        return false;
    int64_t changed = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
    bool same = changed == watcher->listed_mtime_ns;
    watcher->listed_mtime_ns = clock_ns(CLOCK_REALTIME) - changed > SETTLED_NS ? changed : 0;
    return same && watcher->listed_mtime_ns != 0;
}

enum ptq_err list_queues(struct watcher *watcher)
{
    if (is_same(watcher))
        return watcher->has_outboxes ? ptq_bus_list_outboxes(watcher->bus, note_outbox, watcher) : PTQ_OK;
    for (size_t i = 0; i < watcher->count; i++)
        watcher->queues[i]->seen = false;
    watcher->failed = false;
    watcher->known = watcher->count;
    enum ptq_err err = list_all(watcher);
    if (err != PTQ_OK)
        watcher->listed_mtime_ns = 0;
    if (err != PTQ_OK && watcher->frame.number > 1)
        return err;
    drop_unseen(watcher);
    return err;
}
