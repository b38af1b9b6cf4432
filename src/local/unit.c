/* unit.c -- a leased pack in the hands of a consumer: its records are handed out one by one, and settled in order.
 *
 *      records   0 .. progress .. given/next .. count
 *                done | the caller has them | to be handed out
 *
 * ctl in the block follows: given before a record is handed out, progress when all before it are done.  Acks out of order wait
 * here, in a bit each.  A record that is given back takes all after it along; the pack goes back once the caller holds none of
 * it, for what a living process may read is never reused.
 *
 * A unit belongs to the place whose thread leased it.  Other threads settle its records under the place's bias.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "local/verbs.h"
#include "os/futex.h"
#include "ring/pack.h"

#define NOT_BACK UINT32_MAX
#define AHEAD 512      /* bytes: how far before a record is looked at its line is asked for, where no pack stands behind this one */
#define OWN_MSGS 256u /* message objects of a unit's own, at most: for more at once than these the place's are used */
#define MADE_STEP 16u /* of which as many are made at once: a page of them that nobody asks for is never touched */

/* ---- whose turn it is */

__attribute__((noinline)) void pti_bias_slow(struct pti_bias *bias)
{
    pti_bias_leave(bias);
    while (pti_load_acquire(&bias->foreign)) /* [Y] */
        sched_yield(); /* short: nobody sleeps in there */
}

void pti_bias_enter_any(struct pti_local *local, struct pti_place *me, struct pti_place *place)
{
    if (me == place) {
        pti_bias_enter(local, &place->bias);
        return;
    }
    pthread_mutex_lock(&place->bias.mutex);
    pti_store_seq(&place->bias.foreign, 1); /* [Y] */
    pti_membarrier_private(); /* where there is none, the owner's store is a fence */
    while (pti_load_seq(&place->bias.busy)) /* [Y] */
        sched_yield();
}

void pti_bias_leave_any(struct pti_place *me, struct pti_place *place)
{
    if (me == place) {
        pti_bias_leave(&place->bias);
        return;
    }
    pti_store_release(&place->bias.foreign, 0); /* [Y] */
    pthread_mutex_unlock(&place->bias.mutex);
}

/* ---- units */

/* Its message objects for the records before `end` exist from now on. */
static void make_msgs(struct pti_local *local, struct pti_unit *unit, uint32_t end)
{
    uint32_t own = unit->msgs_mask + 1, until = end < own ? (end + MADE_STEP - 1) / MADE_STEP * MADE_STEP : own;

    for (; unit->made < until; unit->made++)
        unit->msgs[unit->made] = (struct ptq_msg){.queue = local->port.queue, .port = &local->port, .kind = PTI_KIND_DATA,
                                                  .lane = unit->place, .unit = unit, .deliveries = 1};
}

static struct pti_unit *new_unit(struct pti_local *local, struct pti_place *place)
{
    struct pti_unit *unit = place->free_units;
    size_t bits = pti_pack_room(&local->ring) / sizeof(struct pti_record) + 64;
    uint32_t own = 16;

    if (unit) {
        place->free_units = unit->next_free;
        return unit;
    }
    while (own < OWN_MSGS && own < bits)
        own *= 2;
    bits = (bits / 64 * sizeof unit->acked[0] + 15) / 16 * 16;
    unit = malloc(sizeof *unit + bits + own * sizeof *unit->msgs);
    if (!unit)
        return NULL;
    memset(unit, 0, sizeof *unit + bits);
    unit->msgs = (struct ptq_msg *)(void *)((char *)unit->acked + bits);
    unit->msgs_mask = own - 1;
    unit->place = place->number;
    unit->is_plain = true;
    pthread_mutex_lock(&local->mutex);
    unit->next = 0;
    unit->next_all = local->units;
    local->units = unit;
    pthread_mutex_unlock(&local->mutex);
    return unit;
}

void pti_units_free(struct pti_local *local)
{
    while (local->units) {
        struct pti_unit *unit = local->units;

        local->units = unit->next_all;
        free(unit);
    }
}

static struct pti_block *block_of(const struct pti_local *local, const struct pti_unit *unit)
{
    return pti_block_at(&local->ring, unit->block);
}

static void store_ctl(const struct pti_local *local, const struct pti_unit *unit)
{
    pti_pack_set(block_of(local, unit), (struct pti_pack_ctl){unit->given, unit->progress, unit->counted});
}

