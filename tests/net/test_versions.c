/* test_versions.c -- peers of other versions: what both speak is agreed on, or both are told, and their logs say so. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ptq/version.h>

#include "net/both.h"
#include "net/raw.h"
#include "unit/wire/conversation.h"
#include "wire/record.h"

static void say_hello(struct raw *raw, uint32_t version_min, uint32_t version_max)
{
    struct pti_hello hello = {.version_min = version_min, .version_max = version_max, .session = {(uint8_t)version_max},
                              .limits = pti_limits_own()};

    raw_say_hello(raw, &hello, 0);
}

static void say_ask(struct raw *raw, const char *name)
{
    struct pti_directory_ask ask = {0};
    uint8_t bytes[PTI_CONTROL_BYTES];

    snprintf(ask.name, sizeof ask.name, "%s", name);
    size_t size = pti_directory_ask_pack(&ask, bytes, sizeof bytes);
    raw_say(raw, &(struct pti_frame){.type = PTI_FRAME_DIRECTORY, .channel = 3, .number = 1, .length = (uint32_t)size,
                                     .payload = bytes});
}

/* A file of a bus directory or of its bridge, as it is now. */
static void read_file(const char *dir, const char *name, char *text, size_t size)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, size - 1) : 0;
    text[got > 0 ? got : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

struct search {
    const char *dir, *name, *text;
};

static bool stands_there(void *context)
{
    static char text[20000];
    const struct search *search = context;

    read_file(search->dir, search->name, text, sizeof text);
    return strstr(text, search->text) != NULL;
}

static void assert_found(const char *dir, const char *name, const char *text)
{
    struct search search = {dir, name, text};

    if (!ptt_wait_until(stands_there, &search, PTT_LONG))
        fail_msg("%s/%s does not say '%s'", dir, name, text);
}

/* ---- peers that dial ---- */

static void assert_agreed(uint32_t version_max, uint32_t agreed)
{
    struct pti_frame frame;
    struct pti_hello hello;
    struct raw raw;

    raw_dial(&raw, net.url);
    say_hello(&raw, 1, version_max);
    raw_expect(&raw, PTI_FRAME_HELLO, &frame);
    assert_int_equal(frame.version, 1); /* for ever */
    assert_ok(pti_hello_unpack(frame.payload, frame.length, &hello));
    assert_int_equal(hello.version, agreed);
    raw.version = (uint8_t)agreed;
    say_ask(&raw, "some");
    raw_expect(&raw, PTI_FRAME_DIRECTORY, &frame);
    assert_int_equal(frame.version, agreed);
    raw_close(&raw);
}

static void the_lower_of_the_newest_versions_is_spoken(void **state)
{
    (void)state;

    assert_agreed(1, 1);
    assert_agreed(PTQ_WIRE_VERSION, PTQ_WIRE_VERSION);
    assert_agreed(PTQ_WIRE_VERSION + 7, PTQ_WIRE_VERSION);
}

static void a_peer_that_shares_no_version_is_told_both(void **state)
{
    struct pti_error_message error;
    struct pti_frame frame;
    struct raw raw;
    (void)state;

    raw_dial(&raw, net.url);
    say_hello(&raw, PTQ_WIRE_VERSION + 1, PTQ_WIRE_VERSION + 1);
    assert_true(raw_next(&raw, &frame));
    assert_int_equal(frame.type, PTI_FRAME_ERROR);
    assert_ok(pti_error_unpack(frame.payload, frame.length, &error));
    assert_int_equal(error.code, PTQ_EVERSION);
    assert_non_null(strstr(error.text, "wire versions 4 to 4 are spoken there, 1 to 3 here; update the older side"));
    assert_false(raw_next(&raw, &frame));
    raw_close(&raw);

    assert_found(net.home.dir, "bridge.log", "code=PTQ_EVERSION why=\"wire versions 4 to 4 are spoken there, 1 to 3 here");
}

static void open_again(struct raw *raw, const struct pti_open_message *asked, enum pti_frame_type expected)
{
    uint8_t bytes[PTI_CONTROL_BYTES];
    struct pti_frame frame;
    size_t size = pti_open_pack(asked, bytes, sizeof bytes);

    raw_say(raw, &(struct pti_frame){.type = PTI_FRAME_OPEN, .channel = 1, .length = (uint32_t)size, .payload = bytes});
    assert_true(raw_next(raw, &frame));
    assert_int_equal(frame.type, expected);
}

/* Asked again, for its answer was lost, it is answered; another queue, run or side of it under its number is nonsense. */
static void a_channel_is_of_one_queue(void **state)
{
    const struct pti_open_message other[] = {{.name = "two"}, {.name = "one", .run = "else"}, {.name = "one", .letters = true}};
    (void)state;

    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        struct pti_frame frame;
        struct raw raw;
        raw_dial(&raw, net.url);
        say_hello(&raw, 1, 1);
        raw_expect(&raw, PTI_FRAME_HELLO, &frame);
        open_again(&raw, &(struct pti_open_message){.name = "one"}, PTI_FRAME_OPEN);
        open_again(&raw, &(struct pti_open_message){.name = "one", .run = "test"}, PTI_FRAME_OPEN);
        open_again(&raw, &other[i], PTI_FRAME_ERROR);
        assert_false(raw_next(&raw, &frame));
        raw_close(&raw);
    }
}

