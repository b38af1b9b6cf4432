/* proxy.c -- a program's handle at its bridge: opened over a link, its bells, and its end. */
#define HASH_NONFATAL_OOM 1
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/time.h"
#include "os/event.h"
#include "remote/call.h"
#include "remote/channel.h"
#include "remote/remote.h"
#include "remote/share.h"
#include "remote/step.h"
#include "remote/via/service.h"

#define NAP_NS PTI_NS_PER_MS
#define CANCEL_NS (2 * PTI_NS_PER_S)
#define CLOSE_NS (3 * PTI_NS_PER_S)

static void nap(void)
{
    struct timespec a_little = {.tv_nsec = NAP_NS};

    nanosleep(&a_little, NULL);
}

/* ---- bells ---- */

enum ptq_err pti_proxy_add_bell(struct pti_proxy *proxy, enum ptq_side side)
{
    struct pti_via_bell *bell = &proxy->bells[side];
    struct pti_open open = {.options = {.mode = PTQ_ATTACH}};
    struct pti_port *port;
    char name[PTI_VIA_NAME];
    enum ptq_err err = PTQ_OK;

    pti_via_name(name, PTI_BELL_PREFIX, proxy->client, (int)side);
    pthread_mutex_lock(&proxy->mutex);
    bell->proxy = proxy; /* before the poster may hear of it */
    if (bell->port == NULL)
        err = proxy->port->ops->fd(proxy->port, side, &bell->fd);
    if (err == PTQ_OK && bell->port == NULL) {
        err = pti_carriers.open_local(proxy->service->bus, name, &open, NULL, &port);
        if (err == PTQ_OK && pti_poll_add(proxy->service->poll_fd, bell->fd, (uint64_t)(uintptr_t)bell, true) != 0) {
            port->ops->close(port, PTI_DEADLINE_NOW);
            err = PTQ_ENOMEM;
        }
        if (err == PTQ_OK)
            bell->port = port;
    }
    pthread_mutex_unlock(&proxy->mutex);
    return err;
}

/* ---- opening ---- */

static enum ptq_err open_answer(struct pti_via_service *service, const uint8_t client[PTI_CLIENT_BYTES],
                                struct pti_port **ret_port)
{
    struct pti_open open = {.options = {.mode = PTQ_ATTACH, .flags = PTQ_PRODUCER}};
    char name[PTI_VIA_NAME];

    pti_via_name(name, PTI_ANSWER_PREFIX, client, -1);
    return pti_carriers.open_local(service->bus, name, &open, NULL, ret_port);
}

static bool read_open(const struct pti_via_job *job, struct pti_ask_open *ret_open)
{
    if (job->size != sizeof *ret_open)
        return false;
    memcpy(ret_open, job->body, sizeof *ret_open);
    ret_open->url[sizeof ret_open->url - 1] = ret_open->run[sizeof ret_open->run - 1] = '\0';
    ret_open->name[sizeof ret_open->name - 1] = ret_open->spec[sizeof ret_open->spec - 1] = '\0';
    ret_open->open.stream = ret_open->open.maker = job->ask.client;
    ret_open->open.carrier = PTI_CARRIER_PROGRAM;
    ret_open->open.has_put = ret_open->has_put;
    ret_open->open.options.error = NULL;
    ret_open->open.options.group = NULL;
    ret_open->open.options.spec = ret_open->spec[0] != '\0' ? ret_open->spec : NULL;
    ret_open->open.options.flags &= PTQ_PRODUCER | PTQ_CONSUMER;
    return pti_name_is_valid(ret_open->name) && (!ret_open->has_run || pti_name_is_valid(ret_open->run)) &&
           ret_open->open.thing <= PTI_SHARE_LOG;
}

static void describe(const struct pti_port *port, const char *url, struct pti_ask_opened *opened)
{
    memset(opened, 0, sizeof *opened);
    opened->capacity = port->capacity;
    opened->window = port->window;
    opened->bytes = port->bytes;
    opened->item_size = port->item_size;
    opened->header_size = port->header_size;
    opened->max_deliveries = port->max_deliveries;
    opened->full = port->full;
    opened->placed = port->placed;
    opened->letters = port->letters;
    opened->is_here = !port->remote;
    opened->streams = port->remote && pti_remote_is_streamed((struct pti_port *)(uintptr_t)port);
    memcpy(opened->id, port->id, sizeof opened->id);
    memcpy(opened->run, port->run, sizeof opened->run);
    memcpy(opened->node, port->node, sizeof opened->node);
    memcpy(opened->where, port->where, sizeof opened->where);
    snprintf(opened->url, sizeof opened->url, "%s", port->url != NULL ? port->url : url);
    snprintf(opened->spec, sizeof opened->spec, "%s", port->spec != NULL ? port->spec : "");
}

static struct pti_proxy *new_proxy(struct pti_via_service *service, const struct pti_via_job *job)
{
    struct pti_proxy *proxy = calloc(1, sizeof *proxy);

