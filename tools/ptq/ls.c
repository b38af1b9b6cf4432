/* ls.c -- ptq ls: the queues of a bus on this host. */
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "common/report.h"
#include "common/table.h"
#include "common/text.h"
#include "names.h"

struct ls_options {
    bool detail, json;
};

static const struct tool_option ls_options[] = {
    {'l', "long", TOOL_FLAG, offsetof(struct ls_options, detail), NULL, "show what each holds"},
    {0, "json", TOOL_FLAG, offsetof(struct ls_options, json), NULL, "a JSON object a line"},
    {0}};

const struct tool_usage ls_usages[] = {
    {.name = "ls",
     .operands = "[GLOB]...",
     .summary = "list queues",
     .text = "Lists the queues of the bus that live on this host, in alphabetical order; with GLOBs those that match any of them.  A GLOB such "
             "as '*!dead' lists the views of dead letters, of those queues that have any.\n\n"
             "With --long, outboxes follow: what this host put with PTQ_ACK_LOCAL for queues of others, how much waits to be carried "
             "there, is under way, was carried, was refused (it stands in the queue of that name and '.refused'), and how that "
             "stands.  Their NAMEs are no queues' of users, but ptq peek and ptq info show what they hold.\n\n"
             "FLAGS of --long: F full, D has dead letters, R recovered something after a death, X a dead process is not yet "
             "recovered, E ended, P paused, G removed while somebody has it open.",
     .examples = "ptq ls -l 'job*' 'mail.*'",
     .options = ls_options},
    {0}};

static const struct tool_column columns[] = {
    {"QUEUE", true},    {"KIND", true},  {"READY", false}, {"LEASED", false}, {"DELAYED", false}, {"DEAD", false},
    {"CAPACITY", false}, {"ITEM", false}, {"BYTES", false}, {"PROD", false},   {"CONS", false},    {"FLAGS", true}};

static void add_row(struct tool_table *table, const char *name, const struct ptq_view_info *info,
                    const struct ptq_queue_stats *stats)
{
    char text[16];

    tool_table_cell(table, "%s", name);
    tool_table_cell(table, "%s", tool_queue_kind(info));
    tool_table_cell(table, "%llu", (unsigned long long)stats->ready);
    tool_table_cell(table, "%llu", (unsigned long long)stats->leased);
    tool_table_cell(table, "%llu", (unsigned long long)stats->delayed);
    tool_table_cell(table, "%llu", (unsigned long long)stats->dead);
    tool_table_cell(table, "%llu", (unsigned long long)stats->capacity);
    tool_table_cell(table, "%llu", (unsigned long long)stats->item_size);
    tool_table_cell(table, "%s", tool_human(stats->bytes, 1024, text));
    tool_table_cell(table, "%u", stats->producers);
    tool_table_cell(table, "%u", stats->consumers);
    tool_table_cell(table, "%s", tool_queue_flags(stats, text));
}

/* A queue that went away while we listed is no error. */
static int show_queue(ptq_bus *bus, const char *name, bool json, struct tool_table *table)
{
    struct ptq_error error = {0};
    struct ptq_queue_stats stats;
    struct ptq_view_info info;
    ptq_view *view = NULL;
    int code = TOOL_OK;
    char text[600];

    enum ptq_err err = ptq_view_open(bus, name, &error, &view);
    if (err == PTQ_OK)
        err = ptq_view_info(view, &info);
    if (err == PTQ_OK)
        err = ptq_view_stats(view, &stats);
    if (err == PTQ_OK && json)
        code = tool_print_json(tool_queue_json(name, &info, &stats), stdout);
    else if (err == PTQ_OK)
        add_row(table, name, &info, &stats);
    else if (err != PTQ_ENOENT && err != PTQ_EGONE)
        code = tool_fail(err, name, "cannot look at it: %s",
                         adapt_text("queue", name, error.text[0] != '\0' ? error.text : ptq_strerror(err), text, sizeof text));
    ptq_view_close(view);
    return code;
}

static bool has_dead_letters(ptq_bus *bus, const char *name)
{
    struct ptq_queue_stats stats = {0};
    ptq_view *view = NULL;
    enum ptq_err err = ptq_view_open(bus, name, NULL, &view);

    if (err == PTQ_OK)
        err = ptq_view_stats(view, &stats);
    ptq_view_close(view);
    return err == PTQ_OK && stats.dead > 0;
}

/* What is asked for: what matches any of them; NULL at the end.  None is all. */
static bool matches(char *const *globs, const char *name)
{
    for (char *const *glob = globs; *glob != NULL; glob++)
        if (fnmatch(*glob, name, 0) == 0)
            return true;
    return *globs == NULL;
}

/* "*!dead" is meant for them; "[!a]*" is not. */
static bool wants_dead_letters(char *const *globs, const char *name, const char *view)
{
    for (; *globs != NULL; globs++)
        if (strchr(*globs, '!') != NULL && fnmatch(*globs, name, 0) != 0 && fnmatch(*globs, view, 0) == 0)
            return true;
    return false;
}

/* -- outboxes */

struct outboxes {
    ptq_bus *bus;
    char *const *globs;
    struct tool_table table;
    unsigned count;
};

