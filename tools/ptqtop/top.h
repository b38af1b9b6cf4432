/* top.h -- what the files of ptqtop share: options, and a frame: what is seen at one moment. */
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

/* The views, in the order of their keys. */
#define VIEW_WORDS "queues|processes|links|pools|events"
enum view { VIEW_QUEUES, VIEW_PROCESSES, VIEW_LINKS, VIEW_POOLS, VIEW_EVENTS, VIEWS };

struct top_options {
    const char *run, *dir, *filter, *columns, *peer;
    double delay; /* seconds */
    uint64_t count;
    int output;   /* enum top_output; -1: not given */
    int sort;     /* enum column */
    int view;     /* enum view */
    bool once, batch, reverse, ascii, no_colour, version, allow_write;
    bool workers; /* of the view of pools the workers alone */
    const char *serve, *out; /* openmetrics.c */
    uint64_t max_queues;     /* ... 0: not given */
    bool insecure;           /* ... */
};
extern struct top_options top_options;

/* -- one queue, or one pool -------------------------------------------------------------------------------------- */

struct rates {
    bool known; /* false in a queue's first frame: shown as "-", never as 0 */
    double in, out, bytes, redelivered, dropped;
};

/* What it was in the last frames, the newest behind. */
#define HISTORY 64
struct history {
    float depth[HISTORY], in[HISTORY], out[HISTORY];
    uint64_t frame; /* of the newest; 0: there is none */
    uint64_t since; /* the first */
};

struct row {
    char name[PTQ_NAME_MAX + 1];
    const char *kind;      /* queue, jobs, done, pool, outbox, other */
    const char *path;      /* shm, link */
    struct ptq_view_info info;
    struct ptq_queue_stats stats; /* a pool's: its jobs', with the dead of both */
    struct rates rates;
    uint64_t wait_count, p50_us, p99_us; /* time in the queue, since the baseline; count: measured */
    uint64_t overdue;      /* leases that have run out */
    bool get_waits, put_waits;
    bool stalled;          /* it holds messages, and none left since the frame before */
    bool down, skewed;     /* its link is down; its memory is of another version */
    bool unread;           /* there are no figures */
    bool is_pool, unordered;
    uint64_t sequence;     /* pool: the next ticket to come out */
    uint64_t held;         /* pool: results that wait for their turn, or to be got */
    int32_t holder_pid;    /* pool: who works on that ticket; 0: nobody */
    bool holder_alive;
    char holder_command[16];
    int64_t holder_ns;     /* for how long, as far as it is known */
    int64_t holder_since;  /* monotonic: seen as such since then */
    uint64_t holder_sequence; /* ... with that ticket */
    bool holder_asked;        /* its worker was */
    struct history *history; /* NULL: none yet */
    char note[300];          /* an outbox: where to; a queue that is not read: why */
};

/* -- workers of the pools of this bus on this host ----------------------------------------------------------------- */

#define LANE 240 /* letters that a lane has at most */

struct worker_row {
    char pool[PTQ_NAME_MAX + 1];
    struct ptq_worker_status now;
    int64_t at;      /* monotonic ns */
    bool known;      /* it was there the time before: its rate */
    double rate;
    int64_t base_at; /* the rate is that since then: done were */
    uint64_t base_done;
    char lane[LANE + 1]; /* a mark a look, the newest last */
};

struct workers {
    struct worker_row *rows, *before;    /* owned; before: of the look before */
    size_t count, room, before_count, before_room;
    struct ptq_worker_status *read;      /* owned: scratch */
    bool wave;              /* lanes are waves (workers.c), looked at often */
    int64_t rate_window_ns; /* a rate is of so long at least */
};

/* -- processes.c ----------------------------------------------------------------------------------------------- */

struct process_row {
    int32_t pid;
    char command[16];
    char what[112];          /* a worker's pool and task; a supervised one's hooks and section */
    const char *kind;        /* attached, worker, supervised */
    bool alive;
    unsigned queues;         /* that it is attached to, each once */
    int64_t since_unix_ms;
    uint64_t put, taken, acked, leased;
    double put_rate, ack_rate;
    bool known;              /* the rates are, and the processor time */
    double cpu;              /* percent of a core */
    uint64_t cpu_ms, rss_bytes;
    int32_t parent;          /* 0: not known */
};

