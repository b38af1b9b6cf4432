/* views.h -- the views beside that of queues, as tables and for machines. */
#ifndef PTQTOP_VIEWS_H
#define PTQTOP_VIEWS_H

#include "top.h"

/* Fill a table, all rows; end it with tool_table_fini. */
/* LANE_LETTERS: a letter a frame.  Else waves.  width: letters of a lane; narrow: few columns beside it. */
enum lane_style { LANE_LETTERS, LANE_WAVE, LANE_WAVE_ASCII };
void workers_fill_table(const struct workers *workers, enum lane_style style, size_t width, bool narrow, struct tool_table *table);
void processes_fill_table(const struct frame *frame, struct tool_table *table);
void links_fill_table(const struct frame *frame, struct tool_table *table);
void events_fill_table(const struct events *events, uint64_t from, struct tool_table *table); /* from that number on, the oldest first */

/* For a screen: the newest first, and those of one kind and queue, one behind the other, as one. */
struct fold {
    uint64_t newest; /* the number of its newest event */
    uint64_t amount; /* of all of them */
    unsigned times;
    int64_t first_ms;
};
size_t events_fold(const struct events *events, struct fold *folds); /* room for EVENTS of them; how many */
void events_fill_folded(const struct events *events, const struct fold *folds, size_t count, int64_t now_ms, struct tool_table *table);

/* An array each, or one row of it. */
json_t *workers_row_json(const struct worker_row *row);
json_t *processes_row_json(const struct process_row *row);
json_t *links_row_json(const struct link_row *row);
json_t *events_row_json(const struct event *event);

void workers_csv(const struct frame *frame, bool later, FILE *out);

#endif
