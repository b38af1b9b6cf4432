/* put.c -- ptq put: an argument, a file, or lines of standard input become messages. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "input.h"
#include "pace.h"
#include "progress.h"
#include "signals.h"

enum { BATCH_MAX = 65536, UNKNOWN_MOST = 64 << 20 };

struct put_options {
    const char *file;
    uint64_t count, batch;
    int timeout, wait, delay, ttl;
    double rate;
    bool line, null, length, create, positions, outbox;
    struct tool_texts headers;
    const char *trace;
};

#define FIELD(name) offsetof(struct put_options, name)
static const struct tool_option put_options[] = {
    {'f', "file", TOOL_TEXT, FIELD(file), "FILE", "take the message, or the lines, from FILE instead of standard input"},
    {'l', "line", TOOL_FLAG, FIELD(line), NULL, "each line is a message, without its newline"},
    {'0', "null", TOOL_FLAG, FIELD(null), NULL, "each piece that ends with a zero byte is a message, without it"},
    {0, "length", TOOL_FLAG, FIELD(length), NULL,
     "four bytes before each message say how long it is, the highest first, as ptq get -F length writes them"},
    {'n', "count", TOOL_COUNT, FIELD(count), "N", "with --line, --null or --length stop after N messages, else put the message N times"},
    {'r', "rate", TOOL_RATE, FIELD(rate), "RATE", "put at most so many messages a second, evenly; a --batch goes at once, and the next waits for it"},
    {'t', "timeout", TOOL_MS, FIELD(timeout), "MS", "wait at most so long for room; 0: do not wait (default: forever)"},
    {'b', "batch", TOOL_COUNT, FIELD(batch), "N",
     "put up to N messages at once, all or nothing; does not wait for a batch to fill"},
    {'d', "delay", TOOL_MS, FIELD(delay), "MS", "not to be handed out before so long from now"},
    {0, "ttl", TOOL_MS, FIELD(ttl), "MS", "expires after so long; forever: never, whatever the queue says (default: as the queue says)"},
    {'H', "header", TOOL_TEXTS, FIELD(headers), "NAME=VALUE", "a header of each message; may be given several times"},
    {0, "trace", TOOL_TEXT, FIELD(trace), "TRACEPARENT",
     "where it belongs in a distributed trace, as the standard's traceparent: 00-<32 digits>-<16 digits>-01"},
    {'c', "create", TOOL_FLAG, FIELD(create), NULL, "create the queue if there is none"},
    {'w', "wait", TOOL_MS, FIELD(wait), "MS", "wait so long for the queue to come into being"},
    {'o', "outbox", TOOL_FLAG, FIELD(outbox), NULL,
     "of a queue of another host: done once the messages stand in the outbox that this host has for it; the ptqbridge here carries "
     "them home, in order, each once, and may be away meanwhile, as the home may"},
    {'p', "position", TOOL_FLAG, FIELD(positions), NULL, "print the position that each message, or batch, got"},
    {0}};
#undef FIELD

const struct tool_usage put_usages[] = {
    {.name = "put",
     .operands = "QUEUE [DATA|-]",
     .summary = "put messages into a queue",
     .text = "Puts one message: DATA, or all of standard input, or of FILE.  With --line, --null or --length puts one for each "
             "piece of the input, as it comes.  Any byte may be in a message, and a message may be empty.\n\n"
             "What was put before an error stays in the queue; the error line says how much it was.  Put -- before DATA that "
             "begins with a dash.",
     .examples = "ptq put tasks 'hello'\n"
                 "ptq put tasks -f picture.jpg\n"
                 "ptq put reminders --delay 10m 'tea is ready'\n"
                 "find . -print0 | ptq put tasks --null --batch 64\n"
                 "ptq get tasks --all -F length | ptq --run other put tasks --length\n"
                 "ptq put load --line --rate 100 < requests"

                 "ptq put readings@home --outbox '21.5'",
     .options = put_options},
    {0}};

/* --header and --trace, as messages bear them. */
static struct {
    struct ptq_header headers[TOOL_TEXTS_MAX];
    char names[TOOL_TEXTS_MAX][PTQ_HEADER_NAME_MAX + 1];
    struct ptq_trace trace;
} said;

/* One run of ptq put. */
struct putting {
    const struct put_options *options;
    ptq_queue *queue;
    const char *name;
    uint64_t done;            /* messages that are in the queue */
    uint64_t pending;         /* in the batch that is being filled */
    struct ptq_bytes *items;  /* the batch; its data are in arena, as offsets until it is put */
    size_t *offsets;
    char *arena;
    size_t arena_used, arena_room;
    uint64_t bytes;           /* of those that are done */
    struct pace pace;
    struct progress progress;
};

