/* draw.c -- what ptqtop draws: the table, one queue's detail, help. */
#include "screen.h"

#include <stdlib.h>
#include <string.h>

#include "common/report.h"
#include "common/text.h"

/* Behind `count` characters of escaped text; *ret_passed is how many there were. */
static const char *pass(const char *at, int count, int *ret_passed)
{
    int passed = 0;

    for (; passed < count && *at != '\0'; passed++)
        at += tool_utf8((const unsigned char *)at, strlen(at));
    *ret_passed = passed;
    return at;
}

/* Writes `text`, cut to the width of the screen, one column a character.  The first `fixed` characters stay; of the rest
 * `left` are left out. */
static void draw_part(int y, const char *text, int fixed, int left, attr_t attributes)
{
    char safe[4096];
    const char *at = tool_escape(text, strlen(text), safe, sizeof safe);
    int width, more, skipped;

    const char *end = pass(at, fixed < COLS ? fixed : COLS, &width);
    attrset(attributes);
    mvaddnstr(y, 0, at, (int)(end - at));
    at = pass(end, left, &skipped);
    end = pass(at, COLS - width, &more);
    addnstr(at, (int)(end - at));
    width += more;
    if (attributes & A_REVERSE)
        for (; width < COLS; width++)
            addch(' ');
    attrset(A_NORMAL);
}

static void draw_text(int y, const char *text, attr_t attributes)
{
    draw_part(y, text, 0, 0, attributes);
}

static attr_t paint(const struct screen *screen, enum paint pair, attr_t without)
{
    return screen->colour ? (attr_t)COLOR_PAIR(pair) : without;
}

static attr_t paint_row(const struct screen *screen, const struct row *row)
{
    char flags[16];

    top_flags(row, flags);
    if (strpbrk(flags, "DX") != NULL)
        return paint(screen, PAINT_ALARM, A_BOLD);
    if (strpbrk(flags, "FS") != NULL)
        return paint(screen, PAINT_WARN, A_BOLD);
    return A_NORMAL;
}

static void draw_header(const struct screen *screen)
{
    char line[1024];

    for (int i = 0; i < HEADER_LINES; i++)
        draw_text(i, top_header(screen->frame, i, line, sizeof line), i == 0 ? A_BOLD : A_NORMAL);
}

static void draw_footer(const struct screen *screen)
{
    char line[512];

    if (screen->typing)
        snprintf(line, sizeof line, "filter: %s_", screen->filter);
    else if (screen->view == VIEW_WORKERS)
        snprintf(line, sizeof line, "every %.3gs  %zu workers  w queues  space pause  ? help  q quit%s", top_options.delay,
                 screen->frame != NULL ? screen->frame->workers.count : 0, screen->paused ? "  PAUSED" : "");
    else if (screen->view == VIEW_DETAIL)
        snprintf(line, sizeof line, "Esc back  space pause  ? help  q quit%s", screen->paused ? "  PAUSED" : "");
    else
        snprintf(line, sizeof line, "every %.3gs  sort %s%s  %s%s%s%s? help  q quit", top_options.delay,
                 top_column((size_t)top_options.sort).head, top_options.reverse ? " reversed" : "",
                 screen->filter[0] != '\0' ? "filter " : "", screen->filter, screen->filter[0] != '\0' ? "  " : "",
                 screen->paused ? "PAUSED  " : "");
    draw_text(LINES - 1, line, A_REVERSE);
}

static void keep_selection(struct screen *screen)
{
    const struct frame *frame = screen->frame;

    for (size_t i = 0; screen->selected_name[0] != '\0' && i < frame->count; i++)
        if (strcmp(frame->rows[i].name, screen->selected_name) == 0 && frame->rows[i].kind == screen->selected_kind)
            screen->selected = i;
    if (screen->selected >= frame->count)
        screen->selected = frame->count > 0 ? frame->count - 1 : 0;
    if (frame->count > 0) {
        snprintf(screen->selected_name, sizeof screen->selected_name, "%s", frame->rows[screen->selected].name);
        screen->selected_kind = frame->rows[screen->selected].kind;
    }
}

