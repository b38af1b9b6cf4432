/* port.c -- the operations of queue/port.h through the bridge: each is one request. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/time.h"
#include "os/futex.h"
#include "remote/via/out.h"

#define PATIENCE_NS (3 * PTI_NS_PER_S) /* until a bridge that is away is unreachable */
#define AGAIN_NS (20 * PTI_NS_PER_MS)
#define OUTBOX 2 /* watcher->bell: no bell, but the outbox itself */

/* ---- one call ---- */

static bool enter(struct pti_via *via)
{
    pti_fetch_add_seq(&via->inside, 1);
    return !pti_load_seq(&via->closing);
}

static void leave(struct pti_via *via)
{
    pti_fetch_add_seq(&via->inside, -1u);
    pti_futex_wake(&via->inside, INT32_MAX);
}

/* What becomes of a call whose bridge went away in the middle. */
enum fate {
    ASK_AGAIN, /* nothing comes of asking twice */
    IN_DOUBT,
    BY_KEY, /* asked again under its key, if the home keeps them; else in doubt */
    LEASE_LOST
};

static enum ptq_err run_once(struct pti_via *via, struct pti_via_call *call, int64_t deadline, bool may_interrupt)
{
    enum ptq_err err = pti_via_connect(via, PATIENCE_NS, NULL);

    if (err == PTQ_OK)
        err = pti_via_run(via, call, deadline, may_interrupt);
    if (err == PTQ_OK && !call->lost && call->code == PTI_ANSWER_AGAIN) {
        struct timespec nap = {.tv_nsec = AGAIN_NS};
        nanosleep(&nap, NULL);
    }
    return err;
}

static bool has_streams(struct pti_via *via)
{
    pthread_mutex_lock(&via->mutex);
    bool streams = via->opened.streams;
    pthread_mutex_unlock(&via->mutex);
    return streams;
}

static bool goes_on(struct pti_via *via, const struct pti_via_call *call, enum fate fate)
{
    if (pti_load_seq(&via->closing))
        return false;
    if (call->lost)
        return call->unknown ? fate != LEASE_LOST : fate == ASK_AGAIN || (fate == BY_KEY && has_streams(via));
    return call->code == PTI_ANSWER_AGAIN;
}

/* The answer; on PTQ_OK the call's value and bytes are there: free(call->bytes) in any case. */
static enum ptq_err run(struct pti_via *via, struct pti_via_call *call, int64_t deadline, enum fate fate)
{
    bool may_interrupt = deadline != PTI_DEADLINE_NOW;
    enum ptq_err err = PTQ_EINTR;

    if (!enter(via)) {
        leave(via);
        return PTQ_EINTR;
    }
    do {
        free(call->bytes);
        call->bytes = NULL;
        call->size = 0;
        call->sent = false;
        err = run_once(via, call, deadline, may_interrupt);
        if (fate == BY_KEY && call->sent && (err != PTQ_OK || (call->lost && !call->unknown)))
            call->ask.flags |= PTI_ASK_AGAIN;
        if (err == PTQ_OK && call->code == PTI_ANSWER_AGAIN && !call->lost && deadline != PTI_DEADLINE_NEVER &&
            pti_now_ns() >= deadline) {
            leave(via);
            return PTQ_TIMEDOUT;
        }
    } while (err == PTQ_OK && goes_on(via, call, fate));
    leave(via);
    if (err == PTQ_OK && call->lost)
        return fate == LEASE_LOST ? PTQ_ELEASELOST : fate == ASK_AGAIN ? PTQ_EINTR : PTQ_EINDOUBT;
    if (err == PTQ_OK)
        return call->code < PTI_ANSWER_UNKNOWN ? (enum ptq_err)call->code : PTQ_EINTR; /* closing */
    bool was_asked = fate == BY_KEY ? (call->ask.flags & PTI_ASK_AGAIN) != 0 : fate == IN_DOUBT && call->sent;
    if (was_asked && (err == PTQ_EUNREACHABLE || err == PTQ_EINTR))
        return PTQ_EINDOUBT; /* and nobody says what became of it */
    return err;
}

