/* test_garbage.c -- foreign bytes: a bridge and a client that are fed them close the link and go on. */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/time.h"
#include "net/kit.h"
#include "base/bytes.h"
#include "wire/envelope.h"
#include "wire/frame.h"
#include "wire/record.h"

static struct net net;

static int start_hosts(void **state)
{
    static const char *const options[] = {"--max-peer-dials", "1G", NULL}; /* its address misbehaves much */
    (void)state;
    net_init(&net, options);
    return 0;
}

static int end_hosts(void **state)
{
    (void)state;
    net_fini(&net);
    return 0;
}

/* ---- a raw link ---- */

static int dial_raw(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = PTT_LONG / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    name.sin_port = htons((uint16_t)atoi(strrchr(net.url, ':') + 1));
    assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof name), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return fd;
}

/* The bridge may have closed it already. */
static void send_raw(int fd, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t part = send(fd, bytes, size, MSG_NOSIGNAL);
        if (part <= 0)
            return;
        bytes += part;
        size -= (size_t)part;
    }
}

/* What comes until the other side closes; false: it does not within PTT_LONG. */
static bool read_to_end(int fd, uint8_t *bytes, size_t room, size_t *ret_size)
{
    uint8_t rest[4096];
    size_t size = 0;
    ssize_t part;

    while ((part = recv(fd, rest, sizeof rest, 0)) > 0 || (part < 0 && errno == EINTR)) { /* stopped: a deadline's call ends */
        if (part < 0)
            continue;
        size_t keep = size + (size_t)part <= room ? (size_t)part : room - size;
        memcpy(bytes + size, rest, keep);
        size += keep;
    }
    *ret_size = size;
    return part == 0 || errno == ECONNRESET;
}

/* Sends it, and says why the bridge closed the link. */
static void assert_refused(const uint8_t *bytes, size_t size, const char *why)
{
    static uint8_t answer[65536];
    struct pti_frame_reader reader;
    struct pti_error_message error = {0};
    struct pti_frame frame;
    const char *reason;
    size_t length, room;
    int fd = dial_raw();

    send_raw(fd, bytes, size);
    assert_true(read_to_end(fd, answer, sizeof answer, &length));
    close(fd);
    pti_frame_reader_init(&reader, 65536);
    while (length > 0) {
        uint8_t *at = pti_frame_reader_space(&reader, &room);
        size_t part = length < room ? length : room;
        memcpy(at, answer, part);
        pti_frame_reader_filled(&reader, part);
        memmove(answer, answer + part, length -= part);
    }
    while (pti_frame_reader_next(&reader, &frame, &reason) == PTQ_OK) {
        if (frame.type == PTI_FRAME_ERROR && frame.channel == 0)
            assert_ok(pti_error_unpack(frame.payload, frame.length, &error));
    }
    pti_frame_reader_fini(&reader);
    assert_int_equal(error.code, PTQ_EPROTO);
    ptt_assert_says(error.text, why);
}

/* ---- frames ---- */

static size_t add_frame(uint8_t *at, uint8_t type, uint32_t channel, uint64_t number, uint16_t flags,
                        const void *payload, size_t size)
{
    struct pti_frame frame = {.version = 1, .type = type, .flags = flags, .length = (uint32_t)size, .channel = channel,
                              .number = number};

    memcpy(at + PTI_FRAME_HEADER, payload, size);
    pti_frame_seal(at, &frame);
    return PTI_FRAME_HEADER + size;
}

static size_t add_hello(uint8_t *at, uint8_t session)
{
    struct pti_hello hello = {.version_min = 1, .version_max = 1, .session = {session}, .limits = pti_limits_own()};
    uint8_t bytes[PTI_CONTROL_BYTES];

    return add_frame(at, PTI_FRAME_HELLO, 0, 0, 0, bytes, pti_hello_pack(&hello, bytes, sizeof bytes));
}

static size_t add_open(uint8_t *at, uint32_t channel, const char *name)
{
    struct pti_open_message open = {.capacity = 4};
    uint8_t bytes[PTI_CONTROL_BYTES];

    snprintf(open.name, sizeof open.name, "%s", name);
    return add_frame(at, PTI_FRAME_OPEN, channel, 0, 0, bytes, pti_open_pack(&open, bytes, sizeof bytes));
}