/* The producer may have said more since. */
static void look_again(const struct pti_local *local, struct pti_unit *unit)
{
    struct pti_block *b = block_of(local, unit);

    unit->closed = pti_load_acquire(&pti_pack_of(b)->n) & PTI_PACK_CLOSED; /* [K] first: after it n does not change */
    unit->count = pti_pack_count(&local->ring, b);
}

static void let_go(struct pti_place *place, struct pti_unit *unit)
{
    if (unit->ahead)
        memset(unit->acked, 0, (unit->count + 63) / 64 * sizeof unit->acked[0]);
    if (pti_load_relaxed(&place->unit) == unit)
        pti_store_relaxed(&place->unit, NULL);
    unit->next_free = place->free_units;
    place->free_units = unit;
}

/* Nobody holds a record of it any more: does its lease end?  `me` settles, perhaps another than who leased it. */
static enum ptq_err end_if_over(struct pti_local *local, struct pti_place *me, struct pti_place *place,
                                struct pti_unit *unit)
{
    bool is_done = unit->closed && unit->progress == unit->count;
    enum ptq_err err;

    if (unit->outstanding > 0 || (unit->back == NOT_BACK && !is_done))
        return PTQ_OK;
    err = pti_ring_adopt(&me->lane, unit->block, &unit->word);
    if (err == PTQ_OK && is_done) {
        pti_pack_finish(&me->lane, unit->block, unit->word);
    } else if (err == PTQ_OK) {
        if (!unit->is_counted && unit->ahead == 0) { /* as if they had not been handed out */
            unit->given = unit->seen > unit->back ? unit->seen : unit->back;
            store_ctl(local, unit);
        }
        pti_ring_nack(&me->lane, unit->block, unit->word, unit->due_us, unit->is_counted);
    }
    let_go(place, unit);
    return err;
}

/* Under the bias: other threads put units back to free_units. */
static enum ptq_err begin(struct pti_local *local, struct pti_place *place, uint32_t block, uint64_t word)
{
    struct pti_block *b = pti_block_at(&local->ring, block);
    struct pti_unit *unit = new_unit(local, place);
    struct pti_pack_ctl ctl;
    struct pti_record *record;
    uint32_t length;
    bool was_plain;

    if (!unit) {
        pti_ring_nack(&place->lane, block, word, 0, false);
        return PTQ_ENOMEM;
    }
    unit->block = block;
    unit->place = place->number;
    unit->word = word;
    unit->sub = pti_load_relaxed(&b->sub);
    look_again(local, unit);
    ctl = pti_pack_get(b, unit->count);
    unit->given = unit->seen = ctl.given;
    unit->progress = unit->first = ctl.progress;
    unit->counted = ctl.counted;
    unit->ahead = unit->outstanding = 0;
    unit->back = NOT_BACK;
    unit->due_us = 0;
    unit->is_counted = false;
    if (ctl.given <= ctl.progress && pti_load_relaxed(&b->deliveries) > 1)
        pti_store_relaxed(&b->deliveries, 1); /* its watermark was handed to nobody yet */
    unit->next = unit->at = 0;
    while (unit->next < unit->progress) {
        if (!pti_pack_next(&local->ring, b, &unit->at, &length, &record)) {
            let_go(place, unit);
            return PTQ_ECORRUPT;
        }
        unit->next++;
    }
    was_plain = unit->is_plain;
    unit->is_plain = ctl.given == 0 && ctl.progress == 0 && pti_load_relaxed(&b->deliveries) == 1;
    for (uint32_t i = 0; unit->is_plain && !was_plain && i < unit->made; i++) {
        unit->msgs[i].deliveries = 1;
        unit->msgs[i].redelivered = false;
    }
    pti_store_relaxed(&place->unit, unit);
    return PTQ_OK;
}

enum ptq_err pti_unit_begin(struct pti_local *local, struct pti_place *place, uint32_t block, uint64_t word)
{
    enum ptq_err err;

    pti_bias_enter(local, &place->bias);
    err = begin(local, place, block, word);
    pti_bias_leave(&place->bias);
    return err;
}

/* ---- out */

/* Is there a record to hand out?  PTQ_EMPTY: the unit is over. */
static enum ptq_err next_record(struct pti_local *local, struct pti_place *place, uint32_t *ret_length,
                                struct pti_record **ret_record)
{
    struct pti_unit *unit = pti_load_relaxed(&place->unit);

