/* test_faults.c -- links that break, homes and clients that die or stop: nothing is lost, or doubled in silence. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "net/kit.h"
#include "net/proxy.h"

#define MOST 20000

static const char *const short_grace[] = {"--grace", "1000", NULL};

struct world {
    struct net net;
    struct proxy proxy;
    ptq_bus *bus; /* the far host's, through the proxy */
};

static void world_init(struct world *world, const char *const *options)
{
    char peers[96];

    net_init(&world->net, options);
    proxy_start(&world->proxy, world->net.url);
    snprintf(peers, sizeof peers, "home=%s", world->proxy.url);
    world->bus = net_open_far(&world->net, peers);
}

static void world_fini(struct world *world)
{
    ptq_bus_close(world->bus);
    proxy_stop(&world->proxy);
    net_fini(&world->net);
}

/* ---- ledgers: what was promised, and what came ---- */

struct ledger {
    ptq_queue *queue;
    uint64_t count;                    /* messages to put */
    unsigned char put[MOST + 1];       /* an enum ptq_err + 1; 0: never tried */
    unsigned char seen[MOST + 1];      /* how often it came */
    unsigned char unflagged[MOST + 1]; /* how often it came as if for the first time */
    _Atomic uint64_t done, acked, lost_leases, in_doubt, refused;
};

static void *produce(void *context)
{
    struct ledger *ledger = context;

    for (uint64_t number = 1; number <= ledger->count; number++) {
        enum ptq_err answer = ptq_put(ledger->queue, &number, sizeof number, PTT_LONG);
        ledger->put[number] = (unsigned char)(answer + 1);
        if (answer == PTQ_EINDOUBT)
            atomic_fetch_add(&ledger->in_doubt, 1);
        else if (answer != PTQ_OK)
            atomic_fetch_add(&ledger->refused, 1);
        atomic_store(&ledger->done, number);
    }
    return NULL;
}

static uint64_t number_of(ptq_msg *msg)
{
    uint64_t number = 0;

    if (ptq_msg_size(msg) == sizeof number)
        memcpy(&number, ptq_msg_data(msg), sizeof number);
    return number <= MOST ? number : 0;
}

static void *consume(void *context)
{
    struct ledger *ledger = context;
    enum ptq_err answer;
    ptq_msg *msg;

    while ((answer = ptq_get(ledger->queue, PTT_LONG, &msg)) != PTQ_END && answer != PTQ_TIMEDOUT) {
        if (answer != PTQ_OK)
            continue; /* the home is away */
        uint64_t number = number_of(msg);
        ledger->seen[number]++;
        ledger->unflagged[number] += !ptq_msg_redelivered(msg);
        answer = ptq_ack(msg);
        if (answer == PTQ_OK)
            atomic_fetch_add(&ledger->acked, 1);
        else if (answer == PTQ_ELEASELOST || answer == PTQ_EINDOUBT)
            atomic_fetch_add(&ledger->lost_leases, 1);
        else
            atomic_fetch_add(&ledger->refused, 1);
    }
    return NULL;
}

/* Nothing that was promised is missing, nothing came that was never put, and what came twice said so, or was in doubt.
 */
static void assert_ledger(const struct ledger *put, const struct ledger *got)
{
    assert_int_equal(got->seen[0], 0);
    for (uint64_t number = 1; number <= put->count; number++) {
        bool promised = put->put[number] == PTQ_OK + 1, doubt = put->put[number] == PTQ_EINDOUBT + 1;
        if (promised && got->seen[number] == 0)
            fail_msg("message %llu was promised and is lost", (unsigned long long)number);
        if (promised && got->unflagged[number] > 1)
            fail_msg("message %llu came %u times without a flag", (unsigned long long)number, got->unflagged[number]);
        if (!promised && !doubt && got->seen[number] > 0)
            fail_msg("message %llu was refused and came", (unsigned long long)number);
    }
}

static struct ledger *new_ledger(ptq_queue *queue, uint64_t count)
{
    struct ledger *ledger = calloc(1, sizeof *ledger);

    assert_non_null(ledger);
    ledger->queue = queue;
    ledger->count = count;
    return ledger;
}

/* ---- links ---- */