    if (proxy == NULL)
        return NULL;
    proxy->service = service;
    memcpy(proxy->client, job->ask.client, sizeof proxy->client);
    pthread_mutex_init(&proxy->mutex, NULL);
    TAILQ_INIT(&proxy->jobs);
    if (open_answer(service, proxy->client, &proxy->answer) != PTQ_OK) { /* it went meanwhile */
        pti_proxy_free(proxy);
        return NULL;
    }
    return proxy;
}

void pti_proxy_free(struct pti_proxy *proxy)
{
    for (int side = 0; side < 2; side++) {
        if (proxy->bells[side].port != NULL)
            proxy->bells[side].port->ops->close(proxy->bells[side].port, PTI_DEADLINE_NOW);
    }
    if (proxy->answer != NULL)
        proxy->answer->ops->close(proxy->answer, PTI_DEADLINE_NOW);
    pthread_mutex_destroy(&proxy->mutex);
    free(proxy);
}

/* What goes through here is put together here. */
static enum ptq_err too_large(const char *name, uint32_t item_size, struct ptq_error *error)
{
    return pti_error(error, PTQ_EMSGSIZE,
                     "queue '%s' has item_size %u, and the ptqbridge of this host carries messages of at most %u to others; open it "
                     "with a link of your own (PTQ_VIA=direct), or make it with a smaller item_size",
                     name, item_size, PTI_WIRE_PLACED_BYTES);
}

/* A share or a log in the memory of this bus is the program's, to open there. */
static void say_it_is_here(struct pti_via_service *service, struct pti_via_job *job)
{
    uint8_t *answer = pti_via_new_answer(job, PTQ_OK, 0, sizeof(struct pti_ask_opened));
    struct pti_ask_opened opened = {.is_here = true};

    if (answer != NULL)
        memcpy(answer + sizeof(struct pti_answer), &opened, sizeof opened);
    pti_via_post(service, job, answer, sizeof(struct pti_answer) + sizeof opened, false);
}

static void open_in_turn(struct pti_via_service *service, struct pti_via_job *job)
{
    struct pti_proxy *proxy = new_proxy(service, job);
    struct pti_ask_opened opened;
    struct pti_ask_open ask;
    struct ptq_error error = {0};

    if (proxy == NULL || !read_open(job, &ask)) {
        if (proxy != NULL)
            pti_proxy_free(proxy);
        pti_via_answer_why(service, job, PTQ_EPROTO, "the request to open it does not read");
        return;
    }
    enum ptq_err err = PTQ_OK;
    if (ask.open.options.item_size > PTI_WIRE_PLACED_BYTES)
        err = too_large(ask.name, ask.open.options.item_size, &error);
    if (err == PTQ_OK)
        err = pti_remote_open(service->bus, ask.url, ask.has_run ? ask.run : NULL, ask.name, &ask.open, &error,
                              &proxy->port);
    if (err == PTQ_OK && proxy->port == NULL) {
        pti_proxy_free(proxy);
        say_it_is_here(service, job);
        return;
    }
    if (err == PTQ_OK && proxy->port->item_size > PTI_WIRE_PLACED_BYTES) {
        err = too_large(ask.name, proxy->port->item_size, &error);
        proxy->port->ops->close(proxy->port, PTI_DEADLINE_NOW);
    }
    if (err != PTQ_OK) {
        pti_proxy_free(proxy);
        pti_via_answer_why(service, job, err, error.text);
        return;
    }
    pti_step(PTI_STEP_VIA_OPENED);
    proxy->thing = ask.open.thing;
    describe(proxy->port, ask.url, &opened);
    for (int side = 0; side < 2; side++) {
        if (ask.bells[side] && proxy->thing == 0)
            (void)!pti_proxy_add_bell(proxy, (enum ptq_side)side);
    }
    uint8_t *answer = pti_via_new_answer(job, PTQ_OK, 0, sizeof opened);
    if (answer != NULL) /* else it asks again */
        memcpy(answer + sizeof(struct pti_answer), &opened, sizeof opened);
    pti_fetch_add_seq(&proxy->running, 1); /* as for any job: the poster needs it still */
    job->proxy = proxy;
    bool is_known = pti_via_enlist(service, proxy, job);
    bool again = answer != NULL && !is_known && pti_load_seq(&job->cancelled);
    if (!is_known) {
        free(answer);
        answer = NULL;
    }
    if (again)
        pti_via_begin_again(service, proxy);
    else if (!is_known)
        proxy->port->ops->close(proxy->port, PTI_DEADLINE_NOW);
    pti_via_post(service, job, answer, sizeof(struct pti_answer) + sizeof opened, !is_known && !again);
}

void pti_proxy_open(struct pti_via_service *service, struct pti_via_job *job)
{
    pti_via_turn_begin(service, job);
    if (pti_load_seq(&job->cancelled)) {
        pti_via_turn_end(service, job);
        pti_via_post(service, job, NULL, 0, false);
    } else {
        open_in_turn(service, job);
    }
}

