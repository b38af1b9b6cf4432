/* scripts_more.c -- the table, continued: calls with options, several at once, and what stands around put and get. */
#include "crash/words.h"

#include <string.h>
#include <unistd.h>

#define SMALL .options = {.capacity = 6, .item_size = 1024, .max_endpoints = 6}
#define PACKED .options = {.capacity = 24, .item_size = 100, .max_endpoints = 6, .pack_size = 1024, .flags = PTQ_PIPELINE}
#define HOUR_MS 3600000

/* ---- small words */

static void one(struct ledger_actor *actor) { put_some(actor, 1); }
static void two(struct ledger_actor *actor) { put_some(actor, 2); }
static void three(struct ledger_actor *actor) { put_some(actor, 3); }
static void four(struct ledger_actor *actor) { put_some(actor, 4); }
static void full(struct ledger_actor *actor) { put_some(actor, 6); }
static void get_three(struct ledger_actor *actor) { get_some(actor, 3); }

static void packed(struct ledger_actor *actor)
{
    put_some(actor, 5);
    expect_ok(actor, ptq_flush(actor->queue, PTQ_NOWAIT));
}

static void pipe_opened(struct ledger_actor *actor) { open_with(actor, PTQ_PIPELINE); }

/* ---- puts with options: each message bears its own id in a header (the auditor compares), and a trace */

static const struct ptq_trace trace = {.trace_id = {1, 2, 3}, .parent_id = {4, 5}, .flags = 1};

struct order {
    unsigned char bytes[512];
    size_t size;
    uint32_t id;
    struct ptq_header header;
    struct ptq_put_options options;
};

static struct ledger_msg *prepare_order(struct ledger_actor *actor, struct order *order)
{
    order->id = actor->next++;
    order->size = ledger_fill(order->bytes, order->id, actor->item_size);
    order->header = (struct ptq_header){"id", &order->id, sizeof order->id};
    order->options = (struct ptq_put_options){.headers = &order->header, .header_count = 1, .trace = &trace};
    actor->ledger->calls++;
    return &actor->ledger->msgs[order->id];
}

static void note(struct ledger_msg *msg, enum ptq_err err) { msg->put = err == PTQ_OK ? IS_PUT : PUT_REFUSED; }

static enum ptq_err put_described(struct ledger_actor *actor, int64_t ttl_ms)
{
    struct order order;
    struct ledger_msg *msg = prepare_order(actor, &order);

    order.options.ttl_ms = ttl_ms;
    msg->put = PUTTING;
    enum ptq_err err = ptq_put_with(actor->queue, order.bytes, order.size, &order.options, PTQ_NOWAIT);
    note(msg, err);
    return err;
}

static enum ptq_err publish_described(struct ledger_actor *actor, ptq_msg *loan, int64_t delay_ms)
{
    struct order order;

    if (loan == NULL)
        return PTQ_ESYS; /* its loan was refused */
    struct ledger_msg *msg = prepare_order(actor, &order);
    memcpy(ptq_msg_buffer(loan), order.bytes, order.size);
    order.options.delay_ms = delay_ms;
    msg->out = delay_ms > 0 ? IS_PARKED : IS_IN;
    msg->put = PUTTING;
    enum ptq_err err = ptq_publish_with(loan, order.size, &order.options, PTQ_NOWAIT);
    note(msg, err);
    if (err != PTQ_OK)
        ptq_abort(loan);
    return err;
}

/* With PTQ_PARTIAL each message is in doubt for itself; else all are one batch. */
static enum ptq_err put_many_described(struct ledger_actor *actor, size_t count, unsigned flags, size_t *ret_count)
{
    static unsigned char bytes[8][512];
    struct ptq_bytes items[8];
    struct ptq_put_options options = {.trace = &trace, .flags = flags, .ret_count = ret_count};
    struct ledger_msg *msgs = &actor->ledger->msgs[actor->next];

    actor->ledger->calls++;
    *ret_count = count;
    for (size_t i = 0; i < count; i++) {
        msgs[i].group = flags & PTQ_PARTIAL ? 0 : (uint16_t)(actor->next - i + 1);
        items[i] = (struct ptq_bytes){bytes[i], ledger_fill(bytes[i], actor->next++, actor->item_size)};
        msgs[i].put = PUTTING;
    }
    enum ptq_err err = ptq_put_many_with(actor->queue, items, count, &options, PTQ_NOWAIT);
    for (size_t i = count; i > 0; i--)
        note(&msgs[i - 1], i <= *ret_count ? err : PTQ_FULL);
    return err;
}

