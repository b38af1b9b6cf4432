/* test_cycle.c -- the life of a supervised process: sections, runs, stop, lives, deaths, limits, results and errors. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "scripted.h"
#include "support/ptt.h"

#define OPTIONS(...) (&(struct ptq_process_options){__VA_ARGS__})

static enum ptq_err say_nothing(ptq_self *self, void *user)
{
    (void)self;
    (void)user;
    return PTQ_OK;
}

/* -- sections and runs ---------------------------------------------------------------------------------------- */

static void sections_run_in_their_order(void **state)
{
    (void)state;
    assert_life("all", OPTIONS(.runs = 2), "", PTQ_OK, "s p1 r1 o1 p2 r2 o2 f R");
}

static void run_is_the_only_hook_that_is_needed(void **state)
{
    struct ptq_process_hooks none = {0};
    (void)state;
    assert_life("run", OPTIONS(.runs = 3), "", PTQ_OK, "r1 r2 r3");
    assert_answer(PTQ_EINVAL, ptq_process_register("nothing", &none, NULL));
}

/* The truth table of going on: stop, then runs, then join_in; asked before each run, and stop also between sections. */
static void stop_runs_and_join_in_are_asked_in_this_order(void **state)
{
    (void)state;
    assert_life("all", OPTIONS(.runs = PTQ_NO_RUNS), "", PTQ_OK, "s f R");
    assert_life("all", OPTIONS(.runs = 1), "", PTQ_OK, "s p1 r1 o1 f R");
    assert_life("all", OPTIONS(.runs = 5), "s=stop", PTQ_OK, "s f R");
    assert_life("all", OPTIONS(.runs = 5), "p1=stop", PTQ_OK, "s p1 f R");
    assert_life("all", OPTIONS(.runs = 5), "r2=stop", PTQ_OK, "s p1 r1 o1 p2 r2 f R");
    assert_life("all", OPTIONS(.runs = 5), "o2=stop", PTQ_OK, "s p1 r1 o1 p2 r2 o2 f R");
    assert_life("all", OPTIONS(.join_in_ms = 100), "r1=nap", PTQ_OK, "s p1 r1 o1 f R"); /* the run it is in is finished */
    assert_life("all", OPTIONS(.runs = 2, .join_in_ms = 100000), "", PTQ_OK, "s p1 r1 o1 p2 r2 o2 f R");
}

static void a_run_that_a_stop_cuts_short_is_not_counted(void **state)
{
    struct life life;

    (void)state;
    scripted_start(&life, "all", OPTIONS(.runs = 5), "r2=stop");
    scripted_end(&life);
    assert_int_equal(life.status.runs, 1);
    scripted_fini(&life);

    scripted_start(&life, "run", OPTIONS(.runs = 5), "r2=stop"); /* nothing of it was left out */
    scripted_end(&life);
    assert_int_equal(life.status.runs, 2);
    scripted_fini(&life);
}

static void an_interrupted_section_of_a_stopping_process_has_not_failed(void **state)
{
    (void)state;
    assert_life("all", OPTIONS(.runs = 5), "r2=eintr", PTQ_OK, "s p1 r1 o1 p2 r2 f R");
}

static void a_stop_from_the_parent_ends_the_section_and_then_finishes(void **state)
{
    struct life life;

    (void)state;
    scripted_start(&life, "all", OPTIONS(.lives = 1), "r2=freeze");
    scripted_wait_frozen(&life);
    assert_ok(ptq_process_stop(life.process));
    assert_ok(ptq_process_status(life.process, &life.status));
    kill((pid_t)life.status.pid, SIGCONT);
    scripted_end(&life);

    assert_answer(PTQ_OK, life.answer);
    assert_string_equal(life.log, "s p1 r1 o1 p2 r2 f R");
    assert_true(life.status.stopping && life.status.state == PTQ_PROCESS_ENDED && !life.status.alive);
    scripted_fini(&life);
}

