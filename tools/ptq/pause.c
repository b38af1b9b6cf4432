/* pause.c -- ptq pause and ptq resume: nobody gets, for a while. */
#include "commands.h"

const struct tool_usage pause_usages[] = {
    {.name = "pause",
     .operands = "QUEUE",
     .summary = "let nobody get from a queue until it is resumed",
     .text = "From now on every get, of anybody, finds the queue empty; puts, acks and nacks go on.  It stays so until ptq resume, "
             "whoever paused it; ptq info says so, and ptq ls shows the flag P."},
    {0}};

const struct tool_usage resume_usages[] = {
    {.name = "resume",
     .operands = "QUEUE",
     .summary = "end a pause",
     .text = "Lets the queue give its messages again, and wakes whoever waits for one.  A queue that is not paused is fine."},
    {0}};

static int set_pause(ptq_queue *queue, void *context)
{
    const bool *pause = context;

    enum ptq_err err = ptq_queue_pause(queue, *pause);
    return err == PTQ_OK ? TOOL_OK : fail_queue(queue, err, 0, *pause ? "cannot pause it" : "cannot resume it");
}

int cmd_pause(int argc, char **argv)
{
    int first = tool_read_operands(pause_usages, argc, argv, NULL, 1, 1);

    return with_queue(argv[first], set_pause, &(bool){true});
}

int cmd_resume(int argc, char **argv)
{
    int first = tool_read_operands(resume_usages, argc, argv, NULL, 1, 1);

    return with_queue(argv[first], set_pause, &(bool){false});
}