static size_t add_put(uint8_t *at, uint32_t channel, uint64_t number, const char *text)
{
    struct pti_record record = {.size = (uint32_t)strlen(text)};
    uint8_t bytes[200];

    pti_write_put_head(bytes, 1, 0);
    pti_write_put_record(bytes + PTI_PUT_HEAD, &record);
    memcpy(bytes + PTI_PUT_HEAD + PTI_PUT_RECORD, text, record.size);
    return add_frame(at, PTI_FRAME_PUT, channel, number, 0, bytes, PTI_PUT_HEAD + PTI_PUT_RECORD + record.size);
}

static size_t add_take(uint8_t *at, uint32_t channel, uint64_t number)
{
    struct pti_take take = {.max = 2};
    uint8_t bytes[PTI_TAKE_BYTES];

    pti_write_take(bytes, &take);
    return add_frame(at, PTI_FRAME_TAKE, channel, number, 0, bytes, sizeof bytes);
}

/* HELLO, OPEN and a put: what a correct client says first. */
static size_t begin_well(uint8_t *at)
{
    size_t size = add_hello(at, 1);

    size += add_open(at + size, 1, "garbage");
    return size + add_put(at + size, 1, 1, "hello");
}

/* ---- cases ---- */

static void bytes_of_something_else_are_refused(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    (void)state;

    assert_refused((const uint8_t *)request, sizeof request - 1, "not frames of ptq");
    net_assert_serves(&net);
}

static void a_frame_before_hello_is_refused(void **state)
{
    uint8_t bytes[1000];
    (void)state;

    assert_refused(bytes, add_put(bytes, 1, 1, "hello"), "no HELLO");
    assert_refused(bytes, add_open(bytes, 1, "early"), "no HELLO");
}

static void a_large_frame_before_hello_is_refused(void **state)
{
    static uint8_t bytes[PTI_FRAME_HEADER + 5000], payload[5000];
    (void)state;

    assert_refused(bytes, add_frame(bytes, PTI_FRAME_HELLO, 0, 0, 0, payload, 5000), "longer than was agreed");
}

static void frames_that_make_no_sense_are_refused(void **state)
{
    uint8_t bytes[4000], *end;
    struct {
        uint8_t type;
        uint32_t channel;
        const char *why;
    } cases[] = {{99, 1, "does not know"},         {PTI_FRAME_RESULT, 1, "does not know"},
                 {PTI_FRAME_PUT, 1, "put"},        {PTI_FRAME_PLACE, 1, "put"},
                 {PTI_FRAME_TAKE, 1, "TAKE"},      {PTI_FRAME_SETTLE, 1, "SETTLE"},
                 {PTI_FRAME_CALL, 1, "CALL"},      {PTI_FRAME_WATCH, 1, "WATCH"},
                 {PTI_FRAME_PUT, 7, "not open"},   {PTI_FRAME_HELLO, 0, "control"},
                 {PTI_FRAME_GOAWAY, 0, "control"}, {PTI_FRAME_OPEN, 2, "OPEN"},
                 {PTI_FRAME_PING, 0, "PING"},      {PTI_FRAME_DIRECTORY, 1, "DIRECTORY"}};
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        end = bytes + begin_well(bytes);
        end +=
            add_frame(end, cases[i].type, cases[i].channel, 2, 0, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11);
        assert_refused(bytes, (size_t)(end - bytes), cases[i].why);
    }
    net_assert_serves(&net);
}

/* It is read only when its turn comes. */
static void a_put_too_short_to_be_one_is_refused_also_behind_one_that_waits(void **state)
{
    uint8_t bytes[8000], put[PTI_PUT_HEAD + PTI_PUT_RECORD], *end = bytes + add_hello(bytes, 2);
    (void)state;

    end += add_open(end, 1, "short");
    pti_write_put_head(put, 1, PTI_TIMEOUT_NEVER);
    pti_write_put_record(put + PTI_PUT_HEAD, &(struct pti_record){.size = 0});
    for (uint64_t number = 1; number <= 20; number++)
        end += add_frame(end, PTI_FRAME_PUT, 1, number, PTI_FRAME_CHAINED, put, sizeof put);
    end += add_frame(end, PTI_FRAME_PUT, 1, 21, PTI_FRAME_CHAINED, put, 2);
    assert_refused(bytes, (size_t)(end - bytes), "a put makes no sense");
    net_assert_serves(&net);
}

