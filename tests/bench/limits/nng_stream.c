/* nng_stream.c -- a byte stream of nng's over TCP on the loopback: what ptq's links are made of; built where nng is.
 *
 * --mode stream: records of --size bytes, gathered into writes of --batch records; --mode bytes: told in bytes.  --mode trip: one record there and back; both
 * sides wait for each operation, which is the least that nng's threads cost.  --via tls: both sides with a certificate, which
 * --program, a ptqbridge, makes.
 */
#include "../kit.h"

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>
#include <stdio.h>
#include <stdlib.h>

static void must(int err, const char *what)
{
    if (err != 0)
        bench_fail("%s: %s", what, nng_strerror(err));
}

struct end {
    nng_stream *stream;
    nng_aio *aio;
};

static bool by_tls(const struct bench *bench)
{
    return bench->options.via != NULL && strcmp(bench->options.via, "tls") == 0;
}

/* As ptq's links have it. */
static nng_tls_config *make_config(const struct bench *bench, const char *node, nng_tls_mode mode)
{
    nng_tls_config *config;
    char path[128];
    must(nng_tls_config_alloc(&config, mode), "nng_tls_config_alloc");
    if (nng_tls_config_version(config, NNG_TLS_1_2, NNG_TLS_1_3) != 0)
        must(nng_tls_config_version(config, NNG_TLS_1_2, NNG_TLS_1_2), "nng_tls_config_version");
    must(nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_REQUIRED), "nng_tls_config_auth_mode");
    snprintf(path, sizeof path, "%s/keys/%s/ca.crt", bench->dir, node);
    must(nng_tls_config_ca_file(config, path), path);
    snprintf(path, sizeof path, "%s/keys/%s/node.pem", bench->dir, node);
    must(nng_tls_config_cert_key_file(config, path, NULL), path);
    if (mode == NNG_TLS_MODE_CLIENT)
        must(nng_tls_config_server_name(config, "home"), "nng_tls_config_server_name");
    return config;
}

static void take_stream(struct end *end, nng_aio *aio)
{
    nng_aio_wait(aio);
    must(nng_aio_result(aio), "a stream");
    end->stream = nng_aio_get_output(aio, 0);
    nng_stream_set_bool(end->stream, NNG_OPT_TCP_NODELAY, true);
    end->aio = aio;
}

static void accept_end(struct bench *bench, struct end *end)
{
    nng_stream_listener *listener;
    nng_aio *aio;
    int port;
    must(nng_aio_alloc(&aio, NULL, NULL), "nng_aio_alloc");
    must(nng_stream_listener_alloc(&listener, by_tls(bench) ? "tls+tcp://127.0.0.1:0" : "tcp://127.0.0.1:0"), "a listener");
    if (by_tls(bench))
        must(nng_stream_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, make_config(bench, "home", NNG_TLS_MODE_SERVER)), "tls");
    must(nng_stream_listener_listen(listener), "listen");
    must(nng_stream_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port), "the port");
    atomic_store((_Atomic uint32_t *)bench->shared, (uint32_t)port);
    nng_stream_listener_accept(listener, aio);
    take_stream(end, aio);
}

static void dial_end(struct bench *bench, struct end *end)
{
    nng_stream_dialer *dialer;
    nng_aio *aio;
    char url[64];
    snprintf(url, sizeof url, "%stcp://127.0.0.1:%u", by_tls(bench) ? "tls+" : "", bench_wait_word(bench->shared, true, "the other side listens"));
    must(nng_aio_alloc(&aio, NULL, NULL), "nng_aio_alloc");
    must(nng_stream_dialer_alloc(&dialer, url), "a dialer");
    if (by_tls(bench))
        must(nng_stream_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, make_config(bench, "far", NNG_TLS_MODE_CLIENT)), "tls");
    nng_stream_dialer_dial(dialer, aio);
    take_stream(end, aio);
}

static size_t move_some(struct end *end, void *bytes, size_t size, bool out)
{
    nng_iov iov = {.iov_buf = bytes, .iov_len = size};
    must(nng_aio_set_iov(end->aio, 1, &iov), "nng_aio_set_iov");
    if (out)
        nng_stream_send(end->stream, end->aio);
    else
        nng_stream_recv(end->stream, end->aio);
    nng_aio_wait(end->aio);
    must(nng_aio_result(end->aio), out ? "send" : "receive");
    return nng_aio_count(end->aio);
}

