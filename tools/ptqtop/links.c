/* links.c -- the other hosts that this bus knows, and what waits to be carried there.
 *
 * What the ptqbridge of this host has published costs the reading of a file.  Round trips are asked for, by a thread of ours, only
 * while somebody looks at them.
 */
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "away.h"
#include "columns.h"
#include "common/text.h"
#include "watch.h"

void links_fini(struct links *links)
{
    free(links->rows);
    free(links->before);
    *links = (struct links){0};
}

static void begin(struct links *links, int64_t now)
{
    struct link_row *rows = links->before;
    size_t room = links->before_room;

    links->before = links->rows;
    links->before_count = links->count;
    links->before_room = links->room;
    links->rows = rows;
    links->room = room;
    links->count = 0;
    links->up = links->down = 0;
    links->at_before = links->at;
    links->at = now;
}

static struct link_row *add_row(struct links *links)
{
    if (links->count == links->room) {
        size_t room = links->room == 0 ? 8 : 2 * links->room;
        struct link_row *rows = realloc(links->rows, room * sizeof *rows);
        if (rows == NULL)
            return NULL;
        links->rows = rows;
        links->room = room;
    }
    struct link_row *row = &links->rows[links->count++];
    *row = (struct link_row){.kind = "peer"};
    return row;
}

static const struct link_row *find_before(const struct links *links, const struct link_row *row)
{
    for (size_t i = 0; i < links->before_count; i++)
        if (strcmp(links->before[i].name, row->name) == 0 && strcmp(links->before[i].url, row->url) == 0 &&
            links->before[i].kind == row->kind)
            return &links->before[i];
    return NULL;
}

static void tell(struct watcher *watcher, const struct link_row *row)
{
    const struct link_row *before = find_before(&watcher->frame.links, row);
    bool changed = before != NULL && before->known && row->known && before->up != row->up;

    if (row->known && !row->shares_link && row->up)
        watcher->frame.links.up++;
    else if (row->known && !row->shares_link)
        watcher->frame.links.down++;
    if (changed && row->up)
        event_add(watcher, EVENT_PLAIN, row->name, "link up: %s", row->url);
    else if (changed)
        event_add(watcher, EVENT_ALARM, row->name, "link down: %s", row->why[0] != '\0' ? row->why : row->url);
}

static bool note_peer(const struct ptq_peer *peer, void *context)
{
    struct watcher *watcher = context;
    struct link_row *row = add_row(&watcher->frame.links);
    char url[256];

    if (row == NULL)
        return false;
    snprintf(row->name, sizeof row->name, "%s", peer->node);
    snprintf(row->url, sizeof row->url, "%s", tool_hide_user(peer->url, url, sizeof url));
    row->known = peer->watched;
    row->up = peer->watched_up;
    row->since_unix_ms = peer->watched_since_ms;
    row->queues = peer->queue_count;
    asker_look_up(watcher->asker, row);
    tell(watcher, row);
    return true;
}

static const struct link_row *find_peer(const struct links *links, const char *url)
{
    for (size_t i = 0; i < links->count; i++)
        if (strcmp(links->rows[i].kind, "peer") == 0 && strcmp(links->rows[i].url, url) == 0)
            return &links->rows[i];
    return NULL;
}

/* Why what is in it does not move; "": it does. */
static void say_why(const struct ptq_outbox *outbox, const struct watched *queue, struct link_row *row)
{
    char why[400] = "";

    if (queue != NULL && queue->good && queue->row.stats.consumers == 0)
        snprintf(why, sizeof why, "no ptqbridge carries it");
    else if (!outbox->carried)
        snprintf(why, sizeof why, "waits for its home");
    else if (outbox->why[0] != '\0')
        snprintf(why, sizeof why, "waits: %.300s", outbox->why);
    snprintf(row->why, sizeof row->why, "%.159s", why);
}

static bool note_outbox(const struct ptq_outbox *outbox, void *context)
{
    struct watcher *watcher = context;
    struct link_row *row = add_row(&watcher->frame.links);
    char url[256];

    if (row == NULL)
        return false;
    row->kind = "outbox";
    snprintf(row->name, sizeof row->name, "%s", outbox->target);
    snprintf(row->url, sizeof row->url, "%s", tool_hide_user(outbox->url, url, sizeof url));
    row->shares_link = find_peer(&watcher->frame.links, row->url) != NULL;
    row->known = true;
    row->up = outbox->carried;
    row->moved = outbox->moved;
    row->refused = outbox->refused;
    const struct watched *queue = watcher_find(watcher, outbox->name);
    if (queue != NULL && queue->good)
        row->waiting = row_depth(&queue->row);
    say_why(outbox, queue, row);
    double seconds = (double)(watcher->frame.links.at - watcher->frame.links.at_before) / 1e9;
    const struct link_row *before = find_before(&watcher->frame.links, row);
    row->has_rate = before != NULL && seconds > 0;
    if (row->has_rate)
        row->rate = rate_of(row->moved, before->moved, seconds);
    tell(watcher, row);
    return true;
}

void links_look(struct watcher *watcher)
{
    begin(&watcher->frame.links, watcher->frame.ns);
    if (watcher->away != NULL) {
        struct link_row *row = add_row(&watcher->frame.links);
        if (row != NULL) {
            away_link(watcher->away, row);
            tell(watcher, row);
        }
        return;
    }
    if (top_options.view == VIEW_LINKS && watcher->asker == NULL)
        watcher->asker = asker_new(watcher->bus);
    asker_want(watcher->asker, top_options.view == VIEW_LINKS);
    if (ptq_bus_watched_peers(watcher->bus, note_peer, watcher) != PTQ_OK)
        return;
    if (watcher->has_outboxes && ptq_bus_list_outboxes(watcher->bus, note_outbox, watcher) != PTQ_OK)
        return;
}
