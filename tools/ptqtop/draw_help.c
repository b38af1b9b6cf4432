/* draw_help.c -- help, and the choice of columns. */
#include "screen.h"

#include <string.h>

static const char *const lines[] = {
    "1 2 3 4 5        queues, processes, links, pools, events;  w  pools and back",
    "arrows h j k l   move; right shows all columns, then scrolls; left goes back",
    "PgUp PgDn g G    by pages, to the first, to the last",
    "Enter            one queue: figures, trends, waits, who is attached, a look at its messages",
    "Esc              back",
    "/                search: the cursor goes to the next name that has it;  n  once more",
    "\\ F4             filter by name: a part of it, or a glob; empty shows all",
    "< > F6           sort by the column before, or behind",
    "I r              the other way round",
    "t                names as a tree",
    "c                which columns",
    "u                large figures in thousands, in 1024s, exactly",
    "z                rates and waits since now; again: as before",
    "s                save this frame as JSON into a file of this folder",
    "space p          pause",
    "+ -              longer, or shorter, between frames",
    "P D              with --allow-write: pause or resume, purge; each asks first",
    "q F10 Ctrl-C     quit",
    "",
    "IN/s OUT/s       messages put and acknowledged a second;  B/s bytes put",
    "P50 P99          half, and 99 of 100, waited in the queue no longer; measured are messages with a stamp",
    "AGE              of the oldest ready message;  PROD CONS who have put, and got",
    "WAIT             who sleeps: in get, in put, both;  TREND  the depth of the last frames",
    "SEQ WINDOW HEAD  of a pool: next ticket out, how far results may run ahead, who works on it",
    "FLAGS            F full  S stalled: holds messages and none left since the last frame",
    "                 B a producer waits for room  L a lease has run out  D dead letters",
    "                 R recovered after a death  X dead, not yet recovered  P paused  E ended",
    "                 N its link is down  V its memory is of another version",
    "LANE             of a worker: high it works, low it waits, a line where a job began or ended,",
    "                 a double one where several did, a ring while the window is full",
};

void draw_help(struct screen *screen)
{
    size_t count = sizeof lines / sizeof lines[0], room = (size_t)body_lines();

    if (screen->from + room > count)
        screen->from = count > room ? count - room : 0;
    for (size_t i = 0; i < room && screen->from + i < count; i++)
        draw_text(header_lines() + (int)i, lines[screen->from + i], A_NORMAL);
}

void draw_chooser(struct screen *screen)
{
    int room = body_lines(), first = screen->chooser >= room ? screen->chooser - room + 1 : 0;
    char line[80];

    for (int i = first; i < COLUMNS && i - first < room; i++) {
        snprintf(line, sizeof line, " [%c] %s", columns_have(&screen->picked, i) ? 'x' : ' ', top_column(i).head);
        draw_text(header_lines() + i - first, line, i == screen->chooser ? A_REVERSE : A_NORMAL);
    }
}
