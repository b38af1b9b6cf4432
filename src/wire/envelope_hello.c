/* envelope_hello.c -- HELLO, and what stands between it and its answer, as plain structs. */
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
    message.identity = pti_borrow(hello->identity);
    message.nonce = pti_borrow_id(hello->nonce, sizeof hello->nonce);
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
           pti_copy_id(hello->node_id, sizeof hello->node_id, &message->node_id) && COPY_WORDS(hello->node, message->node) && COPY_WORDS(hello->software, message->software) &&
           COPY_NAME_OR_NONE(hello->run, message->run) && COPY_NAME_OR_NONE(hello->identity, message->identity) &&
           pti_copy_id(hello->nonce, sizeof hello->nonce, &message->nonce) &&
           (message->identity[0] == '\0') == (message->nonce.len == 0) && read_limits(&hello->limits, message->limits);
}

enum ptq_err pti_hello_unpack(const uint8_t *bytes, size_t size, struct pti_hello *ret_hello)
{
    UNPACK(Ptq__V1__Hello, ptq__v1__hello__descriptor, read_hello, bytes, size, ret_hello);
}

/* ---- CHALLENGE, PROOF ---- */

size_t pti_challenge_pack(const struct pti_challenge *challenge, uint8_t *buffer, size_t room)
{
    Ptq__V1__Challenge message = PTQ__V1__CHALLENGE__INIT;

    message.identity = pti_borrow(challenge->identity);
    message.nonce = pti_borrow_id(challenge->nonce, sizeof challenge->nonce);
    message.proof = pti_borrow_id(challenge->proof, sizeof challenge->proof);
    message.version = challenge->version;
    return pti_pack(&message, buffer, room);
}

static bool read_challenge(struct pti_challenge *challenge, const Ptq__V1__Challenge *message)
{
    challenge->version = message->version;
    return message->nonce.len == sizeof challenge->nonce && message->proof.len == sizeof challenge->proof &&
           pti_copy_id(challenge->nonce, sizeof challenge->nonce, &message->nonce) &&
           pti_copy_id(challenge->proof, sizeof challenge->proof, &message->proof) &&
           COPY_NAME(challenge->identity, message->identity);
}

enum ptq_err pti_challenge_unpack(const uint8_t *bytes, size_t size, struct pti_challenge *ret_challenge)
{
    UNPACK(Ptq__V1__Challenge, ptq__v1__challenge__descriptor, read_challenge, bytes, size, ret_challenge);
}

struct proof {
    uint8_t bytes[32];
};

size_t pti_proof_pack(const uint8_t proof[32], uint8_t *buffer, size_t room)
{
    Ptq__V1__Proof message = PTQ__V1__PROOF__INIT;

    message.proof = pti_borrow_id(proof, 32);
    return pti_pack(&message, buffer, room);
}

static bool read_proof(struct proof *proof, const Ptq__V1__Proof *message)
{
    return message->proof.len == sizeof proof->bytes && pti_copy_id(proof->bytes, sizeof proof->bytes, &message->proof);
}

static enum ptq_err unpack_proof(const uint8_t *bytes, size_t size, struct proof *ret_proof)
{
    UNPACK(Ptq__V1__Proof, ptq__v1__proof__descriptor, read_proof, bytes, size, ret_proof);
}

enum ptq_err pti_proof_unpack(const uint8_t *bytes, size_t size, uint8_t ret_proof[32])
{
    struct proof proof;
    enum ptq_err answer = unpack_proof(bytes, size, &proof);

    if (answer == PTQ_OK)
        memcpy(ret_proof, proof.bytes, sizeof proof.bytes);
    return answer;
}
