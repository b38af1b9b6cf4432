/* test_chained.c -- batches of PTQ_PIPELINE that are under way together: none goes past one that waits, or was not done. */
#include "base/time.h"
#include "net/world.h"

/* Takes what is there, and expects the numbers from *next on. */
static void drain(ptq_queue *here, uint64_t *next, uint64_t most)
{
    uint64_t number;
    size_t size;

    while (most-- > 0 && ptq_recv(here, &number, sizeof number, PTQ_NOWAIT, &size) == PTQ_OK)
        assert_int_equal(number, (*next)++);
}

/* The home refuses batches now and then, while others are on their way behind them, and links are cut besides. */
static void run_refusals(bool cuts)
{
    struct ptq_queue_options options = {.capacity = 64, .item_size = 16, .full = PTQ_FULL_FAIL};
    uint64_t next = 0, refusals = 0;
    struct world world;
    enum ptq_err answer;

    world_init(&world, NULL);
    ptq_queue *here = net_open(world.net.here, "refused", &options), *far = net_open_pipe(world.bus, "refused");
    for (uint64_t i = 0; i < 3000;) {
        answer = ptq_put(far, &i, sizeof i, PTT_LONG);
        if (answer == PTQ_OK) {
            i++;
        } else {
            assert_true(answer == PTQ_FULL || answer == PTQ_TIMEDOUT);
            refusals++;
            drain(here, &next, 1 + i % 97);
        }
        if (cuts && i % 1000 == 700)
            proxy_cut_all(&world.proxy);
    }
    int64_t end = pti_deadline(PTT_LONG);
    while ((answer = ptq_flush(far, 20)) != PTQ_OK) {
        assert_true(pti_now_ns() < end);
        assert_true(answer == PTQ_FULL || answer == PTQ_TIMEDOUT || answer == PTQ_EUNREACHABLE);
        drain(here, &next, 64);
    }
    drain(here, &next, 64);
    assert_int_equal(next, 3000);
    assert_true(refusals > 10);
    ptq_queue_close(far);
    ptq_queue_close(here);
    world_fini(&world);
}

static void nothing_goes_past_a_batch_that_was_refused(void **state)
{
    (void)state;
    run_refusals(false);
}

static void nor_over_links_that_are_cut(void **state)
{
    (void)state;
    run_refusals(true);
}

/* There is room for a small batch, but not for the larger one before it. */
static void nor_past_one_that_waits_for_room(void **state)
{
    struct ptq_queue_options options = {.capacity = 64, .item_size = 16};
    uint64_t number = 0, next = 0;
    struct world world;
    (void)state;

    world_init(&world, NULL);
    ptq_queue *here = net_open(world.net.here, "waits", &options), *far = net_open_pipe(world.bus, "waits");
    for (unsigned round = 0; round < 25; round++) {
        for (unsigned i = 0; i < 56; i++, number++)
            assert_ok(ptq_put(here, &number, sizeof number, PTT_LONG));
        for (unsigned i = 0; i < 19; i++, number++)
            assert_ok(ptq_put(far, &number, sizeof number, PTT_LONG));
        enum ptq_err answer = ptq_flush(far, PTQ_NOWAIT);
        assert_true(answer == PTQ_OK || answer == PTQ_FULL);
        while (next < number)
            net_assert_number(here, next++);
        assert_ok(ptq_flush(far, PTT_LONG));
    }
    ptq_queue_close(far);
    ptq_queue_close(here);
    world_fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_goes_past_a_batch_that_was_refused),
        cmocka_unit_test(nor_over_links_that_are_cut),
        cmocka_unit_test(nor_past_one_that_waits_for_room),
    };

    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 3);
}
