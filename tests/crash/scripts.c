/* scripts.c -- the table: what the victim does when it dies. */
#include "crash/words.h"

#include <unistd.h>

#define SMALL .options = {.capacity = 6, .item_size = 1024, .max_endpoints = 6}

#define DROPPING(policy) .options = {.capacity = 6, .item_size = 1024, .max_endpoints = 6, .full = policy}
#define HOUR_MS 3600000
#define LIMITED .options = {.capacity = 6, .item_size = 1024, .max_endpoints = 6, .lease_ms = HOUR_MS}

/* ---- what was before */

/* `count` messages through the queue, not in the ledger: the ring stands elsewhere, and its slots bear old words. */
static void turn(struct ledger_actor *actor, unsigned count)
{
    char bytes[1024];
    size_t size = 0;

    while (count-- > 0) {
        expect_ok(actor, ptq_put(actor->queue, "x", 1, PTQ_NOWAIT));
        expect_ok(actor, ptq_recv(actor->queue, bytes, sizeof bytes, PTQ_NOWAIT, &size));
        actor->ledger->turned++;
    }
}

static void one(struct ledger_actor *actor) { put_some(actor, 1); }
static void two(struct ledger_actor *actor) { put_some(actor, 2); }
static void three(struct ledger_actor *actor) { put_some(actor, 3); }
static void full(struct ledger_actor *actor) { put_some(actor, 6); }
static void full_batch(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_put_many(actor, 2));
    put_some(actor, 4);
}

static void near_wrap(struct ledger_actor *actor)
{
    turn(actor, 61);
    put_some(actor, 2);
}

static void second_lap(struct ledger_actor *actor)
{
    turn(actor, 140);
    put_some(actor, 2);
}

static void batch_and_two(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_put_many(actor, 3));
    put_some(actor, 2);
}

static void used_batches(struct ledger_actor *actor)
{
    struct ptq_bytes items[3] = {{"a", 1}, {"b", 1}, {"c", 1}};
    char bytes[8];
    size_t size = 0;

    for (int i = 0; i < 30; i++) {
        expect_ok(actor, ptq_put_many(actor->queue, items, 3, PTQ_NOWAIT, NULL));
        for (int k = 0; k < 3; k++)
            expect_ok(actor, ptq_recv(actor->queue, bytes, sizeof bytes, PTQ_NOWAIT, &size));
        actor->ledger->turned += 3;
    }
    put_some(actor, 1);
}

/* Blocks come and go in such an order that a batch finds none side by side. */
static void fragments(struct ledger_actor *actor)
{
    ptq_msg *msgs[40];

    for (int lap = 0; lap < 14; lap++) {
        for (int i = 0; i < 40; i++) {
            expect_ok(actor, ptq_put(actor->queue, "x", 1, PTQ_NOWAIT));
            expect_ok(actor, ptq_get(actor->queue, PTQ_NOWAIT, &msgs[i]));
        }
        for (int i = 0; i < 40; i++)
            expect_ok(actor, ptq_ack(msgs[i * 17 % 40]));
        actor->ledger->turned += 40;
    }
    put_some(actor, 1);
}

static void nacked_and_left(struct ledger_actor *actor)
{
    put_some(actor, 4);
    for (int i = 0; i < 3; i++)
        expect_ok(actor, ledger_get(actor));
    expect_ok(actor, ledger_nack(actor, 1, 0));
}

static void nacked_twice(struct ledger_actor *actor)
{
    put_some(actor, 2);
    for (int i = 0; i < 2; i++) {
        expect_ok(actor, ledger_get(actor));
        expect_ok(actor, ledger_nack(actor, 0, 0));
    }
    actor->ledger->msgs[0].out = IS_BURIED; /* whoever takes it next */
}

static void delayed(struct ledger_actor *actor)
{
    put_some(actor, 3);
    for (int i = 0; i < 2; i++)
        expect_ok(actor, ledger_get(actor));
    expect_ok(actor, ledger_nack(actor, 1, 2));
    expect_ok(actor, ledger_nack(actor, 0, 1));
}

/* Over by the time that anybody looks, and one that is not. */
static void expired(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_put_with(actor, 0, 1));
    expect_ok(actor, ledger_put_with(actor, 0, 1));
    put_some(actor, 1);
    usleep(3000);
}

static void expired_for_the_dead(struct ledger_actor *actor)
{
    expired(actor);
    actor->ledger->msgs[0].out = actor->ledger->msgs[1].out = IS_BURIED;
}

