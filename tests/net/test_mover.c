/* test_mover.c -- messages are carried to another home: in order, once, whoever is killed at whatever step.
 *
 * The mover runs in a forked child, which kills itself at the n-th time that it comes by a step; the home is a ptqbridge.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "net/dying.h"
#include "net/kit.h"
#include "net/proxy.h"
#include "queue/queue.h"
#include "remote/mover.h"

#define MOST 4096u

static struct net net;
static const char *const grace[] = {"--grace", "300ms", NULL};

/* ---- the carrier */

struct carrier {
    const char *url;
    unsigned in_flight;
    bool stays; /* until it is killed */
    unsigned refused[40];
    enum pti_moved verdict;
};

static enum pti_moved note_refused(void *context, const struct ptq_msg *msg, enum ptq_err code, uint64_t position)
{
    struct carrier *carrier = context;
    (void)msg, (void)position;

    carrier->refused[code]++;
    return carrier->verdict;
}

static bool is_empty(struct pti_mover *mover)
{
    struct ptq_queue_stats stats;
    struct pti_port *source = pti_mover_source(mover);

    return source->ops->stats(source, &stats) == PTQ_OK && stats.ready + stats.leased + stats.delayed == 0;
}

static int carry(void *context)
{
    struct carrier *carrier = context;
    ptq_bus *bus = net_open_far(&net, NULL);
    struct ptq_error error = {0};
    struct pti_mover *mover;
    struct pti_move move = {.bus = bus,
                            .source = "src",
                            .url = carrier->url,
                            .run = "test",
                            .name = "dst",
                            .open = {.options = {.mode = PTQ_ATTACH}, .carrier = 1},
                            .in_flight = carrier->in_flight,
                            .claims = true,
                            .moved = note_refused,
                            .context = carrier};

    dying_begin();
    if (pti_mover_start(&move, &error, &mover) != PTQ_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    int64_t until = pti_now_ns() + PTT_LONG * PTI_NS_PER_MS;
    while (carrier->stays || (!is_empty(mover) && pti_now_ns() < until))
        usleep(2000); /* it is the parent who waits for something, with a deadline */
    bool done = is_empty(mover);
    pti_mover_stop(mover);
    ptq_bus_close(bus);
    return done ? 0 : 2;
}

static pid_t start_carrier(struct carrier *carrier, enum pti_step step, unsigned nth)
{
    if (carrier->url == NULL)
        carrier->url = net.url;
    dying_at(step, nth);
    return ptt_fork(carry, carrier);
}

/* Until one has carried all; how many were killed. */
static unsigned carry_all(struct carrier *carrier, enum pti_step step, unsigned nth)
{
    unsigned kills = 0;

    for (;;) {
        int status = ptt_reap(start_carrier(carrier, step, nth), 2 * PTT_LONG);
        if (status == 0)
            return kills;
        if (status == -1 || !WIFSIGNALED(status))
            fail_msg("the carrier ended with %d", status);
        kills++;
        nth = 0;
    }
}

/* ---- both ends */

static int start(void **state)
{
    (void)state;
    net_init(&net, grace);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    net_fini(&net);
    return 0;
}

static ptq_queue *open_source(uint64_t capacity)
{
    return net_open(net.there, "src@self", &(struct ptq_queue_options){.capacity = capacity, .item_size = 2048, .max_deliveries = PTQ_NEVER});
}

static ptq_queue *open_target(uint64_t capacity)
{
    return net_open(net.here, "dst", &(struct ptq_queue_options){.capacity = capacity, .item_size = 2048});
}

/* 1 to count: each tenth a batch of three. */
static void fill(ptq_queue *source, uint32_t count)
{
    for (uint32_t number = 1; number <= count;) {
        uint32_t numbers[3] = {number, number + 1, number + 2};
        struct ptq_bytes items[3] = {{&numbers[0], 4}, {&numbers[1], 4}, {&numbers[2], 4}};
        if (number % 10 == 0 && number + 2 <= count) {
            assert_ok(ptq_put_many(source, items, 3, PTT_LONG, NULL));
            number += 3;
        } else {
            assert_ok(ptq_put(source, &number, sizeof number, PTT_LONG));
            number++;
        }
    }
}

struct came {
    ptq_queue *queue;
    uint32_t count, flagged;
    uint32_t next; /* all before it came */
    bool failed;
    char why[100];
};

/* In order, each once; what comes again is flagged. */
static void note(struct came *came, ptq_msg *msg)
{
    uint32_t number = 0;

    memcpy(&number, ptq_msg_data(msg), sizeof number);
    came->flagged += ptq_msg_redelivered(msg);
    if (number == came->next) {
        came->next++;
    } else if (!(number < came->next && ptq_msg_redelivered(msg)) && !came->failed) {
        came->failed = true;
        snprintf(came->why, sizeof came->why, "%u came where %u was due", number, came->next);
    }
    assert_ok(ptq_ack(msg));
}

static void *consume(void *context)
{
    struct came *came = context;
    ptq_msg *msg;

    came->next = 1;
    while (came->next <= came->count && ptq_get(came->queue, 2 * PTT_LONG, &msg) == PTQ_OK)
        note(came, msg);
    return NULL;
}

static void assert_came(struct came *came)
{
    ptq_msg *msg;

    if (came->failed)
        fail_msg("%s", came->why);
    assert_int_equal(came->next, came->count + 1);
    assert_answer(PTQ_EMPTY, ptq_get(came->queue, PTQ_NOWAIT, &msg));
}

static void all_is_carried_in_order(void **state)
{
    struct carrier carrier = {0};
    (void)state;
    ptq_queue *source = open_source(MOST), *target = open_target(MOST);
    struct came came = {.queue = target, .count = 3000};

    fill(source, came.count);
    assert_int_equal(carry_all(&carrier, PTI_STEPS, 0), 0);
    consume(&came);

    assert_came(&came);
    assert_int_equal(came.flagged, 0);
    ptq_queue_close(source);
    ptq_queue_close(target);
}

static void what_is_beside_the_bytes_is_carried_too(void **state)
{
    struct carrier carrier = {0};
    (void)state;
    ptq_queue *source = open_source(16), *target = open_target(16);
    struct ptq_header header = {"colour", "green", 5};
    struct ptq_put_options options = {.headers = &header, .header_count = 1, .ttl_ms = 60000};
    struct ptq_bytes items[2] = {{"a", 1}, {"bc", 2}};
    size_t size = 0;
    ptq_msg *msg, *msgs[2];

    assert_ok(ptq_put_with(source, "body", 4, &options, PTT_LONG));
    options.ttl_ms = 30;
    assert_ok(ptq_put_with(target, "late", 4, &options, PTT_LONG)); /* as a measure: it is gone when its equal would be */
    assert_ok(ptq_put_many(source, items, 2, PTT_LONG, NULL));
    assert_ok(ptq_put(source, NULL, 0, PTT_LONG));
    assert_int_equal(carry_all(&carrier, PTI_STEPS, 0), 0);

    while (ptq_get(target, PTT_LONG, &msg) == PTQ_OK && ptq_msg_size(msg) == 4 && memcmp(ptq_msg_data(msg), "late", 4) == 0)
        assert_ok(ptq_ack(msg));
    assert_int_equal(ptq_msg_size(msg), 4);
    assert_memory_equal(ptq_msg_header(msg, "colour", &size), "green", 5);
    assert_ok(ptq_ack(msg));
    size_t count;
    assert_ok(ptq_get_many(target, msgs, 2, 2, PTT_LONG, &count));
    assert_int_equal(ptq_msg_position(msgs[0]), ptq_msg_position(msgs[1]));
    assert_int_equal(ptq_msg_size(msgs[1]), 2);
    assert_ok(ptq_ack_many(msgs, 2));
    assert_ok(ptq_get(target, PTT_LONG, &msg));
    assert_int_equal(ptq_msg_size(msg), 0);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(source);
    ptq_queue_close(target);
}

static void a_full_target_is_waited_for_in_order(void **state)
{
    struct carrier carrier = {0};
    pthread_t consumer;
    (void)state;
    ptq_queue *source = open_source(MOST), *target = open_target(4);
    struct came came = {.queue = target, .count = 1000};

    fill(source, came.count);
    pid_t pid = start_carrier(&carrier, PTI_STEPS, 0);
    assert_int_equal(pthread_create(&consumer, NULL, consume, &came), 0);
    pthread_join(consumer, NULL);
    ptt_assert_exit(pid, 0, PTT_LONG);

    assert_came(&came);
    assert_int_equal(came.flagged, 0);
    ptq_queue_close(source);
    ptq_queue_close(target);
}

/* ---- a home without memory ---- */

enum { CANNOT_MOUNT = 77, MIXED = 240, MIXED_BYTES = 40000 };

static bool has_stopped(void *context)
{
    static uint64_t before;
    struct ptq_queue_stats stats;

    usleep(50000);
    assert_ok(ptq_queue_stats(context, &stats));
    bool same = stats.put > 10 && stats.put == before;
    before = stats.put;
    return same;
}

/* What is small finds room where what is large does not: it must not go before it. */
static int run_in_a_small_file_system(void *context)
{
    static uint8_t bytes[MIXED_BYTES];
    struct carrier carrier = {0};
    (void)context;

    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return CANNOT_MOUNT;
    net_init(&net, grace);
    ptt_kill(net.bridge);
    ptq_bus_close(net.here);
    if (mount("tmpfs", net.home.dir, "tmpfs", 0, "size=2m,mode=0700") != 0) {
        net.bridge = 0;
        net.here = NULL;
        net_fini(&net);
        return CANNOT_MOUNT;
    }
    net.here = ptt_scratch_open(&net.home);
    net_bridge_start(&net, grace);
    struct ptq_queue_options options = {.capacity = 1000, .item_size = MIXED_BYTES, .max_deliveries = PTQ_NEVER};
    ptq_queue *source = net_open(net.there, "src@self", &options), *target = net_open(net.here, "dst", &options);
    for (uint32_t number = 1; number <= MIXED; number++) {
        memcpy(bytes, &number, sizeof number);
        assert_ok(ptq_put(source, bytes, number % 2 ? sizeof number : sizeof bytes, PTT_LONG));
    }
    pid_t pid = start_carrier(&carrier, PTI_STEPS, 0);
    assert_true(ptt_wait_until(has_stopped, target, PTT_LONG));
    struct ptq_queue_stats stats;
    assert_ok(ptq_queue_stats(target, &stats));
    assert_true(stats.put < MIXED);
    for (uint32_t due = 1; due <= MIXED; due++) {
        uint32_t number = 0;
        ptq_msg *msg;
        assert_ok(ptq_get(target, PTT_LONG, &msg));
        memcpy(&number, ptq_msg_data(msg), sizeof number);
        assert_int_equal(number, due);
        assert_ok(ptq_ack(msg));
    }
    assert_int_equal(ptt_reap(pid, PTT_LONG), 0);
    ptq_queue_close(source);
    ptq_queue_close(target);
    ptt_kill(net.bridge);
    net.bridge = 0;
    ptq_bus_close(net.here);
    umount2(net.home.dir, MNT_DETACH);
    net.here = NULL;
    net_fini(&net);
    return 0;
}

static void what_there_was_no_memory_for_is_not_passed(void **state)
{
    (void)state;
    int status = ptt_reap(ptt_fork(run_in_a_small_file_system, NULL), 2 * PTT_LONG);

    if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_MOUNT) {
        print_message("nothing can be mounted here\n");
        skip();
    }
    assert_int_equal(status, 0);
}

