/* envelope.h -- control messages as plain structs; protobuf-c stays behind envelope*.c and arena.c.
 *
 * pack writes at most `room` bytes and returns how many, 0 if they do not fit.  unpack checks everything: sizes of
 * lists and texts, ranges of numbers, names; PTQ_EPROTO for what no correct peer sends, and then nothing was written.
 * What unpacking may allocate is capped, whatever the bytes say.
 */
#ifndef PTQ_WIRE_ENVELOPE_H
#define PTQ_WIRE_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/queue.h>

#include "wire/limits.h"

#define PTI_CONTROL_BYTES 4096u /* the largest control message but for a directory */
#define PTI_SESSION_BYTES 16u
#define PTI_NODE_ID_BYTES 16u
#define PTI_HELLO_NONCE 32u

struct pti_hello {
    uint32_t version_min, version_max, version;
    uint8_t session[PTI_SESSION_BYTES];
    char node[64], software[64], run[PTQ_NAME_MAX + 1];
    struct pti_limits limits;
    bool resume, known;
    uint32_t grace_ms;
    uint64_t incarnation;
    /* version 2 */
    uint8_t token[PTI_NODE_ID_BYTES], node_id[PTI_NODE_ID_BYTES]; /* zeroes: none */
    uint32_t token_slot;
    uint64_t token_value; /* 0: no token */
    uint64_t attempt;    /* dialler: grows with each dial; 0: a version that does not count */
    uint64_t generation; /* home: drawn when it made the session; dialler: what it knows of that, 0: nothing */
    /* of who has keys */
    char identity[64];
    uint8_t nonce[PTI_HELLO_NONCE];
};

struct pti_challenge {
    char identity[64];
    uint8_t nonce[PTI_HELLO_NONCE], proof[32];
    uint32_t version;
};

#define PTI_STREAM_BYTES 16

struct pti_open_message {
    char run[PTQ_NAME_MAX + 1], name[PTQ_NAME_MAX + 1]; /* run: "" for the usual one */
    uint32_t mode;
    uint64_t capacity, window, start;
    uint32_t item_size, max_deliveries, max_endpoints, file_mode;
    bool prefault, ephemeral, placed;
    char spec[PTQ_SPEC_TEXT_MAX + 1];
    uint64_t bytes;
    uint32_t header_size, full, stamps, ttl_ms, lease_ms, max_dead;
    bool expired_to_dead, last_producer_ends, letters;
    uint32_t roles; /* PTQ_PRODUCER, PTQ_CONSUMER */
    /* version 2 */
    uint8_t stream[PTI_STREAM_BYTES]; /* whose numbers these are, beyond the session; zeroes: of the session alone */
    uint64_t first;                   /* the lowest number that may be asked again; 0: none was asked yet */
    bool resync;
    uint32_t carrier;
    /* version 3 */
    uint32_t thing; /* 0 a queue, 1 a share, 2 a log */
};

struct pti_opened {
    uint64_t capacity, window, credit_bytes;
    uint32_t item_size, max_deliveries, header_size;
    bool placed;
    char run[PTQ_NAME_MAX + 1], node[64], spec[PTQ_SPEC_TEXT_MAX + 1];
    uint8_t id[16];
    /* version 2 */
    bool stream_known;
    uint64_t stream_floor;
    bool streams; /* the home keeps numbers of streams at all */
};

struct pti_directory_ask {
    char run[PTQ_NAME_MAX + 1], name[PTQ_NAME_MAX + 1], after[PTQ_NAME_MAX + 1];
    uint8_t node_id[PTI_NODE_ID_BYTES]; /* the asker; zeroes: not told */
    bool making;
};

struct pti_directory {
    char node[64], run[PTQ_NAME_MAX + 1];
    bool served, more;
    uint8_t node_id[PTI_NODE_ID_BYTES]; /* zeroes: not told */
    uint64_t incarnation;
    uint32_t ttl_ms; /* believed for so long; 0: not told */
    size_t count;
    char (*names)[PTQ_NAME_MAX + 1]; /* unpack allocates it: free() */
};

struct pti_goaway {
    char reason[PTI_WIRE_TEXT_BYTES];
    uint32_t drain_ms;
};

struct pti_error_message {
    enum ptq_err code;
    char text[PTI_WIRE_TEXT_BYTES];
};

size_t pti_hello_pack(const struct pti_hello *hello, uint8_t *buffer, size_t room);
enum ptq_err pti_hello_unpack(const uint8_t *bytes, size_t size, struct pti_hello *ret_hello);

size_t pti_challenge_pack(const struct pti_challenge *challenge, uint8_t *buffer, size_t room);
enum ptq_err pti_challenge_unpack(const uint8_t *bytes, size_t size, struct pti_challenge *ret_challenge);

size_t pti_proof_pack(const uint8_t proof[32], uint8_t *buffer, size_t room);
enum ptq_err pti_proof_unpack(const uint8_t *bytes, size_t size, uint8_t ret_proof[32]);

size_t pti_open_pack(const struct pti_open_message *open, uint8_t *buffer, size_t room);
enum ptq_err pti_open_unpack(const uint8_t *bytes, size_t size, struct pti_open_message *ret_open);

size_t pti_opened_pack(const struct pti_opened *opened, uint8_t *buffer, size_t room);
enum ptq_err pti_opened_unpack(const uint8_t *bytes, size_t size, struct pti_opened *ret_opened);

size_t pti_credit_pack(uint64_t credit_bytes, uint8_t *buffer, size_t room);
enum ptq_err pti_credit_unpack(const uint8_t *bytes, size_t size, uint64_t *ret_credit_bytes);

size_t pti_directory_ask_pack(const struct pti_directory_ask *ask, uint8_t *buffer, size_t room);
enum ptq_err pti_directory_ask_unpack(const uint8_t *bytes, size_t size, struct pti_directory_ask *ret_ask);

size_t pti_directory_pack(const struct pti_directory *directory, uint8_t *buffer, size_t room);
enum ptq_err pti_directory_unpack(const uint8_t *bytes, size_t size, struct pti_directory *ret_directory);

size_t pti_stats_pack(const struct ptq_queue_stats *stats, uint8_t *buffer, size_t room);
enum ptq_err pti_stats_unpack(const uint8_t *bytes, size_t size, struct ptq_queue_stats *ret_stats);

size_t pti_goaway_pack(const struct pti_goaway *goaway, uint8_t *buffer, size_t room);
enum ptq_err pti_goaway_unpack(const uint8_t *bytes, size_t size, struct pti_goaway *ret_goaway);

size_t pti_ping_pack(uint64_t stamp, uint8_t *buffer, size_t room);
enum ptq_err pti_ping_unpack(const uint8_t *bytes, size_t size, uint64_t *ret_stamp);

size_t pti_error_pack(const struct pti_error_message *error, uint8_t *buffer, size_t room);
enum ptq_err pti_error_unpack(const uint8_t *bytes, size_t size, struct pti_error_message *ret_error);

#endif
