/* test_resource.c -- what a process has around it: resources, secrets, processors. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ptq/ptq.h>

#include "support/ptt.h"

#define OPTIONS(...) (&(struct ptq_process_options){__VA_ARGS__})

/* -- a resource that counts ----------------------------------------------------------------------------------- */

static struct {
    _Atomic int opened, closed;
    bool broken, refuses;
} count;

static enum ptq_err open_counter(void **ret_resource, void *user, struct ptq_error *error)
{
    int *number = malloc(sizeof *number);
    if (count.refuses) {
        free(number);
        snprintf(error->text, sizeof error->text, "%s is down", (const char *)user);
        return PTQ_EUNREACHABLE;
    }
    *number = ++count.opened;
    *ret_resource = number;
    return PTQ_OK;
}

static void close_counter(void *resource, void *user)
{
    (void)user;
    count.closed++;
    free(resource);
}

static bool check_counter(void *resource, void *user)
{
    (void)user;
    (void)resource;
    return !count.broken;
}

/* Which of those that were opened it is; 0: none. */
static int get(const char *name)
{
    void *resource;
    return ptq_resource_get(name, &resource, NULL) == PTQ_OK ? *(int *)resource : 0;
}

static int start_anew(void **state)
{
    (void)state;
    ptq_resource_close_all();
    memset(&count, 0, sizeof count);
    return 0;
}

static void a_resource_is_opened_when_it_is_first_asked_for_and_then_kept(void **state)
{
    (void)state;
    assert_int_equal(count.opened, 0);
    assert_int_equal(get("plain"), 1);
    assert_int_equal(get("plain"), 1);
    ptq_resource_close_all();
    assert_int_equal(count.closed, 1);
    assert_int_equal(get("plain"), 2);
}

static void one_that_is_no_longer_good_is_opened_again(void **state)
{
    (void)state;
    assert_int_equal(get("checked"), 1);
    count.broken = true;
    assert_int_equal(get("checked"), 2);
    count.broken = false;
    assert_int_equal(get("checked"), 2);
    ptq_resource_failed("checked");
    assert_int_equal(get("checked"), 3);
    assert_int_equal(count.closed, 2);
}

static void one_that_cannot_be_opened_says_why_and_is_tried_again(void **state)
{
    struct ptq_error error;
    void *resource;

    (void)state;
    count.refuses = true;
    assert_answer(PTQ_EUNREACHABLE, ptq_resource_get("plain", &resource, &error));
    ptt_assert_says(error.text, "'plain'");
    ptt_assert_says(error.text, "db.example is down");
    count.refuses = false;
    assert_int_equal(get("plain"), 1);
    assert_answer(PTQ_ENOENT, ptq_resource_get("nobody", &resource, &error));
    ptt_assert_says(error.text, "ptq_resource_register");
}

static void *get_in_thread(void *unused)
{
    (void)unused;
    return (void *)(intptr_t)get("plain");
}

static void each_thread_has_its_own_and_closes_it_when_it_ends(void **state)
{
    pthread_t thread;
    void *other;

    (void)state;
    assert_int_equal(get("plain"), 1);
    assert_int_equal(pthread_create(&thread, NULL, get_in_thread, NULL), 0);
    assert_int_equal(pthread_join(thread, &other), 0);
    assert_int_equal((intptr_t)other, 2);
    assert_int_equal(count.closed, 1);
    assert_int_equal(get("plain"), 1);
}

static int get_in_child(void *unused)
{
    (void)unused;
    return get("plain") == 2 && count.closed == 0 ? 0 : 1;
}

static void a_forked_child_opens_its_own_and_does_not_close_its_parents(void **state)
{
    (void)state;
    assert_int_equal(get("plain"), 1);
    ptt_assert_exit(ptt_fork(get_in_child, NULL), 0, PTT_LONG);
    assert_int_equal(get("plain"), 1);
}

/* -- in a process --------------------------------------------------------------------------------------------- */

/* Asks for both in each run; fails in the second, is killed in the third: "<run>:<plain>,<checked> ". */
static enum ptq_err use_resources(ptq_self *self, void *user)
{
    static char log[200];
    static bool failed;
    size_t size = 0;
    const char *before = ptq_self_restored(self, &size);
    (void)user;
    if (log[0] == '\0' && before != NULL)
        snprintf(log, sizeof log, "%.*s", (int)size, before);
    int plain = get("plain"), other = get("checked");
    snprintf(log + strlen(log), sizeof log - strlen(log), "%d:%d,%d ", (int)ptq_self_run(self), plain, other);
    if (ptq_self_checkpoint(self, log, strlen(log)) != PTQ_OK || ptq_self_give(self, log, strlen(log)) != PTQ_OK)
        return PTQ_EPROTO;
    if (ptq_self_run(self) == 2 && !failed) {
        failed = true;
        return PTQ_EFAILED;
    }
    if (ptq_self_run(self) == 3 && ptq_self_restarts(self) == 0)
        raise(SIGKILL);
    return PTQ_OK;
}

