/* end.c -- END is an entry of the ring: nobody goes past it, so put and end are ordered by one CAS. */
#include "ring/lease.h"
#include "ring/wait.h"

enum ptq_err pti_ring_end(struct pti_lane *lane)
{
    struct pti_ring *ring = lane->ring;

    for (;;) {
        uint64_t slot, at;
        enum ptq_err err = pti_ring_find_tail(lane, &slot);

        if (err == PTQ_EENDED)
            pti_fetch_or_seq(&ring->hints->flags, PTI_FLAG_ENDED); /* [F, W] */
        if (err != PTQ_OK)
            return err == PTQ_EENDED ? PTQ_EALREADY : err;
        at = lane->tail;
        if (!pti_cas(pti_slot_at(ring, at), &slot, pti_slot(pti_lap(ring, at), PTI_END_BLOCK))) /* [P, W] */
            continue;
        pti_fetch_or_seq(&ring->hints->flags, PTI_FLAG_ENDED); /* [F, W] */
        pti_wake_all(ring, &ring->hints->get_wait);
        pti_wake_all(ring, &ring->hints->dead_wait);
        pti_wake_all(ring, &ring->hints->put_wait);
        return PTQ_OK;
    }
}

bool pti_ring_end_position(struct pti_ring *ring, uint64_t *ret_position)
{
    uint64_t at = pti_load_acquire(&ring->hints->tail) & ring->position_mask; /* [T] */

    for (uint64_t steps = 0; steps <= 2 * ring->geometry.slots; steps++) {
        uint64_t slot = pti_load_acquire(pti_slot_at(ring, at)); /* [P] */
        int64_t ahead = pti_lap_diff(ring, pti_slot_lap(slot), pti_lap(ring, at));

        if (ahead < 0)
            return false;
        if (ahead == 0 && pti_slot_block(slot) == PTI_END_BLOCK) {
            *ret_position = at;
            return true;
        }
        at = pti_step(ring, at, ahead > 0 ? (uint64_t)ahead * ring->geometry.slots : 1);
    }
    return false;
}

#define PASSES 8 /* of a census that overdue messages move under */

struct question {
    /* One pass over the blocks: is there such a message?  *sum: see pti_lease_sum. */
    bool (*is_there)(struct pti_ring *ring, const struct question *question, uint64_t *sum);
    uint32_t but;      /* the asker, whose own leases do not keep it from the end */
    bool letters;      /* those leased in the view too */
    uint64_t position; /* which one */
};

/* Copies ever made of messages whose lease ran out. */
static uint64_t count_copies(const struct pti_ring *ring)
{
    uint64_t copies = 0;

    for (uint32_t x = 0; x < ring->geometry.endpoints; x++)
        copies += pti_load_seq(&ring->entries[x].copies); /* [Q] */
    return copies;
}

/* No pass finds one.  A block in quarantine is no message, for its message is another's; but one that is new since the last pass
 * may have sent it behind our back.  So may one that came and went within a pass: two passes can miss a message only if it moved
 * in each, and the second move's copy was made after the first pass had begun.  Model: census.pml. */
static bool is_gone(struct pti_ring *ring, const struct question *question)
{
    bool limited = pti_lease_is_limited(ring);
    uint64_t before = 0, copies = 0;

    for (unsigned pass = 0; pass < PASSES; pass++) {
        uint64_t sum = 0, now = limited ? count_copies(ring) : 0;

        if (question->is_there(ring, question, &sum))
            return false;
        if (sum == before && (!limited || (pass > 0 && count_copies(ring) == copies)))
            return true;
        before = sum;
        copies = now;
    }
    return false; /* messages move: they are not settled */
}

/* Is there a message that somebody may yet give back?  COMMIT is not asked: everything before END is taken, and a COMMIT behind
 * it will fail. */
