/* follow.c -- a tap: what is put into a queue, seen by one who takes nothing.
 *
 * It walks over the slots behind the producers.  A slot names a block; as long as the block's word bears that position, the message is
 * there: waiting, leased, delayed or dead.  Once it is settled its block is its producer's, who may write into it without telling
 * anybody: so what is settled before it was looked at went by unseen, and is counted.
 */
#include <stdlib.h>
#include <string.h>

#include "local/view.h"
#include "ring/pack.h"

enum { TRIES = 8 }; /* looks at one message: it changes hands some times in its life */

struct follower {
    ptq_view *view;
    struct pti_ring *ring;
    struct ptq_view_cursor *cursor;
    bool (*each)(const struct ptq_view_msg *msg, void *context);
    void *context;
    struct pti_copy copy;
    uint32_t index; /* of messages at this position, those that were missed too */
    bool stopped;
};

static void miss(struct follower *f, uint64_t count)
{
    struct ptq_view_cursor *cursor = f->cursor;

    if (pti_diff(f->ring, cursor->position, cursor->begun) >= 0) /* before that nobody was promised to see anything */
        cursor->missed += count;
}

/* Is it one that was shown already?  Counts it. */
static bool is_old(struct follower *f)
{
    if (f->index++ < f->cursor->seen)
        return true;
    f->cursor->seen = f->index;
    return false;
}

static bool show(const struct ptq_view_msg *msg, void *context)
{
    struct follower *f = context;

    if (is_old(f))
        return true;
    f->stopped = !f->each(msg, f->context);
    return !f->stopped;
}

static void show_block(struct follower *f, uint32_t block)
{
    struct pti_block *b = pti_block_at(f->ring, block);
    struct pti_found found = {.position = f->cursor->position, .sub = pti_load_relaxed(&b->sub), .block = block};
    struct ptq_view_msg msg;
    struct ptq_msg same;

    for (int i = 0; i < TRIES; i++) {
        if (!pti_view_copy(f->ring, &found, &f->copy, &same, &msg))
            continue;
        if (msg.kind & PTI_KIND_PACK)
            pti_view_records(&msg, &same, true, show, f);
        else
            show(&msg, f);
        return;
    }
    if (!is_old(f))
        miss(f, 1);
}

static void show_batch(struct follower *f, uint32_t header, uint64_t word)
{
    struct pti_cursor elements;
    uint32_t block;

    pti_batch_begin(f->ring, &elements, header, word);
    while (!f->stopped && (block = pti_batch_next(f->ring, &elements)) != PTI_NO_BLOCK)
        show_block(f, block);
    if (f->stopped || pti_load_acquire(&pti_block_at(f->ring, header)->word) == word) /* [E, G] */
        return;
    for (; elements.index < elements.count; elements.index++) /* taken to its last element, and the list gone */
        if (!is_old(f))
            miss(f, 1);
}

/* What stands at the cursor's position.  May more be added to it? */
static bool show_position(struct follower *f, uint32_t block)
{
    struct pti_block *b = pti_block_at(f->ring, block);
    bool may_grow;
    uint64_t word;

    f->index = 0;
    if (!pti_block_is_usable(f->ring, block)) {
        if (!is_old(f))
            miss(f, 1);
        return false;
    }
    word = pti_load_acquire(&b->word); /* [L] */
    if (pti_word_position(word) != f->cursor->position) {
        if (f->cursor->open || !is_old(f)) /* to an open one more may have been added than was seen */
            miss(f, 1);
        return false;
    }
    if (pti_word_state(word) == PTI_COMMITH) {
        show_batch(f, block, word);
        return false;
    }
    may_grow = pti_load_relaxed(&b->kind) & PTI_KIND_UNIT && pti_word_state(word) == PTI_COMMIT;
    show_block(f, block);
    return may_grow;
}

static void step(struct follower *f, uint64_t by)
{
    f->cursor->position = pti_step(f->ring, f->cursor->position, by);
    f->cursor->seen = 0;
    f->cursor->open = false;
}

static bool is_published(const struct pti_ring *ring, uint64_t position)
{
    uint64_t slot = pti_load_acquire(pti_slot_at(ring, position)); /* [P] */

    return pti_lap_diff(ring, pti_slot_lap(slot), pti_lap(ring, position)) >= 0;
}

/* One position.  PTQ_EMPTY: nothing stands there yet. */
static enum ptq_err look(struct follower *f)
{
    struct pti_ring *ring = f->ring;
    uint64_t at = f->cursor->position, slot = pti_load_acquire(pti_slot_at(ring, at)); /* [P] */
    int64_t ahead = pti_lap_diff(ring, pti_slot_lap(slot), pti_lap(ring, at));
    bool has_next, may_grow;

    if (ahead < 0)
        return PTQ_EMPTY;
    if (ahead > 0) { /* laps behind: all up to a lap before what stands here is gone */
        uint64_t by = (uint64_t)(ahead - 1) * ring->geometry.slots + 1;
        miss(f, f->cursor->seen > 0 && !f->cursor->open ? by - 1 : by);
        step(f, by);
        return PTQ_OK;
    }
    if (pti_slot_block(slot) == PTI_END_BLOCK)
        return PTQ_END;
    has_next = is_published(ring, pti_step(ring, at, 1)); /* before the look: then nothing is added after it */
    may_grow = show_position(f, pti_slot_block(slot));
    if (f->stopped)
        return PTQ_OK;
    if (may_grow && !has_next) {
        f->cursor->open = true;
        return PTQ_EMPTY;
    }
    step(f, 1);
    return PTQ_OK;
}

static void begin(struct pti_ring *ring, struct ptq_view_cursor *cursor)
{
    uint64_t tail = pti_load_acquire(&ring->hints->tail) & ring->position_mask; /* [T] */
    uint64_t back = ring->geometry.slots, before;

    if (!pti_ring_end_position(ring, &cursor->begun))
        cursor->begun = pti_ring_tail_from(ring, tail);
    cursor->position = cursor->begun;
    before = (cursor->begun - ring->geometry.start) & ring->position_mask;
    if (cursor->oldest)
        cursor->position = pti_step(ring, cursor->begun, 0 - (before < back ? before : back));
    cursor->missed = 0;
    cursor->seen = 0;
    cursor->open = false;
    cursor->started = true;
}

enum ptq_err ptq_view_follow(ptq_view *view, struct ptq_view_cursor *cursor,
                             bool (*each)(const struct ptq_view_msg *msg, void *context), void *context)
{
    struct follower f = {.view = view, .cursor = cursor, .each = each, .context = context};
    enum ptq_err err = PTQ_OK;

    if (!view || !cursor || !each || view->letters)
        return PTQ_EINVAL;
    if (pti_view_check(view) != PTQ_OK)
        return pti_view_check(view);
    f.ring = &view->ring;
    if (!cursor->started)
        begin(f.ring, cursor);
    cursor->position &= f.ring->position_mask;
    for (uint64_t i = 0; i <= 2 * f.ring->geometry.slots && err == PTQ_OK && !f.stopped; i++)
        err = look(&f);
    free(f.copy.bytes);
    if (pti_view_check(view) == PTQ_ECORRUPT)
        return PTQ_ECORRUPT;
    return err == PTQ_EMPTY ? PTQ_OK : err;
}
