/* zeromq.c -- the peer that ptq over TCP is put beside: ZeroMQ, PUSH to PULL over tcp on the loopback.
 *
 * Messages one a call, as its users send them: it gathers them into writes by itself, and does not acknowledge.
 */
#include "../kit.h"

#include <errno.h>
#include <stdio.h>
#include <zmq.h>

struct address {
    _Atomic uint32_t ready;
    char endpoint[64];
};

static void produce(struct bench *bench, unsigned index)
{
    struct address *address = bench->shared;
    void *context = zmq_ctx_new(), *push = zmq_socket(context, ZMQ_PUSH);
    while (atomic_load(&address->ready) == 0)
        bench_pause();
    if (zmq_connect(push, address->endpoint) != 0)
        bench_fail("zmq_connect %s: %s", address->endpoint, zmq_strerror(errno));
    struct bench_message message = {0};
    size_t size = bench->options.size;
    bench_barrier(bench);
    for (uint64_t number = 0;; number++) {
        bool last = number % 64 == 0 && bench_stopped(bench);
        bench_fill(&message, size, last ? BENCH_LAST : number, index);
        if (zmq_send(push, message.word, size, 0) < 0)
            bench_fail("zmq_send: %s", zmq_strerror(errno));
        if (last)
            break;
    }
    zmq_close(push);
    zmq_ctx_term(context);
}

static void consume(struct bench *bench, unsigned index)
{
    struct address *address = bench->shared;
    void *context = zmq_ctx_new(), *pull = zmq_socket(context, ZMQ_PULL);
    size_t length = sizeof address->endpoint;
    if (zmq_bind(pull, "tcp://127.0.0.1:*") != 0 ||
        zmq_getsockopt(pull, ZMQ_LAST_ENDPOINT, address->endpoint, &length) != 0)
        bench_fail("zmq_bind: %s", zmq_strerror(errno));
    atomic_store(&address->ready, 1);
    struct bench_seen seen = {0};
    struct bench_message message;
    size_t size = bench->options.size;
    bench_barrier(bench);
    for (uint64_t count = 0;; count++) {
        if (count % 16 == 0)
            bench_tick(bench, index, count);
        if (zmq_recv(pull, message.word, size, 0) < 0)
            bench_fail("zmq_recv: %s", zmq_strerror(errno));
        if (bench_check(&seen, message.word, size, true) == BENCH_LAST) {
            bench_tick(bench, index, count);
            break;
        }
    }
    zmq_close(pull);
    zmq_ctx_term(context);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "ZeroMQ PUSH/PULL over tcp",
                          .options = {.size = 64, .producers = 1, .consumers = 1}};
    bench_init(&bench, argc, argv);
    if (bench.options.producers != 1 || bench.options.consumers != 1)
        bench_fail("one producer and one consumer");
    bench.shared = bench_shared(sizeof(struct address));
    bench_run_stream(&bench, produce, consume);
    bench_print(&bench, bench_rate(&bench, 1, 1) / 1e6, "M/s");
    return 0;
}
