/* memory_wrap.c -- positions at the end of their numbers: a queue that starts shortly before the wrap works across it. */
#include <stdlib.h>

#include "contract/contract.h"
#include "queue/queue.h"

/* The queue "tasks", `laps` laps of its ring before the position number wraps. */
static ptq_queue *open_near_wrap(struct contract *c, uint64_t capacity, uint32_t item_size, uint64_t laps)
{
    uint64_t slots = 64;
    unsigned slot_bits = 6;
    ptq_queue *queue = NULL;

    while (slots <= capacity)
        slots *= 2, slot_bits++;
    unsigned lap_bits = slot_bits + 41 > 48 ? 48 - slot_bits : 41;
    struct pti_open open = {.options = {.capacity = capacity, .item_size = item_size, .max_deliveries = PTQ_NEVER},
                            .start = (UINT64_C(1) << lap_bits) - laps};
    assert_ok(pti_queue_open(c->bus, "tasks", &open, &queue));
    return queue;
}

static void positions_wrap_and_order_stays(void **state)
{
    struct contract *c = *state;
    static const uint64_t capacities[] = {1, 3, 64, 100, 300};

    for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++) {
        uint64_t capacity = capacities[i], put = 0, got = 0, last = 0, wraps = 0;
        ptq_queue *queue = open_near_wrap(c, capacity, 16, 2);
        while (got < 5 * (capacity < 64 ? 64 : capacity)) {
            uint64_t position = 0;
            while (put - got < capacity) {
                assert_ok(ptq_put_position(queue, &put, sizeof put, PTQ_NOWAIT, &position));
                if (put > 0) {
                    wraps += position < last;
                    assert_true(pti_position_compare(position, last) > 0 || position < last);
                }
                last = position;
                put++;
            }
            assert_answer(PTQ_FULL, ptq_put(queue, "x", 1, PTQ_NOWAIT));
            for (uint64_t n = 0; n < (capacity + 1) / 2; n++)
                assert_int_equal(recv_number(queue), got++);
        }
        assert_int_equal(wraps, 1);
        ptq_queue_close(queue);
        contract_verify(c, "tasks");
        assert_ok(ptq_queue_unlink(c->bus, "tasks", true));
    }
}

static void redeliveries_are_ordered_across_the_wrap(void **state)
{
    struct contract *c = *state;
    ptq_queue *queue = open_near_wrap(c, 100, 16, 1);
    ptq_msg *msgs[90];

    for (uint64_t i = 0; i < 90; i++) /* 128 slots a lap: put 128 - 45 first, so that the wrap lies in the middle */
        put_number(queue, i);
    for (uint64_t i = 0; i < 83; i++)
        (void)recv_number(queue);
    while (contract_stats(queue).ready > 0)
        (void)recv_number(queue);
    put_range(queue, 0, 90);
    for (uint64_t i = 0; i < 90; i++)
        msgs[i] = get_number(queue, i);
    assert_true(ptq_msg_position(msgs[0]) > ptq_msg_position(msgs[89])); /* the wrap is between them */
    for (int i = 0; i < 90; i++)
        assert_ok(ptq_nack(msgs[(i * 37 + 11) % 90], 0));

    for (uint64_t i = 0; i < 90; i++) {
        ptq_msg *msg = get_number(queue, i);
        assert_true(ptq_msg_redelivered(msg));
        assert_ok(ptq_ack(msg));
    }
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
}

static void an_end_at_the_wrap_is_an_end(void **state)
{
    struct contract *c = *state;

    for (uint64_t before = 60; before < 70; before++) {
        ptq_queue *queue = open_near_wrap(c, 10, 16, 1);
        for (uint64_t i = 0; i < before; i++) {
            put_number(queue, i);
            assert_int_equal(recv_number(queue), i);
        }
        put_number(queue, 1);
        assert_ok(ptq_end(queue));
        assert_answer(PTQ_EENDED, ptq_put(queue, "x", 1, PTQ_NOWAIT));
        assert_int_equal(recv_number(queue), 1);
        assert_get(PTQ_END, queue);
        ptq_queue_close(queue);
        contract_verify(c, "tasks");
        assert_ok(ptq_queue_unlink(c->bus, "tasks", true));
    }
}

static void random_calls_across_the_wrap_answer_as_the_model_says(void **state)
{
    struct contract *c = *state;
    static const uint64_t capacities[] = {1, 5, 64, 100};

    for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++) {
        ptq_queue *keep = open_near_wrap(c, capacities[i], CONTRACT_RANDOM_ITEM, 3);
        contract_run_random(c, capacities[i], 2500);
        ptq_queue_close(keep);
    }
}

static const struct contract_case wrap_cases[] = {
    CONTRACT_CASE(positions_wrap_and_order_stays),
    CONTRACT_CASE(redeliveries_are_ordered_across_the_wrap),
    CONTRACT_CASE(an_end_at_the_wrap_is_an_end),
    CONTRACT_CASE(random_calls_across_the_wrap_answer_as_the_model_says),
};
CONTRACT_GROUP(wrap);
