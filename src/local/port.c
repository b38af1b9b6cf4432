/* port.c -- the local carrier: its tables of operations, and what stands around put and take. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "bus/attach.h"
#include "local/stats.h"
#include "local/verbs.h"
#include "os/life.h"
#include "queue/spec.h"
#include "ring/fast.h"
#include "ring/side.h"

/* ---- ordered work */

static enum ptq_err local_limit(struct pti_port *port, uint64_t limit)
{
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(pti_local_of(port), &place);

    if (err != PTQ_OK)
        return err;
    pti_ring_raise_limit(place->lane.ring, limit);
    pti_local_leave(place);
    return PTQ_OK;
}

static enum ptq_err local_head(struct pti_port *port, uint64_t *ret_position)
{
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(pti_local_of(port), &place);

    if (err != PTQ_OK)
        return err;
    *ret_position = pti_ring_head(&place->lane);
    pti_local_leave(place);
    return PTQ_OK;
}

static enum ptq_err local_census(struct pti_port *port, uint64_t position, bool *ret_lost)
{
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(pti_local_of(port), &place);

    if (err != PTQ_OK)
        return err;
    *ret_lost = pti_ring_is_lost(place->lane.ring, position & place->lane.ring->position_mask);
    pti_local_leave(place);
    return PTQ_OK;
}

static bool local_is_placed(struct pti_port *port, uint64_t position)
{
    struct pti_place *place;

    if (pti_local_enter(pti_local_of(port), &place) != PTQ_OK)
        return false;
    bool placed = pti_ring_is_placed(place->lane.ring, position & place->lane.ring->position_mask);
    pti_local_leave(place);
    return placed;
}

static uint32_t local_own_consumers(struct pti_port *port)
{
    struct pti_local *local = pti_local_of(port);
    uint32_t used = pti_load_acquire(&local->places_used), count = 0; /* [Z] */

    for (uint32_t i = 0; i < used; i++)
        count += (pti_load_relaxed(&pti_load_relaxed(&local->places[i])->lane.entry->roles) & PTI_ROLE_GET) != 0;
    return count;
}

static enum ptq_err local_claim(struct pti_port *port, int64_t deadline)
{
    return pti_local_claim(pti_local_of(port), deadline);
}

static _Atomic uint64_t *local_word(struct pti_port *port)
{
    return (_Atomic uint64_t *)(void *)(pti_local_of(port)->ring.base + PTI_WORD_OFFSET);
}

static bool local_is_held(struct pti_port *port, enum ptq_side side)
{
    struct pti_place *place;
    bool held = true;

    if (pti_local_enter(pti_local_of(port), &place) != PTQ_OK)
        return held;
    held = pti_life_is_locked(place->lane.ring->segment.fd, side == PTQ_SIDE_PUT ? PTI_LIFE_PRODUCER : PTI_LIFE_GETTER) != 0;
    pti_local_leave(place);
    return held;
}

/* ---- around */

static enum ptq_err local_stats(struct pti_port *port, struct ptq_queue_stats *ret_stats)
{
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(pti_local_of(port), &place);

    if (err != PTQ_OK)
        return err;
    pti_stats_make(place->lane.ring, ret_stats);
    pti_local_leave(place);
    return PTQ_OK;
}

static enum ptq_err local_purge(struct pti_port *port, uint64_t *ret_count)
{
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(pti_local_of(port), &place);

    if (err != PTQ_OK)
        return err;
    *ret_count = pti_ring_purge(&place->lane);
    pti_local_leave(place);
    return PTQ_OK;
}

static enum ptq_err local_pause(struct pti_port *port, bool pause)
{
    struct pti_place *place;
    enum ptq_err err = pti_local_enter(pti_local_of(port), &place);

    if (err != PTQ_OK)
        return err;
    pti_ring_pause(place->lane.ring, pause);
    pti_local_leave(place);
    return PTQ_OK;
}

/* The lease keeps the block as it is. */
static int64_t local_age(struct pti_port *port, const struct ptq_msg *msg)
{
    struct pti_ring *ring = &pti_local_of(port)->ring;
    uint32_t block = msg->unit ? msg->unit->block : msg->block;
    uint64_t put = pti_stamp_put_us(pti_load_relaxed(&pti_block_at(ring, block)->stamp)), now = pti_now_us();

    if (put == 0)
        return -1;
    return now > put ? (int64_t)((now - put) / 1000) : 0;
}

static uint16_t local_left(struct pti_port *port, const struct ptq_msg *msg)
{
    struct pti_ring *ring = &pti_local_of(port)->ring;
    uint64_t stamp = pti_load_relaxed(&pti_block_at(ring, msg->unit ? msg->unit->block : msg->block)->stamp);
    uint64_t ttl = pti_stamp_ttl_ms(stamp), put = pti_stamp_put_us(stamp), now = pti_now_us();
    uint64_t age = now > put ? (now - put) / 1000 : 0;

    if (ttl == 0 || put == 0)
        return 0;
    return (uint16_t)pti_ttl_pack(age < ttl ? ttl - age : 1);
}

static enum ptq_err local_fd(struct pti_port *port, enum ptq_side side, int *ret_fd)
{
    return pti_local_fd(pti_local_of(port), side, ret_fd);
}

