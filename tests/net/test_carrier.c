/* test_carrier.c -- a queue of another host by the same calls: what they give there is what they give here. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "net/both.h"

/* ---- in and out ---- */

static void what_is_put_there_is_got_here_and_the_other_way_round(void **state)
{
    struct both q = both_open("ways", NULL);
    uint64_t position, next;
    (void)state;

    assert_ok(ptq_put_position(q.there, "east", 4, PTQ_NOWAIT, &position));
    assert_ok(ptq_put_position(q.there, "", 0, PTQ_NOWAIT, &next));
    assert_int_equal(next, position + 1);
    both_assert_get(q.here, "east");
    both_assert_get(q.here, "");
    assert_ok(ptq_put(q.here, "west", 4, PTQ_NOWAIT));
    both_assert_get(q.there, "west");

    both_close(&q);
}

static void an_empty_queue_answers_at_once_or_after_its_deadline(void **state)
{
    struct both q = both_open("empty", NULL);
    ptq_msg *msg;
    (void)state;

    assert_answer(PTQ_EMPTY, ptq_get(q.there, PTQ_NOWAIT, &msg));
    int64_t before = pti_now_ns();
    assert_answer(PTQ_TIMEDOUT, ptq_get(q.there, 50, &msg));
    assert_true(pti_now_ns() - before >= 50 * PTI_NS_PER_MS);

    both_close(&q);
}

static void a_full_queue_answers_at_once_or_after_its_deadline(void **state)
{
    struct both q = both_open("full", &(struct ptq_queue_options){.capacity = 2});
    struct ptq_bytes items[3] = {{"x", 1}, {"y", 1}, {"z", 1}};
    (void)state;

    assert_ok(ptq_put(q.there, "a", 1, PTQ_NOWAIT));
    assert_ok(ptq_put(q.there, "b", 1, PTQ_NOWAIT));
    assert_answer(PTQ_FULL, ptq_put(q.there, "c", 1, PTQ_NOWAIT));
    assert_answer(PTQ_TIMEDOUT, ptq_put(q.there, "c", 1, 50));
    assert_answer(PTQ_FULL, ptq_put_many(q.there, items, 2, PTQ_NOWAIT, NULL));
    assert_answer(PTQ_ETOOBIG, ptq_put_many(q.there, items, 3, PTQ_NOWAIT, NULL));

    both_close(&q);
}

static void facts_come_from_the_home(void **state)
{
    struct both q = both_open("facts", &(struct ptq_queue_options){.capacity = 7, .item_size = 100});
    struct ptq_queue_stats stats;
    char big[101] = {0};
    (void)state;

    assert_answer(PTQ_EMSGSIZE, ptq_put(q.there, big, sizeof big, PTQ_NOWAIT));
    assert_ok(ptq_put(q.there, big, 100, PTQ_NOWAIT));
    assert_ok(ptq_queue_stats(q.there, &stats));
    assert_true(stats.capacity == 7 && stats.item_size == 100 && stats.ready == 1 && stats.put == 1 && stats.remote);

    both_close(&q);
}

static void a_contradiction_names_both_values(void **state)
{
    struct both q = both_open("contradiction", &(struct ptq_queue_options){.item_size = 100});
    struct ptq_error error = {0};
    ptq_queue *other = NULL;
    (void)state;

    assert_answer(PTQ_EMISMATCH,
                  ptq_queue_open(net.there, "contradiction",
                                 &(struct ptq_queue_options){.item_size = 200, .error = &error}, &other));
    assert_non_null(strstr(error.text, "100"));
    assert_non_null(strstr(error.text, "200"));
    assert_null(other);

    both_close(&q);
}

static void a_queue_of_larger_results_is_not_opened_over_a_link(void **state)
{
    struct both q = both_open("small", NULL);
    struct ptq_error error = {0};
    struct pti_open home = {.options = {.item_size = 64u << 20, .capacity = 4}, .placed = true};
    struct pti_open open = {.options = {.error = &error}, .placed = true};
    ptq_queue *large, *other = NULL;
    (void)state;

    assert_ok(pti_queue_open(net.here, "huge", &home, &large));
    assert_answer(PTQ_EMSGSIZE, pti_queue_open(net.there, "huge", &open, &other));
    assert_non_null(strstr(error.text, "67108864"));
    assert_null(other);
    ptq_queue_close(large);
    both_close(&q);
}

