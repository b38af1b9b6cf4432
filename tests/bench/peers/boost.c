/* boost.c -- peer: Boost.Interprocess's message_queue in shared memory, a process-shared mutex and two conditions. */
#include "shape.h"

#include "plus.h"

#include <stdio.h>
#include <unistd.h>

static void *lines[PEER_LINES];

static void peer_prepare(struct bench *bench, unsigned line)
{
    char name[64], error[160] = "";
    snprintf(name, sizeof name, "ptq-bench.%d.%u", (int)getpid(), line);
    size_t size = bench->options.size, capacity = size > 4096 ? 16 : 4096;
    lines[line] = boost_queue_new(name, capacity, size, error, sizeof error);
    if (lines[line] == NULL)
        bench_fail("message_queue: %s", error);
}

static void peer_open(struct bench *bench, unsigned line, bool producer)
{
    (void)bench, (void)line, (void)producer;
}

static inline bool peer_put(unsigned line, const void *bytes, size_t size)
{
    boost_queue_put(lines[line], bytes, size);
    return true;
}

static inline bool peer_get(unsigned line, void *bytes, size_t size)
{
    boost_queue_get(lines[line], bytes, size);
    return true;
}

static void peer_close(unsigned line, bool producer)
{
    (void)line, (void)producer;
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "Boost.Interprocess message_queue"};
    return peer_main(&bench, argc, argv, true, 8u << 20);
}
