/* handover.c -- a large message handed over in place, and another one back: ptq_loan, ptq_publish, ptq_get, ptq_ack.
 *
 * Nothing is copied.  The first and the last word of each message are written by who lends it and checked by who gets
 * it; the rest of its memory is there and mapped after the first few, before anything is measured.  Both sides poll
 * (PTQ_NOWAIT); --poll adaptive: calls that wait.
 */
#include "use.h"

#include <stdlib.h>

#define WARM_TRIPS 4 /* each block's file is made and mapped by then */

struct player {
    struct bench *bench;
    ptq_queue *out, *in;
    int timeout;
};

static uint64_t *last_word(void *bytes, size_t size)
{
    return (uint64_t *)((char *)bytes + size - sizeof(uint64_t));
}

static void hand_over(struct player *player, uint64_t number)
{
    size_t size = player->bench->options.size;
    ptq_msg *loan;
    enum ptq_err err;
    while ((err = ptq_loan(player->out, size, player->timeout, &loan)) == PTQ_FULL)
        ;
    bench_must(err, "ptq_loan");
    *(uint64_t *)ptq_msg_buffer(loan) = number;
    *last_word(ptq_msg_buffer(loan), size) = ~number;
    bench_must(ptq_publish(loan, size, player->timeout, NULL), "ptq_publish");
}

static uint64_t take(struct player *player)
{
    size_t size = player->bench->options.size;
    ptq_msg *msg;
    enum ptq_err err;
    while ((err = ptq_get(player->in, player->timeout, &msg)) == PTQ_EMPTY)
        ;
    bench_must(err, "ptq_get");
    uint64_t number = *(const uint64_t *)ptq_msg_data(msg);
    if (ptq_msg_size(msg) != size || *last_word((void *)ptq_msg_data(msg), size) != ~number)
        bench_fail("message %llu: size or last word are wrong", (unsigned long long)number);
    bench_must(ptq_ack(msg), "ptq_ack");
    return number;
}

static void ask(struct player *player, unsigned index)
{
    static struct bench_trips trips;
    struct bench *bench = player->bench;
    bool timed = bench->options.percentiles;
    uint64_t asked = 0;
    for (uint64_t number = 0;; number++) {
        if (number == WARM_TRIPS)
            bench_barrier(bench);
        if (number >= WARM_TRIPS) {
            bench_tick(bench, index, number);
            if (bench_stopped(bench))
                break;
        }
        if (timed)
            asked = bench_ticks();
        hand_over(player, number);
        uint64_t back = take(player);
        if (timed && number >= WARM_TRIPS)
            bench_trips_note(&trips, bench, bench_ticks() - asked);
        if (back != number)
            bench_wrong(back, number, 1);
    }
    bench_trips_leave(&trips, bench, index);
    hand_over(player, BENCH_LAST);
}

static void answer(struct player *player)
{
    uint64_t number;
    for (uint64_t count = 0; (number = take(player)) != BENCH_LAST; count++) {
        hand_over(player, number);
        if (count + 1 == WARM_TRIPS)
            bench_barrier(player->bench);
    }
}

static void play(struct bench *bench, unsigned index)
{
    ptq_bus *bus = bench_open_bus(bench->dir, NULL);
    struct player player = {.bench = bench,
                            .out = bench_open_queue(bench, bus, index == 0 ? "there" : "back"),
                            .in = bench_open_queue(bench, bus, index == 0 ? "back" : "there"),
                            .timeout = bench->options.hard ? PTQ_NOWAIT : PTQ_FOREVER};
    if (index == 0)
        ask(&player, index);
    else
        answer(&player);
    ptq_queue_close(player.in);
    ptq_queue_close(player.out);
    ptq_bus_close(bus);
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "There and back through two ptq queues, by loan",
                          .size_max = PTQ_ITEM_MAX,
                          .options = {.size = 1 << 20, .capacity = 4, .hard = true}};
    bench_init(&bench, argc, argv);
    bench.options.item_size = (unsigned)bench.options.size;
    if (bench.options.one_core)
        bench_fail("two cores: both sides poll");
    bench_scratch(&bench);
    bench_run(&bench, play, 2);
    bench_print_trips(&bench, "ns");
    return 0;
}