/* -- lives ---------------------------------------------------------------------------------------------------- */

static void a_failure_costs_a_life_and_the_same_run_begins_again_at_prerun(void **state)
{
    (void)state;
    assert_life("all", OPTIONS(.runs = 2, .lives = 2), "r2=fail", PTQ_OK, "s p1 r1 o1 p2 r2 p2 r2 o2 f R");
    assert_life("all", OPTIONS(.runs = 1, .lives = 4), "p1=fail r1=bare o1=fail", PTQ_OK, "s p1 p1 r1 p1 r1 o1 p1 r1 o1 f R");
}

static void the_last_life_ends_with_the_error_hook(void **state)
{
    struct life life;

    (void)state;
    scripted_start(&life, "all", OPTIONS(.runs = 3, .lives = 2), "r2=fail*9");
    scripted_end(&life);

    assert_answer(PTQ_EFAILED, life.answer);
    assert_string_equal(life.log, "s p1 r1 o1 p2 r2 p2 r2 e"); /* what the hook gave comes with the error */
    assert_int_equal(life.error.code, PTQ_EFAILED);
    assert_int_equal(life.error.section, PTQ_SECTION_RUN);
    assert_int_equal(life.error.run, 2);
    assert_int_equal(life.error.cause, PTQ_EPERM);
    assert_string_equal(life.error.text, "error in run on run 2: as the script says");
    assert_int_equal(life.error.second, PTQ_OK);
    assert_int_equal(life.status.lives, 0);
    scripted_fini(&life);
}

static void a_failure_without_words_is_said_in_the_words_of_its_answer(void **state)
{
    struct life life;

    (void)state;
    scripted_start(&life, "all", NULL, "p1=bare");
    scripted_end(&life);
    assert_int_equal(life.error.cause, PTQ_EBUSY);
    ptt_assert_says(life.error.text, "error in prerun on run 1: ");
    ptt_assert_says(life.error.text, ptq_strerror(PTQ_EBUSY));
    scripted_fini(&life);
}

static void an_error_hook_that_fails_leaves_the_first_error_and_tells_both(void **state)
{
    struct life life;

    (void)state;
    scripted_start(&life, "all", NULL, "r1=bare e=fail");
    scripted_end(&life);
    assert_answer(PTQ_EFAILED, life.answer);
    assert_int_equal(life.error.cause, PTQ_EBUSY);
    assert_int_equal(life.error.second, PTQ_EPERM);
    ptt_assert_says(life.error.second_text, "error in error: as the script says");
    scripted_fini(&life);
}

static void a_failed_start_onfinish_or_result_costs_a_life_too(void **state)
{
    (void)state;
    assert_life("all", OPTIONS(.runs = 1, .lives = 2), "s=fail", PTQ_OK, "s s p1 r1 o1 f R");
    assert_life("all", OPTIONS(.runs = 1, .lives = 2), "f=fail", PTQ_OK, "s p1 r1 o1 f f R");
    assert_life("all", OPTIONS(.runs = 1, .lives = 2), "R=fail", PTQ_OK, "s p1 r1 o1 f R f R");
    assert_life("all", OPTIONS(.runs = 1), "R=fail", PTQ_EFAILED, "s p1 r1 o1 f R e");
}

static void an_error_of_an_earlier_life_is_told_beside_the_result(void **state)
{
    struct life life;

    (void)state;
    scripted_start(&life, "all", OPTIONS(.runs = 1, .lives = 2), "r1=fail");
    scripted_end(&life);
    assert_answer(PTQ_OK, life.answer);
    assert_int_equal(life.error.code, PTQ_EFAILED);
    assert_int_equal(life.status.lives, 1);
    assert_int_equal(life.status.restarts, 0);
    scripted_fini(&life);
}

/* -- deaths --------------------------------------------------------------------------------------------------- */

