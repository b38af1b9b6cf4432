/* history_laws.c -- the laws of time and place: order, EMPTY, FULL, END.  history.h says what each takes for certain. */
#include <stdlib.h>

#include "stress/history_inside.h"

/* ---- who stood for sure */

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
    bool made = history_make_spans(&c->pauses, history_count_events(c, is_pause)) && history_make_spans(&resumes, history_count_events(c, is_resume));

    if (!made)
        return false;
    for (uint64_t i = 0; i < history_count(c->history); i++)
        if (is_resume(history_at(c->history, i)))
            history_add_span(&resumes, history_at(c->history, i)->begin, ~history_at(c->history, i)->end);
    qsort(resumes.at, resumes.count, sizeof *resumes.at, history_compare_spans);
    for (size_t i = resumes.count; i-- > 1;) /* the earliest end of all that begin from here on */
        resumes.at[i - 1].most = most(resumes.at[i - 1].most, resumes.at[i].most);
    for (uint64_t i = 0; i < history_count(c->history); i++) {
        const struct history_event *e = history_at(c->history, i);
        size_t next;
        if (!is_pause(e))
            continue;
        next = history_below(&resumes, end_of(e) == NEVER ? e->begin : e->end);
        history_add_span(&c->pauses, e->begin, next < resumes.count ? ~resumes.at[next].most : NEVER);
    }
    free(resumes.at);
    history_close_spans(&c->pauses);
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
    return (m->place & 0xffff) == 0 && history_most_below(&c->doomed, m->fresh_begin) < m->put_begin &&
           history_most_below(&c->pauses, m->fresh_begin) < m->put_begin;
}

static bool is_doomed(const struct history_event *e)
{
    return (op_of(e) == HISTORY_GET || op_of(e) == HISTORY_RECV) && is_open(e);
}

/* Where leases run out, another gets what a call has leased that lasts longer than that. */
static bool is_overdue(const struct check *c, const struct history_event *e)
{
    return c->rules->lease_ns != 0 && !is_open(e) && e->end - e->begin >= c->rules->lease_ns;
}

/* Who was killed may have leased from the begin of what he wrote down last on: also a put that makes room, or a purge, leases. */
static bool find_doomed(struct check *c)
{
    uint64_t overdue = 0;

    for (uint64_t i = 0; i < history_count(c->history); i++)
        overdue += is_overdue(c, history_at(c->history, i));
    if (!history_make_spans(&c->doomed, overdue + history_count_events(c, is_doomed) + UINT16_MAX + 1))
        return false;
    for (uint64_t i = 0; i < history_count(c->history); i++) {
        const struct history_event *e = history_at(c->history, i);
        if (op_of(e) != 0)
            c->last[e->actor] = most(c->last[e->actor], e->begin);
        if (is_doomed(e))
            history_add_span(&c->doomed, e->begin, c->died[e->actor]);
        else if (op_of(e) != 0 && is_overdue(c, e))
            history_add_span(&c->doomed, e->begin, e->end);
    }
    for (unsigned actor = 1; actor <= UINT16_MAX; actor++)
        if (c->died[actor] != NEVER && c->last[actor] != 0) /* who called nothing has leased nothing */
            history_add_span(&c->doomed, c->last[actor], c->died[actor]);
    history_close_spans(&c->doomed);
    return true;
}

