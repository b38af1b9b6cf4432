/* recover.c -- what the dead left: decided by their journal, then put right word by word.
 *
 * The caller holds the read lock of each dead endpoint's byte: so its owner is dead and nobody registers there.  Several
 * recoverers may run at once, and any of them may be killed or stopped for ever: every change is a CAS from an exact word
 * that only the dead one, or recovery, can have written, and none of these words can come back while the lock is held.
 */
#include <errno.h>

#include "base/time.h"
#include "os/clock.h"
#include "os/life.h"
#include "ring/journal.h"
#include "ring/note.h"
#include "ring/wait.h"

static bool has_bit(const uint64_t *set, uint32_t i) { return set[i / 64] >> (i % 64) & 1; }

/* ---- the journal */

/* Did the put take effect?  The word is looked at again: between word and slot a whole lap may pass. */
static bool was_put(struct pti_ring *ring, uint32_t endpoint, uint32_t block, uint64_t noted)
{
    for (;;) {
        uint64_t word = pti_load_acquire(&pti_block_at(ring, block)->word); /* [L] */
        enum pti_state state = pti_word_state(word);

        if (state == PTI_QUAR || state == PTI_COPY)
            return true; /* what stands for a position there is none; it left the producer, so it was published */
        if ((state != PTI_COMMIT && state != PTI_COMMITH) || pti_word_owner(word) != endpoint)
            return pti_word_position(word) != pti_word_position(noted);
        if (pti_slot_names(ring, pti_word_position(word), block))
            return true;
        if (pti_load_acquire(&pti_block_at(ring, block)->word) == word) /* [L] */
            return false;
    }
}

/* Is it leased no more, by what its holder did?  If its lease ran out it was not he: the word is QUAR until he, or his
 * recovery, has seen it. */
static bool was_settled(uint64_t word, uint64_t lease)
{
    return word != lease && (pti_word_state(word) != PTI_QUAR || pti_word_owner(word) != pti_word_owner(lease));
}

static bool was_taken(uint64_t word, uint64_t lease)
{
    return word == lease || (pti_word_state(word) == PTI_QUAR && pti_word_owner(word) == pti_word_owner(lease));
}

/* Did the change that the line announces take effect? */
static bool took_effect(struct pti_ring *ring, uint32_t endpoint, uint64_t line, uint64_t noted)
{
    uint32_t block = pti_journal_block(line);

    if (pti_journal_operation(line) == PTI_OP_REFUSE)
        return pti_load_acquire(&ring->entries[endpoint].dropped[PTQ_DROP_NEWEST]) == noted; /* [J] */
    if (!pti_block_is_usable(ring, block))
        return false;
    if (pti_journal_operation(line) == PTI_OP_ADMIT) /* the lease was its until now */
        return !(pti_load_acquire(&pti_block_at(ring, block)->kind) & PTI_KIND_UNIT); /* [J] */
    if (pti_journal_operation(line) >= PTI_OP_DROP_PART) /* and a reason */
        return pti_load_acquire(&pti_pack_of(pti_block_at(ring, block))->ctl) != noted; /* [K] */
    if (pti_journal_operation(line) >= PTI_OP_DROP && pti_journal_operation(line) < PTI_OP_DROP + PTQ_DROPS)
        return was_settled(pti_load_acquire(&pti_block_at(ring, block)->word), noted); /* [L] */
    switch (pti_journal_operation(line)) {
    case PTI_OP_PUT:
    case PTI_OP_PUT_MANY:
        return was_put(ring, endpoint, block, noted);
    case PTI_OP_TAKE:
    case PTI_OP_TAKE_MANY:
        return was_taken(pti_load_acquire(&pti_block_at(ring, block)->word), noted); /* [L] */
    case PTI_OP_ACK:
    case PTI_OP_ACK_MANY:
    case PTI_OP_NACK:
        return was_settled(pti_load_acquire(&pti_block_at(ring, block)->word), noted); /* [L] */
    case PTI_OP_NONE:
    case PTI_OP_DROP:
    case PTI_OP_REFUSE:
    case PTI_OP_DROP_PART:
    case PTI_OP_ADMIT:
        break;
    }
    return false;
}

