/* check.c -- ptq check: is a queue as it should be?  For Nagios and its kin, for scripts, for Prometheus. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "common/report.h"
#include "common/text.h"

/* What monitors know: they are the exit codes, in every format. */
enum state { STATE_OK = 0, STATE_WARNING = 1, STATE_CRITICAL = 2, STATE_UNKNOWN = 3 };
static const char *const state_words[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};

/* In the order of --format. */
enum { FORM_NAGIOS, FORM_JSON, FORM_OPENMETRICS };

struct check_options {
    uint64_t max_depth, warn_depth, max_dead, min_consumers;
    int max_age, warn_age, format;
};

#define FIELD(name) offsetof(struct check_options, name)
static const struct tool_option check_options[] = {
    {'d', "max-depth", TOOL_LIMIT, FIELD(max_depth), "N", "critical where more than N messages are ready, leased or delayed"},
    {'a', "max-age", TOOL_MS, FIELD(max_age), "MS",
     "critical where the oldest ready message waits longer, as far as it is known: of a queue with --stamps sampled, of every 64th"},
    {0, "warn-depth", TOOL_LIMIT, FIELD(warn_depth), "N", "a warning beyond N messages"},
    {0, "warn-age", TOOL_MS, FIELD(warn_age), "MS", "a warning beyond that age"},
    {0, "max-dead", TOOL_LIMIT, FIELD(max_dead), "N", "critical where there are more than N dead letters"},
    {0, "min-consumers", TOOL_LIMIT, FIELD(min_consumers), "N", "critical where fewer than N consumers are attached"},
    {'F', "format", TOOL_CHOICE, FIELD(format), "nagios|json|openmetrics",
     "a line with figures as Nagios reads it, the default; a JSON object; or the figures as Prometheus reads them, with ptq_check_state"},
    {0}};
#undef FIELD

const struct tool_usage check_usages[] = {
    {.name = "check",
     .operands = "QUEUE",
     .summary = "say whether a queue is as it should be, for monitors",
     .text = "Looks at one queue, of this host or another, and holds it against the bounds that are given.  Exits 0 where all is well, 1 for a "
             "warning, 2 where it is critical, and 3 where it cannot be told: no such queue, no permission, a host that is silent, or "
             "a call that makes no sense.  Other commands have other exit codes.",
     .examples = "ptq check tasks --max-depth 10k --max-age 5m --warn-depth 1000\n"
                 "ptq check 'jobs@west' --max-dead 0 --min-consumers 1 -F json\n"
                 "ptq check tasks -F openmetrics > /var/lib/node_exporter/tasks.prom",
     .options = check_options},
    {0}};

struct checking {
    const struct check_options *options;
    const char *name;
    struct ptq_queue_stats stats;
    bool has_age; /* it is known what is the oldest */
    enum state state;
    char problems[4][200];
    size_t problem_count;
};

__attribute__((format(printf, 3, 4))) static void find(struct checking *checking, enum state state, const char *format, ...)
{
    va_list arguments;

    if (state > checking->state)
        checking->state = state;
    if (checking->problem_count == sizeof checking->problems / sizeof checking->problems[0])
        return;
    va_start(arguments, format);
    vsnprintf(checking->problems[checking->problem_count++], sizeof checking->problems[0], format, arguments);
    va_end(arguments);
}

static void judge_depth(struct checking *checking)
{
    const struct check_options *options = checking->options;
    uint64_t depth = tool_queue_depth(&checking->stats);

    if (depth > options->max_depth)
        find(checking, STATE_CRITICAL, "%" PRIu64 " messages, at most %" PRIu64 " wanted", depth, options->max_depth);
    else if (depth > options->warn_depth)
        find(checking, STATE_WARNING, "%" PRIu64 " messages, at most %" PRIu64 " wanted", depth, options->warn_depth);
}

