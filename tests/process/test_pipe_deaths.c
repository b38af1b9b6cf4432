/* test_pipe_deaths.c -- ends whose owners are killed or stopped: the other one is told, gets what was sent, and never hangs.
 *
 * "At each step" is before and after each system call of a call (ptrace): locks are system calls, and each change of the pipe's word
 * stands between two of them.
 *
 *   test_pipe_deaths [STRIDE]      1: all steps; else one of so many, the first by PTT_SEED
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ptq/ptq.h>

#include "support/ptt.h"

#define OPTIONS(...) (&(struct ptq_pipe_options){__VA_ARGS__})

static enum ptq_err receive(ptq_pipe *pipe, int timeout_ms, uint64_t *ret_number)
{
    size_t size;
    return ptq_pipe_recv(pipe, ret_number, sizeof *ret_number, timeout_ms, &size);
}

static void expect_answer(ptq_pipe *pipe, enum ptq_err answer, int timeout_ms)
{
    uint64_t number;
    assert_answer(answer, receive(pipe, timeout_ms, &number));
}

static void expect_number(ptq_pipe *pipe, uint64_t expected)
{
    uint64_t number = 0;
    assert_ok(receive(pipe, PTT_LONG, &number));
    assert_int_equal(number, expected);
}

/* -- a child that has an end ------------------------------------------------------------------------------------ */

struct owner {
    struct ptt_scratch *scratch;
    struct ptt_page *page; /* words[0]: it has the end, and sent what it was to send */
    const char *name;
    bool makes;            /* it is the anchor, else the point */
    bool one_way;
    uint64_t sends;
    bool ends;             /* says that nothing more will come */
};

static int own_an_end(void *context)
{
    struct owner *owner = context;
    ptq_bus *bus = ptt_scratch_open(owner->scratch);
    ptq_pipe *pipe;
    enum ptq_err err = owner->makes ? ptq_pipe_pair(bus, OPTIONS(.name = owner->name, .one_way = owner->one_way), &pipe, NULL)
                                    : ptq_pipe_open(bus, owner->name, NULL, &pipe);

    for (uint64_t i = 1; i <= owner->sends && err == PTQ_OK; i++)
        err = ptq_pipe_send(pipe, &i, sizeof i, PTT_LONG);
    if (owner->ends && err == PTQ_OK)
        err = ptq_pipe_end(pipe);
    atomic_store(&owner->page->words[0], err == PTQ_OK ? 1 : 100 + (uint64_t)err);
    while (true)
        pause();
    return 0;
}

static pid_t start_owner(struct owner *owner)
{
    owner->page = ptt_page_new();
    pid_t pid = ptt_fork(own_an_end, owner);
    assert_true(ptt_wait_word(&owner->page->words[0], 1, PTT_LONG));
    assert_int_equal(owner->page->words[0], 1);
    ptt_page_free(owner->page);
    return pid;
}

struct sleeper {
    ptq_pipe *pipe;
    bool sends;
    _Atomic uint64_t tid, got, answer; /* answer: + 1 */
};

static void *sleep_in_calls(void *context)
{
    struct sleeper *sleeper = context;
    uint64_t number = 1;
    enum ptq_err err;
    atomic_store(&sleeper->tid, (uint64_t)gettid());
    while ((err = sleeper->sends ? ptq_pipe_send(sleeper->pipe, &number, sizeof number, PTQ_FOREVER)
                                 : receive(sleeper->pipe, PTQ_FOREVER, &number)) == PTQ_OK)
        atomic_fetch_add(&sleeper->got, 1);
    atomic_store(&sleeper->answer, (uint64_t)err + 1);
    return NULL;
}

