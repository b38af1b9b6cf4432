/* record.c -- ptq record: messages into a file, and acknowledged when they are there; or, with --tap, as they pass by. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "common/clock.h"
#include "common/recording.h"
#include "progress.h"
#include "signals.h"

enum { BATCH_MAX = 1024 };

struct record_options {
    uint64_t count, batch;
    int timeout, wait, interval;
    bool all, tap, append, force, sync, zstd;
};

#define FIELD(name) offsetof(struct record_options, name)
static const struct tool_option record_options[] = {
    {'n', "count", TOOL_COUNT, FIELD(count), "N", "stop after N messages"},
    {'a', "all", TOOL_FLAG, FIELD(all), NULL, "take what is there, and stop when the queue is empty; with --tap begin with what is there"},
    {'T', "tap", TOOL_FLAG, FIELD(tap), NULL, "take nothing: record what is seen, as ptq tail does, and how much was not seen"},
    {'A', "append", TOOL_FLAG, FIELD(append), NULL, "go on with FILE, also where its recorder was killed; what it has is not recorded twice"},
    {0, "force", TOOL_FLAG, FIELD(force), NULL, "write over FILE"},
    {'s', "sync", TOOL_FLAG, FIELD(sync), NULL, "acknowledge what is on the disk, not what the system has: survives a loss of power too"},
    {'z', "zstd", TOOL_FLAG, FIELD(zstd), NULL, "pack it"},
    {'b', "batch", TOOL_COUNT, FIELD(batch), "N", "take up to N messages at once; 256"},
    {'t', "timeout", TOOL_MS, FIELD(timeout), "MS", "stop where nothing came for so long; forever: the default without --all"},
    {'w', "wait", TOOL_MS, FIELD(wait), "MS", "wait so long for the queue to come into being"},
    {'i', "interval", TOOL_MS, FIELD(interval), "MS", "with --tap look so often; 1"},
    {0}};
#undef FIELD

const struct tool_usage record_usages[] = {
    {.name = "record",
     .operands = "QUEUE FILE|-",
     .summary = "write messages to a file that can be replayed",
     .text = "Takes messages and writes them to FILE with headers, trace, type, position and time.  A message is acknowledged when it is in the file, "
             "and not before: if ptq is killed, or the disk is full, it comes again, and the file is whole up to what was acknowledged.  Goes on until "
             "the queue is ended, or SIGINT or SIGTERM comes: the file is closed then.\n\n"
             "The file survives being cut anywhere, but for what was cut; ptq-record(5) has its form.",
     .examples = "ptq record tasks day.ptqr\n"
                 "ptq record tasks day.ptqr --append --sync --zstd\n"
                 "ptq record tasks seen.ptqr --tap\n"
                 "ptq record tasks - --all | ssh east ptq replay - tasks",
     .options = record_options},
    {0}};

struct recording {
    const struct record_options *options;
    const char *name, *path;
    struct record_writer writer;
    struct record_about about;
    struct progress progress;
    struct ptq_view_cursor cursor;
    uint64_t done, again, bytes, told; /* told: of cursor.missed */
    int64_t last_ms;
    int error; /* of the file */
};

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static const char *advise(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return "make room, and go on with --append";
    case EEXIST:
        return "go on with it by --append, or write over it by --force";
    case EBUSY:
        return "another ptq record writes it: choose another file";
    case EPROTO:
        return "it is no recording: choose another file, or write over it by --force";
    case EPIPE:
        return "its reader has gone";
    case EMFILE:
    case ENFILE:
        return "raise the limit: ulimit -n";
    default:
        return "choose another file, or mend it and go on with --append";
    }
}

