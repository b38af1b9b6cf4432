/* capacity.c -- is there room for so many more messages, or bytes?
 *
 * Where every entry is one message its position tells.  Where batches, packs or a budget of bytes were used it is asked here: by the
 * hints, then by the counters, and where these are not sure, entry by entry.
 */
#include "ring/journal.h"
#include "ring/pack.h"

/* What waits in the ring from one position to another, entry by entry. */
static struct pti_load count_ready(struct pti_ring *ring, uint64_t from, uint64_t to)
{
    struct pti_load ready = {0, 0};

    for (uint64_t at = from; at != to; at = pti_step(ring, at, 1)) {
        uint64_t slot = pti_load_acquire(pti_slot_at(ring, at)), word; /* [P] */
        uint32_t block = pti_slot_block(slot), length;

        if (pti_slot_lap(slot) != pti_lap(ring, at) || !pti_block_is_usable(ring, block))
            continue;
        length = pti_load_acquire(&pti_block_at(ring, block)->length); /* [G] */
        word = pti_load_seq(&pti_block_at(ring, block)->word); /* [L, W] */
        if (pti_word_position(word) != at)
            continue;
        if (pti_word_state(word) == PTI_COMMIT) {
            uint64_t count = pti_block_count(ring, block);

            if (pti_load_acquire(&pti_block_at(ring, block)->word) != word) /* [G] */
                continue; /* taken meanwhile: the count may be nonsense */
            ready.messages += count;
            ready.bytes += length;
        } else if (pti_word_state(word) == PTI_COMMITH) {
            struct pti_load batch = pti_batch_load(ring, block, word);

            ready.messages += batch.messages;
            ready.bytes += batch.bytes;
        }
    }
    return ready;
}

/* All that is ready before `position`, exactly. */
static struct pti_load count_all_ready(struct pti_lane *lane, uint64_t position)
{
    struct pti_ring *ring = lane->ring;
    uint64_t from;

    lane->settled = from = pti_load_acquire(&ring->hints->head) & ring->position_mask; /* [H] */
    if ((uint64_t)pti_diff(ring, position, from) > ring->geometry.capacity)
        from = pti_step(ring, position, 0 - ring->geometry.capacity);
    return count_ready(ring, from, position);
}

uint64_t pti_ring_room(struct pti_lane *lane, uint64_t position)
{
    uint64_t capacity = lane->ring->geometry.capacity, ready;
    uint64_t entries = (uint64_t)pti_diff(lane->ring, position, lane->settled);
    uint64_t largest = pti_load_relaxed(&lane->ring->hints->largest_batch);

    if (entries <= capacity && largest <= capacity && entries * largest < capacity)
        return capacity - entries * largest;
    ready = count_all_ready(lane, position).messages;
    return ready < capacity ? capacity - ready : 0;
}

static uint64_t sum_taken(struct pti_ring *ring, uint32_t used)
{
    uint64_t taken = 0;

    for (uint32_t i = 0; i < used; i++)
        taken += pti_load_acquire(&ring->entries[i].taken); /* [J] */
    return taken;
}

/* Is anybody between his lease and his count?  He may have stopped there, or died. */
static bool is_being_taken(struct pti_ring *ring, uint32_t used)
{
    for (uint32_t i = 0; i < used; i++) {
        uint64_t line = pti_load_seq(&ring->entries[i].journal); /* [W] */
        enum pti_operation op = pti_journal_operation(line);

        if (pti_journal_status(line) != PTI_LINE_CLOSED && (op == PTI_OP_TAKE || op == PTI_OP_TAKE_MANY) &&
            pti_journal_low(line) == (uint32_t)pti_load_acquire(&ring->entries[i].taken)) /* [J] */
            return true;
    }
    return false;
}

/* Room by the counters: 1; none, and they are sure: -1; 0 not sure.  Too high they are where somebody is between his lease and his
 * count: his line is open, for it was before the lease's CAS; or closed since, and then the second sum is another.
 * Model: room.pml. */
static int ask_counters(struct pti_ring *ring, uint64_t count)
{
    uint64_t capacity = ring->geometry.capacity, taken, put = 0;
    uint32_t used = pti_load_acquire(&ring->hints->entries_used); /* [S] */

    if (used > ring->geometry.endpoints)
        used = ring->geometry.endpoints;
    taken = sum_taken(ring, used); /* first: a message that is put and taken in between must not make the sum too small */
    for (uint32_t i = 0; i < used; i++)
        put += pti_load_acquire(&ring->entries[i].put); /* [J] */
    if ((int64_t)(put - taken) <= 0 || put - taken + count <= capacity)
        return 1;
    if (ring->geometry.full == PTQ_FULL_DROP_NEWEST) /* what was refused counts as put, and was never taken */
        return 0;
    return is_being_taken(ring, used) || sum_taken(ring, used) != taken ? 0 : -1;
}

/* By the counters, where they are sure; else the entries are counted, which are exact. */
bool pti_ring_has_room(struct pti_lane *lane, uint64_t position, uint64_t count)
{
    struct pti_ring *ring = lane->ring;
    uint64_t capacity = ring->geometry.capacity;
    uint64_t entries = (uint64_t)pti_diff(ring, position, lane->settled);
    uint64_t largest = pti_load_relaxed(&ring->hints->largest_batch);
    int answer;

    /* Surely, even if each entry since the head hint is a whole batch. */
    if (entries <= capacity && largest <= capacity && entries * largest + count <= capacity)
        return true;
    if (__builtin_expect(pti_load_relaxed(&ring->hints->flags) & PTI_FLAG_UNITS, 0))
        return count_all_ready(lane, position).messages + count <= capacity; /* of units the counters do not know */
    answer = ask_counters(ring, count);
    return answer != 0 ? answer > 0 : count_all_ready(lane, position).messages + count <= capacity;
}

/* The same for bytes: the counters of bytes move with those of messages.  Puts that race may overshoot by one each. */
bool pti_ring_has_bytes(struct pti_lane *lane, uint64_t position, uint64_t bytes)
{
    struct pti_ring *ring = lane->ring;
    uint64_t budget = ring->geometry.bytes, put = 0, taken = 0;
    uint32_t used = pti_load_acquire(&ring->hints->entries_used); /* [S] */

    if (budget == 0)
        return true;
    if (used > ring->geometry.endpoints)
        used = ring->geometry.endpoints;
    for (uint32_t i = 0; i < used; i++)
        taken += pti_load_acquire(&ring->entries[i].bytes_taken); /* [J] */
    for (uint32_t i = 0; i < used; i++)
        put += pti_load_acquire(&ring->entries[i].bytes_put); /* [J] */
    if ((int64_t)(put - taken) <= 0 || put - taken + bytes <= budget)
        return true;
    return count_all_ready(lane, position).bytes + bytes <= budget;
}