#define MEGABYTE (1u << 20)

static void messages_of_a_megabyte_pass_whole(void **state)
{
    struct both q = both_open("large", &(struct ptq_queue_options){.capacity = 4, .item_size = MEGABYTE});
    unsigned char *bytes = malloc(MEGABYTE);
    struct ptq_bytes items[3];
    uint64_t seed = 7;
    ptq_msg *msgs[4];
    size_t count = 0;
    (void)state;

    for (size_t i = 0; i < MEGABYTE; i++)
        bytes[i] = (unsigned char)ptt_random(&seed);
    for (int i = 0; i < 3; i++)
        items[i] = (struct ptq_bytes){bytes + i, MEGABYTE - (size_t)i};
    assert_ok(ptq_put_many(q.there, items, 3, PTT_LONG, NULL));
    assert_ok(ptq_put(q.here, bytes, 1, PTQ_NOWAIT));
    while (count < 4) {
        size_t got;
        assert_ok(ptq_get_many(q.there, msgs + count, 1, 4 - count, PTT_LONG, &got));
        count += got;
    }

    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ptq_msg_size(msgs[i]), items[i].size);
        assert_memory_equal(ptq_msg_data(msgs[i]), items[i].data, items[i].size);
        assert_int_equal(ptq_msg_sub(msgs[i]), i);
    }
    for (size_t i = 0; i < 4; i++)
        assert_ok(ptq_ack(msgs[i]));
    free(bytes);
    both_close(&q);
}

static void a_batch_is_next_to_each_other_and_shares_its_position(void **state)
{
    struct both q = both_open("batch", NULL);
    struct ptq_bytes items[100];
    char texts[100][8];
    ptq_msg *msgs[100];
    uint64_t position;
    size_t got;
    (void)state;

    for (int i = 0; i < 100; i++)
        items[i] = (struct ptq_bytes){texts[i], (size_t)snprintf(texts[i], sizeof texts[i], "%d", i)};
    assert_ok(ptq_put_many(q.there, items, 100, PTQ_NOWAIT, &position));
    assert_ok(ptq_get_many(q.there, msgs, 1, 100, PTQ_NOWAIT, &got));

    assert_int_equal(got, 100);
    for (size_t i = 0; i < 100; i++) {
        both_assert_message(msgs[i], texts[i]);
        assert_true(ptq_msg_position(msgs[i]) == position && ptq_msg_sub(msgs[i]) == i &&
                    ptq_msg_deliveries(msgs[i]) == 1);
        assert_ok(ptq_ack(msgs[i]));
    }
    both_close(&q);
}

static void a_loan_is_seen_when_it_is_published(void **state)
{
    struct both q = both_open("loan", NULL);
    ptq_msg *loan, *msg;
    (void)state;

    assert_ok(ptq_loan(q.there, 100, PTQ_NOWAIT, &loan));
    assert_int_equal((uintptr_t)ptq_msg_buffer(loan) % 16, 0);
    strcpy(ptq_msg_buffer(loan), "loaned");
    assert_answer(PTQ_EMPTY, ptq_get(q.here, PTQ_NOWAIT, &msg));
    assert_ok(ptq_publish(loan, 6, PTQ_NOWAIT, NULL));
    both_assert_get(q.here, "loaned");
    assert_ok(ptq_loan(q.there, 100, PTQ_NOWAIT, &loan));
    ptq_abort(loan);
    assert_answer(PTQ_EMPTY, ptq_get(q.here, PTQ_NOWAIT, &msg));

    both_close(&q);
}

