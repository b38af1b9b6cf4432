/* test_submit_killed.c -- a submitter that is killed at any instruction of submit leaves no hole.
 *
 * One victim is stepped by ptrace through its second submit (the first one warms it up), which gives the list of its instructions.
 * Then one victim for each of them runs at full speed into a breakpoint at its address, as often as it was met before in the
 * list, and is killed there.  Where breakpoints are not known for the machine, victims are stepped, at fewer places.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pools.h"
#include "queue/queue.h"

enum { INSTRUCTIONS_MAX = 100000 };

struct victim {
    struct ptt_scratch *scratch;
    bool is_marker;
};

static enum ptq_err submit_one(const struct victim *victim, ptq_pool *pool)
{
    if (victim->is_marker)
        return ptq_pool_submit_marker(pool, "victim", 6, PTQ_NOWAIT, NULL);
    return ptq_pool_submit(pool, "echo", "victim", 6, PTQ_NOWAIT, NULL);
}

static int be_stepped(void *context)
{
    const struct victim *victim = context;
    ptq_bus *bus = ptt_scratch_open(victim->scratch);
    ptq_pool *pool;

    if (ptq_pool_open(bus, "pool", &(struct ptq_pool_options){.mode = PTQ_ATTACH}, &pool) != PTQ_OK)
        return 1;
    if (submit_one(victim, pool) != PTQ_OK || ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        return 2;
    raise(SIGSTOP);
    enum ptq_err err = submit_one(victim, pool);
    raise(SIGSTOP);
    return (int)err;
}

static int next_stop(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        return -1;
    return WSTOPSIG(status);
}

static pid_t start_victim(struct victim *victim)
{
    pid_t pid = ptt_fork(be_stepped, victim);
    assert_int_equal(next_stop(pid), SIGSTOP);
    return pid;
}

static bool step(pid_t pid)
{
    assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
    int stop = next_stop(pid);
    assert_true(stop == SIGTRAP || stop == SIGSTOP);
    return stop == SIGTRAP;
}

#if defined(__x86_64__)
enum { HAS_BREAKPOINTS = 1 };

static uint64_t where(pid_t pid)
{
    return (uint64_t)ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.rip), NULL);
}

/* Runs until it comes to `address` for the n-th time; false: it came through before. */
static bool run_to(pid_t pid, uint64_t address, unsigned times)
{
    errno = 0;
    long there = ptrace(PTRACE_PEEKTEXT, pid, address, NULL);
    assert_int_equal(errno, 0);
    for (unsigned i = 1;; i++) {
        assert_int_equal(ptrace(PTRACE_POKETEXT, pid, address, (there & ~0xffL) | 0xcc), 0);
        assert_int_equal(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
        if (next_stop(pid) != SIGTRAP)
            return false;
        if (i == times)
            return true;
        assert_int_equal(ptrace(PTRACE_POKETEXT, pid, address, there), 0);
        assert_int_equal(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.rip), address), 0);
        if (!step(pid))
            return false;
    }
}
#else
enum { HAS_BREAKPOINTS = 0 };

static uint64_t where(pid_t pid)
{
    (void)pid;
    return 0;
}

static bool run_to(pid_t pid, uint64_t address, unsigned times)
{
    (void)pid, (void)address, (void)times;
    return false;
}
#endif

/* The addresses of the instructions of a submit; how many. */
static long list_instructions(struct victim *victim, uint64_t *addresses, long most)
{
    pid_t pid = start_victim(victim);
    long count = 0;

    do
        addresses[count++] = where(pid);
    while (count < most && step(pid));
    ptt_kill(pid);
    return count;
}

/* Kills a victim before its i-th instruction; false: it came through. */
static bool kill_at(struct victim *victim, const uint64_t *addresses, long i)
{
    pid_t pid = start_victim(victim);
    bool there = true;
    unsigned times = 0;

    for (long k = 0; k <= i && HAS_BREAKPOINTS; k++)
        times += addresses[k] == addresses[i];
    if (HAS_BREAKPOINTS && i > 0)
        there = run_to(pid, addresses[i], times - (addresses[0] == addresses[i]));
    for (long k = 0; k < i && !HAS_BREAKPOINTS && there; k++)
        there = step(pid);
    ptt_kill(pid);
    return there;
}

/* Everything up to our own next job comes out, each ticket once, none of them lost. */
static unsigned assert_no_hole(struct pools *pools, uint64_t *next)
{
    unsigned of_victim = 0;
    uint64_t ours = pools_submit(pools, "echo", "ours");
    bool last = false;

    while (!last) {
        ptq_result *result = pools_get(pools);
        assert_int_equal(pti_position_compare(ptq_result_ticket(result), *next), 0);
        if (ptq_result_kind(result) == PTQ_RESULT_ERROR)
            fail_msg("ticket %llu: %s", (unsigned long long)*next, ptq_result_text(result));
        last = ptq_result_ticket(result) == ours;
        if (!last) {
            assert_int_equal(ptq_result_size(result), 6);
            assert_memory_equal(ptq_result_data(result), "victim", 6);
            of_victim++;
        }
        (*next)++;
        assert_ok(ptq_result_done(result));
    }
    return of_victim;
}

static void kill_everywhere(bool is_marker)
{
    struct pools pools;
    struct victim victim = {.is_marker = is_marker};
    unsigned before = 0, after = 0;

    pools_init(&pools, &(struct ptq_pool_options){.capacity = 16, .window = 8}, 0);
    victim.scratch = &pools.scratch;
    pools_spawn(&pools, 1);
    uint64_t next = pools_submit(&pools, "echo", "first") + 1;
    pools_expect(&pools, next - 1, "first");

    static uint64_t addresses[INSTRUCTIONS_MAX];
    long all = list_instructions(&victim, addresses, INSTRUCTIONS_MAX), stride = HAS_BREAKPOINTS ? 1 : all / 50;
    assert_in_range(all, 100, INSTRUCTIONS_MAX - 1);
    assert_int_equal(assert_no_hole(&pools, &next), 2);
    unsigned through = 0;
    for (long i = 0; i < all - 1; i += stride) {
        through += !kill_at(&victim, addresses, i);
        unsigned came = assert_no_hole(&pools, &next);
        assert_in_range(came, 1, 2);
        before += came == 1;
        after += came == 2;
    }
    print_message("submit of a %s: %ld instructions, killed at every %ld.: %u times before it was in, %u times after (%u came "
                  "through another way)\n",
                  is_marker ? "marker" : "job", all, stride, before, after, through);
    assert_true(before > 0 && after > 0);
    pools_fini(&pools);
}

static void a_submitter_killed_anywhere_leaves_no_hole(void **state)
{
    (void)state;
    kill_everywhere(false);
}

static void a_submitter_of_markers_killed_anywhere_leaves_no_hole(void **state)
{
    (void)state;
    kill_everywhere(true);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_submitter_killed_anywhere_leaves_no_hole),
        cmocka_unit_test(a_submitter_of_markers_killed_anywhere_leaves_no_hole),
    };
    pools_register();
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
