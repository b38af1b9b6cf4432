/* test_error.c -- what an error tells of the task that failed, or of the workers that died. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "pools.h"

/* -- tasks ----------------------------------------------------------------------------------------------------- */

static enum ptq_err no_file(ptq_task *task, const void *data, size_t size)
{
    (void)data;
    (void)size;
    if (open("/nonexistent", O_RDONLY | O_CLOEXEC) < 0)
        return ptq_task_fail(task, PTQ_ENOENT, "cannot open the index: %m");
    return PTQ_OK;
}

static enum ptq_err answer_only(ptq_task *task, const void *data, size_t size)
{
    (void)task;
    (void)data;
    (void)size;
    return PTQ_EPERM;
}

/* The instruction itself is to fail, no check before it. */
__attribute__((no_sanitize("undefined"))) static enum ptq_err crash(ptq_task *task, const void *data, size_t size)
{
    volatile int *nowhere = NULL;
    (void)task;
    (void)data;
    (void)size;
    *nowhere = 1;
    return PTQ_OK;
}

static enum ptq_err abort_it(ptq_task *task, const void *data, size_t size)
{
    (void)task;
    (void)data;
    (void)size;
    abort();
}

static volatile unsigned depth_most = 100000000; /* without end, but the compiler cannot know */

static unsigned dig(unsigned depth)
{
    volatile char room[4096];
    room[0] = (char)depth;
    return depth < depth_most ? dig(depth + 1) + (unsigned)room[0] : 0;
}

static enum ptq_err overflow(ptq_task *task, const void *data, size_t size)
{
    (void)data;
    (void)size;
    return dig(0) == 0 ? PTQ_OK : ptq_task_fail(task, PTQ_EFAILED, "impossible");
}

/* A file that is mapped, and then is shorter. */
static enum ptq_err bus_error(ptq_task *task, const void *data, size_t size)
{
    int fd = memfd_create("cut", MFD_CLOEXEC);
    (void)data;
    (void)size;
    if (fd < 0 || ftruncate(fd, 4096) != 0)
        return ptq_task_fail(task, PTQ_ESYS, "no file: %m");
    volatile int *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED || ftruncate(fd, 0) != 0)
        return ptq_task_fail(task, PTQ_ESYS, "no mapping: %m");
    *map = 1;
    return PTQ_OK;
}

static enum ptq_err leave_early(ptq_task *task, const void *data, size_t size)
{
    (void)task;
    (void)data;
    (void)size;
    _exit(3);
}

/* -- cases ----------------------------------------------------------------------------------------------------- */

static ptq_result *get_error(struct pools *pools, const char *task, enum ptq_err code)
{
    pools_submit(pools, task, "");
    ptq_result *result = pools_get(pools);
    assert_int_equal(ptq_result_kind(result), PTQ_RESULT_ERROR);
    assert_answer(code, ptq_result_code(result));
    assert_string_equal(ptq_result_task(result), task);
    assert_int_equal(ptq_result_size(result), 0);
    return result;
}

static void a_failure_tells_task_section_errno_and_where(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    ptq_result *result = get_error(&pools, "no-file", PTQ_ENOENT);
    ptt_assert_says(ptq_result_text(result), "cannot open the index: No such file");
    assert_string_equal(ptq_result_section(result), "run");
    assert_int_equal(ptq_result_errno(result), ENOENT);
    assert_int_equal(ptq_result_signal(result), 0);
    ptt_assert_says(ptq_result_backtrace(result), "pool_error");
    assert_ok(ptq_result_done(result));

    result = get_error(&pools, "answer", PTQ_EPERM);
    ptt_assert_says(ptq_result_text(result), "task 'answer' answered PTQ_EPERM");
    assert_int_equal(ptq_result_errno(result), 0); /* not what the one before had left */
    assert_ok(ptq_result_done(result));
    pools_submit(&pools, "echo", "x");
    result = pools_get(&pools);
    assert_string_equal(ptq_result_task(result), "");
    assert_string_equal(ptq_result_backtrace(result), "");
    assert_string_equal(ptq_result_section(result), "");
    assert_ok(ptq_result_done(result));
    pools_fini(&pools);
}

static void a_trace_is_cut_where_results_are_small(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.result_size = 1}, 0);
    pools_spawn(&pools, 1);
    ptq_result *result = get_error(&pools, "no-file", PTQ_ENOENT);
    assert_true(strlen(ptq_result_backtrace(result)) < 700);
    assert_ok(ptq_result_done(result));
    pools_fini(&pools);
}

