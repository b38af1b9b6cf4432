/* test_mail.c -- tell and listen: bounded boxes both ways, that outlive deaths, and wake whoever waits when there is nobody left. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <ptq/ptq.h>

#include "os/event.h"
#include "support/ptt.h"

#define OPTIONS(...) (&(struct ptq_process_options){__VA_ARGS__})

/* -- the children --------------------------------------------------------------------------------------------- */

/* Sends back what it gets. "die" is its death, "stop" its stop. */
static enum ptq_err echo(ptq_self *self, void *user)
{
    char bytes[64];
    size_t size;
    (void)user;
    enum ptq_err err = ptq_self_listen(self, bytes, sizeof bytes, PTQ_FOREVER, &size);
    if (err != PTQ_OK)
        return err;
    if (size == 3 && memcmp(bytes, "die", 3) == 0)
        raise(SIGKILL);
    if (size == 4 && memcmp(bytes, "stop", 4) == 0)
        ptq_self_stop(self);
    return ptq_self_tell(self, bytes, size, PTQ_FOREVER);
}

/* Tells three things, and is over. */
static enum ptq_err tell_three(ptq_self *self, void *user)
{
    enum ptq_err err = PTQ_OK;
    (void)user;
    for (char c = 'a'; c <= 'c' && err == PTQ_OK; c++)
        err = ptq_self_tell(self, &c, 1, PTQ_FOREVER);
    return err;
}

static enum ptq_err freeze(ptq_self *self, void *user)
{
    (void)self;
    (void)user;
    raise(SIGSTOP);
    return PTQ_OK;
}

/* What it cannot do without a bus. */
static enum ptq_err try_mail(ptq_self *self, void *user)
{
    char byte;
    size_t size;
    (void)user;
    return ptq_self_tell(self, "x", 1, 0) == PTQ_ENOENT && ptq_self_listen(self, &byte, 1, 0, &size) == PTQ_ENOENT ? PTQ_OK : PTQ_EPROTO;
}

/* -- the tests ------------------------------------------------------------------------------------------------ */

static ptq_process *start(struct ptt_scratch *scratch, const char *hooks, struct ptq_process_options *options)
{
    struct ptq_error error = {0};
    ptq_process *process = NULL;
    options->error = &error;
    options->pause_ms = 1;
    if (ptq_process_new(scratch->bus, hooks, options, &process) != PTQ_OK)
        fail_msg("cannot make it: %s", error.text);
    assert_ok(ptq_process_start(process));
    return process;
}

static void expect(ptq_process *process, const char *text)
{
    char bytes[64];
    size_t size = 0;
    assert_ok(ptq_process_listen(process, bytes, sizeof bytes, PTT_LONG, &size));
    assert_int_equal(size, strlen(text));
    assert_memory_equal(bytes, text, size);
}

static void tell(ptq_process *process, const char *text)
{
    assert_ok(ptq_process_tell(process, text, strlen(text), PTT_LONG));
}

static int64_t pid_of(ptq_process *process)
{
    struct ptq_process_status status;
    assert_ok(ptq_process_status(process, &status));
    return status.pid;
}

static bool is_in_run(void *context)
{
    struct ptq_process_status status;
    return ptq_process_status(context, &status) == PTQ_OK && status.section == PTQ_SECTION_RUN;
}

static void wait_for_run(ptq_process *process)
{
    assert_true(ptt_wait_until(is_in_run, process, PTT_LONG));
}

static void what_is_told_is_heard_in_order_both_ways(void **state)
{
    ptq_process *process = start(*state, "echo", OPTIONS(.mail_count = 500));
    char text[16];

    for (int i = 0; i < 300; i++) {
        snprintf(text, sizeof text, "%d", i);
        tell(process, text);
    }
    for (int i = 0; i < 300; i++) {
        snprintf(text, sizeof text, "%d", i);
        expect(process, text);
    }
    tell(process, "stop");
    assert_ok(ptq_process_result(process, PTT_LONG, NULL, NULL));
    expect(process, "stop"); /* what it sent is there after its end */
    ptq_process_free(process);
}