static void pieces_of_different_things_are_refused(void **state)
{
    uint8_t bytes[4000], *end = bytes + begin_well(bytes);
    (void)state;

    end += add_frame(end, PTI_FRAME_PUT, 1, 2, PTI_FRAME_MORE, "abcd", 4);
    end += add_frame(end, PTI_FRAME_TAKE, 1, 3, 0, "abcdefgh", 8);
    assert_refused(bytes, (size_t)(end - bytes), "pieces");
}

static void a_number_whose_answer_was_received_is_refused(void **state)
{
    uint8_t bytes[4000], *end = bytes + begin_well(bytes);
    struct pti_frame ping = {.version = 1, .type = PTI_FRAME_CANCEL, .channel = 1, .number = 1, .ack = 1};
    (void)state;

    pti_frame_seal(end, &ping);
    end += PTI_FRAME_HEADER;
    end += add_put(end, 1, 1, "again");
    assert_refused(bytes, (size_t)(end - bytes), "asked again");
}

static void the_same_number_is_done_once(void **state)
{
    uint8_t bytes[4000], answer[4000], *end = bytes + add_hello(bytes, 2);
    ptq_queue *here = net_open(net.here, "twice", &(struct ptq_queue_options){.capacity = 4});
    struct ptq_queue_stats stats;
    struct pti_goaway goaway = {.reason = "done"};
    uint8_t payload[600];
    size_t size;
    (void)state;

    end += add_open(end, 1, "twice");
    for (int i = 0; i < 3; i++)
        end += add_put(end, 1, 1, "once");
    end += add_frame(end, PTI_FRAME_GOAWAY, 0, 0, 0, payload, pti_goaway_pack(&goaway, payload, sizeof payload));
    int fd = dial_raw();
    send_raw(fd, bytes, (size_t)(end - bytes));
    assert_true(read_to_end(fd, answer, sizeof answer, &size));
    close(fd);

    assert_ok(ptq_queue_stats(here, &stats));
    assert_int_equal(stats.put, 1);
    ptq_queue_close(here);
}

static void settling_what_is_not_leased_is_no_harm(void **state)
{
    uint8_t bytes[4000], answer[4000], *end = bytes + begin_well(bytes), payload[600];
    struct pti_settle settle = {.verb = PTI_SETTLE_ACK, .position = 12345, .deliveries = 1};
    struct pti_goaway goaway = {.reason = "done"};
    size_t size;
    (void)state;

    end += add_take(end, 1, 2);
    for (uint64_t i = 0; i < 3; i++) {
        pti_write_settle(payload, &settle);
        end += add_frame(end, PTI_FRAME_SETTLE, 1, 3 + i, 0, payload, PTI_SETTLE_BYTES);
    }
    end += add_frame(end, PTI_FRAME_GOAWAY, 0, 0, 0, payload, pti_goaway_pack(&goaway, payload, sizeof payload));
    int fd = dial_raw();
    send_raw(fd, bytes, (size_t)(end - bytes));
    assert_true(read_to_end(fd, answer, sizeof answer, &size));
    close(fd);

    net_assert_serves(&net);
    ptq_queue *here = net_open(net.here, "garbage", NULL); /* what was taken came back when the session said good-bye */
    struct ptq_queue_stats stats;
    assert_ok(ptq_queue_stats(here, &stats));
    assert_true(stats.leased == 0 && stats.acked == 0 && stats.ready >= 1);
    ptq_queue_close(here);
}

/* All of it, and no more: the other side ends the link. */
static void assert_ends_over(const uint8_t *bytes, size_t size)
{
    uint8_t answer[256];
    size_t ignored;
    int fd = dial_raw();

    send_raw(fd, bytes, size);
    shutdown(fd, SHUT_WR);
    assert_true(read_to_end(fd, answer, sizeof answer, &ignored));
    close(fd);
}

