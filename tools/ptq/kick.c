/* kick.c -- ptq kick: dead letters back into their places. */
#include <stdio.h>

#include "commands.h"

struct kick_options {
    uint64_t count;
    bool quiet;
};

static const struct tool_option kick_options[] = {
    {'n', "count", TOOL_COUNT, offsetof(struct kick_options, count), "N", "kick at most N, the oldest first (default: all)"},
    {'q', "quiet", TOOL_FLAG, offsetof(struct kick_options, quiet), NULL, "do not print how many there were"},
    {0}};

const struct tool_usage kick_usages[] = {
    {.name = "kick",
     .operands = "QUEUE",
     .summary = "send dead letters back into their places",
     .text = "Puts dead letters back where they were in the queue, the oldest first, to be handed out as if for the first time: "
             "their count of deliveries begins at 0, and a time to live is over and done with.  Prints how many there were.  "
             "Mend first what they died of, or they die again.\n\n"
             "Dead letters are looked at, taken and dropped under the name QUEUE!dead, with peek, get and purge.",
     .examples = "ptq peek 'tasks!dead' --all -F json; ptq kick tasks -n 1",
     .options = kick_options},
    {0}};

static int kick(ptq_queue *queue, void *context)
{
    const struct kick_options *options = context;
    uint64_t count = 0;

    enum ptq_err err = ptq_queue_kick(queue, options->count, &count);
    if (err != PTQ_OK)
        return fail_queue(queue, err, 0, "cannot kick its dead letters");
    if (!options->quiet)
        printf("%llu\n", (unsigned long long)count);
    return TOOL_OK;
}

int cmd_kick(int argc, char **argv)
{
    struct kick_options options = {0};
    int first = tool_read_operands(kick_usages, argc, argv, &options, 1, 1);

    return with_queue(argv[first], kick, &options);
}
