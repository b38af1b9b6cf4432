/* test_moves.c -- queues that bridges carry to other homes: what arrives, what stays, and that nothing goes round or comes twice. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/kit.h"
#include "net/log.h"
#include "remote/path.h"

enum { NODES_MOST = 5, OPTIONS_MOST = 40 };

/* So many hosts. */
struct world {
    struct net nets[NODES_MOST];
    char texts[NODES_MOST][OPTIONS_MOST][200];
    const char *options[NODES_MOST][OPTIONS_MOST + 1];
    int counts[NODES_MOST];
    int nodes;
};

/* Sockets in their own directories: no other test can come by the address of a bridge that was killed. */
static void world_begin(struct world *world, int nodes)
{
    memset(world, 0, sizeof *world);
    world->nodes = nodes;
    for (int i = 0; i < nodes; i++) {
        struct net *net = &world->nets[i];
        ptt_scratch_init_dir(&net->home);
        ptt_scratch_init_dir(&net->far);
        net->here = ptt_scratch_open(&net->home);
        strcat(strcat(strcpy(net->url, "ipc://"), net->home.dir), "/bridge.sock");
    }
}

static void say(struct world *world, int node, const char *text)
{
    int at = world->counts[node]++;

    assert_true(at < OPTIONS_MOST);
    snprintf(world->texts[node][at], sizeof world->texts[node][at], "%s", text);
    world->options[node][at] = world->texts[node][at];
}

/* --move GLOB=<the address of another> */
static void say_move(struct world *world, int node, const char *glob, int to)
{
    char text[200];

    snprintf(text, sizeof text, "%s=%s", glob, world->nets[to].url);
    say(world, node, "--move");
    say(world, node, text);
}

static void world_start(struct world *world)
{
    for (int i = 0; i < world->nodes; i++) {
        say(world, i, "--verbose");
        net_bridge_start(&world->nets[i], world->options[i]);
    }
}

static void restart(struct world *world, int node)
{
    net_bridge_kill(&world->nets[node]);
    net_bridge_start(&world->nets[node], world->options[node]);
}

static void world_end(struct world *world)
{
    for (int i = 0; i < world->nodes; i++)
        net_fini(&world->nets[i]);
}

static void end_bridges(struct world *world)
{
    for (int i = 0; i < world->nodes; i++)
        assert_int_equal(net_bridge_end(&world->nets[i]), 0);
}

/* Ends all bridges; the frames of all their links. */
static uint64_t count_frames(struct world *world)
{
    uint64_t frames = 0;

    end_bridges(world);
    for (int i = 0; i < world->nodes; i++)
        frames += net_log_total(&world->nets[i], "frames_in") + net_log_total(&world->nets[i], "frames_out");
    return frames;
}

static uint64_t ready_in(ptq_queue *queue)
{
    struct ptq_queue_stats stats;

    assert_ok(ptq_queue_stats(queue, &stats));
    return stats.ready;
}

static size_t path_of(const ptq_msg *msg)
{
    size_t size = 0;

    return ptq_msg_header(msg, PTI_PATH_HEADER, &size) != NULL ? size / PTI_PATH_NODE : 0;
}

/* ---- what arrives ---- */

