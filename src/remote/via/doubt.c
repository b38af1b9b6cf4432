/* doubt.c -- puts through the bridge whose fate is unknown: who may still be asked about them (PTQ_RETRY).
 *
 * Law: only the bridge's handle that was asked knows the number of a put.  When that is gone the put stays in doubt: as new it
 * could come twice without a word.
 */
#include <stdlib.h>
#include <unistd.h>

#include "remote/via/via.h"

#define DOUBTS_MOST 64

/* With the mutex held. */
static struct pti_via_doubt *find(struct pti_via *via)
{
    struct pti_via_doubt *doubt;
    pid_t thread = gettid();

    TAILQ_FOREACH(doubt, &via->doubts, listed) {
        if (doubt->thread == thread)
            return doubt;
    }
    return NULL;
}

static void drop(struct pti_via *via, struct pti_via_doubt *doubt)
{
    if (doubt == NULL)
        return;
    TAILQ_REMOVE(&via->doubts, doubt, listed);
    free(doubt);
}

enum ptq_err pti_via_doubt_look(struct pti_via *via, bool retry, bool *ret_resumes)
{
    enum ptq_err answer = PTQ_OK;

    *ret_resumes = false;
    pthread_mutex_lock(&via->mutex);
    struct pti_via_doubt *doubt = find(via);
    if (doubt != NULL && !retry)
        drop(via, doubt);
    else if (doubt != NULL && (doubt->epoch != via->epoch || !via->connected))
        answer = PTQ_EINDOUBT;
    else
        *ret_resumes = doubt != NULL;
    pthread_mutex_unlock(&via->mutex);
    return answer;
}

/* With the mutex held.  No memory: then the next retry is taken for another put, as over a link. */
static void keep(struct pti_via *via, bool is_known)
{
    struct pti_via_doubt *doubt = find(via), *other;
    unsigned count = 0;

    if (doubt == NULL) {
        doubt = calloc(1, sizeof *doubt);
        if (doubt == NULL)
            return;
        doubt->thread = gettid();
        TAILQ_INSERT_TAIL(&via->doubts, doubt, listed);
    }
    doubt->epoch = is_known ? via->epoch : 0;
    TAILQ_FOREACH(other, &via->doubts, listed)
        count++;
    if (count > DOUBTS_MOST)
        TAILQ_FIRST(&via->doubts)->epoch = 0;
}

enum ptq_err pti_via_doubt_judge(struct pti_via *via, const struct pti_via_call *call, bool resumes, enum ptq_err answer)
{
    bool unasked = answer == PTQ_EUNREACHABLE || answer == PTQ_EINTR || answer == PTQ_EAGAIN;
    bool said = call->done && !call->lost && call->code < PTI_ANSWER_UNKNOWN;

    if (answer != PTQ_EINDOUBT && !resumes)
        return answer;
    pthread_mutex_lock(&via->mutex);
    if (answer == PTQ_EINDOUBT)
        keep(via, said);
    else if (!unasked)
        drop(via, find(via));
    pthread_mutex_unlock(&via->mutex);
    return unasked ? PTQ_EINDOUBT : answer; /* what was in doubt is so still */
}

void pti_via_doubts_free(struct pti_via *via)
{
    while (!TAILQ_EMPTY(&via->doubts))
        drop(via, TAILQ_FIRST(&via->doubts));
}
