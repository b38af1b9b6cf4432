/* test_versions.c -- a home and peers of other versions: what both speak is agreed on, or both are told. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ptq/version.h>

#include "net/both.h"
#include "unit/wire/conversation.h"
#include "wire/envelope.h"

static int dial_raw(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = PTT_LONG / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    name.sin_port = htons((uint16_t)atoi(strrchr(net.url, ':') + 1));
    assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof name), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

static void send_all(int fd, const uint8_t *bytes, size_t size)
{
    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), size);
}

/* The next frame that comes; false: the link has ended. */
static bool next_frame(int fd, struct pti_frame_reader *reader, struct pti_frame *ret_frame)
{
    const char *reason = "";
    enum ptq_err answer;
    size_t room;

    while ((answer = pti_frame_reader_next(reader, ret_frame, &reason)) == PTQ_EMPTY) {
        uint8_t *at = pti_frame_reader_space(reader, &room);
        ssize_t part = recv(fd, at, room, 0);
        if (part <= 0)
            return false;
        pti_frame_reader_filled(reader, (size_t)part);
    }
    if (answer != PTQ_OK)
        fail_msg("the home said no frame: %s", reason);
    return true;
}

static void send_hello(int fd, uint32_t version_min, uint32_t version_max)
{
    struct pti_hello hello = {.version_min = version_min, .version_max = version_max, .session = {(uint8_t)version_max},
                              .limits = pti_limits_own()};
    uint8_t bytes[PTI_FRAME_HEADER + PTI_CONTROL_BYTES];
    size_t size = pti_hello_pack(&hello, bytes + PTI_FRAME_HEADER, PTI_CONTROL_BYTES);

    pti_frame_seal(bytes, &(struct pti_frame){.version = 1, .type = PTI_FRAME_HELLO, .length = (uint32_t)size});
    send_all(fd, bytes, PTI_FRAME_HEADER + size);
}

static void assert_agreed(uint32_t version_max, uint32_t agreed)
{
    struct pti_frame_reader reader;
    struct pti_frame frame;
    struct pti_hello hello;
    int fd = dial_raw();

    pti_frame_reader_init(&reader, PTI_WIRE_FRAME_BYTES);
    send_hello(fd, 1, version_max);
    assert_true(next_frame(fd, &reader, &frame));
    assert_int_equal(frame.type, PTI_FRAME_HELLO);
    assert_int_equal(frame.version, 1); /* for ever */
    assert_ok(pti_hello_unpack(frame.payload, frame.length, &hello));
    assert_int_equal(hello.version, agreed);
    assert_true(next_frame(fd, &reader, &frame)); /* a PING, after a second */
    assert_int_equal(frame.version, agreed);
    pti_frame_reader_fini(&reader);
    close(fd);
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
    struct pti_frame_reader reader;
    struct pti_error_message error;
    struct pti_frame frame;
    int fd = dial_raw();
    (void)state;

    pti_frame_reader_init(&reader, PTI_WIRE_FRAME_BYTES);
    send_hello(fd, PTQ_WIRE_VERSION + 1, PTQ_WIRE_VERSION + 1);
    assert_true(next_frame(fd, &reader, &frame));
    assert_int_equal(frame.type, PTI_FRAME_ERROR);
    assert_ok(pti_error_unpack(frame.payload, frame.length, &error));
    assert_int_equal(error.code, PTQ_EVERSION);
    assert_non_null(strstr(error.text, "wire versions 3 to 3 are spoken there, 1 to 2 here"));
    assert_false(next_frame(fd, &reader, &frame));
    pti_frame_reader_fini(&reader);
    close(fd);
}

/* What a far side of version 1 said is said to this home: it answers everything, in that version. */
static void a_recorded_peer_of_version_1_is_served(void **state)
{
    static struct conversation said;
    struct pti_frame_reader reader;
    struct pti_frame frame;
    bool seen[256] = {false};
    int fd = dial_raw();
    (void)state;

    conversation_read(&said, RECORDED);
    pti_frame_reader_init(&reader, PTI_WIRE_FRAME_BYTES);
    for (size_t i = 0; i < said.count; i++) {
        if (said.said[i].side == '>' && strcmp(said.said[i].name, "close") != 0 &&
            strcmp(said.said[i].name, "goaway") != 0)
            send_all(fd, said.said[i].bytes, said.said[i].size);
    }
    while (!(seen[PTI_FRAME_PING] && seen[PTI_FRAME_HELLO] && seen[PTI_FRAME_OPEN] && seen[PTI_FRAME_RESULT] &&
             seen[PTI_FRAME_MESSAGES])) {
        assert_true(next_frame(fd, &reader, &frame));
        assert_int_equal(frame.version, 1);
        assert_true(frame.type != PTI_FRAME_ERROR || frame.channel == 2); /* refused, not taken for nonsense */
        seen[frame.type] |= frame.type != PTI_FRAME_PING || (frame.flags & PTI_FRAME_REPLY) != 0; /* its answer: the last */
    }
    ptq_queue *queue = net_open(net.here, "recorded", NULL);
    struct ptq_queue_stats stats;
    assert_ok(ptq_queue_stats(queue, &stats));
    assert_int_equal(stats.put, 4); /* one, two at once, one in pieces */
    assert_true(stats.ended);
    ptq_queue_close(queue);
    pti_frame_reader_fini(&reader);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lower_of_the_newest_versions_is_spoken),
        cmocka_unit_test(a_peer_that_shares_no_version_is_told_both),
        cmocka_unit_test(a_recorded_peer_of_version_1_is_served),
    };

    return cmocka_run_group_tests(tests, hosts_start, hosts_end);
}