static void a_killed_owner_is_told_behind_what_it_sent(void **state)
{
    struct ptt_scratch *scratch = *state;
    for (int late = 0; late < 2; late++) { /* asleep a moment, or for long */
        struct owner owner = {.scratch = scratch, .name = "p", .sends = 5};
        struct sleeper sleeper = {0};
        pthread_t thread;

        assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.name = "p"), &sleeper.pipe, NULL));
        pid_t pid = start_owner(&owner);
        assert_int_equal(pthread_create(&thread, NULL, sleep_in_calls, &sleeper), 0);
        assert_true(ptt_wait_word(&sleeper.got, 5, PTT_LONG));
        assert_true(ptt_wait_sleeping(getpid(), (pid_t)sleeper.tid, PTT_LONG));
        if (late)
            assert_false(ptt_wait_word(&sleeper.answer, 1, 400));
        ptt_kill(pid);
        assert_true(ptt_wait_word(&sleeper.answer, 1, PTT_LONG));
        pthread_join(thread, NULL);
        assert_int_equal(sleeper.answer - 1, PTQ_EDIED);
        assert_int_equal(sleeper.got, 5);
        expect_answer(sleeper.pipe, PTQ_EDIED, PTQ_NOWAIT);
        assert_answer(PTQ_EDIED, ptq_pipe_send(sleeper.pipe, "x", 1, PTQ_FOREVER));
        ptq_pipe_close(sleeper.pipe);
        assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
    }
}

static void who_waits_for_room_is_told_that_nobody_will_make_it(void **state)
{
    struct ptt_scratch *scratch = *state;
    for (int one_way = 0; one_way < 2; one_way++) {
        struct owner owner = {.scratch = scratch, .name = "p"};
        struct sleeper sleeper = {.sends = true};
        pthread_t thread;

        assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.name = "p", .one_way = one_way, .capacity = 4), &sleeper.pipe, NULL));
        pid_t pid = start_owner(&owner);
        assert_int_equal(pthread_create(&thread, NULL, sleep_in_calls, &sleeper), 0);
        assert_true(ptt_wait_word(&sleeper.got, 4, PTT_LONG));
        assert_true(ptt_wait_sleeping(getpid(), (pid_t)sleeper.tid, PTT_LONG));
        ptt_kill(pid);
        assert_true(ptt_wait_word(&sleeper.answer, 1, PTT_LONG));
        pthread_join(thread, NULL);
        assert_int_equal(sleeper.answer - 1, PTQ_EDIED);
        ptq_pipe_close(sleeper.pipe);
        assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
    }
}

static void who_was_told_of_a_death_behind_an_end_sends_nothing_more(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct owner owner = {.scratch = scratch, .name = "p", .sends = 1, .ends = true};
    ptq_pipe *pipe;

    assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.name = "p"), &pipe, NULL));
    pid_t pid = start_owner(&owner);
    expect_number(pipe, 1);
    expect_answer(pipe, PTQ_END, PTT_LONG);
    assert_ok(ptq_pipe_send(pipe, "x", 1, PTQ_NOWAIT)); /* it still receives */
    ptt_kill(pid);
    expect_answer(pipe, PTQ_EDIED, PTT_LONG);
    assert_answer(PTQ_EDIED, ptq_pipe_send(pipe, "x", 1, PTQ_NOWAIT));
    ptq_pipe_close(pipe);
    assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
}

struct sending {
    ptq_pipe *pipe;
    enum ptq_err answer;
};

static bool a_send_fails(void *context)
{
    struct sending *sending = context;
    sending->answer = ptq_pipe_send(sending->pipe, "x", 1, PTQ_NOWAIT);
    return sending->answer != PTQ_OK;
}

static void who_sends_and_has_room_is_told_soon(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct owner owner = {.scratch = scratch, .name = "p"};
    struct sending sending;

    assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.name = "p", .one_way = true, .capacity = 1000000), &sending.pipe, NULL));
    pid_t pid = start_owner(&owner);
    assert_ok(ptq_pipe_send(sending.pipe, "x", 1, PTQ_NOWAIT));
    ptt_kill(pid);
    assert_true(ptt_wait_until(a_send_fails, &sending, PTT_LONG));
    assert_int_equal(sending.answer, PTQ_EDIED);
    ptq_pipe_close(sending.pipe);
}