static void act_put_described(struct ledger_actor *actor)
{
    expect_ok(actor, put_described(actor, 0));
    actor->ledger->drops = 1; /* what lives for a time may be dropped: not before an hour, but the peer cannot know */
    expect_ok(actor, put_described(actor, HOUR_MS));
    expect_ok(actor, put_described(actor, -1));
}

static void act_publish_described(struct ledger_actor *actor)
{
    ptq_msg *loan = NULL;

    actor->ledger->drops = 1;
    expect_ok(actor, ledger_loan(actor, &loan));
    expect_ok(actor, publish_described(actor, loan, 0));
    loan = NULL;
    expect_ok(actor, ledger_loan(actor, &loan));
    expect_ok(actor, publish_described(actor, loan, HOUR_MS));
}

static void act_put_many_described(struct ledger_actor *actor)
{
    size_t count = 0;

    expect_ok(actor, put_many_described(actor, 3, 0, &count));
}

static void act_put_many_in_part(struct ledger_actor *actor)
{
    size_t count = 0;

    expect_ok(actor, put_many_described(actor, 4, PTQ_PARTIAL, &count));
    if (count != 2)
        ledger_expect(actor, PTQ_OK, PTQ_FULL);
    ledger_expect(actor, PTQ_FULL, put_many_described(actor, 2, PTQ_PARTIAL, &count));
}

/* ---- several at once */

static enum ptq_err ack_all(struct ledger_actor *actor)
{
    size_t count = actor->held_count;
    struct ledger *ledger = actor->ledger;

    ledger->calls++;
    for (size_t i = 0; i < count; i++)
        ledger->msgs[actor->held_ids[i]].out = ACKING;
    actor->held_count = 0;
    enum ptq_err err = ptq_ack_many(actor->held, count);
    for (size_t i = 0; i < count; i++)
        ledger->msgs[actor->held_ids[i]].out = IS_ACKED;
    return err;
}

static void act_ack_all(struct ledger_actor *actor) { expect_ok(actor, ack_all(actor)); }

static void act_get_and_ack_many(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_get_many(actor, 4));
    expect_ok(actor, ack_all(actor));
}

static void act_get_many_short(struct ledger_actor *actor)
{
    actor->ledger->untaken = 3;
    ledger_expect(actor, PTQ_EMPTY, ledger_get_at_least(actor, 4, 6));
    ledger_expect(actor, PTQ_EMPTY, ledger_get_at_least(actor, 5, 5));
}

/* ---- around */

static void act_flush_nothing(struct ledger_actor *actor)
{
    expect_ok(actor, ptq_flush(actor->queue, PTQ_NOWAIT));
    expect_ok(actor, ledger_gather(actor, 3));
    expect_ok(actor, ledger_flush(actor, 3));
    expect_ok(actor, ptq_flush(actor->queue, PTQ_NOWAIT));
}

/* What was gathered was put by another call. */
static void were_put(struct ledger_actor *actor, uint32_t first, uint32_t count)
{
    for (uint32_t id = first; id < first + count; id++)
        actor->ledger->msgs[id].put = IS_PUT;
}

/* What else is put goes behind what was gathered, which is put first. */
static void act_gather_then_put(struct ledger_actor *actor)
{
    uint32_t first = actor->next;

    expect_ok(actor, ledger_gather(actor, 2));
    expect_ok(actor, put_described(actor, 0));
    were_put(actor, first, 2);
}

static void act_gather_and_close(struct ledger_actor *actor)
{
    uint32_t first = actor->next;

    expect_ok(actor, ledger_gather(actor, 3));
    ledger_close(actor);
    were_put(actor, first, 3);
}

static void act_gather_and_end(struct ledger_actor *actor)
{
    uint32_t first = actor->next;

    expect_ok(actor, ledger_gather(actor, 2));
    expect_ok(actor, ledger_end(actor));
    were_put(actor, first, 2);
}

/* put_many on a pipelining handle: a pack of its own, behind what was gathered. */
static void act_put_many_packed(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_put_many(actor, 3));
    expect_ok(actor, ledger_put_many(actor, 2));
}

static void act_gather_then_put_many(struct ledger_actor *actor)
{
    uint32_t first = actor->next;

    expect_ok(actor, ledger_gather(actor, 2));
    expect_ok(actor, ledger_put_many(actor, 3));
    were_put(actor, first, 2);
}

/* So much that two more do not fit. */
static void nearly_full_of_packs(struct ledger_actor *actor)
{
    open_with(actor, PTQ_PIPELINE);
    expect_ok(actor, ledger_put_many(actor, 8));
    expect_ok(actor, ledger_put_many(actor, 8));
    expect_ok(actor, ledger_put_many(actor, 7));
}

