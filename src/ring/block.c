/* block.c -- blocks: whose they are, where a producer finds one, where a settled one goes.
 *
 * A producer has an extent of its own, which comes back to it by the acker's plain store OWNED(home): that is the fast way,
 * and nobody else looks there.  Beyond it there are shared blocks, found by the `used` marks and won by CAS.
 */
#include <string.h>

#include "base/error.h"
#include "base/rest.h"
#include "ring/side.h"

/* How many shared blocks are taken before the own ring is looked at again, while its consumers stand still. */
#define AWAY 64

/* ---- memory under the file */

static uint64_t block_offset(const struct pti_ring *ring, uint32_t block)
{
    return ring->geometry.off_blocks + (uint64_t)block * ring->stride;
}

static bool stretch_is_backed(const struct pti_ring *ring, uint64_t stretch)
{
    return pti_load_acquire(&ring->stretches[stretch / 64]) >> (stretch % 64) & 1; /* [B] */
}

enum ptq_err pti_block_back(struct pti_ring *ring, uint32_t block)
{
    unsigned shift = ring->geometry.stretch_shift;
    uint64_t first = block_offset(ring, block) >> shift;
    uint64_t last = (block_offset(ring, block) + ring->stride - 1) >> shift;

    for (uint64_t i = first; i <= last; i++) {
        uint64_t from = i << shift, size = UINT64_C(1) << shift;
        enum ptq_err err;

        if (stretch_is_backed(ring, i))
            continue;
        if (from + size > ring->geometry.file_size)
            size = ring->geometry.file_size - from;
        err = pti_err_from_errno(pti_segment_reserve(&ring->segment, from, size));
        if (err != PTQ_OK)
            return err;
        pti_fetch_or_seq(&ring->stretches[i / 64], UINT64_C(1) << (i % 64)); /* [B] */
    }
    return PTQ_OK;
}

/* ---- marks */

static void mark_set(_Atomic uint64_t *marks, uint32_t block)
{
    uint64_t bit = UINT64_C(1) << (block % 64);

    if (!(pti_load_relaxed(&marks[block / 64]) & bit))
        pti_fetch_or_seq(&marks[block / 64], bit); /* [U, X] */
}

static void mark_clear(_Atomic uint64_t *marks, uint32_t block)
{
    uint64_t bit = UINT64_C(1) << (block % 64);

    if (pti_load_relaxed(&marks[block / 64]) & bit)
        pti_fetch_and_seq(&marks[block / 64], ~bit); /* [U, X] */
}

void pti_special_set(struct pti_ring *ring, uint32_t block)
{
    /* Always the locked form: a relaxed look could see a bit that its clearer is about to take away. */
    pti_fetch_or_seq(&ring->special[block / 64], UINT64_C(1) << (block % 64)); /* [X] */
}
void pti_special_clear(struct pti_ring *ring, uint32_t block) { mark_clear(ring->special, block); }

void pti_used_clear(struct pti_ring *ring, uint32_t block)
{
    if (block < ring->geometry.shared_blocks)
        mark_clear(ring->used, block);
}

uint64_t pti_special_find(const struct pti_ring *ring, enum pti_state state, uint32_t *ret_block, uint64_t *ret_word)
{
    uint32_t words = (ring->geometry.blocks + 63) / 64, best_sub = 0;
    uint64_t count = 0;

    for (uint32_t i = 0; i < words; i++)
        for (uint64_t marks = pti_load_seq(&ring->special[i]); marks; marks &= marks - 1) { /* [W, X] */
            uint32_t block = i * 64 + (uint32_t)__builtin_ctzll(marks), sub;
            uint64_t word;
            int64_t before;

            if (!pti_block_is_usable(ring, block))
                continue;
            word = pti_load_seq(&pti_block_at(ring, block)->word); /* [L, W] */
            if (pti_word_state(word) != state)
                continue;
            sub = pti_load_relaxed(&pti_block_at(ring, block)->sub);
            before = count == 0 ? -1 : pti_diff(ring, pti_word_position(word), pti_word_position(*ret_word));
            if (before < 0 || (before == 0 && sub < best_sub)) {
                *ret_block = block;
                *ret_word = word;
                best_sub = sub;
            }
            count++;
        }
    return count;
}

/* ---- own blocks */

