/* sched.c -- fibers, and who goes on: at random, by priorities that change now and then (PCT), or by a plan.
 *
 * A decision is due at a step that is known beforehand, so a step costs a comparison.  The controller (world.c) chooses;
 * processes switch to it and back.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#include "sim/ledger.h"
#include "sim/scenario.h"
#include "sim/sim.h"

#define STOPPED_MOST 40000 /* steps */

struct sim_proc sim_procs[SIM_PROCS];
struct sim_proc *sim_me;
struct sim_world sim;

/* ---- chance: one generator, so a seed says all */

uint64_t sim_random(uint64_t below)
{
    uint64_t z = sim.random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return (uint64_t)(((unsigned __int128)z * below) >> 64);
}

/* ---- switching */

static void begin_fiber(void);

#if defined(__x86_64__)
static void *controller;

void sim_switch(void **ret_from, void *to);
__asm__(".text\n"
        ".globl sim_switch\n"
        ".type sim_switch, @function\n"
        "sim_switch:\n"
        "    push %rbp\n    push %rbx\n    push %r12\n    push %r13\n    push %r14\n    push %r15\n"
        "    mov %rsp, (%rdi)\n"
        "    mov %rsi, %rsp\n"
        "    pop %r15\n    pop %r14\n    pop %r13\n    pop %r12\n    pop %rbx\n    pop %rbp\n"
        "    ret\n"
        ".size sim_switch, . - sim_switch\n");

static void make_fiber(struct sim_proc *proc)
{
    void **top = (void **)(void *)(proc->stack + SIM_STACK_BYTES - 64);

    *--top = NULL;
    *--top = (void *)begin_fiber; /* where the switch returns to, with the stack as after a call */
    top -= 6;
    memset(top, 0, 6 * sizeof *top);
    proc->stack_pointer = top;
}

static void to_controller(struct sim_proc *proc) { sim_switch(&proc->stack_pointer, controller); }
static void to_process(struct sim_proc *proc) { sim_switch(&controller, proc->stack_pointer); }
#else
static ucontext_t contexts[SIM_PROCS], controller;

static void make_fiber(struct sim_proc *proc)
{
    ucontext_t *context = &contexts[proc->number];

    getcontext(context);
    context->uc_stack.ss_sp = proc->stack;
    context->uc_stack.ss_size = SIM_STACK_BYTES;
    context->uc_link = NULL;
    makecontext(context, begin_fiber, 0);
}

static void to_controller(struct sim_proc *proc) { swapcontext(&contexts[proc->number], &controller); }
static void to_process(struct sim_proc *proc) { swapcontext(&controller, &contexts[proc->number]); }
#endif

void sim_leave(void)
{
    struct sim_proc *me = sim_me;
    int saved = errno;

    to_controller(me);
    errno = saved;
}

static void resume(struct sim_proc *proc)
{
    sim_me = proc;
    to_process(proc);
    sim_me = NULL;
}

static void begin_fiber(void)
{
    sim_me->role->work();
    sim_flush(sim_me);
    sim_me->state = SIM_DONE;
    for (;;)
        sim_leave();
}

void sim_start(struct sim_proc *proc, const struct sim_role *role)
{
    sim_process_reset(proc);
    memset(proc->files, 0, sizeof proc->files);
    proc->role = role;
    proc->state = SIM_RUNNABLE;
    proc->stopped = false;
    proc->inside = NULL;
    proc->waits_get = proc->waits_put = false;
    proc->priority = 1000 + (int)sim_random(1000);
    make_fiber(proc);
}

void sim_fail(const char *format, ...)
{
    va_list arguments;

    if (!sim.failed) {
        va_start(arguments, format);
        vsnprintf(sim.text, sizeof sim.text, format, arguments);
        va_end(arguments);
        if (sim.tracing)
            sim_trace_note("%s", sim.text);
    }
    sim.failed = true;
    while (sim_me)
        sim_leave();
}

/* ---- alone: opens, closes and audits that are not raced */

void sim_solo(struct sim_proc *proc)
{
    uint64_t last = sim.step + 20000000;

    sim.racing = false;
    sim.next_decision = UINT64_MAX;
    while (!sim.failed && proc->state != SIM_DONE && proc->state != SIM_PARKED) {
        resume(proc);
        sim_flush(proc);
        if (proc->state == SIM_BLOCKED) {
            int64_t next = sim_next_timer();
            next = proc->deadline < next ? proc->deadline : next;
            if (next == SIM_NEVER)
                sim_fail("process %u sleeps for ever in %s, alone", proc->number, proc->inside ? proc->inside : "?");
            sim.now = next > sim.now ? next : sim.now;
            sim_kick();
            proc->timed_out = proc->state == SIM_BLOCKED;
            proc->state = SIM_RUNNABLE;
        }
        if (sim.step > last)
            sim_fail("process %u does not come to an end, alone", proc->number);
    }
}

