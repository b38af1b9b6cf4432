/* recording_write.c -- writing a recording: a frame is in the file with its last byte, or the file is as it was. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#ifdef PTQ_WITH_ZSTD
#include <zstd.h>
#endif

#include "recording_bytes.h"

bool record_can_compress(void)
{
#ifdef PTQ_WITH_ZSTD
    return true;
#else
    return false;
#endif
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- bytes into the file */

static int write_all(int fd, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;

    while (size > 0) {
        ssize_t done = write(fd, at, size);
        if (done < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (done < 0)
            return errno;
        at += done;
        size -= (size_t)done;
    }
    return 0;
}

/* A failure takes back what was written of it. */
static int write_two(struct record_writer *writer, const void *one, size_t one_size, const void *two, size_t two_size)
{
    int error = write_all(writer->fd, one, one_size);

    if (error == 0)
        error = write_all(writer->fd, two, two_size);
    if (error == 0 && writer->sync && fdatasync(writer->fd) != 0 && errno != EINVAL)
        error = errno;
    if (error == 0) {
        writer->offset += one_size + two_size;
        return 0;
    }
    if (writer->seekable && (ftruncate(writer->fd, (off_t)writer->offset) != 0 || lseek(writer->fd, (off_t)writer->offset, SEEK_SET) < 0))
        return error; /* a cut frame stays: readers know those */
    return error;
}

static int write_frame(struct record_writer *writer, int kind, const struct record_bytes *body, uint64_t number, int64_t time_ns, uint32_t count)
{
    unsigned char head[RECORD_FRAME_HEAD];
    const unsigned char *stored = body->at;
    size_t size = body->used;
    uint64_t offset = writer->offset;
    int flags = 0;

#ifdef PTQ_WITH_ZSTD
    if (writer->compress && kind == RECORD_KIND_MESSAGES && record_reserve(&writer->packed, ZSTD_compressBound(body->used))) {
        size_t packed = ZSTD_compress(writer->packed.at, writer->packed.room, body->at, body->used, 3);
        if (!ZSTD_isError(packed) && packed < body->used) {
            stored = writer->packed.at;
            size = packed;
            flags = RECORD_FLAG_ZSTD;
        }
    }
#endif
    record_seal(head, writer->id, kind, flags, stored, size, body->used, number, time_ns, count);
    int error = write_two(writer, head, sizeof head, stored, size);
    if (error == 0 && kind == RECORD_KIND_MESSAGES)
        record_index_add(&writer->index, offset, number, time_ns); /* without memory it has fewer entries */
    return error;
}

/* ---- begin */

static int write_about(struct record_writer *writer, const struct record_about *about)
{
    json_t *object = json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:b}", "v", 1, "queue", about->queue, "ref", about->ref, "host",
                               about->host, "spec", about->spec, "capacity", (json_int_t)about->capacity, "item_size",
                               (json_int_t)about->item_size, "tap", about->tap);
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    struct record_bytes body = {(unsigned char *)text, text != NULL ? strlen(text) : 0, 0};
    int error = text != NULL ? write_frame(writer, RECORD_KIND_ABOUT, &body, writer->count + 1, now_ns(), 0) : ENOMEM;

    free(text);
    json_decref(object);
    return error;
}

static int begin_file(struct record_writer *writer)
{
    unsigned char head[RECORD_HEAD];

    if (getrandom(&writer->id, sizeof writer->id, 0) != (ssize_t)sizeof writer->id)
        return EIO;
    record_seal_head(head, writer->id);
    return write_two(writer, head, sizeof head, NULL, 0);
}

