/* test_waits.c -- how long messages waited: measured once, where they bear a time, whichever way they are taken. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ptq/metrics.h>
#include <ptq/ptq.h>

#include "base/buckets.h"
#include "base/time.h"
#include "support/ptt.h"

#define EVERY 64 /* a producer's puts: the first of so many bears a stamp */
#define ROOM 256

static ptq_queue *make(ptq_bus *bus, const char *name, enum ptq_stamps stamps)
{
    struct ptq_queue_options options = {.capacity = ROOM, .item_size = 64, .stamps = stamps};
    ptq_queue *queue;

    assert_ok(ptq_queue_open(bus, name, &options, &queue));
    return queue;
}

static struct ptq_view_waits read_waits(ptq_bus *bus, const char *name)
{
    struct ptq_view_waits waits;
    ptq_view *view;

    assert_ok(ptq_view_open(bus, name, NULL, &view));
    assert_ok(ptq_view_waits(view, &waits));
    ptq_view_close(view);
    return waits;
}

static void put(ptq_queue *queue, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_ok(ptq_put(queue, "12345", 5, PTQ_NOWAIT));
}

static void put_batch(ptq_queue *queue, size_t count)
{
    struct ptq_bytes items[ROOM];

    for (size_t i = 0; i < count; i++)
        items[i] = (struct ptq_bytes){"12345", 5};
    assert_ok(ptq_put_many(queue, items, count, PTQ_NOWAIT, NULL));
}

static void get(ptq_queue *queue, size_t count)
{
    ptq_msg *msg;

    for (size_t i = 0; i < count; i++) {
        assert_ok(ptq_get(queue, PTQ_NOWAIT, &msg));
        assert_ok(ptq_ack(msg));
    }
}

static void recv_some(ptq_queue *queue, size_t count)
{
    char buffer[64];
    size_t size;

    for (size_t i = 0; i < count; i++)
        assert_ok(ptq_recv(queue, buffer, sizeof buffer, PTQ_NOWAIT, &size));
}

static void get_batch(ptq_queue *queue, size_t count)
{
    ptq_msg *msgs[ROOM];
    size_t got;

    for (size_t left = count; left > 0; left -= got) {
        assert_ok(ptq_get_many(queue, msgs, 1, left, PTQ_NOWAIT, &got));
        assert_ok(ptq_ack_many(msgs, got));
    }
}

static void buckets_are_in_order_without_gaps(void **state)
{
    (void)state;
    assert_int_equal(pti_bucket_of(0), 0);
    for (unsigned bucket = 0; bucket < PTI_BUCKETS - 1; bucket++) {
        assert_int_equal(pti_bucket_of(pti_bucket_end(bucket)), bucket);
        assert_int_equal(pti_bucket_of(pti_bucket_end(bucket) + 1), bucket + 1);
        assert_true(pti_bucket_end(bucket) == ptq_wait_bucket_us(bucket));
    }
    for (uint64_t us = 1; us < UINT64_C(1) << 36; us += us / 7 + 1)
        assert_true(pti_bucket_end(pti_bucket_of(us)) * 4 <= us * 5 && pti_bucket_end(pti_bucket_of(us)) >= us);
    assert_int_equal(pti_bucket_of(UINT64_MAX), PTI_BUCKETS - 1);
    assert_true(ptq_wait_bucket_us(PTI_BUCKETS - 1) == UINT64_MAX && ptq_wait_bucket_us(UINT32_MAX) == UINT64_MAX);
}

static void a_wait_is_measured_from_put_to_take(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_queue *queue = make(scratch->bus, "a", PTQ_STAMPS_ALL);

    int64_t before = pti_now_ns();
    put(queue, 1);
    int64_t in = pti_now_ns();
    while (pti_now_ns() - in < 3000000) /* the wait that is measured */
        continue;
    int64_t out = pti_now_ns();
    get(queue, 1);
    int64_t after = pti_now_ns();
    struct ptq_view_waits waits = read_waits(scratch->bus, "a");

    assert_int_equal(waits.count, 1);
    assert_in_range(waits.sum_us, (out - in) / 1000 - 1, (after - before) / 1000 + 1);
    assert_int_equal(waits.buckets[pti_bucket_of(waits.sum_us)], 1);
    assert_true(ptq_waits_quantile_us(&waits, 0.5) == pti_bucket_end(pti_bucket_of(waits.sum_us)));
    ptq_queue_close(queue);
}

