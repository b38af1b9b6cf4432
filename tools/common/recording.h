/* recording.h -- files of messages: written frame by frame, and read again whatever happened to them.
 *
 *   file     head | frame | frame | ... | index frame | tail             the last two only where it was closed
 *   head     magic 8 | version u32 | 0 u32 | id u64, random | sum u32 | 0 u32                                     32 bytes
 *   frame    mark 4 | kind u8 | flags u8 | 0 u16 | stored u32 | plain u32 | number u64 | time i64 | count u32 |
 *            body's sum u32 | head's sum u32 | 0 u32 | body, `stored` bytes                                       48 bytes and the body
 *   tail     offset of the index frame u64 | sum u32 | 0 u32 | magic 8                                            24 bytes
 *
 * All numbers are little-endian, all sums CRC-32C begun with the file's id, so that a frame of another file inside a message is none of
 * this one.  A frame is whole or it is not there: whoever reads finds the next one by its mark and its head's sum.  docs/record.md.
 */
#ifndef TOOL_RECORDING_H
#define TOOL_RECORDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ptq/queue.h>

enum {
    RECORD_HEAD = 32,
    RECORD_FRAME_HEAD = 48,
    RECORD_TAIL = 24,
    RECORD_BODY_ROOM = 1 << 20,           /* a frame is closed when its messages have so many bytes */
    RECORD_FRAME_MESSAGES = 4096,         /* or are so many */
    RECORD_BODY_MAX = (1u << 30) + 65536, /* a body is never longer: the largest message and what it bears */
    RECORD_TEXT_MAX = 4096
};

/* What a recording tells of where it comes from: in its first frame, and in another one where it was gone on with. */
struct record_about {
    char queue[PTQ_NAME_MAX + 64];
    char ref[PTQ_REF_SIZE]; /* "": not known */
    char host[72], spec[PTQ_SPEC_TEXT_MAX + 1];
    uint64_t capacity, item_size;
    bool tap;
};

/* A message as it stands in a recording.  Pointers are borrowed until the next one is read. */
struct record_message {
    uint64_t number;  /* in the file, from 1 */
    int64_t time_ns;  /* of its recording, since 1970 */
    int64_t age_ms;   /* that it had then; -1: not known */
    uint64_t position;
    uint32_t sub, deliveries, type;
    bool redelivered, has_trace;
    struct ptq_trace trace;
    const void *data;
    size_t size;
    const unsigned char *headers; /* encoded: name's length u8, value's length u16, name, value */
    size_t header_bytes;
};

/* The header behind *at, from 0; false: that was the last. */
bool record_header_next(const struct record_message *message, size_t *at, char name[PTQ_HEADER_NAME_MAX + 1], const void **ret_value,
                        size_t *ret_size);

/* ---- bytes that grow; zero is an empty one */

struct record_bytes {
    unsigned char *at; /* owned */
    size_t used, room;
};
bool record_reserve(struct record_bytes *bytes, size_t more);
void record_bytes_fini(struct record_bytes *bytes);

/* ---- the index: where some frames begin; thinned out when it grows too long */

struct record_index_entry {
    uint64_t offset, number;
    int64_t time_ns;
};
struct record_index {
    struct record_index_entry *entries; /* owned */
    size_t count, room;
    uint64_t spacing; /* bytes of the file between two, at least */
};

/* ---- writing */

struct record_writer {
    int fd;
    bool seekable, compress, sync;
    uint64_t id, offset;     /* offset: all before it is whole frames */
    uint64_t count;          /* messages in whole frames */
    int64_t first_ns;        /* of the frame that is filled */
    uint32_t pending;        /* messages in it */
    struct record_bytes body, packed;
    struct record_index index;
    struct record_seen *seen; /* of a file gone on with: what its last frames hold; owned */
    size_t seen_count;
};

enum record_begin { RECORD_NEW, RECORD_REPLACE, RECORD_APPEND };

