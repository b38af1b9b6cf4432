/* proxy.c -- what a program asked, done over a link by one of the bridge's workers. */
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

void pti_via_step(enum pti_via_step step)
{
    static const enum pti_step steps[] = {PTI_STEP_VIA_READ, PTI_STEP_VIA_DONE, PTI_STEP_VIA_POSTED, PTI_STEP_VIA_ACKED};

    pti_step(steps[step]);
}

/* ---- answers ---- */

static uint8_t *new_answer(const struct pti_via_job *job, uint32_t code, uint64_t value, size_t behind)
{
    struct pti_answer head = {.layout = PTI_ASK_LAYOUT, .code = code, .number = job->ask.number, .value = value};
    uint8_t *answer = malloc(sizeof head + behind);

    if (answer != NULL)
        memcpy(answer, &head, sizeof head);
    return answer;
}

static void say(struct pti_via_service *service, struct pti_via_job *job, uint32_t code, uint64_t value)
{
    pti_via_post(service, job, new_answer(job, code, value, 0), sizeof(struct pti_answer), false);
}

static void say_why(struct pti_via_service *service, struct pti_via_job *job, uint32_t code, const char *text)
{
    uint32_t length = (uint32_t)strlen(text);
    uint8_t *answer = new_answer(job, code, 0, length);

    if (answer != NULL) {
        memcpy(answer + sizeof(struct pti_answer), text, length);
        memcpy(answer + offsetof(struct pti_answer, text), &length, sizeof length);
    }
    pti_via_post(service, job, answer, sizeof(struct pti_answer) + length, false);
}

/* As the link explains it, where it does. */
static void say_code(struct pti_via_job *job, enum ptq_err code, uint64_t value)
{
    struct pti_proxy *proxy = job->proxy;
    char why[400] = "";

    if (code != PTQ_OK && proxy->port->ops->explain != NULL)
        proxy->port->ops->explain(proxy->port, code, why, sizeof why);
    if (why[0] != '\0')
        say_why(proxy->service, job, code, why);
    else
        say(proxy->service, job, code, value);
}

/* ---- waiting calls ---- */

static bool goes_on(const struct pti_via_job *job, enum ptq_err answer)
{
    return answer == PTQ_EINTR && !pti_load_seq(&job->cancelled) && !pti_load_seq(&job->proxy->closing);
}

static bool is_given_up(const struct pti_via_job *job)
{
    return pti_load_seq(&job->cancelled) || pti_load_seq(&job->proxy->closing);
}

/* The side has nothing: whoever has a descriptor is told when that changes. */
static void watch(struct pti_proxy *proxy, enum ptq_side side, enum ptq_err answer)
{
    struct pti_via_bell *bell = &proxy->bells[side];

    if (answer != PTQ_EMPTY && answer != PTQ_FULL && answer != PTQ_TIMEDOUT)
        return;
    pthread_mutex_lock(&proxy->mutex);
    if (bell->port != NULL)
        (void)!pti_poll_watch(proxy->service->poll_fd, bell->fd, (uint64_t)(uintptr_t)bell, true);
    pthread_mutex_unlock(&proxy->mutex);
}

static uint32_t code_of(const struct pti_via_job *job, enum ptq_err answer)
{
    bool waits = answer == PTQ_EMPTY || answer == PTQ_FULL || answer == PTQ_EBUSY;

    return job->is_short && waits ? PTI_ANSWER_AGAIN : (uint32_t)answer;
}

/* ---- in ---- */

/* The records of a request.  NULL: they are not what they should be, or no memory. */
static struct pti_put *read_puts(const struct pti_via_job *job)
{
    struct pti_put *puts = calloc(job->ask.count > 0 ? job->ask.count : 1, sizeof *puts);
    const uint8_t *at = job->body;
    size_t left = job->size;

