/* wait.c -- from polling to sleep: how a local call waits, and how a descriptor does.
 *
 * First it polls (poll.c), as long as that has paid lately; then it sleeps one slice in the futex; then, for as long as it takes, in
 * its descriptor, where the kernel wakes it also when somebody who had the queue open dies.  Idle, it never wakes.
 */
#include <errno.h>
#include <stdio.h>

#include "base/time.h"
#include "local/verbs.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/life.h"
#include "ring/wait.h"

#define WATCHED (PTI_WATCH_MODIFY | PTI_WATCH_CLOSE_WRITE | PTI_WATCH_UNLINK)
#define SLICE_NS (250 * PTI_NS_PER_MS)

static _Atomic uint32_t *wait_word(struct pti_local *local, enum ptq_side side)
{
    if (side == PTQ_SIDE_PUT)
        return &local->ring.hints->put_wait;
    return local->letters ? &local->ring.hints->dead_wait : &local->ring.hints->get_wait;
}

/* ---- sleeping */

static enum ptq_err check_interrupt(struct pti_local *local, struct pti_place *place)
{
    uint32_t interrupts = pti_load_seq(&local->interrupts); /* [C] */

    if (pti_load_seq(&local->ring.hints->flags) & PTI_FLAG_REMOVED) /* [F, W] */
        return PTQ_EGONE;
    if (pti_load_relaxed(&local->closing) == PTI_LOCAL_DAMAGED)
        return PTQ_ECORRUPT;
    if (interrupts == place->interrupts_seen && !pti_load_seq(&local->closing)) /* [C] */
        return PTQ_OK;
    place->interrupts_seen = interrupts;
    return PTQ_EINTR;
}

/* What comes by the clock alone: a delayed message for who gets, the end of the oldest one's time for who puts. */
static int64_t until_due(struct pti_local *local, struct pti_place *place, enum ptq_side side, int64_t deadline)
{
    uint64_t due = side == PTQ_SIDE_PUT ? pti_ring_next_expiry(&place->lane)
                   : local->letters || pti_ring_is_paused(&local->ring) ? 0
                                                                        : pti_delay_next(&local->ring);
    int64_t due_ns = pti_host_to_own_ns((int64_t)due * 1000);

    return due != 0 && due_ns < deadline ? due_ns : deadline;
}

/* Does what this side waits for come by plain stores?  Then the sleeper passes the barrier for both. */
static bool needs_barrier(struct pti_local *local, enum ptq_side side)
{
    return side == PTQ_SIDE_PUT || pti_load_relaxed(&local->ring.hints->flags) & PTI_FLAG_ENDED;
}

/* At END somebody else's ack is waited for: it looks at the wait word only where ENDED is set. */
static void note_end(struct pti_local *local, struct pti_place *place)
{
    struct pti_ring *ring = &local->ring;
    uint64_t head = local->letters ? pti_ring_head(&place->lane) : place->lane.head;
    uint64_t slot = pti_load_seq(pti_slot_at(ring, head)); /* [P, W] */

    if (pti_slot_block(slot) == PTI_END_BLOCK && !(pti_load_relaxed(&ring->hints->flags) & PTI_FLAG_ENDED))
        pti_fetch_or_seq(&ring->hints->flags, PTI_FLAG_ENDED); /* [F, W] */
}

static enum ptq_err sleep_slice(struct pti_local *local, struct pti_place *place, enum ptq_side side, uint64_t need,
                                int64_t deadline, struct pti_sleep *sleep)
{
    _Atomic uint32_t *word = wait_word(local, side);
    uint32_t armed = pti_wait_arm(word, PTI_WAIT_SLEEPER);
    int64_t until;
    enum ptq_err err;

    if (needs_barrier(local, side))
        pti_wait_barrier(&local->ring);
    err = check_interrupt(local, place);
    if (err != PTQ_OK || pti_local_may_go_on(local, place, side, need))
        return err;
    if (sleep->slice_end == 0)
        sleep->slice_end = pti_now_ns() + SLICE_NS;
    until = until_due(local, place, side, sleep->slice_end < deadline ? sleep->slice_end : deadline);
    if (pti_futex_wait(word, armed, until) == EINTR)
        return PTQ_EINTR;
    err = check_interrupt(local, place);
    if (err != PTQ_OK)
        return err;
    if (pti_now_ns() >= sleep->slice_end) {
        sleep->stage = 2;
        pti_ring_sweep_told(&local->ring, side == PTQ_SIDE_PUT);
    }
    return PTQ_OK;
}

