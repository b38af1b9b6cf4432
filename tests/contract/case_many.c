/* case_many.c -- many at once: threads on one handle, acks by another thread, fifty processes. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "contract/contract.h"

#define PRODUCERS 4
#define CONSUMERS 4
#define EACH_LOCAL 4000
#define EACH_REMOTE 300

struct crowd {
    ptq_queue *queue;
    uint64_t each;
    _Atomic uint64_t seen[PRODUCERS * EACH_LOCAL];
    _Atomic uint64_t wrong;
    _Atomic(ptq_msg *) mailbox[64];
    _Atomic uint64_t posted, settled;
};

struct member {
    struct crowd *crowd;
    uint64_t index;
    pthread_t thread;
};

static void *produce(void *context)
{
    struct member *me = context;
    struct crowd *crowd = me->crowd;

    for (uint64_t i = 0; i < crowd->each;) {
        uint64_t numbers[3], count = i % 5 == 0 && i + 3 <= crowd->each ? 3 : 1;
        struct ptq_bytes items[3];
        for (uint64_t k = 0; k < 3; k++) {
            numbers[k] = me->index << 32 | (i + k);
            items[k] = (struct ptq_bytes){&numbers[k], 8};
        }
        enum ptq_err err = count == 3 ? ptq_put_many(crowd->queue, items, 3, PTT_LONG, NULL)
                                      : ptq_put(crowd->queue, numbers, 8, PTT_LONG);
        if (err != PTQ_OK) {
            crowd->wrong = 1000 + err;
            return NULL;
        }
        i += count;
    }
    return NULL;
}

static void record(struct crowd *crowd, const ptq_msg *msg, uint64_t next[PRODUCERS])
{
    uint64_t number = 0;

    memcpy(&number, ptq_msg_data(msg), sizeof number);
    uint64_t producer = number >> 32, i = number & UINT32_MAX;
    if (ptq_msg_size(msg) != 8 || producer >= PRODUCERS || i >= crowd->each) {
        crowd->wrong = 2000;
        return;
    }
    if (i < next[producer])
        crowd->wrong = 2001; /* this consumer leased it after a later one of the same producer */
    next[producer] = i + 1;
    crowd->seen[producer * EACH_LOCAL + i]++;
}

static void *consume(void *context)
{
    struct member *me = context;
    struct crowd *crowd = me->crowd;
    uint64_t next[PRODUCERS] = {0};

    for (;;) {
        ptq_msg *msg = NULL;
        enum ptq_err err = ptq_get(crowd->queue, PTT_LONG, &msg);
        if (err == PTQ_END)
            return NULL;
        if (err != PTQ_OK) {
            crowd->wrong = 3000 + err;
            return NULL;
        }
        record(crowd, msg, next);
        if (me->index % 2 == 0) {
            if (ptq_ack(msg) != PTQ_OK)
                crowd->wrong = 3001;
            continue;
        }
        _Atomic(ptq_msg *) *box = &crowd->mailbox[crowd->posted++ % 64]; /* another thread acks it */
        for (ptq_msg *empty = NULL; !atomic_compare_exchange_weak(box, &empty, msg); empty = NULL)
            sched_yield();
    }
}

static void *ack_for_others(void *context)
{
    struct member *me = context;
    struct crowd *crowd = me->crowd;

    while (crowd->settled != 1) {
        for (int i = 0; i < 64; i++) {
            ptq_msg *msg = atomic_exchange(&crowd->mailbox[i], NULL);
            if (msg != NULL && ptq_ack(msg) != PTQ_OK)
                crowd->wrong = 4000;
        }
        sched_yield();
    }
    return NULL;
}

static void start_member(struct member *member, struct crowd *crowd, uint64_t index, void *(*run)(void *))
{
    *member = (struct member){.crowd = crowd, .index = index};
    assert_int_equal(pthread_create(&member->thread, NULL, run, member), 0);
}