/* W31 */
static void a_mover_killed_at_any_step_loses_and_doubles_nothing(void **state)
{
    const unsigned windows[] = {1, 8};
    unsigned kills = 0;
    (void)state;

    for (enum pti_step step = PTI_STEP_MOVE_LEASED; step <= PTI_STEP_MOVE_ACKED; step++) {
        for (size_t w = 0; w < 2; w++) {
            for (unsigned nth = 1; nth <= 4; nth++) {
                struct carrier carrier = {.in_flight = windows[w]};
                ptq_queue *source = open_source(64), *target = open_target(64);
                struct came came = {.queue = target, .count = 30};
                fill(source, came.count);
                unsigned killed = carry_all(&carrier, step, nth);
                consume(&came);
                assert_came(&came);
                if (killed == 0 && step != PTI_STEP_MOVE_LEASED) /* all may be leased at once */
                    fail_msg("nobody comes by step %u the %u-th time", step, nth);
                kills += killed;
                ptq_queue_close(source);
                ptq_queue_close(target);
                assert_ok(ptq_queue_unlink(net.there, "src", true));
                assert_ok(ptq_queue_unlink(net.here, "dst", true));
            }
        }
    }
    print_message("kills=%u lost=0 doubled=0\n", kills);
}

static void killed_at_random_on_both_sides_nothing_is_lost_or_doubled(void **state)
{
    struct carrier carrier = {.stays = true};
    uint64_t seed = ptt_seed();
    unsigned kills = 0;
    pthread_t consumer;
    (void)state;
    ptq_queue *source = open_source(MOST), *target = open_target(256);
    struct came came = {.queue = target, .count = 4000};

    fill(source, came.count);
    assert_int_equal(pthread_create(&consumer, NULL, consume, &came), 0);
    struct ptq_queue_stats stats;
    pid_t pid = start_carrier(&carrier, PTI_STEPS, 0);
    uint64_t acked = 0;
    for (; kills < 12 && acked < came.count; kills++) {
        acked += 100 + ptt_random(&seed) % 300;
        int64_t until = pti_now_ns() + PTT_LONG * PTI_NS_PER_MS;
        do {
            assert_ok(ptq_queue_stats(source, &stats));
            usleep(500);
        } while (stats.acked < acked && stats.acked < came.count && pti_now_ns() < until);
        if (ptt_random(&seed) % 2 == 0) {
            ptt_kill(pid);
            pid = start_carrier(&carrier, PTI_STEPS, 0);
        } else {
            net_bridge_kill(&net);
            net_bridge_start(&net, grace);
        }
    }
    pthread_join(consumer, NULL);
    ptt_kill(pid);

    assert_came(&came);
    print_message("kills=%u flagged=%u lost=0 doubled=0\n", kills, came.flagged);
    ptq_queue_close(source);
    ptq_queue_close(target);
}

