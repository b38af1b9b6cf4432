/* test_allocations.c -- the n-th allocation of the library fails, for all n.
 *
 * malloc and its kin are wrapped by the linker, in this program's copy of the library; its own allocations count too, and are few.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults/scenario.h"
#include "support/ptt.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);

static long failing; /* 0: none; else the allocation that fails */
static long allocations;

static bool fails(void)
{
    if (++allocations != failing)
        return false;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size) { return fails() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t count, size_t size) { return fails() ? NULL : __real_calloc(count, size); }
void *__wrap_realloc(void *old, size_t size) { return fails() ? NULL : __real_realloc(old, size); }
void *__wrap_aligned_alloc(size_t alignment, size_t size) { return fails() ? NULL : __real_aligned_alloc(alignment, size); }
char *__wrap_strdup(const char *text) { return fails() ? NULL : __real_strdup(text); }

struct shared {
    struct scenario scenario;
    _Atomic long count;
};

/* In a child: a crash is a finding, and each begins with nothing allocated. */
static void run_failing(const char *dir, struct shared *s, long n)
{
    allocations = 0;
    failing = n;
    scenario_run(dir, &s->scenario);
    failing = 0;
    s->count = allocations;
    _exit(s->scenario.done ? 0 : 1);
}

static void any_allocation_may_fail(void **state)
{
    struct shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    long count = 1;
    int wrong = 0;

    (void)state;
    assert_true(s != MAP_FAILED);
    for (long n = 1; n <= count; n++) {
        struct ptt_scratch scratch;
        const char *finding;
        int status;
        pid_t pid;

        memset(s, 0, sizeof *s);
        ptt_scratch_init_dir(&scratch);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            run_failing(scratch.dir, s, n);
        status = ptt_reap(pid, PTT_LONG);
        count = s->count > count ? s->count : count;
        finding = status == 0 ? scenario_audit(scratch.dir, &s->scenario) : "it did not come to its end";
        if (finding && wrong++ < 10)
            print_error("allocation %ld: %s (%u errors, stuck %u, status 0x%x)\n", n, finding, s->scenario.errors,
                        s->scenario.stuck, (unsigned)status);
        ptt_scratch_fini(&scratch);
    }
    munmap(s, sizeof *s);
    print_message("%ld allocations failed, one at a time\n", count);
    assert_true(count > 10);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {cmocka_unit_test(any_allocation_may_fail)};

    return cmocka_run_group_tests(cases, NULL, NULL);
}