/* The task runs `lives` times, and each time its worker dies of it. */
static void a_crash_tells_its_signal_how_often_and_where(void **state)
{
    static const struct {
        const char *task;
        int signal;
        const char *text;
    } cases[] = {{"crash", SIGSEGV, "signal 11 (Segmentation fault)"}, {"abort", SIGABRT, "signal 6 (Aborted)"},
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
                 {"overflow", SIGSEGV, "signal 11 (Segmentation fault)"},
#endif
                 {NULL, 0, NULL}};
    struct pools pools;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.lives = 2}, 0);
    pools_spawn(&pools, 1);
    for (size_t i = 0; cases[i].task != NULL; i++) {
        ptq_result *result = get_error(&pools, cases[i].task, PTQ_EDIED);
        ptt_assert_says(ptq_result_text(result), "2 workers died while doing this job");
        ptt_assert_says(ptq_result_text(result), cases[i].text);
        ptt_assert_says(ptq_result_text(result), " ms");
        assert_string_equal(ptq_result_section(result), "death");
        assert_int_equal(ptq_result_signal(result), cases[i].signal);
        ptt_assert_says(ptq_result_backtrace(result), "pool_error");
        assert_ok(ptq_result_done(result));
    }
    pools_fini(&pools);
}

/* There two handlers of ours stand one behind the other. */
static void a_bus_error_is_a_crash_also_where_segments_are_guarded(void **state)
{
    struct pools pools;

    (void)state;
    assert_int_equal(setenv("PTQ_GUARD", "1", 1), 0);
    for (unsigned i = 0; i < 2; i++) {
        pools_init(&pools, &(struct ptq_pool_options){.lives = 1}, 0);
        pools_spawn(&pools, 1);
        ptq_result *result = get_error(&pools, "bus", PTQ_EDIED);
        ptt_assert_says(ptq_result_text(result), "signal 7 (Bus error)");
        assert_int_equal(ptq_result_signal(result), SIGBUS);
        ptt_assert_says(ptq_result_backtrace(result), "pool_error");
        assert_ok(ptq_result_done(result));
        pools_fini(&pools);
        assert_int_equal(unsetenv("PTQ_GUARD"), 0);
    }
}

static void an_end_without_last_words_is_told_by_the_parent(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.lives = 1}, 0);
    pools_spawn(&pools, 1);
    ptq_result *result = get_error(&pools, "die", PTQ_EDIED);
    ptt_assert_says(ptq_result_text(result), "1 worker died while doing this job, the last by signal 9 (Killed)");
    assert_int_equal(ptq_result_signal(result), SIGKILL);
    assert_string_equal(ptq_result_backtrace(result), "");
    assert_ok(ptq_result_done(result));
    result = get_error(&pools, "leave", PTQ_EDIED);
    ptt_assert_says(ptq_result_text(result), "the last by exit status 3");
    assert_int_equal(ptq_result_signal(result), 0);
    assert_ok(ptq_result_done(result));
    pools_fini(&pools);
}

static void a_commands_signal_is_told(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, NULL, 0);
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 1, .exec = "kill -TERM $$"}));
    assert_ok(ptq_pool_submit(pools.pool, NULL, "", 0, PTT_LONG, NULL));
    ptq_result *result = pools_get(&pools);
    assert_answer(PTQ_EFAILED, ptq_result_code(result));
    assert_string_equal(ptq_result_section(result), "command");
    assert_int_equal(ptq_result_signal(result), SIGTERM);
    assert_ok(ptq_result_done(result));
    pools_fini(&pools);
}

static void a_task_that_nobody_knows_is_told_as_such(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    if (ptq_task_register("later", answer_only, NULL) != PTQ_OK) /* here, and not in the worker */
        abort();
    ptq_result *result = get_error(&pools, "later", PTQ_ENOTASK);
    assert_string_equal(ptq_result_section(result), "find");
    assert_ok(ptq_result_done(result));
    pools_fini(&pools);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_tells_task_section_errno_and_where),
        cmocka_unit_test(a_trace_is_cut_where_results_are_small),
        cmocka_unit_test(a_crash_tells_its_signal_how_often_and_where),
        cmocka_unit_test(a_bus_error_is_a_crash_also_where_segments_are_guarded),
        cmocka_unit_test(an_end_without_last_words_is_told_by_the_parent),
        cmocka_unit_test(a_commands_signal_is_told),
        cmocka_unit_test(a_task_that_nobody_knows_is_told_as_such), /* last: it adds a task */
    };
    static const struct pools_task tasks[] = {{"no-file", no_file}, {"answer", answer_only}, {"crash", crash}, {"abort", abort_it}, {"overflow", overflow},
                 {"leave", leave_early}, {"bus", bus_error}};
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    pools_register();
    pools_register_tasks(tasks, sizeof tasks / sizeof tasks[0]);
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