static enum ptq_err ask_value(struct pti_via *via, struct pti_ask ask, int64_t deadline, enum fate fate, uint64_t *ret_value)
{
    struct pti_via_call call = {.ask = ask};
    enum ptq_err err = run(via, &call, deadline, fate);

    if (err == PTQ_OK && ret_value != NULL)
        *ret_value = call.value;
    free(call.bytes);
    return err;
}

/* ---- descriptors: a bell beside the handle, which the bridge rings ---- */

/* Before it is asked: what is rung from now on is heard after the answer. */
static void hush(struct pti_via *via, enum ptq_side side)
{
    struct pti_port *bell = pti_load_acquire(&via->bells[side]);
    struct ptq_msg *msg;
    size_t count;

    while (bell != NULL && bell->ops->take(bell, 1, PTI_DEADLINE_NOW, &msg, &count) == PTQ_OK)
        (void)!bell->ops->ack(bell, msg);
}

void pti_via_ring(struct pti_port *bell)
{
    struct pti_put put = {.data = "", .size = 0};
    uint64_t position;

    (void)!bell->ops->put(bell, &put, PTI_DEADLINE_NOW, &position); /* full: it is rung */
}

/* Only an answer that nothing is there leaves it silent. */
static void hear(struct pti_via *via, enum ptq_side side, enum ptq_err answer)
{
    struct pti_port *bell = pti_load_acquire(&via->bells[side]);

    if (bell != NULL && answer != PTQ_EMPTY && answer != PTQ_FULL && answer != PTQ_TIMEDOUT)
        pti_via_ring(bell);
}

static enum ptq_err open_bell(struct pti_via *via, enum ptq_side side, struct pti_port **ret_bell)
{
    struct pti_open open = pti_via_bell_open();
    char name[PTI_VIA_NAME];

    pti_via_name(name, PTI_BELL_PREFIX, via->client, side);
    enum ptq_err err = pti_carriers.open_local(via->bus, name, &open, NULL, ret_bell);
    if (err != PTQ_OK)
        return err == PTQ_ENOSPC ? PTQ_ENOSPC : PTQ_ENOMEM;
    pti_via_ring(*ret_bell); /* readable until a call has found nothing */
    return PTQ_OK;
}

static enum ptq_err find_bell(struct pti_via *via, enum ptq_side side, struct pti_port **ret_bell)
{
    enum ptq_err err = PTQ_OK;

    pthread_mutex_lock(&via->opening);
    struct pti_port *bell = pti_load_acquire(&via->bells[side]);
    if (bell == NULL && (err = open_bell(via, side, &bell)) == PTQ_OK)
        pti_store_release(&via->bells[side], bell);
    pthread_mutex_unlock(&via->opening);
    if (err == PTQ_OK)
        *ret_bell = bell;
    return err;
}

/* The bridge rings from now on; another bridge is told when it is asked anything. */
static enum ptq_err tell_of_bell(struct pti_via *via, enum ptq_side side)
{
    return ask_value(via, (struct pti_ask){.verb = PTI_ASK_BELL, .side = (uint8_t)side}, PTI_DEADLINE_NOW, ASK_AGAIN, NULL);
}

static enum ptq_err via_fd(struct pti_port *port, enum ptq_side side, int *ret_fd)
{
    struct pti_via *via = pti_via_of(port);
    struct pti_port *bell;

    if (side == PTQ_SIDE_PUT && via->outbox != NULL)
        return via->outbox->ops->fd(via->outbox, side, ret_fd);
    enum ptq_err err = find_bell(via, side, &bell);
    if (err == PTQ_OK)
        err = tell_of_bell(via, side);
    if (err != PTQ_OK && err != PTQ_EUNREACHABLE)
        return err;
    return bell->ops->fd(bell, PTQ_SIDE_GET, ret_fd);
}

