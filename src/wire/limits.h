/* limits.h -- what this library is ready to receive: said in HELLO, enforced before anything is allocated. */
#ifndef PTQ_WIRE_LIMITS_H
#define PTQ_WIRE_LIMITS_H

#include <stdint.h>

#define PTI_WIRE_FRAME_FIRST 4096u             /* payload of a frame before HELLO is done */
#define PTI_WIRE_FRAME_BYTES (256u << 10)      /* payload of a frame */
#define PTI_WIRE_PIECE_BYTES (64u << 10)       /* what is larger travels in pieces of this size */
#define PTI_WIRE_REQUEST_BYTES (64u << 20)     /* a request or an answer, put together: bounds a batch */
#define PTI_WIRE_ITEM_BYTES (1u << 30)         /* item_size of a queue */
#define PTI_WIRE_PLACED_BYTES (60u << 20)      /* likewise, of one whose messages are placed */
#define PTI_WIRE_ITEM_BYTES_1 ((1u << 20) + 4096u) /* likewise, in version 1 */
#define PTI_WIRE_LARGE_BYTES (1u << 20)        /* what is larger is not put together first: it goes into its place piece by piece */
#define PTI_WIRE_LOAN_BYTES (128u << 10)       /* likewise, if there is room for it at once */
#define PTI_WIRE_HEADS_BYTES 4096u             /* more than all that stands around one message */
#define PTI_WIRE_REQUESTS 1024u                /* of one channel, without an answer */
#define PTI_WIRE_CHANNELS 1024u                /* of one session */
#define PTI_WIRE_CREDIT_BYTES (UINT64_C(4) << 20) /* puts of one channel that wait at the home */
#define PTI_WIRE_TEXT_BYTES 512u               /* the longest text in a control message */
#define PTI_WIRE_NAMES 1024u                   /* in one DIRECTORY answer */

struct pti_limits {
    uint32_t frame_bytes;
    uint64_t request_bytes;
    uint32_t requests;
    uint32_t channels;
};

/* Ours. */
static inline struct pti_limits pti_limits_own(void)
{
    return (struct pti_limits){PTI_WIRE_FRAME_BYTES, PTI_WIRE_REQUEST_BYTES, PTI_WIRE_REQUESTS, PTI_WIRE_CHANNELS};
}

#endif
