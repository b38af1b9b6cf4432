/* pingpong.c -- a flag that goes from core to core and back: how near the two cores are, and the floor of a round trip.
 *
 * Each side writes its message into a place of its own, number last; the other polls that number, copies the message
 * out, and answers.  8 bytes are the flag alone.
 */
#include "../kit.h"

struct side {
    _Alignas(BENCH_LINE) _Atomic uint64_t number;
    unsigned char bytes[BENCH_SIZE_MAX - 8];
};

struct table {
    struct side side[2];
};

static void speak(struct side *side, const struct bench_message *message, size_t size)
{
    memcpy(side->bytes, &message->word[1], size - 8);
    atomic_store_explicit(&side->number, message->word[0], memory_order_release);
}

static void listen(struct side *side, struct bench_message *message, uint64_t number, size_t size)
{
    while (atomic_load_explicit(&side->number, memory_order_acquire) < number)
        ;
    message->word[0] = atomic_load_explicit(&side->number, memory_order_relaxed);
    memcpy(&message->word[1], side->bytes, size - 8);
    __asm__ volatile("" : : "r"(message) : "memory");
}

static void play(struct bench *bench, unsigned index)
{
    struct table *table = bench->shared;
    struct bench_message message = {0};
    size_t size = bench->options.size;
    static struct bench_trips trips;
    bool timed = index == 0 && bench->options.percentiles;
    uint64_t asked = 0;
    bench_barrier(bench);
    for (uint64_t number = 1;; number++) {
        if (index == 0) {
            bench_tick(bench, 0, number - 1);
            if (timed)
                asked = bench_ticks();
            message.word[0] = bench_stopped(bench) ? BENCH_LAST : number;
            if (size > 8)
                message.word[size / 8 - 1] = number;
            speak(&table->side[0], &message, size);
        }
        if (index == 0 && message.word[0] == BENCH_LAST)
            break;
        listen(&table->side[!index], &message, number, size);
        if (message.word[0] == BENCH_LAST)
            return;
        if (size > 8 && message.word[size / 8 - 1] != number)
            bench_wrong(message.word[size / 8 - 1], number, !index);
        if (index == 1)
            speak(&table->side[1], &message, size);
        if (timed)
            bench_trips_note(&trips, bench, bench_ticks() - asked);
    }
    if (timed)
        bench_trips_leave(&trips, bench, index);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "Flag ping-pong between two cores, round trip", .options = {.size = 8}};
    bench_init(&bench, argc, argv);
    if (bench.options.one_core || bench.options.cpu[0] == bench.options.cpu[1])
        bench_fail("two cores are needed: a flag cannot be polled on one");
    bench.shared = bench_shared(sizeof(struct table));
    bench_run(&bench, play, 2);
    bench_print_trips(&bench, "ns");
    return 0;
}
