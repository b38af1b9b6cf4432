/* scenario.c -- the roles and the table of scenarios.  A new one: a role or two, a line in the table. */
#include "sim/scenario.h"

#include <string.h>

#include "sim/ledger.h"
#include "sim/roles.h"

static struct sim_actor actors[SIM_PROCS];

struct sim_actor *sim_actor(void) { return &actors[sim_me->number]; }

void sim_expect(enum ptq_err err, const char *what)
{
    if (err != PTQ_OK)
        sim_fail("process %u: %s answered %s", sim_me->number, what, sim_api()->ptq_err_name(err));
}

/* Who only asks finds the dead by the clock. */
void sim_rest(void)
{
    sim_yield();
    sim_sleep(SIM_BLOCK_SLEEP, sim.now + 20000000);
}

void sim_open_queue(unsigned flags)
{
    struct ptq_error error = {0};
    struct ptq_bus_options bus_options = {.dir = "/sim", .node = "sim", .error = &error};
    struct ptq_queue_options options = sim.config.scenario->options;

    sim_me->inside = "open";
    if (sim_api()->ptq_bus_open(NULL, &bus_options, &sim_actor()->bus) != PTQ_OK)
        sim_fail("process %u: no bus: %s", sim_me->number, error.text);
    options.error = &error;
    options.flags = flags;
    const char *name = "q";
    if (sim_role()->letters) {
        memset(&options, 0, sizeof options);
        options.error = &error;
        name = "q" PTQ_DEAD_SUFFIX;
    }
    if (sim_api()->ptq_queue_open(sim_actor()->bus, name, &options, &sim_actor()->queue) != PTQ_OK)
        sim_fail("process %u: no queue: %s", sim_me->number, error.text);
    sim_me->inside = NULL;
    sim_me->puts_since = flags & PTQ_PRODUCER ? sim.step : 0;
    sim_me->gets_since = flags & PTQ_CONSUMER ? sim.step : 0;
}

void sim_close_queue(void)
{
    sim_me->puts_since = sim_me->gets_since = 0;
    sim_me->inside = "close";
    sim_api()->ptq_queue_close(sim_actor()->queue);
    sim_api()->ptq_bus_close(sim_actor()->bus);
    sim_me->inside = NULL;
}

/* ---- producers */

/* Short, and beyond the first sleeps. */
static unsigned some_ms(void)
{
    static const unsigned some[] = {1, 3, 40, 300, 800};

    return some[sim_random(sizeof some / sizeof some[0])];
}

static enum ptq_err put(unsigned wanted, int timeout_ms)
{
    struct ptq_bytes items[16];
    unsigned first = ledger_put_begins(wanted, items);
    struct ptq_put_options options = {0};
    enum ptq_err err;

    if (sim_role()->delays != 0 && sim_chance(sim_role()->delays)) {
        options.delay_ms = some_ms();
        ledger_put_is_delayed(first, (unsigned)options.delay_ms);
    }
    if (sim_role()->ttls != 0 && sim_chance(sim_role()->ttls)) {
        options.ttl_ms = some_ms();
        ledger_put_expires(first, (unsigned)options.ttl_ms);
    }
    sim_me->inside = wanted > 1 ? "put_many" : "put";
    sim_me->waits_put = timeout_ms < 0;
    sim_me->needs = wanted;
    sim_me->needs_bytes = 0;
    for (unsigned i = 0; i < wanted; i++)
        sim_me->needs_bytes += items[i].size;
    err = wanted > 1 ? sim_api()->ptq_put_many(sim_actor()->queue, items, wanted, timeout_ms, NULL)
          : options.delay_ms + options.ttl_ms > 0
              ? sim_api()->ptq_put_with(sim_actor()->queue, items[0].data, items[0].size, &options, timeout_ms)
              : sim_api()->ptq_put(sim_actor()->queue, items[0].data, items[0].size, timeout_ms);
    sim_me->waits_put = false;
    sim_me->inside = NULL;
    ledger_put_ends(first, wanted, err);
    return err;
}

