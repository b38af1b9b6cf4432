/* moodycamel.c -- peer: moodycamel::ConcurrentQueue between threads, which is all it knows; order holds for each
 * producer alone.
 *
 * It has no bound of its own; here a producer looks now and then and waits while there is too much in it.  (Its
 * try_enqueue, which takes no new memory, stood still for ever with two producers.)  Nothing in it waits: it is polled
 * hard.
 */
#include "shape.h"

#include "plus.h"

#define CAPACITY 4096

static void *lines[PEER_LINES];
static _Thread_local void *sides[PEER_LINES];

static void peer_prepare(struct bench *bench, unsigned line)
{
    lines[line] = moodycamel_new(CAPACITY, bench->options.producers, bench->options.size);
    if (lines[line] == NULL)
        bench_fail("messages of 8 or 64 bytes");
}

static void peer_open(struct bench *bench, unsigned line, bool producer)
{
    (void)bench;
    sides[line] = producer ? moodycamel_producer(lines[line]) : moodycamel_consumer(lines[line]);
}

static inline bool peer_put(unsigned line, const void *bytes, size_t size)
{
    (void)size;
    return moodycamel_put(sides[line], bytes);
}

static inline bool peer_get(unsigned line, void *bytes, size_t size)
{
    (void)size;
    return moodycamel_get(sides[line], bytes);
}

static void peer_close(unsigned line, bool producer)
{
    (void)line, (void)producer; /* what is left ends with the process */
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "moodycamel::ConcurrentQueue between threads", .threads = true};
    return peer_main(&bench, argc, argv, true, 64);
}