static void a_process_opens_them_anew_after_a_failure_and_after_a_death(void **state)
{
    ptq_process *process;
    const void *data;
    size_t size;

    (void)state;
    assert_ok(ptq_process_new(NULL, "resources", OPTIONS(.runs = 3, .lives = 3, .pause_ms = 1), &process));
    assert_ok(ptq_process_run(process, &data, &size));
    /* After the failure the one without a check is opened anew, the other asked and kept; the successor counts from 1. */
    assert_int_equal(size, strlen("1:1,2 2:1,2 2:3,2 3:3,2 3:1,2 "));
    assert_memory_equal(data, "1:1,2 2:1,2 2:3,2 3:3,2 3:1,2 ", size);
    ptq_process_free(process);
}

/* -- secrets -------------------------------------------------------------------------------------------------- */

static void write_file(const char *folder, const char *name, const char *text, mode_t mode)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static void a_secret_comes_from_a_file_or_the_environment(void **state)
{
    struct ptt_scratch scratch;
    char text[32];

    (void)state;
    ptt_scratch_init_dir(&scratch);
    setenv("PTQ_SECRET_DB_PASSWORD", "from the environment", 1);
    unsetenv("PTQ_SECRETS");
    assert_ok(ptq_secret("db-password", text, sizeof text));
    assert_string_equal(text, "from the environment");
    setenv("PTQ_SECRETS", scratch.dir, 1);
    assert_ok(ptq_secret("db-password", text, sizeof text)); /* no such file */
    write_file(scratch.dir, "db-password", "from a file\n", 0600);
    assert_ok(ptq_secret("db-password", text, sizeof text));
    assert_string_equal(text, "from a file");

    assert_answer(PTQ_EMSGSIZE, ptq_secret("db-password", text, 5));
    write_file(scratch.dir, "spoilt", "x", 0606);
    assert_answer(PTQ_EPERM, ptq_secret("spoilt", text, sizeof text));
    assert_answer(PTQ_ENOENT, ptq_secret("none", text, sizeof text));
    assert_answer(PTQ_EINVAL, ptq_secret("../db-password", text, sizeof text));
    unsetenv("PTQ_SECRETS");
    unsetenv("PTQ_SECRET_DB_PASSWORD");
    ptt_scratch_fini(&scratch);
}

/* -- processors ----------------------------------------------------------------------------------------------- */

static enum ptq_err tell_cpus(ptq_self *self, void *user)
{
    cpu_set_t set;
    (void)user;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return PTQ_ESYS;
    return ptq_self_give(self, &set, sizeof set);
}

static void assert_cpus(const struct ptq_process_options *options, const cpu_set_t *wanted)
{
    ptq_process *process;
    const void *data;
    size_t size;

    assert_ok(ptq_process_new(NULL, "cpus", options, &process));
    assert_ok(ptq_process_run(process, &data, &size));
    assert_int_equal(size, sizeof *wanted);
    assert_memory_equal(data, wanted, size);
    ptq_process_free(process);
}

static void a_process_keeps_to_its_processors(void **state)
{
    cpu_set_t allowed, one;
    unsigned count_of_all, seen = 0;
    char list[16];

    (void)state;
    CPU_ZERO(&allowed);
    assert_int_equal(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    count_of_all = (unsigned)CPU_COUNT(&allowed);
    assert_cpus(OPTIONS(.runs = 1), &allowed);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE && seen < 3; cpu++) {
        if (!CPU_ISSET(cpu, &allowed))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        assert_cpus(OPTIONS(.runs = 1, .cpus = PTQ_CPUS_SPREAD, .slot = seen), &one);
        assert_cpus(OPTIONS(.runs = 1, .cpus = PTQ_CPUS_SPREAD, .slot = seen + count_of_all), &one);
        snprintf(list, sizeof list, "%u,1000-1023", cpu); /* those that it may not use are left out */
        assert_cpus(OPTIONS(.runs = 1, .cpus = PTQ_CPUS_LIST, .cpu_list = list), &one);
        seen++;
    }
}

#define RESOURCE_TEST(name) cmocka_unit_test_setup_teardown(name, start_anew, start_anew)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        RESOURCE_TEST(a_resource_is_opened_when_it_is_first_asked_for_and_then_kept),
        RESOURCE_TEST(one_that_is_no_longer_good_is_opened_again),
        RESOURCE_TEST(one_that_cannot_be_opened_says_why_and_is_tried_again),
        RESOURCE_TEST(each_thread_has_its_own_and_closes_it_when_it_ends),
        RESOURCE_TEST(a_forked_child_opens_its_own_and_does_not_close_its_parents),
        cmocka_unit_test(a_process_opens_them_anew_after_a_failure_and_after_a_death),
        cmocka_unit_test(a_secret_comes_from_a_file_or_the_environment),
        cmocka_unit_test(a_process_keeps_to_its_processors),
    };
    static char server[] = "db.example";
    struct ptq_resource_hooks counter = {.open = open_counter, .close = close_counter};
    struct ptq_resource_hooks checked = {.open = open_counter, .close = close_counter, .check = check_counter};
    if (ptq_resource_register("plain", &counter, server) != PTQ_OK || ptq_resource_register("checked", &checked, server) != PTQ_OK ||
        ptq_process_register("resources", &(struct ptq_process_hooks){.run = use_resources}, NULL) != PTQ_OK ||
        ptq_process_register("cpus", &(struct ptq_process_hooks){.run = tell_cpus}, NULL) != PTQ_OK)
        return 1;
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