/* A correct conversation, damaged; half of the time sealed anew, so that the checksum does not catch it. */
static void damaged_conversations_end_the_link_and_nothing_else(void **state)
{
    uint64_t seed = ptt_seed();
    uint8_t bytes[4000];
    (void)state;

    for (int round = 0; round < 400; round++) {
        uint8_t *end = bytes + begin_well(bytes);
        end += add_take(end, 1, 2);
        end += add_put(end, 1, 3, "second");
        end += add_take(end, 1, 4);
        size_t size = (size_t)(end - bytes);
        for (uint64_t damage = 1 + ptt_random(&seed) % 3; damage > 0; damage--)
            bytes[ptt_random(&seed) % size] = (uint8_t)ptt_random(&seed);
        if (round % 2 == 0) {
            for (size_t at = 0; at + PTI_FRAME_HEADER <= size;) {
                uint32_t length = pti_fetch32(bytes + at + 8);
                if (length > size - at - PTI_FRAME_HEADER)
                    break;
                struct pti_frame frame = {.version = bytes[at + 4],
                                          .type = bytes[at + 5],
                                          .flags = pti_fetch16(bytes + at + 6),
                                          .length = length,
                                          .channel = pti_fetch32(bytes + at + 12),
                                          .number = pti_fetch64(bytes + at + 16),
                                          .ack = pti_fetch64(bytes + at + 24)};
                pti_frame_seal(bytes + at, &frame);
                at += PTI_FRAME_HEADER + length;
            }
        }
        if (ptt_random(&seed) % 4 == 0)
            size = ptt_random(&seed) % size;
        assert_ends_over(bytes, size);
    }
    net_assert_serves(&net);
}

static void random_bytes_end_the_link_and_nothing_else(void **state)
{
    uint64_t seed = ptt_seed();
    uint8_t bytes[3000];
    (void)state;

    for (int round = 0; round < 200; round++) {
        size_t good = round % 3 == 0 ? add_hello(bytes, 3) : round % 3 == 1 ? begin_well(bytes) : 0;
        size_t size = good + ptt_random(&seed) % (sizeof bytes - good);
        for (size_t i = good; i < size; i++)
            bytes[i] = (uint8_t)ptt_random(&seed);
        if (round % 2 == 0 && size >= good + 4)
            pti_store32(bytes + good, PTI_FRAME_MAGIC);
        assert_ends_over(bytes, size);
    }
    net_assert_serves(&net);
}

static void a_link_that_says_nothing_is_closed_after_a_while(void **state)
{
    assert_refused((const uint8_t *)"", 0, "no HELLO came");
    (void)state;
}

/* ---- a home that speaks nonsense ---- */

struct false_home {
    int fd;
    char peers[64];
    const uint8_t *bytes;
    size_t size;
    bool echo_session; /* the session in the greeting is the caller's */
    _Atomic bool stop;
    pthread_t thread;
};

static void answer_falsely(struct false_home *home, int fd)
{
    uint8_t asked[4096], bytes[4096];
    struct pti_hello hello;
    size_t size = home->size;
    ssize_t got = recv(fd, asked, sizeof asked, 0);

    memcpy(bytes, home->bytes, size);
    if (home->echo_session && got > (ssize_t)PTI_FRAME_HEADER &&
        pti_hello_unpack(asked + PTI_FRAME_HEADER, pti_fetch32(asked + 8), &hello) == PTQ_OK) {
        uint8_t payload[PTI_CONTROL_BYTES];
        hello.version = 1;
        hello.incarnation = 5;
        size_t greeting = add_frame(bytes, PTI_FRAME_HELLO, 0, 0, PTI_FRAME_REPLY, payload,
                                    pti_hello_pack(&hello, payload, sizeof payload));
        memcpy(bytes + greeting, home->bytes, home->size);
        size = greeting + home->size;
    }
    send_raw(fd, bytes, size);
    while (recv(fd, asked, sizeof asked, 0) > 0)
        ;
}

static void *run_false_home(void *context)
{
    struct false_home *home = context;
    struct timeval patience = {.tv_sec = 5};

    while (!atomic_load(&home->stop)) {
        int fd = accept(home->fd, NULL, NULL);
        if (fd < 0)
            break;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        answer_falsely(home, fd);
        close(fd);
    }
    return NULL;
}

