/* case_select.c -- ptq_wait_any: many queues, each side, in one wait. */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "contract/contract.h"

/* A thread in one wait. */
struct waiting {
    struct caller caller; /* first */
    struct ptq_wait waits[4];
    size_t count, first;
};

/* What a program does that was told of a queue: asks.  A spurious one is quiet then.  Two do not fit where one has room, so that
 * asking changes nothing. */
static bool is_spurious(const struct ptq_wait *wait)
{
    struct ptq_bytes two[2] = {{"", 0}, {"", 0}};
    struct ptq_queue_stats stats;
    ptq_msg *msg = NULL;

    if (ptq_queue_stats(wait->queue, &stats) != PTQ_OK || stats.ended)
        return false;
    if (wait->side == PTQ_SIDE_PUT)
        return stats.ready >= stats.capacity &&
               ptq_put_many(wait->queue, two, 2, PTQ_NOWAIT, NULL) == PTQ_FULL;
    if (stats.ready > 0)
        return false;
    enum ptq_err err = ptq_get(wait->queue, PTQ_NOWAIT, &msg);
    if (err == PTQ_OK)
        (void)ptq_nack(msg, 0);
    return err == PTQ_EMPTY;
}

static enum ptq_err wait_truly(struct ptq_wait *waits, size_t count, int timeout_ms, size_t *ret_first)
{
    enum ptq_err err;

    do
        err = ptq_wait_any(waits, count, timeout_ms, ret_first);
    while (err == PTQ_OK && is_spurious(&waits[*ret_first]));
    return err;
}

static enum ptq_err call_wait(struct caller *caller)
{
    struct waiting *w = (struct waiting *)(void *)caller;

    return wait_truly(w->waits, w->count, caller->timeout_ms, &w->first);
}

static struct waiting waiting_for(ptq_queue *a, ptq_queue *b)
{
    return (struct waiting){.caller = {.call = call_wait, .timeout_ms = PTQ_FOREVER},
                            .waits = {{.queue = a}, {.queue = b}},
                            .count = 2};
}

/* Spurious readiness is answered by a get that says EMPTY; then the wait says so too. */
static void come_to_rest(struct ptq_wait *waits, size_t count)
{
    enum ptq_err err = PTQ_OK;

    for (int i = 0; i < 100 && (err == PTQ_OK || err == PTQ_EINTR); i++) { /* an interrupt may be left for this thread */
        err = ptq_wait_any(waits, count, 20, NULL);
        for (size_t n = 0; err == PTQ_OK && n < count; n++)
            assert_true(!waits[n].ready || is_spurious(&waits[n]));
    }
    assert_answer(PTQ_TIMEDOUT, err);
}

static void nothing_ready_is_empty_or_late(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open(c, "a", NULL), *b = contract_open(c, "b", NULL);
    struct ptq_wait waits[] = {{.queue = a}, {.queue = b}};
    size_t first = 7;

    come_to_rest(waits, 2);
    assert_answer(PTQ_EMPTY, ptq_wait_any(waits, 2, PTQ_NOWAIT, &first));
    int64_t before = contract_now_ms();
    assert_answer(PTQ_TIMEDOUT, ptq_wait_any(waits, 2, 300, &first));
    assert_true(contract_now_ms() - before >= 299);
    assert_int_equal(first, 7);
    assert_false(waits[0].ready || waits[1].ready);
    ptq_queue_close(a);
    ptq_queue_close(b);
}

static void it_tells_which_are_ready(void **state)
{
    struct contract *c = *state;
    ptq_queue *queues[] = {contract_open(c, "a", NULL), contract_open(c, "b", NULL), contract_open(c, "c", NULL)};
    struct ptq_wait waits[] = {{.queue = queues[0]}, {.queue = queues[1]}, {.queue = queues[2]}};
    size_t first = 7;

    come_to_rest(waits, 3);
    put_number(queues[1], 1);
    assert_ok(wait_truly(waits, 3, PTT_LONG, &first));
    assert_int_equal(first, 1);
    assert_true(waits[1].ready);
    assert_true(contract_differs(c, DIFFERENCE_ready_may_be_spurious) || (!waits[0].ready && !waits[2].ready));
    assert_int_equal(recv_number(queues[1]), 1);
    for (int i = 0; i < 3; i++)
        ptq_queue_close(queues[i]);
}

