/* request.c -- what is asked of a queue here, one request at a time: tried, made to wait, answered. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "remote/server.h"
#include "remote/share.h"
#include "remote/step.h"
#include "base/bytes.h"

/* ---- scratch ---- */

bool pti_make_room(void **array, size_t *room, size_t count, size_t size)
{
    if (count <= *room)
        return true;
    void *grown = realloc(*array, count * size);
    if (grown == NULL)
        return false;
    *array = grown;
    *room = count;
    return true;
}

/* ---- answers ---- */

static struct pti_requests *list_of(struct pti_request *request)
{
    struct pti_channel *channel = request->channel;

    return request->starved > 0              ? &channel->starved
           : request->type == PTI_FRAME_TAKE || request->type == PTI_FRAME_AWAIT ? &channel->takes
           : request->type == PTI_FRAME_CALL ? &channel->claims
                                             : &channel->puts;
}

static void stop_waiting(struct pti_request *request)
{
    struct pti_channel *channel = request->channel;

    if (request->state == PTI_REQUEST_WAITING) {
        TAILQ_REMOVE(list_of(request), request, waiting);
        channel->session->server->starving -= request->starved > 0;
    }
    request->state = PTI_REQUEST_DONE;
    if (request->payload_size > 0) {
        channel->buffered -= request->payload_size;
        pti_server_count_bytes(channel->session, 0, request->payload_size);
        pti_channel_grant(channel);
    }
    pti_large_drop(request);
    free(request->payload);
    request->payload = NULL;
    request->payload_size = 0;
}

void pti_request_because(struct pti_request *request, const char *why)
{
    free(request->why);
    request->why = strdup(why); /* without memory it is the bare code */
}

static void forget_why(struct pti_request *request)
{
    free(request->why);
    request->why = NULL;
}

/* An ERROR of this number, in place of a RESULT. */
static void say_why(struct pti_request *request)
{
    struct pti_error_message error = {.code = (enum ptq_err)request->code};
    uint8_t bytes[PTI_CONTROL_BYTES];

    snprintf(error.text, sizeof error.text, "%s", request->why);
    pti_guest_push(request->channel->session->guest, &request->channel->lane, PTI_FRAME_ERROR, 0, request->number, bytes,
                   pti_error_pack(&error, bytes, sizeof bytes));
}

/* Says what is known; while the session is down it is kept, and asked for again. */
void pti_request_answer(struct pti_request *request)
{
    struct pti_channel *channel = request->channel;
    struct pti_guest *guest = channel->session->guest;

    if (guest == NULL) {
        forget_why(request);
        return;
    }
    pti_guest_touch(guest);
    if (request->lease_count > 0)
        pti_request_say_messages(request);
    else if (request->why != NULL)
        say_why(request);
    else if (!pti_outbox_push_result(&guest->outbox, &channel->lane, request->number, request->code, request->value))
        pti_guest_doom(guest, "no memory for an answer");
    forget_why(request);
    pti_step(PTI_STEP_ANSWERED);
}

/* The first that was not done, for whatever reason, stops those behind it until the far side begins anew. */
static void note_undone(struct pti_request *request)
{
    struct pti_channel *channel = request->channel;

    if (request->chained && (channel->undone == 0 || request->number < channel->undone))
        channel->undone = request->number;
}

bool pti_request_is_behind(struct pti_request *request)
{
    uint64_t undone = request->channel->undone;

    if (!request->chained || undone == 0 || request->number <= undone)
        return false;
    pti_request_finish(request, PTI_RESULT_BEHIND, 0);
    return true;
}

/* What was not done need not be remembered: it may be asked again under the same number. */
void pti_request_finish(struct pti_request *request, uint32_t code, uint64_t value)
{
    stop_waiting(request);
    if (code != PTQ_OK)
        note_undone(request);
    request->code = code;
    request->value = value;
    pti_request_answer(request);
    if (code == PTI_RESULT_RETRY)
        pti_request_free(request);
}

