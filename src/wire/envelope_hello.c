/* envelope_hello.c -- HELLO as a plain struct. */
#include "wire/envelope.h"

#include <string.h>

#include "wire/arena.h"

size_t pti_hello_pack(const struct pti_hello *hello, uint8_t *buffer, size_t room)
{
    Ptq__V1__Limits limits = PTQ__V1__LIMITS__INIT;
    Ptq__V1__Hello message = PTQ__V1__HELLO__INIT;

    limits.frame_bytes = hello->limits.frame_bytes;
    limits.request_bytes = hello->limits.request_bytes;
    limits.requests = hello->limits.requests;
    limits.channels = hello->limits.channels;
    message.version_min = hello->version_min;
    message.version_max = hello->version_max;
    message.version = hello->version;
    message.session.data = (uint8_t *)(uintptr_t)hello->session;
    message.session.len = sizeof hello->session;
    message.node = pti_borrow(hello->node);
    message.software = pti_borrow(hello->software);
    message.run = pti_borrow(hello->run);
    message.limits = &limits;
    message.resume = hello->resume;
    message.known = hello->known;
    message.grace_ms = hello->grace_ms;
    message.incarnation = hello->incarnation;
    message.token = pti_borrow_id(hello->token, sizeof hello->token);
    message.token_slot = hello->token_slot;
    message.token_value = hello->token_value;
    message.node_id = pti_borrow_id(hello->node_id, sizeof hello->node_id);
    message.attempt = hello->attempt;
    message.generation = hello->generation;
    return pti_pack(&message, buffer, room);
}

static bool read_limits(struct pti_limits *limits, const Ptq__V1__Limits *message)
{
    if (message == NULL || message->frame_bytes < PTI_WIRE_FRAME_FIRST ||
        message->request_bytes < message->frame_bytes || message->requests == 0 || message->channels == 0)
        return false;
    *limits = (struct pti_limits){message->frame_bytes, message->request_bytes, message->requests, message->channels};
    return true;
}

static bool read_hello(struct pti_hello *hello, const Ptq__V1__Hello *message)
{
    hello->version_min = message->version_min;
    hello->version_max = message->version_max;
    hello->version = message->version;
    hello->resume = message->resume;
    hello->known = message->known;
    hello->grace_ms = message->grace_ms;
    hello->incarnation = message->incarnation;
    hello->attempt = message->attempt;
    hello->generation = message->generation;
    if (message->session.len != sizeof hello->session || message->version_min > message->version_max)
        return false;
    memcpy(hello->session, message->session.data, sizeof hello->session);
    hello->token_slot = message->token_slot;
    hello->token_value = message->token_value;
    return pti_copy_id(hello->token, sizeof hello->token, &message->token) &&
           pti_copy_id(hello->node_id, sizeof hello->node_id, &message->node_id) && COPY_TEXT(hello->node, message->node) && COPY_TEXT(hello->software, message->software) &&
           COPY_NAME_OR_NONE(hello->run, message->run) && read_limits(&hello->limits, message->limits);
}

enum ptq_err pti_hello_unpack(const uint8_t *bytes, size_t size, struct pti_hello *ret_hello)
{
    UNPACK(Ptq__V1__Hello, ptq__v1__hello__descriptor, read_hello, bytes, size, ret_hello);
}