static void all_that_a_message_bears_arrives_with_it(void **state)
{
    struct world world;
    struct ptq_trace trace = {.trace_id = {1, 2, 3}, .parent_id = {4, 5}, .flags = 1};
    struct ptq_header header = {.name = "colour", .value = "blue", .size = 4};
    struct ptq_put_options options = {.headers = &header, .header_count = 1, .trace = &trace, .ttl_ms = 3600000};
    struct ptq_bytes batch[] = {{"two", 3}, {"three", 5}, {"four", 4}};
    static const char *const texts[] = {"one", "two", "three", "four"};
    (void)state;

    world_begin(&world, 2);
    say_move(&world, 0, "tasks", 1);
    world_start(&world);
    ptq_queue *source = net_open(world.nets[0].here, "tasks", &(struct ptq_queue_options){.capacity = 77, .item_size = 300});
    ptq_queue *target = net_open(world.nets[1].here, "tasks", &(struct ptq_queue_options){.mode = PTQ_ATTACH, .wait_ms = PTT_LONG});
    assert_int_equal(target->port->capacity, 77);
    assert_int_equal(target->port->item_size, 300);
    assert_true(target->port->header_size >= source->port->header_size + PTI_PATH_ROOM);
    assert_ok(ptq_put_with(source, "one", 3, &options, PTT_LONG));
    assert_ok(ptq_put_many(source, batch, 3, PTT_LONG, NULL));
    for (int i = 0; i < 4; i++) {
        struct ptq_trace came;
        ptq_msg *msg;
        size_t size;
        assert_ok(ptq_get(target, PTT_LONG, &msg));
        assert_int_equal(ptq_msg_size(msg), strlen(texts[i]));
        assert_memory_equal(ptq_msg_data(msg), texts[i], strlen(texts[i]));
        assert_int_equal(path_of(msg), 1);
        assert_false(ptq_msg_redelivered(msg));
        if (i == 0) {
            assert_memory_equal(ptq_msg_header(msg, "colour", &size), "blue", 4);
            assert_true(ptq_msg_trace(msg, &came));
            assert_memory_equal(&came, &trace, sizeof trace);
        }
        assert_ok(ptq_ack(msg));
    }
    assert_int_equal(ready_in(source), 0);

    ptq_queue_close(target);
    ptq_queue_close(source);
    world_end(&world);
}

static void denied_names_stay_and_others_arrive_as_they_are_called_there(void **state)
{
    struct world world;
    char text[16];
    size_t size;
    (void)state;

    world_begin(&world, 2);
    say_move(&world, 0, "job-*", 1);
    say(&world, 0, "--deny"), say(&world, 0, "job-own");
    say(&world, 0, "--rename"), say(&world, 0, "job-*=east.*");
    world_start(&world);
    ptq_queue *own = net_open(world.nets[0].here, "job-own", NULL), *other = net_open(world.nets[0].here, "other", NULL),
              *job = net_open(world.nets[0].here, "job-7", NULL);
    assert_ok(ptq_put(own, "own", 3, PTT_LONG));
    assert_ok(ptq_put(other, "other", 5, PTT_LONG));
    assert_ok(ptq_put(job, "job", 3, PTT_LONG));
    ptq_queue *there = net_open(world.nets[1].here, "east.7", &(struct ptq_queue_options){.mode = PTQ_ATTACH, .wait_ms = PTT_LONG});
    assert_ok(ptq_recv(there, text, sizeof text, PTT_LONG, &size));
    assert_int_equal(size, 3);
    assert_int_equal(ready_in(own), 1);
    assert_int_equal(ready_in(other), 1);

    ptq_queue_close(there);
    ptq_queue_close(job);
    ptq_queue_close(other);
    ptq_queue_close(own);
    world_end(&world);
}

static ptq_queue *open_made(struct world *world, int node, const char *name);
static void assert_nothing_more(ptq_queue *queue);
static void assert_empty(struct world *world, int node, const char *name);
static void wait_until_held(struct world *world, int node, const char *name, uint64_t count);
static void end_bridges(struct world *world);

/* Three hosts, each carrying to both others; the first calls its queues otherwise, the third denies one.  What begins at the first
 * goes on under the name that it has there, and never back into the queue that it came from under another. */
