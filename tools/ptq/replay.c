/* replay.c -- ptq replay: what ptq record wrote, put again, or shown. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "common/clock.h"
#include "common/report.h"
#include "common/text.h"
#include "output.h"
#include "pattern.h"
#include "progress.h"
#include "signals.h"

enum { HEADERS_MOST = 64 };

struct replay_options {
    const char *speed, *from, *to;
    uint64_t count;
    struct tool_format format;
    int timeout;
    bool create, info, json;
};

#define FIELD(name) offsetof(struct replay_options, name)
static const struct tool_option replay_options[] = {
    {'s', "speed", TOOL_TEXT, FIELD(speed), "FACTOR|max", "1, the default: with the pauses that were recorded; 10: ten times as fast; max: without any"},
    {0, "from", TOOL_TEXT, FIELD(from), "WHERE",
     "begin there: a message's number, from 1; +SECONDS behind the first; or a local time, '2026-11-22 01:02:03'"},
    {0, "to", TOOL_TEXT, FIELD(to), "WHERE", "stop behind it"},
    {'n', "count", TOOL_COUNT, FIELD(count), "N", "stop after N messages"},
    {'t', "timeout", TOOL_MS, FIELD(timeout), "MS", "wait at most so long for room; forever: the default"},
    {'c', "create", TOOL_FLAG, FIELD(create), NULL, "create the queue, where there is none, with the capacity and item size of the recorded one"},
    {'F', "format", TOOL_FORMAT, FIELD(format), FORMAT_WORDS, "without QUEUE: how messages are shown, as for ptq get; json tells number and time, too"},
    {'i', "info", TOOL_FLAG, FIELD(info), NULL, "say what is in FILE, having read all of it, and put nothing"},
    {0, "json", TOOL_FLAG, FIELD(json), NULL, "with --info: one JSON object"},
    {0}};
#undef FIELD

const struct tool_usage replay_usages[] = {
    {.name = "replay",
     .operands = "FILE|- [QUEUE]",
     .summary = "put what was recorded again, or show it",
     .text = "Puts the messages of a recording into QUEUE, of this host or another, with their headers, traces and types, in their order, and with the "
             "pauses that lay between them.  Without QUEUE it writes them to standard output.\n\n"
             "A file whose recorder was killed is replayed up to what was cut off, and so is one with a damage, up to it and behind it: both is said, "
             "and where anything that was written is lost the exit code is 1.",
     .examples = "ptq replay day.ptqr tasks --speed max\n"
                 "ptq replay day.ptqr tasks@east --from '2026-11-22 01:02:03' -n 1000\n"
                 "ptq replay day.ptqr -F json | jq .\n"
                 "ptq replay day.ptqr --info",
     .options = replay_options},
    {0}};

/* --from and --to. */
struct place {
    uint64_t number;  /* 0: not given so */
    int64_t time_ns;  /* INT64_MIN: not given so */
    double behind;    /* seconds; below 0: not given so */
};

struct replaying {
    const struct replay_options *options;
    const char *path;
    ptq_queue *queue; /* NULL: messages are shown */
    struct record_reader reader;
    struct place from, to;
    double speed; /* 0: max */
    int64_t first_ns, began_ns;
    uint64_t done, bytes, missed, damages, lost_bytes, last_number;
    int64_t last_ns, begin_ns;
    bool cut;
    struct output output;
    struct progress progress;
};

/* -- the call ------------------------------------------------------------------------------------------------- */

static struct place read_place(const char *option, const char *text)
{
    static const char *const forms[] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"};
    struct place place = {.time_ns = INT64_MIN, .behind = -1};
    char *rest;

    if (text == NULL)
        return place;
    if (text[0] == '+') {
        place.behind = strtod(text + 1, &rest);
        if (rest != text + 1 && *rest == '\0' && place.behind >= 0)
            return place;
    }
    place.number = strtoull(text, &rest, 10);
    if (text[0] >= '0' && text[0] <= '9' && *rest == '\0' && place.number > 0)
        return place;
    place.number = 0;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct tm tm = {.tm_isdst = -1};
        rest = strptime(text, forms[i], &tm);
        if (rest == NULL || *rest != '\0')
            continue;
        place.time_ns = (int64_t)mktime(&tm) * 1000000000;
        return place;
    }
    exit(tool_misuse("replay", "--%s cannot be '%s': it is a number from 1, +SECONDS, or a time such as '2026-11-22 01:02:03'", option, text));
}

