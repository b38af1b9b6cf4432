/* draw_lists.c -- the views of processes, links and events: lists that scroll. */
#include "screen.h"

#include <string.h>

#include "views.h"

/* weights: table_fit */
static void draw_list(struct screen *screen, struct tool_table *table, const char *weights,
                      attr_t (*of_cell)(const struct screen *, size_t, size_t), const char *nothing)
{
    struct table_style style = {.selected = SIZE_MAX, .of_cell = of_cell};

    size_t rows = tool_table_rows(table), room = body_lines() > 1 ? (size_t)body_lines() - 1 : 0;

    if (screen->from + room > rows)
        screen->from = rows > room ? rows - room : 0;
    style.from = screen->from;
    table_fit(screen, table, weights, &style);
    draw_table(screen, header_lines(), body_lines(), table, &style);
    if (rows == 0)
        draw_text(header_lines() + 1, nothing, A_NORMAL);
    tool_table_fini(table);
}

static attr_t paint_process(const struct screen *screen, size_t row, size_t column)
{
    const struct process_row *one = &screen->frame->processes.rows[row];

    if (!one->alive)
        return paint(screen, PAINT_ALARM, A_BOLD);
    if (column == 8 && one->known && one->cpu >= 50)
        return paint(screen, one->cpu >= 90 ? PAINT_ALARM : PAINT_WARN, A_NORMAL);
    return column == 3 || column == 10 ? paint(screen, PAINT_DIM, A_NORMAL) : A_NORMAL;
}

void draw_processes(struct screen *screen)
{
    struct tool_table table;

    processes_fill_table(screen->frame, &table);
    draw_list(screen, &table, "ablficghjdke", paint_process, "nobody is attached");
}

static attr_t paint_link(const struct screen *screen, size_t row, size_t column)
{
    const struct link_row *one = &screen->frame->links.rows[row];

    if (one->known && !one->up && (column == 0 || column == 2 || column == 10))
        return paint(screen, PAINT_ALARM, A_BOLD);
    if (column == 2 && one->known)
        return paint(screen, PAINT_GOOD, A_NORMAL);
    return column == 8 && one->refused > 0 ? paint(screen, PAINT_ALARM, A_BOLD) : A_NORMAL;
}

void draw_links(struct screen *screen)
{
    struct tool_table table;

    links_fill_table(screen->frame, &table);
    draw_list(screen, &table, "acgkeidhfbj", paint_link, "no other host is known, and nothing waits to be carried: see ptq peers");
}

static struct fold folds[EVENTS]; /* what paint_event is asked about */

static attr_t paint_event(const struct screen *screen, size_t row, size_t column)
{
    enum event_weight weight = screen->frame->events.list[folds[row].newest % EVENTS].weight;

    if (column == 0)
        return paint(screen, PAINT_DIM, A_NORMAL);
    return weight == EVENT_ALARM ? paint(screen, PAINT_ALARM, A_BOLD) : weight == EVENT_WARN ? paint(screen, PAINT_WARN, A_BOLD) : A_NORMAL;
}

void draw_events(struct screen *screen)
{
    const struct frame *frame = screen->frame;
    size_t count = events_fold(&frame->events, folds);
    struct tool_table table;

    events_fill_folded(&frame->events, folds, count, frame->unix_ms, &table);
    draw_list(screen, &table, "abc", paint_event, "nothing has happened since ptqtop began");
}
