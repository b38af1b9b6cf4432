/* recording_read.c -- reading a recording: nothing in it is trusted before its sum was, and what is behind a damage is found again. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef PTQ_WITH_ZSTD
#include <zstd.h>
#endif

#include "recording_bytes.h"

enum { CHUNK = 1 << 16 };

struct frame {
    int kind, flags;
    uint32_t stored, plain, count, sum;
    uint64_t number;
    int64_t time_ns;
};

/* ---- bytes of the file */

static ssize_t read_some(struct record_reader *reader, void *bytes, size_t size)
{
    uint64_t offset = reader->in_at + reader->in.used;
    ssize_t got;

    do
        got = reader->seekable ? pread(reader->fd, bytes, size, (off_t)offset) : read(reader->fd, bytes, size);
    while (got < 0 && (errno == EINTR || errno == EAGAIN));
    return got;
}

/* How many bytes there are from `at` on, at most what is asked for; memory grows with what comes, not with what is said to come.  Pointers
 * into `in` end here. */
static size_t fill(struct record_reader *reader, size_t need)
{
    size_t done = (size_t)(reader->at - reader->in_at);

    if (done > 0 && (done >= reader->in.used || reader->in.used - done < need)) {
        size_t kept = done < reader->in.used ? reader->in.used - done : 0;
        if (kept > 0)
            memmove(reader->in.at, reader->in.at + done, kept);
        reader->in.used = kept;
        reader->in_at = reader->at;
        done = 0;
    }
    while (reader->in.used - done < need && !reader->eof && reader->error == 0) {
        if (!record_reserve(&reader->in, CHUNK)) {
            reader->error = ENOMEM;
            break;
        }
        ssize_t got = read_some(reader, reader->in.at + reader->in.used, reader->in.room - reader->in.used);
        if (got < 0)
            reader->error = errno;
        else if (got == 0)
            reader->eof = true;
        else
            reader->in.used += (size_t)got;
    }
    return reader->in.used - done < need ? reader->in.used - done : need;
}

static const unsigned char *here(const struct record_reader *reader)
{
    return reader->in.at + (reader->at - reader->in_at);
}

/* ---- begin */

int record_open_fd(struct record_reader *reader, int fd)
{
    struct stat status;

    *reader = (struct record_reader){.fd = fd, .seek_ns = INT64_MIN};
    if (fd < 0)
        return errno;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
        reader->seekable = true;
        reader->size = (uint64_t)status.st_size;
    }
    size_t there = fill(reader, RECORD_HEAD);
    int error = reader->error;
    const unsigned char *head = reader->in.at;
    if (error == 0 && (there < RECORD_HEAD || memcmp(head, record_magic, 8) != 0 || record_sum(get64(head + 16), head, 24) != get32(head + 24) || get32(head + 28) != 0))
        error = EPROTO;
    if (error == 0 && get32(head + 8) != RECORD_VERSION)
        error = EPROTONOSUPPORT;
    if (error != 0) {
        record_reader_fini(reader);
        return error;
    }
    reader->id = get64(head + 16);
    reader->at = reader->good = RECORD_HEAD;
    return 0;
}

int record_open(struct record_reader *reader, const char *path)
{
    return record_open_fd(reader, strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC));
}

void record_reader_fini(struct record_reader *reader)
{
    if (reader->fd >= 0)
        close(reader->fd);
    record_bytes_fini(&reader->in);
    record_bytes_fini(&reader->body);
    free(reader->written.entries);
    *reader = (struct record_reader){.fd = -1};
}

void record_seek_number(struct record_reader *reader, uint64_t number) { reader->seek_number = number; }
void record_seek_time(struct record_reader *reader, int64_t time_ns) { reader->seek_ns = time_ns; }

/* ---- frames */

