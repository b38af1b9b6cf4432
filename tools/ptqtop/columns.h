/* columns.h -- the columns of queues and pools: which there are, which are shown, what stands in them, and their order. */
#ifndef PTQTOP_COLUMNS_H
#define PTQTOP_COLUMNS_H

#include "top.h"

/* The words of --sort and --columns, in the order of the columns. */
#define COLUMN_WORDS                                                                                                                  \
    "queue|kind|path|depth|fill|ready|leased|delayed|dead|in|out|bytes|p50|p99|age|prod|cons|wait|drop|redelivered|flags|trend|seq|"  \
    "window|head"

enum column {
    COLUMN_QUEUE, COLUMN_KIND, COLUMN_PATH, COLUMN_DEPTH, COLUMN_FILL, COLUMN_READY, COLUMN_LEASED, COLUMN_DELAYED, COLUMN_DEAD,
    COLUMN_IN, COLUMN_OUT, COLUMN_BYTES, COLUMN_P50, COLUMN_P99, COLUMN_AGE, COLUMN_PROD, COLUMN_CONS, COLUMN_WAIT, COLUMN_DROP,
    COLUMN_REDELIVERED, COLUMN_FLAGS, COLUMN_TREND, COLUMN_SEQ, COLUMN_WINDOW, COLUMN_HEAD,
    COLUMNS
};

/* Which are shown, in which order. */
struct picked {
    size_t count;
    int columns[COLUMNS];
};

/* plain: no bars and sparklines. */
enum look { LOOK_PLAIN, LOOK_BARS, LOOK_ASCII_BARS };
enum units { UNITS_1000, UNITS_1024, UNITS_EXACT };

/* Some rows of a frame. */
struct slice {
    struct row *const *rows; /* borrowed */
    size_t count;
    uint64_t frame; /* its number */
};
struct slice slice_rows(const struct frame *frame, size_t from, size_t count);
struct slice slice_pools(const struct frame *frame, size_t from, size_t count);

struct tool_column top_column(int column);

/* Reads --columns; false: a word in it is none, *ret_wrong. */
bool columns_read(const char *text, struct picked *ret_picked, const char **ret_wrong);
/* All that say something: those of pools only where there is one, TREND not in plain text. */
void columns_all(bool pools, enum look look, struct picked *ret_picked);
/* Those of them that matter most and together fit this width, in their order. */
void columns_fit(const struct slice *slice, enum look look, int width, const struct picked *all, struct picked *ret_picked);
void columns_toggle(struct picked *picked, int column); /* in the place where it belongs */
bool columns_have(const struct picked *picked, int column);

/* `columns` must live as long as the table. */
void columns_fill(const struct slice *slice, const struct picked *picked, enum look look, struct tool_column columns[COLUMNS],
                  struct tool_table *table);
extern enum units column_units;
extern bool column_tree; /* names as a tree */
extern int column_name_width; /* of names at most, which then are told short; 0: as they are */

/* "ptq://host:port/run/name" as "> name at host:port", "ptq+ipc:///path/run/name" as "> name at /path".  Returns `buffer`. */
char *outbox_name(const char *target, char *buffer, size_t room);
char *top_flags(const struct row *row, char buffer[16]);
uint64_t row_depth(const struct row *row);

/* Sorts by a column; figures with the largest first, names from A; `reverse` turns that round. */
void top_sort(struct frame *frame, int column, bool reverse);

#endif
