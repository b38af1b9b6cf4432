/* get.c -- ptq get: messages to standard output or into a command, acknowledged when they are there, and not before. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "exec.h"
#include "output.h"
#include "pattern.h"
#include "progress.h"
#include "signals.h"

enum { BATCH_MAX = 1024 };

struct get_options {
    uint64_t count, batch;
    int timeout, wait;
    struct tool_format format;
    bool all, follow, ack, no_ack;
    const char *exec;
};

#define FIELD(name) offsetof(struct get_options, name)
static const struct tool_option get_options[] = {
    {'n', "count", TOOL_COUNT, FIELD(count), "N", "take N messages (default 1, with --all or --follow any number)"},
    {'a', "all", TOOL_FLAG, FIELD(all), NULL, "take what is there, and stop when the queue is empty"},
    {'f', "follow", TOOL_FLAG, FIELD(follow), NULL, "go on until the producers end the queue"},
    {0, "ack", TOOL_FLAG, FIELD(ack), NULL, "acknowledge each message when its last byte is written (default)"},
    {0, "no-ack", TOOL_FLAG, FIELD(no_ack), NULL,
     "show messages, then give them back; this counts as a delivery, unlike ptq peek"},
    {'e', "exec", TOOL_TEXT, FIELD(exec), "CMD",
     "run `sh -c CMD` with each message on its standard input; acknowledge it if CMD exits 0, else give it back, to "
     "come again after 0, 10, 100, then 1000 ms"},
    {'F', "format", TOOL_FORMAT, FIELD(format), FORMAT_WORDS,
     "raw: nothing between messages; line: a newline behind each (default; on a terminal control characters are "
     "escaped); null: a zero byte behind each; quoted: as a C string; hex; json: an object a line; length: four bytes before each with its "
     "length, as ptq put --length reads; or a FORMAT such as '%p %s\\n', see above"},
    {'t', "timeout", TOOL_MS, FIELD(timeout), "MS",
     "wait at most so long for each message; 0: do not wait (default: forever, with --all 0)"},
    {'b', "batch", TOOL_COUNT, FIELD(batch), "N", "take up to N at once, and acknowledge them together (default 1)"},
    {'w', "wait", TOOL_MS, FIELD(wait), "MS", "wait so long for the queue to come into being"},
    {0}};
#undef FIELD

const struct tool_usage get_usages[] = {
    {.name = "get",
     .operands = "QUEUE",
     .summary = "take messages out of a queue",
     .text = "Takes messages and writes them to standard output.  A message is acknowledged only when it has been written: if "
             "ptq is killed before, or the output is closed, it comes again, to the next who gets.\n\n"
             "With --exec a command is run for each message.  Its environment has PTQ_QUEUE, PTQ_POSITION, "
             "PTQ_DELIVERIES, and TRACEPARENT where the message has a trace.\n\n"
             "Where the producers have ended the queue and nothing is left, ptq get exits 0 with what it got.  It exits 4 "
             "where fewer messages came than were asked for, and 0 where --all finds nothing.\n\n"
             "A FORMAT of --format is any text with a % or a backslash: it is written once for each message, and no newline is added.  In it stand "
             "%s for the message, %Q for the message as a C string, %x in hexadecimal, %S for its length in bytes, %R for that as four bytes, the "
             "highest first, %p for its position, %u for its index in a batch, %q for the queue, %d for deliveries, %t for its type, %T for its "
             "traceparent, %h{NAME} for its header of that name, %% for a percent sign, and \\n, \\t, \\r, \\e, \\0, \\xHH and \\\\ for bytes.  "
             "What a message does not have is empty.",
     .examples = "ptq get tasks\n"
                 "ptq get tasks --follow --exec 'convert - out-$PTQ_POSITION.png'\n"
                 "ptq get tasks --all -F json > saved.ndjson\n"
                 "ptq get tasks -F '%p %h{kind} %s\\n'",
     .options = get_options},
    {0}};

/* One run of ptq get. */
struct getting {
    const struct get_options *options;
    ptq_queue *queue;
    const char *name;
    struct output output;
    struct progress progress;
    uint64_t bytes;      /* of the messages got */
    ptq_msg **held;      /* --no-ack: given back at the end */
    size_t held_count, held_room;
    uint64_t left, done; /* messages still wanted, messages got */
    uint64_t failed;     /* commands that did not exit 0 */
};