void sim_produce(void)
{
    sim_open_queue(sim_role()->flags);
    sim_park();
    while (sim_actor()->done < sim_role()->count) {
        unsigned left = sim_role()->count - sim_actor()->done, wanted = left < sim_role()->batch ? left : sim_role()->batch;
        unsigned refused = 0;
        enum ptq_err err;
        if (sim_role()->slow)
            sim_sleep(SIM_BLOCK_SLEEP, sim.now + SIM_LONG_NS / 7);
        sim_actor()->done += wanted; /* one in doubt is not put again */
        while ((err = put(wanted, refused > 5 ? PTQ_FOREVER : sim_role()->timeout_ms)) == PTQ_FULL || err == PTQ_TIMEDOUT ||
               err == PTQ_ENOPEERS) {
            refused += err != PTQ_ENOPEERS;
            sim_rest();
        }
        if (err == PTQ_EENDED && sim.config.scenario->last_ends && sim.kills > 0)
            break; /* another closed when this one was dead */
        sim_expect(err, "a put");
    }
    sim_close_queue();
}

static void produce_in_place(void)
{
    sim_open_queue(sim_role()->flags);
    sim_park();
    for (; sim_actor()->done < sim_role()->count;) {
        struct ptq_bytes item;
        ptq_msg *loan = NULL;
        unsigned first;

        sim_actor()->done++;
        sim_me->inside = "loan";
        sim_me->waits_put = true;
        sim_me->needs = 1;
        sim_expect(sim_api()->ptq_loan(sim_actor()->queue, LEDGER_BYTES, PTQ_FOREVER, &loan), "a loan");
        first = ledger_put_begins(1, &item);
        memcpy(sim_api()->ptq_msg_buffer(loan), item.data, item.size);
        sim_me->inside = "publish";
        enum ptq_err err = sim_api()->ptq_publish(loan, item.size, PTQ_FOREVER, NULL);
        sim_me->waits_put = false;
        sim_me->inside = NULL;
        ledger_put_ends(first, 1, err);
        sim_expect(err, "a publish");
    }
    sim_close_queue();
}

static void produce_packed(void)
{
    sim_open_queue(sim_role()->flags | PTQ_PIPELINE);
    sim_park();
    while (sim_actor()->done < sim_role()->count) {
        for (unsigned i = 0; i < sim_role()->batch && sim_actor()->done < sim_role()->count; i++) {
            struct ptq_bytes item;
            unsigned first = ledger_put_begins(1, &item);
            sim_actor()->done++;
            sim_me->inside = "put (packed)";
            sim_me->waits_put = true;
            sim_me->needs = 1;
            enum ptq_err err = sim_api()->ptq_put(sim_actor()->queue, item.data, item.size, PTQ_FOREVER);
            sim_expect(err, "a packed put");
            ledger_gathered(first);
        }
        sim_me->inside = "flush";
        enum ptq_err err = sim_api()->ptq_flush(sim_actor()->queue, PTQ_FOREVER);
        sim_me->waits_put = false;
        sim_me->inside = NULL;
        ledger_flush_ends(err);
        sim_expect(err, "a flush");
    }
    sim_close_queue();
}

/* ---- consumers */

static void settle(ptq_msg *msg, int id)
{
    if (sim_role()->nacks != 0 && sim_chance(sim_role()->nacks)) {
        unsigned delay_ms = sim_role()->delays != 0 && !sim_chance(3) ? some_ms() : 0;
        ledger_nack_begins(id, delay_ms);
        sim_me->inside = "nack";
        ledger_nack_ends(id, sim_api()->ptq_nack(msg, (int)delay_ms));
    } else {
        ledger_ack_begins(id);
        sim_me->inside = "ack";
        ledger_ack_ends(id, sim_api()->ptq_ack(msg));
    }
    sim_me->inside = NULL;
    if (sim_role()->slow)
        sim_sleep(SIM_BLOCK_SLEEP, sim.now + SIM_LONG_NS);
}

enum ptq_err sim_get(ptq_msg **msgs, unsigned max, int *ids, size_t *ret_count, int timeout_ms)
{
    enum ptq_err err;

