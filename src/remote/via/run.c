/* run.c -- one call through the bridge, asked until it is answered: of the next bridge, where that may be. */
#include <stdlib.h>
#include <time.h>

#include "base/time.h"
#include "os/futex.h"
#include "remote/via/verbs.h"

#define PATIENCE_NS (3 * PTI_NS_PER_S) /* until a bridge that is away is unreachable */
#define AGAIN_NS (20 * PTI_NS_PER_MS)

bool pti_via_enter(struct pti_via *via)
{
    pti_fetch_add_seq(&via->inside, 1);
    return !pti_load_seq(&via->closing);
}

/* The handle may be gone after it: only one that is being closed has somebody who waits for that, and he looks again by himself. */
void pti_via_leave(struct pti_via *via)
{
    bool closing = pti_load_seq(&via->closing);

    pti_fetch_add_seq(&via->inside, -1u);
    if (closing)
        pti_futex_wake(&via->inside, INT32_MAX);
}

static enum ptq_err run_once(struct pti_via *via, struct pti_via_call *call, int64_t deadline, bool may_interrupt)
{
    enum ptq_err err = pti_via_connect(via, PATIENCE_NS, NULL);

    if (err == PTQ_OK)
        err = pti_via_run(via, call, deadline, may_interrupt);
    if (err == PTQ_OK && !call->lost && call->code == PTI_ANSWER_AGAIN) {
        struct timespec nap = {.tv_nsec = AGAIN_NS};
        nanosleep(&nap, NULL);
    }
    return err;
}

bool pti_via_has_streams(struct pti_via *via)
{
    pthread_mutex_lock(&via->mutex);
    bool streams = via->opened.streams;
    pthread_mutex_unlock(&via->mutex);
    return streams;
}

static bool goes_on(struct pti_via *via, const struct pti_via_call *call, enum pti_via_fate fate)
{
    if (pti_load_seq(&via->closing))
        return false;
    if (call->lost)
        return call->unknown ? fate != PTI_VIA_LEASE_LOST : fate == PTI_VIA_ASK_AGAIN || (fate == PTI_VIA_BY_KEY && pti_via_has_streams(via));
    return call->code == PTI_ANSWER_AGAIN;
}

enum ptq_err pti_via_call(struct pti_via *via, struct pti_via_call *call, int64_t deadline, enum pti_via_fate fate)
{
    bool may_interrupt = deadline != PTI_DEADLINE_NOW;
    enum ptq_err err = PTQ_EINTR;

    if (!pti_via_enter(via)) {
        pti_via_leave(via);
        return PTQ_EINTR;
    }
    do {
        free(call->bytes);
        call->bytes = NULL;
        call->size = 0;
        call->sent = false;
        err = run_once(via, call, deadline, may_interrupt);
        if (fate == PTI_VIA_BY_KEY && call->sent && (err != PTQ_OK || (call->lost && !call->unknown)))
            call->ask.flags |= PTI_ASK_AGAIN;
        if (err == PTQ_OK && call->code == PTI_ANSWER_AGAIN && !call->lost && deadline != PTI_DEADLINE_NEVER &&
            pti_now_ns() >= deadline) {
            pti_via_leave(via);
            return PTQ_TIMEDOUT;
        }
    } while (err == PTQ_OK && goes_on(via, call, fate));
    pti_via_leave(via);
    if (err == PTQ_OK && call->lost)
        return fate == PTI_VIA_LEASE_LOST ? PTQ_ELEASELOST : fate == PTI_VIA_ASK_AGAIN ? PTQ_EINTR : PTQ_EINDOUBT;
    if (err == PTQ_OK)
        return call->code < PTI_ANSWER_UNKNOWN ? (enum ptq_err)call->code : PTQ_EINTR; /* closing */
    bool was_asked = fate == PTI_VIA_BY_KEY ? (call->ask.flags & PTI_ASK_AGAIN) != 0 : fate == PTI_VIA_IN_DOUBT && call->sent;
    if (was_asked && (err == PTQ_EUNREACHABLE || err == PTQ_EINTR))
        return PTQ_EINDOUBT; /* and nobody says what became of it */
    return err;
}

enum ptq_err pti_via_ask_value(struct pti_via *via, struct pti_ask ask, int64_t deadline, enum pti_via_fate fate, uint64_t *ret_value)
{
    struct pti_via_call call = {.ask = ask};
    enum ptq_err err = pti_via_call(via, &call, deadline, fate);

    if (err == PTQ_OK && ret_value != NULL)
        *ret_value = call.value;
    free(call.bytes);
    return err;
}
