/* pb.h -- protobuf-c messages through queues: packed straight into the block, their type checked, unpacked within bounds.
 *
 * Apart from ptq.h, which needs no protobuf-c.  CMake: find_package(ptq COMPONENTS pb), ptq::pb; pkg-config: ptq-pb.
 *
 *     Example__Point point = EXAMPLE__POINT__INIT;
 *     ptq_put_pb(queue, &point.base, PTQ_FOREVER);
 *
 *     ProtobufCMessage *message;
 *     ptq_get_pb(queue, &example__point__descriptor, PTQ_FOREVER, NULL, &msg, &message);
 *     use((Example__Point *)message);
 *     ptq_pb_free(message);
 *     ptq_ack(msg);
 *
 * Type: a message bears a 32-bit hash of its full name ("example.Point"; ptq_msg_type), and, where its block has room,
 * the name itself in a header called PTQ_PB_HEADER (small items in small queues may have none; header_size makes
 * room).  Whoever unpacks it compares the name if it is there, which cannot be mistaken, else the hash, which mistakes
 * one in 2^32 pairs of types.  Either way bytes that are not of the type cannot hurt.
 *
 * The same locally and across links.  Works with protobuf-c 1.3 and later; messages are protobuf's wire format, so
 * other languages read them too.
 */
#ifndef PTQ_PB_H
#define PTQ_PB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include <ptq/queue.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define PTQ_PB_HEADER "ptq.type"

/** Zero is the default of every field. */
struct ptq_pb_options {
    size_t memory;  /**< bytes that a message may take when unpacked; 0: 64 KiB and 64 times its packed size */
    unsigned depth; /**< messages inside messages, at most 1000; 0: 100 */
    bool untyped;   /**< also take messages that say no type: put by ptq_put, perhaps by another program */
    struct ptq_error *error; /**< filled when the call fails; may be NULL */
};

/**
 * Packs `message` straight into a block and puts it.  As ptq_put; PTQ_EMSGSIZE: packed it is larger than item_size.
 * `message` is borrowed during the call.
 */
PTQ_MUST_CHECK enum ptq_err ptq_put_pb(ptq_queue *queue, const ProtobufCMessage *message, int timeout_ms);

/** As ptq_put_pb, with options (may be NULL): headers of its own, trace, delay, time to live. */
PTQ_MUST_CHECK enum ptq_err ptq_put_pb_with(ptq_queue *queue, const ProtobufCMessage *message,
                                            const struct ptq_put_options *options, int timeout_ms);

/**
 * Gets a message and unpacks it.  *ret_msg is leased: ack or nack it when the work is done.  *ret_message is memory of
 * its own, given to you, release with ptq_pb_free, before or after.
 * As ptq_get, and: PTQ_EMISMATCH: it is of another type; PTQ_EPROTO: its bytes are no such message, or would take more
 * than the limits allow; PTQ_ENOMEM.  Then it was given back with PTQ_BACKOFF, counted: one that nobody understands
 * does not stand in the way for ever, but becomes a dead letter.  Who expects several types calls ptq_get, ptq_pb_is
 * and ptq_pb_unpack.
 */
PTQ_MUST_CHECK enum ptq_err ptq_get_pb(ptq_queue *queue, const ProtobufCMessageDescriptor *type, int timeout_ms,
                                       const struct ptq_pb_options *options, ptq_msg **ret_msg,
                                       ProtobufCMessage **ret_message);

/** Is this leased message of that type?  By name or hash, as said above; one that says no type is not. */
bool ptq_pb_is(const ptq_msg *msg, const ProtobufCMessageDescriptor *type);

/** Unpacks a leased message, whatever becomes of it: errors as ptq_get_pb, but it stays leased.  `options` may be NULL. */
PTQ_MUST_CHECK enum ptq_err ptq_pb_unpack(const ptq_msg *msg, const ProtobufCMessageDescriptor *type,
                                          const struct ptq_pb_options *options, ProtobufCMessage **ret_message);

/** Frees what ptq_get_pb or ptq_pb_unpack gave, with all that is inside.  NULL is fine. */
void ptq_pb_free(ProtobufCMessage *message);

/** The hash of a full name, as ptq_msg_type tells it.  Never 0. */
uint32_t ptq_pb_type(const char *name);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