    *ret_count = 0;
    ledger_get_begins();
    sim_me->inside = max > 1 ? "get_many" : "get";
    sim_me->waits_get = timeout_ms < 0;
    if (max > 1) {
        err = sim_api()->ptq_get_many(sim_actor()->queue, msgs, sim_role()->least, max, timeout_ms, ret_count);
        if (err == PTQ_OK && *ret_count < sim_role()->least && !sim_queue_has_ended())
            sim_fail("a get_many of %u and more answered with %zu", sim_role()->least, *ret_count);
    } else {
        err = sim_api()->ptq_get(sim_actor()->queue, timeout_ms, &msgs[0]);
        *ret_count = err == PTQ_OK;
    }
    sim_me->waits_get = false;
    sim_me->inside = NULL;
    for (size_t i = 0; i < *ret_count; i++)
        ids[i] = ledger_got(msgs[i], (unsigned)i);
    ledger_get_ends(err, timeout_ms != PTQ_NOWAIT);
    return err;
}

static bool consume_some(int timeout_ms, enum ptq_err *ret_err)
{
    ptq_msg *msgs[SIM_HELD_MAX];
    int ids[SIM_HELD_MAX];
    size_t count;

    *ret_err = sim_get(msgs, sim_role()->batch, ids, &count, timeout_ms);
    if (*ret_err != PTQ_OK)
        return false;
    if (sim_role()->slow)
        sim_sleep(SIM_BLOCK_SLEEP, sim.now + SIM_LONG_NS);
    for (size_t i = 0; i < count; i++)
        settle(msgs[i], ids[i]);
    return true;
}

void sim_consume_all(void)
{
    enum ptq_err err = PTQ_OK;

    while (consume_some(sim_role()->timeout_ms, &err) || err == PTQ_EMPTY || err == PTQ_TIMEDOUT)
        if (err != PTQ_OK)
            sim_rest();
    if (err != PTQ_END)
        sim_expect(err, "a get");
}

void sim_consume(void)
{
    sim_open_queue(sim_role()->flags);
    sim_park();
    sim_consume_all();
    sim_close_queue();
}

/* Sleeps in poll() on the queue's descriptor. */
static void consume_by_descriptor(void)
{
    enum ptq_err err = PTQ_OK;
    int fd = -1;

    sim_open_queue(sim_role()->flags);
    sim_expect(sim_api()->ptq_queue_fd(sim_actor()->queue, PTQ_SIDE_GET, &fd), "queue_fd");
    sim_park();
    for (;;) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        while (consume_some(PTQ_NOWAIT, &err))
            ;
        if (err != PTQ_EMPTY)
            break;
        sim_me->inside = "poll of its descriptor";
        sim_me->waits_get = true;
        __wrap_poll(&readable, 1, -1);
        sim_me->waits_get = false;
        sim_me->inside = NULL;
    }
    if (err != PTQ_END)
        sim_expect(err, "a get");
    sim_close_queue();
}

/* Takes one, and closes with it in hand. */
static void take_and_close(void)
{
    for (; sim_actor()->done < sim_role()->count;) {
        ptq_msg *msg;
        int id;
        size_t count;
        enum ptq_err err;

        sim_actor()->done++;
        sim_open_queue(0);
        sim_park();
        err = sim_get(&msg, 1, &id, &count, PTQ_NOWAIT);
        ledger_gives_back();
        sim_close_queue();
        if (err == PTQ_END)
            return;
        if (err != PTQ_OK && err != PTQ_EMPTY)
            sim_expect(err, "a get");
    }
}

/* Takes one and dies of it, when the others have long been asleep. */
static void take_and_die(void)
{
    ptq_msg *msg;
    int id;
    size_t count;

    sim_open_queue(0);
    sim_park();
    if (sim_get(&msg, 1, &id, &count, PTQ_FOREVER) == PTQ_OK) {
        sim_me->inside = "its own work";
        sim_sleep(SIM_BLOCK_SLEEP, sim.now + SIM_LONG_NS);
        sim_kill(sim_me);
        sim_leave();
    }
    sim_close_queue();
}