static void those_ready_are_told_by_turns(void **state)
{
    struct contract *c = *state;
    ptq_queue *queues[] = {contract_open(c, "a", NULL), contract_open(c, "b", NULL), contract_open(c, "c", NULL)};
    struct ptq_wait waits[] = {{.queue = queues[0]}, {.queue = queues[1]}, {.queue = queues[2]}};
    unsigned told[3] = {0};

    for (int i = 0; i < 3; i++)
        put_number(queues[i], (uint64_t)i);
    for (int i = 0; i < 9; i++) {
        size_t first = 7;
        assert_ok(ptq_wait_any(waits, 3, PTQ_NOWAIT, &first));
        told[first]++;
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(told[i], 3);
        ptq_queue_close(queues[i]);
    }
}

static void a_put_into_any_wakes_it(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open(c, "a", NULL), *b = contract_open(c, "b", NULL);
    struct ptq_wait both[] = {{.queue = a}, {.queue = b}};

    for (uint64_t i = 0; i < 6; i++) {
        struct waiting w = waiting_for(a, b);
        come_to_rest(both, 2);
        caller_start_sleeping(&w.caller);
        if (i >= 4)
            assert_false(caller_is_done(&w.caller, 300)); /* a long sleep */
        put_number(i % 2 ? b : a, i);
        assert_ok(caller_join(&w.caller));
        assert_int_equal(w.first, i % 2);
        assert_int_equal(recv_number(i % 2 ? b : a), i);
    }
    ptq_queue_close(a);
    ptq_queue_close(b);
}

static void room_wakes_it_on_the_put_side(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open_sized(c, "a", 2, 64), *b = contract_open(c, "b", NULL);
    struct waiting w = waiting_for(a, b);

    w.waits[0].side = PTQ_SIDE_PUT;
    put_number(a, 1);
    put_number(a, 2);
    come_to_rest(w.waits, 2);
    for (uint64_t i = 1; i < 4; i++) {
        caller_start_sleeping(&w.caller);
        if (i == 3)
            assert_false(caller_is_done(&w.caller, 300));
        assert_int_equal(recv_number(a), i);
        assert_ok(caller_join(&w.caller));
        assert_int_equal(w.first, 0);
        assert_ok(ptq_put(a, &(uint64_t){i + 2}, 8, PTT_LONG));
        come_to_rest(w.waits, 2);
    }
    ptq_queue_close(a);
    ptq_queue_close(b);
}

static void both_sides_of_one_handle_and_one_queue_twice(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open_sized(c, "a", 1, 64), *again = contract_open(c, "a", NULL);
    struct ptq_wait waits[] = {{.queue = a}, {.queue = a, .side = PTQ_SIDE_PUT}, {.queue = again}, {.queue = a}};
    struct waiting w = {.caller = {.call = call_wait, .timeout_ms = PTQ_FOREVER}, .count = 4};
    ptq_msg *msg = NULL;

    assert_ok(ptq_wait_any(waits, 4, PTQ_NOWAIT, NULL));
    assert_true(waits[1].ready);
    put_number(a, 1);
    assert_ok(ptq_wait_any(waits, 4, PTT_LONG, NULL));
    assert_true(waits[0].ready && waits[3].ready);
    msg = get_number(a, 1);
    memcpy(w.waits, waits, sizeof waits);
    w.waits[1].queue = NULL; /* there is room: passed over */
    struct ptq_wait gets[] = {{.queue = a}, {.queue = again}};
    come_to_rest(gets, 2);
    caller_start_sleeping(&w.caller);
    assert_ok(ptq_nack(msg, 0));
    assert_ok(caller_join(&w.caller));
    assert_int_not_equal(w.first, 1);
    assert_int_equal(recv_number(again), 1);
    ptq_queue_close(again);
    ptq_queue_close(a);
}

static void an_end_or_a_removal_is_ready(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open(c, "a", NULL), *b = contract_open(c, "b", NULL);
    struct waiting w = waiting_for(a, b);

    come_to_rest(w.waits, 2);
    caller_start_sleeping(&w.caller);
    assert_ok(ptq_end(a));
    assert_ok(caller_join(&w.caller));
    assert_int_equal(w.first, 0);
    assert_get(PTQ_END, a);

    w.waits[0].queue = NULL;
    come_to_rest(w.waits, 2);
    caller_start_sleeping(&w.caller);
    assert_ok(ptq_queue_unlink(c->home.bus, "b", true));
    assert_ok(caller_join(&w.caller));
    assert_int_equal(w.first, 1);
    assert_get(PTQ_EGONE, b);
    assert_ok(ptq_wait_any(w.waits, 2, PTQ_NOWAIT, &w.first)); /* and stays */
    assert_int_equal(w.first, 1);
    ptq_queue_close(a);
    ptq_queue_close(b);
}