/* Puts go over links that are spoiled again and again; the home's own process takes them. */
static void put_through(struct world *world, uint64_t count, void (*spoil)(struct world *world, uint64_t *seed))
{
    ptq_queue *far = net_open(world->bus, "through@home", NULL), *here = net_open(world->net.here, "through", NULL);
    struct ledger *put = new_ledger(far, count), *got = new_ledger(here, count);
    pthread_t producer, consumer;
    uint64_t seed = ptt_seed();

    pthread_create(&consumer, NULL, consume, got);
    pthread_create(&producer, NULL, produce, put);
    while (atomic_load(&put->done) < count) {
        spoil(world, &seed);
        uint64_t now = atomic_load(&put->done);
        ptt_wait_word(&put->done, now + 1 < count ? now + 1 : count, 1000);
    }
    pthread_join(producer, NULL);
    assert_ok(ptq_end(here));
    pthread_join(consumer, NULL);

    assert_int_equal(put->in_doubt, 0); /* the session lived through it all */
    assert_int_equal(put->refused, 0);
    assert_ledger(put, got);
    for (uint64_t number = 1; number <= count; number++)
        assert_int_equal(got->seen[number], 1);
    assert_true(world->proxy.faults > 0);
    free(put);
    free(got);
    ptq_queue_close(far);
    ptq_queue_close(here);
}

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
    put_through(&world, 1500, cut_somewhere);
    world_fini(&world);
}