    for (uint32_t i = 0; puts != NULL && i < job->ask.count; i++) {
        struct pti_ask_record record;
        size_t whole = 0;
        if (left >= sizeof record) {
            memcpy(&record, at, sizeof record);
            whole = pti_ask_record_bytes(record.size, record.headers);
        }
        if (whole == 0 || whole > left) {
            free(puts);
            return NULL;
        }
        const uint8_t *headers = at + sizeof record, *data = headers + 4 * (size_t)record.headers;
        puts[i] = (struct pti_put){.data = record.size > 0 ? data : NULL,
                                   .size = record.size,
                                   .kind = record.kind,
                                   .type = record.type,
                                   .ttl = record.ttl,
                                   .headers = record.headers,
                                   .header_bytes = record.headers > 0 ? headers : NULL,
                                   .due_us = record.due_us};
        at += whole;
        left -= whole;
    }
    return puts;
}

static enum ptq_err put_once(const struct pti_via_job *job, const struct pti_put *puts, uint64_t *ret_position)
{
    struct pti_port *port = job->proxy->port;
    struct pti_named named = {.puts = puts, .count = job->ask.count, .placed = job->ask.verb == PTI_ASK_PLACE,
                              .position = job->ask.value, .key = job->ask.key, .again = (job->ask.flags & PTI_ASK_AGAIN) != 0,
                              .settled = job->ask.settled};

    pti_step(PTI_STEP_VIA_ASKING);
    if (port->remote)
        return pti_remote_put_named(port, &named, job->deadline, ret_position);
    if (named.placed)
        return port->ops->place(port, named.position, puts, job->deadline);
    return named.again ? PTQ_EVERSION : port->ops->put_many(port, puts, named.count, job->deadline, ret_position);
}

static void do_put(struct pti_via_job *job)
{
    struct pti_put *puts = job->size / sizeof(struct pti_ask_record) >= job->ask.count ? read_puts(job) : NULL;
    uint64_t position = 0;
    enum ptq_err err;

    if (puts == NULL || job->ask.count == 0) {
        free(puts);
        say(job->proxy->service, job, PTQ_EPROTO, 0);
        return;
    }
    do
        err = !is_given_up(job) ? put_once(job, puts, &position) : job->ask.flags & PTI_ASK_AGAIN ? PTQ_EINDOUBT : PTQ_EINTR;
    while (goes_on(job, err));
    free(puts);
    watch(job->proxy, PTQ_SIDE_PUT, err);
    uint32_t code = code_of(job, err);
    if (code == PTI_ANSWER_AGAIN)
        say(job->proxy->service, job, code, 0);
    else
        say_code(job, err, position);
}

/* ---- out ---- */

static struct ptq_msg *let_go(struct pti_proxy *proxy, uint64_t number)
{
    struct pti_via_lease *lease;
    struct ptq_msg *msg = NULL;

    pthread_mutex_lock(&proxy->mutex);
    HASH_FIND(hh, proxy->leases, &number, sizeof number, lease);
    if (lease != NULL) {
        msg = lease->msg;
        HASH_DELETE(hh, proxy->leases, lease);
        free(lease);
    }
    pthread_mutex_unlock(&proxy->mutex);
    return msg;
}

/* 0: no memory. */
static uint64_t note_lease(struct pti_proxy *proxy, struct ptq_msg *msg)
{
    struct pti_via_lease *lease = malloc(sizeof *lease);

    if (lease == NULL)
        return 0;
    *lease = (struct pti_via_lease){.number = pti_fetch_add_seq(&proxy->service->last_lease, 1) + 1, .msg = msg};
    pthread_mutex_lock(&proxy->mutex);
    unsigned before = HASH_COUNT(proxy->leases);
    HASH_ADD(hh, proxy->leases, number, sizeof lease->number, lease);
    bool added = HASH_COUNT(proxy->leases) > before;
    pthread_mutex_unlock(&proxy->mutex);
    if (added)
        return lease->number;
    free(lease);
    return 0;
}

