/* columns.c -- the columns of queues and pools: their heads, what stands in them, and which are shown. */
#include "columns.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/report.h"
#include "common/text.h"
#include "watch.h"

enum units column_units;
bool column_tree;
int column_name_width;

static const struct tool_column columns[COLUMNS] = {
    {"QUEUE", true},  {"KIND", true},  {"PATH", true},   {"DEPTH", false}, {"FILL", false}, {"READY", false}, {"LEASED", false},
    {"DELAYED", false}, {"DEAD", false}, {"IN/s", false},  {"OUT/s", false}, {"B/s", false},  {"P50", false},   {"P99", false},
    {"AGE", false},   {"PROD", false}, {"CONS", false},  {"WAIT", true},   {"DROP/s", false}, {"REDLV/s", false}, {"FLAGS", true},
    {"TREND", true},  {"SEQ", false},  {"WINDOW", false}, {"HEAD", true}};

/* Where there is no room for all, the later ones go first. */
static const int by_weight[COLUMNS] = {COLUMN_QUEUE,  COLUMN_DEPTH, COLUMN_IN,    COLUMN_OUT,  COLUMN_FLAGS, COLUMN_FILL,  COLUMN_AGE,
                                       COLUMN_TREND,  COLUMN_P99,   COLUMN_HEAD,  COLUMN_DROP, COLUMN_CONS,  COLUMN_PROD,  COLUMN_LEASED,
                                       COLUMN_DEAD,   COLUMN_SEQ,   COLUMN_WAIT,  COLUMN_P50,  COLUMN_KIND,  COLUMN_READY, COLUMN_BYTES,
                                       COLUMN_WINDOW, COLUMN_REDELIVERED, COLUMN_DELAYED, COLUMN_PATH};

struct tool_column top_column(int column)
{
    return columns[column];
}

uint64_t row_depth(const struct row *row)
{
    return tool_queue_depth(&row->stats);
}

/* What a single look tells, and what stands beside it. */
char *top_flags(const struct row *row, char buffer[16])
{
    tool_queue_flags(&row->stats, buffer);
    if (row->stalled)
        strcat(buffer, "S");
    if (row->put_waits && row->stats.producers > 0)
        strcat(buffer, "B");
    if (row->overdue > 0)
        strcat(buffer, "L");
    if (row->down)
        strcat(buffer, "N");
    if (row->skewed)
        strcat(buffer, "V");
    return buffer;
}

/* -- which ------------------------------------------------------------------------------------------------------- */

bool columns_have(const struct picked *picked, int column)
{
    for (size_t i = 0; i < picked->count; i++)
        if (picked->columns[i] == column)
            return true;
    return false;
}

static int find_word(const char *word, size_t length)
{
    const char *at = COLUMN_WORDS;

    for (int i = 0; i < COLUMNS; i++) {
        size_t size = strcspn(at, "|");
        if (size == length && strncmp(at, word, size) == 0)
            return i;
        at += size + 1;
    }
    return -1;
}

bool columns_read(const char *text, struct picked *ret_picked, const char **ret_wrong)
{
    struct picked picked = {0};

    for (const char *at = text; *at != '\0'; at += *at == ',') {
        size_t length = strcspn(at, ",");
        int column = find_word(at, length);
        *ret_wrong = at;
        if (column < 0 || columns_have(&picked, column))
            return false;
        picked.columns[picked.count++] = column;
        at += length;
    }
    *ret_wrong = text;
    *ret_picked = picked;
    return picked.count > 0;
}

void columns_all(bool pools, enum look look, struct picked *ret_picked)
{
    ret_picked->count = 0;
    for (int i = 0; i < COLUMNS; i++)
        if ((pools || i < COLUMN_SEQ) && (look != LOOK_PLAIN || i != COLUMN_TREND))
            ret_picked->columns[ret_picked->count++] = i;
}

void columns_toggle(struct picked *picked, int column)
{
    size_t place = 0;

    for (; place < picked->count; place++)
        if (picked->columns[place] == column && picked->count > 1) {
            memmove(&picked->columns[place], &picked->columns[place + 1], (--picked->count - place) * sizeof picked->columns[0]);
            return;
        }
    if (columns_have(picked, column))
        return; /* the last one stays */
    for (place = 0; place < picked->count && picked->columns[place] < column; place++)
        ;
    memmove(&picked->columns[place + 1], &picked->columns[place], (picked->count - place) * sizeof picked->columns[0]);
    picked->columns[place] = column;
    picked->count++;
}

