/* lease.c -- leases that run out: timed, copied, put in quarantine (lease.h has the words and their order). */
#include "ring/lease.h"

#include "ring/journal.h"
#include "ring/side.h"
#include "ring/wait.h"

#define SOON_US 1000
#define FUTURE 4096 /* ages this near to the end of the 16 bits are clocks that do not quite agree */

static uint64_t limit_us(const struct pti_ring *ring) { return (uint64_t)ring->geometry.lease_ms * 1000; }

/* What leased_at counts: a 256th of the limit, at least a millisecond. */
static uint64_t unit_us(const struct pti_ring *ring)
{
    uint64_t unit = limit_us(ring) / 256;

    return unit < 1000 ? 1000 : unit;
}

/* ---- the words */

/* The position field of QUAR: the copy's block, and the low bits of its number. */
static uint64_t quarantine(uint32_t owner, uint32_t copy, uint64_t number)
{
    return pti_word(PTI_QUAR, owner, ((number << PTI_BLOCK_BITS) | copy) & PTI_TIME_MASK, 0);
}
static uint32_t copy_of(uint64_t quarantined) { return (uint32_t)pti_word_position(quarantined) & PTI_END_BLOCK; }

/* Where a block was used last, if what it bore is not to be read from its word: the last position that was taken.  That is not
 * before any that it had, and a dead producer's noted one (see was_put) is before one that it had. */
static uint64_t last_taken(struct pti_ring *ring)
{
    /* [H] */
    return (pti_ring_head_from(ring, pti_load_acquire(&ring->hints->head) & ring->position_mask) - 1) & ring->position_mask;
}

bool pti_lease_copy_counts(struct pti_ring *ring, uint32_t block, uint64_t word, uint64_t *ret_position)
{
    uint32_t source = pti_load_acquire(&pti_block_at(ring, block)->link) - 1, owner = pti_word_owner(word); /* [Q] */
    uint64_t source_word;

    if (!pti_block_is_usable(ring, source) || owner >= ring->geometry.endpoints)
        return false;
    /* The enforcer changes this only when its copy before is no COPY any more. */
    *ret_position = pti_load_acquire(&ring->entries[owner].copy_position) & ring->position_mask;
    source_word = pti_load_acquire(&pti_block_at(ring, source)->word); /* [Q] */
    return pti_word_state(source_word) == PTI_QUAR && copy_of(source_word) == block;
}

/* COPY -> REDELIV, if it counts: then the caller tells, also if somebody else's CAS came first, for he may stand still. */
static bool finish_copy(struct pti_ring *ring, uint32_t block, uint64_t word)
{
    uint64_t position;

    if (!pti_lease_copy_counts(ring, block, word, &position))
        return false;
    pti_special_set(ring, block); /* before the CAS: always a superset */
    pti_cas(&pti_block_at(ring, block)->word, &word, pti_word(PTI_REDELIV, 0, position, 1)); /* [L, Q] */
    return true;
}

/* What a quarantined block names: its copy is handed on.  The copy may be long gone, and its block anything. */
static bool help(struct pti_ring *ring, uint64_t quarantined)
{
    uint32_t copy = copy_of(quarantined);
    uint64_t word;

    if (!pti_block_is_usable(ring, copy))
        return false;
    word = pti_load_acquire(&pti_block_at(ring, copy)->word); /* [Q] */
    if (pti_word_state(word) == PTI_COPY)
        return finish_copy(ring, copy, word);
    return pti_word_state(word) == PTI_REDELIV; /* perhaps by one who was stopped before he told */
}

static void leave_quarantine(struct pti_ring *ring, uint32_t block, uint64_t word)
{
    if (!pti_cas(&pti_block_at(ring, block)->word, &word, pti_word(PTI_FREE, 0, last_taken(ring), 0))) /* [A] */
        return;
    pti_used_clear(ring, block);
    pti_wake_putters(ring);
}

/* ---- the holder */

