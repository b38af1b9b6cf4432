/* call.h -- one handle's side of a channel, and the calls that are under way on it.
 *
 * A call gets a number, is kept in the handle's list until its answer comes, and is asked again after a broken link.
 * Its caller sleeps on a word of the handle; everything else is under conn->mutex.
 */
#ifndef PTQ_REMOTE_CALL_H
#define PTQ_REMOTE_CALL_H

#include <sys/types.h>
#include <uthash.h>

#include "base/atomic.h"
#include "os/futex.h"
#include "remote/conn.h"
#include "remote/received.h"

#define PTI_SLOTS 32

#define PTI_PUTS_OUT 192u  /* puts over one link that have no answer yet: what the home keeps of them is bounded */
#define PTI_DOUBTS_HELD 32u

struct pti_call;

/* A put of this thread is in doubt: doubt.c. */
struct pti_doubt {
    TAILQ_ENTRY(pti_doubt) listed;
    pid_t thread;
    uint64_t number;    /* 0: the home cannot be asked about it */
    uint64_t forgotten; /* remote->forgotten, when it was asked last */
    size_t size;
    uint32_t crc;
};

/* The answer of a call that was started is there: call->code, call->value, call->got.  Runs once, with conn->mutex held,
 * on any thread: it may post, and nothing else.  From then on the call is its asker's again, to read and to free. */
typedef void pti_call_answered(struct pti_call *call, void *context);

/* Where callers sleep: a word that counts what happened, and how many sleep. */
struct pti_slot {
    _Atomic uint32_t word, sleepers;
};

/* Messages that came with one answer and are not settled yet. */
struct pti_batch {
    size_t left;
};

/* A leased message or a loan, with its bytes behind it. */
struct pti_message {
    struct ptq_msg msg;
    uint64_t epoch;          /* the session that leased it */
    struct pti_batch *batch; /* NULL: it came alone */
    TAILQ_ENTRY(pti_message) listed;
    _Alignas(16) uint8_t bytes[];
};

/* One handle. */
struct pti_remote {
    struct pti_port port; /* first */
    struct pti_conn *conn;
    UT_hash_handle hh;
    uint32_t channel;
    bool bare; /* asks questions only; there is no queue behind it */
    struct pti_open_message asked;
    char where_run[PTQ_NAME_MAX + 1];
    char spec[PTQ_SPEC_TEXT_MAX + 1];

    /* under conn->mutex */
    enum pti_remote_state state;
    uint64_t opened_epoch;
    unsigned opens; /* asked for, ever */
    enum ptq_err failure;
    enum ptq_err said;                  /* the code of which `said_text` tells more; PTQ_OK: none */
    char said_text[PTI_WIRE_TEXT_BYTES];
    struct pti_lane lane;
    struct pti_assembly assembly;
    struct {
        bool on;
        struct pti_message *message; /* NULL: nobody will have it */
        uint64_t number;
        size_t at; /* of its body; the headers came with the first piece */
        struct pti_record record;
    } arriving; /* a large message */
    uint64_t last_number;
    TAILQ_HEAD(, pti_call) calls;       /* without an answer, by number */
    TAILQ_HEAD(, pti_message) messages; /* leased or loaned */
    unsigned count;                     /* of calls */
    uint64_t *given_up;                 /* numbers that the home may still be at, to be called off over the next link */
    size_t given_up_count;
    bool streamed;                      /* the home keeps the numbers of its puts beyond the session */
    bool keeps_stream;                  /* when it is closed the home goes on remembering, as after a broken link */
    uint64_t forgotten;                 /* how often it knew nothing of the stream any more */
    uint64_t keyed_at;                  /* 1 + that, when a put with a key was answered last */
    uint64_t settled_told;              /* keys up to here will not be asked again, as the home was told */
    unsigned puts_out;                  /* pushed over this link, and not answered */
    TAILQ_HEAD(, pti_doubt) doubts;     /* the newest last */
    _Atomic unsigned doubt_count;
    struct pti_pipeline *pipeline;         /* PTQ_PIPELINE; else NULL */
    struct pti_received received;       /* answers above what `ack` says */
    uint64_t frames_read;               /* of this channel, ever */
    int64_t close_by;                   /* once it is closing: no caller waits for longer */
    bool claimed, claim_lost;
    _Atomic bool closing;

