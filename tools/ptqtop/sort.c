/* sort.c -- the order of rows. */
#include <stdlib.h>
#include <string.h>

#include "columns.h"
#include "common/report.h"

static struct {
    int column;
    bool reverse;
} order;

static double figure_of(const struct row *row, int column)
{
    const struct ptq_queue_stats *stats = &row->stats;

    switch (column) {
    case COLUMN_DEPTH:
        return (double)tool_queue_depth(stats);
    case COLUMN_FILL:
        return tool_queue_fill(stats);
    case COLUMN_READY:
        return (double)stats->ready;
    case COLUMN_LEASED:
        return (double)stats->leased;
    case COLUMN_DELAYED:
        return (double)stats->delayed;
    case COLUMN_DEAD:
        return (double)stats->dead;
    case COLUMN_IN:
        return row->rates.in;
    case COLUMN_OUT:
        return row->rates.out;
    case COLUMN_BYTES:
        return row->rates.bytes;
    case COLUMN_P50:
        return row->wait_count > 0 ? (double)row->p50_us : -1;
    case COLUMN_P99:
        return row->wait_count > 0 ? (double)row->p99_us : -1;
    case COLUMN_AGE:
        return (double)stats->oldest_ms;
    case COLUMN_PROD:
        return stats->producers;
    case COLUMN_CONS:
        return stats->consumers;
    case COLUMN_WAIT:
        return (row->put_waits ? 2 : 0) + (row->get_waits ? 1 : 0);
    case COLUMN_DROP:
        return row->rates.dropped;
    case COLUMN_REDELIVERED:
        return row->rates.redelivered;
    case COLUMN_TREND: /* what grows fastest */
        return row->rates.in - row->rates.out;
    case COLUMN_SEQ:
        return (double)row->sequence;
    case COLUMN_WINDOW:
        return row->is_pool ? (double)row->info.window : 0;
    case COLUMN_HEAD:
        return row->holder_pid;
    default:
        return 0;
    }
}

static int compare_rows(const void *a, const void *b)
{
    const struct row *x = *(struct row *const *)a;
    const struct row *y = *(struct row *const *)b;
    int result = 0;

    if (order.column == COLUMN_KIND || order.column == COLUMN_PATH) {
        result = order.column == COLUMN_KIND ? strcmp(x->kind, y->kind) : strcmp(x->path, y->path);
    } else if (order.column == COLUMN_FLAGS) {
        char one[16], other[16];
        result = strcmp(top_flags(y, one), top_flags(x, other));
    } else if (order.column != COLUMN_QUEUE) {
        double f = figure_of(x, order.column);
        double g = figure_of(y, order.column);
        result = (f < g) - (f > g);
    }
    if (result == 0)
        result = strcmp(x->name, y->name);
    return order.reverse ? -result : result;
}

/* Mostly the order is that of the frame before. */
static bool is_sorted(struct row *const *rows, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (compare_rows(&rows[i - 1], &rows[i]) > 0)
            return false;
    return true;
}

void top_sort(struct frame *frame, int column, bool reverse)
{
    order.column = column;
    order.reverse = reverse;
    if (!is_sorted(frame->rows, frame->count))
        qsort(frame->rows, frame->count, sizeof *frame->rows, compare_rows);
    if (!is_sorted(frame->pools, frame->pool_count))
        qsort(frame->pools, frame->pool_count, sizeof *frame->pools, compare_rows);
}