static struct pti_port *bell_of(struct pti_port *port, const struct pti_watcher *watcher)
{
    struct pti_via *via = pti_via_of(port);

    return watcher->bell == OUTBOX ? via->outbox : pti_load_acquire(&via->bells[watcher->bell]);
}

static enum ptq_err watch_bell(struct pti_via *via, struct pti_watcher *watcher)
{
    enum ptq_side side = watcher->side;
    bool is_new = pti_load_acquire(&via->bells[side]) == NULL;
    struct pti_port *bell;
    enum ptq_err err = find_bell(via, side, &bell);

    if (err == PTQ_OK && is_new)
        err = tell_of_bell(via, side);
    if (err != PTQ_OK)
        return err;
    watcher->bell = (uint8_t)side;
    watcher->side = PTQ_SIDE_GET; /* of the bell */
    watcher->interrupts_seen = pti_load_seq(&via->interrupts_seen);
    return bell->ops->watch_begin(bell, watcher);
}

static enum ptq_err watch_outbox(struct pti_via *via, struct pti_watcher *watcher)
{
    watcher->bell = OUTBOX;
    watcher->interrupts_seen = pti_load_seq(&via->interrupts_seen);
    return via->outbox->ops->watch_begin(via->outbox, watcher);
}

static enum ptq_err via_watch_begin(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_via *via = pti_via_of(port);

    if (!enter(via)) {
        leave(via);
        return PTQ_EINTR;
    }
    bool is_put = watcher->side == PTQ_SIDE_PUT && via->outbox != NULL;
    enum ptq_err err = is_put ? watch_outbox(via, watcher) : watch_bell(via, watcher);
    if (err != PTQ_OK)
        leave(via);
    return err;
}

static void via_watch_arm_word(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_port *bell = bell_of(port, watcher);

    bell->ops->watch_arm_word(bell, watcher);
}

static void via_watch_arm_fd(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_port *bell = bell_of(port, watcher);

    bell->ops->watch_arm_fd(bell, watcher);
}

static enum ptq_err via_watch_look(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_port *bell = bell_of(port, watcher);

    return bell->ops->watch_look(bell, watcher);
}

/* The bell's own memory of interrupts is each thread's; the handle's is one. */
static enum ptq_err via_watch_interrupted(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_via *via = pti_via_of(port);
    struct pti_port *bell = bell_of(port, watcher);
    enum ptq_err err = bell->ops->watch_interrupted(bell, watcher);
    uint32_t interrupts = pti_load_seq(&via->interrupts);

    if (err != PTQ_OK && err != PTQ_EINTR)
        return err;
    if (interrupts == watcher->interrupts_seen && !pti_load_seq(&via->closing))
        return PTQ_OK;
    pti_store_seq(&via->interrupts_seen, interrupts);
    return PTQ_EINTR;
}

static void via_watch_pass(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_port *bell = bell_of(port, watcher);

    bell->ops->watch_pass(bell, watcher);
}

static void via_watch_end(struct pti_port *port, struct pti_watcher *watcher)
{
    struct pti_port *bell = bell_of(port, watcher);

    bell->ops->watch_end(bell, watcher);
    leave(pti_via_of(port));
}

/* ---- in ---- */

static enum ptq_err run_put(struct pti_via *via, struct pti_via_call *call, int64_t deadline, uint64_t *ret_position)
{
    enum ptq_err err = pti_via_doubt_look(via, call, call->puts[0].retry);
    bool resumes = (call->ask.flags & PTI_ASK_AGAIN) != 0;