static void a_descriptor_tells_a_death(void **state)
{
    struct ptt_scratch *scratch = *state;
    for (int one_way = 0; one_way < 2; one_way++) {
        struct owner owner = {.scratch = scratch, .name = "p", .makes = one_way, .one_way = one_way};
        ptq_pipe *pipe;
        int fd;
        pid_t pid = 0;

        if (one_way) {
            pid = start_owner(&owner);
            assert_ok(ptq_pipe_open(scratch->bus, "p", NULL, &pipe));
        } else {
            assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.name = "p"), &pipe, NULL));
            pid = start_owner(&owner);
        }
        assert_ok(ptq_pipe_fd(pipe, PTQ_SIDE_GET, &fd));
        expect_answer(pipe, PTQ_EMPTY, PTQ_NOWAIT);
        assert_false(ptt_wait_readable(fd, 0));
        ptt_kill(pid);
        assert_true(ptt_wait_readable(fd, PTT_LONG));
        expect_answer(pipe, PTQ_EDIED, PTQ_NOWAIT);
        ptq_pipe_close(pipe);
        assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
    }
}

static void a_stopped_owner_is_not_dead(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct owner owner = {.scratch = scratch, .name = "p", .sends = 1};
    enum ptq_pipe_peer peer;
    ptq_pipe *anchor, *point;

    assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.name = "p"), &anchor, NULL));
    pid_t pid = start_owner(&owner);
    ptt_stop(pid);
    expect_number(anchor, 1);
    expect_answer(anchor, PTQ_TIMEDOUT, 300);
    expect_answer(anchor, PTQ_EMPTY, PTQ_NOWAIT);
    assert_ok(ptq_pipe_send(anchor, "x", 1, PTQ_FOREVER));
    assert_ok(ptq_pipe_peer(anchor, &peer));
    assert_int_equal(peer, PTQ_PIPE_THERE);
    assert_answer(PTQ_EBUSY, ptq_pipe_open(scratch->bus, "p", NULL, &point));
    ptt_kill(pid);
    expect_answer(anchor, PTQ_EDIED, PTT_LONG);
    ptq_pipe_close(anchor);
}

static void a_dead_point_is_not_had_again(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct owner owner = {.scratch = scratch, .name = "p"};
    struct ptq_error error = {0};
    ptq_pipe *anchor, *point;

    assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.name = "p"), &anchor, NULL));
    ptt_kill(start_owner(&owner));
    assert_answer(PTQ_EDIED, ptq_pipe_open(scratch->bus, "p", &(struct ptq_pipe_open_options){.error = &error}, &point));
    ptt_assert_says(error.text, "whoever had the point of pipe 'p' died");
    expect_answer(anchor, PTQ_EDIED, PTQ_FOREVER);
    ptq_pipe_close(anchor);
    assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
}

static void what_a_dead_anchor_sent_is_had_by_who_opens_the_point(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct owner owner = {.scratch = scratch, .name = "p", .makes = true, .sends = 2};
    ptq_pipe *other, *point;

    ptt_kill(start_owner(&owner));
    assert_answer(PTQ_EEXIST, ptq_pipe_pair(scratch->bus, OPTIONS(.name = "p"), &other, NULL)); /* something waits in it */
    assert_ok(ptq_pipe_open(scratch->bus, "p", NULL, &point));
    expect_number(point, 1);
    expect_number(point, 2);
    expect_answer(point, PTQ_EDIED, PTQ_FOREVER);
    assert_answer(PTQ_EDIED, ptq_pipe_send(point, "x", 1, PTQ_FOREVER));
    ptq_pipe_close(point);
    assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
}

static void a_pipe_that_its_owners_left_is_replaced(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct owner maker = {.scratch = scratch, .name = "p", .makes = true}, taker = {.scratch = scratch, .name = "p", .sends = 3};
    struct ptq_gc_report report;
    ptq_pipe *anchor, *point;
    pid_t pid = start_owner(&maker), other;

    ptt_kill(pid); /* nothing in it, and nobody opened it */
    pid = start_owner(&maker);
    other = start_owner(&taker);
    ptt_kill(other);
    ptt_kill(pid); /* both */
    assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.name = "p"), &anchor, &point));
    assert_ok(ptq_pipe_send(point, "x", 1, PTQ_NOWAIT));
    ptq_pipe_close(anchor);
    ptq_pipe_close(point);
    assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
    maker.name = taker.name = "q"; /* or gc takes it away */
    pid = start_owner(&maker);
    other = start_owner(&taker);
    ptt_kill(pid);
    ptt_kill(other);
    assert_ok(ptq_bus_gc(scratch->bus, false, &report));
    assert_int_equal(report.removed, 2);
    assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
}

