/* port.c -- the operations of queue/port.h through the bridge: each is one request. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "os/futex.h"
#include "remote/via/out.h"
#include "remote/via/verbs.h"

#define FLUSH_NS (3 * PTI_NS_PER_S) /* what is gathered is waited for at close */

/* ---- in ---- */

static enum ptq_err put_inside(struct pti_via *via, struct pti_via_call *call, int64_t deadline, uint64_t *ret_position)
{
    enum ptq_err err = pti_via_doubt_look(via, call, call->puts[0].retry);
    bool resumes = (call->ask.flags & PTI_ASK_AGAIN) != 0;

    if (err != PTQ_OK)
        return err;
    pti_via_hush(via, PTQ_SIDE_PUT);
    err = pti_via_call(via, call, deadline, PTI_VIA_BY_KEY);
    err = pti_via_doubt_judge(via, call, resumes, err);
    pti_via_hear(via, PTQ_SIDE_PUT, err);
    if (err == PTQ_OK && ret_position != NULL)
        *ret_position = call->value;
    free(call->bytes);
    return err;
}

static enum ptq_err run_put(struct pti_via *via, struct pti_via_call *call, int64_t deadline, uint64_t *ret_position)
{
    enum ptq_err err = PTQ_EINTR;

    if (pti_via_enter(via))
        err = put_inside(via, call, deadline, ret_position);
    pti_via_leave(via);
    return err;
}

static enum ptq_err via_put_many(struct pti_port *port, const struct pti_put *puts, size_t count, int64_t deadline,
                                 uint64_t *ret_position)
{
    struct pti_via *via = pti_via_of(port);
    struct pti_via_call call = {.ask = {.verb = PTI_ASK_PUT, .count = (uint32_t)count}, .puts = puts};
    enum ptq_err err = pti_via_enter(via) ? pti_via_pipe_flush(via, deadline) : PTQ_EINTR; /* order stays */

    if (err == PTQ_OK)
        err = run_put(via, &call, deadline, ret_position);
    pti_via_leave(via);
    return err;
}

static enum ptq_err via_put(struct pti_port *port, const struct pti_put *put, int64_t deadline, uint64_t *ret_position)
{
    if (!pti_via_pipe_takes(pti_via_of(port), put))
        return via_put_many(port, put, 1, deadline, ret_position);
    enum ptq_err err = pti_via_pipe_put(pti_via_of(port), put, deadline);
    if (err == PTQ_OK && ret_position != NULL)
        *ret_position = 0;
    return err;
}

static enum ptq_err via_flush(struct pti_port *port, int64_t deadline)
{
    return pti_via_pipe_flush(pti_via_of(port), deadline);
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
    struct pti_via *via = pti_via_of(port);
    enum ptq_err err = pti_via_enter(via) ? via_put(port, put, deadline, ret_position) : PTQ_EINTR;

    if (err == PTQ_OK)
        via_abort(port, loan);
    pti_via_leave(via);
    return err;
}

/* ---- small questions ---- */

static enum ptq_err via_end(struct pti_port *port)
{
    struct pti_via *via = pti_via_of(port);
    enum ptq_err err = pti_via_enter(via) ? pti_via_pipe_flush(via, PTI_DEADLINE_NOW) : PTQ_EINTR;

    if (err == PTQ_OK || err == PTQ_EENDED)
        err = pti_via_ask_value(via, (struct pti_ask){.verb = PTI_ASK_END}, PTI_DEADLINE_NOW, PTI_VIA_IN_DOUBT, NULL);
    pti_via_leave(via);
    return err;
}

static enum ptq_err via_limit(struct pti_port *port, uint64_t limit)
{
    return pti_via_ask_value(pti_via_of(port), (struct pti_ask){.verb = PTI_ASK_LIMIT, .value = limit}, PTI_DEADLINE_NOW, PTI_VIA_ASK_AGAIN,
                     NULL);
}

static enum ptq_err via_head(struct pti_port *port, uint64_t *ret_position)
{
    return pti_via_ask_value(pti_via_of(port), (struct pti_ask){.verb = PTI_ASK_HEAD}, PTI_DEADLINE_NOW, PTI_VIA_ASK_AGAIN, ret_position);
}

