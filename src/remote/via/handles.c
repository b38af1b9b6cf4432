/* handles.c -- the handles of programs: which there are, whose program died, and what a killed one left. */
#define HASH_NONFATAL_OOM 1
#include "remote/via/service.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/attach.h"

bool pti_via_enlist(struct pti_via_service *service, struct pti_proxy *proxy, const struct pti_via_job *job)
{
    pthread_mutex_lock(&service->mutex);
    unsigned before = HASH_COUNT(service->proxies);
    bool may = !pti_load_seq(&service->stopping) && !pti_load_seq(&job->cancelled);
    if (may)
        HASH_ADD(hh, service->proxies, client, sizeof proxy->client, proxy);
    bool added = may && HASH_COUNT(service->proxies) > before;
    service->proxy_count++; /* until the poster has freed it, in any case */
    pthread_mutex_unlock(&service->mutex);
    return added;
}

struct pti_proxy *pti_via_find(struct pti_via_service *service, const uint8_t client[PTI_CLIENT_BYTES])
{
    struct pti_proxy *proxy;

    HASH_FIND(hh, service->proxies, client, PTI_CLIENT_BYTES, proxy);
    return proxy;
}

void pti_via_add_job(struct pti_proxy *proxy, struct pti_via_job *job)
{
    job->proxy = proxy;
    job->is_listed = true;
    TAILQ_INSERT_TAIL(&proxy->jobs, job, running);
    pti_fetch_add_seq(&proxy->running, 1);
}

bool pti_via_join(struct pti_via_service *service, struct pti_proxy *proxy, struct pti_via_job *job)
{
    pthread_mutex_lock(&service->mutex);
    bool is_known = pti_via_find(service, proxy->client) == proxy;
    if (is_known)
        pti_via_add_job(proxy, job);
    pthread_mutex_unlock(&service->mutex);
    return is_known;
}

void pti_via_end_handle(struct pti_via_service *service, struct pti_proxy *proxy, struct pti_via_job *job)
{
    pthread_mutex_lock(&service->mutex);
    if (pti_via_find(service, proxy->client) == proxy)
        HASH_DELETE(hh, service->proxies, proxy);
    if (job->proxy == NULL)
        pti_via_add_job(proxy, job);
    pti_via_turn_join(service, job);
    pthread_mutex_unlock(&service->mutex);
    pti_via_submit(service, job);
}

void pti_via_close_handle(struct pti_via_service *service, struct pti_proxy *proxy, enum pti_via_end end)
{
    struct pti_via_job *job = calloc(1, sizeof *job);

    if (job == NULL)
        return; /* the next look finds it again */
    job->ask = (struct pti_ask){.verb = PTI_ASK_CLOSE, .flags = PTI_ASK_NO_ANSWER};
    memcpy(job->ask.client, proxy->client, sizeof job->ask.client);
    job->end = end;
    pti_via_end_handle(service, proxy, job);
}

void pti_via_begin_again(struct pti_via_service *service, struct pti_proxy *proxy)
{
    pti_via_close_handle(service, proxy, PTI_VIA_BEGINS_AGAIN);
}

static void remove_queues(struct pti_via_service *service, const uint8_t client[PTI_CLIENT_BYTES])
{
    char name[PTI_VIA_NAME];

    for (int side = 0; side < 2; side++) {
        pti_via_name(name, PTI_BELL_PREFIX, client, side);
        (void)!pti_reap_unlink(service->bus, name, true);
    }
    pti_via_name(name, PTI_ANSWER_PREFIX, client, -1);
    (void)!pti_reap_unlink(service->bus, name, true);
}

static bool is_dead(const struct pti_proxy *proxy)
{
    struct ptq_queue_stats stats;

    proxy->answer->ops->sweep(proxy->answer);
    return proxy->answer->ops->stats(proxy->answer, &stats) != PTQ_OK || stats.consumers == 0;
}

struct pti_proxy *pti_via_next(struct pti_via_service *service, const struct pti_proxy *proxy)
{
    pthread_mutex_lock(&service->mutex);
    struct pti_proxy *next = proxy == NULL ? service->proxies : proxy->hh.next;
    pthread_mutex_unlock(&service->mutex);
    return next;
}

bool pti_via_is_anybody_here(struct pti_via_service *service)
{
    pthread_mutex_lock(&service->mutex);
    bool is_here = service->proxies != NULL || !TAILQ_EMPTY(&service->turns);
    pthread_mutex_unlock(&service->mutex);
    return is_here;
}

void pti_via_look_for_dead(struct pti_via_service *service)
{
    struct pti_proxy *proxy, *next;

    for (proxy = pti_via_next(service, NULL); proxy != NULL; proxy = next) {
        next = pti_via_next(service, proxy);
        if (!is_dead(proxy))
            continue;
        pti_via_say(service, "component=via event=died queue=%s", proxy->port->where);
        remove_queues(service, proxy->client);
        pti_via_close_handle(service, proxy, PTI_VIA_END);
    }
}

void pti_via_count(struct pti_via_service *service, unsigned *ret_handles, unsigned *ret_workers)
{
    pthread_mutex_lock(&service->mutex);
    *ret_handles = service->proxy_count;
    *ret_workers = service->workers;
    pthread_mutex_unlock(&service->mutex);
}

void pti_via_remove_strays(ptq_bus *bus)
{
    int fd = openat(bus->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    char name[PTI_VIA_NAME];

    if (directory == NULL && fd >= 0)
        close(fd);
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        const char *end = strrchr(entry->d_name, '~');
        bool is_one = strncmp(entry->d_name, PTI_ANSWER_PREFIX, strlen(PTI_ANSWER_PREFIX)) == 0 ||
                      strncmp(entry->d_name, PTI_BELL_PREFIX, strlen(PTI_BELL_PREFIX)) == 0;
        if (!is_one || end == entry->d_name || (size_t)(end - entry->d_name) >= sizeof name)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(end - entry->d_name), entry->d_name);
        (void)!pti_reap_unlink(bus, name, false); /* PTQ_EBUSY: somebody lives there */
    }
    if (directory != NULL)
        closedir(directory);
}
