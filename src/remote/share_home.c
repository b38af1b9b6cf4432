/* share_home.c -- shares and logs at their home: a channel's port takes changes as puts; looks and waits are answered beside it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/time.h"
#include "os/watch.h"
#include "remote/server.h"
#include "remote/share.h"
#include "remote/step.h"

#define RIGHTS_TO_LOOK (PTQ_RIGHT_GET | PTQ_RIGHT_PEEK)

struct home {
    struct pti_port port; /* first */
    struct pti_channel *channel;
    ptq_share *share;
    struct pti_waiter *waiter; /* NULL: nobody waited yet */
};

static struct home *home_of(struct pti_port *port) { return (struct home *)(void *)port; }

/* ---- the port */

/* A right that the verb of a change needs beside that to put. */
static bool may(const struct pti_channel *channel, const struct pti_share_ask *ask)
{
    if (ask->verb == PTI_SHARE_CLEAR)
        return (channel->rights & PTQ_RIGHT_ADMIN) != 0;
    return !ask->wants || (channel->rights & RIGHTS_TO_LOOK) != 0;
}

/* Law: what may have been done, and nobody can tell, is not done. */
static enum ptq_err home_put(struct pti_port *port, const struct pti_put *put, int64_t deadline, uint64_t *ret_value)
{
    struct home *home = home_of(port);
    struct pti_share_ask ask;

    (void)deadline;
    if (pti_read_share_ask(put->data, put->size, &ask) != PTQ_OK || !pti_share_is_change(ask.verb) ||
        (put->kind & ~PTI_KIND_AGAIN) != PTI_KIND_DATA)
        return PTQ_EPROTO;
    if (put->kind & PTI_KIND_AGAIN)
        return PTQ_EINDOUBT;
    if (!may(home->channel, &ask))
        return PTQ_EPERM;
    return pti_share_do_change(home->share, &ask, ret_value);
}

static enum ptq_err home_put_many(struct pti_port *port, const struct pti_put *puts, size_t count, int64_t deadline, uint64_t *ret_position)
{
    (void)port, (void)puts, (void)count, (void)deadline, (void)ret_position;
    return PTQ_EPROTO; /* each change is answered by itself */
}

static enum ptq_err home_fd(struct pti_port *port, enum ptq_side side, int *ret_fd)
{
    struct home *home = home_of(port);

    if (side != PTQ_SIDE_GET)
        return PTQ_EINVAL;
    if (home->waiter == NULL)
        home->waiter = pti_share_waiter(home->share);
    if (home->waiter == NULL)
        return PTQ_EAGAIN;
    *ret_fd = pti_waiter_fd(home->waiter);
    return PTQ_OK;
}

static void home_close(struct pti_port *port, int64_t deadline)
{
    struct home *home = home_of(port);

    (void)deadline;
    pti_waiter_free(home->waiter);
    ptq_share_close(home->share);
    free(home);
}

static const struct pti_port_ops home_ops = {.put = home_put, .put_many = home_put_many, .fd = home_fd, .close = home_close};

enum ptq_err pti_share_home_open(ptq_bus *bus, const char *here, const struct pti_open_message *asked, struct ptq_error *error,
                                 struct pti_channel *channel)
{
    struct ptq_share_options options = {.mode = (enum ptq_open_mode)asked->mode, .cells = (uint32_t)asked->capacity,
                                        .value_size = asked->item_size, .max_endpoints = asked->max_endpoints,
                                        .file_mode = asked->file_mode, .error = error};
    struct home *home = calloc(1, sizeof *home);

    if (home == NULL)
        return pti_error(error, PTQ_ENOMEM, "no memory for '%s'", asked->name);
    enum ptq_err err = asked->capacity > UINT32_MAX ? pti_error(error, PTQ_EINVAL, "'%s': so many cells, or records, are beyond what one can have",
                                                                asked->name)
                                                    : pti_share_open(bus, (enum pti_share_kind)asked->thing, here, &options, &home->share);
    if (err != PTQ_OK) {
        free(home);
        return err;
    }
    home->channel = channel;
    home->port = (struct pti_port){.ops = &home_ops, .capacity = pti_share_cells(home->share), .spec = "",
                                   .item_size = pti_share_value_size(home->share) + PTI_SHARE_ASK_BYTES};
    pti_share_id(home->share, home->port.id);
    channel->port = &home->port;
    channel->thing = asked->thing;
    return PTQ_OK;
}

void pti_share_home_row(const struct pti_channel *channel, const char *here, char *buffer, size_t size)
{
    snprintf(buffer, size, "%s%s", here, channel->thing == PTI_SHARE_LOG ? PTI_LOG_SUFFIX : PTI_SHARE_SUFFIX);
}

