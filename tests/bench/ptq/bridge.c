/* bridge.c -- messages a second to or from a queue of another host, over TCP on the loopback, through a ptqbridge.
 *
 * Two directories that share nothing stand for two hosts; --program is the ptqbridge that serves the home.
 * --mode put: the producer is far away and calls ptq_put_many by --batch (1: ptq_put); each call returns when the home
 * has acknowledged it.  --mode get: the consumer is far away and calls ptq_get_many by --batch (1: ptq_recv).
 */
#include "use.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH_MAX 4096
#define PATIENCE_MS 5000

static char home_dir[96], far_dir[96], url[64];

static unsigned free_port(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name) != 0 ||
        getsockname(fd, (struct sockaddr *)&name, &length) != 0)
        bench_fail("no free port on loopback: %s", strerror(errno));
    close(fd);
    return ntohs(name.sin_port);
}

static void start_bridge(struct bench *bench)
{
    if (bench->options.program == NULL)
        bench_fail("--program: where is ptqbridge?");
    snprintf(home_dir, sizeof home_dir, "%s/home", bench->dir);
    snprintf(far_dir, sizeof far_dir, "%s/far", bench->dir);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", free_port());
    if (mkdir(home_dir, 0700) != 0 || mkdir(far_dir, 0700) != 0)
        bench_fail("%s: %s", bench->dir, strerror(errno));
    bench_beside(bench, (char *[]){(char *)bench->options.program, (char *)"--dir", home_dir, (char *)"--run", (char *)"bench",
                               (char *)"--listen", url, (char *)"--quiet", NULL});
}

/* The side at home makes the queue; the far side waits until the bridge answers and the queue is there. */
static ptq_queue *open_far(ptq_bus *bus)
{
    struct ptq_error error = {0};
    struct ptq_queue_options options = {.mode = PTQ_ATTACH, .wait_ms = PATIENCE_MS, .error = &error};
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
    *ret_bus = bench_open_bus(far ? far_dir : home_dir, far ? peers : NULL);
    return far ? open_far(*ret_bus) : bench_open_queue(bench, *ret_bus, "stream");
}

static void produce(struct bench *bench, unsigned index)
{
    static struct ptq_bytes items[BATCH_MAX];
    size_t size = bench->options.size, batch = bench->options.batch;
    unsigned char *bytes = malloc(batch * size);
    struct bench_message message = {0};
    ptq_bus *bus;
    ptq_queue *queue = open_side(bench, strcmp(bench->options.mode, "put") == 0, &bus);
    for (size_t i = 0; i < batch; i++)
        items[i] = (struct ptq_bytes){bytes + i * size, size};
    bench_barrier(bench);
    for (uint64_t number = 0; !bench_stopped(bench);) {
        for (size_t i = 0; i < batch; i++) {
            bench_fill(&message, size, number++, index);
            memcpy(bytes + i * size, message.word, size);
        }
        bench_must(batch == 1 ? ptq_put(queue, bytes, size, PTQ_FOREVER)
                              : ptq_put_many(queue, items, batch, PTQ_FOREVER, NULL),
                   "put");
    }
    bench_must(ptq_end(queue), "ptq_end");
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    free(bytes);
}

static void consume(struct bench *bench, unsigned index)
{
    static ptq_msg *msgs[BATCH_MAX];
    struct bench_seen seen = {0};
    size_t batch = bench->options.batch, got;
    uint64_t count = 0;
    ptq_bus *bus;
    ptq_queue *queue = open_side(bench, strcmp(bench->options.mode, "get") == 0, &bus);
    enum ptq_err err;
    bench_barrier(bench);
    while ((err = ptq_get_many(queue, msgs, 1, batch, PTQ_FOREVER, &got)) == PTQ_OK) {
        for (size_t i = 0; i < got; i++, count++) {
            bench_check(&seen, ptq_msg_data(msgs[i]), ptq_msg_size(msgs[i]), true);
            bench_must(ptq_ack(msgs[i]), "ptq_ack");
        }
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
    struct bench bench = {.name = "Messages a second over TCP through a ptqbridge",
                          .options = {.size = 64, .batch = 32, .producers = 1, .consumers = 1, .mode = "put"}};
    bench_init(&bench, argc, argv);
    if (bench.options.batch > BATCH_MAX || bench.options.producers != 1 || bench.options.consumers != 1)
        bench_fail("one producer, one consumer, --batch up to %d", BATCH_MAX);
    bench_scratch(&bench);
    start_bridge(&bench);
    bench_run_stream(&bench, produce, consume);
    bench_print(&bench, bench_rate(&bench, 1, 1) / 1e6, "M/s");
    return 0;
}
