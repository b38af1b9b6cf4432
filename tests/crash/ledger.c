/* ledger.c -- calls with their entries in the ledger. */
#include "crash/ledger.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- messages: id, its size, and a pattern */

#define HEAD 8u
#define PATTERN 1024u

/* Copied, not computed: in the victim each instruction costs a step. */
static unsigned char pattern[PATTERN];

static void make_pattern(void)
{
    for (uint32_t i = 0; i < PATTERN; i++)
        pattern[i] = (unsigned char)(i * 7 + (i >> 3) * 13 + 1);
}

size_t ledger_size(uint32_t id, size_t max)
{
    size_t size = HEAD + id * 37 % 200;

    return size < max ? size : max;
}

size_t ledger_fill(void *buffer, uint32_t id, size_t max)
{
    unsigned char *bytes = buffer;
    uint32_t size = (uint32_t)ledger_size(id, max);

    memcpy(bytes, &id, 4);
    memcpy(bytes + 4, &size, 4);
    memcpy(bytes + HEAD, pattern + id % 512, size - HEAD);
    return size;
}

int ledger_id_of(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint32_t id, noted;

    if (size < HEAD)
        return -1;
    memcpy(&id, bytes, 4);
    memcpy(&noted, bytes + 4, 4);
    if (id >= LEDGER_IDS || noted != size || size > HEAD + 256)
        return -1;
    return memcmp(bytes + HEAD, pattern + id % 512, size - HEAD) == 0 ? (int)id : -1;
}

