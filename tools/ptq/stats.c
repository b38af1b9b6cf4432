/* stats.c -- ptq stats: a queue's figures, one a line, for scripts. */
#include <string.h>

#include "commands.h"
#include "common/report.h"

const struct tool_usage stats_usages[] = {
    {.name = "stats",
     .operands = "QUEUE [KEY]...",
     .summary = "print a queue's figures, one a line",
     .text = "Prints each figure of a queue as \"key value\"; with KEYs the values of these alone.  The keys are those of ptq info "
             "--json.",
     .examples = "ptq stats tasks\nwhile [ $(ptq stats tasks queue_size) -gt 100 ]; do sleep 1; done"},
    {0}};

static void print_value(const json_t *value)
{
    if (json_is_integer(value))
        printf("%" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
    else if (json_is_real(value))
        printf("%.6g\n", json_real_value(value));
    else if (json_is_string(value))
        printf("%s\n", json_string_value(value));
    else
        printf("%s\n", json_is_true(value) ? "true" : json_is_false(value) ? "false" : "null");
}

static int print_stats(json_t *object, char **keys, int count)
{
    const char *key;
    json_t *value;

    for (int i = 0; i < count; i++) {
        value = json_object_get(object, keys[i]);
        if (value == NULL)
            return tool_misuse("stats", "there is no figure '%s'", keys[i]);
        print_value(value);
    }
    if (count > 0)
        return TOOL_OK;
    json_object_foreach(object, key, value) {
        printf("%s ", key);
        print_value(value);
    }
    return TOOL_OK;
}

static int read_local(ptq_view *view, const char *name, json_t **ret_object)
{
    struct ptq_queue_stats stats;
    struct ptq_view_waits waits;
    struct ptq_view_info info;
    enum ptq_err err = ptq_view_info(view, &info);

    if (err == PTQ_OK)
        err = ptq_view_stats(view, &stats);
    if (err == PTQ_OK)
        err = ptq_view_waits(view, &waits);
    if (err != PTQ_OK)
        return tool_fail(err, name, "cannot look at it: %s", ptq_strerror(err));
    *ret_object = tool_queue_json(name, &info, &stats);
    if (*ret_object != NULL)
        tool_set_waits(*ret_object, &waits);
    return TOOL_OK;
}

static int read_remote(ptq_bus *bus, const char *name, json_t **ret_object)
{
    struct ptq_queue_stats stats;
    ptq_queue *queue = NULL;
    int code = open_queue(bus, name, NULL, &queue);

    if (code != TOOL_OK)
        return code;
    enum ptq_err err = ptq_queue_stats(queue, &stats);
    if (err == PTQ_OK)
        *ret_object = tool_queue_json(name, NULL, &stats);
    else
        code = fail_queue(queue, err, 0, "cannot look at it");
    ptq_queue_close(queue);
    return code;
}

int cmd_stats(int argc, char **argv)
{
    int first = tool_read_operands(stats_usages, argc, argv, NULL, 1, 64);
    const char *name = argv[first];
    json_t *object = NULL;
    ptq_view *view = NULL;
    ptq_bus *bus = NULL;

    int code = open_bus(&bus);
    if (code == TOOL_OK)
        code = find_view(bus, name, &view);
    if (code == TOOL_OK)
        code = view != NULL ? read_local(view, name, &object) : read_remote(bus, name, &object);
    if (code == TOOL_OK)
        code = print_stats(object, argv + first + 1, argc - first - 1);
    json_decref(object);
    ptq_view_close(view);
    ptq_bus_close(bus);
    int finished = tool_finish();
    return code != TOOL_OK ? code : finished;
}
