/* test_caps.c -- what one peer may cost a bridge, and what all may: who meets a cap is told which, and nobody else feels it. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"
#include "net/kit.h"
#include "net/log.h"
#include "net/raw.h"
#include "base/bytes.h"
#include "wire/record.h"

#define GOOD "127.0.0.1"
#define BAD "127.0.0.2"
#ifdef __SANITIZE_ADDRESS__
#define MORE_KIB (512 << 10) /* what was freed is kept for a while */
#else
#define MORE_KIB (16 << 10)
#endif

static struct net net;

static void start(const char *option, const char *value)
{
    net_init(&net, (const char *const[]){option, value, NULL});
}

/* The bridge says so, with this code, and closes. */
static void assert_turned_away(struct raw *raw, const char *why)
{
    struct pti_error_message error;
    struct pti_frame frame;

    raw_expect(raw, PTI_FRAME_ERROR, &frame);
    assert_ok(pti_error_unpack(frame.payload, frame.length, &error));
    assert_int_equal(error.code, PTQ_EAGAIN);
    ptt_assert_says(error.text, why);
    assert_false(raw_next(raw, &frame));
}

/* Dials; did the bridge answer a HELLO? */
static bool try_in(struct raw *raw, const char *address, uint64_t session)
{
    struct pti_hello hello = {.version_min = 1, .version_max = 2, .limits = pti_limits_own()};
    uint8_t bytes[PTI_FRAME_HEADER + PTI_CONTROL_BYTES];
    struct pti_frame answer;

    memcpy(hello.session, &session, sizeof session);
    raw_dial_from(raw, net.url, address);
    size_t size = pti_hello_pack(&hello, bytes + PTI_FRAME_HEADER, PTI_CONTROL_BYTES);
    pti_frame_seal(bytes, &(struct pti_frame){.version = 1, .type = PTI_FRAME_HELLO, .length = (uint32_t)size});
    (void)!send(raw->fd, bytes, PTI_FRAME_HEADER + size, MSG_NOSIGNAL); /* it may be closed by then */
    return raw_next(raw, &answer) && answer.type == PTI_FRAME_HELLO;
}

static bool is_let_in(const char *address, uint64_t session)
{
    struct raw raw;
    bool in = try_in(&raw, address, session);

    raw_close(&raw);
    return in;
}

/* As soon as the bridge lets him: once it has seen that another has gone, or some time has passed. */
static void get_in(struct raw *raw, const char *address, uint64_t session)
{
    int64_t end = pti_now_ns() + PTT_LONG * PTI_NS_PER_MS;

    while (!try_in(raw, address, session)) {
        raw_close(raw);
        assert_true(pti_now_ns() < end);
    }
}

/* ---- links */

static void more_links_than_a_peer_may_have_are_told_so(void **state)
{
    struct raw links[3], other;
    (void)state;

    start("--max-peer-links", "2");
    for (uint64_t i = 0; i < 2; i++) {
        raw_dial_from(&links[i], net.url, BAD);
        raw_greet(&links[i], i + 1);
    }
    raw_dial_from(&links[2], net.url, BAD);
    assert_turned_away(&links[2], "2 links are open from 127.0.0.2, which is the most (--max-peer-links of");
    raw_dial_from(&other, net.url, GOOD);
    raw_greet(&other, 9);

    raw_close(&links[0]); /* makes room, once the bridge has seen it */
    raw_close(&links[2]);
    get_in(&links[2], BAD, 7);
    net_assert_serves(&net);
    net_log_wait(&net, "option=--max-peer-links");
    assert_int_equal(net_log_count(&net, "option=--max-peer-links"), 1);
    raw_close(&links[1]);
    raw_close(&links[2]);
    raw_close(&other);
    net_fini(&net);
}

static void more_links_than_there_may_be_are_told_so(void **state)
{
    struct raw links[3];
    (void)state;

    start("--max-links", "2");
    for (uint64_t i = 0; i < 2; i++) {
        raw_dial_from(&links[i], net.url, BAD);
        raw_greet(&links[i], i + 1);
    }
    raw_dial_from(&links[2], net.url, "127.0.0.3");
    assert_turned_away(&links[2], "2 links are open in all, which is the most (--max-links of");
    for (int i = 0; i < 3; i++)
        raw_close(&links[i]);
    net_fini(&net);
}