/* With the original None is both. */
static void an_empty_message_is_not_a_timeout(void **state)
{
    ptq_process *process = start(*state, "echo", OPTIONS(.lives = 1));
    char byte;
    size_t size = 7;

    assert_answer(PTQ_EMPTY, ptq_process_listen(process, &byte, 1, PTQ_NOWAIT, &size));
    assert_answer(PTQ_TIMEDOUT, ptq_process_listen(process, &byte, 1, 20, &size));
    tell(process, "");
    assert_ok(ptq_process_listen(process, &byte, 1, PTT_LONG, &size));
    assert_int_equal(size, 0);
    ptq_process_free(process);
}

static void a_stop_wakes_a_process_that_listens(void **state)
{
    ptq_process *process = start(*state, "echo", OPTIONS(.lives = 1));

    wait_for_run(process);
    assert_ok(ptq_process_stop(process));
    assert_ok(ptq_process_result(process, PTT_LONG, NULL, NULL));
    ptq_process_free(process);

    process = start(*state, "echo", OPTIONS(.lives = 1)); /* and one that does not listen yet */
    assert_ok(ptq_process_stop(process));
    assert_ok(ptq_process_result(process, PTT_LONG, NULL, NULL));
    ptq_process_free(process);
}

static void boxes_are_bounded_and_a_full_one_says_so(void **state)
{
    ptq_process *process = start(*state, "freeze", OPTIONS(.mail_count = 2, .mail_size = 8));

    tell(process, "1");
    tell(process, "2");
    assert_answer(PTQ_FULL, ptq_process_tell(process, "3", 1, PTQ_NOWAIT));
    assert_answer(PTQ_TIMEDOUT, ptq_process_tell(process, "3", 1, 30));
    assert_answer(PTQ_EMSGSIZE, ptq_process_tell(process, "123456789", 9, PTQ_NOWAIT));
    ptq_process_free(process);
}

static void listen_ends_when_the_process_has_and_all_was_heard(void **state)
{
    ptq_process *process = start(*state, "tell-three", OPTIONS(.runs = 1));
    char byte;
    size_t size;

    expect(process, "a");
    expect(process, "b");
    expect(process, "c");
    assert_answer(PTQ_END, ptq_process_listen(process, &byte, 1, PTQ_FOREVER, &size));
    assert_answer(PTQ_EENDED, ptq_process_tell(process, "x", 1, PTQ_FOREVER));
    ptq_process_free(process);
}

static void listen_and_tell_end_when_the_process_is_killed(void **state)
{
    ptq_process *process = start(*state, "echo", OPTIONS(.lives = 1));
    char byte;
    size_t size;

    tell(process, "die");
    assert_answer(PTQ_END, ptq_process_listen(process, &byte, 1, PTQ_FOREVER, &size));
    assert_answer(PTQ_EDIED, ptq_process_result(process, PTQ_NOWAIT, NULL, NULL));
    ptq_process_free(process);

    process = start(*state, "freeze", OPTIONS(.mail_count = 1));
    wait_for_run(process);
    tell(process, "1");
    kill((pid_t)pid_of(process), SIGKILL);
    assert_answer(PTQ_EENDED, ptq_process_tell(process, "2", 1, PTQ_FOREVER)); /* it is full, and nobody will make room */
    ptq_process_free(process);
}

static void mail_outlives_a_death(void **state)
{
    ptq_process *process = start(*state, "echo", OPTIONS(.lives = 3));

    tell(process, "one");
    tell(process, "die");
    tell(process, "two");
    tell(process, "die");
    tell(process, "three");
    expect(process, "one");
    expect(process, "two");
    expect(process, "three");
    ptq_process_free(process);
}

static void the_descriptor_tells_of_mail(void **state)
{
    ptq_process *process = start(*state, "echo", OPTIONS(.lives = 1));
    char bytes[8];
    size_t size;
    int fd;

    assert_ok(ptq_process_fd(process, &fd));
    assert_answer(PTQ_EMPTY, ptq_process_listen(process, bytes, sizeof bytes, PTQ_NOWAIT, &size));
    assert_false(ptt_wait_readable(fd, 20));
    tell(process, "hello");
    assert_true(ptt_wait_readable(fd, PTT_LONG));
    expect(process, "hello");
    ptq_process_free(process);
}

