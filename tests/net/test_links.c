/* test_links.c -- links that break, stall or spoil bytes: nothing is lost, or doubled in silence. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "net/world.h"

static void cut_somewhere(struct world *world, uint64_t *seed)
{
    if (atomic_load(&world->proxy.cut_after) == 0)
        atomic_store(&world->proxy.cut_after, 1 + (int64_t)(ptt_random(seed) % 9000));
}

static void corrupt_somewhere(struct world *world, uint64_t *seed)
{
    if (atomic_load(&world->proxy.corrupt) == 0)
        atomic_store(&world->proxy.corrupt, 1 + (int64_t)(ptt_random(seed) % 9000));
}

static void puts_over_links_that_are_cut_arrive_once(void **state)
{
    struct world world;
    (void)state;

    world_init(&world, NULL);
    world_put_through(&world, 1500, cut_somewhere);
    world_fini(&world);
}

static void puts_over_links_that_change_bytes_arrive_once(void **state)
{
    struct world world;
    (void)state;

    world_init(&world, NULL);
    world_put_through(&world, 1500, corrupt_somewhere);
    world_fini(&world);
}

static void gets_over_links_that_are_cut_lose_nothing(void **state)
{
    struct world world;
    uint64_t seed = ptt_seed(), count = 1500;
    pthread_t consumer;
    (void)state;

    world_init(&world, NULL);
    ptq_queue *here = net_open(world.net.here, "gets", &(struct ptq_queue_options){.capacity = 2000});
    ptq_queue *far = net_open(world.bus, "gets", NULL);
    struct ledger *put = ledger_new(here, count), *got = ledger_new(far, count);
    ledger_produce(put);
    assert_ok(ptq_end(here));
    pthread_create(&consumer, NULL, ledger_consume, got);
    while (atomic_load(&got->acked) + atomic_load(&got->lost_leases) < count) {
        uint64_t now = atomic_load(&got->acked);
        cut_somewhere(&world, &seed);
        ptt_wait_word(&got->acked, now + 1, 1000);
        if (atomic_load(&got->refused) > 0)
            break;
    }
    pthread_join(consumer, NULL);

    assert_int_equal(got->refused, 0);
    assert_int_equal(got->lost_leases, 0); /* each link came back within the grace */
    ledger_assert(put, got);
    struct ptq_queue_stats stats;
    assert_ok(ptq_queue_stats(here, &stats));
    assert_true(stats.acked == count && stats.leased == 0 && stats.ready == 0);
    free(put);
    free(got);
    ptq_queue_close(far);
    ptq_queue_close(here);
    world_fini(&world);
}

static void slow_and_crumbled_links_carry_the_same(void **state)
{
    struct world world;
    ptq_msg *msgs[8];
    char big[3000];
    size_t got, count = 0;
    (void)state;

    world_init(&world, NULL);
    ptq_queue *far = net_open(world.bus, "crumbs@home", NULL);
    struct ptq_bytes items[4] = {{"one", 3}, {big, sizeof big}, {"", 0}, {"four", 4}};
    memset(big, 'b', sizeof big);
    atomic_store(&world.proxy.piece, 1);
    for (int i = 0; i < 5; i++)
        assert_ok(ptq_put_many(far, items, 4, PTT_LONG, NULL));
    atomic_store(&world.proxy.piece, 700);
    atomic_store(&world.proxy.delay_ms, 1);
    while (count < 20) {
        assert_ok(ptq_get_many(far, msgs, 1, 8, PTT_LONG, &got));
        for (size_t i = 0; i < got; i++, count++) {
            assert_int_equal(ptq_msg_size(msgs[i]), items[count % 4].size);
            assert_memory_equal(ptq_msg_data(msgs[i]), items[count % 4].data, items[count % 4].size);
            assert_ok(ptq_ack(msgs[i]));
        }
    }
    ptq_queue_close(far);
    world_fini(&world);
}

static void a_lease_outlives_its_link(void **state)
{
    struct world world;
    ptq_msg *msg;
    (void)state;

    world_init(&world, NULL);
    ptq_queue *here = net_open(world.net.here, "outlives", NULL), *far = net_open(world.bus, "outlives", NULL);
    assert_ok(ptq_put(here, "held", 4, PTQ_NOWAIT));
    assert_ok(ptq_get(far, PTT_LONG, &msg));
    proxy_cut_all(&world.proxy);
    assert_answer(PTQ_EMPTY, ptq_get(here, PTQ_NOWAIT, &(ptq_msg *){NULL}));
    assert_ok(ptq_ack(msg));
    struct ptq_queue_stats stats;
    assert_ok(ptq_queue_stats(here, &stats));
    assert_true(stats.acked == 1 && stats.redelivered == 0);
    ptq_queue_close(far);
    ptq_queue_close(here);
    world_fini(&world);
}

static bool is_empty(void *queue)
{
    ptq_msg *msg;

    return ptq_get(queue, PTQ_NOWAIT, &msg) == PTQ_EMPTY;
}

static void a_descriptor_works_again_after_a_cut(void **state)
{
    struct world world;
    ptq_msg *msg;
    int fd;
    (void)state;

    world_init(&world, NULL);
    ptq_queue *here = net_open(world.net.here, "fdcut", NULL), *far = net_open(world.bus, "fdcut", NULL);
    assert_ok(ptq_queue_fd(far, PTQ_SIDE_GET, &fd));
    for (int i = 0; i < 5; i++) {
        assert_true(ptt_wait_until(is_empty, far, PTT_LONG));
        proxy_cut_all(&world.proxy);
        assert_ok(ptq_put(here, "x", 1, PTQ_NOWAIT));
        assert_true(ptt_wait_readable(fd, PTT_LONG));
        assert_ok(ptq_get(far, PTT_LONG, &msg));
        assert_ok(ptq_ack(msg));
    }
    ptq_queue_close(far);
    ptq_queue_close(here);
    world_fini(&world);
}