static bool show(struct getting *getting, ptq_msg *msg, const struct tool_format *format)
{
    const struct shown shown = {.queue = getting->name,
                                .data = ptq_msg_data(msg),
                                .size = ptq_msg_size(msg),
                                .position = ptq_msg_position(msg),
                                .sub = ptq_msg_sub(msg),
                                .deliveries = ptq_msg_deliveries(msg),
                                .redelivered = ptq_msg_redelivered(msg),
                                .msg = msg};

    if (output_message(&getting->output, format, &shown))
        return true;
    progress_hide(&getting->progress);
    (void)tool_no_memory();
    return false;
}

/* From the last to the first: so each comes back in front of the one behind it. */
static void give_back(ptq_msg **msgs, size_t count)
{
    while (count > 0)
        ptq_nack(msgs[--count], 0);
}

static bool hold(struct getting *getting, ptq_msg **msgs, size_t count)
{
    if (getting->held_count + count > getting->held_room) {
        size_t room = 2 * getting->held_room + count;
        ptq_msg **held = realloc(getting->held, room * sizeof *held);
        if (held == NULL) {
            (void)tool_no_memory();
            return false;
        }
        getting->held = held;
        getting->held_room = room;
    }
    memcpy(getting->held + getting->held_count, msgs, count * sizeof *msgs);
    getting->held_count += count;
    return true;
}

static int ack_all(struct getting *getting, ptq_msg **msgs, size_t count)
{
    int code = TOOL_OK;

    for (size_t i = 0; i < count; i++) {
        uint64_t position = ptq_msg_position(msgs[i]);
        enum ptq_err err = ptq_ack(msgs[i]);
        if (err == PTQ_OK)
            continue;
        progress_hide(&getting->progress);
        code = tool_fail(err, getting->name, "cannot acknowledge message %llu: %s", (unsigned long long)position, ptq_strerror(err));
    }
    return code;
}

/* Writes messages, then settles them.  Takes them in any case. */
static int write_messages(struct getting *getting, ptq_msg **msgs, size_t count)
{
    int code = TOOL_OK;

    for (size_t i = 0; i < count && code == TOOL_OK; i++)
        code = show(getting, msgs[i], &getting->options->format) ? TOOL_OK : TOOL_ERROR;
    if (code == TOOL_OK)
        code = output_flush(&getting->output);
    if (code == TOOL_OK && getting->options->no_ack)
        code = hold(getting, msgs, count) ? TOOL_OK : TOOL_ERROR;
    else if (code == TOOL_OK)
        return ack_all(getting, msgs, count);
    if (code != TOOL_OK)
        give_back(msgs, count);
    return code;
}

/* Runs the command on a message, then settles it.  Takes it in any case. */
static int run_command(struct getting *getting, ptq_msg *msg)
{
    const struct tool_format raw = {FORMAT_RAW, NULL}, *format = &getting->options->format;
    struct exec_about about = {getting->name, ptq_msg_position(msg), ptq_msg_deliveries(msg), {0}, false};
    char how[128];

    about.has_trace = ptq_msg_trace(msg, &about.trace);
    getting->output.used = 0;
    if (!show(getting, msg, format->word == FORMAT_DEFAULT ? &raw : format)) {
        ptq_nack(msg, 0);
        return TOOL_ERROR;
    }
    enum exec_answer answer = exec_command(getting->options->exec, getting->output.bytes, getting->output.used, &about, how);
    if (answer == EXEC_OK)
        return ack_all(getting, &msg, 1);
    ptq_nack(msg, was_signalled() ? 0 : PTQ_BACKOFF);
    if (was_signalled())
        return TOOL_OK;
    progress_hide(&getting->progress);
    if (answer == EXEC_NOT_STARTED)
        tool_error(getting->name, "message %llu given back: the command %s - it comes again; end other programs, or raise the limits: ulimit -n, -u, -v",
                   (unsigned long long)about.position, how);
    else
        tool_error(getting->name, "message %llu given back: the command %s - it comes again; mend the command, or look at the message: ptq peek %s",
                   (unsigned long long)about.position, how, getting->name);
    getting->failed++;
    return answer == EXEC_FAILED ? TOOL_OK : TOOL_ERROR;
}

static int handle_messages(struct getting *getting, ptq_msg **msgs, size_t count)
{
    if (getting->options->exec == NULL)
        return write_messages(getting, msgs, count);
    return run_command(getting, msgs[0]);
}