void sim_park(void)
{
    if (sim.racing)
        return;
    sim_me->state = SIM_PARKED;
    sim_leave();
}

/* ---- the race: decisions */

static struct sim_proc *running, *wanted;

static bool is_ready(const struct sim_proc *proc) { return proc->state == SIM_RUNNABLE && !proc->stopped; }

static void plan_next(void)
{
    uint64_t next = UINT64_MAX;

    switch (sim.config.mode) {
    case SIM_RANDOM:
        next = sim.step + 1 + sim_random(2 * sim.quantum);
        break;
    case SIM_PCT:
        next = sim.step + 5000; /* a process that polls for another must not keep it from running */
        for (unsigned i = 0; i < sim.pct_changes; i++)
            if (sim.pct_change[i] > sim.step && sim.pct_change[i] < next)
                next = sim.pct_change[i];
        break;
    case SIM_PLAN:
        next = sim.step + 20000;
        break;
    }
    if (sim.event_next < sim.event_count && sim.events[sim.event_next].step < next)
        next = sim.events[sim.event_next].step;
    if (next > sim.last_step)
        next = sim.last_step;
    sim.next_decision = next;
}

static bool take_event(void)
{
    const struct sim_plan *event = &sim.events[sim.event_next];
    struct sim_proc *proc = sim_me;

    if (sim.event_next == sim.event_count || event->step > sim.step)
        return false;
    sim.event_next++;
    if (event->to >= 0) {
        wanted = &sim_procs[event->to];
        return true;
    }
    if (event->to <= -3) /* whoever: also one who sleeps */
        proc = &sim_procs[1 + sim_random(SIM_PROCS - 1)];
    if (proc->role == NULL || !proc->role->killable || (proc->state != SIM_RUNNABLE && proc->state != SIM_BLOCKED))
        return true;
    if (event->to == -2 || event->to == -4) {
        proc->stopped = true;
        proc->stopped_at = sim.step;
        sim.stops++;
        sim_flush(proc);
        sim_trace_note("process %u is stopped", proc->number);
    } else {
        sim_kill(proc);
    }
    return true;
}

void sim_decide(void)
{
    if (!sim.racing) {
        sim.next_decision = UINT64_MAX;
        return;
    }
    if (sim.step >= sim.last_step)
        sim_fail("after %llu steps there is no end: process %u is in %s", (unsigned long long)(sim.step - sim.race_begin),
                 sim_me->number, sim_me->inside ? sim_me->inside : "?");
    if (!take_event()) {
        if (sim.config.mode == SIM_PCT)
            sim_me->priority = (int)(sim.step - sim.race_begin) < 1000 ? 1 : -(int)(sim.step - sim.race_begin);
        if (sim.config.mode == SIM_PLAN)
            sim_me->steps = 1; /* the others first */
    }
    sim_leave();
}

void sim_yield(void)
{
    if (!sim.racing)
        return;
    sim_me->priority = -(int)(sim.step - sim.race_begin);
    sim_me->steps = 1;
    sim.step++;
    sim_leave();
}

bool sim_sleep(enum sim_block block, int64_t deadline)
{
    struct sim_proc *me = sim_me;

    sim_flush(me);
    if (deadline <= sim.now)
        return false;
    me->block = block;
    me->deadline = deadline;
    me->timed_out = false;
    me->state = SIM_BLOCKED;
    sim_trace_note("process %u sleeps (%s)", me->number,
                   block == SIM_BLOCK_FUTEX ? "futex" : block == SIM_BLOCK_POLL ? "poll" : "time");
    sim_leave();
    return !me->timed_out;
}

/* ---- the race: choosing */

static struct sim_proc *choose_any(void)
{
    struct sim_proc *ready[SIM_PROCS];
    unsigned count = 0;

    for (unsigned i = 0; i < SIM_PROCS; i++)
        if (is_ready(&sim_procs[i]))
            ready[count++] = &sim_procs[i];
    return count == 0 ? NULL : ready[count == 1 ? 0 : sim_random(count)];
}

static struct sim_proc *choose_first(void)
{
    struct sim_proc *best = NULL;

    for (unsigned i = 0; i < SIM_PROCS; i++)
        if (is_ready(&sim_procs[i]) && (best == NULL || sim_procs[i].priority > best->priority))
            best = &sim_procs[i];
    return best;
}

/* Who ran goes on; if it cannot, or has let others go first, the next in turn. */
static struct sim_proc *choose_planned(void)
{
    unsigned from = running ? running->number : 0;

