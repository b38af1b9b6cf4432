/* bench.h -- what `ptq bench` and the processes it starts say to each other.
 *
 * The parent starts this executable again for each producer and consumer.  A child reads its task from standard input,
 * opens the queue, writes BENCH_READY, waits for BENCH_GO, does its part, and writes its result.  Both ends are the same
 * executable, so the structs travel as they are.
 */
#ifndef PTQ_TOOL_BENCH_H
#define PTQ_TOOL_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include <ptq/queue.h>

#define BENCH_MAGIC 0x7074712062656e31u
#define BENCH_READY 'r'
#define BENCH_GO 'g'
#define BENCH_BUCKETS 1280
#define BENCH_BATCH_MAX 4096

/* A child's task. */
struct bench_task {
    uint64_t magic;
    char queue[PTQ_NAME_MAX + 1];
    bool producer;
    bool latency;
    uint32_t index;     /* among all children */
    uint32_t size;      /* bytes in a message */
    uint32_t batch;     /* messages a call */
    uint32_t consumers; /* of one consumer a message must follow the one before; of several it must only be later */
    int32_t core;       /* where to run; -1: anywhere */
    uint64_t count;     /* producers: messages to put; 0: until time_ns is over */
    int64_t time_ns;
    uint64_t rate;      /* messages a second; 0: as fast as it goes */
};

/* Latencies in buckets of a thirty-second of their power of two. */
struct bench_result {
    uint64_t messages;
    uint64_t timed;            /* how many of them lie between first_ns and last_ns */
    int64_t first_ns, last_ns; /* monotonic clock, looked at now and then: the wait for the end is not measured */
    int64_t most_ns;           /* the longest latency */
    uint64_t buckets[BENCH_BUCKETS];
};

/* bench_role.c: the life of a child; returns its exit code. */
int bench_play(void);

int64_t bench_clock_ns(void);

/* Reads or writes all of it; false with errno set (0 at an early end). */
bool bench_read(int fd, void *bytes, size_t size);
bool bench_write(int fd, const void *bytes, size_t size);

/* The latency in nanoseconds below which `part` (0 to 1) of all messages stayed. */
double bench_quantile(const struct bench_result *result, double part);

#endif
