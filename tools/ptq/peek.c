/* peek.c -- ptq peek: looks at messages without taking them. */
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "output.h"
#include "pattern.h"
#include "signals.h"

struct peek_options {
    uint64_t count;
    struct tool_format format;
    int state;
    bool all;
};

/* In the order of --state. */
enum { STATE_WAITING, STATE_READY, STATE_LEASED, STATE_DELAYED, STATE_DEAD, STATE_ANY };

#define FIELD(name) offsetof(struct peek_options, name)
static const struct tool_option peek_options[] = {
    {'n', "count", TOOL_COUNT, FIELD(count), "N", "show N messages (default 1)"},
    {'a', "all", TOOL_FLAG, FIELD(all), NULL, "show them all"},
    {'s', "state", TOOL_CHOICE, FIELD(state), "waiting|ready|leased|delayed|dead|any",
     "which ones; waiting: those that a get may take, ready or delayed for a while (default waiting)"},
    {'F', "format", TOOL_FORMAT, FIELD(format), FORMAT_WORDS, "as for ptq get; json also tells state and holder"},
    {0}};
#undef FIELD

const struct tool_usage peek_usages[] = {
    {.name = "peek",
     .operands = "QUEUE",
     .summary = "look at messages without taking them",
     .text = "Shows messages in the order of their positions, and takes none: nothing is leased, counted or delayed.  It is a "
             "look at a queue in motion; a message that changes meanwhile is left out.  Only for queues of this host.",
     .examples = "ptq peek tasks --all --state dead -F json",
     .options = peek_options},
    {0}};

struct peeking {
    const struct peek_options *options;
    const char *name;
    struct ptq_view_endpoint *endpoints; /* owned: who holds what */
    size_t endpoint_count;
    struct output output;
    uint64_t left;
    int code;
};

static bool is_wanted(enum ptq_view_state state, int wanted)
{
    bool ready = state == PTQ_VIEW_READY || state == PTQ_VIEW_REDELIVERABLE;

    switch (wanted) {
    case STATE_WAITING:
        return ready || state == PTQ_VIEW_DELAYED;
    case STATE_READY:
        return ready;
    case STATE_LEASED:
        return state == PTQ_VIEW_LEASED;
    case STATE_DELAYED:
        return state == PTQ_VIEW_DELAYED;
    case STATE_DEAD:
        return state == PTQ_VIEW_DEAD;
    default:
        return true;
    }
}

static int32_t find_holder(const struct peeking *peeking, const struct ptq_view_msg *msg)
{
    for (size_t i = 0; i < peeking->endpoint_count && msg->state == PTQ_VIEW_LEASED; i++)
        if (peeking->endpoints[i].index == msg->holder)
            return peeking->endpoints[i].pid;
    return 0;
}

static bool show_msg(const struct ptq_view_msg *msg, void *context)
{
    struct peeking *peeking = context;
    const struct shown shown = {.queue = peeking->name,
                                .data = msg->data,
                                .size = msg->size,
                                .position = msg->position,
                                .sub = msg->sub,
                                .deliveries = msg->deliveries,
                                .redelivered = msg->redelivered,
                                .msg = msg->msg,
                                .state = output_state(msg->state),
                                .holder_pid = find_holder(peeking, msg)};

    if (!is_wanted(msg->state, peeking->options->state))
        return true;
    if (!output_message(&peeking->output, &peeking->options->format, &shown)) {
        (void)tool_no_memory();
        peeking->code = TOOL_ERROR;
        return false;
    }
    peeking->code = output_flush(&peeking->output);
    return peeking->code == TOOL_OK && --peeking->left > 0;
}

static int peek_view(ptq_view *view, const struct peek_options *options, const char *name)
{
    struct peeking peeking = {.options = options, .name = name, .left = options->all ? UINT64_MAX : options->count};
    struct ptq_view_info info;

    enum ptq_err err = ptq_view_info(view, &info);
    if (err == PTQ_OK && (peeking.endpoints = calloc(info.max_endpoints, sizeof *peeking.endpoints)) == NULL)
        err = PTQ_ENOMEM;
    if (err == PTQ_OK)
        err = ptq_view_endpoints(view, peeking.endpoints, info.max_endpoints, &peeking.endpoint_count);
    if (err == PTQ_OK && peeking.endpoint_count > info.max_endpoints)
        peeking.endpoint_count = info.max_endpoints;
    if (err == PTQ_OK)
        err = ptq_view_peek(view, show_msg, &peeking);
    free(peeking.endpoints);
    output_fini(&peeking.output);
    if (err != PTQ_OK)
        return tool_fail(err, name, "cannot look at it: %s", ptq_strerror(err));
    if (peeking.code == TOOL_OK && !options->all && peeking.left == options->count)
        return tool_fail(PTQ_EMPTY, name, "there is no such message - see with --state any what there is");
    return peeking.code;
}

int cmd_peek(int argc, char **argv)
{
    struct peek_options options = {.count = 1, .format.word = FORMAT_DEFAULT, .state = STATE_WAITING};
    int first = tool_read_operands(peek_usages, argc, argv, &options, 1, 1);
    const char *name = argv[first];
    ptq_view *view = NULL;
    ptq_bus *bus = NULL;

    pattern_check("peek", &options.format);
    if (strchr(name, '!') != NULL && options.state == STATE_WAITING)
        options.state = STATE_ANY; /* "tasks!dead": they are dead, or on lease to who reads them */
    if (strpbrk(name, "@:") != NULL)
        return tool_misuse("peek", "%s lives elsewhere: peek sees the memory of this host only", name);
    int code = open_bus(&bus);
    if (code == TOOL_OK)
        code = open_view(bus, name, &view);
    if (code == TOOL_OK) {
        catch_signals(NULL);
        code = peek_view(view, &options, name);
    }
    ptq_view_close(view);
    ptq_bus_close(bus);
    return end_by_signal(code);
}