/* ---- a recorded peer of version 1 ---- */

static void assert_says_nothing_new(const struct pti_frame *frame)
{
    static const uint8_t none[PTI_NODE_ID_BYTES];
    struct pti_directory directory;
    struct pti_opened opened;
    struct pti_hello hello;

    if (frame->type == PTI_FRAME_HELLO) {
        assert_ok(pti_hello_unpack(frame->payload, frame->length, &hello));
        assert_true(hello.version == 1 && hello.generation == 0 && hello.token_value == 0 && hello.attempt == 0);
        assert_memory_equal(hello.node_id, none, sizeof none);
    } else if (frame->type == PTI_FRAME_OPEN) {
        assert_ok(pti_opened_unpack(frame->payload, frame->length, &opened));
        assert_false(opened.streams || opened.stream_known || opened.stream_floor != 0);
    } else if (frame->type == PTI_FRAME_DIRECTORY) {
        assert_ok(pti_directory_unpack(frame->payload, frame->length, &directory));
        assert_true(directory.incarnation == 0 && directory.ttl_ms == 0);
        assert_memory_equal(directory.node_id, none, sizeof none);
        free(directory.names);
    }
}

static bool is_left_out(const char *name)
{
    return strcmp(name, "close") == 0 || strcmp(name, "goaway") == 0;
}

/* What a far side of version 1 said is said to this home: it answers everything, in that version. */
static void a_recorded_peer_of_version_1_is_served(void **state)
{
    static struct conversation said;
    bool seen[256] = {false};
    struct pti_frame frame;
    struct raw raw;
    (void)state;

    conversation_read(&said, RECORDED);
    raw_dial(&raw, net.url);
    for (size_t i = 0; i < said.count; i++) {
        if (said.said[i].side == '>' && !is_left_out(said.said[i].name))
            raw_send(&raw, said.said[i].bytes, said.said[i].size);
    }
    say_ask(&raw, "recorded"); /* behind all that */
    while (!(seen[PTI_FRAME_HELLO] && seen[PTI_FRAME_OPEN] && seen[PTI_FRAME_RESULT] && seen[PTI_FRAME_MESSAGES] &&
             seen[PTI_FRAME_DIRECTORY] && seen[PTI_FRAME_STATS])) {
        assert_true(raw_next(&raw, &frame));
        assert_int_equal(frame.version, 1);
        assert_true((frame.flags & ~(PTI_FRAME_REPLY | PTI_FRAME_MORE)) == 0);
        assert_true(frame.type != PTI_FRAME_ERROR || frame.channel == 2); /* refused, not taken for nonsense */
        assert_says_nothing_new(&frame);
        seen[frame.type] = true;
    }
    ptq_queue *queue = net_open(net.here, "recorded", NULL);
    struct ptq_queue_stats stats;
    assert_ok(ptq_queue_stats(queue, &stats));
    assert_int_equal(stats.put, 4); /* one, two at once, one in pieces */
    assert_true(stats.ended);
    ptq_queue_close(queue);
    raw_close(&raw);
}

