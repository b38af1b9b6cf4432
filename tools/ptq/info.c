/* info.c -- ptq info: one queue's geometry, what it holds and has seen, and who is attached. */
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "common/report.h"
#include "common/table.h"
#include "common/text.h"

struct info_options {
    bool json;
};

static const struct tool_option info_options[] = {
    {0, "json", TOOL_FLAG, offsetof(struct info_options, json), NULL, "one JSON object"}, {0}};

const struct tool_usage info_usages[] = {
    {.name = "info",
     .operands = "QUEUE",
     .summary = "show one queue: geometry, contents, who is attached",
     .text = "Shows how a queue was made, what it holds and has seen, how it is reached and why so (path, via, why), and, where it "
             "lives on this host, every process attached to it with what it has leased.  Takes no message and holds no lock.\n\n"
             "A home that has this bus's own memory, as a container that shares its directory has, is reached by shared memory, "
             "whatever it is called; ptq finds that out by itself.",
     .options = info_options},
    {0}};

typedef unsigned long long ull;

/* -- endpoints ------------------------------------------------------------------------------------------------ */

struct endpoints {
    struct ptq_view_endpoint *items; /* owned */
    size_t count;
};

static enum ptq_err read_endpoints(ptq_view *view, uint32_t most, struct endpoints *ret_endpoints)
{
    struct endpoints endpoints = {calloc(most, sizeof *endpoints.items), 0};

    if (endpoints.items == NULL)
        return PTQ_ENOMEM;
    enum ptq_err err = ptq_view_endpoints(view, endpoints.items, most, &endpoints.count);
    if (endpoints.count > most)
        endpoints.count = most;
    *ret_endpoints = endpoints;
    return err;
}

static void print_endpoints(const struct endpoints *endpoints)
{
    static const struct tool_column columns[] = {
        {"PID", false},   {"COMMAND", true}, {"STATE", true},   {"SINCE", true},  {"PUT", false},
        {"TAKEN", false}, {"ACKED", false},  {"NACKED", false}, {"LEASED", false}, {"OLDEST", false}};
    struct tool_table table;
    char when[32];

    if (endpoints->count == 0) {
        printf("\nnobody is attached\n");
        return;
    }
    tool_table_init(&table, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < endpoints->count; i++) {
        const struct ptq_view_endpoint *one = &endpoints->items[i];
        tool_table_cell(&table, "%d", one->pid);
        tool_table_cell(&table, "%s", one->command);
        tool_table_cell(&table, "%s", one->alive ? "alive" : "dead");
        tool_table_cell(&table, "%s", tool_when(one->since_unix_ms, when));
        tool_table_cell(&table, "%llu", (ull)one->put);
        tool_table_cell(&table, "%llu", (ull)one->taken);
        tool_table_cell(&table, "%llu", (ull)one->acked);
        tool_table_cell(&table, "%llu", (ull)one->nacked);
        tool_table_cell(&table, "%llu", (ull)one->leased);
        if (one->leased > 0)
            tool_table_cell(&table, "%llu", (ull)one->oldest_position);
        else
            tool_table_cell(&table, "-");
    }
    putchar('\n');
    tool_table_print(&table, stdout);
    tool_table_fini(&table);
}

/* -- what its messages are ------------------------------------------------------------------------------------ */

static void print_shape(const struct ptq_field *field, struct tool_table *table)
{
    char shape[PTQ_SPEC_DIMS_MAX * 21 + 1] = "-";
    size_t at = 0;

    for (size_t i = 0; i < field->ndim; i++)
        at += (size_t)snprintf(shape + at, sizeof shape - at, "%s%llu", i == 0 ? "" : "x", (ull)field->dims[i]);
    tool_table_cell(table, "%s", shape);
}

