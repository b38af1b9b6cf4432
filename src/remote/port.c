/* port.c -- the operations of queue/port.h over a link: each is one call of the channel. */
#define HASH_NONFATAL_OOM 1
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "os/futex.h"
#include "remote/call.h"
#include "remote/pipeline.h"
#include "remote/port.h"

/* Law: whoever has more than one call to make, or looks at the handle behind one, is inside for all of it: who closes the handle waits
 * for those who are inside, and then frees it. */

static bool may_wait(int64_t deadline)
{
    return deadline != PTI_DEADLINE_NOW;
}

/* ---- in ---- */

/* Law: what is in doubt is noted in the handle, so the caller is inside until that is done. */
static enum ptq_err run_put(struct pti_call *call, int64_t deadline, uint64_t *ret_position)
{
    struct pti_remote *remote = call->remote;

    pti_remote_enter(remote);
    enum ptq_err answer = !pti_call_fits(call) ? PTQ_ETOOBIG : pti_doubt_look(call, call->puts[0].retry);
    if (answer == PTQ_OK) {
        answer = pti_call_run(&call, deadline, may_wait(deadline));
        answer = pti_doubt_judge(call, answer);
        if (answer == PTQ_OK && ret_position != NULL)
            *ret_position = call->value;
    }
    pti_call_free(call);
    pti_remote_leave(remote);
    return answer;
}

static enum ptq_err put_many(struct pti_remote *remote, const struct pti_put *puts, size_t count, int64_t deadline,
                             uint64_t *ret_position)
{
    enum ptq_err flushed = pti_pipeline_flush(remote, deadline); /* order stays */

    if (flushed != PTQ_OK)
        return flushed;
    struct pti_call *call = pti_call_for_put(remote, puts, count, deadline);

    if (call == NULL)
        return PTQ_ENOMEM;
    return run_put(call, deadline, ret_position);
}

static enum ptq_err remote_put_many(struct pti_port *port, const struct pti_put *puts, size_t count, int64_t deadline,
                                    uint64_t *ret_position)
{
    struct pti_remote *remote = pti_remote_of(port);

    pti_remote_enter(remote);
    enum ptq_err answer = put_many(remote, puts, count, deadline, ret_position);
    pti_remote_leave(remote);
    return answer;
}

static enum ptq_err remote_put(struct pti_port *port, const struct pti_put *put, int64_t deadline,
                               uint64_t *ret_position)
{
    struct pti_remote *remote = pti_remote_of(port);
    enum ptq_err answer;

    pti_remote_enter(remote);
    if (!pti_pipeline_takes(remote, put)) {
        answer = put_many(remote, put, 1, deadline, ret_position);
    } else {
        answer = pti_pipeline_put(remote, put, deadline);
        if (answer == PTQ_OK && ret_position != NULL)
            *ret_position = 0;
    }
    pti_remote_leave(remote);
    return answer;
}

static enum ptq_err remote_place(struct pti_port *port, uint64_t position, const struct pti_put *put, int64_t deadline)
{
    struct pti_call *call = pti_call_new(pti_remote_of(port), PTI_FRAME_PLACE);

    if (call == NULL)
        return PTQ_ENOMEM;
    pti_write_place_head(call->head, position, 0);
    pti_call_set_head(call, PTI_PLACE_HEAD, 8);
    pti_call_set_puts(call, put, 1);
    return run_put(call, deadline, NULL);
}

/* A loan is memory of this process; it meets the queue when it is published. */
static enum ptq_err remote_loan(struct pti_port *port, uint32_t size, int64_t deadline, struct ptq_msg **ret_loan)
{
    struct pti_remote *remote = pti_remote_of(port);
    (void)deadline;

    pthread_mutex_lock(&remote->conn->mutex);
    struct pti_message *message = pti_message_new(remote, size);
    pthread_mutex_unlock(&remote->conn->mutex);
    if (message == NULL)
        return PTQ_ENOMEM;
    message->msg.state = PTI_MSG_LOANED;
    *ret_loan = &message->msg;
    return PTQ_OK;
}