struct ledger *ledger_new(void)
{
    void *ledger = mmap(NULL, sizeof(struct ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (ledger == MAP_FAILED)
        abort();
    make_pattern();
    return ledger;
}

void ledger_free(struct ledger *ledger) { munmap(ledger, sizeof *ledger); }

/* ---- in */

/* Who makes room leases what stands in the way. */
static void begin_put(struct ledger_actor *actor)
{
    actor->ledger->calls++;
    actor->ledger->taking[actor->who] = actor->ledger->drops;
}
static void end_put(struct ledger_actor *actor) { actor->ledger->taking[actor->who] = 0; }

static void note_put(struct ledger_msg *msg, enum ptq_err err) { msg->put = err == PTQ_OK ? IS_PUT : PUT_REFUSED; }

enum ptq_err ledger_put(struct ledger_actor *actor)
{
    unsigned char bytes[512];
    struct ledger_msg *msg = &actor->ledger->msgs[actor->next];
    size_t size = ledger_fill(bytes, actor->next++, actor->item_size);
    uint64_t position = 0;

    begin_put(actor);
    msg->put = PUTTING;
    enum ptq_err err = ptq_put_position(actor->queue, bytes, size, PTQ_NOWAIT, &position);
    note_put(msg, err);
    end_put(actor);
    return err;
}

enum ptq_err ledger_put_with(struct ledger_actor *actor, int64_t delay_ms, int64_t ttl_ms)
{
    unsigned char bytes[512];
    struct ledger_msg *msg = &actor->ledger->msgs[actor->next];
    size_t size = ledger_fill(bytes, actor->next++, actor->item_size);
    struct ptq_put_options options = {.delay_ms = delay_ms, .ttl_ms = ttl_ms};

    actor->ledger->drops = 1;
    begin_put(actor);
    msg->out = delay_ms > 0 ? IS_PARKED : IS_IN;
    msg->put = PUTTING;
    enum ptq_err err = ptq_put_with(actor->queue, bytes, size, &options, PTQ_NOWAIT);
    note_put(msg, err);
    end_put(actor);
    return err;
}

enum ptq_err ledger_put_over(struct ledger_actor *actor, size_t count)
{
    return count == 1 ? ledger_put(actor) : ledger_put_many(actor, count);
}

enum ptq_err ledger_purge(struct ledger_actor *actor)
{
    actor->ledger->calls++;
    actor->ledger->taking[actor->who] = 1;
    enum ptq_err err = ptq_queue_purge(actor->queue, NULL);
    actor->ledger->taking[actor->who] = 0;
    return err;
}

enum ptq_err ledger_put_many(struct ledger_actor *actor, size_t count)
{
    static unsigned char bytes[64][512];
    struct ptq_bytes items[64];
    uint32_t first = actor->next;

    begin_put(actor);
    for (size_t i = 0; i < count; i++) {
        struct ledger_msg *msg = &actor->ledger->msgs[first + i];
        items[i] = (struct ptq_bytes){bytes[i], ledger_fill(bytes[i], actor->next++, actor->item_size)};
        msg->group = (uint16_t)(first + 1);
        msg->put = PUTTING;
    }
    enum ptq_err err = ptq_put_many(actor->queue, items, count, PTQ_NOWAIT, NULL);
    /* One store for all: that the call returned. */
    for (size_t i = count; i > 0; i--)
        note_put(&actor->ledger->msgs[first + i - 1], err);
    end_put(actor);
    return err;
}

enum ptq_err ledger_gather(struct ledger_actor *actor, size_t count)
{
    uint32_t first = actor->next;
    enum ptq_err err = PTQ_OK;

    for (size_t i = 0; i < count && err == PTQ_OK; i++) {
        unsigned char bytes[512];
        struct ledger_msg *msg = &actor->ledger->msgs[actor->next];
        size_t size = ledger_fill(bytes, actor->next++, actor->item_size);

        actor->ledger->calls++;
        msg->group = (uint16_t)(first + 1);
        msg->put = PUTTING;
        err = ptq_put(actor->queue, bytes, size, PTQ_NOWAIT);
    }
    return err;
}

enum ptq_err ledger_flush(struct ledger_actor *actor, size_t count)
{
    actor->ledger->calls++;
    enum ptq_err err = ptq_flush(actor->queue, PTQ_NOWAIT);
    for (size_t i = 0; err == PTQ_OK && i < count; i++)
        note_put(&actor->ledger->msgs[actor->next - 1 - i], err);
    return err;
}

enum ptq_err ledger_loan(struct ledger_actor *actor, ptq_msg **ret_loan)
{
    actor->ledger->calls++;
    return ptq_loan(actor->queue, actor->item_size, PTQ_NOWAIT, ret_loan);
}

enum ptq_err ledger_publish(struct ledger_actor *actor, ptq_msg *loan)
{
    if (loan == NULL)
        return PTQ_ESYS; /* its loan was refused */
    struct ledger_msg *msg = &actor->ledger->msgs[actor->next];
    size_t size = ledger_fill(ptq_msg_buffer(loan), actor->next++, actor->item_size);

    begin_put(actor);
    msg->put = PUTTING;
    enum ptq_err err = ptq_publish(loan, size, PTQ_NOWAIT, NULL);
    note_put(msg, err);
    end_put(actor);
    return err;
}

/* ---- out
 *
 * Two victims may have held the same message, one after the other, and be stopped anywhere: each says only what became of his
 * own lease, so the fate changes by CAS of the lease's number. */

static uint32_t next_lease(struct ledger_actor *actor) { return ++actor->ledger->leases; }

static bool note_fate(struct ledger_msg *msg, uint32_t lease, enum ledger_out from, enum ledger_out to)
{
    uint32_t word = lease << 8 | (uint32_t)from;

    return atomic_compare_exchange_strong(&msg->lease, &word, lease << 8 | (uint32_t)to);
}

static void hold(struct ledger_actor *actor, ptq_msg *msg)
{
    int id = ledger_id_of(ptq_msg_data(msg), ptq_msg_size(msg));

    if (id < 0 || actor->held_count == 64) {
        actor->ledger->wrong = LEDGER_FOREIGN;
        return;
    }
    uint32_t lease = next_lease(actor);
    actor->held[actor->held_count] = msg;
    actor->held_leases[actor->held_count] = lease;
    actor->held_ids[actor->held_count++] = (uint32_t)id;
    actor->ledger->msgs[id].lease = lease << 8 | IS_LEASED;
}

enum ptq_err ledger_get_many(struct ledger_actor *actor, size_t max) { return ledger_get_at_least(actor, 1, max); }

enum ptq_err ledger_get_at_least(struct ledger_actor *actor, size_t min, size_t max)
{
    ptq_msg *msgs[64];
    size_t count = 0;

    actor->ledger->calls++;
    actor->ledger->taking[actor->who] = (uint32_t)max;
    enum ptq_err err = ptq_get_many(actor->queue, msgs, min, max, PTQ_NOWAIT, &count);
    for (size_t i = 0; err == PTQ_OK && i < count; i++)
        hold(actor, msgs[i]);
    actor->ledger->taking[actor->who] = 0;
    return err;
}

enum ptq_err ledger_get(struct ledger_actor *actor)
{
    ptq_msg *msg = NULL;

    actor->ledger->calls++;
    actor->ledger->taking[actor->who] = 1;
    enum ptq_err err = ptq_get(actor->queue, PTQ_NOWAIT, &msg);
    if (err == PTQ_OK)
        hold(actor, msg);
    actor->ledger->taking[actor->who] = 0;
    return err;
}

/* Where leases may run out, another may have it by now: then he says.  Else nobody may have taken it from us. */
static void begin_settling(struct ledger_actor *actor, size_t which, enum ledger_out how)
{
    struct ledger *ledger = actor->ledger;

    if (!note_fate(&ledger->msgs[actor->held_ids[which]], actor->held_leases[which], IS_LEASED, how) && !ledger->limited)
        ledger->wrong = LEDGER_TAKEN;
}

static void end_settling(struct ledger_actor *actor, size_t which, enum ledger_out how, enum ledger_out settled,
                         enum ptq_err err)
{
    struct ledger_msg *msg = &actor->ledger->msgs[actor->held_ids[which]];

    if (err == PTQ_OK || err == PTQ_ELEASELOST)
        note_fate(msg, actor->held_leases[which], how, err == PTQ_OK ? settled : IS_LEASED);
}

static void let_go(struct ledger_actor *actor, size_t which)
{
    actor->held_count--;
    for (size_t i = which; i < actor->held_count; i++) {
        actor->held[i] = actor->held[i + 1];
        actor->held_ids[i] = actor->held_ids[i + 1];
        actor->held_leases[i] = actor->held_leases[i + 1];
    }
}

enum ptq_err ledger_ack(struct ledger_actor *actor, size_t which)
{
    if (which >= actor->held_count)
        return PTQ_ESYS; /* its get came too late: another was faster */
    actor->ledger->calls++;
    begin_settling(actor, which, ACKING);
    enum ptq_err err = ptq_ack(actor->held[which]);
    end_settling(actor, which, ACKING, IS_ACKED, err);
    let_go(actor, which);
    return err;
}

enum ptq_err ledger_nack(struct ledger_actor *actor, size_t which, int delay_ms)
{
    if (which >= actor->held_count)
        return PTQ_ESYS;
    actor->ledger->calls++;
    begin_settling(actor, which, NACKING);
    actor->ledger->delays += delay_ms != 0;
    enum ptq_err err = ptq_nack(actor->held[which], delay_ms);
    end_settling(actor, which, NACKING, IS_NACKED, err);
    let_go(actor, which);
    return err;
}

enum ptq_err ledger_settle_late(struct ledger_actor *actor, size_t which, bool ack)
{
    if (which >= actor->held_count)
        return PTQ_ESYS;
    actor->ledger->calls++;
    enum ptq_err err = ack ? ptq_ack(actor->held[which]) : ptq_nack(actor->held[which], 0);
    let_go(actor, which);
    return err;
}

enum ptq_err ledger_recv(struct ledger_actor *actor, size_t room)
{
    unsigned char bytes[512];
    size_t size = 0;

    actor->ledger->calls++;
    actor->ledger->untaken += room < sizeof bytes;
    actor->ledger->taking[actor->who] = actor->ledger->receiving[actor->who] = 1;
    enum ptq_err err = ptq_recv(actor->queue, bytes, room, PTQ_NOWAIT, &size);
    if (err == PTQ_OK) {
        int id = ledger_id_of(bytes, size);
        if (id < 0)
            actor->ledger->wrong = LEDGER_FOREIGN;
        else
            actor->ledger->msgs[id].lease = next_lease(actor) << 8 | IS_ACKED;
    }
    actor->ledger->taking[actor->who] = actor->ledger->receiving[actor->who] = 0;
    return err;
}

enum ptq_err ledger_end(struct ledger_actor *actor)
{
    actor->ledger->calls++;
    if (actor->ledger->ending == 0)
        actor->ledger->ending = 1;
    enum ptq_err err = ptq_end(actor->queue);
    if (err == PTQ_OK || err == PTQ_EALREADY)
        actor->ledger->ending = 2;
    return err;
}

void ledger_close(struct ledger_actor *actor)
{
    actor->ledger->calls++;
    for (size_t i = 0; i < actor->held_count; i++)
        begin_settling(actor, i, NACKING);
    ptq_queue_close(actor->queue);
    for (size_t i = 0; i < actor->held_count; i++)
        end_settling(actor, i, NACKING, IS_NACKED, PTQ_OK);
    actor->held_count = 0;
    actor->queue = NULL;
}

void ledger_expect(struct ledger_actor *actor, enum ptq_err expected, enum ptq_err got)
{
    if (expected != got && actor->ledger->wrong == 0)
        actor->ledger->wrong = 1 + (int32_t)got;
}