/* Event loops have sets of sets of their own: two levels around ours are within what the kernel takes. */
static void the_descriptor_fits_into_a_loop_inside_a_loop(void **state)
{
    ptq_process *process = start(*state, "echo", OPTIONS(.lives = 1));
    int fd, inner, outer;

    assert_ok(ptq_process_fd(process, &fd));
    assert_int_equal(pti_poll_new(&inner), 0);
    assert_int_equal(pti_poll_new(&outer), 0);
    assert_int_equal(pti_poll_add(inner, fd, 1, true), 0);
    assert_int_equal(pti_poll_add(outer, inner, 1, true), 0);
    tell(process, "hello");
    assert_true(ptt_wait_readable(outer, PTT_LONG));
    close(inner);
    close(outer);
    ptq_process_free(process);
}

struct seen {
    int64_t pid;
    unsigned count;
    struct ptq_process_seen last;
};

static bool note_seen(const struct ptq_process_seen *process, void *context)
{
    struct seen *seen = context;
    seen->count++;
    if (process->pid == seen->pid)
        seen->last = *process;
    return true;
}

/* Its parent has a record of it; others look into /proc. */
static void others_than_its_parent_see_what_it_does(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ptq_process_status status;
    struct seen seen = {0};
    ptq_bus *other;

    ptq_process *process = start(scratch, "echo", &(struct ptq_process_options){.slot = 7, .lives = 3});
    do
        assert_ok(ptq_process_status(process, &status));
    while (status.section != PTQ_SECTION_RUN);
    seen.pid = status.pid;
    assert_ok(ptq_bus_list_processes(scratch->bus, note_seen, &seen));

    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.last.name, "echo");
    assert_int_equal(seen.last.parent, getpid());
    assert_int_equal(seen.last.section, PTQ_SECTION_RUN);
    assert_int_equal(seen.last.lives, 3);
    assert_int_equal(seen.last.slot, 7);
    assert_int_equal(seen.last.runs, 0);
    assert_false(seen.last.stopping);
    seen.count = 0;
    assert_ok(ptq_bus_open("another", &(struct ptq_bus_options){.dir = scratch->dir}, &other));
    assert_ok(ptq_bus_list_processes(other, note_seen, &seen));
    assert_int_equal(seen.count, 0);
    ptq_bus_close(other);
    ptq_process_free(process);
    assert_ok(ptq_bus_list_processes(scratch->bus, note_seen, &seen));
    assert_int_equal(seen.count, 0);
}

static void without_a_bus_there_is_no_mail(void **state)
{
    struct ptt_scratch none = {.bus = NULL};
    ptq_process *process = start(&none, "try-mail", OPTIONS(.runs = 1));
    char byte;
    size_t size;

    (void)state;
    assert_answer(PTQ_ENOENT, ptq_process_tell(process, "x", 1, PTQ_NOWAIT));
    assert_answer(PTQ_ENOENT, ptq_process_listen(process, &byte, 1, PTQ_NOWAIT, &size));
    assert_ok(ptq_process_result(process, PTT_LONG, NULL, NULL));
    ptq_process_free(process);
}

static void boxes_are_removed_with_their_process(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_process *process = start(scratch, "echo", OPTIONS(.lives = 1));

    tell(process, "x");
    expect(process, "x");
    assert_true(ptt_scratch_files(scratch, "") >= 2);
    ptq_process_free(process);
    assert_int_equal(ptt_scratch_files(scratch, ""), 0);
}

/* A parent that has a process, and mail in its boxes, and is killed. */
_Noreturn static int be_a_parent(void *context)
{
    struct ptt_page *page = *(struct ptt_page **)context;
    struct ptt_scratch *scratch = ((void **)context)[1];
    ptq_bus *bus = ptt_scratch_open(scratch);
    struct ptt_scratch own = {.bus = bus};
    ptq_process *process = start(&own, "freeze", OPTIONS(.lives = 1));
    tell(process, "x");
    wait_for_run(process);
    atomic_store(&page->words[0], (uint64_t)pid_of(process));
    for (;;)
        pause();
}

