/* bridge.c -- messages to or from a queue of another host, over TCP on the loopback, through a ptqbridge.
 *
 * Two directories that share nothing stand for two hosts, and each host has a core; --program is the ptqbridge that serves the home.
 * --mode put: the producer is far away and calls ptq_put_many by --batch (1: ptq_put); each call returns when the home
 * has acknowledged it.  --mode get: the consumer is far away and calls ptq_get_many by --batch (1: ptq_recv).
 * --mode pipeline: far away, ptq_put of a handle with PTQ_PIPELINE; the queue has packs of the usual size.  --mode bytes: as put, told in bytes.
 * --mode callers: --callers threads of the far process, a ptq_put each at a time; --mode acks: the same, with a consumer as of ack.
 * --mode trip: one ptq_put at a time, and how long it takes, while the home's consumer waits in a get; --mode ack: while he
 * looks once a millisecond, so that no third process is woken.
 * --via tls: over tls, with certificates made for it.  --via bridges: the far process stays on shared memory, and the ptqbridge of its host
 * carries what is put (PTQ_ACK_LOCAL; with --mode pipeline PTQ_PIPELINE).
 */
#include "use.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#define BATCH_MAX 4096
#define SIZE_MOST (8u << 20)
#define PATIENCE_MS 20000
#define PACK_BYTES 4096 /* what a queue has that is made with PTQ_PIPELINE */

static char home_dir[96], far_dir[96], home_keys[96], far_keys[96], url[64];

static bool is_mode(const struct bench *bench, const char *mode)
{
    return strcmp(bench->options.mode, mode) == 0;
}

static bool by_tls(const struct bench *bench)
{
    return bench->options.via != NULL && strcmp(bench->options.via, "tls") == 0;
}

static bool by_bridges(const struct bench *bench)
{
    return bench->options.via != NULL && strcmp(bench->options.via, "bridges") == 0;
}

static void start_bridge(struct bench *bench, char *dir, char *listen, char *peer)
{
    char *words[20] = {(char *)bench->options.program, (char *)"--dir", dir, (char *)"--run", (char *)"bench", (char *)"--quiet",
                       (char *)"--listen", listen};
    char **more = words + 8;
    if (peer != NULL) {
        *more++ = (char *)"--peer";
        *more++ = peer;
    }
    if (by_tls(bench)) {
        *more++ = (char *)"--keys";
        *more++ = home_keys;
        *more++ = (char *)"--node";
        *more++ = (char *)"home";
    }
    bench_beside(bench, bench->options.cpu[peer == NULL], words);
}

static void start_bridges(struct bench *bench)
{
    static char peer[96], far_url[64];
    if (bench->options.program == NULL)
        bench_fail("--program: where is ptqbridge?");
    snprintf(home_dir, sizeof home_dir, "%s/home", bench->dir);
    snprintf(far_dir, sizeof far_dir, "%s/far", bench->dir);
    snprintf(home_keys, sizeof home_keys, "%s/keys/home", bench->dir);
    snprintf(far_keys, sizeof far_keys, "%s/keys/far", bench->dir);
    snprintf(url, sizeof url, "%stcp://%s:%u", by_tls(bench) ? "tls+" : "", bench_host(), bench_free_port());
    if (mkdir(home_dir, 0700) != 0 || mkdir(far_dir, 0700) != 0)
        bench_fail("%s: %s", bench->dir, strerror(errno));
    if (by_tls(bench))
        bench_make_keys(bench, bench->dir);
    start_bridge(bench, home_dir, url, NULL);
    if (!by_bridges(bench))
        return;
    snprintf(peer, sizeof peer, "home=%s", url);
    snprintf(far_url, sizeof far_url, "ipc://%s/far.sock", bench->dir);
    start_bridge(bench, far_dir, far_url, peer);
}

/* The side at home makes the queue; the far side waits until the bridge answers and the queue is there. */
static ptq_queue *open_far(struct bench *bench, ptq_bus *bus)
{
    struct ptq_error error = {0};
    unsigned flags = is_mode(bench, "pipeline") ? PTQ_PIPELINE : by_bridges(bench) ? PTQ_ACK_LOCAL : 0;
    flags |= by_bridges(bench) ? PTQ_VIA_BRIDGE : 0;
    struct ptq_queue_options options = {.mode = PTQ_ATTACH, .wait_ms = PATIENCE_MS, .flags = flags, .error = &error};
    ptq_queue *queue;
    int64_t deadline = bench_now_ns() + (int64_t)PATIENCE_MS * 1000000;
    enum ptq_err err;
    while ((err = ptq_queue_open(bus, "stream@home", &options, &queue)) != PTQ_OK) {
        if ((err != PTQ_EUNREACHABLE && err != PTQ_ENOENT) || bench_now_ns() > deadline)
            bench_fail("open stream@home at %s: %s: %s", url, ptq_err_name(err), error.text);
        bench_rest(10000);
    }
    return queue;
}

static ptq_queue *open_side(struct bench *bench, bool far, ptq_bus **ret_bus)
{
    char peers[96];
    snprintf(peers, sizeof peers, "home=%s", url);
    struct ptq_error error = {0};
    struct ptq_bus_options options = {.dir = far ? far_dir : home_dir, .peers = far && !by_bridges(bench) ? peers : NULL, .error = &error};
    if (far && by_tls(bench)) {
        options.keys = far_keys;
        options.node = "far";
    }
    if (ptq_bus_open("bench", &options, ret_bus) != PTQ_OK)
        bench_fail("ptq_bus_open %s: %s", options.dir, error.text);
    if (far)
        return open_far(bench, *ret_bus);
    return bench_open_with(*ret_bus, "stream", (struct ptq_queue_options){.capacity = bench->options.capacity,
                                                                          .item_size = bench->options.item_size,
                                                                          .pack_size = is_mode(bench, "pipeline") ? PACK_BYTES : 0});
}

