/* history_spans.c -- spans of time, for the checker of histories: what of many began before, and how long it lasts. */
#include <stdlib.h>

#include "stress/history_inside.h"

int history_compare_spans(const void *a, const void *b)
{
    uint64_t x = ((const struct span *)a)->key, y = ((const struct span *)b)->key;

    return (x > y) - (x < y);
}

void history_close_spans(struct spans *spans)
{
    qsort(spans->at, spans->count, sizeof *spans->at, history_compare_spans);
    for (size_t i = 1; i < spans->count; i++)
        spans->at[i].most = most(spans->at[i].most, spans->at[i - 1].most);
}

size_t history_below(const struct spans *spans, uint64_t key)
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

uint64_t history_most_below(const struct spans *spans, uint64_t key)
{
    size_t n = history_below(spans, key);

    return n == 0 ? 0 : spans->at[n - 1].most;
}

bool history_make_spans(struct spans *spans, uint64_t count)
{
    *spans = (struct spans){.at = malloc((size_t)(count + 1) * sizeof(struct span))};
    return spans->at != NULL;
}

void history_add_span(struct spans *spans, uint64_t key, uint64_t value)
{
    spans->at[spans->count++] = (struct span){key, value};
}

uint64_t history_count_events(const struct check *c, bool (*is_wanted)(const struct history_event *e))
{
    uint64_t found = 0;

    for (uint64_t i = 0; i < history_count(c->history); i++)
        found += is_wanted(history_at(c->history, i));
    return found;
}
