/* test_stopped.c -- bridges that stand still for longer than a silence may last, and then go on. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/log.h"
#include "net/world.h"

struct far {
    const struct net *net;
    struct ptt_page *page;
};

/* Another process of the far host: holds a message, and acks it when it is told to. */
static int hold_and_ack(void *context)
{
    struct far *far = context;
    ptq_bus *bus = net_open_far(far->net, far->net->peers);
    ptq_queue *queue = net_open(bus, "held@home", NULL);
    ptq_msg *msg;

    if (ptq_get(queue, PTT_LONG, &msg) != PTQ_OK)
        return 1;
    far->page->words[0] = 1;
    if (!ptt_wait_word(&far->page->words[1], 1, PTT_LONG) || ptq_ack(msg) != PTQ_OK)
        return 2;
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

/* As when a machine is suspended: nobody ran, so nobody was silent. */
static void a_home_that_stood_still_does_not_take_others_for_silent(void **state)
{
    const char *const options[] = {"--verbose", NULL};
    struct ptq_queue_stats stats;
    struct net net;
    (void)state;

    net_init(&net, options);
    ptq_queue *here = net_open(net.here, "held", NULL);
    struct far far = {&net, ptt_page_new()};
    assert_ok(ptq_put(here, "x", 1, PTQ_NOWAIT));
    pid_t child = ptt_fork(hold_and_ack, &far);
    assert_true(ptt_wait_word(&far.page->words[0], 1, PTT_LONG));
    ptt_stop(child);
    ptt_stop(net.bridge);
    usleep(4500 * 1000);
    ptt_continue(net.bridge);
    net_log_wait(&net, "event=stood_still");
    assert_int_equal(net_log_count(&net, "silent"), 0);
    ptt_continue(child);
    far.page->words[1] = 1;
    ptt_assert_exit(child, 0, PTT_LONG);

    assert_ok(ptq_queue_stats(here, &stats));
    assert_true(stats.acked == 1 && stats.redelivered == 0);
    ptt_page_free(far.page);
    ptq_queue_close(here);
    net_fini(&net);
}

/* Stopped for longer than the grace too: what is held stays held, and puts arrive once. */
static void a_home_that_stood_still_for_longer_than_the_grace_keeps_leases(void **state)
{
    const char *const options[] = {"--grace", "1s", NULL};
    struct ptq_queue_stats stats;
    struct world world;
    ptq_msg *msg;
    (void)state;

    world_init(&world, options);
    ptq_queue *here = net_open(world.net.here, "still", NULL), *far = net_open(world.bus, "still", NULL);
    assert_ok(ptq_put(here, "held", 4, PTQ_NOWAIT));
    assert_ok(ptq_get(far, PTT_LONG, &msg));
    ptt_stop(world.net.bridge);
    usleep(5000 * 1000);
    ptt_continue(world.net.bridge);
    assert_ok(ptq_put(far, "after", 5, PTT_LONG));
    assert_ok(ptq_ack(msg));
    assert_ok(ptq_queue_stats(here, &stats));
    assert_true(stats.put == 2 && stats.acked == 1 && stats.redelivered == 0);
    ptq_queue_close(far);
    ptq_queue_close(here);
    world_fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_home_that_stood_still_does_not_take_others_for_silent),
        cmocka_unit_test(a_home_that_stood_still_for_longer_than_the_grace_keeps_leases),
    };

    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 2);
}
