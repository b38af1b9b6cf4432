/* case_life.c -- closing, removing, dying: what stays, who is told, what comes again. */
#include <unistd.h>

#include "contract/contract.h"

static void close_accepts_null(void **state)
{
    (void)state;
    ptq_queue_close(NULL);
    ptq_bus_close(NULL);
    ptq_view_close(NULL);
}

static void leases_of_a_closed_handle_are_redelivered_in_order_and_flagged(void **state)
{
    struct contract *c = *state;
    ptq_queue *stays = contract_open(c, "tasks", NULL), *goes = contract_open(c, "tasks", NULL);

    put_range(stays, 0, 6);
    for (uint64_t i = 0; i < 4; i++)
        get_number(goes, i);
    ptq_queue_close(goes);

    for (uint64_t i = 0; i < 6; i++) {
        ptq_msg *msg = get_number(stays, i);
        assert_int_equal(ptq_msg_redelivered(msg), i < 4);
        assert_int_equal(ptq_msg_deliveries(msg), i < 4 ? 2 : 1);
        assert_ok(ptq_ack(msg));
    }
    ptq_queue_close(stays);
    contract_verify(c, "tasks");
}

static void leases_of_the_last_handle_are_redelivered_to_who_comes_next(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);

    put_number(queue, 3);
    get_number(queue, 3);
    ptq_queue_close(queue);
    queue = contract_open(c, "tasks", NULL);

    ptq_msg *msg = get_number(queue, 3);
    assert_true(ptq_msg_redelivered(msg));
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void handles_come_and_go_without_a_trace(void **state)
{
    struct contract *c = *state;
    ptq_queue *keep = contract_open(c, "tasks", NULL);
    struct ptt_traces before;

    ptq_queue_close(contract_open(c, "tasks", NULL));
    ptt_traces_take(&before);
    for (uint64_t i = 0; i < 100; i++) {
        ptq_queue *queue = contract_open(c, "tasks", NULL);
        put_number(queue, i);
        assert_int_equal(recv_number(queue), i);
        ptq_queue_close(queue);
    }

    ptt_traces_assert_none_left(&before);
    assert_true(contract_stats(keep).endpoints <= 2);
    ptq_queue_close(keep);
    contract_verify(c, "tasks");
}

/* ---- removing: a call on the home's bus */

static void unlink_is_idempotent(void **state)
{
    struct contract *c = *state;

    assert_ok(ptq_queue_unlink(c->home.bus, "nobody", false));
    ptq_queue_close(contract_open(c, "tasks", NULL));
    if (contract_differs(c, DIFFERENCE_handles_share_an_endpoint))
        assert_ok(ptq_queue_unlink(c->home.bus, "tasks", true)); /* the bridge may still hold it */
    assert_ok(ptq_queue_unlink(c->home.bus, "tasks", false));
    assert_ok(ptq_queue_unlink(c->home.bus, "tasks", true));
    assert_int_equal(ptt_scratch_files(&c->home, NULL), 0);
}

static void unlink_spares_a_queue_in_use(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);

    put_number(queue, 1);
    assert_answer(PTQ_EBUSY, ptq_queue_unlink(c->home.bus, "tasks", false));

    put_number(queue, 2);
    assert_int_equal(recv_number(queue), 1);
    assert_int_equal(recv_number(queue), 2);
    ptq_queue_close(queue);
}

static void every_call_on_a_removed_queue_is_egone(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    ptq_msg *loan = NULL, *msg = NULL, *other = NULL;
    char buffer[8];
    size_t size = 0;
    struct ptq_queue_stats stats = {0};

    put_number(queue, 1);
    put_number(queue, 2);
    put_number(queue, 3);
    msg = get_number(queue, 1);
    assert_ok(ptq_loan(queue, 8, PTQ_NOWAIT, &loan));
    assert_ok(ptq_queue_unlink(c->home.bus, "tasks", true));

    assert_answer(PTQ_EGONE, ptq_put(queue, "x", 1, PTQ_FOREVER));
    assert_answer(PTQ_EGONE, ptq_put_many(queue, &(struct ptq_bytes){"x", 1}, 1, PTQ_FOREVER, NULL));
    assert_answer(PTQ_EGONE, ptq_publish(loan, 8, PTQ_FOREVER, NULL));
    ptq_abort(loan);
    if (contract_differs(c, DIFFERENCE_loan_asks_the_home))
        assert_answer(PTQ_EGONE, ptq_loan(queue, 8, PTQ_FOREVER, &loan));
    assert_answer(PTQ_EGONE, ptq_get(queue, PTQ_FOREVER, &other));
    assert_answer(PTQ_EGONE, ptq_get_many(queue, &other, 1, 1, PTQ_FOREVER, &size));
    assert_answer(PTQ_EGONE, ptq_recv(queue, buffer, 8, PTQ_FOREVER, &size));
    assert_answer(PTQ_EGONE, ptq_end(queue));
    if (ptq_queue_stats(queue, &stats) == PTQ_OK)
        assert_true(stats.removed);
    enum ptq_err err = ptq_ack(msg); /* taken in any case */
    assert_true(err == PTQ_OK || err == PTQ_EGONE);
    ptq_queue_close(queue);
    assert_int_equal(ptt_scratch_files(&c->home, NULL), 0);
}

