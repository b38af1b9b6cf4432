/* draw_help.c -- help, and the choice of columns. */
#include <string.h>

#include "pane.h"

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

enum { HANG = 17 }; /* what a line is about stands before that column */

/* So much of it stands in a line of that width: whole words, if there is one. */
static size_t break_at(const char *text, size_t width)
{
    size_t size = width;

    if (strlen(text) <= width)
        return strlen(text);
    while (size > 0 && text[size] != ' ')
        size--;
    return size > 0 ? size : width;
}

/* Breaks a line between words where the screen ends; the rest stands under its text. */
static void add_wrapped(struct pane *pane, const char *line)
{
    int room = COLS > 2 * HANG ? COLS : 4 * HANG;
    size_t keys = strlen(line) > HANG ? HANG : strlen(line);
    const char *at = line + keys;

    do {
        size_t size = break_at(at, (size_t)(room - HANG));
        pane_add(pane, A_NORMAL, "%-*.*s%.*s", HANG, (int)keys, line, (int)size, at);
        for (at += size; *at == ' ';)
            at++;
        keys = 0;
    } while (*at != '\0');
}

void draw_help(struct screen *screen)
{
    struct pane *pane = pane_new();
    size_t room = (size_t)body_lines();

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        add_wrapped(pane, lines[i]);
    if (pane != NULL && screen->from + room > pane->count)
        screen->from = pane->count > room ? pane->count - room : 0;
    pane_draw(pane, screen->from, 0, COLS);
    pane_free(pane);
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
