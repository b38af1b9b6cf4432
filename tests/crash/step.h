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

/* One that somebody else has forked from this thread: it asks to be traced, and then marks.  It is to be killed and reaped by who forked it. */
void victim_offer(void);
void victim_adopt(struct victim *victim, pid_t pid);

/* One instruction.  False: it is over.  A call of the kernel is one instruction, however long it takes. */
bool victim_step(struct victim *victim);

/* As victim_step, but false also when the instruction is a kernel call that sleeps for longer than `ms`; then it runs on,
 * and may only be killed. */
bool victim_step_within(struct victim *victim, int ms);

/* Lets it run on by itself, no longer traced; victim_wait reaps it: false if it goes on for longer than `ms`. */
void victim_let_go(struct victim *victim);
bool victim_wait(struct victim *victim, int ms);

/* Where it stands. */
uint64_t victim_place(const struct victim *victim);

/* Runs on, at full speed, until it has come to the instruction at `place` for the `times`-th time; as steps would bring it
 * there, for the same work.  False: it is over, or there are no such breakpoints here (then it has not moved), or it has not
 * come there within `ms` (then it was killed; PTQ_FOREVER: it will). */
bool victim_run_to(struct victim *victim, uint64_t place, uint64_t times, int ms);

/* Runs on at full speed until it has just written `word`, of 8 bytes, which lies where it does here.  False: it is over. */
bool victim_run_to_write(struct victim *victim, const void *word);

/* The instruction that comes next enters the kernel. */
bool victim_is_at_call(const struct victim *victim);

/* Runs on until it stands before, or just behind, its n-th call of the kernel since the mark.  False: it is over. */
bool victim_run_to_call(struct victim *victim, uint64_t n, bool behind);

/* SIGKILL, reaped: every lock of it is free. */
void victim_kill(struct victim *victim);

/* Lets it go on by itself to its end. */
void victim_finish(struct victim *victim);

#endif