/* next_due not later than a lease that begins now may last.  One that has come may be looked after right now: it is counted,
 * so that the looker, who may be past our block, does not raise it. */
static void cover(struct pti_ring *ring)
{
    /* [D, O] */
    uint64_t now = pti_now_us(), limit = now + limit_us(ring), seen = pti_load_seq(&ring->hints->next_due), due, to;

    do {
        due = seen & PTI_TIME_MASK;
        if (due > now && due <= limit)
            return;
        to = due == 0 || due > limit ? limit : due;
    } while (!pti_cas(&ring->hints->next_due, &seen, ((seen >> 48) + 1) << 48 | (to & PTI_TIME_MASK))); /* [D, O] */
    if (to == limit && pti_load_seq(&ring->hints->get_wait) & PTI_WAIT_BITS) /* [W] */
        pti_wake_all(ring, &ring->hints->get_wait); /* sleepers must sleep less long */
}

void pti_lease_try(struct pti_lane *lane, uint32_t block)
{
    _Atomic uint64_t *taking = &lane->entry->taking;

    pti_store_seq(taking, ((pti_load_relaxed(taking) >> 24) + 1) << 24 | (block + 1)); /* [O] */
    cover(lane->ring);
}

void pti_lease_missed(struct pti_lane *lane)
{
    _Atomic uint64_t *taking = &lane->entry->taking;

    pti_store_release(taking, pti_load_relaxed(taking) >> 24 << 24); /* [O] */
}

void pti_lease_began(struct pti_lane *lane, uint32_t block)
{
    /* [O] */
    pti_store_release(&pti_block_at(lane->ring, block)->leased_at, (uint16_t)(pti_now_us() / unit_us(lane->ring)));
    pti_lease_missed(lane); /* from here on leased_at tells */
}

void pti_lease_release(struct pti_ring *ring, uint32_t block, uint32_t owner)
{
    uint64_t word = pti_load_acquire(&pti_block_at(ring, block)->word); /* [Q] */

    if (pti_word_state(word) != PTI_QUAR || pti_word_owner(word) != owner)
        return;
    if (help(ring, word))
        pti_ring_redeliver(ring);
    leave_quarantine(ring, block, word);
    pti_wake_after_store(ring);
}

bool pti_lease_end_limited(struct pti_lane *lane, uint32_t block, uint64_t lease, uint64_t to)
{
    uint64_t word = lease;

    if (pti_cas(&pti_block_at(lane->ring, block)->word, &word, to)) /* [L] */
        return true;
    pti_journal_close(lane->entry); /* first: QUAR is the evidence that it did not happen */
    pti_lease_release(lane->ring, block, pti_word_owner(lease));
    return false;
}

/* A message that was copied is older than what its block bore before: then its position says nothing of the last use. */
bool pti_lease_free_limited(struct pti_lane *lane, uint32_t block, uint64_t lease)
{
    struct pti_ring *ring = lane->ring;
    uint32_t home = pti_load_relaxed(&pti_block_at(ring, block)->home);
    bool has_home = home != 0 && block >= ring->geometry.shared_blocks;
    uint64_t at = pti_word_redelivered(lease) ? last_taken(ring) : pti_word_position(lease);
    uint64_t to = has_home ? pti_word(PTI_OWNED, (home - 1) & 2047, at, 0) : pti_word(PTI_FREE, 0, at, 0);

    if (!pti_lease_end_limited(lane, block, lease, to))
        return false;
    if (!has_home)
        pti_used_clear(ring, block);
    return true;
}

/* ---- the clock */

/* A lease that its holder is about to note the time of, or was when he was stopped: timed from when it was first seen.  He has at
 * most one such, and says which; suspect bears the number of that attempt. */