static bool parts_input(const struct put_options *options) { return options->line || options->null || options->length; }

/* "; 16 messages were put before": whoever feeds lines must know where to go on. */
static const char *tell_done(const struct putting *putting, char text[64])
{
    text[0] = '\0';
    if (putting->done > 0 || parts_input(putting->options))
        snprintf(text, 64, "; %llu message%s put before", (unsigned long long)putting->done,
                 putting->done == 1 ? " was" : "s were");
    return text;
}

static void begin_progress(struct putting *putting, bool busy)
{
    progress_begin(&putting->progress, "put", busy || (putting->options->positions && progress_is_seen()));
    putting->progress.count = putting->options->count;
}

static int fail_put(struct putting *putting, enum ptq_err err, size_t size, const char *what)
{
    char done[64];

    progress_end(&putting->progress);
    if (err == PTQ_EINTR && was_signalled()) {
        bool any = *tell_done(putting, done) != '\0';
        tool_error(putting->name, "interrupted%s - %s", any ? done : ": nothing was put", any ? "go on behind that" : "call again");
        return TOOL_ERROR;
    }
    return fail_queue(putting->queue, err, size, "cannot put %s%s", what, tell_done(putting, done));
}

static int finish_put(struct putting *putting, uint64_t count, uint64_t bytes, uint64_t position)
{
    putting->done += count;
    putting->bytes += bytes;
    progress_show(&putting->progress, putting->done, putting->bytes, 0);
    if (putting->options->positions)
        printf("%llu\n", (unsigned long long)position);
    return TOOL_OK;
}

static struct ptq_put_options options_of(const struct putting *putting, uint64_t *ret_position)
{
    return (struct ptq_put_options){
        .headers = said.headers,
        .header_count = putting->options->headers.count,
        .trace = putting->options->trace != NULL ? &said.trace : NULL,
        .delay_ms = putting->options->delay, .ttl_ms = putting->options->ttl, .ret_position = ret_position};
}

static int put_one(struct putting *putting, const void *data, size_t size)
{
    uint64_t position = 0;
    struct ptq_put_options how = options_of(putting, &position);
    enum ptq_err err;
    char what[64];

    if (!pace_wait(&putting->pace, 1))
        return fail_put(putting, PTQ_EINTR, 0, "");
    do
        err = ptq_put_with(putting->queue, data, size, &how, putting->options->timeout);
    while (err == PTQ_EINTR && !was_signalled());
    if (err == PTQ_OK)
        return finish_put(putting, 1, size, position);
    snprintf(what, sizeof what, "%zu byte%s", size, size == 1 ? "" : "s");
    return fail_put(putting, err, size, what);
}

/* -- batches -------------------------------------------------------------------------------------------------- */

static int put_batch(struct putting *putting)
{
    uint64_t count = putting->pending;
    uint64_t position = 0;
    struct ptq_put_options how = options_of(putting, &position);
    enum ptq_err err;
    char what[64];

    if (count == 0)
        return TOOL_OK;
    for (uint64_t i = 0; i < count; i++)
        putting->items[i].data = putting->arena + putting->offsets[i];
    uint64_t bytes = putting->arena_used;
    putting->pending = 0;
    putting->arena_used = 0;
    if (!pace_wait(&putting->pace, count))
        return fail_put(putting, PTQ_EINTR, 0, "");
    do
        err = ptq_put_many_with(putting->queue, putting->items, count, &how, putting->options->timeout);
    while (err == PTQ_EINTR && !was_signalled());
    if (err == PTQ_OK)
        return finish_put(putting, count, bytes, position);
    snprintf(what, sizeof what, "a batch of %llu messages", (unsigned long long)count);
    return fail_put(putting, err, 0, what);
}

static bool keep_piece(struct putting *putting, const void *data, size_t size)
{
    size_t room = putting->arena_room;

    while (room < putting->arena_used + size || room == 0)
        room = room == 0 ? 65536 : 2 * room;
    if (room > putting->arena_room) {
        char *arena = realloc(putting->arena, room);
        if (arena == NULL)
            return false;
        putting->arena = arena;
        putting->arena_room = room;
    }
    if (size > 0)
        memcpy(putting->arena + putting->arena_used, data, size);
    putting->offsets[putting->pending] = putting->arena_used;
    putting->items[putting->pending++].size = size;
    putting->arena_used += size;
    return true;
}

