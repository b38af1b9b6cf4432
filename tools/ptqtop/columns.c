/* columns.c -- the columns of ptqtop: their heads, cells, and order. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/report.h"
#include "common/text.h"
#include "top.h"

static const struct tool_column columns[COLUMNS] = {
    {"QUEUE", true},  {"KIND", true},     {"PATH", true},  {"DEPTH", false}, {"FILL", false},
    {"READY", false}, {"LEASED", false},  {"DELAYED", false}, {"DEAD", false}, {"IN/s", false},
    {"OUT/s", false}, {"B/s", false},     {"AGE", false},  {"PROD", false},  {"CONS", false},
    {"REDLV/s", false}, {"FLAGS", true},  {"SEQ", false},  {"WINDOW", false}, {"HEAD", true}};

struct tool_column top_column(size_t column)
{
    return columns[column];
}

/* S stalled stands beside the flags that a single look tells. */
char *top_flags(const struct row *row, char buffer[16])
{
    tool_queue_flags(&row->stats, buffer);
    if (row->stalled)
        strcat(buffer, "S");
    return buffer;
}

/* -- cells ---------------------------------------------------------------------------------------------------- */

static void add_rate(struct tool_table *table, const struct rates *rates, double value)
{
    char text[16];

    if (!rates->known)
        tool_table_cell(table, "-");
    else if (value > 0 && value < 10)
        tool_table_cell(table, "%.1f", value);
    else
        tool_table_cell(table, "%s", tool_human((uint64_t)(value + 0.5), 1000, text));
}

static void add_fill(struct tool_table *table, double fill, enum look look)
{
    enum { WIDTH = 6 };
    char bar[WIDTH * 3 + 1] = "";
    int full = (int)(fill / 100 * WIDTH + 0.5);

    for (int i = 0; i < WIDTH && look != LOOK_PLAIN; i++)
        strcat(bar, look == LOOK_BARS ? (i < full ? "\u2588" : "\u2591") : (i < full ? "#" : "."));
    tool_table_cell(table, "%s%s%.0f%%", bar, look == LOOK_PLAIN ? "" : " ", fill);
}

static void add_count(struct tool_table *table, uint64_t count)
{
    char text[16];

    if (count < 10000000)
        tool_table_cell(table, "%" PRIu64, count);
    else
        tool_table_cell(table, "%s", tool_human(count, 1000, text));
}

static void add_pool_cells(struct tool_table *table, const struct row *row)
{
    if (!row->is_pool) {
        for (int i = 0; i < 3; i++)
            tool_table_cell(table, "-");
        return;
    }
    if (row->unordered)
        tool_table_cell(table, "-");
    else
        tool_table_cell(table, "%" PRIu64, row->sequence);
    tool_table_cell(table, "%" PRIu64, row->info.window);
    if (row->holder_pid == 0)
        tool_table_cell(table, "-");
    else
        tool_table_cell(table, "%d %s%s", row->holder_pid, row->holder_command, row->holder_alive ? "" : " (dead)");
}

static void add_cells(struct tool_table *table, const struct row *row, enum look look)
{
    const struct ptq_queue_stats *stats = &row->stats;
    char text[16];

    tool_table_cell(table, "%s", row->name);
    tool_table_cell(table, "%s", row->kind);
    tool_table_cell(table, "%s", stats->remote ? "link" : "shm");
    add_count(table, tool_queue_depth(stats));
    add_fill(table, tool_queue_fill(stats), look);
    add_count(table, stats->ready);
    add_count(table, stats->leased);
    add_count(table, stats->delayed);
    add_count(table, stats->dead);
    add_rate(table, &row->rates, row->rates.in);
    add_rate(table, &row->rates, row->rates.out);
    add_rate(table, &row->rates, row->rates.bytes);
    tool_table_cell(table, "%s", stats->ready > 0 && stats->oldest_ms > 0 ? tool_age(stats->oldest_ms, text) : "-");
    tool_table_cell(table, "%u", stats->producers);
    tool_table_cell(table, "%u", stats->consumers);
    add_rate(table, &row->rates, row->rates.redelivered);
    tool_table_cell(table, "%s", top_flags(row, text)[0] != '\0' ? text : "-");
    if (table->count > COLUMN_SEQ)
        add_pool_cells(table, row);
}

void top_fill_table(const struct frame *frame, enum look look, struct tool_table *table)
{
    tool_table_init(table, columns, top_columns_shown(frame));
    for (size_t i = 0; i < frame->count; i++)
        add_cells(table, &frame->rows[i], look);
}

size_t top_columns_shown(const struct frame *frame)
{
    for (size_t i = 0; i < frame->count; i++)
        if (frame->rows[i].is_pool)
            return COLUMNS;
    return COLUMN_SEQ;
}

/* -- order ---------------------------------------------------------------------------------------------------- */

static struct {
    int column;
    bool reverse;
} order;

static double sort_figure(const struct row *row, int column)
{
    const struct ptq_queue_stats *stats = &row->stats;
    const double figures[COLUMNS] = {
        [3] = (double)tool_queue_depth(stats), [4] = tool_queue_fill(stats),
        [5] = (double)stats->ready,            [6] = (double)stats->leased,
        [7] = (double)stats->delayed,          [8] = (double)stats->dead,
        [9] = row->rates.in,                   [10] = row->rates.out,
        [11] = row->rates.bytes,               [12] = (double)stats->oldest_ms,
        [13] = stats->producers,               [14] = stats->consumers,
        [15] = row->rates.redelivered,         [17] = (double)row->sequence,
        [18] = row->is_pool ? (double)row->info.window : 0, [19] = row->holder_pid};

    return figures[column];
}

static int compare_rows(const void *a, const void *b)
{
    const struct row *x = a;
    const struct row *y = b;
    int result = 0;

    if (order.column == 1) {
        result = strcmp(x->kind, y->kind);
    } else if (order.column == COLUMN_FLAGS) {
        char one[16], other[16];
        result = strcmp(top_flags(y, one), top_flags(x, other));
    } else if (order.column > 2) {
        double f = sort_figure(x, order.column);
        double g = sort_figure(y, order.column);
        result = (f < g) - (f > g);
    }
    if (result == 0)
        result = strcmp(x->name, y->name);
    return order.reverse ? -result : result;
}

void top_sort(struct frame *frame, int column, bool reverse)
{
    order.column = column;
    order.reverse = reverse;
    if (frame->count > 1)
        qsort(frame->rows, frame->count, sizeof *frame->rows, compare_rows);
}
