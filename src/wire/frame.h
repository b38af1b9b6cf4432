/* frame.h -- frames: a fixed header, then the payload; cut out of a stream of bytes with every length checked first.
 *
 *      0        4   5    6      8       12       16       24   32      36      40
 *      | magic  | v | t  | flags| length| channel| number | ack| credit| crc32c| payload ...
 *
 * Little-endian.  The checksum covers the header, with 0 in its place, and the payload.
 */
#ifndef PTQ_WIRE_FRAME_H
#define PTQ_WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/err.h>

#define PTI_FRAME_MAGIC 0x31715470u /* the bytes "pTq1" */
#define PTI_FRAME_HEADER 40u

/* Of HELLO, for ever, so that whatever is spoken later is agreed on in a frame that everybody reads. */
#define PTI_HELLO_VERSION 1u

enum pti_frame_type {
    /* control: the payload is a message of proto/ */
    PTI_FRAME_HELLO = 1,
    PTI_FRAME_OPEN = 2,
    PTI_FRAME_CREDIT = 3,
    PTI_FRAME_DIRECTORY = 4,
    PTI_FRAME_STATS = 5,
    PTI_FRAME_GOAWAY = 6,
    PTI_FRAME_PING = 7,
    PTI_FRAME_ERROR = 8,
    PTI_FRAME_CHALLENGE = 9, /* between HELLO and its answer, where there are keys: of version 1, as a HELLO */
    PTI_FRAME_PROOF = 10,
    /* data: the payload is packed records, see record.h */
    PTI_FRAME_PUT = 16,
    PTI_FRAME_PLACE = 17,
    PTI_FRAME_TAKE = 18,
    PTI_FRAME_SETTLE = 19,
    PTI_FRAME_CALL = 20,
    PTI_FRAME_CANCEL = 21,
    PTI_FRAME_WATCH = 22,
    PTI_FRAME_CLOSE = 23,
    PTI_FRAME_RECEIVED = 24, /* version 2: n times number:64, whose answers were received */
    PTI_FRAME_LOOK = 25,  /* version 3, and the next: of a share or a log, wire/share.h */
    PTI_FRAME_AWAIT = 26,
    PTI_FRAME_RESULT = 32,
    PTI_FRAME_MESSAGES = 33,
    PTI_FRAME_NOTIFY = 34
};

/* Said before a version is agreed. */
static inline bool pti_frame_is_greeting(uint8_t type)
{
    return type == PTI_FRAME_HELLO || type == PTI_FRAME_CHALLENGE || type == PTI_FRAME_PROOF;
}

enum pti_frame_flag {
    PTI_FRAME_REPLY = 1, /* an answer, where the type is the same both ways */
    PTI_FRAME_MORE = 2,  /* a piece: the rest follows in the next frames of this channel, with the same number */
    /* version 2 */
    PTI_FRAME_KEYED = 4, /* the payload begins with the key of what is put: position:64 sub:32 0:32 */
    PTI_FRAME_RETRY = 8, /* to be done unless it was, also if it was called off */
    PTI_FRAME_CHAINED = 16, /* a put that must not go past another such of its channel, nor be done if one before it was not */
    PTI_FRAME_ANEW = 32,    /* of these: what was not done before it is forgotten */
    PTI_FRAME_PACKS = 64    /* a put whose messages may share leases, as those of a chained one may */
};

struct pti_frame {
    uint8_t version;
    uint8_t type;
    uint16_t flags;
    uint32_t length;  /* of payload */
    uint32_t channel; /* 0: the link itself */
    uint64_t number;  /* of the request, in its channel */
    uint64_t ack;     /* requests of this channel up to here are answered, and the answers were received */
    uint32_t credit; /* unanswered bytes of puts that the receiver may have on this channel from now on; 0: as before */
    const uint8_t *payload;
};

/* Writes the header at `at`, in front of frame->length bytes of payload that stand there already. */
void pti_frame_seal(uint8_t *at, const struct pti_frame *frame);

/* PTQ_EPROTO, and why. */
static inline enum ptq_err pti_refuse(const char **ret_reason, const char *reason)
{
    *ret_reason = reason;
    return PTQ_EPROTO;
}

/* Cuts frames out of what arrives.  Not for several threads at once. */
struct pti_frame_reader {
    uint8_t *bytes;
    size_t begin, end, room;
    uint32_t cap; /* the longest payload that is let in */
};

void pti_frame_reader_init(struct pti_frame_reader *reader, uint32_t cap);
void pti_frame_reader_fini(struct pti_frame_reader *reader);

/* From now on payloads up to `cap`. */
void pti_frame_reader_set_cap(struct pti_frame_reader *reader, uint32_t cap);

/* Where the next bytes shall be written, and how many at most; NULL: no memory.  Payloads handed out before end here.
 */
uint8_t *pti_frame_reader_space(struct pti_frame_reader *reader, size_t *ret_size);
void pti_frame_reader_filled(struct pti_frame_reader *reader, size_t size);

/* The next whole frame; its payload is borrowed until pti_frame_reader_space.  PTQ_EMPTY: more bytes are needed.
 * PTQ_EPROTO, with a sentence in *ret_reason: nothing more can be read from this stream. */
enum ptq_err pti_frame_reader_next(struct pti_frame_reader *reader, struct pti_frame *ret_frame,
                                   const char **ret_reason);

#endif