static void links_that_are_cut_double_nothing(void **state)
{
    struct proxy proxy;
    struct carrier carrier = {0};
    pthread_t consumer;
    (void)state;
    ptq_queue *source = open_source(MOST), *target = open_target(MOST);
    struct came came = {.queue = target, .count = 3000};

    fill(source, came.count);
    proxy_start(&proxy, net.url);
    carrier.url = proxy.url;
    pid_t pid = start_carrier(&carrier, PTI_STEPS, 0);
    assert_int_equal(pthread_create(&consumer, NULL, consume, &came), 0);
    for (int i = 0; i < 20; i++) {
        usleep(20000); /* a cut at any moment is as good as at any other */
        proxy_cut_all(&proxy);
    }
    ptt_assert_exit(pid, 0, 2 * PTT_LONG);
    pthread_join(consumer, NULL);
    proxy_stop(&proxy);

    assert_came(&came);
    assert_int_equal(came.flagged, 0);
    ptq_queue_close(source);
    ptq_queue_close(target);
}

static void what_the_home_refuses_is_told_and_the_rest_goes_on(void **state)
{
    struct carrier carrier = {0};
    char large[1024] = "";
    (void)state;
    ptq_queue *source = open_source(16);
    ptq_queue *target = net_open(net.here, "dst", &(struct ptq_queue_options){.capacity = 16, .item_size = 512, .header_size = PTQ_NEVER});
    ptq_msg *msg;

    assert_ok(ptq_put(source, "first", 5, PTT_LONG));
    assert_ok(ptq_put(source, large, sizeof large, PTT_LONG));
    assert_ok(ptq_put(source, "last", 4, PTT_LONG));
    assert_int_equal(carry_all(&carrier, PTI_STEPS, 0), 0);

    assert_ok(ptq_get(target, PTT_LONG, &msg));
    assert_int_equal(ptq_msg_size(msg), 5);
    assert_ok(ptq_ack(msg));
    assert_ok(ptq_get(target, PTT_LONG, &msg));
    assert_int_equal(ptq_msg_size(msg), 4);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(source);
    ptq_queue_close(target);
}