    _Atomic int fds[2];                 /* eventfd for each side; -1: nobody asked; an interrupt reads them without the mutex */
    bool watching[2];                   /* unreadable, and the home will tell */

    _Atomic uint32_t inside;            /* callers */
    _Atomic uint32_t interrupts;        /* asked for */
    _Atomic uint32_t interrupts_seen;   /* answered with PTQ_EINTR */
    _Atomic uint32_t next_slot;
    struct pti_slot slots[PTI_SLOTS];
};

struct pti_call {
    struct pti_out out; /* first */
    TAILQ_ENTRY(pti_call) listed;
    struct pti_remote *remote;
    struct pti_slot *slot;
    int64_t deadline;
    uint32_t interrupts_seen; /* when it began */
    uint64_t number;
    uint8_t type;   /* enum pti_frame_type */
    bool sent;      /* over a link that has ended since */
    bool pushed;    /* over the link that is up */
    bool cancelled; /* the home was asked to give it up */
    bool abandoned; /* nobody waits: what comes is given back */
    uint8_t head[40], record[PTI_PUT_RECORD + PTI_RECORD_MORE];
    uint64_t progress; /* of its channel, at the last look; and when that changed */
    int64_t moved;
    int64_t written_at; /* or a little later: when it was seen to have left; 0: not yet */
    bool flagged;   /* may be there already, and the home cannot tell: comes out redelivered */
    bool in_doubt;  /* PTQ_RETRY of one that was; resumed: under the number that it had */
    bool resumed;
    bool keyed;     /* the home knows it by its key, not by its number */
    bool chained;   /* pipeline.c: puts that stand at `packed` as they go over the wire, and must not go past each other */
    bool stopped;   /* ... of a link that broke it is not asked again */
    bool behind;    /* ... it was not done, because one before it was not */
    uint8_t *packed; /* or what else stands behind the head */
    size_t packed_size;
    uint8_t verb;   /* PTI_FRAME_CALL: enum pti_call_verb */
    uint8_t head_size, timeout_at; /* where in head the timeout stands; 0: nowhere */
    uint8_t record_size;           /* of the put that is being written */
    const struct pti_put *puts;    /* borrowed from the caller */
    size_t put_count;
    uint32_t max;                  /* take */
    /* the answer */
    _Atomic bool done;
    enum ptq_err code;
    uint64_t value;
    struct ptq_msg **msgs;         /* the caller's room for max */
    size_t got;
    struct ptq_queue_stats *stats;
    struct pti_directory *directory;
    uint8_t *reply; /* of a LOOK; owned */
    size_t reply_size;
    pti_call_answered *answered; /* started and not run: nobody sleeps */
    void *context;
};

static inline struct pti_remote *pti_remote_of(struct pti_port *port)
{
    return (struct pti_remote *)(void *)port;
}

static inline struct pti_message *pti_message_of(struct ptq_msg *msg)
{
    return (struct pti_message *)(void *)msg;
}

void pti_remote_init(struct pti_remote *remote, struct pti_conn *conn);
void pti_remote_fini(struct pti_remote *remote); /* forgets calls, messages, descriptors */

/* A call of `type` with nothing in it.  NULL: no memory. */
struct pti_call *pti_call_new(struct pti_remote *remote, uint8_t type);
/* The head that was written at call->head: its size, and where the timeout is (0: none). */
void pti_call_set_head(struct pti_call *call, size_t size, size_t timeout_at);
/* `count` records that stand at `packed`, borrowed: a chained put. */
void pti_call_set_packed(struct pti_call *call, uint8_t *packed, size_t size, bool anew);
/* `size` bytes behind the head, borrowed. */
void pti_call_set_body(struct pti_call *call, uint8_t *bytes, size_t size);
void pti_call_set_puts(struct pti_call *call, const struct pti_put *puts, size_t count);

