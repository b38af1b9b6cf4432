/* stats.c -- a segment in figures. */
#include "local/stats.h"

#include <string.h>

#include "os/life.h"
#include "ring/tally.h"

bool pti_stats_is_alive(struct pti_ring *ring, uint32_t x)
{
    return pti_is_mine(ring, x) || pti_life_is_locked(ring->segment.fd, x) == 1;
}

static void count_endpoints(struct pti_ring *ring, struct ptq_queue_stats *stats)
{
    uint32_t used = pti_load_acquire(&ring->hints->entries_used); /* [S] */

    if (used > ring->geometry.endpoints)
        used = ring->geometry.endpoints;
    for (uint32_t x = 0; x < used; x++) {
        uint32_t roles;

        if (pti_load_acquire(&ring->entries[x].state) == 0) /* [S] */
            continue;
        if (!pti_stats_is_alive(ring, x)) {
            stats->dead_endpoints++;
            continue;
        }
        roles = pti_load_relaxed(&ring->entries[x].roles);
        stats->endpoints++;
        stats->producers += (roles & PTI_ROLE_PUT) != 0;
        stats->consumers += (roles & PTI_ROLE_GET) != 0;
    }
}

void pti_stats_make(struct pti_ring *ring, struct ptq_queue_stats *ret_stats)
{
    struct ptq_queue_stats stats;
    struct pti_tally tally;
    uint32_t flags = pti_load_acquire(&ring->hints->flags); /* [F] */
    uint64_t now = pti_now_us();

    memset(&stats, 0, sizeof stats);
    pti_tally_make(ring, &tally);
    stats.capacity = ring->geometry.capacity;
    stats.item_size = ring->geometry.item_size;
    stats.bytes = tally.backed_bytes;
    stats.ready = tally.ready + tally.redeliverable;
    stats.leased = tally.leased;
    stats.delayed = tally.delayed;
    stats.dead = tally.dead;
    stats.put = tally.put;
    stats.acked = tally.acked;
    stats.nacked = tally.nacked;
    stats.taken = tally.taken;
    stats.redelivered = tally.redelivered;
    stats.dropped = tally.dropped;
    memcpy(stats.dropped_by, tally.dropped_by, sizeof stats.dropped_by);
    stats.bytes_put = tally.bytes_put;
    stats.bytes_acked = tally.bytes_acked;
    stats.recovered = pti_load_relaxed(&ring->hints->recovered);
    stats.head = pti_ring_head_from(ring, pti_load_relaxed(&ring->hints->head) & ring->position_mask);
    stats.tail = pti_ring_tail_from(ring, pti_load_relaxed(&ring->hints->tail) & ring->position_mask);
    if (!pti_ring_end_position(ring, &stats.end_position))
        stats.end_position = 0;
    stats.oldest_ms = tally.oldest_us != 0 && now > tally.oldest_us ? (now - tally.oldest_us) / 1000 : 0;
    stats.ended = stats.end_position != 0 || flags & PTI_FLAG_ENDED;
    stats.removed = flags & PTI_FLAG_REMOVED;
    stats.paused = flags & PTI_FLAG_PAUSED;
    count_endpoints(ring, &stats);
    *ret_stats = stats;
}