static enum ptq_err via_census(struct pti_port *port, uint64_t position, bool *ret_lost)
{
    uint64_t lost;
    enum ptq_err err = pti_via_ask_value(pti_via_of(port), (struct pti_ask){.verb = PTI_ASK_CENSUS, .value = position},
                                 PTI_DEADLINE_NOW, PTI_VIA_ASK_AGAIN, &lost);

    if (err == PTQ_OK)
        *ret_lost = lost != 0;
    return err;
}

enum ptq_err pti_via_claim(struct pti_port *port, int64_t deadline)
{
    struct pti_via *via = pti_via_of(port);
    enum ptq_err err = PTQ_EINTR;

    if (pti_via_enter(via))
        err = pti_via_ask_value(via, (struct pti_ask){.verb = PTI_ASK_CLAIM}, deadline, PTI_VIA_ASK_AGAIN, NULL);
    if (err == PTQ_OK) {
        pthread_mutex_lock(&via->mutex);
        via->claimed = true;
        via->claim_lost = false;
        pthread_mutex_unlock(&via->mutex);
    }
    pti_via_leave(via);
    return err;
}

static enum ptq_err via_stats(struct pti_port *port, struct ptq_queue_stats *ret_stats)
{
    struct pti_via_call call = {.ask = {.verb = PTI_ASK_STATS}};
    enum ptq_err err = pti_via_call(pti_via_of(port), &call, PTI_DEADLINE_NOW, PTI_VIA_ASK_AGAIN);

    if (err == PTQ_OK && call.size >= sizeof *ret_stats)
        memcpy(ret_stats, call.bytes, sizeof *ret_stats);
    else if (err == PTQ_OK)
        err = PTQ_EPROTO;
    free(call.bytes);
    return err;
}

static enum ptq_err via_purge(struct pti_port *port, uint64_t *ret_count)
{
    return pti_via_ask_value(pti_via_of(port), (struct pti_ask){.verb = PTI_ASK_PURGE}, PTI_DEADLINE_NOW, PTI_VIA_IN_DOUBT, ret_count);
}

static enum ptq_err via_pause(struct pti_port *port, bool pause)
{
    return pti_via_ask_value(pti_via_of(port), (struct pti_ask){.verb = PTI_ASK_PAUSE, .value = pause}, PTI_DEADLINE_NOW, PTI_VIA_ASK_AGAIN,
                     NULL);
}

static enum ptq_err via_kick(struct pti_port *port, uint64_t max, uint64_t *ret_count)
{
    return pti_via_ask_value(pti_via_of(port), (struct pti_ask){.verb = PTI_ASK_KICK, .value = max}, PTI_DEADLINE_NOW, PTI_VIA_IN_DOUBT,
                     ret_count);
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
    int64_t most = pti_now_ns() + FLUSH_NS;

    (void)!pti_via_pipe_flush(via, deadline < most ? deadline : most);
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

static bool via_stay(struct pti_port *port)
{
    if (pti_via_enter(pti_via_of(port)))
        return true;
    pti_via_leave(pti_via_of(port));
    return false;
}

static void via_go(struct pti_port *port) { pti_via_leave(pti_via_of(port)); }

const struct pti_port_ops pti_via_ops = {
    .stay = via_stay,
    .go = via_go,
    .put = via_put,
    .put_many = via_put_many,
    .loan = via_loan,
    .publish = via_publish,
    .abort = via_abort,
    .place = via_place,
    .end = via_end,
    .flush = via_flush,
    .take = pti_via_take,
    .take_more = pti_via_take_more,
    .ack = pti_via_ack,
    .ack_many = pti_via_ack_many,
    .nack = pti_via_nack,
    .untake = pti_via_untake,
    .kick = via_kick,
    .limit = via_limit,
    .head = via_head,
    .census = via_census,
    .claim = pti_via_claim,
    .stats = via_stats,
    .purge = via_purge,
    .pause = via_pause,
    .fd = pti_via_fd,
    .watch_begin = pti_via_watch_begin,
    .watch_arm_word = pti_via_watch_arm_word,
    .watch_arm_fd = pti_via_watch_arm_fd,
    .watch_look = pti_via_watch_look,
    .watch_interrupted = pti_via_watch_interrupted,
    .watch_pass = pti_via_watch_pass,
    .watch_end = pti_via_watch_end,
    .interrupt = via_interrupt,
    .explain = via_explain,
    .close = via_close,
};
