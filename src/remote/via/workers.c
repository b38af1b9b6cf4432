/* workers.c -- the threads that do what is asked, and what becomes of a job that is done. */
#include "remote/via/service.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "os/event.h"

#define WORKERS_MOST 512
#define WORKERS_SPARE 64 /* for what does not wait long */
#define IDLE_MOST 4
#define STACK_BYTES (256u << 10)

void pti_via_job_free(struct pti_via_job *job)
{
    free(job->own);
    free(job);
}

void pti_via_post(struct pti_via_service *service, struct pti_via_job *job, uint8_t *answer, size_t size, bool frees)
{
    struct pti_via_post *post = calloc(1, sizeof *post);
    struct pti_proxy *proxy = job->proxy;

    pti_via_step(PTI_VIA_DONE);
    if (job->ask.flags & PTI_ASK_NO_ANSWER) {
        free(answer);
        answer = NULL;
    }
    while (post == NULL) { /* law 2: without it a handle would stay for ever */
        usleep(1000);
        post = calloc(1, sizeof *post);
    }
    *post = (struct pti_via_post){.proxy = proxy, .request = job->msg, .from = job->from, .answer = answer, .size = size, .frees = frees};
    memcpy(post->client, job->ask.client, sizeof post->client);
    pthread_mutex_lock(&service->mutex);
    if (job->is_listed)
        TAILQ_REMOVE(&proxy->jobs, job, running);
    if (job->is_turning) {
        TAILQ_REMOVE(&service->turns, job, turning);
        pthread_cond_broadcast(&service->fewer);
    }
    TAILQ_INSERT_TAIL(&service->posts, post, listed);
    pthread_mutex_unlock(&service->mutex);
    if (proxy != NULL && !frees)
        pti_fetch_add_seq(&proxy->running, -1u);
    pti_event_set(service->wake_fd);
    pti_via_job_free(job);
}

static void *work(void *context)
{
    struct pti_via_service *service = context;
    struct pti_via_job *job;

    pthread_mutex_lock(&service->mutex);
    for (;;) {
        while ((job = TAILQ_FIRST(&service->jobs)) == NULL && service->idle <= IDLE_MOST && !pti_load_seq(&service->stopping))
            pthread_cond_wait(&service->news, &service->mutex);
        if (job == NULL)
            break;
        TAILQ_REMOVE(&service->jobs, job, listed);
        service->idle--;
        pthread_mutex_unlock(&service->mutex);
        pti_via_do(service, job);
        pthread_mutex_lock(&service->mutex);
        service->idle++;
    }
    service->idle--;
    service->workers--;
    pthread_cond_broadcast(&service->fewer);
    pthread_mutex_unlock(&service->mutex);
    return NULL;
}

/* With the mutex held. */
static bool hire(struct pti_via_service *service)
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    bool hired = service->workers < WORKERS_MOST && pthread_create(&thread, &attributes, work, service) == 0;
    pthread_attr_destroy(&attributes);
    service->workers += hired;
    service->idle += hired;
    return hired;
}

static unsigned count_jobs(const struct pti_via_service *service)
{
    const struct pti_via_job *job;
    unsigned count = 0;

    TAILQ_FOREACH(job, &service->jobs, listed)
        count++;
    return count;
}

/* Where many wait already, another waits at home: it asks again. */
static void cut_short(const struct pti_via_service *service, struct pti_via_job *job)
{
    bool waits = job->deadline != PTI_DEADLINE_NOW && job->proxy != NULL;

    if (!waits || service->workers < WORKERS_MOST - WORKERS_SPARE)
        return;
    job->deadline = PTI_DEADLINE_NOW;
    job->is_short = true;
}

void pti_via_submit(struct pti_via_service *service, struct pti_via_job *job)
{
    pthread_mutex_lock(&service->mutex);
    cut_short(service, job);
    TAILQ_INSERT_TAIL(&service->jobs, job, listed);
    if (service->idle < count_jobs(service))
        (void)!hire(service); /* else it waits for one of those that are there */
    pthread_cond_signal(&service->news);
    pthread_mutex_unlock(&service->mutex);
}
