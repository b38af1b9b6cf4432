/* service.c -- the bridge serves the programs of its own host: requests come in, workers do them, the poster (poster.c) answers.
 *
 * Laws.
 * 1. The mutex is held for lists alone.
 * 2. A job ends with one post, which is in the list before the job is counted out: so what frees a handle comes after
 *    all other words for it.
 * 3. What the queue of requests redelivers was perhaps done by a bridge that was killed: nobody is told that it was not.
 * 4. Only one bridge takes requests: the right to get from their queue is exclusive, and the next bridge waits for it.
 */
#define HASH_NONFATAL_OOM 1
#include "remote/via/service.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/time.h"
#include "bus/attach.h"
#include "os/event.h"

#define REQUESTS_AT_ONCE 16
#define LOOK_NS (250 * PTI_NS_PER_MS) /* between looks for programs that died */
#define WORKERS_MOST 512
#define WORKERS_SPARE 64 /* for what does not wait long */
#define IDLE_MOST 4
#define STACK_BYTES (256u << 10)

void pti_via_say(struct pti_via_service *service, const char *format, ...)
{
    char line[400];
    va_list arguments;

    if (service->log == NULL)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    service->log(service->log_context, line);
}

/* ---- jobs ---- */

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
    *post = (struct pti_via_post){.proxy = proxy, .request = job->msg, .answer = answer, .size = size, .frees = frees};
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

/* ---- turns ---- */

/* With the mutex held: it comes after those that are there. */
static void join_turns(struct pti_via_service *service, struct pti_via_job *job)
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

/* With the mutex held: whoever opens it is late, for it is opened again. */
static void supersede(struct pti_via_service *service, const uint8_t client[PTI_CLIENT_BYTES])
{
    struct pti_via_job *job;

    TAILQ_FOREACH(job, &service->turns, turning) {
        if (job->ask.verb == PTI_ASK_OPEN && memcmp(job->ask.client, client, PTI_CLIENT_BYTES) == 0)
            pti_store_seq(&job->cancelled, true);
    }
}

/* ---- handles ---- */

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

/* With the mutex held. */
static struct pti_proxy *find_proxy(struct pti_via_service *service, const uint8_t client[PTI_CLIENT_BYTES])
{
    struct pti_proxy *proxy;

    HASH_FIND(hh, service->proxies, client, PTI_CLIENT_BYTES, proxy);
    return proxy;
}

/* With the mutex held: the job is one of this handle's. */
static void join_proxy(struct pti_proxy *proxy, struct pti_via_job *job)
{
    job->proxy = proxy;
    job->is_listed = true;
    TAILQ_INSERT_TAIL(&proxy->jobs, job, running);
    pti_fetch_add_seq(&proxy->running, 1);
}

bool pti_via_join(struct pti_via_service *service, struct pti_proxy *proxy, struct pti_via_job *job)
{
    pthread_mutex_lock(&service->mutex);
    bool is_known = find_proxy(service, proxy->client) == proxy;
    if (is_known)
        join_proxy(proxy, job);
    pthread_mutex_unlock(&service->mutex);
    return is_known;
}

/* Nobody finds it any more, and a worker ends it. */
static void end_proxy(struct pti_via_service *service, struct pti_proxy *proxy, struct pti_via_job *job)
{
    pthread_mutex_lock(&service->mutex);
    if (find_proxy(service, proxy->client) == proxy)
        HASH_DELETE(hh, service->proxies, proxy);
    if (job->proxy == NULL)
        join_proxy(proxy, job);
    join_turns(service, job);
    pthread_mutex_unlock(&service->mutex);
    pti_via_submit(service, job);
}

/* Law: the home forgets the handle's puts only with the handle: not with this bridge. */
static void close_proxy(struct pti_via_service *service, struct pti_proxy *proxy, enum pti_via_end end)
{
    struct pti_via_job *job = calloc(1, sizeof *job);

    if (job == NULL)
        return; /* the next look finds it again */
    job->ask = (struct pti_ask){.verb = PTI_ASK_CLOSE, .flags = PTI_ASK_NO_ANSWER};
    memcpy(job->ask.client, proxy->client, sizeof job->ask.client);
    job->end = end;
    end_proxy(service, proxy, job);
}

