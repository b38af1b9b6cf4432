/* case_wait.c -- waiting: deadlines, wake-ups, signals, interrupts. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include "contract/contract.h"

static void an_answer_never_comes_before_its_deadline(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 1, 64);
    static const int timeouts[] = {1, 10, 60, 320};
    ptq_msg *msg = NULL;
    char buffer[8];
    size_t size = 0;

    for (int i = 0; i < 4; i++) {
        int64_t start = contract_now_ms();
        assert_answer(PTQ_TIMEDOUT, ptq_get(queue, timeouts[i], &msg));
        assert_true(contract_now_ms() - start >= timeouts[i] - 1);
    }
    assert_answer(PTQ_TIMEDOUT, ptq_recv(queue, buffer, 8, 10, &size));
    assert_answer(PTQ_TIMEDOUT, ptq_get_many(queue, &msg, 1, 1, 10, &size));
    put_number(queue, 1);
    for (int i = 0; i < 4; i++) {
        int64_t start = contract_now_ms();
        assert_answer(PTQ_TIMEDOUT, ptq_put(queue, "x", 1, timeouts[i]));
        assert_true(contract_now_ms() - start >= timeouts[i] - 1);
    }
    assert_null(msg);
    ptq_queue_close(queue);
}

static void nowait_asks_once(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 1, 64);
    ptq_msg *msg = NULL;
    char buffer[8];
    size_t size = 0;

    assert_answer(PTQ_EMPTY, ptq_get(queue, PTQ_NOWAIT, &msg));
    assert_answer(PTQ_EMPTY, ptq_get_many(queue, &msg, 1, 1, PTQ_NOWAIT, &size));
    assert_answer(PTQ_EMPTY, ptq_recv(queue, buffer, 8, PTQ_NOWAIT, &size));
    put_number(queue, 1);
    assert_answer(PTQ_FULL, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    assert_answer(PTQ_FULL, ptq_put_many(queue, &(struct ptq_bytes){"x", 1}, 1, PTQ_NOWAIT, NULL));
    ptq_queue_close(queue);
}

static void a_put_wakes_a_sleeping_get(void **state)
{
    struct contract *c = *state;
    ptq_queue *here = contract_open(c, "tasks", NULL), *there = contract_open(c, "tasks", NULL);

    for (uint64_t i = 1; i <= 20; i++) {
        struct caller caller = {.call = call_get, .queue = there, .timeout_ms = PTQ_FOREVER};
        caller_start_sleeping(&caller);
        put_number(here, i);
        assert_ok(caller_join(&caller));
        assert_int_equal(caller.number, i);
    }
    ptq_queue_close(here);
    ptq_queue_close(there);
}

static void a_long_sleep_is_woken_as_well(void **state)
{
    struct contract *c = *state;
    ptq_queue *here = contract_open(c, "tasks", NULL), *there = contract_open(c, "tasks", NULL);
    struct caller caller = {.call = call_get, .queue = there, .timeout_ms = PTQ_FOREVER};

    caller_start_sleeping(&caller);
    assert_false(caller_is_done(&caller, 400)); /* beyond the first slice of a sleep */
    put_number(here, 9);
    assert_ok(caller_join(&caller));

    assert_int_equal(caller.number, 9);
    ptq_queue_close(here);
    ptq_queue_close(there);
}

static void a_lease_wakes_a_put_that_waits_for_room(void **state)
{
    struct contract *c = *state;
    ptq_queue *here = contract_open_sized(c, "tasks", 1, 64), *there = contract_open(c, "tasks", NULL);

    put_number(here, 0);
    for (uint64_t i = 1; i <= 20; i++) {
        struct caller caller = {.call = call_put, .queue = there, .timeout_ms = PTQ_FOREVER, .number = i};
        caller_start_sleeping(&caller);
        ptq_msg *msg = get_number(here, i - 1);
        assert_ok(caller_join(&caller)); /* leased is enough */
        assert_ok(ptq_ack(msg));
    }
    ptq_queue_close(here);
    ptq_queue_close(there);
    contract_verify(c, "tasks");
}

struct hoard {
    struct caller caller;
    ptq_msg *held[4096];
    size_t count;
    _Atomic uint64_t spent; /* no block is left: held[0 .. count) are there */
};

/* Leases take the blocks until no put of this thread finds one; then a put that waits. */
static enum ptq_err call_put_without_blocks(struct caller *caller)
{
    struct hoard *hoard = (struct hoard *)caller;