static void every_way_out_counts_those_that_bear_a_stamp(void **state)
{
    static const struct way {
        const char *name;
        void (*in)(ptq_queue *queue, size_t count);
        void (*out)(ptq_queue *queue, size_t count);
    } ways[] = {{"get", put, get},
                {"recv", put, recv_some},
                {"get_many", put, get_batch},
                {"batch-get", put_batch, get},
                {"batch-recv", put_batch, recv_some},
                {"batch-get_many", put_batch, get_batch}};
    struct ptt_scratch *scratch = *state;

    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        ptq_queue *queue = make(scratch->bus, ways[i].name, PTQ_STAMPS_SAMPLED);
        for (uint64_t round = 1; round <= 6; round++) { /* the first of them the general way, the others the short one */
            ways[i].in(queue, EVERY);
            ways[i].out(queue, EVERY);
            if (read_waits(scratch->bus, ways[i].name).count != round)
                fail_msg("%s, round %d: %d measured", ways[i].name, (int)round, (int)read_waits(scratch->bus, ways[i].name).count);
        }
        ptq_queue_close(queue);
    }
}

static void with_all_stamps_each_counts_and_with_none_none(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_queue *all = make(scratch->bus, "all", PTQ_STAMPS_ALL), *off = make(scratch->bus, "off", PTQ_STAMPS_OFF);

    put(all, EVERY + 1);
    get_batch(all, EVERY + 1);
    put(off, EVERY + 1);
    get_batch(off, EVERY + 1);
    assert_int_equal(read_waits(scratch->bus, "all").count, EVERY + 1);
    assert_int_equal(read_waits(scratch->bus, "off").count, 0);
    ptq_queue_close(all);
    ptq_queue_close(off);
}

static void what_comes_again_is_not_measured_again(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_queue *queue = make(scratch->bus, "a", PTQ_STAMPS_ALL);
    ptq_msg *msg;

    put(queue, 1);
    for (int i = 0; i < 3; i++) {
        assert_ok(ptq_get(queue, PTQ_NOWAIT, &msg));
        assert_ok(ptq_nack(msg, 0));
    }
    get(queue, 1);
    assert_int_equal(read_waits(scratch->bus, "a").count, 1);
    ptq_queue_close(queue);
}

/* Who wanted more than there is gives back what he got, as if he had not had it. */
static void want_more(ptq_queue *queue, size_t there)
{
    ptq_msg *msgs[ROOM];
    size_t got;

    assert_answer(PTQ_EMPTY, ptq_get_many(queue, msgs, there + 1, ROOM, PTQ_NOWAIT, &got));
}

static void what_was_given_back_untaken_is_measured_once(void **state)
{
    struct ptq_queue_options options = {.capacity = ROOM, .item_size = 64, .pack_size = 4096, .stamps = PTQ_STAMPS_ALL};
    struct ptt_scratch *scratch = *state;
    ptq_queue *queue = make(scratch->bus, "a", PTQ_STAMPS_ALL), *packs;

    assert_ok(ptq_queue_open(scratch->bus, "packs", &options, &packs));
    put(queue, 3);
    put_batch(packs, 30); /* no handle that makes packs */
    for (int i = 0; i < 5; i++) {
        want_more(queue, 3);
        want_more(packs, 30);
    }
    get(queue, 3);
    get(packs, 30);
    assert_int_equal(read_waits(scratch->bus, "a").count, 3);
    assert_int_equal(read_waits(scratch->bus, "packs").count, 30);
    put(queue, 40); /* the same blocks again */
    get(queue, 40);
    assert_int_equal(read_waits(scratch->bus, "a").count, 43);
    ptq_queue_close(queue);
    ptq_queue_close(packs);
}

static void what_was_put_with_a_delay_is_measured_once(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_queue *queue = make(scratch->bus, "a", PTQ_STAMPS_ALL);
    struct ptq_put_options later = {.delay_ms = 5};
    ptq_msg *msgs[2];
    size_t got;

    assert_ok(ptq_put_with(queue, "12345", 5, &later, PTQ_NOWAIT));
    for (int i = 0; i < 3; i++)
        assert_answer(PTQ_TIMEDOUT, ptq_get_many(queue, msgs, 2, 2, 20, &got));
    get(queue, 1);
    assert_int_equal(read_waits(scratch->bus, "a").count, 1);
    ptq_queue_close(queue);
}