/* The original restarts nothing that was killed, for all its "crash and restart". */
static void a_killed_process_is_started_again_with_its_checkpoint(void **state)
{
    (void)state;
    assert_life("all", OPTIONS(.runs = 2, .lives = 3), "r2=kill*2", PTQ_OK, "s p1 r1 o1 p2 r2 s p2 r2 s p2 r2 o2 f R");
    assert_life("all", OPTIONS(.runs = 1, .lives = 3), "r1=segv o1=exit", PTQ_OK, "s p1 r1 s p1 r1 o1 s p1 r1 o1 f R");
    assert_life("all", OPTIONS(.runs = 1, .lives = 3), "s=kill R=kill", PTQ_OK, "s s p1 r1 o1 f R s f R");
}

static void the_last_death_is_told_with_its_signal_and_the_error_hook_still_runs(void **state)
{
    struct life life;

    (void)state;
    scripted_start(&life, "all", OPTIONS(.runs = 1, .lives = 2), "r1=segv*9");
    scripted_end(&life);
    assert_answer(PTQ_EDIED, life.answer);
    assert_string_equal(life.log, "s p1 r1 s p1 r1 e");
    assert_int_equal(life.error.code, PTQ_EDIED);
    assert_int_equal(life.error.section, PTQ_SECTION_RUN);
    assert_int_equal(life.error.run, 1);
    ptt_assert_says(life.error.text, "signal 11");
    assert_int_equal(life.status.deaths, 2);
    scripted_fini(&life);

    scripted_start(&life, "unheard", NULL, "r1=segv");
    scripted_end(&life);
    assert_answer(PTQ_EDIED, life.answer);
    assert_true(life.status.exited);
    assert_int_equal(life.status.signal, SIGSEGV);
    assert_int_equal(life.status.exit_code, -1);
    assert_int_equal(life.status.restarts, 1);
    assert_true(life.status.max_resident_bytes > 100000);
    scripted_fini(&life);

    scripted_start(&life, "unheard", NULL, "o1=exit");
    scripted_end(&life);
    assert_answer(PTQ_EDIED, life.answer);
    assert_int_equal(life.status.exit_code, 3);
    assert_int_equal(life.status.signal, 0);
    ptt_assert_says(life.error.text, "exit status 3");
    scripted_fini(&life);
}

static void an_error_hook_that_dies_is_told_beside_the_first_error(void **state)
{
    struct life life;

    (void)state;
    scripted_start(&life, "all", NULL, "r1=bare e=kill");
    scripted_end(&life);
    assert_answer(PTQ_EFAILED, life.answer);
    assert_int_equal(life.error.cause, PTQ_EBUSY);
    assert_int_equal(life.error.second, PTQ_EDIED);
    scripted_fini(&life);
}

static void a_crash_loop_is_given_up_whatever_its_lives(void **state)
{
    struct life life;

    (void)state;
    scripted_start(&life, "unheard", OPTIONS(.runs = 1, .lives = PTQ_LIVES_MANY, .crash_limit = 4, .pause_max_ms = 2), "r1=kill*99");
    scripted_end(&life);
    assert_answer(PTQ_EDIED, life.answer);
    assert_int_equal(life.status.deaths, 4);
    scripted_fini(&life);
}

static void runs_done_between_deaths_end_no_crash_loop(void **state)
{
    (void)state;
    assert_life("unheard", OPTIONS(.runs = 4, .lives = 9, .crash_limit = 2), "p1=kill p2=kill p3=kill p4=kill", PTQ_OK,
                "s p1 s p1 r1 o1 p2 s p2 r2 o2 p3 s p3 r3 o3 p4 s p4 r4 o4 f R");
}

/* -- limits --------------------------------------------------------------------------------------------------- */