    if (err != PTQ_OK)
        return err;
    hush(via, PTQ_SIDE_PUT);
    err = run(via, call, deadline, BY_KEY);
    err = pti_via_doubt_judge(via, call, resumes, err);
    hear(via, PTQ_SIDE_PUT, err);
    if (err == PTQ_OK && ret_position != NULL)
        *ret_position = call->value;
    free(call->bytes);
    return err;
}

static enum ptq_err via_put_many(struct pti_port *port, const struct pti_put *puts, size_t count, int64_t deadline,
                                 uint64_t *ret_position)
{
    struct pti_via_call call = {.ask = {.verb = PTI_ASK_PUT, .count = (uint32_t)count}, .puts = puts};

    return run_put(pti_via_of(port), &call, deadline, ret_position);
}

static enum ptq_err via_put(struct pti_port *port, const struct pti_put *put, int64_t deadline, uint64_t *ret_position)
{
    return via_put_many(port, put, 1, deadline, ret_position);
}

static enum ptq_err via_place(struct pti_port *port, uint64_t position, const struct pti_put *put, int64_t deadline)
{
    struct pti_via_call call = {.ask = {.verb = PTI_ASK_PLACE, .value = position, .count = 1}, .puts = put};

    return run_put(pti_via_of(port), &call, deadline, NULL);
}

/* A loan is memory of this process. */
static enum ptq_err via_loan(struct pti_port *port, uint32_t size, int64_t deadline, struct ptq_msg **ret_loan)
{
    struct pti_via_message *message = pti_via_message_new(pti_via_of(port), size);
    (void)deadline;

    if (message == NULL)
        return PTQ_ENOMEM;
    message->msg.state = PTI_MSG_LOANED;
    *ret_loan = &message->msg;
    return PTQ_OK;
}

static void via_abort(struct pti_port *port, struct ptq_msg *loan)
{
    pti_via_message_free(pti_via_of(port), (struct pti_via_message *)(void *)loan);
}

static enum ptq_err via_publish(struct pti_port *port, struct ptq_msg *loan, const struct pti_put *put, int64_t deadline,
                                uint64_t *ret_position)
{
    enum ptq_err err = via_put(port, put, deadline, ret_position);

    if (err == PTQ_OK)
        via_abort(port, loan);
    return err;
}

/* ---- small questions ---- */

static enum ptq_err via_end(struct pti_port *port)
{
    return ask_value(pti_via_of(port), (struct pti_ask){.verb = PTI_ASK_END}, PTI_DEADLINE_NOW, IN_DOUBT, NULL);
}

static enum ptq_err via_limit(struct pti_port *port, uint64_t limit)
{
    return ask_value(pti_via_of(port), (struct pti_ask){.verb = PTI_ASK_LIMIT, .value = limit}, PTI_DEADLINE_NOW, ASK_AGAIN,
                     NULL);
}

static enum ptq_err via_head(struct pti_port *port, uint64_t *ret_position)
{
    return ask_value(pti_via_of(port), (struct pti_ask){.verb = PTI_ASK_HEAD}, PTI_DEADLINE_NOW, ASK_AGAIN, ret_position);
}

static enum ptq_err via_census(struct pti_port *port, uint64_t position, bool *ret_lost)
{
    uint64_t lost;
    enum ptq_err err = ask_value(pti_via_of(port), (struct pti_ask){.verb = PTI_ASK_CENSUS, .value = position},
                                 PTI_DEADLINE_NOW, ASK_AGAIN, &lost);

    if (err == PTQ_OK)
        *ret_lost = lost != 0;
    return err;
}

static enum ptq_err via_claim(struct pti_port *port, int64_t deadline)
{
    struct pti_via *via = pti_via_of(port);
    enum ptq_err err = ask_value(via, (struct pti_ask){.verb = PTI_ASK_CLAIM}, deadline, ASK_AGAIN, NULL);

    if (err == PTQ_OK) {
        pthread_mutex_lock(&via->mutex);
        via->claimed = true;
        via->claim_lost = false;
        pthread_mutex_unlock(&via->mutex);
    }
    return err;
}

