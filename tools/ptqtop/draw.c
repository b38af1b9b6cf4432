/* draw.c -- what all views of the screen share: header, tabs, footer, and tables whose cells have colours. */
#include "screen.h"

#include <stdlib.h>
#include <string.h>

#include "common/text.h"

attr_t paint(const struct screen *screen, enum paint pair, attr_t without)
{
    if (!screen->colour)
        return without;
    return (attr_t)COLOR_PAIR(pair) | (pair == PAINT_DIM ? A_DIM : pair == PAINT_ALARM ? A_BOLD : 0);
}

/* What a terminal that is not UTF-8 has no letter for is a ?. */
int draw_part(int y, int x, const char *text, int least, int end, attr_t attributes)
{
    attrset(attributes);
    while (*text != '\0' && x < end) {
        size_t size = tool_utf8((const unsigned char *)text, strlen(text));
        size = size == 0 ? 1 : size;
        bool strange = top_options.ascii && (*text & 0x80);
        int width = strange ? 1 : tool_width(text, size);
        if (x >= least && x + width <= end && (width > 0 || x > least))
            strange ? mvaddch(y, x, '?') : width > 0 ? mvaddnstr(y, x, text, (int)size) : addnstr(text, (int)size);
        x += width;
        text += size;
    }
    attrset(A_NORMAL);
    return x;
}

static void fill_line(int y, int x, attr_t attributes)
{
    attrset(attributes);
    for (; x < COLS; x++)
        mvaddch(y, x, ' ');
    attrset(A_NORMAL);
}

void draw_text(int y, const char *text, attr_t attributes)
{
    char safe[4096];

    int x = draw_part(y, 0, tool_escape(text, strlen(text), safe, sizeof safe), 0, COLS, attributes);
    if (attributes & A_REVERSE)
        fill_line(y, x, attributes);
}

/* -- tables -------------------------------------------------------------------------------------------------------- */

void table_fit(const struct screen *screen, const struct tool_table *table, const char *weights, struct table_style *style)
{
    int least = COLS / 4 > 10 ? COLS / 4 : 10; /* of the last one */
    int used = 0;

    for (; !screen->wide && *weights != '\0'; weights++) {
        size_t i = (size_t)(*weights - 'a');
        int width = i + 1 == table->count && table->widths[i] > least ? least : table->widths[i];
        style->hidden[i] = i > 0 && used + width > COLS;
        used += style->hidden[i] ? 0 : width + 2;
    }
}

/* row SIZE_MAX: the heads.  The first column stays, the others move behind it. */
static void draw_row(const struct screen *screen, int y, const struct tool_table *table, size_t row, const struct table_style *style)
{
    bool head = row == SIZE_MAX, selected = !head && row == style->selected;
    attr_t line = head ? A_REVERSE | paint(screen, PAINT_HEAD, A_NORMAL) : selected ? A_REVERSE : A_NORMAL;
    int fixed = table->widths[0] + 2, x = 0;

    if (line != A_NORMAL)
        fill_line(y, 0, line);
    for (size_t i = 0; i < table->count && x - screen->left < COLS; i++) {
        if (style->hidden[i])
            continue;
        const char *cell = head ? table->columns[i].head : table->cells[row * table->count + i];
        int pad = table->columns[i].left ? 0 : table->widths[i] - tool_width(cell, SIZE_MAX);
        int at = x + pad - (i > 0 ? screen->left : 0);
        attr_t attributes = line == A_NORMAL && style->of_cell != NULL ? style->of_cell(screen, row, i) : line;
        draw_part(y, at, cell, i > 0 ? fixed : 0, COLS, attributes);
        x += table->widths[i] + 2;
    }
}

void draw_table(const struct screen *screen, int y, int height, const struct tool_table *table, const struct table_style *style)
{
    if (height > 0)
        draw_row(screen, y, table, SIZE_MAX, style);
    for (int i = 1; i < height && style->from + (size_t)i - 1 < tool_table_rows(table); i++)
        draw_row(screen, y + i, table, style->from + (size_t)i - 1, style);
}

/* -- around the view -------------------------------------------------------------------------------------------------- */

/* Header and tabs. */
int header_lines(void)
{
    return LINES >= 14 ? HEADER_LINES + 1 : LINES >= 5 ? 1 : 0;
}

int body_lines(void)
{
    int lines = LINES - header_lines() - 1;

    return lines > 0 ? lines : 0;
}