    while (hoard->count < 4096 && ptq_put(caller->queue, "x", 1, PTQ_NOWAIT) == PTQ_OK) {
        if (ptq_get(caller->queue, PTQ_NOWAIT, &hoard->held[hoard->count]) != PTQ_OK)
            return PTQ_ESYS;
        hoard->count++;
    }
    hoard->spent = 1;
    return call_put(caller);
}

static void an_ack_wakes_a_put_that_waits_for_a_block(void **state)
{
    struct contract *c = *state;
    struct hoard *hoard = calloc(1, sizeof *hoard);
    ptq_queue *here = contract_open_sized(c, "tasks", 1, 64), *there = contract_open(c, "tasks", NULL);

    hoard->caller = (struct caller){
        .call = call_put_without_blocks, .queue = there, .timeout_ms = PTQ_FOREVER, .number = 77};
    caller_start(&hoard->caller);
    assert_true(ptt_wait_word(&hoard->spent, 1, PTT_LONG));
    assert_true(ptt_wait_sleeping(getpid(), (pid_t)hoard->caller.tid, PTT_LONG));
    assert_false(caller_is_done(&hoard->caller, 20));
    assert_true(hoard->count > 0 && hoard->count < 4096);
    assert_int_equal(contract_stats(here).ready, 0); /* it is not the ring that is full */
    assert_ok(ptq_ack(hoard->held[0]));
    assert_ok(caller_join(&hoard->caller));

    assert_int_equal(recv_number(here), 77);
    for (size_t i = 1; i < hoard->count; i++)
        assert_ok(ptq_ack(hoard->held[i]));
    ptq_queue_close(here);
    ptq_queue_close(there);
    free(hoard);
    contract_verify(c, "tasks");
}

#define SLEEPERS 6

static void start_sleepers(ptq_queue *queue, struct caller callers[SLEEPERS])
{
    for (int i = 0; i < SLEEPERS; i++) {
        callers[i] = (struct caller){.call = call_get, .queue = queue, .timeout_ms = PTQ_FOREVER};
        caller_start_sleeping(&callers[i]);
    }
}

static void join_sleepers(struct caller callers[SLEEPERS])
{
    uint64_t seen = 0;

    for (int i = 0; i < SLEEPERS; i++) {
        assert_ok(caller_join(&callers[i]));
        assert_true(callers[i].number < SLEEPERS);
        seen |= UINT64_C(1) << callers[i].number;
    }
    assert_int_equal(seen, (UINT64_C(1) << SLEEPERS) - 1);
}

static void as_many_sleepers_wake_as_there_are_messages(void **state)
{
    struct contract *c = *state;
    ptq_queue *here = contract_open(c, "tasks", NULL), *there = contract_open(c, "tasks", NULL);
    struct caller callers[SLEEPERS];

    start_sleepers(there, callers);
    put_range(here, 0, SLEEPERS);

    join_sleepers(callers);
    ptq_queue_close(here);
    ptq_queue_close(there);
    contract_verify(c, "tasks");
}

static void one_batch_wakes_all_it_can_feed(void **state)
{
    struct contract *c = *state;
    ptq_queue *here = contract_open(c, "tasks", NULL), *there = contract_open(c, "tasks", NULL);
    struct caller callers[SLEEPERS];
    struct caller batch = {.call = call_put_many, .queue = here, .timeout_ms = PTQ_NOWAIT, .number = 0, .count = SLEEPERS};

    start_sleepers(there, callers);
    assert_ok(call_put_many(&batch));

    join_sleepers(callers);
    ptq_queue_close(here);
    ptq_queue_close(there);
    contract_verify(c, "tasks");
}

static void a_nack_wakes_a_sleeper(void **state)
{
    struct contract *c = *state;
    ptq_queue *here = contract_open(c, "tasks", NULL), *there = contract_open(c, "tasks", NULL);
    struct caller caller = {.call = call_get, .queue = there, .timeout_ms = PTQ_FOREVER};

    put_number(here, 4);
    ptq_msg *msg = get_number(here, 4);
    caller_start_sleeping(&caller);
    assert_ok(ptq_nack(msg, 0));

    assert_ok(caller_join(&caller));
    assert_int_equal(caller.number, 4);
    ptq_queue_close(here);
    ptq_queue_close(there);
}

/* ---- signals and interrupts */

static volatile sig_atomic_t signals_seen;
static ptq_queue *interrupted;