static int new_waiter(struct pti_local *local, struct pti_waiter **ret_waiter)
{
    char path[64];
    struct pti_waiter *waiter;
    int error = pti_waiter_new(&waiter);

    if (error)
        return error;
    /* By the descriptor: this inode, whatever its name leads to by now. */
    snprintf(path, sizeof path, "/proc/self/fd/%d", local->ring.segment.fd);
    error = pti_waiter_watch(waiter, path, WATCHED);
    if (error == ENOENT)
        error = pti_waiter_watch(waiter, local->port.where, WATCHED);
    if (error) {
        pti_waiter_free(waiter);
        return error;
    }
    *ret_waiter = waiter;
    return 0;
}

static struct pti_waiter *place_waiter(struct pti_local *local, struct pti_place *place)
{
    struct pti_waiter *waiter = pti_load_relaxed(&place->waiter);

    if (!waiter && new_waiter(local, &waiter) == 0) {
        pti_waiter_poke(waiter); /* who died just before it was there is looked for at the first drain */
        pti_store_release(&place->waiter, waiter); /* [Z] */
    }
    return waiter;
}

static enum ptq_err sleep_long(struct pti_local *local, struct pti_place *place, enum ptq_side side, uint64_t need,
                               int64_t deadline, struct pti_sleep *sleep)
{
    struct pti_waiter *waiter = place_waiter(local, place);
    enum ptq_err err;

    if (!waiter || pti_segment_is_unlinked(&local->ring.segment)) {
        sleep->stage = 1; /* without descriptors, slices must do */
        sleep->slice_end = 0;
        return waiter ? PTQ_EGONE : PTQ_OK;
    }
    if (pti_waiter_drain(waiter)) /* a death may be among what is drained here: looked for before arming, or nobody would */
        pti_ring_sweep_told(&local->ring, side == PTQ_SIDE_PUT);
    pti_wait_arm(wait_word(local, side), PTI_WAIT_DESCRIPTOR);
    if (needs_barrier(local, side) && !pti_wait_barrier(&local->ring)) {
        sleep->stage = 1; /* an ack may be overlooked: slices only */
        sleep->slice_end = 0;
        return check_interrupt(local, place);
    }
    err = check_interrupt(local, place);
    if (err != PTQ_OK || pti_local_may_go_on(local, place, side, need))
        return err;
    if (pti_waiter_sleep(waiter, until_due(local, place, side, deadline)) == EINTR)
        return PTQ_EINTR;
    if (pti_waiter_drain(waiter))
        pti_ring_sweep_told(&local->ring, side == PTQ_SIDE_PUT);
    return check_interrupt(local, place);
}

/* There seems to be something: PTQ_OK, or PTQ_TIMEDOUT where it was tried for behind the deadline already. */
static enum ptq_err end_by(int64_t deadline, struct pti_sleep *sleep)
{
    if (deadline == PTI_DEADLINE_NEVER || pti_now_ns() < deadline || pti_local_once_more(sleep))
        return PTQ_OK;
    return PTQ_TIMEDOUT;
}

enum ptq_err pti_local_wait(struct pti_local *local, struct pti_place *place, enum ptq_side side, uint64_t need,
                            int64_t deadline, struct pti_sleep *sleep)
{
    enum ptq_err err;

    if (side == PTQ_SIDE_PUT && !place->lane.has_put)
        pti_local_declare(place, PTI_ROLE_PUT); /* who waits for room is a producer, though nothing of his is in yet */
    if (__builtin_expect(local->watches, 0)) {
        err = pti_local_watch(local, place, side, need, sleep);
        if (err != PTQ_OK)
            return err;
    }
    if (sleep->is_short && sleep->stage == 2) {
        sleep->stage = 1;
        sleep->slice_end = 0;
    }
    if (sleep->stage == 0) {
        sleep->stage = 1;
        if (pti_local_poll(local, place, side, need)) {
            sleep->stage = 0;
            err = check_interrupt(local, place);
            return err == PTQ_OK ? end_by(deadline, sleep) : err;
        }
        if (side == PTQ_SIDE_PUT)
            pti_ring_sweep_sometimes(&local->ring, true);
    }
    if (side == PTQ_SIDE_GET)
        note_end(local, place);
    err = sleep->stage == 1 ? sleep_slice(local, place, side, need, deadline, sleep)
                            : sleep_long(local, place, side, need, deadline, sleep);
    if (err != PTQ_OK) {
        if (pti_local_may_go_on(local, place, side, need)) /* a wake may have been ours besides: the next one looks (wait.pml, NA) */
            pti_wake(&local->ring, wait_word(local, side));
        return err;
    }
    if (deadline == PTI_DEADLINE_NEVER || pti_now_ns() < deadline)
        return PTQ_OK;
    if (!pti_local_may_go_on(local, place, side, need))
        return PTQ_TIMEDOUT;
    err = end_by(deadline, sleep);
    if (err != PTQ_OK)
        pti_wake(&local->ring, wait_word(local, side)); /* as above */
    return err;
}

