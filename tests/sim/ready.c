/* ready.c -- how many messages could be got, kept up to date with each change of a word: so a get that answers EMPTY can be asked
 * for a moment at which the queue was empty.
 *
 * Fresh: from the slot's compare-and-swap to the lease.  To be had again: from when somebody tells of it, for before that the nack
 * or the recovery is not over, to the lease.  Batches count as one and are leased one by one, so their scenarios are left out.
 */
#include <string.h>

#include "ring/layout.h"
#include "sim/scenario.h"
#include "sim/sim.h"

#define BLOCKS 4096

uint64_t sim_ready_from = UINT64_MAX;

static uint64_t redelivery, slots_at, slots_end, blocks_at, stride;
static uint64_t last_empty; /* the step at which something came after nothing; or nothing is there */
static int64_t fresh, again;
static enum { NOT, UNTOLD, TOLD } redelivers[BLOCKS];
static uint32_t untold[BLOCKS];
static unsigned untold_count;

void sim_ready_begin(void)
{
    const unsigned char *base = sim_segment();
    const struct pti_geometry *g;

    sim_ready_end();
    if (base == NULL || sim.config.scenario->batched || sim.config.scenario->pauses)
        return;
    g = &((const struct pti_header *)(const void *)base)->geometry;
    if (g->blocks > BLOCKS)
        return;
    redelivery = (uintptr_t)base + g->off_hints + offsetof(struct pti_hints, redelivery);
    slots_at = (uintptr_t)base + g->off_slots;
    slots_end = slots_at + 8 * g->slots;
    blocks_at = (uintptr_t)base + g->off_blocks;
    stride = g->stride;
    fresh = again = 0;
    untold_count = 0;
    last_empty = sim.step;
    memset(redelivers, 0, sizeof redelivers);
    sim_ready_from = redelivery;
}

void sim_ready_end(void) { sim_ready_from = UINT64_MAX; }

static void change(int64_t *count, int64_t by)
{
    if (fresh + again == 0)
        last_empty = sim.step;
    *count += by;
}

static void note_word(uint32_t block, uint64_t before, uint64_t after)
{
    if (pti_word_state(before) == PTI_COMMIT && pti_word_state(after) == PTI_LEASED)
        change(&fresh, -1);
    if (pti_word_state(before) == PTI_REDELIV && pti_word_state(after) != PTI_REDELIV) {
        if (redelivers[block] == TOLD)
            change(&again, -1);
        redelivers[block] = NOT;
    }
    if (pti_word_state(before) != PTI_REDELIV && pti_word_state(after) == PTI_REDELIV && untold_count < BLOCKS) {
        redelivers[block] = UNTOLD;
        untold[untold_count++] = block;
    }
}

static void note_told(void)
{
    while (untold_count > 0) {
        uint32_t block = untold[--untold_count];
        if (redelivers[block] != UNTOLD)
            continue;
        redelivers[block] = TOLD;
        change(&again, 1);
    }
}

void sim_ready_note(uint64_t address, uint64_t before, uint64_t after)
{
    if (address >= blocks_at) {
        if ((address - blocks_at) % stride == 0)
            note_word((uint32_t)((address - blocks_at) / stride), before, after);
    } else if (address >= slots_at && address < slots_end) {
        if (pti_slot_block(after) != PTI_END_BLOCK)
            change(&fresh, 1);
    } else if (address == redelivery && (after & 1) != 0) {
        note_told();
    }
}

bool sim_ready_since(uint64_t step) { return sim_ready_from != UINT64_MAX && fresh + again > 0 && last_empty < step; }
