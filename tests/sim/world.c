/* world.c -- one run: a queue is made, everybody opens it, they race, and when nobody has anything left to do a stranger drains and
 * counts.  In between: whenever nobody runs, nobody may sleep though there is something for it.
 */
#include <stdio.h>
#include <string.h>

#include "ring/layout.h"
#include "sim/ledger.h"
#include "sim/scenario.h"
#include "sim/sim.h"

#define DUE_SLACK_US 2000 /* between a due time and its sleeper's waking */
#define RACE_MOST 400000 /* steps: more, and they run in circles */

/* ---- what the segment says, read by nobody's leave */

struct contents {
    uint64_t bytes; /* untaken */
    unsigned ready, untaken, leased, delayed, due, dead, free, stray, owned[2048];
    int pids[2048]; /* of the endpoints */
    bool paused, ended;
};

static const struct pti_block *block_at(const unsigned char *base, const struct pti_geometry *g, uint32_t i)
{
    return (const struct pti_block *)(const void *)(base + g->off_blocks + (uint64_t)i * g->stride);
}

static bool is_named(const unsigned char *base, const struct pti_geometry *g, uint32_t block, uint64_t position)
{
    const uint64_t *slots = (const uint64_t *)(const void *)(base + g->off_slots);
    uint64_t slot = slots[position & (g->slots - 1)];

    return pti_slot_block(slot) == block && pti_slot_lap(slot) == position >> g->slot_bits;
}

/* An element bears the position that its batch tried first; where the batch stands its header says.  That the header's list names
 * the element is taken for granted. */
static bool is_in(const unsigned char *base, const struct pti_geometry *g, uint32_t i, uint64_t word)
{
    const struct pti_block *block = block_at(base, g, i);
    uint32_t header = block->link - 1;

    if (block->link == 0)
        return is_named(base, g, i, pti_word_position(word));
    if (header >= g->blocks)
        return false;
    word = block_at(base, g, header)->word;
    return pti_word_state(word) == PTI_COMMITH && is_named(base, g, header, pti_word_position(word));
}

static bool look(struct contents *contents)
{
    const unsigned char *base = sim_segment();
    const struct pti_geometry *g;
    const struct pti_hints *hints;

    memset(contents, 0, sizeof *contents);
    if (base == NULL)
        return false;
    g = &((const struct pti_header *)(const void *)base)->geometry;
    hints = (const struct pti_hints *)(const void *)(base + g->off_hints);
    contents->paused = hints->flags & PTI_FLAG_PAUSED;
    for (uint64_t i = 0; i < g->slots; i++)
        contents->ended |= pti_slot_block(((const uint64_t *)(const void *)(base + g->off_slots))[i]) == PTI_END_BLOCK;
    for (uint32_t i = 0; i < g->blocks; i++) {
        uint64_t word = block_at(base, g, i)->word;
        switch (pti_word_state(word)) {
        case PTI_COMMIT:
            contents->untaken += is_in(base, g, i, word);
            contents->bytes += is_in(base, g, i, word) ? block_at(base, g, i)->length : 0;
            contents->stray += !is_in(base, g, i, word);
            break;
        case PTI_REDELIV:
            contents->ready++;
            break;
        case PTI_LEASED:
            contents->leased++;
            break;
        case PTI_DEAD:
            contents->dead++;
            break;
        case PTI_DELAYED:
            contents->due += block_at(base, g, i)->due_us + DUE_SLACK_US < (uint64_t)sim.now / 1000;
            contents->delayed++;
            break;
        case PTI_COPY:
            contents->delayed++;
            break;
        case PTI_FREE:
            contents->free += i < g->shared_blocks;
            break;
        case PTI_OWNED:
            contents->owned[pti_word_owner(word)]++;
            break;
        case PTI_COMMITH: /* of a batch that is taken whole: freed when it is met */
            break;
        default:
            contents->stray++;
            break;
        }
    }
    for (uint32_t x = 0; x < g->endpoints; x++)
        contents->pids[x] = ((const struct pti_entry *)(const void *)(base + g->off_entries))[x].pid;
    contents->ready += contents->untaken;
    return true;
}

/* Blocks that it could put with. */
static unsigned count_blocks(const struct contents *contents, const struct sim_proc *proc)
{
    unsigned blocks = contents->free;

    for (unsigned x = 0; x < 2048; x++)
        if (contents->pids[x] == sim_pid(proc))
            blocks += contents->owned[x];
    return blocks;
}

/* What a stopped one has published and not yet told of, or given back and not yet announced, may wait for it: its call has not
 * returned.  One that is stopped in a get holds nobody up. */
static bool is_half_done(void)
{
    for (unsigned i = 0; i < SIM_PROCS; i++) {
        const char *inside = sim_procs[i].stopped ? sim_procs[i].inside : NULL;

        if (inside != NULL && strncmp(inside, "get", 3) != 0 && strncmp(inside, "poll", 4) != 0)
            return true;
    }
    return false;
}

