/* history_check.c -- looks for what no order of the calls could explain.  The laws stand in history.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stress/history.h"

#define NEVER UINT64_MAX

/* What is known of one message. */
struct message {
    uint64_t put_begin, put_end;     /* NEVER: it is not promised */
    uint64_t place;                  /* 0: not known */
    uint64_t fresh_begin, fresh_end; /* handed out without its flag */
    uint64_t other_end;              /* the first return of a take that was not that */
    uint64_t last_take;              /* the last begin of any */
    uint64_t settled;                /* when it certainly was; NEVER */
    uint32_t at;                     /* in the lease that is looked at */
    uint8_t fresh, acks;
    bool is_put, is_refused, is_packed, is_delayed, is_taken, may_be_settled;
};

/* One record of a lease of a pack. */
struct record {
    uint32_t value, ack; /* 0: none; 1: open; 2: acked */
    uint64_t ack_end;
    bool is_letter;
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
    struct spans doomed; /* takes whose process died in them, until its death */
    struct spans pauses; /* while the queue was paused, or may have been */
    bool has_batches;
    uint64_t open_receives;
};

const char *history_law_name(enum history_law law)
{
    static const char *const names[] = {"NOWHERE",   "TWICE",     "SETTLED", "LOST", "PLACE", "PUT_ORDER",
                                        "GET_ORDER", "EMPTY",     "FULL",    "END",  "WHOLE"};

    return (unsigned)law < HISTORY_LAWS ? names[law] : "?";
}

/* Which message the next breach is of. */
static void is_about(struct check *c, uint64_t value)
{
    if (c->report->violations == 0)
        c->report->value = (uint32_t)value;
}

static __attribute__((format(printf, 3, 4))) void breach(struct check *c, enum history_law law, const char *format, ...)
{
    struct history_report *report = c->report;
    va_list arguments;
    int length;

    report->by_law[law]++;
    if (report->violations++ > 0)
        return;
    length = snprintf(report->text, sizeof report->text, "%s: ", history_law_name(law));
    va_start(arguments, format);
    vsnprintf(report->text + length, sizeof report->text - (size_t)length, format, arguments);
    va_end(arguments);
}

/* ---- events */

static enum history_op op_of(const struct history_event *e) { return (enum history_op)(e->what & 15); }
static bool has_flag(const struct history_event *e, unsigned flag) { return (e->what >> 4 & flag) != 0; }
static bool is_open(const struct history_event *e) { return e->end == 0; }
static uint64_t end_of(const struct history_event *e) { return is_open(e) ? NEVER : e->end; }
static bool is_answered(const struct history_event *e, enum ptq_err answer) { return !is_open(e) && e->answer == answer; }
static bool is_take(const struct history_event *e)
{
    return (op_of(e) == HISTORY_GET || op_of(e) == HISTORY_RECV) && is_answered(e, PTQ_OK);
}
static bool is_put(const struct history_event *e) { return op_of(e) == HISTORY_PUT; }
static bool found_nothing(const struct history_event *e)
{
    return (op_of(e) == HISTORY_GET || op_of(e) == HISTORY_RECV) && !has_flag(e, HISTORY_LETTER) &&
           (is_answered(e, PTQ_EMPTY) || is_answered(e, PTQ_TIMEDOUT));
}
static bool found_no_room(const struct history_event *e)
{
    return is_put(e) && (is_answered(e, PTQ_FULL) || is_answered(e, PTQ_TIMEDOUT));
}
static bool may_be_in(const struct history_event *e) { return is_open(e) || e->answer == PTQ_OK; }

/* The earliest and the latest of a kind. */
static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t most(uint64_t a, uint64_t b) { return a > b ? a : b; }

static unsigned long long ull(uint64_t n) { return (unsigned long long)n; }

/* ---- spans: the greatest `most` among those with a key below a bound */