/* With a byte budget: what the operation moves besides, before the counter that closes the line. */
static void finish_bytes(struct pti_ring *ring, struct pti_entry *entry, enum pti_operation op)
{
    uint64_t bytes = pti_load_acquire(&entry->journal_bytes); /* [J] */

    if (ring->geometry.bytes == 0)
        return;
    if (op == PTI_OP_PUT || op == PTI_OP_PUT_MANY)
        pti_store_release(&entry->bytes_put, bytes); /* [J] */
    else if (op == PTI_OP_TAKE || op == PTI_OP_TAKE_MANY)
        pti_store_release(&entry->bytes_taken, bytes); /* [J] */
}

static bool counts_many(enum pti_operation op)
{
    return op == PTI_OP_PUT_MANY || op == PTI_OP_REFUSE || op == PTI_OP_TAKE_MANY || op == PTI_OP_ACK_MANY ||
           op >= PTI_OP_DROP_PART;
}

static void decide(struct pti_ring *ring, uint32_t endpoint)
{
    struct pti_entry *entry = &ring->entries[endpoint];
    uint64_t line = pti_load_acquire(&entry->journal); /* [J] */
    _Atomic uint64_t *counter = pti_journal_counter(entry, pti_journal_operation(line));
    uint64_t count, by = 1;

    if (!counter)
        return;
    count = pti_load_acquire(counter); /* [J] */
    if ((uint32_t)count != pti_journal_low(line))
        return; /* bumped: closed */
    if (counts_many(pti_journal_operation(line)))
        by = pti_load_acquire(&entry->journal_count); /* [J] */
    if (pti_journal_status(line) == PTI_LINE_OPEN) { /* one that counts nothing is over, whatever became of it */
        bool done = by != 0 && took_effect(ring, endpoint, line, pti_load_acquire(&entry->journal_word)); /* [J] */
        uint64_t decided = (line & ~UINT64_C(15)) | (done ? PTI_LINE_DONE : PTI_LINE_UNDONE);

        if (pti_cas(&entry->journal, &line, decided)) /* [J] */
            line = decided;
    }
    if (pti_journal_status(line) != PTI_LINE_DONE)
        return;
    finish_bytes(ring, entry, pti_journal_operation(line));
    pti_store_release(counter, count + by); /* [J] absolute: it may happen twice */
}

/* Law: after decide, for the counter tells; and before the entry is free, for its next owner counts on. */
static void judge_note(struct pti_entry *entry)
{
    uint64_t noted = pti_load_acquire(&entry->noted); /* [J] */
    bool moved = (uint32_t)pti_load_acquire(&entry->put) != (uint32_t)(pti_load_acquire(&entry->stream) >> 32); /* [J] */

    if (pti_note_status(noted) == PTI_NOTE_OPEN)
        pti_store_release(&entry->noted, (noted & ~UINT64_C(15)) | (moved ? PTI_NOTE_DONE : PTI_NOTE_UNDONE)); /* [J] */
}

/* ---- the words */

/* Where an unpublished block was used last.  Its own line says so, if it is the line's; else it belongs to a batch, whose
 * position was the first unpublished one when all its blocks were owned: so the last use was before that.  The position in the
 * word itself may yet be given to another message. */
static uint64_t last_use(struct pti_ring *ring, uint32_t block, uint64_t word)
{
    const struct pti_entry *entry = &ring->entries[pti_word_owner(word)];
    uint64_t line = pti_load_acquire(&entry->journal); /* [J] */
    enum pti_operation op = pti_journal_operation(line);

    if ((op == PTI_OP_PUT || op == PTI_OP_PUT_MANY) && pti_journal_block(line) == block)
        return pti_word_position(pti_load_acquire(&entry->journal_word)); /* [J] */
    return (pti_word_position(word) - 1) & ring->position_mask;
}

/* A lease of a message that is not due: its holder was about to park it, or to give it back with a delay.  Then that is what it
 * becomes: *ret_to. */
static bool is_put_off(struct pti_ring *ring, uint32_t block, uint64_t word, uint64_t *ret_to)
{
    struct pti_block *b = pti_block_at(ring, block);
    uint64_t due = pti_load_acquire(&b->due_us); /* [D] */
    unsigned flag = pti_word_redelivered(word) | (pti_load_relaxed(&b->deliveries) != 0);

    if (due <= pti_now_us())
        return false;
    pti_delay_lower(ring, due); /* before the word, as everybody who delays */
    *ret_to = pti_word(PTI_DELAYED, 0, pti_word_position(word), flag);
    return true;
}

