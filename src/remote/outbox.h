/* outbox.h -- what waits to be said on one link: control first, then channels in turn, long things in pieces.
 *
 * Each channel has a lane.  A turn of a lane is at most one piece, so neither a message of a megabyte nor another queue
 * stands before a control frame for longer than that.  Puts of a lane wait while its credit is spent; the rest of the
 * lane does not.
 *
 * What is said (a pti_out) is the caller's memory.  It writes its payload itself when its turn comes, so that a body
 * goes from where it lies into the buffer that the kernel reads, with one copy.
 */
#ifndef PTQ_REMOTE_OUTBOX_H
#define PTQ_REMOTE_OUTBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct pti_out;
struct pti_lane;
struct pti_outbox;

struct pti_out {
    /* The payload in parts: the index-th, borrowed until the next call; asked again with part_done > 0 it is the same bytes.
     * NULL: it is what lies at `bytes`. */
    const void *(*part)(struct pti_out *out, size_t index, size_t *ret_size);
    /* All of it is in a buffer: it is out of the outbox, which is locked.  May free it.  NULL is fine. */
    void (*written)(struct pti_out *out);
    const uint8_t *bytes;
    size_t size, done;       /* of the payload */
    size_t index, part_done; /* the part that is being written */
    uint64_t number;
    uint32_t channel; /* 0: the lane's */
    uint32_t cost; /* of credit, until pti_outbox_credit_back */
    uint16_t flags;
    uint8_t type;
    bool queued;   /* in the outbox, at least the rest of it */
    bool begun;    /* something of it was written since it was queued */
    TAILQ_ENTRY(pti_out) link;
};
TAILQ_HEAD(pti_outs, pti_out);

struct pti_lane {
    uint32_t channel;
    uint64_t ack;     /* goes into each header */
    uint64_t credit;  /* bytes of puts that may be without an answer */
    uint64_t spent;
    uint64_t written; /* bytes of payload, ever */
    struct pti_outs puts, others;
    uint8_t *results; /* RESULT records that go as one frame */
    size_t results_size, results_room;
    struct pti_out *current; /* begun: its pieces go on before anything else of the lane */
    bool active;
    TAILQ_ENTRY(pti_lane) link;
};

struct pti_outbox {
    pthread_mutex_t mutex;
    uint8_t version;
    uint32_t piece_bytes;
    struct pti_lane control; /* channel 0 */
    TAILQ_HEAD(, pti_lane) active;
    uint64_t frames, bytes; /* written, ever */
    uint64_t copies;        /* bytes of what was copied, and is not written */
};

void pti_outbox_init(struct pti_outbox *outbox, uint8_t version, uint32_t piece_bytes);
void pti_outbox_fini(struct pti_outbox *outbox); /* empty, or the link is gone */

void pti_lane_init(struct pti_lane *lane, uint32_t channel, uint64_t credit);
void pti_lane_fini(struct pti_outbox *outbox, struct pti_lane *lane); /* forgets what it holds */

/* All of these lock the outbox for themselves; the owner kicks the link afterwards. */
void pti_outbox_push(struct pti_outbox *outbox, struct pti_lane *lane, struct pti_out *out);

/* A copy of `size` bytes, freed when written.  False: no memory. */
bool pti_outbox_push_copy(struct pti_outbox *outbox, struct pti_lane *lane, uint8_t type, uint16_t flags,
                          uint64_t number, const void *bytes, size_t size);

/* An empty frame for a channel that has no lane (any more). */
bool pti_outbox_push_empty(struct pti_outbox *outbox, uint32_t channel, uint8_t type);

/* A copy of an answer to a channel that may have no lane; it goes with the control frames, but in pieces where it is
 * long. */
bool pti_outbox_push_answer(struct pti_outbox *outbox, uint32_t channel, uint8_t type, uint64_t number,
                            const void *bytes, size_t size);

/* A RESULT record; those that wait go together. */
bool pti_outbox_push_result(struct pti_outbox *outbox, struct pti_lane *lane, uint64_t number, uint32_t code,
                            uint64_t value);

/* Takes it out; true: it is not in the outbox any more, and either nothing of it was written or all.  False: a part is
 * written and the receiver waits for the rest: it stays. */
bool pti_outbox_cancel(struct pti_outbox *outbox, struct pti_lane *lane, struct pti_out *out);

void pti_outbox_set_ack(struct pti_outbox *outbox, struct pti_lane *lane, uint64_t ack);
void pti_outbox_set_credit(struct pti_outbox *outbox, struct pti_lane *lane, uint64_t credit);
void pti_outbox_credit_back(struct pti_outbox *outbox, struct pti_lane *lane, uint32_t cost);

/* Was something of it written since it was pushed?  And is the rest still here? */
bool pti_outbox_has_begun(struct pti_outbox *outbox, const struct pti_out *out);
bool pti_outbox_holds(struct pti_outbox *outbox, const struct pti_out *out);

/* Bytes of payload that the lane has written, ever. */
uint64_t pti_outbox_written(struct pti_outbox *outbox, const struct pti_lane *lane);

/* Takes it out whatever was written of it: the link is to be closed. */
void pti_outbox_drop(struct pti_outbox *outbox, struct pti_lane *lane, struct pti_out *out);

/* Forgets everything in this lane, partly written or not: the link is gone. */
void pti_outbox_clear(struct pti_outbox *outbox, struct pti_lane *lane);

/* Bytes of copies that wait. */
uint64_t pti_outbox_unread(struct pti_outbox *outbox);
/* What was written, ever. */
void pti_outbox_traffic(struct pti_outbox *outbox, uint64_t *ret_frames, uint64_t *ret_bytes);

/* Is anything waiting, but for puts without credit? */
bool pti_outbox_is_empty(struct pti_outbox *outbox);

/* Writes as many frames as fit: what a link's fill needs. */
size_t pti_outbox_fill(struct pti_outbox *outbox, uint8_t *buffer, size_t room);

#endif