/* Puts that race may overshoot by one each. */
static void check_bytes(const struct contents *contents)
{
    uint64_t budget = sim.config.scenario->options.bytes;

    if (budget != 0 && contents->bytes > budget + (SIM_PROCS - 2) * LEDGER_BYTES)
        sim_fail("%llu bytes are in a queue of %llu", (unsigned long long)contents->bytes, (unsigned long long)budget);
}

static bool has_room(const struct contents *contents, const struct sim_proc *proc)
{
    const struct ptq_queue_options *options = &sim.config.scenario->options;

    return contents->untaken + proc->needs <= options->capacity &&
           (options->bytes == 0 || contents->bytes + proc->needs_bytes <= options->bytes) &&
           count_blocks(contents, proc) >= (proc->needs > 1 ? 2 * proc->needs : 1);
}

static void check_reader(const struct sim_proc *proc, const struct contents *contents)
{
    if (proc->waits_get && contents->dead > 0)
        sim_fail("process %u sleeps in %s, and there are %u dead letters", proc->number, proc->inside, contents->dead);
    if (proc->waits_get && contents->ended && contents->ready + contents->leased + contents->delayed + contents->dead == 0)
        sim_fail("process %u sleeps in %s, and the queue has ended", proc->number, proc->inside);
}

bool sim_queue_has_ended(void)
{
    static struct contents contents;

    return look(&contents) && contents.ended;
}

int64_t sim_next_due(void)
{
    const unsigned char *base = sim_segment();
    const struct pti_geometry *g = &((const struct pti_header *)(const void *)base)->geometry;
    const struct pti_hints *hints = (const struct pti_hints *)(const void *)(base + g->off_hints);
    int64_t due = (int64_t)(hints->next_due & ((UINT64_C(1) << 48) - 1)) * 1000;

    return due > sim.now ? due : sim.now + 1000000;
}

/* Nobody runs.  While nobody was killed or stopped the clock must not be needed; at the end, when no clock runs any more, nobody
 * at all may have been forgotten. */
void sim_check_quiet(bool is_final)
{
    static struct contents contents;
    uint64_t capacity = sim.config.scenario->options.capacity;

    if (!look(&contents))
        return;
    if (contents.untaken > capacity && !sim.config.scenario->batched)
        sim_fail("%u messages are in a queue of %llu", contents.untaken, (unsigned long long)capacity);
    check_bytes(&contents);
    if (is_final && is_half_done())
        return;
    if ((!is_final && sim.kills + sim.stops > 0) || contents.paused)
        return;
    for (unsigned i = 0; i < SIM_PROCS; i++) {
        const struct sim_proc *proc = &sim_procs[i];
        if (proc->state != SIM_BLOCKED || proc->stopped)
            continue;
        if (proc->role->letters) {
            check_reader(proc, &contents);
            continue;
        }
        if (proc->waits_get && contents.ready > 0)
            sim_fail("process %u sleeps in %s, and %u messages are ready", i, proc->inside, contents.ready);
        /* One whose time had come before its nack was over is looked for within a millisecond. */
        bool looks_soon = !is_final && proc->deadline <= (int64_t)sim.now + DUE_SLACK_US * 1000;
        if (proc->waits_get && !looks_soon && (is_final ? contents.delayed : contents.due) > 0)
            sim_fail("process %u sleeps in %s, and of %u delayed messages %u are due", i, proc->inside, contents.delayed,
                     contents.due);
        if (proc->waits_get && contents.ended && contents.ready + contents.leased + contents.delayed == 0)
            sim_fail("process %u sleeps in %s, and the queue has ended", i, proc->inside);
        if (proc->waits_put && !sim.config.scenario->packed && has_room(&contents, proc))
            sim_fail("process %u sleeps in %s, and there is room: %u of %llu, %u blocks free", i, proc->inside,
                     contents.untaken, (unsigned long long)capacity, count_blocks(&contents, proc));
    }
}

/* ---- births */

static bool is_over(const struct sim_proc *proc)
{
    return proc->state == SIM_DONE || (proc->state == SIM_DEAD && proc->role->mortal);
}

static bool producers_are_done(void)
{
    for (unsigned i = 1; i < SIM_PROCS; i++)
        if (sim_procs[i].role != NULL && sim_procs[i].role->producer && !is_over(&sim_procs[i]))
            return false;
    return true;
}

void sim_ended(struct sim_proc *proc)
{
    if (proc->state == SIM_DEAD && !proc->role->mortal) {
        proc->life++;
        sim_trace_note("process %u is born again", proc->number);
        sim_start(proc, proc->role);
        return;
    }
    if (proc->number != 0 && sim_procs[0].role == &sim_setup && producers_are_done()) {
        sim_procs[0].life++;
        sim.ended = true;
        sim.no_producer_since = sim.now;
        sim_start(&sim_procs[0], &sim_ender);
    }
}

