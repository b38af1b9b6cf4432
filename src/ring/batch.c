/* batch.c -- many messages by one commit: a header block stands in the slot and lists its elements.
 *
 * Elements are COMMIT(producer, t0), t0 the first unpublished position found when all blocks were owned already, hence
 * later than any position that they have had; the header alone bears the position where it was published.  An element
 * is in the queue iff its header stands in its slot and lists it.  A list that does not fit one block goes on in others,
 * which are COMMITH(producer, t0) and bear the header's number.
 *
 * An element may be a pack (pack.h): then it stands for as many messages as it has records.
 *
 * A reader of a list trusts nothing: it may be read while it is freed and used again.  What decides is the element's word
 * compared exactly with COMMIT(producer, t0), and the header's word looked at again before.
 */
#include <string.h>

#include "ring/journal.h"
#include "ring/pack.h"
#include "ring/wait.h"

static struct pti_batch *batch_at(const struct pti_ring *ring, uint32_t block)
{
    return (struct pti_batch *)(void *)pti_block_at(ring, block)->payload;
}

static size_t runs_per_list(const struct pti_ring *ring)
{
    return (ring->list_room - sizeof(struct pti_batch)) / sizeof(struct pti_run);
}

/* ---- writing */

static size_t lists_needed(const struct pti_ring *ring, const uint32_t *blocks, size_t count)
{
    size_t per_list = runs_per_list(ring), runs = 1;

    for (size_t i = 1; i < count; i++)
        runs += blocks[i] != blocks[i - 1] + 1;
    return (runs + per_list - 1) / per_list;
}

static void write_lists(struct pti_lane *lane, size_t count, size_t lists, uint64_t t0)
{
    const struct pti_scratch *s = &lane->scratch;
    size_t at = 0;

    for (size_t n = 0; n < lists; n++) {
        struct pti_batch *batch = batch_at(lane->ring, s->lists[n]);
        uint32_t runs = 0;

        while (at < count && runs < runs_per_list(lane->ring)) {
            uint32_t length = 1;

            while (at + length < count && s->blocks[at + length] == s->blocks[at] + length)
                length++;
            pti_store_relaxed(&batch->run[runs].first, s->blocks[at]);
            pti_store_relaxed(&batch->run[runs].count, length);
            runs++;
            at += length;
        }
        pti_store_relaxed(&batch->t0, t0);
        pti_store_relaxed(&batch->count, (uint32_t)count);
        pti_store_relaxed(&batch->runs, runs);
        pti_store_relaxed(&batch->next, n + 1 < lists ? s->lists[n + 1] + 1 : 0);
    }
}

static void give_lists_back(struct pti_lane *lane, size_t lists)
{
    while (lists-- > 0) {
        pti_block_keep(lane, lane->scratch.lists[lists], false);
        pti_block_give_back(lane, lane->scratch.lists[lists], lane->scratch.list_befores[lists]);
    }
}

static enum ptq_err alloc_lists(struct pti_lane *lane, size_t need)
{
    for (size_t i = 0; i < need; i++) {
        enum ptq_err err = pti_block_alloc(lane, &lane->scratch.lists[i], &lane->scratch.list_befores[i]);

        if (err != PTQ_OK) {
            give_lists_back(lane, i);
            return err;
        }
        pti_block_keep(lane, lane->scratch.lists[i], true);
    }
    return PTQ_OK;
}

/* Counting must be on before the first batch can be seen. */
void pti_batch_announce(struct pti_ring *ring, uint64_t count)
{
    uint64_t largest = pti_load_relaxed(&ring->hints->largest_batch);

    while (largest < count && !pti_cas(&ring->hints->largest_batch, &largest, count)) /* [F] */
        ;
    if (!(pti_load_relaxed(&ring->hints->flags) & PTI_FLAG_BATCHED))
        pti_fetch_or_seq(&ring->hints->flags, PTI_FLAG_BATCHED); /* [F] */
}

/* Words of the elements and lists, everything but the header's: nobody sees them yet. */
static uint64_t prepare(struct pti_lane *lane, size_t count, size_t lists, uint64_t t0)
{
    struct pti_ring *ring = lane->ring;
    const struct pti_scratch *s = &lane->scratch;
    struct pti_meta meta = {0};
    uint64_t bytes = 0;

    for (size_t i = 0; i < count; i++) {
        struct pti_block *b = pti_block_at(ring, s->blocks[i]);

        bytes += pti_load_relaxed(&b->length);
        pti_store_relaxed(&b->link, s->lists[0] + 1);
        pti_store_release(&b->word, pti_word(PTI_COMMIT, lane->index, t0, 0)); /* [E] */
    }
    for (size_t i = 0; i < lists; i++)
        pti_block_fill(lane, s->lists[i], &meta, 0, i > 0 ? s->lists[0] + 1 : 0);
    write_lists(lane, count, lists, t0);
    for (size_t i = 1; i < lists; i++)
        pti_store_release(&pti_block_at(ring, s->lists[i])->word, pti_word(PTI_COMMITH, lane->index, t0, 0)); /* [E] */
    return bytes;
}