static int add_piece(struct putting *putting, const void *data, size_t size)
{
    if (putting->options->batch <= 1)
        return put_one(putting, data, size);
    if (!keep_piece(putting, data, size)) {
        (void)tool_no_memory();
        return TOOL_ERROR;
    }
    return putting->pending == putting->options->batch ? put_batch(putting) : TOOL_OK;
}

/* -- input ---------------------------------------------------------------------------------------------------- */

static int refuse_long(struct putting *putting, const struct input *input, const struct piece *piece)
{
    const struct put_options *options = putting->options;
    char what[128], done[64];
    int n = 0;

    if (options->length && piece->size > PTQ_ITEM_MAX) {
        progress_end(&putting->progress);
        tool_error(input_name(options->file), "message %llu says that it has %zu bytes, more than any message%s - give four bytes with the length before "
                   "each message, the highest first", (unsigned long long)input->count, piece->size, tell_done(putting, done));
        return TOOL_ERROR;
    }
    if (parts_input(options))
        n = snprintf(what, sizeof what, "%s %llu, ", options->line ? "line" : options->null ? "piece" : "message", (unsigned long long)input->count);
    snprintf(what + n, sizeof what - (size_t)n, "%s%zu bytes", piece->endless ? "more than " : "", piece->size);
    return fail_put(putting, PTQ_EMSGSIZE, piece->size, what);
}

static int end_input(struct putting *putting, const struct input *input, const struct piece *piece, enum input_answer answer)
{
    const char *name = input_name(putting->options->file);
    char done[64];
    int reason = errno;
    int code = put_batch(putting);

    if (answer == INPUT_FAILED) {
        progress_end(&putting->progress);
        tool_error(name, "cannot read: %s%s - give a file that can be read, and go on behind that", strerror(reason), tell_done(putting, done));
        return TOOL_ERROR;
    }
    if (answer == INPUT_CUT && code == TOOL_OK) {
        size_t here = input->end - input->begin;
        progress_end(&putting->progress);
        tool_error(name, "ends in the middle of message %llu, of which it has %zu of %zu bytes%s - it was cut: write it again, and go on behind that",
                   (unsigned long long)input->count + 1, here < INPUT_LENGTH_BYTES ? 0 : here - INPUT_LENGTH_BYTES, piece->size, tell_done(putting, done));
        return TOOL_ERROR;
    }
    if (answer == INPUT_SIGNALLED && code == TOOL_OK)
        return fail_put(putting, PTQ_EINTR, 0, "");
    return code;
}

static int put_pieces(struct putting *putting, struct input *input)
{
    uint64_t most = putting->options->count > 0 ? putting->options->count : UINT64_MAX;
    int code = TOOL_OK;

    while (code == TOOL_OK && input->count < most) {
        struct piece piece = {0};
        if (putting->pending > 0 && input_waits(input))
            code = put_batch(putting);
        if (code != TOOL_OK)
            return code;
        enum input_answer answer = input_next(input, &piece);
        if (answer != INPUT_OK)
            return end_input(putting, input, &piece, answer);
        if (piece.long_one && (code = put_batch(putting)) == TOOL_OK)
            return refuse_long(putting, input, &piece);
        if (code == TOOL_OK)
            code = add_piece(putting, piece.data, piece.size);
    }
    return code == TOOL_OK ? put_batch(putting) : code;
}

static int put_repeated(struct putting *putting, const void *data, size_t size)
{
    uint64_t times = putting->options->count > 0 ? putting->options->count : 1;
    int code = TOOL_OK;

    for (uint64_t i = 0; i < times && code == TOOL_OK; i++)
        code = add_piece(putting, data, size);
    return code == TOOL_OK ? put_batch(putting) : code;
}

static int put_whole(struct putting *putting, struct input *input)
{
    struct piece piece = {0};
    enum input_answer answer = input_next(input, &piece);

    if (answer != INPUT_OK)
        return end_input(putting, input, &piece, answer);
    if (piece.long_one)
        return refuse_long(putting, input, &piece);
    return put_repeated(putting, piece.data, piece.size);
}