/* The original's SIGALRM rounds 0.1 s up to a whole second. */
static void a_limit_of_20_ms_is_20_ms(void **state)
{
    struct life life;
    struct ptq_timer timer;

    (void)state;
    scripted_start(&life, "unheard", OPTIONS(.runs = 1, .timeout_ms = {[PTQ_SECTION_RUN] = 20}), "r1=wait");
    scripted_end(&life);
    assert_answer(PTQ_EFAILED, life.answer);
    assert_int_equal(life.error.code, PTQ_TIMEDOUT);
    assert_int_equal(life.error.timeout_ms, 20);
    assert_int_equal(life.error.section, PTQ_SECTION_RUN);
    ptt_assert_says(life.error.text, "timeout in run after 20 ms on run 1");
    assert_true(life.status.user_s + life.status.system_s < 0.9); /* it worked all the time until it was cancelled */
    assert_ok(ptq_process_timer(life.process, PTQ_SECTION_RUN, &timer));
    assert_int_equal(timer.count, 0);
    scripted_fini(&life);
}

static void a_timeout_costs_a_life(void **state)
{
    (void)state;
    assert_life("all", OPTIONS(.runs = 1, .lives = 2, .grace_ms = 1000, .timeout_ms = {[PTQ_SECTION_RUN] = 20}), "r1=wait", PTQ_OK,
                "s p1 r1 p1 r1 o1 f R");
    assert_life("all", OPTIONS(.runs = 1, .lives = 2, .grace_ms = 1000, .timeout_ms = {[PTQ_SECTION_POSTRUN] = 10}), "o1=sleep", PTQ_OK,
                "s p1 r1 o1 p1 r1 o1 f R");
}

static void who_heeds_no_limit_is_killed_and_started_again(void **state)
{
    struct life life;

    (void)state;
    assert_life("all", OPTIONS(.runs = 1, .lives = 2, .grace_ms = 50, .timeout_ms = {[PTQ_SECTION_RUN] = 50}), "r1=hang", PTQ_OK,
                "s p1 r1 s p1 r1 o1 f R");
    scripted_start(&life, "unheard", OPTIONS(.runs = 1, .grace_ms = 5, .timeout_ms = {[PTQ_SECTION_ONFINISH] = 5}), "f=hang");
    scripted_end(&life);
    assert_answer(PTQ_EFAILED, life.answer);
    assert_int_equal(life.error.code, PTQ_TIMEDOUT);
    assert_int_equal(life.error.section, PTQ_SECTION_ONFINISH);
    assert_int_equal(life.error.timeout_ms, 5);
    scripted_fini(&life);
}

static void a_stopped_process_is_killed_at_its_limit_and_started_again(void **state)
{
    (void)state;
    assert_life("all", OPTIONS(.runs = 1, .lives = 2, .grace_ms = 50, .timeout_ms = {[PTQ_SECTION_RUN] = 50}), "r1=freeze", PTQ_OK,
                "s p1 r1 s p1 r1 o1 f R");
}

/* -- the parent's calls --------------------------------------------------------------------------------------- */

static void kill_ends_it_whatever_its_lives(void **state)
{
    struct life life;

    (void)state;
    scripted_start(&life, "all", OPTIONS(.lives = 9), "r1=hang");
    scripted_wait_for(&life, PTQ_SECTION_RUN);
    assert_ok(ptq_process_kill(life.process, PTT_LONG)); /* SIGTERM is enough */
    scripted_end(&life);
    assert_answer(PTQ_EABORTED, life.answer);
    assert_int_equal(life.error.code, PTQ_EABORTED);
    assert_int_equal(life.status.signal, SIGTERM);
    assert_int_equal(life.status.state, PTQ_PROCESS_ENDED);
    scripted_fini(&life);
}

static void kill_does_not_wait_for_one_that_is_stopped(void **state)
{
    struct life life;

    (void)state;
    scripted_start(&life, "all", NULL, "r1=freeze");
    scripted_wait_frozen(&life);
    assert_ok(ptq_process_kill(life.process, 10));
    scripted_end(&life);
    assert_answer(PTQ_EABORTED, life.answer);
    scripted_fini(&life);
}