static void a_stranger_more_takes_the_place_of_the_one_that_was_silent_longest(void **state)
{
    struct raw links[5];
    (void)state;

    start("--max-peer-strangers", "3");
    net_assert_serves(&net);
    for (int i = 0; i < 3; i++)
        raw_dial_from(&links[i], net.url, BAD);
    raw_dial_from(&links[3], net.url, GOOD); /* not one of them */
    raw_dial_from(&links[4], net.url, BAD);
    assert_turned_away(&links[0], "3 links have not said HELLO from 127.0.0.2, which is the most (--max-peer-strangers of");
    for (uint64_t i = 1; i < 5; i++)
        raw_greet(&links[i], i);
    net_log_wait(&net, "option=--max-peer-strangers");
    assert_int_equal(net_log_count(&net, "option=--max-peer-strangers"), 1);
    for (int i = 0; i < 5; i++)
        raw_close(&links[i]);
    net_fini(&net);
}

/* ---- how often */

static void who_dials_too_often_waits_and_nobody_else(void **state)
{
    struct raw later;
    unsigned in = 0;
    (void)state;

    start("--max-peer-dials", "1");
    for (uint64_t i = 0; i < 40; i++)
        in += is_let_in(BAD, i + 1);
    assert_in_range(in, 4, 39);
    net_assert_serves(&net);
    get_in(&later, BAD, 100);
    raw_close(&later);
    net_log_wait(&net, "option=--max-peer-dials");
    assert_int_equal(net_log_count(&net, "option=--max-peer-dials"), 1);
    net_fini(&net);
}

/* Twenty at once, then two a second: whoever opens a queue waits for his turn, and is not told that nobody is there. */
static void who_opens_queues_too_often_waits_and_is_not_refused(void **state)
{
    int64_t end = pti_now_ns() + PTT_LONG * PTI_NS_PER_MS;
    (void)state;

    start("--max-peer-dials", "2");
    for (int waited = 0; waited < 2; waited += net_log_count(&net, "option=--max-peer-dials") > 0) {
        assert_true(pti_now_ns() < end); /* who takes longer for one than half a second never comes too often */
        ptq_bus *bus = net_open_far(&net, net.peers);
        ptq_queue *queue = net_open(bus, "often@home", NULL);
        assert_ok(ptq_put(queue, "x", 1, PTT_LONG));
        ptq_queue_close(queue);
        ptq_bus_close(bus);
    }
    net_fini(&net);
}

static void who_takes_links_and_says_nothing_is_told_of_in_time(void **state)
{
    char url[64], peers[100];
    int listener = raw_listen(url, sizeof url);
    struct ptq_error error = {0};
    struct ptq_queue_options options = {.error = &error};
    ptq_queue *queue;
    (void)state;

    start(NULL, NULL);
    snprintf(peers, sizeof peers, "home=%s", url);
    pid_t pid = fork();
    if (pid == 0) {
        for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;)
            close(fd);
        _exit(0);
    }
    ptq_bus *bus = net_open_far(&net, peers);
    int64_t before = pti_now_ns();
    assert_answer(PTQ_EUNREACHABLE, ptq_queue_open(bus, "x@home", &options, &queue));
    assert_true(pti_now_ns() - before < (int64_t)PTT_LONG * PTI_NS_PER_MS);
    ptt_assert_says(error.text, "it takes links and ends them without a word");
    ptq_bus_close(bus);
    ptt_kill(pid);
    close(listener);
    net_fini(&net);
}

static void say_nonsense(const char *address)
{
    struct pti_frame frame;
    struct raw raw;

    raw_dial_from(&raw, net.url, address);
    (void)!send(raw.fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL);
    (void)raw_next(&raw, &frame);
    raw_close(&raw);
}

