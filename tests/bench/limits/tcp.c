/* tcp.c -- a TCP connection on the loopback: what any message system over it can reach.
 *
 * --mode stream: records of --size bytes, gathered into writes of --batch records.
 * --mode bytes: messages of --size bytes, a write each, read into a buffer of one message; told in bytes.
 * --mode trip: one record there and back, both sides blocking; --poll hard: both sides polling without sleep.
 */
#include "../kit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct address {
    _Atomic uint32_t port;
};

static void undelay(int fd)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static int accept_peer(struct address *address)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof name;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&name, sizeof name) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&name, &length) != 0)
        bench_fail("listen on loopback: %s", strerror(errno));
    atomic_store(&address->port, ntohs(name.sin_port));
    int fd = accept(listener, NULL, NULL);
    if (fd < 0)
        bench_fail("accept: %s", strerror(errno));
    close(listener);
    undelay(fd);
    return fd;
}

static int connect_peer(struct address *address)
{
    uint32_t port = bench_wait_word(&address->port, true, "the other side listens");
    struct sockaddr_in name = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof name) != 0)
        bench_fail("connect to loopback: %s", strerror(errno));
    undelay(fd);
    return fd;
}

/* All of it; `flags` MSG_DONTWAIT polls. */
static void send_all(int fd, const void *bytes, size_t size, int flags)
{
    for (size_t done = 0; done < size;) {
        ssize_t sent = send(fd, (const char *)bytes + done, size - done, flags | MSG_NOSIGNAL);
        if (sent > 0)
            done += (size_t)sent;
        else if (errno != EAGAIN && errno != EINTR)
            bench_fail("send: %s", strerror(errno));
    }
}

static void receive_all(int fd, void *bytes, size_t size, int flags)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = recv(fd, (char *)bytes + done, size - done, flags);
        if (got > 0)
            done += (size_t)got;
        else if (got == 0)
            bench_fail("the connection ended early");
        else if (errno != EAGAIN && errno != EINTR)
            bench_fail("recv: %s", strerror(errno));
    }
}

/* -- stream ----------------------------------------------------------------------------------------------------- */

static void produce(struct bench *bench, unsigned index)
{
    size_t size = bench->options.size, batch = bench->options.batch;
    int fd = connect_peer(bench->shared);
    unsigned char *bytes = malloc(size * batch);
    struct bench_message message = {0};
    bench_barrier(bench);
    for (uint64_t number = 0;;) {
        bool last = bench_stopped(bench);
        for (size_t i = 0; i < batch; i++) {
            bench_fill(&message, size, last && i == batch - 1 ? BENCH_LAST : number++, index); /* who sees it leaves */
            memcpy(bytes + i * size, message.word, size);
        }
        send_all(fd, bytes, size * batch, 0);
        if (last)
            break;
    }
    close(fd);
    free(bytes);
}

static void consume(struct bench *bench, unsigned index)
{
    size_t size = bench->options.size, room = 65536 / size * size;
    int fd = accept_peer(bench->shared);
    unsigned char *bytes = malloc(room);
    struct bench_seen seen = {0};
    uint64_t count = 0;
    size_t filled = 0;
    bench_barrier(bench);
    for (bool last = false; !last;) {
        ssize_t got = recv(fd, bytes + filled, room - filled, 0);
        if (got <= 0)
            bench_fail("recv: %s", got == 0 ? "the connection ended early" : strerror(errno));
        filled += (size_t)got;
        size_t at = 0;
        for (; at + size <= filled && !last; at += size, count++)
            last = bench_check(&seen, bytes + at, size, true) == BENCH_LAST;
        memmove(bytes, bytes + at, filled - at);
        filled -= at;
        bench_tick(bench, index, count);
    }
    close(fd);
    free(bytes);
}

/* -- large messages ------------------------------------------------------------------------------------------------ */

static void produce_large(struct bench *bench, unsigned index)
{
    size_t size = bench->options.size;
    int fd = connect_peer(bench->shared);
    uint64_t *words = bench_buffer(size);
    bench_barrier(bench);
    for (uint64_t number = 0;; number++) {
        bool last = bench_stopped(bench);
        bench_fill_large(words, size, last ? BENCH_LAST : number, index);
        send_all(fd, words, size, 0);
        if (last)
            break;
    }
    close(fd);
    free(words);
}

static void consume_large(struct bench *bench, unsigned index)
{
    size_t size = bench->options.size;
    int fd = accept_peer(bench->shared);
    uint64_t *words = bench_buffer(size), count = 0;
    struct bench_seen seen = {0};
    bench_barrier(bench);
    for (bool last = false; !last; count++) {
        bench_tick(bench, index, count);
        receive_all(fd, words, size, 0);
        last = bench_look(&seen, words, size, true) == BENCH_LAST;
    }
    bench_tick(bench, index, count);
    close(fd);
    free(words);
}

/* -- round trip ------------------------------------------------------------------------------------------------- */

static void ask(struct bench *bench, unsigned index)
{
    int fd = connect_peer(bench->shared), flags = bench->options.hard ? MSG_DONTWAIT : 0;
    struct bench_trips *trips = calloc(1, sizeof *trips);
    struct bench_message message = {0};
    size_t size = bench->options.size;
    bench_barrier(bench);
    for (uint64_t number = 0;; number++) {
        bench_tick(bench, index, number);
        bool last = bench_stopped(bench);
        bench_fill(&message, size, last ? BENCH_LAST : number, index);
        uint64_t asked = bench_ticks();
        send_all(fd, message.word, size, flags);
        if (last)
            break;
        receive_all(fd, message.word, size, flags);
        bench_trips_note(trips, bench, bench_ticks() - asked);
        if (message.word[0] != number)
            bench_wrong(message.word[0], number, 1);
    }
    bench_trips_leave(trips, bench, index);
    free(trips);
    close(fd);
}

static void answer(struct bench *bench)
{
    int fd = accept_peer(bench->shared), flags = bench->options.hard ? MSG_DONTWAIT : 0;
    struct bench_message message;
    size_t size = bench->options.size;
    bench_barrier(bench);
    for (;;) {
        receive_all(fd, message.word, size, flags);
        if (message.word[0] == BENCH_LAST)
            break;
        send_all(fd, message.word, size, flags);
    }
    close(fd);
}

static void play(struct bench *bench, unsigned index)
{
    if (index == 0)
        ask(bench, index);
    else
        answer(bench);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "TCP on the loopback",
                          .size_max = 8u << 20,
                          .options = {.size = 64, .batch = 1024, .producers = 1, .consumers = 1, .mode = "stream"}};
    bench_init(&bench, argc, argv);
    bench.shared = bench_shared(sizeof(struct address));
    if (strcmp(bench.options.mode, "bytes") != 0 && bench.options.size > BENCH_SIZE_MAX)
        bench_fail("--size: at most %d, but for --mode bytes", BENCH_SIZE_MAX);
    if (strcmp(bench.options.mode, "trip") == 0) {
        bench_run(&bench, play, 2);
        bench_print_trips(&bench, "us");
    } else if (strcmp(bench.options.mode, "bytes") == 0) {
        bench_run_stream(&bench, produce_large, consume_large);
        bench_print(&bench, bench_rate(&bench, 1, 1) * (double)bench.options.size / 1e9, "GB/s");
    } else {
        bench_run_stream(&bench, produce, consume);
        bench_print(&bench, bench_rate(&bench, 1, 1) / 1e6, "M/s");
    }
    return 0;
}