static bool read_look(const struct pti_via_job *job, struct pti_ask_look *ret_look)
{
    if (job->ask.count > PTI_ASK_LOOK_MOST || job->size != sizeof *ret_look + (size_t)job->ask.count * PTI_ASK_URL)
        return false;
    memcpy(ret_look, job->body, sizeof *ret_look);
    ret_look->run[sizeof ret_look->run - 1] = ret_look->name[sizeof ret_look->name - 1] = '\0';
    return pti_name_is_valid(ret_look->name) && (!ret_look->has_run || pti_name_is_valid(ret_look->run));
}

static void write_seen(uint8_t *at, const struct pti_asked *asked)
{
    struct pti_ask_seen seen = {.answer = (uint32_t)asked->answer, .has_id = asked->has_id};

    memcpy(seen.id, asked->id, sizeof seen.id);
    snprintf(seen.text, sizeof seen.text, "%.255s", asked->error.text);
    memcpy(at, &seen, sizeof seen);
}

void pti_via_look(struct pti_via_service *service, struct pti_via_job *job)
{
    struct pti_ask_look look;
    size_t count = job->ask.count, size = count * sizeof(struct pti_ask_seen);
    bool reads = read_look(job, &look);
    struct pti_asked *asked = reads ? calloc(count + 1, sizeof *asked) : NULL;
    char(*urls)[PTI_ASK_URL] = reads ? calloc(count + 1, PTI_ASK_URL) : NULL;
    uint8_t *answer = reads ? pti_via_new_answer(job, PTQ_OK, 0, size) : NULL;

    if (asked == NULL || urls == NULL || answer == NULL) {
        free(answer);
        pti_via_answer(service, job, reads ? PTQ_ENOMEM : PTQ_EPROTO, 0);
    } else {
        for (size_t i = 0; i < count; i++) {
            memcpy(urls[i], job->body + sizeof look + i * PTI_ASK_URL, PTI_ASK_URL - 1);
            asked[i].url = urls[i];
        }
        pti_remote_ask(service->bus, look.has_run ? look.run : NULL, look.name, look.making, asked, count);
        for (size_t i = 0; i < count; i++)
            write_seen(answer + sizeof(struct pti_answer) + i * sizeof(struct pti_ask_seen), &asked[i]);
        pti_via_post(service, job, answer, sizeof(struct pti_answer) + size, false);
    }
    free(asked);
    free(urls);
}

/* ---- the end ---- */

/* Law: nobody else is inside when the handle is closed, and the poster, who may still have words for it, frees it. */
void pti_proxy_close(struct pti_via_job *job)
{
    struct pti_proxy *proxy = job->proxy;
    struct pti_via_lease *lease, *next;

    pti_via_turn_begin(proxy->service, job);
    pti_store_seq(&proxy->closing, true);
    while (pti_load_seq(&proxy->running) > 1) {
        proxy->port->ops->interrupt(proxy->port);
        nap();
    }
    for (lease = proxy->leases; lease != NULL; lease = next) {
        next = lease->hh.next;
        HASH_DELETE(hh, proxy->leases, lease);
        free(lease); /* the message is the handle's, which gives it back */
    }
    pthread_mutex_lock(&proxy->mutex);
    for (int side = 0; side < 2; side++) {
        if (proxy->bells[side].port != NULL)
            pti_poll_remove(proxy->service->poll_fd, proxy->bells[side].fd);
    }
    pthread_mutex_unlock(&proxy->mutex);
    pti_via_turn_end(proxy->service, job);
    if (proxy->port->remote && job->end == PTI_VIA_BRIDGE_STOPS)
        pti_remote_of(proxy->port)->keeps_stream = true;
    if (job->end == PTI_VIA_BEGINS_AGAIN)
        pti_via_turn_wait(proxy->service, proxy->client);
    proxy->port->ops->close(proxy->port, pti_now_ns() + CLOSE_NS);
    proxy->port = NULL;
    pti_step(PTI_STEP_VIA_CLOSED);
    bool tells = job->msg != NULL && !(job->ask.flags & PTI_ASK_NO_ANSWER) && job->ask.verb == PTI_ASK_CLOSE;
    pti_via_post(proxy->service, job, tells ? pti_via_new_answer(job, PTQ_OK, 0, 0) : NULL, sizeof(struct pti_answer), true);
}

/* Until what was to be given up has ended: it may have been about to begin when it was told. */
void pti_proxy_cancel(struct pti_via_service *service, struct pti_via_job *job)
{
    struct pti_proxy *proxy = job->proxy;
    int64_t until = pti_now_ns() + CANCEL_NS;
    bool runs = true;

    while (runs && pti_now_ns() < until) {
        struct pti_via_job *other;
        pthread_mutex_lock(&service->mutex);
        TAILQ_FOREACH(other, &proxy->jobs, running) {
            if (other != job && other->ask.number == job->ask.value)
                break;
        }
        runs = other != NULL;
        if (runs)
            pti_store_seq(&other->cancelled, true);
        pthread_mutex_unlock(&service->mutex);
        if (runs) {
            proxy->port->ops->interrupt(proxy->port);
            nap();
        }
    }
    pti_via_post(service, job, NULL, 0, false);
}
