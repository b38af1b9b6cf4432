/* memory_lease.c -- leases that run out: handed to another, their holders late, stopped, dead. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "contract/contract.h"

#define LIMIT_MS 30

static ptq_queue *open_limited(struct contract *c, uint64_t capacity, uint32_t lease_ms)
{
    return contract_open(c, "tasks",
                         &(struct ptq_queue_options){.capacity = capacity, .item_size = 256, .lease_ms = lease_ms});
}

static void close_and_verify(struct contract *c, ptq_queue *queue)
{
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

/* Takes `count` at once.  False, with everything acked: it took longer than a lease lasts, as it may on a busy machine, and the first
 * may have run out by now. */
static bool take_in_time(ptq_queue *queue, ptq_msg **late, size_t count)
{
    int64_t start = contract_now_ms();
    ptq_msg *msg = NULL;
    size_t got = 0;

    while (got < count && ptq_get(queue, PTQ_NOWAIT, &late[got]) == PTQ_OK)
        got++;
    if (got == count && contract_now_ms() - start < LIMIT_MS - 1)
        return true;
    while (got > 0)
        (void)ptq_ack(late[--got]);
    while (ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_OK)
        (void)ptq_ack(msg);
    return false;
}

/* Nobody gets it, unless a lease that began at `start` has run out meanwhile: then true, and *ret_msg is a new lease. */
static bool is_got_overdue(ptq_queue *queue, int64_t start, ptq_msg **ret_msg)
{
    enum ptq_err err = ptq_get(queue, PTQ_NOWAIT, ret_msg);

    if (err == PTQ_OK)
        assert_true(contract_now_ms() - start >= LIMIT_MS - 1);
    else
        assert_answer(PTQ_EMPTY, err);
    return err == PTQ_OK;
}

static void an_overdue_lease_is_handed_to_another_and_its_ack_is_refused(void **state)
{
    struct contract *c = *state;
    ptq_queue *slow = open_limited(c, 8, LIMIT_MS), *other = open_limited(c, 8, 0);
    int64_t start;

    put_number(slow, 7);
    start = contract_now_ms();
    ptq_msg *late = get_number(slow, 7), *msg = NULL;
    assert_ok(ptq_get(other, PTT_LONG, &msg));

    assert_true(contract_now_ms() - start >= LIMIT_MS - 1);
    assert_int_equal(number_of(msg), 7);
    assert_true(ptq_msg_redelivered(msg));
    assert_int_equal(ptq_msg_deliveries(msg), 2);
    assert_int_equal(ptq_msg_position(msg), ptq_msg_position(late));
    assert_ptr_not_equal(ptq_msg_data(msg), ptq_msg_data(late));
    assert_int_equal(contract_stats(slow).leased, 1);
    assert_answer(PTQ_ELEASELOST, ptq_ack(late));
    assert_ok(ptq_ack(msg));
    assert_get(PTQ_EMPTY, other);
    assert_int_equal(contract_stats(slow).acked, 1);
    ptq_queue_close(slow);
    close_and_verify(c, other);
}

static void an_ack_in_time_is_an_ack(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_limited(c, 8, 60000);

    for (uint64_t i = 0; i < 5000; i++) {
        put_number(queue, i);
        assert_ok(ptq_ack(get_number(queue, i)));
        put_number(queue, i);
        assert_int_equal(recv_number(queue), i);
    }
    assert_int_equal(contract_stats(queue).redelivered, 0);
    close_and_verify(c, queue);
}

static void a_lost_lease_is_not_given_back_and_an_open_one_closes_with_its_handle(void **state)
{
    struct contract *c = *state;
    ptq_queue *slow = open_limited(c, 8, LIMIT_MS), *other = open_limited(c, 8, 0);
    ptq_msg *late[3], *msg = NULL;

    do
        put_range(slow, 0, 3);
    while (!take_in_time(slow, late, 3));
    for (uint64_t i = 0; i < 3; i++) {
        assert_ok(ptq_get(other, PTT_LONG, &msg));
        assert_int_equal(number_of(msg), i);
        assert_ok(ptq_ack(msg));
    }
    assert_answer(PTQ_ELEASELOST, ptq_nack(late[0], 0));
    assert_answer(PTQ_ELEASELOST, ptq_nack(late[1], 1000));
    ptq_queue_close(slow); /* with late[2] */
    assert_get(PTQ_EMPTY, other);
    assert_int_equal(contract_stats(other).nacked, 0);
    close_and_verify(c, other);
}