    if (wanted && is_ready(wanted))
        return wanted;
    if (running && is_ready(running) && running->steps == 0)
        return running;
    for (unsigned i = 1; i <= SIM_PROCS; i++)
        if (is_ready(&sim_procs[(from + i) % SIM_PROCS]))
            return &sim_procs[(from + i) % SIM_PROCS];
    return NULL;
}

static struct sim_proc *choose(void)
{
    struct sim_proc *chosen;

    switch (sim.config.mode) {
    case SIM_RANDOM:
        chosen = choose_any();
        break;
    case SIM_PCT:
        chosen = choose_first();
        break;
    default:
        chosen = choose_planned();
        break;
    }
    wanted = NULL;
    return chosen;
}

/* Locks of the dead go some steps after their descriptors are closed. */
static bool release_dead(bool all)
{
    bool any = false;

    for (unsigned i = 1; i < SIM_PROCS; i++) {
        struct sim_proc *proc = &sim_procs[i];
        if (proc->state != SIM_DEAD || proc->release_at < 0 || (!all && (uint64_t)proc->release_at > sim.step))
            continue;
        proc->release_at = -1;
        sim_kernel_release(proc);
        sim_trace_note("the locks of process %u are free", proc->number);
        sim_ended(proc);
        any = true;
    }
    return any;
}

void sim_kill(struct sim_proc *proc)
{
    sim_flush(proc);
    sim_trace_note("process %u is killed in %s", proc->number, proc->inside ? proc->inside : "its own code");
    proc->state = SIM_DEAD;
    proc->release_at = (int64_t)(sim.step + sim_random(100));
    proc->waits_get = proc->waits_put = false;
    sim.kills++;
    ledger_died(proc);
    sim_kernel_close_all(proc, true);
}

static void advance_clock(int64_t to)
{
    if (to > sim.now)
        sim.now = to;
    for (unsigned i = 0; i < SIM_PROCS; i++) {
        struct sim_proc *proc = &sim_procs[i];
        if (proc->state == SIM_BLOCKED && proc->deadline <= sim.now) {
            proc->timed_out = true;
            proc->state = SIM_RUNNABLE;
        }
    }
    sim_kick();
    sim_trace_note("it is %lld us", (long long)(sim.now / 1000));
}

static int64_t next_time(void)
{
    int64_t next = sim_next_timer();

    for (unsigned i = 0; i < SIM_PROCS; i++)
        if (sim_procs[i].state == SIM_BLOCKED && sim_procs[i].deadline < next)
            next = sim_procs[i].deadline;
    return next;
}

/* When nobody else has anything to do; or after long, for who only polls is never done. */
static bool resume_stopped(uint64_t after)
{
    bool any = false;

    for (unsigned i = 0; i < SIM_PROCS; i++) {
        if (sim_procs[i].stopped && sim.step - sim_procs[i].stopped_at < after)
            continue;
        if (sim_procs[i].stopped) {
            sim_trace_note("process %u goes on", i);
            any = true;
        }
        sim_procs[i].stopped = false;
    }
    return any;
}

/* Nobody runs.  True: somebody may now. */
static bool go_on_quiet(void)
{
    int64_t next;

    for (unsigned i = 0; i < SIM_PROCS; i++)
        sim_flush(&sim_procs[i]);
    if (release_dead(true))
        return true;
    next = next_time();
    sim_check_quiet(next == SIM_NEVER);
    if (sim.failed)
        return false;
    if (next != SIM_NEVER) {
        advance_clock(next);
        return true;
    }
    return resume_stopped(0);
}

void sim_race(void)
{
    running = wanted = NULL;
    sim.racing = true;
    while (!sim.failed) {
        struct sim_proc *proc;

        release_dead(false);
        if (sim.stops > 0)
            resume_stopped(STOPPED_MOST);
        if (sim.buffers && sim_chance(8))
            sim_flush(&sim_procs[sim_random(SIM_PROCS)]);
        if (sim.eager_clock && sim_chance(60) && next_time() != SIM_NEVER)
            advance_clock(next_time());
        proc = choose();
        if (proc == NULL) {
            if (go_on_quiet())
                continue;
            break;
        }
        if (sim.tracing && proc != running)
            sim_trace_note("-- process %u runs", proc->number);
        running = proc;
        proc->steps = 0;
        plan_next();
        resume(proc);
        if (proc->state == SIM_DONE) {
            sim_trace_note("process %u is done", proc->number);
            proc->inside = NULL;
            sim_kernel_close_all(proc, false);
            sim_ended(proc);
        }
    }
    sim.racing = false;
}