static void a_mover_that_is_stopped_gives_back_what_it_has(void **state)
{
    (void)state;
    ptq_queue *source = open_source(64), *target = open_target(3);
    struct came came = {.queue = target, .count = 30};
    struct ptq_queue_stats stats;
    struct ptq_error error = {0};
    struct pti_mover *mover;
    ptq_bus *bus = net_open_far(&net, NULL);
    struct pti_move move = {.bus = bus, .source = "src", .url = net.url, .run = "test", .name = "dst", .claims = true,
                            .open = {.options = {.mode = PTQ_ATTACH}, .carrier = 1}};
    pthread_t consumer;

    fill(source, came.count);
    assert_ok(pti_mover_start(&move, &error, &mover));
    int64_t until = pti_now_ns() + PTT_LONG * PTI_NS_PER_MS;
    do
        assert_ok(ptq_queue_stats(source, &stats));
    while (stats.acked < 3 && pti_now_ns() < until);
    pti_mover_stop(mover); /* three are there, and known to be; the others wait for room */

    assert_ok(ptq_queue_stats(source, &stats));
    assert_int_equal(stats.leased, 0);
    assert_int_equal(stats.ready, came.count - 3);
    assert_int_equal(pthread_create(&consumer, NULL, consume, &came), 0);
    assert_ok(pti_mover_start(&move, &error, &mover)); /* not in a child: nng is here now */
    pthread_join(consumer, NULL);
    pti_mover_stop(mover);
    assert_came(&came);
    assert_int_equal(came.flagged, 0);
    ptq_bus_close(bus);
    ptq_queue_close(source);
    ptq_queue_close(target);
}