/* One try, with all blocks owned; on failure their words are as before. */
static enum ptq_err publish_listed(struct pti_lane *lane, size_t count, uint64_t messages, size_t lists, uint64_t *ret_bytes,
                                   uint64_t *ret_at)
{
    struct pti_ring *ring = lane->ring;
    struct pti_entry *entry = lane->entry;
    const struct pti_scratch *s = &lane->scratch;
    uint64_t slot;
    enum ptq_err err = pti_ring_find_tail(lane, &slot);

    if (err != PTQ_OK)
        return err;
    *ret_bytes = prepare(lane, count, lists, lane->tail);
    lane->want_bytes = *ret_bytes;
    pti_store_release(&entry->journal_bytes, pti_load_relaxed(&entry->bytes_put) + *ret_bytes); /* [J] */
    pti_store_release(&entry->journal_count, messages); /* [J] */
    pti_journal_open(entry, PTI_OP_PUT_MANY, s->lists[0], s->list_befores[0], pti_load_relaxed(&entry->put));
    err = pti_ring_publish_entry(lane, s->lists[0], PTI_COMMITH, messages, ret_at);
    if (err == PTQ_OK)
        return PTQ_OK;
    for (size_t i = 0; i < count; i++)
        pti_store_release(&pti_block_at(ring, s->blocks[i])->word, s->befores[i]); /* [A] */
    pti_store_release(&pti_block_at(ring, s->lists[0])->word, s->list_befores[0]); /* [A] */
    pti_journal_close(entry);
    return err;
}

enum ptq_err pti_ring_publish_batch(struct pti_lane *lane, size_t count, uint64_t messages, uint64_t *ret_position)
{
    struct pti_ring *ring = lane->ring;
    const struct pti_scratch *s = &lane->scratch;
    size_t lists = lists_needed(ring, s->blocks, count);
    uint64_t at = 0, bytes = 0;
    enum ptq_err err = alloc_lists(lane, lists);

    if (err != PTQ_OK)
        return err;
    pti_batch_announce(ring, messages);
    do
        err = publish_listed(lane, count, messages, lists, &bytes, &at);
    while (err == PTQ_FULL && pti_ring_make_room(lane, messages));
    if (err != PTQ_OK) {
        give_lists_back(lane, lists);
        return err;
    }
    for (size_t i = 0; i < lists; i++)
        pti_block_keep(lane, s->lists[i], false);
    pti_ring_note_put(lane, messages, bytes, at);
    *ret_position = at;
    return PTQ_OK;
}

/* ---- reading */

static void cursor_start(struct pti_ring *ring, struct pti_cursor *c, uint32_t header, uint64_t header_word)
{
    const struct pti_batch *batch = batch_at(ring, header);

    memset(c, 0, sizeof *c);
    c->position = pti_word_position(header_word);
    c->header = c->list = header;
    c->header_word = header_word;
    c->t0 = pti_load_guess(&batch->t0); /* [G] */
    c->count = pti_load_guess(&batch->count); /* [G] */
    if (c->count > ring->geometry.blocks)
        c->count = 0;
    c->active = true;
}

void pti_batch_begin(struct pti_ring *ring, struct pti_cursor *cursor, uint32_t header, uint64_t header_word)
{
    cursor_start(ring, cursor, header, header_word);
}

/* A later list block of this batch.  Only a freer takes that away, who has seen every element taken. */
static bool is_list_of(const struct pti_ring *ring, uint32_t list, const struct pti_cursor *c)
{
    const struct pti_block *b = pti_block_at(ring, list);

    return pti_load_acquire(&b->word) == pti_word(PTI_COMMITH, pti_word_owner(c->header_word), c->t0, 0) && /* [E] */
           pti_load_relaxed(&b->link) == c->header + 1;
}

