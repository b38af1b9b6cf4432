/* ck_ring.c -- peer: Concurrency Kit's ck_ring between processes, one producer and one consumer.
 *
 * It carries pointers: an 8-byte message is one; a larger one is written into a place of a pool, and its number is
 * carried. Nothing in it waits: it is polled hard.  It does not survive a kill, and with more roles than cores its
 * many-to-many form stands still while a holder is preempted; so it is measured one to one only.
 */
#include "shape.h"

#include <ck_ring.h>

#define CELLS 4096
#define PLACES (2 * CELLS) /* more than can be in the ring: with one consumer a place is read before its turn comes again */

static struct line {
    _Alignas(BENCH_LINE) struct ck_ring ring;
    _Alignas(BENCH_LINE) ck_ring_buffer_t buffer[CELLS];
    _Alignas(BENCH_LINE) unsigned char places[];
} *lines[PEER_LINES];

static uint64_t turn; /* the producer's */

static void peer_prepare(struct bench *bench, unsigned line)
{
    lines[line] = bench_shared(sizeof *lines[line] + PLACES * bench->options.size);
    ck_ring_init(&lines[line]->ring, CELLS);
}

static void peer_open(struct bench *bench, unsigned line, bool producer)
{
    (void)bench, (void)line, (void)producer;
}

static inline bool peer_put(unsigned line, const void *bytes, size_t size)
{
    struct line *l = lines[line];
    uintptr_t value = turn % PLACES;
    if (size == sizeof value)
        memcpy(&value, bytes, size);
    else
        memcpy(l->places + value * size, bytes, size);
    if (!ck_ring_enqueue_spsc(&l->ring, l->buffer, (void *)value))
        return false;
    turn++;
    return true;
}

static inline bool peer_get(unsigned line, void *bytes, size_t size)
{
    struct line *l = lines[line];
    void *pointer;
    if (!ck_ring_dequeue_spsc(&l->ring, l->buffer, &pointer))
        return false;
    uintptr_t value = (uintptr_t)pointer;
    if (size == sizeof value)
        memcpy(bytes, &value, size);
    else
        memcpy(bytes, l->places + value * size, size);
    return true;
}

static void peer_close(unsigned line, bool producer)
{
    (void)line, (void)producer;
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "ck_ring, single producer, single consumer"};
    return peer_main(&bench, argc, argv, false, 4096);
}
