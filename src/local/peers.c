/* peers.c -- who else is there: declared roles, PTQ_WATCH_PEERS, and the last producer that closes.
 *
 * A lane is a producer from its first put on, or from when it first waits for room, or because it said so at open; likewise
 * a consumer.  Peers are the living lanes of other handles.  Whoever is dead has no entry after a sweep.
 */
#include "local/lane.h"

static bool has_other(struct pti_ring *ring, uint32_t role)
{
    uint32_t used = pti_load_acquire(&ring->hints->entries_used); /* [S] */

    for (uint32_t x = 0; x < used && x < ring->geometry.endpoints; x++) {
        if (pti_is_mine(ring, x) || pti_load_seq(&ring->entries[x].state) == 0) /* [S] */
            continue;
        if (pti_load_seq(&ring->entries[x].roles) & role) /* [S] */
            return true;
    }
    return false;
}

void pti_local_declare(struct pti_place *place, uint32_t roles)
{
    struct pti_lane *lane = &place->lane;

    lane->has_put |= (roles & PTI_ROLE_PUT) != 0;
    lane->has_taken |= (roles & PTI_ROLE_GET) != 0;
    pti_fetch_or_seq(&lane->entry->roles, roles); /* [S] */
}

/* Could there be something to get, or room, by the clock or because a living one gives back what he has? */
static bool may_come(struct pti_local *local, struct pti_place *place, enum ptq_side side)
{
    if (side == PTQ_SIDE_PUT)
        return pti_ring_next_expiry(&place->lane) != 0;
    return pti_ring_is_paused(&local->ring) || !pti_ring_is_settled(&local->ring, place->lane.index);
}

enum ptq_err pti_local_watch(struct pti_local *local, struct pti_place *place, enum ptq_side side, uint64_t need,
                             struct pti_sleep *sleep)
{
    uint32_t role = side == PTQ_SIDE_GET && !local->letters ? PTI_ROLE_PUT : PTI_ROLE_GET; /* letters come from consumers */

    if (sleep->stage == 0)
        pti_ring_sweep_sometimes(&local->ring, side == PTQ_SIDE_PUT);
    sleep->is_short = false;
    if (has_other(&local->ring, role))
        return PTQ_OK;
    if (may_come(local, place, side)) {
        sleep->is_short = true; /* nobody tells when the last lease is settled */
        return PTQ_OK;
    }
    /* Looked for after its makers: what they left when they went is seen. */
    return pti_local_may_go_on(local, place, side, need) ? PTQ_OK : PTQ_ENOPEERS;
}

/* Two that close at once: each takes back its own role before it looks at the others', so that one of them at least sees
 * none.  A producer that dies takes back nothing, and is no reason to end; nor does it hold back who closes. */
void pti_local_end_if_last(struct pti_local *local)
{
    struct pti_ring *ring = &local->ring;
    uint32_t used = pti_load_acquire(&local->places_used); /* [Z] */
    bool was_producer = false;

    /* [F] */
    if (!(ring->geometry.flags & PTI_GEO_LAST_ENDS) || pti_load_acquire(&ring->hints->flags) & PTI_FLAG_REMOVED)
        return;
    for (uint32_t i = 0; i < used; i++) {
        struct pti_lane *lane = &pti_load_relaxed(&local->places[i])->lane;

        was_producer |= (pti_fetch_and_seq(&lane->entry->roles, ~PTI_ROLE_PUT) & PTI_ROLE_PUT) != 0; /* [S] */
    }
    if (!was_producer)
        return;
    pti_ring_sweep(ring, false);
    if (!has_other(ring, PTI_ROLE_PUT))
        pti_ring_end(&pti_load_relaxed(&local->places[0])->lane);
}