static void who_says_nonsense_waits_longer_each_time_and_nobody_else(void **state)
{
    (void)state;

    start("--max-peer-dials", "2"); /* twenty at once */
    for (int i = 0; i < 5; i++)     /* 1 + 1, 1 + 2, 1 + 4 ... */
        say_nonsense(BAD);
    assert_false(is_let_in(BAD, 1));
    assert_true(is_let_in(GOOD, 2));
    net_assert_serves(&net);
    net_fini(&net);
}

/* ---- sessions, queues, streams, leases */

static void sessions_beyond_the_cap_are_refused_but_such_as_are_down_and_empty_make_room(void **state)
{
    struct raw links[3];
    (void)state;

    start("--max-peer-sessions", "2");
    assert_true(is_let_in(BAD, 1)); /* gone, and within its grace */
    for (uint64_t i = 0; i < 2; i++)
        get_in(&links[i], BAD, i + 10);
    raw_dial_from(&links[2], net.url, BAD);
    raw_say_hello(&links[2], &(struct pti_hello){.version_min = 1, .version_max = 2, .limits = pti_limits_own(), .session = {77}}, 0);
    assert_turned_away(&links[2], "2 sessions are open from 127.0.0.2, which is the most (--max-peer-sessions of");
    for (int i = 0; i < 3; i++)
        raw_close(&links[i]);
    net_assert_serves(&net);
    net_fini(&net);
}

static void assert_open_fails(const char *name, const char *why)
{
    struct ptq_error error = {0};
    ptq_queue *queue;

    assert_answer(PTQ_EAGAIN, ptq_queue_open(net.there, name, &(struct ptq_queue_options){.error = &error}, &queue));
    if (strstr(error.text, why) == NULL)
        fail_msg("it said '%s', not '%s'", error.text, why);
}

static void queues_beyond_the_cap_are_refused_with_its_name(void **state)
{
    (void)state;

    start("--max-peer-queues", "2");
    ptq_queue *one = net_open(net.there, "one@home", NULL), *two = net_open(net.there, "two@home", NULL);
    assert_open_fails("three@home", "2 queues are open from 127.0.0.1, which is the most (--max-peer-queues of");
    ptq_queue_close(one);
    one = net_open(net.there, "three@home", NULL);
    ptq_queue_close(one);
    ptq_queue_close(two);
    net_fini(&net);
}

static void streams_beyond_the_cap_are_refused_with_its_name(void **state)
{
    (void)state;

    start("--max-peer-streams", "2");
    ptq_queue *one = net_open(net.there, "one@home", NULL), *two = net_open(net.there, "two@home", NULL);
    assert_open_fails("three@home", "2 handles of other hosts are known from 127.0.0.1, which is the most (--max-peer-streams of");
    ptq_queue_close(one); /* its row goes with it */
    one = net_open(net.there, "three@home", NULL);
    ptq_queue_close(one);
    ptq_queue_close(two);
    net_fini(&net);
}

static void assert_why(ptq_queue *queue, enum ptq_err err, const char *why)
{
    char text[600];

    ptt_assert_says(ptq_queue_explain(queue, err, 0, text, sizeof text), why);
}

static void who_has_leased_what_one_may_settles_some_first(void **state)
{
    ptq_msg *msgs[4];
    size_t count;
    (void)state;

    start("--max-peer-leases", "3");
    ptq_queue *queue = net_open(net.there, "leased@home", NULL);
    for (int i = 0; i < 5; i++)
        assert_ok(ptq_put(queue, "m", 1, PTT_LONG));
    assert_ok(ptq_get_many(queue, msgs, 1, 2, PTT_LONG, &count));
    assert_int_equal(count, 2);
    assert_ok(ptq_get_many(queue, msgs + 2, 1, 2, PTT_LONG, &count));
    assert_int_equal(count, 1);
    assert_answer(PTQ_EAGAIN, ptq_get(queue, PTT_LONG, &msgs[3]));
    assert_why(queue, PTQ_EAGAIN, "queue 'leased': 3 messages are leased from 127.0.0.1, which is the most (--max-peer-leases of the "
                                  "ptqbridge there); ack or nack some first");
    assert_ok(ptq_ack(msgs[0]));
    assert_ok(ptq_get(queue, PTT_LONG, &msgs[3]));
    for (int i = 1; i < 4; i++)
        assert_ok(ptq_ack(msgs[i]));
    net_log_wait(&net, "option=--max-peer-leases");
    ptq_queue_close(queue);
    net_fini(&net);
}

