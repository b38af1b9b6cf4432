/* streams_fact.c -- what is known of one stream: the facts, the intent, and what was received. */
#include "remote/streams_own.h"

/* ---- facts */

bool pti_stream_is_above(struct pti_stream_key a, struct pti_stream_key b)
{
    return a.number != b.number ? a.number > b.number : a.sub > b.sub;
}

static bool is_fact(const struct pti_stream_fact *fact, struct pti_stream_key key)
{
    return pti_load_relaxed(&fact->there) == 1 && pti_load_relaxed(&fact->number) == key.number &&
           pti_load_relaxed(&fact->sub) == key.sub;
}

struct pti_stream_fact *pti_stream_fact_at(struct pti_stream *stream, struct pti_stream_key key)
{
    if (pti_stream_is_above(key, stream->highest))
        return NULL;
    for (uint32_t i = 0; i < stream->used; i++)
        if (is_fact(&stream->row->facts[i], key))
            return &stream->row->facts[i];
    return NULL;
}

static void drop_fact(struct pti_stream *stream, struct pti_stream_fact *fact)
{
    pti_store_release(&fact->there, 0);
    stream->facts--;
    while (stream->used > 0 && pti_load_relaxed(&stream->row->facts[stream->used - 1].there) == 0)
        stream->used--;
}

void pti_stream_add_fact(struct pti_stream *stream, struct pti_stream_key key, uint64_t position)
{
    uint32_t i = 0;

    while (i < PTI_STREAM_FACTS && pti_load_relaxed(&stream->row->facts[i].there) != 0)
        i++;
    if (i == PTI_STREAM_FACTS)
        return; /* it overflows: pti_stream_intend has noted that */
    struct pti_stream_fact *fact = &stream->row->facts[i];
    pti_store_release(&fact->number, key.number);
    pti_store_release(&fact->position, position);
    pti_store_release(&fact->sub, key.sub);
    pti_store_release(&fact->there, 1);
    stream->facts++;
    if (i >= stream->used)
        stream->used = i + 1;
    if (pti_stream_is_above(key, stream->highest))
        stream->highest = key;
}

bool pti_stream_done(struct pti_stream *stream, struct pti_stream_key key, uint64_t *ret_position)
{
    if (pti_load_relaxed(&stream->index->confirmed) == 0 && stream->overflow <= pti_load_relaxed(&stream->index->floor))
        pti_store_release(&stream->index->confirmed, 1);
    const struct pti_stream_fact *fact = pti_stream_fact_at(stream, key);
    if (fact == NULL)
        return false;
    *ret_position = pti_load_relaxed(&fact->position);
    return true;
}

/* ---- the intent */

/* There is no room for another fact: from now on, until all this was received, the next bridge is not to believe the row. */
static void overflow(struct pti_stream *stream, struct pti_stream_key key)
{
    if (key.number > stream->overflow)
        stream->overflow = key.number;
    pti_store_release(&stream->index->confirmed, 0);
}

/* Law: the serial last, and first to go. */
void pti_stream_intend(struct pti_stream *stream, struct pti_stream_key key, uint32_t *ret_stream, uint64_t *ret_serial)
{
    struct pti_streams_head *head = stream->streams->head;

    *ret_stream = 0;
    *ret_serial = 0;
    if (stream->facts == PTI_STREAM_FACTS)
        overflow(stream, key);
    if (stream->own != NULL || stream->facts == PTI_STREAM_FACTS)
        return;
    pti_store_release(&head->serial, 0);
    uint64_t serial = pti_load_relaxed(&head->last) + 1 != 0 ? pti_load_relaxed(&head->last) + 1 : 1;
    pti_store_release(&head->last, serial);
    pti_store_release(&head->number, key.number);
    pti_store_release(&head->sub, key.sub);
    pti_store_release(&head->row, stream->number);
    pti_store_release(&head->serial, serial);
    *ret_stream = head->id;
    *ret_serial = serial;
}

void pti_stream_undone(struct pti_stream *stream)
{
    if (stream->own == NULL)
        pti_store_release(&stream->streams->head->serial, 0);
}

void pti_stream_fact(struct pti_stream *stream, struct pti_stream_key key, uint64_t position)
{
    pti_stream_add_fact(stream, key, position);
    pti_stream_undone(stream);
}

/* ---- what was received */

void pti_stream_received(struct pti_stream *stream, uint64_t number)
{
    if (number <= pti_load_relaxed(&stream->index->floor))
        return;
    pti_store_release(&stream->index->floor, number);
    for (uint32_t i = stream->used; i-- > 0;) {
        struct pti_stream_fact *fact = &stream->row->facts[i];
        if (pti_load_relaxed(&fact->there) != 0 && pti_load_relaxed(&fact->number) <= number)
            drop_fact(stream, fact);
    }
}

void pti_stream_forget(struct pti_stream *stream, struct pti_stream_key key)
{
    struct pti_stream_fact *fact = pti_stream_fact_at(stream, key);

    if (fact != NULL)
        drop_fact(stream, fact);
}