static double read_speed(const char *text)
{
    char *rest;

    if (text == NULL)
        return 1;
    if (strcmp(text, "max") == 0)
        return 0;
    double speed = strtod(text, &rest);
    if (rest == text || *rest != '\0' || !(speed > 0) || !isfinite(speed))
        exit(tool_misuse("replay", "--speed cannot be '%s': it is a factor above 0, or max", text));
    return speed;
}

/* -- what a file says of itself ------------------------------------------------------------------------------- */

static int fail_read(const struct replaying *replaying, int error)
{
    enum ptq_err err = error == EACCES ? PTQ_EPERM : PTQ_ESYS;

    switch (error) {
    case EPROTO:
        return tool_fail(err, replaying->path, "is no recording, or its first bytes are damaged - give a file that ptq record wrote");
    case EPROTONOSUPPORT:
        return tool_fail(PTQ_EVERSION, replaying->path, "is a recording of a later version - read it with the ptq that wrote it, or a later one");
    case ENOTSUP:
        return tool_fail(err, replaying->path, "is packed with zstd, which was not built in - install libzstd-dev and build again");
    default:
        return tool_fail(err, replaying->path, "cannot read: %s - give a file that ptq record wrote", strerror(error));
    }
}

static void tell_damage(struct replaying *replaying, enum record_answer answer)
{
    const struct record_reader *reader = &replaying->reader;

    progress_end(&replaying->progress);
    replaying->damages++;
    replaying->lost_bytes += reader->damage_size;
    replaying->cut = replaying->cut || answer == RECORD_CUT;
    if (answer == RECORD_CUT)
        tool_error(replaying->path, "it is cut in the midst of a frame, %" PRIu64 " bytes of it are left at offset %" PRIu64
                   " - what is before it is whole; ptq record --append goes on there", reader->damage_size, reader->damage_at);
    else
        tool_error(replaying->path, "%" PRIu64 " bytes at offset %" PRIu64 " are not what was written: their messages are lost - "
                   "take another copy of the file, if there is one", reader->damage_size, reader->damage_at);
}

static int tell_end(const struct replaying *replaying)
{
    if (!replaying->reader.closed && replaying->damages == 0 && replaying->reader.ended)
        tool_error(replaying->path, "its recorder was killed, or goes on: it ends with message %" PRIu64
                   " - that is all that was acknowledged; ptq record --append goes on with it", replaying->last_number);
    if (replaying->missed > 0)
        tool_error(replaying->path, "%" PRIu64 " messages or more are not in it: the tap did not see them - record without --tap to have all",
                   replaying->missed);
    return replaying->damages > 0 ? TOOL_ERROR : TOOL_OK;
}

static int print_info(const struct replaying *replaying)
{
    const struct record_about *about = &replaying->reader.about;
    const struct record_reader *reader = &replaying->reader;
    char size[16], from[32], to[32];

    if (!replaying->options->json) {
        printf("queue     %s\nhost      %s\nref       %s\n", about->queue, about->host, about->ref);
        printf("taken     %s\n", about->tap ? "by a tap" : "yes");
        printf("messages  %" PRIu64 ", %s\n", replaying->done, tool_human(replaying->bytes, 1024, size));
        printf("from      %s\nto        %s\n", tool_when(replaying->begin_ns / 1000000, from), tool_when(replaying->last_ns / 1000000, to));
        printf("unseen    %" PRIu64 "\nstate     %s\n", replaying->missed, replaying->damages > 0 ? replaying->cut ? "cut" : "damaged" :
               reader->closed ? "closed" : "not closed");
        return TOOL_OK;
    }
    json_t *object = json_pack("{s:i, s:o?, s:o?, s:o?, s:b, s:b, s:b}", "v", 1, "queue", tool_text_json(about->queue), "host",
                               tool_text_json(about->host), "ref", tool_text_json(about->ref), "tap", (int)about->tap, "closed", (int)reader->closed,
                               "cut", (int)replaying->cut);
    if (object == NULL)
        return TOOL_ERROR;
    tool_set_number(object, "messages", replaying->done);
    tool_set_number(object, "bytes", replaying->bytes);
    tool_set_number(object, "missed", replaying->missed);
    tool_set_number(object, "damages", replaying->damages);
    tool_set_number(object, "damaged_bytes", replaying->lost_bytes);
    tool_set_number(object, "from_ns", (uint64_t)replaying->begin_ns);
    tool_set_number(object, "to_ns", (uint64_t)replaying->last_ns);
    return tool_print_json(object, stdout);
}

