/* test_guess.c -- lanes begin at hints and go on from guesses: however many laps late those are, calls find head and tail. */
#include <string.h>

#include <ptq/ptq.h>

#include "support/ptt.h"

enum { HANDLES = 64, ROUNDS = 7 };

static void put_and_get(ptq_queue *queue, uint64_t number)
{
    uint64_t got = 0;
    size_t size = 0;

    assert_ok(ptq_put(queue, &number, sizeof number, PTQ_NOWAIT));
    assert_ok(ptq_recv(queue, &got, sizeof got, PTQ_NOWAIT, &size));
    assert_int_equal(size, sizeof got);
    assert_int_equal(got, number);
}

static ptq_queue *open_queue(struct ptt_scratch *scratch)
{
    struct ptq_queue_options options = {.capacity = 2, .item_size = 64};
    ptq_queue *queue = NULL;

    assert_ok(ptq_queue_open(scratch->bus, "tasks", &options, &queue));
    return queue;
}

static void a_handle_that_was_idle_for_many_laps_goes_on(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_queue *handles[HANDLES];
    ptq_queue *idle = open_queue(scratch);
    uint64_t number = 1;

    put_and_get(idle, 0);
    for (int i = 0; i < HANDLES; i++) {
        handles[i] = open_queue(scratch);
        put_and_get(handles[i], number++);
    }
    /* None of them comes to where it refreshes the hints by itself. */
    for (int round = 1; round < ROUNDS; round++)
        for (int i = 0; i < HANDLES; i++)
            put_and_get(handles[i], number++);
    put_and_get(idle, number++);
    assert_ok(ptq_end(idle));
    assert_answer(PTQ_EENDED, ptq_put(handles[0], "x", 1, PTQ_NOWAIT));
    assert_answer(PTQ_END, ptq_recv(handles[1], &number, sizeof number, PTQ_NOWAIT, &(size_t){0}));

    for (int i = 0; i < HANDLES; i++)
        ptq_queue_close(handles[i]);
    ptq_queue_close(idle);
}

static void many_short_lives_leave_a_queue_that_works(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ptq_queue_stats stats;
    ptq_queue *keeper = open_queue(scratch);

    for (uint64_t number = 0; number < 500; number++) {
        ptq_queue *queue = open_queue(scratch);
        put_and_get(queue, number);
        ptq_queue_close(queue);
    }

    put_and_get(keeper, 500);
    assert_ok(ptq_queue_stats(keeper, &stats));
    assert_int_equal(stats.acked, 501);
    ptq_queue_close(keeper);
}

static void stats_tell_head_and_tail_exactly(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_queue *queue = open_queue(scratch);
    struct ptq_queue_stats stats;
    uint64_t position = 0;
    ptq_msg *msg = NULL;

    for (uint64_t number = 0; number < 300; number++) {
        assert_ok(ptq_put_position(queue, "x", 1, PTQ_NOWAIT, &position));
        assert_ok(ptq_queue_stats(queue, &stats));
        assert_int_equal(stats.head, position);
        assert_int_equal(stats.tail, position + 1);
        assert_ok(ptq_get(queue, PTQ_NOWAIT, &msg));
        assert_ok(ptq_queue_stats(queue, &stats));
        assert_int_equal(stats.head, position + 1);
        assert_ok(ptq_ack(msg));
    }
    ptq_queue_close(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_handle_that_was_idle_for_many_laps_goes_on, ptt_setup_scratch, ptt_teardown_scratch),
        cmocka_unit_test_setup_teardown(many_short_lives_leave_a_queue_that_works, ptt_setup_scratch, ptt_teardown_scratch),
        cmocka_unit_test_setup_teardown(stats_tell_head_and_tail_exactly, ptt_setup_scratch, ptt_teardown_scratch),
    };

    return cmocka_run_group_tests_name("local guess", tests, NULL, NULL);
}