/* A home that lives and does not answer is broken, once nothing of the channel has moved for so long.  Tests shorten it. */
extern _Atomic int64_t pti_answer_patience_ns;

/* Will the home gather so much?  One message by itself it need not gather. */
static inline bool pti_call_fits(const struct pti_call *call)
{
    return call->out.size <= PTI_WIRE_REQUEST_BYTES ||
           (call->type == PTI_FRAME_PUT && call->put_count == 1 && !call->keyed);
}

/* Asks, and waits for the answer: the home's code, or PTQ_EINTR (only with `may_interrupt`), PTQ_EUNREACHABLE (not
 * asked), PTQ_EINDOUBT (asked, no answer).  *call_ptr becomes NULL where it goes on without its caller; else its answer
 * may be read, and then it is freed. */
enum ptq_err pti_call_run(struct pti_call **call_ptr, int64_t deadline, bool may_interrupt);
void pti_call_free(struct pti_call *call);

/* ---- resync.c, with conn->mutex held: OPEN says whose numbers; how the answer is taken.  What was sent and is not known any more
 * goes again as new, flagged; or is in doubt, if the home keeps no streams. */
void pti_remote_ask_stream(struct pti_remote *remote, struct pti_open_message *asked);
void pti_remote_note_stream(struct pti_remote *remote, const struct pti_opened *opened);
/* Everything up to here was answered, or will never be asked again. */
uint64_t pti_remote_received_to(const struct pti_remote *remote);

/* ---- doubt.c */
/* With conn->mutex held: this put, which is given up, is in doubt: its number is not used up until the thread has asked again, or puts
 * something else. */
void pti_doubt_keep(struct pti_call *call);
/* Before a put is begun: it is another (and the doubt is over), or the same again.  PTQ_EINVAL: it says so, and is not.
 * PTQ_EVERSION: the home cannot be asked. */
enum ptq_err pti_doubt_look(struct pti_call *call, bool retry);
/* After it ended: what the caller is told. */
enum ptq_err pti_doubt_judge(struct pti_call *call, enum ptq_err answer);
void pti_doubts_fini(struct pti_remote *remote);

/* ---- named.c: puts for another process, whose numbers outlive this one */
struct pti_named {
    const struct pti_put *puts;
    size_t count;
    bool placed;
    uint64_t position; /* where the one put is placed */
    uint64_t key;
    bool again;        /* it was asked, perhaps by others, and nobody knows what became of it */
    uint64_t settled;  /* keys up to here will not be asked again */
};

/* Does the home keep the numbers of puts? */
bool pti_remote_is_streamed(struct pti_port *port);
/* PTQ_EVERSION: again, of a home that keeps none. */
enum ptq_err pti_remote_put_named(struct pti_port *port, const struct pti_named *named, int64_t deadline, uint64_t *ret_position);

/* ---- start.c: calls whose asker does not wait */

/* A put of these messages; a take of at most `max` into `msgs`.  All are borrowed until the answer; `deadline` is the home's
 * to judge.  NULL: no memory. */
struct pti_call *pti_call_for_put(struct pti_remote *remote, const struct pti_put *puts, size_t count, int64_t deadline);
struct pti_call *pti_call_for_take(struct pti_remote *remote, size_t max, struct ptq_msg **msgs, int64_t deadline);
/* The home is to know a put by this key in the handle's stream.  Answered PTQ_EVERSION by a home that knows no keys. */
void pti_call_set_key(struct pti_call *call, uint64_t position, uint32_t sub);

/* Asks and returns; the call is asked again over each new link until its answer comes, without a deadline but the home's.
 * PTQ_OK: `answered` runs once, perhaps before this returns, unless the call is stopped before.  Else it never does, and
 * the call is still the asker's: PTQ_EAGAIN (too many have no answer), PTQ_EINTR (closing), PTQ_EGONE and what opening fails
 * with.  Without conn->mutex; kicks the link.  Not in a forked child. */