/* ---- what comes too fast, and what is not read */

static void ask_listing(uint8_t *at, uint64_t number)
{
    uint8_t bytes[64];
    size_t size = pti_directory_ask_pack(&(struct pti_directory_ask){0}, bytes, sizeof bytes);

    memcpy(at + PTI_FRAME_HEADER, bytes, size);
    pti_frame_seal(at, &(struct pti_frame){.version = 2, .type = PTI_FRAME_DIRECTORY, .channel = 1, .number = number,
                                           .length = (uint32_t)size});
}

static size_t listing_size(void)
{
    uint8_t bytes[64];

    return PTI_FRAME_HEADER + pti_directory_ask_pack(&(struct pti_directory_ask){0}, bytes, sizeof bytes);
}

/* Sends as long as the bridge takes it; how many it took whole. */
static unsigned flood(struct raw *raw, unsigned most)
{
    uint8_t frame[PTI_FRAME_HEADER + 64];
    size_t size = listing_size(), at = 0;
    unsigned count = 0;
    struct pollfd poll_one = {.fd = raw->fd, .events = POLLOUT};

    ask_listing(frame, 1);
    while (count < most && poll(&poll_one, 1, 500) == 1) {
        ssize_t part = send(raw->fd, frame + at, size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        assert_true(part > 0);
        at += (size_t)part;
        count += at == size;
        at = at == size ? 0 : at;
    }
    return count;
}

static long resident_kib(void)
{
    char path[64];
    long pages = 0;

    snprintf(path, sizeof path, "/proc/%d/statm", net.bridge);
    FILE *file = fopen(path, "r");
    assert_int_equal(fscanf(file, "%*d %ld", &pages), 1);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* A hundred names make an answer of kilobytes of a question of 50 bytes. */
static void who_asks_without_reading_is_not_heard_until_he_reads(void **state)
{
    enum { ENOUGH = 2500 };
    struct raw raw;
    struct pti_frame frame;
    char name[40];
    (void)state;

    start("--max-peer-vain", "1000000");
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "a-queue-with-a-name-that-is-long-%d", i);
        ptq_queue_close(net_open(net.here, name, &(struct ptq_queue_options){.capacity = 2, .item_size = 8}));
    }
    raw_dial_from(&raw, net.url, BAD);
    raw_greet(&raw, 1);
    net_assert_serves(&net);
    long before = resident_kib();
    unsigned asked = flood(&raw, 1000000);
    assert_in_range(asked, ENOUGH, 999999);
    assert_true(resident_kib() < before + MORE_KIB);
    net_assert_serves(&net);
    for (unsigned i = 0; i < ENOUGH; i++) /* more than was kept for it: it is heard again */
        raw_expect(&raw, PTI_FRAME_DIRECTORY, &frame);
    raw_close(&raw);
    net_fini(&net);
}

static void who_asks_for_listings_without_end_is_held_up_and_nobody_else(void **state)
{
    struct pti_frame frame;
    struct raw raw;
    (void)state;

    start("--max-peer-vain", "1"); /* 5 ms of work at once */
    raw_dial_from(&raw, net.url, BAD);
    raw_greet(&raw, 1);
    uint8_t questions[64 * (PTI_FRAME_HEADER + 64)];
    for (unsigned i = 0; i < 64; i++)
        ask_listing(questions + i * listing_size(), i + 1);
    for (unsigned i = 0; i < 20; i++)
        raw_send(&raw, questions, 64 * listing_size());
    net_log_wait(&net, "option=--max-peer-vain");
    net_assert_serves(&net);
    raw_expect(&raw, PTI_FRAME_DIRECTORY, &frame); /* it is answered what was read */
    assert_int_equal(net_log_count(&net, "option=--max-peer-vain"), 1);
    assert_int_equal(net_log_count(&net, "event=refused"), 0);
    raw_close(&raw);
    net_fini(&net);
}