static bool is_overdue_unnoted(struct pti_ring *ring, struct pti_entry *entry, uint64_t taking, uint64_t *ret_due)
{
    /* [O] */
    uint64_t seen = pti_load_acquire(&entry->suspect), now = pti_now_us(), attempt = taking >> 24 & UINT16_MAX;

    if (seen == 0 || seen >> 48 != attempt) {
        pti_cas(&entry->suspect, &seen, attempt << 48 | now); /* [O] */
        *ret_due = now + limit_us(ring);
        return false;
    }
    *ret_due = (seen & PTI_TIME_MASK) + limit_us(ring);
    return now >= *ret_due;
}

/* By leased_at: the 16 bits come round after more than 256 limits.  The age they give is the true one less a multiple of that:
 * so a lease may be found late, never early.  The clock is read after leased_at, so it is not behind it. */
static bool is_overdue_noted(const struct pti_ring *ring, const struct pti_block *b, uint64_t *ret_due)
{
    uint64_t unit = unit_us(ring), limit = (limit_us(ring) + unit - 1) / unit;
    uint16_t at = pti_load_acquire(&b->leased_at); /* [O] */
    uint64_t now = pti_now_us() / unit;
    uint16_t age = (uint16_t)((uint16_t)now - at);

    if (age >= UINT16_MAX - FUTURE)
        age = 0;
    *ret_due = (now + limit + 1 - age) * unit; /* parts of a unit at either end: one more */
    return age > limit;
}

/* `word` is a lease that was seen there.  *ret_due: when to look again. */
static bool is_overdue(struct pti_ring *ring, uint32_t block, uint64_t word, uint64_t *ret_due)
{
    struct pti_entry *entry = &ring->entries[pti_word_owner(word)];
    const struct pti_block *b = pti_block_at(ring, block);
    uint64_t taking;
    bool overdue;

    *ret_due = pti_now_us() + SOON_US;
    if (pti_word_owner(word) >= ring->geometry.endpoints)
        return false;
    if (pti_block_is_letter(ring, block)) { /* who looks at a dead letter keeps nobody from anything */
        *ret_due = pti_now_us() + limit_us(ring);
        return false;
    }
    taking = pti_load_acquire(&entry->taking); /* [O] */
    if (pti_load_acquire(&b->word) != word) /* [G, O] */
        return false; /* if it is this attempt's, it must be so after the attempt was announced */
    overdue = (taking & 0xffffff) == block + 1 ? is_overdue_unnoted(ring, entry, taking, ret_due)
                                               : is_overdue_noted(ring, b, ret_due);
    return overdue && pti_load_acquire(&entry->taking) == taking; /* [O] */
}

bool pti_lease_is_late(const struct pti_ring *ring, uint32_t block)
{
    const struct pti_block *b = pti_block_at(ring, block);
    uint64_t word = pti_load_acquire(&b->word), due; /* [G] */

    if (pti_word_state(word) == PTI_QUAR)
        return true;
    if (pti_word_state(word) != PTI_LEASED || pti_word_owner(word) >= ring->geometry.endpoints || pti_block_is_letter(ring, block))
        return false;
    uint64_t taking = pti_load_acquire(&ring->entries[pti_word_owner(word)].taking); /* [O] */
    return (taking & 0xffffff) != block + 1 && is_overdue_noted(ring, b, &due) && pti_load_acquire(&b->word) == word; /* [G] */
}

/* ---- the looker */

/* What a message in `source` needs.  Nonsense, if it was settled meanwhile. */
static uint64_t bytes_of(struct pti_ring *ring, uint32_t source)
{
    const struct pti_block *b = pti_block_at(ring, source);

    return pti_message_bytes(pti_load_relaxed(&b->length), pti_load_relaxed(&b->headers));
}

/* Another may stand still just before his CAS on the lease that he saw in this block.  Were it to bear another element of the same
 * batch, leased by the same holder, the word would be the same again, and his copy is of the one before. */
static bool is_watched(struct pti_ring *ring, uint32_t block, uint32_t me)
{
    uint32_t used = pti_load_acquire(&ring->hints->entries_used); /* [S] */

    for (uint32_t x = 0; x < used && x < ring->geometry.endpoints; x++)
        /* [Q, S] */
        if (x != me && pti_load_seq(&ring->entries[x].copying) == block + 1 && pti_load_acquire(&ring->entries[x].state) != 0)
            return true;
    return false;
}