static bool read_head(const unsigned char *head, uint64_t id, struct frame *ret_frame)
{
    if (memcmp(head, record_mark, 4) != 0 || record_sum(id, head, 40) != get32(head + 40) || get32(head + 44) != 0)
        return false;
    *ret_frame = (struct frame){.kind = head[4], .flags = head[5], .stored = get32(head + 8), .plain = get32(head + 12), .number = get64(head + 16),
                                .time_ns = (int64_t)get64(head + 24), .count = get32(head + 32), .sum = get32(head + 36)};
    return ret_frame->stored <= RECORD_BODY_MAX && ret_frame->plain <= RECORD_BODY_MAX;
}

static enum record_answer damaged(struct record_reader *reader, uint64_t at, uint64_t size)
{
    reader->damage_at = at;
    reader->damage_size = size;
    reader->left = 0;
    return RECORD_DAMAGE;
}

static enum record_answer cut(struct record_reader *reader, size_t there)
{
    damaged(reader, reader->at, there);
    reader->at += there;
    reader->ended = true;
    return RECORD_CUT;
}

/* No frame stands here: goes on to the next that does, or to the end. */
static enum record_answer skip_damage(struct record_reader *reader)
{
    uint64_t began = reader->at;
    struct frame frame;
    size_t there;

    reader->at++;
    while ((there = fill(reader, CHUNK)) >= RECORD_FRAME_HEAD) {
        const unsigned char *bytes = here(reader);
        size_t i = 0;
        for (const unsigned char *mark; i + RECORD_FRAME_HEAD <= there; i++) {
            mark = memchr(bytes + i, record_mark[0], there - RECORD_FRAME_HEAD + 1 - i);
            i = mark != NULL ? (size_t)(mark - bytes) : there - RECORD_FRAME_HEAD + 1;
            if (mark == NULL || read_head(mark, reader->id, &frame))
                break;
        }
        reader->at += i;
        if (i + RECORD_FRAME_HEAD <= there)
            return damaged(reader, began, reader->at - began);
    }
    if (reader->error != 0)
        return RECORD_FAILED;
    reader->at += there;
    reader->ended = true;
    return damaged(reader, began, reader->at - began);
}

static void keep_text(char *text, size_t room, json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    text[0] = '\0';
    if (value != NULL && strlen(value) < room)
        memcpy(text, value, strlen(value) + 1);
}

static enum record_answer read_about(struct record_reader *reader, const struct frame *frame, const unsigned char *body)
{
    json_t *object = json_loadb((const char *)body, frame->stored, 0, NULL);
    struct record_about *about = &reader->about;

    if (!json_is_object(object)) {
        json_decref(object);
        return damaged(reader, reader->frame_at, reader->at - reader->frame_at);
    }
    keep_text(about->queue, sizeof about->queue, object, "queue");
    keep_text(about->ref, sizeof about->ref, object, "ref");
    keep_text(about->host, sizeof about->host, object, "host");
    keep_text(about->spec, sizeof about->spec, object, "spec");
    about->capacity = (uint64_t)json_integer_value(json_object_get(object, "capacity"));
    about->item_size = (uint64_t)json_integer_value(json_object_get(object, "item_size"));
    about->tap = json_is_true(json_object_get(object, "tap"));
    json_decref(object);
    return RECORD_BEGINS;
}

/* The body as it was before it was packed; NULL: it cannot be had. */
static const unsigned char *unpack(struct record_reader *reader, const struct frame *frame, const unsigned char *body)
{
    if ((frame->flags & RECORD_FLAG_ZSTD) == 0)
        return frame->plain == frame->stored ? body : NULL;
#ifdef PTQ_WITH_ZSTD
    reader->body.used = 0;
    if (ZSTD_getFrameContentSize(body, frame->stored) != frame->plain)
        return NULL;
    if (!record_reserve(&reader->body, (size_t)frame->plain + 1)) {
        reader->error = ENOMEM;
        return NULL;
    }
    if (ZSTD_decompress(reader->body.at, frame->plain, body, frame->stored) == frame->plain)
        return reader->body.at;
    return NULL;
#else
    reader->error = ENOTSUP;
    return NULL;
#endif
}

