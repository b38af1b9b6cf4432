/* doubt.c -- the names of puts through the bridge, and those whose fate is unknown: who may ask about them again (PTQ_RETRY).
 *
 * Each put of a handle bears a key, which the home knows in the handle's stream, whatever bridge asks.  So what a bridge that was killed
 * had been asked is asked again of the next, and done once.
 *
 * Law: while a put may be asked again, no key from its own on counts as settled: the home keeps what it knows of it.
 */
#include <stdlib.h>
#include <unistd.h>

#include "remote/alike.h"
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

uint64_t pti_via_settled(const struct pti_via *via)
{
    uint64_t settled = via->last_key;
    const struct pti_via_doubt *doubt;
    const struct pti_via_call *call;

    TAILQ_FOREACH(call, &via->puts, putting) {
        if (call->ask.key <= settled)
            settled = call->ask.key - 1;
    }
    TAILQ_FOREACH(doubt, &via->doubts, listed) {
        if (doubt->key != 0 && doubt->key <= settled)
            settled = doubt->key - 1;
    }
    return settled;
}

static size_t size_of(const struct pti_via_call *call)
{
    size_t size = 0;

    for (uint32_t i = 0; i < call->ask.count; i++)
        size += call->puts[i].size;
    return size;
}

static bool is_same(const struct pti_via_doubt *doubt, const struct pti_via_call *call)
{
    return doubt->size == size_of(call) && doubt->crc == pti_puts_sum(call->puts, call->ask.count);
}

enum ptq_err pti_via_doubt_look(struct pti_via *via, struct pti_via_call *call, bool retry)
{
    enum ptq_err answer = PTQ_OK;

    pthread_mutex_lock(&via->mutex);
    struct pti_via_doubt *doubt = call->ask.verb == PTI_ASK_PUT ? find(via) : NULL;
    if (doubt != NULL && !retry) {
        drop(via, doubt);
        doubt = NULL;
    }
    if (doubt != NULL && doubt->key == 0)
        answer = PTQ_EINDOUBT;
    else if (doubt != NULL && !is_same(doubt, call))
        answer = PTQ_EINVAL;
    if (answer == PTQ_OK) {
        call->ask.key = doubt != NULL ? doubt->key : ++via->last_key;
        call->ask.flags |= doubt != NULL ? PTI_ASK_AGAIN : 0;
        TAILQ_INSERT_TAIL(&via->puts, call, putting);
    }
    pthread_mutex_unlock(&via->mutex);
    return answer;
}

void pti_via_doubt_name(struct pti_via *via, struct pti_via_call *call)
{
    pthread_mutex_lock(&via->mutex);
    call->ask.key = ++via->last_key;
    TAILQ_INSERT_TAIL(&via->puts, call, putting);
    pthread_mutex_unlock(&via->mutex);
}

void pti_via_doubt_end(struct pti_via *via, struct pti_via_call *call)
{
    pthread_mutex_lock(&via->mutex);
    TAILQ_REMOVE(&via->puts, call, putting);
    pthread_mutex_unlock(&via->mutex);
}

/* With the mutex held.  No memory: then the next retry is taken for another put, as over a link. */
static void keep(struct pti_via *via, const struct pti_via_call *call)
{
    struct pti_via_doubt *doubt = find(via), *other;
    unsigned count = 0;

    if (doubt == NULL) {
        doubt = calloc(1, sizeof *doubt);
        if (doubt == NULL)
            return;
        TAILQ_INSERT_TAIL(&via->doubts, doubt, listed);
    }
    doubt->thread = gettid();
    doubt->key = call->ask.key;
    doubt->size = size_of(call);
    doubt->crc = pti_puts_sum(call->puts, call->ask.count);
    TAILQ_FOREACH(other, &via->doubts, listed)
        count++;
    if (count > DOUBTS_MOST)
        TAILQ_FIRST(&via->doubts)->key = 0;
}

/* It says nothing of what another bridge was asked before. */
static bool is_no_answer(enum ptq_err answer, bool resumes)
{
    return answer == PTQ_EUNREACHABLE || answer == PTQ_EINTR || answer == PTQ_EAGAIN || answer == PTQ_ENOMEM ||
           (answer == PTQ_EVERSION && !resumes);
}

enum ptq_err pti_via_doubt_judge(struct pti_via *via, struct pti_via_call *call, bool resumes, enum ptq_err answer)
{
    if ((call->ask.flags & PTI_ASK_AGAIN) && is_no_answer(answer, resumes))
        answer = PTQ_EINDOUBT;
    pthread_mutex_lock(&via->mutex);
    TAILQ_REMOVE(&via->puts, call, putting);
    if (answer == PTQ_EINDOUBT && call->ask.verb == PTI_ASK_PUT)
        keep(via, call);
    else if (resumes && answer != PTQ_EVERSION)
        drop(via, find(via));
    pthread_mutex_unlock(&via->mutex);
    return answer;
}

void pti_via_doubts_free(struct pti_via *via)
{
    while (!TAILQ_EMPTY(&via->doubts))
        drop(via, TAILQ_FIRST(&via->doubts));
}