static void parked(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_put_with(actor, HOUR_MS, 0));
    put_some(actor, 1);
    expect_ok(actor, ledger_put_with(actor, HOUR_MS, 0));
}

static void full_of_delays(struct ledger_actor *actor)
{
    for (int i = 0; i < 6; i++)
        expect_ok(actor, ledger_put_with(actor, HOUR_MS, 0));
}

static void ended(struct ledger_actor *actor)
{
    put_some(actor, 1);
    expect_ok(actor, ledger_end(actor));
}

#define PACKED .options = {.capacity = 24, .item_size = 100, .max_endpoints = 6, .pack_size = 1024, .flags = PTQ_PIPELINE}

static void packed(struct ledger_actor *actor)
{
    put_some(actor, 5);
    expect_ok(actor, ptq_flush(actor->queue, PTQ_NOWAIT));
    put_some(actor, 1);
    expect_ok(actor, ptq_flush(actor->queue, PTQ_NOWAIT));
}

static void packed_nacked_twice(struct ledger_actor *actor)
{
    packed(actor);
    for (int i = 0; i < 2; i++) {
        expect_ok(actor, ledger_get(actor));
        expect_ok(actor, ledger_nack(actor, 0, 0));
    }
    actor->ledger->msgs[0].out = IS_BURIED; /* whoever takes it next */
}

/* ---- what the victim has done already */

static void pipe_opened(struct ledger_actor *actor)
{
    struct ptq_queue_options options = {.flags = PTQ_PIPELINE};

    ptq_queue_close(actor->queue);
    expect_ok(actor, ptq_queue_open(script_bus, SCENE_QUEUE, &options, &actor->queue));
}

static void packed_again(struct ledger_actor *actor)
{
    pipe_opened(actor);
    expect_ok(actor, ledger_gather(actor, 2));
    expect_ok(actor, ledger_flush(actor, 2));
}


static void get_three(struct ledger_actor *actor)
{
    for (int i = 0; i < 3; i++)
        expect_ok(actor, ledger_get(actor));
}

static void get_two_put_one_lend_one(struct ledger_actor *actor)
{
    ptq_msg *loan = NULL;

    for (int i = 0; i < 2; i++)
        expect_ok(actor, ledger_get(actor));
    put_some(actor, 1);
    expect_ok(actor, ledger_loan(actor, &loan));
}

static void put_one(struct ledger_actor *actor) { put_some(actor, 1); }
static void let_it_be_due(struct ledger_actor *actor)
{
    (void)actor;
    usleep(5000);
}

/* Leases that are overdue: of another handle, which stands still, or of our own. */
static ptq_queue *other;

static void other_gets_two(struct ledger_actor *actor)
{
    ptq_queue *ours = actor->queue;

    expect_ok(actor, ptq_queue_open(script_bus, SCENE_QUEUE, NULL, &other));
    actor->queue = other;
    for (int i = 0; i < 2; i++)
        expect_ok(actor, ledger_get(actor));
    actor->queue = ours;
    for (size_t i = 0; i < 2; i++)
        scene_make_overdue(actor, i);
}

static void other_gets_two_and_we_again(struct ledger_actor *actor)
{
    other_gets_two(actor);
    for (int i = 0; i < 2; i++)
        expect_ok(actor, ledger_get(actor));
}

static void get_one_for_too_long(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_get(actor));
    scene_make_overdue(actor, 0);
}

static void get_three_for_too_long(struct ledger_actor *actor)
{
    get_three(actor);
    for (size_t i = 0; i < 3; i++)
        scene_make_overdue(actor, i);
}

/* ---- the calls of interest */

static void act_put(struct ledger_actor *actor) { put_some(actor, 2); }
static void act_put_three(struct ledger_actor *actor) { put_some(actor, 3); }

static void act_put_over(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_put_over(actor, 1));
    expect_ok(actor, ledger_put_over(actor, 2));
}

static void act_put_delayed(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_put_with(actor, HOUR_MS, 0));
    put_some(actor, 1);
}

static void act_within_budget(struct ledger_actor *actor)
{
    put_some(actor, 1);
    expect_ok(actor, ledger_get(actor));
    expect_ok(actor, ledger_put_many(actor, 2));
    ledger_expect(actor, PTQ_FULL, ledger_put_many(actor, 3));
    expect_ok(actor, ledger_recv(actor, 512));
    expect_ok(actor, ledger_ack(actor, 0));
}