static int fail_file(struct recording *recording, int error)
{
    const char *why = error == EPROTO ? "what is there is something else" : strerror(error);
    enum ptq_err err = error == EACCES || error == EPERM ? PTQ_EPERM : PTQ_ESYS;

    progress_end(&recording->progress);
    if (recording->done == 0)
        return tool_fail(err, recording->path, "cannot write: %s - %s", why, advise(error));
    return tool_fail(err, recording->path, "cannot write: %s; %llu messages are in it, and no other was taken for good - %s", why,
                     (unsigned long long)recording->done, advise(error));
}

/* -- a message ------------------------------------------------------------------------------------------------ */

static size_t pack_headers(const ptq_msg *msg, unsigned char bytes[4 * PTQ_HEADERS_MAX])
{
    char name[PTQ_HEADER_NAME_MAX + 1];
    const void *value;
    size_t size, used = 0;

    for (size_t i = 0; ptq_msg_header_at(msg, i, name, &value, &size); i++) {
        size_t length = strlen(name);
        if (used + 3 + length + size > 4 * PTQ_HEADERS_MAX)
            break;
        bytes[used] = (unsigned char)length;
        bytes[used + 1] = (unsigned char)size;
        bytes[used + 2] = (unsigned char)(size >> 8);
        memcpy(bytes + used + 3, name, length);
        if (size > 0)
            memcpy(bytes + used + 3 + length, value, size);
        used += 3 + length + size;
    }
    return used;
}

static int add_message(struct recording *recording, struct record_message *message, const ptq_msg *msg)
{
    unsigned char headers[4 * PTQ_HEADERS_MAX];

    message->time_ns = now_ns();
    message->type = ptq_msg_type(msg);
    message->has_trace = ptq_msg_trace(msg, &message->trace);
    message->headers = headers;
    message->header_bytes = pack_headers(msg, headers);
    recording->bytes += message->size;
    return record_add(&recording->writer, message);
}

static int add_leased(struct recording *recording, const ptq_msg *msg)
{
    struct record_message message = {.age_ms = ptq_msg_age_ms(msg), .position = ptq_msg_position(msg), .sub = ptq_msg_sub(msg),
                                     .deliveries = ptq_msg_deliveries(msg), .redelivered = ptq_msg_redelivered(msg), .data = ptq_msg_data(msg),
                                     .size = ptq_msg_size(msg)};

    if (message.redelivered && record_has(&recording->writer, message.position, message.sub)) {
        recording->again++;
        return 0;
    }
    return add_message(recording, &message, msg);
}

/* -- taking --------------------------------------------------------------------------------------------------- */

static int ack_all(struct recording *recording, ptq_msg **msgs, size_t count)
{
    enum ptq_err err = count > 0 ? ptq_ack_many(msgs, count) : PTQ_OK;

    recording->done += count;
    if (err == PTQ_OK || err == PTQ_EGONE)
        return TOOL_OK;
    return tool_fail(err, recording->name, "a message is recorded and cannot be acknowledged: %s - it may come again, to another",
                     ptq_strerror(err));
}

/* Takes the messages in any case: those that are in the file are acknowledged, the others go back. */
static int keep_messages(struct recording *recording, ptq_msg **msgs, size_t count)
{
    size_t kept = 0;
    int error = 0, code = TOOL_OK;

    for (size_t i = 0; i < count && error == 0; i++) {
        error = add_leased(recording, msgs[i]);
        if (error == 0 && (i + 1 == count || record_is_full(&recording->writer))) {
            error = record_cut(&recording->writer);
            if (error == 0) {
                int acked = ack_all(recording, msgs + kept, i + 1 - kept);
                code = code != TOOL_OK ? code : acked;
                kept = i + 1;
            }
        }
    }
    while (count > kept)
        ptq_nack(msgs[--count], 0);
    return error != 0 ? fail_file(recording, error) : code;
}