static void the_death_of_a_holder_is_noticed(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open(c, "a", NULL), *b = contract_open(c, "b", NULL);
    struct ptt_page *page = contract_page_new();
    struct waiting w = waiting_for(a, b);
    ptq_msg *msg = NULL;

    put_number(b, 5);
    pid_t child = contract_child(c, "hold-leases", "b", page, 1);
    assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
    come_to_rest(w.waits, 2);
    caller_start_sleeping(&w.caller);
    assert_false(caller_is_done(&w.caller, 50));
    ptt_kill(child);
    while (msg == NULL) {
        assert_ok(caller_join(&w.caller));
        enum ptq_err err = ptq_get(w.waits[w.first].queue, PTQ_NOWAIT, &msg);
        assert_true(err == PTQ_OK || err == PTQ_EMPTY);
        if (err == PTQ_EMPTY)
            caller_start(&w.caller);
    }
    assert_int_equal(number_of(msg), 5);
    assert_true(ptq_msg_redelivered(msg));
    assert_ok(ptq_ack(msg));
    contract_page_free(page);
    ptq_queue_close(a);
    ptq_queue_close(b);
}

static void a_due_message_ends_the_wait(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open(c, "a", NULL), *b = contract_open(c, "b", NULL);
    struct ptq_wait waits[] = {{.queue = a}, {.queue = b}};
    ptq_msg *msg = NULL;

    come_to_rest(waits, 2);
    put_number(b, 1);
    assert_ok(ptq_nack(get_number(b, 1), 120));
    while (msg == NULL) {
        size_t first = 0;
        assert_ok(ptq_wait_any(waits, 2, PTT_LONG, &first));
        enum ptq_err err = ptq_get(waits[first].queue, PTQ_NOWAIT, &msg);
        assert_true(err == PTQ_OK || err == PTQ_EMPTY);
    }
    assert_int_equal(number_of(msg), 1);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(a);
    ptq_queue_close(b);
}

/* ---- interrupts */

static void do_nothing(int signal) { (void)signal; }

static void a_signal_handler_ends_it_also_with_sa_restart(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open(c, "a", NULL), *b = contract_open(c, "b", NULL);
    struct sigaction restart = {.sa_handler = do_nothing, .sa_flags = SA_RESTART}, before;
    struct waiting w = waiting_for(a, b);

    assert_int_equal(sigaction(SIGUSR1, &restart, &before), 0);
    come_to_rest(w.waits, 2);
    for (int i = 0; i < 30; i++) {
        caller_start_sleeping(&w.caller);
        if (i >= 25)
            assert_false(caller_is_done(&w.caller, 15)); /* on descriptors by now */
        do /* who sleeps for a lock, for a moment, is not met */
            pthread_kill(w.caller.thread, SIGUSR1);
        while (c->carrier->remote && !caller_is_done(&w.caller, 300));
        assert_answer(PTQ_EINTR, caller_join(&w.caller));
    }
    sigaction(SIGUSR1, &before, NULL);
    ptq_queue_close(a);
    ptq_queue_close(b);
}

static void interrupt_on_any_of_them_ends_it_once(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open(c, "a", NULL), *b = contract_open(c, "b", NULL);
    struct waiting w = waiting_for(a, b);

    for (int i = 0; i < 6; i++) {
        come_to_rest(w.waits, 2);
        caller_start_sleeping(&w.caller);
        if (i >= 4)
            assert_false(caller_is_done(&w.caller, 30));
        ptq_interrupt(i % 2 ? b : a);
        assert_answer(PTQ_EINTR, caller_join(&w.caller));
    }
    come_to_rest(w.waits, 2);
    ptq_queue_close(a);
    ptq_queue_close(b);
}

static void interrupt_before_it_ends_the_next_sleep(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open(c, "a", NULL), *b = contract_open(c, "b", NULL);
    struct ptq_wait waits[] = {{.queue = a}, {.queue = b}};

    come_to_rest(waits, 2);
    ptq_interrupt(b);
    assert_answer(PTQ_EINTR, ptq_wait_any(waits, 2, PTT_LONG, NULL));
    come_to_rest(waits, 2);
    ptq_queue_close(a);
    ptq_queue_close(b);
}

