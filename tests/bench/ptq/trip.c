/* trip.c -- there and back through two ptq queues, one message at a time.
 *
 * --poll hard: both sides ask with PTQ_NOWAIT and never sleep.  --poll adaptive: both make calls that wait; while
 * messages flow ptq polls a little before it sleeps, so that they hardly ever do.  --think US: each computes so long
 * before it speaks, so that the other one sleeps; that time is not counted.  --one-core: they share a core.
 * --mode recv: ptq_recv; --mode get: ptq_get and ptq_ack.
 */
#include "use.h"

#define THOUGHT 2 /* the word in which an answer says how long it was thought about */

struct player {
    struct bench *bench;
    ptq_queue *out, *in;
    bool leased;
    int timeout;
};

static void say(struct player *player, const struct bench_message *message)
{
    enum ptq_err err;
    while ((err = ptq_put(player->out, message->word, player->bench->options.size, player->timeout)) == PTQ_FULL)
        ;
    bench_must(err, "ptq_put");
}

static enum ptq_err hear_leased(struct player *player, struct bench_message *message)
{
    ptq_msg *msg;
    enum ptq_err err = ptq_get(player->in, player->timeout, &msg);
    if (err != PTQ_OK)
        return err;
    memcpy(message->word, ptq_msg_data(msg), ptq_msg_size(msg));
    return ptq_ack(msg);
}

static void hear(struct player *player, struct bench_message *message)
{
    enum ptq_err err;
    size_t size;
    unsigned spins = 0;
    for (;;) {
        err = player->leased ? hear_leased(player, message)
                             : ptq_recv(player->in, message->word, sizeof message->word, player->timeout, &size);
        if (err != PTQ_EMPTY)
            break;
        if (player->bench->options.one_core)
            bench_let_run(player->bench, &spins);
    }
    bench_must(err, "get");
}

static void ask(struct player *player, unsigned index)
{
    static struct bench_message message;
    static struct bench_trips trips;
    bool timed = player->bench->options.percentiles;
    uint64_t number = 0, asked = 0;
    for (; !bench_stopped(player->bench); number++) {
        bench_tick(player->bench, index, number);
        bench_fill(&message, player->bench->options.size, number, index);
        if (timed) {
            bench_think(player->bench);
            asked = bench_ticks();
        }
        say(player, &message);
        hear(player, &message);
        if (timed)
            bench_trips_note(&trips, player->bench, bench_ticks() - asked - message.word[THOUGHT]);
        if (message.word[0] != number)
            bench_wrong(message.word[0], number, 1);
    }
    bench_tick(player->bench, index, number);
    if (timed)
        bench_trips_leave(&trips, player->bench, index);
    message.word[0] = BENCH_LAST;
    say(player, &message);
}

static void answer(struct player *player)
{
    static struct bench_message message;
    for (;;) {
        hear(player, &message);
        if (message.word[0] == BENCH_LAST)
            return;
        if (player->bench->options.percentiles)
            message.word[THOUGHT] = bench_think(player->bench);
        say(player, &message);
    }
}

static void play(struct bench *bench, unsigned index)
{
    ptq_bus *bus = bench_open_bus(bench->dir, NULL);
    struct player player = {.bench = bench,
                            .out = bench_open_queue(bench, bus, index == 0 ? "there" : "back"),
                            .in = bench_open_queue(bench, bus, index == 0 ? "back" : "there"),
                            .leased = strcmp(bench->options.mode, "get") == 0,
                            .timeout = bench->options.hard ? PTQ_NOWAIT : PTQ_FOREVER};
    bench_barrier(bench);
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
    struct bench bench = {.name = "There and back through two ptq queues", .options = {.size = 64, .mode = "recv"}};
    bench_init(&bench, argc, argv);
    if (bench.options.percentiles && bench.options.size < 8 * (THOUGHT + 2))
        bench_fail("--percentiles: of messages of %d bytes or more", 8 * (THOUGHT + 2));
    bench_scratch(&bench);
    bench_run(&bench, play, 2);
    bench_print_trips(&bench, bench.options.hard ? "ns" : "us");
    return 0;
}