void pti_request_free(struct pti_request *request)
{
    struct pti_channel *channel = request->channel;

    stop_waiting(request);
    if (channel->session->guest != NULL)
        pti_outbox_drop(&channel->session->guest->outbox, &channel->lane, &request->out);
    for (uint32_t i = 0; i < request->lease_count; i++) {
        if (request->leases[i] != NULL)
            request->leases[i]->request = NULL;
    }
    TAILQ_REMOVE(&channel->requests, request, listed);
    channel->request_count--;
    free(request->leases);
    free(request->await);
    free(request->why);
    free(request);
}

/* ---- waiting ---- */

int64_t pti_request_deadline(uint32_t timeout)
{
    if (timeout == 0)
        return PTI_DEADLINE_NOW;
    return timeout == PTI_TIMEOUT_NEVER ? PTI_DEADLINE_NEVER : pti_now_ns() + timeout * PTI_NS_PER_MS;
}

void pti_request_wait(struct pti_request *request, enum ptq_side side)
{
    struct pti_channel *channel = request->channel;
    struct pti_server *server = channel->session->server;

    if (server->draining) {
        pti_request_finish(request, PTI_RESULT_RETRY, 0);
        return;
    }
    request->state = PTI_REQUEST_WAITING;
    TAILQ_INSERT_TAIL(list_of(request), request, waiting);
    if (request->deadline != PTI_DEADLINE_NEVER)
        pti_server_remind(server, request->deadline);
    if (request->starved > 0) {
        note_undone(request);
        server->starving++;
        return;
    }
    if (request->type == PTI_FRAME_CALL)
        pti_server_remind(server, pti_now_ns());
    pti_channel_arm(channel, side);
}

/* ---- small questions ---- */

static enum ptq_err serve_call(struct pti_request *request, const uint8_t *payload, size_t size,
                               const char **ret_reason)
{
    struct pti_port *port = request->channel->port;
    struct pti_call_message call;
    uint64_t value = 0;
    bool lost = false;
    enum ptq_err answer = PTQ_EINVAL;

    if (pti_read_call(payload, size, &call) != PTQ_OK)
        return pti_refuse(ret_reason, "a CALL makes no sense");
    switch (call.verb) {
    case PTI_CALL_END:
        answer = port->ops->end(port);
        break;
    case PTI_CALL_LIMIT:
        answer = port->ops->limit(port, call.value);
        break;
    case PTI_CALL_HEAD:
        answer = port->ops->head(port, &value);
        break;
    case PTI_CALL_CENSUS:
        answer = port->ops->census(port, call.value, &lost);
        value = lost;
        break;
    case PTI_CALL_CLAIM:
        answer = port->ops->claim(port, PTI_DEADLINE_NOW);
        break;
    case PTI_CALL_PURGE:
        if (port->window == 0 && !port->placed)
            answer = port->ops->purge(port, &value);
        break;
    case PTI_CALL_PAUSE:
        answer = port->ops->pause(port, call.value != 0);
        break;
    case PTI_CALL_KICK:
        answer = port->ops->kick(port, call.value, &value);
        break;
    }
    request->deadline = pti_request_deadline(call.timeout);
    if (call.verb == PTI_CALL_CLAIM && answer == PTQ_EBUSY && request->deadline != PTI_DEADLINE_NOW)
        pti_request_wait(request, PTQ_SIDE_GET);
    else
        pti_request_finish(request, answer, value);
    return PTQ_OK;
}

static bool is_batch(const struct pti_request *request)
{
    return request->type == PTI_FRAME_PUT && request->loan == NULL && pti_fetch32(request->payload) > 1;
}

/* PTQ_EMPTY: there is nothing more for others that wait likewise. */
enum ptq_err pti_request_try(struct pti_request *request)
{
    struct pti_port *port = request->channel->port;
    uint64_t value = 0;
    enum ptq_err answer;

