/* lane.h -- a local handle: the segment, and a lane for each thread that calls. */
#ifndef PTQ_LOCAL_LANE_H
#define PTQ_LOCAL_LANE_H

#include <pthread.h>

#include "os/guard.h"
#include "os/watch.h"
#include "queue/port.h"
#include "ring/grow.h"
#include "ring/ring.h"

struct pti_thread; /* a thread that has used a lane; outlives it while a lane remembers it */

/* A pack that is being filled: only this place knows the block. */
struct pti_pipe {
    uint64_t before; /* as alloc gave it */
    uint64_t bytes;  /* of all messages in it */
    uint32_t block;
    _Atomic uint32_t count; /* records; 0: there is no block.  Also read outside the bias, as a hint */
    uint32_t at;     /* where the next record goes */
    unsigned char *records;
    uint32_t room;   /* bytes for records; 0: each is looked at the long way */
    uint32_t most;   /* records */
    uint32_t kept;   /* 1 + the block that another thread published: to be taken into the own ring again */
};

/* A leased pack, until the last of its records is settled (local/unit.c). */
struct pti_unit {
    uint32_t block, place; /* whose lease it is */
    uint64_t word;
    uint32_t count;        /* records, as far as was looked */
    uint32_t sub;          /* of record 0 */
    uint32_t first;        /* the first that is to be handed out */
    uint32_t next, at;     /* the record to hand out next, and where it stands */
    uint32_t seen;         /* given as it was at the lease: what is below it comes again */
    uint32_t given, progress, counted;
    uint32_t ahead;        /* acks that wait for earlier ones, a bit each in `acked` */
    uint32_t outstanding;  /* messages that the caller holds */
    uint32_t back;         /* the first record that was given back; UINT32_MAX: none */
    uint64_t due_us;       /* of that */
    bool closed, is_counted; /* the giving back counts as one */
    bool is_plain;           /* all of it is handed out for the first time, and nobody was handed it before */
    struct pti_unit *next_free, *next_all;
    struct ptq_msg *msgs;    /* of the unit's own, for record i the (i & msgs_mask)-th, if that is free: what all records of all */
    uint32_t msgs_mask;      /* leases have in common stands in them; and of a plain unit all but data, size, type, sub, position */
    uint32_t made;           /* so many of them were made yet */
    uint64_t acked[];
};

/* The thread's own way to its pipe and units costs two plain stores; another thread's a membarrier. */
struct pti_bias {
    _Atomic uint32_t busy;    /* the owner is at it */
    _Atomic uint32_t foreign; /* somebody else wants it, or has it */
    pthread_mutex_t mutex;    /* of those */
};

