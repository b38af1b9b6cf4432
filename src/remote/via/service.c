/* service.c -- the bridge serves the programs of its own host: requests come in (here), workers do them, the poster answers.
 *
 * Laws.
 * 1. The mutex is held for lists alone.
 * 2. A job ends with one post, which is in the list before the job is counted out: so what frees a handle comes after
 *    all other words for it.
 * 3. What the queue of requests redelivers was perhaps done by a bridge that was killed: nobody is told that it was not.
 * 4. Only one bridge takes requests: the right to get from their queue is exclusive, and the next bridge waits for it.
 */
#include "remote/via/service.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"
#include "bus/attach.h"
#include "os/event.h"

#define REQUESTS_AT_ONCE 16
#define LOOK_NS (250 * PTI_NS_PER_MS) /* between looks for programs that died */

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
    struct pti_via_requests *from = service->requests;

    pti_via_step(PTI_VIA_READ);
    if (job == NULL) {
        (void)!msg->port->ops->ack(msg->port, msg);
        return;
    }
    if (job->ask.verb == PTI_ASK_OUTBOX) {
        pti_via_job_free(job);
        (void)!msg->port->ops->ack(msg->port, msg);
        pti_carrier_poke(service->carrier);
        return;
    }
    job->from = from;
    pti_fetch_add_seq(&from->under_way, 1);
    pthread_mutex_lock(&service->mutex);
    struct pti_proxy *proxy = pti_via_find(service, job->ask.client);
    bool is_of = proxy != NULL && job->ask.verb != PTI_ASK_OPEN && job->ask.verb != PTI_ASK_LOOK;
    if (is_of)
        pti_via_add_job(proxy, job);
    if (job->ask.verb == PTI_ASK_OPEN)
        pti_via_turn_supersede(service, job->ask.client);
    pthread_mutex_unlock(&service->mutex);
    if (job->ask.verb == PTI_ASK_OPEN && proxy != NULL)
        pti_via_close_handle(service, proxy, PTI_VIA_BEGINS_AGAIN); /* it begins again: what it had is lost */
    if (job->ask.verb == PTI_ASK_OPEN) {
        pthread_mutex_lock(&service->mutex);
        pti_via_turn_join(service, job);
        pthread_mutex_unlock(&service->mutex);
    }
    if (is_of && job->ask.verb == PTI_ASK_CLOSE)
        pti_via_end_handle(service, proxy, job);
    else if (is_of || job->ask.verb == PTI_ASK_OPEN || job->ask.verb == PTI_ASK_LOOK)
        pti_via_submit(service, job);
    else
        answer_at_once(service, job, msg->redelivered ? PTI_ANSWER_LOST : PTI_ANSWER_UNKNOWN);
}

bool pti_via_is_serving(struct pti_via_service *service)
{
    return service != NULL && pti_load_seq(&service->is_serving);
}

static enum ptq_err open_requests(struct pti_via_service *service, struct pti_via_requests **ret_requests)
{
    struct pti_via_requests *requests = calloc(1, sizeof *requests);
    struct pti_open open = pti_via_ask_open();
    enum ptq_err err;

    if (requests == NULL)
        return PTQ_ENOMEM;
    open.options.flags = PTQ_CONSUMER;
    err = pti_carriers.open_local(service->bus, PTI_ASK_NAME, &open, NULL, &requests->port);
    if (err == PTQ_OK)
        *ret_requests = requests;
    else
        free(requests);
    return err;
}

/* Of those that were taken away the ones of which nothing is under way; all: nobody is there who could ack. */
static void close_gone(struct pti_via_requests **before, bool all)
{
    while (*before != NULL) {
        struct pti_via_requests *gone = *before;
        if (!all && pti_load_seq(&gone->under_way) > 0) {
            before = &gone->before;
            continue;
        }
        *before = gone->before;
        gone->port->ops->close(gone->port, PTI_DEADLINE_NOW);
        free(gone);
    }
}

/* Somebody took the queue of requests away: programs that open handles from now on look for another.  Those that have some cannot ask.
 * Law: what was in use until now is not closed here: who stops the service may be about to interrupt it. */
static enum ptq_err renew_requests(struct pti_via_service *service)
{
    struct pti_via_requests *fresh;
    enum ptq_err err = open_requests(service, &fresh);

    if (err != PTQ_OK)
        return err;
    close_gone(&service->requests->before, false);
    pthread_mutex_lock(&service->mutex);
    fresh->before = service->requests;
    service->requests = fresh;
    pthread_mutex_unlock(&service->mutex);
    pti_via_say(service, "component=via event=renewed why=\"the queue of requests was taken away\"");
    return PTQ_OK;
}

/* What neither a claim nor a take should answer; said once. */
static void recover(struct pti_via_service *service, enum ptq_err err, enum ptq_err *told)
{
    struct timespec rest = {.tv_nsec = LOOK_NS};

    if (err == PTQ_EGONE)
        err = renew_requests(service);
    if (err == PTQ_OK)
        return;
    if (err != *told)
        pti_via_say(service, "component=via event=failed why=\"requests of programs cannot be read: %s\"", ptq_strerror(err));
    *told = err;
    nanosleep(&rest, NULL);
}

static void *read_requests(void *context)
{
    struct pti_via_service *service = context;
    struct ptq_msg *msgs[REQUESTS_AT_ONCE];
    enum ptq_err err, told = PTQ_OK;
    int64_t look_at = 0;
    bool may = false;

    while (!pti_load_seq(&service->stopping)) {
        size_t count = 0;
        int64_t now = pti_now_ns();
        if (!may) {
            err = service->requests->port->ops->claim(service->requests->port, now + LOOK_NS);
            may = err == PTQ_OK;
            pti_store_seq(&service->is_serving, may);
            if (may)
                pti_carrier_serve(service->carrier);
            else if (err != PTQ_EBUSY && err != PTQ_TIMEDOUT && err != PTQ_EINTR)
                recover(service, err, &told);
            continue;
        }
        if (now >= look_at) {
            pti_via_look_for_dead(service);
            look_at = now + LOOK_NS;
        }
        int64_t until = pti_via_is_anybody_here(service) ? look_at : PTI_DEADLINE_NEVER;
        err = service->requests->port->ops->take(service->requests->port, REQUESTS_AT_ONCE, until, msgs, &count);
        for (size_t i = 0; err == PTQ_OK && i < count; i++)
            take_in(service, msgs[i]);
        if (err != PTQ_OK && err != PTQ_TIMEDOUT && err != PTQ_EINTR) {
            may = err != PTQ_EGONE;
            recover(service, err, &told);
        }
    }
    return NULL;
}

/* ---- life ---- */

static enum ptq_err start(struct pti_via_service *service)
{
    uint64_t random = 0;
    enum ptq_err err = open_requests(service, &service->requests);

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
    pti_via_remove_strays(bus);
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
    pthread_mutex_lock(&service->mutex);
    struct pti_port *ask = service->requests->port; /* whoever opens another looks at `stopping` after that */
    pthread_mutex_unlock(&service->mutex);
    ask->ops->interrupt(ask);
    pthread_join(service->reader, NULL);
    for (struct pti_proxy *proxy; (proxy = pti_via_next(service, NULL)) != NULL;)
        pti_via_close_handle(service, proxy, PTI_VIA_BRIDGE_STOPS);
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
    close_gone(&service->requests, true);
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
