/* test_numbers.c -- what is asked and answered out of turn: the home keeps no more of it than it must. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "net/raw.h"
#include "net/world.h"
#include "remote/call.h"

#define MANY 6000

struct getter {
    ptq_queue *queue;
    _Atomic uint64_t thread;
    enum ptq_err answer;
};

static void *get_for_ever(void *context)
{
    struct getter *getter = context;
    ptq_msg *msg;

    atomic_store(&getter->thread, (uint64_t)gettid());
    getter->answer = ptq_get(getter->queue, PTQ_FOREVER, &msg);
    if (getter->answer == PTQ_OK)
        getter->answer = ptq_ack(msg);
    return NULL;
}

/* More than the home keeps answers of (4,096): of one handle whose other thread waits all the while. */
static void ask_much_beside_one_that_waits(struct world *world, void (*spoil)(struct world *))
{
    struct ptq_queue_options options = {.capacity = MANY, .item_size = 16};
    struct getter getter = {.thread = 0};
    struct ptq_queue_stats stats;
    pthread_t thread;

    ptq_queue *here = net_open(world->net.here, "much", &options);
    ptq_queue *far = net_open(world->bus, "much", NULL);
    getter.queue = far;
    assert_ok(ptq_queue_pause(here, true));
    pthread_create(&thread, NULL, get_for_ever, &getter);
    assert_true(ptt_wait_word(&getter.thread, 1, PTT_LONG));
    assert_true(ptt_wait_sleeping(getpid(), (pid_t)getter.thread, PTT_LONG));
    for (int i = 0; i < MANY; i++) {
        if (spoil != NULL && i % 500 == 250)
            spoil(world);
        assert_ok(ptq_put(far, &i, sizeof i, PTT_LONG));
    }
    assert_ok(ptq_queue_pause(here, false));
    pthread_join(thread, NULL);
    assert_ok(getter.answer);
    assert_ok(ptq_queue_stats(here, &stats));
    assert_int_equal(stats.put, MANY);
    assert_int_equal(stats.acked, 1);
    ptq_queue_close(far);
    ptq_queue_close(here);
}

static void one_that_waits_for_ever_does_not_hold_up_what_is_asked_after_it(void **state)
{
    struct world world;
    (void)state;

    world_init(&world, NULL);
    ask_much_beside_one_that_waits(&world, NULL);
    assert_int_equal(world.proxy.links, 1);
    world_fini(&world);
}

static void cut(struct world *world)
{
    proxy_cut_all(&world->proxy);
}

static void nor_over_links_that_are_cut(void **state)
{
    struct world world;
    (void)state;

    world_init(&world, NULL);
    ask_much_beside_one_that_waits(&world, cut);
    world_fini(&world);
}

/* ---- a home by hand ---- */

struct caller {
    char peers[96];
    void (*use)(struct caller *caller, ptq_queue *queue);
    enum ptq_err answer;
    pthread_t thread;
    struct ptt_scratch far;
};

static void *call_far(void *context)
{
    struct caller *caller = context;
    struct ptq_bus_options options = {.dir = caller->far.dir, .peers = caller->peers, .node = "far"};
    ptq_queue *queue;
    ptq_bus *bus;

    caller->answer = ptq_bus_open("test", &options, &bus);
    if (caller->answer != PTQ_OK)
        return NULL;
    caller->answer = ptq_queue_open(bus, "byhand@raw", NULL, &queue);
    if (caller->answer == PTQ_OK) {
        caller->use(caller, queue);
        ptq_queue_close(queue);
    }
    ptq_bus_close(bus);
    return NULL;
}

static void caller_start(struct caller *caller, void (*use)(struct caller *, ptq_queue *), int *ret_listener)
{
    char url[64];

    memset(caller, 0, sizeof *caller);
    caller->use = use;
    ptt_scratch_init_dir(&caller->far);
    *ret_listener = raw_listen(url, sizeof url);
    snprintf(caller->peers, sizeof caller->peers, "raw=%s", url);
    assert_int_equal(pthread_create(&caller->thread, NULL, call_far, caller), 0);
}

static void caller_end(struct caller *caller, int listener)
{
    pthread_join(caller->thread, NULL);
    close(listener);
    ptt_scratch_fini(&caller->far);
}

static void purge(struct caller *caller, ptq_queue *queue)
{
    caller->answer = ptq_queue_purge(queue, NULL);
}

/* Asked again of a home that began anew it would drop what was put since. */
static void a_purge_that_was_under_way_when_the_home_died_is_in_doubt(void **state)
{
    struct caller caller;
    struct pti_frame frame;
    struct raw raw;
    int listener;
    (void)state;

    caller_start(&caller, purge, &listener);
    raw_welcome(&raw, listener, 7, false);
    raw_serve_open(&raw, NULL);
    raw_expect(&raw, PTI_FRAME_CALL, &frame);
    raw_close(&raw);
    raw_welcome(&raw, listener, 9, false);
    raw_serve_end(&raw);
    caller_end(&caller, listener);
    assert_answer(PTQ_EINDOUBT, caller.answer);
    raw_close(&raw);
}

static void ask_stats(struct caller *caller, ptq_queue *queue)
{
    struct ptq_queue_stats stats;

    caller->answer = ptq_queue_stats(queue, &stats);
}