static void an_unacked_message_holds_up_no_news_of_a_death(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct owner owner = {.scratch = scratch, .name = "p", .sends = 2};
    ptq_pipe *anchor;
    ptq_msg *msg;

    assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.name = "p"), &anchor, NULL));
    pid_t pid = start_owner(&owner);
    assert_ok(ptq_pipe_get(anchor, PTT_LONG, &msg));
    ptt_kill(pid);
    expect_number(anchor, 2);
    expect_answer(anchor, PTQ_EDIED, PTQ_FOREVER);
    assert_ok(ptq_nack(msg, 0)); /* it is the next one again */
    expect_number(anchor, 1);
    expect_answer(anchor, PTQ_EDIED, PTQ_FOREVER);
    ptq_pipe_close(anchor);
}

/* -- at each step --------------------------------------------------------------------------------------------- */

enum act { MAKE, OPEN, GIVE, CLOSE, CLOSE_LAST, SEND, ACTS };

struct victim {
    struct ptt_scratch *scratch;
    enum act act;
    bool one_way;
};

static int act_between_stops(void *context)
{
    const struct victim *victim = context;
    ptq_bus *bus = ptt_scratch_open(victim->scratch);
    ptq_pipe *pipe = NULL;
    char ref[PTQ_REF_SIZE];
    uint64_t number = 2;
    enum ptq_err err = victim->act >= GIVE ? ptq_pipe_open(bus, "p", NULL, &pipe) : PTQ_OK;

    if (err == PTQ_OK && victim->act >= GIVE && !victim->one_way)
        err = ptq_pipe_send(pipe, &(uint64_t){1}, sizeof number, PTQ_NOWAIT);
    if (err != PTQ_OK || ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        return 1;
    raise(SIGSTOP);
    switch (victim->act) {
    case MAKE:
        err = ptq_pipe_pair(bus, OPTIONS(.name = "p", .one_way = victim->one_way), &pipe, NULL);
        break;
    case OPEN:
        err = ptq_pipe_open(bus, "p", NULL, &pipe);
        break;
    case GIVE:
        err = ptq_pipe_give(pipe, ref, sizeof ref);
        break;
    case CLOSE:
    case CLOSE_LAST:
        ptq_pipe_close(pipe);
        break;
    default:
        err = ptq_pipe_send(pipe, &number, sizeof number, PTQ_NOWAIT);
        break;
    }
    raise(SIGSTOP);
    return (int)err;
}

/* Lets it go on to its next system call, or out of it; false: it has done. */
static bool step(pid_t pid)
{
    int status = 0;
    assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSTOPPED(status));
    return WSTOPSIG(status) == (SIGTRAP | 0x80) || WSTOPSIG(status) == SIGTRAP;
}

static pid_t start_victim(struct victim *victim)
{
    int status = 0;
    pid_t pid = ptt_fork(act_between_stops, victim);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    assert_int_equal(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD), 0);
    return pid;
}

/* The victim stands still: nobody waits for it longer than he asked to. */
static void nobody_is_held_up(ptq_pipe *anchor, bool one_way)
{
    uint64_t number;
    enum ptq_err err = one_way ? PTQ_EMPTY : receive(anchor, PTQ_NOWAIT, &number);
    assert_true(err == PTQ_OK || err == PTQ_EMPTY || err == PTQ_END);
    err = ptq_pipe_send(anchor, &(uint64_t){7}, sizeof number, PTQ_NOWAIT);
    assert_true(err == PTQ_OK || err == PTQ_EENDED);
}