static void draw_queues(struct screen *screen)
{
    const struct frame *frame = screen->frame;
    int height = LINES - HEADER_LINES - 3;
    size_t room = height > 0 ? (size_t)height : 0;
    struct tool_table table;
    char line[2048];

    top_fill_table(frame, screen->look, &table);
    draw_part(HEADER_LINES + 1, tool_table_line(&table, SIZE_MAX, line, sizeof line), table.widths[0] + 2, screen->left,
              A_REVERSE | paint(screen, PAINT_HEAD, A_NORMAL));
    if (screen->selected < screen->top)
        screen->top = screen->selected;
    if (room > 0 && screen->selected >= screen->top + room)
        screen->top = screen->selected - room + 1;
    for (size_t i = 0; i < room && screen->top + i < tool_table_rows(&table); i++) {
        size_t row = screen->top + i;
        attr_t attributes = row == screen->selected ? A_REVERSE : paint_row(screen, &frame->rows[row]);
        draw_part(HEADER_LINES + 2 + (int)i, tool_table_line(&table, row, line, sizeof line), table.widths[0] + 2,
                  screen->left, attributes);
    }
    if (frame->count == 0)
        draw_text(HEADER_LINES + 3, frame->queues == 0 && screen->filter[0] == '\0' ? "no queues yet" : "no queue passes the filter",
                  A_NORMAL);
    tool_table_fini(&table);
}

static void draw_workers(struct screen *screen)
{
    const struct workers *workers = &screen->frame->workers;
    size_t room = LINES > HEADER_LINES + 3 ? (size_t)(LINES - HEADER_LINES - 3) : 0;
    struct tool_table table;
    char line[2048];

    workers_fill_table(workers, &table);
    if (screen->top_worker + room > workers->count)
        screen->top_worker = workers->count > room ? workers->count - room : 0;
    draw_part(HEADER_LINES + 1, tool_table_line(&table, SIZE_MAX, line, sizeof line), table.widths[0] + 2, screen->left,
              A_REVERSE | paint(screen, PAINT_HEAD, A_NORMAL));
    for (size_t i = 0; i < room && screen->top_worker + i < workers->count; i++) {
        const struct worker_row *row = &workers->rows[screen->top_worker + i];
        draw_part(HEADER_LINES + 2 + (int)i, tool_table_line(&table, screen->top_worker + i, line, sizeof line), table.widths[0] + 2,
                  screen->left, row->now.state == PTQ_WORKER_WAITS_FOR_ROOM ? paint(screen, PAINT_WARN, A_BOLD) : A_NORMAL);
    }
    if (workers->count == 0)
        draw_text(HEADER_LINES + 3, "no worker of a pool is on this host", A_NORMAL);
    tool_table_fini(&table);
}

/* -- one queue ------------------------------------------------------------------------------------------------ */

static void fill_endpoints(struct screen *screen, const char *name, struct tool_table *table)
{
    static const struct tool_column columns[] = {
        {"PID", false}, {"COMMAND", true}, {"STATE", true}, {"SINCE", true}, {"PUT", false},
        {"TAKEN", false}, {"ACKED", false}, {"NACKED", false}, {"LEASED", false}, {"OLDEST", false}};
    size_t count = watcher_endpoints(screen->watcher, name, screen->endpoints, ENDPOINTS_MAX);
    char when[32];

    tool_table_init(table, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < count; i++) {
        const struct ptq_view_endpoint *one = &screen->endpoints[i];
        const uint64_t figures[] = {one->put, one->taken, one->acked, one->nacked, one->leased};
        tool_table_cell(table, "%d", one->pid);
        tool_table_cell(table, "%s", one->command);
        tool_table_cell(table, "%s", one->alive ? "alive" : "dead");
        tool_table_cell(table, "%s", tool_when(one->since_unix_ms, when));
        for (size_t j = 0; j < sizeof figures / sizeof figures[0]; j++)
            tool_table_cell(table, "%llu", (unsigned long long)figures[j]);
        if (one->leased > 0)
            tool_table_cell(table, "%llu", (unsigned long long)one->oldest_position);
        else
            tool_table_cell(table, "-");
    }
}