static void act_purge(struct ledger_actor *actor) { expect_ok(actor, ledger_purge(actor)); }

static void act_put_many(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_put_many(actor, 3));
    expect_ok(actor, ledger_put_many(actor, 2));
}

static void act_mixed_puts(struct ledger_actor *actor)
{
    put_some(actor, 1);
    expect_ok(actor, ledger_put_many(actor, 2));
    put_some(actor, 1);
}

static void act_put_large_batch(struct ledger_actor *actor) { expect_ok(actor, ledger_put_many(actor, 20)); }

static void act_put_refused(struct ledger_actor *actor)
{
    ledger_expect(actor, PTQ_FULL, ledger_put(actor));
    ledger_expect(actor, PTQ_FULL, ledger_put_many(actor, 2));
}

static void act_put_many_refused(struct ledger_actor *actor)
{
    ledger_expect(actor, PTQ_FULL, ledger_put_many(actor, 2));
    put_some(actor, 1);
    ledger_expect(actor, PTQ_FULL, ledger_put_many(actor, 2));
}

static void act_get(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_get(actor));
    expect_ok(actor, ledger_get(actor));
}

static void act_get_until_empty(struct ledger_actor *actor)
{
    while (ledger_get(actor) == PTQ_OK)
        ;
    ledger_expect(actor, PTQ_EMPTY, ledger_get(actor));
}

static void act_get_and_ack(struct ledger_actor *actor)
{
    for (int i = 0; i < 5; i++) {
        expect_ok(actor, ledger_get(actor));
        if (i % 2 == 0)
            expect_ok(actor, ledger_ack(actor, 0));
    }
}

static void act_get_many(struct ledger_actor *actor) { expect_ok(actor, ledger_get_many(actor, 4)); }

static void act_ack(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_ack(actor, 1));
    expect_ok(actor, ledger_ack(actor, 0));
}

static void act_nack(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_nack(actor, 1, 0));
    expect_ok(actor, ledger_nack(actor, 0, 0));
}

static void act_nack_delayed(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_nack(actor, 1, 3));
    expect_ok(actor, ledger_nack(actor, 0, 2));
}

static void act_nack_and_get(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_nack(actor, 1, PTQ_BACKOFF));
    expect_ok(actor, ledger_get(actor));
}

static void act_gather(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_gather(actor, 3));
    expect_ok(actor, ledger_flush(actor, 3));
    expect_ok(actor, ledger_gather(actor, 2));
    expect_ok(actor, ledger_flush(actor, 2));
}

static void act_ack_in_order(struct ledger_actor *actor)
{
    for (int i = 0; i < 3; i++)
        expect_ok(actor, ledger_ack(actor, 0));
    for (int i = 0; i < 3; i++) {
        expect_ok(actor, ledger_get(actor));
        expect_ok(actor, ledger_ack(actor, 0));
    }
}

static void act_bury_record(struct ledger_actor *actor)
{
    for (int i = 0; i < 3; i++) {
        expect_ok(actor, ledger_get(actor));
        expect_ok(actor, ledger_ack(actor, 0));
    }
}

static void act_nack_the_last(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_nack(actor, 2, 0));
    expect_ok(actor, ledger_ack(actor, 0));
    expect_ok(actor, ledger_ack(actor, 0));
}

static void act_recv(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_recv(actor, 512));
    ledger_expect(actor, PTQ_EMSGSIZE, ledger_recv(actor, 4));
    expect_ok(actor, ledger_recv(actor, 512));
}

static void act_within_the_limit(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_get(actor));
    expect_ok(actor, ledger_get(actor));
    expect_ok(actor, ledger_ack(actor, 1));
    expect_ok(actor, ledger_nack(actor, 0, 0));
    expect_ok(actor, ledger_recv(actor, 512));
    ledger_expect(actor, PTQ_EMSGSIZE, ledger_recv(actor, 4));
}

static void act_take_over(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_get(actor));
    expect_ok(actor, ledger_recv(actor, 512));
    expect_ok(actor, ledger_ack(actor, 2));
}

static void act_settle_late(struct ledger_actor *actor)
{
    ledger_expect(actor, PTQ_ELEASELOST, ledger_settle_late(actor, 1, false));
    ledger_expect(actor, PTQ_ELEASELOST, ledger_settle_late(actor, 0, true));
    expect_ok(actor, ledger_ack(actor, 1));
    expect_ok(actor, ledger_get(actor));
}

