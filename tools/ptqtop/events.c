/* events.c -- what happened: differences between two looks that are worth a line.  The last ones are kept. */
#include <stdarg.h>
#include <string.h>

#include "columns.h"
#include "common/report.h"
#include "watch.h"

typedef unsigned long long ull;

static struct event *last_event(struct watcher *watcher)
{
    return &watcher->frame.events.list[(watcher->frame.events.count - 1) % EVENTS];
}

void event_add(struct watcher *watcher, enum event_weight weight, const char *subject, const char *format, ...)
{
    struct events *events = &watcher->frame.events;
    struct event *event = &events->list[events->count++ % EVENTS];
    va_list arguments;

    event->unix_ms = watcher->frame.unix_ms;
    event->weight = weight;
    event->kind = format;
    event->amount = 0;
    snprintf(event->subject, sizeof event->subject, "%s", subject);
    va_start(arguments, format);
    vsnprintf(event->text, sizeof event->text, format, arguments);
    va_end(arguments);
}

/* -- of a queue -------------------------------------------------------------------------------------------------- */

static bool is_full(const struct ptq_queue_stats *stats)
{
    return stats->capacity > 0 && stats->ready >= stats->capacity;
}

static void tell_losses(struct watcher *watcher, const char *name, const struct ptq_queue_stats *before, const struct ptq_queue_stats *now)
{
    for (unsigned i = 0; i < PTQ_DROPS; i++) {
        uint64_t count = now->dropped_by[i] - before->dropped_by[i];
        if (now->dropped_by[i] <= before->dropped_by[i])
            continue;
        event_add(watcher, i == PTQ_DROP_PURGED ? EVENT_PLAIN : EVENT_ALARM, name, "%llu dropped: %s", (ull)count, tool_drop_words[i]);
        last_event(watcher)->amount = count;
        last_event(watcher)->kind = tool_drop_words[i];
    }
    if (now->dead > before->dead)
        event_add(watcher, EVENT_ALARM, name, "%llu became dead letters", (ull)(now->dead - before->dead));
    if (now->redelivered <= before->redelivered)
        return;
    event_add(watcher, EVENT_WARN, name, "%llu delivered again", (ull)(now->redelivered - before->redelivered));
    last_event(watcher)->amount = now->redelivered - before->redelivered;
}

static void tell_people(struct watcher *watcher, const char *name, const struct ptq_queue_stats *before, const struct ptq_queue_stats *now)
{
    if (now->dead_endpoints > before->dead_endpoints)
        event_add(watcher, EVENT_ALARM, name, "%u died with it open", now->dead_endpoints - before->dead_endpoints);
    if (now->recovered > before->recovered)
        event_add(watcher, EVENT_WARN, name, "recovered after %llu death%s", (ull)(now->recovered - before->recovered),
                  now->recovered - before->recovered == 1 ? "" : "s");
    if (now->producers != before->producers)
        event_add(watcher, EVENT_PLAIN, name, "%u producer%s, before %u", now->producers, now->producers == 1 ? "" : "s", before->producers);
    if (now->consumers != before->consumers)
        event_add(watcher, EVENT_PLAIN, name, "%u consumer%s, before %u", now->consumers, now->consumers == 1 ? "" : "s", before->consumers);
}

void events_of_queue(struct watcher *watcher, const struct watched *queue)
{
    const struct ptq_queue_stats *before = &queue->before, *now = &queue->row.stats;
    const char *name = queue->row.name;

    tell_losses(watcher, name, before, now);
    tell_people(watcher, name, before, now);
    if (is_full(now) != is_full(before))
        event_add(watcher, is_full(now) ? EVENT_WARN : EVENT_PLAIN, name, is_full(now) ? "is full" : "is not full any more");
    if (now->paused != before->paused)
        event_add(watcher, EVENT_WARN, name, now->paused ? "paused" : "resumed");
    if (now->ended && !before->ended)
        event_add(watcher, EVENT_PLAIN, name, "ended");
}