/* A get leases the first pack, with all that it has. */
static void act_put_many_packed_refused(struct ledger_actor *actor)
{
    ledger_expect(actor, PTQ_FULL, ledger_put_many(actor, 2));
    expect_ok(actor, ledger_get(actor));
    expect_ok(actor, ledger_put_many(actor, 5));
    ledger_expect(actor, PTQ_FULL, ledger_put_many(actor, 5));
}

#define PACKS .options = {.capacity = 24, .item_size = 100, .max_endpoints = 6, .pack_size = 256, .flags = PTQ_PIPELINE, .max_deliveries = 2}

/* A batch of packs. */
static void packs(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_put_many(actor, 11));
    put_some(actor, 1);
    expect_ok(actor, ptq_flush(actor->queue, PTQ_NOWAIT));
}

static void packs_begun(struct ledger_actor *actor)
{
    packs(actor);
    for (int i = 0; i < 8; i++) {
        expect_ok(actor, ledger_get(actor));
        expect_ok(actor, ledger_ack(actor, 0));
    }
}

/* In the middle of one that is not the first. */
static void packs_nacked_twice(struct ledger_actor *actor)
{
    packs_begun(actor);
    for (int i = 0; i < 2; i++) {
        expect_ok(actor, ledger_get(actor));
        expect_ok(actor, ledger_nack(actor, 0, 0));
    }
    actor->ledger->msgs[8].out = IS_BURIED; /* whoever takes it next */
}

static void act_get_past_the_buried(struct ledger_actor *actor)
{
    for (int i = 0; i < 3; i++) {
        expect_ok(actor, ledger_get(actor));
        expect_ok(actor, ledger_ack(actor, 0));
    }
}

static void act_get_across_packs(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_get_many(actor, 12));
    for (int i = 0; i < 12; i++)
        expect_ok(actor, ledger_ack(actor, 0));
    ledger_expect(actor, PTQ_EMPTY, ledger_get(actor));
}

/* Written into the block of a pack, which it does not fit: then it is a batch. */
static void act_put_many_beyond_a_pack(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_put_many(actor, 11));
    expect_ok(actor, ledger_put_many(actor, 2));
}

static enum ptq_err wait_for_it(struct ledger_actor *actor, enum ptq_side side, int timeout_ms)
{
    struct ptq_wait waits[2] = {{.queue = actor->queue, .side = side}, {.queue = NULL}};

    actor->ledger->calls++;
    return ptq_wait_any(waits, 2, timeout_ms, NULL);
}

static void act_wait_any(struct ledger_actor *actor)
{
    ledger_expect(actor, PTQ_EMPTY, wait_for_it(actor, PTQ_SIDE_GET, PTQ_NOWAIT));
    ledger_expect(actor, PTQ_TIMEDOUT, wait_for_it(actor, PTQ_SIDE_GET, 1));
    expect_ok(actor, ledger_put(actor));
    expect_ok(actor, wait_for_it(actor, PTQ_SIDE_GET, 1));
}

static void act_wait_for_room(struct ledger_actor *actor)
{
    int fd = -1;

    ledger_expect(actor, PTQ_TIMEDOUT, wait_for_it(actor, PTQ_SIDE_PUT, 1));
    expect_ok(actor, ptq_queue_fd(actor->queue, PTQ_SIDE_PUT, &fd));
    ledger_expect(actor, PTQ_FULL, ledger_put(actor));
    expect_ok(actor, ledger_get(actor));
    expect_ok(actor, wait_for_it(actor, PTQ_SIDE_PUT, 1));
}

static void act_interrupt(struct ledger_actor *actor)
{
    ptq_msg *msg = NULL;

    ptq_interrupt(actor->queue);
    ledger_expect(actor, PTQ_EINTR, ptq_get(actor->queue, 1000, &msg));
}

static void watching(struct ledger_actor *actor) { open_with(actor, PTQ_WATCH_PEERS | PTQ_CONSUMER); }
static void watching_producer(struct ledger_actor *actor) { open_with(actor, PTQ_WATCH_PEERS | PTQ_PRODUCER | PTQ_EXCLUSIVE); }

static void act_get_alone(struct ledger_actor *actor)
{
    ptq_msg *msg = NULL;

    expect_ok(actor, ledger_get(actor));
    expect_ok(actor, ledger_ack(actor, 0));
    ledger_expect(actor, PTQ_ENOPEERS, ptq_get(actor->queue, 1000, &msg));
}