    if (__builtin_expect(unit->next == unit->count, 0)) {
        if (!unit->closed)
            look_again(local, unit);
        if (unit->next == unit->count) {
            pti_store_relaxed(&place->unit, NULL); /* the caller's messages know it */
            (void)end_if_over(local, place, place, unit);
            return PTQ_EMPTY;
        }
    }
    if (__builtin_expect(!pti_pack_next(&local->ring, block_of(local, unit), &unit->at, ret_length, ret_record), 0)) {
        pti_store_relaxed(&place->unit, NULL); /* it stays leased: nobody can do better with it */
        return PTQ_ECORRUPT;
    }
    return PTQ_OK;
}

/* ---- message objects: the unit's own, or the place's */

static bool is_own(const struct pti_unit *unit, const struct ptq_msg *msg)
{
    return (uintptr_t)msg - (uintptr_t)unit->msgs <= (uintptr_t)unit->msgs_mask * sizeof *msg;
}

static struct ptq_msg *msg_for(struct pti_local *local, struct pti_place *place, struct pti_unit *unit)
{
    struct ptq_msg *own = &unit->msgs[unit->next & unit->msgs_mask];

    if (__builtin_expect(unit->made <= unit->msgs_mask, 0))
        make_msgs(local, unit, unit->next + 1);
    return own->state == PTI_MSG_FREE ? own : pti_local_msg_new(local, place);
}

static void free_msg(struct pti_place *me, struct pti_unit *unit, struct ptq_msg *msg)
{
    if (__builtin_expect(is_own(unit, msg), 1))
        msg->state = PTI_MSG_FREE;
    else
        pti_local_msg_free(me, msg);
}

static void show_record(struct pti_local *local, struct pti_unit *unit, struct ptq_msg *msg, struct pti_record *record,
                        uint32_t length)
{
    uint32_t index = unit->next++;

    msg->port = &local->port;
    msg->data = record->bytes;
    msg->size = length;
    msg->sub = unit->sub + index;
    msg->position = pti_word_position(unit->word);
    msg->redelivered = index < unit->seen;
    msg->deliveries = index == unit->first ? pti_load_relaxed(&block_of(local, unit)->deliveries) : 1u + msg->redelivered;
    msg->type = pti_load_relaxed(&record->type);
    msg->kind = PTI_KIND_DATA;
    msg->headers = 0;
    msg->state = PTI_MSG_LEASED;
    msg->lane = unit->place;
    msg->unit = unit;
    unit->outstanding++;
}

static enum ptq_err show_next(struct pti_local *local, struct pti_place *place, struct ptq_msg **ret_msg)
{
    struct pti_unit *unit = pti_load_relaxed(&place->unit);
    struct pti_record *record;
    uint32_t length;
    enum ptq_err err = next_record(local, place, &length, &record);

    if (err != PTQ_OK)
        return err;
    *ret_msg = msg_for(local, place, unit);
    if (!*ret_msg) {
        unit->at -= pti_record_size(length);
        return PTQ_ENOMEM;
    }
    show_record(local, unit, *ret_msg, record, length);
    return PTQ_OK;
}

/* The records of the pack at the head, if there is one: else it is a block that a producer is about to write.  NULL: none. */
static const unsigned char *next_pack(struct pti_local *local, const struct pti_place *place)
{
    const struct pti_ring *ring = &local->ring;
    uint64_t h = place->lane.head, slot = pti_load_relaxed(pti_slot_at(ring, h));
    uint32_t block = pti_slot_block(slot);

    if (pti_slot_lap(slot) != pti_lap(ring, h) || block >= ring->geometry.blocks)
        return NULL;
    return pti_pack_of(pti_block_at(ring, block))->records;
}

