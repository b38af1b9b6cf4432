/* lane.h -- a local handle: the segment, and a lane for each thread that calls. */
#ifndef PTQ_LOCAL_LANE_H
#define PTQ_LOCAL_LANE_H

#include <pthread.h>

#include "os/guard.h"
#include "os/watch.h"
#include "queue/port.h"
#include "ring/ring.h"

struct pti_thread; /* a thread that has used a lane; outlives it while a lane remembers it */

/* One thread's place in a handle.  Written by that thread, but for `waiter`, `interrupts` and `inside`, which others read. */
struct pti_place {
    struct pti_lane lane;
    struct pti_thread *owner;
    _Atomic uint32_t inside;             /* a call is under way */
    uint32_t interrupts_seen;
    uint32_t watchers;                   /* of the wait on many that this thread is in */
    struct pti_waiter *_Atomic waiter;   /* for long sleeps; made when first needed */
    struct ptq_msg *free_msgs;
    uint32_t number;
    /* polling well before sleeping */
    uint32_t run;       /* messages since the last time there was none */
    uint32_t idle;      /* times there was none, in a row */
    uint32_t try_in;    /* times dry, until a rest is tried */
    uint32_t try_every;
    uint32_t skip;      /* sleeps to go without polling before them */
    uint32_t skip_next;
    bool resting;
    /* looking for the dead while all goes well */
    uint32_t probe_in;    /* takes until the next look at the clock */
    uint32_t probe_every; /* how many that was */
    int64_t probed_ns;
};

struct pti_side {
    struct pti_waiter *_Atomic waiter; /* ptq_queue_fd; NULL until it was asked for */
};

/* Why no call may be made any more. */
enum pti_closing { PTI_LOCAL_OPEN = 0, PTI_LOCAL_CLOSING = 1, PTI_LOCAL_DAMAGED = 2 /* the segment was truncated */ };

struct pti_local {
    struct pti_port port; /* first */
    struct pti_ring ring;
    uint64_t serial;      /* this handle, not another at the same address */
    struct pti_place *_Atomic *places;
    uint32_t place_count; /* room */
    _Atomic uint32_t places_used;
    pthread_mutex_t mutex;
    struct pti_side sides[2];
    _Atomic uint32_t interrupts;
    _Atomic uint32_t closing;     /* enum pti_closing */
    struct pti_guard *guard;      /* NULL: a truncated segment is a SIGBUS */
    bool may_spin;        /* more than one processor */
    bool no_barrier;      /* no private membarrier: entering is a full fence */
    bool claimed;
    bool watches;         /* PTQ_WATCH_PEERS */
    bool letters;         /* the view of its dead letters: local/letters.c */
    struct pti_chunk *chunks;
};

/* Where this thread was found before, by handle. */
#define PTI_LANE_CACHE 4
struct pti_lane_cache {
    uint64_t serial;
    struct pti_place *place;
};
extern __thread struct pti_lane_cache pti_lane_cache[PTI_LANE_CACHE] __attribute__((tls_model("initial-exec")));

/* The slow half of entering: this thread's place, an orphaned one, or a new one. */
enum ptq_err pti_local_find_place(struct pti_local *local, struct pti_place **ret_place);

static inline void pti_local_leave(struct pti_place *place) { pti_store_release(&place->inside, 0); }

static inline enum ptq_err pti_local_closed(struct pti_local *local)
{
    return pti_load_relaxed(&local->closing) == PTI_LOCAL_DAMAGED ? PTQ_ECORRUPT : PTQ_EINTR;
}

/* Enters a call: the calling thread's place.  PTQ_EGONE, PTQ_EINTR (closing), PTQ_ECORRUPT (truncated), PTQ_EAGAIN, PTQ_ENOMEM. */
static inline enum ptq_err pti_local_enter(struct pti_local *local, struct pti_place **ret_place)
{
    const struct pti_lane_cache *known = &pti_lane_cache[local->serial % PTI_LANE_CACHE];
    struct pti_place *place = known->place;

    if (__builtin_expect(known->serial != local->serial, 0)) {
        enum ptq_err err = pti_local_find_place(local, &place);

        if (err != PTQ_OK)
            return err;
    }
    /* Closing sets its flag, passes a barrier, and then looks at `inside`: one of us sees the other. */
    if (__builtin_expect(local->no_barrier, 0))
        pti_store_seq(&place->inside, 1);
    else
        pti_store_relaxed(&place->inside, 1);
    atomic_signal_fence(memory_order_seq_cst);
    if (__builtin_expect(pti_load_relaxed(&local->closing), 0)) {
        pti_local_leave(place);
        return pti_local_closed(local);
    }
    if (__builtin_expect(pti_load_relaxed(&local->ring.hints->flags) & PTI_FLAG_REMOVED, 0)) {
        pti_local_leave(place);
        return PTQ_EGONE;
    }
    *ret_place = place;
    return PTQ_OK;
}