static int stop_taking(struct recording *recording, ptq_queue *queue, enum ptq_err err)
{
    const struct record_options *options = recording->options;

    if (err == PTQ_END || (err == PTQ_EINTR && was_signalled()) || options->all)
        return err == PTQ_END || err == PTQ_EINTR || err == PTQ_EMPTY || err == PTQ_TIMEDOUT ? TOOL_OK : fail_queue(queue, err, 0, "cannot get");
    if (err != PTQ_EMPTY && err != PTQ_TIMEDOUT)
        return fail_queue(queue, err, 0, "cannot get");
    if (options->count == UINT64_MAX)
        return TOOL_OK;
    return tool_fail(err, recording->name, "only %llu of %llu messages came - wait longer with --timeout", (unsigned long long)recording->done,
                     (unsigned long long)options->count);
}

static int take_all(struct recording *recording, ptq_queue *queue)
{
    const struct record_options *options = recording->options;
    ptq_msg *msgs[BATCH_MAX];
    int code = TOOL_OK;

    while (code == TOOL_OK && recording->done < options->count && !was_signalled()) {
        uint64_t left = options->count - recording->done, batch = options->batch < left ? options->batch : left;
        size_t count = 0;
        enum ptq_err err = ptq_get_many(queue, msgs, 1, batch, options->timeout, &count);
        if (err == PTQ_EINTR && !was_signalled())
            continue;
        if (err != PTQ_OK) {
            progress_end(&recording->progress);
            return stop_taking(recording, queue, err);
        }
        code = keep_messages(recording, msgs, count);
        progress_show(&recording->progress, recording->done, recording->bytes, 0);
    }
    return code;
}

/* -- looking on ----------------------------------------------------------------------------------------------- */

static bool keep_seen(const struct ptq_view_msg *msg, void *context)
{
    struct recording *recording = context;
    struct record_message message = {.age_ms = -1, .position = msg->position, .sub = msg->sub, .deliveries = msg->deliveries,
                                     .redelivered = msg->redelivered, .data = msg->data, .size = msg->size};

    if (recording->cursor.missed > recording->told && recording->error == 0) {
        recording->error = record_gap(&recording->writer, recording->cursor.missed - recording->told, now_ns());
        recording->told = recording->cursor.missed;
    }
    if (recording->error == 0)
        recording->error = add_message(recording, &message, msg->msg);
    if (recording->error == 0 && record_is_full(&recording->writer))
        recording->error = record_cut(&recording->writer);
    recording->done += recording->error == 0;
    recording->last_ms = tool_now_ms();
    return recording->error == 0 && recording->done < recording->options->count;
}

static int look_on(struct recording *recording, ptq_view *view)
{
    const struct record_options *options = recording->options;

    recording->last_ms = tool_now_ms();
    while (!was_signalled() && recording->done < options->count) {
        uint64_t before = recording->done;
        enum ptq_err err = ptq_view_follow(view, &recording->cursor, keep_seen, recording);
        if (recording->error == 0)
            recording->error = record_cut(&recording->writer);
        if (recording->error != 0)
            return fail_file(recording, recording->error);
        progress_show(&recording->progress, recording->done, recording->bytes, 0);
        if (err == PTQ_END)
            return TOOL_OK;
        if (err != PTQ_OK) {
            progress_end(&recording->progress);
            return tool_fail(err, recording->name, "cannot look at it: %s - see: ptq verify %s", ptq_strerror(err), recording->name);
        }
        if (options->timeout >= 0 && tool_now_ms() - recording->last_ms >= options->timeout)
            return TOOL_OK;
        if (before == recording->done)
            wait_two_for(-1, -1, options->interval > 0 ? options->interval : 1);
    }
    return TOOL_OK;
}

/* -- the command ---------------------------------------------------------------------------------------------- */

static void describe(struct recording *recording, ptq_queue *queue)
{
    struct record_about *about = &recording->about;
    struct ptq_queue_stats stats;

    snprintf(about->queue, sizeof about->queue, "%s", recording->name);
    if (gethostname(about->host, sizeof about->host - 1) != 0)
        about->host[0] = '\0';
    about->tap = recording->options->tap;
    if (ptq_queue_ref(queue, about->ref, sizeof about->ref) != PTQ_OK)
        about->ref[0] = '\0';
    snprintf(about->spec, sizeof about->spec, "%s", ptq_queue_spec(queue));
    if (ptq_queue_stats(queue, &stats) == PTQ_OK) {
        about->capacity = stats.capacity;
        about->item_size = stats.item_size;
    }
}