static void end_is_seen_behind_everything(void **state)
{
    struct both q = both_open("end", NULL);
    ptq_msg *msg;
    (void)state;

    assert_ok(ptq_put(q.there, "last", 4, PTQ_NOWAIT));
    assert_ok(ptq_end(q.there));
    assert_answer(PTQ_EALREADY, ptq_end(q.there));
    assert_answer(PTQ_EENDED, ptq_put(q.there, "late", 4, PTQ_FOREVER));
    assert_ok(ptq_get(q.there, PTT_LONG, &msg));
    assert_answer(PTQ_EMPTY, ptq_get(q.here, PTQ_NOWAIT, &(ptq_msg *){NULL}));
    assert_ok(ptq_ack(msg));
    assert_answer(PTQ_END, ptq_get(q.there, PTQ_FOREVER, &msg));
    assert_answer(PTQ_END, ptq_get(q.here, PTQ_FOREVER, &msg));

    both_close(&q);
}

static void a_nack_brings_it_back_flagged_and_counted(void **state)
{
    struct both q = both_open("nack", NULL);
    ptq_msg *msg;
    (void)state;

    assert_ok(ptq_put(q.there, "again", 5, PTQ_NOWAIT));
    assert_ok(ptq_get(q.there, PTT_LONG, &msg));
    assert_false(ptq_msg_redelivered(msg));
    assert_ok(ptq_nack(msg, 0));
    assert_ok(ptq_get(q.there, PTT_LONG, &msg));
    assert_true(ptq_msg_redelivered(msg));
    assert_int_equal(ptq_msg_deliveries(msg), 2);
    int64_t due = pti_now_ns() + 100 * PTI_NS_PER_MS;
    assert_ok(ptq_nack(msg, 100));
    enum ptq_err answer = ptq_get(q.there, PTQ_NOWAIT, &msg);
    if (answer == PTQ_EMPTY)
        answer = ptq_get(q.there, PTT_LONG, &msg);
    assert_ok(answer);
    assert_true(pti_now_ns() >= due);
    assert_ok(ptq_ack(msg));

    both_close(&q);
}

static void what_is_too_large_for_recv_stays_uncounted(void **state)
{
    struct both q = both_open("recv", NULL);
    char buffer[8];
    size_t size;
    (void)state;

    assert_ok(ptq_put(q.there, "eightbytes", 10, PTQ_NOWAIT));
    assert_answer(PTQ_EMSGSIZE, ptq_recv(q.there, buffer, sizeof buffer, PTT_LONG, &size));
    assert_int_equal(size, 10);
    ptq_msg *msg;
    assert_ok(ptq_get(q.here, PTT_LONG, &msg));
    assert_int_equal(ptq_msg_deliveries(msg), 1);
    assert_ok(ptq_ack(msg));

    both_close(&q);
}

static void what_a_closed_handle_held_comes_again(void **state)
{
    struct both q = both_open("held", NULL);
    ptq_msg *msg;
    (void)state;

    assert_ok(ptq_put(q.here, "held", 4, PTQ_NOWAIT));
    assert_ok(ptq_get(q.there, PTT_LONG, &msg));
    ptq_queue_close(q.there);
    assert_ok(ptq_get(q.here, PTT_LONG, &msg));
    assert_true(ptq_msg_redelivered(msg));
    assert_ok(ptq_ack(msg));

    ptq_queue_close(q.here);
}

static void a_removed_queue_is_gone(void **state)
{
    struct both q = both_open("removed", NULL);
    ptq_msg *msg;
    (void)state;

    assert_ok(ptq_queue_unlink(net.here, "removed", true));
    assert_answer(PTQ_EGONE, ptq_put(q.there, "x", 1, PTQ_NOWAIT));
    assert_answer(PTQ_EGONE, ptq_get(q.there, PTQ_FOREVER, &msg));

    both_close(&q);
}

/* ---- pools ---- */