static enum record_answer read_end(struct record_reader *reader)
{
    const unsigned char *tail;

    reader->ended = true;
    if (fill(reader, RECORD_TAIL) == RECORD_TAIL) {
        tail = here(reader);
        reader->closed = get64(tail) == reader->frame_at && record_sum(reader->id, tail, 8) == get32(tail + 8) &&
                         memcmp(tail + 16, record_end_magic, 8) == 0 && get32(tail + 12) == 0;
    }
    return RECORD_END;
}

/* By the index: behind what nobody wants. */
static bool jump(struct record_reader *reader)
{
    unsigned char bytes[RECORD_FRAME_HEAD], entry[RECORD_INDEX_ENTRY];
    uint64_t to = 0;
    struct frame frame;

    reader->sought = true;
    if (!reader->seekable || (reader->seek_number <= 1 && reader->seek_ns == INT64_MIN) || reader->size < RECORD_HEAD + RECORD_TAIL ||
        pread(reader->fd, bytes, RECORD_TAIL, (off_t)(reader->size - RECORD_TAIL)) != RECORD_TAIL ||
        memcmp(bytes + 16, record_end_magic, 8) != 0 || record_sum(reader->id, bytes, 8) != get32(bytes + 8))
        return false;
    uint64_t index = get64(bytes);
    if (pread(reader->fd, bytes, sizeof bytes, (off_t)index) != (ssize_t)sizeof bytes || !read_head(bytes, reader->id, &frame) ||
        frame.kind != RECORD_KIND_INDEX || frame.flags != 0)
        return false;
    for (uint32_t i = 0; i < frame.stored / RECORD_INDEX_ENTRY; i++) {
        off_t at = (off_t)(index + RECORD_FRAME_HEAD + (uint64_t)i * RECORD_INDEX_ENTRY);
        if (pread(reader->fd, entry, sizeof entry, at) != (ssize_t)sizeof entry)
            return false;
        bool later = reader->seek_ns != INT64_MIN && (int64_t)get64(entry + 16) > reader->seek_ns;
        if (later || (reader->seek_number != 0 && get64(entry + 8) > reader->seek_number))
            break;
        to = get64(entry);
    }
    if (to <= reader->at || to >= index || pread(reader->fd, bytes, sizeof bytes, (off_t)to) != (ssize_t)sizeof bytes ||
        !read_head(bytes, reader->id, &frame))
        return false;
    reader->at = reader->in_at = to;
    reader->in.used = 0;
    reader->eof = false;
    return true;
}

/* What a whole frame is; *ret_more: read on. */
static enum record_answer open_frame(struct record_reader *reader, const struct frame *frame, const unsigned char *body, bool *ret_more)
{
    switch (frame->kind) {
    case RECORD_KIND_ABOUT:
        return read_about(reader, frame, body);
    case RECORD_KIND_GAP:
        if (frame->stored != 8)
            return damaged(reader, reader->frame_at, reader->at - reader->frame_at);
        reader->missed = get64(body);
        return RECORD_MISSED;
    case RECORD_KIND_INDEX:
        return read_end(reader);
    case RECORD_KIND_MESSAGES:
        reader->next = unpack(reader, frame, body);
        if (reader->next == NULL)
            return reader->error != 0 ? RECORD_FAILED : damaged(reader, reader->frame_at, reader->at - reader->frame_at);
        reader->end = reader->next + frame->plain;
        reader->left = frame->count;
        reader->number = frame->number;
        *ret_more = true;
        return RECORD_MESSAGE;
    default: /* of a later version: what this one does not know it does not need */
        *ret_more = true;
        return RECORD_MESSAGE;
    }
}

static enum record_answer next_frame(struct record_reader *reader, bool *ret_more)
{
    struct frame frame;
    size_t there = fill(reader, RECORD_FRAME_HEAD);