static void untake_from(struct pti_port *port, struct ptq_msg **msgs, size_t from, size_t count)
{
    while (count > from)
        (void)!port->ops->untake(port, msgs[--count]);
}

static size_t message_bytes(const struct ptq_msg *msg)
{
    return pti_answer_record_bytes(msg->size, msg->headers);
}

/* As many as fit; the others go back. */
static size_t count_fitting(struct pti_port *port, struct ptq_msg **msgs, size_t count, size_t *ret_size)
{
    size_t size = 0, fits = 0;

    while (fits < count && (fits == 0 || size + message_bytes(msgs[fits]) <= PTI_VIA_BODY))
        size += message_bytes(msgs[fits++]);
    untake_from(port, msgs, fits, count);
    *ret_size = size;
    return fits;
}

static void write_message(uint8_t *at, const struct ptq_msg *msg, uint64_t lease)
{
    struct pti_answer_record record = {.lease = lease,
                                       .position = msg->position,
                                       .sub = msg->sub,
                                       .deliveries = msg->deliveries,
                                       .type = msg->type,
                                       .size = msg->size,
                                       .kind = msg->kind,
                                       .headers = msg->headers,
                                       .redelivered = msg->redelivered};
    size_t bytes = msg->headers > 0 ? pti_via_up(msg->size, 4) + 4 * (size_t)msg->headers : msg->size;

    memset(at, 0, message_bytes(msg));
    memcpy(at, &record, sizeof record);
    if (bytes > 0)
        memcpy(at + sizeof record, msg->data, bytes);
}

static void hand_over(struct pti_via_job *job, struct ptq_msg **msgs, size_t count)
{
    struct pti_proxy *proxy = job->proxy;
    size_t size, at = sizeof(struct pti_answer);
    size_t fits = count_fitting(proxy->port, msgs, count, &size);
    uint8_t *answer = new_answer(job, PTQ_OK, 0, size);
    uint32_t done = 0;

    for (; answer != NULL && done < fits; done++) {
        uint64_t lease = note_lease(proxy, msgs[done]);
        if (lease == 0)
            break;
        write_message(answer + at, msgs[done], lease);
        at += message_bytes(msgs[done]);
    }
    pti_step(PTI_STEP_VIA_LEASED);
    untake_from(proxy->port, msgs, done, fits);
    if (done == 0) {
        free(answer);
        say(proxy->service, job, PTQ_ENOMEM, 0);
        return;
    }
    memcpy(answer + offsetof(struct pti_answer, count), &done, sizeof done);
    pti_via_post(proxy->service, job, answer, at, false);
}

static void do_take(struct pti_via_job *job)
{
    struct pti_port *port = job->proxy->port;
    size_t max = job->ask.value < PTI_VIA_TAKE_MOST ? (size_t)job->ask.value : PTI_VIA_TAKE_MOST, count = 0;
    struct ptq_msg **msgs = max > 0 ? malloc(max * sizeof(struct ptq_msg *)) : NULL;
    enum ptq_err err = PTQ_ENOMEM;

    if (msgs == NULL) {
        say(job->proxy->service, job, err, 0);
        return;
    }
    do {
        if (is_given_up(job))
            err = PTQ_EINTR;
        else if (job->ask.flags & PTI_ASK_MORE && port->ops->take_more != NULL)
            err = port->ops->take_more(port, max, job->deadline, msgs, &count);
        else
            err = port->ops->take(port, max, job->deadline, msgs, &count);
    } while (goes_on(job, err));
    watch(job->proxy, PTQ_SIDE_GET, err);
    uint32_t code = code_of(job, err);
    if (err == PTQ_OK)
        hand_over(job, msgs, count);
    else if (code == PTI_ANSWER_AGAIN)
        say(job->proxy->service, job, code, 0);
    else
        say_code(job, err, 0);
    free(msgs);
}

static enum ptq_err settle_one(struct pti_via_job *job, uint64_t lease)
{
    struct pti_port *port = job->proxy->port;
    struct ptq_msg *msg = let_go(job->proxy, lease);