/* A version that took 32 bits for the number of messages is not understood to have asked for `more`. */
static void a_peer_of_version_1_that_takes_all_there_is_waits_as_it_asked(void **state)
{
    static const uint8_t take[PTI_TAKE_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct pti_open_message asked = {.name = "dry"};
    uint8_t bytes[PTI_CONTROL_BYTES];
    struct pti_frame frame;
    struct raw raw;
    ptq_queue *queue = net_open(net.here, "dry", NULL);
    ptq_msg *held;
    (void)state;

    assert_ok(ptq_put(queue, "x", 1, PTQ_NOWAIT));
    assert_ok(ptq_get(queue, PTQ_NOWAIT, &held)); /* leased by another: only `more` goes without it at the end */
    assert_ok(ptq_end(queue));
    raw_dial(&raw, net.url);
    say_hello(&raw, 1, 1);
    raw_expect(&raw, PTI_FRAME_HELLO, &frame);
    size_t size = pti_open_pack(&asked, bytes, sizeof bytes);
    raw_say(&raw, &(struct pti_frame){.type = PTI_FRAME_OPEN, .channel = 1, .length = (uint32_t)size, .payload = bytes});
    raw_expect(&raw, PTI_FRAME_OPEN, &frame);
    raw_say(&raw, &(struct pti_frame){.type = PTI_FRAME_TAKE, .channel = 1, .number = 1, .length = sizeof take, .payload = take});
    say_ask(&raw, "dry"); /* is answered after the take, if that is */
    raw_expect(&raw, PTI_FRAME_DIRECTORY, &frame);
    assert_ok(ptq_nack(held, 0));
    raw_expect(&raw, PTI_FRAME_MESSAGES, &frame);
    raw_close(&raw);
    ptq_queue_close(queue);
}

/* ---- homes of other versions ---- */

/* Serves links by hand, one after the other, in a thread: asserts nothing. */
struct hand {
    char url[64];
    int listener;
    _Atomic bool stops;
    bool (*serve)(struct raw *raw, const struct pti_frame *frame); /* false: the link is to be ended */
    pthread_t thread;
};

static void *serve_links(void *context)
{
    struct hand *hand = context;

    while (!atomic_load(&hand->stops)) {
        struct pti_frame frame;
        struct raw raw;
        if (!ptt_wait_readable(hand->listener, 20))
            continue;
        raw_accept(&raw, hand->listener);
        while (!atomic_load(&hand->stops) && raw_next(&raw, &frame) && hand->serve(&raw, &frame))
            ;
        raw_close(&raw);
    }
    return NULL;
}

static void hand_start(struct hand *hand, bool (*serve)(struct raw *raw, const struct pti_frame *frame))
{
    *hand = (struct hand){.serve = serve};
    hand->listener = raw_listen(hand->url, sizeof hand->url);
    assert_int_equal(pthread_create(&hand->thread, NULL, serve_links, hand), 0);
}

static void hand_stop(struct hand *hand)
{
    atomic_store(&hand->stops, true);
    pthread_join(hand->thread, NULL);
    close(hand->listener);
}

/* As this library would refuse it, were it a later one. */
static bool refuse(struct raw *raw, const struct pti_frame *frame)
{
    struct pti_error_message error = {PTQ_EVERSION, "wire versions 1 to 2 are spoken there, 3 to 4 here; update the older side"};
    uint8_t bytes[PTI_CONTROL_BYTES];
    (void)frame;

    raw_say(raw, &(struct pti_frame){.type = PTI_FRAME_ERROR, .length = (uint32_t)pti_error_pack(&error, bytes, sizeof bytes),
                                     .payload = bytes});
    return false;
}

/* One that does not care what is asked. */
static bool answer_in_version_4(struct raw *raw, const struct pti_frame *frame)
{
    struct pti_hello hello;

    if (frame->type != PTI_FRAME_HELLO || pti_hello_unpack(frame->payload, frame->length, &hello) != PTQ_OK)
        return false;
    hello.version_min = hello.version_max = hello.version = PTQ_WIRE_VERSION + 1;
    hello.incarnation = 5;
    raw_say_hello(raw, &hello, PTI_FRAME_REPLY);
    raw->version = PTQ_WIRE_VERSION + 1;
    return true; /* until it is hung up */
}

static void assert_refused(const char *url, const char *name, enum ptq_open_mode mode, const char *via, const char *text)
{
    char peers[100];
    struct ptq_error error = {0};
    struct ptq_queue_options options = {.mode = mode, .error = &error};
    ptq_queue *queue = NULL;
    ptq_bus *bus;

    snprintf(peers, sizeof peers, "new=%s", url);
    struct ptq_bus_options far = {.dir = net.far.dir, .peers = peers, .node = "far", .via = via};
    assert_ok(ptq_bus_open("test", &far, &bus));
    assert_answer(PTQ_EVERSION, ptq_queue_open(bus, name, &options, &queue));
    if (strstr(error.text, text) == NULL)
        fail_msg("it is not said why: %s", error.text);
    assert_true(strstr(error.text, url) != NULL && strstr(error.text, "update the older side") != NULL);
    ptq_bus_close(bus);
}

/* The far host's own bridge, which asks that home for names, and goes there for programs. */
static void start_near(struct net *near, const char *url)
{
    char peer[100];

    snprintf(peer, sizeof peer, "new=%s", url);
    net_near_start(near, &net, (const char *const[]){"--peer", peer, NULL});
}

static void assert_told_everywhere(bool (*serve)(struct raw *, const struct pti_frame *), const char *text)
{
    struct hand hand;
    struct net near;
    char line[200];

    hand_start(&hand, serve);
    assert_refused(hand.url, "some@new", PTQ_OPEN_OR_CREATE, NULL, text);
    assert_refused(hand.url, "some", PTQ_OPEN_OR_CREATE, NULL, text);
    assert_refused(hand.url, "some", PTQ_CREATE, NULL, text);
    start_near(&near, hand.url);
    assert_refused(hand.url, "some@new", PTQ_OPEN_OR_CREATE, "bridge", text);
    snprintf(line, sizeof line, "component=peer event=down peer=new url=%s why=\"", hand.url);
    assert_found(net.far.dir, "bridge.log", line);
    assert_found(net.far.dir, "bridge.log", text);
    net_bridge_kill(&near);
    hand_stop(&hand);
}

static void a_home_that_is_too_new_is_named_with_both_versions(void **state)
{
    (void)state;

    assert_told_everywhere(refuse, "wire versions 1 to 2 are spoken there, 3 to 4 here");
}

static void a_home_that_answers_in_an_unknown_version_is_not_gone_on_with(void **state)
{
    (void)state;

    assert_told_everywhere(answer_in_version_4, "wire version 4 is spoken there, 1 to 3 here");
}

/* ---- directories of both ---- */

static struct conversation recorded;

static void answer_ask(struct raw *raw, const struct pti_frame *frame)
{
    struct pti_directory nothing = {.node = "home", .run = "test", .served = true};
    struct pti_frame answer = conversation_find(&recorded, '<', "directory");
    struct pti_directory_ask ask;
    uint8_t bytes[PTI_CONTROL_BYTES];

    if (pti_directory_ask_unpack(frame->payload, frame->length, &ask) != PTQ_OK)
        return;
    if (ask.after[0] != '\0' || (ask.name[0] != '\0' && strcmp(ask.name, "recorded") != 0)) {
        answer.length = (uint32_t)pti_directory_pack(&nothing, bytes, sizeof bytes);
        answer.payload = bytes;
    }
    answer.channel = frame->channel;
    answer.number = frame->number;
    raw_say(raw, &answer);
}

/* A home of version 1: its names are recorded, recorded.full. */
static bool serve_as_recorded(struct raw *raw, const struct pti_frame *frame)
{
    struct pti_frame answer;
    struct pti_hello asked, hello;

    switch (frame->type) {
    case PTI_FRAME_HELLO:
        answer = conversation_find(&recorded, '<', "hello");
        if (pti_hello_unpack(frame->payload, frame->length, &asked) != PTQ_OK ||
            pti_hello_unpack(answer.payload, answer.length, &hello) != PTQ_OK)
            return false;
        memcpy(hello.session, asked.session, sizeof hello.session);
        hello.known = false;
        raw_say_hello(raw, &hello, PTI_FRAME_REPLY);
        return true;
    case PTI_FRAME_DIRECTORY:
        answer_ask(raw, frame);
        return frame->version == 1;
    case PTI_FRAME_OPEN:
        answer = conversation_find(&recorded, '<', "opened");
        answer.channel = frame->channel;
        raw_say(raw, &answer);
        return frame->version == 1;
    case PTI_FRAME_CLOSE:
        raw_say_result(raw, frame->channel, frame->number, PTQ_OK, 0);
        return true;
    default:
        return false; /* GOAWAY */
    }
}

static void a_home_of_version_1_tells_its_names_and_is_asked_for_them(void **state)
{
    struct hand hand;
    struct net near;
    char peers[100];
    struct ptq_error error = {0};
    struct ptq_queue_options make = {.mode = PTQ_CREATE, .error = &error};
    ptq_queue *queue = NULL;
    ptq_bus *bus;
    (void)state;

    conversation_read(&recorded, RECORDED);
    hand_start(&hand, serve_as_recorded);
    snprintf(peers, sizeof peers, "old=%s", hand.url);
    bus = net_open_far(&net, peers);
    assert_answer(PTQ_EEXIST, ptq_queue_open(bus, "recorded", &make, &queue));
    assert_non_null(strstr(error.text, "'old'"));
    assert_ok(ptq_queue_open(bus, "nowhere-else", &make, &queue)); /* it has none, and ours is not a second one */
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    start_near(&near, hand.url);
    assert_found(net.far.dir, "test/~peers", "queue recorded new\nqueue recorded.full new\n");
    net_bridge_kill(&near);
    hand_stop(&hand);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lower_of_the_newest_versions_is_spoken),
        cmocka_unit_test(a_peer_that_shares_no_version_is_told_both),
        cmocka_unit_test(a_channel_is_of_one_queue),
        cmocka_unit_test(a_recorded_peer_of_version_1_is_served),
        cmocka_unit_test(a_peer_of_version_1_that_takes_all_there_is_waits_as_it_asked),
        cmocka_unit_test(a_home_that_is_too_new_is_named_with_both_versions),
        cmocka_unit_test(a_home_that_answers_in_an_unknown_version_is_not_gone_on_with),
        cmocka_unit_test(a_home_of_version_1_tells_its_names_and_is_asked_for_them),
    };

    return cmocka_run_group_tests(tests, hosts_start, hosts_end);
}
