/* history.c -- what a queue was in the last frames, and its picture in a line. */
#include <stdlib.h>
#include <string.h>

#include "columns.h"
#include "watch.h"

static void push(struct history *history, uint64_t frame, float depth, float in, float out)
{
    size_t place = frame % HISTORY;

    history->depth[place] = depth;
    history->in[place] = in;
    history->out[place] = out;
    history->frame = frame;
}

/* Frames in which nothing moved were not noted: they are made up for. */
void history_add(struct row *row, uint64_t frame)
{
    if (row->history == NULL) {
        row->history = calloc(1, sizeof *row->history);
        if (row->history == NULL)
            return;
        row->history->since = frame;
    }
    struct history *history = row->history;
    float level = history->frame != 0 ? history->depth[history->frame % HISTORY] : 0;
    if (history->frame + HISTORY < frame && history->frame != 0)
        history->frame = frame - HISTORY;
    while (history->frame != 0 && history->frame + 1 < frame)
        push(history, history->frame + 1, level, 0, 0);
    push(history, frame, (float)row_depth(row), (float)row->rates.in, (float)row->rates.out);
}

size_t history_last(const struct history *history, const float *line, bool level, uint64_t frame, size_t count, float *values)
{
    if (history == NULL || history->frame == 0 || frame < history->since)
        return 0;
    uint64_t have = frame - history->since + 1;
    if (count > HISTORY)
        count = HISTORY;
    if (have < count)
        count = (size_t)have;
    for (size_t i = 0; i < count; i++) {
        uint64_t one = frame - count + 1 + i;
        if (one <= history->frame)
            values[i] = one + HISTORY > history->frame ? line[one % HISTORY] : 0;
        else
            values[i] = level ? line[history->frame % HISTORY] : 0;
    }
    return count;
}

char *history_spark(const float *values, size_t count, bool ascii, char *buffer, size_t room)
{
    static const char *const blocks[] = {"\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587", "\u2588"};
    static const char *const letters[] = {"_", ".", ":", "-", "=", "+", "*", "#"};
    float most = 0;
    size_t used = 0;

    for (size_t i = 0; i < count; i++)
        most = values[i] > most ? values[i] : most;
    buffer[0] = '\0';
    for (size_t i = 0; i < count && used + 4 < room; i++) {
        int step = most > 0 && values[i] > 0 ? 1 + (int)(values[i] / most * 6.999f) : 0;
        const char *mark = (ascii ? letters : blocks)[step > 7 ? 7 : step];
        memcpy(buffer + used, mark, strlen(mark) + 1);
        used += strlen(mark);
    }
    return buffer;
}
