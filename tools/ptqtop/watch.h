/* watch.h -- a bus that is watched from frame to frame: what is kept of its queues. */
#ifndef PTQTOP_WATCH_H
#define PTQTOP_WATCH_H

#include <time.h>

#include "top.h"

/* A queue and what it was in the look before.  What is touched in every frame stands first. */
struct watched {
    ptq_view *view;      /* NULL: not open */
    uint64_t mark;       /* of the last glance */
    int64_t at, at_before; /* monotonic ns: figures are of that moment; 0: never */
    uint64_t looked;     /* the frame of the last full look */
    bool seen;           /* in this frame's list */
    bool passing;        /* opened and closed in each look, as descriptors are few */
    bool quiet;          /* nothing that changes by time alone: a glance may do */
    bool good;           /* row has figures */
    bool wanted;         /* it is on the screen: all of it is looked at */
    bool still;          /* nothing moved in the look before, and its row says so */
    bool get_waits, put_waits; /* as the row says */
    bool skewed;         /* likewise */
    bool is_jobs;        /* of a pool */
    struct row row;
    struct row *pool;    /* owned; what NAME.jobs and NAME.done are together; NULL: they are not */
    struct ptq_queue_stats before;
    struct ptq_queue_stats base;            /* at the baseline */
    struct ptq_view_waits *base_waits;      /* owned; NULL: since it was made */
    int64_t base_at;                        /* 0: there was no baseline when it was made */
    struct ptq_view_endpoint *people;       /* owned: who is attached */
    size_t people_count, people_room;
};

struct asker;  /* ask.c */
struct away;   /* away.c */

struct watcher {
    ptq_bus *bus;
    struct watched **queues; /* owned, by name */
    size_t count, room;
    size_t known;            /* while listing: the sorted ones from the frame before */
    size_t open, open_most;  /* views that are kept open */
    uint64_t device, inode;  /* of the directory */
    int64_t listed_mtime_ns; /* of the directory, when it was listed last; 0: list again */
    bool has_outboxes;
    struct watched **fresh;  /* while listing */
    int32_t *pids;           /* owned: scratch; a dead one is negative */
    size_t pid_count, pid_room;
    bool people_changed;
    bool rows_changed;       /* the list of rows must be made anew */
    size_t turn;             /* whose turn a full look is next */
    bool thrifty;            /* of many queues those that stand still are only glanced at */
    size_t shown_from, shown_count; /* rows on the screen */
    char filter[PTQ_NAME_MAX + 1]; /* that the rows were made by */
    int64_t base_at;         /* 0: no baseline */
    struct frame frame;
    struct asker *asker;     /* asks peers; NULL: nobody wanted to know */
    struct away *away;       /* with --peer: looks there instead; else NULL */
    int sorted_by;
    bool sorted_reverse, failed;
};

/* -- watch.c: the bus ------------------------------------------------------------------------------------------- */

/* Watches the bus of the options.  TOOL_OK, or it has said why and gives the exit code. */
int watcher_open(struct watcher **ret_watcher);
void watcher_close(struct watcher *watcher);
bool watcher_is_busy(const struct watcher *watcher); /* somebody far away is asked: closing waits for his answer */

/* The next frame, filtered and sorted by the options: borrowed until the next call.  PTQ_OK, or why the bus cannot be
 * listed. */
enum ptq_err watcher_look(struct watcher *watcher, const struct frame **ret_frame);

/* Why a look failed, for a person: borrowed until the next call. */
const char *watcher_why(struct watcher *watcher, enum ptq_err err);

/* Sorts and filters the frame anew by the options, without another look. */
void watcher_arrange(struct watcher *watcher);

/* From now on rates and waits are told since now; or since the frame before, and ever. */
void watcher_baseline(struct watcher *watcher, bool set);

bool passes_filter(const char *name);

struct watched *watcher_find(const struct watcher *watcher, const char *name); /* NULL: there is none */

int64_t clock_ns(clockid_t clock);
double rate_of(uint64_t now, uint64_t before, double seconds);

/* -- list.c: which queues there are ------------------------------------------------------------------------------ */

enum ptq_err list_queues(struct watcher *watcher);
void list_forget(struct watcher *watcher); /* all of them: the bus is another */
void watched_free(struct watcher *watcher, struct watched *queue);

/* -- look.c: one queue ------------------------------------------------------------------------------------------- */

/* full: all of its figures; else only if a glance finds them changed.  False: it cannot be read. */
bool look_at_queue(struct watcher *watcher, struct watched *queue, bool full);
void forget_queue(struct watcher *watcher, struct watched *queue);

/* -- pools.c ----------------------------------------------------------------------------------------------------- */

/* NAME of NAME.jobs, whose results are in NAME.done; false: it is something else. */
bool name_pool(const struct watched *jobs, char name[PTQ_NAME_MAX + 1]);
/* Makes jobs->pool, or takes it away. */
void look_at_pool(struct watcher *watcher, struct watched *jobs);

void workers_begin(struct workers *workers); /* a new look */
void workers_look(struct workers *workers, ptq_bus *bus, const char *pool, const struct ptq_view_info *jobs, int64_t now_ns);
/* For how long one of them has had this ticket in hand. */
bool workers_have(struct workers *workers, ptq_bus *bus, const struct ptq_view_info *jobs, uint64_t ticket, int64_t *ret_ns);
void workers_fini(struct workers *workers);
/* All of the watched pools; also between two frames. */
void watcher_workers(struct watcher *watcher);

/* -- history.c --------------------------------------------------------------------------------------------------- */

void history_add(struct row *row, uint64_t frame);
/* The last `count` of one of its lines, also where frames passed without a look; how many there are. */
size_t history_last(const struct history *history, const float *line, bool level, uint64_t frame, size_t count, float *values);
/* As text: a letter a value, from nothing to the largest. */
char *history_spark(const float *values, size_t count, bool ascii, char *buffer, size_t room);

/* -- processes.c, links.c, events.c -------------------------------------------------------------------------------- */

void processes_look(struct watcher *watcher);
void processes_fini(struct processes *processes);
void links_look(struct watcher *watcher);
void links_fini(struct links *links);

__attribute__((format(printf, 4, 5))) void event_add(struct watcher *watcher, enum event_weight weight, const char *subject,
                                                     const char *format, ...);
/* What of the change from `before` is worth telling. */
void events_of_queue(struct watcher *watcher, const struct watched *queue);

#endif