static void judge_age(struct checking *checking)
{
    const struct check_options *options = checking->options;
    uint64_t age = checking->stats.oldest_ms;
    char is[16], most[16];

    if (options->max_age < 0 && options->warn_age < 0)
        return;
    if (!checking->has_age && checking->stats.ready > 0)
        find(checking, STATE_UNKNOWN, "its messages bear no time: make it with --stamps all");
    else if (options->max_age >= 0 && age > (uint64_t)options->max_age)
        find(checking, STATE_CRITICAL, "the oldest waits for %s, at most %s wanted", tool_age(age, is), tool_age((uint64_t)options->max_age, most));
    else if (options->warn_age >= 0 && age > (uint64_t)options->warn_age)
        find(checking, STATE_WARNING, "the oldest waits for %s, at most %s wanted", tool_age(age, is), tool_age((uint64_t)options->warn_age, most));
}

static void judge(struct checking *checking)
{
    const struct check_options *options = checking->options;
    const struct ptq_queue_stats *stats = &checking->stats;

    judge_depth(checking);
    judge_age(checking);
    if (stats->dead > options->max_dead)
        find(checking, STATE_CRITICAL, "%" PRIu64 " dead letters, at most %" PRIu64 " wanted", stats->dead, options->max_dead);
    if (stats->consumers < options->min_consumers)
        find(checking, STATE_CRITICAL, "%" PRIu32 " consumers, at least %" PRIu64 " wanted", stats->consumers, options->min_consumers);
}

/* -- the formats ---------------------------------------------------------------------------------------------- */

/* "";  "10" : nobody asked; that bound. */
static const char *bound(uint64_t value, char buffer[24])
{
    buffer[0] = '\0';
    if (value != UINT64_MAX)
        snprintf(buffer, 24, "%" PRIu64, value);
    return buffer;
}

static const char *bound_seconds(int ms, char buffer[24])
{
    buffer[0] = '\0';
    if (ms >= 0)
        snprintf(buffer, 24, "%g", ms / 1000.0);
    return buffer;
}

/* PTQ OK - tasks: 5 messages, ... | depth=5;10;20;0;1000 ...: label=value[unit];warn;crit;min;max */
static void print_nagios(const struct checking *checking)
{
    const struct check_options *options = checking->options;
    const struct ptq_queue_stats *stats = &checking->stats;
    char one[24], two[24], name[4 * PTQ_REF_SIZE], age[16];

    printf("PTQ %s - %s: ", state_words[checking->state], tool_escape(checking->name, strlen(checking->name), name, sizeof name));
    for (size_t i = 0; i < checking->problem_count; i++)
        printf("%s; ", checking->problems[i]);
    printf("%" PRIu64 " ready, %" PRIu64 " leased, %" PRIu64 " delayed, %" PRIu64 " dead, %" PRIu32 " consumers, oldest %s", stats->ready,
           stats->leased, stats->delayed, stats->dead, stats->consumers, tool_age(stats->oldest_ms, age));
    printf(" | depth=%" PRIu64 ";%s;%s;0;%" PRIu64, tool_queue_depth(stats), bound(options->warn_depth, one), bound(options->max_depth, two),
           stats->capacity);
    printf(" oldest=%gs;%s;%s;0", (double)stats->oldest_ms / 1000, bound_seconds(options->warn_age, one), bound_seconds(options->max_age, two));
    printf(" dead=%" PRIu64 ";;%s;0", stats->dead, bound(options->max_dead, one));
    printf(" put=%" PRIu64 "c acked=%" PRIu64 "c dropped=%" PRIu64 "c\n", stats->put, stats->acked, stats->dropped);
}

static int print_json(const struct checking *checking)
{
    const struct ptq_queue_stats *stats = &checking->stats;
    json_t *problems = json_array();

    for (size_t i = 0; i < checking->problem_count; i++)
        json_array_append_new(problems, json_string(checking->problems[i]));
    json_t *object = json_pack("{s:i, s:o?, s:s, s:i, s:o}", "v", 1, "queue", tool_text_json(checking->name), "state",
                               state_words[checking->state], "code", (int)checking->state, "problems", problems);
    if (object == NULL)
        return TOOL_ERROR;
    tool_set_number(object, "depth", tool_queue_depth(stats));
    tool_set_number(object, "ready", stats->ready);
    tool_set_number(object, "leased", stats->leased);
    tool_set_number(object, "delayed", stats->delayed);
    tool_set_number(object, "dead", stats->dead);
    tool_set_number(object, "capacity", stats->capacity);
    tool_set_number(object, "oldest_ms", stats->oldest_ms);
    tool_set_number(object, "producers", stats->producers);
    tool_set_number(object, "consumers", stats->consumers);
    return tool_print_json(object, stdout);
}