/* One thread's place in a handle.  Written by that thread, but for `waiter`, `interrupts` and `inside`, which others read. */
struct pti_place {
    struct pti_lane lane;
    struct pti_thread *owner;
    _Atomic uint32_t inside;             /* a call is under way */
    uint32_t interrupts_seen;
    uint32_t watchers;                   /* of the wait on many that this thread is in */
    struct pti_waiter *_Atomic waiter;   /* for long sleeps; made when first needed */
    struct ptq_msg *free_msgs;
    struct pti_unit *_Atomic unit; /* of which records are handed out now.  Read outside the bias as a hint: another thread's nack
                                      may end it */
    struct pti_unit *free_units;
    struct pti_pipe pipe;
    struct pti_bias bias;
    struct pti_growing growing; /* this thread's alone */
    uint32_t number;
    /* polling well before sleeping */
    uint32_t run;       /* messages since the last time there was none */
    uint32_t idle;      /* times there was none, in a row */
    uint32_t try_in;    /* times dry, until a rest is tried */
    uint32_t try_every;
    uint32_t skip;      /* sleeps to go without polling before them */
    uint32_t skip_next;
    bool resting;
    bool shares;          /* what it waited for last came from this processor, once it had let others run */
    int64_t no_yield_ns;  /* so long it does not: in vain, and dear */
    int64_t no_yield_until;
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
    _Atomic uint32_t staying;     /* between calls, and not to be closed (stay of queue/port.h) */
    const struct pti_port_ops *ops; /* unguarded */
    struct pti_guard *guard;      /* NULL: a truncated segment is a SIGBUS */
    bool may_spin;        /* more than one processor */
    bool no_barrier;      /* no private membarrier: entering is a full fence */
    bool claimed;
    bool watches;         /* PTQ_WATCH_PEERS */
    bool letters;         /* the view of its dead letters: local/letters.c */
    bool pipelines;       /* puts are gathered into packs */
    struct pti_chunk *chunks;
    struct pti_unit *units;
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

static inline void pti_local_leave(struct pti_place *place) { pti_store_release(&place->inside, 0); } /* [C] */

static inline enum ptq_err pti_local_closed(struct pti_local *local)
{
    return pti_load_relaxed(&local->closing) == PTI_LOCAL_DAMAGED ? PTQ_ECORRUPT : PTQ_EINTR;
}

/* Enters a call: the calling thread's place.  PTQ_EGONE, PTQ_EINTR (closing), PTQ_ECORRUPT (truncated), PTQ_EAGAIN, PTQ_ENOMEM. */
static inline enum ptq_err pti_local_enter(struct pti_local *local, struct pti_place **ret_place)
{
    const struct pti_lane_cache *known = &pti_lane_cache[local->serial % PTI_LANE_CACHE];
    struct pti_place *place = known->place;
    uint32_t closing;

    if (__builtin_expect(known->serial != local->serial, 0)) {
        enum ptq_err err = pti_local_find_place(local, &place);

        if (err != PTQ_OK)
            return err;
    }
    /* [C] Closing sets its flag, passes a barrier, and then looks at `inside`: one of us sees the other. */
    if (__builtin_expect(local->no_barrier, 0)) {
        pti_store_seq(&place->inside, 1); /* [C] */
        closing = pti_load_seq(&local->closing); /* [C] */
    } else {
        pti_store_relaxed(&place->inside, 1);
        atomic_signal_fence(memory_order_seq_cst);
        closing = pti_load_relaxed(&local->closing);
    }
    if (__builtin_expect(closing, 0)) {
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
struct ptq_msg *pti_local_msg_more(struct pti_local *local, struct pti_place *place); /* where none is free */
static inline struct ptq_msg *pti_local_msg_new(struct pti_local *local, struct pti_place *place)
{
    struct ptq_msg *msg = place->free_msgs;

    if (__builtin_expect(msg == NULL, 0))
        return pti_local_msg_more(local, place);
    place->free_msgs = msg->next;
    return msg;
}
static inline void pti_local_msg_free(struct pti_place *place, struct ptq_msg *msg)
{
    msg->state = PTI_MSG_FREE;
    msg->next = place->free_msgs;
    place->free_msgs = msg;
}

/* ---- packs (local/pack.c, local/unit.c) */

void pti_bias_slow(struct pti_bias *bias);
static inline void pti_bias_enter(const struct pti_local *local, struct pti_bias *bias)
{
    for (;;) {
        if (__builtin_expect(local->no_barrier, 0))
            pti_store_seq(&bias->busy, 1); /* [Y] */
        else
            pti_store_relaxed(&bias->busy, 1);
        atomic_signal_fence(memory_order_seq_cst); /* who wants it sets foreign, passes a barrier, then looks at busy */
        if (__builtin_expect(!pti_load_seq(&bias->foreign), 1)) /* [Y] */
            return;
        pti_bias_slow(bias);
    }
}
static inline void pti_bias_leave(struct pti_bias *bias) { pti_store_release(&bias->busy, 0); } /* [Y] */
/* Of another place, or of one's own: then it is the short way. */
void pti_bias_enter_any(struct pti_local *local, struct pti_place *me, struct pti_place *place);
void pti_bias_leave_any(struct pti_place *me, struct pti_place *place);

/* A pack was leased: its records are to be handed out.  PTQ_ENOMEM: it went back, uncounted. */
enum ptq_err pti_unit_begin(struct pti_local *local, struct pti_place *place, uint32_t block, uint64_t word);
/* Hands out up to max records of place->unit, which ends when it is empty.  PTQ_OK, also with none; PTQ_ENOMEM, PTQ_ECORRUPT. */
enum ptq_err pti_unit_show(struct pti_local *local, struct pti_place *place, size_t max, struct ptq_msg **msgs,
                           size_t *ret_count);
/* Copies the next record out and acks it: PTQ_OK, PTQ_EMPTY (the unit is over), PTQ_EMSGSIZE, PTQ_ECORRUPT. */
enum ptq_err pti_unit_recv(struct pti_local *local, struct pti_place *place, void *buffer, size_t size, size_t *ret_size);
enum ptq_err pti_unit_ack(struct pti_local *local, struct pti_place *me, struct ptq_msg *msg);
/* As many of msgs as are of the first's unit and follow one another: at least that.  Takes these. */
enum ptq_err pti_unit_ack_many(struct pti_local *local, struct pti_place *me, struct ptq_msg *const *msgs, size_t count,
                               size_t *ret_count);
enum ptq_err pti_unit_nack(struct pti_local *local, struct pti_place *me, struct ptq_msg *msg, uint64_t due_us, bool counted);
/* At close: what nobody holds goes back as if it had not been taken. */
void pti_units_return(struct pti_local *local, struct pti_place *place);
void pti_units_free(struct pti_local *local);

/* Two of a pack fit the capacity, where that is possible: else the producer waits for each. */
uint32_t pti_pipe_most(const struct pti_local *local);

/* What this thread has gathered goes into the queue. */
enum ptq_err pti_pipe_flush_own(struct pti_local *local, struct pti_place *place, int64_t deadline);

/* What this thread has gathered, if it fits now.  True: something came into the queue. */
bool pti_pipe_try(struct pti_local *local, struct pti_place *place);

/* ---- waiting (local/wait.c, local/poll.c) */

/* In `need` of pti_local_wait: room for so many, for which the block is there. */
#define PTI_NEED_ROOM (UINT64_C(1) << 63)

struct pti_sleep {
    int stage;          /* 0 polling, 1 futex slice, 2 descriptor */
    uint32_t polls;
    int64_t slice_end;
    bool is_short;      /* nobody may tell when it is over: slices only */
    bool is_late;       /* the one try behind the deadline has begun */
};

/* There was nothing (or no room) now: polls well, then sleeps.  PTQ_OK: try again; PTQ_TIMEDOUT, PTQ_EINTR, PTQ_EGONE.  Behind the
 * deadline what seems to be there is tried for once more, and no more: in a damaged segment a look may see what no try finds.
 * `need`: for puts, how many messages must fit; 0: one that has its block. */
enum ptq_err pti_local_wait(struct pti_local *local, struct pti_place *place, enum ptq_side side, uint64_t need,
                            int64_t deadline, struct pti_sleep *sleep);

/* Before a sleep (local/poll.c): true: worth another try. */
bool pti_local_poll(struct pti_local *local, struct pti_place *place, enum ptq_side side, uint64_t need);

/* A call that does not wait found nothing: pauses if that pays, and now and then looks for the dead.  True: try again. */
bool pti_local_nothing(struct pti_local *local, struct pti_place *place, enum ptq_side side);

/* Was the descriptor of this side asked for?  Then a call may answer EMPTY or FULL only after pti_local_disarm and one more
 * try that failed too. */
bool pti_local_disarm(struct pti_local *local, struct pti_place *place, enum ptq_side side);
void pti_local_rearm(struct pti_local *local, enum ptq_side side); /* there is something after all: readable */

/* A call that does not wait saw something behind pti_local_disarm: may it try again?  Once. */
static inline bool pti_local_once_more(struct pti_sleep *sleep)
{
    bool first = !sleep->is_late;

    sleep->is_late = true;
    return first;
}

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
