/* cells.c -- two processes that add to one cell of a share, as fast as they can: ptq_i64_apply.
 *
 * The sum is checked.  --mode bytes: one writes 64 bytes again and again, the other one reads them; writes are counted.
 */
#include "use.h"

struct adder {
    ptq_bus *bus;
    ptq_share *share;
    ptq_cell *cell;
};

static void join(struct bench *bench, struct adder *adder)
{
    adder->bus = bench_open_bus(bench->dir, NULL);
    bench_must(ptq_share_open(adder->bus, "share", NULL, &adder->share), "ptq_share_open");
    if (strcmp(bench->options.mode, "add") == 0)
        bench_must(ptq_share_i64(adder->share, "sum", 0, &adder->cell), "ptq_share_i64");
    else
        bench_must(ptq_share_bytes(adder->share, "value", "", 0, &adder->cell), "ptq_share_bytes");
}

static void leave(struct adder *adder)
{
    ptq_cell_free(adder->cell);
    ptq_share_close(adder->share);
    ptq_bus_close(adder->bus);
}

static void add(struct bench *bench, unsigned index)
{
    struct adder adder;
    uint64_t count = 0;
    join(bench, &adder);
    bench_barrier(bench);
    while (count % 64 != 0 || !bench_stopped(bench)) {
        bench_must(ptq_i64_apply(adder.cell, PTQ_ADD, 1, NULL), "ptq_i64_apply");
        if (++count % 64 == 0)
            bench_tick(bench, index, count);
    }
    bench_tick(bench, index, count);
    bench->page->role[index].meter.extra[0] = (double)count;
    leave(&adder);
}

static void write_or_read(struct bench *bench, unsigned index)
{
    struct adder adder;
    struct bench_message message;
    uint64_t count = 0;
    size_t size;
    join(bench, &adder);
    bench_barrier(bench);
    while (!bench_stopped(bench)) {
        if (index == 0) {
            bench_fill(&message, 64, count, 0);
            bench_must(ptq_cell_write(adder.cell, message.word, 64), "ptq_cell_write");
        } else {
            bench_must(ptq_cell_read(adder.cell, message.word, sizeof message, &size, NULL), "ptq_cell_read");
            if (size != 0 && message.word[7] != ~message.word[0])
                bench_fail("a value is torn");
        }
        if (++count % 64 == 0 && index == 0)
            bench_tick(bench, index, count);
    }
    if (index == 0)
        bench_tick(bench, index, count);
    leave(&adder);
}

static void check_sum(struct bench *bench)
{
    struct adder adder;
    int64_t sum;
    join(bench, &adder);
    bench_must(ptq_i64_get(adder.cell, &sum), "ptq_i64_get");
    if ((double)sum != bench->page->role[0].meter.extra[0] + bench->page->role[1].meter.extra[0])
        bench_fail("the sum is %lld", (long long)sum);
    leave(&adder);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "cells", .options = {.ms = 500, .mode = "add"}};

    bench_init(&bench, argc, argv);
    bench_scratch(&bench);
    if (strcmp(bench.options.mode, "add") == 0) {
        bench_run(&bench, add, 2);
        check_sum(&bench);
        bench_print(&bench, bench_rate(&bench, 0, 2) / 1e6, "M/s");
    } else if (strcmp(bench.options.mode, "bytes") == 0) {
        bench_run(&bench, write_or_read, 2);
        bench_print(&bench, bench_rate(&bench, 0, 1) / 1e6, "M/s");
    } else {
        bench_fail("--mode %s: add or bytes", bench.options.mode);
    }
    return 0;
}
