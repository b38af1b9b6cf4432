/* cycle.c -- section by section, life by life.
 *
 *   start -> prerun -> run -> postrun -> (stop? runs? join_in?) -> ... -> onfinish -> result
 *
 * What the parent must know stands in the record before the step that it is about.
 */
#include "base/time.h"
#include "os/clock.h"
#include "os/resident.h"
#include "process/life.h"
#include "process/watchdog.h"

enum verdict {
    DONE,
    FAILED,  /* noted; costs a life */
    STOPPED, /* it was interrupted by the stop: neither done nor failed */
};

static bool is_stopping(const ptq_self *self)
{
    return pti_load_acquire(&self->record->stop) != 0;
}

/* -- one section ---------------------------------------------------------------------------------------------- */

static void enter(ptq_self *self, enum ptq_section section)
{
    struct pti_record *record = self->record;
    self->section = section;
    self->text[0] = '\0';
    pti_store_relaxed(&record->since_ns, section != PTQ_SECTION_NONE ? pti_host_ns() : 0);
    pti_store_release(&record->section, section);
}

static uint64_t run_of(const ptq_self *self)
{
    return pti_load_relaxed(&self->record->runs_done) + 1;
}

static void note(ptq_self *self, enum ptq_section section, enum ptq_err answer, bool in_time)
{
    struct pti_failure failure = {.timeout_ms = in_time ? 0 : self->record->timeout_ms[section]};
    const char *why = self->text[0] != '\0' ? self->text : ptq_strerror(answer);
    pti_failure_make(&failure, in_time ? PTQ_EFAILED : PTQ_TIMEDOUT, section, run_of(self), why);
    failure.cause = answer;
    pti_failure_note(section == PTQ_SECTION_ERROR ? &self->record->second : &self->record->failure, &failure);
}

/* `ret_ns` may be NULL. */
static enum verdict call(ptq_self *self, enum ptq_section section, ptq_hook hook, uint64_t *ret_ns)
{
    struct pti_record *record = self->record;
    if (hook == NULL)
        return DONE;
    int64_t limit = record->timeout_ms[section] * PTI_NS_PER_MS;
    enter(self, section);
    int64_t begin = pti_now_ns();
    pti_watchdog_begin(limit > 0 ? begin + limit : PTI_DEADLINE_NEVER);
    enum ptq_err answer = hook(self, self->hooks->user);
    int64_t took = pti_now_ns() - begin;
    bool in_time = pti_watchdog_end();

    if (in_time && answer == PTQ_OK) {
        pti_times_add(&record->times[section], (uint64_t)took);
        if (ret_ns != NULL)
            *ret_ns += (uint64_t)took;
        enter(self, PTQ_SECTION_NONE);
        return DONE;
    }
    if (in_time && answer == PTQ_EINTR && is_stopping(self)) {
        enter(self, PTQ_SECTION_NONE);
        return STOPPED;
    }
    note(self, section, answer, in_time);
    enter(self, PTQ_SECTION_NONE);
    pti_resource_doubt_all();
    return FAILED;
}

void pti_cycle_overdue(void *context)
{
    ptq_self *self = context;
    pti_store_release(&self->record->overdue, 1);
}

/* -- runs ----------------------------------------------------------------------------------------------------- */

/* Is there another run?  In this order: stop, runs, join_in. */
static bool goes_on(const ptq_self *self)
{
    const struct pti_record *record = self->record;
    if (is_stopping(self))
        return false;
    if (record->runs == PTQ_NO_RUNS || (record->runs != 0 && pti_load_relaxed(&record->runs_done) >= record->runs))
        return false;
    return record->join_in_ns == 0 || pti_host_ns() - pti_load_relaxed(&record->started_ns) < record->join_in_ns;
}

