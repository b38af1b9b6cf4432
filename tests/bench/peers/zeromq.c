/* zeromq.c -- peer: ZeroMQ, PUSH to PULL, over ipc or tcp (--via).
 *
 * Messages one a call, as its users send them: it gathers them into writes by itself, and does not acknowledge.
 */
#include "shape.h"

#include <errno.h>
#include <stdio.h>
#include <zmq.h>

struct address {
    _Atomic uint32_t ready;
    char endpoint[128];
};

static struct address *addresses[PEER_LINES];
static void *contexts[PEER_LINES], *sockets[PEER_LINES];

static void peer_prepare(struct bench *bench, unsigned line)
{
    addresses[line] = bench_shared(sizeof *addresses[line]);
    bool tcp = strcmp(bench->options.via, "tcp") == 0;
    if (tcp)
        snprintf(addresses[line]->endpoint, sizeof addresses[line]->endpoint, "tcp://127.0.0.1:*");
    else
        snprintf(addresses[line]->endpoint, sizeof addresses[line]->endpoint, "ipc://%s/zmq%u", bench->dir, line);
}

static void bind_line(struct address *address, void *socket)
{
    size_t length = sizeof address->endpoint;
    if (zmq_bind(socket, address->endpoint) != 0 ||
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, address->endpoint, &length) != 0)
        bench_fail("zmq_bind %s: %s", address->endpoint, zmq_strerror(errno));
    atomic_store(&address->ready, 1);
}

static void peer_open(struct bench *bench, unsigned line, bool producer)
{
    (void)bench;
    struct address *address = addresses[line];
    contexts[line] = zmq_ctx_new();
    sockets[line] = zmq_socket(contexts[line], producer ? ZMQ_PUSH : ZMQ_PULL);
    if (!producer) {
        bind_line(address, sockets[line]);
        return;
    }
    bench_wait_word(&address->ready, true, "the consumer listens");
    if (zmq_connect(sockets[line], address->endpoint) != 0)
        bench_fail("zmq_connect %s: %s", address->endpoint, zmq_strerror(errno));
}

static inline bool peer_put(unsigned line, const void *bytes, size_t size)
{
    if (zmq_send(sockets[line], bytes, size, 0) < 0)
        bench_fail("zmq_send: %s", zmq_strerror(errno));
    return true;
}

static inline bool peer_get(unsigned line, void *bytes, size_t size)
{
    if (zmq_recv(sockets[line], bytes, size, 0) < 0)
        bench_fail("zmq_recv: %s", zmq_strerror(errno));
    return true;
}

/* What a consumer with a full buffer has not yet read is lost when the producer's socket goes: it lives until the
 * other has closed. */
static void peer_close(unsigned line, bool producer)
{
    if (producer)
        bench_wait_word(&addresses[line]->ready, false, "the consumer closes");
    zmq_close(sockets[line]);
    zmq_ctx_term(contexts[line]);
    if (!producer)
        atomic_store(&addresses[line]->ready, 0);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "ZeroMQ PUSH/PULL", .options = {.via = "ipc"}};
    return peer_main(&bench, argc, argv, false, 8u << 20);
}
