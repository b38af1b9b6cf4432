/* work.c -- what a program asked, done over a link by one of the bridge's workers. */
#define HASH_NONFATAL_OOM 1
#include <stdlib.h>
#include <string.h>

#include "os/event.h"
#include "remote/call.h"
#include "remote/remote.h"
#include "remote/step.h"
#include "remote/via/service.h"

void pti_via_step(enum pti_via_step step)
{
    static const enum pti_step steps[] = {PTI_STEP_VIA_READ, PTI_STEP_VIA_DONE, PTI_STEP_VIA_POSTED, PTI_STEP_VIA_ACKED};

    pti_step(steps[step]);
}

/* ---- waiting calls ---- */

bool pti_via_is_given_up(const struct pti_via_job *job)
{
    return pti_load_seq(&job->cancelled) || pti_load_seq(&job->proxy->closing);
}

static bool goes_on(const struct pti_via_job *job, enum ptq_err answer)
{
    return answer == PTQ_EINTR && !pti_via_is_given_up(job);
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
    if (puts != NULL)
        puts[0].packs = (job->ask.flags & PTI_ASK_PACKS) != 0;
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

    if (puts == NULL || job->ask.count == 0 || (job->proxy->thing != 0 && !pti_via_share_puts(puts, job->ask.count))) {
        free(puts);
        pti_via_answer(job->proxy->service, job, PTQ_EPROTO, 0);
        return;
    }
    do
        err = !pti_via_is_given_up(job) ? put_once(job, puts, &position) : job->ask.flags & PTI_ASK_AGAIN ? PTQ_EINDOUBT : PTQ_EINTR;
    while (goes_on(job, err));
    free(puts);
    watch(job->proxy, PTQ_SIDE_PUT, err);
    uint32_t code = code_of(job, err);
    if (code == PTI_ANSWER_AGAIN)
        pti_via_answer(job->proxy->service, job, code, 0);
    else
        pti_via_answer_code(job, err, position);
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
    uint8_t *answer = pti_via_new_answer(job, PTQ_OK, 0, size);
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
        pti_via_answer(proxy->service, job, PTQ_ENOMEM, 0);
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
        pti_via_answer(job->proxy->service, job, err, 0);
        return;
    }
    do {
        if (pti_via_is_given_up(job))
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
        pti_via_answer(job->proxy->service, job, code, 0);
    else
        pti_via_answer_code(job, err, 0);
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
    pti_via_answer_code(job, err, 0);
}

/* ---- small questions ---- */

static enum ptq_err claim(struct pti_via_job *job)
{
    struct pti_port *port = job->proxy->port;
    enum ptq_err err;

    do
        err = pti_via_is_given_up(job) ? PTQ_EINTR : port->ops->claim(port, job->deadline);
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
            pti_via_answer(job->proxy->service, job, PTI_ANSWER_AGAIN, 0);
            return;
        }
        break;
    default:
        break;
    }
    pti_via_answer_code(job, err, value);
}

static void do_stats(struct pti_via_job *job)
{
    struct ptq_queue_stats stats;
    enum ptq_err err = job->proxy->port->ops->stats(job->proxy->port, &stats);

    if (err != PTQ_OK) {
        pti_via_answer_code(job, err, 0);
        return;
    }
    uint8_t *answer = pti_via_new_answer(job, PTQ_OK, 0, sizeof stats);
    if (answer != NULL)
        memcpy(answer + sizeof(struct pti_answer), &stats, sizeof stats);
    pti_via_post(job->proxy->service, job, answer, sizeof(struct pti_answer) + sizeof stats, false);
}

/* ---- all of them ---- */

void pti_via_do(struct pti_via_service *service, struct pti_via_job *job)
{
    if (job->proxy != NULL && !pti_via_share_takes(job->proxy, job->ask.verb)) {
        pti_via_answer(service, job, PTQ_EPROTO, 0);
        return;
    }
    switch (job->ask.verb) {
    case PTI_ASK_OPEN:
        pti_proxy_open(service, job);
        break;
    case PTI_ASK_LOOK:
        pti_via_look(service, job);
        break;
    case PTI_ASK_CLOSE:
        pti_proxy_close(job);
        break;
    case PTI_ASK_CANCEL:
        pti_proxy_cancel(service, job);
        break;
    case PTI_ASK_BELL:
        pti_via_answer(service, job, pti_proxy_add_bell(job->proxy, job->ask.side == PTQ_SIDE_PUT ? PTQ_SIDE_PUT : PTQ_SIDE_GET), 0);
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
    case PTI_ASK_SHARE_LOOK:
    case PTI_ASK_SHARE_AWAIT:
        pti_via_share_do(job);
        break;
    default:
        do_question(job);
        break;
    }
}
