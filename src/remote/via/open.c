/* open.c -- a queue of another host: by a link of this process or through the ptqbridge of this host; and the latter opened. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/time.h"
#include "bus/attach.h"
#include "remote/alike.h"
#include "remote/link.h"
#include "remote/remote.h"
#include "remote/share.h"
#include "remote/via/out.h"
#include "remote/via/verbs.h"

/* ---- messages ---- */

struct pti_via_message *pti_via_message_new(struct pti_via *via, size_t size)
{
    struct pti_via_message *message = malloc(sizeof *message + size);

    if (message == NULL)
        return NULL;
    memset(message, 0, sizeof *message);
    message->msg.port = &via->port;
    message->msg.queue = via->port.queue;
    message->msg.data = message->bytes;
    message->msg.size = (uint32_t)size;
    pthread_mutex_lock(&via->mutex);
    TAILQ_INSERT_TAIL(&via->messages, message, listed);
    pthread_mutex_unlock(&via->mutex);
    return message;
}

void pti_via_message_free(struct pti_via *via, struct pti_via_message *message)
{
    pthread_mutex_lock(&via->mutex);
    TAILQ_REMOVE(&via->messages, message, listed);
    pthread_mutex_unlock(&via->mutex);
    free(message);
}

/* ---- life ---- */

static void unlink_own(struct pti_via *via, const char *prefix, int side)
{
    char name[PTI_VIA_NAME];

    pti_via_name(name, prefix, via->client, side);
    (void)!pti_reap_unlink(via->bus, name, true);
}

void pti_via_free(struct pti_via *via)
{
    struct pti_via_message *message;

    for (int side = 0; side < 2; side++) {
        struct pti_port *bell = pti_load_relaxed(&via->bells[side]);
        if (bell == NULL)
            continue;
        bell->ops->close(bell, PTI_DEADLINE_NOW);
        unlink_own(via, PTI_BELL_PREFIX, side);
    }
    if (via->answer != NULL) {
        via->answer->ops->close(via->answer, PTI_DEADLINE_NOW);
        unlink_own(via, PTI_ANSWER_PREFIX, -1);
    }
    if (via->ask != NULL)
        via->ask->ops->close(via->ask, PTI_DEADLINE_NOW);
    while ((message = TAILQ_FIRST(&via->messages)) != NULL) {
        TAILQ_REMOVE(&via->messages, message, listed);
        free(message);
    }
    pti_via_out_close(via);
    pti_via_pipe_free(via);
    pti_via_doubts_free(via);
    pthread_mutex_destroy(&via->mutex);
    pthread_mutex_destroy(&via->opening);
    pti_bus_drop(via->bus);
    free(via);
}

static enum ptq_err open_queues(struct pti_via *via, struct ptq_error *error)
{
    struct pti_open ask = pti_via_ask_open(), answer = pti_via_answer_open();
    char name[PTI_VIA_NAME];

    if (via->outbox == NULL) /* who has an outbox can wait for a bridge to come */
        ask = (struct pti_open){.options = {.mode = PTQ_ATTACH}};
    enum ptq_err err = pti_carriers.open_local(via->bus, PTI_ASK_NAME, &ask, NULL, &via->ask);

    if (err == PTQ_ENOENT)
        return pti_error(error, PTQ_EUNREACHABLE,
                         "%s '%s' is to be reached through the ptqbridge of this host, and none serves run '%s': start one",
                         pti_thing_word(via->asked.open.thing), via->asked.name, via->bus->run);
    if (err != PTQ_OK)
        return pti_error(error, err, "%s '%s': requests to the ptqbridge of this host cannot be made: %s",
                         pti_thing_word(via->asked.open.thing), via->asked.name, ptq_strerror(err));
    pti_via_name(name, PTI_ANSWER_PREFIX, via->client, -1);
    answer.options.mode = PTQ_CREATE;
    answer.options.flags = PTQ_WATCH_PEERS | PTQ_CONSUMER;
    answer.options.error = error;
    return pti_carriers.open_local(via->bus, name, &answer, error, &via->answer);
}

static enum ptq_err new_via(ptq_bus *bus, const char *url, const char *run, const char *name, const struct pti_open *open,
                            struct ptq_error *error, struct pti_via **ret_via)
{
    struct pti_via *via = calloc(1, sizeof *via);