static void print_fields(const char *text)
{
    static const struct tool_column columns[] = {
        {"FIELD", true}, {"TYPE", true}, {"SHAPE", true}, {"OFFSET", false}, {"BYTES", false}};
    struct tool_table table;
    struct ptq_field field;
    ptq_spec *spec = NULL;

    if (text[0] == '\0' || ptq_spec_parse(text, NULL, &spec) != PTQ_OK)
        return;
    tool_table_init(&table, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; ptq_spec_field_at(spec, i, &field); i++) {
        tool_table_cell(&table, "%s", field.name);
        tool_table_cell(&table, "%s", ptq_type_name(field.type));
        print_shape(&field, &table);
        tool_table_cell(&table, "%llu", (ull)field.offset);
        tool_table_cell(&table, "%llu", (ull)field.size);
    }
    putchar('\n');
    tool_table_print(&table, stdout);
    tool_table_fini(&table);
    ptq_spec_free(spec);
}

static void print_spec(const char *text)
{
    if (text[0] != '\0')
        printf("  spec         %s\n", text);
}

/* -- the queue ------------------------------------------------------------------------------------------------ */

static void print_properties(const struct ptq_view_info *info)
{
    static const char *const when_full[] = {"puts wait", "puts fail at once", "the oldest ready message is dropped",
                                            "the new message is dropped"};
    char text[32];

    printf("  when full    %s", when_full[info->full]);
    if (info->bytes > 0)
        printf("; full at %s of messages, too", tool_human(info->bytes, 1024, text));
    printf("\n  headers      at most %u bytes beside a message of the largest size\n", info->header_size);
    printf("  stamps       %s\n", tool_stamp_words[info->stamps]);
    if (info->ttl_ms > 0)
        printf("  expires      after %s, then %s\n", tool_age(info->ttl_ms, text),
               info->expired_to_dead ? "a dead letter" : "dropped");
    else if (info->expired_to_dead)
        printf("  expires      what was put with a time to live, then a dead letter\n");
    if (info->lease_ms > 0)
        printf("  leases       end after %s\n", tool_age(info->lease_ms, text));
    printf("  dead letters at most %u\n", info->max_dead);
}

static void print_drops(const struct ptq_queue_stats *stats)
{
    const char *before = " (";

    for (size_t i = 0; i < PTQ_DROPS; i++) {
        if (stats->dropped_by[i] == 0)
            continue;
        printf("%s%llu %s", before, (ull)stats->dropped_by[i], tool_drop_words[i]);
        before = ", ";
    }
    puts(stats->dropped > 0 && before[0] == ',' ? ")" : "");
}

/* A path is another process's word, too. */
static void print_path(const struct ptq_queue_path *path)
{
    char safe[1024], shown[600];

    tool_hide_user(path->where, shown, sizeof shown);
    printf("  path         %s (%s)\n", tool_escape(shown, strlen(shown), safe, sizeof safe),
           path->remote ? "a link to another host" : "shared memory");
    tool_hide_user(path->url != NULL ? path->url : "", shown, sizeof shown);
    if (path->url != NULL)
        printf("  link         %s, of node %s\n", tool_escape(shown, strlen(shown), safe, sizeof safe), path->node);
    printf("  via          %s\n", strcmp(path->via, "bridge") == 0   ? "bridge: the ptqbridge of this host"
                                     : strcmp(path->via, "direct") == 0 ? "direct: a link of this process"
                                                                        : "memory");
    tool_hide_user(path->why, shown, sizeof shown);
    printf("  why          %s\n", tool_escape(shown, strlen(shown), safe, sizeof safe));
}

static json_t *path_json(const struct ptq_queue_path *path)
{
    char where[600], why[600], url[600];
    json_t *object = json_pack("{s:o, s:s, s:o, s:o, s:o}", "where", tool_text_json(tool_hide_user(path->where, where, sizeof where)), "via",
                               path->via, "run", tool_text_json(path->run), "node", tool_text_json(path->node), "why",
                               tool_text_json(tool_hide_user(path->why, why, sizeof why)));

    if (path->url != NULL)
        json_object_set_new(object, "url", tool_text_json(tool_hide_user(path->url, url, sizeof url)));
    return object;
}

