/* rte_ring.c -- peer: DPDK's rte_ring between processes, one producer and one consumer, messages as its elements.
 *
 * A ring needs no DPDK environment: it is initialised in memory that both processes share.  --batch N: enqueued and
 * dequeued N at a time.  Nothing in it waits: it is polled hard.  It does not survive a kill, and its many-to-many
 * form stands still while a holder is preempted; so it is measured one to one only.
 */
#include "shape.h"

#include <rte_ring.h>

#define CELLS 4096
#define BATCH_MAX 256

static struct rte_ring *lines[PEER_LINES];
static unsigned batch;
static unsigned char *gathered; /* this role's: not yet enqueued, or dequeued and not yet handed out */
static unsigned begin, end;

static void peer_prepare(struct bench *bench, unsigned line)
{
    size_t size = bench->options.size;
    ssize_t bytes = rte_ring_get_memsize_elem((unsigned)size, CELLS);
    batch = bench->options.batch > 0 ? bench->options.batch : 1;
    if (bytes < 0 || batch > BATCH_MAX || (batch > 1 && strcmp(bench->options.mode, "trip") == 0))
        bench_fail("messages of %zu bytes by %u", size, batch);
    lines[line] = bench_shared((size_t)bytes);
    gathered = malloc(size * BATCH_MAX);
    if (rte_ring_init(lines[line], "bench", CELLS, RING_F_SP_ENQ | RING_F_SC_DEQ) != 0)
        bench_fail("rte_ring_init");
}

static void peer_open(struct bench *bench, unsigned line, bool producer)
{
    (void)bench, (void)line, (void)producer;
}

static inline bool peer_put(unsigned line, const void *bytes, size_t size)
{
    if (batch == 1)
        return rte_ring_sp_enqueue_elem(lines[line], (void *)bytes, (unsigned)size) == 0;
    bool last = *(const uint64_t *)bytes == BENCH_LAST;
    if (end < batch) {
        memcpy(gathered + end++ * size, bytes, size);
        if (end < batch && !last)
            return true;
    }
    /* Tried again with the same message where it is full. */
    if (rte_ring_sp_enqueue_bulk_elem(lines[line], gathered, (unsigned)size, end, NULL) != end)
        return false;
    end = 0;
    return true;
}

static inline bool peer_get(unsigned line, void *bytes, size_t size)
{
    if (batch == 1)
        return rte_ring_sc_dequeue_elem(lines[line], bytes, (unsigned)size) == 0;
    if (begin == end) {
        begin = 0;
        end = rte_ring_sc_dequeue_burst_elem(lines[line], gathered, (unsigned)size, batch, NULL);
        if (end == 0)
            return false;
    }
    memcpy(bytes, gathered + begin++ * size, size);
    return true;
}

static void peer_close(unsigned line, bool producer)
{
    (void)line, (void)producer;
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "rte_ring, single producer, single consumer"};
    return peer_main(&bench, argc, argv, false, 4096);
}
