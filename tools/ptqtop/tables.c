/* tables.c -- links and events as tables and for machines. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "columns.h"
#include "common/report.h"
#include "common/text.h"
#include "views.h"

/* -- links ------------------------------------------------------------------------------------------------------- */

static void add_link(const struct frame *frame, const struct link_row *row, struct tool_table *table)
{
    char text[16], name[320], cut[4 * sizeof name];
    bool outbox = strcmp(row->kind, "outbox") == 0;
    int64_t age = row->since_unix_ms > 0 ? frame->unix_ms - row->since_unix_ms : -1;

    outbox ? outbox_name(row->name, name, sizeof name) : strcpy(name, row->name);
    tool_table_cell(table, "%s", column_name_width > 0 ? tool_shorten(name, column_name_width, top_options.ascii, cut, sizeof cut) : name);
    tool_table_cell(table, "%s", row->kind);
    tool_table_cell(table, "%s", !row->known ? "-" : row->up ? "up" : "down");
    tool_table_cell(table, "%s", age >= 0 ? tool_age((uint64_t)age, text) : "-");
    if (row->rtt_ns > 0)
        tool_table_cell(table, "%s", tool_short_time(row->rtt_ns / 1000, text));
    else
        tool_table_cell(table, "-");
    if (outbox || !row->known)
        tool_table_cell(table, "-");
    else
        tool_table_cell(table, "%zu", row->queues);
    if (outbox) {
        tool_table_cell(table, "%" PRIu64, row->waiting);
        tool_table_cell(table, !row->has_rate ? "-" : row->rate > 0 && row->rate < 10 ? "%.1f" : "%.0f", row->rate);
        tool_table_cell(table, "%" PRIu64, row->refused);
    } else {
        for (int i = 0; i < 3; i++)
            tool_table_cell(table, "-");
    }
    tool_table_cell(table, "%s", row->url);
    tool_table_cell(table, "%s", row->why[0] != '\0' ? row->why : "-");
}

void links_fill_table(const struct frame *frame, struct tool_table *table)
{
    static const struct tool_column columns[] = {
        {"LINK", true},  {"KIND", true}, {"STATE", true}, {"SINCE", false}, {"RTT", false}, {"QUEUES", false}, {"WAITING", false},
        {"MOVED/s", false}, {"REFUSED", false}, {"URL", true}, {"WHY", true}};

    tool_table_init(table, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < frame->links.count; i++)
        add_link(frame, &frame->links.rows[i], table);
}

json_t *links_row_json(const struct link_row *row)
{
    json_t *object = json_object();
    bool outbox = strcmp(row->kind, "outbox") == 0;

    json_object_set_new(object, "kind", json_string(row->kind));
    json_object_set_new(object, "name", tool_text_json(row->name));
    json_object_set_new(object, "url", tool_text_json(row->url));
    json_object_set_new(object, "up", row->known ? json_boolean(row->up) : json_null());
    json_object_set_new(object, "since_unix_ms", row->since_unix_ms > 0 ? json_integer(row->since_unix_ms) : json_null());
    json_object_set_new(object, "rtt_us", row->rtt_ns > 0 ? json_integer((json_int_t)(row->rtt_ns / 1000)) : json_null());
    json_object_set_new(object, "queues", !outbox && row->known ? json_integer((json_int_t)row->queues) : json_null());
    json_object_set_new(object, "waiting", outbox ? json_integer((json_int_t)row->waiting) : json_null());
    json_object_set_new(object, "moved", outbox ? json_integer((json_int_t)row->moved) : json_null());
    json_object_set_new(object, "refused", outbox ? json_integer((json_int_t)row->refused) : json_null());
    set_rate(object, "moved_per_second", row->has_rate, row->rate);
    json_object_set_new(object, "why", tool_text_json(row->why));
    return object;
}

/* -- events ------------------------------------------------------------------------------------------------------ */

static const char *const weights[] = {"plain", "warning", "alarm"};

static const struct event *find_event(const struct events *events, uint64_t number)
{
    return &events->list[number % EVENTS];
}

static void add_event(const struct event *event, struct tool_table *table)
{
    char when[32];

    tool_table_cell(table, "%s", tool_when(event->unix_ms, when));
    tool_table_cell(table, "%s", event->subject);
    tool_table_cell(table, "%s", event->text);
}

static void begin_events(struct tool_table *table)
{
    static const struct tool_column columns[] = {{"TIME", true}, {"ON", true}, {"EVENT", true}};

    tool_table_init(table, columns, sizeof columns / sizeof columns[0]);
}

void events_fill_table(const struct events *events, uint64_t from, struct tool_table *table)
{
    uint64_t oldest = events->count > EVENTS ? events->count - EVENTS : 0;

    begin_events(table);
    for (uint64_t i = from > oldest ? from : oldest; i < events->count; i++)
        add_event(find_event(events, i), table);
}

/* "5 dropped: oldest" and the like: with the amounts of all of them, and since when. */
static void add_folded(const struct fold *fold, const struct event *event, int64_t now_ms, struct tool_table *table)
{
    char when[32], today[32], name[4 * PTQ_NAME_MAX], since[16];
    const char *rest = event->text + strspn(event->text, "0123456789");

    tool_when(event->unix_ms, when);
    tool_when(now_ms, today);
    tool_table_cell(table, "%s", strncmp(when, today, 10) == 0 ? when + 11 : when);
    tool_table_cell(table, "%s", tool_shorten(event->subject, column_name_width, top_options.ascii, name, sizeof name));
    if (fold->times > 1)
        tool_table_cell(table, "%" PRIu64 "%s, %u times in %s", fold->amount, rest, fold->times,
                        tool_age((uint64_t)(event->unix_ms - fold->first_ms), since));
    else
        tool_table_cell(table, "%s", event->text);
}

size_t events_fold(const struct events *events, struct fold *folds)
{
    enum { NEAR = 8 }; /* rows in which the same is looked for */
    uint64_t oldest = events->count > EVENTS ? events->count - EVENTS : 0;
    size_t count = 0;

    for (uint64_t i = events->count; i > oldest; i--) {
        const struct event *event = find_event(events, i - 1);
        struct fold *fold = NULL;
        for (size_t j = count > NEAR ? count - NEAR : 0; j < count && event->amount > 0 && fold == NULL; j++) {
            const struct event *newest = find_event(events, folds[j].newest);
            if (newest->kind == event->kind && newest->amount > 0 && strcmp(newest->subject, event->subject) == 0)
                fold = &folds[j];
        }
        if (fold == NULL) {
            fold = &folds[count++];
            *fold = (struct fold){.newest = i - 1};
        }
        fold->times++;
        fold->amount += event->amount;
        fold->first_ms = event->unix_ms;
    }
    return count;
}

void events_fill_folded(const struct events *events, const struct fold *folds, size_t count, int64_t now_ms, struct tool_table *table)
{
    begin_events(table);
    for (size_t i = 0; i < count; i++)
        add_folded(&folds[i], find_event(events, folds[i].newest), now_ms, table);
}

json_t *events_row_json(const struct event *event)
{
    json_t *object = json_object();

    json_object_set_new(object, "kind", json_string("event"));
    json_object_set_new(object, "at_unix_ms", json_integer(event->unix_ms));
    json_object_set_new(object, "weight", json_string(weights[event->weight]));
    json_object_set_new(object, "on", tool_text_json(event->subject));
    json_object_set_new(object, "event", tool_text_json(event->text));
    return object;
}