    if (msg == NULL)
        return PTQ_ELEASELOST;
    if (job->ask.verb == PTI_ASK_ACK)
        return port->ops->ack(port, msg);
    return job->ask.verb == PTI_ASK_NACK ? port->ops->nack(port, msg, job->ask.delay_ms) : port->ops->untake(port, msg);
}

/* What goes back goes from the last on, so that each stands before those that went back already. */
static void do_settle(struct pti_via_job *job)
{
    enum ptq_err err = PTQ_OK;
    uint32_t count = job->size / sizeof(uint64_t) < job->ask.count ? (uint32_t)(job->size / sizeof(uint64_t)) : job->ask.count;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t lease;
        uint32_t index = job->ask.verb == PTI_ASK_ACK ? i : count - 1 - i;
        memcpy(&lease, job->body + index * sizeof lease, sizeof lease);
        enum ptq_err one = settle_one(job, lease);
        err = err == PTQ_OK ? one : err;
    }
    say_code(job, err, 0);
}

/* ---- small questions ---- */

static enum ptq_err claim(struct pti_via_job *job)
{
    struct pti_port *port = job->proxy->port;
    enum ptq_err err;

    do
        err = is_given_up(job) ? PTQ_EINTR : port->ops->claim(port, job->deadline);
    while (goes_on(job, err));
    return err;
}

static void do_question(struct pti_via_job *job)
{
    struct pti_port *port = job->proxy->port;
    uint64_t value = 0;
    bool lost = false;
    enum ptq_err err = PTQ_EPROTO;

    switch (job->ask.verb) {
    case PTI_ASK_END:
        err = port->ops->end(port);
        break;
    case PTI_ASK_LIMIT:
        err = port->ops->limit(port, job->ask.value);
        break;
    case PTI_ASK_HEAD:
        err = port->ops->head(port, &value);
        break;
    case PTI_ASK_CENSUS:
        err = port->ops->census(port, job->ask.value, &lost);
        value = lost;
        break;
    case PTI_ASK_PURGE:
        err = port->ops->purge(port, &value);
        break;
    case PTI_ASK_PAUSE:
        err = port->ops->pause(port, job->ask.value != 0);
        break;
    case PTI_ASK_KICK:
        err = port->ops->kick(port, job->ask.value, &value);
        break;
    case PTI_ASK_CLAIM:
        err = claim(job);
        if (code_of(job, err) == PTI_ANSWER_AGAIN) {
            say(job->proxy->service, job, PTI_ANSWER_AGAIN, 0);
            return;
        }
        break;
    default:
        break;
    }
    say_code(job, err, value);
}

static void do_stats(struct pti_via_job *job)
{
    struct ptq_queue_stats stats;
    enum ptq_err err = job->proxy->port->ops->stats(job->proxy->port, &stats);

    if (err != PTQ_OK) {
        say_code(job, err, 0);
        return;
    }
    uint8_t *answer = new_answer(job, PTQ_OK, 0, sizeof stats);
    if (answer != NULL)
        memcpy(answer + sizeof(struct pti_answer), &stats, sizeof stats);
    pti_via_post(job->proxy->service, job, answer, sizeof(struct pti_answer) + sizeof stats, false);
}

/* ---- bells ---- */

static enum ptq_err add_bell(struct pti_proxy *proxy, enum ptq_side side)
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
    ret_open->open.stream = job->ask.client;
    ret_open->open.carrier = PTI_CARRIER_PROGRAM;
    ret_open->open.has_put = ret_open->has_put;
    ret_open->open.options.error = NULL;
    ret_open->open.options.group = NULL;
    ret_open->open.options.spec = ret_open->spec[0] != '\0' ? ret_open->spec : NULL;
    ret_open->open.options.flags &= PTQ_PRODUCER | PTQ_CONSUMER;
    return pti_name_is_valid(ret_open->name) && (!ret_open->has_run || pti_name_is_valid(ret_open->run));
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