static int compare_spans(const void *a, const void *b)
{
    uint64_t x = ((const struct span *)a)->key, y = ((const struct span *)b)->key;

    return (x > y) - (x < y);
}

static void close_spans(struct spans *spans)
{
    qsort(spans->at, spans->count, sizeof *spans->at, compare_spans);
    for (size_t i = 1; i < spans->count; i++)
        spans->at[i].most = most(spans->at[i].most, spans->at[i - 1].most);
}

static size_t below(const struct spans *spans, uint64_t key)
{
    size_t low = 0, high = spans->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (spans->at[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint64_t most_below(const struct spans *spans, uint64_t key)
{
    size_t n = below(spans, key);

    return n == 0 ? 0 : spans->at[n - 1].most;
}

static bool make_spans(struct spans *spans, uint64_t count)
{
    *spans = (struct spans){.at = malloc((size_t)(count + 1) * sizeof(struct span))};
    return spans->at != NULL;
}

static void add_span(struct spans *spans, uint64_t key, uint64_t value)
{
    spans->at[spans->count++] = (struct span){key, value};
}

/* ---- what each message went through */

static void read_put(struct check *c, const struct history_event *e)
{
    struct message *m = &c->messages[e->value];

    c->has_batches |= has_flag(e, HISTORY_BATCH) || has_flag(e, HISTORY_PACKED) || has_flag(e, HISTORY_SHARED);
    c->report->puts += !is_open(e) && e->answer == PTQ_OK;
    if (!may_be_in(e)) {
        m->is_refused = true;
        return;
    }
    if (m->is_put)
        breach(c, HISTORY_WHOLE, "message %u was put twice by its test", e->value);
    m->is_put = true;
    m->is_packed = has_flag(e, HISTORY_PACKED) || has_flag(e, HISTORY_SHARED);
    m->is_delayed = has_flag(e, HISTORY_DELAYED);
    m->put_begin = e->begin;
    m->put_end = is_open(e) ? NEVER : has_flag(e, HISTORY_PACKED) ? c->flushed[e->actor] : e->end;
    if (!is_open(e) && e->place)
        m->place = e->place;
}

static void read_other(struct check *c, const struct history_event *e)
{
    if (op_of(e) == HISTORY_FLUSH && is_answered(e, PTQ_OK))
        c->flushed[e->actor] = e->end;
    if (op_of(e) == HISTORY_DEATH && e->value <= UINT16_MAX)
        c->died[e->value] = e->begin;
    if (op_of(e) == HISTORY_KICK)
        c->last_kick = most(c->last_kick, end_of(e));
    if (op_of(e) == HISTORY_RECV)
        c->open_receives += is_open(e);
    if (op_of(e) == HISTORY_GET && is_answered(e, PTQ_END) && !has_flag(e, HISTORY_LETTER))
        c->end_at = least(c->end_at, e->end);
    if (op_of(e) != HISTORY_CLOSE)
        return;
    c->close_begin = least(c->close_begin, e->begin);
    if (is_answered(e, PTQ_OK) || is_answered(e, PTQ_EALREADY))
        c->close_end = least(c->close_end, e->end);
}

static void settle(struct check *c, uint32_t value, uint64_t when)
{
    struct message *m = &c->messages[value];

    m->may_be_settled = true;
    m->settled = least(m->settled, when);
    if (m->acks < 255)
        m->acks++;
    c->report->acks++;
}

static void check_origin(struct check *c, const struct history_event *e, const struct message *m)
{
    if (!m->is_put)
        breach(c, HISTORY_NOWHERE, "message %u came, and %s", e->value, m->is_refused ? "had been refused" : "nobody put it");
    else if (m->put_begin > e->end)
        breach(c, HISTORY_NOWHERE, "message %u came before it was put", e->value);
}

static void read_take(struct check *c, const struct history_event *e)
{
    struct message *m = &c->messages[e->value];

    c->report->takes++;
    c->report->again += has_flag(e, HISTORY_REDELIVERED);
    check_origin(c, e, m);
    m->is_taken = true;
    m->last_take = most(m->last_take, e->begin);
    if (e->place && m->place && m->place != e->place)
        breach(c, HISTORY_PLACE, "message %u stood at %llu.%u and came from %llu.%u", e->value, ull(m->place >> 16),
               (unsigned)(m->place & 0xffff), ull(e->place >> 16), (unsigned)(e->place & 0xffff));
    if (e->place)
        m->place = e->place;
    if (op_of(e) == HISTORY_GET && !has_flag(e, HISTORY_REDELIVERED) && !has_flag(e, HISTORY_LETTER)) {
        if (m->fresh < 255)
            m->fresh++;
        m->fresh_begin = e->begin;
        m->fresh_end = e->end;
    } else if (!has_flag(e, HISTORY_LETTER)) { /* a letter may be one that was never handed out */
        m->other_end = least(m->other_end, e->end);
    }
    if (op_of(e) == HISTORY_RECV && !(m->is_packed && c->rules->is_passed_on))
        settle(c, e->value, e->end);
    else if (op_of(e) == HISTORY_RECV)
        m->may_be_settled = true;
}

static void read_ack(struct check *c, const struct history_event *e)
{
    struct message *m = &c->messages[e->value];

    if (m->is_packed && !c->rules->is_passed_on)
        return; /* by leases, below */
    if (is_open(e) || (m->is_packed && e->answer == PTQ_OK))
        m->may_be_settled = true;
    else if (e->answer == PTQ_OK)
        settle(c, e->value, e->end);
}

static void read_events(struct check *c)
{
    uint64_t events = history_count(c->history);

    for (uint64_t i = events; i-- > 0;) { /* backwards: a packed put meets its flush */
        const struct history_event *e = history_at(c->history, i);
        c->report->events += e->what != 0;
        c->report->open += e->what != 0 && is_open(e);
        if (is_put(e))
            read_put(c, e);
        else
            read_other(c, e);
    }
    for (uint64_t i = 0; i < events; i++) {
        const struct history_event *e = history_at(c->history, i);
        if (is_take(e))
            read_take(c, e);
        else if (op_of(e) == HISTORY_ACK)
            read_ack(c, e);
    }
}

/* ---- packs: lease by lease */

struct step {
    uint64_t place; /* of the message: its pack and sub */
    uint64_t index;
    uint16_t actor;
};

static int compare_steps(const void *a, const void *b)
{
    const struct step *x = a, *y = b;

    if (x->actor != y->actor)
        return x->actor < y->actor ? -1 : 1;
    if (x->place >> 16 != y->place >> 16)
        return x->place >> 16 < y->place >> 16 ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static bool is_step(const struct check *c, const struct history_event *e)
{
    return (op_of(e) == HISTORY_ACK || op_of(e) == HISTORY_NACK || (op_of(e) == HISTORY_GET && is_take(e))) && c->messages[e->value].is_packed;
}

/* Up to the first that is not acked, all acks count; behind an open one they may. */
static void end_lease(struct check *c, const struct record *records, size_t count)
{
    uint64_t when = 0;
    bool goes_on = true, is_certain = true;

    for (size_t i = 0; i < count; i++) {
        const struct record *r = &records[i];
        goes_on = goes_on && r->ack != 0;
        is_certain = is_certain && r->ack == 2;
        when = most(when, r->ack_end);
        if (r->ack == 2 && (is_certain || r->is_letter))
            settle(c, r->value, is_certain ? when : r->ack_end);
        else if (r->ack != 0 && (goes_on || r->is_letter))
            c->messages[r->value].may_be_settled = true;
    }
}

static void note_ack(struct check *c, const struct history_event *e, struct record *records, size_t count)
{
    uint32_t at = c->messages[e->value].at;

    if (at >= count || records[at].value != e->value) {
        breach(c, HISTORY_WHOLE, "message %u was acked by who did not hold it", e->value);
        return;
    }
    if (!is_open(e) && e->answer != PTQ_OK)
        return;
    records[at].ack = is_open(e) ? 1 : 2;
    records[at].ack_end = e->end;
}

static void walk_steps(struct check *c, const struct step *steps, size_t count, struct record *records)
{
    size_t held = 0;
    uint64_t last = 0;
    bool is_back = false; /* given back: the next one is of another lease */

    for (size_t i = 0; i < count; i++) {
        const struct history_event *e = history_at(c->history, steps[i].index);
        bool is_other = i == 0 || steps[i].actor != steps[i - 1].actor || steps[i].place >> 16 != steps[i - 1].place >> 16;
        if (is_other || (op_of(e) == HISTORY_GET && (is_back || steps[i].place <= last))) {
            end_lease(c, records, held);
            held = 0;
            is_back = false;
        }
        if (op_of(e) == HISTORY_NACK) {
            is_back = true;
            continue;
        }
        if (op_of(e) == HISTORY_ACK) {
            note_ack(c, e, records, held);
            continue;
        }
        last = steps[i].place;
        c->messages[e->value].at = (uint32_t)held;
        records[held++] = (struct record){.value = e->value, .is_letter = has_flag(e, HISTORY_LETTER)};
    }
    end_lease(c, records, held);
}

static bool read_packs(struct check *c)
{
    uint64_t events = history_count(c->history);
    size_t count = 0;
    struct step *steps;
    struct record *records;

    for (uint64_t i = 0; i < events; i++)
        count += is_step(c, history_at(c->history, i));
    steps = malloc((count + 1) * sizeof *steps);
    records = malloc((count + 1) * sizeof *records);
    count = 0;
    for (uint64_t i = 0; steps && records && i < events; i++) {
        const struct history_event *e = history_at(c->history, i);
        if (is_step(c, e))
            steps[count++] = (struct step){c->messages[e->value].place, i, e->actor};
    }
    if (steps && records) {
        qsort(steps, count, sizeof *steps, compare_steps);
        walk_steps(c, steps, count, records);
    }
    free(records);
    free(steps);
    return steps && records;
}

/* ---- the laws */

static void check_messages(struct check *c)
{
    uint64_t missing = 0, allowed = c->rules->dropped + c->open_receives, first = 0;

    for (uint64_t v = 0; v < c->count; v++) {
        const struct message *m = &c->messages[v];
        is_about(c, v);
        if (m->fresh > 1 || (m->fresh == 1 && m->other_end < m->fresh_begin)) {
            breach(c, HISTORY_TWICE, "message %llu was handed out again without its flag", ull(v));
            c->report->doubled++;
        }
        if (m->acks > 1 || (m->is_taken && m->settled < m->last_take))
            breach(c, HISTORY_SETTLED, "message %llu was acked, and %s", ull(v), m->acks > 1 ? "was acked again" : "came again");
        if (m->put_end == NEVER || !m->is_put || m->may_be_settled)
            continue;
        if (missing++ == 0)
            first = v;
    }
    if (!c->rules->has_ended || missing <= allowed)
        return;
    c->report->lost = missing - allowed;
    is_about(c, first);
    breach(c, HISTORY_LOST, "%llu messages are missing, %llu may be; the first is %llu, which was %s", ull(missing),
           ull(allowed), ull(first), c->messages[first].is_taken ? "taken" : "never taken");
}

static uint64_t count_events(const struct check *c, bool (*is_wanted)(const struct history_event *e))
{
    uint64_t found = 0;

    for (uint64_t i = 0; i < history_count(c->history); i++)
        found += is_wanted(history_at(c->history, i));
    return found;
}

/* By place, ascending. */
static const struct message *all_messages;

static int compare_places(const void *a, const void *b)
{
    uint64_t x = all_messages[*(const uint32_t *)a].place, y = all_messages[*(const uint32_t *)b].place;

    return (x > y) - (x < y);
}

static bool is_pause(const struct history_event *e) { return op_of(e) == HISTORY_PAUSE; }
static bool is_resume(const struct history_event *e) { return op_of(e) == HISTORY_RESUME && is_answered(e, PTQ_OK); }

/* A pause lasts at most until the first resume that began after it has returned. */
static bool find_pauses(struct check *c)
{
    struct spans resumes;
    bool made = make_spans(&c->pauses, count_events(c, is_pause)) && make_spans(&resumes, count_events(c, is_resume));

    if (!made)
        return false;
    for (uint64_t i = 0; i < history_count(c->history); i++)
        if (is_resume(history_at(c->history, i)))
            add_span(&resumes, history_at(c->history, i)->begin, ~history_at(c->history, i)->end);
    qsort(resumes.at, resumes.count, sizeof *resumes.at, compare_spans);
    for (size_t i = resumes.count; i-- > 1;) /* the earliest end of all that begin from here on */
        resumes.at[i - 1].most = most(resumes.at[i - 1].most, resumes.at[i].most);
    for (uint64_t i = 0; i < history_count(c->history); i++) {
        const struct history_event *e = history_at(c->history, i);
        size_t next;
        if (!is_pause(e))
            continue;
        next = below(&resumes, end_of(e) == NEVER ? e->begin : e->end);
        add_span(&c->pauses, e->begin, next < resumes.count ? ~resumes.at[next].most : NEVER);
    }
    free(resumes.at);
    close_spans(&c->pauses);
    return true;
}

/* Is its lease, and its way from put to get, its own? */
static bool stands_for_itself(const struct check *c, const struct message *m)
{
    if (m->fresh != 1 || m->is_delayed)
        return false;
    if (!m->is_packed)
        return true;
    /* A pack may be leased and its first record not yet handed out: who has it is killed, or finds the queue paused. */
    return (m->place & 0xffff) == 0 && most_below(&c->doomed, m->fresh_begin) < m->put_begin &&
           most_below(&c->pauses, m->fresh_begin) < m->put_begin;
}

static bool is_doomed(const struct history_event *e)
{
    return (op_of(e) == HISTORY_GET || op_of(e) == HISTORY_RECV) && is_open(e);
}

static bool find_doomed(struct check *c)
{
    if (!make_spans(&c->doomed, count_events(c, is_doomed)))
        return false;
    for (uint64_t i = 0; i < history_count(c->history); i++) {
        const struct history_event *e = history_at(c->history, i);
        if (is_doomed(e))
            add_span(&c->doomed, e->begin, c->died[e->actor]);
    }
    close_spans(&c->doomed);
    return true;
}

static void check_places(struct check *c, const uint32_t *order, size_t count)
{
    uint64_t earliest = NEVER, latest = 0, earliest_of = 0, latest_of = 0;

    for (size_t i = 1; i < count; i++)
        if (c->messages[order[i]].place == c->messages[order[i - 1]].place)
            breach(c, HISTORY_PLACE, "messages %u and %u came from one place", order[i - 1], order[i]);
    for (size_t i = count; i-- > 0;) { /* whose put returned first, of those behind */
        const struct message *m = &c->messages[order[i]];
        is_about(c, order[i]);
        if (m->put_begin > earliest && c->messages[earliest_of].place >> 16 != m->place >> 16)
            breach(c, HISTORY_PUT_ORDER, "message %u was put after %llu had been, and stands before it", order[i], ull(earliest_of));
        if (m->put_end < earliest)
            earliest = m->put_end, earliest_of = order[i];
    }
    for (size_t i = 0; i < count && !c->rules->is_given_back; i++) { /* whose get began last, of those before */
        const struct message *m = &c->messages[order[i]];
        if (!stands_for_itself(c, m))
            continue;
        is_about(c, order[i]);
        if (m->fresh_end < latest)
            breach(c, HISTORY_GET_ORDER, "message %u had been got when the get of %llu, which stands before it, began", order[i],
                   ull(latest_of));
        if (m->fresh_begin > latest)
            latest = m->fresh_begin, latest_of = order[i];
    }
}

static bool check_order(struct check *c)
{
    uint32_t *order = malloc((size_t)(c->count + 1) * sizeof *order);
    size_t count = 0;

    if (!order)
        return false;
    for (uint64_t v = 0; v < c->count; v++)
        if (c->messages[v].place && c->messages[v].is_put)
            order[count++] = (uint32_t)v;
    all_messages = c->messages;
    qsort(order, count, sizeof *order, compare_places);
    check_places(c, order, count);
    free(order);
    return true;
}

static bool check_empty(struct check *c)
{
    struct spans ready;
    bool made = make_spans(&ready, c->count);

    for (uint64_t v = 0; made && v < c->count; v++)
        if (c->messages[v].put_end != NEVER && c->messages[v].other_end > c->messages[v].fresh_begin &&
            stands_for_itself(c, &c->messages[v]))
            add_span(&ready, c->messages[v].put_end, c->messages[v].fresh_begin);
    if (made)
        close_spans(&ready);
    for (uint64_t i = 0; made && i < history_count(c->history); i++) {
        const struct history_event *e = history_at(c->history, i);
        if (!found_nothing(e) || most_below(&c->pauses, e->end + 1) >= e->begin)
            continue;
        c->report->empties++;
        if (most_below(&ready, e->begin) > e->end)
            breach(c, HISTORY_EMPTY, "a get of actor %u answered %s after %llu us, while a message stood there", e->actor,
                   ptq_err_name((enum ptq_err)e->answer), ull((e->end - e->begin) / 1000));
    }
    free(ready.at);
    return made;
}

/* Until when an attempt may have taken room. */
static uint64_t gone_at(const struct check *c, const struct history_event *e)
{
    if (!may_be_in(e))
        return e->end;
    return c->messages[e->value].settled;
}

/* An upper bound: everything whose time overlaps the call's, itself among it. */
static void judge_full(struct check *c, const struct history_event *e, const struct spans *begun, const struct spans *gone)
{
    uint64_t inside = below(begun, e->end + 1) - below(gone, e->begin), own = 1;

    if (has_flag(e, HISTORY_BATCH)) /* its own are those that began with it */
        own = below(begun, e->begin + 1) - below(begun, e->begin);
    c->report->fulls++;
    if (c->has_batches ? inside <= own && own <= c->rules->capacity : inside <= c->rules->capacity)
        breach(c, HISTORY_FULL, "a put of actor %u answered %s, with at most %llu inside", e->actor,
               ptq_err_name((enum ptq_err)e->answer), ull(inside));
}

static bool check_full(struct check *c)
{
    uint64_t puts = count_events(c, is_put);
    struct spans begun, gone = {0};
    bool made = make_spans(&begun, puts) && make_spans(&gone, puts);

    for (uint64_t i = 0; made && i < history_count(c->history); i++) {
        const struct history_event *e = history_at(c->history, i);
        if (!is_put(e))
            continue;
        add_span(&begun, e->begin, 0);
        add_span(&gone, gone_at(c, e), 0);
    }
    if (made) {
        close_spans(&begun);
        close_spans(&gone);
    }
    for (uint64_t i = 0; made && i < history_count(c->history); i++)
        if (found_no_room(history_at(c->history, i)))
            judge_full(c, history_at(c->history, i), &begun, &gone);
    free(begun.at);
    free(gone.at);
    return made;
}

static void check_end(struct check *c)
{
    for (uint64_t i = 0; i < history_count(c->history); i++) {
        const struct history_event *e = history_at(c->history, i);
        bool is_end = op_of(e) == HISTORY_GET && is_answered(e, PTQ_END);
        bool is_refused = is_put(e) && is_answered(e, PTQ_EENDED);
        c->report->ends += is_end || is_refused;
        if ((is_end || is_refused) && e->end < c->close_begin)
            breach(c, HISTORY_END, "actor %u was told of the end before anybody ended", e->actor);
        if (is_put(e) && is_answered(e, PTQ_OK) && !has_flag(e, HISTORY_PACKED) && e->begin > c->close_end)
            breach(c, HISTORY_END, "message %u was put after the end", e->value);
        if (is_take(e) && !has_flag(e, HISTORY_LETTER) && e->begin > c->end_at && c->last_kick < c->end_at)
            breach(c, HISTORY_END, "message %u came after the end had been answered", e->value);
    }
}

void history_tell(const struct history *history, uint32_t value)
{
    static const char *const names[] = {"?", "put", "get", "recv", "ack", "flush", "kick", "pause", "resume", "end", "nack", "death"};

    printf("  message %u, nanoseconds from its first call on:\n", value);
    for (uint64_t i = 0, first = 0; value != HISTORY_NOBODY && i < history_count(history); i++) {
        const struct history_event *e = history_at(history, i);
        if (e->value != value || op_of(e) == 0 || op_of(e) == HISTORY_DEATH)
            continue;
        first = first == 0 ? e->begin : first;
        printf("    %14lld to %14lld actor %3u %-5s flags %d place %llu.%u: %s\n", (long long)(e->begin - first),
               is_open(e) ? -1 : (long long)(e->end - first), e->actor, names[op_of(e) < 12 ? op_of(e) : 0], e->what >> 4,
               ull(e->place >> 16), (unsigned)(e->place & 0xffff), is_open(e) ? "open" : ptq_err_name((enum ptq_err)e->answer));
    }
}

/* ---- all of it */

static uint64_t count_messages(const struct history *history)
{
    uint64_t count = 0;

    for (uint64_t i = 0; i < history_count(history); i++) {
        const struct history_event *e = history_at(history, i);
        if ((is_put(e) || is_take(e) || op_of(e) == HISTORY_ACK || op_of(e) == HISTORY_NACK) && e->value >= count)
            count = (uint64_t)e->value + 1;
    }
    return count;
}

static bool run_checks(struct check *c)
{
    read_events(c);
    if (!c->rules->is_passed_on && !read_packs(c))
        return false;
    check_messages(c);
    check_end(c);
    return find_doomed(c) && find_pauses(c) && check_order(c) && (c->rules->is_given_back || check_empty(c)) && (c->rules->capacity == 0 || check_full(c));
}

bool history_check(const struct history *history, const struct history_rules *rules, struct history_report *ret_report)
{
    struct check c = {.history = history, .rules = rules, .report = ret_report, .count = count_messages(history),
                      .close_begin = NEVER, .close_end = NEVER, .end_at = NEVER};
    bool could = false;

    *ret_report = (struct history_report){.value = HISTORY_NOBODY};
    c.messages = calloc((size_t)c.count + 1, sizeof *c.messages);
    c.flushed = malloc(2 * (UINT16_MAX + 1) * sizeof *c.flushed);
    if (!history_is_whole(history))
        breach(&c, HISTORY_WHOLE, "there was no room for all events");
    if (c.messages && c.flushed) {
        c.died = c.flushed + UINT16_MAX + 1;
        for (uint64_t v = 0; v < c.count; v++)
            c.messages[v].put_end = c.messages[v].settled = c.messages[v].other_end = NEVER;
        memset(c.flushed, 0xff, 2 * (UINT16_MAX + 1) * sizeof *c.flushed);
        could = run_checks(&c);
    }
    if (!could)
        breach(&c, HISTORY_WHOLE, "there is no memory to check it");
    free(c.doomed.at);
    free(c.pauses.at);
    free(c.flushed);
    free(c.messages);
    return ret_report->violations == 0;
}