/* ---- one of many (queue/select.c) */

/* This thread may be inside through another watcher of the same handle: then the door is passed. */
enum ptq_err pti_local_watch_begin(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_local *local = pti_local_of(port);
    const struct pti_lane_cache *known = &pti_lane_cache[local->serial % PTI_LANE_CACHE];
    struct pti_place *place = known->place;
    enum ptq_err err = known->serial == local->serial ? PTQ_OK : pti_local_find_place(local, &place);

    if (err != PTQ_OK)
        return err;
    if (place->watchers == 0 && (err = pti_local_enter(local, &place)) != PTQ_OK)
        return err;
    place->watchers++;
    watcher->place = place;
    watcher->word = wait_word(local, watcher->side);
    return PTQ_OK;
}

void pti_local_watch_end(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_place *place = watcher->place;

    (void)port;
    if (--place->watchers == 0)
        pti_local_leave(place);
}

static void announce(struct pti_local *local, struct pti_watcher *watcher, uint32_t bit)
{
    struct pti_place *place = watcher->place;

    if (watcher->side == PTQ_SIDE_GET)
        note_end(local, place);
    pti_wait_arm(watcher->word, bit);
    if (needs_barrier(local, watcher->side))
        pti_wait_barrier(&local->ring);
}

void pti_local_watch_arm_word(struct pti_port *port, struct pti_watcher *watcher)
{
    announce(pti_local_of(port), watcher, PTI_WAIT_SLEEPER);
}

void pti_local_watch_arm_fd(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_waiter *waiter = place_waiter(local, watcher->place);

    if (!waiter || pti_waiter_drain(waiter)) /* before arming, as in sleep_long */
        pti_ring_sweep_told(&local->ring, watcher->side == PTQ_SIDE_PUT);
    if (!waiter)
        return;
    announce(local, watcher, PTI_WAIT_DESCRIPTOR);
    watcher->fd = pti_waiter_fd(waiter);
    watcher->armed = true;
}

/* Exact, as far as it can be: what this lane's guess lags behind is not taken for a message. */
static bool would_get(struct pti_local *local, struct pti_place *place)
{
    struct pti_lane *lane = &place->lane;

    if (local->letters || !pti_ring_may_take(lane))
        return pti_local_may_go_on(local, place, PTQ_SIDE_GET, 1);
    lane->head = pti_ring_head(lane);
    return pti_ring_may_take(lane);
}

enum ptq_err pti_local_watch_look(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_local *local = pti_local_of(port);
    struct pti_place *place = watcher->place;
    bool is_ready;

    /* [W] */
    watcher->expected = pti_load_seq(watcher->word) | PTI_WAIT_SLEEPER; /* a waker took the bit off: no sleep, armed anew */
    is_ready = watcher->side == PTQ_SIDE_GET ? would_get(local, place) : pti_local_may_put(place, 1);
    if (is_ready || pti_load_seq(&local->ring.hints->flags) & PTI_FLAG_REMOVED) /* [F, W] */
        return PTQ_OK;
    watcher->until = until_due(local, place, watcher->side, PTI_DEADLINE_NEVER);
    if (pti_load_relaxed(&local->ring.hints->flags) & PTI_FLAG_NOBARRIER && needs_barrier(local, watcher->side)) {
        int64_t slice = pti_now_ns() + SLICE_NS;

        watcher->until = slice < watcher->until ? slice : watcher->until;
    }
    return PTQ_EMPTY;
}

enum ptq_err pti_local_watch_interrupted(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_local *local = pti_local_of(port);
    enum ptq_err err = check_interrupt(local, watcher->place);

    return err == PTQ_OK && watcher->armed && pti_segment_is_unlinked(&local->ring.segment) ? PTQ_EGONE : err;
}

