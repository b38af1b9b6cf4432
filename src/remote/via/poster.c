/* poster.c -- the bridge's thread that puts answers, rings bells, and frees handles. */
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "bus/attach.h"
#include "os/event.h"
#include "remote/via/service.h"

#define ANSWER_NS (PTI_NS_PER_S / 5) /* a program that does not take its answers holds up the others no longer than this */

static enum ptq_err put_answer(struct pti_port *port, const uint8_t *answer, size_t size)
{
    struct pti_put put = {.data = answer, .size = (uint32_t)size};
    uint64_t position;
    enum ptq_err err;

    do
        err = port->ops->put(port, &put, pti_now_ns() + ANSWER_NS, &position);
    while (err == PTQ_EINTR);
    return err;
}

/* To a handle that is not known: it is asked again, or told why it is not opened. */
static void answer_stranger(struct pti_via_service *service, const struct pti_via_post *post)
{
    struct pti_open open = {.options = {.mode = PTQ_ATTACH, .flags = PTQ_PRODUCER}};
    struct pti_port *port;
    char name[PTI_VIA_NAME];

    pti_via_name(name, PTI_ANSWER_PREFIX, post->client, -1);
    if (pti_carriers.open_local(service->bus, name, &open, NULL, &port) != PTQ_OK)
        return;
    (void)!put_answer(port, post->answer, post->size);
    port->ops->close(port, PTI_DEADLINE_NOW);
}

/* The leases of an answer that could not be handed over. */
static void undo(struct pti_via_service *service, struct pti_proxy *proxy, const struct pti_via_post *post)
{
    struct pti_via_job *job = calloc(1, sizeof *job);
    struct pti_answer head;
    size_t at = sizeof head;

    memcpy(&head, post->answer, sizeof head);
    uint64_t *leases = malloc((head.count + 1) * sizeof *leases);
    if (job == NULL || leases == NULL) {
        free(job);
        free(leases);
        return; /* they go back when the handle ends */
    }
    job->ask = (struct pti_ask){.verb = PTI_ASK_UNTAKE, .flags = PTI_ASK_NO_ANSWER, .count = head.count};
    job->own = (uint8_t *)leases;
    job->body = job->own;
    job->size = head.count * sizeof *leases;
    for (uint32_t i = 0; i < head.count; i++) {
        struct pti_answer_record record;
        memcpy(&record, post->answer + at, sizeof record);
        leases[i] = record.lease;
        at += pti_answer_record_bytes(record.size, record.headers);
    }
    bool is_known = pti_via_join(service, proxy, job);
    if (is_known)
        pti_via_submit(service, job);
    else
        pti_via_job_free(job);
}

static void answer_proxy(struct pti_via_service *service, struct pti_proxy *proxy, const struct pti_via_post *post)
{
    enum ptq_err err = put_answer(proxy->answer, post->answer, post->size);
    struct pti_answer head;

    pti_via_step(PTI_VIA_POSTED);
    if (err == PTQ_OK)
        return;
    memcpy(&head, post->answer, sizeof head);
    if (head.count > 0)
        undo(service, proxy, post);
    head.code = (uint32_t)err;
    head.count = head.text = 0;
    (void)!put_answer(proxy->answer, (const uint8_t *)&head, sizeof head);
}

static void do_post(struct pti_via_service *service, struct pti_via_post *post)
{
    if (post->answer != NULL && post->proxy != NULL)
        answer_proxy(service, post->proxy, post);
    else if (post->answer != NULL)
        answer_stranger(service, post);
    if (post->request != NULL) {
        (void)!post->request->port->ops->ack(post->request->port, post->request);
        pti_fetch_add_seq(&post->from->under_way, -1u);
    }
    pti_via_step(PTI_VIA_ACKED);
    if (post->frees) {
        pti_proxy_free(post->proxy);
        pthread_mutex_lock(&service->mutex);
        service->proxy_count--;
        pthread_cond_broadcast(&service->fewer);
        pthread_mutex_unlock(&service->mutex);
    }
    free(post->answer);
    free(post);
}

static void ring(struct pti_via_service *service, struct pti_via_bell *bell)
{
    pthread_mutex_lock(&bell->proxy->mutex);
    if (bell->port != NULL) {
        pti_via_ring(bell->port);
        (void)!pti_poll_watch(service->poll_fd, bell->fd, (uint64_t)(uintptr_t)bell, false);
    }
    pthread_mutex_unlock(&bell->proxy->mutex);
}

static struct pti_via_post *next_post(struct pti_via_service *service)
{
    pthread_mutex_lock(&service->mutex);
    struct pti_via_post *post = TAILQ_FIRST(&service->posts);
    if (post != NULL)
        TAILQ_REMOVE(&service->posts, post, listed);
    pthread_mutex_unlock(&service->mutex);
    return post;
}

/* Bells before posts: what is freed has no bell in this round any more. */
void *pti_via_post_answers(void *context)
{
    struct pti_via_service *service = context;
    struct pti_via_post *post;
    uint64_t tags[64];

    while (pti_load_seq(&service->is_posting)) {
        int count = pti_poll_wait(service->poll_fd, tags, 64, -1);
        pti_event_clear(service->wake_fd);
        for (int i = 0; i < count; i++) {
            if (tags[i] != 0)
                ring(service, (struct pti_via_bell *)(uintptr_t)tags[i]);
        }
        while ((post = next_post(service)) != NULL)
            do_post(service, post);
    }
    return NULL;
}