/* The straight way, of a plain unit into its own message objects.  Where anything is the matter it ends, and show_next tells. */
static size_t show_plain(struct pti_local *local, const struct pti_place *place, struct pti_unit *unit, size_t max, struct ptq_msg **msgs)
{
    const unsigned char *records = pti_pack_of(block_of(local, unit))->records;
    uint64_t room = pti_pack_room(&local->ring), position = pti_word_position(unit->word), at = unit->at;
    uint32_t item_size = local->ring.geometry.item_size, next = unit->next, mask = unit->msgs_mask, sub = unit->sub;
    size_t n = 0, most = unit->count - next < max ? unit->count - next : max;
    const unsigned char *ahead = next_pack(local, place);

    ahead = ahead ? ahead : records + AHEAD;
    if (__builtin_expect(unit->made <= mask, 0))
        make_msgs(local, unit, next + (uint32_t)most);
    for (; n < most && at + sizeof(struct pti_record) <= room; n++, next++) {
        struct pti_record *record = (struct pti_record *)(void *)(records + at);
        struct ptq_msg *msg = &unit->msgs[next & mask];
        uint32_t length = pti_load_relaxed(&record->length);

        __builtin_prefetch(ahead + at);
        if (length > item_size || at + sizeof *record + length > room || msg->state != PTI_MSG_FREE)
            break;
        at += pti_record_size(length);
        msg->data = record->bytes;
        msg->size = length;
        msg->type = pti_load_relaxed(&record->type);
        msg->position = position;
        msg->sub = sub + next;
        msg->state = PTI_MSG_LEASED;
        msgs[n] = msg;
    }
    unit->at = (uint32_t)at;
    unit->next = next;
    unit->outstanding += (uint32_t)n;
    return n;
}

enum ptq_err pti_unit_show(struct pti_local *local, struct pti_place *place, size_t max, struct ptq_msg **msgs,
                           size_t *ret_count)
{
    struct pti_unit *unit;
    enum ptq_err err = PTQ_OK;
    size_t count = 0;

    pti_bias_enter(local, &place->bias);
    unit = pti_load_relaxed(&place->unit);
    if (unit && unit->is_plain)
        count = show_plain(local, place, unit, max, msgs);
    while (unit && count < max && err == PTQ_OK) {
        err = show_next(local, place, &msgs[count]);
        count += err == PTQ_OK;
    }
    if (count > 0 && unit->next > unit->given) {
        unit->given = unit->next;
        store_ctl(local, unit); /* before the caller sees any of them */
    }
    pti_bias_leave(&place->bias);
    *ret_count = count;
    return err == PTQ_EMPTY ? PTQ_OK : err;
}

/* ---- settled */

/* The watermark moves: the next record's deliveries are counted from now on. */
static void advance(struct pti_local *local, struct pti_unit *unit)
{
    struct pti_block *b = block_of(local, unit);

    unit->progress++;
    while (unit->ahead > 0 && unit->progress < unit->count &&
           unit->acked[unit->progress / 64] >> (unit->progress % 64) & 1) {
        unit->acked[unit->progress / 64] &= ~(UINT64_C(1) << (unit->progress % 64));
        unit->ahead--;
        unit->progress++;
    }
    if (__builtin_expect(pti_load_relaxed(&b->deliveries) != 1, 0))
        pti_store_release(&b->deliveries, 1); /* [L] */
    store_ctl(local, unit);
}

static void settle(struct pti_local *local, struct pti_unit *unit, uint32_t index)
{
    if (__builtin_expect(index == unit->progress, 1)) {
        advance(local, unit);
        return;
    }
    unit->acked[index / 64] |= UINT64_C(1) << (index % 64);
    unit->ahead++;
}

enum ptq_err pti_unit_recv(struct pti_local *local, struct pti_place *place, void *buffer, size_t size, size_t *ret_size)
{
    struct pti_unit *unit;
    struct pti_record *record;
    uint32_t length = 0, index;
    enum ptq_err err;

    pti_bias_enter(local, &place->bias);
    unit = pti_load_relaxed(&place->unit);
    err = unit ? next_record(local, place, &length, &record) : PTQ_EMPTY;
    if (err == PTQ_OK && __builtin_expect(length > size, 0)) {
        unit->at -= pti_record_size(length);
        err = PTQ_EMSGSIZE;
    }
    if (__builtin_expect(err == PTQ_OK, 1)) {
        if (length > 0)
            memcpy(buffer, record->bytes, length);
        index = unit->next++;
        if (unit->given < unit->next)
            unit->given = unit->next;
        if (__builtin_expect(index != unit->progress, 0))
            store_ctl(local, unit); /* one before it may be given back, or this process die: then it comes again, flagged */
        settle(local, unit, index); /* given and progress by one store: what was copied is gone with this process */
        if (unit->next == unit->count)
            end_if_over(local, place, place, unit);
    }
    pti_bias_leave(&place->bias);
    *ret_size = length;
    return err;
}