static int put_input(struct putting *putting)
{
    const struct put_options *options = putting->options;
    int separator = options->line ? '\n' : options->null ? '\0' : options->length ? INPUT_LENGTH : INPUT_WHOLE;
    struct ptq_queue_stats stats;
    struct input input;

    enum ptq_err err = ptq_queue_stats(putting->queue, &stats);
    if (err != PTQ_OK && options->outbox) /* its home is away: what is too long is told when it is put */
        stats.item_size = UNKNOWN_MOST, err = PTQ_OK;
    if (err != PTQ_OK)
        return fail_queue(putting->queue, err, 0, "cannot look at it");
    int code = input_open(&input, options->file, separator, stats.item_size);
    if (code != TOOL_OK)
        return code;
    begin_progress(putting, isatty(input.fd));
    if (isatty(input.fd) && isatty(STDERR_FILENO))
        fprintf(stderr, "%s from the terminal; Ctrl-D ends\n", options->line ? "a message a line" : "a message");
    code = separator == INPUT_WHOLE ? put_whole(putting, &input) : put_pieces(putting, &input);
    input_close(&input);
    return code;
}

static int put_data(struct putting *putting, const char *data)
{
    begin_progress(putting, false);
    return put_repeated(putting, data, strlen(data));
}

/* -- the command ---------------------------------------------------------------------------------------------- */

static int run_put(const struct put_options *options, ptq_queue *queue, const char *data)
{
    struct putting putting = {.options = options, .queue = queue, .name = ptq_queue_name(queue), .pace = {.per_second = options->rate}};
    int code = TOOL_ERROR;

    putting.items = calloc(options->batch, sizeof *putting.items);
    putting.offsets = calloc(options->batch, sizeof *putting.offsets);
    if (putting.items == NULL || putting.offsets == NULL)
        (void)tool_no_memory();
    else if (data == NULL)
        code = put_input(&putting);
    else
        code = put_data(&putting, data);
    progress_end(&putting.progress);
    free(putting.items);
    free(putting.offsets);
    free(putting.arena);
    int finished = tool_finish_done();
    return code != TOOL_OK ? code : finished;
}

/* NAME=VALUE; what is wrong ends the process, before anything is put. */
static void read_headers(const struct put_options *options)
{
    const struct tool_texts *texts = &options->headers;

    for (size_t i = 0; i < texts->count; i++) {
        const char *equals = strchr(texts->items[i], '=');
        size_t length = equals != NULL ? (size_t)(equals - texts->items[i]) : 0;
        if (length == 0 || length > PTQ_HEADER_NAME_MAX)
            exit(tool_misuse("put", "--header '%s': write NAME=VALUE, the name 1 to %d bytes", texts->items[i],
                             PTQ_HEADER_NAME_MAX));
        memcpy(said.names[i], texts->items[i], length);
        said.headers[i] = (struct ptq_header){said.names[i], equals + 1, strlen(equals + 1)};
    }
    if (options->trace != NULL && ptq_trace_parse(options->trace, &said.trace) != PTQ_OK)
        exit(tool_misuse("put", "--trace '%s' is no traceparent: 00-<32 digits>-<16 digits>-<2 digits>, in lower-case hexadecimal",
                         options->trace));
}

static const char *check_options(const struct put_options *options, const char *data)
{
    if (data != NULL && strcmp(data, "-") == 0)
        data = NULL;
    if (data != NULL && options->file != NULL)
        exit(tool_misuse("put", "DATA and --file are two messages: give one"));
    if (data != NULL && parts_input(options))
        exit(tool_misuse("put", "--line, --null and --length part the input, not DATA"));
    if (options->line + options->null + options->length > 1)
        exit(tool_misuse("put", "--line, --null and --length exclude each other"));
    if (options->delay == PTQ_FOREVER)
        exit(tool_misuse("put", "--delay forever would never be handed out"));
    if (options->batch > BATCH_MAX)
        exit(tool_misuse("put", "--batch is at most %d", BATCH_MAX));
    read_headers(options);
    return data;
}

int cmd_put(int argc, char **argv)
{
    struct put_options options = {.batch = 1, .timeout = PTQ_FOREVER};
    int first = tool_read_operands(put_usages, argc, argv, &options, 1, 2);
    const char *data = check_options(&options, argc - first > 1 ? argv[first + 1] : NULL);
    ptq_queue *queue = NULL;
    ptq_bus *bus = NULL;

    int code = open_bus(&bus);
    if (code == TOOL_OK) {
        struct ptq_queue_options how = {.mode = options.create ? PTQ_OPEN_OR_CREATE : PTQ_ATTACH, .wait_ms = options.wait,
                                         .flags = options.outbox ? PTQ_ACK_LOCAL : 0};
        code = open_queue(bus, argv[first], &how, &queue);
    }
    if (code == TOOL_OK) {
        catch_signals(queue);
        code = run_put(&options, queue, data);
        release_signals();
    }
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return end_by_signal(code);
}
