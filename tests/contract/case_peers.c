/* case_peers.c -- who else is there: PTQ_WATCH_PEERS, declared roles, and the last producer that closes. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "contract/contract.h"

static ptq_queue *open_with(struct contract *c, unsigned flags)
{
    return contract_open(c, "tasks", &(struct ptq_queue_options){.flags = flags});
}

/* The queue "tasks" with room for `capacity`; closed again. */
static void create(struct contract *c, uint64_t capacity, bool last_ends)
{
    ptq_queue_close(contract_open(
        c, "tasks", &(struct ptq_queue_options){.capacity = capacity, .last_producer_ends = last_ends}));
}

/* ---- PTQ_WATCH_PEERS */

static void a_far_queue_refuses_to_watch_and_says_why(void **state)
{
    struct contract *c = *state;
    struct ptq_error error = {0};
    struct ptq_queue_options options = {.flags = PTQ_WATCH_PEERS, .error = &error};
    ptq_queue *queue = NULL;

    if (contract_differs(c, DIFFERENCE_peers_are_seen_at_home) == 0)
        skip();
    assert_answer(PTQ_EINVAL, ptq_queue_open(c->bus, contract_address(c, "tasks"), &options, &queue));
    assert_non_null(strstr(error.text, "without PTQ_WATCH_PEERS"));
    assert_null(queue);
}

static void a_get_without_a_living_producer_does_not_wait(void **state)
{
    struct contract *c = *state;
    ptq_msg *msg = NULL;

    contract_skip_if(c, DIFFERENCE_peers_are_seen_at_home);
    ptq_queue *queue = open_with(c, PTQ_WATCH_PEERS), *producer = open_with(c, 0);
    assert_answer(PTQ_ENOPEERS, ptq_get(queue, PTQ_FOREVER, &msg)); /* the other has not put yet, and did not say that it will */
    assert_get(PTQ_EMPTY, queue);
    put_number(producer, 1);
    assert_ok(ptq_ack(get_number(queue, 1)));
    assert_answer(PTQ_TIMEDOUT, ptq_get(queue, 5, &msg));
    put_number(producer, 2);
    ptq_queue_close(producer);
    assert_ok(ptq_ack(get_number(queue, 2))); /* what it left is got first */
    assert_answer(PTQ_ENOPEERS, ptq_get(queue, PTQ_FOREVER, &msg));
    assert_get(PTQ_EMPTY, queue);
    ptq_queue_close(queue);
}