static void a_kill_in_a_pause_is_a_kill(void **state)
{
    struct life life;

    (void)state;
    scripted_start(&life, "all", OPTIONS(.lives = 2, .pause_ms = 60000, .pause_max_ms = 60000), "r1=kill");
    do
        assert_ok(ptq_process_status(life.process, &life.status));
    while (life.status.state != PTQ_PROCESS_PAUSED);
    assert_ok(ptq_process_kill(life.process, 0));
    scripted_end(&life);
    assert_answer(PTQ_EABORTED, life.answer);
    assert_int_equal(life.error.code, PTQ_EABORTED);
    assert_false(life.status.alive);
    scripted_fini(&life);
}

/* With the original a result that nobody fetches keeps the process from ending. */
static void a_large_result_that_nobody_reads_holds_up_no_end(void **state)
{
    struct life life;
    struct ptq_process_status status;

    (void)state;
    scripted_start(&life, "all", OPTIONS(.runs = 1, .result_size = 8 << 20), "");
    assert_answer(PTQ_OK, ptq_process_wait(life.process, PTT_LONG));
    assert_ok(ptq_process_status(life.process, &status));
    assert_int_equal(status.state, PTQ_PROCESS_ENDED);
    assert_int_equal(status.exit_code, 0);
    scripted_end(&life); /* and is there afterwards, and again */
    scripted_end(&life);
    assert_string_equal(life.log, "s p1 r1 o1 f R");
    scripted_fini(&life);
}

static void calls_before_the_start_say_so(void **state)
{
    ptq_process *process;
    struct ptq_process_status status;
    size_t size;
    char byte;
    int fd;

    (void)state;
    assert_ok(ptq_process_new(NULL, "all", NULL, &process));
    assert_answer(PTQ_ENOTSTARTED, ptq_process_wait(process, PTQ_NOWAIT));
    assert_answer(PTQ_ENOTSTARTED, ptq_process_result(process, PTQ_NOWAIT, NULL, NULL));
    assert_answer(PTQ_ENOTSTARTED, ptq_process_stop(process));
    assert_answer(PTQ_ENOTSTARTED, ptq_process_kill(process, 0));
    assert_answer(PTQ_ENOTSTARTED, ptq_process_tell(process, "x", 1, PTQ_NOWAIT));
    assert_answer(PTQ_ENOTSTARTED, ptq_process_listen(process, &byte, 1, PTQ_NOWAIT, &size));
    assert_answer(PTQ_ENOTSTARTED, ptq_process_fd(process, &fd));
    assert_ok(ptq_process_status(process, &status));
    assert_int_equal(status.state, PTQ_PROCESS_NEW);
    assert_false(status.alive);
    ptq_process_free(process);
}

static void a_process_is_started_once(void **state)
{
    struct life life;

    (void)state;
    scripted_start(&life, "all", NULL, "");
    assert_answer(PTQ_EALREADY, ptq_process_start(life.process));
    scripted_end(&life);
    assert_answer(PTQ_EALREADY, ptq_process_start(life.process));
    scripted_fini(&life);
}