void sim_ack(ptq_msg *msg, int id)
{
    ledger_ack_begins(id);
    sim_me->inside = "ack";
    ledger_ack_ends(id, sim_api()->ptq_ack(msg));
    sim_me->inside = NULL;
}

/* Keeps all it gets until there is nothing to get: then there are no blocks left to put with.  The first that it acks is the
 * first it got, and then always the newest, so that one block of the producer's own goes to and fro: such an ack is a plain
 * store and nothing else. */
static void hoard(void)
{
    static ptq_msg *held[LEDGER_MESSAGES];
    static int ids[LEDGER_MESSAGES];
    size_t last = 0, count;
    unsigned in_vain = 0;
    bool is_sparing = true;
    enum ptq_err err = PTQ_OK;

    sim_open_queue(0);
    sim_park();
    while (err == PTQ_OK || err == PTQ_EMPTY) {
        err = sim_get(&held[last], 1, &ids[last], &count, last == 0 ? PTQ_FOREVER : PTQ_NOWAIT);
        last += count;
        if (err == PTQ_OK && is_sparing)
            in_vain = 0;
        if (err != PTQ_EMPTY)
            continue;
        if (in_vain++ < 2 || sim_chance(3)) {
            sim_sleep(SIM_BLOCK_SLEEP, sim.now + 1000000);
        } else if (last > 0 && sim_chance(2)) {
            if (is_sparing) {
                ptq_msg *msg = held[0];
                int id = ids[0];
                held[0] = held[last - 1];
                ids[0] = ids[last - 1];
                held[last - 1] = msg;
                ids[last - 1] = id;
            }
            is_sparing = false;
            last--;
            sim_ack(held[last], ids[last]);
        }
    }
    while (err == PTQ_END && last > 0) {
        last--;
        sim_ack(held[last], ids[last]);
    }
    if (err != PTQ_END)
        sim_expect(err, "a get");
    sim_close_queue();
}

/* Sleeps in ptq_wait_any. */
static void consume_by_wait(void)
{
    enum ptq_err err = PTQ_OK;

    sim_open_queue(sim_role()->flags);
    sim_park();
    for (;;) {
        struct ptq_wait wait = {.queue = sim_actor()->queue, .side = PTQ_SIDE_GET};
        size_t first;
        while (consume_some(PTQ_NOWAIT, &err))
            ;
        if (err != PTQ_EMPTY)
            break;
        sim_me->inside = "wait_any";
        sim_me->waits_get = true;
        sim_expect(sim_api()->ptq_wait_any(&wait, 1, PTQ_FOREVER, &first), "wait_any");
        sim_me->waits_get = false;
        sim_me->inside = NULL;
    }
    if (err != PTQ_END)
        sim_expect(err, "a get");
    sim_close_queue();
}

/* ---- others */

static void come_and_go(void)
{
    for (; sim_actor()->done < sim_role()->count; sim_actor()->done++) {
        sim_open_queue(0);
        sim_park();
        sim_close_queue();
    }
}

static void pause_and_resume(void)
{
    sim_open_queue(0);
    sim_park();
    for (unsigned i = 0; i < sim_role()->count; i++) {
        sim_expect(sim_api()->ptq_queue_pause(sim_actor()->queue, true), "a pause");
        sim_expect(sim_api()->ptq_queue_pause(sim_actor()->queue, false), "a resume");
    }
    sim_close_queue();
}

static void set_up(void)
{
    memset(actors, 0, sizeof actors);
    sim_open_queue(0);
    sim_close_queue();
}

static void end_queue(void)
{
    enum ptq_err err;

    sim_open_queue(0);
    if (sim.config.scenario->peers)
        sim_sleep(SIM_BLOCK_SLEEP, sim.now + 4 * SIM_LONG_NS);
    sim_me->inside = "end";
    err = sim_api()->ptq_end(sim_actor()->queue);
    if (!sim.config.scenario->last_ends)
        sim_expect(err, "an end");
    else if (err != PTQ_EALREADY)
        sim_fail("every producer has closed, and an end answers %s", sim_api()->ptq_err_name(err));
    sim_me->inside = NULL;
    sim_close_queue();
}

/* ---- the auditor */

