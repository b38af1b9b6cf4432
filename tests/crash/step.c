/* step.c -- single steps by ptrace, victim and tracer on one processor: switching between two costs more than the step. */
#include "crash/step.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/ptt.h"

#if defined(__x86_64__)

static _Noreturn void give_up(const char *what)
{
    perror(what);
    abort();
}

static void wait_for(struct victim *victim)
{
    while (waitpid(victim->pid, &victim->status, __WALL) < 0)
        if (errno != EINTR)
            give_up("waitpid");
    victim->over = !WIFSTOPPED(victim->status);
}

static void use_one_processor(pid_t pid)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)sched_getcpu(), &set);
    sched_setaffinity(pid, sizeof set, &set);
}

static void use_all_processors(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    for (size_t i = 0; i < CPU_SETSIZE; i++)
        CPU_SET(i, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static int do_nothing(void *context)
{
    (void)context;
    victim_mark();
    return 0;
}

bool victim_is_possible(void)
{
    struct victim victim;
    pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 0 : 1);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        return false;
    victim_start(&victim, do_nothing, NULL);
    bool steps = victim_step(&victim) && victim_step(&victim);
    victim_kill(&victim);
    return steps;
}

void victim_mark(void) { raise(SIGSTOP); }

/* cmocka catches these, and would go on with the tests, in the victim. */
static const int deadly[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};

void victim_start(struct victim *victim, int (*work)(void *context), void *context)
{
    *victim = (struct victim){0};
    use_one_processor(0);
    fflush(NULL);
    victim->pid = fork();
    if (victim->pid < 0)
        give_up("fork");
    if (victim->pid == 0) {
        use_all_processors(); /* the library shall see the machine as it is */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
            signal(deadly[i], SIG_DFL);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(120);
        _exit(work(context));
    }
    do
        wait_for(victim);
    while (!victim->over && WSTOPSIG(victim->status) != SIGSTOP && ptrace(PTRACE_CONT, victim->pid, NULL, NULL) == 0);
    if (victim->over)
        return;
    ptrace(PTRACE_SETOPTIONS, victim->pid, NULL, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
    use_one_processor(victim->pid);
}

void victim_offer(void)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(120);
    victim_mark();
}

void victim_adopt(struct victim *victim, pid_t pid)
{
    *victim = (struct victim){.pid = pid};
    do
        wait_for(victim);
    while (!victim->over && WSTOPSIG(victim->status) != SIGSTOP && ptrace(PTRACE_CONT, pid, NULL, NULL) == 0);
    if (victim->over)
        return;
    use_one_processor(0);
    ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
    use_one_processor(pid);
}

/* Until it stops or ends; false: it has slept for `asleep_ms`, or done neither for `ms`.  Who waits for a processor does not sleep. */
static bool wait_within(struct victim *victim, int asleep_ms, int ms)
{
    struct timespec a_little = {.tv_nsec = 20000};
    int64_t asleep_us = 0;

    for (int64_t waited_us = 0; waited_us <= ms * INT64_C(1000); waited_us += a_little.tv_nsec / 1000) {
        if (waitpid(victim->pid, &victim->status, __WALL | WNOHANG) == victim->pid) {
            victim->over = !WIFSTOPPED(victim->status);
            return true;
        }
        if (asleep_us > asleep_ms * INT64_C(1000))
            return false;
        if (waited_us > 2000 && ptt_wait_sleeping(victim->pid, victim->pid, 0))
            asleep_us += a_little.tv_nsec / 1000;
        if (waited_us > 0) /* the first look is free: most steps are over by then */
            nanosleep(&a_little, NULL);
        else
            sched_yield();
        if (waited_us > 2000)
            a_little.tv_nsec = 500000;
    }
    return false;
}

bool victim_step_within(struct victim *victim, int ms)
{
    if (victim->over)
        return false;
    if (ptrace(PTRACE_SINGLESTEP, victim->pid, NULL, NULL) != 0)
        give_up("single step");
    if (!wait_within(victim, ms, PTT_LONG))
        return false;
    victim->steps++;
    return !victim->over;
}

void victim_let_go(struct victim *victim)
{
    if (!victim->over)
        ptrace(PTRACE_DETACH, victim->pid, NULL, NULL);
    use_all_processors();
}

bool victim_wait(struct victim *victim, int ms) { return victim->over || wait_within(victim, ms, ms); }

uint64_t victim_place(const struct victim *victim)
{
    return (uint64_t)ptrace(PTRACE_PEEKUSER, victim->pid, offsetof(struct user_regs_struct, rip), NULL);
}

bool victim_is_at_call(const struct victim *victim)
{
    long bytes = ptrace(PTRACE_PEEKTEXT, victim->pid, (void *)(uintptr_t)victim_place(victim), NULL);

    return (bytes & 0xffff) == 0x050f; /* syscall */
}

/* What a stop means: a trap is the step; anything else is a signal of its own, to be delivered. */
static int signal_to_deliver(const struct victim *victim)
{
    int signal = WSTOPSIG(victim->status);

    return signal == SIGTRAP || signal == (SIGTRAP | 0x80) || signal == SIGSTOP ? 0 : signal;
}

bool victim_step(struct victim *victim)
{
    int signal = 0;

    if (victim->over)
        return false;
    do {
        if (ptrace(PTRACE_SINGLESTEP, victim->pid, NULL, (void *)(uintptr_t)signal) != 0)
            give_up("single step");
        wait_for(victim);
        signal = victim->over ? 0 : signal_to_deliver(victim);
    } while (signal != 0);
    victim->steps++;
    return !victim->over;
}

static bool set_breakpoint(struct victim *victim, uint64_t place)
{
    bool set = place != 0;

    return ptrace(PTRACE_POKEUSER, victim->pid, offsetof(struct user, u_debugreg[0]), (void *)(uintptr_t)place) == 0 &&
           ptrace(PTRACE_POKEUSER, victim->pid, offsetof(struct user, u_debugreg[7]), (void *)(uintptr_t)set) == 0;
}

bool victim_run_to(struct victim *victim, uint64_t place, uint64_t times, int ms)
{
    int signal = 0;

    if (victim->over || !set_breakpoint(victim, place))
        return false;
    while (times > 0) {
        if (ptrace(PTRACE_CONT, victim->pid, NULL, (void *)(uintptr_t)signal) != 0)
            give_up("continue");
        if (ms < 0)
            wait_for(victim);
        else if (!wait_within(victim, ms, PTT_LONG))
            victim_kill(victim);
        if (victim->over)
            return false;
        signal = signal_to_deliver(victim);
        times -= WSTOPSIG(victim->status) == SIGTRAP && victim_place(victim) == place;
    }
    return set_breakpoint(victim, 0);
}

bool victim_run_to_write(struct victim *victim, const void *word)
{
    static const unsigned long writes_of_8 = 0x90001; /* of breakpoint 0: on, stops behind a write, of 8 bytes */
    int signal = 0;

    if (victim->over || !set_breakpoint(victim, (uint64_t)(uintptr_t)word) ||
        ptrace(PTRACE_POKEUSER, victim->pid, offsetof(struct user, u_debugreg[7]), (void *)writes_of_8) != 0)
        return false;
    do {
        if (ptrace(PTRACE_CONT, victim->pid, NULL, (void *)(uintptr_t)signal) != 0)
            give_up("continue");
        wait_for(victim);
        if (victim->over)
            return false;
        signal = signal_to_deliver(victim);
    } while (signal != 0);
    return set_breakpoint(victim, 0);
}

bool victim_run_to_call(struct victim *victim, uint64_t n, bool behind)
{
    uint64_t stops = 2 * n + (behind ? 2 : 1); /* one at the entry, one at the exit of each */
    int signal = 0;

    while (victim->calls < stops) {
        if (victim->over || ptrace(PTRACE_SYSCALL, victim->pid, NULL, (void *)(uintptr_t)signal) != 0)
            return false;
        wait_for(victim);
        if (victim->over)
            return false;
        signal = signal_to_deliver(victim);
        victim->calls += WSTOPSIG(victim->status) == (SIGTRAP | 0x80);
    }
    return true;
}

void victim_kill(struct victim *victim)
{
    if (victim->over)
        return;
    kill(victim->pid, SIGKILL);
    while (!victim->over)
        wait_for(victim);
    use_all_processors(); /* the tracer, until the next: several such tests run at once */
}

void victim_finish(struct victim *victim)
{
    int signal = 0;

    while (!victim->over) {
        if (ptrace(PTRACE_CONT, victim->pid, NULL, (void *)(uintptr_t)signal) != 0)
            give_up("continue");
        wait_for(victim);
        signal = victim->over ? 0 : signal_to_deliver(victim);
    }
    use_all_processors();
}

#else /* LL/SC machines cannot be stepped through an exclusive pair */

bool victim_is_possible(void) { return false; }
void victim_mark(void) {}
void victim_offer(void) {}
void victim_adopt(struct victim *victim, pid_t pid) { *victim = (struct victim){.pid = pid, .over = true}; }
void victim_start(struct victim *victim, int (*work)(void *context), void *context)
{
    (void)work, (void)context;
    *victim = (struct victim){.over = true};
}
bool victim_step(struct victim *victim) { return victim->over && false; }
bool victim_step_within(struct victim *victim, int ms) { return victim->over && ms < 0; }
void victim_let_go(struct victim *victim) { victim->over = true; }
bool victim_wait(struct victim *victim, int ms) { return victim->over && ms >= 0; }
uint64_t victim_place(const struct victim *victim) { return victim->steps; }
bool victim_run_to(struct victim *victim, uint64_t place, uint64_t times, int ms)
{
    return victim->over && place == times && ms < 0 && false;
}
bool victim_run_to_write(struct victim *victim, const void *word) { return victim->over && word == NULL && false; }
bool victim_is_at_call(const struct victim *victim) { return victim->over && false; }
bool victim_run_to_call(struct victim *victim, uint64_t n, bool behind) { return victim->over && n == 0 && behind && false; }
void victim_kill(struct victim *victim) { victim->over = true; }
void victim_finish(struct victim *victim) { victim->over = true; }

#endif
