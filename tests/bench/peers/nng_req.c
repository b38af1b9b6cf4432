/* nng_req.c -- peer: nng, REQ to REP and back, over tcp.
 *
 * --mode trip: one question at a time.  --mode callers: --callers threads, each with a context of its own; the other side answers in
 * as many contexts.
 */
#include "../kit.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdio.h>
#include <stdlib.h>

struct side {
    struct bench *bench;
    nng_socket socket;
    _Atomic uint64_t answered;
};

static void must(int err, const char *what)
{
    if (err != 0)
        bench_fail("%s: %s", what, nng_strerror(err));
}

/* -- who answers -------------------------------------------------------------------------------------------------- */

static void answer_in_context(void *argument, unsigned index)
{
    struct side *side = argument;
    nng_ctx context;
    nng_aio *aio;
    (void)index;
    must(nng_ctx_open(&context, side->socket), "nng_ctx_open");
    must(nng_aio_alloc(&aio, NULL, NULL), "nng_aio_alloc");
    for (;;) {
        nng_ctx_recv(context, aio);
        nng_aio_wait(aio);
        if (nng_aio_result(aio) != 0)
            break; /* closed */
        nng_ctx_send(context, aio);
        nng_aio_wait(aio);
    }
    nng_aio_free(aio);
}

static void watch_for_end(struct side *side)
{
    while (atomic_load((_Atomic uint32_t *)side->bench->shared) != 0)
        bench_rest(1000);
    nng_close(side->socket);
}

static void answer_or_watch(void *argument, unsigned index)
{
    struct side *side = argument;
    if (index == side->bench->options.callers)
        watch_for_end(side);
    else
        answer_in_context(side, index);
}

static void answer(struct bench *bench)
{
    struct side side = {.bench = bench};
    nng_listener listener;
    int port;
    must(nng_rep0_open(&side.socket), "nng_rep0_open");
    must(nng_listen(side.socket, "tcp://127.0.0.1:0", &listener, 0), "nng_listen");
    must(nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port), "the port");
    atomic_store((_Atomic uint32_t *)bench->shared, (uint32_t)port);
    bench_barrier(bench);
    bench_each(bench->options.callers + 1, answer_or_watch, &side);
}

/* -- who asks ----------------------------------------------------------------------------------------------------- */

static void ask_once(nng_ctx context, nng_aio *aio, const uint64_t *words, size_t size)
{
    nng_msg *msg;
    must(nng_msg_alloc(&msg, size), "nng_msg_alloc");
    memcpy(nng_msg_body(msg), words, size);
    nng_aio_set_msg(aio, msg);
    nng_ctx_send(context, aio);
    nng_aio_wait(aio);
    must(nng_aio_result(aio), "nng_ctx_send");
    nng_ctx_recv(context, aio);
    nng_aio_wait(aio);
    must(nng_aio_result(aio), "nng_ctx_recv");
    msg = nng_aio_get_msg(aio);
    if (nng_msg_len(msg) != size || memcmp(nng_msg_body(msg), words, size) != 0)
        bench_wrong(0, words[0], words[1]);
    nng_msg_free(msg);
}

static void ask_in_context(void *argument, unsigned index)
{
    struct side *side = argument;
    struct bench *bench = side->bench;
    struct bench_trips *trips = calloc(1, sizeof *trips);
    struct bench_message message = {0};
    nng_ctx context;
    nng_aio *aio;
    must(nng_ctx_open(&context, side->socket), "nng_ctx_open");
    must(nng_aio_alloc(&aio, NULL, NULL), "nng_aio_alloc");
    for (uint64_t number = 0; !bench_stopped(bench); number++) {
        bench_fill(&message, bench->options.size, number, index);
        uint64_t asked = bench_ticks();
        ask_once(context, aio, message.word, bench->options.size);
        bench_trips_note(trips, bench, bench_ticks() - asked);
        uint64_t all = atomic_fetch_add(&side->answered, 1) + 1;
        if (index == 0)
            bench_tick(bench, 0, all);
    }
    if (index == 0)
        bench_trips_leave(trips, bench, 0);
    nng_aio_free(aio);
    nng_ctx_close(context);
    free(trips);
}

static void ask(struct bench *bench)
{
    struct side side = {.bench = bench};
    char url[64];
    uint32_t port = bench_wait_word(bench->shared, true, "the other side listens");
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", port);
    must(nng_req0_open(&side.socket), "nng_req0_open");
    must(nng_dial(side.socket, url, NULL, 0), "nng_dial");
    bench_barrier(bench);
    bench_each(bench->options.callers, ask_in_context, &side);
    bench_tick(bench, 0, atomic_load(&side.answered));
    nng_close(side.socket);
    atomic_store((_Atomic uint32_t *)bench->shared, 0);
}

static void play(struct bench *bench, unsigned index)
{
    if (index == 0)
        ask(bench);
    else
        answer(bench);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "nng REQ/REP", .options = {.size = 64, .callers = 1, .mode = "trip"}};
    bench_init(&bench, argc, argv);
    if (bench.options.callers >= BENCH_ROLES_MAX)
        bench_fail("--callers: fewer than %d", BENCH_ROLES_MAX);
    bench.shared = bench_shared(sizeof(uint32_t));
    bench_run(&bench, play, 2);
    if (strcmp(bench.options.mode, "callers") == 0)
        bench_print(&bench, bench_rate(&bench, 0, 1) / 1e6, "M/s");
    else
        bench_print_trips(&bench, "us");
    return 0;
}