static void count_signal(int signal)
{
    (void)signal;
    signals_seen++;
}

static void interrupt_queue(int signal)
{
    (void)signal;
    signals_seen++;
    ptq_interrupt(interrupted);
}

static void handle(void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    signals_seen = 0;
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
}

/* Where a link is used, who sleeps may sleep for a lock, for a moment: a signal that meets him there ends nothing. */
static void signal_sleeper(const struct contract *c, struct caller *caller)
{
    int64_t until = contract_now_ms() + PTT_LONG;

    do
        pthread_kill(caller->thread, SIGUSR1);
    while (c->carrier->remote && !caller_is_done(caller, 300) && contract_now_ms() < until);
}

static void a_signal_handler_ends_a_sleep_also_with_sa_restart(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 1, 64);
    struct caller getter = {.call = call_get, .queue = queue, .timeout_ms = PTQ_FOREVER};

    for (int flags = 0; flags < 2; flags++) {
        handle(count_signal, flags == 0 ? 0 : SA_RESTART);
        caller_start_sleeping(&getter);
        signal_sleeper(c, &getter);
        assert_answer(PTQ_EINTR, caller_join(&getter));
        assert_true(c->carrier->remote ? signals_seen >= 1 : signals_seen == 1);
    }
    put_number(queue, 1);
    struct caller putter = {.call = call_put, .queue = queue, .timeout_ms = PTQ_FOREVER, .number = 2};
    caller_start_sleeping(&putter);
    signal_sleeper(c, &putter);
    assert_answer(PTQ_EINTR, caller_join(&putter));

    assert_int_equal(contract_stats(queue).ready, 1);
    handle(SIG_DFL, 0);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

/* A second call of the same thread, after the one that was interrupted: 1000 + its answer. */
static enum ptq_err call_get_twice(struct caller *caller)
{
    enum ptq_err err = call_get(caller);
    ptq_msg *msg = NULL;

    caller->count = 1000 + (size_t)ptq_get(caller->queue, 20, &msg);
    return err;
}

static void interrupt_from_another_thread_ends_a_sleep_once(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 1, 64);

    for (int i = 0; i < 5; i++) {
        struct caller caller = {.call = call_get_twice, .queue = queue, .timeout_ms = PTQ_FOREVER};
        caller_start_sleeping(&caller);
        ptq_interrupt(queue);
        assert_answer(PTQ_EINTR, caller_join(&caller));
        assert_int_equal(caller.count, 1000 + PTQ_TIMEDOUT);
    }
    ptq_queue_close(queue);
}

static void interrupt_ends_every_sleep_of_the_handle_and_of_no_other(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL), *other = contract_open(c, "tasks", NULL);
    struct caller callers[3], spared = {.call = call_get, .queue = other, .timeout_ms = PTQ_FOREVER};

    for (int i = 0; i < 3; i++) {
        callers[i] = (struct caller){.call = call_get, .queue = queue, .timeout_ms = PTQ_FOREVER};
        caller_start_sleeping(&callers[i]);
    }
    caller_start_sleeping(&spared);
    ptq_interrupt(queue);

    for (int i = 0; i < 3; i++)
        assert_answer(PTQ_EINTR, caller_join(&callers[i]));
    assert_false(caller_is_done(&spared, 30));
    put_number(queue, 1);
    assert_ok(caller_join(&spared));
    ptq_queue_close(queue);
    ptq_queue_close(other);
}

static void interrupt_before_the_sleep_ends_the_next_one(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    ptq_msg *msg = NULL;

    ptq_interrupt(queue);
    assert_answer(PTQ_EINTR, ptq_get(queue, PTT_LONG, &msg));
    assert_answer(PTQ_TIMEDOUT, ptq_get(queue, 20, &msg));
    put_number(queue, 3);
    assert_int_equal(recv_number(queue), 3);
    ptq_queue_close(queue);
}

static void interrupt_may_be_called_in_a_signal_handler(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 1, 64);
    struct caller caller = {.call = call_get, .queue = queue, .timeout_ms = PTQ_FOREVER};

    interrupted = queue;
    handle(interrupt_queue, SA_RESTART);
    caller_start_sleeping(&caller);
    raise(SIGUSR1); /* in this thread, while the other sleeps */
    assert_answer(PTQ_EINTR, caller_join(&caller));

    handle(SIG_DFL, 0);
    ptq_queue_close(queue);
}