static enum ptq_err via_stats(struct pti_port *port, struct ptq_queue_stats *ret_stats)
{
    struct pti_via_call call = {.ask = {.verb = PTI_ASK_STATS}};
    enum ptq_err err = run(pti_via_of(port), &call, PTI_DEADLINE_NOW, ASK_AGAIN);

    if (err == PTQ_OK && call.size >= sizeof *ret_stats)
        memcpy(ret_stats, call.bytes, sizeof *ret_stats);
    else if (err == PTQ_OK)
        err = PTQ_EPROTO;
    free(call.bytes);
    return err;
}

static enum ptq_err via_purge(struct pti_port *port, uint64_t *ret_count)
{
    return ask_value(pti_via_of(port), (struct pti_ask){.verb = PTI_ASK_PURGE}, PTI_DEADLINE_NOW, IN_DOUBT, ret_count);
}

static enum ptq_err via_pause(struct pti_port *port, bool pause)
{
    return ask_value(pti_via_of(port), (struct pti_ask){.verb = PTI_ASK_PAUSE, .value = pause}, PTI_DEADLINE_NOW, ASK_AGAIN,
                     NULL);
}

static enum ptq_err via_kick(struct pti_port *port, uint64_t max, uint64_t *ret_count)
{
    return ask_value(pti_via_of(port), (struct pti_ask){.verb = PTI_ASK_KICK, .value = max}, PTI_DEADLINE_NOW, IN_DOUBT,
                     ret_count);
}

/* ---- out ---- */

static struct pti_via_message *read_message(struct pti_via *via, const uint8_t *at, size_t size, uint64_t epoch,
                                            size_t *ret_whole)
{
    struct pti_answer_record record;

    if (size < sizeof record)
        return NULL;
    memcpy(&record, at, sizeof record);
    *ret_whole = pti_answer_record_bytes(record.size, record.headers);
    if (*ret_whole > size)
        return NULL;
    struct pti_via_message *message = pti_via_message_new(via, *ret_whole - sizeof record);
    if (message == NULL)
        return NULL;
    memcpy(message->bytes, at + sizeof record, *ret_whole - sizeof record);
    message->lease = record.lease;
    message->epoch = epoch;
    message->msg.size = record.size;
    message->msg.position = record.position;
    message->msg.sub = record.sub;
    message->msg.deliveries = record.deliveries;
    message->msg.type = record.type;
    message->msg.kind = record.kind;
    message->msg.headers = record.headers;
    message->msg.redelivered = record.redelivered;
    message->msg.state = PTI_MSG_LEASED;
    return message;
}

/* All of them, or none: then those go back. */
static enum ptq_err read_messages(struct pti_via *via, const struct pti_via_call *call, uint64_t epoch, struct ptq_msg **msgs,
                                  size_t *ret_count)
{
    const uint8_t *at = call->bytes;
    size_t left = call->size, count = 0;

    while (count < call->count) {
        size_t whole;
        struct pti_via_message *message = read_message(via, at, left, epoch, &whole);
        if (message == NULL)
            break;
        msgs[count++] = &message->msg;
        at += whole;
        left -= whole;
    }
    if (count == call->count) {
        *ret_count = count;
        return PTQ_OK;
    }
    while (count-- > 0)
        (void)!via->port.ops->untake(&via->port, msgs[count]);
    return PTQ_ENOMEM;
}

static bool has_lost_claim(struct pti_via *via)
{
    pthread_mutex_lock(&via->mutex);
    bool lost = via->claim_lost;
    pthread_mutex_unlock(&via->mutex);
    return lost;
}

static uint64_t epoch_now(struct pti_via *via)
{
    pthread_mutex_lock(&via->mutex);
    uint64_t epoch = via->epoch;
    pthread_mutex_unlock(&via->mutex);
    return epoch;
}

