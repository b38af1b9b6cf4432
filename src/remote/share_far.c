/* share_far.c -- shares and logs of other hosts, the far side: how they are found, and what is asked of their home (share/far.h).
 *
 * A share is a channel as a queue is.  A change is a PUT, which is numbered, kept and asked again like any other: so it is made once, or
 * is in doubt, by the same laws.  A LOOK and an AWAIT change nothing, and are asked again over each new link; of each new bridge, where the
 * handle goes through that of this host (via/share.c).
 */
#include "remote/share.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "queue/address.h"
#include "queue/resolve.h"
#include "remote/call.h"
#include "remote/via/verbs.h"

struct far {
    struct pti_far far; /* first */
    struct pti_port *port;
};

static struct pti_port *port_of(struct pti_far *far) { return ((struct far *)(void *)far)->port; }

/* ---- asking */

/* head, and the ask behind it, which *ret_body is to be freed with; NULL: no memory. */
static struct pti_call *new_call(struct pti_port *port, uint8_t type, const struct pti_share_ask *ask, size_t timeout_at,
                                 uint8_t **ret_body)
{
    struct pti_call *call = pti_call_new(pti_remote_of(port), type);
    uint8_t *body = malloc(pti_share_ask_size(ask));

    if (call == NULL || body == NULL) {
        pti_call_free(call);
        free(body);
        return NULL;
    }
    memset(call->head, 0, PTI_SHARE_WAIT_HEAD);
    pti_call_set_head(call, PTI_SHARE_WAIT_HEAD, timeout_at);
    pti_write_share_ask(body, ask);
    pti_call_set_body(call, body, pti_share_ask_size(ask));
    *ret_body = body;
    return call;
}

enum ptq_err pti_share_link_look(struct pti_port *port, const struct pti_share_ask *ask, uint8_t **ret_bytes, size_t *ret_size)
{
    uint8_t *body;
    struct pti_call *call = new_call(port, PTI_FRAME_LOOK, ask, 0, &body);

    if (call == NULL)
        return PTQ_ENOMEM;
    enum ptq_err answer = pti_call_run(&call, PTI_DEADLINE_NOW, false);
    if (answer == PTQ_OK && call->reply == NULL)
        answer = PTQ_EPROTO;
    if (answer == PTQ_OK) {
        *ret_bytes = call->reply;
        *ret_size = call->reply_size;
        call->reply = NULL;
    }
    pti_call_free(call);
    free(body);
    return answer;
}

enum ptq_err pti_share_link_await(struct pti_port *port, const struct pti_share_ask *ask, int64_t deadline, uint64_t *ret_value)
{
    uint8_t *body;
    struct pti_call *call = new_call(port, PTI_FRAME_AWAIT, ask, 4, &body);

    if (call == NULL)
        return PTQ_ENOMEM;
    enum ptq_err answer = pti_call_run(&call, deadline, deadline != PTI_DEADLINE_NOW);
    if (answer == PTQ_OK)
        *ret_value = call->value;
    pti_call_free(call);
    free(body);
    return answer;
}

static enum ptq_err far_look(struct pti_far *far, const struct pti_share_ask *ask, struct pti_share_said *ret_said, uint8_t **ret_bytes)
{
    struct pti_port *port = port_of(far);
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum ptq_err answer = port->bridged ? pti_via_share_look(port, ask, &bytes, &size) : pti_share_link_look(port, ask, &bytes, &size);

    if (answer == PTQ_OK && (bytes == NULL || size < PTI_SHARE_SAID_HEAD || !pti_is_answer(pti_fetch32(bytes))))
        answer = PTQ_EPROTO;
    if (answer == PTQ_OK)
        answer = pti_read_share_said(bytes, size, ret_said);
    if (answer == PTQ_OK)
        *ret_bytes = bytes;
    else
        free(bytes);
    return answer;
}

static enum ptq_err far_change(struct pti_far *far, const struct pti_share_ask *ask, bool retry, uint64_t *ret_value)
{
    struct pti_port *port = port_of(far);
    size_t size = pti_share_ask_size(ask);
    uint8_t *body = size <= port->item_size ? malloc(size) : NULL;

    if (body == NULL)
        return size <= port->item_size ? PTQ_ENOMEM : PTQ_EMSGSIZE;
    pti_write_share_ask(body, ask);
    enum ptq_err answer =
        port->ops->put(port, &(struct pti_put){.data = body, .size = (uint32_t)size, .retry = retry}, PTI_DEADLINE_NOW, ret_value);
    free(body);
    return answer;
}