static void options_that_make_no_sense_are_refused_with_a_reason(void **state)
{
    struct ptq_error error;
    ptq_process *process;

    (void)state;
    assert_answer(PTQ_ENOTASK, ptq_process_new(NULL, "nobody", OPTIONS(.error = &error), &process));
    ptt_assert_says(error.text, "ptq_process_register");
    assert_answer(PTQ_EINVAL, ptq_process_new(NULL, "all", OPTIONS(.timeout_ms = {[PTQ_SECTION_RUN] = -1}, .error = &error), &process));
    assert_answer(PTQ_EINVAL, ptq_process_new(NULL, "all", OPTIONS(.timeout_ms = {[PTQ_SECTION_FULL_RUN] = 1}, .error = &error), &process));
    assert_answer(PTQ_EINVAL, ptq_process_new(NULL, "all", OPTIONS(.cpus = PTQ_CPUS_LIST, .cpu_list = "3-1", .error = &error), &process));
    ptt_assert_says(error.text, "'3-1'");
    assert_answer(PTQ_EINVAL, ptq_process_new(NULL, "all", OPTIONS(.cpus = PTQ_CPUS_LIST, .cpu_list = "1000-1023", .error = &error), &process));
    ptt_assert_says(error.text, "none of '1000-1023'");
    assert_answer(PTQ_EINVAL, ptq_process_new(NULL, "no/name", NULL, &process));
}

/* How often the threads of a process were given a processor anew. */
static unsigned long switches_of(int64_t pid)
{
    char path[64], line[128];
    unsigned long all = 0, number;
    snprintf(path, sizeof path, "/proc/%lld/task", (long long)pid);
    DIR *tasks = opendir(path);
    assert_non_null(tasks);
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        snprintf(path, sizeof path, "/proc/%lld/task/%.16s/status", (long long)pid, task->d_name);
        FILE *file = task->d_name[0] != '.' ? fopen(path, "r") : NULL;
        while (file != NULL && fgets(line, sizeof line, file) != NULL)
            if (sscanf(line, "voluntary_ctxt_switches: %lu", &number) == 1)
                all += number;
        if (file != NULL)
            fclose(file);
    }
    closedir(tasks);
    return all;
}

struct sleep {
    struct life *life;
    int64_t pid;
    unsigned long switches;
};

/* For 100 ms nothing of it moved: its watchdog, too, has looked for the last time. */
static bool is_at_rest(void *context)
{
    struct sleep *sleep = context;
    unsigned long before = sleep->switches = switches_of(sleep->pid);
    assert_answer(PTQ_TIMEDOUT, ptq_process_wait(sleep->life->process, 100));
    return ptt_wait_sleeping((pid_t)sleep->pid, (pid_t)sleep->pid, 0) && switches_of(sleep->pid) == before;
}

static void a_process_that_sleeps_and_a_parent_that_waits_cost_nothing(void **state)
{
    struct rusage before, after;
    struct life life;

    (void)state;
#if defined(__SANITIZE_THREAD__)
    print_message("skipped: ThreadSanitizer has a thread of its own, which looks around all the time\n");
    skip();
#endif
    scripted_start(&life, "all", OPTIONS(.lives = 9, .timeout_ms = {[PTQ_SECTION_POSTRUN] = 5}), "r2=sleep"); /* a limit, but not here */
    scripted_wait_for_run(&life, 2);
    assert_ok(ptq_process_status(life.process, &life.status));
    struct sleep sleep = {.life = &life, .pid = life.status.pid};
    assert_true(ptt_wait_until(is_at_rest, &sleep, PTT_LONG));
    getrusage(RUSAGE_THREAD, &before);
    assert_answer(PTQ_TIMEDOUT, ptq_process_wait(life.process, 200));
    getrusage(RUSAGE_THREAD, &after);
    assert_int_equal(switches_of(life.status.pid), sleep.switches);
    assert_true(after.ru_nvcsw - before.ru_nvcsw <= 2); /* its own sleep, and one for the machine */
    scripted_fini(&life);
}

/* Known in the parent, but not yet in the process when its main comes to ptq_worker_main. */
static void hooks_that_are_registered_too_late_are_told(void **state)
{
    struct ptq_process_hooks hooks = {.run = say_nothing};
    struct life life;

    (void)state;
    assert_ok(ptq_process_register("late", &hooks, NULL));
    scripted_start(&life, "late", OPTIONS(.runs = 1, .lives = 5), "");
    scripted_end(&life);
    assert_answer(PTQ_EFAILED, life.answer);
    assert_int_equal(life.error.cause, PTQ_ENOTASK);
    ptt_assert_says(life.error.text, "ptq_process_register before ptq_worker_main");
    assert_int_equal(life.status.deaths, 0);
    scripted_fini(&life);
}