static void start_false_home(struct false_home *home, const uint8_t *bytes, size_t size, bool echo_session)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof name;

    *home = (struct false_home){.bytes = bytes, .size = size, .echo_session = echo_session};
    home->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(home->fd, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(home->fd, 10), 0);
    getsockname(home->fd, (struct sockaddr *)&name, &length);
    snprintf(home->peers, sizeof home->peers, "false=tcp://127.0.0.1:%u", ntohs(name.sin_port));
    assert_int_equal(pthread_create(&home->thread, NULL, run_false_home, home), 0);
}

static void stop_false_home(struct false_home *home)
{
    atomic_store(&home->stop, true);
    shutdown(home->fd, SHUT_RDWR);
    pthread_join(home->thread, NULL);
    close(home->fd);
}

static enum ptq_err open_false(struct false_home *home, struct ptq_error *error)
{
    ptq_bus *bus = net_open_far(&net, home->peers);
    ptq_queue *queue;
    enum ptq_err answer = ptq_queue_open(bus, "queue@false", &(struct ptq_queue_options){.error = error}, &queue);

    ptq_bus_close(bus);
    return answer;
}

static void a_home_that_is_something_else_is_told_from_one_that_is_silent(void **state)
{
    struct false_home home;
    struct ptq_error error = {0};
    (void)state;

    start_false_home(&home, (const uint8_t *)"HTTP/1.1 400 Bad Request\r\n\r\n", 28, false);
    assert_answer(PTQ_EPROTO, open_false(&home, &error));
    assert_non_null(strstr(error.text, "not frames of ptq"));
    stop_false_home(&home);
}

static void a_home_that_answers_nonsense_is_refused(void **state)
{
    uint64_t seed = ptt_seed();
    struct false_home home;
    uint8_t bytes[600];
    (void)state;

    for (int round = 0; round < 40; round++) {
        struct ptq_error error = {0};
        static const uint8_t types[] = {PTI_FRAME_OPEN, PTI_FRAME_RESULT, PTI_FRAME_MESSAGES, PTI_FRAME_STATS,
                                        PTI_FRAME_ERROR, PTI_FRAME_NOTIFY, PTI_FRAME_CREDIT, PTI_FRAME_HELLO, 77};
        uint8_t payload[64];
        size_t size = ptt_random(&seed) % sizeof payload;
        for (size_t i = 0; i < size; i++)
            payload[i] = (uint8_t)ptt_random(&seed);
        uint8_t type = types[(size_t)round % sizeof types];
        size_t length = add_frame(bytes, type, type == PTI_FRAME_HELLO ? 0 : 1, 1, PTI_FRAME_REPLY, payload, size);
        length += add_frame(bytes + length, 77, 1, 1, 0, "", 0); /* nonsense in any case */
        start_false_home(&home, bytes, length, true);
        enum ptq_err answer = open_false(&home, &error);
        if (answer == PTQ_OK || error.text[0] == '\0')
            fail_msg("round %d: %s '%s'", round, ptq_err_name(answer), error.text);
        stop_false_home(&home);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_of_something_else_are_refused),
        cmocka_unit_test(a_frame_before_hello_is_refused),
        cmocka_unit_test(a_large_frame_before_hello_is_refused),
        cmocka_unit_test(frames_that_make_no_sense_are_refused),
        cmocka_unit_test(a_put_too_short_to_be_one_is_refused_also_behind_one_that_waits),
        cmocka_unit_test(pieces_of_different_things_are_refused),
        cmocka_unit_test(a_number_whose_answer_was_received_is_refused),
        cmocka_unit_test(the_same_number_is_done_once),
        cmocka_unit_test(settling_what_is_not_leased_is_no_harm),
        cmocka_unit_test(damaged_conversations_end_the_link_and_nothing_else),
        cmocka_unit_test(random_bytes_end_the_link_and_nothing_else),
        cmocka_unit_test(a_link_that_says_nothing_is_closed_after_a_while),
        cmocka_unit_test(a_home_that_is_something_else_is_told_from_one_that_is_silent),
        cmocka_unit_test(a_home_that_answers_nonsense_is_refused),
    };

    return ptt_run_beside_with(tests, sizeof tests / sizeof *tests, 3, start_hosts, end_hosts);
}
