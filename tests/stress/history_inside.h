/* history_inside.h -- what the two halves of the checker of histories share: what each message went through, and how events are read. */
#ifndef PTQ_TESTS_STRESS_HISTORY_INSIDE_H
#define PTQ_TESTS_STRESS_HISTORY_INSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stress/history.h"

#define NEVER UINT64_MAX

/* What is known of one message. */
struct message {
    uint64_t put_begin, put_end;     /* NEVER: it is not promised */
    uint64_t place;                  /* 0: not known */
    uint64_t fresh_begin, fresh_end; /* handed out without its flag */
    uint64_t other_end;              /* the first return of a take that was not that */
    uint64_t first_take, next_take;  /* the least begins of any two */
    uint64_t last_take;              /* the last begin of any */
    uint64_t settled;                /* when it certainly was; NEVER */
    uint32_t at;                     /* in the lease that is looked at */
    uint8_t fresh, acks;
    bool is_put, is_refused, is_packed, is_loose, is_delayed, is_taken, is_nacked, may_be_settled;
};

struct span {
    uint64_t key, most; /* most: once sorted, of all up to here */
};
struct spans {
    struct span *at;
    size_t count;
};

struct check {
    const struct history *history;
    const struct history_rules *rules;
    struct history_report *report;
    struct message *messages;
    uint64_t count; /* of messages */
    uint64_t *flushed; /* by actor */
    uint64_t close_begin, close_end, end_at, last_kick;
    uint64_t *died;    /* by actor; NEVER */
    uint64_t *last;    /* by actor: the begin of its last event */
    struct spans doomed; /* from what a killed one did last to its death */
    struct spans pauses; /* while the queue was paused, or may have been */
    bool has_batches, has_letters;
    uint64_t open_receives;
};

/* Which message the next breach is of; a breach. */
void history_is_about(struct check *c, uint64_t value);
void history_breach(struct check *c, enum history_law law, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* history_laws.c: the laws of time and place.  False: no memory. */
bool history_judge(struct check *c);
/* history_again.c: of what is handed out again. */
bool history_judge_again(struct check *c);

/* The greatest `most` among those with a key below a bound, once they are closed. */
bool history_make_spans(struct spans *spans, uint64_t count);
void history_add_span(struct spans *spans, uint64_t key, uint64_t value);
void history_close_spans(struct spans *spans);
int history_compare_spans(const void *a, const void *b);
size_t history_below(const struct spans *spans, uint64_t key);
uint64_t history_most_below(const struct spans *spans, uint64_t key);

uint64_t history_count_events(const struct check *c, bool (*is_wanted)(const struct history_event *e));

static inline enum history_op op_of(const struct history_event *e) { return (enum history_op)(e->what & 15); }
static inline bool has_flag(const struct history_event *e, unsigned flag) { return (e->what >> 4 & flag) != 0; }
static inline bool is_open(const struct history_event *e) { return e->end == 0; }
static inline uint64_t end_of(const struct history_event *e) { return is_open(e) ? NEVER : e->end; }
static inline bool is_answered(const struct history_event *e, enum ptq_err answer) { return !is_open(e) && e->answer == answer; }
static inline bool is_take(const struct history_event *e)
{
    return (op_of(e) == HISTORY_GET || op_of(e) == HISTORY_RECV) && is_answered(e, PTQ_OK);
}
static inline bool is_put(const struct history_event *e) { return op_of(e) == HISTORY_PUT; }
static inline bool may_be_in(const struct history_event *e) { return is_open(e) || e->answer == PTQ_OK; }

static inline bool found_nothing(const struct history_event *e)
{
    return (op_of(e) == HISTORY_GET || op_of(e) == HISTORY_RECV) && !has_flag(e, HISTORY_LETTER) &&
           (is_answered(e, PTQ_EMPTY) || is_answered(e, PTQ_TIMEDOUT));
}

static inline uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t most(uint64_t a, uint64_t b) { return a > b ? a : b; }

static inline unsigned long long ull(uint64_t n) { return (unsigned long long)n; }

#endif