static void in_a_mesh_with_renames_and_denies_each_message_comes_to_rest_once(void **state)
{
    struct world world;
    ptq_queue *work[3], *rests;
    uint32_t number;
    ptq_msg *msg;
    size_t size;
    (void)state;

    world_begin(&world, 3);
    for (int i = 0; i < 3; i++) {
        for (int step = 1; step < 3; step++)
            say_move(&world, i, i == 0 ? "work-*" : "east.*", (i + step) % 3);
    }
    say(&world, 0, "--rename"), say(&world, 0, "work-*=east.*");
    say(&world, 0, "--deny"), say(&world, 0, "work-secret");
    say(&world, 2, "--deny"), say(&world, 2, "east.b");
    world_start(&world);
    work[0] = net_open(world.nets[0].here, "work-a", NULL);
    work[1] = net_open(world.nets[0].here, "work-b", NULL);
    work[2] = net_open(world.nets[0].here, "work-secret", NULL);
    for (uint32_t i = 0; i < 300; i++)
        assert_ok(ptq_put(work[i % 3], &i, sizeof i, PTT_LONG));

    wait_until_held(&world, 0, "work-a", 0);
    wait_until_held(&world, 0, "work-b", 0);
    wait_until_held(&world, 1, "east.a", 0);
    wait_until_held(&world, 2, "east.a", 100);
    wait_until_held(&world, 1, "east.b", 100);
    end_bridges(&world); /* they take what rests, look at it, and put it back: who takes beside them meets what stands behind it */
    assert_empty(&world, 0, "work-a");
    assert_empty(&world, 0, "work-b");
    assert_empty(&world, 1, "east.a");
    rests = open_made(&world, 2, "east.a"); /* everywhere, and nowhere twice */
    for (uint32_t i = 0; i < 300; i += 3) {
        assert_ok(ptq_get(rests, PTT_LONG, &msg));
        assert_memory_equal(ptq_msg_data(msg), &i, sizeof i);
        assert_int_equal(path_of(msg), 2);
        assert_ok(ptq_ack(msg));
    }
    assert_nothing_more(rests);
    ptq_queue_close(rests);
    rests = open_made(&world, 1, "east.b"); /* the third does not have it, and the first has had it */
    for (uint32_t i = 1; i < 300; i += 3) {
        assert_ok(ptq_recv(rests, &number, sizeof number, PTT_LONG, &size));
        assert_int_equal(number, i);
    }
    assert_nothing_more(rests);
    assert_int_equal(ready_in(work[0]) + ready_in(work[1]), 0);
    assert_int_equal(ready_in(work[2]), 100);
    ptq_queue_close(rests);
    assert_answer(PTQ_ENOENT, ptq_queue_open(world.nets[1].here, "east.secret", &(struct ptq_queue_options){.mode = PTQ_ATTACH}, &rests));
    for (int i = 0; i < 3; i++)
        ptq_queue_close(work[i]);
    world_end(&world);
}

/* ---- what stays ---- */

static void what_finds_no_room_for_its_path_stays_and_is_told(void **state)
{
    struct world world;
    char large[64] = "large", text[64];
    size_t size;
    (void)state;

    world_begin(&world, 2);
    say_move(&world, 0, "tight", 1);
    ptq_queue *there = net_open(world.nets[1].here, "tight", &(struct ptq_queue_options){.item_size = 64, .header_size = PTQ_NEVER});
    world_start(&world);
    ptq_queue *here = net_open(world.nets[0].here, "tight", &(struct ptq_queue_options){.item_size = 64});
    assert_ok(ptq_put(here, large, sizeof large, PTT_LONG));
    assert_ok(ptq_put(here, "small", 5, PTT_LONG));
    assert_ok(ptq_recv(there, text, sizeof text, PTT_LONG, &size)); /* the small one, which leaves room */
    assert_int_equal(size, 5);
    net_log_wait(&world.nets[0], "event=stays queue=tight");
    assert_ok(ptq_recv(here, text, sizeof text, PTT_LONG, &size)); /* and the other may be taken where it is */
    assert_int_equal(size, 64);

    ptq_queue_close(here);
    ptq_queue_close(there);
    world_end(&world);
}

/* Nothing is lost, nothing is dropped, and when it can be put into again it goes on. */
static bool has_one_ready(void *here) { return ready_in(here) == 1; }
static bool has_nine_ready(void *here) { return ready_in(here) == 9; }

