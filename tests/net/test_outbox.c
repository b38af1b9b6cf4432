/* test_outbox.c -- PTQ_ACK_LOCAL: a put is answered by an outbox of this host, and comes home once, in order, whatever is away or
 * killed meanwhile. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ptq/metrics.h>

#include "base/time.h"
#include "bus/bus.h"
#include "bus/out.h"
#include "net/kit.h"

/* The home, and a far host with a bridge of its own. */
struct hosts {
    struct net net;
    struct net near; /* only its bridge: .home is the far directory */
    ptq_bus *bus;    /* of the far host */
};

static const char *const grace[] = {"--grace", "300ms", NULL};
static const char *const far_name[] = {"--node", "far", NULL};

static ptq_bus *open_far(const struct hosts *hosts, uint32_t outbox)
{
    struct ptq_error error = {0};
    struct ptq_bus_options options = {
        .dir = hosts->net.far.dir, .peers = hosts->net.peers, .node = "far", .outbox = outbox, .error = &error};
    ptq_bus *bus;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK)
        fail_msg("%s", error.text);
    return bus;
}

static int start(void **state)
{
    struct hosts *hosts = calloc(1, sizeof *hosts);

    net_init(&hosts->net, grace);
    net_near_start(&hosts->near, &hosts->net, NULL);
    hosts->bus = open_far(hosts, 0);
    *state = hosts;
    return 0;
}

static int stop(void **state)
{
    struct hosts *hosts = *state;

    ptq_bus_close(hosts->bus);
    net_bridge_kill(&hosts->near);
    net_fini(&hosts->net);
    free(hosts);
    return 0;
}

static ptq_queue *open_here(struct hosts *hosts, uint64_t capacity)
{
    return net_open(hosts->net.here, "tasks", &(struct ptq_queue_options){.capacity = capacity, .item_size = 512});
}

static ptq_queue *open_out(ptq_bus *bus)
{
    return net_open(bus, "tasks@home", &(struct ptq_queue_options){.flags = PTQ_ACK_LOCAL});
}

static void put_numbers(ptq_queue *queue, uint32_t from, uint32_t to)
{
    for (uint32_t number = from; number <= to; number++)
        assert_ok(ptq_put(queue, &number, sizeof number, PTT_LONG));
}

static void get_numbers_of(ptq_queue *queue, uint32_t from, uint32_t to, bool may_be_flagged)
{
    for (uint32_t due = from; due <= to; due++) {
        uint32_t number = 0;
        ptq_msg *msg;
        assert_ok(ptq_get(queue, PTT_LONG, &msg));
        memcpy(&number, ptq_msg_data(msg), sizeof number);
        assert_int_equal(number, due);
        assert_true(may_be_flagged || !ptq_msg_redelivered(msg));
        assert_ok(ptq_ack(msg));
    }
}

static void get_numbers(ptq_queue *queue, uint32_t from, uint32_t to)
{
    get_numbers_of(queue, from, to, false);
}

static void assert_empty(ptq_queue *queue)
{
    ptq_msg *msg;

    assert_answer(PTQ_EMPTY, ptq_get(queue, PTQ_NOWAIT, &msg));
}

static void assert_text(ptq_queue *queue, const char *text)
{
    ptq_msg *msg;

    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_int_equal(ptq_msg_size(msg), strlen(text));
    assert_memory_equal(ptq_msg_data(msg), text, strlen(text));
    assert_ok(ptq_ack(msg));
}

static void puts_are_answered_while_the_home_is_away_and_come_in_order(void **state)
{
    struct hosts *hosts = *state;
    ptq_queue *here = open_here(hosts, 1000), *out = open_out(hosts->bus);

    put_numbers(out, 1, 10);
    assert_ok(ptq_flush(out, PTT_LONG));
    get_numbers(here, 1, 10);
    net_bridge_kill(&hosts->net);
    put_numbers(out, 11, 600);
    assert_answer(PTQ_TIMEDOUT, ptq_flush(out, 50));
    assert_answer(PTQ_FULL, ptq_flush(out, PTQ_NOWAIT));
    net_bridge_start(&hosts->net, grace);
    assert_ok(ptq_flush(out, PTT_LONG));

    get_numbers(here, 11, 600);
    assert_empty(here);
    ptq_queue_close(out);
    ptq_queue_close(here);
}

