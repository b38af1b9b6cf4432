/* gc.c -- ptq gc: collects what the dead left. */
#include "commands.h"
#include "common/report.h"

struct gc_options {
    bool force, json;
};

static const struct tool_option gc_options[] = {
    {'f', "force", TOOL_FLAG, offsetof(struct gc_options, force), NULL,
     "also remove queues that hold messages, and shares and logs with what is in them, where nobody has them open"},
    {0, "json", TOOL_FLAG, offsetof(struct gc_options, json), NULL, "one JSON object"},
    {0}};

const struct tool_usage gc_usages[] = {
    {.name = "gc",
     .operands = "",
     .summary = "collect what dead processes left",
     .text = "Returns what dead processes had leased, and removes queues that nobody has open and that hold no message.  It is "
             "safe at any time, beside living users.",
     .options = gc_options},
    {0}};

static void print_report(const struct ptq_gc_report *report)
{
    printf("%u queue%s: %u in use, %u kept with what they hold, %u removed; %u dead endpoint%s recovered\n", report->queues, report->queues == 1 ? "" : "s",
           report->live, report->kept, report->removed, report->recovered, report->recovered == 1 ? "" : "s");
}

static int print_json(const struct ptq_gc_report *report)
{
    return tool_print_json(json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "v", 1, "queues", (int)report->queues, "live",
                                     (int)report->live, "kept", (int)report->kept, "removed", (int)report->removed,
                                     "recovered", (int)report->recovered),
                           stdout);
}

int cmd_gc(int argc, char **argv)
{
    struct gc_options options = {0};
    struct ptq_gc_report report = {0};
    ptq_bus *bus = NULL;

    tool_read_operands(gc_usages, argc, argv, &options, 0, 0);
    int code = open_bus(&bus);
    if (code != TOOL_OK)
        return code;
    enum ptq_err err = ptq_bus_gc(bus, options.force, &report);
    if (err != PTQ_OK)
        code = tool_fail(err, ptq_bus_path(bus), "cannot collect: %s", ptq_strerror(err));
    else if (options.json)
        code = print_json(&report);
    else
        print_report(&report);
    ptq_bus_close(bus);
    int finished = tool_finish_done();
    return code != TOOL_OK ? code : finished;
}