enum ptq_err pti_call_start(struct pti_call *call, pti_call_answered *answered, void *context);

/* Not waited for any longer: its answer, if it came; else PTQ_EINTR (the home has not heard of it, or gives back what
 * it takes) or PTQ_EINDOUBT.  `answered` does not run after this.  *call_ptr becomes NULL where the call goes on without
 * its asker; else it is his to free. */
enum ptq_err pti_call_stop(struct pti_call **call_ptr);

/* With conn->mutex held, as a handle closes: answers all that were started and are not yet, PTQ_EINDOUBT or PTQ_EINTR.  True: half a
 * frame is on the wire. */
bool pti_remote_stop_started(struct pti_remote *remote);

/* Asks and does not wait; `call` is taken.  With conn->mutex held. */
void pti_call_leave(struct pti_call *call);

struct pti_call *pti_call_find(struct pti_remote *remote, uint64_t number);
/* With conn->mutex held, it is over: takes it out of the list and wakes the caller.  answer: because the home said so. */
void pti_call_answer(struct pti_call *call, enum ptq_err code, uint64_t value);
void pti_call_finish(struct pti_call *call, enum ptq_err code, uint64_t value);
/* The home has not done it and will not: it is asked again of the next link. */
void pti_call_retry(struct pti_call *call);

/* Between call.c and patience.c, with conn->mutex held: into the list, with a number; out of it, and nothing of it will
 * be written any more; has the home heard of it, perhaps; it is to be called off. */
void pti_call_enlist(struct pti_call *call);
void pti_call_delist(struct pti_call *call);
bool pti_call_was_asked(const struct pti_call *call);
void pti_call_note_given_up(struct pti_call *call);
/* PTQ_OK: the handle takes one more call. */
enum ptq_err pti_call_may_begin(const struct pti_call *call);
/* Nobody waits any longer.  *ret_break: half a frame is on the wire, the link is to be ended. */
enum ptq_err pti_call_give_up(struct pti_call *call, enum ptq_err code, bool *ret_break);

/* With conn->mutex held: sends all that has not been sent over this link. */
void pti_remote_push_calls(struct pti_remote *remote);
/* A caller comes into the handle, which stays until he has left; within a call he may come in again. */
static inline void pti_remote_enter(struct pti_remote *remote)
{
    pti_fetch_add_seq(&remote->inside, 1);
}
/* A caller goes out of the handle, which may be gone then: only one that is being closed has somebody who waits for that, and he
 * looks again by himself. */
static inline void pti_remote_leave(struct pti_remote *remote)
{
    bool closing = pti_load_seq(&remote->closing);

    pti_fetch_add_seq(&remote->inside, -1u);
    if (closing)
        pti_futex_wake(&remote->inside, INT32_MAX);
}
/* Wakes all who sleep, to look again. */
void pti_remote_wake(struct pti_remote *remote);
/* Those of the first slot, with conn->mutex held. */
void pti_remote_wake_first(struct pti_remote *remote);

/* With conn->mutex held: gives a lease back that nobody will see. */
void pti_remote_return(struct pti_remote *remote, uint64_t position, uint32_t sub, uint32_t deliveries);

/* Messages, with conn->mutex held.  free: true if others of its batch are left. */
struct pti_message *pti_message_new(struct pti_remote *remote, size_t size);
bool pti_message_free(struct pti_remote *remote, struct pti_message *message);

/* arrive.c, with conn->mutex held: a large message that comes in pieces is written to where its caller will read it.
 * PTQ_ENOENT: this frame is of none. */
enum ptq_err pti_arrive(struct pti_remote *remote, const struct pti_frame *frame, const char **ret_reason);
void pti_arrive_clear(struct pti_remote *remote);

/* Descriptors, with conn->mutex held: this side has nothing (unreadable, ask the home to tell); it may have something.
 */
void pti_remote_dry(struct pti_remote *remote, enum ptq_side side);
void pti_remote_ready(struct pti_remote *remote, enum ptq_side side);

#endif