bool pti_share_home_takes(const struct pti_channel *channel, uint8_t type)
{
    bool is_of_share = type == PTI_FRAME_LOOK || type == PTI_FRAME_AWAIT;

    switch (type) {
    case PTI_FRAME_PUT:
    case PTI_FRAME_CANCEL:
    case PTI_FRAME_RECEIVED:
    case PTI_FRAME_CLOSE:
        return true;
    default:
        return is_of_share == (channel->thing != 0);
    }
}

/* ---- looks */

static enum ptq_err read_ask(const uint8_t *payload, size_t size, struct pti_share_ask *ask)
{
    if (size < PTI_SHARE_WAIT_HEAD || pti_fetch32(payload) != 0)
        return PTQ_EPROTO;
    return pti_read_share_ask(payload + PTI_SHARE_WAIT_HEAD, size - PTI_SHARE_WAIT_HEAD, ask);
}

static bool may_look(struct pti_channel *channel, struct ptq_error *error)
{
    return (channel->rights & RIGHTS_TO_LOOK) != 0 || pti_channel_may(channel, PTQ_RIGHT_PEEK, error);
}

static void refuse_look(struct pti_channel *channel, uint64_t number, enum ptq_err code, const char *text)
{
    struct pti_error_message error = {.code = code};
    uint8_t bytes[PTI_CONTROL_BYTES];

    snprintf(error.text, sizeof error.text, "%.*s", (int)sizeof error.text - 1, text);
    pti_guest_push(channel->session->guest, &channel->lane, PTI_FRAME_ERROR, 0, number, bytes, pti_error_pack(&error, bytes, sizeof bytes));
}

enum ptq_err pti_share_home_look(struct pti_channel *channel, const struct pti_frame *frame, const uint8_t *payload, size_t size,
                                 const char **ret_reason)
{
    ptq_share *share = home_of(channel->port)->share;
    struct ptq_error error = {0};
    struct pti_share_said said;
    struct pti_share_ask ask;

    if (read_ask(payload, size, &ask) != PTQ_OK || !pti_share_is_look(ask.verb))
        return pti_refuse(ret_reason, "a LOOK makes no sense");
    if (!may_look(channel, &error)) {
        refuse_look(channel, frame->number, PTQ_EPERM, error.text);
        return PTQ_OK;
    }
    uint8_t *bytes = malloc(PTI_SHARE_SAID_HEAD + pti_share_room(share, &ask));
    if (bytes == NULL) {
        refuse_look(channel, frame->number, PTQ_ENOMEM, "no memory for the answer");
        return PTQ_OK;
    }
    pti_share_do_look(share, &ask, bytes + PTI_SHARE_SAID_HEAD, &said);
    pti_write_share_said(bytes, &said);
    pti_guest_push(channel->session->guest, &channel->lane, PTI_FRAME_LOOK, PTI_FRAME_REPLY, frame->number, bytes,
                   PTI_SHARE_SAID_HEAD + said.size);
    free(bytes);
    return PTQ_OK;
}

/* ---- waits */

void pti_share_home_drain(struct pti_channel *channel)
{
    if (channel->thing != 0 && home_of(channel->port)->waiter != NULL)
        (void)pti_waiter_drain(home_of(channel->port)->waiter);
}

/* Law: the waiter watches before the word is armed: what comes between is told. */
enum ptq_err pti_share_home_try(struct pti_request *request, uint64_t *ret_value)
{
    struct pti_channel *channel = request->channel;
    struct home *home = home_of(channel->port);
    struct pti_share_ask ask;

    if (read_ask(request->await, request->await_size, &ask) != PTQ_OK)
        return PTQ_EPROTO;
    if ((channel->rights & RIGHTS_TO_LOOK) == 0)
        return PTQ_EPERM;
    return pti_share_do_wait(home->share, &ask, request->deadline != PTI_DEADLINE_NOW && home->waiter != NULL, ret_value);
}

enum ptq_err pti_share_home_await(struct pti_request *request, const uint8_t *payload, size_t size, const char **ret_reason)
{
    struct pti_share_ask ask;
    uint64_t value = 0;
    int fd;

    if (read_ask(payload, size, &ask) != PTQ_OK || !pti_share_is_wait(ask.verb))
        return pti_refuse(ret_reason, "an AWAIT makes no sense");
    request->deadline = pti_request_deadline(pti_fetch32(payload + 4));
    request->await = malloc(size);
    if (request->await == NULL) {
        pti_request_finish(request, PTQ_ENOMEM, 0);
        return PTQ_OK;
    }
    memcpy(request->await, payload, size);
    request->await_size = size;
    (void)!home_fd(request->channel->port, PTQ_SIDE_GET, &fd); /* without one it is by the clock */
    pti_step(PTI_STEP_AWAIT_READ);
    enum ptq_err answer = pti_share_home_try(request, &value);
    if (answer != PTQ_EMPTY)
        pti_request_finish(request, answer, value);
    else if (request->deadline == PTI_DEADLINE_NOW)
        pti_request_finish(request, PTQ_TIMEDOUT, 0);
    else
        pti_request_wait(request, PTQ_SIDE_GET);
    return PTQ_OK;
}
