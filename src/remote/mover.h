/* mover.h -- carries the messages of a queue of this bus to another home: leased here, put there by a key, acked here after.
 *
 * One thread a mover.  Exactly once: what is put bears the position that it has at its source, and the home keeps, beyond
 * sessions and bridges, which positions took effect (remote/streams.h).  So a mover that is killed anywhere is followed by one
 * that asks again under the same keys.  A batch or a pack goes as one put.
 */
#ifndef PTQ_REMOTE_MOVER_H
#define PTQ_REMOTE_MOVER_H

#include <pthread.h>

#include "bus/bus.h"
#include "queue/port.h"

#define PTI_MOVE_MOST 128u /* positions in flight: with what is acked and not told, fewer than the home keeps facts of a stream */

enum pti_move_verdict { PTI_MOVE_GO = 0, PTI_MOVE_LEAVE };
enum pti_moved { PTI_MOVED_ACK = 0, PTI_MOVED_AGAIN };

struct pti_move {
    ptq_bus *bus;                 /* held by the caller until stop */
    const char *source;           /* its name as open_local takes it; copied */
    const char *url, *run, *name; /* the target, as pti_remote_open takes it; copied */
    struct pti_open open;         /* how the target is opened; pointers in it are dropped, stream is the next one */
    const uint8_t *stream;        /* 16 bytes, copied; NULL: the id of the source.  One for each pair of source and target */
    unsigned in_flight;           /* 0: PTI_MOVE_MOST, which is the most */
    pthread_mutex_t *turn;        /* of several movers of one source: what one takes and leaves is back before another takes.  NULL: no other */
    bool claims;                  /* with the exclusive right to get at the source; else it shares with others */
    bool keeps_flag;              /* what was redelivered at its source comes out redelivered at its target */

    /* All on the mover's thread; NULL: nothing.
     * look: before it goes; `put` may be given other headers, which stay until moved or left.  LEAVE: it goes back, uncounted, and is
     * looked at again a little later; of a position its first message decides.
     * left: this message goes back, to be looked at again by whoever leases it next.
     * moved: PTQ_OK: it is there, at `position`.  Else it was refused for good: ACK: it was saved, and leaves its source; AGAIN: it is
     * asked again a little later.
     * settled: everything up to this position has left the source, but what is delayed.
     * said: a line for the log. */
    enum pti_move_verdict (*look)(void *context, const struct ptq_msg *msg, struct pti_put *put);
    void (*left)(void *context, const struct ptq_msg *msg);
    enum pti_moved (*moved)(void *context, const struct ptq_msg *msg, enum ptq_err code, uint64_t position);
    void (*settled)(void *context, uint64_t position);
    void (*said)(void *context, const char *line);
    void *context;
};

struct pti_mover_state {
    bool connected;           /* the target was opened, and its link is up */
    uint64_t moved, refused;  /* messages */
    unsigned in_flight;       /* positions */
};

struct pti_mover;

/* Opens the source at once, the target when it can be reached.  What opening the source answers, PTQ_ENOMEM. */
enum ptq_err pti_mover_start(const struct pti_move *move, struct ptq_error *error, struct pti_mover **ret_mover);
/* Waits a little for what is in flight; the rest goes back to its places.  NULL is fine. */
void pti_mover_stop(struct pti_mover *mover);
void pti_mover_look(struct pti_mover *mover, struct pti_mover_state *ret_state);
/* The source's handle: for stats, from any thread. */
struct pti_port *pti_mover_source(struct pti_mover *mover);

#endif