/* The next element's block; PTI_NO_BLOCK at the end of the list (or where the list makes no sense). */
static uint32_t cursor_next(struct pti_ring *ring, struct pti_cursor *c)
{
    size_t per_list = runs_per_list(ring);

    if (c->index >= c->count)
        return PTI_NO_BLOCK;
    for (uint32_t hops = 0; hops <= c->count + 1; hops++) {
        const struct pti_batch *batch = batch_at(ring, c->list);
        uint32_t runs = pti_load_guess(&batch->runs); /* [G] */

        if (c->run >= runs || c->run >= per_list) {
            uint32_t next = pti_load_guess(&batch->next); /* [G] */

            if (next == 0 || !pti_block_is_usable(ring, next - 1))
                return PTI_NO_BLOCK;
            c->cut = !is_list_of(ring, next - 1, c);
            if (c->cut)
                return PTI_NO_BLOCK;
            c->list = next - 1;
            c->run = c->step = 0;
        } else if (c->step >= pti_load_guess(&batch->run[c->run].count)) { /* [G] */
            c->run++;
            c->step = 0;
        } else {
            uint32_t block = pti_load_guess(&batch->run[c->run].first) + c->step++; /* [G] */

            c->index++;
            return pti_block_is_usable(ring, block) ? block : PTI_NO_BLOCK;
        }
    }
    return PTI_NO_BLOCK;
}

static uint64_t element_word(const struct pti_cursor *c)
{
    return pti_word(PTI_COMMIT, pti_word_owner(c->header_word), c->t0, 0);
}

static bool header_stands(struct pti_ring *ring, const struct pti_cursor *c)
{
    return pti_load_acquire(&pti_block_at(ring, c->header)->word) == c->header_word; /* [E, G] */
}

uint32_t pti_batch_next(struct pti_ring *ring, struct pti_cursor *cursor) { return cursor_next(ring, cursor); }

/* ---- freeing */

static void free_exactly(struct pti_ring *ring, uint32_t block, uint64_t word)
{
    struct pti_block *b = pti_block_at(ring, block);
    uint32_t home = pti_load_relaxed(&b->home);
    uint64_t position = pti_word_position(word), to = pti_word(PTI_FREE, 0, position, 0);

    if (home != 0 && block >= ring->geometry.shared_blocks)
        to = pti_word(PTI_OWNED, (home - 1) & 2047, position, 0);
    if (pti_cas(&b->word, &word, to)) { /* [A] */
        pti_used_clear(ring, block);
        pti_wake_putters(ring);
    }
}

/* Every element is taken: the later lists go first, from the last to the second, so that a killed freer leaves a chain
 * that can still be walked; then the header. */
static void free_header(struct pti_ring *ring, uint32_t header, uint64_t header_word)
{
    uint64_t t0 = pti_load_guess(&batch_at(ring, header)->t0); /* [G] */
    uint64_t list_word = pti_word(PTI_COMMITH, pti_word_owner(header_word), t0, 0);

    for (;;) {
        uint32_t last = header, list = header;

        for (uint32_t hops = 0; hops < ring->geometry.blocks; hops++) {
            uint32_t next = pti_load_guess(&batch_at(ring, list)->next); /* [G] */

            if (next == 0 || !pti_block_is_usable(ring, next - 1) || next - 1 == header)
                break;
            list = next - 1;
            if (pti_load_acquire(&pti_block_at(ring, list)->word) != list_word || /* [E, G] */
                pti_load_relaxed(&pti_block_at(ring, list)->link) != header + 1)
                break;
            last = list;
        }
        if (pti_load_acquire(&pti_block_at(ring, header)->word) != header_word) /* [E, G] */
            return;
        if (last == header)
            break;
        free_exactly(ring, last, list_word);
    }
    free_exactly(ring, header, header_word);
}

struct pti_load pti_batch_load(struct pti_ring *ring, uint32_t header, uint64_t header_word)
{
    struct pti_load load = {0, 0};
    struct pti_cursor c;
    uint32_t block;

    cursor_start(ring, &c, header, header_word);
    while ((block = cursor_next(ring, &c)) != PTI_NO_BLOCK) {
        uint32_t length = pti_load_acquire(&pti_block_at(ring, block)->length); /* [G] */
        uint64_t messages;

        if (pti_load_seq(&pti_block_at(ring, block)->word) != element_word(&c)) /* [E, W] */
            continue;
        messages = pti_block_count(ring, block);
        if (pti_load_acquire(&pti_block_at(ring, block)->word) != element_word(&c)) /* [G] */
            continue; /* taken meanwhile: the count may be nonsense */
        load.messages += messages;
        load.bytes += length;
    }
    return header_stands(ring, &c) ? load : (struct pti_load){0, 0};
}

bool pti_batch_first(struct pti_ring *ring, uint32_t header, uint64_t header_word, uint32_t *ret_block, uint64_t *ret_word)
{
    struct pti_cursor c;
    uint32_t block;

    cursor_start(ring, &c, header, header_word);
    while ((block = cursor_next(ring, &c)) != PTI_NO_BLOCK) {
        if (pti_load_acquire(&pti_block_at(ring, block)->word) != element_word(&c)) /* [E] */
            continue;
        if (!header_stands(ring, &c))
            return false;
        *ret_block = block;
        *ret_word = element_word(&c);
        return true;
    }
    return false;
}