static void what_a_killed_parent_leaves_is_dead_and_gc_removes_it(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ptt_page *page = ptt_page_new();
    void *context[2] = {page, scratch};
    struct ptq_gc_report report;

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t parent = ptt_fork(be_a_parent, context);
    assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
    pid_t child = (pid_t)atomic_load(&page->words[0]);
    ptt_kill(parent);
    assert_int_not_equal(ptt_reap(child, PTT_LONG), -1); /* though it was stopped */
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    assert_ok(ptq_bus_gc(scratch->bus, false, &report));
    assert_int_equal(report.removed, 2);
    assert_int_equal(ptt_scratch_files(scratch, ""), 0);
    ptt_page_free(page);
}

static void with_ptq_debug_all_mail_is_a_line_of_who_says_so(void **state)
{
    static const char *const lines[] = {"echo: is told 3 bytes", "echo: hears its parent say 3 bytes", "echo: tells its parent 3 bytes",
                                        "echo: is heard to say 3 bytes"};
    struct ptt_scratch *scratch = *state;
    struct ptt_scratch talking = *scratch;
    char text[4096] = "", line[80];
    int kept = dup(2), file = memfd_create("said", 0);
    setenv("PTQ_DEBUG", "proto", 1);
    assert_ok(ptq_bus_open("test", &(struct ptq_bus_options){.dir = scratch->dir}, &talking.bus));
    assert_int_equal(dup2(file, 2), 2);
    ptq_process *process = start(&talking, "echo", OPTIONS(.mail_count = 5));
    int64_t pids[2] = {getpid(), pid_of(process)};
    tell(process, "hey");
    expect(process, "hey");
    tell(process, "stop");
    assert_ok(ptq_process_wait(process, PTT_LONG));
    ptq_process_free(process);
    dup2(kept, 2);
    unsetenv("PTQ_DEBUG");
    ptq_bus_close(talking.bus);

    assert_true(pread(file, text, sizeof text - 1, 0) > 0);
    for (size_t i = 0; i < 4; i++) {
        snprintf(line, sizeof line, "ptq[%d] process %s\n", (int)pids[i == 1 || i == 2], lines[i]);
        ptt_assert_says(text, line);
    }
    close(kept);
    close(file);
}

#define MAIL_TEST(name) cmocka_unit_test_setup_teardown(name, ptt_setup_scratch, ptt_teardown_scratch)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        MAIL_TEST(what_is_told_is_heard_in_order_both_ways),
        MAIL_TEST(an_empty_message_is_not_a_timeout),
        MAIL_TEST(a_stop_wakes_a_process_that_listens),
        MAIL_TEST(boxes_are_bounded_and_a_full_one_says_so),
        MAIL_TEST(listen_ends_when_the_process_has_and_all_was_heard),
        MAIL_TEST(listen_and_tell_end_when_the_process_is_killed),
        MAIL_TEST(mail_outlives_a_death),
        MAIL_TEST(the_descriptor_tells_of_mail),
        MAIL_TEST(the_descriptor_fits_into_a_loop_inside_a_loop),
        MAIL_TEST(others_than_its_parent_see_what_it_does),
        MAIL_TEST(without_a_bus_there_is_no_mail),
        MAIL_TEST(boxes_are_removed_with_their_process),
        MAIL_TEST(what_a_killed_parent_leaves_is_dead_and_gc_removes_it),
        MAIL_TEST(with_ptq_debug_all_mail_is_a_line_of_who_says_so),
    };
    const struct {
        const char *name;
        ptq_hook run;
    } hooks[] = {{"echo", echo}, {"tell-three", tell_three}, {"freeze", freeze}, {"try-mail", try_mail}};
    for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++)
        if (ptq_process_register(hooks[i].name, &(struct ptq_process_hooks){.run = hooks[i].run}, NULL) != PTQ_OK)
            return 1;
    ptq_worker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
