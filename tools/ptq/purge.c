/* purge.c -- ptq purge: drops what is ready. */
#include <stdio.h>

#include "commands.h"

struct purge_options {
    bool quiet;
};

static const struct tool_option purge_options[] = {
    {'q', "quiet", TOOL_FLAG, offsetof(struct purge_options, quiet), NULL, "do not print how many there were"}, {0}};

const struct tool_usage purge_usages[] = {
    {.name = "purge",
     .operands = "QUEUE",
     .summary = "drop all messages that are ready",
     .text = "Drops every message that could be taken now, and prints how many there were.  What is leased, delayed or a dead letter "
             "stays; the queue counts what was purged.  Queues of pools cannot be purged: stop or remove the pool.",
     .examples = "ptq pause tasks; ptq purge tasks; ptq resume tasks",
     .options = purge_options},
    {0}};

static int purge(ptq_queue *queue, void *context)
{
    const struct purge_options *options = context;
    uint64_t count = 0;

    enum ptq_err err = ptq_queue_purge(queue, &count);
    if (err == PTQ_EINVAL)
        return tool_fail(err, ptq_queue_name(queue),
                         "cannot purge it: it belongs to a pool - stop the pool or remove it: ptq pool");
    if (err != PTQ_OK)
        return fail_queue(queue, err, 0, "cannot purge it");
    if (!options->quiet)
        printf("%llu\n", (unsigned long long)count);
    return TOOL_OK;
}

int cmd_purge(int argc, char **argv)
{
    struct purge_options options = {0};
    int first = tool_read_operands(purge_usages, argc, argv, &options, 1, 1);

    return with_queue(argv[first], purge, &options);
}