static void a_batch_keeps_place_sub_and_order_when_its_leases_run_out(void **state)
{
    struct contract *c = *state;
    ptq_queue *slow = open_limited(c, 8, LIMIT_MS), *other = open_limited(c, 8, 0);
    uint64_t numbers[4] = {10, 11, 12, 13}, position = 0;
    struct ptq_bytes items[4];
    ptq_msg *late[4], *msg = NULL;

    for (int i = 0; i < 4; i++)
        items[i] = (struct ptq_bytes){&numbers[i], sizeof numbers[i]};
    do
        assert_ok(ptq_put_many(slow, items, 4, PTQ_NOWAIT, &position));
    while (!take_in_time(slow, late, 4));
    for (uint32_t i = 0; i < 4; i++) {
        assert_ok(ptq_get(other, PTT_LONG, &msg));
        assert_int_equal(number_of(msg), numbers[i]);
        assert_int_equal(ptq_msg_sub(msg), i);
        assert_int_equal(ptq_msg_position(msg), position);
        assert_ok(ptq_ack(msg));
    }
    for (int i = 0; i < 4; i++)
        assert_answer(PTQ_ELEASELOST, ptq_ack(late[i]));
    ptq_queue_close(slow);
    close_and_verify(c, other);
}

static void headers_travel_with_the_copy(void **state)
{
    struct contract *c = *state;
    ptq_queue *slow = open_limited(c, 8, LIMIT_MS), *other = open_limited(c, 8, 0);
    struct ptq_header header = {"who", "me", 2};
    const void *value = NULL;
    size_t size = 0;
    ptq_msg *late = NULL, *msg = NULL;

    assert_ok(ptq_put_with(slow, "abc", 3, &(struct ptq_put_options){.headers = &header, .header_count = 1}, PTQ_NOWAIT));
    assert_ok(ptq_get(slow, PTQ_NOWAIT, &late));
    assert_ok(ptq_get(other, PTT_LONG, &msg));
    assert_int_equal(ptq_msg_size(msg), 3);
    assert_memory_equal(ptq_msg_data(msg), "abc", 3);
    value = ptq_msg_header(msg, "who", &size);
    assert_non_null(value);
    assert_int_equal(size, 2);
    assert_memory_equal(value, "me", 2);
    assert_ok(ptq_ack(msg));
    assert_answer(PTQ_ELEASELOST, ptq_ack(late));
    ptq_queue_close(slow);
    close_and_verify(c, other);
}

static bool sleeps_or_is_done(void *context)
{
    struct caller *caller = context;

    return caller->done || (caller->tid && ptt_wait_sleeping(getpid(), (pid_t)caller->tid, 0));
}

static void one_that_sleeps_already_is_woken_for_an_overdue_lease(void **state)
{
    struct contract *c = *state;
    ptq_queue *slow = open_limited(c, 8, LIMIT_MS), *other = open_limited(c, 8, 0);
    struct caller caller = {.call = call_get, .queue = other, .timeout_ms = PTT_LONG};
    ptq_msg *held[2], *late = NULL;
    bool slept = false;

    while (!slept) { /* on a busy machine the lease may have run out before it sleeps */
        do
            put_range(slow, 1, 3);
        while (!take_in_time(slow, held, 2));
        assert_ok(ptq_ack(held[1]));
        caller_start(&caller);
        assert_true(ptt_wait_until(sleeps_or_is_done, &caller, PTT_LONG));
        slept = !caller.done;
        assert_ok(caller_join(&caller));
        assert_int_equal(caller.number, 1);
        assert_answer(PTQ_ELEASELOST, ptq_ack(held[0]));
    }

    /* and one who fell asleep when nothing was leased yet */
    caller_start_sleeping(&caller);
    put_number(slow, 3);
    if (ptq_get(slow, PTQ_NOWAIT, &late) == PTQ_OK) { /* who is first is open */
        assert_ok(caller_join(&caller));
        assert_int_equal(caller.number, 3);
        assert_answer(PTQ_ELEASELOST, ptq_ack(late));
    } else {
        assert_ok(caller_join(&caller));
    }
    ptq_queue_close(slow);
    close_and_verify(c, other);
}