static int begin_file(struct recording *recording)
{
    const struct record_options *options = recording->options;
    enum record_begin begin = options->append ? RECORD_APPEND : options->force ? RECORD_REPLACE : RECORD_NEW;
    uint64_t cut = 0;

    recording->writer.compress = options->zstd;
    recording->writer.sync = options->sync;
    int error = record_create(&recording->writer, recording->path, begin, &recording->about, &cut);
    if (error != 0)
        return fail_file(recording, error);
    if (cut > 0)
        tool_error(recording->path, "its last recorder was killed: a cut frame of %llu bytes was taken off - nothing of it was acknowledged, it comes again",
                   (unsigned long long)cut);
    return TOOL_OK;
}

static int end_file(struct recording *recording, int code)
{
    progress_end(&recording->progress);
    if (recording->error != 0 || recording->writer.fd < 0) {
        record_abandon(&recording->writer);
        return code;
    }
    int error = record_close(&recording->writer);
    if (error != 0 && code == TOOL_OK)
        return fail_file(recording, error);
    if (recording->cursor.missed > 0)
        tool_error(recording->name, "%llu messages or more went by unseen - look more often (--interval), or record without --tap",
                   (unsigned long long)recording->cursor.missed);
    return code;
}

static void check_options(struct record_options *options)
{
    if (options->append && options->force)
        exit(tool_misuse("record", "--append and --force exclude each other"));
    if (options->batch > BATCH_MAX)
        exit(tool_misuse("record", "--batch is at most %d", BATCH_MAX));
    if (options->zstd && !record_can_compress())
        exit(tool_misuse("record", "--zstd was not built in: install libzstd-dev and build again"));
    if (options->timeout == -2)
        options->timeout = options->all && !options->tap ? PTQ_NOWAIT : PTQ_FOREVER;
}

static int run_record(struct recording *recording, ptq_bus *bus)
{
    const struct record_options *options = recording->options;
    struct ptq_queue_options attach = {.mode = PTQ_ATTACH, .wait_ms = options->wait};
    ptq_queue *queue = NULL;
    ptq_view *view = NULL;

    int code = open_queue(bus, recording->name, &attach, &queue);
    if (code == TOOL_OK && options->tap)
        code = open_view(bus, recording->name, &view);
    if (code == TOOL_OK) {
        catch_signals(queue);
        describe(recording, queue);
        code = begin_file(recording);
    }
    if (code == TOOL_OK) {
        progress_begin(&recording->progress, "recorded", false);
        code = view != NULL ? look_on(recording, view) : take_all(recording, queue);
        code = end_file(recording, code);
    }
    release_signals();
    ptq_view_close(view);
    ptq_queue_close(queue);
    return code;
}

int cmd_record(int argc, char **argv)
{
    struct record_options options = {.count = UINT64_MAX, .batch = 256, .timeout = -2, .interval = 1};
    int first = tool_read_operands(record_usages, argc, argv, &options, 2, 2);
    struct recording recording = {.options = &options, .name = argv[first], .path = argv[first + 1], .cursor = {.oldest = options.all},
                                  .writer = {.fd = -1}};
    ptq_bus *bus = NULL;

    check_options(&options);
    if (options.tap && strpbrk(recording.name, "@:!") != NULL)
        return tool_misuse("record", "--tap sees queues of this host only, and no dead letters: %s is none", recording.name);
    int code = open_bus(&bus);
    if (code == TOOL_OK)
        code = run_record(&recording, bus);
    ptq_bus_close(bus);
    return end_by_signal(code);
}
