/* test_reap.c -- removing queues: on request, by gc, half done by somebody who was killed, and beside people who come in. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <ptq/ptq.h>

#include "base/atomic.h"
#include "bus/attach.h"
#include "os/life.h"
#include "support/ptt.h"

static struct ptt_scratch *scratch_of(void **state)
{
    return *state;
}

static ptq_queue *open_queue(ptq_bus *bus, const char *name)
{
    struct ptq_error error = {0};
    struct ptq_queue_options options = {.capacity = 10, .item_size = 64, .error = &error,
                                        .wait_ms = PTT_LONG}; /* gc, or a remover, may stand still with the queue in hand */
    ptq_queue *queue = NULL;

    if (ptq_queue_open(bus, name, &options, &queue) != PTQ_OK)
        fail_msg("%s", error.text);
    return queue;
}

static void leave_queue(ptq_bus *bus, const char *name, unsigned messages)
{
    ptq_queue *queue = open_queue(bus, name);

    for (unsigned i = 0; i < messages; i++)
        assert_ok(ptq_put(queue, "x", 1, PTQ_NOWAIT));
    ptq_queue_close(queue);
}

static struct ptq_gc_report run_gc(ptq_bus *bus, bool force)
{
    struct ptq_gc_report report = {0};

    assert_ok(ptq_bus_gc(bus, force, &report));
    return report;
}

