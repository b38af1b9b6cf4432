/* history_again.c -- the laws of what is handed out again: HELD and AGAIN.  history.h says what each takes for certain. */
#include <stdlib.h>

#include "stress/history_inside.h"

/* ---- HELD */

static void check_held(struct check *c)
{
    for (uint64_t i = 0; i < history_count(c->history); i++) {
        const struct history_event *e = history_at(c->history, i);
        const struct message *m;
        if (op_of(e) != HISTORY_GET || !is_take(e) || has_flag(e, HISTORY_LETTER) || !has_flag(e, HISTORY_REDELIVERED))
            continue;
        m = &c->messages[e->value];
        if ((e->begin == m->first_take ? m->next_take : m->first_take) < e->end ||
            history_most_below(&c->doomed, e->end) >= m->put_begin)
            continue;
        history_is_about(c, e->value);
        history_breach(c, HISTORY_HELD, "message %u came flagged, and nobody can have had it", e->value);
    }
}

/* ---- AGAIN: what was given back stands in front of all, from the return of the nack to the begin of its next take */

struct take {
    uint32_t value;
    uint64_t begin, end;
};

struct stand {
    uint64_t from, to, place;
    uint64_t most; /* once sorted: of `to`, of all up to here */
};

struct stands {
    struct stand *at;
    size_t count;
};

static bool gives_back(const struct check *c, const struct history_event *e)
{
    return op_of(e) == HISTORY_NACK && is_answered(e, PTQ_OK) && !has_flag(e, HISTORY_DELAYED) && !c->messages[e->value].is_packed;
}

static int compare_takes(const void *a, const void *b)
{
    const struct take *x = a, *y = b;

    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

static int compare_stands(const void *a, const void *b)
{
    uint64_t x = ((const struct stand *)a)->from, y = ((const struct stand *)b)->from;

    return (x > y) - (x < y);
}

/* The first of those of the message that was not over when the nack began.  NEVER: none. */
static uint64_t next_take(const struct take *takes, size_t count, const struct history_event *nack)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (takes[middle].value < nack->value)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < count && takes[low].value == nack->value; low++)
        if (takes[low].end > nack->begin)
            return takes[low].begin;
    return NEVER;
}

static size_t collect_takes(struct check *c, struct take *takes)
{
    size_t count = 0;

    for (uint64_t i = 0; i < history_count(c->history); i++) {
        const struct history_event *e = history_at(c->history, i);
        if (is_take(e) && c->messages[e->value].is_nacked)
            takes[count++] = (struct take){e->value, e->begin, e->end};
    }
    qsort(takes, count, sizeof *takes, compare_takes);
    return count;
}

static void find_stands(struct check *c, const struct take *takes, size_t count, struct stands *stands)
{
    for (uint64_t i = 0; i < history_count(c->history); i++) {
        const struct history_event *e = history_at(c->history, i);
        uint64_t next;
        if (!gives_back(c, e) || c->messages[e->value].place == 0)
            continue;
        next = next_take(takes, count, e);
        if (next == NEVER || next <= e->end || history_most_below(&c->doomed, next) >= e->begin)
            continue;
        stands->at[stands->count++] = (struct stand){.from = e->end, .to = next, .place = c->messages[e->value].place};
    }
    qsort(stands->at, stands->count, sizeof *stands->at, compare_stands);
    for (size_t i = 0; i < stands->count; i++)
        stands->at[i].most = most(stands->at[i].to, i > 0 ? stands->at[i - 1].most : 0);
    c->report->stands = stands->count;
}

/* Did one with a lower place than `place` stand all the time?  Its place; 0: none. */
static uint64_t stood_before(const struct stands *stands, const struct history_event *e, uint64_t place)
{
    size_t low = 0, high = stands->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (stands->at[middle].from < e->begin)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low > 0 && stands->at[low - 1].most > e->end; low--)
        if (stands->at[low - 1].to > e->end && stands->at[low - 1].place < place)
            return stands->at[low - 1].place;
    return 0;
}

static void judge_take(struct check *c, const struct stands *stands, const struct history_event *e)
{
    const struct message *m = &c->messages[e->value];
    bool is_by_place = m->is_delayed || has_flag(e, HISTORY_REDELIVERED);
    uint64_t before;

    if (m->is_packed || (is_by_place && m->place == 0))
        return; /* one whose pack is held comes from there */
    before = stood_before(stands, e, is_by_place ? m->place : NEVER);
    if (before == 0)
        return;
    history_is_about(c, e->value);
    history_breach(c, HISTORY_AGAIN, "message %u (%llu.%u) was taken while one of %llu.%u had been given back", e->value,
                   ull(m->place >> 16), (unsigned)(m->place & 0xffff), ull(before >> 16), (unsigned)(before & 0xffff));
}

static void judge_nothing(struct check *c, const struct stands *stands, const struct history_event *e)
{
    uint64_t before = stood_before(stands, e, NEVER);

    if (before != 0 && history_most_below(&c->pauses, e->end + 1) < e->begin)
        history_breach(c, HISTORY_EMPTY, "a get of actor %u answered %s, while what was given back stood there (%llu.%u)", e->actor,
                       ptq_err_name((enum ptq_err)e->answer), ull(before >> 16), (unsigned)(before & 0xffff));
}

static bool check_again(struct check *c)
{
    struct stands stands = {0};
    struct take *takes;
    uint64_t nacks = 0, events = 0;

    for (uint64_t i = 0; i < history_count(c->history); i++) {
        const struct history_event *e = history_at(c->history, i);
        events += is_take(e);
        nacks += gives_back(c, e);
        if (gives_back(c, e))
            c->messages[e->value].is_nacked = true;
    }
    takes = malloc((size_t)(events + 1) * sizeof *takes);
    stands.at = malloc((size_t)(nacks + 1) * sizeof *stands.at);
    if (takes && stands.at)
        find_stands(c, takes, collect_takes(c, takes), &stands);
    for (uint64_t i = 0; takes && stands.at && i < history_count(c->history); i++) {
        const struct history_event *e = history_at(c->history, i);
        if (op_of(e) == HISTORY_GET && is_take(e) && !has_flag(e, HISTORY_LETTER))
            judge_take(c, &stands, e);
        else if (found_nothing(e))
            judge_nothing(c, &stands, e);
    }
    free(takes);
    free(stands.at);
    return takes && stands.at;
}

bool history_judge_again(struct check *c)
{
    if (c->rules->is_given_back)
        return true;
    check_held(c);
    return c->rules->makes_room || c->has_letters || check_again(c);
}