/* It pauses for a minute after a death: the stop does not wait for that. */
static void a_stop_in_a_pause_is_heeded_at_once(void **state)
{
    struct life life;

    (void)state;
    scripted_start(&life, "all", OPTIONS(.lives = 2, .pause_ms = 60000, .pause_max_ms = 60000), "r1=kill");
    do
        assert_ok(ptq_process_status(life.process, &life.status));
    while (life.status.state != PTQ_PROCESS_PAUSED);
    assert_true(life.status.alive);
    assert_int_equal(life.status.pid, 0);
    assert_ok(ptq_process_stop(life.process));
    scripted_end(&life);
    assert_answer(PTQ_OK, life.answer);
    assert_string_equal(life.log, "s p1 r1 s f R");
    scripted_fini(&life);
}

static void run_is_start_wait_and_result(void **state)
{
    ptq_process *process;
    const void *data;
    size_t size;

    (void)state;
    assert_ok(ptq_process_new(NULL, "all", OPTIONS(.runs = 1), &process));
    assert_ok(ptq_process_run(process, &data, &size));
    assert_int_equal(size, strlen("s p1 r1 o1 f R"));
    assert_memory_equal(data, "s p1 r1 o1 f R", size);
    ptq_process_free(process);
}

static void a_freed_process_is_dead_and_leaves_nothing(void **state)
{
    struct ptt_traces before;
    struct life life;

    (void)state;
    ptt_traces_take(&before);
    scripted_start(&life, "all", NULL, "r1=hang");
    scripted_wait_for(&life, PTQ_SECTION_RUN);
    scripted_fini(&life);
    ptt_traces_assert_none_left(&before);
}

static void a_process_is_recycled_after_so_many_runs(void **state)
{
    struct life life;

    (void)state;
    scripted_start(&life, "unheard", OPTIONS(.runs = 5, .recycle_runs = 2), "");
    scripted_end(&life);
    assert_answer(PTQ_OK, life.answer);
    assert_string_equal(life.log, "s p1 r1 o1 p2 r2 o2 s p3 r3 o3 p4 r4 o4 s p5 r5 o5 f R");
    assert_int_equal(life.status.restarts, 2);
    assert_int_equal(life.status.deaths, 0);
    assert_int_equal(life.status.lives, 1);
    scripted_fini(&life);
    assert_life("unheard", OPTIONS(.runs = 2, .recycle_bytes = 1), "", PTQ_OK, "s p1 r1 o1 s p2 r2 o2 f R");
}

static void the_descriptor_tells_of_the_end(void **state)
{
    struct life life;
    int fd;

    (void)state;
    scripted_start(&life, "all", OPTIONS(.lives = 2), "r1=freeze");
    scripted_wait_frozen(&life);
    assert_ok(ptq_process_fd(life.process, &fd));
    assert_false(ptt_wait_readable(fd, 50));
    assert_answer(PTQ_TIMEDOUT, ptq_process_wait(life.process, PTQ_NOWAIT));
    struct ptq_process_status status;
    assert_ok(ptq_process_status(life.process, &status));
    kill((pid_t)status.pid, SIGKILL);
    assert_true(ptt_wait_readable(fd, PTT_LONG));
    assert_ok(ptq_process_stop(life.process)); /* nobody has looked: the successor finds it */
    scripted_end(&life);
    assert_answer(PTQ_OK, life.answer);
    assert_string_equal(life.log, "s p1 r1 s f R");
    scripted_fini(&life);
}