/* Queues may hold more than a bridge carries: that stays, told, and holds up nothing. */
static void what_is_too_large_to_be_carried_stays_and_is_told(void **state)
{
    struct ptq_queue_options options = {.capacity = 16, .item_size = 64u << 20};
    static uint8_t part[8 << 20];
    struct ptq_bytes batch[8];
    struct world world;
    char text[16];
    size_t size;
    ptq_msg *msg;
    (void)state;

    world_begin(&world, 2);
    say_move(&world, 0, "large", 1);
    ptq_queue *there = net_open(world.nets[1].here, "large", &options), *here = net_open(world.nets[0].here, "large", &options);
    world_start(&world);
    assert_ok(ptq_loan(here, options.item_size, PTT_LONG, &msg));
    assert_ok(ptq_publish(msg, options.item_size, PTT_LONG, NULL));
    assert_ok(ptq_put(here, "small", 5, PTT_LONG));
    assert_ok(ptq_recv(there, text, sizeof text, PTT_LONG, &size));
    assert_int_equal(size, 5);
    net_log_wait(&world.nets[0], "why=\"a message is larger than 60 MiB");
    assert_true(ptt_wait_until(has_one_ready, here, PTT_LONG)); /* it is taken now and then, and looked at */
    for (size_t i = 0; i < 8; i++)
        batch[i] = (struct ptq_bytes){part, sizeof part};
    assert_ok(ptq_put_many(here, batch, 8, PTT_LONG, NULL)); /* together they are too large */
    assert_ok(ptq_put(here, "small", 5, PTT_LONG));
    assert_ok(ptq_recv(there, text, sizeof text, PTT_LONG, &size));
    net_log_wait(&world.nets[0], "more than 64 MiB are not carried at once");
    assert_true(ptt_wait_until(has_nine_ready, here, PTT_LONG));
    ptq_queue_close(here);
    ptq_queue_close(there);
    world_end(&world);
}

static void what_an_ended_queue_refuses_stays_for_whoever_takes_it_here(void **state)
{
    struct world world;
    char text[64];
    size_t size;
    (void)state;

    world_begin(&world, 2);
    say_move(&world, 0, "work", 1);
    world_start(&world);
    ptq_queue *here = net_open(world.nets[0].here, "work", NULL);
    ptq_queue *there = net_open(world.nets[1].here, "work", &(struct ptq_queue_options){.mode = PTQ_ATTACH, .wait_ms = PTT_LONG});
    assert_ok(ptq_put(here, "one", 3, PTT_LONG));
    assert_ok(ptq_recv(there, text, sizeof text, PTT_LONG, &size));
    assert_ok(ptq_end(there));
    for (int i = 0; i < 10; i++)
        assert_ok(ptq_put(here, "later", 5, PTT_LONG));
    net_log_wait(&world.nets[0], "event=refused queue=work");
    for (int i = 0; i < 10; i++)
        assert_ok(ptq_recv(here, text, sizeof text, PTT_LONG, &size));
    assert_answer(PTQ_END, ptq_recv(there, text, sizeof text, PTQ_NOWAIT, &size));

    ptq_queue_close(here);
    ptq_queue_close(there);
    world_end(&world);
}

static void a_full_queue_there_holds_back_and_loses_nothing(void **state)
{
    struct world world;
    uint32_t number;
    size_t size;
    (void)state;

    world_begin(&world, 2);
    say_move(&world, 0, "slow", 1);
    ptq_queue *there = net_open(world.nets[1].here, "slow", &(struct ptq_queue_options){.capacity = 4});
    world_start(&world);
    ptq_queue *here = net_open(world.nets[0].here, "slow", NULL);
    for (uint32_t i = 0; i < 500; i++)
        assert_ok(ptq_put(here, &i, sizeof i, PTT_LONG));
    for (uint32_t i = 0; i < 500; i++) {
        assert_ok(ptq_recv(there, &number, sizeof number, PTT_LONG, &size));
        assert_int_equal(number, i);
    }
    assert_int_equal(ready_in(here), 0);

    ptq_queue_close(here);
    ptq_queue_close(there);
    world_end(&world);
}

/* ---- rings and meshes ---- */

enum { MESSAGES = 10000, PUTS_AT_ONCE = 20 };

struct ledger {
    ptq_queue *queue;
    unsigned expected;
    _Atomic uint64_t got;
    uint16_t seen[MESSAGES];
    unsigned twice_unflagged, least_path, most_path;
    enum ptq_err answer;
};

static void *consume(void *context)
{
    struct ledger *ledger = context;
    ptq_msg *msg;
    uint32_t number;

    ledger->least_path = 100;
    while (atomic_load(&ledger->got) < ledger->expected && (ledger->answer = ptq_get(ledger->queue, PTT_LONG, &msg)) == PTQ_OK) {
        memcpy(&number, ptq_msg_data(msg), sizeof number);
        unsigned path = (unsigned)path_of(msg);
        ledger->least_path = path < ledger->least_path ? path : ledger->least_path;
        ledger->most_path = path > ledger->most_path ? path : ledger->most_path;
        if (number < MESSAGES)
            ledger->seen[number]++;
        (void)!ptq_ack(msg);
        atomic_fetch_add(&ledger->got, 1);
    }
    return NULL;
}

