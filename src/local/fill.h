/* fill.h -- what the ways in share: a message into its block, and the note of one that somebody may ask about. */
#ifndef PTQ_LOCAL_FILL_H
#define PTQ_LOCAL_FILL_H

#include <string.h>

#include "local/verbs.h"
#include "ring/note.h"
#include "ring/side.h"

static inline struct pti_meta meta_of(const struct pti_put *put)
{
    struct pti_meta meta = {.size = put->size, .type = put->type, .due_us = put->due_us, .ttl = put->ttl,
                            .kind = put->kind, .headers = put->headers};

    return meta;
}
static inline void copy_headers(void *room, const struct pti_put *put)
{
    memcpy((char *)room + ((put->size + 3u) & ~3u), put->header_bytes, 4u * put->headers);
}

static inline __attribute__((always_inline)) enum ptq_err copy_in(struct pti_place *place, uint32_t block,
                                                                  const struct pti_put *put, uint32_t sub)
{
    struct pti_meta meta = meta_of(put);
    void *room;
    enum ptq_err err = pti_block_room(&place->lane, block, pti_message_bytes(put->size, put->headers), &room);

    if (__builtin_expect(err != PTQ_OK, 0))
        return err;
    pti_block_fill(&place->lane, block, &meta, sub, 0);
    if (put->size)
        memcpy(room, put->data, put->size);
    if (__builtin_expect(put->headers != 0, 0))
        copy_headers(room, put);
    return PTQ_OK;
}

/* A block that suits `bytes` of message and headers. */
static inline enum ptq_err alloc_for(struct pti_lane *lane, uint64_t bytes, uint32_t *ret_block, uint64_t *ret_before)
{
    if (__builtin_expect(bytes > lane->ring->inline_room, 0))
        return pti_block_alloc_large(lane, bytes, ret_block, ret_before);
    return pti_block_alloc(lane, ret_block, ret_before);
}

/* A bridge's put may be asked about by the next bridge (ring/note.h). */
static inline void begin_note(struct pti_place *place, const struct pti_put *put)
{
    if (__builtin_expect(put->stream == 0, 1))
        return;
    pti_note_begin(place->lane.entry, put->stream, put->number);
    place->lane.notes = true;
}

static inline void end_note(struct pti_place *place, const struct pti_put *put, bool done, uint64_t position)
{
    if (__builtin_expect(put->stream == 0, 1))
        return;
    place->lane.notes = false;
    if (done)
        pti_note_done(place->lane.entry, position);
}

#endif
