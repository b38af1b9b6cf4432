/* step.c -- a process that is stepped instruction by instruction. */
#include "step.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

void step_fix_addresses(char **argv)
{
    int now = personality(0xffffffff);
    if (now < 0 || (now & ADDR_NO_RANDOMIZE) || personality((unsigned long)now | ADDR_NO_RANDOMIZE) < 0)
        return;
    (void)execv("/proc/self/exe", argv);
}

pid_t step_start(struct bench *bench, void (*be_counted)(struct bench *bench))
{
    int status;
    pid_t child = fork();
    if (child < 0)
        bench_fail("fork: %s", strerror(errno));
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(STEP_CANNOT);
        be_counted(bench);
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) {
        if (WIFEXITED(status) && WEXITSTATUS(status) == STEP_CANNOT) {
            fprintf(stderr, "%s: ptrace is refused here\n", program_invocation_short_name);
            bench_finish(bench);
            exit(STEP_CANNOT);
        }
        bench_fail("the counted process ended early");
    }
    if (ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_EXITKILL) != 0)
        bench_fail("PTRACE_SETOPTIONS: %s", strerror(errno));
    return child;
}

bool step_on(pid_t child)
{
    int status;
    if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0 || waitpid(child, &status, 0) != child)
        bench_fail("PTRACE_SINGLESTEP: %s", strerror(errno));
    if (!WIFSTOPPED(status))
        bench_fail("the counted process ended early");
    return WSTOPSIG(status) == SIGTRAP;
}

struct step_place step_where(pid_t child)
{
    struct step_place place = {0, 0};
#if STEP_COUNTABLE
    struct user_regs_struct registers;
    if (ptrace(PTRACE_GETREGS, child, NULL, &registers) != 0)
        bench_fail("PTRACE_GETREGS: %s", strerror(errno));
    place = (struct step_place){registers.rip, registers.rsp};
#else
    bench_fail("process %d: only x86-64 is counted", (int)child); /* main asked before */
#endif
    return place;
}

uintptr_t step_return_address(pid_t child, uintptr_t stack)
{
    errno = 0;
    long word = ptrace(PTRACE_PEEKDATA, child, (void *)stack, NULL);
    if (errno != 0)
        bench_fail("PTRACE_PEEKDATA: %s", strerror(errno));
    return (uintptr_t)word;
}

void step_let_go(pid_t child)
{
    int status;
    if (ptrace(PTRACE_CONT, child, NULL, NULL) != 0 || waitpid(child, &status, 0) != child)
        bench_fail("PTRACE_CONT: %s", strerror(errno));
    if (!WIFSTOPPED(status))
        bench_fail("the counted process ended early");
}

void step_end(pid_t child)
{
    int status;
    if (ptrace(PTRACE_CONT, child, NULL, NULL) != 0 || waitpid(child, &status, 0) != child)
        bench_fail("PTRACE_CONT: %s", strerror(errno));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        bench_fail("the counted process failed");
}

#define VDSO_BYTES 16384u /* at most */

bool step_is_again(uintptr_t instruction)
{
    static bool seen[VDSO_BYTES], inside; /* in this visit */
    uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
    if (vdso == 0 || instruction < vdso || instruction - vdso >= VDSO_BYTES) {
        if (inside)
            memset(seen, 0, sizeof seen);
        inside = false;
        return false;
    }
    bool again = seen[instruction - vdso];
    seen[instruction - vdso] = inside = true;
    return again;
}