static void signals_that_interrupt_running_calls_lose_nothing(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 4, 64);
    struct itimerval often = {{0, 700}, {0, 700}}, never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = interrupt_queue};
    uint64_t put = 0, got = 0;

    interrupted = queue;
    signals_seen = 0;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    setitimer(ITIMER_REAL, &often, NULL);
    int64_t end = contract_now_ms() + (c->carrier->remote ? 300 : 200);
    while (contract_now_ms() < end) {
        uint64_t number = 0;
        size_t size = 0;
        if (ptq_put(queue, &put, sizeof put, 1) == PTQ_OK)
            put++;
        if (put - got >= 3 && ptq_recv(queue, &number, sizeof number, 1, &size) == PTQ_OK) {
            assert_int_equal(number, got);
            got++;
        }
    }
    setitimer(ITIMER_REAL, &never, NULL);
    signal(SIGALRM, SIG_DFL);

    assert_true(signals_seen > 0);
    while (got < put) {
        uint64_t number = 0;
        size_t size = 0;
        enum ptq_err err = ptq_recv(queue, &number, sizeof number, PTT_LONG, &size);
        if (err == PTQ_EINTR) /* an interrupt that met no sleep waits for the next one */
            continue;
        assert_ok(err);
        assert_int_equal(number, got++);
    }
    assert_get(PTQ_EMPTY, queue);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static enum ptq_err call_get_at_least(struct caller *caller)
{
    ptq_msg *msgs[8];
    size_t count;

    return ptq_get_many(caller->queue, msgs, caller->count, 8, caller->timeout_ms, &count);
}

static void close_ends_a_get_of_many_and_what_it_had_comes_again(void **state)
{
    struct contract *c = *state;
    ptq_queue *stays = contract_open(c, "tasks", NULL);

    for (int round = 0; round < 5; round++) {
        ptq_queue *goes = contract_open(c, "tasks", NULL);
        struct caller caller = {.call = call_get_at_least, .queue = goes, .count = 5, .timeout_ms = PTT_LONG};

        put_range(stays, 0, 3);
        caller_start_sleeping(&caller);
        ptq_queue_close(goes);

        assert_answer(PTQ_EINTR, caller_join(&caller));
        for (uint64_t i = 0; i < 3; i++)
            assert_ok(ptq_ack(get_number(stays, i)));
    }
    ptq_queue_close(stays);
    contract_verify(c, "tasks");
}

static void close_ends_the_sleeps_of_other_threads(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 1, 64);
    struct caller getters[3];

    for (int i = 0; i < 3; i++) {
        getters[i] = (struct caller){.call = call_get, .queue = queue, .timeout_ms = PTQ_FOREVER};
        caller_start_sleeping(&getters[i]);
    }
    ptq_queue_close(queue);

    for (int i = 0; i < 3; i++)
        assert_int_not_equal(caller_join(&getters[i]), PTQ_OK);
}

static const struct contract_case wait_cases[] = {
    CONTRACT_CASE(an_answer_never_comes_before_its_deadline),
    CONTRACT_CASE(nowait_asks_once),
    CONTRACT_CASE(a_put_wakes_a_sleeping_get),
    CONTRACT_CASE(a_long_sleep_is_woken_as_well),
    CONTRACT_CASE(a_lease_wakes_a_put_that_waits_for_room),
    CONTRACT_CASE(an_ack_wakes_a_put_that_waits_for_a_block),
    CONTRACT_CASE(as_many_sleepers_wake_as_there_are_messages),
    CONTRACT_CASE(one_batch_wakes_all_it_can_feed),
    CONTRACT_CASE(a_nack_wakes_a_sleeper),
    CONTRACT_CASE(a_signal_handler_ends_a_sleep_also_with_sa_restart),
    CONTRACT_CASE(interrupt_from_another_thread_ends_a_sleep_once),
    CONTRACT_CASE(interrupt_ends_every_sleep_of_the_handle_and_of_no_other),
    CONTRACT_CASE(interrupt_before_the_sleep_ends_the_next_one),
    CONTRACT_CASE(interrupt_may_be_called_in_a_signal_handler),
    CONTRACT_CASE(signals_that_interrupt_running_calls_lose_nothing),
    CONTRACT_CASE(close_ends_the_sleeps_of_other_threads),
    CONTRACT_CASE(close_ends_a_get_of_many_and_what_it_had_comes_again),
};
CONTRACT_GROUP(wait);