bool pti_batch_settle(struct pti_lane *lane, uint32_t header, uint64_t header_word)
{
    struct pti_cursor c;
    uint32_t block;

    cursor_start(lane->ring, &c, header, header_word);
    while ((block = cursor_next(lane->ring, &c)) != PTI_NO_BLOCK)
        if (pti_load_seq(&pti_block_at(lane->ring, block)->word) == element_word(&c)) /* [E, W] */
            return !header_stands(lane->ring, &c);
    if (!header_stands(lane->ring, &c))
        return true; /* somebody was faster */
    if (c.index < c.count && !c.cut)
        return false; /* a list that makes no sense, though its header stands */
    free_header(lane->ring, header, header_word);
    return true;
}

/* ---- taking */

#define AHEAD 3

/* The elements behind this one are published too: their lines may travel while this one is worked on. */
static inline void ask_ahead(const struct pti_ring *ring, const struct pti_cursor *c, uint32_t block)
{
    const char *next = (const char *)pti_block_at(ring, block + AHEAD);

    if (c->index + AHEAD > c->count || block + AHEAD >= ring->geometry.blocks)
        return;
    pti_prefetch_to_write(next);
    __builtin_prefetch(next + PTI_LINE);
}

enum ptq_err pti_batch_take(struct pti_lane *lane, uint64_t position, uint32_t header, uint64_t header_word,
                            uint32_t *ret_block, uint64_t *ret_word)
{
    struct pti_ring *ring = lane->ring;
    struct pti_cursor *c = &lane->cursor;
    uint64_t lease = pti_word(PTI_LEASED, lane->index, position, 0);
    uint32_t block;

    if (!c->active || c->header_word != header_word || c->header != header)
        cursor_start(ring, c, header, header_word);
    while ((block = cursor_next(ring, c)) != PTI_NO_BLOCK) {
        uint64_t word = element_word(c);

        ask_ahead(ring, c, block);
        if (pti_load_acquire(&pti_block_at(ring, block)->word) != word) /* [E] */
            continue;
        if (!header_stands(ring, c))
            break;
        if (!pti_lease(lane, block, word, lease))
            continue;
        if (c->index == c->count) {
            /* The last one: everything before it was seen taken on the way. */
            c->active = false;
            free_header(ring, header, header_word);
            pti_ring_note_head(lane, pti_step(ring, position, 1));
        }
        *ret_block = block;
        *ret_word = lease;
        return PTQ_OK;
    }
    c->active = false;
    if (!pti_batch_settle(lane, header, header_word))
        return PTQ_ECORRUPT; /* elements are left that the list does not lead to */
    return PTQ_EMPTY;
}

/* ---- questions */

bool pti_batch_lists(struct pti_ring *ring, uint32_t header, uint32_t block, uint64_t t0)
{
    struct pti_cursor c;
    uint64_t header_word;
    uint32_t element, list = header;

    if (!pti_block_is_usable(ring, header))
        return false;
    header_word = pti_load_acquire(&pti_block_at(ring, header)->word); /* [E] */
    if (pti_word_state(header_word) != PTI_COMMITH || !pti_slot_names(ring, pti_word_position(header_word), header))
        return false;
    cursor_start(ring, &c, header, header_word);
    if (c.t0 != t0)
        return false;
    while ((element = cursor_next(ring, &c)) != PTI_NO_BLOCK)
        if (element == block)
            return true;
    for (uint32_t hops = 0; hops < ring->geometry.blocks; hops++) {
        uint32_t next = pti_load_guess(&batch_at(ring, list)->next); /* [G] */

        if (next == 0 || !pti_block_is_usable(ring, next - 1))
            return false;
        list = next - 1;
        if (list == block)
            return true;
    }
    return false;
}

bool pti_block_stands(struct pti_ring *ring, uint32_t block, uint64_t word, uint64_t *ret_position)
{
    uint64_t position = pti_word_position(word);
    uint32_t batch = pti_load_acquire(&pti_block_at(ring, block)->link); /* [G, L] */

    *ret_position = position;
    if (pti_slot_names(ring, position, block))
        return true;
    if (batch == 0 || !pti_batch_lists(ring, batch - 1, block, position))
        return false;
    *ret_position = pti_word_position(pti_load_acquire(&pti_block_at(ring, batch - 1)->word)); /* [E] */
    return true;
}
