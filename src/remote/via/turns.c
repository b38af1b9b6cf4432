/* turns.c -- jobs that open or close a handle: of one handle, each in its turn. */
#include "remote/via/service.h"

#include <string.h>

void pti_via_turn_join(struct pti_via_service *service, struct pti_via_job *job)
{
    job->is_turning = true;
    TAILQ_INSERT_TAIL(&service->turns, job, turning);
}

void pti_via_turn_begin(struct pti_via_service *service, struct pti_via_job *job)
{
    struct pti_via_job *other;

    pthread_mutex_lock(&service->mutex);
    for (other = TAILQ_FIRST(&service->turns); other != job;) {
        if (memcmp(other->ask.client, job->ask.client, sizeof job->ask.client) != 0) {
            other = TAILQ_NEXT(other, turning);
            continue;
        }
        pthread_cond_wait(&service->fewer, &service->mutex);
        other = TAILQ_FIRST(&service->turns);
    }
    pthread_mutex_unlock(&service->mutex);
}

void pti_via_turn_end(struct pti_via_service *service, struct pti_via_job *job)
{
    pthread_mutex_lock(&service->mutex);
    if (job->is_turning)
        TAILQ_REMOVE(&service->turns, job, turning);
    job->is_turning = false;
    pthread_cond_broadcast(&service->fewer);
    pthread_mutex_unlock(&service->mutex);
}

/* With the mutex held. */
static bool is_opening(const struct pti_via_service *service, const uint8_t client[PTI_CLIENT_BYTES])
{
    const struct pti_via_job *job;

    TAILQ_FOREACH(job, &service->turns, turning) {
        if (job->ask.verb == PTI_ASK_OPEN && memcmp(job->ask.client, client, PTI_CLIENT_BYTES) == 0)
            return true;
    }
    return false;
}

void pti_via_turn_wait(struct pti_via_service *service, const uint8_t client[PTI_CLIENT_BYTES])
{
    pthread_mutex_lock(&service->mutex);
    while (is_opening(service, client))
        pthread_cond_wait(&service->fewer, &service->mutex);
    pthread_mutex_unlock(&service->mutex);
}

void pti_via_turn_supersede(struct pti_via_service *service, const uint8_t client[PTI_CLIENT_BYTES])
{
    struct pti_via_job *job;

    TAILQ_FOREACH(job, &service->turns, turning) {
        if (job->ask.verb == PTI_ASK_OPEN && memcmp(job->ask.client, client, PTI_CLIENT_BYTES) == 0)
            pti_store_seq(&job->cancelled, true);
    }
}