static void assert_once(const struct ledger *ledger, uint32_t first, uint32_t step)
{
    unsigned missing = 0, twice = 0;

    for (uint32_t i = first; i < MESSAGES; i += step) {
        missing += ledger->seen[i] == 0;
        twice += ledger->seen[i] > 1;
    }
    if (missing > 0 || twice > 0)
        fail_msg("of %u messages %u are missing, %u came twice", ledger->expected, missing, twice);
}

/* Numbers first, first + step, ... */
static void put_numbers(ptq_queue *queue, uint32_t first, uint32_t step)
{
    uint32_t numbers[PUTS_AT_ONCE];
    struct ptq_bytes items[PUTS_AT_ONCE];
    size_t count = 0;

    for (uint32_t i = first; i < MESSAGES; i += step) {
        numbers[count] = i;
        items[count] = (struct ptq_bytes){&numbers[count], sizeof numbers[count]};
        if (++count == PUTS_AT_ONCE || i + step >= MESSAGES) {
            for (size_t j = 0; j < count; j++)
                assert_ok(ptq_put(queue, items[j].data, items[j].size, PTT_LONG));
            count = 0;
        }
    }
}

static const struct ptq_queue_options wide = {.capacity = 16384, .item_size = 64};

static ptq_queue *open_made(struct world *world, int node, const char *name)
{
    return net_open(world->nets[node].here, name, &(struct ptq_queue_options){.mode = PTQ_ATTACH, .wait_ms = PTT_LONG});
}

/* Waits until so many came. */
static void wait_for(struct ledger *ledger, uint32_t count)
{
    assert_true(ptt_wait_word(&ledger->got, count, PTT_LONG));
}

static uint64_t held_in(ptq_queue *queue)
{
    struct ptq_queue_stats stats;

    assert_ok(ptq_queue_stats(queue, &stats));
    return stats.ready + stats.leased + stats.delayed + stats.dead;
}

static void assert_empty(struct world *world, int node, const char *name)
{
    ptq_queue *queue = open_made(world, node, name);

    assert_int_equal(held_in(queue), 0);
    ptq_queue_close(queue);
}

struct held {
    ptq_queue *queue;
    uint64_t count;
};

static bool holds_so_many(void *context)
{
    const struct held *held = context;

    return held_in(held->queue) == held->count;
}

/* What has arrived elsewhere is acked here when the bridge hears of it.  The bridges are alive. */
static void wait_until_held(struct world *world, int node, const char *name, uint64_t count)
{
    struct held held = {open_made(world, node, name), count};

    if (!ptt_wait_until(holds_so_many, &held, PTT_LONG))
        fail_msg("%s of node %d holds %llu, not %llu", name, node, (unsigned long long)held_in(held.queue), (unsigned long long)count);
    ptq_queue_close(held.queue);
}

static void assert_nothing_more(ptq_queue *queue)
{
    unsigned more = 0, flagged = 0;
    ptq_msg *msg;

    while (ptq_get(queue, 300, &msg) == PTQ_OK) {
        more++;
        flagged += ptq_msg_redelivered(msg);
        (void)!ptq_ack(msg);
    }
    if (more > 0)
        fail_msg("%u came besides, %u of them flagged", more, flagged);
}

