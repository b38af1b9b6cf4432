/* relay.c -- from one level of a pipeline to the next: a thread that hands on what the stages give, group by group.  Laws: line.h. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/fork.h"
#include "base/time.h"
#include "pool/line.h"

#define NAP_NS (20 * PTI_NS_PER_MS) /* where memory is short, and before those who were about to sleep are told again */

static bool is_closing(const struct pti_relay *relay)
{
    return pti_load_acquire(&relay->line->closing) != 0;
}

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
}

/* What may pass by itself. */
static bool may_pass(enum ptq_err err)
{
    return err == PTQ_ENOSPC || err == PTQ_ENOMEM || err == PTQ_EINTR || err == PTQ_FULL || err == PTQ_EMPTY || err == PTQ_TIMEDOUT ||
           err == PTQ_EBUSY || err == PTQ_EAGAIN;
}

/* The first to fail says why; whoever waits in any stage learns of it. */
static void fail(struct pti_relay *relay, unsigned stage, enum ptq_err err)
{
    struct ptq_pipeline *line = relay->line;
    uint32_t none = PTQ_OK;
    pti_store_seq(&line->failed_stage, stage);
    (void)pti_cas(&line->failed, &none, (uint32_t)err);
    for (unsigned i = 0; i < line->stage_count; i++)
        pti_pool_halt(line->stages[i].pool);
}

/* -- one entry ------------------------------------------------------------------------------------------------ */

static enum ptq_err submit_marker(struct pti_relay *relay, struct pti_line_stage *to, const struct pti_entry *entry)
{
    size_t size = pti_entry_write_marker(relay->marker, relay->line->marker_size, entry);
    return ptq_pool_submit_marker(to->pool, relay->marker, size, PTQ_FOREVER, NULL);
}

static enum ptq_err submit_too_large(struct pti_relay *relay, struct pti_line_stage *to, const struct pti_entry *entry)
{
    char text[PTI_RESULT_TEXT_MAX];
    const struct pti_line_stage *from = &relay->line->stages[entry->stage];
    (void)snprintf(text, sizeof text, "stage '%s' gave %zu bytes, and an input of stage '%s' may have %u - open the pipeline with a larger item_size",
                   from->is.name, entry->size, to->is.name, to->is.item_size);
    struct pti_entry error = {.kind = PTQ_RESULT_ERROR, .stage = entry->stage, .input = entry->input,
                              .error = {.code = PTQ_EMSGSIZE, .text = text, .section = PTI_SECTION_RESULT, .host = "", .worker = "",
                                        .ticket = entry->input}};
    return submit_marker(relay, to, &error);
}

static enum ptq_err submit_job(struct pti_relay *relay, struct pti_line_stage *to, const struct pti_entry *entry,
                               const ptq_result *result)
{
    unsigned char prefix[PTI_ORIGIN_SIZE];
    struct ptq_submit_options options = {.trace = result->has_trace ? &result->trace : NULL};
    struct pti_submit job = {.task = to->is.exec != NULL ? NULL : to->is.task, .data = entry->data, .size = entry->size,
                             .options = &options, .form = PTI_JOB_STAGE, .prefix = prefix};
    pti_origin_write(prefix, &(struct pti_origin){.input = entry->input, .from = result->ticket});
    if (entry->size > to->is.item_size)
        return submit_too_large(relay, to, entry);
    return pti_submit(to->pool, &job, PTI_DEADLINE_NEVER, NULL);
}

/* A marker goes through the first of the stages beside each other; the others keep its place. */
static enum ptq_err submit(struct pti_relay *relay, unsigned beside, const struct pti_entry *entry, const ptq_result *result)
{
    struct ptq_pipeline *line = relay->line;
    struct pti_line_stage *to = &line->stages[line->levels[relay->level + 1].first + beside];
    struct pti_entry place = {.kind = PTQ_RESULT_MARKER, .skip = true, .input = entry->input, .stage = entry->stage};
    for (;;) {
        enum ptq_err err = entry->kind == PTQ_RESULT_JOB ? submit_job(relay, to, entry, result)
                                                         : submit_marker(relay, to, beside == 0 ? entry : &place);
        if (err == PTQ_OK || !may_pass(err) || is_closing(relay) || pti_load_acquire(&line->failed) != 0)
            return err;
        if (err == PTQ_ENOSPC || err == PTQ_ENOMEM)
            nap();
    }
}

/* -- a group -------------------------------------------------------------------------------------------------- */