/* The queue gave nothing. */
static int stop_getting(struct getting *getting, enum ptq_err err)
{
    const struct get_options *options = getting->options;
    struct ptq_queue_stats stats;

    if (err == PTQ_END || (err == PTQ_EINTR && was_signalled()))
        return TOOL_OK;
    if (err != PTQ_EMPTY && err != PTQ_TIMEDOUT)
        return fail_queue(getting->queue, err, 0, "cannot get");
    if (options->all)
        return TOOL_OK;
    if (getting->done > 0)
        return tool_fail(err, getting->name, "only %llu of %llu messages came - wait longer with --timeout", (unsigned long long)getting->done,
                         (unsigned long long)(getting->done + getting->left));
    if (ptq_queue_stats(getting->queue, &stats) == PTQ_OK && stats.paused)
        return tool_fail(err, getting->name, "it is paused: nothing is given until it is resumed - ptq resume %s", getting->name);
    if (err == PTQ_EMPTY)
        return tool_fail(err, getting->name, "it is empty - wait for what comes with --timeout");
    return tool_fail(err, getting->name, "nothing came within %d ms - wait longer with --timeout", options->timeout);
}

static int get_messages(struct getting *getting)
{
    ptq_msg *msgs[BATCH_MAX];
    int code = TOOL_OK;

    while (getting->left > 0 && code == TOOL_OK && !was_signalled()) {
        uint64_t batch = getting->options->batch < getting->left ? getting->options->batch : getting->left;
        size_t count = 0;
        enum ptq_err err = ptq_get_many(getting->queue, msgs, 1, batch, getting->options->timeout, &count);
        if (err == PTQ_EINTR && !was_signalled())
            continue;
        if (err != PTQ_OK) {
            progress_end(&getting->progress);
            return stop_getting(getting, err);
        }
        for (size_t i = 0; i < count; i++)
            getting->bytes += ptq_msg_size(msgs[i]);
        code = handle_messages(getting, msgs, count);
        getting->done += count;
        getting->left -= count;
        progress_show(&getting->progress, getting->done, getting->bytes, 0);
    }
    return code;
}

static int run_get(const struct get_options *options, ptq_queue *queue)
{
    struct getting getting = {.options = options, .queue = queue, .name = ptq_queue_name(queue), .left = options->count,
                              .output.advice = "nothing more was acknowledged; mend it, and call again"};

    progress_begin(&getting.progress, "got", progress_is_seen());
    getting.progress.count = options->count != UINT64_MAX ? options->count : 0;
    int code = get_messages(&getting);
    progress_end(&getting.progress);
    give_back(getting.held, getting.held_count);
    free(getting.held);
    output_fini(&getting.output);
    if (code == TOOL_OK && getting.failed > 0)
        code = TOOL_ERROR;
    return code;
}

static void check_options(struct get_options *options)
{
    pattern_check("get", &options->format);
    if (options->ack + options->no_ack + (options->exec != NULL) > 1)
        exit(tool_misuse("get", "--ack, --no-ack and --exec exclude each other"));
    if (options->all && options->follow)
        exit(tool_misuse("get", "--all stops when the queue is empty, --follow does not: choose one"));
    if (options->no_ack && options->follow)
        exit(tool_misuse("get", "--no-ack holds every message until the end, and --follow has none - see ptq peek"));
    if (options->batch > BATCH_MAX)
        exit(tool_misuse("get", "--batch is at most %d", BATCH_MAX));
    if (options->exec != NULL)
        options->batch = 1; /* a slow command holds no message behind its own */
    if (options->count == 0)
        options->count = options->all || options->follow ? UINT64_MAX : 1;
    if (options->timeout == -2)
        options->timeout = options->all ? PTQ_NOWAIT : PTQ_FOREVER;
}

int cmd_get(int argc, char **argv)
{
    struct get_options options = {.batch = 1, .timeout = -2, .format.word = FORMAT_DEFAULT};
    int first = tool_read_operands(get_usages, argc, argv, &options, 1, 1);
    ptq_queue *queue = NULL;
    ptq_bus *bus = NULL;

    check_options(&options);
    int code = open_bus(&bus);
    if (code == TOOL_OK) {
        struct ptq_queue_options attach = {.mode = PTQ_ATTACH, .wait_ms = options.wait};
        code = open_queue(bus, argv[first], &attach, &queue);
    }
    if (code == TOOL_OK) {
        catch_signals(queue);
        code = run_get(&options, queue);
        release_signals();
    }
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return end_by_signal(code);
}
