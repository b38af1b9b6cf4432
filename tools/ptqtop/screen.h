/* screen.h -- what drawing, keys and loop of the screen share. */
#ifndef PTQTOP_SCREEN_H
#define PTQTOP_SCREEN_H

#include <ncurses.h>

#include "top.h"

enum view { VIEW_QUEUES, VIEW_WORKERS, VIEW_DETAIL, VIEW_HELP };
enum paint { PAINT_HEAD = 1, PAINT_WARN, PAINT_ALARM, PAINT_DIM };
enum { ENDPOINTS_MAX = 2047 };

struct screen {
    struct watcher *watcher;
    const struct frame *frame;
    enum view view;
    size_t selected, top;            /* row, first row drawn */
    size_t top_worker;               /* the first that is drawn */
    int left;                        /* how far wide tables are scrolled, behind the first column */
    char selected_name[PTQ_NAME_MAX + 1];
    const char *selected_kind;
    char filter[PTQ_NAME_MAX + 1];
    bool typing;                     /* the filter is being typed */
    bool paused, colour, leave;
    bool anew;                       /* look at once: something else is to be shown */
    enum look look;
    uint64_t frames;
    struct ptq_view_endpoint *endpoints; /* owned */
};

void screen_draw(struct screen *screen);

/* true: the frame must be sorted or filtered anew. */
bool screen_key(struct screen *screen, int key);

#endif