static void without_a_bridge_one_may_open_and_put_too(void **state)
{
    struct hosts *hosts = *state;
    ptq_queue *here = open_here(hosts, 1000), *out = open_out(hosts->bus), *other;

    assert_int_equal(net_bridge_end(&hosts->near), 0);
    put_numbers(out, 1, 5);
    other = open_out(hosts->bus);
    put_numbers(other, 6, 9);
    net_bridge_start(&hosts->near, far_name);
    assert_ok(ptq_flush(other, PTT_LONG));

    get_numbers(here, 1, 9);
    assert_ok(ptq_put(here, "back", 4, PTT_LONG));
    assert_text(other, "back");
    ptq_queue_close(out);
    ptq_queue_close(other);
    ptq_queue_close(here);
}

static void *put_rest(void *context)
{
    put_numbers(context, 9, 40);
    return NULL;
}

static void a_full_outbox_is_a_full_queue_and_drains_in_order(void **state)
{
    struct hosts *hosts = *state;
    ptq_bus *bus = open_far(hosts, 8);
    ptq_queue *here = open_here(hosts, 1000), *out = open_out(bus);
    struct pollfd fd = {.events = POLLIN};
    char why[400];
    pthread_t thread;
    uint32_t number = 0;

    net_bridge_kill(&hosts->near); /* nothing leaves it */
    put_numbers(out, 1, 8);
    assert_answer(PTQ_FULL, ptq_put(out, &number, sizeof number, PTQ_NOWAIT));
    assert_answer(PTQ_TIMEDOUT, ptq_put(out, &number, sizeof number, 20));
    assert_non_null(strstr(ptq_queue_explain(out, PTQ_FULL, 0, why, sizeof why), "outbox"));
    assert_ok(ptq_queue_fd(out, PTQ_SIDE_PUT, &fd.fd));
    assert_answer(PTQ_FULL, ptq_put(out, &number, sizeof number, PTQ_NOWAIT));
    assert_int_equal(poll(&fd, 1, 0), 0);
    assert_int_equal(pthread_create(&thread, NULL, put_rest, out), 0);
    net_bridge_start(&hosts->near, far_name);
    assert_true(ptt_wait_readable(fd.fd, PTT_LONG));
    pthread_join(thread, NULL);
    assert_ok(ptq_flush(out, PTT_LONG));

    get_numbers(here, 1, 40);
    assert_empty(here);
    ptq_queue_close(out);
    ptq_queue_close(here);
    ptq_bus_close(bus);
}

static void headers_batches_loans_and_the_end_travel(void **state)
{
    struct hosts *hosts = *state;
    ptq_queue *here = open_here(hosts, 100), *out = open_out(hosts->bus);
    struct ptq_header header = {"colour", "green", 5};
    struct ptq_put_options options = {.headers = &header, .header_count = 1};
    struct ptq_bytes items[2] = {{"a", 1}, {"b", 1}};
    ptq_msg *msg, *msgs[2];
    size_t size, count;

    assert_ok(ptq_put_with(out, "head", 4, &options, PTT_LONG));
    assert_ok(ptq_put_many(out, items, 2, PTT_LONG, NULL));
    assert_ok(ptq_loan(out, 8, PTT_LONG, &msg));
    memcpy(ptq_msg_buffer(msg), "loan", 4);
    assert_ok(ptq_publish(msg, 4, PTT_LONG, NULL));
    assert_ok(ptq_loan(out, 8, PTT_LONG, &msg));
    ptq_abort(msg);
    assert_ok(ptq_end(out));
    assert_answer(PTQ_EENDED, ptq_put(out, "x", 1, PTQ_NOWAIT));
    assert_ok(ptq_flush(out, PTT_LONG));

    assert_ok(ptq_get(here, PTT_LONG, &msg));
    assert_memory_equal(ptq_msg_header(msg, "colour", &size), "green", 5);
    assert_ok(ptq_ack(msg));
    assert_ok(ptq_get_many(here, msgs, 2, 2, PTT_LONG, &count));
    assert_int_equal(ptq_msg_position(msgs[0]), ptq_msg_position(msgs[1]));
    assert_ok(ptq_ack_many(msgs, 2));
    assert_text(here, "loan");
    assert_answer(PTQ_END, ptq_get(here, PTT_LONG, &msg));
    ptq_queue_close(out);
    ptq_queue_close(here);
}