/* stats NULL: it cannot be looked at. */
static int print_openmetrics(const char *name, const struct ptq_queue_stats *stats, enum state state)
{
    char *text;
    size_t size;
    enum ptq_err err = ptq_check_text(name, stats, state, PTQ_METRICS_OPENMETRICS, &text, &size);

    if (err != PTQ_OK)
        return tool_fail(err, name, "cannot tell figures: %s", ptq_strerror(err));
    fwrite(text, 1, size, stdout);
    free(text);
    return TOOL_OK;
}

static int print_check(const struct checking *checking)
{
    if (checking->options->format == FORM_JSON)
        return print_json(checking);
    if (checking->options->format == FORM_OPENMETRICS)
        return print_openmetrics(checking->name, &checking->stats, checking->state);
    print_nagios(checking);
    return TOOL_OK;
}

/* -- the command ---------------------------------------------------------------------------------------------- */

static int read_local(struct checking *checking, ptq_view *view)
{
    struct ptq_view_info info;
    enum ptq_err err = ptq_view_info(view, &info);

    if (err == PTQ_OK)
        err = ptq_view_stats(view, &checking->stats);
    if (err != PTQ_OK)
        return tool_fail(err, checking->name, "cannot look at it: %s - see: ptq verify %s", ptq_strerror(err), checking->name);
    checking->has_age = info.stamps != PTQ_STAMPS_OFF;
    return TOOL_OK;
}

static int read_remote(struct checking *checking, ptq_bus *bus)
{
    ptq_queue *queue = NULL;
    int code = open_queue(bus, checking->name, NULL, &queue);

    if (code != TOOL_OK)
        return code;
    enum ptq_err err = ptq_queue_stats(queue, &checking->stats);
    if (err != PTQ_OK)
        code = fail_queue(queue, err, 0, "cannot look at it");
    checking->has_age = true;
    ptq_queue_close(queue);
    return code;
}

/* Standard error has said why; a monitor reads this. */
static int print_unknown(const struct checking *checking)
{
    char name[4 * PTQ_REF_SIZE];

    if (checking->options->format == FORM_NAGIOS)
        printf("PTQ UNKNOWN - %s: cannot be looked at\n", tool_escape(checking->name, strlen(checking->name), name, sizeof name));
    else if (checking->options->format == FORM_JSON)
        tool_print_json(json_pack("{s:i, s:o?, s:s, s:i, s:[s]}", "v", 1, "queue", tool_text_json(checking->name), "state",
                                  state_words[STATE_UNKNOWN], "code", STATE_UNKNOWN, "problems", "cannot be looked at"), stdout);
    else
        print_openmetrics(checking->name, NULL, STATE_UNKNOWN);
    tool_finish();
    return STATE_UNKNOWN;
}

int cmd_check(int argc, char **argv)
{
    struct check_options options = {.max_depth = UINT64_MAX, .warn_depth = UINT64_MAX, .max_dead = UINT64_MAX, .max_age = -1, .warn_age = -1};

    tool_misuse_code = STATE_UNKNOWN;
    int first = tool_read_operands(check_usages, argc, argv, &options, 1, 1);
    struct checking checking = {.options = &options, .name = argv[first]};
    ptq_view *view = NULL;
    ptq_bus *bus = NULL;

    int code = open_bus(&bus);
    if (code == TOOL_OK)
        code = find_view(bus, checking.name, &view);
    if (code == TOOL_OK)
        code = view != NULL ? read_local(&checking, view) : read_remote(&checking, bus);
    if (code == TOOL_OK) {
        judge(&checking);
        code = print_check(&checking);
    }
    ptq_view_close(view);
    ptq_bus_close(bus);
    if (code != TOOL_OK)
        return print_unknown(&checking);
    return tool_finish() == TOOL_OK ? checking.state : STATE_UNKNOWN;
}