enum ptq_err pti_local_init(struct pti_local *local, const struct pti_lane *first);
void pti_local_fini(struct pti_local *local); /* waits for calls inside; unregisters every lane */

/* Message objects. */
struct ptq_msg *pti_local_msg_new(struct pti_local *local, struct pti_place *place);
static inline void pti_local_msg_free(struct pti_place *place, struct ptq_msg *msg)
{
    msg->state = PTI_MSG_FREE;
    msg->next = place->free_msgs;
    place->free_msgs = msg;
}

/* ---- waiting (local/wait.c) */

struct pti_sleep {
    int stage;          /* 0 polling, 1 futex slice, 2 descriptor */
    uint32_t polls;
    int64_t slice_end;
    bool is_short;      /* nobody may tell when it is over: slices only */
};

/* There was nothing (or no room) now: polls well, then sleeps.  PTQ_OK: try again; PTQ_TIMEDOUT, PTQ_EINTR, PTQ_EGONE.
 * `need`: for puts, how many messages must fit; 0: one that has its block. */
enum ptq_err pti_local_wait(struct pti_local *local, struct pti_place *place, enum ptq_side side, uint64_t need,
                            int64_t deadline, struct pti_sleep *sleep);

/* A call that does not wait found nothing: pauses if that pays, and now and then looks for the dead.  True: try again. */
bool pti_local_nothing(struct pti_local *local, struct pti_place *place, enum ptq_side side);

/* Was the descriptor of this side asked for?  Then a call may answer EMPTY or FULL only after pti_local_disarm and one more
 * try that failed too. */
bool pti_local_disarm(struct pti_local *local, struct pti_place *place, enum ptq_side side);
void pti_local_rearm(struct pti_local *local, enum ptq_side side); /* there is something after all: readable */

/* A wait on many queues: queue/port.h. */
enum ptq_err pti_local_watch_begin(struct pti_port *port, struct pti_watcher *watcher);
void pti_local_watch_arm_word(struct pti_port *port, struct pti_watcher *watcher);
void pti_local_watch_arm_fd(struct pti_port *port, struct pti_watcher *watcher);
enum ptq_err pti_local_watch_look(struct pti_port *port, struct pti_watcher *watcher);
enum ptq_err pti_local_watch_interrupted(struct pti_port *port, struct pti_watcher *watcher);
void pti_local_watch_pass(struct pti_port *port, struct pti_watcher *watcher);
void pti_local_watch_end(struct pti_port *port, struct pti_watcher *watcher);

enum ptq_err pti_local_fd(struct pti_local *local, enum ptq_side side, int *ret_fd);
void pti_local_interrupt(struct pti_local *local);
enum ptq_err pti_local_claim(struct pti_local *local, int64_t deadline);

/* Would another try of a call that waits succeed?  Cheap, may be wrong in favour of yes. */
bool pti_local_may_go_on(struct pti_local *local, struct pti_place *place, enum ptq_side side, uint64_t need);

/* ---- peers (local/peers.c) */

void pti_local_declare(struct pti_place *place, uint32_t roles); /* PTI_ROLE_* */
/* With PTQ_WATCH_PEERS, before each sleep: PTQ_ENOPEERS where nobody alive, and no clock, can end it. */
enum ptq_err pti_local_watch(struct pti_local *local, struct pti_place *place, enum ptq_side side, uint64_t need,
                             struct pti_sleep *sleep);
/* This handle is closing, and nobody is inside: ends the queue if that is its property and no other producer lives. */
void pti_local_end_if_last(struct pti_local *local);

/* A get of the view of dead letters would not wait. */
bool pti_local_may_take_letter(struct pti_place *place);

/* A put of `need` messages would find room and blocks. */
bool pti_local_may_put(struct pti_place *place, uint64_t need);

#endif