void pti_via_begin_again(struct pti_via_service *service, struct pti_proxy *proxy)
{
    close_proxy(service, proxy, PTI_VIA_BEGINS_AGAIN);
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

/* The first one, after NULL.  Workers add to the list meanwhile. */
static struct pti_proxy *next_proxy(struct pti_via_service *service, const struct pti_proxy *proxy)
{
    pthread_mutex_lock(&service->mutex);
    struct pti_proxy *next = proxy == NULL ? service->proxies : proxy->hh.next;
    pthread_mutex_unlock(&service->mutex);
    return next;
}

/* Handles, or some that are being opened and may be listed at any moment? */
static bool is_anybody_here(struct pti_via_service *service)
{
    pthread_mutex_lock(&service->mutex);
    bool is_here = service->proxies != NULL || !TAILQ_EMPTY(&service->turns);
    pthread_mutex_unlock(&service->mutex);
    return is_here;
}

/* By the reader alone, who is the only one to take a handle out of the list. */
static void look_for_dead(struct pti_via_service *service)
{
    struct pti_proxy *proxy, *next;

    for (proxy = next_proxy(service, NULL); proxy != NULL; proxy = next) {
        next = next_proxy(service, proxy);
        if (!is_dead(proxy))
            continue;
        pti_via_say(service, "component=via event=died queue=%s", proxy->port->where);
        remove_queues(service, proxy->client);
        close_proxy(service, proxy, PTI_VIA_END);
    }
}

/* ---- the reader ---- */

static void answer_at_once(struct pti_via_service *service, struct pti_via_job *job, uint32_t code)
{
    struct pti_answer head = {.layout = PTI_ASK_LAYOUT, .code = code, .number = job->ask.number};
    uint8_t *answer = malloc(sizeof head);

    if (answer != NULL)
        memcpy(answer, &head, sizeof head);
    pti_via_post(service, job, answer, sizeof head, false);
}

static int64_t deadline_of(int64_t timeout_ns)
{
    if (timeout_ns == 0)
        return PTI_DEADLINE_NOW;
    return timeout_ns < 0 || timeout_ns > INT64_MAX / 2 ? PTI_DEADLINE_NEVER : pti_now_ns() + timeout_ns;
}

static struct pti_via_job *read_request(struct ptq_msg *msg)
{
    struct pti_via_job *job = msg->size >= sizeof job->ask ? calloc(1, sizeof *job) : NULL;

    if (job == NULL)
        return NULL;
    memcpy(&job->ask, msg->data, sizeof job->ask);
    job->msg = msg;
    job->body = (const uint8_t *)msg->data + sizeof job->ask;
    job->size = msg->size - sizeof job->ask;
    job->deadline = deadline_of(job->ask.timeout_ns);
    if (job->ask.layout == PTI_ASK_LAYOUT && job->ask.verb >= PTI_ASK_OPEN && job->ask.verb < PTI_ASK_VERBS)
        return job;
    free(job);
    return NULL;
}

static void take_in(struct pti_via_service *service, struct ptq_msg *msg)
{
    struct pti_via_job *job = read_request(msg);

    pti_via_step(PTI_VIA_READ);
    if (job == NULL) {
        (void)!service->ask->ops->ack(service->ask, msg);
        return;
    }
    if (job->ask.verb == PTI_ASK_OUTBOX) {
        pti_via_job_free(job);
        (void)!service->ask->ops->ack(service->ask, msg);
        pti_carrier_poke(service->carrier);
        return;
    }
    pthread_mutex_lock(&service->mutex);
    struct pti_proxy *proxy = find_proxy(service, job->ask.client);
    bool is_of = proxy != NULL && job->ask.verb != PTI_ASK_OPEN && job->ask.verb != PTI_ASK_LOOK;
    if (is_of)
        join_proxy(proxy, job);
    if (job->ask.verb == PTI_ASK_OPEN)
        supersede(service, job->ask.client);
    pthread_mutex_unlock(&service->mutex);
    if (job->ask.verb == PTI_ASK_OPEN && proxy != NULL)
        close_proxy(service, proxy, PTI_VIA_BEGINS_AGAIN); /* it begins again: what it had is lost */
    if (job->ask.verb == PTI_ASK_OPEN) {
        pthread_mutex_lock(&service->mutex);
        join_turns(service, job);
        pthread_mutex_unlock(&service->mutex);
    }
    if (is_of && job->ask.verb == PTI_ASK_CLOSE)
        end_proxy(service, proxy, job);
    else if (is_of || job->ask.verb == PTI_ASK_OPEN || job->ask.verb == PTI_ASK_LOOK)
        pti_via_submit(service, job);
    else
        answer_at_once(service, job, msg->redelivered ? PTI_ANSWER_LOST : PTI_ANSWER_UNKNOWN);
}

void pti_via_count(struct pti_via_service *service, unsigned *ret_handles, unsigned *ret_workers)
{
    pthread_mutex_lock(&service->mutex);
    *ret_handles = service->proxy_count;
    *ret_workers = service->workers;
    pthread_mutex_unlock(&service->mutex);
}

bool pti_via_is_serving(struct pti_via_service *service)
{
    return service != NULL && pti_load_seq(&service->is_serving);
}

static void *read_requests(void *context)
{
    struct pti_via_service *service = context;
    struct ptq_msg *msgs[REQUESTS_AT_ONCE];
    int64_t look_at = 0;
    bool may = false;

    while (!pti_load_seq(&service->stopping)) {
        size_t count = 0;
        int64_t now = pti_now_ns();
        if (!may) {
            may = service->ask->ops->claim(service->ask, now + LOOK_NS) == PTQ_OK;
            pti_store_seq(&service->is_serving, may);
            if (may)
                pti_carrier_serve(service->carrier);
            continue;
        }
        if (now >= look_at) {
            look_for_dead(service);
            look_at = now + LOOK_NS;
        }
        int64_t until = is_anybody_here(service) ? look_at : PTI_DEADLINE_NEVER;
        enum ptq_err err = service->ask->ops->take(service->ask, REQUESTS_AT_ONCE, until, msgs, &count);
        for (size_t i = 0; err == PTQ_OK && i < count; i++)
            take_in(service, msgs[i]);
        if (err != PTQ_OK && err != PTQ_TIMEDOUT && err != PTQ_EINTR) {
            pti_via_say(service, "component=via event=failed why=%s", ptq_err_name(err));
            break;
        }
    }
    return NULL;
}

/* ---- life ---- */

/* What programs that were killed left, when no bridge was there to see it. */
static void remove_strays(ptq_bus *bus)
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

static enum ptq_err start(struct pti_via_service *service)
{
    struct pti_open open = pti_via_ask_open();
    uint64_t random = 0;
    enum ptq_err err;

    open.options.flags = PTQ_CONSUMER;
    err = pti_carriers.open_local(service->bus, PTI_ASK_NAME, &open, NULL, &service->ask);
    if (err != PTQ_OK)
        return err;
    if (pti_poll_new(&service->poll_fd) != 0 || pti_event_new(false, &service->wake_fd) != 0 ||
        pti_poll_add(service->poll_fd, service->wake_fd, 0, true) != 0 ||
        getrandom(&random, sizeof random, 0) != sizeof random)
        return PTQ_ENOMEM;
    err = pti_carrier_start(service->bus, service->log, service->log_context, &service->carrier);
    if (err != PTQ_OK)
        return err;
    pti_store_seq(&service->last_lease, random | 1);
    pti_store_seq(&service->is_posting, true);
    service->has_poster = pthread_create(&service->poster, NULL, pti_via_post_answers, service) == 0;
    service->has_reader = service->has_poster && pthread_create(&service->reader, NULL, read_requests, service) == 0;
    return service->has_reader ? PTQ_OK : PTQ_ENOMEM;
}

enum ptq_err pti_via_serve(ptq_bus *bus, pti_via_log *log, void *log_context, struct pti_via_service **ret_service)
{
    struct pti_via_service *service = calloc(1, sizeof *service);

    if (service == NULL)
        return PTQ_ENOMEM;
    service->bus = bus;
    service->log = log;
    service->log_context = log_context;
    service->poll_fd = service->wake_fd = -1;
    TAILQ_INIT(&service->jobs);
    TAILQ_INIT(&service->turns);
    TAILQ_INIT(&service->posts);
    pthread_mutex_init(&service->mutex, NULL);
    pthread_cond_init(&service->news, NULL);
    pthread_cond_init(&service->fewer, NULL);
    remove_strays(bus);
    enum ptq_err err = start(service);
    if (err != PTQ_OK) {
        pti_via_stop(service);
        return err;
    }
    *ret_service = service;
    return PTQ_OK;
}

static void stop_reader(struct pti_via_service *service)
{
    pti_store_seq(&service->stopping, true);
    if (!service->has_reader)
        return;
    service->ask->ops->interrupt(service->ask);
    pthread_join(service->reader, NULL);
    for (struct pti_proxy *proxy; (proxy = next_proxy(service, NULL)) != NULL;)
        close_proxy(service, proxy, PTI_VIA_BRIDGE_STOPS);
}

/* Requests that are under way end first, then handles, then the threads. */
void pti_via_stop(struct pti_via_service *service)
{
    if (service == NULL)
        return;
    stop_reader(service);
    pti_carrier_stop(service->carrier);
    pthread_mutex_lock(&service->mutex);
    pthread_cond_broadcast(&service->news);
    while (service->proxy_count > 0 || service->workers > 0)
        pthread_cond_wait(&service->fewer, &service->mutex);
    pthread_mutex_unlock(&service->mutex);
    pti_store_seq(&service->is_posting, false);
    if (service->has_poster) {
        pti_event_set(service->wake_fd);
        pthread_join(service->poster, NULL);
    }
    if (service->ask != NULL)
        service->ask->ops->close(service->ask, PTI_DEADLINE_NOW);
    (void)!pti_reap_unlink(service->bus, PTI_ASK_NAME, false); /* with programs still there, it stays for the next bridge */
    if (service->poll_fd >= 0)
        close(service->poll_fd);
    if (service->wake_fd >= 0)
        close(service->wake_fd);
    pthread_mutex_destroy(&service->mutex);
    pthread_cond_destroy(&service->news);
    pthread_cond_destroy(&service->fewer);
    free(service);
}