static void placed_results_come_in_order_from_afar(void **state)
{
    ptq_queue *jobs = net_open_pool(net.here, "pool.jobs", false, 4),
              *done = net_open_pool(net.here, "pool.done", true, 4);
    ptq_queue *far_jobs = net_open_pool(net.there, "pool.jobs", false, 4),
              *far_done = net_open_pool(net.there, "pool.done", true, 4);
    struct pti_put result = {.data = "r", .size = 1, .kind = PTI_KIND_ERROR, .type = 9};
    uint64_t head, first;
    ptq_msg *msg;
    bool lost;
    (void)state;

    assert_true(far_done->port->placed && far_done->port->window == 4 && !far_jobs->port->placed &&
                far_jobs->port->remote);
    assert_ok(pti_queue_head(far_done, &first));
    assert_ok(pti_queue_limit(far_jobs, first + 4));
    for (uint64_t i = 0; i < 2; i++)
        assert_ok(ptq_put(jobs, "job", 3, PTQ_NOWAIT));
    assert_ok(pti_queue_place(far_done, first + 1, &result, PTI_DEADLINE_NEVER));
    assert_answer(PTQ_EMPTY, ptq_get(done, PTQ_NOWAIT, &msg));
    assert_ok(pti_queue_place(far_done, first, &result, PTI_DEADLINE_NEVER));
    assert_answer(PTQ_ELATE, pti_queue_place(far_done, first, &result, PTI_DEADLINE_NEVER));
    for (uint64_t i = 0; i < 2; i++) {
        assert_ok(ptq_get(far_done, PTT_LONG, &msg));
        assert_true(ptq_msg_position(msg) == first + i && msg->kind == PTI_KIND_ERROR && msg->type == 9);
        assert_ok(ptq_ack(msg));
    }
    assert_ok(pti_queue_head(far_done, &head));
    assert_int_equal(head, first + 2);
    assert_ok(pti_queue_census(far_jobs, first, &lost));
    assert_false(lost);

    ptq_queue_close(far_done);
    ptq_queue_close(far_jobs);
    ptq_queue_close(done);
    ptq_queue_close(jobs);
}

static void one_getter_at_a_time_may_claim(void **state)
{
    ptq_queue *done = net_open_pool(net.here, "claim.done", true, 4),
              *far = net_open_pool(net.there, "claim.done", true, 4);
    (void)state;

    assert_ok(pti_queue_claim(far, PTI_DEADLINE_NOW));
    assert_answer(PTQ_EBUSY, pti_queue_claim(done, PTI_DEADLINE_NOW));
    ptq_queue_close(far);
    assert_ok(pti_queue_claim(done, pti_deadline(PTT_LONG)));
    far = net_open_pool(net.there, "claim.done", true, 4);
    assert_answer(PTQ_EBUSY, pti_queue_claim(far, PTI_DEADLINE_NOW));
    assert_answer(PTQ_EBUSY, pti_queue_claim(far, pti_deadline(50)));
    ptq_queue_close(done);
    assert_ok(pti_queue_claim(far, pti_deadline(PTT_LONG)));

    ptq_queue_close(far);
}

/* ---- many ---- */

#define THREADS 4
#define EACH 500

struct crowd {
    ptq_queue *queue;
    _Atomic uint64_t failed, next, sum, count;
};

static void *put_many_times(void *context)
{
    struct crowd *crowd = context;

    for (int i = 0; i < EACH; i++) {
        uint64_t number = atomic_fetch_add(&crowd->next, 1);
        if (ptq_put(crowd->queue, &number, sizeof number, PTT_LONG) != PTQ_OK)
            atomic_fetch_add(&crowd->failed, 1);
    }
    return NULL;
}

static void *get_until_end(void *context)
{
    struct crowd *crowd = context;
    ptq_msg *msg;
    enum ptq_err answer;

    while ((answer = ptq_get(crowd->queue, PTT_LONG, &msg)) == PTQ_OK) {
        uint64_t number;
        memcpy(&number, ptq_msg_data(msg), sizeof number);
        atomic_fetch_add(&crowd->sum, number);
        atomic_fetch_add(&crowd->count, 1);
        if (ptq_ack(msg) != PTQ_OK)
            atomic_fetch_add(&crowd->failed, 1);
    }
    if (answer != PTQ_END)
        atomic_fetch_add(&crowd->failed, 1);
    return NULL;
}