static enum ptq_err take(struct pti_port *port, uint16_t flags, size_t max, int64_t deadline, struct ptq_msg **msgs,
                         size_t *ret_count)
{
    struct pti_via *via = pti_via_of(port);
    struct pti_via_call call = {
        .ask = {.verb = PTI_ASK_TAKE, .flags = flags, .value = max < PTI_VIA_TAKE_MOST ? max : PTI_VIA_TAKE_MOST}};
    enum ptq_err err;

    if (has_lost_claim(via) && (err = via_claim(port, PTI_DEADLINE_NOW)) != PTQ_OK)
        return err;
    hush(via, PTQ_SIDE_GET);
    err = run(via, &call, deadline, ASK_AGAIN);
    if (err == PTQ_OK)
        err = read_messages(via, &call, epoch_now(via), msgs, ret_count);
    hear(via, PTQ_SIDE_GET, err);
    free(call.bytes);
    return err;
}

static enum ptq_err via_take(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs, size_t *ret_count)
{
    return take(port, 0, max, deadline, msgs, ret_count);
}

static enum ptq_err via_take_more(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs, size_t *ret_count)
{
    return take(port, PTI_ASK_MORE, max, deadline, msgs, ret_count);
}

/* The bridge that leased it is gone: so is the lease, or it goes soon. */
static bool is_lost(struct pti_via *via, const struct pti_via_message *message)
{
    pthread_mutex_lock(&via->mutex);
    bool lost = message->epoch != via->epoch || !via->connected;
    pthread_mutex_unlock(&via->mutex);
    return lost;
}

static enum ptq_err settle(struct pti_port *port, struct ptq_msg *msg, enum pti_ask_verb verb, int delay_ms)
{
    struct pti_via *via = pti_via_of(port);
    struct pti_via_message *message = (struct pti_via_message *)(void *)msg;
    uint64_t lease = message->lease;
    struct pti_via_call call = {.ask = {.verb = (uint8_t)verb, .value = lease, .delay_ms = delay_ms, .count = 1},
                                .body = &lease,
                                .body_size = sizeof lease};
    bool lost = is_lost(via, message);

    pti_via_message_free(via, message);
    if (lost)
        return PTQ_ELEASELOST;
    enum ptq_err err = run(via, &call, PTI_DEADLINE_NOW, LEASE_LOST);
    free(call.bytes);
    return err == PTQ_EUNREACHABLE ? PTQ_EINDOUBT : err;
}

static enum ptq_err via_ack(struct pti_port *port, struct ptq_msg *msg)
{
    return settle(port, msg, PTI_ASK_ACK, 0);
}

static enum ptq_err via_nack(struct pti_port *port, struct ptq_msg *msg, int delay_ms)
{
    return settle(port, msg, PTI_ASK_NACK, delay_ms);
}

static enum ptq_err via_untake(struct pti_port *port, struct ptq_msg *msg)
{
    return settle(port, msg, PTI_ASK_UNTAKE, 0);
}

#define ACKS_AT_ONCE 512

static enum ptq_err via_ack_many(struct pti_port *port, struct ptq_msg *const *msgs, size_t count, size_t *ret_count)
{
    struct pti_via *via = pti_via_of(port);
    uint64_t leases[ACKS_AT_ONCE];
    struct pti_via_call call = {.ask = {.verb = PTI_ASK_ACK}, .body = leases};
    size_t taken = 0;

    if (is_lost(via, (const struct pti_via_message *)(const void *)msgs[0])) {
        *ret_count = 1;
        return settle(port, msgs[0], PTI_ASK_ACK, 0);
    }
    while (taken < count && taken < ACKS_AT_ONCE && msgs[taken] != NULL && msgs[taken]->port == port &&
           msgs[taken]->state == PTI_MSG_LEASED) {
        struct pti_via_message *message = (struct pti_via_message *)(void *)msgs[taken];
        if (is_lost(via, message))
            break;
        leases[taken++] = message->lease;
        pti_via_message_free(via, message);
    }
    *ret_count = taken;
    call.ask.count = (uint32_t)taken;
    call.body_size = taken * sizeof leases[0];
    enum ptq_err err = run(via, &call, PTI_DEADLINE_NOW, LEASE_LOST);
    free(call.bytes);
    return err == PTQ_EUNREACHABLE ? PTQ_EINDOUBT : err;
}