/* -- messages ------------------------------------------------------------------------------------------------- */

static int show_message(struct replaying *replaying, const struct record_message *message)
{
    const struct shown shown = {.queue = replaying->reader.about.queue, .data = message->data, .size = message->size, .position = message->position,
                                .sub = message->sub, .deliveries = message->deliveries, .redelivered = message->redelivered, .recorded = message};

    if (!output_message(&replaying->output, &replaying->options->format, &shown)) {
        tool_error(replaying->path, "out of memory at message %" PRIu64 " - end other programs, or begin behind it with --from", message->number);
        return TOOL_ERROR;
    }
    return replaying->speed > 0 || replaying->output.used > 65536 ? output_flush(&replaying->output) : TOOL_OK;
}

static int put_message(struct replaying *replaying, const struct record_message *message)
{
    char names[HEADERS_MOST][PTQ_HEADER_NAME_MAX + 1];
    struct ptq_header headers[HEADERS_MOST];
    struct ptq_put_options how = {.headers = headers, .trace = message->has_trace ? &message->trace : NULL, .type = message->type};
    size_t at = 0;
    enum ptq_err err;

    while (how.header_count < HEADERS_MOST &&
           record_header_next(message, &at, names[how.header_count], &headers[how.header_count].value, &headers[how.header_count].size)) {
        headers[how.header_count].name = names[how.header_count];
        how.header_count++;
    }
    do
        err = ptq_put_with(replaying->queue, message->data, message->size, &how, replaying->options->timeout);
    while (err == PTQ_EINTR && !was_signalled());
    if (err == PTQ_OK || (err == PTQ_EINTR && was_signalled()))
        return TOOL_OK;
    progress_end(&replaying->progress);
    return fail_queue(replaying->queue, err, message->size, "cannot put message %" PRIu64 " of %s; go on with --from %" PRIu64, message->number,
                      replaying->path, message->number);
}

/* False: a signal came. */
static bool wait_for_turn(struct replaying *replaying, int64_t time_ns)
{
    if (replaying->began_ns == 0) {
        replaying->began_ns = tool_now_ns();
        replaying->first_ns = time_ns;
    }
    while (replaying->speed > 0) {
        double due = (double)(time_ns - replaying->first_ns) / replaying->speed;
        double left = due - (double)(tool_now_ns() - replaying->began_ns);
        if (left < 1e6)
            break;
        if (!wait_two_for(-1, -1, left > 1e12 ? 1000000 : (int)(left / 1e6)))
            return false;
    }
    return !was_signalled();
}

static bool is_behind(const struct replaying *replaying, const struct record_message *message)
{
    const struct place *to = &replaying->to;

    return (to->number != 0 && message->number > to->number) || (to->time_ns != INT64_MIN && message->time_ns > to->time_ns) ||
           (to->behind >= 0 && (double)(message->time_ns - replaying->begin_ns) > to->behind * 1e9);
}

static int do_message(struct replaying *replaying, const struct record_message *message)
{
    int code = TOOL_OK;

    replaying->last_number = message->number;
    replaying->last_ns = message->time_ns;
    if (!replaying->options->info) {
        if (!wait_for_turn(replaying, message->time_ns))
            return TOOL_OK;
        code = replaying->queue != NULL ? put_message(replaying, message) : show_message(replaying, message);
    }
    if (code == TOOL_OK) {
        replaying->done++;
        replaying->bytes += message->size;
    }
    progress_show(&replaying->progress, replaying->done, replaying->reader.at, replaying->reader.size);
    return code;
}