/* Is compression built in? */
bool record_can_compress(void);

/* Opens a file to be written; "-" is standard output.  0 or an errno: EEXIST; EBUSY: another one records into it; EPROTO: it is no recording.
 * *ret_cut (RECORD_APPEND): bytes of a cut frame that were taken off. */
int record_create(struct record_writer *writer, const char *path, enum record_begin begin, const struct record_about *about, uint64_t *ret_cut);

/* Was it recorded right before this file's earlier writer ended?  Then it came again because its ack did not get through. */
bool record_has(const struct record_writer *writer, uint64_t position, uint32_t sub);

/* Adds a message to the frame that is filled.  0 or ENOMEM.  record_is_full: record_cut first. */
int record_add(struct record_writer *writer, const struct record_message *message);
bool record_is_full(const struct record_writer *writer);

/* Writes the frame: 0, then its messages are in the file; or an errno, then none of them is, and the file is as before. */
int record_cut(struct record_writer *writer);

/* Notes that so much went by unseen here. */
int record_gap(struct record_writer *writer, uint64_t missed, int64_t time_ns);

/* Writes index and tail, and closes.  0 or an errno: all frames are there even then. */
int record_close(struct record_writer *writer);

/* Closes without them: what is not cut is lost.  Fine after a failure. */
void record_abandon(struct record_writer *writer);

/* ---- reading */

enum record_answer {
    RECORD_MESSAGE, /* *ret_message */
    RECORD_BEGINS,  /* reader->about */
    RECORD_MISSED,  /* reader->missed */
    RECORD_DAMAGE,  /* reader->damage_at, damage_size: what stands there is no frame, or is not as it was written; reading goes on behind it */
    RECORD_CUT,     /* the file ends in the midst of a frame: damage_at, damage_size; the next answer is RECORD_END */
    RECORD_END,     /* reader->closed: its writer said so */
    RECORD_FAILED   /* reader->error: an errno */
};

struct record_reader {
    int fd;
    bool seekable, closed, ended;
    int error;
    uint64_t id;
    uint64_t at;           /* offset of what is next */
    struct record_bytes in; /* bytes of the file from in_at on */
    uint64_t in_at;
    bool eof;
    struct record_about about;
    uint64_t missed;
    uint64_t damage_at, damage_size;
    uint64_t size; /* of the file; 0 where it is not known */
    /* The frame that is being read. */
    struct record_bytes body;
    const unsigned char *next, *end;
    uint32_t left;
    uint64_t number;
    uint64_t frame_at; /* where it begins */
    uint64_t good;     /* behind the last whole frame, the index left out */
    struct record_index written; /* as found so far */
    bool sought;
    uint64_t seek_number;
    int64_t seek_ns;
};

/* Opens a recording; "-" is standard input.  0 or an errno; EPROTO: it is none, or its head is damaged. */
int record_open(struct record_reader *reader, const char *path);
/* The same of a descriptor, which it takes. */
int record_open_fd(struct record_reader *reader, int fd);
void record_reader_fini(struct record_reader *reader);

enum record_answer record_next(struct record_reader *reader, struct record_message *ret_message);

/* From now on only messages from this number, or this time, on are given; by the index where there is one.  Call it before record_next. */
void record_seek_number(struct record_reader *reader, uint64_t number);
void record_seek_time(struct record_reader *reader, int64_t time_ns);

/* For tests: a frame around a body, with sums that are right. */
size_t record_seal(unsigned char head[RECORD_FRAME_HEAD], uint64_t id, int kind, int flags, const void *body, size_t stored, size_t plain, uint64_t number,
                   int64_t time_ns, uint32_t count);
void record_seal_head(unsigned char head[RECORD_HEAD], uint64_t id);
enum { RECORD_KIND_ABOUT = 1, RECORD_KIND_MESSAGES = 2, RECORD_KIND_GAP = 3, RECORD_KIND_INDEX = 4, RECORD_FLAG_ZSTD = 1 };

#endif
