/* raw.c -- a link without the library's far side: frames by hand. */
#include "net/raw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/ptt.h"
#include "wire/record.h"

void raw_take(struct raw *raw, int fd)
{
    struct timeval patience = {.tv_sec = PTT_LONG / 1000};

    *raw = (struct raw){.fd = fd, .version = 1};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    pti_frame_reader_init(&raw->reader, PTI_WIRE_FRAME_BYTES);
}

void raw_dial(struct raw *raw, const char *url)
{
    raw_dial_from(raw, url, "127.0.0.1");
}

void raw_dial_from(struct raw *raw, const char *url, const char *address)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(address)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof own), 0);
    name.sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1));
    assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof name), 0);
    raw_take(raw, fd);
}

void raw_close(struct raw *raw)
{
    pti_frame_reader_fini(&raw->reader);
    close(raw->fd);
}

int raw_listen(char *url, size_t size)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(fd, 10), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &length), 0);
    snprintf(url, size, "tcp://127.0.0.1:%u", ntohs(name.sin_port));
    return fd;
}

void raw_accept(struct raw *raw, int listener)
{
    assert_true(ptt_wait_readable(listener, PTT_LONG));
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    raw_take(raw, fd);
}

void raw_send(struct raw *raw, const void *bytes, size_t size)
{
    assert_int_equal(send(raw->fd, bytes, size, MSG_NOSIGNAL), size);
}

void raw_say(struct raw *raw, const struct pti_frame *frame)
{
    uint8_t bytes[PTI_FRAME_HEADER + 8192];
    struct pti_frame sealed = *frame;

    assert_true(frame->length <= sizeof bytes - PTI_FRAME_HEADER);
    if (frame->length > 0)
        memcpy(bytes + PTI_FRAME_HEADER, frame->payload, frame->length);
    sealed.version = frame->type == PTI_FRAME_HELLO ? PTI_HELLO_VERSION : raw->version;
    pti_frame_seal(bytes, &sealed);
    raw_send(raw, bytes, PTI_FRAME_HEADER + frame->length);
}

void raw_say_hello(struct raw *raw, const struct pti_hello *hello, uint16_t flags)
{
    uint8_t bytes[PTI_CONTROL_BYTES];
    size_t size = pti_hello_pack(hello, bytes, sizeof bytes);

    raw_say(raw, &(struct pti_frame){.type = PTI_FRAME_HELLO, .flags = flags, .length = (uint32_t)size, .payload = bytes});
}

void raw_greet(struct raw *raw, uint64_t session)
{
    struct pti_hello hello = {.version_min = 1, .version_max = 2, .limits = pti_limits_own(), .node = "raw", .attempt = 1};
    struct pti_frame frame;

    memcpy(hello.session, &session, sizeof session);
    raw_say_hello(raw, &hello, 0);
    raw_expect(raw, PTI_FRAME_HELLO, &frame);
    raw->version = 2;
}

void raw_open(struct raw *raw, uint32_t channel, const char *name)
{
    struct pti_open_message open = {.capacity = 16};
    uint8_t bytes[PTI_CONTROL_BYTES];

    snprintf(open.name, sizeof open.name, "%s", name);
    size_t size = pti_open_pack(&open, bytes, sizeof bytes);
    raw_say(raw, &(struct pti_frame){.type = PTI_FRAME_OPEN, .channel = channel, .length = (uint32_t)size, .payload = bytes});
}

static bool read_frame(struct raw *raw, struct pti_frame *ret_frame)
{
    const char *reason = "";
    enum ptq_err answer;
    size_t room;

    while ((answer = pti_frame_reader_next(&raw->reader, ret_frame, &reason)) == PTQ_EMPTY) {
        uint8_t *at = pti_frame_reader_space(&raw->reader, &room);
        ssize_t part;
        do
            part = recv(raw->fd, at, room, 0);
        while (part < 0 && errno == EINTR); /* it was stopped: a call with a deadline does not go on by itself */
        if (part <= 0)
            return false;
        pti_frame_reader_filled(&raw->reader, (size_t)part);
    }
    if (answer != PTQ_OK)
        fail_msg("what came is no frame: %s", reason);
    return true;
}

bool raw_next(struct raw *raw, struct pti_frame *ret_frame)
{
    while (read_frame(raw, ret_frame)) {
        if (ret_frame->type != PTI_FRAME_PING)
            return true;
    }
    return false;
}

void raw_expect(struct raw *raw, enum pti_frame_type type, struct pti_frame *ret_frame)
{
    struct pti_error_message error;

    if (!raw_next(raw, ret_frame))
        fail_msg("the link ended, a frame of type %d was to come", type);
    if (ret_frame->type == type)
        return;
    if (ret_frame->type == PTI_FRAME_ERROR &&
        pti_error_unpack(ret_frame->payload, ret_frame->length, &error) == PTQ_OK)
        fail_msg("a frame of type %d was to come, the other side said: %s", type, error.text);
    fail_msg("a frame of type %d was to come, not %d", type, ret_frame->type);
}

/* ---- as a home ---- */

struct pti_hello raw_hear_hello(struct raw *raw, int listener)
{
    struct pti_frame frame;
    struct pti_hello hello;

    raw_accept(raw, listener);
    raw_expect(raw, PTI_FRAME_HELLO, &frame);
    assert_ok(pti_hello_unpack(frame.payload, frame.length, &hello));
    return hello;
}

void raw_welcome(struct raw *raw, int listener, uint64_t generation, bool known)
{
    struct pti_hello hello = raw_hear_hello(raw, listener);

    hello.version = 2;
    hello.incarnation = 5;
    hello.generation = generation;
    hello.known = known;
    raw_say_hello(raw, &hello, PTI_FRAME_REPLY);
    raw->version = 2;
}

uint32_t raw_serve_open(struct raw *raw, const struct pti_opened *opened)
{
    static const struct pti_opened usual = {.capacity = 64, .item_size = 64, .credit_bytes = 65536, .run = "test",
                                            .node = "raw"};
    uint8_t bytes[PTI_CONTROL_BYTES];
    struct pti_frame frame;

    raw_expect(raw, PTI_FRAME_OPEN, &frame);
    size_t size = pti_opened_pack(opened != NULL ? opened : &usual, bytes, sizeof bytes);
    raw_say(raw, &(struct pti_frame){.type = PTI_FRAME_OPEN, .flags = PTI_FRAME_REPLY, .channel = frame.channel,
                                     .length = (uint32_t)size, .payload = bytes});
    return frame.channel;
}

void raw_say_result(struct raw *raw, uint32_t channel, uint64_t number, uint32_t code, uint64_t value)
{
    struct pti_result result = {number, code, value};
    uint8_t bytes[PTI_RESULT_RECORD];

    pti_write_result(bytes, &result);
    raw_say(raw, &(struct pti_frame){.type = PTI_FRAME_RESULT, .channel = channel, .length = sizeof bytes,
                                     .payload = bytes});
}

void raw_serve_end(struct raw *raw)
{
    struct pti_frame frame;

    while (raw_next(raw, &frame)) {
        if (frame.type == PTI_FRAME_CLOSE)
            raw_say_result(raw, frame.channel, frame.number, PTQ_OK, 0);
    }
}
