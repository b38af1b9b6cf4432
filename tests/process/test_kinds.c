/* test_kinds.c -- ways to work: threads, plugins, processors, successors; and whoever works dies with the program that started it. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <ptq/worker.h>

#include "pools.h"

/* -- tasks ----------------------------------------------------------------------------------------------------- */

/* "<processors that it may use>:<the first of them>:<niceness>" */
static enum ptq_err tell_place(ptq_task *task, const void *data, size_t size)
{
    cpu_set_t set;
    char text[64];
    int first = 0;
    (void)data;
    (void)size;
    (void)sched_getaffinity(0, sizeof set, &set);
    while (first < CPU_SETSIZE && !CPU_ISSET(first, &set))
        first++;
    return ptq_task_result(task, text, (size_t)snprintf(text, sizeof text, "%d:%d:%d", CPU_COUNT(&set), first,
                                                        getpriority(PRIO_PROCESS, 0)));
}

static void get_text(struct pools *pools, char *text, size_t size)
{
    ptq_result *result = pools_get(pools);
    assert_answer(PTQ_OK, ptq_result_code(result));
    snprintf(text, size, "%.*s", (int)ptq_result_size(result), (const char *)ptq_result_data(result));
    assert_int_equal(ptq_result_tries(result), 1);
    assert_ok(ptq_result_done(result));
}

/* What a command wrote to either descriptor, each byte with the descriptor's number before it. */
struct heard {
    char text[200];
    size_t used;
    enum ptq_err answer;
};

static enum ptq_err hear(int fd, const void *data, size_t size, void *context)
{
    struct heard *heard = context;
    for (size_t i = 0; i < size && heard->used + 2 < sizeof heard->text; i++) {
        heard->text[heard->used++] = (char)('0' + fd);
        heard->text[heard->used++] = ((const char *)data)[i];
    }
    return heard->answer;
}

/* Data: a flag, and the command: 'h' hears both streams, 'f' refuses the first bytes, 'r' leaves them to the result, 't' has a limit of
 * 50 ms, 's' is stopped by a pipe whose other end is closed.  "<end> <what it heard>" */
static enum ptq_err command(ptq_task *task, const void *data, size_t size)
{
    char line[200], text[300];
    int pipe_ends[2];
    struct heard heard = {.answer = PTQ_OK};
    struct ptq_command_end end = {0};
    const char *flag = data;
    struct ptq_command what = {.line = line, .input = "in", .input_size = 2};

    snprintf(line, sizeof line, "%.*s", (int)size - 1, flag + 1);
    what.each = *flag != 'r' ? hear : NULL;
    what.context = &heard;
    what.timeout_ms = *flag == 't' ? 50 : 0;
    heard.answer = *flag == 'f' ? PTQ_ENOSPC : PTQ_OK;
    if (*flag == 's' && pipe(pipe_ends) == 0) {
        (void)close(pipe_ends[1]);
        what.stop_fd = pipe_ends[0];
    }
    enum ptq_err err = ptq_task_command(task, &what, &end);
    if (*flag == 's')
        (void)close(pipe_ends[0]);
    int length = snprintf(text, sizeof text, "%s%s%s%s%d %s", err != PTQ_OK ? ptq_err_name(err) : "", end.timed_out ? "late " : "",
                          end.stopped ? "stopped " : "", end.signaled ? "signal " : "", end.code, heard.text);
    return ptq_task_emit(task, text, (size_t)length);
}

static void a_task_runs_a_command_and_hears_both_of_its_streams(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, NULL, 0);
    pools_spawn(&pools, 1);
    uint64_t first = pools_submit(&pools, "command", "hcat; exit 3");
    pools_submit(&pools, "command", "hcat >&2; kill -9 $$");
    pools_submit(&pools, "command", "rcat");
    pools_submit(&pools, "command", "t(trap '' TERM; sleep 1000)");
    pools_submit(&pools, "command", "ssleep 1000");
    pools_submit(&pools, "command", "fcat");
    pools_expect(&pools, first, "3 1i1n");
    pools_expect(&pools, first + 1, "signal 9 2i2n");
    pools_expect(&pools, first + 2, "in0 ");
    pools_expect(&pools, first + 3, "late signal 15 ");
    pools_expect(&pools, first + 4, "stopped signal 15 ");
    pools_expect(&pools, first + 5, "PTQ_ENOSPC0 1i1n");
    pools_fini(&pools);
}