/* LEASED(x) to what it is to be, and if its limit was over first, its block out of quarantine: nobody else comes for that. */
static bool end_lease(struct pti_ring *ring, uint32_t block, uint64_t word, uint64_t to)
{
    uint32_t owner = pti_word_owner(word);

    if (pti_cas(&pti_block_at(ring, block)->word, &word, to)) /* [L] */
        return false;
    return pti_word_state(word) == PTI_QUAR && pti_word_owner(word) == owner &&
           pti_lease_recover_quarantine(ring, block, word);
}

/* Returns true if the block, or a copy of it, may be REDELIV now. */
static bool put_right(struct pti_ring *ring, uint32_t block, uint64_t word)
{
    _Atomic uint64_t *at = &pti_block_at(ring, block)->word;
    uint64_t position = pti_word_position(word), to;

    switch (pti_word_state(word)) {
    case PTI_OWNED:
        if (pti_cas(at, &word, pti_word(PTI_FREE, 0, position, 0))) /* [A] */
            pti_used_clear(ring, block);
        return false;
    case PTI_COMMIT:
    case PTI_COMMITH:
        if (pti_block_stands(ring, block, word, &position))
            return false;
        if (pti_cas(at, &word, pti_word(PTI_FREE, 0, last_use(ring, block, word), 0))) /* [A] */
            pti_used_clear(ring, block);
        return false;
    case PTI_LEASED:
        pti_special_set(ring, block); /* before the CAS: always a superset */
        /* Its holder is dead: the bit is his last word, and if a kick by another changes it now, the CAS fails. */
        if (pti_block_is_letter(ring, block)) {
            pti_cas(at, &word, pti_word(PTI_DEAD, 0, position, pti_word_redelivered(word))); /* [L] */
            return false; /* dead_wait is told in any case */
        }
        if (is_put_off(ring, block, word, &to))
            return end_lease(ring, block, word, to);
        end_lease(ring, block, word, pti_word(PTI_REDELIV, 0, position, 1));
        return true; /* also if another recoverer's CAS came first: it may be stopped before it tells anybody */
    case PTI_COPY:
        return pti_lease_recover_copy(ring, block, word);
    case PTI_QUAR:
        return pti_lease_recover_quarantine(ring, block, word);
    default:
        return false;
    }
}

/* Copies out of packs first: each asks its pack, which must not be anybody else's by then. */
static void decide_parts(struct pti_ring *ring, const uint64_t *dead)
{
    for (uint32_t block = 0; block < ring->geometry.blocks; block++) {
        uint64_t word;

        if (!pti_block_is_backed(ring, block))
            continue;
        word = pti_load_acquire(&pti_block_at(ring, block)->word); /* [L] */
        if (pti_word_state(word) == PTI_COPY && has_bit(dead, pti_word_owner(word)) &&
            pti_load_relaxed(&pti_block_at(ring, block)->kind) & PTI_KIND_PART)
            pti_pack_decide_part(ring, block, word);
    }
}

/* Elements before headers: an element asks its header. */
static bool put_all_right(struct pti_ring *ring, const uint64_t *dead)
{
    bool redeliver = false;

    for (uint32_t block = 0; block < ring->geometry.blocks; block++) {
        uint64_t word;

        if (!pti_block_is_backed(ring, block))
            continue;
        word = pti_load_acquire(&pti_block_at(ring, block)->word); /* [L] */
        if (pti_word_state(word) == PTI_REDELIV)
            redeliver = true; /* perhaps of a recoverer that died before it could tell */
        else if (pti_word_state(word) != PTI_FREE && has_bit(dead, pti_word_owner(word)))
            redeliver |= put_right(ring, block, word);
    }
    return redeliver;
}

