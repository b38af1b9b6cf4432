/* test_memory.c -- a bridge whose memory others have filled: the innocent wait, keep their link, and lose nothing. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/world.h"
#include "base/bytes.h"
#include "wire/envelope.h"
#include "wire/frame.h"
#include "wire/limits.h"
#include "wire/record.h"

enum { HOGS = 4, PIECE = 60000 };

/* ---- who never ends his message */

static void send_all(int fd, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t part = send(fd, bytes, size, MSG_NOSIGNAL);
        assert_true(part > 0);
        bytes += part;
        size -= (size_t)part;
    }
}

static void send_frame(int fd, struct pti_frame frame, uint8_t *at)
{
    pti_frame_seal(at, &frame);
    send_all(fd, at, PTI_FRAME_HEADER + frame.length);
}

static int dial(const struct net *net)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    name.sin_port = htons((uint16_t)atoi(strrchr(net->url, ':') + 1));
    assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof name), 0);
    return fd;
}

/* Until the bridge has read all that was sent. */
static void wait_for_pong(int fd)
{
    struct pti_frame_reader reader;
    struct pti_frame frame = {0};
    const char *reason;
    uint8_t *at;
    size_t room;

    pti_frame_reader_init(&reader, PTI_WIRE_FRAME_BYTES);
    while (frame.type != PTI_FRAME_PING || frame.flags != PTI_FRAME_REPLY) {
        if (pti_frame_reader_next(&reader, &frame, &reason) == PTQ_OK)
            continue;
        at = pti_frame_reader_space(&reader, &room);
        ssize_t got = recv(fd, at, room, 0);
        assert_true(got > 0);
        pti_frame_reader_filled(&reader, (size_t)got);
    }
    pti_frame_reader_fini(&reader);
}

/* HELLO of version 1, OPEN, and pieces of a batch that is as large as one may be, but for the last. */
static int begin_to_hog(const struct net *net, uint8_t index)
{
    static uint8_t bytes[PTI_FRAME_HEADER + PIECE];
    struct pti_hello hello = {.version_min = 1, .version_max = 1, .limits = pti_limits_own(), .node = "hog"};
    struct pti_open_message open = {.capacity = 4};
    uint8_t *payload = bytes + PTI_FRAME_HEADER;
    int fd = dial(net);

    memset(hello.session, 0x40 + index, sizeof hello.session);
    snprintf(open.name, sizeof open.name, "hogged");
    uint32_t size = (uint32_t)pti_hello_pack(&hello, payload, 4000);
    send_frame(fd, (struct pti_frame){.version = 1, .type = PTI_FRAME_HELLO, .length = size}, bytes);
    size = (uint32_t)pti_open_pack(&open, payload, 4000);
    send_frame(fd, (struct pti_frame){.version = 1, .type = PTI_FRAME_OPEN, .channel = 1, .length = size}, bytes);
    memset(payload, 0, PIECE);
    pti_write_put_head(payload, 1000, PTI_TIMEOUT_NEVER);
    for (uint64_t sent = 0; sent + PIECE < PTI_WIRE_REQUEST_BYTES; sent += PIECE)
        send_frame(fd, (struct pti_frame){.version = 1, .type = PTI_FRAME_PUT, .flags = PTI_FRAME_MORE, .channel = 1, .number = 1,
                                          .length = PIECE}, bytes);
    size = (uint32_t)pti_ping_pack(1, payload, 64);
    send_frame(fd, (struct pti_frame){.version = 1, .type = PTI_FRAME_PING, .length = size}, bytes);
    wait_for_pong(fd);
    return fd;
}

/* Reads what the bridge says, so that it is not silent for want of answers; pings. */
struct hogs {
    int fds[HOGS];
    _Atomic int count;
    _Atomic bool stop;
};