static void free_message(struct pti_remote *remote, struct ptq_msg *msg)
{
    pthread_mutex_lock(&remote->conn->mutex);
    pti_message_free(remote, pti_message_of(msg));
    pthread_mutex_unlock(&remote->conn->mutex);
}

static enum ptq_err remote_publish(struct pti_port *port, struct ptq_msg *loan, const struct pti_put *put, int64_t deadline,
                                   uint64_t *ret_position)
{
    struct pti_remote *remote = pti_remote_of(port);

    pti_remote_enter(remote);
    enum ptq_err answer = remote_put(port, put, deadline, ret_position);
    if (answer == PTQ_OK)
        free_message(remote, loan);
    pti_remote_leave(remote);
    return answer;
}

static void remote_abort(struct pti_port *port, struct ptq_msg *loan)
{
    free_message(pti_remote_of(port), loan);
}

/* ---- small questions ---- */

static enum ptq_err ask_home(struct pti_port *port, enum pti_call_verb verb, uint64_t value, int64_t deadline,
                             uint64_t *ret_value)
{
    struct pti_call *call = pti_call_new(pti_remote_of(port), PTI_FRAME_CALL);

    if (call == NULL)
        return PTQ_ENOMEM;
    call->verb = (uint8_t)verb;
    pti_write_call(call->head, &(struct pti_call_message){verb, 0, value});
    pti_call_set_head(call, PTI_CALL_BYTES, 4);
    enum ptq_err answer = pti_call_run(&call, deadline, may_wait(deadline));
    if (answer == PTQ_OK && ret_value != NULL)
        *ret_value = call->value;
    pti_call_free(call);
    return answer;
}

static enum ptq_err remote_flush(struct pti_port *port, int64_t deadline)
{
    return pti_pipeline_flush(pti_remote_of(port), deadline);
}

static enum ptq_err remote_end(struct pti_port *port)
{
    struct pti_remote *remote = pti_remote_of(port);

    pti_remote_enter(remote);
    enum ptq_err answer = pti_pipeline_flush(remote, PTI_DEADLINE_NOW);
    if (answer == PTQ_OK || answer == PTQ_EENDED)
        answer = ask_home(port, PTI_CALL_END, 0, PTI_DEADLINE_NOW, NULL);
    pti_remote_leave(remote);
    return answer;
}

static enum ptq_err remote_purge(struct pti_port *port, uint64_t *ret_count)
{
    return ask_home(port, PTI_CALL_PURGE, 0, PTI_DEADLINE_NOW, ret_count);
}

static enum ptq_err remote_pause(struct pti_port *port, bool pause)
{
    return ask_home(port, PTI_CALL_PAUSE, pause, PTI_DEADLINE_NOW, NULL);
}

static enum ptq_err remote_kick(struct pti_port *port, uint64_t max, uint64_t *ret_count)
{
    return ask_home(port, PTI_CALL_KICK, max, PTI_DEADLINE_NOW, ret_count);
}

static enum ptq_err remote_limit(struct pti_port *port, uint64_t limit)
{
    return ask_home(port, PTI_CALL_LIMIT, limit, PTI_DEADLINE_NOW, NULL);
}

static enum ptq_err remote_head(struct pti_port *port, uint64_t *ret_position)
{
    return ask_home(port, PTI_CALL_HEAD, 0, PTI_DEADLINE_NOW, ret_position);
}

static enum ptq_err remote_census(struct pti_port *port, uint64_t position, bool *ret_lost)
{
    uint64_t lost;
    enum ptq_err answer = ask_home(port, PTI_CALL_CENSUS, position, PTI_DEADLINE_NOW, &lost);

    if (answer == PTQ_OK)
        *ret_lost = lost != 0;
    return answer;
}

static enum ptq_err remote_claim(struct pti_port *port, int64_t deadline)
{
    enum ptq_err answer = ask_home(port, PTI_CALL_CLAIM, 0, deadline, NULL);

    return answer == PTQ_TIMEDOUT ? PTQ_EBUSY : answer;
}