/* Whose home answers may wait for something else. */
static void state_of(const struct ptq_outbox *outbox, const struct ptq_queue_stats *stats, char *text, size_t size)
{
    char safe[256];

    if (stats->consumers == 0)
        snprintf(text, size, "no ptqbridge carries it");
    else if (!outbox->carried)
        snprintf(text, size, "waits for its home");
    else if (outbox->why[0] != '\0')
        snprintf(text, size, "waits: %s", tool_escape(outbox->why, strlen(outbox->why), safe, sizeof safe));
    else
        snprintf(text, size, "carried");
}

static bool add_outbox(const struct ptq_outbox *outbox, void *context)
{
    struct outboxes *outboxes = context;
    const char *slash = strrchr(outbox->target, '/');
    struct ptq_queue_stats stats;
    ptq_view *view = NULL;
    char safe[512], state[300];

    if (*outboxes->globs != NULL && (slash == NULL || !matches(outboxes->globs, slash + 1)))
        return true;
    enum ptq_err err = ptq_view_open(outboxes->bus, outbox->name, NULL, &view);
    if (err == PTQ_OK)
        err = ptq_view_stats(view, &stats);
    ptq_view_close(view);
    if (err != PTQ_OK)
        return true; /* it went away meanwhile */
    outboxes->count++;
    tool_table_cell(&outboxes->table, "%s", outbox->name);
    tool_table_cell(&outboxes->table, "%s", tool_escape(outbox->target, strlen(outbox->target), safe, sizeof safe));
    tool_table_cell(&outboxes->table, "%llu", (unsigned long long)(stats.ready + stats.delayed));
    tool_table_cell(&outboxes->table, "%llu", (unsigned long long)stats.leased);
    tool_table_cell(&outboxes->table, "%llu", (unsigned long long)outbox->moved);
    tool_table_cell(&outboxes->table, "%llu", (unsigned long long)outbox->refused);
    state_of(outbox, &stats, state, sizeof state);
    tool_table_cell(&outboxes->table, "%s", state);
    return true;
}

static int list_outboxes(ptq_bus *bus, char *const *globs)
{
    static const struct tool_column outbox_columns[] = {{"OUTBOX", true}, {"FOR", true},     {"WAITING", false}, {"UNDER WAY", false},
                                                        {"CARRIED", false}, {"REFUSED", false}, {"STATE", true}};
    struct outboxes outboxes = {.bus = bus, .globs = globs};

    tool_table_init(&outboxes.table, outbox_columns, sizeof outbox_columns / sizeof outbox_columns[0]);
    enum ptq_err err = ptq_bus_list_outboxes(bus, add_outbox, &outboxes);
    if (outboxes.count > 0) {
        putchar('\n');
        tool_table_print(&outboxes.table, stdout);
    }
    tool_table_fini(&outboxes.table);
    return err == PTQ_OK ? TOOL_OK : tool_fail(err, ptq_bus_path(bus), "cannot list outboxes: %s", ptq_strerror(err));
}

struct listing {
    ptq_bus *bus;
    char *const *globs;
    const struct ls_options *options;
    struct tool_table table;
};

static int list_one(struct listing *listing, const char *name)
{
    if (listing->options->json || listing->options->detail)
        return show_queue(listing->bus, name, listing->options->json, &listing->table);
    printf("%s\n", name);
    return TOOL_OK;
}

/* The queue, the view of its dead letters, or both, as they are asked for. */
static int list_matching(struct listing *listing, const char *name)
{
    char view[PTQ_NAME_MAX + 8];
    int code = matches(listing->globs, name) ? list_one(listing, name) : TOOL_OK;

    snprintf(view, sizeof view, "%s" PTQ_DEAD_SUFFIX, name);
    if (!wants_dead_letters(listing->globs, name, view) || !has_dead_letters(listing->bus, name))
        return code;
    int other = list_one(listing, view);
    return other != TOOL_OK ? other : code;
}

static int list_queues(ptq_bus *bus, char *const *globs, const struct ls_options *options)
{
    struct listing listing = {.bus = bus, .globs = globs, .options = options};
    bool table = options->detail && !options->json;
    struct names names;
    int code = names_read(&names, bus), one;

    tool_table_init(&listing.table, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < names.count; i++)
        if ((one = list_matching(&listing, names.items[i])) != TOOL_OK)
            code = one;
    if (table)
        tool_table_print(&listing.table, stdout);
    tool_table_fini(&listing.table);
    if (table && (one = list_outboxes(bus, globs)) != TOOL_OK)
        code = one;
    names_fini(&names);
    return code;
}

/* Said, not listed: what reads the list could not open it. */
static bool tell_other(const char *name, int layout, void *globs)
{
    if (matches(globs, name))
        tool_error(name, "is a queue in memory layout %d, this ptq reads layout %d - empty it with the ptq that made it, then ptq rm",
                  layout, PTQ_LAYOUT_VERSION);
    return true;
}

int cmd_ls(int argc, char **argv)
{
    struct ls_options options = {0};
    int first = tool_read_operands(ls_usages, argc, argv, &options, 0, INT_MAX);
    ptq_bus *bus = NULL;

    int code = open_bus(&bus);
    if (code == TOOL_OK)
        code = list_queues(bus, argv + first, &options);
    if (code == TOOL_OK && ptq_bus_list_other(bus, tell_other, argv + first) != PTQ_OK)
        code = tool_fail(PTQ_ESYS, ptq_bus_run(bus), "cannot list it to the end");
    ptq_bus_close(bus);
    int finished = tool_finish();
    return code != TOOL_OK ? code : finished;
}
