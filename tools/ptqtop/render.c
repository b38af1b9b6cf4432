/* render.c -- a frame as text: the header, and a table. */
#include <inttypes.h>
#include <string.h>

#include "columns.h"
#include "common/say.h"
#include "common/text.h"
#include "views.h"

static char *rate_text(const struct frame *frame, double value, char buffer[16])
{
    if (!frame->total.known)
        return strcpy(buffer, "-");
    if (value > 0 && value < 10)
        snprintf(buffer, 16, "%.1f", value);
    else
        tool_human((uint64_t)(value + 0.5), 1000, buffer);
    return buffer;
}

/* How short a line of the header is told: 0 whole, 3 the least. */
static void first_line(const struct frame *frame, int level, int width, char *buffer, size_t room)
{
    char when[32], dir[4 * sizeof frame->dir];
    const char *host = top_options.peer != NULL ? top_options.peer : frame->host, *folder = top_options.peer != NULL ? "" : frame->dir;

    tool_when(frame->unix_ms, when);
    if (level == 0)
        snprintf(buffer, room, "ptqtop  %s  bus %s  %s%s%s", host, frame->run, folder, folder[0] != '\0' ? "  " : "", when);
    else if (level == 1) {
        int left = width - tool_width(host, SIZE_MAX) - tool_width(frame->run, SIZE_MAX) - (int)strlen("  bus     12:34:56");
        tool_shorten(folder, left > 0 ? left : 0, top_options.ascii, dir, sizeof dir);
        snprintf(buffer, room, "%s  bus %s%s%s  %s", host, frame->run, left > 12 && dir[0] != '\0' ? "  " : "", left > 12 ? dir : "", when + 11);
    } else
        snprintf(buffer, room, level == 2 ? "bus %s  %s" : "%s", frame->run, when + 11);
}

static void second_line(const struct frame *frame, int level, int width, char *buffer, size_t room)
{
    const struct links *links = &frame->links;
    char used[16], left[16], memory[64] = "", unread[40] = "";

    tool_human(frame->memory_used, 1024, used);
    tool_human(frame->memory_free, 1024, left);
    if (top_options.peer == NULL)
        snprintf(memory, sizeof memory, level == 0 ? "  shm %s used, %s free" : "  shm %s, %s free", used, left);
    if (frame->unreadable > 0)
        snprintf(unread, sizeof unread, "  %u cannot be read", frame->unreadable);
    if (level == 0)
        snprintf(buffer, room, "%u queue%s%s  %u process%s alive, %u dead  %u link%s up, %u down%s", frame->queues, frame->queues == 1 ? "" : "s",
                 unread, frame->processes_alive, frame->processes_alive == 1 ? "" : "es", frame->processes_dead, links->up,
                 links->up == 1 ? "" : "s", links->down, memory);
    else
        snprintf(buffer, room, "%u queue%s%s  %u process%s, %u dead  %u link%s up, %u down%s", frame->queues, frame->queues == 1 ? "" : "s",
                 level < 3 ? unread : "", frame->processes_alive, frame->processes_alive == 1 ? "" : "es", frame->processes_dead, links->up,
                 links->up == 1 ? "" : "s", links->down, level < 2 ? memory : "");
    if (level == 3 && tool_width(buffer, SIZE_MAX) > width)
        snprintf(buffer, room, "%u queues  %u/%u dead  %u/%u links", frame->queues, frame->processes_dead,
                 frame->processes_alive + frame->processes_dead, links->up, links->up + links->down);
}

static void third_line(const struct frame *frame, int level, char *buffer, size_t room)
{
    const struct rates *total = &frame->total;
    char in[16], out[16], bytes[16], drops[16], when[32], since[48] = "";

    rate_text(frame, total->in, in);
    rate_text(frame, total->out, out);
    rate_text(frame, total->bytes, bytes);
    rate_text(frame, total->dropped, drops);
    if (frame->baseline_ms != 0)
        snprintf(since, sizeof since, "  since %s", tool_when(frame->baseline_ms, when) + 11);
    if (level == 0)
        snprintf(buffer, room, "%s in/s  %s out/s  %s B/s  %s drops/s  %" PRIu64 " dropped  %" PRIu64 " recoveries%s", in, out, bytes, drops,
                 frame->dropped, frame->recovered, since);
    else
        snprintf(buffer, room, "%s in/s  %s out/s  %s drops/s%s", in, out, drops, level < 3 ? since : "");
}