static void raw_put(struct raw *raw, uint64_t number)
{
    uint8_t put[PTI_PUT_HEAD + PTI_PUT_RECORD];

    pti_write_put_head(put, 1, 0);
    pti_write_put_record(put + PTI_PUT_HEAD, &(struct pti_record){.size = 0});
    raw_say(raw, &(struct pti_frame){.type = PTI_FRAME_PUT, .channel = 1, .number = number, .length = sizeof put, .payload = put});
}

/* Each is looked for among all that is kept. */
static void who_says_without_end_that_he_received_what_there_is_not_is_held_up_and_nobody_else(void **state)
{
    uint8_t numbers[8 * 512];
    struct raw raw;
    (void)state;

    start("--max-peer-vain", "1");
    raw_dial_from(&raw, net.url, BAD);
    raw_greet(&raw, 1);
    raw_open(&raw, 1, "received");
    for (uint64_t number = 1; number <= 2000; number++)
        raw_put(&raw, number);
    raw_put(&raw, 1000000);
    for (size_t at = 0; at < sizeof numbers; at += 8)
        pti_store64(numbers + at, 500000 + at);
    for (int i = 0; i < 50; i++)
        raw_say(&raw, &(struct pti_frame){.type = PTI_FRAME_RECEIVED, .channel = 1, .length = sizeof numbers, .payload = numbers});
    net_log_wait(&net, "option=--max-peer-vain");
    net_assert_serves(&net);
    assert_int_equal(net_log_count(&net, "event=refused"), 0);
    raw_close(&raw);
    net_fini(&net);
}

/* What succeeds is not in vain, and costs all the same. */
static void who_opens_and_closes_without_end_is_held_up_and_nobody_else(void **state)
{
    struct raw raw;
    (void)state;

    start("--max-peer-opens", "1"); /* 20 at once */
    raw_dial_from(&raw, net.url, BAD);
    raw_greet(&raw, 1);
    for (uint32_t channel = 1; channel <= 19; channel++) {
        raw_open(&raw, channel, "opened");
        raw_say(&raw, &(struct pti_frame){.type = PTI_FRAME_CLOSE, .channel = channel, .number = 1});
    }
    net_assert_serves(&net);
    assert_int_equal(net_log_count(&net, "option=--max-peer-opens"), 0);
    for (uint32_t channel = 20; channel <= 40; channel++)
        raw_open(&raw, channel, "opened");
    net_log_wait(&net, "option=--max-peer-opens");
    net_assert_serves(&net);
    assert_int_equal(net_log_count(&net, "event=refused"), 0);
    raw_close(&raw);
    net_fini(&net);
}

static void bytes_beyond_the_rate_are_read_later_and_none_is_lost(void **state)
{
    char body[1000] = "";
    (void)state;

    net_init(&net, (const char *const[]){"--max-peer-rate", "200K", NULL});
    ptq_queue *queue = net_open(net.there, "rated@home", &(struct ptq_queue_options){.capacity = 1000});
    int64_t since = pti_now_ns();
    for (int i = 0; i < 300; i++)
        assert_ok(ptq_put(queue, body, sizeof body, PTT_LONG));
    int64_t took = pti_now_ns() - since;
    assert_true(took > PTI_NS_PER_S * 8 / 10); /* 300 kB, of which a quarter second's may come at once */
    struct ptq_queue_stats stats;
    assert_ok(ptq_queue_stats(queue, &stats));
    assert_int_equal(stats.ready, 300);
    ptq_queue_close(queue);
    net_fini(&net);
}

/* ---- no descriptors */

static unsigned long long switches(void)
{
    char path[64], line[128];
    unsigned long long sum = 0, count;

    snprintf(path, sizeof path, "/proc/%d/status", net.bridge);
    FILE *file = fopen(path, "r");
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "voluntary_ctxt_switches: %llu", &count) == 1)
            sum += count;
    }
    fclose(file);
    return sum;
}

static int highest_descriptor(void)
{
    char path[64];
    int highest = 0;

    for (int fd = 0; fd < 200; fd++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", net.bridge, fd);
        highest = faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? fd : highest;
    }
    return highest;
}