void columns_fit(const struct slice *slice, enum look look, int width, const struct picked *all, struct picked *ret_picked)
{
    struct tool_column heads[COLUMNS];
    struct tool_table table;
    bool kept[COLUMNS] = {false};
    int used = 0;

    columns_fill(slice, all, look, heads, &table);
    for (size_t i = 0; i < COLUMNS; i++)
        for (size_t j = 0; j < all->count; j++) {
            if (all->columns[j] != by_weight[i])
                continue;
            int need = table.widths[j] + (used > 0 ? 2 : 0);
            if (used > 0 && used + need > width)
                continue;
            kept[by_weight[i]] = true;
            used += need;
        }
    ret_picked->count = 0;
    for (size_t j = 0; j < all->count; j++)
        if (kept[all->columns[j]])
            ret_picked->columns[ret_picked->count++] = all->columns[j];
    tool_table_fini(&table);
}

/* -- cells ------------------------------------------------------------------------------------------------------- */

static void add_number(struct tool_table *table, uint64_t number, uint64_t most)
{
    char text[16];

    if (number < most || column_units == UNITS_EXACT)
        tool_table_cell(table, "%" PRIu64, number);
    else
        tool_table_cell(table, "%s", tool_human(number, column_units == UNITS_1024 ? 1024 : 1000, text));
}

static void add_rate(struct tool_table *table, const struct rates *rates, double value)
{
    if (!rates->known)
        tool_table_cell(table, "-");
    else if (value > 0 && value < 10)
        tool_table_cell(table, "%.1f", value);
    else
        add_number(table, (uint64_t)(value + 0.5), 1000);
}

static void add_fill(struct tool_table *table, double fill, enum look look)
{
    enum { WIDTH = 6 };
    char bar[WIDTH * 3 + 1] = "";
    int full = (int)(fill / 100 * WIDTH + 0.5);

    for (int i = 0; i < WIDTH && look != LOOK_PLAIN; i++)
        strcat(bar, look == LOOK_BARS ? (i < full ? "\u2588" : "\u2591") : (i < full ? "#" : "."));
    tool_table_cell(table, look == LOOK_PLAIN ? "%s%.0f%%" : "%s %3.0f%%", bar, fill);
}

static void add_wait(struct tool_table *table, const struct row *row, uint64_t us)
{
    char text[16];

    if (row->wait_count == 0)
        tool_table_cell(table, "-");
    else
        tool_table_cell(table, "%s", us == UINT64_MAX ? ">4d" : tool_short_time(us, text));
}

static void add_trend(struct tool_table *table, uint64_t frame, const struct row *row, enum look look)
{
    enum { WIDTH = 12 };
    float values[WIDTH];
    char text[WIDTH * 3 + 4];
    const struct history *history = row->history;
    size_t count = history == NULL ? 0 : history_last(history, history->depth, true, frame, WIDTH, values);

    tool_table_cell(table, "%s", count > 0 ? history_spark(values, count, look != LOOK_BARS, text, sizeof text) : "-");
}

static void add_pool_cell(struct tool_table *table, const struct row *row, int column)
{
    char age[16];

    if (!row->is_pool || (column == COLUMN_SEQ && row->unordered) || (column == COLUMN_HEAD && row->holder_pid == 0))
        tool_table_cell(table, "-");
    else if (column == COLUMN_SEQ)
        tool_table_cell(table, "%" PRIu64, row->sequence);
    else if (column == COLUMN_WINDOW)
        tool_table_cell(table, "%" PRIu64, row->info.window);
    else
        tool_table_cell(table, "%d %s %s%s", row->holder_pid, row->holder_command, tool_age((uint64_t)row->holder_ns / 1000000, age),
                        row->holder_alive ? "" : " (dead)");
}

static const char *who_waits(const struct row *row)
{
    bool gets = row->get_waits && row->stats.consumers > 0, puts = row->put_waits && row->stats.producers > 0;

    return gets && puts ? "both" : gets ? "get" : puts ? "put" : "-";
}

char *outbox_name(const char *target, char *buffer, size_t room)
{
    const char *host = strstr(target, "://"), *last = strrchr(target, '/');
    const char *run = host != NULL && last > host + 2 ? memrchr(host + 3, '/', (size_t)(last - host - 3)) : NULL;

    if (run == NULL)
        snprintf(buffer, room, "> %s", target);
    else
        snprintf(buffer, room, "> %s at %.*s", last + 1, (int)(run - host - 3), host + 3);
    return buffer;
}

