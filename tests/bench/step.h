/* step.h -- a process that is stepped instruction by instruction, so that what it does can be counted. */
#ifndef PTQ_BENCH_STEP_H
#define PTQ_BENCH_STEP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kit.h"

#define STEP_CANNOT 77 /* exit code: it cannot be counted here (another processor, ptrace refused, a build without optimisation) */
#if defined(__x86_64__)
#define STEP_COUNTABLE 1
#else
#define STEP_COUNTABLE 0
#endif

struct step_place {
    uintptr_t instruction, stack;
};

/* First of all: begins the program anew with the addresses that it has each time, for what is copied counts by where it lies; goes on where
 * that is refused. */
void step_fix_addresses(char **argv);
/* Forks a child that runs `be_counted`, up to its first SIGSTOP of itself; exits STEP_CANNOT where ptrace is refused. */
pid_t step_start(struct bench *bench, void (*be_counted)(struct bench *bench));
/* One instruction on; false when the child has stopped itself. */
bool step_on(pid_t child);
struct step_place step_where(pid_t child);
/* Asked of each instruction in turn: is it one of the kernel's code in the process (the vDSO), and was it seen since that was entered?  The
 * clock is read again where the kernel has set it meanwhile, and a read that is stepped takes long enough for that: such a round is not the
 * call's, and would be counted by chance. */
bool step_is_again(uintptr_t instruction);
/* Of a child that stands at a function's first instruction. */
uintptr_t step_return_address(pid_t child, uintptr_t stack);
/* It goes on as it likes, until it stops itself again; then until it ends. */
void step_let_go(pid_t child);
void step_end(pid_t child);

#endif