static void assert_refused(struct hosts *hosts, const char *text, const char *why)
{
    ptq_queue *refused = net_open(hosts->bus, "tasks.refused@self", &(struct ptq_queue_options){.mode = PTQ_ATTACH});
    const char *header;
    size_t size;
    ptq_msg *msg;

    assert_ok(ptq_get(refused, PTT_LONG, &msg));
    assert_int_equal(ptq_msg_size(msg), strlen(text));
    assert_memory_equal(ptq_msg_data(msg), text, strlen(text));
    header = ptq_msg_header(msg, "ptq.refused", &size);
    assert_non_null(header);
    assert_memory_equal(header, why, strlen(why));
    assert_ok(ptq_ack(msg));
    assert_empty(refused);
    ptq_queue_close(refused);
}

static void what_the_home_refuses_is_kept_here_and_told_by_flush(void **state)
{
    struct hosts *hosts = *state;
    ptq_queue *here = open_here(hosts, 100), *out = open_out(hosts->bus);
    char why[400];

    assert_ok(ptq_put(out, "good", 4, PTT_LONG));
    assert_ok(ptq_flush(out, PTT_LONG));
    assert_ok(ptq_end(here));
    assert_ok(ptq_put(out, "late", 4, PTT_LONG));
    assert_answer(PTQ_EENDED, ptq_flush(out, PTT_LONG));
    assert_non_null(strstr(ptq_queue_explain(out, PTQ_EENDED, 0, why, sizeof why), "tasks.refused"));
    assert_ok(ptq_flush(out, PTT_LONG)); /* it was told */

    assert_refused(hosts, "late", "PTQ_EENDED");
    assert_text(here, "good");
    ptq_queue_close(out);
    ptq_queue_close(here);
}

static bool has_refused(void *context)
{
    return ptq_flush(context, PTT_LONG) == PTQ_ELATE;
}

static void what_outlives_its_time_on_the_way_is_kept_here(void **state)
{
    struct hosts *hosts = *state;
    ptq_queue *here = open_here(hosts, 100), *out = open_out(hosts->bus);
    struct ptq_put_options options = {.ttl_ms = 30};

    net_bridge_kill(&hosts->near);
    assert_ok(ptq_put_with(out, "brief", 5, &options, PTT_LONG));
    assert_ok(ptq_put(out, "long", 4, PTT_LONG));
    int64_t until = pti_now_ns() + 40 * PTI_NS_PER_MS;
    while (pti_now_ns() < until) /* it is time itself that has to pass */
        usleep(1000);
    net_bridge_start(&hosts->near, far_name);
    assert_text(here, "long");

    assert_true(ptt_wait_until(has_refused, out, PTT_LONG));
    assert_refused(hosts, "brief", "PTQ_ELATE");
    assert_empty(here);
    ptq_queue_close(out);
    ptq_queue_close(here);
}

static void what_is_delayed_waits_here_and_flush_does_not_wait_for_it(void **state)
{
    struct hosts *hosts = *state;
    ptq_queue *here = open_here(hosts, 100), *out = open_out(hosts->bus);
    struct ptq_put_options options = {.delay_ms = 3600000}, soon = {.delay_ms = 300};

    assert_ok(ptq_put_with(out, "later", 5, &options, PTT_LONG));
    assert_ok(ptq_put(out, "now", 3, PTT_LONG));
    assert_ok(ptq_flush(out, PTT_LONG));
    assert_text(here, "now");
    assert_empty(here);
    int64_t due = pti_now_ns() + 300 * PTI_NS_PER_MS;
    assert_ok(ptq_put_with(out, "soon", 4, &soon, PTT_LONG));
    assert_ok(ptq_flush(out, PTT_LONG));
    assert_text(here, "soon");
    assert_true(pti_now_ns() >= due);
    assert_empty(here);
    ptq_queue_close(out);
    ptq_queue_close(here);
}

/* ---- who dies */

struct producer {
    struct hosts *hosts;
    struct ptt_page *page;
    uint32_t which, count;
};

/* Writes down what it was answered; more than that may have been put. */
static int produce(void *context)
{
    struct producer *producer = context;
    ptq_bus *bus = open_far(producer->hosts, 0);
    ptq_queue *out = open_out(bus);

    for (uint32_t i = 1; i <= producer->count; i++) {
        uint32_t words[2] = {producer->which, i};
        if (ptq_put(out, words, sizeof words, 2 * PTT_LONG) != PTQ_OK)
            return 1;
        producer->page->words[producer->which] = i;
    }
    ptq_queue_close(out);
    ptq_bus_close(bus);
    return 0;
}

