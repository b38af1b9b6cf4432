/* use.h -- how the drivers use ptq: public calls only, the queue made as a user would make it. */
#ifndef PTQ_BENCH_USE_H
#define PTQ_BENCH_USE_H

#include "../kit.h"

#include <ptq/ptq.h>
#include <sched.h>
#include <stdio.h>

static inline void bench_must(enum ptq_err err, const char *what)
{
    if (err != PTQ_OK)
        bench_fail("%s: %s", what, ptq_strerror(err));
}

/* The bus in `dir`, found by a role after it was forked. */
static inline ptq_bus *bench_open_bus(const char *dir, const char *peers)
{
    struct ptq_error error = {0};
    struct ptq_bus_options options = {.dir = dir, .peers = peers, .error = &error};
    ptq_bus *bus;
    if (ptq_bus_open("bench", &options, &bus) != PTQ_OK)
        bench_fail("ptq_bus_open %s: %s", dir, error.text);
    return bus;
}

static inline ptq_queue *bench_open_with(ptq_bus *bus, const char *name, struct ptq_queue_options options)
{
    struct ptq_error error = {0};
    ptq_queue *queue;
    options.error = &error;
    if (ptq_queue_open(bus, name, &options, &queue) != PTQ_OK)
        bench_fail("ptq_queue_open %s: %s", name, error.text);
    return queue;
}

/* Leases and crash safety are always on; only capacity and item_size can be chosen, as by a user. */
static inline ptq_queue *bench_open_queue(const struct bench *bench, ptq_bus *bus, const char *name)
{
    return bench_open_with(bus, name, (struct ptq_queue_options){.capacity = bench->options.capacity,
                                                                 .item_size = bench->options.item_size});
}

/* Where more roles than cores poll without sleeping, whoever cannot go on must let the others run. */
static inline void bench_let_run(const struct bench *bench, unsigned *spins)
{
    bool crowded = bench->options.one_core || bench->options.producers + bench->options.consumers > 2;
    if (crowded && ++*spins % 64 == 0)
        sched_yield();
}

#endif