/* A getter takes no extent for this. */
static enum ptq_err alloc_any(struct pti_lane *lane, uint64_t bytes, uint32_t *ret_block, uint64_t *ret_before)
{
    bool granted = lane->granted;
    enum ptq_err err;

    lane->granted = true;
    err = bytes > lane->ring->inline_room ? pti_block_alloc_large(lane, bytes, ret_block, ret_before)
                                          : pti_block_alloc(lane, ret_block, ret_before);
    lane->granted = granted;
    return err;
}

#define ASIDE 8

/* One that nobody watches. */
static enum ptq_err alloc_copy(struct pti_lane *lane, uint64_t bytes, uint32_t *ret_block, uint64_t *ret_before)
{
    uint32_t aside[ASIDE], count = 0, block;
    uint64_t befores[ASIDE], before;
    enum ptq_err err;

    while ((err = alloc_any(lane, bytes, &block, &before)) == PTQ_OK && is_watched(lane->ring, block, lane->index)) {
        aside[count] = block;
        befores[count++] = before;
        if (count == ASIDE) {
            err = PTQ_FULL;
            break;
        }
    }
    while (count-- > 0)
        pti_block_give_back(lane, aside[count], befores[count]);
    if (err != PTQ_OK)
        return err;
    *ret_block = block;
    *ret_before = before;
    return PTQ_OK;
}

/* What is read may be nonsense, if the message was settled meanwhile: then the CAS on its word fails. */
static bool fill_copy(struct pti_lane *lane, uint32_t copy, uint32_t source, uint64_t bytes)
{
    struct pti_block *to = pti_block_at(lane->ring, copy), *from = pti_block_at(lane->ring, source);
    struct pti_meta meta = {.size = pti_load_relaxed(&from->length),
                            .type = pti_load_relaxed(&from->type),
                            .kind = pti_load_relaxed(&from->kind),
                            .headers = pti_load_relaxed(&from->headers)};
    void *payload, *room;

    if (pti_message_bytes(meta.size, meta.headers) != bytes || pti_block_payload(lane->ring, source, bytes, &payload) != PTQ_OK ||
        pti_block_room(lane, copy, bytes, &room) != PTQ_OK)
        return false;
    pti_block_fill(lane, copy, &meta, pti_load_relaxed(&from->sub), source + 1);
    pti_store_relaxed(&to->stamp, pti_load_relaxed(&from->stamp));
    pti_store_relaxed(&to->deliveries, pti_load_relaxed(&from->deliveries));
    pti_copy_guess(room, payload, bytes); /* [G] */
    return true;
}

/* COPY, with what is needed to finish it. */
static uint64_t announce_copy(struct pti_lane *lane, uint32_t copy, uint64_t lease)
{
    struct pti_entry *entry = lane->entry;
    uint64_t number = (pti_load_relaxed(&entry->copies) + 1) & PTI_TIME_MASK, word = pti_word(PTI_COPY, lane->index, number, 0);

    pti_store_release(&entry->copy_position, pti_word_position(lease)); /* [Q] */
    pti_store_release(&entry->copies, number); /* [Q] */
    pti_store_seq(&pti_block_at(lane->ring, copy)->word, word); /* [Q] */
    return word;
}

