/* poll.c -- before a local call sleeps: rests, looks and yields, as long as that has paid lately; and what a look asks. */
#include <sched.h>

#include "base/rest.h"
#include "base/time.h"
#include "local/verbs.h"

#define TRY_FIRST 32     /* times dry, before resting is tried; doubled while that does not pay, */
#define TRY_LAST 4096    /* up to so many */
#define RUN_THAT_PAYS 4
#define SPIN_NS 60000    /* how long before a sleep: about what a sleeper's wake-up costs */
#define SPIN_LOOKS 16    /* between two looks at the clock */
#define SKIP_MAX 1023    /* sleeps without polling before them, where polling was in vain */
#define YIELD_AFTER_NS 3000               /* of polling: a peer on another processor has answered by then */
#define YIELD_EVERY 8                     /* sleeps without polling: peers move, too */
#define YIELD_LONG_NS (1 * PTI_NS_PER_MS) /* others than the peers needed the processor, */
#define YIELD_PER_MESSAGE_NS 1000         /* unless so much went through meanwhile: then, for a while, */
#define NO_YIELD_MIN_NS (50 * PTI_NS_PER_MS)
#define NO_YIELD_MAX_NS (10000 * PTI_NS_PER_MS) /* it sleeps, which the kernel rewards with the processor when it is woken */
#define PROBE_EVERY 256  /* times idle, before the clock is read */

/* Polling hard pulls the line from the producer.  Every so often a rest is tried, and kept while what came after it was
 * more than a few. */
static void rest_well(struct pti_place *place)
{
    uint32_t run = place->run;

    place->run = 0;
    if (place->resting) {
        if (run > 0 && run < RUN_THAT_PAYS) {
            place->resting = false;
            place->try_in = place->try_every = place->try_every < TRY_LAST ? 2 * place->try_every : TRY_LAST;
        } else if (run > 0) {
            place->try_every = TRY_FIRST;
        }
    } else if (run > 0) {
        if (place->try_every == 0)
            place->try_in = place->try_every = TRY_FIRST;
        if (--place->try_in == 0)
            place->resting = true;
    }
    if (place->resting)
        pti_rest();
}

bool pti_local_nothing(struct pti_local *local, struct pti_place *place, enum ptq_side side)
{
    if (local->may_spin) {
        if (side == PTQ_SIDE_GET)
            rest_well(place);
        else
            pti_rest();
    }
    /* Who only ever asks once must find the dead too. */
    if (++place->idle % PROBE_EVERY != 0)
        return false;
    return pti_ring_sweep_sometimes(&local->ring, side == PTQ_SIDE_PUT) > 0;
}

static uint64_t blocks_free(struct pti_lane *lane, uint64_t enough)
{
    struct pti_ring *ring = lane->ring;
    uint64_t found = 0;

    for (uint32_t n = 0; n < lane->own_count && found < enough; n++) {
        uint32_t i = (lane->own_at + n) % lane->own_count; /* the next to come back first */
        uint64_t word;

        if (lane->own_state[i] == PTI_OWN_LOANED || !pti_block_is_backed(ring, lane->own_first + i))
            continue;
        word = pti_load_seq(&pti_block_at(ring, lane->own_first + i)->word); /* [A, M] */
        found += pti_word_state(word) == PTI_FREE ||
                 (pti_word_state(word) == PTI_OWNED && pti_word_owner(word) == lane->index);
    }
    for (uint32_t block = 0; block < ring->geometry.shared_blocks && found < enough; block++)
        found += !pti_block_is_backed(ring, block) ||
                 pti_word_state(pti_load_seq(&pti_block_at(ring, block)->word)) == PTI_FREE; /* [A, M] */
    return found;
}

bool pti_local_may_put(struct pti_place *place, uint64_t need)
{
    /* A batch needs list blocks besides; at the worst one for each seven elements.  A loan has its block. */
    uint64_t blocks = need & PTI_NEED_ROOM ? 0 : need <= 1 ? need : need + (need + 6) / 7;

    need &= ~PTI_NEED_ROOM;

    /* Who drops for its place in the ring waits for blocks alone. */
    return (place->lane.ring->geometry.full >= PTQ_FULL_DROP_OLDEST || pti_ring_may_put(&place->lane, need ? need : 1)) &&
           blocks_free(&place->lane, blocks) >= blocks;
}

bool pti_local_may_go_on(struct pti_local *local, struct pti_place *place, enum ptq_side side, uint64_t need)
{
    if (side == PTQ_SIDE_PUT)
        return pti_local_may_put(place, need);
    return local->letters ? pti_local_may_take_letter(place) : pti_ring_may_take(&place->lane);
}

/* Lets the others of this processor run: those that are waited for may be among them, and then get far, while each sleep and its
 * wake would hand over a few messages only.  True: worth another try. */
static bool yield_well(struct pti_local *local, struct pti_place *place, enum ptq_side side, uint64_t need)
{
    const struct pti_hints *hints = local->ring.hints;
    const _Atomic uint64_t *moves = side == PTQ_SIDE_PUT ? &hints->head : &hints->tail;
    uint64_t before = pti_load_relaxed(moves);
    int64_t begin = pti_now_ns(), took;

    if (begin < place->no_yield_until)
        return false;
    sched_yield();
    took = pti_now_ns() - begin;
    place->shares = pti_local_may_go_on(local, place, side, need);
    if (took > YIELD_LONG_NS) {
        int64_t moved = pti_diff(&local->ring, pti_load_relaxed(moves), before);

        if (moved >= took / YIELD_PER_MESSAGE_NS) {
            place->no_yield_ns = 0;
        } else {
            place->no_yield_ns = place->no_yield_ns == 0                   ? NO_YIELD_MIN_NS
                                 : place->no_yield_ns < NO_YIELD_MAX_NS / 2 ? 2 * place->no_yield_ns
                                                                           : NO_YIELD_MAX_NS;
            place->no_yield_until = begin + took + place->no_yield_ns;
        }
    }
    return place->shares;
}

/* On another processor something comes at once, or not soon. */
static bool spin_well(struct pti_local *local, struct pti_place *place, enum ptq_side side, uint64_t need)
{
    int64_t begin = pti_now_ns(), now = begin;

    if (side == PTQ_SIDE_GET)
        rest_well(place);
    else
        pti_rest();
    do {
        for (unsigned i = 0; i < SPIN_LOOKS; i++) {
            if (pti_local_may_go_on(local, place, side, need))
                return true;
            pti_pause();
        }
        if (now - begin > YIELD_AFTER_NS && yield_well(local, place, side, need))
            return true;
        now = pti_now_ns();
    } while (now - begin < SPIN_NS);
    return false;
}

/* While messages flow, polling for as long as a wake-up costs is cheaper for both than a sleep.
 * Where it was in vain (nothing comes for long, or the other side needs this processor) more and more sleeps go without. */
bool pti_local_poll(struct pti_local *local, struct pti_place *place, enum ptq_side side, uint64_t need)
{
    if ((place->shares || !local->may_spin || place->skip % YIELD_EVERY == 1) && yield_well(local, place, side, need))
        return true;
    if (place->skip > 0) {
        place->skip--;
        return false;
    }
    if (!local->may_spin)
        return false;
    if (spin_well(local, place, side, need)) {
        place->skip_next = 0;
        return true;
    }
    place->skip_next = place->skip_next < SKIP_MAX ? 2 * place->skip_next + 1 : SKIP_MAX;
    place->skip = place->skip_next;
    return false;
}