/* -- in ---------------------------------------------------------------------------------------------------------- */

struct producer {
    struct bench *bench;
    ptq_queue *queue;
};

static void put_batches(void *context, unsigned index)
{
    const struct producer *producer = context;
    struct ptq_bytes *items = calloc(BATCH_MAX, sizeof *items);
    size_t size = producer->bench->options.size, batch = producer->bench->options.batch;
    uint64_t *words = bench_buffer(batch * size);
    for (size_t i = 0; i < batch; i++)
        items[i] = (struct ptq_bytes){words + i * size / 8, size};
    for (uint64_t number = 0; !bench_stopped(producer->bench);) {
        for (size_t i = 0; i < batch; i++)
            bench_fill_large(words + i * size / 8, size, number++, index);
        bench_must(batch == 1 ? ptq_put(producer->queue, words, size, PTQ_FOREVER)
                              : ptq_put_many(producer->queue, items, batch, PTQ_FOREVER, NULL),
                   "put");
    }
    free(words);
    free(items);
}

static void put_timed(struct bench *bench, ptq_queue *queue)
{
    struct bench_trips *trips = calloc(1, sizeof *trips);
    size_t size = bench->options.size;
    uint64_t *words = bench_buffer(size), number = 0;
    for (; !bench_stopped(bench); number++) {
        bench_tick(bench, 0, number);
        bench_fill_large(words, size, number, 0);
        uint64_t asked = bench_ticks();
        bench_must(ptq_put(queue, words, size, PTQ_FOREVER), "ptq_put");
        bench_trips_note(trips, bench, bench_ticks() - asked);
    }
    bench_tick(bench, 0, number);
    bench_trips_leave(trips, bench, 0);
    free(trips);
    free(words);
}

static void put_single(struct bench *bench, ptq_queue *queue)
{
    struct bench_message message = {0};
    size_t size = bench->options.size;
    for (uint64_t number = 0; number % 64 != 0 || !bench_stopped(bench); number++) {
        bench_fill(&message, size, number, 0);
        bench_must(ptq_put(queue, message.word, size, PTQ_FOREVER), "ptq_put");
    }
}

static void produce(struct bench *bench, unsigned index)
{
    ptq_bus *bus;
    ptq_queue *queue = open_side(bench, !is_mode(bench, "get"), &bus);
    (void)index;
    bench_barrier(bench);
    if (is_mode(bench, "trip") || is_mode(bench, "ack"))
        put_timed(bench, queue);
    else if (is_mode(bench, "pipeline"))
        put_single(bench, queue);
    else
        bench_each(bench->options.callers, put_batches, &(struct producer){bench, queue});
    bench_must(ptq_flush(queue, PATIENCE_MS), "ptq_flush");
    bench_must(ptq_end(queue), "ptq_end");
    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

/* -- out --------------------------------------------------------------------------------------------------------- */

static void consume(struct bench *bench, unsigned index)
{
    static ptq_msg *msgs[BATCH_MAX];
    static struct bench_seen seen;
    size_t batch = is_mode(bench, "get") ? bench->options.batch : bench->options.batch > 32 ? bench->options.batch : 32, got;
    uint64_t count = 0;
    ptq_bus *bus;
    bool far = is_mode(bench, "get"), looks = is_mode(bench, "ack") || is_mode(bench, "acks");
    ptq_queue *queue = open_side(bench, far, &bus);
    enum ptq_err err;
    bench_barrier(bench);
    while ((err = ptq_get_many(queue, msgs, 1, batch, looks ? PTQ_NOWAIT : PTQ_FOREVER, &got)) == PTQ_OK ||
           (looks && err == PTQ_EMPTY)) {
        if (err == PTQ_EMPTY) {
            bench_rest(1000);
            continue;
        }
        for (size_t i = 0; i < got; i++, count++)
            bench_look(&seen, ptq_msg_data(msgs[i]), ptq_msg_size(msgs[i]), true);
        bench_must(ptq_ack_many(msgs, got), "ptq_ack_many");
        bench_tick(bench, index, count);
    }
    if (err != PTQ_END)
        bench_must(err, "get");
    bench_tick(bench, index, count);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "Messages over TCP through a ptqbridge",
                          .size_max = SIZE_MOST,
                          .options = {.size = 64, .batch = 32, .producers = 1, .consumers = 1, .callers = 1, .mode = "put"}};
    bench_init(&bench, argc, argv);
    if (bench.options.batch > BATCH_MAX || bench.options.producers != 1 || bench.options.consumers != 1)
        bench_fail("one producer, one consumer, --batch up to %d", BATCH_MAX);
    bench_scratch(&bench);
    start_bridges(&bench);
    bench_run_stream(&bench, produce, consume);
    if (is_mode(&bench, "trip") || is_mode(&bench, "ack")) {
        bench_print_trips(&bench, "us");
        return 0;
    }
    double rate = bench_rate(&bench, 1, 1);
    if (is_mode(&bench, "bytes"))
        bench_print(&bench, rate * (double)bench.options.size / 1e9, "GB/s");
    else
        bench_print(&bench, rate / 1e6, "M/s");
    bench_print_more(&bench, bench.cpu_ns / (rate * bench.options.ms / 1e3), "ns", "cpu");
    return 0;
}