static bool is_own(const struct pti_lane *lane, uint32_t block)
{
    return block - lane->own_first < lane->own_count; /* unsigned: below first wraps */
}

/* Asks for an extent, once.  What stands in `extents` is a hint: the words decide whose a block is. */
static void grant(struct pti_lane *lane)
{
    struct pti_ring *ring = lane->ring;
    const struct pti_geometry *g = &ring->geometry;

    lane->granted = true;
    if (!lane->own_state)
        return;
    for (uint32_t i = 0; i < g->extents; i++) {
        uint32_t nobody = 0;

        if (pti_load_relaxed(&ring->extents[i]) != 0)
            continue;
        if (!pti_cas(&ring->extents[i], &nobody, lane->index + 1)) /* [U] */
            continue;
        memset(lane->own_state, PTI_OWN_UNKNOWN, g->extent_blocks);
        lane->own_first = g->shared_blocks + i * g->extent_blocks;
        lane->own_count = g->extent_blocks;
        lane->own_at = 0;
        return;
    }
}

static bool try_own(struct pti_lane *lane, uint32_t i, uint64_t *ret_before)
{
    struct pti_ring *ring = lane->ring;
    uint32_t block = lane->own_first + i;
    uint64_t word, mine;

    if (lane->own_state[i] == PTI_OWN_LOANED)
        return false;
    if (lane->own_state[i] == PTI_OWN_UNKNOWN) {
        if (pti_block_back(ring, block) != PTQ_OK)
            return false;
        lane->own_state[i] = PTI_OWN_READY;
    }
    word = pti_load_acquire(&pti_block_at(ring, block)->word); /* [A] ack gives, we take */
    if ((word & 0x7fff) == pti_word(PTI_OWNED, lane->index, 0, 0)) {
        *ret_before = word;
        return true;
    }
    if (pti_word_state(word) != PTI_FREE)
        return false;
    mine = pti_word(PTI_OWNED, lane->index, pti_word_position(word), 0);
    if (!pti_cas(&pti_block_at(ring, block)->word, &word, mine)) /* [A] */
        return false;
    *ret_before = mine;
    return true;
}

static bool alloc_own(struct pti_lane *lane, uint32_t tries, uint32_t *ret_block, uint64_t *ret_before)
{
    for (uint32_t n = 0; n < tries; n++) {
        uint32_t i = lane->own_at;

        lane->own_at = i + 1 < lane->own_count ? i + 1 : 0;
        if (try_own(lane, i, ret_before)) {
            *ret_block = lane->own_first + i;
            return true;
        }
    }
    return false;
}

void pti_block_keep(struct pti_lane *lane, uint32_t block, bool loaned)
{
    if (is_own(lane, block))
        lane->own_state[block - lane->own_first] = loaned ? PTI_OWN_LOANED : PTI_OWN_READY;
}

/* ---- shared blocks */

static enum ptq_err try_shared(struct pti_lane *lane, uint32_t block, uint64_t *ret_before)
{
    struct pti_ring *ring = lane->ring;
    enum ptq_err err = pti_block_back(ring, block);
    uint64_t word, mine;

    if (err != PTQ_OK)
        return err;
    word = pti_load_acquire(&pti_block_at(ring, block)->word); /* [A] */
    if (pti_word_state(word) != PTI_FREE)
        return PTQ_FULL;
    mine = pti_word(PTI_OWNED, lane->index, pti_word_position(word), 0);
    if (!pti_cas(&pti_block_at(ring, block)->word, &word, mine)) /* [A] */
        return PTQ_FULL;
    *ret_before = mine;
    return PTQ_OK;
}

/* By the marks: the bit is set before the CAS, so that the freer's clearing comes after it. */
static enum ptq_err alloc_marked(struct pti_lane *lane, uint32_t *ret_block, uint64_t *ret_before)
{
    struct pti_ring *ring = lane->ring;
    uint32_t shared = ring->geometry.shared_blocks;
    uint32_t words = (shared + 63) / 64;