static void note_finding(const char *finding, void *context)
{
    (void)context;
    sim_fail("verify: %s", finding);
}

static void verify(void)
{
    struct ptq_verify_report report = {0};
    ptq_view *view = NULL;

    sim_expect(sim_api()->ptq_view_open(sim_actor()->bus, "q", NULL, &view), "a view");
    sim_expect(sim_api()->ptq_view_verify(view, note_finding, NULL, &report), "verify");
    sim_api()->ptq_view_close(view);
    if (!report.quiet || report.imbalance != 0)
        sim_fail("verify: %s, imbalance %lld", report.quiet ? "quiet" : "busy", (long long)report.imbalance);
}

static void drain(void)
{
    enum ptq_err err;

    while (consume_some(PTQ_NOWAIT, &err))
        ;
    if (err != (sim.ended ? PTQ_END : PTQ_EMPTY))
        sim_fail("drained, a get answers %s", sim_api()->ptq_err_name(err));
}

static void audit(void)
{
    static const struct sim_role by_one = {.batch = 1}, of_letters = {.batch = 1, .letters = true};
    struct ptq_queue_stats stats;

    sim_me->role = &by_one;
    sim_open_queue(0);
    drain();
    if (sim.config.scenario->letters) {
        sim_close_queue();
        sim_me->role = &of_letters;
        sim_open_queue(0);
        drain();
    }
    sim_expect(sim_api()->ptq_queue_stats(sim_actor()->queue, &stats), "stats");
    ledger_check(&stats);
    verify();
    sim_close_queue();
}

const struct sim_role sim_setup = {.name = "setup", .work = set_up};
const struct sim_role sim_ender = {.name = "ender", .work = end_queue};
const struct sim_role sim_auditor = {.name = "auditor", .work = audit};

/* ---- the table */

static const struct sim_role produce_1 = SIM_PRODUCER(1, 1), produce_2 = SIM_PRODUCER(2, 1), produce_4 = SIM_PRODUCER(4, 1),
                             produce_8 = SIM_PRODUCER(8, 1), produce_by_3 = SIM_PRODUCER(9, 3);
static const struct sim_role consume_1 = SIM_CONSUMER(1, 0), consume_3 = SIM_CONSUMER(3, 0), consume_nacking = SIM_CONSUMER(1, 4),
                             consume_3_nacking = SIM_CONSUMER(3, 4);
static const struct sim_role loaner = {.name = "loaner", .work = produce_in_place, .killable = true, .producer = true, .count = 5};
static const struct sim_role packer = {
    .name = "packer", .work = produce_packed, .killable = true, .producer = true, .count = 12, .batch = 4};
static const struct sim_role impatient = {
    .name = "impatient producer", .work = sim_produce, .killable = true, .producer = true, .count = 5, .batch = 1, .timeout_ms = 0};
static const struct sim_role poller = {.name = "poller", .work = consume_by_descriptor, .killable = true, .batch = 1};
static const struct sim_role asker = {.name = "asker", .work = sim_consume, .killable = true, .batch = 1, .timeout_ms = PTQ_NOWAIT};
static const struct sim_role visitor = {.name = "visitor", .work = come_and_go, .killable = true, .count = 3};
static const struct sim_role grabber = {.name = "grabber", .work = take_and_close, .killable = true, .count = 3};
static const struct sim_role pauser = {.name = "pauser", .work = pause_and_resume, .count = 3};

static const struct sim_role slow = {
    .name = "slow consumer", .work = sim_consume, .killable = true, .batch = 1, .timeout_ms = PTQ_FOREVER, .slow = true};
static const struct sim_role slow_nacking = {
    .name = "slow consumer", .work = sim_consume, .killable = true, .batch = 1, .nacks = 2, .timeout_ms = PTQ_FOREVER, .slow = true};
static const struct sim_role doomed = {.name = "doomed", .work = take_and_die, .killable = true, .mortal = true};
static const struct sim_role hoarder = {.name = "hoarder", .work = hoard};
static const struct sim_role waiter = {.name = "waiter", .work = consume_by_wait, .killable = true, .batch = 1};
static const struct sim_role produce_90 = SIM_PRODUCER(90, 1), produce_by_2 = SIM_PRODUCER(4, 2);
static const struct sim_role slow_producer = {.name = "slow producer", .work = sim_produce, .killable = true, .producer = true,
                                              .count = 9, .batch = 3, .timeout_ms = PTQ_FOREVER, .slow = true};