/* Silent for 3 s is down; calls that may wait go on when it speaks again. */
static void a_silent_link_is_found_down_and_comes_back(void **state)
{
    struct world world;
    ptq_msg *msg;
    (void)state;

    world_init(&world, NULL);
    ptq_queue *far = net_open(world.bus, "silent@home", NULL);
    assert_ok(ptq_put(far, "before", 6, PTQ_NOWAIT));
    atomic_store(&world.proxy.stall, true);
    int64_t before = pti_now_ns();
    enum ptq_err answer = ptq_put(far, "during", 6, PTQ_NOWAIT);
    assert_true(answer == PTQ_EINDOUBT || answer == PTQ_EUNREACHABLE);
    assert_answer(PTQ_EUNREACHABLE, ptq_get(far, PTQ_NOWAIT, &msg));
    int64_t took = pti_now_ns() - before;
    assert_true(took >= 2 * PTI_NS_PER_S && took < 15 * PTI_NS_PER_S);
    char text[400];
    ptq_queue_explain(far, PTQ_EUNREACHABLE, 0, text, sizeof text);
    assert_non_null(strstr(text, world.proxy.url));

    atomic_store(&world.proxy.stall, false);
    assert_ok(ptq_get(far, PTT_LONG, &msg));
    assert_memory_equal(ptq_msg_data(msg), "before", 6);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(far);
    world_fini(&world);
}

static _Atomic uint64_t putter;

static void *put_when_there_is_room(void *context)
{
    atomic_store(&putter, (uint64_t)gettid());
    return (void *)(uintptr_t)ptq_put(context, "late", 4, PTQ_FOREVER);
}

static bool tells_stats(void *queue)
{
    struct ptq_queue_stats stats;

    return ptq_queue_stats(queue, &stats) == PTQ_OK;
}

static void start_putting(ptq_queue *queue, pthread_t *thread)
{
    atomic_store(&putter, 0);
    assert_int_equal(pthread_create(thread, NULL, put_when_there_is_room, queue), 0);
    assert_true(ptt_wait_word(&putter, 1, PTT_LONG));
    assert_true(ptt_wait_sleeping(getpid(), (pid_t)putter, PTT_LONG));
}

/* In doubt is not: perhaps in an hour. */
static void a_put_that_was_given_up_does_not_happen_later(void **state)
{
    struct world world;
    struct ptq_queue_stats stats;
    pthread_t thread;
    void *answer;
    ptq_msg *msg;
    (void)state;

    world_init(&world, NULL);
    ptq_queue *here = net_open(world.net.here, "given", &(struct ptq_queue_options){.capacity = 1});
    ptq_queue *far = net_open(world.bus, "given", NULL);
    assert_ok(ptq_put(here, "first", 5, PTQ_NOWAIT));
    start_putting(far, &thread);
    assert_ok(ptq_queue_stats(far, &stats)); /* behind it, so that the home has it */
    atomic_store(&world.proxy.stall, true);
    ptq_interrupt(far);
    pthread_join(thread, &answer);
    assert_true((uintptr_t)answer == PTQ_EINDOUBT || (uintptr_t)answer == PTQ_EINTR);
    atomic_store(&world.proxy.stall, false);
    assert_true(ptt_wait_until(tells_stats, far, PTT_LONG));
    assert_ok(ptq_get(here, PTQ_NOWAIT, &msg));
    assert_ok(ptq_ack(msg));
    assert_ok(ptq_queue_stats(far, &stats));
    assert_int_equal(stats.put, 1);
    assert_answer(PTQ_EMPTY, ptq_get(here, PTQ_NOWAIT, &msg));
    ptq_queue_close(far);
    ptq_queue_close(here);
    world_fini(&world);
}

static void closing_does_not_wait_for_a_silent_home(void **state)
{
    struct world world;
    pthread_t thread;
    (void)state;

    world_init(&world, NULL);
    ptq_queue *here = net_open(world.net.here, "closes", &(struct ptq_queue_options){.capacity = 1});
    ptq_queue *far = net_open(world.bus, "closes", NULL);
    struct ptq_queue_stats stats;
    assert_ok(ptq_put(here, "first", 5, PTQ_NOWAIT));
    start_putting(far, &thread);
    assert_ok(ptq_queue_stats(far, &stats));
    atomic_store(&world.proxy.stall, true);
    int64_t before = pti_now_ns();
    ptq_queue_close(far);
    assert_true(pti_now_ns() - before < 8 * PTI_NS_PER_S);
    pthread_join(thread, NULL);
    ptq_queue_close(here);
    world_fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_put_that_was_given_up_does_not_happen_later),
        cmocka_unit_test(a_silent_link_is_found_down_and_comes_back),
        cmocka_unit_test(puts_over_links_that_change_bytes_arrive_once),
        cmocka_unit_test(gets_over_links_that_are_cut_lose_nothing),
        cmocka_unit_test(puts_over_links_that_are_cut_arrive_once),
        cmocka_unit_test(slow_and_crumbled_links_carry_the_same),
        cmocka_unit_test(a_lease_outlives_its_link),
        cmocka_unit_test(a_descriptor_works_again_after_a_cut),
        cmocka_unit_test(closing_does_not_wait_for_a_silent_home),
    };

    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 4);
}