    if (via == NULL)
        return pti_error(error, PTQ_ENOMEM, "no memory for %s '%s'", pti_thing_word(open->thing), name);
    via->bus = pti_bus_hold(bus);
    via->port.ops = &pti_via_ops;
    via->port.remote = via->port.bridged = true;
    TAILQ_INIT(&via->calls);
    TAILQ_INIT(&via->puts);
    TAILQ_INIT(&via->messages);
    TAILQ_INIT(&via->doubts);
    pthread_mutex_init(&via->mutex, NULL);
    pthread_mutex_init(&via->opening, NULL);
    via->asked.open = *open;
    via->asked.open.stream = NULL;
    via->asked.open.options.error = NULL;
    via->asked.open.options.spec = NULL;
    via->asked.open.options.group = NULL;
    via->asked.has_run = run != NULL;
    snprintf(via->asked.url, sizeof via->asked.url, "%s", url);
    snprintf(via->asked.run, sizeof via->asked.run, "%s", run != NULL ? run : "");
    snprintf(via->asked.name, sizeof via->asked.name, "%s", name);
    snprintf(via->asked.spec, sizeof via->asked.spec, "%s", open->options.spec != NULL ? open->options.spec : "");
    enum ptq_err err = PTQ_OK;
    if (getrandom(via->client, sizeof via->client, 0) != sizeof via->client)
        err = pti_error(error, PTQ_ESYS, "no random numbers for %s '%s'", pti_thing_word(open->thing), name);
    if (err == PTQ_OK && (open->options.flags & PTQ_ACK_LOCAL) && (err = pti_via_out_find(via, error)) == PTQ_ENOENT)
        err = PTQ_OK;
    if (err == PTQ_OK)
        err = open_queues(via, error);
    if (err != PTQ_OK) {
        pti_via_free(via);
        return err;
    }
    *ret_via = via;
    return PTQ_OK;
}

/* What the handle tells of its queue, from the first opening on. */
static void fill_port(struct pti_via *via)
{
    const struct pti_ask_opened *opened = &via->opened;

    via->port.capacity = opened->capacity;
    via->port.window = opened->window;
    via->port.bytes = opened->bytes;
    via->port.item_size = opened->item_size;
    via->port.header_size = opened->header_size;
    via->port.max_deliveries = opened->max_deliveries;
    via->port.full = opened->full;
    via->port.placed = opened->placed;
    via->port.letters = opened->letters;
    memcpy(via->port.id, opened->id, sizeof via->port.id);
    memcpy(via->port.run, opened->run, sizeof via->port.run);
    memcpy(via->port.node, opened->node, sizeof via->port.node);
    memcpy(via->port.where, opened->where, sizeof via->port.where);
    via->port.spec = via->opened.spec;
    via->port.url = via->opened.url;
    snprintf(via->port.why, sizeof via->port.why, "%s%s",
             via->outbox != NULL ? "puts are answered by an outbox of this host (PTQ_ACK_LOCAL), and the rest goes " : "",
             "through the ptqbridge of this host: PTQ_VIA=bridge, or this process was forked from one that has links");
}

static enum ptq_err open_through(ptq_bus *bus, const char *url, const char *run, const char *name, const struct pti_open *open,
                                 struct ptq_error *error, struct pti_port **ret_port)
{
    bool keeps = open->options.flags & PTQ_ACK_LOCAL;
    struct pti_via *via;
    enum ptq_err err = pti_check_far_flags(url, name, open->options.flags, error);

    if (err == PTQ_OK)
        err = new_via(bus, url, run, name, open, error, &via);
    if (err != PTQ_OK)
        return err;
    if (via->outbox == NULL)
        err = pti_via_connect(via, open->options.wait_ms > 0 ? open->options.wait_ms * PTI_NS_PER_MS : 0, error);
    if (err == PTQ_OK && keeps && via->opened.is_here) { /* it needs no carrying */
        pti_via_free(via);
        return pti_carriers.open_local(bus, name, open, error, ret_port);
    }
    if (err == PTQ_OK && open->thing != 0 && via->opened.is_here) {
        pti_via_free(via);
        *ret_port = NULL; /* the caller's, to open here */
        return PTQ_OK;
    }
    if (err == PTQ_OK && keeps && via->outbox == NULL)
        err = pti_via_out_make(via, error);
    if (err == PTQ_OK && !keeps && (open->options.flags & PTQ_PIPELINE) && pti_via_pipe_new(via) != PTQ_OK)
        err = pti_error(error, PTQ_ENOMEM, "no memory to gather puts to '%s'", name);
    if (err != PTQ_OK) {
        pti_via_free(via);
        return err;
    }
    if (keeps)
        via->port.ops = pti_via_out_ops();
    via->asked.open.options.mode = PTQ_ATTACH; /* whoever opens it again must not make it anew */
    via->asked.open.options.prefault = via->asked.open.options.ephemeral = false;
    via->asked.open.options.wait_ms = 0;
    fill_port(via);
    *ret_port = &via->port;
    return PTQ_OK;
}

/* ---- asking ---- */

static void answer_all(struct pti_asked *asked, size_t count, enum ptq_err err, const struct ptq_error *error)
{
    for (size_t i = 0; i < count; i++) {
        asked[i].answer = err;
        asked[i].has_id = false;
        asked[i].error = *error;
    }
}

