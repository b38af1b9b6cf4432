/* test_pipes.c -- the owner of an end of a pipe is killed, or stopped, at an instruction of what it does with it.
 *
 * It sends, by copy and in place, receives, by copy and in place, says that nothing more will come, and closes; or gives the point on with a
 * message in hand.  The other end gets what was promised, in order, each once, and then learns what became of it; while it stands still
 * nobody waits for it.  (Deaths between calls of the kernel while ends are made and opened: tests/process/test_pipe_deaths.c.)
 *     crash_pipes [all | N]: every instruction, or every so many; else some.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash/path.h"
#include "support/ptt.h"

#include <ptq/ptq.h>

enum { BEGUN, DONE, TAKING, TAKEN, ENDING, CLOSING, GIVING, REF }; /* words of the page; REF: a text from there on */

#define OURS 11u /* what the parent sends: from 11 on, three before the victim begins */
#define SENT 4u  /* by the victim, from 1 on */

struct run {
    struct ptt_scratch scratch;
    struct ptt_page *page;
    const struct who *who;
    const char *what;
    uint64_t at, seed, stride;
    ptq_pipe *pipe; /* the parent's end */
    unsigned runs, wrong;
};

static void complain(struct run *run, const char *what);

/* -- the victim ------------------------------------------------------------------------------------------------- */

static enum ptq_err take_end(struct run *run, bool anchor, ptq_pipe **ret_pipe)
{
    ptq_bus *bus = ptt_scratch_open(&run->scratch);
    struct ptq_pipe_options options = {.name = "p", .capacity = 10, .item_size = 64, .max_endpoints = 6};

    return anchor ? ptq_pipe_pair(bus, &options, ret_pipe, NULL) : ptq_pipe_open(bus, "p", NULL, ret_pipe);
}

static bool send_next(struct run *run, ptq_pipe *pipe, bool in_place)
{
    uint64_t number = ++run->page->words[BEGUN];
    enum ptq_err err;
    ptq_msg *loan;

    if (in_place) {
        err = ptq_pipe_loan(pipe, sizeof number, PTQ_NOWAIT, &loan);
        if (err == PTQ_OK) {
            memcpy(ptq_msg_buffer(loan), &number, sizeof number);
            err = ptq_pipe_publish(pipe, loan, sizeof number, PTQ_NOWAIT);
        }
    } else {
        err = ptq_pipe_send(pipe, &number, sizeof number, PTQ_NOWAIT);
    }
    run->page->words[DONE] += err == PTQ_OK;
    return err == PTQ_OK;
}

static bool is_next(struct run *run, const void *data)
{
    uint64_t number;

    memcpy(&number, data, sizeof number);
    return number == OURS + run->page->words[TAKEN]++;
}

static bool take_next(struct run *run, ptq_pipe *pipe)
{
    uint64_t number;
    size_t size;

    run->page->words[TAKING]++;
    return ptq_pipe_recv(pipe, &number, sizeof number, PTT_LONG, &size) == PTQ_OK && is_next(run, &number);
}

static bool take_next_in_place(struct run *run, ptq_pipe *pipe)
{
    ptq_msg *msg;

    run->page->words[TAKING]++;
    return ptq_pipe_get(pipe, PTT_LONG, &msg) == PTQ_OK && is_next(run, ptq_msg_data(msg)) && ptq_ack(msg) == PTQ_OK;
}

static int talk(struct run *run, bool anchor)
{
    ptq_pipe *pipe;

    if (take_end(run, anchor, &pipe) != PTQ_OK)
        return 1;
    victim_mark();
    if (!send_next(run, pipe, false) || !send_next(run, pipe, true) || !take_next(run, pipe) || !send_next(run, pipe, false) ||
        !take_next_in_place(run, pipe) || !send_next(run, pipe, true))
        return 2;
    run->page->words[ENDING] = 1;
    if (ptq_pipe_end(pipe) != PTQ_OK)
        return 3;
    run->page->words[ENDING] = 2;
    if (!take_next(run, pipe))
        return 4;
    run->page->words[CLOSING] = 1;
    ptq_pipe_close(pipe);
    run->page->words[CLOSING] = 2;
    return 0;
}

static int talk_as_point(void *run) { return talk(run, false); }
static int talk_as_anchor(void *run) { return talk(run, true); }

/* With a message in hand. */
static int give_on(void *context)
{
    struct run *run = context;
    ptq_pipe *pipe;
    ptq_msg *msg;

    if (take_end(run, false, &pipe) != PTQ_OK)
        return 1;
    victim_mark();
    if (!send_next(run, pipe, false) || ptq_pipe_get(pipe, PTQ_NOWAIT, &msg) != PTQ_OK)
        return 2;
    run->page->words[GIVING] = 1;
    if (ptq_pipe_give(pipe, (char *)(uintptr_t)&run->page->words[REF], PTQ_REF_SIZE) != PTQ_OK)
        return 3;
    run->page->words[GIVING] = 2;
    return 0;
}