static struct pti_place *place_of(struct pti_local *local, const struct ptq_msg *msg)
{
    return pti_load_acquire(&local->places[msg->lane]); /* [Z] */
}

static enum ptq_err ack_record(struct pti_local *local, struct pti_place *me, struct pti_place *place, struct ptq_msg *msg)
{
    struct pti_unit *unit = msg->unit;
    uint32_t index = msg->sub - unit->sub;
    enum ptq_err err = PTQ_OK, ended;

    unit->outstanding--;
    free_msg(me, unit, msg); /* nobody else will look at it */
    if (__builtin_expect(index > unit->back, 0))
        err = PTQ_ELEASELOST; /* one before it was given back, and took it along */
    else
        settle(local, unit, index);
    if (unit->outstanding == 0) {
        ended = end_if_over(local, me, place, unit);
        err = err == PTQ_OK ? ended : err;
    }
    return err;
}

enum ptq_err pti_unit_ack(struct pti_local *local, struct pti_place *me, struct ptq_msg *msg)
{
    struct pti_place *place = __builtin_expect(msg->lane == me->number, 1) ? me : place_of(local, msg);
    enum ptq_err err;

    pti_bias_enter_any(local, me, place);
    err = ack_record(local, me, place, msg);
    pti_bias_leave_any(me, place);
    return err;
}

/* The records from the watermark on that msgs name, one behind the other, are done by one store.  Returns how many. */
static size_t ack_run(struct pti_local *local, struct pti_place *me, struct pti_unit *unit, struct ptq_msg *const *msgs,
                      size_t count)
{
    uint32_t at = unit->progress;
    size_t n = 0;

    for (; n < count && at <= unit->back; n++, at++) {
        struct ptq_msg *msg = msgs[n];

        if (msg != &unit->msgs[at & unit->msgs_mask] && (!msg || msg->unit != unit))
            break;
        if (msg->sub != unit->sub + at || msg->state != PTI_MSG_LEASED)
            break;
        if (__builtin_expect(msg == &unit->msgs[at & unit->msgs_mask], 1))
            msg->state = PTI_MSG_FREE;
        else
            free_msg(me, unit, msg);
    }
    if (n == 0)
        return 0;
    unit->outstanding -= (uint32_t)n;
    unit->progress = at - 1;
    advance(local, unit); /* and past those that were acked before their turn */
    return n;
}

enum ptq_err pti_unit_ack_many(struct pti_local *local, struct pti_place *me, struct ptq_msg *const *msgs, size_t count,
                               size_t *ret_count)
{
    struct pti_place *place = __builtin_expect(msgs[0]->lane == me->number, 1) ? me : place_of(local, msgs[0]);
    struct pti_unit *unit = msgs[0]->unit;
    enum ptq_err err = PTQ_OK;

    pti_bias_enter_any(local, me, place);
    *ret_count = ack_run(local, me, unit, msgs, count);
    if (*ret_count > 0) {
        if (unit->outstanding == 0)
            err = end_if_over(local, me, place, unit);
    } else {
        err = ack_record(local, me, place, msgs[0]);
        *ret_count = 1;
    }
    pti_bias_leave_any(me, place);
    return err;
}

enum ptq_err pti_unit_nack(struct pti_local *local, struct pti_place *me, struct ptq_msg *msg, uint64_t due_us, bool counted)
{
    struct pti_place *place = place_of(local, msg);
    struct pti_unit *unit = msg->unit;
    enum ptq_err err;

    pti_bias_enter_any(local, me, place);
    unit->outstanding--;
    free_msg(me, unit, msg);
    if (msg->sub - unit->sub < unit->back) {
        unit->back = msg->sub - unit->sub;
        unit->due_us = due_us;
    }
    unit->is_counted |= counted;
    if (pti_load_relaxed(&place->unit) == unit)
        pti_store_relaxed(&place->unit, NULL); /* no more of it is handed out */
    err = end_if_over(local, me, place, unit);
    pti_bias_leave_any(me, place);
    return err;
}

void pti_units_return(struct pti_local *local, struct pti_place *place)
{
    struct pti_unit *unit = pti_load_relaxed(&place->unit);

    if (!unit || unit->outstanding > 0)
        return;
    unit->back = unit->next;
    end_if_over(local, place, place, unit);
}
