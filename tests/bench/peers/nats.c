/* nats.c -- peer: a NATS server on the loopback (--program, nats-server) and its C client.
 *
 * Publish to subscribe, not acknowledged; --mode trip: request and reply.  Its client gathers what is published.
 */
#include "shape.h"

#include <nats/nats.h>
#include <stdio.h>

#define PATIENCE_MS 5000

static char url[64];
static natsConnection *connection;
static natsSubscription *subscription;
static natsMsg *held; /* what was asked last, or is to be answered */
static _Atomic uint32_t *state; /* 1: the consumer has subscribed; 0: it has closed */
static bool is_trip, asks;

static void must(natsStatus status, const char *what)
{
    if (status != NATS_OK)
        bench_fail("%s: %s", what, natsStatus_GetText(status));
}

static void peer_prepare(struct bench *bench, unsigned line)
{
    char port[16];
    if (line != 0)
        return;
    if (bench->options.program == NULL)
        bench_fail("--program: where is nats-server?");
    is_trip = strcmp(bench->options.mode, "trip") == 0;
    state = bench_shared(sizeof *state);
    snprintf(port, sizeof port, "%u", bench_free_port());
    snprintf(url, sizeof url, "nats://%s:%s", bench_host(), port);
    char *words[] = {(char *)bench->options.program, (char *)"-a", (char *)bench_host(), (char *)"-p", port, (char *)"-l",
                     (char *)"/dev/null", NULL};
    bench_beside(bench, bench->options.cpu[1], words);

}

static void connect_to_server(void)
{
    int64_t deadline = bench_now_ns() + (int64_t)PATIENCE_MS * 1000000;
    natsOptions *options;
    natsStatus status;
    must(natsOptions_Create(&options), "natsOptions_Create");
    must(natsOptions_SetURL(options, url), "natsOptions_SetURL");
    must(natsOptions_SetSendAsap(options, is_trip), "natsOptions_SetSendAsap"); /* else what is said waits up to a millisecond for more */
    while ((status = natsConnection_Connect(&connection, options)) != NATS_OK && bench_now_ns() < deadline)
        bench_rest(10000);
    must(status, url);
    natsOptions_Destroy(options);
}

static void peer_open(struct bench *bench, unsigned line, bool producer)
{
    (void)bench;
    if (line != 0)
        return;
    connect_to_server();
    asks = producer;
    if (producer) {
        bench_wait_word(state, true, "the consumer subscribes");
        return;
    }
    must(natsConnection_SubscribeSync(&subscription, connection, "bench"), "subscribe");
    must(natsSubscription_SetPendingLimits(subscription, -1, -1), "limits");
    must(natsConnection_FlushTimeout(connection, PATIENCE_MS), "flush");
    atomic_store(state, 1);
}

static inline bool peer_put(unsigned line, const void *bytes, size_t size)
{
    if (line == 1) {
        must(natsConnection_Publish(connection, natsMsg_GetReply(held), bytes, (int)size), "publish");
        natsMsg_Destroy(held);
    } else if (is_trip && *(const uint64_t *)bytes != BENCH_LAST) {
        must(natsConnection_Request(&held, connection, "bench", bytes, (int)size, PATIENCE_MS), "request");
    } else {
        must(natsConnection_Publish(connection, "bench", bytes, (int)size), "publish");
    }
    return true;
}

static inline bool peer_get(unsigned line, void *bytes, size_t size)
{
    if (line == 0)
        must(natsSubscription_NextMsg(&held, subscription, 4 * PATIENCE_MS), "next");
    if ((size_t)natsMsg_GetDataLength(held) != size)
        bench_fail("a message of %d bytes", natsMsg_GetDataLength(held));
    memcpy(bytes, natsMsg_GetData(held), size);
    if (line == 1 || !is_trip)
        natsMsg_Destroy(held);
    return true;
}

static void peer_close(unsigned line, bool producer)
{
    if (line != 0)
        return;
    if (producer) {
        must(natsConnection_FlushTimeout(connection, 8000), "flush");
        bench_wait_word(state, false, "the consumer closes");
    }
    natsSubscription_Destroy(subscription);
    natsConnection_Destroy(connection);
    if (!producer)
        atomic_store(state, 0);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "NATS"};
    return peer_main(&bench, argc, argv, false, 1u << 20);
}