static int draw_facts(const struct row *row, int y)
{
    const struct ptq_queue_stats *stats = &row->stats;
    typedef unsigned long long ull;
    char line[1024], age[16], flags[16];

    snprintf(line, sizeof line, "%s  (%s)  %s", row->name, row->kind, row->is_pool ? "" : row->info.path);
    draw_text(y++, line, A_BOLD);
    snprintf(line, sizeof line, "%llu messages of at most %llu bytes   %llu ready (%.0f%%)  %llu leased  %llu delayed  %llu dead",
             (ull)stats->capacity, (ull)stats->item_size, (ull)stats->ready, tool_queue_fill(stats), (ull)stats->leased,
             (ull)stats->delayed, (ull)stats->dead);
    draw_text(y++, line, A_NORMAL);
    snprintf(line, sizeof line, "%llu put  %llu taken  %llu acked  %llu given back  %llu redelivered  %llu dropped",
             (ull)stats->put, (ull)stats->taken, (ull)stats->acked, (ull)stats->nacked, (ull)stats->redelivered,
             (ull)stats->dropped);
    draw_text(y++, line, A_NORMAL);
    snprintf(line, sizeof line, "oldest %s  recoveries %llu  flags %s%s",
             stats->oldest_ms > 0 ? tool_age(stats->oldest_ms, age) : "-", (ull)stats->recovered,
             top_flags(row, flags)[0] != '\0' ? flags : "-", stats->ended ? "  ended" : "");
    draw_text(y++, line, A_NORMAL);
    if (row->is_pool) {
        snprintf(line, sizeof line, "next ticket out %llu  window %llu  %llu results wait  head held by %d %s%s",
                 (ull)row->sequence, (ull)row->info.window, (ull)row->held, row->holder_pid, row->holder_pid != 0 ? row->holder_command : "nobody",
                 row->holder_pid != 0 && !row->holder_alive ? " (dead)" : "");
        draw_text(y++, line, A_NORMAL);
    }
    return y;
}

static void draw_detail(struct screen *screen)
{
    const struct frame *frame = screen->frame;
    char name[PTQ_NAME_MAX + 8], line[2048];
    struct tool_table table;

    if (screen->selected >= frame->count ||
        strcmp(frame->rows[screen->selected].name, screen->selected_name) != 0) {
        draw_text(HEADER_LINES + 1, "the queue is gone", A_BOLD);
        return;
    }
    const struct row *row = &frame->rows[screen->selected];
    int y = draw_facts(row, HEADER_LINES + 1);
    snprintf(name, sizeof name, "%s%s", row->name, row->is_pool ? ".jobs" : "");
    fill_endpoints(screen, name, &table);
    draw_part(++y, tool_table_line(&table, SIZE_MAX, line, sizeof line), table.widths[0] + 2, screen->left,
              A_REVERSE | paint(screen, PAINT_HEAD, A_NORMAL));
    for (size_t i = 0; i < tool_table_rows(&table) && ++y < LINES - 1; i++)
        draw_part(y, tool_table_line(&table, i, line, sizeof line), table.widths[0] + 2, screen->left,
                  screen->endpoints[i].alive ? A_NORMAL : paint(screen, PAINT_ALARM, A_BOLD));
    if (tool_table_rows(&table) == 0 && y + 1 < LINES - 1)
        draw_text(y + 1, "nobody is attached", A_NORMAL);
    tool_table_fini(&table);
}

static void draw_help(void)
{
    static const char *const lines[] = {
        "arrows h j k l   move; left and right scroll wide tables",
        "PgUp PgDn g G    by pages, to the first, to the last",
        "Enter            one queue: figures and who is attached",
        "w 4              workers of pools;  1  queues",
        "Esc              back",
        "/ \\ F4           filter by name: a part of it, or a glob; empty shows all",
        "< > F6           sort by the column before, or behind",
        "I r              the other way round",
        "space p          pause",
        "+ -              longer, or shorter, between frames",
        "q F10 Ctrl-C     quit",
        "",
        "IN/s OUT/s       messages put and acknowledged a second;  B/s bytes put",
        "AGE              of the oldest ready message;  PROD CONS who have put, and got",
        "SEQ WINDOW HEAD  of a pool: next ticket out, how far results may run ahead, who works on it",
        "FLAGS            F full  D dead letters  R recovered after a death  X dead, not yet recovered",
        "                 E ended  S stalled: holds messages and none left since the last frame",
        "LANE             of a worker, a frame a letter: # worked  = half  - little  . nothing to do  o window full"};

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        draw_text(HEADER_LINES + 1 + (int)i, lines[i], A_NORMAL);
}

void screen_draw(struct screen *screen)
{
    erase();
    if (screen->frame != NULL) {
        draw_header(screen);
        keep_selection(screen);
        if (screen->view == VIEW_QUEUES)
            draw_queues(screen);
        else if (screen->view == VIEW_WORKERS)
            draw_workers(screen);
        else if (screen->view == VIEW_DETAIL)
            draw_detail(screen);
        else
            draw_help();
    }
    draw_footer(screen);
    refresh();
}
