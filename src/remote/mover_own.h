/* mover_own.h -- between the files of the mover: mover.c (its thread), mover_load.c (from the source), mover_ask.c (to the target, and back). */
#ifndef PTQ_REMOTE_MOVER_OWN_H
#define PTQ_REMOTE_MOVER_OWN_H

#include <pthread.h>
#include <sys/queue.h>

#include "base/time.h"
#include "remote/call.h"
#include "remote/mover.h"

#define PTI_MOVER_REST_NS (250 * PTI_NS_PER_MS)
#define PTI_MOVER_AGAIN_NS PTI_NS_PER_S
#define PTI_NEVER_ASKED UINT64_MAX

/* What shares a position. */
struct pti_load {
    TAILQ_ENTRY(pti_load) listed;
    struct pti_mover *mover;
    uint64_t position;
    struct ptq_msg **msgs;
    struct pti_put *puts;
    size_t count, room, bytes;
    bool flies; /* in mover->flying; else in mover->left */
    struct pti_call *call; /* NULL: not under way */
    _Atomic bool answered;
    uint64_t asked_at;     /* how often the home had forgotten, when it was asked first */
    bool asked;            /* by this mover */
    enum ptq_err code;
    uint64_t value;
};
TAILQ_HEAD(pti_loads, pti_load);

struct pti_mover {
    struct pti_move move;
    char source_name[PTQ_NAME_MAX + 32], url[256], run[PTQ_NAME_MAX + 1], name[PTQ_NAME_MAX + 1];
    uint8_t stream[16];
    struct pti_port *source, *target;
    int source_fd, event;
    pthread_t thread;
    _Atomic bool stopping;

    /* the thread's own */
    struct pti_loads flying, left;
    struct pti_load *open;      /* the last that was taken, which may not be whole */
    unsigned count, left_count, under_way;
    uint64_t bytes;
    bool stalled;           /* something came back: nothing is started until all are answered */
    bool dry;               /* there was nothing to be taken, when it was looked at last */
    int64_t take_at, start_at; /* not before */
    uint64_t forgets;       /* of handles of the target that were closed */
    uint64_t settled;       /* the position of what was acked last */
    unsigned untold;        /* acked, and the home was not told */
    bool idle_said;
    bool has_turn;          /* move.turn is locked: from a take on, until what was left is back */

    /* under the mutex of the target's connection */
    uint64_t keyed_at;      /* 1 + how often it had forgotten, when it answered a put last */

    char last_said[300];
    _Atomic uint64_t moved, refused;
    _Atomic unsigned in_flight;
    _Atomic bool connected;
};

/* A line for the log; the same is said once. */
void pti_mover_say(struct pti_mover *mover, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- mover_load.c */
unsigned pti_mover_room(const struct pti_mover *mover); /* so many more may be taken: a good part of all, or none */
bool pti_mover_take_some(struct pti_mover *mover);      /* true: something was */
void pti_mover_end_taking(struct pti_mover *mover);     /* what was taken is whole */
void pti_mover_return_left(struct pti_mover *mover);    /* before it may wait: nothing is held that does not go */
void pti_mover_give_back(struct pti_mover *mover, struct pti_load *load);
void pti_mover_drop(struct pti_mover *mover, struct pti_load *load);
uint16_t pti_mover_ttl_left(struct pti_mover *mover, const struct ptq_msg *msg);

/* ---- mover_ask.c */
void pti_mover_start_some(struct pti_mover *mover);
bool pti_mover_settle_some(struct pti_mover *mover); /* true: something left */
void pti_mover_begin_again(struct pti_mover *mover); /* all are answered: what came back is asked again */
void pti_mover_take_answer(struct pti_mover *mover, struct pti_load *load, enum ptq_err code, uint64_t value);
void pti_mover_tell_moved(struct pti_mover *mover, struct pti_load *load);
void pti_mover_ack(struct pti_mover *mover, struct pti_load *load);

#endif
