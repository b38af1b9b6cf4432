/* case_look.c -- looking without touching: stats, view, peek and verify agree; the view is the home's. */
#include <stdlib.h>
#include <unistd.h>

#include "contract/contract.h"

static ptq_view *view_of(struct contract *c, const char *name)
{
    struct ptq_error error = {0};
    ptq_view *view = NULL;

    if (ptq_view_open(c->home.bus, name, &error, &view) != PTQ_OK)
        fail_msg("%s", error.text);
    return view;
}

struct peeked {
    size_t count, stop_at;
    uint64_t numbers[64], positions[64];
    enum ptq_view_state states[64];
    uint32_t subs[64], deliveries[64];
    bool redelivered[64];
};

static bool peek_one(const struct ptq_view_msg *msg, void *context)
{
    struct peeked *peeked = context;
    size_t i = peeked->count++;

    if (i >= 64)
        return false;
    if (msg->size == 8)
        memcpy(&peeked->numbers[i], msg->data, 8);
    peeked->positions[i] = msg->position;
    peeked->states[i] = msg->state;
    peeked->subs[i] = msg->sub;
    peeked->deliveries[i] = msg->deliveries;
    peeked->redelivered[i] = msg->redelivered;
    return peeked->count != peeked->stop_at;
}

/* 0 dead, 1 leased, 2 nacked, 3 delayed, 4 and 5 ready, 6..8 a batch; 9 acked. */
static ptq_msg *arrange_one_of_each(struct contract *c, ptq_queue *queue)
{
    struct caller batch = {.call = call_put_many, .queue = queue, .timeout_ms = PTQ_NOWAIT, .number = 6, .count = 3};
    ptq_msg *msgs[4];

    (void)c;
    put_number(queue, 9);
    assert_int_equal(recv_number(queue), 9);
    put_number(queue, 0);
    for (int i = 0; i < 2; i++)
        assert_ok(ptq_nack(get_number(queue, 0), 0));
    assert_get(PTQ_EMPTY, queue); /* buried */
    put_range(queue, 1, 6);
    assert_ok(call_put_many(&batch));
    for (uint64_t i = 1; i < 4; i++)
        msgs[i] = get_number(queue, i);
    assert_ok(ptq_nack(msgs[2], 0));
    assert_ok(ptq_nack(msgs[3], 3600 * 1000));
    return msgs[1];
}

static void assert_figures(const struct ptq_queue_stats *stats)
{
    assert_int_equal(stats->ready, 6); /* 2, 4, 5, 6, 7, 8 */
    assert_int_equal(stats->leased, 1);
    assert_int_equal(stats->delayed, 1);
    assert_int_equal(stats->dead, 1);
    assert_int_equal(stats->put, 10);
    assert_int_equal(stats->acked, 1);
    assert_int_equal(stats->nacked, 4);
    assert_int_equal(stats->dropped, 0);
    assert_int_equal(stats->bytes_put, 80);
    assert_int_equal(stats->bytes_acked, 8);
    assert_false(stats->ended);
    assert_false(stats->removed);
}

static void stats_view_and_verify_agree(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.max_deliveries = 2, .capacity = 20});
    ptq_msg *leased = arrange_one_of_each(c, queue);
    ptq_view *view = view_of(c, "tasks");
    struct ptq_queue_stats stats = contract_stats(queue), seen = {0};
    struct ptq_verify_report report = {0};

    assert_figures(&stats);
    assert_ok(ptq_view_stats(view, &seen));
    assert_figures(&seen);
    assert_ok(ptq_view_verify(view, NULL, NULL, &report));
    assert_true(report.quiet);
    assert_int_equal(report.put, 10);
    assert_int_equal(report.acked, 1);
    assert_int_equal(report.ready, 6);
    assert_int_equal(report.leased, 1);
    assert_int_equal(report.delayed, 1);
    assert_int_equal(report.dead, 1);
    assert_int_equal(report.imbalance, 0);

    assert_ok(ptq_ack(leased));
    ptq_view_close(view);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void peek_shows_every_message_in_order_and_takes_none(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", &(struct ptq_queue_options){.max_deliveries = 2, .capacity = 20});
    ptq_msg *leased = arrange_one_of_each(c, queue);
    static const enum ptq_view_state states[] = {PTQ_VIEW_DEAD,    PTQ_VIEW_LEASED, PTQ_VIEW_REDELIVERABLE,
                                                 PTQ_VIEW_DELAYED, PTQ_VIEW_READY,  PTQ_VIEW_READY,
                                                 PTQ_VIEW_READY,   PTQ_VIEW_READY,  PTQ_VIEW_READY};
    ptq_view *view = view_of(c, "tasks");

    for (int twice = 0; twice < 2; twice++) {
        struct peeked peeked = {0};
        assert_ok(ptq_view_peek(view, peek_one, &peeked));
        assert_int_equal(peeked.count, 9);
        for (size_t i = 0; i < 9; i++) {
            assert_int_equal(peeked.numbers[i], i);
            assert_int_equal(peeked.states[i], states[i]);
            assert_int_equal(peeked.subs[i], i < 6 ? 0 : i - 6);
            assert_true(i == 0 || i > 6 || peeked.positions[i] > peeked.positions[i - 1]);
        }
        assert_int_equal(peeked.deliveries[1], 1);
        assert_int_equal(peeked.redelivered[4], false);
    }
    struct peeked some = {.stop_at = 3};
    assert_ok(ptq_view_peek(view, peek_one, &some));
    assert_int_equal(some.count, 3);

    assert_int_equal(contract_stats(queue).ready, 6);
    assert_ok(ptq_ack(leased));
    assert_int_equal(recv_number(queue), 2);
    ptq_view_close(view);
    ptq_queue_close(queue);
}

