/* duplex.c -- a pipe (<ptq/pipe.h>), one message at a time: ptq_pipe_send and ptq_pipe_recv, as the peers are measured.
 *
 * --mode stream: from the anchor to the point; --mode bytes: the same, bytes a second; --mode trip: there and back.
 */
#include "../peers/shape.h"
#include "use.h"

static ptq_bus *bus;
static ptq_pipe *end;
static unsigned uses;
static int timeout;

static void peer_prepare(struct bench *bench, unsigned line)
{
    (void)bench; /* it is made in the scratch directory by who opens the anchor */
    (void)line;
}

/* Line 0 goes to the point, line 1 to the anchor. */
static void peer_open(struct bench *bench, unsigned line, bool producer)
{
    struct ptq_error error = {0};
    struct ptq_pipe_options options = {.name = "bench", .capacity = bench->options.capacity, .error = &error,
                                       .item_size = bench->options.size > 4096 ? (uint32_t)bench->options.size : 0};
    if (uses++ > 0)
        return;
    timeout = bench->options.hard ? PTQ_NOWAIT : PTQ_FOREVER;
    bus = bench_open_bus(bench->dir, NULL);
    enum ptq_err err = (line == 0) == producer
                           ? ptq_pipe_pair(bus, &options, &end, NULL)
                           : ptq_pipe_open(bus, "bench", &(struct ptq_pipe_open_options){.wait_ms = 5000, .error = &error}, &end);
    if (err != PTQ_OK)
        bench_fail("pipe: %s", error.text);
}

static inline bool peer_put(unsigned line, const void *bytes, size_t size)
{
    enum ptq_err err = ptq_pipe_send(end, bytes, size, timeout);
    (void)line;
    if (err != PTQ_OK && err != PTQ_FULL)
        bench_must(err, "ptq_pipe_send");
    return err == PTQ_OK;
}

static inline bool peer_get(unsigned line, void *bytes, size_t size)
{
    size_t got;
    enum ptq_err err = ptq_pipe_recv(end, bytes, size, timeout, &got);
    (void)line;
    if (err != PTQ_OK && err != PTQ_EMPTY)
        bench_must(err, "ptq_pipe_recv");
    return err == PTQ_OK;
}

static void peer_close(unsigned line, bool producer)
{
    (void)line;
    (void)producer;
    if (--uses > 0)
        return;
    ptq_pipe_close(end);
    ptq_bus_close(bus);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "A pipe of ptq"};
    return peer_main(&bench, argc, argv, true, 1u << 20);
}
