/* tail.c -- ptq tail: a tap: shows what is put, as it is put, and takes none of it. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "common/clock.h"
#include "output.h"
#include "pattern.h"
#include "signals.h"

struct tail_options {
    uint64_t count;
    struct tool_format format;
    int interval, timeout;
    bool all;
};

#define FIELD(name) offsetof(struct tail_options, name)
static const struct tool_option tail_options[] = {
    {'n', "count", TOOL_COUNT, FIELD(count), "N", "stop after N messages"},
    {'a', "all", TOOL_FLAG, FIELD(all), NULL, "begin with those that are in the queue already"},
    {'F', "format", TOOL_FORMAT, FIELD(format), FORMAT_WORDS, "as for ptq get; json also tells the state"},
    {'i', "interval", TOOL_MS, FIELD(interval), "MS", "look so often; 1; 0: without a pause, which takes a processor"},
    {'t', "timeout", TOOL_MS, FIELD(timeout), "MS", "stop where nothing came for so long; forever: the default"},
    {0}};
#undef FIELD

const struct tool_usage tail_usages[] = {
    {.name = "tail",
     .operands = "QUEUE",
     .summary = "show what is put, and take none of it",
     .text = "Shows each message that is put from now on, once, in the order of the queue, whoever takes it: a tap.  Nothing is leased, "
             "counted or delayed, no lock is held, and no process of the queue notices.  Ends where the queue was ended.\n\n"
             "It sees what stands in the queue, or is leased, when it looks.  What is put and acknowledged between two looks is gone: "
             "it is counted, and the line that says so on standard error (with -F json an object with \"missed\" in its place) means so many "
             "messages or more, since those that were put together count as one.  To have all of them, ptq record takes "
             "them, and ptq replay hands them on.  Only for queues of this host.",
     .examples = "ptq tail tasks\n"
                 "ptq tail tasks --all -F json\n"
                 "ptq tail tasks -n 1 --timeout 5s    # is anything put?",
     .options = tail_options},
    {0}};

enum { TELL_EVERY_MS = 1000 };

struct tailing {
    const struct tail_options *options;
    const char *name;
    struct ptq_view_cursor cursor;
    struct output output;
    uint64_t shown, told; /* of cursor.missed: said, or written */
    int64_t told_ms, last_ms;
    int code;
};

/* On standard error: not more often than once a second, so that a flood of messages is no flood of words. */
static void tell_missed(struct tailing *tailing, bool at_last)
{
    uint64_t more = tailing->cursor.missed - tailing->told;
    int64_t now = tool_now_ms();

    if (more == 0 || tailing->options->format.word == FORMAT_JSON || (!at_last && now - tailing->told_ms < TELL_EVERY_MS))
        return;
    tool_error(tailing->name, "%llu message%s or more went by unseen: acknowledged before a look at them - look more often (--interval 0), or "
               "take them with ptq record", (unsigned long long)more, more == 1 ? "" : "s");
    tailing->told = tailing->cursor.missed;
    tailing->told_ms = now;
}

static bool write_missed(struct tailing *tailing)
{
    uint64_t more = tailing->cursor.missed - tailing->told;

    if (more == 0 || tailing->options->format.word != FORMAT_JSON)
        return true;
    tailing->told = tailing->cursor.missed;
    return output_json(&tailing->output, json_pack("{s:i, s:s, s:I}", "v", 1, "queue", tailing->name, "missed", (json_int_t)more));
}

static bool show_msg(const struct ptq_view_msg *msg, void *context)
{
    struct tailing *tailing = context;
    const struct shown shown = {.queue = tailing->name,
                                .data = msg->data,
                                .size = msg->size,
                                .position = msg->position,
                                .sub = msg->sub,
                                .deliveries = msg->deliveries,
                                .redelivered = msg->redelivered,
                                .msg = msg->msg,
                                .state = output_state(msg->state)};

    if (!write_missed(tailing) || !output_message(&tailing->output, &tailing->options->format, &shown)) {
        tool_error(NULL, "out of memory - end other programs, or look at a queue of smaller messages");
        tailing->code = TOOL_ERROR;
        return false;
    }
    tailing->shown++;
    tailing->last_ms = 0;
    return tailing->shown < tailing->options->count && tailing->output.used < (1 << 20);
}