/* Reads what is there, to its last whole frame; what stands behind that is taken off. */
static int go_on(struct record_writer *writer, const char *ref, uint64_t *ret_cut)
{
    struct record_reader reader;
    struct record_message message;
    bool same = false;
    uint64_t good;
    int error = record_open_fd(&reader, dup(writer->fd));

    if (error != 0)
        return error;
    writer->seen = calloc(RECORD_SEEN, sizeof *writer->seen);
    if (writer->seen == NULL) {
        record_reader_fini(&reader);
        return ENOMEM;
    }
    for (;;) {
        enum record_answer answer = record_next(&reader, &message);
        if (answer == RECORD_FAILED) {
            error = reader.error;
            break;
        }
        if (answer == RECORD_END || answer == RECORD_CUT)
            break;
        if (answer == RECORD_BEGINS) {
            same = strcmp(reader.about.ref, ref) == 0 && ref[0] != '\0';
            writer->seen_count = 0;
        }
        if (answer == RECORD_MESSAGE && same)
            writer->seen[writer->seen_count++ % RECORD_SEEN] = (struct record_seen){message.position, message.sub};
        if (answer == RECORD_MESSAGE)
            writer->count = message.number;
    }
    good = reader.good;
    writer->id = reader.id;
    writer->index = reader.written;
    reader.written = (struct record_index){0};
    if (writer->seen_count > RECORD_SEEN)
        writer->seen_count = RECORD_SEEN;
    *ret_cut = !reader.closed && reader.size > good ? reader.size - good : 0;
    record_reader_fini(&reader);
    if (error == 0 && (ftruncate(writer->fd, (off_t)good) != 0 || lseek(writer->fd, (off_t)good, SEEK_SET) < 0))
        error = errno;
    writer->offset = good;
    return error;
}

/* Shorter than its head: a recording that was cut there, or nothing of ours? */
static bool is_begun(int fd, size_t size)
{
    unsigned char bytes[sizeof record_magic];
    size_t known = size < sizeof bytes ? size : sizeof bytes;

    return pread(fd, bytes, known, 0) == (ssize_t)known && memcmp(bytes, record_magic, known) == 0;
}