static void removal_wakes_who_sleeps(void **state)
{
    struct contract *c = *state;
    ptq_queue *empty = contract_open_sized(c, "empty", 1, 64), *full = contract_open_sized(c, "full", 1, 64);
    struct caller getters[2], putter = {.call = call_put, .queue = full, .timeout_ms = PTQ_FOREVER};

    put_number(full, 1);
    for (int i = 0; i < 2; i++) {
        getters[i] = (struct caller){.call = call_get, .queue = empty, .timeout_ms = PTQ_FOREVER};
        caller_start_sleeping(&getters[i]);
    }
    caller_start_sleeping(&putter);
    assert_ok(ptq_queue_unlink(c->home.bus, "empty", true));
    assert_ok(ptq_queue_unlink(c->home.bus, "full", true));

    assert_answer(PTQ_EGONE, caller_join(&getters[0]));
    assert_answer(PTQ_EGONE, caller_join(&getters[1]));
    assert_answer(PTQ_EGONE, caller_join(&putter));
    ptq_queue_close(empty);
    ptq_queue_close(full);
}

static void a_removed_name_is_free_for_a_new_queue(void **state)
{
    struct contract *c = *state;
    ptq_queue *old = contract_open_sized(c, "tasks", 5, 64);

    put_number(old, 1);
    assert_ok(ptq_queue_unlink(c->home.bus, "tasks", true));
    ptq_queue *fresh = contract_open_sized(c, "tasks", 7, 32);
    put_number(fresh, 2);

    assert_answer(PTQ_EGONE, ptq_put(old, "x", 1, PTQ_NOWAIT));
    assert_get(PTQ_EGONE, old);
    assert_int_equal(recv_number(fresh), 2);
    ptq_queue_close(old);
    assert_int_equal(contract_stats(fresh).capacity, 7);
    ptq_queue_close(fresh);
    contract_verify(c, "tasks");
}

/* ---- dying */

static bool has_redelivery(void *context)
{
    struct ptq_queue_stats stats = contract_stats(context);

    return stats.leased == 0;
}