static void many_threads_may_use_one_handle_and_ack_for_each_other(void **state)
{
    struct contract *c = *state;
    struct crowd *crowd = calloc(1, sizeof *crowd);
    struct member producers[PRODUCERS], consumers[CONSUMERS], acker;

    crowd->queue = contract_open_sized(c, "tasks", 50, 64);
    crowd->each = c->carrier->remote ? EACH_REMOTE : EACH_LOCAL;
    start_member(&acker, crowd, 0, ack_for_others);
    for (uint64_t i = 0; i < CONSUMERS; i++)
        start_member(&consumers[i], crowd, i, consume);
    for (uint64_t i = 0; i < PRODUCERS; i++)
        start_member(&producers[i], crowd, i, produce);
    for (uint64_t i = 0; i < PRODUCERS; i++)
        pthread_join(producers[i].thread, NULL);
    assert_ok(ptq_end(crowd->queue));
    for (uint64_t i = 0; i < CONSUMERS; i++)
        pthread_join(consumers[i].thread, NULL);
    crowd->settled = 1;
    pthread_join(acker.thread, NULL);

    assert_int_equal(crowd->wrong, 0);
    for (uint64_t p = 0; p < PRODUCERS; p++)
        for (uint64_t i = 0; i < crowd->each; i++)
            if (crowd->seen[p * EACH_LOCAL + i] != 1)
                fail_msg("message %llu of producer %llu came %llu times", (unsigned long long)i, (unsigned long long)p,
                         (unsigned long long)crowd->seen[p * EACH_LOCAL + i]);
    ptq_queue_close(crowd->queue);
    free(crowd);
    contract_verify(c, "tasks");
}

static void *nack_for_others(void *context)
{
    struct caller *caller = context;

    for (int i = 0; i < 3; i++) {
        ptq_msg *msg = NULL;
        caller->answer = ptq_get(caller->queue, PTT_LONG, &msg);
        if (caller->answer == PTQ_OK)
            caller->answer = ptq_nack(msg, 0);
        if (caller->answer != PTQ_OK)
            return NULL;
    }
    return NULL;
}

static void a_thread_that_ended_leaves_its_leases_to_the_handle(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open(c, "tasks", NULL);

    for (uint64_t i = 0; i < 30; i++) { /* more threads than lanes, one after the other */
        struct caller caller = {.queue = queue};
        pthread_t thread;
        put_number(queue, i);
        assert_int_equal(pthread_create(&thread, NULL, nack_for_others, &caller), 0);
        pthread_join(thread, NULL);
        assert_ok(caller.answer);
        ptq_msg *msg = get_number(queue, i);
        assert_int_equal(ptq_msg_deliveries(msg), 4);
        assert_ok(ptq_ack(msg));
    }
    assert_true(contract_stats(queue).endpoints <= 256);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void fifty_processes_share_a_queue_on_few_processors(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = contract_open_sized(c, "tasks", 16, 64);
    struct ptt_page *page = contract_page_new();
    int count = c->carrier->remote ? 10 : 50;
    pid_t children[50];

    for (int i = 0; i < count; i++)
        children[i] = contract_child(c, "put-and-get", "tasks", page, 20);
    for (int i = 0; i < count; i++)
        ptt_assert_exit(children[i], 0, 2 * PTT_LONG); /* the first one has all others beside it */

    assert_int_equal(page->words[1], (uint64_t)count * 210);
    assert_int_equal(page->words[2], page->words[1]);
    assert_get(PTQ_EMPTY, queue);
    contract_page_free(page);
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void many_handles_in_one_process_each_see_all(void **state)
{
    struct contract *c = *state;
    ptq_queue *queues[40];

    for (int i = 0; i < 40; i++)
        queues[i] = contract_open_sized(c, "tasks", 100, 64);
    for (uint64_t i = 0; i < 400; i++) {
        put_number(queues[i % 40], i);
        assert_int_equal(recv_number(queues[(i * 17 + 3) % 40]), i);
    }
    for (int i = 0; i < 40; i++)
        ptq_queue_close(queues[i]);
    contract_verify(c, "tasks");
}

static const struct contract_case many_cases[] = {
    CONTRACT_CASE(many_threads_may_use_one_handle_and_ack_for_each_other),
    CONTRACT_CASE(a_thread_that_ended_leaves_its_leases_to_the_handle),
    CONTRACT_CASE(fifty_processes_share_a_queue_on_few_processors),
    CONTRACT_CASE(many_handles_in_one_process_each_see_all),
};
CONTRACT_GROUP(many);