/* Each carries to the next: what begins at the first comes to rest at the last, which would have to send it where it has been. */
static void run_ring(int kills)
{
    struct world world;
    struct ledger *ledger = calloc(1, sizeof *ledger);
    pthread_t consumer;

    world_begin(&world, 3);
    for (int i = 0; i < 3; i++)
        say_move(&world, i, "jobs", (i + 1) % 3);
    ptq_queue *first = net_open(world.nets[0].here, "jobs", &wide);
    world_start(&world);
    ledger->queue = open_made(&world, 2, "jobs");
    ledger->expected = MESSAGES;
    put_numbers(first, 0, 1);
    pthread_create(&consumer, NULL, consume, ledger);
    for (int kill = 0; kill < kills; kill++) {
        wait_for(ledger, (uint32_t)(kill + 1) * MESSAGES / (uint32_t)(kills + 1));
        restart(&world, kill % 3);
    }
    pthread_join(consumer, NULL);
    assert_ok(ledger->answer);
    assert_once(ledger, 0, 1);
    assert_int_equal(ledger->least_path, 2);
    assert_int_equal(ledger->most_path, 2);
    for (int i = 0; i < 2; i++)
        wait_until_held(&world, i, "jobs", 0);
    assert_nothing_more(ledger->queue);
    ptq_queue_close(ledger->queue);
    ptq_queue_close(first);
    if (kills == 0) {
        unsigned long long frames = count_frames(&world);
        print_message("%d messages, twice carried each: %llu frames\n", MESSAGES, frames);
        assert_true(frames <= 3 * MESSAGES);
    }
    for (int i = 0; i < 2; i++)
        assert_empty(&world, i, "jobs");
    free(ledger);
    world_end(&world);
}

static void in_a_ring_each_message_comes_to_rest_once(void **state)
{
    (void)state;
    run_ring(0);
}

static void in_a_ring_whose_bridges_are_killed_each_message_comes_to_rest_once(void **state)
{
    (void)state;
    run_ring(6);
}

/* All to all: the next of each is the first in its list that the message has not been at. */
static void run_mesh(int kills)
{
    struct world world;
    struct ledger *ledgers = calloc(NODES_MOST, sizeof *ledgers);
    ptq_queue *sources[NODES_MOST];
    pthread_t consumers[NODES_MOST];
    char name[16];

    world_begin(&world, NODES_MOST);
    for (int i = 0; i < NODES_MOST; i++) {
        for (int j = 0; j < NODES_MOST; j++) {
            snprintf(name, sizeof name, "to-%d", j);
            if (j != i)
                say_move(&world, i, name, j);
        }
        snprintf(name, sizeof name, "to-%d", i);
        ledgers[i].queue = net_open(world.nets[i].here, name, &wide);
        ledgers[i].expected = MESSAGES - MESSAGES / NODES_MOST;
    }
    for (int i = 0; i < NODES_MOST; i++) {
        for (int j = 0; j < NODES_MOST; j++) {
            snprintf(name, sizeof name, "to-%d", j);
            sources[j] = j != i ? net_open(world.nets[i].here, name, &wide) : NULL;
        }
        for (int j = 0; j < NODES_MOST; j++) {
            if (j != i)
                put_numbers(sources[j], (uint32_t)i, NODES_MOST);
            ptq_queue_close(sources[j]);
        }
    }
    world_start(&world);
    for (int i = 0; i < NODES_MOST; i++)
        pthread_create(&consumers[i], NULL, consume, &ledgers[i]);
    for (int kill = 0; kill < kills; kill++) {
        wait_for(&ledgers[kill % NODES_MOST], (uint32_t)(kill + 1) * ledgers[0].expected / (uint32_t)(kills + 1));
        restart(&world, (kill + 1) % NODES_MOST);
    }
    for (int i = 0; i < NODES_MOST; i++)
        pthread_join(consumers[i], NULL);
    for (int i = 0; i < NODES_MOST; i++) {
        assert_ok(ledgers[i].answer);
        for (int j = 0; j < NODES_MOST; j++) {
            if (j != i)
                assert_once(&ledgers[i], (uint32_t)j, NODES_MOST);
        }
        assert_int_equal(ledgers[i].most_path, 1);
        assert_nothing_more(ledgers[i].queue);
        ptq_queue_close(ledgers[i].queue);
    }
    if (kills == 0) {
        unsigned long long frames = count_frames(&world), messages = NODES_MOST * (unsigned long long)ledgers[0].expected;
        print_message("%llu messages: %llu frames\n", messages, frames);
        assert_true(frames <= 3 * messages);
    }
    free(ledgers);
    world_end(&world);
}

static void in_a_mesh_each_message_arrives_once(void **state)
{
    (void)state;
    run_mesh(0);
}

static void in_a_mesh_whose_bridges_are_killed_each_message_arrives_once(void **state)
{
    (void)state;
    run_mesh(5);
}