#define QUEUE(n) .options = {.capacity = n, .item_size = 8200, .max_endpoints = 8, .header_size = PTQ_NEVER}

static const struct sim_scenario
    one_one = {"one_one", "a producer, a consumer, one place", QUEUE(1), {&produce_2, &consume_1}},
    tiny = {"tiny", "two producers of one message, two consumers", QUEUE(1), {&produce_1, &produce_1, &consume_1, &consume_1}},
    two_two = {"two_two", "two producers, two consumers, two places", QUEUE(2), {&produce_4, &produce_4, &consume_1, &consume_1}},
    narrow = {"narrow", "two producers, two consumers, one place", QUEUE(1), {&produce_4, &produce_4, &consume_1, &consume_1}},
    laps = {"laps", "many messages through few blocks", QUEUE(3), {&produce_8, &produce_8, &produce_8, &consume_1, &consume_3}},
    nacks = {"nacks", "given back and taken again", QUEUE(4), {&produce_4, &produce_4, &consume_nacking, &consume_3_nacking}},
    batches = {"batches", "put_many beside puts", QUEUE(4), {&produce_by_3, &produce_4, &consume_3, &consume_1}, .batched = true},
    loans = {"loans", "written in place", QUEUE(2), {&loaner, &loaner, &consume_1, &consume_1}},
    packs = {"packs", "gathered into packs", QUEUE(4), {&packer, &packer, &consume_3, &consume_1}, .packed = true},
    tries = {"tries", "nobody waits", QUEUE(2), {&impatient, &impatient, &asker, &asker}},
    descriptors = {"descriptors", "sleeping in poll", QUEUE(2), {&produce_4, &produce_4, &poller, &poller, &consume_1}},
    visitors = {"visitors", "opened and closed all the time", QUEUE(2),
                {&produce_4, &produce_4, &consume_1, &visitor, &grabber, &consume_1}},
    pauses = {"pauses", "paused and resumed", QUEUE(3), {&produce_4, &consume_1, &poller, &pauser}, .pauses = true},
    rests = {"rests", "messages are held for long", QUEUE(4), {&produce_by_2, &slow_producer, &slow, &slow, &slow_nacking}, .batched = true},
    mourning = {"mourning", "the dead are not born again", QUEUE(4), {&produce_2, &doomed, &consume_1, &poller, &doomed}},
    waits = {"waits", "sleeping in wait_any", QUEUE(2), {&produce_4, &produce_4, &waiter, &waiter, &consume_1}},
    starved = {"starved", "no block is left",
               .options = {.capacity = 1, .item_size = 66000, .max_endpoints = 4, .header_size = PTQ_NEVER},
               .roles = {&produce_90, &hoarder}},
    limits = {"limits", "leases run out",
              .options = {.capacity = 4, .item_size = 8200, .max_endpoints = 8, .header_size = PTQ_NEVER, .lease_ms = 300,
                          .max_deliveries = PTQ_NEVER},
              .roles = {&produce_4, &slow, &consume_1, &slow_nacking}, .limited = true},
    drops = {"drops", "the oldest is dropped",
             .options = {.capacity = 2, .item_size = 8200, .max_endpoints = 8, .header_size = PTQ_NEVER,
                         .full = PTQ_FULL_DROP_OLDEST},
             .roles = {&produce_8, &produce_8, &consume_1, &consume_nacking}, .drops = true, .unordered = true};

const struct sim_scenario *const sim_scenarios[] = {&one_one, &tiny,  &two_two, &narrow,      &laps,     &nacks,  &batches,
                                                    &loans,   &packs, &tries,   &descriptors, &visitors, &pauses, &drops,
                                                    &rests, &mourning, &waits, &starved, &limits, SIM_MORE};
const unsigned sim_scenario_count = sizeof sim_scenarios / sizeof sim_scenarios[0];
