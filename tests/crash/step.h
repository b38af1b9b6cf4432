/* step.h -- a victim: a forked process that is run one instruction at a time (ptrace), and may be killed at any. */
#ifndef PTQ_TESTS_CRASH_STEP_H
#define PTQ_TESTS_CRASH_STEP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct victim {
    pid_t pid;
    uint64_t steps;  /* since its mark */
    uint64_t calls;  /* of the kernel, since its mark: entered and left */
    bool over;       /* it exited or died */
    int status;      /* then: how */
};

/* False where single steps are not to be had (another machine, a sandbox): the test is skipped. */
bool victim_is_possible(void);

/* Forks `work`, which calls victim_mark when the calls of interest begin; returns when it stands there. */
void victim_start(struct victim *victim, int (*work)(void *context), void *context);
void victim_mark(void);

/* One instruction.  False: it is over.  A call of the kernel is one instruction, however long it takes. */
bool victim_step(struct victim *victim);

/* Where it stands. */
uint64_t victim_place(const struct victim *victim);

/* Runs on, at full speed, until it has come to the instruction at `place` for the `times`-th time; as steps would bring it
 * there, for the same work.  False: it is over, or there are no such breakpoints here (then it has not moved). */
bool victim_run_to(struct victim *victim, uint64_t place, uint64_t times);

/* The instruction that comes next enters the kernel. */
bool victim_is_at_call(const struct victim *victim);

/* Runs on until it stands before, or just behind, its n-th call of the kernel since the mark.  False: it is over. */
bool victim_run_to_call(struct victim *victim, uint64_t n, bool behind);

/* SIGKILL, reaped: every lock of it is free. */
void victim_kill(struct victim *victim);

/* Lets it go on by itself to its end. */
void victim_finish(struct victim *victim);

#endif