static void act_close_late(struct ledger_actor *actor)
{
    actor->ledger->calls++;
    ptq_queue_close(other);
    expect_ok(actor, ledger_ack(actor, 3));
}

static void act_lose_our_own(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_get(actor));
    ledger_expect(actor, PTQ_ELEASELOST, ledger_settle_late(actor, 0, true));
    expect_ok(actor, ledger_ack(actor, 0));
    expect_ok(actor, ledger_get(actor));
}

static void act_settle_overdue(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_ack(actor, 1));
    expect_ok(actor, ledger_nack(actor, 0, 0));
    expect_ok(actor, ledger_ack(actor, 0));
}

static void act_take_again(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_get(actor));
    expect_ok(actor, ledger_get(actor));
    expect_ok(actor, ledger_ack(actor, 0));
    expect_ok(actor, ledger_recv(actor, 512));
    expect_ok(actor, ledger_get(actor));
}

static void act_bury(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_get(actor));
    ledger_expect(actor, PTQ_EMPTY, ledger_get(actor));
}

static void act_loan(struct ledger_actor *actor)
{
    ptq_msg *one = NULL, *two_ = NULL;

    expect_ok(actor, ledger_loan(actor, &one));
    expect_ok(actor, ledger_loan(actor, &two_));
    expect_ok(actor, ledger_publish(actor, two_));
    ptq_abort(one);
    expect_ok(actor, ledger_loan(actor, &one));
    expect_ok(actor, ledger_publish(actor, one));
}

static void act_end(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_end(actor));
    ledger_expect(actor, PTQ_EENDED, ledger_put(actor));
}

static void act_drain_to_end(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_recv(actor, 512));
    ledger_expect(actor, PTQ_END, ledger_get(actor));
    ledger_expect(actor, PTQ_EENDED, ledger_put(actor));
}

static void act_close(struct ledger_actor *actor) { ledger_close(actor); }

static void act_open_put_get_close(struct ledger_actor *actor)
{
    expect_ok(actor, ptq_queue_open(script_bus, SCENE_QUEUE, NULL, &actor->queue));
    put_some(actor, 1);
    expect_ok(actor, ledger_get(actor));
    ledger_close(actor);
}

static void act_sleep(struct ledger_actor *actor)
{
    ptq_msg *msg = NULL;

    ledger_expect(actor, PTQ_TIMEDOUT, ptq_get(actor->queue, 1, &msg));
}

static void act_sleep_in_put(struct ledger_actor *actor)
{
    ledger_expect(actor, PTQ_TIMEDOUT, ptq_put(actor->queue, "x", 1, 1));
}

static void act_descriptor(struct ledger_actor *actor)
{
    int fd = -1;

    expect_ok(actor, ptq_queue_fd(actor->queue, PTQ_SIDE_GET, &fd));
    ledger_expect(actor, PTQ_EMPTY, ledger_get(actor));
}