/* ---- around ---- */

/* Atomics, futexes and write: fit for a signal handler. */
static void rouse(struct pti_via *via)
{
    via->answer->ops->interrupt(via->answer);
    if (via->outbox != NULL) {
        via->outbox->ops->interrupt(via->outbox);
        pti_futex_wake(&via->out.page->words.news, INT32_MAX);
    }
    pti_via_wake(via);
    for (int side = 0; side < 2; side++) {
        struct pti_port *bell = pti_load_acquire(&via->bells[side]);
        if (bell != NULL)
            bell->ops->interrupt(bell);
    }
}

static void via_interrupt(struct pti_port *port)
{
    struct pti_via *via = pti_via_of(port);

    pti_fetch_add_seq(&via->interrupts, 1);
    rouse(via);
}

static void via_explain(struct pti_port *port, enum ptq_err err, char *buffer, size_t size)
{
    struct pti_via *via = pti_via_of(port);

    if (via->outbox != NULL && err != PTQ_EUNREACHABLE && err != PTQ_EINDOUBT)
        pti_via_out_explain(via, err, buffer, size);
    if (err != PTQ_EUNREACHABLE && err != PTQ_EINDOUBT)
        return;
    pthread_mutex_lock(&via->mutex);
    if (via->reason[0] != '\0')
        snprintf(buffer, size, "%s, through the ptqbridge of this host: %.250s", ptq_strerror(err), via->reason);
    pthread_mutex_unlock(&via->mutex);
}

static void wait_for_callers(struct pti_via *via)
{
    uint32_t inside;

    while ((inside = pti_load_seq(&via->inside)) > 0) {
        rouse(via);
        pti_futex_wait(&via->inside, inside, pti_now_ns() + 10 * PTI_NS_PER_MS);
    }
}

static void via_close(struct pti_port *port, int64_t deadline)
{
    struct pti_via *via = pti_via_of(port);
    struct pti_via_call call = {.ask = {.verb = PTI_ASK_CLOSE}};

    pti_store_seq(&via->closing, true);
    wait_for_callers(via);
    pthread_mutex_lock(&via->mutex);
    bool connected = via->connected;
    pthread_mutex_unlock(&via->mutex);
    if (connected)
        (void)!pti_via_run(via, &call, deadline, false);
    free(call.bytes);
    pti_via_free(via);
}

const struct pti_port_ops pti_via_ops = {
    .put = via_put,
    .put_many = via_put_many,
    .loan = via_loan,
    .publish = via_publish,
    .abort = via_abort,
    .place = via_place,
    .end = via_end,
    .take = via_take,
    .take_more = via_take_more,
    .ack = via_ack,
    .ack_many = via_ack_many,
    .nack = via_nack,
    .untake = via_untake,
    .kick = via_kick,
    .limit = via_limit,
    .head = via_head,
    .census = via_census,
    .claim = via_claim,
    .stats = via_stats,
    .purge = via_purge,
    .pause = via_pause,
    .fd = via_fd,
    .watch_begin = via_watch_begin,
    .watch_arm_word = via_watch_arm_word,
    .watch_arm_fd = via_watch_arm_fd,
    .watch_look = via_watch_look,
    .watch_interrupted = via_watch_interrupted,
    .watch_pass = via_watch_pass,
    .watch_end = via_watch_end,
    .interrupt = via_interrupt,
    .explain = via_explain,
    .close = via_close,
};