struct came {
    ptq_queue *queue;
    uint32_t next[2]; /* all before it came */
    unsigned flagged;
    _Atomic bool over;
    char why[100];
};

static void note(struct came *came, ptq_msg *msg)
{
    uint32_t words[2];

    memcpy(words, ptq_msg_data(msg), sizeof words);
    came->flagged += ptq_msg_redelivered(msg);
    if (words[1] == came->next[words[0]])
        came->next[words[0]]++;
    else if (!(words[1] < came->next[words[0]] && ptq_msg_redelivered(msg)) && came->why[0] == '\0')
        snprintf(came->why, sizeof came->why, "of %u came %u where %u was due", words[0], words[1], came->next[words[0]]);
}

static void *consume(void *context)
{
    struct came *came = context;
    ptq_msg *msg;

    while (!atomic_load(&came->over)) {
        if (ptq_get(came->queue, 50, &msg) != PTQ_OK)
            continue;
        note(came, msg);
        if (ptq_ack(msg) != PTQ_OK)
            snprintf(came->why, sizeof came->why, "an ack failed");
    }
    return NULL;
}

static void restart(struct net *net, const char *const *options)
{
    net_bridge_kill(net);
    net_bridge_start(net, options);
}

static void whoever_is_killed_at_random_nothing_is_lost_or_doubled(void **state)
{
    struct hosts *hosts = *state;
    struct came came = {.queue = open_here(hosts, 256), .next = {1, 1}};
    struct ptt_page *page = ptt_page_new();
    struct producer producers[2] = {{hosts, page, 0, 4000}, {hosts, page, 1, 1u << 30}};
    ptq_queue *out = open_out(hosts->bus);
    uint64_t seed = ptt_seed();
    unsigned kills[2] = {0};
    pthread_t consumer;
    pid_t pids[2];

    assert_int_equal(pthread_create(&consumer, NULL, consume, &came), 0);
    for (int i = 0; i < 2; i++)
        pids[i] = ptt_fork(produce, &producers[i]);
    for (uint64_t at = 300; at < 3900; at += 150 + ptt_random(&seed) % 300) {
        assert_true(ptt_wait_word(&page->words[0], at, 2 * PTT_LONG));
        bool home = ptt_random(&seed) % 2 != 0;
        if (home)
            restart(&hosts->net, grace);
        else
            restart(&hosts->near, far_name);
        kills[home]++;
    }
    ptt_kill(pids[1]); /* in the middle of its work */
    ptt_assert_exit(pids[0], 0, 2 * PTT_LONG);
    assert_ok(ptq_flush(out, 2 * PTT_LONG));
    struct ptq_queue_stats stats;
    int64_t end = pti_deadline(PTT_LONG);
    do {
        assert_true(pti_now_ns() < end);
        assert_ok(ptq_queue_stats(came.queue, &stats));
    } while (stats.ready + stats.leased > 0);
    atomic_store(&came.over, true);
    pthread_join(consumer, NULL);

    if (came.why[0] != '\0')
        fail_msg("%s", came.why);
    assert_int_equal(came.next[0], 4001);
    assert_in_range(came.next[1], page->words[1] + 1, page->words[1] + 2);
    print_message("near_kills=%u home_kills=%u messages=%u flagged=%u lost=0 doubled=0\n", kills[0], kills[1],
                  came.next[0] + came.next[1] - 2, came.flagged);
    ptt_page_free(page);
    ptq_queue_close(out);
    ptq_queue_close(came.queue);
}

static void a_stopped_bridge_holds_up_nothing_but_the_carrying(void **state)
{
    struct hosts *hosts = *state;
    ptq_queue *here = open_here(hosts, 1000), *out = open_out(hosts->bus);

    ptt_stop(hosts->near.bridge);
    put_numbers(out, 1, 300);
    ptt_continue(hosts->near.bridge);
    ptt_stop(hosts->net.bridge);
    put_numbers(out, 301, 600);
    ptt_continue(hosts->net.bridge);
    assert_ok(ptq_flush(out, PTT_LONG));
    get_numbers(here, 1, 600);
    assert_empty(here);
    ptq_queue_close(out);
    ptq_queue_close(here);
}