static int read_messages(struct replaying *replaying)
{
    struct record_message message;
    int code = TOOL_OK;

    while (code == TOOL_OK && replaying->done < replaying->options->count && !was_signalled()) {
        enum record_answer answer = record_next(&replaying->reader, &message);
        if (answer == RECORD_END)
            break;
        if (answer == RECORD_FAILED)
            return fail_read(replaying, replaying->reader.error);
        if (answer == RECORD_DAMAGE || answer == RECORD_CUT)
            tell_damage(replaying, answer);
        replaying->missed += answer == RECORD_MISSED ? replaying->reader.missed : 0;
        if (answer != RECORD_MESSAGE)
            continue;
        if (replaying->begin_ns == 0)
            replaying->begin_ns = message.time_ns;
        if (replaying->from.behind >= 0 && (double)(message.time_ns - replaying->begin_ns) < replaying->from.behind * 1e9)
            continue;
        if (is_behind(replaying, &message))
            break;
        code = do_message(replaying, &message);
    }
    return code;
}

/* -- the command ---------------------------------------------------------------------------------------------- */

/* The first frame tells what the queue was, before any message. */
static int open_target(struct replaying *replaying, ptq_bus *bus, const char *name)
{
    struct ptq_queue_options how = {.mode = PTQ_ATTACH};
    const struct record_about *about = &replaying->reader.about;
    struct record_message message;

    if (replaying->options->create) {
        if (record_next(&replaying->reader, &message) != RECORD_BEGINS)
            return tool_fail(PTQ_ESYS, replaying->path, "does not say what its queue was - create one with ptq create, and replay without --create");
        how.mode = PTQ_OPEN_OR_CREATE;
        how.capacity = about->capacity;
        how.item_size = about->item_size <= PTQ_ITEM_MAX ? (uint32_t)about->item_size : 0;
        how.spec = about->spec;
    }
    return open_queue(bus, name, &how, &replaying->queue);
}

static int run_replay(struct replaying *replaying)
{
    int code;

    progress_begin(&replaying->progress, replaying->options->info ? "read" : "replayed", replaying->queue == NULL && progress_is_seen());
    code = read_messages(replaying);
    progress_end(&replaying->progress);
    if (code == TOOL_OK)
        code = output_flush(&replaying->output);
    if (code == TOOL_OK && replaying->queue != NULL) {
        enum ptq_err err = ptq_flush(replaying->queue, replaying->options->timeout);
        code = err == PTQ_OK ? TOOL_OK : fail_queue(replaying->queue, err, 0, "cannot put the last messages");
    }
    if (code == TOOL_OK && replaying->options->info)
        code = print_info(replaying);
    int told = code == TOOL_OK ? tell_end(replaying) : code;
    int finished = tool_finish();
    return told != TOOL_OK ? told : finished;
}

int cmd_replay(int argc, char **argv)
{
    struct replay_options options = {.count = UINT64_MAX, .timeout = PTQ_FOREVER, .format.word = FORMAT_DEFAULT};
    int first = tool_read_operands(replay_usages, argc, argv, &options, 1, 2);
    const char *name = argc - first > 1 ? argv[first + 1] : NULL;
    struct replaying replaying = {.options = &options, .path = argv[first], .from = read_place("from", options.from), .to = read_place("to", options.to),
                                  .speed = name != NULL || options.speed != NULL ? read_speed(options.speed) : 0};
    ptq_bus *bus = NULL;

    pattern_check("replay", &options.format);
    if (name != NULL && options.info)
        return tool_misuse("replay", "--info puts nothing: leave QUEUE away");
    int error = record_open(&replaying.reader, replaying.path);
    if (error != 0)
        return fail_read(&replaying, error);
    if (replaying.from.number != 0)
        record_seek_number(&replaying.reader, replaying.from.number);
    if (replaying.from.time_ns != INT64_MIN)
        record_seek_time(&replaying.reader, replaying.from.time_ns);
    int code = name != NULL ? open_bus(&bus) : TOOL_OK;
    if (code == TOOL_OK && name != NULL)
        code = open_target(&replaying, bus, name);
    if (code == TOOL_OK) {
        catch_signals(replaying.queue);
        code = run_replay(&replaying);
        release_signals();
    }
    output_fini(&replaying.output);
    record_reader_fini(&replaying.reader);
    ptq_queue_close(replaying.queue);
    ptq_bus_close(bus);
    return end_by_signal(code);
}