static int open_file(struct record_writer *writer, const char *path, enum record_begin begin, const struct record_about *about, uint64_t *ret_cut)
{
    struct stat status;
    int flags = O_RDWR | O_CLOEXEC | O_CREAT | (begin == RECORD_NEW ? O_EXCL : 0);

    if (strcmp(path, "-") == 0)
        writer->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    else
        writer->fd = open(path, flags, 0600);
    if (writer->fd < 0 && errno == EEXIST && stat(path, &status) == 0 && !S_ISREG(status.st_mode))
        writer->fd = open(path, O_WRONLY | O_CLOEXEC); /* a pipe or a device: nothing of it is overwritten */
    if (writer->fd < 0)
        return errno;
    if (fstat(writer->fd, &status) != 0)
        return errno;
    writer->seekable = S_ISREG(status.st_mode) && strcmp(path, "-") != 0;
    if (writer->seekable && flock(writer->fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? EBUSY : errno;
    if (writer->seekable && begin == RECORD_APPEND && status.st_size >= RECORD_HEAD)
        return go_on(writer, about->ref, ret_cut);
    if (writer->seekable && begin == RECORD_APPEND && !is_begun(writer->fd, (size_t)status.st_size))
        return EPROTO;
    if (writer->seekable && begin != RECORD_NEW && ftruncate(writer->fd, 0) != 0)
        return errno;
    return begin_file(writer);
}

int record_create(struct record_writer *writer, const char *path, enum record_begin begin, const struct record_about *about, uint64_t *ret_cut)
{
    bool compress = writer->compress, sync = writer->sync;

    *writer = (struct record_writer){.fd = -1, .compress = compress, .sync = sync};
    *ret_cut = 0;
    int error = open_file(writer, path, begin, about, ret_cut);
    if (error == 0)
        error = write_about(writer, about);
    if (error != 0)
        record_abandon(writer);
    return error;
}

bool record_has(const struct record_writer *writer, uint64_t position, uint32_t sub)
{
    for (size_t i = 0; i < writer->seen_count; i++)
        if (writer->seen[i].position == position && writer->seen[i].sub == sub)
            return true;
    return false;
}

/* ---- messages */

int record_add(struct record_writer *writer, const struct record_message *message)
{
    size_t trace = message->has_trace ? RECORD_TRACE : 0, size = RECORD_FIXED + trace + message->header_bytes + message->size;
    unsigned char *at;

    if (!record_reserve(&writer->body, size))
        return ENOMEM;
    at = writer->body.at + writer->body.used;
    memset(at, 0, RECORD_FIXED);
    set32(at, (uint32_t)message->size);
    set16(at + 4, (uint16_t)message->header_bytes);
    at[6] = (unsigned char)((message->redelivered ? RECORD_REDELIVERED : 0) | (message->has_trace ? RECORD_TRACED : 0));
    set32(at + 8, message->type);
    set32(at + 12, message->sub);
    set64(at + 16, message->position);
    set32(at + 24, message->deliveries);
    set64(at + 32, (uint64_t)message->age_ms);
    set64(at + 40, (uint64_t)message->time_ns);
    at += RECORD_FIXED;
    if (message->has_trace) {
        at[0] = message->trace.version;
        memcpy(at + 1, message->trace.trace_id, 16);
        memcpy(at + 17, message->trace.parent_id, 8);
        at[25] = message->trace.flags;
        at += RECORD_TRACE;
    }
    if (message->header_bytes > 0)
        memcpy(at, message->headers, message->header_bytes);
    if (message->size > 0)
        memcpy(at + message->header_bytes, message->data, message->size);
    writer->body.used += size;
    if (writer->pending++ == 0)
        writer->first_ns = message->time_ns;
    return 0;
}

bool record_is_full(const struct record_writer *writer)
{
    return writer->body.used >= RECORD_BODY_ROOM || writer->pending >= RECORD_FRAME_MESSAGES;
}

int record_cut(struct record_writer *writer)
{
    uint32_t count = writer->pending;

    if (count == 0)
        return 0;
    int error = write_frame(writer, RECORD_KIND_MESSAGES, &writer->body, writer->count + 1, writer->first_ns, count);
    writer->body.used = 0;
    writer->pending = 0;
    if (error == 0)
        writer->count += count;
    return error;
}

int record_gap(struct record_writer *writer, uint64_t missed, int64_t time_ns)
{
    unsigned char bytes[8];
    const struct record_bytes body = {bytes, sizeof bytes, 0};
    int error = record_cut(writer);

    set64(bytes, missed);
    return error != 0 ? error : write_frame(writer, RECORD_KIND_GAP, &body, writer->count + 1, time_ns, 0);
}

/* ---- end */

static int write_end(struct record_writer *writer)
{
    unsigned char tail[RECORD_TAIL] = {0};
    struct record_bytes body = {0};
    uint64_t offset = writer->offset;

    if (!record_reserve(&body, writer->index.count * RECORD_INDEX_ENTRY + 1))
        return ENOMEM;
    for (size_t i = 0; i < writer->index.count; i++, body.used += RECORD_INDEX_ENTRY) {
        set64(body.at + body.used, writer->index.entries[i].offset);
        set64(body.at + body.used + 8, writer->index.entries[i].number);
        set64(body.at + body.used + 16, (uint64_t)writer->index.entries[i].time_ns);
    }
    int error = write_frame(writer, RECORD_KIND_INDEX, &body, writer->count + 1, now_ns(), (uint32_t)writer->index.count);
    record_bytes_fini(&body);
    if (error != 0)
        return error;
    set64(tail, offset);
    memcpy(tail + 16, record_end_magic, 8);
    set32(tail + 8, record_sum(writer->id, tail, 8));
    return write_two(writer, tail, sizeof tail, NULL, 0);
}

int record_close(struct record_writer *writer)
{
    int error = record_cut(writer);

    if (error == 0)
        error = write_end(writer);
    if (error == 0 && writer->seekable && fsync(writer->fd) != 0)
        error = errno;
    if (writer->fd >= 0 && close(writer->fd) != 0 && error == 0)
        error = errno;
    writer->fd = -1;
    record_abandon(writer);
    return error;
}

void record_abandon(struct record_writer *writer)
{
    if (writer->fd >= 0)
        close(writer->fd);
    record_bytes_fini(&writer->body);
    record_bytes_fini(&writer->packed);
    free(writer->index.entries);
    free(writer->seen);
    *writer = (struct record_writer){.fd = -1};
}