static void info_and_endpoints_tell_what_and_who(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(
        c, "tasks", &(struct ptq_queue_options){.capacity = 20, .item_size = 100, .max_deliveries = 7, .max_endpoints = 30});
    ptq_view *view = view_of(c, "tasks");
    struct ptq_view_info info = {0};
    struct ptq_view_endpoint endpoints[32];
    size_t count = 0, leased = 0, puts = 0;

    put_range(queue, 0, 4);
    ptq_msg *msg = get_number(queue, 0);
    assert_ok(ptq_view_info(view, &info));
    assert_ok(ptq_view_endpoints(view, endpoints, 32, &count));

    assert_string_equal(info.name, "tasks");
    assert_int_equal(access(info.path, R_OK), 0);
    assert_int_equal(info.capacity, 20);
    assert_int_equal(info.item_size, 100);
    assert_int_equal(info.max_deliveries, 7);
    assert_int_equal(info.max_endpoints, 30);
    assert_int_equal(info.layout, PTQ_LAYOUT_VERSION);
    assert_int_equal(info.mode & 0777, 0600);
    assert_true(info.slots >= 21);
    assert_true(info.blocks >= 21);
    assert_true(count >= 1 && count <= 30);
    for (size_t i = 0; i < count; i++) {
        puts += endpoints[i].put;
        leased += endpoints[i].leased;
        if (endpoints[i].leased > 0)
            assert_int_equal(endpoints[i].oldest_position, ptq_msg_position(msg));
        if (!contract_differs(c, DIFFERENCE_handles_share_an_endpoint) && endpoints[i].put > 0)
            assert_int_equal(endpoints[i].pid, getpid());
        if (endpoints[i].leased > 0)
            assert_true(endpoints[i].alive);
    }
    assert_int_equal(puts, 4);
    assert_int_equal(leased, 1);
    assert_ok(ptq_ack(msg));
    ptq_view_close(view);
    ptq_queue_close(queue);
}

static void a_view_of_nothing_says_so(void **state)
{
    struct contract *c = *state;
    struct ptq_error error = {0};
    ptq_view *view = NULL;

    assert_answer(PTQ_ENOENT, ptq_view_open(c->home.bus, "nobody", &error, &view));
    assert_non_null(strstr(error.text, "nobody"));
    assert_null(view);
}

static void a_view_of_a_removed_queue_is_egone(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);
    ptq_view *view = view_of(c, "tasks");
    struct ptq_queue_stats stats;

    assert_ok(ptq_queue_unlink(c->home.bus, "tasks", true));
    assert_answer(PTQ_EGONE, ptq_view_stats(view, &stats));
    ptq_view_close(view);
    ptq_queue_close(queue);
}

struct names {
    char text[200];
    int left;
};

static bool list_one(const char *name, void *context)
{
    struct names *names = context;

    strncat(names->text, name, 50);
    strncat(names->text, " ", 2);
    return --names->left > 0;
}

static void queues_are_listed_by_name(void **state)
{
    struct contract *c = *state;
    ptq_queue *queues[3] = {contract_open(c, "b", NULL), contract_open(c, "c", NULL), contract_open(c, "a.1", NULL)};
    struct names all = {.left = 99}, two = {.left = 2};

    assert_ok(ptq_bus_list(c->home.bus, list_one, &all));
    assert_ok(ptq_bus_list(c->home.bus, list_one, &two));

    assert_string_equal(all.text, "a.1 b c ");
    assert_string_equal(two.text, "a.1 b ");
    for (int i = 0; i < 3; i++)
        ptq_queue_close(queues[i]);
}

static void explain_speaks_of_the_queue(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 3, 64);
    static const enum ptq_err answers[] = {PTQ_EMPTY, PTQ_FULL,     PTQ_TIMEDOUT, PTQ_END,   PTQ_EENDED,
                                           PTQ_EGONE, PTQ_ECORRUPT, PTQ_EMSGSIZE, PTQ_ENOSPC, PTQ_EFORKED};
    char text[400], small[8];

    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        assert_ptr_equal(ptq_queue_explain(queue, answers[i], 65, text, sizeof text), text);
        if (strstr(text, "tasks") == NULL)
            fail_msg("%s: '%s' does not name the queue", ptq_err_name(answers[i]), text);
    }
    ptq_queue_explain(queue, PTQ_FULL, 1, small, sizeof small);
    assert_true(strlen(small) < sizeof small);
    ptq_queue_close(queue);
}

static const struct contract_case look_cases[] = {
    CONTRACT_CASE(stats_view_and_verify_agree),
    CONTRACT_CASE(peek_shows_every_message_in_order_and_takes_none),
    CONTRACT_CASE(info_and_endpoints_tell_what_and_who),
    CONTRACT_CASE(a_view_of_nothing_says_so),
    CONTRACT_CASE(a_view_of_a_removed_queue_is_egone),
    CONTRACT_CASE(queues_are_listed_by_name),
    CONTRACT_CASE(explain_speaks_of_the_queue),
};
CONTRACT_GROUP(look);