void pti_local_watch_pass(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_local *local = pti_local_of(port);

    if (pti_local_watch_look(port, watcher) == PTQ_OK)
        pti_wake(&local->ring, watcher->word);
}

void pti_local_interrupt(struct pti_local *local)
{
    uint32_t used = pti_load_acquire(&local->places_used); /* [Z] */

    /* Only atomics, futex and write: this runs in signal handlers. */
    pti_fetch_add_seq(&local->interrupts, 1); /* [C] */
    for (unsigned side = 0; side < 2; side++) {
        _Atomic uint32_t *word = wait_word(local, (enum ptq_side)side);

        pti_fetch_add_seq(word, PTI_WAIT_COUNT); /* [W] who is about to sleep looks again */
        pti_futex_wake(word, INT32_MAX);
    }
    for (uint32_t i = 0; i < used; i++) {
        struct pti_waiter *waiter = pti_load_acquire(&pti_load_acquire(&local->places[i])->waiter); /* [Z] */

        if (waiter)
            pti_waiter_poke(waiter);
    }
}

/* ---- descriptors */

enum ptq_err pti_local_fd(struct pti_local *local, enum ptq_side side, int *ret_fd)
{
    struct pti_waiter *waiter;
    int error = 0;

    pthread_mutex_lock(&local->mutex);
    waiter = pti_load_relaxed(&local->sides[side].waiter);
    if (!waiter)
        error = new_waiter(local, &waiter);
    if (!error && !pti_load_relaxed(&local->sides[side].waiter)) {
        pti_waiter_poke(waiter); /* readable until a call has found nothing */
        pti_store_release(&local->sides[side].waiter, waiter); /* [Z] */
    }
    pthread_mutex_unlock(&local->mutex);
    if (error)
        return PTQ_ENOMEM;
    *ret_fd = pti_waiter_fd(waiter);
    return PTQ_OK;
}

bool pti_local_disarm(struct pti_local *local, struct pti_place *place, enum ptq_side side)
{
    struct pti_waiter *waiter = pti_load_acquire(&local->sides[side].waiter); /* [Z] */
    int64_t until = PTI_DEADLINE_NEVER;

    if (__builtin_expect(!waiter, 1))
        return false;
    if (side == PTQ_SIDE_GET)
        note_end(local, place);
    if (pti_waiter_drain(waiter))
        pti_ring_sweep_told(&local->ring, side == PTQ_SIDE_PUT);
    pti_wait_arm(wait_word(local, side), PTI_WAIT_DESCRIPTOR);
    if (needs_barrier(local, side) && !pti_wait_barrier(&local->ring))
        until = pti_now_ns() + SLICE_NS; /* an ack may be overlooked */
    pti_waiter_timer(waiter, until_due(local, place, side, until));
    if (pti_load_seq(&local->ring.hints->flags) & PTI_FLAG_REMOVED) /* [F, W] */
        pti_waiter_poke(waiter); /* marked before we armed: nobody signals that again */
    return true;
}

void pti_local_rearm(struct pti_local *local, enum ptq_side side)
{
    struct pti_waiter *waiter = pti_load_acquire(&local->sides[side].waiter); /* [Z] */

    if (waiter)
        pti_waiter_poke(waiter);
}

/* ---- the exclusive getter */

enum ptq_err pti_local_claim(struct pti_local *local, int64_t deadline)
{
    for (;;) {
        struct pti_place *place;
        struct pti_waiter *waiter;
        enum ptq_err err = pti_local_enter(local, &place);
        int error;

        if (err != PTQ_OK)
            return err;
        waiter = deadline == PTI_DEADLINE_NOW ? NULL : place_waiter(local, place);
        if (waiter)
            pti_waiter_drain(waiter); /* first: a close after this look wakes us */
        error = pti_life_lock_write(local->ring.segment.fd, PTI_LIFE_GETTER);
        if (error == 0) {
            local->claimed = true;
            err = PTQ_OK;
        } else if (error != EAGAIN) {
            err = PTQ_ESYS;
        } else if (!waiter || pti_now_ns() >= deadline) {
            err = PTQ_EBUSY;
        } else {
            err = pti_waiter_sleep(waiter, deadline) == EINTR ? PTQ_EINTR : check_interrupt(local, place);
            if (err == PTQ_OK)
                err = PTQ_EAGAIN;
        }
        pti_local_leave(place);
        if (err != PTQ_EAGAIN)
            return err;
    }
}