static void many_threads_use_one_handle(void **state)
{
    struct both q = both_open("crowd", &(struct ptq_queue_options){.capacity = 16});
    struct crowd crowd = {.queue = q.there};
    pthread_t producers[THREADS], consumers[THREADS];
    uint64_t all = THREADS * EACH;
    (void)state;

    for (int i = 0; i < THREADS; i++) {
        pthread_create(&consumers[i], NULL, get_until_end, &crowd);
        pthread_create(&producers[i], NULL, put_many_times, &crowd);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(producers[i], NULL);
    assert_ok(ptq_end(q.there));
    for (int i = 0; i < THREADS; i++)
        pthread_join(consumers[i], NULL);

    assert_int_equal(crowd.failed, 0);
    assert_int_equal(crowd.count, all);
    assert_int_equal(crowd.sum, all * (all - 1) / 2);
    struct ptq_queue_stats stats;
    assert_ok(ptq_queue_stats(q.here, &stats));
    assert_true(stats.put == all && stats.acked == all && stats.redelivered == 0);
    both_close(&q);
}

static void many_queues_share_one_link(void **state)
{
    ptq_queue *queues[20];
    char name[16];
    (void)state;

    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "many%d@home", i);
        queues[i] = net_open(net.there, name, NULL);
        assert_ok(ptq_put(queues[i], name, strlen(name), PTQ_NOWAIT));
    }
    for (int i = 19; i >= 0; i--) {
        snprintf(name, sizeof name, "many%d@home", i);
        both_assert_get(queues[i], name);
        ptq_queue_close(queues[i]);
    }
}

/* A large batch on one channel does not hold up the other: both are on one link. */
static void a_blocked_queue_does_not_hold_up_another(void **state)
{
    struct both full = both_open("blocked", &(struct ptq_queue_options){.capacity = 1});
    struct both free_one = both_open("unblocked", NULL);
    pthread_t thread;
    void *result;
    (void)state;

    assert_ok(ptq_put(full.there, "full", 4, PTQ_NOWAIT));
    assert_int_equal(pthread_create(&thread, NULL, both_put_later, full.there), 0);
    for (int i = 0; i < 100; i++) {
        assert_ok(ptq_put(free_one.there, "free", 4, PTT_LONG));
        both_assert_get(free_one.there, "free");
    }
    both_assert_get(full.here, "full");
    both_assert_get(full.here, "later");
    pthread_join(thread, &result);
    assert_non_null(result);

    both_close(&full);
    both_close(&free_one);
}

static void nothing_is_left_when_the_last_handle_is_closed(void **state)
{
    struct ptt_traces before;
    (void)state;

    ptq_queue_close(
        net_open(net.there, "traces@home", NULL)); /* nng's own threads and descriptors are there from now on */
    ptt_traces_take(&before);
    for (int i = 0; i < 20; i++) {
        ptq_queue *queue = net_open(net.there, "traces", NULL);
        int fd;
        assert_ok(ptq_queue_fd(queue, PTQ_SIDE_GET, &fd));
        assert_ok(ptq_put(queue, "x", 1, PTQ_NOWAIT));
        ptq_queue_close(queue);
    }
    ptt_traces_assert_none_left(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_there_is_got_here_and_the_other_way_round),
        cmocka_unit_test(an_empty_queue_answers_at_once_or_after_its_deadline),
        cmocka_unit_test(a_full_queue_answers_at_once_or_after_its_deadline),
        cmocka_unit_test(facts_come_from_the_home),
        cmocka_unit_test(a_contradiction_names_both_values),
        cmocka_unit_test(a_queue_of_larger_results_is_not_opened_over_a_link),
        cmocka_unit_test(messages_of_a_megabyte_pass_whole),
        cmocka_unit_test(a_batch_is_next_to_each_other_and_shares_its_position),
        cmocka_unit_test(a_loan_is_seen_when_it_is_published),
        cmocka_unit_test(end_is_seen_behind_everything),
        cmocka_unit_test(a_nack_brings_it_back_flagged_and_counted),
        cmocka_unit_test(what_is_too_large_for_recv_stays_uncounted),
        cmocka_unit_test(what_a_closed_handle_held_comes_again),
        cmocka_unit_test(a_removed_queue_is_gone),
        cmocka_unit_test(placed_results_come_in_order_from_afar),
        cmocka_unit_test(one_getter_at_a_time_may_claim),
        cmocka_unit_test(many_threads_use_one_handle),
        cmocka_unit_test(many_queues_share_one_link),
        cmocka_unit_test(a_blocked_queue_does_not_hold_up_another),
        cmocka_unit_test(nothing_is_left_when_the_last_handle_is_closed),
    };

    return cmocka_run_group_tests(tests, hosts_start, hosts_end);
}