static void timers_count_what_went_well(void **state)
{
    struct life life;
    struct ptq_timer timer;

    (void)state;
    scripted_start(&life, "all", OPTIONS(.runs = 3, .lives = 2), "r2=fail r3=longest");
    scripted_end(&life);
    assert_ok(ptq_process_timer(life.process, PTQ_SECTION_PRERUN, &timer));
    assert_int_equal(timer.count, 4);
    assert_ok(ptq_process_timer(life.process, PTQ_SECTION_RUN, &timer));
    assert_int_equal(timer.count, 3);
    assert_int_equal(timer.max_at, 3);
    assert_true(timer.max_ns >= 2000000);
    assert_ok(ptq_process_timer(life.process, PTQ_SECTION_FULL_RUN, &timer));
    assert_int_equal(timer.count, 3);
    assert_true(timer.max_ns >= 2000000);
    assert_answer(PTQ_EINVAL, ptq_process_timer(life.process, PTQ_SECTION_NONE, &timer));
    scripted_fini(&life);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_run_in_their_order),
        cmocka_unit_test(run_is_the_only_hook_that_is_needed),
        cmocka_unit_test(stop_runs_and_join_in_are_asked_in_this_order),
        cmocka_unit_test(a_run_that_a_stop_cuts_short_is_not_counted),
        cmocka_unit_test(an_interrupted_section_of_a_stopping_process_has_not_failed),
        cmocka_unit_test(a_stop_from_the_parent_ends_the_section_and_then_finishes),
        cmocka_unit_test(a_failure_costs_a_life_and_the_same_run_begins_again_at_prerun),
        cmocka_unit_test(the_last_life_ends_with_the_error_hook),
        cmocka_unit_test(a_failure_without_words_is_said_in_the_words_of_its_answer),
        cmocka_unit_test(an_error_hook_that_fails_leaves_the_first_error_and_tells_both),
        cmocka_unit_test(a_failed_start_onfinish_or_result_costs_a_life_too),
        cmocka_unit_test(an_error_of_an_earlier_life_is_told_beside_the_result),
        cmocka_unit_test(a_killed_process_is_started_again_with_its_checkpoint),
        cmocka_unit_test(the_last_death_is_told_with_its_signal_and_the_error_hook_still_runs),
        cmocka_unit_test(an_error_hook_that_dies_is_told_beside_the_first_error),
        cmocka_unit_test(a_crash_loop_is_given_up_whatever_its_lives),
        cmocka_unit_test(runs_done_between_deaths_end_no_crash_loop),
        cmocka_unit_test(a_limit_of_20_ms_is_20_ms),
        cmocka_unit_test(a_timeout_costs_a_life),
        cmocka_unit_test(who_heeds_no_limit_is_killed_and_started_again),
        cmocka_unit_test(a_stopped_process_is_killed_at_its_limit_and_started_again),
        cmocka_unit_test(kill_ends_it_whatever_its_lives),
        cmocka_unit_test(kill_does_not_wait_for_one_that_is_stopped),
        cmocka_unit_test(a_kill_in_a_pause_is_a_kill),
        cmocka_unit_test(a_large_result_that_nobody_reads_holds_up_no_end),
        cmocka_unit_test(calls_before_the_start_say_so),
        cmocka_unit_test(a_process_is_started_once),
        cmocka_unit_test(options_that_make_no_sense_are_refused_with_a_reason),
        cmocka_unit_test(a_process_that_sleeps_and_a_parent_that_waits_cost_nothing),
        cmocka_unit_test(hooks_that_are_registered_too_late_are_told),
        cmocka_unit_test(a_stop_in_a_pause_is_heeded_at_once),
        cmocka_unit_test(run_is_start_wait_and_result),
        cmocka_unit_test(a_freed_process_is_dead_and_leaves_nothing),
        cmocka_unit_test(a_process_is_recycled_after_so_many_runs),
        cmocka_unit_test(the_descriptor_tells_of_the_end),
        cmocka_unit_test(timers_count_what_went_well),
    };
    scripted_register();
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