static void messages_that_nobody_asks_for_any_more_are_given_back(void **state)
{
    struct pti_record record = {.size = 1, .position = 12, .sub = 3, .deliveries = 2};
    struct ptq_queue_stats stats = {.capacity = 64};
    struct pti_settle settle;
    struct caller caller;
    struct pti_frame frame;
    struct raw raw;
    uint8_t bytes[PTI_CONTROL_BYTES];
    int listener;
    (void)state;

    caller_start(&caller, ask_stats, &listener);
    raw_welcome(&raw, listener, 7, false);
    uint32_t channel = raw_serve_open(&raw, NULL);
    raw_expect(&raw, PTI_FRAME_STATS, &frame);
    uint64_t number = frame.number;
    pti_write_messages_head(bytes, 1);
    size_t size = PTI_MESSAGES_HEAD + pti_write_message_record(bytes + PTI_MESSAGES_HEAD, &record);
    bytes[size++] = 'x';
    raw_say(&raw, &(struct pti_frame){.type = PTI_FRAME_MESSAGES, .channel = channel, .number = 999,
                                      .length = (uint32_t)size, .payload = bytes});
    raw_expect(&raw, PTI_FRAME_SETTLE, &frame);
    assert_ok(pti_read_settle(frame.payload, frame.length, &settle));
    assert_true(settle.verb == PTI_SETTLE_UNTAKE && settle.position == 12 && settle.sub == 3 && settle.deliveries == 2);
    raw_say_result(&raw, channel, frame.number, PTQ_OK, 0);
    size = pti_stats_pack(&stats, bytes, sizeof bytes);
    raw_say(&raw, &(struct pti_frame){.type = PTI_FRAME_STATS, .flags = PTI_FRAME_REPLY, .channel = channel,
                                      .number = number, .length = (uint32_t)size, .payload = bytes});
    raw_serve_end(&raw);
    caller_end(&caller, listener);
    assert_ok(caller.answer);
    raw_close(&raw);
}

/* ---- listings ---- */

/* It would hold up the one who asks, and whoever waits for that one to end. */
static void a_home_whose_list_has_no_end_is_not_followed(void **state)
{
    char names[1][PTQ_NAME_MAX + 1] = {"again"}, url[64], peer[80];
    struct pti_directory directory = {.served = true, .more = true, .names = names, .count = 1, .run = "test", .node = "raw"};
    uint8_t bytes[PTI_CONTROL_BYTES];
    struct pti_frame frame;
    unsigned asked = 0;
    struct raw raw;
    struct net net;
    (void)state;

    int listener = raw_listen(url, sizeof url);
    snprintf(peer, sizeof peer, "raw=%s", url);
    net_init(&net, (const char *const[]){"--peer", peer, NULL});
    raw_welcome(&raw, listener, 7, false);
    size_t size = pti_directory_pack(&directory, bytes, sizeof bytes);
    while (asked < 100 && ptt_wait_readable(raw.fd, asked < 2 ? PTT_LONG : 400) && raw_next(&raw, &frame)) {
        assert_int_equal(frame.type, PTI_FRAME_DIRECTORY);
        raw_say(&raw, &(struct pti_frame){.type = PTI_FRAME_DIRECTORY, .flags = PTI_FRAME_REPLY, .channel = frame.channel,
                                          .number = frame.number, .length = (uint32_t)size, .payload = bytes});
        asked++;
    }
    assert_in_range(asked, 2, 20);
    raw_close(&raw);
    close(listener);
    net_fini(&net);
}

/* ---- patience ---- */

static void what_is_large_on_a_slow_link_is_waited_for_while_it_moves(void **state)
{
    static char big[64 << 10];
    struct ptq_bytes items[24];
    struct ptq_queue_stats stats;
    ptq_msg *msgs[24];
    struct world world;
    size_t got;
    (void)state;

    world_init(&world, NULL);
    for (int i = 0; i < 24; i++)
        items[i] = (struct ptq_bytes){big, sizeof big};
    ptq_queue *here = net_open(world.net.here, "slow", &(struct ptq_queue_options){.item_size = sizeof big});
    ptq_queue *far = net_open(world.bus, "slow", NULL);
    atomic_store(&pti_answer_patience_ns, PTI_NS_PER_S);
    /* Few and long pauses: what the kernel still buffers moves unseen, and must not take a second where each pause lasts longer. */
    atomic_store(&world.proxy.piece, 16000);
    atomic_store(&world.proxy.delay_ms, 16);
    int64_t began = pti_now_ns();
    assert_ok(ptq_put_many(far, items, 24, PTQ_NOWAIT, NULL));
    assert_true(pti_now_ns() - began > PTI_NS_PER_S);
    began = pti_now_ns();
    assert_ok(ptq_get_many(far, msgs, 24, 24, PTQ_NOWAIT, &got));
    assert_true(pti_now_ns() - began > PTI_NS_PER_S);
    assert_int_equal(world.proxy.links, 1);
    atomic_store(&world.proxy.delay_ms, 0);
    for (size_t i = 0; i < got; i++)
        assert_ok(ptq_ack(msgs[i]));
    assert_ok(ptq_queue_stats(here, &stats));
    assert_int_equal(stats.acked, 24);
    atomic_store(&pti_answer_patience_ns, 30 * PTI_NS_PER_S);
    ptq_queue_close(far);
    ptq_queue_close(here);
    world_fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_waits_for_ever_does_not_hold_up_what_is_asked_after_it),
        cmocka_unit_test(nor_over_links_that_are_cut),
        cmocka_unit_test(a_purge_that_was_under_way_when_the_home_died_is_in_doubt),
        cmocka_unit_test(messages_that_nobody_asks_for_any_more_are_given_back),
        cmocka_unit_test(a_home_whose_list_has_no_end_is_not_followed),
        cmocka_unit_test(what_is_large_on_a_slow_link_is_waited_for_while_it_moves),
    };

    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 3);
}
