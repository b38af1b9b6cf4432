/* write.c -- what --allow-write allows, each after a question: purging and pausing the queue that the cursor is on. */
#include <stdio.h>

#include "screen.h"

void wish_for(struct screen *screen, enum wish wish)
{
    const struct row *row = selected_row(screen);

    if (!top_options.allow_write)
        snprintf(screen->said, sizeof screen->said, "ptqtop only reads: start it with --allow-write");
    else if (row == NULL || (top_options.view != VIEW_QUEUES && screen->cover != COVER_DETAIL))
        return;
    else if (row->is_pool || row->info.window != 0 || row->unread)
        snprintf(screen->said, sizeof screen->said, "%.100s is not to be purged or paused: it is of a pool, or not a queue here", row->name);
    else
        screen->wish = wish;
}

static enum ptq_err do_it(struct screen *screen, const struct row *row, uint64_t *ret_count)
{
    char name[PTQ_NAME_MAX + 320];
    struct ptq_queue_options options = {.mode = PTQ_ATTACH};
    ptq_queue *queue = NULL;

    snprintf(name, sizeof name, "%s%s%s", row->name, screen->watcher->away != NULL ? "@" : "",
             screen->watcher->away != NULL ? screen->frame->links.rows[0].name : "");
    enum ptq_err err = ptq_queue_open(screen->watcher->bus, name, &options, &queue);
    if (err == PTQ_OK && screen->wish == WISH_PURGE)
        err = ptq_queue_purge(queue, ret_count);
    else if (err == PTQ_OK)
        err = ptq_queue_pause(queue, !row->stats.paused);
    ptq_queue_close(queue);
    return err;
}

void answer_wish(struct screen *screen, int key)
{
    const struct row *row = selected_row(screen);
    uint64_t count = 0;

    if (key == KEY_RESIZE)
        return;
    if ((key == 'y' || key == 'Y') && row != NULL) {
        enum ptq_err err = do_it(screen, row, &count);
        if (err != PTQ_OK)
            snprintf(screen->said, sizeof screen->said, "%.100s: cannot %s it: %s", row->name, screen->wish == WISH_PURGE ? "purge" : "pause",
                     ptq_strerror(err));
        else if (screen->wish == WISH_PURGE)
            snprintf(screen->said, sizeof screen->said, "%.100s: %llu purged", row->name, (unsigned long long)count);
        else
            snprintf(screen->said, sizeof screen->said, "%.100s: %s", row->name, row->stats.paused ? "resumed" : "paused");
        screen->anew = true;
    }
    screen->wish = WISH_NOTHING;
}