/* -- threads --------------------------------------------------------------------------------------------------- */

static bool shows_three(void *pool)
{
    struct ptq_worker_status workers[4];
    size_t count = 0;
    return ptq_pool_workers(pool, workers, 4, &count) == PTQ_OK && count == 3;
}

static void threads_of_this_process_work_and_end_with_the_pool(void **state)
{
    struct pools pools;
    struct ptt_traces before;
    struct ptq_worker_status workers[4];
    char text[32], own[32];
    size_t count;

    (void)state;
    pools_init(&pools, NULL, 0);
    ptt_traces_take(&before);
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 3, .threads = true, .name = "hand"}));
    uint64_t first = pools_submit(&pools, "pid", "");
    get_text(&pools, text, sizeof text);
    snprintf(own, sizeof own, "%d", (int)getpid());
    assert_string_equal(text, own);
    for (unsigned i = 1; i <= 20; i++)
        pools_submit(&pools, "echo", "x");
    pools_submit(&pools, "fail", "no");
    for (unsigned i = 1; i <= 20; i++)
        pools_expect(&pools, first + i, "x");
    pools_expect_error(&pools, first + 21, PTQ_EFAILED);
    assert_true(ptt_wait_until(shows_three, pools.pool, PTT_LONG)); /* the last of them may only just begin */
    assert_ok(ptq_pool_workers(pools.pool, workers, 4, &count));
    assert_int_equal(count, 3);
    assert_string_equal(workers[2].name, "hand-2");
    assert_int_equal(workers[2].pid, getpid());
    assert_true(ptq_pool_alive(pools.pool));
    struct ptq_pool_stats stats;
    assert_ok(ptq_pool_stats(pools.pool, &stats));
    assert_int_equal(stats.workers, 3);
    assert_ok(ptq_pool_stop(pools.pool));
    assert_ok(ptq_pool_join(pools.pool, PTT_LONG));
    assert_false(ptq_pool_alive(pools.pool));
    pools_expect_end(&pools);
    pools_fini(&pools);
}

static void closing_a_pool_ends_its_threads(void **state)
{
    struct pools pools;
    struct ptt_traces before;

    (void)state;
    ptt_traces_take(&before);
    pools_init(&pools, NULL, 0);
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 2, .threads = true}));
    pools_expect(&pools, pools_submit(&pools, "echo", "x"), "x");
    pools_fini(&pools);
    ptt_traces_assert_none_left(&before);
}

static bool has_none(void *pool)
{
    return !ptq_pool_alive(pool);
}

static bool are_so_few(void *threads)
{
    return ptt_count_threads() <= *(unsigned *)threads;
}

static int64_t own_cpu_ms(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

static void whoever_waits_sleeps_when_threads_have_left(void **state)
{
    struct pools pools;
    ptq_result *result;

    (void)state;
    pools_init(&pools, NULL, 0);
    unsigned threads = ptt_count_threads();
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 2, .threads = true}));
    pools_expect(&pools, pools_submit(&pools, "echo", "x"), "x");
    ptq_pool_leave(pools.pool);
    assert_true(ptt_wait_until(are_so_few, &threads, PTT_LONG)); /* and nobody has looked after them */
    pools_submit(&pools, "echo", "nobody's");
    int64_t before = own_cpu_ms();
    assert_answer(PTQ_TIMEDOUT, ptq_pool_get(pools.pool, 400, &result)); /* they were sent away: others may come */
    assert_in_range(own_cpu_ms() - before, 0, 60);
    pools_fini(&pools);
}

/* Wherever they are on their way to their first sleep. */
static void threads_that_are_sent_away_as_they_begin_leave(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        struct pools pools;
        pools_init(&pools, NULL, 0);
        unsigned threads = ptt_count_threads();
        assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 4, .threads = true}));
        for (unsigned spin = 0; spin < round * 500; spin++)
            __asm__ volatile("");
        ptq_pool_leave(pools.pool);
        if (!ptt_wait_until(are_so_few, &threads, PTT_LONG))
            fail_msg("round %u: a thread stays", round);
        pools_fini(&pools);
    }
}

