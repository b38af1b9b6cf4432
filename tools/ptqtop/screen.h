/* screen.h -- what drawing, keys and loop of the screen share. */
#ifndef PTQTOP_SCREEN_H
#define PTQTOP_SCREEN_H

#include <ncurses.h>

#include "columns.h"
#include "watch.h"

/* What lies over the view: nothing, or one queue, help, the choice of columns. */
enum cover { COVER_NONE, COVER_DETAIL, COVER_HELP, COVER_COLUMNS };
enum paint { PAINT_HEAD = 1, PAINT_WARN, PAINT_ALARM, PAINT_GOOD, PAINT_DIM, PAINT_TAB };
enum typing { TYPING_NOTHING, TYPING_FILTER, TYPING_SEARCH };
enum wish { WISH_NOTHING, WISH_PURGE, WISH_PAUSE };

struct pane; /* draw_detail.c */

struct screen {
    struct watcher *watcher;
    const struct frame *frame;
    enum cover cover;
    size_t selected, top;            /* of queues and pools: row, first row drawn */
    size_t from;                     /* other views, and covers: the first line that is drawn */
    int left;                        /* how far wide tables are scrolled, behind the first column */
    bool wide;                       /* all columns, also those that do not fit */
    char selected_name[PTQ_NAME_MAX + 1];
    const char *selected_kind;
    enum typing typing;
    char filter[PTQ_NAME_MAX + 1], search[PTQ_NAME_MAX + 1];
    enum wish wish;                  /* y does it */
    char said[200];                  /* shown in the last line until the next key */
    bool paused, colour, leave;
    bool anew;                       /* look at once: something else is to be shown */
    bool chosen;                     /* the columns were chosen: */
    struct picked picked;
    int chooser;                     /* the column that the cursor is on, in the choice */
    enum look look;
    uint64_t frames;
    struct pane *left_pane, *right_pane; /* owned; of the detail */
    uint64_t pane_frame;             /* they are of this frame */
    int pane_columns;
};

/* -- draw.c ------------------------------------------------------------------------------------------------------ */

void screen_draw(struct screen *screen);
int header_lines(void);  /* above the view */
int body_lines(void);    /* of the view, with the heads of its table */
attr_t paint(const struct screen *screen, enum paint pair, attr_t without);
void draw_text(int y, const char *text, attr_t attributes);
/* Writes escaped text, of which the first character would stand in column x, from column `least` on, up to `end`.  Returns the column behind it. */
int draw_part(int y, int x, const char *text, int least, int end, attr_t attributes);

/* Draws a table from line y on, at most `height` lines with its heads, from row `from`; `selected` (SIZE_MAX: none) is marked.  of_cell: how
 * a cell looks; may be NULL.  hidden: columns that are left out. */
struct table_style {
    size_t from, selected;
    attr_t (*of_cell)(const struct screen *screen, size_t row, size_t column);
    bool hidden[TOOL_COLUMNS_MAX];
};
/* Hides what does not fit the screen: `weights` are columns, the most important first; the last one of the table may be cut. */
void table_fit(const struct screen *screen, const struct tool_table *table, const char *weights, struct table_style *style);
void draw_table(const struct screen *screen, int y, int height, const struct tool_table *table, const struct table_style *style);

/* -- the views --------------------------------------------------------------------------------------------------- */

void draw_queues(struct screen *screen);
void draw_pools(struct screen *screen);
void draw_processes(struct screen *screen);
void draw_links(struct screen *screen);
void draw_events(struct screen *screen);
void draw_detail(struct screen *screen);
void detail_free(struct screen *screen);
void draw_help(struct screen *screen);
void draw_chooser(struct screen *screen);
/* The row that the cursor is on; NULL: none. */
struct row *selected_row(const struct screen *screen);
void keep_selection(struct screen *screen);

/* -- keys.c, search.c, write.c, save.c ------------------------------------------------------------------------------ */

/* true: the frame must be sorted or filtered anew. */
bool screen_key(struct screen *screen, int key);
bool type_key(struct screen *screen, int key); /* true: it was taken as text */
void wish_for(struct screen *screen, enum wish wish);
void answer_wish(struct screen *screen, int key);
void save_frame(struct screen *screen);

#endif