static void check_places(struct check *c, const uint32_t *order, size_t count)
{
    uint64_t earliest = NEVER, latest = 0, earliest_of = 0, latest_of = 0;

    for (size_t i = 1; i < count; i++)
        if (c->messages[order[i]].place == c->messages[order[i - 1]].place)
            history_breach(c, HISTORY_PLACE, "messages %u and %u came from one place", order[i - 1], order[i]);
    for (size_t i = count; i-- > 0;) { /* whose put returned first, of those behind */
        const struct message *m = &c->messages[order[i]];
        history_is_about(c, order[i]);
        if (m->put_begin > earliest && c->messages[earliest_of].place >> 16 != m->place >> 16)
            history_breach(c, HISTORY_PUT_ORDER, "message %u was put after %llu had been, and stands before it", order[i], ull(earliest_of));
        if (m->put_end < earliest)
            earliest = m->put_end, earliest_of = order[i];
    }
    for (size_t i = 0; i < count && !c->rules->is_given_back; i++) { /* whose get began last, of those before */
        const struct message *m = &c->messages[order[i]];
        if (!stands_for_itself(c, m))
            continue;
        history_is_about(c, order[i]);
        if (m->fresh_end < latest)
            history_breach(c, HISTORY_GET_ORDER, "message %u had been got when the get of %llu, which stands before it, began", order[i],
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

static bool found_no_room(const struct history_event *e)
{
    return is_put(e) && (is_answered(e, PTQ_FULL) || is_answered(e, PTQ_TIMEDOUT));
}

static bool check_empty(struct check *c)
{
    struct spans ready;
    bool made = history_make_spans(&ready, c->count);

    for (uint64_t v = 0; made && v < c->count; v++)
        if (c->messages[v].put_end != NEVER && c->messages[v].other_end > c->messages[v].fresh_begin &&
            stands_for_itself(c, &c->messages[v]))
            history_add_span(&ready, c->messages[v].put_end, c->messages[v].fresh_begin);
    if (made)
        history_close_spans(&ready);
    for (uint64_t i = 0; made && i < history_count(c->history); i++) {
        const struct history_event *e = history_at(c->history, i);
        if (!found_nothing(e) || history_most_below(&c->pauses, e->end + 1) >= e->begin)
            continue;
        c->report->empties++;
        if (history_most_below(&ready, e->begin) > e->end)
            history_breach(c, HISTORY_EMPTY, "a get of actor %u answered %s after %llu us, while a message stood there", e->actor,
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
    uint64_t inside = history_below(begun, e->end + 1) - history_below(gone, e->begin), own = 1;

    if (has_flag(e, HISTORY_BATCH)) /* its own are those that began with it */
        own = history_below(begun, e->begin + 1) - history_below(begun, e->begin);
    c->report->fulls++;
    if (c->has_batches ? inside <= own && own <= c->rules->capacity : inside <= c->rules->capacity)
        history_breach(c, HISTORY_FULL, "a put of actor %u answered %s, with at most %llu inside", e->actor,
               ptq_err_name((enum ptq_err)e->answer), ull(inside));
}

static bool check_full(struct check *c)
{
    uint64_t puts = history_count_events(c, is_put);
    struct spans begun, gone = {0};
    bool made = history_make_spans(&begun, puts) && history_make_spans(&gone, puts);

    for (uint64_t i = 0; made && i < history_count(c->history); i++) {
        const struct history_event *e = history_at(c->history, i);
        if (!is_put(e))
            continue;
        history_add_span(&begun, e->begin, 0);
        history_add_span(&gone, gone_at(c, e), 0);
    }
    if (made) {
        history_close_spans(&begun);
        history_close_spans(&gone);
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
            history_breach(c, HISTORY_END, "actor %u was told of the end before anybody ended", e->actor);
        if (is_put(e) && is_answered(e, PTQ_OK) && !has_flag(e, HISTORY_PACKED) && e->begin > c->close_end)
            history_breach(c, HISTORY_END, "message %u was put after the end", e->value);
        if (is_take(e) && !has_flag(e, HISTORY_LETTER) && e->begin > c->end_at && c->last_kick < c->end_at)
            history_breach(c, HISTORY_END, "message %u came after the end had been answered", e->value);
    }
}

bool history_judge(struct check *c)
{
    check_end(c);
    return find_doomed(c) && find_pauses(c) && history_judge_again(c) && check_order(c) && (c->rules->is_given_back || check_empty(c)) &&
           (c->rules->capacity == 0 || check_full(c));
}