static void threads_that_could_not_begin_are_told(void **state)
{
    struct pools pools;
    ptq_result *result;
    char text[300];

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.max_endpoints = 1}, 0);
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 2, .threads = true}));
    assert_true(ptt_wait_until(has_none, pools.pool, PTT_LONG));
    pools_submit(&pools, "echo", "x");
    assert_answer(PTQ_ENOWORKERS, ptq_pool_get(pools.pool, PTT_LONG, &result));
    ptt_assert_says(ptq_pool_explain(pools.pool, PTQ_ENOWORKERS, text, sizeof text), "threads");
    ptt_assert_says(text, ptq_strerror(PTQ_EAGAIN));
    assert_answer(PTQ_ENOWORKERS, ptq_pool_supervise(pools.pool, PTT_LONG));
    pools_fini(&pools);
}

/* In a process of its own, which gets no more descriptors of that kind. */
static int spawn_without_events(void *context)
{
    struct pools pools;
    struct ptq_error error = {0};
    struct stat before, after;

    (void)context;
    int quiet = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (quiet < 0 || dup2(quiet, 0) != 0 || fstat(0, &before) != 0)
        return 1;
    pools_init(&pools, NULL, 0);
    if (!ptt_deny(__NR_eventfd2, 0, EMFILE))
        return 2;
    unsigned threads = ptt_count_threads();
    enum ptq_err err = ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 2, .threads = true, .error = &error});
    if (err == PTQ_OK || error.code != err || ptt_count_threads() != threads || ptq_pool_alive(pools.pool))
        return 3;
    pools_fini(&pools);
    return fstat(0, &after) == 0 && after.st_ino == before.st_ino ? 0 : 4;
}

static void threads_that_cannot_be_had_leave_nothing_behind(void **state)
{
    (void)state;
    ptt_assert_exit(ptt_fork(spawn_without_events, NULL), 0, PTT_LONG);
}

static void threads_refuse_what_only_processes_can_do(void **state)
{
    struct pools pools;
    struct ptq_error error = {0};

    (void)state;
    pools_init(&pools, NULL, 0);
    assert_answer(PTQ_EINVAL, ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.threads = true, .exec = "cat", .error = &error}));
    ptt_assert_says(error.text, "not threads");
    assert_false(ptq_pool_alive(pools.pool));
    pools_fini(&pools);
}

/* -- plugins --------------------------------------------------------------------------------------------------- */

static void a_plugin_brings_its_tasks_to_the_workers(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, NULL, 0);
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 1, .plugin = PLUGIN}));
    uint64_t first = pools_submit(&pools, "twice", "ab");
    pools_submit(&pools, "refuse", "");
    pools_submit(&pools, NULL, "cd");
    pools_submit(&pools, "echo", "own"); /* the program's are there too */
    pools_submit(&pools, "unheard-of", "");
    pools_expect(&pools, first, "abab");
    pools_expect_error(&pools, first + 1, PTQ_EPERM);
    pools_expect(&pools, first + 2, "cdcd");
    pools_expect(&pools, first + 3, "own");
    pools_expect_error(&pools, first + 4, PTQ_ENOTASK);
    pools_fini(&pools);
}

static void a_plugin_that_is_none_is_told_as_such(void **state)
{
    struct pools pools;
    struct ptq_error error = {0};
    ptq_result *result;
    char text[600];

    (void)state;
    assert_answer(PTQ_EINVAL, ptq_task_load("/nonexistent.so", &error));
    ptt_assert_says(error.text, "cannot load the plugin '/nonexistent.so'");
    pools_init(&pools, NULL, 0);
    pools_submit(&pools, "echo", "x");
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 1, .crash_limit = 1, .plugin = "/nonexistent.so"}));
    assert_answer(PTQ_ENOWORKERS, ptq_pool_get(pools.pool, PTT_LONG, &result));
    ptt_assert_says(ptq_pool_explain(pools.pool, PTQ_ENOWORKERS, text, sizeof text), "cannot load the plugin");
    pools_fini(&pools);
}

/* -- processors ------------------------------------------------------------------------------------------------ */

