/* session.c -- opening a bus and a queue for a command, and saying why it could not be done. */
#include <stdarg.h>
#include <string.h>

#include "command.h"

int open_bus(ptq_bus **ret_bus)
{
    struct ptq_error error = {0};
    struct ptq_bus_options options = {
        .dir = globals.dir, .peers = globals.peers, .insecure = globals.insecure, .keys = globals.keys, .error = &error};
    enum ptq_err err = ptq_bus_open(globals.run, &options, ret_bus);

    if (err == PTQ_OK)
        return TOOL_OK;
    return tool_fail(err, NULL, "cannot open the bus: %s", error.text[0] != '\0' ? error.text : ptq_strerror(err));
}

const char *adapt_text(const char *kind, const char *name, const char *text, char *buffer, size_t room)
{
    size_t length = strlen(name), before = strlen(kind) + 2; /* kind 'name' */
    bool named = strncmp(text, kind, strlen(kind)) == 0 && strncmp(text + strlen(kind), " '", 2) == 0 &&
                 strncmp(text + before, name, length) == 0 && text[before + length] == '\'';
    const char *rest = named ? text + before + length + 1 : text;

    if (named && strncmp(rest, ": ", 2) == 0)
        rest += 2;
    const char *advice = strstr(rest, "; ");
    snprintf(buffer, room, "%s%.*s%s%s", named && *rest == ' ' ? "it" : "",
             advice != NULL ? (int)(advice - rest) : (int)strlen(rest), rest, advice != NULL ? " - " : "",
             advice != NULL ? advice + 2 : "");
    return buffer;
}

static int fail_open(ptq_bus *bus, const char *name, enum ptq_err err, const char *text)
{
    char buffer[600];

    bool elsewhere = (strpbrk(name, "@:") != NULL && strstr(name, "@self") == NULL) || strncmp(text, "there is no", 11) == 0; /* the library says where it looked */
    if (err == PTQ_ENOENT && !elsewhere)
        return tool_fail(err, name, "no such queue on bus '%s' (%s) - create it with: ptq create %.*s", ptq_bus_run(bus),
                         ptq_bus_path(bus), (int)strcspn(name, "!@"), name); /* "tasks!dead" is a view of tasks */
    if (text[0] == '\0')
        return tool_fail(err, name, "cannot open: %s", ptq_strerror(err));
    return tool_fail(err, name, "cannot open: %s", adapt_text("queue", name, text, buffer, sizeof buffer));
}

int open_queue(ptq_bus *bus, const char *name, const struct ptq_queue_options *options, ptq_queue **ret_queue)
{
    struct ptq_error error = {0};
    struct ptq_queue_options filled = {.mode = PTQ_ATTACH};

    if (options != NULL)
        filled = *options;
    filled.error = &error;
    enum ptq_err err = ptq_queue_open(bus, name, &filled, ret_queue);
    return err == PTQ_OK ? TOOL_OK : fail_open(bus, name, err, error.text);
}

int with_queue(const char *name, int (*work)(ptq_queue *queue, void *context), void *context)
{
    ptq_queue *queue = NULL;
    ptq_bus *bus = NULL;

    int code = open_bus(&bus);
    if (code == TOOL_OK)
        code = open_queue(bus, name, NULL, &queue);
    if (code == TOOL_OK)
        code = work(queue, context);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    int finished = tool_finish_done();
    return code != TOOL_OK ? code : finished;
}

int open_view(ptq_bus *bus, const char *name, ptq_view **ret_view)
{
    struct ptq_error error = {0};
    enum ptq_err err = ptq_view_open(bus, name, &error, ret_view);

    return err == PTQ_OK ? TOOL_OK : fail_open(bus, name, err, error.text);
}

int find_view(ptq_bus *bus, const char *name, ptq_view **ret_view)
{
    struct ptq_error error = {0};

    if (strpbrk(name, "@:") != NULL)
        return TOOL_OK;
    enum ptq_err err = ptq_view_open(bus, name, &error, ret_view);
    return err == PTQ_OK || err == PTQ_ENOENT ? TOOL_OK : fail_open(bus, name, err, error.text);
}

/* The item_size that would hold `size`: the next power of two. */
static uint64_t suggest_item_size(uint64_t size)
{
    uint64_t item_size = 64;

    while (item_size < size)
        item_size *= 2;
    return item_size;
}

static void explain(ptq_queue *queue, enum ptq_err err, size_t size, char *text, size_t room)
{
    struct ptq_queue_stats stats;
    bool known = ptq_queue_stats(queue, &stats) == PTQ_OK;
    char told[1024];

    if (err == PTQ_EMSGSIZE && known && size > PTQ_ITEM_MAX)
        snprintf(text, room, "item_size is %llu - %u is the largest there is: put it in parts, or put the name of a file",
                 (unsigned long long)stats.item_size, PTQ_ITEM_MAX);
    else if (err == PTQ_EMSGSIZE && known && size > stats.item_size)
        snprintf(text, room, "item_size is %llu - create the queue with --item-size %llu",
                 (unsigned long long)stats.item_size, (unsigned long long)suggest_item_size(size));
    else if (err == PTQ_ETOOBIG && known)
        snprintf(text, room, "capacity is %llu - take a smaller --batch, or create the queue with a larger --capacity",
                 (unsigned long long)stats.capacity);
    else if ((err == PTQ_FULL || err == PTQ_TIMEDOUT) && known)
        snprintf(text, room, "it is full, %llu of %llu messages - get some, or wait longer with --timeout",
                 (unsigned long long)stats.ready, (unsigned long long)stats.capacity);
    else
        adapt_text("queue", ptq_queue_name(queue), ptq_queue_explain(queue, err, size, told, sizeof told), text, room);
}

int fail_queue(ptq_queue *queue, enum ptq_err err, size_t size, const char *format, ...)
{
    char what[512];
    char why[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    explain(queue, err, size, why, sizeof why);
    return tool_fail(err, ptq_queue_name(queue), "%s: %s", what, why);
}