static void *ping(void *context)
{
    struct hogs *hogs = context;
    uint8_t bytes[PTI_FRAME_HEADER + 64], rest[4096];

    while (!atomic_load(&hogs->stop)) {
        for (int i = 0; i < atomic_load(&hogs->count); i++) {
            struct pti_frame frame = {.version = 1, .type = PTI_FRAME_PING};
            frame.length = (uint32_t)pti_ping_pack(1, bytes + PTI_FRAME_HEADER, 64);
            pti_frame_seal(bytes, &frame);
            (void)!send(hogs->fds[i], bytes, PTI_FRAME_HEADER + frame.length, MSG_NOSIGNAL | MSG_DONTWAIT);
            while (recv(hogs->fds[i], rest, sizeof rest, MSG_DONTWAIT) > 0)
                ;
        }
        usleep(100 * 1000);
    }
    return NULL;
}

/* ---- the innocent */

struct put {
    ptq_queue *queue;
    char *body;
    size_t size;
    _Atomic uint64_t done;
    enum ptq_err answer;
};

/* Two at once are put together in memory; one by itself would go straight to its place. */
static enum ptq_err put_two(const struct put *put, int64_t timeout_ms)
{
    struct ptq_bytes two[2] = {{put->body, put->size}, {put->body, put->size}};

    return ptq_put_many(put->queue, two, 2, timeout_ms, NULL);
}

static void *put_it(void *context)
{
    struct put *put = context;

    put->answer = put_two(put, 60000);
    atomic_store(&put->done, 1);
    return NULL;
}

static void the_innocent_wait_for_memory_and_keep_their_link(void **state)
{
    struct world world;
    struct hogs hogs = {0};
    struct put put = {.size = 1 << 20};
    pthread_t pinger, putter;
    ptq_msg *msg;
    (void)state;

    world_init(&world, NULL);
    ptq_queue *here = net_open(world.net.here, "innocent", &(struct ptq_queue_options){.item_size = 1 << 20, .capacity = 4});
    put.queue = net_open(world.bus, "innocent", NULL);
    put.body = malloc(put.size);
    memset(put.body, 'i', put.size);
    assert_ok(ptq_put(put.queue, put.body, put.size, PTT_LONG));
    assert_int_equal(pthread_create(&pinger, NULL, ping, &hogs), 0);
    for (int i = 0; i < HOGS; i++) { /* the first is not silent while the last begins */
        hogs.fds[i] = begin_to_hog(&world.net, (uint8_t)i);
        atomic_store(&hogs.count, i + 1);
    }

    assert_answer(PTQ_ENOMEM, put_two(&put, PTQ_NOWAIT));
    assert_answer(PTQ_TIMEDOUT, put_two(&put, 200));
    assert_int_equal(pthread_create(&putter, NULL, put_it, &put), 0);
    assert_false(ptt_wait_word(&put.done, 1, 500));
    assert_ok(ptq_put(put.queue, "small", 5, PTT_LONG)); /* needs none */
    assert_ok(ptq_get(put.queue, PTT_LONG, &msg));
    assert_int_equal(ptq_msg_size(msg), put.size);
    assert_ok(ptq_ack(msg));
    assert_int_equal(atomic_load(&put.done), 0);
    shutdown(hogs.fds[0], SHUT_RDWR); /* its pieces go with its link */
    atomic_store(&hogs.stop, true);
    pthread_join(pinger, NULL);
    pthread_join(putter, NULL);

    assert_ok(put.answer);
    assert_ok(ptq_get(here, PTT_LONG, &msg));
    assert_int_equal(ptq_msg_size(msg), 5);
    assert_ok(ptq_ack(msg));
    for (int i = 0; i < 2; i++) {
        assert_ok(ptq_get(here, PTT_LONG, &msg));
        assert_true(ptq_msg_size(msg) == put.size && memcmp(ptq_msg_data(msg), put.body, put.size) == 0);
        assert_ok(ptq_ack(msg));
    }
    assert_answer(PTQ_EMPTY, ptq_get(here, PTQ_NOWAIT, &msg));
    assert_int_equal(world.proxy.links, 1);
    for (int i = 0; i < HOGS; i++)
        close(hogs.fds[i]);
    free(put.body);
    ptq_queue_close(put.queue);
    ptq_queue_close(here);
    world_fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_innocent_wait_for_memory_and_keep_their_link),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