/* ---- the run */

static void plan_events(void)
{
    if (sim.config.mode == SIM_PLAN) {
        sim.event_count = sim.config.plan_count;
        for (unsigned i = 0; i < sim.event_count; i++)
            sim.events[i] = (struct sim_plan){sim.race_begin + sim.config.plan[i].step, sim.config.plan[i].to};
        return;
    }
    sim.quantum = 1u << sim_random(7);
    sim.pct_changes = (unsigned)sim_random(6);
    for (unsigned i = 0; i < sim.pct_changes; i++)
        sim.pct_change[i] = sim.race_begin + sim_random(sim.config.length);
    if (!sim.config.scenario->deadly && !sim.config.scenario->halting && (!sim.config.deaths || sim.config.scenario->no_deaths || sim_chance(4)))
        return;
    sim.event_count = sim.config.scenario->deadly || sim.config.scenario->halting ? 3 : 1 + (unsigned)sim_chance(3) + (unsigned)sim_chance(9);
    uint64_t steps[3];
    for (unsigned i = 0; i < 3; i++)
        steps[i] = sim.race_begin + sim_random(sim.config.length);
    for (unsigned i = 0; i < sim.event_count; i++) {
        static const int kinds[] = {-1, -1, -1, -1, -3, -3, -2, -2, -2, -4};
        for (unsigned j = i + 1; j < sim.event_count; j++) {
            uint64_t swap = steps[i];
            if (steps[j] < swap) {
                steps[i] = steps[j];
                steps[j] = swap;
            }
        }
        sim.events[i] = (struct sim_plan){steps[i], sim.config.scenario->halting ? -2 : kinds[sim_random(sizeof kinds / sizeof kinds[0])]};
    }
}

static void start_all(void)
{
    sim_start(&sim_procs[0], &sim_setup);
    sim_solo(&sim_procs[0]);
    sim_kernel_close_all(&sim_procs[0], false);
    for (unsigned i = 1; i < SIM_PROCS && !sim.failed; i++) {
        if (sim.config.scenario->roles[i - 1] == NULL)
            continue;
        sim_start(&sim_procs[i], sim.config.scenario->roles[i - 1]);
        sim_solo(&sim_procs[i]);
    }
    for (unsigned i = 1; i < SIM_PROCS; i++)
        if (sim_procs[i].state == SIM_PARKED)
            sim_procs[i].state = SIM_RUNNABLE;
}

static void check_all_done(void)
{
    for (unsigned i = 0; i < SIM_PROCS; i++)
        if (sim_procs[i].role != NULL && !is_over(&sim_procs[i]))
            sim_fail("process %u (%s) sleeps for ever in %s", i, sim_procs[i].role->name,
                     sim_procs[i].inside ? sim_procs[i].inside : "?");
}

static void check_blocks(void)
{
    static struct contents contents;

    if (look(&contents) && contents.ready + contents.leased + contents.delayed + contents.dead + contents.stray != 0)
        sim_fail("drained and closed, %u messages are ready, %u leased, %u delayed, %u dead, and %u blocks are nobody's", contents.ready,
                 contents.leased, contents.delayed, contents.dead, contents.stray);
}

static void forget_all(void)
{
    for (unsigned i = 0; i < SIM_PROCS; i++) {
        struct sim_proc *proc = &sim_procs[i];
        proc->state = SIM_NONE;
        proc->role = NULL;
        proc->life = 0;
        proc->stopped = false;
        proc->puts_since = proc->gets_since = 0;
        proc->buffered = 0;
        proc->release_at = -1;
        memset(proc->files, 0, sizeof proc->files);
    }
}

bool sim_run(const struct sim_config *config, bool trace)
{
    memset(&sim, 0, sizeof sim);
    sim.config = *config;
    sim.random = config->seed * UINT64_C(0x2545f4914f6cdd1d) + 1;
    sim.tracing = trace;
    sim.now = INT64_C(1000000000000);
    sim.processors = config->mode != SIM_PLAN && sim_chance(3) ? 2 : 1;
    sim.buffers = config->buffers;
    sim.eager_clock = config->mode == SIM_RANDOM && sim_chance(6);
    sim.next_decision = UINT64_MAX;
    sim_kernel_reset();
    ledger_reset();
    forget_all();
    start_all();
    sim.race_begin = sim.step;
    sim.last_step = sim.step + RACE_MOST;
    plan_events();
    sim_ready_begin();
    if (!sim.failed)
        sim_race();
    sim_ready_end();
    if (!sim.failed)
        check_all_done();
    if (!sim.failed) {
        sim_start(&sim_procs[0], &sim_auditor);
        sim_solo(&sim_procs[0]);
    }
    if (!sim.failed)
        check_blocks();
    return !sim.failed;
}