static enum ptq_err remote_stats(struct pti_port *port, struct ptq_queue_stats *ret_stats)
{
    struct ptq_queue_stats stats;
    struct pti_call *call = pti_call_new(pti_remote_of(port), PTI_FRAME_STATS);

    if (call == NULL)
        return PTQ_ENOMEM;
    call->stats = &stats;
    enum ptq_err answer = pti_call_run(&call, PTI_DEADLINE_NOW, false);
    if (answer == PTQ_OK)
        *ret_stats = stats;
    pti_call_free(call);
    return answer;
}

/* ---- out ---- */

static bool has_lost_claim(struct pti_remote *remote)
{
    pthread_mutex_lock(&remote->conn->mutex);
    bool lost = remote->claim_lost;
    pthread_mutex_unlock(&remote->conn->mutex);
    return lost;
}

static enum ptq_err take_once(struct pti_remote *remote, bool more, uint32_t max, int64_t deadline, struct ptq_msg **msgs,
                              size_t *ret_count)
{
    struct pti_call *call = pti_call_new(remote, PTI_FRAME_TAKE);

    if (call == NULL)
        return PTQ_ENOMEM;
    call->max = max;
    call->msgs = msgs;
    pti_write_take(call->head, &(struct pti_take){.max = max, .more = more});
    pti_call_set_head(call, PTI_TAKE_BYTES, 4);
    enum ptq_err answer = pti_call_run(&call, deadline, may_wait(deadline));
    if (answer == PTQ_OK)
        *ret_count = call->got;
    pti_call_free(call);
    return answer;
}

/* The exclusive right to get ends with the session at the home: it is claimed again before anything is taken. */
static enum ptq_err take_inside(struct pti_remote *remote, bool more, uint32_t most, int64_t deadline, struct ptq_msg **msgs,
                                size_t *ret_count)
{
    enum ptq_err answer;

    do {
        if (has_lost_claim(remote) && (answer = remote_claim(&remote->port, PTI_DEADLINE_NOW)) != PTQ_OK)
            return answer;
        answer = take_once(remote, more, most, deadline, msgs, ret_count);
        if (answer == PTQ_EMPTY && !pti_pipeline_is_empty(remote) && pti_pipeline_flush(remote, PTI_DEADLINE_NOW) == PTQ_OK)
            answer = take_once(remote, more, most, deadline, msgs, ret_count);
    } while (answer == PTQ_EAGAIN && has_lost_claim(remote));
    return answer;
}

static enum ptq_err take(struct pti_port *port, bool more, size_t max, int64_t deadline, struct ptq_msg **msgs,
                         size_t *ret_count)
{
    struct pti_remote *remote = pti_remote_of(port);

    pti_remote_enter(remote);
    enum ptq_err answer = take_inside(remote, more, max < INT32_MAX ? (uint32_t)max : INT32_MAX, deadline, msgs, ret_count);
    pti_remote_leave(remote);
    return answer;
}

static enum ptq_err remote_take(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs, size_t *ret_count)
{
    return take(port, false, max, deadline, msgs, ret_count);
}

static enum ptq_err remote_take_more(struct pti_port *port, size_t max, int64_t deadline, struct ptq_msg **msgs, size_t *ret_count)
{
    return take(port, true, max, deadline, msgs, ret_count);
}

/* ---- around ---- */

static void remote_explain(struct pti_port *port, enum ptq_err err, char *buffer, size_t size)
{
    struct pti_remote *remote = pti_remote_of(port);
    struct pti_conn *conn = remote->conn;

    pthread_mutex_lock(&conn->mutex);
    if (err == PTQ_EUNREACHABLE || err == PTQ_EINDOUBT)
        snprintf(buffer, size, "%s, at %s%s%.200s", ptq_strerror(err), conn->url, conn->reason[0] != '\0' ? ": " : "",
                 conn->reason);
    else if (err != PTQ_OK && err == remote->said)
        snprintf(buffer, size, "%s", remote->said_text);
    pthread_mutex_unlock(&conn->mutex);
}

/* ---- close ---- */