static void a_letter_that_is_kicked_is_not_measured_again(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ptq_queue_options options = {.capacity = ROOM, .stamps = PTQ_STAMPS_ALL, .max_deliveries = 1};
    uint64_t kicked;
    ptq_queue *queue;
    ptq_msg *msg;

    assert_ok(ptq_queue_open(scratch->bus, "a", &options, &queue));
    put(queue, 1);
    assert_ok(ptq_get(queue, PTQ_NOWAIT, &msg));
    assert_ok(ptq_nack(msg, 0));
    assert_answer(PTQ_EMPTY, ptq_get(queue, PTQ_NOWAIT, &msg));
    assert_ok(ptq_queue_kick(queue, 0, &kicked));
    assert_int_equal(kicked, 1);
    get(queue, 1);
    assert_int_equal(read_waits(scratch->bus, "a").count, 1);
    ptq_queue_close(queue);
}

static void what_has_a_time_to_live_or_a_pack_counts_too(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ptq_queue_options options = {.capacity = ROOM, .item_size = 64, .ttl_ms = 3600000};
    ptq_queue *timed, *packs;

    assert_ok(ptq_queue_open(scratch->bus, "timed", &options, &timed));
    options = (struct ptq_queue_options){.capacity = ROOM, .item_size = 64, .pack_size = 4096};
    assert_ok(ptq_queue_open(scratch->bus, "packs", &options, &packs));
    put(timed, 3);
    get(timed, 3);
    put_batch(packs, 30);
    get_batch(packs, 30);
    assert_int_equal(read_waits(scratch->bus, "timed").count, 3);
    assert_int_equal(read_waits(scratch->bus, "packs").count, 1);
    ptq_queue_close(timed);
    ptq_queue_close(packs);
}

static void quantiles_are_ends_of_buckets(void **state)
{
    struct ptq_view_waits waits = {0};

    (void)state;
    assert_int_equal(ptq_waits_quantile_us(&waits, 0.5), 0);
    assert_int_equal(ptq_waits_quantile_us(NULL, 0.5), 0);
    waits.buckets[pti_bucket_of(10)] = 98;
    waits.buckets[pti_bucket_of(1000)] = 2;
    assert_int_equal(ptq_waits_quantile_us(&waits, 0), 10);
    assert_int_equal(ptq_waits_quantile_us(&waits, 0.98), 10);
    assert_int_equal(ptq_waits_quantile_us(&waits, 0.99), 1024);
    assert_int_equal(ptq_waits_quantile_us(&waits, 1), 1024);
    assert_int_equal(ptq_waits_quantile_us(&waits, 7), 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_are_in_order_without_gaps),
        cmocka_unit_test_setup_teardown(a_wait_is_measured_from_put_to_take, ptt_setup_scratch, ptt_teardown_scratch),
        cmocka_unit_test_setup_teardown(every_way_out_counts_those_that_bear_a_stamp, ptt_setup_scratch, ptt_teardown_scratch),
        cmocka_unit_test_setup_teardown(with_all_stamps_each_counts_and_with_none_none, ptt_setup_scratch, ptt_teardown_scratch),
        cmocka_unit_test_setup_teardown(what_comes_again_is_not_measured_again, ptt_setup_scratch, ptt_teardown_scratch),
        cmocka_unit_test_setup_teardown(what_was_given_back_untaken_is_measured_once, ptt_setup_scratch, ptt_teardown_scratch),
        cmocka_unit_test_setup_teardown(what_was_put_with_a_delay_is_measured_once, ptt_setup_scratch, ptt_teardown_scratch),
        cmocka_unit_test_setup_teardown(a_letter_that_is_kicked_is_not_measured_again, ptt_setup_scratch, ptt_teardown_scratch),
        cmocka_unit_test_setup_teardown(what_has_a_time_to_live_or_a_pack_counts_too, ptt_setup_scratch, ptt_teardown_scratch),
        cmocka_unit_test(quantiles_are_ends_of_buckets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
