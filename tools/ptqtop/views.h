/* views.h -- the views beside that of queues, as tables and for machines. */
#ifndef PTQTOP_VIEWS_H
#define PTQTOP_VIEWS_H

#include "top.h"

/* Fill a table, all rows; end it with tool_table_fini. */
/* LANE_LETTERS: a letter a frame.  Else waves.  width: letters of a lane; narrow: few columns beside it. */
enum lane_style { LANE_LETTERS, LANE_WAVE, LANE_WAVE_ASCII };
void workers_fill_table(const struct workers *workers, enum lane_style style, size_t width, bool narrow, struct tool_table *table);
void processes_fill_table(const struct processes *processes, struct tool_table *table);
void links_fill_table(const struct frame *frame, struct tool_table *table);
void events_fill_table(const struct events *events, uint64_t from, struct tool_table *table); /* from that number on, the oldest first */
void events_fill_newest(const struct events *events, struct tool_table *table);              /* all, the newest first */

/* An array each, or one row of it. */
json_t *workers_row_json(const struct worker_row *row);
json_t *processes_row_json(const struct process_row *row);
json_t *links_row_json(const struct link_row *row);
json_t *events_row_json(const struct event *event);

void workers_csv(const struct frame *frame, bool later, FILE *out);

#endif
