/* table.c -- rows of text in aligned columns. */
#include "common/table.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/say.h"
#include "common/text.h"

static void reset_widths(struct tool_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        table->widths[i] = tool_width(table->columns[i].head, SIZE_MAX);
}

void tool_table_init(struct tool_table *table, const struct tool_column *columns, size_t count)
{
    *table = (struct tool_table){.columns = columns, .count = count};
    reset_widths(table);
}

void tool_table_clear(struct tool_table *table)
{
    for (size_t i = 0; i < table->used; i++)
        free(table->cells[i]);
    table->used = 0;
    reset_widths(table);
}

void tool_table_fini(struct tool_table *table)
{
    tool_table_clear(table);
    free(table->cells);
    table->cells = NULL;
}

static bool make_room(struct tool_table *table)
{
    if (table->used < table->room)
        return true;
    size_t room = table->room == 0 ? 64 : table->room * 2;
    char **cells = realloc(table->cells, room * sizeof *cells);
    if (cells == NULL)
        return false;
    table->cells = cells;
    table->room = room;
    return true;
}

void tool_table_cell(struct tool_table *table, const char *format, ...)
{
    char text[1024];
    char safe[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    tool_escape(text, strlen(text), safe, sizeof safe);

    char *cell = make_room(table) ? strdup(safe) : NULL;
    if (cell == NULL) {
        table->failed = true;
        return;
    }
    int *width = &table->widths[table->used % table->count];
    if (tool_width(cell, SIZE_MAX) > *width)
        *width = tool_width(cell, SIZE_MAX);
    table->cells[table->used++] = cell;
}

size_t tool_table_rows(const struct tool_table *table)
{
    return table->used / table->count;
}

char *tool_table_line(const struct tool_table *table, size_t row, char *line, size_t room)
{
    size_t used = 0;

    line[0] = '\0';
    for (size_t i = 0; i < table->count; i++) {
        const char *cell = row == SIZE_MAX ? table->columns[i].head : table->cells[row * table->count + i];
        int pad = table->widths[i] - tool_width(cell, SIZE_MAX);
        bool left = table->columns[i].left;
        bool last = i + 1 == table->count;
        int length = snprintf(line + used, room - used, "%*s%s%*s", left ? 0 : pad, "", cell,
                              (left && !last ? pad : 0) + (last ? 0 : 2), "");
        if (length < 0 || (size_t)length >= room - used)
            break;
        used += (size_t)length;
    }
    while (used > 0 && line[used - 1] == ' ')
        line[--used] = '\0';
    return line;
}

void tool_table_print(const struct tool_table *table, FILE *out)
{
    bool bold = tool_colour(out);
    char line[4096];

    fprintf(out, "%s%s%s\n", bold ? "\033[1m" : "", tool_table_line(table, SIZE_MAX, line, sizeof line),
            bold ? "\033[0m" : "");
    for (size_t row = 0; row < tool_table_rows(table); row++)
        fprintf(out, "%s\n", tool_table_line(table, row, line, sizeof line));
}