    if (pti_request_is_behind(request))
        return PTQ_OK;
    if (request->type == PTI_FRAME_TAKE) {
        answer = pti_leave_try(request);
        value = request->lease_count;
    } else if (request->type == PTI_FRAME_AWAIT) {
        answer = pti_share_home_try(request, &value);
        if (answer == PTQ_EMPTY)
            return PTQ_FULL; /* others wait for something else */
    } else if (request->type == PTI_FRAME_CALL) {
        answer = port->ops->claim(port, PTI_DEADLINE_NOW);
    } else if (request->loan != NULL) {
        answer = pti_large_try(request, &value);
    } else {
        answer = pti_enter_try(request, request->payload, request->payload_size, &value);
    }
    if (answer == PTQ_FULL)
        return is_batch(request) ? PTQ_FULL : PTQ_EMPTY;
    if (answer == PTQ_EMPTY || (answer == PTQ_EBUSY && request->type == PTI_FRAME_CALL))
        return PTQ_EMPTY;
    pti_request_finish(request, answer, value);
    return PTQ_OK;
}

/* ---- rights ---- */

static unsigned right_to_call(const uint8_t *payload, size_t size)
{
    struct pti_call_message call;

    if (pti_read_call(payload, size, &call) != PTQ_OK)
        return PTI_RIGHTS_ALL; /* it makes no sense, and is answered so */
    switch (call.verb) {
    case PTI_CALL_END:
        return PTQ_RIGHT_PUT;
    case PTI_CALL_LIMIT:
    case PTI_CALL_CLAIM:
        return PTQ_RIGHT_GET;
    case PTI_CALL_HEAD:
    case PTI_CALL_CENSUS:
        return PTI_RIGHTS_ALL; /* a look */
    default:
        return PTQ_RIGHT_ADMIN;
    }
}

/* What is leased may be settled, whatever has become of the rules since. */
static bool may_ask(struct pti_request *request, const uint8_t *payload, size_t size)
{
    struct ptq_error error = {0};
    unsigned right;

    switch (request->type) {
    case PTI_FRAME_PUT:
    case PTI_FRAME_PLACE:
        right = PTQ_RIGHT_PUT;
        break;
    case PTI_FRAME_TAKE:
        right = PTQ_RIGHT_GET;
        break;
    case PTI_FRAME_AWAIT:
        right = (request->channel->rights & PTQ_RIGHT_GET) != 0 ? PTQ_RIGHT_GET : PTQ_RIGHT_PEEK;
        break;
    case PTI_FRAME_CALL:
        right = right_to_call(payload, size);
        break;
    default:
        return true;
    }
    if (pti_channel_may(request->channel, right, &error))
        return true;
    pti_request_because(request, error.text);
    return false;
}

/* ---- all of them ---- */

enum ptq_err pti_request_serve(struct pti_request *request, const uint8_t *payload, size_t size,
                               const char **ret_reason)
{
    bool new_work = request->type == PTI_FRAME_PUT || request->type == PTI_FRAME_TAKE || request->type == PTI_FRAME_AWAIT;

    if (!may_ask(request, payload, size)) {
        pti_request_finish(request, PTQ_EPERM, 0);
        return PTQ_OK;
    }
    if (new_work && request->channel->session->server->draining) {
        pti_request_finish(request, PTI_RESULT_RETRY, 0);
        return PTQ_OK;
    }
    switch (request->type) {
    case PTI_FRAME_PUT:
    case PTI_FRAME_PLACE:
        return pti_enter_serve(request, payload, size, ret_reason);
    case PTI_FRAME_TAKE:
        return pti_leave_serve(request, payload, size, ret_reason);
    case PTI_FRAME_AWAIT:
        return pti_share_home_await(request, payload, size, ret_reason);
    case PTI_FRAME_SETTLE:
        return pti_leave_settle(request, payload, size, ret_reason);
    default:
        return serve_call(request, payload, size, ret_reason);
    }
}