static void local_interrupt(struct pti_port *port) { pti_local_interrupt(pti_local_of(port)); }

static void local_sweep(struct pti_port *port)
{
    struct pti_place *place;

    if (pti_local_enter(pti_local_of(port), &place) != PTQ_OK)
        return;
    pti_ring_sweep(place->lane.ring, true);
    pti_local_leave(place);
}

static void local_explain(struct pti_port *port, enum ptq_err err, char *buffer, size_t size)
{
    struct pti_local *local = pti_local_of(port);
    uint64_t space = 0;
    char mount[200] = "";

    if (pti_side_explain(&local->ring, err, buffer, size) || err != PTQ_ENOSPC)
        return;
    pti_segment_space(&local->ring.segment, &space, mount, sizeof mount);
    snprintf(buffer, size, "needs %u more bytes, %" PRIu64 " are free on %s; free some, or enlarge it",
             1u << local->ring.geometry.stretch_shift, space, mount[0] ? mount : "its file system");
}

static void local_close(struct pti_port *port, int64_t deadline)
{
    /* Nothing local waits for an answer, but what was gathered may wait for room. */
    if (pti_local_of(port)->ops->flush)
        (void)pti_local_of(port)->ops->flush(port, deadline);
    pti_local_fini(pti_local_of(port));
    free(port);
}

const struct pti_port_ops pti_local_ops = {
    .stay = pti_local_stay,
    .go = pti_local_go,
    .put = pti_local_put,
    .put_many = pti_local_put_many,
    .loan = pti_local_loan,
    .publish = pti_local_publish,
    .abort = pti_local_abort,
    .place = pti_local_place,
    .place_loan = pti_local_place_loan,
    .end = pti_local_end,
    .take = pti_local_take,
    .take_more = pti_local_take_more,
    .recv = pti_local_recv,
    .ack = pti_local_ack,
    .ack_many = pti_local_ack_many,
    .nack = pti_local_nack,
    .untake = pti_local_untake,
    .kick = pti_local_kick,
    .limit = local_limit,
    .head = local_head,
    .census = local_census,
    .is_placed = local_is_placed,
    .own_consumers = local_own_consumers,
    .claim = local_claim,
    .word = local_word,
    .is_held = local_is_held,
    .stats = local_stats,
    .purge = local_purge,
    .pause = local_pause,
    .age = local_age,
    .left = local_left,
    .fd = local_fd,
    .watch_begin = pti_local_watch_begin,
    .watch_arm_word = pti_local_watch_arm_word,
    .watch_arm_fd = pti_local_watch_arm_fd,
    .watch_look = pti_local_watch_look,
    .watch_interrupted = pti_local_watch_interrupted,
    .watch_pass = pti_local_watch_pass,
    .watch_end = pti_local_watch_end,
    .interrupt = local_interrupt,
    .sweep = local_sweep,
    .explain = local_explain,
    .close = local_close,
};

/* The same where puts are gathered; and where a plain message may go the fast way, too. */
static struct pti_port_ops piping_ops, fast_ops, fast_piping_ops;
static struct pti_port_ops appending_ops, fast_appending_ops; /* small puts are added to open units */
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void take_fast(struct pti_port_ops *ops)
{
    ops->fast_take = pti_fast_take;
    ops->fast_take_many = pti_fast_take_many;
    ops->fast_recv = pti_fast_recv;
    ops->fast_ack = pti_fast_settle;
    ops->fast_ack_many = pti_fast_settle_many;
}

static void make_tables(void)
{
    piping_ops = pti_local_ops;
    piping_ops.put = pti_pipe_put;
    piping_ops.put_many = pti_pipe_put_many;
    piping_ops.fast_put = pti_pipe_fast_put;
    piping_ops.put_items = pti_pipe_put_items;
    piping_ops.publish = pti_pipe_publish;
    piping_ops.flush = pti_pipe_flush;
    piping_ops.end = pti_pipe_end;
    fast_ops = pti_local_ops;
    fast_ops.fast_put = pti_fast_put;
    fast_ops.fast_put_many = pti_fast_put_many;
    take_fast(&fast_ops);
    fast_piping_ops = piping_ops;
    take_fast(&fast_piping_ops);
    appending_ops = pti_local_ops;
    appending_ops.put = pti_append_put;
    fast_appending_ops = fast_ops;
    fast_appending_ops.put = pti_append_put;
    fast_appending_ops.fast_put = NULL;
}

bool pti_fast_is_off; /* tests: the general way for everything */

const struct pti_port_ops *pti_local_ops_of(const struct pti_local *local, const struct pti_open *open)
{
    bool is_fast = pti_ring_is_plain(&local->ring) && !local->no_barrier && !pti_fast_is_off;

    pthread_once(&tables_once, make_tables);
    if (open->options.flags & PTQ_PIPELINE)
        return is_fast ? &fast_piping_ops : &piping_ops;
    if (open->options.flags & PTQ_EXCLUSIVE && pti_append_suits(&local->ring.geometry))
        return is_fast ? &fast_appending_ops : &appending_ops;
    return is_fast ? &fast_ops : &pti_local_ops;
}
