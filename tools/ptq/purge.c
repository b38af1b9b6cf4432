/* purge.c -- ptq purge: drops what is ready. */
#include <stdio.h>

#include "commands.h"

struct purge_options {
    bool quiet;
};

static const struct tool_option purge_options[] = {
    {'q', "quiet", TOOL_FLAG, offsetof(struct purge_options, quiet), NULL, "do not print how many it were"}, {0}};

const struct tool_usage purge_usages[] = {
    {.name = "purge",
     .operands = "QUEUE",
     .summary = "drop all messages that are ready",
     .text = "Drops every message that could be taken now, and prints how many it were.  What is leased, delayed or a dead letter "
             "stays; the queue counts what was purged.  Queues of pools cannot be purged: stop or remove the pool.",
     .examples = "ptq pause tasks; ptq purge tasks; ptq resume tasks",
     .options = purge_options},
    {0}};

int cmd_purge(int argc, char **argv)
{
    struct purge_options options = {0};
    int first = tool_read_operands(purge_usages, argc, argv, &options, 1, 1);
    ptq_queue *queue = NULL;
    ptq_bus *bus = NULL;
    uint64_t count = 0;

    int code = open_bus(&bus);
    if (code == TOOL_OK)
        code = open_queue(bus, argv[first], NULL, &queue);
    if (code == TOOL_OK) {
        enum ptq_err err = ptq_queue_purge(queue, &count);
        if (err == PTQ_EINVAL)
            code = tool_fail(err, argv[first], "cannot purge it: it belongs to a pool - stop the pool or remove it: ptq pool");
        else if (err != PTQ_OK)
            code = fail_queue(queue, err, 0, "cannot purge it");
        else if (!options.quiet)
            printf("%llu\n", (unsigned long long)count);
    }
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    int finished = tool_finish();
    return code != TOOL_OK ? code : finished;
}