static void a_second_bridge_carries_on_when_the_first_is_killed(void **state)
{
    struct hosts *hosts = *state;
    struct net second;
    ptq_queue *here = open_here(hosts, 1000), *out = open_out(hosts->bus);

    net_near_start(&second, &hosts->net, NULL);
    put_numbers(out, 1, 100);
    net_bridge_kill(&hosts->near);
    put_numbers(out, 101, 200);
    assert_ok(ptq_flush(out, PTT_LONG));
    get_numbers_of(here, 1, 200, true); /* killed between its open and its first put, the first has told its home nothing yet */
    assert_empty(here);
    net_bridge_kill(&second);
    ptq_queue_close(out);
    ptq_queue_close(here);
}

/* ---- how it is seen and refused */

static void run_ptq(const struct hosts *hosts, const char *command, char *text, size_t size)
{
    (void)net_run(text, size, PTQ, "--dir %s --run test %s", hosts->net.far.dir, command);
}

#define REFUSED_MOST 10000

/* All but `room` of what the queue of the refused takes. */
static ptq_queue *fill_refused(ptq_bus *bus, size_t room)
{
    static struct ptq_bytes items[REFUSED_MOST];
    struct ptq_queue_options options = {.capacity = REFUSED_MOST, .item_size = 512, .header_size = PTQ_HEADERS_MAX,
                                        .max_deliveries = PTQ_NEVER};
    ptq_queue *refused = net_open(bus, "tasks.refused@self", &options);

    for (size_t i = 0; i < REFUSED_MOST; i++)
        items[i] = (struct ptq_bytes){.data = "old", .size = 3};
    assert_ok(ptq_put_many(refused, items, REFUSED_MOST - room, PTT_LONG, NULL));
    return refused;
}

/* Counts those of this text. */
static size_t drain(ptq_queue *queue, const char *text, size_t *all)
{
    ptq_msg *msgs[500];
    size_t those = 0, count = 0;

    while (ptq_get_many(queue, msgs, 1, 500, PTQ_NOWAIT, &count) == PTQ_OK) {
        for (size_t i = 0; i < count; i++) {
            those += ptq_msg_size(msgs[i]) == strlen(text) && memcmp(ptq_msg_data(msgs[i]), text, strlen(text)) == 0;
            assert_ok(ptq_ack(msgs[i]));
        }
        *all += count;
    }
    return those;
}

struct watched {
    uint64_t refused;
    char why[256];
};

static bool note_watched(const struct ptq_outbox *outbox, void *context)
{
    struct watched *watched = context;

    watched->refused = outbox->refused;
    snprintf(watched->why, sizeof watched->why, "%s", outbox->why);
    return false;
}

static bool is_stuck(void *context)
{
    struct watched watched = {0};

    assert_ok(ptq_bus_list_outboxes(context, note_watched, &watched));
    return watched.refused == 2 && strstr(watched.why, "takes no more") != NULL;
}

/* What the home refuses must have a place here before it leaves the outbox.  So a list that nobody reads stops it, its putters hear of
 * that, and whoever reads the list lets it go on. */
static void a_full_list_of_the_refused_stops_the_outbox_until_it_is_read(void **state)
{
    struct hosts *hosts = *state;
    ptq_queue *here = open_here(hosts, 100), *refused = fill_refused(hosts->bus, 2);
    ptq_bus *small = open_far(hosts, 8);
    ptq_queue *out = open_out(small);
    char text[4000];
    size_t put = 0, all = 0;
    enum ptq_err answer;

    assert_ok(ptq_end(here));
    while ((answer = ptq_put(out, "new", 3, put < 2 ? PTT_LONG : 500)) == PTQ_OK)
        put++;
    assert_true(ptt_wait_until(is_stuck, hosts->bus, PTT_LONG));
    while ((answer = ptq_put(out, "new", 3, 500)) == PTQ_OK)
        put++;
    assert_answer(PTQ_TIMEDOUT, answer);
    assert_in_range(put, 10, 2 + 128 + 8); /* in the list, with the carrier, in the outbox */
    ptt_assert_says(ptq_queue_explain(out, answer, 500, text, sizeof text), "'tasks.refused' of what was refused takes no more");
    assert_answer(PTQ_TIMEDOUT, ptq_flush(out, 100));
    run_ptq(hosts, "ls -l", text, sizeof text);
    ptt_assert_says(text, "waits: the queue 'tasks.refused' of what was refused takes no more (PTQ_FULL): read it");

    assert_int_equal(drain(refused, "old", &all), REFUSED_MOST - 2);
    assert_true(all >= REFUSED_MOST); /* and more, if its bridge tries again meanwhile */
    answer = ptq_flush(out, PTT_LONG);
    assert_answer(PTQ_EENDED, answer);
    assert_ok(ptq_flush(out, PTT_LONG));
    assert_int_equal(drain(refused, "old", &all), 0);
    assert_int_equal(all, REFUSED_MOST - 2 + put);
    ptq_queue_close(out);
    ptq_bus_close(small);
    ptq_queue_close(refused);
    ptq_queue_close(here);
}

