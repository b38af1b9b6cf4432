/* doubt.c -- puts whose fate is unknown: kept by thread, until it asks again (PTQ_RETRY) or puts something else.
 *
 * Law: while a put may be asked about, `ack` does not pass its number, so that the home keeps what it knows of it.  A doubt
 * without a number cannot be asked about any more: what is put again is new, and flagged.
 */
#include <stdlib.h>
#include <unistd.h>

#include "remote/alike.h"
#include "remote/call.h"

static struct pti_doubt *find(struct pti_remote *remote)
{
    pid_t thread = gettid();
    struct pti_doubt *doubt;

    TAILQ_FOREACH(doubt, &remote->doubts, listed) {
        if (doubt->thread == thread)
            return doubt;
    }
    return NULL;
}

static void drop(struct pti_remote *remote, struct pti_doubt *doubt)
{
    if (doubt == NULL)
        return;
    TAILQ_REMOVE(&remote->doubts, doubt, listed);
    pti_fetch_add_seq(&remote->doubt_count, -1u);
    free(doubt);
}

/* The oldest of too many is let go: its number is not held any longer. */
static void hold_no_more_than_may_be(struct pti_remote *remote)
{
    struct pti_doubt *doubt, *oldest = NULL;
    unsigned held = 0;

    TAILQ_FOREACH(doubt, &remote->doubts, listed) {
        if (doubt->number == 0)
            continue;
        oldest = oldest == NULL ? doubt : oldest;
        held++;
    }
    if (held > PTI_DOUBTS_HELD)
        oldest->number = 0;
}

/* NULL: no memory; then the next retry is taken for another put. */
static struct pti_doubt *add(const struct pti_call *call, uint64_t number)
{
    struct pti_remote *remote = call->remote;
    struct pti_doubt *doubt = calloc(1, sizeof *doubt);

    if (doubt == NULL)
        return NULL;
    *doubt = (struct pti_doubt){.thread = gettid(), .number = number, .forgotten = remote->forgotten,
                                .size = call->out.size, .crc = pti_puts_sum(call->puts, call->put_count)};
    TAILQ_INSERT_TAIL(&remote->doubts, doubt, listed);
    pti_fetch_add_seq(&remote->doubt_count, 1);
    hold_no_more_than_may_be(remote);
    return doubt;
}

void pti_doubt_keep(struct pti_call *call)
{
    if (call->resumed)
        return;
    if (call->in_doubt) /* it was asked as new */
        drop(call->remote, find(call->remote));
    (void)!add(call, call->remote->streamed ? call->number : 0);
}

static enum ptq_err resume(struct pti_call *call, const struct pti_doubt *doubt)
{
    struct pti_remote *remote = call->remote;

    if (doubt->size != call->out.size || doubt->crc != pti_puts_sum(call->puts, call->put_count))
        return PTQ_EINVAL;
    if (!remote->streamed)
        return PTQ_EVERSION;
    call->flagged = doubt->number == 0 || doubt->forgotten != remote->forgotten;
    call->in_doubt = true;
    if (doubt->number == 0)
        return PTQ_OK; /* as new */
    call->resumed = call->sent = true;
    call->number = doubt->number;
    call->out.flags |= PTI_FRAME_RETRY;
    return PTQ_OK;
}

enum ptq_err pti_doubt_look(struct pti_call *call, bool retry)
{
    struct pti_remote *remote = call->remote;
    enum ptq_err answer = PTQ_OK;

    if (call->type != PTI_FRAME_PUT || pti_load_seq(&remote->doubt_count) == 0)
        return PTQ_OK;
    pthread_mutex_lock(&remote->conn->mutex);
    struct pti_doubt *doubt = find(remote);
    if (doubt != NULL && retry)
        answer = resume(call, doubt);
    else
        drop(remote, doubt);
    pthread_mutex_unlock(&remote->conn->mutex);
    return answer;
}

enum ptq_err pti_doubt_judge(struct pti_call *call, enum ptq_err answer)
{
    struct pti_remote *remote = call->remote;
    bool answered = pti_load_acquire(&call->done) && answer != PTQ_EINDOUBT;
    bool unasked = answer == PTQ_EUNREACHABLE || answer == PTQ_EINTR || answer == PTQ_EAGAIN;

    if (call->type != PTI_FRAME_PUT || (answer != PTQ_EINDOUBT && !call->in_doubt))
        return answer;
    pthread_mutex_lock(&remote->conn->mutex);
    struct pti_doubt *doubt = find(remote);
    if (answered)
        drop(remote, doubt);
    else if (doubt == NULL)
        doubt = add(call, 0);
    if (!answered && doubt != NULL && call->in_doubt)
        doubt->forgotten = remote->forgotten;
    pthread_mutex_unlock(&remote->conn->mutex);
    return !answered && unasked ? PTQ_EINDOUBT : answer; /* what was in doubt is so still */
}

void pti_doubts_fini(struct pti_remote *remote)
{
    struct pti_doubt *doubt;

    while ((doubt = TAILQ_FIRST(&remote->doubts)) != NULL)
        drop(remote, doubt);
}