static void wait_for_callers(struct pti_remote *remote)
{
    uint32_t inside;

    while ((inside = pti_load_seq(&remote->inside)) > 0)
        pti_futex_wait(&remote->inside, inside,
                       pti_now_ns() + 10 * PTI_NS_PER_MS); /* one may have gone before this look */
}

/* The last call of the channel; it goes past the door that is closed for others. */
static bool close_channel(struct pti_remote *remote)
{
    struct pti_conn *conn = remote->conn;
    struct pti_call *call = pti_call_new(remote, PTI_FRAME_CLOSE);

    if (call == NULL)
        return false;
    pthread_mutex_lock(&conn->mutex);
    bool told = conn->state == PTI_CONN_UP && remote->state == PTI_REMOTE_OPEN;
    if (told)
        pti_store_seq(&remote->closing, false);
    pthread_mutex_unlock(&conn->mutex);
    if (told)
        told = pti_call_run(&call, PTI_DEADLINE_NOW, false) == PTQ_OK; /* until close_by */
    pti_call_free(call);
    return told;
}

void pti_remote_close(struct pti_remote *remote, int64_t deadline)
{
    struct pti_conn *conn = remote->conn;

    int64_t most = pti_now_ns() + PTI_LINK_DEADLINE_MS * PTI_NS_PER_MS;
    (void)!pti_pipeline_flush(remote, deadline < most ? deadline : most);
    pthread_mutex_lock(&conn->mutex);
    remote->close_by = deadline < most ? deadline : most;
    pti_store_seq(&remote->closing, true);
    pti_remote_wake(remote);
    pti_remote_set_events(remote);
    pthread_mutex_unlock(&conn->mutex);
    wait_for_callers(remote);
    pti_pipeline_shut(remote);
    pthread_mutex_lock(&conn->mutex);
    bool must_break = pti_remote_stop_started(remote);
    pthread_mutex_unlock(&conn->mutex);
    if (must_break)
        pti_conn_break(conn, "a handle was closed in the middle of a message");
    bool told = remote->bare || remote->keeps_stream || (!must_break && close_channel(remote));
    pthread_mutex_lock(&conn->mutex);
    pti_conn_leave(conn, remote, told);
    pti_remote_fini(remote);
    pthread_mutex_unlock(&conn->mutex);
    free(remote);
    pti_conn_drop(conn, deadline);
}

static void remote_close(struct pti_port *port, int64_t deadline)
{
    pti_remote_close(pti_remote_of(port), deadline);
}

static bool remote_stay(struct pti_port *port)
{
    pti_remote_enter(pti_remote_of(port));
    return true; /* each call sees for itself that it is being closed */
}

static void remote_go(struct pti_port *port) { pti_remote_leave(pti_remote_of(port)); }

const struct pti_port_ops pti_remote_ops = {
    .fast_put = pti_pipeline_fast_put,
    .stay = remote_stay,
    .go = remote_go,
    .put = remote_put,
    .put_many = remote_put_many,
    .loan = remote_loan,
    .publish = remote_publish,
    .abort = remote_abort,
    .place = remote_place,
    .flush = remote_flush,
    .end = remote_end,
    .take = remote_take,
    .take_more = remote_take_more,
    .ack = pti_remote_ack,
    .nack = pti_remote_nack,
    .untake = pti_remote_untake,
    .limit = remote_limit,
    .head = remote_head,
    .census = remote_census,
    .claim = remote_claim,
    .stats = remote_stats,
    .purge = remote_purge,
    .kick = remote_kick,
    .pause = remote_pause,
    .fd = pti_remote_fd,
    .watch_begin = pti_remote_watch_begin,
    .watch_arm_word = pti_remote_watch_arm_word,
    .watch_arm_fd = pti_remote_watch_arm_fd,
    .watch_look = pti_remote_watch_look,
    .watch_interrupted = pti_remote_watch_interrupted,
    .watch_pass = pti_remote_watch_pass,
    .watch_end = pti_remote_watch_end,
    .interrupt = pti_remote_interrupt,
    .explain = remote_explain,
    .close = remote_close,
};