static bool note_outbox(const struct ptq_outbox *outbox, void *context)
{
    char *text = context;

    snprintf(text, 400, "%s %s %llu %llu", outbox->name, outbox->target, (unsigned long long)outbox->moved,
             (unsigned long long)outbox->refused);
    return true;
}

static void outboxes_are_listed_and_looked_into_but_are_no_queues_of_users(void **state)
{
    struct hosts *hosts = *state;
    ptq_queue *here = open_here(hosts, 1000), *out = open_out(hosts->bus), *direct = NULL;
    struct ptq_queue_stats stats;
    char text[400] = "", name[64];
    ptq_view *view;

    put_numbers(out, 1, 3);
    assert_ok(ptq_flush(out, PTT_LONG));
    net_bridge_kill(&hosts->near);
    put_numbers(out, 4, 5);
    assert_ok(ptq_bus_list_outboxes(hosts->bus, note_outbox, text));
    assert_non_null(strstr(text, "/test/tasks 3 0"));
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, " "), text);
    assert_ok(ptq_view_open(hosts->bus, name, NULL, &view));
    assert_ok(ptq_view_stats(view, &stats));
    assert_int_equal(stats.ready + stats.leased, 2);
    ptq_view_close(view);
    assert_answer(PTQ_EINVAL, ptq_queue_open(hosts->bus, name, NULL, &direct));
    ptq_queue_close(out);
    ptq_queue_close(here);
}

static void large_messages_go_in_their_turn(void **state)
{
    struct hosts *hosts = *state;
    size_t sizes[] = {100, 20u << 20, 200, 5u << 20, 300000, 10};
    struct ptq_queue_options large = {.item_size = 20u << 20, .capacity = 8};
    ptq_queue *here = net_open(hosts->net.here, "tasks", &large), *out = open_out(hosts->bus);
    uint8_t *bytes = malloc(sizes[1]);
    ptq_msg *msg;

    for (size_t i = 0; i < sizes[1]; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 4099);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        assert_ok(ptq_put(out, bytes, sizes[i], PTT_LONG));
    assert_ok(ptq_flush(out, PTT_LONG));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_ok(ptq_get(here, PTT_LONG, &msg));
        assert_int_equal(ptq_msg_size(msg), sizes[i]);
        assert_memory_equal(ptq_msg_data(msg), bytes, sizes[i]);
        assert_ok(ptq_ack(msg));
    }
    free(bytes);
    ptq_queue_close(out);
    ptq_queue_close(here);
}

/* What `ptq COMMAND` prints on the far host. */
static void the_tools_show_outboxes(void **state)
{
    struct hosts *hosts = *state;
    ptq_queue *here = open_here(hosts, 1000), *out = open_out(hosts->bus);
    char text[4000] = "", name[64] = "", command[100];

    put_numbers(out, 1, 3);
    assert_ok(ptq_flush(out, PTT_LONG));
    run_ptq(hosts, "ls -l", text, sizeof text);
    ptt_assert_says(text, "/test/tasks");
    ptt_assert_says(text, "carried");
    net_bridge_kill(&hosts->near);
    assert_ok(ptq_put(out, "lying there", 11, PTT_LONG));
    run_ptq(hosts, "ls -l", text, sizeof text);
    ptt_assert_says(text, "no ptqbridge carries it");
    assert_int_equal(sscanf(strstr(text, "~out."), "%60s", name), 1);
    snprintf(command, sizeof command, "peek '%s'", name);
    run_ptq(hosts, command, text, sizeof text);
    ptt_assert_says(text, "lying there");
    snprintf(command, sizeof command, "info '%s'", name);
    run_ptq(hosts, command, text, sizeof text);
    ptt_assert_says(text, "65536");
    ptq_queue_close(out);
    ptq_queue_close(here);
}