static void open_in_turn(struct pti_via_service *service, struct pti_via_job *job)
{
    struct pti_proxy *proxy = new_proxy(service, job);
    struct pti_ask_opened opened;
    struct pti_ask_open ask;
    struct ptq_error error = {0};

    if (proxy == NULL || !read_open(job, &ask)) {
        if (proxy != NULL)
            pti_proxy_free(proxy);
        say_why(service, job, PTQ_EPROTO, "the request to open it does not read");
        return;
    }
    enum ptq_err err = PTQ_OK;
    if (ask.open.options.item_size > PTI_WIRE_PLACED_BYTES)
        err = too_large(ask.name, ask.open.options.item_size, &error);
    if (err == PTQ_OK)
        err = pti_remote_open(service->bus, ask.url, ask.has_run ? ask.run : NULL, ask.name, &ask.open, &error,
                              &proxy->port);
    if (err == PTQ_OK && proxy->port->item_size > PTI_WIRE_PLACED_BYTES) {
        err = too_large(ask.name, proxy->port->item_size, &error);
        proxy->port->ops->close(proxy->port, PTI_DEADLINE_NOW);
    }
    if (err != PTQ_OK) {
        pti_proxy_free(proxy);
        say_why(service, job, err, error.text);
        return;
    }
    pti_step(PTI_STEP_VIA_OPENED);
    describe(proxy->port, ask.url, &opened);
    for (int side = 0; side < 2; side++) {
        if (ask.bells[side])
            (void)!add_bell(proxy, (enum ptq_side)side);
    }
    uint8_t *answer = new_answer(job, PTQ_OK, 0, sizeof opened);
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

static void do_open(struct pti_via_service *service, struct pti_via_job *job)
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

static void do_look(struct pti_via_service *service, struct pti_via_job *job)
{
    struct pti_ask_look look;
    size_t count = job->ask.count, size = count * sizeof(struct pti_ask_seen);
    bool reads = read_look(job, &look);
    struct pti_asked *asked = reads ? calloc(count + 1, sizeof *asked) : NULL;
    char(*urls)[PTI_ASK_URL] = reads ? calloc(count + 1, PTI_ASK_URL) : NULL;
    uint8_t *answer = reads ? new_answer(job, PTQ_OK, 0, size) : NULL;

    if (asked == NULL || urls == NULL || answer == NULL) {
        free(answer);
        say(service, job, reads ? PTQ_ENOMEM : PTQ_EPROTO, 0);
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
static void do_close(struct pti_via_job *job)
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
    pti_via_post(proxy->service, job, tells ? new_answer(job, PTQ_OK, 0, 0) : NULL, sizeof(struct pti_answer), true);
}

/* Until what was to be given up has ended: it may have been about to begin when it was told. */
static void do_cancel(struct pti_via_service *service, struct pti_via_job *job)
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

void pti_via_do(struct pti_via_service *service, struct pti_via_job *job)
{
    switch (job->ask.verb) {
    case PTI_ASK_OPEN:
        do_open(service, job);
        break;
    case PTI_ASK_LOOK:
        do_look(service, job);
        break;
    case PTI_ASK_CLOSE:
        do_close(job);
        break;
    case PTI_ASK_CANCEL:
        do_cancel(service, job);
        break;
    case PTI_ASK_BELL:
        say(service, job, add_bell(job->proxy, job->ask.side == PTQ_SIDE_PUT ? PTQ_SIDE_PUT : PTQ_SIDE_GET), 0);
        break;
    case PTI_ASK_PUT:
    case PTI_ASK_PLACE:
        do_put(job);
        break;
    case PTI_ASK_TAKE:
        do_take(job);
        break;
    case PTI_ASK_ACK:
    case PTI_ASK_NACK:
    case PTI_ASK_UNTAKE:
        do_settle(job);
        break;
    case PTI_ASK_STATS:
        do_stats(job);
        break;
    default:
        do_question(job);
        break;
    }
}
