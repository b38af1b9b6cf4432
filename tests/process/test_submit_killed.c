/* test_submit_killed.c -- a submitter that is killed at any instruction of submit leaves no hole.
 *
 * One victim is stepped by ptrace through its second submit (the first one warms it up), which gives the list of its instructions.
 * Another shows before which of them something has changed that outlives it: a byte of the pool's files, or what a system call does;
 * a death before any other is no other death.  Then one victim for each of these runs at full speed into a breakpoint at its address, as
 * often as it was met before in the list, and is killed there.  Where breakpoints are not known for the machine, victims are stepped, at
 * fewer places.
 *     pool_submit_killed [all]: at every instruction.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pools.h"
#include "queue/queue.h"

enum { INSTRUCTIONS_MAX = 100000 };

static bool all;

enum how { BY_COPY, MARKER, IN_PLACE };

struct victim {
    struct ptt_scratch *scratch;
    enum how how;
};

static enum ptq_err submit_in_place(ptq_pool *pool)
{
    ptq_job *job;
    enum ptq_err err = ptq_pool_loan(pool, "echo", 100, NULL, PTQ_NOWAIT, &job);

    if (err != PTQ_OK)
        return err;
    memcpy(ptq_job_buffer(job), "victim", 6);
    return ptq_pool_publish(job, 6, PTQ_NOWAIT, NULL);
}

/* ---- what outlives the victim: the files of the bus */

#define FILES_MOST 32

struct files {
    size_t count, sizes[FILES_MOST];
    const unsigned char *live[FILES_MOST];
    unsigned char *last[FILES_MOST];
};

static void files_init(struct files *files, const struct ptt_scratch *scratch)
{
    char path[400];
    struct stat status;
    struct dirent *entry;

    snprintf(path, sizeof path, "%s/test", scratch->dir);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    files->count = 0;
    while ((entry = readdir(dir)) != NULL) {
        int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0) {
            close(fd);
            continue;
        }
        size_t i = files->count++;
        assert_true(files->count <= FILES_MOST);
        files->sizes[i] = (size_t)status.st_size;
        files->live[i] = mmap(NULL, files->sizes[i], PROT_READ, MAP_SHARED, fd, 0);
        assert_true(files->live[i] != MAP_FAILED);
        files->last[i] = calloc(1, files->sizes[i]);
        assert_non_null(files->last[i]);
        close(fd);
    }
    closedir(dir);
    assert_true(files->count >= 2); /* jobs and results */
}

static void files_fini(struct files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        munmap((void *)(uintptr_t)files->live[i], files->sizes[i]);
        free(files->last[i]);
    }
}

/* Since the last look. */
static bool files_changed(struct files *files)
{
    bool changed = false;

    for (size_t i = 0; i < files->count; i++) {
        if (memcmp(files->last[i], files->live[i], files->sizes[i]) == 0)
            continue;
        memcpy(files->last[i], files->live[i], files->sizes[i]);
        changed = true;
    }
    return changed;
}

static enum ptq_err submit_one(const struct victim *victim, ptq_pool *pool)
{
    if (victim->how == IN_PLACE)
        return submit_in_place(pool);
    if (victim->how == MARKER)
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

static bool is_at_call(pid_t pid, uint64_t address)
{
    return (ptrace(PTRACE_PEEKTEXT, pid, address, NULL) & 0xffff) == 0x050f; /* syscall */
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

static bool is_at_call(pid_t pid, uint64_t address)
{
    (void)pid, (void)address;
    return true;
}

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

/* The addresses of the instructions of a submit; how many.  Notable: only those before which something has changed. */
static long list_instructions(struct victim *victim, uint64_t *addresses, long most, bool notable)
{
    pid_t pid = start_victim(victim);
    bool is_behind_call = true; /* the first one is notable */
    struct files files = {0};
    long count = 0;

    if (notable)
        files_init(&files, victim->scratch);
    do {
        uint64_t address = where(pid);
        bool is_call = notable && is_at_call(pid, address), changed = files_changed(&files);
        addresses[count] = address;
        count += !notable || is_call || is_behind_call || changed;
        is_behind_call = is_call;
    } while (count < most && step(pid));
    ptt_kill(pid);
    files_fini(&files);
    return count;
}

static bool is_among(uint64_t address, const uint64_t *addresses, long count)
{
    for (long i = 0; i < count; i++)
        if (addresses[i] == address)
            return true;
    return false;
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

static void kill_everywhere(enum how how)
{
    struct pools pools;
    struct victim victim = {.how = how};
    unsigned before = 0, after = 0;

    pools_init(&pools, &(struct ptq_pool_options){.capacity = 16, .window = 8}, 0);
    victim.scratch = &pools.scratch;
    pools_spawn(&pools, 1);
    uint64_t next = pools_submit(&pools, "echo", "first") + 1;
    pools_expect(&pools, next - 1, "first");

    static uint64_t addresses[INSTRUCTIONS_MAX], notable[INSTRUCTIONS_MAX];
    long count = list_instructions(&victim, addresses, INSTRUCTIONS_MAX, false), stride = HAS_BREAKPOINTS ? 1 : count / 50;
    assert_in_range(count, 100, INSTRUCTIONS_MAX - 1);
    assert_int_equal(assert_no_hole(&pools, &next), 2);
    long notables = list_instructions(&victim, notable, INSTRUCTIONS_MAX, true);
    assert_in_range(notables, 10, count);
    assert_int_equal(assert_no_hole(&pools, &next), 2);
    unsigned through = 0, deaths = 0;
    for (long i = 0; i < count - 1; i += stride) {
        if (HAS_BREAKPOINTS && !all && !is_among(addresses[i], notable, notables))
            continue;
        deaths++;
        through += !kill_at(&victim, addresses, i);
        unsigned came = assert_no_hole(&pools, &next);
        assert_in_range(came, 1, 2);
        before += came == 1;
        after += came == 2;
    }
    print_message("submit of a %s: %ld instructions, killed at %u: %u times before it was in, %u times after (%u came through another "
                  "way)\n",
                  how == MARKER ? "marker" : how == IN_PLACE ? "job in place" : "job", count, deaths, before, after, through);
    assert_true(before > 0 && after > 0 && deaths >= 12);
    pools_fini(&pools);
}

static void a_submitter_killed_anywhere_leaves_no_hole(void **state)
{
    (void)state;
    kill_everywhere(BY_COPY);
}

static void a_submitter_of_markers_killed_anywhere_leaves_no_hole(void **state)
{
    (void)state;
    kill_everywhere(MARKER);
}

static void a_submitter_in_place_killed_anywhere_leaves_no_hole(void **state)
{
    (void)state;
    kill_everywhere(IN_PLACE);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_submitter_killed_anywhere_leaves_no_hole),
        cmocka_unit_test(a_submitter_of_markers_killed_anywhere_leaves_no_hole),
        cmocka_unit_test(a_submitter_in_place_killed_anywhere_leaves_no_hole),
    };
    pools_register();
    ptq_worker_main(argc, argv);
    all = argc > 1 && strcmp(argv[1], "all") == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
