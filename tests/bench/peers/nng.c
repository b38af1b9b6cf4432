/* nng.c -- peer: nng, PUSH to PULL, over ipc or tcp (--via), a call and a copy a message. */
#include "shape.h"

#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <stdio.h>

#define BUFFERED 1024

static _Atomic uint32_t *ports[PEER_LINES];
static nng_socket sockets[PEER_LINES];
static char urls[PEER_LINES][128];

static void must(int err, const char *what)
{
    if (err != 0)
        bench_fail("%s: %s", what, nng_strerror(err));
}

static void peer_prepare(struct bench *bench, unsigned line)
{
    bool tcp = strcmp(bench->options.via, "tcp") == 0;
    ports[line] = bench_shared(sizeof *ports[line]);
    if (!tcp)
        snprintf(urls[line], sizeof urls[line], "ipc://%s/nng%u", bench->dir, line);
    else
        snprintf(urls[line], sizeof urls[line], "tcp://127.0.0.1:0");
}

static void listen_line(unsigned line)
{
    nng_listener listener;
    int port = 1;
    must(nng_pull0_open(&sockets[line]), "nng_pull0_open");
    nng_socket_set_int(sockets[line], NNG_OPT_RECVBUF, BUFFERED);
    must(nng_listen(sockets[line], urls[line], &listener, 0), "nng_listen");
    if (strncmp(urls[line], "tcp", 3) == 0)
        must(nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port), "the port");
    atomic_store(ports[line], (uint32_t)port);
}

static void peer_open(struct bench *bench, unsigned line, bool producer)
{
    (void)bench;
    if (!producer) {
        listen_line(line);
        return;
    }
    must(nng_push0_open(&sockets[line]), "nng_push0_open");
    nng_socket_set_int(sockets[line], NNG_OPT_SENDBUF, BUFFERED);
    uint32_t port = bench_wait_word(ports[line], true, "the consumer listens");
    if (strncmp(urls[line], "tcp", 3) == 0)
        snprintf(urls[line], sizeof urls[line], "tcp://127.0.0.1:%u", port);
    must(nng_dial(sockets[line], urls[line], NULL, 0), "nng_dial");
}

static inline bool peer_put(unsigned line, const void *bytes, size_t size)
{
    must(nng_send(sockets[line], (void *)bytes, size, 0), "nng_send");
    return true;
}

static inline bool peer_get(unsigned line, void *bytes, size_t size)
{
    must(nng_recv(sockets[line], bytes, &size, 0), "nng_recv");
    return true;
}

/* What is buffered is lost with the producer's socket: it lives until the other has closed. */
static void peer_close(unsigned line, bool producer)
{
    if (!producer) {
        nng_close(sockets[line]);
        atomic_store(ports[line], 0);
        return;
    }
    bench_wait_word(ports[line], false, "the consumer closes");
    nng_close(sockets[line]);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "nng PUSH/PULL", .options = {.via = "ipc"}};
    return peer_main(&bench, argc, argv, false, 8u << 20);
}
