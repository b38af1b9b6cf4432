/* more.c -- roles and scenarios of what stands beside put, get and ack: open units, delays, dead letters, recoverers, purge. */
#include <string.h>

#include "sim/ledger.h"
#include "sim/roles.h"

/* ---- roles */

/* What it kicks after the others were told END is its own to get. */
static void kick(void)
{
    sim_open_queue(0);
    sim_park();
    while (sim_actor()->done < sim_role()->count) {
        uint64_t count = 0;

        sim_actor()->done++;
        if (sim_chance(2))
            sim_rest();
        sim_me->inside = "kick";
        sim_expect(sim_api()->ptq_queue_kick(sim_actor()->queue, sim_random(3), &count), "a kick");
        sim_me->inside = NULL;
    }
    sim_consume_all();
    sim_close_queue();
}

/* Collects the dead again and again: with another one, at the same time. */
static void collect(void)
{
    sim_open_queue(0);
    sim_park();
    for (; sim_actor()->done < sim_role()->count && !sim.ended; sim_actor()->done++) {
        struct ptq_gc_report report;

        sim_me->inside = "gc";
        sim_expect(sim_api()->ptq_bus_gc(sim_actor()->bus, false, &report), "a gc");
        sim_me->inside = NULL;
        if (report.removed != 0)
            sim_fail("gc removed %u queues that are open", report.removed);
        sim_yield();
    }
    sim_close_queue();
}

static void purge(void)
{
    sim_open_queue(0);
    sim_park();
    while (sim_actor()->done < sim_role()->count) {
        uint64_t count = 0;

        sim_actor()->done++;
        sim_rest();
        sim_me->inside = "purge";
        sim_expect(sim_api()->ptq_queue_purge(sim_actor()->queue, &count), "a purge");
        sim_me->inside = NULL;
    }
    sim_close_queue();
}

static const struct sim_role
    appender = {.name = "exclusive producer", .work = sim_produce, .killable = true, .producer = true, .count = 14, .batch = 1,
                .timeout_ms = PTQ_FOREVER, .flags = PTQ_EXCLUSIVE},
    pack_putter = {.name = "putter of packs", .work = sim_produce, .killable = true, .producer = true, .count = 9, .batch = 3,
                   .timeout_ms = PTQ_FOREVER, .flags = PTQ_PIPELINE},
    produce_2 = SIM_PRODUCER(2, 1), produce_3 = SIM_PRODUCER(3, 1), produce_4 = SIM_PRODUCER(4, 1), produce_8 = SIM_PRODUCER(8, 1),
    consume_1 = SIM_CONSUMER(1, 0), consume_3 = SIM_CONSUMER(3, 0), consume_nacking = SIM_CONSUMER(1, 3),
    consume_sour = SIM_CONSUMER(1, 2),
    asker = {.name = "asker", .work = sim_consume, .killable = true, .batch = 1, .timeout_ms = PTQ_NOWAIT},
    asker_3 = {.name = "asker", .work = sim_consume, .killable = true, .batch = 3, .timeout_ms = PTQ_NOWAIT},
    asker_nacking = {.name = "asker", .work = sim_consume, .killable = true, .batch = 1, .nacks = 3, .timeout_ms = PTQ_NOWAIT},
    delayer = {.name = "producer", .work = sim_produce, .killable = true, .producer = true, .count = 5, .batch = 1,
               .timeout_ms = PTQ_FOREVER, .delays = 2},
    put_off = {.name = "consumer", .work = sim_consume, .killable = true, .batch = 1, .nacks = 3, .timeout_ms = PTQ_FOREVER,
               .delays = 1},
    asker_puts_off = {.name = "asker", .work = sim_consume, .killable = true, .batch = 1, .nacks = 3, .timeout_ms = PTQ_NOWAIT,
                      .delays = 1},
    expirer = {.name = "producer", .work = sim_produce, .killable = true, .producer = true, .count = 6, .batch = 1,
               .timeout_ms = PTQ_FOREVER, .delays = 4, .ttls = 2},
    slow = {.name = "slow consumer", .work = sim_consume, .killable = true, .batch = 1, .timeout_ms = PTQ_FOREVER, .slow = true},
    reader = {.name = "reader of letters", .work = sim_consume, .killable = true, .batch = 1, .nacks = 3,
              .timeout_ms = PTQ_FOREVER, .letters = true},
    kicker = {.name = "kicker", .work = kick, .killable = true, .count = 4, .batch = 1, .timeout_ms = PTQ_FOREVER},
    collector = {.name = "collector", .work = collect, .killable = true, .count = 60},
    purger = {.name = "purger", .work = purge, .killable = true, .count = 3};

/* ---- scenarios */

#define QUEUE(n, ...)                                                                                                  \
    .options = {.capacity = n, .item_size = 8200, .max_endpoints = 8, .header_size = PTQ_NEVER, __VA_ARGS__}

const struct sim_scenario
    sim_units = {.name = "units", .what = "open units, beside an ordinary producer", QUEUE(6, .pack_size = 256),
                 .roles = {&appender, &produce_3, &asker_3, &asker_nacking, &consume_1}, .packed = true},
    sim_units_alone = {.name = "units_alone", .what = "open units, nobody sleeps", QUEUE(8, .pack_size = 256),
                       .roles = {&appender, &asker, &asker_3}, .packed = true},
    sim_asks = {.name = "asks", .what = "who asks, and is given back to", QUEUE(4),
                .roles = {&produce_4, &produce_2, &asker_nacking, &asker, &consume_nacking}},
    sim_delays = {.name = "delays", .what = "puts and nacks for later", QUEUE(3),
                  .roles = {&delayer, &produce_2, &put_off, &put_off, &asker_puts_off}, .unordered = true},
    sim_delays_polled = {.name = "few_delays", .what = "two sleepers, and what is for later", QUEUE(2),
                         .roles = {&delayer, &put_off, &consume_1}, .unordered = true},
    sim_letters = {.name = "letters", .what = "dead letters, read and kicked", QUEUE(4, .max_deliveries = 2, .max_dead = 100),
                   .roles = {&produce_4, &produce_2, &consume_sour, &consume_sour, &reader, &kicker}, .letters = true},
    sim_few_letters = {.name = "few_letters", .what = "more dead letters than are kept",
                       QUEUE(4, .max_deliveries = 1, .max_dead = 1),
                       .roles = {&produce_8, &consume_sour, &consume_sour, &reader, &kicker}, .letters = true, .drops = true},
    sim_recoverers = {.name = "recoverers", .what = "deaths, and two that look for the dead", QUEUE(3),
                      .roles = {&produce_4, &produce_4, &consume_nacking, &consume_1, &collector, &collector}, .deadly = true},
    sim_purges = {.name = "purges", .what = "emptied now and then", QUEUE(3),
                  .roles = {&produce_8, &produce_4, &consume_nacking, &consume_3, &purger}, .drops = true, .unordered = true},
    sim_expiry = {.name = "expiry", .what = "messages that outlive their time", QUEUE(3),
                  .roles = {&expirer, &produce_2, &slow, &put_off, &asker}, .drops = true, .unordered = true},
    sim_pack_puts = {.name = "pack_puts", .what = "put_many as packs", QUEUE(8, .pack_size = 256),
                     .roles = {&pack_putter, &pack_putter, &consume_3, &asker_nacking}, .packed = true};