    for (uint32_t n = 0; n < words; n++) {
        uint32_t at = (lane->shared_at + n) % words;
        uint64_t may = ~pti_load_relaxed(&ring->used[at]);

        for (; may; may &= may - 1) {
            uint32_t block = at * 64 + (uint32_t)__builtin_ctzll(may);
            enum ptq_err err;

            if (block >= shared)
                break;
            mark_set(ring->used, block);
            err = try_shared(lane, block, ret_before);
            if (err == PTQ_OK) {
                lane->shared_at = at;
                *ret_block = block;
                return PTQ_OK;
            }
            if (err != PTQ_FULL) {
                mark_clear(ring->used, block);
                return err; /* what has memory already is looked through by alloc_scanned */
            }
        }
    }
    return PTQ_FULL;
}

/* Word by word: finds what the marks have lost. */
static enum ptq_err alloc_scanned(struct pti_lane *lane, uint32_t *ret_block, uint64_t *ret_before)
{
    struct pti_ring *ring = lane->ring;

    for (uint32_t block = 0; block < ring->geometry.shared_blocks; block++) {
        if (!pti_block_is_backed(ring, block))
            continue;
        if (pti_word_state(pti_load_relaxed(&pti_block_at(ring, block)->word)) != PTI_FREE)
            continue;
        mark_set(ring->used, block);
        if (try_shared(lane, block, ret_before) == PTQ_OK) {
            *ret_block = block;
            return PTQ_OK;
        }
    }
    return PTQ_FULL;
}

/* The own ring, oldest first: it comes back in order, so where the oldest is not back the others are not either, and looking
 * at them would only pull their lines from the consumers. */
static bool alloc_oldest(struct pti_lane *lane, uint32_t *ret_block, uint64_t *ret_before)
{
    uint32_t i = lane->own_at;

    if (lane->own_away > 0) {
        lane->own_away--;
        return false;
    }
    if (!try_own(lane, i, ret_before)) {
        if (!lane->paced) {
            lane->own_away = AWAY;
            lane->own_at = i + 1 < lane->own_count ? i + 1 : 0; /* somebody may hold this one for long */
            return false;
        }
        pti_rest();
        if (!try_own(lane, i, ret_before)) {
            lane->paced = false; /* the consumers stand still: no more rests before they move */
            return false;
        }
    }
    lane->paced = true;
    lane->own_at = i + 1 < lane->own_count ? i + 1 : 0;
    *ret_block = lane->own_first + i;
    return true;
}

bool pti_block_alloc_own(struct pti_lane *lane, uint32_t *ret_block, uint64_t *ret_before)
{
    if (!lane->granted)
        grant(lane);
    return lane->own_count != 0 && alloc_oldest(lane, ret_block, ret_before);
}

enum ptq_err pti_block_alloc_slow(struct pti_lane *lane, uint32_t *ret_block, uint64_t *ret_before)
{
    enum ptq_err err;

    if (!lane->granted)
        grant(lane);
    if (lane->own_count != 0 && alloc_oldest(lane, ret_block, ret_before))
        return PTQ_OK;
    err = alloc_marked(lane, ret_block, ret_before);
    if (err == PTQ_OK || alloc_own(lane, lane->own_count, ret_block, ret_before))
        return PTQ_OK;
    return alloc_scanned(lane, ret_block, ret_before) == PTQ_OK ? PTQ_OK : err;
}

/* ---- blocks for large messages */

#define ROOMY 4        /* times what is needed: far too large */
#define CANDIDATES 256 /* free blocks looked at, at most */

/* The free block whose side file fits best; else the largest that is too small, which will grow; else one without a file; else one
 * that is far too large: it stays for larger messages, or gives its memory up when that is short.  PTI_NO_BLOCK: the marks know
 * of none. */
static uint32_t find_large(const struct pti_ring *ring, uint64_t room)
{
    uint32_t fits = PTI_NO_BLOCK, grows = PTI_NO_BLOCK, fresh = PTI_NO_BLOCK, roomy = PTI_NO_BLOCK, seen = 0;
    uint64_t fits_bytes = UINT64_MAX, grows_bytes = 0;

    for (uint32_t at = 0; at * 64 < ring->geometry.shared_blocks && seen < CANDIDATES; at++)
        for (uint64_t may = ~pti_load_relaxed(&ring->used[at]); may; may &= may - 1) {
            uint32_t block = at * 64 + (uint32_t)__builtin_ctzll(may);
            uint64_t bytes = 0;

            if (block >= ring->geometry.shared_blocks)
                break;
            if (pti_block_is_backed(ring, block)) {
                if (pti_word_state(pti_load_relaxed(&pti_block_at(ring, block)->word)) != PTI_FREE)
                    continue;
                bytes = pti_load_relaxed(&pti_side_note(ring, block)->bytes);
            }
            seen++;
            if (bytes / ROOMY > room) {
                roomy = block;
            } else if (bytes >= room && bytes < fits_bytes) {
                fits = block;
                fits_bytes = bytes;
            } else if (bytes < room && bytes > grows_bytes) {
                grows = block;
                grows_bytes = bytes;
            } else if (bytes == 0 && fresh == PTI_NO_BLOCK) {
                fresh = block;
            }
        }
    if (fits == PTI_NO_BLOCK)
        fits = grows;
    if (fits == PTI_NO_BLOCK)
        fits = fresh;
    return fits != PTI_NO_BLOCK ? fits : roomy;
}