static void move_all(struct end *end, void *bytes, size_t size, bool out)
{
    for (size_t done = 0; done < size;)
        done += move_some(end, (char *)bytes + done, size - done, out);
}

/* -- stream ------------------------------------------------------------------------------------------------------- */

static void produce(struct bench *bench, unsigned index)
{
    size_t size = bench->options.size, batch = bench->options.batch;
    struct end end;
    dial_end(bench, &end);
    uint64_t *words = bench_buffer(size * batch);
    bench_barrier(bench);
    for (uint64_t number = 0;;) {
        bool last = bench_stopped(bench);
        for (size_t i = 0; i < batch; i++)
            bench_fill_large(words + i * size / 8, size, last && i == batch - 1 ? BENCH_LAST : number++, index); /* who sees it leaves */
        move_all(&end, words, size * batch, true);
        if (last)
            break;
    }
    bench_wait_word(bench->shared, false, "the other side ends");
}

static void consume(struct bench *bench, unsigned index)
{
    size_t size = bench->options.size, room = 65536 > size ? 65536 / size * size : size, filled = 0;
    struct bench_seen seen = {0};
    struct end end;
    uint64_t count = 0;
    accept_end(bench, &end);
    uint64_t *words = bench_buffer(room);
    bench_barrier(bench);
    for (bool last = false; !last;) {
        filled += move_some(&end, (char *)words + filled, room - filled, false);
        size_t at = 0;
        for (; at + size <= filled && !last; at += size, count++)
            last = bench_look(&seen, words + at / 8, size, true) == BENCH_LAST;
        memmove(words, (char *)words + at, filled - at);
        filled -= at;
        bench_tick(bench, index, count);
    }
    atomic_store((_Atomic uint32_t *)bench->shared, 0);
}

/* -- there and back ----------------------------------------------------------------------------------------------- */

static void ask(struct bench *bench, struct end *end)
{
    struct bench_trips *trips = calloc(1, sizeof *trips);
    struct bench_message message = {0};
    size_t size = bench->options.size;
    for (uint64_t number = 0;; number++) {
        bool last = bench_stopped(bench);
        bench_tick(bench, 0, number);
        bench_fill(&message, size, last ? BENCH_LAST : number, 0);
        uint64_t asked = bench_ticks();
        move_all(end, message.word, size, true);
        move_all(end, message.word, size, false);
        bench_trips_note(trips, bench, bench_ticks() - asked);
        if (last)
            break;
        if (message.word[0] != number)
            bench_wrong(message.word[0], number, 0);
    }
    bench_trips_leave(trips, bench, 0);
    free(trips);
}

static void answer(struct bench *bench, struct end *end)
{
    struct bench_message message = {0};
    do {
        move_all(end, message.word, bench->options.size, false);
        move_all(end, message.word, bench->options.size, true);
    } while (message.word[0] != BENCH_LAST);
}

static void play(struct bench *bench, unsigned index)
{
    struct end end;
    if (index == 0)
        dial_end(bench, &end);
    else
        accept_end(bench, &end);
    bench_barrier(bench);
    if (index == 0)
        ask(bench, &end);
    else
        answer(bench, &end);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "nng_stream, TCP on the loopback", .grace_ms = 8000, /* its tls streams do hang; then it is run again */
                          .options = {.size = 64, .batch = 1024, .producers = 1, .consumers = 1, .mode = "stream"}};
    bench_init(&bench, argc, argv);
    bench.shared = bench_shared(sizeof(uint32_t));
    bench_scratch(&bench);
    if (by_tls(&bench))
        bench_make_keys(&bench, bench.dir);
    if (strcmp(bench.options.mode, "trip") == 0) {
        bench_run(&bench, play, 2);
        bench_print_trips(&bench, "us");
    } else {
        bench_run_stream(&bench, produce, consume);
        double rate = bench_rate(&bench, 1, 1);
        bool bytes = strcmp(bench.options.mode, "bytes") == 0;
        bench_print(&bench, bytes ? rate * (double)bench.options.size / 1e9 : rate / 1e6, bytes ? "GB/s" : "M/s");
    }
    return 0;
}