static void leases_of_a_killed_process_come_again_first_and_flagged(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    struct ptt_page *page = contract_page_new();

    put_range(queue, 0, 5);
    pid_t child = contract_child(c, "hold-leases", "tasks", page, 3);
    assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
    assert_int_equal(contract_stats(queue).leased, 3);
    ptt_kill(child);
    if (contract_differs(c, DIFFERENCE_death_grace_ms) > 0)
        assert_true(ptt_wait_until(has_redelivery, queue, PTT_LONG));
    else
        ptq_queue_close(contract_open(c, "tasks", NULL)); /* who opens looks for the dead */

    for (uint64_t i = 0; i < 5; i++) {
        ptq_msg *msg = get_number(queue, i);
        assert_int_equal(ptq_msg_redelivered(msg), i < 3);
        assert_int_equal(ptq_msg_deliveries(msg), i < 3 ? 2 : 1);
        assert_ok(ptq_ack(msg));
    }
    contract_page_free(page);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

/* Nobody meets an obstacle: the queue is never empty, never full, and nobody comes or goes. */
static void leases_of_a_killed_process_come_again_beside_a_backlog(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 100, 64);
    struct ptt_page *page = contract_page_new();
    uint64_t next = 50, got = 3, seen = 0;

    put_range(queue, 0, 50);
    pid_t child = contract_child(c, "hold-leases", "tasks", page, 3);
    assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
    ptt_kill(child);
    int64_t end = contract_now_ms() + PTT_LONG;
    while (seen < 3) {
        ptq_msg *msg = NULL;
        put_number(queue, next++);
        assert_ok(ptq_get(queue, PTT_LONG, &msg));
        if (ptq_msg_redelivered(msg))
            assert_int_equal(number_of(msg), seen++);
        else
            assert_int_equal(number_of(msg), got++);
        assert_ok(ptq_ack(msg));
        if (contract_now_ms() > end)
            fail_msg("after %llu messages of others the leases of the dead have not come again",
                     (unsigned long long)(got - 3));
    }
    contract_page_free(page);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void the_death_of_a_holder_wakes_a_sleeping_get(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);

    for (int pause_ms = 0; pause_ms <= 400; pause_ms += 400) { /* just asleep, and long asleep */
        struct ptt_page *page = contract_page_new();
        struct caller caller = {.call = call_get, .queue = queue, .timeout_ms = PTQ_FOREVER};

        put_number(queue, 5);
        pid_t child = contract_child(c, "hold-leases", "tasks", page, 1);
        assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
        caller_start_sleeping(&caller);
        assert_false(caller_is_done(&caller, pause_ms));
        ptt_kill(child);

        assert_ok(caller_join(&caller));
        assert_int_equal(caller.number, 5);
        contract_page_free(page);
    }
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void what_a_killed_producer_put_is_there_and_nothing_else(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 20, 64);
    struct ptt_page *page = contract_page_new();

    pid_t child = contract_child(c, "put-and-live", "tasks", page, 20);
    assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
    ptt_kill(child);

    for (int lap = 0; lap < 2; lap++) {
        recv_range(queue, 0, 20);
        assert_get(PTQ_EMPTY, queue);
        put_range(queue, 0, 20);
    }
    contract_page_free(page);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void a_stopped_process_holds_back_only_what_it_leased(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 10, 64);
    struct ptt_page *page = contract_page_new();
    uint64_t next = 2, again = 0;
    bool killed = false;

    put_range(queue, 0, 4);
    pid_t child = contract_child(c, "hold-leases", "tasks", page, 2);
    assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
    ptt_stop(child);

    while (next < 200 || again < 2) {
        ptq_msg *msg = NULL;
        if (next == 200 && again == 0) { /* all others went on meanwhile */
            if (contract_differs(c, DIFFERENCE_death_grace_ms) == 0)
                assert_int_equal(contract_stats(queue).leased, 2);
            ptt_kill(child);
            killed = true;
        }
        assert_ok(ptq_get(queue, PTT_LONG, &msg));
        if (ptq_msg_redelivered(msg)) {
            assert_true(next >= 200 || contract_differs(c, DIFFERENCE_death_grace_ms) > 0);
            assert_int_equal(number_of(msg), again++);
        } else {
            assert_int_equal(number_of(msg), next++);
            if (next <= 198)
                put_number(queue, next + 1);
        }
        assert_ok(ptq_ack(msg));
    }
    assert_get(PTQ_EMPTY, queue);
    ptq_queue_close(queue);
    contract_page_free(page);
    if (!killed)
        ptt_kill(child);
}

