/* zeromq_req.c -- peer: ZeroMQ, REQ to REP and back, over tcp. */
#include "shape.h"

#include <errno.h>
#include <stdio.h>
#include <zmq.h>

struct address {
    _Atomic uint32_t ready;
    char endpoint[128];
};

static struct address *address;
static void *context, *request; /* both lines are one socket */

static void peer_prepare(struct bench *bench, unsigned line)
{
    (void)bench;
    if (line == 0)
        address = bench_shared(sizeof *address);
}

static void peer_open(struct bench *bench, unsigned line, bool producer)
{
    size_t length = sizeof address->endpoint;
    (void)bench;
    if (line != 0)
        return;
    context = zmq_ctx_new();
    request = zmq_socket(context, producer ? ZMQ_REQ : ZMQ_REP);
    if (producer) {
        bench_wait_word(&address->ready, true, "the other side listens");
        if (zmq_connect(request, address->endpoint) != 0)
            bench_fail("zmq_connect %s: %s", address->endpoint, zmq_strerror(errno));
        return;
    }
    if (zmq_bind(request, "tcp://127.0.0.1:*") != 0 ||
        zmq_getsockopt(request, ZMQ_LAST_ENDPOINT, address->endpoint, &length) != 0)
        bench_fail("zmq_bind: %s", zmq_strerror(errno));
    atomic_store(&address->ready, 1);
}

static inline bool peer_put(unsigned line, const void *bytes, size_t size)
{
    (void)line;
    if (zmq_send(request, bytes, size, 0) < 0)
        bench_fail("zmq_send: %s", zmq_strerror(errno));
    return true;
}

static inline bool peer_get(unsigned line, void *bytes, size_t size)
{
    (void)line;
    if (zmq_recv(request, bytes, size, 0) < 0)
        bench_fail("zmq_recv: %s", zmq_strerror(errno));
    return true;
}

/* The last word waits in the socket of who asked: it lives until the other has closed. */
static void peer_close(unsigned line, bool producer)
{
    if (line != 0)
        return;
    if (producer)
        bench_wait_word(&address->ready, false, "the other side closes");
    zmq_close(request);
    zmq_ctx_term(context);
    if (!producer)
        atomic_store(&address->ready, 0);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "ZeroMQ REQ/REP"};
    return peer_main(&bench, argc, argv, false, 8u << 20);
}
