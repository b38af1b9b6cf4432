/* history_check.c -- looks for what no order of the calls could explain: what became of each message.  The laws stand in history.h,
 * those of time and place are judged in history_laws.c. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stress/history_inside.h"

const char *history_law_name(enum history_law law)
{
    static const char *const names[] = {"NOWHERE",   "TWICE",     "SETTLED", "LOST", "PLACE", "PUT_ORDER",
                                        "GET_ORDER", "EMPTY",     "FULL",    "END",  "HELD",  "AGAIN", "WHOLE"};

    return (unsigned)law < HISTORY_LAWS ? names[law] : "?";
}

void history_is_about(struct check *c, uint64_t value)
{
    if (c->report->violations == 0)
        c->report->value = (uint32_t)value;
}

void history_breach(struct check *c, enum history_law law, const char *format, ...)
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
        history_breach(c, HISTORY_WHOLE, "message %u was put twice by its test", e->value);
    m->is_put = true;
    m->is_packed = has_flag(e, HISTORY_PACKED) || has_flag(e, HISTORY_SHARED);
    m->is_loose = c->rules->is_passed_on || (has_flag(e, HISTORY_SHARED) && has_flag(e, HISTORY_BATCH));
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
    c->has_letters |= op_of(e) == HISTORY_KICK;
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
        history_breach(c, HISTORY_NOWHERE, "message %u came, and %s", e->value, m->is_refused ? "had been refused" : "nobody put it");
    else if (m->put_begin > e->end)
        history_breach(c, HISTORY_NOWHERE, "message %u came before it was put", e->value);
}

static void read_take(struct check *c, const struct history_event *e)
{
    struct message *m = &c->messages[e->value];

    c->report->takes++;
    c->report->again += has_flag(e, HISTORY_REDELIVERED);
    check_origin(c, e, m);
    m->is_taken = true;
    m->last_take = most(m->last_take, e->begin);
    m->next_take = least(m->next_take, most(m->first_take, e->begin));
    m->first_take = least(m->first_take, e->begin);
    c->has_letters |= has_flag(e, HISTORY_LETTER);
    if (e->place && m->place && m->place != e->place)
        history_breach(c, HISTORY_PLACE, "message %u stood at %llu.%u and came from %llu.%u", e->value, ull(m->place >> 16),
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
    if (op_of(e) == HISTORY_RECV && !(m->is_packed && m->is_loose))
        settle(c, e->value, e->end);
    else if (op_of(e) == HISTORY_RECV)
        m->may_be_settled = true;
}

static void read_ack(struct check *c, const struct history_event *e)
{
    struct message *m = &c->messages[e->value];

    if (m->is_packed && !m->is_loose)
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

/* One record of a lease of a pack. */
struct record {
    uint32_t value, ack; /* 0: none; 1: open; 2: acked */
    uint64_t ack_end;
    bool is_letter;
};

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
    return (op_of(e) == HISTORY_ACK || op_of(e) == HISTORY_NACK || (op_of(e) == HISTORY_GET && is_take(e))) &&
           c->messages[e->value].is_packed && !c->messages[e->value].is_loose;
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
        history_breach(c, HISTORY_WHOLE, "message %u was acked by who did not hold it", e->value);
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

/* ---- the laws of a message */

static void check_messages(struct check *c)
{
    uint64_t missing = 0, allowed = c->rules->dropped + c->open_receives, first = 0;

    for (uint64_t v = 0; v < c->count; v++) {
        const struct message *m = &c->messages[v];
        history_is_about(c, v);
        if (m->fresh > 1 || (m->fresh == 1 && m->other_end < m->fresh_begin)) {
            history_breach(c, HISTORY_TWICE, "message %llu was handed out again without its flag", ull(v));
            c->report->doubled++;
        }
        if (m->acks > 1 || (m->is_taken && m->settled < m->last_take))
            history_breach(c, HISTORY_SETTLED, "message %llu was acked, and %s", ull(v), m->acks > 1 ? "was acked again" : "came again");
        if (m->put_end == NEVER || !m->is_put || m->may_be_settled)
            continue;
        if (missing++ == 0)
            first = v;
    }
    if (!c->rules->has_ended || missing <= allowed)
        return;
    c->report->lost = missing - allowed;
    history_is_about(c, first);
    history_breach(c, HISTORY_LOST, "%llu messages are missing, %llu may be; the first is %llu, which was %s", ull(missing),
           ull(allowed), ull(first), c->messages[first].is_taken ? "taken" : "never taken");
}

/* ---- telling */

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
    return history_judge(c);
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
        history_breach(&c, HISTORY_WHOLE, "there was no room for all events");
    c.last = calloc(UINT16_MAX + 1, sizeof *c.last);
    if (c.messages && c.flushed && c.last) {
        c.died = c.flushed + UINT16_MAX + 1;
        for (uint64_t v = 0; v < c.count; v++)
            c.messages[v].put_end = c.messages[v].settled = c.messages[v].other_end = c.messages[v].first_take =
                c.messages[v].next_take = NEVER;
        memset(c.flushed, 0xff, 2 * (UINT16_MAX + 1) * sizeof *c.flushed);
        could = run_checks(&c);
    }
    if (!could)
        history_breach(&c, HISTORY_WHOLE, "there is no memory to check it");
    free(c.doomed.at);
    free(c.pauses.at);
    free(c.last);
    free(c.flushed);
    free(c.messages);
    return ret_report->violations == 0;
}