char *top_header(const struct frame *frame, int line, int width, char *buffer, size_t room)
{
    for (int level = 0; level < 4; level++) {
        if (line == 0)
            first_line(frame, level, width, buffer, room);
        else if (line == 1)
            second_line(frame, level, width, buffer, room);
        else
            third_line(frame, level, buffer, room);
        if (width == 0 || tool_width(buffer, SIZE_MAX) <= width)
            break;
    }
    return buffer;
}

bool top_header_drops(const struct frame *frame, const char *line, size_t *ret_from, size_t *ret_to)
{
    const char *word = strstr(line, " drops/s");

    if (word == NULL || !frame->total.known || !(frame->total.dropped > 0))
        return false;
    *ret_to = (size_t)(word - line) + strlen(" drops/s");
    *ret_from = (size_t)(word - line);
    while (*ret_from > 0 && line[*ret_from - 1] != ' ')
        --*ret_from;
    return true;
}

static bool picked_by_options(struct picked *picked)
{
    const char *wrong;

    return top_options.columns != NULL && columns_read(top_options.columns, picked, &wrong);
}

static void print_rows(const struct slice *slice, bool pools, FILE *out)
{
    struct tool_column heads[COLUMNS];
    struct tool_table table;
    struct picked picked;

    if (!picked_by_options(&picked))
        columns_all(pools, LOOK_PLAIN, &picked);
    columns_fill(slice, &picked, top_options.ascii ? LOOK_ASCII_BARS : LOOK_PLAIN, heads, &table);
    tool_table_print(&table, out);
    tool_table_fini(&table);
}

static void print_view(const struct frame *frame, FILE *out)
{
    struct slice rows = slice_rows(frame, 0, SIZE_MAX), pools = slice_pools(frame, 0, SIZE_MAX);
    struct tool_table table;

    switch ((enum view)top_options.view) {
    case VIEW_QUEUES:
        print_rows(&rows, frame->pool_count > 0, out);
        return;
    case VIEW_POOLS:
        if (!top_options.workers) {
            print_rows(&pools, true, out);
            fputc('\n', out);
        }
        workers_fill_table(&frame->workers, LANE_LETTERS, 24, false, &table);
        break;
    case VIEW_PROCESSES:
        processes_fill_table(frame, &table);
        break;
    case VIEW_LINKS:
        links_fill_table(frame, &table);
        break;
    default:
        events_fill_table(&frame->events, frame->events.first_of_frame, &table);
        break;
    }
    tool_table_print(&table, out);
    tool_table_fini(&table);
}

static int render_table(const struct frame *frame, bool later, FILE *out)
{
    char line[1024];
    char safe[2048];

    if (later)
        fputc('\n', out);
    for (int i = 0; i < HEADER_LINES; i++) {
        top_header(frame, i, 0, line, sizeof line);
        fprintf(out, "%s\n", tool_escape(line, strlen(line), safe, sizeof safe));
    }
    fputc('\n', out);
    print_view(frame, out);
    return TOOL_OK;
}

int top_render(const struct frame *frame, enum top_output output, bool later, FILE *out)
{
    switch (output) {
    case OUTPUT_JSON:
        return render_json(frame, out);
    case OUTPUT_NDJSON:
        return render_ndjson(frame, out);
    case OUTPUT_CSV:
        return render_csv(frame, later, out);
    case OUTPUT_OPENMETRICS: /* openmetrics.c */
    case OUTPUT_TABLE:
        break;
    }
    return render_table(frame, later, out);
}
