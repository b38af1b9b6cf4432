/* screen_none.c -- ptqtop built without ncurses: it prints, it does not draw. */
#include "top.h"

bool screen_possible(void)
{
    return false;
}

int screen_run(struct watcher *watcher)
{
    (void)watcher;
    return -1;
}