/* The block of my last large message, if it is back and its file fits as closely as one that would be made for `room` bytes: most
 * often so where large messages go to and fro, and its lines and pages are at hand.  The marks are left alone: they say "may be
 * free" of it meanwhile, and neither side pulls their line from the other. */
static bool try_last_large(struct pti_lane *lane, uint64_t room, uint32_t *ret_block, uint64_t *ret_before)
{
    uint32_t block = lane->large - 1;
    uint64_t bytes;

    if (lane->large == 0)
        return false;
    bytes = pti_load_relaxed(&pti_side_note(lane->ring, block)->bytes);
    if (bytes < room || bytes - room > room / 8 + PTI_SIDE_UNIT || try_shared(lane, block, ret_before) != PTQ_OK)
        return false;
    *ret_block = block;
    return true;
}

enum ptq_err pti_block_alloc_large(struct pti_lane *lane, uint64_t room, uint32_t *ret_block, uint64_t *ret_before)
{
    if (try_last_large(lane, room, ret_block, ret_before))
        return PTQ_OK;
    for (unsigned tries = 0; tries < 16; tries++) {
        uint32_t block = find_large(lane->ring, room);
        enum ptq_err err;

        if (block == PTI_NO_BLOCK)
            break;
        mark_set(lane->ring->used, block);
        err = try_shared(lane, block, ret_before);
        if (err == PTQ_OK) {
            *ret_block = block;
            lane->large = 1 + block;
        } else if (err != PTQ_FULL) {
            mark_clear(lane->ring->used, block);
        }
        if (err != PTQ_FULL)
            return err;
    }
    return pti_block_alloc_slow(lane, ret_block, ret_before);
}

/* ---- back */

void pti_block_give_back(struct pti_lane *lane, uint32_t block, uint64_t before)
{
    struct pti_block *b = pti_block_at(lane->ring, block);

    if (is_own(lane, block)) {
        pti_store_release(&b->word, before); /* [A] */
        lane->own_state[block - lane->own_first] = PTI_OWN_READY;
        return;
    }
    pti_store_release(&b->word, pti_word(PTI_FREE, 0, pti_word_position(before), 0)); /* [A] */
    pti_used_clear(lane->ring, block);
}

bool pti_block_is_short(const struct pti_ring *ring)
{
    uint32_t shared = ring->geometry.shared_blocks, words = shared / 64;

    for (uint32_t at = 0; at < words; at++)
        if (pti_load_relaxed(&ring->used[at]) != UINT64_MAX)
            return false;
    return shared % 64 == 0 || (~pti_load_relaxed(&ring->used[words]) & ((UINT64_C(1) << shared % 64) - 1)) == 0;
}

void pti_block_free_strays(struct pti_ring *ring)
{
    const struct pti_geometry *g = &ring->geometry;

    for (uint32_t block = g->shared_blocks; block < g->blocks; block++) {
        uint32_t grantee = pti_load_acquire(&ring->extents[(block - g->shared_blocks) / g->extent_blocks]); /* [U] */
        uint64_t word;

        if (!pti_block_is_backed(ring, block))
            continue;
        word = pti_load_acquire(&pti_block_at(ring, block)->word); /* [A] */
        if (pti_word_state(word) == PTI_OWNED && pti_word_owner(word) + 1 != grantee)
            /* [A] */
            pti_cas(&pti_block_at(ring, block)->word, &word, pti_word(PTI_FREE, 0, pti_word_position(word), 0));
    }
}
