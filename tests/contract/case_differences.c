/* case_differences.c -- the rows of differences.def that no other case meets: each is as the table says, on each carrier. */
#include <unistd.h>

#include "contract/contract.h"

static void a_late_ack_is_refused_where_sessions_end(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    bool refused = contract_differs(c, DIFFERENCE_late_ack_is_refused);

    put_number(queue, 1);
    ptq_msg *msg = get_number(queue, 1);
    if (c->carrier->restart_home != NULL)
        c->carrier->restart_home(c);
    assert_answer(refused ? PTQ_ELEASELOST : PTQ_OK, ptq_ack(msg));
    if (refused) {
        msg = get_number(queue, 1);
        assert_true(ptq_msg_redelivered(msg));
        assert_ok(ptq_ack(msg));
    }
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void acks_of_a_batch_before_the_last_are_handed_over(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    bool handed_over = contract_differs(c, DIFFERENCE_ack_of_a_batch_is_handed_over);
    ptq_msg *msgs[3];
    size_t count;

    put_range(queue, 0, 3);
    assert_ok(ptq_get_many(queue, msgs, 3, 3, PTT_LONG, &count));
    if (c->carrier->restart_home != NULL)
        ptt_stop(c->bridge);
    assert_ok(ptq_ack(msgs[0]));
    if (c->carrier->restart_home != NULL)
        c->carrier->restart_home(c);
    enum ptq_err last = ptq_ack(msgs[2]);
    assert_answer(handed_over ? PTQ_ELEASELOST : PTQ_OK, last);
    if (handed_over) {
        ptq_msg *again = get_number(queue, 0); /* it was told PTQ_OK */
        assert_true(ptq_msg_redelivered(again));
        assert_ok(ptq_ack(again));
    }
    (void)!ptq_ack(msgs[1]);
    ptq_queue_close(queue);
}

static bool sleeps_or_is_done(void *context)
{
    struct caller *caller = context;

    return caller->done || (caller->tid != 0 && ptt_wait_sleeping(getpid(), (pid_t)caller->tid, 0));
}

/* A put that waits at its home as that dies, and what is asked after that.  False: it had waited long enough by then. */
static bool dies_under_a_put(struct contract *c, const char *name, int timeout_ms, enum ptq_err *ret_first, enum ptq_err *ret_next)
{
    ptq_queue *queue = contract_open_sized(c, name, 1, 0);
    struct caller caller = {.call = call_put, .queue = queue, .timeout_ms = timeout_ms, .number = 2};
    int64_t begun = contract_now_ms();

    put_number(queue, 1);
    caller_start(&caller);
    assert_true(ptt_wait_until(sleeps_or_is_done, &caller, PTT_LONG));
    (void)contract_stats(queue); /* behind it, so that the home has it */
    if (c->carrier->restart_home != NULL)
        ptt_kill(c->bridge);
    bool in_time = contract_now_ms() < begun + timeout_ms;
    *ret_first = caller_join(&caller);
    *ret_next = ptq_put(queue, "x", 1, PTQ_NOWAIT);
    if (c->carrier->restart_home != NULL)
        c->carrier->restart_home(c);
    ptq_queue_close(queue);
    return in_time;
}

static void a_home_that_dies_leaves_doubt_and_then_silence(void **state)
{
    struct contract *c = *state;
    bool doubt = contract_differs(c, DIFFERENCE_put_may_be_in_doubt);
    bool silence = contract_differs(c, DIFFERENCE_peer_may_be_unreachable);
    enum ptq_err first, next;

    if (!dies_under_a_put(c, "tasks", 200, &first, &next))
        assert_true(dies_under_a_put(c, "more", PTT_LONG / 4, &first, &next));
    assert_answer(doubt ? PTQ_EINDOUBT : PTQ_TIMEDOUT, first);
    assert_answer(silence ? PTQ_EUNREACHABLE : PTQ_FULL, next);
}

static void nowait_asks_the_home_once(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    bool asks = contract_differs(c, DIFFERENCE_nowait_is_a_round_trip);
    struct caller caller = {.call = call_get, .queue = queue, .timeout_ms = PTQ_NOWAIT};

    if (c->carrier->restart_home != NULL)
        ptt_stop(c->bridge);
    caller_start(&caller);
    assert_int_equal(caller_is_done(&caller, asks ? 100 : PTT_LONG), !asks);
    if (c->carrier->restart_home != NULL)
        ptt_continue(c->bridge);
    assert_answer(PTQ_EMPTY, caller_join(&caller));
    ptq_queue_close(queue);
}

static void a_handle_starts_threads_or_none(void **state)
{
    struct contract *c = *state;
    struct ptt_page *page = contract_page_new();

    ptt_assert_exit(contract_child(c, "count-threads", "tasks", page, 0), 0, PTT_LONG);
    if (contract_differs(c, DIFFERENCE_starts_threads))
        assert_true(page->words[2] > page->words[1]);
    else
        assert_int_equal(page->words[2], page->words[1]);
    contract_page_free(page);
}

static void a_forked_child_opens_its_own_handle_or_is_told(void **state)
{
    struct contract *c = *state;
    struct ptt_page *page = contract_page_new();
    bool may = contract_differs(c, DIFFERENCE_forked_child_may_open);

    ptt_assert_exit(contract_child(c, "fork-and-open", "tasks", page, 0), 0, PTT_LONG);
    assert_answer(may ? PTQ_OK : PTQ_EFORKED, (enum ptq_err)page->words[1]);
    contract_page_free(page);
}

static void unlink_sees_users_where_the_queue_is(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    bool sees = contract_differs(c, DIFFERENCE_unlink_sees_users);

    assert_answer(sees ? PTQ_EBUSY : PTQ_OK, ptq_queue_unlink(c->bus, "tasks", false)); /* of a bus that has none */
    assert_answer(PTQ_EBUSY, ptq_queue_unlink(c->home.bus, "tasks", false));
    ptq_queue_close(queue);
}

static bool is_there(void *context)
{
    struct ptq_queue_stats stats;

    return ptq_queue_stats(context, &stats) == PTQ_OK && stats.put > 0;
}

static void a_pipeline_gathers_until_it_is_flushed_or_is_on_its_way(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    ptq_queue *pipe = contract_open(c, "tasks", &(struct ptq_queue_options){.flags = PTQ_PIPELINE});

    put_number(pipe, 1);
    if (contract_differs(c, DIFFERENCE_pipeline_does_not_gather))
        assert_true(ptt_wait_until(is_there, queue, PTT_LONG));
    else
        assert_get(PTQ_EMPTY, queue);
    assert_ok(ptq_flush(pipe, PTT_LONG));
    assert_int_equal(recv_number(queue), 1);
    ptq_queue_close(pipe);
    ptq_queue_close(queue);
}

/* With somebody here who carries it: through the bridge. */
static void a_put_that_is_answered_here_stands_in_an_outbox_or_in_the_queue(void **state)
{
    struct contract *c = *state;
    struct ptq_error error = {0};
    struct ptq_queue_options options = {.flags = PTQ_ACK_LOCAL, .error = &error};
    bool is_outbox = contract_differs(c, DIFFERENCE_ack_local_is_an_outbox);
    ptq_queue *queue = contract_open(c, "tasks", NULL), *local;
    uint64_t position = 0;

    put_number(queue, 0);
    enum ptq_err answer = ptq_queue_open(c->bus, contract_address(c, "tasks"), &options, &local);
    assert_answer(is_outbox && !c->carrier->bridge ? PTQ_EUNREACHABLE : PTQ_OK, answer);
    if (answer == PTQ_OK) {
        assert_ok(ptq_put_with(local, "\1\0\0\0\0\0\0", 8, &(struct ptq_put_options){.ret_position = &position}, PTT_LONG));
        assert_ok(ptq_flush(local, PTT_LONG));
        assert_int_equal(recv_number(queue), 0);
        ptq_msg *msg = get_number(queue, 1);
        assert_int_equal(ptq_msg_position(msg) == position, !is_outbox);
        assert_ok(ptq_ack(msg));
        ptq_queue_close(local);
    }
    ptq_queue_close(queue);
}

static const struct contract_case differences_cases[] = {
    CONTRACT_CASE(a_late_ack_is_refused_where_sessions_end),
    CONTRACT_CASE(acks_of_a_batch_before_the_last_are_handed_over),
    CONTRACT_CASE(a_home_that_dies_leaves_doubt_and_then_silence),
    CONTRACT_CASE(nowait_asks_the_home_once),
    CONTRACT_CASE(a_handle_starts_threads_or_none),
    CONTRACT_CASE(a_forked_child_opens_its_own_handle_or_is_told),
    CONTRACT_CASE(unlink_sees_users_where_the_queue_is),
    CONTRACT_CASE(a_pipeline_gathers_until_it_is_flushed_or_is_on_its_way),
    CONTRACT_CASE(a_put_that_is_answered_here_stands_in_an_outbox_or_in_the_queue),
};
CONTRACT_GROUP(differences);