/* A view looks at the file alone: there is no handle to ask. */
static struct ptq_queue_path path_of_view(ptq_bus *bus, const struct ptq_view_info *info)
{
    return (struct ptq_queue_path){.where = info->path, .via = "memory", .run = ptq_bus_run(bus), .node = "",
                                   .why = "it is in the directory of this bus"};
}

static void print_geometry(const struct ptq_view_info *info)
{
    char text[32];

    printf("  made         %s by pid %d, mode %04o, uid %u, layout %u\n", tool_when(info->created_unix_ms, text),
           info->creator_pid, info->mode, info->uid, info->layout);
    if (info->max_deliveries == PTQ_NEVER)
        printf("  deliveries   without limit\n");
    else
        printf("  deliveries   at most %u, then a dead letter\n", info->max_deliveries);
    printf("  endpoints    at most %u%s\n", info->max_endpoints,
           info->last_producer_ends ? "; the last producer that closes ends the queue" : "");
    print_properties(info);
    if (info->window > 0)
        printf("  window       %llu, leased below position %llu\n", (ull)info->window, (ull)info->limit);
}

static void print_stats(const struct ptq_queue_stats *stats)
{
    char text[16];

    printf("  capacity     %llu messages of at most %llu bytes, %s of memory in use\n", (ull)stats->capacity,
           (ull)stats->item_size, tool_human(stats->bytes, 1024, text));
    printf("  holds        %llu ready (%.1f %%), %llu leased, %llu delayed, %llu dead%s\n", (ull)stats->ready,
           tool_queue_fill(stats), (ull)stats->leased, (ull)stats->delayed, (ull)stats->dead,
           stats->ended ? "; ended" : stats->paused ? "; paused" : "");
    printf("  has seen     %llu put, %llu taken, %llu acked, %llu given back, %llu redelivered, %llu dropped",
           (ull)stats->put, (ull)stats->taken, (ull)stats->acked, (ull)stats->nacked, (ull)stats->redelivered,
           (ull)stats->dropped);
    print_drops(stats);
    printf("  bytes        %llu put, %llu acked\n", (ull)stats->bytes_put, (ull)stats->bytes_acked);
    printf("  positions    next out %llu, next in %llu", (ull)stats->head, (ull)stats->tail);
    if (stats->ended)
        printf(", end at %llu", (ull)stats->end_position);
    printf("\n  attached     %u, of which %u have put and %u have got", stats->endpoints, stats->producers,
           stats->consumers);
    if (stats->dead_endpoints > 0)
        printf("; %u dead and not yet recovered", stats->dead_endpoints);
    printf("\n  recoveries   %llu\n", (ull)stats->recovered);
    if (stats->oldest_ms > 0)
        printf("  oldest       %s\n", tool_age(stats->oldest_ms, text));
}

/* To the end of a bucket: "at most". */
static void print_waits(const struct ptq_view_waits *waits)
{
    char half[16], most[16], all[16];

    if (waits->count == 0)
        return;
    printf("  waited       half at most %s, 99 of 100 at most %s, all at most %s, put to take (%llu measured)\n",
           tool_short_time(ptq_waits_quantile_us(waits, 0.5), half), tool_short_time(ptq_waits_quantile_us(waits, 0.99), most),
           tool_short_time(ptq_waits_quantile_us(waits, 1), all), (ull)waits->count);
}

/* `waits` NULL: it is not here. */
static int print_json(const char *name, const char *spec, const struct ptq_view_info *info, const struct ptq_queue_stats *stats,
                      const struct ptq_view_waits *waits, const struct endpoints *endpoints, const struct ptq_queue_path *path)
{
    json_t *object = tool_queue_json(name, info, stats);

    if (waits != NULL)
        tool_set_waits(object, waits);

    json_object_set_new(object, "reached", path_json(path));

    if (spec[0] != '\0')
        json_object_set_new(object, "spec", tool_text_json(spec));
    if (endpoints != NULL) {
        json_t *array = json_array();
        for (size_t i = 0; i < endpoints->count; i++)
            json_array_append_new(array, tool_endpoint_json(&endpoints->items[i]));
        json_object_set_new(object, "attached", array);
    }
    return tool_print_json(object, stdout);
}

