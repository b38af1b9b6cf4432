/* draw_rows.c -- the views of queues and of pools: rows that can be selected, and under pools the lanes of their workers. */
#include "screen.h"

#include <string.h>

#include "common/report.h"
#include "views.h"

static struct slice slice_of(const struct screen *screen, size_t from, size_t count)
{
    return top_options.view == VIEW_POOLS ? slice_pools(screen->frame, from, count) : slice_rows(screen->frame, from, count);
}

struct row *selected_row(const struct screen *screen)
{
    struct slice slice = slice_of(screen, screen->selected, 1);

    return slice.count > 0 && strcmp(slice.rows[0]->name, screen->selected_name) == 0 ? slice.rows[0] : NULL;
}

/* The cursor stays on its queue, wherever that goes. */
void keep_selection(struct screen *screen)
{
    struct slice all = slice_of(screen, 0, SIZE_MAX);
    bool there = screen->selected < all.count && strcmp(all.rows[screen->selected]->name, screen->selected_name) == 0 &&
                 all.rows[screen->selected]->kind == screen->selected_kind;

    for (size_t i = 0; !there && screen->selected_name[0] != '\0' && i < all.count; i++)
        if (strcmp(all.rows[i]->name, screen->selected_name) == 0 && all.rows[i]->kind == screen->selected_kind) {
            screen->selected = i;
            there = true;
        }
    if (!there && screen->cover == COVER_DETAIL)
        return; /* it says that it is gone */
    if (screen->selected >= all.count)
        screen->selected = all.count > 0 ? all.count - 1 : 0;
    if (all.count > 0) {
        snprintf(screen->selected_name, sizeof screen->selected_name, "%s", all.rows[screen->selected]->name);
        screen->selected_kind = all.rows[screen->selected]->kind;
    }
}

/* -- colours ------------------------------------------------------------------------------------------------------- */

static struct {
    struct slice slice;
    struct picked picked;
} drawn; /* what of_cell is asked about */

static attr_t paint_flags(const struct screen *screen, const struct row *row)
{
    char flags[16];

    top_flags(row, flags);
    if (strpbrk(flags, "DXLNV") != NULL)
        return paint(screen, PAINT_ALARM, A_BOLD);
    if (strpbrk(flags, "FSBP") != NULL)
        return paint(screen, PAINT_WARN, A_BOLD);
    return A_NORMAL;
}

static attr_t paint_amount(const struct screen *screen, double amount, enum paint pair)
{
    if (amount > 0)
        return pair != 0 ? paint(screen, pair, pair == PAINT_ALARM ? A_BOLD : A_NORMAL) : A_NORMAL;
    return paint(screen, PAINT_DIM, A_NORMAL);
}

static attr_t paint_cell(const struct screen *screen, size_t index, size_t place)
{
    const struct row *row = drawn.slice.rows[index];
    const struct ptq_queue_stats *stats = &row->stats;
    double fill = tool_queue_fill(stats);

    if (row->unread)
        return paint(screen, PAINT_DIM, A_NORMAL);
    switch (drawn.picked.columns[place]) {
    case COLUMN_QUEUE:
    case COLUMN_FLAGS:
        return paint_flags(screen, row);
    case COLUMN_FILL:
        return paint_amount(screen, fill, fill >= 90 ? PAINT_ALARM : fill >= 60 ? PAINT_WARN : PAINT_GOOD);
    case COLUMN_DEPTH:
        return paint_amount(screen, (double)tool_queue_depth(stats), 0);
    case COLUMN_READY:
        return paint_amount(screen, (double)stats->ready, 0);
    case COLUMN_LEASED:
        return paint_amount(screen, (double)stats->leased, 0);
    case COLUMN_DELAYED:
        return paint_amount(screen, (double)stats->delayed, 0);
    case COLUMN_DEAD:
        return paint_amount(screen, (double)stats->dead, PAINT_ALARM);
    case COLUMN_DROP:
        return paint_amount(screen, row->rates.dropped, PAINT_ALARM);
    case COLUMN_REDELIVERED:
        return paint_amount(screen, row->rates.redelivered, PAINT_WARN);
    case COLUMN_IN:
        return paint_amount(screen, row->rates.in, PAINT_GOOD);
    case COLUMN_OUT:
        return paint_amount(screen, row->rates.out, PAINT_GOOD);
    case COLUMN_BYTES:
        return paint_amount(screen, row->rates.bytes, 0);
    case COLUMN_TREND:
        return paint(screen, PAINT_HEAD, A_NORMAL);
    case COLUMN_HEAD:
        return row->holder_pid != 0 && !row->holder_alive ? paint(screen, PAINT_ALARM, A_BOLD) : A_NORMAL;
    case COLUMN_KIND:
    case COLUMN_PATH:
        return paint(screen, PAINT_DIM, A_NORMAL);
    default:
        return A_NORMAL;
    }
}