/* Sections are cut short by a stop between them: such a run does not count. */
static enum verdict run_once(ptq_self *self)
{
    const struct ptq_process_hooks *hooks = &self->hooks->hooks;
    const struct {
        enum ptq_section section;
        ptq_hook hook;
    } steps[] = {{PTQ_SECTION_PRERUN, hooks->prerun}, {PTQ_SECTION_RUN, hooks->run}, {PTQ_SECTION_POSTRUN, hooks->postrun}};
    uint64_t took = 0;
    for (unsigned i = 0; i < 3; i++) {
        if (is_stopping(self) && (i == 1 || steps[i].hook != NULL)) /* a hook that is not there is no section to be left out */
            return STOPPED;
        enum verdict verdict = call(self, steps[i].section, steps[i].hook, &took);
        if (verdict != DONE)
            return verdict;
    }
    pti_times_add(&self->record->times[PTQ_SECTION_FULL_RUN], took);
    pti_store_release(&self->record->runs_done, run_of(self));
    pti_store_relaxed(&self->status->progress, pti_load_relaxed(&self->status->progress) + 1);
    return DONE;
}

static bool wants_to_be_recycled(const ptq_self *self, uint64_t runs_here)
{
    const struct pti_record *record = self->record;
    if (record->recycle_runs != 0 && runs_here >= record->recycle_runs)
        return true;
    return record->recycle_bytes != 0 && pti_resident_bytes(0) > record->recycle_bytes;
}

/* Is a life left?  The failure was noted before. */
static bool lose_life(ptq_self *self)
{
    uint32_t lives = pti_load_relaxed(&self->record->lives);
    if (lives > 0)
        pti_store_release(&self->record->lives, --lives);
    return lives > 0;
}

/* True: the phase is over. False: no life is left, or it leaves to be recycled. */
static bool run_all(ptq_self *self)
{
    uint64_t runs_here = 0;
    while (goes_on(self)) {
        switch (run_once(self)) {
        case DONE:
            runs_here++;
            break;
        case STOPPED:
            return true;
        case FAILED:
            if (!lose_life(self))
                return false;
        }
        if (goes_on(self) && wants_to_be_recycled(self, runs_here)) {
            pti_store_release(&self->record->recycle, 1);
            return false;
        }
    }
    return true;
}

/* -- the beginning and the end -------------------------------------------------------------------------------- */

static bool start(ptq_self *self)
{
    while (call(self, PTQ_SECTION_START, self->hooks->hooks.start, NULL) == FAILED)
        if (!lose_life(self))
            return false;
    return true;
}

static bool finish(ptq_self *self)
{
    const struct ptq_process_hooks *hooks = &self->hooks->hooks;
    for (;;) {
        if (call(self, PTQ_SECTION_ONFINISH, hooks->onfinish, NULL) != FAILED &&
            call(self, PTQ_SECTION_RESULT, hooks->result, NULL) != FAILED)
            return true;
        if (!lose_life(self))
            return false;
    }
}

static void call_error_hook(ptq_self *self)
{
    pti_store_release(&self->record->phase, PTI_PHASE_ERROR);
    pti_failure_show(&self->record->failure, &self->record->second, &self->error);
    self->in_error = true;
    (void)call(self, PTQ_SECTION_ERROR, self->hooks->hooks.error, NULL);
    self->in_error = false;
}

/* True: it came to a result.  False: no life is left, or it is to be recycled. */
static bool live(ptq_self *self)
{
    struct pti_record *record = self->record;
    if (pti_load_relaxed(&record->phase) == PTI_PHASE_ERROR || !start(self))
        return false;
    if (pti_load_relaxed(&record->phase) == PTI_PHASE_RUNNING && !run_all(self))
        return false;
    pti_store_release(&record->phase, PTI_PHASE_FINISHING);
    return finish(self);
}

void pti_cycle(ptq_self *self)
{
    struct pti_record *record = self->record;
    if (pti_load_relaxed(&record->started_ns) == 0)
        pti_store_relaxed(&record->started_ns, pti_host_ns());
    bool well = live(self);
    if (pti_load_relaxed(&record->recycle) != 0)
        return;
    if (!well)
        call_error_hook(self);
    pti_store_release(&record->outcome, well ? PTI_OUTCOME_RESULT : PTI_OUTCOME_ERROR); /* from here on it is told */
}