static void workers_keep_to_their_processors_and_niceness(void **state)
{
    struct pools pools;
    struct ptq_error error = {0};
    cpu_set_t set;
    char text[64], wanted[64];
    int last = CPU_SETSIZE - 1, nice_now = getpriority(PRIO_PROCESS, 0);

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    while (!CPU_ISSET(last, &set))
        last--;
    pools_init(&pools, NULL, 0);
    snprintf(text, sizeof text, "%d", last);
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 1, .cpu_list = text, .nice = 2}));
    pools_submit(&pools, "place", "");
    get_text(&pools, text, sizeof text);
    snprintf(wanted, sizeof wanted, "1:%d:%d", last, nice_now + 2);
    assert_string_equal(text, wanted);
    assert_answer(PTQ_EINVAL, ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.cpu_list = "one", .error = &error}));
    ptt_assert_says(error.text, "no list of processors");
    assert_answer(PTQ_EINVAL, ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.cpu_list = "1020", .error = &error}));
    ptt_assert_says(error.text, "may be used");
    pools_fini(&pools);

    pools_init(&pools, NULL, 0);
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 1, .cpus = PTQ_CPUS_SPREAD}));
    pools_submit(&pools, "place", "");
    get_text(&pools, text, sizeof text);
    assert_true(strncmp(text, "1:", 2) == 0); /* one, of all that there are */
    pools_fini(&pools);
}

/* -- successors ------------------------------------------------------------------------------------------------ */

static void count_processes(struct pools *pools, unsigned jobs, unsigned most, unsigned wanted)
{
    char before[32] = "", text[32];
    unsigned same = 0, processes = 0;
    for (unsigned i = 0; i < jobs; i++) {
        pools_submit(pools, "pid", "");
        get_text(pools, text, sizeof text);
        same = strcmp(text, before) == 0 ? same + 1 : 1;
        processes += same == 1;
        assert_true(same <= most);
        snprintf(before, sizeof before, "%s", text);
    }
    assert_int_equal(processes, wanted);
}

static void a_worker_leaves_to_a_successor_after_so_many_jobs(void **state)
{
    struct pools pools;
    struct ptq_pool_stats stats;

    (void)state;
    pools_init(&pools, NULL, 0);
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 1, .recycle_jobs = 3, .crash_limit = 1}));
    count_processes(&pools, 10, 3, 4);
    assert_ok(ptq_pool_stats(pools.pool, &stats));
    assert_int_equal(stats.deaths, 0);
    assert_int_equal(stats.retried, 0);
    pools_fini(&pools);
}

static void a_worker_leaves_to_a_successor_when_it_has_grown(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, NULL, 0);
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 1, .recycle_bytes = 1}));
    count_processes(&pools, 3, 1, 3);
    pools_fini(&pools);
    pools_init(&pools, NULL, 0);
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 1, .recycle_bytes = UINT64_C(1) << 40}));
    count_processes(&pools, 3, 3, 1);
    pools_fini(&pools);
}

static void successors_hold_up_nobody(void **state)
{
    struct pools pools;

    (void)state;
    pools_init(&pools, &(struct ptq_pool_options){.window = 100}, 0);
    assert_ok(ptq_pool_spawn(pools.pool, &(struct ptq_spawn_options){.count = 2, .recycle_jobs = 2}));
    pools_pass_by(&pools, "gate", 20); /* by the other, again and again a new one */
    assert_ok(ptq_pool_stop(pools.pool));
    assert_ok(ptq_pool_join(pools.pool, PTT_LONG));
    pools_fini(&pools);
}

/* -- the parent's end ------------------------------------------------------------------------------------------ */

struct family {
    struct ptt_scratch *scratch;
    struct ptt_page *page;
    bool in_thread;
};

static bool is_gone(void *context)
{
    char path[64], line[400] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)*(uint64_t *)context);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return true;
    if (fgets(line, sizeof line, file) == NULL)
        line[0] = 0;
    fclose(file);
    const char *state = strrchr(line, ')');
    return state == NULL || state[2] == 'Z' || state[2] == 'X';
}

static void *spawn_one(void *pool)
{
    return ptq_pool_spawn(pool, &(struct ptq_spawn_options){.count = 1, .no_status = true}) == PTQ_OK ? pool : NULL;
}

/* Spawns one worker, and stays: word 0 is the worker's pid. */
static int be_parent(void *context)
{
    struct family *family = context;
    ptq_pool *pool;
    pthread_t thread;
    void *answer = NULL;
    int64_t pid = 0;
    if (ptq_pool_open(ptt_scratch_open(family->scratch), "pool", &(struct ptq_pool_options){.mode = PTQ_ATTACH}, &pool) != PTQ_OK)
        return 1;
    if (!family->in_thread)
        answer = spawn_one(pool);
    else if (pthread_create(&thread, NULL, spawn_one, pool) != 0 || pthread_join(thread, &answer) != 0)
        return 2;
    if (answer == NULL || ptq_pool_worker_pids(pool, &pid, 1) != 1)
        return 3;
    atomic_store(&family->page->words[0], (uint64_t)pid);
    for (;;)
        pause();
}