/* -- queues ---------------------------------------------------------------------------------------------------------- */

static void pick(const struct screen *screen, const struct slice *slice, struct picked *ret_picked)
{
    struct picked all = screen->picked;

    if (!screen->chosen)
        columns_all(screen->frame->pool_count > 0, screen->look, &all);
    if (screen->wide || screen->chosen)
        *ret_picked = all;
    else
        columns_fit(slice, screen->look, COLS, &all, ret_picked);
}

static void draw_slice(struct screen *screen, int y, int height)
{
    size_t room = height > 1 ? (size_t)height - 1 : 0;
    struct tool_column heads[COLUMNS];
    struct tool_table table;

    if (screen->selected < screen->top)
        screen->top = screen->selected;
    if (room > 0 && screen->selected >= screen->top + room)
        screen->top = screen->selected - room + 1;
    drawn.slice = slice_of(screen, screen->top, room);
    if (drawn.slice.count < room && screen->top > 0) { /* there are fewer than before */
        size_t all = slice_of(screen, 0, SIZE_MAX).count;
        screen->top = all > room ? all - room : 0;
        drawn.slice = slice_of(screen, screen->top, room);
    }
    screen->watcher->shown_from = screen->top;
    screen->watcher->shown_count = room;
    pick(screen, &drawn.slice, &drawn.picked);
    columns_fill(&drawn.slice, &drawn.picked, screen->look, heads, &table);
    draw_table(screen, y, height, &table, &(struct table_style){.selected = screen->selected - screen->top, .of_cell = paint_cell});
    tool_table_fini(&table);
}

void draw_queues(struct screen *screen)
{
    const struct frame *frame = screen->frame;
    int y = header_lines();

    draw_slice(screen, y, body_lines());
    if (frame->count == 0)
        draw_text(y + 1, frame->gone ? "the bus was removed: it is shown again when it is there again"
                         : frame->queues == 0 && screen->filter[0] == '\0' ? "no queues yet" : "no queue passes the filter", A_NORMAL);
}

/* -- pools ------------------------------------------------------------------------------------------------------------ */

static attr_t paint_worker(const struct screen *screen, size_t index, size_t place)
{
    const struct ptq_worker_status *now = &screen->frame->workers.rows[index].now;
    size_t lane = COLS < 110 ? 5 : 12;

    if (place == lane)
        return paint(screen, now->state == PTQ_WORKER_WORKS || now->state == PTQ_WORKER_HANDS_IN ? PAINT_GOOD : PAINT_HEAD, A_NORMAL);
    if (now->state == PTQ_WORKER_WAITS_FOR_ROOM)
        return paint(screen, PAINT_WARN, A_BOLD);
    return place == 8 && now->jobs_failed > 0 ? paint(screen, PAINT_ALARM, A_BOLD) : A_NORMAL;
}

/* A lane has what the other columns leave, of which the less important ones make room for it. */
static size_t lane_room(const struct screen *screen, bool narrow, struct table_style *style)
{
    struct tool_table table;
    int used = 0;

    workers_fill_table(&screen->frame->workers, LANE_LETTERS, 0, narrow, &table);
    table.widths[table.count - 1] = 12;
    table_fit(screen, &table, narrow ? "afcdbe" : "amdegbhckjilf", style);
    for (size_t i = 0; i + 1 < table.count; i++)
        used += style->hidden[i] ? 0 : table.widths[i] + 2;
    tool_table_fini(&table);
    return COLS - used > 8 ? (size_t)(COLS - used) : 8;
}

static void draw_lanes(struct screen *screen, int y, int height)
{
    const struct workers *workers = &screen->frame->workers;
    bool narrow = COLS < 110;
    size_t room = height > 1 ? (size_t)height - 1 : 0;
    struct table_style style = {.selected = SIZE_MAX, .of_cell = paint_worker};
    struct tool_table table;

    if (screen->from + room > workers->count)
        screen->from = workers->count > room ? workers->count - room : 0;
    workers_fill_table(workers, screen->look == LOOK_BARS ? LANE_WAVE : LANE_WAVE_ASCII, lane_room(screen, narrow, &style), narrow, &table);
    style.from = screen->from;
    draw_table(screen, y, height, &table, &style);
    if (workers->count == 0 && height > 1)
        draw_text(y + 1, "no worker of a pool is on this host", A_NORMAL);
    tool_table_fini(&table);
}

void draw_pools(struct screen *screen)
{
    int y = header_lines(), body = body_lines();
    int most = (int)screen->frame->pool_count + 1;
    int upper = most < body / 3 ? most : body / 3;

    if (upper < 2 && body >= 4)
        upper = 2;
    draw_slice(screen, y, upper);
    if (screen->frame->pool_count == 0)
        draw_text(y + 1, "no pool is here", A_NORMAL);
    int gap = body > 10 ? 1 : 0;
    draw_lanes(screen, y + upper + gap, body - upper - gap);
}
