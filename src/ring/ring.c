/* ring.c -- mapping what the header says. */
#include "ring/fast.h"

#include <string.h>

#include "os/clock.h"
#include "os/futex.h"
#include "ring/side.h"

enum ptq_err pti_ring_init(struct pti_ring *ring, const struct pti_segment *segment, const struct pti_header *header)
{
    const struct pti_geometry *g = &header->geometry;
    char *base = segment->base;

    pti_host_clock_refresh();
    memset(ring, 0, sizeof *ring);
    ring->segment = *segment;
    ring->geometry = *g;
    memcpy(ring->id, header->id, sizeof ring->id);
    memcpy(ring->spec, header->spec, sizeof ring->spec);
    ring->base = base;
    ring->hints = (void *)(base + g->off_hints);
    ring->stretches = (void *)(base + g->off_stretch);
    ring->used = (void *)(base + g->off_used);
    ring->special = (void *)(base + g->off_special);
    ring->extents = (void *)(base + g->off_extents);
    ring->slots = (void *)(base + g->off_slots);
    ring->entries = (void *)(base + g->off_entries);
    ring->blocks = base + g->off_blocks;
    ring->stride = g->stride;
    ring->quick_deliveries = g->lease_ms != 0                  ? 0
                             : g->max_deliveries < UINT16_MAX ? (uint16_t)g->max_deliveries
                                                              : UINT16_MAX;
    ring->ttl = g->ttl_ms != 0 ? (uint16_t)pti_ttl_pack(g->ttl_ms) : 0;
    ring->stamp_mask = g->stamps == PTQ_STAMPS_ALL ? 0 : g->stamps == PTQ_STAMPS_OFF ? UINT32_MAX : PTI_STAMP_EVERY - 1;
    ring->takes_plainly = g->bytes == 0 && g->lease_ms == 0;
    ring->hint_mask = PTI_HINT_EVERY - 1;
    while (ring->hint_mask + 1 < PTI_HINT_SELDOM && (ring->hint_mask + 1) * 2 * PTI_HINT_SHARE <= g->capacity)
        ring->hint_mask = ring->hint_mask * 2 + 1;
    ring->inline_room = (g->inline_size + 3) & ~3u;
    ring->list_room = g->stride - PTI_BLOCK_HEAD - (pti_geometry_is_large(g) ? (uint32_t)sizeof(struct pti_side_note) : 0);
    ring->slot_mask = g->slots - 1;
    ring->position_mask = (UINT64_C(1) << g->position_bits) - 1;
    ring->position_shift = 64 - g->position_bits;
    ring->lap_shift = 64 - (g->position_bits - g->slot_bits);
    if (segment->writable)
        ring->exchange_acks = !pti_membarrier_register();
    return pthread_mutex_init(&ring->dead_mutex, NULL) == 0 ? PTQ_OK : PTQ_ENOMEM;
}

void pti_ring_fini(struct pti_ring *ring)
{
    if (!ring->base)
        return;
    pthread_mutex_destroy(&ring->dead_mutex);
    pti_sides_fini(ring);
    pti_segment_close(&ring->segment);
    ring->base = NULL;
}
