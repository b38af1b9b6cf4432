/* case_dead.c -- dead letters: the view of them, kicking, and how many are kept. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "contract/contract.h"

/* A queue whose messages die at their second delivery. */
static ptq_queue *open_deadly(struct contract *c, uint32_t max_dead)
{
    return contract_open(c, "tasks", &(struct ptq_queue_options){.max_deliveries = 1, .max_dead = max_dead});
}

static ptq_queue *open_letters(struct contract *c)
{
    return contract_open(c, "tasks!dead", NULL);
}

/* Puts `first` to `first + count - 1` and lets them die. */
static void bury(ptq_queue *queue, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        put_number(queue, i);
        assert_ok(ptq_nack(get_number(queue, i), 0));
    }
    assert_get(PTQ_EMPTY, queue);
}

static void letters_come_by_the_view_oldest_first_and_leave_by_ack(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_deadly(c, 0), *letters = open_letters(c);

    bury(queue, 0, 5);
    for (uint64_t i = 0; i < 5; i++) {
        ptq_msg *msg = get_number(letters, i);
        assert_int_equal(ptq_msg_deliveries(msg), 1);
        assert_true(ptq_msg_redelivered(msg));
        assert_ok(ptq_ack(msg));
    }
    assert_get(PTQ_EMPTY, letters);
    assert_get(PTQ_EMPTY, queue);

    struct ptq_queue_stats stats = contract_stats(letters);
    assert_int_equal(stats.dead, 0);
    assert_int_equal(stats.acked, 5);
    assert_int_equal(stats.taken, 5); /* of the fresh ones only */
    ptq_queue_close(letters);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void several_letters_come_in_one_call(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_deadly(c, 0), *letters = open_letters(c);
    ptq_msg *msgs[8];
    size_t count = 0, size = 0;
    uint64_t number = 99;

    bury(queue, 0, 6);
    assert_ok(ptq_recv(letters, &number, sizeof number, PTQ_NOWAIT, &size));
    assert_int_equal(number, 0);
    assert_answer(PTQ_EMSGSIZE, ptq_recv(letters, &number, 3, PTQ_NOWAIT, &size));
    assert_int_equal(size, 8);
    assert_ok(ptq_get_many(letters, msgs, 1, 8, PTQ_NOWAIT, &count));
    assert_int_equal(count, 5);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(number_of(msgs[i]), i + 1);
        assert_ok(ptq_ack(msgs[i]));
    }
    ptq_queue_close(letters);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void a_letter_given_back_stays_dead(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_deadly(c, 0), *letters = open_letters(c);

    bury(queue, 0, 2);
    assert_ok(ptq_nack(get_number(letters, 0), 0));
    assert_ok(ptq_nack(get_number(letters, 0), PTQ_BACKOFF));
    assert_get(PTQ_EMPTY, queue);
    assert_int_equal(contract_stats(queue).dead, 2);
    assert_int_equal(contract_stats(queue).nacked, 2); /* of the deliveries only */
    ptq_queue_close(letters);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static bool are_three_dead(void *queue) { return contract_stats(queue).dead == 3; }

static void a_letter_held_by_who_closes_or_dies_is_dead_again(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_deadly(c, 0), *letters = open_letters(c);
    struct ptt_page *page = contract_page_new();

    bury(queue, 0, 3);
    get_number(letters, 0);
    assert_int_equal(contract_stats(queue).dead, 2);
    ptq_queue_close(letters);
    assert_int_equal(contract_stats(queue).dead, 3);
    assert_get(PTQ_EMPTY, queue);

    pid_t child = contract_child(c, "hold-leases", "tasks!dead", page, 2);
    assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
    assert_int_equal(contract_stats(queue).dead, 1);
    ptt_kill(child);
    letters = open_letters(c); /* who opens looks for the dead */
    assert_true(ptt_wait_until(are_three_dead, queue, PTT_LONG));
    assert_get(PTQ_EMPTY, queue);
    for (uint64_t i = 0; i < 3; i++) {
        ptq_msg *msg = get_number(letters, i);
        assert_int_equal(ptq_msg_deliveries(msg), 1); /* being held was no delivery */
        assert_ok(ptq_ack(msg));
    }
    contract_page_free(page);
    ptq_queue_close(letters);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void nothing_goes_into_the_view(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_deadly(c, 0), *letters = open_letters(c);
    struct ptq_bytes item = {"x", 1};
    ptq_msg *loan = NULL;
    char text[200];
    int fd = -1;

    assert_answer(PTQ_EINVAL, ptq_put(letters, "x", 1, PTQ_FOREVER));
    assert_answer(PTQ_EINVAL, ptq_put_many(letters, &item, 1, PTQ_FOREVER, NULL));
    assert_answer(PTQ_EINVAL, ptq_put_with(letters, "x", 1, &(struct ptq_put_options){0}, PTQ_FOREVER));
    assert_answer(PTQ_EINVAL, ptq_loan(letters, 1, PTQ_FOREVER, &loan));
    assert_answer(PTQ_EINVAL, ptq_end(letters));
    assert_answer(PTQ_EINVAL, ptq_queue_fd(letters, PTQ_SIDE_PUT, &fd));
    assert_string_equal(ptq_queue_explain(letters, PTQ_EINVAL, 0, text, sizeof text),
                        "queue 'tasks!dead': only get, ack, nack, kick and purge work on the view of dead letters - put into the "
                        "queue itself");
    assert_int_equal(contract_stats(queue).put, 0);
    ptq_queue_close(letters);
    ptq_queue_close(queue);
}

static void the_view_is_not_created(void **state)
{
    struct contract *c = *state;
    struct ptq_error error = {0};
    struct ptq_queue_options options = {.error = &error};
    ptq_queue *queue = NULL;

    assert_answer(PTQ_ENOENT, ptq_queue_open(c->bus, "tasks!dead", &options, &queue));
    options.mode = PTQ_CREATE;
    assert_answer(PTQ_EINVAL, ptq_queue_open(c->bus, "tasks!dead", &options, &queue));
    assert_non_null(strstr(error.text, "create queue 'tasks'"));
    options.mode = PTQ_OPEN_OR_CREATE;
    assert_answer(PTQ_EINVAL, ptq_queue_open(c->bus, "tasks!alive", &options, &queue));
    assert_int_equal(ptt_scratch_files(&c->home, NULL), 0);
}

static void a_sleeper_on_the_view_is_woken_by_a_death_and_by_nothing_else(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_deadly(c, 0), *letters = open_letters(c);
    struct caller reader = {.call = call_get, .queue = letters, .timeout_ms = PTT_LONG};

    caller_start_sleeping(&reader);
    put_number(queue, 5);
    assert_ok(ptq_nack(get_number(queue, 5), 0));
    assert_int_equal(reader.done, 0);
    assert_get(PTQ_EMPTY, queue); /* dies here */
    assert_ok(caller_join(&reader));
    assert_int_equal(reader.number, 5);
    ptq_queue_close(letters);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void a_sleeper_on_the_view_takes_no_wake_from_a_getter(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_deadly(c, 0), *letters = open_letters(c);
    struct caller reader = {.call = call_get, .queue = letters, .timeout_ms = PTT_LONG};
    struct caller getter = {.call = call_get, .queue = queue, .timeout_ms = PTT_LONG};

    caller_start_sleeping(&reader);
    caller_start_sleeping(&getter);
    put_number(queue, 6);
    assert_ok(caller_join(&getter));
    assert_int_equal(getter.number, 6);
    assert_int_equal(reader.done, 0);
    ptq_interrupt(letters);
    assert_answer(PTQ_EINTR, caller_join(&reader));
    ptq_queue_close(letters);
    ptq_queue_close(queue);
}

static void the_views_descriptor_tells_of_letters(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_deadly(c, 0), *letters = open_letters(c);
    int fd = -1;

    assert_ok(ptq_queue_fd(letters, PTQ_SIDE_GET, &fd));
    assert_true(contract_becomes_quiet(letters, fd));
    bury(queue, 0, 1);
    assert_true(ptt_wait_readable(fd, PTT_LONG));
    assert_ok(ptq_ack(get_number(letters, 0)));
    assert_true(contract_becomes_quiet(letters, fd));
    ptq_queue_close(letters);
    ptq_queue_close(queue);
}

static void dead_letters_and_their_readers_do_not_hold_the_end_back(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_deadly(c, 0), *letters = open_letters(c), *more = open_letters(c);

    bury(queue, 0, 2);
    ptq_msg *held = get_number(letters, 0);
    assert_ok(ptq_end(queue));
    assert_get(PTQ_END, queue);

    assert_ok(ptq_ack(get_number(more, 1)));
    assert_get(PTQ_EMPTY, more); /* the other may come back */
    assert_ok(ptq_ack(held));
    assert_get(PTQ_END, more);
    ptq_queue_close(more);
    ptq_queue_close(letters);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void a_sleeper_on_the_view_learns_of_the_end(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_deadly(c, 0), *letters = open_letters(c);
    struct caller reader = {.call = call_get, .queue = letters, .timeout_ms = PTT_LONG};

    put_number(queue, 1);
    ptq_msg *msg = get_number(queue, 1);
    caller_start_sleeping(&reader);
    assert_ok(ptq_end(queue));
    assert_false(caller_is_done(&reader, 0));
    assert_ok(ptq_ack(msg));
    assert_answer(PTQ_END, caller_join(&reader));
    ptq_queue_close(letters);
    ptq_queue_close(queue);
}

/* ---- kick */

static void kicked_letters_come_again_in_their_places_as_if_for_the_first_time(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_deadly(c, 0);
    uint64_t count = 0, first = contract_stats(queue).tail;

    bury(queue, 0, 3);
    put_number(queue, 3);
    assert_ok(ptq_queue_kick(queue, 2, &count));
    assert_int_equal(count, 2);
    assert_int_equal(contract_stats(queue).dead, 1);
    assert_ok(ptq_queue_kick(queue, 0, &count));
    assert_int_equal(count, 1);
    assert_ok(ptq_queue_kick(queue, 0, &count));
    assert_int_equal(count, 0);

    for (uint64_t i = 0; i < 4; i++) {
        ptq_msg *msg = get_number(queue, i);
        assert_int_equal(ptq_msg_deliveries(msg), 1);
        assert_int_equal(ptq_msg_redelivered(msg), i < 3); /* it was nacked once: that stays true */
        assert_int_equal(ptq_msg_position(msg), first + i);
        if (i < 3)
            assert_ok(ptq_ack(msg));
        else
            assert_ok(ptq_nack(msg, 0));
    }
    assert_get(PTQ_EMPTY, queue); /* the last one is dead now, for the first time */
    assert_ok(ptq_queue_kick(queue, 0, &count));
    assert_ok(ptq_nack(get_number(queue, 3), 0));
    assert_get(PTQ_EMPTY, queue);
    assert_int_equal(contract_stats(queue).dead, 1); /* and again */
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void a_kick_wakes_who_waits_and_works_by_the_view_too(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_deadly(c, 0), *letters = open_letters(c);
    struct caller getter = {.call = call_get, .queue = queue, .timeout_ms = PTT_LONG};

    bury(queue, 7, 1);
    caller_start_sleeping(&getter);
    assert_ok(ptq_queue_kick(letters, 0, NULL));
    assert_ok(caller_join(&getter));
    assert_int_equal(getter.number, 7);
    ptq_queue_close(letters);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void letters_of_a_batch_keep_their_order(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_deadly(c, 0);
    struct caller batch = {.call = call_put_many, .queue = queue, .timeout_ms = PTQ_NOWAIT, .number = 0, .count = 5};

    ptq_msg *msgs[5];
    assert_ok(call_put_many(&batch));
    for (uint64_t i = 0; i < 5; i++)
        msgs[i] = get_number(queue, i);
    for (uint64_t i = 5; i-- > 0;) { /* they die from behind */
        assert_ok(ptq_nack(msgs[i], 0));
        assert_get(PTQ_EMPTY, queue);
    }
    ptq_queue *letters = open_letters(c);
    for (uint64_t i = 0; i < 5; i++)
        assert_ok(ptq_ack(get_number(letters, i)));
    ptq_queue_close(letters);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static bool is_expired(void *queue)
{
    assert_get(PTQ_EMPTY, queue);
    return contract_stats(queue).dead == 1;
}

static bool is_past(void *ms) { return contract_now_ms() > *(int64_t *)ms; }

static void a_kicked_letter_that_had_outlived_its_time_does_not_expire_again(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.expired_to_dead = true});
    uint64_t number = 3;

    assert_ok(ptq_queue_pause(queue, true));
    assert_ok(ptq_put_with(queue, &number, sizeof number, &(struct ptq_put_options){.ttl_ms = 1}, PTQ_NOWAIT));
    int64_t then = contract_now_ms() + 2;
    assert_true(ptt_wait_until(is_past, &then, PTT_LONG));
    assert_ok(ptq_queue_pause(queue, false));
    assert_true(ptt_wait_until(is_expired, queue, PTT_LONG));

    ptq_queue *letters = open_letters(c);
    ptq_queue_close((get_number(letters, 3), letters)); /* held by who leaves: dead again, and not handed out */
    assert_true(is_expired(queue));
    assert_ok(ptq_queue_kick(queue, 0, NULL));
    ptq_msg *msg = get_number(queue, 3);
    assert_int_equal(ptq_msg_deliveries(msg), 1);
    assert_false(ptq_msg_redelivered(msg)); /* nobody ever had it */
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void a_purge_of_the_view_drops_the_letters_alone(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_deadly(c, 0), *letters = open_letters(c);
    uint64_t count = 0;

    bury(queue, 0, 4);
    put_number(queue, 4);
    assert_ok(ptq_queue_purge(letters, &count));
    assert_int_equal(count, 4);
    assert_int_equal(contract_stats(queue).dropped_by[PTQ_DROP_PURGED], 4);
    assert_answer(PTQ_EINVAL, ptq_queue_pause(letters, true));
    assert_ok(ptq_ack(get_number(queue, 4)));
    ptq_queue_close(letters);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

/* ---- how many are kept */

static void beyond_max_dead_the_oldest_letter_goes_counted(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_deadly(c, 3), *letters;

    bury(queue, 0, 10);
    struct ptq_queue_stats stats = contract_stats(queue);
    assert_int_equal(stats.dead, 3);
    assert_int_equal(stats.dropped, 7);
    assert_int_equal(stats.dropped_by[PTQ_DROP_DEAD_OVERFLOW], 7);
    contract_verify(c, "tasks");

    letters = open_letters(c);
    ptq_msg *held = get_number(letters, 7);
    bury(queue, 10, 1);
    assert_int_equal(contract_stats(queue).dropped, 7);
    assert_ok(ptq_nack(held, 0)); /* now there are four */
    assert_int_equal(contract_stats(queue).dropped, 8);
    for (uint64_t i = 8; i < 11; i++)
        assert_ok(ptq_ack(get_number(letters, i)));
    assert_get(PTQ_EMPTY, letters);
    ptq_queue_close(letters);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void letters_take_no_room_from_puts(void **state)
{
    struct contract *c = *state;
    struct ptq_queue_options options = {.capacity = 8, .max_deliveries = 1, .max_dead = 3000};
    uint64_t count = 0;
    ptq_queue *queue = contract_open(c, "tasks", &options);

    for (uint64_t i = 0; i < 3000; i += 5)
        bury(queue, i, 5);
    assert_int_equal(contract_stats(queue).dead, 3000);
    put_range(queue, 0, 8);
    assert_answer(PTQ_FULL, ptq_put(queue, "x", 1, PTQ_NOWAIT));

    assert_ok(ptq_queue_kick(queue, 0, &count));
    assert_int_equal(count, 3000);
    for (uint64_t i = 0; i < 3008; i++)
        assert_int_equal(recv_number(queue), i < 3000 ? i : i - 3000);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void another_max_dead_is_a_mismatch(void **state)
{
    struct contract *c = *state;
    struct ptq_error error = {0};
    struct ptq_queue_options options = {.max_dead = 4, .error = &error};
    ptq_queue *queue = open_deadly(c, 3), *other = NULL;

    assert_answer(PTQ_EMISMATCH, ptq_queue_open(c->bus, contract_address(c, "tasks"), &options, &other));
    assert_non_null(strstr(error.text, "max_dead 3, 4 was asked"));
    ptq_queue_close(queue);
}

static const struct contract_case dead_cases[] = {
    CONTRACT_CASE(letters_come_by_the_view_oldest_first_and_leave_by_ack),
    CONTRACT_CASE(several_letters_come_in_one_call),
    CONTRACT_CASE(a_letter_given_back_stays_dead),
    CONTRACT_CASE(a_letter_held_by_who_closes_or_dies_is_dead_again),
    CONTRACT_CASE(nothing_goes_into_the_view),
    CONTRACT_CASE(the_view_is_not_created),
    CONTRACT_CASE(a_sleeper_on_the_view_is_woken_by_a_death_and_by_nothing_else),
    CONTRACT_CASE(a_sleeper_on_the_view_takes_no_wake_from_a_getter),
    CONTRACT_CASE(the_views_descriptor_tells_of_letters),
    CONTRACT_CASE(dead_letters_and_their_readers_do_not_hold_the_end_back),
    CONTRACT_CASE(a_sleeper_on_the_view_learns_of_the_end),
    CONTRACT_CASE(kicked_letters_come_again_in_their_places_as_if_for_the_first_time),
    CONTRACT_CASE(a_kick_wakes_who_waits_and_works_by_the_view_too),
    CONTRACT_CASE(letters_of_a_batch_keep_their_order),
    CONTRACT_CASE(a_kicked_letter_that_had_outlived_its_time_does_not_expire_again),
    CONTRACT_CASE(a_purge_of_the_view_drops_the_letters_alone),
    CONTRACT_CASE(beyond_max_dead_the_oldest_letter_goes_counted),
    CONTRACT_CASE(letters_take_no_room_from_puts),
    CONTRACT_CASE(another_max_dead_is_a_mismatch),
};
CONTRACT_GROUP(dead);