static void a_bridge_has_as_many_descriptors_as_it_may(void **state)
{
    struct rlimit before, less, its;
    (void)state;

    getrlimit(RLIMIT_NOFILE, &before);
    less = before;
    less.rlim_cur = before.rlim_max > 300 ? 300 : before.rlim_max;
    setrlimit(RLIMIT_NOFILE, &less);
    net_init(&net, NULL);
    assert_int_equal(prlimit(net.bridge, RLIMIT_NOFILE, NULL, &its), 0);
    assert_int_equal(its.rlim_cur, before.rlim_max);
    net_fini(&net);
    setrlimit(RLIMIT_NOFILE, &before);
}

static void without_descriptors_who_is_there_goes_on_and_it_is_said_once(void **state)
{
    enum { MORE = 12 };
    struct raw links[MORE];
    ptq_msg *msg;
    (void)state;

    net_init(&net, NULL);
    ptq_queue *queue = net_open(net.there, "there@home", NULL);
    assert_ok(ptq_put(queue, "warm", 4, PTT_LONG));
    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_ok(ptq_ack(msg));
    rlim_t most = (rlim_t)highest_descriptor() + 4;
    assert_int_equal(prlimit(net.bridge, RLIMIT_NOFILE, &(struct rlimit){most, most}, NULL), 0);
    for (int i = 0; i < MORE; i++)
        raw_dial_from(&links[i], net.url, BAD);
    net_log_wait(&net, "event=no_descriptors");
    unsigned long long before = switches();
    int64_t began = pti_now_ns();
    struct timespec nap = {.tv_nsec = 400000000}; /* a while in which it might spin */
    nanosleep(&nap, NULL);
    unsigned long long more = switches() - before;
    assert_in_range(more, 0, (unsigned long long)((pti_now_ns() - began) / PTI_NS_PER_MS)); /* it may have been a longer while */
    for (int i = 0; i < 20; i++) {
        assert_ok(ptq_put(queue, "on", 2, PTT_LONG));
        assert_ok(ptq_get(queue, PTT_LONG, &msg));
        assert_ok(ptq_ack(msg));
    }
    for (int i = 0; i < MORE; i++)
        raw_close(&links[i]);
    assert_true(is_let_in(GOOD, 5)); /* again, when there are some */
    assert_int_equal(net_log_count(&net, "event=no_descriptors"), 1);
    ptq_queue_close(queue);
    net_fini(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_links_than_a_peer_may_have_are_told_so),
        cmocka_unit_test(more_links_than_there_may_be_are_told_so),
        cmocka_unit_test(a_stranger_more_takes_the_place_of_the_one_that_was_silent_longest),
        cmocka_unit_test(who_dials_too_often_waits_and_nobody_else),
        cmocka_unit_test(who_opens_queues_too_often_waits_and_is_not_refused),
        cmocka_unit_test(who_takes_links_and_says_nothing_is_told_of_in_time),
        cmocka_unit_test(who_says_nonsense_waits_longer_each_time_and_nobody_else),
        cmocka_unit_test(sessions_beyond_the_cap_are_refused_but_such_as_are_down_and_empty_make_room),
        cmocka_unit_test(queues_beyond_the_cap_are_refused_with_its_name),
        cmocka_unit_test(streams_beyond_the_cap_are_refused_with_its_name),
        cmocka_unit_test(who_has_leased_what_one_may_settles_some_first),
        cmocka_unit_test(who_asks_without_reading_is_not_heard_until_he_reads),
        cmocka_unit_test(who_asks_for_listings_without_end_is_held_up_and_nobody_else),
        cmocka_unit_test(who_says_without_end_that_he_received_what_there_is_not_is_held_up_and_nobody_else),
        cmocka_unit_test(who_opens_and_closes_without_end_is_held_up_and_nobody_else),
        cmocka_unit_test(bytes_beyond_the_rate_are_read_later_and_none_is_lost),
        cmocka_unit_test(a_bridge_has_as_many_descriptors_as_it_may),
        cmocka_unit_test(without_descriptors_who_is_there_goes_on_and_it_is_said_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