static void act_put_alone(struct ledger_actor *actor)
{
    ledger_expect(actor, PTQ_ENOPEERS, ptq_put(actor->queue, "x", 1, 1000));
}

static void act_pause(struct ledger_actor *actor)
{
    struct ledger *ledger = actor->ledger;

    ledger->pausing = 1;
    expect_ok(actor, ptq_queue_pause(actor->queue, true));
    ledger->pausing = 2;
    put_some(actor, 1);
    ledger_expect(actor, PTQ_EMPTY, ledger_get(actor));
    ledger->pausing = 1;
    expect_ok(actor, ptq_queue_pause(actor->queue, false));
    ledger->pausing = 0;
    expect_ok(actor, ledger_get(actor));
}

/* Its producer ends it by closing: until that has returned it may have ended or not. */
static void act_last_put_and_close(struct ledger_actor *actor)
{
    put_some(actor, 2);
    actor->ledger->ending = 1;
    ledger_close(actor);
    actor->ledger->ending = 2;
}

static char reference[PTQ_REF_SIZE];

static void write_reference(struct ledger_actor *actor)
{
    expect_ok(actor, ptq_queue_ref(actor->queue, reference, sizeof reference));
    ptq_queue_close(actor->queue);
}

static void act_open_by_reference(struct ledger_actor *actor)
{
    expect_ok(actor, ptq_queue_from_ref(script_bus, reference, NULL, &actor->queue));
    put_some(actor, 1);
}

const struct script scripts_more[] = {
    /* W2 */
    {"put with headers, trace, time to live", SMALL, two, NULL, act_put_described, false},
    {"publish with options", SMALL, one, NULL, act_publish_described, false},
    {"put_many with options", SMALL, one, NULL, act_put_many_described, false},
    {"put_many in part", SMALL, four, NULL, act_put_many_in_part, false},
    /* W11 */
    {"ack_many", SMALL, three, get_three, act_ack_all, false},
    {"get_many and ack_many from a pack", PACKED, packed, NULL, act_get_and_ack_many, false},
    {"get_many, too few", SMALL, three, NULL, act_get_many_short, false},
    {"flush with nothing to flush", PACKED, packed, pipe_opened, act_flush_nothing, false},
    {"gather, then put with options", PACKED, NULL, pipe_opened, act_gather_then_put, false},
    {"put_many, packed", PACKED, packed, pipe_opened, act_put_many_packed, false},
    {"gather, then put_many", PACKED, NULL, pipe_opened, act_gather_then_put_many, false},
    {"put_many, packed, refused", PACKED, NULL, nearly_full_of_packs, act_put_many_packed_refused, false},
    {"put_many beyond a pack",
     .options = {.capacity = 24, .item_size = 100, .max_endpoints = 6, .pack_size = 256, .flags = PTQ_PIPELINE},
     NULL, pipe_opened, act_put_many_beyond_a_pack, false},
    {"get across the packs of a batch", PACKS, packs, NULL, act_get_across_packs, false},
    {"get on from the middle of a batch of packs", PACKS, packs_begun, NULL, act_get_past_the_buried, false},
    {"get that buries from a batch of packs", PACKS, packs_nacked_twice, NULL, act_get_past_the_buried, false},
    {"gather and close", PACKED, NULL, pipe_opened, act_gather_and_close, false},
    {"gather and end", PACKED, NULL, pipe_opened, act_gather_and_end, false},
    /* W14 */
    {"sleep in wait_any", SMALL, NULL, NULL, act_wait_any, false},
    {"sleep in wait_any for room", SMALL, full, NULL, act_wait_for_room, false},
    {"sleep interrupted", SMALL, NULL, NULL, act_interrupt, false},
    {"pause and resume", SMALL, two, NULL, act_pause, false, true},
    {"get without peers", SMALL, one, watching, act_get_alone, false, true},
    {"put without peers", SMALL, full, watching_producer, act_put_alone, false, true},
    {"close of the last producer",
     .options = {.capacity = 6, .item_size = 1024, .max_endpoints = 6, .last_producer_ends = true},
     NULL, NULL, act_last_put_and_close, false, true},
    {"open by reference", SMALL, one, write_reference, act_open_by_reference, false},
};
const size_t scripts_more_count = sizeof scripts_more / sizeof *scripts_more;

const struct script *script_at(size_t index)
{
    if (index < script_count)
        return &scripts[index];
    index -= script_count;
    if (index < scripts_more_count)
        return &scripts_more[index];
    index -= scripts_more_count;
    return index < scripts_units_count ? &scripts_units[index] : NULL;
}