static void draw_header(const struct screen *screen)
{
    int lines = header_lines() > 1 ? HEADER_LINES : header_lines();
    char line[1024];
    size_t from, to;

    for (int i = 0; i < lines; i++) {
        int which = lines == 1 ? 2 : i;
        draw_text(i, top_header(screen->frame, which, COLS, line, sizeof line), which == 0 ? A_BOLD : A_NORMAL);
        if (which != 2 || !top_header_drops(screen->frame, line, &from, &to))
            continue;
        line[to] = '\0';
        draw_part(i, (int)from, line + from, 0, COLS, paint(screen, PAINT_ALARM, A_BOLD | A_UNDERLINE));
    }
}

static void draw_tabs(const struct screen *screen)
{
    static const char *const names[VIEWS] = {"1 Queues", "2 Processes", "3 Links", "4 Pools", "5 Events"};
    int x = 0;

    if (header_lines() <= 1)
        return;
    for (int i = 0; i < VIEWS; i++) {
        bool here = i == top_options.view;
        x = draw_part(HEADER_LINES, x, " ", 0, COLS, A_NORMAL);
        x = draw_part(HEADER_LINES, x, names[i], 0, COLS, here ? A_BOLD | A_UNDERLINE | paint(screen, PAINT_TAB, A_NORMAL) : paint(screen, PAINT_DIM, A_NORMAL));
        x = draw_part(HEADER_LINES, x, " ", 0, COLS, A_NORMAL);
    }
    if (screen->cover == COVER_DETAIL)
        draw_part(HEADER_LINES, x + 1, screen->selected_name, 0, COLS, A_BOLD);
}

static const char *say_wish(const struct screen *screen, char *buffer, size_t room)
{
    const struct row *row = selected_row(screen);

    if (row == NULL)
        snprintf(buffer, room, "it is gone");
    else if (screen->wish == WISH_PURGE)
        snprintf(buffer, room, "purge %s: drop its %llu ready messages? y/N", row->name, (unsigned long long)row->stats.ready);
    else
        snprintf(buffer, room, "%s %s? y/N", row->stats.paused ? "resume" : "pause", row->name);
    return buffer;
}

/* Only what is sorted says by what. */
static void say_state(const struct screen *screen, const char *paused, char *line, size_t room)
{
    bool sorts = top_options.view == VIEW_QUEUES || top_options.view == VIEW_POOLS;
    char sort[64] = "", filter[PTQ_NAME_MAX + 16] = "";

    if (sorts)
        snprintf(sort, sizeof sort, "sort %s%s  ", top_column(top_options.sort).head, top_options.reverse ? " reversed" : "");
    if (screen->filter[0] != '\0')
        snprintf(filter, sizeof filter, "filter %s  ", screen->filter);
    snprintf(line, room, "%severy %.3gs  %s%s? help  q quit", paused, top_options.delay, sort, filter);
}

static void draw_footer(const struct screen *screen)
{
    const char *paused = screen->paused ? "PAUSED  " : "";
    char line[600];

    if (screen->wish != WISH_NOTHING)
        say_wish(screen, line, sizeof line);
    else if (screen->typing == TYPING_FILTER)
        snprintf(line, sizeof line, "filter: %s_", screen->filter);
    else if (screen->typing == TYPING_SEARCH)
        snprintf(line, sizeof line, "search: %s_", screen->search);
    else if (screen->said[0] != '\0')
        snprintf(line, sizeof line, "%s", screen->said);
    else if (screen->cover == COVER_COLUMNS)
        snprintf(line, sizeof line, "columns: space shows or hides  a all that fit  Esc back");
    else if (screen->cover != COVER_NONE)
        snprintf(line, sizeof line, "%sEsc back  up down scroll  space pause  ? help  q quit", paused);
    else
        say_state(screen, paused, line, sizeof line);
    draw_text(LINES - 1, line, A_REVERSE);
}

static void draw_view(struct screen *screen)
{
    static void (*const views[VIEWS])(struct screen *) = {draw_queues, draw_processes, draw_links, draw_pools, draw_events};
    static void (*const covers[])(struct screen *) = {[COVER_DETAIL] = draw_detail, [COVER_HELP] = draw_help, [COVER_COLUMNS] = draw_chooser};

    if (screen->cover != COVER_NONE)
        covers[screen->cover](screen);
    else
        views[top_options.view](screen);
}

void screen_draw(struct screen *screen)
{
    column_name_width = COLS / 5 * 2 > 16 ? COLS / 5 * 2 : 16;
    erase();
    if (screen->frame != NULL) {
        keep_selection(screen);
        draw_header(screen);
        draw_tabs(screen);
        if (body_lines() > 0)
            draw_view(screen);
    }
    draw_footer(screen);
    refresh();
}