static void a_killed_sleeper_takes_nothing_with_it(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    struct ptt_page *page = contract_page_new();

    for (uint64_t i = 0; i < 5; i++) {
        page->words[0] = 0;
        pid_t child = contract_child(c, "sleep-in-get", "tasks", page, 0);
        assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
        assert_true(ptt_wait_sleeping(child, child, PTT_LONG));
        struct caller caller = {.call = call_get, .queue = queue, .timeout_ms = PTQ_FOREVER};
        caller_start_sleeping(&caller);
        ptt_kill(child);
        put_number(queue, i);
        assert_ok(caller_join(&caller));
        assert_int_equal(caller.number, i);
    }
    contract_page_free(page);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

/* ---- gc */

static void gc_removes_what_is_empty_and_keeps_what_is_not(void **state)
{
    struct contract *c = *state;
    struct ptq_gc_report report = {0};

    contract_skip_if(c, DIFFERENCE_handles_share_an_endpoint); /* and may still hold them */
    ptq_queue_close(contract_open(c, "empty", NULL));
    ptq_queue *queue = contract_open(c, "full", NULL);
    put_number(queue, 1);
    ptq_queue_close(queue);
    queue = contract_open(c, "scratch", &(struct ptq_queue_options){.ephemeral = true});
    put_number(queue, 1);
    ptq_queue_close(queue);
    queue = contract_open(c, "used", NULL);
    assert_ok(ptq_bus_gc(c->home.bus, false, &report));

    assert_int_equal(report.queues, 4);
    assert_int_equal(report.removed, 2);
    assert_int_equal(report.kept, 1);
    assert_int_equal(report.live, 1);
    put_number(queue, 1);
    assert_int_equal(recv_number(queue), 1);
    ptq_queue_close(queue);
    queue = contract_open(c, "full", &(struct ptq_queue_options){.mode = PTQ_ATTACH});
    assert_int_equal(recv_number(queue), 1);
    put_number(queue, 2);
    ptq_queue_close(queue);
    assert_ok(ptq_bus_gc(c->home.bus, true, &report));
    assert_int_equal(report.removed, 2);
    assert_int_equal(ptt_scratch_files(&c->home, NULL), 0);
}

static void gc_recovers_the_leases_of_the_dead(void **state)
{
    struct contract *c = *state;
    struct ptq_gc_report report = {0};

    contract_skip_if(c, DIFFERENCE_handles_share_an_endpoint);
    struct ptt_page *page = contract_page_new();
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    put_number(queue, 1);
    pid_t child = contract_child(c, "hold-leases", "tasks", page, 1);
    assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));
    ptq_queue_close(queue);
    ptt_kill(child);
    assert_ok(ptq_bus_gc(c->home.bus, false, &report));

    assert_int_equal(report.kept, 1);
    assert_true(report.recovered >= 1);
    queue = contract_open(c, "tasks", &(struct ptq_queue_options){.mode = PTQ_ATTACH});
    ptq_msg *msg = get_number(queue, 1);
    assert_true(ptq_msg_redelivered(msg));
    assert_ok(ptq_ack(msg));
    contract_page_free(page);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

struct collector {
    struct caller caller;
    ptq_bus *bus;
    _Atomic bool stop;
};

static enum ptq_err call_gc(struct caller *caller)
{
    struct collector *collector = (struct collector *)caller;
    struct ptq_gc_report report = {0};
    enum ptq_err err = PTQ_OK;

    while (!collector->stop && err == PTQ_OK)
        err = ptq_bus_gc(collector->bus, false, &report);
    return err;
}

static void an_open_beside_gc_is_let_in(void **state)
{
    struct contract *c = *state;
    struct collector collector = {.caller.call = call_gc, .bus = c->home.bus};

    ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.capacity = 1, .item_size = 16, .max_endpoints = 2});
    put_number(queue, 1);
    ptq_queue_close(queue);
    caller_start(&collector.caller);
    for (int i = 0; i < (c->carrier->remote ? 20 : 3000); i++) {
        queue = contract_open(c, "tasks", &(struct ptq_queue_options){.mode = PTQ_ATTACH, .wait_ms = PTT_LONG}); /* for a gc that stands still */
        ptq_queue_close(queue);
    }
    collector.stop = true;

    assert_ok(caller_join(&collector.caller));
}

static const struct contract_case life_cases[] = {
    CONTRACT_CASE(close_accepts_null),
    CONTRACT_CASE(leases_of_a_closed_handle_are_redelivered_in_order_and_flagged),
    CONTRACT_CASE(leases_of_the_last_handle_are_redelivered_to_who_comes_next),
    CONTRACT_CASE(handles_come_and_go_without_a_trace),
    CONTRACT_CASE(unlink_is_idempotent),
    CONTRACT_CASE(unlink_spares_a_queue_in_use),
    CONTRACT_CASE(every_call_on_a_removed_queue_is_egone),
    CONTRACT_CASE(removal_wakes_who_sleeps),
    CONTRACT_CASE(a_removed_name_is_free_for_a_new_queue),
    CONTRACT_CASE(leases_of_a_killed_process_come_again_first_and_flagged),
    CONTRACT_CASE(leases_of_a_killed_process_come_again_beside_a_backlog),
    CONTRACT_CASE(the_death_of_a_holder_wakes_a_sleeping_get),
    CONTRACT_CASE(what_a_killed_producer_put_is_there_and_nothing_else),
    CONTRACT_CASE(a_stopped_process_holds_back_only_what_it_leased),
    CONTRACT_CASE(a_killed_sleeper_takes_nothing_with_it),
    CONTRACT_CASE(gc_removes_what_is_empty_and_keeps_what_is_not),
    CONTRACT_CASE(gc_recovers_the_leases_of_the_dead),
    CONTRACT_CASE(an_open_beside_gc_is_let_in),
};
CONTRACT_GROUP(life);