/* -- before ----------------------------------------------------------------------------------------------------- */

static struct path paths[3];
static bool wholly; /* else not in close, where the whole pipe is looked at, in more instructions than in all before: there test_pipe_deaths.c kills */

static const struct who {
    const char *name;
    int (*life)(void *);
    bool anchor, gives;
    struct path *path;
} point = {"point", talk_as_point, false, false, &paths[0]}, anchor = {"anchor", talk_as_anchor, true, false, &paths[1]},
  giver = {"who gives the point on", give_on, false, true, &paths[2]};

static void send_ours(struct run *run, uint64_t number)
{
    assert_ok(ptq_pipe_send(run->pipe, &number, sizeof number, PTQ_NOWAIT));
}

/* It stands at its mark, has its end, and three messages wait for it. */
static void start(struct run *run, struct victim *victim)
{
    ptt_scratch_init(&run->scratch);
    memset(run->page, 0, sizeof *run->page);
    run->pipe = NULL;
    if (!run->who->anchor)
        assert_ok(take_end(run, true, &run->pipe));
    victim_start(victim, run->who->life, run);
    assert_false(victim->over);
    if (run->who->anchor)
        assert_ok(take_end(run, false, &run->pipe));
    for (unsigned i = 0; i < 3; i++)
        send_ours(run, OURS + i);
}

static bool bring(struct run *run, struct victim *victim, uint64_t at)
{
    run->at = at;
    start(run, victim);
    if (victim_run_to(victim, run->who->path->places[at], run->who->path->times[at], 2000))
        return true;
    victim_finish(victim);
    return false;
}

static void clear(struct run *run)
{
    ptq_pipe_close(run->pipe);
    assert_ok(ptq_pipe_unlink(run->scratch.bus, "p", false));
    assert_int_equal(ptt_scratch_files(&run->scratch, NULL), 0);
    ptt_scratch_fini(&run->scratch);
    run->runs++;
}

/* -- after ------------------------------------------------------------------------------------------------------ */

static void complain(struct run *run, const char *what)
{
    if (run->wrong++ < 10)
        print_error("%s, %s %llu: %s\n", run->who->name, run->what, (unsigned long long)run->at, what);
}

/* What is there now, from *next on.  The answer behind it. */
static enum ptq_err receive(struct run *run, uint64_t *next, int timeout_ms)
{
    uint64_t number;
    size_t size;
    enum ptq_err err;

    while ((err = ptq_pipe_recv(run->pipe, &number, sizeof number, timeout_ms, &size)) == PTQ_OK)
        if (number != (*next)++)
            complain(run, "what was received is not the next one");
    return err;
}

static void check_count(struct run *run, uint64_t next)
{
    if (next - 1 < run->page->words[DONE] || next - 1 > run->page->words[BEGUN])
        complain(run, "something was lost, or is too much");
}

/* It is over with that end, and everybody is told the same. */
static void check_fate(struct run *run, enum ptq_err answer)
{
    bool closing = run->page->words[CLOSING] != 0, closed = run->page->words[CLOSING] == 2;
    bool ending = run->page->words[ENDING] != 0;
    enum ptq_pipe_peer peer;
    ptq_pipe *other;

    assert_ok(ptq_pipe_peer(run->pipe, &peer));
    if (peer != PTQ_PIPE_DIED && !(peer == PTQ_PIPE_CLOSED && closing))
        complain(run, "it is neither dead nor closed");
    if (peer == PTQ_PIPE_DIED && closed)
        complain(run, "it was closed, and seems to have died");
    if (answer != PTQ_EDIED && !(answer == PTQ_END && (ending || peer == PTQ_PIPE_CLOSED)))
        complain(run, ptq_err_name(answer));
    enum ptq_err fate = peer == PTQ_PIPE_CLOSED ? PTQ_EENDED : PTQ_EDIED;
    enum ptq_err err = ptq_pipe_send(run->pipe, "x", 1, PTT_LONG);
    if (err != fate && !(err == PTQ_OK && answer == PTQ_END)) /* who said that nothing more would come may still receive */
        complain(run, ptq_err_name(err));
    if (!run->who->anchor && ptq_pipe_open(run->scratch.bus, "p", NULL, &other) != fate)
        complain(run, "who opens it is told otherwise");
}

/* The next owner gets first what this one had in hand, or there is none. */
static void check_given(struct run *run)
{
    uint64_t number = 0, next = OURS;
    enum ptq_pipe_peer peer;
    ptq_pipe *mine = run->pipe, *other = NULL;
    size_t size;

    assert_ok(ptq_pipe_peer(mine, &peer));
    if (peer == PTQ_PIPE_DIED && run->page->words[GIVING] != 2) {
        check_fate(run, PTQ_EDIED);
        return;
    }
    const char *ref = run->page->words[GIVING] == 2 ? (const char *)(uintptr_t)&run->page->words[REF] : "p";
    if (peer != PTQ_PIPE_NOBODY || run->page->words[GIVING] == 0)
        complain(run, "it was not given, and is nobody's");
    assert_ok(ptq_pipe_open(run->scratch.bus, ref, NULL, &other));
    while (next < OURS + 3 && ptq_pipe_recv(other, &number, sizeof number, PTT_LONG, &size) == PTQ_OK)
        if (number != next++)
            complain(run, "its next owner gets something else first");
    if (next != OURS + 3 || ptq_pipe_recv(other, &number, sizeof number, PTQ_NOWAIT, &size) != PTQ_EMPTY)
        complain(run, "its next owner gets too few, or too many");
    ptq_pipe_close(other);
}

