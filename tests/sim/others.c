/* others.c -- roles and scenarios of what takes several or none, counts bytes, looks at others, or holds to the limit. */
#include "sim/ledger.h"
#include "sim/roles.h"

/* ---- roles */

/* No peer: somebody would have had to be there all the while. */
static void check_nobody(uint64_t began, bool of_producers)
{
    for (unsigned i = 1; i < SIM_PROCS; i++) {
        uint64_t since = of_producers ? sim_procs[i].puts_since : sim_procs[i].gets_since;
        if (i != sim_me->number && since != 0 && since < began)
            sim_fail("process %u is told that there is nobody, and %u was there since step %llu", sim_me->number, i,
                     (unsigned long long)since);
    }
}

/* Who slept on when the last producer had gone, and nobody was stopped with a lease, was not told. */
static void check_told(int64_t began)
{
    int64_t since = sim.no_producer_since > began ? sim.no_producer_since : began;

    if (sim.no_producer_since != 0 && sim.stops == 0 && !sim.eager_clock && sim.now - since > INT64_C(2000000000))
        sim_fail("process %u slept for %lld ms, and there was no producer", sim_me->number, (long long)(sim.now - since) / 1000000);
}

static void consume_watching(void)
{
    enum ptq_err err = PTQ_OK;

    sim_open_queue(sim_role()->flags);
    sim_park();
    while (err == PTQ_OK || err == PTQ_ENOPEERS) {
        uint64_t began = sim.step;
        int64_t clock = sim.now;
        ptq_msg *msg;
        size_t count;
        int id;

        err = sim_get(&msg, 1, &id, &count, PTQ_FOREVER);
        check_told(clock);
        if (err == PTQ_OK)
            sim_ack(msg, id);
        if (err != PTQ_ENOPEERS)
            continue;
        check_nobody(began, true);
        sim_sleep(SIM_BLOCK_SLEEP, sim.now + SIM_LONG_NS);
    }
    if (err != PTQ_END)
        sim_expect(err, "a get");
    sim_close_queue();
}

/* Settles just when the others wake to look whether its lease has run out. */
static void hold_to_the_limit(void)
{
    enum ptq_err err;

    sim_open_queue(0);
    sim_park();
    for (;;) {
        ptq_msg *msg;
        size_t count;
        int id;

        err = sim_get(&msg, 1, &id, &count, PTQ_FOREVER);
        if (err != PTQ_OK)
            break;
        for (uint64_t i = 1 + sim_random(3); i > 0 && sim_actor()->done < sim_role()->count; i--) {
            sim_actor()->done++; /* some day it is settled */
            sim_sleep(SIM_BLOCK_SLEEP, sim_next_due());
        }
        sim_ack(msg, id);
    }
    if (err != PTQ_END)
        sim_expect(err, "a get");
    sim_close_queue();
}

static const struct sim_role
    produce_1 = SIM_PRODUCER(1, 1), produce_4 = SIM_PRODUCER(4, 1), produce_8 = SIM_PRODUCER(8, 1),
    produce_by_3 = SIM_PRODUCER(9, 3), consume_1 = SIM_CONSUMER(1, 0), consume_nacking = SIM_CONSUMER(1, 4),
    consume_2_of_3 = {.name = "consumer of two", .work = sim_consume, .killable = true, .batch = 3, .least = 2,
                      .timeout_ms = PTQ_FOREVER},
    consume_3_of_4 = {.name = "consumer of three", .work = sim_consume, .killable = true, .batch = 4, .least = 3, .nacks = 5,
                      .timeout_ms = PTQ_FOREVER},
    try_2_of_3 = {.name = "asker for two", .work = sim_consume, .killable = true, .batch = 3, .least = 2, .timeout_ms = PTQ_NOWAIT},
    wait_3_of_3 = {.name = "impatient consumer of three", .work = sim_consume, .killable = true, .batch = 3, .least = 3,
                   .timeout_ms = 40},
    asker = {.name = "asker", .work = sim_consume, .killable = true, .batch = 1, .timeout_ms = PTQ_NOWAIT},
    declared = {.name = "declared producer", .work = sim_produce, .killable = true, .producer = true, .count = 3, .batch = 1,
                .timeout_ms = PTQ_FOREVER, .flags = PTQ_PRODUCER},
    declared_idle = {.name = "idle producer", .work = sim_produce, .killable = true, .producer = true, .flags = PTQ_PRODUCER},
    watching_producer = {.name = "watching producer", .work = sim_produce, .killable = true, .producer = true, .count = 3, .batch = 1,
                         .timeout_ms = PTQ_FOREVER, .flags = PTQ_PRODUCER | PTQ_WATCH_PEERS},
    mortal_producer = {.name = "mortal producer", .work = sim_produce, .killable = true, .producer = true, .mortal = true, .count = 3,
                       .batch = 1, .timeout_ms = PTQ_FOREVER, .flags = PTQ_PRODUCER | PTQ_WATCH_PEERS},
    watcher = {.name = "watching consumer", .work = consume_watching, .killable = true, .batch = 1,
               .flags = PTQ_CONSUMER | PTQ_WATCH_PEERS},
    holder = {.name = "holder", .work = hold_to_the_limit, .count = 12, .batch = 1};

/* ---- scenarios */

#define QUEUE(n, ...)                                                                                                  \
    .options = {.capacity = n, .item_size = 8200, .max_endpoints = 8, .header_size = PTQ_NEVER, __VA_ARGS__}

const struct sim_scenario
    sim_least = {.name = "least", .what = "who waits for several", QUEUE(6, .max_deliveries = PTQ_NEVER),
                 .roles = {&produce_8, &produce_by_3, &consume_2_of_3, &consume_3_of_4, &consume_1}, .batched = true},
    sim_least_tried = {.name = "least_tried", .what = "who puts back what was too little", QUEUE(5),
                       .roles = {&produce_8, &produce_4, &try_2_of_3, &wait_3_of_3, &asker}, .puts_back = true, .unordered = true},
    sim_bytes = {.name = "bytes", .what = "a budget of bytes", .options = {.capacity = 8, .item_size = 24, .max_endpoints = 8, .header_size = PTQ_NEVER, .bytes = 40},
                 .roles = {&produce_8, &produce_8, &produce_4, &consume_nacking, &consume_1}},
    sim_byte_batches = {.name = "byte_batches", .what = "a budget of bytes, and batches", .options = {.capacity = 8, .item_size = 24, .max_endpoints = 8, .header_size = PTQ_NEVER, .bytes = 80},
                        .roles = {&produce_8, &produce_by_3, &produce_by_3, &consume_nacking, &consume_1}, .batched = true},
    sim_last = {.name = "last", .what = "the last producer ends", QUEUE(3, .last_producer_ends = true),
                .roles = {&declared, &declared_idle, &declared, &consume_1, &consume_nacking}, .last_ends = true},
    sim_peers = {.name = "peers", .what = "who is told that nobody is there", QUEUE(2),
                 .roles = {&watching_producer, &mortal_producer, &watcher, &watcher}, .peers = true},
    sim_moves = {.name = "moves", .what = "leases that run out just when they are settled",
                 QUEUE(2, .lease_ms = 300, .max_deliveries = PTQ_NEVER), .roles = {&produce_1, &holder, &holder, &holder, &holder},
                 .limited = true, .halting = true},
    sim_siblings = {.name = "siblings", .what = "leases of a batch that run out", QUEUE(6, .lease_ms = 300, .max_deliveries = PTQ_NEVER),
                    .roles = {&produce_by_3, &holder, &holder, &holder}, .batched = true, .limited = true, .halting = true};
