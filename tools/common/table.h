/* table.h -- rows of text in aligned columns. */
#ifndef TOOL_TABLE_H
#define TOOL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { TOOL_COLUMNS_MAX = 32 };

struct tool_column {
    const char *head;
    bool left; /* aligned to the left; else to the right */
};

/* Cells are added from left to right, row by row.  Begin with tool_table_init, end with tool_table_fini. */
struct tool_table {
    const struct tool_column *columns;
    size_t count;  /* columns */
    char **cells;  /* owned */
    size_t used, room;
    int widths[TOOL_COLUMNS_MAX];
    bool failed;   /* no memory: it prints what it has */
};

void tool_table_init(struct tool_table *table, const struct tool_column *columns, size_t count);
void tool_table_fini(struct tool_table *table);
void tool_table_clear(struct tool_table *table); /* drops the rows, keeps the columns */

/* Adds the next cell; control characters are escaped. */
__attribute__((format(printf, 2, 3))) void tool_table_cell(struct tool_table *table, const char *format, ...);

size_t tool_table_rows(const struct tool_table *table);

/* Row `row` as a line without a newline, cut to `room` - 1 bytes; SIZE_MAX is the head.  Returns `line`. */
char *tool_table_line(const struct tool_table *table, size_t row, char *line, size_t room);

/* The head and all rows. */
void tool_table_print(const struct tool_table *table, FILE *out);

#endif