/* `path` NULL: it was found here by its bare name. */
static int show_local(ptq_bus *bus, ptq_view *view, const char *name, const struct ptq_queue_path *path, bool json)
{
    struct ptq_queue_path found;
    struct endpoints endpoints = {0};
    struct ptq_queue_stats stats;
    struct ptq_view_waits waits;
    struct ptq_view_info info;
    int code = TOOL_OK;

    enum ptq_err err = ptq_view_info(view, &info);
    if (err == PTQ_OK)
        err = ptq_view_stats(view, &stats);
    if (err == PTQ_OK)
        err = ptq_view_waits(view, &waits);
    if (err == PTQ_OK)
        err = read_endpoints(view, info.max_endpoints, &endpoints);
    if (path == NULL) {
        found = path_of_view(bus, &info);
        path = &found;
    }
    if (err != PTQ_OK) {
        code = tool_fail(err, name, "cannot look at it: %s", ptq_strerror(err));
    } else if (json) {
        code = print_json(name, ptq_view_spec(view), &info, &stats, &waits, &endpoints, path);
    } else {
        printf("%s\n  kind         %s\n", name, tool_queue_kind(&info));
        print_path(path);
        print_geometry(&info);
        print_stats(&stats);
        print_waits(&waits);
        print_spec(ptq_view_spec(view));
        print_fields(ptq_view_spec(view));
        print_endpoints(&endpoints);
    }
    free(endpoints.items);
    return code;
}

static int show_remote(ptq_queue *queue, const char *name, const struct ptq_queue_path *path, bool json)
{
    struct ptq_queue_stats stats;
    enum ptq_err err = ptq_queue_stats(queue, &stats);

    if (err != PTQ_OK)
        return fail_queue(queue, err, 0, "cannot look at it");
    if (json)
        return print_json(name, ptq_queue_spec(queue), NULL, &stats, NULL, NULL, path);
    printf("%s\n", name);
    print_path(path);
    print_stats(&stats);
    print_spec(ptq_queue_spec(queue));
    print_fields(ptq_queue_spec(queue));
    return TOOL_OK;
}

/* What is not here by its bare name is seen through a handle, as any user has it.  It may turn out to be here. */
static int show_by_handle(ptq_bus *bus, const char *name, bool json)
{
    struct ptq_queue_path path;
    ptq_queue *queue = NULL;
    ptq_view *view = NULL;
    int code = open_queue(bus, name, NULL, &queue);

    if (code != TOOL_OK)
        return code;
    enum ptq_err err = ptq_queue_path(queue, &path);
    if (err == PTQ_OK && !path.remote)
        code = find_view(bus, ptq_queue_name(queue), &view);
    if (err != PTQ_OK)
        code = fail_queue(queue, err, 0, "cannot look at it");
    else if (code == TOOL_OK)
        code = view != NULL ? show_local(bus, view, name, &path, json) : show_remote(queue, name, &path, json);
    ptq_view_close(view);
    ptq_queue_close(queue);
    return code;
}

int cmd_info(int argc, char **argv)
{
    struct info_options options = {0};
    int first = tool_read_operands(info_usages, argc, argv, &options, 1, 1);
    const char *name = argv[first];
    ptq_view *view = NULL;
    ptq_bus *bus = NULL;

    int code = open_bus(&bus);
    if (code == TOOL_OK)
        code = find_view(bus, name, &view);
    if (code == TOOL_OK)
        code = view != NULL ? show_local(bus, view, name, NULL, options.json) : show_by_handle(bus, name, options.json);
    ptq_view_close(view);
    ptq_bus_close(bus);
    int finished = tool_finish();
    return code != TOOL_OK ? code : finished;
}