static void pause_between(const struct tailing *tailing)
{
    if (tailing->options->interval > 0)
        wait_two_for(-1, -1, tailing->options->interval);
    else
        sched_yield();
}

static bool is_late(struct tailing *tailing)
{
    int64_t now = tool_now_ms();

    if (tailing->last_ms == 0)
        tailing->last_ms = now;
    return tailing->options->timeout >= 0 && now - tailing->last_ms >= tailing->options->timeout;
}

static int stop_late(const struct tailing *tailing)
{
    const struct tail_options *options = tailing->options;

    if (options->count == UINT64_MAX)
        return tailing->shown > 0 ? TOOL_OK
                                  : tool_fail(PTQ_TIMEDOUT, tailing->name, "nothing was put within %d ms - wait longer with --timeout, or see who puts: ptq info %s",
                                              options->timeout, tailing->name);
    return tool_fail(PTQ_TIMEDOUT, tailing->name, "only %llu of %llu messages were put - wait longer with --timeout",
                     (unsigned long long)tailing->shown, (unsigned long long)options->count);
}

static int follow(struct tailing *tailing, ptq_view *view)
{
    while (!was_signalled()) {
        uint64_t before = tailing->shown;
        enum ptq_err err = ptq_view_follow(view, &tailing->cursor, show_msg, tailing);
        if (tailing->code == TOOL_OK && (err == PTQ_OK || err == PTQ_END) && !write_missed(tailing))
            tailing->code = TOOL_ERROR;
        if (tailing->code == TOOL_OK)
            tailing->code = output_flush(&tailing->output);
        tell_missed(tailing, false);
        if (err == PTQ_END || tailing->code != TOOL_OK || tailing->shown >= tailing->options->count)
            return tailing->code;
        if (err == PTQ_EGONE)
            return tool_fail(err, tailing->name, "it was removed - create it with: ptq create %s", tailing->name);
        if (err != PTQ_OK)
            return tool_fail(err, tailing->name, "cannot look at it: %s - see: ptq verify %s", ptq_strerror(err), tailing->name);
        if (is_late(tailing))
            return stop_late(tailing);
        if (before == tailing->shown)
            pause_between(tailing);
    }
    return TOOL_OK;
}

int cmd_tail(int argc, char **argv)
{
    struct tail_options options = {.count = UINT64_MAX, .format.word = FORMAT_DEFAULT, .interval = 1, .timeout = PTQ_FOREVER};
    int first = tool_read_operands(tail_usages, argc, argv, &options, 1, 1);
    struct tailing tailing = {.options = &options, .name = argv[first], .cursor = {.oldest = options.all}};
    ptq_view *view = NULL;
    ptq_bus *bus = NULL;

    pattern_check("tail", &options.format);
    if (strpbrk(tailing.name, "@:") != NULL)
        return tool_misuse("tail", "%s lives elsewhere: tail sees the memory of this host only", tailing.name);
    if (strchr(tailing.name, '!') != NULL)
        return tool_misuse("tail", "%s has no order in which it comes: look at it with ptq peek --all", tailing.name);
    if (options.interval < 0)
        return tool_misuse("tail", "--interval forever would never look");
    int code = open_bus(&bus);
    if (code == TOOL_OK)
        code = open_view(bus, tailing.name, &view);
    if (code == TOOL_OK) {
        catch_signals(NULL);
        code = follow(&tailing, view);
        tell_missed(&tailing, true);
    }
    output_fini(&tailing.output);
    ptq_view_close(view);
    ptq_bus_close(bus);
    return end_by_signal(code);
}