/* Two movers of one source: the other leaves all, and takes its time to look. */
struct leaver {
    _Atomic uint64_t holds, moved;
};

static enum pti_move_verdict leave(void *context, const struct ptq_msg *msg, struct pti_put *put)
{
    struct leaver *leaver = context;
    (void)msg, (void)put;

    if (atomic_exchange(&leaver->holds, 1) == 0)
        (void)ptt_wait_word(&leaver->moved, 1, 300); /* what would tell that it was passed */
    return PTI_MOVE_LEAVE;
}

static enum pti_moved note_moved(void *context, const struct ptq_msg *msg, enum ptq_err code, uint64_t position)
{
    struct leaver *leaver = context;
    (void)msg, (void)code, (void)position;

    atomic_store(&leaver->moved, 1);
    return PTI_MOVED_AGAIN;
}

static void what_another_mover_leaves_is_not_passed(void **state)
{
    (void)state;
    ptq_queue *source = open_source(MOST), *target = open_target(MOST);
    struct came came = {.queue = target, .count = 1000};
    struct ptq_queue_stats stats;
    struct leaver leaver = {0};
    struct ptq_error error = {0};
    struct pti_mover *leaves, *carries;
    pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
    ptq_bus *bus = net_open_far(&net, NULL);
    struct pti_move move = {.bus = bus, .source = "src", .url = net.url, .run = "test", .name = "dst", .turn = &turn, .context = &leaver,
                            .open = {.options = {.mode = PTQ_ATTACH}, .carrier = 1}, .look = leave};

    fill(source, came.count);
    assert_ok(pti_mover_start(&move, &error, &leaves));
    assert_true(ptt_wait_word(&leaver.holds, 1, PTT_LONG));
    move.look = NULL;
    move.moved = note_moved;
    move.stream = (const uint8_t[16]){1};
    assert_ok(pti_mover_start(&move, &error, &carries));
    consume(&came);
    pti_mover_stop(carries);
    pti_mover_stop(leaves);

    assert_came(&came);
    assert_int_equal(came.flagged, 0);
    assert_ok(ptq_queue_stats(source, &stats));
    assert_int_equal(stats.ready + stats.leased, 0);
    ptq_bus_close(bus);
    ptq_queue_close(source);
    ptq_queue_close(target);
}

static int64_t processor_time(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (int64_t)time.tv_sec * PTI_NS_PER_S + time.tv_nsec;
}

/* It waits for its turn, and what it waits for is taken away. */
static void a_mover_whose_source_is_gone_rests(void **state)
{
    ptq_queue *source = open_source(16);
    struct ptq_error error = {0};
    struct pti_mover *mover;
    struct pti_move move = {.bus = net.there, .source = "src", .url = net.url, .run = "test", .name = "dst",
                            .open = {.options = {.mode = PTQ_ATTACH}, .carrier = 1}, .claims = true};
    (void)state;

    assert_ok(pti_queue_claim(source, PTI_DEADLINE_NOW));
    assert_ok(pti_mover_start(&move, &error, &mover));
    assert_ok(ptq_queue_unlink(net.there, "src", true));

    int64_t before = processor_time(), until = pti_now_ns() + PTI_NS_PER_S / 2;
    while (pti_now_ns() < until)
        usleep(10000); /* the time in which it is watched */
    int64_t used = processor_time() - before;

    pti_mover_stop(mover);
    ptq_queue_close(source);
    assert_in_range(used, 0, PTI_NS_PER_S / 10);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(all_is_carried_in_order),
        CASE(what_is_beside_the_bytes_is_carried_too),
        CASE(a_full_target_is_waited_for_in_order),
        CASE(what_there_was_no_memory_for_is_not_passed),
        CASE(a_mover_killed_at_any_step_loses_and_doubles_nothing),
        CASE(killed_at_random_on_both_sides_nothing_is_lost_or_doubled),
        CASE(links_that_are_cut_double_nothing),
        CASE(what_the_home_refuses_is_told_and_the_rest_goes_on),
        CASE(a_mover_whose_source_is_gone_rests),
        CASE(a_mover_that_is_stopped_gives_back_what_it_has), /* the last but one: nng is in this process from here on */
        CASE(what_another_mover_leaves_is_not_passed),
    };

    cmocka_set_test_filter(getenv("PTT_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