    if (reader->error != 0)
        return RECORD_FAILED;
    if (there == 0)
        return RECORD_END;
    if (there < RECORD_FRAME_HEAD)
        return cut(reader, there);
    if (!read_head(here(reader), reader->id, &frame))
        return skip_damage(reader);
    if (frame.kind == RECORD_KIND_MESSAGES && !reader->sought && jump(reader)) {
        *ret_more = true;
        return RECORD_MESSAGE;
    }
    reader->frame_at = reader->at;
    size_t size = RECORD_FRAME_HEAD + (size_t)frame.stored;
    bool passed = frame.kind == RECORD_KIND_MESSAGES && frame.number + frame.count <= reader->seek_number;
    if (passed && reader->seekable && reader->at + size <= reader->size) {
        reader->at = reader->good = reader->at + size;
        *ret_more = true;
        return RECORD_MESSAGE;
    }
    there = fill(reader, size);
    if (reader->error != 0)
        return RECORD_FAILED;
    if (there < size)
        return cut(reader, there);
    const unsigned char *body = here(reader) + RECORD_FRAME_HEAD;
    reader->at += size;
    if (record_sum(reader->id, body, frame.stored) != frame.sum)
        return damaged(reader, reader->frame_at, size);
    if (frame.kind != RECORD_KIND_INDEX)
        reader->good = reader->at;
    if (frame.kind == RECORD_KIND_MESSAGES && !record_index_add(&reader->written, reader->frame_at, frame.number, frame.time_ns)) {
        reader->error = ENOMEM;
        return RECORD_FAILED;
    }
    return open_frame(reader, &frame, body, ret_more);
}

/* ---- messages */

static bool next_message(struct record_reader *reader, struct record_message *message)
{
    const unsigned char *at = reader->next;
    size_t left = (size_t)(reader->end - at);

    if (left < RECORD_FIXED)
        return false;
    *message = (struct record_message){.number = reader->number, .size = get32(at), .header_bytes = get16(at + 4),
                                       .redelivered = at[6] & RECORD_REDELIVERED, .has_trace = at[6] & RECORD_TRACED, .type = get32(at + 8),
                                       .sub = get32(at + 12), .position = get64(at + 16), .deliveries = get32(at + 24),
                                       .age_ms = (int64_t)get64(at + 32), .time_ns = (int64_t)get64(at + 40)};
    size_t trace = message->has_trace ? RECORD_TRACE : 0;
    if (left - RECORD_FIXED < trace + message->header_bytes || left - RECORD_FIXED - trace - message->header_bytes < message->size)
        return false;
    at += RECORD_FIXED;
    if (message->has_trace) {
        message->trace.version = at[0];
        memcpy(message->trace.trace_id, at + 1, 16);
        memcpy(message->trace.parent_id, at + 17, 8);
        message->trace.flags = at[25];
    }
    message->headers = at + trace;
    message->data = at + trace + message->header_bytes;
    reader->next = at + trace + message->header_bytes + message->size;
    reader->left--;
    reader->number++;
    return true;
}

enum record_answer record_next(struct record_reader *reader, struct record_message *ret_message)
{
    for (;;) {
        struct record_message message;
        bool more = false;
        if (reader->left == 0 && reader->ended)
            return RECORD_END;
        enum record_answer answer = reader->left == 0 ? next_frame(reader, &more) : RECORD_MESSAGE;
        if (reader->left == 0 && more)
            continue;
        if (!more && answer != RECORD_MESSAGE) {
            reader->ended = reader->ended || answer == RECORD_END || answer == RECORD_FAILED;
            return answer;
        }
        if (!next_message(reader, &message))
            return damaged(reader, reader->frame_at, reader->at - reader->frame_at);
        if (message.number < reader->seek_number || message.time_ns < reader->seek_ns)
            continue;
        *ret_message = message;
        return RECORD_MESSAGE;
    }
}