/* As a tree: parts between dots that the row above has too are left out, and it stands under it. */
static void add_name(struct tool_table *table, const struct row *row, const struct row *above)
{
    size_t shared = 0;
    int steps = 0;

    for (size_t i = 0; column_tree && above != NULL; i++) {
        bool ends = above->name[i] == '\0' || above->name[i] == '.';
        if (ends && row->name[i] == '.') {
            shared = i;
            steps++;
        }
        if (above->name[i] == '\0' || above->name[i] != row->name[i])
            break;
    }
    bool outbox = strcmp(row->kind, "outbox") == 0;
    char text[PTQ_NAME_MAX + sizeof row->note + 8], shorter[4 * sizeof text];
    if (outbox && column_name_width > 0)
        outbox_name(row->note, text, sizeof text);
    else
        snprintf(text, sizeof text, "%s%s%s", row->name + shared, outbox ? " > " : "", outbox ? row->note : "");
    int room = column_name_width > 0 ? column_name_width - 2 * steps : tool_width(text, SIZE_MAX);
    tool_table_cell(table, "%*s%s", 2 * steps, "", tool_shorten(text, room > 4 ? room : 4, top_options.ascii, shorter, sizeof shorter));
}

static void add_cell(struct tool_table *table, uint64_t frame, const struct row *row, int column, enum look look)
{
    const struct ptq_queue_stats *stats = &row->stats;
    const struct rates *rates = &row->rates;
    const uint64_t counts[COLUMNS] = {[COLUMN_DEPTH] = tool_queue_depth(stats), [COLUMN_READY] = stats->ready,
                                      [COLUMN_LEASED] = stats->leased,          [COLUMN_DELAYED] = stats->delayed,
                                      [COLUMN_DEAD] = stats->dead,              [COLUMN_PROD] = stats->producers,
                                      [COLUMN_CONS] = stats->consumers};
    const double values[COLUMNS] = {[COLUMN_IN] = rates->in, [COLUMN_OUT] = rates->out, [COLUMN_BYTES] = rates->bytes,
                                    [COLUMN_DROP] = rates->dropped, [COLUMN_REDELIVERED] = rates->redelivered};
    char text[16];

    if (row->unread && column > COLUMN_PATH && column != COLUMN_FLAGS) {
        tool_table_cell(table, "-");
        return;
    }
    switch (column) {
    case COLUMN_KIND:
        tool_table_cell(table, "%s", row->kind);
        break;
    case COLUMN_PATH:
        tool_table_cell(table, "%s", stats->remote ? "link" : row->path);
        break;
    case COLUMN_FILL:
        add_fill(table, tool_queue_fill(stats), look);
        break;
    case COLUMN_IN:
    case COLUMN_OUT:
    case COLUMN_BYTES:
    case COLUMN_DROP:
    case COLUMN_REDELIVERED:
        add_rate(table, rates, values[column]);
        break;
    case COLUMN_P50:
    case COLUMN_P99:
        add_wait(table, row, column == COLUMN_P50 ? row->p50_us : row->p99_us);
        break;
    case COLUMN_AGE:
        tool_table_cell(table, "%s", stats->ready > 0 && stats->oldest_ms > 0 ? tool_age(stats->oldest_ms, text) : "-");
        break;
    case COLUMN_WAIT:
        tool_table_cell(table, "%s", who_waits(row));
        break;
    case COLUMN_FLAGS:
        tool_table_cell(table, "%s", top_flags(row, text)[0] != '\0' ? text : "-");
        break;
    case COLUMN_TREND:
        add_trend(table, frame, row, look);
        break;
    case COLUMN_SEQ:
    case COLUMN_WINDOW:
    case COLUMN_HEAD:
        add_pool_cell(table, row, column);
        break;
    default:
        add_number(table, counts[column], 10000000);
        break;
    }
}

struct slice slice_rows(const struct frame *frame, size_t from, size_t count)
{
    size_t left = from < frame->count ? frame->count - from : 0;

    return (struct slice){.rows = frame->rows + (left > 0 ? from : 0), .count = count < left ? count : left, .frame = frame->number};
}

struct slice slice_pools(const struct frame *frame, size_t from, size_t count)
{
    size_t left = from < frame->pool_count ? frame->pool_count - from : 0;

    return (struct slice){.rows = frame->pools + (left > 0 ? from : 0), .count = count < left ? count : left, .frame = frame->number};
}

void columns_fill(const struct slice *slice, const struct picked *picked, enum look look, struct tool_column heads[COLUMNS],
                  struct tool_table *table)
{
    for (size_t i = 0; i < picked->count; i++)
        heads[i] = columns[picked->columns[i]];
    tool_table_init(table, heads, picked->count);
    for (size_t i = 0; i < slice->count; i++)
        for (size_t j = 0; j < picked->count; j++) {
            if (picked->columns[j] == COLUMN_QUEUE)
                add_name(table, slice->rows[i], i > 0 ? slice->rows[i - 1] : NULL);
            else
                add_cell(table, slice->frame, slice->rows[i], picked->columns[j], look);
        }
}