static void what_cannot_be_meant_is_refused_clearly(void **state)
{
    struct hosts *hosts = *state;
    struct ptq_error error = {0};
    struct ptq_queue_options both = {.flags = PTQ_ACK_LOCAL | PTQ_DIRECT, .error = &error};
    struct ptq_bus_options many = {.dir = hosts->net.far.dir, .outbox = UINT32_MAX, .error = &error};
    struct ptq_bytes items[101];
    ptq_queue *queue = NULL, *here = open_here(hosts, 100);
    ptq_bus *bus = NULL;

    assert_answer(PTQ_EINVAL, ptq_queue_open(hosts->bus, "tasks@home", &both, &queue));
    assert_non_null(strstr(error.text, "PTQ_DIRECT"));
    assert_answer(PTQ_EINVAL, ptq_bus_open("test", &many, &bus));
    assert_answer(PTQ_ENOENT, ptq_queue_open(hosts->bus, "none@home",
                                            &(struct ptq_queue_options){.mode = PTQ_ATTACH, .flags = PTQ_ACK_LOCAL}, &queue));
    queue = net_open(hosts->bus, "local@self", &(struct ptq_queue_options){.flags = PTQ_ACK_LOCAL}); /* it is here */
    assert_ok(ptq_put(queue, "x", 1, PTQ_NOWAIT));
    ptq_queue_close(queue);
    queue = open_out(hosts->bus);
    for (int i = 0; i < 101; i++)
        items[i] = (struct ptq_bytes){"x", 1};
    assert_answer(PTQ_ETOOBIG, ptq_put_many(queue, items, 101, PTQ_NOWAIT, NULL));
    assert_answer(PTQ_EMSGSIZE, ptq_put(queue, items, 513, PTQ_NOWAIT));
    ptq_queue_close(queue);
    ptq_queue_close(here);
}

/* W32 */
static void an_outbox_goes_only_when_it_is_empty_and_nobody_has_it(void **state)
{
    struct hosts *hosts = *state;
    ptq_queue *here = open_here(hosts, 100), *out = open_out(hosts->bus);
    struct pti_out_map map;
    char text[400] = "", key[17];

    put_numbers(out, 1, 3);
    assert_ok(ptq_flush(out, PTT_LONG));
    net_bridge_kill(&hosts->near);
    assert_ok(ptq_bus_list_outboxes(hosts->bus, note_outbox, text));
    snprintf(key, sizeof key, "%.16s", text + strlen("~out."));
    assert_ok(pti_out_open(hosts->bus, key, &map));
    assert_false(pti_out_remove(hosts->bus, key, &map));
    assert_true(pti_out_is_named(hosts->bus, key, &map));
    put_numbers(out, 4, 4);
    ptq_queue_close(out);
    assert_false(pti_out_remove(hosts->bus, key, &map));
    net_bridge_start(&hosts->near, far_name);
    get_numbers(here, 1, 4);
    out = open_out(hosts->bus);
    assert_ok(ptq_flush(out, PTT_LONG));
    ptq_queue_close(out);
    net_bridge_kill(&hosts->near);
    assert_true(pti_out_remove(hosts->bus, key, &map));
    pti_out_close(&map);
    ptq_queue_close(here);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(puts_are_answered_while_the_home_is_away_and_come_in_order),
        CASE(without_a_bridge_one_may_open_and_put_too),
        CASE(a_full_outbox_is_a_full_queue_and_drains_in_order),
        CASE(headers_batches_loans_and_the_end_travel),
        CASE(what_the_home_refuses_is_kept_here_and_told_by_flush),
        CASE(what_outlives_its_time_on_the_way_is_kept_here),
        CASE(what_is_delayed_waits_here_and_flush_does_not_wait_for_it),
        CASE(whoever_is_killed_at_random_nothing_is_lost_or_doubled),
        CASE(a_stopped_bridge_holds_up_nothing_but_the_carrying),
        CASE(a_second_bridge_carries_on_when_the_first_is_killed),
        CASE(outboxes_are_listed_and_looked_into_but_are_no_queues_of_users),
        CASE(large_messages_go_in_their_turn),
        CASE(the_tools_show_outboxes),
        CASE(what_cannot_be_meant_is_refused_clearly),
        CASE(a_full_list_of_the_refused_stops_the_outbox_until_it_is_read),
        CASE(an_outbox_goes_only_when_it_is_empty_and_nobody_has_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