const struct script scripts[] = {
    /* W3 */
    {"first put", SMALL, NULL, NULL, act_put, false},
    /* W1 W2 W3 W4 W26 */
    {"put", SMALL, two, put_one, act_put, false},
    /* W4 */
    {"put over the wrap of slots", SMALL, near_wrap, NULL, act_put_three, false},
    {"put on used slots", SMALL, second_lap, put_one, act_put, false},
    /* W6 W7 */
    {"put_many", SMALL, NULL, NULL, act_put_many, false},
    {"put_many beside used batches", SMALL, used_batches, NULL, act_mixed_puts, false},
    /* W6 */
    {"put_many of many runs",
     .options = {.capacity = 40, .item_size = 80, .max_endpoints = 6},
     fragments, NULL, act_put_large_batch, false},
    {"put refused", SMALL, full, NULL, act_put_refused, false},
    {"put_many refused", SMALL, batch_and_two, NULL, act_put_many_refused, false},
    /* W1 */
    {"loan, publish, abort", SMALL, two, NULL, act_loan, false},
    /* W8 W9 */
    {"get", SMALL, three, NULL, act_get, false},
    {"get until empty", SMALL, near_wrap, NULL, act_get_until_empty, false},
    /* W13 */
    {"get of a batch", SMALL, batch_and_two, NULL, act_get_and_ack, false},
    /* W8 */
    {"get_many", SMALL, batch_and_two, NULL, act_get_many, false},
    {"get of what comes again", SMALL, nacked_and_left, NULL, act_take_again, false},
    {"get of what is due", SMALL, delayed, let_it_be_due, act_get_until_empty, false},
    {"get that buries", .options = {.capacity = 6, .item_size = 1024, .max_endpoints = 6, .max_deliveries = 2},
     nacked_twice, NULL, act_bury, false},
    /* W11 W26 */
    {"ack", SMALL, three, get_three, act_ack, false},
    /* W13 */
    {"ack of a batch", SMALL, batch_and_two, get_three, act_ack, false},
    {"nack", SMALL, three, get_three, act_nack, false},
    /* W28 */
    {"nack delayed", SMALL, three, get_three, act_nack_delayed, false},
    {"nack, then get", SMALL, three, get_three, act_nack_and_get, false},
    /* W10 W12 */
    {"recv", SMALL, three, NULL, act_recv, false},
    {"gather and flush", PACKED, packed, pipe_opened, act_gather, false},
    {"gather and flush on used blocks", PACKED, NULL, packed_again, act_gather, false},
    {"get from a pack", PACKED, packed, NULL, act_get_until_empty, false},
    {"get_many from a pack", PACKED, packed, NULL, act_get_many, false},
    /* W29 */
    {"ack in a pack", PACKED, packed, get_three, act_ack_in_order, false},
    {"nack in a pack", PACKED, packed, get_three, act_nack_the_last, false},
    /* W29 */
    {"recv from a pack", PACKED, packed, NULL, act_recv, false},
    {"get that buries from a pack",
     .options = {.capacity = 24, .item_size = 100, .max_endpoints = 6, .pack_size = 1024, .flags = PTQ_PIPELINE,
                 .max_deliveries = 2},
     packed_nacked_twice, NULL, act_bury_record, false},
    {"close in a pack", PACKED, packed, get_three, act_close, false},
    {"put over the oldest", DROPPING(PTQ_FULL_DROP_OLDEST), full, NULL, act_put_over, false},
    {"put over the oldest, of a batch", DROPPING(PTQ_FULL_DROP_OLDEST), full_batch, NULL, act_put_over, false},
    {"put that is dropped", DROPPING(PTQ_FULL_DROP_NEWEST), full, NULL, act_put_over, false},
    /* W28 */
    {"put, delayed", SMALL, two, NULL, act_put_delayed, false},
    {"put over what is delayed", SMALL, full_of_delays, NULL, act_put_delayed, false},
    /* W28 */
    {"get that parks", SMALL, parked, NULL, act_get_until_empty, false},
    {"get of what expired", SMALL, expired, NULL, act_get_until_empty, false},
    {"get of what expired, to the dead",
     .options = {.capacity = 6, .item_size = 1024, .max_endpoints = 6, .expired_to_dead = true},
     expired_for_the_dead, NULL, act_get_until_empty, false},
    {"within a byte budget", .options = {.capacity = 6, .item_size = 300, .max_endpoints = 6, .bytes = 600}, one, NULL,
     act_within_budget, false},
    {"purge", SMALL, batch_and_two, NULL, act_purge, false},
    {"lease limit", LIMITED, three, NULL, act_within_the_limit, false},
    /* W30 */
    {"lease handed on", LIMITED, three, other_gets_two, act_take_over, false},
    {"ack and nack too late", LIMITED, three, other_gets_two_and_we_again, act_settle_late, false},
    {"close too late", LIMITED, three, other_gets_two_and_we_again, act_close_late, false},
    /* W30 */
    {"own lease handed on", LIMITED, three, get_one_for_too_long, act_lose_our_own, false},
    {"ack and nack of what is overdue", LIMITED, three, get_three_for_too_long, act_settle_overdue, false},
    {"close with what is overdue", LIMITED, three, get_three_for_too_long, act_close, false},
    /* W27 */
    {"end", SMALL, two, NULL, act_end, false},
    /* W27 */
    {"end of a full queue", SMALL, full, NULL, act_end, false},
    {"end reached", SMALL, ended, NULL, act_drain_to_end, false},
    /* W14 */
    {"sleep in get", SMALL, NULL, NULL, act_sleep, false},
    /* W14 */
    {"sleep in put", SMALL, full, NULL, act_sleep_in_put, false},
    {"descriptor", SMALL, NULL, NULL, act_descriptor, false},
    /* W10 W18 */
    {"close", SMALL, three, get_two_put_one_lend_one, act_close, false},
    /* W17 W18 */
    {"open, use, close", SMALL, nacked_and_left, NULL, act_open_put_get_close, true},
};
const size_t script_count = sizeof scripts / sizeof *scripts;