static void a_descriptor_is_readable_for_an_overdue_lease(void **state)
{
    struct contract *c = *state;
    ptq_queue *slow = open_limited(c, 8, LIMIT_MS), *other = open_limited(c, 8, 0);
    ptq_msg *late, *msg = NULL;
    enum ptq_err err;
    int fd;

    assert_ok(ptq_queue_fd(other, PTQ_SIDE_GET, &fd));
    assert_get(PTQ_EMPTY, other);
    put_number(slow, 5);
    late = get_number(slow, 5);
    do {
        assert_true(ptt_wait_readable(fd, PTT_LONG));
        err = ptq_get(other, PTQ_NOWAIT, &msg);
    } while (err == PTQ_EMPTY);
    assert_ok(err);
    assert_int_equal(number_of(msg), 5);
    assert_ok(ptq_ack(msg));
    assert_answer(PTQ_ELEASELOST, ptq_ack(late));
    ptq_queue_close(slow);
    close_and_verify(c, other);
}

static void the_end_waits_for_an_overdue_message_and_not_for_its_late_holder(void **state)
{
    struct contract *c = *state;
    ptq_queue *slow = open_limited(c, 8, LIMIT_MS), *other = open_limited(c, 8, 0);
    ptq_msg *late, *msg = NULL;
    int64_t start;

    put_number(slow, 1);
    start = contract_now_ms();
    late = get_number(slow, 1);
    assert_ok(ptq_end(slow));
    if (!is_got_overdue(other, start, &msg))
        assert_ok(ptq_get(other, PTT_LONG, &msg));
    assert_int_equal(number_of(msg), 1);
    assert_ok(ptq_ack(msg));
    assert_get(PTQ_END, other);
    assert_answer(PTQ_ELEASELOST, ptq_ack(late));
    assert_get(PTQ_END, other);
    ptq_queue_close(slow);
    close_and_verify(c, other);
}

/* Blocks are what bounds leases: with all of them held, the limit waits for one. */
static void without_a_block_for_the_copy_a_lease_lasts_until_there_is_one(void **state)
{
    struct contract *c = *state;
    ptq_queue *slow = open_limited(c, 4, LIMIT_MS), *other = open_limited(c, 4, 0);
    static ptq_msg *held[20000];
    ptq_msg *msg = NULL;
    size_t count = 0;
    uint64_t number = 0;
    enum ptq_err err;

    /* Everything that can be leased is: until no put finds a block. */
    for (;;) {
        int64_t start = contract_now_ms();
        while ((err = ptq_put(slow, &number, sizeof number, PTQ_NOWAIT)) == PTQ_OK && count < 20000) {
            assert_ok(ptq_get(slow, PTQ_NOWAIT, &msg));
            held[count++] = msg;
            number++;
        }
        assert_answer(PTQ_FULL, err);
        if (contract_now_ms() - start < LIMIT_MS - 1)
            break;
        while (count > 0) /* some may have run out meanwhile: once more */
            (void)ptq_ack(held[--count]);
        while (ptq_get(slow, PTQ_NOWAIT, &msg) == PTQ_OK)
            (void)ptq_ack(msg);
    }
    for (int i = 0; i < 3; i++) { /* leases begin to run out; each loss needs a block */
        err = ptq_get(other, 2 * LIMIT_MS, &msg);
        if (err == PTQ_OK)
            break;
        assert_answer(PTQ_TIMEDOUT, err);
    }
    if (err != PTQ_OK) {
        err = ptq_ack(held[--count]);
        assert_true(err == PTQ_OK || err == PTQ_ELEASELOST);
        assert_ok(ptq_get(other, PTT_LONG, &msg));
    }
    assert_true(ptq_msg_redelivered(msg));
    assert_ok(ptq_ack(msg));
    while (count > 0) {
        err = ptq_ack(held[--count]);
        assert_true(err == PTQ_OK || err == PTQ_ELEASELOST);
    }
    ptq_queue_close(slow);
    while (ptq_get(other, LIMIT_MS, &msg) == PTQ_OK)
        assert_ok(ptq_ack(msg));
    close_and_verify(c, other);
}

/* ---- processes */

struct holder {
    struct contract *c;
    struct ptt_page *page; /* 0: it holds; 1: ack's answer + 1; 2: bytes were wrong */
};