static void a_put_without_a_living_consumer_does_not_wait(void **state)
{
    struct contract *c = *state;

    contract_skip_if(c, DIFFERENCE_peers_are_seen_at_home);
    create(c, 2, false);
    ptq_queue *queue = open_with(c, PTQ_WATCH_PEERS), *consumer = open_with(c, 0);
    put_number(queue, 0);
    put_number(queue, 1);
    assert_answer(PTQ_FULL, ptq_put(queue, "x", 1, PTQ_NOWAIT));
    assert_answer(PTQ_ENOPEERS, ptq_put(queue, "x", 1, PTQ_FOREVER));
    assert_int_equal(recv_number(consumer), 0);
    put_number(queue, 2);
    assert_answer(PTQ_TIMEDOUT, ptq_put(queue, "x", 1, 5));
    ptq_queue_close(consumer);
    assert_answer(PTQ_ENOPEERS, ptq_put(queue, "x", 1, PTQ_FOREVER));
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void a_handle_is_no_peer_of_its_own(void **state)
{
    struct contract *c = *state;
    ptq_msg *msg = NULL;

    contract_skip_if(c, DIFFERENCE_peers_are_seen_at_home);
    ptq_queue *queue = open_with(c, PTQ_WATCH_PEERS | PTQ_PRODUCER | PTQ_CONSUMER);
    struct caller thread = {.call = call_put, .queue = queue, .timeout_ms = PTT_LONG, .number = 9};
    caller_start(&thread);
    assert_ok(caller_join(&thread));
    assert_ok(ptq_ack(get_number(queue, 9)));
    assert_answer(PTQ_ENOPEERS, ptq_get(queue, PTQ_FOREVER, &msg));
    ptq_queue_close(queue);
}

static void a_declared_peer_counts_before_its_first_message(void **state)
{
    struct contract *c = *state;

    contract_skip_if(c, DIFFERENCE_peers_are_seen_at_home);
    create(c, 1, false);
    ptq_queue *queue = open_with(c, PTQ_WATCH_PEERS), *producer = open_with(c, PTQ_PRODUCER);
    struct caller getter = {.call = call_get, .queue = queue, .timeout_ms = PTT_LONG};
    caller_start_sleeping(&getter);
    ptq_queue_close(producer);
    assert_answer(PTQ_ENOPEERS, caller_join(&getter));

    ptq_queue *consumer = open_with(c, PTQ_CONSUMER);
    struct caller putter = {.call = call_put, .queue = queue, .timeout_ms = PTT_LONG, .number = 1};
    put_number(queue, 0);
    caller_start_sleeping(&putter);
    ptq_queue_close(consumer);
    assert_answer(PTQ_ENOPEERS, caller_join(&putter));
    ptq_queue_close(queue);
}

static void who_waits_for_room_is_a_producer(void **state)
{
    struct contract *c = *state;

    contract_skip_if(c, DIFFERENCE_peers_are_seen_at_home);
    create(c, 1, false);
    ptq_queue *first = open_with(c, 0), *producer = open_with(c, 0), *queue = open_with(c, PTQ_WATCH_PEERS);
    struct caller putter = {.call = call_put, .queue = producer, .timeout_ms = PTT_LONG, .number = 1};
    put_number(first, 0);
    ptq_queue_close(first);
    caller_start_sleeping(&putter);
    assert_int_equal(contract_stats(queue).producers, 1);
    assert_ok(ptq_ack(get_number(queue, 0)));
    assert_ok(ptq_ack(get_number(queue, 1)));
    assert_ok(caller_join(&putter));
    ptq_queue_close(producer);
    ptq_queue_close(queue);
}

/* The sleeper has fallen asleep just now, or sleeps long (wait.c: more than a slice). */
static void kill_the_producer_of_a_sleeper(struct contract *c, bool long_asleep)
{
    struct ptt_page *page = contract_page_new();
    ptq_queue *queue = open_with(c, PTQ_WATCH_PEERS);
    struct caller getter = {.call = call_get, .queue = queue, .timeout_ms = PTT_LONG};
    pid_t child = contract_child(c, "put-and-live", "tasks", page, 1);

    assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
    assert_ok(ptq_ack(get_number(queue, 0)));
    caller_start_sleeping(&getter);
    if (long_asleep)
        assert_false(caller_is_done(&getter, 400));
    ptt_kill(child);
    assert_answer(PTQ_ENOPEERS, caller_join(&getter));
    contract_page_free(page);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void a_sleeping_get_is_told_when_the_last_producer_is_killed(void **state)
{
    contract_skip_if(*state, DIFFERENCE_peers_are_seen_at_home);
    kill_the_producer_of_a_sleeper(*state, false);
    kill_the_producer_of_a_sleeper(*state, true);
}

static void a_sleeping_put_is_told_when_the_last_consumer_is_killed(void **state)
{
    struct contract *c = *state;
    contract_skip_if(c, DIFFERENCE_peers_are_seen_at_home);
    struct ptt_page *page = contract_page_new();

    create(c, 2, false);
    ptq_queue *queue = open_with(c, PTQ_WATCH_PEERS);
    struct caller putter = {.call = call_put, .queue = queue, .timeout_ms = PTT_LONG, .number = 7};
    put_number(queue, 0);
    pid_t child = contract_child(c, "hold-leases", "tasks", page, 1);
    assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
    put_number(queue, 1);
    put_number(queue, 2);
    caller_start_sleeping(&putter);
    ptt_kill(child);
    assert_answer(PTQ_ENOPEERS, caller_join(&putter));
    contract_page_free(page);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void what_a_living_one_may_give_back_is_waited_for(void **state)
{
    struct contract *c = *state;

    contract_skip_if(c, DIFFERENCE_peers_are_seen_at_home);
    ptq_queue *producer = open_with(c, 0), *other = open_with(c, 0), *queue = open_with(c, PTQ_WATCH_PEERS);
    struct caller getter = {.call = call_get, .queue = queue, .timeout_ms = PTT_LONG};
    put_number(producer, 5);
    put_number(producer, 6);
    ptq_msg *held = get_number(other, 5), *also = get_number(other, 6);
    ptq_queue_close(producer);

    caller_start_sleeping(&getter);
    assert_false(caller_is_done(&getter, 300)); /* longer than a slice */
    assert_ok(ptq_nack(held, 0));
    assert_ok(caller_join(&getter));
    assert_int_equal(getter.number, 5);
    caller_start_sleeping(&getter);
    assert_ok(ptq_ack(also));
    assert_answer(PTQ_ENOPEERS, caller_join(&getter));
    ptq_queue_close(other);
    ptq_queue_close(queue);
}

static void a_delayed_message_is_waited_for(void **state)
{
    struct contract *c = *state;

    contract_skip_if(c, DIFFERENCE_peers_are_seen_at_home);
    ptq_queue *producer = open_with(c, 0), *queue = open_with(c, PTQ_WATCH_PEERS);
    uint64_t number = 4;
    assert_ok(ptq_put_with(producer, &number, sizeof number, &(struct ptq_put_options){.delay_ms = 30}, PTQ_NOWAIT));
    ptq_queue_close(producer);
    assert_ok(ptq_ack(get_number(queue, 4)));
    ptq_msg *msg = NULL;
    assert_answer(PTQ_ENOPEERS, ptq_get(queue, PTQ_FOREVER, &msg));
    ptq_queue_close(queue);
}

/* ---- the last producer ends: P21 */

static void the_last_producer_that_closes_ends_the_queue(void **state)
{
    struct contract *c = *state;

    create(c, 10, true);
    ptq_queue *a = open_with(c, 0), *b = open_with(c, PTQ_PRODUCER), *consumer = open_with(c, 0);
    put_number(a, 1);
    ptq_queue_close(a);
    assert_int_equal(recv_number(consumer), 1);
    assert_get(PTQ_EMPTY, consumer);
    put_number(b, 2);
    ptq_queue_close(b);
    assert_int_equal(recv_number(consumer), 2); /* drained, then told */
    assert_get(PTQ_END, consumer);
    assert_answer(PTQ_EENDED, ptq_put(consumer, "x", 1, PTQ_FOREVER)); /* P5: fails at once */
    ptq_queue_close(consumer);
    contract_verify(c, "tasks");
}

static void a_sleeping_get_is_told_of_the_end_that_a_close_makes(void **state)
{
    struct contract *c = *state;

    create(c, 10, true);
    ptq_queue *producer = open_with(c, PTQ_PRODUCER), *consumer = open_with(c, 0);
    struct caller getter = {.call = call_get, .queue = consumer, .timeout_ms = PTT_LONG};
    caller_start_sleeping(&getter);
    ptq_queue_close(producer);
    assert_answer(PTQ_END, caller_join(&getter));
    ptq_queue_close(consumer);
}

static void who_only_gets_ends_nothing(void **state)
{
    struct contract *c = *state;

    create(c, 10, true);
    ptq_queue *consumer = open_with(c, PTQ_CONSUMER), *looker = open_with(c, 0);
    assert_get(PTQ_EMPTY, consumer);
    ptq_queue_close(consumer);
    assert_get(PTQ_EMPTY, looker);
    assert_false(contract_stats(looker).ended);
    ptq_queue_close(looker);
}

static void without_the_property_a_close_ends_nothing(void **state)
{
    struct contract *c = *state;
    ptq_queue *producer = open_with(c, PTQ_PRODUCER), *consumer = open_with(c, 0);

    put_number(producer, 1);
    ptq_queue_close(producer);
    assert_int_equal(recv_number(consumer), 1);
    assert_get(PTQ_EMPTY, consumer);
    ptq_queue_close(consumer);
}

static void all_threads_of_a_handle_are_one_producer(void **state)
{
    struct contract *c = *state;

    create(c, 10, true);
    ptq_queue *producer = open_with(c, 0), *consumer = open_with(c, 0);
    for (uint64_t i = 0; i < 3; i++) {
        struct caller thread = {.call = call_put, .queue = producer, .timeout_ms = PTT_LONG, .number = i};
        caller_start(&thread);
        assert_ok(caller_join(&thread));
    }
    put_number(producer, 3);
    ptq_queue_close(producer);
    recv_range(consumer, 0, 4);
    assert_get(PTQ_END, consumer);
    ptq_queue_close(consumer);
}

static bool is_ended(void *queue) { return contract_stats(queue).ended; }

static void a_producer_that_dies_ends_nothing_and_holds_nothing_back(void **state)
{
    struct contract *c = *state;
    struct ptt_page *page = contract_page_new();

    create(c, 10, true);
    ptq_queue *consumer = open_with(c, 0), *producer = NULL;
    if (contract_differs(c, DIFFERENCE_lost_producers_count_as_closed) != 0)
        producer = open_with(c, PTQ_PRODUCER); /* or the end of the killed one's session, some time, would end the queue */
    pid_t child = contract_child(c, "put-and-live", "tasks", page, 1);
    assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
    ptt_kill(child);
    assert_int_equal(recv_number(consumer), 0);
    assert_get(PTQ_EMPTY, consumer);
    assert_false(contract_stats(consumer).ended);

    page->words[0] = 0;
    if (!producer)
        producer = open_with(c, PTQ_PRODUCER);
    child = contract_child(c, "put-and-live", "tasks", page, 1);
    assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
    ptt_kill(child);
    ptq_queue_close(producer);
    assert_true(ptt_wait_until(is_ended, consumer, (int)contract_differs(c, DIFFERENCE_death_grace_ms)));
    assert_int_equal(recv_number(consumer), 0);
    assert_get(PTQ_END, consumer);
    contract_page_free(page);
    ptq_queue_close(consumer);
    contract_verify(c, "tasks");
}

static enum ptq_err close_it(struct caller *caller)
{
    atomic_fetch_sub((_Atomic uint64_t *)(uintptr_t)caller->number, 1);
    while (*(_Atomic uint64_t *)(uintptr_t)caller->number > 0)
        ;
    ptq_queue_close(caller->queue);
    return PTQ_OK;
}

static void of_two_that_close_at_once_one_at_least_ends_it(void **state)
{
    struct contract *c = *state;

    for (unsigned round = 0; round < (c->carrier->remote ? 5 : 100); round++) {
        char name[32];
        snprintf(name, sizeof name, "tasks%u", round);
        struct ptq_queue_options options = {.last_producer_ends = true, .flags = PTQ_PRODUCER};
        _Atomic uint64_t gate = 2;
        struct caller two[2];
        ptq_queue *consumer = contract_open(c, name, NULL);
        ptq_queue_close(consumer);
        assert_ok(ptq_queue_unlink(c->home.bus, name, true));
        for (unsigned i = 0; i < 2; i++)
            two[i] = (struct caller){
                .call = close_it, .queue = contract_open(c, name, &options), .number = (uint64_t)(uintptr_t)&gate};
        consumer = contract_open(c, name, NULL);
        for (unsigned i = 0; i < 2; i++)
            caller_start(&two[i]);
        for (unsigned i = 0; i < 2; i++)
            assert_ok(caller_join(&two[i]));
        assert_get(PTQ_END, consumer);
        ptq_queue_close(consumer);
    }
}

static void another_last_producer_ends_is_a_mismatch(void **state)
{
    struct contract *c = *state;
    struct ptq_error error = {0};
    struct ptq_queue_options options = {.last_producer_ends = true, .error = &error};
    ptq_queue *queue = open_with(c, 0), *other = NULL;

    assert_answer(PTQ_EMISMATCH, ptq_queue_open(c->bus, contract_address(c, "tasks"), &options, &other));
    assert_non_null(strstr(error.text, "last_producer_ends false"));
    ptq_queue_close(queue);
}

static const struct contract_case peers_cases[] = {
    CONTRACT_CASE(a_far_queue_refuses_to_watch_and_says_why),
    CONTRACT_CASE(a_get_without_a_living_producer_does_not_wait),
    CONTRACT_CASE(a_put_without_a_living_consumer_does_not_wait),
    CONTRACT_CASE(a_handle_is_no_peer_of_its_own),
    CONTRACT_CASE(a_declared_peer_counts_before_its_first_message),
    CONTRACT_CASE(who_waits_for_room_is_a_producer),
    CONTRACT_CASE(a_sleeping_get_is_told_when_the_last_producer_is_killed),
    CONTRACT_CASE(a_sleeping_put_is_told_when_the_last_consumer_is_killed),
    CONTRACT_CASE(what_a_living_one_may_give_back_is_waited_for),
    CONTRACT_CASE(a_delayed_message_is_waited_for),
    CONTRACT_CASE(the_last_producer_that_closes_ends_the_queue),
    CONTRACT_CASE(a_sleeping_get_is_told_of_the_end_that_a_close_makes),
    CONTRACT_CASE(who_only_gets_ends_nothing),
    CONTRACT_CASE(without_the_property_a_close_ends_nothing),
    CONTRACT_CASE(all_threads_of_a_handle_are_one_producer),
    CONTRACT_CASE(a_producer_that_dies_ends_nothing_and_holds_nothing_back),
    CONTRACT_CASE(of_two_that_close_at_once_one_at_least_ends_it),
    CONTRACT_CASE(another_last_producer_ends_is_a_mismatch),
};
CONTRACT_GROUP(peers);
