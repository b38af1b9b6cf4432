/* top.h -- what the files of ptqtop share: options, a frame of rows, the columns. */
#ifndef PTQTOP_TOP_H
#define PTQTOP_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include <ptq/ptq.h>

#include "common/table.h"

enum top_output { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_NDJSON, OUTPUT_CSV, OUTPUT_OPENMETRICS };

struct top_options {
    const char *run, *dir, *filter;
    double delay; /* seconds */
    uint64_t count;
    int output;   /* enum top_output; -1: not given */
    int sort;     /* a column */
    bool once, batch, reverse, ascii, no_colour, version;
    bool workers; /* instead of queues */
    const char *serve, *out; /* openmetrics.c */
    uint64_t max_queues;     /* ... 0: not given */
    bool insecure;           /* ... */
};
extern struct top_options top_options;

/* -- frame.c: what is seen at one moment ----------------------------------------------------------------------- */

struct rates {
    bool known; /* false in a queue's first frame: shown as "-", never as 0 */
    double in, out, bytes, redelivered;
};

/* A pool row stands for NAME.jobs and NAME.done together. */
struct row {
    char name[PTQ_NAME_MAX + 1];
    const char *kind; /* queue, jobs, done, pool */
    struct ptq_view_info info;
    struct ptq_queue_stats stats; /* a pool's: its jobs', with the dead of both */
    struct rates rates;
    bool stalled;          /* it holds messages, and none left since the frame before */
    bool is_pool, unordered;
    uint64_t sequence;     /* pool: the next ticket to come out */
    uint64_t held;         /* pool: results that wait for their turn, or to be got */
    int32_t holder_pid;    /* pool: who works on that ticket; 0: nobody */
    bool holder_alive;
    char holder_command[16];
};

/* -- workers.c: workers of the pools of this bus on this host ---------------------------------------------------- */

#define LANE 24 /* frames that a lane shows, the newest last */

struct worker_row {
    char pool[PTQ_NAME_MAX + 1];
    struct ptq_worker_status now;
    int64_t at;      /* monotonic ns */
    bool known;      /* it was there in the frame before: its rate */
    double rate;
    char lane[LANE + 1];
};

struct workers {
    struct worker_row *rows, *before;    /* owned; before: of the frame before */
    size_t count, room, before_count, before_room;
    struct ptq_worker_status *read;      /* owned: scratch */
};

struct frame {
    char host[256], dir[512], run[PTQ_NAME_MAX + 1];
    int64_t unix_ms;
    uint64_t memory_used, memory_free; /* by this bus; in its file system */
    unsigned queues, unreadable;       /* queues that could not be looked at */
    unsigned processes_alive, processes_dead;
    bool first;
    struct rates total;
    uint64_t dropped, recovered;
    struct row *rows; /* owned */
    size_t count, room;
    struct workers workers; /* where they were asked for */
};

void workers_begin(struct workers *workers); /* a new frame */
void workers_look(struct workers *workers, ptq_bus *bus, const char *pool, const struct ptq_view_info *jobs, int64_t now_ns);
void workers_fini(struct workers *workers);
void workers_fill_table(const struct workers *workers, struct tool_table *table);
json_t *workers_json(const struct workers *workers);
json_t *workers_row_json(const struct worker_row *row);
void workers_csv(const struct frame *frame, bool later, FILE *out);

struct watcher;

/* Watches the bus of the options.  TOOL_OK, or it has said why and gives the exit code. */
int watcher_open(struct watcher **ret_watcher);
void watcher_close(struct watcher *watcher);

/* The next frame, filtered and sorted by the options: borrowed until the next call.  PTQ_OK, or why the bus cannot be
 * listed. */
enum ptq_err watcher_look(struct watcher *watcher, const struct frame **ret_frame);

/* Sorts and filters the frame anew by the options, without another look. */
void watcher_arrange(struct watcher *watcher);

/* Who is attached to a queue: up to `most`; 0 also where it cannot be told. */
size_t watcher_endpoints(struct watcher *watcher, const char *name, struct ptq_view_endpoint *endpoints, size_t most);

/* -- columns.c -------------------------------------------------------------------------------------------------- */

/* The words of --sort, in the order of the columns. */
#define COLUMN_WORDS                                                                                                   \
    "queue|kind|path|depth|fill|ready|leased|delayed|dead|in|out|bytes|age|prod|cons|redelivered|flags|seq|window|head"

enum { COLUMNS = 20, COLUMN_QUEUE = 0, COLUMN_FLAGS = 16, COLUMN_SEQ = 17 };

enum look { LOOK_PLAIN, LOOK_BARS, LOOK_ASCII_BARS };

struct tool_column top_column(size_t column);

/* The columns up to `count` of every row. */
void top_fill_table(const struct frame *frame, enum look look, struct tool_table *table);

/* The pool columns are shown only where there is a pool. */
size_t top_columns_shown(const struct frame *frame);

/* Sorts by a column; figures with the largest first, names from A; `reverse` turns that round. */
void top_sort(struct frame *frame, int column, bool reverse);

char *top_flags(const struct row *row, char buffer[16]);

/* -- render.c --------------------------------------------------------------------------------------------------- */

enum { HEADER_LINES = 3 };

/* A line of the header, without a newline. */
char *top_header(const struct frame *frame, int line, char *buffer, size_t room);

/* A frame as text or for machines.  TOOL_OK or TOOL_ERROR. */
/* A field, quoted where it must be. */
void print_csv_text(const char *text, FILE *out);
int top_render(const struct frame *frame, enum top_output output, bool later, FILE *out);

/* -- screen.c --------------------------------------------------------------------------------------------------- */

/* Can there be a screen: terminals on both sides, and one that knows more than lines? */
bool screen_possible(void);

/* Runs until the user leaves.  An exit code; -1: the terminal cannot do it. */
int screen_run(struct watcher *watcher);

#endif