static void closing_one_of_them_ends_it(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open(c, "a", NULL);

    for (int i = 0; i < 4; i++) {
        ptq_queue *b = contract_open(c, "b", NULL);
        struct waiting w = waiting_for(a, b);
        come_to_rest(w.waits, 2);
        w.waits[2] = (struct ptq_wait){.queue = b};
        w.count = 3;
        caller_start_sleeping(&w.caller);
        if (i >= 2)
            assert_false(caller_is_done(&w.caller, 30));
        ptq_queue_close(b);
        assert_answer(PTQ_EINTR, caller_join(&w.caller));
    }
    ptq_queue_close(a);
}

static void arguments_without_sense_are_refused(void **state)
{
    struct contract *c = *state;
    ptq_queue *a = contract_open(c, "a", NULL);
    struct ptq_wait waits[] = {{.queue = NULL}, {.queue = a, .side = (enum ptq_side)2}};

    assert_answer(PTQ_EINVAL, ptq_wait_any(NULL, 1, PTQ_FOREVER, NULL));
    assert_answer(PTQ_EINVAL, ptq_wait_any(waits, 0, PTQ_FOREVER, NULL));
    assert_answer(PTQ_EINVAL, ptq_wait_any(waits, 1, PTQ_FOREVER, NULL));
    assert_answer(PTQ_EINVAL, ptq_wait_any(waits, 2, PTQ_FOREVER, NULL));
    ptq_queue_close(a);
}

/* ---- a stream */

static void drain(ptq_queue *queue, uint64_t most, uint64_t *next)
{
    for (; most > 0; most--) {
        uint64_t number = 0;
        size_t size = 0;
        enum ptq_err err = ptq_recv(queue, &number, sizeof number, PTQ_NOWAIT, &size);
        if (err == PTQ_EMPTY)
            return;
        assert_ok(err);
        assert_int_equal(number, (*next)++);
    }
}

static void streams_of_three_queues_with_random_drains_never_stall(void **state)
{
    struct contract *c = *state;
    uint64_t count = c->carrier->remote ? 1000 : 40000, next[3] = {0}, seed = ptt_seed();
    const char *names[] = {"a", "b", "c"};
    struct ptq_wait waits[3];
    pid_t children[3];

    for (int i = 0; i < 3; i++)
        waits[i] = (struct ptq_wait){.queue = contract_open_sized(c, names[i], 10u * (unsigned)i + 1, 64)};
    for (int i = 0; i < 3; i++)
        children[i] = contract_child(c, "put-numbers", names[i], NULL, count);
    while (next[0] + next[1] + next[2] < 3 * count) {
        size_t first = 0;
        enum ptq_err err = ptq_wait_any(waits, 3, PTT_LONG, &first);
        if (err != PTQ_OK)
            fail_msg("%s at %llu, %llu, %llu", ptq_err_name(err), (unsigned long long)next[0],
                     (unsigned long long)next[1], (unsigned long long)next[2]);
        drain(waits[first].queue, 1 + ptt_random(&seed) % 20, &next[first]);
    }
    for (int i = 0; i < 3; i++) {
        ptt_assert_exit(children[i], 0, PTT_LONG);
        ptq_queue_close(waits[i].queue);
        contract_verify(c, names[i]);
    }
}

static const struct contract_case select_cases[] = {
    CONTRACT_CASE(nothing_ready_is_empty_or_late),
    CONTRACT_CASE(it_tells_which_are_ready),
    CONTRACT_CASE(those_ready_are_told_by_turns),
    CONTRACT_CASE(a_put_into_any_wakes_it),
    CONTRACT_CASE(room_wakes_it_on_the_put_side),
    CONTRACT_CASE(both_sides_of_one_handle_and_one_queue_twice),
    CONTRACT_CASE(an_end_or_a_removal_is_ready),
    CONTRACT_CASE(the_death_of_a_holder_is_noticed),
    CONTRACT_CASE(a_due_message_ends_the_wait),
    CONTRACT_CASE(a_signal_handler_ends_it_also_with_sa_restart),
    CONTRACT_CASE(interrupt_on_any_of_them_ends_it_once),
    CONTRACT_CASE(interrupt_before_it_ends_the_next_sleep),
    CONTRACT_CASE(closing_one_of_them_ends_it),
    CONTRACT_CASE(arguments_without_sense_are_refused),
    CONTRACT_CASE(streams_of_three_queues_with_random_drains_never_stall),
};
CONTRACT_GROUP(select);