static enum ptq_err far_await(struct pti_far *far, const struct pti_share_ask *ask, int timeout_ms, uint64_t *ret_value)
{
    struct pti_port *port = port_of(far);
    int64_t deadline = timeout_ms == 0 ? PTI_DEADLINE_NOW : pti_deadline(timeout_ms);

    return port->bridged ? pti_via_share_await(port, ask, deadline, ret_value) : pti_share_link_await(port, ask, deadline, ret_value);
}

static void far_close(struct pti_far *far)
{
    port_of(far)->ops->close(port_of(far), pti_deadline(PTI_LINK_DEADLINE_MS));
    free(far);
}

static const struct pti_far_ops far_ops = {.look = far_look, .change = far_change, .await = far_await, .close = far_close};

/* ---- finding */

/* *ret_url "": it is here.  A node that is no peer: PTQ_ENOENT. */
static enum ptq_err find_node(ptq_bus *bus, enum pti_share_kind kind, const struct pti_address *address, struct ptq_error *error, char url[static 256])
{
    struct pti_peer *peers = NULL;
    size_t count = 0, i = 0;
    enum ptq_err answer = PTQ_OK;

    url[0] = '\0';
    if (strcmp(address->node, "self") == 0)
        return PTQ_OK;
    if (pti_resolve_peers(bus, &peers, &count) != PTQ_OK)
        return pti_error(error, PTQ_ENOMEM, "%s '%s': out of memory", pti_thing_word(kind), address->name);
    while (i < count && strcmp(peers[i].node, address->node) != 0)
        i++;
    if (i < count)
        snprintf(url, 256, "%s", peers[i].url);
    else if (strcmp(address->node, bus->node) != 0)
        answer = pti_error(error, PTQ_ENOENT,
                           "%s '%s@%s': no peer is called '%s'; name it in PTQ_PEERS (name=url) or start ptqbridge with --peer",
                           pti_thing_word(kind), address->name, address->node, address->node);
    free(peers);
    return answer;
}

static enum ptq_err wrap(struct pti_port *port, enum pti_share_kind kind, const char *name, struct ptq_error *error, struct pti_far **ret_far)
{
    struct far *far = port->item_size > PTI_SHARE_ASK_BYTES ? malloc(sizeof *far) : NULL;

    if (far == NULL) {
        enum ptq_err answer = port->item_size > PTI_SHARE_ASK_BYTES ? PTQ_ENOMEM : PTQ_EPROTO;
        port->ops->close(port, pti_deadline(PTI_LINK_DEADLINE_MS));
        return pti_error(error, answer, "%s '%.200s': %s", pti_thing_word(kind), name, ptq_strerror(answer));
    }
    *far = (struct far){.far = {.ops = &far_ops, .value_size = port->item_size - PTI_SHARE_ASK_BYTES}, .port = port};
    *ret_far = &far->far;
    return PTQ_OK;
}

enum ptq_err pti_remote_share_open(ptq_bus *bus, enum pti_share_kind kind, const char *name, const struct ptq_share_options *options,
                                   char here[PTQ_NAME_MAX + 1], struct pti_far **ret_far)
{
    struct pti_open open = {.thing = kind,
                            .options = {.mode = options->mode, .wait_ms = options->wait_ms, .capacity = options->cells,
                                        .item_size = options->value_size, .max_endpoints = options->max_endpoints,
                                        .file_mode = options->file_mode}};
    struct pti_port *port = NULL;
    struct pti_address address;
    char url[256];
    enum ptq_err answer = pti_address_read(name, options->error, &address);

    if (answer == PTQ_OK && address.node[0] != '\0')
        answer = find_node(bus, kind, &address, options->error, url);
    else if (answer == PTQ_OK)
        snprintf(url, sizeof url, "%s", address.url);
    if (answer == PTQ_OK && address.letters)
        answer = pti_error(options->error, PTQ_EINVAL, "%s '%.200s': only a queue has dead letters", pti_thing_word(kind), name);
    if (answer == PTQ_OK && url[0] != '\0' && options->group != NULL)
        answer = pti_error(options->error, PTQ_EINVAL, "%s '%.200s': groups are those of its own host: make it there, with the group",
                           pti_thing_word(kind), name);
    if (answer == PTQ_OK && url[0] != '\0')
        answer = pti_far_open(bus, url, address.node[0] != '\0' ? bus->run : address.run, address.name, &open, options->error, &port);
    if (answer != PTQ_OK)
        return answer;
    snprintf(here, PTQ_NAME_MAX + 1, "%.*s", PTQ_NAME_MAX, address.name);
    return port != NULL ? wrap(port, kind, name, options->error, ret_far) : PTQ_OK;
}