static bool is_any_unsettled(struct pti_ring *ring, const struct question *question, uint64_t *sum)
{
    uint64_t position;

    for (uint32_t block = 0; block < ring->geometry.blocks; block++) {
        uint64_t word;

        if (!pti_block_is_backed(ring, block))
            continue;
        word = pti_load_seq(&pti_block_at(ring, block)->word); /* [L, M, Q] */
        switch (pti_word_state(word)) {
        case PTI_REDELIV:
        case PTI_DELAYED:
            return true;
        case PTI_COPY: /* else its source is the message */
            if (pti_lease_copy_counts(ring, block, word, &position))
                return true;
            break;
        case PTI_QUAR:
            *sum = pti_lease_sum(*sum, block, word);
            break;
        case PTI_LEASED:
            if (pti_word_owner(word) != question->but && (question->letters || !pti_block_is_letter(ring, block)))
                return true;
            break;
        default:
            break;
        }
    }
    return false;
}

/* Dead letters do not hold END back, also while somebody looks at them. */
bool pti_ring_is_settled(struct pti_ring *ring, uint32_t but)
{
    return is_gone(ring, &(struct question){.is_there = is_any_unsettled, .but = but});
}

bool pti_ring_may_die(struct pti_ring *ring, uint32_t but)
{
    return !is_gone(ring, &(struct question){.is_there = is_any_unsettled, .but = but, .letters = true});
}

static bool is_message_at(struct pti_ring *ring, uint32_t block, uint64_t word, uint64_t position)
{
    uint64_t at = pti_word_position(word);

    switch (pti_word_state(word)) {
    case PTI_COMMIT:
        return at == position && pti_slot_names(ring, position, block);
    case PTI_COMMITH:
    case PTI_LEASED:
    case PTI_LEASEDH:
    case PTI_REDELIV:
    case PTI_DELAYED:
    case PTI_DEAD:
        return at == position;
    case PTI_COPY:
        return pti_lease_copy_counts(ring, block, word, &at) && at == position;
    default:
        return false;
    }
}

static bool is_any_at(struct pti_ring *ring, const struct question *question, uint64_t *sum)
{
    for (uint32_t block = 0; block < ring->geometry.blocks; block++) {
        uint64_t word;

        if (!pti_block_is_backed(ring, block))
            continue;
        word = pti_load_seq(&pti_block_at(ring, block)->word); /* [L, Q] */
        if (is_message_at(ring, block, word, question->position))
            return true;
        if (pti_word_state(word) == PTI_QUAR)
            *sum = pti_lease_sum(*sum, block, word);
    }
    return false;
}

bool pti_ring_is_lost(struct pti_ring *ring, uint64_t position)
{
    uint64_t slot = pti_load_seq(pti_slot_at(ring, position)); /* [P, W] */
    int64_t ahead = pti_lap_diff(ring, pti_slot_lap(slot), pti_lap(ring, position));

    if (ahead < 0 || (ahead == 0 && pti_slot_block(slot) == PTI_END_BLOCK))
        return false;
    return is_gone(ring, &(struct question){.is_there = is_any_at, .position = position});
}

void pti_ring_raise_limit(struct pti_ring *ring, uint64_t limit)
{
    uint64_t seen = pti_load_relaxed(&ring->hints->limit);

    if (!(pti_load_relaxed(&ring->hints->flags) & PTI_FLAG_LIMITED))
        return;
    limit &= ring->position_mask;
    while (pti_diff(ring, limit, seen) > 0)
        if (pti_cas(&ring->hints->limit, &seen, limit)) { /* [F, W] */
            /* Takers stand at the old limit, if anywhere, and only if there is something to take; if not, its publisher wakes
             * them, and they look at the limit after that.  One is enough: it hands the baton on. */
            /* [P, W] */
            if (pti_lap_diff(ring, pti_slot_lap(pti_load_seq(pti_slot_at(ring, seen))), pti_lap(ring, seen)) >= 0)
                pti_wake(ring, &ring->hints->get_wait);
            return;
        }
}