static int make_file(const ptq_bus *bus, const char *name)
{
    int fd = openat(bus->dirfd, name, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    return fd;
}

static bool has_file(const ptq_bus *bus, const char *name)
{
    return faccessat(bus->dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- gc ---- */

static void gc_removes_what_nobody_has_open_and_holds_nothing(void **state)
{
    ptq_bus *bus = scratch_of(state)->bus;

    leave_queue(bus, "empty", 0);
    leave_queue(bus, "full", 3);
    ptq_queue *used = open_queue(bus, "used");
    struct ptq_gc_report report = run_gc(bus, false);

    assert_int_equal(report.queues, 3);
    assert_int_equal(report.removed, 1);
    assert_int_equal(report.kept, 1);
    assert_int_equal(report.live, 1);
    assert_false(has_file(bus, "empty~v2"));
    assert_true(has_file(bus, "full~v2"));
    assert_ok(ptq_put(used, "x", 1, PTQ_NOWAIT));
    ptq_queue_close(used);
}

static void gc_by_force_removes_what_holds_messages_but_not_what_lives(void **state)
{
    ptq_bus *bus = scratch_of(state)->bus;

    leave_queue(bus, "full", 3);
    ptq_queue *used = open_queue(bus, "used");
    assert_ok(ptq_put(used, "x", 1, PTQ_NOWAIT));
    struct ptq_gc_report report = run_gc(bus, true);

    assert_int_equal(report.removed, 1);
    assert_int_equal(report.live, 1);
    assert_int_equal(ptt_scratch_files(scratch_of(state), NULL), 1);
    ptq_queue_close(used);
}

static void gc_removes_an_ephemeral_queue_with_what_it_holds(void **state)
{
    ptq_bus *bus = scratch_of(state)->bus;
    struct ptq_queue_options options = {.ephemeral = true};
    ptq_queue *queue = NULL;

    assert_ok(ptq_queue_open(bus, "fleeting", &options, &queue));
    assert_ok(ptq_put(queue, "x", 1, PTQ_NOWAIT));
    ptq_queue_close(queue);
    struct ptq_gc_report report = run_gc(bus, false);

    assert_int_equal(report.removed, 1);
    assert_int_equal(ptt_scratch_files(scratch_of(state), NULL), 0);
}

static int lease_and_die(void *context)
{
    ptq_bus *bus = ptt_scratch_open(context);
    ptq_queue *queue = open_queue(bus, "work");
    ptq_msg *msg;

    assert_ok(ptq_get(queue, PTQ_NOWAIT, &msg));
    raise(SIGKILL);
    return 1;
}

static void gc_gives_back_what_the_dead_had_leased(void **state)
{
    ptq_bus *bus = scratch_of(state)->bus;
    ptq_queue *queue = open_queue(bus, "work");
    ptq_msg *msg;

    assert_ok(ptq_put(queue, "x", 1, PTQ_NOWAIT));
    ptt_reap(ptt_fork(lease_and_die, *state), PTT_LONG);
    struct ptq_gc_report report = run_gc(bus, false);

    assert_int_equal(report.live, 1);
    assert_int_equal(report.recovered, 1);
    assert_ok(ptq_get(queue, PTQ_NOWAIT, &msg));
    assert_true(ptq_msg_redelivered(msg));
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
}

static void gc_keeps_the_message_of_a_dead_holder_when_all_are_dead(void **state)
{
    ptq_bus *bus = scratch_of(state)->bus;
    ptq_msg *msg;

    leave_queue(bus, "work", 1);
    ptt_reap(ptt_fork(lease_and_die, *state), PTT_LONG);
    struct ptq_gc_report report = run_gc(bus, false);

    assert_int_equal(report.kept, 1);
    assert_int_equal(report.recovered, 1);
    ptq_queue *queue = open_queue(bus, "work");
    assert_ok(ptq_get(queue, PTQ_NOWAIT, &msg));
    assert_true(ptq_msg_redelivered(msg));
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
}

static void gc_removes_half_made_files_of_the_dead_only(void **state)
{
    ptq_bus *bus = scratch_of(state)->bus;
    int living = make_file(bus, "a~new.0000000000000001");

    assert_int_equal(pti_life_lock_write(living, PTI_LIFE_CREATOR), 0);
    close(make_file(bus, "a~new.0000000000000002"));
    close(make_file(bus, "somebodys-notes"));
    struct ptq_gc_report report = run_gc(bus, false);

    assert_int_equal(report.removed, 1);
    assert_true(has_file(bus, "a~new.0000000000000001"));
    assert_false(has_file(bus, "a~new.0000000000000002"));
    assert_true(has_file(bus, "somebodys-notes"));
    close(living);
}

static void gc_leaves_damaged_queues_to_a_person(void **state)
{
    ptq_bus *bus = scratch_of(state)->bus;

    close(make_file(bus, "short~v2"));
    struct ptq_gc_report report = run_gc(bus, true);

    assert_int_equal(report.kept, 1);
    assert_answer(PTQ_ECORRUPT, ptq_queue_unlink(bus, "short", false));
    assert_ok(ptq_queue_unlink(bus, "short", true));
    assert_false(has_file(bus, "short~v2"));
}

/* ---- on request ---- */

static void unlink_spares_the_living_unless_forced(void **state)
{
    ptq_bus *bus = scratch_of(state)->bus;
    ptq_queue *queue = open_queue(bus, "work");

    assert_answer(PTQ_EBUSY, ptq_queue_unlink(bus, "work", false));
    assert_ok(ptq_put(queue, "x", 1, PTQ_NOWAIT));
    assert_ok(ptq_queue_unlink(bus, "work", true));

    assert_answer(PTQ_EGONE, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    assert_int_equal(ptt_scratch_files(scratch_of(state), NULL), 0);
    assert_ok(ptq_queue_unlink(bus, "work", true));
    ptq_queue *other = open_queue(bus, "work");
    assert_ok(ptq_put(other, "y", 1, PTQ_NOWAIT));
    assert_answer(PTQ_EGONE, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    ptq_queue_close(queue);
    ptq_queue_close(other);
}

/* What a remover leaves that was killed after its mark and before it took the name away. */
static void mark_removed(ptq_bus *bus, const char *name)
{
    struct pti_header header;
    struct pti_ring ring;

    assert_int_equal(pti_attach_view(bus, name, true, NULL, &header, &ring), PTQ_OK);
    pti_fetch_or_seq(&ring.hints->flags, PTI_FLAG_REMOVED);
    pti_ring_fini(&ring);
}

static void a_name_whose_remover_was_killed_half_way_can_be_opened_anew(void **state)
{
    ptq_bus *bus = scratch_of(state)->bus;

    leave_queue(bus, "work", 2);
    mark_removed(bus, "work");
    ptq_queue *queue = open_queue(bus, "work");

    assert_ok(ptq_put(queue, "new", 3, PTQ_NOWAIT));
    ptq_queue_close(queue);
    assert_int_equal(ptt_scratch_files(scratch_of(state), NULL), 1);
}

static void an_attacher_does_not_find_a_queue_that_was_half_removed(void **state)
{
    ptq_bus *bus = scratch_of(state)->bus;
    struct ptq_queue_options options = {.mode = PTQ_ATTACH};
    ptq_queue *queue = NULL;

    leave_queue(bus, "work", 2);
    mark_removed(bus, "work");

    assert_answer(PTQ_ENOENT, ptq_queue_open(bus, "work", &options, &queue));
}

static void an_exclusive_creator_may_follow_one_that_was_half_removed(void **state)
{
    ptq_bus *bus = scratch_of(state)->bus;
    struct ptq_queue_options options = {.mode = PTQ_CREATE};
    ptq_queue *queue = NULL;

    leave_queue(bus, "work", 2);
    assert_answer(PTQ_EEXIST, ptq_queue_open(bus, "work", &options, &queue));
    mark_removed(bus, "work");
    assert_ok(ptq_queue_open(bus, "work", &options, &queue));

    ptq_queue_close(queue);
}

static void gc_finishes_what_a_killed_remover_began(void **state)
{
    ptq_bus *bus = scratch_of(state)->bus;

    leave_queue(bus, "work", 2);
    mark_removed(bus, "work");
    struct ptq_gc_report report = run_gc(bus, false);

    assert_int_equal(report.removed, 1);
    assert_int_equal(ptt_scratch_files(scratch_of(state), NULL), 0);
}

static void a_remover_that_stands_still_holds_up_nobody_s_new_queue(void **state)
{
    ptq_bus *bus = scratch_of(state)->bus;
    struct pti_header header;
    struct pti_ring old;

    leave_queue(bus, "work", 1);
    assert_int_equal(pti_attach_view(bus, "work", true, NULL, &header, &old), PTQ_OK);
    assert_ok(ptq_queue_unlink(bus, "work", true));
    ptq_queue *queue = open_queue(bus, "work"); /* the next of that name, before the first remover goes on */
    assert_true(pti_reap_finish(bus, "work", &old.segment));
    pti_ring_fini(&old);

    assert_true(has_file(bus, "work~v2"));
    assert_ok(ptq_put(queue, "x", 1, PTQ_NOWAIT));
    ptq_queue *other = open_queue(bus, "work");
    char byte;
    size_t size;
    assert_ok(ptq_recv(other, &byte, 1, PTQ_NOWAIT, &size));
    ptq_queue_close(other);
    ptq_queue_close(queue);
}

/* ---- beside others ---- */

enum { PEOPLE = 4, VISITS = 150 };

struct crowd {
    const struct ptt_scratch *scratch;
    struct ptt_page *page; /* word 0: over; word i: what visitor i was refused */
    int self;
};

/* Comes in, puts, takes back, goes: whatever gc does, it must find a queue that works. */
static int visit(void *context)
{
    struct crowd *crowd = context;
    ptq_bus *bus = ptt_scratch_open(crowd->scratch);
    char name[16];

    snprintf(name, sizeof name, "q%d", crowd->self % 2);
    for (int i = 0; i < VISITS; i++) {
        ptq_queue *queue = open_queue(bus, name);
        ptq_msg *msg;
        assert_ok(ptq_put(queue, "x", 1, 20000));
        assert_ok(ptq_get(queue, 20000, &msg));
        assert_ok(ptq_ack(msg));
        ptq_queue_close(queue);
    }
    ptq_bus_close(bus);
    return 0;
}

static int collect(void *context)
{
    struct crowd *crowd = context;
    ptq_bus *bus = ptt_scratch_open(crowd->scratch);

    while (pti_load_acquire(&crowd->page->words[0]) == 0)
        pti_fetch_add_seq(&crowd->page->words[1], run_gc(bus, false).removed);
    ptq_bus_close(bus);
    return 0;
}

static void people_come_and_go_while_gc_runs(void **state)
{
    struct ptt_page *page = ptt_page_new();
    struct crowd crowds[PEOPLE];
    pid_t people[PEOPLE], collectors[2];

    for (int i = 0; i < 2; i++) {
        crowds[0] = (struct crowd){*state, page, i};
        collectors[i] = ptt_fork(collect, &crowds[0]);
    }
    for (int i = 0; i < PEOPLE; i++) {
        crowds[i] = (struct crowd){*state, page, i};
        people[i] = ptt_fork(visit, &crowds[i]);
    }
    for (int i = 0; i < PEOPLE; i++)
        ptt_assert_exit(people[i], 0, 2 * PTT_LONG);
    pti_store_release(&page->words[0], 1);
    for (int i = 0; i < 2; i++)
        ptt_assert_exit(collectors[i], 0, PTT_LONG);

    run_gc(scratch_of(state)->bus, false);
    assert_int_equal(ptt_scratch_files(*state, NULL), 0);
    ptt_page_free(page);
}

static int create_together(void *context)
{
    struct crowd *crowd = context;
    ptq_bus *bus = ptt_scratch_open(crowd->scratch);

    pti_fetch_add_seq(&crowd->page->words[0], 1);
    if (!ptt_wait_word(&crowd->page->words[0], PEOPLE, PTT_LONG))
        return 1;
    ptq_queue *queue = open_queue(bus, "together");
    assert_ok(ptq_put(queue, "x", 1, PTQ_NOWAIT));
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

/* As a visitor, but the queue may be removed under it: then it comes again. */
static int visit_among_removers(void *context)
{
    struct crowd *crowd = context;
    ptq_bus *bus = ptt_scratch_open(crowd->scratch);
    unsigned served = 0;

    while (served < VISITS) {
        ptq_queue *queue = open_queue(bus, "q");
        ptq_msg *msg;
        enum ptq_err answer = ptq_put(queue, "x", 1, 20000);
        if (answer == PTQ_OK && (answer = ptq_get(queue, 20000, &msg)) == PTQ_OK && ptq_ack(msg) == PTQ_OK)
            served++;
        if (answer != PTQ_OK)
            assert_answer(PTQ_EGONE, answer);
        ptq_queue_close(queue);
    }
    ptq_bus_close(bus);
    return 0;
}

static int remove_by_force(void *context)
{
    struct crowd *crowd = context;
    ptq_bus *bus = ptt_scratch_open(crowd->scratch);

    while (pti_load_acquire(&crowd->page->words[0]) == 0) {
        struct timespec pause = {.tv_nsec = 200000};
        enum ptq_err err = ptq_queue_unlink(bus, "q", true);
        if (err != PTQ_EBUSY) /* a collector that stands still has it in hand */
            assert_ok(err);
        pti_fetch_add_seq(&crowd->page->words[2], err == PTQ_OK);
        nanosleep(&pause, NULL); /* or nobody is served */
    }
    ptq_bus_close(bus);
    return 0;
}

static void people_come_and_go_while_others_remove_by_force(void **state)
{
    struct ptt_page *page = ptt_page_new();
    struct crowd crowd = {*state, page, 0};
    pid_t people[PEOPLE], removers[2];

    for (int i = 0; i < 2; i++)
        removers[i] = ptt_fork(remove_by_force, &crowd);
    pid_t collector = ptt_fork(collect, &crowd);
    for (int i = 0; i < PEOPLE; i++)
        people[i] = ptt_fork(visit_among_removers, &crowd);
    for (int i = 0; i < PEOPLE; i++)
        ptt_assert_exit(people[i], 0, 2 * PTT_LONG);
    pti_store_release(&page->words[0], 1);
    for (int i = 0; i < 2; i++)
        ptt_assert_exit(removers[i], 0, PTT_LONG);
    ptt_assert_exit(collector, 0, PTT_LONG);
    assert_true(page->words[2] > 0);
    ptt_page_free(page);
}

static void those_who_create_at_once_meet_in_one_queue(void **state)
{
    for (int round = 0; round < 20; round++) {
        struct ptt_page *page = ptt_page_new();
        struct crowd crowd = {*state, page, 0};
        struct ptq_queue_stats stats;
        pid_t people[PEOPLE];

        for (int i = 0; i < PEOPLE; i++)
            people[i] = ptt_fork(create_together, &crowd);
        for (int i = 0; i < PEOPLE; i++)
            ptt_assert_exit(people[i], 0, PTT_LONG);

        ptq_queue *queue = open_queue(scratch_of(state)->bus, "together");
        assert_ok(ptq_queue_stats(queue, &stats));
        assert_int_equal(stats.ready, PEOPLE);
        assert_int_equal(ptt_scratch_files(*state, NULL), 1);
        ptq_queue_close(queue);
        assert_ok(ptq_queue_unlink(scratch_of(state)->bus, "together", false));
        ptt_page_free(page);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, ptt_setup_scratch, ptt_teardown_scratch)

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(gc_removes_what_nobody_has_open_and_holds_nothing),
        CASE(gc_by_force_removes_what_holds_messages_but_not_what_lives),
        CASE(gc_removes_an_ephemeral_queue_with_what_it_holds),
        CASE(gc_gives_back_what_the_dead_had_leased),
        CASE(gc_keeps_the_message_of_a_dead_holder_when_all_are_dead),
        CASE(gc_removes_half_made_files_of_the_dead_only),
        CASE(gc_leaves_damaged_queues_to_a_person),
        CASE(unlink_spares_the_living_unless_forced),
        CASE(a_name_whose_remover_was_killed_half_way_can_be_opened_anew),
        CASE(an_attacher_does_not_find_a_queue_that_was_half_removed),
        CASE(an_exclusive_creator_may_follow_one_that_was_half_removed),
        CASE(gc_finishes_what_a_killed_remover_began),
        CASE(a_remover_that_stands_still_holds_up_nobody_s_new_queue),
        CASE(people_come_and_go_while_gc_runs),
        CASE(people_come_and_go_while_others_remove_by_force),
        CASE(those_who_create_at_once_meet_in_one_queue),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
