/* futex.c -- two processes that wake each other through the kernel: what a round trip costs when both sleep.
 *
 * --mode wake: one process calls FUTEX_WAKE where nobody waits; what a needless wake costs.
 * --think US: both compute so long before they speak, as in trip.c; that time is not counted.
 */
#include "../kit.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LAST UINT32_MAX

struct table {
    struct {
        _Alignas(BENCH_LINE) _Atomic uint32_t word;
        uint64_t thought; /* ticks before it spoke */
    } side[2];
};

static void wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Sleeps while the word is still `old`. */
static void wait_for_more(_Atomic uint32_t *word, uint32_t old)
{
    while (atomic_load_explicit(word, memory_order_acquire) == old)
        syscall(SYS_futex, word, FUTEX_WAIT, old, NULL, NULL, 0);
}

static void tell(_Atomic uint32_t *word, uint32_t number)
{
    atomic_store_explicit(word, number, memory_order_release);
    wake(word);
}

static void ask(struct bench *bench, unsigned index)
{
    struct table *table = bench->shared;
    static struct bench_trips trips;
    uint32_t number = 1;
    bench_barrier(bench);
    for (; !bench_stopped(bench); number++) {
        bench_tick(bench, index, number - 1);
        bench_think(bench);
        uint64_t asked = bench_ticks();
        tell(&table->side[0].word, number);
        wait_for_more(&table->side[1].word, number - 1);
        if (bench->options.percentiles)
            bench_trips_note(&trips, bench, bench_ticks() - asked - table->side[1].thought);
    }
    bench_trips_leave(&trips, bench, index);
    bench_tick(bench, index, number - 1);
    tell(&table->side[0].word, LAST);
}

static void answer(struct bench *bench)
{
    struct table *table = bench->shared;
    bench_barrier(bench);
    for (uint32_t number = 1;; number++) {
        wait_for_more(&table->side[0].word, number - 1);
        if (atomic_load_explicit(&table->side[0].word, memory_order_acquire) == LAST)
            return;
        table->side[1].thought = bench_think(bench);
        tell(&table->side[1].word, number);
    }
}

static void play(struct bench *bench, unsigned index)
{
    if (index == 0)
        ask(bench, index);
    else
        answer(bench);
}

static void wake_nobody(struct bench *bench, unsigned index)
{
    struct table *table = bench->shared;
    bench_barrier(bench);
    for (uint64_t count = 0;; count++) {
        bench_tick(bench, index, count);
        if (bench_stopped(bench))
            return;
        wake(&table->side[0].word);
    }
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "Futex round trip between two processes", .options = {.mode = "trip"}};
    bench_init(&bench, argc, argv);
    bench.shared = bench_shared(sizeof(struct table));
    bool alone = strcmp(bench.options.mode, "wake") == 0;
    bench_run(&bench, alone ? wake_nobody : play, alone ? 1 : 2);
    bench_print_trips(&bench, "us");
    return 0;
}