/* Ends that lease, if it still is overdue.  False: there is no room for the copy. */
static bool copy_and_hand_on(struct pti_lane *lane, uint32_t source, bool *tell)
{
    struct pti_ring *ring = lane->ring;
    _Atomic uint64_t *word = &pti_block_at(ring, source)->word;
    uint64_t bytes = bytes_of(ring, source), before, lease, due, copied;
    bool has_room = true;
    uint32_t copy;

    if (alloc_copy(lane, bytes, &copy, &before) != PTQ_OK)
        return false;
    lease = pti_load_seq(word); /* [L, Q] the copy's block is ours by now: whoever names it from here on is we */
    if (pti_word_state(lease) == PTI_LEASED && is_overdue(ring, source, lease, &due)) {
        has_room = fill_copy(lane, copy, source, bytes);
        if (has_room) {
            copied = announce_copy(lane, copy, lease);
            if (is_overdue(ring, source, lease, &due) &&
                /* [L, Q] */
                pti_cas(word, &lease, quarantine(pti_word_owner(lease), copy, pti_word_position(copied)))) {
                finish_copy(ring, copy, copied);
                *tell = true;
                return true;
            }
        }
    }
    pti_block_give_back(lane, copy, before);
    lease = pti_load_acquire(word); /* [L, Q] somebody was faster, and may stand still half way */
    *tell |= pti_word_state(lease) == PTI_REDELIV || (pti_word_state(lease) == PTI_QUAR && help(ring, lease));
    return has_room;
}

static bool hand_on(struct pti_lane *lane, uint32_t source, bool *tell)
{
    bool has_room;

    pti_store_seq(&lane->entry->copying, source + 1); /* [Q] before its word is read */
    has_room = copy_and_hand_on(lane, source, tell);
    pti_store_release(&lane->entry->copying, 0); /* [Q] */
    return has_room;
}

/* Somebody is about to lease, and may stand still before or after it: he is to be looked after, whatever the words say. */
static bool is_anybody_taking(struct pti_ring *ring)
{
    uint32_t used = pti_load_acquire(&ring->hints->entries_used); /* [S] */

    for (uint32_t x = 0; x < used && x < ring->geometry.endpoints; x++)
        /* [O, S] */
        if (pti_load_seq(&ring->entries[x].taking) & 0xffffff && pti_load_acquire(&ring->entries[x].state) != 0)
            return true;
    return false;
}

static void note_due(uint64_t *least, uint64_t due)
{
    if (*least == 0 || due < *least)
        *least = due;
}

uint64_t pti_lease_look(struct pti_lane *lane, bool *tell)
{
    struct pti_ring *ring = lane->ring;
    uint64_t least = 0, retry = limit_us(ring) / 8 + 10 * SOON_US;

    if (is_anybody_taking(ring)) /* before the blocks: who begins later finds next_due in the past, and counts it */
        least = pti_now_us() + limit_us(ring);
    for (uint32_t block = 0; block < ring->geometry.blocks; block++) {
        uint64_t word, due;

        if (!pti_block_is_backed(ring, block))
            continue;
        word = pti_load_acquire(&pti_block_at(ring, block)->word); /* [L] */
        if (pti_word_state(word) == PTI_QUAR)
            *tell |= help(ring, word);
        else if (pti_word_state(word) == PTI_COPY)
            *tell |= finish_copy(ring, block, word);
        else if (pti_word_state(word) == PTI_REDELIV)
            *tell = true; /* perhaps by one who was stopped before he told */
        if (pti_word_state(word) != PTI_LEASED)
            continue;
        if (!is_overdue(ring, block, word, &due))
            note_due(&least, due);
        else if (!hand_on(lane, block, tell))
            note_due(&least, pti_now_us() + retry); /* a block may be free by then; the lease just lasts */
    }
    return least;
}

/* ---- recovery */

bool pti_lease_recover_copy(struct pti_ring *ring, uint32_t block, uint64_t word)
{
    if (finish_copy(ring, block, word))
        return true;
    /* The dead one cannot put its source in quarantine any more. */
    if (pti_cas(&pti_block_at(ring, block)->word, &word, pti_word(PTI_FREE, 0, last_taken(ring), 0))) /* [A] */
        pti_used_clear(ring, block);
    return false;
}

bool pti_lease_recover_quarantine(struct pti_ring *ring, uint32_t block, uint64_t word)
{
    bool tell = help(ring, word);

    leave_quarantine(ring, block, word);
    return tell;
}
