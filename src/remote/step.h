/* step.h -- where a bridge may be killed: each step says its name, to a test that asks for it. */
#ifndef PTQ_REMOTE_STEP_H
#define PTQ_REMOTE_STEP_H

#include <stddef.h>

#include "base/atomic.h"

enum pti_step {
    /* the home: a link, its session, its channels */
    PTI_STEP_HELLO_READ,
    PTI_STEP_SESSION_MADE, /* or found again; not yet answered */
    PTI_STEP_OPENED,       /* the queue is open, nobody was told */
    /* ... a put or a place */
    PTI_STEP_PIECE_READ, /* a piece of a large message is where it will be read */
    PTI_STEP_PUT_READ,
    PTI_STEP_INTENT,    /* it stands in the stream's row that this put is about to be tried */
    PTI_STEP_PUBLISHED, /* it is in the queue */
    PTI_STEP_FACT,      /* and the stream's row says so */
    PTI_STEP_ANSWERED,  /* the answer, of any request, is kept and waits to be written */
    /* ... a take */
    PTI_STEP_TAKEN,
    PTI_STEP_ANSWER_BEGUN, /* bytes, of anything, go to the link: on a thread of nng's */
    PTI_STEP_SETTLE_READ,
    PTI_STEP_SETTLED,
    /* ... the end */
    PTI_STEP_RECEIVED_READ, /* answers were received, and are about to be forgotten */
    PTI_STEP_CLOSE_READ,
    /* ... of a share: a wait */
    PTI_STEP_AWAIT_READ,
    /* the mover, from an outbox or along a route: leased, asked, answered; its user was told; acked at the source */
    PTI_STEP_MOVE_LEASED,
    PTI_STEP_MOVE_ASKED,
    PTI_STEP_MOVE_ANSWERED,
    PTI_STEP_MOVE_SETTLED,
    PTI_STEP_MOVE_ACKED,
    /* not yet called: the inbox */
    PTI_STEP_IN_TAKEN,
    PTI_STEP_IN_STORED,
    PTI_STEP_IN_ACK_SEEN,
    PTI_STEP_IN_ACK_SENT,
    PTI_STEP_IN_FREED,
    /* the bridge of a program's own host */
    PTI_STEP_VIA_READ,   /* a request was taken, and not looked at */
    PTI_STEP_VIA_OPENED, /* a handle is open over a link */
    PTI_STEP_VIA_ASKING, /* a put has its name, and is about to be asked */
    PTI_STEP_VIA_LEASED, /* what was taken at the home has the program's name for it */
    PTI_STEP_VIA_DONE,   /* what was asked is done; the answer is about to be put */
    PTI_STEP_VIA_POSTED, /* it lies in the program's queue */
    PTI_STEP_VIA_ACKED,  /* and the request is gone */
    PTI_STEP_VIA_CLOSED, /* the handle is closed at the home */
    PTI_STEPS
};

/* NULL but in tests, which set it before the bridge runs; called on whatever thread comes by. */
extern void (*_Atomic pti_step_hook)(enum pti_step step);

/* Relaxed: whoever set it did so before the thread that comes by was started. */
static inline void pti_step(enum pti_step step)
{
    void (*hook)(enum pti_step) = pti_load_relaxed(&pti_step_hook);

    if (hook != NULL)
        hook(step);
}

#endif