static void a_worker_outlives_the_thread_that_spawned_it_and_dies_with_its_process(void **state)
{
    struct pools pools;
    struct family family = {&pools.scratch, ptt_page_new(), true};

    (void)state;
    pools_init(&pools, NULL, 0);
    pid_t parent = ptt_fork(be_parent, &family);
    assert_true(ptt_wait_word(&family.page->words[0], 1, PTT_LONG));
    uint64_t worker = atomic_load(&family.page->words[0]);
    pools_expect(&pools, pools_submit(&pools, "echo", "x"), "x"); /* the thread is gone */
    assert_false(is_gone(&worker));
    ptt_kill(parent);
    assert_true(ptt_wait_until(is_gone, &worker, PTT_LONG));
    ptt_page_free(family.page);
    pools_fini(&pools);
}

/* The worker is held before its main, in a constructor of this program. */
static void a_parent_killed_before_its_worker_is_in_main_takes_it_along(void **state)
{
    (void)state;
    for (unsigned in_thread = 0; in_thread < 2; in_thread++) {
        struct pools pools;
        struct family family = {&pools.scratch, ptt_page_new(), in_thread != 0};
        char path[100];

        pools_init(&pools, NULL, 0);
        snprintf(path, sizeof path, "%s/hold", pools.scratch.dir);
        FILE *hold = fopen(path, "we");
        assert_non_null(hold);
        fclose(hold);
        setenv("POOLS_HOLD", path, 1);
        pid_t parent = ptt_fork(be_parent, &family);
        assert_true(ptt_wait_word(&family.page->words[0], 1, PTT_LONG));
        unsetenv("POOLS_HOLD");
        uint64_t worker = atomic_load(&family.page->words[0]);
        assert_false(is_gone(&worker));
        ptt_kill(parent);
        assert_int_equal(unlink(path), 0); /* now it may go on, if it still can */
        assert_true(ptt_wait_until(is_gone, &worker, PTT_LONG));
        struct ptq_pool_stats stats;
        assert_ok(ptq_pool_stats(pools.pool, &stats));
        assert_int_equal(stats.running, 0);
        ptt_page_free(family.page);
        pools_fini(&pools);
    }
}

__attribute__((constructor)) static void wait_before_main(int argc, char **argv)
{
    const char *path = getenv("POOLS_HOLD");
    if (path == NULL || argc < 2 || strcmp(argv[1], "--ptq-worker") != 0)
        return;
    for (int i = 0; i < PTT_LONG && access(path, F_OK) == 0; i++)
        (void)usleep(1000);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_runs_a_command_and_hears_both_of_its_streams),
        cmocka_unit_test(threads_of_this_process_work_and_end_with_the_pool),
        cmocka_unit_test(closing_a_pool_ends_its_threads),
        cmocka_unit_test(whoever_waits_sleeps_when_threads_have_left),
        cmocka_unit_test(threads_that_are_sent_away_as_they_begin_leave),
        cmocka_unit_test(threads_that_could_not_begin_are_told),
        cmocka_unit_test(threads_that_cannot_be_had_leave_nothing_behind),
        cmocka_unit_test(threads_refuse_what_only_processes_can_do),
        cmocka_unit_test(a_plugin_brings_its_tasks_to_the_workers),
        cmocka_unit_test(a_plugin_that_is_none_is_told_as_such),
        cmocka_unit_test(workers_keep_to_their_processors_and_niceness),
        cmocka_unit_test(a_worker_leaves_to_a_successor_after_so_many_jobs),
        cmocka_unit_test(a_worker_leaves_to_a_successor_when_it_has_grown),
        cmocka_unit_test(successors_hold_up_nobody),
        cmocka_unit_test(a_worker_outlives_the_thread_that_spawned_it_and_dies_with_its_process),
        cmocka_unit_test(a_parent_killed_before_its_worker_is_in_main_takes_it_along),
    };
    pools_register();
    if (ptq_task_register("place", tell_place, NULL) != PTQ_OK || ptq_task_register("command", command, NULL) != PTQ_OK)
        return 1;
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