static int hold_and_ack_late(void *context)
{
    struct holder *h = context;
    ptq_bus *bus = ptt_scratch_open(&h->c->home);
    ptq_queue *queue = NULL;
    ptq_msg *msg = NULL;
    unsigned char copy[200];

    if (ptq_queue_open(bus, "tasks", NULL, &queue) != PTQ_OK || ptq_get(queue, PTT_LONG, &msg) != PTQ_OK)
        return 3;
    memcpy(copy, ptq_msg_data(msg), sizeof copy);
    h->page->words[0] = 1;
    if (!ptt_wait_word(&h->page->words[3], 1, PTT_LONG)) /* stopped meanwhile */
        return 4;
    h->page->words[2] = memcmp(copy, ptq_msg_data(msg), sizeof copy) != 0 || !contract_is_filled(copy, sizeof copy, 1);
    h->page->words[1] = 1 + (uint64_t)ptq_ack(msg);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

/* A child that holds the one message of the queue. */
static pid_t start_holder(ptq_queue *queue, struct holder *holder)
{
    unsigned char bytes[200];
    pid_t pid;

    contract_fill(bytes, sizeof bytes, 1);
    assert_ok(ptq_put(queue, bytes, sizeof bytes, PTQ_NOWAIT));
    pid = ptt_fork(hold_and_ack_late, holder);
    assert_true(ptt_wait_word(&holder->page->words[0], 1, PTT_LONG));
    return pid;
}

static void a_stopped_holder_loses_its_lease_and_what_it_reads_stays(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_limited(c, 8, LIMIT_MS);
    struct holder holder = {c, ptt_page_new()};
    unsigned char bytes[200];
    ptq_msg *msg = NULL;
    pid_t pid = start_holder(queue, &holder);

    ptt_stop(pid);
    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_true(ptq_msg_redelivered(msg));
    assert_int_equal(ptq_msg_deliveries(msg), 2);
    assert_true(contract_is_filled(ptq_msg_data(msg), ptq_msg_size(msg), 1));
    assert_ok(ptq_ack(msg));
    for (uint64_t i = 2; i < 5000; i++) { /* through every block that may be used */
        contract_fill(bytes, sizeof bytes, i);
        assert_ok(ptq_put(queue, bytes, sizeof bytes, PTQ_NOWAIT));
        assert_ok(ptq_get(queue, PTQ_NOWAIT, &msg));
        assert_true(contract_is_filled(ptq_msg_data(msg), ptq_msg_size(msg), i));
        assert_ok(ptq_ack(msg));
    }
    holder.page->words[3] = 1;
    ptt_continue(pid);
    ptt_assert_exit(pid, 0, PTT_LONG);
    assert_int_equal(holder.page->words[1], 1 + PTQ_ELEASELOST);
    assert_int_equal(holder.page->words[2], 0);
    assert_get(PTQ_EMPTY, queue);
    ptt_page_free(holder.page);
    close_and_verify(c, queue);
}

static void a_holder_killed_after_its_lease_ran_out_leaves_nothing(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_limited(c, 8, LIMIT_MS);
    struct holder holder = {c, ptt_page_new()};
    ptq_msg *msg = NULL, *again = NULL;
    pid_t pid = start_holder(queue, &holder);
    int64_t start = contract_now_ms();

    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    ptt_kill(pid);
    if (is_got_overdue(queue, start, &again)) { /* this one's own */
        assert_answer(PTQ_ELEASELOST, ptq_ack(msg));
        msg = again;
    }
    assert_ok(ptq_ack(msg));
    assert_get(PTQ_EMPTY, queue);
    ptt_page_free(holder.page);
    close_and_verify(c, queue);
}

/* ---- chaos: workers stopped and killed at random, everything settled once */

#define WORKERS 3
#define MESSAGES 1500
struct worker {
    struct contract *c;
    struct ptt_page *page; /* words: acks that were taken, by message / 8 bits; */
    uint64_t seed;
};

static int work(void *context)
{
    struct worker *w = context;
    ptq_bus *bus = ptt_scratch_open(&w->c->home);
    ptq_queue *queue = NULL;
    ptq_msg *msg = NULL;
    enum ptq_err err;

    if (ptq_queue_open(bus, "tasks", NULL, &queue) != PTQ_OK)
        return 3;
    while ((err = ptq_get(queue, PTT_LONG, &msg)) == PTQ_OK) {
        uint64_t number = *(const uint64_t *)ptq_msg_data(msg), dawdle = ptt_random(&w->seed) % 64;

        if (dawdle == 0)
            usleep(6000); /* longer than the lease */
        if (*(const uint64_t *)ptq_msg_data(msg) != number || number >= MESSAGES)
            return 4; /* overwritten under a reader */
        err = dawdle == 1 ? ptq_nack(msg, 0) : ptq_ack(msg);
        if (err != PTQ_OK && err != PTQ_ELEASELOST)
            return 5;
        if (err == PTQ_ELEASELOST)
            __atomic_fetch_add((uint64_t *)(uintptr_t)&w->page->words[1], 1, __ATOMIC_RELAXED);
    }
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return err == PTQ_END ? 0 : 6;
}

static void whoever_is_stopped_or_killed_each_message_is_settled_once(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_limited(c, 64, 3);
    struct worker worker = {c, ptt_page_new(), ptt_seed()};
    uint64_t random = worker.seed + 17;
    pid_t pids[WORKERS];

    ptt_wait_word(&worker.page->words[0], 0, 1);
    for (int i = 0; i < WORKERS; i++) {
        worker.seed++;
        pids[i] = ptt_fork(work, &worker);
    }
    for (uint64_t number = 0; number < MESSAGES; number++) {
        assert_ok(ptq_put(queue, &number, sizeof number, PTT_LONG));
        if (number % 16 != 0)
            continue;
        pid_t *pid = &pids[ptt_random(&random) % WORKERS];
        if (ptt_random(&random) % 4 == 0) {
            ptt_kill(*pid);
            worker.seed++;
            *pid = ptt_fork(work, &worker);
        } else {
            ptt_stop(*pid);
            usleep((useconds_t)(ptt_random(&random) % 5000));
            ptt_continue(*pid);
        }
    }
    assert_ok(ptq_end(queue));
    for (int i = 0; i < WORKERS; i++)
        ptt_assert_exit(pids[i], 0, 3 * PTT_LONG);
    assert_get(PTQ_END, queue);
    struct ptq_queue_stats stats = contract_stats(queue);
    assert_int_equal(stats.put, MESSAGES);
    assert_int_equal(stats.acked + stats.dead, MESSAGES);
    assert_int_equal(stats.taken, MESSAGES);
    assert_true(stats.redelivered > 0);
    ptt_page_free(worker.page);
    close_and_verify(c, queue);
}

static void a_queue_of_another_limit_is_refused(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_limited(c, 8, LIMIT_MS), *other = NULL;
    struct ptq_error error = {0};

    assert_answer(PTQ_EMISMATCH, ptq_queue_open(c->bus, "tasks",
                                                &(struct ptq_queue_options){.lease_ms = LIMIT_MS + 1, .error = &error}, &other));
    assert_non_null(strstr(error.text, "lease_ms 30, 31"));
    ptq_queue_close(queue);
}

static const struct contract_case lease_cases[] = {
    CONTRACT_CASE(an_overdue_lease_is_handed_to_another_and_its_ack_is_refused),
    CONTRACT_CASE(an_ack_in_time_is_an_ack),
    CONTRACT_CASE(a_lost_lease_is_not_given_back_and_an_open_one_closes_with_its_handle),
    CONTRACT_CASE(a_batch_keeps_place_sub_and_order_when_its_leases_run_out),
    CONTRACT_CASE(headers_travel_with_the_copy),
    CONTRACT_CASE(one_that_sleeps_already_is_woken_for_an_overdue_lease),
    CONTRACT_CASE(a_descriptor_is_readable_for_an_overdue_lease),
    CONTRACT_CASE(the_end_waits_for_an_overdue_message_and_not_for_its_late_holder),
    CONTRACT_CASE(without_a_block_for_the_copy_a_lease_lasts_until_there_is_one),
    CONTRACT_CASE(a_stopped_holder_loses_its_lease_and_what_it_reads_stays),
    CONTRACT_CASE(a_holder_killed_after_its_lease_ran_out_leaves_nothing),
    CONTRACT_CASE(whoever_is_stopped_or_killed_each_message_is_settled_once),
    CONTRACT_CASE(a_queue_of_another_limit_is_refused),
};
CONTRACT_GROUP(lease);