static void puts_over_links_that_change_bytes_arrive_once(void **state)
{
    struct world world;
    (void)state;

    world_init(&world, NULL);
    put_through(&world, 1500, corrupt_somewhere);
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
    struct ledger *put = new_ledger(here, count), *got = new_ledger(far, count);
    produce(put);
    assert_ok(ptq_end(here));
    pthread_create(&consumer, NULL, consume, got);
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
    assert_ledger(put, got);
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
        while (ptq_get(far, PTQ_NOWAIT, &msg) != PTQ_EMPTY)
            ;
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
    while (ptq_queue_stats(far, &stats) != PTQ_OK)
        ;
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

/* ---- the home's bridge ---- */

static void a_killed_bridge_returns_its_leases_at_once(void **state)
{
    struct net net;
    ptq_msg *msg, *again;
    (void)state;

    net_init(&net, NULL);
    ptq_queue *here = net_open(net.here, "returns", NULL), *far = net_open(net.there, "returns", NULL);
    assert_ok(ptq_put(here, "held", 4, PTQ_NOWAIT));
    assert_ok(ptq_get(far, PTT_LONG, &msg));
    net_bridge_kill(&net);
    assert_ok(ptq_get(here, PTT_LONG, &again));
    assert_true(ptq_msg_redelivered(again));
    assert_ok(ptq_ack(again));
    net_bridge_start(&net, NULL);
    assert_ok(ptq_put(far, "after", 5, PTT_LONG));
    assert_answer(PTQ_ELEASELOST, ptq_ack(msg));
    ptq_queue_close(far);
    ptq_queue_close(here);
    net_fini(&net);
}

/* W21 */
static void a_bridge_killed_in_mid_flow_loses_nothing(void **state)
{
    struct net net;
    uint64_t count = 6000, kills = 0;
    pthread_t producer, consumer;
    (void)state;

    net_init(&net, NULL);
    ptq_queue *in = net_open(net.there, "flow@home", NULL), *out = net_open(net.there, "flow@home", NULL);
    struct ledger *put = new_ledger(in, count), *got = new_ledger(out, count);
    pthread_create(&consumer, NULL, consume, got);
    pthread_create(&producer, NULL, produce, put);
    while (atomic_load(&put->done) < count) {
        ptt_wait_word(&put->done, atomic_load(&put->done) + 700, 500);
        if (atomic_load(&put->done) >= count)
            break;
        net_bridge_kill(&net);
        net_bridge_start(&net, NULL);
        kills++;
    }
    pthread_join(producer, NULL);
    while (ptq_end(in) != PTQ_EALREADY)
        ;
    pthread_join(consumer, NULL);

    assert_true(kills >= 3);
    assert_int_equal(put->refused, 0);
    assert_int_equal(got->refused, 0);
    assert_true(put->in_doubt <= kills); /* one put at a time: one in doubt a kill, at most */
    assert_ledger(put, got);
    ptq_queue *here = net_open(net.here, "flow", NULL);
    struct ptq_queue_stats stats;
    assert_ok(ptq_queue_stats(here, &stats));
    assert_true(stats.put == stats.acked && stats.ready == 0 && stats.leased == 0);
    ptq_queue_close(here);
    free(put);
    free(got);
    ptq_queue_close(in);
    ptq_queue_close(out);
    net_fini(&net);
}

static void results_placed_over_a_killed_bridge_are_there_once(void **state)
{
    struct net net;
    (void)state;

    net_init(&net, NULL);
    ptq_queue *done = net_open_pool(net.here, "p.done", true, 32), *far = net_open_pool(net.there, "p.done", true, 32);
    struct pti_put put = {.data = "result", .size = 6};
    uint64_t first;
    ptq_msg *msg;
    assert_ok(pti_queue_head(done, &first));
    for (uint64_t i = 0; i < 30; i++) {
        if (i % 5 == 2)
            net_bridge_kill(&net);
        if (i % 5 == 2)
            net_bridge_start(&net, NULL);
        enum ptq_err answer = pti_queue_place(far, first + i, &put, pti_deadline(PTT_LONG));
        assert_true(answer == PTQ_OK || answer == PTQ_ELATE);
    }
    for (uint64_t i = 0; i < 30; i++) {
        assert_ok(ptq_get(done, PTQ_NOWAIT, &msg));
        assert_int_equal(ptq_msg_position(msg), first + i);
        assert_ok(ptq_ack(msg));
    }
    ptq_queue_close(far);
    ptq_queue_close(done);
    net_fini(&net);
}

static void a_claim_is_made_again_at_the_next_bridge(void **state)
{
    struct net net;
    ptq_msg *msg;
    (void)state;

    net_init(&net, NULL);
    ptq_queue *done = net_open_pool(net.here, "c.done", true, 4), *far = net_open_pool(net.there, "c.done", true, 4);
    assert_ok(pti_queue_claim(far, PTI_DEADLINE_NOW));
    net_bridge_kill(&net);
    net_bridge_start(&net, NULL);
    assert_answer(PTQ_TIMEDOUT, ptq_get(far, 3000, &msg));
    assert_answer(PTQ_EBUSY, pti_queue_claim(done, PTI_DEADLINE_NOW));
    net_bridge_kill(&net);
    assert_ok(pti_queue_claim(done, pti_deadline(PTT_LONG)));
    net_bridge_start(&net, NULL);
    assert_answer(PTQ_EBUSY, ptq_get(far, PTT_LONG, &msg));
    ptq_queue_close(far);
    ptq_queue_close(done);
    net_fini(&net);
}

struct getting {
    ptq_queue *queue;
    enum ptq_err answer;
    _Atomic uint64_t tid;
    ptq_msg *msg;
};

static void *get_one(void *context)
{
    struct getting *getting = context;

    atomic_store(&getting->tid, (uint64_t)gettid());
    getting->answer = ptq_get(getting->queue, PTQ_FOREVER, &getting->msg);
    return NULL;
}

static void a_bridge_that_is_ended_drains(void **state)
{
    struct net net;
    struct getting getting = {0};
    pthread_t thread;
    ptq_msg *msg;
    (void)state;

    net_init(&net, NULL);
    ptq_queue *here = net_open(net.here, "drains", NULL), *far = net_open(net.there, "drains", NULL);
    getting.queue = far;
    assert_ok(ptq_put(here, "held", 4, PTQ_NOWAIT));
    assert_ok(ptq_get(far, PTT_LONG, &msg));
    pthread_create(&thread, NULL, get_one, &getting);
    assert_true(ptt_wait_word(&getting.tid, 1, PTT_LONG));
    assert_true(ptt_wait_sleeping(getpid(), (pid_t)getting.tid, PTT_LONG));

    kill(net.bridge, SIGTERM);
    assert_ok(ptq_ack(msg)); /* what is held may be settled */
    assert_int_equal(ptt_reap(net.bridge, PTT_LONG), 0);
    net_bridge_start(&net, NULL);
    assert_ok(ptq_put(here, "next", 4, PTQ_NOWAIT));
    pthread_join(thread, NULL); /* who waited waits on, at the next bridge */

    assert_int_equal(getting.answer, PTQ_OK);
    assert_ok(ptq_ack(getting.msg));
    struct ptq_queue_stats stats;
    assert_ok(ptq_queue_stats(here, &stats));
    assert_true(stats.acked == 2 && stats.redelivered == 0);
    ptq_queue_close(far);
    ptq_queue_close(here);
    net_fini(&net);
}

static void a_second_signal_does_not_wait(void **state)
{
    struct net net;
    ptq_msg *msg;
    (void)state;

    net_init(&net, (const char *const[]){"--drain", "60s", NULL});
    ptq_queue *here = net_open(net.here, "second", NULL), *far = net_open(net.there, "second", NULL);
    assert_ok(ptq_put(here, "held", 4, PTQ_NOWAIT));
    assert_ok(ptq_get(far, PTT_LONG, &msg));
    kill(net.bridge, SIGTERM);
    kill(net.bridge, SIGTERM);
    kill(net.bridge, SIGINT);
    assert_int_equal(ptt_reap(net.bridge, PTT_LONG), 0);
    net.bridge = 0;
    assert_ok(ptq_get(here, PTT_LONG, &msg));
    assert_true(ptq_msg_redelivered(msg));
    assert_ok(ptq_ack(msg));
    ptq_queue_close(far);
    ptq_queue_close(here);
    net_fini(&net);
}

/* ---- clients ---- */

static pid_t start_client(struct net *net, const char *queue, const char *role, const char *count, int *ret_out,
                          int *ret_in)
{
    const char *words[] = {net->far.dir, net->peers, queue, role, count, NULL};
    int ends[2], saved = dup(STDIN_FILENO);

    assert_int_equal(pipe(ends), 0);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    pid_t pid = net_spawn(CLIENT, words, ret_out);
    if (saved >= 0)
        dup2(saved, STDIN_FILENO);
    close(saved);
    *ret_in = ends[1];
    return pid;
}

static void expect_line(int fd, const char *begin)
{
    char line[300];

    net_read_line(fd, line, sizeof line);
    if (strncmp(line, begin, strlen(begin)) != 0)
        fail_msg("the client said '%s', not '%s'", line, begin);
}

static void what_a_killed_client_held_comes_back_after_the_grace(void **state)
{
    struct net net;
    int out, in;
    (void)state;

    net_init(&net, short_grace);
    ptq_queue *here = net_open(net.here, "killed", NULL);
    for (int i = 0; i < 3; i++)
        assert_ok(ptq_put(here, "job", 3, PTQ_NOWAIT));
    pid_t client = start_client(&net, "killed", "hold", "2", &out, &in);
    expect_line(out, "held");
    expect_line(out, "held");
    ptt_kill(client);
    uint64_t last = 0;
    for (int i = 0; i < 3; i++) {
        ptq_msg *msg;
        assert_ok(ptq_get(here, PTT_LONG, &msg));
        bool first_time = i == 0; /* the one that nobody held; then those that came back, in their order */
        assert_true(ptq_msg_redelivered(msg) == !first_time);
        assert_true(first_time || ptq_msg_position(msg) > last || i == 1);
        last = ptq_msg_position(msg);
        assert_ok(ptq_ack(msg));
    }
    close(out);
    close(in);
    ptq_queue_close(here);
    net_fini(&net);
}

static void what_a_stopped_client_held_comes_back_and_its_late_ack_is_told(void **state)
{
    struct net net;
    ptq_msg *msg;
    int out, in;
    (void)state;

    net_init(&net, short_grace);
    ptq_queue *here = net_open(net.here, "stopped", NULL);
    assert_ok(ptq_put(here, "job", 3, PTQ_NOWAIT));
    pid_t client = start_client(&net, "stopped", "hold", "1", &out, &in);
    expect_line(out, "held");
    ptt_stop(client);
    assert_ok(ptq_get(here, PTT_LONG, &msg)); /* 3 s of silence, and the grace */
    assert_true(ptq_msg_redelivered(msg));
    ptt_continue(client);
    assert_int_equal(write(in, "go\n", 3), 3);
    expect_line(out, "ack PTQ_ELEASELOST");
    assert_ok(ptq_ack(msg));
    ptt_assert_exit(client, 0, PTT_LONG);
    close(out);
    close(in);
    ptq_queue_close(here);
    net_fini(&net);
}

static void a_put_that_a_killed_client_saw_return_is_there(void **state)
{
    struct net net;
    char line[64];
    int out, in;
    (void)state;

    net_init(&net, short_grace);
    ptq_queue *here = net_open(net.here, "promised", &(struct ptq_queue_options){.capacity = 100000});
    pid_t client = start_client(&net, "promised", "put", "", &out, &in);
    unsigned long long last = 0, number;
    while (last < 300) {
        net_read_line(out, line, sizeof line);
        assert_int_equal(sscanf(line, "put %llu", &last), 1);
    }
    ptt_kill(client);
    FILE *rest = fdopen(out, "r");
    while (fgets(line, sizeof line, rest) != NULL && sscanf(line, "put %llu", &number) == 1)
        last = number;
    for (number = 1; number <= last; number++) {
        ptq_msg *msg;
        assert_ok(ptq_get(here, PTQ_NOWAIT, &msg));
        assert_int_equal(*(const uint64_t *)ptq_msg_data(msg), number);
        assert_ok(ptq_ack(msg));
    }
    fclose(rest);
    close(in);
    ptq_queue_close(here);
    net_fini(&net);
}

static int use_in_child(void *context)
{
    struct net *net = context;
    struct ptq_error error = {0};
    ptq_queue *queue;
    ptq_bus *bus = net_open_far(net, net->peers);
    enum ptq_err answer = ptq_queue_open(bus, "forked@home", &(struct ptq_queue_options){.error = &error}, &queue);

    return answer == PTQ_EFORKED && strstr(error.text, "fork") != NULL ? 0 : 1;
}

struct inherited {
    ptq_queue *queue;
    ptq_msg *msg;
};

static int use_inherited(void *context)
{
    struct inherited *inherited = context;

    if (ptq_put(inherited->queue, "x", 1, PTQ_NOWAIT) != PTQ_EFORKED || ptq_ack(inherited->msg) != PTQ_EFORKED)
        return 1;
    ptq_interrupt(inherited->queue);
    ptq_queue_close(inherited->queue);
    return 0;
}

static void a_forked_child_is_told_so(void **state)
{
    struct net net;
    struct inherited inherited;
    (void)state;

    net_init(&net, NULL);
    inherited.queue = net_open(net.there, "forked@home", NULL);
    assert_ok(ptq_put(inherited.queue, "mine", 4, PTQ_NOWAIT));
    assert_ok(ptq_get(inherited.queue, PTT_LONG, &inherited.msg));
    ptt_assert_exit(ptt_fork(use_in_child, &net), 0, PTT_LONG);
    ptt_assert_exit(ptt_fork(use_inherited, &inherited), 0, PTT_LONG);
    assert_ok(ptq_ack(inherited.msg)); /* the parent's goes on */
    ptq_queue_close(inherited.queue);
    net_fini(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* the longest begin first */
        cmocka_unit_test(a_put_that_was_given_up_does_not_happen_later),
        cmocka_unit_test(a_silent_link_is_found_down_and_comes_back),
        cmocka_unit_test(puts_over_links_that_change_bytes_arrive_once),
        cmocka_unit_test(what_a_stopped_client_held_comes_back_and_its_late_ack_is_told),
        cmocka_unit_test(gets_over_links_that_are_cut_lose_nothing),
        cmocka_unit_test(puts_over_links_that_are_cut_arrive_once),
        cmocka_unit_test(slow_and_crumbled_links_carry_the_same),
        cmocka_unit_test(a_lease_outlives_its_link),
        cmocka_unit_test(a_descriptor_works_again_after_a_cut),
        cmocka_unit_test(closing_does_not_wait_for_a_silent_home),
        cmocka_unit_test(a_killed_bridge_returns_its_leases_at_once),
        cmocka_unit_test(a_bridge_killed_in_mid_flow_loses_nothing),
        cmocka_unit_test(results_placed_over_a_killed_bridge_are_there_once),
        cmocka_unit_test(a_claim_is_made_again_at_the_next_bridge),
        cmocka_unit_test(a_bridge_that_is_ended_drains),
        cmocka_unit_test(a_second_signal_does_not_wait),
        cmocka_unit_test(what_a_killed_client_held_comes_back_after_the_grace),
        cmocka_unit_test(a_put_that_a_killed_client_saw_return_is_there),
        cmocka_unit_test(a_forked_child_is_told_so),
    };

    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 4);
}