/* Which ticket the next submit draws.  What a dead relay left half done is put right before. */
static enum ptq_err find_next(struct pti_line_stage *to, uint64_t *ret_next)
{
    struct ptq_queue_stats stats;
    pti_queue_sweep(to->pool->jobs);
    enum ptq_err err = ptq_queue_stats(to->pool->jobs, &stats);
    if (err == PTQ_OK)
        *ret_next = stats.tail;
    return err;
}

/* How many entries of this group are in the pool already: law 1. */
static enum ptq_err begin_group(struct pti_relay *relay, unsigned beside, uint64_t *ret_in)
{
    struct ptq_pipeline *line = relay->line;
    struct pti_line_stage *to = &line->stages[line->levels[relay->level + 1].first + beside];
    uint64_t ticket = pti_group_ticket(&relay->group), began;
    *ret_in = 0;
    if (!relay->knows) {
        enum ptq_err err = find_next(to, &relay->next[beside]);
        if (err != PTQ_OK)
            return err;
        if (pti_roster_read_relay(&to->notes, ticket, &began)) {
            *ret_in = (uint64_t)pti_position_compare(relay->next[beside], began);
            return PTQ_OK;
        }
    }
    pti_roster_write_relay(&to->notes, ticket, relay->next[beside]);
    return PTQ_OK;
}

static enum ptq_err hand_on_to(struct pti_relay *relay, unsigned beside)
{
    struct pti_reader reader = {0};
    struct pti_entry entry;
    uint64_t in;
    enum ptq_err err = begin_group(relay, beside, &in);
    while (err == PTQ_OK && pti_group_read(relay->line, relay->level, &relay->group, &reader, &entry)) {
        if (in > 0) {
            in--;
            continue;
        }
        err = submit(relay, beside, &entry, relay->group.results[reader.result]);
        if (err == PTQ_OK)
            relay->next[beside]++;
    }
    if (err != PTQ_OK && !is_closing(relay))
        fail(relay, relay->line->levels[relay->level + 1].first + beside, err);
    return err;
}

static enum ptq_err hand_on(struct pti_relay *relay)
{
    const struct pti_level *next = &relay->line->levels[relay->level + 1];
    for (unsigned i = 0; i < next->count; i++) {
        enum ptq_err err = hand_on_to(relay, i);
        if (err != PTQ_OK)
            return err;
    }
    relay->knows = true;
    return pti_group_done(&relay->group);
}

/* -- the thread ----------------------------------------------------------------------------------------------- */

static void end_next(struct pti_relay *relay)
{
    const struct pti_level *next = &relay->line->levels[relay->level + 1];
    for (unsigned i = 0; i < next->count; i++) {
        enum ptq_err err = ptq_pool_stop(relay->line->stages[next->first + i].pool);
        if (err != PTQ_OK && !is_closing(relay))
            fail(relay, next->first + i, err);
    }
}

static void run(struct pti_relay *relay)
{
    while (!is_closing(relay)) {
        enum ptq_err err = pti_group_take(relay->line, relay->level, &relay->group, PTI_DEADLINE_NEVER);
        if (err == PTQ_OK)
            err = hand_on(relay);
        if (err == PTQ_END) {
            end_next(relay);
            return;
        }
        if (pti_load_acquire(&relay->line->failed) != 0)
            return;
        if (err == PTQ_ENOSPC || err == PTQ_ENOMEM)
            nap();
        if (err != PTQ_OK && !may_pass(err) && !is_closing(relay)) {
            fail(relay, relay->line->levels[relay->level].first + relay->group.count, err);
            return;
        }
    }
}

static void *work(void *context)
{
    struct pti_relay *relay = context;
    run(relay);
    pti_store_release(&relay->ended, 1);
    return NULL;
}

/* Signals of the program are for its own threads. */
enum ptq_err pti_relay_start(struct pti_relay *relay)
{
    sigset_t all, before;
    relay->marker = malloc(relay->line->marker_size);
    if (relay->marker == NULL)
        return PTQ_ENOMEM;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = pthread_create(&relay->thread, NULL, work, relay);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    relay->started = error == 0;
    return error == 0 ? PTQ_OK : PTQ_EAGAIN;
}

/* Its results go with their pools: to the next relay. */
void pti_relay_stop(struct pti_relay *relay)
{
    struct ptq_pipeline *line = relay->line;
    bool ours = line->generation == pti_fork_generation();
    if (relay->started && ours) {
        while (pti_load_acquire(&relay->ended) == 0) {
            for (unsigned i = 0; i < line->stage_count; i++)
                pti_pool_halt(line->stages[i].pool);
            if (pti_load_acquire(&relay->ended) == 0)
                nap();
        }
        (void)pthread_join(relay->thread, NULL);
    }
    free(relay->marker);
}