/* What the killed one left is one of the states that a pipe can be in, for everybody the same. */
static void it_is_one_or_the_other(struct ptt_scratch *scratch, ptq_pipe *anchor, bool one_way)
{
    enum ptq_pipe_peer peer;
    ptq_pipe *point;
    uint64_t number;
    enum ptq_err err = PTQ_OK;

    assert_ok(ptq_pipe_peer(anchor, &peer));
    assert_int_not_equal(peer, PTQ_PIPE_THERE);
    for (int i = 0; i < 3 && err == PTQ_OK && !one_way; i++)
        err = receive(anchor, peer == PTQ_PIPE_NOBODY ? PTQ_NOWAIT : PTQ_FOREVER, &number);
    if (!one_way)
        assert_int_equal(err, peer == PTQ_PIPE_NOBODY ? PTQ_EMPTY : peer == PTQ_PIPE_CLOSED ? PTQ_END : PTQ_EDIED);
    err = ptq_pipe_open(scratch->bus, "p", NULL, &point);
    assert_int_equal(err, peer == PTQ_PIPE_NOBODY ? PTQ_OK : peer == PTQ_PIPE_CLOSED ? PTQ_EENDED : PTQ_EDIED);
    if (err != PTQ_OK)
        return;
    assert_ok(ptq_pipe_send(anchor, &(uint64_t){8}, sizeof number, PTQ_NOWAIT));
    do
        assert_ok(receive(point, PTT_LONG, &number));
    while (number != 8);
    ptq_pipe_close(point);
}

/* True: it was killed there, else it had done. */
static bool kill_after(struct victim *victim, unsigned steps)
{
    struct ptt_scratch *scratch = victim->scratch;
    ptq_pipe *anchor = NULL;

    if (victim->act != MAKE)
        assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.name = "p", .one_way = victim->one_way, .capacity = 10), &anchor, NULL));
    pid_t pid = start_victim(victim);
    bool there = true;
    if (victim->act == CLOSE_LAST) { /* then the victim removes the queues */
        ptq_pipe_close(anchor);
        anchor = NULL;
    }
    for (unsigned i = 0; i < steps && there; i++)
        there = step(pid);
    if (anchor != NULL)
        nobody_is_held_up(anchor, victim->one_way);
    ptt_kill(pid);
    if (anchor != NULL)
        it_is_one_or_the_other(scratch, anchor, victim->one_way);
    else
        assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.name = "p"), &anchor, NULL));
    ptq_pipe_close(anchor);
    assert_ok(ptq_pipe_unlink(scratch->bus, "p", false));
    assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
    return there;
}

static unsigned stride = 6;

static void an_owner_that_is_killed_at_each_step_leaves_no_riddle(void **state)
{
    struct victim victim = {.scratch = *state};
    uint64_t random = ptt_seed();
    for (victim.act = MAKE; victim.act < ACTS; victim.act++)
        for (int one_way = 0; one_way < 2; one_way++) {
            unsigned steps = (unsigned)(ptt_random(&random) % stride);
            victim.one_way = one_way;
            if (victim.act == SEND && one_way)
                continue;
            while (kill_after(&victim, steps))
                steps += stride;
            assert_true(steps > 4);
        }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, ptt_setup_scratch, ptt_teardown_scratch)

int main(int argc, char **argv)
{
    if (argc > 1)
        stride = (unsigned)atoi(argv[1]);
    const struct CMUnitTest tests[] = {
        CASE(a_killed_owner_is_told_behind_what_it_sent),
        CASE(who_waits_for_room_is_told_that_nobody_will_make_it),
        CASE(who_sends_and_has_room_is_told_soon),
        CASE(who_was_told_of_a_death_behind_an_end_sends_nothing_more),
        CASE(a_descriptor_tells_a_death),
        CASE(a_stopped_owner_is_not_dead),
        CASE(a_dead_point_is_not_had_again),
        CASE(what_a_dead_anchor_sent_is_had_by_who_opens_the_point),
        CASE(a_pipe_that_its_owners_left_is_replaced),
        CASE(an_unacked_message_holds_up_no_news_of_a_death),
        CASE(an_owner_that_is_killed_at_each_step_leaves_no_riddle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