static void check_all(struct run *run, uint64_t next)
{
    enum ptq_err err = PTQ_EMPTY;

    if (run->who->gives)
        err = receive(run, &next, PTQ_NOWAIT);
    else
        err = receive(run, &next, PTT_LONG);
    check_count(run, next);
    if (run->who->gives)
        check_given(run);
    else
        check_fate(run, err);
}

static void init(struct run *run, const struct who *who, const char *what)
{
    struct victim victim;

    if (!victim_is_possible()) {
        print_message("skipped: no single steps here\n");
        skip();
    }
    *run = (struct run){.page = ptt_page_new(), .who = who, .what = what, .seed = ptt_seed()};
    if (who->path->count == 0) {
        start(run, &victim);
        path_step(who->path, &victim, 1000, wholly ? NULL : &run->page->words[CLOSING]);
        victim_kill(&victim);
        if (wholly && (!WIFEXITED(victim.status) || WEXITSTATUS(victim.status) != 0))
            complain(run, "undisturbed it does not come to its end");
        clear(run);
        run->runs = 0;
    }
    assert_in_range(who->path->count, 300, PATH_MOST - 1);
}

static uint64_t begin(struct run *run, uint64_t some)
{
    run->stride = path_stride(run->who->path, some);
    return ptt_random(&run->seed) % run->stride;
}

static void fini(struct run *run)
{
    print_message("  %s: %llu instructions, %s %u times, %u wrong\n", run->who->name, (unsigned long long)run->who->path->count, run->what,
                  run->runs, run->wrong);
    ptt_page_free(run->page);
    assert_int_equal(run->wrong, 0);
    assert_true(run->runs >= 10);
}

/* -- killed, and stopped ---------------------------------------------------------------------------------------- */

static void kill_everywhere(const struct who *who)
{
    struct run run;

    init(&run, who, "killed at");
    for (uint64_t at = begin(&run, 30); at < who->path->count; at += run.stride) {
        struct victim victim;
        (void)bring(&run, &victim, at);
        victim_kill(&victim);
        check_all(&run, 1);
        clear(&run);
    }
    fini(&run);
}

static void an_owner_may_die_at_any_instruction(void **state)
{
    (void)state;
    kill_everywhere(&point);
    kill_everywhere(&anchor);
}

static void who_gives_the_point_on_may_die_at_any_instruction(void **state)
{
    (void)state;
    kill_everywhere(&giver);
}

/* What was sent is had, and there is room, at once; and nothing more comes of it when it goes on. */
static void stop_everywhere(const struct who *who)
{
    struct run run;

    init(&run, who, "stopped at");
    for (uint64_t at = begin(&run, 30); at < who->path->count; at += run.stride) {
        struct victim victim;
        uint64_t next = 1;
        bool stands = bring(&run, &victim, at), over = run.page->words[ENDING] != 0 || run.page->words[CLOSING] != 0;
        alarm(60); /* a peer that waits for the stopped one ends here */
        enum ptq_err err = receive(&run, &next, PTQ_NOWAIT);
        if (err != PTQ_EMPTY && !(err == PTQ_END && (over || !stands)))
            complain(&run, ptq_err_name(err));
        check_count(&run, next);
        err = ptq_pipe_send(run.pipe, &(uint64_t){OURS + 3}, sizeof(uint64_t), PTQ_NOWAIT);
        if (err != PTQ_OK && !(err == PTQ_EENDED && (over || !stands)))
            complain(&run, ptq_err_name(err));
        alarm(0);
        victim_finish(&victim);
        if (!WIFEXITED(victim.status) || WEXITSTATUS(victim.status) != 0)
            complain(&run, "it did not come to its end");
        err = receive(&run, &next, PTT_LONG);
        if (err != PTQ_END || next != SENT + 1 || run.page->words[TAKEN] != 3)
            complain(&run, "not all was sent and received");
        clear(&run);
    }
    fini(&run);
}

static void an_owner_that_is_stopped_at_any_instruction_holds_up_nobody(void **state)
{
    (void)state;
    stop_everywhere(&point);
    stop_everywhere(&anchor);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_owner_may_die_at_any_instruction),
        cmocka_unit_test(who_gives_the_point_on_may_die_at_any_instruction),
        cmocka_unit_test(an_owner_that_is_stopped_at_any_instruction_holds_up_nobody),
    };

    wholly = path_arguments(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