void pti_ring_recover(struct pti_ring *ring, const uint64_t *dead)
{
    uint32_t endpoints = ring->geometry.endpoints;

    for (uint32_t x = 0; x < endpoints; x++)
        if (has_bit(dead, x)) {
            decide(ring, x);
            judge_note(&ring->entries[x]);
        }
    decide_parts(ring, dead);
    if (put_all_right(ring, dead))
        pti_ring_redeliver(ring);
    if (pti_delay_next(ring) != 0)
        pti_delay_lower(ring, pti_now_us()); /* a nacker may have died half way: look at once */
    for (uint32_t i = 0; i < ring->geometry.extents; i++) {
        uint32_t grantee = pti_load_relaxed(&ring->extents[i]);

        if (grantee != 0 && grantee <= endpoints && has_bit(dead, grantee - 1))
            pti_cas(&ring->extents[i], &grantee, 0); /* [U] */
    }
    for (uint32_t x = 0; x < endpoints; x++) {
        uint32_t attached = 1;

        if (has_bit(dead, x) && pti_cas(&ring->entries[x].state, &attached, 0)) /* [S] */
            pti_fetch_add_seq(&ring->hints->recovered, 1); /* [S] */
    }
    pti_wake_all(ring, &ring->hints->put_wait);
    pti_wake_all(ring, &ring->hints->dead_wait);
    pti_wake_all(ring, &ring->hints->get_wait); /* whoever waits at END looks again */
}

/* ---- looking for the dead */

/* systemd's RemoveIPC, or somebody's rm, unlinks files that are in use: who comes later would make another queue of the same
 * name, and the two would never meet.  So whoever notices says it to all: every call answers PTQ_EGONE. */
bool pti_ring_note_unlinked(struct pti_ring *ring)
{
    if (!pti_segment_is_unlinked(&ring->segment))
        return false;
    pti_fetch_or_seq(&ring->hints->flags, PTI_FLAG_REMOVED); /* [F, W] */
    pti_wake_all(ring, &ring->hints->get_wait);
    pti_wake_all(ring, &ring->hints->put_wait);
    return true;
}

unsigned pti_ring_sweep(struct pti_ring *ring, bool thorough)
{
    uint64_t dead[PTI_ENDPOINT_WORDS] = {0};
    uint32_t used = pti_load_acquire(&ring->hints->entries_used); /* [S] */
    unsigned found = 0;

    if (used > ring->geometry.endpoints)
        used = ring->geometry.endpoints;
    if (!pti_segment_is_open(&ring->segment))
        return 0;
    if (pti_ring_note_unlinked(ring))
        return 0; /* nothing in it can be reached any more by anybody new */
    pthread_mutex_lock(&ring->dead_mutex);
    for (uint32_t x = 0; x < used; x++) {
        /* A byte of this handle looks free through its own descriptor: never probe it. */
        if (pti_load_acquire(&ring->entries[x].state) == 0 || pti_is_mine(ring, x)) /* [S] */
            continue;
        if (pti_life_lock_read(ring->segment.fd, x) != 0)
            continue;
        dead[x / 64] |= UINT64_C(1) << (x % 64);
        found++;
    }
    if (found) {
        pti_ring_recover(ring, dead);
        for (uint32_t x = 0; x < used; x++)
            if (has_bit(dead, x))
                pti_life_unlock(ring->segment.fd, x);
    }
    if (thorough)
        pti_block_free_strays(ring);
    pthread_mutex_unlock(&ring->dead_mutex);
    return found;
}

#define STRAYS_EVERY_MS 1000

/* A look at every block: where a queue is full of messages, and blocks are not what it lacks, seldom. */
static bool is_time_for_strays(struct pti_ring *ring, uint64_t now)
{
    if (!pti_block_is_short(ring) && now - pti_load_relaxed(&ring->strays_ms) < STRAYS_EVERY_MS)
        return false;
    pti_store_relaxed(&ring->strays_ms, now);
    return true;
}

unsigned pti_ring_sweep_sometimes(struct pti_ring *ring, bool thorough)
{
    uint64_t now = (uint64_t)(pti_host_ns() / PTI_NS_PER_MS);
    uint64_t last = pti_load_relaxed(&ring->hints->probed_ms);

    if (now - last < 100 || !pti_cas(&ring->hints->probed_ms, &last, now)) /* [S] */
        return 0;
    return pti_ring_sweep(ring, thorough && is_time_for_strays(ring, now));
}

#define CROWD 256 /* endpoints; from here on a probe of all is a matter of milliseconds */

unsigned pti_ring_sweep_told(struct pti_ring *ring, bool thorough)
{
    if (pti_load_relaxed(&ring->hints->entries_used) <= CROWD)
        return pti_ring_sweep(ring, thorough);
    return pti_ring_sweep_sometimes(ring, thorough);
}
