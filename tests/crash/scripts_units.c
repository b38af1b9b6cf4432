/* scripts_units.c -- the table, continued: open units of an exclusive producer: begun, added to, leased, settled, taken over. */
#include "crash/words.h"

#define UNITS .options = {.capacity = 24, .item_size = 100, .max_endpoints = 6, .pack_size = 1024, .flags = PTQ_EXCLUSIVE}

static void open_exclusive(struct ledger_actor *actor) { open_with(actor, PTQ_EXCLUSIVE); }

/* ---- before */

static void a_unit(struct ledger_actor *actor) { put_some(actor, 5); }

static void a_unit_nacked_twice(struct ledger_actor *actor)
{
    a_unit(actor);
    for (int i = 0; i < 2; i++) {
        expect_ok(actor, ledger_get(actor));
        expect_ok(actor, ledger_nack(actor, 0, 0));
    }
    actor->ledger->msgs[0].out = IS_BURIED; /* whoever takes it next */
}

static void begun(struct ledger_actor *actor)
{
    open_exclusive(actor);
    put_some(actor, 2);
}

static void get_three(struct ledger_actor *actor) { get_some(actor, 3); }

/* What the dead one left is closed by the next taker, and a new unit begins. */
static void begun_and_taken(struct ledger_actor *actor)
{
    begun(actor);
    get_some(actor, 2);
}

static void fill_up(struct ledger_actor *actor)
{
    open_exclusive(actor);
    put_some(actor, 23);
}

/* ---- the calls of interest */

static void act_add(struct ledger_actor *actor) { put_some(actor, 3); }

static void act_add_and_take(struct ledger_actor *actor)
{
    put_some(actor, 2);
    expect_ok(actor, ledger_get(actor));
    put_some(actor, 2); /* that one is closed */
    expect_ok(actor, ledger_ack(actor, 0)); /* in order: an ack that overtakes another waits in the handle */
    expect_ok(actor, ledger_recv(actor, 512));
}

static void act_mixed(struct ledger_actor *actor)
{
    put_some(actor, 1);
    expect_ok(actor, ledger_put_many(actor, 2));
    put_some(actor, 2);
    expect_ok(actor, ledger_put_with(actor, 3600000, 0));
    put_some(actor, 1);
}

static void act_until_full(struct ledger_actor *actor)
{
    put_some(actor, 1);
    ledger_expect(actor, PTQ_FULL, ledger_put(actor));
}

static void act_get_until_empty(struct ledger_actor *actor)
{
    while (ledger_get(actor) == PTQ_OK)
        ;
    ledger_expect(actor, PTQ_EMPTY, ledger_get(actor));
}

static void act_settle(struct ledger_actor *actor)
{
    for (int i = 0; i < 3; i++)
        expect_ok(actor, ledger_ack(actor, 0));
    for (int i = 0; i < 2; i++) {
        expect_ok(actor, ledger_get(actor));
        expect_ok(actor, ledger_ack(actor, 0));
    }
}

static void act_nack(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_nack(actor, 2, 0));
    expect_ok(actor, ledger_ack(actor, 0));
    expect_ok(actor, ledger_ack(actor, 0));
}

static void act_bury(struct ledger_actor *actor)
{
    for (int i = 0; i < 3; i++) {
        expect_ok(actor, ledger_get(actor));
        expect_ok(actor, ledger_ack(actor, 0));
    }
}

static void act_purge(struct ledger_actor *actor)
{
    expect_ok(actor, ledger_purge(actor));
    put_some(actor, 1);
}

static void act_end(struct ledger_actor *actor)
{
    put_some(actor, 1);
    expect_ok(actor, ledger_end(actor));
    ledger_expect(actor, PTQ_EENDED, ledger_put(actor));
}

static void act_close(struct ledger_actor *actor) { ledger_close(actor); }

const struct script scripts_units[] = {
    {"unit begun", UNITS, NULL, open_exclusive, act_add, false},
    {"unit added to", UNITS, a_unit, begun, act_add, false},
    {"unit added to and taken", UNITS, NULL, begun, act_add_and_take, false},
    {"unit on used blocks", UNITS, NULL, begun_and_taken, act_add, false},
    {"unit with others behind it", UNITS, NULL, begun, act_mixed, false},
    {"unit that fills the queue", UNITS, NULL, fill_up, act_until_full, false},
    {"get from a unit", UNITS, a_unit, begun, act_get_until_empty, false},
    {"ack in a unit", UNITS, a_unit, get_three, act_settle, false},
    {"nack in a unit", UNITS, a_unit, get_three, act_nack, false},
    {"get that buries from a unit",
     .options = {.capacity = 24, .item_size = 100, .max_endpoints = 6, .pack_size = 1024, .flags = PTQ_EXCLUSIVE,
                 .max_deliveries = 2},
     a_unit_nacked_twice, NULL, act_bury, false},
    {"purge of a unit", UNITS, a_unit, begun, act_purge, false},
    {"end behind a unit", UNITS, NULL, begun, act_end, false},
    {"close with a unit", UNITS, a_unit, begun_and_taken, act_close, false},
};
const size_t scripts_units_count = sizeof scripts_units / sizeof *scripts_units;