static void read_seen(const struct pti_via_call *call, struct pti_asked *asked, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct pti_ask_seen seen;
        memcpy(&seen, call->bytes + i * sizeof seen, sizeof seen);
        asked[i].answer = seen.answer < PTI_ANSWER_UNKNOWN ? (enum ptq_err)seen.answer : PTQ_EUNREACHABLE;
        asked[i].has_id = seen.has_id;
        memcpy(asked[i].id, seen.id, sizeof asked[i].id);
        asked[i].error.code = asked[i].answer;
        snprintf(asked[i].error.text, sizeof asked[i].error.text, "%.255s", seen.text);
    }
}

/* Look, and so many addresses.  NULL: no memory, or one that is too long. */
static uint8_t *write_look(const struct pti_via *via, bool making, const struct pti_asked *asked, size_t count, size_t *ret_size)
{
    struct pti_ask_look look = {.has_run = via->asked.has_run, .making = making};
    uint8_t *body = calloc(1, sizeof look + count * PTI_ASK_URL);

    if (body == NULL)
        return NULL;
    memcpy(look.run, via->asked.run, sizeof look.run);
    memcpy(look.name, via->asked.name, sizeof look.name);
    memcpy(body, &look, sizeof look);
    for (size_t i = 0; i < count; i++)
        snprintf((char *)body + sizeof look + i * PTI_ASK_URL, PTI_ASK_URL, "%s", asked[i].url);
    *ret_size = sizeof look + count * PTI_ASK_URL;
    return body;
}

static void ask_through(ptq_bus *bus, const char *run, const char *name, bool making, struct pti_asked *asked, size_t count)
{
    struct pti_open nothing = {0};
    struct ptq_error error = {0};
    struct pti_via *via = NULL;
    struct pti_via_call call = {.ask = {.verb = PTI_ASK_LOOK, .count = (uint32_t)count}};
    enum ptq_err err = new_via(bus, "", run, name, &nothing, &error, &via);
    uint8_t *body = err == PTQ_OK ? write_look(via, making, asked, count, &call.body_size) : NULL;

    if (err == PTQ_OK && (body == NULL || count > PTI_ASK_LOOK_MOST))
        err = pti_error(&error, PTQ_ENOMEM, "no memory to ask %zu peers for '%s'", count, name);
    call.body = body;
    if (err == PTQ_OK) {
        err = pti_via_run(via, &call, PTI_DEADLINE_NOW, false);
        if (err == PTQ_OK && (call.code != PTQ_OK || call.size != count * sizeof(struct pti_ask_seen)))
            err = PTQ_EUNREACHABLE;
        if (err != PTQ_OK)
            (void)!pti_error(&error, err, "the ptqbridge of this host does not say who has '%s'", name);
    }
    if (err == PTQ_OK)
        read_seen(&call, asked, count);
    else
        answer_all(asked, count, err, &error);
    free(body);
    free(call.bytes);
    if (via != NULL)
        pti_via_free(via);
}

/* ---- which way ---- */

/* A child of a process that has links cannot have its own: it goes through the bridge, where there is one. */
static bool goes_through(const ptq_bus *bus, unsigned flags)
{
    if (flags & (PTQ_VIA_BRIDGE | PTQ_DIRECT | PTQ_ACK_LOCAL))
        return !(flags & PTQ_DIRECT);
    if (bus->via != PTI_VIA_AUTO)
        return bus->via == PTI_VIA_BRIDGE;
    return pti_link_is_forked();
}

enum ptq_err pti_far_open(ptq_bus *bus, const char *url, const char *run, const char *name, const struct pti_open *open,
                          struct ptq_error *error, struct pti_port **ret_port)
{
    unsigned flags = open->options.flags;

    if ((flags & PTQ_VIA_BRIDGE) && (flags & PTQ_DIRECT))
        return pti_error(error, PTQ_EINVAL, "queue '%s': PTQ_VIA_BRIDGE and PTQ_DIRECT exclude each other", name);
    if ((flags & PTQ_ACK_LOCAL) && (flags & PTQ_DIRECT))
        return pti_error(error, PTQ_EINVAL,
                         "queue '%s': PTQ_ACK_LOCAL needs the ptqbridge of this host, which carries the outbox: open it without "
                         "PTQ_DIRECT", name);
    if (!goes_through(bus, flags))
        return pti_remote_open(bus, url, run, name, open, error, ret_port);
    enum ptq_err err = open_through(bus, url, run, name, open, error, ret_port);
    if (err == PTQ_EUNREACHABLE && pti_link_is_forked() && !(flags & PTQ_VIA_BRIDGE) && bus->via == PTI_VIA_AUTO)
        return pti_error(error, PTQ_EFORKED,
                         "no link to '%s': this process was forked from one that had links to other hosts, and no ptqbridge "
                         "serves its own run here; start one, open links after the fork only, or exec",
                         url);
    return err;
}

void pti_far_ask(ptq_bus *bus, const char *run, const char *name, bool making, struct pti_asked *asked, size_t count)
{
    if (goes_through(bus, 0))
        ask_through(bus, run, name, making, asked, count);
    else
        pti_remote_ask(bus, run, name, making, asked, count);
}
