/* line.c -- what goes from stage to stage of a pipeline: groups of results, the entries in them, and markers that carry errors on.
 *
 *   marker  0  magic:32 "PX1\0" | what:16 | stage:16 | input:64           32 bytes, little-endian
 *          16  zero:128
 *          32  of a user's marker its bytes; of an error a result (job.h)
 *
 * A marker without this head is one that somebody submitted to the pool of a stage.
 */
#include <string.h>

#include "base/bytes.h"
#include "pool/line.h"

enum what { WHAT_MARKER = 1, WHAT_ERROR = 2, WHAT_NOTHING = 3 };

static const unsigned char marker_magic[4] = {'P', 'X', '1', 0};

/* -- groups --------------------------------------------------------------------------------------------------- */

uint64_t pti_group_ticket(const struct pti_group *group)
{
    return group->results[0]->ticket;
}

static enum ptq_err drop(struct pti_group *group, unsigned which)
{
    enum ptq_err err = pti_pool_settled(ptq_result_done(group->results[which]));
    group->results[which] = NULL;
    return err;
}

/* The result at the ticket of the first; what is behind it was handed on before: law 3.  PTQ_ECORRUPT: it is ahead. */
static enum ptq_err take_beside(ptq_pool *pool, struct pti_group *group, unsigned which, int64_t deadline)
{
    for (;;) {
        enum ptq_err err = ptq_pool_get(pool, pti_timeout_left(deadline), &group->results[which]);
        if (err != PTQ_OK)
            return err;
        int64_t ahead = group->ends ? -1 : pti_position_compare(group->results[which]->ticket, pti_group_ticket(group));
        if (ahead == 0)
            return PTQ_OK;
        err = ahead > 0 ? PTQ_ECORRUPT : drop(group, which);
        if (err != PTQ_OK)
            return err;
    }
}

enum ptq_err pti_group_take(ptq_pipeline *line, unsigned level, struct pti_group *group, int64_t deadline)
{
    const struct pti_level *at = &line->levels[level];
    while (group->count < at->count) {
        ptq_pool *pool = line->stages[at->first + group->count].pool;
        enum ptq_err err = group->count == 0 ? ptq_pool_get(pool, pti_timeout_left(deadline), &group->results[0])
                                             : take_beside(pool, group, group->count, deadline);
        if (err == PTQ_END && group->count == 0)
            group->ends = true;
        else if (err == PTQ_END && !group->ends)
            return PTQ_ECORRUPT;
        else if (err != PTQ_OK && err != PTQ_END)
            return err;
        group->count++;
    }
    if (!group->ends)
        return PTQ_OK;
    *group = (struct pti_group){.count = 0};
    return PTQ_END;
}

enum ptq_err pti_group_done(struct pti_group *group)
{
    enum ptq_err first = PTQ_OK;
    for (unsigned i = 0; i < group->count; i++) {
        enum ptq_err err = drop(group, i);
        if (first == PTQ_OK)
            first = err;
    }
    *group = (struct pti_group){.count = 0};
    return first;
}

/* -- entries -------------------------------------------------------------------------------------------------- */

static void read_error(unsigned level, const ptq_result *result, struct pti_entry *entry)
{
    entry->kind = PTQ_RESULT_ERROR;
    entry->error = result->body;
    entry->input = level == 0 ? result->ticket : result->body.ticket;
}

static void read_marker(unsigned level, const ptq_result *result, struct pti_entry *entry)
{
    const unsigned char *from = result->body.data;
    size_t size = result->body.size;
    entry->kind = PTQ_RESULT_MARKER;
    entry->data = from;
    entry->size = size;
    entry->input = result->ticket;
    if (size < PTI_LINE_MARKER_HEAD || memcmp(from, marker_magic, sizeof marker_magic) != 0)
        return;
    unsigned what = pti_fetch16(from + 4);
    entry->stage = pti_fetch16(from + 6);
    if (level != 0)
        entry->input = pti_fetch64(from + 8);
    entry->data = from + PTI_LINE_MARKER_HEAD;
    entry->size = size - PTI_LINE_MARKER_HEAD;
    entry->skip = what == WHAT_NOTHING;
    if (what == WHAT_ERROR) {
        entry->kind = PTQ_RESULT_ERROR;
        if (!pti_result_read(entry->data, entry->size, &entry->error))
            entry->error = (struct pti_result){.code = PTQ_EPROTO, .host = "", .worker = "", .data = "",
                                               .text = "what stands here is not an error of this version of ptq"};
    }
}

bool pti_group_read(ptq_pipeline *line, unsigned level, const struct pti_group *group, struct pti_reader *reader,
                    struct pti_entry *ret_entry)
{
    for (; reader->result < group->count; reader->result++, reader->offset = 0) {
        const ptq_result *result = group->results[reader->result];
        struct pti_entry entry = {.stage = line->levels[level].first + reader->result};
        struct pti_piece piece;
        if (result->kind == PTQ_RESULT_JOB) {
            if (!pti_piece_read(result->body.data, result->body.size, &reader->offset, &piece))
                continue;
            entry.kind = PTQ_RESULT_JOB;
            entry.input = result->body.ticket;
            entry.data = piece.data;
            entry.size = piece.size;
            *ret_entry = entry;
            return true;
        }
        if (reader->offset != 0)
            continue;
        if (result->kind == PTQ_RESULT_ERROR)
            read_error(level, result, &entry);
        else
            read_marker(level, result, &entry);
        if (entry.skip)
            continue;
        reader->offset = 1; /* there is one only */
        *ret_entry = entry;
        return true;
    }
    return false;
}

/* -- markers -------------------------------------------------------------------------------------------------- */

/* The error as a result, and as much of its details as fits; they are texts, which need an end. */
static size_t write_error(unsigned char *to, size_t room, const struct pti_result *error)
{
    size_t head = pti_result_write_head(to, error), details = room - head;
    if (error->size < details)
        details = error->size;
    if (details != 0) {
        memcpy(to + head, error->data, details);
        to[head + details - 1] = 0;
    }
    return head + details;
}

size_t pti_entry_write_marker(unsigned char *to, size_t room, const struct pti_entry *entry)
{
    enum what what = entry->skip ? WHAT_NOTHING : entry->kind == PTQ_RESULT_ERROR ? WHAT_ERROR : WHAT_MARKER;
    memset(to, 0, PTI_LINE_MARKER_HEAD);
    memcpy(to, marker_magic, sizeof marker_magic);
    pti_store16(to + 4, (uint16_t)what);
    pti_store16(to + 6, (uint16_t)entry->stage);
    pti_store64(to + 8, entry->input);
    unsigned char *data = to + PTI_LINE_MARKER_HEAD;
    size_t size = room - PTI_LINE_MARKER_HEAD;
    if (what == WHAT_ERROR)
        size = write_error(data, size, &entry->error);
    else if (what == WHAT_NOTHING)
        size = 0;
    else if (entry->size < size)
        size = entry->size;
    if (what == WHAT_MARKER && size != 0)
        memcpy(data, entry->data, size);
    return PTI_LINE_MARKER_HEAD + size;
}