struct processes {
    struct process_row *rows, *before; /* owned */
    size_t count, room, before_count, before_room;
    int64_t at, at_before;
};

/* -- links.c --------------------------------------------------------------------------------------------------- */

struct link_row {
    char name[300], url[256], why[160]; /* name: a node, or the target of an outbox */
    const char *kind;      /* peer, outbox */
    bool known, up;
    int64_t since_unix_ms; /* 0: not told */
    uint64_t rtt_ns;       /* 0: not asked, or no answer */
    size_t queues;
    uint64_t waiting, moved, refused; /* outboxes */
    double rate;           /* outboxes: carried a second */
    bool has_rate;
    bool shares_link;      /* a peer before it stands for the same link */
};

struct links {
    struct link_row *rows, *before; /* owned */
    size_t count, room, before_count, before_room;
    unsigned up, down;
    int64_t at, at_before; /* of the looks */
};

/* -- events.c -------------------------------------------------------------------------------------------------- */

enum event_weight { EVENT_PLAIN, EVENT_WARN, EVENT_ALARM };
struct event {
    int64_t unix_ms;
    enum event_weight weight;
    const char *kind;      /* those of one kind that follow one another are told as one on a screen */
    uint64_t amount;       /* that the text begins with; 0: it does not */
    char subject[PTQ_NAME_MAX + 1];
    char text[120];
};
#define EVENTS 2048
struct events {
    struct event list[EVENTS]; /* a ring */
    uint64_t count;            /* ever */
    uint64_t first_of_frame;   /* of the frame, the first one's number */
};

/* -- a frame --------------------------------------------------------------------------------------------------- */

struct frame {
    char host[256], dir[512], run[PTQ_NAME_MAX + 1];
    int64_t unix_ms, ns; /* ns: monotonic */
    uint64_t number;                   /* from 1 */
    uint64_t memory_used, memory_free; /* by this bus; in its file system */
    unsigned queues, unreadable;       /* queues that could not be looked at */
    unsigned processes_alive, processes_dead;
    struct rates total;
    uint64_t dropped, recovered;
    bool gone;                         /* its directory is not there */
    int64_t baseline_ms;               /* since when rates and waits are told; 0: rates since the frame before */
    struct row **rows;                 /* owned, but not what they point to */
    size_t count, room;
    struct row **pools;                /* those of them that are pools; likewise */
    size_t pool_count, pool_room;
    struct workers workers;
    struct processes processes;
    struct links links;
    struct events events;
};

/* -- render.c, json.c, csv.c -------------------------------------------------------------------------------------- */

enum { HEADER_LINES = 3 };

/* A line of the header, without a newline, in as few words as this width needs; 0: in all. */
char *top_header(const struct frame *frame, int line, int width, char *buffer, size_t room);
/* Lets drops be told in red: where in the line they stand; false: there are none. */
bool top_header_drops(const struct frame *frame, const char *line, size_t *ret_from, size_t *ret_to);

/* A frame as text or for machines.  TOOL_OK or TOOL_ERROR. */
int top_render(const struct frame *frame, enum top_output output, bool later, FILE *out);

int render_json(const struct frame *frame, FILE *out);
int render_ndjson(const struct frame *frame, FILE *out);
int render_csv(const struct frame *frame, bool later, FILE *out);
int render_rows_csv(const struct frame *frame, FILE *out); /* of views whose rows are known as objects */
void print_csv_text(const char *text, FILE *out); /* a field, quoted where it must be */
void set_rate(json_t *object, const char *key, bool known, double value);

/* -- screen.c --------------------------------------------------------------------------------------------------- */

struct watcher;

/* Can there be a screen: terminals on both sides, and one that knows more than lines? */
bool screen_possible(void);

/* Runs until the user leaves.  An exit code; -1: the terminal cannot do it. */
int screen_run(struct watcher *watcher);

#endif