/* Nobody takes anything but at the end: each message goes on until it has been everywhere. */
static void in_a_mesh_without_aim_each_message_has_been_everywhere_once(void **state)
{
    struct world world;
    struct ledger *ledger = calloc(1, sizeof *ledger);
    (void)state;

    world_begin(&world, NODES_MOST);
    for (int i = 0; i < NODES_MOST; i++) {
        for (int j = 0; j < NODES_MOST; j++) {
            if (j != i)
                say_move(&world, i, "any", j);
        }
    }
    ptq_queue *first = net_open(world.nets[0].here, "any", &wide);
    put_numbers(first, 0, 1);
    world_start(&world);
    ledger->queue = open_made(&world, NODES_MOST - 1, "any"); /* 0, 1, 2, 3, 4: in the order of the options */
    ledger->expected = MESSAGES;
    consume(ledger);
    assert_ok(ledger->answer);
    assert_once(ledger, 0, 1);
    assert_int_equal(ledger->least_path, NODES_MOST - 1);
    assert_int_equal(ledger->most_path, NODES_MOST - 1);
    for (int i = 0; i < NODES_MOST; i++)
        wait_until_held(&world, i, "any", 0);
    ptq_queue_close(ledger->queue);
    ptq_queue_close(first);
    unsigned long long frames = count_frames(&world);
    print_message("%d messages, four times carried each: %llu frames\n", MESSAGES, frames);
    assert_true(frames <= 3 * 4 * MESSAGES);
    for (int i = 0; i < NODES_MOST; i++)
        assert_empty(&world, i, "any");
    free(ledger);
    world_end(&world);
}

/* ---- words ---- */

static void a_move_that_is_none_is_told_so(void **state)
{
    static const char *const moves[] = {"tasks", "tasks=nobody", "a/b=tcp://127.0.0.1:1", "=tcp://127.0.0.1:1", "tasks=tcp://10.1.2.3:7400"};
    char text[2000];
    (void)state;

    for (size_t i = 0; i < sizeof moves / sizeof moves[0]; i++) {
        struct ptt_scratch scratch;
        ptt_scratch_init_dir(&scratch);
        int code = net_run(text, sizeof text, PTQBRIDGE, "--dir %s --listen tcp://127.0.0.1:0 --move '%s'", scratch.dir, moves[i]);
        assert_true(code > 0 && code != 124);
        if (strstr(text, i < 4 ? "move" : "10.1.2.3") == NULL)
            fail_msg("'%s': %s", moves[i], text);
        ptt_scratch_fini(&scratch);
    }
}

static void a_move_to_oneself_is_told_and_moves_nothing(void **state)
{
    struct world world;
    (void)state;

    world_begin(&world, 1);
    say_move(&world, 0, "tasks", 0);
    ptq_queue *queue = net_open(world.nets[0].here, "tasks", NULL);
    assert_ok(ptq_put(queue, "x", 1, PTT_LONG));
    world_start(&world);
    net_log_wait(&world.nets[0], "why=\"this bus is what is served there\"");
    assert_int_equal(ready_in(queue), 1);

    ptq_queue_close(queue);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_a_message_bears_arrives_with_it),
        cmocka_unit_test(denied_names_stay_and_others_arrive_as_they_are_called_there),
        cmocka_unit_test(in_a_mesh_with_renames_and_denies_each_message_comes_to_rest_once),
        cmocka_unit_test(what_finds_no_room_for_its_path_stays_and_is_told),
        cmocka_unit_test(what_is_too_large_to_be_carried_stays_and_is_told),
        cmocka_unit_test(what_an_ended_queue_refuses_stays_for_whoever_takes_it_here),
        cmocka_unit_test(a_full_queue_there_holds_back_and_loses_nothing),
        cmocka_unit_test(in_a_ring_each_message_comes_to_rest_once),
        cmocka_unit_test(in_a_ring_whose_bridges_are_killed_each_message_comes_to_rest_once),
        cmocka_unit_test(in_a_mesh_each_message_arrives_once),
        cmocka_unit_test(in_a_mesh_whose_bridges_are_killed_each_message_arrives_once),
        cmocka_unit_test(in_a_mesh_without_aim_each_message_has_been_everywhere_once),
        cmocka_unit_test(a_move_that_is_none_is_told_so),
        cmocka_unit_test(a_move_to_oneself_is_told_and_moves_nothing),
    };

    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 3);
}
